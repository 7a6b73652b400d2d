//! The end of a transaction: everything is checked, then everything is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use embedded_db_common::{Error, NamespaceId, Result};
use embedded_db_indexing::graph::{
    Changes, EdgeChanges, EdgeDraft, EmbeddingDraft, Expiry, GraphWriter, NodeDraft,
};
use embedded_db_query::AsOf;
use embedded_db_storage::{Kind, ReadTxn, Store};

use super::{Expected, Transaction};
use crate::database::Database;
use crate::objects::{Edge, Node};
use crate::sharing::forward;
use crate::sharing::wire::{wire_enum, wire_struct};
use crate::writes::{AddTo, Seen, require_edge, stored_edge, written};

#[derive(Debug, Clone)]
pub(super) enum Op {
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
    /// No messages are added to a chat.
    FindChat(String, AddTo),
    /// A message is added to a chat.
    AddMessage(String, AddTo, NodeDraft),
}

/// What was stored of objects that a caller holds as the transaction left them; `None` for those that it
/// did not write, or that the caller holds in an earlier version.
#[derive(Default)]
pub struct Committed {
    /// Nodes in the order in which they were given.
    pub nodes: Vec<Option<Node>>,
    /// Edges likewise.
    pub edges: Vec<Option<Edge>>,
}

impl Transaction {
    /// Checks and applies everything; what it says is true for all of it.
    pub fn commit(self) -> Result<()> {
        self.commit_held(&[], &[]).map(drop)
    }

    /// The same, and gives what was stored of objects that a caller holds.
    pub fn commit_held(self, nodes: &[Node], edges: &[Edge]) -> Result<Committed> {
        self.check_usable()?;
        let left = self.left_by_it(nodes, edges)?;
        let Self { database, reads, ops, seen, .. } = self;
        if ops.is_empty() {
            return Ok(Committed {
                nodes: vec![None; nodes.len()],
                edges: vec![None; edges.len()],
            });
        }
        // The map may have to grow under the write; a held snapshot would forbid it.
        drop(reads);
        database.commit(Commit { seen, ops, left })
    }

    /// Those of some objects that are as this transaction has left them.
    fn left_by_it(&self, nodes: &[Node], edges: &[Edge]) -> Result<Left> {
        let node = |node: &Node| -> Result<Option<String>> {
            let (id, state) = (node.id()?, (node.version()?, node.created_at()?));
            let own = self.own.node(&id).flatten();
            let same = own.is_some_and(|own| (own.version, own.created_at) == state);
            Ok(same.then_some(id))
        };
        let edge = |edge: &Edge| -> Result<Option<String>> {
            let (id, state) = (edge.id()?, (edge.version()?, edge.times()?.recorded_at));
            let own = self.own.edge(&id).and_then(|own| own.draft.as_ref());
            let same = own.is_some_and(|own| (own.version, own.times.recorded_at) == state);
            Ok(same.then_some(id))
        };
        Ok(Left {
            nodes: nodes.iter().map(node).collect::<Result<_>>()?,
            edges: edges.iter().map(edge).collect::<Result<_>>()?,
        })
    }
}

/// What a commit takes.
pub(crate) struct Commit {
    /// What was read or written, as it was seen.
    seen: BTreeMap<(Kind, String), Expected>,
    ops: Vec<Op>,
    left: Left,
}

wire_struct! {
    Commit { seen, ops, left }
    Left { nodes, edges }
    Expected { version, object, any_version }
}

wire_enum!(Op {
    ; ; CreateNode(draft) UpdateNode(id, changes) SetExpiry(id, expiry) DeleteNode(id)
    CreateEdge(draft) UpdateEdge(id, changes) RetractEdge(id) DeleteEdge(id)
    CreateEmbedding(draft) DeleteEmbedding(id) FindChat(id, to) AddMessage(id, to, draft)
});

impl Database {
    /// Checks and applies all of it.
    pub(crate) fn commit(&self, commit: Commit) -> Result<Committed> {
        forward!(self, Commit { commit });
        let Commit { seen, ops, left } = commit;
        let (store, namespace) = (Arc::clone(&self.engine()?.store), self.namespace_id());
        self.write(move |writer| {
            seen.iter().try_for_each(|((kind, id), seen)| check(writer, *kind, id, *seen))?;
            ops.iter().try_for_each(|op| apply(writer, op))?;
            left.read(writer, &store, namespace)
        })
    }
}

/// Ids of objects whose stored form is wanted, `None` for those that nobody asks for.
struct Left {
    nodes: Vec<Option<String>>,
    edges: Vec<Option<String>>,
}

impl Left {
    fn read(
        &self,
        writer: &GraphWriter<'_, '_>,
        store: &Arc<Store>,
        namespace: NamespaceId,
    ) -> Result<Committed> {
        let (txn, now) = (&*writer.txn, AsOf::default());
        let node = |id: &Option<String>| {
            let Some(id) = id else { return Ok(None) };
            let slot = txn.node_slot(namespace, id)?;
            slot.map(|slot| written(writer, store, namespace, slot)).transpose()
        };
        let edge = |id: &Option<String>| {
            let Some(id) = id else { return Ok(None) };
            let Some(found) = txn.resolve(namespace, Kind::Edge, id)? else { return Ok(None) };
            Edge::read(store, txn, namespace, found.slot, now)
        };
        Ok(Committed {
            nodes: self.nodes.iter().map(node).collect::<Result<_>>()?,
            edges: self.edges.iter().map(edge).collect::<Result<_>>()?,
        })
    }
}

/// Fails with `Conflict` if an object is not as it was seen.
fn check(writer: &mut GraphWriter<'_, '_>, kind: Kind, id: &str, expected: Expected) -> Result<()> {
    // What has expired goes now, so that its id is free.
    let found = writer.resolve(kind, id)?;
    let now = found.map(|found| Seen::at(writer.txn, writer.namespace(), kind, found));
    let now = now.transpose()?.flatten();
    let same = match (&now, &expected.object) {
        (Some(now), Some(seen)) => now.is(seen),
        (None, None) => true,
        _ => false,
    };
    if same && expected.any_version {
        return Ok(());
    }
    let known = now.is_some() && (same || expected.object.is_none());
    let found = if known { writer.version(kind, id)? } else { 0 };
    if same && found == expected.version {
        return Ok(());
    }
    let (kind, id, expected) = (kind.name(), id.to_owned(), expected.version);
    Err(Error::Conflict { kind, id, expected, found })
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
        Op::FindChat(id, to) => to.find(writer, id).map(drop),
        Op::AddMessage(id, to, draft) => {
            let chat = to.find(writer, id)?;
            writer.add_message(chat, id, draft).map(drop)
        }
    }
}
