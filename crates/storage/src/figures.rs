//! What a store counts while it is open.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use embedded_db_common::metrics::{DURATIONS, Distribution, ENTRIES, Histogram};
use embedded_db_common::{Durability, Error, Result, trace};

use crate::blackbox::{End, Entry};
use crate::platform;
use crate::store::Store;

/// Counted by writers. A group is counted when it has committed, before its writers are answered.
pub(crate) struct Figures {
    /// How long groups took, from the first job to the commit.
    commits: Histogram,
    /// How many writes shared a commit.
    entries: Histogram,
    /// How often the map has grown.
    pub(crate) growths: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        let (commits, entries) = (Histogram::new(DURATIONS), Histogram::new(ENTRIES));
        Self { commits, entries, growths: AtomicU64::new(0) }
    }
}

/// Counted by the log of a generation.
pub(crate) struct LogFigures {
    /// Synchronisations that acknowledged writes waited for, or will.
    pub(crate) syncs: Histogram,
    pub(crate) checkpoints: AtomicU64,
}

impl LogFigures {
    /// Waits for the disk.
    pub(crate) fn sync<T>(&self, wait: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = wait();
        let ended = Instant::now();
        self.syncs.took(ended - begun);
        trace::step("sync", begun, ended, None);
        done
    }
}

impl Default for LogFigures {
    fn default() -> Self {
        Self { syncs: Histogram::new(DURATIONS), checkpoints: AtomicU64::new(0) }
    }
}

/// What writers have done since the store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Commits by how long they took, in nanoseconds.
    pub commits: Distribution,
    /// Commits by how many writes shared them.
    pub entries: Distribution,
    /// Synchronisations of the log by how long they took, in nanoseconds; `None` where nothing is logged.
    /// Counted anew after a compaction, as checkpoints are.
    pub syncs: Option<Distribution>,
    /// Checkpoints.
    pub checkpoints: u64,
    /// How often the map has grown.
    pub growths: u64,
}

/// Where the bytes of a database are.
#[derive(Debug, Clone, PartialEq)]
pub struct Occupied {
    /// Bytes of each kind of file: `data`, `sums`, `log`, `segments`, `other`.
    pub files: Vec<(&'static str, u64)>,
    /// Bytes that the file system has left, where it tells.
    pub free: Option<u64>,
    /// The part of the address space that pages take.
    pub map_used: f64,
}

/// A group that is being written; one that is dropped has not committed.
pub(crate) struct GroupWatch<'s> {
    store: &'s Store,
    begun: Instant,
    entry: Option<Entry>,
}

impl GroupWatch<'_> {
    /// It has ended: with a commit, unless nothing was to be written. Its writers are answered after this.
    pub(crate) fn ended(mut self, reached: Option<u64>, outcomes: &[Result<()>]) {
        let ended = Instant::now();
        let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        if reached.is_some() {
            self.store.figures.entries.observe(done);
            self.store.figures.commits.took(ended - self.begun);
        }
        let failed = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        let detail = failed.map_or("", Error::code);
        let lsn = reached.unwrap_or(0);
        trace::step("commit", self.begun, ended, Some(done));
        self.close(ended, End { failed: failed.is_some(), detail, lsn, entries: done });
    }

    fn close(&mut self, ended: Instant, end: End<'_>) {
        if let (Some(black_box), Some(entry)) = (self.store.black_box(), self.entry.take()) {
            black_box.close(entry, ended, end);
        }
    }
}

impl Drop for GroupWatch<'_> {
    fn drop(&mut self) {
        self.close(Instant::now(), End { failed: true, detail: "not committed", ..End::default() });
    }
}

impl Store {
    pub(crate) fn watch_group(&self) -> GroupWatch<'_> {
        let begun = Instant::now();
        let entry = self.black_box().map(|black_box| black_box.begin("commit", begun));
        GroupWatch { store: self, begun, entry }
    }

    /// What writers of this process have done.
    pub fn written(&self) -> Written {
        let generation = self.generation();
        let log = generation.log().ok().filter(|_| self.options.durability != Durability::Memory);
        Written {
            commits: self.figures.commits.read(),
            entries: self.figures.entries.read(),
            syncs: log.map(|log| log.figures.syncs.read()),
            checkpoints: log.map_or(0, |log| log.figures.checkpoints.load(Relaxed)),
            growths: self.figures.growths.load(Relaxed),
        }
    }

    /// Where its bytes are. Files that come or go meanwhile may be counted or not.
    pub fn occupied(&self) -> Result<Occupied> {
        let generation = self.generation();
        let directory = generation.path().parent().unwrap_or(self.path()).to_owned();
        let mut files = vec![("data", 0), ("sums", 0), ("log", 0), ("segments", 0), ("other", 0)];
        for place in [self.path(), &directory] {
            platform::each_file(place, &mut |name, bytes| {
                let kind = match name {
                    "data.mdb" => 0,
                    "data.sums" => 1,
                    "ckpt" | "log.0" | "log.1" => 2,
                    _ => 4,
                };
                add(&mut files, kind, bytes);
            });
        }
        platform::each_file(&directory.join("segments"), &mut |_, bytes| add(&mut files, 3, bytes));
        let map_size = generation.env.info().map_size as f64;
        let map_used = generation.data_file.length()? as f64 / map_size;
        Ok(Occupied { files, free: platform::free_space(self.path()), map_used })
    }

    /// Why nothing more can be acknowledged, if that is so.
    ///
    /// # Errors
    ///
    /// `StorageError` when an earlier write has failed to reach the disk.
    pub fn acknowledges(&self) -> Result<()> {
        self.writer.healthy(self.path())
    }
}

fn add(files: &mut [(&'static str, u64)], kind: usize, bytes: u64) {
    if let Some((_, sum)) = files.get_mut(kind) {
        *sum = sum.saturating_add(bytes);
    }
}
