//! A database after its disk did something else than it was told: what is read is right, or told to be
//! damaged.

use std::path::Path;
use std::sync::Arc;

use embedded_db_engine::Database;
use embedded_db_engine::common::{Error, Result};
use embedded_db_testing::FakeModels;

use crate::life::How;
use crate::log::Event;
use crate::machine::{note, wrong};
use crate::opening::options;
use crate::operation::Change;
use crate::perform::{self, go_on};
use crate::random::Random;
use crate::reading::{Reads, told, told_node};
use crate::world::{Graph, World};

/// Noted when the damage was told.
pub(crate) const TOLD: &str = "the damage was told";

/// Looks at everything by itself, and writes.
pub(crate) fn look(root: &Path, how: How, possible: &[World]) {
    let models = how.models.then(|| Arc::new(FakeModels::default()) as _);
    let db = match Database::open(root.join("db"), &options(how), models) {
        Ok(db) => db,
        Err(error) => return damaged("opening", &error),
    };
    match told(&db) {
        Ok(found) if possible.iter().any(|world| world.told() == found) => {}
        Ok(found) => wrong(&format!("wrong answers after a fault of the disk:\n{found}")),
        Err(error) => damaged("reading", &error),
    }
    match db.verify_deep(&go_on) {
        Ok(report) if report.problems.is_empty() => {}
        Ok(report) => {
            note(&Event::Note(&format!("verify: {:?}", report.problems)));
            note(&Event::Note(TOLD));
        }
        Err(error) => damaged("verify", &error),
    }
    if let [world] = possible {
        for (name, graph) in &world.graphs {
            if let Some(db) = read("a namespace", db.namespace(name)) {
                look_at_each(&db, graph);
            }
        }
    }
    write_some(&db);
    db.close();
}

/// Each thing by itself: what can be read of it is right.
fn look_at_each(db: &Database, graph: &Graph) {
    let expect = |what: &str, found: String, expected: String| {
        if found != expected {
            wrong(&format!(
                "a wrong answer after a fault of the disk, {what}: {found}, not {expected}"
            ));
        }
    };
    for (id, node) in &graph.nodes {
        let found = read("a node", db.get_node(id));
        let found = found.map(|node| node.map(|node| told_node(&node)).transpose());
        if let Some(Ok(found)) = found {
            expect(id, found.unwrap_or_default(), node.told(id));
        }
    }
    for (id, vector) in &graph.vectors {
        if let Some(found) = read("a vector", db.vector(id)) {
            let found = found.map(|(node, _, values)| (node, values));
            let expected = Some((vector.node.clone(), vector.values.clone()));
            expect(id, format!("{found:?}"), format!("{expected:?}"));
        }
    }
    for (id, messages) in &graph.chats {
        if let Some(found) = read("a chat", db.messages_of(id)) {
            expect(id, format!("{found:?}"), format!("{messages:?}"));
        }
    }
}

/// What can be written is, and what cannot says why; nobody dies of it.
fn write_some(db: &Database) {
    let mut random = Random::of(0, 8);
    for _ in 0..12 {
        let change = Change::any(&mut random);
        if let Err(error) = perform::change(db, &change)
            && !matches!(error.code(), "NotFound" | "AlreadyExists")
        {
            damaged("writing", &error);
        }
    }
}

fn read<T>(what: &str, outcome: Result<T>) -> Option<T> {
    outcome.inspect_err(|error| damaged(what, error)).ok()
}

/// The only error that may come of it.
fn damaged(what: &str, error: &Error) {
    if error.code() != "Corruption" {
        wrong(&format!("{what} after a fault of the disk: {}: {error}", error.code()));
    }
    note(&Event::Note(&format!("{what}: {error}")));
    note(&Event::Note(TOLD));
}
