//! What a group of writers does to rows, as it stands in the log.
//!
//! It is told by rows, not by calls: to do it again needs nothing but the state before. Of a value that
//! packs many slots only what differs is told.

use embedded_db_common::record::{Cursor, Damaged, Read, put_bytes, put_varint};

use crate::keys::{MAX_KEY, Table};
use crate::touched::is_packed;

/// More bytes of changes than that are not kept: such a commit reaches the disk by itself.
const MOST: usize = 4 << 20;
/// Bytes of most commits of one job.
const USUAL: usize = 4 << 10;
/// Shorter values are told whole.
const WORTH_COMPARING: usize = 64;
const SEAL: usize = 4;
/// The smallest page of any system.
const LEAST_PAGE: usize = 4096;
/// A leaf, the page above it, and one next to it that it is divided into or joined with.
const PAGES_OF_A_ROW: usize = 3;
/// Beyond that, for a value that packs many slots.
const PAGES_OF_A_PACK: usize = 3;
/// So many that it is committed at once: nobody knows how many it frees, which are listed in pages of their own.
const PAGES_OF_A_RANGE: usize = 1 << 12;

mod op {
    pub(super) const PUT: u8 = 0;
    pub(super) const PATCH: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const DELETE_BETWEEN: u8 = 3;
}

/// Changes of rows in their order.
#[derive(Default)]
pub(crate) struct Changes {
    bytes: Vec<u8>,
    too_many: bool,
    pages: usize,
}

impl Changes {
    /// None yet, with room for those of a small commit.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(USUAL), too_many: false, pages: 0 }
    }

    /// Whether [`Changes::put`] wants to know the value before.
    pub(crate) fn compares(table: Table, sealed: &[u8]) -> bool {
        is_packed(table) && sealed.len() >= WORTH_COMPARING
    }

    /// A value was stored; both values are sealed.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], sealed: &[u8], before: Option<&[u8]>) {
        self.push(match before.and_then(|before| Patch::between(before, sealed)) {
            Some(patch) => Change::Patch { table, key, patch },
            None => Change::Put { table, key, sealed },
        });
    }

    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.push(Change::Delete { table, key });
    }

    /// The rows from a key up to another were removed.
    pub(crate) fn delete_between(&mut self, table: Table, from: &[u8], end: &[u8]) {
        self.push(Change::DeleteBetween { table, from, end });
    }

    /// What was changed after that; nothing was kept of it where it is missing.
    pub(crate) fn append(&mut self, later: Option<Self>) {
        let Some(later) = later else { return };
        self.too_many |= later.too_many;
        self.pages = self.pages.saturating_add(later.pages);
        if self.bytes.is_empty() {
            self.bytes = later.bytes;
        } else {
            self.bytes.extend_from_slice(&later.bytes);
        }
        self.end();
    }

    /// `None` if they are more than a frame takes.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        (!self.too_many).then_some(&self.bytes)
    }

    /// How many pages LMDB takes for them at the most, if every row lies in a page of its own.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    pub(super) fn push(&mut self, change: Change<'_>) {
        change.write(&mut self.bytes);
        self.pages = self.pages.saturating_add(PAGES_OF_A_ROW).saturating_add(match change {
            Change::Put { sealed, .. } => sealed.len() / LEAST_PAGE,
            Change::Patch { .. } => PAGES_OF_A_PACK,
            Change::Delete { .. } => 0,
            // The list of the pages that were freed.
            Change::DeleteBetween { .. } => PAGES_OF_A_RANGE,
        });
        self.end();
    }

    fn end(&mut self) {
        if self.bytes.len() > MOST || self.too_many {
            self.too_many = true;
            self.bytes = Vec::new();
        }
    }
}

/// How a value differs from the one before: it keeps the first and the last bytes of it, up to the seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patch<'a> {
    first: usize,
    last: usize,
    middle: &'a [u8],
    seal: [u8; SEAL],
}

impl<'a> Patch<'a> {
    pub(super) fn between(before: &[u8], after: &'a [u8]) -> Option<Self> {
        let (before, _) = before.split_last_chunk::<SEAL>()?;
        let (after, seal) = after.split_last_chunk::<SEAL>()?;
        let first = same_begin(before, after);
        let (before, rest) = (before.get(first..)?, after.get(first..)?);
        let last = same_end(before, rest);
        let (middle, _) = rest.split_at_checked(rest.len().saturating_sub(last))?;
        (first.saturating_add(last) > middle.len()).then_some(Self {
            first,
            last,
            middle,
            seal: *seal,
        })
    }

    /// The sealed value, made of the one before.
    pub(crate) fn apply(&self, before: &[u8]) -> Read<Vec<u8>> {
        let misfit = Damaged("does not fit to what it changes");
        let (before, _) = before.split_last_chunk::<SEAL>().ok_or(misfit)?;
        let begin = before.get(..self.first).ok_or(misfit)?;
        let end = before.len().checked_sub(self.last).filter(|end| *end >= self.first);
        let end = end.and_then(|end| before.get(end..)).ok_or(misfit)?;
        Ok([begin, self.middle, end, &self.seal].concat())
    }
}

/// Bytes that are compared at once.
const WORD: usize = 16;

/// How many first bytes are the same.
fn same_begin(one: &[u8], two: &[u8]) -> usize {
    let words = one.chunks_exact(WORD).zip(two.chunks_exact(WORD));
    let same = words.take_while(|(one, two)| one == two).count().saturating_mul(WORD);
    let rest = one.iter().skip(same).zip(two.iter().skip(same));
    rest.take_while(|(one, two)| one == two).count().saturating_add(same)
}

/// How many last bytes are the same.
fn same_end(one: &[u8], two: &[u8]) -> usize {
    let words = one.rchunks_exact(WORD).zip(two.rchunks_exact(WORD));
    let same = words.take_while(|(one, two)| one == two).count().saturating_mul(WORD);
    let rest = one.iter().rev().skip(same).zip(two.iter().rev().skip(same));
    rest.take_while(|(one, two)| one == two).count().saturating_add(same)
}

/// One change, as it is read from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Put { table: Table, key: &'a [u8], sealed: &'a [u8] },
    Patch { table: Table, key: &'a [u8], patch: Patch<'a> },
    Delete { table: Table, key: &'a [u8] },
    DeleteBetween { table: Table, from: &'a [u8], end: &'a [u8] },
}

impl Change<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut begin = |op: u8, table: Table, key: &[u8]| {
            out.extend_from_slice(&[op, table as u8]);
            put_bytes(out, key);
        };
        match *self {
            Self::Put { table, key, sealed } => {
                begin(op::PUT, table, key);
                put_bytes(out, sealed);
            }
            Self::Patch { table, key, patch } => {
                begin(op::PATCH, table, key);
                put_varint(out, patch.first as u64);
                put_varint(out, patch.last as u64);
                put_bytes(out, patch.middle);
                out.extend_from_slice(&patch.seal);
            }
            Self::Delete { table, key } => begin(op::DELETE, table, key),
            Self::DeleteBetween { table, from, end } => {
                begin(op::DELETE_BETWEEN, table, from);
                put_bytes(out, end);
            }
        }
    }
}

/// The changes that some bytes tell.
pub(crate) fn read(bytes: &[u8]) -> impl Iterator<Item = Read<Change<'_>>> {
    let mut cursor = Cursor::new(bytes);
    std::iter::from_fn(move || (!cursor.rest().is_empty()).then(|| read_one(&mut cursor)))
}

fn read_one<'a>(cursor: &mut Cursor<'a>) -> Read<Change<'a>> {
    let (op, number) = (cursor.u8()?, cursor.u8()?);
    let table = Table::ALL.into_iter().find(|table| *table as u8 == number);
    let table = table.ok_or(Damaged("is of an unknown table"))?;
    let key = key(cursor)?;
    match op {
        op::PUT => Ok(Change::Put { table, key, sealed: cursor.bytes()? }),
        op::PATCH => {
            let mut length = || {
                let length = usize::try_from(cursor.varint()?);
                length.map_err(|_| Damaged("has a length beyond all memory"))
            };
            let (first, last) = (length()?, length()?);
            let (middle, seal) = (cursor.bytes()?, cursor.array()?);
            Ok(Change::Patch { table, key, patch: Patch { first, last, middle, seal } })
        }
        op::DELETE => Ok(Change::Delete { table, key }),
        op::DELETE_BETWEEN => {
            Ok(Change::DeleteBetween { table, from: key, end: self::key(cursor)? })
        }
        _ => Err(Damaged("is of an unknown kind")),
    }
}

/// A key of any row: LMDB takes no others.
fn key<'a>(cursor: &mut Cursor<'a>) -> Read<&'a [u8]> {
    let key = cursor.bytes()?;
    let length = 1..=MAX_KEY;
    if length.contains(&key.len()) {
        Ok(key)
    } else {
        Err(Damaged("has a key of the wrong length"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_patch_gives_the_value(
            begin in prop::collection::vec(any::<u8>(), 0..40),
            one in prop::collection::vec(any::<u8>(), 0..10),
            two in prop::collection::vec(any::<u8>(), 0..10),
            end in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let before = [&begin[..], &one, &end, &[1, 2, 3, 4]].concat();
            let after = [&begin[..], &two, &end, &[5, 6, 7, 8]].concat();
            let mut changes = Changes::default();
            changes.put(Table::Postings, b"key", &after, Some(&before));
            let bytes = changes.as_bytes().unwrap();
            let all: Vec<_> = read(bytes).collect::<Read<_>>().unwrap();
            match all[..] {
                [Change::Put { sealed, .. }] => prop_assert_eq!(sealed, &after[..]),
                [Change::Patch { patch, .. }] => prop_assert_eq!(patch.apply(&before).unwrap(), after),
                ref other => prop_assert!(false, "{:?}", other),
            }
            if begin.len() + end.len() > 20 {
                prop_assert!(bytes.len() < 40, "only the difference is told");
            }
        }

        #[test]
        fn nonsense_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for change in read(&bytes).take_while(Result::is_ok).flatten() {
                if let Change::Patch { patch, .. } = change {
                    let _value_or_damage = patch.apply(&bytes);
                }
            }
        }
    }

    #[test]
    fn too_many_changes_are_not_kept() {
        let mut changes = Changes::default();
        changes.put(Table::Nodes, b"key", &vec![0; MOST + 1], None);
        assert_eq!(changes.as_bytes(), None);
        let mut all = Changes::default();
        all.delete(Table::Nodes, b"other");
        all.append(Some(changes));
        all.delete(Table::Nodes, b"more");
        assert_eq!(all.as_bytes(), None);
    }
}
