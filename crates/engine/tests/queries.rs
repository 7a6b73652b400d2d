//! A query answers as a plain reading of everything would: the same nodes, exactly as many, the same
//! scores. And a query over an older instant sees that instant, whatever was written since.
//!
//! The cases are the same in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` give others.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Memory};

use common::{draft, edge, go_on, node, set, text, vector, without_models};
use embedded_db_common::{Error, Value};
use embedded_db_engine::{
    AddTo, Answer, AsOf, Changes, ConvergedQuery, Database, Expansion, Filter, GraphFilter,
    NodeDraft, Operator, PinnedReads, Query, Rank, Reach, SemanticLeg,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Of scores that were computed in another order and precision.
const CLOSE: f64 = 2e-4;
const NODES: usize = 24;
const TYPES: [&str; 2] = ["KNOWS", "LIKES"];
/// Words that neither stemming nor folding makes alike.
const WORDS: [&str; 6] = ["rust", "graf", "plum", "zinc", "storm", "fjord"];
/// Each label with the properties that make its text, in their order.
const LABELS: [(&str, &[&str]); 4] = [
    ("Message", &["sender", "content"]),
    ("Chat", &["title", "topic"]),
    ("Summary", &["text"]),
    ("Thing", &[]),
];

type Values = BTreeMap<String, Value>;

// ---- the reference: everything in plain vectors

#[derive(Debug, Clone)]
struct Row {
    born: usize,
    label: &'static str,
    values: Values,
    vector: Option<Vec<f32>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    births: usize,
    rows: BTreeMap<String, Row>,
    edges: BTreeMap<String, (String, String, &'static str)>,
}

impl Row {
    /// The words of its text, if its label has one.
    fn words(&self) -> Option<Vec<String>> {
        let (_, names) = LABELS.iter().find(|(label, _)| *label == self.label).unwrap();
        let texts: Vec<&str> = names
            .iter()
            .filter_map(|name| self.values.get(*name))
            .filter_map(
                |value| if let Value::Str(text) = value { Some(text.as_str()) } else { None },
            )
            .collect();
        let words: Vec<String> =
            texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_lowercase).collect();
        texts.iter().any(|text| !text.is_empty()).then_some(words)
    }

    fn waits_for_a_vector(&self) -> bool {
        let content = self.values.get("content");
        self.label == "Message"
            && self.vector.is_none()
            && matches!(content, Some(Value::Str(text)) if !text.trim().is_empty())
    }

    fn value(&self, id: &str, path: &str) -> Option<Value> {
        if path == "id" {
            return Some(text(id));
        }
        if let Some(value) = self.values.get(path) {
            return Some(value.clone());
        }
        let mut parts = path.split('.');
        let mut value = self.values.get(parts.next()?)?;
        for part in parts {
            let Value::Map(entries) = value else { return None };
            let (_, inner) = entries.iter().find(|(name, _)| name == part)?;
            value = inner;
        }
        Some(value.clone())
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, a)| b.iter().any(|(other, b)| name == other && equal(a, b)))
        }
        // The numbers here are small: a double holds them all.
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            (None, None) => a == b,
            _ => false,
        },
    }
}

/// The order of two values of one kind; the values that are compared by it are no lists and dicts.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
        (Value::Str(a), Value::Str(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => number(a)?.partial_cmp(&number(b)?),
    }
}

fn test(found: Option<&Value>, operator: Operator, wanted: &Value) -> bool {
    use Operator as O;
    let any = |wanted: &Value| match (found, wanted) {
        (Some(found), Value::List(items)) => items.iter().any(|item| equal(found, item)),
        _ => false,
    };
    let ordered = |wanted: &Value| found.and_then(|found| order(found, wanted));
    match operator {
        O::Exists => found.is_some(),
        O::NotExists => found.is_none(),
        O::Equals => found.is_some_and(|found| equal(found, wanted)),
        O::NotEquals => !found.is_some_and(|found| equal(found, wanted)),
        O::In => any(wanted),
        O::NotIn => !any(wanted),
        O::GreaterThan => ordered(wanted) == Some(Ordering::Greater),
        O::LessThan => ordered(wanted) == Some(Ordering::Less),
        O::GreaterThanOrEqual => ordered(wanted).is_some_and(Ordering::is_ge),
        O::LessThanOrEqual => ordered(wanted).is_some_and(Ordering::is_le),
        O::Between => {
            let Value::List(ends) = wanted else { return false };
            ordered(&ends[0]).is_some_and(Ordering::is_ge)
                && ordered(&ends[1]).is_some_and(Ordering::is_le)
        }
        O::Contains => match (found, wanted) {
            (Some(Value::Str(text)), Value::Str(part)) => text.contains(part.as_str()),
            (Some(Value::List(items)), wanted) => items.iter().any(|item| equal(item, wanted)),
            (Some(Value::Map(entries)), Value::Str(key)) => entries.iter().any(|(k, _)| k == key),
            _ => false,
        },
        O::StartsWith | O::EndsWith => match (found, wanted) {
            (Some(Value::Str(text)), Value::Str(part)) if operator == O::StartsWith => {
                text.starts_with(part.as_str())
            }
            (Some(Value::Str(text)), Value::Str(part)) => text.ends_with(part.as_str()),
            _ => false,
        },
    }
}

fn passes(row: &Row, id: &str, filter: &Filter) -> bool {
    match filter {
        Filter::All(filters) => filters.iter().all(|filter| passes(row, id, filter)),
        Filter::Any(filters) => filters.iter().any(|filter| passes(row, id, filter)),
        Filter::Not(filter) => !passes(row, id, filter),
        Filter::Test { property, operator, value } => {
            test(row.value(id, property).as_ref(), *operator, value)
        }
    }
}

impl State {
    /// The nodes that one step from any of the starts finds, by the shortest way from there.
    fn distances(&self, graph: &GraphFilter) -> BTreeMap<String, u32> {
        let [step] = graph.steps.as_slice() else { panic!("these tests ask for one step") };
        let mut found: BTreeMap<String, u32> = BTreeMap::new();
        for start in &graph.start {
            for (id, hops) in self.around(start, step) {
                if (step.min_hops..=step.max_hops).contains(&hops) {
                    let least = found.entry(id).or_insert(hops);
                    *least = hops.min(*least);
                }
            }
        }
        found
    }

    fn around(&self, start: &str, step: &Expansion) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::from([(start.to_owned(), 0)]);
        let mut open = VecDeque::from([start.to_owned()]);
        while let Some(id) = open.pop_front() {
            let hops = found[&id] + 1;
            for (source, target, of) in self.edges.values() {
                let types = step.edge_types.as_ref();
                if types.is_some_and(|types| !types.iter().any(|wanted| wanted == of)) {
                    continue;
                }
                for (here, there, way) in
                    [(source, target, Reach::Out), (target, source, Reach::In)]
                {
                    let follows = step.direction == way || step.direction == Reach::Any;
                    if follows && *here == id && !found.contains_key(there) {
                        found.insert(there.clone(), hops);
                        open.push_back(there.clone());
                    }
                }
            }
        }
        found
    }

    /// Ids of the nodes that pass everything but the ranking legs.
    fn candidates(&self, query: &ConvergedQuery) -> BTreeSet<String> {
        let reached = query.graph.as_ref().map(|graph| (graph, self.distances(graph)));
        let lies_right = |id: &String| match &reached {
            None => true,
            Some((graph, found)) => found.contains_key(id) != graph.exclude,
        };
        let labelled = |row: &Row| {
            query.labels.is_empty() || query.labels.iter().any(|label| label == row.label)
        };
        self.rows
            .iter()
            .filter(|(id, row)| {
                labelled(row)
                    && lies_right(id)
                    && query.filters.iter().all(|filter| passes(row, id, filter))
            })
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// BM25 of every node that holds a word of the query.
    fn bm25(&self, query: &str) -> BTreeMap<String, f64> {
        let (k1, b) = (0.9, 0.4);
        let documents: BTreeMap<&String, Vec<String>> =
            self.rows.iter().filter_map(|(id, row)| Some((id, row.words()?))).collect();
        let count = documents.len() as f64;
        let words: usize = documents.values().map(Vec::len).sum();
        let average = words.max(1) as f64 / count.max(1.0);
        let terms: BTreeSet<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let mut out = BTreeMap::new();
        for term in terms {
            let times = |words: &Vec<String>| words.iter().filter(|word| **word == term).count();
            let holders = documents.values().filter(|words| times(words) > 0).count() as f64;
            let rarity = (1.0 + (count - holders + 0.5) / (holders + 0.5)).ln();
            for (id, words) in &documents {
                let times = times(words) as f64;
                if times > 0.0 {
                    let length = words.len() as f64 / average;
                    let gain = rarity * (k1 + 1.0) * times / (times + k1 * (1.0 - b + b * length));
                    *out.entry((*id).clone()).or_insert(0.0) += gain;
                }
            }
        }
        out
    }

    fn cosines(&self, query: &[f32]) -> BTreeMap<String, f64> {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let cosine = |row: &[f32]| {
            let length = (dot(row, row) * dot(query, query)).sqrt();
            if length == 0.0 { 0.0 } else { dot(row, query) / length }
        };
        let rows = self.rows.iter();
        rows.filter_map(|(id, row)| Some((id.clone(), cosine(row.vector.as_ref()?)))).collect()
    }
}

/// What is expected of one result.
#[derive(Debug, Clone)]
struct Expected {
    score: f64,
    similarity: Option<f64>,
    text: Option<f64>,
    distance: Option<u32>,
}

fn scaled(scores: &[f64], score: f64) -> f64 {
    let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high - low < 1e-9 { 1.0 } else { (score - low) / (high - low) }
}

/// Everything that may be returned; `None` when scores lie so close that scaling them would show the
/// arithmetic, not the rule.
fn expected(state: &State, query: &ConvergedQuery) -> Option<BTreeMap<String, Expected>> {
    let candidates = state.candidates(query);
    let distances = match &query.graph {
        Some(graph) if !graph.exclude => state.distances(graph),
        _ => BTreeMap::new(),
    };
    let keep = |scores: BTreeMap<String, f64>| -> BTreeMap<String, f64> {
        scores.into_iter().filter(|(id, _)| candidates.contains(id)).collect()
    };
    let texts = query.text.as_ref().map(|text| keep(state.bm25(text)));
    let vectors = query.semantic.as_ref().map(|leg| keep(state.cosines(&leg.vector)));
    let ids: BTreeSet<String> = match (&texts, &vectors) {
        (None, None) => candidates.clone(),
        (texts, vectors) => {
            texts.iter().chain(vectors).flat_map(|scores| scores.keys().cloned()).collect()
        }
    };
    let text_of = |id: &String| texts.as_ref().and_then(|scores| scores.get(id).copied());
    let similarity_of = |id: &String| vectors.as_ref().and_then(|scores| scores.get(id).copied());
    // One that a leg did not score counts as its lowest: no word in common is a score of 0.
    let all_texts: Vec<f64> = ids.iter().map(|id| text_of(id).unwrap_or(0.0)).collect();
    let all_vectors: Vec<f64> = ids.iter().filter_map(similarity_of).collect();
    let (both, blended) = (texts.is_some() && vectors.is_some(), query.rank.graph > 0.0);
    if both || blended {
        for scores in [&all_texts, &all_vectors] {
            let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if scores.len() > 1 && high - low < 0.05 {
                return None;
            }
        }
    }
    let close = |id: &String| distances.get(id).map_or(0.0, |hops| 1.0 / (1.0 + f64::from(*hops)));
    let (of_text, of_vectors) = (f64::from(query.rank.text), f64::from(query.rank.semantic));
    let of_graph = f64::from(query.rank.graph);
    let out = ids.iter().map(|id| {
        let (text, similarity) = (text_of(id), similarity_of(id));
        let text_part = || text.map_or(0.0, |score| scaled(&all_texts, score));
        let vector_part = || similarity.map_or(0.0, |score| scaled(&all_vectors, score));
        let score = match (&texts, &vectors) {
            (None, None) => 1.0,
            (Some(_), Some(_)) => {
                of_text * text_part() + of_vectors * vector_part() + of_graph * close(id)
            }
            (Some(_), None) if blended => of_text * text_part() + of_graph * close(id),
            (None, Some(_)) if blended => of_vectors * vector_part() + of_graph * close(id),
            (Some(_), None) => text.unwrap(),
            (None, Some(_)) => similarity.unwrap(),
        };
        (id.clone(), Expected { score, similarity, text, distance: distances.get(id).copied() })
    });
    Some(out.collect())
}

fn near(found: Option<f32>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (f64::from(found) - expected).abs() < CLOSE,
        (None, None) => true,
        _ => false,
    }
}

/// The answer is right, as far as it can be told with scores that are off by `CLOSE`.
fn assert_answer(state: &State, query: &ConvergedQuery, answer: &Answer) {
    let Some(expected) = expected(state, query) else { return };
    let ranked = query.text.is_some() || query.semantic.is_some();
    let threshold = query.semantic.as_ref().and_then(|leg| leg.threshold).map(f64::from);
    let similar = |e: &Expected, by: f64| {
        threshold.is_none_or(|least| e.similarity.is_some_and(|score| score >= least + by))
    };
    let ids: Vec<String> = answer.hits.iter().map(|hit| hit.node.id().unwrap()).collect();
    let sure = expected.values().filter(|e| similar(e, CLOSE)).count();
    let possible = expected.values().filter(|e| similar(e, -CLOSE)).count();
    assert!(ids.len() >= sure.min(query.limit), "{} of {sure}: {ids:?}", ids.len());
    assert!(ids.len() <= possible.min(query.limit), "{} of {possible}: {ids:?}", ids.len());

    let mut lowest = f64::INFINITY;
    for (hit, id) in answer.hits.iter().zip(&ids) {
        let wanted = expected.get(id).unwrap_or_else(|| panic!("{id} is no result"));
        assert!(similar(wanted, -CLOSE), "{id} is below the threshold");
        let hit = &hit.hit;
        assert!(near(Some(hit.score), Some(wanted.score)), "{id}: {hit:?}, not {wanted:?}");
        assert!(near(hit.similarity, wanted.similarity), "{id}: {hit:?}, not {wanted:?}");
        assert!(near(hit.text, wanted.text), "{id}: {hit:?}, not {wanted:?}");
        assert_eq!(hit.distance, wanted.distance, "{id}");
        lowest = lowest.min(wanted.score);
    }
    for pair in answer.hits.windows(2) {
        let (first, second) = (&pair[0].hit, &pair[1].hit);
        assert!(first.score >= second.score, "best first");
        let tied = first.score == second.score;
        if ranked && tied {
            assert!(first.slot < second.slot, "equal ones in the order in which they were made");
        }
    }
    for (id, left_out) in &expected {
        if !ids.contains(id) && similar(left_out, CLOSE) {
            assert!(ids.len() == query.limit, "{id} is missing");
            assert!(left_out.score <= lowest + CLOSE, "{id} is better than what was returned");
        }
    }
    if !ranked {
        let mut order: Vec<_> = expected
            .iter()
            .map(|(id, e)| (e.distance.unwrap_or(0), state.rows[id].born, id.clone()))
            .collect();
        order.sort();
        let order: Vec<String> = order.into_iter().map(|(.., id)| id).take(query.limit).collect();
        assert_eq!(ids, order, "the nearest first, then as they were made");
    }
    let waiting = match query.semantic {
        Some(_) => {
            let rows = state.candidates(query).into_iter().map(|id| &state.rows[&id]);
            rows.filter(|row| row.waits_for_a_vector()).count()
        }
        None => 0,
    };
    assert_eq!(answer.pending, waiting as u64, "matching nodes that have no vector yet");
}

// ---- what is written and asked

#[derive(Debug, Clone)]
enum Write {
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

fn any_write() -> impl Strategy<Value = Write> {
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
fn write(db: &Database, state: &mut State, write: &Write) {
    match write {
        Write::Create { id, label, values } => {
            if state.rows.contains_key(id) {
                return;
            }
            let (label, _) = LABELS[*label];
            let given: Vec<(&str, Value)> =
                values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            db.create_nodes(vec![node(id, label, &given)]).unwrap();
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
struct Ask {
    query: ConvergedQuery,
    vector: Option<Vec<f32>>,
    threshold: Option<f32>,
}

fn any_ask() -> impl Strategy<Value = Ask> {
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
                text,
                labels,
                order_by: Vec::new(),
                limit,
                rank,
                explain: false,
            };
            Ask { query, vector, threshold }
        })
}

/// Whatever is asked over whatever answers.
trait Answers {
    fn ask(&self, query: &Query) -> Result<Answer, Error>;
}

impl Answers for Database {
    fn ask(&self, query: &Query) -> Result<Answer, Error> {
        self.query(query, None, &go_on)
    }
}

impl Answers for PinnedReads {
    fn ask(&self, query: &Query) -> Result<Answer, Error> {
        self.query(query, None, &go_on)
    }
}

fn assert_right(db: &impl Answers, state: &State, ask: &Ask) {
    let mut query = ask.query.clone();
    let asked = Query {
        query: query.clone(),
        semantic: ask.vector.clone().map(SemanticLeg::Vector),
        threshold: ask.threshold,
        space: None,
        wait: None,
        timeout: None,
    };
    let answer = db.ask(&asked);
    query.semantic = ask
        .vector
        .clone()
        .map(|vector| embedded_db_query::Semantic { vector, threshold: ask.threshold });
    let empty = query.filters.is_empty()
        && query.graph.is_none()
        && query.semantic.is_none()
        && query.text.is_none()
        && query.labels.is_empty();
    let error = answer.as_ref().err();
    if empty || query.filters.iter().any(is_contradictory) {
        assert!(matches!(error, Some(Error::InvalidQuery { .. })), "{error:?}");
        return;
    }
    let mut starts = query.graph.iter().flat_map(|graph| &graph.start);
    if let Some(unknown) = starts.find(|id| !state.rows.contains_key(*id)) {
        let named = matches!(error, Some(Error::NotFound { kind: "node", id }) if id == unknown);
        assert!(named, "{error:?}");
        return;
    }
    assert_answer(state, &query, &answer.unwrap());
}

/// Whether no value could ever fulfil a condition inside.
fn is_contradictory(filter: &Filter) -> bool {
    match filter {
        Filter::All(filters) | Filter::Any(filters) => filters.iter().any(is_contradictory),
        Filter::Not(filter) => is_contradictory(filter),
        Filter::Test { operator: Operator::Between, value: Value::List(bounds), .. } => {
            !bounds[0].comparable(&bounds[1]) || bounds[0].compare(&bounds[1]).is_gt()
        }
        Filter::Test { .. } => false,
    }
}

fn seeded(cases: u32) -> ProptestConfig {
    fn given<T: std::str::FromStr>(name: &str) -> Option<T> {
        std::env::var(name).ok()?.parse().ok()
    }
    ProptestConfig {
        cases: given("PROPTEST_CASES").unwrap_or(cases),
        rng_seed: RngSeed::Fixed(given("PROPTEST_RNG_SEED").unwrap_or(5)),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(seeded(120))]

    /// Asked of the newest state, and of each instant that was pinned on the way.
    #[test]
    fn answers_are_those_of_a_plain_reading(
        writes in prop::collection::vec(any_write(), 20..160),
        asks in prop::collection::vec(any_ask(), 1..12),
    ) {
        let db = without_models();
        let mut state = State::default();
        let mut pins = Vec::new();
        for (n, change) in writes.iter().enumerate() {
            write(&db, &mut state, change);
            if n % 50 == 17 {
                pins.push((db.snapshot().unwrap(), state.clone()));
            }
            if n % 50 == 31 {
                // The views are loaded now and must follow from here.
                assert_right(&db, &state, &asks[n % asks.len()]);
            }
        }
        for ask in &asks {
            assert_right(&db, &state, ask);
            for (pin, state) in &pins {
                assert_right(pin, state, ask);
            }
        }
        common::assert_sound(&db);
    }
}

proptest! {
    #![proptest_config(seeded(12))]

    /// A writer in another thread works through all of it.
    #[test]
    fn an_older_instant_answers_the_same_while_others_write(
        first in prop::collection::vec(any_write(), 60..100),
        second in prop::collection::vec(any_write(), 60..100),
        asks in prop::collection::vec(any_ask(), 2..5),
    ) {
        let db = without_models();
        let mut state = State::default();
        first.iter().for_each(|change| write(&db, &mut state, change));
        let pin = db.snapshot().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (db, mut state, done) = (db.clone(), state.clone(), Arc::clone(&done));
            move || {
                second.iter().for_each(|change| write(&db, &mut state, change));
                done.store(true, Memory::Release);
                state
            }
        });
        loop {
            let finished = done.load(Memory::Acquire);
            for ask in &asks {
                assert_right(&pin, &state, ask);
                // Somebody must load the views and bring them on.
                let semantic = Some(SemanticLeg::Vector(vec![1.0; 4]));
                let query = ConvergedQuery { text: Some("rust".into()), ..ask.query.clone() };
                let (threshold, space, wait, timeout) = Default::default();
                drop(db.ask(&Query { query, semantic, threshold, space, wait, timeout }));
            }
            if finished {
                break;
            }
        }
        let newest = writer.join().unwrap();
        for ask in &asks {
            assert_right(&db, &newest, ask);
            assert_right(&pin, &state, ask);
        }
    }
}

// ---- by hand

fn plain(query: ConvergedQuery) -> Query {
    let (semantic, threshold, space, wait, timeout) = Default::default();
    Query { query, semantic, threshold, space, wait, timeout }
}

fn nothing() -> ConvergedQuery {
    ConvergedQuery {
        filters: Vec::new(),
        graph: None,
        semantic: None,
        text: None,
        labels: Vec::new(),
        order_by: Vec::new(),
        limit: 10,
        rank: Rank::default(),
        explain: false,
    }
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.hits.iter().map(|hit| hit.node.id().unwrap()).collect()
}

#[test]
fn a_condition_that_says_nothing_restricts_nothing() {
    let db = without_models();
    db.create_nodes(vec![node("a", "Thing", &[]), node("b", "Thing", &[])]).unwrap();
    db.delete_node("a", None).unwrap();
    for filter in [Filter::All(Vec::new()), Filter::Not(Box::new(Filter::Any(Vec::new())))] {
        let query = ConvergedQuery { filters: vec![filter.clone()], ..nothing() };
        assert_eq!(ids(&db.ask(&plain(query)).unwrap()), ["b"], "{filter:?}");
    }
}

/// Words beyond what an index keeps, with equal beginnings.
#[test]
fn long_and_odd_indexed_texts_are_told_apart() {
    let db = without_models();
    let long = |end: &str| format!("{}{end}", "x".repeat(250));
    let values = ["", "a", "a\0", "a\0b", "é", &long("1"), &long("2"), &"x".repeat(200)];
    for (n, value) in values.iter().enumerate() {
        let given = [("chat_id", text(value))];
        db.create_nodes(vec![node(&format!("n{n}"), "Thing", &given)]).unwrap();
    }
    for (n, value) in values.iter().enumerate() {
        let lists = Value::List(vec![text(value), text("nobody")]);
        for (operator, value) in [(Operator::Equals, text(value)), (Operator::In, lists)] {
            let filter = Filter::Test { property: "chat_id".into(), operator, value };
            let query = ConvergedQuery { filters: vec![filter], ..nothing() };
            assert_eq!(ids(&db.ask(&plain(query)).unwrap()), [format!("n{n}")]);
        }
    }
}

/// `N(t) = F(t) + .3 F(t±1) + .1 F(t±2)` inside a chat.
#[test]
fn adjacent_messages_lend_each_other_score() {
    let db = without_models();
    let contents = ["plum", "zinc", "rust plum", "zinc", "storm", "fjord", "rust"];
    for (n, content) in contents.iter().enumerate() {
        let id = format!("m{n}");
        let given = draft(&[("content", text(content))]);
        let message = NodeDraft::unlabelled(Some(id.clone()), given);
        db.add_messages("c", vec![message], AddTo::AnyChat).unwrap();
        let angle = n as f32 / 3.0;
        let values = [angle.cos(), angle.sin()];
        db.create_embeddings(vec![vector(&format!("v{n}"), &id, None, &values)]).unwrap();
    }
    let ask = |neighbors: f32| {
        let rank = Rank { neighbors: Some(neighbors), ..Rank::default() };
        let labels = vec!["Message".to_owned()];
        let query = ConvergedQuery { text: Some("rust".into()), labels, rank, ..nothing() };
        let semantic = Some(SemanticLeg::Vector(vec![1.0, 0.0]));
        let answer = db.ask(&Query { semantic, ..plain(query) }).unwrap();
        let score = |hit: &embedded_db_engine::AnsweredHit| {
            (hit.node.id().unwrap(), f64::from(hit.hit.score))
        };
        answer.hits.iter().map(score).collect::<BTreeMap<_, _>>()
    };
    let (base, lent) = (ask(0.0), ask(0.3));
    assert_eq!((base.len(), lent.len()), (7, 7));
    let of = |n: i32| base.get(&format!("m{n}")).copied().unwrap_or(0.0);
    for n in 0..7i32 {
        let expected = of(n) + 0.3 * (of(n - 1) + of(n + 1)) + 0.1 * (of(n - 2) + of(n + 2));
        let found = lent[&format!("m{n}")];
        assert!((found - expected).abs() < CLOSE, "m{n}: {found}, not {expected}");
    }
}

#[test]
fn a_query_sees_one_namespace() {
    let db = without_models();
    let other = db.namespace("other").unwrap();
    for (db, id) in [(&db, "here"), (&other, "there")] {
        let draft: NodeDraft = node(id, "Message", &[("content", text("rust"))]);
        db.create_nodes(vec![draft]).unwrap();
        let mut given = vector("", id, None, &[1.0, 0.0]);
        given.id = None;
        db.create_embeddings(vec![given]).unwrap();
    }
    for (db, id) in [(&db, "here"), (&other, "there")] {
        let query = ConvergedQuery { text: Some("rust".into()), ..nothing() };
        let semantic = Some(SemanticLeg::Vector(vec![1.0, 0.0]));
        assert_eq!(ids(&db.ask(&Query { semantic, ..plain(query.clone()) }).unwrap()), [id]);
        assert_eq!(ids(&db.ask(&plain(query)).unwrap()), [id]);
    }
}

/// A leg that ranks is refused, and never passed over: without it the set would be larger.
#[test]
fn what_ranks_is_no_set_to_count_or_change() {
    let db = without_models();
    db.create_nodes(vec![node("a", "Message", &[("content", text("rust"))])]).unwrap();
    db.create_embeddings(vec![vector("v", "a", None, &[1.0, 0.0])]).unwrap();
    let query = ConvergedQuery { labels: vec!["Message".into()], ..nothing() };
    let semantic = Some(SemanticLeg::Vector(vec![1.0, 0.0]));
    let leg = ConvergedQuery { text: Some("rust".into()), ..query.clone() };
    for ranking in [plain(leg), Query { semantic, ..plain(query.clone()) }] {
        let outcomes = [
            db.count_matching(&ranking, &go_on).map(drop),
            db.group_count(&ranking, "content", &go_on).map(drop),
            db.update_matching(&ranking, Changes::default()).map(drop),
            db.delete_matching(&ranking).map(drop),
        ];
        for outcome in outcomes {
            assert!(matches!(outcome, Err(Error::InvalidQuery { .. })), "{outcome:?}");
        }
    }
    assert_eq!(db.count_matching(&plain(query), &go_on).unwrap(), 1);
}
