//! The redo log: what makes a durable write cost one small sync.
//!
//! A commit of LMDB puts some twenty pages on the disk. With the log it only tells the system of them, after
//! a frame that says the same in a few hundred bytes is on the disk. A generation is in one of two modes:
//!
//! - **plain**: LMDB syncs its commits by itself; the newest [checkpoint] says that the data file is on the
//!   disk as it is.
//! - **logged**: LMDB commits without syncs. The newest checkpoint names a state whose pages are all on the
//!   disk, and a read transaction of ours keeps them from being written to. Every group after that state
//!   is a frame of the log, on the disk before it is acknowledged (or, with `relaxed`, soon after); LMDB commits
//!   one or several of them at once.
//!
//! So after a power cut the meta pages of the checkpoint are put back, and the frames done again; after the
//! death of the process the data file is right as it is, but for the frames of the last transaction ([recovery]). Each
//! checkpoint begins a stretch of the log, in that of two files whose frames lie before the last checkpoint.
//!
//! The lock of a log is taken after that of the leader of writers, never before.

mod changes;
mod checkpoint;
mod file;
mod found;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod keeper;
mod recovery;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use embedded_db_common::log::{self, Level};
use embedded_db_common::{Durability, Error, Result};
use heed::{EnvFlags, FlagSetMode, RoTxn, WithoutTls};

pub(crate) use self::changes::{Change, Changes, read as read_changes};
use self::checkpoint::{Checkpoint, CheckpointFile};
use self::file::LogFile;
pub(crate) use self::found::FoundLog;
use self::frame::Frame;
pub(crate) use self::keeper::Keeper;
pub(crate) use self::recovery::{Recovery, redo, require_recovered};
use crate::figures::LogFigures;
use crate::pages::{SumsFile, View};
use crate::panics::{caught, planted};
use crate::platform::{self, io_error, sync_directory, sync_error, write_error};
use crate::store::Generation;

/// Bytes that commits write before a checkpoint is due: a quarter of the file, within these bounds. Until
/// then their pages are not used again. The unit tests say by themselves when there is one.
const DUE: [u64; 2] = if cfg!(any(test, fuzzing)) { [64 << 20; 2] } else { [2 << 20, 64 << 20] };
/// So many times as much makes writers wait for the checkpoint.
const TOO_MUCH: u64 = 4;
/// After the first commit that a checkpoint does not have.
const CHECKPOINT_EVERY: Duration =
    Duration::from_secs(if cfg!(any(test, fuzzing)) { 3600 } else { 1 });
/// With less room than that beside what is written until two checkpoints have passed, nothing is logged:
/// a full disk then fails a commit as a whole, before it is acknowledged.
const LEAST_ROOM: u64 = 8 << 20;
/// Most commits that a power cut takes with it when they are not synced one by one.
const RELAXED_MOST: u64 = 1000;

/// The log of a generation.
pub(crate) struct Log {
    directory: PathBuf,
    checkpoints: CheckpointFile,
    can_recover: bool,
    /// Whether every frame is synced before what it is of is acknowledged.
    is_durable: bool,
    data: File,
    sums: Arc<SumsFile>,
    state: Mutex<State>,
    /// A checkpoint was completed, or given up.
    ended: Condvar,
    pub(crate) figures: LogFigures,
}

struct State {
    /// The last checkpoint that was written.
    last: Option<Checkpoint>,
    /// `None` with `durability="memory"`.
    files: Option<[LogFile; 2]>,
    logged: Option<Logged>,
    /// A checkpoint is being made by somebody who does not hold the locks.
    being_made: bool,
    /// Why one could not be made: nothing more may be acknowledged.
    failed: Option<Error>,
    /// How many frames were taken back.
    taken_back: u64,
}

/// What is there while commits are logged.
struct Logged {
    pin: Pin,
    /// That frames are written to; `None` while the log is read.
    file: Option<usize>,
    /// Bytes that commits have written since the checkpoint, and when the first of them was.
    written: u64,
    since: Option<Instant>,
    /// The last frame that was appended, the last that LMDB has committed, and the last that is on the disk.
    appended: u64,
    committed: u64,
    synced: u64,
    unsynced_since: Option<Instant>,
}

/// Keeps the pages of a state from being written to.
pub(crate) struct Pin {
    txn: Option<RoTxn<'static, WithoutTls>>,
    forks: u32,
}

impl Pin {
    /// Pins the newest state, which nobody replaces meanwhile.
    fn of(generation: &Generation, newest: &View) -> Result<Self> {
        let txn = generation.pin()?;
        if txn.id() as u64 != newest.transaction() {
            return Err(Error::Internal("the state that is pinned is not the newest".into()));
        }
        Ok(Self { txn: Some(txn), forks: platform::fork_generation() })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let txn = self.txn.take();
        if self.forks != platform::fork_generation() {
            // The reader slot belongs to the parent.
            std::mem::forget(txn);
        }
    }
}

/// A checkpoint that is being made: its state does not change any more, but may not be on the disk yet.
pub(crate) struct Pending {
    checkpoint: Checkpoint,
    pin: Pin,
    /// Bytes that were written before it.
    written: u64,
}

/// How a commit is made durable.
pub(crate) enum Way {
    /// LMDB syncs it.
    Synced,
    /// Its frame is in the log.
    Logged {
        /// From this place on.
        begin: u64,
        /// Its number.
        frame: u64,
    },
}

impl Way {
    /// The commit came to nothing.
    pub(crate) fn take_back(&self, generation: &Generation) -> Result<()> {
        match self {
            Self::Synced => Ok(()),
            Self::Logged { begin, .. } => generation.log()?.take_back(*begin),
        }
    }

    /// What is done for the data file by itself.
    pub(crate) fn durability(&self, wanted: Durability) -> Durability {
        match (self, wanted) {
            (Self::Synced, Durability::Durable | Durability::Relaxed) => Durability::Durable,
            _ => Durability::Memory,
        }
    }
}

/// When something is to be done, by the [`Keeper`] or by a writer that comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Due {
    pub(crate) checkpoint: Option<Instant>,
    pub(crate) sync: Option<Instant>,
}

impl Log {
    /// Of a data file and its sums; nothing is logged yet. `last` is the last checkpoint of the file.
    pub(crate) fn new(
        directory: &Path,
        data: File,
        sums: Arc<SumsFile>,
        last: Option<Checkpoint>,
        durability: Durability,
    ) -> Result<Self> {
        let checkpoints = CheckpointFile::open(directory)?;
        let files = match durability {
            Durability::Memory => None,
            _ => {
                let files = LogFile::open_both(directory)?;
                sync_directory(directory)
                    .map_err(|error| write_error(directory, "sync it", &error))?;
                Some(files)
            }
        };
        let (logged, being_made, failed, taken_back) = Default::default();
        let state = Mutex::new(State { last, files, logged, being_made, failed, taken_back });
        let (directory, ended) = (directory.to_owned(), Condvar::new());
        let can_recover = platform::file_place(&data).is_some();
        let figures = LogFigures::default();
        let is_durable = durability == Durability::Durable;
        Ok(Self {
            directory,
            checkpoints,
            can_recover,
            is_durable,
            data,
            sums,
            state,
            ended,
            figures,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When nobody makes a checkpoint.
    fn lock_at_rest(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        let at_rest = self.ended.wait_while(state, |state| state.being_made);
        let state = at_rest.unwrap_or_else(PoisonError::into_inner);
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(state),
        }
    }

    /// Before a commit on top of a state: begins to log, or ends it, as there is room on the disk.
    pub(crate) fn choose(&self, generation: &Generation, newest: &View) -> Result<()> {
        // Where boots cannot be told apart nobody could know whether a checkpoint must be put back.
        let room = if self.can_recover { platform::free_space(&self.directory) } else { Some(0) };
        let enough = room.unwrap_or(u64::MAX) >= LEAST_ROOM + 2 * TOO_MUCH * self.due_at()?;
        let state = self.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let is_logged = state.logged.is_some();
        drop(state);
        match (is_logged, enough) {
            (false, true) => self.begin(generation, newest),
            (true, false) => self.end(generation, newest),
            _ => Ok(()),
        }
    }

    /// Bytes that make a checkpoint due.
    fn due_at(&self) -> Result<u64> {
        let length = platform::file_length(&self.data);
        let length = length.map_err(|error| io_error(&self.directory, "look at it", &error))?;
        Ok((length / 4).clamp(DUE[0], DUE[1]))
    }

    /// Begins to log what follows a state.
    fn begin(&self, generation: &Generation, newest: &View) -> Result<()> {
        let mut state = self.lock_at_rest()?;
        let stretch = state.last.as_ref().map_or(0, |last| last.stretch) + 1;
        let salt = RandomState::new().build_hasher().finish();
        let frame = state.last_frame();
        let mut logged = self.pinned(&mut state, generation, newest, stretch, salt, frame)?;
        logged.file = state.begin_stretch(stretch, salt);
        state.logged = Some(logged);
        set_synced(generation, false)
    }

    /// Pins the state that was found, from which frames are done again: those behind one of them, if any.
    fn pin_found(&self, generation: &Generation, newest: &View, before: Option<u64>) -> Result<()> {
        let mut state = self.lock_at_rest()?;
        let (stretch, salt) = state.last.as_ref().map_or((0, 0), |last| (last.stretch, last.salt));
        // The last checkpoint stays as it is: should this one fail, frames are done again behind that one.
        let frame = before.unwrap_or_else(|| state.last_frame());
        let logged = self.pinned(&mut state, generation, newest, stretch, salt, frame)?;
        state.logged = Some(logged);
        set_synced(generation, false)
    }

    /// The state has this frame now, which was found.
    fn redone(&self, frame: Option<u64>) {
        let mut state = self.lock();
        if let (Some(logged), Some(frame)) = (&mut state.logged, frame) {
            (logged.appended, logged.committed, logged.synced) = (frame, frame, frame);
        }
    }

    /// Pins the newest state instead of the one that is pinned; what is logged goes on behind it where it is, with
    /// the frames that the state does not have. `between` runs while nothing is pinned. Nobody may be writing.
    pub(crate) fn move_pin(
        &self,
        generation: &Generation,
        newest: &View,
        between: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut guard = self.lock_at_rest()?;
        let state = &mut *guard;
        let Some(logged) = &state.logged else {
            drop(guard);
            return between();
        };
        let frame = logged.committed;
        let (stretch, salt) = state.last.as_ref().map_or((0, 0), |last| (last.stretch, last.salt));
        let moved = self.sync_data().and_then(|()| {
            let checkpoint = self.checkpoint(state, newest, true, stretch, salt, frame)?;
            self.count_on(&checkpoint)?;
            Ok(checkpoint)
        });
        match moved {
            Ok(checkpoint) => state.last = Some(checkpoint),
            Err(error) => {
                self.distrust(state);
                return Err(error);
            }
        }
        let Some(logged) = &mut state.logged else { return Ok(()) };
        (logged.written, logged.since) = (0, None);
        logged.pin.txn = None;
        let done = between();
        match Pin::of(generation, newest) {
            Ok(pin) => logged.pin = pin,
            // That has lost the map.
            Err(error) => return Err(done.err().unwrap_or(error)),
        }
        done
    }

    /// Pins a state, and makes it a checkpoint; it has this frame.
    fn pinned(
        &self,
        state: &mut State,
        generation: &Generation,
        newest: &View,
        stretch: u64,
        salt: u64,
        frame: u64,
    ) -> Result<Logged> {
        let pin = Pin::of(generation, newest)?;
        let checkpoint = self.checkpoint(state, newest, true, stretch, salt, frame)?;
        self.sync_data()?;
        self.count_on(&checkpoint)?;
        state.last = Some(checkpoint);
        Ok(Logged {
            pin,
            file: None,
            written: 0,
            since: None,
            appended: frame,
            committed: frame,
            synced: frame,
            unsynced_since: None,
        })
    }

    /// A checkpoint of the newest state.
    fn checkpoint(
        &self,
        state: &State,
        newest: &View,
        in_use: bool,
        stretch: u64,
        salt: u64,
        frame: u64,
    ) -> Result<Checkpoint> {
        let number = state.last.as_ref().map_or(0, |last| last.number) + 1;
        let place = platform::file_place(&self.data).unwrap_or_default();
        let (metas, sums) = newest.meta_pages()?;
        let transaction = newest.transaction();
        let is_durable = in_use && self.is_durable;
        Ok(Checkpoint {
            number,
            in_use,
            is_durable,
            place,
            transaction,
            stretch,
            salt,
            metas,
            sums,
            frame,
        })
    }

    /// Writes a checkpoint whose state is on the disk. Pages of the one before may be written to from here on: should
    /// the disk lose this one, it can be told.
    fn count_on(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.checkpoints.write(checkpoint)?;
        self.sums.has_checkpoint(checkpoint.number);
        Ok(())
    }

    /// All that was written to the data file and its sums is on the disk.
    fn sync_data(&self) -> Result<()> {
        self.data
            .sync_data()
            .map_err(|error| sync_error(&self.directory.join("data.mdb"), &error))?;
        self.sums.sync()
    }

    /// Ends the log: the newest state is on the disk as it is. Nobody may be writing.
    pub(crate) fn end(&self, generation: &Generation, newest: &View) -> Result<()> {
        let mut state = self.lock_at_rest()?;
        if state.logged.is_none() {
            return self.hold(&mut state, newest);
        }
        // Should the disk lose this checkpoint, nothing is lost with it.
        let unsynced = state.in_use().filter(|(logged, _)| logged.synced < logged.appended);
        let synced = unsynced.map_or(Ok(()), |(_, file)| file.sync());
        let end = || {
            synced?;
            self.sync_data()?;
            // A stretch may have been begun whose checkpoint came to nothing.
            let stretch = state.last.as_ref().map_or(0, |last| last.stretch) + 1;
            let checkpoint =
                self.checkpoint(&state, newest, false, stretch, 0, state.last_frame())?;
            self.checkpoints.write(&checkpoint)?;
            set_synced(generation, true)?;
            Ok(checkpoint)
        };
        match end() {
            Ok(checkpoint) => {
                state.last = Some(checkpoint);
                state.logged = None;
                Ok(())
            }
            Err(error) => {
                self.distrust(&state);
                Err(error)
            }
        }
    }

    /// Puts a checkpoint on the disk that was found: whoever wrote it may have been killed before it was there, and
    /// the one before it would be put back, to whose pages is written from here on.
    fn write_again(&self, found: &Checkpoint) -> Result<()> {
        self.checkpoints.write(found)
    }

    /// A state that is on the disk as it is, which is not logged: the file that tells so holds the data file to it.
    pub(crate) fn hold_to(&self, newest: &View) -> Result<()> {
        self.hold(&mut *self.lock_at_rest()?, newest)
    }

    fn hold(&self, state: &mut State, newest: &View) -> Result<()> {
        let is_told = |last: &Checkpoint| last.transaction == newest.transaction();
        if state.files.is_none() || state.last.as_ref().is_some_and(is_told) {
            return Ok(());
        }
        self.sums.sync()?;
        let stretch = state.last.as_ref().map_or(0, |last| last.stretch);
        let checkpoint = self.checkpoint(state, newest, false, stretch, 0, state.last_frame())?;
        self.count_on(&checkpoint)?;
        state.last = Some(checkpoint);
        Ok(())
    }

    /// Whether a checkpoint was begun and does not count yet. Only who leads the writers begins one.
    pub(crate) fn is_being_made(&self) -> bool {
        self.lock().being_made
    }

    /// Whether commits are logged.
    pub(crate) fn is_in_use(&self) -> bool {
        self.lock().in_use().is_some()
    }

    /// Whether there is room for a frame of changes: one that is too large, or for which the file would be, is none.
    pub(crate) fn takes(&self, changes: &Changes) -> bool {
        let Some(bytes) = changes.as_bytes() else { return false };
        self.lock().in_use().is_none_or(|(_, file)| file.has_room(bytes.len()))
    }

    /// Before a group on top of a state is acknowledged: its frame is in the log, if it is logged, and on the disk,
    /// if it is durable.
    pub(crate) fn append(
        &self,
        generation: &Generation,
        before: &View,
        lsn: u64,
        changes: &Changes,
        durability: Durability,
    ) -> Result<Way> {
        let Some(changes) = changes.as_bytes().filter(|_| self.takes(changes)) else {
            return self.end(generation, before).map(|()| Way::Synced);
        };
        let mut state = self.lock();
        // A sync or a checkpoint that was made meanwhile.
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let Some((logged, file)) = state.in_use() else { return Ok(Way::Synced) };
        let (number, begin) = (logged.appended + 1, file.end());
        let transaction = before.transaction() + 1;
        let frame = Frame { number, transaction, synced: logged.synced, lsn, changes };
        let at_once = durability == Durability::Durable || number - logged.synced >= RELAXED_MOST;
        // A part of a frame, where there was no room for it, is none.
        file.append(&frame)?;
        if at_once {
            if let Err(error) = self.figures.sync(|| file.sync()) {
                file.take_back(begin)?;
                return Err(error);
            }
            (logged.synced, logged.unsynced_since) = (number, None);
        } else {
            logged.unsynced_since.get_or_insert_with(Instant::now);
        }
        logged.appended = number;
        Ok(Way::Logged { begin, frame: number })
    }

    /// The group of the last frame, which begins there, came to nothing.
    fn take_back(&self, begin: u64) -> Result<()> {
        let mut state = self.lock();
        let Some((logged, file)) = state.in_use() else { return Ok(()) };
        file.take_back(begin)?;
        logged.appended -= 1;
        // All before it went to the disk with that.
        logged.synced = logged.appended;
        logged.unsynced_since = None;
        state.taken_back += 1;
        Ok(())
    }

    /// After a commit that wrote so many bytes: when what is due. Waits while too much has been written.
    pub(crate) fn committed(&self, after: &View, bytes: u64, window: Duration) -> Result<Due> {
        let due = self.due_at()?;
        let mut state = self.lock();
        let Some(logged) = &mut state.logged else {
            // Elsewhere nothing is ever logged, and every commit would take twice as long.
            let holds = if self.can_recover { self.hold(&mut state, after) } else { Ok(()) };
            return match holds {
                // The commit itself is on the disk, and an older checkpoint is right as well.
                Ok(()) | Err(Error::StorageFull { .. }) => Ok(Due::default()),
                Err(error) => Err(error),
            };
        };
        let now = Instant::now();
        logged.committed = logged.appended;
        logged.written += bytes;
        let since = *logged.since.get_or_insert(now);
        let sync = logged.unsynced_since.map(|since| since + window);
        let checkpoint = if logged.written >= due { now } else { since + CHECKPOINT_EVERY };
        if logged.written >= TOO_MUCH * due {
            drop(state);
            drop(self.lock_at_rest()?);
        }
        Ok(Due { checkpoint: Some(checkpoint), sync })
    }

    /// Begins a checkpoint of the newest state, unless one is being made; [`Log::complete`] makes it count.
    /// Nobody may be writing.
    pub(crate) fn begin_checkpoint(
        &self,
        generation: &Generation,
        newest: &View,
    ) -> Result<Option<Pending>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.being_made || state.failed.is_some() {
            return Ok(None);
        }
        let Some(last) = &state.last else { return Ok(None) };
        let (stretch, salt) = (last.stretch + 1, last.salt);
        let checkpoint = self.checkpoint(state, newest, true, stretch, salt, state.last_frame())?;
        let Some((logged, file)) = state.in_use().filter(|(logged, _)| logged.since.is_some())
        else {
            return Ok(None);
        };
        if logged.synced < logged.appended {
            file.sync()?;
            (logged.synced, logged.unsynced_since) = (logged.appended, None);
        }
        let pin = Pin::of(generation, newest)?;
        logged.since = None;
        let written = logged.written;
        let file = state.begin_stretch(stretch, salt);
        if let Some(logged) = &mut state.logged {
            logged.file = file;
        }
        state.being_made = true;
        Ok(Some(Pending { checkpoint, pin, written }))
    }

    /// Makes a checkpoint count.
    pub(crate) fn complete(&self, pending: Pending) -> Result<()> {
        let Pending { checkpoint, pin, written } = pending;
        let healthy = || self.lock().failed.clone().map_or(Ok(()), Err);
        let make = || {
            planted("checkpoint");
            self.sync_data().and_then(|()| healthy()).and_then(|()| self.count_on(&checkpoint))
        };
        // Whoever closes the log waits for its end.
        let done = caught("a checkpoint", make);
        let mut state = self.lock();
        state.being_made = false;
        match &done {
            Ok(()) => {
                state.last = Some(checkpoint);
                self.figures.checkpoints.fetch_add(1, Relaxed);
                if let Some(logged) = &mut state.logged {
                    logged.pin = pin;
                    logged.written -= written;
                }
            }
            Err(error) => {
                log::log(Level::Error, "storage", "a checkpoint failed", || {
                    [("error", error.code().into())]
                });
                state.failed = Some(error.clone());
                self.distrust(&state);
            }
        }
        drop(state);
        self.ended.notify_all();
        done
    }

    /// How many groups of writers are not on the disk yet.
    pub(crate) fn unsynced(&self) -> u64 {
        self.lock().logged.as_ref().map_or(0, |logged| logged.appended - logged.synced)
    }

    /// A synchronisation of the data file has failed, so that nobody knows what of it is on the disk. Nobody may be
    /// writing.
    pub(crate) fn distrust_data(&self, error: &Error) {
        let mut state = self.lock();
        // A checkpoint that is being made would not be told of it again.
        state.failed.get_or_insert_with(|| error.clone());
        let at_rest = self.ended.wait_while(state, |state| state.being_made);
        self.distrust(&at_rest.unwrap_or_else(PoisonError::into_inner));
    }

    /// The data file may not be what the system tells of it: the next opening puts the last checkpoint back.
    fn distrust(&self, state: &State) {
        if let Some(last) = state.last.as_ref().filter(|last| last.in_use) {
            let distrusted = Checkpoint { number: last.number + 1, place: [0; 5], ..last.clone() };
            // If that fails too, what was synced is still found, and sums tell what was lost.
            drop(self.checkpoints.write(&distrusted));
        }
    }

    /// Puts what was appended on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut state = self.lock();
        let Some((logged, file)) = state.in_use() else { return Ok(()) };
        let appended = logged.appended;
        if logged.synced >= appended {
            return Ok(());
        }
        let (path, file) = file.shared();
        let taken_back = state.taken_back;
        // Writers go on meanwhile.
        drop(state);
        let begun = Instant::now();
        let synced = self.figures.sync(|| file.sync_data());
        let mut state = self.lock();
        if let Err(error) = synced {
            let error = sync_error(&path, &error);
            state.failed = Some(error.clone());
            return Err(error);
        }
        // The last of them may have been taken back meanwhile, and another one have its number.
        let same = state.taken_back == taken_back;
        if let Some(logged) = state.logged.as_mut().filter(|_| same) {
            logged.synced = logged.synced.max(appended);
            logged.unsynced_since = (logged.appended > logged.synced).then_some(begun);
        }
        Ok(())
    }
}

impl State {
    /// The last frame that was appended.
    fn last_frame(&self) -> u64 {
        let last = || self.last.as_ref().map_or(0, |last| last.frame);
        self.logged.as_ref().map_or_else(last, |logged| logged.appended)
    }

    /// While commits are logged, with the file that takes them.
    fn in_use(&mut self) -> Option<(&mut Logged, &mut LogFile)> {
        let (logged, files) = (self.logged.as_mut()?, self.files.as_mut()?);
        let file = files.get_mut(logged.file?)?;
        Some((logged, file))
    }

    /// Begins a stretch; which file takes it.
    fn begin_stretch(&mut self, stretch: u64, salt: u64) -> Option<usize> {
        let which = (stretch & 1) as usize;
        self.files.as_mut()?.get_mut(which)?.begin(stretch, salt);
        Some(which)
    }
}

/// Whether LMDB syncs its commits. Nobody may be writing.
fn set_synced(generation: &Generation, synced: bool) -> Result<()> {
    let mode = if synced { FlagSetMode::Disable } else { FlagSetMode::Enable };
    // SAFETY: without syncs, the log and a checkpoint stand for what is not on the disk.
    #[allow(unsafe_code)]
    let set = unsafe { generation.env.set_flags(EnvFlags::NO_SYNC, mode) };
    set.map_err(|error| generation.lmdb_error(error))
}
