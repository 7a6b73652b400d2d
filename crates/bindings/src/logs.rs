//! What happens, on its way to the `logging` of Python.
//!
//! Records come from any thread, under locks of any kind, so that nobody who makes one may wait for the
//! interpreter: they go through a queue to a thread that does. It begins with the first record.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use embedded_db_engine::common::log::{self, Field, Level, Record};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::errors::invalid;
use crate::leaving::Outside;

/// Records that wait; what comes beyond is counted.
const MOST: usize = 512;
/// Between two looks at the queue, if somebody came just before there was a thread to wake.
const LONGEST: Duration = Duration::from_secs(1);
/// Between two looks at whether all is delivered.
const LOOK: Duration = Duration::from_millis(1);

/// Takes a list of records: (seconds since 1970, level, part, message, fields, trace and span or None).
static DELIVER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Of this process: a forked child gets another one, for nobody knows who held what of its parent's.
static PUMP: AtomicPtr<Pump> = AtomicPtr::new(std::ptr::null_mut());

struct Pump {
    records: ArrayQueue<Record>,
    lost: AtomicU64,
    begun: AtomicBool,
    ended: AtomicBool,
    /// Records were taken that are not delivered yet.
    busy: AtomicBool,
    thread: OnceLock<Thread>,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Pump {
    fn new() -> Self {
        Self {
            records: ArrayQueue::new(MOST),
            lost: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            thread: OnceLock::new(),
            running: Mutex::default(),
        }
    }

    /// That of this process, if there is one.
    fn own() -> Option<&'static Self> {
        let pump = PUMP.load(Ordering::Acquire);
        // SAFETY: it was made by `begin_anew` of a box that nobody takes back.
        #[allow(unsafe_code)]
        unsafe {
            pump.as_ref()
        }
    }

    fn begin_anew() {
        PUMP.store(Box::into_raw(Box::new(Self::new())), Ordering::Release);
    }

    fn push(&'static self, record: Record) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        if self.records.push(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        if !self.begun.swap(true, Ordering::AcqRel) {
            let begin = std::thread::Builder::new().name("embedded-db-logs".into());
            let Ok(thread) = begin.spawn(|| self.run()) else { return };
            *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        } else if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn run(&self) {
        let _first = self.thread.set(std::thread::current());
        loop {
            let ended = self.ended.load(Ordering::Acquire);
            self.busy.store(true, Ordering::SeqCst);
            let records: Vec<Record> = std::iter::from_fn(|| self.records.pop()).collect();
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if !records.is_empty() || lost > 0 {
                // At the end of the interpreter there is nobody to tell.
                let _told = Python::try_attach(|py| {
                    if let Err(raised) = deliver(py, records, lost) {
                        raised.write_unraisable(py, None);
                    }
                });
            }
            self.busy.store(false, Ordering::SeqCst);
            if ended {
                return;
            }
            if self.records.is_empty() {
                std::thread::park_timeout(LONGEST);
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        !self.begun.load(Ordering::SeqCst)
            || (self.records.is_empty() && !self.busy.load(Ordering::SeqCst))
    }
}

fn deliver(py: Python<'_>, records: Vec<Record>, lost: u64) -> PyResult<()> {
    let Some(deliver) = DELIVER.get(py) else { return Ok(()) };
    let list = PyList::empty(py);
    for record in records {
        list.append(shown(py, &record)?)?;
    }
    deliver.call1(py, (list, lost))?;
    Ok(())
}

fn shown<'py>(py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyTuple>> {
    let fields = PyDict::new(py);
    for (name, field) in &record.fields {
        match field {
            Field::Number(number) => fields.set_item(name, number)?,
            Field::Seconds(seconds) => fields.set_item(name, seconds)?,
            Field::Word(word) => fields.set_item(name, word)?,
            Field::Text(text) => fields.set_item(name, text)?,
        }
    }
    let span = record.span;
    let span = span.map(|span| (format!("{:032x}", span.trace), format!("{:016x}", span.span)));
    let time = record.time as f64 / 1e6;
    (time, record.level.name(), record.target, record.message, fields, span).into_pyobject(py)
}

/// Has records delivered to a function from now on; again in a forked child.
#[pyfunction]
pub(crate) fn logs_begin(py: Python<'_>, deliver: Py<PyAny>) {
    let _first = DELIVER.set(py, deliver);
    Pump::begin_anew();
    log::install(Box::new(|record| {
        if let Some(pump) = Pump::own() {
            pump.push(record);
        }
    }));
}

/// The least level that is delivered; None for nothing.
#[pyfunction]
pub(crate) fn logs_level(py: Python<'_>, level: Option<&str>) -> PyResult<()> {
    let parsed = level.map(|name| {
        Level::parse(name).ok_or_else(|| invalid(py, format!("{name:?} is no level of the log")))
    });
    log::set_level(parsed.transpose()?);
    Ok(())
}

/// Waits until what has happened is delivered; false when time ran out.
#[pyfunction]
pub(crate) fn logs_flush(py: Python<'_>, timeout: f64) -> bool {
    let Some(pump) = Pump::own() else { return true };
    let until = crate::values::wait(timeout).and_then(|wait| Instant::now().checked_add(wait));
    let _outside = Outside::count();
    py.detach(|| {
        while !pump.is_at_rest() {
            if until.is_some_and(|until| Instant::now() >= until) {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    })
}

/// Delivers what there is, and nothing more.
#[pyfunction]
pub(crate) fn logs_end(py: Python<'_>) {
    let Some(pump) = Pump::own() else { return };
    pump.ended.store(true, Ordering::Release);
    let running = pump.running.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(thread) = running {
        thread.thread().unpark();
        // It does not panic but in Python, which says so.
        py.detach(|| drop(thread.join()));
    }
}
