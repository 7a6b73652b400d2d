//! Every call to the operating system that differs between systems stands here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use embedded_db_common::{Error, Result};

mod facts;

pub(crate) use self::facts::{
    FileSystem, Limits, file_system, is_alive, kernel, limits, mutex_bytes,
};

/// Between two looks at whether a wait may end.
pub(crate) const WAIT: Duration = Duration::from_millis(5);

/// Turns an I/O error into one that names the file.
pub(crate) fn io_error(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let detail = format!("cannot {doing}: {error}");
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            Error::StorageFull { path: path.to_owned(), detail }
        }
        _ => Error::StorageError { path: path.to_owned(), detail },
    }
}

/// The same for what needs to write: where nothing may be written, it says what helps.
pub(crate) fn write_error(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match error.kind() {
        PermissionDenied | ReadOnlyFilesystem => Error::StorageError {
            path: path.to_owned(),
            detail: format!(
                "cannot {doing}: {error}; open the database with read_only=True, or give write \
                 permission to its directory and all in it"
            ),
        },
        _ => io_error(path, doing, error),
    }
}

/// The same for a sync. It is never a full disk alone: what the system had accepted may be gone, so nothing
/// that follows may be acknowledged.
pub(crate) fn sync_error(path: &Path, error: &std::io::Error) -> Error {
    let detail =
        format!("cannot sync it: {error}; nothing more is written until it is opened again");
    Error::StorageError { path: path.to_owned(), detail }
}

/// An advisory lock on a file. The system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// Its process: whoever else drops it, after a fork of any kind, has no right to end it.
    owner: u32,
}

impl Lock {
    /// Takes a shared lock on a file that others hold alone for moments; `None` if there is no such file.
    pub(crate) fn shared(
        path: &Path,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Self>> {
        let lock = match unforked(|| open_to_lock(path).map(Self::guarded)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(path, "open it", &error)),
        };
        if lock.wait(path, File::try_lock_shared, timeout, interrupted)? {
            return Ok(Some(lock));
        }
        Err(io_error(path, "share it with a process that recovers the database", &timed_out()))
    }

    /// Takes a lock on a file that nobody else has any on; `None` if it could not be had in time.
    pub(crate) fn alone(
        path: &Path,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Self>> {
        let lock = unforked(|| open_to_lock(path).map(Self::guarded));
        let lock = lock.map_err(|error| io_error(path, "open it", &error))?;
        Ok(lock.wait(path, File::try_lock, timeout, interrupted)?.then_some(lock))
    }

    /// Whether anybody holds the lock of a file alone.
    fn is_held(path: &Path) -> bool {
        let lock = unforked(|| open_to_lock(path).map(Self::guarded));
        lock.is_ok_and(|lock| matches!(lock.file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Whether the lock could be had in time.
    fn wait(
        &self,
        path: &Path,
        try_lock: impl Fn(&File) -> std::result::Result<(), TryLockError>,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let start = Instant::now();
        loop {
            match try_lock(&self.file) {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) if start.elapsed() < timeout => {
                    interrupted()?;
                    std::thread::sleep(WAIT.min(timeout));
                }
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(e)) => return Err(io_error(path, "lock", &e)),
            }
        }
    }

    fn guarded(file: File) -> Self {
        fork::close_in_child(&file);
        Self { file, owner: std::process::id() }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        fork::forget(&self.file);
        if self.owner == std::process::id() {
            // Closing alone would leave it to every child that is just being started, which has all
            // files open until its program begins. If this fails, closing is what remains.
            drop(self.file.unlock());
        }
    }
}

fn timed_out() -> std::io::Error {
    std::io::ErrorKind::TimedOut.into()
}

/// The right to write: a lock on a file that names its holder.
#[derive(Debug)]
pub(crate) struct WriterLock(Lock);

impl WriterLock {
    /// Its name in a database.
    pub(crate) const FILE: &str = "writer.lock";

    /// Waits for at most `timeout`, and no longer than `interrupted` lets it.
    pub(crate) fn acquire(
        database: &Path,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let path = database.join(Self::FILE);
        let open =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        // A child that is forked during the wait must not share what is locked later.
        let opened = unforked(|| open().map(Lock::guarded));
        let mut lock = opened.map_err(|e| write_error(&path, "open the lock file", &e))?;
        if !lock.wait(&path, File::try_lock, timeout, interrupted)? {
            return Err(Self(lock).held_by(database));
        }
        let holder = format!("{} {}\n", std::process::id(), host_name());
        let file = &mut lock.file;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(|e| write_error(&path, "write the lock file", &e))?;
        Ok(Self(lock))
    }

    /// In a directory that is new: nobody ever sees it without a holder.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let (path, unlocked) = (directory.join(Self::FILE), directory.join("writer.lock.new"));
        let opened = unforked(|| File::create(&unlocked).map(Lock::guarded));
        let lock = opened.map_err(|e| write_error(&unlocked, "create", &e))?;
        lock.file.lock().map_err(|e| io_error(&unlocked, "lock", &e))?;
        fs::rename(&unlocked, &path).map_err(|e| write_error(&path, "rename", &e))?;
        Ok(Self(lock))
    }

    /// For a reader that cannot register itself, so that a writer would overwrite what it reads: keeps
    /// writers out for as long as it reads. That takes no permission to write.
    pub(crate) fn keep_writers_out(
        database: &Path,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let path = database.join(Self::FILE);
        let refused = |why: &str| Error::StorageError {
            path: database.to_owned(),
            detail: format!(
                "its directory cannot be written, so this reader cannot register itself in lock.mdb, \
                 and {why}; give write permission to lock.mdb, or read a copy"
            ),
        };
        let opened = unforked(|| open_to_lock(&path).map(Lock::guarded));
        let lock =
            opened.map_err(|e| refused(&format!("cannot keep writers out by writer.lock: {e}")))?;
        if lock.wait(&path, File::try_lock_shared, timeout, interrupted)? {
            return Ok(Self(lock));
        }
        Err(refused("another process writes to it"))
    }

    /// Whether a process holds it that writes.
    pub(crate) fn is_held(database: &Path) -> bool {
        Lock::is_held(&database.join(Self::FILE))
    }

    /// Keeps writers out of a database to which nothing is written, not even that; `None` where nobody has
    /// ever written.
    pub(crate) fn share(database: &Path) -> Result<Option<Self>> {
        let path = database.join(Self::FILE);
        let opened = unforked(|| open_to_lock(&path).map(Lock::guarded));
        let lock = match opened {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path, "open the lock file", &error)),
        };
        if lock.wait(&path, File::try_lock_shared, Duration::ZERO, &|| Ok(()))? {
            return Ok(Some(Self(lock)));
        }
        Err(Self(lock).held_by(database))
    }

    /// Who holds the right to write, with the host, as far as the file says; `None` when nobody does.
    pub(crate) fn holder(database: &Path) -> Result<Option<(u32, String)>> {
        match Self::share(database) {
            Ok(_) => Ok(None),
            Err(Error::DatabaseLocked { pid, host, .. }) => Ok(Some((pid, host))),
            Err(other) => Err(other),
        }
    }

    fn held_by(&mut self, database: &Path) -> Error {
        let mut text = String::new();
        // What the holder wrote is a courtesy to the reader of the error; without it the process
        // id is reported as 0.
        if self.0.file.rewind().and_then(|()| self.0.file.read_to_string(&mut text)).is_err() {
            text.clear();
        }
        let mut words = text.split_whitespace();
        let pid = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let host = words.next().unwrap_or("an unknown host").to_owned();
        Error::DatabaseLocked { path: database.to_owned(), pid, host }
    }
}

/// Whether a process on the host of this name is one of this machine.
pub(crate) fn has_holder(host: &str) -> bool {
    host == host_name()
}

fn host_name() -> String {
    #[cfg(unix)]
    {
        let mut buffer = [0u8; 256];
        // SAFETY: the buffer is writable for its whole length; the last byte stays 0.
        #[allow(unsafe_code)]
        let status = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
        let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(0);
        if status == 0 && end > 0 {
            return String::from_utf8_lossy(buffer.split_at(end).0).into_owned();
        }
    }
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".into())
}

/// Makes forks of this process wait for what [`unforked`] runs. Done at the first use of it at the
/// latest; a fork that has begun by then does not wait, so a library should do it when it is loaded.
pub fn watch_forks() {
    fork::install();
}

/// How many forks lie between the process that loaded the library and this one.
pub fn fork_generation() -> u32 {
    fork::install();
    FORKS.load(Ordering::Relaxed)
}

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Runs short work that no fork of this process cuts in two: a child has only the thread that forked,
/// so a process-wide lock which another thread held would stay locked in it for ever. A thread that
/// forks waits for the work; so it must neither wait for that thread (nor for anything that it may
/// hold, like an interpreter) nor call this function again.
pub fn unforked<T>(work: impl FnOnce() -> T) -> T {
    let _inside = fork::enter();
    work()
}

#[cfg(unix)]
mod fork {
    //! A forked child shares the parent's lock through the inherited descriptor: it must neither
    //! write nor keep the lock alive after the parent has gone.

    use std::fs::File;
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

    pub(super) fn close_in_child(file: &File) {
        install();
        for slot in &LOCKS {
            let free =
                slot.compare_exchange(NONE, file.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed);
            if free.is_ok() {
                return;
            }
        }
    }

    pub(super) fn forget(file: &File) {
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
mod fork {
    use std::fs::File;

    pub(super) struct Inside;

    pub(super) fn enter() -> Inside {
        Inside
    }

    pub(super) fn install() {}
    pub(super) fn close_in_child(_: &File) {}
    pub(super) fn forget(_: &File) {}
}

/// Replaces `path` so that after a crash either the old or the new content is there.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    };
    write().map_err(|e| write_error(path, "write", &e))
}

/// What tells an open file, as this boot of the machine has mounted it, from every copy and from itself
/// after a power cut: while it is the same, what was written can still be read. `None` where the
/// system does not say.
pub(crate) fn mounted_file(file: &File) -> Option<[u64; 5]> {
    file_place(file).filter(|place| place[MOUNT] != 0)
}

/// Where the number of the mount stands in the place of a file.
const MOUNT: usize = 2;

/// The same, of this boot: its number (two), that of the mount, the device, the inode. The mount is 0
/// where it has no number that is never used again; `None` where boots cannot be told apart.
pub(crate) fn file_place(file: &File) -> Option<[u64; 5]> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let boot = u128::from_str_radix(&boot.trim().replace('-', ""), 16).ok()?;
        // Numbers of mounts are used again, but for this one, which Linux has since 6.8.
        let wanted = libc::STATX_INO | libc::STATX_MNT_ID_UNIQUE;
        let mut told = std::mem::MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: the descriptor is open, the empty path ends with a NUL, all of the struct was set to
        // zeros, of which it may consist.
        #[allow(unsafe_code)]
        let told = unsafe {
            let (file, empty) = (file.as_raw_fd(), c"".as_ptr());
            if libc::statx(file, empty, libc::AT_EMPTY_PATH, wanted, told.as_mut_ptr()) != 0 {
                return None;
            }
            told.assume_init()
        };
        let device = u64::from(told.stx_dev_major) << 32 | u64::from(told.stx_dev_minor);
        let has_number = told.stx_mask & libc::STATX_MNT_ID_UNIQUE != 0;
        let mount = if has_number { told.stx_mnt_id } else { 0 };
        Some([(boot >> 64) as u64, boot as u64, mount, device, told.stx_ino])
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _no_such_number = file;
        None
    }
}

/// Whether a place is that of a file, but for the mount through which it is seen: a container sees the same
/// file through another one.
pub(crate) fn is_same_file_of_boot(one: &[u64; 5], two: &[u64; 5]) -> bool {
    one.iter().zip(two).enumerate().all(|(part, (one, two))| part == MOUNT || one == two)
}

/// Writes all of `bytes` at a place in a file.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
    }
    #[cfg(not(unix))]
    {
        let mut file = file;
        file.seek(std::io::SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}

/// One form for all ways to write a path, as far as it exists.
pub fn real_path(path: &Path) -> PathBuf {
    let Ok(absolute) = std::path::absolute(path) else { return path.to_owned() };
    for ancestor in absolute.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            return absolute.strip_prefix(ancestor).map_or(real.clone(), |rest| real.join(rest));
        }
    }
    absolute
}

/// Whether `path` is still the file of which `opened` speaks.
pub(crate) fn same_file(opened: &fs::Metadata, path: &Path) -> bool {
    let Ok(now) = fs::metadata(path) else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (now.dev(), now.ino()) == (opened.dev(), opened.ino())
    }
    #[cfg(not(unix))]
    {
        now.created().ok() == opened.created().ok()
    }
}

/// Whether the address space has room for so many bytes more.
pub(crate) fn has_address_space(bytes: usize) -> bool {
    #[cfg(unix)]
    {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        // SAFETY: a mapping of its own, at a place that the system chooses; nobody uses it.
        #[allow(unsafe_code)]
        unsafe {
            let map = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
            map != libc::MAP_FAILED && libc::munmap(map, bytes) == 0
        }
    }
    #[cfg(not(unix))]
    {
        let _the_system_says_so_by_itself = bytes;
        true
    }
}

/// Length of an open file in bytes.
pub(crate) fn file_length(file: &File) -> std::io::Result<u64> {
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        let mut told = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the descriptor is open, the struct is only read after the call has filled it.
        #[allow(unsafe_code)]
        let told = unsafe {
            if libc::fstat(file.as_raw_fd(), told.as_mut_ptr()) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            told.assume_init()
        };
        Ok(u64::try_from(told.st_size).unwrap_or(0))
    }
    #[cfg(not(unix))]
    {
        file.metadata().map(|told| told.len())
    }
}

/// Bytes that may still be written to the file system of `path`, where the system tells.
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let told = statvfs(path)?;
        #[allow(clippy::unnecessary_cast)]
        return Some((told.f_bavail as u64).saturating_mul(told.f_frsize as u64));
    }
    #[cfg(not(unix))]
    {
        let _the_system_says_storage_full_by_itself = path;
        None
    }
}

/// What a system tells of the file system of a path.
#[cfg(unix)]
fn statvfs(path: &Path) -> Option<libc::statvfs> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut told = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a NUL, the struct is only read after the call has filled it.
    #[allow(unsafe_code)]
    unsafe {
        (libc::statvfs(path.as_ptr(), told.as_mut_ptr()) == 0).then(|| told.assume_init())
    }
}

/// Opens a file for its lock. Of a pipe that lies in its place, nobody waits for the other end.
fn open_to_lock(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path)
}

/// The kind of the file system in which a path lies, or will, if its files lie on another machine: locks and
/// maps of them do not hold what is built on them. Those that are made by programs (FUSE) cannot be told.
pub(crate) fn network_file_system(path: &Path) -> Option<&'static str> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let kind = path.ancestors().find_map(|place| {
            let place = std::ffi::CString::new(place.as_os_str().as_bytes()).ok()?;
            let mut told = std::mem::MaybeUninit::<libc::statfs>::uninit();
            // SAFETY: the path ends with a NUL, the struct is only read after the call has filled it.
            #[allow(unsafe_code)]
            unsafe {
                (libc::statfs(place.as_ptr(), told.as_mut_ptr()) == 0)
                    .then(|| told.assume_init().f_type)
            }
        });
        // The numbers of the kernel's `magic.h`; the type of the field differs between machines.
        #[allow(clippy::unnecessary_cast)]
        match kind? as u32 {
            0x6969 => Some("NFS"),
            0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
            0x5346_414F => Some("AFS"),
            0x7375_7245 => Some("Coda"),
            0x564C => Some("NCP"),
            _ => None,
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _the_system_does_not_say = path;
        None
    }
}

/// Opens a file that is no link, pipe or device: `None` for those.
pub(crate) fn open_plain_file(path: &Path) -> std::io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    if fs::symlink_metadata(path)?.is_symlink() {
        return Ok(None);
    }
    let file = options.open(path)?;
    let plain = file.metadata()?.is_file();
    Ok(plain.then_some(file))
}

/// Makes the content of a file durable; its length.
pub(crate) fn sync_file(path: &Path) -> std::io::Result<u64> {
    // Windows only lets those sync a file who may write to it.
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// The length beyond which this process may let no file grow, where there is such a limit.
pub(crate) fn file_size_limit() -> Option<u64> {
    limits()?.file_size
}

/// Makes new and renamed entries of a directory durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    return File::open(path)?.sync_all();
    #[cfg(not(unix))]
    {
        let _directory_entries_are_durable_by_themselves = path;
        Ok(())
    }
}

/// Makes a directory and those above it that are missing.
pub(crate) fn create_directory(path: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|above| !above.exists()).collect();
    fs::create_dir_all(path)?;
    missing.into_iter().try_for_each(sync_name)
}

/// Makes the name of a file or directory durable. Who may not read the directory that has the name
/// cannot do that, and goes on without.
pub(crate) fn sync_name(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().filter(|above| *above != Path::new(""));
    match sync_directory(directory.unwrap_or(Path::new("."))) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// The size of a memory page.
pub(crate) fn page_size() -> usize {
    #[cfg(unix)]
    {
        // SAFETY: no arguments in memory, no side effects.
        #[allow(unsafe_code)]
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        if let Ok(size @ 1..) = usize::try_from(size) {
            return size;
        }
    }
    65_536
}

/// The file that the owner of a private directory holds locked.
const ALIVE: &str = "alive";
/// It takes an owner far less to lock it.
const OLD: Duration = Duration::from_secs(600);

/// Whether nothing was made in a directory for so long that its owner must be dead.
fn is_old(directory: &fs::DirEntry) -> bool {
    let modified = directory.metadata().and_then(|told| told.modified());
    let modified = modified.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let now = u64::try_from(embedded_db_common::clock::now()).unwrap_or(0);
    modified.is_some_and(|at| at + OLD < Duration::from_micros(now))
}

/// Removes the directories in `base` whose names begin so and whose owners, who held the file `lock`
/// in them locked, are dead.
pub(crate) fn remove_abandoned(base: &Path, prefix: &str, lock: &str) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let dead = match File::open(entry.path().join(lock)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Its owner is about to lock it, or was killed before that.
            Err(error) => error.kind() == std::io::ErrorKind::NotFound && is_old(&entry),
        };
        if dead {
            // Another process may be at it too; what it took is gone either way.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// A private directory for a database in memory, removed when dropped. Directories left by dead
/// processes are removed on the way.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory {
    path: PathBuf,
    lock: Option<File>,
    owner: u32,
}

impl TemporaryDirectory {
    const PREFIX: &'static str = "embedded-db-memory-";

    pub(crate) fn create() -> Result<Self> {
        let base = Self::base();
        Self::sweep(&base);
        let path = base.join(embedded_db_common::clock::new_id(Self::PREFIX.trim_end_matches('-')));
        fs::create_dir_all(&path).map_err(|e| io_error(&path, "create", &e))?;
        let (lock_path, unlocked) = (path.join(ALIVE), path.join("alive.new"));
        let lock = unforked(|| File::create(&unlocked).inspect(fork::close_in_child));
        let lock = lock.map_err(|e| io_error(&unlocked, "create", &e))?;
        let directory = Self { path, lock: Some(lock), owner: fork_generation() };
        if let Some(lock) = &directory.lock {
            lock.lock().map_err(|e| io_error(&unlocked, "lock", &e))?;
        }
        // Nobody ever sees it unlocked, and takes us for dead.
        fs::rename(&unlocked, &lock_path).map_err(|e| io_error(&lock_path, "rename", &e))?;
        Ok(directory)
    }

    /// Memory-backed where the system has such a place.
    fn base() -> PathBuf {
        let shared = Path::new("/dev/shm");
        if shared.is_dir() && fs::metadata(shared).is_ok_and(|m| !m.permissions().readonly()) {
            shared.to_owned()
        } else {
            std::env::temp_dir()
        }
    }

    fn sweep(base: &Path) {
        remove_abandoned(base, Self::PREFIX.trim_end_matches('-'), ALIVE);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            fork::forget(&lock);
        }
        if self.owner == fork_generation() {
            // At worst the next start sweeps it.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// A directory of a process that is gone, as it was left some time ago.
    fn left(base: &Path, name: &str, file: Option<&str>, age: Duration) -> PathBuf {
        let path =
            base.join(format!("{}_{name}", TemporaryDirectory::PREFIX.trim_end_matches('-')));
        fs::create_dir(&path).unwrap();
        if let Some(file) = file {
            File::create(path.join(file)).unwrap();
        }
        let then = SystemTime::UNIX_EPOCH
            + Duration::from_micros(embedded_db_common::clock::now() as u64)
            - age;
        File::open(&path).unwrap().set_modified(then).unwrap();
        path
    }

    #[test]
    #[cfg(unix)]
    fn what_dead_processes_left_is_removed_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let (now, long_ago) = (Duration::ZERO, OLD + Duration::from_secs(60));
        let gone = [
            left(base.path(), "locked-once", Some(ALIVE), now),
            left(base.path(), "never-locked", None, long_ago),
            left(base.path(), "killed-while-locking", Some("alive.new"), long_ago),
        ];
        let kept = [
            left(base.path(), "about-to-lock", None, now),
            left(base.path(), "alive-for-long", Some(ALIVE), long_ago),
            base.path().join("of-somebody-else"),
        ];
        fs::create_dir(&kept[2]).unwrap();
        let alive = File::open(kept[1].join(ALIVE)).unwrap();
        alive.lock().unwrap();
        TemporaryDirectory::sweep(base.path());
        assert!(gone.iter().all(|path| !path.exists()), "{gone:?}");
        assert!(kept.iter().all(|path| path.exists()), "{kept:?}");
        drop(alive);
        TemporaryDirectory::sweep(base.path());
        assert!(!kept[1].exists());
    }
}
