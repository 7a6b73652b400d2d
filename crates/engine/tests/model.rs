//! The database does what a plain model does, whatever is done to it, in whatever order: objects,
//! chats, transactions and namespaces; closed and opened anew at any point. And what the weaver makes
//! of the messages is a function of the texts that are there, not of the way they came about.
//!
//! The cases are the same in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` give others.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::{MODEL, PATIENCE, draft, fast, go_on, neighbors, properties, text, value};
use embedded_db_common::{Error, Value};
use embedded_db_engine::{
    AddTo, AsOf, Changes, Database, EdgeChanges, EdgeDraft, EmbeddingDraft, NodeDraft, Reach,
    Transaction,
};
use embedded_db_testing::FakeModels;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

const TYPES: [&str; 2] = ["KNOWS", "LIKES"];
const CHATS: [&str; 3] = ["c0", "c1", "c2"];
const NAMESPACES: [&str; 3] = ["default", "one", "two"];
/// The database counts pairs of the first so many entities of a message.
const PAIRED: usize = 16;

type Values = Vec<(String, Value)>;

// ---- what is done

#[derive(Debug, Clone)]
enum Op {
    CreateNode(String, Values),
    UpdateNode(String, Values, Vec<String>),
    DeleteNode(String),
    CreateEdge { id: String, source: String, target: String, edge_type: &'static str, weight: i8 },
    UpdateEdge { id: String, weight: i8, set: Values },
    DeleteEdge(String),
}

#[derive(Debug, Clone)]
enum Step {
    Do(Op),
    /// Several at once, all or none.
    CreateNodes(Vec<(String, Values)>),
    CreateVector {
        id: String,
        node: String,
        own_space: bool,
        seed: u8,
    },
    UpdateVector {
        id: String,
        seed: u8,
    },
    DeleteVector(String),
    /// A user puts a vector in place of the model's, or takes that away.
    OverwriteModelVector {
        message: String,
        seed: u8,
    },
    DeleteModelVector(String),
    Say {
        chat: &'static str,
        messages: Vec<(String, String)>,
    },
    Transaction {
        own: Vec<Op>,
        others: Vec<Op>,
        commit: bool,
    },
    Namespace(&'static str),
    DropNamespace(&'static str),
    Reopen,
    Drain,
    /// Everything is written anew, and some things are done meanwhile.
    Renew {
        scrub: bool,
        beside: Vec<Op>,
    },
}

fn any_values() -> impl Strategy<Value = Values> {
    let any = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        "[a-c]{0,3}".prop_map(Value::Str),
        Just(Value::Null),
        prop::collection::vec(any::<bool>().prop_map(Value::Bool), 0..3).prop_map(Value::List),
    ];
    // Two of the names are indexed.
    prop::collection::btree_map(
        prop::sample::select(vec!["p", "q", "label", "role"]).prop_map(str::to_owned),
        any,
        0..4,
    )
    .prop_map(|values| values.into_iter().collect())
}

fn any_plain_node() -> impl Strategy<Value = String> {
    (0..6u8).prop_map(|n| format!("n{n}"))
}

fn any_message() -> impl Strategy<Value = String> {
    (0..9u8).prop_map(|n| format!("m{n}"))
}

fn any_node() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => any_plain_node(),
        3 => any_message(),
        1 => prop::sample::select(CHATS.to_vec()).prop_map(str::to_owned),
    ]
}

fn any_edge_id() -> impl Strategy<Value = String> {
    (0..8u8).prop_map(|n| format!("e{n}"))
}

fn any_vector_id() -> impl Strategy<Value = String> {
    (0..5u8).prop_map(|n| format!("v{n}"))
}

/// Few words, so that texts repeat and names come again in other spellings; sometimes more names
/// than are paired, sometimes none, sometimes nothing at all.
fn any_content() -> impl Strategy<Value = String> {
    let words = vec!["Alice", "ALICE", "Bob", "Élodie", "met", "in", "alice", "Paris.", "👍", "x"];
    let crowd: Vec<String> = (0..20u8).map(|n| format!("N{}", char::from(b'a' + n))).collect();
    prop_oneof![
        10 => prop::collection::vec(prop::sample::select(words), 1..6).prop_map(|w| w.join(" ")),
        1 => prop::sample::subsequence(crowd, 15..=20).prop_shuffle().prop_map(|w| w.join(" ")),
        1 => Just("  ".to_owned()),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let names = prop::collection::vec("[pqz]", 0..3);
    let content = any_content().prop_map(|content| vec![("content".to_owned(), text(&content))]);
    prop_oneof![
        6 => (any_plain_node(), any_values()).prop_map(|(id, set)| Op::CreateNode(id, set)),
        5 => (any_plain_node(), any_values(), names)
            .prop_map(|(id, set, remove)| Op::UpdateNode(id, set, remove)),
        4 => (any_message(), content).prop_map(|(id, set)| Op::UpdateNode(id, set, Vec::new())),
        3 => prop_oneof![any_plain_node(), any_message()].prop_map(Op::DeleteNode),
        7 => (any_edge_id(), any_node(), any_node(), prop::sample::select(TYPES.to_vec()), 1i8..9)
            .prop_map(|(id, source, target, edge_type, weight)| {
                Op::CreateEdge { id, source, target, edge_type, weight }
            }),
        3 => (any_edge_id(), 1i8..9, any_values())
            .prop_map(|(id, weight, set)| Op::UpdateEdge { id, weight, set }),
        2 => any_edge_id().prop_map(Op::DeleteEdge),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let said = prop::collection::vec((any_message(), any_content()), 1..4);
    let several = prop::collection::vec((any_plain_node(), any_values()), 1..4);
    let ops = || prop::collection::vec(any_op(), 0..6);
    prop_oneof![
        30 => any_op().prop_map(Step::Do),
        2 => several.prop_map(Step::CreateNodes),
        1 => prop::sample::select(CHATS.to_vec())
            .prop_map(|chat| Step::Do(Op::DeleteNode(chat.to_owned()))),
        16 => (prop::sample::select(CHATS.to_vec()), said)
            .prop_map(|(chat, messages)| Step::Say { chat, messages }),
        4 => (any_vector_id(), any_node(), any::<bool>(), 1u8..)
            .prop_map(|(id, node, own_space, seed)| {
                Step::CreateVector { id, node, own_space, seed }
            }),
        1 => (any_vector_id(), 1u8..).prop_map(|(id, seed)| Step::UpdateVector { id, seed }),
        1 => any_vector_id().prop_map(Step::DeleteVector),
        1 => (any_message(), 1u8..)
            .prop_map(|(message, seed)| Step::OverwriteModelVector { message, seed }),
        1 => any_message().prop_map(Step::DeleteModelVector),
        8 => (ops(), prop_oneof![Just(Vec::new()), ops()], any::<bool>())
            .prop_map(|(own, others, commit)| Step::Transaction { own, others, commit }),
        3 => prop::sample::select(NAMESPACES.to_vec()).prop_map(Step::Namespace),
        1 => prop::sample::select(NAMESPACES[1..].to_vec()).prop_map(Step::DropNamespace),
        1 => Just(Step::Reopen),
        4 => Just(Step::Drain),
        2 => (any::<bool>(), ops()).prop_map(|(scrub, beside)| Step::Renew { scrub, beside }),
    ]
}

// ---- the model

#[derive(Debug, Clone, PartialEq)]
struct ModelNode {
    /// Tells it from one that had its id before.
    birth: u64,
    label: &'static str,
    values: Values,
    version: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct ModelEdge {
    birth: u64,
    source: String,
    target: String,
    edge_type: &'static str,
    weight: f64,
    values: Values,
    version: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct ModelVector {
    node: String,
    space: &'static str,
    values: Vec<f32>,
}

/// One namespace.
#[derive(Debug, Clone, Default, PartialEq)]
struct World {
    births: u64,
    nodes: BTreeMap<String, ModelNode>,
    edges: BTreeMap<String, ModelEdge>,
    /// Those of users.
    vectors: BTreeMap<String, ModelVector>,
    chats: BTreeMap<String, Vec<String>>,
}

type Outcome = Result<(), &'static str>;

impl World {
    fn born(&mut self) -> u64 {
        self.births += 1;
        self.births
    }

    fn add_node(&mut self, id: &str, label: &'static str, values: Values) -> Outcome {
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

    fn apply(&mut self, op: &Op) -> Outcome {
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

    fn say(&mut self, chat: &str, messages: &[(String, String)]) -> Outcome {
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

    fn add_vector(&mut self, id: &str, vector: ModelVector) -> Outcome {
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
    fn texts(&self) -> Vec<(&str, &str)> {
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
    fn stamp(&self, object: &Seen) -> Option<(u64, u64)> {
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
enum Seen {
    Node(String),
    Edge(String),
}

/// Names in a text: folded, how often, and where first (characters); first mention first.
fn mentions(content: &str) -> Vec<(String, usize, (i64, i64))> {
    let mut out: Vec<(String, usize, (i64, i64))> = Vec::new();
    let mut at = 0;
    for word in content.split(' ') {
        let name = word.trim_end_matches('.');
        let length = name.chars().count();
        if name.chars().next().is_some_and(char::is_uppercase) {
            let folded = name.to_lowercase();
            match out.iter_mut().find(|(known, ..)| *known == folded) {
                Some((_, times, _)) => *times += 1,
                None => out.push((folded, 1, (at as i64, (at + length) as i64))),
            }
        }
        at += word.chars().count() + 1;
    }
    out
}

fn vector_of(seed: u8, own_space: bool) -> Vec<f32> {
    let dimension = if own_space { 2 } else { FakeModels::DIMENSION };
    (0..dimension).map(|n| f32::from(seed) + n as f32 / 7.0).collect()
}

// ---- the database under test

struct Bench {
    directory: TempDir,
    models: Arc<FakeModels>,
    /// Whether the weaver works all the time, or only when asked.
    live: bool,
    db: Database,
    here: Database,
    worlds: BTreeMap<&'static str, World>,
    at: &'static str,
}

fn code<T>(outcome: Result<T, Error>) -> Outcome {
    outcome.map(drop).map_err(|error| error.code())
}

impl Bench {
    fn new(live: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let models = Arc::new(FakeModels::default());
        let db = open(&directory, &models, live);
        let worlds = BTreeMap::from([("default", World::default())]);
        Self { directory, models, live, here: db.clone(), db, worlds, at: "default" }
    }

    fn world(&mut self) -> &mut World {
        self.worlds.get_mut(self.at).unwrap()
    }

    /// The same to the model, of which a failing step leaves nothing.
    fn expect(&mut self, change: impl FnOnce(&mut World) -> Outcome) -> Outcome {
        let mut after = self.world().clone();
        let outcome = change(&mut after);
        if outcome.is_ok() {
            *self.world() = after;
        }
        outcome
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Do(op) => {
                let expected = self.expect(|world| world.apply(op));
                assert_eq!(apply(&self.here, op), expected, "{op:?}");
            }
            Step::CreateNodes(nodes) => {
                let expected = self.expect(|world| {
                    nodes
                        .iter()
                        .try_for_each(|(id, values)| world.add_node(id, "Thing", values.clone()))
                });
                let drafts = nodes.iter().map(|(id, values)| thing(id, values)).collect();
                assert_eq!(code(self.here.create_nodes(drafts)), expected);
            }
            Step::Say { chat, messages } => {
                let expected = self.expect(|world| world.say(chat, messages));
                let drafts = messages
                    .iter()
                    .map(|(id, content)| {
                        NodeDraft::unlabelled(
                            Some(id.clone()),
                            draft(&[("content", text(content))]),
                        )
                    })
                    .collect();
                assert_eq!(code(self.here.add_messages(chat, drafts, AddTo::AnyChat)), expected);
            }
            Step::CreateVector { id, node, own_space, seed } => {
                let space = if *own_space { "mine" } else { MODEL };
                let values = vector_of(*seed, *own_space);
                let vector = ModelVector { node: node.clone(), space, values: values.clone() };
                let expected = self.expect(|world| world.add_vector(id, vector));
                let draft = EmbeddingDraft {
                    id: Some(id.clone()),
                    node_id: node.clone(),
                    space: own_space.then(|| "mine".to_owned()),
                    vector: values,
                };
                assert_eq!(code(self.here.create_embeddings(vec![draft])), expected);
            }
            Step::UpdateVector { id, seed } => {
                let own_space = self.world().vectors.get(id).is_none_or(|v| v.space == "mine");
                let values = vector_of(*seed, own_space);
                let expected = self.expect(|world| {
                    world.vectors.get_mut(id).ok_or("NotFound")?.values = values.clone();
                    Ok(())
                });
                assert_eq!(code(self.here.update_embedding(id, values)), expected);
            }
            Step::DeleteVector(id) => {
                let expected =
                    self.expect(|world| world.vectors.remove(id).map(drop).ok_or("NotFound"));
                assert_eq!(code(self.here.delete_embedding(id)), expected);
            }
            Step::OverwriteModelVector { message, seed } => {
                let Some(id) = self.model_vector(message) else { return };
                let values = vector_of(*seed, false);
                let vector =
                    ModelVector { node: message.clone(), space: MODEL, values: values.clone() };
                self.world().vectors.insert(id.clone(), vector);
                self.here.update_embedding(&id, values).unwrap();
            }
            Step::DeleteModelVector(message) => {
                if let Some(id) = self.model_vector(message) {
                    self.here.delete_embedding(&id).unwrap();
                }
            }
            Step::Transaction { own, others, commit } => self.transaction(own, others, *commit),
            Step::Namespace(name) => {
                self.here = self.db.namespace(name).unwrap();
                self.at = name;
                self.worlds.entry(name).or_default();
            }
            Step::DropNamespace(name) => {
                let expected = self.worlds.remove(name).map(drop).ok_or("NotFound");
                assert_eq!(code(self.db.drop_namespace(name)), expected);
                if self.at == *name {
                    let stale = code(self.here.create_nodes(vec![thing("n0", &Vec::new())]));
                    assert_eq!(stale, Err("NotFound"), "a handle on what was dropped");
                    self.here = self.db.clone();
                    self.at = "default";
                }
            }
            Step::Reopen => {
                self.db.close();
                self.db = open(&self.directory, &self.models, self.live);
                self.here = self.db.namespace(self.at).unwrap();
            }
            Step::Drain => self.drain(),
            Step::Renew { scrub, beside } => {
                let mut outcomes = Vec::new();
                let mut left = beside.iter();
                let mut progress = |done, total| {
                    let now = if done < total { 2 } else { beside.len() };
                    outcomes.extend(left.by_ref().take(now).map(|op| apply(&self.here, op)));
                    Ok(())
                };
                match scrub {
                    true => self.db.scrub(&mut progress).unwrap(),
                    false => self.db.compact(&mut progress).unwrap(),
                };
                for (op, outcome) in beside.iter().zip(outcomes) {
                    let expected = self.expect(|world| world.apply(op));
                    assert_eq!(outcome, expected, "{op:?} beside");
                }
                let report = self.db.verify_deep(&go_on).unwrap();
                assert_eq!(report.problems, Vec::<String>::new());
            }
        }
    }

    /// Id of the vector that the weaver has made for a message; with a weaver at work it would be a
    /// matter of luck.
    fn model_vector(&mut self, message: &str) -> Option<String> {
        let of_user = |v: &ModelVector| v.node == message && v.space == MODEL;
        if self.live || self.world().vectors.values().any(of_user) {
            return None;
        }
        if !self.world().nodes.contains_key(message) {
            return None;
        }
        Some(self.here.embedding_of(message, Some(MODEL)).unwrap()?.id)
    }

    fn transaction(&mut self, own: &[Op], others: &[Op], commit: bool) {
        let mut tx = self.here.transaction().unwrap();
        let begin = self.world().clone();
        let mut overlay = begin.clone();
        let (mut seen, mut done) = (BTreeSet::new(), Vec::new());
        for op in own {
            // Reads first: what the operation is about, with the transaction's own writes.
            for object in touched(op) {
                assert_own_read(&mut tx, &overlay, &object);
                if !is_own(&done, &begin, &object) {
                    seen.insert(object);
                }
            }
            let expected = overlay.clone().apply(op);
            assert_eq!(apply_in(&mut tx, op), expected, "{op:?} in a transaction");
            if expected.is_ok() {
                overlay.apply(op).unwrap();
                done.push(op.clone());
            }
        }
        for op in others {
            let expected = self.expect(|world| world.apply(op));
            assert_eq!(apply(&self.here, op), expected, "{op:?} beside a transaction");
        }
        if !commit {
            drop(tx);
            return;
        }
        let conflict = !done.is_empty()
            && seen.iter().any(|object| self.world().stamp(object) != begin.stamp(object));
        let outcome = code(tx.commit());
        if conflict {
            assert_eq!(outcome, Err("Conflict"), "{own:?} beside {others:?}");
            return;
        }
        // What was not read may still stand in the way.
        let expected = self.expect(|world| done.iter().try_for_each(|op| world.apply(op)));
        assert_eq!(outcome.is_ok(), expected.is_ok(), "{own:?} beside {others:?}");
    }

    // ---- comparison

    fn compare(&self) {
        let names: Vec<String> = self.worlds.keys().map(|name| (*name).to_owned()).collect();
        assert_eq!(self.db.namespaces().unwrap(), names);
        for (name, world) in &self.worlds {
            compare(&self.db.namespace(name).unwrap(), world);
        }
        common::assert_sound(&self.db);
    }

    /// Lets the weaver finish, and compares what it made.
    fn drain(&mut self) {
        if !self.live {
            self.db.resume_weaver().unwrap();
        }
        assert!(self.db.wait_idle(Some(PATIENCE), &go_on).unwrap());
        if !self.live {
            self.db.pause_weaver().unwrap();
        }
        let status = self.db.weaver_status().unwrap();
        assert_eq!(status.queue_size, 0, "{status:?}");
        assert_eq!(self.db.failures().unwrap(), []);
        for (name, world) in &self.worlds {
            compare_derived(&self.db.namespace(name).unwrap(), world);
        }
        let computed = self.db.stats().unwrap().vectors_computed;
        if !self.live {
            let asked = self.models.embedded.load(Ordering::Relaxed);
            assert_eq!(computed, asked, "every vector that was computed was wanted");
        }
        self.compare();
    }
}

fn open(directory: &TempDir, models: &Arc<FakeModels>, live: bool) -> Database {
    let path = directory.path().join("db");
    let models = Arc::clone(models);
    let db = Database::open(path.to_str().unwrap(), &fast(), Some(models)).unwrap();
    if !live {
        db.pause_weaver().unwrap();
    }
    db
}

fn thing(id: &str, values: &Values) -> NodeDraft {
    let values: Vec<(&str, Value)> = values.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    common::node(id, "Thing", &values)
}

fn edge_draft(op: &Op) -> EdgeDraft {
    let Op::CreateEdge { id, source, target, edge_type, weight } = op else { unreachable!() };
    EdgeDraft { weight: f64::from(*weight), ..common::edge(id, source, edge_type, target) }
}

fn changes(set: &Values, remove: &[String]) -> Changes {
    let set: Vec<(&str, Value)> = set.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    Changes { set: draft(&set), remove: remove.to_vec() }
}

fn edge_changes(weight: i8, set: &Values) -> EdgeChanges {
    let (properties, weight) = (changes(set, &[]), Some(f64::from(weight)));
    EdgeChanges { properties, weight, ..EdgeChanges::default() }
}

fn apply(db: &Database, op: &Op) -> Outcome {
    match op {
        Op::CreateNode(id, values) => code(db.create_nodes(vec![thing(id, values)])),
        Op::UpdateNode(id, set, remove) => code(db.update_node(id, changes(set, remove), None)),
        Op::DeleteNode(id) => code(db.delete_node(id, None)),
        Op::CreateEdge { .. } => code(db.create_edges(vec![edge_draft(op)])),
        Op::UpdateEdge { id, weight, set } => {
            code(db.update_edge(id, edge_changes(*weight, set), None))
        }
        Op::DeleteEdge(id) => code(db.delete_edge(id)),
    }
}

fn apply_in(tx: &mut Transaction, op: &Op) -> Outcome {
    match op {
        Op::CreateNode(id, values) => code(tx.create_node(thing(id, values))),
        Op::UpdateNode(id, set, remove) => code(tx.update_node(id, changes(set, remove))),
        Op::DeleteNode(id) => code(tx.delete_node(id)),
        Op::CreateEdge { .. } => code(tx.create_edge(edge_draft(op))),
        Op::UpdateEdge { id, weight, set } => code(tx.update_edge(id, edge_changes(*weight, set))),
        Op::DeleteEdge(id) => code(tx.delete_edge(id)),
    }
}

/// What an operation reads.
fn touched(op: &Op) -> Vec<Seen> {
    match op {
        Op::CreateNode(id, _) | Op::UpdateNode(id, ..) | Op::DeleteNode(id) => {
            vec![Seen::Node(id.clone())]
        }
        Op::CreateEdge { id, source, target, .. } => {
            vec![Seen::Node(source.clone()), Seen::Node(target.clone()), Seen::Edge(id.clone())]
        }
        Op::UpdateEdge { id, .. } | Op::DeleteEdge(id) => vec![Seen::Edge(id.clone())],
    }
}

/// An edge that went with a node which the transaction deleted was never read.
fn is_own(done: &[Op], begin: &World, object: &Seen) -> bool {
    let Seen::Edge(id) = object else { return false };
    let Some(edge) = begin.edges.get(id) else { return false };
    done.iter().any(|op| matches!(op, Op::DeleteNode(n) if *n == edge.source || *n == edge.target))
}

fn assert_own_read(tx: &mut Transaction, overlay: &World, object: &Seen) {
    match object {
        Seen::Node(id) => {
            let found = tx.get_node(id).unwrap();
            let found = found.map(|node| (comparable(&properties(&node)), node.version().unwrap()));
            let expected =
                overlay.nodes.get(id).map(|node| (comparable(&node.values), node.version));
            assert_eq!(found, expected, "{id} in a transaction");
        }
        Seen::Edge(id) => {
            let found = tx.get_edge(id).unwrap();
            let found = found.map(|edge| (edge.weight().unwrap(), edge.version().unwrap()));
            let expected = overlay.edges.get(id).map(|edge| (edge.weight, edge.version));
            assert_eq!(found, expected, "{id} in a transaction");
        }
    }
}

/// The time at which a message was said is the database's.
fn comparable(values: &[(String, Value)]) -> Values {
    let mut out = values.to_vec();
    for (name, value) in &mut out {
        if name == "timestamp" {
            *value = Value::Null;
        }
    }
    out
}

fn compare(db: &Database, world: &World) {
    let mut expected: Vec<(&String, &ModelNode)> = world.nodes.iter().collect();
    expected.sort_by_key(|(_, node)| node.birth);
    // One instant: the weaver may be at work.
    let pinned = db.snapshot().unwrap();
    let stored = pinned.nodes(None, None, usize::MAX).unwrap();
    assert_eq!(pinned.count(None).unwrap(), stored.len() as u64);
    let label = |node: &embedded_db_engine::Node| node.labels().unwrap()[0].to_string();
    let own: Vec<_> = stored
        .iter()
        .filter(|node| !["Entity", "Summary"].contains(&label(node).as_str()))
        .collect();
    let ids = |nodes: &[&embedded_db_engine::Node]| -> Vec<String> {
        nodes.iter().map(|node| node.id().unwrap()).collect()
    };
    let expected_ids: Vec<String> = expected.iter().map(|(id, _)| (*id).clone()).collect();
    assert_eq!(ids(&own), expected_ids, "in the order in which they were made");
    for (node, (id, wanted)) in own.iter().zip(&expected) {
        assert_eq!(label(node), wanted.label, "{id}");
        assert_eq!(node.version().unwrap(), wanted.version, "{id}");
        assert_eq!(comparable(&properties(node)), wanted.values, "{id}");
        if wanted.label == "Message" {
            assert!(matches!(value(node, "timestamp"), Some(Value::Time(_))), "{id}");
        }
    }
    // No summary outlives a text that it was made of; the fake model tells the first.
    for summary in stored.iter().filter(|node| label(node) == "Summary") {
        let covered = |name| {
            let Some(Value::Str(id)) = value(summary, name) else { panic!("no {name}") };
            let values = &world.nodes[&id].values;
            values.iter().find(|(name, _)| name == "content").unwrap().1.clone()
        };
        let Value::Str(first) = covered("first_message") else { panic!("no text") };
        assert_eq!(value(summary, "text"), Some(text(first.trim())));
        covered("last_message");
    }
    for label in ["Thing", "Chat", "Message"] {
        let wanted = world.nodes.values().filter(|node| node.label == label).count();
        assert_eq!(db.count(Some(label)).unwrap(), wanted as u64, "{label}");
    }
    compare_edges(db, world);
    for (chat, messages) in &world.chats {
        assert_eq!(&neighbors(db, chat, "CONTAINS", Reach::Out), messages, "{chat}");
        for (at, message) in messages.iter().enumerate() {
            assert_eq!(neighbors(db, message, "CONTAINS", Reach::In), std::slice::from_ref(chat));
            let next: Vec<String> = messages.get(at + 1).cloned().into_iter().collect();
            assert_eq!(neighbors(db, message, "NEXT", Reach::Out), next, "after {message}");
            let before = at.checked_sub(1).map(|at| messages[at].clone());
            let before: Vec<String> = before.into_iter().collect();
            assert_eq!(neighbors(db, message, "NEXT", Reach::In), before, "before {message}");
        }
    }
    for (id, vector) in &world.vectors {
        let found = db.get_embedding(id).unwrap().unwrap();
        assert_eq!((&found.node_id, found.space.as_str()), (&vector.node, vector.space), "{id}");
        assert_eq!(found.vector, vector.values, "{id}");
        let of_node = db.embedding_of(&vector.node, Some(vector.space)).unwrap().unwrap();
        assert_eq!(&of_node.id, id, "the one vector of its node");
    }
}

fn compare_edges(db: &Database, world: &World) {
    for (id, wanted) in &world.edges {
        let edge = db.get_edge(id, AsOf::default()).unwrap().unwrap();
        assert_eq!((edge.source(), edge.target()), (&*wanted.source, &*wanted.target), "{id}");
        assert_eq!(&*edge.edge_type().unwrap(), wanted.edge_type, "{id}");
        assert_eq!(edge.weight().unwrap(), wanted.weight, "{id}");
        assert_eq!(edge.version().unwrap(), wanted.version, "{id}");
        let mut values = Vec::new();
        edge.each_property(&mut |name, value| {
            values.push((name.to_owned(), value.to_value()?));
            Ok(())
        })
        .unwrap();
        assert_eq!(values, wanted.values, "{id}");
    }
    for edge_type in TYPES {
        let of_type = || world.edges.values().filter(|edge| edge.edge_type == edge_type);
        assert_eq!(db.count_edges(Some(edge_type)).unwrap(), of_type().count() as u64);
        for node in world.nodes.keys() {
            let mut out: Vec<_> = of_type().filter(|edge| edge.source == *node).collect();
            out.sort_by_key(|edge| edge.birth);
            let out: Vec<String> = out.iter().map(|edge| edge.target.clone()).collect();
            assert_eq!(neighbors(db, node, edge_type, Reach::Out), out, "{node} {edge_type}");
            let into = of_type().filter(|edge| edge.target == *node).count();
            assert_eq!(neighbors(db, node, edge_type, Reach::In).len(), into);
        }
    }
    let messages: usize = world.chats.values().map(Vec::len).sum();
    let pairs: usize = world.chats.values().map(|chat| chat.len().saturating_sub(1)).sum();
    assert_eq!(db.count_edges(Some("CONTAINS")).unwrap(), messages as u64);
    assert_eq!(db.count_edges(Some("NEXT")).unwrap(), pairs as u64);
}

/// What the weaver makes, once it has nothing left to do.
fn compare_derived(db: &Database, world: &World) {
    let texts = world.texts();
    // Vectors.
    for (id, content) in &texts {
        let of_user = world.vectors.values().find(|v| v.node == *id && v.space == MODEL);
        let expected = of_user.map_or_else(|| FakeModels::vector(content), |v| v.values.clone());
        let found = db.embedding_of(id, Some(MODEL)).unwrap();
        assert_eq!(found.map(|found| found.vector), Some(expected), "the vector of {id}");
    }
    let of_messages: BTreeSet<&str> = texts.iter().map(|(id, _)| *id).collect();
    let of_users = world.vectors.values().filter(|v| v.space == MODEL);
    let others = of_users.filter(|v| !of_messages.contains(v.node.as_str())).count();
    let own_space = world.vectors.values().filter(|v| v.space == "mine").count();
    let all = (texts.len() + others + own_space) as u64;
    assert_eq!(db.stats().unwrap().embeddings, all, "no vector is left over");

    // Entities and mentions.
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    // The messages in which two come together.
    let mut pairs: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (id, content) in &texts {
        let names: Vec<String> = mentions(content).into_iter().map(|(name, ..)| name).collect();
        for name in &names {
            *counts.entry(name.clone()).or_default() += 1;
        }
        let paired = &names[..names.len().min(PAIRED)];
        for (at, first) in paired.iter().enumerate() {
            for second in &paired[at + 1..] {
                let pair = (first.min(second).clone(), first.max(second).clone());
                pairs.entry(pair).or_default().insert((*id).to_owned());
            }
        }
    }
    let entities = db.nodes(Some("Entity"), None, usize::MAX).unwrap();
    let mut name_of: BTreeMap<String, String> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for entity in &entities {
        let Some(Value::Str(label)) = value(entity, "label") else { panic!("no label") };
        let Some(Value::Int(count)) = value(entity, "mention_count") else { panic!("no count") };
        name_of.insert(entity.id().unwrap(), label.to_lowercase());
        assert_eq!(found.insert(label.to_lowercase(), count), None, "{label} is there twice");
    }
    assert_eq!(found, counts, "entities, and how many messages mention each");
    for (id, node) in &world.nodes {
        if node.label != "Message" {
            continue;
        }
        let types = [String::from("MENTIONS")];
        let edges = db
            .edges(id, Some(&types), Reach::Out, AsOf::default(), None, usize::MAX)
            .unwrap()
            .items;
        let place = |edge: &embedded_db_engine::Edge, name| {
            let found = edge.property(name, |value| Ok(value.to_value()?)).unwrap();
            let Some(Value::Int(at)) = found else { panic!("{name} is {found:?}") };
            at
        };
        let told: Vec<_> = edges
            .iter()
            .map(|edge| {
                assert_eq!(edge.sources().unwrap(), std::slice::from_ref(id));
                let times = edge.weight().unwrap() as usize;
                (name_of[edge.target()].clone(), times, (place(edge, "start"), place(edge, "end")))
            })
            .collect();
        let content = texts.iter().find(|(of, _)| of == id).map_or("", |(_, content)| content);
        assert_eq!(told, mentions(content), "mentions of {id}");
    }
    // Relations.
    let mut related = BTreeMap::new();
    for (id, name) in &name_of {
        let types = [String::from("RELATED_TO")];
        let edges = db
            .edges(id, Some(&types), Reach::Out, AsOf::default(), None, usize::MAX)
            .unwrap()
            .items;
        for edge in edges {
            let other = &name_of[edge.target()];
            let pair = (name.min(other).clone(), name.max(other).clone());
            let sources: BTreeSet<String> = edge.sources().unwrap().into_iter().collect();
            assert_eq!(edge.weight().unwrap(), sources.len() as f64, "{name} and {other}");
            let earlier = related.insert(pair, sources);
            assert_eq!(earlier, None, "{name} and {other} are related twice");
        }
    }
    assert_eq!(related, pairs, "in how many messages two entities come together");

    // Summaries.
    let mut summaries = 0;
    for (chat, messages) in &world.chats {
        let told: Vec<&(&str, &str)> =
            messages.iter().filter_map(|m| texts.iter().find(|(id, _)| id == m)).collect();
        let found = neighbors(db, chat, "SUMMARIZES", Reach::In);
        let Some((first, content)) = told.first() else {
            assert_eq!(found, Vec::<String>::new(), "nothing to say of {chat}");
            continue;
        };
        summaries += 1;
        assert_eq!(found.len(), 1, "one summary of {chat}");
        let summary = db.get_node(&found[0]).unwrap().unwrap();
        assert_eq!(value(&summary, "text"), Some(text(content.trim())), "of {chat}");
        assert_eq!(value(&summary, "chat_id"), Some(text(chat)));
        assert_eq!(value(&summary, "first_message"), Some(text(first)));
        assert_eq!(value(&summary, "last_message"), told.last().map(|(last, _)| text(last)));
    }
    assert_eq!(db.count(Some("Summary")).unwrap(), summaries, "no summary is left over");
}

fn run(steps: &[Step], live: bool) {
    let mut bench = Bench::new(live);
    for step in steps {
        bench.step(step);
    }
    bench.compare();
    bench.step(&Step::Reopen);
    bench.compare();
    bench.drain();
}

fn seeded(cases: u32) -> ProptestConfig {
    fn given<T: std::str::FromStr>(name: &str) -> Option<T> {
        std::env::var(name).ok()?.parse().ok()
    }
    ProptestConfig {
        cases: given("PROPTEST_CASES").unwrap_or(cases),
        rng_seed: RngSeed::Fixed(given("PROPTEST_RNG_SEED").unwrap_or(3)),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(seeded(80))]

    /// The weaver works when it is asked: a failing case fails again.
    #[test]
    fn the_database_does_what_the_model_does(steps in prop::collection::vec(any_step(), 20..120)) {
        run(&steps, false);
    }
}

proptest! {
    #![proptest_config(seeded(40))]

    /// The weaver works beside, so that its writes fall between any two steps.
    #[test]
    fn a_weaver_at_work_changes_nothing_of_it(steps in prop::collection::vec(any_step(), 20..120)) {
        run(&steps, true);
    }
}
