//! The numbers that a file system gives to files, which differ from run to run, and ours.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::log::Id;

/// Most files of a machine between two starts.
const MOST: usize = 1 << 14;

struct Table {
    count: AtomicUsize,
    files: [[AtomicU64; 2]; MOST],
}

/// Pairs of them, in memory that forked processes share.
#[derive(Clone, Copy)]
pub(crate) struct Inodes(&'static Table);

impl Inodes {
    pub(crate) fn new() -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let (size, access) = (size_of::<Table>(), libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: new memory, large enough, aligned, of zeros, which all of it may be; never given back.
        #[allow(unsafe_code)]
        let table = unsafe {
            let place = libc::mmap(std::ptr::null_mut(), size, access, flags, -1, 0);
            assert_ne!(place, libc::MAP_FAILED, "no memory for the numbers of files");
            &*place.cast()
        };
        Self(table)
    }

    pub(crate) fn clear(self) {
        self.0.count.store(0, Ordering::Relaxed);
    }

    /// A file of the file system is this one.
    pub(crate) fn add(self, inode: u64, id: Id) {
        let count = self.0.count.load(Ordering::Relaxed);
        assert!(count < MOST, "a machine makes more files than there is room for");
        let [place, of] = &self.0.files[count];
        place.store(inode, Ordering::Relaxed);
        of.store(id.into(), Ordering::Relaxed);
        self.0.count.store(count + 1, Ordering::Release);
    }

    /// The same for what lies at a path.
    pub(crate) fn add_path(self, path: &Path, id: Id) {
        if let Ok(told) = std::fs::metadata(path) {
            self.add(told.ino(), id);
        }
    }

    /// Which file it is, if it is one of the machine's.
    pub(crate) fn find(self, inode: u64) -> Option<Id> {
        let files = &self.0.files[..self.0.count.load(Ordering::Acquire)];
        let found = files.iter().rev().find(|[place, _]| place.load(Ordering::Relaxed) == inode)?;
        Id::try_from(found[1].load(Ordering::Relaxed)).ok()
    }
}
