//! The removal of nodes whose time has come, in a thread that is there while a node is going to expire.
//!
//! Nobody sees such a node from its time on; removing it gives its room back, and takes along what was
//! derived from it. That does not wait for the weaver, which may be at a long call, or not be there.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use embedded_db_common::{Error, NamespaceId, Result};
use embedded_db_indexing::graph::GraphWriter;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadTxn, Snapshot, Store};
use embedded_db_weaver::JobCounts;

/// Nodes that are removed in one write: writers wait no longer than for that.
const STEP: usize = 256;
/// Longest sleep: bounds how late a clock that was set forward is seen.
const SLEEP: Duration = Duration::from_secs(1);
/// Between two tries when the store has refused a step; it doubles each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at whether a caller that waits wants to go on.
const LOOK: Duration = Duration::from_millis(20);

/// Name of the job in figures.
pub(crate) const JOB: &str = "expire";

/// Removes what has expired.
pub(crate) struct ExpiryWorker {
    state: Mutex<State>,
    changed: Condvar,
    /// When the thread looks again by itself; never, when there is none.
    planned: AtomicI64,
}

#[derive(Default)]
struct State {
    stop: bool,
    running: bool,
    /// Something was written that expires before the thread would look.
    again: bool,
    /// Whether it found nothing to remove the last time.
    idle: bool,
    thread: Option<JoinHandle<()>>,
    /// What the store has refused the last time, and how often in a row.
    refused: Option<(Error, u32)>,
    done: u64,
    failed: u64,
}

/// What a look at the store led to.
enum Turn {
    /// So many nodes were removed.
    Removed(u64),
    /// Nothing before this time, which is so far away.
    Until(i64, Duration),
    /// Nothing is going to expire.
    Never,
}

impl Default for ExpiryWorker {
    fn default() -> Self {
        let (state, changed) = Default::default();
        Self { state, changed, planned: AtomicI64::new(i64::MAX) }
    }
}

impl ExpiryWorker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was written: looks sooner where it has to. Without a thread to do so what expires is
    /// hidden all the same, and the next write tries again.
    pub(crate) fn notify(self: &Arc<Self>, store: &Arc<Store>, names: Names) {
        if store.next_expiry() < self.planned.load(Ordering::SeqCst) {
            let _later = self.wake(store, names);
        }
    }

    /// Looks at the store, from a thread.
    pub(crate) fn wake(self: &Arc<Self>, store: &Arc<Store>, names: Names) -> Result<()> {
        let mut state = self.state();
        if state.stop {
            return Ok(());
        }
        state.again = true;
        state.idle = false;
        if state.running {
            drop(state);
            self.changed.notify_all();
            return Ok(());
        }
        let (worker, store) = (Arc::clone(self), Arc::clone(store));
        let thread = std::thread::Builder::new()
            .name("embedded-db-expiry".into())
            .spawn(move || worker.run(&store, names))
            .map_err(|e| Error::Internal(format!("cannot start a thread for expiry: {e}")))?;
        state.running = true;
        // An earlier one has ended.
        state.thread = Some(thread);
        Ok(())
    }

    fn run(&self, store: &Arc<Store>, names: Names) {
        loop {
            {
                let mut state = self.state();
                if state.stop {
                    state.running = false;
                    return;
                }
                state.again = false;
            }
            let turn = turn(store, names);
            let mut state = self.state();
            let before = state.refused.take().map_or(0, |(_, in_a_row)| in_a_row);
            let pause = match turn {
                Ok(Turn::Removed(count)) => {
                    state.done += count;
                    continue;
                }
                Ok(Turn::Until(at, left)) => {
                    state.idle = !state.again;
                    self.planned.store(at, Ordering::SeqCst);
                    left.clamp(Duration::from_millis(1), SLEEP)
                }
                Ok(Turn::Never) if !state.again => {
                    self.planned.store(i64::MAX, Ordering::SeqCst);
                    (state.idle, state.running) = (true, false);
                    drop(state);
                    self.changed.notify_all();
                    return;
                }
                Ok(Turn::Never) => continue,
                Err(error) => {
                    // Nothing was lost, it is tried again. A store that was closed stays so.
                    let over =
                        matches!(error, Error::DatabaseClosed { .. } | Error::ForkedHandle { .. });
                    state.stop |= over;
                    state.failed += 1;
                    state.refused = Some((error, before + 1));
                    PAUSE.saturating_mul(1 << before.min(6))
                }
            };
            self.changed.notify_all();
            if !state.again && !state.stop {
                drop(self.changed.wait_timeout(state, pause));
            }
        }
    }

    /// Waits until nothing is left that has expired by now; false when time ran out. Fails when the
    /// store refuses the removal: a disk that is full may stay so.
    pub(crate) fn wait_idle(
        &self,
        deadline: Option<Instant>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let mut state = self.state();
        // The clock may have been set since it looked.
        (state.again, state.idle) = (true, false);
        self.changed.notify_all();
        while state.running && !state.idle && !state.stop {
            if let Some((error, _)) = &state.refused {
                return Err(error.clone());
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(false);
            }
            drop(self.changed.wait_timeout(state, LOOK));
            interrupted()?;
            state = self.state();
        }
        Ok(true)
    }

    /// Counts of nodes: those that have expired and are still stored, and what was removed since the
    /// database was opened.
    pub(crate) fn counts(&self, snapshot: &Snapshot) -> Result<JobCounts> {
        let (mut pending, now) = (0, snapshot.instant()?);
        for (namespace, _) in snapshot.first_expiries()? {
            snapshot.expiries(namespace, i64::MIN, |at, _| {
                pending += u64::from(at <= now);
                at <= now
            })?;
        }
        let state = self.state();
        let (done, failed) = (state.done, state.failed);
        Ok(JobCounts { pending, done, failed, ..JobCounts::default() })
    }

    /// Ends the thread after the step it is at.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stop = true;
        let thread = state.thread.take();
        drop(state);
        self.changed.notify_all();
        if let Some(thread) = thread {
            // A step that panics is an error of its write; if the thread died all the same, it is gone.
            drop(thread.join());
        }
    }
}

fn turn(store: &Arc<Store>, names: Names) -> Result<Turn> {
    // What is written from here on is not in the snapshot, or notes its time again.
    store.take_next_expiry();
    let snapshot = store.read()?;
    let first = snapshot.first_expiries()?;
    let now = snapshot.instant()?;
    let due: Vec<NamespaceId> =
        first.iter().filter(|(_, at)| *at <= now).map(|(namespace, _)| *namespace).collect();
    // The removal may need a larger map, which a snapshot forbids.
    drop(snapshot);
    if due.is_empty() {
        let Some(next) = first.iter().map(|(_, at)| *at).min() else { return Ok(Turn::Never) };
        let left = u64::try_from(next.saturating_sub(now)).unwrap_or(0);
        return Ok(Turn::Until(next, Duration::from_micros(left)));
    }
    let mut removed = 0;
    for namespace in due {
        removed += store.write(move |txn| {
            let count = GraphWriter::new(txn, &names, namespace).expire(STEP)?;
            Ok(count as u64)
        })?;
    }
    Ok(Turn::Removed(removed))
}
