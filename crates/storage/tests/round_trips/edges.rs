//! Edges.

use std::cmp::Ordering;

use embedded_db_common::{Slot, SpaceId, Value};
use embedded_db_storage::{Direction, EdgeFields, EdgeTimes, Kind, ReadTxn, Resolved};
use proptest::prelude::*;

use crate::common::{NS, Scratch, bare_node, changes, neighbors, properties};
use crate::{any_value, seeded};

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
