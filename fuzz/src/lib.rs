//! How much memory a target takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what is allocated.
pub struct Counted;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator as they come.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs a target, which may not allocate more, all in all, than `factor` times what it was given.
///
/// # Panics
///
/// When it does.
pub fn bounded(bytes: &[u8], factor: usize, target: impl FnOnce(&[u8])) {
    // For what does not depend on it.
    const ALWAYS: usize = 128 << 10;
    let before = ALLOCATED.load(Ordering::Relaxed);
    target(bytes);
    let allocated = ALLOCATED.load(Ordering::Relaxed) - before;
    let most = ALWAYS + factor * bytes.len();
    assert!(allocated <= most, "{allocated} bytes for an input of {}", bytes.len());
}
