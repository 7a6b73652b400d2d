//! A file of the log.
//!
//! It is full of zeros that are on the disk before a frame is written into it, so that a sync of the frame
//! has nothing but the frame to write. It is used again for a later stretch of the log; a salt of its own
//! for each stretch tells the frames of it from older ones, and from whatever bytes users store.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded_db_common::{Error, Result};

use super::frame::{ALIGNMENT, Frame};
use crate::platform::{self, io_error, sync_error, write_error};

/// What a file begins with: a name and a version.
pub(super) const HEADER: [u8; ALIGNMENT] = {
    let mut header = [0; ALIGNMENT];
    if let Some(begin) = header.first_chunk_mut() {
        *begin = *b"edb log\n\x01";
    }
    header
};
const FIRST_LENGTH: u64 = 64 << 10;
/// What would be written behind that goes to the data file at once.
pub(super) const MOST_LENGTH: u64 = if cfg!(test) { 4 << 20 } else { 1 << 30 };

/// The file in which a stretch of the log lies.
pub(super) fn path_of(directory: &Path, stretch: u64) -> PathBuf {
    directory.join(format!("log.{}", stretch & 1))
}

/// Both files are there, as they were before a checkpoint that is in use was written.
pub(super) fn require_both(directory: &Path) -> Result<()> {
    for stretch in [0, 1] {
        let path = path_of(directory, stretch);
        let mut start = HEADER;
        let told = File::open(&path).and_then(|mut file| {
            file.read_exact(&mut start)?;
            platform::file_length(&file)
        });
        let detail = match told {
            Ok(length) if start == HEADER && length >= FIRST_LENGTH => continue,
            Ok(_) => "is no whole file of a log",
            Err(error) if error.kind() == ErrorKind::NotFound => "is missing",
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => "is no whole file of a log",
            Err(error) => return Err(io_error(&path, "read it", &error)),
        };
        let object = format!("log.{stretch}");
        return Err(Error::Corruption {
            path: directory.to_owned(),
            object,
            detail: detail.into(),
        });
    }
    Ok(())
}

/// Whether anything lies behind the beginning of the file of a stretch.
pub(super) fn has_frames(directory: &Path, stretch: u64) -> Result<bool> {
    let found = Stretch::read(directory, stretch, 0)?;
    let bytes = found.as_ref().and_then(|found| found.bytes.get(HEADER.len()..));
    Ok(bytes.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0)))
}

/// What the frames of a stretch are known by, of those that follow a salt.
pub(super) fn salt_of(salt: u64, stretch: u64) -> u64 {
    // An odd number that is far from regular: no two stretches have the same.
    salt.wrapping_add(stretch.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A file that frames are written to.
pub(super) struct LogFile {
    path: PathBuf,
    file: Arc<File>,
    salt: u64,
    /// Bytes that have their place on the disk.
    length: u64,
    /// Where the next frame goes.
    end: u64,
}

impl LogFile {
    /// Opens both files, and makes those that are not there.
    pub(super) fn open_both(directory: &Path) -> Result<[Self; 2]> {
        Ok([Self::open(directory, 0)?, Self::open(directory, 1)?])
    }

    fn open(directory: &Path, stretch: u64) -> Result<Self> {
        let path = path_of(directory, stretch);
        let failed = |error: std::io::Error| write_error(&path, "open the log", &error);
        let mut options = platform::private();
        options.read(true).write(true).create(true).truncate(false);
        let file = Arc::new(options.open(&path).map_err(failed)?);
        let length = platform::file_length(&file).map_err(failed)?;
        let mut opened = Self { path: path.clone(), file, salt: 0, length, end: 0 };
        if length < FIRST_LENGTH {
            opened.lengthen(FIRST_LENGTH)?;
        }
        // Whoever made it may have been killed before it was on the disk.
        platform::write_at(&opened.file, &HEADER, 0)
            .and_then(|()| opened.file.sync_all())
            .map_err(failed)?;
        Ok(opened)
    }

    /// Begins a stretch; what is in the file means nothing any more.
    pub(super) fn begin(&mut self, stretch: u64, salt: u64) {
        (self.salt, self.end) = (salt_of(salt, stretch), HEADER.len() as u64);
    }

    /// The file itself with its path, to sync it while it is written to.
    pub(super) fn shared(&self) -> (PathBuf, Arc<File>) {
        (self.path.clone(), Arc::clone(&self.file))
    }

    /// Writes a frame behind the others. It is on the disk after [`LogFile::sync`].
    pub(super) fn append(&mut self, frame: &Frame<'_>) -> Result<()> {
        let bytes = frame.encode(self.salt);
        let end = self.end + bytes.len() as u64;
        if end > self.length {
            self.lengthen(end.next_power_of_two())?;
        }
        platform::write_at(&self.file, &bytes, self.end)
            .map_err(|error| write_error(&self.path, "write to the log", &error))?;
        self.end = end;
        Ok(())
    }

    /// Whether a frame has room. It is known to be no longer than its changes and this, before it is made.
    pub(super) fn has_room(&self, changes: usize) -> bool {
        const HEAD: u64 = 4096;
        let end = self.end.saturating_add(changes as u64).saturating_add(HEAD);
        end.next_power_of_two() <= MOST_LENGTH
    }

    /// Takes the last frame back, which began there: it was not committed.
    pub(super) fn take_back(&mut self, begin: u64) -> Result<()> {
        platform::write_at(&self.file, &[0; ALIGNMENT], begin)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| sync_error(&self.path, &error))?;
        self.end = begin;
        Ok(())
    }

    /// Where the next frame goes.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| sync_error(&self.path, &error))
    }

    fn lengthen(&mut self, length: u64) -> Result<()> {
        const STEP: u64 = 1 << 20;
        let mut zeros = vec![0; length.saturating_sub(self.length).min(STEP) as usize];
        while self.length < length {
            zeros.truncate((length - self.length) as usize);
            platform::write_at(&self.file, &zeros, self.length)
                .map_err(|error| write_error(&self.path, "lengthen the log", &error))?;
            self.length += zeros.len() as u64;
        }
        Ok(())
    }
}

/// A stretch of the log, as it was found.
pub(super) struct Stretch {
    path: PathBuf,
    bytes: Vec<u8>,
    salt: u64,
}

impl Stretch {
    /// What lies in the file of a stretch; `None` if there is no file.
    pub(super) fn read(directory: &Path, stretch: u64, salt: u64) -> Result<Option<Self>> {
        let path = path_of(directory, stretch);
        let length = std::fs::metadata(&path).map_or(0, |told| told.len());
        if length > MOST_LENGTH {
            return Err(Error::Corruption {
                path,
                object: "the log".into(),
                detail: format!("has {length} bytes, and none has more than {MOST_LENGTH}"),
            });
        }
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(Self { path, bytes, salt: salt_of(salt, stretch) })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(&path, "read the log", &error)),
        }
    }

    /// Whether the file begins and ends as such files do.
    pub(super) fn is_whole(&self) -> bool {
        let length = self.bytes.len() as u64;
        length >= FIRST_LENGTH && length.is_power_of_two() && self.bytes.starts_with(&HEADER)
    }

    /// Its frames in their order from that of a number on, up to where none follows.
    pub(super) fn frames_from(&self, first: u64) -> impl Iterator<Item = Frame<'_>> {
        let mut at = self.place_of(first);
        std::iter::from_fn(move || {
            let (frame, length) = self.frame_at(at?)?;
            at = Some(at? + length);
            Some(frame)
        })
    }

    /// Where the first frame lies whose number is not smaller.
    fn place_of(&self, number: u64) -> Option<usize> {
        let (mut at, mut before) = (HEADER.len(), None);
        while let Some((frame, length)) = self.frame_at(at) {
            if frame.number >= number {
                return Some(at);
            }
            before = Some(frame.number);
            at += length;
        }
        if before.is_some() && before == number.checked_sub(1) {
            return None;
        }
        // One before it may have been lost by the disk. The state that is gone on from needs none of them.
        let is_it =
            |at: &usize| self.frame_at(*at).is_some_and(|(frame, _)| frame.number == number);
        (at..self.bytes.len()).step_by(ALIGNMENT).find(is_it)
    }

    fn frame_at(&self, at: usize) -> Option<(Frame<'_>, usize)> {
        Frame::parse(self.bytes.get(at..)?, self.salt)
    }

    /// Whether a frame is there that would not be, had that of a number not reached the disk, and that a state
    /// does not have.
    pub(super) fn proves(&self, missing: u64, state: u64) -> bool {
        let places = (HEADER.len()..self.bytes.len()).step_by(ALIGNMENT);
        places.filter_map(|at| self.frame_at(at)).any(|(frame, _)| {
            frame.number > missing && frame.synced >= missing && frame.transaction > state
        })
    }
}

/// The frames that follow each other from that of a number on. The data file may have had the first of
/// them when it was last found.
pub(super) fn following(stretches: &[Stretch], first: u64) -> impl Iterator<Item = Frame<'_>> {
    let mut wanted = first;
    stretches.iter().flat_map(move |stretch| stretch.frames_from(first)).filter(move |frame| {
        let follows = frame.number == wanted;
        wanted += u64::from(follows);
        follows
    })
}

/// The frame of a number is missing.
pub(super) fn missing(database: &Path, stretch: &Stretch, number: u64) -> Error {
    let name = stretch.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Error::Corruption {
        path: database.to_owned(),
        object: name,
        detail: format!("frame {number} is missing, and later ones are there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_behind_one_that_the_disk_has_lost_are_found() {
        let salt = salt_of(7, 1);
        let frame = |number| {
            let changes = &[number as u8; 70];
            Frame { number, transaction: number, synced: 0, lsn: 0, changes }.encode(salt)
        };
        let mut bytes = HEADER.to_vec();
        let lost = bytes.len() + frame(1).len()..bytes.len() + frame(1).len() + frame(2).len();
        (1..5).for_each(|number| bytes.extend(frame(number)));
        bytes[lost].fill(0);
        let stretch = [Stretch { path: PathBuf::new(), bytes, salt }];
        let found =
            |first| following(&stretch, first).map(|frame| frame.number).collect::<Vec<_>>();
        assert_eq!(found(1), [1]);
        assert_eq!(found(2), []);
        assert_eq!(found(3), [3, 4]);
        assert_eq!(found(4), [4]);
        assert_eq!(found(5), []);
    }
}
