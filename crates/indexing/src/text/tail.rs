//! The exact in-memory index: what it holds and how it changes.

use std::collections::VecDeque;

use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::analyzer::Analyzer;
use super::bm25::Bm25;
use super::documents::Documents;
use super::postings::{Ordinal, Posting, PostingList};
use super::query::TextQuery;
use super::scorer::TextScorer;
use super::search::{TextHit, search};
use super::terms::{TermId, TermTable};
use crate::hashing::FastMap;

/// Compaction waits until one part in this many is garbage, so that it costs a change little.
const GARBAGE_SHARE: usize = 8;

/// Texts of one namespace, searchable from the moment they are put in.
///
/// Changes come in the order of their LSN; one that claims to be earlier than [`TextTail::lsn`]
/// counts as made there. Texts read from a snapshot of the store may be put in with any LSN up to the
/// snapshot's, if no reader comes at an older one.
///
/// Readers name the LSN `at` which they see, from the last [`TextTail::prune`] up to
/// [`TextTail::lsn`]. Rows and statistics (documents, holders of a term, average length) are exactly
/// those of the documents visible then: what is known about now, corrected by the versions that began
/// or ended since. An older `at` misses rows that were pruned, but never shows a wrong one.
///
/// A text without a single term is no document: it is neither found nor counted.
pub struct TextTail {
    analyzer: Analyzer,
    lsn: Lsn,
    pruned: Lsn,
    terms: TermTable,
    /// By [`TermId`].
    postings: Vec<PostingList>,
    postings_bytes: usize,
    documents: Documents,
    /// The newest version of each slot, ended or not.
    newest: FastMap<Slot, Ordinal>,
    /// Versions that ended after `pruned`, in the order in which they ended.
    ended: VecDeque<Ordinal>,
    live: Totals,
    /// Versions that nobody sees any more, but which still take room.
    garbage: Garbage,
}

/// A document that holds a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// Whose text it is.
    pub slot: Slot,
    /// How often it holds the term.
    pub count: u32,
    /// Its number of words.
    pub length: u32,
}

/// What the formula must know about a collection.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) documents: u64,
    pub(super) words: u64,
}

#[derive(Clone, Copy, Default)]
struct Garbage {
    documents: usize,
    postings: usize,
}

impl TextTail {
    /// An empty tail at LSN 0.
    pub fn new(analyzer: Analyzer) -> Self {
        Self {
            analyzer,
            lsn: Lsn(0),
            pruned: Lsn(0),
            terms: TermTable::new(),
            postings: Vec::new(),
            postings_bytes: 0,
            documents: Documents::default(),
            newest: FastMap::default(),
            ended: VecDeque::new(),
            live: Totals::default(),
            garbage: Garbage::default(),
        }
    }

    /// The analyzer, for queries of these texts.
    pub fn analyzer(&self) -> &Analyzer {
        &self.analyzer
    }

    /// The slot says `text` from `at` on. A text that holds the same words as before changes nothing.
    pub fn upsert(&mut self, slot: Slot, at: Lsn, text: &str) {
        self.advance(at);
        let words = self.sorted_words(text);
        if let Some(current) = self.live_version(slot) {
            if self.documents.says(current, &words) {
                return;
            }
            self.end(current);
        }
        if !words.is_empty() {
            self.begin(slot, &words);
        }
    }

    /// The slot says nothing from `at` on.
    pub fn remove(&mut self, slot: Slot, at: Lsn) {
        self.advance(at);
        if let Some(current) = self.live_version(slot) {
            self.end(current);
        }
    }

    /// Every change up to here is in.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Nothing up to `to` changed these texts, beyond what was put in.
    pub fn advance(&mut self, to: Lsn) {
        self.lsn = self.lsn.max(to);
    }

    /// No reader is or will be older than `oldest`: forgets the versions that ended by then. Their
    /// memory is given back as soon as they are an eighth of the tail.
    pub fn prune(&mut self, oldest: Lsn) {
        self.pruned = self.pruned.max(oldest);
        while let Some(&document) = self.ended.front()
            && self.documents.has_ended(document, self.pruned)
        {
            self.ended.pop_front();
            self.garbage.documents += 1;
            self.garbage.postings += self.documents.terms(document).len();
        }
        let Garbage { documents, postings } = self.garbage;
        let is_much = documents * GARBAGE_SHARE >= self.documents.len()
            || postings * GARBAGE_SHARE >= self.documents.postings();
        if documents > 0 && is_much {
            self.compact();
        }
    }

    /// How many documents a reader at `at` sees.
    pub fn document_count(&self, at: Lsn) -> u64 {
        let begun_later = self.documents.len() as u64 - u64::from(self.documents.begun(at));
        self.live.documents + self.ended_after(at).count() as u64 - begun_later
    }

    /// Number of words of the document of a slot; `None` when a reader at `at` sees none.
    pub fn length(&self, slot: Slot, at: Lsn) -> Option<u32> {
        Some(self.documents.length(self.version_at(slot, at)?))
    }

    /// Number of documents that a reader at `at` sees, and of words in all of them.
    pub fn collection(&self, at: Lsn) -> (u64, u64) {
        let Totals { documents, words } = self.totals(at);
        (documents, words)
    }

    /// Every document visible at `at` that holds the term, each once.
    pub fn occurrences(&self, term: &str, at: Lsn) -> impl Iterator<Item = Occurrence> {
        let begun = self.documents.begun(at);
        let found = self.postings(term).into_iter();
        found.flat_map(move |(id, list)| {
            let visible = list
                .before(begun)
                .iter()
                .filter(move |posting| !self.documents.has_ended(posting.document, at));
            visible.map(move |posting| Occurrence {
                slot: self.documents.slot(posting.document),
                count: self.documents.full_count(posting.document, id, posting.count),
                length: self.documents.length(posting.document),
            })
        })
    }

    /// The best `k` documents which hold a term of the query, are visible at `at`, and are `allowed`,
    /// if that is given; best first, equals by slot. `interrupt` is asked every few thousand postings;
    /// `None` if it said yes.
    pub fn search(
        &self,
        query: &TextQuery,
        params: Bm25,
        at: Lsn,
        allowed: Option<&RoaringBitmap>,
        k: usize,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Option<Vec<TextHit>> {
        search(&self.scorer(query, params, at), allowed, k, interrupt)
    }

    /// Scores single slots, exactly as [`TextTail::search`] does. Making one costs time for each
    /// version that ended since `at`; a score costs time for the terms of the query only.
    pub fn scorer<'a>(&'a self, query: &TextQuery, params: Bm25, at: Lsn) -> TextScorer<'a> {
        TextScorer::new(self, query, params, at)
    }

    /// Bytes held, without the allocator's own.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.analyzer.memory_bytes()
            + self.terms.memory_bytes()
            + self.postings.capacity() * size_of::<PostingList>()
            + self.postings_bytes
            + self.documents.memory_bytes()
            + self.newest.capacity() * (size_of::<(Slot, Ordinal)>() + 1) * 8 / 7
            + self.ended.capacity() * size_of::<Ordinal>()
    }

    pub(super) fn documents(&self) -> &Documents {
        &self.documents
    }

    pub(super) fn postings(&self, term: &str) -> Option<(TermId, &PostingList)> {
        let id = self.terms.get(term)?;
        Some((id, self.postings.get(id as usize)?))
    }

    pub(super) fn version_at(&self, slot: Slot, at: Lsn) -> Option<Ordinal> {
        self.documents.version_at(*self.newest.get(&slot)?, at)
    }

    /// Versions that end after `at`, newest end first.
    pub(super) fn ended_after(&self, at: Lsn) -> impl Iterator<Item = Ordinal> {
        let later = move |&&document: &&Ordinal| !self.documents.has_ended(document, at);
        self.ended.iter().rev().take_while(later).copied()
    }

    /// Totals of the documents visible at `at`.
    pub(super) fn totals(&self, at: Lsn) -> Totals {
        let begun_later = &self.documents.lengths()[self.documents.begun(at) as usize..];
        let mut totals = self.live;
        for document in self.ended_after(at) {
            totals.documents += 1;
            totals.words += u64::from(self.documents.length(document));
        }
        totals.documents -= begun_later.len() as u64;
        totals.words -= begun_later.iter().copied().map(u64::from).sum::<u64>();
        totals
    }

    fn live_version(&self, slot: Slot) -> Option<Ordinal> {
        self.newest.get(&slot).copied().filter(|&newest| self.documents.is_live(newest))
    }

    /// The terms of a text, one for each occurrence, ascending.
    fn sorted_words(&mut self, text: &str) -> Vec<TermId> {
        let mut words = Vec::with_capacity(text.len() / 5);
        self.analyzer.terms(text, &mut |term, _| words.push(self.terms.intern(term)));
        words.sort_unstable();
        words
    }

    fn begin(&mut self, slot: Slot, words: &[TermId]) {
        self.postings.resize_with(self.terms.len(), PostingList::default);
        let document = self.documents.len() as Ordinal;
        let previous = self.newest.insert(slot, document);
        let (postings, bytes) = (&mut self.postings, &mut self.postings_bytes);
        self.documents.push(slot, self.lsn, previous, words, |term, count| {
            *bytes += postings[term as usize].push(Posting { document, count });
        });
        self.live.documents += 1;
        self.live.words += words.len() as u64;
    }

    fn end(&mut self, document: Ordinal) {
        self.documents.end(document, self.lsn);
        for &term in self.documents.terms(document) {
            self.postings[term as usize].live -= 1;
        }
        self.live.documents -= 1;
        self.live.words -= u64::from(self.documents.length(document));
        self.ended.push_back(document);
    }

    /// Rebuilds everything without the versions that ended by `pruned`, and without terms that none
    /// of the others holds.
    fn compact(&mut self) {
        let numbers = self.surviving();
        let number = |old: Ordinal| numbers[old as usize];

        let mut lists = std::mem::take(&mut self.postings);
        lists.iter_mut().for_each(|list| list.renumber(number));
        let held = lists.iter().filter(|list| list.len() > 0).count();
        let mut terms = TermTable::with_capacity(held);
        let mut term_numbers = vec![TermId::MAX; self.terms.len()];
        let mut postings = Vec::with_capacity(held);
        for (id, list) in lists.into_iter().enumerate().filter(|(_, list)| list.len() > 0) {
            term_numbers[id] = terms.intern(self.terms.term(id as TermId));
            postings.push(list);
        }
        terms.shrink();
        self.postings_bytes = postings.iter().map(PostingList::memory_bytes).sum();
        self.postings = postings;
        self.terms = terms;

        self.documents = self.documents.renumbered(number, |term| term_numbers[term as usize]);
        self.newest = (0..self.documents.len() as Ordinal)
            .map(|document| (self.documents.slot(document), document))
            .collect();
        self.ended = self.ended.iter().filter_map(|&document| number(document)).collect();
        self.garbage = Garbage::default();
    }

    /// New numbers of the versions which a compaction keeps.
    fn surviving(&self) -> Vec<Option<Ordinal>> {
        let mut kept = 0;
        (0..self.documents.len() as Ordinal)
            .map(|document| {
                let survives = !self.documents.has_ended(document, self.pruned);
                survives.then(|| {
                    kept += 1;
                    kept - 1
                })
            })
            .collect()
    }
}
