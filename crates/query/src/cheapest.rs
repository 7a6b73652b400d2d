//! The path whose edges weigh least together, by Dijkstra's algorithm.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use embedded_db_common::{NamespaceId, Result, Slot};
use embedded_db_storage::ReadTxn;

use crate::analytics::{Cost, weight};
use crate::graph::{Follow, PathSlots};
use crate::guard::Guard;

/// A way from the start to a node.
struct Way {
    node: Slot,
    /// The way that it goes on from, and over which edge; `None` at the start.
    before: Option<(usize, Slot)>,
}

/// The path of the least sum of weights, and that sum; of several, one with the fewest edges. `None` when
/// there is none of at most `max_hops` edges.
///
/// Ways come out by what they cost. One to a node that was reached before is worth following only when a
/// number of hops is given, and it has taken fewer of them.
pub fn cheapest_path<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    start: Slot,
    end: Slot,
    follow: &Follow,
    max_hops: Option<u32>,
    guard: &Guard<'_>,
) -> Result<Option<(PathSlots, f64)>> {
    let follow = follow.with_edges();
    let mut ways = vec![Way { node: start, before: None }];
    let mut open = BinaryHeap::from([Reverse((Cost(0.0), 0_u32, 0_usize))]);
    let mut reached: HashMap<Slot, u32> = HashMap::new();
    let in_vain = |reached: &HashMap<Slot, u32>, node, hops| {
        reached.get(&node).is_some_and(|least| max_hops.is_none() || *least <= hops)
    };
    let mut ends = Vec::new();
    while let Some(Reverse((Cost(cost), hops, way))) = open.pop() {
        guard.tick()?;
        let node = ways[way].node;
        if in_vain(&reached, node, hops) {
            continue;
        }
        if node == end {
            return Ok(Some((traced(&ways, way), cost)));
        }
        reached.insert(node, hops);
        if reached.len() > follow.max_visited {
            return Err(follow.too_many());
        }
        if max_hops == Some(hops) {
            continue;
        }
        follow.each(txn, namespace, node, |neighbor| ends.push(neighbor))?;
        for neighbor in ends.drain(..) {
            if !in_vain(&reached, neighbor.node, hops + 1) {
                let cost = cost + weight(txn, namespace, neighbor.edge, follow.times)?;
                open.push(Reverse((Cost(cost), hops + 1, ways.len())));
                ways.push(Way { node: neighbor.node, before: Some((way, neighbor.edge)) });
            }
        }
    }
    Ok(None)
}

fn traced(ways: &[Way], mut way: usize) -> PathSlots {
    let (mut nodes, mut edges) = (vec![ways[way].node], Vec::new());
    while let Some((before, edge)) = ways[way].before {
        edges.push(edge);
        nodes.push(ways[before].node);
        way = before;
    }
    nodes.reverse();
    edges.reverse();
    PathSlots { nodes, edges }
}
