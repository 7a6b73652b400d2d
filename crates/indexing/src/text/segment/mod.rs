//! Sealed segments of the text index: immutable files with the texts of many documents.
//!
//! A document is the text of one slot; documents are numbered in the order of their slots. What has changed
//! since is in later segments and in the tail: each segment lists the documents of earlier ones that it, or
//! what it was made of, has ended, so that statistics stay exact.

mod deaths;
mod lists;
mod write;

use std::ops::Range;
use std::sync::Arc;

use embedded_db_common::Slot;
use embedded_db_common::record::Cursor as Bytes;
use embedded_db_storage::Segment;
use fst::{Automaton, IntoStreamer};

pub(super) use self::deaths::Deaths;
pub(super) use self::lists::{Cursor, List};
pub(crate) use self::write::write;
use super::postings::Ordinal;
use super::terms::TermId;
use crate::published::ascends;

/// The version of what is in the sections, and of the words that the analyzer finds.
pub(crate) const VERSION: u32 = 1;

/// What a section holds; numbers are little endian.
mod section {
    /// Version u32, documents u32, terms u32, zeros u32, words u64.
    pub(super) const HEADER: u32 = 1;
    /// Slot u32 of each document, ascending.
    pub(super) const SLOTS: u32 = 2;
    /// Words u32 of each document.
    pub(super) const LENGTHS: u32 = 3;
    /// Where the terms of each document end in the next section, u64.
    pub(super) const ENDS: u32 = 4;
    /// The distinct terms of each document, ascending: a varint, the difference to the one before twice,
    /// plus one where a varint with the count less two follows.
    pub(super) const FORWARD: u32 = 5;
    /// From a term to its number, as the crate `fst` stores maps. Numbers are in the order of terms.
    pub(super) const DICTIONARY: u32 = 6;
    /// Of each term: where its list begins u64, documents u32, largest count u32.
    pub(super) const TERMS: u32 = 7;
    /// Lists of postings.
    pub(super) const POSTINGS: u32 = 8;
    /// What ended in each earlier segment.
    pub(super) const DEATHS: u32 = 9;
}

const TERM: usize = 16;

/// A sealed segment that is open.
pub(crate) struct TextSegment {
    file: Arc<Segment>,
    documents: u32,
    terms: u32,
    words: u64,
    dictionary: fst::Map<Checked>,
    slots: Range<usize>,
    lengths: Range<usize>,
    ends: Range<usize>,
    forward: Range<usize>,
    places: Range<usize>,
    postings: Range<usize>,
}

/// Bytes that were checked when the segment was opened.
struct Checked(Arc<Segment>, Range<usize>);

impl AsRef<[u8]> for Checked {
    fn as_ref(&self) -> &[u8] {
        self.0.checked_bytes(self.1.clone())
    }
}

impl TextSegment {
    /// `None` when it is damaged, or of another version. A namespace has so many slots.
    pub(crate) fn open(file: Segment, node_slots: u32) -> Option<Self> {
        let file = Arc::new(file);
        let mut header = Bytes::new(file.bytes(file.section(section::HEADER)));
        let (version, documents) = (header.u32().ok()?, header.u32().ok()?);
        let (terms, _) = (header.u32().ok()?, header.u32().ok()?);
        let words = header.u64().ok()?;
        if version != VERSION {
            return None;
        }
        let of = |kind, width: usize, count: u32| {
            let range = file.section(kind);
            (Some(range.len()) == width.checked_mul(count as usize)).then_some(range)
        };
        let (slots, lengths) =
            (of(section::SLOTS, 4, documents)?, of(section::LENGTHS, 4, documents)?);
        let (ends, places) = (of(section::ENDS, 8, documents)?, of(section::TERMS, TERM, terms)?);
        let dictionary = file.section(section::DICTIONARY);
        // What every query reads is checked at once.
        for range in [&slots, &lengths, &places, &dictionary] {
            file.bytes(range.clone());
        }
        if file.is_damaged() {
            return None;
        }
        let ascends = ascends(numbers(file.checked_bytes(slots.clone())), node_slots);
        let all: u64 = numbers(file.checked_bytes(lengths.clone())).map(u64::from).sum();
        if !ascends || all != words {
            return None;
        }
        let dictionary = fst::Map::new(Checked(Arc::clone(&file), dictionary)).ok()?;
        // What reads it relies on what its builder makes.
        if dictionary.len() != terms as usize || dictionary.as_fst().verify().is_err() {
            return None;
        }
        let (forward, postings) = (file.section(section::FORWARD), file.section(section::POSTINGS));
        Some(Self {
            file,
            documents,
            terms,
            words,
            dictionary,
            slots,
            lengths,
            ends,
            forward,
            places,
            postings,
        })
    }

    pub(crate) fn file(&self) -> &Segment {
        &self.file
    }

    pub(super) fn documents(&self) -> u32 {
        self.documents
    }

    /// Words of all documents.
    pub(super) fn words(&self) -> u64 {
        self.words
    }

    pub(super) fn terms(&self) -> u32 {
        self.terms
    }

    /// The terms with their numbers, in order.
    pub(super) fn dictionary(&self) -> fst::map::Stream<'_> {
        self.dictionary.stream()
    }

    /// The terms from one on, in order.
    pub(super) fn dictionary_from(&self, term: &str) -> fst::map::Stream<'_> {
        self.dictionary.range().ge(term).into_stream()
    }

    /// The terms that an automaton takes, in order.
    pub(super) fn dictionary_like<A: Automaton>(&self, automaton: A) -> fst::map::Stream<'_, A> {
        self.dictionary.search(automaton).into_stream()
    }

    pub(super) fn term(&self, term: &str) -> Option<TermId> {
        let number = u32::try_from(self.dictionary.get(term)?).unwrap_or(u32::MAX);
        if number >= self.terms {
            self.file.damage();
            return None;
        }
        Some(number)
    }

    #[inline]
    pub(super) fn slot(&self, document: Ordinal) -> Slot {
        Slot(self.number(&self.slots, document))
    }

    #[inline]
    pub(super) fn length(&self, document: Ordinal) -> u32 {
        self.number(&self.lengths, document)
    }

    pub(super) fn document_of(&self, slot: Slot) -> Option<Ordinal> {
        let (mut low, mut high) = (0, self.documents);
        if high == 0 || self.slot(high - 1) < slot {
            return None;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.slot(middle) < slot { low = middle + 1 } else { high = middle }
        }
        (low < self.documents && self.slot(low) == slot).then_some(low)
    }

    /// The postings of a term, how many there are, and the largest count of one.
    pub(super) fn list(&self, term: TermId) -> (List<'_>, u32, u32) {
        let none = (List::NONE, 0, 0);
        let Some((begin, documents, most)) = self.place(term) else { return none };
        let end = match self.place(term.saturating_add(1)) {
            Some((end, ..)) => end,
            None => self.postings.len() as u64,
        };
        let (Ok(begin), Ok(end)) = (usize::try_from(begin), usize::try_from(end)) else {
            self.file.damage();
            return none;
        };
        if begin > end || end > self.postings.len() || documents > self.documents {
            self.file.damage();
            return none;
        }
        let (begin, end) = (self.postings.start + begin, self.postings.start + end);
        let list = List::of(&self.file, begin..end, documents as usize, self.documents);
        let Some(list) = list.filter(|_| !self.file.is_damaged()) else {
            self.file.damage();
            return none;
        };
        (list, documents, most)
    }

    /// How many documents hold a term.
    pub(super) fn holders(&self, term: TermId) -> u32 {
        self.place(term).map_or(0, |(_, documents, _)| documents)
    }

    fn place(&self, term: TermId) -> Option<(u64, u32, u32)> {
        let row = self.file.checked_bytes(self.places.clone()).get(term as usize * TERM..)?;
        let mut row = Bytes::new(row);
        Some((row.u64().ok()?, row.u32().ok()?, row.u32().ok()?))
    }

    /// The distinct terms of a document, ascending, with how often each occurs.
    pub(super) fn terms_of(&self, document: Ordinal) -> TermsOf<'_> {
        let end = |document: Ordinal| {
            let begin = self.ends.start + document as usize * 8;
            let bytes = self.file.bytes(begin..begin + 8).first_chunk();
            bytes.and_then(|end| usize::try_from(u64::from_le_bytes(*end)).ok())
        };
        let begin = document.checked_sub(1).map_or(Some(0), end);
        let range = begin
            .zip(end(document))
            .filter(|(begin, end)| begin <= end && *end <= self.forward.len());
        let bytes = match range {
            Some((begin, end)) => {
                self.file.bytes(self.forward.start + begin..self.forward.start + end)
            }
            None => self.file.damage(),
        };
        TermsOf { file: &self.file, bytes: Bytes::new(bytes), next: 0, terms: self.terms }
    }

    /// How often a document holds a term.
    pub(super) fn count(&self, document: Ordinal, term: TermId) -> u32 {
        let mut terms = self.terms_of(document);
        let found = terms.find(|(found, _)| *found >= term);
        found.filter(|(found, _)| *found == term).map_or(0, |(_, count)| count)
    }

    /// What this segment has ended in those before it, of which there are so many; `None` when it is
    /// damaged.
    pub(super) fn deaths(&self, earlier: usize) -> Option<Vec<Deaths>> {
        let mut bytes = Bytes::new(self.file.bytes(self.file.section(section::DEATHS)));
        let read = (0..earlier).map(|_| Deaths::read(&mut bytes)).collect::<Option<Vec<_>>>()?;
        (bytes.rest().is_empty() && !self.file.is_damaged()).then_some(read)
    }

    /// Whether it has the documents and the terms that ended.
    pub(super) fn can_lose(&self, deaths: &Deaths) -> bool {
        deaths.documents.max().is_none_or(|last| last < self.documents)
            && deaths.terms.last_key_value().is_none_or(|(last, _)| *last < self.terms)
    }

    #[inline]
    fn number(&self, section: &Range<usize>, at: Ordinal) -> u32 {
        let bytes = self.file.checked_bytes(section.clone());
        let place = bytes.get(at as usize * 4..).and_then(|place| place.first_chunk());
        place.map_or(0, |place| u32::from_le_bytes(*place))
    }
}

/// The numbers of a section.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number))
}

/// The terms of one document.
pub(super) struct TermsOf<'a> {
    file: &'a Segment,
    bytes: Bytes<'a>,
    /// No term before this one follows.
    next: u64,
    /// How many terms there are.
    terms: u32,
}

impl Iterator for TermsOf<'_> {
    type Item = (TermId, u32);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.rest().is_empty() {
            return None;
        }
        let mut read = || {
            let packed = self.bytes.varint().ok()?;
            let more =
                if packed & 1 == 0 { 0 } else { self.bytes.varint().ok()?.checked_add(1)? };
            let before = self.next.saturating_sub(1);
            let term = before.checked_add(packed >> 1).filter(|term| *term >= self.next)?;
            self.next = term.checked_add(1)?;
            let term = u32::try_from(term).ok().filter(|term| *term < self.terms)?;
            Some((term, u32::try_from(more).ok()?.checked_add(1)?))
        };
        let found = read();
        if found.is_none() {
            self.bytes = Bytes::new(self.file.damage());
        }
        found
    }
}
