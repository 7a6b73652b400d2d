//! What a search sees.

use std::collections::HashMap;
use std::sync::Arc;

use embedded_db_common::{Error, Lsn, Result, Slot};
use roaring::RoaringBitmap;

use super::super::arrays::{Best, Interrupt};
use super::super::exact::ExactQuery;
use super::super::graph::{Effort, Graph, GraphRequest, RowCodes, SearchError};
use super::super::search::SCRATCH;
use super::super::{VectorHit, VectorTail};
use super::linking::{Linked, Linking, broken};
use super::rows::{Reader, Rows};
use super::{HnswOptions, HnswRequest};
use crate::kernels::Kernels;

/// The id of a slot whose vector was removed.
pub(super) const REMOVED: i64 = -1;

pub(super) struct State {
    /// Of every slot.
    ids: Vec<i64>,
    slots: HashMap<i64, u32>,
    next_id: i64,
    rows: Rows,
    graph: Option<Arc<Graph>>,
    /// Rows of the graph.
    dead: RoaringBitmap,
    /// Slots from here on are in the tail alone.
    unlinked: u32,
    tail: VectorTail,
}

impl State {
    pub(super) fn new(options: &HnswOptions) -> Self {
        Self {
            ids: Vec::new(),
            slots: HashMap::new(),
            next_id: 0,
            rows: Rows::new(options.dim),
            graph: None,
            dead: RoaringBitmap::new(),
            unlinked: 0,
            tail: VectorTail::new(options.dim, options.metric, Kernels::detect()),
        }
    }

    /// Number of vectors.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Number of slots, with those whose vectors were removed.
    pub(super) fn held(&self) -> usize {
        self.ids.len()
    }

    /// Number of slots that no graph was made of yet.
    pub(super) fn unlinked(&self) -> usize {
        self.ids.len() - self.unlinked as usize
    }

    pub(super) fn ids(&self) -> &[i64] {
        &self.ids
    }

    pub(super) fn next_id(&self) -> i64 {
        self.next_id
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(super) fn graph(&self) -> Option<&Graph> {
        self.graph.as_deref()
    }

    pub(super) fn slot(&self, id: i64) -> Option<u32> {
        self.slots.get(&id).copied()
    }

    /// The slots of those of the ids that have one.
    pub(super) fn slots(&self, ids: &[i64]) -> RoaringBitmap {
        let mut slots: Vec<u32> = ids.iter().filter_map(|id| self.slot(*id)).collect();
        slots.sort_unstable();
        RoaringBitmap::from_iter(slots)
    }

    /// Refuses ids that cannot be given to new vectors.
    pub(super) fn check_new(&self, ids: &[i64]) -> Result<()> {
        let mut given = std::collections::HashSet::with_capacity(ids.len());
        for (item, &id) in ids.iter().enumerate() {
            if !(0..i64::MAX).contains(&id) {
                let message = format!("the id {id} is not one from 0 to {}", i64::MAX - 1);
                return Err(Error::InvalidInput(message).of_item(item));
            }
            if self.slots.contains_key(&id) || !given.insert(id) {
                let message =
                    format!("the id {id} is taken; remove its vector first, or choose another id");
                return Err(Error::Taken { message, id: id.to_string() }.of_item(item));
            }
        }
        Ok(())
    }

    /// The ids that so many new vectors get.
    pub(super) fn next_ids(&self, count: usize) -> Result<Vec<i64>> {
        let end = i64::try_from(count).ok().and_then(|count| self.next_id.checked_add(count));
        let full = || Error::InvalidInput("there are no more ids; give ids that are free".into());
        Ok((self.next_id..end.ok_or_else(full)?).collect())
    }

    /// Adds a vector, whose id is free.
    pub(super) fn push(&mut self, id: i64, row: &[f32]) {
        let slot = self.ids.len() as u32;
        self.rows.push(row);
        self.tail.upsert(Slot(slot), self.now(), &[(0, row)]);
        self.ids.push(id);
        self.slots.insert(id, slot);
        self.next_id = self.next_id.max(id + 1);
    }

    /// Removes vectors that are there.
    pub(super) fn remove(&mut self, ids: &[i64]) {
        let now = Lsn(self.now().0 + 1);
        let graph = self.graph.clone();
        let view = graph.as_ref().map(|graph| graph.view());
        for id in ids {
            let Some(slot) = self.slots.remove(id) else { continue };
            self.ids[slot as usize] = REMOVED;
            self.tail.remove(Slot(slot), now);
            let rows = view.iter().flat_map(|view| view.rows_of(Slot(slot)));
            self.dead.extend(rows.flatten());
        }
        self.tail.advance(now);
        self.tail.prune(now);
    }

    /// All that is there, in new slots and all of it in the tail.
    pub(super) fn without_lost(&self, options: &HnswOptions) -> Self {
        let mut fresh = Self::new(options);
        for (slot, &id) in (0..).zip(&self.ids) {
            if id != REMOVED {
                fresh.push(id, self.rows.get(slot));
            }
        }
        fresh.next_id = self.next_id;
        fresh
    }

    /// The same as it was written: the graph has what it has, the tail what else is there.
    ///
    /// # Errors
    /// What cannot be.
    pub(super) fn restore(
        &mut self,
        ids: Vec<i64>,
        next_id: i64,
        rows: Rows,
        graph: Option<Graph>,
    ) -> std::result::Result<(), &'static str> {
        let mut linked = RoaringBitmap::new();
        if let Some(graph) = &graph {
            let view = graph.view();
            for row in 0..view.len() as u32 {
                let slot = view.slot(row).filter(|slot| (slot.0 as usize) < ids.len());
                let slot = slot.ok_or("a slot that is not there")?;
                // So that a removed vector is found to be dead.
                let found = view.rows_of(slot).collect::<std::result::Result<Vec<_>, _>>();
                if found.ok() != Some(vec![row]) || view.part(row) != Some(0) {
                    return Err("the order of its slots");
                }
                linked.insert(slot.0);
                if ids[slot.0 as usize] == REMOVED {
                    self.dead.insert(row);
                }
            }
            self.unlinked = linked.max().map_or(0, |last| last + 1);
        }
        for (slot, &id) in (0..).zip(&ids) {
            if id == REMOVED {
                continue;
            }
            if !(0..next_id).contains(&id) || self.slots.insert(id, slot).is_some() {
                return Err("an id");
            }
            let row = rows.get(slot);
            if !row.iter().all(|number| number.is_finite()) {
                return Err("a number that is not finite");
            }
            if !linked.contains(slot) {
                self.tail.upsert(Slot(slot), self.now(), &[(0, row)]);
            }
        }
        (self.ids, self.next_id, self.rows) = (ids, next_id, rows);
        self.graph = graph.map(Arc::new);
        Ok(())
    }

    /// What of the tail is to be linked.
    pub(super) fn linking(&self, options: &HnswOptions) -> Linking {
        let mut codes = RowCodes::new(options.dim, options.metric);
        let end = self.ids.len() as u32;
        codes.reserve(self.unlinked());
        for slot in self.unlinked..end {
            if self.ids[slot as usize] != REMOVED {
                // What no code can stand for stays in the tail.
                _ = codes.push(Slot(slot), 0, self.rows.get(slot));
            }
        }
        Linking { graph: self.graph.clone(), dead: self.dead.clone(), codes, end }
    }

    /// Goes on with the graph of what was linked; nothing has changed meanwhile.
    pub(super) fn adopt(&mut self, linked: Linked) {
        let now = Lsn(self.now().0 + 1);
        let view = linked.graph.view();
        for slot in self.unlinked..linked.end {
            if view.rows_of(Slot(slot)).next().is_some() {
                self.tail.remove(Slot(slot), now);
            }
        }
        self.tail.advance(now);
        self.tail.prune(now);
        self.graph = Some(Arc::new(linked.graph));
        (self.dead, self.unlinked) = (linked.dead, linked.end);
    }

    /// The best for one query.
    pub(super) fn search(
        &self,
        query: &[f32],
        request: &HnswRequest<'_>,
        allowed: Option<&RoaringBitmap>,
        interrupt: Interrupt<'_>,
    ) -> Result<Best> {
        let k = request.k.min(self.len());
        let mut hits = match request.effort {
            Some(effort) => self.walk(query, k, effort, allowed, interrupt)?,
            None => self.compare(query, allowed, interrupt)?,
        };
        let order =
            |a: &VectorHit, b: &VectorHit| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot));
        if k > 0 && hits.len() > k {
            hits.select_nth_unstable_by(k - 1, order);
        }
        hits.truncate(k);
        hits.sort_unstable_by(order);
        Ok(Best {
            rows: hits.iter().map(|hit| self.ids[hit.slot.0 as usize]).collect(),
            scores: hits.iter().map(|hit| hit.score).collect(),
        })
    }

    /// The best of the tail and of the graph.
    fn walk(
        &self,
        query: &[f32],
        k: usize,
        effort: Effort,
        allowed: Option<&RoaringBitmap>,
        interrupt: Interrupt<'_>,
    ) -> Result<Vec<VectorHit>> {
        let mut said = None;
        let mut stops = || interrupt().map_err(|error| said = Some(error)).is_err();
        let mut reader = Reader(&self.rows);
        let found = self.tail.search(query, self.now(), allowed, k, &mut reader, &mut stops);
        let mut hits = match found {
            Ok(Some(hits)) => hits,
            Ok(None) => return Err(said.unwrap_or(Error::Interrupted)),
        };
        let Some(graph) = &self.graph else { return Ok(hits) };
        let request = GraphRequest {
            k,
            effort,
            allowed,
            dead: Some(&self.dead),
            rows: allowed.map(|allowed| allowed.range_cardinality(..self.unlinked)),
            ..GraphRequest::default()
        };
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let view = graph.view();
        let found = view.search_exact(query, &request, &mut reader, &mut scratch, &mut stops);
        SCRATCH.set(Some(scratch));
        match found {
            Ok(Some((found, _))) => hits.extend(found),
            Ok(None) => return Err(said.unwrap_or(Error::Interrupted)),
            Err(SearchError::Damage(damage)) => return Err(broken(&damage)),
        }
        Ok(hits)
    }

    /// All that may be found, by f32 values.
    fn compare(
        &self,
        query: &[f32],
        allowed: Option<&RoaringBitmap>,
        interrupt: Interrupt<'_>,
    ) -> Result<Vec<VectorHit>> {
        let exact = ExactQuery::new(self.tail.metric(), Kernels::detect(), query);
        let hit = |slot: u32, score: f32| VectorHit { slot: Slot(slot), part: 0, score };
        let mut hits = Vec::new();
        if let Some(allowed) = allowed {
            for slot in allowed {
                hits.push(hit(slot, exact.score(self.rows.get(slot))));
                if slot % 1024 == 0 {
                    interrupt()?;
                }
            }
            return Ok(hits);
        }
        let (mut scores, mut squares) = (Vec::new(), Vec::new());
        let mut slots = (0..).zip(&self.ids);
        for piece in self.rows.pieces() {
            interrupt()?;
            scores.resize(piece.len() / query.len(), 0.0);
            squares.resize(scores.len(), 0.0);
            // All rows are finite.
            _ = exact.scores(piece, &mut squares, &mut scores);
            let held = scores.iter().zip(slots.by_ref()).filter(|(_, (_, id))| **id != REMOVED);
            hits.extend(held.map(|(&score, (slot, _))| hit(slot, score)));
        }
        Ok(hits)
    }

    fn now(&self) -> Lsn {
        self.tail.lsn()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("len", &self.len()).finish_non_exhaustive()
    }
}
