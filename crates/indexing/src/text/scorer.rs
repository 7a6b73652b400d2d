//! One query, seen from one snapshot.

use embedded_db_common::{Lsn, Slot};

use super::bm25::{Bm25, Weighting};
use super::index::{TextIndex, Version};
use super::postings::{MANY, Posting};
use super::query::TextQuery;
use super::segment::List;
use super::terms::TermId;

/// Scores of single documents for one query at one snapshot: forward access, as fusion needs it.
pub struct TextScorer<'a> {
    pub(super) index: &'a TextIndex,
    pub(super) at: Lsn,
    pub(super) weighting: Weighting,
    /// Terms that some visible document holds, most valuable first. Every score is summed in this
    /// order, so that it is the same to the last bit whoever computes it.
    pub(super) terms: Vec<QueryTerm<'a>>,
}

pub(super) struct QueryTerm<'a> {
    pub(super) weight: f32,
    /// No document scores more on this term.
    pub(super) bound: f32,
    /// Postings of each segment that has the term, and how many; some may have ended.
    pub(super) sealed: Vec<Option<(TermId, List<'a>, u32)>>,
    /// Documents of the tail that began by the snapshot; they may have ended.
    pub(super) tail: Option<(TermId, &'a [Posting])>,
}

impl QueryTerm<'_> {
    /// How many postings there are.
    pub(super) fn postings(&self) -> usize {
        let sealed = self.sealed.iter().flatten().map(|(_, _, count)| *count as usize);
        sealed.sum::<usize>() + self.tail.map_or(0, |(_, postings)| postings.len())
    }
}

impl<'a> TextScorer<'a> {
    pub(super) fn new(index: &'a TextIndex, query: &TextQuery, params: Bm25, at: Lsn) -> Self {
        let totals = index.totals(at);
        // With no document there is no term either, and the formula is not used.
        let weighting = Weighting::new(params, totals.documents.max(1), totals.words.max(1));
        let mut terms: Vec<_> =
            query.terms().filter_map(|term| query_term(index, &weighting, term, at)).collect();
        // Stable: equals stay in the order of the query.
        terms.sort_by(|a, b| b.bound.total_cmp(&a.bound));
        Self { index, at, weighting, terms }
    }

    /// The document's score, or `None` if it is not visible or holds no term of the query.
    pub fn score(&self, slot: Slot) -> Option<f32> {
        match self.index.version_at(slot, self.at)? {
            Version::Tail(document) => {
                let documents = self.index.tail.documents();
                self.sum(documents.length(document), |term| {
                    term.tail.map_or(0, |(id, _)| documents.count(document, id))
                })
            }
            Version::Sealed(part, document) => {
                let segment = &self.index.parts[part].segment;
                self.sum(segment.length(document), |term| {
                    term.sealed[part].map_or(0, |(id, ..)| segment.count(document, id))
                })
            }
        }
    }

    fn sum(&self, length: u32, count: impl Fn(&QueryTerm<'a>) -> u32) -> Option<f32> {
        let mut score = None;
        for term in &self.terms {
            let count = count(term);
            if count > 0 {
                let gained = self.weighting.score(term.weight, count, length);
                score = Some(score.unwrap_or(0.0) + gained);
            }
        }
        score
    }
}

fn query_term<'a>(
    index: &'a TextIndex,
    weighting: &Weighting,
    term: &str,
    at: Lsn,
) -> Option<QueryTerm<'a>> {
    let (mut holders, mut most) = (0, 0);
    let mut sealed = Vec::with_capacity(index.parts.len());
    for part in &index.parts {
        sealed.push(part.segment.term(term).map(|id| {
            let (list, count, largest) = part.segment.list(id);
            holders += part.holders(id, at);
            most = most.max(largest);
            (id, list, count)
        }));
    }
    let tail = index.tail.postings(term).map(|(id, list)| {
        let (postings, visible) = index.tail.holders(id, list, at);
        holders += visible;
        most = most.max(if list.max_count == MANY { u32::MAX } else { list.max_count.into() });
        (id, postings)
    });
    if holders == 0 {
        return None;
    }
    let weight = weighting.term(holders);
    Some(QueryTerm { weight, bound: weighting.bound(weight, most), sealed, tail })
}
