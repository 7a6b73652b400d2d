//! The worker: what is due, in which order, and what happens when it fails.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use embedded_db_common::{
    ActivityLevel, Error, NamespaceId, Result, Slot, SpaceId, WeaverOptions, clock,
};
use embedded_db_indexing::graph::{Artefact, GraphWriter, is_pending};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadTxn, Snapshot, Store, WorkRecord, WorkState, panic_text};

use crate::batch::Batch;
use crate::levels;
use crate::models::Models;
use crate::summary;

/// How long a missing model is left alone before it is looked for again.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(30);
/// A chat is summarised once it has rested so long.
const SUMMARY_REST: Duration = Duration::from_secs(1);
/// Longest sleep of an idle worker: bounds how late a change of another handle is seen.
const IDLE_SLEEP: Duration = Duration::from_millis(500);

type Work = (NamespaceId, Slot, Artefact);
/// Nodes of one namespace whose work may be done now.
type Due = (NamespaceId, Vec<Slot>);

/// The background worker of one database.
pub struct Weaver {
    store: Arc<Store>,
    names: Names,
    models: Arc<dyn Models>,
    space: Option<(SpaceId, usize)>,
    options: WeaverOptions,
    state: Mutex<State>,
    /// There may be something to do.
    wake: Condvar,
    /// Something was done.
    progress: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    stop: bool,
    paused: bool,
    working: bool,
    level: ActivityLevel,
    last_call: Instant,
    last_work: Instant,
    /// Writes that were told of: one that comes during a look at the store is not slept over.
    notified: u64,
    /// Callers that wait for everything: all work runs, whatever the level.
    draining: usize,
    /// Number of the newest request to report when all is done…
    asked: u64,
    /// …and of the newest that was answered.
    quiet: u64,
    backoff: HashMap<Work, i64>,
    /// Namespace of the last batch.
    served: NamespaceId,
    unavailable: Option<(String, Instant)>,
    last_event: String,
    done: HashMap<Artefact, u64>,
    failed: HashMap<Artefact, u64>,
    started: Instant,
    busy: Duration,
}

/// State of one artefact of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtefactState {
    /// It waits.
    Pending,
    /// It is there.
    Ready,
    /// It failed; why.
    Failed(String),
}

/// Work that was given up, or cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Namespace of the node.
    pub namespace: NamespaceId,
    /// Id of the node; `None` when everything of the kind is concerned.
    pub id: Option<String>,
    /// What failed.
    pub artefact: Artefact,
    /// Calls so far.
    pub attempts: u32,
    /// What the last one said.
    pub error: String,
}

/// Counts of one kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobCounts {
    /// Waiting.
    pub pending: u64,
    /// Being worked on.
    pub running: u64,
    /// Done since the database was opened.
    pub done: u64,
    /// Failed calls since the database was opened.
    pub failed: u64,
    /// Given up.
    pub dead: u64,
}

/// What the weaver is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Workers inside a batch now.
    pub active_workers: u64,
    /// All that waits.
    pub queue_size: u64,
    /// The last thing that happened.
    pub last_event: String,
    /// The level in force.
    pub activity_level: &'static str,
    /// Counts by kind.
    pub per_job: Vec<(&'static str, JobCounts)>,
    /// Age of the oldest message that waits.
    pub lag_seconds: f64,
    /// Messages embedded a second of work.
    pub throughput: f64,
}

/// What a look at the store led to.
enum Turn {
    Worked,
    /// Nothing can be done now; whether something waits for its time.
    Idle {
        waiting: bool,
    },
}

impl Weaver {
    /// Starts the worker. `space` is where the models' vectors go, with its dimension.
    pub fn start(
        store: Arc<Store>,
        names: Names,
        models: Arc<dyn Models>,
        space: Option<(SpaceId, usize)>,
        options: WeaverOptions,
        warm_up: bool,
    ) -> Result<Arc<Self>> {
        let now = Instant::now();
        let mut backoff = HashMap::new();
        store.read()?.scan_work(|namespace, slot, artefact, work| {
            let artefact = Artefact::ALL.into_iter().find(|known| *known as u8 == artefact);
            if let (WorkState::Retry, Some(artefact)) = (work.state, artefact) {
                backoff.insert((namespace, slot, artefact), work.due);
            }
            Ok(())
        })?;
        let state = State {
            stop: false,
            paused: false,
            working: false,
            level: options.activity_level,
            last_call: now,
            last_work: now,
            notified: 0,
            draining: 0,
            asked: 0,
            quiet: 0,
            backoff,
            served: NamespaceId::SYSTEM,
            unavailable: None,
            last_event: "started".into(),
            done: HashMap::new(),
            failed: HashMap::new(),
            started: now,
            busy: Duration::ZERO,
        };
        let weaver = Arc::new(Self {
            store,
            names,
            models,
            space,
            options,
            state: Mutex::new(state),
            wake: Condvar::new(),
            progress: Condvar::new(),
            thread: Mutex::new(None),
        });
        let worker = Arc::clone(&weaver);
        let thread = std::thread::Builder::new()
            .name("embedded-db-weaver".into())
            .spawn(move || worker.run(warm_up))
            .map_err(|e| Error::Internal(format!("cannot start the weaver: {e}")))?;
        *lock(&weaver.thread) = Some(thread);
        Ok(weaver)
    }

    /// Ends the worker after the batch it is at. Call without the interpreter's lock held.
    pub fn stop(&self) {
        self.state().stop = true;
        self.wake.notify_all();
        self.progress.notify_all();
        let thread = lock(&self.thread).take();
        // A model function may close the database, or drop the last handle: the worker then ends by
        // itself after the batch.
        let own = |thread: &JoinHandle<()>| thread.thread().id() == std::thread::current().id();
        if let Some(thread) = thread.filter(|thread| !own(thread)) {
            // The worker catches what its batches throw; if it died all the same, it is gone.
            drop(thread.join());
        }
    }

    /// Something was written.
    pub fn notify(&self) {
        let mut state = self.state();
        state.last_call = Instant::now();
        state.notified += 1;
        drop(state);
        self.wake.notify_one();
    }

    /// The user has asked something.
    pub fn touch(&self) {
        self.state().last_call = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    // ---- the worker

    fn run(&self, warm_up: bool) {
        if warm_up && let Err(error) = self.models.warm_up() {
            self.note_failure(&error);
        }
        loop {
            let (asked, notified, level, draining) = {
                let mut state = self.state();
                while state.paused && !state.stop {
                    state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.stop {
                    return;
                }
                let level = levels::effective(state.level, state.last_call);
                (state.asked, state.notified, level, state.draining > 0)
            };
            // A defect of ours must not end the enrichment of everything for good.
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn(level, draining)))
                .unwrap_or_else(|panic| {
                    Err(Error::Internal(format!("the weaver panicked: {}", panic_text(&*panic))))
                });
            let mut state = self.state();
            state.working = false;
            match turn {
                Ok(Turn::Worked) => {}
                Ok(Turn::Idle { waiting }) => {
                    if !waiting {
                        state.quiet = asked;
                        self.progress.notify_all();
                    }
                    if (state.asked, state.notified) == (asked, notified) && !state.stop {
                        let sleep = self.sleep(&mut state);
                        drop(self.wake.wait_timeout(state, sleep));
                    }
                }
                Err(error) => {
                    // The store refused: nothing was lost, it is tried again.
                    state.last_event = format!("failed: {error}");
                    drop(self.wake.wait_timeout(state, IDLE_SLEEP));
                }
            }
        }
    }

    fn sleep(&self, state: &mut State) -> Duration {
        let now = clock::now();
        // What is due was looked at; if it is still here its node is gone or its level does not run.
        state.backoff.retain(|_, due| *due > now);
        let due = state.backoff.values().map(|due| u64::try_from(due - now).unwrap_or(0)).min();
        due.map_or(IDLE_SLEEP, |micros| Duration::from_micros(micros.max(1000)).min(IDLE_SLEEP))
    }

    /// One look at the store and at most one batch.
    fn turn(&self, level: ActivityLevel, draining: bool) -> Result<Turn> {
        let runs = |artefact| draining || levels::runs(level, artefact);
        let size = levels::batch_size(level, self.options.batch_size);
        let snapshot = self.store.read()?;
        let mut waiting = false;
        if self.models_available() {
            for artefact in [Artefact::Embedding, Artefact::Entities] {
                if artefact == Artefact::Embedding && self.space.is_none() {
                    continue;
                }
                let (due, more) = self.due(&snapshot, artefact, size)?;
                waiting |= more;
                if let Some((namespace, slots)) = due {
                    let batch = Batch::read(&snapshot, &self.names, namespace, &slots)?;
                    drop(snapshot);
                    return self.enrich(&batch, &slots).map(|()| Turn::Worked);
                }
            }
        }
        let (due, more) = self.due(&snapshot, Artefact::Links, size)?;
        waiting |= more;
        match due {
            Some((namespace, slots)) if runs(Artefact::Links) => {
                drop(snapshot);
                return self.link(namespace, slots).map(|()| Turn::Worked);
            }
            Some(_) | None => {}
        }
        if self.models_available() {
            let rested = draining || self.state().last_work.elapsed() >= SUMMARY_REST;
            let (due, more) = self.due(&snapshot, Artefact::Summary, 1)?;
            waiting |= more;
            if let Some((namespace, slots)) = due
                && runs(Artefact::Summary)
            {
                drop(snapshot);
                if !rested {
                    return Ok(Turn::Idle { waiting: true });
                }
                return self.summarize(namespace, slots[0]).map(|()| Turn::Worked);
            }
        }
        Ok(Turn::Idle { waiting })
    }

    /// The first nodes of one namespace whose work may be done now, and whether others must wait.
    fn due(
        &self,
        snapshot: &Snapshot,
        artefact: Artefact,
        most: usize,
    ) -> Result<(Option<Due>, bool)> {
        let now = clock::now();
        let mut state = self.state();
        let mut waiting = false;
        // Namespaces take turns, so that a busy one does not starve the others.
        let served = state.served;
        let (mut next, mut first) = (None::<Due>, None::<Due>);
        snapshot.pending(artefact as u8, |namespace, container| {
            let due = if namespace > served { &mut next } else { &mut first };
            for slot in container.slots() {
                let slot = Slot(slot);
                let backoff = state.backoff.get(&(namespace, slot, artefact));
                // A new text has no failures: what the store has forgotten need not wait.
                let failed = || {
                    let work = snapshot.work(namespace, slot, artefact as u8);
                    work.is_ok_and(|work| work.is_some())
                };
                if backoff.is_some_and(|due| *due > now) && failed() {
                    waiting = true;
                    continue;
                }
                let (of, slots) = due.get_or_insert_with(|| (namespace, Vec::new()));
                if *of != namespace || slots.len() == most {
                    break;
                }
                slots.push(slot);
            }
            // Those after the one served last come first: with a full batch of them it is enough.
            next.as_ref().is_none_or(|(of, slots)| *of == namespace && slots.len() < most)
        })?;
        let found = next.or(first);
        if let Some((namespace, _)) = &found {
            state.served = *namespace;
        }
        Ok((found, waiting))
    }

    fn models_available(&self) -> bool {
        let mut state = self.state();
        match &state.unavailable {
            Some((_, since)) if since.elapsed() < UNAVAILABLE_RETRY => false,
            Some(_) => {
                state.unavailable = None;
                true
            }
            None => true,
        }
    }

    /// Embeds and finds entities. When a batch fails, its items are tried one by one and artefact by
    /// artefact, so that only what really fails waits or is given up.
    fn enrich(&self, batch: &Batch, slots: &[Slot]) -> Result<()> {
        let begun = self.begin();
        if batch.items.len() < slots.len() {
            self.forget_textless(batch, slots)?;
        }
        if batch.items.is_empty() {
            return Ok(());
        }
        match self.call(batch) {
            Ok(()) => {}
            Err(error) if self.is_unavailable(&error) => {}
            Err(error) if batch.items.len() == 1 => self.enrich_apart(batch, &error)?,
            Err(_) => {
                for at in 0..batch.items.len() {
                    let single = batch.single(at);
                    match self.call(&single) {
                        Ok(()) => {}
                        Err(error) if self.is_unavailable(&error) => break,
                        Err(error) => self.enrich_apart(&single, &error)?,
                    }
                    if self.state().stop {
                        break;
                    }
                }
            }
        }
        self.end(begun);
        Ok(())
    }

    /// One item, one artefact at a time.
    fn enrich_apart(&self, single: &Batch, error: &Error) -> Result<()> {
        let both = single.wants(Artefact::Embedding) && single.wants(Artefact::Entities);
        for artefact in [Artefact::Embedding, Artefact::Entities] {
            if !single.wants(artefact) {
                continue;
            }
            let failure =
                if both { self.call(&single.only(artefact)).err() } else { Some(error.clone()) };
            if let Some(error) = failure
                && !self.is_unavailable(&error)
            {
                self.failed((single.namespace, single.items[0].slot, artefact), &error)?;
            }
        }
        Ok(())
    }

    fn call(&self, batch: &Batch) -> Result<()> {
        let work = || batch.work(&self.store, &self.names, self.space, &*self.models);
        let stored = caught(work)?;
        let mut state = self.state();
        *state.done.entry(Artefact::Embedding).or_default() += stored.embedded;
        *state.done.entry(Artefact::Entities).or_default() += stored.entities;
        for item in &batch.items {
            for artefact in [Artefact::Embedding, Artefact::Entities] {
                state.backoff.remove(&(batch.namespace, item.slot, artefact));
            }
        }
        state.last_event =
            format!("embedded {}, entities of {} messages", stored.embedded, stored.entities);
        Ok(())
    }

    /// Messages that lost their text, or nodes that are gone, wait for nothing.
    fn forget_textless(&self, batch: &Batch, slots: &[Slot]) -> Result<()> {
        let kept: Vec<Slot> = batch.items.iter().map(|item| item.slot).collect();
        let gone: Vec<Slot> = slots.iter().copied().filter(|slot| !kept.contains(slot)).collect();
        let (names, namespace) = (self.names, batch.namespace);
        self.store.write(move |txn| {
            for slot in &gone {
                let text = match txn.node(namespace, *slot)? {
                    Some(node) => names.message_text(&node)?,
                    None => None,
                };
                if text.is_none() {
                    let mut writer = GraphWriter::new(txn, &names, namespace);
                    writer.done(Artefact::Embedding, *slot)?;
                    writer.done(Artefact::Entities, *slot)?;
                }
            }
            Ok(())
        })
    }

    fn link(&self, namespace: NamespaceId, slots: Vec<Slot>) -> Result<()> {
        let begun = self.begin();
        let (names, count) = (self.names, slots.len() as u64);
        self.store.write(move |txn| {
            for slot in &slots {
                let mut writer = GraphWriter::new(txn, &names, namespace);
                if is_pending(writer.txn, namespace, Artefact::Links, *slot)? {
                    writer.link_mentions(*slot)?;
                    writer.done(Artefact::Links, *slot)?;
                }
            }
            Ok(())
        })?;
        let mut state = self.state();
        *state.done.entry(Artefact::Links).or_default() += count;
        state.last_event = format!("linked the entities of {count} messages");
        drop(state);
        self.end(begun);
        Ok(())
    }

    fn summarize(&self, namespace: NamespaceId, chat: Slot) -> Result<()> {
        let begun = self.begin();
        let (store, names, models) = (&self.store, &self.names, &*self.models);
        let work = || summary::work(store, names, namespace, chat, self.space, models);
        match caught(work) {
            Ok(()) => {
                let mut state = self.state();
                *state.done.entry(Artefact::Summary).or_default() += 1;
                state.backoff.remove(&(namespace, chat, Artefact::Summary));
                state.last_event = "summarised a chat".into();
            }
            Err(error) if self.is_unavailable(&error) => {}
            Err(error) => self.failed((namespace, chat, Artefact::Summary), &error)?,
        }
        self.end(begun);
        Ok(())
    }

    fn begin(&self) -> Instant {
        self.state().working = true;
        Instant::now()
    }

    fn end(&self, begun: Instant) {
        let mut state = self.state();
        state.working = false;
        state.busy += begun.elapsed();
        state.last_work = Instant::now();
        self.progress.notify_all();
    }

    /// Notes that no model can do the work; it is not the fault of the item.
    fn is_unavailable(&self, error: &Error) -> bool {
        let unavailable = matches!(error, Error::ModelUnavailable { .. });
        if unavailable {
            self.note_failure(error);
        }
        unavailable
    }

    fn note_failure(&self, error: &Error) {
        let mut state = self.state();
        if matches!(error, Error::ModelUnavailable { .. }) {
            state.unavailable = Some((error.to_string(), Instant::now()));
        }
        state.last_event = format!("failed: {error}");
        self.progress.notify_all();
    }

    /// One more failed call: it is tried again later, or given up.
    fn failed(&self, work: Work, error: &Error) -> Result<()> {
        let (namespace, slot, artefact) = work;
        let (names, options) = (self.names, self.options.clone());
        let message = error.to_string();
        let due = self.store.write(move |txn| {
            let before = txn.work(namespace, slot, artefact as u8)?;
            let attempts = before.map_or(0, |work| work.attempts) + 1;
            let dead = attempts >= options.max_attempts;
            let delay = options.first_delay.saturating_mul(1 << (attempts - 1).min(20));
            let delay = delay.min(options.max_delay);
            // The clock, not the store's time: that one may run ahead after the clock was set back.
            let due = clock::now() + i64::try_from(delay.as_micros()).unwrap_or(i64::MAX / 2);
            if txn.node(namespace, slot)?.is_none() {
                return Ok(None);
            }
            let state = if dead { WorkState::Dead } else { WorkState::Retry };
            let record = WorkRecord { state, attempts, due, error: message.clone() };
            txn.put_work(namespace, slot, artefact as u8, &record)?;
            if dead {
                GraphWriter::new(txn, &names, namespace).give_up(artefact, slot)?;
            }
            Ok((!dead).then_some(due))
        })?;
        let mut state = self.state();
        *state.failed.entry(artefact).or_default() += 1;
        state.last_event = format!("{} failed: {error}", artefact.name());
        match due {
            Some(due) => state.backoff.insert(work, due),
            None => state.backoff.remove(&work),
        };
        self.progress.notify_all();
        Ok(())
    }

    // ---- what users ask

    /// Waits until everything that waits now is done or given up; false when time ran out.
    /// `interrupted` is asked now and then.
    pub fn wait_idle(
        &self,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let ticket = {
            let mut state = self.state();
            state.draining += 1;
            state.asked += 1;
            state.asked
        };
        self.wake.notify_one();
        let outcome = loop {
            let state = self.state();
            if state.quiet >= ticket || state.stop {
                break Ok(state.quiet >= ticket);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break Ok(false);
            }
            let slice = left.unwrap_or(Duration::MAX).min(Duration::from_millis(50));
            drop(self.progress.wait_timeout(state, slice));
            if let Err(error) = interrupted() {
                break Err(error);
            }
        };
        self.state().draining -= 1;
        outcome
    }

    /// Waits for the next thing to be done.
    pub fn wait_progress(&self, timeout: Duration) {
        let state = self.state();
        if !state.stop {
            drop(self.progress.wait_timeout(state, timeout));
        }
    }

    /// State of an artefact of a node.
    pub fn artefact(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        slot: Slot,
        artefact: Artefact,
    ) -> Result<ArtefactState> {
        let unavailable = self.state().unavailable.as_ref().map(|(error, _)| error.clone());
        artefact_state(snapshot, namespace, slot, artefact, unavailable)
    }

    /// Everything that was given up, and what cannot be done at all.
    pub fn failures(&self, snapshot: &Snapshot) -> Result<Vec<Failure>> {
        let mut out = dead_letters(snapshot)?;
        let unavailable = self.state().unavailable.as_ref().map(|(error, _)| error.clone());
        if let Some(error) = unavailable {
            for artefact in [Artefact::Embedding, Artefact::Entities, Artefact::Summary] {
                snapshot.pending(artefact as u8, |namespace, _| {
                    let error = error.clone();
                    out.push(Failure { namespace, id: None, artefact, attempts: 0, error });
                    false
                })?;
            }
        }
        Ok(out)
    }

    /// Gives everything that failed another try; how many there were.
    pub fn retry_failed(&self) -> Result<u64> {
        let names = self.names;
        let count = self.store.write(move |txn| {
            let mut failed = Vec::new();
            txn.scan_work(|namespace, slot, artefact, _| {
                failed.push((namespace, slot, artefact));
                Ok(())
            })?;
            for (namespace, slot, byte) in &failed {
                txn.delete_work(*namespace, *slot, *byte)?;
                let artefact = Artefact::ALL.into_iter().find(|known| *known as u8 == *byte);
                if let Some(artefact) = artefact {
                    GraphWriter::new(txn, &names, *namespace).mark(artefact, *slot)?;
                }
            }
            Ok(failed.len() as u64)
        })?;
        let mut state = self.state();
        state.backoff.clear();
        state.unavailable = None;
        drop(state);
        self.wake.notify_one();
        Ok(count)
    }

    /// Sets the level.
    pub fn set_level(&self, level: ActivityLevel) {
        let mut state = self.state();
        state.level = level;
        state.last_event = format!("activity level {}", level.name());
        drop(state);
        self.wake.notify_one();
    }

    /// Stops taking work after the batch in hand.
    pub fn pause(&self) {
        self.state().paused = true;
    }

    /// Goes on.
    pub fn resume(&self) {
        self.state().paused = false;
        self.wake.notify_all();
    }

    /// What it is doing.
    pub fn status(&self, snapshot: &Snapshot) -> Result<Status> {
        let mut dead: HashMap<Artefact, u64> = HashMap::new();
        for failure in dead_letters(snapshot)? {
            *dead.entry(failure.artefact).or_default() += 1;
        }
        let mut per_job = Vec::new();
        let (mut queue_size, mut oldest) = (0, None::<i64>);
        for artefact in Artefact::ALL {
            let mut pending = 0;
            let mut first = None;
            snapshot.pending(artefact as u8, |namespace, container| {
                pending += container.len() as u64;
                first = first.or_else(|| Some((namespace, container.slots().next()?)));
                true
            })?;
            if let Some((namespace, slot)) = first
                && let Some(node) = snapshot.node(namespace, Slot(slot))?
            {
                oldest = Some(oldest.unwrap_or(i64::MAX).min(node.updated_at));
            }
            queue_size += pending;
            let state = self.state();
            let count = |counts: &HashMap<_, u64>| counts.get(&artefact).copied().unwrap_or(0);
            per_job.push((
                artefact.name(),
                JobCounts {
                    pending,
                    running: 0,
                    done: count(&state.done),
                    failed: count(&state.failed),
                    dead: count(&dead),
                },
            ));
        }
        let state = self.state();
        let embedded = state.done.get(&Artefact::Embedding).copied().unwrap_or(0);
        let busy = state.busy.as_secs_f64().min(state.started.elapsed().as_secs_f64());
        Ok(Status {
            active_workers: u64::from(state.working),
            queue_size,
            last_event: state.last_event.clone(),
            activity_level: levels::effective(state.level, state.last_call).name(),
            per_job,
            lag_seconds: oldest.map_or(0.0, |at| (clock::now() - at).max(0) as f64 / 1e6),
            throughput: if busy > 0.0 { embedded as f64 / busy } else { 0.0 },
        })
    }
}

/// State of an artefact as the store tells it; `unavailable` is why pending work cannot be done.
pub fn artefact_state(
    snapshot: &Snapshot,
    namespace: NamespaceId,
    slot: Slot,
    artefact: Artefact,
    unavailable: Option<String>,
) -> Result<ArtefactState> {
    if let Some(work) = snapshot.work(namespace, slot, artefact as u8)?
        && work.state == WorkState::Dead
    {
        return Ok(ArtefactState::Failed(work.error));
    }
    if !is_pending(snapshot, namespace, artefact, slot)? {
        if artefact == Artefact::Links {
            // Links are due once the entities are there.
            return artefact_state(snapshot, namespace, slot, Artefact::Entities, unavailable);
        }
        return Ok(ArtefactState::Ready);
    }
    let needs_model = artefact != Artefact::Links;
    Ok(match unavailable.filter(|_| needs_model) {
        Some(error) => ArtefactState::Failed(error),
        None => ArtefactState::Pending,
    })
}

/// Everything that was given up.
pub fn dead_letters(snapshot: &Snapshot) -> Result<Vec<Failure>> {
    let mut out = Vec::new();
    snapshot.scan_work(|namespace, slot, artefact, work| {
        let artefact = Artefact::ALL.into_iter().find(|known| *known as u8 == artefact);
        if let (WorkState::Dead, Some(artefact)) = (work.state, artefact) {
            let id = snapshot.node(namespace, slot)?.map(|node| node.id.to_owned());
            let (attempts, error) = (work.attempts, work.error);
            out.push(Failure { namespace, id, artefact, attempts, error });
        }
        Ok(())
    })?;
    Ok(out)
}

/// A model function that panics has failed like any other.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = format!("a model function panicked: {}", panic_text(&*panic));
        Err(Error::EnrichmentFailed { message })
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
