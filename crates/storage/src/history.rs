//! What edges were before: the versions that a change by a user replaced, and the edges that were
//! retracted, which stand in `adjacency` no more.
//!
//! The versions of an edge follow each other without a gap: one ends when the next was recorded. A
//! version that was replaced in the microsecond in which it was recorded was never believed at any
//! instant and has no row.

use embedded_db_common::record::Damaged;
use embedded_db_common::{NamespaceId, Result, Slot, Symbol};

use crate::adjacency::Neighbor;
use crate::keys::{self, Direction, Former, Table};
use crate::read::ReadTxn;
use crate::records::EdgeRecord;

/// Reading what was believed earlier.
pub trait ReadHistory: ReadTxn + Sized {
    /// The payload of the version of an edge that was believed at an instant, if one was.
    fn edge_payload_at(
        &self,
        namespace: NamespaceId,
        edge: Slot,
        at: i64,
    ) -> Result<Option<&[u8]>> {
        let key = keys::slot(namespace, edge);
        let Some(newest) = self.edge_payload(namespace, edge)? else { return Ok(None) };
        let times = self.located(Table::Edges, &key, EdgeRecord::parse(newest))?.times;
        if times.recorded_at <= at {
            return Ok(times.believed_at(at).then_some(newest));
        }
        match self.rows().at_or_before(Table::History, &keys::version(namespace, edge, at))? {
            Some((key, sealed)) if key.starts_with(&keys::versions(namespace, edge)) => {
                let payload = self.opened(Table::History, key, sealed)?;
                let times = self.located(Table::History, key, EdgeRecord::parse(payload))?.times;
                Ok(times.believed_at(at).then_some(payload))
            }
            _ => Ok(None),
        }
    }

    /// The payloads of the versions of an edge, oldest first; the newest comes last.
    fn edge_versions(&self, namespace: NamespaceId, edge: Slot) -> Result<Vec<&[u8]>> {
        let mut out = Vec::new();
        for row in self.prefix(Table::History, &keys::versions(namespace, edge))? {
            out.push(row?.1);
        }
        out.extend(self.edge_payload(namespace, edge)?);
        Ok(out)
    }

    /// The retracted edges at a node, of one type or of all, by type and edge.
    fn former_neighbors(
        &self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Option<Symbol>,
    ) -> Result<Vec<(Symbol, Neighbor)>> {
        let prefix = match edge_type {
            Some(edge_type) => keys::former_type(namespace, node, direction, edge_type),
            None => keys::former_node(namespace, node, direction),
        };
        let mut out = Vec::new();
        for row in self.prefix(Table::History, &prefix)? {
            let (key, payload) = row?;
            let other = payload.try_into().map_err(|_| Damaged("has no slot"));
            let node = Slot(u32::from_le_bytes(self.located(Table::History, key, other)?));
            let Some(Former::Neighbor(_, _, edge_type, edge)) = Former::parse(key) else {
                let damaged = Err(Damaged("has a key of the wrong length"));
                return self.located(Table::History, key, damaged);
            };
            if !self.hides_node(namespace, node) {
                out.push((edge_type, Neighbor { node, edge }));
            }
        }
        Ok(out)
    }

    /// Calls `visit` with the ends of all edges that a node has or had before they were retracted, in
    /// the order of [`ReadTxn::neighbors`], until it returns false.
    fn neighbors_ever(
        &self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Option<Symbol>,
        mut visit: impl FnMut(Symbol, Neighbor) -> bool,
    ) -> Result<()> {
        let former = self.former_neighbors(namespace, node, direction, edge_type)?;
        let mut former = former.into_iter().peekable();
        let mut on = true;
        self.neighbors(namespace, node, direction, edge_type, |of, neighbor| {
            while on
                && let Some((of, before)) =
                    former.next_if(|(earlier, end)| (*earlier, end.edge) < (of, neighbor.edge))
            {
                on = visit(of, before);
            }
            on = on && visit(of, neighbor);
            on
        })?;
        while on && let Some((of, before)) = former.next() {
            on = visit(of, before);
        }
        Ok(())
    }

    /// Number of edges of a namespace that were retracted.
    fn retracted_edges(&self, namespace: NamespaceId) -> Result<u64> {
        let mut ends = 0_u64;
        for row in self.prefix(Table::History, &keys::former_neighbors(namespace))? {
            row?;
            ends = ends.saturating_add(1);
        }
        Ok(ends / 2)
    }
}

impl<T: ReadTxn> ReadHistory for T {}
