//! Where rows lie: in files, and in the tail.

use embedded_db_common::{Lsn, Slot};

use super::VectorTail;
use super::block::{RowId, RowScale};
use super::part::Part;
use super::segment::Lookup;

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file's place among the parts, and the row's number in it.
    File(u32, u32),
    Tail(RowId),
}

/// All rows that a reader may see.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// Older ones first.
    pub(super) parts: &'a [Part],
    pub(super) tail: &'a VectorTail,
}

impl<'a> Sources<'a> {
    /// The row's codes; `None` where they are damaged.
    #[inline]
    pub(super) fn codes(&self, place: Place) -> Option<&'a [u8]> {
        match place {
            Place::File(part, row) => self.parts.get(part as usize)?.segment().codes_of(row),
            Place::Tail(id) => Some(self.tail.block(id).codes_of(id.offset())),
        }
    }

    /// How the codes relate to the row.
    #[inline]
    pub(super) fn scale(&self, place: Place) -> Option<RowScale> {
        match place {
            Place::File(part, row) => {
                Some(self.parts.get(part as usize)?.segment().record(row)?.scale)
            }
            Place::Tail(id) => Some(self.tail.block(id).scale_of(id.offset())),
        }
    }

    /// What is the same for rows of equal values.
    pub(super) fn fingerprint(&self, place: Place) -> Option<u64> {
        match place {
            Place::File(part, row) => {
                Some(self.parts.get(part as usize)?.segment().record(row)?.fingerprint)
            }
            Place::Tail(id) => Some(self.tail.row(id).fingerprint),
        }
    }

    /// The parts of a slot that are seen at `at`.
    pub(super) fn parts_of(&self, slot: Slot, at: Lsn) -> Vec<u16> {
        let tail = self.tail.visible_rows(slot, at).map(|id| self.tail.row(id).part);
        let mut out: Vec<u16> = tail.collect();
        if !out.is_empty() {
            return out;
        }
        let mut rows = Vec::new();
        for part in self.parts.iter().filter(|part| part.segment().nodes().contains(slot.0)) {
            Lookup::new(part.segment()).find(slot, &mut rows);
            let seen = rows.iter().filter(|row| part.is_visible(**row, at));
            out.extend(seen.filter_map(|row| Some(part.segment().record(*row)?.part)));
        }
        out
    }

    /// Rows held, seen or not.
    pub(super) fn held(&self) -> usize {
        let files = self.parts.iter().map(|part| part.segment().rows() as usize);
        self.tail.held + files.sum::<usize>()
    }

    /// Whether a node may have several rows.
    pub(super) fn has_parts(&self) -> bool {
        self.tail.has_parts || self.parts.iter().any(|part| part.segment().has_parts())
    }
}
