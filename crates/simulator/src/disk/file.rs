//! A file on a disk: what the system shows of it, and what is on the disk.

use super::cut::Cut;
use crate::log::Fate;
use crate::random::Random;

/// What a disk writes at once.
pub(super) const SECTOR: usize = 512;
/// Sectors that the system writes at once.
const PAGE: usize = 8;

#[derive(Debug, Clone, Default)]
pub(super) struct File {
    /// As every process sees it.
    pub(super) shown: Vec<u8>,
    /// As it is on the disk, in whole sectors, and how many of the bytes count.
    stored: Vec<u8>,
    length: usize,
    /// What was told since it was last synced, in order.
    waiting: Vec<Change>,
    /// Whether anything may be in it after a power cut.
    pub(super) volatile: bool,
    /// Whether it is stored into by a map: that what was there is stored again, nobody sees.
    pub(super) mapped: bool,
}

#[derive(Debug, Clone)]
enum Change {
    /// Whole sectors, from this one on.
    Sectors {
        first: usize,
        bytes: Vec<u8>,
        fate: Fate,
    },
    Length(usize),
}

impl File {
    /// A file that is on the disk as it is shown.
    pub(super) fn stored(bytes: Vec<u8>) -> Self {
        let (shown, length) = (bytes.clone(), bytes.len());
        Self { shown, stored: bytes, length, ..Self::default() }
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8], fate: Fate) {
        let end = at + bytes.len();
        let longer = end > self.shown.len();
        if longer {
            self.shown.resize(end, 0);
        }
        self.shown[at..end].copy_from_slice(bytes);
        let first = at / SECTOR;
        let mut sectors = self.shown[first * SECTOR..end].to_vec();
        let last = end.next_multiple_of(SECTOR).min(self.shown.len());
        sectors.extend_from_slice(&self.shown[end..last]);
        sectors.resize(sectors.len().next_multiple_of(SECTOR), 0);
        self.waiting.push(Change::Sectors { first, bytes: sectors, fate });
        if longer {
            self.waiting.push(Change::Length(end));
        }
    }

    pub(super) fn set_length(&mut self, length: usize) {
        self.shown.resize(length, 0);
        self.waiting.push(Change::Length(length));
    }

    /// What was written to a place is on the disk, with the length that it needs.
    pub(super) fn sync_range(&mut self, at: usize, length: usize) -> Vec<Misplaced> {
        let (first, end) = (at / SECTOR, (at + length).div_ceil(SECTOR));
        let mut misplaced = Vec::new();
        let mut rest = Vec::new();
        for change in std::mem::take(&mut self.waiting) {
            match change {
                Change::Sectors { first: from, bytes, fate }
                    if from < end && first < from + bytes.len() / SECTOR =>
                {
                    misplaced.extend(self.apply(from, &bytes, fate));
                }
                other => rest.push(other),
            }
        }
        self.waiting = rest;
        self.length = self.length.max((at + length).min(self.shown.len()));
        misplaced
    }

    /// All is on the disk.
    pub(super) fn sync(&mut self) -> Vec<Misplaced> {
        let mut misplaced = Vec::new();
        for change in std::mem::take(&mut self.waiting) {
            match change {
                Change::Sectors { first, bytes, fate } => {
                    misplaced.extend(self.apply(first, &bytes, fate));
                }
                Change::Length(length) => self.cut_to(length),
            }
        }
        misplaced
    }

    /// What is behind the end is gone, and zeros should the file grow again.
    fn cut_to(&mut self, length: usize) {
        if length < self.stored.len() {
            self.stored.truncate(length);
            self.stored.resize(length.next_multiple_of(SECTOR), 0);
        }
        self.length = length;
    }

    /// Some of what waits is on the disk, some waits on, and some never will be there unless it is
    /// written again: each page in one way, for the system has one state of it to write.
    pub(super) fn fail_to_sync(&mut self, number: u64) {
        let mut waiting = Vec::new();
        for change in std::mem::take(&mut self.waiting) {
            let Change::Sectors { first, bytes, fate } = change else {
                waiting.push(change);
                continue;
            };
            let mut at = 0;
            while at < bytes.len() {
                let sector = first + at / SECTOR;
                let end = bytes.len().min(at + (PAGE - sector % PAGE) * SECTOR);
                let part = bytes[at..end].to_vec();
                at = end;
                match Random::of(number, (sector / PAGE) as u64).below(3) {
                    0 => drop(self.apply(sector, &part, fate)),
                    1 if !self.mapped => {}
                    _ => waiting.push(Change::Sectors { first: sector, bytes: part, fate }),
                }
            }
        }
        self.waiting = waiting;
    }

    /// Writes sectors to the disk, as it does; those that go to another place are given back.
    fn apply(&mut self, first: usize, bytes: &[u8], fate: Fate) -> Option<Misplaced> {
        let mut put = |place: usize, sector: &[u8]| {
            let at = (first + place) * SECTOR;
            if self.stored.len() < at + SECTOR {
                self.stored.resize(at + SECTOR, 0);
            }
            self.stored[at..at + SECTOR].copy_from_slice(sector);
        };
        match fate {
            Fate::Lost => None,
            Fate::Misdirected(number) => Some(Misplaced { bytes: bytes.to_vec(), number }),
            Fate::Kept => {
                bytes.chunks(SECTOR).enumerate().for_each(|(place, sector)| put(place, sector));
                None
            }
            Fate::Torn(number) => {
                let mut random = Random::of(number, 0);
                for (place, sector) in bytes.chunks(SECTOR).enumerate() {
                    if random.once_in(2) {
                        put(place, sector);
                    }
                }
                None
            }
        }
    }

    /// Another write of the disk went here.
    pub(super) fn overwrite(&mut self, misplaced: &Misplaced) {
        let sectors = self.length / SECTOR;
        if sectors == 0 {
            return;
        }
        let mut random = Random::of(misplaced.number, 1);
        let first = random.below(sectors) / 8 * 8;
        for (place, sector) in misplaced.bytes.chunks(SECTOR).enumerate() {
            let at = (first + place) * SECTOR;
            if let Some(there) = self.stored.get_mut(at..at + SECTOR) {
                there.copy_from_slice(sector);
            }
        }
    }

    /// What is there after a power cut.
    pub(super) fn after(&self, cut: &mut Cut) -> Self {
        let (mut stored, mut length) = (self.stored.clone(), self.length);
        stored.resize(stored.len().next_multiple_of(SECTOR), 0);
        for change in &self.waiting {
            match change {
                Change::Length(told) => {
                    if cut.keeps() {
                        length = *told;
                    }
                }
                Change::Sectors { first, bytes, fate } => {
                    cut.begin_write();
                    let mut random = match fate {
                        Fate::Kept => None,
                        Fate::Torn(number) => Some(Random::of(*number, 0)),
                        Fate::Lost | Fate::Misdirected(_) => continue,
                    };
                    for (place, sector) in bytes.chunks(SECTOR).enumerate() {
                        let lost = random.as_mut().is_some_and(|random| !random.once_in(2));
                        if lost || !cut.keeps_sector() {
                            continue;
                        }
                        let at = (first + place) * SECTOR;
                        if stored.len() < at + SECTOR {
                            stored.resize(at + SECTOR, 0);
                        }
                        stored[at..at + SECTOR].copy_from_slice(sector);
                    }
                }
            }
        }
        stored.resize(length, 0);
        Self::stored(stored)
    }
}

/// A write that the disk has put somewhere else.
#[derive(Debug, Clone)]
pub(super) struct Misplaced {
    bytes: Vec<u8>,
    pub(super) number: u64,
}
