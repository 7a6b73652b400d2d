//! Which weaver a thread works for: its own thread, and those that call model functions in its place.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

static LAST: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// 0 is none.
    static WORKS_FOR: Cell<u64> = const { Cell::new(0) };
}

/// A number for a new weaver.
pub(super) fn number() -> u64 {
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The number of the weaver that this thread works for; 0 if it works for none.
pub fn works_for() -> u64 {
    WORKS_FOR.get()
}

/// From now on this thread works for the weaver of that number: what would wait for the weaver is refused here.
pub fn work_for(weaver: u64) {
    WORKS_FOR.set(weaver);
}
