//! One job from its call to its result: what is stored, and what happens when it fails.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use embedded_db_common::log::{self, Level};
use embedded_db_common::{
    ActivityLevel, ContentHash, Error, NamespaceId, Result, Slot, clock, trace,
};
use embedded_db_indexing::graph::{Artefact, GraphWriter, is_pending, pending};
use embedded_db_indexing::recipes::Recipes;
use embedded_db_storage::{ReadTxn, ReadWork, Snapshot, WorkRecord, WorkState, panic_text};

use super::{Weaver, Work};
use crate::batch::{self, Batch, Outcome, Stored};
use crate::limits::Function;
use crate::running::MOST_ENDS;
use crate::summary::Summarised;
use crate::{curiosity, summary, topics};

/// Where what takes no more bytes finds no room, the store is full: nothing else would find any.
const SMALL: usize = 1 << 20;
/// What is said all the time is grouped in one part of so many of the time.
const TOPICS_REST: u32 = 20;

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
        // What cannot be made now keeps nothing else from being made.
        let mut possible = batch.clone();
        for kind in kinds {
            let is_own = kind == Artefact::Entities || self.previous_of(batch).is_none();
            if is_own && !self.is_available(kind) {
                possible = possible.without(kind);
            }
        }
        self.enrich_items(&possible)?;
        self.end(begun);
        Ok(())
    }

    /// Whether more may be tried.
    fn enrich_items(&self, batch: &Batch) -> Result<bool> {
        if batch.items.is_empty() {
            return Ok(true);
        }
        let error = match self.call(batch)? {
            Ok(outcomes) => {
                // A limit that has no room for one text has none for others.
                let is_any = !outcomes.is_empty();
                if let ([item], true) = (&batch.items[..], is_any) {
                    self.waiting().has_come((batch.namespace, item.slot));
                }
                return self.put(batch, outcomes).map(|()| is_any);
            }
            Err(error) => error,
        };
        let kinds = [batch.vectors(), Artefact::Entities];
        let wanted = kinds.map(|kind| batch.wants(kind));
        if matches!(error, Error::ModelUnavailable { .. }) && wanted == [true, true] {
            // One of the two may be there.
            let [vectors, entities] = kinds.map(|kind| batch.without(kind));
            return Ok(self.enrich_items(&entities)? & self.enrich_items(&vectors)?);
        }
        if self.is_unavailable_for(batch, &error) {
            return Ok(false);
        }
        if let [item] = &batch.items[..] {
            self.enrich_apart(batch, Some(&error))?;
            self.waiting().has_come((batch.namespace, item.slot));
            return Ok(true);
        }
        // What a limit keeps from its turn now, comes by itself the next time: else they would fail together again.
        self.waiting().part(batch.items.iter().map(|item| (batch.namespace, item.slot)));
        let hangs = matches!(error, Error::LeftBehind { .. });
        for at in 0..batch.items.len() {
            let single = batch.single(at);
            if hangs {
                // Each call that nothing can end costs a thread: one shows of which function it is.
                self.enrich_apart(&single, None)?;
                self.waiting().has_come((single.namespace, single.items[0].slot));
            } else if !self.enrich_items(&single)? {
                return Ok(false);
            }
            if self.state().stop {
                break;
            }
        }
        Ok(true)
    }

    /// One item, one artefact at a time, unless a call for all that is wanted has failed already and that is one.
    fn enrich_apart(&self, single: &Batch, error: Option<&Error>) -> Result<()> {
        let both = single.wants(single.vectors()) && single.wants(Artefact::Entities);
        for artefact in [single.vectors(), Artefact::Entities] {
            if !single.wants(artefact) {
                continue;
            }
            let part = single.only(artefact);
            let answer = match error {
                Some(error) if !both => Err(error.clone()),
                _ => self.call(&part)?,
            };
            match answer {
                Ok(outcomes) => self.put(&part, outcomes)?,
                Err(error) if self.is_unavailable_for(&part, &error) => {}
                Err(error) => {
                    let item = &single.items[0];
                    let work = (single.namespace, item.slot, artefact);
                    let content = Some(item.content);
                    self.failed(single.generation, work, content, &error, Failed::ForNow)?;
                }
            }
        }
        Ok(())
    }

    /// What the models say, or how they failed.
    fn call(&self, batch: &Batch) -> Result<Result<Vec<Outcome>>> {
        let nodes = batch.items.iter().map(|item| (item.slot, Some(item.content)));
        let models = self.models_of(batch);
        let enrich = || batch.enrich(&self.store, models, &self.said);
        match self.watched(batch.generation, batch.namespace, nodes, enrich)? {
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
        nodes: impl Iterator<Item = (Slot, Option<ContentHash>)>,
        call: impl FnOnce() -> Result<T>,
    ) -> Result<Result<T>> {
        let called: Vec<_> = {
            let waiting = self.waiting();
            let known = |(slot, content)| {
                let node = (namespace, slot);
                (node, waiting.suspect(node, content))
            };
            let called: Vec<_> = nodes.map(known).collect();
            self.running.begin(generation, &called, &waiting.suspects)?;
            called
        };
        let answer = caught(call);
        let mut waiting = self.waiting();
        for (node, _) in called {
            waiting.suspects.remove(&node);
        }
        self.running.end(generation, &waiting.suspects)?;
        Ok(answer)
    }

    /// Whether so many processes have ended over a node that its work is given up.
    pub(super) fn is_given_up(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        slots: &[Slot],
    ) -> Result<bool> {
        let [slot] = *slots else { return Ok(false) };
        let known = self.waiting().suspects.get(&(namespace, slot)).copied();
        let Some(known) = known.filter(|known| known.ends >= MOST_ENDS) else { return Ok(false) };
        let (generation, ends) = (snapshot.generation().number(), known.ends);
        if known.content.is_some() && self.content(snapshot, namespace, slot)? != known.content {
            // Another text, over which no process has ended.
            return Ok(false);
        }
        let error = Error::EnrichmentFailed {
            message: format!(
                "crashed while running: {ends} processes ended while a model was at it"
            ),
        };
        let kinds = Artefact::ALL.into_iter();
        for artefact in kinds.filter(|it| it.needs_model() && !self.is_off(*it)) {
            let work = (namespace, slot, artefact);
            self.failed(generation, work, known.content, &error, Failed::ForGood)?;
        }
        let mut waiting = self.waiting();
        waiting.suspects.remove(&(namespace, slot));
        self.running.end(generation, &waiting.suspects)?;
        Ok(true)
    }

    /// What a node says, for the models.
    fn content(
        &self,
        txn: &impl ReadTxn,
        namespace: NamespaceId,
        slot: Slot,
    ) -> Result<Option<ContentHash>> {
        let Some(node) = txn.node(namespace, slot)? else { return Ok(None) };
        let text = Recipes::read(txn, namespace)?.embedded_text(&self.names, &node)?;
        Ok(text.map(|text| ContentHash::of(&text.text)))
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
                let mut refused = Refused::default();
                for (artefact, part) in outcomes.iter().flat_map(|it| it.apart(batch.vectors())) {
                    let (work, size) = ((namespace, part.slot, artefact), part.size());
                    let content = Some(part.content);
                    match write([part].into()) {
                        Ok(stored) => {
                            self.waiting().found_room(namespace, artefact);
                            self.note_stored(batch, stored);
                        }
                        Err(error @ Error::QuotaExceeded { .. }) => refused.add(work, error),
                        Err(error) if is_full(&error) && size <= SMALL => return Err(error),
                        Err(error) => {
                            self.failed(generation, work, content, &error, Failed::ForNow)?;
                        }
                    }
                }
                self.note_refused(namespace, refused);
                return Ok(());
            }
        };
        self.note_stored(batch, stored);
        Ok(())
    }

    /// Results that found no room within a quota wait for it, and keep nothing else from being done.
    fn note_refused(&self, namespace: NamespaceId, refused: Refused) {
        for (artefact, (slots, error)) in refused.0 {
            self.waiting().found_no_room(namespace, artefact, &slots);
            log::log(Level::Warning, "weaver", "a quota leaves its work no room", || {
                [("job", artefact.name().into()), ("error", error.code().into())]
            });
            let of = match &error {
                Error::QuotaExceeded { namespace, .. } => namespace.clone(),
                _ => None,
            };
            let mut state = self.state();
            state.last_event = format!("failed: {error}");
            state.refusals += 1;
            let last = (state.refusals, error);
            state.quotas.insert(of, last);
            self.progress.notify_all();
        }
    }

    fn note_stored(&self, batch: &Batch, stored: Stored) {
        let vectors = batch.vectors();
        let mut waiting = self.waiting();
        for chat in stored.chats {
            waiting.was_told((batch.namespace, chat));
        }
        drop(waiting);
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

    /// Counts messages in the relations of their entities, or lets their names lead where they now do, in one
    /// write, or each in its own when that is refused.
    pub(super) fn follow(
        &self,
        generation: u64,
        namespace: NamespaceId,
        artefact: Artefact,
        slots: &[Slot],
    ) -> Result<()> {
        let Some(begun) = self.begin([(artefact, slots.len())]) else { return Ok(()) };
        let mut count = slots.len() as u64;
        if self.store_following(generation, namespace, artefact, slots).is_err() {
            let mut refused = Refused::default();
            for slot in slots {
                let work = (namespace, *slot, artefact);
                match self.store_following(generation, namespace, artefact, &[*slot]) {
                    Ok(()) => self.waiting().found_room(namespace, artefact),
                    Err(error @ Error::QuotaExceeded { .. }) => {
                        count -= 1;
                        refused.add(work, error);
                    }
                    Err(error) if is_full(&error) => return Err(error),
                    Err(error) => {
                        count -= 1;
                        self.failed(generation, work, None, &error, Failed::ForNow)?;
                    }
                }
            }
            self.note_refused(namespace, refused);
        }
        let mut state = self.state();
        *state.done.entry(artefact).or_default() += count;
        state.last_event = match artefact {
            Artefact::Links => format!("linked the entities of {count} messages"),
            _ => format!("looked where the names of {count} messages lead now"),
        };
        drop(state);
        self.end(begun);
        Ok(())
    }

    fn store_following(
        &self,
        generation: u64,
        namespace: NamespaceId,
        artefact: Artefact,
        slots: &[Slot],
    ) -> Result<()> {
        let (names, slots) = (self.names, slots.to_vec());
        self.store.write(move |txn| {
            if txn.generation().number() != generation {
                return Ok(());
            }
            let mut writer = GraphWriter::new(txn, &names, namespace);
            if artefact != Artefact::Links {
                return writer.follow_names(&slots);
            }
            for slot in &slots {
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
        let work = summary::Work {
            store: &self.store,
            names: self.names,
            generation,
            namespace,
            chat,
            space: self.space_in_use(&self.store.read_quietly()?)?,
            models: &*self.models,
            span: self.options.summary_span,
            stops: &|| {
                let state = self.state();
                state.stop || state.paused
            },
        };
        let due = (namespace, chat, Artefact::Summary);
        match self.watched(generation, namespace, [(chat, None)].into_iter(), || work.run())? {
            Ok(Summarised::Done) => {
                self.waiting().was_summarised((namespace, chat));
                self.waiting().found_room(namespace, Artefact::Summary);
                let mut state = self.state();
                *state.done.entry(Artefact::Summary).or_default() += 1;
                state.last_event = "summarised a chat".into();
            }
            Ok(Summarised::Changed) => {
                self.waiting().was_told((namespace, chat));
                self.state().last_event = "a chat changed while it was summarised".into();
            }
            Ok(Summarised::LacksVectors) => self.waiting().lacks_vectors((namespace, chat)),
            Err(error) if self.is_unavailable(&error, Function::Summary) => {}
            Err(error @ Error::QuotaExceeded { .. }) => {
                self.note_refused(namespace, Refused::of(due, error));
            }
            Err(error) if is_full(&error) => return Err(error),
            Err(error) => self.failed(generation, due, None, &error, Failed::ForNow)?,
        }
        self.end(begun);
        Ok(())
    }

    /// Makes the topics of a namespace. That ends when other things are to be done, and is due then as before.
    pub(super) fn group(&self, generation: u64, namespace: NamespaceId) -> Result<()> {
        let waiting = pending(&self.store.read_quietly()?, namespace, Artefact::Topics)?.len();
        let Some(begun) = self.begin([(Artefact::Topics, waiting as usize)]) else { return Ok(()) };
        let interrupted = || self.goes_on(|level| self.groups(level));
        let work = topics::Work {
            store: &self.store,
            names: self.names,
            generation,
            namespace,
            communities: self.communities,
            interrupted: &interrupted,
        };
        match work.run() {
            Ok(count) => {
                let mut state = self.state();
                *state.done.entry(Artefact::Topics).or_default() += waiting;
                state.topics_rest = Instant::now().checked_add(begun.elapsed() * TOPICS_REST);
                state.last_event = format!("grouped what is said into {count} topics");
            }
            Err(Error::Interrupted) => {}
            Err(error @ Error::QuotaExceeded { .. }) => {
                self.note_refused(namespace, Refused::all_of(Artefact::Topics, error));
            }
            Err(error) => return Err(error),
        }
        self.end(begun);
        Ok(())
    }

    /// Fails when there are other things to do than what is done at leisure, if that `runs` at a level.
    fn goes_on(&self, runs: impl Fn(ActivityLevel) -> bool) -> Result<()> {
        let state = self.state();
        let level = state.activity.level(Instant::now());
        let goes_on = !state.stop && !state.paused && runs(level);
        if goes_on { Ok(()) } else { Err(Error::Interrupted) }
    }

    /// Proposes ties of some nodes. That ends when other things are to be done, and is due then as before.
    pub(super) fn look_around(
        &self,
        generation: u64,
        namespace: NamespaceId,
        slots: &[Slot],
    ) -> Result<()> {
        let kind = Artefact::Curiosity;
        let Some(begun) = self.begin([(kind, slots.len())]) else { return Ok(()) };
        let interrupted = || self.goes_on(|level| self.is_curious(level));
        let work = curiosity::Work {
            store: &self.store,
            names: self.names,
            generation,
            namespace,
            nearest: &*self.nearest,
            threshold: self.options.curiosity_threshold,
            interrupted: &interrupted,
        };
        match work.run(slots) {
            Ok(count) => {
                let mut state = self.state();
                *state.done.entry(kind).or_default() += slots.len() as u64;
                state.last_event = format!("proposed {count} ties of {} nodes", slots.len());
            }
            Err(Error::Interrupted) => {}
            Err(error @ Error::QuotaExceeded { .. }) => {
                self.note_refused(namespace, Refused::all_of(kind, error));
            }
            Err(error) => return Err(error),
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
        self.progress.notify_all();
    }

    /// Notes that a function cannot do its work, or may not do it now; it is not the fault of the item.
    pub(super) fn is_unavailable(&self, error: &Error, function: Function) -> bool {
        if matches!(error, Error::LimitReached { .. }) {
            return true;
        }
        if !matches!(error, Error::ModelUnavailable { .. }) {
            return false;
        }
        let why = (error.to_string(), Instant::now());
        if self.state().unavailable.insert(function, why).is_none() {
            log::log(Level::Warning, "weaver", "no model does its work", || {
                [("job", function.name().into()), ("error", error.code().into())]
            });
        }
        self.note_event(format!("failed: {error}"));
        true
    }

    pub(super) fn note_event(&self, event: String) {
        self.state().last_event = event;
        self.progress.notify_all();
    }

    /// One more failed call: it is tried again later, or given up. Nothing has failed in another generation than that
    /// of its slot, or where the work is none any more, or that of another text.
    fn failed(
        &self,
        generation: u64,
        work: Work,
        content: Option<ContentHash>,
        error: &Error,
        how: Failed,
    ) -> Result<()> {
        let (namespace, slot, artefact) = work;
        let (names, options) = (self.names, self.options.clone());
        let message = error.to_string();
        // Each time that it is tried would cost a thread that nothing can end.
        let is_for_good = how == Failed::ForGood || matches!(error, Error::LeftBehind { .. });
        let noted = self.store.write(move |txn| {
            if txn.generation().number() != generation
                || !is_pending(txn, namespace, artefact, slot)?
            {
                return Ok(None);
            }
            let node = txn.node(namespace, slot)?;
            let recipes = Recipes::read(txn, namespace)?;
            let text = node.as_ref().map(|node| recipes.embedded_text(&names, node));
            let text = text.transpose()?.flatten().map(|text| ContentHash::of(&text.text));
            if node.is_none() || content.is_some() && text != content {
                return Ok(None);
            }
            let before = txn.work(namespace, slot, artefact as u8)?;
            let attempts = before.map_or(0, |work| work.attempts) + 1;
            let dead = is_for_good || attempts >= options.max_attempts;
            let delay = options.first_delay.saturating_mul(1 << (attempts - 1).min(20));
            let delay = delay.min(options.max_delay);
            // The clock, not the store's time: that one may run ahead after the clock was set back.
            let due = clock::now() + i64::try_from(delay.as_micros()).unwrap_or(i64::MAX / 2);
            let state = if dead { WorkState::Dead } else { WorkState::Retry };
            let record = WorkRecord { state, attempts, due, error: message.clone() };
            txn.put_work(namespace, slot, artefact as u8, &record)?;
            if dead {
                GraphWriter::new(txn, &names, namespace).give_up(artefact, slot)?;
            }
            Ok(Some((!dead).then_some(delay)))
        })?;
        let Some(wait) = noted else {
            self.waiting().done(work);
            return Ok(());
        };
        trace::failed(error.code());
        let (level, what) = match wait {
            Some(_) => (Level::Warning, "work has failed"),
            None => (Level::Error, "work is given up"),
        };
        log::log(level, "weaver", what, || {
            [("job", artefact.name().into()), ("error", error.code().into())]
        });
        let mut state = self.state();
        *state.failed.entry(artefact).or_default() += 1;
        state.last_event = format!("{} failed: {error}", artefact.name());
        drop(state);
        self.waiting().failed(work, wait);
        self.progress.notify_all();
        Ok(())
    }
}

/// Work whose results found no room, and the last time why.
#[derive(Default)]
struct Refused(HashMap<Artefact, (Vec<Slot>, Error)>);

impl Refused {
    fn of(work: Work, error: Error) -> Self {
        let mut refused = Self::default();
        refused.add(work, error);
        refused
    }

    /// Everything of a kind that there is in a namespace.
    fn all_of(artefact: Artefact, error: Error) -> Self {
        Self(HashMap::from([(artefact, (Vec::new(), error))]))
    }

    fn add(&mut self, (_, slot, artefact): Work, error: Error) {
        let (slots, last) = self.0.entry(artefact).or_insert((Vec::new(), error.clone()));
        slots.push(slot);
        *last = error;
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

/// Whether there is no room now: on the disk, or within a quota.
fn is_full(error: &Error) -> bool {
    matches!(error, Error::StorageFull { .. } | Error::QuotaExceeded { .. })
}

/// A model function that panics has failed like any other.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = format!("a model function panicked: {}", panic_text(&*panic));
        Err(Error::EnrichmentFailed { message })
    })
}
