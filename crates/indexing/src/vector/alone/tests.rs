//! An index finds what is in it, whatever was added, removed, saved and loaded before, and whoever else
//! is at work; a damaged file is told.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::exact::ExactQuery;
use super::*;
use crate::kernels::Kernels;

fn go_on() -> Result<()> {
    Ok(())
}

fn options(dim: usize, metric: Metric) -> HnswOptions {
    HnswOptions { dim, metric, profile: Profile::Normal, threads: 2 }
}

/// Vectors around some centres, as embeddings lie.
fn vectors(seed: u64, count: usize, dim: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let centres: Vec<f32> = (0..32 * dim).map(|_| next() * 2.0).collect();
    let centre = |row: usize| &centres[row * 7 % 32 * dim..][..dim];
    (0..count).flat_map(|row| centre(row).iter().map(|x| x + next()).collect::<Vec<_>>()).collect()
}

fn all(k: usize) -> HnswRequest<'static> {
    HnswRequest { k, effort: None, filter: None }
}

fn usual(k: usize) -> HnswRequest<'static> {
    HnswRequest { effort: Some(Effort::Usual), ..all(k) }
}

fn search(index: &HnswIndex, query: &[f32], request: &HnswRequest<'_>) -> Best {
    index.search(query, request, &go_on).unwrap().unwrap()
}

fn add(index: &HnswIndex, vectors: &[f32], ids: Option<&[i64]>) -> Vec<i64> {
    index.add(vectors, ids, &go_on).unwrap().unwrap()
}

/// What a search must find, by a plain map.
fn expected(
    metric: Metric,
    model: &BTreeMap<i64, (usize, Vec<f32>)>,
    query: &[f32],
    k: usize,
) -> Best {
    let exact = ExactQuery::new(metric, Kernels::detect(), query);
    let mut scored: Vec<_> =
        model.iter().map(|(id, (order, row))| (exact.score(row), *order, *id)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.truncate(k);
    Best {
        rows: scored.iter().map(|found| found.2).collect(),
        scores: scored.iter().map(|found| found.0).collect(),
    }
}

/// Products with the largest rows, 1e18 in each place, are off by roundings of that size.
fn close(found: &Best, expected: &Best) -> bool {
    let slack = |score: f32| if score.abs() > 1e9 { 1e13 } else { 1e-5 * (1.0 + score.abs()) };
    let scores = found.scores.iter().zip(&expected.scores);
    found.rows.len() == expected.rows.len()
        && scores.clone().all(|(a, b)| (a - b).abs() <= slack(*b))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_finds_what_a_plain_map_has(
        steps in prop::collection::vec((0u8..6, any::<u16>()), 1..40),
        metric in prop::sample::select(vec![Metric::Cosine, Metric::Dot, Metric::Euclidean]),
    ) {
        const DIM: usize = 7;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("saved");
        let mut index = HnswIndex::new(options(DIM, metric));
        let mut model: BTreeMap<i64, (usize, Vec<f32>)> = BTreeMap::new();
        let mut order = 0;
        for (step, number) in steps {
            let number = usize::from(number);
            match step {
                0..=2 => {
                    let mut rows = vectors(number as u64, number % 90, DIM);
                    // Equal rows, zero rows, and rows that no code can stand for.
                    for (i, row) in rows.chunks_mut(DIM).enumerate() {
                        match i % 11 { 3 => row.fill(0.0), 5 => row.fill(1e18), 7 => row.fill(0.25), _ => {} }
                    }
                    for (id, row) in add(&index, &rows, None).into_iter().zip(rows.chunks(DIM)) {
                        prop_assert!(model.insert(id, (order, row.to_vec())).is_none());
                        order += 1;
                    }
                }
                3 => {
                    let ids: Vec<i64> = model.keys().copied().skip(number % 5).step_by(3).collect();
                    index.remove(&ids, &go_on).unwrap();
                    ids.iter().for_each(|id| { model.remove(id); });
                }
                4 => {
                    let id = number as i64 * 1_000_003;
                    let row = vectors(number as u64, 1, DIM);
                    let taken = index.add(&row, Some(&[id]), &go_on);
                    prop_assert_eq!(taken.is_err(), model.contains_key(&id));
                    if taken.is_ok() { model.insert(id, (order, row)); order += 1; }
                }
                _ => {
                    index.save(&path).unwrap();
                    index = HnswIndex::load(&path, 1, &go_on).unwrap();
                }
            }
            prop_assert_eq!(index.len(), model.len());
            let query = vectors(!(number as u64), 1, DIM);
            for k in [1, 7, model.len() + 1] {
                let want = expected(metric, &model, &query, k);
                prop_assert!(close(&search(&index, &query, &all(k)), &want));
                prop_assert!(close(&search(&index, &query, &usual(k)), &want));
            }
            let few: Vec<i64> = model.keys().copied().step_by(4).chain([-5, i64::MAX]).collect();
            let some = model.iter().filter(|(id, _)| few.contains(id)).map(|(id, it)| (*id, it.clone()));
            let want = expected(metric, &some.collect(), &query, 9);
            for request in [all(9), usual(9)] {
                let request = HnswRequest { filter: Some(&few), ..request };
                prop_assert!(close(&search(&index, &query, &request), &want));
            }
        }
    }
}

/// A graph, a tail beside it, removals in both, filters, a batch, a saved copy.
#[test]
fn a_graph_finds_most_of_the_best() {
    const DIM: usize = 48;
    const K: usize = 10;
    let rows = vectors(1, 12_100, DIM);
    let (rows, queries) = rows.split_at(12_000 * DIM);
    let index = HnswIndex::new(options(DIM, Metric::Cosine));
    add(&index, &rows[..10_000 * DIM], None);
    add(&index, &rows[10_000 * DIM..], None);
    assert!(index.read().graph().is_some() && index.read().unlinked() == 2_000);
    let gone: Vec<i64> = (0..12_000).step_by(5).collect();
    index.remove(&gone, &go_on).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saved");
    index.save(&path).unwrap();
    let again = HnswIndex::load(&path, 2, &go_on).unwrap();
    assert_eq!(again.options(), index.options());
    assert_eq!(again.read().unlinked(), index.read().unlinked());

    let half: Vec<i64> = (0..12_000).filter(|id| id % 2 == 0).collect();
    for filter in [None, Some(&half[..]), Some(&half[..40])] {
        let best = index.search_batch(queries, &HnswRequest { filter, ..all(K) }, &go_on);
        let request = HnswRequest { filter, ..usual(K) };
        let found = index.search_batch(queries, &request, &go_on).unwrap().unwrap();
        assert_eq!(again.search_batch(queries, &request, &go_on).unwrap().unwrap(), found);
        let (mut right, mut wanted) = (0, 0);
        for ((best, found), query) in
            best.unwrap().unwrap().iter().zip(&found).zip(queries.chunks(DIM))
        {
            assert_eq!(*found, search(&index, query, &request));
            assert_eq!(found.rows.len(), K);
            assert!(found.rows.iter().all(|id| id % 5 != 0));
            assert!(filter.is_none_or(|ids| found.rows.iter().all(|id| ids.contains(id))));
            right += found.rows.iter().filter(|id| best.rows.contains(id)).count();
            wanted += K;
        }
        assert!(right * 100 >= wanted * 96, "{right} of {wanted}");
    }
}

/// What was removed gives its memory back, and what is left is found under its ids.
#[test]
fn many_removals_make_it_anew() {
    const DIM: usize = 16;
    let rows = vectors(3, 9_000, DIM);
    let index = HnswIndex::new(options(DIM, Metric::Euclidean));
    add(&index, &rows, None);
    index.remove(&(0..4_000).collect::<Vec<_>>(), &go_on).unwrap();
    assert_eq!((index.len(), index.read().held()), (5_000, 5_000));
    for id in [4_000, 6_543, 8_999] {
        let query = &rows[id * DIM..(id + 1) * DIM];
        let found = search(&index, query, &usual(1));
        assert_eq!((found.rows, found.scores), (vec![id as i64], vec![0.0]));
    }
    assert_eq!(add(&index, &rows[..DIM], None), [9_000]);
}

/// Searches beside an adder see each vector from the moment its call has returned, and never a removed one.
#[test]
fn searching_while_adding_and_removing_is_right() {
    const DIM: usize = 12;
    const BATCH: usize = 500;
    let rows = vectors(4, 20 * BATCH, DIM);
    let index = HnswIndex::new(options(DIM, Metric::Euclidean));
    let added = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for batch in rows.chunks(BATCH * DIM) {
                let ids = add(&index, batch, None);
                index.remove(&ids[..1], &go_on).unwrap();
                added.fetch_add(BATCH, Ordering::SeqCst);
            }
        });
        for reader in 0..2 {
            let (index, added, rows) = (&index, &added, &rows);
            scope.spawn(move || {
                let mut turn = reader;
                loop {
                    let known = added.load(Ordering::SeqCst);
                    if known > 0 {
                        let row = (turn * 7919) % known;
                        let query = &rows[row * DIM..(row + 1) * DIM];
                        let found = search(index, query, &usual(3));
                        assert_eq!(found.rows.len(), 3);
                        assert_eq!(found.rows[0] == row as i64, row % BATCH != 0, "{row}");
                        turn += 1;
                    }
                    if known == 20 * BATCH && turn > 200 {
                        break;
                    }
                }
            });
        }
    });
}

#[test]
fn what_cannot_be_added_or_removed_changes_nothing() {
    let index = HnswIndex::new(options(2, Metric::Dot));
    add(&index, &[1.0, 2.0, 3.0, 4.0], Some(&[7, 3]));
    for ids in [[9, 7], [9, 9], [9, -1], [9, i64::MAX]] {
        let refused = index.add(&[0.0; 4], Some(&ids), &go_on).unwrap_err();
        assert!(
            matches!(refused, Error::At { ref place, .. } if place.item == Some(1)),
            "{refused}"
        );
    }
    assert_eq!(index.add(&[0.0, f32::NAN], None, &go_on).unwrap(), Err(NotFinite));
    assert!(index.remove(&[3, 8], &go_on).is_err());
    assert!(index.remove(&[3, 3], &go_on).is_err());
    assert_eq!(index.len(), 2);
    assert_eq!(add(&index, &[], None), [0; 0]);
    assert_eq!(add(&index, &[5.0, 5.0], None), [8]);
    assert_eq!(search(&index, &[1.0, 1.0], &usual(9)).rows, [8, 3, 7]);
    assert_eq!(search(&index, &[1.0, 1.0], &usual(0)).rows, [0; 0]);
}

/// An interrupted call has put in all vectors; they are linked with the next.
#[test]
fn interrupted_linking_loses_nothing() {
    let rows = vectors(5, 5_000, 8);
    let index = HnswIndex::new(options(8, Metric::Cosine));
    assert!(index.add(&rows, None, &|| Err(Error::Interrupted)).is_err());
    assert_eq!((index.len(), index.read().unlinked()), (5_000, 5_000));
    assert_eq!(search(&index, &rows[8..16], &usual(1)).rows, [1]);
    add(&index, &rows[..8], None);
    assert_eq!(index.read().unlinked(), 0);
}

/// Every byte of a small file, and the ends of a large one.
#[test]
fn a_damaged_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saved");
    let load = |bytes: &[u8]| {
        embedded_db_storage::replace_file(&path, bytes).unwrap();
        HnswIndex::load(&path, 1, &go_on).map(|index| index.len())
    };
    let index = HnswIndex::new(options(3, Metric::Cosine));
    add(&index, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None);
    let good = file::encode(&index.options, &index.read());
    assert_eq!(load(&good).unwrap(), 2);
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        assert!(matches!(load(&bad), Err(Error::DamagedFile { .. })), "{place}");
        assert!(matches!(load(&good[..place]), Err(Error::DamagedFile { .. })), "{place}");
    }
    assert!(matches!(load(&[&good[..], b"x"].concat()), Err(Error::DamagedFile { .. })));
    let nothing = directory.path().join("nothing");
    assert!(matches!(HnswIndex::load(&nothing, 1, &go_on), Err(Error::StorageError { .. })));
}

/// With a right checksum nothing that it says is trusted either.
#[test]
fn a_file_that_says_what_cannot_be_is_no_panic() {
    let index = HnswIndex::new(options(4, Metric::Euclidean));
    add(&index, &vectors(6, 4_200, 4), None);
    index.remove(&[5, 4_000], &go_on).unwrap();
    let good = file::encode(&index.options, &index.read());
    let end = good.len() - 32;
    let sealed = |content: &[u8]| {
        let mut digest = embedded_db_common::Digest::default();
        digest.update(content);
        [content, &digest.finish().bytes()].concat()
    };
    let decode = |bytes: &[u8]| file::decode(Path::new("saved"), bytes, 1).map(|(_, state)| state);
    let places = (8..200).chain((200..end).step_by(1009)).chain(end - 100..end);
    for place in places {
        for flip in [1, 0x80] {
            let mut bad = good[..end].to_vec();
            bad[place] ^= flip;
            if let Ok(state) = decode(&sealed(&bad)) {
                for effort in [Some(Effort::Fast), None] {
                    _ = state.search(&[0.1; 4], &HnswRequest { effort, ..all(5) }, None, &go_on);
                }
            }
        }
    }
    let mut later = good[..end].to_vec();
    later[8] = 2;
    assert!(matches!(decode(&sealed(&later)), Err(Error::FormatTooNew { found: 2, .. })));
    for cut in [64, 70, 64 + 8 * 4_200, end - 1] {
        assert!(matches!(decode(&sealed(&good[..cut])), Err(Error::DamagedFile { .. })));
    }
}
