//! What the weaver is doing, how far each artefact is, and what was given up.

use std::collections::HashMap;
use std::time::Instant;

use embedded_db_common::{NamespaceId, Result, Slot, clock};
use embedded_db_indexing::graph::{Artefact, GraphWriter, is_pending};
use embedded_db_storage::{ReadTxn, ReadWork, Snapshot, WorkState};

use super::{Weaver, reembedding_status};
use crate::limits::{Function, LimitStatus, Limits};

/// Nodes of a namespace among which the oldest is looked for: they are worked on in the order of their slots.
const LOOKED_AT: usize = 100;

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

/// How far texts are embedded into the space of another model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reembedding {
    /// The space of that model.
    pub space: String,
    /// The space in use.
    pub from: String,
    /// Nodes that were looked at.
    pub done: u64,
    /// All nodes that may have a text.
    pub total: u64,
    /// Those that were given up.
    pub failed: u64,
}

/// What the weaver is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Workers inside a batch now.
    pub active_workers: u64,
    /// Whether it takes up no work until it is told to go on.
    pub paused: bool,
    /// All that waits, but for what is made when nothing else is to be done.
    pub queue_size: u64,
    /// The last thing that happened.
    pub last_event: String,
    /// The level in force.
    pub activity_level: &'static str,
    /// Counts by kind.
    pub per_job: Vec<(&'static str, JobCounts)>,
    /// Age of the oldest message that waits, among the first of each namespace.
    pub lag_seconds: f64,
    /// Messages embedded a second of work.
    pub throughput: f64,
    /// How far texts are embedded into the space of another model; `None` when they are not.
    pub reembedding: Option<Reembedding>,
    /// Each function that has limits.
    pub limits: Vec<LimitStatus>,
}

impl Weaver {
    /// State of an artefact of a node.
    pub fn artefact(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        slot: Slot,
        artefact: Artefact,
    ) -> Result<ArtefactState> {
        // Links are due once the entities are there.
        let made = if artefact == Artefact::Links { Artefact::Entities } else { artefact };
        if self.is_off(made) {
            // Nothing is to be made. What was given up before is given up.
            let given_up = snapshot.work(namespace, slot, made as u8)?;
            let given_up = given_up.filter(|work| work.state == WorkState::Dead);
            return Ok(given_up.map_or(ArtefactState::Ready, |it| ArtefactState::Failed(it.error)));
        }
        artefact_state(snapshot, namespace, slot, artefact, self.unavailable(made))
    }

    /// Why the function that makes an artefact cannot be called now.
    fn unavailable(&self, artefact: Artefact) -> Option<String> {
        let function = Function::of(artefact)?;
        self.state().unavailable.get(&function).map(|(error, _)| error.clone())
    }

    /// Everything that was given up, and what cannot be done at all.
    pub fn failures(&self, snapshot: &Snapshot) -> Result<Vec<Failure>> {
        let mut out = dead_letters(snapshot)?;
        for artefact in Artefact::ALL {
            if let Some(error) = self.unavailable(artefact) {
                snapshot.pending(artefact as u8, |namespace, _| {
                    let error = error.clone();
                    out.push(Failure { namespace, id: None, artefact, attempts: 0, error });
                    false
                })?;
            }
        }
        Ok(out)
    }

    /// Gives everything that failed another try at once; how much of it was given up.
    pub fn retry_failed(&self) -> Result<u64> {
        let names = self.names;
        let count = self.store.write(move |txn| {
            let mut failed = Vec::new();
            txn.scan_work(|namespace, slot, artefact, work| {
                failed.push((namespace, slot, artefact, work.state));
                Ok(())
            })?;
            let mut given_up = 0;
            for (namespace, slot, byte, state) in &failed {
                given_up += u64::from(*state == WorkState::Dead);
                txn.delete_work(*namespace, *slot, *byte)?;
                if let Some(artefact) = Artefact::of(*byte) {
                    GraphWriter::new(txn, &names, *namespace).mark(artefact, *slot)?;
                }
            }
            Ok(given_up)
        })?;
        self.waiting().wait_no_more();
        self.state().unavailable.clear();
        self.wake.notify_one();
        Ok(count)
    }

    /// What it is doing.
    pub fn status(&self, snapshot: &Snapshot) -> Result<Status> {
        let dead = given_up(snapshot)?;
        let mut per_job = Vec::new();
        let (mut queue_size, mut oldest) = (0, None::<i64>);
        for artefact in Artefact::ALL {
            let mut pending = 0;
            let mut first: Vec<(NamespaceId, Slot)> = Vec::new();
            snapshot.pending(artefact as u8, |namespace, container| {
                pending += container.len() as u64;
                let known = first.iter().filter(|(of, _)| *of == namespace).count();
                let slots = container.slots().take(LOOKED_AT.saturating_sub(known));
                first.extend(slots.map(|slot| (namespace, Slot(slot))));
                true
            })?;
            if self.is_off(artefact) {
                (pending, first) = (0, Vec::new());
            }
            // What is embedded again is found meanwhile.
            if artefact == Artefact::Reembedding || artefact.is_of_leisure() {
                first.clear();
            }
            for (namespace, slot) in first {
                if let Some(node) = snapshot.node(namespace, slot)? {
                    oldest = Some(oldest.unwrap_or(i64::MAX).min(node.updated_at));
                }
            }
            queue_size += if artefact.is_of_leisure() { 0 } else { pending };
            let state = self.state();
            let count = |counts: &HashMap<_, u64>| counts.get(&artefact).copied().unwrap_or(0);
            per_job.push((
                artefact.name(),
                JobCounts {
                    pending,
                    running: count(&state.running),
                    done: count(&state.done),
                    failed: count(&state.failed),
                    dead: count(&dead),
                },
            ));
        }
        let reembedding = reembedding_status(snapshot, &self.names)?;
        let mut limits = self.models.limits().map(Limits::status).unwrap_or_default();
        for limit in &mut limits {
            let waits = |(job, counts): &(&str, JobCounts)| {
                let function = Artefact::parse(job).ok().and_then(Function::of);
                function == Some(limit.function) && counts.pending > 0
            };
            limit.waits = limit.waits.filter(|_| per_job.iter().any(waits));
        }
        let state = self.state();
        let done = |artefact| state.done.get(&artefact).copied().unwrap_or(0);
        let embedded = done(Artefact::Embedding) + done(Artefact::Reembedding);
        let busy = state.busy.as_secs_f64().min(state.started.elapsed().as_secs_f64());
        Ok(Status {
            active_workers: u64::from(state.working),
            paused: state.paused,
            queue_size,
            last_event: state.last_event.clone(),
            activity_level: state.activity.level(Instant::now()).name(),
            per_job,
            lag_seconds: oldest.map_or(0.0, |at| (clock::now() - at).max(0) as f64 / 1e6),
            throughput: if busy > 0.0 { embedded as f64 / busy } else { 0.0 },
            reembedding,
            limits,
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
    Ok(match unavailable.filter(|_| artefact.needs_model()) {
        Some(error) => ArtefactState::Failed(error),
        None => ArtefactState::Pending,
    })
}

/// How much was given up of each kind.
pub fn given_up(snapshot: &Snapshot) -> Result<HashMap<Artefact, u64>> {
    let mut out = HashMap::new();
    snapshot.scan_work(|_, _, artefact, work| {
        if let (WorkState::Dead, Some(artefact)) = (work.state, Artefact::of(artefact)) {
            *out.entry(artefact).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(out)
}

/// Everything that was given up.
pub fn dead_letters(snapshot: &Snapshot) -> Result<Vec<Failure>> {
    let mut out = Vec::new();
    snapshot.scan_work(|namespace, slot, artefact, work| {
        if let (WorkState::Dead, Some(artefact)) = (work.state, Artefact::of(artefact)) {
            let id = snapshot.node(namespace, slot)?.map(|node| node.id.to_owned());
            let (attempts, error) = (work.attempts, work.error);
            out.push(Failure { namespace, id, artefact, attempts, error });
        }
        Ok(())
    })?;
    Ok(out)
}
