//! Backups, and what else keeps a database whole.

use std::path::Path;
use std::time::{Duration, Instant};

use embedded_db_engine as engine;
use embedded_db_engine::common::{Error, Result};
use embedded_db_ml_bridge::raised;
use engine::Counts;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arguments::GivenPath;
use crate::errors::{detached, interrupted};

/// Between two calls of a progress function.
const EVERY: Duration = Duration::from_millis(50);

/// Tells a Python function how far the work is, and looks at the signals. What either of them raises
/// ends the work.
pub(crate) fn teller(progress: Option<&Py<PyAny>>) -> impl FnMut(u64, u64) -> Result<()> {
    let mut told: Option<((u64, u64), Instant)> = None;
    move |done, total| {
        interrupted()?;
        let Some(progress) = progress else { return Ok(()) };
        let now = ((done, total), Instant::now());
        let due = told.is_none_or(|(before, at)| {
            before != now.0 && (done == total || now.1.duration_since(at) >= EVERY)
        });
        if !due {
            return Ok(());
        }
        told = Some(now);
        match Python::try_attach(|py| progress.call1(py, now.0).map(drop)) {
            Some(Ok(())) => Ok(()),
            Some(Err(raised)) => Err(raised::keep(raised)),
            None => Err(Error::Interrupted),
        }
    }
}

/// What a backup or a restored database is: where it lies and what it holds.
fn copied<'py>(
    py: Python<'py>,
    path: &Path,
    lsn: u64,
    counts: Counts,
    bytes: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("path", path.as_os_str())?;
    out.set_item("lsn", lsn)?;
    out.set_item("namespaces", counts.namespaces)?;
    out.set_item("nodes", counts.nodes)?;
    out.set_item("edges", counts.edges)?;
    out.set_item("embeddings", counts.embeddings)?;
    out.set_item("bytes", bytes)?;
    Ok(out)
}

pub(crate) fn verify<'py>(
    py: Python<'py>,
    db: &engine::Database,
    deep: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let report = detached(py, || match deep {
        true => db.verify_deep(&interrupted),
        false => db.verify(&interrupted),
    })?;
    let out = PyDict::new(py);
    out.set_item("ok", report.problems.is_empty())?;
    out.set_item("problems", PyList::new(py, report.problems)?)?;
    out.set_item("nodes", report.nodes)?;
    out.set_item("edges", report.edges)?;
    out.set_item("embeddings", report.embeddings)?;
    out.set_item("changes", report.changes)?;
    report.pages.map_or(Ok(()), |pages| out.set_item("pages", pages))?;
    Ok(out)
}

pub(crate) fn backup<'py>(
    py: Python<'py>,
    db: &engine::Database,
    directory: &GivenPath,
    progress: Option<&Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let made = detached(py, || db.backup(directory.0.as_ref(), &mut teller(progress)))?;
    copied(py, &made.path, made.lsn, made.counts, made.bytes)
}

/// Makes a database of a backup.
#[pyfunction]
pub(crate) fn restore_backup<'py>(
    py: Python<'py>,
    backup: GivenPath,
    directory: GivenPath,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (from, to) = (backup.0.as_ref(), directory.0.as_ref());
    let made =
        detached(py, || engine::Database::restore(from, to, &mut teller(progress.as_ref())))?;
    copied(py, &made.path, made.lsn, made.counts, made.bytes)
}
