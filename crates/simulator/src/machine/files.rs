//! What a machine knows of its files: their names, what is open, which places the disk has given them.

use std::os::fd::RawFd;

use super::maps::Watched;
use super::raw::call;
use crate::log::Id;
use crate::names::{Named, Names};

/// What the disk gives at a time.
const BLOCK: u64 = 4096;
/// Files that no power cut has to spare: whoever opens a database makes them anew.
pub(crate) const VOLATILE: [&str; 1] = ["lock.mdb"];

/// An open file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) id: Id,
    pub(super) is_directory: bool,
    /// What is written to it is on the disk when the call returns.
    pub(super) synced: bool,
    pub(super) appends: bool,
    pub(super) kind: Kind,
    /// Which opening it is of, that copies of a descriptor share.
    opening: u32,
}

/// What a file is for, as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The pages of a database.
    Data,
    Log,
    Checkpoint,
    Volatile,
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "data.mdb" => Self::Data,
            "log.0" | "log.1" => Self::Log,
            "ckpt" => Self::Checkpoint,
            _ if VOLATILE.contains(&name) => Self::Volatile,
            _ => Self::Other,
        }
    }
}

#[derive(Default)]
struct Content {
    length: u64,
    /// Which blocks have a place on the disk.
    placed: Vec<bool>,
}

/// Is called with a file, a place in it, what is there, and whether the disk has given it a place.
pub(super) type VisitPage<'v> = &'v mut dyn FnMut(Id, u64, &[u8], bool);

pub(super) struct Files {
    root: String,
    pub(super) names: Names,
    open: Vec<Option<Open>>,
    openings: u32,
    /// Openings that were not told yet that their file could not be synced.
    untold: Vec<u32>,
    contents: Vec<Content>,
    watched: Vec<Watched>,
}

impl Files {
    pub(super) fn new(root: String, names: Names) -> Self {
        let (open, openings, untold, contents, watched) = Default::default();
        let mut files = Self { root, names, open, openings, untold, contents, watched };
        let mut found = Vec::new();
        files.names.each(&mut |path, named| {
            if !named.is_directory {
                found.push((path.to_owned(), named.id));
            }
        });
        for (path, id) in found {
            let path = std::path::Path::new(&files.root).join(path);
            let length = std::fs::metadata(path).map_or(0, |told| told.len());
            files.set_length(id, length);
            files.place(id, 0, length);
        }
        files
    }

    /// The part of an absolute path below the root.
    pub(super) fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.root.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    pub(super) fn of(&self, descriptor: RawFd) -> Option<Open> {
        *self.open.get(usize::try_from(descriptor).ok()?)?
    }

    /// A descriptor means this from here on.
    pub(super) fn opened(&mut self, descriptor: RawFd, named: Option<(Named, &str)>, flags: i32) {
        let Ok(place) = usize::try_from(descriptor) else { return };
        if self.open.len() <= place {
            self.open.resize(place + 1, None);
        }
        self.openings += 1;
        self.open[place] = named.map(|(named, name)| Open {
            id: named.id,
            is_directory: named.is_directory,
            synced: flags & libc::O_DSYNC != 0,
            appends: flags & libc::O_APPEND != 0,
            kind: Kind::of(name),
            opening: self.openings,
        });
    }

    /// A descriptor means from here on what another does.
    pub(super) fn copied(&mut self, descriptor: RawFd, copy: RawFd) {
        let open = self.of(descriptor);
        let Ok(place) = usize::try_from(copy) else { return };
        if self.open.len() <= place {
            self.open.resize(place + 1, None);
        }
        self.open[place] = open;
    }

    /// A file could not be synced: each who has it open is told so once, this one now.
    pub(super) fn failed_to_sync(&mut self, told: Open) {
        let others = self.open.iter().flatten().filter(|open| open.id == told.id);
        let others = others.map(|open| open.opening).filter(|opening| *opening != told.opening);
        self.untold.extend(others);
        self.untold.sort_unstable();
        self.untold.dedup();
    }

    /// Whether a synchronisation tells that one of another opening has failed.
    pub(super) fn tells_of_failure(&mut self, open: Open) -> bool {
        let place = self.untold.iter().position(|untold| *untold == open.opening);
        place.map(|place| self.untold.swap_remove(place)).is_some()
    }

    fn content(&mut self, id: Id) -> &mut Content {
        let place = id as usize;
        if self.contents.len() <= place {
            self.contents.resize_with(place + 1, Content::default);
        }
        &mut self.contents[place]
    }

    pub(super) fn length(&mut self, id: Id) -> u64 {
        self.content(id).length
    }

    pub(super) fn place(&mut self, id: Id, at: u64, length: u64) {
        let placed = &mut self.content(id).placed;
        let end = (at + length).div_ceil(BLOCK) as usize;
        placed.resize(placed.len().max(end), false);
        placed[(at / BLOCK) as usize..end].fill(true);
    }

    /// How many of the bytes at a place have room on a disk that is full.
    pub(super) fn room(&mut self, id: Id, at: u64, length: u64) -> u64 {
        let placed = &self.content(id).placed;
        let has = |block: u64| placed.get(block as usize).copied().unwrap_or(false);
        let end = at + length;
        let missing = (at / BLOCK..end.div_ceil(BLOCK)).find(|block| !has(*block));
        missing.map_or(length, |block| (block * BLOCK).saturating_sub(at))
    }

    /// Bytes were written by a call.
    pub(super) fn written(&mut self, id: Id, at: u64, bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        self.place(id, at, bytes.len() as u64);
        let content = self.content(id);
        content.length = content.length.max(end);
        let watched = self.watched.iter_mut().find(|watched| watched.file == id);
        if let Some(watched) = watched {
            watched.written(bytes, at as usize);
        }
    }

    pub(super) fn set_length(&mut self, id: Id, length: u64) {
        let content = self.content(id);
        content.length = length;
        content.placed.truncate(length.div_ceil(BLOCK) as usize);
        let watched = self.watched.iter_mut().find(|watched| watched.file == id);
        if let Some(watched) = watched {
            watched.lengthened(length as usize);
        }
    }

    /// An open file is mapped to be written.
    pub(super) fn mapped(&mut self, descriptor: RawFd) {
        let Some(open) = self.of(descriptor).filter(|open| open.kind != Kind::Volatile) else {
            return;
        };
        if self.watched.iter().all(|watched| watched.file != open.id) {
            let length = self.length(open.id) as usize;
            self.watched.push(Watched::new(open.id, descriptor, length));
        }
    }

    /// Calls `visit` with every page of mapped files that was stored into.
    pub(super) fn each_stored_page(&mut self, visit: VisitPage<'_>) {
        let Self { watched, contents, .. } = self;
        for watched in watched {
            let file = watched.file;
            let placed = contents.get(file as usize).map_or(&[][..], |content| &content.placed);
            watched.each_stored(&mut |at, bytes| {
                let has_place = placed.get((at / BLOCK) as usize).copied().unwrap_or(false);
                visit(file, at, bytes, has_place);
            });
        }
    }

    /// Nobody can store into what was removed any more, or nobody cares.
    pub(super) fn forget(&mut self, id: Id) {
        self.watched.retain(|watched| watched.file != id);
    }
}

/// Where the next bytes of an open file go.
pub(super) fn position(descriptor: RawFd) -> u64 {
    u64::try_from(call!(libc::SYS_lseek, descriptor, 0, libc::SEEK_CUR)).unwrap_or(0)
}
