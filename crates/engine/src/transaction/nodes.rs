//! Nodes of a transaction.

use std::collections::HashSet;

use embedded_db_common::{Draft, Error, Result, clock, names};
use embedded_db_indexing::graph::{Changes, Expiry, NodeDraft};
use embedded_db_indexing::schema::{CHAT, CHAT_ID, CONTAINS, MESSAGE, NEXT, SUMMARIZES, SUMMARY};
use embedded_db_storage::{Direction, Kind};

use super::Transaction;
use super::commit::Op;
use crate::objects::{DraftNode, Node};
use crate::writes::AddTo;

impl Transaction {
    /// A node with the transaction's own writes.
    pub fn get_node(&mut self, id: &str) -> Result<Option<Node>> {
        if let Some(own) = self.own_node(id)? {
            if self.implied.contains(id) {
                // Now it counts what others have made of it.
                self.see(Kind::Node, id, 0)?;
            }
            return Ok(own);
        }
        let found = self.reads.get_node(id)?;
        let version = found.as_ref().map_or(Ok(0), Node::version)?;
        self.see(Kind::Node, id, version)?;
        Ok(found)
    }

    /// A node as this transaction has written it; `Some(None)` when it deleted it.
    fn own_node(&self, id: &str) -> Result<Option<Option<Node>>> {
        let Some(own) = self.own.node(id) else { return Ok(None) };
        let store = &self.database.engine()?.store;
        let namespace = self.database.namespace_id();
        Ok(Some(own.map(|draft| Node::draft(store, namespace, draft.clone()))))
    }

    /// A node with the transaction's own writes, which does not count as read.
    pub(super) fn peek_node(&self, id: &str) -> Result<Option<Node>> {
        match self.own_node(id)? {
            Some(own) => Ok(own),
            None => self.reads.get_node(id),
        }
    }

    pub(super) fn require_node(&mut self, id: &str) -> Result<Node> {
        self.get_node(id)?.ok_or_else(|| Error::NotFound { kind: "node", id: id.to_owned() })
    }

    /// Refuses an id of which there is no node; it counts as read.
    pub(super) fn check_node(&mut self, id: &str) -> Result<()> {
        let Some(own) = self.own.node(id) else { return self.require_node(id).map(drop) };
        let is_there = own.is_some();
        if self.implied.contains(id) {
            self.see(Kind::Node, id, 0)?;
        }
        let missing = || Error::NotFound { kind: "node", id: id.to_owned() };
        if is_there { Ok(()) } else { Err(missing()) }
    }

    /// Ids of the nodes that this transaction has written and not deleted, in no order.
    pub fn written_nodes(&self) -> Vec<String> {
        self.own.node_ids().cloned().collect()
    }

    /// Makes a node; returns its id. A message that names a chat by its `chat_id` is added to it, and
    /// the chat is made when it is new.
    pub fn create_node(&mut self, mut draft: NodeDraft) -> Result<String> {
        if let Some(chat_id) = draft.chat_id()? {
            return self.step(|tx| {
                let chat = tx.draft_chat(&chat_id, AddTo::AnyChat);
                chat.map_err(|error| error.of_property(CHAT_ID))?;
                tx.append(&chat_id, AddTo::AnyChat, draft)
            });
        }
        self.step(|tx| {
            let id = tx.make_node(draft.clone())?;
            let given = draft.embedding.take();
            tx.ops.push(Op::CreateNode(NodeDraft { id: Some(id.clone()), ..draft }));
            tx.embed_new_node(&id, given)?;
            Ok(id)
        })
    }

    /// Makes a node for the own reads; returns its id.
    pub(super) fn make_node(&mut self, draft: NodeDraft) -> Result<String> {
        draft.check()?;
        draft.properties.check_names()?;
        let id = match draft.id {
            Some(id) if self.get_node(&id)?.is_some() => {
                return Err(Error::AlreadyExists { kind: "node", id }.of_field("id"));
            }
            Some(id) => id,
            // Nobody has it.
            None => clock::new_id(&names::snake_case(&draft.labels[0])),
        };
        let size = draft.properties.check_size(&id);
        size.map_err(|error| error.of_field("properties"))?;
        let now = clock::now();
        let node = DraftNode {
            id: id.clone(),
            labels: draft.labels,
            properties: draft.properties,
            created_at: now,
            updated_at: now,
            expires_at: draft.expiry.at(now),
            version: 1,
        };
        self.own.put_node(&id, Some(node));
        Ok(id)
    }

    /// Changes a node.
    pub fn update_node(&mut self, id: &str, changes: Changes) -> Result<()> {
        changes.set.check_names()?;
        self.draft_update(id, &changes)?;
        self.ops.push(Op::UpdateNode(id.to_owned(), changes));
        Ok(())
    }

    /// Changes a node for the own reads.
    pub(super) fn draft_update(&mut self, id: &str, changes: &Changes) -> Result<()> {
        let node = self.require_node(id)?;
        let mut draft = drafted(id, &node)?;
        draft.properties = merged(&draft.properties, changes);
        self.check_chat(&node, &draft.properties)?;
        draft.properties.check_size(id)?;
        self.own.put_node(id, Some(draft));
        Ok(())
    }

    /// Sets when a node expires; how long it is to be there counts from the commit on.
    pub fn set_expiry(&mut self, id: &str, expiry: Expiry) -> Result<()> {
        let node = self.require_node(id)?;
        let mut draft = drafted(id, &node)?;
        draft.expires_at = expiry.at(draft.updated_at);
        self.own.put_node(id, Some(draft));
        self.ops.push(Op::SetExpiry(id.to_owned(), expiry));
        Ok(())
    }

    /// Removes a node with its edges, and what else goes with it.
    pub fn delete_node(&mut self, id: &str) -> Result<()> {
        let node = self.require_node(id)?;
        self.step(|tx| {
            if is_labelled(&node, CHAT)? {
                for message in tx.owned(id, CONTAINS, Direction::Out, MESSAGE)? {
                    tx.take_away(&message, false)?;
                }
                for summary in tx.owned(id, SUMMARIZES, Direction::In, SUMMARY)? {
                    tx.take_away(&summary, false)?;
                }
            }
            tx.take_away(id, is_labelled(&node, MESSAGE)?)?;
            tx.ops.push(Op::DeleteNode(id.to_owned()));
            Ok(())
        })
    }

    /// Removes one node for the own reads. With `close_up` its neighbours in a chat follow each other.
    fn take_away(&mut self, id: &str, close_up: bool) -> Result<()> {
        let beside = if close_up { self.beside(id)? } else { None };
        self.give_place_back(id)?;
        for edge in self.incident(id)? {
            self.own.end_edge(&edge, None);
        }
        self.own.put_node(id, None);
        if let Some([before, after]) = beside {
            self.link(&before, &after, NEXT);
        }
        Ok(())
    }

    /// Ids of the nodes that go with a chat; whether they change beside is no matter.
    fn owned(&self, id: &str, of: &str, way: Direction, label: &str) -> Result<Vec<String>> {
        let mut out: Vec<String> = Vec::new();
        // One may be tied to its chat twice.
        let mut known = HashSet::new();
        for id in self.peek_neighbors(id, of, way)? {
            let node = self.peek_node(&id)?;
            let goes = node.map_or(Ok(false), |node| is_labelled(&node, label))?;
            if goes && known.insert(id.clone()) {
                out.push(id);
            }
        }
        Ok(out)
    }

    /// Ids of the edges of a node, own and retracted ones included.
    fn incident(&self, id: &str) -> Result<HashSet<String>> {
        let mut out: HashSet<String> = HashSet::new();
        if self.reads.exists(id)? {
            out.extend(self.reads.reader(|reader| reader.edge_ids_ever(id))?);
        }
        out.extend(self.own.edge_ids_at(id).cloned());
        Ok(out)
    }
}

pub(super) fn is_labelled(node: &Node, label: &str) -> Result<bool> {
    Ok(node.labels()?.iter().any(|known| &**known == label))
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
        version: node.version()?.saturating_add(1),
    })
}

pub(super) fn merged(old: &Draft, changes: &Changes) -> Draft {
    let mut out = Draft::new();
    let kept = old.iter().filter(|(name, _)| !changes.remove.iter().any(|gone| gone == name));
    for (name, bytes) in kept.chain(changes.set.iter()) {
        out.set_stored(name, bytes);
    }
    out
}
