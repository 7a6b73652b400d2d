//! Ending a call that runs in another thread.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use embedded_db_engine::common::Result;
use embedded_db_ml_bridge::raised;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

pyo3::create_exception!(
    embedded_db._native,
    Cancelled,
    PyBaseException,
    "Ends a call whose task was cancelled."
);

const RUNNING: u8 = 0;
const ASKED: u8 = 1;
const TOLD: u8 = 2;

/// How long such a call holds the interpreter at a stretch, and lets go of it then: long enough for
/// the thread of an event loop to wake up and take it. The interpreter itself would switch after 5 ms.
const STRETCH: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_micros(50);

thread_local! {
    /// When the call last let go of the interpreter for a moment.
    static PAUSED: Cell<Option<Instant>> = const { Cell::new(None) };
    /// What may end the call that this thread is in.
    static CURRENT: RefCell<Option<Arc<AtomicU8>>> = const { RefCell::new(None) };
}

/// Runs a call, and may end it from another thread.
///
/// The call ends with the exception `Cancelled` at its next native step, once: what it does
/// afterwards to leave things in order goes on undisturbed.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Cancel {
    state: Arc<AtomicU8>,
}

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Self { state: Arc::new(AtomicU8::new(RUNNING)) }
    }

    fn cancel(&self) {
        let (was, is) = (Ordering::Release, Ordering::Relaxed);
        // A call that was told already is not told again.
        let _ = self.state.compare_exchange(RUNNING, ASKED, was, is);
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.state.load(Ordering::Acquire) != RUNNING
    }

    #[pyo3(signature = (function, /, *arguments, **named))]
    fn run<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        arguments: &Bound<'py, PyTuple>,
        named: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let before = CURRENT.replace(Some(Arc::clone(&self.state)));
        PAUSED.set(Some(Instant::now()));
        let outcome = function.call(arguments, named);
        CURRENT.set(before);
        outcome
    }
}

/// Whether somebody may end the call that this thread is in.
pub(crate) fn is_cancellable() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// Lets an event loop have the interpreter, if the call that this thread is in has held it for long.
/// Cheap to call often.
pub(crate) fn give_way(py: Python<'_>) {
    if !is_cancellable() || PAUSED.get().is_some_and(|paused| paused.elapsed() < STRETCH) {
        return;
    }
    py.detach(|| std::thread::sleep(PAUSE));
    PAUSED.set(Some(Instant::now()));
}

/// Fails, once, when the call that this thread is in was cancelled.
pub(crate) fn cancelled() -> Result<()> {
    let told = CURRENT.with_borrow(|current| {
        current.as_ref().is_some_and(|state| {
            let (was, is) = (Ordering::Acquire, Ordering::Relaxed);
            state.load(Ordering::Relaxed) == ASKED
                && state.compare_exchange(ASKED, TOLD, was, is).is_ok()
        })
    });
    if told { Err(raised::keep(Cancelled::new_err("the call was cancelled"))) } else { Ok(()) }
}
