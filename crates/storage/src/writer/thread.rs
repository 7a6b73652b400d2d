//! The thread in which transactions of LMDB begin and end that stay open when a group is acknowledged.
//!
//! LMDB's lock of writers belongs to the thread that took it, and groups are written by whichever thread leads.
//! Nothing else of a transaction knows its thread. The same thread also commits when nobody writes any more.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{JoinHandle, ThreadId};
use std::time::Instant;

use embedded_db_common::{Error, Result};

use super::panic_text;
use crate::store::Store;

type Call = Box<dyn FnOnce() + Send>;

/// Begun when the database is opened, or with the first call.
pub(crate) struct CommitThread {
    store: Weak<Store>,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

struct Running {
    id: ThreadId,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    calls: VecDeque<Call>,
    /// What is owed is committed then, unless a writer comes before.
    due: Option<Instant>,
    /// What was owed is committed, and nobody was told of it.
    settled: bool,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call leads to.
struct Answer<T> {
    value: Mutex<Option<Result<T>>>,
    given: Condvar,
}

impl<T> Answer<T> {
    fn wait(&self) -> Result<T> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(value) = value.take() {
                return value;
            }
            value = self.given.wait(value).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl CommitThread {
    pub(super) fn new(store: Weak<Store>) -> Self {
        Self { store, shared: Arc::default(), running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the thread. It has the priority of whoever does so: not of a thread that works behind the backs of
    /// users and happens to lead first.
    pub(crate) fn start(&self) {
        // Where none can be started, transactions end in the thread that leads.
        drop(self.is_this_thread());
    }

    /// Does something in the thread, and waits for it.
    pub(super) fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let answer = Arc::new(Answer { value: Mutex::new(None), given: Condvar::new() });
        let given = Arc::clone(&answer);
        let call = move || {
            let value = catch_unwind(AssertUnwindSafe(act));
            let value = value.map_err(|panic| {
                Error::Internal(format!("a commit panicked: {}", panic_text(&*panic)))
            });
            *given.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            given.given.notify_one();
        };
        if self.is_this_thread()? {
            call();
        } else {
            self.shared.lock().calls.push_back(Box::new(call));
            self.shared.changed.notify_one();
        }
        answer.wait()
    }

    /// Whether it is asked in the thread itself, which is there after that.
    fn is_this_thread(&self) -> Result<bool> {
        let mut running = self.running();
        let thread = match &mut *running {
            Some(thread) => thread,
            None => running.insert(self.begin()?),
        };
        Ok(thread.id == std::thread::current().id())
    }

    fn begin(&self) -> Result<Running> {
        let (shared, store) = (Arc::clone(&self.shared), Weak::clone(&self.store));
        let thread = std::thread::Builder::new()
            .name("embedded-db-commit".into())
            .spawn(move || run(&shared, &store))
            .map_err(|error| Error::Internal(format!("a thread cannot be started: {error}")))?;
        Ok(Running { id: thread.thread().id(), thread })
    }

    /// What is owed is committed at that time, if nobody does it before.
    pub(super) fn remember(&self, due: Instant) {
        self.shared.lock().due = Some(due);
        self.shared.changed.notify_one();
    }

    /// Tells those who want to know that what was owed is committed.
    pub(super) fn tell(&self) {
        self.shared.lock().settled = true;
        self.shared.changed.notify_one();
    }

    /// Ends the thread. Nothing may be open.
    pub(crate) fn stop(&self) {
        let Some(running) = self.running().take() else { return };
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        if running.id != std::thread::current().id() {
            // It does not panic but where whoever asked is told.
            drop(running.thread.join());
        }
    }
}

fn run(shared: &Shared, store: &Weak<Store>) {
    let mut work = shared.lock();
    loop {
        if let Some(call) = work.calls.pop_front() {
            drop(work);
            call();
            work = shared.lock();
            continue;
        }
        if work.stop {
            return;
        }
        if std::mem::take(&mut work.settled) {
            drop(work);
            // Whatever panics must not end the thread: others wait for what it is asked for.
            drop(catch_unwind(AssertUnwindSafe(|| {
                if let Some(store) = store.upgrade() {
                    store.tell_settled();
                }
            })));
            work = shared.lock();
            continue;
        }
        let now = Instant::now();
        work = match work.due {
            Some(at) if at <= now => {
                work.due = None;
                drop(work);
                // Who drops the store closes it, and may need the thread for that.
                let settle = || store.upgrade().and_then(|store| store.settle_at_rest());
                let again = catch_unwind(AssertUnwindSafe(settle)).unwrap_or(None);
                let mut work = shared.lock();
                if let Some(after) = again {
                    work.due.get_or_insert(Instant::now() + after);
                    // At least once, however slowly this thread runs: others need their turn.
                    let woken = shared.changed.wait_timeout(work, after);
                    work = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
                work
            }
            Some(at) => {
                let woken = shared.changed.wait_timeout(work, at - now);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
            None => shared.changed.wait(work).unwrap_or_else(PoisonError::into_inner),
        };
    }
}
