//! The database under test, beside the model of each of its namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use embedded_db_common::{Error, Value};
use embedded_db_engine::{
    AddTo, Changes, Database, EdgeChanges, EdgeDraft, EmbeddingDraft, NodeDraft, Transaction,
};
use embedded_db_testing::FakeModels;
use tempfile::TempDir;

use crate::Values;
use crate::common::{self, MODEL, PATIENCE, draft, go_on, properties, sealing, text};
use crate::comparison::{comparable, compare, compare_derived};
use crate::steps::{Op, Step};
use crate::world::{ModelVector, Outcome, Seen, World};

fn vector_of(seed: u8, own_space: bool) -> Vec<f32> {
    let dimension = if own_space { 2 } else { FakeModels::DIMENSION };
    (0..dimension).map(|n| f32::from(seed) + n as f32 / 7.0).collect()
}

pub(crate) struct Bench {
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
    pub(crate) fn new(live: bool) -> Self {
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

    pub(crate) fn step(&mut self, step: &Step) {
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

    pub(crate) fn compare(&self) {
        let names: Vec<String> = self.worlds.keys().map(|name| (*name).to_owned()).collect();
        assert_eq!(self.db.namespaces().unwrap(), names);
        for (name, world) in &self.worlds {
            compare(&self.db.namespace(name).unwrap(), world);
        }
        common::assert_sound(&self.db);
    }

    /// Lets the weaver finish, and compares what it made.
    pub(crate) fn drain(&mut self) {
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
    let db = Database::open(path.to_str().unwrap(), &sealing(), Some(models)).unwrap();
    if !live {
        db.pause_weaver().unwrap();
        // It may have begun to work in between.
        let until = Instant::now() + PATIENCE;
        while db.weaver_status().unwrap().active_workers > 0 {
            assert!(Instant::now() < until, "the weaver does not end its batch");
            std::thread::yield_now();
        }
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
