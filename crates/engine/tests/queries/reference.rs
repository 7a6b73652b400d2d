//! The reference: everything in plain vectors, read as a whole for each query.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use embedded_db_common::Value;
use embedded_db_engine::{Answer, ConvergedQuery, Expansion, Filter, GraphFilter, Operator, Reach};

use crate::common::text;

/// Of scores that were computed in another order and precision.
pub(crate) const CLOSE: f64 = 2e-4;

/// Each label with the properties that make its text, in their order.
pub(crate) const LABELS: [(&str, &[&str]); 4] = [
    ("Message", &["sender", "content"]),
    ("Chat", &["title", "topic"]),
    ("Summary", &["text"]),
    ("Thing", &[]),
];

pub(crate) type Values = BTreeMap<String, Value>;

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) born: usize,
    pub(crate) label: &'static str,
    pub(crate) values: Values,
    pub(crate) vector: Option<Vec<f32>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) births: usize,
    pub(crate) rows: BTreeMap<String, Row>,
    pub(crate) edges: BTreeMap<String, (String, String, &'static str)>,
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
    let texts = query.text.as_ref().map(|text| keep(state.bm25(text.words().unwrap())));
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
pub(crate) fn assert_answer(state: &State, query: &ConvergedQuery, answer: &Answer) {
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
