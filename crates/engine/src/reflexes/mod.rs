//! Queries that were asked before, answered from what they found then.
//!
//! * The key of a reflex is the query in canonical form: all of it but how long it may take.
//! * A reflex holds the state that it saw. It answers only where nothing was committed since that a
//!   read of its namespace sees, and nothing has expired; so it says what a fresh query would say.
//! * What depends on the time of the question (`recency_half_life`) is not kept, nor what is large.
//! * A near question is one whose words alone differ, and hardly: see `near`.

mod key;
mod near;

use std::sync::Arc;

use embedded_db_common::{Error, Result};
use embedded_db_indexing::Pin;
use embedded_db_reflex::{Config, Feedback, Intuition};
use embedded_db_storage::{ReadStrengths, ReadTxn, Snapshot, State};
use roaring::RoaringBitmap;

use crate::axes::HeldAxes;
use crate::database::Database;
use crate::engine::Engine;
use crate::observing::Op;
use crate::queries::{Answer, Cursor, Made, Prepared, Query};

pub use key::Told;
use near::Near;

/// Reflexes that one database keeps.
const CAPACITY: usize = 4_096;
/// Most bytes of an answer, and of a key, that are kept.
const MOST_BYTES: usize = 32 << 10;
/// How sure a reflex is at first.
const SURE: f64 = 0.9;

/// How reflexes may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByReflex {
    /// The same query only.
    Exact,
    /// Also one whose words differ hardly.
    Near,
}

/// An answer, and how it came.
pub struct Reflected {
    /// The answer; its cursor stands beside it.
    pub answer: Arc<Answer>,
    /// Where the results go on, if there are more.
    pub cursor: Option<Arc<Cursor>>,
    /// How a reflex gave it; `None` when it is fresh.
    pub told: Option<Told>,
    /// Its reflex, if it has one.
    pub reflex: Option<Reflex>,
}

/// A reflex that can be judged.
#[derive(Clone)]
pub struct Reflex {
    database: Database,
    key: Arc<str>,
}

impl Reflex {
    /// Makes it surer or less sure; how sure it is then. One that is not sure enough answers nothing.
    pub fn judge(&self, right: bool) -> Result<f64> {
        let feedback = if right { Feedback::Right } else { Feedback::Wrong };
        self.database.engine()?.reflexes.known.feedback(&self.key, feedback)
    }
}

/// All reflexes of one database.
pub(crate) struct Reflexes {
    known: Intuition<Arc<Known>>,
    near: Near,
    pub(crate) axes: HeldAxes,
}

/// What a query has found.
pub(crate) struct Known {
    key: Arc<str>,
    state: State,
    hidden: Option<RoaringBitmap>,
    prepared: Prepared,
    given: Option<RoaringBitmap>,
    answer: Arc<Answer>,
    /// The text that was compared by its meaning.
    question: Option<String>,
}

impl Reflexes {
    pub(crate) fn new() -> Result<Self> {
        let known = Intuition::new(Config::default(), CAPACITY)?;
        Ok(Self { known, near: Near::new()?, axes: HeldAxes::default() })
    }

    /// Forgets everything.
    pub(crate) fn end(&self) {
        self.known.clear();
        self.near.clear();
    }

    fn exactly(&self, key: &str) -> Option<Arc<Known>> {
        self.known.lookup(key, Arc::clone)
    }
}

impl Known {
    /// Whether a snapshot sees what was seen then.
    fn holds(&self, snapshot: &Snapshot) -> bool {
        let namespace = self.prepared.namespace();
        let hidden = snapshot.hidden(namespace).map(|hidden| &hidden.nodes);
        snapshot.is_unchanged_since(self.state, namespace) && hidden == self.hidden.as_ref()
    }

    /// Whether a query that would wait for vectors need not.
    fn suffices(&self, query: &Query) -> bool {
        query.wait.is_none() || self.answer.pending == 0
    }
}

impl Database {
    /// As [`Database::query`], but what was asked before is answered from what was found then, as long
    /// as nothing has changed.
    pub fn query_by_reflex(
        &self,
        query: &Query,
        by: ByReflex,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Reflected> {
        let engine = self.engine()?;
        engine.observer.call(Op::Query, || self.reflected(&engine, query, by, interrupted))
    }

    fn reflected(
        &self,
        engine: &Arc<Engine>,
        query: &Query,
        by: ByReflex,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Reflected> {
        if query.query.explain {
            return Err(Error::query(
                "reflex",
                "explain shows how a query is carried out, which a reflex spares; leave one out",
            ));
        }
        if by == ByReflex::Near && query.question().is_none() {
            return Err(Error::query(
                "reflex",
                "\"near\" compares questions by their meaning; give a semantic_query with a text, \
                 or reflex=True",
            ));
        }
        let key = query.key(self.namespace_id());
        if let Some(known) = key.as_deref().and_then(|key| engine.reflexes.exactly(key))
            && let Some(found) = self.again(engine, &known, query, Told::Exact)?
        {
            return Ok(found);
        }
        let mut prepared = None;
        if by == ByReflex::Near && key.is_some() {
            let ready = self.prepared(query)?;
            if let Some(found) = self.nearly(engine, query, &ready)? {
                return Ok(found);
            }
            prepared = Some(ready);
        }
        // What strengthens edges is worth less the later it is asked.
        let fades = |snapshot: &Snapshot| {
            query.query.rank.activation > 0.0
                && snapshot.has_strengths(self.namespace_id()).unwrap_or(true)
        };
        let mut made = None;
        let mut keep = |from: Made<'_>| {
            let snapshot = from.pin.snapshot();
            let hidden = snapshot.hidden(self.namespace_id()).map(|hidden| hidden.nodes.clone());
            let kept = (snapshot.state(), hidden, from.prepared.clone(), from.given.cloned());
            made = (!fades(snapshot)).then_some(kept);
        };
        let mut answer = self.first_page(query, prepared, interrupted, &mut keep)?;
        let cursor = answer.cursor.take();
        let answer = Arc::new(answer);
        let mut reflex = None;
        if let (Some(key), Some((state, hidden, prepared, given))) = (key, made)
            && key.len() + answer.size() <= MOST_BYTES
        {
            let key: Arc<str> = key.into();
            let (shared, question) = (Arc::clone(&answer), query.question().map(str::to_owned));
            let known = Known {
                key: Arc::clone(&key),
                state,
                hidden,
                prepared,
                given,
                answer: shared,
                question,
            };
            self.learn(engine, query, by, Arc::new(known))?;
            reflex = Some(Reflex { database: self.clone(), key });
        }
        Ok(Reflected { answer, cursor, told: None, reflex })
    }

    fn learn(&self, engine: &Engine, query: &Query, by: ByReflex, known: Arc<Known>) -> Result<()> {
        engine.reflexes.known.renew(&known.key, Arc::clone(&known), SURE)?;
        match by {
            ByReflex::Near => self.learn_near(engine, query, &known),
            ByReflex::Exact => Ok(()),
        }
    }

    /// What was found before, if it still holds.
    fn again(
        &self,
        engine: &Arc<Engine>,
        known: &Known,
        query: &Query,
        told: Told,
    ) -> Result<Option<Reflected>> {
        if !known.suffices(query) {
            return Ok(None);
        }
        let mut cursor = None;
        if let Some(given) = &known.given {
            let pin: Pin = engine.views.pin(&engine.store, self.namespace_id())?;
            if !known.holds(pin.snapshot()) {
                return Ok(None);
            }
            let (prepared, given) = (known.prepared.clone(), given.clone());
            cursor = Some(self.cursor(engine, pin, query, prepared, given)?);
        } else if !known.holds(&engine.views.read(&engine.store, self.namespace_id())?) {
            return Ok(None);
        }
        if let Some(weaver) = engine.weaver() {
            weaver.touch();
        }
        let reflex = Some(Reflex { database: self.clone(), key: Arc::clone(&known.key) });
        let answer = Arc::clone(&known.answer);
        Ok(Some(Reflected { answer, cursor, told: Some(told), reflex }))
    }
}
