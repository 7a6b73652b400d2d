//! A database that is made of a backup: complete and checked before it gets its place.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded_db_common::{Digest, Error, Result};

use super::CHUNK;
use super::manifest::{Counts, DATA, Manifest};
use crate::format::Current;
use crate::new_file::Progress;
use crate::pages::check_file;
use crate::platform::{io_error, open_plain_file, private, sync_directory, write_error};
use crate::read::ReadTxn;
use crate::staging::Staging;
use crate::store::Store;

/// How directories in the making begin.
const STAGING: &str = ".embedded-db-restoring";

/// What a database was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where it lies.
    pub path: PathBuf,
    /// LSN of the last change that it holds.
    pub lsn: u64,
    /// How much it holds.
    pub counts: Counts,
    /// Bytes of its data file.
    pub bytes: u64,
}

/// A database beside the place that it is for. It goes away unless it is put there.
pub struct Restoring {
    staging: Staging,
    manifest: Manifest,
}

impl Restoring {
    /// Copies a backup, whose length and SHA-256 must be what its manifest says. The copy is a database
    /// of its own, with an identity of its own: what is written to it is written to no other.
    pub fn begin(backup: &Path, target: &Path, progress: &mut Progress<'_>) -> Result<Self> {
        let manifest = Manifest::read(backup)?;
        let restoring = Self { staging: Staging::begin(target, STAGING)?, manifest };
        restoring.fill(backup, progress)?;
        Ok(restoring)
    }

    /// Where it lies until then.
    pub fn staging(&self) -> &Path {
        self.staging.directory()
    }

    /// Bytes of its data file.
    pub fn bytes(&self) -> u64 {
        self.manifest.length
    }

    fn fill(&self, backup: &Path, progress: &mut Progress<'_>) -> Result<()> {
        let current = Current::first();
        let directory = current.directory(self.staging());
        fs::create_dir(&directory).map_err(|e| write_error(&directory, "create", &e))?;
        self.copy(&backup.join(DATA), &directory.join(DATA), progress)?;
        let interrupted = std::cell::RefCell::new(progress);
        let length = self.bytes();
        check_file(&directory.join(DATA), &|| interrupted.borrow_mut()(length, length))
            .map_err(|error| of_backup(backup, error))?;
        sync_directory(&directory).map_err(|e| io_error(&directory, "sync", &e))?;
        current.publish(self.staging())
    }

    fn copy(&self, from: &Path, to: &Path, progress: &mut Progress<'_>) -> Result<()> {
        let damaged = |detail: String| Error::Corruption {
            path: from.to_owned(),
            object: "the backup".into(),
            detail,
        };
        let length = self.manifest.length;
        let source = match open_plain_file(from) {
            Ok(Some(source)) => source,
            Ok(None) => return Err(damaged(format!("{DATA} is no plain file"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged(format!("{DATA} is missing")));
            }
            Err(error) => return Err(io_error(from, "read", &error)),
        };
        let told = source.metadata().map_err(|e| io_error(from, "read the length", &e))?.len();
        if told != length {
            return Err(damaged(format!("{DATA} has {told} bytes, not {length}")));
        }
        let mut target = private()
            .write(true)
            .create_new(true)
            .open(to)
            .map_err(|e| write_error(to, "create", &e))?;
        let sum = copied(source, &mut target, from, to, length, progress)?.finish();
        if sum != self.manifest.sha256 {
            return Err(damaged(format!("the SHA-256 of {DATA} is {sum}")));
        }
        target.sync_all().map_err(|e| write_error(to, "sync", &e))
    }

    /// Whether it holds as much as the manifest says. `store` is what was made.
    pub fn check(&self, backup: &Path, store: &Arc<Store>) -> Result<()> {
        let snapshot = store.read()?;
        let found = (snapshot.lsn()?.0, Counts::of(&snapshot)?);
        let told = (self.manifest.lsn, self.manifest.counts);
        if found == told {
            return Ok(());
        }
        Err(Error::Corruption {
            path: backup.to_owned(),
            object: Manifest::FILE.into(),
            detail: format!("it says {}, and the data has {}", amounts(told), amounts(found)),
        })
    }

    /// Puts it in its place, in one step.
    pub fn publish(self) -> Result<Restored> {
        let path = self.staging.publish("the backup was restored")?;
        let Manifest { lsn, counts, length, .. } = self.manifest;
        Ok(Restored { path, lsn, counts, bytes: length })
    }
}

fn amounts((lsn, counts): (u64, Counts)) -> String {
    let Counts { namespaces, nodes, edges, embeddings } = counts;
    format!(
        "{namespaces} namespaces, {nodes} nodes, {edges} edges, {embeddings} vectors, LSN {lsn}"
    )
}

/// Damage that was found in what was made of a backup is that of the backup.
pub fn of_backup(backup: &Path, error: Error) -> Error {
    match error {
        Error::Corruption { object, detail, .. } => {
            let detail = format!("{detail} (in what was made of it)");
            Error::Corruption { path: backup.join(DATA), object, detail }
        }
        other => other,
    }
}

/// Copies so many bytes, and gives their digest.
fn copied(
    source: File,
    target: &mut File,
    from: &Path,
    to: &Path,
    length: u64,
    progress: &mut Progress<'_>,
) -> Result<Digest> {
    // What grows meanwhile is not read for ever.
    let mut source = source.take(length);
    let (mut digest, mut buffer, mut done) = (Digest::default(), vec![0; CHUNK], 0);
    loop {
        progress(done, length)?;
        let read = source.read(&mut buffer).map_err(|e| io_error(from, "read", &e))?;
        if read == 0 {
            return Ok(digest);
        }
        let (filled, _) = buffer.split_at(read);
        digest.update(filled);
        target.write_all(filled).map_err(|e| write_error(to, "write", &e))?;
        done += read as u64;
    }
}
