//! Topics are made of what is stored at one moment, while others write: what changes meanwhile is due
//! again, and what is broken off is, too.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, LazyLock};

use common::{Bench, NS, drain, eager, until};
use embedded_db_common::Result;
use embedded_db_indexing::graph::{Artefact, StoredTopic, TOPIC, pending, stored_topic};
use embedded_db_indexing::labelled;
use embedded_db_storage::ReadTxn;
use embedded_db_testing::FakeModels;
use embedded_db_weaver::{Communities, FoundCommunities, Weaver};

fn start(bench: &Bench, communities: Communities) -> Arc<Weaver> {
    let space = Some((bench.space, FakeModels::DIMENSION));
    let (store, models) = (Arc::clone(&bench.store), Arc::new(FakeModels::default()));
    let nearest = common::Alone::over(&store);
    Weaver::start(store, bench.names, models, communities, nearest, space, None, eager(), false)
        .unwrap()
}

fn topics(bench: &Bench) -> Vec<StoredTopic> {
    let snapshot = bench.store.read().unwrap();
    let Some(label) = snapshot.symbol(TOPIC).unwrap() else { return Vec::new() };
    let slots = labelled(&snapshot, NS, label).unwrap();
    let stored =
        |slot| stored_topic(&snapshot, &bench.names, NS, embedded_db_common::Slot(slot)).unwrap();
    slots.iter().filter_map(stored).collect()
}

fn waiting(bench: &Bench) -> u64 {
    pending(&bench.store.read().unwrap(), NS, Artefact::Topics).unwrap().len()
}

fn together(nodes: usize) -> Result<FoundCommunities> {
    Ok(FoundCommunities { of: vec![0; nodes], modularity: 0.0 })
}

static MEET: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));
static HAVE_MET: AtomicBool = AtomicBool::new(false);

/// Waits, the first time, while somebody else does something.
fn slowly(
    nodes: usize,
    _: &[(u32, u32, f64)],
    _: &dyn Fn() -> Result<()>,
) -> Result<FoundCommunities> {
    if !HAVE_MET.swap(true, Ordering::SeqCst) {
        MEET.wait();
        MEET.wait();
    }
    together(nodes)
}

#[test]
fn what_changes_while_topics_are_made_is_due_again() {
    let bench = Bench::new();
    let said: Vec<_> = (0..8).map(|number| bench.say(&format!("{number} Anna Boris"))).collect();
    let weaver = start(&bench, slowly);
    MEET.wait();
    bench.delete(said[0]);
    bench.edit(said[1], "nobody");
    let late = bench.say("later Anna");
    MEET.wait();
    drain(&weaver);
    assert_eq!(waiting(&bench), 0);
    let found = topics(&bench);
    assert_eq!(found.len(), 1);
    let messages = || said[2..].iter().chain([&late]);
    assert!(messages().all(|message| found[0].members.contains(message)));
    assert!(!found[0].members.contains(&said[1]));
    assert_eq!(found[0].members.len(), messages().count() + 2, "two entities");
    weaver.stop();
}

static DROPPED: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));

/// Waits while the namespace is dropped.
fn too_late(
    nodes: usize,
    _: &[(u32, u32, f64)],
    _: &dyn Fn() -> Result<()>,
) -> Result<FoundCommunities> {
    DROPPED.wait();
    DROPPED.wait();
    together(nodes)
}

#[test]
fn nothing_is_left_of_a_namespace_that_is_dropped_while_its_topics_are_made() {
    let bench = Bench::new();
    for number in 0..8 {
        bench.say(&format!("{number} Anna Boris"));
    }
    let weaver = start(&bench, too_late);
    DROPPED.wait();
    assert!(bench.store.write(|txn| txn.drop_namespace("default")).unwrap());
    DROPPED.wait();
    drain(&weaver);
    weaver.stop();
    let snapshot = bench.store.read().unwrap();
    assert_eq!(snapshot.namespace_counters(NS).unwrap().node_slots, 0, "no slot was given");
}

static AT_IT: AtomicBool = AtomicBool::new(false);

/// Goes on until it has to end.
fn endlessly(
    _: usize,
    _: &[(u32, u32, f64)],
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<FoundCommunities> {
    AT_IT.store(true, Ordering::SeqCst);
    loop {
        interrupted()?;
        std::thread::yield_now();
    }
}

fn at_once(
    nodes: usize,
    _: &[(u32, u32, f64)],
    _: &dyn Fn() -> Result<()>,
) -> Result<FoundCommunities> {
    together(nodes)
}

#[test]
fn what_was_broken_off_is_done_by_the_next() {
    let bench = Bench::new();
    for number in 0..8 {
        bench.say(&format!("{number} Anna Boris"));
    }
    let weaver = start(&bench, endlessly);
    until(&weaver, "topics", || AT_IT.load(Ordering::SeqCst));
    weaver.stop();
    assert!(topics(&bench).is_empty());
    assert!(waiting(&bench) > 0);
    let weaver = start(&bench, at_once);
    drain(&weaver);
    assert_eq!(waiting(&bench), 0);
    assert_eq!(topics(&bench).len(), 1);
    weaver.stop();
}
