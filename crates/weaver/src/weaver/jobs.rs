//! One job from its call to its result: what is stored, and what happens when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use embedded_db_common::{Error, NamespaceId, Result, Slot, clock};
use embedded_db_indexing::graph::{Artefact, GraphWriter, is_pending};
use embedded_db_storage::{ReadTxn, WorkRecord, WorkState, panic_text};

use super::{Weaver, Work};
use crate::batch::Batch;
use crate::summary;

impl Weaver {
    /// Embeds and finds entities. When a batch fails, its items are tried one by one and artefact by
    /// artefact, so that only what really fails waits or is given up.
    pub(super) fn enrich(&self, batch: &Batch, slots: &[Slot]) -> Result<()> {
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

    pub(super) fn link(&self, namespace: NamespaceId, slots: Vec<Slot>) -> Result<()> {
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

    pub(super) fn summarize(&self, namespace: NamespaceId, chat: Slot) -> Result<()> {
        let begun = self.begin();
        let (store, names, models) = (&self.store, &self.names, &*self.models);
        let work = || summary::work(store, names, namespace, chat, self.space, models);
        match caught(work) {
            Ok(true) => {
                let mut state = self.state();
                *state.done.entry(Artefact::Summary).or_default() += 1;
                state.backoff.remove(&(namespace, chat, Artefact::Summary));
                state.last_event = "summarised a chat".into();
            }
            Ok(false) => self.state().last_event = "a chat changed while it was summarised".into(),
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

    pub(super) fn note_failure(&self, error: &Error) {
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
}

/// A model function that panics has failed like any other.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = format!("a model function panicked: {}", panic_text(&*panic));
        Err(Error::EnrichmentFailed { message })
    })
}
