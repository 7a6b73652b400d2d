//! Associative recall from the handle's point of view: what activation begins at, and at which
//! snapshot it spreads.
//!
//! Over the newest state a question is answered first, at a snapshot of its own, for the model runs
//! with nothing held; activation spreads at a second one, from those results that are still there.

use std::time::Duration;

use embedded_db_common::{Error, Result, Slot};
use embedded_db_indexing::graph::entities_named;
use embedded_db_query::recall::{MAX_SEEDS, Place, Seeds, Spreading, recall};
use embedded_db_query::search::{Manner, Profile, Weights};
use embedded_db_query::{ConvergedQuery, Deadline, Guard, Rank, Results, Step};
use embedded_db_storage::ReadTxn;

use crate::database::Database;
use crate::queries::{Answer, Query, SemanticLeg, answer};
use crate::reads::{PinnedReads, Reader};
use crate::search::{Found, Search};

/// What something is recalled by.
#[derive(Debug, Clone, PartialEq)]
pub enum Cue {
    /// What a question in plain words finds, and the entities that it names.
    Text(String),
    /// What is nearest to a vector.
    Vector(Vec<f32>),
    /// Nodes, by their ids.
    Nodes(Vec<String>),
    /// What a query finds.
    Query(Box<Query>),
}

/// Recall as a handle takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recall {
    /// What by.
    pub cue: Cue,
    /// Most results that become seeds.
    pub seeds: usize,
    /// How activation spreads.
    pub spreading: Spreading,
    /// What may come back, without ranking legs.
    pub within: Query,
    /// Whether the edges that lead to what comes back are strengthened.
    pub strengthen: bool,
}

/// Whatever can be asked for seeds, and read.
trait Recalls {
    fn database(&self) -> &Database;
    fn find(&self, search: &Search, interrupted: &dyn Fn() -> Result<()>) -> Result<Found>;
    fn ask(&self, query: &Query, interrupted: &dyn Fn() -> Result<()>) -> Result<Answer>;
    fn look<T>(&self, look: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T>;
}

impl Recalls for Database {
    fn database(&self) -> &Database {
        self
    }

    fn find(&self, search: &Search, interrupted: &dyn Fn() -> Result<()>) -> Result<Found> {
        self.search(search, interrupted)
    }

    fn ask(&self, query: &Query, interrupted: &dyn Fn() -> Result<()>) -> Result<Answer> {
        self.query(query, None, interrupted)
    }

    fn look<T>(&self, look: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        self.read(look)
    }
}

impl Recalls for PinnedReads {
    fn database(&self) -> &Database {
        self.database()
    }

    fn find(&self, search: &Search, interrupted: &dyn Fn() -> Result<()>) -> Result<Found> {
        self.search(search, interrupted)
    }

    fn ask(&self, query: &Query, interrupted: &dyn Fn() -> Result<()>) -> Result<Answer> {
        self.query(query, None, interrupted)
    }

    fn look<T>(&self, look: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        self.reader(look)
    }
}

impl Database {
    /// The nodes that activation from a cue makes most active, over the newest state.
    pub fn recall(&self, recall: &Recall, interrupted: &dyn Fn() -> Result<()>) -> Result<Answer> {
        let engine = self.engine()?;
        if let Some(weaver) = engine.weaver() {
            weaver.touch();
        }
        engine.store.traced("recall", || {
            if !recall.strengthen {
                return recalled(self, recall, interrupted);
            }
            self.check_writable()?;
            let answer = recalled(self, recall, interrupted)?;
            self.strengthen_paths(&answer)?;
            Ok(answer)
        })
    }
}

impl PinnedReads {
    /// As [`Database::recall`], over this instant.
    pub fn recall(&self, recall: &Recall, interrupted: &dyn Fn() -> Result<()>) -> Result<Answer> {
        if recall.strengthen {
            let message = "what is recalled from a snapshot strengthens nothing; ask the database";
            return Err(Error::query("strengthen", message));
        }
        let engine = self.database().engine()?;
        engine.store.traced("recall", || recalled(self, recall, interrupted))
    }
}

/// What a cue found: nodes with their scores, and what may name entities.
struct Cued {
    scores: Vec<(String, f32)>,
    text: Option<String>,
    pending: u64,
    steps: Vec<Step>,
}

fn recalled(
    reads: &impl Recalls,
    recall: &Recall,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<Answer> {
    recall.check()?;
    let timeout = recall.within.timeout;
    let guard = Guard::until(timeout.and_then(Deadline::after), interrupted);
    let found = recall.found(reads, timeout, interrupted)?;
    guard.check()?;
    reads.look(|reader| reader.recall(recall, found, &guard))
}

impl Recall {
    fn check(&self) -> Result<()> {
        self.spreading.validate()?;
        if !(1..=MAX_SEEDS).contains(&self.seeds) {
            let message = format!("{} is out of range; give 1 to {MAX_SEEDS}", self.seeds);
            return Err(Error::query("seeds", message));
        }
        match &self.cue {
            Cue::Text(text) if text.trim().is_empty() => {
                Err(Error::query("cue", "the text is empty; ask something"))
            }
            Cue::Nodes(ids) if ids.is_empty() => Err(Error::query("cue", "it names no node")),
            Cue::Nodes(ids) if ids.len() > MAX_SEEDS => {
                let message = format!("{} nodes; at most {MAX_SEEDS} can be seeds", ids.len());
                Err(Error::query("cue", message))
            }
            _ => Ok(()),
        }
    }

    /// What the cue finds.
    fn found(
        &self,
        reads: &impl Recalls,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Cued> {
        let (answer, text) = match &self.cue {
            Cue::Nodes(ids) => {
                let scores = ids.iter().map(|id| (id.clone(), 1.0)).collect();
                return Ok(Cued { scores, text: None, pending: 0, steps: Vec::new() });
            }
            Cue::Text(text) => {
                if reads.database().engine()?.embedders.is_empty() {
                    return Err(no_model());
                }
                let (profile, weights) = (Profile::Plain, Weights::default());
                let manner = Manner { profile, weights, superseded: false };
                let mut query = self.asking(timeout);
                query.query.text = Some(text.as_str().into());
                let search = Search { query, manner, chats: Vec::new() };
                (reads.find(&search, interrupted)?.answer, Some(text.clone()))
            }
            Cue::Vector(vector) => {
                let mut query = self.asking(timeout);
                query.semantic = Some(SemanticLeg::Vector(vector.clone()));
                (reads.ask(&query, interrupted)?, None)
            }
            Cue::Query(query) => {
                let mut query = (**query).clone();
                query.query.limit = query.query.limit.min(self.seeds);
                query.query.explain = self.within.query.explain;
                query.timeout = query.timeout.or(timeout);
                let text = query.query.text.as_ref().and_then(|text| text.words());
                (reads.ask(&query, interrupted)?, text.map(str::to_owned))
            }
        };
        let scores = answer.hits.iter().map(|found| Ok((found.node.id()?, found.hit.score)));
        let scores = scores.collect::<Result<_>>()?;
        let (pending, steps) = (answer.pending, answer.plan.unwrap_or_default());
        Ok(Cued { scores, text, pending, steps })
    }

    /// A query for seeds, without its leg.
    fn asking(&self, timeout: Option<Duration>) -> Query {
        Query {
            query: ConvergedQuery {
                filters: Vec::new(),
                graph: None,
                semantic: None,
                text: None,
                labels: Vec::new(),
                order_by: Vec::new(),
                limit: self.seeds,
                rank: Rank::default(),
                recall: None,
                explain: self.within.query.explain,
            },
            semantic: None,
            threshold: None,
            space: self.within.space.clone(),
            wait: None,
            timeout,
        }
    }
}

fn no_model() -> Error {
    Error::ModelUnavailable {
        message:
            "a text is compared by its meaning, which needs a model, but the database is open \
                  with ml=None; open it with a model, or recall by nodes, by a vector, or by a \
                  ConvergedQuery with a text_query"
                .into(),
    }
}

impl Reader<'_> {
    fn recall(&self, how: &Recall, found: Cued, guard: &Guard<'_>) -> Result<Answer> {
        let Reader { engine, snapshot, namespace } = *self;
        let mut slots: Vec<(Slot, f32)> = Vec::with_capacity(found.scores.len());
        for (id, score) in &found.scores {
            match (snapshot.node_slot(namespace, id)?, &how.cue) {
                (Some(slot), _) => slots.push((slot, *score)),
                (None, Cue::Nodes(_)) => {
                    return Err(Error::NotFound { kind: "node", id: id.clone() });
                }
                // It went since it was found.
                (None, _) => {}
            }
        }
        let analyzer = engine.views.analyzer();
        let named = match &found.text {
            Some(text) => {
                let says_little = |word: &str| analyzer.says_little(word);
                entities_named(snapshot, namespace, &engine.names, text, says_little)?
            }
            None => Vec::new(),
        };
        let seeds = Seeds::found(slots).and_named(named);
        let edges = engine.edges_at(snapshot, namespace, &|| guard.check())?;
        let place = Place { snapshot, namespace, names: &engine.names, edges: &edges };
        let results = recall(&place, &seeds, &how.spreading, &how.within.query, guard)?;
        let plan = results.plan.map(|steps| found.steps.into_iter().chain(steps).collect());
        answer(self, Results { pending: found.pending, plan, ..results }, None)
    }
}
