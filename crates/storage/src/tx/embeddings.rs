//! Vectors and the hashes of their texts.

use embedded_db_common::{ContentHash, NamespaceId, Result, Slot, SpaceId};

use super::{WriteTxn, counted};
use crate::keys::{self, Kind, Table};
use crate::read::{ReadEmbeddings, Resolved};
use crate::records::{ChangeNames, ChangeOp, ChangeRecord, EmbeddingRecord};

impl WriteTxn<'_> {
    /// Stores the vector of one part of a node, in place of an earlier one.
    #[allow(clippy::too_many_arguments)]
    pub fn put_embedding(
        &mut self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
        part: u16,
        id: &str,
        set_by_user: bool,
        content: ContentHash,
        vector: &[f32],
    ) -> Result<()> {
        let now = self.now();
        self.restore_embedding(namespace, space, node, part, id, set_by_user, content, vector, now)
    }

    /// The same for one that was stored before, with the time when it was made.
    #[allow(clippy::too_many_arguments)]
    pub fn restore_embedding(
        &mut self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
        part: u16,
        id: &str,
        set_by_user: bool,
        content: ContentHash,
        vector: &[f32],
        created_at: i64,
    ) -> Result<()> {
        let key = keys::embedding(namespace, space, node, part);
        let earlier = self.embedding(namespace, space, node, part)?;
        let earlier = earlier.map(|earlier| (earlier.id.to_owned(), earlier.content));
        if earlier.as_ref().is_none_or(|(earlier, _)| earlier != id) {
            let mine = Resolved { slot: node, space, part };
            self.put_new_id(namespace, Kind::Embedding, id, mine)?;
        }
        let mut old = 0;
        match earlier {
            Some((earlier, of)) => {
                old = self.record_length(Table::Embeddings, &key)?;
                if earlier != id {
                    self.delete(Table::Ids, &keys::id(namespace, Kind::Embedding, &earlier))?;
                }
                if of != content {
                    self.delete(Table::Hashes, &keys::hash(namespace, space, of, node))?;
                }
            }
            None => self.count(namespace, |counters| counted(&mut counters.embeddings, 1, 0))?,
        }
        let lsn = self.next_lsn()?;
        let mut payload =
            Vec::with_capacity(size_of_val(vector).saturating_add(48).saturating_add(id.len()));
        EmbeddingRecord::encode(&mut payload, lsn, set_by_user, created_at, content, id, vector);
        self.put_record(namespace, Table::Embeddings, &key, payload, old)?;
        let (kind, op, slot, version) = (Kind::Embedding, ChangeOp::Put, node, 1);
        let names = ChangeNames::Given(&[]);
        self.change(ChangeRecord { namespace, kind, op, slot, space, version, id, names })
    }

    /// Removes all parts of a node's embedding; how many there were.
    pub fn delete_embeddings(
        &mut self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
    ) -> Result<usize> {
        let found: Vec<(u16, String, ContentHash)> = self
            .embeddings_of(namespace, space, node)?
            .into_iter()
            .map(|(part, record)| (part, record.id.to_owned(), record.content))
            .collect();
        for (part, id, content) in &found {
            let key = keys::embedding(namespace, space, node, *part);
            self.delete_record(namespace, Table::Embeddings, &key)?;
            self.delete(Table::Ids, &keys::id(namespace, Kind::Embedding, id))?;
            self.delete(Table::Hashes, &keys::hash(namespace, space, *content, node))?;
            self.next_lsn()?;
            let (kind, op, slot, version) = (Kind::Embedding, ChangeOp::Delete, node, 1);
            let names = ChangeNames::Given(&[]);
            self.change(ChangeRecord { namespace, kind, op, slot, space, version, id, names })?;
        }
        let gone = found.len() as u64;
        self.count(namespace, |counters| counted(&mut counters.embeddings, 0, gone))?;
        Ok(found.len())
    }

    /// Remembers that the node's vectors were made of a text with this hash.
    pub fn put_text_hash(
        &mut self,
        namespace: NamespaceId,
        space: SpaceId,
        content: ContentHash,
        node: Slot,
    ) -> Result<()> {
        let key = keys::hash(namespace, space, content, node);
        self.put(Table::Hashes, &key, Vec::new())
    }

    /// Counts vectors that the weaver has stored.
    pub fn count_vectors(&mut self, computed: u64, reused: u64) {
        let counters = &mut self.state.counters;
        counters.vectors_computed = counters.vectors_computed.saturating_add(computed);
        counters.vectors_reused = counters.vectors_reused.saturating_add(reused);
        self.state.dirty = true;
    }
}
