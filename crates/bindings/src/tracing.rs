//! How traces of Python and of the database are one.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use embedded_db_engine::common::trace::{Context, Tracing};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::convert::string;
use crate::errors::invalid;
use crate::values::wait;

/// Gives what the calling task is at: a `Caller`, or None.
static ASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
/// Whether anybody makes traces.
static WANTED: AtomicBool = AtomicBool::new(false);

/// What a task is at, as another program told it.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Caller {
    context: Context,
}

#[pymethods]
impl Caller {
    /// Of a header `traceparent`; None for what is none.
    #[staticmethod]
    fn parse(header: &str) -> Option<Self> {
        Context::parse(header).map(|context| Self { context })
    }
}

/// Has calls ask for their caller from now on.
#[pyfunction]
pub(crate) fn ask_caller(py: Python<'_>, ask: Py<PyAny>) {
    let _first = ASK.set(py, ask);
    WANTED.store(true, Relaxed);
}

/// What the calling task is at.
pub(crate) fn caller(py: Python<'_>) -> Option<Context> {
    if !WANTED.load(Relaxed) {
        return None;
    }
    match ASK.get(py)?.bind(py).call0() {
        Ok(found) if found.is_none() => None,
        Ok(found) => found.cast::<Caller>().ok().map(|caller| caller.get().context),
        Err(raised) => {
            raised.write_unraisable(py, None);
            None
        }
    }
}

/// How traces are made.
pub(crate) fn tracing(given: &Bound<'_, PyAny>) -> PyResult<Option<Tracing>> {
    if given.is_none() {
        return Ok(None);
    }
    let (py, mut out) = (given.py(), Tracing::default());
    let seconds = |what: &str, item: &Bound<'_, PyAny>| {
        let seconds: f64 = item.extract()?;
        wait(seconds).ok_or_else(|| invalid(py, format!("{what} is {seconds}; give seconds")))
    };
    for (key, item) in given.cast::<PyDict>()?.iter() {
        match string("an option", &key)?.as_str() {
            "normal" => out.normal = item.extract()?,
            "errors" => out.errors = item.extract()?,
            "slow" => out.slow = item.extract()?,
            "slow_threshold" if item.is_none() => {}
            "slow_threshold" => out.slow_threshold = Some(seconds("slow_threshold", &item)?),
            "seed" => out.seed = item.extract()?,
            "queue" => out.queue = item.extract()?,
            "endpoint" => out.endpoint = string("endpoint", &item)?,
            "service" => out.service = string("service", &item)?,
            "timeout" => out.timeout = seconds("timeout", &item)?,
            "headers" => {
                for (name, value) in item.cast::<PyDict>()?.iter() {
                    out.headers.push((string("a header", &name)?, string("a header", &value)?));
                }
            }
            other => return Err(invalid(py, format!("tracing has no option {other:?}"))),
        }
    }
    Ok(Some(out))
}
