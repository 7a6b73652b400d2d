//! The full-text index of one namespace: sealed segments, and the exact tail of what came after them.

use std::sync::Arc;

use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::analyzer::Analyzer;
use super::bm25::Bm25;
use super::part::Part;
use super::postings::Ordinal;
use super::query::TextQuery;
use super::scorer::TextScorer;
use super::search::{TextHit, search};
use super::segment::{Deaths, TextSegment};
use super::tail::{TextTail, Totals};
use crate::merging::merged_from;

/// A segment is written anew once one part in this many of it has ended.
const ENDED_SHARE: u64 = 3;

/// Texts of one namespace, searchable from the moment they are put in.
///
/// Changes come in the order of their LSN; one that claims to be earlier than [`TextIndex::lsn`] counts as
/// made there. Texts read from a snapshot of the store may be put in with any LSN up to the snapshot's, if
/// no reader comes at an older one.
///
/// Readers name the LSN `at` which they see, from the last [`TextIndex::prune`] up to [`TextIndex::lsn`], and
/// not before that of the segments. Rows and statistics (documents, holders of a term, average length) are
/// exactly those of the documents visible then. An older `at` misses rows that were pruned, but never shows
/// a wrong one.
///
/// A text without a single term is no document: it is neither found nor counted.
pub struct TextIndex {
    /// Older ones first. A slot has at most one document in all parts and the tail that has not ended.
    pub(super) parts: Vec<Part>,
    pub(super) tail: TextTail,
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

/// Where the document of a slot is.
#[derive(Clone, Copy)]
pub(super) enum Version {
    Sealed(usize, Ordinal),
    Tail(Ordinal),
}

impl TextIndex {
    /// An empty one at LSN 0.
    pub fn new(analyzer: Analyzer) -> Self {
        Self { parts: Vec::new(), tail: TextTail::new(analyzer) }
    }

    /// Over segments that hold all up to an LSN, older ones first; `None` when one is damaged.
    pub(crate) fn over(
        analyzer: Analyzer,
        segments: Vec<Arc<TextSegment>>,
        lsn: Lsn,
    ) -> Option<Self> {
        let mut published = vec![Deaths::default(); segments.len()];
        for (later, segment) in segments.iter().enumerate() {
            for (of, deaths) in segment.deaths(later)?.iter().enumerate() {
                if !segments[of].can_lose(deaths) {
                    return None;
                }
                published[of].join(deaths);
            }
        }
        let parts = segments.into_iter().zip(published);
        let parts = parts.map(|(segment, published)| Part::new(segment, published)).collect();
        let mut index = Self { parts, tail: TextTail::new(analyzer) };
        index.advance(lsn);
        Some(index)
    }

    /// The analyzer, for queries of these texts.
    pub fn analyzer(&self) -> &Analyzer {
        self.tail.analyzer()
    }

    /// The slot says `text` from `at` on. A text that holds the same words as before changes nothing.
    pub fn upsert(&mut self, slot: Slot, at: Lsn, text: &str) {
        self.advance(at);
        if let Some((part, document)) = self.sealed(slot, Lsn(u64::MAX)) {
            let words = self.tail.counted_words(text);
            if self.parts[part].says(document, &words) {
                return;
            }
            self.parts[part].end(document, self.tail.lsn());
        }
        self.tail.upsert(slot, at, text);
    }

    /// The slot says nothing from `at` on.
    pub fn remove(&mut self, slot: Slot, at: Lsn) {
        self.advance(at);
        match self.sealed(slot, Lsn(u64::MAX)) {
            Some((part, document)) => self.parts[part].end(document, self.tail.lsn()),
            None => self.tail.remove(slot, at),
        }
    }

    /// Every change up to here is in.
    pub fn lsn(&self) -> Lsn {
        self.tail.lsn()
    }

    /// Nothing up to `to` changed these texts, beyond what was put in.
    pub fn advance(&mut self, to: Lsn) {
        self.tail.advance(to);
    }

    /// No reader is or will be older than `oldest`: forgets the versions that ended by then.
    pub fn prune(&mut self, oldest: Lsn) {
        self.parts.iter_mut().for_each(|part| part.prune(oldest));
        self.tail.prune(oldest);
    }

    /// Documents that are in no segment, and those of segments that have ended since these were published.
    pub(crate) fn unsealed(&self) -> u64 {
        self.tail.versions() + self.parts.iter().map(|part| part.since.documents.len()).sum::<u64>()
    }

    /// Which segments are to be written anew with the tail: those from the answer on.
    pub(crate) fn merged_from(&self) -> usize {
        let live: Vec<u64> = self.parts.iter().map(Part::live).collect();
        let from = merged_from(&live, self.tail.versions());
        let is_worn = |part: &Part| {
            let all = u64::from(part.segment.documents());
            part.live().saturating_mul(ENDED_SHARE) < all.saturating_mul(ENDED_SHARE - 1)
        };
        self.parts.iter().position(is_worn).map_or(from, |worn| worn.min(from))
    }

    /// How many documents a reader at `at` sees.
    pub fn document_count(&self, at: Lsn) -> u64 {
        self.totals(at).documents
    }

    /// Number of words of the document of a slot; `None` when a reader at `at` sees none.
    pub fn length(&self, slot: Slot, at: Lsn) -> Option<u32> {
        Some(match self.version_at(slot, at)? {
            Version::Sealed(part, document) => self.parts[part].segment.length(document),
            Version::Tail(document) => self.tail.documents().length(document),
        })
    }

    /// Number of documents that a reader at `at` sees, and of words in all of them.
    pub fn collection(&self, at: Lsn) -> (u64, u64) {
        let Totals { documents, words } = self.totals(at);
        (documents, words)
    }

    /// Every document visible at `at` that holds the term, each once.
    pub fn occurrences(&self, term: &str, at: Lsn) -> impl Iterator<Item = Occurrence> {
        let sealed = self.parts.iter().filter_map(move |part| {
            let (list, ..) = part.segment.list(part.segment.term(term)?);
            let visible = list.cursor().filter(move |(document, _)| !part.has_ended(*document, at));
            let occurrence = move |(document, count)| Occurrence {
                slot: part.segment.slot(document),
                count,
                length: part.segment.length(document),
            };
            Some(visible.map(occurrence))
        });
        sealed.flatten().chain(self.tail.occurrences(term, at))
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

    /// Scores single slots, exactly as [`TextIndex::search`] does. Making one costs time for each
    /// version that ended since `at`; a score costs time for the terms of the query only.
    pub fn scorer<'a>(&'a self, query: &TextQuery, params: Bm25, at: Lsn) -> TextScorer<'a> {
        TextScorer::new(self, query, params, at)
    }

    /// Whether a segment was met that is damaged: what was read since it was opened may be wrong. Whoever has used it looks before anything is made of that.
    pub fn is_damaged(&self) -> bool {
        self.parts.iter().any(|part| part.segment.file().is_damaged())
    }

    /// Names of the files.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = String> {
        let name =
            |part: &Part| part.segment.file().path().file_name()?.to_str().map(str::to_owned);
        self.parts.iter().filter_map(name)
    }

    /// Whether all files are as long as they were.
    pub(crate) fn is_whole(&self) -> bool {
        self.parts.iter().all(|part| part.segment.file().is_whole())
    }

    /// Bytes of memory held, without the allocator's own, and without mapped files.
    pub fn memory_bytes(&self) -> usize {
        self.tail.memory_bytes() + self.parts.iter().map(Part::memory_bytes).sum::<usize>()
    }

    pub(super) fn version_at(&self, slot: Slot, at: Lsn) -> Option<Version> {
        // Of two versions the tail has the later one.
        if let Some(document) = self.tail.version_at(slot, at) {
            return Some(Version::Tail(document));
        }
        self.sealed(slot, at).map(|(part, document)| Version::Sealed(part, document))
    }

    fn sealed(&self, slot: Slot, at: Lsn) -> Option<(usize, Ordinal)> {
        let parts = self.parts.iter().enumerate().rev();
        parts.filter_map(|(at_part, part)| Some((at_part, part.version_at(slot, at)?))).next()
    }

    /// Totals of the documents visible at `at`.
    pub(super) fn totals(&self, at: Lsn) -> Totals {
        let mut totals = self.tail.totals(at);
        for part in &self.parts {
            let more = part.totals(at);
            totals.documents += more.documents;
            totals.words += more.words;
        }
        totals
    }
}
