//! Opening, sharing and closing.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use embedded_db_common::log::{self, Level};
use embedded_db_common::trace::Tracer;
use embedded_db_common::{Error, ModelLimits, NamespaceId, Options, Result, names};
use embedded_db_indexing::Views;
use embedded_db_indexing::edges::HeldEdges;
use embedded_db_indexing::graph::GraphWriter;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{
    IN_MEMORY, ReadTxn, Store, WriteTxn, fork_generation, real_path, unforked,
};
use embedded_db_weaver::{Limited, Limits, Models, Weaver};

use crate::communities::communities;
use crate::curiosity::Search;
use crate::embedders::Embedders;
use crate::expiry::ExpiryWork;
use crate::export::Exporter;
use crate::indexes::IndexWork;
use crate::linking::LinkWork;
use crate::observing::{Measured, Observer, Op};
use crate::pins::Pins;
use crate::quotas::MemoryLook;
use crate::reflexes::Reflexes;
use crate::sealing::SealWork;
use crate::sharing::{self, Call, Found, Sharing, Terms, forward};
use crate::tokens::HeldTokens;
use crate::worker::Worker;

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

/// What all handles on one database share.
pub(crate) struct Engine {
    pub(crate) store: Arc<Store>,
    pub(crate) names: Names,
    pub(crate) views: Arc<Views>,
    /// Edges in memory, over which activation spreads.
    pub(crate) edges: HeldEdges,
    /// Answers that are known already.
    pub(crate) reflexes: Reflexes,
    pub(crate) tokens: HeldTokens,
    /// Which of the models compares texts in which space.
    pub(crate) embedders: Embedders,
    /// Of a process that writes.
    weaver: OnceLock<Arc<Weaver>>,
    models: Option<SharedModels>,
    limited: Option<Arc<Limited>>,
    /// With whom it is shared, if it is.
    pub(crate) sharing: Option<Sharing>,
    pub(crate) index_worker: Arc<Worker<IndexWork>>,
    pub(crate) expiry_worker: Arc<Worker<ExpiryWork>>,
    pub(crate) link_worker: Arc<Worker<LinkWork>>,
    pub(crate) seal_worker: Arc<Worker<SealWork>>,
    /// Snapshots that users hold.
    pub(crate) pins: Arc<Worker<Pins>>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) memory_look: MemoryLook,
    pub(crate) options: Options,
    exporter: Option<Exporter>,
    handles: Mutex<usize>,
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
            return Err(Error::InvalidInput(format!("{path:?} is no path of a directory")));
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

impl Engine {
    fn start(
        store: Arc<Store>,
        options: &Options,
        models: Option<SharedModels>,
        previous: Option<SharedModels>,
        sharing: Option<Sharing>,
    ) -> Result<Self> {
        let names = if store.read_only() {
            Names::read(&store.read()?)?
        } else {
            store.write(|txn| {
                let names = Names::create(txn)?;
                txn.create_namespace(DEFAULT_NAMESPACE)?;
                Ok(names)
            })?
        };
        let views = Views::new(names, &options.language)?.linking_after(options.link_after);
        let observer = Arc::new(Observer::new(Arc::clone(&store), options.metrics));
        let measured = |models| Arc::new(Measured::new(models, Arc::clone(&observer))) as _;
        let (models, previous) = match options.metrics || options.tracing.is_some() {
            true => (models.map(measured), previous.map(measured)),
            false => (models, previous),
        };
        let mut limited = None;
        let models = match models {
            Some(models) if options.limits != ModelLimits::default() => {
                let directory = (!store.read_only()).then(|| store.path());
                let limits = Limits::open(&options.limits, directory)?;
                let models = limited.insert(Arc::new(Limited::new(models, limits)));
                Some(Arc::clone(models) as SharedModels)
            }
            models => models,
        };
        let embedders = Embedders::new(models.as_ref(), previous.as_ref())?;
        if store.read_only() {
            // It is refused here as it would be when it is written to.
            embedders.model_space(&store, names)?;
        }
        let exporter = match (&options.tracing, store.tracer()) {
            (Some(tracing), Some(tracer)) => Some(Exporter::start(tracing, tracer.queue())?),
            _ => None,
        };
        let (options, handles) = (options.clone(), Mutex::new(1));
        let edges = HeldEdges::new(options.recall_memory);
        let pins = Worker::new(Pins::new(Arc::clone(&store)));
        let index_worker = Worker::new(IndexWork::new(Arc::clone(&store), names));
        let expiry_worker = Worker::new(ExpiryWork::new(Arc::clone(&store), names));
        let link_worker = Worker::new(LinkWork::new(Arc::clone(&store), Arc::clone(&views)));
        let (shared, linker) = (Arc::clone(&views), Arc::clone(&link_worker));
        let seal_work = SealWork::new(Arc::clone(&store), shared, linker, options.seal_after);
        let seal_worker = Worker::new(seal_work);
        let engine = Self {
            store,
            names,
            views,
            edges,
            reflexes: Reflexes::new()?,
            tokens: HeldTokens::default(),
            embedders,
            weaver: OnceLock::new(),
            models,
            limited,
            sharing,
            index_worker,
            expiry_worker,
            link_worker,
            seal_worker,
            pins,
            observer,
            memory_look: MemoryLook::default(),
            options,
            exporter,
            handles,
        };
        if !engine.store.read_only() {
            engine.begin_to_write()?;
        }
        engine.tell("opened");
        Ok(engine)
    }

    /// Opens a database together with other processes.
    fn share(
        path: &Path,
        options: &Options,
        models: Option<SharedModels>,
        previous: Option<SharedModels>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Arc<Self>> {
        let model = models.as_ref().map(|models| models.space()).transpose()?.flatten();
        let model = model.map(|it| (it.model, it.precision, it.dimension.map(|it| it as u64)));
        let terms = Terms::new(options, model);
        let guest = RandomState::new().build_hasher().finish();
        let found = sharing::open(path, options, &terms, guest, interrupted)?;
        let (store, joined) = match found {
            Found::Right(store) => (store, None),
            Found::Holder(store, joined) => (store, Some(joined)),
        };
        let sharing = Some(Sharing::new(terms, guest));
        let engine = Arc::new(Self::start(store, options, models, previous, sharing)?);
        if let Some(sharing) = &engine.sharing {
            match joined {
                None => sharing.begin_to_hold(&engine)?,
                Some(joined) => sharing.begin_to_forward(&engine, joined)?,
            }
        }
        Ok(engine)
    }

    /// What works in the background of a process that writes begins.
    fn begin_to_write(&self) -> Result<()> {
        if let Some(models) = self.models.as_ref().filter(|_| self.weaver().is_none()) {
            let (store, names) = (Arc::clone(&self.store), self.names);
            let space = self.embedders.model_space(&store, names)?;
            let target = space.as_ref().map(|(id, space)| (*id, space.dimension as usize));
            let views = Arc::clone(&self.views);
            let weaver = Weaver::start(
                Arc::clone(&store),
                names,
                Arc::clone(models),
                communities,
                Arc::new(Search { store: Arc::clone(&store), views, names }),
                target,
                self.embedders.previous(&store)?,
                self.options.weaver.clone(),
                self.options.warm_up,
            )?;
            let told = Arc::downgrade(self.weaver.get_or_init(|| weaver));
            store.when_settled(move || {
                if let Some(weaver) = told.upgrade() {
                    weaver.look();
                }
            });
        }
        // A process that was killed may have left some.
        self.index_worker.resume()?;
        self.expiry_worker.resume()?;
        self.seal_worker.begin();
        Ok(())
    }

    /// The right to write has come to this process.
    pub(crate) fn take_over(&self) -> Result<()> {
        if let Some(limited) = &self.limited {
            limited.keep_in(self.store.path())?;
        }
        self.begin_to_write()?;
        self.tell("taken over");
        Ok(())
    }

    /// What enriches texts, in a process that writes.
    pub(crate) fn weaver(&self) -> Option<&Arc<Weaver>> {
        self.weaver.get()
    }

    /// Whether something may enrich texts, here or in the process that writes.
    pub(crate) fn is_enriched(&self) -> bool {
        self.weaver().is_some() || self.sharing.as_ref().is_some_and(|sharing| !sharing.holds())
    }

    /// Waits until something was enriched, if that is known.
    pub(crate) fn wait_progress(&self, timeout: Duration) {
        match self.weaver() {
            Some(weaver) => weaver.wait_progress(timeout),
            None => std::thread::sleep(timeout),
        }
    }

    fn tell(&self, what: &'static str) {
        log::log(Level::Info, "database", what, || {
            [("path", self.store.name().display().to_string().into())]
        });
    }

    fn stop(&self) {
        if let Some(sharing) = &self.sharing {
            sharing.stop();
        }
        if let Some(weaver) = self.weaver() {
            weaver.stop();
        }
        self.index_worker.stop();
        self.expiry_worker.stop();
        self.seal_worker.work.end();
        self.link_worker.work.end();
        self.seal_worker.stop();
        self.link_worker.stop();
        self.store.close();
        self.reflexes.end();
        self.tokens.end();
        self.pins.work.end();
        self.pins.stop();
        if let Some(exporter) = &self.exporter {
            exporter.stop();
        }
    }
}

impl Drop for Engine {
    /// A handle that was dropped without `close` ends as cleanly.
    fn drop(&mut self) {
        if self.store.forked() {
            return;
        }
        self.stop();
    }
}
