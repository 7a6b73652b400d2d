//! What was deleted before a scrub stands in no file of the database after it.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{drain, edge, fast, go_on, hash, node, quiet, say, set, text, value, vector};
use embedded_db_common::{Options, Value};
use embedded_db_engine::{Changes, Database, EdgeChanges};
use embedded_db_testing::FakeModels;

/// Every file below a directory in which the bytes stand, as they are or in either byte order.
fn found(path: &Path, wanted: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            out.extend(found(&entry, wanted));
        } else if fs::read(&entry).unwrap().windows(wanted.len()).any(|bytes| bytes == wanted) {
            out.push(entry.to_string_lossy().into_owned());
        }
    }
    out
}

const VECTOR: [f32; 4] = [1234.5678, -8765.432, 0.00012345, 98765.4];

fn planted() -> Vec<(&'static str, Vec<u8>)> {
    let mut planted: Vec<(&str, Vec<u8>)> = [
        ("a property", "planted-in-a-property"),
        ("an earlier value", "planted-earlier"),
        ("a text that was said", "planted-words"),
        ("an id of a node", "planted-node"),
        ("an id of an edge", "planted-edge"),
        ("an id of an embedding", "planted-embedding"),
        ("a property of an edge", "planted-on-an-edge"),
        ("the name of a property", "planted-property-name"),
        ("a label", "PlantedLabel"),
        ("an edge type", "PLANTED_TYPE"),
        ("what is in a namespace that was dropped", "planted-in-a-namespace"),
        ("its name", "planted-namespace"),
        ("an indexed value", "planted-indexed"),
        ("a value that was not unique", "planted-twice"),
        ("an entity", "Plantedperson"),
        ("why work failed", "planted-poison"),
        ("a key of a dict", "planted-key"),
    ]
    .map(|(what, bytes)| (what, bytes.as_bytes().to_vec()))
    .into();
    let vector = VECTOR.iter().flat_map(|value| value.to_le_bytes()).collect();
    planted.push(("a vector", vector));
    planted
}

/// Writes all that is planted, and what stays.
fn plant(db: &Database) {
    let map = vec![("planted-key".to_owned(), Value::Int(1))];
    let values = [
        ("text", text("planted-in-a-property")),
        ("planted-property-name", Value::Map(map)),
        ("indexed", text("planted-indexed")),
    ];
    db.create_index("PlantedLabel", "indexed", false, &go_on).unwrap();
    db.create_nodes(vec![
        node("planted-node", "PlantedLabel", &values),
        node("stays", "Thing", &[("text", text("planted-earlier")), ("seldom", Value::Int(7))]),
        node("one", "Twin", &[("same", text("planted-twice"))]),
        node("two", "Twin", &[("same", text("planted-twice"))]),
    ])
    .unwrap();
    db.update_node("stays", set(&[("text", text("what is there now"))]), None).unwrap();
    assert!(db.create_index("Twin", "same", true, &go_on).is_err());
    db.update_node("one", set(&[("same", text("1"))]), None).unwrap();
    db.update_node("two", set(&[("same", text("2"))]), None).unwrap();
    let mut made = edge("planted-edge", "planted-node", "PLANTED_TYPE", "stays");
    made.properties = common::draft(&[("text", text("planted-on-an-edge"))]);
    db.create_edge(made).unwrap();
    let weight = EdgeChanges { weight: Some(2.0), ..EdgeChanges::default() };
    db.update_edge("planted-edge", weight, None).unwrap();
    db.create_embeddings(vec![
        vector("planted-embedding", "planted-node", Some("own"), &VECTOR),
        vector("kept", "stays", Some("own"), &[1.0, 2.0, 3.0, 4.0]),
    ])
    .unwrap();
    say(db, "chat", "m1", "planted-words of Plantedperson");
    say(db, "chat", "m2", "planted-poison");
    say(db, "chat", "m3", "Alice stays");
    let other = db.namespace("planted-namespace").unwrap();
    other.create_nodes(vec![node("x", "Thing", &[("a", text("planted-in-a-namespace"))])]).unwrap();
    drain(db);
}

fn uproot(db: &Database) {
    for id in ["planted-node", "m1", "m2"] {
        db.delete_node(id, None).unwrap();
    }
    db.drop_index("PlantedLabel", "indexed").unwrap();
    db.drop_namespace("planted-namespace").unwrap();
    drain(db);
}

fn open(path: &Path) -> Database {
    let models = Arc::new(FakeModels::default());
    models.poison.lock().unwrap().push("planted-poison".into());
    Database::open(path, &fast(), Some(models)).unwrap()
}

#[test]
fn nothing_that_was_deleted_is_found_in_any_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = open(&path);
    // As long as somebody reads an earlier state, no page is used again.
    let snapshot = db.snapshot().unwrap();
    plant(&db);
    uproot(&db);
    drop(snapshot);
    let before = hash(&db);
    for (what, bytes) in planted() {
        assert!(!found(&path, &bytes).is_empty(), "{what} was planted");
    }
    db.compact(&mut quiet).unwrap();
    let left = planted().into_iter().filter(|(_, bytes)| !found(&path, bytes).is_empty()).count();
    assert!(left > 0, "a compaction keeps what happened, but for values");
    db.scrub(&mut quiet).unwrap();
    for (what, bytes) in planted() {
        assert_eq!(found(&path, &bytes), Vec::<String>::new(), "{what} is gone");
    }
    assert_eq!(hash(&db), before, "what was not deleted is there");
    assert!(!found(&path, b"what is there now").is_empty());
    let report = db.verify_deep(&go_on).unwrap();
    assert_eq!((report.problems, report.changes), (Vec::new(), 0));
    // It goes on: with LSNs from there, and with names that were used before.
    let lsn = db.stats().unwrap().lsn;
    for id in ["stays", "one", "two", "chat"] {
        db.delete_node(id, None).unwrap();
    }
    plant(&db);
    assert!(db.stats().unwrap().lsn > lsn);
    let report = db.verify_deep(&go_on).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.changes > 0);
    let again = db.get_node("planted-node").unwrap().unwrap();
    assert_eq!(value(&again, "text"), Some(text("planted-in-a-property")));
    db.close();
    let db = open(&path);
    assert_eq!(db.count(Some("PlantedLabel")).unwrap(), 1);
    assert_eq!(db.verify_deep(&go_on).unwrap().problems, Vec::<String>::new());
}

/// A name that nothing uses any more loses its number; who has read it before, or reads an earlier
/// instant, still means what he meant.
#[test]
fn names_that_come_again_are_not_mixed_up() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("db"));
    db.create_nodes(vec![
        node("n", "Rare", &[("seldom", Value::Int(7)), ("often", Value::Int(8))]),
        node("m", "Thing", &[("often", Value::Int(9))]),
    ])
    .unwrap();
    let (read, snapshot) = (db.get_node("n").unwrap().unwrap(), db.snapshot().unwrap());
    let unread = db.get_node("n").unwrap().unwrap();
    db.delete_node("n", None).unwrap();
    db.scrub(&mut quiet).unwrap();
    assert_eq!(value(&read, "seldom"), Some(Value::Int(7)));
    assert_eq!(snapshot.count(Some("Rare")).unwrap(), 1, "it looks at what was there then");
    assert_eq!(db.count(Some("Rare")).unwrap(), 0);
    // Other names get numbers first, so that these get others than they had.
    db.create_nodes(vec![node("o", "Other", &[("new", Value::Int(1))])]).unwrap();
    db.create_nodes(vec![node("p", "Rare", &[("seldom", Value::Int(5))])]).unwrap();
    assert_eq!(db.count(Some("Rare")).unwrap(), 1);
    assert_eq!(value(&db.get_node("p").unwrap().unwrap(), "seldom"), Some(Value::Int(5)));
    assert_eq!(value(&read, "seldom"), Some(Value::Int(7)));
    assert_eq!(value(&unread, "often"), Some(Value::Int(8)));
    assert_eq!(snapshot.count(Some("Rare")).unwrap(), 1);
    let then = snapshot.get_node("n").unwrap().unwrap();
    assert_eq!(value(&then, "seldom"), Some(Value::Int(7)));
    assert_eq!(snapshot.nodes(Some("Rare"), None, 10).unwrap().len(), 1);
    drop(snapshot);
    let changes = Changes { remove: vec!["seldom".into()], ..set(&[("often", Value::Int(1))]) };
    db.update_node("p", changes, None).unwrap();
    assert_eq!(value(&db.get_node("p").unwrap().unwrap(), "seldom"), None);
    assert_eq!(db.verify_deep(&go_on).unwrap().problems, Vec::<String>::new());
}

#[test]
fn what_is_deleted_beside_is_gone_after_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = open(&path);
    let many =
        |n: usize| node(&format!("n{n}"), "Thing", &[("text", text(&format!("planted{n};")))]);
    db.create_nodes((0..500).map(many).collect()).unwrap();
    let mut n = 0;
    db.scrub(&mut |_, _| {
        db.delete_node(&format!("n{n}"), None)?;
        n += 1;
        Ok(())
    })
    .unwrap();
    assert!(n > 1);
    assert_eq!(db.count(None).unwrap(), 500 - n as u64);
    assert_eq!(db.verify_deep(&go_on).unwrap().problems, Vec::<String>::new());
    db.scrub(&mut quiet).unwrap();
    for gone in 0..n {
        assert!(found(&path, format!("planted{gone};").as_bytes()).is_empty());
    }
    assert!(!found(&path, format!("planted{n};").as_bytes()).is_empty());
    db.close();
    let reader = Database::open(&path, &Options { read_only: true, ..fast() }, None).unwrap();
    assert_eq!(reader.count(None).unwrap(), 500 - n as u64);
}
