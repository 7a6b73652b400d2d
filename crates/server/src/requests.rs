//! Queries, questions and cues from their JSON, which is that of `ConvergedQuery.to_dict` in Python.

use std::time::Duration;

use embedded_db_engine::common::{Error, MAX_DEPTH, Result, Value};
use embedded_db_engine::{
    AsOf, Asked, Bm25, ConvergedQuery, Cue, Expansion, Filter, Fusion, GraphFilter, Manner,
    Operator, OrderBy, Profile, Query, Rank, Reach, Recall, SEEDS, Search, SemanticLeg, Spreading,
    TextExpression, Textual, Weights,
};

use crate::fields::Fields;
use crate::json::decoded;

/// Longest that a request may take or wait, whatever it says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    pub(crate) time: Duration,
    /// The embedding space of legs that name none.
    pub(crate) space: Option<&'a str>,
}

fn filters(field: &str, items: &[Value], depth: usize) -> Result<Vec<Filter>> {
    items.iter().map(|item| filter(field, item, depth)).collect()
}

fn filter(field: &str, item: &Value, depth: usize) -> Result<Filter> {
    if depth > MAX_DEPTH {
        return Err(Error::query(
            field,
            "conditions are nested deeper than 64 levels; flatten them",
        ));
    }
    let given = Fields::of_any(item);
    if let Some(items) = given.list("any") {
        return filters(field, items, depth + 1).map(Filter::Any);
    }
    if let Some(items) = given.list("all") {
        return filters(field, items, depth + 1).map(Filter::All);
    }
    if let Some(item) = given.get("not") {
        return Ok(Filter::Not(Box::new(filter(field, item, depth + 1)?)));
    }
    let operator = Operator::parse(given.required("operator"))?;
    let value = given.iter().find(|(name, _)| *name == "value").map(|(_, value)| value);
    let value = value.map(decoded).transpose()?;
    let refused = |message: &str| Err(Error::query(field, message));
    let value = match (operator, value) {
        (Operator::Exists | Operator::NotExists, Some(_)) => {
            return refused("Exists and NotExists take no value; leave it out");
        }
        (Operator::Exists | Operator::NotExists, None) => Value::Null,
        (_, None) => return refused("the condition has no value; add it"),
        (Operator::Between, Some(Value::List(ends))) if ends.len() == 2 => Value::List(ends),
        (Operator::Between, Some(_)) => return refused("Between needs [low, high]; give both"),
        (Operator::In, Some(Value::List(items))) if items.is_empty() => {
            return refused("In needs at least one value; nothing could match");
        }
        (Operator::In | Operator::NotIn, Some(list @ Value::List(_))) => list,
        (Operator::In | Operator::NotIn, Some(_)) => {
            return refused("it needs a list of values; give one");
        }
        (Operator::StartsWith | Operator::EndsWith, Some(text @ Value::Str(_))) => text,
        (Operator::StartsWith | Operator::EndsWith, Some(_)) => {
            return refused("it compares with a text; give one");
        }
        (_, Some(value)) => value,
    };
    Ok(Filter::Test { property: given.required("property").to_owned(), operator, value })
}

pub(crate) fn reach(given: &Fields<'_>, usual: &str) -> Result<Reach> {
    let way = given.text("direction").unwrap_or(usual);
    Reach::parse("direction", if way == "any" { "both" } else { way })
}

pub(crate) fn as_of(given: &Fields<'_>) -> AsOf {
    AsOf { valid_at: given.time("valid_at"), known_at: given.time("known_at") }
}

fn expansion(given: &Fields<'_>) -> Result<Expansion> {
    let min_hops: u32 = given.size("min_hops").unwrap_or(1);
    let max_hops = given.size("max_hops").unwrap_or(min_hops.max(1));
    if min_hops > max_hops {
        let message =
            format!("min_hops is {min_hops}, more than max_hops {max_hops}; raise max_hops");
        return Err(Error::query("graph_filter", message));
    }
    let edge_filters = given.list("edge_filters").unwrap_or_default();
    Ok(Expansion {
        edge_types: given.given_texts("edge_types"),
        direction: reach(given, "any")?,
        min_hops,
        max_hops,
        labels: given.texts("labels"),
        edge_filters: filters("graph_filter.edge_filters", edge_filters, 0)?,
    })
}

fn graph(given: &Fields<'_>) -> Result<GraphFilter> {
    let steps = match given.list("steps") {
        None => vec![expansion(given)?],
        Some(steps) => {
            let beside =
                ["edge_types", "direction", "min_hops", "max_hops", "labels", "edge_filters"];
            if let Some(name) = beside.into_iter().find(|name| given.get(name).is_some()) {
                let message = format!("it has both steps and {name}; move {name} into a step");
                return Err(Error::query("graph_filter", message));
            }
            steps.iter().map(|step| expansion(&Fields::of_any(step))).collect::<Result<_>>()?
        }
    };
    Ok(GraphFilter {
        start: given.texts("start"),
        steps,
        exclude: given.flag("exclude"),
        times: as_of(given),
    })
}

fn rank(given: &Fields<'_>) -> Result<Rank> {
    let usual = Rank::default();
    let weight = |name: &str, usual: f32| given.number(name).map_or(usual, |weight| weight as f32);
    Ok(Rank {
        fusion: given.text("fusion").map_or(Ok(usual.fusion), Fusion::parse)?,
        text: weight("text", usual.text),
        semantic: weight("semantic", usual.semantic),
        graph: weight("graph", usual.graph),
        activation: weight("activation", usual.activation),
        neighbors: given.number("neighbors").map(|weight| weight as f32),
        recency_half_life: given.number("recency_half_life"),
        mmr: given.number("mmr").map(|mmr| mmr as f32),
    })
}

fn order_by(items: &[Value]) -> Result<Vec<OrderBy>> {
    let order = |item: &Value| match item {
        Value::List(pair) => match pair.as_slice() {
            [Value::Str(property), Value::Str(way)] if way == "asc" || way == "desc" => {
                Ok(OrderBy { property: property.clone(), descending: way == "desc" })
            }
            _ => Err(Error::query(
                "order_by",
                "it is no pair of a property and \"asc\" or \"desc\"; give pairs",
            )),
        },
        _ => Err(Error::query(
            "order_by",
            "it is no pair; give pairs of a property and \"asc\" or \"desc\"",
        )),
    };
    items.iter().map(order).collect()
}

fn textual(given: &Fields<'_>) -> Result<Textual> {
    let asked = match (given.text("text"), given.text("query")) {
        (Some(text), None) => Asked::Words(text.to_owned()),
        (None, Some(query)) => Asked::Query(TextExpression::parse(query)?),
        _ => return Err(Error::query("text_query", "it needs one of text and query; give one")),
    };
    let Bm25 { k1, b } = Bm25::default();
    let parameter = |name: &str, usual: f32| given.number(name).map_or(usual, |it| it as f32);
    Ok(Textual { asked, params: Bm25 { k1: parameter("k1", k1), b: parameter("b", b) } })
}

fn semantic(given: &Fields<'_>) -> Result<SemanticLeg> {
    match (given.owned("text"), given.vector("vector")) {
        (Some(text), None) => Ok(SemanticLeg::Text(text)),
        (None, Some(numbers)) => Ok(SemanticLeg::Vector(numbers)),
        _ => Err(Error::query("semantic_query", "it needs one of text and vector; give one")),
    }
}

/// A converged query.
pub(crate) fn query(given: &Fields<'_>, bounds: Bounds<'_>) -> Result<Query> {
    let leg = given.fields("semantic_query");
    let number = |name: &str| leg.and_then(|leg| leg.number(name)).map(|it| it as f32);
    let seconds = |name: &str| given.number(name).map(Duration::from_secs_f64);
    let recall = if given.flag("exact") { Some(1.0) } else { number("recall") };
    let conditions = given.list("structural_filters").unwrap_or_default();
    Ok(Query {
        query: ConvergedQuery {
            filters: filters("structural_filters", conditions, 0)?,
            graph: given.fields("graph_filter").map(|it| graph(&it)).transpose()?,
            semantic: None,
            text: given.fields("text_query").map(|it| textual(&it)).transpose()?,
            labels: given.texts("labels"),
            order_by: order_by(given.list("order_by").unwrap_or_default())?,
            limit: given.size("limit").unwrap_or(10),
            rank: given.fields("rank").map_or(Ok(Rank::default()), |it| rank(&it))?,
            recall,
            explain: given.flag("explain"),
        },
        semantic: leg.map(|leg| semantic(&leg)).transpose()?,
        threshold: number("threshold"),
        space: leg
            .and_then(|leg| leg.owned("space"))
            .or_else(|| leg.and(bounds.space).map(str::to_owned)),
        wait: seconds("wait").map(|wait| wait.min(bounds.time)),
        timeout: Some(seconds("timeout").unwrap_or(bounds.time).min(bounds.time)),
    })
}

/// A question in plain words.
pub(crate) fn search(given: &Fields<'_>, bounds: Bounds<'_>) -> Result<Search> {
    let chats = given.texts("chats");
    let mut query = query(given, bounds)?;
    query.query.text = given.text("text").map(Into::into);
    query.space = bounds.space.map(str::to_owned);
    if !chats.is_empty() {
        query.query.filters.push(Filter::Test {
            property: "chat_id".into(),
            operator: Operator::In,
            value: Value::List(chats.iter().cloned().map(Value::Str).collect()),
        });
    }
    let profile = given.text("profile").map_or(Ok(Profile::Auto), Profile::parse)?;
    let mut weights = Weights::default();
    for (part, _) in given.fields("weights").iter().flat_map(Fields::iter) {
        let weight = given.fields("weights").and_then(|weights| weights.number(part));
        weights.set(part, weight.unwrap_or(1.0) as f32)?;
    }
    Ok(Search {
        query,
        manner: Manner { profile, weights, superseded: given.flag("superseded") },
        chats,
    })
}

/// What something is recalled by.
pub(crate) fn recall(given: &Fields<'_>, bounds: Bounds<'_>) -> Result<Recall> {
    let cues = [
        given.owned("text").map(Cue::Text),
        given.vector("vector").map(Cue::Vector),
        given.given_texts("nodes").map(Cue::Nodes),
        given
            .fields("query")
            .map(|it| query(&it, bounds))
            .transpose()?
            .map(|it| Cue::Query(Box::new(it))),
    ];
    let mut cues = cues.into_iter().flatten();
    let (Some(cue), None) = (cues.next(), cues.next()) else {
        return Err(Error::query("cue", "it needs one of text, vector, nodes and query; give one"));
    };
    let usual = Spreading::default();
    let mut within = query(&Fields::new(&restrictions(given)), bounds)?;
    within.space = bounds.space.map(str::to_owned);
    Ok(Recall {
        cue,
        seeds: given.size("seeds").unwrap_or(SEEDS),
        spreading: Spreading {
            bursts: given.size("bursts").unwrap_or(usual.bursts),
            restart: given.number("restart").map_or(usual.restart, |it| it as f32),
            edge_types: given.given_texts("edge_types"),
            direction: reach(given, "any")?,
            valid_at: given.time("valid_at"),
        },
        within,
        // Who may read only recalls, too.
        strengthen: false,
    })
}

/// What of a cue is a query.
fn restrictions(given: &Fields<'_>) -> Vec<(String, Value)> {
    let own = ["structural_filters", "graph_filter", "labels", "limit", "timeout", "explain"];
    let kept = given.iter().filter(|(name, _)| own.contains(name));
    kept.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}
