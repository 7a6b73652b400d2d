//! A compacted database holds the same in less room: readers, writers, the weaver and whoever holds
//! something of before go on as if nothing had happened.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::{
    assert_sound, copy, draft, drain, edge, everything, fast, go_on, hash, neighbors, node, quiet,
    say, set, text, value, vector,
};
use embedded_db_common::{Error, Options, Value};
use embedded_db_engine::{
    AsOf, ConvergedQuery, Database, EdgeChanges, Query, Rank, Reach, SemanticLeg,
};
use embedded_db_testing::FakeModels;
use tempfile::TempDir;

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn open(path: &Path) -> Database {
    Database::open(path, &fast(), None).unwrap()
}

fn compact(db: &Database) {
    db.compact(&mut quiet).unwrap();
    sound(db);
}

fn sound(db: &Database) {
    let report = db.verify_deep(&go_on).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}

fn generations(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("gen-")).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A query of ten nodes with nothing but what is given.
fn query(text: Option<&str>, label: Option<&str>, vector: Option<&[f32]>) -> Query {
    let query = ConvergedQuery {
        filters: Vec::new(),
        graph: None,
        semantic: None,
        text: text.map(Into::into),
        labels: label.into_iter().map(str::to_owned).collect(),
        order_by: Vec::new(),
        limit: 10,
        rank: Rank::default(),
        recall: None,
        explain: false,
    };
    let semantic = vector.map(|vector| SemanticLeg::Vector(vector.to_vec()));
    let space = vector.map(|_| "own".to_owned());
    Query { query, semantic, threshold: None, space, wait: None, timeout: None }
}

fn words(text: &str) -> Query {
    query(Some(text), None, None)
}

fn found(answer: &embedded_db_engine::Answer) -> Vec<String> {
    answer.hits.iter().map(|hit| hit.node.id().unwrap()).collect()
}

#[test]
fn it_holds_the_same_in_one_generation_without_holes() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let (before, stats) = (hash(&db), db.stats().unwrap());
    let ids = |db: &Database| -> Vec<String> {
        db.nodes(None, None, 10_000).unwrap().iter().map(|node| node.id().unwrap()).collect()
    };
    let (order, texts) = (ids(&db), found(&db.query(&words("Oslo"), None, &go_on).unwrap()));
    for generation in 2..5 {
        compact(&db);
        assert_eq!(hash(&db), before);
        assert_eq!(ids(&db), order, "in the order in which they were made");
        let now = db.stats().unwrap();
        assert_eq!((now.lsn, now.nodes, now.edges), (stats.lsn, stats.nodes, stats.edges));
        assert_eq!(found(&db.query(&words("Oslo"), None, &go_on).unwrap()), texts);
        assert_eq!(generations(&scratch.at("db")), [format!("gen-{generation:010}")]);
        assert_eq!(neighbors(&db, "t0", "LIKES", Reach::Out).len(), 18);
        assert_eq!(db.edge_history("e5").unwrap().len(), 2);
    }
    db.close();
    let db = open(&scratch.at("db"));
    assert_eq!(hash(&db), before);
    // It is written to as before.
    say(&db, "chat", "new", "And so on");
    db.delete_node("m1", None).unwrap();
    db.create_edge(edge("late", "t5", "LIKES", "new")).unwrap();
    sound(&db);
    compact(&db);
}

#[test]
fn an_empty_database_and_one_in_memory() {
    let db = Database::open(":memory:", &fast(), None).unwrap();
    compact(&db);
    say(&db, "chat", "m", "Hello");
    let before = hash(&db);
    compact(&db);
    assert_eq!(hash(&db), before);
    // Everything that there was is gone, and nothing is left of it.
    db.delete_node("chat", None).unwrap();
    compact(&db);
    assert_eq!(db.count(None).unwrap(), 0);
    say(&db, "chat", "m", "Hello again");
    sound(&db);
}

/// The room that is not used: ten times as much was written as is there.
#[test]
fn the_file_is_as_small_as_a_new_one() {
    // Ten megabytes: what threads behind the writer hold on a busy machine, until they get a turn, is little beside it.
    const NODES: usize = 800;
    let scratch = Scratch::new();
    let size = |path: &Path| {
        let newest = generations(path).pop().unwrap();
        fs::metadata(path.join(newest).join("data.mdb")).unwrap().len()
    };
    let content = |round: usize, n: usize| {
        let body = format!("{round}/{n} ").repeat(1500);
        vec![("text".to_owned(), Value::Str(body))]
    };
    // Nothing is put into files meanwhile: whoever reads holds what is overwritten until it is done.
    let options = Options { seal_after: u64::MAX, ..fast() };
    let rounds = |path: &Path, rounds: std::ops::Range<usize>| {
        let db = Database::open(path, &options, None).unwrap();
        for round in rounds {
            for n in 0..NODES {
                let values = content(round, n);
                let values: Vec<(&str, Value)> =
                    values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                let id = format!("n{n}");
                if db.exists(&id).unwrap() {
                    db.update_node(&id, set(&values), None).unwrap();
                } else {
                    db.create_nodes(vec![node(&id, "Doc", &values)]).unwrap();
                }
            }
        }
        db
    };
    rounds(&scratch.at("fresh"), 10..11).close();
    let db = rounds(&scratch.at("db"), 0..11);
    let (fresh, used) = (size(&scratch.at("fresh")), size(&scratch.at("db")));
    assert!(used <= 2 * fresh, "{used} bytes, {fresh} when new");
    let renewed = db.compact(&mut quiet).unwrap();
    assert_eq!((renewed.before, renewed.after), (used, size(&scratch.at("db"))));
    assert!(renewed.after * 10 <= fresh * 12, "{renewed:?}, {fresh} when new");
    sound(&db);
}

#[test]
fn what_is_held_of_before_stays_what_it_was() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    db.create_nodes((0..40).map(|n| node(&format!("p{n:02}"), "Page", &[])).collect()).unwrap();
    let pages = query(None, Some("Page"), None);
    let first = db.query(&pages, None, &go_on).unwrap();
    let snapshot = db.snapshot().unwrap();
    let inside = snapshot.query(&pages, None, &go_on).unwrap();
    let read = db.get_node("t7").unwrap().unwrap();
    let history = snapshot.edge_history("e5").unwrap().len();
    let likes = ["LIKES".to_owned()];
    let page = db.neighbors("t0", Some(&likes), Reach::Out, AsOf::default(), None, 5).unwrap();
    let all = neighbors(&db, "t0", "LIKES", Reach::Out);

    for round in 0..2 {
        compact(&db);
        db.create_nodes(vec![node(&format!("later{round}"), "Page", &[])]).unwrap();
        db.delete_node(&format!("p{:02}", 30 + round), None).unwrap();
    }
    // Pages go on in the state that they began with, neither twice nor left out.
    let mut ids = found(&first);
    let mut cursor = first.cursor;
    while let Some(at) = cursor {
        let next = db.query(&pages, Some(&at), &go_on).unwrap();
        ids.extend(found(&next));
        cursor = next.cursor;
    }
    assert_eq!(ids.len(), 40);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 40);
    assert!(ids.contains(&"p30".to_owned()) && !ids.contains(&"later0".to_owned()));
    // So do those of a snapshot, and all that it reads.
    let more = snapshot.query(&pages, inside.cursor.as_deref(), &go_on).unwrap();
    assert_eq!(more.hits.len(), 10);
    assert_eq!(snapshot.count(Some("Page")).unwrap(), 40);
    assert!(snapshot.get_node("p30").unwrap().is_some());
    assert_eq!(snapshot.edge_history("e5").unwrap().len(), history);
    assert!(!snapshot.query(&words("Oslo"), None, &go_on).unwrap().hits.is_empty());
    assert_eq!(
        found(&snapshot.query(&query(None, None, Some(&[1.0, 2.0])), None, &go_on).unwrap())[0],
        "t1"
    );
    // A cursor of one snapshot is none of another, though both have the same LSN.
    let lsn = snapshot.lsn();
    drop(snapshot);
    compact(&db);
    let other = db.snapshot().unwrap();
    assert_ne!(other.lsn(), lsn);
    let cursor = other.query(&pages, None, &go_on).unwrap().cursor.unwrap();
    drop(other);
    compact(&db);
    let again = db.snapshot().unwrap();
    assert!(again.query(&pages, Some(&cursor), &go_on).is_err(), "slots mean something else");
    // The neighbours behind a page, by its cursor.
    let rest = db
        .neighbors("t0", Some(&likes), Reach::Out, AsOf::default(), page.next.as_deref(), 100)
        .unwrap();
    let ids: Vec<String> =
        page.items.iter().chain(&rest.items).map(|node| node.id().unwrap()).collect();
    assert_eq!(ids, all);
    // What was read before is saved as long as nobody else has changed it.
    let changed = db.update_node("t7", set(&[("x", Value::Int(1))]), Some(&read)).unwrap();
    let stale = db.update_node("t7", set(&[("x", Value::Int(2))]), Some(&read));
    assert!(matches!(stale, Err(Error::Conflict { .. })));
    db.delete_node("t7", None).unwrap();
    db.create_nodes(vec![node("t7", "Thing", &[])]).unwrap();
    let again = db.update_node("t7", set(&[("x", Value::Int(3))]), Some(&changed));
    assert!(matches!(again, Err(Error::Conflict { .. })), "it is another");
    compact(&db);
    let again = db.update_node("t7", set(&[("x", Value::Int(3))]), Some(&changed));
    assert!(matches!(again, Err(Error::Conflict { .. })), "it is another");
}

#[test]
fn a_transaction_goes_on_over_it() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let begin = || {
        let mut tx = db.transaction().unwrap();
        assert!(tx.get_node("t7").unwrap().is_some());
        assert!(tx.get_edge("e5").unwrap().is_some());
        assert!(tx.get_node("nobody").unwrap().is_none());
        tx.update_node("t8", set(&[("x", Value::Int(1))])).unwrap();
        tx.create_node(node("made", "Thing", &[])).unwrap();
        tx.create_edge(edge("tied", "made", "T", "t9")).unwrap();
        tx
    };
    let tx = begin();
    compact(&db);
    tx.commit().unwrap();
    assert!(db.get_edge("tied", AsOf::default()).unwrap().is_some());
    db.delete_node("made", None).unwrap();
    for spoil in [
        &(|| drop(db.update_node("t7", set(&[("y", Value::Int(1))]), None))) as &dyn Fn(),
        &|| {
            drop(db.update_edge(
                "e5",
                EdgeChanges { weight: Some(9.0), ..Default::default() },
                None,
            ))
        },
        &|| drop(db.create_nodes(vec![node("nobody", "Thing", &[])])),
    ] {
        let tx = begin();
        compact(&db);
        spoil();
        assert!(matches!(tx.commit(), Err(Error::Conflict { .. })));
        if db.exists("nobody").unwrap() {
            db.delete_node("nobody", None).unwrap();
        }
    }
    sound(&db);
}

#[test]
fn writers_and_readers_go_on_and_lose_nothing() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for writer in 0..3 {
            let (db, done, written) = (&db, &done, &written);
            scope.spawn(move || {
                let mut n = 0;
                while !done.load(Ordering::Acquire) {
                    let id = |what: &str| format!("{what}{writer}/{n}");
                    db.create_nodes(vec![
                        node(&id("a"), "Made", &[("sender", text("Eve")), ("n", Value::Int(n))]),
                        node(&id("b"), "Made", &[("timestamp", Value::Int(n))]),
                    ])
                    .unwrap();
                    db.create_edge(edge(&id("e"), &id("a"), "PAIR", &id("b"))).unwrap();
                    db.create_edge(edge(&id("f"), "t0", "MANY", &id("b"))).unwrap();
                    db.create_embeddings(vec![vector(
                        &id("v"),
                        &id("a"),
                        Some("own"),
                        &[n as f32, 1.0],
                    )])
                    .unwrap();
                    say(db, "chat", &id("m"), "One more word");
                    match n % 4 {
                        0 => db.delete_node(&id("a"), None).unwrap(),
                        1 => db.retract_edge(&id("e")).unwrap(),
                        2 => {
                            let changes =
                                EdgeChanges { weight: Some(2.0), ..EdgeChanges::default() };
                            db.update_edge(&id("f"), changes, None).unwrap();
                        }
                        _ => {
                            let other = db.namespace(&id("ns")).unwrap();
                            other.create_nodes(vec![node("x", "Other", &[])]).unwrap();
                            if n % 8 == 3 {
                                db.drop_namespace(&id("ns")).unwrap();
                            }
                        }
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                    n += 1;
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                // What was made in one write is seen together, whichever generation it is read of.
                let snapshot = db.snapshot().unwrap();
                assert_eq!(snapshot.count(Some("Page")).unwrap(), 0);
                let page = snapshot.nodes(Some("Thing"), None, 1000).unwrap();
                assert_eq!(page.len(), 300);
                assert!(!db.query(&words("Oslo"), None, &go_on).unwrap().hits.is_empty());
            }
        });
        for _ in 0..4 {
            let before = written.load(Ordering::Relaxed);
            while written.load(Ordering::Relaxed) < before + 20 {
                thread::yield_now();
            }
            db.compact(&mut |_, _| {
                thread::yield_now();
                Ok(())
            })
            .unwrap();
        }
        db.create_index("Made", "n", false, &go_on).unwrap();
        db.compact(&mut quiet).unwrap();
        done.store(true, Ordering::Release);
    });
    drain(&db);
    sound(&db);
    let total = written.load(Ordering::Relaxed);
    assert_eq!(db.count(Some("Message")).unwrap(), total + 7);
    assert_eq!(neighbors(&db, "t0", "MANY", Reach::Out).len(), total as usize);
    let before = hash(&db);
    compact(&db);
    assert_eq!(hash(&db), before);
}

/// Results of a call that began before belong to messages that have other slots now.
#[test]
fn the_weaver_goes_on() {
    let scratch = Scratch::new();
    let models = Arc::new(FakeModels::default());
    models.poison.lock().unwrap().push("poison".into());
    let db = Database::open(scratch.at("db"), &fast(), Some(models.clone())).unwrap();
    // Holes, so that slots change.
    say(&db, "old", "gone", "Nobody reads this");
    db.delete_node("old", None).unwrap();
    for n in 0..60 {
        let content = if n % 7 == 0 { "poison" } else { "Alice met Bob" };
        say(&db, &format!("chat{}", n % 5), &format!("m{n}"), &format!("{content} {n}"));
        if n % 10 == 0 {
            db.compact(&mut quiet).unwrap();
        }
    }
    drain(&db);
    sound(&db);
    for n in 0..60 {
        let stored = db.embedding_of(&format!("m{n}"), None).unwrap();
        if n % 7 == 0 {
            assert!(stored.is_none());
        } else {
            let sender_less = format!("Alice met Bob {n}");
            assert_eq!(stored.unwrap().vector, FakeModels::vector(&sender_less), "m{n}");
        }
    }
    assert!(db.failures().unwrap().iter().filter(|(_, failure)| failure.id.is_some()).count() > 8);
    models.poison.lock().unwrap().clear();
    db.compact(&mut quiet).unwrap();
    assert!(db.retry_failed().unwrap() > 0);
    drain(&db);
    sound(&db);
    assert_eq!(db.failures().unwrap(), []);
}

#[test]
fn what_is_broken_off_leaves_everything_as_it_was() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let before = hash(&db);
    let mut steps = 0;
    db.compact(&mut |_, _| {
        steps += 1;
        Ok(())
    })
    .unwrap();
    assert!(steps > 3);
    for stop in 0..steps {
        let mut step = 0;
        let broken = db.compact(&mut |_, _| {
            step += 1;
            if step > stop { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(broken, Err(Error::Interrupted)), "step {stop}");
        assert_eq!(generations(&scratch.at("db")), ["gen-0000000002"]);
        say(&db, "chat", &format!("after{stop}"), "It goes on");
    }
    for stop in 0..steps {
        db.delete_node(&format!("after{stop}"), None).unwrap();
    }
    drain(&db);
    assert_sound(&db);
    assert_ne!(before, String::new());
}

#[test]
fn who_is_told_of_the_progress_may_use_the_database() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let mut n = 0;
    db.compact(&mut |_, _| {
        db.create_nodes(vec![node(&format!("told{n}"), "Told", &[])]).unwrap();
        let again = db.compact(&mut quiet);
        assert!(matches!(again, Err(Error::InvalidInput(_))), "one is enough");
        n += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(db.count(Some("Told")).unwrap(), n);
    sound(&db);
    // It may also close it: then nothing comes of it.
    let outcome = db.compact(&mut |_, _| {
        db.close();
        Ok(())
    });
    assert!(matches!(outcome, Err(Error::DatabaseClosed { .. })));
    assert_eq!(generations(&scratch.at("db")), ["gen-0000000002"]);
    let db = open(&scratch.at("db"));
    assert_eq!(db.count(Some("Told")).unwrap(), n);
    let reader = Database::open(scratch.at("db"), &fast(), None).unwrap();
    drop(reader);
    db.close();
    let options = Options { read_only: true, ..fast() };
    let reader = Database::open(scratch.at("db"), &options, None).unwrap();
    assert!(matches!(reader.compact(&mut quiet), Err(Error::ReadOnly { .. })));
}

/// Two handles in one process that share nothing but the files: as two processes would.
#[test]
fn what_other_openings_left_is_cleared_away() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let before = hash(&db);
    db.compact(&mut quiet).unwrap();
    db.close();
    let path = scratch.at("db");
    // A generation that was not complete, and an old one that was not removed.
    fs::create_dir(path.join("gen-0000000003")).unwrap();
    fs::write(path.join("gen-0000000003/data.mdb"), vec![7; 9000]).unwrap();
    copy(&path.join("gen-0000000002"), &path.join("gen-0000000001"));
    fs::create_dir(path.join("gen-0000000000")).unwrap();
    fs::create_dir(path.join("gen-mine")).unwrap();
    let options = Options { read_only: true, ..fast() };
    let reader = Database::open(&path, &options, None).unwrap();
    assert_eq!(hash(&reader), before);
    reader.close();
    assert_eq!(generations(&path).len(), 5, "a reader removes nothing");
    let db = open(&path);
    assert_eq!(hash(&db), before);
    assert_eq!(generations(&path), ["gen-0000000002", "gen-mine"]);
    compact(&db);
    assert_eq!(generations(&path), ["gen-0000000003", "gen-mine"]);
}

#[test]
fn names_of_before_are_still_known() {
    let scratch = Scratch::new();
    let db = open(&scratch.at("db"));
    let made = node("n", "Rare", &[("seldom", Value::Int(7))]);
    db.create_nodes(vec![made]).unwrap();
    let read = db.get_node("n").unwrap().unwrap();
    compact(&db);
    assert_eq!(value(&read, "seldom"), Some(Value::Int(7)));
    assert_eq!(value(&read, "never"), None);
    let _ = draft(&[]);
}
