//! The vectors of one space in one namespace: files, and the exact tail of what came after them.

use std::sync::Arc;

use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::exact::ExactQuery;
use super::part::Part;
use super::search::{Found, VectorRequest, best_part, search};
use super::segment::VectorSegment;
use super::sources::Sources;
use super::{Metric, RowSource, VectorHit, VectorTail};
use crate::kernels::Kernels;

/// Vectors of one space in one namespace, searchable from the moment they are put in.
///
/// Changes come in the order of their LSN. Readers name the LSN `at` which they see, from the last
/// [`VectorIndex::prune`] up to [`VectorIndex::lsn`], and not before that of the files.
pub struct VectorIndex {
    /// Older ones first. A node's rows are seen in one of them at the most, or in the tail.
    parts: Vec<Part>,
    tail: VectorTail,
    /// So few rows of a file with a graph are looked at one by one.
    few: usize,
}

impl VectorIndex {
    /// An empty one.
    ///
    /// # Panics
    /// If `dim` is 0 or more than [`crate::kernels::MAX_DIM`].
    pub fn new(dim: usize, metric: Metric, kernels: Kernels) -> Self {
        let few = super::graph::GraphRequest::default().few;
        Self { parts: Vec::new(), tail: VectorTail::new(dim, metric, kernels), few }
    }

    /// The same over files that hold all up to an LSN, older ones first.
    pub(crate) fn over(mut self, files: Vec<Arc<VectorSegment>>, few: usize, lsn: Lsn) -> Self {
        let mut later = RoaringBitmap::new();
        for file in files.into_iter().rev() {
            let nodes = file.nodes().clone();
            self.parts.push(Part::new(file, &later));
            later |= nodes;
        }
        self.parts.reverse();
        self.few = few;
        self.tail.advance(lsn);
        self
    }

    fn sources(&self) -> Sources<'_> {
        Sources { parts: &self.parts, tail: &self.tail }
    }

    /// Number of dimensions.
    pub fn dim(&self) -> usize {
        self.tail.dim()
    }

    /// How vectors are compared.
    pub fn metric(&self) -> Metric {
        self.tail.metric()
    }

    /// Up to where it has followed the changes.
    pub fn lsn(&self) -> Lsn {
        self.tail.lsn()
    }

    /// Notes that no change up to `to` concerns it, but for those it was given.
    pub fn advance(&mut self, to: Lsn) {
        self.tail.advance(to);
    }

    /// Replaces all parts of the node from `at` on; no parts remove it. Each part is its number and its vector,
    /// finite numbers of any size.
    ///
    /// # Panics
    /// If a vector has not the dimension.
    pub fn upsert(&mut self, slot: Slot, at: Lsn, parts: &[(u16, &[f32])]) {
        self.parts.iter_mut().for_each(|part| part.end(slot, at));
        self.tail.upsert(slot, at, parts);
    }

    /// Drops what nobody at `oldest` or later can see. No reader may come at a snapshot before that any more.
    pub fn prune(&mut self, oldest: Lsn) {
        self.parts.iter_mut().for_each(|part| part.prune(oldest));
        self.tail.prune(oldest);
    }

    /// Number of rows, counting every part of a node, seen at `at`.
    pub fn row_count(&self, at: Lsn) -> u64 {
        let seen = |part: &Part| u64::from(part.segment().rows()) - part.dead(at).len();
        self.tail.row_count(at) + self.parts.iter().map(seen).sum::<u64>()
    }

    /// Whether the node has a vector at `at`.
    pub fn contains(&self, slot: Slot, at: Lsn) -> bool {
        !self.sources().parts_of(slot, at).is_empty()
    }

    /// The parts of the node that have a vector at `at`.
    pub fn parts(&self, slot: Slot, at: Lsn) -> Vec<u16> {
        self.sources().parts_of(slot, at)
    }

    /// The best nodes at `at`, best first, equal scores by slot; fewer than wanted only if fewer qualify. A node's
    /// score is its best part's, and is that of f32 vectors. `None` means that `interrupt`, asked every few
    /// microseconds, said to stop.
    ///
    /// Nodes in files with a graph are the best that a walk has found, of which some may be missed, unless the
    /// request wants all; of the others none is missed.
    ///
    /// # Errors
    /// What `rows` says.
    ///
    /// # Panics
    /// If the query has not the dimension.
    pub fn search<R: RowSource>(
        &self,
        query: &[f32],
        at: Lsn,
        request: &VectorRequest<'_>,
        rows: &mut R,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Found>, R::Error> {
        search(self.sources(), self.few, query, at, request, rows, interrupt)
    }

    /// The exact score of the node's best part at `at`; `None` if it has no vector then.
    ///
    /// # Errors
    /// What `rows` says.
    ///
    /// # Panics
    /// If the query has not the dimension.
    pub fn score<R: RowSource>(
        &self,
        query: &[f32],
        at: Lsn,
        slot: Slot,
        rows: &mut R,
    ) -> Result<Option<VectorHit>, R::Error> {
        assert_eq!(query.len(), self.dim(), "a query of the index's dimension");
        let exact = ExactQuery::new(self.metric(), self.tail.kernels, query);
        best_part(&exact, self.dim(), slot, self.parts(slot, at), rows)
    }

    /// Rows that are in no graph, and those of files that have ended since.
    pub(crate) fn rows_scanned(&self) -> u64 {
        let of = |part: &Part| {
            u64::from(part.segment().rows() - part.segment().linked()) + part.ended_since()
        };
        self.tail.held as u64 + self.parts.iter().map(of).sum::<u64>()
    }

    /// Whether a file was met that is damaged: what was read since it was opened may be wrong. Whoever has used
    /// it looks before anything is made of that.
    pub fn is_damaged(&self) -> bool {
        self.parts.iter().any(|part| part.segment().file().is_damaged())
    }

    /// Names of the files.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = String> {
        let name =
            |part: &Part| part.segment().file().path().file_name()?.to_str().map(str::to_owned);
        self.parts.iter().filter_map(name)
    }

    /// Whether all files are as long as they were.
    pub(crate) fn is_whole(&self) -> bool {
        self.parts.iter().all(|part| part.segment().file().is_whole())
    }

    /// Bytes of memory held, without the allocator's own, and without mapped files.
    pub fn memory_bytes(&self) -> usize {
        self.tail.memory_bytes() + self.parts.iter().map(Part::memory_bytes).sum::<usize>()
    }
}
