//! BM25 over turns, windows and sessions at once, from the postings of turns.
//!
//! A window or a session is a document that nobody stores: what its turns hold of a term is summed
//! when a question asks for the term, and so is the number of such documents that hold it. The
//! statistics are those of the messages of the layout, as if there were no others.

use embedded_db_common::{Lsn, Result};
use embedded_db_indexing::sessions::{Layout, Place, SessionId, Totals};
use embedded_db_indexing::text::{Bm25, TextIndex, TextQuery, Weighting};

use crate::guard::Guard;

/// Turns are short: their length says little.
pub(super) const TURNS: Bm25 = Bm25 { k1: 0.9, b: 0.4 };
const WINDOWS: Bm25 = TURNS;
const SESSIONS: Bm25 = Bm25 { k1: 1.2, b: 0.75 };

/// Scores of documents by their number; 0 where none of the terms occurs.
#[derive(Debug, Default)]
pub(super) struct Matches {
    pub(super) turns: Vec<f32>,
    pub(super) windows: Vec<f32>,
    pub(super) sessions: Vec<f32>,
}

/// What is looked at beside the turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) windows: bool,
    pub(super) sessions: bool,
}

impl Matches {
    pub(super) fn find(
        layout: &Layout,
        tail: &TextIndex,
        at: Lsn,
        query: &TextQuery,
        wanted: Wanted,
        guard: &Guard<'_>,
    ) -> Result<Self> {
        let mut turns = Field::new(TURNS, layout.turn_totals(), layout.len());
        let window_count = if wanted.windows { layout.len() } else { 0 };
        let mut windows = Field::new(WINDOWS, layout.window_totals(), window_count);
        let session_count = if wanted.sessions { layout.sessions() } else { 0 };
        let mut sessions = Field::new(SESSIONS, layout.session_totals(), session_count);
        for term in query.terms() {
            guard.check()?;
            for found in tail.occurrences(term, at) {
                guard.tick()?;
                let Some(place) = layout.place(found.slot) else { continue };
                turns.add(place.0, found.count);
                if wanted.windows {
                    layout.window(place).for_each(|place| windows.add(place.0, found.count));
                }
                let session = layout.session(place);
                if wanted.sessions && !layout.stands_alone(session) {
                    sessions.add(session.0, found.count);
                }
            }
            turns.score(|number| layout.words(Place(number)));
            windows.score(|number| layout.window_words(Place(number)));
            sessions.score(|number| layout.session_words(SessionId(number)));
        }
        Ok(Self { turns: turns.scores, windows: windows.scores, sessions: sessions.scores })
    }
}

/// One kind of document.
struct Field {
    weighting: Weighting,
    scores: Vec<f32>,
    /// How often each holds the current term.
    counts: Vec<u32>,
    /// Those that hold it.
    holders: Vec<u32>,
}

impl Field {
    fn new(params: Bm25, totals: Totals, documents: u32) -> Self {
        Self {
            // Without documents there is no occurrence, and the formula is not used.
            weighting: Weighting::new(params, totals.documents.max(1), totals.words.max(1)),
            scores: vec![0.0; documents as usize],
            counts: vec![0; documents as usize],
            holders: Vec::new(),
        }
    }

    #[inline]
    fn add(&mut self, document: u32, count: u32) {
        let held = &mut self.counts[document as usize];
        if *held == 0 {
            self.holders.push(document);
        }
        *held = held.saturating_add(count);
    }

    /// Adds what the current term gives, and makes ready for the next.
    fn score(&mut self, length: impl Fn(u32) -> u32) {
        if self.holders.is_empty() {
            return;
        }
        let weight = self.weighting.term(self.holders.len() as u64);
        for document in self.holders.drain(..) {
            let count = std::mem::take(&mut self.counts[document as usize]);
            self.scores[document as usize] += self.weighting.score(weight, count, length(document));
        }
    }
}
