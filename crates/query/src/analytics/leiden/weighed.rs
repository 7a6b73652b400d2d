//! The graph that communities are found in: undirected, weighed, one tie between two nodes.

use crate::analytics::Csr;

pub(super) struct Weighed {
    /// Each tie from both its nodes; none to itself, none without weight.
    pub(super) ties: Csr,
    /// What the ends of the ties at each node weigh, those of loops among them.
    pub(super) strengths: Vec<f64>,
    /// What the loops of each node weigh.
    loops: Vec<f64>,
    /// What all ends weigh; above 0, so that one can divide by it.
    pub(super) total: f64,
}

impl Weighed {
    pub(super) fn new(graph: &Csr) -> Self {
        let mut loops = vec![0.0; graph.nodes()];
        let mut tied = Csr::new_weighed();
        for node in 0..graph.nodes() as u32 {
            for (target, weight) in graph.weighed(node).filter(|arc| arc.1 > 0.0) {
                if target == node {
                    loops[node as usize] += weight;
                } else {
                    tied.push_weighed(target, weight);
                }
            }
            tied.close();
        }
        Self::of(tied.undirected(), loops)
    }

    fn of(ties: Csr, loops: Vec<f64>) -> Self {
        let nodes = 0..ties.nodes() as u32;
        let strengths: Vec<f64> =
            nodes.map(|node| ties.strength(node) + 2.0 * loops[node as usize]).collect();
        let total = strengths.iter().sum::<f64>();
        Self { ties, strengths, loops, total: if total > 0.0 { total } else { 1.0 } }
    }

    pub(super) fn nodes(&self) -> usize {
        self.ties.nodes()
    }

    pub(super) fn modularity(&self, communities: &[u32], resolution: f64) -> f64 {
        let mut within = 0.0;
        let mut strengths = vec![0.0; self.nodes()];
        for node in 0..self.nodes() as u32 {
            let community = communities[node as usize];
            strengths[community as usize] += self.strengths[node as usize];
            within += 2.0 * self.loops[node as usize];
            for (neighbor, weight) in self.ties.weighed(node) {
                if communities[neighbor as usize] == community {
                    within += weight;
                }
            }
        }
        let by_chance: f64 = strengths.iter().map(|sum| (sum / self.total).powi(2)).sum();
        within / self.total - resolution * by_chance
    }

    /// The graph whose nodes are the parts of this one, numbered from 0.
    pub(super) fn aggregate(&self, parts: &[u32]) -> Self {
        let count = parts.iter().max().map_or(0, |most| *most as usize + 1);
        let mut loops = vec![0.0; count];
        let mut arcs = Vec::with_capacity(self.ties.arcs());
        for node in 0..self.nodes() as u32 {
            let part = parts[node as usize];
            loops[part as usize] += self.loops[node as usize];
            for (neighbor, weight) in self.ties.weighed(node) {
                let other = parts[neighbor as usize];
                if other == part {
                    // It comes from both its nodes.
                    loops[part as usize] += weight / 2.0;
                } else {
                    arcs.push((part, other, weight));
                }
            }
        }
        Self::of(Csr::of_arcs(count, &arcs).unique(), loops)
    }
}
