//! What stands at the other ends of edges, with the edges: for who has to tell one edge from another.

use embedded_db_common::{Result, Symbol};
use embedded_db_query::Reach;
use embedded_db_storage::{Direction, Neighbor, ReadTxn};

use crate::objects::Node;
use crate::reads::Reader;
use crate::writes::Seen;

/// The other end of an edge, as a node sees it.
pub(crate) struct End {
    pub(crate) direction: Direction,
    pub(crate) edge_type: Symbol,
    /// The edge and its id; `None` where a chain closes up over what has expired, for there is none to be
    /// seen yet.
    pub(crate) edge: Option<(Seen, String)>,
    pub(crate) node: Node,
}

impl Reader<'_> {
    /// The ends of edges as a node sees them, in the order of [`Reader::neighbors`].
    pub(crate) fn ends(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
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
                txn.neighbors(namespace, node, *direction, *edge_type, visit)?;
            }
        }
        let ends = found.into_iter();
        ends.map(|(direction, edge_type, end)| self.end(direction, edge_type, end)).collect()
    }

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
            let seen = Seen::stored_edge(self.snapshot, neighbor.edge, &edge);
            Some((seen, edge.id.to_owned()))
        };
        Ok(End { direction, edge_type, edge, node })
    }
}
