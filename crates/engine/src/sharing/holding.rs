//! The side of the process that holds the right to write: it makes the calls of the others as its own, one thread for
//! each connection.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use embedded_db_common::log::{self, Level};
use embedded_db_common::{Error, Result};
use embedded_db_storage::{Bell, Door, Line, caught, host_name};

use super::calls::{Call, Request};
use super::lines::{BEGUN, Hello, Terms, Welcome, receive, send};
use super::wire::{Taken, sent};
use crate::database::Database;
use crate::engine::Engine;

/// Connections at once; beyond that none is let in until others end.
const MOST: usize = 512;

/// What listens, until it is stopped.
pub(super) struct Holding {
    shared: Arc<Shared>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    engine: Weak<Engine>,
    path: PathBuf,
    hello: Hello,
    bell: Bell,
    stopping: AtomicBool,
    next: AtomicU64,
    lines: Mutex<HashMap<u64, Arc<Line>>>,
    /// How many connections each process has, and whether it lets the weaver rest, which ends with the last of them.
    guests: Mutex<HashMap<u64, (usize, bool)>>,
    /// How many calls are being made, and when that changes.
    active: Mutex<usize>,
    ended: Condvar,
}

/// A call that is being made.
struct Turn<'s>(&'s Shared);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.active() -= 1;
        self.0.ended.notify_all();
    }
}

impl Holding {
    /// Listens from now on.
    pub(super) fn begin(engine: &Arc<Engine>, terms: &Terms) -> Result<Self> {
        let door = Door::open(engine.store.path())?;
        let shared = Arc::new(Shared {
            engine: Arc::downgrade(engine),
            path: engine.store.path().to_owned(),
            hello: Hello::new(terms, 0),
            bell: Bell::new()?,
            stopping: AtomicBool::new(false),
            next: AtomicU64::new(0),
            lines: Mutex::default(),
            guests: Mutex::default(),
            active: Mutex::default(),
            ended: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        let listener = spawn(&shared.path, "share", move || own.listen(&door))?;
        Ok(Self { shared, listener: Mutex::new(Some(listener)) })
    }

    /// How many are connected.
    pub(super) fn connections(&self) -> usize {
        self.shared.lines().len()
    }

    /// Lets nobody in any more; what was begun is done and answered.
    pub(super) fn stop(&self) {
        let shared = &self.shared;
        shared.stopping.store(true, Ordering::SeqCst);
        shared.bell.ring();
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = listener {
            // It catches its panics.
            let _joined = listener.join();
        }
        shared.lines().values().for_each(|line| line.stop_reading());
        let active = shared.ended.wait_while(shared.active(), |active| *active > 0);
        drop(active);
        shared.lines().values().for_each(|line| line.stop());
    }
}

fn spawn(path: &Path, name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let begun = thread::Builder::new().name(format!("embedded_db {name}")).spawn(work);
    begun.map_err(|error| Error::StorageError {
        path: path.to_owned(),
        detail: format!("cannot begin a thread to share it: {error}"),
    })
}

impl Shared {
    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guests(&self) -> std::sync::MutexGuard<'_, HashMap<u64, (usize, bool)>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> std::sync::MutexGuard<'_, usize> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn listen(self: &Arc<Self>, door: &Door) {
        while !self.stopping() {
            let listened = caught("the socket of a shared database", || {
                while let Some(line) = door.accept(&self.bell)? {
                    self.welcome(line);
                }
                Ok(())
            });
            let Err(error) = listened else { return };
            log::log(Level::Error, "database", "sharing failed, and is tried again", || {
                [("error", error.to_string().into())]
            });
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// Who is one too many finds the connection closed, and comes again.
    fn welcome(self: &Arc<Self>, line: Line) {
        if self.lines().len() >= MOST {
            return;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let line = Arc::new(line);
        self.lines().insert(number, Arc::clone(&line));
        let own = Arc::clone(self);
        let begun = spawn(&self.path, "guest", move || {
            // A call catches its own panics.
            let _ended = caught("a connection", || {
                own.serve(&line);
                Ok(())
            });
            own.lines().remove(&number);
        });
        if begun.is_err() {
            self.lines().remove(&number);
        }
    }

    /// Answers one process, until it goes.
    fn serve(&self, line: &Line) {
        let Ok(hello) = receive(line) else { return };
        let Some((guest, welcome)) = self.greet(&hello) else { return };
        if send(line, &sent(&welcome)).is_err() || welcome.is_err() {
            return;
        }
        self.guests().entry(guest).or_default().0 += 1;
        while let Ok(request) = receive(line) {
            if self.answer(line, guest, &request).is_none() {
                break;
            }
        }
        self.left(guest);
    }

    /// A connection of a process has ended.
    fn left(&self, guest: u64) {
        let mut guests = self.guests();
        let Some((connections, rests)) = guests.get_mut(&guest) else { return };
        *connections -= 1;
        let is_over = *connections == 0 && *rests;
        if *connections == 0 {
            guests.remove(&guest);
        }
        drop(guests);
        let engine = if is_over { self.engine.upgrade() } else { None };
        if let Some(weaver) = engine.as_ref().and_then(|engine| engine.weaver()) {
            weaver.resume();
        }
    }

    fn greet(&self, hello: &[u8]) -> Option<(u64, Result<Welcome>)> {
        let engine = self.engine.upgrade()?;
        let hello = Taken::plain(hello).only::<Hello>().ok()?;
        let welcome = || {
            hello.check(&self.hello, engine.store.path())?;
            Ok(Welcome { pid: std::process::id(), host: host_name() })
        };
        Some((hello.guest, welcome()))
    }

    /// `None` when nothing more is answered here: it stops, or nobody would be told.
    fn answer(&self, mut line: &Line, guest: u64, request: &[u8]) -> Option<()> {
        let turn = self.begin()?;
        let engine = self.engine.upgrade()?;
        line.write_all(&[BEGUN]).ok()?;
        // Whoever asks sends nothing before he is answered: what is there to read is the end.
        let given_up = Cell::new(false);
        let check = || {
            given_up.set(self.stopping() || line.wait(Duration::ZERO).unwrap_or(true));
            if given_up.get() { Err(Error::Interrupted) } else { Ok(()) }
        };
        let answered = caught("a call for another process", || {
            let request = Request::read(request, engine.store.symbols())?;
            let database = Database::within(&engine, request.namespace, &request.name);
            let rests = matches!(request.call, Call::PauseWeaver {});
            if rests || matches!(request.call, Call::ResumeWeaver {}) {
                self.guests().entry(guest).or_default().1 = rests;
            }
            Ok(request.call.answer(&database, &check))
        });
        let answer = answered.unwrap_or_else(|error| sent(&Err::<(), _>(error)));
        let told = if given_up.get() { None } else { send(line, &answer).ok() };
        // Who lets go of the engine last ends it, and that waits for all calls.
        drop(turn);
        drop(engine);
        told
    }

    fn begin(&self) -> Option<Turn<'_>> {
        let mut active = self.active();
        if self.stopping() {
            return None;
        }
        *active += 1;
        drop(active);
        Some(Turn(self))
    }
}
