//! Reads of one instant.

mod embeddings;
mod graphs;
mod handles;
mod neighbors;
mod walks;

use std::sync::Arc;

use embedded_db_common::{Error, NamespaceId, Result, Slot};
use embedded_db_indexing::graph::{Artefact, pending};
use embedded_db_indexing::labelled;
use embedded_db_query::{AsOf, Reach};
use embedded_db_storage::{EdgeRecord, Kind, ReadHistory, ReadTxn, ReadWork, Snapshot, Visible};
use roaring::RoaringBitmap;

use crate::engine::Engine;
use crate::objects::{Edge, Node};

pub(crate) use embeddings::Wanted;
pub use graphs::Graph;
pub use handles::PinnedReads;
pub(crate) use neighbors::EdgePlace;
pub use neighbors::Page;

/// Reads over one snapshot.
pub(crate) struct Reader<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) namespace: NamespaceId,
}

impl Reader<'_> {
    fn at(&self, slot: Slot) -> Result<Option<Node>> {
        let payload = self.snapshot.node_payload(self.namespace, slot)?;
        let (store, txn) = (&self.engine.store, self.snapshot);
        Ok(payload.map(|payload| Node::stored(store, txn, self.namespace, slot, payload)))
    }

    /// A node that an index or edge has named.
    pub(crate) fn node_at(&self, slot: Slot) -> Result<Node> {
        self.at(slot)?.ok_or_else(|| Error::Corruption {
            path: self.engine.store.path().to_owned(),
            object: format!("the node in {slot:?}"),
            detail: "it is missing but something refers to it".into(),
        })
    }

    pub(crate) fn node(&self, id: &str) -> Result<Option<Node>> {
        match self.snapshot.node_slot(self.namespace, id)? {
            Some(slot) => self.node_at(slot).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn edge(&self, id: &str, times: AsOf) -> Result<Option<Edge>> {
        match self.snapshot.resolve(self.namespace, Kind::Edge, id)? {
            Some(found) => {
                if self.snapshot.edge_payload(self.namespace, found.slot)?.is_none() {
                    return Err(self.missing_edge(found.slot));
                }
                Edge::read(&self.engine.store, self.snapshot, self.namespace, found.slot, times)
            }
            None => Ok(None),
        }
    }

    /// An edge that neighbours have named, as it was held for true.
    fn edge_at(&self, slot: Slot, times: AsOf) -> Result<Edge> {
        let edge = Edge::read(&self.engine.store, self.snapshot, self.namespace, slot, times)?;
        edge.ok_or_else(|| self.missing_edge(slot))
    }

    pub(crate) fn missing_edge(&self, slot: Slot) -> Error {
        Error::Corruption {
            path: self.engine.store.path().to_owned(),
            object: format!("the edge in {slot:?}"),
            detail: "it is missing but something refers to it".into(),
        }
    }

    /// The versions of an edge, oldest first.
    pub(crate) fn edge_history(&self, id: &str) -> Result<Vec<Edge>> {
        let found = self.snapshot.resolve(self.namespace, Kind::Edge, id)?;
        let slot = found.ok_or_else(|| Error::NotFound { kind: "edge", id: id.to_owned() })?.slot;
        let versions = self.snapshot.edge_versions(self.namespace, slot)?;
        let (store, txn) = (&self.engine.store, self.snapshot);
        let edges = versions.iter().map(|at| Edge::stored(store, txn, self.namespace, slot, at));
        edges.collect()
    }

    /// Ids of all edges at a node, with those that were retracted.
    pub(crate) fn edge_ids_ever(&self, id: &str) -> Result<Vec<String>> {
        let node = self.snapshot.require_node(self.namespace, id)?;
        let mut slots = Vec::new();
        for direction in Reach::Any.directions() {
            self.snapshot.neighbors_ever(self.namespace, node, *direction, None, |_, end| {
                slots.push(end.edge);
                true
            })?;
        }
        let id_of = |slot| match self.snapshot.edge(self.namespace, slot)? {
            Some(edge) => Ok(edge.id.to_owned()),
            None => Err(self.missing_edge(slot)),
        };
        slots.into_iter().map(id_of).collect()
    }

    /// All edges, with those that were retracted, in the order in which they were made, after one of
    /// them.
    pub(crate) fn edges_ever(&self, after: Option<&str>, limit: usize) -> Result<Vec<Edge>> {
        let first = match after {
            None => Slot(0),
            Some(id) => {
                let found = self.snapshot.resolve(self.namespace, Kind::Edge, id)?;
                let missing = || Error::NotFound { kind: "edge", id: id.to_owned() };
                Slot(found.ok_or_else(missing)?.slot.0.saturating_add(1))
            }
        };
        let mut payloads = Vec::new();
        self.snapshot.edges_from(self.namespace, first, |slot, payload| {
            payloads.push((slot, payload.to_vec()));
            payloads.len() < limit
        })?;
        let (store, txn) = (&self.engine.store, self.snapshot);
        let edges = payloads.iter();
        edges.map(|(slot, at)| Edge::stored(store, txn, self.namespace, *slot, at)).collect()
    }

    /// What of each node waits for the weaver, or has failed.
    pub(crate) fn due(&self, ids: &[String]) -> Result<Vec<Vec<Artefact>>> {
        let mut waiting = Vec::new();
        for artefact in Artefact::LASTING {
            waiting.push((artefact, pending(self.snapshot, self.namespace, artefact)?));
        }
        let due = |id: &String| -> Result<Vec<Artefact>> {
            let slot = self.snapshot.require_node(self.namespace, id)?;
            let mut out = Vec::new();
            for (artefact, waiting) in &waiting {
                let work = *artefact as u8;
                if waiting.contains(slot.0)
                    || self.snapshot.work(self.namespace, slot, work)?.is_some()
                {
                    out.push(*artefact);
                }
            }
            Ok(out)
        };
        ids.iter().map(due).collect()
    }

    pub(crate) fn count(&self, label: Option<&str>) -> Result<u64> {
        match label {
            None => live_nodes(self.snapshot, self.namespace),
            Some(label) => match self.snapshot.symbol(label)? {
                Some(label) => Ok(labelled(self.snapshot, self.namespace, label)?.len()),
                None => Ok(0),
            },
        }
    }

    pub(crate) fn count_edges(&self, edge_type: Option<&str>) -> Result<u64> {
        let Some(edge_type) = edge_type else {
            return live_edges(self.snapshot, self.namespace);
        };
        let Some(symbol) = self.snapshot.symbol(edge_type)? else { return Ok(0) };
        let (mut count, mut damaged) = (0, None);
        self.snapshot.edges_from(self.namespace, Slot(0), |_, payload| {
            match EdgeRecord::parse(payload) {
                Ok(edge) => {
                    let counts = edge.edge_type == symbol && edge.times.retracted_at.is_none();
                    count += u64::from(counts);
                }
                Err(error) => damaged = Some(error),
            }
            damaged.is_none()
        })?;
        damaged.map_or(Ok(count), |error| Err(error.into()))
    }

    /// Nodes in the order in which they were made.
    pub(crate) fn nodes(
        &self,
        label: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Node>> {
        let first = match after {
            // No slot is the last number that there is.
            Some(id) => self.snapshot.require_node(self.namespace, id)?.0.saturating_add(1),
            None => 0,
        };
        let mut out = Vec::new();
        if let Some(label) = label {
            let Some(label) = self.snapshot.symbol(label)? else { return Ok(out) };
            let mut slots = labelled(self.snapshot, self.namespace, label)?;
            slots.remove_range(0..first);
            for slot in slots.iter().take(limit) {
                out.push(self.node_at(Slot(slot))?);
            }
            return Ok(out);
        }
        self.snapshot.nodes_from(self.namespace, Slot(first), |slot, payload| {
            let (store, txn) = (&self.engine.store, self.snapshot);
            out.push(Node::stored(store, txn, self.namespace, slot, payload));
            out.len() < limit
        })?;
        Ok(out)
    }
}

/// Number of the nodes of a namespace that are seen.
pub(crate) fn live_nodes(txn: &impl ReadTxn, namespace: NamespaceId) -> Result<u64> {
    let stored = txn.namespace_counters(namespace)?.nodes;
    let hidden = txn.hidden(namespace).map_or(0, |hidden| hidden.nodes.len());
    Ok(stored.saturating_sub(hidden))
}

/// Number of the edges of a namespace that were not retracted, and are seen.
pub(crate) fn live_edges(txn: &impl ReadTxn, namespace: NamespaceId) -> Result<u64> {
    let stored = txn.namespace_counters(namespace)?.edges;
    let live = stored.saturating_sub(txn.retracted_edges(namespace)?);
    let Some(hidden) = txn.hidden(namespace) else { return Ok(live) };
    let (all, mut unseen) = (Visible::all(txn), RoaringBitmap::new());
    for node in &hidden.nodes {
        for direction in Reach::Any.directions() {
            all.neighbors(namespace, Slot(node), *direction, None, |_, end| {
                unseen.insert(end.edge.0);
                true
            })?;
        }
    }
    Ok(live.saturating_sub(unseen.len()))
}
