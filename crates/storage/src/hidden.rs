//! Nodes whose time has come. They are stored until somebody removes them, and nobody is to see them.

use std::collections::HashMap;
use std::sync::Arc;

use embedded_db_common::{NamespaceId, Result, Slot, Symbol};
use roaring::RoaringBitmap;

use crate::adjacency::Neighbor;
use crate::keys::Direction;
use crate::read::ReadTxn;
use crate::records::{DatabaseCounters, EdgeRecord, NamespaceCounters};
use crate::rows::Rows;
use crate::store::{Generation, Store};

/// The nodes of a namespace that reads do not see: as if they had been deleted.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// Their slots.
    pub nodes: RoaringBitmap,
    /// The type of edges whose chains close up over them.
    pub chain: Symbol,
    /// Where a chain goes on beyond them, from a node that is seen.
    pub bridges: HashMap<(Slot, Direction), Slot>,
}

impl Hidden {
    /// Whether a node is among them.
    pub fn has(&self, node: Slot) -> bool {
        self.nodes.contains(node.0)
    }

    /// Whether an end of an edge is among them.
    pub(crate) fn has_end(&self, edge: &EdgeRecord<'_>) -> bool {
        self.has(edge.source) || self.has(edge.target)
    }

    /// What is seen at the end of an edge of a node, where some nodes may be hidden.
    pub(crate) fn seen(
        hidden: Option<&Self>,
        (node, direction, edge_type): (Slot, Direction, Symbol),
        neighbor: Neighbor,
    ) -> Option<Neighbor> {
        let Some(hidden) = hidden.filter(|hidden| hidden.has(neighbor.node)) else {
            return Some(neighbor);
        };
        let bridge = hidden.bridges.get(&(node, direction)).filter(|_| edge_type == hidden.chain);
        bridge.map(|node| Neighbor { node: *node, edge: neighbor.edge })
    }
}

/// Another look at the same state: at all that is stored, or at all but certain nodes.
pub struct Visible<'a, T> {
    txn: &'a T,
    hidden: Option<(NamespaceId, Arc<Hidden>)>,
}

impl<'a, T: ReadTxn> Visible<'a, T> {
    /// All that is stored.
    pub fn all(txn: &'a T) -> Self {
        Self { txn, hidden: None }
    }

    /// All but these nodes.
    pub fn without(txn: &'a T, namespace: NamespaceId, hidden: Arc<Hidden>) -> Self {
        Self { txn, hidden: Some((namespace, hidden)) }
    }
}

impl<T: ReadTxn> ReadTxn for Visible<'_, T> {
    fn store(&self) -> &Store {
        self.txn.store()
    }

    fn generation(&self) -> &Generation {
        self.txn.generation()
    }

    fn rows(&self) -> Rows<'_> {
        self.txn.rows()
    }

    fn hidden(&self, namespace: NamespaceId) -> Option<&Hidden> {
        let (of, hidden) = self.hidden.as_ref()?;
        (*of == namespace).then_some(hidden)
    }

    fn symbol(&self, name: &str) -> Result<Option<Symbol>> {
        self.txn.symbol(name)
    }

    fn symbol_name(&self, symbol: Symbol) -> Result<Arc<str>> {
        self.txn.symbol_name(symbol)
    }

    fn counters(&self) -> Result<DatabaseCounters> {
        self.txn.counters()
    }

    fn namespace_counters(&self, namespace: NamespaceId) -> Result<NamespaceCounters> {
        self.txn.namespace_counters(namespace)
    }
}
