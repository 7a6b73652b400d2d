//! The thread that completes checkpoints and syncs the log while writers go on.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use embedded_db_common::Result;

use super::{Due, Log, Pending};
use crate::store::Store;

/// There while something is logged.
pub(crate) struct Keeper {
    store: Weak<Store>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    pending: Option<(Arc<Log>, Pending)>,
    due: Due,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    pub(crate) fn new(store: Weak<Store>) -> Self {
        Self { store, shared: Arc::default(), thread: Mutex::default() }
    }

    /// Completes a checkpoint, while writers go on.
    pub(crate) fn complete(&self, log: &Arc<Log>, pending: Pending) -> Result<()> {
        if !self.is_running() {
            return log.complete(pending);
        }
        let mut work = self.shared.lock();
        work.pending = Some((Arc::clone(log), pending));
        work.due.checkpoint = None;
        drop(work);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Has something done at its time, unless a writer comes before.
    pub(crate) fn remember(&self, due: Due) {
        let mut work = self.shared.lock();
        let earlier = |new: Option<Instant>, old: Option<Instant>| {
            new.is_some_and(|new| old.is_none_or(|old| new < old))
        };
        let wake = earlier(due.checkpoint, work.due.checkpoint) || earlier(due.sync, work.due.sync);
        work.due = due;
        drop(work);
        if wake && self.is_running() {
            self.shared.changed.notify_one();
        }
    }

    /// Whether the thread is there; begins it.
    fn is_running(&self) -> bool {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() && !self.shared.lock().stop {
            let (shared, store) = (Arc::clone(&self.shared), Weak::clone(&self.store));
            let begin = std::thread::Builder::new().name("embedded-db-log".into());
            // Without it, writers do all of its work but what is due when nobody writes.
            *thread = begin.spawn(move || run(&shared, &store)).ok();
        }
        thread.is_some()
    }

    /// Ends the thread, which completes what it was given before.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        let Some(thread) = thread else { return };
        if thread.thread().id() != std::thread::current().id() {
            // It does not panic but where its checkpoint shows as failed.
            drop(thread.join());
        }
    }
}

fn run(shared: &Shared, store: &Weak<Store>) {
    let mut work = shared.lock();
    loop {
        if let Some((log, pending)) = work.pending.take() {
            drop(work);
            // A failure is met by the next writer.
            drop(log.complete(pending));
            drop(log);
            work = shared.lock();
            continue;
        }
        if work.stop {
            return;
        }
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let (checkpoint, sync) = (is_due(work.due.checkpoint), is_due(work.due.sync));
        if checkpoint || sync {
            if checkpoint {
                work.due.checkpoint = None;
            }
            if sync {
                work.due.sync = None;
            }
            drop(work);
            let Some(store) = store.upgrade() else { return };
            store.keep_log(checkpoint, sync);
            drop(store);
            work = shared.lock();
            continue;
        }
        let next = [work.due.checkpoint, work.due.sync].into_iter().flatten().min();
        work = match next {
            None => shared.changed.wait(work).unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let woken = shared.changed.wait_timeout(work, at - now);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}
