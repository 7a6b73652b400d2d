//! The parts of communities that hang together well.

use embedded_db_common::Result;

use crate::analytics::random::Random;
use crate::guard::Guard;

use super::weighed::Weighed;
use super::{Links, alone, counted};

/// How much less than the most a join may gain, to be about as likely: a share of the most.
const RANDOMNESS: f64 = 0.01;

/// The part of each node, numbered from 0.
///
/// Nodes begin alone, and only one that is still alone joins others, to which it has a tie: so every part
/// is connected. Both it and the part have to be tied well enough to the rest of their community.
pub(super) fn refine(
    graph: &Weighed,
    communities: &[u32],
    resolution: f64,
    random: &mut Random,
    guard: &Guard<'_>,
) -> Result<Vec<u32>> {
    let count = graph.nodes();
    let mut parts = alone(count);
    let mut sizes = vec![1_u32; count];
    let mut strengths = graph.strengths.clone();
    let mut of_communities = vec![0.0; count];
    // What ties each part to the rest of its community.
    let mut outward = vec![0.0; count];
    for node in 0..count as u32 {
        let community = communities[node as usize];
        of_communities[community as usize] += graph.strengths[node as usize];
        let within = |neighbor: u32| communities[neighbor as usize] == community;
        let ties = graph.ties.weighed(node).filter(|tie| within(tie.0));
        outward[node as usize] = ties.map(|tie| tie.1).sum();
    }
    let mut links = Links::new(count);
    let mut choices: Vec<(u32, f64)> = Vec::new();
    for node in random.order(count) {
        guard.tick()?;
        let own = node as usize;
        let community = communities[own];
        let whole = of_communities[community as usize];
        let tied_well = |part: usize, strengths: &[f64], outward: &[f64]| {
            let rest = whole - strengths[part];
            outward[part] >= resolution * strengths[part] * rest / graph.total
        };
        if parts[own] != node || sizes[own] > 1 || !tied_well(own, &strengths, &outward) {
            continue;
        }
        links.gather(graph, node, |neighbor| {
            let neighbor = neighbor as usize;
            (communities[neighbor] == community).then(|| parts[neighbor])
        });
        choices.clear();
        for part in links.groups() {
            let by_chance = resolution * strengths[own] * strengths[*part as usize] / graph.total;
            let gain = links.to(*part) - by_chance;
            if gain > 0.0 && tied_well(*part as usize, &strengths, &outward) {
                choices.push((*part, gain));
            }
        }
        let Some(part) = chosen(&mut choices, random) else { continue };
        let to = part as usize;
        parts[own] = part;
        (sizes[own], sizes[to]) = (0, sizes[to] + 1);
        outward[to] += outward[own] - 2.0 * links.to(part);
        strengths[to] += strengths[own];
        strengths[own] = 0.0;
    }
    Ok(counted(&parts))
}

/// One of the choices: the more it gains, the more likely.
fn chosen(choices: &mut [(u32, f64)], random: &mut Random) -> Option<u32> {
    let most = choices.iter().map(|choice| choice.1).fold(0.0, f64::max);
    for (_, gain) in choices.iter_mut() {
        *gain = ((*gain / most - 1.0) / RANDOMNESS).exp();
    }
    let sum: f64 = choices.iter().map(|choice| choice.1).sum();
    let mut left = random.unit() * sum;
    for (part, share) in choices.iter() {
        left -= share;
        if left <= 0.0 {
            return Some(*part);
        }
    }
    // What is left over is the error of the sums.
    choices.last().map(|choice| choice.0)
}
