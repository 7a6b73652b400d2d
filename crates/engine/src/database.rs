//! Opening, sharing and closing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use embedded_db_common::trace::Tracer;
use embedded_db_common::{Error, NamespaceId, Options, Result, names};
use embedded_db_indexing::graph::GraphWriter;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{
    IN_MEMORY, ReadTxn, Store, WriteTxn, fork_generation, real_path, unforked,
};
use embedded_db_weaver::Models;

use crate::engine::Engine;
use crate::observing::Op;
use crate::sharing::{Call, forward};

/// Model functions shared by queries and the weaver.
pub type SharedModels = Arc<dyn Models>;

/// Name of the namespace used when none is named.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// Between two looks at whether another thread has opened the path.
const WAIT: Duration = Duration::from_millis(2);

/// Paths that are open in this process or being opened, in canonical form. The lock is only held for
/// looking at it: opening may take long.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Slot>>> = LazyLock::new(Mutex::default);

/// The state of a path.
enum Slot {
    /// A thread of the process with this fork generation is opening it.
    Opening(u32),
    Open(Weak<Engine>),
}

/// What a thread that wants to open a path finds.
enum Claim {
    /// Nothing: it opens the path itself, and others wait for it.
    Free(Reservation),
    /// Another thread is opening it.
    Opening,
    Open(Arc<Engine>),
}

/// The right of one thread to open a path; given back when it is dropped.
struct Reservation {
    path: PathBuf,
}

/// Looks at the open paths. An engine must not end in there: its end takes long.
fn with_open<T>(look: impl FnOnce(&mut HashMap<PathBuf, Slot>) -> T) -> T {
    unforked(|| look(&mut OPEN.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn claim(path: &Path) -> Claim {
    let key = real_path(path);
    with_open(|open| {
        match open.get(&key) {
            // In a child, who was opening it has stayed with the parent.
            Some(Slot::Opening(generation)) if *generation == fork_generation() => {
                return Claim::Opening;
            }
            Some(Slot::Open(engine)) => {
                if let Some(engine) = engine.upgrade() {
                    return Claim::Open(engine);
                }
            }
            _ => {}
        }
        Claim::Free(Reservation::make(open, key))
    })
}

/// Claims a path whose engine cannot be used any more; `None` if it has another one by now.
fn replace(path: &Path, engine: &Arc<Engine>) -> Option<Reservation> {
    let key = real_path(path);
    with_open(|open| match open.get(&key) {
        Some(Slot::Open(found)) if std::ptr::eq(found.as_ptr(), Arc::as_ptr(engine)) => {
            Some(Reservation::make(open, key))
        }
        _ => None,
    })
}

impl Reservation {
    fn make(open: &mut HashMap<PathBuf, Slot>, path: PathBuf) -> Self {
        open.retain(|_, slot| !matches!(slot, Slot::Open(engine) if engine.strong_count() == 0));
        open.insert(path.clone(), Slot::Opening(fork_generation()));
        Self { path }
    }

    fn fulfil(self, path: &Path, engine: &Arc<Engine>) {
        // Links on the way to it may have become visible only now that it exists.
        let key = real_path(path);
        with_open(|open| open.insert(key, Slot::Open(Arc::downgrade(engine))));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        with_open(|open| {
            if matches!(open.get(&self.path), Some(Slot::Opening(_))) {
                open.remove(&self.path);
            }
        });
    }
}

/// One `open`: closing it ends all its namespaces' handles, and lets go of what they share.
struct Handle {
    engine: RwLock<Option<Arc<Engine>>>,
    path: PathBuf,
    /// What users call it: its path, or `:memory:`.
    name: PathBuf,
    read_only: bool,
    shared: bool,
}

/// A handle on one namespace of an open database.
#[derive(Clone)]
pub struct Database {
    handle: Arc<Handle>,
    namespace: NamespaceId,
    name: Arc<str>,
}

impl Database {
    /// Opens the database in `path`, or a private one for `":memory:"`.
    pub fn open(
        path: impl AsRef<Path>,
        options: &Options,
        models: Option<SharedModels>,
    ) -> Result<Self> {
        Self::open_interruptible(path.as_ref(), options, models, None, &|| Ok(()))
    }

    /// The same; while it waits for another writer, or for another thread that is opening the path,
    /// it asks `interrupted` whether to go on. `previous` is the model of before, which texts are compared
    /// with as long as its space is the one in use.
    pub fn open_interruptible(
        path: &Path,
        options: &Options,
        models: Option<SharedModels>,
        previous: Option<SharedModels>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let read_only = options.read_only;
        if options.shared && (read_only || path.as_os_str() == IN_MEMORY) {
            return Err(Error::InvalidInput(
                "shared=True is for writing to a directory from several processes; a database in memory is private, \
                 and read_only=True reads beside any writer: leave it out"
                    .into(),
            ));
        }
        if path.as_os_str() == IN_MEMORY {
            if read_only {
                return Err(Error::InvalidInput(
                    "a database in memory is new and private; read_only=True makes no sense".into(),
                ));
            }
            let store = Store::open_in_memory(options)?;
            let engine = Arc::new(Engine::start(store, options, models, previous, None)?);
            return Ok(Self::first(engine, read_only));
        }
        if path.as_os_str().as_encoded_bytes().is_empty()
            || path.as_os_str().as_encoded_bytes().contains(&0)
        {
            return Err(Error::InvalidInput(format!(
                "{path:?} is no path of a directory; name one"
            )));
        }
        let reservation = loop {
            match claim(path) {
                Claim::Free(reservation) => break reservation,
                Claim::Open(engine) => match Self::join(&engine, path, options)? {
                    Some(joined) => return Ok(joined),
                    None => match replace(path, &engine) {
                        Some(reservation) => break reservation,
                        None => continue,
                    },
                },
                Claim::Opening => {
                    interrupted()?;
                    std::thread::sleep(WAIT);
                }
            }
        };
        let engine = if options.shared {
            Engine::share(path, options, models, previous, interrupted)?
        } else {
            let store = Store::open_interruptible(path, options, interrupted)?;
            Arc::new(Engine::start(store, options, models, previous, None)?)
        };
        reservation.fulfil(path, &engine);
        Ok(Self::first(engine, read_only))
    }

    /// A further handle on an engine that is open; `None` when it cannot be used any more.
    fn join(engine: &Arc<Engine>, path: &Path, options: &Options) -> Result<Option<Self>> {
        if engine.store.forked() {
            return Ok(None);
        }
        let mut handles = engine.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if *handles == 0 {
            return Ok(None);
        }
        if !engine.store.is_in_place() {
            return Err(Error::StorageError {
                path: engine.store.path().to_owned(),
                detail: "the database that this process has open here was removed or replaced; \
                         close its handles first"
                    .into(),
            });
        }
        if engine.options.read_only && !options.read_only {
            return Err(Error::InvalidInput(format!(
                "{path:?} is open for reading only in this process; close it first"
            )));
        }
        let (read_only, shared) = (engine.options.read_only, engine.options.shared);
        let shared = if options.read_only { shared } else { options.shared };
        let same = Options { read_only, shared, ..options.clone() };
        if same != engine.options {
            return Err(Error::InvalidInput(format!(
                "{path:?} is open in this process with another Config; use the same, or close it \
                 first"
            )));
        }
        *handles += 1;
        drop(handles);
        Ok(Some(Self::first(Arc::clone(engine), options.read_only)))
    }

    fn first(engine: Arc<Engine>, read_only: bool) -> Self {
        let (path, name) = (engine.store.path().to_owned(), engine.store.name().to_owned());
        let shared = engine.options.shared;
        Self {
            handle: Arc::new(Handle {
                engine: RwLock::new(Some(engine)),
                path,
                name,
                read_only,
                shared,
            }),
            namespace: NamespaceId::DEFAULT,
            name: DEFAULT_NAMESPACE.into(),
        }
    }

    /// A handle for a call of another process, which is not counted.
    pub(crate) fn within(engine: &Arc<Engine>, namespace: NamespaceId, name: &str) -> Self {
        let own = Self::first(Arc::clone(engine), false);
        Self { namespace, name: name.into(), ..own }
    }

    /// Ends this handle and its namespaces'; the last one ends the weaver and all snapshots, and
    /// closes the files once the calls that are under way have ended.
    pub fn close(&self) {
        let mut slot = self.handle.engine.write().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = slot.take() else { return };
        drop(slot);
        if engine.store.forked() {
            // Threads and locks are the parent's.
            std::mem::forget(engine);
            return;
        }
        let last = {
            let mut handles = engine.handles.lock().unwrap_or_else(PoisonError::into_inner);
            *handles -= 1;
            *handles == 0
        };
        if last {
            engine.stop();
            engine.tell("closed");
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.handle.path
    }

    /// Whether this handle may only read.
    pub fn read_only(&self) -> bool {
        self.handle.read_only
    }

    /// Whether it was opened to be shared with other processes.
    pub fn is_shared(&self) -> bool {
        self.handle.shared
    }

    /// What tells this database from every other, a restored copy of it included.
    pub fn identity(&self) -> Result<String> {
        Ok(self.engine()?.store.identity().to_owned())
    }

    /// Makes traces, if anybody wants them.
    pub fn tracer(&self) -> Result<Option<Arc<Tracer>>> {
        Ok(self.engine()?.store.tracer().cloned())
    }

    /// The namespace it sees.
    pub fn namespace_name(&self) -> &str {
        &self.name
    }

    pub(crate) fn namespace_id(&self) -> NamespaceId {
        self.namespace
    }

    /// A handle on another namespace, made when it is new.
    pub fn namespace(&self, name: &str) -> Result<Self> {
        names::check("the name of a namespace", name)?;
        let found = self.engine()?.store.read()?.namespace(name)?;
        let namespace = match found {
            Some(namespace) => namespace,
            None if self.read_only() => {
                return Err(Error::NotFound { kind: "namespace", id: name.to_owned() });
            }
            None => self.create_namespace(name.to_owned())?,
        };
        Ok(Self { namespace, name: name.into(), ..self.clone() })
    }

    pub(crate) fn create_namespace(&self, name: String) -> Result<NamespaceId> {
        forward!(self, CreateNamespace { name });
        self.write_raw(move |txn, _| txn.create_namespace(&name))
    }

    /// Names of all namespaces.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        let all = self.engine()?.store.read()?.namespaces()?;
        Ok(all.into_iter().map(|(name, _)| name).collect())
    }

    /// Removes a namespace with all that is in it.
    pub fn drop_namespace(&self, name: &str) -> Result<()> {
        if name == DEFAULT_NAMESPACE {
            return Err(Error::InvalidInput(
                "the namespace \"default\" cannot be dropped; delete what is in it".into(),
            ));
        }
        let id = self.engine()?.store.read()?.namespace(name)?;
        let id = id.ok_or_else(|| Error::NotFound { kind: "namespace", id: name.to_owned() })?;
        let owned = name.to_owned();
        match self.elsewhere()? {
            Some(holder) => holder.ask(self, Call::DropNamespace { name: owned })?,
            None => self.write_raw(move |txn, _| txn.drop_namespace(&owned).map(drop))?,
        }
        self.engine()?.views.forget(id);
        self.engine()?.edges.forget(id);
        Ok(())
    }

    /// What all handles share, if this one may still be used.
    pub(crate) fn engine(&self) -> Result<Arc<Engine>> {
        let slot = self.handle.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = slot.as_ref().cloned();
        let engine =
            engine.ok_or_else(|| Error::DatabaseClosed { path: self.handle.name.clone() })?;
        engine.store.usable()?;
        Ok(engine)
    }

    /// Refuses handles that only read.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.handle.read_only {
            return Err(Error::ReadOnly { path: self.path().to_owned() });
        }
        Ok(())
    }

    /// Whether both are handles on the same namespace of the same open database.
    pub(crate) fn reads_the_same(&self, other: &Self) -> Result<bool> {
        let (own, others) = (self.engine()?, other.engine()?);
        Ok(self.namespace == other.namespace && Arc::ptr_eq(&own, &others))
    }

    /// Writes this namespace: all of the job, or nothing.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        mut job: impl FnMut(&mut GraphWriter<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (namespace, handle) = (self.namespace, self.clone());
        self.write_raw(move |txn, names| {
            handle.check_namespace(txn)?;
            job(&mut GraphWriter::new(txn, names, namespace))
        })
    }

    pub(crate) fn write_raw<T: Send + 'static>(
        &self,
        mut job: impl FnMut(&mut WriteTxn<'_>, &Names) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let engine = self.engine()?;
        self.check_writable()?;
        let names = engine.names;
        if engine.options.quota.max_memory.is_some() {
            engine.look_at_memory();
        }
        let write = || engine.store.write(move |txn| job(txn, &names));
        let value = engine.observer.call(Op::Write, write)?;
        engine.expiry_worker.notify();
        if let Some(weaver) = engine.weaver() {
            // It is told of what is owed when that is committed.
            if engine.store.owes() { weaver.touch() } else { weaver.notify() }
        }
        Ok(value)
    }
}
