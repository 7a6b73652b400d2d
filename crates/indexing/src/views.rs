//! Views that follow the store, per namespace.
//!
//! Invariants:
//! * A reader's snapshot is taken while the views are locked, and they are brought up to it before
//!   the lock is released; so a view holds every row version that a reader needs. Rows committed
//!   later carry a later LSN, which the reader ignores.
//! * Versions are forgotten only when no reader at an older LSN is left.
//! * Views hold what has expired until it is deleted. A snapshot does not see it, so that it is never
//!   among the candidates.
//! * Slots mean something in one generation of the store only. When another takes its place, views are
//!   loaded anew; a reader of the one before gets copies of its own.
//! * Nothing is written here, and nothing locked: the store and published files are read through the reader's
//!   snapshot.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use embedded_db_common::{Error, Lsn, NamespaceId, Options, Result, Slot, SpaceId};
use embedded_db_storage::{
    Kind, ReadEmbeddings, ReadSpaces, ReadTxn, SegmentFile, Snapshot, SpaceRecord, Store, ViewKind,
    Visible,
};

use crate::bitmaps::labelled_any;
use crate::changes::{by_lsn, each_change};
use crate::expiry::Expired;
use crate::kernels::Kernels;
use crate::published::Published;
use crate::recipes::Recipes;
use crate::schema::Names;
use crate::sessions::{Message, Sessions};
use crate::text::{Analyzer, Language, TextIndex};
use crate::vector::VectorIndex;
use crate::vector::graph::GraphRequest;
use crate::vector::stored::{NodeRows, metric};

/// Fewer texts than these stay in memory, though they are in files.
const REOPEN_AFTER: u64 = 4096;
/// The same of vectors that are scanned, a few tens of microseconds for so many.
const REOPEN_VECTORS_AFTER: u64 = 2048;
/// Old row versions are dropped every so many changes.
const PRUNE_EVERY: u64 = 4096;

/// The views of one store in this process.
pub struct Views {
    names: Names,
    language: Language,
    kernels: Kernels,
    state: Mutex<State>,
    expired: Expired,
    /// So many rows without a graph get one.
    link_after: u64,
    pub(crate) published: Published,
}

#[derive(Default)]
struct State {
    /// The generation whose slots the loaded views hold.
    generation: u64,
    /// All loaded views are right up to here.
    followed: u64,
    pruned: u64,
    namespaces: HashMap<NamespaceId, Loaded>,
    /// Snapshots in use, by LSN.
    readers: BTreeMap<Lsn, usize>,
}

#[derive(Default)]
struct Loaded {
    /// What the texts of `text` were made by.
    recipes: Recipes,
    text: Option<View<TextIndex>>,
    /// Of the row of files that was last looked at: with another one, what is in memory may be in files.
    row: Option<Lsn>,
    /// Right at `followed` and nowhere else; there only beside the text, whose lengths it knows.
    sessions: Option<Arc<Sessions>>,
    vectors: HashMap<SpaceId, Vectors>,
}

struct Vectors {
    view: View<VectorIndex>,
    /// The files that were last looked at.
    files: Option<Vec<SegmentFile>>,
}

struct View<T> {
    tail: Arc<RwLock<T>>,
    /// It holds what readers from here on need.
    base: Lsn,
}

impl<T> View<T> {
    fn new(tail: T, base: Lsn) -> Self {
        Self { tail: Arc::new(RwLock::new(tail)), base }
    }
}

/// The state that views are loaded from.
struct Point<'a> {
    state: &'a Snapshot,
    snapshot: Visible<'a, Snapshot>,
    namespace: NamespaceId,
    lsn: Lsn,
    /// Whether it is the one that all loaded views have followed to.
    newest: bool,
    /// Whether no reader is older.
    oldest: bool,
}

/// A snapshot whose LSN the views keep.
pub struct Pin {
    snapshot: Option<Snapshot>,
    lsn: Lsn,
    views: Arc<Views>,
    /// Kept for the next search at this instant, which is no longer the newest.
    sessions: OnceLock<(NamespaceId, Arc<Sessions>)>,
}

impl Pin {
    fn new(snapshot: Snapshot, lsn: Lsn, views: Arc<Views>) -> Self {
        Self { snapshot: Some(snapshot), lsn, views, sessions: OnceLock::new() }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        self.snapshot.as_ref().expect("only drop takes the snapshot")
    }

    /// Its LSN.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // Before the lock: its holder may be waiting until no snapshot is left.
        drop(self.snapshot.take());
        let mut state = self.views.lock();
        if let Some(count) = state.readers.get_mut(&self.lsn) {
            *count -= 1;
            if *count == 0 {
                state.readers.remove(&self.lsn);
            }
        }
    }
}

/// What a query needs of the views.
#[derive(Debug, Clone)]
pub struct Needs {
    /// The namespace it sees.
    pub namespace: NamespaceId,
    /// Whether it searches texts.
    pub text: bool,
    /// Whether it asks for chats, sessions and senders; they come with the texts.
    pub sessions: bool,
    /// The space it searches vectors in.
    pub space: Option<(SpaceId, SpaceRecord)>,
}

/// The views a query needs, right up to its snapshot.
#[derive(Clone, Default)]
pub struct Attached {
    /// Full text.
    pub text: Option<Arc<RwLock<TextIndex>>>,
    /// Chats, sessions and senders: exactly the state of the snapshot.
    pub sessions: Option<Arc<Sessions>>,
    /// Vectors of the wanted space.
    pub vectors: Option<Arc<RwLock<VectorIndex>>>,
}

impl Attached {
    /// Whether a file was met that is damaged: what was read since may be wrong.
    pub fn is_damaged(&self) -> bool {
        self.text.as_ref().is_some_and(|text| read(text).is_damaged())
            || self.vectors.as_ref().is_some_and(|vectors| read(vectors).is_damaged())
    }
}

impl Views {
    /// Views over a store with these names.
    pub fn new(names: Names, language: &str) -> Result<Arc<Self>> {
        let language = match language {
            "english" => Language::English,
            "none" => Language::None,
            other => {
                return Err(Error::InvalidInput(format!(
                    "language {other:?} is not known; use \"english\" or \"none\""
                )));
            }
        };
        let (kernels, state) = (Kernels::detect(), Mutex::default());
        let expired = Expired::new(names);
        let published = Published::default();
        let link_after = Options::default().link_after;
        Ok(Arc::new(Self { names, language, kernels, state, expired, link_after, published }))
    }

    /// The same, which make a graph of so many vectors.
    pub fn linking_after(mut self: Arc<Self>, rows: u64) -> Arc<Self> {
        if let Some(views) = Arc::get_mut(&mut self) {
            views.link_after = rows.max(1);
        }
        self
    }

    pub(crate) fn link_after(&self) -> u64 {
        self.link_after
    }

    /// So few rows of a graph are looked at one by one.
    pub(crate) fn few_rows(&self) -> usize {
        GraphRequest::default().few.min(self.link_after as usize / 4)
    }

    /// The kernels in use.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// The analyzer of texts and queries.
    pub fn analyzer(&self) -> Analyzer {
        Analyzer::new(self.language)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn language_name(&self) -> &'static str {
        match self.language {
            Language::English => "english",
            Language::None => "none",
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot for reads of a namespace, without the views: it does not see what has expired.
    pub fn read(&self, store: &Arc<Store>, namespace: NamespaceId) -> Result<Snapshot> {
        let mut snapshot = store.read()?;
        self.expired.hide(&mut snapshot, namespace)?;
        Ok(snapshot)
    }

    /// A snapshot up to which all loaded views are right, for reads of a namespace.
    pub fn pin(self: &Arc<Self>, store: &Arc<Store>, namespace: NamespaceId) -> Result<Pin> {
        let mut state = self.lock();
        let (snapshot, lsn) = self.newest(&mut state, store, namespace)?;
        Ok(self.register(&mut state, snapshot, lsn))
    }

    /// A new snapshot with the views that a query over it needs.
    pub fn begin(self: &Arc<Self>, store: &Arc<Store>, needs: &Needs) -> Result<(Pin, Attached)> {
        let mut state = self.lock();
        let (snapshot, lsn) = self.newest(&mut state, store, needs.namespace)?;
        let attached = self.attach_locked(&mut state, &snapshot, lsn, needs)?;
        Ok((self.register(&mut state, snapshot, lsn), attached))
    }

    /// The views that a query over an earlier snapshot needs.
    pub fn attach(&self, pin: &Pin, needs: &Needs) -> Result<Attached> {
        let earlier = pin.sessions.get().filter(|(namespace, _)| *namespace == needs.namespace);
        if let Some((_, sessions)) = earlier.filter(|_| needs.sessions) {
            let others = Needs { text: true, sessions: false, ..needs.clone() };
            let mut attached =
                self.attach_locked(&mut self.lock(), pin.snapshot(), pin.lsn, &others)?;
            attached.sessions = Some(Arc::clone(sessions));
            return Ok(attached);
        }
        let attached = self.attach_locked(&mut self.lock(), pin.snapshot(), pin.lsn, needs)?;
        if let Some(sessions) = &attached.sessions {
            // If another thread was quicker, its copy is as good.
            let _ = pin.sessions.set((needs.namespace, Arc::clone(sessions)));
        }
        Ok(attached)
    }

    /// Takes a snapshot and brings the loaded views up to it.
    fn newest(
        &self,
        state: &mut State,
        store: &Arc<Store>,
        namespace: NamespaceId,
    ) -> Result<(Snapshot, Lsn)> {
        let mut snapshot = store.read()?;
        let lsn = snapshot.lsn()?;
        let generation = snapshot.generation().number();
        if state.generation != generation {
            state.namespaces.clear();
            (state.generation, state.followed) = (generation, lsn.0);
        }
        if let Err(error) = self.follow(state, &snapshot, lsn) {
            // Some views may have got some of the changes: load anew when next asked for.
            state.namespaces.clear();
            return Err(error);
        }
        self.expired.hide(&mut snapshot, namespace)?;
        Ok((snapshot, lsn))
    }

    /// Notes the reader. Nothing may fail between this and handing out the pin: dropping one takes
    /// the lock that is held here.
    fn register(self: &Arc<Self>, state: &mut State, snapshot: Snapshot, lsn: Lsn) -> Pin {
        *state.readers.entry(lsn).or_default() += 1;
        Pin::new(snapshot, lsn, Arc::clone(self))
    }

    /// Views that are not there are loaded from the snapshot. They are shared with later readers
    /// only when the snapshot is the newest; an old one gets a copy of its own.
    fn attach_locked(
        &self,
        state: &mut State,
        snapshot: &Snapshot,
        lsn: Lsn,
        needs: &Needs,
    ) -> Result<Attached> {
        let mut attached = Attached::default();
        let needs_text = needs.text || needs.sessions;
        if !needs_text && needs.space.is_none() {
            return Ok(attached);
        }
        let same = state.generation == snapshot.generation().number();
        let newest = same && lsn.0 == state.followed;
        // Views hold what is stored: a reader who came earlier may see what this one does not.
        let oldest = state.readers.keys().next().is_none_or(|reader| *reader >= lsn);
        let (state_of, namespace) = (snapshot, needs.namespace);
        let snapshot = Visible::all(state_of);
        let at = Point { state: state_of, snapshot, namespace, lsn, newest, oldest };
        let mut own = Loaded::default();
        let loaded = match same {
            true => state.namespaces.entry(namespace).or_default(),
            false => &mut own,
        };
        if needs_text {
            let text = self.attach_text(loaded, &at)?;
            if needs.sessions {
                attached.sessions = Some(self.attach_sessions(loaded, &at, &text)?);
            }
            attached.text = Some(text);
        }
        if let Some((space, record)) = &needs.space {
            attached.vectors = Some(self.attach_vectors(loaded, &at, *space, record)?);
        }
        Ok(attached)
    }

    fn attach_text(&self, loaded: &mut Loaded, at: &Point<'_>) -> Result<Arc<RwLock<TextIndex>>> {
        let recipes = Recipes::read(&at.snapshot, at.namespace)?;
        let right = loaded.recipes.searches_like(&recipes);
        if let Some(view) = loaded.text.as_ref().filter(|view| right && view.base <= at.lsn) {
            let (tail, index) = (Arc::clone(&view.tail), read(&view.tail));
            let is_sound = !index.is_damaged() && index.is_whole();
            if is_sound && (!at.newest || !at.oldest || index.unsealed() < REOPEN_AFTER) {
                return Ok(Arc::clone(&tail));
            }
            if is_sound {
                drop(index);
                return Ok(self.reopen_text(loaded, at, &recipes, tail));
            }
            self.published.distrust(index.file_names());
        }
        let view = View::new(self.load_text(at, &recipes)?, at.lsn);
        let tail = Arc::clone(&view.tail);
        if at.newest {
            loaded.row = self.text_row(at);
            loaded.text = Some(view);
            loaded.recipes = recipes;
            // They hold the lengths of the texts before.
            loaded.sessions = None;
        }
        Ok(tail)
    }

    /// What is in files by now need not be in memory: the view of these files, or else the one that there is.
    fn reopen_text(
        &self,
        loaded: &mut Loaded,
        at: &Point<'_>,
        recipes: &Recipes,
        tail: Arc<RwLock<TextIndex>>,
    ) -> Arc<RwLock<TextIndex>> {
        let row = self.text_row(at);
        if loaded.row == row {
            return tail;
        }
        loaded.row = row;
        let Ok(Some((index, _))) = self.open_texts(at.state, at.namespace, recipes) else {
            return tail;
        };
        let view = View::new(index, at.lsn);
        Arc::clone(&loaded.text.insert(view).tail)
    }

    /// Up to where the files of texts are right that a snapshot names.
    fn text_row(&self, at: &Point<'_>) -> Option<Lsn> {
        at.state.view_record(at.namespace, ViewKind::Text, SpaceId(0)).ok()?.map(|row| row.lsn)
    }

    fn attach_sessions(
        &self,
        loaded: &mut Loaded,
        at: &Point<'_>,
        text: &RwLock<TextIndex>,
    ) -> Result<Arc<Sessions>> {
        if let Some(sessions) = loaded.sessions.as_ref().filter(|_| at.newest) {
            return Ok(Arc::clone(sessions));
        }
        let sessions = Arc::new(self.load_sessions(at, &read(text))?);
        if at.newest {
            loaded.sessions = Some(Arc::clone(&sessions));
        }
        Ok(sessions)
    }

    fn attach_vectors(
        &self,
        loaded: &mut Loaded,
        at: &Point<'_>,
        space: SpaceId,
        record: &SpaceRecord,
    ) -> Result<Arc<RwLock<VectorIndex>>> {
        let held = loaded.vectors.get(&space).filter(|held| held.view.base <= at.lsn);
        if let Some(Vectors { view, files }) = held {
            let (tail, index) = (Arc::clone(&view.tail), read(&view.tail));
            if !index.is_damaged() && index.is_whole() {
                let may_reopen =
                    at.newest && at.oldest && index.rows_scanned() >= REOPEN_VECTORS_AFTER;
                drop(index);
                if may_reopen && *files != self.vector_row(at, space) {
                    return Ok(self.reopen_vectors(loaded, at, (space, record), tail));
                }
                return Ok(tail);
            }
            self.published.distrust(index.file_names());
        }
        let view = View::new(self.load_vectors(at, space, record)?, at.lsn);
        let tail = Arc::clone(&view.tail);
        if at.newest {
            let files = self.vector_row(at, space);
            // Those of spaces that another process has dropped are of no use.
            let live = at.state.live_spaces()?;
            loaded.vectors.retain(|held, _| live.iter().any(|(space, _)| space == held));
            loaded.vectors.insert(space, Vectors { view, files });
        }
        Ok(tail)
    }

    /// What is in files by now need not be in memory: the view of these files, or else the one that there is.
    fn reopen_vectors(
        &self,
        loaded: &mut Loaded,
        at: &Point<'_>,
        (space, record): (SpaceId, &SpaceRecord),
        tail: Arc<RwLock<VectorIndex>>,
    ) -> Arc<RwLock<VectorIndex>> {
        let files = self.vector_row(at, space);
        match self.open_vectors(at.state, at.namespace, (space, record)) {
            Ok(Some(index)) => {
                let view = View::new(index, at.lsn);
                let tail = Arc::clone(&view.tail);
                loaded.vectors.insert(space, Vectors { view, files });
                tail
            }
            _ => {
                if let Some(held) = loaded.vectors.get_mut(&space) {
                    held.files = files;
                }
                tail
            }
        }
    }

    /// Which files of vectors a snapshot names.
    fn vector_row(&self, at: &Point<'_>, space: SpaceId) -> Option<Vec<SegmentFile>> {
        let row = at.state.view_record(at.namespace, ViewKind::Vectors, space).ok()?;
        row.map(|row| row.files)
    }

    /// Says that files of these views were met damaged: what was read of them counts for nothing. They are
    /// made of the records from now on.
    pub fn distrust(&self, namespace: NamespaceId, damaged: &Attached) {
        if let Some(text) = damaged.text.as_ref().filter(|text| read(text).is_damaged()) {
            self.published.distrust(read(text).file_names());
            if let Some(loaded) = self.lock().namespaces.get_mut(&namespace)
                && loaded.text.as_ref().is_some_and(|view| Arc::ptr_eq(&view.tail, text))
            {
                (loaded.text, loaded.sessions) = (None, None);
            }
        }
        if let Some(vectors) = damaged.vectors.as_ref().filter(|it| read(it).is_damaged()) {
            self.published.distrust(read(vectors).file_names());
            if let Some(loaded) = self.lock().namespaces.get_mut(&namespace) {
                loaded.vectors.retain(|_, held| !Arc::ptr_eq(&held.view.tail, vectors));
            }
        }
    }

    /// Says that these files are damaged: they are not opened again.
    pub fn distrust_files(&self, names: Vec<String>) {
        self.published.distrust(names.into_iter());
    }

    /// Forgets the views of a namespace that was dropped.
    pub fn forget(&self, namespace: NamespaceId) {
        self.lock().namespaces.remove(&namespace);
    }

    /// Forgets the views of a space that was dropped.
    pub fn forget_space(&self, space: SpaceId) {
        for loaded in self.lock().namespaces.values_mut() {
            loaded.vectors.remove(&space);
        }
    }

    /// Bytes of memory held by all views.
    pub fn memory_bytes(&self) -> usize {
        bytes_of(&self.lock())
    }

    /// The same, unless somebody works on them: for who must not wait.
    pub fn memory_bytes_now(&self) -> Option<usize> {
        Some(bytes_of(&*self.state.try_lock().ok()?))
    }

    fn load_text(&self, at: &Point<'_>, recipes: &Recipes) -> Result<TextIndex> {
        let Point { snapshot, namespace, lsn, .. } = at;
        // What keeps files from being opened is no error: the records have it all.
        if let Ok(Some((index, _))) = self.open_texts(at.state, *namespace, recipes) {
            return Ok(index);
        }
        let mut tail = TextIndex::new(self.analyzer());
        for slot in labelled_any(snapshot, *namespace, &recipes.text_labels(&self.names))? {
            if let Some(text) = self.text_of(snapshot, *namespace, Slot(slot), recipes)? {
                tail.upsert(Slot(slot), Lsn(0), &text);
            }
        }
        tail.advance(*lsn);
        Ok(tail)
    }

    fn load_sessions(&self, at: &Point<'_>, text: &TextIndex) -> Result<Sessions> {
        let Point { snapshot, namespace, lsn, .. } = at;
        let recipes = Recipes::read(snapshot, *namespace)?;
        if text.lsn() == *lsn
            && let Ok(Some(sessions)) = self.open_sessions(at.state, *namespace, &recipes, text)
        {
            return Ok(sessions);
        }
        let mut sessions = Sessions::new();
        for slot in labelled_any(snapshot, *namespace, &recipes.asked_labels(&self.names))? {
            let (slot, lengths) = (Slot(slot), (text, *lsn));
            self.with_message(at.state, *namespace, slot, &recipes, lengths, |message| {
                if let Some(message) = message {
                    sessions.upsert(slot, message);
                }
            })?;
        }
        Ok(sessions)
    }

    fn load_vectors(
        &self,
        at: &Point<'_>,
        space: SpaceId,
        record: &SpaceRecord,
    ) -> Result<VectorIndex> {
        if let Ok(Some(tail)) = self.open_vectors(at.state, at.namespace, (space, record)) {
            return Ok(tail);
        }
        let dimension = record.dimension as usize;
        let mut tail = VectorIndex::new(dimension, metric(record)?, self.kernels);
        let mut rows = NodeRows::default();
        let mut current = None;
        at.snapshot.scan_embeddings(at.namespace, space, |slot, part, embedding| {
            if let Some(previous) = current.filter(|previous| *previous != slot) {
                rows.upsert_into(&mut tail, previous, Lsn(0));
            }
            current = Some(slot);
            rows.push(part, embedding.values());
            Ok(())
        })?;
        if let Some(last) = current {
            rows.upsert_into(&mut tail, last, Lsn(0));
        }
        tail.advance(at.lsn);
        Ok(tail)
    }

    /// Applies the changes up to `to` to the loaded views.
    fn follow(&self, state: &mut State, snapshot: &Snapshot, to: Lsn) -> Result<()> {
        if to.0 <= state.followed {
            return Ok(());
        }
        if !state.namespaces.is_empty() {
            let news = News::since(state, snapshot)?;
            if news.reach == to {
                for namespace in &news.dropped {
                    state.namespaces.remove(namespace);
                }
                self.follow_texts(state, snapshot, news.nodes)?;
                follow_vectors(state, snapshot, news.embeddings)?;
                state.settle(to);
            } else {
                // The change table no longer reaches back: load anew when next asked for.
                state.namespaces.clear();
            }
        }
        state.followed = to.0;
        Ok(())
    }

    fn follow_texts(
        &self,
        state: &mut State,
        snapshot: &Snapshot,
        nodes: BTreeMap<(NamespaceId, Slot), Lsn>,
    ) -> Result<()> {
        for (lsn, (namespace, slot)) in by_lsn(nodes) {
            let Some(loaded) = state.namespaces.get_mut(&namespace) else { continue };
            let Some(view) = &loaded.text else { continue };
            let node = snapshot.node(namespace, slot)?;
            let text = match &node {
                Some(node) => loaded.recipes.searchable_text(&self.names, node)?,
                None => None,
            };
            let mut tail = write(&view.tail);
            match text {
                Some(text) => tail.upsert(slot, lsn, &text),
                None => tail.remove(slot, lsn),
            }
            let Some(sessions) = &mut loaded.sessions else { continue };
            let message = match &node {
                Some(node) => loaded.recipes.session_message(&self.names, snapshot, node)?,
                None => None,
            };
            match message {
                Some(message) => {
                    let words = tail.length(slot, lsn).unwrap_or(0);
                    Arc::make_mut(sessions).upsert(slot, Message { words, ..message });
                }
                // Most changed nodes are none: nothing is copied for them.
                None if sessions.slots().contains(slot.0) => {
                    Arc::make_mut(sessions).remove(slot);
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn follow_vectors(
    state: &State,
    snapshot: &Snapshot,
    embeddings: BTreeMap<(NamespaceId, SpaceId, Slot), Lsn>,
) -> Result<()> {
    let mut rows = NodeRows::default();
    for (lsn, (namespace, space, slot)) in by_lsn(embeddings) {
        let loaded = state.namespaces.get(&namespace);
        let Some(held) = loaded.and_then(|loaded| loaded.vectors.get(&space)) else { continue };
        rows.read(snapshot, namespace, space, slot)?;
        rows.upsert_into(&mut write(&held.view.tail), slot, lsn);
    }
    Ok(())
}

impl State {
    /// Every loaded view now knows all up to `to`; from time to time they forget what no reader
    /// can see any more.
    fn settle(&mut self, to: Lsn) {
        let oldest = self.readers.keys().next().copied().unwrap_or(to);
        let prune = to.0.saturating_sub(self.pruned) >= PRUNE_EVERY;
        for loaded in self.namespaces.values() {
            if let Some(view) = &loaded.text {
                let mut tail = write(&view.tail);
                tail.advance(to);
                if prune {
                    tail.prune(oldest);
                }
            }
            for held in loaded.vectors.values() {
                let mut tail = write(&held.view.tail);
                tail.advance(to);
                if prune {
                    tail.prune(oldest);
                }
            }
        }
        if prune {
            self.pruned = to.0;
        }
    }
}

/// The last change of every object that a loaded view has, since the views were last brought up to
/// date. Earlier changes of it do not matter: no reader between the two exists.
struct News {
    nodes: BTreeMap<(NamespaceId, Slot), Lsn>,
    embeddings: BTreeMap<(NamespaceId, SpaceId, Slot), Lsn>,
    dropped: Vec<NamespaceId>,
    /// Up to here no change is missing.
    reach: Lsn,
}

impl News {
    fn since(state: &State, snapshot: &Snapshot) -> Result<Self> {
        let (mut nodes, mut embeddings) = (BTreeMap::new(), BTreeMap::new());
        let mut dropped = Vec::new();
        let reach = each_change(snapshot, Lsn(state.followed), |lsn, change| {
            let namespace = change.namespace;
            if change.kind == Kind::Namespace {
                dropped.push(namespace);
                return;
            }
            let Some(loaded) = state.namespaces.get(&namespace) else { return };
            match change.kind {
                Kind::Node if loaded.text.is_some() => {
                    nodes.insert((namespace, change.slot), lsn);
                }
                Kind::Embedding if loaded.vectors.contains_key(&change.space) => {
                    embeddings.insert((namespace, change.space, change.slot), lsn);
                }
                _ => {}
            }
        })?;
        Ok(Self { nodes, embeddings, dropped, reach })
    }
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
/// Bytes that views take beside their files.
fn bytes_of(state: &State) -> usize {
    let text = |view: &View<TextIndex>| read(&view.tail).memory_bytes();
    let vector = |held: &Vectors| read(&held.view.tail).memory_bytes();
    state
        .namespaces
        .values()
        .map(|loaded| {
            loaded.text.as_ref().map_or(0, text)
                + loaded.sessions.as_ref().map_or(0, |sessions| sessions.memory_bytes())
                + loaded.vectors.values().map(vector).sum::<usize>()
        })
        .sum()
}
