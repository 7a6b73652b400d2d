//! Postings of one term: which documents hold it, in the order in which they came.

/// Number of a document version inside its tail, given in order of arrival and again at a compaction.
pub(super) type Ordinal = u32;

/// A count that does not fit a posting; the real one is kept with the document.
pub(super) const MANY: u8 = u8::MAX;

/// Five bytes, unaligned: the lists are most of what a tail occupies.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub(super) struct Posting {
    pub(super) document: Ordinal,
    pub(super) count: u8,
}

/// Ascending by document.
#[derive(Default)]
pub(super) struct PostingList {
    postings: Vec<Posting>,
    /// How many of the documents have not ended.
    pub(super) live: u32,
    pub(super) max_count: u8,
}

impl PostingList {
    /// Appends a document later than all before; returns by how many bytes the list grew.
    pub(super) fn push(&mut self, posting: Posting) -> usize {
        let before = self.memory_bytes();
        grow_gently(&mut self.postings, 1);
        self.postings.push(posting);
        self.live += 1;
        self.max_count = self.max_count.max(posting.count);
        self.memory_bytes() - before
    }

    /// The postings of documents below `end`.
    pub(super) fn before(&self, end: Ordinal) -> &[Posting] {
        match self.postings.last() {
            Some(last) if last.document >= end => {
                let length = self.postings.partition_point(|posting| posting.document < end);
                &self.postings[..length]
            }
            _ => &self.postings,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.postings.len()
    }

    /// Gives the documents new numbers and drops those without; the order stays.
    pub(super) fn renumber(&mut self, number: impl Fn(Ordinal) -> Option<Ordinal>) {
        self.postings.retain_mut(|posting| match number(posting.document) {
            Some(document) => {
                posting.document = document;
                true
            }
            None => false,
        });
        if self.postings.len() < self.postings.capacity() / 2 {
            self.postings.shrink_to_fit();
        }
        self.max_count = self.postings.iter().map(|posting| posting.count).max().unwrap_or(0);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.postings.capacity() * size_of::<Posting>()
    }
}

/// Room for `more` items. Grows by a quarter where a `Vec` would double: a tail is long-lived and
/// its lists are many.
pub(super) fn grow_gently<T>(items: &mut Vec<T>, more: usize) {
    if items.capacity() - items.len() < more {
        items.reserve_exact(more.max(items.len() / 4).max(4));
    }
}
