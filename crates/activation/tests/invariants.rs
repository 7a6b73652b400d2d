//! Promise: whatever is done to a network, its counts agree, energy comes from somewhere and goes
//! somewhere, and who fires has rested.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::HashMap;

use common::{Random, add, configure, empty, mixed, run, some_synapses};
use embedded_db_activation::Plasticity;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What neurons hold that never fire is what those that fired have given them.
    #[test]
    fn energy_is_conserved(seed in 1..u64::MAX / 4, quiet in 1_usize..200, loud in 1_usize..40) {
        let mut random = Random(seed);
        let mut engine = empty(quiet + loud, 4000);
        configure(&mut engine, quiet, 1e9, 0.0, 0, 1.0).unwrap();
        configure(&mut engine, loud, 1e-3, 0.0, 0, 1.0).unwrap();
        engine.set_power_amount(1e9).unwrap();
        let synapses: Vec<_> = some_synapses(&mut random, quiet + loud, 1000)
            .into_iter()
            .filter(|&(_, target, ..)| (target as usize) < quiet)
            .collect();
        let (first, later) = synapses.split_at(synapses.len() / 2);
        let mut expected = 0.0;
        for round in 0..6 {
            if round % 3 == 0 {
                add(&mut engine, if round == 0 { first } else { later }).unwrap();
            }
            let here = if round < 3 { first } else { &synapses };
            let power = quiet as u32 + random.below(loud as u64) as u32;
            prop_assert_eq!(engine.burst(&[power]).unwrap().fired, vec![power]);
            prop_assert_eq!(engine.burst(&[]).unwrap().fired, Vec::<u32>::new());
            expected += here
                .iter()
                .filter(|synapse| synapse.0 == power)
                .map(|&(_, _, weight, conductance, kind)| {
                    f64::from(weight) * f64::from(conductance) * (1.0 - 2.0 * f64::from(kind)) / 65_025.0
                })
                .sum::<f64>();
            let held: f64 = potentials(&mut engine).iter().map(|&it| f64::from(it)).sum();
            prop_assert!((held - expected).abs() < 1e-2, "{held} instead of {expected}");
        }
    }

    /// Counts of synapses between pairs are those of a plain list.
    #[test]
    fn synapses_are_those_of_a_plain_list(seed in 1..u64::MAX / 4, steps in 1_usize..60) {
        let mut random = Random(seed);
        let mut engine = empty(12, 3000);
        let mut plain: HashMap<(u32, u32), Vec<u8>> = HashMap::new();
        for _ in 0..steps {
            let pair = (random.below(12) as u32, random.below(12) as u32);
            match random.below(6) {
                0..=2 => {
                    let count = 1 + random.below(40) as usize;
                    let synapses = some_synapses(&mut random, 12, count);
                    add(&mut engine, &synapses).unwrap();
                    for (source, target, weight, ..) in synapses {
                        plain.entry((source, target)).or_default().push(weight);
                    }
                }
                3 => {
                    let there = plain.remove(&pair).map_or(0, |weights| weights.len());
                    let removed = engine.remove_synapses(&[pair.0], &[pair.1]).unwrap_or(0);
                    prop_assert_eq!(removed, there);
                }
                4 => {
                    let there = plain.get_mut(&pair);
                    let changed = engine.update_weights(&[pair.0], &[pair.1], &[77]).unwrap_or(0);
                    prop_assert_eq!(changed, there.as_ref().map_or(0, |weights| weights.len()));
                    there.into_iter().flatten().for_each(|weight| *weight = 77);
                }
                _ => engine.rebuild_indexes().unwrap(),
            }
            prop_assert_eq!(engine.synapses().len(), plain.values().map(Vec::len).sum::<usize>());
        }
        let _pin = engine.pin_synapses().unwrap();
        let mut held: HashMap<(u32, u32), Vec<u8>> = HashMap::new();
        let column = |name| engine.synapse_column(name).unwrap();
        let (sources, targets) = (neurons_of(column("synapse_sources")), neurons_of(column("synapse_targets")));
        let pairs: Vec<_> = sources.into_iter().zip(targets).collect();
        prop_assert!(pairs.is_sorted());
        for (pair, weight) in pairs.into_iter().zip(bytes_of(column("synapse_weights"))) {
            held.entry(pair).or_default().push(weight);
        }
        plain.retain(|_, weights| !weights.is_empty());
        prop_assert_eq!(held, plain, "in the order in which they were added");
    }

    /// Lists are in order, histories are those of the lists, and a neuron rests after each firing.
    #[test]
    fn who_fires_has_rested(seed in 1..u64::MAX / 4, neurons in 1_usize..300, rule in 0..3) {
        let mut engine = mixed(neurons, neurons * 8, seed);
        engine.set_plasticity(match rule {
            0 => Plasticity::None,
            1 => Plasticity::Hebbian { potentiation: 9, depression: 3 },
            _ => Plasticity::Stdp { potentiation: 40.0, depression: 30.0, time_constant: 4.0, window: 9 },
        }).unwrap();
        let lists = run(&mut engine, &mut Random(seed), 30);
        for list in &lists {
            prop_assert!(list.is_sorted_by(|one, next| one < next));
        }
        let periods = periods(&mut engine);
        for neuron in 0..neurons as u32 {
            let bursts: Vec<u64> =
                (1..).zip(&lists).filter(|(_, list)| list.contains(&neuron)).map(|(at, _)| at).collect();
            let rest = u64::from(periods[neuron as usize]);
            prop_assert!(bursts.windows(2).all(|two| two[1] - two[0] > rest), "{bursts:?}, {rest}");
            let late: Vec<u64> = bursts.into_iter().filter(|&burst| burst > 10).collect();
            prop_assert_eq!(engine.fire_history(neuron).unwrap(), late);
        }
        prop_assert!(potentials(&mut engine).iter().all(|it| it.is_finite()));
    }
}

fn potentials(engine: &mut embedded_db_activation::Engine) -> Vec<f32> {
    match engine.neuron_column("potentials").unwrap() {
        embedded_db_activation::NeuronColumn::Floats(values) => values.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn periods(engine: &mut embedded_db_activation::Engine) -> Vec<u16> {
    match engine.neuron_column("refractory_periods").unwrap() {
        embedded_db_activation::NeuronColumn::Periods(values) => values.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn neurons_of(column: embedded_db_activation::SynapseColumn<'_>) -> Vec<u32> {
    match column {
        embedded_db_activation::SynapseColumn::Neurons(values) => values.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn bytes_of(column: embedded_db_activation::SynapseColumn<'_>) -> Vec<u8> {
    match column {
        embedded_db_activation::SynapseColumn::Bytes(values) => values.to_vec(),
        other => panic!("{other:?}"),
    }
}
