//! Where queries go on: each is known by a name that cannot be guessed, for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use embedded_db_engine::Cursor;
use embedded_db_engine::common::{Error, Result, clock};

/// Cursors that are kept; the oldest give way, as they do in the engine.
const KEPT: usize = 256;

/// Cursors by their names, oldest first.
#[derive(Default)]
pub(crate) struct Cursors(Mutex<VecDeque<(String, Arc<Cursor>)>>);

impl Cursors {
    /// Keeps a cursor; returns its name.
    pub(crate) fn keep(&self, cursor: &Arc<Cursor>) -> String {
        let name = clock::new_identity();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((name.clone(), Arc::clone(cursor)));
        if kept.len() > KEPT {
            let oldest = kept.pop_front();
            drop(kept); // a cursor that ends lets go of a snapshot
            drop(oldest);
        }
        name
    }

    /// The cursor of a name.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Cursor>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(known, _)| known == name);
        found.map(|(_, cursor)| Arc::clone(cursor)).ok_or(Error::CursorGaveWay { limit: KEPT })
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(kept);
    }
}
