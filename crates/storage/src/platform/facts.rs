//! What a system tells of itself: file systems, limits, processes. Nothing is changed by asking.

use std::path::Path;

/// What a directory lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// Its name: `ext4`, `nfs4`, …; `None` where the table of mounts does not tell.
    pub(crate) name: Option<String>,
    pub(crate) read_only: bool,
}

/// The limits of this process; `None` for what has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) open_files: Option<u64>,
    pub(crate) address_space: Option<u64>,
    pub(crate) file_size: Option<u64>,
}

/// What is known of the file system of a path.
pub(crate) fn file_system(path: &Path) -> Option<FileSystem> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        let read_only = super::statvfs(path)?.f_flag & libc::ST_RDONLY != 0;
        let device = std::fs::metadata(path).ok()?.dev();
        let (major, minor) = (libc::major(device), libc::minor(device));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let name = mount_type(&mounts, &format!("{major}:{minor}"));
        Some(FileSystem { name, read_only })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _other_systems_are_not_asked = path;
        None
    }
}

/// The type of the file system with a device, by the lines of `mountinfo`.
#[cfg(any(target_os = "linux", test))]
fn mount_type(mounts: &str, device: &str) -> Option<String> {
    mounts
        .lines()
        .find_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            (mount.split(' ').nth(2) == Some(device)).then(|| system.split(' ').next())?
        })
        .map(str::to_owned)
}

/// The limits of this process, where the system has such.
pub(crate) fn limits() -> Option<Limits> {
    #[cfg(unix)]
    {
        let limit = |which| {
            let mut limit = std::mem::MaybeUninit::<libc::rlimit>::uninit();
            // SAFETY: the struct is only read after the call has filled it.
            #[allow(unsafe_code)]
            let limit = unsafe {
                if libc::getrlimit(which, limit.as_mut_ptr()) != 0 {
                    return None;
                }
                limit.assume_init()
            };
            #[allow(clippy::unnecessary_cast)]
            (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as u64)
        };
        Some(Limits {
            open_files: limit(libc::RLIMIT_NOFILE),
            address_space: limit(libc::RLIMIT_AS),
            file_size: limit(libc::RLIMIT_FSIZE),
        })
    }
    #[cfg(not(unix))]
    None
}

/// Name and release of the system.
pub(crate) fn kernel() -> Option<String> {
    #[cfg(unix)]
    {
        let mut told = std::mem::MaybeUninit::<libc::utsname>::zeroed();
        // SAFETY: the struct was set to zeros, of which it may consist, and its texts end with a NUL.
        #[allow(unsafe_code)]
        let texts = unsafe {
            if libc::uname(told.as_mut_ptr()) != 0 {
                return None;
            }
            let told = told.assume_init();
            [told.sysname, told.release]
                .map(|text| std::ffi::CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
        };
        Some(texts.join(" "))
    }
    #[cfg(not(unix))]
    None
}

/// Whether a process of this machine is there; `None` where nobody can tell.
pub(crate) fn is_alive(process: u32) -> Option<bool> {
    #[cfg(unix)]
    {
        let process = i32::try_from(process).ok().filter(|process| *process > 0)?;
        // SAFETY: the signal 0 is sent to nobody; it only asks.
        #[allow(unsafe_code)]
        let answer = unsafe { libc::kill(process, 0) };
        Some(answer == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM))
    }
    #[cfg(not(unix))]
    {
        let _nobody_is_asked = process;
        None
    }
}

/// Bytes of the lock that LMDB keeps in its table of readers, where it keeps one there.
pub(crate) fn mutex_bytes() -> Option<usize> {
    #[cfg(target_os = "linux")]
    return Some(size_of::<libc::pthread_mutex_t>());
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_a_device_is_found() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      40 22 0:41 / /mnt/far rw shared:9 - nfs4 host:/far rw\n\
                      41 22 0:42 / /mnt/user rw - fuse.sshfs me@host:/ rw\n";
        assert_eq!(mount_type(mounts, "8:1").as_deref(), Some("ext4"));
        assert_eq!(mount_type(mounts, "0:41").as_deref(), Some("nfs4"));
        assert_eq!(mount_type(mounts, "0:42").as_deref(), Some("fuse.sshfs"));
        assert_eq!(mount_type(mounts, "0:4"), None);
        assert_eq!(mount_type("nonsense - \n -\n", "0:4"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_system_tells() {
        assert_eq!(file_system(Path::new("/proc")).unwrap().name.as_deref(), Some("proc"));
        assert!(kernel().unwrap().starts_with("Linux "));
        assert_eq!(is_alive(std::process::id()), Some(true));
        assert_eq!(is_alive(0), None);
        assert!(limits().unwrap().open_files.is_none_or(|most| most > 10));
    }
}
