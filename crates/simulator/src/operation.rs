//! What is done to a database, as a seed decides.

use embedded_db_engine::common::Value;

use crate::random::Random;
use crate::world::{NOTE, UNIQUE, Values};

/// One change of one namespace, all of it or nothing.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    CreateNode { id: String, values: Values, expires: bool },
    UpdateNode { id: String, set: Values, remove: Vec<String> },
    DeleteNode { id: String },
    CreateEdge { id: String, source: String, target: String, kind: &'static str, weight: i64 },
    UpdateEdge { id: String, weight: i64 },
    RetractEdge { id: String },
    DeleteEdge { id: String },
    Say { chat: String, messages: Vec<(String, String)> },
    CreateVector { id: String, node: String, values: Vec<f32> },
    UpdateVector { id: String, values: Vec<f32> },
    DeleteVector { id: String },
}

/// Anything that is done.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Do(Change),
    /// Several nodes at once.
    CreateNodes(Vec<Change>),
    /// Of all things with this value.
    UpdateMatching {
        p: i64,
        q: String,
    },
    DeleteMatching {
        p: i64,
    },
    Transaction {
        changes: Vec<Change>,
        commit: bool,
    },
    /// Each in a thread of its own; none touches what another does.
    Together(Vec<Change>),
    /// From here on in this namespace, made when it is new.
    Use(&'static str),
    DropNamespace(&'static str),
    CreateIndex {
        property: &'static str,
    },
    DropIndex {
        property: &'static str,
    },
    /// The notes of things are searched and embedded.
    Declare,
    /// The clock is set forward, so that what expires is gone.
    Wait,
    /// The background has done all that it has to do.
    Drain,
    /// The clock, and all that waits for it, goes on by itself.
    Rest {
        milliseconds: u64,
    },
    /// Questions whose answers are compared with what the model says.
    Ask {
        p: i64,
        word: &'static str,
        near: Vec<f32>,
    },
    /// A snapshot is taken, and held.
    Hold,
    /// What is held is looked at, and let go.
    LetGo,
    /// Another process reads.
    Read(Reading),
    Verify,
    Backup,
    /// A database is made of the last backup.
    Restore,
    /// What was made of backups is read, and another is made of the last.
    Copies,
    Compact,
    Scrub,
    Reopen,
}

/// What another process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Reads everything.
    Look,
    /// Takes a snapshot, and holds it.
    Hold,
    /// Reads what it holds.
    LookAtHeld,
    /// Ends as it is.
    Die,
}

impl Reading {
    pub(crate) const ALL: [Self; 4] = [Self::Look, Self::Hold, Self::LookAtHeld, Self::Die];
}

pub(crate) const KINDS: [&str; 2] = ["KNOWS", "LIKES"];
pub(crate) const VECTORS: usize = 5;
const NAMESPACES: [&str; 3] = ["default", "one", "two"];
/// Texts that are searched for; none is the beginning of another.
const WORDS: [&str; 5] = ["tea", "boat", "green", "harbour", "met"];

fn thing(random: &mut Random) -> String {
    format!("n{}", random.below(10))
}

fn message(random: &mut Random) -> String {
    format!("m{}", random.below(10))
}

fn any_node(random: &mut Random) -> String {
    match random.below(8) {
        0 => format!("c{}", random.below(3)),
        1 | 2 => message(random),
        _ => thing(random),
    }
}

fn edge(random: &mut Random) -> String {
    format!("e{}", random.below(10))
}

fn vector(random: &mut Random) -> String {
    format!("v{}", random.below(VECTORS))
}

/// Never of length 0.
fn numbers(random: &mut Random) -> Vec<f32> {
    vec![1.0 + random.below(4) as f32, random.below(9) as f32 - 4.0, random.below(5) as f32]
}

fn content(random: &mut Random) -> String {
    let words = ["Alice", "Bob", "ALICE", "Carol", "met", "tea", "boat", "green", "harbour"];
    let count = random.below(6);
    (0..count).map(|_| random.choose(&words)).collect::<Vec<_>>().join(" ")
}

fn values(random: &mut Random, may_be_unique: bool) -> Values {
    let mut out = Values::new();
    for _ in 0..random.below(4) {
        let (name, value) = match random.below(if may_be_unique { 7 } else { 6 }) {
            0 | 1 => ("p", Value::Int(random.below(4) as i64)),
            2 => ("q", Value::Str("x".repeat(random.below(4)))),
            3 => ("q", Value::Null),
            4 => (NOTE, Value::Str(content(random))),
            5 => {
                // Some are larger than a page.
                let size = random.choose(&[10, 300, 2_000, 9_000, 30_000]);
                ("big", Value::Bytes(vec![random.below(256) as u8; size]))
            }
            _ => (UNIQUE, Value::Int(random.below(12) as i64)),
        };
        out.insert(name.to_owned(), value);
    }
    out
}

impl Change {
    pub(crate) fn any(random: &mut Random) -> Self {
        match random.weighted(&[6, 5, 3, 2, 6, 2, 1, 1, 7, 3, 1, 1]) {
            0 => Self::create_node(random, true),
            1 => Self::update_node(random, true),
            2 => Self::UpdateNode {
                id: message(random),
                set: [("content".to_owned(), Value::Str(content(random)))].into(),
                remove: Vec::new(),
            },
            3 => Self::DeleteNode { id: any_node(random) },
            4 => Self::create_edge(random),
            5 => Self::UpdateEdge { id: edge(random), weight: 1 + random.below(9) as i64 },
            6 => Self::RetractEdge { id: edge(random) },
            7 => Self::DeleteEdge { id: edge(random) },
            8 => Self::say(random),
            9 => Self::CreateVector {
                id: vector(random),
                node: any_node(random),
                values: numbers(random),
            },
            10 => Self::UpdateVector { id: vector(random), values: numbers(random) },
            _ => Self::DeleteVector { id: vector(random) },
        }
    }

    /// What a transaction can do, and does not find out about at its end only.
    fn of_transaction(random: &mut Random) -> Self {
        match random.weighted(&[5, 4, 2, 5, 2, 1, 4]) {
            0 => Self::create_node(random, false),
            1 => Self::update_node(random, false),
            2 => Self::DeleteNode { id: any_node(random) },
            3 => Self::create_edge(random),
            4 => Self::UpdateEdge { id: edge(random), weight: 1 + random.below(9) as i64 },
            5 => Self::RetractEdge { id: edge(random) },
            _ => Self::say(random),
        }
    }

    fn create_node(random: &mut Random, may_be_unique: bool) -> Self {
        let (id, values) = (thing(random), values(random, may_be_unique));
        Self::CreateNode { id, values, expires: random.once_in(6) }
    }

    fn update_node(random: &mut Random, may_be_unique: bool) -> Self {
        let remove = if random.once_in(3) { vec!["q".to_owned()] } else { Vec::new() };
        Self::UpdateNode { id: thing(random), set: values(random, may_be_unique), remove }
    }

    fn create_edge(random: &mut Random) -> Self {
        let (id, kind) = (edge(random), random.choose(&KINDS));
        let (source, target) = (any_node(random), any_node(random));
        Self::CreateEdge { id, source, target, kind, weight: 1 + random.below(9) as i64 }
    }

    fn say(random: &mut Random) -> Self {
        let chat = format!("c{}", random.below(3));
        let count = 1 + random.below(3);
        let messages = (0..count).map(|_| (message(random), content(random))).collect();
        Self::Say { chat, messages }
    }

    /// The node that it is about, if it is about one alone.
    fn subject(&self) -> Option<&str> {
        match self {
            Self::CreateNode { id, .. } | Self::UpdateNode { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl Operation {
    pub(crate) fn any(random: &mut Random) -> Self {
        let weights = [60, 3, 2, 1, 8, 4, 3, 1, 3, 1, 1, 2, 5, 4, 6, 2, 2, 8, 2, 2, 1, 2, 1, 3];
        match random.weighted(&weights) {
            0 => Self::Do(Change::any(random)),
            1 => {
                let count = 1 + random.below(4);
                Self::CreateNodes((0..count).map(|_| Change::create_node(random, true)).collect())
            }
            2 => Self::UpdateMatching { p: random.below(4) as i64, q: "y".repeat(random.below(3)) },
            3 => Self::DeleteMatching { p: random.below(4) as i64 },
            4 => {
                let count = random.below(6);
                let changes = (0..count).map(|_| Change::of_transaction(random)).collect();
                Self::Transaction { changes, commit: !random.once_in(4) }
            }
            5 => Self::together(random),
            6 => Self::Use(random.choose(&NAMESPACES)),
            7 => Self::DropNamespace(random.choose(&NAMESPACES[1..])),
            8 => Self::CreateIndex { property: random.choose(&["p", "q", UNIQUE]) },
            9 => Self::DropIndex { property: random.choose(&["p", "q", UNIQUE]) },
            10 => Self::Declare,
            11 => Self::Wait,
            12 => Self::Drain,
            // Some end before a checkpoint is due, which comes a second after a commit.
            13 => Self::Rest { milliseconds: random.choose(&[30, 400, 3_000]) },
            14 => Self::Ask {
                p: random.below(4) as i64,
                word: random.choose(&WORDS),
                near: numbers(random),
            },
            15 => Self::Hold,
            16 => Self::LetGo,
            17 => Self::Read(Reading::ALL[random.weighted(&[6, 3, 6, 1])]),
            18 => Self::Verify,
            19 => Self::Backup,
            20 => Self::Restore,
            21 => Self::Compact,
            22 => Self::Scrub,
            _ => Self::Reopen,
        }
    }

    fn together(random: &mut Random) -> Self {
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..2 + random.below(3) {
            let change = match random.below(2) {
                0 => Change::create_node(random, false),
                _ => Change::update_node(random, false),
            };
            if changes.iter().all(|other| other.subject() != change.subject()) {
                changes.push(change);
            }
        }
        Self::Together(changes)
    }
}
