//! Checkpoints: a state of the data file that is on the disk as a whole.
//!
//! The file has two places that are written in turn, so one of them is always whole.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use embedded_db_common::record::Cursor;
use embedded_db_common::{Error, Result};

use super::file;
use crate::pages::{Meta, SumsFile};
use crate::platform::{self, io_error, sync_error, write_error};

const MAGIC: &[u8; 8] = b"edb ckpt";
const VERSION: u32 = 1;
/// Bytes of a place; it lies in one sector.
pub(super) const SIZE: usize = 512;
/// From one place to the other.
const DISTANCE: u64 = 4096;

/// What the file tells of the data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Counts up; the higher one counts.
    pub(crate) number: u64,
    /// Whether the data file is written to without syncs. Else it is on the disk as it is.
    pub(crate) in_use: bool,
    /// Whether the frame of each commit behind it was on the disk before that was begun.
    pub(crate) is_durable: bool,
    /// Where the data file lay, as `platform::file_place` says: while it lies there, it can be read as it is.
    pub(crate) place: [u64; 5],
    /// The LMDB transaction of the state.
    pub(crate) transaction: u64,
    /// The stretch of the log that begins after it.
    pub(crate) stretch: u64,
    /// What the frames of this and the next stretch are known by ([`super::file::salt_of`]).
    pub(crate) salt: u64,
    /// The meta pages of the data file, and their sums, when the state was the newest.
    pub(crate) metas: [[u8; Meta::SIZE]; 2],
    pub(crate) sums: [u32; 2],
    /// The last frame of the log that the state has.
    pub(crate) frame: u64,
}

impl Checkpoint {
    pub(super) fn encode(&self) -> [u8; SIZE] {
        let mut out = Vec::with_capacity(SIZE);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let in_use = u32::from(self.in_use) + u32::from(self.in_use && self.is_durable);
        out.extend_from_slice(&in_use.to_le_bytes());
        let numbers = [self.number, self.transaction, self.stretch, self.salt];
        for number in self.place.into_iter().chain(numbers) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        self.sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
        self.metas.iter().for_each(|meta| out.extend_from_slice(meta));
        out.extend_from_slice(&self.frame.to_le_bytes());
        out.resize(SIZE - 4, 0);
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        let mut place = [0; SIZE];
        place.copy_from_slice(&out);
        place
    }

    pub(super) fn parse(bytes: &[u8; SIZE]) -> Option<Self> {
        let (told, sum) = bytes.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*sum) != crc32c::crc32c(told) {
            return None;
        }
        let mut cursor = Cursor::new(told);
        let mut parse = || -> embedded_db_common::record::Read<Option<Self>> {
            if cursor.array::<8>()? != *MAGIC || cursor.u32()? != VERSION {
                return Ok(None);
            }
            let in_use = cursor.u32()?;
            let (in_use, is_durable) = (in_use != 0, in_use == 2);
            let mut place = [0; 5];
            for part in &mut place {
                *part = cursor.u64()?;
            }
            let (number, transaction) = (cursor.u64()?, cursor.u64()?);
            let (stretch, salt) = (cursor.u64()?, cursor.u64()?);
            let sums = [cursor.u32()?, cursor.u32()?];
            let metas = [cursor.array()?, cursor.array()?];
            let frame = cursor.u64()?;
            Ok(Some(Self {
                number,
                in_use,
                is_durable,
                place,
                transaction,
                stretch,
                salt,
                metas,
                sums,
                frame,
            }))
        };
        parse().ok().flatten()
    }
}

impl Checkpoint {
    /// Numbers are counted up from 1; nobody has come that far.
    pub(super) fn cannot_be_followed(&self) -> bool {
        self.exceeds(u64::MAX / 2)
    }

    /// A writer counts on from there, further than in any lifetime, and must not come to the end.
    pub(super) fn cannot_be_counted_on(&self) -> bool {
        self.exceeds(u64::MAX / 4)
    }

    fn exceeds(&self, most: u64) -> bool {
        [self.number, self.transaction, self.stretch, self.frame]
            .iter()
            .any(|number| *number > most)
    }

    /// What is wrong with a data file whose newest transaction is an older one.
    pub(super) fn lost(&self, newest: u64) -> String {
        let told = self.transaction;
        format!("its newest transaction is {newest}, and ckpt tells that {told} was on the disk")
    }
}

/// Makes the checksum of a place, and what it begins with, right.
#[cfg(any(test, fuzzing))]
pub(super) fn seal(place: &mut [u8; SIZE]) {
    let (told, sum) = place.split_last_chunk_mut::<4>().expect("it is as long");
    told[..8].copy_from_slice(MAGIC);
    told[8..12].copy_from_slice(&VERSION.to_le_bytes());
    *sum = crc32c::crc32c(told).to_le_bytes();
}

/// The file, open for writing.
pub(crate) struct CheckpointFile {
    path: PathBuf,
    file: File,
}

/// Where the checkpoints of a generation lie. Whoever reads the data file holds a shared lock on it: a
/// state is put back only where nobody reads.
pub(crate) fn path_of(directory: &Path) -> PathBuf {
    directory.join("ckpt")
}

/// The newest checkpoint; `None` if there never was one.
pub(crate) fn newest(directory: &Path) -> Result<Option<Checkpoint>> {
    let last =
        |both: [Option<Checkpoint>; 2]| both.into_iter().flatten().max_by_key(|found| found.number);
    let mut found = last(both(directory)?);
    if found.is_none()
        && let Some(detail) = lost(directory)?
    {
        // The first may have been written between the two looks.
        found = last(both(directory)?);
        if found.is_none() {
            return Err(damaged(directory, &detail));
        }
    }
    if found.as_ref().is_some_and(Checkpoint::cannot_be_followed) {
        return Err(impossible(directory));
    }
    Ok(found)
}

/// Why there should be a checkpoint where none reads. Before the first is on the disk as a whole nothing is logged,
/// and the data file is right as it is.
pub(super) fn lost(directory: &Path) -> Result<Option<String>> {
    if let Some(last) = SumsFile::later_checkpoint(directory, 0)? {
        return Ok(Some(format!("does not read, and number {last} was written")));
    }
    for stretch in [0, 1] {
        if file::has_frames(directory, stretch)? {
            return Ok(Some("does not read, and there is a log".into()));
        }
    }
    Ok(None)
}

/// It is not missing where there is a log, which may have what the data file has not.
pub(super) fn require(directory: &Path) -> Result<()> {
    let exists =
        |path: &Path| path.try_exists().map_err(|error| io_error(path, "look at it", &error));
    let path = path_of(directory);
    if exists(&path)? {
        return Ok(());
    }
    for stretch in [0, 1] {
        if exists(&file::path_of(directory, stretch))? {
            return Err(damaged(directory, "is missing, and there is a log"));
        }
    }
    Ok(())
}

fn damaged(directory: &Path, detail: &str) -> Error {
    let (path, object) = (path_of(directory), "the last checkpoint".into());
    Error::Corruption { path, object, detail: detail.into() }
}

/// The error of a checkpoint that counts further than anybody has.
pub(super) fn impossible(directory: &Path) -> Error {
    damaged(directory, "has a number that none can have")
}

/// What reads in either place.
pub(crate) fn both(directory: &Path) -> Result<[Option<Checkpoint>; 2]> {
    let path = path_of(directory);
    platform::require_file(&path)?;
    match File::open(&path) {
        Ok(mut file) => read(&mut file).map_err(|error| io_error(&path, "read it", &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok([None, None]),
        Err(error) => Err(io_error(&path, "open it", &error)),
    }
}

fn read(file: &mut File) -> std::io::Result<[Option<Checkpoint>; 2]> {
    let mut both = [None, None];
    for (found, place) in both.iter_mut().zip([0, DISTANCE]) {
        let mut bytes = [0; SIZE];
        file.seek(SeekFrom::Start(place))?;
        match file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        }
        *found = Checkpoint::parse(&bytes);
    }
    Ok(both)
}

impl CheckpointFile {
    /// Makes it where there is none, with room for what will be written.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let path = path_of(directory);
        let failed = |error: std::io::Error| write_error(&path, "open it for writing", &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(failed)?;
        // What is there stays, however short it is.
        let length = platform::file_length(&file).map_err(failed)?;
        let missing = (2 * DISTANCE).saturating_sub(length) as usize;
        platform::write_at(&file, &vec![0; missing], length).map_err(failed)?;
        Ok(Self { path, file })
    }

    /// Writes a checkpoint; it counts when this returns.
    pub(crate) fn write(&self, checkpoint: &Checkpoint) -> Result<()> {
        let place = (checkpoint.number & 1) * DISTANCE;
        platform::write_at(&self.file, &checkpoint.encode(), place)
            .map_err(|error| write_error(&self.path, "write a checkpoint", &error))?;
        self.file.sync_data().map_err(|error| sync_error(&self.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(number: u64) -> Checkpoint {
        Checkpoint {
            number,
            in_use: true,
            is_durable: true,
            place: [1, 2, 3, 4, 5],
            transaction: number,
            stretch: 7,
            salt: 12,
            metas: [[8; Meta::SIZE], [9; Meta::SIZE]],
            sums: [10, 11],
            frame: 13,
        }
    }

    #[test]
    fn the_newest_that_is_whole_counts() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(newest(directory.path()).unwrap(), None);
        let file = CheckpointFile::open(directory.path()).unwrap();
        assert_eq!(newest(directory.path()).unwrap(), None);
        for number in 1..5 {
            file.write(&checkpoint(number)).unwrap();
            assert_eq!(newest(directory.path()).unwrap(), Some(checkpoint(number)));
        }
        for wrong in [
            Checkpoint { transaction: u64::MAX, ..checkpoint(5) },
            Checkpoint { stretch: u64::MAX, ..checkpoint(5) },
            checkpoint(u64::MAX),
        ] {
            file.write(&wrong).unwrap();
            assert!(matches!(newest(directory.path()), Err(Error::Corruption { .. })));
        }
        file.write(&checkpoint(3)).unwrap();
        // The last one was torn.
        let path = path_of(directory.path());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..SIZE {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(newest(directory.path()).unwrap(), Some(checkpoint(3)), "{at}");
        }
    }
}
