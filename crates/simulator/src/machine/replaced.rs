//! The functions of the C library that this program has in their place.

use std::ffi::c_char;

use libc::{
    AT_FDCWD, c_int, c_long, c_uint, c_void, clockid_t, iovec, mode_t, off_t, pthread_attr_t,
    pthread_t, size_t, ssize_t, timespec,
};

use super::raw::{call, fail, told};
use super::{calls, is_simulated, threads, time_of_day};

/// Defines functions under their names in the C library.
macro_rules! replaced {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty $body:block)*) => {
        $(
            $(#[$doc])*
            // SAFETY: it has the name, the arguments and the meaning that the C library gives it.
            #[allow(unsafe_code)]
            #[unsafe(no_mangle)]
            pub(super) extern "C" fn $name($($argument: $type),*) -> $result $body
        )*
    };
}

fn bytes<'m>(begin: *const c_void, length: usize) -> &'m [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: who calls gives memory that is there for the time of the call.
    #[allow(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts(begin.cast(), length)
    }
}

fn parts<'m>(vector: *const iovec, count: c_int) -> Vec<&'m [u8]> {
    // SAFETY: as above.
    #[allow(unsafe_code)]
    let vector = unsafe { std::slice::from_raw_parts(vector, usize::try_from(count).unwrap_or(0)) };
    vector.iter().map(|part| bytes(part.iov_base, part.iov_len)).collect()
}

fn write_value<T>(place: *mut T, value: T) {
    // SAFETY: who calls gives a place for the answer.
    #[allow(unsafe_code)]
    unsafe {
        place.write(value);
    }
}

// ---- files

replaced! {
    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        calls::open(AT_FDCWD, path, flags, mode) as c_int
    }
    fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        calls::open(AT_FDCWD, path, flags, mode) as c_int
    }
    fn openat(from: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        calls::open(from, path, flags, mode) as c_int
    }
    fn openat64(from: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        calls::open(from, path, flags, mode) as c_int
    }
    fn write(descriptor: c_int, begin: *const c_void, length: size_t) -> ssize_t {
        calls::write(descriptor, &[bytes(begin, length)], None)
    }
    fn pwrite(descriptor: c_int, begin: *const c_void, length: size_t, at: off_t) -> ssize_t {
        calls::write(descriptor, &[bytes(begin, length)], Some(at as u64))
    }
    fn pwrite64(descriptor: c_int, begin: *const c_void, length: size_t, at: off_t) -> ssize_t {
        calls::write(descriptor, &[bytes(begin, length)], Some(at as u64))
    }
    fn writev(descriptor: c_int, vector: *const iovec, count: c_int) -> ssize_t {
        calls::write(descriptor, &parts(vector, count), None)
    }
    fn pwritev(descriptor: c_int, vector: *const iovec, count: c_int, at: off_t) -> ssize_t {
        calls::write(descriptor, &parts(vector, count), Some(at as u64))
    }
    fn pwritev64(descriptor: c_int, vector: *const iovec, count: c_int, at: off_t) -> ssize_t {
        calls::write(descriptor, &parts(vector, count), Some(at as u64))
    }
    fn fsync(descriptor: c_int) -> c_int {
        calls::sync(descriptor, &|| told(call!(libc::SYS_fsync, descriptor))) as c_int
    }
    fn fdatasync(descriptor: c_int) -> c_int {
        calls::sync(descriptor, &|| told(call!(libc::SYS_fdatasync, descriptor))) as c_int
    }
    fn ftruncate(descriptor: c_int, length: off_t) -> c_int {
        calls::set_length(descriptor, length as u64) as c_int
    }
    fn ftruncate64(descriptor: c_int, length: off_t) -> c_int {
        calls::set_length(descriptor, length as u64) as c_int
    }
    fn fallocate(descriptor: c_int, mode: c_int, at: off_t, length: off_t) -> c_int {
        calls::allocate(descriptor, mode, at as u64, length as u64) as c_int
    }
    fn fallocate64(descriptor: c_int, mode: c_int, at: off_t, length: off_t) -> c_int {
        calls::allocate(descriptor, mode, at as u64, length as u64) as c_int
    }
    fn posix_fallocate(descriptor: c_int, at: off_t, length: off_t) -> c_int {
        let result = calls::allocate(descriptor, 0, at as u64, length as u64);
        if result == 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }
    }
    /// The standard library copies by reads and writes instead.
    fn copy_file_range(
        from: c_int, from_at: *mut off_t, to: c_int, to_at: *mut off_t, length: size_t, flags: c_uint,
    ) -> ssize_t {
        if is_simulated() {
            return fail(libc::ENOSYS);
        }
        told(call!(libc::SYS_copy_file_range, from, from_at, to, to_at, length, flags))
    }
    fn sendfile(to: c_int, from: c_int, at: *mut off_t, length: size_t) -> ssize_t {
        if is_simulated() {
            return fail(libc::ENOSYS);
        }
        told(call!(libc::SYS_sendfile, to, from, at, length))
    }
    /// It takes any number of arguments; on the machines that are meant they lie where these do.
    fn fcntl(descriptor: c_int, command: c_int, argument: c_long) -> c_int {
        control(descriptor, command, argument)
    }
    fn fcntl64(descriptor: c_int, command: c_int, argument: c_long) -> c_int {
        control(descriptor, command, argument)
    }
    fn rename(old: *const c_char, new: *const c_char) -> c_int {
        let raw = || told(call!(libc::SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0));
        calls::rename((AT_FDCWD, old), (AT_FDCWD, new), &raw) as c_int
    }
    fn renameat(from: c_int, old: *const c_char, to: c_int, new: *const c_char) -> c_int {
        let raw = || told(call!(libc::SYS_renameat2, from, old, to, new, 0));
        calls::rename((from, old), (to, new), &raw) as c_int
    }
    fn unlink(path: *const c_char) -> c_int {
        calls::remove(AT_FDCWD, path, &|| told(call!(libc::SYS_unlinkat, AT_FDCWD, path, 0))) as c_int
    }
    fn unlinkat(from: c_int, path: *const c_char, flags: c_int) -> c_int {
        calls::remove(from, path, &|| told(call!(libc::SYS_unlinkat, from, path, flags))) as c_int
    }
    fn rmdir(path: *const c_char) -> c_int {
        let raw = || told(call!(libc::SYS_unlinkat, AT_FDCWD, path, libc::AT_REMOVEDIR));
        calls::remove(AT_FDCWD, path, &raw) as c_int
    }
    fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
        calls::make(AT_FDCWD, path, &|| told(call!(libc::SYS_mkdirat, AT_FDCWD, path, mode))) as c_int
    }
    fn mkdirat(from: c_int, path: *const c_char, mode: mode_t) -> c_int {
        calls::make(from, path, &|| told(call!(libc::SYS_mkdirat, from, path, mode))) as c_int
    }
    fn mmap(
        place: *mut c_void, length: size_t, access: c_int, flags: c_int, descriptor: c_int, at: off_t,
    ) -> *mut c_void {
        map(place, length, access, flags, descriptor, at)
    }
    fn mmap64(
        place: *mut c_void, length: size_t, access: c_int, flags: c_int, descriptor: c_int, at: off_t,
    ) -> *mut c_void {
        map(place, length, access, flags, descriptor, at)
    }
    fn statx(
        from: c_int, path: *const c_char, flags: c_int, mask: c_uint, into: *mut libc::statx,
    ) -> c_int {
        let result = told(call!(libc::SYS_statx, from, path, flags, mask, into)) as c_int;
        if result == 0 {
            // SAFETY: the call has filled it.
            #[allow(unsafe_code)]
            let told = unsafe { &mut *into };
            if let Some((id, boot)) = calls::identity(told.stx_ino) {
                (told.stx_ino, told.stx_mnt_id) = (u64::from(id) + 1, boot);
                (told.stx_dev_major, told.stx_dev_minor) = (8, 1);
                told.stx_mask |= libc::STATX_INO | libc::STATX_MNT_ID_UNIQUE;
            }
        }
        result
    }
    fn statvfs(path: *const c_char, into: *mut libc::statvfs) -> c_int {
        space(path, into)
    }
    fn statvfs64(path: *const c_char, into: *mut libc::statvfs) -> c_int {
        space(path, into)
    }
}

fn control(descriptor: c_int, command: c_int, argument: c_long) -> c_int {
    let result = told(call!(libc::SYS_fcntl, descriptor, command, argument)) as c_int;
    if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) && result >= 0 {
        calls::copied(descriptor, result);
    }
    result
}

fn map(
    place: *mut c_void,
    length: size_t,
    access: c_int,
    flags: c_int,
    descriptor: c_int,
    at: off_t,
) -> *mut c_void {
    let result = told(call!(libc::SYS_mmap, place, length, access, flags, descriptor, at));
    let writes = flags & libc::MAP_SHARED != 0 && access & libc::PROT_WRITE != 0;
    if result != -1 && descriptor >= 0 {
        calls::mapped(descriptor, writes);
    }
    result as *mut c_void
}

/// As the C library tells it, from what the system does.
fn space(path: *const c_char, into: *mut libc::statvfs) -> c_int {
    let mut told_by = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    let result = told(call!(libc::SYS_statfs, path, told_by.as_mut_ptr())) as c_int;
    if result != 0 {
        return result;
    }
    // SAFETY: both consist of numbers, which may be 0.
    #[allow(unsafe_code)]
    let (by, mut out) = unsafe { (told_by.assume_init(), std::mem::zeroed::<libc::statvfs>()) };
    (out.f_bsize, out.f_frsize) = (by.f_bsize as _, by.f_frsize as _);
    (out.f_blocks, out.f_bfree, out.f_bavail) = (by.f_blocks, by.f_bfree, by.f_bavail);
    if let Some(room) = calls::room(path) {
        let blocks = room / out.f_frsize.max(1);
        (out.f_bfree, out.f_bavail) = (blocks, blocks);
    }
    write_value(into, out);
    0
}

// ---- time, chance, and who is asked

replaced! {
    fn clock_gettime(clock: clockid_t, into: *mut timespec) -> c_int {
        if !is_simulated() || !matches!(clock, 0 | 1 | 4 | 5 | 6 | 7) {
            return told(call!(libc::SYS_clock_gettime, clock, into)) as c_int;
        }
        let is_of_day = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
        let nanoseconds = if is_of_day { time_of_day() } else { threads::now() as i64 };
        let (tv_sec, tv_nsec) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        write_value(into, timespec { tv_sec, tv_nsec });
        0
    }
    fn getrandom(into: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
        random(into, length, flags)
    }
    fn getpid() -> c_int {
        if is_simulated() { calls::process() } else { call!(libc::SYS_getpid) as c_int }
    }
}

fn random(into: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if !is_simulated() {
        return told(call!(libc::SYS_getrandom, into, length, flags));
    }
    // SAFETY: who calls gives memory to be filled.
    #[allow(unsafe_code)]
    calls::random(unsafe { std::slice::from_raw_parts_mut(into.cast(), length) });
    length as ssize_t
}

// ---- threads

replaced! {
    fn clock_nanosleep(
        clock: clockid_t, flags: c_int, request: *const timespec, rest: *mut timespec,
    ) -> c_int {
        if !is_simulated() {
            return -call!(libc::SYS_clock_nanosleep, clock, flags, request, rest) as c_int;
        }
        let since = if flags & libc::TIMER_ABSTIME != 0 { 0 } else { threads::now() };
        threads::sleep_until(since + nanoseconds(request));
        0
    }
    fn nanosleep(request: *const timespec, rest: *mut timespec) -> c_int {
        if !is_simulated() {
            return told(call!(libc::SYS_nanosleep, request, rest)) as c_int;
        }
        threads::sleep_until(threads::now() + nanoseconds(request));
        0
    }
    fn sched_yield() -> c_int {
        if is_simulated() {
            threads::pause();
            return 0;
        }
        told(call!(libc::SYS_sched_yield)) as c_int
    }
    fn pthread_create(
        handle: *mut pthread_t,
        attributes: *const pthread_attr_t,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int {
        threads::create(handle, attributes, start, argument)
    }
    fn pthread_join(handle: pthread_t, result: *mut *mut c_void) -> c_int {
        threads::join(handle, result)
    }
    fn pthread_detach(handle: pthread_t) -> c_int {
        threads::detach(handle)
    }
    /// It takes any number of arguments; on the machines that are meant they lie where these do.
    fn syscall(
        number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long,
    ) -> c_long {
        if is_simulated() {
            match number {
                libc::SYS_futex => return wait_or_wake(a as usize, b as c_int, c as u32, d),
                libc::SYS_getrandom => return random(a as *mut c_void, b as usize, c as c_uint) as c_long,
                _ => {}
            }
        }
        told(call!(number, a, b, c, d, e, f)) as c_long
    }
}

fn nanoseconds(time: *const timespec) -> u64 {
    // SAFETY: who calls gives a time.
    #[allow(unsafe_code)]
    let time = unsafe { *time };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The waits of the standard library: for a word to change, at most until a time of the clock that is
/// never set.
fn wait_or_wake(word: usize, how: c_int, value: u32, time: c_long) -> c_long {
    match how & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME) {
        libc::FUTEX_WAIT_BITSET => {
            // SAFETY: who waits gives the address of an atomic.
            #[allow(unsafe_code)]
            let found = unsafe { &*(word as *const std::sync::atomic::AtomicU32) };
            if found.load(std::sync::atomic::Ordering::Acquire) != value {
                return fail(libc::EAGAIN) as c_long;
            }
            let until = (time != 0).then(|| nanoseconds(time as *const timespec));
            if threads::wait_for(word, until) { 0 } else { fail(libc::ETIMEDOUT) as c_long }
        }
        libc::FUTEX_WAKE => threads::wake(word, value as usize) as c_long,
        other => super::wrong(&format!("a thread waits in a way that is not simulated: {other}")),
    }
}
