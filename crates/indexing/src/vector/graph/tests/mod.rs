//! A graph finds what comparing every row would find, whatever may be found and however it came
//! to be; and a damaged one is told, not walked out of.

mod damage;
mod merge;
mod model;
mod recall;

use std::collections::BTreeMap;
use std::convert::Infallible;

use embedded_db_common::Slot;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::super::exact::ExactQuery;
use super::super::tests::Numbers;
use super::super::{Metric, RowSource, VectorHit};
use super::{BuildOptions, Graph, GraphRequest, Profile, Report, RowCodes, Scratch, build};
use crate::kernels::Kernels;

fn metrics() -> impl Strategy<Value = Metric> {
    prop::sample::select(&[Metric::Cosine, Metric::Dot, Metric::Euclidean][..])
}

/// Vectors of slots and parts, as the store has them.
#[derive(Clone, Debug, Default)]
struct Store {
    metric: Option<Metric>,
    dim: usize,
    rows: BTreeMap<(Slot, u16), Vec<f32>>,
}

impl Store {
    fn new(metric: Metric, dim: usize) -> Self {
        Self { metric: Some(metric), dim, rows: BTreeMap::new() }
    }

    fn metric(&self) -> Metric {
        self.metric.expect("a store has a metric")
    }

    fn ids(&self) -> Vec<(Slot, u16)> {
        self.rows.keys().copied().collect()
    }

    fn codes(&mut self) -> RowCodes {
        let Ok(codes) = RowCodes::read(self.dim, self.metric(), &self.ids(), &mut self.clone());
        codes
    }

    fn graph(&mut self, threads: usize) -> Graph {
        self.graph_of(threads, Profile::Normal)
    }

    fn graph_of(&mut self, threads: usize, profile: Profile) -> Graph {
        let options = BuildOptions { threads, seed: 7, profile };
        build(self.codes(), &options, &|| false).expect("not interrupted")
    }

    /// The best nodes, each by its best part.
    fn best(&self, query: &[f32], may: impl Fn(Slot, u16) -> bool, k: usize) -> Vec<VectorHit> {
        let exact = ExactQuery::new(self.metric(), Kernels::detect(), query);
        let mut best: BTreeMap<Slot, VectorHit> = BTreeMap::new();
        for (&(slot, part), vector) in
            self.rows.iter().filter(|((slot, part), _)| may(*slot, *part))
        {
            let hit = VectorHit { slot, part, score: exact.score(vector) };
            let held = best.entry(slot).or_insert(hit);
            if hit.score > held.score {
                *held = hit;
            }
        }
        let mut hits: Vec<_> = best.into_values().collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot)));
        hits.truncate(k);
        hits
    }
}

impl RowSource for Store {
    type Error = Infallible;

    fn row(&mut self, slot: Slot, part: u16, out: &mut [f32]) -> Result<bool, Infallible> {
        let found = self.rows.get(&(slot, part));
        if let Some(vector) = found {
            out.copy_from_slice(vector);
        }
        Ok(found.is_some())
    }
}

/// Vectors in clusters which are wide in a few directions.
fn mixture(numbers: &mut Numbers, count: usize, dim: usize) -> Vec<Vec<f32>> {
    let clusters: Vec<Vec<Vec<f32>>> =
        (0..100).map(|_| (0..9).map(|_| numbers.vector(dim)).collect()).collect();
    let mut draw = || {
        let cluster = &clusters[numbers.below(100)];
        let mut vector: Vec<f32> = cluster[0].iter().map(|x| x * 1.5).collect();
        for direction in &cluster[1..] {
            let step = numbers.float();
            vector.iter_mut().zip(direction).for_each(|(x, along)| *x += step * along);
        }
        vector.iter_mut().for_each(|x| *x += numbers.float() * 0.6);
        vector
    };
    (0..count).map(|_| draw()).collect()
}

fn search(
    graph: &Graph,
    store: &mut Store,
    query: &[f32],
    request: &GraphRequest<'_>,
) -> (Vec<VectorHit>, Report) {
    let mut scratch = Scratch::default();
    let found = graph.view().search_exact(query, request, store, &mut scratch, &mut || false);
    found.expect("whole").expect("not interrupted")
}

fn every(n: u32, of: u32) -> RoaringBitmap {
    (0..of).step_by(n as usize).collect()
}
