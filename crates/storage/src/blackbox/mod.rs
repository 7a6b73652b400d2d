//! The black box: the last events of a database, in a file that a process leaves behind however it ends.
//!
//! It is a ring of events of one size, mapped into memory: to write one is to store some words, and the
//! system has them then. An event says what was done, when, for how long, and how it ended; never with
//! what. Something that takes long is written when it begins, and completed when it ends, so that a process
//! that dies in it leaves it as what it is.
//!
//! Two writers meet in one place only when one of them has taken a thousand times as long as the other. What
//! they leave then, and what a power cut leaves, has a wrong checksum, and is no event.

mod ring;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_db_common::clock::Micros;
use embedded_db_common::metrics::nanoseconds;
use embedded_db_common::record::{Cursor, Damaged, Read};
use embedded_db_common::{Error, Result};

pub use self::ring::{BlackBox, Entry};
pub(crate) use self::ring::{End, panicked};
use crate::platform::{io_error, require_file};

/// The file in the directory of a database.
pub(crate) const FILE: &str = "blackbox";
/// Events that are told.
const TOLD: usize = 1000;
/// Places of events. There are more of them than are told, for some may be half written.
const PLACES: usize = 1024;
/// Bytes of the header, and of an event.
const PLACE: usize = 128;
const LENGTH: usize = PLACE * (PLACES + 1);
const MAGIC: &[u8; 8] = b"edb bbox";
const VERSION: u32 = 1;
/// Bytes of what was done, and of how it ended.
const WHAT: usize = 16;
const DETAIL: usize = 56;
const SUM: usize = PLACE - 4;
const DETAIL_AT: usize = SUM - DETAIL;
const WHAT_AT: usize = DETAIL_AT - WHAT;

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It has not; or its process ended first.
    Running,
    /// Well.
    Ok,
    /// With an error.
    Failed,
}

impl Ending {
    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

/// Something that happened; its texts are borrowed while it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<T = String> {
    /// One more for each event, whatever process wrote it; from 1.
    pub number: u64,
    /// When it began.
    pub time: Micros,
    /// How long it took, if it has ended.
    pub duration: Option<Duration>,
    /// The process.
    pub process: u32,
    /// The thread in the process, in the order in which they came.
    pub thread: u32,
    /// What was done: `commit`, `query`, `open`…
    pub what: T,
    /// How it ended.
    pub ending: Ending,
    /// The name of an error, or the place of a defect in the library.
    pub detail: T,
    /// Number of the last change that it left; 0 where it left none.
    pub lsn: u64,
    /// How many writes or findings it was about.
    pub entries: u64,
}

impl Event<&str> {
    /// Every field at a place that is known when this is compiled: it is done twice for each query.
    fn encode(&self) -> [u8; PLACE] {
        let mut bytes = [0; PLACE];
        let duration = self.duration.map_or(u64::MAX, nanoseconds);
        let (what, detail) = (cut(self.what, WHAT), cut(self.detail, DETAIL));
        bytes[0..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time.to_le_bytes());
        bytes[16..24].copy_from_slice(&duration.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.lsn.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.entries.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.process.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.thread.to_le_bytes());
        bytes[48..51].copy_from_slice(&[self.ending as u8, what.len() as u8, detail.len() as u8]);
        put(&mut bytes[WHAT_AT..DETAIL_AT], what);
        put(&mut bytes[DETAIL_AT..SUM], detail);
        let sum = crc32c::crc32c(&bytes[..SUM]);
        bytes[SUM..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// Writes a text that has room.
fn put(place: &mut [u8], text: &str) {
    place.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
}

impl Event {
    /// What is no event has another sum; so has one that is being written.
    fn parse(bytes: &[u8]) -> Read<Self> {
        let (event, sum) = bytes.split_at_checked(SUM).ok_or(Damaged("is too short"))?;
        if sum != crc32c::crc32c(event).to_le_bytes() {
            return Err(Damaged("has another checksum"));
        }
        let mut cursor = Cursor::new(event);
        let (number, time, duration) = (cursor.u64()?, cursor.i64()?, cursor.u64()?);
        let (lsn, entries) = (cursor.u64()?, cursor.u64()?);
        let (process, thread) = (cursor.u32()?, cursor.u32()?);
        let ending = match cursor.u8()? {
            0 => Ending::Running,
            1 => Ending::Ok,
            2 => Ending::Failed,
            _ => return Err(Damaged("has an ending of no kind")),
        };
        let (what, detail) = (usize::from(cursor.u8()?), usize::from(cursor.u8()?));
        let text = |at: usize, length: usize, most: usize| {
            let bytes = event.get(at..at.saturating_add(length.min(most))).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        if number == 0 {
            return Err(Damaged("has no number"));
        }
        Ok(Self {
            number,
            time,
            duration: (duration != u64::MAX).then(|| Duration::from_nanos(duration)),
            process,
            thread,
            what: text(WHAT_AT, what, WHAT),
            ending,
            detail: text(DETAIL_AT, detail, DETAIL),
            lsn,
            entries,
        })
    }
}

/// The end of a text: of a path, that is what tells.
fn cut(text: &str, most: usize) -> &str {
    text.get(text.ceil_char_boundary(text.len().saturating_sub(most))..).unwrap_or_default()
}

fn header() -> [u8; PLACE] {
    let mut header = [0; PLACE];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&(PLACES as u32).to_le_bytes());
    header[16..20].copy_from_slice(&(PLACE as u32).to_le_bytes());
    header
}

/// Whether a file is a black box of this version.
fn is_ours(bytes: &[u8]) -> bool {
    bytes.len() == LENGTH && bytes.starts_with(&header())
}

/// The events of a file in their order. Places that hold none are left out.
fn events(bytes: &[u8]) -> Vec<Event> {
    let places = bytes.get(PLACE..).unwrap_or_default().chunks_exact(PLACE);
    let mut events: Vec<Event> = places.filter_map(|place| Event::parse(place).ok()).collect();
    events.sort_unstable_by_key(|event| event.number);
    events
}

/// The last events of a database, oldest first, without opening it; whatever has become of it. `path` is its
/// directory, or the file itself.
///
/// # Errors
///
/// `NotFound` where there is none, `DamagedFile` when the file is no black box, `StorageError` as the system
/// says.
pub fn read_black_box(path: &Path) -> Result<Vec<Event>> {
    let file: PathBuf = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    match std::fs::metadata(&file) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotFound { kind: "black box", id: file.display().to_string() });
        }
        Err(error) => return Err(io_error(&file, "look at it", &error)),
    }
    require_file(&file)?;
    let failed = |error: io::Error| io_error(&file, "read the file", &error);
    let mut bytes = Vec::new();
    // One byte more shows that it is longer.
    let most = LENGTH as u64 + 1;
    File::open(&file).and_then(|file| file.take(most).read_to_end(&mut bytes)).map_err(failed)?;
    if !is_ours(&bytes) {
        let detail = "it is no black box of this version".into();
        return Err(Error::DamagedFile { path: file, detail });
    }
    let mut events = events(&bytes);
    let spare = events.len().saturating_sub(TOLD);
    Ok(events.split_off(spare))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        let numbers = (1_u64.., any::<Micros>(), 0..u64::MAX, any::<u64>(), any::<u64>());
        let texts = ("[a-z ü]{0,8}", "[a-zA-Zü/:.0-9]{0,28}", 0_usize..3);
        (numbers, any::<(u32, u32)>(), texts).prop_map(
            |((number, time, nanos, lsn, entries), (process, thread), (what, detail, ending))| {
                let endings = [Ending::Running, Ending::Ok, Ending::Failed];
                let duration = (ending > 0).then(|| Duration::from_nanos(nanos));
                let ending = endings[ending];
                Event {
                    number,
                    time,
                    duration,
                    process,
                    thread,
                    what,
                    ending,
                    detail,
                    lsn,
                    entries,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written(event in event()) {
            let Event { number, time, duration, process, thread, ending, lsn, entries, .. } = event;
            let (what, detail) = (event.what.as_str(), event.detail.as_str());
            let written =
                Event { number, time, duration, process, thread, what, ending, detail, lsn, entries };
            prop_assert_eq!(Event::parse(&written.encode()).unwrap(), event);
        }

        #[test]
        fn bytes_of_any_kind_are_events_or_none(
            mut bytes in prop::collection::vec(any::<u8>(), 0..3 * PLACE),
            summed: bool,
        ) {
            if let Some((event, _)) = bytes.split_at_checked(SUM).filter(|_| summed) {
                let sum = crc32c::crc32c(event);
                bytes.truncate(SUM);
                bytes.extend(sum.to_le_bytes());
            }
            let _none = Event::parse(&bytes);
            let _few = events(&bytes);
        }
    }
}
