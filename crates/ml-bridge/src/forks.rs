//! No thread is on its way into the interpreter when a child is forked.
//!
//! A thread that Python has not made gets its state there at each call, under a lock of the interpreter
//! but not under the one that a forking thread holds. CPython before 3.12 leaves that lock taken in a
//! child that is forked at this moment, and the child waits for it without end.

use embedded_db_common::ForkGate;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};

use crate::turns;

static ENTERING: ForkGate = ForkGate::new();

/// Runs with the interpreter attached; `None` if it is ending and takes no calls.
pub(crate) fn try_attach<T>(call: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let entering = ENTERING.enter();
    Python::try_attach(|py| {
        drop(entering);
        call(py)
    })
}

/// From here on forks by `os.fork` wait for who is on the way.
///
/// # Errors
/// Those of the module `os`.
pub fn watch(py: Python<'_>) -> PyResult<()> {
    let before = PyCFunction::new_closure(py, None, None, |arguments, _| {
        // They come in when this thread lets them.
        ENTERING.close(|pause| arguments.py().detach(|| std::thread::sleep(pause)));
    })?;
    let in_parent = PyCFunction::new_closure(py, None, None, |_, _| ENTERING.open())?;
    let in_child = PyCFunction::new_closure(py, None, None, |arguments, _| {
        ENTERING.begin_anew();
        turns::begin_anew(arguments.py())
    })?;
    let os = py.import("os")?;
    if !os.hasattr("register_at_fork")? {
        return Ok(());
    }
    let given = PyDict::new(py);
    given.set_item("before", before)?;
    given.set_item("after_in_parent", in_parent)?;
    given.set_item("after_in_child", in_child)?;
    os.call_method("register_at_fork", (), Some(&given)).map(drop)
}
