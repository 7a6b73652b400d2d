//! What the tests of the weaver share: a store with messages, without the rest of the database.

#![allow(dead_code)] // each test file uses a part of it

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use embedded_db_common::{
    ActivityLevel, Draft, NamespaceId, Options, Result, Slot, SpaceId, Value, WeaverOptions,
};
use embedded_db_indexing::graph::{Artefact, Changes, GraphWriter, NodeDraft};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{Direction, ReadEmbeddings, ReadTxn, ReadWork, SpaceRecord, Store};
use embedded_db_testing::FakeModels;
use embedded_db_weaver::{
    ArtefactState, Enriched, FoundCommunities, ModelSpace, Models, Nearest, Similar, TextToEnrich,
    Weaver,
};

pub(crate) const NS: NamespaceId = NamespaceId::DEFAULT;
/// Far more than anything here takes: a wait that ends by it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Failures are tried again at once, three times in all.
pub(crate) fn eager() -> WeaverOptions {
    WeaverOptions {
        max_attempts: 3,
        first_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
        activity_level: ActivityLevel::SleepMode,
        ..WeaverOptions::default()
    }
}

/// For tests without topics.
pub(crate) fn no_groups(
    nodes: usize,
    _: &[(u32, u32, f64)],
    _: &dyn Fn() -> Result<()>,
) -> Result<FoundCommunities> {
    Ok(FoundCommunities { of: (0..nodes as u32).collect(), modularity: 0.0 })
}

/// For tests in which nothing is like anything.
pub(crate) struct Alone(Arc<Store>);

impl Alone {
    pub(crate) fn over(store: &Arc<Store>) -> Arc<Self> {
        Arc::new(Self(Arc::clone(store)))
    }
}

impl Nearest for Alone {
    fn nearest(
        &self,
        _: NamespaceId,
        _: SpaceId,
        nodes: &[Slot],
        _: usize,
        _: &dyn Fn() -> Result<()>,
    ) -> Result<Similar> {
        let snapshot = self.0.read()?;
        let generation = snapshot.generation().number();
        Ok(Similar { generation, lsn: snapshot.lsn()?, of: vec![Vec::new(); nodes.len()] })
    }
}

pub(crate) struct Bench {
    pub(crate) store: Arc<Store>,
    pub(crate) names: Names,
    pub(crate) space: SpaceId,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::over(Store::open_in_memory(&Options::default()).unwrap())
    }

    /// Over a store that is empty.
    pub(crate) fn over(store: Arc<Store>) -> Self {
        let (names, space) = store
            .write(|txn| {
                let names = Names::create(txn)?;
                txn.create_namespace("default")?;
                let space = txn.create_space(&SpaceRecord {
                    name: "fake".into(),
                    model: "fake".into(),
                    provider: "testing".into(),
                    precision: "fp32".into(),
                    dimension: FakeModels::DIMENSION as u32,
                    metric: "cosine".into(),
                })?;
                txn.set_default_space(space)?;
                Ok((names, space))
            })
            .unwrap();
        Self { store, names, space }
    }

    pub(crate) fn start(&self, models: Arc<dyn Models>, options: WeaverOptions) -> Arc<Weaver> {
        let space = Some((self.space, FakeModels::DIMENSION));
        let store = Arc::clone(&self.store);
        let nearest = Alone::over(&store);
        Weaver::start(store, self.names, models, no_groups, nearest, space, None, options, false)
            .unwrap()
    }

    /// Does something to the default namespace.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        mut job: impl FnMut(&mut GraphWriter<'_, '_>) -> Result<T> + Send + 'static,
    ) -> T {
        let names = self.names;
        self.store.write(move |txn| job(&mut GraphWriter::new(txn, &names, NS))).unwrap()
    }

    pub(crate) fn say(&self, content: &str) -> Slot {
        let content = content.to_owned();
        self.write(move |writer| {
            let chat = writer.ensure_chat("chat")?;
            let mut properties = Draft::new();
            properties.set("content", &Value::Str(content.clone()))?;
            writer.add_message(chat, "chat", &NodeDraft::unlabelled(None, properties))
        })
    }

    pub(crate) fn say_as(&self, role: &str, content: &str) -> Slot {
        let (role, content) = (role.to_owned(), content.to_owned());
        self.write(move |writer| {
            let chat = writer.ensure_chat("chat")?;
            let mut properties = Draft::new();
            properties.set("role", &Value::Str(role.clone()))?;
            properties.set("content", &Value::Str(content.clone()))?;
            writer.add_message(chat, "chat", &NodeDraft::unlabelled(None, properties))
        })
    }

    pub(crate) fn edit(&self, message: Slot, content: &str) {
        let mut changes = Changes::default();
        changes.set.set("content", &Value::Str(content.to_owned())).unwrap();
        self.write(move |writer| writer.update_node(message, &changes));
    }

    pub(crate) fn delete(&self, node: Slot) {
        self.write(move |writer| writer.delete_node(node));
    }

    pub(crate) fn vectors(&self, message: Slot) -> Vec<Vec<f32>> {
        let snapshot = self.store.read().unwrap();
        let parts = snapshot.embeddings_of(NS, self.space, message).unwrap();
        parts.iter().map(|(_, part)| part.values().collect()).collect()
    }

    /// Names of the entities a message mentions, in order.
    pub(crate) fn entities(&self, message: Slot) -> Vec<String> {
        let snapshot = self.store.read().unwrap();
        let mut found = Vec::new();
        let mentions = Some(self.names.mentions);
        snapshot
            .neighbors(NS, message, Direction::Out, mentions, |_, neighbor| {
                found.push(neighbor.node);
                true
            })
            .unwrap();
        let label = |slot| {
            let node = snapshot.node(NS, slot).unwrap().unwrap();
            let label = node.properties.get(self.names.label).unwrap().unwrap();
            label.as_str().unwrap().to_owned()
        };
        found.into_iter().map(label).collect()
    }

    /// Number of entities in the namespace.
    pub(crate) fn all_entities(&self) -> u64 {
        let snapshot = self.store.read().unwrap();
        embedded_db_indexing::labelled(&snapshot, NS, self.names.entity).unwrap().len()
    }

    pub(crate) fn state(&self, weaver: &Weaver, node: Slot, artefact: Artefact) -> ArtefactState {
        weaver.artefact(&self.store.read().unwrap(), NS, node, artefact).unwrap()
    }

    /// Everything that the weaver makes of a message.
    pub(crate) fn assert_enriched(&self, message: Slot, content: &str, entities: &[&str]) {
        assert_eq!(self.vectors(message), [FakeModels::vector(content)], "{content:?}");
        assert_eq!(self.entities(message), entities, "{content:?}");
    }

    pub(crate) fn assert_bare(&self, message: Slot) {
        assert_eq!(self.vectors(message), Vec::<Vec<f32>>::new());
        assert_eq!(self.entities(message), Vec::<String>::new());
    }

    pub(crate) fn computed(&self) -> u64 {
        self.store.read().unwrap().counters().unwrap().vectors_computed
    }

    /// Work that has failed: node, artefact, calls.
    pub(crate) fn failed_work(&self) -> Vec<(Slot, u8, u32)> {
        let mut out = Vec::new();
        let snapshot = self.store.read().unwrap();
        snapshot
            .scan_work(|_, slot, artefact, work| {
                out.push((slot, artefact, work.attempts));
                Ok(())
            })
            .unwrap();
        out
    }
}

/// All that waits is done or given up.
pub(crate) fn drain(weaver: &Weaver) {
    assert!(weaver.wait_idle(Some(PATIENCE), &|| Ok(())).unwrap(), "nothing came to an end");
}

/// Waits, step by step of the worker, until something is so.
pub(crate) fn until(weaver: &Weaver, what: &str, so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(std::time::Instant::now() < deadline, "it never came to {what}");
        weaver.wait_progress(Duration::from_millis(20));
    }
}

/// The fake models with a part replaced.
pub(crate) struct Altered<F> {
    pub(crate) base: FakeModels,
    pub(crate) enrich: F,
}

impl<F> Models for Altered<F>
where
    F: Fn(&FakeModels, &[embedded_db_weaver::TextToEnrich]) -> Result<embedded_db_weaver::Enriched>
        + Send
        + Sync,
{
    fn space(&self) -> Result<Option<embedded_db_weaver::ModelSpace>> {
        self.base.space()
    }

    fn warm_up(&self) -> Result<()> {
        self.base.warm_up()
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<f32>> {
        self.base.embed(texts)
    }

    fn enrich(
        &self,
        texts: &[embedded_db_weaver::TextToEnrich],
    ) -> Result<embedded_db_weaver::Enriched> {
        (self.enrich)(&self.base, texts)
    }

    fn summarize(&self, messages: &[String], vectors: &[f32], dimension: usize) -> Result<String> {
        self.base.summarize(messages, vectors, dimension)
    }
}

pub(crate) fn altered<F>(enrich: F) -> Arc<Altered<F>>
where
    F: Fn(&FakeModels, &[embedded_db_weaver::TextToEnrich]) -> Result<embedded_db_weaver::Enriched>,
{
    Arc::new(Altered { base: FakeModels::default(), enrich })
}

/// Functions of models.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Enrich,
    Summarize,
}

/// Models one of whose functions says what it was called with, and answers when it is told to.
/// Summaries are the texts, joined.
pub(crate) struct Held {
    pub(crate) base: FakeModels,
    function: Function,
    called: Mutex<Sender<Vec<String>>>,
    go: Mutex<Receiver<()>>,
}

/// The models, the calls of the function, and what lets one call go on. With the last dropped none
/// is held.
pub(crate) fn held(function: Function) -> (Arc<Held>, Receiver<Vec<String>>, Sender<()>) {
    let ((called, calls), (go, gate)) = (channel(), channel());
    let base = FakeModels::default();
    let models = Held { base, function, called: Mutex::new(called), go: Mutex::new(gate) };
    (Arc::new(models), calls, go)
}

impl Held {
    fn wait(&self, function: Function, told: impl FnOnce() -> Vec<String>) {
        if self.function == function {
            // Nobody may be listening any more, or holding.
            let _heard = self.called.lock().unwrap().send(told());
            let _released = self.go.lock().unwrap().recv();
        }
    }
}

impl Models for Held {
    fn space(&self) -> Result<Option<ModelSpace>> {
        self.base.space()
    }

    fn warm_up(&self) -> Result<()> {
        Ok(())
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<f32>> {
        self.base.embed(texts)
    }

    fn enrich(&self, texts: &[TextToEnrich]) -> Result<Enriched> {
        self.wait(Function::Enrich, || texts.iter().map(|text| text.text.clone()).collect());
        self.base.enrich(texts)
    }

    fn summarize(&self, messages: &[String], _: &[f32], _: usize) -> Result<String> {
        self.wait(Function::Summarize, || messages.to_vec());
        Ok(messages.join(" | "))
    }
}
