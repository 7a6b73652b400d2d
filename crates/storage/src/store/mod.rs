//! An open store: reading, closing and growing it.

mod gate;
mod opening;
mod snapshot;
mod symbols;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use embedded_db_common::clock::StoreTime;
use embedded_db_common::record::Damaged;
use embedded_db_common::{Durability, Error, Result};
use heed::types::Bytes;
use heed::{RoTxn, WithoutTls};

use self::gate::Gate;
pub(crate) use self::opening::{Environment, open_new};
pub use self::snapshot::{Sight, Snapshot};
pub use self::symbols::Symbols;
pub(crate) use self::symbols::{stored_symbol, stored_symbol_name, symbol_key, symbol_name_key};
use crate::data_file::DataFile;
use crate::keys::{Kind, Table};
use crate::pages::PageFile;
use crate::platform::{self, TemporaryDirectory, WriterLock, io_error};
use crate::read::ReadTxn;
use crate::writer::{GroupWriter, Inside};

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
    pub(crate) env: Environment,
    tables: Tables,
    /// Readers and writers are inside; growing the map waits until none is.
    pub(crate) gate: Gate,
    pub(crate) writer: GroupWriter,
    pub(crate) symbols: Arc<Symbols>,
    /// The time of writes, and of what a snapshot sees as expired.
    pub(crate) time: StoreTime,
    /// The earliest time at which a node is to go, of those written since somebody asked.
    next_expiry: AtomicI64,
    /// The newest state, by its LMDB transaction, that was seen to have nothing that expires.
    lasting: AtomicUsize,
    /// The newest state whose time the store's is not before.
    timed: AtomicUsize,
    path: PathBuf,
    /// What tells it from every other database.
    identity: String,
    /// The file behind the store: its length, and its pages.
    data_file: DataFile,
    pub(crate) page_file: PageFile,
    map_size_max: usize,
    read_only: bool,
    durability: Durability,
    closed: AtomicBool,
    opened_by: u32,
    fork_generation: u32,
    max_snapshot_age: Duration,
    // Dropped in this order: the lock after the environment, the directory last.
    lock: Mutex<Option<WriterLock>>,
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

    /// Whether the file that is open still lies where it was opened. Its directory may have been
    /// removed or renamed, and another database may be there.
    pub fn is_in_place(&self) -> bool {
        self.data_file.is_in_place()
    }

    pub(crate) fn data_path(&self) -> &Path {
        self.data_file.path()
    }

    /// Size of the data file in bytes.
    pub fn file_size(&self) -> Result<u64> {
        self.data_file.length()
    }

    /// Whether this handle may only read.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// A consistent state to read from.
    pub fn read(self: &Arc<Self>) -> Result<Snapshot> {
        self.usable()?;
        loop {
            // Dropped in this order: the transaction ends inside the gate.
            let (inside, txn) = self.begin_read()?;
            let taken = Instant::now();
            self.require_whole_file()?;
            // Two commits since the transaction began leave no trace of its state: then a newer one.
            if let Some(view) = self.page_file.view(txn.id() as u64)? {
                std::mem::forget(inside);
                let store = Arc::clone(self);
                return Ok(Snapshot { txn: Some(txn), view, store, taken, hidden: None });
            }
        }
    }

    fn begin_read(&self) -> Result<(Inside<'_>, RoTxn<'static, WithoutTls>)> {
        let begin = || (Inside::enter(self), Env::clone(&self.env).static_read_txn());
        let (inside, txn) = match begin() {
            // Another process has grown the file beyond our map.
            (inside, Err(heed::Error::Mdb(heed::MdbError::MapResized))) => {
                drop(inside);
                self.adopt_map_size()?;
                begin()
            }
            // Of processes that were killed, perhaps; it may be that nobody writes, who would look.
            (inside, Err(heed::Error::Mdb(heed::MdbError::ReadersFull)))
                if self.env.clear_stale_readers().is_ok_and(|found| found > 0) =>
            {
                drop(inside);
                begin()
            }
            other => other,
        };
        Ok((inside, txn.map_err(|error| self.lmdb_error(error))?))
    }

    /// No page of the newest commit lies beyond the end of the file; looked at now and then.
    pub(crate) fn require_whole_file(&self) -> Result<()> {
        self.data_file.require_pages(Instant::now(), || self.env.info().last_page_number)
    }

    /// After a commit: no page of it lies beyond the end of the file.
    pub(crate) fn complete_file(&self) -> Result<()> {
        self.data_file.complete_pages(self.env.info().last_page_number, self.durability)
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

    /// Fails once what was taken then is older than a snapshot may be.
    pub fn check_age(&self, taken: Instant) -> Result<()> {
        let (age, limit) = (taken.elapsed(), self.max_snapshot_age);
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
        // A group that is being written ends first.
        let _leader = self.writer.leader.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if lock.is_some() && !self.read_only && !self.forked() && !self.writer.is_poisoned() {
            // The sums lag or are not marked as whole if this fails: the next opening finds out.
            let _marked = self.page_file.end_use();
        }
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

    pub(crate) fn table(&self, table: Table) -> &Database {
        &self.tables[table as usize - 1]
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

    /// Why the file has less room to grow than a small commit needs, if it has.
    pub(crate) fn why_full(&self) -> Result<Option<String>> {
        const SMALL: u64 = 1 << 20;
        if platform::free_space(self.data_file.path()).is_some_and(|free| free < SMALL) {
            return Ok(Some("the file system is full; free some space".into()));
        }
        let length = self.file_size()?;
        let limit = platform::file_size_limit().filter(|limit| *limit < length + SMALL);
        Ok(limit.map(|limit| {
            format!("no file may grow beyond {limit} bytes; raise the limit (ulimit -f)")
        }))
    }

    pub(crate) fn lmdb_error(&self, error: heed::Error) -> Error {
        map_lmdb(self.data_file.path(), error)
    }

    /// Forgets the snapshots of processes that have ended without closing them; how many there were.
    pub(crate) fn clear_stale_readers(&self) -> Result<usize> {
        self.env.clear_stale_readers().map_err(|error| self.lmdb_error(error))
    }

    /// Doubles the map after a write found it full.
    pub(crate) fn grow(&self) -> Result<()> {
        let size = self.env.info().map_size;
        let larger = size.saturating_mul(2).min(self.map_size_max);
        if larger <= size {
            return Err(Error::StorageFull {
                path: self.data_file.path().to_owned(),
                detail: format!("map_size_max of {} bytes is reached; raise it", self.map_size_max),
            });
        }
        self.resize(larger)
    }

    fn adopt_map_size(&self) -> Result<()> {
        let file = self.file_size()? as usize;
        let mut size = self.env.info().map_size;
        while size < file {
            size = size.saturating_mul(2);
        }
        // 0 would adopt the size that the writer recorded; doubling reaches it as well.
        self.resize(size.saturating_mul(2))
    }

    fn resize(&self, size: usize) -> Result<()> {
        // LMDB gives the old map up before it asks for the new one: it must not fail then.
        let more = size.saturating_sub(self.env.info().map_size);
        if !platform::has_address_space(more) {
            return Err(Error::StorageError {
                path: self.data_file.path().to_owned(),
                detail: format!(
                    "the map must grow to {size} bytes, but the address space has no room; raise the \
                     limit (ulimit -v)"
                ),
            });
        }
        let Some(_closed) = self.gate.close(Duration::from_secs(10)) else {
            return Err(Error::StorageFull {
                path: self.data_file.path().to_owned(),
                detail: "the map must grow, but a snapshot is held for over 10 s; close it".into(),
            });
        };
        // SAFETY: the closed gate proves that no transaction of this process is alive.
        #[allow(unsafe_code)]
        let resized = unsafe { self.env.resize(size) };
        if resized.is_err() {
            // There may be no map any more, so nothing may be read or written.
            self.closed.store(true, Ordering::Release);
        }
        resized.map_err(|error| self.lmdb_error(error))
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

    use embedded_db_common::{NamespaceId, Options, Slot};

    use super::*;
    use crate::invariants::check_invariants;

    const NS: NamespaceId = NamespaceId::DEFAULT;

    fn map_size(store: &Store) -> usize {
        store.env.info().map_size
    }

    /// Nobody asks for the growth: writes meet the end of the map by themselves.
    #[test]
    fn writes_grow_the_map_under_readers() {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        store.write(|txn| txn.create_namespace("default")).unwrap();
        assert_eq!(map_size(&store), opening::FIRST_MAP_SIZE);
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
                            assert_eq!(node.properties.as_bytes(), vec![1; 20_000]);
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
        assert!(size >= opening::FIRST_MAP_SIZE << 4, "{size}: it grew several times");
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
        assert!(map_size(&store) > opening::FIRST_MAP_SIZE);
    }

    #[test]
    fn a_map_for_which_there_is_no_room_is_an_error_and_reading_and_writing_go_on() {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        store.write(|txn| txn.create_namespace("default")).unwrap();
        let error = store.resize(1 << 55).unwrap_err();
        assert!(matches!(error, Error::StorageError { .. }), "{error}");
        assert!(error.to_string().contains("ulimit -v"), "{error}");
        write(&store, "after".into(), 10).unwrap();
        assert!(store.read().unwrap().node_slot(NS, "after").unwrap().is_some());
    }

    fn write(store: &Arc<Store>, id: String, size: usize) -> Result<()> {
        store.write(move |txn| {
            let label = txn.intern("Thing")?;
            txn.insert_node(NS, &id, &[label], &vec![1; size], false, None).map(drop)
        })
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
            store.resize(1 << doubling).unwrap();
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
                assert_eq!(node.properties.as_bytes(), vec![1; 20_000]);
            }
        }
    }
}
