//! Every algorithm against a simple one, on random graphs with loops and parallel arcs.

use proptest::prelude::*;

use super::*;
use crate::converged::Reach;
use crate::guard::Guard;

type Arcs = Vec<(u32, u32, f64)>;

fn graphs() -> impl Strategy<Value = (usize, Arcs)> {
    (1_usize..24).prop_flat_map(|nodes| {
        let end = 0..nodes as u32;
        let arc = (end.clone(), end, 0_u8..8).prop_map(|(a, b, weight)| (a, b, f64::from(weight)));
        (Just(nodes), prop::collection::vec(arc, 0..70))
    })
}

/// What arcs weigh together, from row to column.
fn matrix(nodes: usize, arcs: &Arcs) -> Vec<Vec<f64>> {
    let mut matrix = vec![vec![0.0; nodes]; nodes];
    for (from, to, weight) in arcs {
        matrix[*from as usize][*to as usize] += weight;
    }
    matrix
}

/// Whether there is an arc either way between different nodes.
fn neighbors(nodes: usize, arcs: &Arcs) -> Vec<Vec<bool>> {
    let mut found = vec![vec![false; nodes]; nodes];
    for (from, to, _) in arcs.iter().filter(|arc| arc.0 != arc.1) {
        found[*from as usize][*to as usize] = true;
        found[*to as usize][*from as usize] = true;
    }
    found
}

fn rows(graph: &Csr) -> Arcs {
    let of = |node| graph.weighed(node).map(move |(target, weight)| (node, target, weight));
    (0..graph.nodes() as u32).flat_map(of).collect()
}

fn sorted(mut arcs: Arcs) -> Arcs {
    arcs.sort_by(|one, other| one.partial_cmp(other).expect("no weight is NaN"));
    arcs
}

fn hang_together(graph: &Csr, groups: &[u32]) -> bool {
    let arcs: Arcs = rows(graph)
        .into_iter()
        .filter(|arc| arc.2 > 0.0 && groups[arc.0 as usize] == groups[arc.1 as usize])
        .collect();
    let within = Csr::of_arcs(graph.nodes(), &arcs);
    components(&within, &Guard::none()).expect("nothing ends it") == groups
}

proptest! {
    #[test]
    fn rows_hold_every_arc((nodes, arcs) in graphs()) {
        let graph = Csr::of_arcs(nodes, &arcs);
        prop_assert_eq!(graph.nodes(), nodes);
        prop_assert_eq!(sorted(rows(&graph)), sorted(arcs.clone()));
        let turned = arcs.iter().map(|(from, to, weight)| (*to, *from, *weight)).collect();
        prop_assert_eq!(sorted(rows(&graph.reversed())), sorted(turned));
        let sums = matrix(nodes, &arcs);
        for (from, to, weight) in rows(&graph.unique()) {
            prop_assert!(from != to);
            prop_assert_eq!(sums[from as usize][to as usize], weight);
        }
        let pairs = neighbors(nodes, &arcs).concat().iter().filter(|found| **found).count();
        let undirected = graph.undirected();
        prop_assert_eq!(&undirected, &graph.both().unique());
        prop_assert_eq!(undirected.arcs(), pairs);
    }

    #[test]
    fn ranks_stand_still((nodes, arcs) in graphs(), seed in 0_u32..24, damping in 0.0..0.95) {
        let graph = Csr::of_arcs(nodes, &arcs);
        let how = PageRank { damping, max_iterations: 2000, tolerance: 1e-13 };
        let mut starts = vec![1.0 / nodes as f64; nodes];
        let mut given = None;
        if (seed as usize) < nodes {
            starts = vec![0.0; nodes];
            starts[seed as usize] = 1.0;
            given = Some(starts.iter().map(|weight| weight * 7.0).collect::<Vec<f64>>());
        }
        let ranks = pagerank(&graph, given.as_deref(), how, &Guard::none()).unwrap().values;
        prop_assert!((ranks.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let sums = matrix(nodes, &arcs);
        for to in 0..nodes {
            let mut rank = (1.0 - damping) * starts[to];
            for from in 0..nodes {
                let all: f64 = sums[from].iter().sum();
                let share = if all > 0.0 { sums[from][to] / all } else { starts[to] };
                rank += damping * ranks[from] * share;
            }
            prop_assert!((rank - ranks[to]).abs() < 1e-9);
        }
    }

    #[test]
    fn distances_are_the_least((nodes, arcs) in graphs()) {
        let graph = Csr::of_arcs(nodes, &arcs);
        // Bellman and Ford.
        let least = |length: &dyn Fn(f64) -> f64| {
            let mut found = vec![f64::INFINITY; nodes];
            found[0] = 0.0;
            for _ in 0..nodes {
                for (from, to, weight) in &arcs {
                    let there = found[*from as usize] + length(*weight);
                    found[*to as usize] = found[*to as usize].min(there);
                }
            }
            found
        };
        prop_assert_eq!(hops(&graph, 0, &Guard::none()).unwrap(), least(&|_| 1.0));
        prop_assert_eq!(costs(&graph, 0, &Guard::none()).unwrap(), least(&|weight| weight));
    }

    #[test]
    fn components_are_what_arcs_join((nodes, arcs) in graphs()) {
        let graph = Csr::of_arcs(nodes, &arcs);
        let found = components(&graph, &Guard::none()).unwrap();
        let both = graph.facing(Reach::Any);
        for start in 0..nodes as u32 {
            let reached = hops(&both, start, &Guard::none()).unwrap();
            for (node, distance) in reached.iter().enumerate() {
                prop_assert_eq!(found[node] == found[start as usize], distance.is_finite());
            }
        }
    }

    #[test]
    fn triangles_are_counted((nodes, arcs) in graphs()) {
        let graph = Csr::of_arcs(nodes, &arcs);
        let near = neighbors(nodes, &arcs);
        let found = triangles(&graph, &Guard::none()).unwrap();
        let open = clustering(&graph, false, &Guard::none()).unwrap();
        let directed = clustering(&graph, true, &Guard::none()).unwrap();
        for node in 0..nodes {
            let around: Vec<usize> = (0..nodes).filter(|other| near[node][*other]).collect();
            let pairs = (around.len() * around.len().saturating_sub(1)) as f64;
            let among = |from: &usize, to: &usize| {
                arcs.iter().any(|arc| (arc.0 as usize, arc.1 as usize) == (*from, *to))
            };
            let (mut met, mut led) = (0, 0);
            for from in &around {
                for to in around.iter().filter(|to| *to != from) {
                    met += usize::from(near[*from][*to]);
                    led += usize::from(among(from, to));
                }
            }
            prop_assert_eq!(found[node] as usize, met / 2);
            let share = |links: usize| if pairs > 0.0 { links as f64 / pairs } else { 0.0 };
            prop_assert!((open[node] - share(met)).abs() < 1e-12);
            prop_assert!((directed[node] - share(led)).abs() < 1e-12);
        }
    }

    #[test]
    fn cores_are_what_peeling_leaves((nodes, arcs) in graphs()) {
        let near = neighbors(nodes, &arcs);
        let found = cores(&Csr::of_arcs(nodes, &arcs), &Guard::none()).unwrap();
        for k in 0..nodes as u32 {
            let mut left = vec![true; nodes];
            let degree = |left: &[bool], node: usize| {
                (0..nodes).filter(|other| left[*other] && near[node][*other]).count() as u32
            };
            while let Some(node) = (0..nodes).find(|node| left[*node] && degree(&left, *node) < k) {
                left[node] = false;
            }
            for node in 0..nodes {
                prop_assert_eq!(left[node], found[node] >= k);
            }
        }
    }

    #[test]
    fn communities_hang_together((nodes, arcs) in graphs(), seed: u64, resolution in 0.2..3.0) {
        let graph = Csr::of_arcs(nodes, &arcs);
        let how = Leiden { resolution, seed, max_iterations: 10 };
        let found = leiden(&graph, how, &Guard::none()).unwrap();
        prop_assert!(hang_together(&graph, &found.communities));
        prop_assert_eq!(&found, &leiden(&graph, how, &Guard::none()).unwrap());
        // By the definition.
        let both = matrix(nodes, &rows(&graph.both()));
        let loops = matrix(nodes, &arcs);
        let at = |from: usize, to: usize| if from == to { 2.0 * loops[from][to] } else { both[from][to] };
        let strength = |node: usize| (0..nodes).map(|other| at(node, other)).sum::<f64>();
        let total = (0..nodes).map(strength).sum::<f64>();
        if total > 0.0 {
            let mut modularity = 0.0;
            for from in 0..nodes {
                for to in (0..nodes).filter(|to| found.communities[from] == found.communities[*to]) {
                    let by_chance = resolution * strength(from) * strength(to) / total;
                    modularity += (at(from, to) - by_chance) / total;
                }
            }
            prop_assert!((modularity - found.modularity).abs() < 1e-9);
        }
    }

    #[test]
    fn labels_spread_in_steps((nodes, arcs) in graphs(), steps in 0_u32..6) {
        let found = propagate(&Csr::of_arcs(nodes, &arcs), steps, &Guard::none()).unwrap();
        let mut labels: Vec<usize> = (0..nodes).collect();
        for _ in 0..steps {
            let vote = |node: usize| {
                let mut votes = vec![0; nodes];
                for (from, to, _) in arcs.iter().filter(|arc| arc.0 != arc.1) {
                    if *from as usize == node { votes[labels[*to as usize]] += 1; }
                    if *to as usize == node { votes[labels[*from as usize]] += 1; }
                }
                let most = *votes.iter().max().unwrap();
                if most == 0 { labels[node] } else { votes.iter().position(|n| *n == most).unwrap() }
            };
            labels = (0..nodes).map(vote).collect();
        }
        for one in 0..nodes {
            for other in 0..nodes {
                prop_assert_eq!(found[one] == found[other], labels[one] == labels[other]);
            }
        }
    }
}

/// Cliques of five in a ring, each joined to the next by one arc.
#[test]
fn cliques_in_a_ring_are_communities() {
    let (mut arcs, cliques) = (Arcs::new(), 30_u32);
    for clique in 0..cliques {
        let first = 5 * clique;
        for one in 0..5 {
            arcs.extend((0..one).map(|other| (first + one, first + other, 1.0)));
        }
        arcs.push((first, 5 * ((clique + 1) % cliques), 1.0));
    }
    let graph = Csr::of_arcs(5 * cliques as usize, &arcs);
    for seed in 0..5 {
        let how = Leiden { resolution: 1.0, seed, max_iterations: 10 };
        let found = leiden(&graph, how, &Guard::none()).unwrap().communities;
        for clique in found.chunks(5) {
            assert!(clique.iter().all(|community| *community == clique[0]));
        }
    }
}

#[test]
fn a_graph_without_nodes_or_arcs_has_answers() {
    for nodes in [0, 1, 3] {
        let (graph, guard) = (Csr::of_arcs(nodes, &[]), Guard::none());
        let how = PageRank { damping: 0.85, max_iterations: 100, tolerance: 1e-6 };
        assert_eq!(pagerank(&graph, None, how, &guard).unwrap().values.len(), nodes);
        let alone: Vec<u32> = (0..nodes as u32).collect();
        let how = Leiden { resolution: 1.0, seed: 0, max_iterations: 10 };
        assert_eq!(leiden(&graph, how, &guard).unwrap().communities, alone);
        assert_eq!(components(&graph, &guard).unwrap(), alone);
        assert_eq!(propagate(&graph, 10, &guard).unwrap(), alone);
        assert_eq!(cores(&graph, &guard).unwrap(), vec![0; nodes]);
        assert_eq!(triangles(&graph, &guard).unwrap(), vec![0; nodes]);
    }
}

#[test]
fn every_algorithm_ends_when_it_is_asked_to() {
    let arcs: Arcs = (0..999).map(|node| (node, node + 1, 1.0)).collect();
    let graph = Csr::of_arcs(1000, &arcs);
    let ended = || Err(embedded_db_common::Error::Interrupted);
    let guard = || Guard::new(None, &ended);
    let how = PageRank { damping: 0.85, max_iterations: 100, tolerance: 1e-6 };
    assert!(pagerank(&graph, None, how, &guard()).is_err());
    assert!(
        leiden(&graph, Leiden { resolution: 1.0, seed: 0, max_iterations: 1 }, &guard()).is_err()
    );
    assert!(components(&graph, &guard()).is_err());
    assert!(propagate(&graph, 10, &guard()).is_err());
    assert!(cores(&graph, &guard()).is_err());
    assert!(triangles(&graph, &guard()).is_err());
    assert!(clustering(&graph, true, &guard()).is_err());
    assert!(hops(&graph, 0, &guard()).is_err());
    assert!(costs(&graph, 0, &guard()).is_err());
    assert!(graph.degrees(Reach::Any, &guard()).is_err());
}

#[test]
fn an_id_leads_to_its_number() {
    let mut ids = Ids::default();
    assert!(ids.is_empty() && ids.get(0).is_none() && ids.number("").is_none());
    for id in ["b", "", "ä", "a"] {
        ids.push(id);
    }
    let numbers: Vec<_> = ["b", "", "ä", "a", "c"].iter().map(|id| ids.number(id)).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(3), None]);
    assert_eq!(
        (0..5).map(|at| ids.get(at)).collect::<Vec<_>>(),
        [Some("b"), Some(""), Some("ä"), Some("a"), None]
    );
}
