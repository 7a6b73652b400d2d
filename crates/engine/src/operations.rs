//! Enrichment and figures from the handle's point of view.

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_db_common::{ActivityLevel, Error, NamespaceId, Result, Slot, SpaceId, Symbol};
use embedded_db_indexing::graph::Artefact;
use embedded_db_indexing::recipes::Recipes;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{
    Direction, Event, Progress, ReadEmbeddings, ReadSpaces, ReadTxn, ReadWork, Renewed, Snapshot,
    SpaceRecord, Visible, read_black_box, row_counts,
};
use embedded_db_weaver::{
    ArtefactState, Failure, JobCounts, Status, Weaver, artefact_state, dead_letters, given_up,
    reembedding_status,
};

use crate::database::Database;
use crate::expiry::JOB;
use crate::observing::{CallCounts, Op};
use crate::quotas::QuotaUse;
use crate::reads::{live_edges, live_nodes};
use crate::sharing::{Shared, forward};

/// Longest wait between two looks at an artefact.
const LOOK: Duration = Duration::from_millis(20);
/// The level where there is no weaver.
const OFF: &str = "off";

/// Figures of a database.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Nodes of the namespace.
    pub nodes: u64,
    /// Edges of the namespace.
    pub edges: u64,
    /// Vectors of the namespace.
    pub embeddings: u64,
    /// LSN of the last change.
    pub lsn: u64,
    /// Commits that were acknowledged and are not on the disk yet, where that is known.
    pub unsynced_commits: Option<u64>,
    /// Bytes of the data file.
    pub file_bytes: u64,
    /// Bytes of memory held by the views.
    pub view_bytes: u64,
    /// Vectors that a model computed.
    pub vectors_computed: u64,
    /// Vectors taken over from an equal text.
    pub vectors_reused: u64,
    /// Name of the vector kernels in use.
    pub kernels: String,
    /// Rows of each table, all namespaces.
    pub tables: Vec<(&'static str, u64)>,
    /// Seconds since the database was opened.
    pub up_seconds: f64,
    /// How much is used of what may have a quota.
    pub quota: Vec<QuotaUse>,
    /// How often this process was asked for what.
    pub calls: Vec<CallCounts>,
    /// Whether it is shared, and by whom it is written.
    pub shared: Option<Shared>,
}

impl Database {
    fn weaver(&self) -> Result<Option<Arc<Weaver>>> {
        Ok(self.engine()?.weaver().cloned())
    }

    /// The weaver, for calls that make no sense without one.
    fn require_weaver(&self) -> Result<Arc<Weaver>> {
        self.weaver()?.ok_or_else(|| {
            Error::InvalidInput(
                "there is no weaver: the database is open with ml=None or read_only=True".into(),
            )
        })
    }

    /// Who has a model and shares the database waits for nothing that the process which writes does not do.
    fn require_enrichment(&self) -> Result<()> {
        let has_model = !self.engine()?.embedders.is_empty();
        let Some(Shared::Forwards(pid)) = self.shared()?.filter(|_| has_model) else {
            return Ok(());
        };
        let status = self.weaver_status()?;
        if status.activity_level != OFF || status.queue_size == 0 {
            return Ok(());
        }
        Err(Error::ModelUnavailable {
            message: format!(
                "{} jobs wait, and the process that writes (pid {pid}) has the database open with ml=None; \
                 open it there with a model, or close it there",
                status.queue_size
            ),
        })
    }

    /// What the weaver is doing.
    pub fn weaver_status(&self) -> Result<Status> {
        forward!(self, WeaverStatus {});
        let engine = self.engine()?;
        let snapshot = engine.store.read()?;
        let expiring = (JOB, engine.expiry_worker.work.counts(&snapshot)?);
        if let Some(weaver) = engine.weaver() {
            let mut status = weaver.status(&snapshot)?;
            status.queue_size += expiring.1.pending;
            status.per_job.push(expiring);
            return Ok(status);
        }
        let mut per_job = Vec::new();
        for artefact in Artefact::ALL {
            let mut counts = JobCounts::default();
            snapshot.pending(artefact as u8, |_, container| {
                counts.pending += container.len() as u64;
                true
            })?;
            per_job.push((artefact.name(), counts));
        }
        per_job.push(expiring);
        for (artefact, count) in given_up(&snapshot)? {
            let of = per_job.iter_mut().find(|(known, _)| *known == artefact.name());
            of.into_iter().for_each(|(_, counts)| counts.dead += count);
        }
        Ok(Status {
            active_workers: 0,
            paused: false,
            queue_size: per_job
                .iter()
                .filter(|(name, _)| !Artefact::parse(name).is_ok_and(Artefact::is_of_leisure))
                .map(|(_, counts)| counts.pending)
                .sum(),
            last_event: "off".into(),
            activity_level: OFF,
            per_job,
            lag_seconds: 0.0,
            throughput: 0.0,
            reembedding: reembedding_status(&snapshot, &engine.names)?,
            limits: Vec::new(),
        })
    }

    /// Sets the activity level.
    pub fn set_activity_level(&self, level: &str) -> Result<()> {
        forward!(self, SetActivityLevel { level: level.into() });
        let level = ActivityLevel::parse(level)?;
        self.require_weaver()?.set_level(level);
        Ok(())
    }

    /// State of each artefact of a node.
    pub fn artefact_status(&self, id: &str) -> Result<Vec<(&'static str, ArtefactState)>> {
        let engine = self.engine()?;
        let snapshot = engine.views.read(&engine.store, self.namespace_id())?;
        let namespace = self.namespace_id();
        let slot = snapshot.require_node(namespace, id)?;
        let Some(node) = snapshot.node(namespace, slot)? else {
            return Err(Error::NotFound { kind: "node", id: id.to_owned() });
        };
        let labels: Vec<Symbol> = node.labels().collect();
        let artefacts: &[Artefact] = if node.has_label(engine.names.message) {
            &[Artefact::Embedding, Artefact::Entities, Artefact::Links]
        } else if node.has_label(engine.names.chat) {
            &[Artefact::Summary]
        } else if Recipes::read(&snapshot, namespace)?.embeds(&labels) {
            &[Artefact::Embedding]
        } else {
            &[]
        };
        let state = |artefact| match engine.weaver() {
            Some(weaver) => weaver.artefact(&snapshot, namespace, slot, artefact),
            None => artefact_state(&snapshot, namespace, slot, artefact, None),
        };
        let mut states = Vec::with_capacity(artefacts.len());
        for artefact in artefacts {
            let mut found = state(*artefact)?;
            // One that covers what has expired is not seen, and is made anew when that is deleted.
            if *artefact == Artefact::Summary
                && found == ArtefactState::Ready
                && hides_summary(&snapshot, &engine.names, namespace, slot)?
            {
                found = ArtefactState::Pending;
            }
            states.push((artefact.name(), found));
        }
        Ok(states)
    }

    /// Waits until no work is left to the weaver, no index to build, and nothing to remove that has
    /// expired; false when time ran out.
    pub fn wait_idle(
        &self,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        self.require_enrichment()?;
        forward!(self, WaitIdle { timeout });
        let engine = self.engine()?;
        if let Some(weaver) = engine.weaver() {
            refuse_to_wait_for_oneself(weaver)?;
        }
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        if !engine.index_worker.wait_idle(deadline, interrupted)? {
            return Ok(false);
        }
        if !engine.expiry_worker.wait_idle(deadline, interrupted)? {
            return Ok(false);
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match engine.weaver() {
            Some(weaver) => weaver.wait_idle(left, interrupted),
            None => Ok(true),
        }
    }

    /// Waits for one artefact of a node; false when time ran out.
    pub fn wait_for(
        &self,
        id: &str,
        artefact: &str,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        self.require_enrichment()?;
        forward!(self, WaitFor { id: id.into(), artefact: artefact.into(), timeout });
        let artefact = Artefact::parse(artefact)?;
        let weaver = self.require_weaver()?;
        refuse_to_wait_for_oneself(&weaver)?;
        let refusals = weaver.refusals();
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        // These are made at every level; what is not might wait for as long as others call.
        let always = [Artefact::Embedding, Artefact::Entities].contains(&artefact);
        let _wanted = (!always).then(|| weaver.wanted());
        loop {
            let states = self.artefact_status(id)?;
            match states.into_iter().find(|(name, _)| *name == artefact.name()) {
                None => {
                    return Err(Error::InvalidInput(format!(
                        "the node {id:?} has no {}; messages have embedding, entities and links, \
                         chats have a summary",
                        artefact.name()
                    )));
                }
                Some((_, ArtefactState::Ready)) => return Ok(true),
                Some((_, ArtefactState::Failed(error))) => {
                    return Err(Error::EnrichmentFailed {
                        message: format!("the {} of {id:?} failed: {error}", artefact.name()),
                    });
                }
                Some((_, ArtefactState::Pending)) => {}
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(false);
            }
            weaver.wait_progress(LOOK);
            weaver.refused_since(refusals, self.namespace_name())?;
            interrupted()?;
        }
    }

    /// Work that was given up, or cannot be done, with the names of the namespaces.
    pub fn failures(&self) -> Result<Vec<(String, Failure)>> {
        forward!(self, Failures {});
        let engine = self.engine()?;
        let snapshot = engine.store.read()?;
        let found = match engine.weaver() {
            Some(weaver) => weaver.failures(&snapshot)?,
            None => dead_letters(&snapshot)?,
        };
        let namespaces = snapshot.namespaces()?;
        let name = |failure: &Failure| {
            let found = namespaces.iter().find(|(_, id)| *id == failure.namespace);
            found.map_or_else(String::new, |(name, _)| name.clone())
        };
        Ok(found.into_iter().map(|failure| (name(&failure), failure)).collect())
    }

    /// Gives everything that failed another try; how many there were.
    pub fn retry_failed(&self) -> Result<u64> {
        forward!(self, RetryFailed {});
        self.require_weaver()?.retry_failed()
    }

    /// Takes no further work until `resume_weaver`.
    pub fn pause_weaver(&self) -> Result<()> {
        forward!(self, PauseWeaver {});
        self.require_weaver()?.pause();
        Ok(())
    }

    /// Goes on.
    pub fn resume_weaver(&self) -> Result<()> {
        forward!(self, ResumeWeaver {});
        self.require_weaver()?.resume();
        Ok(())
    }

    /// All embedding spaces, whether each is the default one, and what it is for: `in use`, `filling` while texts
    /// are embedded into it, or `kept`.
    pub fn spaces(&self) -> Result<Vec<(SpaceRecord, bool, &'static str)>> {
        let snapshot = self.engine()?.store.read()?;
        let (default, current) = (snapshot.default_space()?, snapshot.model_space()?);
        let next = snapshot.next_space()?;
        let spaces = snapshot.live_spaces()?;
        let told = |(id, space): (SpaceId, SpaceRecord)| {
            let id = Some(id);
            let state = if id == next {
                "filling"
            } else if id == current || id == default {
                "in use"
            } else {
                "kept"
            };
            (space, id == default, state)
        };
        Ok(spaces.into_iter().map(told).collect())
    }

    /// Writes everything anew, without the room of what is gone. Readers and writers go on meanwhile.
    pub fn compact(&self, progress: &mut Progress<'_>) -> Result<Renewed> {
        let engine = self.engine()?;
        self.check_writable()?;
        self.check_holds("compact it")?;
        let compact = || engine.store.compact(progress);
        let renewed = engine.observer.call(Op::Compact, compact)?;
        engine.seal_worker.look();
        Ok(renewed)
    }

    /// The same, and nothing stays in any file of what was deleted before.
    pub fn scrub(&self, progress: &mut Progress<'_>) -> Result<Renewed> {
        let engine = self.engine()?;
        self.check_writable()?;
        self.check_holds("scrub it")?;
        let scrub = || engine.store.scrub(engine.names.symbols(), progress);
        let renewed = engine.observer.call(Op::Scrub, scrub)?;
        engine.seal_worker.look();
        Ok(renewed)
    }

    /// The last events of the database, oldest first, whichever process wrote them. There are none where none
    /// was ever written down.
    pub fn black_box(&self) -> Result<Vec<Event>> {
        match read_black_box(self.engine()?.store.path()) {
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            read => read,
        }
    }

    /// Figures of the namespace and the database.
    pub fn stats(&self) -> Result<Stats> {
        let engine = self.engine()?;
        let snapshot = engine.views.read(&engine.store, self.namespace_id())?;
        let own = snapshot.namespace_counters(self.namespace_id())?;
        let all = snapshot.counters()?;
        Ok(Stats {
            nodes: live_nodes(&snapshot, self.namespace_id())?,
            edges: live_edges(&snapshot, self.namespace_id())?,
            embeddings: own.embeddings,
            lsn: all.lsn,
            unsynced_commits: engine.store.unsynced(),
            file_bytes: engine.store.file_size()?,
            view_bytes: (engine.views.memory_bytes() + engine.edges.memory_bytes()) as u64,
            vectors_computed: all.vectors_computed,
            vectors_reused: all.vectors_reused,
            kernels: format!("{:?}", engine.views.kernels().isa()),
            tables: row_counts(&snapshot)?,
            quota: self.quota_use()?,
            up_seconds: engine.observer.up_seconds(),
            calls: engine.observer.calls(),
            shared: self.shared()?,
        })
    }
}

/// Whether a chat has a summary that is not seen.
fn hides_summary(
    snapshot: &Snapshot,
    names: &Names,
    namespace: NamespaceId,
    chat: Slot,
) -> Result<bool> {
    let Some(hidden) = snapshot.hidden(namespace) else { return Ok(false) };
    let (mut hides, of) = (false, Some(names.summarizes));
    let all = Visible::all(snapshot);
    all.neighbors(namespace, chat, Direction::In, of, |_, end| {
        hides |= hidden.has(end.node);
        true
    })?;
    Ok(hides)
}

/// A model function that waits for enrichment on the weaver's thread would wait for its own end.
fn refuse_to_wait_for_oneself(weaver: &Weaver) -> Result<()> {
    if weaver.is_caller() {
        return Err(Error::InvalidInput(
            "a model function waits for the enrichment that it is a part of; return from it first, \
             and wait elsewhere"
                .into(),
        ));
    }
    Ok(())
}
