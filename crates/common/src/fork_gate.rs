//! Work that no fork of the process cuts in two.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Between two looks at the other side, which is never busy for long.
const PAUSE: Duration = Duration::from_micros(50);

/// Threads in some work, which a thread that is about to fork waits for. Counted, not locked: a child
/// simply begins at zero.
pub struct ForkGate {
    inside: AtomicUsize,
    forking: AtomicUsize,
}

/// One thread is in such work.
pub struct Inside<'g>(&'g ForkGate);

impl ForkGate {
    /// With nobody inside.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self { inside: AtomicUsize::new(0), forking: AtomicUsize::new(0) }
    }

    /// Begins such work; waits while a thread is about to fork.
    pub fn enter(&self) -> Inside<'_> {
        loop {
            self.inside.fetch_add(1, SeqCst);
            if self.forking.load(SeqCst) == 0 {
                return Inside(self);
            }
            self.inside.fetch_sub(1, SeqCst);
            std::thread::sleep(PAUSE);
        }
    }

    /// Before a fork: nobody enters any more; waits by `pause` until nobody is inside.
    pub fn close(&self, pause: impl Fn(Duration)) {
        self.forking.fetch_add(1, SeqCst);
        while self.inside.load(SeqCst) > 0 {
            pause(PAUSE);
        }
    }

    /// After the fork, in the parent.
    pub fn open(&self) {
        self.forking.fetch_sub(1, SeqCst);
    }

    /// After the fork, in the child, which has only the thread that forked.
    pub fn begin_anew(&self) {
        self.forking.store(0, SeqCst);
        self.inside.store(0, SeqCst);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, SeqCst);
    }
}
