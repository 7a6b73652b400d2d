//! Which topics there are. Entities, and messages by what they mention, are the nodes of a graph; a mention
//! weighs ln(1 + N / n), with N messages that mention anything and n that mention this entity, so that what is
//! in everybody's mouth ties less. What is tied at all is a topic of the widest; the communities of a topic,
//! where they are clear enough, are its parts.

use std::collections::BTreeMap;

use embedded_db_common::{Result, Slot};

use super::Communities;
use super::graph::Graph;

/// Fewer messages make no topic.
const LEAST_MESSAGES: usize = 3;
/// A topic has parts if so much more of its weight lies within them than by chance.
const LEAST_MODULARITY: f64 = 0.3;
/// Topics within topics.
const MOST_LEVELS: i64 = 4;
/// Names that tell what a topic is about.
const TERMS: usize = 5;

/// A topic that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Topic {
    /// Names of entities: those with the most n(topic) · ln(1 + N / n), where n(topic) messages of the topic
    /// mention them.
    pub(super) terms: Vec<String>,
    /// 1 of the widest.
    pub(super) level: i64,
    /// Which of the topics before it are directly part of it.
    pub(super) parts: Vec<usize>,
    /// Entities in it and in none of its parts.
    pub(super) entities: Vec<Slot>,
    /// Likewise the messages.
    pub(super) messages: Vec<Slot>,
}

impl Topic {
    /// Messages first, so that the topic has one from its first write on.
    pub(super) fn members(&self) -> impl Iterator<Item = Slot> + '_ {
        self.messages.iter().chain(&self.entities).copied()
    }
}

/// The topics, each behind its parts.
pub(super) fn group(
    graph: &Graph,
    communities: Communities,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<Vec<Topic>> {
    let count = graph.entities.len() + graph.sets.len();
    let mut grouping = Grouping { graph, communities, interrupted, topics: Vec::new() };
    let all: Vec<u32> = (0..count as u32).collect();
    for nodes in grouping.tied(&all) {
        if grouping.messages(&nodes) >= LEAST_MESSAGES {
            grouping.topic(&nodes, 1)?;
        }
    }
    Ok(grouping.topics)
}

/// Nodes are the entities by their numbers, then the sets of messages by theirs.
struct Grouping<'a> {
    graph: &'a Graph,
    communities: Communities,
    interrupted: &'a dyn Fn() -> Result<()>,
    topics: Vec<Topic>,
}

impl Grouping<'_> {
    /// Nodes that are tied to each other at all, over however many others.
    fn tied(&self, nodes: &[u32]) -> Vec<Vec<u32>> {
        let mut group: Vec<u32> = nodes.to_vec();
        let root = |group: &[u32], mut node: u32| {
            while group[node as usize] != node {
                node = group[node as usize];
            }
            node
        };
        for (set, (entities, _)) in self.sets(nodes) {
            for entity in entities {
                let (one, other) = (root(&group, set), root(&group, *entity));
                let (first, last) = (one.min(other), one.max(other));
                group[last as usize] = first;
                group[set as usize] = first;
                group[*entity as usize] = first;
            }
        }
        let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for node in nodes {
            groups.entry(root(&group, *node)).or_default().push(*node);
        }
        groups.into_values().collect()
    }

    /// Adds the topic of some nodes, after its parts; gives its number.
    fn topic(&mut self, nodes: &[u32], level: i64) -> Result<usize> {
        let (mut parts, mut own) = (Vec::new(), nodes.to_vec());
        if level < MOST_LEVELS && self.messages(nodes) >= 2 * LEAST_MESSAGES {
            let (found, modularity) = self.split(nodes)?;
            let clear = |part: &Vec<u32>| self.messages(part) >= LEAST_MESSAGES;
            let (of_parts, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(clear);
            if of_parts.len() > 1 && modularity >= LEAST_MODULARITY {
                for part in of_parts {
                    parts.push(self.topic(&part, level + 1)?);
                }
                own = rest.concat();
            }
        }
        let first_set = self.graph.entities.len() as u32;
        let (entities, sets): (Vec<u32>, Vec<u32>) =
            own.into_iter().partition(|at| *at < first_set);
        let entities = entities.into_iter().map(|at| self.graph.entities[at as usize].slot);
        let messages = sets.into_iter().flat_map(|at| self.set(at).1.iter().copied());
        let topic = Topic {
            terms: self.terms(nodes),
            level,
            parts,
            entities: entities.collect(),
            messages: messages.collect(),
        };
        self.topics.push(topic);
        Ok(self.topics.len() - 1)
    }

    fn set(&self, node: u32) -> &(Vec<u32>, Vec<Slot>) {
        &self.graph.sets[node as usize - self.graph.entities.len()]
    }

    fn sets<'n>(
        &'n self,
        nodes: &'n [u32],
    ) -> impl Iterator<Item = (u32, &'n (Vec<u32>, Vec<Slot>))> {
        let first_set = self.graph.entities.len() as u32;
        nodes.iter().filter(move |at| **at >= first_set).map(|at| (*at, self.set(*at)))
    }

    fn messages(&self, nodes: &[u32]) -> usize {
        self.sets(nodes).map(|(_, (_, messages))| messages.len()).sum()
    }

    fn telling(&self, entity: u32) -> f64 {
        let count = self.graph.entities[entity as usize].count.max(1);
        (1.0 + self.graph.messages as f64 / count as f64).ln()
    }

    /// The communities among some nodes, which ascend, and how clear they are.
    fn split(&self, nodes: &[u32]) -> Result<(Vec<Vec<u32>>, f64)> {
        (self.interrupted)()?;
        let number = |node: u32| nodes.binary_search(&node).ok().map(|at| at as u32);
        let mut ties = Vec::new();
        for (node, (entities, messages)) in self.sets(nodes) {
            for entity in entities {
                if let (Some(set), Some(entity_number)) = (number(node), number(*entity)) {
                    ties.push((set, entity_number, messages.len() as f64 * self.telling(*entity)));
                }
            }
        }
        if ties.is_empty() {
            return Ok((Vec::new(), 0.0));
        }
        let found = (self.communities)(nodes.len(), &ties, self.interrupted)?;
        let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (node, group) in nodes.iter().zip(&found.of) {
            groups.entry(*group).or_default().push(*node);
        }
        Ok((groups.into_values().collect(), found.modularity))
    }

    /// The names that tell most of what some nodes are about.
    fn terms(&self, nodes: &[u32]) -> Vec<String> {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for (_, (entities, messages)) in self.sets(nodes) {
            for entity in entities.iter().filter(|entity| nodes.binary_search(entity).is_ok()) {
                *counts.entry(*entity).or_default() += messages.len();
            }
        }
        let mut told: Vec<(f64, u32)> = counts
            .into_iter()
            .map(|(entity, count)| (count as f64 * self.telling(entity), entity))
            .collect();
        told.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut terms: Vec<String> = Vec::with_capacity(TERMS);
        for (_, entity) in told {
            let label = &self.graph.entities[entity as usize].label;
            if !terms.contains(label) {
                terms.push(label.clone());
            }
            if terms.len() == TERMS {
                break;
            }
        }
        terms
    }
}
