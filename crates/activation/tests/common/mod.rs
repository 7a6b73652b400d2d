//! Networks for tests.
#![allow(dead_code, unreachable_pub)] // each test file uses a part

use std::path::Path;

use embedded_db_activation::{Engine, NeuronColumns, Options, SynapseColumns};
use embedded_db_common::Result;

/// A generator whose numbers a test can repeat.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    pub fn share(&mut self) -> f32 {
        self.below(1 << 20) as f32 / (1 << 20) as f32
    }
}

pub fn options(neurons: usize, synapse_capacity: usize) -> Options {
    Options { neurons, synapse_capacity, ledger_window: 20, seed: 5, threads: 1 }
}

pub fn empty(neurons: usize, synapse_capacity: usize) -> Engine {
    Engine::new(options(neurons, synapse_capacity)).unwrap()
}

/// Adds `(source, target, weight, conductance, type)` each.
pub fn add(engine: &mut Engine, synapses: &[(u32, u32, u8, u8, u8)]) -> Result<()> {
    engine.add_synapses(&SynapseColumns {
        sources: &synapses.iter().map(|it| it.0).collect::<Vec<_>>(),
        targets: &synapses.iter().map(|it| it.1).collect::<Vec<_>>(),
        weights: &synapses.iter().map(|it| it.2).collect::<Vec<_>>(),
        conductances: &synapses.iter().map(|it| it.3).collect::<Vec<_>>(),
        types: &synapses.iter().map(|it| it.4).collect::<Vec<_>>(),
    })
}

/// Configures so many neurons alike.
pub fn configure(
    engine: &mut Engine,
    count: usize,
    threshold: f32,
    leak_rate: f32,
    refractory_period: u16,
    excitability: f32,
) -> Result<usize> {
    engine.add_neurons(&NeuronColumns {
        thresholds: &vec![threshold; count],
        leak_rates: &vec![leak_rate; count],
        refractory_periods: &vec![refractory_period; count],
        excitabilities: &vec![excitability; count],
        areas: &vec![0; count],
        coordinates: &vec![[0.0; 3]; count],
    })
}

/// A network with all there is: neurons of all kinds, both types of synapses.
pub fn mixed(neurons: usize, synapses: usize, seed: u64) -> Engine {
    let mut random = Random(seed * 2 + 1);
    let mut engine = empty(neurons, synapses + 100_000);
    let floats = |random: &mut Random, least: f32| -> Vec<f32> {
        (0..neurons).map(|_| least + (1.0 - least) * random.share()).collect()
    };
    let columns = [floats(&mut random, 0.2), floats(&mut random, 0.0), floats(&mut random, 0.3)];
    let periods: Vec<u16> = (0..neurons).map(|_| random.below(4) as u16).collect();
    engine
        .add_neurons(&NeuronColumns {
            thresholds: &columns[0],
            leak_rates: &columns[1],
            refractory_periods: &periods,
            excitabilities: &columns[2],
            areas: &vec![3; neurons],
            coordinates: &vec![[1.0, -2.0, 0.5]; neurons],
        })
        .unwrap();
    add(&mut engine, &some_synapses(&mut random, neurons, synapses)).unwrap();
    engine
}

pub fn some_synapses(
    random: &mut Random,
    neurons: usize,
    count: usize,
) -> Vec<(u32, u32, u8, u8, u8)> {
    let byte = |random: &mut Random| random.below(256) as u8;
    (0..count)
        .map(|_| {
            let (source, target) = (random.below(neurons as u64), random.below(neurons as u64));
            let (weight, conductance) = (byte(random), byte(random));
            (source as u32, target as u32, weight, conductance, random.below(4) as u8 / 3)
        })
        .collect()
}

/// Who fired in each of so many bursts, each with a tenth of the neurons powered.
pub fn run(engine: &mut Engine, random: &mut Random, bursts: usize) -> Vec<Vec<u32>> {
    let neurons = engine.neurons().len() as u64;
    (0..bursts)
        .map(|_| {
            let power: Vec<u32> =
                (0..neurons.div_ceil(10)).map(|_| random.below(neurons) as u32).collect();
            engine.burst(&power).unwrap().fired
        })
        .collect()
}

pub fn reloaded(engine: &mut Engine) -> Engine {
    Engine::load(&engine.save().unwrap(), Path::new("a.burst"), 1).unwrap()
}
