//! What is written is read back: nodes, edges, vectors and packed neighbours, inside the transaction
//! that wrote them, in a later snapshot, and after the store was opened anew.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::cmp::Ordering;

use common::{NS, Scratch, bare_edge, bare_node, changes, neighbors, properties, space};
use std::sync::Arc;

use embedded_db_common::{ContentHash, Error, MAX_PROPERTIES, Slot, SpaceId, Symbol, Value};
use embedded_db_storage::{
    ChangeOp, Direction, EdgeFields, EdgeTimes, IndexId, Kind, Neighbor, ReadTxn, Resolved, Store,
    WorkRecord, WorkState, WriteTxn,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn seeded(cases: u32) -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(20), ..ProptestConfig::with_cases(cases) }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        any::<i64>().prop_map(Value::Time),
        any::<String>().prop_map(Value::Str),
        any::<Vec<u8>>().prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

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

#[derive(Debug, Clone)]
struct ExpectedEdge {
    weight: f64,
    times: EdgeTimes,
    sources: Vec<String>,
    derived: bool,
    value: Value,
}

fn any_edge() -> impl Strategy<Value = ExpectedEdge> {
    let times = (any::<Option<i64>>(), any::<Option<i64>>(), any::<i64>(), any::<Option<i64>>());
    let weight = any::<f64>().prop_filter("weights are finite", |weight| weight.is_finite());
    let sources = prop::collection::vec("[^\0]{1,30}", 0..4);
    let fields = (weight, times, sources, any::<bool>(), any_value());
    fields.prop_map(|(weight, times, sources, derived, value)| {
        let (valid_from, valid_to, recorded_at, retracted_at) = times;
        let times = EdgeTimes { valid_from, valid_to, recorded_at, retracted_at };
        ExpectedEdge { weight, times, sources, derived, value }
    })
}

fn assert_edge(
    txn: &impl ReadTxn,
    slot: Slot,
    expected: &ExpectedEdge,
    version: u64,
    ends: [Slot; 2],
) {
    let resolved = txn.resolve(NS, Kind::Edge, "e").unwrap();
    assert_eq!(resolved, Some(Resolved { slot, space: SpaceId(0), part: 0 }));
    let edge = txn.edge(NS, slot).unwrap().unwrap();
    assert_eq!((edge.id, edge.version), ("e", version));
    assert_eq!([edge.source, edge.target], ends);
    assert_eq!(&*txn.symbol_name(edge.edge_type).unwrap(), "KNOWS");
    assert_eq!(edge.weight.to_bits(), expected.weight.to_bits());
    assert_eq!((edge.times, edge.derived), (expected.times, expected.derived));
    assert_eq!(edge.sources().collect::<Vec<_>>(), expected.sources);
    let symbol = txn.symbol("value").unwrap().unwrap();
    let value = edge.properties.get(symbol).unwrap().unwrap().to_value().unwrap();
    assert_eq!(value.compare(&expected.value), Ordering::Equal);
}

proptest! {
    #![proptest_config(seeded(60))]

    #[test]
    fn edges_come_back_as_they_were(first in any_edge(), second in any_edge()) {
        let mut scratch = Scratch::new();
        let write = |edge: ExpectedEdge, old: Option<(Slot, [Slot; 2])>| {
            scratch.store().write(move |txn| {
                let ends = match old {
                    Some((_, ends)) => ends,
                    None => [bare_node(txn, NS, "a")?, bare_node(txn, NS, "b")?],
                };
                let encoded = properties(txn, &[("value", edge.value.clone())])?;
                let fields = EdgeFields {
                    source: ends[0],
                    target: ends[1],
                    edge_type: txn.intern("KNOWS")?,
                    weight: edge.weight,
                    times: edge.times,
                    sources: edge.sources.iter().map(String::as_str).collect(),
                    derived: edge.derived,
                    properties: &encoded,
                };
                let slot = match old {
                    Some((slot, _)) => {
                        txn.update_edge(NS, slot, 2, "e", &fields)?;
                        slot
                    }
                    None => txn.insert_edge(NS, "e", &fields)?,
                };
                Ok((slot, ends, txn.now()))
            }).unwrap()
        };
        let (slot, ends, _) = write(first.clone(), None);
        assert_edge(&scratch.store().read().unwrap(), slot, &first, 1, ends);
        let (.., now) = write(second.clone(), Some((slot, ends)));
        let second = ExpectedEdge {
            times: EdgeTimes { recorded_at: now, ..second.times },
            ..second
        };
        scratch.reopen();
        let snapshot = scratch.store().read().unwrap();
        assert_edge(&snapshot, slot, &second, 2, ends);
        let listed = neighbors(&snapshot, ends[0], Direction::Out, None);
        prop_assert_eq!(listed.len(), 1, "an update lists the edge no second time");
        prop_assert_eq!(changes(&snapshot).len(), 4);
    }
}

#[test]
fn vectors_come_back_part_by_part() {
    let mut scratch = Scratch::new();
    let vectors = [[1.5f32, -0.0, f32::MIN_POSITIVE], [f32::MAX, 2.0, -3.25]];
    let hash = ContentHash::of("text");
    let (node, space_id) = scratch
        .store()
        .write(move |txn| {
            let node = bare_node(txn, NS, "n")?;
            let space_id = txn.create_space(&space("s", 3))?;
            for (part, vector) in (0..).zip(&vectors) {
                let id = format!("v{part}");
                txn.put_embedding(NS, space_id, node, part, &id, part == 1, hash, vector)?;
            }
            txn.put_text_hash(NS, space_id, hash, node)?;
            Ok((node, space_id))
        })
        .unwrap();
    scratch.reopen();
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(snapshot.spaces().unwrap(), [(space_id, space("s", 3))]);
    assert_eq!(snapshot.embedding_of_text(NS, space_id, hash).unwrap(), Some(node));
    let parts = snapshot.embeddings_of(NS, space_id, node).unwrap();
    assert_eq!(parts.len(), 2);
    for ((part, found), (expected, vector)) in parts.iter().zip((0..).zip(&vectors)) {
        assert_eq!(*part, expected);
        assert_eq!(found.id, format!("v{expected}"));
        assert_eq!((found.set_by_user, found.content), (expected == 1, hash));
        let bits: Vec<u32> = found.values().map(f32::to_bits).collect();
        assert_eq!(bits, vector.map(f32::to_bits));
        let mut copy = [0.0; 3];
        assert!(found.copy_to(&mut copy) && copy == *vector);
        assert!(!found.copy_to(&mut [0.0; 2]), "a wrong dimension is not filled");
        let resolved = snapshot.resolve(NS, Kind::Embedding, found.id).unwrap();
        assert_eq!(resolved, Some(Resolved { slot: node, space: space_id, part: expected }));
    }
    assert_eq!(snapshot.namespace_counters(NS).unwrap().embeddings, 2);
}

#[test]
fn a_vector_put_in_place_of_another_leaves_nothing_of_it() {
    let scratch = Scratch::new();
    let (old, new) = (ContentHash::of("old"), ContentHash::of("new"));
    let (node, space_id) = scratch
        .store()
        .write(move |txn| {
            let node = bare_node(txn, NS, "n")?;
            let space_id = txn.create_space(&space("s", 1))?;
            txn.put_embedding(NS, space_id, node, 0, "v1", false, old, &[1.0])?;
            txn.put_text_hash(NS, space_id, old, node)?;
            txn.put_embedding(NS, space_id, node, 0, "v2", true, new, &[2.0])?;
            Ok((node, space_id))
        })
        .unwrap();
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(snapshot.resolve(NS, Kind::Embedding, "v1").unwrap(), None);
    let found = snapshot.embedding(NS, space_id, node, 0).unwrap().unwrap();
    assert_eq!((found.id, found.values().collect::<Vec<_>>()), ("v2", vec![2.0]));
    assert_eq!(snapshot.namespace_counters(NS).unwrap().embeddings, 1);
    let of_old = snapshot.embedding_of_text(NS, space_id, old).unwrap();
    assert_eq!(of_old, None, "the node has no vector of the old text any more");
}

#[test]
fn the_id_of_a_vector_belongs_to_one_node() {
    let scratch = Scratch::new();
    let hash = ContentHash([0; 16]);
    let (a, b, space_id) = scratch
        .store()
        .write(move |txn| {
            let (a, b) = (bare_node(txn, NS, "a")?, bare_node(txn, NS, "b")?);
            let space_id = txn.create_space(&space("s", 1))?;
            txn.put_embedding(NS, space_id, a, 0, "v", false, hash, &[1.0])?;
            Ok((a, b, space_id))
        })
        .unwrap();
    let error = scratch
        .store()
        .write(move |txn| txn.put_embedding(NS, space_id, b, 0, "v", false, hash, &[2.0]))
        .unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { kind: "embedding", .. }), "{error}");
    let removed = scratch.store().write(move |txn| txn.delete_embeddings(NS, space_id, a)).unwrap();
    assert_eq!(removed, 1);
    let removed = scratch.store().write(move |txn| txn.delete_embeddings(NS, space_id, a)).unwrap();
    assert_eq!(removed, 0);
    scratch
        .store()
        .write(move |txn| txn.put_embedding(NS, space_id, b, 0, "v", false, hash, &[2.0]))
        .unwrap();
    assert_eq!(scratch.store().read().unwrap().namespace_counters(NS).unwrap().embeddings, 1);
}

#[test]
fn work_records_come_back_until_they_are_forgotten() {
    let mut scratch = Scratch::new();
    let record = WorkRecord { state: WorkState::Dead, attempts: 3, due: -5, error: "nö".into() };
    let stored = record.clone();
    scratch.store().write(move |txn| txn.put_work(NS, Slot(9), 2, &stored)).unwrap();
    scratch.reopen();
    let mut all = Vec::new();
    let snapshot = scratch.store().read().unwrap();
    snapshot
        .scan_work(|namespace, slot, artefact, work| {
            all.push((namespace, slot, artefact, work));
            Ok(())
        })
        .unwrap();
    assert_eq!(all, [(NS, Slot(9), 2, record)]);
    assert!(scratch.store().write(|txn| txn.delete_work(NS, Slot(9), 2)).unwrap());
    assert!(!scratch.store().write(|txn| txn.delete_work(NS, Slot(9), 2)).unwrap());
    assert_eq!(scratch.store().read().unwrap().work(NS, Slot(9), 2).unwrap(), None);
}

// ---- neighbours

/// A hub with `count` edges to itself, to one other node and to many, all of one type.
fn hub(scratch: &Scratch, count: u32) -> (Slot, Symbol, Vec<Neighbor>) {
    scratch
        .store()
        .write(move |txn| {
            let hub = bare_node(txn, NS, "hub")?;
            let edge_type = txn.intern("T")?;
            let spokes: Vec<Slot> = (0..7)
                .map(|n| bare_node(txn, NS, &format!("spoke{n}")))
                .collect::<Result<_, _>>()?;
            let mut expected = Vec::new();
            for n in 0..count {
                let target = if n % 10 == 3 { hub } else { spokes[n as usize % spokes.len()] };
                let id = format!("e{n}");
                let edge = bare_edge(txn, NS, &id, hub, target, edge_type)?;
                expected.push(Neighbor { node: target, edge });
            }
            Ok((hub, edge_type, expected))
        })
        .unwrap()
}

fn listed(txn: &impl ReadTxn, node: Slot, direction: Direction, of: Symbol) -> Vec<Neighbor> {
    neighbors(txn, node, direction, Some(of)).into_iter().map(|(_, neighbor)| neighbor).collect()
}

#[test]
fn neighbours_keep_their_order_across_the_ends_of_chunks() {
    // A chunk holds 506.
    for count in [1, 2, 505, 506, 507, 508, 1011, 1012, 1013, 1100] {
        let mut scratch = Scratch::new();
        let (hub, of, expected) = hub(&scratch, count);
        scratch.reopen();
        let snapshot = scratch.store().read().unwrap();
        assert_eq!(listed(&snapshot, hub, Direction::Out, of), expected, "{count} edges");
        let loops: Vec<Neighbor> = expected.iter().filter(|n| n.node == hub).copied().collect();
        assert_eq!(listed(&snapshot, hub, Direction::In, of), loops, "{count} edges");
        let last = snapshot.last_neighbor(NS, hub, Direction::Out, of).unwrap();
        assert_eq!(last, expected.last().copied());
        for after in [0, 1, 504, 505, 506, 507, 1011, 1012, count.saturating_sub(1)] {
            let Some(from) = expected.get(after as usize).copied() else { continue };
            let mut rest = Vec::new();
            snapshot
                .neighbors_after(NS, hub, Direction::Out, of, Some(from.edge), |neighbor| {
                    rest.push(neighbor);
                    true
                })
                .unwrap();
            assert_eq!(rest, expected[after as usize + 1..], "{count} edges after {after}");
            let before: Vec<Neighbor> = expected[..after as usize].iter().rev().copied().collect();
            assert_eq!(newest(&snapshot, hub, of, Some(from.edge)), before, "before {after}");
        }
    }
}

/// The neighbours before an edge, or all, newest first.
fn newest(txn: &impl ReadTxn, node: Slot, of: Symbol, before: Option<Slot>) -> Vec<Neighbor> {
    let mut out = Vec::new();
    txn.neighbors_before(NS, node, Direction::Out, of, before, |neighbor| {
        out.push(neighbor);
        true
    })
    .unwrap();
    out
}

#[test]
fn the_newest_neighbours_are_read_without_the_others() {
    let scratch = Scratch::new();
    let (hub, of, mut expected) = hub(&scratch, 1_100);
    // A whole chunk is gone, and the ends of those beside it.
    let gone: Vec<Slot> = expected[500..1_020].iter().map(|neighbor| neighbor.edge).collect();
    scratch
        .store()
        .write(move |txn| gone.iter().try_for_each(|edge| txn.delete_edge(NS, *edge)))
        .unwrap();
    let taken: Vec<Neighbor> = expected.drain(500..1_020).collect();
    let snapshot = scratch.store().read().unwrap();
    let mut visited = 0;
    snapshot
        .neighbors_before(NS, hub, Direction::Out, of, None, |neighbor| {
            visited += 1;
            assert_eq!(Some(&neighbor), expected.get(expected.len() - visited));
            visited < 85
        })
        .unwrap();
    assert_eq!(visited, 85, "it ends when it is told to, in the chunk before the last");
    expected.reverse();
    assert_eq!(newest(&snapshot, hub, of, None), expected);
    for before in [taken[0], taken[519]] {
        let before = newest(&snapshot, hub, of, Some(before.edge));
        assert_eq!(before, expected[80..], "a place that nothing is in any more");
    }
    assert_eq!(newest(&snapshot, hub, of, Some(Slot(0))), []);
}

/// A chunk fits a page: adding an edge to a node with a million rewrites 4 KiB.
#[test]
fn a_node_with_many_neighbours_spans_chunks() {
    let scratch = Scratch::new();
    let (a, b, of) = scratch
        .store()
        .write(|txn| Ok((bare_node(txn, NS, "a")?, bare_node(txn, NS, "b")?, txn.intern("T")?)))
        .unwrap();
    let mut edges = 0;
    for (until, chunks) in [(506, 1), (507, 2), (1012, 2), (1013, 3)] {
        let from = std::mem::replace(&mut edges, until);
        scratch
            .store()
            .write(move |txn| {
                (from..until)
                    .try_for_each(|n| bare_edge(txn, NS, &format!("e{n}"), a, b, of).map(drop))
            })
            .unwrap();
        let rows = embedded_db_storage::row_counts(&scratch.store().read().unwrap()).unwrap();
        // At both ends.
        assert!(rows.contains(&("adjacency", 2 * chunks)), "{until} edges: {rows:?}");
    }
}

#[test]
fn edges_taken_from_the_middle_leave_the_others_in_order() {
    let scratch = Scratch::new();
    let (hub, of, mut expected) = hub(&scratch, 1_100);
    // The first and last of each chunk, a whole chunk, and every third of the rest.
    let gone = |n: usize| {
        [0, 505, 506, 1099].contains(&n) || (506..1012).contains(&n) || n.is_multiple_of(3)
    };
    let removed: Vec<Slot> =
        (0..).zip(&expected).filter(|(n, _)| gone(*n)).map(|(_, e)| e.edge).collect();
    for batch in removed.chunks(97) {
        let batch = batch.to_vec();
        scratch
            .store()
            .write(move |txn| batch.iter().try_for_each(|edge| txn.delete_edge(NS, *edge)))
            .unwrap();
    }
    expected.retain(|neighbor| !removed.contains(&neighbor.edge));
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(listed(&snapshot, hub, Direction::Out, of), expected);
    assert_eq!(snapshot.namespace_counters(NS).unwrap().edges, expected.len() as u64);
    drop(snapshot);
    // New edges still come last, though whole chunks are gone.
    let added = scratch
        .store()
        .write(move |txn| {
            let edge = bare_edge(txn, NS, "again", hub, hub, of)?;
            Ok(Neighbor { node: hub, edge })
        })
        .unwrap();
    expected.push(added);
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(listed(&snapshot, hub, Direction::Out, of), expected);
}

#[test]
fn all_edges_can_go_and_come_again() {
    let scratch = Scratch::new();
    let (hub, of, expected) = hub(&scratch, 1_013);
    scratch
        .store()
        .write(move |txn| {
            // From both ends, so that chunks empty in the middle.
            for n in 0..expected.len() {
                let at = if n % 2 == 0 { n / 2 } else { expected.len() - 1 - n / 2 };
                txn.delete_edge(NS, expected[at].edge)?;
            }
            Ok(())
        })
        .unwrap();
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(listed(&snapshot, hub, Direction::Out, of), []);
    assert_eq!(snapshot.last_neighbor(NS, hub, Direction::Out, of).unwrap(), None);
    assert_eq!(snapshot.namespace_counters(NS).unwrap().edges, 0);
    let rows = embedded_db_storage::row_counts(&snapshot).unwrap();
    assert!(rows.contains(&("adjacency", 0)) && rows.contains(&("edges", 0)), "{rows:?}");
    drop(snapshot);
    let edge = scratch.store().write(move |txn| bare_edge(txn, NS, "e0", hub, hub, of)).unwrap();
    let snapshot = scratch.store().read().unwrap();
    let own = [Neighbor { node: hub, edge }];
    assert_eq!(listed(&snapshot, hub, Direction::Out, of), own);
    assert_eq!(listed(&snapshot, hub, Direction::In, of), own);
}

#[test]
fn deleting_a_node_takes_all_its_edges_from_the_other_ends() {
    let scratch = Scratch::new();
    let (hub, of, expected) = hub(&scratch, 700);
    scratch.store().write(move |txn| txn.delete_node(NS, hub)).unwrap();
    let snapshot = scratch.store().read().unwrap();
    for neighbor in &expected {
        assert!(snapshot.edge(NS, neighbor.edge).unwrap().is_none());
        assert_eq!(listed(&snapshot, neighbor.node, Direction::In, of), []);
    }
    let counters = snapshot.namespace_counters(NS).unwrap();
    assert_eq!((counters.nodes, counters.edges), (7, 0));
    changes(&snapshot);
}

#[derive(Debug, Clone)]
enum EdgeStep {
    Add { source: usize, target: usize, edge_type: usize },
    Remove(prop::sample::Index),
    RemoveNode(usize),
    Reopen,
}

fn any_edge_step() -> impl Strategy<Value = EdgeStep> {
    prop_oneof![
        20 => (0..4usize, 0..4usize, 0..2usize)
            .prop_map(|(source, target, edge_type)| EdgeStep::Add { source, target, edge_type }),
        12 => any::<prop::sample::Index>().prop_map(EdgeStep::Remove),
        1 => (0..4usize).prop_map(EdgeStep::RemoveNode),
        1 => Just(EdgeStep::Reopen),
    ]
}

proptest! {
    #![proptest_config(seeded(40))]

    /// Against a plain list of edges.
    #[test]
    fn neighbours_are_those_of_a_list(steps in prop::collection::vec(any_edge_step(), 1..120)) {
        let mut scratch = Scratch::new();
        let mut nodes: Vec<Slot> =
            (0..4).map(|n| common::node(scratch.store(), NS, &format!("n{n}")).unwrap()).collect();
        let types: [Symbol; 2] = scratch
            .store()
            .write(|txn| Ok([txn.intern("T0")?, txn.intern("T1")?]))
            .unwrap();
        let mut model: Vec<(Slot, Slot, Symbol, Slot)> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                EdgeStep::Add { source, target, edge_type } => {
                    let (source, target, of) = (nodes[source], nodes[target], types[edge_type]);
                    let edge = scratch
                        .store()
                        .write(move |txn| bare_edge(txn, NS, &format!("e{n}"), source, target, of))
                        .unwrap();
                    model.push((source, target, of, edge));
                }
                EdgeStep::Remove(at) if !model.is_empty() => {
                    let (.., edge) = model.remove(at.index(model.len()));
                    scratch.store().write(move |txn| txn.delete_edge(NS, edge)).unwrap();
                }
                EdgeStep::Remove(_) => {}
                EdgeStep::RemoveNode(at) => {
                    let gone = nodes[at];
                    scratch.store().write(move |txn| txn.delete_node(NS, gone)).unwrap();
                    model.retain(|(source, target, ..)| *source != gone && *target != gone);
                    nodes[at] = common::node(scratch.store(), NS, &format!("n{at}")).unwrap();
                }
                EdgeStep::Reopen => scratch.reopen(),
            }
        }
        let snapshot = scratch.store().read().unwrap();
        for node in &nodes {
            for of in types {
                let out: Vec<Neighbor> = model
                    .iter()
                    .filter(|(source, _, edge_type, _)| source == node && *edge_type == of)
                    .map(|(_, target, _, edge)| Neighbor { node: *target, edge: *edge })
                    .collect();
                prop_assert_eq!(listed(&snapshot, *node, Direction::Out, of), out);
                let into: Vec<Neighbor> = model
                    .iter()
                    .filter(|(_, target, edge_type, _)| target == node && *edge_type == of)
                    .map(|(source, _, _, edge)| Neighbor { node: *source, edge: *edge })
                    .collect();
                prop_assert_eq!(listed(&snapshot, *node, Direction::In, of), into);
            }
        }
        prop_assert_eq!(snapshot.namespace_counters(NS).unwrap().edges, model.len() as u64);
        changes(&snapshot);
        drop(snapshot);
        let all = nodes.clone();
        scratch
            .store()
            .write(move |txn| all.iter().try_for_each(|node| txn.delete_node(NS, *node)))
            .unwrap();
        let counters = scratch.store().read().unwrap().namespace_counters(NS).unwrap();
        prop_assert_eq!((counters.nodes, counters.edges, counters.bytes), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(seeded(30))]

    /// Around the sizes at which a container changes its form (512 slots) and its end (8,192).
    #[test]
    fn postings_are_sets_of_slots(
        ranges in prop::collection::vec((0u32..20_000, 1u32..900, any::<bool>()), 1..8)
    ) {
        let scratch = Scratch::new();
        let mut model = std::collections::BTreeSet::new();
        for (start, length, present) in ranges {
            for slot in start..start + length {
                if present { model.insert(slot) } else { model.remove(&slot) };
            }
            scratch.store().write(move |txn| {
                for slot in start..start + length {
                    if present {
                        txn.post(NS, IndexId(300), b"value", Slot(slot))?;
                    } else {
                        txn.unpost(NS, IndexId(300), b"value", Slot(slot))?;
                    }
                }
                Ok(())
            }).unwrap();
        }
        let snapshot = scratch.store().read().unwrap();
        let mut found = Vec::new();
        snapshot.containers(NS, IndexId(300), b"value", |container| {
            assert!(!container.is_empty());
            assert_eq!(container.len(), container.slots().count());
            found.extend(container.slots());
            true
        }).unwrap();
        prop_assert_eq!(found, model.iter().copied().collect::<Vec<_>>());
        for slot in [0, 8_191, 8_192, 19_999] {
            prop_assert_eq!(
                snapshot.posted(NS, IndexId(300), b"value", Slot(slot)).unwrap(),
                model.contains(&slot)
            );
        }
    }
}
