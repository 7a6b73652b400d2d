//! The meaning of nodes: similarity to the question, and vectors of whole nodes.

use std::sync::RwLockReadGuard;

use embedded_db_common::{Lsn, Result, Slot};
use embedded_db_indexing::StoreRows;
use embedded_db_indexing::kernels::Kernels;
use embedded_db_indexing::vector::{RowSource, VectorIndex, VectorReport, direction};
use roaring::RoaringBitmap;

use crate::guard::Guard;
use crate::legs::request;
use crate::run::Context;

/// The semantic leg of one search.
pub(super) struct Vectors<'a> {
    tail: RwLockReadGuard<'a, VectorIndex>,
    question: &'a [f32],
    length: f32,
    kernels: Kernels,
    rows: StoreRows<'a>,
    at: Lsn,
    guard: &'a Guard<'a>,
}

impl<'a> Vectors<'a> {
    pub(super) fn new(
        context: &'a Context<'_>,
        tail: RwLockReadGuard<'a, VectorIndex>,
        question: &'a [f32],
        guard: &'a Guard<'a>,
    ) -> Self {
        let rows = context.rows();
        let kernels = Kernels::detect();
        let length = kernels.dot_f32(question, question).sqrt();
        Self { tail, question, length, kernels, rows, at: context.lsn, guard }
    }

    /// The `k` most similar of the allowed nodes, best first, and how they were found.
    pub(super) fn best(
        &mut self,
        allowed: Option<&RoaringBitmap>,
        k: usize,
    ) -> Result<(Vec<(Slot, f32)>, VectorReport)> {
        let Self { tail, question, rows, at, guard, .. } = self;
        let request = request(allowed, k, None);
        let found = guard.watch(|stop| tail.search(question, *at, &request, rows, stop))?;
        Ok((found.hits.into_iter().map(|hit| (hit.slot, hit.score)).collect(), found.report))
    }

    /// The similarity of a node; `None` when it has no vector.
    pub(super) fn similarity(&mut self, slot: Slot) -> Result<Option<f32>> {
        self.guard.tick()?;
        let found = self.tail.score(self.question, self.at, slot, &mut self.rows)?;
        Ok(found.map(|hit| hit.score))
    }

    /// The direction of a whole node.
    pub(super) fn whole(&mut self, slot: Slot) -> Result<Option<Vec<f32>>> {
        self.guard.tick()?;
        let mut parts = Vec::new();
        for part in self.tail.parts(slot, self.at) {
            let mut values = vec![0.0; self.tail.dim()];
            if self.rows.row(slot, part, &mut values)? {
                parts.push(values);
            }
        }
        Ok(direction(parts))
    }

    /// Cosine of the question and a vector.
    pub(super) fn cosine(&self, vector: &[f32]) -> f32 {
        let dot = |a, b| self.kernels.dot_f32(a, b);
        let lengths = self.length * dot(vector, vector).sqrt();
        if lengths > 0.0 { (dot(self.question, vector) / lengths).clamp(-1.0, 1.0) } else { 0.0 }
    }
}
