//! Triangles, each found once, from the two of its nodes with the fewest neighbours (Chiba, Nishizeki
//! 1985): with m edges, in the order of m^1.5 steps.

use embedded_db_common::Result;

use crate::analytics::Csr;
use crate::guard::Guard;

/// The triangles that each node is in. Directions, loops and parallel arcs do not count.
pub fn triangles(graph: &Csr, guard: &Guard<'_>) -> Result<Vec<u64>> {
    let graph = graph.clone().unweighed().undirected();
    let mut counts = vec![0; graph.nodes()];
    each(&graph, guard, |corners, _| {
        for corner in corners {
            counts[corner as usize] += 1;
        }
    })?;
    Ok(counts)
}

/// The share of the pairs of a node's neighbours that are neighbours of each other; 0 with fewer than two.
///
/// `directed` counts ordered pairs and the arcs between them, among the neighbours by arcs of either
/// direction, as LDBC Graphalytics does. Loops and parallel arcs do not count.
pub fn clustering(graph: &Csr, directed: bool, guard: &Guard<'_>) -> Result<Vec<f64>> {
    // What lies between two nodes weighs 1 for each direction that there is.
    let once = graph.unique().unweighed();
    let graph = once.undirected();
    let mut links = vec![0.0; graph.nodes()];
    each(&graph, guard, |[a, b, c], [ab, ac, bc]| {
        for (corner, opposite) in [(a, bc), (b, ac), (c, ab)] {
            links[corner as usize] += if directed { opposite } else { 2.0 };
        }
    })?;
    for (node, links) in links.iter_mut().enumerate() {
        let neighbors = graph.of(node as u32).len() as f64;
        if neighbors > 1.0 {
            *links /= neighbors * (neighbors - 1.0);
        }
    }
    Ok(links)
}

/// Calls `found` with the corners of each triangle and the weights of its sides: between the first and
/// the second, the first and the third, the second and the third.
fn each(graph: &Csr, guard: &Guard<'_>, mut found: impl FnMut([u32; 3], [f64; 3])) -> Result<()> {
    let nodes = 0..graph.nodes() as u32;
    let rank = |node: u32| (graph.of(node).len(), node);
    // Sides lead to nodes with more neighbours.
    let mut upward = Csr::new_weighed();
    for node in nodes.clone() {
        for (target, weight) in graph.weighed(node).filter(|arc| rank(arc.0) > rank(node)) {
            upward.push_weighed(target, weight);
        }
        upward.close();
    }
    // The weight of the side from the first corner; 0 where there is none.
    let mut sides = vec![0.0; graph.nodes()];
    for a in nodes {
        guard.tick()?;
        for (target, weight) in upward.weighed(a) {
            sides[target as usize] = weight;
        }
        for (b, ab) in upward.weighed(a) {
            guard.tick()?;
            for (c, bc) in upward.weighed(b) {
                let ac = sides[c as usize];
                if ac > 0.0 {
                    found([a, b, c], [ab, ac, bc]);
                }
            }
        }
        for target in upward.of(a) {
            sides[*target as usize] = 0.0;
        }
    }
    Ok(())
}
