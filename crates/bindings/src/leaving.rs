//! Calls that are outside of the interpreter when a program ends.
//!
//! A thread that wants the interpreter back when it has gone is ended where it stands (up to Python 3.13), which
//! aborts the process as soon as the end comes to a frame of ours. So the end of a program waits for those calls,
//! and no other begins.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use embedded_db_engine::fork_generation;
use pyo3::prelude::*;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);
const ONE: u64 = 1 << 32;

/// Calls that are outside, above the number of forks before them: a child has none of its parent's.
static OUTSIDE: AtomicU64 = AtomicU64::new(0);
/// The process that is ending; 0 is none.
static ENDING: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static ENDS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A call that is outside, or about to be.
pub(crate) struct Outside(u32);

impl Outside {
    /// `None` in a program that is ending, but for the thread that ends it.
    pub(crate) fn begin() -> Option<Self> {
        let forks = fork_generation();
        let counted = |calls: u64| match calls as u32 == forks {
            true => calls + ONE,
            false => u64::from(forks) + ONE,
        };
        // Counted before the look: whoever ends the program then waits for it, or is seen here.
        update(|calls| Some(counted(calls)));
        let call = Self(forks);
        let is_ending = ENDING.load(Ordering::SeqCst) == std::process::id();
        (!is_ending || ENDS.get()).then_some(call)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let forks = self.0;
        update(|calls| (calls as u32 == forks && calls >= ONE).then(|| calls - ONE));
    }
}

fn update(change: impl Fn(u64) -> Option<u64>) {
    // What another thread of a child that is just being born has counted stays.
    _ = OUTSIDE.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
}

/// Waits until no other thread is outside of the interpreter; false when time ran out. From now on only this thread
/// may go outside.
#[pyfunction]
pub(crate) fn calls_end(py: Python<'_>, timeout: f64) -> bool {
    ENDS.set(true);
    ENDING.store(std::process::id(), Ordering::SeqCst);
    let until = crate::values::wait(timeout).and_then(|wait| Instant::now().checked_add(wait));
    let forks = fork_generation();
    let is_last = || {
        let calls = OUTSIDE.load(Ordering::SeqCst);
        calls < ONE || calls as u32 != forks
    };
    py.detach(|| {
        while !is_last() {
            if until.is_some_and(|until| Instant::now() >= until) {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    })
}
