//! Rows that may be found, and the walk that keeps those alone.

use std::cmp::Reverse;

use embedded_db_common::Slot;
use roaring::RoaringBitmap;

use super::header::GraphDamage;
use super::pool::{Entry, Pool};
use super::rule::{Rule, Verdict};
use super::search::GraphRequest;
use super::space::Target;
use super::view::GraphView;
use super::walk::{EXPANSIONS_PER_QUESTION, Scratch};

/// Which rows may be found.
pub(super) struct Filter<'a> {
    pub(super) view: GraphView<'a>,
    pub(super) allowed: Option<&'a RoaringBitmap>,
    pub(super) dead: Option<&'a RoaringBitmap>,
    /// The lowest and the highest slot of the graph.
    pub(super) slots: (Slot, Slot),
    rows: f64,
    share: f64,
}

impl<'a> Filter<'a> {
    pub(super) fn new(
        view: &GraphView<'a>,
        request: &GraphRequest<'a>,
    ) -> Result<Self, GraphDamage> {
        let mut out = Self {
            view: *view,
            allowed: request.allowed,
            dead: request.dead.filter(|dead| !dead.is_empty()),
            slots: (Slot(0), Slot(0)),
            rows: view.len() as f64,
            share: 1.0,
        };
        if view.is_empty() {
            return Ok(out);
        }
        if let Some(allowed) = request.allowed {
            // Slots of the graph are taken to be spread evenly between the lowest and the
            // highest, and rows over slots.
            out.slots = view.slot_range()?;
            let (low, high) = out.slots;
            let span = f64::from(high.0 - low.0) + 1.0;
            let allowed = allowed.range_cardinality(low.0..=high.0) as f64;
            if let Some(rows) = request.rows {
                out.share = rows as f64 / out.rows;
                out.rows = rows as f64;
            } else {
                out.share = allowed / span;
                // A slot without a row must be looked up all the same.
                out.rows = allowed * (out.rows / span).max(1.0);
            }
        }
        if let Some(dead) = out.dead {
            let living = 1.0 - dead.len() as f64 / view.len() as f64;
            out.share *= living.max(0.0);
        }
        Ok(out)
    }

    /// Rows a scan would look at; none only if none may be found.
    pub(super) fn rows(&self) -> f64 {
        self.rows
    }

    /// The share of the rows that may be found.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// Whether every row may be found, and no two are of one slot.
    pub(super) fn passes_all(&self) -> bool {
        self.allowed.is_none() && self.dead.is_none() && !self.view.header.has_parts
    }

    /// The row's slot, if the row may be found.
    #[inline(always)]
    pub(super) fn slot(&self, row: u32) -> Option<Slot> {
        if self.dead.is_some_and(|dead| dead.contains(row)) {
            return None;
        }
        let slot = self.view.slot(row)?;
        self.allowed.is_none_or(|allowed| allowed.contains(slot.0)).then_some(slot)
    }

    /// Walks over all rows and keeps those that may be found. `None`: interrupted;
    /// `Some(None)`: a scan is the better way.
    pub(super) fn walk(
        &self,
        target: &Target,
        entries: &[u32],
        rule: &mut Rule,
        scratch: &mut Scratch,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Option<Nearest>>, GraphDamage> {
        let (base, space) = (self.view.base(), &self.view.space);
        let Scratch { walk, frontier, .. } = scratch;
        let mut nearest = Nearest::new(rule.pool, self.view.header.has_parts);
        let (mut near, mut passed) = (0, 0);
        frontier.clear();
        walk.start(&base, space, target, entries)?;
        for turn in 1usize.. {
            // Only what is near enough is asked whether it passes: of that the share is wanted.
            for entry in walk.found() {
                if !nearest.admits(entry) {
                    continue;
                }
                near += 1;
                if let Some(slot) = self.slot(entry.node()) {
                    passed += 1;
                    nearest.insert(entry, slot);
                }
                frontier.push(Reverse(entry));
            }
            match rule.judge(walk.visited.len(), near, passed) {
                Verdict::GoOn => {}
                Verdict::Widen(pool) => nearest.widen(pool),
                Verdict::Scan => return Ok(Some(None)),
            }
            let Some(Reverse(next)) = frontier.pop() else { break };
            if !nearest.admits(next) {
                break;
            }
            if turn.is_multiple_of(EXPANSIONS_PER_QUESTION) && interrupt() {
                return Ok(None);
            }
            let after = frontier.peek().map(|Reverse(entry)| entry.node());
            walk.expand(&base, space, target, next.node(), after)?;
        }
        Ok(Some(Some(nearest)))
    }
}

/// The nearest rows, of every slot one, the nearest first.
pub(super) struct Nearest {
    entries: Vec<Entry>,
    /// Of every entry, where a slot can have several.
    slots: Vec<Slot>,
    has_parts: bool,
    limit: usize,
}

impl Nearest {
    pub(super) fn new(limit: usize, has_parts: bool) -> Self {
        Self { entries: Vec::with_capacity(limit + 1), slots: Vec::new(), has_parts, limit }
    }

    /// What a walk over rows of different slots found.
    pub(super) fn of_pool(pool: &Pool) -> Self {
        let entries = pool.entries().to_vec();
        Self { entries, slots: Vec::new(), has_parts: false, limit: pool.entries().len() }
    }

    pub(super) fn widen(&mut self, limit: usize) {
        self.limit = self.limit.max(limit);
    }

    /// Whether an entry so far away would be among them. An entry that is there is admitted.
    #[inline(always)]
    pub(super) fn admits(&self, entry: Entry) -> bool {
        self.entries.len() < self.limit || self.entries.last().is_some_and(|last| entry <= *last)
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, entry: Entry, slot: Slot) {
        if !self.admits(entry) {
            return;
        }
        let place = self.entries.partition_point(|held| *held < entry);
        if self.has_parts {
            if let Some(held) = self.slots.iter().position(|&held| held == slot) {
                if held < place {
                    return;
                }
                self.entries.remove(held);
                self.slots.remove(held);
            }
            self.slots.insert(place, slot);
        }
        self.entries.insert(place, entry);
        if self.entries.len() > self.limit {
            self.entries.pop();
            self.slots.truncate(self.limit);
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
