//! Communities by label propagation, as LDBC Graphalytics has it (CDLP): in steps, and without chance.

use embedded_db_common::Result;

use crate::analytics::Csr;
use crate::analytics::partition::numbered;
use crate::guard::Guard;

/// Each node takes the label that most ends of its arcs have, the lowest of several; all at once, until
/// nothing changes or so many times. An arc from a node to itself says nothing.
pub fn propagate(graph: &Csr, max_iterations: u32, guard: &Guard<'_>) -> Result<Vec<u32>> {
    let back = graph.reversed();
    let nodes = 0..graph.nodes() as u32;
    let mut labels: Vec<u32> = nodes.clone().collect();
    let mut around = Vec::new();
    for _ in 0..max_iterations {
        let mut next = Vec::with_capacity(labels.len());
        for node in nodes.clone() {
            guard.tick()?;
            around.clear();
            let ends = graph.of(node).iter().chain(back.of(node)).filter(|end| **end != node);
            around.extend(ends.map(|end| labels[*end as usize]));
            next.push(most_frequent(&mut around).unwrap_or(labels[node as usize]));
        }
        let settled = next == labels;
        labels = next;
        if settled {
            break;
        }
    }
    Ok(numbered(&labels))
}

fn most_frequent(labels: &mut [u32]) -> Option<u32> {
    labels.sort_unstable();
    let runs = labels.chunk_by(|one, other| one == other);
    // Of several, the last has the lowest label.
    runs.rev().max_by_key(|run| run.len()).map(|run| run[0])
}
