//! Whole graphs, and what algorithms say of their nodes.

use std::sync::Arc;

use embedded_db_engine as engine;
use embedded_db_engine::analytics::{self, Leiden, PageRank};
use embedded_db_engine::common::Result;
use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

use crate::arguments::Text;
use crate::errors::{detached, interrupted};
use crate::reads::reach;

/// One value for each node.
type Values<'py, T> = Bound<'py, PyArray1<T>>;

/// A graph as it was at one instant.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Graph {
    inner: engine::Graph,
}

impl Graph {
    pub(crate) fn new(inner: engine::Graph) -> Self {
        Self { inner }
    }

    /// Runs an algorithm with the interpreter released.
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        run: impl FnOnce(&analytics::Csr, &engine::Guard<'_>) -> Result<T> + Send,
    ) -> PyResult<T> {
        detached(py, || run(self.inner.rows(), &self.inner.guard(&interrupted)))
    }

    fn values<'py, T: Element + Send>(
        &self,
        py: Python<'py>,
        run: impl FnOnce(&analytics::Csr, &engine::Guard<'_>) -> Result<Vec<T>> + Send,
    ) -> PyResult<Values<'py, T>> {
        self.run(py, run).map(|values| array(py, values))
    }
}

/// Everyone who holds it sees the same numbers.
fn array<T: Element>(py: Python<'_>, values: Vec<T>) -> Values<'_, T> {
    let array = PyArray1::from_vec(py, values);
    array.readwrite().make_nonwriteable();
    array
}

#[pymethods]
impl Graph {
    #[getter]
    fn ids(&self) -> Ids {
        Ids { inner: Arc::clone(self.inner.ids()) }
    }

    fn pagerank<'py>(
        &self,
        py: Python<'py>,
        direction: Text<'_>,
        weights: Option<Vec<f64>>,
        damping: f64,
        max_iterations: u32,
        tolerance: f64,
    ) -> PyResult<Values<'py, f64>> {
        let (direction, how) =
            (reach(py, &direction)?, PageRank { damping, max_iterations, tolerance });
        self.values(py, |rows, guard| {
            let starts = weights.map(|weights| {
                let mut starts = vec![0.0; rows.nodes()];
                for (start, weight) in self.inner.starts().iter().zip(weights) {
                    starts[*start as usize] += weight;
                }
                starts
            });
            let rows = rows.facing(direction);
            Ok(analytics::pagerank(&rows, starts.as_deref(), how, guard)?.values)
        })
    }

    fn components<'py>(&self, py: Python<'py>) -> PyResult<Values<'py, u32>> {
        self.values(py, analytics::components)
    }

    fn communities<'py>(
        &self,
        py: Python<'py>,
        resolution: f64,
        seed: u64,
        max_iterations: u32,
    ) -> PyResult<(Values<'py, u32>, f64)> {
        let how = Leiden { resolution, seed, max_iterations };
        let found = self.run(py, |rows, guard| analytics::leiden(rows, how, guard))?;
        Ok((array(py, found.communities), found.modularity))
    }

    fn label_propagation<'py>(
        &self,
        py: Python<'py>,
        max_iterations: u32,
    ) -> PyResult<Values<'py, u32>> {
        self.values(py, |rows, guard| analytics::propagate(rows, max_iterations, guard))
    }

    fn degrees<'py>(&self, py: Python<'py>, direction: Text<'_>) -> PyResult<Values<'py, f64>> {
        let direction = reach(py, &direction)?;
        self.values(py, |rows, guard| rows.degrees(direction, guard))
    }

    fn triangles<'py>(&self, py: Python<'py>) -> PyResult<Values<'py, u64>> {
        self.values(py, analytics::triangles)
    }

    fn clustering<'py>(&self, py: Python<'py>, directed: bool) -> PyResult<Values<'py, f64>> {
        self.values(py, |rows, guard| analytics::clustering(rows, directed, guard))
    }

    fn cores<'py>(&self, py: Python<'py>) -> PyResult<Values<'py, u32>> {
        self.values(py, analytics::cores)
    }

    /// From the one node that was asked for when it was read; infinite where no way leads.
    fn distances<'py>(&self, py: Python<'py>, direction: Text<'_>) -> PyResult<Values<'py, f64>> {
        let direction = reach(py, &direction)?;
        self.values(py, |rows, guard| {
            let (rows, start) = (rows.facing(direction), self.inner.starts()[0]);
            match rows.is_weighted() {
                true => analytics::costs(&rows, start, guard),
                false => analytics::hops(&rows, start, guard),
            }
        })
    }
}

/// The ids of the nodes of a graph, by number.
#[pyclass(frozen, sequence, module = "embedded_db._native")]
pub(crate) struct Ids {
    inner: Arc<analytics::Ids>,
}

#[pymethods]
impl Ids {
    fn number(&self, py: Python<'_>, id: Text<'_>) -> PyResult<Option<u32>> {
        // The first question puts all of them in order.
        detached(py, || Ok(self.inner.number(&id)))
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __getitem__(&self, index: usize) -> PyResult<&str> {
        self.inner.get(index).ok_or_else(|| PyIndexError::new_err("there are no more ids"))
    }
}
