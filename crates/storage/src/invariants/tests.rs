//! Each invariant is broken by one raw row, and exactly that is reported.

use std::sync::Arc;

use embedded_db_common::{ContentHash, Error, Options, ValueRef, clock};

use super::*;
use crate::adjacency::Neighbor;
use crate::columns::{Cell, row_key};
use crate::keys::{self, Direction, Key};
use crate::postings::{container_key, value_key};
use crate::records::{EdgeFields, EdgeTimes, SpaceRecord, WorkRecord, WorkState};
use crate::store::{Store, symbol_key, symbol_name_key};
use crate::tx::WriteTxn;

const NS: NamespaceId = NamespaceId::DEFAULT;
const GONE: NamespaceId = NamespaceId(77);
const NOBODY: Slot = Slot(4_000);

/// Something of everything: node slots 0 and 1, edge slots 0 to 2 from 0 to 1, a vector with a hash,
/// work that waits and work that failed.
fn sound() -> Arc<Store> {
    let store = Store::open_in_memory(&Options::default()).unwrap();
    store
        .write(|txn| {
            txn.create_namespace("default")?;
            let label = txn.intern("Thing")?;
            let a = txn.insert_node(NS, "a", &[label], &[], false, None)?;
            let b = txn.insert_node(NS, "b", &[label], &[], false, None)?;
            for n in 0..3 {
                let fields = EdgeFields {
                    derived: false,
                    source: a,
                    target: b,
                    edge_type: label,
                    weight: 1.0,
                    times: EdgeTimes::default(),
                    sources: Vec::new(),
                    properties: &[],
                };
                txn.insert_edge(NS, &format!("e{n}"), &fields)?;
            }
            let text = || "s".to_owned();
            let space = txn.create_space(&SpaceRecord {
                name: text(),
                model: text(),
                provider: text(),
                precision: text(),
                dimension: 1,
                metric: "dot".into(),
            })?;
            let hash = ContentHash::of("text");
            txn.put_embedding(NS, space, a, 0, "v", false, hash, &[1.0])?;
            txn.put_text_hash(NS, space, hash, a)?;
            txn.put_work(NS, a, 1, &failed())?;
            txn.post(NamespaceId::SYSTEM, IndexId::PENDING, &waiting(NS), b)
        })
        .unwrap();
    store
}

fn failed() -> WorkRecord {
    WorkRecord { state: WorkState::Dead, attempts: 1, due: 0, error: "why".into() }
}

/// The value of a posting of work that waits.
fn waiting(namespace: NamespaceId) -> Vec<u8> {
    [&[1], &namespace.0.to_be_bytes()[..]].concat()
}

fn problems(store: &Arc<Store>) -> Vec<String> {
    let mut out = Vec::new();
    check_invariants(&store.read().unwrap(), &|| Ok(()), &mut |text| out.push(text)).unwrap();
    out
}

/// What is reported after `damage`.
fn after(damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static) -> Vec<String> {
    let store = sound();
    assert_eq!(problems(&store), Vec::<String>::new());
    store.write(damage).unwrap();
    problems(&store)
}

/// The damage that ends the check after `damage`.
fn told(damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static) -> String {
    let store = sound();
    store.write(damage).unwrap();
    let told = check_invariants(&store.read().unwrap(), &|| Ok(()), &mut |_| {}).unwrap_err();
    assert!(matches!(told, Error::Corruption { .. }), "{told}");
    told.to_string()
}

#[track_caller]
fn assert_only(problems: &[String], expected: &str) {
    assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}: {problems:#?}");
}

#[test]
fn a_name_whose_number_has_another_name() {
    let found = after(|txn| {
        let symbol = txn.intern("Thing")?;
        txn.put(Table::Symbols, &symbol_key("Other"), symbol.0.to_be_bytes().to_vec())
    });
    assert_only(&found, "\"Other\" has a number without that name");
}

#[test]
fn a_symbol_whose_name_does_not_lead_back() {
    let found = after(|txn| txn.delete(Table::Symbols, &symbol_key("Thing")).map(drop));
    assert_only(&found, "has a name, \"Thing\", without it");
}

#[test]
fn a_symbol_that_was_never_given() {
    let found = after(|txn| {
        txn.put(Table::Symbols, &symbol_key("Other"), 9_999u32.to_be_bytes().to_vec())?;
        txn.put(Table::Names, &symbol_name_key(Symbol(9_999)), b"Other".to_vec())
    });
    assert_only(&found, "\"Other\" has a number that was never given");
}

#[test]
fn a_label_without_a_name() {
    let found = after(|txn| {
        let label = Symbol(9_999);
        txn.insert_node(NS, "c", &[label], &[], false, None).map(drop)
    });
    assert_only(&found, "\"c\" uses");
}

#[test]
fn an_expiry_that_is_not_listed() {
    let found = after(|txn| {
        let label = txn.intern("Thing")?;
        let node = txn.insert_node(NS, "c", &[label], &[], false, Some(-5))?;
        txn.delete(Table::Expiry, &keys::expiry(NS, -5, node)).map(drop)
    });
    assert_only(&found, "Slot#2 expires at -5 µs, but is not listed");
}

#[test]
fn an_expiry_of_what_does_not_expire() {
    for slot in [Slot(0), NOBODY] {
        let found =
            after(move |txn| txn.put(Table::Expiry, &keys::expiry(NS, 7, slot), Vec::new()));
        assert_only(&found, &format!("{slot:?} is listed as expiring at 7 µs, which it does not"));
    }
}

#[test]
fn an_expiry_under_another_time() {
    let found = after(|txn| {
        txn.set_expiry(NS, Slot(0), Some(7))?;
        txn.delete(Table::Expiry, &keys::expiry(NS, 7, Slot(0)))?;
        txn.put(Table::Expiry, &keys::expiry(NS, 8, Slot(0)), Vec::new())
    });
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("at 8 µs, which it does not"), "{found:#?}");
    assert!(found[1].contains("at 7 µs, but is not listed"), "{found:#?}");
}

#[test]
fn an_expiry_that_is_not_in_its_form() {
    let found = after(|txn| txn.put(Table::Expiry, &Key::new(NS).u8(1), Vec::new()));
    assert_only(&found, "an expiry is not in its form");
}

#[test]
fn an_id_without_a_record() {
    for kind in [Kind::Node, Kind::Edge, Kind::Embedding] {
        let found = after(move |txn| {
            let payload = NOBODY.0.to_be_bytes().to_vec();
            txn.put(Table::Ids, &keys::id(NS, kind, "ghost"), payload)
        });
        assert_only(&found, &format!("the {} id \"ghost\" leads to no record", kind.name()));
    }
}

#[test]
fn a_second_id_for_a_record() {
    let found = after(|txn| {
        txn.put(Table::Ids, &keys::id(NS, Kind::Node, "alias"), 0u32.to_be_bytes().to_vec())
    });
    assert_only(&found, "\"alias\" leads to no record of it");
}

/// As somebody who enriches it does, whose work comes too late.
#[test]
fn a_dropped_namespace_that_is_looked_at_again() {
    let store = sound();
    let dropped = store.write(|txn| {
        let id = txn.create_namespace("other")?;
        let label = txn.intern("Thing")?;
        txn.insert_node(id, "a", &[label], &[], false, None)?;
        Ok(id)
    });
    let id = dropped.unwrap();
    let looked = store.write(move |txn| {
        assert!(txn.drop_namespace("other")?);
        txn.delete_embeddings(id, SpaceId(0), NOBODY)
    });
    assert_eq!(looked.unwrap(), 0);
    assert_eq!(problems(&store), Vec::<String>::new());
}

#[test]
fn slots_beyond_the_counters() {
    let found = after(|txn| {
        txn.namespace_state(NS)?.node_slots = 1;
        txn.count_vectors(0, 0);
        Ok(())
    });
    assert_only(&found, "the node \"b\" has a slot that was never given");
    let found = after(|txn| {
        txn.namespace_state(NS)?.edge_slots = 2;
        txn.count_vectors(0, 0);
        Ok(())
    });
    assert_only(&found, "the edge \"e2\" has a slot that was never given");
}

#[test]
fn bytes_that_were_counted_wrongly() {
    let found = after(|txn| {
        txn.namespace_state(NS)?.bytes += 1;
        txn.count_vectors(0, 0);
        Ok(())
    });
    assert_only(&found, "bytes are stored, counted");
}

/// Writes the neighbours of node 0, which are those over the edges 0, 1 and 2.
fn neighbours(txn: &mut WriteTxn<'_>, chunks: &[(u32, &[u32])]) -> Result<()> {
    let of = txn.intern("Thing")?;
    for (bound, edges) in chunks {
        let mut payload = Vec::new();
        for edge in *edges {
            adjacency::push(&mut payload, Neighbor { node: Slot(1), edge: Slot(*edge) });
        }
        let key = keys::adjacency(NS, Slot(0), Direction::Out, of, Slot(*bound));
        txn.put(Table::Adjacency, &key, payload)?;
    }
    Ok(())
}

#[test]
fn neighbours_out_of_order() {
    let orders: [&[(u32, &[u32])]; 4] = [
        &[(0, &[0, 2, 1])],
        &[(0, &[0, 1, 1, 2])],
        &[(0, &[0, 2]), (1, &[1])],
        &[(0, &[0, 1]), (4, &[2])],
    ];
    for chunks in orders {
        let found = after(move |txn| neighbours(txn, chunks));
        assert_only(&found, "are out of order");
    }
    assert_eq!(after(|txn| neighbours(txn, &[(0, &[0, 1]), (2, &[2])])), Vec::<String>::new());
}

#[test]
fn neighbours_of_no_node() {
    let found = after(|txn| {
        let of = txn.intern("Thing")?;
        let mut payload = Vec::new();
        adjacency::push(&mut payload, Neighbor { node: Slot(1), edge: Slot(0) });
        txn.put(Table::Adjacency, &keys::adjacency(NS, NOBODY, Direction::In, of, Slot(0)), payload)
    });
    assert_only(&found, "has neighbours but is no node");
}

#[test]
fn a_hash_without_its_vector() {
    let found = after(|txn| txn.put_text_hash(NS, SpaceId(1), ContentHash::of("other"), Slot(0)));
    assert_only(&found, "without its vector");
    let found = after(|txn| txn.put_text_hash(NS, SpaceId(1), ContentHash::of("text"), Slot(1)));
    assert_only(&found, "without its vector");
}

#[test]
fn a_vector_of_no_space() {
    let found = after(|txn| {
        let hash = ContentHash::of("text");
        txn.put_embedding(NS, SpaceId(9), Slot(1), 0, "w", true, hash, &[1.0])
    });
    assert_only(&found, "a vector belongs to no space");
}

#[test]
fn work_for_nodes_that_are_gone() {
    let found = after(|txn| txn.put_work(NS, NOBODY, 2, &failed()));
    assert_only(&found, "work 2 on");
    for namespace in [NS, GONE] {
        let found = after(move |txn| {
            txn.post(NamespaceId::SYSTEM, IndexId::PENDING, &waiting(namespace), NOBODY)
        });
        assert_only(&found, "work waits for 1 nodes that are gone");
    }
    // Reserved for work that belongs to no node.
    assert!(after(|txn| txn.put_work(NS, Slot(u32::MAX), 2, &failed())).is_empty());
}

#[test]
fn postings_that_list_the_wrong_nodes() {
    let found = after(|txn| txn.post(NS, IndexId::SENDER, b"\x04x\0", NOBODY));
    assert_only(&found, "lists 1 nodes that are gone");
    let found = after(|txn| {
        let other = txn.intern("Other")?;
        txn.post(NS, IndexId::LABEL, &other.0.to_be_bytes(), Slot(0))
    });
    assert_only(&found, "lists \"a\", which does not have it");
}

#[test]
fn a_container_out_of_form() {
    let key = container_key(NS, IndexId::ROLE, b"\x04x\0", Slot(0));
    let found = after(move |txn| txn.put(Table::Postings, &key, vec![0]));
    assert_only(&found, "is not in its form");
    for offsets in [[1_u8, 0, 0, 0], [0, 0, 0, 0]] {
        let payload = [&[0][..], &offsets].concat();
        let told = told(move |txn| txn.put(Table::Postings, &key, payload.clone()));
        assert!(told.contains("is no container"), "{told}");
    }
    assert_eq!(value_key(NS, IndexId::ROLE, b"").len(), 8);
}

#[test]
fn cells_of_nodes_that_are_gone_or_of_no_index() {
    let cell = || Cell::of(&ValueRef::Int(7));
    let found = after(move |txn| txn.put_cell(NS, IndexId::TIMESTAMP, NOBODY, cell()));
    assert_only(&found, "its column has 1 nodes that are gone");
    let found = after(move |txn| txn.put_cell(NS, IndexId::SENDER, Slot(0), cell()));
    assert_only(&found, "has a column but no values for one");
    let found = after(move |txn| txn.put_cell(NS, IndexId(300), Slot(0), cell()));
    assert_only(&found, "has values but is not defined");
    assert!(after(move |txn| txn.put_cell(NS, IndexId::TIMESTAMP, Slot(0), cell())).is_empty());
}

#[test]
fn rows_of_columns_out_of_form() {
    let zeros = [0; 8];
    let rows: [&[u8]; 4] = [
        &[0],
        &[&[1, 0][..], &zeros].concat(),
        &[&[1, 1][..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat(),
        &[&[1, 3][..], &zeros].concat(),
    ];
    let key = row_key(NS, IndexId::TIMESTAMP, Slot(0));
    for payload in rows.map(<[u8]>::to_vec) {
        let found = after(move |txn| txn.put(Table::Columns, &key, payload.clone()));
        assert_only(&found, "is not in its form");
    }
    let text = [&[1, 7][..], &zeros].concat();
    let told = told(move |txn| txn.put(Table::Columns, &key, text.clone()));
    assert!(told.contains("has an unknown type"), "{told}");
}

#[test]
fn strengths_of_no_edge_or_out_of_form() {
    let strength = Strength { added: 1.0, at: 5 };
    let found = after(move |txn| txn.set_strength(NS, Slot(99), Some(strength)));
    assert_only(&found, "has a strength and is no edge");
    let told = told(|txn| txn.put(Table::Strengths, &keys::slot(NS, Slot(0)), vec![0; 12]));
    assert!(told.contains("is no strength over 0"), "{told}");
}

#[test]
fn what_is_left_of_a_dropped_namespace() {
    let found = after(|txn| txn.put(Table::Tokens, &Key::new(GONE).u32(1), vec![1]));
    assert_only(&found, "1 rows of tokens are left");
    let found = after(|txn| txn.put(Table::Meta, &keys::namespace_name(NS), b"another".to_vec()));
    assert_only(&found, "\"default\" does not know its name");
}

#[test]
fn the_check_can_be_interrupted() {
    let store = sound();
    let write = |txn: &mut WriteTxn<'_>| {
        let label = txn.intern("Thing")?;
        (0..2 * ROWS).try_for_each(|n| {
            txn.insert_node(NS, &format!("n{n}"), &[label], &[], false, None).map(drop)
        })
    };
    store.write(write).unwrap();
    let interrupted = || Err(embedded_db_common::Error::Interrupted);
    let outcome = check_invariants(&store.read().unwrap(), &interrupted, &mut |_| {});
    assert!(matches!(outcome, Err(embedded_db_common::Error::Interrupted)));
}

/// What is reported after `damage` to a store in which the edge in slot 1 was changed, and the one in
/// slot 2 changed and retracted.
fn after_in_history(
    mut damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static,
) -> Vec<String> {
    let store = sound();
    let rounds: [&'static [Slot]; 3] = [&[Slot(1), Slot(2)], &[Slot(1), Slot(2)], &[Slot(2)]];
    for (round, slots) in rounds.into_iter().enumerate() {
        store
            .write(move |txn| {
                for slot in slots {
                    if round == 2 {
                        txn.retract_edge(NS, *slot)?;
                        continue;
                    }
                    let payload = txn.edge_payload(NS, *slot)?.unwrap().to_vec();
                    let edge = EdgeRecord::parse(&payload)?;
                    txn.update_edge(NS, *slot, edge.version + 1, edge.id, &edge.fields())?;
                }
                Ok(())
            })
            .unwrap();
        // The next change is not of the same microsecond.
        let now = clock::now();
        while clock::now() <= now {}
    }
    assert_eq!(problems(&store), Vec::<String>::new());
    let rows = store.read().unwrap().prefix(Table::History, &Key::new(NS)).unwrap().count();
    assert_eq!(rows, 6, "two versions of each, and the two ends of the retracted one");
    store.write(move |txn| damage(txn)).unwrap();
    problems(&store)
}

/// Keys of the versions of an edge.
fn versions(txn: &WriteTxn<'_>, edge: Slot) -> Result<Vec<Vec<u8>>> {
    let rows = txn.prefix(Table::History, &keys::versions(NS, edge))?;
    rows.map(|row| Ok(row?.0.to_vec())).collect()
}

#[test]
fn a_version_that_is_missing() {
    let found = after_in_history(|txn| {
        let last = versions(txn, Slot(1))?.pop().unwrap();
        txn.delete(Table::History, &last).map(drop)
    });
    assert_only(&found, "a version of \"e1\" does not end when the next was recorded");
}

#[test]
fn a_version_under_another_time() {
    let found = after_in_history(|txn| {
        let first = versions(txn, Slot(1))?.remove(0);
        let payload = txn.get(Table::History, &first)?.unwrap().to_vec();
        txn.delete(Table::History, &first)?;
        txn.put(Table::History, &keys::version(NS, Slot(1), -5), payload)
    });
    assert_only(&found, "a version of \"e1\" is not under its time");
}

#[test]
fn versions_of_an_edge_that_is_gone() {
    let found = after_in_history(|txn| {
        for key in versions(txn, Slot(1))? {
            let payload = txn.get(Table::History, &key)?.unwrap().to_vec();
            let recorded_at = EdgeRecord::parse(&payload)?.times.recorded_at;
            txn.put(Table::History, &keys::version(NS, NOBODY, recorded_at), payload)?;
            txn.delete(Table::History, &key)?;
        }
        Ok(())
    });
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("a version of \"e1\" is left, but the edge is gone"), "{found:#?}");
}

#[test]
fn a_version_of_another_edge() {
    let found = after_in_history(|txn| {
        let [of, from] = [versions(txn, Slot(1))?.remove(0), versions(txn, Slot(2))?.remove(0)];
        let payload = txn.get(Table::History, &from)?.unwrap().to_vec();
        txn.put(Table::History, &of, payload)
    });
    assert!(found.iter().any(|text| text.contains("\"e1\" has a version that is not of it")));
}

#[test]
fn a_retracted_edge_that_is_not_listed() {
    let found = after_in_history(|txn| {
        let of = txn.edge(NS, Slot(2))?.unwrap().edge_type;
        let key = keys::former_neighbor(NS, Slot(0), Direction::Out, of, Slot(2));
        txn.delete(Table::History, &key).map(drop)
    });
    assert_only(&found, "the retracted edge \"e2\" is not listed at");
}

#[test]
fn a_listed_edge_that_was_not_retracted() {
    let found = after_in_history(|txn| {
        let of = txn.edge(NS, Slot(1))?.unwrap().edge_type;
        let key = keys::former_neighbor(NS, Slot(0), Direction::Out, of, Slot(1));
        txn.put(Table::History, &key, 1u32.to_le_bytes().to_vec())
    });
    assert_only(&found, "no retracted edge of its own");
}

#[test]
fn a_row_of_the_history_of_an_unknown_kind() {
    let found =
        after_in_history(|txn| txn.put(Table::History, &Key::new(NS).u8(3).u32(1), vec![0]));
    assert_only(&found, "the history has a row of an unknown kind");
}
