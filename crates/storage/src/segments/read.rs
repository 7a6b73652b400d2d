//! Reading a file where it lies.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use embedded_db_common::record::Cursor;
use memmap2::{Mmap, MmapOptions};

use super::record::SegmentFile;
use super::{BLOCK, ENTRY, FOOTER, MAGIC, MOST_SECTIONS, VERSION};
use crate::platform;

/// A published file, mapped. A block is checked when it is first read; of a damaged one there are no bytes,
/// and [`Segment::is_damaged`] says so from then on: whoever has computed with what was read looks at it
/// before anything is made of the result.
pub struct Segment {
    path: PathBuf,
    file: File,
    map: Mmap,
    sections: Vec<(u32, Range<usize>)>,
    /// Where the checksums of the blocks begin; what they cover ends there.
    sums: usize,
    /// A bit for each block that was checked.
    checked: Box<[AtomicU64]>,
    damaged: AtomicBool,
}

impl Segment {
    /// `None` when it is missing or not what the row says.
    pub(super) fn open(path: &Path, told: &SegmentFile) -> std::io::Result<Option<Self>> {
        let file = match platform::open_plain_file(path) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = platform::file_length(&file)?;
        if length != told.length || length < FOOTER as u64 {
            return Ok(None);
        }
        // SAFETY: the file is not written to any more, and as long as told. Whoever else changes it takes
        // the risk that he takes with every file of the database.
        #[allow(unsafe_code)]
        let map = unsafe { MmapOptions::new().map(&file) }?;
        let Some(end) = Footer::of(&map, told.sum) else { return Ok(None) };
        let blocks = end.sums.div_ceil(BLOCK);
        let checked = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (path, damaged) = (path.to_owned(), AtomicBool::new(false));
        let (sections, sums) = (end.sections, end.sums);
        Ok(Some(Self { path, file, map, sections, sums, checked, damaged }))
    }

    /// Where a section lies; empty when there is none.
    pub fn section(&self, kind: u32) -> Range<usize> {
        let found = self.sections.iter().find(|(other, _)| *other == kind);
        found.map_or(0..0, |(_, range)| range.clone())
    }

    /// The bytes of a range; none when a block of it is damaged or it ends too late.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        if range.is_empty() {
            return &[];
        }
        if range.end > self.sums {
            return self.damage();
        }
        let (first, last) = (range.start / BLOCK, (range.end - 1) / BLOCK);
        for block in first..=last {
            if !self.is_checked(block) && !self.check(block) {
                return self.damage();
            }
        }
        self.map.get(range).unwrap_or(&[])
    }

    /// The bytes of a range that [`Segment::bytes`] has given before: they are not looked at again.
    #[inline]
    pub fn checked_bytes(&self, range: Range<usize>) -> &[u8] {
        self.map.get(range).unwrap_or(&[])
    }

    /// Whether what was read so far is not all that there should be.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Says that the bytes, though they are those that were written, make no sense.
    pub fn damage(&self) -> &[u8] {
        self.damaged.store(true, Ordering::Release);
        &[]
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of it.
    pub fn length(&self) -> usize {
        self.map.len()
    }

    /// Whether it is still as long as when it was opened: touching what was cut off kills the process.
    pub fn is_whole(&self) -> bool {
        platform::file_length(&self.file).is_ok_and(|length| length >= self.map.len() as u64)
    }

    /// Checks all blocks that were not read yet; whether all are right.
    pub fn check_all(&self) -> bool {
        let blocks = self.sums.div_ceil(BLOCK);
        let right = (0..blocks).all(|block| self.is_checked(block) || self.check(block));
        if !right {
            self.damage();
        }
        right && !self.is_damaged()
    }

    #[inline]
    fn is_checked(&self, block: usize) -> bool {
        let word = self.checked.get(block / 64).map_or(0, |word| word.load(Ordering::Relaxed));
        word >> (block % 64) & 1 == 1
    }

    #[cold]
    fn check(&self, block: usize) -> bool {
        let bytes = || {
            let begin = block * BLOCK;
            self.map.get(begin..self.sums.min(begin + BLOCK))
        };
        let sum = || {
            let begin = self.sums + block * 4;
            self.map.get(begin..)?.first_chunk().map(|sum| u32::from_le_bytes(*sum))
        };
        let right = bytes().zip(sum()).is_some_and(|(bytes, sum)| crc32c::crc32c(bytes) == sum);
        if right && let Some(word) = self.checked.get(block / 64) {
            word.fetch_or(1 << (block % 64), Ordering::Relaxed);
        }
        right
    }
}

/// What the end of a file says.
struct Footer {
    sections: Vec<(u32, Range<usize>)>,
    sums: usize,
}

impl Footer {
    fn of(file: &[u8], told: u32) -> Option<Self> {
        let (body, footer) = file.split_at_checked(file.len().checked_sub(FOOTER)?)?;
        let mut footer = Cursor::new(footer);
        let (version, count) = (footer.u32().ok()?, footer.u32().ok()? as usize);
        let covered = usize::try_from(footer.u64().ok()?).ok()?;
        let sum = footer.u32().ok()?;
        if version != VERSION || footer.rest() != MAGIC || count > MOST_SECTIONS || sum != told {
            return None;
        }
        let sums = covered.div_ceil(BLOCK).checked_mul(4)?;
        if covered.checked_add(sums)?.checked_add(count * ENTRY)? != body.len() {
            return None;
        }
        if crc32c::crc32c(file.get(covered..file.len() - 12)?) != sum {
            return None;
        }
        let mut entries = Cursor::new(body.get(covered + sums..)?);
        let mut sections = Vec::new();
        for _ in 0..count {
            let (kind, _zeros) = (entries.u32().ok()?, entries.u32().ok()?);
            let (offset, length) = (entries.u64().ok()?, entries.u64().ok()?);
            let (begin, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
            let end = begin.checked_add(length).filter(|end| *end <= covered)?;
            sections.push((kind, begin..end));
        }
        Some(Self { sections, sums: covered })
    }
}
