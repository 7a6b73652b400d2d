//! Grouped writers: concurrent writes share one transaction and one sync.
//!
//! Every writer puts its job into a queue and waits for the leadership. Who gets it runs all jobs
//! that are waiting, each in a savepoint of its own, commits once, and tells everyone; who finds its
//! job done by somebody else returns at once. A job may run more than once (the map may have to
//! grow), so it must not keep state between runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use embedded_db_common::record::seal;
use embedded_db_common::{Error, Result};

use crate::keys::Table;
use crate::pages::View;
use crate::store::Store;
use crate::tx::{GroupState, WriteTxn};

type Job = Box<dyn FnMut(&mut WriteTxn<'_>) -> Result<()> + Send>;

/// Most jobs in one transaction.
const GROUP_MAX: usize = 256;
/// Groups between two looks for readers whose process was killed: the pages that they saw are not
/// used again until then, so the file grows by at most as many commits.
const READERS_EVERY: u64 = 64;

#[derive(Default)]
pub(crate) struct GroupWriter {
    queue: Mutex<Vec<Arc<Request>>>,
    /// Held by the leader; the state that the last commit left, when it is known.
    pub(crate) leader: Mutex<Option<Arc<View>>>,
    groups: AtomicU64,
    /// A sync failed: what the disk holds is unknown, so nothing more is acknowledged.
    poisoned: AtomicBool,
}

impl GroupWriter {
    /// Whether what the disk holds is unknown.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}

struct Request {
    job: Mutex<Job>,
    outcome: Mutex<Option<Result<()>>>,
}

impl Request {
    fn finish(&self, outcome: Result<()>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn outcome(&self) -> Option<Result<()>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why a group did not commit.
enum GroupError {
    /// The map must grow; then the same jobs run again.
    MapFull,
    Failed(Error),
}

impl Store {
    /// Runs `job` in a write transaction: all of it is stored, or nothing. Returns when the result
    /// is as durable as the database was opened for. The job may run several times.
    pub fn write<T: Send + 'static>(
        self: &Arc<Self>,
        mut job: impl FnMut(&mut WriteTxn<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.usable()?;
        if self.read_only() {
            return Err(Error::ReadOnly { path: self.path().to_owned() });
        }
        let result = Arc::new(Mutex::new(None));
        let sink = Arc::clone(&result);
        let request = Arc::new(Request {
            job: Mutex::new(Box::new(move |txn| {
                let value = job(txn)?;
                *sink.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            })),
            outcome: Mutex::new(None),
        });
        let lock = |queue| Mutex::lock(queue).unwrap_or_else(PoisonError::into_inner);
        lock(&self.writer.queue).push(Arc::clone(&request));
        {
            let mut base = self.writer.leader.lock().unwrap_or_else(PoisonError::into_inner);
            while request.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
                let mut queue = lock(&self.writer.queue);
                let count = queue.len().min(GROUP_MAX);
                let group: Vec<_> = queue.drain(..count).collect();
                drop(queue);
                self.run_group(&mut base, &group);
            }
        }
        let outcome = request
            .outcome()
            .unwrap_or_else(|| Err(Error::Internal("a write ended without an outcome".into())));
        outcome?;
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| Error::Internal("a write ended without a value".into()))
    }

    fn run_group(&self, base: &mut Option<Arc<View>>, group: &[Arc<Request>]) {
        if let Err(failure) = self.try_until_it_fits(base, group) {
            if group.len() > 1 && matches!(failure, Error::StorageFull { .. }) {
                // One of them may be too large for what is left: the others need not fail with it.
                for request in group {
                    self.run_group(base, slice::from_ref(request));
                }
                return;
            }
            for request in group {
                request.finish(Err(failure.clone()));
            }
        }
    }

    fn try_until_it_fits(
        &self,
        base: &mut Option<Arc<View>>,
        group: &[Arc<Request>],
    ) -> Result<()> {
        if self.writer.groups.fetch_add(1, Ordering::Relaxed).is_multiple_of(READERS_EVERY) {
            self.clear_stale_readers()?;
        }
        loop {
            match self.try_group(base, group) {
                Ok(()) => return Ok(()),
                Err(GroupError::MapFull) => {
                    // What a killed reader held may be room enough.
                    if self.clear_stale_readers()? == 0 {
                        self.grow()?;
                    }
                }
                Err(GroupError::Failed(error)) => return Err(error),
            }
        }
    }

    /// All or nothing for the group; a job that fails by itself takes nobody else with it.
    fn try_group(
        &self,
        base: &mut Option<Arc<View>>,
        group: &[Arc<Request>],
    ) -> Result<(), GroupError> {
        if self.writer.is_poisoned() {
            return Err(GroupError::Failed(Error::StorageError {
                path: self.path().to_owned(),
                detail: "an earlier write failed to reach the disk; nothing is accepted until the \
                         database is opened again"
                    .into(),
            }));
        }
        let _inside = Inside::enter(self);
        self.require_whole_file().map_err(GroupError::Failed)?;
        let lmdb = |error| match error {
            heed::Error::Mdb(heed::MdbError::MapFull) => GroupError::MapFull,
            other => GroupError::Failed(self.lmdb_error(other)),
        };
        let before = match base.take() {
            Some(view) => view,
            None => self.page_file.newest().map_err(GroupError::Failed)?,
        };
        self.page_file.prepare(&before).map_err(GroupError::Failed)?;
        let mut outer = self.env.write_txn().map_err(lmdb)?;
        let mut state = GroupState::load(self, &before).map_err(GroupError::Failed)?;
        let mut outcomes = Vec::with_capacity(group.len());
        for request in group {
            let savepoint = self.env.nested_write_txn(&mut outer).map_err(lmdb)?;
            let mut txn = WriteTxn::new(self, &before, savepoint, state.clone());
            let outcome = {
                let mut job = request.job.lock().unwrap_or_else(PoisonError::into_inner);
                catch_unwind(AssertUnwindSafe(|| job(&mut txn))).unwrap_or_else(|panic| {
                    Err(Error::Internal(format!("a write panicked: {}", panic_text(&*panic))))
                })
            };
            if txn.map_full() {
                return Err(GroupError::MapFull);
            }
            if outcome.is_ok() {
                state = txn.keep().map_err(lmdb)?;
            }
            outcomes.push(outcome);
        }
        if state.dirty {
            for (key, mut payload) in state.rows() {
                before.check_way(Table::Meta, &key).map_err(GroupError::Failed)?;
                seal(Table::Meta as u8, &key, &mut payload);
                self.table(Table::Meta).put(&mut outer, &key, &payload).map_err(lmdb)?;
            }
            outer.commit().map_err(|error| self.commit_failed(error))?;
            self.complete_file().map_err(|error| self.poison(error))?;
            *base = Some(self.page_file.cover(&before).map_err(|error| self.poison(error))?);
            state.publish_symbols(self);
            state.publish_expiry(self);
        } else {
            drop(outer);
            *base = Some(before);
        }
        for (request, outcome) in group.iter().zip(outcomes) {
            request.finish(outcome);
        }
        Ok(())
    }

    /// A full disk left the last commit untouched, so later writes may succeed. After anything else
    /// the system may have dropped pages that it had accepted: a retry that succeeds proves nothing.
    fn commit_failed(&self, error: heed::Error) -> GroupError {
        if matches!(error, heed::Error::Mdb(heed::MdbError::MapFull)) {
            return GroupError::MapFull;
        }
        // Whatever the reason was, a full disk too: LMDB neither reads nor writes any more.
        if matches!(self.env.read_txn(), Err(heed::Error::Mdb(heed::MdbError::Panic))) {
            return self.poison(Error::StorageError {
                path: self.path().to_owned(),
                detail: format!(
                    "the meta page of a commit could not be written: {error}; whether it is stored \
                     shows when the database is opened again"
                ),
            });
        }
        let mut error = self.lmdb_error(error);
        // LMDB reports a short write as an input/output error; nothing of it is in use.
        if matches!(error, Error::StorageError { .. })
            && let Ok(Some(detail)) = self.why_full()
        {
            error = Error::StorageFull { path: self.path().to_owned(), detail };
        }
        if matches!(error, Error::StorageFull { .. }) {
            return GroupError::Failed(error);
        }
        self.poison(error)
    }

    fn poison(&self, error: Error) -> GroupError {
        self.writer.poisoned.store(true, Ordering::Release);
        GroupError::Failed(error)
    }
}

/// A place inside the gate.
pub(crate) struct Inside<'a>(&'a Store);

impl<'a> Inside<'a> {
    pub(crate) fn enter(store: &'a Store) -> Self {
        store.gate.enter();
        Self(store)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
