//! Ties that the weaver proposes between nodes that have few of their own: `RELATED_TO` edges with a
//! confidence. Those that say how often two entities come together have none.

use embedded_db_common::{Draft, Lsn, NamespaceId, Result, Slot, SpaceId, Value};
use embedded_db_storage::{Direction, EdgeRecord, ReadEmbeddings, ReadTxn};

use super::look::Look;
use super::topics::GROUPS;
use super::{Artefact, GraphWriter, is_pending};
use crate::schema::Names;

/// Property of a proposed tie: how sure it is, from 0 to 1.
pub const CONFIDENCE: &str = "confidence";
/// A node with so many ties of its own needs no others.
const FEW: usize = 2;

/// A tie that is proposed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// The other node.
    pub to: Slot,
    /// How sure it is.
    pub confidence: f64,
}

/// Whether ties may be proposed for a node: one of the user's, with few. Where it stands in its chat, who
/// groups it, and what was proposed are no ties of its own.
pub fn has_few_ties<T: ReadTxn>(
    txn: &T,
    names: &Names,
    namespace: NamespaceId,
    node: Slot,
) -> Result<bool> {
    let look = Look { txn, names, namespace };
    if !look.may_be_tied(node)? {
        return Ok(false);
    }
    let groups = txn.symbol(GROUPS)?;
    let (mut ties, mut related) = (0, Vec::new());
    for direction in [Direction::Out, Direction::In] {
        txn.neighbors(namespace, node, direction, None, |edge_type, end| {
            if edge_type == names.related_to {
                related.push(end.edge);
            } else if ![names.contains, names.next, names.summarizes].contains(&edge_type)
                && Some(edge_type) != groups
            {
                ties += 1;
            }
            ties < FEW && related.len() < MOST_READ
        })?;
    }
    for edge in related {
        ties += usize::from(!look.is_proposal(&txn.stored_edge(namespace, edge)?)?);
    }
    Ok(ties < FEW)
}

/// Of nodes with more relations than this it is not asked which of them were proposed.
const MOST_READ: usize = 64;

impl<T: ReadTxn> Look<'_, T> {
    /// Whether it is a node of a user's that is no chat.
    fn may_be_tied(&self, node: Slot) -> Result<bool> {
        let node = self.txn.node(self.namespace, node)?;
        Ok(node.is_some_and(|node| !node.derived && !node.has_label(self.names.chat)))
    }

    fn is_proposal(&self, edge: &EdgeRecord<'_>) -> Result<bool> {
        let Some(confidence) = self.txn.symbol(CONFIDENCE)? else { return Ok(false) };
        Ok(edge.derived
            && edge.edge_type == self.names.related_to
            && edge.properties.get(confidence)?.is_some())
    }

    /// The ties that were proposed of a node, each with its other end.
    fn proposals(&self, node: Slot, direction: Direction) -> Result<Vec<(Slot, Slot)>> {
        let mut out = Vec::new();
        if self.txn.symbol(CONFIDENCE)?.is_none() {
            return Ok(out);
        }
        for end in self.ends(node, direction, self.names.related_to)? {
            if self.is_proposal(&self.txn.stored_edge(self.namespace, end.edge)?)? {
                out.push((end.edge, end.node));
            }
        }
        Ok(out)
    }

    /// Whether any edge is between two nodes.
    fn are_tied(&self, node: Slot, other: Slot) -> Result<bool> {
        let mut tied = false;
        for direction in [Direction::Out, Direction::In] {
            self.txn.neighbors(self.namespace, node, direction, None, |_, end| {
                tied |= end.node == other;
                !tied
            })?;
        }
        Ok(tied)
    }

    /// Whether a node has the vector in a space that it had at `read`.
    fn has_vector_of(&self, space: SpaceId, node: Slot, read: Lsn) -> Result<bool> {
        let vector = self.txn.embedding(self.namespace, space, node, 0)?;
        Ok(vector.is_some_and(|vector| vector.lsn <= read))
    }
}

impl GraphWriter<'_, '_> {
    /// A node waits no more: these ties are proposed of it in place of those that were, as far as nothing
    /// has changed since they were found at `read`. How many are new.
    pub fn propose(
        &mut self,
        space: SpaceId,
        node: Slot,
        found: &[Proposal],
        read: Lsn,
    ) -> Result<usize> {
        if !is_pending(self.txn, self.namespace, Artefact::Curiosity, node)? {
            return Ok(0);
        }
        let has_vector = self.txn.embedding(self.namespace, space, node, 0)?.is_some();
        if has_vector && !self.look().has_vector_of(space, node, read)? {
            // It is looked at again with its new vector.
            return Ok(0);
        }
        self.done(Artefact::Curiosity, node)?;
        for (edge, to) in self.look().proposals(node, Direction::Out)? {
            if found.iter().all(|found| found.to != to) {
                self.txn.delete_edge(self.namespace, edge)?;
            }
        }
        let mut count = 0;
        for Proposal { to, confidence } in found {
            let holds = self.look().has_vector_of(space, *to, read)?
                && self.look().may_be_tied(*to)?
                && !self.look().are_tied(node, *to)?;
            if has_vector && holds {
                let sources = [self.node(node)?.id.to_owned(), self.node(*to)?.id.to_owned()];
                let mut properties = Draft::new();
                properties.set(CONFIDENCE, &Value::Float(*confidence))?;
                let sources = [&*sources[0], &*sources[1]];
                let of = self.names.related_to;
                self.link(node, *to, of, "related_to", *confidence, &sources, &properties)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Takes back what was proposed of a node, whose other ends are looked at again.
    pub(super) fn retract_proposals(&mut self, node: Slot) -> Result<()> {
        for direction in [Direction::Out, Direction::In] {
            for (edge, other) in self.look().proposals(node, direction)? {
                self.txn.delete_edge(self.namespace, edge)?;
                self.mark(Artefact::Curiosity, other)?;
            }
        }
        Ok(())
    }

    /// Takes back what was proposed of the first `most` nodes from a slot on; where it goes on, and how many
    /// there were.
    pub fn withdraw_proposals(
        &mut self,
        first: Slot,
        most: usize,
    ) -> Result<(Option<Slot>, usize)> {
        let mut nodes = Vec::with_capacity(most);
        self.txn.nodes_from(self.namespace, first, |slot, _| {
            nodes.push(slot);
            nodes.len() < most
        })?;
        let mut count = 0;
        for node in &nodes {
            for (edge, _) in self.look().proposals(*node, Direction::Out)? {
                self.txn.delete_edge(self.namespace, edge)?;
                count += 1;
            }
        }
        let next = nodes.last().filter(|_| nodes.len() == most).map(|last| Slot(last.0 + 1));
        Ok((next, count))
    }
}
