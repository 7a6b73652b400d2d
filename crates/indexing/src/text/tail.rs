//! The exact in-memory tail of the index: what it holds and how it changes.

use std::collections::{HashMap, VecDeque};

use embedded_db_common::{Lsn, Slot};

use super::analyzer::Analyzer;
use super::documents::Documents;
use super::index::Occurrence;
use super::postings::{Ordinal, Posting, PostingList};
use super::terms::{TermId, TermTable};
use crate::hashing::FastMap;

/// Compaction waits until one part in this many is garbage, so that it costs a change little.
const GARBAGE_SHARE: usize = 8;

/// The texts that are in no segment, in memory; [`super::index::TextIndex`] says what it promises.
pub(super) struct TextTail {
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
    pub(super) fn new(analyzer: Analyzer) -> Self {
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
    pub(super) fn analyzer(&self) -> &Analyzer {
        &self.analyzer
    }

    /// The slot says `text` from `at` on. A text that holds the same words as before changes nothing.
    pub(super) fn upsert(&mut self, slot: Slot, at: Lsn, text: &str) {
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
    pub(super) fn remove(&mut self, slot: Slot, at: Lsn) {
        self.advance(at);
        if let Some(current) = self.live_version(slot) {
            self.end(current);
        }
    }

    /// Every change up to here is in.
    pub(super) fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Nothing up to `to` changed these texts, beyond what was put in.
    pub(super) fn advance(&mut self, to: Lsn) {
        self.lsn = self.lsn.max(to);
    }

    /// No reader is or will be older than `oldest`: forgets the versions that ended by then. Their
    /// memory is given back as soon as they are an eighth of the tail.
    pub(super) fn prune(&mut self, oldest: Lsn) {
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

    /// Versions of documents that have not ended.
    pub(super) fn versions(&self) -> u64 {
        self.live.documents
    }

    /// The postings of a term that began by `at`, and how many of the documents are visible then.
    pub(super) fn holders<'a>(
        &self,
        id: TermId,
        list: &'a PostingList,
        at: Lsn,
    ) -> (&'a [Posting], u64) {
        let postings = list.before(self.documents.begun(at));
        let begun_later = list.len() - postings.len();
        let ended_later =
            self.ended_after(at).filter(|&document| self.documents.holds(document, id));
        let visible = list.live as usize + ended_later.count() - begun_later;
        (postings, visible as u64)
    }

    /// The distinct terms of a text, with how often each occurs.
    pub(super) fn counted_words(&self, text: &str) -> Vec<(Box<str>, u32)> {
        let mut words: HashMap<Box<str>, u32> = HashMap::new();
        self.analyzer.terms(text, &mut |term, _| match words.get_mut(term) {
            Some(count) => *count += 1,
            None => drop(words.insert(term.into(), 1)),
        });
        words.into_iter().collect()
    }

    /// Every document visible at `at` that holds the term, each once.
    pub(super) fn occurrences(&self, term: &str, at: Lsn) -> impl Iterator<Item = Occurrence> {
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

    /// Bytes held, without the allocator's own.
    pub(super) fn memory_bytes(&self) -> usize {
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

    pub(super) fn term_table(&self) -> &TermTable {
        &self.terms
    }

    /// All postings of a term, also of versions that have ended.
    pub(super) fn list(&self, term: TermId) -> &[Posting] {
        self.postings.get(term as usize).map_or(&[], |list| list.before(Ordinal::MAX))
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
