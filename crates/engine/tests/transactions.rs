//! A transaction is all or nothing, reads its own writes over one instant, and gives way to whoever
//! committed first.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{assert_sound, edge, node, set, text, value, vector, without_models};
use embedded_db_common::{Error, Value};
use embedded_db_engine::{AsOf, Database, EdgeChanges, Reach};

fn assert_conflict(outcome: Result<(), Error>, id: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(&error, Error::Conflict { id: found, .. } if found == id), "{error}");
    assert!(error.to_string().contains("retry"), "{error}");
}

fn with_node() -> Database {
    let db = without_models();
    db.create_nodes(vec![node("n", "Thing", &[("p", Value::Int(1))])]).unwrap();
    db
}

/// The last change, and how many rows there are of each kind.
fn stored(db: &Database) -> (u64, Vec<(&'static str, u64)>) {
    let stats = db.stats().unwrap();
    (stats.lsn, stats.tables)
}

#[test]
fn an_object_that_was_deleted_and_made_again_is_another() {
    let db = with_node();
    let mut tx = db.transaction().unwrap();
    tx.update_node("n", set(&[("p", Value::Int(2))])).unwrap();
    db.delete_node("n", None).unwrap();
    db.create_nodes(vec![node("n", "Other", &[("p", Value::Int(9))])]).unwrap();
    assert_conflict(tx.commit(), "n");
    assert_eq!(value(&db.get_node("n").unwrap().unwrap(), "p"), Some(Value::Int(9)));

    db.create_edges(vec![edge("e", "n", "T", "n")]).unwrap();
    let mut tx = db.transaction().unwrap();
    tx.delete_edge("e").unwrap();
    db.delete_edge("e").unwrap();
    db.create_edges(vec![edge("e", "n", "U", "n")]).unwrap();
    assert_conflict(tx.commit(), "e");
    assert!(db.get_edge("e", AsOf::default()).unwrap().is_some());
    assert_sound(&db);
}

/// The same outside of transactions, for whoever read an object and writes it later.
#[test]
fn what_was_read_of_an_object_does_not_pass_for_one_made_again_under_its_id() {
    let db = with_node();
    let read = db.get_node("n").unwrap().unwrap();
    let change = || set(&[("p", Value::Int(2))]);
    db.delete_node("n", None).unwrap();
    db.create_nodes(vec![node("n", "Other", &[("p", Value::Int(9))])]).unwrap();
    let again = db.get_node("n").unwrap().unwrap();
    assert_eq!((read.version().unwrap(), again.version().unwrap()), (1, 1));
    assert_conflict(db.update_node("n", change(), Some(&read)).map(drop), "n");
    assert_conflict(db.delete_node("n", Some(&read)), "n");
    assert_eq!(value(&db.get_node("n").unwrap().unwrap(), "p"), Some(Value::Int(9)));
    let newer = db.update_node("n", change(), Some(&again)).unwrap();
    assert_conflict(db.update_node("n", change(), Some(&again)).map(drop), "n");
    db.delete_node("n", Some(&newer)).unwrap();

    db.create_nodes(vec![node("n", "Thing", &[])]).unwrap();
    db.create_edges(vec![edge("e", "n", "T", "n")]).unwrap();
    let read = db.get_edge("e", AsOf::default()).unwrap().unwrap();
    db.delete_edge("e").unwrap();
    db.create_edges(vec![edge("e", "n", "T", "n")]).unwrap();
    let heavier = || EdgeChanges { weight: Some(2.0), ..EdgeChanges::default() };
    assert_conflict(db.update_edge("e", heavier(), Some(&read)).map(drop), "e");
    let again = db.get_edge("e", AsOf::default()).unwrap().unwrap();
    assert_eq!(db.update_edge("e", heavier(), Some(&again)).unwrap().weight().unwrap(), 2.0);
    assert_sound(&db);
}

#[test]
fn what_was_only_read_counts_too() {
    let db = with_node();
    let mut tx = db.transaction().unwrap();
    assert!(tx.get_node("n").unwrap().is_some());
    assert!(tx.get_node("absent").unwrap().is_none());
    tx.create_node(node("new", "Thing", &[])).unwrap();
    db.create_nodes(vec![node("absent", "Thing", &[])]).unwrap();
    assert_conflict(tx.commit(), "absent");
    assert!(!db.exists("new").unwrap());
}

#[test]
fn a_vector_that_somebody_else_replaced_is_not_taken_away() {
    let db = with_node();
    db.create_embeddings(vec![vector("v", "n", None, &[1.0])]).unwrap();
    let mut tx = db.transaction().unwrap();
    tx.delete_embedding("v").unwrap();
    db.update_embedding("v", vec![2.0]).unwrap();
    assert_conflict(tx.commit(), "v");
    assert_eq!(db.get_embedding("v").unwrap().unwrap().vector, [2.0]);
}

#[test]
fn the_vectors_of_a_transaction_are_its_own_writes() {
    let db = with_node();
    let mut tx = db.transaction().unwrap();
    tx.create_embedding(vector("v", "n", None, &[1.0])).unwrap();
    let taken = tx.create_embedding(vector("v", "n", None, &[2.0])).unwrap_err();
    assert!(matches!(taken, Error::AlreadyExists { kind: "embedding", .. }), "{taken}");
    tx.delete_embedding("v").unwrap();
    let gone = tx.delete_embedding("v").unwrap_err();
    assert!(matches!(gone, Error::NotFound { kind: "embedding", .. }), "{gone}");
    tx.create_embedding(vector("v", "n", None, &[3.0])).unwrap();
    assert!(db.get_embedding("v").unwrap().is_none(), "nobody else sees it");
    tx.commit().unwrap();
    assert_eq!(db.get_embedding("v").unwrap().unwrap().vector, [3.0]);
    assert_sound(&db);
}

#[test]
fn a_failing_commit_leaves_nothing() {
    let db = with_node();
    db.create_embeddings(vec![vector("v", "n", None, &[1.0, 2.0])]).unwrap();
    let before = stored(&db);
    let mut tx = db.transaction().unwrap();
    tx.create_node(node("m", "Fresh", &[("fresh", text("x"))])).unwrap();
    tx.create_edge(edge("e", "m", "T", "n")).unwrap();
    tx.create_embedding(vector("w", "m", None, &[1.0, 2.0, 3.0])).unwrap();
    let error = tx.commit().unwrap_err();
    let bare = error.bare();
    assert!(matches!(bare, Error::DimensionMismatch { expected: 2, got: 3, .. }), "{error}");
    assert_eq!(stored(&db), before);
    assert!(!db.exists("m").unwrap() && db.get_edge("e", AsOf::default()).unwrap().is_none());
    assert_sound(&db);
}

#[test]
fn neighbours_show_own_writes() {
    let db = with_node();
    db.create_nodes(vec![node("a", "Thing", &[]), node("b", "Thing", &[])]).unwrap();
    db.create_edges(vec![edge("na", "n", "T", "a"), edge("nb", "n", "T", "b")]).unwrap();
    let mut tx = db.transaction().unwrap();
    tx.delete_edge("na").unwrap();
    tx.create_node(node("c", "Thing", &[])).unwrap();
    tx.create_edge(edge("cn", "c", "T", "n")).unwrap();
    tx.create_edge(edge("nn", "n", "U", "n")).unwrap();
    let mut ids = |types: Option<&[String]>, way| -> Vec<String> {
        let found = tx.neighbors("n", types, way, AsOf::default(), None, 100).unwrap().items;
        let mut ids: Vec<String> = found.iter().map(|node| node.id().unwrap()).collect();
        ids.sort();
        ids
    };
    let types = ["T".to_owned()];
    assert_eq!(ids(Some(&types), Reach::Out), ["b"]);
    assert_eq!(ids(Some(&types), Reach::In), ["c"]);
    // As outside of transactions a node comes once for each edge, and a loop has two ends.
    assert_eq!(ids(None, Reach::Any), ["b", "c", "n", "n"]);
    tx.delete_node("b").unwrap();
    let found =
        tx.neighbors("n", Some(&types), Reach::Any, AsOf::default(), None, 100).unwrap().items;
    assert_eq!(found.iter().map(|node| node.id().unwrap()).collect::<Vec<_>>(), ["c"]);
    tx.commit().unwrap();
    assert_eq!(common::neighbors(&db, "n", "T", Reach::Any), ["c"]);
    assert_sound(&db);
}

#[test]
fn an_edge_whose_id_is_given_again_leads_where_it_leads_now() {
    let db = without_models();
    db.create_nodes(["a", "b", "c", "d"].map(|id| node(id, "Thing", &[])).to_vec()).unwrap();
    db.create_edges(vec![edge("e", "a", "T", "b")]).unwrap();
    let mut tx = db.transaction().unwrap();
    let leads = |tx: &mut embedded_db_engine::Transaction, source: &str, target: &str| {
        tx.delete_edge("e").unwrap();
        tx.create_edge(edge("e", source, "T", target)).unwrap();
        for id in ["a", "b", "c", "d"] {
            let near = |tx: &mut embedded_db_engine::Transaction, way| -> Vec<String> {
                let found = tx.neighbors(id, None, way, AsOf::default(), None, 100).unwrap().items;
                found.iter().map(|node| node.id().unwrap()).collect()
            };
            let expected: &[&str] = if id == source { &[target] } else { &[] };
            assert_eq!(near(tx, Reach::Out), expected, "out of {id}");
            let expected: &[&str] = if id == target { &[source] } else { &[] };
            assert_eq!(near(tx, Reach::In), expected, "into {id}");
        }
    };
    leads(&mut tx, "c", "d");
    leads(&mut tx, "b", "d");
    leads(&mut tx, "a", "d");
    tx.delete_node("c").unwrap();
    assert!(tx.get_edge("e").unwrap().is_some(), "it has left that node");
    tx.commit().unwrap();
    assert_eq!(common::neighbors(&db, "a", "T", Reach::Any), ["d"]);
    assert_sound(&db);
}

#[test]
fn messages_go_with_their_chat_inside_a_transaction_too() {
    let db = without_models();
    for n in 0..3 {
        common::say(&db, "c", &format!("m{n}"), "x");
    }
    let mut tx = db.transaction().unwrap();
    tx.delete_node("c").unwrap();
    for n in 0..3 {
        assert!(tx.get_node(&format!("m{n}")).unwrap().is_none());
    }
    let gone = tx.update_node("m1", set(&[("content", text("y"))])).unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone}");
    tx.commit().unwrap();
    assert_eq!(db.count(None).unwrap(), 0);
    assert_sound(&db);
}

#[test]
fn a_transaction_that_is_dropped_never_was() {
    let db = with_node();
    let before = stored(&db);
    let mut tx = db.transaction().unwrap();
    tx.delete_node("n").unwrap();
    tx.create_node(node("m", "Thing", &[])).unwrap();
    assert!(tx.get_node("n").unwrap().is_none() && tx.get_node("m").unwrap().is_some());
    drop(tx);
    assert_eq!(stored(&db), before);
    assert!(db.exists("n").unwrap());
}
