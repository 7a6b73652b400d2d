//! A graph as rows of numbers.

use embedded_db_common::Result;

use crate::converged::Reach;
use crate::guard::Guard;

/// Arcs by the node where they begin (compressed sparse rows).
///
/// There is one more offset than there are nodes, they never fall, and the last is the number of arcs;
/// every target is a node. There are as many weights as targets, or none, and then each arc weighs 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Csr {
    offsets: Vec<u64>,
    targets: Vec<u32>,
    weights: Option<Vec<f64>>,
}

impl Csr {
    /// No node yet; the arcs of each are pushed, and then it is closed.
    pub(crate) fn new() -> Self {
        Self { offsets: vec![0], targets: Vec::new(), weights: None }
    }

    /// The same with weights, once it has arcs.
    pub(crate) fn weighing(mut self, weights: Vec<f64>) -> Self {
        debug_assert_eq!(weights.len(), self.targets.len());
        self.weights = Some(weights);
        self
    }

    /// The same, whose arcs are pushed with their weights.
    pub(crate) fn new_weighed() -> Self {
        Self::new().weighing(Vec::new())
    }

    /// Adds an arc to the node that is open.
    pub(crate) fn push(&mut self, target: u32) {
        self.targets.push(target);
    }

    /// Adds an arc with its weight; it is left out where arcs have none.
    pub(crate) fn push_weighed(&mut self, target: u32, weight: f64) {
        self.targets.push(target);
        if let Some(weights) = &mut self.weights {
            weights.push(weight);
        }
    }

    /// Ends the row of a node.
    pub(crate) fn close(&mut self) {
        self.offsets.push(self.targets.len() as u64);
    }

    /// The graph with these arcs, in any order.
    pub fn of_arcs(nodes: usize, arcs: &[(u32, u32, f64)]) -> Self {
        let mut offsets = counted(nodes, arcs.iter().map(|arc| arc.0));
        let (mut targets, mut weights) = (vec![0; arcs.len()], vec![0.0; arcs.len()]);
        for &(source, target, weight) in arcs {
            let at = &mut offsets[source as usize];
            targets[*at as usize] = target;
            weights[*at as usize] = weight;
            *at += 1;
        }
        Self { offsets: shifted(offsets), targets, weights: Some(weights) }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of arcs.
    pub fn arcs(&self) -> usize {
        self.targets.len()
    }

    /// Whether its arcs have weights.
    pub fn is_weighted(&self) -> bool {
        self.weights.is_some()
    }

    fn range(&self, node: u32) -> std::ops::Range<usize> {
        let node = node as usize;
        self.offsets[node] as usize..self.offsets[node + 1] as usize
    }

    /// Where the arcs of a node lead.
    pub fn of(&self, node: u32) -> &[u32] {
        &self.targets[self.range(node)]
    }

    /// The arcs of a node with their weights.
    pub fn weighed(&self, node: u32) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = self.range(node);
        let weights = self.weights.as_ref().map(|weights| &weights[range.clone()]);
        let targets = self.targets[range].iter().enumerate();
        targets.map(move |(at, target)| (*target, weights.map_or(1.0, |weights| weights[at])))
    }

    /// What the arcs of a node weigh together.
    pub fn strength(&self, node: u32) -> f64 {
        match &self.weights {
            None => self.range(node).len() as f64,
            Some(weights) => weights[self.range(node)].iter().sum(),
        }
    }

    /// Every arc turned round. Each row is in the order of its targets.
    pub fn reversed(&self) -> Self {
        let mut offsets = counted(self.nodes(), self.targets.iter().copied());
        let mut targets = vec![0; self.arcs()];
        let mut weights = self.weights.as_ref().map(|_| vec![0.0; self.arcs()]);
        for source in 0..self.nodes() as u32 {
            for arc in self.range(source) {
                let at = &mut offsets[self.targets[arc] as usize];
                targets[*at as usize] = source;
                if let (Some(to), Some(from)) = (&mut weights, &self.weights) {
                    to[*at as usize] = from[arc];
                }
                *at += 1;
            }
        }
        Self { offsets: shifted(offsets), targets, weights }
    }

    /// Every arc both ways; one from a node to itself stays one.
    pub fn both(&self) -> Self {
        let back = self.reversed();
        let mut out = if self.is_weighted() { Self::new_weighed() } else { Self::new() };
        out.targets.reserve(2 * self.arcs());
        for node in 0..self.nodes() as u32 {
            let there = self.weighed(node);
            for (target, weight) in there.chain(back.weighed(node).filter(|arc| arc.0 != node)) {
                out.push_weighed(target, weight);
            }
            out.close();
        }
        out
    }

    /// As it is followed in a direction.
    pub fn facing(&self, direction: Reach) -> std::borrow::Cow<'_, Self> {
        match direction {
            Reach::Out => std::borrow::Cow::Borrowed(self),
            Reach::In => std::borrow::Cow::Owned(self.reversed()),
            Reach::Any => std::borrow::Cow::Owned(self.both()),
        }
    }

    /// Parallel arcs as one that weighs what they weigh together, none from a node to itself, and each
    /// row in the order of its targets.
    pub fn unique(&self) -> Self {
        self.reversed().reversed().merged()
    }

    /// The same of every arc both ways.
    pub fn undirected(&self) -> Self {
        // Turned round it is the same graph, in order.
        self.both().reversed().merged()
    }

    /// As [`Self::unique`], of rows that are in order.
    fn merged(&self) -> Self {
        let mut out = Self::new_weighed();
        for node in 0..self.nodes() as u32 {
            let mut last: Option<(u32, f64)> = None;
            for (target, weight) in self.weighed(node).filter(|arc| arc.0 != node) {
                match &mut last {
                    Some((same, sum)) if *same == target => *sum += weight,
                    _ => {
                        if let Some((target, sum)) = last.replace((target, weight)) {
                            out.push_weighed(target, sum);
                        }
                    }
                }
            }
            if let Some((target, sum)) = last {
                out.push_weighed(target, sum);
            }
            out.close();
        }
        out
    }

    /// The same arcs without their weights.
    pub fn unweighed(mut self) -> Self {
        self.weights = None;
        self
    }

    /// At how many ends of arcs each node is, or what those arcs weigh together: at an arc from a node to
    /// itself it is with both ends.
    pub fn degrees(&self, direction: Reach, guard: &Guard<'_>) -> Result<Vec<f64>> {
        let mut degrees = vec![0.0; self.nodes()];
        for node in 0..self.nodes() as u32 {
            guard.tick()?;
            if direction != Reach::In {
                degrees[node as usize] += self.strength(node);
            }
            if direction != Reach::Out {
                for (target, weight) in self.weighed(node) {
                    degrees[target as usize] += weight;
                }
            }
        }
        Ok(degrees)
    }
}

/// Where each row begins, when there are so many arcs of each node.
fn counted(nodes: usize, of: impl Iterator<Item = u32>) -> Vec<u64> {
    let mut offsets = vec![0; nodes + 1];
    for node in of {
        offsets[node as usize + 1] += 1;
    }
    for node in 0..nodes {
        offsets[node + 1] += offsets[node];
    }
    offsets
}

/// The beginnings of the rows, of beginnings that were moved to their ends.
fn shifted(mut offsets: Vec<u64>) -> Vec<u64> {
    offsets.rotate_right(1);
    offsets[0] = 0;
    // What was rotated out is the end of a row behind the last one: all arcs, as before.
    offsets
}
