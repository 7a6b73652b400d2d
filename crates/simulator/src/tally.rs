//! How often what has happened, over all processes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters in memory that forked processes share.
pub(crate) struct Tally {
    counters: &'static [AtomicU64; NAMES.len()],
}

const NAMES: [&str; 23] = [
    "seeds",
    "lives",
    "operations",
    "commits through the log",
    "checkpoints",
    "ends of the log",
    "checkpoints put back",
    "replays",
    "frames done again",
    "power cuts",
    "power cuts within a checkpoint",
    "power cuts with frames in both files",
    "power cuts within a replay",
    "restarts after a fault of the disk",
    "of which told",
    "killed process",
    "failing call",
    "short write",
    "failing sync",
    "lost write",
    "torn write",
    "misdirected write",
    "full disk",
];

impl Tally {
    pub(crate) fn new() -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let (size, access) =
            (size_of::<[AtomicU64; NAMES.len()]>(), libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: new memory, large enough, aligned, zeros at first, and never given back.
        #[allow(unsafe_code)]
        let counters = unsafe {
            let place = libc::mmap(std::ptr::null_mut(), size, access, flags, -1, 0);
            assert_ne!(place, libc::MAP_FAILED, "no memory for counters");
            &*place.cast()
        };
        Self { counters }
    }

    pub(crate) fn count(&self, name: &str) {
        let place = NAMES.iter().position(|known| *known == name);
        let place = place.unwrap_or_else(|| panic!("{name} is not counted"));
        self.counters[place].fetch_add(1, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, count) in NAMES.iter().zip(self.counters) {
            writeln!(f, "{:>9} {name}", count.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}
