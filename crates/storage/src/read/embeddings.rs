//! Reading vectors, and the spaces that they lie in.

use embedded_db_common::record::{Damaged, Read};
use embedded_db_common::{ContentHash, NamespaceId, Result, Slot, SpaceId};

use crate::keys::{self, Key, Table, meta};
use crate::read::ReadTxn;
use crate::records::{EmbeddingRecord, SpaceRecord};
use crate::spaces::{Dropped, ReadSpaces, space_in};

/// What is read of vectors and their spaces.
pub trait ReadEmbeddings: ReadTxn + Sized {
    /// All spaces that may hold vectors: also those that are dropped, until nothing is left of them.
    fn spaces(&self) -> Result<Vec<(SpaceId, SpaceRecord)>> {
        let prefix = keys::spaces();
        let dropped = self.dropped_spaces()?;
        let mut out = Vec::new();
        for row in self.prefix(Table::Meta, &prefix)? {
            let (key, payload) = row?;
            let id = key.last_chunk::<2>().ok_or(Damaged("has a short key"));
            let id = u16::from_be_bytes(*self.located(Table::Meta, key, id)?);
            if !dropped.contains(&(SpaceId(id), Dropped::Cleared)) {
                let record = self.located(Table::Meta, key, SpaceRecord::parse(payload))?;
                out.push((SpaceId(id), record));
            }
        }
        Ok(out)
    }

    /// One space; `None` if there is none of that number.
    fn space(&self, space: SpaceId) -> Result<Option<SpaceRecord>> {
        let key = keys::space(space);
        let Some(payload) = self.get(Table::Meta, &key)? else { return Ok(None) };
        self.located(Table::Meta, &key, SpaceRecord::parse(payload)).map(Some)
    }

    /// The space used when none is named.
    fn default_space(&self) -> Result<Option<SpaceId>> {
        space_in(self, meta::DEFAULT_SPACE)
    }

    /// One vector.
    fn embedding(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
        part: u16,
    ) -> Result<Option<EmbeddingRecord<'_>>> {
        let key = keys::embedding(namespace, space, node, part);
        let Some(payload) = self.get(Table::Embeddings, &key)? else { return Ok(None) };
        self.located(Table::Embeddings, &key, EmbeddingRecord::parse(payload)).map(Some)
    }

    /// All parts of a node's embedding.
    fn embeddings_of(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
    ) -> Result<Vec<(u16, EmbeddingRecord<'_>)>> {
        let mut out = Vec::new();
        for row in self.prefix(Table::Embeddings, &keys::embedding_node(namespace, space, node))? {
            let (key, payload) = row?;
            out.push((
                self.located(Table::Embeddings, key, embedding_part(key))?,
                self.located(Table::Embeddings, key, EmbeddingRecord::parse(payload))?,
            ));
        }
        Ok(out)
    }

    /// Calls `visit` with every vector of a space.
    fn scan_embeddings(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        mut visit: impl FnMut(Slot, u16, EmbeddingRecord<'_>) -> Result<()>,
    ) -> Result<()> {
        let prefix = Key::new(namespace).u16(space.0);
        for row in self.prefix(Table::Embeddings, &prefix)? {
            let (key, payload) = row?;
            let node = self.located(Table::Embeddings, key, keys::u32_at(key, 6))?;
            let part = self.located(Table::Embeddings, key, embedding_part(key))?;
            let record = self.located(Table::Embeddings, key, EmbeddingRecord::parse(payload))?;
            visit(Slot(node), part, record)?;
        }
        Ok(())
    }

    /// A node whose vector was computed from a text with this hash.
    fn embedding_of_text(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        content: ContentHash,
    ) -> Result<Option<Slot>> {
        let prefix = keys::hashes(namespace, space, content);
        match self.prefix(Table::Hashes, &prefix)?.next() {
            Some(row) => {
                let (key, _) = row?;
                Ok(Some(Slot(self.located(Table::Hashes, key, keys::last_u32(key))?)))
            }
            None => Ok(None),
        }
    }
}

impl<T: ReadTxn> ReadEmbeddings for T {}

fn embedding_part(key: &[u8]) -> Read<u16> {
    let bytes = key.last_chunk::<2>().ok_or(Damaged("has a short key"))?;
    Ok(u16::from_be_bytes(*bytes))
}
