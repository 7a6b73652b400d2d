//! The formulas of the profiles over a pool of candidates.
//!
//! `mm` spreads a score from 0 to 1 over the pool. t is a turn, s(t) its session, M(t) 1 when the
//! question names exactly one sender and t is theirs, T(t) how near s(t) lies to the times that the
//! question names.
//!
//! ```text
//! F(t)          .5 mm(BM25) + .5 mm(cos)
//! plain         F(t)
//! conversation  (F(t) + .3 F(t±1) + .1 F(t±2) + .3 mm(BM25 of s(t))) · (1 + .1 M(t))
//!               + .5 T(t) − .2 [t ends with "?"]
//! window        .6 mm(BM25) + mm(cos) + mm(BM25 of t−2…t+2) + mm(cos of v(t) + .5 v(t±1))
//!               + max F over s(t) + .4 M(t) + T(t)
//!               + .3 [t−1 contains "?"] − .26 [t contains "?"]
//! ```
//!
//! A text in no chat is its own session: for its words as a session count those it has as a turn,
//! for beside sessions of many turns it is no document of its kind.

use std::collections::VecDeque;

use embedded_db_common::{Result, Slot};
use embedded_db_indexing::sessions::{Layout, Place};

use super::profile::{Part, Weights};
use super::vectors::Vectors;
use crate::fuse::MinMax;

/// Weight of words and of meaning in F.
const BASE: f32 = 0.5;
/// What a turn lends those one and two beside it.
const LENT: [f32; 2] = [0.3, 0.1];
const SESSION: f32 = 0.3;
const SENDER: f32 = 0.1;
const DATE: f32 = 0.5;
const ENDS_ASKING: f32 = 0.2;

const WINDOW_TEXT: f32 = 0.6;
const WINDOW_SENDER: f32 = 0.4;
const ANSWERS: f32 = 0.3;
const ASKS: f32 = 0.26;
/// Share of the vectors beside a turn in the vector of its window.
const BESIDE: f32 = 0.5;

/// The parts of each profile.
pub(super) const PLAIN: [Part; 2] = [Part::Text, Part::Semantic];
pub(super) const CONVERSATION: [Part; 7] = [
    Part::Text,
    Part::Semantic,
    Part::Neighbors,
    Part::Session,
    Part::Sender,
    Part::Date,
    Part::Question,
];
pub(super) const WINDOW: [Part; 8] = [
    Part::Text,
    Part::Semantic,
    Part::Window,
    Part::WindowSemantic,
    Part::Session,
    Part::Sender,
    Part::Date,
    Part::Question,
];

/// What the parts give a candidate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shares([f32; Part::ALL.len()]);

impl Shares {
    pub(super) fn of(&self, part: Part) -> f32 {
        self.0[part as usize]
    }

    fn set(&mut self, part: Part, share: f32) {
        self.0[part as usize] = share;
    }

    /// The score.
    pub(super) fn sum(&self) -> f32 {
        self.0.iter().sum()
    }
}

/// Raw scores of a candidate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) slot: Slot,
    /// BM25; `None` when it holds no term.
    pub(super) text: Option<f32>,
    /// `None` when it has no vector.
    pub(super) similarity: Option<f32>,
    pub(super) shares: Shares,
}

/// The shares of words and of meaning in F.
fn base(pool: &[Candidate], weights: &Weights) -> Vec<[f32; 2]> {
    let text = MinMax::over(pool.iter().map(|candidate| candidate.text), Some(0.0));
    let semantic = MinMax::over(pool.iter().map(|candidate| candidate.similarity), None);
    let shares = |candidate: &Candidate| {
        [
            BASE * weights.of(Part::Text) * text.scale(candidate.text),
            BASE * weights.of(Part::Semantic) * semantic.scale(candidate.similarity),
        ]
    };
    pool.iter().map(shares).collect()
}

/// Words and meaning of each by itself.
pub(super) fn plain(pool: &mut [Candidate], weights: &Weights) {
    let base = base(pool, weights);
    for (candidate, [text, semantic]) in pool.iter_mut().zip(base) {
        candidate.shares.set(Part::Text, text);
        candidate.shares.set(Part::Semantic, semantic);
    }
}

/// What a pool of turns is scored by besides its own words and vectors.
pub(super) struct Turns<'a> {
    pub(super) layout: &'a Layout,
    /// The places of the pool, ascending.
    pub(super) places: &'a [Place],
    pub(super) weights: &'a Weights,
    /// The sender that the question names.
    pub(super) sender: Option<u32>,
    /// By session: how near it lies to the times that the question names. Empty without such.
    pub(super) near: &'a [f32],
    /// BM25 by session.
    pub(super) sessions: &'a [f32],
    /// BM25 by the place in the middle of the window.
    pub(super) windows: &'a [f32],
}

impl Turns<'_> {
    pub(super) fn conversation(&self, pool: &mut [Candidate]) {
        let base = base(pool, self.weights);
        let whole: Vec<f32> = base.iter().map(|[text, semantic]| text + semantic).collect();
        let matched = |&place: &Place| {
            Some(self.sessions[self.layout.session(place).0 as usize]).filter(|score| *score > 0.0)
        };
        let sessions = MinMax::over(self.places.iter().map(matched), Some(0.0));
        let turns = MinMax::over(pool.iter().map(|candidate| candidate.text), Some(0.0));
        for (at, (&place, candidate)) in self.places.iter().zip(pool).enumerate() {
            let [text, semantic] = base[at];
            let neighbors = self.lent(&whole, place) * self.weights.of(Part::Neighbors);
            let session = if self.layout.stands_alone(self.layout.session(place)) {
                turns.scale(candidate.text)
            } else {
                sessions.scale(matched(&place))
            };
            let session = SESSION * session * self.weights.of(Part::Session);
            let own = text + semantic + neighbors + session;
            let shares = &mut candidate.shares;
            shares.set(Part::Text, text);
            shares.set(Part::Semantic, semantic);
            shares.set(Part::Neighbors, neighbors);
            shares.set(Part::Session, session);
            shares.set(Part::Sender, SENDER * own * self.by_sender(place));
            shares.set(Part::Date, DATE * self.by_date(place));
            let asks = f32::from(self.layout.marks(place).ends_asking);
            let question = 0.0 - ENDS_ASKING * asks;
            shares.set(Part::Question, question * self.weights.of(Part::Question));
        }
    }

    pub(super) fn window(
        &self,
        pool: &mut [Candidate],
        vectors: Option<&mut Vectors<'_>>,
    ) -> Result<()> {
        let base = base(pool, self.weights);
        let whole: Vec<f32> = base.iter().map(|[text, semantic]| text + semantic).collect();
        let best = self.best_of_sessions(&whole);
        let matched =
            |place: &Place| Some(self.windows[place.0 as usize]).filter(|score| *score > 0.0);
        let windows = MinMax::over(self.places.iter().map(matched), Some(0.0));
        let meanings = match vectors {
            Some(vectors) => self.window_meanings(vectors)?,
            None => vec![None; pool.len()],
        };
        let meaning = MinMax::over(meanings.iter().copied(), None);
        let weight = |part| self.weights.of(part);
        for (at, (&place, candidate)) in self.places.iter().zip(pool).enumerate() {
            let [text, semantic] = base[at];
            let asks = |place| f32::from(self.layout.marks(place).asks);
            let answers = self.layout.beside(place, -1).map_or(0.0, asks);
            let question = ANSWERS * answers - ASKS * asks(place);
            let shares = &mut candidate.shares;
            shares.set(Part::Text, WINDOW_TEXT / BASE * text);
            shares.set(Part::Semantic, semantic / BASE);
            shares.set(Part::Window, weight(Part::Window) * windows.scale(matched(&place)));
            let around = meaning.scale(meanings[at]);
            shares.set(Part::WindowSemantic, weight(Part::WindowSemantic) * around);
            shares.set(Part::Session, weight(Part::Session) * best[at]);
            shares.set(Part::Sender, WINDOW_SENDER * self.by_sender(place));
            shares.set(Part::Date, self.by_date(place));
            shares.set(Part::Question, weight(Part::Question) * question);
        }
        Ok(())
    }

    /// What the turns beside one lend it.
    fn lent(&self, whole: &[f32], place: Place) -> f32 {
        let mut lent = 0.0;
        for (steps, share) in (1..).zip(LENT) {
            for steps in [-steps, steps] {
                let other = self.layout.beside(place, steps);
                let at = other.and_then(|other| self.places.binary_search(&other).ok());
                lent += at.map_or(0.0, |at| share * whole[at]);
            }
        }
        lent
    }

    /// For each of the pool, the best F of its session.
    fn best_of_sessions(&self, whole: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(whole.len());
        let session = |place: &Place| self.layout.session(*place);
        for turns in self.places.chunk_by(|a, b| session(a) == session(b)) {
            let scores = &whole[out.len()..out.len() + turns.len()];
            let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            out.resize(out.len() + turns.len(), best);
        }
        out
    }

    /// Cosines of the vectors of windows. A turn without a vector has none.
    fn window_meanings(&self, vectors: &mut Vectors<'_>) -> Result<Vec<Option<f32>>> {
        // Places ascend: the one before, this one and the next are all that must be remembered.
        let mut last: VecDeque<(Place, Option<Vec<f32>>)> = VecDeque::new();
        let mut window = Vec::new();
        let mut out = Vec::with_capacity(self.places.len());
        for &place in self.places {
            let beside = [self.layout.beside(place, -1), self.layout.beside(place, 1)];
            let around = [beside[0], Some(place), beside[1]].into_iter().flatten();
            while last.front().is_some_and(|(at, _)| at.0 + 1 < place.0) {
                last.pop_front();
            }
            for place in around {
                if last.back().is_none_or(|(at, _)| *at < place) {
                    last.push_back((place, vectors.whole(self.layout.slot(place))?));
                }
            }
            let vector = |place: &Place| {
                let found = last.iter().find(|(at, _)| at == place);
                found.and_then(|(_, vector)| vector.as_ref())
            };
            let Some(own) = vector(&place) else {
                out.push(None);
                continue;
            };
            window.clone_from(own);
            for other in beside.iter().flatten().filter_map(vector) {
                window.iter_mut().zip(other).for_each(|(sum, value)| *sum += BESIDE * value);
            }
            out.push(Some(vectors.cosine(&window)));
        }
        Ok(out)
    }

    fn by_sender(&self, place: Place) -> f32 {
        let named = self.sender.is_some() && self.layout.sender(place) == self.sender;
        f32::from(named) * self.weights.of(Part::Sender)
    }

    fn by_date(&self, place: Place) -> f32 {
        let near = self.near.get(self.layout.session(place).0 as usize);
        near.copied().unwrap_or(0.0) * self.weights.of(Part::Date)
    }
}
