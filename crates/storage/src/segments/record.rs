//! Rows of `views`: what is published of each.

use embedded_db_common::record::{Cursor, Damaged, Read, put_bytes, put_varint};
use embedded_db_common::{Lsn, NamespaceId, Result, SpaceId};

use crate::keys::{self, Key, Table, u32_at};
use crate::read::ReadTxn;
use crate::spaces::ReadSpaces;
use crate::tx::WriteTxn;

/// Which view files belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ViewKind {
    /// Vectors of a space.
    Vectors = 1,
    /// Full text.
    Text = 2,
    /// Chats, sessions and senders.
    Sessions = 3,
}

impl ViewKind {
    /// What the names of its files begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vectors => "vectors",
            Self::Text => "text",
            Self::Sessions => "sessions",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Vectors, Self::Text, Self::Sessions].into_iter().find(|view| *view as u8 == byte)
    }
}

/// What is published of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRecord {
    /// The files hold all changes up to here.
    pub lsn: Lsn,
    /// What they depend on beside the records. A view of another recipe is none.
    pub recipe: String,
    /// Older ones first.
    pub files: Vec<SegmentFile>,
}

/// One published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its name in `segments/`.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// The checksum of its end, which has those of its blocks.
    pub sum: u32,
    /// How many things it holds.
    pub rows: u32,
}

impl SegmentFile {
    /// Longest name.
    const NAME: usize = 100;

    /// Whether a file may be called so.
    pub(super) fn is_name(name: &str) -> bool {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        (1..=Self::NAME).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(is_plain)
    }
}

impl ViewRecord {
    const VERSION: u8 = 1;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        out.extend_from_slice(&self.lsn.0.to_le_bytes());
        put_bytes(&mut out, self.recipe.as_bytes());
        put_varint(&mut out, self.files.len() as u64);
        for file in &self.files {
            put_bytes(&mut out, file.name.as_bytes());
            out.extend_from_slice(&file.length.to_le_bytes());
            out.extend_from_slice(&file.sum.to_le_bytes());
            out.extend_from_slice(&file.rows.to_le_bytes());
        }
        out
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8()? != Self::VERSION {
            return Err(Damaged("has an unknown version"));
        }
        let lsn = Lsn(cursor.u64()?);
        let recipe = cursor.str()?.to_owned();
        let count = cursor.bounded_count()?;
        let mut files = Vec::new();
        for _ in 0..count {
            let name = cursor.str()?;
            if !SegmentFile::is_name(name) {
                return Err(Damaged("names a file that cannot be one"));
            }
            let (length, sum, rows) = (cursor.u64()?, cursor.u32()?, cursor.u32()?);
            files.push(SegmentFile { name: name.to_owned(), length, sum, rows });
        }
        if !cursor.rest().is_empty() {
            return Err(Damaged("has bytes behind its end"));
        }
        Ok(Self { lsn, recipe, files })
    }
}

fn key(namespace: NamespaceId, view: ViewKind, space: SpaceId) -> Key {
    Key::new(namespace).u8(view as u8).u16(space.0)
}

pub(super) fn view(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    view: ViewKind,
    space: SpaceId,
) -> Result<Option<ViewRecord>> {
    let key = key(namespace, view, space);
    let Some(payload) = txn.get(Table::Views, &key)? else { return Ok(None) };
    txn.located(Table::Views, &key, ViewRecord::parse(payload)).map(Some)
}

/// What is published of all views.
pub fn views(txn: &impl ReadTxn) -> Result<Vec<(NamespaceId, ViewKind, SpaceId, ViewRecord)>> {
    let mut out = Vec::new();
    for row in txn.prefix(Table::Views, &[])? {
        let (key, payload) = row?;
        let parsed = parse_key(key).and_then(|(namespace, view, space)| {
            Ok((namespace, view, space, ViewRecord::parse(payload)?))
        });
        out.push(txn.located(Table::Views, key, parsed)?);
    }
    Ok(out)
}

fn parse_key(key: &[u8]) -> Read<(NamespaceId, ViewKind, SpaceId)> {
    let foreign = Damaged("has a key of no view");
    let [_, _, _, _, view, high, low] = key else { return Err(foreign) };
    let view = ViewKind::from_byte(*view).ok_or(foreign)?;
    let space = SpaceId(u16::from_be_bytes([*high, *low]));
    Ok((NamespaceId(u32_at(key, 0)?), view, space))
}

impl WriteTxn<'_> {
    /// Publishes files of a generation in the place of those that `before` names; whether these were still
    /// the ones, and the generation the one in use.
    pub fn publish_view(
        &mut self,
        generation: u64,
        (namespace, view, space): (NamespaceId, ViewKind, SpaceId),
        before: Option<&ViewRecord>,
        after: &ViewRecord,
    ) -> Result<bool> {
        let is_there = self.get(Table::Meta, &keys::namespace_name(namespace))?.is_some()
            && !self.is_dropped(space)?;
        let same = is_there
            && self.generation().number() == generation
            && self::view(self, namespace, view, space)?.as_ref() == before;
        if same {
            self.put(Table::Views, &key(namespace, view, space), after.encode())?;
        }
        Ok(same)
    }

    /// Does without the files of a view.
    pub(crate) fn retract_view(
        &mut self,
        (namespace, view, space): (NamespaceId, ViewKind, SpaceId),
    ) -> Result<()> {
        self.delete(Table::Views, &key(namespace, view, space)).map(drop)
    }
}
