//! PageRank by power iteration (Page, Brin, Motwani, Winograd 1999).
//!
//! A walker follows an arc with the probability `damping`, chosen by weight, and else, or where no arc
//! leads on, begins anew: anywhere, or where the personalization says.

use embedded_db_common::Result;

use crate::analytics::Csr;
use crate::guard::Guard;

/// How to rank.
#[derive(Debug, Clone, Copy)]
pub struct PageRank {
    /// From 0 to below 1.
    pub damping: f64,
    /// Most steps.
    pub max_iterations: u32,
    /// Ends when all ranks together change by less in a step.
    pub tolerance: f64,
}

/// Ranks of all nodes, whose sum is 1, and the steps it took.
#[derive(Debug)]
pub struct Ranks {
    /// By number.
    pub values: Vec<f64>,
    /// Steps.
    pub iterations: u32,
}

/// Ranks nodes along the arcs. `starts` has a weight of 0 or more for each node, not all 0.
pub fn pagerank(
    graph: &Csr,
    starts: Option<&[f64]>,
    how: PageRank,
    guard: &Guard<'_>,
) -> Result<Ranks> {
    let count = graph.nodes();
    if count == 0 {
        return Ok(Ranks { values: Vec::new(), iterations: 0 });
    }
    let even = 1.0 / count as f64;
    let starts = starts.map(|starts| {
        let sum: f64 = starts.iter().sum();
        starts.iter().map(|weight| weight / sum).collect::<Vec<f64>>()
    });
    let start = |node: usize| starts.as_ref().map_or(even, |starts| starts[node]);
    let incoming = graph.reversed();
    let strengths: Vec<f64> = (0..count as u32).map(|node| graph.strength(node)).collect();
    let (mut ranks, mut shares) = (vec![even; count], vec![0.0; count]);
    let mut iterations = 0;
    while iterations < how.max_iterations {
        iterations += 1;
        let mut lost = 0.0;
        for node in 0..count {
            if strengths[node] > 0.0 {
                shares[node] = ranks[node] / strengths[node];
            } else {
                shares[node] = 0.0;
                lost += ranks[node];
            }
        }
        let mut change = 0.0;
        for (node, rank) in ranks.iter_mut().enumerate() {
            guard.tick()?;
            let arriving: f64 = incoming
                .weighed(node as u32)
                .map(|(from, weight)| shares[from as usize] * weight)
                .sum();
            let begun = (1.0 - how.damping + how.damping * lost) * start(node);
            let next = how.damping * arriving + begun;
            change += (next - *rank).abs();
            *rank = next;
        }
        if change < how.tolerance {
            break;
        }
    }
    Ok(Ranks { values: ranks, iterations })
}
