//! Questions in plain words from the handle's point of view: what is embedded when, and at which
//! snapshot.
//!
//! What is embedded depends on who is named, and that on the senders among the candidates, so a
//! first snapshot takes the question apart, the model runs with nothing held, and a second snapshot
//! answers. Should the second find another text to embed, for a sender came or went in between, the
//! model runs again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_db_common::{Error, Result, SpaceId, clock};
use embedded_db_indexing::graph::check_dimension;
use embedded_db_indexing::{Attached, Needs, Pin};
use embedded_db_query::search::{Analysis, Manner, Part, prepare};
use embedded_db_query::{Context, Guard};
use embedded_db_storage::{ReadTxn, SpaceRecord};

use crate::database::Database;
use crate::embedders::not_embedded;
use crate::engine::Engine;
use crate::observing::Op;
use crate::queries::{Answer, Query, answer, check_answer, soundly};
use crate::reads::{PinnedReads, Reader, Wanted};

/// A question as a handle takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The question, as the text of the query, and what restricts it. It has no semantic leg.
    pub query: Query,
    /// How it is answered.
    pub manner: Manner,
    /// Chats that it names; each has to exist. What restricts to them is in the query.
    pub chats: Vec<String>,
}

/// The answer to a question.
pub struct Found {
    /// The results.
    pub answer: Answer,
    /// What the question was found to say.
    pub analysis: Analysis,
}

/// Vectors of texts that were embedded for one question.
type Embedded = HashMap<String, Vec<f32>>;

/// One look at the store: the answer, or a text whose vector is needed first.
enum Look {
    Found(Box<Found>),
    Embed(String),
}

impl Database {
    /// Answers a question over the newest state.
    pub fn search(&self, search: &Search, interrupted: &dyn Fn() -> Result<()>) -> Result<Found> {
        let engine = self.engine()?;
        engine.observer.call(Op::Search, || self.found(search, interrupted))
    }

    fn found(&self, search: &Search, interrupted: &dyn Fn() -> Result<()>) -> Result<Found> {
        let engine = self.engine()?;
        let guard = Guard::new(search.query.timeout, interrupted);
        if let Some(weaver) = engine.weaver() {
            weaver.touch();
        }
        let find = |wanted: Wanted<'_>| self.read(|reader| reader.wanted(wanted));
        let mut needs = self.needs(&engine, search, find)?;
        let deadline = search.query.wait.map(|wait| Instant::now() + wait);
        let mut embedded = Embedded::new();
        loop {
            let (pin, attached) = engine.views.begin(&engine.store, &needs)?;
            self.check_namespace(pin.snapshot())?;
            let (snapshot, namespace) = (pin.snapshot(), needs.namespace);
            let reader = Reader { engine: &engine, snapshot, namespace };
            let asked = is_compared(search).then(|| wanted(search));
            if !reader.still_wants(asked, needs.space.as_ref())? {
                // Another model's space has taken the place.
                drop(pin);
                guard.check()?;
                needs = self.needs(&engine, search, find)?;
                embedded.clear();
                continue;
            }
            let look = look(&engine, &pin, attached, &needs, search, &embedded, &guard)?;
            drop(pin);
            let found = match look {
                Look::Found(found) => *found,
                Look::Embed(text) => {
                    embed(&engine, text, &needs, &guard, &mut embedded)?;
                    continue;
                }
            };
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match left.filter(|left| engine.is_enriched() && !left.is_zero()) {
                Some(left) if found.answer.pending > 0 => {
                    guard.check()?;
                    engine.wait_progress(left.min(Duration::from_millis(50)));
                }
                _ => return Ok(found),
            }
        }
    }

    /// What the views must hold. Fails when meaning has weight and no model is there.
    fn needs(
        &self,
        engine: &Engine,
        search: &Search,
        find: impl FnOnce(Wanted<'_>) -> Result<Option<(SpaceId, SpaceRecord)>>,
    ) -> Result<Needs> {
        let mut space = None;
        if is_compared(search) {
            needs_model(engine)?;
            space = find(wanted(search))?;
        }
        Ok(Needs { namespace: self.namespace_id(), text: true, sessions: true, space })
    }
}

impl PinnedReads {
    /// Answers a question over this instant.
    pub fn search(&self, search: &Search, interrupted: &dyn Fn() -> Result<()>) -> Result<Found> {
        let engine = self.database().engine()?;
        engine.observer.call(Op::Search, || self.found(search, interrupted))
    }

    fn found(&self, search: &Search, interrupted: &dyn Fn() -> Result<()>) -> Result<Found> {
        let engine = self.database().engine()?;
        let guard = Guard::new(search.query.timeout, interrupted);
        let find = |wanted: Wanted<'_>| self.reader(|reader| reader.wanted(wanted));
        let needs = self.database().needs(&engine, search, find)?;
        let mut embedded = Embedded::new();
        loop {
            let look = self.pinned(|engine, pin| {
                let attached = engine.views.attach(pin, &needs)?;
                look(engine, pin, attached, &needs, search, &embedded, &guard)
            })?;
            match look {
                Look::Found(found) => return Ok(*found),
                Look::Embed(text) => embed(&engine, text, &needs, &guard, &mut embedded)?,
            }
        }
    }
}

/// Whether meaning has weight.
fn is_compared(search: &Search) -> bool {
    search.manner.weights.of(Part::Semantic) > 0.0
}

/// The space in which a question is compared by its meaning.
fn wanted(search: &Search) -> Wanted<'_> {
    search.query.space.as_deref().map_or(Wanted::Models, Wanted::Named)
}

fn needs_model(engine: &Engine) -> Result<()> {
    if engine.embedders.is_empty() {
        return Err(Error::ModelUnavailable {
            message:
                "a question is compared by its meaning, which needs a model, but the database \
                      is open with ml=None; open it with a model, or give \
                      weights={\"semantic\": 0} to search by words alone"
                    .into(),
        });
    }
    Ok(())
}

/// Embeds a text that a look asked for. Nothing may be held while the model runs.
fn embed(
    engine: &Engine,
    text: String,
    needs: &Needs,
    guard: &Guard<'_>,
    embedded: &mut Embedded,
) -> Result<()> {
    guard.check()?;
    let record = needs.space.as_ref().map(|(_, record)| record);
    let vector = engine.embedders.of(record)?.embed(std::slice::from_ref(&text))?;
    check_answer(&vector, record)?;
    if let Some(record) = record {
        check_dimension(record, vector.len())?;
    }
    embedded.insert(text, vector);
    Ok(())
}

fn look(
    engine: &Arc<Engine>,
    pin: &Pin,
    attached: Attached,
    needs: &Needs,
    search: &Search,
    embedded: &Embedded,
    guard: &Guard<'_>,
) -> Result<Look> {
    let read = |attached| look_with(engine, pin, attached, needs, search, embedded, guard);
    soundly(engine, pin, attached, needs, read)
}

fn look_with(
    engine: &Arc<Engine>,
    pin: &Pin,
    attached: Attached,
    needs: &Needs,
    search: &Search,
    embedded: &Embedded,
    guard: &Guard<'_>,
) -> Result<Look> {
    let (snapshot, namespace) = (pin.snapshot(), needs.namespace);
    for chat in &search.chats {
        let slot = snapshot.node_slot(namespace, chat)?;
        let node = slot.map(|slot| snapshot.node(namespace, slot)).transpose()?.flatten();
        if !node.is_some_and(|node| node.has_label(engine.names.chat)) {
            return Err(Error::NotFound { kind: "chat", id: chat.clone() });
        }
    }
    let context = Context {
        snapshot,
        lsn: pin.lsn(),
        namespace,
        attached,
        space: needs.space.as_ref().map(|(space, _)| *space),
        names: &engine.names,
        edges: None,
        pending: not_embedded(snapshot, namespace, needs.space.as_ref().map(|(space, _)| *space))?,
        now: clock::now(),
    };
    let prepared = prepare(&context, &search.query.query, search.manner, guard)?;
    let vector = match prepared.embedded() {
        None => None,
        Some(text) => match embedded.get(text) {
            None => return Ok(Look::Embed(text.to_owned())),
            Some(vector) => Some(vector.as_slice()),
        },
    };
    let analysis = prepared.analysis()?;
    let results = prepared.rank(vector, guard)?;
    let reader = Reader { engine, snapshot, namespace };
    let answer = answer(&reader, results, search.query.query.text.as_ref())?;
    Ok(Look::Found(Box::new(Found { answer, analysis })))
}
