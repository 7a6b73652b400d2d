//! Reads: the class that databases and snapshots have in common.

use std::sync::{Arc, Mutex, PoisonError};

use embedded_db_engine as engine;
use embedded_db_engine::Reach;
use embedded_db_engine::analytics::Scope;
use embedded_db_engine::common::Result;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::{
    Hops, KnownAt, Limit, MaxDepth, MaxHops, MaxVisited, Place, Text, Timeout, ValidAt, as_of,
    begin, optional,
};
use crate::convert::strings;
use crate::errors::{Released, attached, detached, ended, interrupted, to_its_end, to_python};
use crate::graphs::Graph;
use crate::objects::{Edge, Embedding, Node, Path};
use crate::query::{Cursor, Hits, groups, query};
use crate::recall::recall;
use crate::search::{FoundHits, found, search};

/// A page of items and the cursor of the next.
type PageOf<T> = (Vec<T>, Option<String>);

pub(crate) fn nodes(nodes: Vec<engine::Node>) -> Vec<Node> {
    nodes.into_iter().map(|inner| Node { inner }).collect()
}

fn edges(edges: Vec<engine::Edge>) -> Vec<Edge> {
    edges.into_iter().map(|inner| Edge { inner }).collect()
}

pub(crate) fn reach(py: Python<'_>, direction: &str) -> PyResult<Reach> {
    Reach::parse("direction", direction).map_err(|error| to_python(py, &error))
}

pub(crate) fn types(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<String>>> {
    given.map(|types| strings("types", types)).transpose()
}

/// The reads of a snapshot until it is closed.
pub(crate) struct Pinned {
    // A read transaction may move between threads but not be used by two at once.
    inner: Released<Mutex<Option<engine::PinnedReads>>>,
}

impl Pinned {
    pub(crate) fn new(inner: engine::PinnedReads) -> Self {
        Self { inner: Released::new(Mutex::new(Some(inner))) }
    }

    /// Waits for another thread's read with the interpreter released.
    pub(crate) fn read<T: Send>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&engine::PinnedReads) -> Result<T> + Send,
    ) -> PyResult<T> {
        let outcome = detached(py, || {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.as_ref().map(read).transpose()
        })?;
        outcome.ok_or_else(|| ended(py, "snapshot"))
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        to_its_end(py, || {
            self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(())
        })
    }
}

enum Source {
    Database(Released<engine::Database>),
    Snapshot(Arc<Pinned>),
}

/// Reads of a namespace: of what is committed when a method is called, or of one instant.
#[pyclass(frozen, subclass, name = "_Reads", module = "embedded_db._native")]
pub(crate) struct Reads {
    source: Source,
}

impl Reads {
    pub(crate) fn of_database(database: engine::Database) -> Self {
        Self { source: Source::Database(Released::new(database)) }
    }

    pub(crate) fn of_snapshot(pinned: Arc<Pinned>) -> Self {
        Self { source: Source::Snapshot(pinned) }
    }
}

/// Asks the source. `$call` is compiled for both kinds, which have the same methods; `$run` says
/// whether a database answers with the interpreter held (`attached`) or released (`detached`). One that is shared
/// may wait for another process, so it never holds the interpreter.
macro_rules! read {
    ($self:ident, $py:ident, $run:ident, |$reads:ident| $call:expr) => {
        match &$self.source {
            Source::Database(database) => {
                let $reads: &engine::Database = database;
                if $reads.is_shared() { detached($py, || $call) } else { $run($py, || $call) }
            }
            Source::Snapshot(pinned) => pinned.read($py, |$reads| $call),
        }
    };
}

fn defect() -> Result<()> {
    panic!("a defect for a test")
}

#[pymethods]
impl Reads {
    /// Panics where a read does its work, so that a test sees what becomes of it.
    fn _panic_for_test(&self, py: Python<'_>, released: bool) -> PyResult<()> {
        if released {
            read!(self, py, detached, |_reads| defect())
        } else {
            read!(self, py, attached, |_reads| defect())
        }
    }

    fn get_node(&self, py: Python<'_>, id: Text<'_>) -> PyResult<Option<Node>> {
        let found = read!(self, py, attached, |reads| reads.get_node(&id))?;
        Ok(found.map(|inner| Node { inner }))
    }

    fn get_many(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<Vec<Option<Node>>> {
        let ids = strings("ids", ids)?;
        let found = read!(self, py, detached, |reads| reads.get_many(&ids))?;
        Ok(found.into_iter().map(|node| node.map(|inner| Node { inner })).collect())
    }

    fn exists(&self, py: Python<'_>, id: Text<'_>) -> PyResult<bool> {
        read!(self, py, attached, |reads| reads.exists(&id))
    }

    #[pyo3(signature = (label=None))]
    fn count(&self, py: Python<'_>, label: Option<Text<'_>>) -> PyResult<u64> {
        read!(self, py, detached, |reads| reads.count(optional(label)))
    }

    #[pyo3(signature = (r#type=None))]
    fn count_edges(&self, py: Python<'_>, r#type: Option<Text<'_>>) -> PyResult<u64> {
        read!(self, py, detached, |reads| reads.count_edges(optional(r#type)))
    }

    fn nodes_page(
        &self,
        py: Python<'_>,
        label: Option<Text<'_>>,
        after: Option<Text<'_>>,
        limit: Limit,
    ) -> PyResult<Vec<Node>> {
        let (label, after) = (optional(label), optional(after));
        read!(self, py, detached, |reads| reads.nodes(label, after, limit.0)).map(nodes)
    }

    #[pyo3(signature = (id, valid_at=None, known_at=None))]
    fn get_edge(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        valid_at: Option<ValidAt>,
        known_at: Option<KnownAt>,
    ) -> PyResult<Option<Edge>> {
        let times = as_of(valid_at, known_at);
        let found = read!(self, py, attached, |reads| reads.get_edge(&id, times))?;
        Ok(found.map(|inner| Edge { inner }))
    }

    fn edge_history(&self, py: Python<'_>, id: Text<'_>) -> PyResult<Vec<Edge>> {
        read!(self, py, detached, |reads| reads.edge_history(&id)).map(edges)
    }

    fn edges_ever(
        &self,
        py: Python<'_>,
        after: Option<Text<'_>>,
        limit: Limit,
    ) -> PyResult<Vec<Edge>> {
        let after = optional(after);
        read!(self, py, detached, |reads| reads.edges_ever(after, limit.0)).map(edges)
    }

    fn due(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<&'static str>>> {
        let ids = strings("ids", ids)?;
        let due = read!(self, py, detached, |reads| reads.due(&ids))?;
        Ok(due
            .into_iter()
            .map(|due| due.into_iter().map(engine::Artefact::name).collect())
            .collect())
    }

    fn declared_labels(&self, py: Python<'_>) -> PyResult<Vec<engine::DeclaredLabel>> {
        read!(self, py, detached, |reads| reads.declared_labels())
    }

    #[pyo3(signature = (id, types, direction, after, limit, valid_at=None, known_at=None))]
    #[allow(clippy::too_many_arguments)]
    fn edges_page(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        types: Option<&Bound<'_, PyAny>>,
        direction: Text<'_>,
        after: Option<Text<'_>>,
        limit: Limit,
        valid_at: Option<ValidAt>,
        known_at: Option<KnownAt>,
    ) -> PyResult<PageOf<Edge>> {
        let (types, reach) = (self::types(types)?, reach(py, &direction)?);
        let (after, times) = (optional(after), as_of(valid_at, known_at));
        let page = read!(self, py, detached, |reads| {
            reads.edges(&id, types.as_deref(), reach, times, after, limit.0)
        })?;
        Ok((edges(page.items), page.next))
    }

    #[pyo3(signature = (id, types, direction, after, limit, valid_at=None, known_at=None))]
    #[allow(clippy::too_many_arguments)]
    fn neighbors_page(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        types: Option<&Bound<'_, PyAny>>,
        direction: Text<'_>,
        after: Option<Text<'_>>,
        limit: Limit,
        valid_at: Option<ValidAt>,
        known_at: Option<KnownAt>,
    ) -> PyResult<PageOf<Node>> {
        let (types, reach) = (self::types(types)?, reach(py, &direction)?);
        let (after, times) = (optional(after), as_of(valid_at, known_at));
        let page = read!(self, py, detached, |reads| {
            reads.neighbors(&id, types.as_deref(), reach, times, after, limit.0)
        })?;
        Ok((nodes(page.items), page.next))
    }

    /// Messages of a chat, the place of each, and whether there are more.
    #[pyo3(signature = (chat_id, after, place, newest_first, limit))]
    fn messages_page(
        &self,
        py: Python<'_>,
        chat_id: Text<'_>,
        after: Option<Text<'_>>,
        place: Option<Place>,
        newest_first: bool,
        limit: Limit,
    ) -> PyResult<(Vec<Node>, Vec<u32>, bool)> {
        let begin = begin(optional(after), place.map(|place| place.0));
        let page = read!(self, py, detached, |reads| {
            reads.messages(&chat_id, begin, newest_first, limit.0)
        })?;
        let (messages, places): (Vec<_>, Vec<_>) = page.items.into_iter().unzip();
        Ok((nodes(messages), places, page.more))
    }

    fn place_in_chat(
        &self,
        py: Python<'_>,
        chat_id: Text<'_>,
        message: Text<'_>,
    ) -> PyResult<Option<u32>> {
        read!(self, py, attached, |reads| reads.place_in_chat(&chat_id, &message))
    }

    fn get_embedding(&self, py: Python<'_>, id: Text<'_>) -> PyResult<Option<Embedding>> {
        let found = read!(self, py, detached, |reads| reads.get_embedding(&id))?;
        found.map(|embedding| Embedding::new(py, embedding)).transpose()
    }

    #[pyo3(signature = (id, space=None))]
    fn get_embedding_for_node(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        space: Option<Text<'_>>,
    ) -> PyResult<Option<Embedding>> {
        let found = read!(self, py, detached, |reads| reads.embedding_of(&id, optional(space)))?;
        found.map(|embedding| Embedding::new(py, embedding)).transpose()
    }

    #[pyo3(signature = (id, space=None))]
    fn get_embeddings_for_node(
        &self,
        py: Python<'_>,
        id: Text<'_>,
        space: Option<Text<'_>>,
    ) -> PyResult<Vec<Embedding>> {
        let found = read!(self, py, detached, |reads| reads.embeddings(&id, optional(space)))?;
        found.into_iter().map(|embedding| Embedding::new(py, embedding)).collect()
    }

    #[pyo3(signature = (query, after=None))]
    fn query(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyDict>,
        after: Option<&Cursor>,
    ) -> PyResult<Hits> {
        let (query, after) = (self::query(query)?, after.map(Cursor::engine));
        let found = read!(self, py, detached, |reads| reads.query(&query, after, &interrupted));
        found.map(Hits::new)
    }

    fn search<'py>(
        &self,
        py: Python<'py>,
        search: &Bound<'py, PyDict>,
    ) -> PyResult<FoundHits<'py>> {
        let search = self::search(search)?;
        found(py, read!(self, py, detached, |reads| reads.search(&search, &interrupted))?)
    }

    fn recall(&self, py: Python<'_>, recall: &Bound<'_, PyDict>) -> PyResult<Hits> {
        let recall = self::recall(recall)?;
        let found = read!(self, py, detached, |reads| reads.recall(&recall, &interrupted));
        found.map(Hits::new)
    }

    fn count_matching(&self, py: Python<'_>, query: &Bound<'_, PyDict>) -> PyResult<u64> {
        let query = self::query(query)?;
        read!(self, py, detached, |reads| reads.count_matching(&query, &interrupted))
    }

    fn group_count<'py>(
        &self,
        py: Python<'py>,
        query: &Bound<'_, PyDict>,
        property: Text<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let query = self::query(query)?;
        let found = read!(self, py, detached, |reads| {
            reads.group_count(&query, &property, &interrupted)
        })?;
        groups(py, found)
    }

    #[pyo3(signature = (
        start, types, direction, max_depth, depth_first, limit, max_visited, valid_at=None, known_at=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn traverse(
        &self,
        py: Python<'_>,
        start: Text<'_>,
        types: Option<&Bound<'_, PyAny>>,
        direction: Text<'_>,
        max_depth: MaxDepth,
        depth_first: bool,
        limit: Limit,
        max_visited: MaxVisited,
        valid_at: Option<ValidAt>,
        known_at: Option<KnownAt>,
    ) -> PyResult<(Vec<Node>, Vec<u32>)> {
        let (types, reach) = (self::types(types)?, reach(py, &direction)?);
        let times = as_of(valid_at, known_at);
        let walked = read!(self, py, detached, |reads| {
            reads.traverse(
                &start,
                types.as_deref(),
                reach,
                times,
                max_depth.0,
                depth_first,
                limit.0,
                max_visited.0,
                &interrupted,
            )
        })?;
        Ok(walked.into_iter().map(|(inner, depth)| (Node { inner }, depth)).unzip())
    }

    #[pyo3(signature = (
        start, end, types, direction, max_hops, weighted, max_visited, valid_at=None, known_at=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn find_shortest_path(
        &self,
        py: Python<'_>,
        start: Text<'_>,
        end: Text<'_>,
        types: Option<&Bound<'_, PyAny>>,
        direction: Text<'_>,
        max_hops: Option<MaxHops>,
        weighted: bool,
        max_visited: MaxVisited,
        valid_at: Option<ValidAt>,
        known_at: Option<KnownAt>,
    ) -> PyResult<Option<Path>> {
        let (types, reach) = (self::types(types)?, reach(py, &direction)?);
        let times = as_of(valid_at, known_at);
        let found = read!(self, py, detached, |reads| {
            reads.shortest_path(
                &start,
                &end,
                types.as_deref(),
                reach,
                times,
                max_hops.map(|hops| hops.0),
                weighted,
                max_visited.0,
                &interrupted,
            )
        })?;
        Ok(found.map(|inner| Path { inner }))
    }

    /// A graph for algorithms. What is done with it ends when the time is over, too.
    #[pyo3(signature = (
        labels, types, starts, weighted, max_visited, timeout, valid_at=None, known_at=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn graph(
        &self,
        py: Python<'_>,
        labels: Option<&Bound<'_, PyAny>>,
        types: Option<&Bound<'_, PyAny>>,
        starts: &Bound<'_, PyAny>,
        weighted: bool,
        max_visited: MaxVisited,
        timeout: Option<Timeout>,
        valid_at: Option<ValidAt>,
        known_at: Option<KnownAt>,
    ) -> PyResult<Graph> {
        let scope = Scope {
            labels: labels.map(|labels| strings("labels", labels)).transpose()?,
            edge_types: self::types(types)?,
            times: as_of(valid_at, known_at),
            weighted,
            max_visited: max_visited.0,
        };
        let (starts, timeout) = (strings("ids", starts)?, timeout.map(|timeout| timeout.0));
        let read = read!(self, py, detached, |reads| {
            reads.graph(&scope, &starts, timeout, &interrupted)
        })?;
        Ok(Graph::new(read))
    }

    #[pyo3(signature = (
        ids, hops, types, direction, max_visited, valid_at=None, known_at=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn subgraph(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        hops: Hops,
        types: Option<&Bound<'_, PyAny>>,
        direction: Text<'_>,
        max_visited: MaxVisited,
        valid_at: Option<ValidAt>,
        known_at: Option<KnownAt>,
    ) -> PyResult<(Vec<Node>, Vec<Edge>)> {
        let (ids, types) = (strings("ids", ids)?, self::types(types)?);
        let (reach, times) = (reach(py, &direction)?, as_of(valid_at, known_at));
        let (found, between) = read!(self, py, detached, |reads| {
            reads.subgraph(
                &ids,
                hops.0,
                types.as_deref(),
                reach,
                times,
                max_visited.0,
                &interrupted,
            )
        })?;
        Ok((nodes(found), edges(between)))
    }
}
