//! Backups, and what else keeps a database whole.

use std::path::Path;
use std::time::{Duration, Instant};

use embedded_db_engine as engine;
use embedded_db_engine::common::{Error, Result};
use embedded_db_ml_bridge::raised;
use engine::{CallCounts, Counts, Fact, Finding, Item, ObjectName, Origin, QuotaUse};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arguments::GivenPath;
use crate::errors::{detached, interrupted};
use crate::values::datetime;

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

/// How often a process asked for what, and how long that took, in seconds.
pub(crate) fn calls<'py>(py: Python<'py>, calls: &[CallCounts]) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    for call in calls {
        let (row, failed) = (PyDict::new(py), PyDict::new(py));
        call.failed.iter().try_for_each(|(code, count)| failed.set_item(code, count))?;
        row.set_item("ok", call.ok)?;
        row.set_item("failed", failed)?;
        row.set_item("measured", call.durations.count())?;
        row.set_item("seconds", call.durations.sum as f64 / 1e9)?;
        out.set_item(call.op, row)?;
    }
    Ok(out)
}

/// How much is used of what may have a quota.
pub(crate) fn quota<'py>(py: Python<'py>, uses: &[QuotaUse]) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    for of in uses {
        let row = PyDict::new(py);
        row.set_item("used", of.used)?;
        row.set_item("limit", of.limit)?;
        row.set_item("rejections", of.rejections)?;
        out.set_item(of.resource.name(), row)?;
    }
    Ok(out)
}

/// Number, time, seconds, process, thread, what was done, how it ended, detail, LSN and entries of an event.
pub(crate) type EventFields =
    (u64, Py<PyAny>, Option<f64>, u32, u32, String, &'static str, String, u64, u64);

pub(crate) fn events(py: Python<'_>, events: Vec<engine::Event>) -> PyResult<Vec<EventFields>> {
    let fields = events.into_iter().map(|it| {
        let time = datetime(py, it.time)?.into_any().unbind();
        let seconds = it.duration.map(|duration| duration.as_secs_f64());
        let ending = it.ending.name();
        Ok((
            it.number, time, seconds, it.process, it.thread, it.what, ending, it.detail, it.lsn,
            it.entries,
        ))
    });
    fields.collect()
}

/// The last events of a database, without opening it.
#[pyfunction]
pub(crate) fn read_blackbox(py: Python<'_>, path: GivenPath) -> PyResult<Vec<EventFields>> {
    let place = path.0.as_ref();
    events(py, detached(py, || engine::read_black_box(place))?)
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

fn names_of<'py>(py: Python<'py>, objects: &[ObjectName]) -> PyResult<Bound<'py, PyList>> {
    let all = objects.iter().map(|it| (it.kind, &it.namespace, &it.id, it.why));
    PyList::new(py, all)
}

/// Saves what reads of a damaged database in a new one.
#[pyfunction]
pub(crate) fn repair<'py>(
    py: Python<'py>,
    path: GivenPath,
    to: GivenPath,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (from, target) = (path.0.as_ref(), to.0.as_ref());
    let made =
        detached(py, || engine::Database::repair(from, target, &mut teller(progress.as_ref())))?;
    let salvaged = &made.salvaged;
    let (saved, lost) = (PyDict::new(py), PyDict::new(py));
    for item in Item::ALL {
        saved.set_item(item.name(), salvaged.saved[item])?;
        lost.set_item(item.name(), salvaged.lost[item])?;
    }
    let state = match salvaged.origin {
        Origin::Newest => "newest",
        Origin::Found => "found",
        Origin::Older => "older",
        Origin::Scanned => "scanned",
    };
    let out = PyDict::new(py);
    out.set_item("path", made.path.as_os_str())?;
    out.set_item("lsn", salvaged.lsn)?;
    out.set_item("generation", salvaged.generation)?;
    out.set_item("state", state)?;
    out.set_item("complete", salvaged.is_complete())?;
    out.set_item("saved", saved)?;
    out.set_item("lost", lost)?;
    out.set_item("missing", names_of(py, &salvaged.lost_objects)?)?;
    out.set_item("doubtful", names_of(py, &salvaged.doubtful)?)?;
    out.set_item("remarks", PyList::new(py, &salvaged.remarks)?)?;
    out.set_item("pages", salvaged.pages)?;
    out.set_item("damaged_pages", salvaged.damaged_pages)?;
    out.set_item("bytes", made.bytes)?;
    Ok(out)
}

/// What a database lies on and how it is: about, level, text, remedy and facts of each finding.
#[pyfunction]
pub(crate) fn doctor<'py>(py: Python<'py>, path: GivenPath) -> PyResult<Bound<'py, PyList>> {
    let place = path.0.as_ref();
    findings(py, detached(py, || engine::Database::doctor(place, &interrupted))?)
}

/// What was looked at: about, level, text, remedy and facts of each.
pub(crate) fn findings(py: Python<'_>, findings: Vec<Finding>) -> PyResult<Bound<'_, PyList>> {
    let out = PyList::empty(py);
    for found in findings {
        let facts = PyDict::new(py);
        for (name, fact) in found.facts {
            match fact {
                Fact::Text(text) => facts.set_item(name, text)?,
                Fact::Number(number) => facts.set_item(name, number)?,
                Fact::Flag(flag) => facts.set_item(name, flag)?,
                Fact::Unknown => facts.set_item(name, py.None())?,
            }
        }
        out.append((found.about, found.level.name(), found.text, found.remedy, facts))?;
    }
    Ok(out)
}
