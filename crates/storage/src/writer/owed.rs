//! What is acknowledged and that LMDB has not committed yet.
//!
//! A commit of LMDB copies and writes every page on the way to what was changed, some thirty for one message. With
//! the log a group is acknowledged as soon as its frame is on the disk; so its transaction stays open, and further
//! groups go on in it, for some milliseconds at the most: their pages are written once for all of them. Who reads
//! commits it before ([`Store::read`]). The invariants:
//!
//! - Nothing is owed that has no frame in the log; all of it is of one transaction, the next one.
//! - The data file and the map have room for what is owed: its commit can meet neither a full disk nor a full map.
//! - Changes that are owed are kept here, too: a transaction that is given up is made again from them.
//! - What is not usual (a failed job that has written, a full map, a group that is too large for a frame, another
//!   generation) is done when nothing is owed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use heed::RwTxn;

use super::thread::CommitThread;
use crate::log::Changes;
use crate::pages::View;
use crate::platform;
use crate::store::Generation;
use crate::touched::Touched;
use crate::tx::GroupState;

/// How long it takes until nobody is thought to write any more: who waits for what is owed waits no longer.
pub(super) const REST: Duration = Duration::from_millis(2);
/// How long something may be owed while others write.
const LONGEST: Duration = Duration::from_millis(8);
/// Bytes of changes that may be owed.
const MOST: usize = 1 << 20;
/// Pages that they may take, so that room for them can be kept.
const MOST_PAGES: usize = 1 << 12;
/// Beyond those of the rows: the first ones of trees, and of what is free.
const OTHER_PAGES: usize = 32;
/// The smallest page of any system.
const LEAST_PAGE: u64 = 4096;

/// Held by who writes.
#[derive(Default)]
pub(crate) struct Leader {
    /// The state that the last commit to the generation in use left, when it is known.
    pub(crate) base: Option<Arc<View>>,
    /// On top of that state, with all that is owed. Where nothing is, the next group finds it begun: the way to the
    /// thread and back takes longer than most of what a group does.
    pub(super) open: Option<Outer>,
    pub(super) owed: Owed,
    /// Why what is owed cannot be committed by this process any more.
    pub(super) stuck: Option<embedded_db_common::Error>,
    /// How often readers of other processes had told that they wait.
    pub(super) wants: u64,
}

/// Groups that are owed.
#[derive(Default)]
pub(super) struct Owed {
    pub(super) groups: Vec<Changes>,
    pub(super) touched: Vec<Touched>,
    /// As the last of them left it.
    pub(super) state: Option<GroupState>,
    bytes: usize,
    pages: usize,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        self.state.is_none()
    }

    pub(super) fn add(&mut self, changes: Changes, touched: Vec<Touched>, state: GroupState) {
        self.bytes += changes.as_bytes().map_or(0, <[u8]>::len);
        self.pages = self.pages.saturating_add(changes.pages());
        self.groups.push(changes);
        self.touched.extend(touched);
        self.state = Some(state);
        let now = Instant::now();
        self.since.get_or_insert(now);
        self.last = Some(now);
    }

    /// After what time it is to be committed, if no more comes; none when that is now.
    pub(super) fn rest(&self) -> Option<Duration> {
        let left = REST.checked_sub(self.last?.elapsed())?;
        let most = LONGEST.checked_sub(self.since?.elapsed())?;
        Some(left.min(most))
    }

    /// Whether it may not become more before it is committed.
    pub(super) fn is_due(&self, more: &Changes) -> bool {
        let is_much = self.bytes_with(more) >= MOST || self.rows_with(more) >= MOST_PAGES;
        is_much || self.since.is_some_and(|since| since.elapsed() >= LONGEST)
    }

    fn bytes_with(&self, more: &Changes) -> usize {
        self.bytes.saturating_add(more.as_bytes().map_or(0, <[u8]>::len))
    }

    /// If every row lies in pages of its own.
    fn rows_with(&self, more: &Changes) -> usize {
        self.pages.saturating_add(more.pages())
    }

    /// How many pages a commit with more takes at the most: those of its rows; but of a small database no more than
    /// there are, and those that what is new fills, at the least by half.
    pub(super) fn pages_with(&self, more: &Changes, before: &View) -> usize {
        let all = (before.length() / LEAST_PAGE) as usize;
        let new = self.bytes_with(more) / (LEAST_PAGE as usize / 2);
        self.rows_with(more).min(all.saturating_add(new)).saturating_add(OTHER_PAGES)
    }
}

/// The outermost transaction of LMDB.
pub(super) struct Outer {
    /// Of this state on.
    pub(super) before: Arc<View>,
    txn: Option<RwTxn<'static>>,
    place: Place,
    forks: u32,
    // Dropped after the transaction, which is of its environment.
    generation: Arc<Generation>,
}

/// Which thread has LMDB's lock of writers.
#[derive(Clone)]
enum Place {
    Here,
    There(Arc<CommitThread>),
}

/// A transaction that goes from thread to thread.
struct Sent(RwTxn<'static>);

// SAFETY: a write transaction of LMDB refers to no thread but for its lock, which is taken and given back in one:
// whoever uses it meanwhile holds the leadership of writers.
#[allow(unsafe_code)]
unsafe impl Send for Sent {}

impl Outer {
    /// Begins one that ends in this thread, before others write.
    pub(super) fn here(generation: &Arc<Generation>, before: Arc<View>) -> heed::Result<Self> {
        let txn = begin(generation)?;
        Ok(Self::of(Arc::clone(generation), before, txn, Place::Here))
    }

    /// Begins one that may stay open.
    pub(super) fn there(
        generation: &Arc<Generation>,
        before: Arc<View>,
        thread: &Arc<CommitThread>,
    ) -> embedded_db_common::Result<heed::Result<Self>> {
        let (kept, place) = (Arc::clone(generation), Place::There(Arc::clone(thread)));
        let begun = thread.call(move || begin(&kept).map(|txn| (Sent(txn), kept)))?;
        Ok(begun.map(|(Sent(txn), kept)| Self::of(kept, before, txn, place)))
    }

    fn of(
        generation: Arc<Generation>,
        before: Arc<View>,
        txn: RwTxn<'static>,
        place: Place,
    ) -> Self {
        let forks = platform::fork_generation();
        Self { before, txn: Some(txn), place, forks, generation }
    }

    /// Whether it may stay open.
    pub(super) fn may_stay(&self) -> bool {
        matches!(self.place, Place::There(_))
    }

    /// Takes the transaction, which is given back in any case.
    pub(super) fn take(&mut self) -> heed::Result<RwTxn<'static>> {
        self.txn.take().ok_or(heed::Error::Mdb(heed::MdbError::BadTxn))
    }

    pub(super) fn give_back(&mut self, txn: RwTxn<'_>) {
        // SAFETY: it was taken from here, with this lifetime.
        #[allow(unsafe_code)]
        let txn = unsafe { std::mem::transmute::<RwTxn<'_>, RwTxn<'static>>(txn) };
        self.txn = Some(txn);
    }

    pub(super) fn txn(&mut self) -> heed::Result<&mut RwTxn<'static>> {
        self.txn.as_mut().ok_or(heed::Error::Mdb(heed::MdbError::BadTxn))
    }

    /// The same, of this state on.
    pub(super) fn on_top_of(mut self, before: &Arc<View>) -> Self {
        self.before = Arc::clone(before);
        self
    }

    /// Commits it; with `again`, the next one is begun, if it is to stay open. The state before that is still to be
    /// told.
    pub(super) fn commit(
        mut self,
        again: bool,
    ) -> embedded_db_common::Result<heed::Result<Option<Self>>> {
        let txn = match self.take() {
            Ok(txn) => Sent(txn),
            Err(error) => return Ok(Err(error)),
        };
        let Place::There(thread) = self.place.clone() else {
            return Ok(txn.0.commit().map(|()| None));
        };
        let generation = Arc::clone(&self.generation);
        let committed = thread.call(move || {
            let Sent(txn) = { txn };
            // Who writes next begins it, and meets what has failed.
            txn.commit().map(|()| again.then(|| begin(&generation).ok().map(Sent)).flatten())
        })?;
        Ok(committed.map(|next| {
            next.map(|Sent(txn)| {
                self.txn = Some(txn);
                self
            })
        }))
    }
}

fn begin(generation: &Arc<Generation>) -> heed::Result<RwTxn<'static>> {
    let txn = generation.env.write_txn()?;
    // SAFETY: it refers to the environment, which does not move in the generation; whoever keeps it keeps the
    // generation longer.
    #[allow(unsafe_code)]
    Ok(unsafe { std::mem::transmute::<RwTxn<'_>, RwTxn<'static>>(txn) })
}

impl Drop for Outer {
    fn drop(&mut self) {
        let Some(txn) = self.txn.take().map(Sent) else { return };
        if self.forks != platform::fork_generation() {
            // The lock belongs to the parent.
            std::mem::forget(txn);
            return;
        }
        match &self.place {
            Place::Here => drop(txn),
            Place::There(thread) => {
                // Where the thread is gone, so is its lock.
                let _ended = thread.call(move || drop(txn));
            }
        }
    }
}
