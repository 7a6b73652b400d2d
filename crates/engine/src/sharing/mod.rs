//! Writing to one database from several processes: one of them holds the right to write, and makes the calls of the
//! others. The invariants:
//!
//! - A process that holds it writes as one that shares nothing. The others are readers that have each writing call
//!   made by the holder, by its own method, and read what came of it from the files.
//! - Whoever finds that nobody holds it takes over, in the same handle; from then on for as long as it is open.
//! - A request is done as a whole or not at all, and at most once: one of which the holder has not said that it has
//!   begun is made again by whoever holds the right next, any other only if its caller says so.
//! - The holder waits for no other process with anything that a write needs.
//!
//! The lock of the role is taken before all other locks, and never within a call that is made for another process.

mod calls;
mod holding;
mod lines;
#[cfg(test)]
mod tests;
mod values;
pub(crate) mod wire;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use embedded_db_common::log::{self, Level};
use embedded_db_common::{Error, Options, Result};
use embedded_db_storage::{Line, Store, caught};

pub(crate) use self::calls::Call;
use self::holding::Holding;
pub(crate) use self::lines::Terms;
pub use self::lines::watch_interrupts;
use self::lines::{Asked, Connected, Welcome, ask, connect, interrupted};
use self::wire::{Taken, Wire, sent};
use crate::database::Database;
use crate::engine::Engine;
use crate::observing::Op;

/// Between two looks at who holds the right to write, while nobody seems to.
const LOOK: Duration = Duration::from_millis(5);
/// After it could not be found out, for who waits for nothing.
const LATER: Duration = Duration::from_secs(1);
/// A signal may end it before.
const LONG: Duration = Duration::from_hours(1);
/// Connections that are kept for later calls.
const KEPT: usize = 8;

/// What a shared database knows of the others.
pub(crate) struct Sharing {
    terms: Terms,
    /// Tells this handle from others, for the holder.
    guest: u64,
    /// Whether this process holds the right to write, and lets others in.
    holds: AtomicBool,
    stopping: AtomicBool,
    /// Held while that changes.
    role: Mutex<()>,
    holding: OnceLock<Holding>,
    /// To the holder, and not in use.
    lines: Mutex<Vec<Line>>,
    /// Process id of the holder.
    holder: AtomicU32,
    /// Over which nothing is asked: its end is that of the holder.
    watch: Mutex<Option<Arc<Line>>>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

/// Whether a database is shared, and by whom it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// This process writes, and as many connections of others are there.
    Holds(usize),
    /// The process of this id writes.
    Forwards(u32),
}

impl Terms {
    /// Those of a process, by what it was opened with.
    pub(crate) fn new(options: &Options, model: Option<(String, String, Option<u64>)>) -> Self {
        let option = |name: &str, value: String| (name.to_owned(), value);
        let options = vec![
            option("durability", format!("{:?}", options.durability).to_lowercase()),
            option("relaxed_window_ms", format!("{:?}", options.relaxed_window)),
            option("language", format!("{:?}", options.language)),
            option("quota", format!("{:?}", options.quota)),
            option("changes_retention", format!("{:?}", options.changes_retention)),
            option("changes_retention_bytes", options.changes_retention_bytes.to_string()),
            option("recall_half_life", format!("{:?}", options.recall_half_life)),
        ];
        Self { options, model }
    }
}

/// What a process that wants to share a database finds.
pub(crate) enum Found {
    /// The right to write, which it has now.
    Right(Arc<Store>),
    /// A holder, to whom it is connected.
    Holder(Arc<Store>, Joined),
}

/// A connection to a holder.
pub(crate) struct Joined(Line, Welcome);

/// Opens a database that is shared.
pub(crate) fn open(
    path: &Path,
    options: &Options,
    terms: &Terms,
    guest: u64,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<Found> {
    let begun = Instant::now();
    loop {
        let (pid, host) = match Store::open_interruptible(path, options, interrupted) {
            Err(Error::DatabaseLocked { pid, host, .. }) => (pid, host),
            opened => return opened.map(Found::Right),
        };
        let is_late = begun.elapsed() >= options.lock_timeout;
        match connect(path, terms, guest, options.lock_timeout)? {
            Connected::To(line, welcome) => {
                let reading = Options { read_only: true, ..options.clone() };
                match Store::open_interruptible(path, &reading, interrupted) {
                    Ok(store) => return Ok(Found::Holder(store, Joined(line, welcome))),
                    Err(error) if is_late => return Err(error),
                    // Its holder may just have ended: whoever comes next mends what he has left.
                    Err(_) => {}
                }
            }
            Connected::Silent => return Err(silent(path, pid, host, options.lock_timeout)),
            Connected::Nobody if is_late => return Err(unshared(path, pid, host)),
            Connected::Nobody => {}
        }
        interrupted()?;
        thread::sleep(LOOK);
    }
}

fn unshared(path: &Path, pid: u32, host: String) -> Error {
    let what = "it does not share the database; open it there with shared=True as well, close it there, or raise \
                lock_timeout";
    Error::HeldElsewhere { path: path.to_owned(), pid, host, what: what.into() }
}

fn silent(path: &Path, pid: u32, host: String, timeout: Duration) -> Error {
    let what = format!(
        "it has not answered for {} s; let it go on or end it, or raise lock_timeout",
        timeout.as_secs_f64()
    );
    Error::HeldElsewhere { path: path.to_owned(), pid, host, what }
}

impl Sharing {
    pub(crate) fn new(terms: Terms, guest: u64) -> Self {
        let (holds, stopping, role, holding) = Default::default();
        let (lines, holder, watch, watcher) = Default::default();
        Self { terms, guest, holds, stopping, role, holding, lines, holder, watch, watcher }
    }

    /// Whether this process writes by itself.
    pub(crate) fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }

    /// For users.
    pub(crate) fn told(&self) -> Shared {
        if self.holds() {
            Shared::Holds(self.holding.get().map_or(0, Holding::connections))
        } else {
            Shared::Forwards(self.holder.load(Ordering::Relaxed))
        }
    }

    /// The right to write was had from the start: others are let in.
    pub(crate) fn begin_to_hold(&self, engine: &Arc<Engine>) -> Result<()> {
        if self.holding.get().is_none() {
            let holding = Holding::begin(engine, &self.terms)?;
            drop(self.holding.set(holding));
        }
        self.holds.store(true, Ordering::Release);
        Ok(())
    }

    /// There is a holder: its end is looked for.
    pub(crate) fn begin_to_forward(&self, engine: &Arc<Engine>, joined: Joined) -> Result<()> {
        let Joined(line, welcome) = joined;
        self.holder.store(welcome.pid, Ordering::Relaxed);
        self.keep(line);
        let weak = Arc::downgrade(engine);
        let work = move || {
            while let Some(engine) = weak.upgrade() {
                let Some(sharing) = &engine.sharing else { return };
                let waited = caught("looking for the end of the holder", || sharing.watch(&engine));
                if sharing.stopping() || sharing.holds() {
                    return;
                }
                let line = sharing.watch_line();
                if let Err(error) = &waited {
                    log::log(
                        Level::Warning,
                        "database",
                        "who writes could not be found out",
                        || [("error", error.to_string().into())],
                    );
                }
                // While it waits it does not keep the database open.
                drop(engine);
                match line.filter(|_| waited.is_ok()) {
                    Some(line) => while matches!(line.wait(LONG), Ok(false)) {},
                    None => thread::sleep(LATER),
                }
            }
        };
        let begun = thread::Builder::new().name("embedded_db watch".into()).spawn(work);
        let begun = begun.map_err(|error| Error::StorageError {
            path: engine.store.path().to_owned(),
            detail: format!("cannot begin a thread to share it: {error}"),
        })?;
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(())
    }

    /// Has a connection whose end is that of the holder, or takes over.
    fn watch(&self, engine: &Arc<Engine>) -> Result<()> {
        let is_there = |line: Arc<Line>| matches!(line.wait(Duration::ZERO), Ok(false));
        while !self.holds() && !self.stopping() && !self.watch_line().is_some_and(is_there) {
            match self.line() {
                Some(line) => {
                    let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
                    *watch = Some(Arc::new(line));
                }
                None => self.settle(engine)?,
            }
        }
        Ok(())
    }

    fn watch_line(&self) -> Option<Arc<Line>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> Option<Line> {
        self.lines().pop()
    }

    fn keep(&self, line: Line) {
        let mut lines = self.lines();
        if lines.len() < KEPT && !self.stopping() {
            lines.push(line);
        }
    }

    /// Finds out who writes: this process from now on, or one to which there is a connection then.
    fn settle(&self, engine: &Arc<Engine>) -> Result<()> {
        let _role = self.role.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, timeout) = (Instant::now(), engine.options.lock_timeout);
        loop {
            if self.stopping() {
                return engine.store.usable();
            }
            if self.holds() {
                return Ok(());
            }
            if !engine.store.read_only() || engine.store.take_over()? {
                self.lines().clear();
                engine.take_over()?;
                return self.begin_to_hold(engine);
            }
            let path = engine.store.path();
            match connect(path, &self.terms, self.guest, timeout)? {
                Connected::To(line, welcome) => {
                    self.holder.store(welcome.pid, Ordering::Relaxed);
                    self.keep(line);
                    return Ok(());
                }
                Connected::Nobody if begun.elapsed() < timeout => {}
                outcome => {
                    let (pid, host) = engine.store.holder()?.unwrap_or_default();
                    return Err(match outcome {
                        Connected::Silent => silent(path, pid, host, timeout),
                        _ => unshared(path, pid, host),
                    });
                }
            }
            interrupted()?;
            thread::sleep(LOOK);
        }
    }

    /// A handle that only reads, or ends: nothing is asked any more, and nobody is let in. What was begun for others
    /// is answered first.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(line) = self.watch_line() {
            line.stop();
        }
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher.filter(|it| it.thread().id() != thread::current().id()) {
            // It catches its panics.
            let _joined = watcher.join();
        }
        let _role = self.role.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(holding) = self.holding.get() {
            holding.stop();
        }
        self.lines().clear();
    }

    /// Has a call made by whoever writes.
    fn ask(&self, engine: &Arc<Engine>, database: &Database, call: Call) -> Result<Vec<u8>> {
        let (namespace, name) = (database.namespace_id(), database.namespace_name().to_owned());
        let writes = call.writes();
        let request = sent(&calls::Request { namespace, name, call });
        loop {
            engine.store.usable()?;
            if self.holds() {
                let request = calls::Request::read(&request, engine.store.symbols())?;
                return Ok(request.call.answer(database, &interrupted));
            }
            let Some(line) = self.line() else {
                self.settle(engine)?;
                continue;
            };
            // It may have ended while nobody used it.
            if line.wait(Duration::ZERO).unwrap_or(true) {
                continue;
            }
            let pid = self.holder.load(Ordering::Relaxed);
            let alive = || self.is_alive(engine);
            match ask(&line, &request, engine.options.lock_timeout.max(LATER), &alive)? {
                Asked::Answered(answer) => {
                    self.keep(line);
                    return Ok(answer);
                }
                Asked::NotBegun => {}
                // What only asks something of the weaver is asked of the next one.
                Asked::Unknown if !writes => {}
                Asked::Unknown => {
                    let path = engine.store.path().to_owned();
                    return Err(Error::OutcomeUnknown { path, pid });
                }
            }
        }
    }

    /// Whether the holder answers at all.
    fn is_alive(&self, engine: &Engine) -> Result<bool> {
        let (path, timeout) = (engine.store.path(), engine.options.lock_timeout);
        match connect(path, &self.terms, self.guest, timeout.max(LATER))? {
            Connected::To(..) | Connected::Nobody => Ok(true),
            Connected::Silent => Ok(false),
        }
    }
}

/// The process that makes the writing calls of this one.
pub(crate) struct Elsewhere {
    engine: Arc<Engine>,
}

impl Elsewhere {
    /// Has a call made, and reads what it gave.
    pub(crate) fn ask<T: Wire>(&self, database: &Database, call: Call) -> Result<T> {
        let sharing = self.engine.sharing.as_ref();
        let sharing = sharing.ok_or_else(|| Error::Internal("it is not shared".into()))?;
        let writes = call.writes();
        let ask = || {
            let answer = sharing.ask(&self.engine, database, call)?;
            Taken::new(&answer, self.engine.store.symbols()).only::<Result<T>>()?
        };
        if writes { self.engine.observer.call(Op::Write, ask) } else { ask() }
    }
}

impl Database {
    /// Who makes the writing calls, if that is not this process.
    pub(crate) fn elsewhere(&self) -> Result<Option<Elsewhere>> {
        let engine = self.engine()?;
        let forwards = engine.sharing.as_ref().is_some_and(|sharing| !sharing.holds());
        Ok((forwards && !self.read_only()).then_some(Elsewhere { engine }))
    }

    /// Whether it is shared, and by whom it is written; `None` when it is not.
    pub fn shared(&self) -> Result<Option<Shared>> {
        Ok(self.engine()?.sharing.as_ref().map(Sharing::told))
    }

    /// Refuses what only the holder can do.
    pub(crate) fn check_holds(&self, what: &str) -> Result<()> {
        let engine = self.engine()?;
        if engine.sharing.as_ref().is_none_or(Sharing::holds) || self.read_only() {
            return Ok(());
        }
        let (pid, host) = engine.store.holder()?.unwrap_or_default();
        let what = format!("only that process can {what}; do it there, or close it there first");
        Err(Error::HeldElsewhere { path: self.path().to_owned(), pid, host, what })
    }
}

/// Has a call made by the process that holds the right to write, if that is another one.
macro_rules! forward {
    ($database:expr, $($call:tt)*) => {
        if let Some(holder) = $database.elsewhere()? {
            return holder.ask($database, $crate::sharing::Call::$($call)*);
        }
    };
}

pub(crate) use forward;
