//! Who wants to know that so much was written.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Store;

/// Nobody waits.
const NEVER: u64 = u64::MAX;

/// What is called when an LSN is reached, once for each time that it is asked for.
pub(crate) struct Watch {
    lsn: AtomicU64,
    call: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { lsn: AtomicU64::new(NEVER), call: OnceLock::new() }
    }
}

impl Watch {
    /// A commit has left this as the last LSN.
    pub(crate) fn reached(&self, lsn: u64) {
        let asked = self.lsn.load(Ordering::SeqCst);
        // Another mark may have been set meanwhile: that one stays.
        let is_it = lsn >= asked
            && self.lsn.compare_exchange(asked, NEVER, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if let Some(call) = self.call.get().filter(|_| is_it) {
            call();
        }
    }
}

impl Store {
    /// What [`Store::call_at`] calls, in the thread of a writer: it must not write, nor wait. Set once.
    pub fn watch_commits(&self, call: impl Fn() + Send + Sync + 'static) {
        // Another one would never be called.
        let _first = self.watch.call.set(Box::new(call));
    }

    /// Has the watcher called once by the first commit from now on whose last LSN is at least this.
    pub fn call_at(&self, lsn: u64) {
        self.watch.lsn.store(lsn, Ordering::SeqCst);
    }
}
