//! Every call to the operating system that differs between systems stands here.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_db_common::{Error, Result};

mod facts;
mod forks;
mod locks;
mod process;
mod sockets;
mod temporary;

pub(crate) use self::facts::{
    FileSystem, Limits, file_system, is_alive, kernel, limits, mutex_bytes,
};
pub use self::forks::{fork_generation, unforked, watch_forks};
pub use self::locks::host_name;
pub(crate) use self::locks::{Lock, WriterLock, has_holder};
pub use self::process::{ProcessFacts, process_facts};
pub use self::sockets::{Bell, Door, Line};
pub(crate) use self::temporary::{TemporaryDirectory, remove_abandoned};

/// From now on this thread gets what others leave of the processors, on systems where a thread can say so for itself
/// alone.
pub fn yield_to_others() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: it takes numbers alone; 0 is the calling thread.
        #[allow(unsafe_code)]
        unsafe {
            // Where it is refused the thread goes on as it is.
            let _refused = libc::setpriority(libc::PRIO_PROCESS, 0, 10);
        }
    }
}

/// Between two looks at whether a wait may end.
pub(crate) const WAIT: Duration = Duration::from_millis(5);

/// Turns an I/O error into one that names the file, and says what helps.
pub(crate) fn io_error(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind as K;
    let detail = format!("cannot {doing}: {error}");
    let remedy = match error.kind() {
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => {
            return Error::StorageFull { path: path.to_owned(), detail, is_kept: false };
        }
        K::PermissionDenied => "give this user permission to read it and the directories above it",
        K::NotFound => "see whether it was moved or removed",
        K::IsADirectory | K::NotADirectory | K::InvalidFilename | K::InvalidInput => {
            "name another path, or put what lies there elsewhere"
        }
        K::OutOfMemory => "free memory, or raise the limit of address space (ulimit -v)",
        K::TimedOut => "close the other process, or raise lock_timeout",
        _ if has_no_descriptor(error) => "close files, or raise the limit of open ones (ulimit -n)",
        _ => "see what the system tells of the disk",
    };
    Error::StorageError { path: path.to_owned(), detail: format!("{detail}; {remedy}") }
}

/// Whether the process, or the system, has no more room for open files.
fn has_no_descriptor(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    return matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    #[cfg(not(unix))]
    {
        let _no_such_number = error;
        false
    }
}

/// Refuses what is no file, like a pipe, whose opening would wait for its other end. What is missing is none either,
/// but shows by itself.
pub(crate) fn require_file(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(told) if !told.is_file() => Err(Error::StorageError {
            path: path.to_owned(),
            detail: "it is no file; put what lies there elsewhere".into(),
        }),
        _ => Ok(()),
    }
}

/// The same for what needs to write: where nothing may be written, it says what helps.
pub(crate) fn write_error(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match error.kind() {
        PermissionDenied => Error::StorageError {
            path: path.to_owned(),
            detail: format!(
                "cannot {doing}: {error}; give this user write permission to the directory and all in it \
                 (read_only=True opens a database that is only read)"
            ),
        },
        ReadOnlyFilesystem => Error::StorageError {
            path: path.to_owned(),
            detail: format!(
                "cannot {doing}: {error}; choose a disk that can be written to (read_only=True opens a database \
                 that is only read)"
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

/// How a file is made that has what users store: nobody but its owner reads it, as LMDB makes its own.
pub(crate) fn private() -> OpenOptions {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
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
        use std::io::{Seek, SeekFrom};
        file.seek(SeekFrom::Start(offset))?;
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

/// Gives a file room from a place on, beyond its end, too, which stays where it is.
pub(crate) fn reserve(file: &File, from: u64, length: u64) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let invalid = |_| std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let from = libc::off64_t::try_from(from).map_err(invalid)?;
        let length = libc::off64_t::try_from(length).map_err(invalid)?;
        loop {
            // SAFETY: the descriptor is open; nothing else is passed but numbers.
            #[allow(unsafe_code)]
            let done = unsafe {
                libc::fallocate64(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, from, length)
            };
            if done == 0 {
                return Ok(());
            }
            let error = std::io::Error::last_os_error();
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _nothing_keeps_room = (file, from, length);
        Err(std::io::ErrorKind::Unsupported.into())
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

/// Tells the name and length of each file in a directory; what cannot be looked at is left out.
pub(crate) fn each_file(directory: &Path, tell: &mut dyn FnMut(&str, u64)) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if let Ok(told) = entry.metadata()
            && told.is_file()
        {
            tell(&entry.file_name().to_string_lossy(), told.len());
        }
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

/// The kind of the file system in which a path lies, or will, if its files lie on another machine: locks and
/// maps of them do not hold what is built on them. Those that are made by programs (FUSE) cannot be told.
pub(crate) fn network_file_system(path: &Path) -> Option<&'static str> {
    match kind_of_file_system(path)? {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x5346_414F => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x564C => Some("NCP"),
        _ => None,
    }
}

/// Whether what is written over something else may need room of its own: the file system is known to copy on
/// write (Btrfs, bcachefs, ZFS), to write one behind the other (F2FS, NILFS), or is made by a program (FUSE).
pub(crate) fn overwriting_takes_room(path: &Path) -> bool {
    let those = [0x9123_683E, 0xCA45_1A4E, 0x2FC1_2FC1, 0xF2F5_2010, 0x3434, 0x6573_5546];
    kind_of_file_system(path).is_some_and(|kind| those.contains(&kind))
}

/// Its number in the kernel's `magic.h`; on other systems than Linux it is not asked for.
fn kind_of_file_system(path: &Path) -> Option<u32> {
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
        // The type of the field differs between machines.
        #[allow(clippy::unnecessary_cast)]
        kind.map(|kind| kind as u32)
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
