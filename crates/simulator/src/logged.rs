//! What a process does with the log of a database, as its writes tell.

use std::collections::BTreeMap;

use crate::disk::Disk;
use crate::log::{Event, Id};
use crate::tally::Tally;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Checkpoint,
    /// The file of odd stretches, or that of even ones.
    Log(u8),
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "data.mdb" => Self::Data,
            "ckpt" => Self::Checkpoint,
            "log.0" => Self::Log(0),
            "log.1" => Self::Log(1),
            _ => return None,
        })
    }
}

/// Follows it, event by event.
pub(crate) struct Watch<'t> {
    tally: &'t Tally,
    kinds: BTreeMap<Id, Kind>,
    /// Which file the newest checkpoint that was written tells of, while commits are logged.
    stretch: Option<u8>,
    /// The data file was synced for a checkpoint that is not on the disk yet.
    in_checkpoint: bool,
    /// There are frames behind a checkpoint that is not on the disk yet.
    in_both: bool,
    /// Commits since a state was put back, until the database is open.
    again: Option<u32>,
}

impl<'t> Watch<'t> {
    pub(crate) fn new(disk: &Disk, tally: &'t Tally) -> Self {
        let mut kinds = BTreeMap::new();
        disk.names.each(&mut |path, named| {
            let name = path.rsplit('/').next().unwrap_or_default();
            kinds.extend(Kind::of(name).map(|kind| (named.id, kind)));
        });
        let (stretch, again) = (None, None);
        Self { tally, kinds, stretch, in_checkpoint: false, in_both: false, again }
    }

    pub(crate) fn step(&mut self, event: &Event<'_>) {
        match *event {
            Event::Make { name, id, is_directory: false, .. } => {
                self.kinds.extend(Kind::of(name).map(|kind| (id, kind)));
            }
            Event::Write { file, at, bytes, .. } => self.written(file, at, bytes),
            Event::Sync { id, failed: None } => match self.kinds.get(&id) {
                Some(Kind::Data) => self.in_checkpoint = self.stretch.is_some(),
                Some(Kind::Checkpoint) => (self.in_checkpoint, self.in_both) = (false, false),
                _ => {}
            },
            Event::Found(_) if self.again.take().is_some_and(|frames| frames > 0) => {
                self.tally.count("replays");
            }
            _ => {}
        }
    }

    fn written(&mut self, file: Id, at: u64, bytes: &[u8]) {
        let number = |at: usize| bytes.get(at..at + 8).map(|bytes| bytes[0]);
        match self.kinds.get(&file) {
            // Those that begin with zeros lengthen the file, or take a frame back.
            Some(Kind::Log(which)) if at > 0 && bytes.iter().take(8).any(|byte| *byte != 0) => {
                self.tally.count("commits through the log");
                self.in_both |= self.stretch.is_some_and(|stretch| stretch != *which);
            }
            Some(Kind::Checkpoint) if bytes.len() == 512 => {
                let is_in_use = number(12).is_some_and(|in_use| in_use == 1);
                self.tally.count(if is_in_use { "checkpoints" } else { "ends of the log" });
                self.stretch = number(72).filter(|_| is_in_use).map(|stretch| stretch & 1);
            }
            Some(Kind::Data) if bytes.len() == 152 => {
                self.tally.count("checkpoints put back");
                self.again = Some(0);
            }
            // A meta page.
            Some(Kind::Data) if at < 8192 && bytes.len() < 152 => {
                if let Some(frames) = &mut self.again {
                    *frames += 1;
                    self.tally.count("frames done again");
                }
            }
            _ => {}
        }
    }

    /// The power is cut.
    pub(crate) fn cut(&self) {
        self.tally.count("power cuts");
        let at_work = [
            (self.in_checkpoint, "power cuts within a checkpoint"),
            (self.in_both, "power cuts with frames in both files"),
            (self.again.is_some(), "power cuts within a replay"),
        ];
        for (_, name) in at_work.into_iter().filter(|(is_at_work, _)| *is_at_work) {
            self.tally.count(name);
        }
    }
}
