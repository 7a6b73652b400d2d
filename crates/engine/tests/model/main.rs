//! The database does what a plain model does, whatever is done to it, in whatever order: objects,
//! chats, transactions and namespaces; closed and opened anew at any point. And what the weaver makes
//! of the messages is a function of the texts that are there, not of the way they came about.
//!
//! The cases are the same in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` give others.

#![allow(clippy::unwrap_used)] // helpers of tests

mod bench;
#[path = "../common/mod.rs"]
mod common;
mod comparison;
mod steps;
mod world;

use bench::Bench;
use common::seeded;
use embedded_db_common::Value;
use proptest::prelude::*;
use steps::{Step, any_step};

const TYPES: [&str; 2] = ["KNOWS", "LIKES"];

type Values = Vec<(String, Value)>;

fn run(steps: &[Step], live: bool) {
    let mut bench = Bench::new(live);
    for step in steps {
        bench.step(step);
    }
    bench.compare();
    bench.step(&Step::Reopen);
    bench.compare();
    bench.drain();
}

proptest! {
    #![proptest_config(seeded(3, 80))]

    /// The weaver works when it is asked: a failing case fails again.
    #[test]
    fn the_database_does_what_the_model_does(steps in prop::collection::vec(any_step(), 20..120)) {
        run(&steps, false);
    }
}

proptest! {
    #![proptest_config(seeded(3, 40))]

    /// The weaver works beside, so that its writes fall between any two steps.
    #[test]
    fn a_weaver_at_work_changes_nothing_of_it(steps in prop::collection::vec(any_step(), 20..120)) {
        run(&steps, true);
    }
}
