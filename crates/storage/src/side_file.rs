//! A small file in the directory of a database that is written over and over. What is in it needs a length
//! and a checksum of its own, for the end of something longer may follow.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use embedded_db_common::Result;

use crate::platform::{io_error, private, sync_name, write_error};

/// The open file.
pub struct SideFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl SideFile {
    /// Opens or makes it; what it holds.
    ///
    /// # Errors
    ///
    /// `StorageError` and `StorageFull`, as the system says.
    pub fn open(path: &Path) -> Result<(Self, Vec<u8>)> {
        let mut options = private();
        let opened = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| write_error(path, "open it", &error))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| io_error(path, "read it", &error))?;
        Ok((Self { path: path.to_owned(), file: Mutex::new(file) }, bytes))
    }

    /// Writes from its beginning; what was longer keeps its end. Outlives the process, not the machine.
    ///
    /// # Errors
    ///
    /// `StorageError` and `StorageFull`, as the system says.
    pub fn overwrite(&self, bytes: &[u8]) -> Result<()> {
        self.write(0, bytes, |_| Ok(()))
    }

    /// Writes at a place and returns when the disk has it.
    ///
    /// # Errors
    ///
    /// `StorageError` and `StorageFull`, as the system says.
    pub fn keep(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.write(at, bytes, File::sync_data)
    }

    /// Nobody else writes before `then` is done as well.
    fn write(&self, at: u64, bytes: &[u8], then: fn(&File) -> io::Result<()>) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
        let done = written.and_then(|()| then(&file));
        done.map_err(|error| write_error(&self.path, "write it", &error))
    }

    /// Makes its name durable: what is kept in it is found again.
    ///
    /// # Errors
    ///
    /// `StorageError`, as the system says.
    pub fn keep_name(&self) -> Result<()> {
        sync_name(&self.path).map_err(|error| write_error(&self.path, "make it", &error))
    }
}
