//! What the models are working on, in a file: if the process ends meanwhile, the next one knows at what.
//!
//! It is written before each call of a model and emptied after it. What was running when a process ended is
//! tried again, each by itself and after what else is due; what ran when three of them ended is given up.

use std::collections::HashMap;
use std::path::Path;

use embedded_db_common::record::{Cursor, Damaged};
use embedded_db_common::{NamespaceId, Result, Slot};
use embedded_db_storage::SideFile;

/// The file in the directory of the database.
const FILE: &str = "running";
/// Processes that end over some work before it is given up.
pub(crate) const MOST_ENDS: u32 = 3;

/// A node whose work a model was at, and how many processes have ended over it.
pub(crate) type Suspects = HashMap<(NamespaceId, Slot), u32>;

/// The open file.
pub(crate) struct Running(SideFile);

impl Running {
    /// Opens it; what was running when the last process ended, in this generation.
    pub(crate) fn open(directory: &Path, generation: u64) -> Result<(Self, Suspects)> {
        let (file, bytes) = SideFile::open(&directory.join(FILE))?;
        // What is no list was written when the power was cut, or by nobody.
        let found = parse(&bytes, generation).unwrap_or_default();
        let running = Self(file);
        running.end()?;
        Ok((running, found))
    }

    /// A model begins to work on these.
    pub(crate) fn begin(
        &self,
        generation: u64,
        nodes: impl Iterator<Item = ((NamespaceId, Slot), u32)>,
    ) -> Result<()> {
        let mut list = Vec::new();
        let mut count = 0_u32;
        for ((NamespaceId(namespace), Slot(slot)), ends) in nodes {
            for number in [namespace, slot, ends] {
                list.extend(number.to_le_bytes());
            }
            count = count.saturating_add(1);
        }
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend(generation.to_le_bytes());
        bytes.append(&mut list);
        bytes.extend(sum(&bytes).to_le_bytes());
        self.0.overwrite(&bytes)
    }

    /// No model works.
    pub(crate) fn end(&self) -> Result<()> {
        self.0.overwrite(&0_u32.to_le_bytes())
    }
}

fn sum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// One more process has ended over each. What is there may be longer: what was written before.
fn parse(bytes: &[u8], generation: u64) -> std::result::Result<Suspects, Damaged> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.u32()?;
    let mut found = Suspects::new();
    if count == 0 || cursor.u64()? != generation {
        return Ok(found);
    }
    for _ in 0..count {
        let (namespace, slot) = (NamespaceId(cursor.u32()?), Slot(cursor.u32()?));
        let ends = cursor.u32()?;
        found.insert((namespace, slot), ends.saturating_add(1));
    }
    let length = bytes.len().saturating_sub(cursor.rest().len());
    let told = cursor.u32()?;
    let listed = bytes.get(..length).unwrap_or_default();
    if told == sum(listed) { Ok(found) } else { Err(Damaged("is no list")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(slot: u32) -> (NamespaceId, Slot) {
        (NamespaceId(1), Slot(slot))
    }

    #[test]
    fn what_was_running_is_known_until_it_has_ended() {
        let home = tempfile::tempdir().unwrap();
        let open = |generation| Running::open(home.path(), generation).unwrap();
        let (running, found) = open(1);
        assert!(found.is_empty());
        running.begin(1, [(node(3), 0), (node(5), 2)].into_iter()).unwrap();
        drop(running);
        let (running, found) = open(1);
        assert_eq!(found, Suspects::from([(node(3), 1), (node(5), 3)]));
        drop(running);
        assert!(open(1).1.is_empty(), "it is told once");
        let (running, _) = open(1);
        running.begin(1, (0..100).map(|slot| (node(slot), 0))).unwrap();
        running.end().unwrap();
        running.begin(1, [(node(7), 0)].into_iter()).unwrap();
        drop(running);
        assert_eq!(open(2).1, Suspects::new(), "slots of another generation");
        let (running, _) = open(1);
        running.begin(1, [(node(7), 0)].into_iter()).unwrap();
        running.end().unwrap();
        drop(running);
        assert!(open(1).1.is_empty(), "it has ended");
    }

    #[test]
    fn what_is_no_list_says_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        let (running, _) = Running::open(home.path(), 1).unwrap();
        running.begin(1, [(node(3), 0), (node(5), 2)].into_iter()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Running::open(home.path(), 1).unwrap().1.is_empty(), "{length}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            assert!(Running::open(home.path(), 1).unwrap().1.is_empty(), "{at}");
        }
    }
}
