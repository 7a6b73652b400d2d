//! Opening, reading and growing the store.

use std::collections::HashMap;
use std::fs;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use embedded_db_common::record::Damaged;
use embedded_db_common::{Durability, Error, MAX_NAME, Options, Result, Symbol, clock};
use heed::types::Bytes;
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions, RoTxn, WithoutTls};

use crate::data_file::{self, DataFile};
use crate::format::Current;
use crate::keys::{Kind, Table};
use crate::platform::{self, TemporaryDirectory, WriterLock, io_error, write_error};
use crate::read::{ReadTxn, symbols};
use crate::writer::GroupWriter;

pub(crate) type Database = heed::Database<'static, Bytes, Bytes>;
type Env = heed::Env<WithoutTls>;

/// The LMDB environment. Opening and closing one take process-wide locks of the library.
pub(crate) struct Environment(ManuallyDrop<Env>);

impl std::ops::Deref for Environment {
    type Target = Env;

    fn deref(&self) -> &Env {
        &self.0
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // SAFETY: it is dropped here only, and nothing uses it afterwards.
        #[allow(unsafe_code)]
        platform::unforked(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}

/// Address space taken at first; the file itself stays as small as its content.
const FIRST_MAP_SIZE: usize = 1 << 36;
/// Reader slots: concurrent snapshots over all processes.
const MAX_READERS: u32 = 1024;

/// An open store: one directory, one writer process, any number of readers.
pub struct Store {
    pub(crate) env: Environment,
    tables: [Database; Table::ALL.len()],
    /// Readers and writers are inside; growing the map waits until none is.
    pub(crate) gate: Gate,
    pub(crate) writer: GroupWriter,
    pub(crate) symbols: Arc<Symbols>,
    path: PathBuf,
    /// The file behind the store.
    data_file: DataFile,
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
    /// Opens the database in `path`, making it where there is none.
    pub fn open(path: &Path, options: &Options) -> Result<Arc<Self>> {
        Self::open_interruptible(path, options, &|| Ok(()))
    }

    /// The same; while it waits for another writer it asks `interrupted` whether to go on.
    pub fn open_interruptible(
        path: &Path,
        options: &Options,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Arc<Self>> {
        Self::open_in(path.to_owned(), options, None, interrupted)
    }

    /// Opens a new private database that ends with its handle.
    pub fn open_in_memory(options: &Options) -> Result<Arc<Self>> {
        let directory = TemporaryDirectory::create()?;
        let path = directory.path().to_owned();
        let options = Options { durability: Durability::Memory, ..options.clone() };
        Self::open_in(path, &options, Some(directory), &|| Ok(()))
    }

    fn open_in(
        path: PathBuf,
        options: &Options,
        temporary: Option<TemporaryDirectory>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Arc<Self>> {
        let fork_generation = platform::fork_generation();
        // The process may change its directory later.
        let path = std::path::absolute(&path).map_err(|e| io_error(&path, "find", &e))?;
        let (mut lock, current) = if options.read_only {
            (None, Current::read(&path)?)
        } else {
            Current::check_directory(&path)?;
            fs::create_dir_all(&path).map_err(|e| io_error(&path, "create the database", &e))?;
            let lock = WriterLock::acquire(&path, options.lock_timeout, interrupted)?;
            (Some(lock), Current::read_or_create(&path)?)
        };
        let directory = current.directory(&path);
        let data_file = directory.join("data.mdb");
        if current.is_published() {
            data_file::require_data(&data_file)?;
        }
        if options.read_only {
            data_file::require_whole(&data_file)?;
        } else {
            data_file::complete(&data_file)?;
        }
        let env = match open_env(&directory, options, EnvFlags::empty(), interrupted)? {
            Err(heed::Error::Io(error)) if cannot_register(&error, options) => {
                let timeout = options.lock_timeout;
                lock = Some(WriterLock::keep_writers_out(&path, timeout, interrupted)?);
                open_env(&directory, options, EnvFlags::NO_LOCK, interrupted)?
            }
            other => other,
        };
        let env = env.map_err(|error| cannot_open(&data_file, options, error))?;
        let tables = open_tables(&env, &directory, options.read_only)?;
        if !options.read_only {
            if !current.is_published() && has_data(&env, &tables, &data_file)? {
                let generation = directory.file_name().unwrap_or_default().to_string_lossy();
                return Err(Current::lost(&path, &generation));
            }
            current.publish(&path)?;
            env.clear_stale_readers().map_err(|e| map_lmdb(&data_file, e))?;
        }
        let data_file = DataFile::open(data_file, options.read_only)?;
        Ok(Arc::new_cyclic(|store| Self {
            env,
            tables,
            gate: Gate::default(),
            writer: GroupWriter::default(),
            symbols: Arc::new(Symbols {
                maps: RwLock::default(),
                store: Weak::clone(store),
                path: path.clone(),
            }),
            path,
            data_file,
            map_size_max: options.map_size_max,
            read_only: options.read_only,
            durability: options.durability,
            closed: AtomicBool::new(false),
            opened_by: std::process::id(),
            fork_generation,
            max_snapshot_age: options.max_snapshot_age,
            lock: Mutex::new(lock),
            _temporary: temporary,
        }))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file that is open still lies where it was opened. Its directory may have been
    /// removed or renamed, and another database may be there.
    pub fn is_in_place(&self) -> bool {
        self.data_file.is_in_place()
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
        self.gate.enter();
        let begin = || Env::clone(&self.env).static_read_txn();
        let txn = match begin() {
            // Another process has grown the file beyond our map.
            Err(heed::Error::Mdb(heed::MdbError::MapResized)) => {
                self.gate.leave();
                self.adopt_map_size()?;
                self.gate.enter();
                begin()
            }
            other => other,
        };
        let txn = txn.map_err(|error| {
            self.gate.leave();
            self.lmdb_error(error)
        })?;
        let snapshot = Snapshot { txn: Some(txn), store: Arc::clone(self), taken: Instant::now() };
        self.data_file.require_pages(|| self.env.info().last_page_number)?;
        Ok(snapshot)
    }

    /// After a commit: no page of it lies beyond the end of the file.
    pub(crate) fn complete_file(&self) -> Result<()> {
        self.data_file.complete_pages(self.env.info().last_page_number, self.durability)
    }

    /// Refuses handles that were closed or belong to another process.
    pub fn usable(&self) -> Result<()> {
        if platform::fork_generation() != self.fork_generation {
            return Err(Error::ForkedHandle { path: self.path.clone(), parent: self.opened_by });
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::DatabaseClosed { path: self.path.clone() });
        }
        Ok(())
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
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
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

    /// Whether the disk has less room than a small commit needs.
    pub(crate) fn disk_is_full(&self) -> bool {
        const SMALL: u64 = 1 << 20;
        platform::free_space(self.data_file.path()).is_some_and(|free| free < SMALL)
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

/// Whether a reader was refused because it may not write to LMDB's table of readers.
fn cannot_register(error: &std::io::Error, options: &Options) -> bool {
    options.read_only && error.kind() == std::io::ErrorKind::PermissionDenied
}

fn cannot_open(data_file: &Path, options: &Options, error: heed::Error) -> Error {
    match error {
        heed::Error::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
            let size = first_map_size(data_file, options);
            Error::StorageError {
                path: data_file.to_owned(),
                detail: format!(
                    "cannot reserve {size} bytes of address space: {error}; raise the limit (ulimit \
                     -v), or set map_size_max below it"
                ),
            }
        }
        heed::Error::Io(error) if !options.read_only => write_error(data_file, "open it", &error),
        heed::Error::Io(error) => io_error(data_file, "open it", &error),
        other => map_lmdb(data_file, other),
    }
}

fn first_map_size(data_file: &Path, options: &Options) -> usize {
    let on_disk = fs::metadata(data_file).map_or(0, |m| m.len() as usize);
    let wanted = FIRST_MAP_SIZE.min(options.map_size_max).max(on_disk.saturating_mul(2));
    wanted.next_multiple_of(platform::page_size())
}

fn open_env(
    directory: &Path,
    options: &Options,
    more: EnvFlags,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<heed::Result<Environment>> {
    let mut open = EnvOpenOptions::new().read_txn_without_tls();
    open.map_size(first_map_size(&directory.join("data.mdb"), options))
        .max_dbs(Table::ALL.len() as u32)
        .max_readers(MAX_READERS);
    let mut flags = EnvFlags::NO_READ_AHEAD | more;
    if options.read_only {
        flags |= EnvFlags::READ_ONLY;
    }
    if options.durability == Durability::Memory {
        flags |= EnvFlags::NO_SYNC;
    }
    // SAFETY: the writer lock keeps a second writer out, and any writer where NO_LOCK is taken; else
    // LMDB's lock file is in use. NO_SYNC is only taken where no durability was asked for.
    #[allow(unsafe_code)]
    unsafe {
        open.flags(flags);
    }
    let begun = Instant::now();
    loop {
        // SAFETY: the file belongs to this database alone and lies in its own generation directory;
        // it is changed by LMDB only.
        #[allow(unsafe_code)]
        let env = platform::unforked(|| unsafe { open.open(directory) });
        match env {
            // A call on an earlier handle is still reading; the files close at its end.
            Err(heed::Error::EnvAlreadyOpened) if begun.elapsed() < options.lock_timeout => {
                interrupted()?;
                std::thread::sleep(platform::WAIT.min(options.lock_timeout));
            }
            opened => return Ok(opened.map(|env| Environment(ManuallyDrop::new(env)))),
        }
    }
}

/// A table that cannot be opened says why; a commit after it would only say that it failed.
fn settled<T>(
    tables: [heed::Result<T>; Table::ALL.len()],
) -> heed::Result<CommitOrAbort<[heed::Result<T>; Table::ALL.len()], heed::Error>> {
    if tables.iter().all(Result::is_ok) {
        return Ok(CommitOrAbort::Commit(tables));
    }
    let first = tables.into_iter().find_map(Result::err).expect("one was not opened");
    Ok(CommitOrAbort::Abort(first))
}

fn open_tables(
    env: &Env,
    directory: &Path,
    read_only: bool,
) -> Result<[Database; Table::ALL.len()]> {
    let data_file = directory.join("data.mdb");
    let lmdb = |error| map_lmdb(&data_file, error);
    let opened = if read_only {
        let txn = env.read_txn().map_err(lmdb)?;
        env.open_databases_and_commit(txn, |opener, txn| {
            settled(Table::ALL.map(|table| opener.open_database(txn, Some(table.name()))))
        })
    } else {
        let txn = env.write_txn().map_err(lmdb)?;
        env.create_databases_and_commit(txn, |creator, txn| {
            let create = |table: Table| creator.create_database(txn, Some(table.name())).map(Some);
            settled(Table::ALL.map(create))
        })
    };
    let opened = match opened.map_err(|error: heed::Error| lmdb(error))? {
        CommitOrAbort::Commit(opened) => opened,
        CommitOrAbort::Abort(error) => return Err(lmdb(error)),
    };
    let mut tables = Vec::with_capacity(Table::ALL.len());
    for (table, found) in Table::ALL.into_iter().zip(opened) {
        tables.push(found.map_err(lmdb)?.ok_or_else(|| Error::Corruption {
            path: data_file.clone(),
            object: format!("the table {:?}", table.name()),
            detail: "it is missing".into(),
        })?);
    }
    tables.try_into().map_err(|_| Error::Internal("a table is missing".into()))
}

/// Whether anything was ever committed: the first row is written after `CURRENT` is there.
fn has_data(env: &Env, tables: &[Database], data_file: &Path) -> Result<bool> {
    let lmdb = |error| map_lmdb(data_file, error);
    let txn = env.read_txn().map_err(lmdb)?;
    let empty = tables[Table::Meta as usize - 1].is_empty(&txn).map_err(lmdb)?;
    Ok(!empty)
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
        heed::Error::EnvAlreadyOpened => Error::StorageError {
            path,
            detail: "a call or snapshot of an earlier handle still holds it open in this process; \
                     end it first, or raise lock_timeout"
                .into(),
        },
        heed::Error::Mdb(M::ReadersFull) => Error::StorageError {
            path,
            detail: format!("{MAX_READERS} snapshots are open; close some"),
        },
        other => Error::StorageError { path, detail: other.to_string() },
    }
}

/// Counts the transactions of this process, so that the map is only moved under none.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    inside: usize,
    closed: bool,
}

pub(crate) struct ClosedGate<'a>(&'a Gate);

impl Gate {
    pub(crate) fn enter(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.inside += 1;
    }

    pub(crate) fn leave(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.inside -= 1;
        let wake = state.closed;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Lets nobody in and waits until all are out; `None` when that takes too long.
    fn close(&self, timeout: Duration) -> Option<ClosedGate<'_>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.closed = true;
        let gate = ClosedGate(self);
        while state.inside > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                drop(gate);
                return None;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        Some(gate)
    }
}

impl Drop for ClosedGate<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).closed = false;
        self.0.changed.notify_all();
    }
}

/// Committed names, both ways. Records hold their numbers; what was read from a store can still be
/// named after the store was closed, as far as the names were needed before.
pub struct Symbols {
    maps: RwLock<SymbolMaps>,
    store: Weak<Store>,
    path: PathBuf,
}

#[derive(Default)]
struct SymbolMaps {
    by_name: HashMap<Arc<str>, Symbol>,
    by_number: Vec<Option<Arc<str>>>,
}

impl Symbols {
    /// The name behind a symbol.
    pub fn name_of(&self, symbol: Symbol) -> Result<Arc<str>> {
        match self.name(symbol) {
            Some(name) => Ok(name),
            None => self.store()?.read()?.symbol_name(symbol),
        }
    }

    /// The symbol of a name, if it has one.
    pub fn symbol_of(&self, name: &str) -> Result<Option<Symbol>> {
        match self.number(name) {
            Some(symbol) => Ok(Some(symbol)),
            None => self.store()?.read()?.symbol(name),
        }
    }

    fn store(&self) -> Result<Arc<Store>> {
        self.store.upgrade().ok_or_else(|| Error::DatabaseClosed { path: self.path.clone() })
    }

    pub(crate) fn number(&self, name: &str) -> Option<Symbol> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner).by_name.get(name).copied()
    }

    pub(crate) fn name(&self, symbol: Symbol) -> Option<Arc<str>> {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        maps.by_number.get(symbol.0 as usize)?.clone()
    }

    pub(crate) fn insert(&self, symbol: Symbol, name: &Arc<str>) {
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        let at = symbol.0 as usize;
        if maps.by_number.len() <= at {
            maps.by_number.resize(at + 1, None);
        }
        maps.by_number[at] = Some(Arc::clone(name));
        maps.by_name.insert(Arc::clone(name), symbol);
    }
}

/// A consistent state of the store. It pins old pages: keep it short.
pub struct Snapshot {
    txn: Option<RoTxn<'static, WithoutTls>>,
    store: Arc<Store>,
    taken: Instant,
}

impl Snapshot {
    /// Fails once the snapshot is older than allowed.
    pub fn check_age(&self) -> Result<()> {
        let (age, limit) = (self.taken.elapsed(), self.store.max_snapshot_age);
        if age > limit {
            return Err(Error::SnapshotExpired {
                age_seconds: age.as_secs(),
                limit_seconds: limit.as_secs(),
            });
        }
        self.store.usable()
    }

    /// The store it was taken of.
    pub fn shared_store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let txn = self.txn.take();
        if self.store.forked() {
            // The reader slot belongs to the parent.
            std::mem::forget(txn);
            return;
        }
        drop(txn);
        self.store.gate.leave();
    }
}

impl ReadTxn for Snapshot {
    fn store(&self) -> &Store {
        &self.store
    }

    fn raw(&self) -> &RoTxn<'_> {
        self.txn.as_ref().expect("only drop takes the transaction")
    }

    fn symbol(&self, name: &str) -> Result<Option<Symbol>> {
        if let Some(symbol) = self.store.symbols.number(name) {
            return Ok(Some(symbol));
        }
        let found = stored_symbol(self, name)?;
        if let Some(symbol) = found {
            self.store.symbols.insert(symbol, &name.into());
        }
        Ok(found)
    }

    fn symbol_name(&self, symbol: Symbol) -> Result<Arc<str>> {
        if let Some(name) = self.store.symbols.name(symbol) {
            return Ok(name);
        }
        let name = stored_symbol_name(self, symbol)?;
        self.store.symbols.insert(symbol, &name);
        Ok(name)
    }
}

pub(crate) fn symbol_key(name: &str) -> crate::keys::Key {
    crate::keys::Key::new(embedded_db_common::NamespaceId::SYSTEM)
        .u8(symbols::BY_NAME)
        .bytes(name.as_bytes())
}

pub(crate) fn symbol_name_key(symbol: Symbol) -> crate::keys::Key {
    crate::keys::Key::new(embedded_db_common::NamespaceId::SYSTEM)
        .u8(symbols::BY_NUMBER)
        .u32(symbol.0)
}

pub(crate) fn stored_symbol(txn: &impl ReadTxn, name: &str) -> Result<Option<Symbol>> {
    if name.len() > MAX_NAME {
        return Ok(None);
    }
    let key = symbol_key(name);
    let Some(payload) = txn.get(Table::Symbols, &key)? else { return Ok(None) };
    let number = payload.try_into().map_err(|_| Damaged("has no number"));
    txn.located(Table::Symbols, &key, number).map(|n| Some(Symbol(u32::from_be_bytes(n))))
}

pub(crate) fn stored_symbol_name(txn: &impl ReadTxn, symbol: Symbol) -> Result<Arc<str>> {
    let key = symbol_name_key(symbol);
    let payload = txn.get(Table::Symbols, &key)?;
    let payload = txn.located(Table::Symbols, &key, payload.ok_or(Damaged("is missing")))?;
    let name = std::str::from_utf8(payload).map_err(|_| Damaged("is not UTF-8"));
    Ok(txn.located(Table::Symbols, &key, name)?.into())
}

/// A table that this process opened, and the number of rows in it.
pub fn row_counts(txn: &impl ReadTxn) -> Result<Vec<(&'static str, u64)>> {
    Table::ALL
        .iter()
        .map(|table| {
            let rows = txn.store().table(*table).len(txn.raw());
            Ok((table.name(), rows.map_err(|error| txn.store().lmdb_error(error))?))
        })
        .collect()
}

/// Longest user id of any kind fits a key.
const _: () = assert!(4 + 1 + embedded_db_common::MAX_NAME <= 288 && Kind::Node as u8 == 1);

/// The time of a write: the wall clock, but never before an earlier write.
pub(crate) fn write_time(last: i64) -> i64 {
    clock::now().max(last)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use embedded_db_common::NamespaceId;

    use super::*;

    const NS: NamespaceId = NamespaceId::DEFAULT;

    #[test]
    fn a_closed_gate_lets_nobody_in_and_waits_for_those_inside() {
        let gate = Gate::default();
        gate.enter();
        assert!(gate.close(Duration::ZERO).is_none(), "somebody is inside");
        gate.enter();
        gate.leave();
        gate.leave();
        let closed = gate.close(Duration::ZERO).expect("nobody is inside");
        let (entered, told) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                gate.enter();
                entered.send(()).unwrap();
                gate.leave();
            });
            assert!(told.try_recv().is_err(), "the gate is closed");
            drop(closed);
            told.recv().unwrap();
        });
        assert!(gate.close(Duration::ZERO).is_some());
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
            txn.insert_node(NS, &id, &[label], &vec![1; size], false).map(drop)
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
