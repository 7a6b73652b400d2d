//! Taking a graph out of a snapshot.

use embedded_db_common::{Error, NamespaceId, Result, Slot};
use embedded_db_indexing::labelled;
use embedded_db_storage::{EdgeRecord, Neighbor, NodeRecord, ReadTxn, Visible};
use roaring::RoaringBitmap;

use crate::analytics::{Csr, Ids};
use crate::converged::{AsOf, Reach};
use crate::graph::Follow;
use crate::guard::Guard;

/// Which part of what is stored the graph is.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only nodes with one of these labels, and edges between them.
    pub labels: Option<Vec<String>>,
    /// Only edges of these types.
    pub edge_types: Option<Vec<String>>,
    /// Which edges count, by time.
    pub times: AsOf,
    /// Whether edges count by their weights.
    pub weighted: bool,
    /// Most nodes.
    pub max_visited: usize,
}

/// A graph and what its nodes are.
#[derive(Debug)]
pub struct Stored {
    /// An arc for each edge.
    pub graph: Csr,
    /// Ids by number.
    pub ids: Ids,
    /// Slots by number; they rise.
    slots: Vec<Slot>,
}

impl Stored {
    /// The number of a node, if it is one of the graph.
    pub fn number(&self, slot: Slot) -> Option<u32> {
        self.slots.binary_search(&slot).ok().map(|number| number as u32)
    }
}

/// Reads a graph, as walks would see it.
pub fn read<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    scope: &Scope,
    guard: &Guard<'_>,
) -> Result<Stored> {
    let types = scope.edge_types.as_deref();
    let follow = Follow::new(txn, types, Reach::Out, scope.times, scope.max_visited)?;
    let (slots, ids) = nodes(txn, namespace, scope, guard)?;
    let numbers = Numbers::new(&slots);
    let mut graph = Csr::new();
    let mut edges: Vec<Slot> = Vec::new();
    for slot in &slots {
        guard.tick()?;
        follow.each(txn, namespace, *slot, |Neighbor { node, edge }| {
            if let Some(target) = numbers.of(node) {
                graph.push(target);
                if scope.weighted {
                    edges.push(edge);
                }
            }
        })?;
        graph.close();
    }
    if scope.weighted {
        graph = graph.weighing(weights(txn, namespace, &edges, scope.times, guard)?);
    }
    Ok(Stored { graph, ids, slots })
}

/// A pass over all edges costs as much as reading this share of them one by one.
const PASS: u64 = 8;

/// What these edges weigh.
fn weights<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    edges: &[Slot],
    times: AsOf,
    guard: &Guard<'_>,
) -> Result<Vec<f64>> {
    // By slot, where all are read in one pass; NaN of those that are to be read by themselves.
    let mut all = Vec::new();
    if times.known_at.is_none()
        && edges.len() as u64 > txn.namespace_counters(namespace)?.edges / PASS
    {
        let most = edges.iter().max().map_or(0, |most| most.0 as usize + 1);
        all = vec![f64::NAN; most];
        let mut failed: Option<Error> = None;
        // An edge to a node that is not seen leads on to the next of its chain.
        Visible::all(txn).edges_from(namespace, Slot(0), |slot, payload| {
            let read = || -> Result<f64> {
                guard.tick()?;
                Ok(EdgeRecord::parse(payload)?.weight)
            };
            match (read(), all.get_mut(slot.0 as usize)) {
                (Ok(weight), Some(place)) if weight >= 0.0 && weight.is_finite() => *place = weight,
                (Ok(_), place) => return place.is_some(),
                (Err(error), _) => failed = Some(error),
            }
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)?;
    }
    let mut weights = Vec::with_capacity(edges.len());
    for edge in edges {
        guard.tick()?;
        weights.push(match all.get(edge.0 as usize) {
            Some(weight) if !weight.is_nan() => *weight,
            _ => weight(txn, namespace, *edge, times)?,
        });
    }
    Ok(weights)
}

/// The nodes, in the order in which they were made.
fn nodes<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    scope: &Scope,
    guard: &Guard<'_>,
) -> Result<(Vec<Slot>, Ids)> {
    let (mut slots, mut ids) = (Vec::new(), Ids::default());
    let mut add = |slot, id: &str| {
        guard.tick()?;
        if slots.len() == scope.max_visited {
            return Err(Error::TooManyVisited { limit: scope.max_visited });
        }
        slots.push(slot);
        ids.push(id);
        Ok(())
    };
    match &scope.labels {
        Some(labels) => {
            let mut wanted = RoaringBitmap::new();
            for label in labels {
                if let Some(label) = txn.symbol(label)? {
                    wanted |= labelled(txn, namespace, label)?;
                }
            }
            for slot in wanted.iter().map(Slot).filter(|slot| !txn.hides_node(namespace, *slot)) {
                add(slot, txn.stored_node(namespace, slot)?.id)?;
            }
        }
        None => {
            let mut failed = None;
            txn.nodes_from(namespace, Slot(0), |slot, payload| {
                let node = NodeRecord::parse(payload).map_err(Error::from);
                failed = node.and_then(|node| add(slot, node.id)).err();
                failed.is_none()
            })?;
            failed.map_or(Ok(()), Err)?;
        }
    }
    Ok((slots, ids))
}

/// What an edge that counts weighs.
pub(crate) fn weight<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    edge: Slot,
    times: AsOf,
) -> Result<f64> {
    let record = match times.edge(txn, namespace, edge)? {
        Some(payload) => EdgeRecord::parse(payload)?,
        None => txn.stored_edge(namespace, edge)?,
    };
    not_negative(&record)
}

/// The weight of an edge, which has to be 0 or more.
fn not_negative(edge: &EdgeRecord<'_>) -> Result<f64> {
    if edge.weight >= 0.0 && edge.weight.is_finite() {
        return Ok(edge.weight);
    }
    Err(Error::InvalidInput(format!(
        "the edge {:?} has the weight {}; where weights count they have to be finite and 0 or more",
        edge.id, edge.weight
    )))
}

/// From slots to numbers.
struct Numbers {
    first: u32,
    /// By slot from the first on, one more than the number; 0 where there is none.
    numbers: Vec<u32>,
}

impl Numbers {
    fn new(slots: &[Slot]) -> Self {
        let (Some(first), Some(last)) = (slots.first(), slots.last()) else {
            return Self { first: 0, numbers: Vec::new() };
        };
        let mut numbers = vec![0; (last.0 - first.0) as usize + 1];
        for (number, slot) in slots.iter().enumerate() {
            numbers[(slot.0 - first.0) as usize] = number as u32 + 1;
        }
        Self { first: first.0, numbers }
    }

    fn of(&self, slot: Slot) -> Option<u32> {
        let at = slot.0.checked_sub(self.first)?;
        self.numbers.get(at as usize)?.checked_sub(1)
    }
}
