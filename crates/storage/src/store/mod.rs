//! An open store: reading, closing and growing it.

mod gate;
mod generation;
mod opening;
mod snapshot;
mod symbols;
mod taking_over;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use embedded_db_common::clock::StoreTime;
use embedded_db_common::record::Damaged;
use embedded_db_common::trace::Tracer;
use embedded_db_common::{Error, Options, Result};
use heed::WithoutTls;
use heed::types::Bytes;

pub use self::generation::Generation;
pub(crate) use self::generation::Inside;
pub(crate) use self::opening::{
    Environment, names_but, open_generation, open_new, remove_generation, reserve_readers,
};
pub use self::snapshot::{Sight, Snapshot, State, Taken};
pub use self::symbols::Symbols;
pub(crate) use self::symbols::{
    stored_name, stored_symbol, stored_symbol_name, symbol_key, symbol_name_key,
};
use self::watch::Watch;
use crate::blackbox::{BlackBox, End};
use crate::figures::Figures;
use crate::keys::{Kind, Table};
use crate::log::Keeper;
use crate::platform::{self, TemporaryDirectory, WriterLock, io_error};
use crate::quota::Quotas;
use crate::read::ReadTxn;
use crate::writer::GroupWriter;

pub(crate) type Database = heed::Database<'static, Bytes, Bytes>;
/// One for each table, in the order of their numbers.
pub(crate) type Tables = [Database; Table::ALL.len()];
pub(crate) type Env = heed::Env<WithoutTls>;

/// The path that stands for a private database in memory.
pub const IN_MEMORY: &str = ":memory:";

/// Reader slots: concurrent snapshots over all processes.
const MAX_READERS: u32 = 4096;

/// An open store: one directory, one writer process, any number of readers.
pub struct Store {
    /// The one that new transactions are of.
    generation: RwLock<Arc<Generation>>,
    /// Held by whoever puts another one in its place.
    pub(crate) switching: Mutex<()>,
    /// Held by whoever writes published files, and by whoever makes another generation, whose directory must not
    /// get any.
    pub(crate) sealing: Mutex<()>,
    /// Somebody waits for that.
    pub(crate) sealing_is_waited_for: AtomicBool,
    pub(crate) writer: GroupWriter,
    pub(crate) keeper: Keeper,
    pub(crate) figures: Figures,
    /// Of a writer that has one, or why it has none.
    black_box: OnceLock<Result<Arc<BlackBox>, Option<Error>>>,
    /// Where traces of this database go, if anybody wants them.
    tracer: Option<Arc<Tracer>>,
    pub(crate) quotas: Quotas,
    pub(crate) symbols: Arc<Symbols>,
    /// The time of writes, and of what a snapshot sees as expired.
    pub(crate) time: StoreTime,
    /// The earliest time at which a node is to go, of those written since somebody asked.
    next_expiry: AtomicI64,
    /// Who is told when so much was written.
    pub(crate) watch: Watch,
    path: PathBuf,
    /// What tells it from every other database.
    identity: String,
    pub(crate) options: Options,
    /// Whether it has the right to write; whoever shares the database may get it later.
    writes: AtomicBool,
    closed: AtomicBool,
    opened_by: u32,
    fork_generation: u32,
    // Dropped in this order: the lock after the environment, the directory last.
    lock: Mutex<Option<Arc<WriterLock>>>,
    _temporary: Option<TemporaryDirectory>,
}

impl Store {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells it from every other database: 32 hex digits.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What users call it: its path, or `:memory:`.
    pub fn name(&self) -> &Path {
        if self._temporary.is_some() { Path::new(IN_MEMORY) } else { &self.path }
    }

    /// The generation that new transactions are of.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.generation.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the file that is open still lies where it was opened. Its directory may have been
    /// removed or renamed, and another database may be there.
    pub fn is_in_place(self: &Arc<Self>) -> bool {
        let is_in_place = || self.generation().data_file.is_in_place();
        // Reading opens the generation that has taken the place of the one that is open.
        is_in_place() || (self.read().is_ok() && is_in_place())
    }

    /// Size of the data file in bytes.
    pub fn file_size(&self) -> Result<u64> {
        self.generation().data_file.length()
    }

    /// How long a snapshot may be held.
    pub fn max_snapshot_age(&self) -> Duration {
        self.options.max_snapshot_age
    }

    /// Where its last events are written down.
    pub fn black_box(&self) -> Option<&BlackBox> {
        self.black_box.get()?.as_deref().ok()
    }

    /// Why there is no black box though there should be one: nothing else fails for that.
    pub fn black_box_failure(&self) -> Option<&Error> {
        self.black_box.get()?.as_ref().err()?.as_ref()
    }

    /// Makes traces, if anybody wants them.
    pub fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.as_ref()
    }

    /// Does something as a span, where traces are wanted.
    pub fn traced<T>(&self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        Tracer::call_if(self.tracer(), name, work)
    }

    /// Whether this handle only reads. That of one who shares the database ends when it takes over.
    pub fn read_only(&self) -> bool {
        !self.writes.load(Ordering::Acquire)
    }

    /// Of a reader: waits until the writer has committed what it has acknowledged, unless it is dead. Whoever shares
    /// the database waits for as long as for a writer, since what it has written itself has to be there.
    pub(crate) fn wait_for_writer(&self) {
        /// A writer commits what it owes within a few milliseconds, or when it gets a processor. One that was stopped
        /// is waited for once.
        const PATIENCE: Duration = Duration::from_millis(250);
        let most = if self.options.shared { self.options.lock_timeout } else { PATIENCE };
        let is_alive = || WriterLock::is_held(&self.path);
        self.generation().wait_for_writer(most.max(PATIENCE), is_alive);
    }

    /// A consistent state to read from.
    pub fn read(self: &Arc<Self>) -> Result<Snapshot> {
        self.usable()?;
        self.settle_to_read(true)?;
        self.begin_read()
    }

    /// The same, for who reads now and then: writers go on as if nobody did.
    pub fn read_quietly(self: &Arc<Self>) -> Result<Snapshot> {
        self.usable()?;
        self.settle_to_read(false)?;
        self.begin_read()
    }

    /// The same, but that what other threads have written in the last milliseconds may be missing: for what is
    /// done behind the backs of users.
    pub fn read_committed(self: &Arc<Self>) -> Result<Snapshot> {
        self.usable()?;
        self.settle_own()?;
        self.begin_read()
    }

    fn begin_read(self: &Arc<Self>) -> Result<Snapshot> {
        let mut generation = self.generation();
        loop {
            let (txn, view, taken) = generation.begin(&self.closed)?;
            let store = Arc::clone(self);
            let snapshot =
                Snapshot { txn: Some(txn), view, generation, store, taken, hidden: None };
            if !snapshot.is_replaced()? {
                return Ok(snapshot);
            }
            generation = self.follow(&snapshot)?;
            self.wait_for_writer();
        }
    }

    /// The right to write published files, unless another generation is being made.
    pub fn begin_sealing(&self) -> Option<MutexGuard<'_, ()>> {
        match self.sealing.try_lock() {
            Ok(sealing) => Some(sealing),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Whether somebody waits for the end of that: to make another generation, or, with a write, for the end of
    /// all snapshots of this process, since the map must grow.
    pub fn sealing_is_waited_for(&self) -> bool {
        self.sealing_is_waited_for.load(Ordering::Acquire) || self.generation().gate.is_closed()
    }

    /// Becomes true when the map is lost: nothing may be read or written any more.
    pub(crate) fn lost(&self) -> &AtomicBool {
        &self.closed
    }

    /// Refuses handles that were closed or belong to another process.
    pub fn usable(&self) -> Result<()> {
        if self.forked() {
            let (path, parent) = (self.name().to_owned(), self.opened_by);
            return Err(Error::ForkedHandle { path, parent });
        }
        if self.closed() {
            return Err(Error::DatabaseClosed { path: self.name().to_owned() });
        }
        Ok(())
    }

    /// Fails once what is held is too old, or costs too much.
    pub fn check_held(&self, held: &Taken) -> Result<()> {
        self.check_age(held.at)?;
        let (generation, limit) = (self.generation(), self.options.max_snapshot_growth);
        // A file that another one has taken the place of does not grow any more.
        if generation.number() != held.generation {
            return Ok(());
        }
        let grown = generation.data_file.length()?.saturating_sub(held.length);
        if grown > limit { Err(Error::SnapshotOutgrown { grown, limit }) } else { Ok(()) }
    }

    /// Fails once what was taken then is older than a snapshot may be.
    pub fn check_age(&self, taken: Instant) -> Result<()> {
        let (age, limit) = (taken.elapsed(), self.options.max_snapshot_age);
        if age > limit {
            return Err(Error::SnapshotExpired {
                age_seconds: age.as_secs(),
                limit_seconds: limit.as_secs(),
            });
        }
        self.usable()
    }

    /// Whether this handle was closed.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether this process is a forked child of the one that opened the store.
    pub fn forked(&self) -> bool {
        platform::fork_generation() != self.fork_generation
    }

    /// Every later call fails, and another process may write. Snapshots that exist go on until they
    /// are dropped; the files are closed with the last of them.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if self.forked() {
            // The locks may have been held when this process was forked.
            return;
        }
        // A group that is being written ends first.
        let leader = self.hold_writers();
        if leader.is_err() {
            self.give_up_writing();
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        let has_settled = leader.is_ok() && self.writer.healthy(&self.path).is_ok();
        if lock.is_some() && !self.read_only() && has_settled {
            // What fails here leaves the log in use, or sums that lag: the next opening finds out.
            let generation = self.generation();
            let _ended = self
                .end_log(&generation)
                .and_then(|()| generation.page_file.end_use())
                .and_then(|()| generation.data_file.give_back());
        }
        drop(leader);
        self.keeper.stop();
        self.writer.thread.stop();
        if let Some(black_box) = self.black_box().filter(|_| lock.is_some()) {
            black_box.note("close", End::default());
        }
    }

    /// Process id and host of who has the right to write, as far as that is told; `None` when nobody has it.
    pub fn holder(&self) -> Result<Option<(u32, String)>> {
        WriterLock::holder(&self.path)
    }

    /// The right to write, for as long as it is needed: also beyond [`Store::close`].
    pub(crate) fn shared_lock(&self) -> Option<Arc<WriterLock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The earliest time at which a node is to go, as far as this process has written it since the
    /// last time that it was taken; `i64::MAX` when there is none.
    pub fn next_expiry(&self) -> i64 {
        self.next_expiry.load(Ordering::SeqCst)
    }

    /// Forgets it; who looks at the store from now on sees what it stood for.
    pub fn take_next_expiry(&self) {
        self.next_expiry.store(i64::MAX, Ordering::SeqCst);
    }

    /// A node that was committed is to go then.
    pub(crate) fn expires(&self, at: i64) {
        self.next_expiry.fetch_min(at, Ordering::SeqCst);
    }

    /// The names behind symbols; they outlive the store.
    pub fn symbols(&self) -> &Arc<Symbols> {
        &self.symbols
    }

    pub(crate) fn corruption(&self, table: Table, key: &[u8], damaged: Damaged) -> Error {
        use std::fmt::Write;
        let mut object = format!("{} ", table.name());
        for byte in key.iter().take(40) {
            // Writing to a String cannot fail.
            let _written = write!(object, "{byte:02x}");
        }
        Error::Corruption { path: self.path.clone(), object, detail: damaged.0.into() }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.closed() {
            self.close();
        }
    }
}

/// The nearest kind of ours for an LMDB error.
pub(crate) fn map_lmdb(data_file: &Path, error: heed::Error) -> Error {
    use heed::MdbError as M;
    let path = data_file.to_owned();
    match error {
        heed::Error::Io(error) => io_error(data_file, "read or write the store", &error),
        heed::Error::Mdb(M::Corrupted | M::PageNotFound | M::Invalid | M::VersionMismatch) => {
            Error::Corruption { path, object: "the store".into(), detail: error.to_string() }
        }
        heed::Error::Mdb(M::Panic) => Error::StorageError {
            path,
            detail: "the meta page of an earlier commit could not be written; nothing is read or \
                     written until the database is opened again"
                .into(),
        },
        heed::Error::EnvAlreadyOpened => Error::StorageError {
            path,
            detail: "a call or snapshot of an earlier handle still holds it open in this process; \
                     end it first, or raise lock_timeout"
                .into(),
        },
        heed::Error::Mdb(M::ReadersFull) => {
            let limit = MAX_READERS as usize;
            Error::TooManySnapshots { used: limit, limit }
        }
        other => Error::StorageError { path, detail: other.to_string() },
    }
}

/// Every table by name, with the number of its rows in all namespaces.
pub fn row_counts(txn: &impl ReadTxn) -> Result<Vec<(&'static str, u64)>> {
    Table::ALL.iter().map(|table| Ok((table.name(), txn.rows().count(*table)?))).collect()
}

/// Longest user id of any kind fits a key.
const _: () = assert!(4 + 1 + embedded_db_common::MAX_NAME <= 288 && Kind::Node as u8 == 1);

#[cfg(test)]
mod tests {
    use std::thread;

    use embedded_db_common::{NamespaceId, Options, Slot, Value};

    use super::*;
    use crate::invariants::check_invariants;

    const NS: NamespaceId = NamespaceId::DEFAULT;

    fn map_size(store: &Store) -> usize {
        store.generation().env.info().map_size
    }

    /// Nobody asks for the growth: writes meet the end of the map by themselves.
    #[test]
    fn writes_grow_the_map_under_readers() {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        store.write(|txn| txn.create_namespace("default")).unwrap();
        assert_eq!(map_size(&store), opening::MOST_AT_FIRST);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Acquire) {
                        let snapshot = store.read().unwrap();
                        // Slots are given in order, and a node is there whole.
                        let nodes = snapshot.namespace_counters(NS).unwrap().nodes;
                        for slot in (0..nodes as u32).rev().take(3).map(Slot) {
                            let node = snapshot.node(NS, slot).unwrap().unwrap();
                            assert!(node.properties.as_bytes() == properties(20_000));
                        }
                    }
                });
            }
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let store = Arc::clone(&store);
                    scope.spawn(move || {
                        for n in 0..300 {
                            write(&store, format!("{writer}/{n}"), 20_000).unwrap();
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
        });
        let size = map_size(&store);
        assert!(size >= opening::MOST_AT_FIRST << 4, "{size}: it grew several times");
        let snapshot = store.read().unwrap();
        let counters = snapshot.namespace_counters(NS).unwrap();
        assert_eq!((counters.nodes, counters.node_slots), (900, 900), "no job left two traces");
        assert_eq!(snapshot.lsn().unwrap().0, 900);
        let check = check_invariants(&snapshot, &|| Ok(()), &mut |text| panic!("{text}"));
        check.unwrap();
    }

    /// A write that needs a larger map waits for the snapshot that forbids it, and then goes on.
    #[test]
    fn growth_waits_for_a_snapshot() {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        store.write(|txn| txn.create_namespace("default")).unwrap();
        let snapshot = store.read().unwrap();
        let writer = {
            let store = Arc::clone(&store);
            thread::spawn(move || write(&store, "large".into(), 2 << 20))
        };
        thread::sleep(Duration::from_millis(100));
        assert!(!writer.is_finished(), "it waits");
        assert_eq!(snapshot.node_slot(NS, "large").unwrap(), None);
        drop(snapshot);
        writer.join().unwrap().unwrap();
        assert!(store.read().unwrap().node_slot(NS, "large").unwrap().is_some());
        assert!(map_size(&store) > opening::MOST_AT_FIRST);
    }

    #[test]
    fn a_map_for_which_there_is_no_room_is_an_error_and_reading_and_writing_go_on() {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        store.write(|txn| txn.create_namespace("default")).unwrap();
        let error = store.generation().resize(1 << 55, &store.closed).unwrap_err();
        assert!(matches!(error, Error::StorageError { .. }), "{error}");
        assert!(error.to_string().contains("ulimit -v"), "{error}");
        write(&store, "after".into(), 10).unwrap();
        assert!(store.read().unwrap().node_slot(NS, "after").unwrap().is_some());
    }

    fn write(store: &Arc<Store>, id: String, size: usize) -> Result<()> {
        store.write(move |txn| {
            let label = txn.intern("Thing")?;
            txn.insert_node(NS, &id, &[label], &properties(size), false, None).map(drop)
        })
    }

    /// One, of so many bytes.
    fn properties(size: usize) -> Vec<u8> {
        let mut out = vec![1, 1];
        Value::Bytes(vec![1; size]).write(&mut out).unwrap();
        out
    }

    #[test]
    fn the_map_grows_under_readers_and_writers() {
        let options = Options { map_size_max: 1 << 20, ..Options::default() };
        let store = Store::open_in_memory(&options).unwrap();
        store.write(|txn| txn.create_namespace("default")).unwrap();
        let full = write(&store, "large".into(), 4 << 20).unwrap_err();
        assert!(matches!(full, Error::StorageFull { .. }), "{full}");
        let writers = (0..4).map(|writer| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                for n in 0..50 {
                    let id = format!("{writer}/{n}");
                    // Full until somebody has made room.
                    while write(&store, id.clone(), 20_000).is_err() {
                        thread::yield_now();
                    }
                    let snapshot = store.read().unwrap();
                    assert!(snapshot.node_slot(NS, &id).unwrap().is_some());
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        for doubling in 21..25 {
            store.generation().resize(1 << doubling, &store.closed).unwrap();
            thread::yield_now();
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        write(&store, "large".into(), 4 << 20).unwrap();
        let snapshot = store.read().unwrap();
        assert_eq!(snapshot.namespace_counters(NS).unwrap().nodes, 201);
        assert_eq!(snapshot.lsn().unwrap().0, 201, "what did not fit left no trace");
        for writer in 0..4 {
            for n in 0..50 {
                let slot = snapshot.node_slot(NS, &format!("{writer}/{n}")).unwrap().unwrap();
                let node = snapshot.node(NS, slot).unwrap().unwrap();
                assert!(node.properties.as_bytes() == properties(20_000));
            }
        }
    }
}
