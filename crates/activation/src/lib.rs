//! The burst engine: a network of spiking neurons that advances in steps, called bursts.
//!
//! A neuron has a potential, which leaks; when it reaches the threshold, the neuron may fire, is at
//! zero again, and rests. What fires gives its synapses' weight to their targets in the next burst.
//! One burst has five phases:
//!
//! 1. **Injection.** The neurons that fired in the burst before (the fire queue) are propagated:
//!    `sum[target] += ± weight · conductance` over their synapses, in integers that do not overflow, and the blocks of 64
//!    neurons that got anything are noted (the candidates). Power neurons are candidates too.
//! 2. **Dynamics.** For each neuron, in `f32` and in this order:
//!    `v ← v · (1 − leak_rate)`, and 0 where `|v| < 2⁻²⁰`; unless it rests,
//!    `v ← v + sum · (1 / 65,025)`, `v ← v + power_amount` for a power neuron, and it fires with the
//!    probability `excitability` if `v ≥ threshold`: then `v ← 0`, and it rests for the next
//!    `refractory_period` bursts, in which it takes nothing in. Blocks at zero that got nothing are
//!    passed over.
//! 3. **Archival.** Who fired goes into the ledger of the last bursts.
//! 4. **Plasticity.** Weights follow who fired with whom, if that is wanted: see [`Plasticity`].
//! 5. **Cleanup.** Who fired is the fire queue of the next burst; added synapses go in order when
//!    they have become many.
//!
//! **Same seed, same result.** Sums are integers, so their order is of no account; each neuron is
//! computed by itself; chance is a function of seed, burst and neuron. So threads change nothing.
//!
//! **Memory.** 29 bytes a neuron, 16 more if areas and coordinates are used, 2 with STDP, 4 for each
//! further thread; 11 bytes a synapse; 4 bytes for each firing in the ledger. Putting synapses in order
//! takes 15 bytes more for each while it lasts.

mod burst;
mod candidates;
mod dynamics;
mod engine;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod ledger;
mod neurons;
mod order;
mod pins;
mod plasticity;
mod random;
mod saved;
mod synapses;

pub use burst::{Burst, PhaseTimes};
pub use engine::{Engine, MAX_NEURONS, MAX_THREADS, NeuronColumn, Options, SynapseColumn};
pub use neurons::{NeuronColumns, Neurons};
pub use pins::Pin;
pub use plasticity::Plasticity;
pub use saved::VERSION;
pub use synapses::{EXCITATORY, INHIBITORY, SynapseColumns, Synapses};
