//! `verify` finds what does not agree: each test damages one thing behind the database's back.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{assert_sound, drain, fast, go_on, node, say, text};
use embedded_db_common::{NamespaceId, Result, Slot};
use embedded_db_engine::Database;
use embedded_db_storage::{IndexId, ReadTxn, Store, WriteTxn, text_value};
use embedded_db_testing::FakeModels;

const NS: NamespaceId = NamespaceId::DEFAULT;

/// What `verify` says after `damage` to a database with messages, entities and vectors.
fn after(damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("db");
    let open = || {
        let models = Arc::new(FakeModels::default());
        Database::open(path.to_str().unwrap(), &fast(), Some(models)).unwrap()
    };
    let db = open();
    for n in 0..4 {
        say(&db, "chat", &format!("m{n}"), &format!("Alice met Bob {n}"));
    }
    db.create_nodes(vec![node("n", "Thing", &[("sender", text("Eve"))])]).unwrap();
    drain(&db);
    db.delete_node("m3", None).unwrap();
    drain(&db);
    assert_sound(&db);
    db.close();
    let store = Store::open(&path, &fast()).unwrap();
    store.write(damage).unwrap();
    drop(store);
    let db = Database::open(path.to_str().unwrap(), &fast(), None).unwrap();
    db.verify(&go_on).unwrap().problems
}

fn slot(txn: &WriteTxn<'_>, id: &str) -> Result<Slot> {
    txn.require_node(NS, id)
}

#[track_caller]
fn assert_told(problems: &[String], expected: &str) {
    assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}: {problems:#?}");
}

#[test]
fn a_sound_database_has_no_problems() {
    assert_eq!(after(|_| Ok(())), Vec::<String>::new());
}

#[test]
fn an_indexed_value_that_no_node_has() {
    let found = after(|txn| {
        let slot = slot(txn, "n")?;
        txn.post(NS, IndexId::SENDER, &text_value("Mallory"), slot)
    });
    assert_told(&found, "has a value that no node has");
}

#[test]
fn an_indexed_value_that_lists_too_few_or_too_many() {
    let found = after(|txn| {
        let slot = slot(txn, "n")?;
        txn.unpost(NS, IndexId::SENDER, &text_value("Eve"), slot)
    });
    assert_told(&found, "lists the wrong nodes");
    let found = after(|txn| {
        let slot = slot(txn, "m1")?;
        txn.post(NS, IndexId::SENDER, &text_value("Eve"), slot)
    });
    assert_told(&found, "lists the wrong nodes");
}

#[test]
fn work_for_a_node_that_is_gone() {
    let value = [&[1], &NS.0.to_be_bytes()[..]].concat();
    let found =
        after(move |txn| txn.post(NamespaceId::SYSTEM, IndexId::PENDING, &value, Slot(9_999)));
    assert_told(&found, "work waits for 1 nodes that are gone");
}

#[test]
fn a_message_that_nobody_will_embed() {
    let found = after(|txn| {
        let slot = slot(txn, "m1")?;
        let spaces = txn.spaces()?;
        spaces.iter().try_for_each(|(id, _)| txn.delete_embeddings(NS, *id, slot).map(drop))
    });
    assert_told(&found, "nobody will embed \"m1\"");
}
