//! Blocks of a mapped file, looked at when they are first read.

use std::ops::Range;

use embedded_db_storage::Segment;

/// A section of a file whose blocks are checked one by one; nothing of sections that lie elsewhere, or that were
/// checked as a whole.
#[derive(Clone, Copy, Default)]
pub(super) struct Blocks<'a>(Option<(&'a Segment, usize)>);

impl<'a> Blocks<'a> {
    /// Of the section that begins there.
    pub(super) fn of(file: &'a Segment, begin: usize) -> Self {
        Self(Some((file, begin)))
    }

    /// Whether these bytes of the section are what was written.
    #[inline(always)]
    pub(super) fn are_right(self, range: Range<usize>) -> bool {
        let Some((file, begin)) = self.0 else { return true };
        let len = range.len();
        file.bytes(begin + range.start..begin + range.end).len() == len
    }
}

impl std::fmt::Debug for Blocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Blocks").field(&self.0.map(|(file, begin)| (file.path(), begin))).finish()
    }
}
