//! Core numbers by peeling (Batagelj, Zaveršnik 2003).

use embedded_db_common::Result;

use crate::analytics::Csr;
use crate::guard::Guard;

/// The greatest k for which a node is in the k-core, which is what is left when nodes with fewer than k
/// neighbours are taken away until there are none. Directions, loops and parallel arcs do not count.
pub fn cores(graph: &Csr, guard: &Guard<'_>) -> Result<Vec<u32>> {
    let graph = graph.undirected();
    let count = graph.nodes();
    let mut degrees: Vec<u32> = (0..count as u32).map(|node| graph.of(node).len() as u32).collect();
    // Nodes by degree; of each degree, where its nodes begin; of each node, where it is.
    let most = degrees.iter().max().map_or(0, |most| *most as usize);
    let mut begins = vec![0_usize; most + 2];
    for degree in &degrees {
        begins[*degree as usize + 1] += 1;
    }
    for degree in 0..=most {
        begins[degree + 1] += begins[degree];
    }
    let (mut order, mut places) = (vec![0_u32; count], vec![0_usize; count]);
    let mut next = begins.clone();
    for node in 0..count {
        let at = &mut next[degrees[node] as usize];
        places[node] = *at;
        order[*at] = node as u32;
        *at += 1;
    }
    for at in 0..count {
        guard.tick()?;
        let node = order[at];
        for neighbor in graph.of(node) {
            let neighbor = *neighbor as usize;
            let degree = degrees[neighbor];
            if degree > degrees[node as usize] {
                // It changes places with the first of its degree, which then begins behind it.
                let first = begins[degree as usize];
                let (other, place) = (order[first], places[neighbor]);
                order.swap(first, place);
                places[other as usize] = place;
                places[neighbor] = first;
                begins[degree as usize] = first + 1;
                degrees[neighbor] -= 1;
            }
        }
    }
    Ok(degrees)
}
