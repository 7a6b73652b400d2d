//! Fusion of legs: min-max scaling, reciprocal ranks, and what adjacent messages lend each other.

use std::collections::HashMap;

use embedded_db_common::{Error, Result, Slot};
use embedded_db_storage::{Direction, Neighbor, ReadTxn};

use crate::converged::{Fusion, Hit, Rank};
use crate::run::Context;

/// Hops over which adjacent messages lend each other score, and the share of each relative to the
/// first: a third (0.1 of 0.3).
const LENDING: [f32; 2] = [1.0, 1.0 / 3.0];
/// Softens the difference between the first ranks.
const RECIPROCAL: f32 = 60.0;
/// Scores that differ by no more than this part of the greatest are equal but for rounding.
const ROUNDING: f32 = 1e-6;

/// Scales scores to 0…1 over the scored candidates. A candidate that a leg did not score counts as
/// its lowest. Equal scores scale to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinMax {
    low: f32,
    high: f32,
}

impl MinMax {
    /// Over the scores of the candidates. `floor` is the score of one that does not match at all.
    pub(crate) fn over(scores: impl Iterator<Item = Option<f32>>, floor: Option<f32>) -> Self {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for score in scores {
            if let Some(score) = score.or(floor) {
                low = low.min(score);
                high = high.max(score);
            }
        }
        Self { low, high }
    }

    /// The scaled score. Candidates outside of the range it was taken over are cut to it.
    pub(crate) fn scale(self, score: Option<f32>) -> f32 {
        match score {
            None => 0.0,
            Some(_) if self.high - self.low <= ROUNDING * self.high.abs() => 1.0,
            Some(score) => ((score - self.low) / (self.high - self.low)).clamp(0.0, 1.0),
        }
    }
}

/// The largest weight: what weights are multiplied with stays finite.
const MAX_WEIGHT: f32 = 1e6;

/// A weight that scores can be multiplied with.
pub(crate) fn check_weight(field: impl Into<String>, weight: f32) -> Result<()> {
    if (0.0..=MAX_WEIGHT).contains(&weight) {
        return Ok(());
    }
    let message = format!("{weight} is no weight; give a number from 0 to {MAX_WEIGHT}");
    Err(Error::query(field, message))
}

/// How a query makes one score of what its legs say.
pub(crate) struct Fuse {
    rank: Rank,
    ranks_text: bool,
    ranks_semantic: bool,
    text: MinMax,
    semantic: MinMax,
    activation: MinMax,
}

impl Fuse {
    /// Scales are taken over `pool`, the best candidates of the legs.
    pub(crate) fn new(rank: Rank, text: bool, semantic: bool, pool: &[&Hit]) -> Self {
        Self {
            rank,
            ranks_text: text,
            ranks_semantic: semantic,
            // A candidate without a word of the query has the score of no match at all.
            text: MinMax::over(pool.iter().map(|hit| hit.text), Some(0.0)),
            semantic: MinMax::over(pool.iter().map(|hit| hit.similarity), None),
            // What is dark has no activation at all.
            activation: MinMax::over(pool.iter().map(|hit| hit.activation), Some(0.0)),
        }
    }

    /// One leg whose own score is the order.
    fn alone(&self) -> bool {
        self.ranks_text != self.ranks_semantic && !self.rank.blends()
    }

    /// What adjacent messages lend each other.
    pub(crate) fn lending(&self) -> f32 {
        let both = self.ranks_text && self.ranks_semantic;
        let usual =
            if both && self.rank.fusion == Fusion::Weighted { crate::NEIGHBORS } else { 0.0 };
        self.rank.neighbors.unwrap_or(usual)
    }

    /// Sets score and shares of a candidate from what the legs said of it.
    pub(crate) fn score(&self, hit: &mut Hit) {
        hit.shares.clear();
        if self.alone() {
            let (name, score) =
                if self.ranks_text { ("text", hit.text) } else { ("semantic", hit.similarity) };
            hit.shares.push((name, score.unwrap_or(0.0)));
        } else {
            if self.ranks_text {
                hit.shares.push(("text", self.rank.text * self.text_score(hit)));
            }
            if self.ranks_semantic {
                hit.shares.push(("semantic", self.rank.semantic * self.semantic_score(hit)));
            }
            if self.rank.graph > 0.0 {
                hit.shares.push(("graph", self.rank.graph * closeness(hit)));
            }
            if self.rank.activation > 0.0 {
                let share = self.rank.activation * self.activation_score(hit);
                hit.shares.push(("activation", share));
            }
        }
        hit.score = hit.shares.iter().map(|(_, share)| share).sum();
    }

    fn text_score(&self, hit: &Hit) -> f32 {
        match self.rank.fusion {
            Fusion::Weighted => self.text.scale(hit.text),
            Fusion::Reciprocal => reciprocal(hit.text_rank),
        }
    }

    fn semantic_score(&self, hit: &Hit) -> f32 {
        match self.rank.fusion {
            Fusion::Weighted => self.semantic.scale(hit.similarity),
            Fusion::Reciprocal => reciprocal(hit.semantic_rank),
        }
    }

    fn activation_score(&self, hit: &Hit) -> f32 {
        match self.rank.fusion {
            Fusion::Weighted => self.activation.scale(hit.activation),
            Fusion::Reciprocal => reciprocal(hit.activation_rank),
        }
    }
}

fn reciprocal(rank: Option<u32>) -> f32 {
    rank.map_or(0.0, |rank| 1.0 / (RECIPROCAL + rank as f32))
}

/// 1 at a start node, less with each hop, 0 where the graph leg did not reach.
fn closeness(hit: &Hit) -> f32 {
    hit.distance.map_or(0.0, |hops| 1.0 / (1.0 + hops as f32))
}

/// The messages around others, and what they lend.
pub(crate) struct Neighborhood<'a> {
    context: &'a Context<'a>,
    known: HashMap<Slot, [Option<Slot>; 2]>,
}

impl<'a> Neighborhood<'a> {
    pub(crate) fn new(context: &'a Context<'a>) -> Self {
        Self { context, known: HashMap::new() }
    }

    /// How far lending reaches.
    pub(crate) fn reach() -> usize {
        LENDING.len()
    }

    /// The messages before and after.
    pub(crate) fn adjacent(&mut self, slot: Slot) -> Result<[Option<Slot>; 2]> {
        if let Some(found) = self.known.get(&slot) {
            return Ok(*found);
        }
        let Context { snapshot, namespace, names, .. } = *self.context;
        let other = |neighbor: Neighbor| neighbor.node;
        let mut found = [None; 2];
        for (side, direction) in found.iter_mut().zip([Direction::In, Direction::Out]) {
            *side = snapshot.last_neighbor(namespace, slot, direction, names.next)?.map(other);
        }
        self.known.insert(slot, found);
        Ok(found)
    }

    /// What the messages around a node have to lend it, given all their scores.
    pub(crate) fn lent(&mut self, slot: Slot, scores: &HashMap<Slot, f32>) -> Result<f32> {
        let mut lent = 0.0;
        for side in 0..2 {
            let mut at = slot;
            for share in LENDING {
                let Some(next) = self.adjacent(at)?[side] else { break };
                lent += share * scores.get(&next).copied().unwrap_or(0.0);
                at = next;
            }
        }
        Ok(lent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_scale_to_the_unit_interval() {
        let scale = MinMax::over([Some(2.0), None, Some(4.0)].into_iter(), Some(0.0));
        assert_eq!(scale.scale(Some(4.0)), 1.0);
        assert_eq!(scale.scale(Some(2.0)), 0.5);
        assert_eq!(scale.scale(None), 0.0);
        assert_eq!(scale.scale(Some(9.0)), 1.0);
    }

    #[test]
    fn equal_scores_are_all_best() {
        let scale = MinMax::over([Some(3.0), Some(3.0)].into_iter(), None);
        assert_eq!(scale.scale(Some(3.0)), 1.0);
        assert_eq!(scale.scale(None), 0.0);
    }
}
