//! Buffered writes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use embedded_db_engine as engine;
use embedded_db_engine::common::Result;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::{KnownAt, Limit, Text, Ttl, ValidAt, add_to, after, as_of, optional};
use crate::convert::{
    changes, edge, edge_changes, embedding, flat, items, message as message_draft, node, successor,
};
use crate::errors::{Released, SIGNALS, detached, ended, interrupted, to_its_end};
use crate::objects::{Edge, Embedding, Node};
use crate::query::{Cursor, Hits, groups, query};
use crate::reads::{nodes, reach, types};
use crate::recall::recall;
use crate::search::{FoundHits, found, search};

/// Nodes and edges as they were stored by a commit.
type Stored = (Vec<Option<Node>>, Vec<Option<Edge>>);

/// A transaction between two calls.
struct State {
    /// `None` when it has ended.
    inner: Option<engine::Transaction>,
    /// The thread that is within a step, and in how many.
    step: Option<(ThreadId, usize)>,
}

impl State {
    fn is_in_a_step_of_another(&self) -> bool {
        self.step.is_some_and(|(thread, _)| thread != thread::current().id())
    }
}

/// Buffered writes over a pinned snapshot, checked and applied at commit.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Transaction {
    state: Released<Mutex<State>>,
    /// A step has ended.
    free: Condvar,
}

impl Transaction {
    pub(crate) fn new(inner: engine::Transaction) -> Self {
        let state = State { inner: Some(inner), step: None };
        Self { state: Released::new(Mutex::new(state)), free: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread is within a step: what a step writes may still be undone, and
    /// nothing else must be undone with it.
    fn turn(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        while state.is_in_a_step_of_another() {
            let Some(inner) = &state.inner else { break };
            // A forked child has no other thread that could end its step.
            inner.check_usable()?;
            let waited = self.free.wait_timeout(state, SIGNALS);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            // A handler of signals may use the transaction.
            interrupted()?;
            state = self.lock();
        }
        Ok(state)
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut engine::Transaction) -> Result<T> + Send,
    ) -> PyResult<T> {
        let outcome = detached(py, || self.turn()?.inner.as_mut().map(work).transpose())?;
        outcome.ok_or_else(|| ended(py, "transaction"))
    }

    fn take(&self, py: Python<'_>) -> PyResult<Option<engine::Transaction>> {
        detached(py, || Ok(self.turn()?.inner.take()))
    }

    fn begin_step(&self) -> Result<Option<()>> {
        let mut state = self.turn()?;
        let Some(inner) = &mut state.inner else { return Ok(None) };
        inner.begin_step();
        let depth = state.step.map_or(0, |(_, depth)| depth);
        state.step = Some((thread::current().id(), depth + 1));
        Ok(Some(()))
    }

    fn end_step(&self, keep: bool) -> Option<()> {
        let mut state = self.lock();
        state.step = state.step.filter(|(_, depth)| *depth > 1).map(|(of, depth)| (of, depth - 1));
        if state.step.is_none() {
            self.free.notify_all();
        }
        state.inner.as_mut().map(|inner| inner.end_step(keep))
    }
}

/// Writes that are undone together when one fails; other threads wait for its end.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Step {
    of: Py<Transaction>,
}

#[pymethods]
impl Step {
    // A signal cannot come between the beginning and the block: `with` sees to it for native code.
    fn __enter__(&self, py: Python<'_>) -> PyResult<()> {
        let of = self.of.get();
        detached(py, || of.begin_step())?.ok_or_else(|| ended(py, "transaction"))
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _trace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (of, keep) = (self.of.get(), kind.is_none());
        let was_open = to_its_end(py, || Ok(of.end_step(keep)))?;
        // What the block raised says more.
        if keep { was_open.ok_or_else(|| ended(py, "transaction")) } else { Ok(()) }
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

    #[allow(clippy::too_many_arguments)]
    fn neighbors(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        types: Option<&Bound<'_, PyAny>>,
        direction: Text<'_>,
        after: Option<Text<'_>>,
        limit: Limit,
        valid_at: Option<ValidAt>,
        known_at: Option<KnownAt>,
    ) -> PyResult<(Vec<Node>, Option<String>)> {
        let (types, reach) = (self::types(types)?, reach(py, &direction)?);
        let (after, times) = (optional(after), as_of(valid_at, known_at));
        let page = self
            .with(py, |txn| txn.neighbors(&id, types.as_deref(), reach, times, after, limit.0))?;
        Ok((nodes(page.items), page.next))
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
        let (message, to) = (message_draft(message)?, add_to(must_exist));
        Ok(Node { inner: self.with(py, |txn| txn.add_message(&chat_id, message, to))? })
    }

    fn add_messages(
        &self,
        py: Python<'_>,
        chat_id: Text<'_>,
        messages: &Bound<'_, PyAny>,
        must_exist: bool,
    ) -> PyResult<Vec<Node>> {
        let messages = items(messages, message_draft)?;
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

    fn step(slf: &Bound<'_, Self>) -> Step {
        Step { of: slf.clone().unbind() }
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

    fn recall(&self, py: Python<'_>, recall: &Bound<'_, PyDict>) -> PyResult<Hits> {
        let recall = self::recall(recall)?;
        self.with(py, |txn| txn.reads().recall(&recall, &interrupted)).map(Hits::new)
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
        // `take` was the last moment at which it could be cancelled.
        let committed = to_its_end(py, || txn.commit_held(&nodes, &edges))?;
        let node = |node: Option<engine::Node>| node.map(|inner| Node { inner });
        let edge = |edge: Option<engine::Edge>| edge.map(|inner| Edge { inner });
        Ok((
            committed.nodes.into_iter().map(node).collect(),
            committed.edges.into_iter().map(edge).collect(),
        ))
    }

    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        // Its end waits for other readers, who may be waiting for the interpreter.
        to_its_end(py, || {
            drop(self.lock().inner.take());
            Ok(())
        })
    }
}
