//! `verify` finds what does not agree: each test damages one thing behind the database's back.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{assert_sound, drain, everything, fast, go_on, node, say, text};
use embedded_db_common::{Error, NamespaceId, Options, Result, Slot, Value, ValueRef};
use embedded_db_engine::Database;
use embedded_db_storage::{
    Cell, IndexId, ReadEmbeddings, ReadPostings, ReadTxn, Store, WriteTxn, text_value,
};
use embedded_db_testing::FakeModels;

const NS: NamespaceId = NamespaceId::DEFAULT;

/// As `after`, in a database with an index over `Thing.size`.
fn after_with_index(
    damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static,
) -> Vec<String> {
    damaged(|db| drop(db.create_index("Thing", "size", false, &go_on).unwrap()), damage)
}

/// What `verify` says after `damage` to a database with messages, entities and vectors.
fn after(damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static) -> Vec<String> {
    damaged(|_| {}, damage)
}

fn damaged(
    prepare: impl FnOnce(&Database),
    damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static,
) -> Vec<String> {
    let (_directory, db) = with_damage(prepare, damage);
    db.verify(&go_on).unwrap().problems
}

fn with_damage(
    prepare: impl FnOnce(&Database),
    damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static,
) -> (tempfile::TempDir, Database) {
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
    db.create_nodes(vec![node("n", "Thing", &[("sender", text("Eve")), ("size", Value::Int(7))])])
        .unwrap();
    prepare(&db);
    drain(&db);
    db.delete_node("m3", None).unwrap();
    drain(&db);
    assert_sound(&db);
    db.close();
    let store = Store::open(&path, &fast()).unwrap();
    store.write(damage).unwrap();
    drop(store);
    let db = Database::open(path.to_str().unwrap(), &fast(), None).unwrap();
    (directory, db)
}

/// The same of a deep verification.
fn deeply(damage: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static) -> Vec<String> {
    let (_directory, db) = with_damage(|_| {}, damage);
    assert!(db.verify(&go_on).unwrap().problems.is_empty(), "only a deep one looks at it");
    db.verify_deep(&go_on).unwrap().problems
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
fn an_entity_that_is_not_found_by_its_name() {
    for (key, slot) in [("thing:alice", "n"), ("nobody", "m1")] {
        let found = deeply(move |txn| {
            let slot = txn.require_node(NS, slot)?;
            txn.post(NS, IndexId::ENTITY_KEY, &text_value(key), slot)
        });
        assert_told(&found, "0 entities are not found by their names, and 1 names lead to none");
    }
    let found = deeply(|txn| {
        let value = text_value("thing:alice");
        let mut slots = Vec::new();
        txn.index_values(NS, IndexId::ENTITY_KEY, |found, container| {
            if found == value {
                slots.extend(container.slots());
            }
            true
        })?;
        assert_eq!(slots.len(), 1);
        txn.unpost(NS, IndexId::ENTITY_KEY, &value, Slot(slots[0]))
    });
    assert_told(&found, "1 entities are not found by their names, and 0 names lead to none");
}

#[test]
fn a_name_that_no_message_says() {
    let found = deeply(|txn| {
        let slot = txn.require_node(NS, "m1")?;
        txn.post(NS, IndexId::NAME_SAID, &[0; 17], slot)
    });
    assert_told(&found, "0 names are not found in their chats, and 1 are that no message says");
}

/// What is wrong with a page that is in use is told, whether or not anything on it is read.
#[test]
fn a_deep_verification_reads_every_page() {
    let directory = tempfile::tempdir().unwrap();
    let db = everything(&directory.path().join("db"));
    db.create_nodes(vec![node("x", "Thing", &[])]).unwrap();
    let report = db.verify_deep(&go_on).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.pages.unwrap() > 20 && report.nodes > 600, "{report:?}");
    assert_eq!(db.verify(&go_on).unwrap().pages, None);
    db.close();
    let file = directory.path().join("db/gen-0000000001/data.mdb");
    let sound = std::fs::read(&file).unwrap();
    let open = || {
        let options = Options { read_only: true, ..fast() };
        Database::open(directory.path().join("db"), &options, None)
    };
    let mut told = 0;
    for page in (2..sound.len() / 4096).step_by(5) {
        let mut bytes = sound.clone();
        bytes[page * 4096] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let db = match open() {
            Ok(db) => db,
            Err(error) => {
                assert!(matches!(error, Error::Corruption { .. }), "{error}");
                told += 1;
                continue;
            }
        };
        let is_told = !db.verify_deep(&go_on).unwrap().problems.is_empty();
        match db.verify(&go_on) {
            Ok(report) => assert!(report.problems.is_empty()),
            Err(error) => assert!(is_told && matches!(error, Error::Corruption { .. }), "{error}"),
        }
        told += usize::from(is_told);
        db.close();
    }
    assert!(told > 10, "{told} pages are in use");
}

#[test]
fn a_deep_verification_stands_under_steady_writing() {
    let directory = tempfile::tempdir().unwrap();
    let db = everything(&directory.path().join("db"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                db.create_nodes(vec![node(&format!("n{n}"), "Thing", &[])]).unwrap();
                if done.load(Ordering::Acquire) {
                    break;
                }
            }
        });
        for _ in 0..5 {
            assert_eq!(db.verify_deep(&go_on).unwrap().problems, Vec::<String>::new());
        }
        done.store(true, Ordering::Release);
    });
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
fn a_time_that_is_wrong_in_the_column_or_missing() {
    for value in [Some(ValueRef::Time(5)), Some(ValueRef::Null), None] {
        let cell = value.as_ref().and_then(Cell::of);
        let found = after(move |txn| {
            let slot = slot(txn, "m1")?;
            txn.put_cell(NS, IndexId::TIMESTAMP, slot, cell)
        });
        assert_told(&found, "the column of timestamp has 1 wrong values and 0 of no node");
    }
    let found = after(|txn| {
        let slot = slot(txn, "n")?;
        txn.put_cell(NS, IndexId::TIMESTAMP, slot, Cell::of(&ValueRef::Int(5)))
    });
    assert_told(&found, "the column of timestamp has 1 wrong values and 0 of no node");
}

#[test]
fn a_value_that_is_wrong_in_the_column_of_an_index_made_on_demand() {
    // The first that is made gets this number.
    let index = IndexId::ON_DEMAND;
    for (id, value) in [("n", Some(ValueRef::Int(8))), ("n", None), ("m1", Some(ValueRef::Int(7)))]
    {
        let cell = value.as_ref().and_then(Cell::of);
        let found = after_with_index(move |txn| {
            let slot = slot(txn, id)?;
            txn.put_cell(NS, index, slot, cell)
        });
        assert_told(&found, "1 values are wrong in the column of Thing.size");
    }
    // In another type but equal: the postings do not tell them apart.
    let found = after_with_index(move |txn| {
        let slot = slot(txn, "n")?;
        txn.put_cell(NS, index, slot, Cell::of(&ValueRef::Float(7.0)))
    });
    assert_told(&found, "1 values are wrong in the column of Thing.size");
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
