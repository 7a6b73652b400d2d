//! The synapses: one array for each of their properties.
//!
//! The first `in_order` of them lie by source, then target, and `rows` tells where those of a source
//! begin. What is added goes behind them; what is removed stays in its place without an effect. Both
//! come to rest in `order`.

use std::ops::Range;

use embedded_db_common::{Error, Result};

use crate::candidates::prefetch;
use crate::neurons::reserve;

/// Raises the potential of its target.
pub const EXCITATORY: u8 = 0;
/// Lowers the potential of its target.
pub const INHIBITORY: u8 = 1;
/// A synapse that was removed; its weight and conductance are 0.
pub(crate) const REMOVED: u8 = 2;

/// Synapses, all arrays of one length.
#[derive(Clone, Copy, Debug)]
pub struct SynapseColumns<'a> {
    /// Whose firing is propagated.
    pub sources: &'a [u32],
    /// Who is given something.
    pub targets: &'a [u32],
    /// What plasticity changes: in units of 1/255.
    pub weights: &'a [u8],
    /// What stays: in units of 1/255.
    pub conductances: &'a [u8],
    /// [`EXCITATORY`] or [`INHIBITORY`].
    pub types: &'a [u8],
}

/// Properties by the synapse's place.
#[derive(Default)]
pub struct Synapses {
    pub(crate) sources: Vec<u32>,
    pub(crate) targets: Vec<u32>,
    pub(crate) weights: Vec<u8>,
    pub(crate) conductances: Vec<u8>,
    pub(crate) kinds: Vec<u8>,
    /// Where the row of each source begins, and the end of the last one.
    pub(crate) rows: Vec<u32>,
    pub(crate) in_order: usize,
    pub(crate) removed: usize,
    /// The most synapses in order that lead to one neuron; no fewer.
    pub(crate) most_in_order: usize,
}

impl Synapses {
    /// How many there are, without those that were removed.
    pub fn len(&self) -> usize {
        self.places() - self.removed
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many places are taken, removed ones included.
    pub(crate) fn places(&self) -> usize {
        self.targets.len()
    }

    /// The places of a neuron's synapses that are in order.
    #[inline]
    pub(crate) fn row(&self, source: u32) -> Range<usize> {
        let source = source as usize;
        match self.rows.get(source..source + 2) {
            Some([begin, end]) => *begin as usize..*end as usize,
            _ => 0..0,
        }
    }

    /// Asks the memory for the beginning of a neuron's row.
    #[inline]
    pub(crate) fn prefetch_row(&self, source: u32) {
        let row = self.row(source);
        prefetch(&self.targets, row.start);
        prefetch(&self.targets, row.end);
        prefetch(&self.weights, row.start);
        prefetch(&self.conductances, row.start);
        prefetch(&self.kinds, row.start);
    }

    /// The places of synapses that were added since.
    pub(crate) fn added(&self) -> Range<usize> {
        self.in_order..self.places()
    }

    /// No more lead to one neuron.
    pub(crate) fn most_incoming(&self) -> usize {
        self.most_in_order + self.added().len()
    }

    /// Adds synapses that were checked.
    pub(crate) fn add(&mut self, columns: &SynapseColumns<'_>) -> Result<()> {
        let more = columns.sources.len();
        reserve(&mut self.sources, more)?;
        reserve(&mut self.targets, more)?;
        reserve(&mut self.weights, more)?;
        reserve(&mut self.conductances, more)?;
        reserve(&mut self.kinds, more)?;
        self.sources.extend_from_slice(columns.sources);
        self.targets.extend_from_slice(columns.targets);
        self.weights.extend_from_slice(columns.weights);
        self.conductances.extend_from_slice(columns.conductances);
        self.kinds.extend_from_slice(columns.types);
        Ok(())
    }

    /// The places of all synapses from one neuron to another.
    pub(crate) fn between(&self, source: u32, target: u32) -> Result<Vec<usize>> {
        let row = self.row(source);
        let targets = &self.targets[row.clone()];
        let first = row.start + targets.partition_point(|&other| other < target);
        let after = row.start + targets.partition_point(|&other| other <= target);
        let is_it = |&at: &usize| self.sources[at] == source && self.targets[at] == target;
        let found: Vec<usize> = (first..after)
            .chain(self.added().filter(is_it))
            .filter(|&at| self.kinds[at] != REMOVED)
            .collect();
        if found.is_empty() {
            let id = format!("{source} → {target}");
            return Err(Error::NotFound { kind: "synapse", id });
        }
        Ok(found)
    }

    /// Takes a synapse out of effect; tells whether it had one.
    pub(crate) fn remove(&mut self, place: usize) -> bool {
        if self.kinds[place] == REMOVED {
            return false;
        }
        (self.weights[place], self.conductances[place], self.kinds[place]) = (0, 0, REMOVED);
        self.removed += 1;
        true
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.sources.capacity() + self.targets.capacity() + self.rows.capacity()) * 4
            + self.weights.capacity()
            + self.conductances.capacity()
            + self.kinds.capacity()
    }
}

impl SynapseColumns<'_> {
    /// Refuses arrays of several lengths, and types that there are not.
    pub(crate) fn check(&self) -> Result<()> {
        let count = self.sources.len();
        let others =
            [self.targets.len(), self.weights.len(), self.conductances.len(), self.types.len()];
        if others.iter().any(|&other| other != count) {
            let message = format!("arrays of {count} and {others:?} items; give all one length");
            return Err(Error::InvalidInput(message));
        }
        let Some(at) = self.types.iter().position(|&it| it > INHIBITORY) else { return Ok(()) };
        let message =
            format!("type is {}; give 0 for excitatory or 1 for inhibitory", self.types[at]);
        Err(Error::InvalidInput(message).of_item(at).of_field("type"))
    }
}
