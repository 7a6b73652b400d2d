//! Promise: what is refused says why, and has changed nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Random, add, configure, empty, mixed, options, run};
use embedded_db_activation::{Engine, Options, Plasticity};
use embedded_db_common::Error;

/// Runs what has to be refused on a network, and gives the error.
fn refused<T>(engine: &mut Engine, what: impl FnOnce(&mut Engine) -> Result<T, Error>) -> Error {
    let before = engine.save().unwrap();
    let Err(error) = what(engine) else { panic!("it was not refused") };
    assert!(engine.save().unwrap() == before, "something has changed: {error}");
    error
}

#[test]
fn unknown_neurons() {
    let mut engine = mixed(10, 30, 1);
    let error = refused(&mut engine, |it| it.burst(&[3, 10]));
    assert_eq!(
        error.to_string(),
        "item 1: no neuron has the id \"10\"; check the id, it may have been deleted"
    );
    refused(&mut engine, |it| add(it, &[(0, 1, 1, 1, 0), (0, 10, 1, 1, 0)]));
    refused(&mut engine, |it| add(it, &[(u32::MAX, 1, 1, 1, 0)]));
    refused(&mut engine, |it| it.remove_synapses(&[0, 99], &[0, 0]));
    refused(&mut engine, |it| it.set_areas(&[0, 99], &[1, 1]));
    refused(&mut engine, |it| it.fire_history(10));
}

#[test]
fn synapses_that_there_are_not() {
    let mut engine = empty(4, 4);
    add(&mut engine, &[(0, 1, 9, 9, 0)]).unwrap();
    let error = refused(&mut engine, |it| it.remove_synapses(&[0, 1], &[1, 0]));
    assert!(matches!(error.bare(), Error::NotFound { kind: "synapse", .. }), "{error}");
    refused(&mut engine, |it| it.update_weights(&[0, 1], &[1, 0], &[5, 5]));
    assert_eq!(engine.remove_synapses(&[0, 0], &[1, 1]).unwrap(), 1, "once, though named twice");
    refused(&mut engine, |it| it.remove_synapses(&[0], &[1]));
}

#[test]
fn more_than_the_capacity() {
    let mut engine = empty(4, 3);
    add(&mut engine, &[(0, 1, 1, 1, 0), (1, 2, 1, 1, 0)]).unwrap();
    let error = refused(&mut engine, |it| add(it, &[(0, 1, 1, 1, 0), (1, 2, 1, 1, 0)]));
    assert!(matches!(error, Error::CapacityExceeded { used: 4, limit: 3, .. }), "{error}");
    // What was removed makes room, each time.
    for _ in 0..5 {
        engine.remove_synapses(&[0], &[1]).unwrap();
        add(&mut engine, &[(0, 1, 1, 1, 0)]).unwrap();
    }
    assert_eq!(engine.synapses().len(), 2);
    for wrong in [
        Options { neurons: 1 << 60, ..options(0, 0) },
        Options { synapse_capacity: usize::MAX, ..options(0, 0) },
        Options { ledger_window: 0, ..options(0, 0) },
        Options { ledger_window: 1 << 20, ..options(0, 0) },
        Options { threads: 0, ..options(0, 0) },
        Options { threads: 1000, ..options(0, 0) },
    ] {
        assert!(matches!(Engine::new(wrong).err().unwrap().bare(), Error::InvalidInput(_)));
    }
}

#[test]
fn parameters_out_of_range() {
    let mut engine = empty(2, 2);
    for (threshold, leak_rate, excitability) in [
        (f32::NAN, 0.0, 1.0),
        (0.0, 0.0, 1.0),
        (-1.0, 0.0, 1.0),
        (f32::INFINITY, 0.0, 1.0),
        (1.0, -0.1, 1.0),
        (1.0, 1.1, 1.0),
        (1.0, f32::NAN, 1.0),
        (1.0, 0.0, 1.5),
        (1.0, 0.0, f32::NAN),
    ] {
        refused(&mut engine, |it| configure(it, 3, threshold, leak_rate, 0, excitability));
    }
    refused(&mut engine, |it| add(it, &[(0, 1, 1, 1, 2)]));
    refused(&mut engine, |it| it.set_power_amount(f32::NAN));
    let stdp = |potentiation, time_constant, window| Plasticity::Stdp {
        potentiation,
        depression: 1.0,
        time_constant,
        window,
    };
    for wrong in [
        stdp(f32::NAN, 1.0, 5),
        stdp(300.0, 1.0, 5),
        stdp(1.0, 0.0, 5),
        stdp(1.0, 1.0, 20),
        stdp(1.0, 1.0, 0),
    ] {
        refused(&mut engine, |it| it.set_plasticity(wrong));
    }
}

/// Who reads an array from outside can rely on it.
#[test]
fn arrays_that_are_pinned_stay_where_they_are() {
    let mut engine = mixed(100, 300, 3);
    let pin = engine.pin_neurons();
    let place = engine.neuron_column("potentials").map(|it| format!("{:p}", pointer(it))).unwrap();
    refused(&mut engine, |it| configure(it, 1, 1.0, 0.0, 0, 1.0));
    add(&mut engine, &[(0, 1, 2, 3, 0)]).unwrap();
    run(&mut engine, &mut Random(5), 5);
    let same = engine.neuron_column("potentials").map(|it| format!("{:p}", pointer(it))).unwrap();
    assert_eq!(same, place);
    drop(pin);
    assert_eq!(configure(&mut engine, 1, 1.0, 0.0, 0, 1.0).unwrap(), 100);

    let pin = engine.pin_synapses().unwrap();
    refused(&mut engine, |it| add(it, &[(0, 1, 2, 3, 0)]));
    refused(&mut engine, |it| it.remove_synapses(&[0], &[1]));
    engine.update_weights(&[0], &[1], &[200]).unwrap();
    engine.rebuild_indexes().unwrap();
    run(&mut engine, &mut Random(5), 5);
    drop(pin);
    engine.remove_synapses(&[0], &[1]).unwrap();
}

fn pointer(column: embedded_db_activation::NeuronColumn<'_>) -> *const f32 {
    match column {
        embedded_db_activation::NeuronColumn::Floats(values) => values.as_ptr(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn memory_is_what_the_documents_say() {
    let mut engine = Engine::new(options(100_000, 1_000_000)).unwrap();
    add(&mut engine, &common::some_synapses(&mut Random(1), 100_000, 1_000_000)).unwrap();
    engine.rebuild_indexes().unwrap();
    let (neurons, synapses, _) = engine.bytes();
    assert!(neurons <= 25 * 100_000, "{neurons}");
    assert!(synapses <= 11 * 1_000_000 + 4 * 100_001, "{synapses}");
}
