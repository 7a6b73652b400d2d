//! Writing nodes, edges, embeddings and chats.

use std::collections::HashSet;
use std::sync::Arc;

use embedded_db_common::{Error, NamespaceId, Result, Slot};
use embedded_db_indexing::graph::{
    Changes, EdgeChanges, EdgeDraft, EdgeSuccessor, EmbeddingDraft, Expiry, GraphWriter, NodeDraft,
};
use embedded_db_indexing::schema::CHAT;
use embedded_db_query::AsOf;
use embedded_db_storage::{EdgeRecord, Kind, ReadEmbeddings, ReadTxn, Resolved, Store};

use crate::database::Database;
use crate::objects::{Edge, Node, Place};
use crate::sharing::forward;
use crate::sharing::wire::wire_struct;

impl Database {
    /// Makes a node; returns its id. A message that names a chat by its `chat_id` is put at its end, and
    /// the chat is made when it is new.
    pub fn create_node(&self, draft: NodeDraft) -> Result<String> {
        forward!(self, CreateNode { draft });
        self.write(move |writer| writer.create_node(&draft).map(|(id, _)| id))
    }

    /// The same for many, all or none; returns their ids.
    pub fn create_nodes(&self, drafts: Vec<NodeDraft>) -> Result<Vec<String>> {
        forward!(self, CreateNodes { drafts });
        self.write(move |writer| writer.create_nodes(&drafts))
    }

    /// Makes nodes whose edges come by themselves, all or none; returns their ids.
    pub fn create_bare_nodes(&self, drafts: Vec<NodeDraft>) -> Result<Vec<String>> {
        forward!(self, CreateBareNodes { drafts });
        self.write(move |writer| {
            each(&drafts, |draft| writer.create_bare_node(draft).map(|(id, _)| id))
        })
    }

    /// Changes a node. With `expected`, only if it is still that node as it was read: one that was
    /// deleted and made again under its id is another, though its versions begin at 1 too.
    pub fn update_node(&self, id: &str, changes: Changes, expected: Option<&Node>) -> Result<Node> {
        self.update_seen_node(id, changes, expected.map(Seen::node).transpose()?)
    }

    pub(crate) fn update_seen_node(
        &self,
        id: &str,
        changes: Changes,
        expected: Option<Seen>,
    ) -> Result<Node> {
        forward!(self, UpdateNode { id: id.into(), changes, expected });
        let (id, store) = (id.to_owned(), Arc::clone(&self.engine()?.store));
        let namespace = self.namespace_id();
        self.write(move |writer| {
            let slot = writer.require_node(&id)?;
            check_unchanged(writer, Kind::Node, &id, expected)?;
            writer.update_node(slot, &changes)?;
            written(writer, &store, namespace, slot)
        })
    }

    /// Sets when a node expires.
    pub fn set_expiry(&self, id: &str, expiry: Expiry) -> Result<Node> {
        forward!(self, SetExpiry { id: id.into(), expiry });
        let (id, store) = (id.to_owned(), Arc::clone(&self.engine()?.store));
        let namespace = self.namespace_id();
        self.write(move |writer| {
            let slot = writer.require_node(&id)?;
            writer.set_expiry(slot, expiry)?;
            written(writer, &store, namespace, slot)
        })
    }

    /// Removes a node with its edges and what was derived from it. With `expected`, only if it is
    /// still that node as it was read.
    pub fn delete_node(&self, id: &str, expected: Option<&Node>) -> Result<()> {
        self.delete_seen_node(id, expected.map(Seen::node).transpose()?)
    }

    pub(crate) fn delete_seen_node(&self, id: &str, expected: Option<Seen>) -> Result<()> {
        forward!(self, DeleteNode { id: id.into(), expected });
        let id = id.to_owned();
        self.write(move |writer| {
            let slot = writer.require_node(&id)?;
            check_unchanged(writer, Kind::Node, &id, expected)?;
            writer.delete_node(slot)
        })
    }

    /// Makes an edge; returns its id.
    pub fn create_edge(&self, draft: EdgeDraft) -> Result<String> {
        forward!(self, CreateEdge { draft });
        self.write(move |writer| writer.create_edge(&draft).map(|(id, _)| id))
    }

    /// Makes edges, all or none; returns their ids.
    pub fn create_edges(&self, drafts: Vec<EdgeDraft>) -> Result<Vec<String>> {
        forward!(self, CreateEdges { drafts });
        self.write(move |writer| each(&drafts, |draft| writer.create_edge(draft).map(|(id, _)| id)))
    }

    /// Changes an edge. With `expected`, only if it is still that edge as it was read.
    pub fn update_edge(
        &self,
        id: &str,
        changes: EdgeChanges,
        expected: Option<&Edge>,
    ) -> Result<Edge> {
        self.update_seen_edge(id, changes, expected.map(Seen::edge).transpose()?)
    }

    pub(crate) fn update_seen_edge(
        &self,
        id: &str,
        changes: EdgeChanges,
        expected: Option<Seen>,
    ) -> Result<Edge> {
        forward!(self, UpdateEdge { id: id.into(), changes, expected });
        let (id, store) = (id.to_owned(), Arc::clone(&self.engine()?.store));
        let namespace = self.namespace_id();
        self.write(move |writer| {
            let slot = require_edge(writer, &id)?;
            check_unchanged(writer, Kind::Edge, &id, expected)?;
            writer.update_edge(slot, &changes)?;
            Edge::read(&store, writer.txn, namespace, slot, AsOf::default())?
                .ok_or_else(|| Error::Internal("an updated edge is gone".into()))
        })
    }

    /// Makes an edge that takes the place of another, which stays and ends where it begins; returns
    /// its id.
    pub fn supersede_edge(&self, id: &str, successor: EdgeSuccessor) -> Result<String> {
        forward!(self, SupersedeEdge { id: id.into(), successor });
        let id = id.to_owned();
        self.write(move |writer| {
            let slot = require_edge(writer, &id)?;
            writer.supersede_edge(slot, &successor)
        })
    }

    /// Ends the belief in an edge; its id stays taken.
    pub fn retract_edge(&self, id: &str) -> Result<()> {
        forward!(self, RetractEdge { id: id.into() });
        let id = id.to_owned();
        self.write(move |writer| {
            let slot = require_edge(writer, &id)?;
            writer.retract_edge(slot)
        })
    }

    /// Removes an edge, retracted or not, with its history.
    pub fn delete_edge(&self, id: &str) -> Result<()> {
        forward!(self, DeleteEdge { id: id.into() });
        let id = id.to_owned();
        self.write(move |writer| {
            let slot = stored_edge(writer, &id)?;
            writer.delete_edge(slot)
        })
    }

    /// Stores a vector; returns the id of the embedding.
    pub fn create_embedding(&self, draft: EmbeddingDraft) -> Result<String> {
        forward!(self, CreateEmbedding { draft });
        self.write(move |writer| writer.create_embedding(&draft))
    }

    /// Stores vectors, all or none; returns the ids of the embeddings. A node has one a space.
    pub fn create_embeddings(&self, drafts: Vec<EmbeddingDraft>) -> Result<Vec<String>> {
        forward!(self, CreateEmbeddings { drafts });
        let mut known = HashSet::with_capacity(drafts.len());
        for (at, draft) in drafts.iter().enumerate() {
            if !known.insert((&draft.node_id, &draft.space)) {
                let twice = Error::InvalidInput(format!(
                    "the node {:?} is given two vectors at once; give each node one",
                    draft.node_id
                ));
                return Err(twice.of_field("node_id").of_item(at));
            }
        }
        self.write(move |writer| each(&drafts, |draft| writer.create_embedding(draft)))
    }

    /// Replaces the numbers of an embedding.
    pub fn update_embedding(&self, id: &str, vector: Vec<f32>) -> Result<()> {
        forward!(self, UpdateEmbedding { id: id.into(), vector });
        let id = id.to_owned();
        self.write(move |writer| writer.update_embedding(&id, &vector))
    }

    /// Removes an embedding.
    pub fn delete_embedding(&self, id: &str) -> Result<()> {
        forward!(self, DeleteEmbedding { id: id.into() });
        let id = id.to_owned();
        self.write(move |writer| writer.delete_embedding(&id))
    }

    /// Makes a chat. The labels of the draft do not count.
    pub fn create_chat(&self, draft: NodeDraft) -> Result<Node> {
        forward!(self, CreateChat { draft });
        let draft = NodeDraft { labels: vec![CHAT.into()], ..draft };
        let (store, namespace) = (Arc::clone(&self.engine()?.store), self.namespace_id());
        self.write(move |writer| {
            let (_, slot) = writer.create_node(&draft)?;
            written(writer, &store, namespace, slot)
        })
    }

    /// Appends a message to a chat. The labels of its draft do not count, unless it is labelled as one.
    pub fn add_message(&self, chat_id: &str, message: NodeDraft, to: AddTo) -> Result<Node> {
        forward!(self, AddMessage { chat: chat_id.into(), message, to });
        let (chat_id, store) = (chat_id.to_owned(), Arc::clone(&self.engine()?.store));
        let namespace = self.namespace_id();
        self.write(move |writer| {
            let chat = to.find(writer, &chat_id)?;
            let slot = writer.add_message(chat, &chat_id, &message)?;
            written(writer, &store, namespace, slot)
        })
    }

    /// Appends messages to a chat, all or none.
    pub fn add_messages(
        &self,
        chat_id: &str,
        messages: Vec<NodeDraft>,
        to: AddTo,
    ) -> Result<Vec<Node>> {
        forward!(self, AddMessages { chat: chat_id.into(), messages, to });
        let (chat_id, store) = (chat_id.to_owned(), Arc::clone(&self.engine()?.store));
        let namespace = self.namespace_id();
        self.write(move |writer| {
            let chat = to.find(writer, &chat_id)?;
            each(&messages, |message| {
                let slot = writer.add_message(chat, &chat_id, message)?;
                written(writer, &store, namespace, slot)
            })
        })
    }
}

/// Which chat messages are added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddTo {
    /// One that has to exist.
    ChatThatExists,
    /// One that is made when it is new.
    AnyChat,
}

impl AddTo {
    pub(crate) fn find(self, writer: &mut GraphWriter<'_, '_>, chat_id: &str) -> Result<Slot> {
        match self {
            Self::AnyChat => writer.ensure_chat(chat_id),
            Self::ChatThatExists => {
                let missing = || Error::NotFound { kind: "chat", id: chat_id.to_owned() };
                writer.chat(chat_id)?.ok_or_else(missing)
            }
        }
    }
}

/// Does something with each item of a batch; an error says with which one it was.
pub(crate) fn each<T, U>(
    items: impl IntoIterator<Item = T>,
    mut act: impl FnMut(T) -> Result<U>,
) -> Result<Vec<U>> {
    let done = items.into_iter().enumerate();
    done.map(|(at, item)| act(item).map_err(|error| error.of_item(at))).collect()
}

/// A node as it was just written.
pub(crate) fn written(
    writer: &GraphWriter<'_, '_>,
    store: &Arc<Store>,
    namespace: NamespaceId,
    slot: Slot,
) -> Result<Node> {
    let payload = writer.txn.node_payload(namespace, slot)?;
    let payload = payload.ok_or_else(|| Error::Internal("a written node is gone".into()))?;
    Ok(Node::stored(store, writer.txn, namespace, slot, payload))
}

/// The slot of an edge that is stored, retracted or not.
pub(crate) fn stored_edge(writer: &mut GraphWriter<'_, '_>, id: &str) -> Result<Slot> {
    let found = writer.resolve(Kind::Edge, id)?;
    found.map(|found| found.slot).ok_or_else(|| Error::NotFound { kind: "edge", id: id.to_owned() })
}

/// The slot of an edge that was not retracted.
pub(crate) fn require_edge(writer: &mut GraphWriter<'_, '_>, id: &str) -> Result<Slot> {
    let slot = stored_edge(writer, id)?;
    if writer.version(Kind::Edge, id)? == 0 {
        return Err(Error::NotFound { kind: "edge", id: id.to_owned() });
    }
    Ok(slot)
}

/// A version of an object that a caller has read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    version: u64,
    /// Versions begin anew when an id is given again; slots are never given twice in a generation.
    place: Option<Place>,
    /// When a node was made, or the version of an edge recorded: what tells it in another generation.
    since: i64,
}

wire_struct! {
    Seen { version, place, since }
}

impl Seen {
    pub(crate) fn node(node: &Node) -> Result<Self> {
        Ok(Self { version: node.version()?, place: node.place, since: node.created_at()? })
    }

    pub(crate) fn edge(edge: &Edge) -> Result<Self> {
        let since = edge.times()?.recorded_at;
        Ok(Self { version: edge.version()?, place: edge.place, since })
    }

    /// An edge as it is stored.
    pub(crate) fn stored_edge(txn: &impl ReadTxn, slot: Slot, edge: &EdgeRecord<'_>) -> Self {
        let (version, since) = (edge.version, edge.times.recorded_at);
        Self { version, place: Some(Place::of(txn, slot)), since }
    }

    /// Its version.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What has the id in a state: `None` when nothing has.
    pub(crate) fn find<T: ReadTxn>(
        txn: &T,
        namespace: NamespaceId,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Self>> {
        let found = txn.resolve(namespace, kind, id)?;
        Ok(found.map(|found| Self::at(txn, namespace, kind, found)).transpose()?.flatten())
    }

    /// What is there.
    pub(crate) fn at<T: ReadTxn>(
        txn: &T,
        namespace: NamespaceId,
        kind: Kind,
        found: Resolved,
    ) -> Result<Option<Self>> {
        let place = Some(Place::of(txn, found.slot));
        let (version, since) = match kind {
            Kind::Node => {
                let node = txn.node(namespace, found.slot)?;
                node.map_or((0, 0), |node| (node.version, node.created_at))
            }
            Kind::Edge => {
                let edge = txn.edge(namespace, found.slot)?;
                return Ok(edge.map(|edge| Self::stored_edge(txn, found.slot, &edge)));
            }
            _ => {
                let vector = txn.embedding(namespace, found.space, found.slot, found.part)?;
                vector.map_or((0, 0), |vector| (vector.lsn.0, vector.created_at))
            }
        };
        Ok(Some(Self { version, place, since }))
    }

    /// Whether both are the same object, whatever its version.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self.place, other.place) {
            (Some(own), Some(others)) if own.generation == others.generation => {
                own.slot == others.slot
            }
            (Some(_), Some(_)) => self.since == other.since,
            // One that is not committed has no place yet.
            _ => true,
        }
    }
}

/// Fails with `Conflict` unless the object in `slot` is the expected one in the expected version.
fn check_unchanged(
    writer: &mut GraphWriter<'_, '_>,
    kind: Kind,
    id: &str,
    expected: Option<Seen>,
) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    let now = Seen::find(writer.txn, writer.namespace(), kind, id)?;
    let same = now.is_some_and(|now| now.is(&expected));
    let found = if same { writer.version(kind, id)? } else { 0 };
    if found == expected.version {
        return Ok(());
    }
    let (kind, id) = (kind.name(), id.to_owned());
    Err(Error::Conflict { kind, id, expected: expected.version, found })
}
