//! A data file that is written anew, row by row, where nobody else looks until it is complete.

use std::path::{Path, PathBuf};

use embedded_db_common::record;
use embedded_db_common::{Error, Options, Result};
use heed::{PutFlags, RwTxn};

use crate::data_file;
use crate::keys::Table;
use crate::pages::{PageFile, Use};
use crate::platform::{self, write_error};
use crate::read::ReadTxn;
use crate::store::{Environment, Tables, map_lmdb, open_new};
use crate::touched::{is_packed, pack};

/// Bytes of the map: rows that come out of order fill half a page.
fn room_for(like: u64) -> usize {
    usize::try_from(like).unwrap_or(usize::MAX).saturating_mul(4).max(64 << 20)
}

/// Tells how much is done, of how much; an error that it returns ends the work.
pub type Progress<'a> = dyn FnMut(u64, u64) -> Result<()> + 'a;

/// Rows between two calls of it.
const ROWS: u64 = 1024;
/// Bytes of one transaction: they are in memory until it ends.
const STEP: usize = 8 << 20;

/// A new data file that nobody else knows.
pub(crate) struct NewFile {
    env: Environment,
    tables: Tables,
    path: PathBuf,
    /// Keeps the sums of its pages, where there are any.
    pages: Option<PageFile>,
}

impl NewFile {
    /// Makes `data.mdb` with all tables in a directory, for about as much as a file of `like` bytes has.
    pub(crate) fn create(directory: &Path, like: u64) -> Result<Self> {
        Self::with_room(directory, room_for(like))
    }

    fn with_room(directory: &Path, room: usize) -> Result<Self> {
        let (env, tables) = open_new(directory, room)?;
        Ok(Self { env, tables, path: directory.join("data.mdb"), pages: None })
    }

    /// The same for a generation of a database, with the sums of its pages: opening it takes no longer
    /// than opening any other.
    pub(crate) fn create_generation(
        database: &Path,
        directory: &Path,
        like: u64,
        options: &Options,
    ) -> Result<Self> {
        // Writers go on meanwhile: it may become as large as a database may be, whose rows come in any order.
        let most = options.map_size_max.saturating_mul(2);
        let room = room_for(like);
        // A map is no longer than its file on Windows.
        let is_there = cfg!(unix) && most > room && platform::has_address_space(most);
        let mut file = Self::with_room(directory, if is_there { most } else { room })?;
        file.pages = PageFile::open(database, directory, Use::Writing, options)?;
        Ok(file)
    }

    /// Begins to write rows; what was not ended with [`Rows::end`] is not there.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { file: self, txn: None, bytes: 0 }
    }

    /// Puts what was ended onto the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.env.force_sync().map_err(|error| self.failed(error))
    }

    /// Puts it onto the disk and closes it; its length.
    pub(crate) fn finish(self) -> Result<u64> {
        self.sync()?;
        let Self { env, path, pages, tables: _ } = self;
        drop(env);
        data_file::complete(&path)?;
        if let Some(pages) = pages {
            pages.end_use()?;
        }
        let directory = path.parent().unwrap_or(Path::new("."));
        platform::sync_file(&path)
            .and_then(|length| platform::sync_directory(directory).map(|()| length))
            .map_err(|error| write_error(&path, "sync it", &error))
    }

    fn failed(&self, error: heed::Error) -> Error {
        data_file::write_failed(&self.path, map_lmdb(&self.path, error))
    }
}

/// Rows on their way into a new data file.
pub(crate) struct Rows<'f> {
    file: &'f NewFile,
    txn: Option<RwTxn<'f>>,
    bytes: usize,
}

impl<'f> Rows<'f> {
    /// Adds a sealed row behind all rows of its table.
    pub(crate) fn append(&mut self, table: Table, key: &[u8], sealed: &[u8]) -> Result<()> {
        let file = self.file;
        let txn = self.txn(key.len() + sealed.len())?;
        let database = table.of(&file.tables);
        database
            .put_with_flags(txn, PutFlags::APPEND, key, sealed)
            .map_err(|error| file.failed(error))
    }

    /// Puts a sealed row in its place, or in that of an earlier one.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], sealed: &[u8]) -> Result<()> {
        let file = self.file;
        let txn = self.txn(key.len() + sealed.len())?;
        let put = table.of(&file.tables).put(txn, key, sealed);
        put.map_err(|error| file.failed(error))
    }

    /// Puts a sealed row in its place, unless a row is there; whether none was.
    pub(crate) fn put_new(&mut self, table: Table, key: &[u8], sealed: &[u8]) -> Result<bool> {
        let file = self.file;
        let txn = self.txn(key.len() + sealed.len())?;
        match table.of(&file.tables).put_with_flags(txn, PutFlags::NO_OVERWRITE, key, sealed) {
            Ok(()) => Ok(true),
            Err(heed::Error::Mdb(heed::MdbError::KeyExist)) => Ok(false),
            Err(error) => Err(file.failed(error)),
        }
    }

    /// The payload of a row that was put.
    pub(crate) fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let file = self.file;
        let found = table.of(&file.tables).get(self.txn(0)?, key);
        let found = found.map_err(|error| file.failed(error))?;
        let payload =
            found.map(|sealed| record::open(table as u8, key, sealed).map(<[u8]>::to_vec));
        Ok(payload.transpose()?)
    }

    /// Removes rows that are packed together, or one row.
    pub(crate) fn remove_pack(&mut self, table: Table, which: &[u8]) -> Result<()> {
        if is_packed(table) {
            return self.remove(table, which, |key| pack(table, key) == which);
        }
        let file = self.file;
        let deleted = table.of(&file.tables).delete(self.txn(0)?, which);
        deleted.map(drop).map_err(|error| file.failed(error))
    }

    /// Removes the rows whose keys begin so, and that are wanted.
    pub(crate) fn remove(
        &mut self,
        table: Table,
        prefix: &[u8],
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<()> {
        let file = self.file;
        let database = table.of(&file.tables);
        let txn = self.txn(0)?;
        let mut keys = Vec::new();
        for row in database.prefix_iter(txn, prefix).map_err(|error| file.failed(error))? {
            let (key, _) = row.map_err(|error| file.failed(error))?;
            if wanted(key) {
                keys.push(key.to_vec());
            }
        }
        for key in keys {
            database.delete(txn, &key).map_err(|error| file.failed(error))?;
        }
        Ok(())
    }

    fn txn(&mut self, more: usize) -> Result<&mut RwTxn<'f>> {
        if self.bytes >= STEP {
            self.commit()?;
        }
        self.bytes += more;
        if self.txn.is_none() {
            self.txn = Some(self.file.env.write_txn().map_err(|error| self.file.failed(error))?);
        }
        self.txn.as_mut().ok_or_else(|| Error::Internal("no transaction was begun".into()))
    }

    fn commit(&mut self) -> Result<()> {
        self.bytes = 0;
        let (file, Some(txn)) = (self.file, self.txn.take()) else { return Ok(()) };
        let commit = || txn.commit().map_err(|error| file.failed(error));
        let Some(pages) = &file.pages else { return commit() };
        let before = pages.newest()?;
        pages.prepare(&before)?;
        commit()?;
        data_file::complete(&file.path)?;
        pages.cover(&before).map(drop)
    }

    /// All rows are there.
    pub(crate) fn end(mut self) -> Result<()> {
        self.commit()
    }
}

/// Copies every row of a state as it is, but for those that name files beside it, and tells how many there
/// are. A damaged one ends it.
pub(crate) fn copy_all(
    txn: &impl ReadTxn,
    file: &NewFile,
    progress: &mut Progress<'_>,
) -> Result<u64> {
    let (mut done, total) = (0, row_count(txn)?);
    progress(done, total)?;
    let mut rows = file.rows();
    for table in Table::ALL {
        for row in txn.rows().between(table, &[], None)? {
            let (key, sealed) = row?;
            txn.located(table, key, record::open(table as u8, key, sealed))?;
            if table != Table::Views {
                rows.append(table, key, sealed)?;
            }
            done += 1;
            if done.is_multiple_of(ROWS) {
                progress(done, total)?;
            }
        }
    }
    rows.end()?;
    progress(total, total)?;
    Ok(total)
}

/// Rows of all tables.
pub(crate) fn row_count(txn: &impl ReadTxn) -> Result<u64> {
    Ok(crate::store::row_counts(txn)?.iter().map(|(_, rows)| rows).sum())
}
