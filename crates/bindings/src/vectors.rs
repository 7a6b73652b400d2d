//! Arrays of vectors compared with each other. What holds numbers that are not finite gives None: the
//! package finds the first of them and says so.

use embedded_db_engine::Metric;
use embedded_db_engine::common::Result;
use embedded_db_engine::vector_arrays::{self as arrays, Best, CodeKind, Codes, Compared};
use numpy::{
    Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::arguments::Text;
use crate::errors::{detached, interrupted, invalid};

/// Numbers of rows or ids, and a score for each.
pub(crate) type Ranked<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>);

/// Scores of rows, an array of them for each query.
#[pyfunction]
pub(crate) fn compare<'py>(
    py: Python<'py>,
    metric: Text<'_>,
    queries: PyReadonlyArray2<'py, f32>,
    rows: PyReadonlyArray2<'py, f32>,
) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
    let (metric, dim) = (measure(py, &metric)?, rows.shape()[1]);
    let out = PyArray2::zeros(py, [queries.shape()[0], rows.shape()[0]], false);
    let finite = {
        let mut writable = out.readwrite();
        let (queries, rows) = (queries.as_slice()?, rows.as_slice()?);
        let out = writable.as_slice_mut()?;
        finite(py, || arrays::scores(metric, dim, queries, rows, out, &interrupted))?
    };
    Ok(finite.map(|()| out))
}

/// The best rows for one query.
#[pyfunction]
pub(crate) fn best<'py>(
    py: Python<'py>,
    metric: Text<'_>,
    query: PyReadonlyArray1<'py, f32>,
    rows: PyReadonlyArray2<'py, f32>,
    k: usize,
) -> PyResult<Option<Ranked<'py>>> {
    let metric = measure(py, &metric)?;
    let (query, rows) = (query.as_slice()?, rows.as_slice()?);
    let found = finite(py, || arrays::best(metric, query, rows, k, &interrupted))?;
    Ok(found.map(|found| ranked(py, found)))
}

/// The best of rows of 16-bit floats, given as whole numbers.
#[pyfunction]
pub(crate) fn best_of_halves<'py>(
    py: Python<'py>,
    metric: Text<'_>,
    query: PyReadonlyArray1<'py, f32>,
    rows: PyReadonlyArray2<'py, u16>,
    k: usize,
) -> PyResult<Option<Ranked<'py>>> {
    let metric = measure(py, &metric)?;
    let (query, rows) = (query.as_slice()?, rows.as_slice()?);
    let found = finite(py, || arrays::best_of_halves(metric, query, rows, k, &interrupted))?;
    Ok(found.map(|found| ranked(py, found)))
}

/// The best rows of codes; a row of the query's codes, its scale and its length.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub(crate) fn best_of_codes<'py>(
    py: Python<'py>,
    metric: Text<'_>,
    kind: Text<'_>,
    dim: usize,
    query: (PyReadonlyArray1<'py, u8>, f32, f32),
    codes: PyReadonlyArray2<'py, u8>,
    scales: PyReadonlyArray1<'py, f32>,
    norms: PyReadonlyArray1<'py, f32>,
    k: usize,
) -> PyResult<Ranked<'py>> {
    let metric = measure(py, &metric)?;
    let kind = if *kind == *"int8" { CodeKind::Int8 } else { CodeKind::Signs };
    let (query, scale, norm) = (query.0.as_slice()?, [query.1], [query.2]);
    let query = Codes { codes: query, kind, scales: &scale, norms: &norm };
    let (codes, scales, norms) = (codes.as_slice()?, scales.as_slice()?, norms.as_slice()?);
    let rows = Codes { codes, kind, scales, norms };
    let found = detached(py, || arrays::best_of_codes(metric, dim, query, rows, k, &interrupted))?;
    Ok(ranked(py, found))
}

/// Rows of length 1.
#[pyfunction]
pub(crate) fn normalize<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, f32>,
) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
    let out = PyArray2::zeros(py, [rows.shape()[0], rows.shape()[1]], false);
    let not_finite = {
        let mut writable = out.readwrite();
        let (dim, rows, out) = (rows.shape()[1], rows.as_slice()?, writable.as_slice_mut()?);
        detached(py, || Ok(arrays::normalize(dim, rows, out)))?
    };
    Ok(not_finite.is_none().then_some(out))
}

/// Rows as int8 codes, 128 added to each, with the scale and the length of each row. None: a row that no
/// code can stand for.
#[pyfunction]
#[allow(clippy::type_complexity)]
pub(crate) fn quantize<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, f32>,
) -> PyResult<
    Option<(Bound<'py, PyArray2<u8>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>)>,
> {
    let [count, dim] = [rows.shape()[0], rows.shape()[1]];
    let codes = PyArray2::zeros(py, [count, dim], false);
    let made = {
        let mut writable = codes.readwrite();
        let (rows, codes) = (rows.as_slice()?, writable.as_slice_mut()?);
        detached(py, || {
            let rows = rows.chunks_exact(dim).zip(codes.chunks_exact_mut(dim));
            let made = rows.map(|(row, codes)| arrays::quantize(row, codes));
            Ok(made.collect::<Option<(Vec<f32>, Vec<f32>)>>())
        })?
    };
    Ok(made.map(|(scales, norms)| (codes, array(py, scales), array(py, norms))))
}

/// Runs with the interpreter released; None for numbers that are not finite.
pub(crate) fn finite<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Compared<T> + Send,
) -> PyResult<Option<T>> {
    detached(py, || -> Result<Option<T>> { work().map(std::result::Result::ok) })
}

pub(crate) fn ranked(py: Python<'_>, found: Best) -> Ranked<'_> {
    (array(py, found.rows), array(py, found.scores))
}

pub(crate) fn array<T: Element>(py: Python<'_>, values: Vec<T>) -> Bound<'_, PyArray1<T>> {
    PyArray1::from_vec(py, values)
}

const METRICS: [(&str, Metric); 3] =
    [("cosine", Metric::Cosine), ("dot", Metric::Dot), ("euclidean", Metric::Euclidean)];

pub(crate) fn measure(py: Python<'_>, name: &str) -> PyResult<Metric> {
    let found = METRICS.iter().find(|(known, _)| *known == name);
    let found = found.map(|(_, metric)| *metric);
    found.ok_or_else(|| invalid(py, format!("{name:?} is no metric")))
}

pub(crate) fn name_of(metric: Metric) -> &'static str {
    METRICS.iter().find(|(_, known)| *known == metric).map_or("cosine", |(name, _)| name)
}
