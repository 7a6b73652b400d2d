//! What the models are working on, in a file: if the process ends meanwhile, the next one knows at what.
//!
//! It is written before and after each call of a model. What was running when a process ended is tried again, each
//! by itself and after what else is due, and stays in the file until a model has answered for it; what ran when three
//! processes ended is given up, unless its text is another one by then.

use std::collections::HashMap;
use std::path::Path;

use embedded_db_common::record::{Cursor, Damaged};
use embedded_db_common::{ContentHash, NamespaceId, Result, Slot};
use embedded_db_storage::SideFile;

/// The file in the directory of the database.
const FILE: &str = "running";
/// Processes that end over some work before it is given up.
pub(crate) const MOST_ENDS: u32 = 3;

/// A node whose work a model is at, or was.
pub(crate) type Node = (NamespaceId, Slot);
/// Nodes over whose work processes have ended.
pub(crate) type Suspects = HashMap<Node, Suspect>;

/// What is known of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// How many processes.
    pub(crate) ends: u32,
    /// The text that the model was given; `None` of work with many texts.
    pub(crate) content: Option<ContentHash>,
}

/// The open file.
pub(crate) struct Running(SideFile);

impl Running {
    /// Opens it; what was running when the last process ended, in this generation.
    pub(crate) fn open(directory: &Path, generation: u64) -> Result<(Self, Suspects)> {
        let (file, bytes) = SideFile::open(&directory.join(FILE))?;
        // What is no list was written when the power was cut, or by nobody.
        let found = parse(&bytes, generation).unwrap_or_default();
        let running = Self(file);
        running.end(generation, &found)?;
        Ok((running, found))
    }

    /// A model begins to work on some nodes, with what is known of each. Of the other suspects all stay.
    pub(crate) fn begin(
        &self,
        generation: u64,
        nodes: &[(Node, Suspect)],
        others: &Suspects,
    ) -> Result<()> {
        let mut list = Vec::new();
        let mut count = 0_u32;
        let mut add = |(NamespaceId(namespace), Slot(slot)): Node, ends: u32, of: Suspect| {
            for number in [namespace, slot, ends] {
                list.extend(number.to_le_bytes());
            }
            list.extend(of.content.map_or([0; 16], |content| content.0));
            count = count.saturating_add(1);
        };
        for (node, suspect) in nodes {
            add(*node, suspect.ends, *suspect);
        }
        for (node, suspect) in others {
            if !nodes.iter().any(|(of, _)| of == node) {
                // One more is counted of all when the process ends, and over these it does not.
                add(*node, suspect.ends.saturating_sub(1), *suspect);
            }
        }
        if count == 0 {
            return self.0.overwrite(&0_u32.to_le_bytes());
        }
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend(generation.to_le_bytes());
        bytes.append(&mut list);
        bytes.extend(sum(&bytes).to_le_bytes());
        self.0.overwrite(&bytes)
    }

    /// No model works.
    pub(crate) fn end(&self, generation: u64, suspects: &Suspects) -> Result<()> {
        self.begin(generation, &[], suspects)
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
        let ends = cursor.u32()?.saturating_add(1);
        let content = ContentHash(cursor.array()?);
        let content = (content.0 != [0; 16]).then_some(content);
        found.insert((namespace, slot), Suspect { ends, content });
    }
    let length = bytes.len().saturating_sub(cursor.rest().len());
    let told = cursor.u32()?;
    let listed = bytes.get(..length).unwrap_or_default();
    if told == sum(listed) { Ok(found) } else { Err(Damaged("is no list")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(slot: u32) -> Node {
        (NamespaceId(1), Slot(slot))
    }

    fn suspect(ends: u32) -> Suspect {
        Suspect { ends, content: (ends != 9).then(|| ContentHash::of("a text")) }
    }

    #[test]
    fn what_was_running_is_known_until_it_has_ended() {
        let home = tempfile::tempdir().unwrap();
        let open = |generation| Running::open(home.path(), generation).unwrap();
        let none = Suspects::new();
        let (running, found) = open(1);
        assert!(found.is_empty());
        running.begin(1, &[(node(3), suspect(0)), (node(5), suspect(2))], &none).unwrap();
        drop(running);
        let (running, found) = open(1);
        assert_eq!(found, Suspects::from([(node(3), suspect(1)), (node(5), suspect(3))]));
        drop(running);
        let (running, again) = open(1);
        assert_eq!(again, found, "no process has ended over them since");
        running.end(1, &none).unwrap();
        drop(running);
        let (running, _) = open(1);
        let many: Vec<_> = (0..100).map(|slot| (node(slot), suspect(0))).collect();
        running.begin(1, &many, &none).unwrap();
        running.end(1, &none).unwrap();
        running.begin(1, &[(node(7), suspect(0))], &none).unwrap();
        drop(running);
        assert_eq!(open(2).1, none, "slots of another generation");
        let (running, _) = open(1);
        running.begin(1, &[(node(7), suspect(0))], &none).unwrap();
        running.end(1, &none).unwrap();
        drop(running);
        assert!(open(1).1.is_empty(), "it has ended");
    }

    #[test]
    fn of_two_that_end_processes_each_is_counted() {
        let home = tempfile::tempdir().unwrap();
        let content = Some(ContentHash::of("a text"));
        for round in 1..=6_u32 {
            let (running, found) = Running::open(home.path(), 1).unwrap();
            let ends = |slot| found.get(&node(slot)).map_or(0, |known| known.ends);
            assert_eq!((ends(1), ends(2)), (round / 2, (round - 1) / 2));
            // They take turns, and each time the process ends.
            let slot = if round % 2 == 1 { 1 } else { 2 };
            let called = [(node(slot), Suspect { ends: ends(slot), content })];
            running.begin(1, &called, &found).unwrap();
        }
    }

    #[test]
    fn what_is_no_list_says_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        let (running, none) = Running::open(home.path(), 1).unwrap();
        running.begin(1, &[(node(3), suspect(0)), (node(5), suspect(9))], &none).unwrap();
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
