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
//!
//! With the log a group is acknowledged before LMDB commits it ([`owed`]).

mod group;
mod owed;
#[cfg(test)]
mod tests;
mod thread;

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::time::Duration;

use embedded_db_common::{Error, Result};

pub(crate) use self::owed::Leader;
pub(crate) use self::thread::CommitThread;
use crate::scopes::Scopes;
use crate::store::Store;
use crate::touched::TouchedRows;
use crate::tx::WriteTxn;

type Job = Box<dyn FnMut(&mut WriteTxn<'_>) -> Result<()> + Send>;

/// Most jobs in one transaction.
const GROUP_MAX: usize = 256;
/// After somebody has read, so many groups are committed at once.
const AT_ONCE: u32 = 16;

thread_local! {
    /// The writer of which this thread runs a job, by its address: what it owes then is not waited for.
    static IN_JOB: Cell<usize> = const { Cell::new(0) };
    /// The writer by which this thread was last owed something, and the transaction that will have it.
    static OWN: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
}

pub(crate) struct GroupWriter {
    queue: Mutex<Queue>,
    /// Held by who writes.
    pub(crate) leader: Mutex<Leader>,
    /// Something is acknowledged that LMDB has not committed.
    owes: AtomicBool,
    /// The transaction that will have it.
    owed_in: AtomicU64,
    /// So many groups are committed at once, for somebody reads.
    at_once: AtomicU32,
    /// Whoever wants to know when what was owed is committed.
    told: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// How many wait until nothing is owed.
    waiting: AtomicUsize,
    settled: (Mutex<()>, Condvar),
    pub(crate) thread: Arc<CommitThread>,
    groups: AtomicU64,
    /// A sync failed: what the disk holds is unknown, so nothing more is acknowledged.
    poisoned: AtomicBool,
    /// What is written while another generation is made.
    pub(crate) touched: TouchedRows,
    /// Which namespaces were written when.
    pub(crate) scopes: Scopes,
    /// When the feed of changes was last looked at, and the last change then.
    trimmed: Mutex<Option<(i64, u64)>>,
}

impl GroupWriter {
    pub(crate) fn new(store: Weak<Store>) -> Self {
        Self {
            queue: Mutex::default(),
            leader: Mutex::default(),
            owes: AtomicBool::new(false),
            owed_in: AtomicU64::new(0),
            at_once: AtomicU32::new(0),
            told: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            settled: Default::default(),
            thread: Arc::new(CommitThread::new(store)),
            groups: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            touched: TouchedRows::default(),
            scopes: Scopes::default(),
            trimmed: Mutex::default(),
        }
    }

    /// The leadership; nobody else writes until it is given back.
    fn lead(&self) -> MutexGuard<'_, Leader> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless somebody has it.
    fn try_lead(&self) -> Option<MutexGuard<'_, Leader>> {
        match self.leader.try_lock() {
            Ok(leader) => Some(leader),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Something is owed in this transaction.
    fn begin_to_owe(&self, transaction: u64) {
        self.owed_in.store(transaction, Ordering::Release);
        self.owes.store(true, Ordering::Release);
    }

    /// Whether something is acknowledged that LMDB has not committed.
    fn owes(&self) -> bool {
        self.owes.load(Ordering::Acquire)
    }

    /// Whether a reader of this process waits for what is owed.
    pub(crate) fn has_waiting_reads(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Nothing is owed any more.
    fn has_settled(&self) {
        self.owes.store(false, Ordering::Release);
        if self.has_waiting_reads() {
            drop(self.settled.0.lock());
            self.settled.1.notify_all();
        }
    }

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
            let mut leader = self.writer.lead();
            let leadership = Leadership::begin(&self.writer);
            self.run_group(&mut leader, &leadership.group);
            self.settle_if_due(&mut leader);
            drop(leader);
            drop(leadership);
        }
        request.ended()?;
        if self.writer.owes() {
            OWN.set((self.writer.address(), self.writer.owed_in.load(Ordering::Acquire)));
        }
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| Error::Internal("a write ended without a value".into()))
    }

    /// Runs one job, for who keeps other writers waiting.
    pub(crate) fn write_alone(
        &self,
        leader: &mut Leader,
        job: impl FnMut(&mut WriteTxn<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let request = Request::new(job);
        self.run_group(leader, slice::from_ref(&request));
        request.ended()
    }

    /// Keeps writers waiting, with nothing owed and no transaction open.
    pub(crate) fn hold_writers(&self) -> Result<MutexGuard<'_, Leader>> {
        let mut leader = self.writer.lead();
        self.settle(&mut leader)?;
        leader.open = None;
        Ok(leader)
    }

    /// What is owed stays in the log: another process may commit it from here on, so this one may not.
    pub(crate) fn give_up_writing(&self) {
        let closed = || Error::DatabaseClosed { path: self.path().to_owned() };
        self.writer.lead().stuck.get_or_insert_with(closed);
    }

    /// Whether something is acknowledged that LMDB has not committed; who asked to be told is told when it has.
    pub fn owes(&self) -> bool {
        self.writer.owes()
    }

    /// Has something called after each commit of what was owed, in a thread that holds nothing. Set once.
    pub fn when_settled(&self, call: impl Fn() + Send + Sync + 'static) {
        // Another one would never be called.
        let _first = self.writer.told.set(Box::new(call));
    }

    /// Tells whoever wants to know.
    fn tell_settled(&self) {
        if let Some(told) = self.writer.told.get() {
            told();
        }
    }

    /// Before a state is read: it has what this thread has written.
    pub(crate) fn settle_own(&self) -> Result<()> {
        let writer = &self.writer;
        let owed = (writer.address(), writer.owed_in.load(Ordering::Acquire));
        if writer.owes() && OWN.get() == owed { self.settle_to_read(false) } else { Ok(()) }
    }

    /// Before a state is read: it has all that was acknowledged. With `again`, more reads are to be expected.
    pub(crate) fn settle_to_read(&self, again: bool) -> Result<()> {
        /// Between two looks, should nobody tell.
        const LOOK: Duration = Duration::from_millis(1);
        let writer = &self.writer;
        if self.read_only() {
            self.wait_for_writer();
            return Ok(());
        }
        if !writer.owes() || IN_JOB.get() == writer.address() {
            return Ok(());
        }
        if again {
            writer.at_once.store(AT_ONCE, Ordering::Relaxed);
        }
        writer.waiting.fetch_add(1, Ordering::AcqRel);
        let settled = loop {
            if let Some(mut leader) = writer.try_lead() {
                break self.settle(&mut leader);
            }
            // Who leads commits at the end of the group, for somebody waits.
            let (lock, told) = &writer.settled;
            let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
            if !writer.owes() {
                break Ok(());
            }
            drop(told.wait_timeout(guard, LOOK));
        };
        writer.waiting.fetch_sub(1, Ordering::AcqRel);
        settled
    }

    /// Commits what is owed when nobody writes; otherwise after what time to try again.
    pub(crate) fn settle_at_rest(&self) -> Option<Duration> {
        /// Who is writing commits it, unless nothing comes of the write.
        const WRITTEN: Duration = Duration::from_millis(1);
        /// There may be room again.
        const FULL: Duration = Duration::from_secs(1);
        let Some(mut leader) = self.writer.try_lead() else { return Some(WRITTEN) };
        leader.owed.rest().or_else(|| match self.settle(&mut leader) {
            Err(Error::StorageFull { .. }) => Some(FULL),
            // Another failure is met by whoever reads or writes next.
            Ok(()) | Err(_) => None,
        })
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
