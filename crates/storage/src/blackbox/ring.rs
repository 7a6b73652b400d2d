//! The ring that a writing process has mapped.

use std::fs::File;
use std::io::Read;
use std::panic::Location;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use embedded_db_common::clock::{self, Micros};
use embedded_db_common::metrics::thread_number;
use embedded_db_common::{Error, Result};
use memmap2::{MmapOptions, MmapRaw};

use super::{Ending, Event, LENGTH, PLACE, PLACES, events, header, is_ours};
use crate::platform::{self, write_at, write_error};

/// Words of an event.
const WORDS: usize = PLACE / 8;

/// Those that are open in this process, for panics.
static OPEN: Mutex<Vec<Weak<BlackBox>>> = Mutex::new(Vec::new());

/// The black box of an open database.
pub struct BlackBox {
    map: MmapRaw,
    /// The number of the next event.
    next: AtomicU64,
    opened: (Micros, Instant),
    process: u32,
    fork_generation: u32,
}

/// An event that was begun.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    number: u64,
    begun: Instant,
    what: &'static str,
}

/// How an event ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct End<'t> {
    pub(crate) failed: bool,
    pub(crate) detail: &'t str,
    pub(crate) lsn: u64,
    pub(crate) entries: u64,
}

impl BlackBox {
    /// Opens it, or makes it where there is none that is whole. Nobody else may write to it.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        platform::require_file(path)?;
        let mut options = platform::private();
        let opened = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| write_error(path, "open it", &error))?;
        let mut bytes = Vec::with_capacity(LENGTH);
        let limit = LENGTH as u64 + 1;
        let read = Read::by_ref(&mut file).take(limit).read_to_end(&mut bytes);
        read.map_err(|error| write_error(path, "read it", &error))?;
        let mut last = 0;
        if is_ours(&bytes) {
            last = events(&bytes).last().map_or(0, |event| event.number);
        } else {
            make(&file).map_err(|error| write_error(path, "make it", &error))?;
        }
        let map = MmapOptions::new().len(LENGTH).map_raw(&file);
        let map = map.map_err(|error| write_error(path, "map it", &error))?;
        let black_box = Arc::new(Self {
            map,
            next: AtomicU64::new(last.saturating_add(1)),
            opened: (clock::now(), Instant::now()),
            process: std::process::id(),
            fork_generation: platform::fork_generation(),
        });
        platform::unforked(|| {
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|other| other.strong_count() > 0);
            open.push(Arc::downgrade(&black_box));
        });
        Ok(black_box)
    }

    /// Something begins.
    pub fn begin(&self, what: &'static str, begun: Instant) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { number, begun, what };
        self.write(entry, None, End::default());
        entry
    }

    /// It has ended, with an error or well.
    pub fn end(&self, entry: Entry, ended: Instant, failed: Option<&Error>) {
        let detail = failed.map_or("", Error::code);
        self.close(entry, ended, End { failed: failed.is_some(), detail, ..End::default() });
    }

    /// The same, and what came of it. Others may have taken its place, if it took long: then it gets another.
    pub(crate) fn close(&self, mut entry: Entry, ended: Instant, end: End<'_>) {
        if self.word(entry.number, 0).load(Ordering::Relaxed) != entry.number.to_le() {
            entry.number = self.next.fetch_add(1, Ordering::Relaxed);
        }
        self.write(entry, Some(ended), end);
    }

    /// Something has happened.
    pub(crate) fn note(&self, what: &'static str, end: End<'_>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        self.write(Entry { number, begun, what }, Some(begun), end);
    }

    fn write(&self, entry: Entry, ended: Option<Instant>, end: End<'_>) {
        if self.fork_generation != platform::fork_generation() {
            return;
        }
        let ending = match ended {
            None => Ending::Running,
            Some(_) if end.failed => Ending::Failed,
            Some(_) => Ending::Ok,
        };
        let since = entry.begun.saturating_duration_since(self.opened.1).as_micros();
        let event = Event {
            number: entry.number,
            time: self.opened.0.saturating_add(i64::try_from(since).unwrap_or(i64::MAX)),
            duration: ended.map(|ended| ended.saturating_duration_since(entry.begun)),
            process: self.process,
            thread: thread_number(),
            what: entry.what,
            ending,
            detail: end.detail,
            lsn: end.lsn,
            entries: end.entries,
        };
        let bytes = event.encode();
        let (words, _) = bytes.as_chunks::<8>();
        // A place without a number is no event, until all of it is there.
        self.word(entry.number, 0).store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        for (at, word) in words.iter().enumerate().skip(1) {
            self.word(entry.number, at).store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        self.word(entry.number, 0).store(entry.number.to_le(), Ordering::Release);
    }

    /// A word of the place of an event.
    fn word(&self, number: u64, word: usize) -> &AtomicU64 {
        let place = PLACE * (1 + (number % PLACES as u64) as usize);
        let at = place + 8 * word.min(WORDS - 1);
        // SAFETY: the map has LENGTH bytes, begins at a page and so is aligned, and is there as long as `self`.
        // Every access of it is one of these atomics.
        #[allow(unsafe_code)]
        unsafe {
            &*self.map.as_ptr().add(at).cast::<AtomicU64>()
        }
    }
}

/// Makes a file of which all bytes have their place on the disk: a store into a map finds no disk full then.
fn make(file: &File) -> std::io::Result<()> {
    file.set_len(0)?;
    let mut bytes = header().to_vec();
    bytes.resize(LENGTH, 0);
    write_at(file, &bytes, 0)
}

/// A panic is written down wherever a black box is open. It may have come while anything is locked.
pub(crate) fn panicked(at: Option<&Location<'_>>) {
    let Ok(open) = OPEN.try_lock() else { return };
    let detail = at.map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
    for black_box in open.iter().filter_map(Weak::upgrade) {
        black_box.note("panic", End { failed: true, detail: &detail, ..End::default() });
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::{TOLD, read_black_box};
    use super::*;

    fn home() -> (tempfile::TempDir, std::path::PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("blackbox");
        (home, path)
    }

    #[test]
    fn the_last_thousand_events_are_told_in_their_order() {
        let (home, path) = home();
        let black_box = BlackBox::open(&path).unwrap();
        for lsn in 1..=3000 {
            black_box.note("commit", End { lsn, entries: 2, ..End::default() });
        }
        // It is mapped still, as by a process that was killed.
        let events = read_black_box(home.path()).unwrap();
        assert_eq!(events.len(), TOLD);
        assert!(events.iter().map(|event| event.lsn).eq(2001..=3000));
        let last = events.last().unwrap();
        assert_eq!((last.number, last.what.as_str(), last.entries), (3000, "commit", 2));
        assert_eq!((last.ending, last.process), (Ending::Ok, std::process::id()));
        assert!((clock::now() - last.time).abs() < 60_000_000);
    }

    #[test]
    fn numbers_go_on_when_it_is_opened_again() {
        let (_home, path) = home();
        BlackBox::open(&path).unwrap().note("open", End::default());
        let black_box = BlackBox::open(&path).unwrap();
        black_box.note("open", End::default());
        let events = read_black_box(&path).unwrap();
        assert!(events.iter().map(|event| event.number).eq([1, 2]));
    }

    #[test]
    fn what_has_begun_is_there_before_it_ends() {
        let (_home, path) = home();
        let black_box = BlackBox::open(&path).unwrap();
        let entry = black_box.begin("query", Instant::now());
        let running = read_black_box(&path).unwrap();
        assert_eq!((running[0].ending, running[0].duration), (Ending::Running, None));
        black_box.end(entry, Instant::now(), Some(&Error::Interrupted));
        let ended = read_black_box(&path).unwrap();
        assert_eq!(ended.len(), 1, "it keeps its place");
        assert_eq!((ended[0].ending, ended[0].detail.as_str()), (Ending::Failed, "Interrupted"));
        assert!(ended[0].duration.is_some());
    }

    #[test]
    fn what_took_so_long_that_its_place_was_taken_gets_another() {
        let (_home, path) = home();
        let black_box = BlackBox::open(&path).unwrap();
        let entry = black_box.begin("backup", Instant::now());
        for _ in 0..PLACES {
            black_box.note("commit", End::default());
        }
        black_box.end(entry, Instant::now(), None);
        let events = read_black_box(&path).unwrap();
        assert_eq!(events.last().unwrap().what, "backup");
        assert_eq!(events.last().unwrap().ending, Ending::Ok);
    }

    #[test]
    fn threads_write_at_once() {
        let (_home, path) = home();
        let black_box = BlackBox::open(&path).unwrap();
        thread::scope(|scope| {
            for thread in 0..4 {
                let black_box = &black_box;
                scope.spawn(move || {
                    for at in 0..200 {
                        let entry = black_box.begin("query", Instant::now());
                        let end = End { lsn: thread * 200 + at, ..End::default() };
                        black_box.close(entry, Instant::now(), end);
                    }
                });
            }
        });
        let events = read_black_box(&path).unwrap();
        let mut lsns: Vec<u64> = events.iter().map(|event| event.lsn).collect();
        lsns.sort_unstable();
        assert!(lsns.into_iter().eq(0..800));
        assert!(events.iter().map(|event| event.number).eq(1..=800));
    }

    #[test]
    fn damage_costs_the_events_that_it_hits_and_no_others() {
        let (_home, path) = home();
        let black_box = BlackBox::open(&path).unwrap();
        for lsn in 1..=10 {
            black_box.note("commit", End { lsn, ..End::default() });
        }
        drop(black_box);
        let whole = std::fs::read(&path).unwrap();
        for at in (PLACE..12 * PLACE).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            let hit = (at / PLACE - 1) as u64;
            let left: Vec<u64> =
                read_black_box(&path).unwrap().iter().map(|it| it.number).collect();
            let expected: Vec<u64> = (1..=10).filter(|number| *number != hit).collect();
            assert_eq!(left, expected, "{at}");
        }
        for length in [0, 1, PLACE, LENGTH - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(read_black_box(&path), Err(Error::DamagedFile { .. })), "{length}");
            // Who opens it makes it anew.
            BlackBox::open(&path).unwrap().note("open", End::default());
            assert_eq!(read_black_box(&path).unwrap().len(), 1);
        }
        assert!(matches!(
            read_black_box(Path::new("/nowhere")),
            Err(Error::NotFound { kind: "black box", .. })
        ));
    }

    #[test]
    fn long_texts_keep_their_ends() {
        let (_home, path) = home();
        let black_box = BlackBox::open(&path).unwrap();
        let long = format!("{}/crates/ü/src/engine.rs:7", "long/".repeat(40));
        black_box.note("a name of twenty-six bytes", End { detail: &long, ..End::default() });
        let event = read_black_box(&path).unwrap().remove(0);
        assert_eq!(event.what, "twenty-six bytes");
        assert!(long.ends_with(&event.detail) && event.detail.len() <= 56, "{}", event.detail);
        assert!(event.detail.ends_with("engine.rs:7"));
    }
}
