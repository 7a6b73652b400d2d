//! The rows that could be among the best, and the best of those that were read.

use std::collections::BTreeSet;

use embedded_db_common::Slot;

use super::VectorHit;
use super::sources::Place;
use crate::hashing::FastMap;

/// A row that could be among the best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The most it can score.
    pub(super) upper: f32,
    /// The least it can score.
    pub(super) lower: f32,
    /// Its product with the first level of the query's codes.
    pub(super) dot: i32,
    pub(super) place: Place,
    pub(super) slot: Slot,
    pub(super) part: u16,
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
pub(super) struct Shortlist {
    pub(super) k: usize,
    /// Whether several candidates can be one node.
    has_parts: bool,
    /// The k-th best lower bound of distinct nodes: k nodes are known to score that much.
    pub(super) cut: f32,
    pub(super) kept: Vec<Candidate>,
    /// The number of candidates at which the cut is found anew.
    room: usize,
}

impl Shortlist {
    pub(super) fn new(k: usize, has_parts: bool) -> Self {
        let room = Self::room_beyond(k);
        Self { k, has_parts, cut: f32::NEG_INFINITY, kept: Vec::new(), room }
    }

    fn room_beyond(kept: usize) -> usize {
        kept.saturating_mul(2).saturating_add(64)
    }

    pub(super) fn add(&mut self, candidate: Candidate) {
        self.kept.push(candidate);
        if self.kept.len() >= self.room {
            self.shrink();
            self.room = Self::room_beyond(self.kept.len().max(self.k));
        }
    }

    /// Finds the cut and drops the candidates below it.
    pub(super) fn shrink(&mut self) {
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
pub(super) struct Rank {
    pub(super) score: f32,
    pub(super) slot: Slot,
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
pub(super) struct Best {
    k: usize,
    ranks: BTreeSet<Rank>,
    hits: FastMap<u32, VectorHit>,
}

impl Best {
    pub(super) fn new(k: usize) -> Self {
        Self { k, ranks: BTreeSet::new(), hits: FastMap::default() }
    }

    /// Whether a node of this rank would be among them.
    pub(super) fn admits(&self, rank: Rank) -> bool {
        self.ranks.len() < self.k || self.ranks.first().is_none_or(|worst| *worst <= rank)
    }

    pub(super) fn score_of(&self, slot: Slot) -> Option<f32> {
        self.hits.get(&slot.0).map(|hit| hit.score)
    }

    pub(super) fn add(&mut self, hit: VectorHit) {
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

    pub(super) fn into_hits(self) -> Vec<VectorHit> {
        self.ranks.iter().rev().map(|rank| self.hits[&rank.slot.0]).collect()
    }
}
