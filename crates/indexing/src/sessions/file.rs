//! What the view of sessions keeps, in files: the messages that changed, and the slots that hold none any more.

use std::collections::HashMap;
use std::ops::Range;

use embedded_db_common::record::{Cursor as Bytes, put_bytes};
use embedded_db_common::{Result, Slot};
use embedded_db_storage::{Segment, SegmentWriter};

use super::{Marks, Message, NOBODY, Said, Sessions};
use crate::published::ascends;

/// The version of what is in the sections.
pub(crate) const VERSION: u32 = 1;

/// What a section holds; numbers are little endian.
mod section {
    /// Version u32, rows u32, chats u32, senders u32.
    pub(super) const HEADER: u32 = 1;
    /// By slot, 32 bytes each: slot u32, chat u32 (4,294,967,295: stands alone), sender u32 (the same: none),
    /// words u32, time i64 (0 without one), flags u32, zeros u32.
    pub(super) const ROWS: u32 = 2;
    /// Ids of chats, each with its length as a varint before it.
    pub(super) const CHATS: u32 = 3;
    /// Senders, the same.
    pub(super) const SENDERS: u32 = 4;
}

const ROW: usize = 32;

mod flag {
    pub(super) const HAS_TIME: u32 = 1;
    pub(super) const ASKS: u32 = 2;
    pub(super) const ENDS_ASKING: u32 = 4;
    pub(super) const SUPERSEDED: u32 = 8;
    /// The slot holds no message any more.
    pub(super) const GONE: u32 = 16;
}

/// Texts by number.
#[derive(Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    bytes: Vec<u8>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        put_bytes(&mut self.bytes, name.as_bytes());
        self.numbers.insert(name.into(), number);
        number
    }
}

/// Rows on their way into a file.
#[derive(Default)]
pub(crate) struct Draft {
    chats: Names,
    senders: Names,
    /// The last row of a slot counts.
    rows: Vec<(u32, Option<Said>)>,
}

impl Draft {
    /// The slot holds a message, or none.
    pub(crate) fn add(&mut self, slot: Slot, message: Option<Message<'_>>) {
        let said = message.map(|message| {
            let sender = message.sender.filter(|sender| !sender.is_empty());
            Said {
                chat: message.chat.map(|chat| self.chats.number(chat)),
                sender: sender.map_or(NOBODY, |sender| self.senders.number(sender)),
                time: message.time,
                words: message.words,
                marks: Marks::of(message.content),
                superseded: message.superseded,
            }
        });
        self.rows.push((slot.0, said));
    }

    /// What later files say before what this has said.
    fn add_file(&mut self, file: &SessionFile) {
        let chats: Vec<u32> = file.names(section::CHATS, |name| self.chats.number(name));
        let senders: Vec<u32> = file.names(section::SENDERS, |name| self.senders.number(name));
        file.each(&chats, &senders, |slot, said| self.rows.push((slot, said)));
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Writes what files said, older ones first, and then this; how many rows that are. `first` says that no
    /// file is older: what is gone needs not be told.
    pub(crate) fn write(
        self,
        merged: &[SessionFile],
        first: bool,
        out: &mut SegmentWriter,
    ) -> Result<u32> {
        let mut all = Self::default();
        merged.iter().for_each(|file| all.add_file(file));
        let chats: Vec<u32> = renumbered(&self.chats, &mut all.chats);
        let senders: Vec<u32> = renumbered(&self.senders, &mut all.senders);
        all.rows.extend(self.rows.into_iter().map(|(slot, said)| {
            let renumber = |said: Said| Said {
                chat: said.chat.map(|chat| chats[chat as usize]),
                sender: match said.sender {
                    NOBODY => NOBODY,
                    sender => senders[sender as usize],
                },
                ..said
            };
            (slot, said.map(renumber))
        }));
        // Stable: of one slot the last row is the newest.
        all.rows.sort_by_key(|(slot, _)| *slot);
        let newest = |at: usize| all.rows.get(at + 1).is_none_or(|next| next.0 != all.rows[at].0);
        let kept = (0..all.rows.len()).filter(|at| newest(*at)).map(|at| all.rows[at]);
        out.begin_section(section::ROWS)?;
        let mut count = 0;
        for (slot, said) in kept.filter(|(_, said)| !first || said.is_some()) {
            out.write(&row(slot, said.as_ref()))?;
            count += 1;
        }
        out.begin_section(section::CHATS)?;
        out.write(&all.chats.bytes)?;
        out.begin_section(section::SENDERS)?;
        out.write(&all.senders.bytes)?;
        out.begin_section(section::HEADER)?;
        let (chats, senders) = (all.chats.numbers.len(), all.senders.numbers.len());
        for number in [VERSION, count, chats as u32, senders as u32] {
            out.write(&number.to_le_bytes())?;
        }
        Ok(count)
    }
}

/// The numbers in `into` of the names of `from`.
fn renumbered(from: &Names, into: &mut Names) -> Vec<u32> {
    let mut names: Vec<(&str, u32)> =
        from.numbers.iter().map(|(name, number)| (&**name, *number)).collect();
    names.sort_unstable_by_key(|(_, number)| *number);
    names.into_iter().map(|(name, _)| into.number(name)).collect()
}

fn row(slot: u32, said: Option<&Said>) -> [u8; ROW] {
    let mut out = [0; ROW];
    let mut put = |at: usize, number: u32| out[at..at + 4].copy_from_slice(&number.to_le_bytes());
    put(0, slot);
    let Some(said) = said else {
        put(24, flag::GONE);
        return out;
    };
    put(4, said.chat.unwrap_or(NOBODY));
    put(8, said.sender);
    put(12, said.words);
    let flags = [
        (flag::HAS_TIME, said.time.is_some()),
        (flag::ASKS, said.marks.asks),
        (flag::ENDS_ASKING, said.marks.ends_asking),
        (flag::SUPERSEDED, said.superseded),
    ];
    put(24, flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag).sum());
    out[16..24].copy_from_slice(&said.time.unwrap_or(0).to_le_bytes());
    out
}

/// A file of sessions that is open.
pub(crate) struct SessionFile {
    file: Segment,
    rows: Range<usize>,
    chats: u32,
    senders: u32,
}

impl SessionFile {
    /// `None` when it is damaged, or of another version. A namespace has so many slots.
    pub(crate) fn open(file: Segment, node_slots: u32) -> Option<Self> {
        let mut header = Bytes::new(file.bytes(file.section(section::HEADER)));
        let (version, rows) = (header.u32().ok()?, header.u32().ok()?);
        let (chats, senders) = (header.u32().ok()?, header.u32().ok()?);
        let range = file.section(section::ROWS);
        let right = version == VERSION && Some(range.len()) == ROW.checked_mul(rows as usize);
        // All of it is read at once.
        if !right || !file.check_all() {
            return None;
        }
        let rows = file.checked_bytes(range.clone()).chunks_exact(ROW);
        let ascends = ascends(rows.filter_map(|row| Bytes::new(row).u32().ok()), node_slots);
        ascends.then_some(Self { file, rows: range, chats, senders })
    }

    fn names<T>(&self, section: u32, mut each: impl FnMut(&str) -> T) -> Vec<T> {
        let count = if section == section::CHATS { self.chats } else { self.senders };
        let mut bytes = Bytes::new(self.file.bytes(self.file.section(section)));
        let mut out = Vec::new();
        for _ in 0..count {
            let Ok(name) = bytes.str() else {
                self.file.damage();
                break;
            };
            out.push(each(name));
        }
        out
    }

    /// Calls `each` with every slot and what it holds, under other numbers of chats and senders.
    fn each(&self, chats: &[u32], senders: &[u32], mut each: impl FnMut(u32, Option<Said>)) {
        for row in self.file.bytes(self.rows.clone()).chunks_exact(ROW) {
            match parsed(row, chats, senders) {
                Some((slot, said)) => each(slot, said),
                None => {
                    self.file.damage();
                    return;
                }
            }
        }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.file.is_damaged()
    }
}

fn parsed(row: &[u8], chats: &[u32], senders: &[u32]) -> Option<(u32, Option<Said>)> {
    let mut row = Bytes::new(row);
    let (slot, chat) = (row.u32().ok()?, row.u32().ok()?);
    let (sender, words) = (row.u32().ok()?, row.u32().ok()?);
    let (time, flags) = (row.i64().ok()?, row.u32().ok()?);
    if flags & flag::GONE != 0 {
        return Some((slot, None));
    }
    let has = |flag: u32| flags & flag != 0;
    let chat = match chat {
        NOBODY => None,
        chat => Some(*chats.get(chat as usize)?),
    };
    let sender = match sender {
        NOBODY => NOBODY,
        sender => *senders.get(sender as usize)?,
    };
    let marks = Marks { asks: has(flag::ASKS), ends_asking: has(flag::ENDS_ASKING) };
    let time = has(flag::HAS_TIME).then_some(time);
    let superseded = has(flag::SUPERSEDED);
    Some((slot, Some(Said { chat, sender, time, words, marks, superseded })))
}

impl Sessions {
    /// The messages that files tell of, older ones first; `None` when one turns out to be damaged.
    pub(crate) fn of_files<'f>(files: impl Iterator<Item = &'f SessionFile>) -> Option<Self> {
        let mut sessions = Self::new();
        for file in files {
            let chats = file.names(section::CHATS, |name| sessions.chat_number(name));
            let senders = file.names(section::SENDERS, |name| sessions.sender_number(name));
            file.each(&chats, &senders, |slot, said| match said {
                Some(said) => sessions.put(Slot(slot), said),
                None => sessions.remove(Slot(slot)),
            });
            if file.is_damaged() {
                return None;
            }
        }
        Some(sessions)
    }
}
