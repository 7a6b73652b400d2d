//! Answering a query.
//!
//! 1. The candidates: labels, indexed properties and graph reach, as bitmaps over the snapshot.
//! 2. What no index covers is checked on the stored nodes, so that the ranking legs see exactly the
//!    nodes that may be returned: a filtered query gives its k results whenever k qualify.
//! 3. The ranking legs search among the candidates; the best of each are scored by every leg.
//! 4. Fusion. Scales are taken over the best of each leg, so many whatever the limit, which makes the
//!    score of a node the same on every page.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot, SpaceId, ValueRef};
use embedded_db_indexing::edges::Edges;
use embedded_db_indexing::graph::entities_named;
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::{Attached, StoreRows};
use embedded_db_storage::{ReadTxn, Snapshot};
use roaring::RoaringBitmap;

use crate::candidates::Candidates;
use crate::converged::{ConvergedQuery, Hit, Rank, Results, Textual};
use crate::diverse::diversify;
use crate::fuse::{Fuse, Neighborhood};
use crate::guard::Guard;
use crate::legs::Legs;
use crate::lexical::Lexical;
use crate::order;
use crate::recall::{Activation, Ground, SEEDS, Seeds, Spreading, spread};

/// Best candidates of each leg that the scales are taken over, and that are scored by all legs, at
/// the least.
const POOL: usize = 200;
/// Fewest results that diversity chooses among.
const DIVERSITY_POOL: usize = 50;

/// What a query runs over.
pub struct Context<'a> {
    /// The state it sees.
    pub snapshot: &'a Snapshot,
    /// Its LSN.
    pub lsn: Lsn,
    /// The namespace it sees.
    pub namespace: NamespaceId,
    /// Views up to the snapshot.
    pub attached: Attached,
    /// The space of its semantic leg, and of diversity.
    pub space: Option<SpaceId>,
    /// Known names.
    pub names: &'a Names,
    /// The edges of the state, where activation spreads.
    pub edges: Option<Arc<Edges>>,
    /// Nodes that wait for a vector.
    pub pending: RoaringBitmap,
    /// The time that ages are counted from; microseconds since 1970 UTC.
    pub now: i64,
}

impl Context<'_> {
    /// The vectors of its space.
    pub(crate) fn rows(&self) -> StoreRows<'_> {
        let space = self.space.unwrap_or(SpaceId(0));
        StoreRows { snapshot: self.snapshot, namespace: self.namespace, space }
    }
}

/// Answers a query; `given` are the results of earlier pages.
pub fn run(
    context: &Context<'_>,
    query: &ConvergedQuery,
    given: &RoaringBitmap,
    guard: &Guard<'_>,
) -> Result<Results> {
    query.validate()?;
    guard.check()?;
    let Context { snapshot, namespace, names, .. } = *context;
    let candidates = Candidates::new(snapshot, namespace, names, query, guard);
    let mut run = Run { context, query, given, guard, candidates, active: None };
    if query.ranks() { run.ranked() } else { run.unranked() }
}

struct Run<'a> {
    context: &'a Context<'a>,
    query: &'a ConvergedQuery,
    given: &'a RoaringBitmap,
    guard: &'a Guard<'a>,
    candidates: Candidates<'a, Snapshot>,
    /// What activation has spread to.
    active: Option<Activation>,
}

impl Run<'_> {
    /// Of one more hit than the limit, if there are so many.
    fn results(&mut self, mut hits: Vec<Hit>, pending: u64) -> Results {
        let more = hits.len() > self.query.limit && self.query.rank.mmr.is_none();
        hits.truncate(self.query.limit);
        if let Some(active) = &self.active {
            for hit in hits.iter_mut().filter(|hit| hit.activation.is_some()) {
                hit.path = Some(active.path(hit.slot));
            }
        }
        let steps = std::mem::take(&mut self.candidates.steps);
        Results { hits, pending, plan: self.query.explain.then_some(steps), more }
    }

    /// Results in the order asked for; else with a graph leg the nearest first, without one in the
    /// order in which the nodes were made.
    fn unranked(&mut self) -> Result<Results> {
        let wanted = self.query.limit + 1;
        let ordered = !self.query.order_by.is_empty() || self.query.graph.is_some();
        let enough = (!ordered).then_some(wanted);
        let found = self.candidates.find(Some(self.given), enough)?;
        let found = found.map_or_else(|| self.candidates.everything(), Ok)?;
        let (snapshot, namespace) = (self.context.snapshot, self.context.namespace);
        let since = Instant::now();
        let (mut access, mut detail) = (None, format!("{} nodes", found.len()));
        let slots = match self.query.order_by.as_slice() {
            [] => order::by_distance(&found, &self.candidates.distances),
            by => {
                let narrowed = self.candidates.narrow(&found, by, wanted)?;
                let names: Vec<&str> = by.iter().map(|by| &*by.property).collect();
                let read = narrowed.as_ref().map_or(&found, |narrowed| &narrowed.slots);
                access = Some(narrowed.as_ref().map_or("scan", |narrowed| narrowed.access));
                detail = format!("{}: read from {} nodes", names.join(", "), read.len());
                let read = order::by_properties(snapshot, namespace, read, by, wanted, self.guard)?;
                Box::new(read.into_iter())
            }
        };
        let mut hits = Vec::new();
        for slot in slots {
            if hits.len() == wanted {
                break;
            }
            if snapshot.node_payload(namespace, slot)?.is_some() {
                let distance = self.candidates.distances.get(&slot).copied();
                hits.push(Hit { score: 1.0, ..Hit::new(slot, distance) });
            }
        }
        let rows = hits.len() as u64;
        match access {
            Some(access) => {
                self.candidates.narrowed(("order", access), detail, found.len(), rows, since);
            }
            None => self.candidates.step("order", detail, rows, since),
        }
        Ok(self.results(hits, 0))
    }

    fn ranked(&mut self) -> Result<Results> {
        let candidates = self.candidates.find(None, None)?;
        let pending = match (&self.query.semantic, &candidates) {
            (None, _) => 0,
            (Some(_), None) => self.context.pending.len(),
            (Some(_), Some(candidates)) => candidates.intersection_len(&self.context.pending),
        };
        let mut hits = self.rank(candidates.as_ref())?;
        if let Some(threshold) = self.query.semantic.as_ref().and_then(|leg| leg.threshold) {
            hits.retain(|hit| hit.similarity.is_some_and(|score| score >= threshold));
        }
        hits.retain(|hit| !self.given.contains(hit.slot.0));
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot)));
        if let Some(diversity) = self.query.rank.mmr {
            let since = Instant::now();
            hits.truncate(DIVERSITY_POOL.max(4 * self.query.limit));
            let pool = hits.len() as u64;
            hits = diversify(self.context, hits, diversity, self.query.limit)?;
            self.candidates.step("diversify", "maximal marginal relevance".into(), pool, since);
        }
        Ok(self.results(hits, pending))
    }

    /// The best of each leg, scored by all.
    fn rank(&mut self, candidates: Option<&RoaringBitmap>) -> Result<Vec<Hit>> {
        let text = self.context.attached.text.as_ref();
        let text = text.map(|tail| tail.read().unwrap_or_else(PoisonError::into_inner));
        let vectors = self.context.attached.vectors.as_ref();
        let vectors = vectors.map(|tail| tail.read().unwrap_or_else(PoisonError::into_inner));
        let (query, guard) = (self.query, self.guard);
        let mut matcher = None;
        let lexical = match text.as_ref().zip(query.text.as_ref()) {
            Some((index, text)) => {
                Some(Lexical::new(self.context, index, text, &mut matcher, guard)?)
            }
            None => None,
        };
        let mut legs = Legs::new(self.context, query, guard, lexical, vectors.as_ref());
        let wanted = match query.rank.mmr {
            Some(_) => DIVERSITY_POOL.max(4 * query.limit),
            None => query.limit + 1,
        };
        // Where one leg gives the order, nothing behind the results can come before them.
        let pool = if query.ranks_by_one_leg() { wanted } else { POOL.max(4 * wanted) };
        let pool = pool + self.given.len() as usize;

        let since = Instant::now();
        let (semantic, report) = legs.search_vectors(candidates, pool)?;
        let found = semantic.len() as u64;
        self.candidates.step("vectors", report.to_string(), found, since);
        let since = Instant::now();
        let (textual, detail) = legs.search_text(candidates, pool)?;
        self.candidates.step("text", detail, textual.len() as u64, since);

        let since = Instant::now();
        let mut hits = self.found(&semantic, &textual);
        for hit in &mut hits {
            guard.tick()?;
            legs.complete(hit)?;
        }
        if query.rank.activation > 0.0 {
            self.activate(&mut hits, &mut legs, candidates, pool)?;
        }
        let fuse = self.fuse(query.rank, &hits);
        hits.iter_mut().for_each(|hit| fuse.score(hit));
        if fuse.lending() > 0.0 {
            hits = self.lend(hits, &fuse, &mut legs, candidates)?;
        }
        if let Some(half_life) = query.rank.recency_half_life {
            self.fade(&mut hits, half_life)?;
        }
        self.candidates.step("fuse", "scores of all legs".into(), hits.len() as u64, since);
        Ok(hits)
    }

    /// Scales are taken over the best of each leg.
    fn fuse(&self, rank: Rank, hits: &[Hit]) -> Fuse {
        let best = |rank: Option<u32>| rank.is_some_and(|rank| rank as usize <= POOL);
        let is_scaled = |hit: &&Hit| {
            [hit.semantic_rank, hit.text_rank, hit.activation_rank].into_iter().any(best)
        };
        let scaled: Vec<&Hit> = hits.iter().filter(is_scaled).collect();
        Fuse::new(rank, self.query.text.is_some(), self.query.semantic.is_some(), &scaled)
    }

    /// Lets activation spread from the best of the other legs, and adds those whom it reaches.
    fn activate(
        &mut self,
        hits: &mut Vec<Hit>,
        legs: &mut Legs<'_>,
        candidates: Option<&RoaringBitmap>,
        pool: usize,
    ) -> Result<()> {
        let since = Instant::now();
        let Context { snapshot, namespace, .. } = *self.context;
        let Some(edges) = &self.context.edges else {
            return Err(Error::Internal("activation without edges".into()));
        };
        let (how, seeds) = (Spreading::default(), self.seeds(hits)?);
        let ground = Ground::new(snapshot, namespace, edges, &how)?;
        let active = spread(&ground, &seeds.weighed(&ground), self.guard)?;
        let places: HashMap<Slot, usize> =
            hits.iter().enumerate().map(|(at, hit)| (hit.slot, at)).collect();
        for (rank, (slot, _)) in (1..).zip(active.best(candidates, pool)) {
            let at = match places.get(&slot) {
                Some(at) => *at,
                None => {
                    self.guard.tick()?;
                    let mut hit = Hit::new(slot, self.candidates.distances.get(&slot).copied());
                    legs.complete(&mut hit)?;
                    hits.push(hit);
                    hits.len() - 1
                }
            };
            hits[at].activation_rank = Some(rank);
        }
        hits.iter_mut().for_each(|hit| hit.activation = active.of(hit.slot));
        let detail = format!("{} bursts over {} edges", how.bursts, edges.edges());
        self.candidates.step("activation", detail, active.count() as u64, since);
        self.active = Some(active);
        Ok(())
    }

    /// The best results by the other legs, and the entities that the words of the query name.
    fn seeds(&self, hits: &[Hit]) -> Result<Seeds> {
        let Context { snapshot, namespace, names, .. } = *self.context;
        let mut rank = Rank { activation: 0.0, ..self.query.rank };
        if rank.text == 0.0 && rank.semantic == 0.0 {
            (rank.text, rank.semantic) = (Rank::default().text, Rank::default().semantic);
        }
        let fuse = self.fuse(rank, hits);
        let score = |hit: &Hit| {
            let mut hit = hit.clone();
            fuse.score(&mut hit);
            (hit.slot, hit.score)
        };
        let mut found: Vec<(Slot, f32)> = hits.iter().map(score).collect();
        found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(SEEDS);
        let words = self.query.text.as_ref().and_then(Textual::words);
        let named = match (words, &self.context.attached.text) {
            (Some(words), Some(tail)) => {
                let tail = tail.read().unwrap_or_else(PoisonError::into_inner);
                let says_little = |word: &str| tail.analyzer().says_little(word);
                entities_named(snapshot, namespace, names, words, says_little)?
            }
            _ => Vec::new(),
        };
        Ok(Seeds::found(found).and_named(named))
    }

    /// What either leg found, by slot.
    fn found(&self, semantic: &[(Slot, f32)], textual: &[(Slot, f32)]) -> Vec<Hit> {
        let mut hits: BTreeMap<Slot, Hit> = BTreeMap::new();
        let distances = &self.candidates.distances;
        let fresh = |slot| Hit::new(slot, distances.get(&slot).copied());
        for (rank, (slot, score)) in (1..).zip(semantic) {
            let hit = hits.entry(*slot).or_insert_with(|| fresh(*slot));
            (hit.similarity, hit.semantic_rank) = (Some(*score), Some(rank));
        }
        for (rank, (slot, score)) in (1..).zip(textual) {
            let hit = hits.entry(*slot).or_insert_with(|| fresh(*slot));
            (hit.text, hit.text_rank) = (Some(*score), Some(rank));
        }
        hits.into_values().collect()
    }

    /// Adds what adjacent messages lend. A message with strong neighbours may be a result though no
    /// leg found it by itself.
    fn lend(
        &self,
        mut hits: Vec<Hit>,
        fuse: &Fuse,
        legs: &mut Legs<'_>,
        candidates: Option<&RoaringBitmap>,
    ) -> Result<Vec<Hit>> {
        let mut around = Neighborhood::new(self.context);
        let mut scores: HashMap<Slot, f32> = hits.iter().map(|hit| (hit.slot, hit.score)).collect();
        let mut ring: Vec<Slot> = hits.iter().map(|hit| hit.slot).collect();
        for _ in 0..Neighborhood::reach() {
            let mut next = Vec::new();
            for slot in ring {
                self.guard.tick()?;
                for slot in around.adjacent(slot)?.into_iter().flatten() {
                    if scores.contains_key(&slot) {
                        continue;
                    }
                    let mut hit = Hit::new(slot, self.candidates.distances.get(&slot).copied());
                    legs.complete(&mut hit)?;
                    hit.activation = self.active.as_ref().and_then(|active| active.of(slot));
                    fuse.score(&mut hit);
                    scores.insert(slot, hit.score);
                    if candidates.is_none_or(|allowed| allowed.contains(slot.0)) {
                        hits.push(hit);
                    }
                    next.push(slot);
                }
            }
            ring = next;
        }
        for hit in &mut hits {
            let lent = fuse.lending() * around.lent(hit.slot, &scores)?;
            hit.shares.push(("neighbors", lent));
            hit.score += lent;
        }
        Ok(hits)
    }

    /// Halves scores with each half-life that has passed since a node's `timestamp`, or since it was
    /// made. What lies in the future is as good as new.
    fn fade(&self, hits: &mut [Hit], half_life: f64) -> Result<()> {
        let Context { snapshot, namespace, names, now, .. } = *self.context;
        for hit in hits {
            let Some(node) = snapshot.node(namespace, hit.slot)? else { continue };
            let at = match node.properties.get(names.timestamp)? {
                Some(ValueRef::Time(at)) => at,
                _ => node.created_at,
            };
            let seconds = now.saturating_sub(at).max(0) as f64 / 1e6;
            let kept = (-seconds / half_life).exp2() as f32;
            hit.score *= kept;
            hit.shares.iter_mut().for_each(|(_, share)| *share *= kept);
        }
        Ok(())
    }
}
