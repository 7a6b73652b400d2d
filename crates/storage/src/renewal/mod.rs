//! A new generation beside the one in use: everything that is stored, with slots numbered anew and
//! without holes. Readers and writers go on meanwhile; writers wait only while it takes the place.
//!
//! 1. A state is copied while everything that is written beside is noted; what was noted is copied
//!    again, from a later state, until little is left.
//! 2. With writers waiting the rest is copied, and the new generation is put onto the disk.
//! 3. A row in the old generation tells readers in other processes to look at `CURRENT` from now on.
//! 4. `CURRENT` names the new one; from then on it is in use, whatever happens.
//! 5. The files of the old generation are removed.

mod packs;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod rows;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod slots;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use embedded_db_common::{Error, NamespaceId, Result, Symbol};

use self::rows::{Copyist, Keep};
use crate::format::Current;
use crate::keys::{self, Table};
use crate::new_file::{NewFile, Progress, Rows, row_count};
use crate::platform::{io_error, sync_directory, write_error};
use crate::read::ReadTxn;
use crate::store::{Snapshot, Store, names_but, open_generation, remove_generation};
use crate::touched::Touched;
use crate::writer::Leader;

/// Rows between two calls of the progress.
const ROWS: u64 = if cfg!(test) { 64 } else { 1024 };
/// So few packs are copied while writers wait. The unit tests begin early, so that every way is gone.
const FEW: usize = if cfg!(test) { 10 } else { 1_000 };
/// Packs that are remembered before writers have to wait: more would take too much memory.
const MOST: usize = if cfg!(test) { 5_000 } else { 500_000 };

/// Keeps writers waiting.
type Writers<'s> = MutexGuard<'s, Leader>;

/// What became of the data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// Bytes of it before.
    pub before: u64,
    /// Bytes of it now.
    pub after: u64,
}

impl Store {
    /// Writes everything anew, without the room of what is gone.
    pub fn compact(self: &Arc<Self>, progress: &mut Progress<'_>) -> Result<Renewed> {
        let (renewed, removed) = self.renew(Keep::All, progress)?;
        // What could not be removed goes when the database is next opened for writing.
        drop(removed);
        Ok(renewed)
    }

    /// The same, and nothing stays of what was deleted before: neither its bytes nor its ids and names.
    /// The changes up to now are forgotten. Names that nothing uses go, but for those in `needed`.
    pub fn scrub(
        self: &Arc<Self>,
        needed: HashSet<Symbol>,
        progress: &mut Progress<'_>,
    ) -> Result<Renewed> {
        let (renewed, removed) = self.renew(Keep::Present(needed), progress)?;
        removed.map(|()| renewed)
    }

    /// What was made, and whether the files of the old generation are gone.
    fn renew(
        self: &Arc<Self>,
        keep: Keep,
        progress: &mut Progress<'_>,
    ) -> Result<(Renewed, Result<()>)> {
        self.writable()?;
        let _alone = self.switching.try_lock().map_err(|_| {
            Error::InvalidInput(format!(
                "{:?} is being compacted already; wait for the end of that",
                self.name()
            ))
        })?;
        self.sealing_is_waited_for.store(true, Ordering::Release);
        let sealing = self.sealing.lock();
        self.sealing_is_waited_for.store(false, Ordering::Release);
        let _sealing = sealing.unwrap_or_else(PoisonError::into_inner);
        // It stays ours when the store is closed meanwhile, until nothing is done here any more.
        let _lock = self.shared_lock();
        let old = self.generation();
        let before = old.data_file.length()?;
        let current = Current::of(old.number() + 1, self.identity());
        let place = Place::make(current.directory(self.path()))?;
        let file =
            NewFile::create_generation(self.path(), &place.directory, before, &self.options)?;

        let (snapshot, _noting) = self.note_writes()?;
        let (mut copyist, waiting) = self.copy_state(&file, snapshot, keep, progress)?;
        let mut rows = file.rows();
        let mut left = usize::MAX;
        loop {
            let more = self.writer.touched.len();
            // Who writes as fast as it is copied would never be caught up with.
            if more < FEW || more > left / 2 {
                break;
            }
            left = more;
            self.catch_up(&mut copyist, &mut rows)?;
        }
        rows.end()?;
        // Most of it is on the disk before writers wait.
        file.sync()?;

        let mut writers = match waiting {
            Some(writers) => writers,
            None => self.hold_writers()?,
        };
        self.writable()?;
        let mut rows = file.rows();
        let snapshot = self.catch_up(&mut copyist, &mut rows)?;
        let gone = match copyist.copy_names(&snapshot, &mut rows)? {
            Some(kept) => names_but(&snapshot, &kept)?,
            None => Vec::new(),
        };
        drop(snapshot);
        rows.end()?;
        let after = file.finish()?;
        let new = open_generation(self.path(), &current, &self.options)?;
        self.tell_readers(&mut writers, new.number())?;
        self.put_in_place(&current, place)?;
        // It is in use: nothing may fail before writers go on with it.
        writers.base = None;
        self.switch_to(&new, gone);
        drop(writers);
        let directory = old.path().parent().unwrap_or(Path::new("")).to_owned();
        drop(old);
        let removed = remove_generation(&directory)
            .map_err(|e| io_error(&directory, "remove the old generation", &e));
        Ok((Renewed { before, after }, removed))
    }

    /// From now on readers in other processes look at `CURRENT` before they read. If it comes to nothing
    /// after that they go on so until the database is next opened for writing.
    fn tell_readers(&self, writers: &mut Writers<'_>, successor: u64) -> Result<()> {
        self.write_alone(writers, move |txn| {
            txn.put(Table::Meta, &keys::successor(), successor.to_be_bytes().to_vec())
        })
    }

    /// Readers in other processes need not look at `CURRENT`: the generation in use stays.
    pub(crate) fn stay(self: &Arc<Self>) -> Result<()> {
        if self.read_only() || self.read()?.get(Table::Meta, &keys::successor())?.is_none() {
            return Ok(());
        }
        match self.write(|txn| txn.delete(Table::Meta, &keys::successor()).map(drop)) {
            // They look at it until there is room to write.
            Err(Error::StorageFull { .. }) => Ok(()),
            other => other,
        }
    }

    /// Whether something can be written.
    fn writable(&self) -> Result<()> {
        self.usable()?;
        if self.read_only() {
            return Err(Error::ReadOnly { path: self.path().to_owned() });
        }
        self.writer.healthy(self.path())
    }

    /// A state; from it on it is noted what is written.
    fn note_writes(self: &Arc<Self>) -> Result<(Snapshot, Noting<'_>)> {
        let _writers = self.hold_writers()?;
        self.writer.touched.want(true);
        let noting = Noting(self);
        Ok((self.read()?, noting))
    }

    /// Copies a state. Gives what keeps writers waiting, if they had to.
    fn copy_state<'s>(
        &'s self,
        file: &NewFile,
        snapshot: Snapshot,
        keep: Keep,
        progress: &mut Progress<'_>,
    ) -> Result<(Copyist, Option<Writers<'s>>)> {
        let (mut done, total) = (0, row_count(&snapshot)?);
        progress(done, total)?;
        let mut copyist = Copyist::new(&snapshot, keep)?;
        let (mut rows, mut waiting) = (file.rows(), None);
        for table in Table::ALL {
            copyist.copy_table(&snapshot, table, &mut rows, &mut || {
                done += 1;
                if !done.is_multiple_of(ROWS) {
                    return Ok(());
                }
                self.usable()?;
                if waiting.is_none() && self.writer.touched.len() > MOST {
                    waiting = Some(self.hold_writers()?);
                }
                // Who is told of the progress may write, and would wait for himself.
                if waiting.is_none() { progress(done, total) } else { Ok(()) }
            })?;
        }
        rows.end()?;
        if waiting.is_none() {
            progress(total, total)?;
        }
        Ok((copyist, waiting))
    }

    /// Copies what was written since it was last done; gives the state up to which that is.
    fn catch_up(self: &Arc<Self>, copyist: &mut Copyist, rows: &mut Rows<'_>) -> Result<Snapshot> {
        let touched = self.writer.touched.take();
        // Later than all that was taken.
        let snapshot = self.read()?;
        // A commit is seen before it is noted: what was noted late is copied again from the same state.
        if !copyist.begin_state(snapshot.state()) && touched.is_empty() {
            return Ok(snapshot);
        }
        for touched in touched {
            match touched {
                Touched::Rows(table, which) => {
                    copyist.copy_pack(&snapshot, table, &which, rows)?;
                }
                Touched::Namespace(namespace) => {
                    let prefix = namespace.0.to_be_bytes();
                    for table in Table::ALL {
                        rows.remove(table, &prefix, |_| true)?;
                    }
                }
            }
        }
        let namespaces = snapshot.namespaces()?.into_iter().map(|(_, namespace)| namespace);
        for namespace in namespaces.chain([NamespaceId::SYSTEM]) {
            copyist.copy_pack(&snapshot, Table::Meta, &keys::counters(namespace), rows)?;
        }
        Ok(snapshot)
    }

    /// Names a complete generation as the one in use.
    fn put_in_place(&self, current: &Current, place: Place) -> Result<()> {
        sync_directory(self.path()).map_err(|e| io_error(self.path(), "sync", &e))?;
        let Err(error) = current.publish(self.path()) else {
            place.keep();
            return Ok(());
        };
        // What did it come to? Only if nothing has changed can everything go on as before.
        let unchanged = Current::read(self.path())
            .is_ok_and(|now| now.generation() == self.generation().number());
        if !unchanged {
            place.keep();
            self.writer.poison();
        }
        Err(error)
    }
}

/// As long as it is there, it is noted what is written.
struct Noting<'s>(&'s Store);

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        self.0.writer.touched.want(false);
    }
}

/// The directory of a new generation, removed unless it is kept.
struct Place {
    directory: PathBuf,
    kept: bool,
}

impl Place {
    fn make(directory: PathBuf) -> Result<Self> {
        let failed = |doing, e: std::io::Error| write_error(&directory, doing, &e);
        match remove_generation(&directory) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed("remove what an earlier attempt left", e)),
        }
        fs::create_dir(&directory).map_err(|e| failed("create", e))?;
        Ok(Self { directory, kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            // At worst the next opening for writing removes it.
            drop(remove_generation(&self.directory));
        }
    }
}
