//! What stands at the other ends of edges, with the edges: for who has to tell one edge from another.

use embedded_db_common::{Result, Slot, Symbol};
use embedded_db_query::{AsOf, Reach};
use embedded_db_storage::{Direction, Neighbor, ReadTxn};

use crate::objects::Node;
use crate::reads::Reader;
use crate::writes::Seen;

/// The other end of an edge, as a node sees it.
pub(crate) struct End {
    pub(crate) direction: Direction,
    pub(crate) edge_type: Symbol,
    /// Where the edge comes among others.
    pub(crate) slot: Slot,
    /// `None` where a chain closes up over what has expired, for there is none to be seen yet.
    pub(crate) edge: Option<EndEdge>,
    pub(crate) node: Node,
    /// Whether the edge counts at the time that was asked for, as it is stored.
    pub(crate) counts: bool,
}

/// What one has to know of the edge to tell it from another.
pub(crate) struct EndEdge {
    pub(crate) id: String,
    pub(crate) is_retracted: bool,
    pub(crate) derived: bool,
    pub(crate) seen: Seen,
}

impl Reader<'_> {
    /// The ends of edges as a node sees them, in the order of [`Reader::neighbors`]: with a time of
    /// knowledge of all that ever were, else of those that are.
    pub(crate) fn ends(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
    ) -> Result<Vec<End>> {
        let node = self.snapshot.require_node(self.namespace, id)?;
        let types = self.types(types)?;
        let mut found = Vec::new();
        for direction in direction.directions() {
            for edge_type in &types {
                let visit = |edge_type, neighbor| {
                    found.push((*direction, edge_type, neighbor));
                    true
                };
                let (txn, namespace) = (self.snapshot, self.namespace);
                times.neighbors(txn, namespace, node, *direction, *edge_type, visit)?;
            }
        }
        let ends = found.into_iter();
        let end = |(direction, edge_type, neighbor): (_, _, Neighbor)| {
            let counts = self.counts(neighbor.edge, times)?;
            Ok(End { counts, ..self.end(direction, edge_type, neighbor)? })
        };
        ends.map(end).collect()
    }

    /// The end of an edge as it is now.
    pub(crate) fn end(
        &self,
        direction: Direction,
        edge_type: Symbol,
        neighbor: Neighbor,
    ) -> Result<End> {
        let node = self.node_at(neighbor.node)?;
        let edge = if self.snapshot.hides_edge(self.namespace, neighbor.edge)? {
            None
        } else {
            let found = self.snapshot.edge(self.namespace, neighbor.edge)?;
            let edge = found.ok_or_else(|| self.missing_edge(neighbor.edge))?;
            Some(EndEdge {
                id: edge.id.to_owned(),
                is_retracted: edge.times.retracted_at.is_some(),
                derived: edge.derived,
                seen: Seen::stored_edge(self.snapshot, neighbor.edge, &edge),
            })
        };
        Ok(End { direction, edge_type, slot: neighbor.edge, edge, node, counts: true })
    }
}
