//! A new database of what reads of a damaged one, which stays as it is.
//!
//! - A row is saved as it was, or not at all: nothing is guessed, nothing is mended.
//! - What is primary is copied: names, namespaces, spaces, definitions, nodes, edges with their history,
//!   vectors, work, changes. What follows from that is made anew: ids, neighbours, hashes, labels, expiries
//!   and counters here, and what needs to know what an index means by whoever opens the result.
//! - An edge without one of its ends is not saved, nor is a vector without its node or its space, nor an
//!   object whose names were lost, nor one whose id another has.
//! - What was found on pages that may be of an earlier state is saved only if nothing shows that it is
//!   older than what was last stored, and is told of unless something shows that it is not.

mod copy;
mod derived;
mod history;
mod logged;
mod meta;
mod names;
mod records;
mod report;
mod source;
mod standing;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded_db_common::{Error, Options, Result};

use self::copy::Copy;
use self::logged::Logged;
use self::report::Register;
pub use self::report::{Amounts, Item, ObjectName, Salvaged};
use self::source::Source;
use crate::format::Current;
use crate::keys::{self, Table};
use crate::log::FoundLog;
use crate::new_file::{NewFile, Progress};
use crate::pages::{DamagedFile, Depth, Origin, SumsFile};
use crate::platform::{sync_directory, write_error};
use crate::staging::{Staging, check_free};
use crate::store::{Store, reserve_readers};

/// How directories in the making begin.
const STAGING: &str = ".embedded-db-repairing";

/// A database of what was saved, beside the place that it is for. It goes away unless it is put there.
pub struct Repairing {
    staging: Staging,
    salvaged: Salvaged,
    /// Work that waits may have been lost.
    lost_work: bool,
}

/// How far a repair is: it goes through the pages of the file, copies their rows, and makes the rest.
pub(super) struct Steps<'s, 'p> {
    progress: &'s mut Progress<'p>,
    pages: u64,
    rows: (u64, u64),
}

impl Steps<'_, '_> {
    /// Parts of the work, each as long as the file has pages.
    const PARTS: u64 = 4;
    /// Those in which rows are copied.
    const COPYING: u64 = 2;
    /// Rows between two calls of the progress.
    const ROWS: u64 = 1024;

    fn row(&mut self) -> Result<()> {
        let (done, all) = &mut self.rows;
        *done += 1;
        if !done.is_multiple_of(Self::ROWS) {
            return Ok(());
        }
        let share = u128::from((*done).min(*all)) * u128::from(self.pages * Self::COPYING);
        let copied = u64::try_from(share / u128::from((*all).max(1))).unwrap_or(0);
        (self.progress)(self.pages + copied, self.pages * Self::PARTS)
    }
}

impl Repairing {
    /// Saves what reads of a damaged database, to be put into a directory that does not exist or is empty.
    pub fn begin(path: &Path, target: &Path, progress: &mut Progress<'_>) -> Result<Self> {
        let target = std::path::absolute(target)
            .map_err(|e| Error::InvalidInput(format!("{target:?}: {e}; name a directory")))?;
        let source = Source::find(path)?;
        source.check_target(&target)?;
        check_free(&target)?;
        let Found { generation, file, logged, remarks } = Found::open(&source, progress)?;
        let staging = Staging::begin(&target, STAGING)?;
        let current = Current::first();
        let directory = current.directory(staging.directory());
        fs::create_dir(&directory).map_err(|e| write_error(&directory, "create", &e))?;
        let (options, like) = (Options::default(), file.length().saturating_mul(2));
        let new = NewFile::create_generation(staging.directory(), &directory, like, &options)?;
        let pages = file.pages().0;
        let rows = Table::ALL.into_iter().filter_map(|table| file.row_count(table));
        let rows = rows.fold(0_u64, u64::saturating_add).min(file.length());
        let steps = Steps { progress, pages, rows: (0, rows) };
        let copied = Copy::new(&file, &logged, new.rows(), steps).all()?;
        new.finish()?;
        if copied.is_nothing() {
            return Err(Error::Corruption {
                path: source.path,
                object: "the data file".into(),
                detail: "nothing of what it holds reads, so that nothing can be saved".into(),
            });
        }
        reserve_readers(&directory)?;
        sync_directory(&directory).map_err(|e| write_error(&directory, "sync", &e))?;
        current.publish(staging.directory())?;
        let lost_work = copied.lost_work;
        Ok(Self {
            staging,
            salvaged: copied.report(generation, &file, &logged, remarks),
            lost_work,
        })
    }

    /// Where it lies until then.
    pub fn staging(&self) -> &Path {
        self.staging.directory()
    }

    /// What was saved so far.
    pub fn salvaged(&self) -> &Salvaged {
        &self.salvaged
    }

    /// Whether work that waits may have been lost.
    pub fn lost_work(&self) -> bool {
        self.lost_work
    }

    /// How many steps of the progress there are, and of those, how many are left for what follows.
    pub fn steps(&self) -> (u64, u64) {
        let pages = self.salvaged.pages;
        (pages * Steps::PARTS, pages * (Steps::PARTS - 1 - Steps::COPYING))
    }

    /// Opens it to write what follows from its records.
    pub fn open(&self, options: &Options) -> Result<Arc<Store>> {
        let lock = self.staging.lock();
        let lock = lock.ok_or_else(|| Error::Internal("a repair without its lock".into()))?;
        Store::open_locked(self.staging.directory(), options, lock)
    }

    /// Puts it in its place, in one step.
    pub fn publish(self) -> Result<(PathBuf, Salvaged)> {
        let path = self.staging.publish("the database was repaired")?;
        Ok((path, self.salvaged))
    }
}

/// The generation that is in use, as far as the files tell.
struct Found {
    generation: u64,
    file: DamagedFile,
    logged: Logged,
    /// What is wrong with it as a whole.
    remarks: Vec<String>,
}

impl Found {
    fn open(source: &Source, progress: &mut Progress<'_>) -> Result<Self> {
        let mut remarks = source.remarks.clone();
        let mut failed = None;
        let mut generations = source.generations.iter();
        while let Some((number, directory)) = generations.next() {
            let mut found = match Self::of(&source.path, *number, directory, progress) {
                Ok(found) => found,
                Err(error @ Error::Corruption { .. }) => {
                    remarks.push(format!("generation {number} does not read"));
                    failed = failed.or(Some(error));
                    continue;
                }
                Err(other) => return Err(other),
            };
            // One that was to take its place was complete; without such a sign it was not.
            let later = generations.as_slice();
            let replaced = found.successor()?.is_some_and(|it| later.iter().any(|(n, _)| *n == it));
            if later.is_empty() || !replaced && found.file.origin() != Origin::Scanned {
                if source.generations.len() > 1 {
                    remarks.push(format!("generation {number} was read"));
                }
                remarks.append(&mut found.remarks);
                return Ok(Self { remarks, ..found });
            }
        }
        Err(failed.unwrap_or_else(|| Error::Internal("no generation to repair".into())))
    }

    fn of(
        database: &Path,
        generation: u64,
        directory: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let mut remarks = Vec::new();
        let log = FoundLog::read(database, directory);
        let is_lost = log.is_err();
        let log = log.unwrap_or_else(|why| {
            remarks.push(why);
            None
        });
        let mut done = 0;
        let mut step = |read, pages: u64| {
            done += read;
            progress(done.min(pages), pages * Steps::PARTS)
        };
        let mut file = DamagedFile::open(directory, log.as_ref(), &mut step)?;
        let mut logged = Logged::read(log.as_ref(), directory, &file, &mut remarks)?;
        // What the sums vouch for needs no log.
        logged.is_cut |= is_lost && !file.has_sums;
        let (owed, owed_frame) = SumsFile::owed_in(directory).unwrap_or_default();
        let (logged_to, frame) = log.as_ref().map_or((0, 0), |log| log.end(directory));
        let found = file.transaction().unwrap_or(0);
        let known = found.max(logged_to);
        if owed > known || owed > found && owed_frame > frame {
            logged.is_cut = true;
            remarks.push(format!(
                "the log ends with frame {frame} of transaction {logged_to}, and frame {owed_frame} of transaction \
                 {owed} was acknowledged"
            ));
        }
        let is_copied = |log: &FoundLog| log.is_put_back && log.is_of_this_boot(directory);
        if logged.is_cut
            && log.as_ref().is_some_and(is_copied)
            && let Some(newest) = DamagedFile::open_copied(directory, &mut step)?
            && newest.transaction().is_some_and(|newest| newest > known)
        {
            remarks.push(
                "the newest state of the data file was read, which the log does not have".into(),
            );
            (file, logged) = (newest, Logged::cut());
        }
        remarks.extend(file.remarks.iter().cloned());
        Ok(Self { generation, file, logged, remarks })
    }

    /// The generation that was to take its place.
    fn successor(&self) -> Result<Option<u64>> {
        let (key, mut found) = (keys::successor(), None);
        let mut read = |payload: &[u8]| found = payload.try_into().ok().map(u64::from_be_bytes);
        self.file.rows(Table::Meta, Depth::State, &mut |row| {
            if row.key == key.as_slice() {
                read(row.payload);
            }
            Ok(())
        })?;
        for (_, of, sealed) in self.logged.rows(Table::Meta) {
            if of == key.as_slice() {
                let (payload, _) = sealed.split_at(sealed.len().saturating_sub(4));
                read(payload);
            }
        }
        Ok(found)
    }
}
