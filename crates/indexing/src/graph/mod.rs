//! Changes of the graph with everything that follows from them in the same transaction: property
//! postings, the edges of chats, the work that is now due, and what derived data loses its ground.

mod again;
mod chats;
mod curiosity;
mod decisions;
mod drafts;
mod duplicates;
mod edges;
mod embeddings;
mod entities;
mod expiry;
mod facts;
mod indexes;
mod look;
mod mentions;
mod named;
mod names;
mod nodes;
mod recipes;
mod reembedding;
mod resolution;
mod restore;
mod said;
mod summaries;
mod topics;
mod work;

use std::sync::Arc;

use embedded_db_common::{Error, NamespaceId, Result, Slot, Symbol};
use embedded_db_storage::{
    Direction, IndexId, Kind, Neighbor, NodeRecord, ReadEmbeddings, ReadTxn, WriteTxn, slots_from,
};

use crate::properties::DeclaredIndex;
use crate::recipes::Recipes;
use crate::schema::Names;

pub(crate) use look::Look;
pub(crate) use topics::{MESSAGE_COUNT, Symbols as TopicSymbols};

pub use chats::{no_chat, stays_in_chat};
pub use curiosity::{CONFIDENCE, Proposal, has_few_ties};
pub use decisions::{DECISION, NameUses, name_uses};
pub use drafts::{
    Changes, EdgeChanges, EdgeDraft, EdgeSuccessor, EmbeddingDraft, Expiry, GivenVector, NodeDraft,
};
pub use duplicates::duplicates;
pub use embeddings::{check_dimension, check_vector};
pub use entities::entity_keys;
pub use named::entities_named;
pub use reembedding::{
    Reembedding, abandon_reembedding, begin_embedding, begin_reembedding, may_switch, reembedding,
    switch_space,
};
pub use resolution::MOST_MOVED;
pub use restore::{EdgeVersion, RestoredEdge, RestoredEmbedding, RestoredNode};
pub use said::{Rule, Said, names_said};
pub use summaries::{SpanSummary, span_summaries};
pub use topics::{GROUPS, PART_OF, StoredTopic, TOPIC, TopicDraft, stored_topic, topic_problem};
pub use work::{Artefact, is_pending, pending};

/// Writes one namespace of the graph.
pub struct GraphWriter<'t, 'e> {
    /// The transaction.
    pub txn: &'t mut WriteTxn<'e>,
    names: &'t Names,
    namespace: NamespaceId,
    /// The indexes that follow changes, once they were asked for.
    indexes: Option<Arc<[DeclaredIndex]>>,
    /// What is declared of labels, once it was asked for.
    recipes: Option<Arc<Recipes>>,
    /// Whether the time of a node has come, once it was asked for.
    is_due: Option<bool>,
}

impl<'t, 'e> GraphWriter<'t, 'e> {
    /// A writer over a transaction.
    pub fn new(txn: &'t mut WriteTxn<'e>, names: &'t Names, namespace: NamespaceId) -> Self {
        Self { txn, names, namespace, indexes: None, recipes: None, is_due: None }
    }

    /// The namespace that it writes.
    pub fn namespace(&self) -> NamespaceId {
        self.namespace
    }

    fn node(&self, slot: Slot) -> Result<NodeRecord<'_>> {
        self.txn.stored_node(self.namespace, slot)
    }

    pub(crate) fn look(&self) -> Look<'_, WriteTxn<'e>> {
        Look { txn: self.txn, names: self.names, namespace: self.namespace }
    }

    fn is_labelled(&self, slot: Slot, label: Symbol) -> Result<bool> {
        self.look().is_labelled(slot, label)
    }

    fn targets(&self, slot: Slot, direction: Direction, edge_type: Symbol) -> Result<Vec<Slot>> {
        self.look().targets(slot, direction, edge_type)
    }

    fn ends(&self, slot: Slot, direction: Direction, edge_type: Symbol) -> Result<Vec<Neighbor>> {
        self.look().ends(slot, direction, edge_type)
    }

    /// The first `most` nodes that have a label, from a slot on; and where it goes on if there may be more.
    fn labelled_from(
        &self,
        label: Symbol,
        first: Slot,
        most: usize,
    ) -> Result<(Vec<Slot>, Option<Slot>)> {
        let mut slots = Vec::with_capacity(most);
        let value = label.0.to_be_bytes();
        slots_from(self.txn, self.namespace, IndexId::LABEL, &value, first, |slot| {
            slots.push(slot);
            slots.len() < most
        })?;
        let next = slots.last().filter(|_| slots.len() == most).map(|last| Slot(last.0 + 1));
        Ok((slots, next))
    }

    /// What tells one state of an object from another; 0 when there is none, and for a retracted edge.
    /// That of a node or edge is its version, that of an embedding the LSN of its last write.
    pub fn version(&mut self, kind: Kind, id: &str) -> Result<u64> {
        let Some(found) = self.resolve(kind, id)? else { return Ok(0) };
        Ok(match kind {
            Kind::Node => self.node(found.slot)?.version,
            Kind::Namespace => 0,
            Kind::Edge => {
                let edge = self.txn.edge(self.namespace, found.slot)?;
                let edge = edge.filter(|edge| edge.times.retracted_at.is_none());
                edge.map_or(0, |edge| edge.version)
            }
            Kind::Embedding => {
                let part = (found.space, found.slot, found.part);
                let stored = self.txn.embedding(self.namespace, part.0, part.1, part.2)?;
                stored.map_or(0, |embedding| embedding.lsn.0)
            }
        })
    }
}

/// The field of a draft that the store has refused: an id is taken, or properties are too many.
fn of_draft(error: Error) -> Error {
    match error {
        taken @ Error::AlreadyExists { .. } => taken.of_field("id"),
        other => other.of_field("properties"),
    }
}
