//! Whatever is written, sealed in whatever pieces, merged and linked: what is found is what one finds who compares
//! all vectors, at every state that a reader may see.

use std::collections::BTreeMap;
use std::sync::Arc;

use embedded_db_common::{Lsn, NamespaceId, Options, Slot};
use embedded_db_storage::{SegmentFile, Store, ViewKind};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::super::exact::ExactQuery;
use super::super::tests::Numbers;
use super::super::{Found, RowSource, VectorIndex, VectorRequest};
use super::*;
use crate::kernels::Kernels;
use crate::vector::graph::Effort;

const DIM: usize = 6;

/// Parts by node.
type Model = BTreeMap<u32, Vec<Vec<f32>>>;

struct Rows<'a>(&'a Model);

impl RowSource for Rows<'_> {
    type Error = String;

    fn row(&mut self, slot: Slot, part: u16, out: &mut [f32]) -> Result<bool, String> {
        let row = self.0.get(&slot.0).and_then(|parts| parts.get(part as usize));
        out.copy_from_slice(row.ok_or_else(|| format!("{slot:?} has no part {part}"))?);
        Ok(true)
    }
}

fn best(
    model: &Model,
    metric: Metric,
    query: &[f32],
    allowed: Option<&RoaringBitmap>,
    k: usize,
) -> Vec<(Slot, f32)> {
    let exact = ExactQuery::new(metric, Kernels::detect(), query);
    let of =
        |parts: &[Vec<f32>]| parts.iter().map(|part| exact.score(part)).fold(f32::MIN, f32::max);
    let may = |slot: &u32| allowed.is_none_or(|allowed| allowed.contains(*slot));
    let nodes = model.iter().filter(|(slot, parts)| may(slot) && !parts.is_empty());
    let mut out: Vec<_> = nodes.map(|(slot, parts)| (Slot(*slot), of(parts))).collect();
    out.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    out.truncate(k);
    out
}

struct Files {
    store: Arc<Store>,
    metric: Metric,
    dim: usize,
    files: Vec<SegmentFile>,
}

impl Files {
    fn new(metric: Metric, dim: usize) -> Self {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        Self { store, metric, dim, files: Vec::new() }
    }

    fn open(&self) -> Vec<Arc<VectorSegment>> {
        let snapshot = self.store.read().unwrap();
        let found = |file| snapshot.open_segment(file).unwrap().unwrap();
        let open = |file| VectorSegment::open(found(file), self.dim, self.metric).unwrap();
        self.files.iter().map(|file| Arc::new(open(file))).collect()
    }

    fn index(&self, few: usize) -> VectorIndex {
        let index = VectorIndex::new(self.dim, self.metric, Kernels::detect());
        index.over(self.open(), few, Lsn(0))
    }

    fn begin(&self) -> embedded_db_storage::SegmentWriter {
        self.store.read().unwrap().begin_segment(ViewKind::Vectors, NamespaceId::DEFAULT).unwrap()
    }

    /// Seals what has changed, with the last files that have no graph, so many at the most.
    fn seal(&mut self, changes: &Model, merged: usize) {
        let mut draft = Draft::new(self.metric, self.dim);
        for (slot, parts) in changes {
            draft.add(Slot(*slot), &numbered(parts));
        }
        assert_eq!(draft.len(), changes.len() as u64);
        let mut open = self.open();
        let plain = open.iter().rev().take_while(|file| file.linked() == 0).count();
        let from = open.len() - plain.min(merged);
        let mut out = self.begin();
        let merged = open.split_off(from);
        let rows = draft.write(&merged, from == 0, &mut out, &|| Ok(())).unwrap();
        self.files.truncate(from);
        self.files.push(out.finish(rows).unwrap());
    }

    /// Makes one file with a graph of those from a place on.
    fn link(&mut self, from: usize) {
        let open = self.open();
        let linking =
            Linking { files: &open[from..], metric: self.metric, dim: self.dim, first: from == 0 };
        let rows = linking.link(&|| Ok(())).unwrap().expect("whole");
        let mut out = self.begin();
        let count = linking.write(&rows, &mut out, &|| Ok(())).unwrap().expect("whole");
        self.files.truncate(from);
        self.files.push(out.finish(count).unwrap());
    }
}

fn numbered(parts: &[Vec<f32>]) -> Vec<(u16, &[f32])> {
    parts.iter().enumerate().map(|(part, row)| (part as u16, &row[..])).collect()
}

fn search(
    index: &VectorIndex,
    model: &Model,
    query: &[f32],
    at: Lsn,
    request: &VectorRequest<'_>,
) -> Found {
    index.search(query, at, request, &mut Rows(model), &mut || false).unwrap().unwrap()
}

fn scores(found: &Found) -> Vec<(Slot, f32)> {
    found.hits.iter().map(|hit| (hit.slot, hit.score)).collect()
}

#[derive(Debug, Clone)]
enum Step {
    /// Sets the vectors of nodes, or none.
    Change(Vec<(u32, usize)>),
    Seal(usize),
    Link(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0u32..60, 0usize..3), 1..25).prop_map(Step::Change),
        2 => (0usize..4).prop_map(Step::Seal),
        2 => any::<prop::sample::Index>().prop_map(Step::Link),
    ]
}

fn metrics() -> impl Strategy<Value = Metric> {
    prop::sample::select(&[Metric::Cosine, Metric::Dot, Metric::Euclidean][..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The graphs are so small that a pool holds all their rows: what is found is exact then.
    #[test]
    fn files_say_what_was_said(
        steps in prop::collection::vec(step(), 1..14),
        tail in prop::collection::vec((0u32..60, 0usize..3), 0..20),
        (metric, awkward, few, seed) in (metrics(), any::<bool>(), 0usize..5, any::<u64>()),
        (k, every) in (1usize..70, prop::option::of(1u32..8)),
    ) {
        let mut numbers = Numbers(seed);
        let mut vectors = |count: usize| -> Vec<Vec<f32>> {
            let vector = |_| if awkward { numbers.awkward_vector(DIM) } else { numbers.vector(DIM) };
            (0..count).map(vector).collect()
        };
        let (mut files, mut sealed, mut fresh) = (Files::new(metric, DIM), Model::new(), Model::new());
        for step in steps {
            match step {
                Step::Change(nodes) => {
                    fresh.extend(nodes.into_iter().map(|(slot, count)| (slot, vectors(count))));
                }
                Step::Seal(merged) => {
                    let changes = std::mem::take(&mut fresh);
                    files.seal(&changes, merged);
                    sealed.extend(changes);
                }
                Step::Link(from) if !files.files.is_empty() => {
                    files.link(from.index(files.files.len()));
                }
                Step::Link(_) => {}
            }
        }
        let mut index = files.index(few);
        // What has come since, one node at a time: a state for each.
        let mut states = vec![sealed];
        for (slot, count) in tail {
            let mut next = states.last().unwrap().clone();
            next.insert(slot, vectors(count));
            index.upsert(Slot(slot), Lsn(states.len() as u64), &numbered(&next[&slot]));
            states.push(next);
        }
        let query = vectors(1).remove(0);
        let allowed = every.map(|n| (0..60).filter(|slot| slot % n == 0).collect::<RoaringBitmap>());
        for (at, model) in states.iter().enumerate() {
            let at = Lsn(at as u64);
            let rows: usize = model.values().map(Vec::len).sum();
            prop_assert_eq!(index.row_count(at), rows as u64);
            for slot in 0..60 {
                let parts = model.get(&slot).map_or(0, Vec::len);
                let mut held = index.parts(Slot(slot), at);
                held.sort_unstable();
                prop_assert_eq!(held, (0..parts as u16).collect::<Vec<_>>());
            }
            let best = best(model, metric, &query, allowed.as_ref(), k);
            for exact in [true, false] {
                let effort = Effort::Pool(400);
                let request = VectorRequest { k, allowed: allowed.as_ref(), effort, exact };
                let found = search(&index, model, &query, at, &request);
                prop_assert_eq!(found.hits.len(), best.len(), "{:?}", found.report);
                // Codes of awkward vectors say little.
                if exact || !awkward {
                    prop_assert_eq!(scores(&found), best.clone(), "{:?}", found.report);
                }
                prop_assert!(!exact || found.report.walks == 0);
            }
        }
        prop_assert!(!index.is_damaged());
    }
}

/// Vectors around some centres.
fn crowd(numbers: &mut Numbers, count: usize, dim: usize) -> Vec<Vec<f32>> {
    let centres: Vec<Vec<f32>> = (0..40).map(|_| numbers.vector(dim)).collect();
    let near = |_| {
        let centre = centres[numbers.below(40)].clone();
        centre.into_iter().map(|x| x + 0.6 * numbers.float()).collect()
    };
    (0..count).map(near).collect()
}

/// Two graphs, a file without one and a tail, by which a part is replaced and removed.
struct Large {
    files: Files,
    index: VectorIndex,
    model: Model,
    queries: Vec<Vec<f32>>,
}

fn large() -> Large {
    let dim = 32;
    let mut numbers = Numbers(3);
    let mut vectors = crowd(&mut numbers, 9_040, dim);
    let queries = vectors.split_off(9_000);
    let mut next = vectors.into_iter();
    let mut of = |slots: std::ops::Range<u32>| -> Model {
        slots.map(|slot| (slot, next.by_ref().take(1).collect())).collect()
    };
    let mut files = Files::new(Metric::Cosine, dim);
    let mut model = Model::new();
    for (slots, links) in [(0..5_000, Some(0)), (4_800..6_800, Some(1)), (6_700..7_200, None)] {
        let changes = of(slots);
        files.seal(&changes, 0);
        if let Some(from) = links {
            files.link(from);
        }
        model.extend(changes);
    }
    let mut index = files.index(100);
    for slot in (0..600).map(|n| n * 11) {
        let parts = if slot % 2 == 0 { Vec::new() } else { next.by_ref().take(1).collect() };
        index.upsert(Slot(slot), Lsn(1), &numbered(&parts));
        model.insert(slot, parts);
    }
    Large { files, index, model, queries }
}

#[test]
fn the_best_of_many_are_found_and_never_too_few() {
    let Large { files: _files, index, model, queries } = large();
    let living: Vec<u32> =
        model.iter().filter(|(_, parts)| !parts.is_empty()).map(|(slot, _)| *slot).collect();
    assert_eq!(index.row_count(Lsn(1)), living.len() as u64);
    // With the first query, and against it.
    let order = best(&model, Metric::Cosine, &queries[0], None, living.len());
    let near = |slots: &[(Slot, f32)]| slots.iter().map(|(slot, _)| slot.0).collect();
    let filters: [Option<RoaringBitmap>; 6] = [
        None,
        Some(living.iter().copied().filter(|slot| slot % 2 == 0).collect()),
        Some(living.iter().copied().filter(|slot| slot % 50 == 0).collect()),
        Some(near(&order[..2_000])),
        Some(near(&order[2_000..])),
        // Most of these are gone.
        Some((0..20).map(|n| n * 22).chain([1, 7_199]).collect()),
    ];
    for (number, allowed) in filters.iter().enumerate() {
        for (effort, floor) in [(Effort::Fast, 0.95), (Effort::Sure, 0.98)] {
            let (mut right, mut wanted) = (0, 0);
            for query in &queries {
                let k = 10;
                let request = VectorRequest { k, allowed: allowed.as_ref(), effort, exact: false };
                let found = search(&index, &model, query, Lsn(1), &request);
                let best = best(&model, Metric::Cosine, query, allowed.as_ref(), k);
                assert_eq!(found.hits.len(), best.len(), "filter {number}");
                assert!(number > 0 || found.report.walks == 2, "{:?}", found.report);
                right += scores(&found).iter().filter(|hit| best.contains(hit)).count();
                wanted += best.len();
                let exact = VectorRequest { exact: true, ..request };
                assert_eq!(scores(&search(&index, &model, query, Lsn(1), &exact)), best);
            }
            let recall = right as f64 / wanted as f64;
            assert!(recall >= floor, "filter {number}, {effort:?}: {recall}");
        }
    }
    // As many as there are.
    let request = VectorRequest { k: 10_000, ..VectorRequest::default() };
    let found = search(&index, &model, &queries[0], Lsn(1), &request);
    assert_eq!(found.hits.len(), living.len());
}

/// Where links lead over rows of which nearly all are gone, the rest is found all the same.
#[test]
fn k_are_found_among_rows_that_are_gone() {
    let Large { files: _files, mut index, mut model, queries } = large();
    let kept = [3, 4_900, 6_000, 7_100, 7_150];
    for slot in (0..7_200).filter(|slot| !kept.contains(slot)) {
        index.upsert(Slot(slot), Lsn(2), &[]);
        model.insert(slot, Vec::new());
    }
    let request = VectorRequest { k: 10, ..VectorRequest::default() };
    for query in &queries {
        let found = search(&index, &model, query, Lsn(2), &request);
        assert_eq!(scores(&found), best(&model, Metric::Cosine, query, None, 10));
        assert!(found.report.given_up > 0 || found.report.walks == 0);
    }
}

/// Rows whose norms are beyond what codes can say are in no graph.
#[test]
fn a_row_in_no_graph_is_deleted_and_all_is_linked_again() {
    let mut files = Files::new(Metric::Dot, DIM);
    let vast = || vec![vec![f32::MAX; DIM]];
    let (near, far) = (|slot: u32| vec![vec![slot as f32; DIM]], |slot| (slot, vast()));
    let changes = (1..6).map(|slot| (slot, near(slot))).chain([7, 9].map(far));
    files.seal(&changes.collect(), 0);
    files.link(0);
    let linked = |files: &Files| (files.open()[0].linked(), files.open()[0].rows());
    assert_eq!(linked(&files), (5, 7));
    files.seal(&Model::from([(9, Vec::new())]), 0);
    files.link(0);
    assert_eq!(linked(&files), (5, 6));
    let index = files.index(0);
    assert_eq!(index.row_count(Lsn(0)), 6);
    assert_eq!(index.parts(Slot(9), Lsn(0)), []);
    assert_eq!(index.parts(Slot(7), Lsn(0)), [0]);
}

#[test]
fn among_nodes_that_have_no_vectors_one_is_found() {
    let mut files = Files::new(Metric::Cosine, DIM);
    let gone = (0..10).map(|slot| (slot, Vec::new()));
    let changes: Model = gone.chain([(21, vec![vec![1.0; DIM]])]).collect();
    // Of what older files may tell, the nodes without vectors are kept.
    files.seal(&Model::from([(40, vec![vec![-1.0; DIM]])]), 0);
    files.seal(&changes, 0);
    files.link(1);
    let allowed = RoaringBitmap::from([3, 21]);
    let (index, query) = (files.index(0), [1.0; DIM]);
    for exact in [true, false] {
        let request = VectorRequest { k: 1, allowed: Some(&allowed), exact, ..Default::default() };
        let found = search(&index, &changes, &query, Lsn(0), &request);
        assert_eq!(found.hits.iter().map(|hit| hit.slot).collect::<Vec<_>>(), [Slot(21)]);
    }
}
