//! Every version of every document: whose it is, when it holds, what it says.

use std::collections::BTreeMap;

use embedded_db_common::{Lsn, Slot};

use super::postings::{MANY, Ordinal, grow_gently};
use super::terms::TermId;

/// `to` of a version that has not ended.
const NEVER: Lsn = Lsn(u64::MAX);
/// `previous` of a first version.
const FIRST: Ordinal = Ordinal::MAX;

/// One array per attribute, indexed by [`Ordinal`]; `from` ascends.
#[derive(Default)]
pub(super) struct Documents {
    slots: Vec<Slot>,
    from: Vec<Lsn>,
    to: Vec<Lsn>,
    lengths: Vec<u32>,
    previous: Vec<Ordinal>,
    /// Where a document's terms end in `terms` and `counts`.
    ends: Vec<usize>,
    /// Ascending inside a document.
    terms: Vec<TermId>,
    counts: Vec<u8>,
    /// Counts too large for `counts`.
    many: BTreeMap<(Ordinal, TermId), u32>,
}

impl Documents {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Number of postings of all documents.
    pub(super) fn postings(&self) -> usize {
        self.terms.len()
    }

    /// Adds a version that begins at `from`. `words` are its terms in ascending order, one for each
    /// occurrence. `sink` gets each distinct term with its stored count.
    pub(super) fn push(
        &mut self,
        slot: Slot,
        from: Lsn,
        previous: Option<Ordinal>,
        words: &[TermId],
        mut sink: impl FnMut(TermId, u8),
    ) -> Ordinal {
        let ordinal = self.len() as Ordinal;
        for (term, count) in counted(words) {
            let stored = u8::try_from(count).unwrap_or(MANY);
            if stored == MANY {
                self.many.insert((ordinal, term), count);
            }
            grow_gently(&mut self.terms, 1);
            grow_gently(&mut self.counts, 1);
            self.terms.push(term);
            self.counts.push(stored);
            sink(term, stored);
        }
        self.push_version(slot, from, NEVER, words.len() as u32, previous.unwrap_or(FIRST));
        ordinal
    }

    pub(super) fn end(&mut self, document: Ordinal, at: Lsn) {
        self.to[document as usize] = at;
    }

    pub(super) fn slot(&self, document: Ordinal) -> Slot {
        self.slots[document as usize]
    }

    pub(super) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    pub(super) fn length(&self, document: Ordinal) -> u32 {
        self.lengths[document as usize]
    }

    pub(super) fn is_live(&self, document: Ordinal) -> bool {
        self.to[document as usize] == NEVER
    }

    pub(super) fn has_ended(&self, document: Ordinal, at: Lsn) -> bool {
        let to = self.to[document as usize];
        to <= at && to != NEVER
    }

    /// Documents below the answer began at `at` or earlier.
    pub(super) fn begun(&self, at: Lsn) -> Ordinal {
        match self.from.last() {
            Some(&last) if last > at => self.from.partition_point(|&from| from <= at) as Ordinal,
            _ => self.len() as Ordinal,
        }
    }

    /// Of the versions of one slot, newest given, the one that holds at `at`.
    pub(super) fn version_at(&self, newest: Ordinal, at: Lsn) -> Option<Ordinal> {
        let mut version = newest;
        while version != FIRST {
            if self.from[version as usize] <= at {
                return (!self.has_ended(version, at)).then_some(version);
            }
            version = self.previous[version as usize];
        }
        None
    }

    /// The distinct terms, ascending.
    pub(super) fn terms(&self, document: Ordinal) -> &[TermId] {
        &self.terms[self.range(document)]
    }

    pub(super) fn holds(&self, document: Ordinal, term: TermId) -> bool {
        self.terms(document).binary_search(&term).is_ok()
    }

    /// How often the term occurs.
    pub(super) fn count(&self, document: Ordinal, term: TermId) -> u32 {
        let range = self.range(document);
        match self.terms[range.clone()].binary_search(&term) {
            Ok(place) => self.full_count(document, term, self.counts[range.start + place]),
            Err(_) => 0,
        }
    }

    /// The count behind a stored one.
    #[inline]
    pub(super) fn full_count(&self, document: Ordinal, term: TermId, stored: u8) -> u32 {
        if stored < MANY { stored.into() } else { self.many[&(document, term)] }
    }

    /// Does the document consist of exactly these words (ascending terms)?
    pub(super) fn says(&self, document: Ordinal, words: &[TermId]) -> bool {
        let terms = self.terms(document).iter().map(|&term| (term, self.count(document, term)));
        self.length(document) as usize == words.len() && terms.eq(counted(words))
    }

    /// Only the documents and terms that get a number, with that number. Both numberings must keep
    /// the order.
    pub(super) fn renumbered(
        &self,
        document_number: impl Fn(Ordinal) -> Option<Ordinal>,
        term_number: impl Fn(TermId) -> TermId,
    ) -> Self {
        let survivors = || (0..self.len() as Ordinal).filter(|&old| document_number(old).is_some());
        let mut kept = Self::default();
        kept.reserve(survivors().count(), survivors().map(|old| self.range(old).len()).sum());
        for old in survivors() {
            let range = self.range(old);
            kept.terms.extend(self.terms[range.clone()].iter().map(|&term| term_number(term)));
            kept.counts.extend_from_slice(&self.counts[range]);
            let at = old as usize;
            let previous = match self.previous[at] {
                FIRST => FIRST,
                before => document_number(before).unwrap_or(FIRST),
            };
            kept.push_version(
                self.slots[at],
                self.from[at],
                self.to[at],
                self.lengths[at],
                previous,
            );
        }
        kept.many = self
            .many
            .iter()
            .filter_map(|(&(old, term), &count)| {
                Some(((document_number(old)?, term_number(term)), count))
            })
            .collect();
        kept
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let version = size_of::<(Slot, u32, Ordinal)>() + 2 * size_of::<Lsn>() + size_of::<usize>();
        let large = size_of::<((Ordinal, TermId), u32)>() * 3 / 2;
        self.slots.capacity() * version
            + self.terms.capacity() * size_of::<TermId>()
            + self.counts.capacity()
            + self.many.len() * large
    }

    fn reserve(&mut self, versions: usize, postings: usize) {
        self.slots.reserve_exact(versions);
        self.from.reserve_exact(versions);
        self.to.reserve_exact(versions);
        self.lengths.reserve_exact(versions);
        self.previous.reserve_exact(versions);
        self.ends.reserve_exact(versions);
        self.terms.reserve_exact(postings);
        self.counts.reserve_exact(postings);
    }

    fn push_version(&mut self, slot: Slot, from: Lsn, to: Lsn, length: u32, previous: Ordinal) {
        grow_gently(&mut self.slots, 1);
        grow_gently(&mut self.from, 1);
        grow_gently(&mut self.to, 1);
        grow_gently(&mut self.lengths, 1);
        grow_gently(&mut self.previous, 1);
        grow_gently(&mut self.ends, 1);
        self.slots.push(slot);
        self.from.push(from);
        self.to.push(to);
        self.lengths.push(length);
        self.previous.push(previous);
        self.ends.push(self.terms.len());
    }

    fn range(&self, document: Ordinal) -> std::ops::Range<usize> {
        let document = document as usize;
        document.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[document]
    }
}

/// Runs of equal terms.
fn counted(words: &[TermId]) -> impl Iterator<Item = (TermId, u32)> {
    words.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32))
}
