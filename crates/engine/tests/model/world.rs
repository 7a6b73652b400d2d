//! The model: one namespace in plain collections.

use std::collections::BTreeMap;

use embedded_db_common::Value;

use crate::Values;
use crate::common::text;
use crate::steps::Op;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelNode {
    /// Tells it from one that had its id before.
    pub(crate) birth: u64,
    pub(crate) label: &'static str,
    pub(crate) values: Values,
    pub(crate) version: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelEdge {
    pub(crate) birth: u64,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) edge_type: &'static str,
    pub(crate) weight: f64,
    pub(crate) values: Values,
    pub(crate) version: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelVector {
    pub(crate) node: String,
    pub(crate) space: &'static str,
    pub(crate) values: Vec<f32>,
}

/// One namespace.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct World {
    pub(crate) births: u64,
    pub(crate) nodes: BTreeMap<String, ModelNode>,
    pub(crate) edges: BTreeMap<String, ModelEdge>,
    /// Those of users.
    pub(crate) vectors: BTreeMap<String, ModelVector>,
    pub(crate) chats: BTreeMap<String, Vec<String>>,
}

pub(crate) type Outcome = Result<(), &'static str>;

impl World {
    fn born(&mut self) -> u64 {
        self.births += 1;
        self.births
    }

    pub(crate) fn add_node(&mut self, id: &str, label: &'static str, values: Values) -> Outcome {
        if self.nodes.contains_key(id) {
            return Err("AlreadyExists");
        }
        let birth = self.born();
        self.nodes.insert(id.to_owned(), ModelNode { birth, label, values, version: 1 });
        Ok(())
    }

    fn remove_node(&mut self, id: &str) {
        self.nodes.remove(id);
        self.edges.retain(|_, edge| edge.source != id && edge.target != id);
        self.vectors.retain(|_, vector| vector.node != id);
        self.chats.values_mut().for_each(|messages| messages.retain(|message| message != id));
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Outcome {
        match op {
            Op::CreateNode(id, values) => self.add_node(id, "Thing", values.clone()),
            Op::UpdateNode(id, set, remove) => {
                let node = self.nodes.get_mut(id).ok_or("NotFound")?;
                merge(&mut node.values, set, remove);
                node.version += 1;
                Ok(())
            }
            Op::DeleteNode(id) => {
                if !self.nodes.contains_key(id) {
                    return Err("NotFound");
                }
                for message in self.chats.remove(id).unwrap_or_default() {
                    self.remove_node(&message);
                }
                self.remove_node(id);
                Ok(())
            }
            Op::CreateEdge { id, source, target, edge_type, weight } => {
                if !self.nodes.contains_key(source) || !self.nodes.contains_key(target) {
                    return Err("NotFound");
                }
                if self.edges.contains_key(id) {
                    return Err("AlreadyExists");
                }
                let edge = ModelEdge {
                    birth: self.born(),
                    source: source.clone(),
                    target: target.clone(),
                    edge_type,
                    weight: f64::from(*weight),
                    values: Vec::new(),
                    version: 1,
                };
                self.edges.insert(id.clone(), edge);
                Ok(())
            }
            Op::UpdateEdge { id, weight, set } => {
                let edge = self.edges.get_mut(id).ok_or("NotFound")?;
                edge.weight = f64::from(*weight);
                merge(&mut edge.values, set, &[]);
                edge.version += 1;
                Ok(())
            }
            Op::DeleteEdge(id) => self.edges.remove(id).map(drop).ok_or("NotFound"),
        }
    }

    pub(crate) fn say(&mut self, chat: &str, messages: &[(String, String)]) -> Outcome {
        if !self.nodes.contains_key(chat) {
            self.add_node(chat, "Chat", Vec::new())?;
            self.chats.insert(chat.to_owned(), Vec::new());
        }
        for (id, content) in messages {
            let values = vec![
                ("chat_id".to_owned(), text(chat)),
                ("content".to_owned(), text(content)),
                ("timestamp".to_owned(), Value::Null),
            ];
            self.add_node(id, "Message", values)?;
            self.chats.get_mut(chat).unwrap().push(id.clone());
        }
        Ok(())
    }

    pub(crate) fn add_vector(&mut self, id: &str, vector: ModelVector) -> Outcome {
        if !self.nodes.contains_key(&vector.node) {
            return Err("NotFound");
        }
        if self.vectors.contains_key(id) {
            return Err("AlreadyExists");
        }
        self.vectors.retain(|_, old| (&old.node, old.space) != (&vector.node, vector.space));
        self.vectors.insert(id.to_owned(), vector);
        Ok(())
    }

    /// Contents of the messages that have one, in the order in which the messages were made.
    pub(crate) fn texts(&self) -> Vec<(&str, &str)> {
        let mut found: Vec<(u64, &str, &str)> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.label == "Message")
            .filter_map(|(id, node)| {
                let (_, content) = node.values.iter().find(|(name, _)| name == "content")?;
                let Value::Str(content) = content else { return None };
                (!content.trim().is_empty()).then_some((node.birth, id.as_str(), content.as_str()))
            })
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id, content)| (id, content)).collect()
    }

    /// What an object is now: it changes with each change, and comes never again.
    pub(crate) fn stamp(&self, object: &Seen) -> Option<(u64, u64)> {
        match object {
            Seen::Node(id) => self.nodes.get(id).map(|node| (node.birth, node.version)),
            Seen::Edge(id) => self.edges.get(id).map(|edge| (edge.birth, edge.version)),
        }
    }
}

fn merge(values: &mut Values, set: &Values, remove: &[String]) {
    values.retain(|(name, _)| !remove.contains(name));
    for (name, value) in set {
        match values.iter_mut().find(|(known, _)| known == name) {
            Some((_, place)) => *place = value.clone(),
            None => values.push((name.clone(), value.clone())),
        }
    }
}

/// An object that a transaction has read or written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    Node(String),
    Edge(String),
}
