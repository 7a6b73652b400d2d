//! Converged queries from the handle's point of view: where the query vector comes from, what to
//! wait for, which snapshot.

use std::time::{Duration, Instant};

use embedded_db_common::{Error, Result, Slot};
use embedded_db_indexing::graph::{Artefact, check_dimension, check_vector, pending};
use embedded_db_indexing::{Attached, Needs, Pin};
use embedded_db_query::{Context, ConvergedQuery, Guard, Hit, Semantic, Step, run};
use embedded_db_storage::SpaceRecord;

use crate::database::{Database, Engine};
use crate::objects::Node;
use crate::reads::{PinnedReads, Reader};

/// What the semantic leg compares with.
#[derive(Debug, Clone, PartialEq)]
pub enum SemanticLeg {
    /// A text, which the model embeds.
    Text(String),
    /// A vector.
    Vector(Vec<f32>),
}

/// A query as a handle takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// All legs but the semantic one.
    pub query: ConvergedQuery,
    /// The semantic leg…
    pub semantic: Option<SemanticLeg>,
    /// …its least score…
    pub threshold: Option<f32>,
    /// …and its space.
    pub space: Option<String>,
    /// How long to wait for vectors that are not there yet.
    pub wait: Option<Duration>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// A result with its node.
#[derive(Clone)]
pub struct AnsweredHit {
    /// The node.
    pub node: Node,
    /// What each leg said.
    pub hit: Hit,
}

/// The answer to a query.
#[derive(Clone)]
pub struct Answer {
    /// Best first.
    pub hits: Vec<AnsweredHit>,
    /// Matching nodes that have no vector yet.
    pub pending: u64,
    /// The plan, if it was asked for.
    pub plan: Option<Vec<Step>>,
}

impl Database {
    /// Answers a query over the newest state.
    pub fn query(&self, query: &Query, interrupted: &dyn Fn() -> Result<()>) -> Result<Answer> {
        let engine = self.engine()?;
        let guard = Guard::new(query.timeout, interrupted);
        if let Some(weaver) = &engine.weaver {
            weaver.touch();
        }
        let (query, needs) = self.prepare(query)?;
        let deadline = query.wait.map(|wait| Instant::now() + wait);
        loop {
            let (pin, attached) = engine.views.begin(&engine.store, &needs)?;
            self.check_namespace(pin.snapshot())?;
            let answer = answer(&engine, &pin, attached, &needs, &query.query, &guard)?;
            drop(pin);
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match (left, &engine.weaver) {
                (Some(left), Some(weaver)) if answer.pending > 0 && !left.is_zero() => {
                    guard.check()?;
                    weaver.wait_progress(left.min(Duration::from_millis(50)));
                }
                _ => return Ok(answer),
            }
        }
    }

    /// Embeds the text of the semantic leg and finds its space.
    fn prepare(&self, query: &Query) -> Result<(Query, Needs)> {
        let engine = self.engine()?;
        let mut query = query.clone();
        let mut space = None;
        if let Some(leg) = query.semantic.take() {
            let field = "semantic_query";
            let found = self.read(|reader| reader.space(query.space.as_deref()))?;
            let vector = match leg {
                SemanticLeg::Vector(vector) => {
                    check_vector(&vector)?;
                    space = found;
                    vector
                }
                SemanticLeg::Text(text) => {
                    if text.trim().is_empty() {
                        return Err(Error::query(
                            "semantic_query.text",
                            "it is empty; leave the leg out instead",
                        ));
                    }
                    let models = engine.models.as_ref().ok_or_else(|| Error::ModelUnavailable {
                        message: "a semantic query with a text needs a model, but the database \
                                  is open with ml=None; open it with a model, or give a vector"
                            .into(),
                    })?;
                    space = match query.space {
                        Some(_) => found,
                        None => engine.space.clone(),
                    };
                    let vector = models.embed(&[text])?;
                    check_answer(&vector, space.as_ref().map(|(_, record)| record))?;
                    vector
                }
            };
            if let Some(threshold) = query.threshold
                && !threshold.is_finite()
            {
                return Err(Error::query(
                    format!("{field}.threshold"),
                    format!("{threshold} is no score; give a finite number"),
                ));
            }
            if let Some((_, record)) = &space {
                check_dimension(record, vector.len())?;
            }
            query.query.semantic = Some(Semantic { vector, threshold: query.threshold });
        }
        query.query.validate()?;
        let needs = Needs {
            namespace: self.namespace_id(),
            text: query.query.text.is_some(),
            sessions: false,
            space,
        };
        Ok((query, needs))
    }
}

impl PinnedReads {
    /// Answers a query over this instant.
    pub fn query(&self, query: &Query, interrupted: &dyn Fn() -> Result<()>) -> Result<Answer> {
        let engine = self.database().engine()?;
        self.pin.snapshot().check_age()?;
        let guard = Guard::new(query.timeout, interrupted);
        let (query, needs) = self.database().prepare(query)?;
        let attached = engine.views.attach(&self.pin, &needs)?;
        answer(&engine, &self.pin, attached, &needs, &query.query, &guard)
    }
}

fn answer(
    engine: &std::sync::Arc<Engine>,
    pin: &Pin,
    attached: Attached,
    needs: &Needs,
    query: &ConvergedQuery,
    guard: &Guard<'_>,
) -> Result<Answer> {
    let (snapshot, namespace) = (pin.snapshot(), needs.namespace);
    let waiting = match query.semantic {
        Some(_) => pending(snapshot, namespace, Artefact::Embedding)?,
        None => Default::default(),
    };
    let context = Context {
        snapshot,
        lsn: pin.lsn(),
        namespace,
        attached,
        space: needs.space.as_ref().map(|(space, _)| *space),
        names: &engine.names,
        pending: waiting,
    };
    let results = run(&context, query, guard)?;
    let reader = Reader { engine, snapshot, namespace };
    let hits = results.hits.into_iter().map(|hit| {
        let slot: Slot = hit.slot;
        Ok(AnsweredHit { node: reader.node_at(slot)?, hit })
    });
    Ok(Answer { hits: hits.collect::<Result<_>>()?, pending: results.pending, plan: results.plan })
}

/// What a model returns for one text must be one finite vector of its space.
pub(crate) fn check_answer(vector: &[f32], space: Option<&SpaceRecord>) -> Result<()> {
    let expected = space.map_or(vector.len(), |space| space.dimension as usize);
    let message = if vector.len() != expected || vector.is_empty() {
        format!("{} numbers for one text; a vector of {expected} is needed", vector.len())
    } else if let Some(wrong) = vector.iter().find(|value| !value.is_finite()) {
        format!("{wrong} in the vector of a query; vectors must be finite")
    } else {
        return Ok(());
    };
    Err(Error::EnrichmentFailed { message: format!("the embedding function returned {message}") })
}
