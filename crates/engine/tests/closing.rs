//! `close` ends everything that was opened with the handle: what is held beyond it says so, and the
//! path is free at once.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{fast, go_on, node};
use embedded_db_common::{Error, Options, Result};
use embedded_db_engine::{AsOf, Database, PinnedReads, Reach};
use tempfile::TempDir;

fn open(directory: &TempDir) -> Database {
    // The path must be free at once: nothing is waited for.
    Database::open(directory.path().join("db").to_str().unwrap(), &fast(), None).unwrap()
}

fn is_closed<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::DatabaseClosed { .. }))
}

#[test]
fn snapshots_and_transactions_that_are_held_end_with_the_handle() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let db = open(&directory);
        db.create_nodes(vec![node(&format!("n{round}"), "Thing", &[])]).unwrap();
        let snapshot = db.snapshot().unwrap();
        let mut transaction = db.transaction().unwrap();
        transaction.create_node(node("never", "Thing", &[])).unwrap();
        assert!(snapshot.get_node("n0").unwrap().is_some());
        db.close();

        let again = open(&directory);
        assert_eq!(again.count(None).unwrap(), round + 1);
        assert!(is_closed(snapshot.get_node("n0")));
        assert!(is_closed(snapshot.neighbors("n0", None, Reach::Out, AsOf::default(), None, 1)));
        assert!(is_closed(transaction.get_node("n0")));
        assert!(is_closed(transaction.commit()));
        drop(snapshot);
        again.close();
    }
}

#[test]
fn a_snapshot_of_a_shared_database_lives_until_the_last_handle_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (open(&directory), open(&directory));
    one.create_nodes(vec![node("n", "Thing", &[])]).unwrap();
    let of_one = one.snapshot().unwrap();
    let of_two = two.snapshot().unwrap();
    one.close();
    assert!(is_closed(of_one.get_node("n")));
    assert!(of_two.get_node("n").unwrap().is_some());
    two.close();
    assert!(is_closed(of_two.get_node("n")));
    open(&directory).close();
}

/// A read that is under way when its database is closed ends as it would have, and the path is free
/// after it.
#[test]
fn a_read_that_is_under_way_is_not_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory);
    let ids: Vec<String> = (0..600).map(|n| format!("n{n}")).collect();
    db.create_nodes(ids.iter().map(|id| node(id, "Thing", &[])).collect()).unwrap();
    let next = ids.windows(2).map(|pair| common::edge(&pair[1], &pair[0], "T", &pair[1]));
    db.create_edges(next.collect()).unwrap();
    let snapshot = db.snapshot().unwrap();
    let (reading, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let reader = {
        let (reading, closed) = (Arc::clone(&reading), Arc::clone(&closed));
        thread::spawn(move || {
            let held = || {
                reading.store(true, Ordering::Release);
                while !closed.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                Ok(())
            };
            let seen = walk(&snapshot, &held).unwrap();
            (seen, snapshot)
        })
    };
    while !reading.load(Ordering::Acquire) {
        thread::yield_now();
    }
    db.close();
    closed.store(true, Ordering::Release);
    // The snapshot is still held by the thread's result, but ended with its read.
    let (seen, snapshot) = reader.join().unwrap();
    assert_eq!(seen, 600);
    assert!(is_closed(walk(&snapshot, &go_on)));
    let patient = Options { lock_timeout: common::PATIENCE, ..fast() };
    let path = directory.path().join("db");
    Database::open(path.to_str().unwrap(), &patient, None).unwrap().close();
}

#[test]
fn the_lock_is_free_when_a_handle_is_closed_whatever_children_are_started() {
    let directory = TempDir::new().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // A child has all files open until its program begins.
        scope.spawn(|| {
            for _ in 0..500 {
                assert!(Command::new("true").status().unwrap().success());
            }
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            open(&directory).close();
        }
    });
}

fn walk(reads: &PinnedReads, interrupted: &dyn Fn() -> Result<()>) -> Result<usize> {
    let way = Reach::Out;
    let visits = reads.traverse(
        "n0",
        None,
        way,
        AsOf::default(),
        10_000,
        false,
        10_000,
        100_000,
        interrupted,
    )?;
    Ok(visits.len())
}
