//! Against a comparison of all rows.

use super::super::filtered::Filter;
use super::super::rule::Rule;
use super::super::{Effort, Way};
use super::*;

#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    metric: Metric,
    dim: usize,
    slots: usize,
    most_parts: usize,
    k: usize,
    awkward: bool,
    /// One slot in so many is allowed, one row in so many dead.
    allowed: Option<u32>,
    dead: Option<u32>,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (2usize..70, 0usize..300, 1usize..5, 0usize..30);
    let filters = (prop::option::of(1u32..20), prop::option::of(1u32..20));
    (any::<u64>(), metrics(), shape, any::<bool>(), filters).prop_map(
        |(seed, metric, (dim, slots, most_parts, k), awkward, (allowed, dead))| Case {
            seed,
            metric,
            dim,
            slots,
            most_parts,
            k,
            awkward,
            allowed,
            dead,
        },
    )
}

impl Case {
    fn store(&self) -> (Store, Numbers) {
        let mut numbers = Numbers(self.seed);
        let mut store = Store::new(self.metric, self.dim);
        for slot in 0..self.slots {
            let slot = Slot(slot as u32 * 3 + numbers.below(3) as u32);
            for part in 0..1 + numbers.below(self.most_parts) as u16 {
                let vector = match self.awkward {
                    true => numbers.awkward_vector(self.dim),
                    false => numbers.vector(self.dim),
                };
                store.rows.insert((slot, part), vector);
            }
        }
        (store, numbers)
    }

    fn request<'a>(
        &self,
        allowed: Option<&'a RoaringBitmap>,
        dead: Option<&'a RoaringBitmap>,
    ) -> GraphRequest<'a> {
        GraphRequest { k: self.k, allowed, dead, ..GraphRequest::default() }
    }

    fn allowed(&self) -> Option<RoaringBitmap> {
        self.allowed.map(|n| every(n, 3 * self.slots as u32 + 3))
    }

    fn dead(&self, rows: usize) -> Option<RoaringBitmap> {
        self.dead.map(|n| every(n, rows as u32))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_pool_of_all_rows_reaches_all_rows(case in cases()) {
        let (mut store, mut numbers) = case.store();
        let graph = store.graph(1);
        let view = graph.view();
        prop_assert_eq!(view.check(), Ok(()));
        let query = numbers.vector(case.dim);
        let target = view.space.query(&query);
        let mut scratch = Scratch::default();
        if view.is_empty() {
            return Ok(());
        }
        let (all, base) = (view.len(), view.base());
        let entry = [view.upper_row(view.header.entry).expect("whole")];
        scratch.nearest(&base, &view.space, &target, &entry, all, &mut || false).expect("whole");
        prop_assert_eq!(scratch.pool.entries().len(), all);
        prop_assert!(scratch.pool.entries().is_sorted());
    }

    #[test]
    fn a_walk_with_a_filter_finds_what_a_scan_finds(case in cases()) {
        let (mut store, mut numbers) = case.store();
        let graph = store.graph(1);
        let view = graph.view();
        let (allowed, dead) = (case.allowed(), case.dead(view.len()));
        let request = case.request(allowed.as_ref(), dead.as_ref());
        if view.is_empty() {
            return Ok(());
        }
        let filter = Filter::new(&view, &request).expect("whole");
        let target = view.space.query(&numbers.vector(case.dim));
        let entry = [view.upper_row(view.header.entry).expect("whole")];
        let (mut scratch, mut scanned) = (Scratch::default(), 0);
        // A scan that costs so much is never taken.
        let mut rule = Rule::new(f64::INFINITY, 1.0, view.len());
        let walked = filter.walk(&target, &entry, &mut rule, &mut scratch, &mut || false);
        let walked = walked.expect("whole").expect("not interrupted").expect("not a scan");
        let scan = filter.scan(&target, view.len(), &mut scanned, &mut || false);
        let scan = scan.expect("whole").expect("not interrupted");
        prop_assert_eq!(walked.entries(), scan.entries());
    }

    #[test]
    fn what_is_found_may_be_found_and_is_enough(case in cases()) {
        let (mut store, mut numbers) = case.store();
        let graph = store.graph(1);
        let view = graph.view();
        let (allowed, dead) = (case.allowed(), case.dead(view.len()));
        let request = case.request(allowed.as_ref(), dead.as_ref());
        let query = numbers.vector(case.dim);
        let living: Vec<(Slot, u16)> = (0..view.len() as u32)
            .filter(|row| dead.as_ref().is_none_or(|dead| !dead.contains(*row)))
            .filter_map(|row| Some((view.slot(row)?, view.part(row)?)))
            .collect();
        let may = |slot: Slot, part| {
            allowed.as_ref().is_none_or(|allowed| allowed.contains(slot.0))
                && living.contains(&(slot, part))
        };
        let best = store.best(&query, may, case.k);
        let (found, report) = search(&graph, &mut store, &query, &request);
        prop_assert_eq!(found.len(), best.len());
        let exact = ExactQuery::new(case.metric, Kernels::detect(), &query);
        for (found, pair) in found.iter().zip(found.iter().skip(1)) {
            prop_assert!(found.score >= pair.score && found.slot != pair.slot);
        }
        for hit in &found {
            prop_assert!(may(hit.slot, hit.part), "{hit:?}");
            prop_assert_eq!(hit.score, exact.score(&store.rows[&(hit.slot, hit.part)]));
        }
        // So few rows are scanned, and codes of random vectors are good enough.
        prop_assert_eq!((report.way, report.visited), (Way::Scan, 0));
        if !case.awkward && case.dim >= 8 {
            prop_assert_eq!(found, best);
        }
    }

    #[test]
    fn the_rows_of_a_slot_are_found_by_part(case in cases()) {
        let (mut store, _) = case.store();
        let graph = store.graph(1);
        let view = graph.view();
        for slot in (0..case.slots as u32 * 3 + 4).map(Slot) {
            let rows: Vec<u32> = view.rows_of(slot).collect::<Result<_, _>>().expect("whole");
            let parts: Vec<u16> = rows.iter().filter_map(|&row| view.part(row)).collect();
            prop_assert!(rows.iter().all(|&row| view.slot(row) == Some(slot)));
            prop_assert!(parts.is_sorted_by(|a, b| a < b));
            let held = (0..view.len() as u32).filter(|&row| view.slot(row) == Some(slot)).count();
            prop_assert_eq!(rows.len(), held);
        }
    }
}

#[test]
fn a_scan_of_given_rows_gives_the_best_of_them() {
    let mut store = Store::new(Metric::Dot, 16);
    let mut numbers = Numbers(3);
    for slot in 0..500 {
        store.rows.insert((Slot(slot), 0), numbers.vector(16));
    }
    let graph = store.graph(1);
    let query = numbers.vector(16);
    let rows = (0..500).filter(|row| row % 7 == 3);
    let found = graph.view().scan(&query, rows, 5, &mut || false);
    let found: Vec<Slot> = found
        .expect("whole")
        .expect("not interrupted")
        .iter()
        .map(|candidate| candidate.slot)
        .collect();
    let best = store.best(&query, |slot, _| slot.0 % 7 == 3, 5);
    assert_eq!(found, best.iter().map(|hit| hit.slot).collect::<Vec<_>>());
    let outside = graph.view().scan(&query, [500].into_iter(), 5, &mut || false);
    assert!(outside.is_err());
}

/// Thousands of equal rows, and others that must be found beside them.
#[test]
fn equal_rows_hide_no_others() {
    let mut store = Store::new(Metric::Cosine, 32);
    let mut numbers = Numbers(11);
    let same = numbers.vector(32);
    for slot in 0..6_000 {
        let vector = if slot % 2 == 0 { same.clone() } else { numbers.vector(32) };
        store.rows.insert((Slot(slot), 0), vector);
    }
    let graph = store.graph(2);
    let odd = |slot: Slot, _| slot.0 % 2 == 1;
    let request = GraphRequest { k: 10, effort: Effort::Sure, ..GraphRequest::default() };
    let mut right = 0;
    for turn in 0..50 {
        let near = &store.rows[&(Slot(turn * 2 + 1), 0)];
        let query: Vec<f32> = near.iter().map(|x| x + numbers.float() * 0.3).collect();
        let best = store.best(&query, odd, 10);
        let (found, report) = search(&graph, &mut store, &query, &request);
        assert_eq!(report.way, Way::Walk);
        right += found.iter().filter(|hit| best.contains(hit)).count();
    }
    assert!(right >= 480, "{right} of 500");
    let (found, _) = search(&graph, &mut store, &same, &request);
    assert!(found.iter().all(|hit| hit.slot.0 % 2 == 0), "{found:?}");
}
