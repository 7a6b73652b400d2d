//! Writing nodes, edges, embeddings and chats.

use std::sync::Arc;

use embedded_db_common::{Draft, Error, Result};
use embedded_db_indexing::graph::{
    Changes, EdgeChanges, EdgeDraft, EmbeddingDraft, GraphWriter, NodeDraft,
};
use embedded_db_storage::{Kind, ReadTxn};

use crate::database::Database;
use crate::objects::{Edge, Node};

/// A message to be appended: its id, and what it has besides its chat.
pub(crate) type MessageDraft = (Option<String>, Draft);

impl Database {
    /// Makes nodes, all or none; returns their ids.
    pub fn create_nodes(&self, drafts: Vec<NodeDraft>) -> Result<Vec<String>> {
        self.write(move |writer| {
            drafts.iter().map(|draft| writer.create_node(draft).map(|(id, _)| id)).collect()
        })
    }

    /// Changes a node. With `expected`, only if it has this version.
    pub fn update_node(&self, id: &str, changes: Changes, expected: Option<u64>) -> Result<Node> {
        let (id, store) = (id.to_owned(), Arc::clone(&self.engine()?.store));
        let namespace = self.namespace_id();
        self.write(move |writer| {
            let slot = writer.txn.require_node(namespace, &id)?;
            check_version(writer, Kind::Node, &id, expected)?;
            writer.update_node(slot, &changes)?;
            let payload = writer.txn.node_payload(namespace, slot)?;
            let payload =
                payload.ok_or_else(|| Error::Internal("an updated node is gone".into()))?;
            Ok(Node::stored(&store, namespace, payload))
        })
    }

    /// Removes a node with its edges and what was derived from it.
    pub fn delete_node(&self, id: &str, expected: Option<u64>) -> Result<()> {
        let (id, namespace) = (id.to_owned(), self.namespace_id());
        self.write(move |writer| {
            let slot = writer.txn.require_node(namespace, &id)?;
            check_version(writer, Kind::Node, &id, expected)?;
            writer.delete_node(slot)
        })
    }

    /// Makes edges, all or none; returns their ids.
    pub fn create_edges(&self, drafts: Vec<EdgeDraft>) -> Result<Vec<String>> {
        self.write(move |writer| {
            drafts.iter().map(|draft| writer.create_edge(draft).map(|(id, _)| id)).collect()
        })
    }

    /// Changes an edge. With `expected`, only if it has this version.
    pub fn update_edge(
        &self,
        id: &str,
        changes: EdgeChanges,
        expected: Option<u64>,
    ) -> Result<Edge> {
        let (id, store) = (id.to_owned(), Arc::clone(&self.engine()?.store));
        let namespace = self.namespace_id();
        self.write(move |writer| {
            let slot = require_edge(writer, namespace, &id)?;
            check_version(writer, Kind::Edge, &id, expected)?;
            writer.update_edge(slot, &changes)?;
            Edge::read(&store, writer.txn, namespace, slot)?
                .ok_or_else(|| Error::Internal("an updated edge is gone".into()))
        })
    }

    /// Removes an edge.
    pub fn delete_edge(&self, id: &str) -> Result<()> {
        let (id, namespace) = (id.to_owned(), self.namespace_id());
        self.write(move |writer| {
            let slot = require_edge(writer, namespace, &id)?;
            writer.delete_edge(slot)
        })
    }

    /// Stores vectors, all or none; returns the ids of the embeddings.
    pub fn create_embeddings(&self, drafts: Vec<EmbeddingDraft>) -> Result<Vec<String>> {
        self.write(move |writer| {
            drafts.iter().map(|draft| writer.create_embedding(draft)).collect()
        })
    }

    /// Replaces the numbers of an embedding.
    pub fn update_embedding(&self, id: &str, vector: Vec<f32>) -> Result<()> {
        let id = id.to_owned();
        self.write(move |writer| writer.update_embedding(&id, &vector))
    }

    /// Removes an embedding.
    pub fn delete_embedding(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write(move |writer| writer.delete_embedding(&id))
    }

    /// Makes a chat.
    pub fn create_chat(&self, id: Option<String>, properties: Draft) -> Result<Node> {
        let draft = NodeDraft { id, labels: vec!["Chat".into()], properties };
        let (store, namespace) = (Arc::clone(&self.engine()?.store), self.namespace_id());
        self.write(move |writer| {
            let (_, slot) = writer.create_node(&draft)?;
            stored(writer, &store, namespace, slot)
        })
    }

    /// Appends messages to a chat, all or none; the chat is made when it is new.
    pub fn add_messages(&self, chat_id: &str, messages: Vec<MessageDraft>) -> Result<Vec<Node>> {
        let (chat_id, store) = (chat_id.to_owned(), Arc::clone(&self.engine()?.store));
        let namespace = self.namespace_id();
        self.write(move |writer| {
            let chat = writer.ensure_chat(&chat_id)?;
            let mut nodes = Vec::with_capacity(messages.len());
            for (id, properties) in &messages {
                let slot = writer.add_message(chat, &chat_id, id.as_deref(), properties)?;
                nodes.push(stored(writer, &store, namespace, slot)?);
            }
            Ok(nodes)
        })
    }
}

fn stored(
    writer: &GraphWriter<'_, '_>,
    store: &Arc<embedded_db_storage::Store>,
    namespace: embedded_db_common::NamespaceId,
    slot: embedded_db_common::Slot,
) -> Result<Node> {
    let payload = writer.txn.node_payload(namespace, slot)?;
    let payload = payload.ok_or_else(|| Error::Internal("a new node is gone".into()))?;
    Ok(Node::stored(store, namespace, payload))
}

pub(crate) fn require_edge(
    writer: &GraphWriter<'_, '_>,
    namespace: embedded_db_common::NamespaceId,
    id: &str,
) -> Result<embedded_db_common::Slot> {
    let found = writer.txn.resolve(namespace, Kind::Edge, id)?;
    found.map(|found| found.slot).ok_or_else(|| Error::NotFound { kind: "edge", id: id.to_owned() })
}

/// Fails with `Conflict` unless the object has the expected version.
fn check_version(
    writer: &GraphWriter<'_, '_>,
    kind: Kind,
    id: &str,
    expected: Option<u64>,
) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    let found = writer.version(kind, id)?;
    if found == expected {
        return Ok(());
    }
    Err(Error::Conflict { kind: kind.name(), id: id.to_owned(), expected, found })
}
