//! Vectors, by node and by id.

use embedded_db_common::{ContentHash, Error};
use embedded_db_storage::{Kind, ReadEmbeddings, ReadTxn, Resolved};

use crate::common::{NS, Scratch, bare_node, space};

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
