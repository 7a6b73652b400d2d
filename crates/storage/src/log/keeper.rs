//! The threads that complete checkpoints and sync the log while writers go on: one each, since a checkpoint
//! may take long, and what was acknowledged before its sync may not wait for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use embedded_db_common::Result;
use embedded_db_common::trace::Tracer;

use super::{Due, Log, Pending};
use crate::store::Store;

/// When a writer was in the way.
const AGAIN: Duration = Duration::from_millis(20);

/// There while something is logged.
pub(crate) struct Keeper {
    store: Weak<Store>,
    shared: Arc<Shared>,
    tracer: Option<Arc<Tracer>>,
    threads: Mutex<[Option<JoinHandle<()>>; 2]>,
}

/// What a thread does.
#[derive(Clone, Copy)]
enum Duty {
    Checkpoints,
    Syncs,
}

impl Duty {
    fn name(self) -> &'static str {
        match self {
            Self::Checkpoints => "embedded-db-log",
            Self::Syncs => "embedded-db-sync",
        }
    }
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
    pub(crate) fn new(store: Weak<Store>, tracer: Option<Arc<Tracer>>) -> Self {
        Self { store, shared: Arc::default(), tracer, threads: Mutex::default() }
    }

    /// Completes a checkpoint, while writers go on.
    pub(crate) fn complete(&self, log: &Arc<Log>, pending: Pending) -> Result<()> {
        if !self.is_running(Duty::Checkpoints) {
            return log.complete(pending);
        }
        let mut work = self.shared.lock();
        work.pending = Some((Arc::clone(log), pending));
        work.due.checkpoint = None;
        drop(work);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Has something done at its time, unless a writer comes before.
    pub(crate) fn remember(&self, due: Due) {
        let mut work = self.shared.lock();
        let earlier = |new: Option<Instant>, old: Option<Instant>| {
            new.is_some_and(|new| old.is_none_or(|old| new < old))
        };
        let checkpoint = earlier(due.checkpoint, work.due.checkpoint);
        let sync = earlier(due.sync, work.due.sync);
        work.due = due;
        drop(work);
        let wake = checkpoint && self.is_running(Duty::Checkpoints);
        if wake | (sync && self.is_running(Duty::Syncs)) {
            self.shared.changed.notify_all();
        }
    }

    /// Whether the thread is there; begins it.
    fn is_running(&self, duty: Duty) -> bool {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let [checkpoints, syncs] = &mut *threads;
        let thread = match duty {
            Duty::Checkpoints => checkpoints,
            Duty::Syncs => syncs,
        };
        if thread.is_none() && !self.shared.lock().stop {
            let (shared, store) = (Arc::clone(&self.shared), Weak::clone(&self.store));
            let tracer = self.tracer.clone();
            let begin = std::thread::Builder::new().name(duty.name().into());
            // Without it, writers do all of its work but what is due when nobody writes.
            *thread = begin.spawn(move || run(duty, &shared, &store, tracer.as_ref())).ok();
        }
        thread.is_some()
    }

    /// Ends the threads, which complete what they were given before.
    pub(crate) fn stop(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = std::mem::take(&mut *threads);
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        for thread in threads.into_iter().flatten() {
            if thread.thread().id() != std::thread::current().id() {
                // It does not panic but where its checkpoint shows as failed.
                drop(thread.join());
            }
        }
    }
}

impl Work {
    /// When a thread has something to do.
    fn due(&mut self, duty: Duty) -> &mut Option<Instant> {
        match duty {
            Duty::Checkpoints => &mut self.due.checkpoint,
            Duty::Syncs => &mut self.due.sync,
        }
    }
}

fn run(duty: Duty, shared: &Shared, store: &Weak<Store>, tracer: Option<&Arc<Tracer>>) {
    let mut work = shared.lock();
    loop {
        let pending = match duty {
            Duty::Checkpoints => work.pending.take(),
            Duty::Syncs => None,
        };
        if let Some((log, pending)) = pending {
            drop(work);
            // A failure is met by the next writer.
            drop(Tracer::call_if(tracer, "checkpoint", || log.complete(pending)));
            drop(log);
            work = shared.lock();
            continue;
        }
        if work.stop {
            return;
        }
        let (now, due) = (Instant::now(), *work.due(duty));
        work = match due {
            Some(at) if at <= now => {
                *work.due(duty) = None;
                drop(work);
                let Some(store) = store.upgrade() else { return };
                let done = match duty {
                    Duty::Checkpoints => store.make_checkpoint(),
                    Duty::Syncs => {
                        store.sync_log();
                        true
                    }
                };
                drop(store);
                let mut work = shared.lock();
                if !done {
                    // Who is writing makes it, unless nothing comes of the write.
                    work.due(duty).get_or_insert(now + AGAIN);
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
