//! Operations as they are done to a database.

use std::path::Path;

use embedded_db_engine::common::{Draft, Error, Result, Value};
use embedded_db_engine::{
    AddTo, Changes, ConvergedQuery, Database, EdgeChanges, EdgeDraft, EmbeddingDraft, Expiry,
    Filter, NodeDraft, Operator, Query, Rank, SemanticLeg, Transaction,
};

use crate::operation::Change;
use crate::world::{SPACE, THING, Values};

/// After which a node is gone; the model counts it as an hour.
const LIFETIME: i64 = 3_600_000_000;

pub(crate) fn quiet(_: u64, _: u64) -> Result<()> {
    Ok(())
}

pub(crate) fn go_on() -> Result<()> {
    Ok(())
}

fn draft(values: &Values) -> Result<Draft> {
    let mut out = Draft::new();
    values.iter().try_for_each(|(name, value)| out.set(name, value))?;
    Ok(out)
}

/// The node that a change makes.
fn node(change: &Change) -> Result<NodeDraft> {
    let Change::CreateNode { id, values, expires } = change else {
        return Err(Error::Internal("this makes no node".into()));
    };
    let expiry = if *expires { Expiry::After(LIFETIME) } else { Expiry::Never };
    let (id, labels) = (Some(id.clone()), vec![THING.to_owned()]);
    Ok(NodeDraft { id, labels, properties: draft(values)?, expiry, embedding: None })
}

fn messages(messages: &[(String, String)]) -> Result<Vec<NodeDraft>> {
    let each = messages.iter().map(|(id, content)| {
        let values = [("content".to_owned(), Value::Str(content.clone()))];
        Ok(NodeDraft::unlabelled(Some(id.clone()), draft(&values.into())?))
    });
    each.collect()
}

fn edge(change: &Change) -> Result<EdgeDraft> {
    let Change::CreateEdge { id, source, target, kind, weight } = change else {
        return Err(Error::Internal("this makes no edge".into()));
    };
    Ok(EdgeDraft {
        id: Some(id.clone()),
        source: source.clone(),
        target: target.clone(),
        edge_type: (*kind).to_owned(),
        properties: Draft::new(),
        weight: *weight as f64,
        valid_from: None,
        valid_to: None,
        sources: Vec::new(),
    })
}

fn weight(weight: i64) -> EdgeChanges {
    EdgeChanges { weight: Some(weight as f64), ..EdgeChanges::default() }
}

pub(crate) fn change(db: &Database, change: &Change) -> Result<()> {
    match change {
        Change::CreateNode { .. } => db.create_node(node(change)?).map(drop),
        Change::UpdateNode { id, set, remove } => {
            let changes = Changes { set: draft(set)?, remove: remove.clone() };
            db.update_node(id, changes, None).map(drop)
        }
        Change::DeleteNode { id } => db.delete_node(id, None),
        Change::CreateEdge { .. } => db.create_edge(edge(change)?).map(drop),
        Change::UpdateEdge { id, weight: new } => db.update_edge(id, weight(*new), None).map(drop),
        Change::RetractEdge { id } => db.retract_edge(id),
        Change::DeleteEdge { id } => db.delete_edge(id),
        Change::Say { chat, messages: said } => {
            db.add_messages(chat, messages(said)?, AddTo::AnyChat).map(drop)
        }
        Change::CreateVector { id, node, values } => {
            let (id, node_id) = (Some(id.clone()), node.clone());
            let (space, vector) = (Some(SPACE.to_owned()), values.clone());
            db.create_embeddings(vec![EmbeddingDraft { id, node_id, space, vector }]).map(drop)
        }
        Change::UpdateVector { id, values } => db.update_embedding(id, values.clone()),
        Change::DeleteVector { id } => db.delete_embedding(id),
    }
}

pub(crate) fn create_nodes(db: &Database, changes: &[Change]) -> Result<()> {
    let drafts = changes.iter().map(node).collect::<Result<_>>()?;
    db.create_nodes(drafts).map(drop)
}

/// The same in a transaction.
pub(crate) fn change_in(tx: &mut Transaction, change: &Change) -> Result<()> {
    match change {
        Change::CreateNode { .. } => tx.create_node(node(change)?).map(drop),
        Change::UpdateNode { id, set, remove } => {
            tx.update_node(id, Changes { set: draft(set)?, remove: remove.clone() })
        }
        Change::DeleteNode { id } => tx.delete_node(id),
        Change::CreateEdge { .. } => tx.create_edge(edge(change)?).map(drop),
        Change::UpdateEdge { id, weight: new } => tx.update_edge(id, weight(*new)),
        Change::RetractEdge { id } => tx.retract_edge(id),
        Change::DeleteEdge { id } => tx.delete_edge(id),
        Change::Say { chat, messages: said } => {
            // A step: all of it is there, or nothing.
            tx.begin_step();
            let said = tx.add_messages(chat, messages(said)?, AddTo::AnyChat);
            tx.end_step(said.is_ok());
            said.map(drop)
        }
        other => Err(Error::Internal(format!("a transaction cannot do {other:?}"))),
    }
}

/// What all questions begin with.
fn nothing(labels: &[&str]) -> ConvergedQuery {
    ConvergedQuery {
        filters: Vec::new(),
        graph: None,
        semantic: None,
        text: None,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        order_by: Vec::new(),
        limit: 1000,
        rank: Rank { neighbors: Some(0.0), ..Rank::default() },
        recall: None,
        explain: false,
    }
}

fn query(query: ConvergedQuery) -> Query {
    let (semantic, threshold, space, wait, timeout) = Default::default();
    Query { query, semantic, threshold, space, wait, timeout }
}

/// Things with this value of `p`.
pub(crate) fn with_value(p: i64) -> Query {
    let (property, operator, value) = ("p".to_owned(), Operator::Equals, Value::Int(p));
    let filters = vec![Filter::Test { property, operator, value }];
    query(ConvergedQuery { filters, ..nothing(&[THING]) })
}

/// Things with a value of `p` from this one on.
pub(crate) fn from_value(p: i64) -> Query {
    let operator = Operator::GreaterThanOrEqual;
    let filters = vec![Filter::Test { property: "p".to_owned(), operator, value: Value::Int(p) }];
    query(ConvergedQuery { filters, ..nothing(&[THING]) })
}

/// Messages and things with a word.
pub(crate) fn with_word(word: &str) -> Query {
    query(ConvergedQuery { text: Some(word.into()), ..nothing(&["Message", THING]) })
}

/// Nodes with vectors of users, the nearest first.
pub(crate) fn near(vector: &[f32]) -> Query {
    let semantic = Some(SemanticLeg::Vector(vector.to_vec()));
    Query { semantic, space: Some(SPACE.to_owned()), ..query(nothing(&[])) }
}

pub(crate) fn update_matching(db: &Database, p: i64, q: &str) -> Result<()> {
    let set = draft(&[("q".to_owned(), Value::Str(q.to_owned()))].into())?;
    db.update_matching(&with_value(p), Changes { set, remove: Vec::new() }).map(drop)
}

/// The ids of what a question finds, with how near each is.
pub(crate) fn found(db: &Database, query: &Query) -> Result<Vec<(String, f32)>> {
    let answer = db.query(query, None, &go_on)?;
    let hits = answer.hits.iter();
    hits.map(|hit| Ok((hit.node.id()?, hit.hit.similarity.unwrap_or(0.0)))).collect()
}

/// Makes a database of a backup.
pub(crate) fn restore(backup: &Path, to: &Path) -> Result<()> {
    Database::restore(backup, to, &mut quiet).map(drop)
}
