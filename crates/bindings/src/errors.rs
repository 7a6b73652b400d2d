//! Errors on their way to Python, and the one helper that releases the interpreter.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use embedded_db_engine::common::trace::Called;
use embedded_db_engine::common::{Error, Result, shortened};
use embedded_db_engine::panic_text;
use embedded_db_ml_bridge::raised;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::cancel::{cancelled, give_way, is_cancellable};
use crate::leaving::{self, Outside};
use crate::tracing;
use crate::values::datetime;

/// Most bytes of a message: an id, a name or a path in it may be of any length.
const LONGEST: usize = 4000;

/// Time between two looks at the signals.
pub(crate) const SIGNALS: Duration = Duration::from_millis(20);

thread_local! {
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `work` with the interpreter released, unless the call was cancelled. A panic becomes
/// `InternalError`.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    cancelled().map_err(|error| to_python(py, &error))?;
    to_its_end(py, work)
}

/// Runs `work` that leaves things in order, and so is done in a call that was cancelled, too.
pub(crate) fn to_its_end<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    let _outside = Outside::begin().map_err(|error| to_python(py, &error))?;
    LOOKED.set(Some(Instant::now()));
    let caller = tracing::caller(py);
    let outcome = py.detach(|| {
        let _called = caller.map(|caller| Called::by(Some(caller)));
        catch_unwind(AssertUnwindSafe(work))
    });
    give_way(py);
    finish(py, outcome)
}

/// Runs short `work` with the interpreter held.
pub(crate) fn attached<T>(py: Python<'_>, work: impl FnOnce() -> Result<T>) -> PyResult<T> {
    give_way(py);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    finish(py, outcome)
}

fn finish<T>(py: Python<'_>, outcome: std::thread::Result<Result<T>>) -> PyResult<T> {
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(to_python(py, &error)),
        Err(panic) => {
            let text = panic_text(&*panic);
            Err(to_python(py, &Error::Internal(format!("a panic: {text}"))))
        }
    }
}

/// Something whose end may wait for a thread that needs the interpreter: it is dropped with the
/// interpreter released.
pub(crate) struct Released<T: Send>(Option<T>);

impl<T: Send> Released<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Send> std::ops::Deref for Released<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only drop takes it")
    }
}

impl<T: Send> Drop for Released<T> {
    fn drop(&mut self) {
        let Some(value) = self.0.take() else { return };
        let mut value = Some(value);
        let released = Python::try_attach(|py| {
            let value = value.take();
            let _outside = Outside::count();
            py.detach(move || drop(value));
        });
        if released.is_none() {
            // The interpreter is ending and has joined or lost its threads: the system frees the rest.
            std::mem::forget(value);
        }
    }
}

/// Fails when the call was cancelled, the program is ending, or the user has pressed Ctrl-C. Cheap to call often.
pub(crate) fn interrupted() -> Result<()> {
    leaving::check()?;
    cancelled()?;
    // Signals are for the main thread, where nobody else ends a call.
    if is_cancellable() {
        return Ok(());
    }
    let due = LOOKED.get().is_none_or(|looked| looked.elapsed() >= SIGNALS);
    if !due {
        return Ok(());
    }
    LOOKED.set(Some(Instant::now()));
    match Python::try_attach(|py| py.check_signals()) {
        Some(Err(raised)) => Err(raised::keep(raised)),
        _ => Ok(()),
    }
}

/// The exception of `embedded_db.errors` for an error.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    if matches!(error, Error::Interrupted)
        && let Some(raised) = raised::take()
    {
        return raised;
    }
    make(py, error).unwrap_or_else(|failed| failed)
}

/// What a caller may look at besides the message.
fn facts<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    match error {
        Error::At { place, error } => {
            let fields = facts(py, error)?;
            place.item.map_or(Ok(()), |item| fields.set_item("item", item))?;
            place.field.map_or(Ok(()), |field| fields.set_item("field", field))?;
            let property = place.property.as_deref();
            property.map_or(Ok(()), |property| fields.set_item("property", property))?;
            return Ok(fields);
        }
        Error::NotFound { kind, id } | Error::AlreadyExists { kind, id } => {
            fields.set_item("kind", kind)?;
            fields.set_item("id", id)?;
        }
        Error::Taken { id, .. } => fields.set_item("id", id)?,
        Error::Conflict { kind, id, expected, found } => {
            fields.set_item("kind", kind)?;
            fields.set_item("id", id)?;
            fields.set_item("expected", expected)?;
            fields.set_item("found", found)?;
        }
        Error::InvalidQuery { field, .. } => fields.set_item("field", field)?,
        Error::DimensionMismatch { expected, got, space } => {
            fields.set_item("expected", expected)?;
            fields.set_item("got", got)?;
            fields.set_item("space", space)?;
        }
        Error::NonFiniteVector { index, value } => {
            fields.set_item("index", index)?;
            fields.set_item("value", value)?;
        }
        Error::ValueTooLarge { size, limit, .. } => {
            fields.set_item("size", size)?;
            fields.set_item("limit", limit)?;
        }
        Error::TooManySnapshots { used, limit } => {
            fields.set_item("used", used)?;
            fields.set_item("limit", limit)?;
        }
        Error::QuotaExceeded { resource, namespace, used, limit } => {
            fields.set_item("resource", resource.name())?;
            fields.set_item("namespace", namespace)?;
            fields.set_item("used", used)?;
            fields.set_item("limit", limit)?;
        }
        Error::CapacityExceeded { used, limit, .. } => {
            fields.set_item("used", used)?;
            fields.set_item("limit", limit)?;
        }
        Error::LimitReached { function, limit, most, used, until } => {
            fields.set_item("function", function)?;
            fields.set_item("option", limit)?;
            fields.set_item("limit", most)?;
            fields.set_item("used", used)?;
            fields.set_item("until", datetime(py, *until)?)?;
        }
        Error::ChangesTrimmed { oldest, .. } => fields.set_item("oldest", oldest)?,
        Error::TooManyVisited { limit } => {
            fields.set_item("limit", limit)?;
            // The same search would give up again.
            fields.set_item("retryable", false)?;
        }
        Error::OutcomeUnknown { path, pid } => {
            fields.set_item("path", path.as_os_str())?;
            fields.set_item("pid", pid)?;
        }
        Error::DatabaseLocked { path, pid, host }
        | Error::HeldElsewhere { path, pid, host, .. }
        | Error::BusLocked { path, pid, host } => {
            fields.set_item("path", path.as_os_str())?;
            fields.set_item("pid", pid)?;
            fields.set_item("host", host)?;
        }
        Error::FormatTooNew { path, found, supported } => {
            fields.set_item("path", path.as_os_str())?;
            fields.set_item("found", found)?;
            fields.set_item("supported", supported)?;
        }
        Error::DatabaseClosed { path }
        | Error::ForkedHandle { path, .. }
        | Error::ReadOnly { path }
        | Error::StorageFull { path, .. }
        | Error::StorageError { path, .. }
        | Error::RecoveryNeeded { path }
        | Error::Corruption { path, .. }
        | Error::DamagedFile { path, .. } => fields.set_item("path", path.as_os_str())?,
        _ => {}
    }
    Ok(fields)
}

fn make(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let fields = facts(py, error)?;
    let class = py.import("embedded_db.errors")?.getattr(error.code())?;
    let message = error.to_string();
    if let Some((_, remedy)) = message.rsplit_once("; ") {
        fields.set_item("hint", shortened(remedy, LONGEST))?;
    }
    let arguments = PyTuple::new(py, [shortened(&message, LONGEST)])?;
    Ok(PyErr::from_value(class.call(arguments, Some(&fields))?))
}

/// The item of a batch, or the field, that an error is about: an attribute of it. What an error says
/// already stays; what is no error of ours stays as it is.
pub(crate) fn placed<'py>(
    py: Python<'py>,
    raised: PyErr,
    name: &str,
    value: impl IntoPyObject<'py>,
) -> PyErr {
    let tell = || -> PyResult<()> {
        let ours = py.import("embedded_db.errors")?.getattr("DbError")?;
        let error = raised.value(py);
        if error.is_instance(&ours)? {
            error.call_method1("_place", (name, value))?;
        }
        Ok(())
    };
    tell().err().unwrap_or(raised)
}

/// A value as an error shows it: short, whatever its size, its depth and its `__repr__`.
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> String {
    let shown = || -> PyResult<String> {
        let py = value.py();
        py.import("embedded_db.errors")?.getattr("shown")?.call1((value,))?.extract()
    };
    shown().unwrap_or_else(|_| "?".into())
}

/// An `InvalidInput` of the conversion itself.
pub(crate) fn invalid(py: Python<'_>, message: String) -> PyErr {
    to_python(py, &Error::InvalidInput(message))
}

/// For a Python object that was asked for something after its end.
pub(crate) fn ended(py: Python<'_>, what: &str) -> PyErr {
    invalid(py, format!("the {what} has ended; begin a new one"))
}
