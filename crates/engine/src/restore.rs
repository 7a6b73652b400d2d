//! Storing again what was stored before, as it was.

use embedded_db_common::Result;
use embedded_db_indexing::graph::{
    Artefact, GraphWriter, RestoredEdge, RestoredEmbedding, RestoredNode,
};
use embedded_db_storage::{Kind, SpaceRecord};

use crate::database::Database;
use crate::sharing::forward;

impl Database {
    /// Makes a space; false when the vectors of its model cannot be taken over.
    pub fn restore_space(&self, space: SpaceRecord, default: bool) -> Result<bool> {
        forward!(self, RestoreSpace { space, default });
        self.write(move |writer| writer.restore_space(&space, default))
    }

    /// Stores nodes as they were, all or none; how many. With `skip`, ids that are taken are left out.
    pub fn restore_nodes(&self, nodes: Vec<RestoredNode>, skip: bool) -> Result<usize> {
        forward!(self, RestoreNodes { nodes, skip });
        let id = |node: &RestoredNode| node.draft.id.clone().unwrap_or_default();
        self.store_again(Kind::Node, nodes, skip, id, |writer, node| writer.restore_node(node))
    }

    /// The same for edges with their earlier versions.
    pub fn restore_edges(&self, edges: Vec<RestoredEdge>, skip: bool) -> Result<usize> {
        forward!(self, RestoreEdges { edges, skip });
        self.store_again(
            Kind::Edge,
            edges,
            skip,
            |edge| edge.id.clone(),
            |writer, edge| writer.restore_edge(edge),
        )
    }

    /// The same for vectors.
    pub fn restore_embeddings(&self, given: Vec<RestoredEmbedding>, skip: bool) -> Result<usize> {
        forward!(self, RestoreEmbeddings { given, skip });
        let id = |embedding: &RestoredEmbedding| embedding.id.clone();
        self.store_again(Kind::Embedding, given, skip, id, |writer, embedding| {
            writer.restore_embedding(embedding)
        })
    }

    /// Says when nodes expire, when all that is tied to them is there.
    pub fn restore_expiries(&self, expiries: Vec<(String, i64)>) -> Result<()> {
        forward!(self, RestoreExpiries { expiries });
        self.write(move |writer| {
            expiries.iter().try_for_each(|(id, at)| writer.restore_expiry(id, *at))
        })
    }

    /// Says what of each node is due, when all vectors are there.
    pub fn restore_due(&self, due: Vec<(String, Vec<Artefact>)>) -> Result<()> {
        forward!(self, RestoreDue { due });
        self.write(move |writer| {
            due.iter().try_for_each(|(id, due)| writer.restore_due(id, due))?;
            writer.mark_wrong_topics()
        })
    }

    fn store_again<T: Send + 'static>(
        &self,
        kind: Kind,
        items: Vec<T>,
        skip: bool,
        id: fn(&T) -> String,
        store: impl Fn(&mut GraphWriter<'_, '_>, &T) -> Result<()> + Send + 'static,
    ) -> Result<usize> {
        self.write(move |writer| {
            let mut stored = 0;
            for (at, item) in items.iter().enumerate() {
                if skip && writer.resolve(kind, &id(item))?.is_some() {
                    continue;
                }
                store(writer, item).map_err(|error| error.of_item(at))?;
                stored += 1;
            }
            Ok(stored)
        })
    }
}
