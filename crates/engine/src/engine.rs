//! What all handles on one database share: how it begins to work, takes over, and ends.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use embedded_db_common::log::{self, Level};
use embedded_db_common::{ModelLimits, Options, Result};
use embedded_db_indexing::Views;
use embedded_db_indexing::edges::HeldEdges;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::Store;
use embedded_db_weaver::{Limited, Limits, Payer, Weaver};

use crate::communities::communities;
use crate::curiosity::Search;
use crate::database::{DEFAULT_NAMESPACE, SharedModels};
use crate::embedders::Embedders;
use crate::expiry::ExpiryWork;
use crate::export::Exporter;
use crate::indexes::IndexWork;
use crate::linking::LinkWork;
use crate::observing::{Measured, Observer};
use crate::pins::Pins;
use crate::quotas::MemoryLook;
use crate::reflexes::Reflexes;
use crate::sealing::SealWork;
use crate::sharing::{self, Found, Sharing, Terms};
use crate::tokens::HeldTokens;
use crate::worker::Worker;

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
    limited: Vec<Arc<Limited>>,
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
    /// How many handles are open.
    pub(crate) handles: Mutex<usize>,
}

impl Engine {
    pub(crate) fn start(
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
        let mut limited = Vec::new();
        let mut within =
            |models: SharedModels, limits: &ModelLimits, payer| -> Result<SharedModels> {
                if *limits == ModelLimits::default() {
                    return Ok(models);
                }
                let directory = (!store.read_only()).then(|| store.path());
                let limits = Limits::open(limits, payer, directory)?;
                let models = Arc::new(Limited::new(models, limits));
                limited.push(Arc::clone(&models));
                Ok(models)
            };
        let models = models.map(|models| within(models, &options.limits, Payer::Models));
        let models = models.transpose()?;
        let previous =
            previous.map(|models| within(models, &options.previous_limits, Payer::Previous));
        let previous = previous.transpose()?;
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
    pub(crate) fn share(
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
        for limited in &self.limited {
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

    pub(crate) fn tell(&self, what: &'static str) {
        log::log(Level::Info, "database", what, || {
            [("path", self.store.name().display().to_string().into())]
        });
    }

    pub(crate) fn stop(&self) {
        if let Some(sharing) = &self.sharing {
            sharing.stop();
        }
        self.embedders.set_ending(true);
        if let Some(weaver) = self.weaver() {
            weaver.stop();
        }
        self.embedders.set_ending(false);
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
