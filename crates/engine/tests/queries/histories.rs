//! What is written and asked.

use embedded_db_common::Value;
use embedded_db_engine::{
    AsOf, Changes, ConvergedQuery, Database, Expansion, Filter, GraphFilter, Operator, Rank, Reach,
};
use proptest::prelude::*;

use crate::common::{edge, node, set, text, vector};
use crate::reference::{LABELS, Row, State, Values};

const NODES: usize = 24;
const TYPES: [&str; 2] = ["KNOWS", "LIKES"];
/// Words that neither stemming nor folding makes alike.
const WORDS: [&str; 6] = ["rust", "graf", "plum", "zinc", "storm", "fjord"];

#[derive(Debug, Clone)]
pub(crate) enum Write {
    Create { id: String, label: usize, values: Values },
    Update { id: String, values: Values },
    Delete(String),
    Embed { id: String, vector: Vec<f32> },
    Link { id: String, source: String, target: String, edge_type: &'static str },
    Unlink(String),
}

fn any_id() -> impl Strategy<Value = String> {
    (0..NODES).prop_map(|n| format!("n{n}"))
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2i64..4).prop_map(Value::Int),
        prop::sample::select(vec![-1.0, 0.0, 0.5, 1.0, 2.0, f64::NAN]).prop_map(Value::Float),
        prop::sample::select(vec!["", "a", "ab", "b", "é"]).prop_map(text),
        (0i64..3).prop_map(Value::Time),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        Just(Value::Bytes(vec![1])),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => any_scalar(),
        1 => prop::collection::vec(any_scalar(), 0..3).prop_map(Value::List),
        2 => (any_scalar(), any_scalar()).prop_map(|(a, c)| Value::Map(vec![
            ("a".into(), a),
            ("b".into(), Value::Map(vec![("c".into(), c)])),
        ])),
    ]
}

fn any_words() -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(WORDS.to_vec()), any::<bool>()), 0..7).prop_map(
        |words| {
            let words: Vec<String> = words
                .into_iter()
                .map(|(word, shout)| if shout { word.to_uppercase() } else { word.to_owned() })
                .collect();
            Value::Str(words.join(" "))
        },
    )
}

/// Indexed and other properties, and texts.
fn any_values() -> impl Strategy<Value = Values> {
    let plain = prop::sample::select(vec!["p", "map", "map.a", "chat_id", "role"]);
    let texts = prop::sample::select(vec!["sender", "content", "title", "topic", "text"]);
    (
        prop::collection::btree_map(plain.prop_map(str::to_owned), any_value(), 0..4),
        prop::collection::btree_map(texts.prop_map(str::to_owned), any_words(), 1..5),
    )
        .prop_map(|(mut values, texts)| {
            values.extend(texts);
            values
        })
}

fn any_vector() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-3i8..4).prop_map(|n| f32::from(n) / 2.0), 4)
}

pub(crate) fn any_write() -> impl Strategy<Value = Write> {
    let edge = (0..40u8).prop_map(|n| format!("e{n}"));
    prop_oneof![
        8 => (any_id(), 0..LABELS.len(), any_values())
            .prop_map(|(id, label, values)| Write::Create { id, label, values }),
        3 => (any_id(), any_values()).prop_map(|(id, values)| Write::Update { id, values }),
        1 => any_id().prop_map(Write::Delete),
        6 => (any_id(), any_vector()).prop_map(|(id, vector)| Write::Embed { id, vector }),
        7 => (edge.clone(), any_id(), any_id(), prop::sample::select(TYPES.to_vec()))
            .prop_map(|(id, source, target, edge_type)| {
                Write::Link { id, source, target, edge_type }
            }),
        1 => edge.prop_map(Write::Unlink),
    ]
}

/// Applies a write to both, if it can be done.
pub(crate) fn write(db: &Database, state: &mut State, write: &Write) {
    match write {
        Write::Create { id, label, values } => {
            if state.rows.contains_key(id) {
                return;
            }
            let (label, _) = LABELS[*label];
            let given: Vec<(&str, Value)> =
                values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            // The reference knows no chats: a message that names one brings no edges here.
            db.create_bare_nodes(vec![node(id, label, &given)]).unwrap();
            state.births += 1;
            let row = Row { born: state.births, label, values: values.clone(), vector: None };
            state.rows.insert(id.clone(), row);
        }
        Write::Update { id, values } => {
            let Some(row) = state.rows.get_mut(id) else { return };
            let given: Vec<(&str, Value)> =
                values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            // Everything that it had goes.
            let remove = row.values.keys().filter(|name| !values.contains_key(*name)).cloned();
            let changes = Changes { remove: remove.collect(), ..set(&given) };
            db.update_node(id, changes, None).unwrap();
            row.values = values.clone();
        }
        Write::Delete(id) => {
            // A message or chat would take others with it; here they have no edges that say so.
            if state.rows.remove(id).is_some() {
                db.delete_node(id, None).unwrap();
                state.edges.retain(|_, (source, target, _)| source != id && target != id);
            }
        }
        Write::Embed { id, vector: values } => {
            let Some(row) = state.rows.get_mut(id) else { return };
            let mut draft = vector("", id, None, values);
            draft.id = None;
            db.create_embeddings(vec![draft]).unwrap();
            row.vector = Some(values.clone());
        }
        Write::Link { id, source, target, edge_type } => {
            let known = state.rows.contains_key(source) && state.rows.contains_key(target);
            if known && !state.edges.contains_key(id) {
                db.create_edges(vec![edge(id, source, edge_type, target)]).unwrap();
                let ends = (source.clone(), target.clone(), *edge_type);
                state.edges.insert(id.clone(), ends);
            }
        }
        Write::Unlink(id) => {
            if state.edges.remove(id).is_some() {
                db.delete_edge(id).unwrap();
            }
        }
    }
}

fn any_test() -> impl Strategy<Value = Filter> {
    use Operator as O;
    let property = prop::sample::select(vec![
        "p",
        "p",
        "map",
        "map.a",
        "map.b.c",
        "map.b",
        "chat_id",
        "role",
        "sender",
        "label",
        "id",
        "missing",
        "missing.a",
    ]);
    let operators = vec![
        O::Equals,
        O::NotEquals,
        O::GreaterThan,
        O::GreaterThanOrEqual,
        O::LessThan,
        O::LessThanOrEqual,
        O::Between,
        O::In,
        O::NotIn,
        O::Contains,
        O::StartsWith,
        O::EndsWith,
        O::Exists,
        O::NotExists,
    ];
    let wanted = || prop_oneof![8 => any_scalar(), 1 => Just(text("n3")), 1 => any_words()];
    (property, prop::sample::select(operators), wanted(), wanted(), any_value()).prop_map(
        |(property, operator, a, b, any)| {
            let value = match operator {
                O::Between | O::In | O::NotIn => Value::List(vec![a, b]),
                O::Equals | O::NotEquals | O::Contains if matches!(a, Value::Null) => any,
                _ => a,
            };
            Filter::Test { property: property.to_owned(), operator, value }
        },
    )
}

fn any_filter() -> impl Strategy<Value = Filter> {
    any_test().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Any),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

fn any_graph() -> impl Strategy<Value = GraphFilter> {
    let types = prop::option::of(prop::sample::subsequence(vec!["KNOWS", "LIKES", "HATES"], 1..3));
    let ways = prop::sample::select(vec![Reach::Out, Reach::In, Reach::Any]);
    (
        prop::collection::vec(any_id(), 1..3),
        types,
        ways,
        0..3u32,
        0..3u32,
        prop::bool::weighted(0.3),
    )
        .prop_map(|(start, types, direction, min_hops, more, exclude)| GraphFilter {
            start,
            steps: vec![Expansion {
                edge_types: types.map(|types| types.into_iter().map(str::to_owned).collect()),
                direction,
                min_hops,
                max_hops: min_hops + more,
                labels: Vec::new(),
                edge_filters: Vec::new(),
            }],
            exclude,
            times: AsOf::default(),
        })
}

#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) query: ConvergedQuery,
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) threshold: Option<f32>,
}

pub(crate) fn any_ask() -> impl Strategy<Value = Ask> {
    let labels = prop_oneof![
        3 => Just(Vec::new()),
        2 => prop::sample::subsequence(vec!["Message", "Chat", "Thing", "Nobody"], 1..3),
    ];
    let words = prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..4);
    let threshold = prop::option::weighted(0.3, -0.5f32..0.9);
    let weights = (0..3u8, 0..3u8, prop_oneof![3 => Just(0u8), 1 => 1..3u8]);
    (
        prop_oneof![
            1 => Just(Vec::new()),
            1 => prop::collection::vec(any_filter(), 1..3),
        ],
        prop::option::weighted(0.4, any_graph()),
        prop::option::of(any_vector()),
        threshold,
        prop::option::of(words.prop_map(|words| words.join(" "))),
        labels,
        prop_oneof![2 => 1..8usize, 1 => Just(100)],
        weights,
    )
        .prop_map(|(filters, graph, vector, threshold, text, labels, limit, weights)| {
            let (of_text, of_vectors, of_graph) = weights;
            let rank = Rank {
                text: f32::from(of_text) / 2.0,
                semantic: f32::from(of_vectors) / 2.0,
                graph: f32::from(of_graph) / 2.0,
                neighbors: Some(0.0),
                ..Rank::default()
            };
            let labels = labels.into_iter().map(str::to_owned).collect();
            let query = ConvergedQuery {
                filters,
                graph,
                semantic: None,
                text: text.as_deref().map(Into::into),
                labels,
                order_by: Vec::new(),
                limit,
                rank,
                recall: None,
                explain: false,
            };
            Ask { query, vector, threshold }
        })
}
