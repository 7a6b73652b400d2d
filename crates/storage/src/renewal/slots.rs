//! Which slot of a generation becomes which of the next: without holes, in the old order.

use std::collections::HashMap;

use embedded_db_common::{NamespaceId, Result, Slot};

use crate::keys::Table;
use crate::read::ReadTxn;
use crate::store::Snapshot;

/// Bits of one word.
const WORD: u32 = u64::BITS;

/// The new numbers of the slots of one kind in one namespace. Those that were given later than it was
/// made follow behind, one by one.
#[derive(Debug, Default)]
pub(crate) struct SlotMap {
    /// A bit for each slot that is taken.
    words: Vec<u64>,
    /// How many are taken before each word.
    before: Vec<u32>,
    given: u32,
    taken: u32,
}

impl SlotMap {
    /// Of `given` slots, with those that are taken, ascending.
    fn new(given: u32, taken: impl Iterator<Item = u32>) -> Self {
        // As many as are needed: a counter that is wrong asks for no memory.
        let mut words: Vec<u64> = Vec::new();
        for slot in taken.filter(|slot| *slot < given) {
            let at = (slot / WORD) as usize;
            if words.len() <= at {
                words.resize(at.saturating_add(1), 0);
            }
            if let Some(word) = words.get_mut(at) {
                *word |= 1 << (slot % WORD);
            }
        }
        let mut total = 0_u32;
        let mut before = Vec::with_capacity(words.len());
        for word in &words {
            before.push(total);
            total = total.saturating_add(word.count_ones());
        }
        Self { words, before, given, taken: total }
    }

    /// How many slots before this one are taken, which is where it, or the next one, comes to lie.
    pub(crate) fn rank(&self, slot: Slot) -> Slot {
        // No more are taken than were given.
        if let Some(later) = slot.0.checked_sub(self.given) {
            return Slot(self.taken.saturating_add(later));
        }
        let at = (slot.0 / WORD) as usize;
        let (Some(word), Some(before)) = (self.words.get(at), self.before.get(at)) else {
            return Slot(self.taken);
        };
        let below = word & !(u64::MAX << (slot.0 % WORD));
        Slot(before.saturating_add(below.count_ones()))
    }

    /// The new number of a slot; `None` when it is not taken.
    pub(crate) fn of(&self, slot: Slot) -> Option<Slot> {
        let word = self.words.get((slot.0 / WORD) as usize);
        let is_taken = word.is_some_and(|word| word >> (slot.0 % WORD) & 1 == 1);
        (is_taken || slot.0 >= self.given).then(|| self.rank(slot))
    }
}

/// The new numbers in one namespace.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    pub(crate) nodes: SlotMap,
    pub(crate) edges: SlotMap,
}

/// The new numbers in all namespaces. One that is made later keeps its slots.
#[derive(Debug, Default)]
pub(crate) struct Renumbering {
    namespaces: HashMap<NamespaceId, Slots>,
    later: Slots,
}

impl Renumbering {
    /// Of all that a state holds.
    pub(crate) fn of(txn: &Snapshot) -> Result<Self> {
        let mut namespaces = HashMap::new();
        for (_, namespace) in txn.namespaces()? {
            let counters = txn.namespace_counters(namespace)?;
            let nodes =
                SlotMap::new(counters.node_slots, taken(txn, Table::Nodes, namespace)?.into_iter());
            let edges =
                SlotMap::new(counters.edge_slots, taken(txn, Table::Edges, namespace)?.into_iter());
            namespaces.insert(namespace, Slots { nodes, edges });
        }
        Ok(Self { namespaces, later: Slots::default() })
    }

    pub(crate) fn slots(&self, namespace: NamespaceId) -> &Slots {
        self.namespaces.get(&namespace).unwrap_or(&self.later)
    }
}

/// The slots of a table that is keyed by them. Records are not read.
fn taken(snapshot: &Snapshot, table: Table, namespace: NamespaceId) -> Result<Vec<u32>> {
    let mut out = Vec::new();
    snapshot.view().keys(table, &namespace.0.to_be_bytes(), &mut |key| {
        // One of another length is damage, which shows when its row is copied.
        out.extend(key.get(4..).and_then(|slot| slot.try_into().ok()).map(u32::from_be_bytes));
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_lie_side_by_side_in_their_order(
            taken in prop::collection::btree_set(0_u32..1000, 0..200),
            more in 0_u32..100,
            later in 0_u32..1000,
        ) {
            let given = taken.last().map_or(0, |last| last + 1) + more;
            let map = SlotMap::new(given, taken.iter().copied());
            let new: Vec<u32> = taken.iter().map(|slot| map.of(Slot(*slot)).unwrap().0).collect();
            prop_assert_eq!(new, (0..taken.len() as u32).collect::<Vec<_>>());
            for slot in 0..given {
                let below = taken.range(..slot).count() as u32;
                prop_assert_eq!(map.rank(Slot(slot)).0, below);
                prop_assert_eq!(map.of(Slot(slot)).is_some(), taken.contains(&slot));
            }
            let behind = map.of(Slot(given + later));
            prop_assert_eq!(behind, Some(Slot(taken.len() as u32 + later)));
        }
    }
}
