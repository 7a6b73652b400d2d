//! Neighbours, packed in chunks.

use embedded_db_common::{Slot, Symbol};
use embedded_db_storage::{Direction, Neighbor, ReadTxn};
use proptest::prelude::*;

use crate::common::{self, NS, Scratch, bare_edge, bare_node, changes, neighbors};
use crate::seeded;

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
    // A chunk holds 120.
    for count in [1, 2, 119, 120, 121, 122, 239, 240, 241, 1100] {
        let mut scratch = Scratch::new();
        let (hub, of, expected) = hub(&scratch, count);
        scratch.reopen();
        let snapshot = scratch.store().read().unwrap();
        assert_eq!(listed(&snapshot, hub, Direction::Out, of), expected, "{count} edges");
        let loops: Vec<Neighbor> = expected.iter().filter(|n| n.node == hub).copied().collect();
        assert_eq!(listed(&snapshot, hub, Direction::In, of), loops, "{count} edges");
        let last = snapshot.last_neighbor(NS, hub, Direction::Out, of).unwrap();
        assert_eq!(last, expected.last().copied());
        for after in [0, 1, 118, 119, 120, 121, 239, 240, count.saturating_sub(1)] {
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

/// A chunk is short: adding an edge to a node with a million rewrites 1 KiB.
#[test]
fn a_node_with_many_neighbours_spans_chunks() {
    let scratch = Scratch::new();
    let (a, b, of) = scratch
        .store()
        .write(|txn| Ok((bare_node(txn, NS, "a")?, bare_node(txn, NS, "b")?, txn.intern("T")?)))
        .unwrap();
    let mut edges = 0;
    for (until, chunks) in [(120, 1), (121, 2), (240, 2), (241, 3)] {
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
        [0, 119, 120, 1099].contains(&n) || (120..240).contains(&n) || n.is_multiple_of(3)
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
