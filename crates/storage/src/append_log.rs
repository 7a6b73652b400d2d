//! A log of records in a directory of its own, outside of any database, for one process at a time.
//!
//! The file begins with a header and goes on with frames: four letters, the length of the record, a CRC-32C of all
//! that follows, the length of the file that the disk was known to have when the frame was written, the record.
//! Whatever lies behind that length may have been torn by a crash of the machine, nothing before it. So a frame that
//! does not read ends the log, unless a later one says that the disk had it: then the file is damaged.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use embedded_db_common::{Error, Result};

use crate::platform::{
    WriterLock, create_directory, io_error, private, sync_directory, sync_error, write_at,
    write_error,
};

const FILE: &str = "messages.log";
const HEADER: &[u8; 8] = b"EMDBLOG\0";
/// Of the frames.
const FORMAT: u32 = 1;
const HEAD: u64 = 12;
const MARK: &[u8; 4] = b"eblf";
/// Mark, length, checksum, length on the disk.
const FRAME: usize = 20;
/// A longer record is refused.
const LONGEST: usize = 1 << 30;

/// Records in the order in which they were appended.
pub type Records = Vec<Vec<u8>>;

/// The open log.
#[derive(Debug)]
pub struct AppendLog {
    path: PathBuf,
    file: Arc<File>,
    length: u64,
    /// Up to which length the disk has it.
    synced: u64,
    /// Bytes that were ever appended: a place that survives a rewriting.
    appended: u64,
    /// Of the bytes ever appended, those that are not in the file any more.
    before: u64,
    scratch: Vec<u8>,
    /// What a failed sync or cut has left is not known.
    broken: bool,
    _lock: WriterLock,
}

/// What has to be synced, and for whom.
#[derive(Debug)]
pub struct Syncing {
    path: PathBuf,
    file: Arc<File>,
    /// All that was appended up to here is on the disk when [`Syncing::run`] has returned.
    pub place: u64,
}

impl Syncing {
    /// Waits for the disk. The log may be appended to meanwhile.
    ///
    /// # Errors
    ///
    /// `StorageError`; nothing may be appended any more.
    pub fn run(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| sync_error(&self.path, &error))
    }
}

impl AppendLog {
    /// Opens the log of a directory, which is made if it is missing, and takes its lock.
    ///
    /// # Errors
    ///
    /// `BusLocked` when another process has it; `DamagedFile`, `FormatTooNew`, `StorageError`, `StorageFull`.
    pub fn open(directory: &Path) -> Result<(Self, Records)> {
        create_directory(directory)
            .map_err(|error| write_error(directory, "make the directory", &error))?;
        let lock =
            WriterLock::acquire(directory, Duration::ZERO, &|| Ok(())).map_err(
                |error| match error {
                    Error::DatabaseLocked { path, pid, host } => {
                        Error::BusLocked { path, pid, host }
                    }
                    other => other,
                },
            )?;
        let path = directory.join(FILE);
        let exists = path.try_exists().map_err(|error| io_error(&path, "look at it", &error))?;
        if !exists {
            let made = write_whole(&path, &mut std::iter::empty())
                .and_then(|made| sync_directory(directory).map(|()| made))
                .map_err(|error| write_error(&path, "make it", &error))?;
            return Ok((Self::of(path, made.0, made.1, lock), Vec::new()));
        }
        let bytes = fs::read(&path).map_err(|error| io_error(&path, "read it", &error))?;
        let (records, end) = read(&path, &bytes)?;
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| write_error(&path, "open it", &error))?;
        let cut = || -> std::io::Result<()> {
            if end < bytes.len() as u64 {
                file.set_len(end)?;
            }
            // What was written before may not have reached the disk, and is built upon now.
            file.sync_all()
        };
        cut().map_err(|error| write_error(&path, "cut off its torn end", &error))?;
        Ok((Self::of(path, file, end, lock), records))
    }

    fn of(path: PathBuf, file: File, length: u64, lock: WriterLock) -> Self {
        Self {
            path,
            file: Arc::new(file),
            length,
            synced: length,
            appended: length,
            before: 0,
            scratch: Vec::new(),
            broken: false,
            _lock: lock,
        }
    }

    /// Length of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends records; they outlive the process when it has returned, and the machine when what is then to be
    /// synced is. Gives the place behind them.
    ///
    /// # Errors
    ///
    /// `StorageError` and `StorageFull`; none of them was appended. `ValueTooLarge`.
    pub fn append<'r>(&mut self, records: impl IntoIterator<Item = &'r [u8]>) -> Result<u64> {
        self.check()?;
        self.scratch.clear();
        for record in records {
            put_frame(&mut self.scratch, record, self.synced)?;
        }
        let size = self.scratch.len() as u64;
        if let Err(error) = write_at(&self.file, &self.scratch, self.length) {
            // Part of it may be there. What follows must not stand behind it.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(write_error(&self.path, "append to it", &error));
        }
        self.length = self.length.saturating_add(size);
        self.appended = self.appended.saturating_add(size);
        if self.scratch.capacity() > 1 << 20 {
            self.scratch = Vec::new();
        }
        Ok(self.appended)
    }

    /// What is to be synced now.
    pub fn syncing(&self) -> Syncing {
        Syncing { path: self.path.clone(), file: Arc::clone(&self.file), place: self.appended }
    }

    /// Notes that the disk has what was appended up to a place, or that it may never have it.
    pub fn synced(&mut self, place: u64, worked: bool) {
        if worked {
            self.synced = self.synced.max(place.saturating_sub(self.before));
        } else {
            self.broken = true;
        }
    }

    /// Whether the disk has what was appended up to a place.
    pub fn has_synced(&self, place: u64) -> bool {
        place.saturating_sub(self.before) <= self.synced
    }

    /// Puts records into the place of all that there were. The disk has them when it returns.
    ///
    /// # Errors
    ///
    /// `StorageError` and `StorageFull`; the log is as it was. Where only its name could not be synced, it takes
    /// nothing more until it is opened again.
    pub fn rewrite(&mut self, records: &mut dyn Iterator<Item = Vec<u8>>) -> Result<()> {
        self.check()?;
        let (file, length) = write_whole(&self.path, records)
            .map_err(|error| write_error(&self.path, "rewrite it", &error))?;
        self.file = Arc::new(file);
        self.before = self.appended.saturating_sub(length);
        self.length = length;
        self.synced = length;
        // What was there has no name any more.
        let directory = self.path.parent().unwrap_or(Path::new("."));
        sync_directory(directory).map_err(|error| {
            self.broken = true;
            sync_error(&self.path, &error)
        })
    }

    /// Whether it may be appended to.
    ///
    /// # Errors
    ///
    /// `StorageError` after a failure.
    pub fn check(&self) -> Result<()> {
        if self.broken {
            let detail =
                "an earlier write failed; nothing more is written until it is opened again";
            return Err(Error::StorageError { path: self.path.clone(), detail: detail.into() });
        }
        Ok(())
    }
}

/// Whoever calls it syncs the directory.
fn write_whole(
    path: &Path,
    records: &mut dyn Iterator<Item = Vec<u8>>,
) -> std::io::Result<(File, u64)> {
    let temporary = path.with_extension("new");
    let file = private().read(true).write(true).create(true).truncate(true).open(&temporary)?;
    let mut out = BufWriter::with_capacity(1 << 18, &file);
    out.write_all(HEADER)?;
    out.write_all(&FORMAT.to_le_bytes())?;
    let mut length = HEAD;
    let mut frame = Vec::new();
    for record in records {
        frame.clear();
        put_frame(&mut frame, &record, 0).map_err(std::io::Error::other)?;
        out.write_all(&frame)?;
        length = length.saturating_add(frame.len() as u64);
    }
    out.flush()?;
    drop(out);
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok((file, length))
}

fn put_frame(out: &mut Vec<u8>, record: &[u8], synced: u64) -> Result<()> {
    let size = u32::try_from(record.len()).ok().filter(|_| record.len() <= LONGEST);
    let Some(size) = size else {
        let what = "a record of the log".to_owned();
        return Err(Error::ValueTooLarge { what, size: record.len(), limit: LONGEST });
    };
    out.extend_from_slice(MARK);
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&checksum(size, synced, record).to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(record);
    Ok(())
}

fn checksum(size: u32, synced: u64, record: &[u8]) -> u32 {
    let sum = crc32c::crc32c_append(size, &synced.to_le_bytes());
    crc32c::crc32c_append(sum, record)
}

/// The frame at the beginning of some bytes: up to which length the disk had the file, and the record.
fn frame(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<FRAME>()?;
    let (mark, head) = head.split_first_chunk::<4>()?;
    let (size, head) = head.split_first_chunk::<4>()?;
    let (sum, head) = head.split_first_chunk::<4>()?;
    let (synced, _) = head.split_first_chunk::<8>()?;
    let (size, synced) = (u32::from_le_bytes(*size), u64::from_le_bytes(*synced));
    let record = rest.get(..usize::try_from(size).ok()?)?;
    let right = mark == MARK && checksum(size, synced, record) == u32::from_le_bytes(*sum);
    right.then_some((synced, record))
}

/// All records, and where they end.
fn read(path: &Path, bytes: &[u8]) -> Result<(Records, u64)> {
    let damaged = |detail: String| Error::DamagedFile { path: path.to_owned(), detail };
    let body = bytes.strip_prefix(HEADER).and_then(|rest| rest.split_first_chunk::<4>());
    let Some((format, mut rest)) = body else {
        return Err(damaged("it does not begin as a log of messages".into()));
    };
    let found = u32::from_le_bytes(*format);
    if found > FORMAT {
        return Err(Error::FormatTooNew { path: path.to_owned(), found, supported: FORMAT });
    }
    let mut records = Vec::new();
    let mut at = HEAD;
    while let Some((_, record)) = frame(rest) {
        records.push(record.to_vec());
        let size = FRAME.saturating_add(record.len());
        rest = rest.get(size..).unwrap_or_default();
        at = at.saturating_add(size as u64);
    }
    let mut later = rest.get(1..).unwrap_or_default();
    while let Some(place) = later.windows(MARK.len()).position(|letters| letters == MARK) {
        later = later.get(place..).unwrap_or_default();
        if frame(later).is_some_and(|(synced, _)| synced > at) {
            return Err(damaged(format!(
                "what stands at byte {at} does not read, and the disk had it"
            )));
        }
        later = later.get(1..).unwrap_or_default();
    }
    Ok((records, at))
}

#[cfg(test)]
mod tests;
