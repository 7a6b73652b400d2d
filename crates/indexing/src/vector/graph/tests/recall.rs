//! What share of the best is found among many rows, with and without filters.

use super::super::{Effort, Section, Way};
use super::*;

const ROWS: u32 = 20_000;

fn many(metric: Metric, dim: usize, seed: u64) -> (Store, Vec<Vec<f32>>) {
    let mut store = Store::new(metric, dim);
    let mut vectors = mixture(&mut Numbers(seed), ROWS as usize + 40, dim);
    let queries = vectors.split_off(ROWS as usize);
    for (slot, vector) in (0..).zip(vectors) {
        store.rows.insert((Slot(slot), 0), vector);
    }
    (store, queries)
}

/// The share of the best ten that is found; the last search's report.
fn recall(
    graph: &Graph,
    store: &mut Store,
    queries: &[Vec<f32>],
    effort: Effort,
    allowed: Option<&RoaringBitmap>,
) -> (f64, Vec<Report>) {
    let request = GraphRequest { k: 10, effort, allowed, ..GraphRequest::default() };
    let (mut right, mut reports) = (0, Vec::new());
    for query in queries {
        let may = |slot: Slot, _| allowed.is_none_or(|allowed| allowed.contains(slot.0));
        let best = store.best(query, may, 10);
        let (found, report) = search(graph, store, query, &request);
        assert_eq!(found.len(), best.len());
        right += found.iter().filter(|hit| best.contains(hit)).count();
        reports.push(report);
    }
    (right as f64 / (10 * queries.len()) as f64, reports)
}

#[test]
fn the_best_of_many_rows_are_found() {
    let cases = [
        (Metric::Cosine, 384, 2, Profile::Normal),
        (Metric::Dot, 64, 1, Profile::Normal),
        (Metric::Euclidean, 64, 2, Profile::Small),
    ];
    for (metric, dim, threads, profile) in cases {
        let (mut store, queries) = many(metric, dim, 1);
        let graph = store.graph_of(threads, profile);
        assert_eq!(graph.section(Section::Links).len(), ROWS as usize * (1 + profile.links()) * 4);
        let (found, reports) = recall(&graph, &mut store, &queries, Effort::Sure, None);
        assert!(found >= 0.98, "{metric:?}, {dim} dimensions, {threads} threads: {found}");
        assert!(reports.iter().all(|report| report.way == Way::Walk && report.visited < 4_000));
    }
}

#[test]
fn the_best_that_a_filter_allows_are_found() {
    let (mut store, queries) = many(Metric::Cosine, 64, 2);
    let graph = store.graph(2);
    // Those most and least like the first query: a filter with it, and one against it.
    let order: Vec<u32> =
        store.best(&queries[0], |_, _| true, ROWS as usize).iter().map(|hit| hit.slot.0).collect();
    let nearest: RoaringBitmap = order[..6_000].iter().copied().collect();
    let farthest: RoaringBitmap = order[6_000..].iter().copied().collect();
    let filters = [
        ("few", every(100, ROWS), Some(Way::Scan)),
        ("a third", every(3, ROWS), None),
        ("nine in ten", (0..ROWS).filter(|slot| slot % 10 != 0).collect(), Some(Way::Walk)),
        ("the nearest", nearest, None),
        ("the farthest", farthest, None),
    ];
    for (name, allowed, way) in filters {
        let (found, reports) = recall(&graph, &mut store, &queries, Effort::Sure, Some(&allowed));
        assert!(found >= 0.97, "{name}: {found}");
        if let Some(way) = way {
            assert!(reports.iter().all(|report| report.way == way), "{name}: {:?}", reports[0]);
        }
    }
}
