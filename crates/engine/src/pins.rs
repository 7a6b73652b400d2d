//! Snapshots that users hold: they end with the database, not with whoever forgot them.
//!
//! A held snapshot keeps the files open, and a process may open a path only once. So `close` takes the
//! snapshots away from their holders, who hear `DatabaseClosed` from then on. One that is being read
//! at that moment is not waited for: its reader lets go of it at the end of the read.
//!
//! One that is too old to be read goes too, so that forgotten ones do not use up the table of readers.

use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use embedded_db_common::{Error, Result};
use embedded_db_indexing::Pin;
use embedded_db_storage::Store;

/// All snapshots of one database that are held.
#[derive(Default)]
pub(crate) struct Pins(Mutex<Vec<Weak<HeldPin>>>);

/// A snapshot that one user holds and the end of the database takes, or why it is gone.
pub(crate) struct HeldPin(Mutex<std::result::Result<Pin, Gone>>);

/// Why a snapshot is gone.
enum Gone {
    /// The database was closed.
    Closed,
    /// It was too old to be read.
    Expired(Error),
}

impl Pins {
    /// Holds a snapshot until it is dropped or all are ended.
    pub(crate) fn hold(&self, pin: Pin) -> Arc<HeldPin> {
        let held = Arc::new(HeldPin(Mutex::new(Ok(pin))));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|held| held.strong_count() > 0);
        }
        all.push(Arc::downgrade(&held));
        held
    }

    /// Lets go of those that are too old to be read; whether there were any.
    pub(crate) fn end_expired(&self) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = all.iter().filter_map(Weak::upgrade).filter(|held| held.end_expired());
        ended.count() > 0
    }

    /// Ends them all. The store must be closed: who holds one looks at that after each read.
    pub(crate) fn end(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter_map(Weak::upgrade).for_each(|held| held.end());
    }
}

impl HeldPin {
    /// Reads from the snapshot, if it has not ended.
    pub(crate) fn read<T>(&self, store: &Store, read: impl FnOnce(&Pin) -> Result<T>) -> Result<T> {
        let outcome = {
            let pin = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*pin {
                Ok(pin) => read(pin),
                Err(Gone::Closed) => Err(Error::DatabaseClosed { path: store.name().to_owned() }),
                Err(Gone::Expired(error)) => Err(error.clone()),
            }
        };
        if store.closed() {
            self.end();
        }
        outcome
    }

    /// Lets go of the snapshot, unless it is being read: then its reader does.
    pub(crate) fn end(&self) {
        let pin = match self.0.try_lock() {
            Ok(mut pin) => std::mem::replace(&mut *pin, Err(Gone::Closed)),
            Err(TryLockError::Poisoned(pin)) => {
                std::mem::replace(&mut *pin.into_inner(), Err(Gone::Closed))
            }
            Err(TryLockError::WouldBlock) => return,
        };
        drop(pin);
    }

    /// Lets go of the snapshot if it is too old; whether it did.
    fn end_expired(&self) -> bool {
        let Ok(mut pin) = self.0.try_lock() else { return false };
        let age = pin.as_ref().map_or(Ok(()), |pin| pin.snapshot().check_age());
        let Err(error @ Error::SnapshotExpired { .. }) = age else { return false };
        let expired = std::mem::replace(&mut *pin, Err(Gone::Expired(error)));
        drop(pin);
        drop(expired);
        true
    }
}
