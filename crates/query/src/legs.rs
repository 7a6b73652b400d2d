//! The legs that rank: similarity to a vector, and BM25.

use std::sync::RwLockReadGuard;

use embedded_db_common::{Lsn, Result, Slot};
use embedded_db_indexing::StoreRows;
use embedded_db_indexing::vector::graph::Effort;
use embedded_db_indexing::vector::{VectorIndex, VectorReport, VectorRequest};
use roaring::RoaringBitmap;

use crate::converged::{ConvergedQuery, Hit};
use crate::guard::Guard;
use crate::lexical::Lexical;
use crate::run::Context;

/// The ranking legs of one query.
pub(crate) struct Legs<'a> {
    text: Option<Lexical<'a>>,
    vectors: Option<(&'a VectorIndex, &'a [f32])>,
    recall: Option<f32>,
    rows: StoreRows<'a>,
    at: Lsn,
    guard: &'a Guard<'a>,
}

impl<'a> Legs<'a> {
    pub(crate) fn new(
        context: &'a Context<'a>,
        query: &'a ConvergedQuery,
        guard: &'a Guard<'a>,
        text: Option<Lexical<'a>>,
        vectors: Option<&'a RwLockReadGuard<'_, VectorIndex>>,
    ) -> Self {
        let vectors = vectors.zip(query.semantic.as_ref()).map(|(tail, leg)| {
            let index: &VectorIndex = tail;
            (index, leg.vector.as_slice())
        });
        let rows = context.rows();
        Self { text, vectors, recall: query.recall, rows, at: context.lsn, guard }
    }

    pub(crate) fn search_vectors(
        &mut self,
        candidates: Option<&RoaringBitmap>,
        k: usize,
    ) -> Result<(Vec<(Slot, f32)>, VectorReport)> {
        let Some((index, vector)) = self.vectors else { return Ok(Default::default()) };
        let (at, rows) = (self.at, &mut self.rows);
        let request = request(candidates, k, self.recall);
        let found = self.guard.watch(|stop| index.search(vector, at, &request, rows, stop))?;
        Ok((found.hits.into_iter().map(|hit| (hit.slot, hit.score)).collect(), found.report))
    }

    pub(crate) fn search_text(
        &self,
        candidates: Option<&RoaringBitmap>,
        k: usize,
    ) -> Result<(Vec<(Slot, f32)>, String)> {
        let Some(text) = &self.text else { return Ok(Default::default()) };
        text.search(candidates, k, self.guard)
    }

    /// Adds the scores that the searches did not give.
    pub(crate) fn complete(&mut self, hit: &mut Hit) -> Result<()> {
        if let (None, Some(text)) = (hit.text, &self.text) {
            hit.text = text.score(hit.slot)?;
        }
        if let (None, Some((tail, vector))) = (hit.similarity, self.vectors) {
            let found = tail.score(vector, self.at, hit.slot, &mut self.rows)?;
            hit.similarity = found.map(|found| found.score);
        }
        Ok(())
    }
}

/// What is asked of the vectors for a share of the nearest.
pub(crate) fn request(
    allowed: Option<&RoaringBitmap>,
    k: usize,
    recall: Option<f32>,
) -> VectorRequest<'_> {
    let effort = recall.map_or_else(Effort::default, Effort::for_recall);
    VectorRequest { k, allowed, effort, exact: recall.is_some_and(|recall| recall >= 1.0) }
}
