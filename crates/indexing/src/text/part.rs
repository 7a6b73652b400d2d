//! A sealed segment as readers see it: without the documents that have ended since.

use std::collections::VecDeque;
use std::sync::Arc;

use embedded_db_common::{Lsn, Slot};

use super::postings::Ordinal;
use super::segment::{Deaths, TextSegment};
use super::tail::Totals;
use super::terms::TermId;
use crate::hashing::FastMap;

/// One segment with its deaths.
pub(super) struct Part {
    pub(super) segment: Arc<TextSegment>,
    /// What later segments have ended: nobody sees it.
    pub(super) published: Deaths,
    /// What has ended since.
    pub(super) since: Deaths,
    /// When, as far as a reader may be older.
    ends: FastMap<Ordinal, Lsn>,
    /// The same documents, in the order in which they ended.
    order: VecDeque<Ordinal>,
}

impl Part {
    pub(super) fn new(segment: Arc<TextSegment>, published: Deaths) -> Self {
        let (since, ends, order) = Default::default();
        Self { segment, published, since, ends, order }
    }

    /// Documents that have not ended.
    pub(super) fn live(&self) -> u64 {
        let ended = self.published.documents.len() + self.since.documents.len();
        u64::from(self.segment.documents()).saturating_sub(ended)
    }

    /// Whether the document has ended for a reader at `at`.
    #[inline]
    pub(super) fn has_ended(&self, document: Ordinal, at: Lsn) -> bool {
        if !self.since.documents.is_empty() && self.since.documents.contains(document) {
            return self.ends.get(&document).is_none_or(|end| *end <= at);
        }
        !self.published.documents.is_empty() && self.published.documents.contains(document)
    }

    /// The document of a slot that a reader at `at` sees.
    pub(super) fn version_at(&self, slot: Slot, at: Lsn) -> Option<Ordinal> {
        self.segment.document_of(slot).filter(|document| !self.has_ended(*document, at))
    }

    pub(super) fn end(&mut self, document: Ordinal, at: Lsn) {
        let words = self.segment.length(document);
        let terms = self.segment.terms_of(document).map(|(term, _)| term);
        self.since.add(document, words, terms);
        self.ends.insert(document, at);
        self.order.push_back(document);
    }

    /// No reader is older.
    pub(super) fn prune(&mut self, oldest: Lsn) {
        while let Some(first) = self.order.front()
            && self.ends.get(first).is_none_or(|end| *end <= oldest)
        {
            self.ends.remove(first);
            self.order.pop_front();
        }
    }

    /// Those that end after `at`.
    fn ended_after(&self, at: Lsn) -> impl Iterator<Item = Ordinal> {
        let later = move |document: &&Ordinal| self.ends.get(document).is_some_and(|end| *end > at);
        self.order.iter().rev().take_while(later).copied()
    }

    /// Documents that a reader at `at` sees, and their words.
    pub(super) fn totals(&self, at: Lsn) -> Totals {
        let ended = self.published.words.saturating_add(self.since.words);
        let mut totals =
            Totals { documents: self.live(), words: self.segment.words().saturating_sub(ended) };
        for document in self.ended_after(at) {
            totals.documents += 1;
            totals.words += u64::from(self.segment.length(document));
        }
        totals
    }

    /// How many documents that a reader at `at` sees hold a term.
    pub(super) fn holders(&self, term: TermId, at: Lsn) -> u64 {
        let ended = self.published.holders(term).saturating_add(self.since.holders(term));
        let live = self.segment.holders(term).saturating_sub(ended);
        let later = self.ended_after(at);
        let later = later.filter(|document| self.segment.count(*document, term) > 0).count();
        u64::from(live) + later as u64
    }

    /// Whether the document has exactly these words: distinct terms in any order, with how often each occurs.
    pub(super) fn says(&self, document: Ordinal, words: &[(Box<str>, u32)]) -> bool {
        let length: u64 = words.iter().map(|(_, count)| u64::from(*count)).sum();
        if u64::from(self.segment.length(document)) != length {
            return false;
        }
        let own = words.iter().map(|(term, count)| Some((self.segment.term(term)?, *count)));
        let Some(mut own) = own.collect::<Option<Vec<_>>>() else { return false };
        own.sort_unstable();
        self.segment.terms_of(document).eq(own)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let deaths = |deaths: &Deaths| {
            deaths.documents.serialized_size() + deaths.terms.len() * size_of::<[u32; 4]>()
        };
        deaths(&self.published)
            + deaths(&self.since)
            + self.ends.capacity() * size_of::<(Ordinal, Lsn)>()
            + self.order.capacity() * size_of::<Ordinal>()
    }
}
