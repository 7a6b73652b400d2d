//! System calls as they are, past the functions of the C library that this program replaces.

use std::sync::atomic::AtomicU32;

use libc::{c_int, c_long, timespec};

/// What a call gives, or the number of its error, negative.
///
/// # Safety
/// As the call says.
#[allow(unsafe_code)]
pub(super) unsafe fn enter(number: c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the registers of a system call; the kernel keeps all others.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _, options(nostack)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the same.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f, options(nostack)
        );
    }
    result
}

/// As the C library tells it: −1, and the number of the error aside.
pub(super) fn told(result: isize) -> isize {
    if (-4095..0).contains(&result) { fail(-result as c_int) } else { result }
}

/// −1, and this error.
pub(super) fn fail(error: c_int) -> isize {
    // SAFETY: the place belongs to the calling thread.
    #[allow(unsafe_code)]
    unsafe {
        *libc::__errno_location() = error;
    }
    -1
}

macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {{
        let mut arguments = [0_usize; 6];
        let given = [$($argument as usize),*];
        arguments[..given.len()].copy_from_slice(&given);
        // SAFETY: whoever calls a replaced function gave what the call wants; our own calls give memory
        // that is there.
        #[allow(unsafe_code)]
        unsafe {
            $crate::machine::raw::enter($number, arguments)
        }
    }};
}
pub(super) use call;

/// Ends the process now, with nothing done that was to be done at its end.
pub(super) fn end(status: c_int) -> ! {
    loop {
        call!(libc::SYS_exit_group, status);
    }
}

/// Who waits for a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    /// Threads of this process.
    Threads,
    Processes,
}

impl Among {
    fn flag(self) -> c_int {
        if self == Self::Threads { libc::FUTEX_PRIVATE_FLAG } else { 0 }
    }
}

/// Waits until the word is no longer as expected, or somebody wakes those who wait.
pub(super) fn wait_while(word: &AtomicU32, expected: u32, among: Among) {
    let (word, forever): (*const _, _) = (word, std::ptr::null::<timespec>());
    call!(libc::SYS_futex, word, libc::FUTEX_WAIT | among.flag(), expected, forever);
}

/// Wakes who waits for the word.
pub(super) fn wake(word: &AtomicU32, among: Among) {
    let word: *const _ = word;
    call!(libc::SYS_futex, word, libc::FUTEX_WAKE | among.flag(), 1);
}

/// Waits until another process has ended, and with it all that it held.
pub(super) fn await_end(process: c_int) {
    let descriptor = call!(libc::SYS_pidfd_open, process, 0);
    assert!(descriptor >= 0, "the process is there, or waits for its parent");
    let mut ended = libc::pollfd { fd: descriptor as c_int, events: libc::POLLIN, revents: 0 };
    let (ended, forever) = (&raw mut ended, std::ptr::null::<timespec>());
    while call!(libc::SYS_ppoll, ended, 1, forever, 0, 0) == -libc::EINTR as isize {}
    close(descriptor as c_int);
}

pub(super) fn close(descriptor: c_int) -> isize {
    call!(libc::SYS_close, descriptor)
}
