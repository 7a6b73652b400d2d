//! All pages of a data file, read by themselves and never through a map: for verification, for backups
//! that are restored, and for files of which nothing is known. What is wrong is told, whatever the bytes are.

mod check;
mod damaged;
mod glance;
mod notes;
mod state;
mod survey;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use embedded_db_common::Result;

pub(crate) use self::check::check_file;
pub(crate) use self::damaged::{DamagedFile, Depth, Found, RowPlace};
pub(crate) use self::glance::Glance;
pub use self::state::Origin;
pub(crate) use self::walk::{Order, Walk};
use super::layout::{HEADER, Meta, Page, Tree, Value, big_pages, run_length};
use crate::platform::{io_error, require_file};

/// The root of a tree without pages.
const NO_PAGE: u64 = u64::MAX;

/// What the newest meta page of a file says; `None` if its first page is none.
pub(crate) fn newest_meta(file: &mut (impl Read + Seek)) -> std::io::Result<Option<Meta>> {
    let mut both = [None; 2];
    let mut page_size = 0;
    for (number, meta) in (0..).zip(&mut both) {
        let mut bytes = [0; Meta::SIZE];
        file.seek(SeekFrom::Start(number * page_size))?;
        match file.read_exact(&mut bytes) {
            Ok(()) => *meta = Meta::parse(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
        match meta {
            Some(found) => page_size = found.page_size as u64,
            None => break,
        }
    }
    Ok(Meta::newest(both))
}

/// A data file as pages.
pub(crate) struct UnmappedFile {
    file: File,
    path: PathBuf,
    page_size: usize,
    length: u64,
    /// Where pages lie that were written to the place of another one.
    moved: HashMap<u64, u64>,
    /// Whether a page that the disk does not give is as one behind the end.
    forgiving: bool,
}

impl UnmappedFile {
    /// With pages of a size that is a power of two.
    pub(crate) fn open(path: &Path, page_size: usize) -> Result<Self> {
        require_file(path)?;
        let file = File::open(path).map_err(|e| io_error(path, "read", &e))?;
        let length = file.metadata().map_err(|e| io_error(path, "read the length", &e))?.len();
        let (path, moved, forgiving) = (path.to_owned(), HashMap::new(), false);
        Ok(Self { file, path, page_size, length, moved, forgiving })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Pages that it has; the last one may be cut off.
    pub(crate) fn pages(&self) -> u64 {
        self.length.div_ceil(self.page_size as u64)
    }

    /// The bytes of pages that follow each other; where the file is cut off, zeros. `None` when it ends
    /// before the first of them.
    pub(crate) fn read(&self, number: u64, count: u64) -> Result<Option<Vec<u8>>> {
        if number >= self.pages() || count > self.pages().saturating_sub(number) {
            return Ok(None);
        }
        let mut bytes = vec![0; (count as usize).saturating_mul(self.page_size)];
        if self.moved.is_empty() {
            return Ok(self.read_at(number, &mut bytes)?.then_some(bytes));
        }
        for (number, page) in (number..).zip(bytes.chunks_exact_mut(self.page_size)) {
            if !self.read_at(self.moved.get(&number).copied().unwrap_or(number), page)? {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// Fills `bytes` with what lies from the place of a page on; false when the disk does not give it.
    fn read_at(&self, place: u64, bytes: &mut [u8]) -> Result<bool> {
        let at = place.saturating_mul(self.page_size as u64);
        let there = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let (there, _) = bytes.split_at_mut(there.min(bytes.len()));
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(there));
        match read {
            Ok(()) => Ok(true),
            Err(_) if self.forgiving => Ok(false),
            Err(error) => Err(io_error(&self.path, "read", &error)),
        }
    }

    /// The bytes of a value that has pages of its own; `None` when they are not there.
    fn big(&self, first: u64, length: usize) -> Result<Option<Vec<u8>>> {
        let pages = self.read(first, big_pages(length, self.page_size))?;
        Ok(pages.map(|mut pages| {
            pages.drain(..HEADER);
            pages.truncate(length);
            pages
        }))
    }
}
