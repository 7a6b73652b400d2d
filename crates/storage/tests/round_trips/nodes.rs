//! Nodes, and the times at which they expire.

use std::cmp::Ordering;
use std::sync::Arc;

use embedded_db_common::{Error, MAX_PROPERTIES, Slot, Symbol, Value};
use embedded_db_storage::{
    ChangeOp, IndexId, ReadExpiries, ReadPostings, ReadTxn, Store, WriteTxn,
};
use proptest::prelude::*;

use crate::common::{self, NS, Scratch, changes, properties};
use crate::{any_value, seeded};

/// What a test expects of a node.
#[derive(Debug, Clone)]
struct ExpectedNode {
    id: String,
    labels: Vec<String>,
    values: Vec<(String, Value)>,
}

fn any_node() -> impl Strategy<Value = ExpectedNode> {
    let values = prop::collection::btree_map("[a-zé.]{1,12}", any_value(), 0..6);
    let labels = prop::collection::btree_set("[A-Z][a-zé]{0,9}", 1..4);
    ("[^\0]{1,60}", labels, values).prop_map(|(id, labels, values)| ExpectedNode {
        id,
        labels: labels.into_iter().collect(),
        values: values.into_iter().collect(),
    })
}

fn assert_node(txn: &impl ReadTxn, slot: Slot, expected: &ExpectedNode, version: u64) {
    assert_eq!(txn.node_slot(NS, &expected.id).unwrap(), Some(slot));
    let node = txn.node(NS, slot).unwrap().unwrap();
    assert_eq!((node.id, node.version), (expected.id.as_str(), version));
    let labels: Vec<String> =
        node.labels().map(|label| txn.symbol_name(label).unwrap().to_string()).collect();
    assert_eq!(labels, expected.labels);
    for label in &expected.labels {
        let symbol = txn.symbol(label).unwrap().unwrap();
        assert!(txn.posted(NS, IndexId::LABEL, &symbol.0.to_be_bytes(), slot).unwrap());
    }
    let mut found = Vec::new();
    for entry in node.properties.iter().unwrap() {
        let (symbol, value) = entry.unwrap();
        found.push((txn.symbol_name(symbol).unwrap().to_string(), value.to_value().unwrap()));
    }
    assert_eq!(found.len(), expected.values.len());
    for ((name, value), (wanted, of)) in found.iter().zip(&expected.values) {
        assert_eq!(name, wanted);
        assert_eq!(value.compare(of), Ordering::Equal, "{value:?} is not {of:?}");
    }
}

proptest! {
    #![proptest_config(seeded(60))]

    #[test]
    fn nodes_come_back_as_they_were(
        node in any_node(),
        later in any_node(),
        derived in any::<bool>(),
    ) {
        let mut scratch = Scratch::new();
        let (first, updated) = (node.clone(), ExpectedNode { values: later.values, ..node.clone() });
        let encode = |txn: &mut WriteTxn<'_>, node: &ExpectedNode| {
            let values: Vec<(&str, Value)> =
                node.values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            properties(txn, &values).unwrap()
        };
        let slot = scratch.store().write({
            let node = first.clone();
            move |txn| {
                let encoded = encode(txn, &node);
                let labels: Vec<Symbol> =
                    node.labels.iter().map(|label| txn.intern(label).unwrap()).collect();
                let slot = txn.insert_node(NS, &node.id, &labels, &encoded, derived, None)?;
                assert_node(txn, slot, &node, 1);
                Ok(slot)
            }
        }).unwrap();
        assert_node(&scratch.store().read().unwrap(), slot, &first, 1);
        let created = scratch.store().read().unwrap().node(NS, slot).unwrap().unwrap().created_at;
        scratch.reopen();
        assert_node(&scratch.store().read().unwrap(), slot, &first, 1);

        scratch.store().write({
            let node = updated.clone();
            move |txn| {
                let encoded = encode(txn, &node);
                txn.update_node(NS, slot, &encoded)?;
                assert_node(txn, slot, &node, 2);
                Ok(())
            }
        }).unwrap();
        scratch.reopen();
        let snapshot = scratch.store().read().unwrap();
        assert_node(&snapshot, slot, &updated, 2);
        let stored = snapshot.node(NS, slot).unwrap().unwrap();
        prop_assert_eq!(stored.created_at, created);
        prop_assert_eq!(stored.derived, derived);
        prop_assert!(stored.updated_at >= created);
        prop_assert_eq!(changes(&snapshot).len(), 2);
    }
}

#[test]
fn touching_a_node_changes_neither_its_version_nor_its_time() {
    let scratch = Scratch::new();
    let slot = common::node(scratch.store(), NS, "n").unwrap();
    let read = || {
        let snapshot = scratch.store().read().unwrap();
        let node = snapshot.node(NS, slot).unwrap().unwrap();
        (node.version, node.created_at, node.updated_at, node.properties.as_bytes().to_vec())
    };
    let before = read();
    // The clock counts microseconds; a few writes move it on.
    while scratch.store().write(|txn| Ok(txn.now())).unwrap() == before.2 {}
    let encoded = scratch
        .store()
        .write(move |txn| {
            let encoded = properties(txn, &[("count", Value::Int(7))])?;
            txn.touch_node(NS, slot, &encoded)?;
            Ok(encoded)
        })
        .unwrap();
    assert_eq!(read(), (before.0, before.1, before.2, encoded));
}

#[test]
fn a_node_is_listed_under_the_time_at_which_it_expires() {
    let mut scratch = Scratch::new();
    let times = [Some(i64::MAX), None, Some(-3), Some(0), Some(-3), Some(i64::MIN)];
    scratch
        .store()
        .write(move |txn| {
            let label = txn.intern("Thing")?;
            for (n, at) in times.iter().enumerate() {
                txn.insert_node(NS, &format!("n{n}"), &[label], &[], false, *at)?;
            }
            Ok(())
        })
        .unwrap();
    let listed = |store: &Arc<Store>, from: i64| {
        let (snapshot, mut out) = (store.read().unwrap(), Vec::new());
        snapshot
            .expiries(NS, from, |at, slot| {
                out.push((at, slot.0));
                true
            })
            .unwrap();
        out
    };
    let all = [(i64::MIN, 5), (-3, 2), (-3, 4), (0, 3), (i64::MAX, 0)];
    assert_eq!(listed(scratch.store(), i64::MIN), all);
    assert_eq!(listed(scratch.store(), -2), all[3..]);
    let first = scratch.store().read().unwrap().first_expiries().unwrap();
    assert_eq!(first, [(NS, i64::MIN)]);
    scratch.reopen();
    let of = |store: &Arc<Store>, slot| {
        let snapshot = store.read().unwrap();
        let node = snapshot.node(NS, Slot(slot)).unwrap().unwrap();
        (node.expires_at, node.version)
    };
    assert_eq!(of(scratch.store(), 2), (Some(-3), 1));
    scratch
        .store()
        .write(|txn| {
            txn.set_expiry(NS, Slot(5), Some(9))?;
            txn.set_expiry(NS, Slot(2), None)?;
            // Other changes leave the time.
            txn.update_node(NS, Slot(3), &[])?;
            txn.touch_node(NS, Slot(3), &[])?;
            txn.delete_node(NS, Slot(4))
        })
        .unwrap();
    assert_eq!(listed(scratch.store(), i64::MIN), [(0, 3), (9, 5), (i64::MAX, 0)]);
    assert_eq!(of(scratch.store(), 5), (Some(9), 2));
    assert_eq!(of(scratch.store(), 2), (None, 2));
    assert_eq!(of(scratch.store(), 3), (Some(0), 2));
    scratch.store().write(|txn| txn.drop_namespace("default")).unwrap();
    assert!(!scratch.store().read().unwrap().has_expiries().unwrap());
}

#[test]
fn a_taken_id_is_refused_and_a_free_one_can_be_used_again() {
    let scratch = Scratch::new();
    let first = common::node(scratch.store(), NS, "a").unwrap();
    let error = common::node(scratch.store(), NS, "a").unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { kind: "node", ref id } if id == "a"), "{error}");
    scratch.store().write(move |txn| txn.delete_node(NS, first)).unwrap();
    let second = common::node(scratch.store(), NS, "a").unwrap();
    assert_ne!(first, second, "a slot is given once");
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(snapshot.node_slot(NS, "a").unwrap(), Some(second));
    assert!(snapshot.node(NS, first).unwrap().is_none());
    assert_eq!(snapshot.namespace_counters(NS).unwrap().nodes, 1);
    let ops: Vec<ChangeOp> = changes(&snapshot).into_iter().map(|change| change.op).collect();
    assert_eq!(ops, [ChangeOp::Put, ChangeOp::Delete, ChangeOp::Put]);
}

#[test]
fn a_property_set_beyond_the_limit_is_refused_and_leaves_nothing() {
    let scratch = Scratch::new();
    let error = scratch
        .store()
        .write(|txn| {
            let label = txn.intern("Thing")?;
            txn.insert_node(NS, "big", &[label], &vec![0; MAX_PROPERTIES + 1], false, None)
        })
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::ValueTooLarge { .. }), "{text}");
    assert!(text.contains("big") && text.contains("67108865") && text.contains("67108864"));
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(snapshot.node_slot(NS, "big").unwrap(), None);
    assert_eq!(snapshot.symbol("Thing").unwrap(), None);
    assert_eq!(changes(&snapshot), []);
}
