//! One query, seen from one snapshot.

use embedded_db_common::{Lsn, Slot};

use super::bm25::{Bm25, Weighting};
use super::postings::{MANY, Ordinal, Posting, PostingList};
use super::query::TextQuery;
use super::tail::TextTail;
use super::terms::TermId;

/// Scores of single documents for one query at one snapshot: forward access, as fusion needs it.
pub struct TextScorer<'a> {
    pub(super) tail: &'a TextTail,
    pub(super) at: Lsn,
    pub(super) weighting: Weighting,
    /// Terms that some visible document holds, most valuable first. Every score is summed in this
    /// order, so that it is the same to the last bit whoever computes it.
    pub(super) terms: Vec<QueryTerm<'a>>,
}

pub(super) struct QueryTerm<'a> {
    pub(super) id: TermId,
    pub(super) weight: f32,
    /// No document scores more on this term.
    pub(super) bound: f32,
    /// Documents that began by the snapshot; they may have ended.
    pub(super) postings: &'a [Posting],
}

impl<'a> TextScorer<'a> {
    pub(super) fn new(tail: &'a TextTail, query: &TextQuery, params: Bm25, at: Lsn) -> Self {
        let totals = tail.totals(at);
        // With no document there is no term either, and the formula is not used.
        let weighting = Weighting::new(params, totals.documents.max(1), totals.words.max(1));
        let begun = tail.documents().begun(at);
        let mut terms: Vec<_> = query
            .terms()
            .filter_map(|term| tail.postings(term))
            .filter_map(|(id, list)| query_term(tail, &weighting, id, list, begun, at))
            .collect();
        terms.sort_by(|a, b| b.bound.total_cmp(&a.bound).then(a.id.cmp(&b.id)));
        Self { tail, at, weighting, terms }
    }

    /// The document's score, or `None` if it is not visible or holds no term of the query.
    pub fn score(&self, slot: Slot) -> Option<f32> {
        self.document_score(self.tail.version_at(slot, self.at)?)
    }

    fn document_score(&self, document: Ordinal) -> Option<f32> {
        let documents = self.tail.documents();
        let length = documents.length(document);
        let mut score = None;
        for term in &self.terms {
            let count = documents.count(document, term.id);
            if count > 0 {
                let gained = self.weighting.score(term.weight, count, length);
                score = Some(score.unwrap_or(0.0) + gained);
            }
        }
        score
    }
}

fn query_term<'a>(
    tail: &'a TextTail,
    weighting: &Weighting,
    id: TermId,
    list: &'a PostingList,
    begun: Ordinal,
    at: Lsn,
) -> Option<QueryTerm<'a>> {
    let postings = list.before(begun);
    let begun_later = list.len() - postings.len();
    let ended_later = tail.ended_after(at).filter(|&document| tail.documents().holds(document, id));
    let holders = list.live as usize + ended_later.count() - begun_later;
    if holders == 0 {
        return None;
    }
    let weight = weighting.term(holders as u64);
    let most = if list.max_count == MANY { u32::MAX } else { list.max_count.into() };
    Some(QueryTerm { id, weight, bound: weighting.bound(weight, most), postings })
}
