//! Slots that are packed together in rows: their new numbers lie in other rows than the old ones.

use embedded_db_common::record::{Read, seal};
use embedded_db_common::{Result, Slot};

use super::rows::known;
use super::slots::Slots;
use crate::adjacency::{self, CHUNK_ENTRIES, Neighbor};
use crate::columns::{COLUMN_SLOTS, Cell, encode_row};
use crate::keys::Table;
use crate::postings::{self, CONTAINER_SLOTS};

/// A row that is complete: key and sealed value.
type Row = (Vec<u8>, Vec<u8>);
/// Takes the key and the sealed value of a row.
pub(super) type Put<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Rows that are packed together, on their way; they come in order.
pub(super) struct OpenPack {
    table: Table,
    /// How the old keys begin.
    pub(super) which: Vec<u8>,
    /// How the new ones do.
    new: Vec<u8>,
    /// The number of the row that is being filled.
    number: u32,
    content: Content,
}

enum Content {
    Neighbors(Vec<Neighbor>),
    Offsets(Vec<u16>),
    Cells(Vec<(u32, Cell)>),
}

impl OpenPack {
    pub(super) fn new(table: Table, which: &[u8], new: Vec<u8>) -> Self {
        let content = match table {
            Table::Adjacency => Content::Neighbors(Vec::new()),
            Table::Postings => Content::Offsets(Vec::new()),
            _ => Content::Cells(Vec::new()),
        };
        Self { table, which: which.to_vec(), new, number: 0, content }
    }

    /// Adds a neighbour; gives the chunk that is full.
    pub(super) fn neighbor(&mut self, entry: Neighbor, slots: &Slots) -> Read<Option<Row>> {
        let node = known(slots.nodes.of(entry.node))?;
        let edge = known(slots.edges.of(entry.edge))?;
        let full = match &self.content {
            Content::Neighbors(entries) if entries.len() == CHUNK_ENTRIES => self.take(),
            _ => None,
        };
        if let Content::Neighbors(entries) = &mut self.content {
            entries.push(Neighbor { node, edge });
        }
        Ok(full)
    }

    /// Adds a slot to a posting; gives the container before.
    pub(super) fn slot(&mut self, slot: Slot, slots: &Slots) -> Read<Option<Row>> {
        let slot = known(slots.nodes.of(slot))?.0;
        let full = self.turn_to(slot / CONTAINER_SLOTS);
        if let Content::Offsets(offsets) = &mut self.content {
            offsets.push((slot % CONTAINER_SLOTS) as u16);
        }
        Ok(full)
    }

    /// Adds a cell to a column; gives the row before.
    pub(super) fn cell(&mut self, slot: Slot, cell: Cell, slots: &Slots) -> Read<Option<Row>> {
        let slot = known(slots.nodes.of(slot))?.0;
        let full = self.turn_to(slot / COLUMN_SLOTS);
        if let Content::Cells(cells) = &mut self.content {
            cells.push((slot % COLUMN_SLOTS, cell));
        }
        Ok(full)
    }

    /// Gives the row before, if the next slot belongs to another one.
    fn turn_to(&mut self, number: u32) -> Option<Row> {
        if number == self.number {
            return None;
        }
        let full = self.take();
        self.number = number;
        full
    }

    /// The row as far as it is filled.
    fn take(&mut self) -> Option<Row> {
        let (number, mut payload) = match &mut self.content {
            Content::Neighbors(entries) => {
                let mut payload = Vec::with_capacity(entries.len() * 8 + 4);
                let first = entries.first()?.edge.0;
                entries.drain(..).for_each(|entry| adjacency::push(&mut payload, entry));
                (first, payload)
            }
            Content::Offsets(offsets) if offsets.is_empty() => return None,
            Content::Offsets(offsets) => {
                let payload = postings::encode(offsets);
                offsets.clear();
                (self.number, payload)
            }
            Content::Cells(cells) if cells.is_empty() => return None,
            Content::Cells(cells) => {
                let payload = encode_row(cells);
                cells.clear();
                (self.number, payload)
            }
        };
        let key = [&self.new[..], &number.to_be_bytes()].concat();
        seal(self.table as u8, &key, &mut payload);
        Some((key, payload))
    }

    /// Gives the last row of what is open.
    pub(super) fn end(open: Option<Self>, put: &mut Put<'_>) -> Result<()> {
        give(open.and_then(|mut open| open.take()), put)
    }
}

/// Gives a row, if one is complete.
pub(super) fn give(row: Option<Row>, put: &mut Put<'_>) -> Result<()> {
    row.map_or(Ok(()), |(key, sealed)| put(&key, &sealed))
}
