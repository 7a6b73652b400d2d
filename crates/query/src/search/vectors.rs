//! The meaning of nodes: similarity to the question, and vectors of whole nodes.

use std::sync::RwLockReadGuard;

use embedded_db_common::{Lsn, Result, Slot, SpaceId};
use embedded_db_indexing::StoreRows;
use embedded_db_indexing::vector::{RowSource, VectorTail};
use roaring::RoaringBitmap;

use crate::guard::Guard;
use crate::run::Context;

/// The semantic leg of one search.
pub(super) struct Vectors<'a> {
    tail: RwLockReadGuard<'a, VectorTail>,
    question: &'a [f32],
    length: f32,
    rows: StoreRows<'a>,
    at: Lsn,
    guard: &'a Guard<'a>,
}

impl<'a> Vectors<'a> {
    pub(super) fn new(
        context: &'a Context<'_>,
        tail: RwLockReadGuard<'a, VectorTail>,
        question: &'a [f32],
        guard: &'a Guard<'a>,
    ) -> Self {
        let rows = StoreRows {
            snapshot: context.snapshot,
            namespace: context.namespace,
            space: context.space.unwrap_or(SpaceId(0)),
        };
        let length = length(question);
        Self { tail, question, length, rows, at: context.lsn, guard }
    }

    /// The `k` most similar of the allowed nodes, best first.
    pub(super) fn best(
        &mut self,
        allowed: Option<&RoaringBitmap>,
        k: usize,
    ) -> Result<Vec<(Slot, f32)>> {
        let Self { tail, question, rows, at, guard, .. } = self;
        let found = guard.watch(|stop| tail.search(question, *at, allowed, k, rows, stop))?;
        Ok(found.into_iter().map(|hit| (hit.slot, hit.score)).collect())
    }

    /// The similarity of a node; `None` when it has no vector.
    pub(super) fn similarity(&mut self, slot: Slot) -> Result<Option<f32>> {
        self.guard.tick()?;
        let found = self.tail.score(self.question, self.at, slot, &mut self.rows)?;
        Ok(found.map(|hit| hit.score))
    }

    /// The vector of a whole node, of length 1: the mean of its parts.
    pub(super) fn whole(&mut self, slot: Slot) -> Result<Option<Vec<f32>>> {
        self.guard.tick()?;
        let mut whole: Option<Vec<f32>> = None;
        for part in self.tail.parts(slot, self.at) {
            let mut values = vec![0.0; self.tail.dim()];
            if !self.rows.row(slot, part, &mut values)? {
                continue;
            }
            normalise(&mut values);
            match &mut whole {
                None => whole = Some(values),
                Some(whole) => whole.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
            }
        }
        Ok(whole.map(|mut whole| {
            normalise(&mut whole);
            whole
        }))
    }

    /// Cosine of the question and a vector.
    pub(super) fn cosine(&self, vector: &[f32]) -> f32 {
        let lengths = self.length * length(vector);
        if lengths > 0.0 { (dot(self.question, vector) / lengths).clamp(-1.0, 1.0) } else { 0.0 }
    }
}

fn normalise(values: &mut [f32]) {
    let length = length(values);
    if length > 0.0 {
        values.iter_mut().for_each(|value| *value /= length);
    }
}

fn length(values: &[f32]) -> f32 {
    dot(values, values).sqrt()
}

/// In eight sums, which need not wait for each other.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
