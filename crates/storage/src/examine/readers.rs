//! Who reads, by LMDB's table of readers: which states are held, so that their pages are not used again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::data::Data;
use super::place::Place;
use super::{Fact, Finding};
use crate::platform::{is_alive, mutex_bytes, same_file};

const ABOUT: &str = "readers";
/// Commits after which a state keeps much from being used again.
const MANY: u64 = 10_000;
/// What begins the table, and how long a place in it is.
const MAGIC: u32 = 0xBEEF_C0DE;
const LINE: usize = 64;
/// Most places in it.
const MOST: usize = 1 << 16;

/// Files that were opened: closing one would drop the locks of this process that show that its own
/// readers live, so none is ever closed.
static OPENED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A place in the table that holds a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reader {
    process: u32,
    transaction: u64,
}

pub(super) fn look(place: &Place, data: Option<&Data>, findings: &mut Vec<Finding>) {
    let bytes = read(&place.directory.join("lock.mdb"));
    let readers = bytes.and_then(|bytes| table(&bytes, mutex_bytes()?));
    findings.push(match readers {
        Some(readers) => judged(&readers, data.map_or(0, |data| data.transaction)),
        None => Finding::ok(ABOUT, "nobody can tell who reads").with("count", Fact::Unknown),
    });
}

/// What these mean where this transaction is the newest.
fn judged(readers: &[Reader], newest: u64) -> Finding {
    let processes: BTreeSet<u32> = readers.iter().map(|reader| reader.process).collect();
    let dead: Vec<String> = processes
        .iter()
        .filter(|process| is_alive(**process) == Some(false))
        .map(u32::to_string)
        .collect();
    let oldest = readers.iter().min_by_key(|reader| reader.transaction);
    let behind = oldest.map_or(0, |reader| newest.saturating_sub(reader.transaction));
    let text = match oldest {
        None => "nobody reads".into(),
        Some(oldest) => format!(
            "{} states are held by {} processes, the oldest, {behind} commits ago, by process {}",
            readers.len(),
            processes.len(),
            oldest.process
        ),
    };
    let finding = if !dead.is_empty() {
        let text = format!("{text}; without a living process: {}", dead.join(", "));
        let remedy = "open the database, which lets go of what ended processes held";
        Finding::warning(ABOUT, text, remedy)
    } else if behind > MANY {
        let remedy = "close old snapshots, or lower max_snapshot_age: the file grows for them";
        Finding::warning(ABOUT, text, remedy)
    } else {
        Finding::ok(ABOUT, text)
    };
    finding
        .with("count", readers.len() as u64)
        .with("processes", processes.len() as u64)
        .with("dead", dead.len() as u64)
        .with("oldest_behind", behind)
}

/// The places that are taken, of a table with locks of so many bytes; `None` where it does not tell.
fn table(bytes: &[u8], mutex: usize) -> Option<Vec<Reader>> {
    let number = |at: usize| bytes.get(at..)?.first_chunk().map(|it| u32::from_ne_bytes(*it));
    let long = |at: usize| bytes.get(at..)?.first_chunk().map(|it| u64::from_ne_bytes(*it));
    // Magic, format, last transaction, places that were ever taken, a lock; then another lock.
    let first = (24 + mutex).next_multiple_of(LINE) + mutex.next_multiple_of(LINE);
    // One that was just made is all zeros.
    if number(0) != Some(MAGIC) {
        return bytes.iter().all(|byte| *byte == 0).then(Vec::new);
    }
    let count = (number(16)? as usize).min(MOST);
    let mut readers = Vec::new();
    for at in (0..count).map(|place| first + place * LINE) {
        let (transaction, process) = (long(at)?, number(at + 8)?);
        if process != 0 && transaction != u64::MAX {
            readers.push(Reader { process, transaction });
        }
    }
    Some(readers)
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |file: &File| file.metadata().is_ok_and(|told| same_file(&told, path));
    let known = opened.iter().position(is_it);
    let at = match known {
        Some(at) => at,
        None if path.metadata().is_ok_and(|told| told.is_file()) => {
            opened.push(File::open(path).ok()?);
            opened.len() - 1
        }
        // Nobody has ever opened it.
        None => return (!path.exists()).then(Vec::new),
    };
    let mut file = opened.get(at)?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take((MOST * LINE) as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examine::Level;

    const MUTEX: usize = 40;
    const FIRST: usize = 64 + 64;

    /// A table with these transactions and processes.
    fn file(places: &[(u64, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; FIRST + (places.len() + 3) * LINE];
        bytes[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[16..20].copy_from_slice(&(places.len() as u32).to_ne_bytes());
        for (at, (transaction, process)) in places.iter().enumerate() {
            let at = FIRST + at * LINE;
            bytes[at..at + 8].copy_from_slice(&transaction.to_ne_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&process.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn places_that_hold_a_state_are_told() {
        let bytes = file(&[(7, 100), (u64::MAX, 100), (9, 0), (8, 101)]);
        let held = |transaction, process| Reader { process, transaction };
        assert_eq!(table(&bytes, MUTEX).unwrap(), [held(7, 100), held(8, 101)]);
        assert_eq!(table(&[0; 256], MUTEX).unwrap(), [], "nobody ever read");
        for bytes in [&bytes[..FIRST], &[1; 256]] {
            assert_eq!(table(bytes, MUTEX), None);
        }
        let mut endless = bytes;
        endless[16..20].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(table(&endless, MUTEX), None);
    }

    #[test]
    fn what_is_held_long_or_by_nobody_is_told() {
        let process = std::process::id();
        let level = |readers: &[Reader]| judged(readers, MANY + 1).level;
        assert_eq!(level(&[]), Level::Ok);
        assert_eq!(level(&[Reader { process, transaction: 1 }]), Level::Ok);
        let old = judged(&[Reader { process, transaction: 0 }], MANY + 1);
        assert_eq!(old.level, Level::Warning);
        assert!(old.remedy.contains("max_snapshot_age"), "{old:?}");
        // Processes have smaller numbers.
        let dead = judged(&[Reader { process: i32::MAX as u32, transaction: MANY }], MANY + 1);
        if is_alive(i32::MAX as u32).is_some() {
            assert_eq!(dead.level, Level::Warning);
            assert!(dead.text.contains("without a living process"), "{dead:?}");
        }
    }
}
