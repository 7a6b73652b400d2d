//! Any query over a small database: it is answered, or refused by an error that says why.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use arbitrary::{Result as Given, Unstructured};
use embedded_db_common::{MAX_LIMIT, Value};

use super::world::{IDS, NAMES, world};
use super::{go_on, told};
use crate::{
    AsOf, Asked, Bm25, ConvergedQuery, Database, Expansion, Filter, Fusion, GraphFilter, Manner,
    Operator, OrderBy, Profile, Query, Rank, Reach, Search, SemanticLeg, TextExpression, Textual,
    Weights,
};

const OPERATORS: [Operator; 14] = [
    Operator::Equals,
    Operator::NotEquals,
    Operator::GreaterThan,
    Operator::GreaterThanOrEqual,
    Operator::LessThan,
    Operator::LessThanOrEqual,
    Operator::Between,
    Operator::In,
    Operator::NotIn,
    Operator::Contains,
    Operator::StartsWith,
    Operator::EndsWith,
    Operator::Exists,
    Operator::NotExists,
];

/// Asks what bytes say.
///
/// # Panics
///
/// When an answer is none of the query.
pub fn queries(bytes: &[u8]) {
    thread_local! {
        static WORLD: OnceCell<Database> = const { OnceCell::new() };
    }
    let mut given = Unstructured::new(bytes);
    let Ok((query, property)) = query(&mut given).and_then(|it| Ok((it, name(&mut given)?))) else {
        return;
    };
    let Ok(manner) = manner(&mut given) else { return };
    WORLD.with(|db| {
        ask(
            db.get_or_init(|| world(Path::new(":memory:")).expect("a small database")),
            query,
            &property,
            manner,
        )
    });
}

fn ask(db: &Database, query: Query, property: &str, manner: Manner) {
    let mut seen = HashSet::new();
    let mut cursor = None;
    for _ in 0..3 {
        let Some(answer) = told(db.query(&query, cursor.as_deref(), &go_on)) else { break };
        assert!(answer.hits.len() <= query.query.limit);
        for (at, hit) in answer.hits.iter().enumerate() {
            assert!(hit.hit.score.is_finite(), "{query:?}");
            assert!(seen.insert(hit.hit.slot), "a node comes once: {query:?}");
            told(answer.text(at));
            told(answer.highlights(at));
        }
        cursor = answer.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let count = told(db.count_matching(&query, &go_on));
    assert!(count.is_none_or(|count| count as usize >= seen.len()), "{query:?}");
    told(db.group_count(&query, property, &go_on));
    if query.query.text.is_some() {
        let search = Search { query, manner, chats: vec!["chat".into()] };
        let found = told(db.search(&search, &go_on));
        assert!(found.is_none_or(|found| found.answer.hits.len() <= MAX_LIMIT));
    }
}

fn manner(given: &mut Unstructured<'_>) -> Given<Manner> {
    let profile = *given.choose(&["auto", "conversation", "window", "plain"])?;
    let mut weights = Weights::default();
    told(weights.set("semantic", 0.0));
    told(weights.set(given.choose(&["text", "session", "date", "x"])?, given.arbitrary()?));
    let profile = told(Profile::parse(profile)).unwrap_or(Profile::Auto);
    Ok(Manner { profile, weights, superseded: given.arbitrary()? })
}

fn query(given: &mut Unstructured<'_>) -> Given<Query> {
    let semantic = given.ratio(1, 4)?.then(|| vector(given)).transpose()?;
    let query = ConvergedQuery {
        filters: several(given, |given| filter(given, 0))?,
        graph: given.ratio(1, 3)?.then(|| graph(given)).transpose()?,
        semantic: None,
        text: given.ratio(1, 3)?.then(|| textual(given)).transpose()?,
        labels: several(given, name)?,
        order_by: several(given, |given| {
            Ok(OrderBy { property: name(given)?, descending: given.arbitrary()? })
        })?,
        limit: if given.arbitrary()? { 2 } else { given.int_in_range(0..=MAX_LIMIT + 1)? },
        rank: if given.arbitrary()? { Rank::default() } else { rank(given)? },
        recall: given.arbitrary()?,
        explain: given.arbitrary()?,
    };
    Ok(Query {
        query,
        semantic: semantic.map(SemanticLeg::Vector),
        threshold: given.arbitrary()?,
        space: given.ratio(1, 16)?.then(|| name(given)).transpose()?,
        wait: given.ratio(1, 16)?.then_some(Duration::ZERO),
        timeout: given.ratio(1, 16)?.then_some(Duration::from_secs(60)),
    })
}

fn several<T>(
    given: &mut Unstructured<'_>,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Given<T>,
) -> Given<Vec<T>> {
    let count = given.int_in_range(0..=3)?;
    (0..count).map(|_| one(given)).collect()
}

fn name(given: &mut Unstructured<'_>) -> Given<String> {
    if given.ratio(1, 8)? {
        return given.arbitrary();
    }
    given.choose(&NAMES).map(|name| (*name).to_owned())
}

fn id(given: &mut Unstructured<'_>) -> Given<String> {
    given.choose(&IDS).map(|id| (*id).to_owned())
}

fn textual(given: &mut Unstructured<'_>) -> Given<Textual> {
    let params = Bm25 { k1: given.arbitrary()?, b: given.arbitrary()? };
    let params = if given.arbitrary()? { params } else { Bm25::default() };
    let asked = text(given)?;
    let written = ["fox AND (la* OR \"the fox\") -may", "lak~1 +fo* NOT \"fox lake\"", &asked];
    let asked = match TextExpression::parse(given.choose(&written)?) {
        Ok(expression) if given.arbitrary()? => Asked::Query(expression),
        _ => Asked::Words(asked),
    };
    Ok(Textual { asked, params })
}

fn text(given: &mut Unstructured<'_>) -> Given<String> {
    let known = ["fox lake", "the", "What did Ann say in May?", "lakes'"];
    if given.arbitrary()? {
        return given.choose(&known).map(|text| (*text).to_owned());
    }
    given.arbitrary()
}

fn vector(given: &mut Unstructured<'_>) -> Given<Vec<f32>> {
    if given.ratio(1, 8)? {
        given.arbitrary()
    } else {
        given.arbitrary::<[f32; 3]>().map(Vec::from)
    }
}

/// Nested as deep as queries may be, and deeper.
fn filter(given: &mut Unstructured<'_>, depth: usize) -> Given<Filter> {
    let deeper = |given: &mut Unstructured<'_>| filter(given, depth + 1);
    Ok(match given.int_in_range(0..=7)? {
        0 if depth < 70 => Filter::All(several(given, deeper)?),
        1 if depth < 70 => Filter::Any(several(given, deeper)?),
        2 if depth < 70 => Filter::Not(Box::new(deeper(given)?)),
        _ => {
            let (property, operator) = (name(given)?, *given.choose(&OPERATORS)?);
            let is_list = matches!(operator, Operator::In | Operator::NotIn | Operator::Between);
            let value = if is_list && !given.ratio(1, 8)? {
                Value::List(several(given, |given| value(given, 0))?)
            } else {
                value(given, 0)?
            };
            Filter::Test { property, operator, value }
        }
    })
}

fn value(given: &mut Unstructured<'_>, depth: usize) -> Given<Value> {
    let deeper = |given: &mut Unstructured<'_>| value(given, depth + 1);
    Ok(match given.int_in_range(0..=9)? {
        0 => Value::Null,
        1 => Value::Bool(given.arbitrary()?),
        2 => Value::Int(given.arbitrary()?),
        3 => Value::Int(given.int_in_range(-3..=8)?),
        4 => Value::Float(given.arbitrary()?),
        5 => Value::Time(given.arbitrary()?),
        6 => Value::Str(text(given)?),
        7 => Value::Bytes(given.arbitrary()?),
        8 if depth < 8 => Value::List(several(given, deeper)?),
        9 if depth < 8 => Value::Map(several(given, |given| Ok((name(given)?, deeper(given)?)))?),
        _ => Value::Str(id(given)?),
    })
}

fn graph(given: &mut Unstructured<'_>) -> Given<GraphFilter> {
    Ok(GraphFilter {
        start: several(given, id)?,
        steps: several(given, expansion)?,
        exclude: given.arbitrary()?,
        times: AsOf { valid_at: given.arbitrary()?, known_at: given.arbitrary()? },
    })
}

fn expansion(given: &mut Unstructured<'_>) -> Given<Expansion> {
    let hops = |given: &mut Unstructured<'_>| -> Given<u32> {
        if given.ratio(1, 8)? { given.arbitrary() } else { given.int_in_range(0..=4) }
    };
    Ok(Expansion {
        edge_types: given.arbitrary::<bool>()?.then(|| several(given, name)).transpose()?,
        direction: *given.choose(&[Reach::Out, Reach::In, Reach::Any])?,
        min_hops: hops(given)?,
        max_hops: hops(given)?,
        labels: several(given, name)?,
        edge_filters: several(given, |given| filter(given, 60))?,
    })
}

fn rank(given: &mut Unstructured<'_>) -> Given<Rank> {
    let fusion = *given.choose(&[Fusion::Weighted, Fusion::Reciprocal])?;
    let (text, semantic, graph) = (given.arbitrary()?, given.arbitrary()?, given.arbitrary()?);
    Ok(Rank {
        fusion,
        text,
        semantic,
        graph,
        // Not drawn, so that the inputs that are kept mean what they did.
        activation: graph,
        neighbors: given.arbitrary()?,
        recency_half_life: given.arbitrary()?,
        mmr: given.arbitrary()?,
    })
}
