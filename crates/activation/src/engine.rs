//! The engine: what a network is made of, and changing it between bursts.
//!
//! A call that is refused has changed nothing.

use embedded_db_common::{Error, Result};

use crate::candidates::{BLOCK, Bits, Candidates};
use crate::ledger::Ledger;
use crate::neurons::{NeuronColumns, Neurons, lengthen};
use crate::pins::{Pin, Pins};
use crate::plasticity::{Ages, Plasticity};
use crate::synapses::{SynapseColumns, Synapses};

/// Most neurons of a network.
pub const MAX_NEURONS: usize = 1 << 28;
/// Most synapses of a network.
pub(crate) const MAX_SYNAPSES: usize = u32::MAX as usize;
/// Most threads of a burst.
pub const MAX_THREADS: usize = 64;
/// Most bursts that the ledger holds.
pub(crate) const MAX_WINDOW: usize = u16::MAX as usize;
/// A batch of so many is worth putting the synapses in order first.
const MANY: usize = 16;

/// What an engine begins with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many neurons are there at once.
    pub neurons: usize,
    /// The most synapses.
    pub synapse_capacity: usize,
    /// How many bursts the ledger holds: 1 to 65,535.
    pub ledger_window: usize,
    /// What chance depends on.
    pub seed: u64,
    /// The most threads of a burst: 1 to 64.
    pub threads: usize,
}

/// A network of neurons that advances burst by burst.
pub struct Engine {
    pub(crate) neurons: Neurons,
    pub(crate) synapses: Synapses,
    pub(crate) synapse_capacity: usize,
    /// One for each thread.
    pub(crate) candidates: Vec<Candidates>,
    pub(crate) awake: Vec<u8>,
    pub(crate) ledger: Ledger,
    /// Who fired in this burst, while it lasts.
    pub(crate) fired: Bits,
    /// Who fired in the burst before: the fire queue as a set.
    pub(crate) before: Bits,
    pub(crate) ages: Ages,
    pub(crate) plasticity: Plasticity,
    pub(crate) power_amount: f32,
    pub(crate) seed: u64,
    pub(crate) burst: u64,
    pub(crate) threads: usize,
    neuron_pins: Pins,
    synapse_pins: Pins,
}

/// An array over neurons.
#[derive(Clone, Copy, Debug)]
pub enum NeuronColumn<'a> {
    /// Potentials, thresholds, leak rates, excitabilities.
    Floats(&'a [f32]),
    /// Refractory periods and countdowns.
    Periods(&'a [u16]),
    /// Areas.
    Areas(&'a [u32]),
    /// Coordinates.
    Coordinates(&'a [[f32; 3]]),
}

/// An array over synapses, by source and then target.
#[derive(Clone, Copy, Debug)]
pub enum SynapseColumn<'a> {
    /// Sources and targets.
    Neurons(&'a [u32]),
    /// Weights, conductances, types.
    Bytes(&'a [u8]),
}

impl Engine {
    /// An engine whose neurons have a threshold of 1, no leak, no rest and certain excitability.
    pub fn new(options: Options) -> Result<Self> {
        let Options { neurons, synapse_capacity, ledger_window, seed, threads } = options;
        within("synapse_capacity", synapse_capacity, 0, MAX_SYNAPSES)?;
        within("fire_ledger_window", ledger_window, 1, MAX_WINDOW)?;
        let mut engine = Self {
            neurons: Neurons::default(),
            synapses: Synapses::default(),
            synapse_capacity,
            candidates: vec![Candidates::default()],
            awake: Vec::new(),
            ledger: Ledger::new(ledger_window),
            fired: Bits::default(),
            before: Bits::default(),
            ages: Ages::default(),
            plasticity: Plasticity::None,
            power_amount: 1.0,
            seed,
            burst: 0,
            threads: 1,
            neuron_pins: Pins::default(),
            synapse_pins: Pins::default(),
        };
        engine.grow(neurons)?;
        engine.set_threads(threads)?;
        Ok(engine)
    }

    /// The neurons.
    pub fn neurons(&self) -> &Neurons {
        &self.neurons
    }

    /// The synapses.
    pub fn synapses(&self) -> &Synapses {
        &self.synapses
    }

    /// The most synapses there may be.
    pub fn synapse_capacity(&self) -> usize {
        self.synapse_capacity
    }

    /// How many bursts there were.
    pub fn burst_count(&self) -> u64 {
        self.burst
    }

    /// How many bursts the ledger holds.
    pub fn ledger_window(&self) -> usize {
        self.ledger.window()
    }

    /// What chance depends on.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The most threads of a burst.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Sets the most threads of a burst: 1 to 64.
    pub fn set_threads(&mut self, threads: usize) -> Result<()> {
        within("threads", threads, 1, MAX_THREADS)?;
        let mut more = Vec::new();
        for _ in self.candidates.len()..threads {
            let mut lane = Candidates::default();
            lane.grow(self.neurons.len())?;
            more.push(lane);
        }
        self.candidates.truncate(threads);
        self.candidates.append(&mut more);
        self.threads = threads;
        Ok(())
    }

    /// What a power neuron is given in a burst.
    pub fn power_amount(&self) -> f32 {
        self.power_amount
    }

    /// Sets what a power neuron is given in a burst: a finite number.
    pub fn set_power_amount(&mut self, amount: f32) -> Result<()> {
        check_power(amount)?;
        self.power_amount = amount;
        Ok(())
    }

    /// How weights change.
    pub fn plasticity(&self) -> Plasticity {
        self.plasticity
    }

    /// Sets how weights change.
    pub fn set_plasticity(&mut self, rule: Plasticity) -> Result<()> {
        rule.check(self.ledger.window())?;
        let mut ages = Ages::default();
        if matches!(rule, Plasticity::Stdp { .. }) {
            ages.grow(self.neurons.len())?;
        }
        (self.plasticity, self.ages) = (rule, ages);
        Ok(())
    }

    /// Gives the next neurons that were not given any yet their parameters, and adds more where these are
    /// too few. Returns the number of the first one.
    pub fn add_neurons(&mut self, columns: &NeuronColumns<'_>) -> Result<usize> {
        Neurons::check(columns)?;
        let first = self.neurons.configured;
        self.grow(first + columns.thresholds.len())?;
        self.neurons.configure(columns)?;
        Ok(first)
    }

    /// Sets the areas of some neurons.
    pub fn set_areas(&mut self, neurons: &[u32], areas: &[u32]) -> Result<()> {
        if neurons.len() != areas.len() {
            let message = format!("{} neurons and {} areas", neurons.len(), areas.len());
            return Err(Error::InvalidInput(format!("{message}; give each neuron one area")));
        }
        self.all_known(neurons, "neuron")?;
        let all = self.neurons.have_areas()?;
        neurons.iter().zip(areas).for_each(|(&neuron, &area)| all[neuron as usize] = area);
        Ok(())
    }

    /// Adds synapses. Several between the same two neurons add up.
    pub fn add_synapses(&mut self, columns: &SynapseColumns<'_>) -> Result<()> {
        columns.check()?;
        self.all_known(columns.sources, "source")?;
        self.all_known(columns.targets, "target")?;
        let more = columns.sources.len();
        let used = self.synapses.len() + more;
        if used > self.synapse_capacity {
            return Err(Error::CapacityExceeded {
                what: "synapses",
                used: used as u64,
                limit: self.synapse_capacity as u64,
                remedy: "make the engine with a larger synapse_capacity, or remove some",
            });
        }
        self.synapses_may_move()?;
        if self.synapses.places() + more > self.synapse_capacity {
            self.synapses.put_in_order(self.neurons.len())?;
        }
        self.synapses.add(columns)
    }

    /// Removes all synapses between pairs of neurons; tells how many those were.
    pub fn remove_synapses(&mut self, sources: &[u32], targets: &[u32]) -> Result<usize> {
        self.synapses_may_move()?;
        let found = self.places(sources, targets)?;
        let removed = found.into_iter().flatten().filter(|&place| self.synapses.remove(place));
        Ok(removed.count())
    }

    /// Sets the weights of all synapses between pairs of neurons; tells how many those were. Where a pair is
    /// named twice, the last weight holds.
    pub fn update_weights(
        &mut self,
        sources: &[u32],
        targets: &[u32],
        weights: &[u8],
    ) -> Result<usize> {
        if weights.len() != sources.len() {
            let message = format!("{} pairs and {} weights", sources.len(), weights.len());
            return Err(Error::InvalidInput(format!("{message}; give each pair one weight")));
        }
        let found = self.places(sources, targets)?;
        for (places, &weight) in found.iter().zip(weights) {
            places.iter().for_each(|&place| self.synapses.weights[place] = weight);
        }
        Ok(found.iter().map(Vec::len).sum())
    }

    /// Puts all synapses in order, which propagates quickest, and forgets those that were removed.
    pub fn rebuild_indexes(&mut self) -> Result<()> {
        if self.synapses.is_in_order() {
            return Ok(());
        }
        self.synapses_may_move()?;
        self.synapses.put_in_order(self.neurons.len())
    }

    /// Puts the synapses in order if many are not.
    pub(crate) fn tidy(&mut self) -> Result<()> {
        if self.synapses.is_untidy() { self.rebuild_indexes() } else { Ok(()) }
    }

    /// The bursts within the ledger's window in which a neuron fired, the oldest first.
    pub fn fire_history(&self, neuron: u32) -> Result<Vec<u64>> {
        self.known(neuron)?;
        Ok(self.ledger.history(neuron, self.burst))
    }

    /// While it lives, the arrays over neurons neither move nor grow: a call that would is refused.
    pub fn pin_neurons(&self) -> Pin {
        self.neuron_pins.pin()
    }

    /// While it lives, the arrays over synapses neither move nor change their length: synapses are neither
    /// added nor removed. They are put in order first.
    pub fn pin_synapses(&mut self) -> Result<Pin> {
        self.rebuild_indexes()?;
        Ok(self.synapse_pins.pin())
    }

    /// An array over the neurons, by the name that Python has for it.
    pub fn neuron_column(&mut self, name: &str) -> Result<NeuronColumn<'_>> {
        let neurons = &mut self.neurons;
        Ok(match name {
            "potentials" => NeuronColumn::Floats(&neurons.potentials),
            "thresholds" => NeuronColumn::Floats(&neurons.thresholds),
            "leak_rates" => NeuronColumn::Floats(&neurons.leak_rates),
            "excitabilities" => NeuronColumn::Floats(&neurons.excitabilities),
            "refractory_periods" => NeuronColumn::Periods(&neurons.refractory_periods),
            "refractory_countdowns" => NeuronColumn::Periods(&neurons.countdowns),
            "areas" => NeuronColumn::Areas(neurons.have_areas()?),
            "coordinates" => NeuronColumn::Coordinates(neurons.have_coordinates()?),
            _ => return Err(Error::Internal(format!("no array over neurons is called {name:?}"))),
        })
    }

    /// An array over the synapses, by the name that Python has for it.
    pub fn synapse_column(&self, name: &str) -> Result<SynapseColumn<'_>> {
        let synapses = &self.synapses;
        Ok(match name {
            "synapse_sources" => SynapseColumn::Neurons(&synapses.sources),
            "synapse_targets" => SynapseColumn::Neurons(&synapses.targets),
            "synapse_weights" => SynapseColumn::Bytes(&synapses.weights),
            "synapse_conductances" => SynapseColumn::Bytes(&synapses.conductances),
            "synapse_types" => SynapseColumn::Bytes(&synapses.kinds),
            _ => return Err(Error::Internal(format!("no array over synapses is called {name:?}"))),
        })
    }

    /// Bytes that the neurons, the synapses and the ledger take, as they are reserved.
    pub fn bytes(&self) -> (usize, usize, usize) {
        let lanes: usize = self.candidates.iter().map(Candidates::bytes).sum();
        let sets = self.fired.bytes() + self.before.bytes() + self.awake.capacity();
        let neurons = self.neurons.bytes() + lanes + sets + self.ages.bytes();
        (neurons, self.synapses.bytes(), self.ledger.bytes())
    }

    pub(crate) fn known(&self, neuron: u32) -> Result<()> {
        if (neuron as usize) < self.neurons.len() {
            return Ok(());
        }
        Err(Error::NotFound { kind: "neuron", id: neuron.to_string() })
    }

    fn all_known(&self, neurons: &[u32], field: &'static str) -> Result<()> {
        let count = self.neurons.len();
        let unknown = neurons.iter().position(|&neuron| neuron as usize >= count);
        let Some(at) = unknown else { return Ok(()) };
        self.known(neurons[at]).map_err(|error| error.of_item(at).of_field(field))
    }

    /// The places of the synapses of each pair.
    fn places(&mut self, sources: &[u32], targets: &[u32]) -> Result<Vec<Vec<usize>>> {
        if sources.len() != targets.len() {
            let message = format!("{} sources and {} targets", sources.len(), targets.len());
            return Err(Error::InvalidInput(format!("{message}; give both arrays one length")));
        }
        self.all_known(sources, "source")?;
        self.all_known(targets, "target")?;
        if sources.len() > MANY && !self.synapses.added().is_empty() {
            self.rebuild_indexes()?;
        }
        let pairs = sources.iter().zip(targets).enumerate();
        pairs
            .map(|(at, (&source, &target))| {
                self.synapses.between(source, target).map_err(|error| error.of_item(at))
            })
            .collect()
    }

    /// Sees to it that there are so many neurons.
    fn grow(&mut self, count: usize) -> Result<()> {
        if count <= self.neurons.len() {
            return Ok(());
        }
        within("neuron_count", count, 0, MAX_NEURONS)?;
        if self.neuron_pins.any() {
            return Err(Error::InvalidInput(
                "the engine cannot grow while arrays of its neurons are in use; copy what you need \
                 (engine.potentials.copy()) and delete the arrays"
                    .into(),
            ));
        }
        // What is longer than the neurons is of no account, should memory end on the way.
        for lane in &mut self.candidates {
            lane.grow(count)?;
        }
        self.fired.grow(count)?;
        self.before.grow(count)?;
        if matches!(self.plasticity, Plasticity::Stdp { .. }) {
            self.ages.grow(count)?;
        }
        lengthen(&mut self.awake, count.div_ceil(BLOCK), 0)?;
        self.neurons.grow(count)
    }

    fn synapses_may_move(&self) -> Result<()> {
        if !self.synapse_pins.any() {
            return Ok(());
        }
        Err(Error::InvalidInput(
            "synapses cannot be added or removed while arrays of them are in use; copy what you need \
             (engine.synapse_weights.copy()) and delete the arrays"
                .into(),
        ))
    }
}

pub(crate) fn check_power(amount: f32) -> Result<()> {
    if amount.is_finite() {
        return Ok(());
    }
    let message = format!("power_amount is {amount}; it has to be a finite number");
    Err(Error::InvalidInput(message).of_field("power_amount"))
}

pub(crate) fn within(name: &'static str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let message = format!("{name} is {value}; it has to be a whole number from {least} to {most}");
    Err(Error::InvalidInput(message).of_field(name))
}
