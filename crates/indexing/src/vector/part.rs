//! A file of vectors, and which of its rows have ended since.

use std::borrow::Cow;
use std::sync::Arc;

use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::segment::{Lookup, VectorSegment};
use crate::hashing::FastMap;

/// A file and what has ended in it. Its other rows are seen by every reader.
pub(super) struct Part {
    segment: Arc<VectorSegment>,
    /// All rows that have ended.
    ended: RoaringBitmap,
    /// Those of them that some reader may still see, and when they ended.
    since: FastMap<u32, Lsn>,
    /// When the last one ended.
    last: Lsn,
}

impl Part {
    /// A file; later ones tell of these nodes.
    pub(super) fn new(segment: Arc<VectorSegment>, later: &RoaringBitmap) -> Self {
        let ended = segment.dead_with(later);
        Self { segment, ended, since: FastMap::default(), last: Lsn(0) }
    }

    pub(super) fn segment(&self) -> &VectorSegment {
        &self.segment
    }

    /// The node's rows are not seen from `at` on.
    pub(super) fn end(&mut self, slot: Slot, at: Lsn) {
        if !self.segment.nodes().contains(slot.0) {
            return;
        }
        let mut rows = Vec::new();
        Lookup::new(&self.segment).find(slot, &mut rows);
        for row in rows {
            if self.ended.insert(row) {
                self.since.insert(row, at);
                self.last = self.last.max(at);
            }
        }
    }

    /// Forgets when rows ended that no reader from `oldest` on sees.
    pub(super) fn prune(&mut self, oldest: Lsn) {
        self.since.retain(|_, at| *at > oldest);
        self.since.shrink_to_fit();
    }

    #[inline]
    pub(super) fn is_visible(&self, row: u32, at: Lsn) -> bool {
        !self.ended.contains(row) || self.since.get(&row).is_some_and(|end| *end > at)
    }

    /// The rows that are not seen at `at`.
    pub(super) fn dead(&self, at: Lsn) -> Cow<'_, RoaringBitmap> {
        if self.last <= at {
            return Cow::Borrowed(&self.ended);
        }
        let mut dead = self.ended.clone();
        for (row, _) in self.since.iter().filter(|(_, end)| **end > at) {
            dead.remove(*row);
        }
        Cow::Owned(dead)
    }

    /// Rows that have ended since it was opened, as far as some reader may still see them.
    pub(super) fn ended_since(&self) -> u64 {
        self.since.len() as u64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.segment.memory_bytes()
            + self.ended.serialized_size()
            + self.since.capacity() * size_of::<(u32, Lsn)>()
    }
}
