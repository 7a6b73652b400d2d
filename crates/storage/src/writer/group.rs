//! One group of writers: its jobs, its frame, its commit.

use std::slice;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use embedded_db_common::log::{self, Level};
use embedded_db_common::record::seal;
use embedded_db_common::{Durability, Error, Result};
use heed::RwTxn;

use super::owed::{Leader, Outer, Owed, REST};
use super::{AT_ONCE, IN_JOB, Request, Word};
use crate::data_file;
use crate::figures::GroupWatch;
use crate::keys::Table;
use crate::log::{Changes, Way, redo};
use crate::pages::View;
use crate::panics::{caught, planted};
use crate::store::{Generation, Inside, Store};
use crate::touched::Touched;
use crate::tx::{GroupState, Hurry, Kept, WriteTxn, retention};

/// Groups between two looks for readers whose process was killed: the pages that they saw are not
/// used again until then, so the file grows by at most as many commits.
const READERS_EVERY: u64 = 64;

/// A job that was run.
struct Ran<'t> {
    txn: RwTxn<'t>,
    kept: Kept,
    outcome: Result<()>,
    /// Why the group cannot go on with it.
    stopped: Option<GroupError>,
}

impl Ran<'_> {
    /// Whether others may go on in the transaction: what failed has not written to it, and LMDB has not
    /// failed in it.
    fn others_go_on(&self) -> bool {
        let Err(error) = &self.outcome else { return true };
        let ours = matches!(
            error.bare(),
            Error::Internal(_) | Error::Corruption { .. } | Error::StorageError { .. }
        );
        !self.kept.state.dirty && !ours
    }
}

/// Why a group did not commit.
enum GroupError {
    /// The map must grow; then the same jobs run again.
    MapFull,
    /// A job failed that has written: they run again, each in a savepoint.
    Undo,
    /// It cannot go on in a transaction in which others are owed: they run again when nothing is.
    Alone,
    Failed(Error),
}

/// What a group has written.
struct Written {
    state: GroupState,
    touched: Vec<Touched>,
    changes: Changes,
}

/// What was done so far to find room in a map that is full.
#[derive(Default)]
struct Room {
    is_pin_moved: bool,
    has_waited: bool,
}

impl Store {
    pub(super) fn run_group(&self, leader: &mut Leader, group: &[Arc<Request>]) {
        // Who has closed it since then has given the right to write back.
        if let Err(failure) = self.usable().and_then(|()| self.try_until_it_fits(leader, group)) {
            if group.len() > 1 && matches!(failure, Error::StorageFull { .. }) {
                // One of them may be too large for what is left: the others need not fail with it.
                for request in group {
                    self.run_group(leader, slice::from_ref(request));
                }
                return;
            }
            for request in group {
                request.tell(Word::Ended(Err(failure.clone())));
            }
        }
    }

    fn try_until_it_fits(&self, leader: &mut Leader, group: &[Arc<Request>]) -> Result<()> {
        let generation = self.generation();
        if self.writer.groups.fetch_add(1, Ordering::Relaxed).is_multiple_of(READERS_EVERY) {
            generation.clear_stale_readers()?;
        }
        let (mut savepoints, mut room) = (false, Room::default());
        // However often it runs, it is one group.
        let mut watch = Some(self.watch_group());
        loop {
            match self.try_group(&generation, leader, group, savepoints, &mut watch) {
                Ok(()) => return Ok(()),
                Err(GroupError::Failed(error)) => return Err(error),
                Err(_) if !leader.owed.is_empty() => self.settle(leader).map_err(of_a_write)?,
                Err(GroupError::Undo) => savepoints = true,
                Err(GroupError::MapFull) => self.make_room(&generation, &mut room)?,
                Err(GroupError::Alone) => {
                    return Err(Error::Internal("a group is alone already".into()));
                }
            }
        }
    }

    /// After a group: what is owed is committed if it is time to, also where the group failed or has changed nothing.
    pub(super) fn settle_if_due(&self, leader: &mut Leader) {
        if leader.owed.is_empty() {
            return;
        }
        let is_due = leader.owed.is_due(&Changes::default());
        if is_due || self.is_waited_for(&self.generation(), leader) {
            // A failure is met by whoever reads or writes next.
            drop(self.settle(leader));
        }
    }

    /// What is acknowledged is committed. Nobody else may be writing.
    pub(super) fn settle(&self, leader: &mut Leader) -> Result<()> {
        if leader.owed.is_empty() {
            return Ok(());
        }
        if let Some(error) = &leader.stuck {
            return Err(error.clone());
        }
        let (generation, mut room) = (self.generation(), Room::default());
        let settled = loop {
            match self.try_settle(&generation, leader) {
                Ok(lsn) => {
                    self.watch.reached(lsn);
                    break Ok(());
                }
                Err(GroupError::MapFull) => {
                    if let Err(error) = self.make_room(&generation, &mut room) {
                        break Err(error);
                    }
                }
                Err(GroupError::Failed(error)) => break Err(error),
                Err(GroupError::Undo | GroupError::Alone) => {
                    break Err(Error::Internal("nothing was to be undone".into()));
                }
            }
        };
        settled.map_err(|error| match error {
            // Room was reserved; but where pages of the file are shared with a copy, it does not suffice.
            Error::StorageFull { path, detail, .. } => {
                Error::StorageFull { path, detail, is_kept: true }
            }
            error => leader.stuck.insert(error).clone(),
        })
    }

    fn try_settle(
        &self,
        generation: &Arc<Generation>,
        leader: &mut Leader,
    ) -> Result<u64, GroupError> {
        let _inside = Inside::enter(generation);
        let open = match leader.open.take() {
            Some(open) => open,
            None => {
                let before = generation.page_file.newest().map_err(GroupError::Failed)?;
                let mut open = self.begin(generation, before, false)?;
                for changes in &leader.owed.groups {
                    let (before, changes) = (Arc::clone(&open.before), changes.as_bytes());
                    let txn = open.txn().map_err(|error| failed(generation, error))?;
                    let done = redo(generation, &before, txn, 0, changes.unwrap_or_default());
                    if !done.map_err(GroupError::Failed)? {
                        return Err(GroupError::MapFull);
                    }
                }
                open
            }
        };
        self.commit(generation, leader, open, None)
    }

    /// What may make room in a map that is full: what a killed reader held, a later state that is pinned, a larger
    /// map.
    fn make_room(&self, generation: &Generation, room: &mut Room) -> Result<()> {
        if generation.clear_stale_readers()? > 0 {
            return Ok(());
        }
        let newest = generation.page_file.newest()?;
        let poison = |error: Error| {
            if !matches!(error, Error::StorageFull { .. }) {
                self.writer.poison();
            }
            error
        };
        if self.options.durability == Durability::Memory || room.is_pin_moved {
            let mut grow = || generation.grow(self.options.map_size_max, self.lost());
            let grown = match self.options.durability {
                Durability::Memory => grow(),
                _ => generation.log()?.move_pin(generation, &newest, &mut grow),
            };
            self.figures.growths.fetch_add(u64::from(grown.is_ok()), Ordering::Relaxed);
            return match grown {
                // A short read is no reason to refuse a deletion.
                Err(Error::StorageFull { .. })
                    if !room.has_waited && generation.readers_ended() =>
                {
                    room.has_waited = true;
                    Ok(())
                }
                grown => {
                    room.is_pin_moved = false;
                    grown.map_err(poison)
                }
            };
        }
        room.is_pin_moved = true;
        generation.log()?.move_pin(generation, &newest, &mut || Ok(())).map_err(poison)
    }

    /// Everything is on the disk. Nobody may be writing, and nothing is owed.
    pub(crate) fn end_log(&self, generation: &Generation) -> Result<()> {
        generation.log()?.end(generation, &*generation.page_file.newest()?)
    }

    /// Begins or ends the log before a commit, as there is room for it.
    fn choose_log(&self, generation: &Generation, before: &View) -> Result<()> {
        if self.options.durability == Durability::Memory {
            return Ok(());
        }
        generation.log()?.choose(generation, before).inspect_err(|error| {
            if !matches!(error, Error::StorageFull { .. }) {
                self.writer.poison();
            }
        })
    }

    /// Whether groups may be owed from now on.
    fn may_owe(&self, generation: &Generation, leader: &mut Leader) -> bool {
        if self.is_wanted_elsewhere(generation, leader) {
            self.writer.at_once.store(AT_ONCE, Ordering::Relaxed);
        }
        let left = self.writer.at_once.load(Ordering::Relaxed);
        if left > 0 {
            // Another read that was told meanwhile is told again.
            self.writer.at_once.store(left - 1, Ordering::Relaxed);
            return false;
        }
        self.is_owing(generation)
    }

    fn is_owing(&self, generation: &Generation) -> bool {
        self.options.durability != Durability::Memory
            && !self.writer.touched.is_wanted()
            && generation.log().is_ok_and(|log| log.is_in_use())
    }

    /// Whether a reader of another process waits for what is owed.
    fn is_wanted_elsewhere(&self, generation: &Generation, leader: &mut Leader) -> bool {
        let wants = generation.page_file.wanted();
        std::mem::replace(&mut leader.wants, wants) != wants
    }

    /// Whether somebody waits, here or in another process, for what is owed.
    fn is_waited_for(&self, generation: &Generation, leader: &mut Leader) -> bool {
        let there = self.is_wanted_elsewhere(generation, leader);
        if there {
            self.writer.at_once.store(AT_ONCE, Ordering::Relaxed);
        }
        there || self.writer.has_waiting_reads()
    }

    /// Begins a transaction on top of the newest state.
    fn begin(
        &self,
        generation: &Arc<Generation>,
        before: Arc<View>,
        may_stay: bool,
    ) -> Result<Outer, GroupError> {
        generation.page_file.prepare(&before).map_err(GroupError::Failed)?;
        let begun = if may_stay {
            // Where no thread can be started it ends in this one.
            Outer::there(generation, Arc::clone(&before), &self.writer.thread)
                .unwrap_or_else(|_| Outer::here(generation, before))
        } else {
            Outer::here(generation, before)
        };
        begun.map_err(|error| failed(generation, error))
    }

    /// Runs a job in a transaction.
    fn run<'t>(
        &'t self,
        generation: &'t Generation,
        before: &'t View,
        txn: RwTxn<'t>,
        state: &GroupState,
        hurry: Option<Hurry>,
        request: &Request,
    ) -> Ran<'t> {
        let earlier = state;
        let mut state = earlier.clone();
        state.dirty = false;
        let mut txn = WriteTxn::new(self, generation, before, txn, state);
        txn.hurry(hurry);
        let mut job = request.job.lock().unwrap_or_else(PoisonError::into_inner);
        let outer = IN_JOB.replace(self.writer.address());
        let outcome = caught("a write", || {
            job(&mut txn)?;
            self.within_quota(earlier, &mut txn)
        });
        IN_JOB.set(outer);
        let stopped = match (txn.map_full(), txn.is_late()) {
            (true, _) => Some(GroupError::MapFull),
            // With nothing owed nobody has to wait for it.
            (false, true) => Some(GroupError::Alone),
            (false, false) => None,
        };
        let (txn, kept) = txn.end();
        Ran { txn, kept, outcome, stopped }
    }

    /// All or nothing for the group; a job that fails by itself takes nobody else with it.
    fn try_group(
        &self,
        generation: &Arc<Generation>,
        leader: &mut Leader,
        group: &[Arc<Request>],
        savepoints: bool,
        watch: &mut Option<GroupWatch<'_>>,
    ) -> Result<(), GroupError> {
        self.writer.healthy(self.path()).map_err(GroupError::Failed)?;
        let _inside = Inside::enter(generation);
        generation.require_whole_file().map_err(GroupError::Failed)?;
        let lmdb = |error| failed(generation, error);
        let mut open = match leader.open.take() {
            Some(open) => {
                if leader.owed.is_empty() {
                    let prepared = generation.page_file.prepare(&open.before);
                    prepared.map_err(GroupError::Failed)?;
                }
                open
            }
            // Its transaction was given up.
            None if !leader.owed.is_empty() => return Err(GroupError::Alone),
            None => {
                let before = match leader.base.take() {
                    Some(view) => view,
                    None => generation.page_file.newest().map_err(GroupError::Failed)?,
                };
                let may_stay = self.may_owe(generation, leader);
                self.begin(generation, before, may_stay)?
            }
        };
        let before = Arc::clone(&open.before);
        let mut state = match &leader.owed.state {
            Some(state) => state.followed(self),
            None => GroupState::load(self, &before).map_err(GroupError::Failed)?,
        };
        let (mut touched, mut changes) = (Vec::new(), Changes::default());
        // What a job has written that failed goes with the transaction.
        let mut is_clean = true;
        let mut outcomes = Vec::with_capacity(group.len());
        let until = Instant::now() + REST;
        let hurry = |leader: &Leader| {
            (!leader.owed.is_empty()).then_some(Hurry { until, wants: leader.wants })
        };
        for request in group {
            let (kept, outcome) = if savepoints {
                let outer = open.txn().map_err(lmdb)?;
                let savepoint = generation.env.nested_write_txn(outer).map_err(lmdb)?;
                let ran = self.run(generation, &before, savepoint, &state, hurry(leader), request);
                if let Some(stopped) = ran.stopped {
                    return Err(stopped);
                }
                if ran.outcome.is_ok() {
                    ran.txn.commit().map_err(lmdb)?;
                }
                (ran.kept, ran.outcome)
            } else {
                let txn = open.take().map_err(lmdb)?;
                let ran = self.run(generation, &before, txn, &state, hurry(leader), request);
                let others_go_on = ran.others_go_on();
                open.give_back(ran.txn);
                if let Some(stopped) = ran.stopped {
                    return Err(stopped);
                }
                if !others_go_on && (group.len() > 1 || !leader.owed.is_empty()) {
                    return Err(GroupError::Undo);
                }
                is_clean &= others_go_on;
                (ran.kept, ran.outcome)
            };
            if outcome.is_ok() {
                let dirty = state.dirty;
                state = kept.state;
                state.dirty |= dirty;
                touched.extend(kept.touched);
                changes.append(kept.changes);
            }
            outcomes.push(outcome);
        }
        let (mut reached, mut trimmed, mut acknowledged) = (None, None, None);
        if state.dirty {
            if let Some(came_in) = self.trimming_is_due(&state) {
                trimmed = Some((state.now(), state.lsn()));
                let txn = open.take().map_err(lmdb)?;
                let mut txn = WriteTxn::new(self, generation, &before, txn, state);
                let trimmed = txn.trim_changes(came_in);
                let map_full = txn.map_full();
                let (txn, kept) = txn.end();
                open.give_back(txn);
                if map_full {
                    return Err(GroupError::MapFull);
                }
                trimmed.map_err(GroupError::Failed)?;
                state = kept.state;
                changes.append(kept.changes);
            }
            for (key, mut payload) in state.rows() {
                before.check_way(Table::Meta, &key).map_err(GroupError::Failed)?;
                seal(Table::Meta as u8, &key, &mut payload);
                changes.put(Table::Meta, &key, &payload, None);
                let table = generation.table(Table::Meta);
                table.put(open.txn().map_err(lmdb)?, &key, &payload).map_err(lmdb)?;
            }
            acknowledged = Some(state.lsn());
            let written = Written { state, touched, changes };
            reached = self.acknowledge(generation, leader, open, written)?;
            // Not before: a group may have to run again.
            if trimmed.is_some() {
                *self.writer.trimmed.lock().unwrap_or_else(PoisonError::into_inner) = trimmed;
            }
        } else {
            if open.may_stay() && is_clean {
                leader.open = Some(open);
            }
            if leader.owed.is_empty() {
                leader.base = Some(before);
            }
        }
        if let Some(watch) = watch.take() {
            watch.ended(acknowledged, &outcomes);
        }
        for (request, outcome) in group.iter().zip(outcomes) {
            request.tell(Word::Ended(outcome));
        }
        if let Some(lsn) = reached {
            self.watch.reached(lsn);
        }
        Ok(())
    }

    /// After the jobs of a group: it is in the log, and committed, or owed. The LSN that a commit has reached.
    fn acknowledge(
        &self,
        generation: &Arc<Generation>,
        leader: &mut Leader,
        open: Outer,
        written: Written,
    ) -> Result<Option<u64>, GroupError> {
        let before = &open.before;
        if leader.owed.is_empty() {
            self.choose_log(generation, before).map_err(GroupError::Failed)?;
        } else if !generation.log().map_err(GroupError::Failed)?.takes(&written.changes) {
            return Err(GroupError::Alone);
        }
        let way = self.append(generation, before, written.state.lsn(), &written.changes)?;
        let transaction = before.transaction() as usize + 1;
        self.writer.scopes.commits(generation.number(), transaction, &written.state.written);
        let frame = match &way {
            Way::Logged { frame, .. } => Some(*frame),
            Way::Synced => None,
        };
        let is_due = leader.owed.is_due(&written.changes) || {
            let pages = leader.owed.pages_with(&written.changes, before);
            !has_room(generation, before, pages)
        };
        let is_now = !open.may_stay() || is_due || self.is_waited_for(generation, leader);
        let Some(frame) = frame.filter(|_| !is_now) else {
            return self.commit(generation, leader, open, Some((way, written))).map(Some);
        };
        let is_first = leader.owed.is_empty();
        // It will be there, whatever happens.
        written.state.publish_symbols(self, generation);
        written.state.publish_expiry(self);
        leader.owed.add(written.changes, written.touched, written.state);
        generation.page_file.owe(before.transaction() + 1, frame);
        if is_first {
            self.writer.begin_to_owe(before.transaction() + 1);
            self.writer.thread.remember(Instant::now() + REST);
        }
        leader.open = Some(open);
        Ok(None)
    }

    /// Commits what is owed and what is written besides, if anything. The last LSN.
    fn commit(
        &self,
        generation: &Arc<Generation>,
        leader: &mut Leader,
        open: Outer,
        last: Option<(Way, Written)>,
    ) -> Result<u64, GroupError> {
        let before = Arc::clone(&open.before);
        let again = self.is_owing(generation) && self.writer.at_once.load(Ordering::Relaxed) == 0;
        let mut next = match open.commit(again).map_err(|error| self.poison(error))? {
            Ok(next) => next,
            Err(error) => {
                if let Some((way, _)) = last
                    && let Err(error) = way.take_back(generation)
                {
                    return Err(self.poison(error));
                }
                return Err(self.commit_failed(generation, error));
            }
        };
        let mut durability = Durability::Memory;
        let had_owed = !leader.owed.is_empty();
        if let Some((way, Written { state, touched, changes })) = last {
            durability = way.durability(self.options.durability);
            leader.owed.add(changes, touched, state);
        }
        let Owed { touched, state, .. } = std::mem::take(&mut leader.owed);
        self.writer.touched.add(touched);
        let covered = generation.cover(&before, durability);
        // Readers find it from here on; they need not wait for a checkpoint.
        self.writer.has_settled();
        let committed = covered.and_then(|(after, bytes)| {
            self.committed(generation, &after, bytes)?;
            leader.open = next.take().map(|next| next.on_top_of(&after));
            if let Some(state) = &state {
                self.quotas.committed(generation, &after, state);
            }
            leader.base = Some(after);
            Ok(())
        });
        if had_owed {
            self.writer.thread.tell();
        }
        committed.map_err(|error| self.poison(error))?;
        let Some(state) = state else { return Ok(0) };
        state.publish_symbols(self, generation);
        state.publish_expiry(self);
        Ok(state.lsn())
    }

    /// Whether it is time to look at how far the feed of changes reaches back: how many have come in since.
    /// Not while another generation is made, to which rows that go one by one are not told.
    fn trimming_is_due(&self, state: &GroupState) -> Option<u64> {
        if self.writer.touched.is_wanted() {
            return None;
        }
        let trimmed = *self.writer.trimmed.lock().unwrap_or_else(PoisonError::into_inner);
        let came_in = trimmed.map_or(0, |(_, lsn)| state.lsn().saturating_sub(lsn));
        let is_due = trimmed.is_none_or(|(at, _)| {
            let since = state.now().saturating_sub(at);
            came_in >= retention::LOOK_EVERY || since >= retention::LOOK_AFTER.as_micros() as i64
        });
        is_due.then_some(came_in)
    }

    /// Before a commit: it is in the log, unless LMDB syncs it.
    fn append(
        &self,
        generation: &Generation,
        before: &View,
        lsn: u64,
        changes: &Changes,
    ) -> Result<Way, GroupError> {
        let durability = self.options.durability;
        if durability == Durability::Memory {
            return Ok(Way::Synced);
        }
        let log = generation.log().map_err(GroupError::Failed)?;
        log.append(generation, before, lsn, changes, durability).map_err(|error| match error {
            Error::StorageFull { .. } => GroupError::Failed(error),
            error => self.poison(error),
        })
    }

    /// After a commit: a checkpoint is begun that is due, or done later.
    fn committed(&self, generation: &Generation, after: &View, bytes: u64) -> Result<()> {
        if self.options.durability == Durability::Memory
            || self.writer.healthy(self.path()).is_err()
        {
            return Ok(());
        }
        let log = generation.log()?;
        let due = log.committed(after, bytes, self.options.relaxed_window)?;
        if due.checkpoint.is_some_and(|at| at <= Instant::now())
            && let Some(pending) = log.begin_checkpoint(generation, after)?
        {
            return self.keeper.complete(log, pending);
        }
        self.keeper.remember(due);
        Ok(())
    }

    /// A checkpoint that is due when nobody writes; false when somebody does. It never waits for writers,
    /// since they may be waiting for a checkpoint that the same thread is to complete.
    pub(crate) fn make_checkpoint(&self) -> bool {
        let Some(mut leader) = self.writer.try_lead() else { return false };
        // This thread is to complete it, and a commit may wait for that.
        if self.generation().log().is_ok_and(|log| log.is_being_made()) {
            return false;
        }
        let make = || -> Result<()> {
            if self.closed() || self.writer.healthy(self.path()).is_err() {
                return Ok(());
            }
            match self.settle(&mut leader) {
                // Whoever reads or writes next meets it.
                Err(Error::StorageFull { .. }) => return Ok(()),
                settled => settled?,
            }
            let generation = self.generation();
            let newest = generation.page_file.newest()?;
            let log = Arc::clone(generation.log()?);
            let pending = log.begin_checkpoint(&generation, &newest)?;
            drop((generation, newest));
            drop(leader);
            pending.map_or(Ok(()), |pending| self.traced("checkpoint", || log.complete(pending)))
        };
        self.or_poison(caught("a checkpoint", make));
        true
    }

    /// What was acknowledged before it was on the disk gets there.
    pub(crate) fn sync_log(&self) {
        let log = self.generation().log().map(Arc::clone);
        self.or_poison(caught("a synchronisation", || {
            planted("sync");
            log?.sync()
        }));
    }

    /// Commits that were acknowledged and that a power cut would take; `None` where that is not known: of a
    /// reader, and with [`Durability::Memory`].
    pub fn unsynced(&self) -> Option<u64> {
        let known = !self.read_only() && self.options.durability != Durability::Memory;
        known.then(|| self.generation().log().map_or(0, |log| log.unsynced()))
    }

    fn or_poison(&self, done: Result<()>) {
        if let Err(error) = done {
            log::log(Level::Error, "storage", "writes are refused from now on", || {
                [("error", error.code().into())]
            });
            self.writer.poison();
        }
    }

    /// A full disk left the last commit untouched, so later writes may succeed. After anything else
    /// the system may have dropped pages that it had accepted: a retry that succeeds proves nothing.
    fn commit_failed(&self, generation: &Generation, error: heed::Error) -> GroupError {
        if matches!(error, heed::Error::Mdb(heed::MdbError::MapFull)) {
            return GroupError::MapFull;
        }
        // Whatever the reason was, a full disk too: LMDB neither reads nor writes any more.
        if matches!(generation.env.read_txn(), Err(heed::Error::Mdb(heed::MdbError::Panic))) {
            return self.poison(Error::StorageError {
                path: self.path().to_owned(),
                detail: format!(
                    "the meta page of a commit could not be written: {error}; whether it is stored \
                     shows when the database is opened again"
                ),
            });
        }
        let error = data_file::write_failed(generation.path(), generation.lmdb_error(error));
        if matches!(error, Error::StorageFull { .. }) {
            // Unless it was a sync of LMDB that found no room: the system tells that to each who asks.
            return match generation.sync(self.options.durability) {
                Ok(()) => GroupError::Failed(error),
                Err(lost) => {
                    // Commits that are logged may have been lost with it.
                    if let Ok(log) = generation.log() {
                        log.distrust_data(&lost);
                    }
                    self.poison(lost)
                }
            };
        }
        self.poison(error)
    }

    fn poison(&self, error: Error) -> GroupError {
        self.writer.poison();
        GroupError::Failed(error)
    }
}

/// Whether the map and the disk have room for so many more pages: a commit that finds them full has been
/// acknowledged by then.
fn has_room(generation: &Generation, before: &View, pages: usize) -> bool {
    /// More than the pages of all that may be owed. The unit tests begin with a small map.
    const ROOM: u64 = if cfg!(test) { 1 << 18 } else { 64 << 20 };
    before.length().saturating_add(ROOM) <= generation.env.info().map_size as u64
        && generation.data_file.has_place(before.length(), pages)
}

/// An error of LMDB in a transaction.
fn failed(generation: &Generation, error: heed::Error) -> GroupError {
    match error {
        heed::Error::Mdb(heed::MdbError::MapFull) => GroupError::MapFull,
        other => GroupError::Failed(generation.lmdb_error(other)),
    }
}

/// What a write says whose group met that something owed cannot be committed.
fn of_a_write(error: Error) -> Error {
    match error {
        Error::StorageFull { path, detail, .. } => {
            Error::StorageFull { path, detail, is_kept: false }
        }
        other => other,
    }
}
