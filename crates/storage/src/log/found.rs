//! What the log of a generation tells, where nothing is to be recovered: for whoever reads the files by
//! themselves.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Checkpoint};
use super::file::{self, Stretch};
use super::frame::Frame;
use super::recovery::{Whereabouts, lost_behind};
use crate::pages::{Meta, newest_meta};
use crate::platform::{self, WriterLock};

/// A log that is in use: the data file alone may not be the last state.
pub(crate) struct FoundLog {
    checkpoint: Checkpoint,
    /// The data file is not where it was written to, after a power cut or in a copy: the next writer puts the
    /// checkpoint back.
    pub(crate) is_put_back: bool,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// There may have been a later checkpoint.
    is_doubted: bool,
}

const DOUBTED: &str =
    "a checkpoint in ckpt does not read, and nobody can tell whether it was the last";

/// The frames behind a checkpoint that follow each other.
pub(crate) struct FoundFrames {
    stretches: Vec<Stretch>,
    /// The number of the first.
    first: u64,
    /// The transaction behind that of the checkpoint.
    next: u64,
    /// They alone have what is later than the checkpoint.
    are_needed: bool,
    is_doubted: bool,
}

impl FoundLog {
    /// Of a generation of a database. `None` where the data file stands for itself; what is wrong, where
    /// that cannot be told.
    pub(crate) fn read(database: &Path, directory: &Path) -> Result<Option<Self>, String> {
        let path = checkpoint::path_of(directory);
        let told = match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let had_log =
                    [0, 1].iter().any(|stretch| file::path_of(directory, *stretch).exists());
                return if had_log { Err("ckpt is missing".into()) } else { Ok(None) };
            }
            told => told.map_err(|error| format!("ckpt cannot be read: {error}"))?,
        };
        if !told.is_file() {
            return Err("ckpt is no file".into());
        }
        let both = || checkpoint::both(directory).map_err(|error| format!("ckpt: {error}"));
        let both = match both()? {
            // The first may have been written meanwhile.
            [None, None] if matches!(checkpoint::lost(directory), Ok(Some(_))) => both()?,
            both => both,
        };
        let are_both = both.iter().all(Option::is_some);
        let newest = both.into_iter().flatten().max_by_key(|found| found.number);
        let Some(checkpoint) = newest else {
            return match checkpoint::lost(directory) {
                Ok(None) => Ok(None),
                Ok(Some(lost)) => Err(format!("the last checkpoint in ckpt {lost}")),
                Err(error) => Err(format!("ckpt: {error}")),
            };
        };
        if checkpoint.cannot_be_followed() {
            return Err("ckpt has a number that none can have".into());
        }
        // They are written in turn, each in one sector.
        let is_doubted = checkpoint.number > 1 && !are_both;
        if !checkpoint.in_use {
            return match older_than(&checkpoint, directory) {
                Some(lost) => Err(lost),
                None if is_doubted => Err(DOUBTED.into()),
                None => Ok(None),
            };
        }
        let is_put_back = match Whereabouts::of(&checkpoint, directory) {
            Ok(Whereabouts::There) => false,
            Ok(Whereabouts::OtherMount) => !WriterLock::is_held(database),
            Ok(Whereabouts::Elsewhere) | Err(_) => true,
        };
        if is_put_back && let Ok(Some(lost)) = lost_behind(&checkpoint, directory) {
            return Err(format!("the last checkpoint in ckpt {lost}"));
        }
        let files = [0, 1].map(|stretch| fs::metadata(file::path_of(directory, stretch)));
        let bytes = files.into_iter().flatten().map(|told| told.len()).sum();
        Ok(Some(Self { checkpoint, is_put_back, bytes, is_doubted }))
    }

    /// Whether the log has what the data file, which is where it was written, has not.
    pub(crate) fn is_ahead(database: &Path, directory: &Path) -> bool {
        let Ok(Some(log)) = Self::read(database, directory) else { return false };
        !log.is_put_back
            && newest_in(directory)
                .is_some_and(|newest| log.frames(directory).end() > newest.saturating_add(1))
    }

    /// What is missing where nothing is logged, and the data file is older than the last checkpoint.
    pub(crate) fn lost_state(directory: &Path) -> Option<String> {
        let last = checkpoint::newest(directory).ok().flatten();
        older_than(&last.filter(|last| !last.in_use)?, directory)
    }

    /// Whether the data file was written to since the machine was last started: what the system told of it is right,
    /// in a copy, too.
    pub(crate) fn is_of_this_boot(&self, directory: &Path) -> bool {
        let place = fs::File::open(path_of_data(directory)).ok();
        let place = place.and_then(|file| platform::file_place(&file));
        place.is_some_and(|place| place.starts_with(&self.checkpoint.place[..2]))
    }

    /// The transaction and the number of the last frame, or those of the state that it goes on from.
    pub(crate) fn end(&self, directory: &Path) -> (u64, u64) {
        let frames = self.frames(directory);
        let last = frames.frames().last().map(|frame| (frame.transaction, frame.number));
        last.unwrap_or((self.checkpoint.transaction, self.checkpoint.frame))
    }

    /// The meta pages of the state that it goes on from.
    pub(crate) fn metas(&self) -> &[[u8; Meta::SIZE]; 2] {
        &self.checkpoint.metas
    }

    /// Their sums.
    pub(crate) fn sums(&self) -> [u32; 2] {
        self.checkpoint.sums
    }

    /// The transaction of that state.
    pub(crate) fn transaction(&self) -> u64 {
        self.checkpoint.transaction
    }

    pub(crate) fn frames(&self, directory: &Path) -> FoundFrames {
        let Checkpoint { stretch, salt, transaction, frame, .. } = self.checkpoint;
        let mut stretches = Vec::new();
        for number in [stretch, stretch.wrapping_add(1)] {
            if file::path_of(directory, number).is_file() {
                stretches.extend(Stretch::read(directory, number, salt).ok().flatten());
            }
        }
        let (first, next) = (frame.wrapping_add(1), transaction.wrapping_add(1));
        let (are_needed, is_doubted) = (self.is_put_back, self.is_doubted);
        FoundFrames { stretches, first, next, are_needed, is_doubted }
    }
}

fn path_of_data(directory: &Path) -> PathBuf {
    directory.join("data.mdb")
}

/// The last transaction of the data file, where there is one and it reads.
fn newest_in(directory: &Path) -> Option<u64> {
    let path = path_of_data(directory);
    platform::require_file(&path).ok()?;
    Some(newest_meta(&mut fs::File::open(path).ok()?).ok()??.transaction)
}

fn older_than(checkpoint: &Checkpoint, directory: &Path) -> Option<String> {
    let newest = newest_in(directory)?;
    let lost = (newest < checkpoint.transaction).then(|| checkpoint.lost(newest))?;
    Some(format!("data.mdb has lost commits: {lost}"))
}

impl FoundFrames {
    /// Transaction and changes of each, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.frames().map(|frame| (frame.transaction, frame.changes))
    }

    fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        file::following(&self.stretches, self.first)
    }

    /// Why commits are missing behind the state of a transaction and these frames, or may be. The data file
    /// itself tells of the transaction `written`, if both of its meta pages read: no commit is in it whose
    /// frame was not written before.
    pub(crate) fn missing_after(&self, transaction: u64, written: Option<u64>) -> Option<String> {
        let wanted = self.end().max(transaction.saturating_add(1));
        let lost = self.frames().last().map_or(self.first, |last| last.number.saturating_add(1));
        if self.stretches.iter().any(|stretch| stretch.proves(lost, transaction)) {
            return Some(format!(
                "the log has lost the commit of frame {lost}, and has later ones"
            ));
        }
        if !self.are_needed && transaction >= self.next {
            return None;
        }
        if self.is_doubted {
            return Some(DOUBTED.into());
        }
        let are_whole = self.stretches.len() == 2 && self.stretches.iter().all(Stretch::is_whole);
        match written {
            _ if !are_whole => Some(
                "a file of the log is missing or damaged, and nobody can tell what it ended with".into(),
            ),
            None => Some(
                "a meta page of the data file is damaged, and nobody can tell whether the log ends with \
                 the last commit"
                    .into(),
            ),
            Some(written) if written >= wanted => {
                Some(format!("the log has lost the commit {wanted}, of which the data file tells"))
            }
            Some(_) => None,
        }
    }

    /// The transaction behind the last of them.
    pub(crate) fn end(&self) -> u64 {
        self.frames().last().map_or(self.next, |last| last.transaction.saturating_add(1))
    }
}
