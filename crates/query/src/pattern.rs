//! Chains of expansions: what a graph leg reaches.

use std::collections::HashMap;

use embedded_db_common::{NamespaceId, Result, Slot};
use embedded_db_indexing::labelled;
use embedded_db_storage::ReadTxn;

use crate::converged::{Expansion, GraphFilter};
use crate::graph::{Follow, distances};
use crate::guard::Guard;

/// Most nodes that one graph leg visits.
const MAX_VISITED: usize = 5_000_000;

/// The nodes that the chain reaches, each with the fewest hops of a way that fits.
pub(crate) fn reach<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    graph: &GraphFilter,
    guard: &Guard<'_>,
) -> Result<HashMap<Slot, u32>> {
    let mut reached = HashMap::with_capacity(graph.start.len());
    for id in &graph.start {
        reached.insert(txn.require_node(namespace, id)?, 0);
    }
    let mut budget = MAX_VISITED;
    for step in &graph.steps {
        let follow = Follow::expansion(txn, step, graph.times, budget)?;
        let walk = Walk { txn, namespace, follow, step, guard };
        reached = walk.expand(&reached, &mut budget)?;
        if !step.labels.is_empty() {
            let mut any = roaring::RoaringBitmap::new();
            for label in &step.labels {
                if let Some(label) = txn.symbol(label)? {
                    any |= labelled(txn, namespace, label)?;
                }
            }
            reached.retain(|slot, _| any.contains(slot.0));
        }
    }
    Ok(reached)
}

/// One expansion under way.
struct Walk<'a, T> {
    txn: &'a T,
    namespace: NamespaceId,
    follow: Follow,
    step: &'a Expansion,
    guard: &'a Guard<'a>,
}

impl<T: ReadTxn> Walk<'_, T> {
    fn expand(
        mut self,
        from: &HashMap<Slot, u32>,
        budget: &mut usize,
    ) -> Result<HashMap<Slot, u32>> {
        if self.step.max_hops <= 1 {
            return self.adjacent(from);
        }
        let mut found = HashMap::new();
        let together = self.step.min_hops == 0 && from.values().all(|hops| *hops == 0);
        let sources: Vec<(Slot, u32)> = from.iter().map(|(slot, hops)| (*slot, *hops)).collect();
        // Ways of at least so many hops are counted from each source by itself: a node that lies
        // nearer to another one may still be a result of this one.
        let groups: Vec<(Vec<Slot>, u32)> = if together {
            vec![(sources.iter().map(|(slot, _)| *slot).collect(), 0)]
        } else {
            sources.into_iter().map(|(slot, hops)| (vec![slot], hops)).collect()
        };
        for (starts, before) in groups {
            self.follow.max_visited = *budget;
            let around = distances(
                self.txn,
                self.namespace,
                &starts,
                &self.follow,
                self.step.max_hops,
                self.guard,
            )?;
            *budget = budget.saturating_sub(around.len());
            for (slot, hops) in around {
                if hops >= self.step.min_hops {
                    nearest(&mut found, slot, before + hops);
                }
            }
        }
        Ok(found)
    }

    /// At most one hop: no search is needed.
    fn adjacent(&self, from: &HashMap<Slot, u32>) -> Result<HashMap<Slot, u32>> {
        let mut found = HashMap::new();
        for (source, before) in from {
            self.guard.tick()?;
            if self.step.min_hops == 0 {
                nearest(&mut found, *source, *before);
            }
            if self.step.max_hops == 1 {
                self.follow.each(self.txn, self.namespace, *source, |neighbor| {
                    if neighbor.node != *source {
                        nearest(&mut found, neighbor.node, before + 1);
                    }
                })?;
            }
            if found.len() > self.follow.max_visited {
                return Err(self.follow.too_many());
            }
        }
        Ok(found)
    }
}

fn nearest(found: &mut HashMap<Slot, u32>, slot: Slot, hops: u32) {
    found.entry(slot).and_modify(|least| *least = hops.min(*least)).or_insert(hops);
}
