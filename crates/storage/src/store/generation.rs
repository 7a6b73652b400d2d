//! One generation of a database: its environment, its tables and its data file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use embedded_db_common::record::seal;
use embedded_db_common::{Durability, Error, NamespaceId, Options, Result};
use heed::{RoTxn, WithoutTls};

use super::gate::Gate;
use super::opening::Environment;
use super::{Database, Env, Tables, map_lmdb};
use crate::data_file::DataFile;
use crate::keys::{Key, Table};
use crate::platform;
use crate::read::meta;

/// One generation of a database. A snapshot keeps the one of which it is, whatever takes its place.
pub struct Generation {
    number: u64,
    pub(crate) env: Environment,
    tables: Tables,
    /// Readers and writers are inside; growing the map waits until none is.
    pub(crate) gate: Gate,
    /// The file behind it.
    pub(crate) data_file: DataFile,
    /// The newest state, by its LMDB transaction, that was seen to have nothing that expires.
    pub(super) lasting: AtomicUsize,
    /// The newest state whose time the store's is not before.
    pub(super) timed: AtomicUsize,
    /// The newest state in which no other generation was seen to have taken its place.
    pub(super) in_use: AtomicUsize,
}

impl Generation {
    pub(super) fn new(
        number: u64,
        env: Environment,
        tables: Tables,
        data_file: DataFile,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            env,
            tables,
            gate: Gate::default(),
            data_file,
            lasting: AtomicUsize::new(usize::MAX),
            timed: AtomicUsize::new(0),
            in_use: AtomicUsize::new(usize::MAX),
        })
    }

    /// Slots mean something else in each.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn table(&self, table: Table) -> &Database {
        &self.tables[table as usize - 1]
    }

    pub(crate) fn path(&self) -> &Path {
        self.data_file.path()
    }

    pub(crate) fn lmdb_error(&self, error: heed::Error) -> Error {
        map_lmdb(self.path(), error)
    }

    /// A transaction for reading, inside the gate until [`Gate::leave`].
    pub(super) fn begin(
        &self,
        taken: Instant,
        lost: &AtomicBool,
    ) -> Result<RoTxn<'static, WithoutTls>> {
        self.gate.enter();
        let begin = || Env::clone(&self.env).static_read_txn();
        let txn = match begin() {
            // Another process has grown the file beyond our map.
            Err(heed::Error::Mdb(heed::MdbError::MapResized)) => {
                self.gate.leave();
                self.adopt_map_size(lost)?;
                self.gate.enter();
                begin()
            }
            other => other,
        };
        let whole = txn.map_err(|error| self.lmdb_error(error)).and_then(|txn| {
            self.data_file.require_pages(taken, || self.env.info().last_page_number)?;
            Ok(txn)
        });
        whole.inspect_err(|_| self.gate.leave())
    }

    /// Tells readers in other processes that another generation has taken its place.
    pub(crate) fn tell_readers(
        &self,
        successor: u64,
        options: &Options,
        lost: &AtomicBool,
    ) -> Result<()> {
        let key = Key::new(NamespaceId::SYSTEM).u8(meta::SUCCESSOR);
        let mut sealed = successor.to_be_bytes().to_vec();
        seal(Table::Meta as u8, &key, &mut sealed);
        let put = || -> heed::Result<()> {
            let mut txn = self.env.write_txn()?;
            self.table(Table::Meta).put(&mut txn, &key, &sealed)?;
            txn.commit()
        };
        loop {
            self.gate.enter();
            let outcome = put();
            self.gate.leave();
            match outcome {
                Ok(()) => return self.complete_file(options.durability),
                Err(heed::Error::Mdb(heed::MdbError::MapFull)) => {
                    self.grow(options.map_size_max, lost)?;
                }
                Err(error) => return Err(self.lmdb_error(error)),
            }
        }
    }

    /// After a commit: no page of it lies beyond the end of the file.
    pub(crate) fn complete_file(&self, durability: Durability) -> Result<()> {
        self.data_file.complete_pages(self.env.info().last_page_number, durability)
    }

    /// Whether the disk has less room than a small commit needs.
    pub(crate) fn disk_is_full(&self) -> bool {
        const SMALL: u64 = 1 << 20;
        platform::free_space(self.path()).is_some_and(|free| free < SMALL)
    }

    /// Forgets the snapshots of processes that have ended without closing them; how many there were.
    pub(crate) fn clear_stale_readers(&self) -> Result<usize> {
        self.env.clear_stale_readers().map_err(|error| self.lmdb_error(error))
    }

    /// Doubles the map after a write found it full.
    pub(crate) fn grow(&self, most: usize, lost: &AtomicBool) -> Result<()> {
        let size = self.env.info().map_size;
        let larger = size.saturating_mul(2).min(most);
        if larger <= size {
            return Err(Error::StorageFull {
                path: self.path().to_owned(),
                detail: format!("map_size_max of {most} bytes is reached; raise it"),
            });
        }
        self.resize(larger, lost)
    }

    fn adopt_map_size(&self, lost: &AtomicBool) -> Result<()> {
        let file = self.data_file.length()? as usize;
        let mut size = self.env.info().map_size;
        while size < file {
            size = size.saturating_mul(2);
        }
        // 0 would adopt the size that the writer recorded; doubling reaches it as well.
        self.resize(size.saturating_mul(2), lost)
    }

    /// Moves the map. When it is gone after that, `lost` becomes true, and nothing may be read or written.
    pub(crate) fn resize(&self, size: usize, lost: &AtomicBool) -> Result<()> {
        // LMDB gives the old map up before it asks for the new one: it must not fail then.
        let more = size.saturating_sub(self.env.info().map_size);
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
            });
        };
        // SAFETY: the closed gate proves that no transaction of this process is alive.
        #[allow(unsafe_code)]
        let resized = unsafe { self.env.resize(size) };
        if resized.is_err() {
            lost.store(true, Ordering::Release);
        }
        resized.map_err(|error| self.lmdb_error(error))
    }
}
