//! Promise: the same seed gives the same result, on one thread or many, before and after it was saved.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;

use common::{Random, add, empty, mixed, reloaded, run, some_synapses};
use embedded_db_activation::{Engine, Plasticity};
use embedded_db_common::Error;
use proptest::prelude::*;

const RULES: [Plasticity; 3] = [
    Plasticity::None,
    Plasticity::Hebbian { potentiation: 5, depression: 2 },
    Plasticity::Stdp { potentiation: 30.0, depression: 20.5, time_constant: 3.0, window: 8 },
];

/// Large enough that each phase is shared out, with a neuron whose sum does not fit 32 bits.
#[test]
fn threads_change_nothing() {
    let mut one = mixed(300_000, 2_000_000, 4);
    one.set_plasticity(RULES[1]).unwrap();
    one.set_power_amount(2.0).unwrap();
    let hub: Vec<_> = (0..100_000).map(|source| (source, 7, 255, 255, 0)).collect();
    add(&mut one, &hub).unwrap();
    let mut four = reloaded(&mut one);
    four.set_threads(4).unwrap();
    let fired = run(&mut one, &mut Random(9), 6);
    assert!(fired.iter().skip(1).all(|list| list.len() > 20_000), "there is work to share");
    assert_eq!(run(&mut four, &mut Random(9), 6), fired);
    assert!(one.save().unwrap() == four.save().unwrap(), "states and weights agree, too");
}

#[test]
fn another_seed_is_another_course() {
    let make = |seed| {
        let mut engine =
            Engine::new(embedded_db_activation::Options { seed, ..common::options(1000, 0) })
                .unwrap();
        common::configure(&mut engine, 1000, 0.5, 0.0, 0, 0.5).unwrap();
        let all: Vec<u32> = (0..1000).collect();
        engine.burst(&all).unwrap().fired
    };
    assert_eq!(make(3), make(3));
    assert_ne!(make(3), make(4));
    assert!((430..570).contains(&make(3).len()), "half of them");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_saved_goes_on_the_same(
        seed in 1..u64::MAX / 4, neurons in 1_usize..300, before in 0_usize..25, rule in 0_usize..3,
    ) {
        let mut engine = mixed(neurons, neurons * 6, seed);
        engine.set_plasticity(RULES[rule]).unwrap();
        let mut random = Random(seed);
        run(&mut engine, &mut random, before);
        let mut copy = Engine::load(&engine.save().unwrap(), Path::new("x"), 3).unwrap();
        let more = some_synapses(&mut random, neurons, 50);
        add(&mut engine, &more).unwrap();
        add(&mut copy, &more).unwrap();
        copy.rebuild_indexes().unwrap();
        let state = random.0;
        let fired = run(&mut engine, &mut random, 25);
        prop_assert_eq!(run(&mut copy, &mut Random(state), 25), fired);
        for neuron in 0..neurons as u32 {
            prop_assert_eq!(copy.fire_history(neuron).unwrap(), engine.fire_history(neuron).unwrap());
        }
        prop_assert!(copy.save().unwrap() == engine.save().unwrap());
    }

    /// Neither changed bytes nor changed bytes with a right checksum do more than be refused, or work.
    #[test]
    fn damaged_bytes_are_refused(seed in 1..u64::MAX / 4, rule in 0_usize..3, changes in 1_usize..4) {
        let mut random = Random(seed);
        let mut engine = mixed(20, 60, seed);
        engine.set_plasticity(RULES[rule]).unwrap();
        run(&mut engine, &mut random, 5);
        let whole = engine.save().unwrap();
        let mut bytes = whole.clone();
        for _ in 0..changes {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        let load = |bytes: &[u8]| Engine::load(bytes, Path::new("dir/x.burst"), 1);
        if bytes != whole {
            let refused = load(&bytes).err().expect("it is damaged");
            prop_assert!(
                matches!(refused, Error::DamagedFile { .. } | Error::FormatTooNew { .. }), "{refused}"
            );
            prop_assert!(refused.to_string().contains("dir/x.burst"));
        }
        let content = bytes.len() - 4;
        let sum = crc32c::crc32c(&bytes[..content]);
        bytes[content..].copy_from_slice(&sum.to_le_bytes());
        if let Ok(mut engine) = load(&bytes) {
            prop_assert!(engine.save().unwrap() == bytes, "all of it was read");
            run(&mut engine, &mut random, 5);
        }
        let short = &whole[..random.below(whole.len() as u64) as usize];
        prop_assert!(load(short).is_err());
    }
}

#[test]
fn a_later_version_is_said_to_be_one() {
    let mut bytes = empty(3, 3).save().unwrap();
    bytes[8] = 9;
    let refused = Engine::load(&bytes, Path::new("x"), 1).err().unwrap();
    assert!(matches!(refused, Error::FormatTooNew { found: 9, supported: 1, .. }), "{refused}");
}
