//! Opening a database, and finding what it holds among what it may hold.

use std::sync::Arc;
use std::time::Duration;

use embedded_db_engine::Database;
use embedded_db_engine::common::{ActivityLevel, Error, Options, Result, WeaverOptions};
use embedded_db_testing::FakeModels;

use crate::derived;
use crate::life::How;
use crate::log::Event;
use crate::machine::{self, note, wrong};
use crate::perform::go_on;
use crate::reading::told;
use crate::world::World;

/// Tries at opening while calls fail.
const TRIES: usize = 50;

pub(crate) fn options(how: How) -> Options {
    let delay = Duration::from_millis(100);
    Options {
        durability: how.durability,
        lock_timeout: Duration::from_secs(1),
        map_size_first: how.map_size,
        // So that what is searched is put into files again and again.
        seal_after: 4,
        relaxed_window: Duration::from_micros(how.window),
        max_snapshot_age: Duration::from_secs(1_000_000),
        // It is mapped, and stores into maps are no calls that a power cut could come between.
        black_box: false,
        weaver: WeaverOptions {
            first_delay: delay,
            max_delay: delay,
            activity_level: ActivityLevel::SleepMode,
            // A history may go on over the end of a week.
            summary_span: None,
            ..WeaverOptions::default()
        },
        ..Options::default()
    }
}

/// Opens the database; a call that fails is an error that names what failed, and the next try finds
/// everything as it was.
pub(crate) fn open(root: &std::path::Path, how: How, models: &Arc<FakeModels>) -> Database {
    for _ in 0..TRIES {
        let models = how.models.then(|| Arc::clone(models) as _);
        match Database::open(root.join("db"), &options(how), models) {
            Ok(db) => {
                if how.models && !how.live {
                    must("pause", db.pause_weaver());
                }
                machine::opened("db");
                return db;
            }
            Err(error) if is_excused(&error) => machine::make_room(),
            Err(error) => wrong(&format!("it cannot be opened: {error}")),
        }
    }
    wrong("it cannot be opened, however often it is tried")
}

/// Whether an error may come of a fault that has happened. Where nothing was missing but room it says so.
pub(crate) fn is_excused(error: &Error) -> bool {
    match error.code() {
        "StorageFull" => machine::has_failed(),
        "StorageError" => machine::has_broken(),
        _ => false,
    }
}

/// The same of a call that may fail while calls fail.
pub(crate) fn at_last<T>(what: &str, call: impl Fn() -> Result<T>) -> T {
    for _ in 0..TRIES {
        match call() {
            Err(error) if is_excused(&error) => machine::make_room(),
            outcome => return must(what, outcome),
        }
    }
    must(what, call())
}

/// The same; `None` if a write that nobody waited for has broken the database until it is opened again.
fn or_broken<T>(what: &str, call: impl Fn() -> Result<T>) -> Option<T> {
    at_last(what, || match call() {
        Err(error) if error.code() == "StorageError" && is_excused(&error) => Ok(None),
        outcome => outcome.map(Some),
    })
}

pub(crate) fn must<T>(what: &str, outcome: Result<T>) -> T {
    outcome.unwrap_or_else(|error| wrong(&format!("{what}: {error}")))
}

/// Which of the states the database is in.
pub(crate) fn find(db: &Database, possible: Vec<World>) -> World {
    let found = at_last("reading", || told(db));
    let which = possible.iter().position(|world| world.told() == found);
    let Some(which) = which else {
        let expected: Vec<String> = possible.iter().map(World::told).collect();
        wrong(&different(&found, &expected));
    };
    note(&Event::Found(which as u32));
    let verified = or_broken("verify", || db.verify_deep(&go_on));
    if let Some(report) = verified.filter(|report| !report.problems.is_empty()) {
        wrong(&format!("verify: {:#?}", report.problems));
    }
    let world = possible.into_iter().nth(which).expect("it was found there");
    // How far nodes from before a declaration were looked at, nothing tells.
    if world.graphs.values().all(|graph| !graph.declared)
        && let Some(differences) = derived_differences(db, &world)
    {
        wrong(&differences);
    }
    world
}

/// Lines of what was found that are in no state, and of the nearest state that were not found.
pub(crate) fn different(found: &str, expected: &[String]) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let found = lines(found);
    let nearest = expected.iter().map(|text| lines(text)).min_by_key(|expected| {
        let missing = expected.iter().filter(|line| !found.contains(line)).count();
        missing + found.iter().filter(|line| !expected.contains(line)).count()
    });
    let nearest = nearest.unwrap_or_default();
    let mut out = format!("what is stored is none of {} possible states\n", expected.len());
    for line in found.iter().filter(|line| !nearest.contains(line)) {
        out.push_str(&format!("  unexpected: {line}\n"));
    }
    for line in nearest.iter().filter(|line| !found.contains(line)) {
        out.push_str(&format!("  missing:    {line}\n"));
    }
    out
}

/// In what derived data differ, where no work is left that would make them.
pub(crate) fn derived_differences(db: &Database, world: &World) -> Option<String> {
    let status = or_broken("the weaver's status", || db.weaver_status())?;
    if status.queue_size > 0 || status.activity_level == "off" {
        return None;
    }
    for (name, graph) in &world.graphs {
        let db = must("a namespace", db.namespace(name));
        let wrong = or_broken("reading what is derived", || derived::differences(&db, graph))?;
        if !wrong.is_empty() {
            return Some(format!("what is derived in {name}: {wrong:#?}"));
        }
    }
    None
}
