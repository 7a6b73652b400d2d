//! Calls that are outside of the interpreter when a program ends.
//!
//! A thread that wants the interpreter back when it has gone is ended where it stands (up to Python 3.13), which
//! aborts the process as soon as the end comes to a frame of ours. So the end of a program stops those calls and
//! waits for them, and no other begins.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use embedded_db_engine::common::{Error, Result};
use embedded_db_engine::{fork_generation, works_for};
use pyo3::prelude::*;

use crate::errors::SIGNALS;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);
const ONE: u64 = 1 << 32;

/// Calls that are outside, above the number of forks before them: a child has none of its parent's.
static OUTSIDE: AtomicU64 = AtomicU64::new(0);
/// The process that is ending; 0 is none.
static ENDING: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Whether the thread ends the program.
    static ENDS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A call that is outside or about to be, or has Python code to run: it may lose the interpreter.
pub(crate) struct Outside(u32);

impl Outside {
    /// # Errors
    ///
    /// `Ending`, as [`check`] says.
    pub(crate) fn begin() -> Result<Self> {
        // Counted before the look: whoever ends the program waits for it, or is seen here.
        let call = Self::count();
        check().map(|()| call)
    }

    /// The same for what leaves things in order.
    pub(crate) fn count() -> Self {
        let forks = fork_generation();
        if OUTSIDE.load(Ordering::Relaxed) as u32 == forks {
            OUTSIDE.fetch_add(ONE, Ordering::SeqCst);
        } else {
            // Of a child the first.
            let counted = |calls: u64| match calls as u32 == forks {
                true => calls + ONE,
                false => u64::from(forks) + ONE,
            };
            update(|calls| Some(counted(calls)));
        }
        Self(forks)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let forks = self.0;
        update(|calls| (calls as u32 == forks && calls >= ONE).then(|| calls - ONE));
    }
}

fn update(change: impl Fn(u64) -> Option<u64>) {
    // What was begun before a fork is none of the child's.
    _ = OUTSIDE.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
}

/// Whether a call may begin, or go on.
///
/// # Errors
///
/// `Ending` in a program that is ending, but for the thread that ends it and for threads of ours, which are joined.
pub(crate) fn check() -> Result<()> {
    let ending = ENDING.load(Ordering::SeqCst);
    let is_over = ending != 0 && ending == std::process::id() && !ENDS.get() && works_for() == 0;
    if is_over { Err(Error::Ending) } else { Ok(()) }
}

/// From now on only the calling thread may call.
#[pyfunction]
pub(crate) fn calls_refuse() {
    ENDS.set(true);
    ENDING.store(std::process::id(), Ordering::SeqCst);
}

/// Waits until no thread is in a call that it would have to come back from; false when time ran out.
#[pyfunction]
pub(crate) fn calls_end(py: Python<'_>, timeout: f64) -> PyResult<bool> {
    let until = crate::values::wait(timeout).and_then(|wait| Instant::now().checked_add(wait));
    let forks = fork_generation();
    let is_last = || {
        let calls = OUTSIDE.load(Ordering::SeqCst);
        calls < ONE || calls as u32 != forks
    };
    while !is_last() {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(false);
        }
        let looked = Instant::now();
        py.detach(|| {
            while !is_last() && looked.elapsed() < SIGNALS {
                std::thread::sleep(LOOK);
            }
        });
        py.check_signals()?;
    }
    Ok(true)
}
