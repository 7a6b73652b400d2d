//! Exact search: scan the codes, keep what could be among the best, read those rows.

use std::collections::{BTreeSet, BinaryHeap};

use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::block::{BLOCK_ROWS, Block, RowId};
use super::exact::ExactQuery;
use super::quantize::QuantizedQuery;
use super::{RowSource, VectorHit, VectorTail};
use crate::hashing::FastMap;
use crate::kernels::Kernels;

/// Codes beyond this many bytes come from memory, not from a cache.
const CACHED_BYTES: usize = 16 << 20;

/// What a row costs: ns, and ns per dimension.
#[derive(Clone, Copy)]
struct Cost(f64, f64);

/// A row in a scan of all, and an allowed slot that is looked up; measured on Zen 4.
const CACHED_COSTS: (Cost, Cost) = (Cost(1.0, 0.012), Cost(15.0, 0.02));
const MEMORY_COSTS: (Cost, Cost) = (Cost(1.0, 0.04), Cost(18.0, 0.035));

/// Rows looked up before they are multiplied together.
const LOOKUP_BATCH: usize = 256;

/// Rows looked at together, for whether any is worth a closer look.
const GLANCE_ROWS: usize = 16;

/// Rows read between two questions whether to go on.
const READS_PER_QUESTION: usize = 64;

impl VectorTail {
    /// The `k` best nodes at `at`, best first, equal scores by slot; fewer only if fewer
    /// qualify. A node's score is its best part's. `allowed` restricts the slots. `None` means
    /// that `interrupt`, asked every few microseconds, said to stop.
    ///
    /// The scores and their order are those of f32 vectors. How many rows are read depends on
    /// how close the scores lie: every row whose int8 score is within the bound of the k-th
    /// best, usually 1–4 k; rows of equal values are read once.
    ///
    /// # Errors
    /// What `rows` says.
    ///
    /// # Panics
    /// If the query has not the tail's dimension.
    pub fn search<R: RowSource>(
        &self,
        query: &[f32],
        at: Lsn,
        allowed: Option<&RoaringBitmap>,
        k: usize,
        rows: &mut R,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<VectorHit>>, R::Error> {
        assert_eq!(query.len(), self.dim, "a query of the tail's dimension");
        if k == 0 || self.held == 0 {
            return Ok(Some(Vec::new()));
        }
        let codes = QuantizedQuery::new(self.metric, query);
        let mut shortlist = Shortlist::new(k, self.has_parts);
        let finished = match allowed {
            Some(allowed) if self.lookup_is_cheaper(allowed) => {
                self.look_up(&codes, at, allowed, &mut shortlist, interrupt)
            }
            _ => self.scan(&codes, at, allowed, &mut shortlist, interrupt),
        };
        if !finished {
            return Ok(None);
        }
        self.look_again(&codes, &mut shortlist);
        let exact = ExactQuery::new(self.metric, self.kernels, query);
        let exact = (!codes.scores_nothing()).then_some(exact);
        self.rank(exact.as_ref(), shortlist, rows, interrupt)
    }

    /// The exact score of the node's best part at `at`; `None` if it has no vector then.
    ///
    /// # Errors
    /// What `rows` says.
    ///
    /// # Panics
    /// If the query has not the tail's dimension.
    pub fn score<R: RowSource>(
        &self,
        query: &[f32],
        at: Lsn,
        slot: Slot,
        rows: &mut R,
    ) -> Result<Option<VectorHit>, R::Error> {
        assert_eq!(query.len(), self.dim, "a query of the tail's dimension");
        let exact = ExactQuery::new(self.metric, self.kernels, query);
        let mut vector = vec![0.0; self.dim];
        let mut best: Option<VectorHit> = None;
        for id in self.visible_rows(slot, at) {
            let part = self.row(id).part;
            if rows.row(slot, part, &mut vector)? {
                let hit = VectorHit { slot, part, score: exact.score(&vector) };
                if best.is_none_or(|best| is_better_part(&hit, &best)) {
                    best = Some(hit);
                }
            }
        }
        Ok(best)
    }

    fn lookup_is_cheaper(&self, allowed: &RoaringBitmap) -> bool {
        let is_cached = self.held * self.dim <= CACHED_BYTES;
        let (scan, lookup) = if is_cached { CACHED_COSTS } else { MEMORY_COSTS };
        let cost = |Cost(fixed, per_dim)| fixed + per_dim * self.dim as f64;
        allowed.len() as f64 * cost(lookup) < self.held as f64 * cost(scan)
    }

    /// Goes over all blocks. `false`: interrupted.
    fn scan(
        &self,
        query: &QuantizedQuery,
        at: Lsn,
        allowed: Option<&RoaringBitmap>,
        shortlist: &mut Shortlist,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> bool {
        let mut dots = [0; BLOCK_ROWS];
        let mut uppers = [0.0; BLOCK_ROWS];
        for (index, block) in self.blocks.iter().enumerate() {
            let Some(block) = block else { continue };
            if interrupt() {
                return false;
            }
            let Some(allowed) = restriction(block, allowed) else { continue };
            let (dots, uppers) = (&mut dots[..block.len()], &mut uppers[..block.len()]);
            self.kernels.dot_rows(query.first(), block.codes(), dots);
            query.first_uppers(dots, block.scales(), uppers);
            for (glance, uppers) in uppers.chunks(GLANCE_ROWS).enumerate() {
                if largest(uppers) < shortlist.cut {
                    continue;
                }
                for (offset, &upper) in (glance * GLANCE_ROWS..).zip(uppers) {
                    let row = block.row(offset);
                    let passes = || allowed.is_none_or(|allowed| allowed.contains(row.slot.0));
                    if upper >= shortlist.cut && row.is_visible(at) && passes() {
                        let dot = dots[offset];
                        let (lower, upper) = query.first_bounds(dot, block.scale_of(offset));
                        let id = RowId::new(index, offset);
                        shortlist.add(Candidate { upper, lower, dot, id, slot: row.slot });
                    }
                }
            }
        }
        true
    }

    /// Goes over the allowed slots. `false`: interrupted.
    fn look_up(
        &self,
        query: &QuantizedQuery,
        at: Lsn,
        allowed: &RoaringBitmap,
        shortlist: &mut Shortlist,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> bool {
        let mut batch = Batch::default();
        let mut slots = allowed.iter().map(Slot).peekable();
        while slots.peek().is_some() {
            if interrupt() {
                return false;
            }
            batch.ids.clear();
            while batch.ids.len() < LOOKUP_BATCH
                && let Some(slot) = slots.next()
            {
                batch.ids.extend(self.visible_rows(slot, at));
            }
            batch.multiply(self, |kernels, rows, dots| {
                kernels.dot_scattered(query.first(), rows, dots);
            });
            for (&id, &dot) in batch.ids.iter().zip(&batch.dots) {
                let block = self.block(id);
                let (lower, upper) = query.first_bounds(dot, block.scale_of(id.offset()));
                if upper >= shortlist.cut {
                    let slot = block.row(id.offset()).slot;
                    shortlist.add(Candidate { upper, lower, dot, id, slot });
                }
            }
        }
        true
    }

    /// Narrows the bounds of the candidates by the second level of the query's codes.
    fn look_again(&self, query: &QuantizedQuery, shortlist: &mut Shortlist) {
        shortlist.shrink();
        if shortlist.kept.len() <= shortlist.k || query.scores_nothing() {
            return;
        }
        let mut batch = Batch::default();
        for candidates in shortlist.kept.chunks_mut(LOOKUP_BATCH) {
            batch.ids.clear();
            batch.ids.extend(candidates.iter().map(|candidate| candidate.id));
            batch.multiply(self, |kernels, rows, dots| {
                kernels.dot_scattered(query.second(), rows, dots);
            });
            for (candidate, &second) in candidates.iter_mut().zip(&batch.dots) {
                let scale = self.block(candidate.id).scale_of(candidate.id.offset());
                let (lower, upper) = query.second_bounds(candidate.dot, second, scale);
                candidate.lower = candidate.lower.max(lower);
                candidate.upper = candidate.upper.min(upper);
            }
        }
        shortlist.shrink();
    }

    /// Reads candidates, the most promising first, until no other can be among the best.
    /// Without `exact` every score is 0.
    fn rank<R: RowSource>(
        &self,
        exact: Option<&ExactQuery<'_>>,
        shortlist: Shortlist,
        rows: &mut R,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<VectorHit>>, R::Error> {
        let mut best = Best::new(shortlist.k);
        let mut known = KnownScores::default();
        let mut vector = vec![0.0; self.dim];
        let mut promising = BinaryHeap::from(shortlist.kept);
        for turn in 0.. {
            let Some(candidate) = promising.pop() else { break };
            if !best.admits(Rank { score: candidate.upper, slot: candidate.slot }) {
                break;
            }
            if turn % READS_PER_QUESTION == 0 && interrupt() {
                return Ok(None);
            }
            if best.score_of(candidate.slot).is_some_and(|score| candidate.upper < score) {
                continue;
            }
            let part = self.row(candidate.id).part;
            let score = match exact {
                None => 0.0,
                Some(exact) => match known.get(self, candidate.id) {
                    Some(score) => score,
                    None if rows.row(candidate.slot, part, &mut vector)? => {
                        let score = exact.score(&vector);
                        known.set(self, candidate.id, score);
                        score
                    }
                    None => continue,
                },
            };
            best.add(VectorHit { slot: candidate.slot, part, score });
        }
        Ok(Some(best.into_hits()))
    }
}

/// What of the filter must be asked for rows of this block: `None`, none of them passes;
/// `Some(None)`, all do.
fn restriction<'a>(
    block: &Block,
    allowed: Option<&'a RoaringBitmap>,
) -> Option<Option<&'a RoaringBitmap>> {
    let Some(allowed) = allowed else { return Some(None) };
    let slots = block.slots();
    let span = u64::from(slots.end() - slots.start()) + 1;
    match allowed.range_cardinality(slots) {
        0 => None,
        passing if passing == span => Some(None),
        _ => Some(Some(allowed)),
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(f32::NEG_INFINITY, |largest, &x| if x > largest { x } else { largest })
}

/// A row that could be among the best.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// The most it can score.
    upper: f32,
    /// The least it can score.
    lower: f32,
    /// Its product with the first level of the query's codes.
    dot: i32,
    id: RowId,
    slot: Slot,
}

impl Candidate {
    fn rank(&self) -> Rank {
        Rank { score: self.upper, slot: self.slot }
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The candidates so far, and the score below which a row needs no look.
struct Shortlist {
    k: usize,
    /// Whether several candidates can be one node.
    has_parts: bool,
    /// The k-th best lower bound of distinct nodes: k nodes are known to score that much.
    cut: f32,
    kept: Vec<Candidate>,
    /// The number of candidates at which the cut is found anew.
    room: usize,
}

impl Shortlist {
    fn new(k: usize, has_parts: bool) -> Self {
        let room = Self::room_beyond(k);
        Self { k, has_parts, cut: f32::NEG_INFINITY, kept: Vec::new(), room }
    }

    fn room_beyond(kept: usize) -> usize {
        kept.saturating_mul(2).saturating_add(64)
    }

    fn add(&mut self, candidate: Candidate) {
        self.kept.push(candidate);
        if self.kept.len() >= self.room {
            self.shrink();
            self.room = Self::room_beyond(self.kept.len().max(self.k));
        }
    }

    /// Finds the cut and drops the candidates below it.
    fn shrink(&mut self) {
        if let Some(cut) = self.kth_lower() {
            self.cut = self.cut.max(cut);
            self.kept.retain(|candidate| candidate.upper >= self.cut);
        }
    }

    fn kth_lower(&mut self) -> Option<f32> {
        let mut lowers: Vec<f32>;
        if self.has_parts {
            let order = |a: &Candidate, b: &Candidate| {
                a.slot.cmp(&b.slot).then_with(|| b.lower.total_cmp(&a.lower))
            };
            self.kept.sort_unstable_by(order);
            let nodes = self.kept.chunk_by(|a, b| a.slot == b.slot);
            lowers = nodes.map(|parts| parts[0].lower).collect();
        } else {
            lowers = self.kept.iter().map(|candidate| candidate.lower).collect();
        }
        if lowers.len() < self.k {
            return None;
        }
        let (_, kth, _) = lowers.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a));
        Some(*kth)
    }
}

/// A place in the order of results: a better one is greater.
#[derive(Clone, Copy, Debug)]
struct Rank {
    score: f32,
    slot: Slot,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.slot.cmp(&self.slot))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank {}

/// Of the parts of one node the better scored counts, of equal ones the first.
pub(super) fn is_better_part(hit: &VectorHit, than: &VectorHit) -> bool {
    hit.score > than.score || (hit.score == than.score && hit.part < than.part)
}

/// The best k nodes so far.
struct Best {
    k: usize,
    ranks: BTreeSet<Rank>,
    hits: FastMap<u32, VectorHit>,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, ranks: BTreeSet::new(), hits: FastMap::default() }
    }

    /// Whether a node of this rank would be among them.
    fn admits(&self, rank: Rank) -> bool {
        self.ranks.len() < self.k || self.ranks.first().is_none_or(|worst| *worst <= rank)
    }

    fn score_of(&self, slot: Slot) -> Option<f32> {
        self.hits.get(&slot.0).map(|hit| hit.score)
    }

    fn add(&mut self, hit: VectorHit) {
        let rank = Rank { score: hit.score, slot: hit.slot };
        if !self.admits(rank) {
            return;
        }
        if let Some(held) = self.hits.get(&hit.slot.0) {
            if !is_better_part(&hit, held) {
                return;
            }
            self.ranks.remove(&Rank { score: held.score, slot: hit.slot });
        }
        self.ranks.insert(rank);
        self.hits.insert(hit.slot.0, hit);
        if self.ranks.len() > self.k
            && let Some(worst) = self.ranks.pop_first()
        {
            self.hits.remove(&worst.slot.0);
        }
    }

    fn into_hits(self) -> Vec<VectorHit> {
        self.ranks.iter().rev().map(|rank| self.hits[&rank.slot.0]).collect()
    }
}

/// Exact scores by fingerprint, so that rows of equal values are read once.
#[derive(Default)]
struct KnownScores {
    scores: FastMap<u64, (RowId, f32)>,
}

impl KnownScores {
    fn get(&self, tail: &VectorTail, id: RowId) -> Option<f32> {
        let &(same, score) = self.scores.get(&tail.row(id).fingerprint)?;
        let codes = |id: RowId| tail.block(id).codes_of(id.offset());
        (codes(same) == codes(id)).then_some(score)
    }

    fn set(&mut self, tail: &VectorTail, id: RowId, score: f32) {
        self.scores.insert(tail.row(id).fingerprint, (id, score));
    }
}

/// Rows lying anywhere, and their products.
#[derive(Default)]
struct Batch {
    ids: Vec<RowId>,
    dots: Vec<i32>,
}

impl Batch {
    fn multiply(&mut self, tail: &VectorTail, dot: impl FnOnce(Kernels, &[&[u8]], &mut [i32])) {
        let codes = |id: &RowId| tail.block(*id).codes_of(id.offset());
        let rows: Vec<&[u8]> = self.ids.iter().map(codes).collect();
        self.dots.clear();
        self.dots.resize(rows.len(), 0);
        dot(tail.kernels, &rows, &mut self.dots);
    }
}
