//! Putting synapses in order: by source, then target, then age, without those that were removed.

use embedded_db_common::Result;

use crate::neurons::{lengthen, reserve};
use crate::synapses::{REMOVED, Synapses};

/// So many added ones are looked through as quickly as they are sorted in.
const FEW: usize = 1024;

impl Synapses {
    /// Whether all are in order and none is in the way.
    pub(crate) fn is_in_order(&self) -> bool {
        self.added().is_empty() && self.removed == 0
    }

    /// Whether so many were added, or removed, that it pays to sort them in.
    pub(crate) fn is_untidy(&self) -> bool {
        self.added().len().max(self.removed) > FEW.max(self.in_order / 4)
    }

    /// Sorts all; changes nothing when there is no memory for it.
    pub(crate) fn put_in_order(&mut self, neurons: usize) -> Result<()> {
        if self.is_in_order() {
            return Ok(());
        }
        let (order, rows) = self.order(neurons)?;
        let most_in_order = self.most_to_one(neurons)?;
        let sources = gathered(&self.sources, &order)?;
        let targets = gathered(&self.targets, &order)?;
        let weights = gathered(&self.weights, &order)?;
        let conductances = gathered(&self.conductances, &order)?;
        let kinds = gathered(&self.kinds, &order)?;
        let (in_order, removed) = (order.len(), 0);
        *self = Self {
            sources,
            targets,
            weights,
            conductances,
            kinds,
            rows,
            in_order,
            removed,
            most_in_order,
        };
        Ok(())
    }

    /// The most synapses that lead to one neuron.
    fn most_to_one(&self, neurons: usize) -> Result<usize> {
        let mut counts = Vec::new();
        lengthen(&mut counts, neurons, 0_u32)?;
        self.targets.iter().for_each(|&target| counts[target as usize] += 1);
        Ok(counts.into_iter().max().unwrap_or(0) as usize)
    }

    /// The places in order, and where the row of each source begins.
    fn order(&self, neurons: usize) -> Result<(Vec<u32>, Vec<u32>)> {
        let mut rows = Vec::new();
        lengthen(&mut rows, neurons + 1, 0_u32)?;
        let there = || (0..self.places()).filter(|&at| self.kinds[at] != REMOVED);
        there().for_each(|at| rows[self.sources[at] as usize + 1] += 1);
        for source in 0..neurons {
            rows[source + 1] += rows[source];
        }
        let mut order = Vec::new();
        lengthen(&mut order, self.len(), 0_u32)?;
        // Each row's beginning moves to its end, which is where the next one begins.
        for at in there() {
            let next = &mut rows[self.sources[at] as usize];
            order[*next as usize] = at as u32;
            *next += 1;
        }
        rows.copy_within(..neurons, 1);
        rows[0] = 0;
        for ends in rows.windows(2) {
            let row = &mut order[ends[0] as usize..ends[1] as usize];
            row.sort_unstable_by_key(|&at| (self.targets[at as usize], at));
        }
        Ok((order, rows))
    }
}

fn gathered<T: Copy>(items: &[T], order: &[u32]) -> Result<Vec<T>> {
    let mut out = Vec::new();
    reserve(&mut out, order.len())?;
    out.extend(order.iter().map(|&at| items[at as usize]));
    Ok(out)
}
