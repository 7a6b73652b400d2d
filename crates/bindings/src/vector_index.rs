//! The index of vectors that needs no database.

use std::ffi::OsString;
use std::path::Path;

use embedded_db_engine::vector_index::{HnswIndex, HnswOptions, HnswRequest};
use embedded_db_engine::{Effort, Links};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arguments::Text;
use crate::errors::{detached, interrupted};
use crate::vectors::{Ranked, array, finite, measure, name_of, ranked};

/// Vectors in memory, linked.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct VectorIndex {
    inner: HnswIndex,
}

#[pymethods]
impl VectorIndex {
    #[new]
    fn new(
        py: Python<'_>,
        dim: usize,
        metric: Text<'_>,
        links: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let profile = if links == 64 { Links::Normal } else { Links::Small };
        let options = HnswOptions { dim, metric: measure(py, &metric)?, profile, threads };
        Ok(Self { inner: HnswIndex::new(options) })
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: OsString, threads: usize) -> PyResult<Self> {
        let load = || HnswIndex::load(Path::new(&path), threads, &interrupted);
        detached(py, load).map(|inner| Self { inner })
    }

    fn save(&self, py: Python<'_>, path: OsString) -> PyResult<()> {
        detached(py, || self.inner.save(Path::new(&path)))
    }

    #[getter]
    fn dim(&self) -> usize {
        self.inner.options().dim
    }

    #[getter]
    fn metric(&self) -> &'static str {
        name_of(self.inner.options().metric)
    }

    #[getter]
    fn links(&self) -> usize {
        match self.inner.options().profile {
            Links::Normal => 64,
            Links::Small => 32,
        }
    }

    fn count(&self, py: Python<'_>) -> PyResult<usize> {
        detached(py, || Ok(self.inner.len()))
    }

    fn contains(&self, py: Python<'_>, id: i64) -> PyResult<bool> {
        detached(py, || Ok(self.inner.contains(id)))
    }

    fn add<'py>(
        &self,
        py: Python<'py>,
        vectors: PyReadonlyArray2<'py, f32>,
        ids: Option<PyReadonlyArray1<'py, i64>>,
    ) -> PyResult<Option<Bound<'py, PyArray1<i64>>>> {
        let (vectors, ids) = (vectors.as_slice()?, slice_of(&ids)?);
        let added = finite(py, || self.inner.add(vectors, ids, &interrupted))?;
        Ok(added.map(|ids| array(py, ids)))
    }

    fn remove(&self, py: Python<'_>, ids: PyReadonlyArray1<'_, i64>) -> PyResult<()> {
        let ids = ids.as_slice()?;
        detached(py, || self.inner.remove(ids, &interrupted))
    }

    fn search<'py>(
        &self,
        py: Python<'py>,
        query: PyReadonlyArray1<'py, f32>,
        k: usize,
        recall: f32,
        filter: Option<PyReadonlyArray1<'py, i64>>,
    ) -> PyResult<Option<Ranked<'py>>> {
        let (query, request) = (query.as_slice()?, request(k, recall, slice_of(&filter)?));
        let found = finite(py, || self.inner.search(query, &request, &interrupted))?;
        Ok(found.map(|found| ranked(py, found)))
    }

    #[allow(clippy::type_complexity)]
    fn search_batch<'py>(
        &self,
        py: Python<'py>,
        queries: PyReadonlyArray2<'py, f32>,
        k: usize,
        recall: f32,
        filter: Option<PyReadonlyArray1<'py, i64>>,
    ) -> PyResult<Option<(Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<f32>>)>> {
        let (queries, request) = (queries.as_slice()?, request(k, recall, slice_of(&filter)?));
        let found = finite(py, || {
            let found = self.inner.search_batch(queries, &request, &interrupted)?;
            // All of them were found in one state, in which as many qualify for each.
            Ok(found.map(|found| {
                let shape = [found.len(), found.first().map_or(0, |best| best.rows.len())];
                let ids: Vec<i64> = found.iter().flat_map(|best| &best.rows).copied().collect();
                let scores: Vec<f32> =
                    found.iter().flat_map(|best| &best.scores).copied().collect();
                (shape, ids, scores)
            }))
        })?;
        let Some((shape, ids, scores)) = found else { return Ok(None) };
        Ok(Some((array(py, ids).reshape(shape)?, array(py, scores).reshape(shape)?)))
    }
}

fn slice_of<'a>(ids: &'a Option<PyReadonlyArray1<'_, i64>>) -> PyResult<Option<&'a [i64]>> {
    Ok(ids.as_ref().map(|ids| ids.as_slice()).transpose()?)
}

fn request(k: usize, recall: f32, filter: Option<&[i64]>) -> HnswRequest<'_> {
    let effort = (recall < 1.0).then(|| Effort::for_recall(recall));
    HnswRequest { k, effort, filter }
}
