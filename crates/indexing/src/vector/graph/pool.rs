//! The nearest nodes so far, in order, each with whether its links have been followed.

/// A node and its distance in one number: the key of the distance above, the node below it, and
/// in the last bit whether the node has been expanded. Entries sort by distance, then by node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u64);

const EXPANDED: u64 = 1;

impl Entry {
    #[inline(always)]
    pub(super) fn new(key: u32, node: u32) -> Self {
        Self(u64::from(key) << 32 | u64::from(node) << 1)
    }

    #[inline(always)]
    pub(super) fn key(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline(always)]
    pub(super) fn node(self) -> u32 {
        self.0 as u32 >> 1
    }
}

/// At most `limit` entries, the nearest first.
#[derive(Clone, Default)]
pub(super) struct Pool {
    entries: Vec<Entry>,
    limit: usize,
    /// All entries before it have been expanded.
    next: usize,
}

impl Pool {
    pub(super) fn reset(&mut self, limit: usize) {
        self.entries.clear();
        self.entries.reserve(limit);
        (self.limit, self.next) = (limit, 0);
    }

    /// Takes the entry in if it is among the nearest.
    #[inline(always)]
    pub(super) fn insert(&mut self, entry: Entry) {
        if self.entries.len() == self.limit {
            match self.entries.last() {
                Some(last) if entry < *last => self.entries.pop(),
                _ => return,
            };
        }
        let place = self.entries.partition_point(|held| *held < entry);
        self.entries.insert(place, entry);
        self.next = self.next.min(place);
    }

    /// The nearest entry not expanded yet; it counts as expanded from now on.
    #[inline(always)]
    pub(super) fn expand(&mut self) -> Option<Entry> {
        let entry = self.peek()?;
        self.entries[self.next].0 |= EXPANDED;
        self.next += 1;
        Some(entry)
    }

    /// The nearest entry not expanded yet.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Option<Entry> {
        let rest = self.entries.get(self.next..)?;
        self.next += rest.iter().take_while(|entry| entry.0 & EXPANDED != 0).count();
        self.entries.get(self.next).copied()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
