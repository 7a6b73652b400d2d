//! The edges of a namespace as rows of numbers in memory, for walks over many of them.
//!
//! Invariants:
//! * [`Edges`] are those of one state: what was retracted is not among them, and neither are edges
//!   that carry nothing (from a node to itself, or with a weight that is no finite number over 0).
//!   They hold what has expired until it is deleted; a reader leaves out what its snapshot hides.
//! * A later state is an earlier one with the edges exchanged that the change table names in between.
//!   A gap in that table, or another generation, means that they are read anew.
//! * Each edge stands in the rows of both its ends, or in none.

mod held;
mod rows;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot, Symbol};
use embedded_db_storage::{EdgeRecord, EdgeTimes, Kind, ReadTxn, Snapshot, Visible};

use crate::changes::each_change;
use crate::hashing::FastMap;
pub use held::HeldEdges;
use rows::Rows;

/// Changed edges that are held beside the rows, at the least; else one in so many.
const FEW_CHANGED: usize = 4096;
const ONE_IN: usize = 64;
/// Edges read between two looks at whether to go on.
const CHECK_EVERY: usize = 4096;

/// An edge as it is seen from one of its ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct End {
    /// The node at its other end.
    pub node: Slot,
    /// The edge.
    pub edge: Slot,
    /// Its weight, over 0.
    pub weight: f32,
    kind: Kinds,
}

/// The type of an edge in the lower bits, and two flags.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kinds(u32);

impl Kinds {
    const OUTGOING: u32 = 1 << 31;
    const TIMED: u32 = 1 << 30;

    fn new(edge_type: Symbol, is_timed: bool) -> Result<Self> {
        if edge_type.0 >= Self::TIMED {
            return Err(Error::Internal(format!(
                "{edge_type:?} is too great for an edge in memory"
            )));
        }
        Ok(Self(edge_type.0 | if is_timed { Self::TIMED } else { 0 }))
    }
}

impl End {
    /// Its type.
    pub fn edge_type(&self) -> Symbol {
        Symbol(self.kind.0 & !(Kinds::OUTGOING | Kinds::TIMED))
    }

    /// Whether it begins here and ends there.
    pub fn is_outgoing(&self) -> bool {
        self.kind.0 & Kinds::OUTGOING != 0
    }

    fn is_timed(&self) -> bool {
        self.kind.0 & Kinds::TIMED != 0
    }
}

/// An edge that carries something.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Plain {
    edge: Slot,
    source: Slot,
    target: Slot,
    weight: f32,
    kind: Kinds,
}

impl Plain {
    /// `None` for one that is not believed, or that carries nothing.
    fn of(slot: Slot, record: &EdgeRecord<'_>) -> Result<Option<(Self, EdgeTimes)>> {
        let EdgeRecord { source, target, times, edge_type, .. } = *record;
        let weight = record.weight as f32;
        if times.retracted_at.is_some() || source == target {
            return Ok(None);
        }
        if !(weight > 0.0 && weight.is_finite()) {
            return Ok(None);
        }
        let is_timed = times.valid_from.is_some() || times.valid_to.is_some();
        let kind = Kinds::new(edge_type, is_timed)?;
        Ok(Some((Self { edge: slot, source, target, weight, kind }, times)))
    }

    fn at_source(&self) -> End {
        let kind = Kinds(self.kind.0 | Kinds::OUTGOING);
        End { node: self.target, edge: self.edge, weight: self.weight, kind }
    }

    fn at_target(&self) -> End {
        End { node: self.source, edge: self.edge, weight: self.weight, kind: self.kind }
    }
}

/// The edges of a namespace in one state.
#[derive(Debug, Clone)]
pub struct Edges {
    base: Arc<Rows>,
    /// Edges of `base` that are gone, or no longer what they were.
    masked: HashSet<Slot>,
    /// How many of these there are at a node.
    lost: FastMap<Slot, usize>,
    /// What came since, by node.
    added: FastMap<Slot, Vec<End>>,
    /// Both ends of what came since.
    added_ends: FastMap<Slot, [Slot; 2]>,
    added_times: FastMap<Slot, EdgeTimes>,
    /// Nodes with an edge.
    connected: usize,
    /// What the weights of edges are multiplied with that recall has strengthened.
    factors: FastMap<Slot, f32>,
}

impl Edges {
    fn new(base: Rows) -> Self {
        let connected = base.connected();
        Self {
            base: Arc::new(base),
            masked: HashSet::new(),
            lost: FastMap::default(),
            added: FastMap::default(),
            added_ends: FastMap::default(),
            added_times: FastMap::default(),
            connected,
            factors: FastMap::default(),
        }
    }

    /// Reads the edges of a state. `limit` is in bytes.
    fn read(
        snapshot: &Snapshot,
        namespace: NamespaceId,
        limit: usize,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let (mut plain, mut times) = (Vec::new(), FastMap::default());
        let (mut seen, mut failed) = (0, None);
        let mut add = |slot, payload: &[u8]| -> Result<()> {
            seen += 1;
            if seen % CHECK_EVERY == 0 {
                check()?;
                fits(plain.len(), limit)?;
            }
            if let Some((edge, at)) = Plain::of(slot, &EdgeRecord::parse(payload)?)? {
                if edge.kind.0 & Kinds::TIMED != 0 {
                    times.insert(slot, at);
                }
                plain.push(edge);
            }
            Ok(())
        };
        Visible::all(snapshot).edges_from(namespace, Slot(0), |slot, payload| {
            failed = add(slot, payload).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)?;
        fits(plain.len(), limit)?;
        Ok(Self::new(Rows::new(&plain, times)))
    }

    /// Brings them to a later state; false when the change table no longer tells how.
    fn follow(
        &mut self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        (from, to): (Lsn, Lsn),
        check: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let (mut changed, mut dropped) = (BTreeSet::new(), false);
        let reach = each_change(snapshot, from, |_, change| {
            if change.namespace != namespace {
                return;
            }
            dropped |= change.kind == Kind::Namespace;
            if change.kind == Kind::Edge {
                changed.insert(change.slot);
            }
        })?;
        if reach != to || dropped {
            return Ok(false);
        }
        for (at, slot) in changed.into_iter().enumerate() {
            if at % CHECK_EVERY == 0 {
                check()?;
            }
            let record = snapshot.edge(namespace, slot)?;
            let now = record.map(|record| Plain::of(slot, &record)).transpose()?.flatten();
            self.exchange(slot, now);
        }
        let beside = self.masked.len() + self.added_ends.len();
        if beside > FEW_CHANGED.max(self.base.edges() / ONE_IN) {
            *self = self.gathered();
        }
        Ok(true)
    }

    fn exchange(&mut self, slot: Slot, now: Option<(Plain, EdgeTimes)>) {
        let before = match self.added_ends.remove(&slot) {
            Some(ends) => Some(ends),
            None if self.masked.contains(&slot) => None,
            None => self.base.ends_of(slot),
        };
        let ends = before.into_iter().flatten();
        let ends = ends.chain(now.iter().flat_map(|(edge, _)| [edge.source, edge.target]));
        let touched: BTreeSet<Slot> = ends.collect();
        let connected = |edges: &Self| touched.iter().filter(|n| edges.degree(**n) > 0).count();
        // What is taken out of `added_ends` still stands in the rows of `added`.
        let were = connected(self);
        self.added_times.remove(&slot);
        for node in before.into_iter().flatten() {
            match self.added.get_mut(&node).filter(|row| row.iter().any(|end| end.edge == slot)) {
                Some(row) => row.retain(|end| end.edge != slot),
                None => {
                    self.masked.insert(slot);
                    *self.lost.entry(node).or_default() += 1;
                }
            }
        }
        if let Some((edge, times)) = now {
            self.added_ends.insert(slot, [edge.source, edge.target]);
            self.added.entry(edge.source).or_default().push(edge.at_source());
            self.added.entry(edge.target).or_default().push(edge.at_target());
            if edge.kind.0 & Kinds::TIMED != 0 {
                self.added_times.insert(slot, times);
            }
        }
        self.connected = self.connected + connected(self) - were;
    }

    /// The same with nothing beside the rows.
    fn gathered(&self) -> Self {
        let (mut plain, mut times) = (Vec::with_capacity(self.edges()), FastMap::default());
        let nodes = self.base.nodes().chain(self.added.keys().copied());
        let nodes: BTreeSet<Slot> = nodes.collect();
        for node in nodes {
            for end in self.row(node).filter(End::is_outgoing) {
                let End { node: target, edge, weight, kind } = end;
                let kind = Kinds(kind.0 & !Kinds::OUTGOING);
                plain.push(Plain { edge, source: node, target, weight, kind });
                if let Some(at) = self.times(&end) {
                    times.insert(edge, *at);
                }
            }
        }
        plain.sort_unstable_by_key(|edge| edge.edge);
        Self::new(Rows::new(&plain, times))
    }

    /// The edges at a node, from both their ends.
    pub fn row(&self, node: Slot) -> impl Iterator<Item = End> + '_ {
        let base = self.base.row(node).iter().copied();
        let is_whole = !self.lost.contains_key(&node);
        let base = base.filter(move |end| is_whole || !self.masked.contains(&end.edge));
        base.chain(self.added.get(&node).into_iter().flatten().copied())
    }

    /// How many edges a node has.
    pub fn degree(&self, node: Slot) -> usize {
        let lost = self.lost.get(&node).copied().unwrap_or(0);
        self.base.row(node).len() - lost + self.added.get(&node).map_or(0, Vec::len)
    }

    /// When an edge is true in the world; `None` for one that always is.
    pub fn times(&self, end: &End) -> Option<&EdgeTimes> {
        if !end.is_timed() {
            return None;
        }
        self.added_times.get(&end.edge).or_else(|| self.base.times(end.edge))
    }

    /// The same, where the weights of some edges are multiplied.
    pub fn strengthened(&self, factors: impl IntoIterator<Item = (Slot, f32)>) -> Self {
        Self { factors: factors.into_iter().collect(), ..self.clone() }
    }

    /// What an edge carries before it is weighed by how rare its ends are: its weight, strengthened.
    pub fn carried(&self, end: &End) -> f32 {
        match self.factors.get(&end.edge) {
            Some(factor) if !self.factors.is_empty() => end.weight * factor,
            _ => end.weight,
        }
    }

    /// How many edges there are.
    pub fn edges(&self) -> usize {
        self.base.edges() - self.masked.len() + self.added_ends.len()
    }

    /// How many nodes have one.
    pub fn connected(&self) -> usize {
        self.connected
    }

    /// Greater than the slot of every node that has an edge.
    pub fn slots(&self) -> usize {
        let added = self.added.keys().map(|node| node.0 as usize + 1).max();
        self.base.slots().max(added.unwrap_or(0))
    }

    /// Bytes of memory that they take.
    fn memory_bytes(&self) -> usize {
        self.base.memory_bytes() + Rows::bytes(self.masked.len() + self.added_ends.len())
    }
}

/// Refuses more edges than may be held.
fn fits(edges: usize, limit: usize) -> Result<()> {
    let used = Rows::bytes(edges);
    if used <= limit {
        return Ok(());
    }
    Err(Error::CapacityExceeded {
        what: "bytes for the edges of a namespace, which recall holds in memory,",
        used: used as u64,
        limit: limit as u64,
        remedy: "open the database with a greater recall_memory",
    })
}

#[cfg(test)]
mod tests;
