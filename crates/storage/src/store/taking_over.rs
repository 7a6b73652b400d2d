//! The right to write comes to a process that has read so far.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use embedded_db_common::{Durability, Error, Result};

use super::Store;
use super::opening::{another, open_black_box, open_for_writing};
use crate::format::Current;
use crate::platform::WriterLock;

impl Store {
    /// Of one that shares the database and reads: gets the right to write, unless somebody has it. What is being
    /// read meanwhile stays as it is; what was acknowledged and not committed is done again. Whether it writes now.
    pub fn take_over(self: &Arc<Self>) -> Result<bool> {
        let lock = match WriterLock::acquire(&self.path, Duration::ZERO, &|| Ok(())) {
            Err(Error::DatabaseLocked { .. }) => return Ok(false),
            lock => lock?,
        };
        self.usable()?;
        // Of the generation in use, with a map that reaches as far as the file.
        drop(self.begin_read()?);
        let switching = self.switching.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, held) = (Current::read(&self.path)?, self.generation());
        if current.identity() != self.identity || current.generation() != held.number() {
            return Err(another(&self.path));
        }
        let opened = Some(held.opened());
        let generation = open_for_writing(&self.path, &current, &self.options, opened, &|| Ok(()))?;
        let mut place = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been closed meanwhile.
        self.usable()?;
        *place = Some(Arc::new(lock));
        *self.generation.write().unwrap_or_else(PoisonError::into_inner) = generation;
        self.black_box.get_or_init(|| open_black_box(&self.path, &self.options));
        self.writes.store(true, Ordering::Release);
        if self.options.durability != Durability::Memory {
            self.writer.thread.start();
        }
        drop((place, switching));
        self.stay()?;
        Ok(true)
    }
}
