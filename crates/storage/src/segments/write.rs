//! Writing a file, from its beginning to its end.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use embedded_db_common::{Result, clock};

use super::record::SegmentFile;
use super::{ALIGN, BLOCK, MAGIC, MOST_SECTIONS, VERSION};
use crate::platform::{self, write_error};

/// A file on its way. It is removed again unless it is finished.
pub struct SegmentWriter {
    path: PathBuf,
    name: String,
    /// `None` once it is finished.
    file: Option<BufWriter<File>>,
    length: u64,
    /// The checksum of the block that is being written, and those of the blocks before.
    block: u32,
    sums: Vec<u32>,
    sections: Vec<(u32, u64, u64)>,
}

impl SegmentWriter {
    pub(super) fn create(directory: &Path, stem: &str) -> Result<Self> {
        // No name is given twice, though the file that had it may have been lost.
        let name = format!("{stem}-{}", clock::new_identity());
        let path = directory.join(&name);
        let file = platform::private().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| write_error(&path, "create", &error))?;
        let file = Some(BufWriter::with_capacity(1 << 16, file));
        let (length, block, sums, sections) = Default::default();
        let mut new = Self { path, name, file, length, block, sums, sections };
        new.put(&MAGIC)?;
        new.align()?;
        Ok(new)
    }

    /// What is written from now on is a section of this kind; each kind once.
    pub fn begin_section(&mut self, kind: u32) -> Result<()> {
        debug_assert!(self.sections.len() < MOST_SECTIONS);
        debug_assert!(self.sections.iter().all(|(other, ..)| *other != kind));
        self.align()?;
        self.sections.push((kind, self.length, 0));
        Ok(())
    }

    /// Bytes of the section so far.
    pub fn position(&self) -> u64 {
        self.sections.last().map_or(0, |(_, _, length)| *length)
    }

    /// Adds bytes to the section.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some((_, _, length)) = self.sections.last_mut() {
            *length += bytes.len() as u64;
        }
        self.put(bytes)
    }

    /// Puts the file onto the disk, under its name; how a row of `views` names it.
    pub fn finish(mut self, rows: u32) -> Result<SegmentFile> {
        self.align()?;
        let covered = self.length;
        if !covered.is_multiple_of(BLOCK as u64) {
            self.sums.push(self.block);
        }
        let mut end = Vec::new();
        for sum in &self.sums {
            end.extend_from_slice(&sum.to_le_bytes());
        }
        for (kind, offset, length) in &self.sections {
            end.extend_from_slice(&kind.to_le_bytes());
            end.extend_from_slice(&[0; 4]);
            end.extend_from_slice(&offset.to_le_bytes());
            end.extend_from_slice(&length.to_le_bytes());
        }
        end.extend_from_slice(&VERSION.to_le_bytes());
        end.extend_from_slice(&(self.sections.len() as u32).to_le_bytes());
        end.extend_from_slice(&covered.to_le_bytes());
        let sum = crc32c::crc32c(&end);
        end.extend_from_slice(&sum.to_le_bytes());
        end.extend_from_slice(&MAGIC);
        let length = covered + end.len() as u64;
        let mut write = || -> std::io::Result<()> {
            let Some(mut file) = self.file.take() else { return Ok(()) };
            file.write_all(&end)?;
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            let directory = self.path.parent().unwrap_or(Path::new("."));
            platform::sync_directory(directory)?;
            // The directory itself may be new.
            platform::sync_name(directory)
        };
        let written = write();
        if let Err(error) = written {
            self.remove();
            return Err(write_error(&self.path, "write", &error));
        }
        Ok(SegmentFile { name: std::mem::take(&mut self.name), length, sum, rows })
    }

    fn align(&mut self) -> Result<()> {
        while !self.length.is_multiple_of(ALIGN as u64) {
            self.put(&[0])?;
        }
        Ok(())
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            return Err(write_error(&self.path, "write", &error));
        }
        while !bytes.is_empty() {
            let filled = (self.length % BLOCK as u64) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - filled));
            self.block = crc32c::crc32c_append(self.block, now);
            self.length += now.len() as u64;
            if filled + now.len() == BLOCK {
                self.sums.push(std::mem::take(&mut self.block));
            }
            bytes = later;
        }
        Ok(())
    }

    fn remove(&mut self) {
        self.file = None;
        // At worst it is removed with all that no row names.
        let _removed = std::fs::remove_file(&self.path);
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.remove();
        }
    }
}
