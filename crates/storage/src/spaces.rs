//! What each space is for, and spaces that are dropped.
//!
//! A space keeps its number and its record for ever, since changes name it. One that is dropped has a row that
//! says how far that has come: nobody finds it by its name from then on, and its vectors go in steps.

use embedded_db_common::record::{Damaged, Read};
use embedded_db_common::{NamespaceId, Result, Slot, SpaceId};

use crate::keys::{Key, Table, last_u32, meta, u32_at};
use crate::postings::{self, Container, IndexId};
use crate::read::{ReadEmbeddings, ReadTxn};
use crate::records::SpaceRecord;
use crate::segments::views;
use crate::tx::WriteTxn;

/// How far the dropping of a space has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dropped {
    /// Vectors of it may be there.
    Clearing = 1,
    /// Nothing is left of it.
    Cleared = 2,
}

impl Dropped {
    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        match payload {
            [1] => Ok(Self::Clearing),
            [2] => Ok(Self::Cleared),
            _ => Err(Damaged("is no state of a space that is dropped")),
        }
    }
}

/// A row of the system namespace that names a space.
fn role(tag: u8) -> Key {
    Key::new(NamespaceId::SYSTEM).u8(tag)
}

fn dropped_key(space: SpaceId) -> Key {
    role(meta::DROPPED_SPACE).u16(space.0)
}

/// The space in a row that is nothing but its number.
pub(crate) fn space_in(txn: &impl ReadTxn, tag: u8) -> Result<Option<SpaceId>> {
    let key = role(tag);
    let Some(payload) = txn.get(Table::Meta, &key)? else { return Ok(None) };
    let id = payload.try_into().map_err(|_| Damaged("has no number"));
    txn.located(Table::Meta, &key, id).map(|id| Some(SpaceId(u16::from_be_bytes(id))))
}

/// What is read of the parts that spaces have.
pub trait ReadSpaces: ReadTxn + Sized {
    /// The space in which texts are searched by meaning, of the model that is in use.
    fn model_space(&self) -> Result<Option<SpaceId>> {
        space_in(self, meta::MODEL_SPACE)
    }

    /// The space of another model that is to take its place, while texts are embedded into it.
    fn next_space(&self) -> Result<Option<SpaceId>> {
        space_in(self, meta::NEXT_SPACE)
    }

    /// The spaces that are dropped.
    fn dropped_spaces(&self) -> Result<Vec<(SpaceId, Dropped)>> {
        let mut out = Vec::new();
        for row in self.prefix(Table::Meta, &role(meta::DROPPED_SPACE))? {
            let (key, payload) = row?;
            let id = key.last_chunk::<2>().ok_or(Damaged("has a short key"));
            let id = u16::from_be_bytes(*self.located(Table::Meta, key, id)?);
            out.push((SpaceId(id), self.located(Table::Meta, key, Dropped::parse(payload))?));
        }
        Ok(out)
    }

    /// Whether a space is dropped.
    fn is_dropped(&self, space: SpaceId) -> Result<bool> {
        Ok(self.get(Table::Meta, &dropped_key(space))?.is_some())
    }

    /// The spaces that are there for whoever asks: none that is dropped.
    fn live_spaces(&self) -> Result<Vec<(SpaceId, SpaceRecord)>> {
        let dropped = self.dropped_spaces()?;
        let mut spaces = self.spaces()?;
        spaces.retain(|(space, _)| dropped.iter().all(|(gone, _)| gone != space));
        Ok(spaces)
    }
}

impl<T: ReadTxn> ReadSpaces for T {}

impl WriteTxn<'_> {
    /// Makes `space` the one of the model in use.
    pub fn set_model_space(&mut self, space: SpaceId) -> Result<()> {
        self.put(Table::Meta, &role(meta::MODEL_SPACE), space.0.to_be_bytes().to_vec())
    }

    /// Says into which space texts are embedded that is to take the place of that one.
    pub fn set_next_space(&mut self, space: Option<SpaceId>) -> Result<()> {
        let key = role(meta::NEXT_SPACE);
        match space {
            Some(space) => self.put(Table::Meta, &key, space.0.to_be_bytes().to_vec()),
            None => self.delete(Table::Meta, &key).map(drop),
        }
    }

    /// Drops a space: it has no name and no published files any more.
    pub fn drop_space(&mut self, space: SpaceId) -> Result<()> {
        let published = views(self)?.into_iter().filter(|(_, _, of, _)| *of == space);
        for (namespace, view, of, _) in published.collect::<Vec<_>>() {
            self.retract_view((namespace, view, of))?;
        }
        self.put(Table::Meta, &dropped_key(space), vec![Dropped::Clearing as u8])
    }

    /// Removes the vectors of up to `most` nodes in a space that is dropped; whether none is left.
    pub fn clear_space(&mut self, space: SpaceId, most: usize) -> Result<bool> {
        let mut nodes: Vec<(NamespaceId, Slot)> = Vec::new();
        for (_, namespace) in self.namespaces()? {
            let prefix = Key::new(namespace).u16(space.0);
            for row in self.prefix(Table::Embeddings, &prefix)? {
                let (key, _) = row?;
                let node = Slot(self.located(Table::Embeddings, key, u32_at(key, 6))?);
                if nodes.last() != Some(&(namespace, node)) {
                    if nodes.len() == most {
                        break;
                    }
                    nodes.push((namespace, node));
                }
            }
        }
        for (namespace, node) in &nodes {
            self.delete_embeddings(*namespace, space, *node)?;
        }
        if nodes.len() == most {
            return Ok(false);
        }
        self.put(Table::Meta, &dropped_key(space), vec![Dropped::Cleared as u8])?;
        Ok(true)
    }

    /// Adds slots, which ascend, to a posting.
    pub fn post_all(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slots: impl Iterator<Item = u32>,
    ) -> Result<()> {
        let mut slots = slots.peekable();
        while let Some(first) = slots.peek().copied() {
            let key = postings::container_key(namespace, index, value, Slot(first));
            let container = self.located(Table::Postings, &key, last_u32(&key))?;
            let is_there = |slot: &u32| slot / postings::CONTAINER_SLOTS == container;
            let mut offsets = std::collections::BTreeSet::new();
            while let Some(slot) = slots.next_if(is_there) {
                offsets.insert((slot % postings::CONTAINER_SLOTS) as u16);
            }
            if let Some(payload) = self.get(Table::Postings, &key)? {
                let stored = Container::parse(&key, payload);
                let stored = self.located(Table::Postings, &key, stored)?;
                offsets
                    .extend(stored.slots().map(|slot| (slot % postings::CONTAINER_SLOTS) as u16));
            }
            let offsets: Vec<u16> = offsets.into_iter().collect();
            self.put(Table::Postings, &key, postings::encode(&offsets))?;
        }
        Ok(())
    }

    /// Empties all postings of an index whose values begin so.
    pub fn clear_postings(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
    ) -> Result<()> {
        let prefix = postings::value_key(namespace, index, value);
        let rows = self.prefix(Table::Postings, &prefix)?;
        let keys: Result<Vec<Vec<u8>>> = rows.map(|row| Ok(row?.0.to_vec())).collect();
        for key in keys? {
            self.delete(Table::Postings, &key)?;
        }
        Ok(())
    }
}

/// The number of a space in a row that is nothing but that; for those who mend such rows.
pub(crate) fn named_space(tag: u8, payload: &[u8]) -> Option<SpaceId> {
    let is_role = matches!(tag, meta::DEFAULT_SPACE | meta::MODEL_SPACE | meta::NEXT_SPACE);
    let id = payload.try_into().ok().filter(|_| is_role)?;
    Some(SpaceId(u16::from_be_bytes(id)))
}
