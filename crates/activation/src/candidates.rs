//! What neurons are given in a burst.

use embedded_db_common::Result;

use crate::engine::MAX_THREADS;
use crate::neurons::lengthen;
use crate::synapses::Synapses;

/// Neurons that are looked at together.
pub(crate) const BLOCK: usize = 64;

/// A larger sum is put aside: `MAX_THREADS` of them and a contribution each fit 32 bits.
const MOST: u32 = 1 << 24;
const _: () = assert!((MOST as u64 + 65_025) * (MAX_THREADS as u64) < 1 << 31);

/// So many contributions fit 32 bits in any case.
const FITTING: usize = i32::MAX as usize / 65_025;

/// How far ahead of the neuron that is propagated the memory is asked for where its row begins, for the
/// row, and for the sums of its targets.
const BEGINNINGS_AHEAD: usize = 24;
const ROWS_AHEAD: usize = 12;
const SUMS_AHEAD: usize = 3;

/// The candidate list of one thread: a sum for each neuron, and which blocks have one.
#[derive(Default)]
pub(crate) struct Candidates {
    /// Those of all threads together fit.
    pub(crate) sums: Vec<i32>,
    /// Not 0 for a block in which a neuron was given something.
    pub(crate) given: Vec<u8>,
    /// What did not fit into a sum.
    spilled: Vec<(u32, i64)>,
}

impl Candidates {
    pub(crate) fn grow(&mut self, neurons: usize) -> Result<()> {
        lengthen(&mut self.sums, neurons, 0)?;
        lengthen(&mut self.given, neurons.div_ceil(BLOCK), 0)
    }

    /// Propagates neurons along the synapses that are in order.
    pub(crate) fn propagate(&mut self, synapses: &Synapses, fired: &[u32]) {
        if synapses.most_incoming() <= FITTING {
            self.propagate_rows::<false>(synapses, fired);
        } else {
            self.propagate_rows::<true>(synapses, fired);
        }
    }

    fn propagate_rows<const MAY_SPILL: bool>(&mut self, synapses: &Synapses, fired: &[u32]) {
        for (at, &source) in fired.iter().enumerate() {
            if let Some(&latest) = fired.get(at + BEGINNINGS_AHEAD) {
                prefetch(&synapses.rows, latest as usize);
            }
            if let Some(&later) = fired.get(at + ROWS_AHEAD) {
                synapses.prefetch_row(later);
            }
            if let Some(&soon) = fired.get(at + SUMS_AHEAD) {
                let targets = &synapses.targets[synapses.row(soon)];
                targets.iter().for_each(|&target| prefetch(&self.sums, target as usize));
            }
            let row = synapses.row(source);
            let targets = &synapses.targets[row.clone()];
            let strengths =
                synapses.weights[row.clone()].iter().zip(&synapses.conductances[row.clone()]);
            for ((&target, (&weight, &conductance)), &kind) in
                targets.iter().zip(strengths).zip(&synapses.kinds[row])
            {
                self.give::<MAY_SPILL>(target, contribution(weight, conductance, kind));
            }
        }
    }

    /// Propagates neurons along the synapses that were added since.
    pub(crate) fn propagate_added(&mut self, synapses: &Synapses, fired: &Bits) {
        for at in synapses.added() {
            if fired.has(synapses.sources[at]) {
                let (weight, conductance) = (synapses.weights[at], synapses.conductances[at]);
                self.give::<true>(
                    synapses.targets[at],
                    contribution(weight, conductance, synapses.kinds[at]),
                );
            }
        }
    }

    #[inline]
    fn give<const MAY_SPILL: bool>(&mut self, target: u32, amount: i32) {
        let sum = &mut self.sums[target as usize];
        *sum += amount;
        self.given[target as usize / BLOCK] = 1;
        if MAY_SPILL && sum.unsigned_abs() > MOST {
            self.spilled.push((target, i64::from(std::mem::take(sum))));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.sums.capacity() * 4 + self.given.capacity() + self.spilled.capacity() * 16
    }
}

/// What a synapse gives to its target; one that was removed has the weight and the conductance 0.
#[inline]
fn contribution(weight: u8, conductance: u8, kind: u8) -> i32 {
    i32::from(weight) * i32::from(conductance) * (1 - 2 * i32::from(kind & 1))
}

/// Takes what did not fit into the sums of all threads: by neuron, each once.
pub(crate) fn spilled(lanes: &mut [Candidates]) -> Vec<(u32, i64)> {
    let mut all: Vec<_> = lanes.iter_mut().flat_map(|lane| lane.spilled.drain(..)).collect();
    all.sort_unstable_by_key(|&(neuron, _)| neuron);
    all.dedup_by(|next, one| {
        let is_same = next.0 == one.0;
        one.1 += if is_same { next.1 } else { 0 };
        is_same
    });
    all
}

/// A set of neurons.
#[derive(Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn grow(&mut self, neurons: usize) -> Result<()> {
        lengthen(&mut self.0, neurons.div_ceil(64), 0)
    }

    #[inline]
    pub(crate) fn has(&self, neuron: u32) -> bool {
        self.0[neuron as usize / 64] >> (neuron % 64) & 1 == 1
    }

    pub(crate) fn insert_all(&mut self, neurons: &[u32]) {
        for &neuron in neurons {
            self.0[neuron as usize / 64] |= 1 << (neuron % 64);
        }
    }

    /// Takes all out, in order.
    pub(crate) fn take_all(&mut self) -> Vec<u32> {
        let mut all = Vec::new();
        for (at, word) in self.0.iter_mut().enumerate() {
            let mut word = std::mem::take(word);
            while word != 0 {
                all.push(at as u32 * 64 + word.trailing_zeros());
                word &= word - 1;
            }
        }
        all
    }

    pub(crate) fn remove_all(&mut self, neurons: &[u32]) {
        for &neuron in neurons {
            self.0[neuron as usize / 64] = 0;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

/// Asks the memory for an item that will be needed soon.
#[inline]
pub(crate) fn prefetch<T>(items: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it reads nothing, and no address is wrong for it.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(items.as_ptr().wrapping_add(at).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, at);
}
