//! What the tests of the database share.

#![allow(dead_code)] // each test file uses a part of it

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use embedded_db_common::{ActivityLevel, Draft, Durability, Options, Result, Value, WeaverOptions};
use embedded_db_engine::{
    AddTo, AsOf, Changes, Database, EdgeChanges, EdgeDraft, EmbeddingDraft, Expiry, Node,
    NodeDraft, Reach,
};
use embedded_db_testing::FakeModels;
use proptest::test_runner::{Config, RngSeed};

/// Name and dimension of the space of the fake models.
pub(crate) const MODEL: &str = "fake";
/// Far more than anything here takes: a wait that ends by it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Copies a directory and all in it to a place where nothing is.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}

pub(crate) fn go_on() -> Result<()> {
    Ok(())
}

/// Nothing is synced, failures are tried again at once.
pub(crate) fn fast() -> Options {
    Options {
        durability: Durability::Memory,
        lock_timeout: Duration::ZERO,
        weaver: WeaverOptions {
            first_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            activity_level: ActivityLevel::SleepMode,
            // A history may go on over the end of a week.
            summary_span: None,
            ..WeaverOptions::default()
        },
        ..Options::default()
    }
}

/// The same, and what is searched is put into files again and again.
pub(crate) fn sealing() -> Options {
    Options { seal_after: 4, link_after: 6, ..fast() }
}

pub(crate) fn in_memory() -> (Database, Arc<FakeModels>) {
    let models = Arc::new(FakeModels::default());
    (Database::open(":memory:", &fast(), Some(models.clone())).unwrap(), models)
}

pub(crate) fn without_models() -> Database {
    Database::open(":memory:", &fast(), None).unwrap()
}

/// All that waits is done.
pub(crate) fn drain(db: &Database) {
    assert!(db.wait_idle(Some(PATIENCE), &go_on).unwrap(), "{:?}", db.weaver_status());
}

pub(crate) fn assert_sound(db: &Database) {
    let report = db.verify(&go_on).unwrap();
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}

pub(crate) fn draft(values: &[(&str, Value)]) -> Draft {
    let mut out = Draft::new();
    for (name, value) in values {
        out.set(name, value).unwrap();
    }
    out
}

pub(crate) fn text(value: &str) -> Value {
    Value::Str(value.to_owned())
}

pub(crate) fn node(id: &str, label: &str, values: &[(&str, Value)]) -> NodeDraft {
    let labels = vec![label.to_owned()];
    NodeDraft { labels, ..NodeDraft::unlabelled(Some(id.to_owned()), draft(values)) }
}

pub(crate) fn edge(id: &str, source: &str, edge_type: &str, target: &str) -> EdgeDraft {
    EdgeDraft {
        id: Some(id.to_owned()),
        source: source.to_owned(),
        target: target.to_owned(),
        edge_type: edge_type.to_owned(),
        properties: Draft::new(),
        weight: 1.0,
        valid_from: None,
        valid_to: None,
        sources: Vec::new(),
    }
}

pub(crate) fn vector(id: &str, node: &str, space: Option<&str>, values: &[f32]) -> EmbeddingDraft {
    EmbeddingDraft {
        id: Some(id.to_owned()),
        node_id: node.to_owned(),
        space: space.map(str::to_owned),
        vector: values.to_vec(),
    }
}

pub(crate) fn set(values: &[(&str, Value)]) -> Changes {
    Changes { set: draft(values), remove: Vec::new() }
}

pub(crate) fn say(db: &Database, chat: &str, id: &str, content: &str) -> Node {
    let properties = draft(&[("content", text(content))]);
    let message = NodeDraft::unlabelled(Some(id.to_owned()), properties);
    let made = db.add_messages(chat, vec![message], AddTo::AnyChat).unwrap();
    made.into_iter().next().unwrap()
}

pub(crate) fn value(node: &Node, name: &str) -> Option<Value> {
    node.property(name, |value| Ok(value.to_value()?)).unwrap()
}

pub(crate) fn properties(node: &Node) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    node.each_property(&mut |name, value| {
        out.push((name.to_owned(), value.to_value()?));
        Ok(())
    })
    .unwrap();
    out
}

/// Ids at the other ends of edges of one type, in order.
pub(crate) fn neighbors(db: &Database, id: &str, edge_type: &str, way: Reach) -> Vec<String> {
    let page = db
        .neighbors(id, Some(&[edge_type.to_owned()]), way, AsOf::default(), None, usize::MAX)
        .unwrap();
    assert_eq!(page.next, None);
    page.items.iter().map(|node| node.id().unwrap()).collect()
}

/// The same cases in every run, unless `PROPTEST_RNG_SEED` and `PROPTEST_CASES` say otherwise.
pub(crate) fn seeded(seed: u64, cases: u32) -> Config {
    fn given<T: std::str::FromStr>(name: &str) -> Option<T> {
        std::env::var(name).ok()?.parse().ok()
    }
    Config {
        cases: given("PROPTEST_CASES").unwrap_or(cases),
        rng_seed: RngSeed::Fixed(given("PROPTEST_RNG_SEED").unwrap_or(seed)),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..Config::default()
    }
}

/// Nobody looks at how far it is.
pub(crate) fn quiet(_: u64, _: u64) -> Result<()> {
    Ok(())
}

/// What the database holds, as one text.
pub(crate) fn hash(db: &Database) -> String {
    db.logical_hash(&mut quiet).unwrap().to_string()
}

/// A database that has something of every kind, with holes where something was deleted; what the
/// models do next is not done.
pub(crate) fn everything(path: &Path) -> Database {
    let models = Arc::new(FakeModels::default());
    models.poison.lock().unwrap().push("poison".into());
    let db = Database::open(path, &fast(), Some(models)).unwrap();
    fill(&db, "");
    fill(&db.namespace("second").unwrap(), "2");
    fill(&db.namespace("gone").unwrap(), "3");
    drain(&db);
    db.drop_namespace("gone").unwrap();
    for (id, _) in [("m3", ""), ("extra", "")] {
        db.delete_node(id, None).unwrap();
    }
    drain(&db);
    db.close();
    let db = Database::open(path, &fast(), None).unwrap();
    say(&db, "chat", "late", "Carol waits for a model");
    db
}

fn fill(db: &Database, suffix: &str) {
    for n in 0..6 {
        say(db, "chat", &format!("m{n}"), &format!("Alice met Bob {n} in Oslo{suffix}"));
    }
    say(db, "chat", "bad", "poison");
    db.declare_label("Thing", vec!["text".into()], vec!["text".into()]).unwrap();
    let things = (0..300).map(|n| {
        let values = [("size", Value::Int(n)), ("text", text(&format!("thing {n} of many")))];
        node(&format!("t{n}"), "Thing", &values)
    });
    db.create_nodes(things.collect()).unwrap();
    db.create_nodes(vec![node("extra", "Extra", &[])]).unwrap();
    let later = Expiry::After(3_600_000_000);
    db.create_nodes(vec![NodeDraft { expiry: later, ..node("mortal", "Thing", &[]) }]).unwrap();
    db.create_index("Thing", "size", true, &go_on).unwrap();
    for n in 0..20 {
        let (id, to) = (format!("e{n}"), format!("t{}", n + 1));
        let sources = vec!["m1".to_owned()];
        let made = EdgeDraft { sources, ..edge(&id, "t0", "LIKES", &to) };
        db.create_edge(made).unwrap();
        let changes = EdgeChanges { weight: Some(f64::from(n)), ..EdgeChanges::default() };
        db.update_edge(&id, changes, None).unwrap();
    }
    db.retract_edge("e1").unwrap();
    db.delete_edge("e2").unwrap();
    db.delete_node("t3", None).unwrap();
    let given = vec![
        vector("v1", "t1", Some("own"), &[1.0, 2.0]),
        vector("v2", "t2", Some("own"), &[-0.0, 1e-40]),
    ];
    db.create_embeddings(given).unwrap();
}
