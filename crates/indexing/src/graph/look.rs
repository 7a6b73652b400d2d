//! What changes and reads ask of the graph alike: what belongs to a chat, what was derived from a
//! message.

use embedded_db_common::{NamespaceId, Result, Slot, Symbol, ValueRef};
use embedded_db_storage::{Direction, Neighbor, ReadTxn};

use super::topics::GROUPS;
use crate::schema::Names;

/// The graph of one namespace as a transaction or snapshot shows it.
pub(crate) struct Look<'a, T> {
    pub(crate) txn: &'a T,
    pub(crate) names: &'a Names,
    pub(crate) namespace: NamespaceId,
}

impl<T: ReadTxn> Look<'_, T> {
    /// Users may tie anything together, twice over: whether a node is (still) there with a label.
    pub(crate) fn is_labelled(&self, slot: Slot, label: Symbol) -> Result<bool> {
        Ok(self.txn.node(self.namespace, slot)?.is_some_and(|node| node.has_label(label)))
    }

    /// Nodes at the other end of edges of one type.
    pub(crate) fn targets(
        &self,
        slot: Slot,
        direction: Direction,
        edge_type: Symbol,
    ) -> Result<Vec<Slot>> {
        let ends = self.ends(slot, direction, edge_type)?;
        Ok(ends.into_iter().map(|neighbor| neighbor.node).collect())
    }

    /// Edges of one type, each with the node at its other end.
    pub(crate) fn ends(
        &self,
        slot: Slot,
        direction: Direction,
        edge_type: Symbol,
    ) -> Result<Vec<Neighbor>> {
        let mut out = Vec::new();
        self.txn.neighbors(self.namespace, slot, direction, Some(edge_type), |_, neighbor| {
            out.push(neighbor);
            true
        })?;
        Ok(out)
    }

    /// What a message stands beside in its chain: the end of its newest edge there. Its own end is none,
    /// though users may tie anything to itself.
    pub(crate) fn beside(&self, slot: Slot, direction: Direction) -> Result<Option<Slot>> {
        let (mut found, next) = (None, self.names.next);
        self.txn.neighbors_before(self.namespace, slot, direction, next, None, |end| {
            found = Some(end.node).filter(|node| *node != slot);
            found.is_none()
        })?;
        Ok(found)
    }

    /// The messages and summaries that go with a chat.
    pub(crate) fn owned(&self, chat: Slot) -> Result<(Vec<Slot>, Vec<Slot>)> {
        let mut messages = self.targets(chat, Direction::Out, self.names.contains)?;
        let mut summaries = self.targets(chat, Direction::In, self.names.summarizes)?;
        let mut failed = Ok(());
        let mut is = |slot, label| {
            self.is_labelled(slot, label).unwrap_or_else(|error| {
                failed = Err(error);
                false
            })
        };
        messages.retain(|slot| is(*slot, self.names.message));
        summaries.retain(|slot| is(*slot, self.names.summary));
        failed.map(|()| (messages, summaries))
    }

    /// Edge and entity of each mention that was derived from a message. Edges of this type that a
    /// user has made are the user's.
    pub(crate) fn derived_mentions(&self, slot: Slot) -> Result<Vec<(Slot, Slot)>> {
        let mut derived = Vec::new();
        for end in self.ends(slot, Direction::Out, self.names.mentions)? {
            let edge = self.txn.edge(self.namespace, end.edge)?;
            if edge.is_some_and(|edge| edge.derived)
                && self.is_labelled(end.node, self.names.entity)?
            {
                derived.push((end.edge, end.node));
            }
        }
        Ok(derived)
    }

    /// Whether a user has tied an entity that no message mentions to something. Mentions and relations
    /// that the weaver made were counted, so that of those none is left, and its topics tie nothing. Edges that are `gone` do not
    /// count; what they are told by is their type and other end.
    pub(crate) fn is_tied(
        &self,
        entity: Slot,
        gone: impl Fn(Symbol, Slot) -> bool,
    ) -> Result<bool> {
        let (mut tied, mut relations) = (false, Vec::new());
        let groups = self.txn.symbol(GROUPS)?;
        for direction in [Direction::Out, Direction::In] {
            self.txn.neighbors(self.namespace, entity, direction, None, |edge_type, end| {
                if gone(edge_type, end.node) {
                    return true;
                }
                if edge_type == self.names.related_to || Some(edge_type) == groups {
                    relations.push(end.edge);
                } else {
                    tied = true;
                }
                !tied
            })?;
        }
        for edge in relations {
            tied |= self.txn.edge(self.namespace, edge)?.is_some_and(|edge| !edge.derived);
        }
        Ok(tied)
    }

    /// The summaries of a chat that the weaver has made. Those of users are the users'.
    pub(crate) fn made_summaries(&self, chat: Slot) -> Result<Vec<Slot>> {
        let mut out = Vec::new();
        for summary in self.targets(chat, Direction::In, self.names.summarizes)? {
            let node = self.txn.node(self.namespace, summary)?;
            if node.is_some_and(|node| node.derived && node.has_label(self.names.summary)) {
                out.push(summary);
            }
        }
        Ok(out)
    }

    /// Whether the message at the end of an edge out of a chat is one of those that a summary covers.
    /// Messages come in the order of these edges.
    pub(crate) fn covers(&self, summary: Slot, chat: Slot, edge: Slot) -> Result<bool> {
        let Some(node) = self.txn.node(self.namespace, summary)? else { return Ok(false) };
        let edges_to = |name| -> Result<Vec<Slot>> {
            let Some(ValueRef::Str(id)) = node.properties.get(name)? else { return Ok(Vec::new()) };
            let Some(message) = self.txn.node_slot(self.namespace, id)? else {
                return Ok(Vec::new());
            };
            let ends = self.ends(message, Direction::In, self.names.contains)?;
            Ok(ends.into_iter().filter(|end| end.node == chat).map(|end| end.edge).collect())
        };
        let first = edges_to(self.names.first_message)?.into_iter().min();
        let last = edges_to(self.names.last_message)?.into_iter().max();
        // Where one end of it cannot be found it may cover anything.
        Ok(first.is_none_or(|first| first <= edge) && last.is_none_or(|last| edge <= last))
    }
}
