//! A graph that rows were added to is as good as one built of all.

use super::super::{Effort, Merged, Section, Way, merge};
use super::*;

const DIM: usize = 32;

fn store_of(vectors: &[Vec<f32>], slots: std::ops::Range<u32>) -> Store {
    let mut store = Store::new(Metric::Cosine, DIM);
    for slot in slots {
        store.rows.insert((Slot(slot), 0), vectors[slot as usize].clone());
    }
    store
}

fn copies(graph: &Graph) -> Vec<Vec<u8>> {
    Section::ALL.iter().map(|&section| graph.section(section).to_vec()).collect()
}

/// Of the best ten of fifty queries so many are found.
fn right(
    graph: &Graph,
    store: &mut Store,
    queries: &[Vec<f32>],
    dead: &RoaringBitmap,
    may: impl Fn(Slot) -> bool,
) -> usize {
    let request =
        GraphRequest { k: 10, effort: Effort::Usual, dead: Some(dead), ..GraphRequest::default() };
    let mut right = 0;
    for query in queries {
        let best = store.best(query, |slot, _| may(slot), 10);
        let (found, report) = search(graph, store, query, &request);
        assert!(found.iter().all(|hit| may(hit.slot)));
        assert_eq!((found.len(), report.way), (10, Way::Walk));
        right += found.iter().filter(|hit| best.contains(hit)).count();
    }
    right
}

#[test]
fn rows_are_added_to_a_copy_and_the_dead_dropped() {
    let vectors = mixture(&mut Numbers(1), 6_050, DIM);
    let (vectors, queries) = vectors.split_at(6_000);
    let mut all = store_of(vectors, 0..6_000);
    let main = store_of(vectors, 0..4_000).graph(2);
    let before = copies(&main);

    // Some of the old are dead, and some have new rows.
    let dead: RoaringBitmap = (0..4_000).step_by(5).collect();
    let mut more = main.view().no_rows();
    let new: Vec<_> = (4_000..6_000).map(|slot| (Slot(slot), 0)).collect();
    let Ok(()) = more.read_more(&new, &mut all.clone());
    let merged = merge(&main.view(), &dead, &more, 2, &|| false).expect("whole");
    let Merged { graph, dead: still_dead } = merged.expect("not interrupted");
    assert_eq!(copies(&main), before, "the graph itself stays as it is");
    assert_eq!(graph.view().check(), Ok(()));
    assert_eq!((graph.view().len(), &still_dead), (6_000, &dead));
    let living = |slot: Slot| !dead.contains(slot.0);
    let found = right(&graph, &mut all, queries, &still_dead, living);
    assert!(found >= 485, "{found} of 500");

    // More than 30 % dead: built anew, without them.
    let mut dead = still_dead;
    dead.insert_range(4_000..5_500);
    let living = |slot: Slot| !dead.contains(slot.0);
    let merged = merge(&graph.view(), &dead, &graph.view().no_rows(), 2, &|| false).expect("whole");
    let merged = merged.expect("not interrupted");
    assert!(merged.dead.is_empty());
    assert_eq!(merged.graph.view().len() as u64, 6_000 - dead.len());
    let found = right(&merged.graph, &mut all, queries, &merged.dead, living);
    assert!(found >= 485, "{found} of 500");
}

#[test]
fn one_thread_builds_the_same_graph_twice() {
    let vectors = mixture(&mut Numbers(2), 3_000, DIM);
    let mut store = store_of(&vectors, 0..3_000);
    let (one, two) = (store.graph(1), store.graph(1));
    for section in Section::ALL {
        assert!(one.section(section) == two.section(section), "{section:?}");
        let bytes = one.section(section);
        assert!(bytes.is_empty() || bytes.as_ptr().align_offset(64) == 0, "{section:?}");
    }
}

#[test]
fn building_and_searching_stop_when_told_to() {
    let vectors = mixture(&mut Numbers(2), 3_000, DIM);
    let mut store = store_of(&vectors, 0..3_000);
    let codes = store.codes();
    let options = BuildOptions { threads: 2, ..BuildOptions::default() };
    assert!(build(codes, &options, &|| true).is_none());
    let graph = store.graph(2);
    let view = graph.view();
    let (half, one) = (every(2, 3_000), every(3_000, 3_000));
    let walk = GraphRequest { k: 10, effort: Effort::Pool(50), ..GraphRequest::default() };
    let filtered = GraphRequest { dead: Some(&one), ..walk };
    let scan = GraphRequest { allowed: Some(&half), ..walk };
    for (request, way) in [(walk, Way::Walk), (filtered, Way::Walk), (scan, Way::Scan)] {
        let mut asked = 0;
        let mut after_one = || {
            asked += 1;
            asked > 1
        };
        let mut scratch = Scratch::default();
        let found = view.search(&vectors[7], &request, &mut scratch, &mut after_one);
        assert!(found.expect("whole").is_none(), "{way:?}");
        // What is left in the scratch does no harm to the next search.
        let fresh = view.search(&vectors[8], &request, &mut Scratch::default(), &mut || false);
        let again = view.search(&vectors[8], &request, &mut scratch, &mut || false);
        let again = again.expect("whole").expect("not stopped");
        assert_eq!(again.report.way, way);
        let fresh = fresh.expect("whole").expect("not stopped");
        assert_eq!(again.candidates, fresh.candidates);
    }
}

#[test]
fn copies_begin_on_a_cache_line_too() {
    let vectors = mixture(&mut Numbers(2), 300, DIM);
    let graph = store_of(&vectors, 0..300).graph(1).clone();
    let section = graph.section(Section::Codes);
    assert_eq!((section.len(), section.as_ptr().align_offset(64)), (300 * DIM, 0));
}
