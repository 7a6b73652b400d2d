//! Files that are mapped to be written: what is stored into a map passes by no call, so their content is
//! compared with what was known of it.

use std::os::fd::RawFd;

use super::raw::{self, call};
use crate::log::Id;

/// What a system writes of a map at a time.
const PAGE: usize = 4096;

/// A mapped file.
pub(super) struct Watched {
    pub(super) file: Id,
    descriptor: RawFd,
    known: Vec<u8>,
    view: View,
}

/// All of a file, to be read.
struct View {
    begin: *const u8,
    length: usize,
}

// SAFETY: the map belongs to the process; one thread at a time looks at it.
#[allow(unsafe_code)]
unsafe impl Send for View {}

impl View {
    fn of(descriptor: RawFd, length: usize) -> Self {
        let (access, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        let begin = if length == 0 {
            0
        } else {
            call!(libc::SYS_mmap, 0, length, access, flags, descriptor, 0)
        };
        assert!(begin >= 0, "a file that is mapped can be mapped");
        Self { begin: begin as *const u8, length }
    }

    fn bytes(&self) -> &[u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: all of it is mapped. Only one thread runs at a time, so nobody stores into it now.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.begin, self.length)
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.length > 0 {
            call!(libc::SYS_munmap, self.begin, self.length);
        }
    }
}

impl Watched {
    /// Watches a file of this length from here on; the descriptor is copied.
    pub(super) fn new(file: Id, descriptor: RawFd, length: usize) -> Self {
        let descriptor = call!(libc::SYS_fcntl, descriptor, libc::F_DUPFD_CLOEXEC, 512) as RawFd;
        let view = View::of(descriptor, length);
        Self { file, descriptor, known: view.bytes().to_vec(), view }
    }

    /// Bytes that a call has written.
    pub(super) fn written(&mut self, bytes: &[u8], at: usize) {
        self.lengthened(self.known.len().max(at + bytes.len()));
        self.known[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The file has another length.
    pub(super) fn lengthened(&mut self, length: usize) {
        if length != self.known.len() {
            self.known.resize(length, 0);
            self.view = View::of(self.descriptor, length);
        }
    }

    /// Calls `visit` with every page that is not as it is known, and its place; it is known then.
    pub(super) fn each_stored(&mut self, visit: &mut dyn FnMut(u64, &[u8])) {
        let now = self.view.bytes();
        if now == self.known {
            return;
        }
        for (place, (known, now)) in self.known.chunks_mut(PAGE).zip(now.chunks(PAGE)).enumerate() {
            if known != now {
                visit((place * PAGE) as u64, now);
                known.copy_from_slice(now);
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        raw::close(self.descriptor);
    }
}
