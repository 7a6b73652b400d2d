//! One job from its call to its result: what is stored, and what happens when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use embedded_db_common::{Error, NamespaceId, Result, Slot, clock};
use embedded_db_indexing::graph::{Artefact, GraphWriter, is_pending};
use embedded_db_indexing::recipes::Recipes;
use embedded_db_storage::{ReadTxn, ReadWork, WorkRecord, WorkState, panic_text};

use super::{LONGEST_WAIT, Weaver, Work};
use crate::batch::{self, Batch, Outcome, Stored};
use crate::running::MOST_ENDS;
use crate::summary;

/// Where what takes no more bytes finds no room, the store is full: nothing else would find any.
const SMALL: usize = 1 << 20;

impl Weaver {
    /// Embeds and finds entities. When a batch fails, its items are tried one by one and artefact by
    /// artefact, so that only what really fails waits or is given up.
    pub(super) fn enrich(&self, batch: &Batch, slots: &[Slot]) -> Result<()> {
        let kinds = [batch.vectors(), Artefact::Entities];
        let Some(begun) = self.begin(kinds.map(|kind| (kind, batch.count(kind)))) else {
            return Ok(());
        };
        if batch.items.len() < slots.len() {
            self.forget_textless(batch, slots)?;
        }
        if batch.items.is_empty() {
            return Ok(());
        }
        match self.call(batch)? {
            Ok(outcomes) => self.put(batch, outcomes)?,
            Err(error) if self.is_unavailable_for(batch, &error) => {}
            Err(error) if batch.items.len() == 1 => self.enrich_apart(batch, &error)?,
            Err(_) => {
                for at in 0..batch.items.len() {
                    let single = batch.single(at);
                    match self.call(&single)? {
                        Ok(outcomes) => self.put(&single, outcomes)?,
                        Err(error) if self.is_unavailable_for(batch, &error) => break,
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
        let both = single.wants(single.vectors()) && single.wants(Artefact::Entities);
        for artefact in [single.vectors(), Artefact::Entities] {
            if !single.wants(artefact) {
                continue;
            }
            let answer = if both { self.call(&single.only(artefact))? } else { Err(error.clone()) };
            match answer {
                Ok(outcomes) => self.put(single, outcomes)?,
                Err(error) if self.is_unavailable_for(single, &error) => {}
                Err(error) => {
                    let work = (single.namespace, single.items[0].slot, artefact);
                    self.failed(single.generation, work, &error, Failed::ForNow)?;
                }
            }
        }
        Ok(())
    }

    /// What the models say, or how they failed.
    fn call(&self, batch: &Batch) -> Result<Result<Vec<Outcome>>> {
        let slots = batch.items.iter().map(|item| item.slot);
        let models = self.models_of(batch);
        let enrich = || batch.enrich(&self.store, models, &self.said);
        match self.watched(batch.generation, batch.namespace, slots, enrich)? {
            // What a call costs finds no room.
            Err(error) if is_full(&error) => Err(error),
            answer => Ok(answer),
        }
    }

    /// Calls a model for these nodes; should the process end meanwhile, the next one knows of them.
    fn watched<T>(
        &self,
        generation: u64,
        namespace: NamespaceId,
        slots: impl Iterator<Item = Slot> + Clone,
        call: impl FnOnce() -> Result<T>,
    ) -> Result<Result<T>> {
        let nodes = slots.map(|slot| (namespace, slot));
        let ends: Vec<_> = {
            let state = self.state();
            let ends = |node| state.suspects.get(&node).copied().unwrap_or(0);
            nodes.clone().map(|node| (node, ends(node))).collect()
        };
        self.running.begin(generation, ends.into_iter())?;
        let answer = caught(call);
        self.running.end()?;
        let mut state = self.state();
        for node in nodes {
            state.suspects.remove(&node);
        }
        Ok(answer)
    }

    /// Those of some nodes that are worked on together: one over which a process has ended is alone.
    pub(super) fn apart(&self, namespace: NamespaceId, slots: Vec<Slot>) -> Vec<Slot> {
        let state = self.state();
        let suspect = slots.iter().find(|slot| state.suspects.contains_key(&(namespace, **slot)));
        suspect.map_or_else(|| slots.clone(), |slot| vec![*slot])
    }

    /// Whether so many processes have ended over a node that its work is given up.
    pub(super) fn is_given_up(
        &self,
        generation: u64,
        namespace: NamespaceId,
        slots: &[Slot],
    ) -> Result<bool> {
        let [slot] = *slots else { return Ok(false) };
        let ends = self.state().suspects.get(&(namespace, slot)).copied();
        let Some(ends) = ends.filter(|ends| *ends >= MOST_ENDS) else { return Ok(false) };
        let error = Error::EnrichmentFailed {
            message: format!(
                "crashed while running: {ends} processes ended while a model was at it"
            ),
        };
        for artefact in Artefact::ALL.into_iter().filter(|it| *it != Artefact::Links) {
            if is_pending(&self.store.read()?, namespace, artefact, slot)? {
                self.failed(generation, (namespace, slot, artefact), &error, Failed::ForGood)?;
            }
        }
        self.state().suspects.remove(&(namespace, slot));
        Ok(true)
    }

    /// Stores what the models said in one write. When that is refused each part of it gets a write of
    /// its own, so that only what cannot be stored fails; the models are not asked again. It fails
    /// when the store takes nothing more: that is the fault of no text.
    fn put(&self, batch: &Batch, outcomes: Vec<Outcome>) -> Result<()> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let outcomes: Arc<[Outcome]> = outcomes.into();
        let (generation, namespace, goal) = (batch.generation, batch.namespace, batch.goal);
        let write = |outcomes| {
            batch::store_all(&self.store, &self.names, generation, namespace, goal, outcomes)
        };
        let stored = match write(Arc::clone(&outcomes)) {
            Ok(stored) => stored,
            Err(_) => {
                for (artefact, part) in outcomes.iter().flat_map(|it| it.apart(batch.vectors())) {
                    let (work, size) = ((batch.namespace, part.slot, artefact), part.size());
                    match write([part].into()) {
                        Ok(stored) => self.note_stored(batch.vectors(), stored),
                        Err(error) if is_full(&error) && size <= SMALL => return Err(error),
                        Err(error) => self.failed(generation, work, &error, Failed::ForNow)?,
                    }
                }
                return Ok(());
            }
        };
        self.note_stored(batch.vectors(), stored);
        Ok(())
    }

    fn note_stored(&self, vectors: Artefact, stored: Stored) {
        let mut state = self.state();
        *state.done.entry(vectors).or_default() += stored.embedded;
        *state.done.entry(Artefact::Entities).or_default() += stored.entities;
        if stored.embedded + stored.entities > 0 {
            state.last_event =
                format!("embedded {}, entities of {} messages", stored.embedded, stored.entities);
        }
    }

    /// Messages that lost their text, or nodes that are gone, wait for nothing.
    fn forget_textless(&self, batch: &Batch, slots: &[Slot]) -> Result<()> {
        let kept: Vec<Slot> = batch.items.iter().map(|item| item.slot).collect();
        let gone: Vec<Slot> = slots.iter().copied().filter(|slot| !kept.contains(slot)).collect();
        let (names, namespace, generation) = (self.names, batch.namespace, batch.generation);
        self.store.write(move |txn| {
            if txn.generation().number() != generation {
                return Ok(());
            }
            for slot in &gone {
                let text = match txn.node(namespace, *slot)? {
                    Some(node) => Recipes::read(txn, namespace)?.embedded_text(&names, &node)?,
                    None => None,
                };
                if text.is_none() {
                    let mut writer = GraphWriter::new(txn, &names, namespace);
                    for artefact in [Artefact::Embedding, Artefact::Reembedding, Artefact::Entities]
                    {
                        writer.done(artefact, *slot)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Counts messages in the relations of their entities, in one write, or each in its own when
    /// that is refused.
    pub(super) fn link(
        &self,
        generation: u64,
        namespace: NamespaceId,
        slots: &[Slot],
    ) -> Result<()> {
        let Some(begun) = self.begin([(Artefact::Links, slots.len())]) else { return Ok(()) };
        let mut count = slots.len() as u64;
        if self.store_links(generation, namespace, slots).is_err() {
            for slot in slots {
                match self.store_links(generation, namespace, &[*slot]) {
                    Ok(()) => {}
                    Err(error) if is_full(&error) => return Err(error),
                    Err(error) => {
                        count -= 1;
                        let work = (namespace, *slot, Artefact::Links);
                        self.failed(generation, work, &error, Failed::ForNow)?;
                    }
                }
            }
        }
        let mut state = self.state();
        *state.done.entry(Artefact::Links).or_default() += count;
        state.last_event = format!("linked the entities of {count} messages");
        drop(state);
        self.end(begun);
        Ok(())
    }

    fn store_links(&self, generation: u64, namespace: NamespaceId, slots: &[Slot]) -> Result<()> {
        let (names, slots) = (self.names, slots.to_vec());
        self.store.write(move |txn| {
            if txn.generation().number() != generation {
                return Ok(());
            }
            for slot in &slots {
                let mut writer = GraphWriter::new(txn, &names, namespace);
                if is_pending(writer.txn, namespace, Artefact::Links, *slot)? {
                    writer.link_mentions(*slot)?;
                    writer.done(Artefact::Links, *slot)?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn summarize(
        &self,
        generation: u64,
        namespace: NamespaceId,
        chat: Slot,
    ) -> Result<()> {
        let Some(begun) = self.begin([(Artefact::Summary, 1)]) else { return Ok(()) };
        let (store, names, models) = (&self.store, &self.names, &*self.models);
        let space = self.space_in_use(&store.read()?)?;
        let work = || summary::work(store, names, generation, namespace, chat, space, models);
        match self.watched(generation, namespace, [chat].into_iter(), work)? {
            Ok(true) => {
                let mut state = self.state();
                *state.done.entry(Artefact::Summary).or_default() += 1;
                state.backoff.remove(&(namespace, chat, Artefact::Summary));
                state.last_event = "summarised a chat".into();
            }
            Ok(false) => self.state().last_event = "a chat changed while it was summarised".into(),
            Err(error) if self.is_unavailable(&error) => {}
            Err(error) if is_full(&error) => return Err(error),
            Err(error) => self.failed(
                generation,
                (namespace, chat, Artefact::Summary),
                &error,
                Failed::ForNow,
            )?,
        }
        self.end(begun);
        Ok(())
    }

    /// Begins a batch of so much work of each kind; `None` if nothing more is to be begun.
    fn begin(&self, running: impl IntoIterator<Item = (Artefact, usize)>) -> Option<Instant> {
        let mut state = self.state();
        if state.paused {
            return None;
        }
        state.working = true;
        state.running = running.into_iter().map(|(kind, count)| (kind, count as u64)).collect();
        Some(Instant::now())
    }

    fn end(&self, begun: Instant) {
        let mut state = self.state();
        state.working = false;
        state.running.clear();
        state.busy += begun.elapsed();
        state.last_work = Instant::now();
        self.progress.notify_all();
    }

    /// Notes that no model can do the work, or may do it now; it is not the fault of the item.
    pub(super) fn is_unavailable(&self, error: &Error) -> bool {
        if matches!(error, Error::LimitReached { .. }) {
            return true;
        }
        let unavailable = matches!(error, Error::ModelUnavailable { .. });
        if unavailable {
            self.note_failure(error);
        }
        unavailable
    }

    pub(super) fn note_failure(&self, error: &Error) {
        let mut state = self.state();
        if matches!(error, Error::ModelUnavailable { .. }) {
            state.unavailable = Some((error.to_string(), Instant::now()));
        }
        state.last_event = format!("failed: {error}");
        self.progress.notify_all();
    }

    /// One more failed call: it is tried again later, or given up. In another generation than that of
    /// its slot it waits as it did.
    fn failed(&self, generation: u64, work: Work, error: &Error, how: Failed) -> Result<()> {
        let (namespace, slot, artefact) = work;
        let (names, options) = (self.names, self.options.clone());
        let message = error.to_string();
        let wait = self.store.write(move |txn| {
            if txn.generation().number() != generation {
                return Ok(None);
            }
            let before = txn.work(namespace, slot, artefact as u8)?;
            let attempts = before.map_or(0, |work| work.attempts) + 1;
            let dead = how == Failed::ForGood || attempts >= options.max_attempts;
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
            Ok((!dead).then_some(delay))
        })?;
        let mut state = self.state();
        *state.failed.entry(artefact).or_default() += 1;
        state.last_event = format!("{} failed: {error}", artefact.name());
        match wait {
            Some(delay) => state.backoff.insert(work, Instant::now() + delay.min(LONGEST_WAIT)),
            None => state.backoff.remove(&work),
        };
        self.progress.notify_all();
        Ok(())
    }
}

/// Whether work that has failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// As often as the options say.
    ForNow,
    /// It is given up.
    ForGood,
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::StorageFull { .. })
}

/// A model function that panics has failed like any other.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = format!("a model function panicked: {}", panic_text(&*panic));
        Err(Error::EnrichmentFailed { message })
    })
}
