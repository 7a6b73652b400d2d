//! Backups: a copy of one state of the store in a directory of its own, made while writers go on, and
//! databases that are made of one again.
//!
//! A directory is a backup once it has a `MANIFEST`, which is written last: what was broken off has none.

#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod manifest;
mod restore;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded_db_common::record::Damaged;
use embedded_db_common::{Digest, Error, Result, Sha256, clock};

pub use self::manifest::Counts;
use self::manifest::DATA;
pub(crate) use self::manifest::Manifest;
pub use self::restore::{Restored, Restoring, of_backup};
use crate::keys::{self, Table};
use crate::new_file::{NewFile, Progress, copy_all};
use crate::platform::{io_error, private, real_path, sync_directory};
use crate::read::ReadTxn;
use crate::staging::check_free;
use crate::store::{Snapshot, Store};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// What was backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it lies.
    pub path: PathBuf,
    /// LSN of the last change that it holds.
    pub lsn: u64,
    /// How much it holds.
    pub counts: Counts,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Store {
    /// Copies the newest state into a directory that does not exist or is empty, and checks every row on
    /// the way. Writers go on. What fails or is interrupted leaves nothing behind.
    pub fn backup(
        self: &Arc<Self>,
        directory: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<Backup> {
        let place = Place::take(directory, self.path())?;
        let snapshot = self.read()?;
        let file = NewFile::create(&place.path, self.file_size()?)?;
        let rows = copy_all(&snapshot, &file, progress)?;
        let (lsn, counts) = (snapshot.lsn()?.0, Counts::of(&snapshot)?);
        drop(snapshot);
        let length = file.finish()?;
        let sha256 = digest(&place.path.join(DATA), &mut || progress(rows, rows))?;
        let (identity, written_at) = (self.identity().to_owned(), clock::now());
        let manifest = Manifest { identity, lsn, written_at, counts, length, sha256 };
        manifest.write(&place.path)?;
        let path = place.keep()?;
        Ok(Backup { path, lsn, counts, bytes: length })
    }
}

impl Counts {
    pub(super) fn of(snapshot: &Snapshot) -> Result<Self> {
        let mut counts = Self::default();
        for (_, namespace) in snapshot.namespaces()? {
            let of = snapshot.namespace_counters(namespace)?;
            counts.namespaces = counts.namespaces.saturating_add(1);
            let sums = [
                (&mut counts.nodes, of.nodes),
                (&mut counts.edges, of.edges),
                (&mut counts.embeddings, of.embeddings),
            ];
            for (sum, of) in sums {
                let more = sum.checked_add(of).ok_or(Damaged("has counted more than there can be"));
                let key = keys::counters(namespace);
                *sum = snapshot.located(Table::Meta, &key, more)?;
            }
        }
        Ok(counts)
    }
}

/// A directory for a backup, in which nothing stays unless it is kept.
struct Place {
    path: PathBuf,
    /// Directories that were made for it, outermost first.
    made: Vec<PathBuf>,
    kept: bool,
}

impl Place {
    /// Refuses what holds anything, and what lies in the database itself.
    fn take(directory: &Path, database: &Path) -> Result<Self> {
        let path = std::path::absolute(directory);
        let path =
            path.map_err(|e| Error::InvalidInput(format!("{directory:?}: {e}; name a directory")))?;
        if real_path(&path).starts_with(real_path(database)) {
            return Err(Error::InvalidInput(format!(
                "{directory:?} lies in the directory of the database itself; choose one outside of it"
            )));
        }
        check_free(&path)?;
        let mut place = Self { path, made: Vec::new(), kept: false };
        place.make()?;
        let claimed = place.path.join(DATA);
        let file = private().write(true).create_new(true).open(&claimed);
        file.map_err(|e| io_error(&claimed, "create", &e))?;
        Ok(place)
    }

    fn make(&mut self) -> Result<()> {
        let missing: Vec<PathBuf> =
            self.path.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
        for path in missing.into_iter().rev() {
            fs::create_dir(&path).map_err(|e| io_error(&path, "create", &e))?;
            self.made.push(path);
        }
        Ok(())
    }

    /// It is complete: its entries are made durable.
    fn keep(mut self) -> Result<PathBuf> {
        for path in self.made.iter().filter_map(|path| path.parent()) {
            sync_directory(path).map_err(|e| io_error(path, "sync", &e))?;
        }
        self.kept = true;
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Without a manifest it is no backup, whatever else cannot be removed.
        for name in [Manifest::FILE, "MANIFEST.new", DATA] {
            drop(fs::remove_file(self.path.join(name)));
        }
        for path in self.made.iter().rev() {
            drop(fs::remove_dir(path));
        }
    }
}

/// Of a whole file; `interrupted` is asked now and then.
fn digest(path: &Path, interrupted: &mut dyn FnMut() -> Result<()>) -> Result<Sha256> {
    let failed = |e: std::io::Error| io_error(path, "read", &e);
    let mut file = File::open(path).map_err(failed)?;
    let (mut digest, mut buffer) = (Digest::default(), vec![0; CHUNK]);
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(digest.finish());
        }
        let (filled, _) = buffer.split_at(read);
        digest.update(filled);
        interrupted()?;
    }
}
