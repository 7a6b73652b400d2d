//! A search gives exactly what comparing every f32 row would give, at every snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use embedded_db_common::{Lsn, Slot};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::block::LIVE;
use super::exact::ExactQuery;
use super::quantize::{QuantizedQuery, quantize_row};
use super::{Metric, RowSource, VectorHit, VectorTail};
use crate::hashing::mix;
use crate::kernels::Kernels;

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::Euclidean];

/// Numbers from a seed.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(mix(self.0) ^ self.0.rotate_left(32))
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// In −1 .. 1.
    pub(super) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(super) fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.float()).collect()
    }

    /// A vector of the kinds that are hard to tell apart or to score.
    pub(super) fn awkward_vector(&mut self, dim: usize) -> Vec<f32> {
        match self.below(12) {
            0 => vec![0.0; dim],
            1 => vec![1.0; dim],
            2 => (0..dim).map(|_| self.below(3) as f32 - 1.0).collect(),
            3 => (0..dim).map(|_| 0.5 + self.float() * 1e-4).collect(),
            4 => (0..dim).map(|_| 0.5 + self.float() * 1e-7).collect(),
            5 => (0..dim).map(|_| self.float() * 1e-18).collect(),
            6 => (0..dim).map(|_| self.float() * 1e18).collect(),
            7 => (0..dim).map(|i| if i == 0 { 100.0 } else { self.float() * 0.3 }).collect(),
            8 => (0..dim).map(|_| 1000.0 + self.float()).collect(),
            _ => self.vector(dim),
        }
    }
}

/// One state of a node and the snapshots that see it.
struct Version {
    from: Lsn,
    to: Lsn,
    parts: Vec<(u16, Vec<f32>)>,
}

/// What the tail should know, kept in the plainest way.
#[derive(Default)]
struct Model {
    nodes: BTreeMap<u32, Vec<Version>>,
}

impl Model {
    fn end(&mut self, slot: Slot, at: Lsn) {
        if let Some(last) = self.nodes.entry(slot.0).or_default().last_mut() {
            last.to = last.to.min(at);
        }
    }

    fn set(&mut self, slot: Slot, at: Lsn, parts: Vec<(u16, Vec<f32>)>) {
        self.end(slot, at);
        self.nodes.entry(slot.0).or_default().push(Version { from: at, to: LIVE, parts });
    }

    fn parts(&self, slot: u32, at: Lsn) -> &[(u16, Vec<f32>)] {
        let versions = self.nodes.get(&slot).map_or(&[][..], |versions| versions);
        let seen = versions.iter().find(|version| version.from <= at && at < version.to);
        seen.map_or(&[], |version| &version.parts)
    }

    fn best(&self, exact: &ExactQuery<'_>, at: Lsn, slot: u32) -> Option<VectorHit> {
        let hits = self.parts(slot, at).iter().map(|(part, vector)| VectorHit {
            slot: Slot(slot),
            part: *part,
            score: exact.score(vector),
        });
        hits.max_by(|a, b| a.score.total_cmp(&b.score).then(b.part.cmp(&a.part)))
    }

    fn search(
        &self,
        exact: &ExactQuery<'_>,
        at: Lsn,
        allowed: Option<&RoaringBitmap>,
        k: usize,
    ) -> Vec<VectorHit> {
        let slots = self.nodes.keys().filter(|slot| allowed.is_none_or(|a| a.contains(**slot)));
        let mut hits: Vec<_> = slots.filter_map(|&slot| self.best(exact, at, slot)).collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot)));
        hits.truncate(k);
        hits
    }
}

/// The store at a snapshot.
struct Stored<'a> {
    model: &'a Model,
    at: Lsn,
    reads: usize,
}

impl<'a> Stored<'a> {
    fn new(model: &'a Model, at: Lsn) -> Self {
        Self { model, at, reads: 0 }
    }
}

impl RowSource for Stored<'_> {
    type Error = Infallible;

    fn row(&mut self, slot: Slot, part: u16, out: &mut [f32]) -> Result<bool, Infallible> {
        self.reads += 1;
        let parts = self.model.parts(slot.0, self.at);
        let found = parts.iter().find(|(number, _)| *number == part);
        if let Some((_, vector)) = found {
            out.copy_from_slice(vector);
        }
        Ok(found.is_some())
    }
}

/// A tail and its model, changed together.
struct Pair {
    tail: VectorTail,
    model: Model,
    lsn: Lsn,
    oldest: Lsn,
}

impl Pair {
    fn new(dim: usize, metric: Metric, kernels: Kernels) -> Self {
        let tail = VectorTail::new(dim, metric, kernels);
        Self { tail, model: Model::default(), lsn: Lsn(0), oldest: Lsn(0) }
    }

    fn upsert(&mut self, slot: Slot, parts: Vec<(u16, Vec<f32>)>) {
        let borrowed: Vec<(u16, &[f32])> = parts.iter().map(|(n, v)| (*n, &v[..])).collect();
        self.tail.upsert(slot, self.lsn, &borrowed);
        self.model.set(slot, self.lsn, parts);
    }

    fn remove(&mut self, slot: Slot) {
        self.tail.remove(slot, self.lsn);
        self.model.end(slot, self.lsn);
    }

    fn prune(&mut self, oldest: Lsn) {
        self.oldest = self.oldest.max(oldest);
        self.tail.prune(self.oldest);
    }

    fn search(
        &self,
        query: &[f32],
        at: Lsn,
        allowed: Option<&RoaringBitmap>,
        k: usize,
    ) -> (Vec<VectorHit>, usize) {
        let mut rows = Stored::new(&self.model, at);
        let found = self.tail.search(query, at, allowed, k, &mut rows, &mut || false);
        let Ok(hits) = found;
        (hits.expect("not interrupted"), rows.reads)
    }

    /// Asserts that the tail finds what the model finds; gives the rows that were read.
    fn check(&self, query: &[f32], at: Lsn, allowed: Option<&RoaringBitmap>, k: usize) -> usize {
        let exact = ExactQuery::new(self.tail.metric, self.tail.kernels, query);
        let expected = self.model.search(&exact, at, allowed, k);
        let (found, reads) = self.search(query, at, allowed, k);
        assert_eq!(found, expected, "{:?} at {at:?}, k {k}", self.tail);
        reads
    }

    fn check_accounts(&self, at: Lsn, slot: Slot, query: &[f32]) {
        let rows: usize =
            self.model.nodes.keys().map(|&slot| self.model.parts(slot, at).len()).sum();
        assert_eq!(self.tail.row_count(at), rows as u64);
        let parts = self.model.parts(slot.0, at);
        assert_eq!(self.tail.contains(slot, at), !parts.is_empty());
        let exact = ExactQuery::new(self.tail.metric, self.tail.kernels, query);
        let Ok(score) = self.tail.score(query, at, slot, &mut Stored::new(&self.model, at));
        assert_eq!(score, self.model.best(&exact, at, slot.0));
    }
}

/// Random changes, then searches at random snapshots, as one seed says.
fn random_life(seed: u64, dim: usize, changes: usize, metric: Metric, kernels: Kernels) {
    let mut numbers = Numbers(seed);
    let mut pair = Pair::new(dim, metric, kernels);
    let slots = [3, 20, 300, 5000][numbers.below(4)];
    let most_parts = [1, 1, 3][numbers.below(3)];
    let spread = [1, 1000, 10_000_000 / slots][numbers.below(3)] as u32;
    let awkward = numbers.below(2) == 0;
    for _ in 0..changes {
        pair.lsn.0 += numbers.below(3) as u64;
        let slot = Slot(numbers.below(slots) as u32 * spread);
        match numbers.below(100) {
            0..80 => {
                let parts = 1 + numbers.below(most_parts);
                let vector = |numbers: &mut Numbers| {
                    if awkward { numbers.awkward_vector(dim) } else { numbers.vector(dim) }
                };
                let parts = (0..parts as u16).map(|part| (part, vector(&mut numbers)));
                pair.upsert(slot, parts.collect());
            }
            80..97 => pair.remove(slot),
            _ => pair.prune(Lsn(numbers.below(pair.lsn.0 as usize + 1) as u64)),
        }
        if numbers.below(changes) < 30 {
            random_look(&mut numbers, &pair, slots, spread);
        }
    }
    random_look(&mut numbers, &pair, slots, spread);
}

fn random_look(numbers: &mut Numbers, pair: &Pair, slots: usize, spread: u32) {
    let span = (pair.lsn.0 - pair.oldest.0) as usize;
    let at = match numbers.below(3) {
        0 => pair.lsn,
        1 => Lsn(pair.lsn.0 + 5),
        _ => Lsn(pair.oldest.0 + numbers.below(span + 1) as u64),
    };
    let dim = pair.tail.dim();
    let query = match numbers.below(2) {
        0 => numbers.vector(dim),
        _ => numbers.awkward_vector(dim),
    };
    let k = [1, 2, 10, 100, 10_000][numbers.below(5)];
    let share = [0, 1, 10, 50, 95][numbers.below(5)];
    let filter: RoaringBitmap = (0..slots as u32)
        .filter(|_| numbers.below(100) < share)
        .map(|slot| slot * spread)
        .collect();
    let neighbours: RoaringBitmap = (0..slots as u32 / 2).map(|slot| slot * spread).collect();
    let allowed = [None, Some(&filter), Some(&neighbours)][numbers.below(3)];
    pair.check(&query, at, allowed, k);
    pair.check_accounts(at, Slot(numbers.below(slots) as u32 * spread), &query);
}

fn kernels() -> impl Strategy<Value = Kernels> {
    prop::sample::select(Kernels::available().collect::<Vec<_>>())
}

fn metric() -> impl Strategy<Value = Metric> {
    prop::sample::select(&METRICS[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn small_vectors_are_found_exactly(
        seed: u64,
        dim in prop::sample::select(&[1usize, 2, 7, 16, 33][..]),
        changes in 0usize..1500,
        metric in metric(),
        kernels in kernels(),
    ) {
        random_life(seed, dim, changes, metric, kernels);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn large_vectors_are_found_exactly(
        seed: u64,
        dim in prop::sample::select(&[384usize, 1536][..]),
        changes in 0usize..600,
        metric in metric(),
        kernels in kernels(),
    ) {
        random_life(seed, dim, changes, metric, kernels);
    }
}

proptest! {
    #[test]
    fn no_score_leaves_its_bounds(
        seed: u64,
        dim in prop::sample::select(&[1usize, 2, 7, 100, 384, 1536, 4096][..]),
        metric in metric(),
        kernels in kernels(),
    ) {
        let mut numbers = Numbers(seed);
        for _ in 0..8 {
            let (query, row) = (numbers.awkward_vector(dim), numbers.awkward_vector(dim));
            let mut codes = vec![0; dim];
            let scale = quantize_row(metric, &row, &mut codes);
            let coded = QuantizedQuery::new(metric, &query);
            let score = ExactQuery::new(metric, kernels, &query).score(&row);
            let first = kernels.dot(coded.first(), &codes);
            let second = kernels.dot(coded.second(), &codes);
            let wide = coded.first_bounds(first, scale);
            let narrow = coded.second_bounds(first, second, scale);
            prop_assert!(wide.0 <= score && score <= wide.1, "{score} in {wide:?}");
            prop_assert!(narrow.0 <= score && score <= narrow.1, "{score} in {narrow:?}");
            let scales = [&[scale.scale][..], &[scale.error], &[scale.norm]];
            let mut upper = [f32::NAN];
            coded.first_uppers(&[first], scales, &mut upper);
            prop_assert!(score <= upper[0]);
        }
    }

    #[test]
    fn scores_are_what_the_metric_says(
        seed: u64,
        dim in prop::sample::select(&[1usize, 2, 7, 384][..]),
        kernels in kernels(),
    ) {
        let mut numbers = Numbers(seed);
        let (a, b) = (numbers.awkward_vector(dim), numbers.awkward_vector(dim));
        let pairs = || a.iter().zip(&b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
        let norm = |v: &[f32]| v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let dot: f64 = pairs().map(|(x, y)| x * y).sum();
        let size = norm(&a) * norm(&b);
        let distance = pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
        let cosine = if size == 0.0 { 0.0 } else { dot / size };
        let score = |metric| f64::from(ExactQuery::new(metric, kernels, &a).score(&b));
        prop_assert!((score(Metric::Cosine) - cosine).abs() <= 1e-5);
        prop_assert!((score(Metric::Dot) - dot).abs() <= 1e-5 * size + 1e-37);
        prop_assert!((score(Metric::Euclidean) + distance).abs() <= 1e-5 * distance);
    }
}

#[test]
fn ten_thousand_equal_vectors_are_read_once() {
    for metric in METRICS {
        let mut pair = Pair::new(384, metric, Kernels::detect());
        let vector = Numbers(7).vector(384);
        for slot in 0..10_000 {
            pair.upsert(Slot(10_000 - slot), vec![(0, vector.clone())]);
        }
        let query = Numbers(8).vector(384);
        assert_eq!(pair.check(&query, pair.lsn, None, 10), 1);
        let few: RoaringBitmap = (500..600).collect();
        assert_eq!(pair.check(&query, pair.lsn, Some(&few), 10), 1);
    }
}

#[test]
fn a_zero_query_reads_nothing_where_all_scores_are_zero() {
    for metric in [Metric::Cosine, Metric::Dot] {
        let mut pair = Pair::new(7, metric, Kernels::detect());
        let mut numbers = Numbers(1);
        for slot in 0..3000 {
            pair.upsert(Slot(slot), vec![(3, numbers.vector(7)), (1, numbers.vector(7))]);
        }
        assert_eq!(pair.check(&[0.0; 7], pair.lsn, None, 10), 0);
    }
}

#[test]
fn few_rows_are_read() {
    let mut numbers = Numbers(3);
    let mut pair = Pair::new(384, Metric::Cosine, Kernels::detect());
    for slot in 0..20_000 {
        pair.upsert(Slot(slot), vec![(0, numbers.vector(384))]);
    }
    let reads = pair.check(&numbers.vector(384), pair.lsn, None, 10);
    assert!((10..60).contains(&reads), "{reads} rows for 10 of 20,000");
}

#[test]
fn many_parts_of_one_node_do_not_crowd_others_out() {
    let mut numbers = Numbers(4);
    let mut pair = Pair::new(16, Metric::Cosine, Kernels::detect());
    let query = numbers.vector(16);
    let near = |numbers: &mut Numbers| -> Vec<f32> {
        query.iter().map(|x| x + numbers.float() * 0.01).collect()
    };
    let parts = (0..2000).map(|part| (part, near(&mut numbers))).collect();
    pair.upsert(Slot(0), parts);
    for slot in 1..50 {
        pair.upsert(Slot(slot), vec![(0, numbers.vector(16))]);
    }
    pair.check(&query, pair.lsn, None, 10);
    pair.check(&query, pair.lsn, None, 50);
}

#[test]
fn pruning_gives_memory_back_and_keeps_what_is_seen() {
    let mut numbers = Numbers(5);
    let mut pair = Pair::new(64, Metric::Dot, Kernels::detect());
    let empty = pair.tail.memory_bytes();
    for slot in 0..20_000 {
        pair.lsn.0 += 1;
        pair.upsert(Slot(slot), vec![(0, numbers.vector(64))]);
    }
    let full = pair.tail.memory_bytes();
    assert!(full < 20_000 * (64 + 80), "{full} bytes");
    for slot in 0..20_000 {
        pair.lsn.0 += 1;
        if slot % 10 != 0 {
            pair.remove(Slot(slot));
        }
    }
    let query = numbers.vector(64);
    pair.prune(Lsn(20_000));
    pair.check(&query, Lsn(20_000), None, 10);
    assert_eq!(pair.tail.memory_bytes(), full, "a reader at 20,000 sees them all");
    pair.prune(pair.lsn);
    pair.check(&query, pair.lsn, None, 10);
    assert!(pair.tail.memory_bytes() < full / 4, "{} of {full}", pair.tail.memory_bytes());
    for slot in 0..20_000 {
        pair.remove(Slot(slot));
    }
    pair.prune(pair.lsn);
    assert_eq!(pair.tail.row_count(pair.lsn), 0);
    assert!(pair.tail.memory_bytes() < empty + 10_000, "{}", pair.tail.memory_bytes());
}

#[test]
fn one_node_rewritten_often_stays_cheap() {
    let mut pair = Pair::new(8, Metric::Cosine, Kernels::detect());
    let mut numbers = Numbers(6);
    for _ in 0..100_000 {
        pair.lsn.0 += 1;
        pair.upsert(Slot(1), vec![(0, numbers.vector(8))]);
    }
    pair.prune(pair.lsn);
    assert_eq!(pair.tail.held, 1);
    pair.check(&numbers.vector(8), pair.lsn, None, 10);
}

#[test]
fn a_search_can_be_interrupted() {
    let mut pair = Pair::new(4, Metric::Cosine, Kernels::detect());
    for slot in 0..5000 {
        pair.upsert(Slot(slot), vec![(0, Numbers(u64::from(slot)).vector(4))]);
    }
    let few: RoaringBitmap = (0..1000).collect();
    for allowed in [None, Some(&few)] {
        let mut questions = 0;
        let mut stops = BTreeSet::new();
        while questions < 100 {
            let mut left: u32 = questions;
            let mut interrupt = || {
                left = left.saturating_sub(1);
                left == 0
            };
            let mut rows = Stored::new(&pair.model, pair.lsn);
            let found =
                pair.tail.search(&[1.0; 4], pair.lsn, allowed, 100, &mut rows, &mut interrupt);
            let Ok(found) = found;
            stops.insert(found.is_none());
            questions += 1;
        }
        assert_eq!(stops.len(), 2, "stopped by early questions, done before late ones");
    }
}

#[test]
fn a_failing_store_fails_the_search_and_a_missing_row_is_left_out() {
    struct Failing;
    impl RowSource for Failing {
        type Error = &'static str;
        fn row(&mut self, slot: Slot, _: u16, out: &mut [f32]) -> Result<bool, Self::Error> {
            out.fill(1.0);
            match slot.0 {
                0 => Err("damaged"),
                slot => Ok(slot % 2 == 0),
            }
        }
    }
    let mut tail = VectorTail::new(2, Metric::Dot, Kernels::detect());
    for slot in 0..10 {
        tail.upsert(Slot(slot), Lsn(1), &[(0, &[1.0 + slot as f32, 1.0])]);
    }
    let all = tail.search(&[1.0, 1.0], Lsn(1), None, 10, &mut Failing, &mut || false);
    assert_eq!(all, Err("damaged"));
    let good: RoaringBitmap = (1..10).collect();
    let some = tail.search(&[1.0, 1.0], Lsn(1), Some(&good), 10, &mut Failing, &mut || false);
    let slots: Vec<u32> = some.unwrap().unwrap().iter().map(|hit| hit.slot.0).collect();
    assert_eq!(slots, [2, 4, 6, 8]);
    assert_eq!(tail.score(&[1.0, 1.0], Lsn(1), Slot(3), &mut Failing), Ok(None));
}

#[test]
fn an_empty_tail_and_no_results_are_fine() {
    let mut pair = Pair::new(3, Metric::Euclidean, Kernels::detect());
    pair.check(&[1.0; 3], Lsn(9), None, 5);
    pair.upsert(Slot(u32::MAX), vec![(u16::MAX, vec![1.0; 3])]);
    pair.check(&[1.0; 3], Lsn(9), None, 0);
    pair.check(&[1.0; 3], Lsn(9), Some(&RoaringBitmap::new()), 5);
    pair.check(&[1.0; 3], Lsn(9), Some(&RoaringBitmap::full()), 5);
    pair.upsert(Slot(u32::MAX), vec![]);
    pair.check(&[1.0; 3], Lsn(9), None, 5);
    pair.tail.advance(Lsn(12));
    pair.tail.advance(Lsn(11));
    assert_eq!(pair.tail.lsn(), Lsn(12));
}
