//! Documents of an earlier segment that have ended, and what that takes from the statistics.

use std::collections::BTreeMap;

use embedded_db_common::record::{Cursor as Bytes, put_varint};
use roaring::RoaringBitmap;

use crate::text::postings::Ordinal;
use crate::text::terms::TermId;

/// What ended in one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::text) struct Deaths {
    pub(in crate::text) documents: RoaringBitmap,
    /// How many of them held each term.
    pub(in crate::text) terms: BTreeMap<TermId, u32>,
    /// Their words.
    pub(in crate::text) words: u64,
}

impl Deaths {
    /// A document ends that held these terms.
    pub(in crate::text) fn add(
        &mut self,
        document: Ordinal,
        words: u32,
        terms: impl Iterator<Item = TermId>,
    ) {
        if self.documents.insert(document) {
            self.words += u64::from(words);
            terms.for_each(|term| *self.terms.entry(term).or_default() += 1);
        }
    }

    /// These end, too; no document twice.
    pub(in crate::text) fn join(&mut self, other: &Self) {
        self.documents |= &other.documents;
        self.words = self.words.saturating_add(other.words);
        for (term, count) in &other.terms {
            let known = self.terms.entry(*term).or_default();
            *known = known.saturating_add(*count);
        }
    }

    /// How many that have ended held a term.
    pub(in crate::text) fn holders(&self, term: TermId) -> u32 {
        self.terms.get(&term).copied().unwrap_or(0)
    }

    /// A varint count, then the differences of the documents; the same of the terms, each with how many
    /// held it; the words.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, self.documents.len());
        let mut before = 0;
        for document in &self.documents {
            put_varint(out, u64::from(document - before));
            before = document;
        }
        put_varint(out, self.terms.len() as u64);
        let mut before = 0;
        for (&term, &count) in &self.terms {
            put_varint(out, u64::from(term - before));
            put_varint(out, u64::from(count));
            before = term;
        }
        put_varint(out, self.words);
    }

    pub(super) fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        let mut deaths = Self::default();
        let mut document = 0u32;
        for _ in 0..bytes.bounded_count().ok()? {
            document = document.checked_add(u32::try_from(bytes.varint().ok()?).ok()?)?;
            deaths.documents.insert(document);
        }
        let mut term = 0u32;
        for _ in 0..bytes.bounded_count().ok()? {
            term = term.checked_add(u32::try_from(bytes.varint().ok()?).ok()?)?;
            deaths.terms.insert(term, u32::try_from(bytes.varint().ok()?).ok()?);
        }
        deaths.words = bytes.varint().ok()?;
        Some(deaths)
    }
}
