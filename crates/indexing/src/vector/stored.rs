//! Vectors as the store has them.

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot, SpaceId};
use embedded_db_storage::{ReadEmbeddings, ReadTxn, Snapshot, SpaceRecord};

use super::segment::Draft;
use super::{Metric, RowSource, VectorIndex};

pub(crate) fn metric(space: &SpaceRecord) -> Result<Metric> {
    match space.metric.as_str() {
        "cosine" => Ok(Metric::Cosine),
        "dot" => Ok(Metric::Dot),
        "euclidean" => Ok(Metric::Euclidean),
        other => Err(Error::Internal(format!("space {:?} has the metric {other:?}", space.name))),
    }
}

/// The parts of one node, gathered.
#[derive(Default)]
pub(crate) struct NodeRows {
    parts: Vec<u16>,
    values: Vec<f32>,
}

impl NodeRows {
    pub(crate) fn push(&mut self, part: u16, values: impl Iterator<Item = f32>) {
        self.parts.push(part);
        self.values.extend(values);
    }

    /// Adds the parts of a node that are stored.
    pub(crate) fn read(
        &mut self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        space: SpaceId,
        slot: Slot,
    ) -> Result<()> {
        for (part, embedding) in snapshot.embeddings_of(namespace, space, slot)? {
            self.push(part, embedding.values());
        }
        Ok(())
    }

    /// Hands the parts to the index and starts anew; no parts means that the node has no vector.
    pub(crate) fn upsert_into(&mut self, index: &mut VectorIndex, slot: Slot, at: Lsn) {
        index.upsert(slot, at, &self.rows());
        self.clear();
    }

    /// Adds the node to what is going to be a file, and starts anew.
    pub(crate) fn add_to(&mut self, draft: &mut Draft, slot: Slot) {
        draft.add(slot, &self.rows());
        self.clear();
    }

    fn rows(&self) -> Vec<(u16, &[f32])> {
        let dimension = self.values.len().checked_div(self.parts.len()).unwrap_or(0);
        self.parts.iter().copied().zip(self.values.chunks_exact(dimension.max(1))).collect()
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.values.clear();
    }
}

/// Vectors as a snapshot of the store holds them.
pub struct StoreRows<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// The namespace.
    pub namespace: NamespaceId,
    /// The space.
    pub space: SpaceId,
}

impl RowSource for StoreRows<'_> {
    type Error = Error;

    fn row(&mut self, slot: Slot, part: u16, out: &mut [f32]) -> Result<bool> {
        match self.snapshot.embedding(self.namespace, self.space, slot, part)? {
            Some(embedding) if embedding.copy_to(out) => Ok(true),
            Some(embedding) => Err(Error::Corruption {
                path: self.snapshot.store().path().to_owned(),
                object: format!("the embedding {:?}", embedding.id),
                detail: format!("it has {} dimensions, not {}", embedding.dimension(), out.len()),
            }),
            None => Ok(false),
        }
    }
}
