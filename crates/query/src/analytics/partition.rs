//! Nodes in groups.

use embedded_db_common::Result;

use crate::analytics::Csr;
use crate::guard::Guard;

/// Numbers groups from 0: the largest first, and of two as large the one whose first node comes first.
pub(crate) fn numbered(groups: &[u32]) -> Vec<u32> {
    let most = groups.iter().max().map_or(0, |most| *most as usize + 1);
    let (mut sizes, mut firsts) = (vec![0_u32; most], vec![u32::MAX; most]);
    for (node, group) in groups.iter().enumerate() {
        let group = *group as usize;
        sizes[group] += 1;
        firsts[group] = firsts[group].min(node as u32);
    }
    let mut order: Vec<u32> = (0..most as u32).filter(|group| sizes[*group as usize] > 0).collect();
    order.sort_unstable_by_key(|group| {
        let group = *group as usize;
        (std::cmp::Reverse(sizes[group]), firsts[group])
    });
    let mut numbers = vec![0; most];
    for (number, group) in order.iter().enumerate() {
        numbers[*group as usize] = number as u32;
    }
    groups.iter().map(|group| numbers[*group as usize]).collect()
}

/// Disjoint sets of nodes.
struct Sets {
    parents: Vec<u32>,
}

impl Sets {
    fn root(&mut self, mut node: u32) -> u32 {
        while self.parents[node as usize] != node {
            let above = self.parents[self.parents[node as usize] as usize];
            self.parents[node as usize] = above;
            node = above;
        }
        node
    }

    /// The lower root is the root of both.
    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other) as usize] = one.min(other);
    }
}

/// The weakly connected component of each node, numbered as groups are.
pub fn components(graph: &Csr, guard: &Guard<'_>) -> Result<Vec<u32>> {
    joined(graph, |_, _| true, guard).map(|groups| numbered(&groups))
}

/// A node of the group of each node, when arcs that count join their ends.
pub(crate) fn joined(
    graph: &Csr,
    counts: impl Fn(u32, u32) -> bool,
    guard: &Guard<'_>,
) -> Result<Vec<u32>> {
    let nodes = 0..graph.nodes() as u32;
    let mut sets = Sets { parents: nodes.clone().collect() };
    for node in nodes.clone() {
        guard.tick()?;
        for target in graph.of(node) {
            if counts(node, *target) {
                sets.join(node, *target);
            }
        }
    }
    Ok(nodes.map(|node| sets.root(node)).collect())
}
