//! A node that expires at a time is there until then, and gone from exactly then on.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use embedded_db_common::{Draft, Lsn, NamespaceId, Result, Slot};
use embedded_db_indexing::graph::{Expiry, GraphWriter, NodeDraft};
use embedded_db_indexing::hidden;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ChangeOp, Direction, Kind, ReadTxn, Store, Visible};

const NS: NamespaceId = NamespaceId::DEFAULT;

struct Bench {
    store: Arc<Store>,
    names: Names,
}

impl Bench {
    fn new() -> Self {
        let (store, names) = common::new_store();
        Self { store, names }
    }

    fn write<T: Send + 'static>(
        &self,
        mut job: impl FnMut(&mut GraphWriter<'_, '_>) -> Result<T> + Send + 'static,
    ) -> T {
        let names = self.names;
        self.store.write(move |txn| job(&mut GraphWriter::new(txn, &names, NS))).unwrap()
    }

    /// Makes a node for each time.
    fn notes(&self, times: &[i64]) {
        let times = times.to_vec();
        self.write(move |writer| {
            for (n, at) in times.iter().enumerate() {
                let expiry = Expiry::At(*at);
                let draft = NodeDraft::unlabelled(Some(format!("n{n}")), Draft::new());
                let labels = vec!["Note".to_owned()];
                writer.create_node(&NodeDraft { labels, expiry, ..draft })?;
            }
            Ok(())
        });
    }

    fn hidden(&self, at: i64) -> Vec<u32> {
        let snapshot = self.store.read().unwrap();
        let found = hidden(&snapshot, &self.names, NS, at).unwrap();
        found.map_or_else(Vec::new, |found| found.nodes.iter().collect())
    }
}

/// A day in 2100, in microseconds.
const DAY: i64 = 4_102_444_800_000_000;

#[test]
fn a_node_is_hidden_from_its_microsecond_on() {
    let bench = Bench::new();
    bench.notes(&[DAY, DAY + 1, DAY, DAY + 5]);
    assert_eq!(bench.hidden(DAY - 1), []);
    assert_eq!(bench.hidden(DAY), [0, 2]);
    assert_eq!(bench.hidden(DAY + 1), [0, 1, 2]);
    assert_eq!(bench.hidden(DAY + 4), [0, 1, 2]);
    assert_eq!(bench.hidden(i64::MAX), [0, 1, 2, 3]);
}

#[test]
fn deletions_come_in_the_order_of_time_in_bounded_steps_and_are_changes() {
    let bench = Bench::new();
    bench.notes(&[5, 4, DAY, 3, 2, 1]);
    let before = bench.store.read().unwrap().lsn().unwrap();
    for left in [2, 2, 1, 0] {
        assert_eq!(bench.write(|writer| writer.expire(2)), left);
    }
    let snapshot = bench.store.read().unwrap();
    let mut changes = Vec::new();
    snapshot
        .changes_after(Lsn(before.0), |_, change| {
            let change = change.unwrap();
            assert_eq!((change.kind, change.op), (Kind::Node, ChangeOp::Delete));
            changes.push(change.id.to_owned());
            Ok(true)
        })
        .unwrap();
    assert_eq!(changes, ["n5", "n4", "n3", "n1", "n0"]);
    assert!(snapshot.node(NS, Slot(2)).unwrap().is_some());
}

/// Chains close up over what is not seen, in both ways, and end where nothing is left.
#[test]
fn chains_close_up_before_anything_is_deleted() {
    let bench = Bench::new();
    let times = [DAY, DAY + 9, DAY, DAY, DAY + 9, DAY];
    bench.write(move |writer| {
        let chat = writer.ensure_chat("chat")?;
        for (n, at) in times.iter().enumerate() {
            let expiry = Expiry::At(*at);
            let draft = NodeDraft::unlabelled(Some(format!("m{n}")), Draft::new());
            writer.add_message(chat, "chat", &NodeDraft { expiry, ..draft })?;
        }
        // A ring that nobody is outside of.
        let edge = |source: &str, target: &str| embedded_db_indexing::graph::EdgeDraft {
            id: None,
            source: source.into(),
            target: target.into(),
            edge_type: "NEXT".into(),
            properties: Draft::new(),
            weight: 1.0,
            valid_from: None,
            valid_to: None,
            sources: Vec::new(),
        };
        writer.create_edge(&edge("m5", "m0")).map(drop)
    });
    let snapshot = bench.store.read().unwrap();
    let gone = hidden(&snapshot, &bench.names, NS, DAY).unwrap().unwrap();
    let seen = Visible::without(&snapshot, NS, gone);
    let next = |of: &str, way| {
        let node = seen.require_node(NS, of).unwrap();
        let end = seen.last_neighbor(NS, node, way, bench.names.next).unwrap()?;
        Some(seen.node(NS, end.node).unwrap().unwrap().id.to_owned())
    };
    assert_eq!(next("m1", Direction::Out).as_deref(), Some("m4"));
    assert_eq!(next("m4", Direction::In).as_deref(), Some("m1"));
    // Over m5 and m0, which a user has tied together.
    assert_eq!(next("m4", Direction::Out).as_deref(), Some("m1"));
    assert_eq!(seen.node_slot(NS, "m0").unwrap(), None);
}
