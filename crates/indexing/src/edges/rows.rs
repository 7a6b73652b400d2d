//! Rows of edges that do not change (compressed sparse rows).

use embedded_db_common::Slot;
use embedded_db_storage::EdgeTimes;

use super::{End, Plain};
use crate::hashing::FastMap;

/// Every edge in the rows of both its ends, each row in the order of the edges' slots.
#[derive(Debug)]
pub(super) struct Rows {
    /// Where the row of each node begins, by slot; one more than there are slots. They never fall.
    offsets: Vec<u32>,
    ends: Vec<End>,
    /// Where each edge begins, in the order of the edges' slots.
    sources: Vec<(Slot, Slot)>,
    times: FastMap<Slot, EdgeTimes>,
}

impl Rows {
    /// Of edges in the order of their slots.
    pub(super) fn new(edges: &[Plain], times: FastMap<Slot, EdgeTimes>) -> Self {
        let slots = edges.iter().map(|edge| edge.source.max(edge.target).0 as usize + 1).max();
        let mut offsets = vec![0_u32; slots.unwrap_or(0) + 1];
        for edge in edges {
            offsets[edge.source.0 as usize + 1] += 1;
            offsets[edge.target.0 as usize + 1] += 1;
        }
        for at in 1..offsets.len() {
            offsets[at] += offsets[at - 1];
        }
        let mut next = offsets.clone();
        let mut place = |node: Slot| {
            let at = &mut next[node.0 as usize];
            *at += 1;
            *at as usize - 1
        };
        let mut ends =
            edges.first().map_or(Vec::new(), |any| vec![any.at_source(); 2 * edges.len()]);
        for edge in edges {
            ends[place(edge.source)] = edge.at_source();
            ends[place(edge.target)] = edge.at_target();
        }
        let sources = edges.iter().map(|edge| (edge.edge, edge.source)).collect();
        Self { offsets, ends, sources, times }
    }

    pub(super) fn row(&self, node: Slot) -> &[End] {
        let node = node.0 as usize;
        match self.offsets.get(node..node + 2) {
            Some(&[from, to]) => &self.ends[from as usize..to as usize],
            _ => &[],
        }
    }

    /// Both ends of an edge, if it is one of them.
    pub(super) fn ends_of(&self, edge: Slot) -> Option<[Slot; 2]> {
        let at = self.sources.binary_search_by_key(&edge, |(edge, _)| *edge).ok()?;
        let source = self.sources[at].1;
        let row = self.row(source);
        let at = row.binary_search_by_key(&edge, |end| end.edge).ok()?;
        Some([source, row[at].node])
    }

    pub(super) fn times(&self, edge: Slot) -> Option<&EdgeTimes> {
        self.times.get(&edge)
    }

    /// Nodes with an edge.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Slot> + '_ {
        let rows = self.offsets.windows(2).zip(0..);
        rows.filter(|(row, _)| row[0] < row[1]).map(|(_, node)| Slot(node))
    }

    pub(super) fn connected(&self) -> usize {
        self.nodes().count()
    }

    pub(super) fn edges(&self) -> usize {
        self.sources.len()
    }

    pub(super) fn slots(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(super) fn memory_bytes(&self) -> usize {
        Self::bytes(self.edges())
            + self.offsets.len() * size_of::<u32>()
            + self.times.len() * 2 * size_of::<(Slot, EdgeTimes)>()
    }

    /// What so many edges take.
    pub(super) fn bytes(edges: usize) -> usize {
        edges * (2 * size_of::<End>() + size_of::<(Slot, Slot)>())
    }
}
