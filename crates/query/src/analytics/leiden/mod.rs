//! Communities by the Leiden algorithm (Traag, Waltman, van Eck 2019), which raises modularity.
//!
//! In rounds: nodes move to the community of a neighbour where that gains most; each community is then
//! refined into parts that hang together well; the parts are the nodes of a smaller graph, whose nodes
//! begin in the communities of their parts. It ends when no node moves there, and begins again from what
//! it found until that gains nothing.
//!
//! Chance comes from the seed alone: the order in which nodes are looked at, and which of the parts that
//! gain about as much a node joins.

mod refine;
mod weighed;

use std::collections::VecDeque;

use embedded_db_common::Result;

use crate::analytics::Csr;
use crate::analytics::partition::{joined, numbered};
use crate::analytics::random::Random;
use crate::guard::Guard;

use refine::refine;
use weighed::Weighed;

/// How to find communities.
#[derive(Debug, Clone, Copy)]
pub struct Leiden {
    /// Above 1 for smaller communities, below for larger ones.
    pub resolution: f64,
    /// Of the chance that is in it.
    pub seed: u64,
    /// Most times to begin again.
    pub max_iterations: u32,
}

/// The community of each node, and how good they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// By number, numbered from 0, the largest first.
    pub communities: Vec<u32>,
    /// The share of the weight that lies within communities, less the share that would lie there by
    /// chance; the latter times the resolution.
    pub modularity: f64,
}

/// What counts as gain, as a share of all weight: less is the error of the sums.
const LEAST_GAIN: f64 = 1e-12;

/// Communities of nodes that hang together, whatever the directions of the arcs. Parallel arcs weigh
/// together; no weight is below 0, and one of 0 ties nothing.
pub fn leiden(graph: &Csr, how: Leiden, guard: &Guard<'_>) -> Result<Found> {
    let graph = Weighed::new(graph);
    let mut random = Random::new(how.seed);
    let mut best = alone(graph.nodes());
    let mut modularity = graph.modularity(&best, how.resolution);
    for _ in 0..how.max_iterations {
        let found = round(&graph, &best, how.resolution, &mut random, guard)?;
        let reached = graph.modularity(&found, how.resolution);
        if reached <= modularity + LEAST_GAIN {
            break;
        }
        (best, modularity) = (found, reached);
    }
    Ok(Found { communities: numbered(&best), modularity })
}

fn alone(nodes: usize) -> Vec<u32> {
    (0..nodes as u32).collect()
}

/// The same groups, numbered in the order in which they come.
fn counted(groups: &[u32]) -> Vec<u32> {
    let most = groups.iter().max().map_or(0, |most| *most as usize + 1);
    let (mut numbers, mut next) = (vec![u32::MAX; most], 0);
    let mut number = |group: u32| {
        let number = &mut numbers[group as usize];
        if *number == u32::MAX {
            *number = next;
            next += 1;
        }
        *number
    };
    groups.iter().map(|group| number(*group)).collect()
}

/// From these communities to better ones.
fn round(
    graph: &Weighed,
    communities: &[u32],
    resolution: f64,
    random: &mut Random,
    guard: &Guard<'_>,
) -> Result<Vec<u32>> {
    let mut communities = communities.to_vec();
    // Where each node of the whole graph is in the small one.
    let mut places = alone(graph.nodes());
    let mut small = None;
    loop {
        let level = small.as_ref().unwrap_or(graph);
        move_nodes(level, &mut communities, resolution, random, guard)?;
        let parts = refine(level, &communities, resolution, random, guard)?;
        let next = level.aggregate(&parts);
        if next.nodes() == level.nodes() {
            break;
        }
        let mut of_parts = vec![0; next.nodes()];
        for (node, part) in parts.iter().enumerate() {
            of_parts[*part as usize] = communities[node];
        }
        communities = counted(&of_parts);
        for place in &mut places {
            *place = parts[*place as usize];
        }
        small = Some(next);
    }
    let found: Vec<u32> = places.iter().map(|place| communities[*place as usize]).collect();
    // Nodes that left may have held others together: to part those gains, too.
    let same = |one: u32, other: u32| found[one as usize] == found[other as usize];
    joined(&graph.ties, same, guard)
}

/// Moves nodes, one by one, until no move of any gains.
fn move_nodes(
    graph: &Weighed,
    communities: &mut [u32],
    resolution: f64,
    random: &mut Random,
    guard: &Guard<'_>,
) -> Result<()> {
    let count = graph.nodes();
    let (mut strengths, mut sizes) = (vec![0.0; count], vec![0_u32; count]);
    for (node, community) in communities.iter().enumerate() {
        strengths[*community as usize] += graph.strengths[node];
        sizes[*community as usize] += 1;
    }
    let mut empty: Vec<u32> = (0..count as u32).filter(|at| sizes[*at as usize] == 0).collect();
    let mut queue = VecDeque::from(random.order(count));
    let mut waiting = vec![true; count];
    let mut links = Links::new(count);
    while let Some(node) = queue.pop_front() {
        guard.tick()?;
        waiting[node as usize] = false;
        let from = communities[node as usize];
        let strength = graph.strengths[node as usize];
        strengths[from as usize] -= strength;
        sizes[from as usize] -= 1;
        if sizes[from as usize] == 0 {
            // Without what the sums were wrong by.
            strengths[from as usize] = 0.0;
        }
        links.gather(graph, node, |neighbor| Some(communities[neighbor as usize]));
        let gain = |community: u32| {
            let by_chance = resolution * strength * strengths[community as usize] / graph.total;
            links.to(community) - by_chance
        };
        let (mut to, mut most) = (from, gain(from) + LEAST_GAIN * graph.total);
        for community in links.groups() {
            let gained = gain(*community);
            if gained > most {
                (to, most) = (*community, gained);
            }
        }
        // To be alone gains 0.
        if most < 0.0
            && let Some(community) = empty.last()
        {
            to = *community;
        }
        if sizes[to as usize] == 0 && to != from {
            empty.pop();
        }
        strengths[to as usize] += strength;
        sizes[to as usize] += 1;
        if to != from {
            communities[node as usize] = to;
            if sizes[from as usize] == 0 {
                empty.push(from);
            }
            for neighbor in graph.ties.of(node) {
                let elsewhere = communities[*neighbor as usize] != to;
                if elsewhere && !std::mem::replace(&mut waiting[*neighbor as usize], true) {
                    queue.push_back(*neighbor);
                }
            }
        }
    }
    Ok(())
}

/// What the ties of a node to each group weigh together.
struct Links {
    to: Vec<f64>,
    groups: Vec<u32>,
}

impl Links {
    fn new(groups: usize) -> Self {
        Self { to: vec![0.0; groups], groups: Vec::new() }
    }

    fn gather(&mut self, graph: &Weighed, node: u32, group: impl Fn(u32) -> Option<u32>) {
        for group in self.groups.drain(..) {
            self.to[group as usize] = 0.0;
        }
        for (neighbor, weight) in graph.ties.weighed(node) {
            if let Some(group) = group(neighbor) {
                if self.to[group as usize] == 0.0 {
                    self.groups.push(group);
                }
                self.to[group as usize] += weight;
            }
        }
    }

    fn to(&self, group: u32) -> f64 {
        self.to[group as usize]
    }

    fn groups(&self) -> &[u32] {
        &self.groups
    }
}
