//! Backups, and databases that are made of them.

use std::cell::RefCell;
use std::path::Path;

use embedded_db_common::{Error, Options, Result};
use embedded_db_storage::{Backup, Progress, Restored, Restoring, of_backup};

use crate::database::Database;
use crate::observing::Op;

impl Database {
    /// Copies the newest state of all namespaces into a directory that does not exist or is empty, while
    /// writers go on.
    pub fn backup(&self, directory: &Path, progress: &mut Progress<'_>) -> Result<Backup> {
        let engine = self.engine()?;
        let made = engine.observer.call(Op::Backup, || engine.store.backup(directory, progress))?;
        engine.observer.backed_up();
        Ok(made)
    }

    /// Makes a database of a backup in a directory that does not exist or is empty. It is checked as a
    /// whole, as `verify` does, before it gets its place.
    pub fn restore(backup: &Path, to: &Path, progress: &mut Progress<'_>) -> Result<Restored> {
        let restoring = Restoring::begin(backup, to, progress)?;
        let options = Options { read_only: true, ..Options::default() };
        let copy = Self::open(restoring.staging(), &options, None);
        let copy = copy.map_err(|error| of_backup(backup, error))?;
        let (progress, bytes) = (RefCell::new(progress), restoring.bytes());
        let report = copy.verify(&|| progress.borrow_mut()(bytes, bytes));
        let is_told = copy.engine().and_then(|engine| restoring.check(backup, &engine.store));
        copy.close();
        drop(copy);
        match report.map_err(|error| of_backup(backup, error))?.problems.first() {
            None => is_told.and_then(|()| restoring.publish()),
            Some(problem) => Err(Error::Corruption {
                path: backup.to_owned(),
                object: "the backup".into(),
                detail: format!("what it holds does not agree: {problem}"),
            }),
        }
    }
}
