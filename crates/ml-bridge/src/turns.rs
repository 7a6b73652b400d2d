//! While a model function works for the weaver, the threads of the interpreter take turns more often.
//!
//! A thread that computes in Python is asked to give way only after `sys.getswitchinterval()`, which is 5 ms:
//! each time that a call of the user's has released the interpreter it would wait so long to go on. The
//! interval is the user's again as soon as no model function works, and stays as it is where it is short.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

/// Seconds.
const SHORT: f64 = 0.0005;

/// How many model functions work, and the interval before the first of them began. It is taken with the
/// interpreter attached, and for moments only.
static WORKING: Mutex<(u32, f64)> = Mutex::new((0, 0.0));

/// Runs `work` while threads take turns quickly.
pub(crate) fn short<T>(py: Python<'_>, work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    begin(py)?;
    let working = Working(py);
    let done = work();
    drop(working);
    done
}

/// Ends with what works, also when that panics.
struct Working<'py>(Python<'py>);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        // Only an interpreter that has no such module fails, and that one has no interval.
        let _told = end(self.0);
    }
}

fn begin(py: Python<'_>) -> PyResult<()> {
    let mut working = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    if working.0 == 0 {
        working.1 = interval(py)?;
        if working.1 > SHORT {
            set_interval(py, SHORT)?;
        }
    }
    working.0 += 1;
    Ok(())
}

fn end(py: Python<'_>) -> PyResult<()> {
    let mut working = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    working.0 = working.0.saturating_sub(1);
    let is_ours = (interval(py)? - SHORT).abs() < 1e-9;
    if working.0 == 0 && working.1 > SHORT && is_ours {
        set_interval(py, working.1)?;
    }
    Ok(())
}

/// In a forked child, which has none of the threads that were at work: the interval is the user's.
pub(crate) fn begin_anew(py: Python<'_>) -> PyResult<()> {
    {
        let mut working = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
        if working.0 == 0 {
            return Ok(());
        }
        working.0 = 1;
    }
    end(py)
}

fn interval(py: Python<'_>) -> PyResult<f64> {
    py.import("sys")?.call_method0("getswitchinterval")?.extract()
}

fn set_interval(py: Python<'_>, seconds: f64) -> PyResult<()> {
    py.import("sys")?.call_method1("setswitchinterval", (seconds,)).map(drop)
}
