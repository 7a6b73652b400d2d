//! What is done.

use embedded_db_common::Value;
use proptest::prelude::*;

use crate::common::text;
use crate::{TYPES, Values};

const CHATS: [&str; 3] = ["c0", "c1", "c2"];
const NAMESPACES: [&str; 3] = ["default", "one", "two"];

#[derive(Debug, Clone)]
pub(crate) enum Op {
    CreateNode(String, Values),
    UpdateNode(String, Values, Vec<String>),
    DeleteNode(String),
    CreateEdge { id: String, source: String, target: String, edge_type: &'static str, weight: i8 },
    UpdateEdge { id: String, weight: i8, set: Values },
    DeleteEdge(String),
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
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

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
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
