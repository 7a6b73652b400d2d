//! The life of one process: it opens a database, compares it with what there may be, does what it was
//! told, compares what comes of it, and ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use embedded_db_engine::common::{Durability, Error, Options, Result};
use embedded_db_engine::{Database, PinnedReads};
use embedded_db_testing::FakeModels;

use crate::log::Event;
use crate::machine::{self, note, wrong};
use crate::opening::{derived_differences, different, find, is_excused, open, options};
use crate::operation::{Change, Operation, Reading};
use crate::perform::{self, go_on, quiet};
use crate::reader::Mailbox;
use crate::reading::{Reads, check_edges, told, told_graph, told_node};
use crate::world::{Graph, World};

/// What a process does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// With the numbers by which they are known.
    pub(crate) operations: Vec<(u32, Operation)>,
    pub(crate) how: How,
    /// Whether it closes the database at its end, or is simply gone.
    pub(crate) closes: bool,
    /// Whether another process reads.
    pub(crate) is_read: bool,
}

/// How a database is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) durability: Durability,
    /// Whether there are models.
    pub(crate) models: bool,
    /// Whether the weaver works beside, or only when it is waited for.
    pub(crate) live: bool,
    /// Address space that is taken at first.
    pub(crate) map_size: usize,
    /// Microseconds after which what was acknowledged is on the disk, if that is relaxed.
    pub(crate) window: u64,
    /// Nanoseconds that a look at the clock takes: the longer, the more is due between two operations.
    pub(crate) pace: u64,
    /// Bytes that are free on the disk: not always enough for a log.
    pub(crate) room: u64,
}

/// Number of the opening among the operations.
pub(crate) const OPENING: u32 = 0;
/// Operations between two comparisons of everything.
const COMPARE: usize = 12;

struct Life {
    root: PathBuf,
    how: How,
    models: Arc<FakeModels>,
    db: Database,
    world: World,
    held: Vec<(PinnedReads, Arc<Graph>)>,
    /// Another process that reads, while it lives.
    reader: Option<Mailbox>,
    /// What it holds.
    held_beside: Option<Arc<Graph>>,
    /// The last operation failed in a way that leaves open what is stored.
    doubts: Option<Vec<World>>,
}

/// Runs a life in which a database may be in one of several states at first.
pub(crate) fn live(root: PathBuf, plan: Plan, possible: Vec<World>, mailbox: Mailbox) -> ! {
    note(&Event::Begin(OPENING));
    let models = Arc::new(FakeModels::default());
    let db = open(&root, plan.how, &models);
    let world = find(&db, possible);
    machine::done(OPENING);
    let mut life = Life {
        root,
        how: plan.how,
        models,
        db,
        world,
        held: Vec::new(),
        reader: plan.is_read.then_some(mailbox),
        held_beside: None,
        doubts: None,
    };
    for (count, (number, operation)) in plan.operations.iter().enumerate() {
        machine::begin(*number);
        life.operate(*number, operation);
        machine::note_maps();
        if life.doubts.is_some() {
            life.reopen();
        }
        if count % COMPARE == COMPARE - 1 {
            life.compare();
        }
    }
    machine::make_room();
    life.compare();
    if plan.closes {
        life.close();
        drop(life);
    }
    machine::end()
}

impl Life {
    fn here(&self) -> Result<Database> {
        self.db.namespace(&self.world.here)
    }

    /// Does it, and compares how that ends with how it should.
    fn operate(&mut self, number: u32, operation: &Operation) {
        let must_refuse = machine::must_refuse();
        let mut after = self.world.clone();
        let expected = after.operate(number, operation);
        let mut outcome = self.perform(number, operation, &after);
        if outcome.as_ref().is_err_and(|error| error.code() == "StorageFull")
            && !self.held.is_empty()
        {
            // A snapshot that is held forbids the map to grow. The background finds out that it is not held
            // any more when it tries again.
            self.held.clear();
            std::thread::sleep(Duration::from_secs(600));
            outcome = self.perform(number, operation, &after);
        }
        match (expected, outcome) {
            (Ok(()), Ok(())) => {
                let writes = !matches!(operation, Operation::Wait);
                if must_refuse && writes && after.told() != self.world.told() {
                    wrong("it is acknowledged, though a synchronisation has failed before");
                }
                self.world = after;
                machine::done(number);
            }
            (Err(code), Err(error)) if error.code() == code => machine::done(number),
            (_, Err(error)) if is_excused(&error) => {
                note(&Event::Note(&error.to_string()));
                // A call that reads what it has written tells of room that is missing for that, too.
                let is_kept = matches!(error, Error::StorageFull { is_kept: true, .. });
                if is_kept && machine::was_only_full() {
                    wrong(&format!("the room that is kept for what is acknowledged: {error}"));
                }
                let is_refused = error.code() == "StorageFull" && !is_kept;
                if is_refused && !matches!(operation, Operation::Together(_)) {
                    note(&Event::Refused(number));
                    self.compare();
                } else {
                    note(&Event::Unknown(number));
                    self.doubts = Some(self.world.outcomes(number, operation));
                }
            }
            (expected, outcome) => {
                let outcome = outcome.map_err(|error| format!("{}: {error}", error.code()));
                wrong(&format!("{outcome:?} instead of {expected:?}"));
            }
        }
    }

    fn perform(&mut self, number: u32, operation: &Operation, after: &World) -> Result<()> {
        if let Operation::Wait = operation {
            // Whatever the database says.
            machine::set_clock(after.hours);
            return Ok(());
        }
        let db = self.here()?;
        match operation {
            Operation::Do(change) => {
                perform::change(&db, change)?;
                when_there_is_room(|| self.look_at(&db, change, after))
            }
            Operation::CreateNodes(changes) => perform::create_nodes(&db, changes),
            Operation::UpdateMatching { p, q } => perform::update_matching(&db, *p, q),
            Operation::DeleteMatching { p } => {
                db.delete_matching(&perform::with_value(*p)).map(drop)
            }
            Operation::Transaction { changes, commit } => self.transaction(changes, *commit),
            Operation::Together(changes) => self.together(changes),
            Operation::Use(name) => self.db.namespace(name).map(drop),
            Operation::DropNamespace(name) => self.db.drop_namespace(name),
            Operation::CreateIndex { property } => {
                let unique = *property == crate::world::UNIQUE;
                db.create_index(crate::world::THING, property, unique, &go_on).map(drop)
            }
            Operation::DropIndex { property } => db.drop_index(crate::world::THING, property),
            Operation::Declare => {
                let notes = vec![crate::world::NOTE.to_owned()];
                db.declare_label(crate::world::THING, notes.clone(), notes)
            }
            Operation::Wait => Ok(()),
            Operation::Drain => self.drain(),
            Operation::Rest { milliseconds } => {
                std::thread::sleep(Duration::from_millis(*milliseconds));
                Ok(())
            }
            Operation::Ask { p, word, near } => self.ask(*p, word, near),
            Operation::Hold => {
                self.held.push((db.snapshot()?, Arc::clone(self.world.graph())));
                Ok(())
            }
            Operation::LetGo => self.let_go(),
            Operation::Read(what) => {
                self.read_beside(*what);
                Ok(())
            }
            Operation::Verify => self.verify(),
            Operation::Backup => {
                let place = self.root.join(format!("backup-{number}"));
                // It is not empty where a first try could neither go on nor take away what it had made.
                if place.exists()
                    && let Err(error) = std::fs::remove_dir_all(&place)
                {
                    wrong(&format!("what a backup left cannot be removed: {error}"));
                }
                self.db.backup(&place, &mut quiet).map(drop)
            }
            Operation::Restore => {
                let Some((backup, _)) = self.world.backups.last_key_value() else { return Ok(()) };
                let place = self.root.join(format!("restored-{number}"));
                perform::restore(&self.root.join(backup), &place)
            }
            Operation::Copies => self.copies(number),
            Operation::Compact => {
                self.db.compact(&mut quiet)?;
                machine::opened("db");
                Ok(())
            }
            Operation::Scrub => {
                self.db.scrub(&mut quiet)?;
                machine::opened("db");
                Ok(())
            }
            Operation::Reopen => {
                self.doubts = Some(vec![self.world.clone()]);
                Ok(())
            }
        }
    }

    /// What was made of backups, and the last of these, hold what they did.
    fn copies(&self, number: u32) -> Result<()> {
        let mut copies: Vec<_> = self.world.restored.iter().collect();
        let again = format!("restored-{number}");
        if let Some((backup, expected)) = self.world.backups.last_key_value() {
            perform::restore(&self.root.join(backup), &self.root.join(&again))?;
            copies.push((&again, expected));
        }
        let options = Options { read_only: true, ..options(self.how) };
        for (name, expected) in copies {
            let copy = Database::open(self.root.join(name), &options, None)?;
            let (found, expected) = (told(&copy)?, expected.told_at(self.world.hours));
            if found != expected {
                wrong(&format!("{name}: {}", different(&found, &[expected])));
            }
            copy.close();
        }
        Ok(())
    }

    /// By a second handle, which only reads.
    fn verify(&self) -> Result<()> {
        let options = Options { read_only: true, ..options(self.how) };
        let second = Database::open(self.root.join("db"), &options, None)?;
        let report = second.verify_deep(&go_on)?;
        if !report.problems.is_empty() {
            wrong(&format!("verify: {:#?}", report.problems));
        }
        second.close();
        Ok(())
    }

    fn close(&mut self) {
        self.held.clear();
        self.db.close();
        // Else the next opening finds out.
        if !machine::has_broken() {
            note(&Event::Closed);
        }
    }

    fn reopen(&mut self) {
        let possible = self.doubts.take().unwrap_or_else(|| vec![self.world.clone()]);
        self.close();
        self.db = open(&self.root, self.how, &self.models);
        self.world = find(&self.db, possible);
    }

    /// What a change has left can be read at once.
    fn look_at(&self, db: &Database, change: &Change, after: &World) -> Result<()> {
        if let Change::CreateNode { id, .. } | Change::UpdateNode { id, .. } = change {
            let told = db.get_node(id)?.map(|node| told_node(&node)).transpose()?;
            let told = told.unwrap_or_else(|| format!("{id} is not there\n"));
            if !after.told().contains(&told) {
                wrong(&format!("read at once: {told}"));
            }
        }
        Ok(())
    }

    fn transaction(&self, changes: &[Change], commit: bool) -> Result<()> {
        let mut tx = self.here()?.transaction()?;
        let mut world = self.world.clone();
        for change in changes {
            let expected = world.change(change);
            match (expected, perform::change_in(&mut tx, change)) {
                (Ok(()), Ok(())) => {}
                (Err(code), Err(error)) if error.code() == code => {}
                (_, Err(error)) if is_excused(&error) => return Err(error),
                (expected, found) => {
                    wrong(&format!(
                        "in a transaction {change:?}: {found:?} instead of {expected:?}"
                    ));
                }
            }
        }
        if commit { tx.commit() } else { Ok(()) }
    }

    fn together(&mut self, changes: &[Change]) -> Result<()> {
        // A snapshot that is held may forbid the map to grow, under some of them.
        self.held.clear();
        let (db, failed) = (self.here()?, Mutex::new(None));
        std::thread::scope(|scope| {
            for change in changes {
                let expected = self.world.clone().change(change);
                let (db, failed) = (&db, &failed);
                scope.spawn(move || match (expected, perform::change(db, change)) {
                    (Ok(()), Ok(())) => {}
                    (Err(code), Err(error)) if error.code() == code => {}
                    (_, Err(error)) if is_excused(&error) => {
                        *failed.lock().expect("nobody panics") = Some(error);
                    }
                    (expected, found) => {
                        wrong(&format!(
                            "beside others {change:?}: {found:?} instead of {expected:?}"
                        ));
                    }
                });
            }
        });
        failed.into_inner().expect("nobody panics").map_or(Ok(()), Err)
    }

    fn drain(&self) -> Result<()> {
        let paused = self.how.models && !self.how.live;
        if paused {
            self.db.resume_weaver()?;
        }
        let outcome = self.db.wait_idle(None, &go_on);
        if paused {
            self.db.pause_weaver()?;
        }
        outcome?;
        if self.how.models {
            let status = self.db.weaver_status()?;
            if status.queue_size > 0 {
                wrong(&format!("there is still work: {status:?}"));
            }
            if let Some(differences) = derived_differences(&self.db, &self.world) {
                wrong(&differences);
            }
        }
        Ok(())
    }

    fn ask(&self, p: i64, word: &str, near: &[f32]) -> Result<()> {
        let (db, graph) = (self.here()?, self.world.graph());
        let expect = |what: &str, mut found: Vec<String>, mut expected: Vec<String>| {
            found.sort();
            expected.sort();
            if found != expected {
                wrong(&format!("{what}: {found:?} instead of {expected:?}"));
            }
        };
        let ids = |found: Vec<(String, f32)>| found.into_iter().map(|(id, _)| id).collect();
        let equal = perform::found(&db, &perform::with_value(p))?;
        expect("with a value", ids(equal), self.world.matching(p));
        let from = perform::found(&db, &perform::from_value(p))?;
        let expected = (p..4).flat_map(|p| self.world.matching(p)).collect();
        expect("from a value on", ids(from), expected);
        let with_word = perform::found(&db, &perform::with_word(word))?;
        let expected = graph.with_word(word).into_iter().map(str::to_owned).collect();
        expect("with a word", ids(with_word), expected);
        if self.world.has_space {
            let found = perform::found(&db, &perform::near(near))?;
            for pair in found.windows(2) {
                if pair[0].1 < pair[1].1 {
                    wrong("a nearer vector comes after another");
                }
            }
            for (id, similarity) in &found {
                let vector = graph.vectors.values().find(|vector| vector.node == *id);
                let expected = vector.map_or(f32::NAN, |vector| cosine(&vector.values, near));
                if expected.is_nan() || (similarity - expected).abs() > 1e-4 {
                    wrong(&format!("{id} is {similarity} near instead of {expected}"));
                }
            }
            let expected = graph.vectors.values().map(|vector| vector.node.clone()).collect();
            expect("with a vector", ids(found), expected);
        }
        Ok(())
    }

    fn let_go(&mut self) -> Result<()> {
        for (reads, graph) in self.held.drain(..) {
            let mut found = String::new();
            told_graph(&reads, "held", &mut found)?;
            check_held(&found, &graph);
            reads.counts()?;
        }
        Ok(())
    }

    /// What another process sees is what this one does.
    fn read_beside(&mut self, what: Reading) {
        let Some(reader) = self.reader else { return };
        let answer = reader.ask(what, self.world.hours, &self.world.here);
        match what {
            Reading::Look if answer != self.world.told() => {
                wrong(&format!("beside: {}", different(&answer, &[self.world.told()])));
            }
            Reading::Look => {}
            Reading::Hold if answer.is_empty() => {
                self.held_beside = Some(Arc::clone(self.world.graph()));
            }
            Reading::Hold => wrong(&format!("beside: {answer}")),
            // It has let go, so that its map could grow.
            Reading::LookAtHeld if answer.is_empty() => self.held_beside = None,
            Reading::LookAtHeld => {
                if let Some(graph) = &self.held_beside {
                    check_held(&answer, graph);
                }
            }
            Reading::Die => self.reader = None,
        }
    }

    /// Everything that is stored, as far as it can be read.
    fn compare(&self) {
        let compare = || -> Result<()> {
            let (found, expected) = (told(&self.db)?, self.world.told());
            if found != expected {
                wrong(&different(&found, &[expected]));
            }
            let edges = check_edges(&self.here()?, &self.world)?;
            if !edges.is_empty() {
                wrong(&format!("edges: {edges:#?}"));
            }
            let report = self.db.verify(&go_on)?;
            if !report.problems.is_empty() {
                wrong(&format!("verify: {:#?}", report.problems));
            }
            Ok(())
        };
        match when_there_is_room(compare) {
            Ok(()) => {}
            // What the disk holds is unknown, or LMDB lacks its last page: nothing is read any more either.
            Err(error) if is_excused(&error) && machine::has_broken() => {}
            Err(error) => wrong(&format!("reading: {error}")),
        }
    }
}

/// Reads what is acknowledged, once more if there was no room to commit it.
fn when_there_is_room(read: impl Fn() -> Result<()>) -> Result<()> {
    match read() {
        Err(error) if error.code() == "StorageFull" => {
            note(&Event::Note(&error.to_string()));
            read()
        }
        done => done,
    }
}

/// A snapshot tells of a namespace what there was when it was taken; of what is declared it tells nothing.
fn check_held(found: &str, graph: &Graph) {
    let mut expected = String::new();
    let rows = Graph { indexes: BTreeMap::new(), declared: false, ..graph.clone() };
    rows.tell("held", &mut expected);
    if found != expected {
        wrong(&format!("held: {}", different(found, &[expected])));
    }
}

fn cosine(one: &[f32], two: &[f32]) -> f32 {
    let dot = |one: &[f32], two: &[f32]| one.iter().zip(two).map(|(a, b)| a * b).sum::<f32>();
    dot(one, two) / (dot(one, one) * dot(two, two)).sqrt()
}
