//! Grouped writers: concurrent writes share one transaction and one sync.
//!
//! Every writer puts its job into a queue. Who finds nobody leading leads: it runs all jobs that are
//! waiting, commits once, tells everyone what became of it, and hands the leadership to the first who has
//! come meanwhile. Each waits for a word of its own, so that those whose jobs are done come back while the
//! next group is written.
//!
//! A job that fails takes nobody else with it. Few fail after they have written something: then the group
//! runs again, each job in a savepoint of its own. So a job may run more than once (the map may have to
//! grow, too), and must not keep state between runs.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use embedded_db_common::record::seal;
use embedded_db_common::{Durability, Error, Result};
use heed::RwTxn;

use crate::data_file;
use crate::keys::Table;
use crate::log::{Changes, Way};
use crate::pages::View;
use crate::store::{Generation, Inside, Store};
use crate::touched::TouchedRows;
use crate::tx::{GroupState, Kept, WriteTxn, retention};

type Job = Box<dyn FnMut(&mut WriteTxn<'_>) -> Result<()> + Send>;

/// Most jobs in one transaction.
const GROUP_MAX: usize = 256;
/// Groups between two looks for readers whose process was killed: the pages that they saw are not
/// used again until then, so the file grows by at most as many commits.
const READERS_EVERY: u64 = 64;

#[derive(Default)]
pub(crate) struct GroupWriter {
    queue: Mutex<Queue>,
    /// Held by who writes; the state that the last commit to the generation in use left, when it is known.
    pub(crate) leader: Mutex<Option<Arc<View>>>,
    groups: AtomicU64,
    /// A sync failed: what the disk holds is unknown, so nothing more is acknowledged.
    poisoned: AtomicBool,
    /// What is written while another generation is made.
    pub(crate) touched: TouchedRows,
    /// When the feed of changes was last looked at, and the last change then.
    trimmed: Mutex<Option<(i64, u64)>>,
}

impl GroupWriter {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is acknowledged.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Whether what is written can be acknowledged.
    pub(crate) fn healthy(&self, path: &Path) -> Result<()> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::StorageError {
            path: path.to_owned(),
            detail: "an earlier write failed to reach the disk; nothing is accepted until the \
                     database is opened again"
                .into(),
        })
    }
}

/// Who is waiting, while somebody leads.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Request>>,
    is_led: bool,
}

struct Request {
    job: Mutex<Job>,
    word: Mutex<Word>,
    told: Condvar,
}

/// What a waiting writer is told.
enum Word {
    /// Nothing yet.
    Wait,
    /// It leads the next group, in which its job is.
    Lead,
    /// What became of its job.
    Ended(Result<()>),
}

impl Request {
    fn new(job: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static) -> Arc<Self> {
        let (job, word) = (Mutex::new(Box::new(job) as Job), Mutex::new(Word::Wait));
        Arc::new(Self { job, word, told: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Word> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, word: Word) {
        let before = std::mem::replace(&mut *self.lock(), word);
        // Who leads waits for nothing.
        if matches!(before, Word::Wait) {
            self.told.notify_one();
        }
    }

    /// Waits for a word; whether it is to lead.
    fn leads(&self) -> bool {
        let waiting = |word: &mut Word| matches!(word, Word::Wait);
        let word = self.told.wait_while(self.lock(), waiting);
        matches!(*word.unwrap_or_else(PoisonError::into_inner), Word::Lead)
    }

    /// What became of it, when its group was run.
    fn ended(&self) -> Result<()> {
        match std::mem::replace(&mut *self.lock(), Word::Wait) {
            Word::Ended(outcome) => outcome,
            _ => Err(Error::Internal("a write ended without an outcome".into())),
        }
    }
}

/// The leadership of a group, which ends with it however it ends.
struct Leadership<'w> {
    writer: &'w GroupWriter,
    group: Vec<Arc<Request>>,
}

impl<'w> Leadership<'w> {
    fn begin(writer: &'w GroupWriter) -> Self {
        let mut queue = writer.queue();
        let count = queue.waiting.len().min(GROUP_MAX);
        let group = queue.waiting.drain(..count).collect();
        drop(queue);
        Self { writer, group }
    }
}

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        for request in &self.group {
            let mut word = request.lock();
            if !matches!(*word, Word::Ended(_)) {
                *word = Word::Ended(Err(Error::Internal("who wrote the group panicked".into())));
                request.told.notify_one();
            }
        }
        let mut queue = self.writer.queue();
        match queue.waiting.front() {
            Some(next) => next.tell(Word::Lead),
            None => queue.is_led = false,
        }
    }
}

/// A job that was run.
struct Ran<'t> {
    txn: RwTxn<'t>,
    kept: Kept,
    outcome: Result<()>,
}

impl Ran<'_> {
    /// Whether others may go on in the transaction: what failed has not written to it, and LMDB has not
    /// failed in it.
    fn others_go_on(&self) -> bool {
        let Err(error) = &self.outcome else { return true };
        let ours = matches!(
            error.bare(),
            Error::Internal(_) | Error::Corruption { .. } | Error::StorageError { .. }
        );
        !self.kept.state.dirty && !ours
    }
}

/// Why a group did not commit.
enum GroupError {
    /// The map must grow; then the same jobs run again.
    MapFull,
    /// A job failed that has written: they run again, each in a savepoint.
    Undo,
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
        let request = Request::new(move |txn| {
            let value = job(txn)?;
            *sink.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        let mut queue = self.writer.queue();
        queue.waiting.push_back(Arc::clone(&request));
        let nobody_leads = !std::mem::replace(&mut queue.is_led, true);
        if nobody_leads {
            *request.lock() = Word::Lead;
        }
        drop(queue);
        if request.leads() {
            let mut base = self.writer.leader.lock().unwrap_or_else(PoisonError::into_inner);
            let leadership = Leadership::begin(&self.writer);
            self.run_group(&mut base, &leadership.group);
            drop(base);
            drop(leadership);
        }
        request.ended()?;
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| Error::Internal("a write ended without a value".into()))
    }

    /// Runs one job, for who keeps other writers waiting.
    pub(crate) fn write_alone(
        &self,
        base: &mut Option<Arc<View>>,
        job: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let request = Request::new(job);
        self.run_group(base, slice::from_ref(&request));
        request.ended()
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
                request.tell(Word::Ended(Err(failure.clone())));
            }
        }
    }

    fn try_until_it_fits(
        &self,
        base: &mut Option<Arc<View>>,
        group: &[Arc<Request>],
    ) -> Result<()> {
        let generation = self.generation();
        if self.writer.groups.fetch_add(1, Ordering::Relaxed).is_multiple_of(READERS_EVERY) {
            generation.clear_stale_readers()?;
        }
        let (mut ended, mut savepoints, mut waited) = (false, false, false);
        loop {
            match self.try_group(&generation, base, group, savepoints) {
                Ok(()) => return Ok(()),
                Err(GroupError::Failed(error)) => return Err(error),
                Err(GroupError::Undo) => savepoints = true,
                // What a killed reader held may be room enough, or what the log does.
                Err(GroupError::MapFull) if generation.clear_stale_readers()? > 0 => {}
                Err(GroupError::MapFull) if !ended => {
                    self.end_log(&generation).inspect_err(|_| self.writer.poison())?;
                    ended = true;
                }
                // Nothing is pinned in it then.
                Err(GroupError::MapFull) => {
                    let grown = generation.grow(self.options.map_size_max, self.lost());
                    match grown {
                        // A short read is no reason to refuse a deletion.
                        Err(Error::StorageFull { .. }) if !waited && generation.readers_ended() => {
                            waited = true;
                        }
                        grown => grown?,
                    }
                    ended = false;
                }
            }
        }
    }

    /// Everything is on the disk. Nobody may be writing.
    pub(crate) fn end_log(&self, generation: &Generation) -> Result<()> {
        generation.log()?.end(generation, &*generation.page_file.newest()?)
    }

    /// Begins or ends the log before a commit, as there is room for it.
    fn choose_log(&self, generation: &Generation, before: &View) -> Result<()> {
        if self.options.durability == Durability::Memory {
            return Ok(());
        }
        generation.log()?.choose(generation, before).inspect_err(|error| {
            if !matches!(error, Error::StorageFull { .. }) {
                self.writer.poison();
            }
        })
    }

    /// Runs a job in a transaction.
    fn run<'t>(
        &'t self,
        generation: &'t Generation,
        before: &'t View,
        txn: RwTxn<'t>,
        state: &GroupState,
        request: &Request,
    ) -> Result<Ran<'t>, GroupError> {
        let mut state = state.clone();
        state.dirty = false;
        let mut txn = WriteTxn::new(self, generation, before, txn, state);
        let mut job = request.job.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = catch_unwind(AssertUnwindSafe(|| job(&mut txn))).unwrap_or_else(|panic| {
            Err(Error::Internal(format!("a write panicked: {}", panic_text(&*panic))))
        });
        if txn.map_full() {
            return Err(GroupError::MapFull);
        }
        let (txn, kept) = txn.end();
        Ok(Ran { txn, kept, outcome })
    }

    /// All or nothing for the group; a job that fails by itself takes nobody else with it.
    fn try_group(
        &self,
        generation: &Generation,
        base: &mut Option<Arc<View>>,
        group: &[Arc<Request>],
        savepoints: bool,
    ) -> Result<(), GroupError> {
        self.writer.healthy(self.path()).map_err(GroupError::Failed)?;
        let _inside = Inside::enter(generation);
        generation.require_whole_file().map_err(GroupError::Failed)?;
        let lmdb = |error| match error {
            heed::Error::Mdb(heed::MdbError::MapFull) => GroupError::MapFull,
            other => GroupError::Failed(generation.lmdb_error(other)),
        };
        let before = match base.take() {
            Some(view) => view,
            None => generation.page_file.newest().map_err(GroupError::Failed)?,
        };
        generation.page_file.prepare(&before).map_err(GroupError::Failed)?;
        let mut outer = generation.env.write_txn().map_err(lmdb)?;
        let mut state = GroupState::load(self, &before).map_err(GroupError::Failed)?;
        let (mut touched, mut changes) = (Vec::new(), Changes::default());
        let mut outcomes = Vec::with_capacity(group.len());
        let mut reached = None;
        for request in group {
            let (kept, outcome) = if savepoints {
                let savepoint = generation.env.nested_write_txn(&mut outer).map_err(lmdb)?;
                let ran = self.run(generation, &before, savepoint, &state, request)?;
                if ran.outcome.is_ok() {
                    ran.txn.commit().map_err(lmdb)?;
                }
                (ran.kept, ran.outcome)
            } else {
                let ran = self.run(generation, &before, outer, &state, request)?;
                if group.len() > 1 && !ran.others_go_on() {
                    return Err(GroupError::Undo);
                }
                outer = ran.txn;
                (ran.kept, ran.outcome)
            };
            if outcome.is_ok() {
                let dirty = state.dirty;
                state = kept.state;
                state.dirty |= dirty;
                touched.extend(kept.touched);
                changes.append(kept.changes);
            }
            outcomes.push(outcome);
        }
        if state.dirty {
            if let Some(came_in) = self.trimming_is_due(&state) {
                let mut txn = WriteTxn::new(self, generation, &before, outer, state);
                let trimmed = txn.trim_changes(came_in);
                if txn.map_full() {
                    return Err(GroupError::MapFull);
                }
                trimmed.map_err(GroupError::Failed)?;
                let kept;
                (outer, kept) = txn.end();
                state = kept.state;
                changes.append(kept.changes);
            }
            for (key, mut payload) in state.rows() {
                before.check_way(Table::Meta, &key).map_err(GroupError::Failed)?;
                seal(Table::Meta as u8, &key, &mut payload);
                changes.put(Table::Meta, &key, &payload, None);
                let table = generation.table(Table::Meta);
                table.put(&mut outer, &key, &payload).map_err(lmdb)?;
            }
            self.choose_log(generation, &before).map_err(GroupError::Failed)?;
            let way = self.append(generation, &before, state.lsn(), &changes)?;
            if let Err(error) = outer.commit() {
                if let Err(error) = way.take_back(generation) {
                    return Err(self.poison(error));
                }
                return Err(self.commit_failed(generation, error));
            }
            self.writer.touched.add(touched);
            let covered = generation.cover(&before, way.durability(self.options.durability));
            let (after, bytes) = covered.map_err(|error| self.poison(error))?;
            self.committed(generation, &after, bytes).map_err(|error| self.poison(error))?;
            *base = Some(after);
            state.publish_symbols(self, generation);
            state.publish_expiry(self);
            reached = Some(state.lsn());
        } else {
            drop(outer);
            *base = Some(before);
        }
        for (request, outcome) in group.iter().zip(outcomes) {
            request.tell(Word::Ended(outcome));
        }
        if let Some(lsn) = reached {
            self.watch.reached(lsn);
        }
        Ok(())
    }

    /// Whether it is time to look at how far the feed of changes reaches back: how many have come in since.
    /// Not while another generation is made, to which rows that go one by one are not told.
    fn trimming_is_due(&self, state: &GroupState) -> Option<u64> {
        if self.writer.touched.is_wanted() {
            return None;
        }
        let mut trimmed = self.writer.trimmed.lock().unwrap_or_else(PoisonError::into_inner);
        let came_in = trimmed.map_or(0, |(_, lsn)| state.lsn().saturating_sub(lsn));
        let is_due = trimmed.is_none_or(|(at, _)| {
            let since = state.now().saturating_sub(at);
            came_in >= retention::LOOK_EVERY || since >= retention::LOOK_AFTER.as_micros() as i64
        });
        if is_due {
            *trimmed = Some((state.now(), state.lsn()));
        }
        is_due.then_some(came_in)
    }

    /// Before a commit: it is in the log, unless LMDB syncs it.
    fn append(
        &self,
        generation: &Generation,
        before: &View,
        lsn: u64,
        changes: &Changes,
    ) -> Result<Way, GroupError> {
        let durability = self.options.durability;
        if durability == Durability::Memory {
            return Ok(Way::Synced);
        }
        let log = generation.log().map_err(GroupError::Failed)?;
        log.append(generation, before, lsn, changes, durability).map_err(|error| match error {
            Error::StorageFull { .. } => GroupError::Failed(error),
            error => self.poison(error),
        })
    }

    /// After a commit: a checkpoint is begun that is due, or done later.
    fn committed(&self, generation: &Generation, after: &View, bytes: u64) -> Result<()> {
        if self.options.durability == Durability::Memory {
            return Ok(());
        }
        let log = generation.log()?;
        let due = log.committed(after, bytes, self.options.relaxed_window)?;
        if due.checkpoint.is_some_and(|at| at <= Instant::now())
            && let Some(pending) = log.begin_checkpoint(generation, after)?
        {
            return self.keeper.complete(log, pending);
        }
        self.keeper.remember(due);
        Ok(())
    }

    /// A checkpoint that is due when nobody writes; false when somebody does. It never waits for writers,
    /// since they may be waiting for a checkpoint that the same thread is to complete.
    pub(crate) fn make_checkpoint(&self) -> bool {
        let leader = match self.writer.leader.try_lock() {
            Ok(leader) => leader,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let make = || -> Result<()> {
            if self.closed() || self.writer.healthy(self.path()).is_err() {
                return Ok(());
            }
            let generation = self.generation();
            let newest = generation.page_file.newest()?;
            let log = Arc::clone(generation.log()?);
            let pending = log.begin_checkpoint(&generation, &newest)?;
            drop((generation, newest));
            drop(leader);
            pending.map_or(Ok(()), |pending| log.complete(pending))
        };
        self.or_poison(make());
        true
    }

    /// What was acknowledged before it was on the disk gets there.
    pub(crate) fn sync_log(&self) {
        let log = self.generation().log().map(Arc::clone);
        self.or_poison(log.and_then(|log| log.sync()));
    }

    /// Commits that were acknowledged and that a power cut would take; `None` where that is not known: of a
    /// reader, and with [`Durability::Memory`].
    pub fn unsynced(&self) -> Option<u64> {
        let known = !self.read_only() && self.options.durability != Durability::Memory;
        known.then(|| self.generation().log().map_or(0, |log| log.unsynced()))
    }

    fn or_poison(&self, done: Result<()>) {
        if done.is_err() {
            self.writer.poison();
        }
    }

    /// A full disk left the last commit untouched, so later writes may succeed. After anything else
    /// the system may have dropped pages that it had accepted: a retry that succeeds proves nothing.
    fn commit_failed(&self, generation: &Generation, error: heed::Error) -> GroupError {
        if matches!(error, heed::Error::Mdb(heed::MdbError::MapFull)) {
            return GroupError::MapFull;
        }
        // Whatever the reason was, a full disk too: LMDB neither reads nor writes any more.
        if matches!(generation.env.read_txn(), Err(heed::Error::Mdb(heed::MdbError::Panic))) {
            return self.poison(Error::StorageError {
                path: self.path().to_owned(),
                detail: format!(
                    "the meta page of a commit could not be written: {error}; whether it is stored \
                     shows when the database is opened again"
                ),
            });
        }
        let error = data_file::write_failed(generation.path(), generation.lmdb_error(error));
        if matches!(error, Error::StorageFull { .. }) {
            // Unless it was a sync of LMDB that found no room: the system tells that to each who asks.
            return match generation.sync(self.options.durability) {
                Ok(()) => GroupError::Failed(error),
                Err(lost) => {
                    // Commits that are logged may have been lost with it.
                    if let Ok(log) = generation.log() {
                        log.distrust_data(&lost);
                    }
                    self.poison(lost)
                }
            };
        }
        self.poison(error)
    }

    fn poison(&self, error: Error) -> GroupError {
        self.writer.poison();
        GroupError::Failed(error)
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
