//! The model: what a database should hold, in plain collections.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use embedded_db_engine::common::Value;

use crate::operation::{Change, Operation};

pub(crate) type Values = BTreeMap<String, Value>;

/// The label of nodes that are neither chats nor messages.
pub(crate) const THING: &str = "Thing";
/// The namespace that is always there.
pub(crate) const DEFAULT: &str = "default";
/// The property of which an index may be unique.
pub(crate) const UNIQUE: &str = "u";
/// The property whose text may be declared.
pub(crate) const NOTE: &str = "note";
/// The space of vectors that users give.
pub(crate) const SPACE: &str = "mine";
/// Hours after which some nodes expire.
const LIFETIME: i64 = 1;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) label: &'static str,
    pub(crate) values: Values,
    version: u64,
    /// The hour at which it is gone.
    expires: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edge {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) kind: &'static str,
    weight: i64,
    version: u64,
    pub(crate) retracted: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vector {
    pub(crate) node: String,
    pub(crate) values: Vec<f32>,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: BTreeMap<String, Arc<Node>>,
    pub(crate) edges: BTreeMap<String, Edge>,
    pub(crate) vectors: BTreeMap<String, Vector>,
    pub(crate) chats: BTreeMap<String, Vec<String>>,
    /// Property, and whether no two things have the same value of it.
    pub(crate) indexes: BTreeMap<String, bool>,
    pub(crate) declared: bool,
}

/// A whole database.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct World {
    /// Shared with the worlds from which it came, as far as nothing has changed.
    pub(crate) graphs: BTreeMap<String, Arc<Graph>>,
    /// The namespace in which things are done.
    pub(crate) here: String,
    /// How far the clock was set forward.
    pub(crate) hours: i64,
    /// Whether a vector was ever stored.
    pub(crate) has_space: bool,
    /// The backups, each with what it holds.
    pub(crate) backups: BTreeMap<String, Arc<World>>,
    /// The databases that were made of backups.
    pub(crate) restored: BTreeMap<String, Arc<World>>,
}

/// The name of an error, where something is refused.
pub(crate) type Outcome = Result<(), &'static str>;

const MISSING: &str = "NotFound";
const TAKEN: &str = "AlreadyExists";

impl Default for World {
    fn default() -> Self {
        Self {
            graphs: BTreeMap::from([(DEFAULT.to_owned(), Arc::default())]),
            here: DEFAULT.to_owned(),
            hours: 0,
            has_space: false,
            backups: BTreeMap::new(),
            restored: BTreeMap::new(),
        }
    }
}

impl World {
    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.graphs[&self.here]
    }

    pub(crate) fn graph_mut(&mut self) -> &mut Graph {
        let graph = self.graphs.get_mut(&self.here);
        Arc::make_mut(graph.expect("what is done is done in a namespace that is there"))
    }

    /// Does something, or nothing where it is refused.
    pub(crate) fn change(&mut self, change: &Change) -> Outcome {
        let before = self.clone();
        let outcome = self.change_partly(change);
        if outcome.is_err() {
            *self = before;
        }
        outcome
    }

    fn change_partly(&mut self, change: &Change) -> Outcome {
        self.has_space |= matches!(change, Change::CreateVector { .. });
        let hours = self.hours;
        self.graph_mut().change(change, hours)
    }

    /// Does something, or nothing where it is refused.
    pub(crate) fn operate(&mut self, number: u32, operation: &Operation) -> Outcome {
        let before = self.clone();
        let outcome = self.operate_partly(number, operation);
        if outcome.is_err() {
            *self = before;
        }
        outcome
    }

    fn operate_partly(&mut self, number: u32, operation: &Operation) -> Outcome {
        match operation {
            Operation::Do(change) => self.change_partly(change),
            Operation::CreateNodes(changes) => {
                changes.iter().try_for_each(|change| self.change_partly(change))
            }
            Operation::UpdateMatching { p, q } => {
                let set = Values::from([("q".to_owned(), Value::Str(q.clone()))]);
                self.matching(*p).into_iter().try_for_each(|id| {
                    let (set, remove) = (set.clone(), Vec::new());
                    self.change_partly(&Change::UpdateNode { id, set, remove })
                })
            }
            Operation::DeleteMatching { p } => self
                .matching(*p)
                .into_iter()
                .try_for_each(|id| self.change_partly(&Change::DeleteNode { id })),
            Operation::Transaction { changes, commit: true } => {
                // What is refused in a transaction is not done, and the rest goes on.
                for change in changes {
                    let _refused = self.change(change);
                }
                Ok(())
            }
            Operation::Together(changes) => {
                for change in changes {
                    let _refused = self.change(change);
                }
                Ok(())
            }
            Operation::Use(name) => {
                self.graphs.entry((*name).to_owned()).or_default();
                self.here = (*name).to_owned();
                Ok(())
            }
            Operation::DropNamespace(name) => {
                self.graphs.remove(*name).ok_or(MISSING)?;
                if self.here == *name {
                    self.here = DEFAULT.to_owned();
                }
                Ok(())
            }
            Operation::CreateIndex { property } => {
                let unique = *property == UNIQUE;
                let graph = self.graph_mut();
                if unique && graph.has_duplicates() {
                    return Err(TAKEN);
                }
                graph.indexes.insert((*property).to_owned(), unique);
                Ok(())
            }
            Operation::DropIndex { property } => {
                self.graph_mut().indexes.remove(*property).map(drop).ok_or(MISSING)
            }
            Operation::Declare => {
                self.graph_mut().declared = true;
                Ok(())
            }
            Operation::Wait => {
                self.wait(2 * LIFETIME);
                Ok(())
            }
            Operation::Backup => {
                let (backups, restored) = Default::default();
                let copy = Self { backups, restored, ..self.clone() };
                self.backups.insert(format!("backup-{number}"), Arc::new(copy));
                Ok(())
            }
            Operation::Restore => {
                if let Some((_, copy)) = self.backups.last_key_value() {
                    self.restored.insert(format!("restored-{number}"), Arc::clone(copy));
                }
                Ok(())
            }
            Operation::Transaction { commit: false, .. }
            | Operation::Drain
            | Operation::Rest { .. }
            | Operation::Ask { .. }
            | Operation::Hold
            | Operation::LetGo
            | Operation::Read(_)
            | Operation::Verify
            | Operation::Copies
            | Operation::Compact
            | Operation::Scrub
            | Operation::Reopen => Ok(()),
        }
    }

    /// What there may be when the operation was not told to be done: before it or after it.
    pub(crate) fn outcomes(&self, number: u32, operation: &Operation) -> Vec<Self> {
        let mut out = vec![self.clone()];
        match operation {
            // Time has passed, whatever else.
            Operation::Wait => drop(out[0].operate(number, operation)),
            Operation::Together(changes) => {
                for change in changes {
                    let mut with = out.clone();
                    with.retain_mut(|world| world.change(change).is_ok());
                    out.extend(with);
                }
            }
            _ => {
                let mut after = self.clone();
                if after.operate(number, operation).is_ok() && after != *self {
                    out.push(after);
                }
            }
        }
        out
    }

    /// Things with this value of `p`.
    pub(crate) fn matching(&self, p: i64) -> Vec<String> {
        let nodes = self.graph().nodes.iter();
        let has = |node: &Node| node.label == THING && node.values.get("p") == Some(&Value::Int(p));
        nodes.filter(|(_, node)| has(node)).map(|(id, _)| id.clone()).collect()
    }

    /// Time passes.
    fn wait(&mut self, hours: i64) {
        self.hours += hours;
        for graph in self.graphs.values_mut() {
            let gone = |node: &Node| node.expires.is_some_and(|at| at <= self.hours);
            let gone: Vec<String> = graph
                .nodes
                .iter()
                .filter(|(_, node)| gone(node))
                .map(|(id, _)| id.clone())
                .collect();
            if !gone.is_empty() {
                let graph = Arc::make_mut(graph);
                gone.iter().for_each(|id| graph.remove_node(id));
            }
        }
    }

    /// All that can be seen of it when the clock was set forward so far.
    pub(crate) fn told_at(&self, hours: i64) -> String {
        let mut later = self.clone();
        later.wait(hours - self.hours);
        later.told()
    }

    /// All that can be seen of it, line by line.
    pub(crate) fn told(&self) -> String {
        let mut out = String::new();
        for (name, graph) in &self.graphs {
            graph.tell(name, &mut out);
        }
        if self.has_space {
            tell_space(&mut out);
        }
        out
    }
}

impl Node {
    fn tell(&self, id: &str, out: &mut String) {
        tell_node(out, id, self.label, self.version, &self.values, self.expires.is_some());
    }

    /// What it says, as one that is stored tells it.
    pub(crate) fn told(&self, id: &str) -> String {
        let mut out = String::new();
        self.tell(id, &mut out);
        out
    }
}

impl Graph {
    fn change(&mut self, change: &Change, hours: i64) -> Outcome {
        match change {
            Change::CreateNode { id, values, expires } => {
                let at = expires.then_some(hours + LIFETIME);
                self.add_node(id, THING, values.clone(), at)?;
                self.check_unique()
            }
            Change::UpdateNode { id, set, remove } => {
                let node = Arc::make_mut(self.nodes.get_mut(id).ok_or(MISSING)?);
                node.values.retain(|name, _| !remove.contains(name));
                node.values.extend(set.clone());
                node.version += 1;
                self.check_unique()
            }
            Change::DeleteNode { id } => {
                if !self.nodes.contains_key(id) {
                    return Err(MISSING);
                }
                for message in self.chats.remove(id).unwrap_or_default() {
                    self.remove_node(&message);
                }
                self.remove_node(id);
                Ok(())
            }
            Change::CreateEdge { id, source, target, kind, weight } => {
                if !self.nodes.contains_key(source) || !self.nodes.contains_key(target) {
                    return Err(MISSING);
                }
                if self.edges.contains_key(id) {
                    return Err(TAKEN);
                }
                let (source, target) = (source.clone(), target.clone());
                let (weight, version, retracted) = (*weight, 1, false);
                let edge = Edge { source, target, kind, weight, version, retracted };
                self.edges.insert(id.clone(), edge);
                Ok(())
            }
            Change::UpdateEdge { id, weight } => {
                let edge = self.edges.get_mut(id).filter(|edge| !edge.retracted).ok_or(MISSING)?;
                (edge.weight, edge.version) = (*weight, edge.version + 1);
                Ok(())
            }
            Change::RetractEdge { id } => {
                let edge = self.edges.get_mut(id).filter(|edge| !edge.retracted).ok_or(MISSING)?;
                edge.retracted = true;
                Ok(())
            }
            Change::DeleteEdge { id } => self.edges.remove(id).map(drop).ok_or(MISSING),
            Change::Say { chat, messages } => self.say(chat, messages),
            Change::CreateVector { id, node, values } => {
                if !self.nodes.contains_key(node) {
                    return Err(MISSING);
                }
                if self.vectors.contains_key(id) {
                    return Err(TAKEN);
                }
                self.vectors.retain(|_, other| other.node != *node);
                let vector = Vector { node: node.clone(), values: values.clone() };
                self.vectors.insert(id.clone(), vector);
                Ok(())
            }
            Change::UpdateVector { id, values } => {
                self.vectors.get_mut(id).ok_or(MISSING)?.values.clone_from(values);
                Ok(())
            }
            Change::DeleteVector { id } => self.vectors.remove(id).map(drop).ok_or(MISSING),
        }
    }

    fn add_node(
        &mut self,
        id: &str,
        label: &'static str,
        values: Values,
        expires: Option<i64>,
    ) -> Outcome {
        if self.nodes.contains_key(id) {
            return Err(TAKEN);
        }
        let node = Node { label, values, version: 1, expires };
        self.nodes.insert(id.to_owned(), Arc::new(node));
        Ok(())
    }

    fn say(&mut self, chat: &str, messages: &[(String, String)]) -> Outcome {
        if !self.nodes.contains_key(chat) {
            self.add_node(chat, "Chat", Values::new(), None)?;
            self.chats.insert(chat.to_owned(), Vec::new());
        }
        for (id, content) in messages {
            let values = [("chat_id", chat), ("content", content)];
            let values = values.map(|(name, text)| (name.to_owned(), Value::Str(text.to_owned())));
            self.add_node(id, "Message", values.into(), None)?;
            self.chats.get_mut(chat).expect("it is a chat").push(id.clone());
        }
        Ok(())
    }

    fn remove_node(&mut self, id: &str) {
        self.nodes.remove(id);
        self.edges.retain(|_, edge| edge.source != id && edge.target != id);
        self.vectors.retain(|_, vector| vector.node != id);
        self.chats.values_mut().for_each(|messages| messages.retain(|message| message != id));
    }

    fn check_unique(&self) -> Outcome {
        let unique = self.indexes.get(UNIQUE).copied().unwrap_or(false);
        if unique && self.has_duplicates() { Err(TAKEN) } else { Ok(()) }
    }

    /// Whether two things have the same value of the property that may be unique.
    pub(crate) fn has_duplicates(&self) -> bool {
        let things = self.nodes.values().filter(|node| node.label == THING);
        let mut values: Vec<_> = things.filter_map(|node| node.values.get(UNIQUE)).collect();
        values.sort_by(|one, two| one.compare(two));
        values.windows(2).any(|pair| pair[0] == pair[1])
    }

    pub(crate) fn tell(&self, name: &str, out: &mut String) {
        let _begun = writeln!(out, "namespace {name}");
        for (id, node) in &self.nodes {
            node.tell(id, out);
        }
        for (id, edge) in &self.edges {
            let Edge { source, target, kind, weight, version, retracted } = edge;
            tell_edge(out, id, [source, kind, target], *weight as f64, *version, *retracted);
        }
        for (id, vector) in &self.vectors {
            tell_vector(out, id, &vector.node, &vector.values);
        }
        for (id, messages) in &self.chats {
            tell_chat(out, id, messages);
        }
        for (property, unique) in &self.indexes {
            tell_index(out, property, *unique);
        }
        if self.declared {
            tell_declared(out);
        }
    }
}

pub(crate) fn tell_node(
    out: &mut String,
    id: &str,
    label: &str,
    version: u64,
    values: &Values,
    expires: bool,
) {
    let _told = write!(out, "  {id} {label} v{version}{}", if expires { " expires" } else { "" });
    for (name, value) in values {
        let _told = match value {
            Value::Bytes(bytes) => write!(out, " {name}={}×{:?}", bytes.len(), bytes.first()),
            value => write!(out, " {name}={value:?}"),
        };
    }
    out.push('\n');
}

pub(crate) fn tell_edge(
    out: &mut String,
    id: &str,
    [source, kind, target]: [&str; 3],
    weight: f64,
    version: u64,
    retracted: bool,
) {
    let retracted = if retracted { " retracted" } else { "" };
    let _told = writeln!(out, "  {id} {source} {kind} {target} {weight} v{version}{retracted}");
}

pub(crate) fn tell_vector(out: &mut String, id: &str, node: &str, values: &[f32]) {
    let _told = writeln!(out, "  {id} of {node} {values:?}");
}

pub(crate) fn tell_chat(out: &mut String, id: &str, messages: &[String]) {
    let _told = writeln!(out, "  {id}: {}", messages.join(" "));
}

pub(crate) fn tell_index(out: &mut String, property: &str, unique: bool) {
    let _told = writeln!(out, "  index {property}{}", if unique { " unique" } else { "" });
}

pub(crate) fn tell_space(out: &mut String) {
    out.push_str("space of vectors\n");
}

pub(crate) fn tell_declared(out: &mut String) {
    out.push_str("  declared\n");
}
