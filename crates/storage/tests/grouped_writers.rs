//! Writers that come together share a transaction, and yet each stands alone: all of a job is
//! stored or nothing, a failing or panicking one takes nobody else with it, and it leaves no trace.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{NS, Scratch, bare_edge, bare_node, changes, fast};
use embedded_db_common::{Durability, Error, Options, Slot};
use embedded_db_storage::{Kind, ReadPostings, ReadTxn};

const THREADS: usize = 16;
const WRITES: usize = 200;

#[test]
fn every_acknowledged_write_is_there() {
    let options = Options { durability: Durability::Durable, ..fast() };
    let mut scratch = Scratch::with(options);
    let barrier = Arc::new(Barrier::new(THREADS));
    let writers: Vec<_> = (0..THREADS)
        .map(|writer| {
            let (store, barrier) = (Arc::clone(scratch.store()), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                for n in 0..WRITES {
                    let id = format!("{writer}/{n}");
                    let slot = common::node(&store, NS, &id).unwrap();
                    // Acknowledged means visible, to everyone.
                    assert_eq!(store.read().unwrap().node_slot(NS, &id).unwrap(), Some(slot));
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    scratch.reopen();
    let snapshot = scratch.store().read().unwrap();
    let changes = changes(&snapshot);
    assert_eq!(changes.len(), THREADS * WRITES);
    let slots: HashSet<Slot> = changes.iter().map(|change| change.slot).collect();
    assert_eq!(slots.len(), THREADS * WRITES, "no slot was given twice");
    for writer in 0..THREADS {
        let of_writer = changes.iter().filter_map(|change| change.id.split_once('/'));
        let numbers: Vec<usize> = of_writer
            .filter(|(by, _)| *by == writer.to_string())
            .map(|(_, n)| n.parse().unwrap())
            .collect();
        assert_eq!(numbers, (0..WRITES).collect::<Vec<_>>(), "in the order of the writer {writer}");
    }
    let counters = snapshot.namespace_counters(NS).unwrap();
    assert_eq!((counters.nodes, counters.node_slots), (3_200, 3_200));
    let label = snapshot.symbol("Thing").unwrap().unwrap();
    let mut labelled = 0;
    snapshot
        .containers(NS, embedded_db_storage::IndexId::LABEL, &label.0.to_be_bytes(), |found| {
            labelled += found.len();
            true
        })
        .unwrap();
    assert_eq!(labelled, 3_200);
}

/// What a job does after it has written a node and a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    Failing,
    Panicking,
}

#[test]
fn failing_and_panicking_jobs_take_nobody_with_them_and_leave_no_trace() {
    let mut scratch = Scratch::new();
    let barrier = Arc::new(Barrier::new(THREADS));
    let writers: Vec<_> = (0..THREADS)
        .map(|writer| {
            let (store, barrier) = (Arc::clone(scratch.store()), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                for n in 0..60 {
                    let end = match (writer + n) % 3 {
                        0 => End::Well,
                        1 => End::Failing,
                        _ => End::Panicking,
                    };
                    let id = format!("{writer}/{n}");
                    let outcome = store.write({
                        let id = id.clone();
                        move |txn| {
                            let node = bare_node(txn, NS, &id)?;
                            let name = txn.intern(&format!("name of {id}"))?;
                            bare_edge(txn, NS, &id, node, node, name)?;
                            match end {
                                End::Well => Ok(name),
                                End::Failing => Err(Error::InvalidInput(format!("no to {id}"))),
                                End::Panicking => panic!("planted in {id}"),
                            }
                        }
                    });
                    match (end, outcome) {
                        (End::Well, outcome) => {
                            outcome.unwrap();
                        }
                        (End::Failing, Err(Error::InvalidInput(text))) => {
                            assert_eq!(text, format!("no to {id}"));
                        }
                        (End::Panicking, Err(Error::Internal(text))) => {
                            assert!(text.contains(&format!("planted in {id}")), "{text}");
                        }
                        (_, outcome) => panic!("{id}: {:?}", outcome.err()),
                    }
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());

    for reopened in [false, true] {
        if reopened {
            scratch.reopen();
        }
        let snapshot = scratch.store().read().unwrap();
        let (mut well, mut symbols) = (0, HashSet::new());
        for writer in 0..THREADS {
            for n in 0..60 {
                let id = format!("{writer}/{n}");
                let expected = (writer + n) % 3 == 0;
                well += u64::from(expected);
                assert_eq!(snapshot.node_slot(NS, &id).unwrap().is_some(), expected);
                assert_eq!(snapshot.resolve(NS, Kind::Edge, &id).unwrap().is_some(), expected);
                let name = format!("name of {id}");
                let symbol = snapshot.symbol(&name).unwrap();
                assert_eq!(symbol.is_some(), expected, "the name of {id}");
                if let Some(symbol) = symbol {
                    assert_eq!(&*snapshot.symbol_name(symbol).unwrap(), name);
                    assert!(symbols.insert(symbol), "{symbol:?} was given twice");
                }
            }
        }
        let counters = snapshot.namespace_counters(NS).unwrap();
        assert_eq!((counters.nodes, counters.edges), (well, well));
        assert_eq!((u64::from(counters.node_slots), u64::from(counters.edge_slots)), (well, well));
        assert_eq!(changes(&snapshot).len() as u64, 2 * well);
        assert_eq!(u64::from(snapshot.counters().unwrap().symbols), well + 1);
    }
}

#[test]
fn a_name_of_a_failed_job_gets_a_number_of_its_own_later() {
    let scratch = Scratch::new();
    let failed = scratch.store().write(|txn| {
        let symbol = txn.intern("first")?;
        assert_eq!(&*txn.symbol_name(symbol)?, "first");
        Err::<(), _>(Error::InvalidInput("no".into()))
    });
    assert!(failed.is_err());
    assert_eq!(scratch.store().symbols().find("first", |symbol| Ok(Some(symbol))).unwrap(), None);
    let second = scratch.store().write(|txn| txn.intern("second")).unwrap();
    let first = scratch.store().write(|txn| txn.intern("first")).unwrap();
    assert_ne!(first, second);
    for (name, symbol) in [("first", first), ("second", second)] {
        assert_eq!(
            scratch.store().symbols().find(name, |symbol| Ok(Some(symbol))).unwrap(),
            Some(symbol)
        );
        assert_eq!(&*scratch.store().symbols().name_of(symbol).unwrap(), name);
    }
}

/// Money moved between accounts by all writers at once: nobody sees it halfway, none is lost.
#[test]
fn jobs_of_a_group_see_each_other_in_order() {
    let scratch = Scratch::new();
    let account = common::node(scratch.store(), NS, "account").unwrap();
    let runs = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..THREADS)
        .map(|_| {
            let (store, runs) = (Arc::clone(scratch.store()), Arc::clone(&runs));
            thread::spawn(move || {
                for _ in 0..50 {
                    let runs = Arc::clone(&runs);
                    store
                        .write(move |txn| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            let node = txn.node(NS, account)?.unwrap();
                            let bytes = node.properties.as_bytes();
                            let sum = bytes.try_into().map_or(0, u64::from_le_bytes);
                            txn.update_node(NS, account, &(sum + 1).to_le_bytes())
                        })
                        .unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let snapshot = scratch.store().read().unwrap();
    let node = snapshot.node(NS, account).unwrap().unwrap();
    assert_eq!(node.properties.as_bytes(), 800u64.to_le_bytes());
    assert_eq!(node.version, 801);
    assert_eq!(runs.load(Ordering::Relaxed), 800, "without growth each job runs once");
}

#[test]
fn a_job_that_changes_nothing_gets_its_value() {
    let scratch = Scratch::new();
    let before = scratch.store().read().unwrap().lsn().unwrap();
    assert_eq!(scratch.store().write(|txn| txn.lsn()).unwrap(), before);
    assert_eq!(scratch.store().read().unwrap().lsn().unwrap(), before);
}

#[test]
fn the_time_of_writes_never_goes_back() {
    let mut scratch = Scratch::new();
    let mut last = i64::MIN;
    for n in 0..50 {
        if n == 25 {
            scratch.reopen();
        }
        let now = scratch
            .store()
            .write(move |txn| {
                bare_node(txn, NS, &format!("n{n}"))?;
                Ok(txn.now())
            })
            .unwrap();
        assert!(now >= last);
        last = now;
    }
}
