//! Edges in memory that were brought from state to state are those that are read of the last one.

use std::sync::Arc;

use embedded_db_common::{Draft, Options};
use embedded_db_storage::Store;
use proptest::prelude::*;

use super::*;
use crate::graph::{EdgeChanges, EdgeDraft, GraphWriter, NodeDraft};
use crate::schema::Names;

const NS: NamespaceId = NamespaceId::DEFAULT;
const PLENTY: usize = 1 << 30;
const NODES: u8 = 6;
const EDGES: u8 = 10;

/// One write, of nodes and edges by small numbers; what is not there is left alone.
#[derive(Debug, Clone)]
enum Write {
    Edge { id: u8, ends: (u8, u8), weight: f64, from: Option<i64> },
    Weight(u8, f64),
    Until(u8, i64),
    Retract(u8),
    Delete(u8),
    DeleteNode(u8),
    Node(u8),
}

fn any_write() -> impl Strategy<Value = Write> {
    let weight = prop_oneof![Just(0.0), Just(-1.0), Just(1.0), Just(2.5), Just(1e300)];
    let ends = (0..NODES, 0..NODES);
    let from = prop_oneof![Just(None), (1_i64..9).prop_map(Some)];
    let edge = (0..EDGES, ends, weight.clone(), from);
    prop_oneof![
        6 => edge.prop_map(|(id, ends, weight, from)| Write::Edge { id, ends, weight, from }),
        2 => (0..EDGES, weight).prop_map(|(id, weight)| Write::Weight(id, weight)),
        1 => (0..EDGES, 20_i64..30).prop_map(|(id, at)| Write::Until(id, at)),
        1 => (0..EDGES).prop_map(Write::Retract),
        1 => (0..EDGES).prop_map(Write::Delete),
        1 => (0..NODES).prop_map(Write::DeleteNode),
        1 => (0..NODES).prop_map(Write::Node),
    ]
}

struct Bench {
    store: Arc<Store>,
    names: Names,
}

impl Bench {
    fn new() -> Self {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        let names = store.write(|txn| {
            let names = Names::create(txn)?;
            txn.create_namespace("default")?;
            Ok(names)
        });
        let bench = Self { store, names: names.unwrap() };
        (0..NODES).for_each(|node| bench.write(&Write::Node(node)));
        bench
    }

    fn write(&self, write: &Write) {
        let (names, write) = (self.names, write.clone());
        let written = self.store.write(move |txn| {
            let mut writer = GraphWriter::new(txn, &names, NS);
            let slot = |writer: &GraphWriter<'_, '_>, kind, id: &str| {
                Ok::<_, Error>(writer.txn.resolve(NS, kind, id)?.map(|found| found.slot))
            };
            let edge =
                |writer: &GraphWriter<'_, '_>, id: u8| slot(writer, Kind::Edge, &format!("e{id}"));
            let node =
                |writer: &GraphWriter<'_, '_>, id: u8| slot(writer, Kind::Node, &format!("n{id}"));
            let change = |writer: &mut GraphWriter<'_, '_>, id, change: &EdgeChanges| {
                let Some(found) = edge(writer, id)? else { return Ok(()) };
                match writer.txn.stored_edge(NS, found)?.times.retracted_at {
                    Some(_) => Ok(()),
                    None => writer.update_edge(found, change),
                }
            };
            match &write {
                Write::Edge { id, ends: (from, to), weight, from: valid_from } => {
                    let there = node(&writer, *from)?.is_some() && node(&writer, *to)?.is_some();
                    if there && edge(&writer, *id)?.is_none() {
                        writer.create_edge(&EdgeDraft {
                            id: Some(format!("e{id}")),
                            source: format!("n{from}"),
                            target: format!("n{to}"),
                            edge_type: ["KNOWS", "LIKES"][usize::from(id % 2)].into(),
                            properties: Draft::new(),
                            weight: *weight,
                            valid_from: *valid_from,
                            valid_to: None,
                            sources: Vec::new(),
                        })?;
                    }
                }
                Write::Weight(id, weight) => {
                    let new = EdgeChanges { weight: Some(*weight), ..EdgeChanges::default() };
                    change(&mut writer, *id, &new)?;
                }
                Write::Until(id, at) => {
                    let new = EdgeChanges { valid_to: Some(Some(*at)), ..EdgeChanges::default() };
                    change(&mut writer, *id, &new)?;
                }
                Write::Retract(id) => {
                    if let Some(found) = edge(&writer, *id)?
                        && writer.txn.stored_edge(NS, found)?.times.retracted_at.is_none()
                    {
                        writer.retract_edge(found)?;
                    }
                }
                Write::Delete(id) => {
                    if let Some(found) = edge(&writer, *id)? {
                        writer.delete_edge(found)?;
                    }
                }
                Write::DeleteNode(id) => {
                    if let Some(found) = node(&writer, *id)? {
                        writer.delete_node(found)?;
                    }
                }
                Write::Node(id) => {
                    if node(&writer, *id)?.is_none() {
                        let draft = NodeDraft::unlabelled(Some(format!("n{id}")), Draft::new());
                        writer.create_node(&NodeDraft { labels: vec!["N".into()], ..draft })?;
                    }
                }
            }
            Ok(())
        });
        written.unwrap();
    }

    fn at(&self, held: &HeldEdges) -> Arc<Edges> {
        held.at(&self.store.read().unwrap(), NS, &|| Ok(())).unwrap()
    }
}

/// All that can be read of edges, in one order.
fn told(edges: &Edges) -> (Vec<(u32, Vec<String>)>, usize, usize) {
    let rows = (0..edges.slots() as u32 + 2).map(|node| {
        let mut row: Vec<End> = edges.row(Slot(node)).collect();
        assert_eq!(row.len(), edges.degree(Slot(node)));
        row.sort_by_key(|end| end.edge);
        let row = row.iter().map(|end| format!("{end:?} {:?}", edges.times(end)));
        (node, row.collect::<Vec<_>>())
    });
    let rows: Vec<_> = rows.filter(|(_, row)| !row.is_empty()).collect();
    assert_eq!(rows.len(), edges.connected());
    (rows, edges.edges(), edges.connected())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn following_the_changes_gives_what_reading_anew_gives(
        steps in prop::collection::vec(prop::collection::vec(any_write(), 1..4), 1..12)
    ) {
        let bench = Bench::new();
        let held = HeldEdges::new(PLENTY);
        bench.at(&held);
        let mut kept = Vec::new();
        for step in steps {
            step.iter().for_each(|write| bench.write(write));
            let (followed, anew) = (bench.at(&held), bench.at(&HeldEdges::new(PLENTY)));
            prop_assert_eq!(told(&followed), told(&anew));
            prop_assert_eq!(told(&followed.gathered()), told(&anew));
            kept.push((bench.store.read().unwrap(), told(&anew)));
        }
        // A reader of an earlier instant sees that instant.
        for (snapshot, then) in &kept {
            prop_assert_eq!(&told(&held.at(snapshot, NS, &|| Ok(())).unwrap()), then);
        }
    }
}

fn edge(id: u8, ends: (u8, u8)) -> Write {
    Write::Edge { id, ends, weight: 1.0, from: None }
}

#[test]
fn many_changes_are_gathered_into_rows() {
    let bench = Bench::new();
    let held = HeldEdges::new(PLENTY);
    bench.write(&edge(0, (0, 1)));
    let first = bench.at(&held);
    assert_eq!((first.base.edges(), first.added_ends.len()), (1, 0));
    bench.write(&edge(1, (1, 2)));
    let second = bench.at(&held);
    assert!(Arc::ptr_eq(&first.base, &second.base), "nothing was read anew");
    assert_eq!(second.gathered().base.edges(), 2);
}

#[test]
fn a_namespace_beyond_the_bound_is_refused_and_others_give_way_within_it() {
    let bench = Bench::new();
    for id in 0..4 {
        bench.write(&edge(id, (id, id + 1)));
    }
    let refused = HeldEdges::new(Rows::bytes(3)).at(&bench.store.read().unwrap(), NS, &|| Ok(()));
    assert!(matches!(refused, Err(Error::CapacityExceeded { .. })));
    let one = bench.at(&HeldEdges::new(PLENTY)).memory_bytes();
    let held = HeldEdges::new(one + one / 2);
    let before = bench.store.read().unwrap();
    bench.at(&held);
    bench.write(&edge(5, (0, 5)));
    bench.at(&held);
    held.at(&before, NS, &|| Ok(())).unwrap();
    assert_eq!(held.lock().held.len(), 1);
    assert!(held.memory_bytes() <= one + one / 2);
}

#[test]
fn reading_many_edges_can_be_ended() {
    let bench = Bench::new();
    bench.write(&edge(0, (0, 1)));
    let held = HeldEdges::new(PLENTY);
    bench.at(&held);
    bench.write(&edge(1, (1, 2)));
    let ended = held.at(&bench.store.read().unwrap(), NS, &|| Err(Error::Interrupted));
    assert!(matches!(ended, Err(Error::Interrupted)));
    assert_eq!(bench.at(&held).edges(), 2);
}
