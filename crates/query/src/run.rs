//! Planning and answering a query.
//!
//! 1. The candidates: labels, indexed properties and graph reach, as bitmaps over the snapshot.
//! 2. What no index covers is checked on the stored nodes, so that the ranking legs see exactly the
//!    nodes that may be returned: a filtered query gives its k results whenever k qualify.
//! 3. The ranking legs search among the candidates; the best of each are scored by every leg.
//! 4. Fusion.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLockReadGuard};
use std::time::Instant;

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot, SpaceId, Value};
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::text::{Bm25, TextQuery, TextScorer, TextTail};
use embedded_db_indexing::vector::VectorTail;
use embedded_db_indexing::{Attached, StoreRows, labelled, posting};
use embedded_db_storage::{Direction, Neighbor, ReadTxn, Snapshot, TEXT_PREFIX, text_value};
use roaring::RoaringBitmap;

use crate::converged::{ConvergedQuery, Filter, Hit, Operator, Results, Step};
use crate::filter::Compiled;
use crate::fuse::MinMax;
use crate::graph::{Follow, distances};
use crate::guard::Guard;

/// Best candidates of each leg that are scored by all legs, at the least.
const POOL: usize = 200;
/// Most nodes that a graph leg visits.
const MAX_VISITED: usize = 5_000_000;
/// Hops over which adjacent messages lend each other score, and the share of each relative to the
/// first: a third (0.1 of 0.3).
const LENDING: [f32; 2] = [1.0, 1.0 / 3.0];

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
    /// The space of its semantic leg.
    pub space: Option<SpaceId>,
    /// Known names.
    pub names: &'a Names,
    /// Nodes that wait for a vector.
    pub pending: RoaringBitmap,
}

/// Answers a query.
pub fn run(context: &Context<'_>, query: &ConvergedQuery, guard: &Guard<'_>) -> Result<Results> {
    query.validate()?;
    let mut run = Run { context, query, guard, steps: Vec::new(), distances: HashMap::new() };
    let candidates = run.candidates()?;
    let pending = match (&query.semantic, &candidates) {
        (None, _) => 0,
        (Some(_), None) => context.pending.len(),
        (Some(_), Some(candidates)) => candidates.intersection_len(&context.pending),
    };
    let ranked = query.text.is_some() || query.semantic.is_some();
    let mut hits = if ranked { run.rank(candidates.as_ref())? } else { run.unranked(candidates)? };
    hits.truncate(query.limit);
    Ok(Results { hits, pending, plan: query.explain.then_some(run.steps) })
}

/// The nodes that pass the filters of a query.
pub(crate) struct Candidates {
    /// `None` when nothing restricts them.
    pub(crate) slots: Option<RoaringBitmap>,
    /// Hops from the start of the graph leg.
    pub(crate) distances: HashMap<Slot, u32>,
    /// What was done to find them, if the plan is wanted.
    pub(crate) steps: Vec<Step>,
}

/// Finds the nodes that pass the filters of a query.
pub(crate) fn candidates(
    context: &Context<'_>,
    query: &ConvergedQuery,
    guard: &Guard<'_>,
) -> Result<Candidates> {
    let mut run = Run { context, query, guard, steps: Vec::new(), distances: HashMap::new() };
    let slots = run.candidates()?;
    Ok(Candidates { slots, distances: run.distances, steps: run.steps })
}

struct Run<'a> {
    context: &'a Context<'a>,
    query: &'a ConvergedQuery,
    guard: &'a Guard<'a>,
    steps: Vec<Step>,
    distances: HashMap<Slot, u32>,
}

impl Run<'_> {
    fn step(&mut self, step: &'static str, detail: String, rows: u64, since: Instant) {
        if self.query.explain {
            let micros = since.elapsed().as_secs_f64() * 1e6;
            self.steps.push(Step { step, detail, rows, micros });
        }
    }

    /// The nodes that pass all filters; `None` when nothing restricts them.
    fn candidates(&mut self) -> Result<Option<RoaringBitmap>> {
        let restricted = self.restricted()?;
        let residual = self.residual()?;
        if residual.is_empty() {
            return Ok(restricted);
        }
        let since = Instant::now();
        let all = match restricted {
            Some(slots) => slots,
            None => self.everything()?,
        };
        let (snapshot, namespace) = (self.context.snapshot, self.context.namespace);
        let mut kept = RoaringBitmap::new();
        for slot in &all {
            self.guard.tick()?;
            let Some(node) = snapshot.node(namespace, Slot(slot))? else { continue };
            let mut matches = true;
            for filter in &residual {
                matches = matches && filter.matches(&node)?;
            }
            if matches {
                kept.insert(slot);
            }
        }
        let detail = format!("{} conditions read from {} nodes", residual.len(), all.len());
        self.step("filter", detail, kept.len(), since);
        Ok(Some(kept))
    }

    fn everything(&self) -> Result<RoaringBitmap> {
        let slots = self.context.snapshot.namespace_counters(self.context.namespace)?.node_slots;
        let mut all = RoaringBitmap::new();
        all.insert_range(0..slots);
        Ok(all)
    }

    /// What labels, indexes and the graph say, intersected.
    fn restricted(&mut self) -> Result<Option<RoaringBitmap>> {
        let mut restricted: Option<RoaringBitmap> = None;
        let restrict = |restricted: &mut Option<RoaringBitmap>, slots: RoaringBitmap| {
            *restricted = Some(match restricted.take() {
                Some(so_far) => so_far & slots,
                None => slots,
            });
        };
        let (snapshot, namespace) = (self.context.snapshot, self.context.namespace);
        if !self.query.labels.is_empty() {
            let since = Instant::now();
            let mut any = RoaringBitmap::new();
            for label in &self.query.labels {
                if let Some(label) = snapshot.symbol(label)? {
                    any |= labelled(snapshot, namespace, label)?;
                }
            }
            self.step("labels", self.query.labels.join(", "), any.len(), since);
            restrict(&mut restricted, any);
        }
        for filter in conjunction(&self.query.filters) {
            let since = Instant::now();
            if let Some((property, slots)) = self.indexed(filter)? {
                self.step("index", property.to_owned(), slots.len(), since);
                restrict(&mut restricted, slots);
            }
        }
        if let Some(graph) = &self.query.graph {
            let since = Instant::now();
            let mut starts = Vec::with_capacity(graph.start.len());
            for id in &graph.start {
                starts.push(snapshot.require_node(namespace, id)?);
            }
            let types = graph.edge_types.as_deref();
            let follow = Follow::new(snapshot, types, graph.direction, MAX_VISITED)?;
            let found =
                distances(snapshot, namespace, &starts, &follow, graph.max_hops, self.guard)?;
            let reached = found.iter().filter(|(_, hops)| **hops >= graph.min_hops);
            let reached: RoaringBitmap = reached.map(|(slot, _)| slot.0).collect();
            let detail = format!(
                "{} to {} hops from {} nodes",
                graph.min_hops,
                graph.max_hops,
                starts.len()
            );
            self.step("graph", detail, reached.len(), since);
            if graph.exclude {
                restrict(&mut restricted, self.everything()? - reached);
            } else {
                restrict(&mut restricted, reached);
                self.distances = found;
            }
        }
        if let Some(slots) = &mut restricted
            && self.query.labels.is_empty()
            && self.query.graph.as_ref().is_some_and(|graph| graph.exclude)
        {
            // Slots whose nodes are gone.
            let mut present = RoaringBitmap::new();
            for slot in slots.iter() {
                if snapshot.node(namespace, Slot(slot))?.is_some() {
                    present.insert(slot);
                }
            }
            *slots = present;
        }
        Ok(restricted)
    }

    /// The nodes that an index gives for a condition, if one covers it.
    fn indexed<'f>(&self, filter: &'f Filter) -> Result<Option<(&'f str, RoaringBitmap)>> {
        let Some((property, values)) = index_lookup(filter) else { return Ok(None) };
        let Some(symbol) = self.context.snapshot.symbol(property)? else { return Ok(None) };
        let indexes = self.context.names.indexes();
        let Some(index) = indexes.iter().find(|index| index.property == symbol) else {
            return Ok(None);
        };
        let mut slots = RoaringBitmap::new();
        for value in values {
            slots |= posting(
                self.context.snapshot,
                self.context.namespace,
                index.index,
                &text_value(value),
            )?;
        }
        Ok(Some((property, slots)))
    }

    /// The conditions that must be read from the nodes.
    fn residual(&self) -> Result<Vec<Compiled>> {
        let mut out = Vec::new();
        for filter in conjunction(&self.query.filters) {
            let exact = index_lookup(filter).is_some_and(|(_, values)| {
                values.iter().all(|value| value.len() < TEXT_PREFIX && !value.contains('\0'))
            });
            if !(exact && self.indexed(filter)?.is_some()) {
                out.push(Compiled::new(filter, self.context.snapshot)?);
            }
        }
        Ok(out)
    }

    /// Results in the order in which the nodes were made; with a graph leg, the nearest first.
    fn unranked(&mut self, candidates: Option<RoaringBitmap>) -> Result<Vec<Hit>> {
        let (snapshot, namespace) = (self.context.snapshot, self.context.namespace);
        let candidates = candidates.map_or_else(|| self.everything(), Ok)?;
        let mut slots: Vec<(u32, Slot)> = candidates
            .iter()
            .map(|slot| (self.distances.get(&Slot(slot)).copied().unwrap_or(0), Slot(slot)))
            .collect();
        slots.sort_unstable();
        let mut hits = Vec::new();
        for (_, slot) in slots {
            if hits.len() == self.query.limit {
                break;
            }
            if snapshot.node(namespace, slot)?.is_some() {
                let distance = self.distances.get(&slot).copied();
                hits.push(Hit {
                    slot,
                    score: 1.0,
                    similarity: None,
                    text: None,
                    distance,
                    semantic_rank: None,
                    text_rank: None,
                    shares: Vec::new(),
                });
            }
        }
        Ok(hits)
    }

    fn rank(&mut self, candidates: Option<&RoaringBitmap>) -> Result<Vec<Hit>> {
        let text = self.context.attached.text.as_ref();
        let text = text.map(|tail| tail.read().unwrap_or_else(PoisonError::into_inner));
        let vectors = self.context.attached.vectors.as_ref();
        let vectors = vectors.map(|tail| tail.read().unwrap_or_else(PoisonError::into_inner));
        let mut legs = Legs::new(self, text.as_ref(), vectors.as_ref());
        let both = self.query.text.is_some() && self.query.semantic.is_some();
        // One leg alone gives the order itself.
        let alone = !both && self.query.rank.graph == 0.0;
        let pool = if alone { self.query.limit } else { POOL.max(4 * self.query.limit) };

        let since = Instant::now();
        let semantic = legs.search_vectors(candidates, pool)?;
        self.step("vectors", "int8 scan, f32 rerank".into(), semantic.len() as u64, since);
        let since = Instant::now();
        let textual = legs.search_text(candidates, pool)?;
        self.step("text", "BM25".into(), textual.len() as u64, since);

        let mut hits: BTreeMap<Slot, Hit> = BTreeMap::new();
        let fresh = |slot| Hit {
            slot,
            score: 0.0,
            similarity: None,
            text: None,
            distance: self.distances.get(&slot).copied(),
            semantic_rank: None,
            text_rank: None,
            shares: Vec::new(),
        };
        for (rank, (slot, score)) in (1..).zip(&semantic) {
            let hit = hits.entry(*slot).or_insert_with(|| fresh(*slot));
            (hit.similarity, hit.semantic_rank) = (Some(*score), Some(rank));
        }
        for (rank, (slot, score)) in (1..).zip(&textual) {
            let hit = hits.entry(*slot).or_insert_with(|| fresh(*slot));
            (hit.text, hit.text_rank) = (Some(*score), Some(rank));
        }
        let since = Instant::now();
        let mut hits: Vec<Hit> = hits.into_values().collect();
        for hit in &mut hits {
            self.guard.tick()?;
            legs.complete(hit)?;
        }
        if both {
            hits = self.fuse(hits, &mut legs, candidates)?;
        } else {
            for hit in &mut hits {
                hit.score = hit.similarity.or(hit.text).unwrap_or(0.0);
            }
            if self.query.rank.graph > 0.0 {
                self.blend_distance(&mut hits);
            }
        }
        if let Some(threshold) = self.query.semantic.as_ref().and_then(|leg| leg.threshold) {
            hits.retain(|hit| hit.similarity.is_some_and(|score| score >= threshold));
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot)));
        self.step(
            "fuse",
            if both { "weighted min-max" } else { "one leg" }.into(),
            hits.len() as u64,
            since,
        );
        Ok(hits)
    }

    /// One ranking leg and closeness in the graph, both scaled to 0…1.
    fn blend_distance(&self, hits: &mut [Hit]) {
        let scale = MinMax::over(hits.iter().map(|hit| Some(hit.score)), None);
        let own =
            if self.query.text.is_some() { self.query.rank.text } else { self.query.rank.semantic };
        for hit in hits {
            hit.score = own * scale.scale(Some(hit.score)) + self.query.rank.graph * closeness(hit);
        }
    }

    /// Weighted sum of scaled scores, with what adjacent messages lend.
    fn fuse(
        &self,
        mut hits: Vec<Hit>,
        legs: &mut Legs<'_>,
        candidates: Option<&RoaringBitmap>,
    ) -> Result<Vec<Hit>> {
        let rank = self.query.rank;
        let text = MinMax::over(hits.iter().map(|hit| hit.text), Some(0.0));
        let semantic = MinMax::over(hits.iter().map(|hit| hit.similarity), None);
        let base = |hit: &Hit| {
            rank.text * text.scale(hit.text)
                + rank.semantic * semantic.scale(hit.similarity)
                + rank.graph * closeness(hit)
        };
        let mut scores: HashMap<Slot, f32> = HashMap::with_capacity(hits.len() * 3);
        for hit in &mut hits {
            hit.score = base(hit);
            scores.insert(hit.slot, hit.score);
        }
        if rank.neighbors == 0.0 {
            return Ok(hits);
        }
        // A message with strong neighbours may be a result though no leg found it by itself.
        let mut known: HashMap<Slot, Hit> = hits.into_iter().map(|hit| (hit.slot, hit)).collect();
        let mut around: HashMap<Slot, [Option<Slot>; 2]> = HashMap::new();
        let seeds: Vec<Slot> = known.keys().copied().collect();
        let mut ring = seeds;
        for _ in 0..LENDING.len() {
            let mut next = Vec::new();
            for slot in ring {
                self.guard.tick()?;
                for slot in self.adjacent(&mut around, slot)?.into_iter().flatten() {
                    if scores.contains_key(&slot) {
                        continue;
                    }
                    let mut hit = Hit {
                        slot,
                        score: 0.0,
                        similarity: None,
                        text: None,
                        distance: self.distances.get(&slot).copied(),
                        semantic_rank: None,
                        text_rank: None,
                        shares: Vec::new(),
                    };
                    legs.complete(&mut hit)?;
                    hit.score = base(&hit);
                    scores.insert(slot, hit.score);
                    if candidates.is_none_or(|allowed| allowed.contains(slot.0)) {
                        known.insert(slot, hit);
                    }
                    next.push(slot);
                }
            }
            ring = next;
        }
        let mut out = Vec::with_capacity(known.len());
        for (slot, mut hit) in known {
            let mut lent = 0.0;
            for side in 0..2 {
                let mut at = slot;
                for share in LENDING {
                    let Some(next) = self.adjacent(&mut around, at)?[side] else { break };
                    lent += share * scores.get(&next).copied().unwrap_or(0.0);
                    at = next;
                }
            }
            hit.score += rank.neighbors * lent;
            out.push(hit);
        }
        Ok(out)
    }

    /// The messages before and after.
    fn adjacent(
        &self,
        known: &mut HashMap<Slot, [Option<Slot>; 2]>,
        slot: Slot,
    ) -> Result<[Option<Slot>; 2]> {
        if let Some(found) = known.get(&slot) {
            return Ok(*found);
        }
        let (snapshot, namespace) = (self.context.snapshot, self.context.namespace);
        let next = self.context.names.next;
        let other = |neighbor: Neighbor| neighbor.node;
        let sides = [Direction::In, Direction::Out];
        let mut found = [None; 2];
        for (side, direction) in found.iter_mut().zip(sides) {
            *side = snapshot.last_neighbor(namespace, slot, direction, next)?.map(other);
        }
        known.insert(slot, found);
        Ok(found)
    }
}

/// 1 at a start node, less with each hop, 0 where the graph leg did not reach.
fn closeness(hit: &Hit) -> f32 {
    hit.distance.map_or(0.0, |hops| 1.0 / (1.0 + hops as f32))
}

/// The ranking legs of one query.
struct Legs<'a> {
    text: Option<(&'a TextTail, TextQuery, TextScorer<'a>)>,
    vectors: Option<(&'a VectorTail, &'a [f32])>,
    rows: StoreRows<'a>,
    at: Lsn,
    guard: &'a Guard<'a>,
}

impl<'a> Legs<'a> {
    fn new(
        run: &Run<'a>,
        text: Option<&'a RwLockReadGuard<'_, TextTail>>,
        vectors: Option<&'a RwLockReadGuard<'_, VectorTail>>,
    ) -> Self {
        let text = text.zip(run.query.text.as_ref()).map(|(tail, text)| {
            let tail: &TextTail = tail;
            let query = TextQuery::parse(tail.analyzer(), text, true);
            let scorer = tail.scorer(&query, Bm25::default(), run.context.lsn);
            (tail, query, scorer)
        });
        let vectors = vectors.zip(run.query.semantic.as_ref()).map(|(tail, leg)| {
            let tail: &VectorTail = tail;
            (tail, leg.vector.as_slice())
        });
        let rows = StoreRows {
            snapshot: run.context.snapshot,
            namespace: run.context.namespace,
            space: run.context.space.unwrap_or(SpaceId(0)),
        };
        Self { text, vectors, rows, at: run.context.lsn, guard: run.guard }
    }

    fn search_vectors(
        &mut self,
        candidates: Option<&RoaringBitmap>,
        k: usize,
    ) -> Result<Vec<(Slot, f32)>> {
        let Some((tail, vector)) = self.vectors else { return Ok(Vec::new()) };
        let mut stopped = None;
        let mut stop = || {
            stopped = self.guard.check().err();
            stopped.is_some()
        };
        let found = tail.search(vector, self.at, candidates, k, &mut self.rows, &mut stop)?;
        match found {
            Some(found) => Ok(found.into_iter().map(|hit| (hit.slot, hit.score)).collect()),
            None => Err(stopped.unwrap_or(Error::Interrupted)),
        }
    }

    fn search_text(
        &mut self,
        candidates: Option<&RoaringBitmap>,
        k: usize,
    ) -> Result<Vec<(Slot, f32)>> {
        let Some((tail, query, _)) = &self.text else { return Ok(Vec::new()) };
        let mut stopped = None;
        let mut stop = || {
            stopped = self.guard.check().err();
            stopped.is_some()
        };
        let found = tail.search(query, Bm25::default(), self.at, candidates, k, &mut stop);
        match found {
            Some(found) => Ok(found.into_iter().map(|hit| (hit.slot, hit.score)).collect()),
            None => Err(stopped.unwrap_or(Error::Interrupted)),
        }
    }

    /// Adds the scores that the searches did not give.
    fn complete(&mut self, hit: &mut Hit) -> Result<()> {
        if let (None, Some((_, _, scorer))) = (hit.text, &self.text) {
            hit.text = scorer.score(hit.slot);
        }
        if let (None, Some((tail, vector))) = (hit.similarity, self.vectors) {
            let found = tail.score(vector, self.at, hit.slot, &mut self.rows)?;
            hit.similarity = found.map(|found| found.score);
        }
        Ok(())
    }
}

/// The conditions that all must hold.
fn conjunction(filters: &[Filter]) -> Vec<&Filter> {
    let mut out = Vec::new();
    for filter in filters {
        match filter {
            Filter::All(inner) => out.extend(conjunction(inner)),
            other => out.push(other),
        }
    }
    out
}

/// Property and texts of a condition that postings can answer.
fn index_lookup(filter: &Filter) -> Option<(&str, Vec<&str>)> {
    let Filter::Test { property, operator, value } = filter else { return None };
    let texts = match (operator, value) {
        (Operator::Equals, Value::Str(text)) => vec![text.as_str()],
        (Operator::In, Value::List(items)) => items
            .iter()
            .map(|item| if let Value::Str(text) = item { Some(text.as_str()) } else { None })
            .collect::<Option<Vec<_>>>()?,
        _ => return None,
    };
    Some((property, texts))
}
