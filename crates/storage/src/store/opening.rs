//! Opening: locks, the generation, the LMDB environment and its tables.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use embedded_db_common::clock::StoreTime;
use embedded_db_common::record::Damaged;
use embedded_db_common::trace::Tracer;
use embedded_db_common::{Durability, Error, NamespaceId, Options, Result, Symbol};
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions, MdbError};

use super::generation::Opened;
use super::{
    Env, Generation, IN_MEMORY, MAX_READERS, Snapshot, Store, Symbols, Tables, map_lmdb,
    stored_name,
};
use crate::blackbox::{self, BlackBox, End};
use crate::data_file::{self, DataFile};
use crate::figures::Figures;
use crate::format::Current;
use crate::keys::{Key, Table};
use crate::log::{self, FoundLog, Keeper, Log, Recovery};
use crate::pages::{PageFile, Use};
use crate::platform::{self, Lock, TemporaryDirectory, WriterLock, io_error, write_error};
use crate::quota::Quotas;
use crate::read::ReadTxn;
use crate::writer::GroupWriter;

/// The unit tests begin with so little address space that the map must grow.
pub(super) const MOST_AT_FIRST: usize = if cfg!(test) { 1 << 20 } else { 1 << 46 };

/// The LMDB environment. Opening and closing one take process-wide locks of the library.
pub(crate) struct Environment(ManuallyDrop<Env>);

/// The environments that are open, by their paths: how many forks there had been when they were opened, and by which
/// process. LMDB opens none twice, not even in a child that has it from its parent.
static OPENED: Mutex<BTreeMap<PathBuf, (u32, u32)>> = Mutex::new(BTreeMap::new());

fn opened_environments() -> MutexGuard<'static, BTreeMap<PathBuf, (u32, u32)>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Environment {
    /// Opens one while no fork can come between.
    fn open(open: impl FnOnce() -> heed::Result<Env>) -> heed::Result<Self> {
        platform::unforked(|| {
            let env = open()?;
            let by = (platform::fork_generation(), std::process::id());
            opened_environments().insert(env.path().to_owned(), by);
            Ok(Self(ManuallyDrop::new(env)))
        })
    }

    /// The process that has opened the one in a directory, if this is a child of it.
    fn parent(directory: &Path) -> Option<u32> {
        platform::unforked(|| {
            let directory = fs::canonicalize(directory).ok()?;
            let (forks, process) = *opened_environments().get(&directory)?;
            (forks != platform::fork_generation()).then_some(process)
        })
    }
}

impl std::ops::Deref for Environment {
    type Target = Env;

    fn deref(&self) -> &Env {
        &self.0
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        platform::unforked(|| {
            opened_environments().remove(self.0.path());
            // SAFETY: it is dropped here only, and nothing uses it afterwards.
            #[allow(unsafe_code)]
            unsafe {
                ManuallyDrop::drop(&mut self.0);
            }
        });
    }
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

    /// Opens a database for writing to which the right to write was had before.
    pub(crate) fn open_locked(
        path: &Path,
        options: &Options,
        lock: Arc<WriterLock>,
    ) -> Result<Arc<Self>> {
        let current = Current::read(path)?;
        let generation = open_for_writing(path, &current, options, None, &|| Ok(()))?;
        let opened = (current, generation, Some(lock));
        Self::of(path.to_owned(), options, None, opened, platform::fork_generation())
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
        if let Some(kind) = platform::network_file_system(&path) {
            return Err(Error::InvalidInput(format!(
                "{path:?} lies on a network file system ({kind}), on which locks and maps of files do not \
                 hold; put the database on a local disk, and backups or exports there"
            )));
        }
        let (current, generation, lock) = if options.read_only {
            if !options.shared {
                Self::redo(&path, options, interrupted)?;
            }
            open_for_reading(&path, options, interrupted)?
        } else {
            Current::check_directory(&path)?;
            platform::create_directory(&path)
                .map_err(|e| io_error(&path, "create the database", &e))?;
            // Whoever shares it looks for the holder in between.
            let timeout = if options.shared { Duration::ZERO } else { options.lock_timeout };
            let lock = WriterLock::acquire(&path, timeout, interrupted)?;
            let current = Current::read_or_create(&path)?;
            let generation = open_for_writing(&path, &current, options, None, interrupted)?;
            (current, generation, Some(lock))
        };
        let opened = (current, generation, lock.map(Arc::new));
        Self::of(path, options, temporary, opened, fork_generation)
    }

    /// Before a database is read: what was acknowledged by a writer that was killed before he could commit it is
    /// done again.
    fn redo(path: &Path, options: &Options, interrupted: &dyn Fn() -> Result<()>) -> Result<()> {
        // A writer commits it himself. What is wrong with the files shows when they are read.
        let Ok(current) = Current::read(path) else { return Ok(()) };
        if WriterLock::is_held(path) || !FoundLog::is_ahead(path, &current.directory(path)) {
            return Ok(());
        }
        let writing = Options { read_only: false, ..options.clone() };
        match Self::open_in(path.to_owned(), &writing, None, interrupted) {
            Ok(store) => store.close(),
            // Somebody was quicker.
            Err(Error::DatabaseLocked { .. }) => {}
            Err(damage @ Error::Corruption { .. }) => return Err(damage),
            Err(_) => return Err(Error::RecoveryNeeded { path: path.to_owned() }),
        }
        Ok(())
    }

    fn of(
        path: PathBuf,
        options: &Options,
        temporary: Option<TemporaryDirectory>,
        (current, generation, lock): (Current, Arc<Generation>, Option<Arc<WriterLock>>),
        fork_generation: u32,
    ) -> Result<Arc<Self>> {
        let black_box = OnceLock::new();
        if !options.read_only {
            black_box.get_or_init(|| open_black_box(&path, options));
        }
        let tracer = options.tracing.as_ref().map(Tracer::new);
        let name = if temporary.is_some() { PathBuf::from(IN_MEMORY) } else { path.clone() };
        let store = Arc::new_cyclic(|store| Self {
            generation: RwLock::new(generation),
            switching: Mutex::default(),
            writer: GroupWriter::new(Weak::clone(store)),
            keeper: Keeper::new(Weak::clone(store), tracer.clone()),
            figures: Figures::default(),
            black_box,
            tracer,
            quotas: Quotas::default(),
            symbols: Arc::new(Symbols::new(Weak::clone(store), name, current.generation())),
            time: StoreTime::new(),
            next_expiry: AtomicI64::new(i64::MAX),
            watch: super::Watch::default(),
            sealing: Mutex::default(),
            sealing_is_waited_for: AtomicBool::new(false),
            path,
            identity: current.identity().to_owned(),
            // Whoever shares it may write some time.
            options: Options { read_only: options.read_only && !options.shared, ..options.clone() },
            writes: AtomicBool::new(!options.read_only),
            closed: AtomicBool::new(false),
            opened_by: std::process::id(),
            fork_generation,
            lock: Mutex::new(lock),
            _temporary: temporary,
        });
        if !options.read_only && options.durability != Durability::Memory {
            store.writer.thread.start();
        }
        store.stay()?;
        Ok(store)
    }

    /// Opens the generation that has taken the place of one of which a state was read, and gives it to
    /// new transactions.
    pub(super) fn follow(&self, replaced: &Snapshot) -> Result<Arc<Generation>> {
        let _switching = self.switching.lock().unwrap_or_else(PoisonError::into_inner);
        let (generation, before) = (self.generation(), replaced.generation().number());
        if generation.number() != before {
            return Ok(generation);
        }
        let reading = Options { read_only: true, ..self.options.clone() };
        let (current, generation, _) = open_for_reading(&self.path, &reading, &|| Ok(()))?;
        if current.identity() != self.identity || generation.number() <= before {
            return Err(another(&self.path));
        }
        // Which names it has, nobody knows yet; objects that were read before hold numbers of the old.
        let gone = names_but(replaced, &HashSet::new())?;
        self.switch_to(&generation, gone);
        Ok(generation)
    }

    /// Gives another generation, which does not have some names, to new transactions.
    pub(crate) fn switch_to(&self, generation: &Arc<Generation>, gone: Vec<(Symbol, Arc<str>)>) {
        self.symbols.begin_generation(generation.number(), gone);
        let mut place = self.generation.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *place, Arc::clone(generation));
        drop(place);
        // Its end takes locks of the library.
        drop(before);
    }
}

pub(super) fn another(path: &Path) -> Error {
    Error::StorageError {
        path: path.to_owned(),
        detail: "another database has taken the place of the one that is open; open it again"
            .into(),
    }
}

/// The black box of a writer. Without room for it, or with another user's, the database goes on without.
pub(super) fn open_black_box(
    path: &Path,
    options: &Options,
) -> Result<Arc<BlackBox>, Option<Error>> {
    if !options.black_box {
        return Err(None);
    }
    let black_box = BlackBox::open(&path.join(blackbox::FILE)).map_err(Some)?;
    black_box.note("open", End::default());
    Ok(black_box)
}

/// All names of a state but some.
pub(crate) fn names_but(
    snapshot: &Snapshot,
    kept: &HashSet<Symbol>,
) -> Result<Vec<(Symbol, Arc<str>)>> {
    let prefix = Key::new(NamespaceId::SYSTEM);
    let mut out = Vec::new();
    for row in snapshot.prefix(Table::Names, &prefix)? {
        let (key, name) = row?;
        let number = key.last_chunk::<4>().ok_or(Damaged("has a short key"));
        let symbol = Symbol(u32::from_be_bytes(*snapshot.located(Table::Names, key, number)?));
        if !kept.contains(&symbol) {
            let name = snapshot.located(Table::Names, key, stored_name(name))?;
            out.push((symbol, Arc::from(name)));
        }
    }
    Ok(out)
}

/// Nothing but files lies where those of a generation do.
fn require_files(directory: &Path) -> Result<()> {
    let names = ["data.mdb", "data.sums", "lock.mdb", "ckpt", "log.0", "log.1"];
    names.iter().try_for_each(|name| platform::require_file(&directory.join(name)))
}

/// The generation that is in use, with what keeps writers out where a reader cannot register itself.
fn open_for_reading(
    path: &Path,
    options: &Options,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<(Current, Arc<Generation>, Option<WriterLock>)> {
    let mut current = Current::read(path)?;
    loop {
        let failed = match open_to_read(path, &current, options, interrupted) {
            Ok((generation, lock)) => return Ok((current, generation, lock)),
            Err(error) => error,
        };
        // Another may have taken its place, and the one that was named is gone.
        let now = Current::read(path)?;
        if now.generation() == current.generation() {
            return Err(failed);
        }
        current = now;
    }
}

fn open_to_read(
    path: &Path,
    current: &Current,
    options: &Options,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<(Arc<Generation>, Option<WriterLock>)> {
    let directory = current.directory(path);
    let data_file = directory.join("data.mdb");
    data_file::require_data(&data_file)?;
    require_files(&directory)?;
    data_file::require_whole(&data_file)?;
    let as_it_is = log::require_recovered(path, &directory, options, interrupted)?;
    let mut lock = None;
    let pages = open_pages(path, &directory, options)?;
    let env = match open_env(&directory, options, EnvFlags::empty(), interrupted)? {
        Err(heed::Error::Io(error)) if cannot_register(&error, options) => {
            let timeout = options.lock_timeout;
            lock = Some(WriterLock::keep_writers_out(path, timeout, interrupted)?);
            open_env(&directory, options, EnvFlags::NO_LOCK, interrupted)?
        }
        other => other,
    };
    let held = with_tables(&directory, env, options)?;
    Ok((opened(path, held, pages, current, options, Opener::Reader(as_it_is))?, lock))
}

/// With what this process has of it already, if it reads it.
pub(super) fn open_for_writing(
    path: &Path,
    current: &Current,
    options: &Options,
    held: Option<Opened>,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<Arc<Generation>> {
    let directory = current.directory(path);
    let data_file = directory.join("data.mdb");
    if current.is_published() {
        data_file::require_data(&data_file)?;
    }
    require_files(&directory)?;
    let recovery = Recovery::begin(path, &directory, current.is_published(), options, interrupted)?;
    if !current.is_published() && recovery.last().is_none() {
        data_file::remove_unfinished(&data_file)?;
    }
    let pages = open_pages(path, &directory, options)?;
    // Not before the meta pages were checked: one that is damaged may speak of any length.
    data_file::complete(&data_file)?;
    let held = match held {
        Some(held) => held,
        None => {
            let env = open_env(&directory, options, EnvFlags::empty(), interrupted)?;
            with_tables(&directory, env, options)?
        }
    };
    let generation = opened(path, held, pages, current, options, Opener::Writer(&recovery))?;
    generation.see_newest()?;
    if !current.is_published() && has_data(&generation)? {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        return Err(Current::lost(path, &name));
    }
    let log = Arc::clone(generation.log()?);
    let settle = || {
        if current.is_published() {
            sync_found(path, &data_file, options)?;
        } else {
            sync_names(path, options)?;
            current.publish(path)?;
        }
        generation.page_file.begin_use()?;
        recovery.complete(path, &generation, options)
    };
    // What was acknowledged is committed again, or was never more than that.
    settle().map(|()| generation.page_file.owe(0, 0)).inspect_err(|error| {
        if matches!(error, Error::StorageError { .. } | Error::StorageFull { .. }) {
            log.distrust_data(error);
        }
    })?;
    remove_others(path, current);
    Ok(generation)
}

/// What is seen from now on is on the disk: whoever wrote it may have been killed before it was, or his
/// synchronisation has failed.
fn sync_found(path: &Path, data_file: &Path, options: &Options) -> Result<()> {
    if options.durability != Durability::Memory {
        platform::sync_file(data_file).map_err(|e| io_error(data_file, "sync", &e))?;
        platform::sync_directory(path).map_err(|e| io_error(path, "sync", &e))?;
    }
    Ok(())
}

/// Makes the names of a new database durable, before that of `CURRENT`: a file that was synced is lost with
/// its name. Whoever made the directory may have been killed before he did it.
fn sync_names(path: &Path, options: &Options) -> Result<()> {
    if options.durability != Durability::Memory {
        platform::sync_directory(path).map_err(|e| io_error(path, "sync", &e))?;
        platform::sync_name(path).map_err(|e| io_error(path, "sync the directory above", &e))?;
    }
    Ok(())
}

/// Opens a generation that is complete for writing, though `CURRENT` may name another.
pub(crate) fn open_generation(
    path: &Path,
    current: &Current,
    options: &Options,
) -> Result<Arc<Generation>> {
    let directory = current.directory(path);
    let recovery = Recovery::begin(path, &directory, false, options, &|| Ok(()))?;
    let pages = open_pages(path, &directory, options)?;
    reserve_readers(&directory)?;
    let env = open_env(&directory, options, EnvFlags::empty(), &|| Ok(()))?;
    let held = with_tables(&directory, env, options)?;
    let generation = opened(path, held, pages, current, options, Opener::Writer(&recovery))?;
    generation.page_file.begin_use()?;
    generation.log()?.hold_to(&*generation.page_file.newest()?)?;
    Ok(generation)
}

/// LMDB stores into a map of its table of readers: the beginning of a new one must have its place on the
/// disk by then, for what is stored into a map must not find the disk full.
pub(crate) fn reserve_readers(directory: &Path) -> Result<()> {
    let path = directory.join("lock.mdb");
    fs::write(&path, vec![0; platform::page_size()])
        .map_err(|error| write_error(&path, "create", &error))
}

/// Removes what a process that was killed has left: a generation that was not complete, or an old one,
/// whose readers were told before. What cannot be removed now is removed later.
fn remove_others(path: &Path, current: &Current) {
    for (number, directory) in Current::generations(path).unwrap_or_default() {
        if number != current.generation() {
            drop(remove_generation(&directory));
        }
    }
}

/// Removes the files of a generation. Without its data file it is none, so that goes first.
pub(crate) fn remove_generation(directory: &Path) -> std::io::Result<()> {
    match fs::remove_file(directory.join("data.mdb")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => fs::remove_dir_all(directory),
    }
}

/// The pages of a data file, before LMDB reads it; `None` if there is none yet.
fn open_pages(path: &Path, directory: &Path, options: &Options) -> Result<Option<PageFile>> {
    let how = if options.read_only { Use::Reading } else { Use::Writing };
    PageFile::open(path, directory, how, options)
}

/// Who opens a generation, with what was done before.
enum Opener<'r> {
    Reader(Option<Lock>),
    Writer(&'r Recovery),
}

/// An environment that was just opened, with its tables.
fn with_tables(
    directory: &Path,
    env: heed::Result<Environment>,
    options: &Options,
) -> Result<Opened> {
    let data_file = directory.join("data.mdb");
    let env = env.map_err(|error| {
        let size = first_map_size(&data_file, options);
        cannot_open(&data_file, size, options.read_only, error)
    })?;
    let tables = open_tables(&env, directory, options.read_only);
    let tables = tables.map_err(|error| match options.read_only {
        true => error,
        false => data_file::write_failed(&data_file, error),
    })?;
    Ok((Arc::new(env), tables, Arc::default()))
}

fn opened(
    path: &Path,
    held: Opened,
    pages: Option<PageFile>,
    current: &Current,
    options: &Options,
    opener: Opener<'_>,
) -> Result<Arc<Generation>> {
    let directory = current.directory(path);
    let data_file = directory.join("data.mdb");
    held.0.clear_stale_readers().map_err(|error| map_lmdb(&data_file, error))?;
    let page_file = match pages {
        Some(pages) => pages,
        None => open_pages(path, &directory, options)?
            .ok_or_else(|| map_lmdb(&data_file, heed::Error::Mdb(MdbError::Invalid)))?,
    };
    let data_file = DataFile::open(data_file, options.read_only)?;
    let (log, as_it_is) = match opener {
        Opener::Reader(as_it_is) => (None, as_it_is),
        Opener::Writer(recovery) => {
            let (data, last) = (data_file.duplicate()?, recovery.last().cloned());
            let (sums, durability) = (page_file.sums()?, options.durability);
            (Some(Arc::new(Log::new(&directory, data, sums, last, durability)?)), None)
        }
    };
    Ok(Generation::new(current.generation(), held, data_file, page_file, log, as_it_is))
}

/// Whether a reader was refused because it may not write to LMDB's table of readers.
fn cannot_register(error: &std::io::Error, options: &Options) -> bool {
    options.read_only && !options.shared && error.kind() == std::io::ErrorKind::PermissionDenied
}

fn cannot_open(data_file: &Path, size: usize, read_only: bool, error: heed::Error) -> Error {
    match error {
        heed::Error::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
            Error::StorageError {
                path: data_file.to_owned(),
                detail: format!(
                    "cannot reserve {size} bytes of address space: {error}; raise the limit (ulimit \
                     -v), or set map_size_max below it"
                ),
            }
        }
        heed::Error::Io(error) if !read_only => write_error(data_file, "open it", &error),
        heed::Error::Io(error) => io_error(data_file, "open it", &error),
        other => map_lmdb(data_file, other),
    }
}

fn first_map_size(data_file: &Path, options: &Options) -> usize {
    let on_disk = fs::metadata(data_file).map_or(0, |m| m.len() as usize);
    let first = options.map_size_first.min(options.map_size_max).min(MOST_AT_FIRST);
    let wanted = first.max(on_disk.saturating_mul(2).min(options.map_size_max)).max(on_disk);
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
    if options.read_only && !options.shared {
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
        // SAFETY: the file belongs to this database alone and lies in its own generation directory; LMDB
        // alone changes what is in it, and its length only grows. Who cuts it off from outside kills us.
        #[allow(unsafe_code)]
        let env = Environment::open(|| unsafe { open.open(directory) });
        match env {
            Err(heed::Error::EnvAlreadyOpened)
                if let Some(parent) = Environment::parent(directory) =>
            {
                let path = directory.parent().unwrap_or(directory).to_owned();
                return Err(Error::ForkedHandle { path, parent });
            }
            // A call on an earlier handle is still reading; the files close at its end.
            Err(heed::Error::EnvAlreadyOpened) if begun.elapsed() < options.lock_timeout => {
                interrupted()?;
                std::thread::sleep(platform::WAIT.min(options.lock_timeout));
            }
            opened => return Ok(opened),
        }
    }
}

/// The environment of a data file that is written anew, with its tables: where nobody else looks, so
/// nothing is locked; and nothing is on the disk before it was synced by name.
pub(crate) fn open_new(directory: &Path, map_size: usize) -> Result<(Environment, Tables)> {
    let data_file = directory.join("data.mdb");
    let mut open = EnvOpenOptions::new().read_txn_without_tls();
    open.map_size(map_size.next_multiple_of(platform::page_size()))
        .max_dbs(Table::ALL.len() as u32);
    // SAFETY: nobody but the caller knows the place yet, and what is not synced counts for nothing.
    #[allow(unsafe_code)]
    let env = Environment::open(|| unsafe {
        open.flags(EnvFlags::NO_LOCK | EnvFlags::NO_SYNC | EnvFlags::NO_READ_AHEAD);
        open.open(directory)
    });
    let env = env.map_err(|error| cannot_open(&data_file, map_size, false, error))?;
    let tables = open_tables(&env, directory, false);
    let tables = tables.map_err(|error| data_file::write_failed(&data_file, error))?;
    Ok((env, tables))
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

fn open_tables(env: &Env, directory: &Path, read_only: bool) -> Result<Tables> {
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
fn has_data(generation: &Generation) -> Result<bool> {
    let lmdb = |error| generation.lmdb_error(error);
    let txn = generation.env.read_txn().map_err(lmdb)?;
    let empty = generation.table(Table::Meta).is_empty(&txn).map_err(lmdb)?;
    Ok(!empty)
}
