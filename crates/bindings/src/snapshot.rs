//! Reads of one instant.

use std::sync::{Mutex, PoisonError};

use embedded_db_engine as engine;
use embedded_db_engine::common::Result;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::strings;
use crate::database::{PageOf, edges, embeddings, nodes, reach, types};
use crate::errors::{Released, detached, ended, interrupted};
use crate::objects::{Edge, Embedding, Node, Path};
use crate::query::{Hits, query};
use crate::search::{FoundHits, found, search};

/// Reads of one instant.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Snapshot {
    // A read transaction may move between threads but not be used by two at once.
    inner: Released<Mutex<Option<engine::PinnedReads>>>,
}

impl Snapshot {
    pub(crate) fn new(inner: engine::PinnedReads) -> Self {
        Self { inner: Released::new(Mutex::new(Some(inner))) }
    }

    /// Waits for another thread's read with the interpreter released.
    fn read<T: Send>(
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
}

#[pymethods]
impl Snapshot {
    #[getter]
    fn lsn(&self, py: Python<'_>) -> PyResult<u64> {
        self.read(py, |reads| Ok(reads.lsn()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(())
        })
    }

    fn get_node(&self, py: Python<'_>, id: &str) -> PyResult<Option<Node>> {
        let found = self.read(py, |reads| reads.get_node(id))?;
        Ok(found.map(|inner| Node { inner }))
    }

    fn get_edge(&self, py: Python<'_>, id: &str) -> PyResult<Option<Edge>> {
        let found = self.read(py, |reads| reads.get_edge(id))?;
        Ok(found.map(|inner| Edge { inner }))
    }

    fn get_many(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<Vec<Option<Node>>> {
        let ids = strings("ids", ids)?;
        let found = self.read(py, |reads| reads.get_many(&ids))?;
        Ok(found.into_iter().map(|node| node.map(|inner| Node { inner })).collect())
    }

    fn exists(&self, py: Python<'_>, id: &str) -> PyResult<bool> {
        self.read(py, |reads| reads.exists(id))
    }

    #[pyo3(signature = (label=None))]
    fn count(&self, py: Python<'_>, label: Option<&str>) -> PyResult<u64> {
        self.read(py, |reads| reads.count(label))
    }

    #[pyo3(signature = (r#type=None))]
    fn count_edges(&self, py: Python<'_>, r#type: Option<&str>) -> PyResult<u64> {
        self.read(py, |reads| reads.count_edges(r#type))
    }

    fn nodes_page(
        &self,
        py: Python<'_>,
        label: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> PyResult<Vec<Node>> {
        self.read(py, |reads| reads.nodes(label, after, limit)).map(nodes)
    }

    fn neighbors_page(
        &self,
        py: Python<'_>,
        id: &str,
        types: Option<&Bound<'_, PyAny>>,
        direction: &str,
        after: Option<&str>,
        limit: usize,
    ) -> PyResult<PageOf<Node>> {
        let (types, reach) = (self::types(types)?, reach(py, direction)?);
        let page =
            self.read(py, |reads| reads.neighbors(id, types.as_deref(), reach, after, limit))?;
        Ok((nodes(page.items), page.next))
    }

    fn edges_page(
        &self,
        py: Python<'_>,
        id: &str,
        types: Option<&Bound<'_, PyAny>>,
        direction: &str,
        after: Option<&str>,
        limit: usize,
    ) -> PyResult<PageOf<Edge>> {
        let (types, reach) = (self::types(types)?, reach(py, direction)?);
        let page = self.read(py, |reads| reads.edges(id, types.as_deref(), reach, after, limit))?;
        Ok((edges(page.items), page.next))
    }

    #[pyo3(signature = (id, space=None))]
    fn get_embedding_for_node(
        &self,
        py: Python<'_>,
        id: &str,
        space: Option<&str>,
    ) -> PyResult<Option<Embedding>> {
        let found = self.read(py, |reads| reads.embedding_of(id, space))?;
        found.map(|embedding| Embedding::new(py, embedding)).transpose()
    }

    #[pyo3(signature = (id, space=None))]
    fn get_embeddings_for_node(
        &self,
        py: Python<'_>,
        id: &str,
        space: Option<&str>,
    ) -> PyResult<Vec<Embedding>> {
        embeddings(py, self.read(py, |reads| reads.embeddings(id, space))?)
    }

    fn query(&self, py: Python<'_>, query: &Bound<'_, PyDict>) -> PyResult<Hits> {
        let query = self::query(query)?;
        self.read(py, |reads| reads.query(&query, &interrupted)).map(Hits::new)
    }

    fn search<'py>(
        &self,
        py: Python<'py>,
        search: &Bound<'py, PyDict>,
    ) -> PyResult<FoundHits<'py>> {
        let search = self::search(search)?;
        found(py, self.read(py, |reads| reads.search(&search, &interrupted))?)
    }

    #[allow(clippy::too_many_arguments)]
    fn traverse(
        &self,
        py: Python<'_>,
        start: &str,
        types: Option<&Bound<'_, PyAny>>,
        direction: &str,
        max_depth: u32,
        depth_first: bool,
        limit: usize,
        max_visited: usize,
    ) -> PyResult<Vec<(Node, u32)>> {
        let (types, reach) = (self::types(types)?, reach(py, direction)?);
        let walked = self.read(py, |reads| {
            reads.traverse(
                start,
                types.as_deref(),
                reach,
                max_depth,
                depth_first,
                limit,
                max_visited,
                &interrupted,
            )
        })?;
        Ok(walked.into_iter().map(|(inner, depth)| (Node { inner }, depth)).collect())
    }

    #[allow(clippy::too_many_arguments)]
    fn find_shortest_path(
        &self,
        py: Python<'_>,
        start: &str,
        end: &str,
        types: Option<&Bound<'_, PyAny>>,
        direction: &str,
        max_hops: Option<u32>,
        max_visited: usize,
    ) -> PyResult<Option<Path>> {
        let (types, reach) = (self::types(types)?, reach(py, direction)?);
        let found = self.read(py, |reads| {
            reads.shortest_path(
                start,
                end,
                types.as_deref(),
                reach,
                max_hops,
                max_visited,
                &interrupted,
            )
        })?;
        Ok(found.map(|inner| Path { inner }))
    }
}
