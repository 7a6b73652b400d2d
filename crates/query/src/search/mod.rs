//! A question in plain words: what it says is taken apart, all legs answer, and a profile ranks.
//!
//! [`prepare`] finds the candidates and takes the question apart; [`Prepared::rank`] answers it, with
//! the vector of what [`Prepared::embedded`] says. What is known of the candidates (statistics of
//! words, senders, sessions) is known as if there were no other nodes, so that a question put to one
//! chat of many is answered as if the chat were alone.

mod dates;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lexical;
mod profile;
mod question;
mod scope;
mod score;
mod vectors;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLockReadGuard};
use std::time::Instant;

use embedded_db_common::{Error, Lsn, Result, Slot, clock};
use embedded_db_indexing::sessions::{Layout, Place, SessionId, Sessions};
use embedded_db_indexing::text::{TextIndex, Weighting};
use roaring::RoaringBitmap;

pub use profile::{Part, Profile, Weights};

use crate::candidates::Candidates;
use crate::converged::{ConvergedQuery, Hit, Results, Step, Textual};
use crate::guard::Guard;
use crate::run::Context;
use lexical::{Matches, Wanted};
use question::Question;
use scope::Scope;
use score::{Candidate, Turns};
use vectors::Vectors;

/// Best candidates of each leg that are scored by all, at the least.
const POOL: usize = 100;
/// A session this near to a named time takes part whatever its words.
const NEAR: f32 = 0.3;

/// How a question is answered, besides what restricts it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manner {
    /// The profile.
    pub profile: Profile,
    /// Weights of the parts.
    pub weights: Weights,
    /// Whether facts are found whose place others have taken.
    pub superseded: bool,
}

/// What a question was found to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// The profile that answers.
    pub profile: &'static str,
    /// The terms that are looked for.
    pub terms: Vec<String>,
    /// The senders that are named.
    pub names: Vec<String>,
    /// The times that are named.
    pub dates: Vec<String>,
    /// The text whose vector is compared; `None` when meaning has no weight.
    pub embedded: Option<String>,
}

/// A question taken apart, with its candidates.
pub struct Prepared<'a> {
    context: &'a Context<'a>,
    query: &'a ConvergedQuery,
    manner: Manner,
    profile: Profile,
    question: Question,
    scope: Scope,
    distances: HashMap<Slot, u32>,
    steps: Vec<Step>,
}

/// Finds the candidates and takes the question, the text of `query`, apart. The context must hold
/// texts and sessions, and vectors unless meaning has no weight.
pub fn prepare<'a>(
    context: &'a Context<'a>,
    query: &'a ConvergedQuery,
    manner: Manner,
    guard: &Guard<'_>,
) -> Result<Prepared<'a>> {
    let text = query.text.as_ref().and_then(Textual::words).unwrap_or_default();
    if text.trim().is_empty() {
        return Err(Error::query("text", "the question is empty; ask something"));
    }
    query.validate()?;
    let Context { snapshot, namespace, names, .. } = *context;
    let mut candidates = Candidates::new(snapshot, namespace, names, query, guard);
    let slots = candidates.find(None, None)?;
    let Candidates { distances, mut steps, .. } = candidates;
    let since = Instant::now();
    let sessions = sessions(context)?;
    let mut but = RoaringBitmap::new();
    if !manner.superseded {
        but |= sessions.superseded();
    }
    let (any_label, unrestricted) = (query.labels.is_empty(), slots.is_none());
    let slots = slots.map(|slots| slots - &but);
    let (profile, scope) = Scope::new(sessions, slots, &but, manner.profile, any_label);
    let current = (unrestricted && !but.is_empty()).then(|| sessions.current());
    let present = match (&current, scope.allowed()) {
        (Some(current), _) => Some(Cow::Borrowed(&current.senders)),
        (None, Some(slots)) => Some(Cow::Owned(sessions.senders_of(slots))),
        (None, None) => None,
    };
    let is_present = |sender: u32| match &present {
        Some(present) => present[sender as usize],
        None => sessions.messages_of(sender) > 0,
    };
    let tail = texts(context)?;
    let question =
        Question::new(text, tail.analyzer(), sessions.senders(), is_present, clock::now());
    guard.check()?; // a long question takes its time
    if query.explain {
        let detail = format!("{} terms, profile {}", question.terms.terms().len(), profile.name());
        steps.push(step("question", detail, scope.len(context)?, since));
    }
    Ok(Prepared { context, query, manner, profile, question, scope, distances, steps })
}

fn sessions<'a>(context: &'a Context<'_>) -> Result<&'a Sessions> {
    let sessions = context.attached.sessions.as_deref();
    sessions.ok_or_else(|| Error::Internal("a search without sessions".into()))
}

fn texts<'a>(context: &'a Context<'_>) -> Result<RwLockReadGuard<'a, TextIndex>> {
    let tail = context.attached.text.as_ref();
    let tail = tail.ok_or_else(|| Error::Internal("a search without texts".into()))?;
    Ok(tail.read().unwrap_or_else(PoisonError::into_inner))
}

fn step(step: &'static str, detail: String, rows: u64, since: Instant) -> Step {
    let micros = since.elapsed().as_secs_f64() * 1e6;
    Step { step, detail, access: None, estimate: None, rows, micros }
}

impl Prepared<'_> {
    /// The text that a vector is needed of; `None` when meaning has no weight.
    pub fn embedded(&self) -> Option<&str> {
        let needed = self.manner.weights.of(Part::Semantic) > 0.0;
        needed.then_some(&self.question.embedded)
    }

    /// What the question was found to say.
    pub fn analysis(&self) -> Result<Analysis> {
        let senders = sessions(self.context)?.senders();
        Ok(Analysis {
            profile: self.profile.name(),
            terms: self.question.terms.terms().map(str::to_owned).collect(),
            names: self.question.senders.iter().map(|s| senders.name(*s).to_owned()).collect(),
            dates: self.question.dates.iter().map(ToString::to_string).collect(),
            embedded: self.embedded().map(str::to_owned),
        })
    }

    /// Answers the question.
    pub fn rank(mut self, vector: Option<&[f32]>, guard: &Guard<'_>) -> Result<Results> {
        let context = self.context;
        let pending = match vector {
            Some(_) => self.scope.count(&context.pending, sessions(context)?),
            None => 0,
        };
        let vectors = vector.zip(context.attached.vectors.as_ref()).map(|(vector, tail)| {
            let tail = tail.read().unwrap_or_else(PoisonError::into_inner);
            Vectors::new(context, tail, vector, guard)
        });
        let hits = match &self.scope {
            Scope::Turns { layout, allowed } => {
                let (layout, allowed) = (Arc::clone(layout), allowed.clone());
                self.rank_turns(&layout, allowed.as_ref(), vectors, guard)?
            }
            Scope::Nodes { allowed, but } => {
                let (allowed, but) = (allowed.clone(), but.clone());
                self.rank_nodes(allowed, &but, vectors, guard)?
            }
        };
        let plan = self.query.explain.then_some(self.steps);
        Ok(Results { hits, pending, plan, more: false })
    }

    fn note(&mut self, name: &'static str, detail: &str, rows: usize, since: Instant) {
        if self.query.explain {
            self.steps.push(step(name, detail.to_owned(), rows as u64, since));
        }
    }

    fn pool_size(&self) -> usize {
        POOL.max(self.query.limit)
    }

    fn rank_turns(
        &mut self,
        layout: &Layout,
        allowed: Option<&RoaringBitmap>,
        mut vectors: Option<Vectors<'_>>,
        guard: &Guard<'_>,
    ) -> Result<Vec<Hit>> {
        let weights = self.manner.weights;
        let is_window = self.profile == Profile::Window;
        let since = Instant::now();
        let wanted = Wanted { windows: is_window, sessions: !is_window };
        let (tail, at) = (texts(self.context)?, self.context.lsn);
        let matches = Matches::find(layout, &tail, at, &self.question.terms, wanted, guard)?;
        drop(tail);
        let size = self.pool_size();
        let textual = best(layout, &matches.turns, size);
        self.note("words", "BM25 of turns, and of what they lie in", textual.len(), since);

        let since = Instant::now();
        let allowed = allowed.unwrap_or(sessions(self.context)?.slots());
        let (semantic, report) = match &mut vectors {
            Some(vectors) => vectors.best(Some(allowed), size)?,
            None => Default::default(),
        };
        self.note("vectors", &report.to_string(), semantic.len(), since);

        let since = Instant::now();
        let near = self.near(layout);
        let mut places = textual.clone();
        places.extend(semantic.iter().filter_map(|(slot, _)| layout.place(*slot)));
        if is_window {
            places.extend(best(layout, &matches.windows, size));
        }
        self.add_dated(layout, &near, &matches, &mut vectors, &mut places)?;
        add_neighbors(layout, &mut places);
        let score = |place: &Place| (layout.slot(*place), matches.turns[place.0 as usize]);
        let (textual, semantic) = (ranks(textual.iter().map(score)), ranks(semantic.into_iter()));
        let mut pool = Vec::with_capacity(places.len());
        for (slot, text) in places.iter().map(score) {
            let text = Some(text).filter(|score| *score > 0.0);
            pool.push(candidate(slot, text, &semantic, &mut vectors)?);
        }
        let turns = Turns {
            layout,
            places: &places,
            weights: &weights,
            sender: self.question.only_sender(),
            near: &near,
            sessions: &matches.sessions,
            windows: &matches.windows,
        };
        let parts: &[Part] = if is_window {
            turns.window(&mut pool, vectors.as_mut())?;
            &score::WINDOW
        } else {
            turns.conversation(&mut pool);
            &score::CONVERSATION
        };
        self.note("score", self.profile.name(), pool.len(), since);
        Ok(self.hits(&pool, parts, &textual, &semantic))
    }

    /// By session: how near it lies to the named times. Empty without such.
    fn near(&self, layout: &Layout) -> Vec<f32> {
        let dates = &self.question.dates;
        if dates.is_empty() || self.manner.weights.of(Part::Date) == 0.0 {
            return Vec::new();
        }
        let closeness = |session| {
            let span = layout.span(SessionId(session));
            let near = |span| dates.iter().map(|when| when.closeness(span)).fold(0.0, f32::max);
            span.map_or(0.0, near)
        };
        (0..layout.sessions()).map(closeness).collect()
    }

    /// Adds the best of the sessions that lie in a named time.
    fn add_dated(
        &self,
        layout: &Layout,
        near: &[f32],
        matches: &Matches,
        vectors: &mut Option<Vectors<'_>>,
        places: &mut Vec<Place>,
    ) -> Result<()> {
        let sessions = (0..).zip(near).filter(|(_, near)| **near >= NEAR);
        let dated: Vec<Place> =
            sessions.flat_map(|(session, _)| layout.places_of(SessionId(session))).collect();
        let size = self.pool_size();
        if dated.len() <= size {
            places.extend(dated);
            return Ok(());
        }
        let score = |place: Place| matches.turns[place.0 as usize];
        places.extend(best_of(layout, dated.iter().copied().map(|p| (score(p), p)), size));
        match vectors {
            Some(vectors) => {
                let slots = dated.iter().map(|place| layout.slot(*place).0).collect();
                let (found, _) = vectors.best(Some(&slots), size)?;
                places.extend(found.iter().filter_map(|(slot, _)| layout.place(*slot)));
            }
            None => places.extend(&dated[..size]),
        }
        Ok(())
    }

    fn rank_nodes(
        &mut self,
        allowed: Option<RoaringBitmap>,
        but: &RoaringBitmap,
        mut vectors: Option<Vectors<'_>>,
        guard: &Guard<'_>,
    ) -> Result<Vec<Hit>> {
        let size = self.pool_size();
        let since = Instant::now();
        let scores = self.words_of_nodes(allowed.as_ref(), but, guard)?;
        let mut textual: Vec<(Slot, f32)> = scores.iter().map(|(s, score)| (*s, *score)).collect();
        textual.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        textual.truncate(size);
        self.note("words", "BM25 of nodes", textual.len(), since);
        let since = Instant::now();
        let (semantic, report) = match &mut vectors {
            Some(vectors) => {
                vectors.best(scope::all_but(self.context, allowed, but)?.as_ref(), size)?
            }
            None => Default::default(),
        };
        self.note("vectors", &report.to_string(), semantic.len(), since);

        let since = Instant::now();
        let mut slots: Vec<Slot> = textual.iter().chain(&semantic).map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let (textual, semantic) = (ranks(textual.into_iter()), ranks(semantic.into_iter()));
        let mut pool = Vec::with_capacity(slots.len());
        for slot in slots {
            pool.push(candidate(slot, scores.get(&slot).copied(), &semantic, &mut vectors)?);
        }
        score::plain(&mut pool, &self.manner.weights);
        self.note("score", self.profile.name(), pool.len(), since);
        Ok(self.hits(&pool, &score::PLAIN, &textual, &semantic))
    }

    /// BM25 of the nodes that hold a term, with the statistics of those that are allowed, or of all but
    /// some.
    fn words_of_nodes(
        &self,
        allowed: Option<&RoaringBitmap>,
        but: &RoaringBitmap,
        guard: &Guard<'_>,
    ) -> Result<HashMap<Slot, f32>> {
        let (tail, at) = (texts(self.context)?, self.context.lsn);
        let (documents, words) = match allowed {
            None => {
                let (all, without) = (tail.collection(at), of_nodes(&tail, but, at, guard)?);
                (all.0 - without.0, all.1 - without.1)
            }
            Some(allowed) => of_nodes(&tail, allowed, at, guard)?,
        };
        let counts = |slot: u32| match allowed {
            None => !but.contains(slot),
            Some(allowed) => allowed.contains(slot),
        };
        let weighting = Weighting::new(lexical::TURNS, documents.max(1), words.max(1));
        let mut scores: HashMap<Slot, f32> = HashMap::new();
        let mut holders = Vec::new();
        for term in self.question.terms.terms() {
            holders.clear();
            for found in tail.occurrences(term, at) {
                guard.tick()?;
                if counts(found.slot.0) {
                    holders.push(found);
                }
            }
            let weight = weighting.term(holders.len() as u64);
            for found in &holders {
                let gained = weighting.score(weight, found.count, found.length);
                *scores.entry(found.slot).or_default() += gained;
            }
        }
        Ok(scores)
    }

    fn hits(
        &self,
        pool: &[Candidate],
        parts: &[Part],
        textual: &Ranks,
        semantic: &Ranks,
    ) -> Vec<Hit> {
        // Of the many in the pool only the best become results.
        let mut order: Vec<(f32, &Candidate)> =
            pool.iter().map(|candidate| (candidate.shares.sum(), candidate)).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.slot.cmp(&b.1.slot)));
        order.truncate(self.query.limit);
        let rank = |ranks: &Ranks, slot| ranks.get(&slot).map(|(rank, _)| *rank);
        let hit = |(score, candidate): (f32, &Candidate)| Hit {
            score,
            similarity: candidate.similarity,
            text: candidate.text,
            semantic_rank: rank(semantic, candidate.slot),
            text_rank: rank(textual, candidate.slot),
            shares: parts.iter().map(|part| (part.name(), candidate.shares.of(*part))).collect(),
            ..Hit::new(candidate.slot, self.distances.get(&candidate.slot).copied())
        };
        order.into_iter().map(hit).collect()
    }
}

/// Rank, from 1, and score of the best of a leg.
type Ranks = HashMap<Slot, (u32, f32)>;

fn ranks(found: impl Iterator<Item = (Slot, f32)>) -> Ranks {
    (1..).zip(found).map(|(rank, (slot, score))| (slot, (rank, score))).collect()
}

/// One of the pool, its similarity looked up unless the semantic leg has found it.
fn candidate(
    slot: Slot,
    text: Option<f32>,
    semantic: &Ranks,
    vectors: &mut Option<Vectors<'_>>,
) -> Result<Candidate> {
    let similarity = match (semantic.get(&slot), vectors) {
        (Some((_, score)), _) => Some(*score),
        (None, Some(vectors)) => vectors.similarity(slot)?,
        (None, None) => None,
    };
    Ok(Candidate { slot, text, similarity, shares: Default::default() })
}

/// Documents and words of these nodes.
fn of_nodes(
    tail: &TextIndex,
    slots: &RoaringBitmap,
    at: Lsn,
    guard: &Guard<'_>,
) -> Result<(u64, u64)> {
    let (mut documents, mut words) = (0, 0);
    for slot in slots {
        guard.tick()?;
        if let Some(length) = tail.length(Slot(slot), at) {
            documents += 1;
            words += u64::from(length);
        }
    }
    Ok((documents, words))
}

/// The best places by a score above 0, best first, equal ones by slot.
fn best(layout: &Layout, scores: &[f32], k: usize) -> Vec<Place> {
    best_of(layout, scores.iter().copied().zip((0..).map(Place)), k)
}

fn best_of(layout: &Layout, scored: impl Iterator<Item = (f32, Place)>, k: usize) -> Vec<Place> {
    let mut found: Vec<(f32, Place)> = scored.filter(|(score, _)| *score > 0.0).collect();
    let order = |a: &(f32, Place), b: &(f32, Place)| {
        b.0.total_cmp(&a.0).then_with(|| layout.slot(a.1).cmp(&layout.slot(b.1)))
    };
    if found.len() > k {
        found.select_nth_unstable_by(k, order);
        found.truncate(k);
    }
    found.sort_unstable_by(order);
    found.into_iter().map(|(_, place)| place).collect()
}

/// Adds the two messages on each side of every one; ascending, each once.
fn add_neighbors(layout: &Layout, places: &mut Vec<Place>) {
    let around: Vec<Place> = places.iter().flat_map(|place| layout.window(*place)).collect();
    *places = around;
    places.sort_unstable();
    places.dedup();
}
