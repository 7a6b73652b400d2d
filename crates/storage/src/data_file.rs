//! The length of the data file: touching a page of the map beyond the end of its file kills the
//! process, so a file that is too short is completed by whoever writes and refused by whoever reads.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use embedded_db_common::{Durability, Error, Result};

use crate::pages::{self, Meta};
use crate::platform::{self, io_error, sync_error, write_error};

/// The smallest page of any system.
const MIN_PAGE: u64 = 4096;
/// No store is larger; a length beyond is nonsense.
const MAX_MAP: u64 = 1 << 46;
/// A writer that has just committed may not have completed the file yet: readers look again for
/// this long. It takes microseconds unless the writer's process is stopped in between.
const PATIENCE: Duration = Duration::from_millis(250);

/// Pages that a file may have before its first row: two for the states, and few for the names of tables.
const UNFINISHED: u64 = 8;

/// Beyond what is needed as much room is reserved as the file takes, within these bounds: a small one stays small,
/// and a large one is not asked for at every commit.
const RESERVED_BEFOREHAND: RangeInclusive<u64> = 1 << 16..=4 << 20;
/// No room is reserved where less would be left on the file system.
const LEFT_TO_OTHERS: u64 = 64 << 20;

/// Between two looks at the length of a file that has not grown.
const LOOK_EVERY_MS: u64 = 10;

/// The open file behind a store.
pub(crate) struct DataFile {
    path: PathBuf,
    file: fs::File,
    opened: fs::Metadata,
    page_size: u64,
    /// Whether pages that it has can be written anew without further room.
    in_place: bool,
    /// The last page that was found to be there, and when, in milliseconds since `since`.
    whole_to: AtomicUsize,
    looked_at: AtomicU64,
    since: Instant,
    /// Up to here the file system has given it room.
    reserved: AtomicU64,
}

impl DataFile {
    /// Opens the file of an environment that is open already.
    pub(crate) fn open(path: PathBuf, read_only: bool) -> Result<Self> {
        let failed = |e: std::io::Error| io_error(&path, "look at it", &e);
        let mut options = fs::OpenOptions::new();
        let mut file = options.read(true).write(!read_only).open(&path).map_err(failed)?;
        let opened = file.metadata().map_err(failed)?;
        let meta = newest_meta(&mut file).map_err(failed)?;
        let page_size = meta.map_or(platform::page_size() as u64, |meta| meta.page_size as u64);
        let in_place = !platform::overwriting_takes_room(&path);
        let (whole_to, looked_at, reserved) = Default::default();
        let since = Instant::now();
        Ok(Self { path, file, opened, page_size, in_place, whole_to, looked_at, since, reserved })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was written to it is on the disk. Fails too if an earlier sync failed, though that was of
    /// another handle, as LMDB's are.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| sync_error(&self.path, &error))
    }

    /// Another handle of it.
    pub(crate) fn duplicate(&self) -> Result<fs::File> {
        self.file.try_clone().map_err(|e| io_error(&self.path, "open it again", &e))
    }

    /// Whether it still lies where it was opened.
    pub(crate) fn is_in_place(&self) -> bool {
        platform::same_file(&self.opened, &self.path)
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> Result<u64> {
        platform::file_length(&self.file).map_err(|e| io_error(&self.path, "read the size", &e))
    }

    /// Lengthens it, if need be, to hold all pages up to the last one of the newest commit. LMDB leaves
    /// it shorter by pages that were freed in the transaction that took them.
    pub(crate) fn complete_pages(&self, last_page: usize, durability: Durability) -> Result<()> {
        let needed = self.length_of(last_page);
        if self.length()? >= needed {
            return Ok(());
        }
        let lengthened = self.file.set_len(needed).and_then(|()| match durability {
            Durability::Durable => self.file.sync_all(),
            Durability::Relaxed | Durability::Memory => Ok(()),
        });
        // The commit itself is on the disk: unlike a full disk, this does not undo it.
        lengthened.map_err(|error| Error::StorageError {
            path: self.path.clone(),
            detail: format!("cannot lengthen the file to {needed} bytes after a commit: {error}"),
        })
    }

    /// Whether a commit that takes so many more pages than a file of this length has will not meet a full disk.
    /// Room beyond the end of the file is kept for it, which [`DataFile::give_back`] ends.
    pub(crate) fn has_place(&self, length: u64, pages: usize) -> bool {
        let end = length.saturating_add((pages as u64).saturating_mul(self.page_size));
        // A limit can be lowered at any time.
        if !self.in_place || platform::file_size_limit().is_some_and(|limit| limit < end) {
            return false;
        }
        let reserved = self.reserved.load(Ordering::Acquire);
        if reserved >= end {
            return true;
        }
        let (least, most) = RESERVED_BEFOREHAND.into_inner();
        let end = end.saturating_add(length.clamp(least, most));
        let more = end.saturating_sub(reserved.max(length));
        // What fails has taken what there was: so it is not tried when it might fail.
        let left = platform::free_space(&self.path);
        if left.is_some_and(|left| left < more.saturating_add(LEFT_TO_OTHERS)) {
            return false;
        }
        // The first time with the holes that LMDB has left, of pages that it freed before they were written.
        let done = platform::reserve(&self.file, reserved, end.saturating_sub(reserved)).is_ok();
        if done {
            self.reserved.store(end, Ordering::Release);
        }
        done
    }

    /// Gives back the room beyond its end. Nobody may be writing.
    pub(crate) fn give_back(&self) -> Result<()> {
        if self.reserved.swap(0, Ordering::AcqRel) == 0 {
            return Ok(());
        }
        let length = self.length()?;
        self.file.set_len(length).map_err(|e| io_error(&self.path, "give back its room", &e))
    }

    /// Refuses a file that ends before the last page of the newest commit. Looking costs several times
    /// what a snapshot does, so it is done for pages that are new, and now and then.
    pub(crate) fn require_pages(&self, now: Instant, last_page: impl Fn() -> usize) -> Result<()> {
        let now = now.duration_since(self.since).as_millis() as u64;
        let page = last_page();
        let fresh = now < self.looked_at.load(Ordering::Relaxed) + LOOK_EVERY_MS;
        if fresh && page <= self.whole_to.load(Ordering::Acquire) {
            return Ok(());
        }
        require(&self.path, || Ok((self.length()?, self.length_of(last_page()))))?;
        self.whole_to.store(page, Ordering::Release);
        self.looked_at.store(now, Ordering::Relaxed);
        Ok(())
    }

    fn length_of(&self, last_page: usize) -> u64 {
        (last_page as u64).saturating_add(1).saturating_mul(self.page_size)
    }
}

/// The error of a write by LMDB that failed: it reports a short write as an input/output error, though
/// nothing but room was missing.
pub(crate) fn write_failed(path: &Path, error: Error) -> Error {
    match error {
        Error::StorageError { .. } => match why_full(path) {
            Some(detail) => Error::StorageFull { path: path.to_owned(), detail, is_kept: false },
            None => error,
        },
        other => other,
    }
}

/// Why a file has less room to grow than a small commit needs, if it has.
fn why_full(path: &Path) -> Option<String> {
    const SMALL: u64 = 1 << 20;
    if platform::free_space(path).is_some_and(|free| free < SMALL) {
        return Some("the file system is full; free some space".into());
    }
    let length = fs::metadata(path).ok()?.len();
    let limit = platform::file_size_limit().filter(|limit| *limit < length + SMALL);
    limit.map(|limit| format!("no file may grow beyond {limit} bytes; raise the limit (ulimit -f)"))
}

/// Refuses a file that stays shorter than it must be; `look` says how long it is and must be.
fn require(path: &Path, look: impl Fn() -> Result<(u64, u64)>) -> Result<()> {
    let mut since = None;
    loop {
        // Before the look: it may be this thread that stands still, not the writer.
        let late = since.is_some_and(|since: Instant| since.elapsed() >= PATIENCE);
        let (length, needed) = look()?;
        if length >= needed {
            return Ok(());
        }
        if late {
            return Err(too_short(path, length, needed));
        }
        since.get_or_insert_with(Instant::now);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn too_short(path: &Path, length: u64, needed: u64) -> Error {
    Error::Corruption {
        path: path.to_owned(),
        object: "the data file".into(),
        detail: format!(
            "it is cut off: it has {length} bytes, its newest commit speaks of {needed} (if its \
             writer was killed at this commit, opening it once for writing completes it)"
        ),
    }
}

/// A database that was published has its data file: an empty one must never take its place.
pub(crate) fn require_data(path: &Path) -> Result<()> {
    let size = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        told => told.map_err(|e| io_error(path, "check the length", &e))?.len(),
    };
    if size >= 2 * MIN_PAGE {
        return Ok(());
    }
    Err(Error::Corruption {
        path: path.to_owned(),
        object: "the data file".into(),
        detail: if size == 0 { "it is missing or empty" } else { "it is cut off" }.into(),
    })
}

/// Before a file is made for a database that was not published: removes what is left of one whose making
/// was broken off, for its first pages may be there in part, or its sums without it. A file that holds
/// anything is longer, or has a checkpoint.
pub(crate) fn remove_unfinished(path: &Path) -> Result<()> {
    let longest = UNFINISHED * platform::page_size() as u64;
    match fs::metadata(path) {
        Ok(told) if told.len() <= longest => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        _ => return Ok(()),
    }
    for path in [path.to_owned(), path.with_extension("sums")] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(write_error(&path, "remove what was left of its making", &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Before a reader maps the file: it is as long as its newest meta page says.
pub(crate) fn require_whole(path: &Path) -> Result<()> {
    let failed = |e: std::io::Error| io_error(path, "check the length", &e);
    require(path, || {
        let mut file = fs::File::open(path).map_err(failed)?;
        let needed = newest_meta(&mut file).map_err(failed)?.map_or(0, |meta| meta.length());
        Ok((file.metadata().map_err(failed)?.len(), needed))
    })
}

/// Before a writer maps the file: makes it as long as its newest meta page says. Where the end was cut
/// off, the zeros that take its place are no valid pages and are reported as damage when they are
/// read.
pub(crate) fn complete(path: &Path) -> Result<()> {
    let failed = |e: std::io::Error| write_error(path, "open it for writing", &e);
    let mut file = match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let Some(meta) = newest_meta(&mut file).map_err(failed)? else { return Ok(()) };
    if file.metadata().map_err(failed)?.len() < meta.length() {
        file.set_len(meta.length()).map_err(failed)?;
    }
    Ok(())
}

/// What the newest meta page of an LMDB file says; `None` if there is none: LMDB then refuses the file
/// itself.
fn newest_meta(file: &mut fs::File) -> std::io::Result<Option<Meta>> {
    Ok(pages::newest_meta(file)?.filter(|meta| meta.length() <= MAX_MAP))
}
