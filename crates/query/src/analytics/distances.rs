//! How far it is from one node to all others.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use embedded_db_common::Result;

use crate::analytics::Csr;
use crate::guard::Guard;

/// Hops along the arcs, by breadth-first search; infinite where no way leads.
pub fn hops(graph: &Csr, start: u32, guard: &Guard<'_>) -> Result<Vec<f64>> {
    let mut found = vec![f64::INFINITY; graph.nodes()];
    found[start as usize] = 0.0;
    let (mut frontier, mut depth) = (vec![start], 0.0);
    while !frontier.is_empty() {
        depth += 1.0;
        let mut next = Vec::new();
        for node in frontier {
            guard.tick()?;
            for target in graph.of(node) {
                let distance = &mut found[*target as usize];
                if distance.is_infinite() {
                    *distance = depth;
                    next.push(*target);
                }
            }
        }
        frontier = next;
    }
    Ok(found)
}

/// The least sum of the weights on a way along the arcs, by Dijkstra's algorithm; infinite where no way
/// leads. No weight is below 0.
pub fn costs(graph: &Csr, start: u32, guard: &Guard<'_>) -> Result<Vec<f64>> {
    let mut found = vec![f64::INFINITY; graph.nodes()];
    found[start as usize] = 0.0;
    let mut open = BinaryHeap::from([Reverse((Cost(0.0), start))]);
    while let Some(Reverse((Cost(cost), node))) = open.pop() {
        guard.tick()?;
        if cost > found[node as usize] {
            continue;
        }
        for (target, weight) in graph.weighed(node) {
            let cost = cost + weight;
            if cost < found[target as usize] {
                found[target as usize] = cost;
                open.push(Reverse((Cost(cost), target)));
            }
        }
    }
    Ok(found)
}

/// A sum of weights, which has an order: no sum of finite weights is NaN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost(pub(crate) f64);

impl PartialEq for Cost {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cost {}

impl PartialOrd for Cost {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cost {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
