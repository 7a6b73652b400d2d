//! An exception on its way through Rust: the error says only that the call was interrupted, and the
//! thread keeps what was raised.

use std::cell::RefCell;

use embedded_db_common::Error;
use pyo3::PyErr;

thread_local! {
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Keeps an exception for whoever gets the error on this thread.
pub fn keep(raised: PyErr) -> Error {
    RAISED.set(Some(raised));
    Error::Interrupted
}

/// What was kept last, once.
pub fn take() -> Option<PyErr> {
    RAISED.take()
}
