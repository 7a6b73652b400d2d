//! Snapshots that users hold: they end with the database, not with whoever forgot them.
//!
//! A held snapshot keeps the files open, and a process may open a path only once. So `close` takes the
//! snapshots away from their holders, who hear `DatabaseClosed` from then on. One that is being read
//! at that moment is not waited for: its reader lets go of it at the end of the read.

use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use embedded_db_common::{Error, Result};
use embedded_db_indexing::Pin;
use embedded_db_storage::Store;

/// All snapshots of one database that are held.
#[derive(Default)]
pub(crate) struct Pins(Mutex<Vec<Weak<HeldPin>>>);

/// A snapshot that one user holds and the end of the database takes.
pub(crate) struct HeldPin(Mutex<Option<Pin>>);

impl Pins {
    /// Holds a snapshot until it is dropped or all are ended.
    pub(crate) fn hold(&self, pin: Pin) -> Arc<HeldPin> {
        let held = Arc::new(HeldPin(Mutex::new(Some(pin))));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|held| held.strong_count() > 0);
        }
        all.push(Arc::downgrade(&held));
        held
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
                Some(pin) => read(pin),
                None => Err(Error::DatabaseClosed { path: store.path().to_owned() }),
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
            Ok(mut pin) => pin.take(),
            Err(TryLockError::Poisoned(pin)) => pin.into_inner().take(),
            Err(TryLockError::WouldBlock) => None,
        };
        drop(pin);
    }
}
