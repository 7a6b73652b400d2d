//! What a writer that did not close has left: putting a checkpoint back, and doing frames again.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use embedded_db_common::log::{self, Level};
use embedded_db_common::record::{self, Damaged};
use embedded_db_common::{Durability, Error, Options, Result};
use heed::MdbError::MapFull;

use super::changes::{self, Change};
use super::checkpoint::{self, Checkpoint, CheckpointFile};
use super::file::{self, Stretch};
use super::frame::Frame;
use super::set_synced;
use crate::data_file;
use crate::keys::Table;
use crate::pages::{Meta, SumsFile, View, newest_meta};
use crate::platform::{
    self, Lock, WriterLock, io_error, is_same_file_of_boot, write_at, write_error,
};
use crate::store::Generation;

/// What was found of a generation before anything else of it was read.
pub(crate) struct Recovery {
    last: Option<Checkpoint>,
    /// What lies behind it.
    stretches: Vec<Stretch>,
    /// Nobody reads what was put back before all is done again.
    alone: Option<Lock>,
}

/// Before a reader reads a data file: it is the one that was written. Gives what keeps it so.
pub(crate) fn require_recovered(
    database: &Path,
    directory: &Path,
    options: &Options,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<Option<Lock>> {
    let path = checkpoint::path_of(directory);
    let Some(lock) = Lock::shared(&path, options.lock_timeout, interrupted)? else {
        return checkpoint::require(directory).map(|()| None);
    };
    let Some(last) = checkpoint::newest(directory)? else { return Ok(Some(lock)) };
    if !last.in_use {
        return newest_of(&last, database, directory).map(|_| Some(lock));
    }
    file::require_both(directory)?;
    match Whereabouts::of(&last, directory)? {
        // Who writes through another mount has the same file in use.
        Whereabouts::There | Whereabouts::OtherMount if WriterLock::is_held(database) => {
            Ok(Some(lock))
        }
        Whereabouts::There => require_frames(&last, directory, true).map(|_| Some(lock)),
        _ => Err(Error::RecoveryNeeded { path: database.to_owned() }),
    }
}

/// Where the data file lies, of which a checkpoint tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Where the system has what was written to it.
    There,
    /// In the same boot, but seen through another mount: from a container, or after it was mounted anew.
    OtherMount,
    Elsewhere,
}

impl Whereabouts {
    pub(super) fn of(checkpoint: &Checkpoint, directory: &Path) -> Result<Self> {
        let path = directory.join("data.mdb");
        platform::require_file(&path)?;
        let file = File::open(&path).map_err(|error| io_error(&path, "open it", &error))?;
        Ok(match platform::file_place(&file) {
            Some(place) if place == checkpoint.place => Self::There,
            Some(place) if is_same_file_of_boot(&place, &checkpoint.place) => Self::OtherMount,
            _ => Self::Elsewhere,
        })
    }
}

impl Recovery {
    /// Before a writer reads a data file: what the last one left is the one that was written, or the
    /// state of its last checkpoint.
    pub(crate) fn begin(
        database: &Path,
        directory: &Path,
        is_published: bool,
        options: &Options,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        if is_published {
            checkpoint::require(directory)?;
        }
        // It is there before anybody reads the data file.
        CheckpointFile::open(directory)?;
        let last = checkpoint::newest(directory)?;
        if last.as_ref().is_some_and(Checkpoint::cannot_be_counted_on) {
            return Err(checkpoint::impossible(directory));
        }
        let as_it_is = |last, stretches| Ok(Self { last, stretches, alone: None });
        let Some(found) = &last else { return as_it_is(last, Vec::new()) };
        if !found.in_use {
            let newest = newest_of(found, database, directory)?;
            if let Some(newest) = newest.filter(|it| it.transaction == found.transaction) {
                SumsFile::hold(directory, newest.page_size, found.transaction, found.sums)?;
            }
            return as_it_is(last, Vec::new());
        }
        file::require_both(directory)?;
        let whereabouts = Whereabouts::of(found, directory)?;
        let timeout = match whereabouts {
            Whereabouts::There => {
                let stretches = require_frames(found, directory, true)?;
                return as_it_is(last, stretches);
            }
            Whereabouts::OtherMount => Duration::ZERO,
            Whereabouts::Elsewhere => options.lock_timeout,
        };
        let alone = Lock::alone(&checkpoint::path_of(directory), timeout, interrupted)?;
        if alone.is_none() && whereabouts == Whereabouts::OtherMount {
            // Who reads it has it from before: it was not mounted anew since.
            let stretches = require_frames(found, directory, true)?;
            return as_it_is(last, stretches);
        }
        if let Some(lost) = lost_behind(found, directory)? {
            return Err(Error::Corruption {
                path: checkpoint::path_of(directory),
                object: "the last checkpoint".into(),
                detail: lost,
            });
        }
        let alone = alone.ok_or_else(|| Error::StorageError {
            path: database.to_owned(),
            detail: "it must be recovered, but other processes still have it open; close them"
                .into(),
        })?;
        // The data file tells more before that than after it.
        let stretches = require_frames(found, directory, false)?;
        put_back(found, directory)?;
        Ok(Self { last, stretches, alone: Some(alone) })
    }

    /// The last checkpoint, from which a log goes on.
    pub(crate) fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// Does again what the data file does not have, and ends the log.
    pub(crate) fn complete(
        self,
        database: &Path,
        generation: &Generation,
        options: &Options,
    ) -> Result<()> {
        let log = generation.log()?;
        let Some(last) = self.last else { return Ok(()) };
        if !last.in_use {
            let is_synced = options.durability != Durability::Memory;
            return if is_synced { log.write_again(&last) } else { Ok(()) };
        }
        let mut newest = generation.page_file.newest()?;
        let frames = missing_frames(database, &self.stretches, &last, newest.transaction())?;
        let before = frames.first().map(|frame| frame.number - 1);
        log.pin_found(generation, &newest, before)?;
        if !frames.is_empty() {
            log::log(Level::Info, "storage", "what the log has is done again", || {
                [("groups", (frames.len() as u64).into())]
            });
        }
        // What was one transaction becomes one again.
        for frames in frames.chunk_by(|one, next| one.transaction == next.transaction) {
            loop {
                match apply(generation, &newest, frames)? {
                    Some(after) => {
                        newest = after;
                        log.redone(frames.last().map(|frame| frame.number));
                        break;
                    }
                    // The map must grow, under which nothing may be pinned.
                    None => log.move_pin(generation, &newest, &mut || {
                        generation.grow(options.map_size_max, &false.into())
                    })?,
                }
            }
        }
        log.end(generation, &newest)?;
        if options.durability == Durability::Memory {
            set_synced(generation, false)?;
        }
        drop(self.alone);
        Ok(())
    }
}

/// What the log has behind a checkpoint, up to all that was acknowledged as far as anything tells of that. In its
/// place the data file has commits, and what is owed is in the frames. Elsewhere a commit of which the data file
/// tells was synced in the log before, if all were.
fn require_frames(last: &Checkpoint, directory: &Path, is_in_place: bool) -> Result<Vec<Stretch>> {
    let mut stretches = Vec::new();
    for number in [last.stretch, last.stretch + 1] {
        stretches.extend(Stretch::read(directory, number, last.salt)?);
    }
    let newest = newest_in(directory)?.map_or(0, |newest| newest.transaction);
    let (owed, owed_frame) = SumsFile::owed_in(directory)?;
    let logged = file::following(&stretches, last.frame + 1).last();
    let logged = logged.map(|frame| (frame.transaction, frame.number));
    let (logged, frame) = logged.unwrap_or((last.transaction, last.frame));
    let (wanted, wanted_frame) = match is_in_place {
        // What is in the data file needs no frame.
        true if newest >= owed => return Ok(stretches),
        true => (owed, owed_frame),
        false if last.is_durable => (newest.max(owed), owed_frame),
        false => return Ok(stretches),
    };
    if logged >= wanted && frame >= wanted_frame {
        return Ok(stretches);
    }
    Err(Error::Corruption {
        path: directory.to_owned(),
        object: "the log in log.0 and log.1".into(),
        detail: format!(
            "ends with frame {frame} of transaction {logged}, and frame {wanted_frame} of transaction {wanted} was \
             acknowledged"
        ),
    })
}

/// Why a checkpoint cannot be put back, if there was a later one: pages of its state may have been written to since.
pub(super) fn lost_behind(checkpoint: &Checkpoint, directory: &Path) -> Result<Option<String>> {
    let later = SumsFile::later_checkpoint(directory, checkpoint.number)?;
    Ok(later.map(|later| {
        format!(
            "is number {}, but number {later} was written: the disk has lost it",
            checkpoint.number
        )
    }))
}

/// What the newest meta page of the data file says; `None` if it has none that reads.
fn newest_in(directory: &Path) -> Result<Option<Meta>> {
    let path = directory.join("data.mdb");
    let newest = File::open(&path).and_then(|mut file| newest_meta(&mut file));
    newest.map_err(|error| io_error(&path, "read its meta pages", &error))
}

/// What the newest meta page of a data file says that is on the disk as it is. It is not older than the last
/// checkpoint tells; `None` if it is no meta page.
fn newest_of(last: &Checkpoint, database: &Path, directory: &Path) -> Result<Option<Meta>> {
    let newest = newest_in(directory)?;
    match newest.filter(|newest| newest.transaction < last.transaction) {
        None => Ok(newest),
        Some(older) => Err(Error::Corruption {
            path: database.to_owned(),
            object: "data.mdb".into(),
            detail: last.lost(older.transaction),
        }),
    }
}

/// Puts the meta pages of a checkpoint back, and tells the sums that they are right for it.
fn put_back(checkpoint: &Checkpoint, directory: &Path) -> Result<()> {
    let path = directory.join("data.mdb");
    let failed = |error: std::io::Error| write_error(&path, "put its last checkpoint back", &error);
    let damaged = |detail: &str| Error::Corruption {
        path: checkpoint::path_of(directory),
        object: "the last checkpoint".into(),
        detail: detail.into(),
    };
    let metas = checkpoint.metas.iter().filter_map(Meta::parse);
    let newest = metas.max_by_key(|meta| meta.transaction);
    let newest = newest.ok_or_else(|| damaged("has no meta page"))?;
    if newest.transaction != checkpoint.transaction {
        return Err(damaged("has the meta pages of another state"));
    }
    let page_size = newest.page_size;
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
    for (number, meta) in checkpoint.metas.iter().enumerate() {
        write_at(&file, meta, (number * page_size) as u64).map_err(failed)?;
    }
    SumsFile::put_back(directory, page_size, checkpoint.transaction, checkpoint.sums)?;
    file.sync_data().map_err(failed)
}

/// The frames behind the newest state, each of which follows the one before.
fn missing_frames<'s>(
    database: &Path,
    stretches: &'s [Stretch],
    last: &Checkpoint,
    newest: u64,
) -> Result<Vec<Frame<'s>>> {
    let first = last.frame + 1;
    let mut frames: Vec<_> = file::following(stretches, first).collect();
    let wanted = frames.last().map_or(first, |frame| frame.number + 1);
    // What the newest state has needs no frame.
    if let Some(stretch) = stretches.iter().find(|stretch| stretch.proves(wanted, newest)) {
        return Err(file::missing(database, stretch, wanted));
    }
    frames.retain(|frame| frame.transaction > newest);
    Ok(frames)
}

/// Does the changes of frames of one transaction again, in a commit; the state that it leaves. `None` if the map
/// is full.
fn apply(
    generation: &Generation,
    before: &View,
    frames: &[Frame<'_>],
) -> Result<Option<Arc<View>>> {
    let Some(last) = frames.last() else { return Err(Error::Internal("no frame".into())) };
    generation.page_file.prepare(before)?;
    let failed = |error| generation.lmdb_error(error);
    let mut txn = generation.env.write_txn().map_err(failed)?;
    for frame in frames {
        if !redo(generation, before, &mut txn, frame.number, frame.changes)? {
            return Ok(None);
        }
    }
    match txn.commit() {
        Ok(()) => {}
        Err(heed::Error::Mdb(MapFull)) => return Ok(None),
        Err(error) => {
            return Err(match data_file::write_failed(generation.path(), failed(error)) {
                // The log has it still.
                Error::StorageFull { path, detail, .. } => {
                    Error::StorageFull { path, detail, is_kept: true }
                }
                other => other,
            });
        }
    }
    let (after, _) = generation.cover(before, Durability::Memory)?;
    if after.transaction() != last.transaction {
        return Err(damaged_frame(generation, last.number, Damaged("changes nothing")));
    }
    Ok(Some(after))
}

/// Does changes again in a transaction on top of a state; false if the map is full. They are those of the frame of
/// a number.
pub(crate) fn redo(
    generation: &Generation,
    before: &View,
    txn: &mut heed::RwTxn<'_>,
    number: u64,
    changes: &[u8],
) -> Result<bool> {
    let failed = |error| generation.lmdb_error(error);
    for change in changes::read(changes) {
        let change = change.map_err(|damaged| damaged_frame(generation, number, damaged))?;
        let done = match change {
            Change::Put { table, key, sealed } => put(generation, before, txn, table, key, sealed)?,
            Change::Patch { table, key, patch } => {
                before.check_way(table, key)?;
                let old = generation.table(table).get(txn, key).map_err(failed)?;
                let old = old.ok_or(Damaged("changes what is not there"));
                let sealed = old.and_then(|old| patch.apply(old));
                let sealed =
                    sealed.map_err(|damaged| damaged_frame(generation, number, damaged))?;
                put(generation, before, txn, table, key, &sealed)?
            }
            Change::Delete { table, key } => {
                before.check_removal(table, key)?;
                generation.table(table).delete(txn, key).map(drop)
            }
            Change::DeleteBetween { table, from, end } => {
                before.check_removals(table, from, end)?;
                let range = (std::ops::Bound::Included(from), std::ops::Bound::Excluded(end));
                generation.table(table).delete_range(txn, &range).map(drop)
            }
        };
        match done {
            Ok(()) => {}
            Err(heed::Error::Mdb(MapFull)) => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(true)
}

fn put(
    generation: &Generation,
    before: &View,
    txn: &mut heed::RwTxn<'_>,
    table: Table,
    key: &[u8],
    sealed: &[u8],
) -> Result<heed::Result<()>> {
    before.check_way(table, key)?;
    record::open(table as u8, key, sealed).map_err(|damaged| Error::Corruption {
        path: generation.path().to_owned(),
        object: format!("a row of {} in the log", table.name()),
        detail: damaged.0.into(),
    })?;
    Ok(generation.table(table).put(txn, key, sealed))
}

fn damaged_frame(generation: &Generation, number: u64, damaged: Damaged) -> Error {
    Error::Corruption {
        path: generation.path().to_owned(),
        object: format!("frame {number} in the log"),
        detail: damaged.0.into(),
    }
}
