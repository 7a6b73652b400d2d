//! Whatever happens to a machine under it, a database holds what it has acknowledged, and nothing by half.
//!
//! The program that simulates the machine runs here as users run it: it forks, and so must have one
//! thread.

#![cfg(target_os = "linux")]

use std::process::Command;

/// What the program prints; it must succeed.
fn simulate(arguments: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_embedded-db-simulator"));
    let output = program.args(arguments).output().expect("the program was built");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}:\n{told}");
    told
}

/// How often the program says that something has happened.
fn count(told: &str, what: &str) -> u64 {
    let line = told.lines().find_map(|line| line.trim().strip_suffix(what)?.strip_suffix(' '));
    let count = line.unwrap_or_else(|| panic!("nothing is told of {what:?}:\n{told}"));
    count.trim().parse().expect("it is a number")
}

fn is_thorough() -> bool {
    std::env::var("EMBEDDED_DB_THOROUGH").is_ok_and(|value| value == "1")
}

/// What a few seeds bring.
const OFTEN: [&str; 10] = [
    "commits through the log",
    "checkpoints",
    "ends of the log",
    "checkpoints put back",
    "replays",
    "frames done again",
    "power cuts",
    "power cuts within a checkpoint",
    "killed process",
    "restarts after a fault of the disk",
];

const SELDOM: [&str; 9] = [
    "power cuts with frames in both files",
    "power cuts within a replay",
    "failing call",
    "short write",
    "failing sync",
    "lost write",
    "torn write",
    "misdirected write",
    "full disk",
];

#[test]
fn whatever_a_seed_brings_is_survived() {
    let seeds = if is_thorough() { 800 } else { 60 };
    let told = simulate(&["--seeds", &format!("0..{seeds}"), "--jobs", "2"]);
    assert_eq!(count(&told, "seeds"), seeds);
    let seldom = if is_thorough() { &SELDOM[..] } else { &[] };
    for what in OFTEN.iter().chain(seldom) {
        assert!(count(&told, what) > 0, "{what} never came:\n{told}");
    }
}

#[test]
fn a_seed_brings_the_same_again() {
    let seeds = if is_thorough() { 100 } else { 6 };
    simulate(&["--twice", &format!("0..{seeds}")]);
}

#[test]
fn what_once_went_wrong_stays_mended() {
    simulate(&["--found"]);
}
