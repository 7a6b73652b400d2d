//! Buffered writes.

use std::sync::{Mutex, PoisonError};

use embedded_db_engine as engine;
use embedded_db_engine::common::Result;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::{Limit, Text, Ttl, add_to, after, optional};
use crate::convert::{changes, edge, edge_changes, embedding, flat, items, node, successor};
use crate::errors::{Released, detached, ended, interrupted};
use crate::objects::{Edge, Embedding, Node};
use crate::query::{Cursor, Hits, groups, query};
use crate::reads::{nodes, reach, types};
use crate::search::{FoundHits, found, search};

/// Nodes and edges as they were stored by a commit.
type Stored = (Vec<Option<Node>>, Vec<Option<Edge>>);

/// Buffered writes over a pinned snapshot, checked and applied at commit.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Transaction {
    inner: Released<Mutex<Option<engine::Transaction>>>,
}

impl Transaction {
    pub(crate) fn new(inner: engine::Transaction) -> Self {
        Self { inner: Released::new(Mutex::new(Some(inner))) }
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut engine::Transaction) -> Result<T> + Send,
    ) -> PyResult<T> {
        let outcome = detached(py, || {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.as_mut().map(work).transpose()
        })?;
        outcome.ok_or_else(|| ended(py, "transaction"))
    }

    fn take(&self, py: Python<'_>) -> PyResult<Option<engine::Transaction>> {
        detached(py, || Ok(self.inner.lock().unwrap_or_else(PoisonError::into_inner).take()))
    }
}

#[pymethods]
impl Transaction {
    fn create_node(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<String> {
        let draft = self::node(node)?;
        self.with(py, |txn| txn.create_node(draft))
    }

    fn get_node(&self, py: Python<'_>, id: Text<'_>) -> PyResult<Option<Node>> {
        Ok(self.with(py, |txn| txn.get_node(&id))?.map(|inner| Node { inner }))
    }

    fn update_node(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        updates: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let changes = changes(updates)?;
        self.with(py, |txn| txn.update_node(&id, changes))
    }

    fn set_ttl(&self, py: Python<'_>, id: Text<'_>, ttl: Option<Ttl>) -> PyResult<()> {
        self.with(py, |txn| txn.set_expiry(&id, after(ttl)))
    }

    fn delete_node(&self, py: Python<'_>, id: Text<'_>) -> PyResult<()> {
        self.with(py, |txn| txn.delete_node(&id))
    }

    fn create_edge(&self, py: Python<'_>, edge: &Bound<'_, PyAny>) -> PyResult<String> {
        let draft = self::edge(edge)?;
        self.with(py, |txn| txn.create_edge(draft))
    }

    fn get_edge(&self, py: Python<'_>, id: Text<'_>) -> PyResult<Option<Edge>> {
        Ok(self.with(py, |txn| txn.get_edge(&id))?.map(|inner| Edge { inner }))
    }

    fn update_edge(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        updates: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let changes = edge_changes(updates)?;
        self.with(py, |txn| txn.update_edge(&id, changes))
    }

    fn supersede_edge(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        edge: &Bound<'_, PyAny>,
    ) -> PyResult<String> {
        let successor = successor(edge)?;
        self.with(py, |txn| txn.supersede_edge(&id, successor))
    }

    fn retract_edge(&self, py: Python<'_>, id: Text<'_>) -> PyResult<()> {
        self.with(py, |txn| txn.retract_edge(&id))
    }

    fn delete_edge(&self, py: Python<'_>, id: Text<'_>) -> PyResult<()> {
        self.with(py, |txn| txn.delete_edge(&id))
    }

    fn create_embedding(&self, py: Python<'_>, embedding: &Bound<'_, PyAny>) -> PyResult<String> {
        let draft = self::embedding(embedding)?;
        self.with(py, |txn| txn.create_embedding(draft))
    }

    #[pyo3(signature = (id, space=None))]
    fn get_embedding_for_node(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        space: Option<Text<'_>>,
    ) -> PyResult<Option<Embedding>> {
        let found = self.with(py, |txn| txn.embedding_of(&id, optional(space)))?;
        found.map(|embedding| Embedding::new(py, embedding)).transpose()
    }

    fn delete_embedding(&self, py: Python<'_>, id: Text<'_>) -> PyResult<()> {
        self.with(py, |txn| txn.delete_embedding(&id))
    }

    fn neighbors(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        types: Option<&Bound<'_, PyAny>>,
        direction: Text<'_>,
    ) -> PyResult<Vec<Node>> {
        let (types, reach) = (self::types(types)?, reach(py, &direction)?);
        self.with(py, |txn| txn.neighbors(&id, types.as_deref(), reach)).map(nodes)
    }

    fn edges_between(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        far: Text<'_>,
        edge_type: Text<'_>,
        direction: Text<'_>,
    ) -> PyResult<Vec<String>> {
        let reach = reach(py, &direction)?;
        self.with(py, |txn| txn.edges_between(&id, &far, &edge_type, reach))
    }

    fn create_chat(&self, py: Python<'_>, chat: &Bound<'_, PyAny>) -> PyResult<Node> {
        let draft = flat(chat, "a chat")?;
        Ok(Node { inner: self.with(py, |txn| txn.create_chat(draft))? })
    }

    fn add_message(
        &self,
        py: Python<'_>,
        chat_id: Text<'_>,
        message: &Bound<'_, PyAny>,
        must_exist: bool,
    ) -> PyResult<Node> {
        let (message, to) = (flat(message, "a message")?, add_to(must_exist));
        Ok(Node { inner: self.with(py, |txn| txn.add_message(&chat_id, message, to))? })
    }

    fn add_messages(
        &self,
        py: Python<'_>,
        chat_id: Text<'_>,
        messages: &Bound<'_, PyAny>,
        must_exist: bool,
    ) -> PyResult<Vec<Node>> {
        let messages = items(messages, |item| flat(item, "a message"))?;
        let to = add_to(must_exist);
        self.with(py, |txn| txn.add_messages(&chat_id, messages, to)).map(nodes)
    }

    fn messages(
        &self,
        py: Python<'_>,
        chat_id: Text<'_>,
        after: Option<Text<'_>>,
        newest_first: bool,
        limit: Limit,
    ) -> PyResult<Vec<Node>> {
        let after = optional(after);
        self.with(py, |txn| txn.messages(&chat_id, after, newest_first, limit.0)).map(nodes)
    }

    fn written_nodes(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |txn| Ok(txn.written_nodes()))
    }

    fn begin_step(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |txn| {
            txn.begin_step();
            Ok(())
        })
    }

    fn end_step(&self, py: Python<'_>, keep: bool) -> PyResult<()> {
        self.with(py, |txn| {
            txn.end_step(keep);
            Ok(())
        })
    }

    #[pyo3(signature = (query, after=None))]
    fn query(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyDict>,
        after: Option<&Cursor>,
    ) -> PyResult<Hits> {
        let (query, after) = (self::query(query)?, after.map(Cursor::engine));
        self.with(py, |txn| txn.reads().query(&query, after, &interrupted)).map(Hits::new)
    }

    fn search<'py>(
        &self,
        py: Python<'py>,
        search: &Bound<'py, PyDict>,
    ) -> PyResult<FoundHits<'py>> {
        let search = self::search(search)?;
        found(py, self.with(py, |txn| txn.reads().search(&search, &interrupted))?)
    }

    fn count_matching(&self, py: Python<'_>, query: &Bound<'_, PyDict>) -> PyResult<u64> {
        let query = self::query(query)?;
        self.with(py, |txn| txn.reads().count_matching(&query, &interrupted))
    }

    fn group_count<'py>(
        &self,
        py: Python<'py>,
        query: &Bound<'_, PyDict>,
        property: Text<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let query = self::query(query)?;
        let found =
            self.with(py, |txn| txn.reads().group_count(&query, &property, &interrupted))?;
        groups(py, found)
    }

    fn commit(
        &self,
        py: Python<'_>,
        nodes: Vec<Bound<'_, Node>>,
        edges: Vec<Bound<'_, Edge>>,
    ) -> PyResult<Stored> {
        let txn = self.take(py)?.ok_or_else(|| ended(py, "transaction"))?;
        let nodes: Vec<_> = nodes.iter().map(|node| node.get().inner.clone()).collect();
        let edges: Vec<_> = edges.iter().map(|edge| edge.get().inner.clone()).collect();
        let committed = detached(py, || txn.commit_held(&nodes, &edges))?;
        let node = |node: Option<engine::Node>| node.map(|inner| Node { inner });
        let edge = |edge: Option<engine::Edge>| edge.map(|inner| Edge { inner });
        Ok((
            committed.nodes.into_iter().map(node).collect(),
            committed.edges.into_iter().map(edge).collect(),
        ))
    }

    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        // Its end waits for other readers, who may be waiting for the interpreter.
        detached(py, || {
            drop(self.inner.lock().unwrap_or_else(PoisonError::into_inner).take());
            Ok(())
        })
    }
}
