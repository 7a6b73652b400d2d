//! The worker: what is due, in which order, and what happens when it fails.

mod caller;
mod controls;
mod jobs;
mod reembedding;
mod status;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use embedded_db_common::log::{self, Level};
use embedded_db_common::{ActivityLevel, Error, NamespaceId, Result, Slot, WeaverOptions};
use embedded_db_indexing::graph::{Artefact, MOST_MOVED};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadTxn, ReadWork, Snapshot, Store, panic_text, yield_to_others};

use crate::batch::Batch;
use crate::curiosity::{self, Nearest};
use crate::goal::{Goal, Previous, Target};
use crate::levels::{self, Activity};
use crate::limits::{Function, Limits};
use crate::models::Models;
use crate::running::Running;
use crate::said_before::SaidBefore;
use crate::topics::Communities;

pub use caller::{work_for, works_for};
pub use controls::Wanted;
pub use reembedding::reembedding_status;
pub use status::{
    ArtefactState, Failure, JobCounts, Reembedding, Status, artefact_state, dead_letters, given_up,
};

use waiting::Waiting;

/// How long a missing model is left alone before it is looked for again.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(30);
/// An instant cannot be as far away as a duration can be long.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 86_400);
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
    communities: Communities,
    nearest: Arc<dyn Nearest>,
    space: Option<Target>,
    previous: Option<Previous>,
    options: WeaverOptions,
    said: SaidBefore,
    running: Running,
    /// By which its threads know it.
    number: u64,
    /// Callers take it for a moment, and nothing is read meanwhile.
    state: Mutex<State>,
    waiting: Mutex<Waiting>,
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
    /// Work of the batch that is being done.
    running: HashMap<Artefact, u64>,
    activity: Activity,
    /// Writes that were told of: one that comes during a look at the store is not slept over.
    notified: u64,
    /// Callers that wait for everything: all work runs, whatever the level.
    draining: usize,
    /// Number of the newest request to report when all is done…
    asked: u64,
    /// …and of the newest that was answered.
    quiet: u64,
    /// How often the store has refused what was to be written…
    refusals: u64,
    /// …and the last time why, and how often in a row.
    refusal: Option<(Error, u32)>,
    /// For each quota, which has a namespace or not, which refusal was its last, and what it said.
    quotas: BTreeMap<Option<String>, (u64, Error)>,
    /// Functions that could not be called: why, and when.
    unavailable: HashMap<Function, (String, Instant)>,
    /// When the model of before could not be used.
    previous_unavailable: Option<Instant>,
    /// Topics are left alone until then.
    topics_rest: Option<Instant>,
    last_event: String,
    done: HashMap<Artefact, u64>,
    failed: HashMap<Artefact, u64>,
    started: Instant,
    busy: Duration,
}

/// What a look at the store led to.
enum Turn {
    Worked,
    /// Nothing can be done now; whether something waits for its time.
    Idle {
        waiting: bool,
    },
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    Error::Internal(format!("the weaver panicked: {}", panic_text(panic)))
}

impl Weaver {
    /// Starts the worker. `space` is where the models' vectors go, with its dimension; `previous` makes those of
    /// the space in use while that is another one.
    #[allow(clippy::too_many_arguments)]
    pub fn start(
        store: Arc<Store>,
        names: Names,
        models: Arc<dyn Models>,
        communities: Communities,
        nearest: Arc<dyn Nearest>,
        space: Option<Target>,
        previous: Option<Previous>,
        options: WeaverOptions,
        warm_up: bool,
    ) -> Result<Arc<Self>> {
        let now = Instant::now();
        let snapshot = store.read()?;
        let (running, suspects) = Running::open(store.path(), snapshot.generation().number())?;
        let waiting = Mutex::new(Waiting::new(&snapshot, &options, suspects)?);
        drop(snapshot);
        let state = State {
            stop: false,
            paused: false,
            working: false,
            running: HashMap::new(),
            activity: Activity::new(options.activity_level, now),
            notified: 0,
            draining: 0,
            asked: 0,
            quiet: 0,
            refusals: 0,
            refusal: None,
            quotas: BTreeMap::new(),
            unavailable: HashMap::new(),
            previous_unavailable: None,
            topics_rest: None,
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
            communities,
            nearest,
            space,
            previous,
            options,
            said: SaidBefore::default(),
            running,
            number: caller::number(),
            state: Mutex::new(state),
            waiting,
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
        if let Some(thread) = thread.filter(|_| !self.is_caller()) {
            // The worker catches what its batches throw; if it died all the same, it is gone.
            drop(thread.join());
        }
    }

    /// Whether the caller works for it: a model function that asks the database.
    pub fn is_caller(&self) -> bool {
        works_for() == self.number
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Never while the state is held.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    // ---- the worker

    fn run(&self, warm_up: bool) {
        work_for(self.number);
        if warm_up {
            let warmed = catch_unwind(AssertUnwindSafe(|| self.models.warm_up()));
            if let Err(error) = warmed.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                // Which of the functions it is, their first calls tell.
                self.note_event(format!("failed: {error}"));
            }
        }
        // After the models are loaded: threads that they have begun work for queries, too.
        yield_to_others();
        loop {
            let (asked, notified, level, draining) = {
                let mut state = self.state();
                while state.paused && !state.stop {
                    state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.stop {
                    return;
                }
                let level = state.activity.level(Instant::now());
                (state.asked, state.notified, level, state.draining > 0)
            };
            // A defect of ours must not end the enrichment of everything for good.
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn(level, draining)))
                .unwrap_or_else(|panic| Err(panicked(&*panic)));
            let again = self.look_again();
            let mut state = self.state();
            state.working = false;
            state.running.clear();
            if turn.is_ok() {
                state.refusal = None;
            }
            match turn {
                Ok(Turn::Worked) => {}
                Ok(Turn::Idle { waiting }) => {
                    if !waiting {
                        state.quiet = asked;
                        self.progress.notify_all();
                    }
                    if (state.asked, state.notified) == (asked, notified) && !state.stop {
                        drop(self.wake.wait_timeout(state, again));
                    }
                }
                Err(error) => {
                    // The store refused: nothing was lost, it is tried again. Whoever waits for it
                    // is told, for it may stay so.
                    log::log(Level::Warning, "weaver", "the store refuses its work", || {
                        [("error", error.code().into())]
                    });
                    state.last_event = format!("failed: {error}");
                    let before = state.refusal.as_ref().map_or(0, |(_, in_a_row)| *in_a_row);
                    state.refusals += 1;
                    state.refusal = Some((error, before + 1));
                    self.progress.notify_all();
                    if (state.asked, state.notified) == (asked, notified) && !state.stop {
                        let pause = IDLE_SLEEP.saturating_mul(1 << before.min(6));
                        drop(self.wake.wait_timeout(state, pause));
                    }
                }
            }
        }
    }

    /// In how long something that waits may be due.
    fn look_again(&self) -> Duration {
        let previous = self.previous.as_ref().map(|previous| &previous.models);
        let limits = [Some(&self.models), previous].into_iter().flatten();
        let limits = limits.filter_map(|models| models.limits().and_then(Limits::look_again));
        let due = self.waiting().look_again().into_iter().chain(limits).min();
        due.map_or(IDLE_SLEEP, |due| {
            let left = due.saturating_duration_since(Instant::now());
            left.clamp(Duration::from_millis(1), IDLE_SLEEP)
        })
    }

    /// One look at the store and at most one batch.
    fn turn(&self, level: ActivityLevel, draining: bool) -> Result<Turn> {
        let runs = |artefact| draining || levels::runs(level, artefact);
        // Who waits for all of it would wait longer for smaller calls.
        let of_level = levels::batch_size(level, self.options.batch_size);
        let size = if draining { self.options.batch_size } else { of_level };
        // Who waits for the end of it counts on what was written before.
        let snapshot =
            if draining { self.store.read_quietly()? } else { self.store.read_committed()? };
        let generation = snapshot.generation().number();
        {
            let mut waiting = self.waiting();
            if waiting.generation != generation {
                waiting.read_again(&snapshot, &self.options)?;
            }
        }
        let due = |artefact, most| self.waiting().due(&snapshot, artefact, most, draining);
        let goal = self.goal(&snapshot)?;
        let next = goal.filter(|goal| goal.artefact == Artefact::Reembedding);
        let mut waiting = false;
        if next.is_some() {
            let (picked, more) = self.next_as_before(&snapshot, size)?;
            waiting |= more;
            if let Some((batch, slots)) = picked {
                drop(snapshot);
                return self.traced("weaver.enrich", || self.enrich(&batch, &slots));
            }
        }
        for artefact in [Artefact::Embedding, Artefact::Entities] {
            let is_elsewhere =
                artefact == Artefact::Embedding && (goal.is_none() || next.is_some());
            if is_elsewhere || self.is_off(artefact) || !self.is_available(artefact) {
                continue;
            }
            if self.holds(artefact) {
                waiting |= any_pending(&snapshot, artefact)?;
                continue;
            }
            let (found, more) = due(artefact, size)?;
            waiting |= more;
            if let Some((namespace, mut slots)) = found {
                if self.is_given_up(&snapshot, namespace, &slots)? {
                    return Ok(Turn::Worked);
                }
                let batch = self.read(&snapshot, namespace, &mut slots, goal)?;
                drop(snapshot);
                return self.traced("weaver.enrich", || self.enrich(&batch, &slots));
            }
        }
        for (artefact, size) in [
            (Artefact::Decisions, MOST_MOVED),
            (Artefact::Resolution, MOST_MOVED),
            (Artefact::Links, size),
        ] {
            let (found, more) = due(artefact, size)?;
            waiting |= more;
            if let Some((namespace, slots)) = found
                && runs(artefact)
            {
                drop(snapshot);
                let follow = || self.follow(generation, namespace, artefact, &slots);
                return self.traced("weaver.link", follow);
            }
        }
        if self.holds(Artefact::Summary) && !self.is_off(Artefact::Summary) {
            waiting |= any_pending(&snapshot, Artefact::Summary)?;
        } else if !self.is_off(Artefact::Summary) && self.is_available(Artefact::Summary) {
            let (found, more) = due(Artefact::Summary, 1)?;
            waiting |= more && runs(Artefact::Summary);
            if let Some((namespace, slots)) = found
                && runs(Artefact::Summary)
            {
                if self.is_given_up(&snapshot, namespace, &slots)? {
                    return Ok(Turn::Worked);
                }
                drop(snapshot);
                let summarize = || self.summarize(generation, namespace, slots[0]);
                return self.traced("weaver.summarize", summarize);
            }
        }
        if let Some(namespace) = self.topics_due(&snapshot, level, draining)? {
            drop(snapshot);
            return self.traced("weaver.topics", || self.group(generation, namespace));
        }
        if self.is_curious(level) {
            let (found, _) = due(Artefact::Curiosity, curiosity::STEP)?;
            if let Some((namespace, slots)) = found {
                drop(snapshot);
                let look = || self.look_around(generation, namespace, &slots);
                return self.traced("weaver.curiosity", look);
            }
        }
        let Some(next) = next else { return Ok(Turn::Idle { waiting }) };
        if self.holds(Artefact::Reembedding) {
            waiting |= any_pending(&snapshot, Artefact::Reembedding)?;
        } else if runs(Artefact::Reembedding) && self.is_available(Artefact::Reembedding) {
            let (picked, more) = self.pick(&snapshot, next, size)?;
            waiting |= more;
            if let Some((batch, slots)) = picked {
                drop(snapshot);
                return self.traced("weaver.reembed", || self.embed_again(&batch, &slots));
            }
        }
        drop(snapshot);
        if self.switch()? { Ok(Turn::Worked) } else { Ok(Turn::Idle { waiting }) }
    }

    /// Does some work, as a trace of its own where they are wanted.
    fn traced(&self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<Turn> {
        self.store.traced(name, work).map(|()| Turn::Worked)
    }

    /// The namespace whose topics are to be made now.
    fn topics_due(
        &self,
        snapshot: &Snapshot,
        level: ActivityLevel,
        draining: bool,
    ) -> Result<Option<NamespaceId>> {
        if !self.groups(level) {
            return Ok(None);
        }
        let rests = self.state().topics_rest.is_some_and(|until| until > Instant::now());
        if rests && !draining {
            return Ok(None);
        }
        let (due, _) = self.waiting().due(snapshot, Artefact::Topics, 1, draining)?;
        Ok(due.map(|(namespace, _)| namespace))
    }

    /// Whether topics are made at a level. They are at no other when somebody waits for all work: they are
    /// made of all that is said, however little of it is new.
    fn groups(&self, level: ActivityLevel) -> bool {
        self.options.topics && levels::runs(level, Artefact::Topics)
    }

    /// Whether ties are proposed at a level; not for somebody who waits for all work at another.
    fn is_curious(&self, level: ActivityLevel) -> bool {
        self.options.curiosity && levels::runs(level, Artefact::Curiosity)
    }

    fn previous_available(&self) -> bool {
        let since = self.state().previous_unavailable;
        since.is_none_or(|since| since.elapsed() >= UNAVAILABLE_RETRY)
    }

    /// Whether the function that makes an artefact is switched off: its work stays, and waits for nothing.
    fn is_off(&self, artefact: Artefact) -> bool {
        Function::of(artefact).is_some_and(|function| self.models.is_off(function))
    }

    /// Reads texts that wait, for what can be made of them.
    fn read(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        slots: &mut Vec<Slot>,
        goal: Option<Goal>,
    ) -> Result<Batch> {
        let batch = Batch::read(snapshot, &self.names, namespace, slots, goal)?;
        let is_off = self.is_off(Artefact::Entities);
        Ok(if is_off { batch.without(Artefact::Entities) } else { batch })
    }

    /// Whether the function that makes an artefact is at a limit.
    fn holds(&self, artefact: Artefact) -> bool {
        let limits = self.models.limits().zip(Function::of(artefact));
        limits.is_some_and(|(limits, function)| limits.holds(function))
    }

    /// Whether the function that makes an artefact may be called.
    fn is_available(&self, artefact: Artefact) -> bool {
        let Some(function) = Function::of(artefact) else { return true };
        let mut state = self.state();
        let since = state.unavailable.get(&function).map(|(_, since)| since.elapsed());
        if since.is_some_and(|since| since < UNAVAILABLE_RETRY) {
            return false;
        }
        state.unavailable.remove(&function);
        true
    }
}

fn any_pending(snapshot: &Snapshot, artefact: Artefact) -> Result<bool> {
    let mut any = false;
    snapshot.pending(artefact as u8, |_, _| {
        any = true;
        false
    })?;
    Ok(any)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
