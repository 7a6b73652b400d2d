//! The pages of a data file, read by ourselves and never through a map: what LMDB would take at its word
//! is looked at first. A file that is cut off or nonsense is told of, whatever its bytes are.
//!
//! A page has a header (its number u64, 2 bytes, flags u16, where free space begins u16 and ends u16, or
//! the number of overflow pages u32), then places u16 of its cells, which lie at its end. A cell is a
//! length u32 or child, flags u16, length of the key u16, the key, and in leaves the value, or the number
//! of the first overflow page. Pages 0 and 1 are meta pages. All integers have the machine's byte order.

mod check;
#[cfg(test)]
mod tests;
mod walk;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use embedded_db_common::Result;

pub(crate) use self::check::check_file;
pub(crate) use self::walk::{Order, Walk};
use crate::platform::io_error;

/// Length of the header of a page.
const HEADER: usize = 16;
/// Length of the header of a cell.
const CELL: usize = 8;
/// Longest key of LMDB.
const LONGEST_KEY: usize = 511;
/// Deepest tree that LMDB walks.
const DEEPEST: u16 = 32;
/// The root of a tree without pages.
const NO_PAGE: u64 = u64::MAX;
/// The length of a meta page that is in use, from the beginning of the page on.
const META: usize = HEADER + 136;

mod flag {
    pub(super) const BRANCH: u16 = 1;
    pub(super) const LEAF: u16 = 2;
    pub(super) const OVERFLOW: u16 = 4;
    /// Of a page in memory; what they are on the disk means nothing.
    pub(super) const PASSING: u16 = 0xC010;
    /// The value of a cell lies on overflow pages.
    pub(super) const BIG: u16 = 1;
    /// The value of a cell is a tree.
    pub(super) const TREE: u16 = 2;
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

/// A tree of pages: one table, the names of all tables, or the free pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) flags: u16,
    pub(crate) depth: u16,
    pub(crate) rows: u64,
    pub(crate) root: u64,
}

impl Tree {
    const LENGTH: usize = 48;

    fn parse(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == Self::LENGTH).then(|| Self {
            flags: u16_at(bytes, 4),
            depth: u16_at(bytes, 6),
            rows: u64_at(bytes, 32),
            root: u64_at(bytes, 40),
        })
    }
}

/// A meta page: what one commit left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) transaction: u64,
    pub(crate) page_size: u64,
    pub(crate) last_page: u64,
    pub(crate) free: Tree,
    pub(crate) main: Tree,
}

impl Meta {
    const MAGIC: u32 = 0xBEEF_C0DE;
    const VERSION: u32 = 1;

    /// `None` when it is none of this version of LMDB.
    fn parse(page: &[u8]) -> Option<Self> {
        let page_size = u64::from(u32_at(page, HEADER + 24));
        let valid = page.len() >= META
            && u32_at(page, HEADER) == Self::MAGIC
            && u32_at(page, HEADER + 4) == Self::VERSION
            && page_size.is_power_of_two()
            && (256..=65_536).contains(&page_size);
        Some(Self {
            transaction: u64_at(page, HEADER + 128),
            page_size,
            last_page: u64_at(page, HEADER + 120),
            free: Tree::parse(page.get(HEADER + 24..HEADER + 72)?)?,
            main: Tree::parse(page.get(HEADER + 72..HEADER + 120)?)?,
        })
        .filter(|_| valid)
    }

    /// Bytes up to the end of its last page.
    pub(crate) fn length(self) -> u64 {
        self.last_page.saturating_add(1).saturating_mul(self.page_size)
    }
}

/// The meta pages of a file whose first page is whole.
pub(crate) fn metas(file: &mut (impl Read + Seek)) -> std::io::Result<[Option<Meta>; 2]> {
    let mut out = [None; 2];
    let mut page_size = 0;
    for (number, meta) in (0..).zip(&mut out) {
        let mut bytes = [0; META];
        file.seek(SeekFrom::Start(number * page_size))?;
        match file.read_exact(&mut bytes) {
            Ok(()) => *meta = Meta::parse(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
        match meta {
            Some(found) => page_size = found.page_size,
            None => break,
        }
    }
    Ok(out)
}

/// A data file as pages.
pub(crate) struct PageFile {
    file: File,
    path: PathBuf,
    page_size: usize,
    length: u64,
}

impl PageFile {
    /// With pages of a size that is a power of two.
    pub(crate) fn open(path: &Path, page_size: usize) -> Result<Self> {
        let file = File::open(path).map_err(|e| io_error(path, "read", &e))?;
        let length = file.metadata().map_err(|e| io_error(path, "read the length", &e))?.len();
        Ok(Self { file, path: path.to_owned(), page_size, length })
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
        if number >= self.pages() || count > self.pages() - number {
            return Ok(None);
        }
        let at = number * self.page_size as u64;
        let mut bytes = vec![0; count as usize * self.page_size];
        let there = usize::try_from(self.length - at).unwrap_or(usize::MAX).min(bytes.len());
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut bytes[..there]))
            .map_err(|e| io_error(&self.path, "read", &e))?;
        Ok(Some(bytes))
    }

    /// The bytes of a value; `None` when they are not there.
    pub(crate) fn value(&self, value: &Stored<'_>) -> Result<Option<Vec<u8>>> {
        match *value {
            Stored::Here(bytes) => Ok(Some(bytes.to_vec())),
            Stored::At { page, length } => {
                let pages = self.read(page, self.overflow_pages(length))?;
                Ok(pages.map(|mut pages| {
                    pages.drain(..HEADER);
                    pages.truncate(length);
                    pages
                }))
            }
        }
    }

    /// Pages that a value of this length takes by itself.
    fn overflow_pages(&self, length: usize) -> u64 {
        (HEADER + length).div_ceil(self.page_size) as u64
    }
}

/// Where the value of a cell is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored<'p> {
    /// In the page.
    Here(&'p [u8]),
    /// On overflow pages of its own.
    At { page: u64, length: usize },
}

/// A cell of a leaf.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'p> {
    pub(crate) key: &'p [u8],
    pub(crate) value: Stored<'p>,
    /// Whether the value is a tree.
    pub(crate) tree: bool,
}

/// What is wrong with a page or a cell.
pub(crate) type Wrong = &'static str;

/// The bytes of one page.
pub(crate) struct Page {
    bytes: Vec<u8>,
    leaf: bool,
    cells: usize,
    /// Where cells begin.
    upper: usize,
}

impl Page {
    /// A branch or a leaf.
    pub(crate) fn parse(number: u64, bytes: Vec<u8>) -> Result<Self, Wrong> {
        if u64_at(&bytes, 0) != number {
            return Err("has the number of another");
        }
        let leaf = match u16_at(&bytes, 10) & !flag::PASSING {
            flag::LEAF => true,
            flag::BRANCH => false,
            _ => return Err("is neither a branch nor a leaf"),
        };
        let (lower, upper) = (usize::from(u16_at(&bytes, 12)), usize::from(u16_at(&bytes, 14)));
        if lower < HEADER || !lower.is_multiple_of(2) || lower > upper || upper > bytes.len() {
            return Err("has free space where none can be");
        }
        let cells = (lower - HEADER) / 2;
        Ok(Self { bytes, leaf, cells, upper })
    }

    pub(crate) fn is_leaf(&self) -> bool {
        self.leaf
    }

    /// Number of its cells.
    pub(crate) fn len(&self) -> usize {
        self.cells
    }

    /// Header and key of a cell, and where what follows the key begins.
    fn cell(&self, at: usize) -> Result<(usize, &[u8], usize), Wrong> {
        let begin = usize::from(u16_at(&self.bytes, HEADER + 2 * at));
        if begin < HEADER + 2 * self.cells || begin + CELL > self.bytes.len() {
            return Err("has a cell outside of it");
        }
        let length = usize::from(u16_at(&self.bytes, begin + 6));
        let end = begin + CELL + length;
        let key = self.bytes.get(begin + CELL..end).ok_or("has a key that ends outside of it")?;
        Ok((begin, key, end))
    }

    /// Whether its cells lie side by side from the end of the free space to the end of the page, as LMDB
    /// takes for granted when it changes them.
    pub(crate) fn is_packed(&self) -> bool {
        let mut used = 0;
        for at in 0..self.cells {
            let Ok((begin, _, end)) = self.cell(at) else { return false };
            let inside = match (self.leaf, u16_at(&self.bytes, begin + 4)) {
                (false, _) => 0,
                (true, flag::BIG) => 8,
                (true, _) => u32_at(&self.bytes, begin) as usize,
            };
            if begin < self.upper {
                return false;
            }
            used += (end - begin + inside).next_multiple_of(2);
        }
        self.upper + used == self.bytes.len()
    }

    /// A row of a leaf.
    pub(crate) fn row(&self, at: usize) -> Result<Row<'_>, Wrong> {
        let (begin, key, end) = self.cell(at)?;
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err("has a key of an impossible length");
        }
        let length = u32_at(&self.bytes, begin) as usize;
        let (value, tree) = match u16_at(&self.bytes, begin + 4) {
            flags @ (0 | flag::TREE) => {
                let bytes = self.bytes.get(end..end.saturating_add(length));
                let bytes = bytes.ok_or("has a value that ends outside of it")?;
                (Stored::Here(bytes), flags == flag::TREE)
            }
            flag::BIG if end + 8 <= self.bytes.len() => {
                (Stored::At { page: u64_at(&self.bytes, end), length }, false)
            }
            _ => return Err("has a cell of an unknown kind"),
        };
        Ok(Row { key, value, tree })
    }

    /// Key and number of a child of a branch. The key of the first one says nothing.
    pub(crate) fn child(&self, at: usize) -> Result<(&[u8], u64), Wrong> {
        let (begin, key, _) = self.cell(at)?;
        let (low, high) = (u32_at(&self.bytes, begin), u16_at(&self.bytes, begin + 4));
        Ok((key, u64::from(high) << 32 | u64::from(low)))
    }
}
