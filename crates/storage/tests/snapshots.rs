//! A snapshot shows one instant for as long as it is held, whatever is written, dropped or deleted
//! beside it, and its age is bounded.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{NS, Scratch, bare_edge, bare_node, changes, fast, neighbors, properties, space};
use embedded_db_common::{ContentHash, Error, Options, Value};
use embedded_db_storage::{Direction, Kind, ReadEmbeddings, ReadTxn, Snapshot};

/// Everything that the namespace holds, in words.
fn told(snapshot: &Snapshot) -> Vec<String> {
    let mut out = Vec::new();
    let mut nodes = Vec::new();
    snapshot
        .nodes_from(NS, embedded_db_common::Slot(0), |slot, payload| {
            nodes.push(slot);
            out.push(format!("{slot:?} {payload:?}"));
            true
        })
        .unwrap();
    for node in nodes {
        for direction in [Direction::Out, Direction::In] {
            out.push(format!("{node:?} {:?}", neighbors(snapshot, node, direction, None)));
        }
        for (space, _) in snapshot.spaces().unwrap() {
            out.push(format!("{:?}", snapshot.embeddings_of(NS, space, node).unwrap()));
        }
    }
    out.push(format!("{:?} {:?}", snapshot.counters(), snapshot.namespace_counters(NS)));
    out.push(format!("{:?} {:?}", snapshot.namespaces(), changes(snapshot).len()));
    out
}

#[test]
fn later_writes_deletes_and_drops_do_not_show() {
    let mut scratch = Scratch::new();
    let (a, edge, space_id) = scratch
        .store()
        .write(|txn| {
            let (a, b) = (bare_node(txn, NS, "a")?, bare_node(txn, NS, "b")?);
            let of = txn.intern("T")?;
            let edge = bare_edge(txn, NS, "e", a, b, of)?;
            let space_id = txn.create_space(&space("s", 2))?;
            let hash = ContentHash::of("x");
            txn.put_embedding(NS, space_id, a, 0, "v", false, hash, &[1.0, 2.0])?;
            Ok((a, edge, space_id))
        })
        .unwrap();
    let snapshot = scratch.store().read().unwrap();
    let before = told(&snapshot);

    scratch
        .store()
        .write(move |txn| {
            let encoded = properties(txn, &[("new", Value::Int(1))])?;
            txn.update_node(NS, a, &encoded)?;
            txn.delete_edge(NS, edge)?;
            txn.delete_embeddings(NS, space_id, a)?;
            bare_node(txn, NS, "c")?;
            txn.create_namespace("other")?;
            Ok(())
        })
        .unwrap();
    assert_eq!(told(&snapshot), before);
    assert_eq!(snapshot.node_slot(NS, "c").unwrap(), None);
    scratch.store().write(move |txn| txn.delete_node(NS, a)).unwrap();
    scratch.store().write(|txn| txn.drop_namespace("default")).unwrap();
    assert_eq!(told(&snapshot), before);
    assert!(snapshot.resolve(NS, Kind::Embedding, "v").unwrap().is_some());

    let fresh = scratch.store().read().unwrap();
    assert!(told(&fresh) != before && !fresh.has_namespace(NS).unwrap());
    drop(fresh);
    // The handle may go first.
    scratch.close();
    assert_eq!(told(&snapshot), before);
}

/// Two nodes always say the same number; a reader beside the writer never sees them differ.
#[test]
fn a_write_is_seen_whole_or_not_at_all() {
    let scratch = Scratch::new();
    let a = common::node(scratch.store(), NS, "a").unwrap();
    let b = common::node(scratch.store(), NS, "b").unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (Arc::clone(scratch.store()), Arc::clone(&done));
            thread::spawn(move || {
                let mut last = 0;
                loop {
                    let finished = done.load(Ordering::Acquire);
                    let snapshot = store.read().unwrap();
                    let read = |slot| {
                        let node = snapshot.node(NS, slot).unwrap().unwrap();
                        node.properties.as_bytes().try_into().map_or(0, u64::from_le_bytes)
                    };
                    let (of_a, of_b): (u64, u64) = (read(a), read(b));
                    assert_eq!(of_a, of_b);
                    assert!(of_a >= last, "a later snapshot is not older");
                    last = of_a;
                    if finished {
                        return last;
                    }
                }
            })
        })
        .collect();
    for n in 1..=2_000u64 {
        scratch
            .store()
            .write(move |txn| {
                txn.update_node(NS, a, &n.to_le_bytes())?;
                txn.update_node(NS, b, &n.to_le_bytes())
            })
            .unwrap();
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 2_000);
    }
}

#[test]
fn a_snapshot_beyond_its_age_says_so() {
    let scratch = Scratch::with(Options { max_snapshot_age: Duration::ZERO, ..fast() });
    let snapshot = scratch.store().read().unwrap();
    let error = loop {
        // The age is zero only within one tick of the clock.
        if let Err(error) = snapshot.check_age() {
            break error;
        }
    };
    assert!(matches!(error, Error::SnapshotExpired { limit_seconds: 0, .. }), "{error}");
    assert!(error.to_string().contains("max_snapshot_age"), "{error}");
}

#[test]
fn a_closed_store_refuses_new_work_and_lets_snapshots_end() {
    let scratch = Scratch::new();
    let snapshot = scratch.store().read().unwrap();
    scratch.store().close();
    let closed = |error: Error| matches!(error, Error::DatabaseClosed { .. });
    assert!(closed(scratch.store().read().err().unwrap()));
    assert!(closed(common::node(scratch.store(), NS, "a").unwrap_err()));
    assert!(closed(snapshot.check_age().unwrap_err()));
    assert!(told(&snapshot).len() > 1);
}
