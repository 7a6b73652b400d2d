//! Namespaces share a file and nothing else; a dropped one is gone to the last row, and ids and
//! names that are used again meet nothing of it.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{Scratch, bare_edge, bare_node, neighbors, space};
use embedded_db_common::{ContentHash, NamespaceId, Result, Slot, SpaceId};
use embedded_db_storage::{
    Direction, IndexId, Kind, ReadEmbeddings, ReadPostings, ReadTxn, ReadWork, WorkRecord,
    WorkState, WriteTxn, row_counts,
};

/// As the weaver's queue writes it: the artefact, then the namespace.
fn pending_value(namespace: NamespaceId) -> [u8; 5] {
    let [a, b, c, d] = namespace.0.to_be_bytes();
    [1, a, b, c, d]
}

/// One of everything.
fn fill(txn: &mut WriteTxn<'_>, namespace: NamespaceId, space_id: SpaceId) -> Result<()> {
    let (a, b) = (bare_node(txn, namespace, "a")?, bare_node(txn, namespace, "b")?);
    let of = txn.intern("T")?;
    bare_edge(txn, namespace, "e", a, b, of)?;
    let hash = ContentHash::of("text");
    txn.put_embedding(namespace, space_id, a, 0, "v", false, hash, &[1.0])?;
    txn.put_text_hash(namespace, space_id, hash, a)?;
    txn.post(namespace, IndexId::CHAT_ID, b"value", a)?;
    let record = WorkRecord { state: WorkState::Retry, attempts: 1, due: 0, error: "no".into() };
    txn.put_work(namespace, a, 1, &record)?;
    txn.post(NamespaceId::SYSTEM, IndexId::PENDING, &pending_value(namespace), b)
}

fn waiting(txn: &impl ReadTxn) -> Vec<NamespaceId> {
    let mut out = Vec::new();
    txn.pending(1, |namespace, _| {
        out.push(namespace);
        true
    })
    .unwrap();
    out
}

#[test]
fn a_dropped_namespace_leaves_no_row_and_its_neighbours_all_of_theirs() {
    let mut scratch = Scratch::new();
    let space_id = scratch.store().write(|txn| txn.create_space(&space("s", 1))).unwrap();
    let ids: Vec<NamespaceId> = ["one", "two", "three"]
        .map(|name| scratch.store().write(move |txn| txn.create_namespace(name)).unwrap())
        .to_vec();
    let [one, two, three] = ids[..] else { unreachable!() };
    for namespace in [one, three] {
        scratch.store().write(move |txn| fill(txn, namespace, space_id)).unwrap();
    }
    let empty = row_counts(&scratch.store().read().unwrap()).unwrap();
    scratch.store().write(move |txn| fill(txn, two, space_id)).unwrap();
    assert_eq!(waiting(&scratch.store().read().unwrap()), ids);

    assert!(scratch.store().write(|txn| txn.drop_namespace("two")).unwrap());
    assert!(!scratch.store().write(|txn| txn.drop_namespace("two")).unwrap());
    scratch.reopen();
    let snapshot = scratch.store().read().unwrap();
    for ((table, rows), (_, without)) in row_counts(&snapshot).unwrap().into_iter().zip(empty) {
        match table {
            // The change table tells of it still, and of its end; the namespace itself had two rows.
            "changes" => assert_eq!(rows, without + 5),
            "meta" => assert_eq!(rows, without - 2),
            _ => assert_eq!(rows, without, "rows of {table}"),
        }
    }
    assert_eq!(waiting(&snapshot), [one, three]);
    assert!(!snapshot.has_namespace(two).unwrap());
    assert_eq!(snapshot.namespace("two").unwrap(), None);
    for namespace in [one, three] {
        let a = snapshot.node_slot(namespace, "a").unwrap().unwrap();
        assert_eq!(snapshot.embeddings_of(namespace, space_id, a).unwrap().len(), 1);
        assert!(snapshot.posted(namespace, IndexId::CHAT_ID, b"value", a).unwrap());
        assert!(snapshot.work(namespace, a, 1).unwrap().is_some());
        assert_eq!(snapshot.namespace_counters(namespace).unwrap().edges, 1);
    }
}

#[test]
fn a_name_used_again_meets_nothing_old() {
    let scratch = Scratch::new();
    let space_id = scratch.store().write(|txn| txn.create_space(&space("s", 1))).unwrap();
    let old = scratch
        .store()
        .write(move |txn| {
            let id = txn.create_namespace("user")?;
            fill(txn, id, space_id)?;
            Ok(id)
        })
        .unwrap();
    // Dropped and made again in one transaction: the hardest case.
    let new = scratch
        .store()
        .write(|txn| {
            txn.drop_namespace("user")?;
            txn.create_namespace("user")
        })
        .unwrap();
    assert_ne!(old, new, "a number is given once");
    {
        let snapshot = scratch.store().read().unwrap();
        assert_eq!(snapshot.namespace("user").unwrap(), Some(new));
        assert_eq!(snapshot.namespace_counters(new).unwrap(), Default::default());
        for (kind, id) in [(Kind::Node, "a"), (Kind::Edge, "e"), (Kind::Embedding, "v")] {
            assert_eq!(snapshot.resolve(new, kind, id).unwrap(), None);
        }
        let hash = ContentHash::of("text");
        assert_eq!(snapshot.embedding_of_text(new, space_id, hash).unwrap(), None);
        assert_eq!(waiting(&snapshot), []);
    }
    scratch.store().write(move |txn| fill(txn, new, space_id)).unwrap();
    let snapshot = scratch.store().read().unwrap();
    let a = snapshot.node_slot(new, "a").unwrap().unwrap();
    assert_eq!(a, Slot(0), "slots are counted by namespace");
    let mut edges = 0;
    snapshot
        .neighbors(new, a, Direction::Out, None, |_, _| {
            edges += 1;
            true
        })
        .unwrap();
    assert_eq!(edges, 1);
    assert_eq!(waiting(&snapshot), [new]);
}

#[test]
fn ids_are_private_to_their_namespace() {
    let scratch = Scratch::new();
    let other = scratch.store().write(|txn| txn.create_namespace("other")).unwrap();
    assert_eq!(scratch.store().write(|txn| txn.create_namespace("other")).unwrap(), other);
    let here = common::node(scratch.store(), common::NS, "same").unwrap();
    let there = common::node(scratch.store(), other, "same").unwrap();
    scratch.store().write(move |txn| txn.delete_node(other, there)).unwrap();
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(snapshot.node_slot(common::NS, "same").unwrap(), Some(here));
    assert_eq!(snapshot.node_slot(other, "same").unwrap(), None);
    assert_eq!(neighbors(&snapshot, here, Direction::Out, None), []);
    let names: Vec<String> =
        snapshot.namespaces().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["default", "other"]);
}
