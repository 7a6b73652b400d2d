//! Where activation begins.

use embedded_db_common::Slot;

use super::spread::Ground;

/// Best results that become seeds.
pub const SEEDS: usize = 3;
/// The most seeds that there may be.
pub const MAX_SEEDS: usize = 1000;
/// The share of activation that begins at the entities that are named, beside what was found.
const NAMED: f32 = 0.2;

/// Where activation begins; every node is seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seeds {
    found: Vec<(Slot, f32)>,
    named: Vec<Slot>,
}

impl Seeds {
    /// Results with their scores, of which the square is their weight: of two, the better one should
    /// count for much more. Where no score is over 0, all weigh the same.
    pub fn found(found: impl IntoIterator<Item = (Slot, f32)>) -> Self {
        let square = |(slot, score): (Slot, f32)| (slot, score.max(0.0).powi(2));
        let mut found: Vec<(Slot, f32)> = found.into_iter().map(square).collect();
        if found.iter().any(|(_, weight)| *weight > 0.0) {
            found.retain(|(_, weight)| *weight > 0.0);
        } else {
            found.iter_mut().for_each(|(_, weight)| *weight = 1.0);
        }
        Self { found, named: Vec::new() }
    }

    /// Besides, the entities that the question names (as in HippoRAG, where all activation begins at
    /// these).
    pub fn and_named(self, named: Vec<Slot>) -> Self {
        Self { named, ..self }
    }

    /// All with their weights, whose sum is 1; none when there is nothing to begin at.
    pub(crate) fn weighed(&self, ground: &Ground<'_>) -> Vec<(Slot, f32)> {
        let named: Vec<(Slot, f32)> =
            self.named.iter().map(|node| (*node, ground.rarity(*node))).collect();
        let (found, named) = (scaled(&self.found), scaled(&named));
        let share = match (found.is_empty(), named.is_empty()) {
            (_, true) => 0.0,
            (true, false) => 1.0,
            (false, false) => NAMED,
        };
        let found = found.into_iter().map(|(node, weight)| (node, weight * (1.0 - share)));
        found.chain(named.into_iter().map(|(node, weight)| (node, weight * share))).collect()
    }
}

/// The same weights with a sum of 1.
fn scaled(seeds: &[(Slot, f32)]) -> Vec<(Slot, f32)> {
    let sum: f32 = seeds.iter().map(|(_, weight)| weight).sum();
    seeds.iter().map(|(node, weight)| (*node, weight / sum)).collect()
}
