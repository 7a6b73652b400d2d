//! Transactions: a pinned snapshot, buffered writes, and a check at commit.
//!
//! Nothing is locked while the user's code runs. The version of every object that was read or written
//! is remembered as the snapshot shows it; the commit fails with `Conflict` if any has changed since.

use std::collections::{BTreeMap, HashMap, HashSet};

use embedded_db_common::{Draft, Error, Result, clock, names};
use embedded_db_indexing::graph::{
    Changes, EdgeChanges, EdgeDraft, EdgeSuccessor, EmbeddingDraft, Expiry, GraphWriter, NodeDraft,
};
use embedded_db_query::{AsOf, Reach};
use embedded_db_storage::{Direction, EdgeTimes, Kind, ReadTxn};

use crate::database::Database;
use crate::objects::{DraftEdge, DraftNode, Edge, Node};
use crate::reads::PinnedReads;
use crate::writes::{Seen, require_edge, stored_edge};

#[derive(Debug, Clone)]
enum Op {
    CreateNode(NodeDraft),
    UpdateNode(String, Changes),
    SetExpiry(String, Expiry),
    DeleteNode(String),
    CreateEdge(EdgeDraft),
    UpdateEdge(String, EdgeChanges),
    RetractEdge(String),
    DeleteEdge(String),
    CreateEmbedding(EmbeddingDraft),
    DeleteEmbedding(String),
}

/// Several writes, all or nothing.
pub struct Transaction {
    database: Database,
    reads: PinnedReads,
    ops: Vec<Op>,
    /// Version of each object as the snapshot shows it, 0 when it has none; and which object that is.
    seen: BTreeMap<(u8, String), (u64, Option<Seen>)>,
    /// Nodes as this transaction has left them; `None` when it deleted them. Edges too, or retracted.
    nodes: HashMap<String, Option<DraftNode>>,
    edges: HashMap<String, Option<DraftEdge>>,
    /// Edges that this transaction retracted: their ends. Their ids stay taken.
    retracted: HashMap<String, [String; 2]>,
    /// Whether embeddings exist as this transaction has left them.
    embeddings: HashMap<String, bool>,
}

impl Database {
    /// Begins a transaction.
    pub fn transaction(&self) -> Result<Transaction> {
        if self.read_only() {
            return Err(Error::ReadOnly { path: self.path().to_owned() });
        }
        let reads = self.snapshot()?;
        let (ops, seen) = Default::default();
        let (nodes, edges, retracted, embeddings) = Default::default();
        let database = self.clone();
        Ok(Transaction { database, reads, ops, seen, nodes, edges, retracted, embeddings })
    }
}

impl Transaction {
    /// The snapshot it reads; queries see it without the transaction's own writes.
    pub fn reads(&self) -> &PinnedReads {
        &self.reads
    }

    fn see(&mut self, kind: Kind, id: &str, version: u64) -> Result<()> {
        let namespace = self.database.namespace_id();
        let found = self.reads.reader(|reader| Seen::find(reader.snapshot, namespace, kind, id))?;
        let seen = (version, found);
        self.seen.entry((kind as u8, id.to_owned())).or_insert(seen);
        Ok(())
    }

    // ---- nodes

    /// A node with the transaction's own writes.
    pub fn get_node(&mut self, id: &str) -> Result<Option<Node>> {
        if let Some(own) = self.nodes.get(id) {
            let store = &self.database.engine()?.store;
            let namespace = self.database.namespace_id();
            return Ok(own.clone().map(|draft| Node::draft(store, namespace, draft)));
        }
        let found = self.reads.get_node(id)?;
        let version = found.as_ref().map_or(Ok(0), Node::version)?;
        self.see(Kind::Node, id, version)?;
        Ok(found)
    }

    fn require_node(&mut self, id: &str) -> Result<Node> {
        self.get_node(id)?.ok_or_else(|| Error::NotFound { kind: "node", id: id.to_owned() })
    }

    /// Makes a node; returns its id.
    pub fn create_node(&mut self, mut draft: NodeDraft) -> Result<String> {
        if draft.labels.is_empty() {
            return Err(Error::InvalidInput("a node needs at least one label; give labels".into()));
        }
        draft.labels.iter().try_for_each(|label| names::check("a label", label))?;
        draft.properties.check_names()?;
        let id = match &draft.id {
            Some(id) => {
                names::check("a node id", id)?;
                id.clone()
            }
            None => clock::new_id(&names::snake_case(&draft.labels[0])),
        };
        if self.get_node(&id)?.is_some() {
            return Err(Error::AlreadyExists { kind: "node", id });
        }
        draft.id = Some(id.clone());
        let now = clock::now();
        let node = DraftNode {
            id: id.clone(),
            labels: draft.labels.clone(),
            properties: draft.properties.clone(),
            created_at: now,
            updated_at: now,
            expires_at: draft.expiry.at(now),
            version: 1,
        };
        self.nodes.insert(id.clone(), Some(node));
        self.ops.push(Op::CreateNode(draft));
        Ok(id)
    }

    /// Changes a node.
    pub fn update_node(&mut self, id: &str, changes: Changes) -> Result<()> {
        changes.set.check_names()?;
        let node = self.require_node(id)?;
        let mut draft = drafted(id, &node)?;
        draft.properties = merged(&draft.properties, &changes)?;
        self.nodes.insert(id.to_owned(), Some(draft));
        self.ops.push(Op::UpdateNode(id.to_owned(), changes));
        Ok(())
    }

    /// Sets when a node expires; how long it is to be there counts from the commit on.
    pub fn set_expiry(&mut self, id: &str, expiry: Expiry) -> Result<()> {
        let node = self.require_node(id)?;
        let mut draft = drafted(id, &node)?;
        draft.expires_at = expiry.at(draft.updated_at);
        self.nodes.insert(id.to_owned(), Some(draft));
        self.ops.push(Op::SetExpiry(id.to_owned(), expiry));
        Ok(())
    }

    /// Removes a node with its edges.
    pub fn delete_node(&mut self, id: &str) -> Result<()> {
        let chat = self.require_node(id)?.labels()?.iter().any(|label| &**label == "Chat");
        let mut gone = vec![id.to_owned()];
        if chat {
            gone.extend(self.owned(id, "CONTAINS", Reach::Out, "Message")?);
            gone.extend(self.owned(id, "SUMMARIZES", Reach::In, "Summary")?);
        }
        for edge in self.incident(&gone)? {
            self.retracted.remove(&edge);
            self.edges.insert(edge, None);
        }
        self.nodes.extend(gone.into_iter().map(|id| (id, None)));
        self.ops.push(Op::DeleteNode(id.to_owned()));
        Ok(())
    }

    /// Ids of the nodes that go with a chat; whether they change beside is no matter.
    fn owned(&self, id: &str, of: &str, way: Reach, label: &str) -> Result<Vec<String>> {
        if !self.reads.exists(id)? {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        let (types, now) = ([of.to_owned()], AsOf::default());
        for node in self.reads.neighbors(id, Some(&types), way, now, None, usize::MAX)?.items {
            if node.labels()?.iter().any(|known| &**known == label) {
                out.push(node.id()?);
            }
        }
        Ok(out)
    }

    /// Ids of the edges of nodes, own and retracted ones included.
    fn incident(&self, nodes: &[String]) -> Result<HashSet<String>> {
        let mut out: HashSet<String> = HashSet::new();
        for id in nodes {
            if self.reads.exists(id)? {
                out.extend(self.reads.reader(|reader| reader.edge_ids_ever(id))?);
            }
        }
        let nodes: HashSet<&str> = nodes.iter().map(String::as_str).collect();
        let retracted = self
            .retracted
            .iter()
            .filter(|(_, ends)| ends.iter().any(|end| nodes.contains(end.as_str())));
        out.extend(retracted.map(|(edge, _)| edge.clone()));
        let own = self.edges.values().flatten();
        let own = own.filter(|edge| {
            nodes.contains(edge.source.as_str()) || nodes.contains(edge.target.as_str())
        });
        out.extend(own.map(|edge| edge.id.clone()));
        Ok(out)
    }

    // ---- edges

    /// An edge with the transaction's own writes.
    pub fn get_edge(&mut self, id: &str) -> Result<Option<Edge>> {
        if let Some(own) = self.edges.get(id) {
            let store = &self.database.engine()?.store;
            let namespace = self.database.namespace_id();
            return Ok(own.clone().map(|draft| Edge::draft(store, namespace, draft)));
        }
        let found = self.reads.get_edge(id, AsOf::default())?;
        let version = found.as_ref().map_or(Ok(0), Edge::version)?;
        self.see(Kind::Edge, id, version)?;
        Ok(found)
    }

    fn require_edge(&mut self, id: &str) -> Result<Edge> {
        self.get_edge(id)?.ok_or_else(|| Error::NotFound { kind: "edge", id: id.to_owned() })
    }

    /// Whether an edge of this id was retracted, here or before, and not deleted.
    fn is_retracted(&mut self, id: &str) -> Result<bool> {
        if self.retracted.contains_key(id) {
            return Ok(true);
        }
        if self.edges.contains_key(id) || self.get_edge(id)?.is_some() {
            return Ok(false);
        }
        let namespace = self.database.namespace_id();
        self.reads
            .reader(|reader| Ok(reader.snapshot.resolve(namespace, Kind::Edge, id)?.is_some()))
    }

    /// Makes an edge; returns its id.
    pub fn create_edge(&mut self, mut draft: EdgeDraft) -> Result<String> {
        draft.check()?;
        draft.properties.check_names()?;
        self.require_node(&draft.source)?;
        self.require_node(&draft.target)?;
        let made = || clock::new_id(&names::snake_case(&draft.edge_type));
        let id = draft.id.clone().unwrap_or_else(made);
        if self.get_edge(&id)?.is_some() || self.is_retracted(&id)? {
            return Err(Error::AlreadyExists { kind: "edge", id });
        }
        draft.id = Some(id.clone());
        let times = EdgeTimes {
            valid_from: draft.valid_from,
            valid_to: draft.valid_to,
            recorded_at: clock::now(),
            retracted_at: None,
        };
        let edge = DraftEdge {
            id: id.clone(),
            source: draft.source.clone(),
            target: draft.target.clone(),
            edge_type: draft.edge_type.clone(),
            weight: draft.weight,
            times,
            sources: draft.sources.clone(),
            properties: draft.properties.clone(),
            version: 1,
        };
        self.edges.insert(id.clone(), Some(edge));
        self.ops.push(Op::CreateEdge(draft));
        Ok(id)
    }

    /// Changes an edge.
    pub fn update_edge(&mut self, id: &str, changes: EdgeChanges) -> Result<()> {
        changes.properties.set.check_names()?;
        let edge = self.require_edge(id)?;
        let mut old = Draft::new();
        edge.each_property(&mut |name, value| old.set(name, &value.to_value()?))?;
        let before = edge.times()?;
        changes.check(&before)?;
        let times = EdgeTimes { recorded_at: clock::now(), ..changes.times(&before) };
        let draft = DraftEdge {
            id: id.to_owned(),
            source: edge.source().to_owned(),
            target: edge.target().to_owned(),
            edge_type: edge.edge_type()?.to_string(),
            weight: changes.weight.unwrap_or(edge.weight()?),
            times,
            sources: edge.sources()?,
            properties: merged(&old, &changes.properties)?,
            version: edge.version()? + 1,
        };
        self.edges.insert(id.to_owned(), Some(draft));
        self.ops.push(Op::UpdateEdge(id.to_owned(), changes));
        Ok(())
    }

    /// Makes an edge that takes the place of another, which stays and ends where it begins; returns
    /// its id.
    pub fn supersede_edge(&mut self, id: &str, successor: EdgeSuccessor) -> Result<String> {
        let edge = self.require_edge(id)?;
        let (source, target) = (edge.source().to_owned(), edge.target().to_owned());
        let edge_type = edge.edge_type()?.to_string();
        let draft = successor.complete(source, target, edge_type, clock::now());
        let to = draft.ends(&edge.times()?)?;
        // First what may be refused: nothing is buffered then.
        let made = self.create_edge(draft)?;
        if let Some(to) = to {
            let changes = EdgeChanges { valid_to: Some(Some(to)), ..EdgeChanges::default() };
            self.update_edge(id, changes)?;
        }
        Ok(made)
    }

    /// Ends the belief in an edge; its id stays taken.
    pub fn retract_edge(&mut self, id: &str) -> Result<()> {
        let edge = self.require_edge(id)?;
        let ends = [edge.source().to_owned(), edge.target().to_owned()];
        self.retracted.insert(id.to_owned(), ends);
        self.edges.insert(id.to_owned(), None);
        self.ops.push(Op::RetractEdge(id.to_owned()));
        Ok(())
    }

    /// Removes an edge, retracted or not, with its history.
    pub fn delete_edge(&mut self, id: &str) -> Result<()> {
        if !self.is_retracted(id)? {
            self.require_edge(id)?;
        }
        self.retracted.remove(id);
        self.edges.insert(id.to_owned(), None);
        self.ops.push(Op::DeleteEdge(id.to_owned()));
        Ok(())
    }

    /// Nodes at the other end of edges, own writes included; each once.
    pub fn neighbors(
        &mut self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
    ) -> Result<Vec<Node>> {
        self.require_node(id)?;
        let mut edges = Vec::new();
        if self.reads.exists(id)? {
            let now = AsOf::default();
            for edge in self.reads.edges(id, types, direction, now, None, usize::MAX)?.items {
                let edge_id = edge.id()?;
                if !self.edges.contains_key(&edge_id) {
                    self.see(Kind::Edge, &edge_id, edge.version()?)?;
                    edges.push((edge.source().to_owned(), edge.target().to_owned()));
                }
            }
        }
        for own in self.edges.values().flatten() {
            if types.is_none_or(|types| types.contains(&own.edge_type)) {
                edges.push((own.source.clone(), own.target.clone()));
            }
        }
        let mut seen = HashSet::new();
        let mut out = Vec::new();
        for (source, target) in edges {
            for way in direction.directions() {
                let (here, there) = match way {
                    Direction::Out => (&source, &target),
                    Direction::In => (&target, &source),
                };
                if here == id && seen.insert(there.clone()) {
                    out.extend(self.get_node(there)?);
                }
            }
        }
        if self.reads.exists(id)? {
            for there in self.reads.reader(|reader| reader.bridged(id, types, direction))? {
                if seen.insert(there.clone()) {
                    out.extend(self.get_node(&there)?);
                }
            }
        }
        Ok(out)
    }

    // ---- embeddings

    /// Stores a vector; returns the id of the embedding.
    pub fn create_embedding(&mut self, mut draft: EmbeddingDraft) -> Result<String> {
        embedded_db_indexing::graph::check_vector(&draft.vector)?;
        self.require_node(&draft.node_id)?;
        let id = draft.id.clone().unwrap_or_else(|| clock::new_id("embedding"));
        names::check("an embedding id", &id)?;
        if self.has_embedding(&id)? {
            return Err(Error::AlreadyExists { kind: "embedding", id });
        }
        draft.id = Some(id.clone());
        self.embeddings.insert(id.clone(), true);
        self.ops.push(Op::CreateEmbedding(draft));
        Ok(id)
    }

    /// Removes an embedding.
    pub fn delete_embedding(&mut self, id: &str) -> Result<()> {
        if !self.has_embedding(id)? {
            return Err(Error::NotFound { kind: "embedding", id: id.to_owned() });
        }
        self.embeddings.insert(id.to_owned(), false);
        self.ops.push(Op::DeleteEmbedding(id.to_owned()));
        Ok(())
    }

    /// Whether an embedding exists, own writes included.
    fn has_embedding(&mut self, id: &str) -> Result<bool> {
        if let Some(own) = self.embeddings.get(id) {
            return Ok(*own);
        }
        let namespace = self.database.namespace_id();
        let version = self.reads.reader(|reader| {
            let found = match reader.snapshot.resolve(namespace, Kind::Embedding, id)? {
                Some(at) => reader.snapshot.embedding(namespace, at.space, at.slot, at.part)?,
                None => None,
            };
            Ok(found.map_or(0, |embedding| embedding.lsn.0))
        })?;
        self.see(Kind::Embedding, id, version)?;
        Ok(version > 0)
    }

    // ---- the end

    /// Checks and applies everything; what it says is true for all of it.
    pub fn commit(self) -> Result<()> {
        self.reads.reader(|_| Ok(()))?;
        let Self { database, reads, ops, seen, .. } = self;
        if ops.is_empty() {
            return Ok(());
        }
        // The map may have to grow under the write; a held snapshot would forbid it.
        drop(reads);
        database.write(move |writer| {
            for ((kind, id), (expected, seen)) in &seen {
                let kind = match *kind {
                    kind if kind == Kind::Node as u8 => Kind::Node,
                    kind if kind == Kind::Edge as u8 => Kind::Edge,
                    _ => Kind::Embedding,
                };
                let now = match writer.resolve(kind, id)? {
                    Some(_) => Seen::find(writer.txn, writer.namespace(), kind, id)?,
                    None => None,
                };
                let same = match (&now, seen) {
                    (Some(now), Some(seen)) => now.is(seen),
                    (None, None) => true,
                    _ => false,
                };
                let found = if same { writer.version(kind, id)? } else { 0 };
                if !same || found != *expected {
                    let (kind, id, expected) = (kind.name(), id.clone(), *expected);
                    return Err(Error::Conflict { kind, id, expected, found });
                }
            }
            ops.iter().try_for_each(|op| apply(writer, op))
        })
    }
}

fn apply(writer: &mut GraphWriter<'_, '_>, op: &Op) -> Result<()> {
    match op {
        Op::CreateNode(draft) => writer.create_node(draft).map(drop),
        Op::UpdateNode(id, changes) => {
            let slot = writer.require_node(id)?;
            writer.update_node(slot, changes)
        }
        Op::SetExpiry(id, expiry) => {
            let slot = writer.require_node(id)?;
            writer.set_expiry(slot, *expiry)
        }
        Op::DeleteNode(id) => {
            let slot = writer.require_node(id)?;
            writer.delete_node(slot)
        }
        Op::CreateEdge(draft) => writer.create_edge(draft).map(drop),
        Op::UpdateEdge(id, changes) => {
            let slot = require_edge(writer, id)?;
            writer.update_edge(slot, changes)
        }
        Op::RetractEdge(id) => {
            let slot = require_edge(writer, id)?;
            writer.retract_edge(slot)
        }
        Op::DeleteEdge(id) => {
            let slot = stored_edge(writer, id)?;
            writer.delete_edge(slot)
        }
        Op::CreateEmbedding(draft) => writer.create_embedding(draft).map(drop),
        Op::DeleteEmbedding(id) => writer.delete_embedding(id),
    }
}

/// A node as its next change by this transaction begins.
fn drafted(id: &str, node: &Node) -> Result<DraftNode> {
    let mut properties = Draft::new();
    node.each_property(&mut |name, value| properties.set(name, &value.to_value()?))?;
    Ok(DraftNode {
        id: id.to_owned(),
        labels: node.labels()?.iter().map(|label| label.to_string()).collect(),
        properties,
        created_at: node.created_at()?,
        updated_at: clock::now(),
        expires_at: node.expires_at()?,
        version: node.version()? + 1,
    })
}

fn merged(old: &Draft, changes: &Changes) -> Result<Draft> {
    let mut out = Draft::new();
    let kept = old.iter().filter(|(name, _)| !changes.remove.iter().any(|gone| gone == name));
    for (name, bytes) in kept.chain(changes.set.iter()) {
        out.push(name, |to| {
            to.extend_from_slice(bytes);
            Ok::<(), Error>(())
        })?;
    }
    Ok(out)
}
