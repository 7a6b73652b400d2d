//! What a machine does when a file is written, synced, named. Each gives what the call returns: −1 with
//! the error aside, as the C library does.

use std::ffi::{CStr, c_char};
use std::os::fd::RawFd;

use libc::{EIO, ENOSPC, c_int};

use super::files::{Kind, Open, position};
use super::raw::{call, fail, told};
use super::{Machine, is_simulated, threads, with};
use crate::faults::{Asked, Fault, Moment};
use crate::log::{Event, Fate, Id};
use crate::names::Named;

/// Of LMDB.
const PAGE: u64 = 4096;

/// The path of a call, if it is text; those below the root are.
fn text<'p>(path: *const c_char) -> Option<&'p str> {
    // SAFETY: whoever calls gives a path that ends with a NUL.
    #[allow(unsafe_code)]
    unsafe { CStr::from_ptr(path) }.to_str().ok()
}

/// A name in a directory of the machine, as a call tells it.
struct Place<'p> {
    directory: Id,
    name: &'p str,
    found: Option<Named>,
}

impl Machine {
    /// Where a path of a call leads, if that is below the root.
    fn place<'p>(&self, from: RawFd, path: &'p str) -> Option<Place<'p>> {
        let names = &self.files.names;
        let (directory, name) = match self.files.below(path) {
            Some(rest) => names.find(crate::names::ROOT, rest)?,
            None if path.starts_with('/') => return None,
            None => names.find(self.files.of(from)?.id, path)?,
        };
        let itself = Named { id: directory, is_directory: true };
        let found = if name.is_empty() { Some(itself) } else { names.get(directory, name) };
        Some(Place { directory, name, found })
    }

    /// The fault of a call that does one thing or nothing; `Err` with the error it fails with.
    fn allow(&mut self, asked: Asked, takes_room: bool) -> Result<Option<Moment>, c_int> {
        match self.meet(asked, false) {
            Some(Fault::CallFails(error)) => Err(error),
            Some(Fault::Killed(moment)) => Ok(Some(moment)),
            _ if takes_room && self.faults.is_full() => Err(ENOSPC),
            _ => Ok(None),
        }
    }

    fn survive(&mut self, moment: Option<Moment>) {
        if moment.is_some() {
            self.kill();
        }
    }
}

pub(super) fn open(from: RawFd, path: *const c_char, flags: c_int, mode: u32) -> isize {
    let raw = |path: *const c_char| told(call!(libc::SYS_openat, from, path, flags, mode));
    let Some(given) = text(path).filter(|_| is_simulated()) else { return raw(path) };
    threads::pause();
    with(|machine| {
        if given == "/proc/sys/kernel/random/boot_id" {
            let file = format!("{}\0", machine.boot_file);
            return raw(file.as_ptr().cast());
        }
        let Some(place) = machine.place(from, given) else {
            let descriptor = raw(path);
            machine.files.opened(descriptor as RawFd, None, flags);
            return descriptor;
        };
        let makes = place.found.is_none() && flags & libc::O_CREAT != 0;
        let empties = flags & libc::O_TRUNC != 0
            && place.found.is_some_and(|found| machine.files.length(found.id) > 0);
        let asked = if makes || empties { Asked::Other } else { Asked::Open };
        let moment = match machine.allow(asked, makes) {
            Ok(moment) => moment,
            Err(error) => return fail(error),
        };
        let descriptor = raw(path);
        if descriptor < 0 {
            return descriptor;
        }
        let named = place.found.unwrap_or_else(|| {
            let named = machine.make(&place, false);
            machine.inodes.add(inode(descriptor as RawFd), named.id);
            named
        });
        machine.files.opened(descriptor as RawFd, Some((named, place.name)), flags);
        if empties {
            machine.set_length(named.id, 0);
        }
        machine.survive(moment);
        descriptor
    })
}

impl Machine {
    fn make(&mut self, place: &Place<'_>, is_directory: bool) -> Named {
        let named = Named { id: self.files.names.new_id(), is_directory };
        let (directory, name) = (place.directory, place.name);
        self.files.names.set(directory, name, named);
        self.log.add(&Event::Make { directory, name, id: named.id, is_directory });
        named
    }

    fn set_length(&mut self, file: Id, length: u64) {
        self.files.set_length(file, length);
        self.log.add(&Event::Length { file, length });
    }
}

/// The number of an open file in the file system.
fn inode(descriptor: RawFd) -> u64 {
    let mut told = std::mem::MaybeUninit::<libc::statx>::zeroed();
    let (empty, flags, place) = (c"".as_ptr(), libc::AT_EMPTY_PATH, told.as_mut_ptr());
    call!(libc::SYS_statx, descriptor, empty, flags, libc::STATX_INO, place);
    // SAFETY: the call has filled it, and what it has not is zeros, of which it may consist.
    #[allow(unsafe_code)]
    unsafe {
        told.assume_init().stx_ino
    }
}

/// Writes parts one behind the other, at a place or where the file is.
pub(super) fn write(descriptor: RawFd, parts: &[&[u8]], at: Option<u64>) -> isize {
    let joined: Vec<u8>;
    let bytes = match parts {
        [one] => *one,
        many => {
            joined = many.concat();
            &joined
        }
    };
    let raw = |bytes: &[u8]| {
        told(match at {
            Some(at) => call!(libc::SYS_pwrite64, descriptor, bytes.as_ptr(), bytes.len(), at),
            None => call!(libc::SYS_write, descriptor, bytes.as_ptr(), bytes.len()),
        })
    };
    if !is_simulated() {
        return raw(bytes);
    }
    let open = with(|machine| machine.files.of(descriptor));
    let Some(open) = open.filter(|open| !open.is_directory) else { return raw(bytes) };
    threads::pause();
    with(|machine| machine.write(open, descriptor, bytes, at, &raw))
}

impl Machine {
    fn write(
        &mut self,
        open: Open,
        descriptor: RawFd,
        mut bytes: &[u8],
        at: Option<u64>,
        raw: &dyn Fn(&[u8]) -> isize,
    ) -> isize {
        let at = if open.appends {
            self.files.length(open.id)
        } else {
            at.unwrap_or_else(|| position(descriptor))
        };
        if open.synced {
            self.note_maps();
        }
        let is_meta = open.kind == Kind::Data && at < 2 * PAGE && (bytes.len() as u64) < PAGE;
        let takes_back = open.kind == Kind::Log && bytes == [0; 64];
        let asked = if open.synced { Asked::SyncedWrite } else { Asked::Write };
        let needed = is_meta || takes_back || open.kind == Kind::Checkpoint;
        let fault = self.meet(asked, needed);
        let (mut fate, mut synced) = (Fate::Kept, open.synced);
        match fault {
            Some(Fault::CallFails(error)) => return fail(error),
            Some(Fault::ShortWrite) => bytes = &bytes[..self.random.below(bytes.len().max(1))],
            // Some of it is written, or all, and not on the disk yet.
            Some(Fault::Killed(Moment::Within)) => {
                bytes = &bytes[..self.random.below(bytes.len() + 1)];
                synced = false;
            }
            Some(Fault::OfTheDisk(what)) => fate = what,
            Some(Fault::SyncFails) => synced = false,
            _ => {}
        }
        if self.faults.is_full() {
            let room = self.files.room(open.id, at, bytes.len() as u64) as usize;
            if room == 0 && !bytes.is_empty() {
                return fail(ENOSPC);
            }
            bytes = &bytes[..room];
        }
        let written = raw(bytes);
        if written != bytes.len() as isize {
            super::wrong("the file system below the simulation has no room");
        }
        self.log.add(&Event::Write { file: open.id, at, bytes, synced, fate });
        self.files.written(open.id, at, bytes);
        match fault {
            Some(Fault::Killed(_)) => self.kill(),
            Some(Fault::SyncFails) => {
                self.fail_to_sync(open);
                fail(EIO)
            }
            _ => written,
        }
    }
}

/// Puts a file or directory onto the disk.
pub(super) fn sync(descriptor: RawFd, raw: &dyn Fn() -> isize) -> isize {
    let open = if is_simulated() { with(|machine| machine.files.of(descriptor)) } else { None };
    let Some(open) = open else { return raw() };
    threads::pause();
    with(|machine| {
        machine.note_maps();
        machine.note_time();
        match machine.meet(Asked::Sync, false) {
            Some(Fault::SyncFails) => {
                machine.fail_to_sync(open);
                fail(EIO)
            }
            fault => {
                machine.log.add(&Event::Sync { id: open.id, failed: None });
                if matches!(fault, Some(Fault::Killed(_))) {
                    machine.kill();
                }
                if machine.files.tells_of_failure(open) { fail(EIO) } else { 0 }
            }
        }
    })
}

pub(super) fn set_length(descriptor: RawFd, length: u64) -> isize {
    let raw = || told(call!(libc::SYS_ftruncate, descriptor, length));
    let open = if is_simulated() { with(|machine| machine.files.of(descriptor)) } else { None };
    let Some(open) = open else { return raw() };
    threads::pause();
    with(|machine| {
        let moment = match machine.allow(Asked::Other, false) {
            Ok(moment) => moment,
            Err(error) => return fail(error),
        };
        let result = raw();
        if result == 0 {
            machine.set_length(open.id, length);
        }
        machine.survive(moment);
        result
    })
}

/// Gives a file places on the disk, filled with zeros.
pub(super) fn allocate(descriptor: RawFd, mode: c_int, at: u64, length: u64) -> isize {
    let raw = || told(call!(libc::SYS_fallocate, descriptor, mode, at, length));
    let open = if is_simulated() { with(|machine| machine.files.of(descriptor)) } else { None };
    let Some(open) = open else { return raw() };
    if mode == libc::FALLOC_FL_KEEP_SIZE {
        return keep_room(open, at, length);
    }
    if mode != 0 {
        return fail(libc::EOPNOTSUPP);
    }
    let begin = with(|machine| machine.files.length(open.id)).max(at);
    let zeros = vec![0; (at + length).saturating_sub(begin) as usize];
    if zeros.is_empty() || write(descriptor, &[&zeros], Some(begin)) >= 0 { 0 } else { -1 }
}

/// The same without a change of its bytes or length. What a power cut leaves of it is nothing: those who begin
/// anew cannot count on it.
fn keep_room(open: Open, at: u64, length: u64) -> isize {
    threads::pause();
    with(|machine| {
        let moment = match machine.allow(Asked::Other, true) {
            Ok(moment) => moment,
            Err(error) => return fail(error),
        };
        machine.files.place(open.id, at, length);
        machine.survive(moment);
        0
    })
}

pub(super) fn rename(
    from: (RawFd, *const c_char),
    to: (RawFd, *const c_char),
    raw: &dyn Fn() -> isize,
) -> isize {
    let (Some(old), Some(new)) = (text(from.1), text(to.1)) else { return raw() };
    if !is_simulated() {
        return raw();
    }
    threads::pause();
    with(|machine| {
        let places = (machine.place(from.0, old), machine.place(to.0, new));
        let (Some(old), Some(new)) = places else { return raw() };
        machine.note_maps();
        let moment = match machine.allow(Asked::Other, false) {
            Ok(moment) => moment,
            Err(error) => return fail(error),
        };
        let result = raw();
        if let (0, Some(named)) = (result, old.found) {
            let (directory, name) = (old.directory, old.name);
            machine.files.names.remove(directory, name);
            machine.files.names.set(new.directory, new.name, named);
            let (to, new) = (new.directory, new.name);
            machine.log.add(&Event::Rename { directory, name, to, new });
        }
        machine.survive(moment);
        result
    })
}

/// Makes a directory.
pub(super) fn make(from: RawFd, path: *const c_char, raw: &dyn Fn() -> isize) -> isize {
    change_name(from, path, true, raw, |machine, place| {
        machine.make(place, true);
    })
}

/// Removes a name.
pub(super) fn remove(from: RawFd, path: *const c_char, raw: &dyn Fn() -> isize) -> isize {
    change_name(from, path, false, raw, |machine, place| {
        if let Some(found) = place.found {
            machine.files.forget(found.id);
        }
        let (directory, name) = (place.directory, place.name);
        machine.files.names.remove(directory, name);
        machine.log.add(&Event::Remove { directory, name });
    })
}

fn change_name(
    from: RawFd,
    path: *const c_char,
    takes_room: bool,
    raw: &dyn Fn() -> isize,
    note: impl FnOnce(&mut Machine, &Place<'_>),
) -> isize {
    let Some(given) = text(path).filter(|_| is_simulated()) else { return raw() };
    threads::pause();
    with(|machine| {
        let Some(place) = machine.place(from, given) else { return raw() };
        machine.note_maps();
        let moment = match machine.allow(Asked::Other, takes_room) {
            Ok(moment) => moment,
            Err(error) => return fail(error),
        };
        let result = raw();
        if result == 0 {
            note(machine, &place);
        }
        machine.survive(moment);
        result
    })
}

/// Another descriptor means the same open file.
pub(super) fn copied(descriptor: RawFd, copy: RawFd) {
    if is_simulated() {
        with(|machine| machine.files.copied(descriptor, copy));
    }
}

/// A file is mapped; `shared` with the file, to be written.
pub(super) fn mapped(descriptor: RawFd, writes: bool) {
    if writes && is_simulated() {
        with(|machine| machine.files.mapped(descriptor));
    }
}

/// What tells a file of the machine from every other, by its number in the file system, and the boot in
/// which it is looked at.
pub(super) fn identity(inode: u64) -> Option<(Id, u64)> {
    if !is_simulated() {
        return None;
    }
    with(|machine| Some((machine.inodes.find(inode)?, machine.boot)))
}

/// Bytes that are free on the disk, if the machine's is meant.
pub(super) fn room(path: *const c_char) -> Option<u64> {
    let given = text(path).filter(|_| is_simulated())?;
    with(|machine| {
        machine.files.below(given)?;
        Some(if machine.faults.is_full() { 0 } else { machine.room })
    })
}

/// Fills memory with random bytes.
pub(super) fn random(into: &mut [u8]) {
    with(|machine| {
        for part in into.chunks_mut(8) {
            part.copy_from_slice(&machine.random.next().to_le_bytes()[..part.len()]);
        }
    });
}

pub(super) fn process() -> c_int {
    with(|machine| machine.process)
}
