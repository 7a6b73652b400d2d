//! Forks of the process, and what they must not cut in two.

use std::sync::atomic::{AtomicU32, Ordering};

pub(super) use self::system::{close_in_child, forget};

/// Makes forks of this process wait for what [`unforked`] runs. Done at the first use of it at the
/// latest; a fork that has begun by then does not wait, so a library should do it when it is loaded.
pub fn watch_forks() {
    system::install();
}

/// How many forks lie between the process that loaded the library and this one.
pub fn fork_generation() -> u32 {
    system::install();
    FORKS.load(Ordering::Relaxed)
}

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Runs short work that no fork of this process cuts in two: a child has only the thread that forked,
/// so a process-wide lock which another thread held would stay locked in it for ever. A thread that
/// forks waits for the work; so it must neither wait for that thread (nor for anything that it may
/// hold, like an interpreter) nor call this function again.
pub fn unforked<T>(work: impl FnOnce() -> T) -> T {
    let _inside = system::enter();
    work()
}

#[cfg(unix)]
mod system {
    //! A forked child shares the parent's lock through the inherited descriptor: it must neither
    //! write nor keep the lock alive after the parent has gone.

    use std::os::fd::AsRawFd;
    use std::sync::Once;
    use std::sync::atomic::{AtomicI32, Ordering};

    use embedded_db_common::{ForkGate, Inside};

    const NONE: i32 = -1;
    /// More than a process may have open by default.
    static LOCKS: [AtomicI32; 1024] = [const { AtomicI32::new(NONE) }; 1024];
    static UNFORKED: ForkGate = ForkGate::new();

    pub(super) fn enter() -> Inside<'static> {
        install();
        UNFORKED.enter()
    }

    extern "C" fn before() {
        UNFORKED.close(std::thread::sleep);
    }

    extern "C" fn in_parent() {
        UNFORKED.open();
    }

    extern "C" fn in_child() {
        UNFORKED.begin_anew();
        super::FORKS.fetch_add(1, Ordering::Relaxed);
        for slot in &LOCKS {
            let descriptor = slot.swap(NONE, Ordering::Relaxed);
            if descriptor != NONE {
                // The number must stay taken: the parent's `File` is dropped in the child too
                // and would close whatever got it next.
                // SAFETY: async-signal-safe calls on plain integers; the descriptor was
                // registered by its owner and is open in the child.
                #[allow(unsafe_code)]
                unsafe {
                    let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
                    if null >= 0 {
                        libc::dup2(null, descriptor);
                        libc::close(null);
                    }
                }
            }
        }
    }

    pub(super) fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handlers only touch atomics, sleep before the fork, and make async-signal-safe
            // calls after it.
            #[allow(unsafe_code)]
            let status =
                unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
            assert_eq!(status, 0, "pthread_atfork only fails without memory");
        });
    }

    pub(in crate::platform) fn close_in_child(file: &impl AsRawFd) {
        install();
        for slot in &LOCKS {
            let free =
                slot.compare_exchange(NONE, file.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed);
            if free.is_ok() {
                return;
            }
        }
    }

    pub(in crate::platform) fn forget(file: &impl AsRawFd) {
        let descriptor = file.as_raw_fd();
        for slot in &LOCKS {
            let mine =
                slot.compare_exchange(descriptor, NONE, Ordering::Relaxed, Ordering::Relaxed);
            if mine.is_ok() {
                return;
            }
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::File;

    pub(super) struct Inside;

    pub(super) fn enter() -> Inside {
        Inside
    }

    pub(super) fn install() {}
    pub(in crate::platform) fn close_in_child(_: &File) {}
    pub(in crate::platform) fn forget(_: &File) {}
}
