//! Snapshots that users hold: they end with the database, not with whoever forgot them.
//!
//! A held snapshot keeps the files open, and a process may open a path only once. So `close` takes the
//! snapshots away from their holders, who hear `DatabaseClosed` from then on. One that is being read
//! at that moment is not waited for: its reader lets go of it at the end of the read.
//!
//! Each transaction of LMDB takes a place in a table that all processes share. So holders of one state
//! share a few transactions, and a process holds at most [`MOST`] of them. Cursors, which nobody asked for
//! by name, give way to newer ones; a snapshot for which there is no place is refused.
//!
//! What a snapshot sees is not overwritten, so that the file grows while others write. A thread that is
//! there while anything is held ends what is too old, or has cost too much: in every process, also where
//! nobody reads or writes any more.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use embedded_db_common::{Error, Result};
use embedded_db_indexing::Pin;
use embedded_db_storage::{Sight, Store, Taken};

use crate::worker::{Next, PAUSE, Work, Worker};

/// Transactions that one process holds. The table has room for those of several, and for reads.
const MOST: usize = 1_000;

/// Transactions of one state. A transaction serves one read at a time, so that threads with
/// snapshots of a state that does not change must not all wait for the same one.
const OF_ONE_STATE: usize = 16;

/// Between two looks at what the snapshots that are held cost.
const LOOK: Duration = Duration::from_millis(250);
/// So many looks in a row find nothing held before the thread ends.
const QUIET_LOOKS: u32 = 8;

/// All snapshots of one database that are held.
pub(crate) struct Pins {
    store: Arc<Store>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Oldest first.
    holders: VecDeque<Weak<HeldPin>>,
    /// With what each sees.
    transactions: Vec<(Sight, Weak<Shared>)>,
    /// How many looks in a row have found nothing.
    quiet: u32,
}

/// A transaction of some holders; used by one at a time.
struct Shared(Mutex<Pin>);

/// A snapshot that one user holds and the end of the database takes, or why it is gone.
pub(crate) struct HeldPin {
    shared: Mutex<std::result::Result<Arc<Shared>, Gone>>,
    taken: Taken,
    holder: Holder,
}

/// Who holds a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A snapshot or transaction of a user, to be closed by the user.
    User,
    /// A cursor that came with the results of a query.
    Cursor,
}

/// Why a snapshot is gone.
enum Gone {
    /// The database was closed.
    Closed,
    /// It was too old, had cost too much, or its place was needed.
    Ended(Error),
}

impl Worker<Pins> {
    /// Holds a snapshot until it is dropped or all are ended. A cursor for which there is no place
    /// says so when it is used, for the results that it came with are there.
    pub(crate) fn hold(self: &Arc<Self>, pin: Pin, holder: Holder) -> Result<Arc<HeldPin>> {
        let held = self.work.hold(pin, holder)?;
        self.attend()?;
        Ok(held)
    }
}

impl Work for Pins {
    const NAME: &'static str = "pins";
    const LONGEST_PAUSE: Duration = PAUSE;

    fn step(&self) -> Result<Next> {
        self.end_expired();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(oldest) = held.holders.iter().find_map(Weak::upgrade) else {
            // Transactions come one after the other, and a thread costs more than most of them.
            held.quiet = (held.quiet + 1) % QUIET_LOOKS;
            return Ok(if held.quiet == 0 { Next::Nothing } else { Next::After(LOOK) });
        };
        held.quiet = 0;
        drop(held);
        let left = self.store.max_snapshot_age().saturating_sub(oldest.taken.at().elapsed());
        Ok(Next::After(left.min(LOOK)))
    }

    fn ends_the_wait(_error: &Error) -> bool {
        true
    }
}

impl Pins {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, held: Mutex::default() }
    }

    fn hold(&self, pin: Pin, holder: Holder) -> Result<Arc<HeldPin>> {
        let taken = pin.snapshot().taken()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped when the lock is released: the end of a pin takes locks of the views.
        let (mut spare, mut ended) = (None, Vec::new());
        held.transactions.retain(|(_, shared)| shared.strong_count() > 0);
        let sight = pin.snapshot().sight();
        let same = held.transactions.iter().filter(|(of, _)| *of == sight);
        let same: Vec<Arc<Shared>> = same.filter_map(|(_, shared)| shared.upgrade()).collect();
        let full = same.len() >= OF_ONE_STATE || held.transactions.len() >= MOST;
        let least = same.iter().filter(|_| full).min_by_key(|shared| Arc::strong_count(shared));
        let shared = if let Some(least) = least {
            spare = Some(pin);
            Ok(Arc::clone(least))
        } else if !full || held.make_room(&mut ended) {
            let shared = Arc::new(Shared(Mutex::new(pin)));
            held.transactions.push((sight, Arc::downgrade(&shared)));
            Ok(shared)
        } else {
            spare = Some(pin);
            let used = held.transactions.len();
            Err(Error::TooManySnapshots { used, limit: MOST })
        };
        let shared = match (shared, holder) {
            (Err(full), Holder::User) => Err(full),
            (Err(full), Holder::Cursor) => Ok(Err(Gone::Ended(full))),
            (Ok(shared), _) => Ok(Ok(shared)),
        };
        let new = shared.map(|shared| {
            let new = Arc::new(HeldPin { shared: Mutex::new(shared), taken, holder });
            if held.holders.len() == held.holders.capacity() {
                held.holders.retain(|held| held.strong_count() > 0);
            }
            held.holders.push_back(Arc::downgrade(&new));
            new
        });
        drop(held);
        drop((spare, ended, same));
        new
    }

    /// Lets go of those that are too old, or have cost too much; whether there were any.
    pub(crate) fn end_expired(&self) -> bool {
        let mut expired = Vec::new();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = held.holders.front() {
            let oldest = oldest.upgrade();
            // The oldest one has cost the most.
            match oldest.as_ref().map(|holder| self.store.check_held(&holder.taken)) {
                Some(Err(
                    error @ (Error::SnapshotExpired { .. } | Error::SnapshotOutgrown { .. }),
                )) => {
                    expired.extend(oldest.map(|holder| (holder, error)));
                }
                Some(_) => break,
                None => {}
            }
            held.holders.pop_front();
        }
        drop(held);
        let any = !expired.is_empty();
        expired.into_iter().for_each(|(holder, error)| drop(holder.take(Gone::Ended(error))));
        any
    }

    /// How many are held, and how old the oldest is.
    pub(crate) fn ages(&self) -> (usize, Duration) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = held.holders.iter().filter_map(Weak::upgrade);
        let ages: Vec<Duration> = taken
            .filter(|holder| holder.place().is_some())
            .map(|holder| holder.taken.at().elapsed())
            .collect();
        (ages.len(), ages.into_iter().max().unwrap_or_default())
    }

    /// Ends them all. The store must be closed: who begins to hold one looks at that.
    pub(crate) fn end(&self) {
        let all = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        all.holders.iter().filter_map(Weak::upgrade).for_each(|holder| holder.end());
    }
}

impl Held {
    /// Ends the cursors of the transaction that cursors alone have held for longest; whether there
    /// was one. What they held is put into `ended`.
    fn make_room(&mut self, ended: &mut Vec<Arc<Shared>>) -> bool {
        let holders: Vec<Arc<HeldPin>> = self.holders.iter().filter_map(Weak::upgrade).collect();
        let of_users = holders.iter().filter(|holder| holder.holder == Holder::User);
        let of_users: HashSet<*const Shared> =
            of_users.filter_map(|holder| holder.place()).collect();
        let places = holders.iter().filter_map(|holder| holder.place());
        let Some(oldest) = places.into_iter().find(|place| !of_users.contains(place)) else {
            return false;
        };
        for cursor in holders.iter().filter(|holder| holder.place() == Some(oldest)) {
            ended.extend(cursor.take(Gone::Ended(Error::CursorGaveWay { limit: MOST })));
        }
        true
    }
}

impl HeldPin {
    /// Reads from the snapshot, if it has not ended; one that is too old ends.
    pub(crate) fn read<T>(&self, store: &Store, read: impl FnOnce(&Pin) -> Result<T>) -> Result<T> {
        let shared = match &*self.shared.lock().unwrap_or_else(PoisonError::into_inner) {
            Ok(shared) => Arc::clone(shared),
            Err(Gone::Closed) => {
                return Err(Error::DatabaseClosed { path: store.name().to_owned() });
            }
            Err(Gone::Ended(error)) => return Err(error.clone()),
        };
        if let Err(error) = store.check_age(self.taken.at()) {
            if matches!(error, Error::SnapshotExpired { .. }) {
                drop((shared, self.take(Gone::Ended(error.clone()))));
            }
            return Err(error);
        }
        let pin = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        read(&pin)
    }

    /// Lets go of the snapshot. One that is being read goes when its reader is done.
    pub(crate) fn end(&self) {
        drop(self.take(Gone::Closed));
    }

    /// Gives what was held, to be dropped where nothing is locked.
    fn take(&self, why: Gone) -> Option<Arc<Shared>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *shared, Err(why)).ok()
    }

    fn place(&self) -> Option<*const Shared> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.as_ref().ok().map(Arc::as_ptr)
    }
}
