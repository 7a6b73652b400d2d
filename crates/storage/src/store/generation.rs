//! One generation of a database: its environment, its tables and its data file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use embedded_db_common::{Durability, Error, Result};
use heed::{MdbError, RoTxn, WithoutTls};

use super::gate::Gate;
use super::opening::Environment;
use super::{Database, Env, Tables, map_lmdb};
use crate::data_file::DataFile;
use crate::keys::Table;
use crate::log::Log;
use crate::pages::{PageFile, View};
use crate::platform::{self, Lock};

/// One generation of a database. A snapshot keeps the one of which it is, whatever takes its place.
pub struct Generation {
    number: u64,
    /// Of a writer. It holds a transaction, and so goes before the environment.
    log: Option<Arc<Log>>,
    /// Of a reader: nobody puts another state back under it.
    _as_it_is: Option<Lock>,
    pub(crate) env: Arc<Environment>,
    tables: Tables,
    /// Readers and writers are inside; growing the map waits until none is.
    pub(crate) gate: Arc<Gate>,
    /// The file behind it: its length, and its pages.
    pub(crate) data_file: DataFile,
    pub(crate) page_file: PageFile,
    /// The newest state, by its LMDB transaction, that was seen to have nothing that expires.
    pub(super) lasting: AtomicUsize,
    /// The newest state whose time the store's is not before.
    pub(super) timed: AtomicUsize,
    /// The newest state in which no other generation was seen to have taken its place.
    pub(super) in_use: AtomicUsize,
    /// What the writer owes and was waited for long enough.
    given_up: AtomicU64,
}

/// An environment with its tables, and the gate before its map: one for each in a process, whoever opens it.
pub(super) type Opened = (Arc<Environment>, Tables, Arc<Gate>);

impl Generation {
    pub(super) fn new(
        number: u64,
        (env, tables, gate): Opened,
        data_file: DataFile,
        page_file: PageFile,
        log: Option<Arc<Log>>,
        as_it_is: Option<Lock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            log,
            _as_it_is: as_it_is,
            env,
            tables,
            gate,
            data_file,
            page_file,
            lasting: AtomicUsize::new(usize::MAX),
            timed: AtomicUsize::new(0),
            in_use: AtomicUsize::new(usize::MAX),
            given_up: AtomicU64::new(0),
        })
    }

    /// What another handle of the same generation in this process has to share with it.
    pub(super) fn opened(&self) -> Opened {
        (Arc::clone(&self.env), self.tables, Arc::clone(&self.gate))
    }

    /// Slots mean something else in each.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn table(&self, table: Table) -> &Database {
        table.of(&self.tables)
    }

    pub(crate) fn path(&self) -> &Path {
        self.data_file.path()
    }

    pub(crate) fn lmdb_error(&self, error: heed::Error) -> Error {
        map_lmdb(self.path(), error)
    }

    /// A state, with the transaction that keeps its pages, inside the gate until [`Gate::leave`].
    pub(super) fn begin(
        &self,
        lost: &AtomicBool,
    ) -> Result<(RoTxn<'static, WithoutTls>, Arc<View>, Instant)> {
        loop {
            // Dropped in this order: the transaction ends inside the gate.
            let (inside, txn) = self.begin_read(lost)?;
            let taken = Instant::now();
            self.require_whole_file()?;
            // Two commits since the transaction began leave no trace of its state: then a newer one.
            if let Some(view) = self.page_file.view(txn.id() as u64)? {
                std::mem::forget(inside);
                return Ok((txn, view, taken));
            }
        }
    }

    fn begin_read(&self, lost: &AtomicBool) -> Result<(Inside<'_>, RoTxn<'static, WithoutTls>)> {
        let begin = || -> Result<(Inside<'_>, heed::Result<RoTxn<'static, WithoutTls>>)> {
            let inside = Inside::enter(self);
            self.require_map()?;
            Ok((inside, Env::clone(&self.env).static_read_txn()))
        };
        let (inside, txn) = match begin()? {
            // Another process has grown the file beyond our map.
            (inside, Err(heed::Error::Mdb(MdbError::MapResized))) => {
                drop(inside);
                self.adopt_map_size(lost)?;
                begin()?
            }
            // Of processes that were killed, perhaps; it may be that nobody writes, who would look.
            (inside, Err(heed::Error::Mdb(MdbError::ReadersFull)))
                if self.clear_stale_readers().is_ok_and(|found| found > 0) =>
            {
                drop(inside);
                begin()?
            }
            other => other,
        };
        Ok((inside, txn.map_err(|error| self.lmdb_error(error))?))
    }

    /// Of a reader: waits until the writer has committed what it has acknowledged. A writer that does not go on,
    /// or was killed, is not waited for: what it owes shows when it does, or when the database is next opened for
    /// writing.
    pub(crate) fn wait_for_writer(&self, patience: Duration, is_alive: impl Fn() -> bool) {
        const LOOK: Duration = Duration::from_micros(50);
        /// What a writer needs that has a processor.
        const USUAL: Duration = Duration::from_millis(20);
        let owed = self.page_file.owed();
        let is_there = || self.page_file.covered() >= owed;
        if is_there() || self.given_up.load(Ordering::Relaxed) == owed {
            return;
        }
        self.page_file.want();
        let begun = Instant::now();
        let mut most = USUAL;
        while !is_there() {
            if begun.elapsed() < most {
                std::thread::sleep(LOOK);
            } else if most < patience && is_alive() {
                most = patience;
            } else {
                self.given_up.store(owed, Ordering::Relaxed);
                return;
            }
        }
    }

    /// No page of the newest commit lies beyond the end of the file; looked at now and then, inside the
    /// gate.
    pub(crate) fn require_whole_file(&self) -> Result<()> {
        self.data_file.require_pages(Instant::now(), || self.env.info().last_page_number)
    }

    /// After a commit, still inside the gate: no page of it lies beyond the end of the file, and the sums
    /// cover what it wrote. The state that it left.
    /// With how many bytes it wrote.
    pub(crate) fn cover(&self, before: &View, durability: Durability) -> Result<(Arc<View>, u64)> {
        self.data_file.complete_pages(self.env.info().last_page_number, durability)?;
        self.page_file.cover(before)
    }

    /// Whatever was written to the data file is on the disk, if that is wanted at all.
    pub(crate) fn sync(&self, durability: Durability) -> Result<()> {
        if durability == Durability::Memory { Ok(()) } else { self.data_file.sync() }
    }

    /// The log of a writer.
    pub(crate) fn log(&self) -> Result<&Arc<Log>> {
        self.log.as_ref().ok_or_else(|| Error::Internal("a reader has no log".into()))
    }

    /// One that was lost to another handle of this process, too, is none.
    fn require_map(&self) -> Result<()> {
        if !self.gate.has_lost() {
            return Ok(());
        }
        let detail = "the map of the file is lost; open the database again".into();
        Err(Error::StorageError { path: self.path().to_owned(), detail })
    }

    /// Of who begins to write: has LMDB see the newest state. Where others have the file open it takes the number of
    /// that from memory that they share, which a writer sets after its meta page, and so may have been killed between
    /// the two. The next transaction that writes sets it right.
    pub(crate) fn see_newest(&self) -> Result<()> {
        self.env.write_txn().map(drop).map_err(|error| self.lmdb_error(error))
    }

    /// A transaction that keeps the pages of the newest state; it is outside the gate.
    pub(crate) fn pin(&self) -> Result<RoTxn<'static, WithoutTls>> {
        self.require_map()?;
        Env::clone(&self.env).static_read_txn().map_err(|error| self.lmdb_error(error))
    }

    /// Forgets the snapshots of processes that have ended without closing them; how many there were.
    pub(crate) fn clear_stale_readers(&self) -> Result<usize> {
        self.env.clear_stale_readers().map_err(|error| self.lmdb_error(error))
    }

    /// Whether whoever read in this process has ended soon: what they saw may be room enough.
    pub(crate) fn readers_ended(&self) -> bool {
        self.gate.is_empty_within(Duration::from_millis(100))
    }

    /// Doubles the map after a write found it full.
    pub(crate) fn grow(&self, most: usize, lost: &AtomicBool) -> Result<()> {
        let size = self.map_size();
        let larger = size.saturating_mul(2).min(most);
        if larger <= size {
            return Err(Error::StorageFull {
                path: self.path().to_owned(),
                detail: format!("map_size_max of {most} bytes is reached; raise it"),
                is_kept: false,
            });
        }
        self.resize(larger, lost)
    }

    fn adopt_map_size(&self, lost: &AtomicBool) -> Result<()> {
        let file = self.data_file.length()? as usize;
        let mut size = self.map_size();
        while size < file {
            size = size.saturating_mul(2);
        }
        // 0 would adopt the size that the writer recorded; doubling reaches it as well.
        self.resize(size.saturating_mul(2), lost)
    }

    /// The library looks into the map for it, which nobody may be moving.
    fn map_size(&self) -> usize {
        let _inside = Inside::enter(self);
        self.env.info().map_size
    }

    /// Moves the map. When it is gone after that, `lost` becomes true, and nothing may be read or written.
    pub(crate) fn resize(&self, size: usize, lost: &AtomicBool) -> Result<()> {
        // LMDB gives the old map up before it asks for the new one: it must not fail then.
        let more = size.saturating_sub(self.map_size());
        if !platform::has_address_space(more) {
            return Err(Error::StorageError {
                path: self.path().to_owned(),
                detail: format!(
                    "the map must grow to {size} bytes, but the address space has no room; raise the \
                     limit (ulimit -v)"
                ),
            });
        }
        let Some(_closed) = self.gate.close(Duration::from_secs(10)) else {
            return Err(Error::StorageFull {
                path: self.path().to_owned(),
                detail: "the map must grow, but a snapshot is held for over 10 s; close it".into(),
                is_kept: false,
            });
        };
        // SAFETY: the closed gate proves that nobody of this process reads or writes, and that nobody asks for what
        // the map says: that is done inside the gate only. Whoever grows it leads the writers, has no transaction
        // open, and has let go of what the log pins; LMDB refuses to move the map under one that was forgotten.
        #[allow(unsafe_code)]
        let resized = unsafe { self.env.resize(size) };
        if resized.is_err() {
            self.gate.lose();
            lost.store(true, Ordering::Release);
        }
        resized.map_err(|error| self.lmdb_error(error))
    }
}

/// A place inside the gate.
pub(crate) struct Inside<'g>(&'g Generation);

impl<'g> Inside<'g> {
    pub(crate) fn enter(generation: &'g Generation) -> Self {
        generation.gate.enter();
        Self(generation)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}
