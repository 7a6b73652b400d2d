//! What happened in a process, in order, in memory that outlives it.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Number of a file or directory.
pub(crate) type Id = u32;

/// What a disk does with what it was told to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written.
    Kept,
    /// Nothing is written, and nobody is told.
    Lost,
    /// Only some of its sectors are; which, this number decides.
    Torn(u64),
    /// It is written to another place of the disk; to which, this number decides.
    Misdirected(u64),
}

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// An operation begins.
    Begin(u32),
    /// Whoever asked for it was told that it is done.
    Done(u32),
    /// …that it failed, and nothing of it is there.
    Refused(u32),
    /// …that it failed; whether it is there shows at the next opening.
    Unknown(u32),
    /// Nanoseconds by the clock that is never set.
    Time(u64),
    /// A database was closed: whatever it acknowledged is on the disk.
    Closed,
    /// At opening there was this one of the states that could be expected.
    Found(u32),
    /// A name in a directory, for a file or directory.
    Make { directory: Id, name: &'a str, id: Id, is_directory: bool },
    /// It is gone.
    Remove { directory: Id, name: &'a str },
    /// It is another now, which it replaces.
    Rename { directory: Id, name: &'a str, to: Id, new: &'a str },
    /// Bytes at a place of a file; `synced`: they are on the disk when the call returns.
    Write { file: Id, at: u64, bytes: &'a [u8], synced: bool, fate: Fate },
    /// A file ends here now.
    Length { file: Id, length: u64 },
    /// All that was told of a file or directory is on the disk. With `failed`, some of it never will be:
    /// which, this number decides.
    Sync { id: Id, failed: Option<u64> },
    /// A fault that was planned has happened.
    Fault(&'a str),
    /// What was not as it must be.
    Wrong(&'a str),
    /// Anything else that is worth a line.
    Note(&'a str),
}

/// Room for what one process does: address space, of which little is ever touched.
const ROOM: usize = 1 << 32;

/// The memory, shared with every process that is forked.
pub(crate) struct Log {
    begin: NonNull<u8>,
    /// In the memory itself, at its begin.
    used: &'static AtomicUsize,
}

const HEADER: usize = 64;

// SAFETY: only one process, and of it only one thread at a time, adds to it; the others read when it has ended.
#[allow(unsafe_code)]
unsafe impl Send for Log {}
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl Sync for Log {}

impl Log {
    pub(crate) fn new() -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory at a place that the system chooses, for as long as the process lives.
        #[allow(unsafe_code)]
        let begin = unsafe { libc::mmap(std::ptr::null_mut(), ROOM, access, flags, -1, 0) };
        assert_ne!(begin, libc::MAP_FAILED, "no address space for the log");
        let begin = NonNull::new(begin.cast::<u8>()).expect("a map is not at address 0");
        // SAFETY: the memory begins with zeros, is aligned, and is never given back.
        #[allow(unsafe_code)]
        let used = unsafe { begin.cast::<AtomicUsize>().as_ref() };
        Self { begin, used }
    }

    /// Nothing has happened yet.
    pub(crate) fn clear(&self) {
        self.used.store(0, Ordering::Relaxed);
    }

    /// All that has happened, as bytes: two that are equal tell the same.
    pub(crate) fn bytes(&self) -> &[u8] {
        let used = self.used.load(Ordering::Acquire);
        // SAFETY: so much was written behind the header, and is not written again before `clear`.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.begin.as_ptr().add(HEADER), used)
        }
    }

    /// All that has happened.
    pub(crate) fn events(&self) -> Events<'_> {
        Events(self.bytes())
    }

    fn extend(&self, parts: &[&[u8]]) {
        let mut used = self.used.load(Ordering::Relaxed);
        for part in parts {
            assert!(HEADER + used + part.len() <= ROOM, "the log is full");
            // SAFETY: there is room, nobody else writes, and the parts lie elsewhere.
            #[allow(unsafe_code)]
            unsafe {
                let end = self.begin.as_ptr().add(HEADER + used);
                std::ptr::copy_nonoverlapping(part.as_ptr(), end, part.len());
            }
            used += part.len();
        }
        self.used.store(used, Ordering::Release);
    }

    pub(crate) fn add(&self, event: &Event<'_>) {
        let (tag, numbers, bytes, more): (u8, [u64; 4], &[u8], &[u8]) = match *event {
            Event::Begin(operation) => (0, [operation.into(), 0, 0, 0], &[], &[]),
            Event::Done(operation) => (1, [operation.into(), 0, 0, 0], &[], &[]),
            Event::Refused(operation) => (2, [operation.into(), 0, 0, 0], &[], &[]),
            Event::Unknown(operation) => (3, [operation.into(), 0, 0, 0], &[], &[]),
            Event::Found(which) => (4, [which.into(), 0, 0, 0], &[], &[]),
            Event::Make { directory, name, id, is_directory } => {
                (5, [directory.into(), id.into(), is_directory.into(), 0], name.as_bytes(), &[])
            }
            Event::Remove { directory, name } => {
                (6, [directory.into(), 0, 0, 0], name.as_bytes(), &[])
            }
            Event::Rename { directory, name, to, new } => {
                let length = name.len() as u64;
                (7, [directory.into(), to.into(), length, 0], name.as_bytes(), new.as_bytes())
            }
            Event::Write { file, at, bytes, synced, fate } => {
                let (fate, number) = match fate {
                    Fate::Kept => (0, 0),
                    Fate::Lost => (1, 0),
                    Fate::Torn(number) => (2, number),
                    Fate::Misdirected(number) => (3, number),
                };
                (8, [file.into(), at, u64::from(synced) | fate << 1, number], bytes, &[])
            }
            Event::Length { file, length } => (9, [file.into(), length, 0, 0], &[], &[]),
            Event::Sync { id, failed } => {
                (10, [id.into(), failed.is_some().into(), failed.unwrap_or(0), 0], &[], &[])
            }
            Event::Fault(text) => (11, [0; 4], text.as_bytes(), &[]),
            Event::Wrong(text) => (12, [0; 4], text.as_bytes(), &[]),
            Event::Note(text) => (13, [0; 4], text.as_bytes(), &[]),
            Event::Time(now) => (14, [now, 0, 0, 0], &[], &[]),
            Event::Closed => (15, [0; 4], &[], &[]),
        };
        let mut head = [0; 1 + 8 * 5];
        head[0] = tag;
        let length = (bytes.len() + more.len()) as u64;
        for (place, number) in numbers.into_iter().chain([length]).enumerate() {
            head[1 + 8 * place..][..8].copy_from_slice(&number.to_le_bytes());
        }
        self.extend(&[&head, bytes, more]);
    }
}

/// Goes through a log.
pub(crate) struct Events<'l>(pub(crate) &'l [u8]);

impl<'l> Iterator for Events<'l> {
    type Item = Event<'l>;

    fn next(&mut self) -> Option<Event<'l>> {
        let (head, rest) = self.0.split_at_checked(1 + 8 * 5)?;
        let number = |place: usize| {
            let bytes = head[1 + 8 * place..].first_chunk().expect("the head has five numbers");
            u64::from_le_bytes(*bytes)
        };
        let id = |place: usize| number(place) as Id;
        let (bytes, rest) = rest.split_at(number(4) as usize);
        self.0 = rest;
        let text = |bytes: &'l [u8]| std::str::from_utf8(bytes).expect("it was written as text");
        Some(match head[0] {
            0 => Event::Begin(id(0)),
            1 => Event::Done(id(0)),
            2 => Event::Refused(id(0)),
            3 => Event::Unknown(id(0)),
            4 => Event::Found(id(0)),
            5 => Event::Make {
                directory: id(0),
                name: text(bytes),
                id: id(1),
                is_directory: number(2) != 0,
            },
            6 => Event::Remove { directory: id(0), name: text(bytes) },
            7 => {
                let (name, new) = text(bytes).split_at(number(2) as usize);
                Event::Rename { directory: id(0), name, to: id(1), new }
            }
            8 => {
                let fate = match number(2) >> 1 {
                    0 => Fate::Kept,
                    1 => Fate::Lost,
                    2 => Fate::Torn(number(3)),
                    _ => Fate::Misdirected(number(3)),
                };
                let synced = number(2) & 1 != 0;
                Event::Write { file: id(0), at: number(1), bytes, synced, fate }
            }
            9 => Event::Length { file: id(0), length: number(1) },
            10 => Event::Sync { id: id(0), failed: (number(1) != 0).then_some(number(2)) },
            11 => Event::Fault(text(bytes)),
            12 => Event::Wrong(text(bytes)),
            13 => Event::Note(text(bytes)),
            14 => Event::Time(number(0)),
            _ => Event::Closed,
        })
    }
}

impl std::fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Event::Write { file, at, bytes, synced, fate } => {
                let synced = if *synced { ", synced" } else { "" };
                write!(f, "write {} bytes at {at} of {file}{synced}", bytes.len())?;
                if *fate == Fate::Kept { Ok(()) } else { write!(f, ": {fate:?}") }
            }
            Event::Begin(operation) => write!(f, "operation {operation} begins"),
            Event::Done(operation) => write!(f, "operation {operation} is done"),
            Event::Refused(operation) => write!(f, "operation {operation} is refused"),
            Event::Unknown(operation) => write!(f, "operation {operation} failed"),
            Event::Fault(text) | Event::Wrong(text) | Event::Note(text) => f.write_str(text),
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_told_in_order() {
        let log = Log::new();
        let told = [
            Event::Begin(1),
            Event::Make { directory: 0, name: "gen", id: 7, is_directory: true },
            Event::Rename { directory: 0, name: "a.new", to: 0, new: "a" },
            Event::Write { file: 7, at: 9, bytes: b"xyz", synced: true, fate: Fate::Torn(5) },
            Event::Length { file: 7, length: 12 },
            Event::Sync { id: 7, failed: Some(0) },
            Event::Sync { id: 7, failed: None },
            Event::Remove { directory: 0, name: "a" },
            Event::Unknown(1),
            Event::Time(1 << 40),
            Event::Closed,
            Event::Wrong("no"),
        ];
        told.iter().for_each(|event| log.add(event));
        assert_eq!(log.events().collect::<Vec<_>>(), told);
        log.clear();
        assert_eq!(log.events().count(), 0);
    }
}
