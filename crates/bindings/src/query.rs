//! Queries from their canonical dict, and results.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use embedded_db_engine as engine;
use embedded_db_engine::common::Error;
use embedded_db_engine::{
    AsOf, Asked, Bm25, ConvergedQuery, Expansion, Filter, Fusion, GraphFilter, Operator, OrderBy,
    Query, Rank, Reach, SemanticLeg, TextExpression, Textual,
};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::convert::{string, strings, vector};
use crate::errors::{Released, detached, shown, to_python};
use crate::objects::{Node, Path};
use crate::values::{Property, from_value, value, wait};

fn wrong(py: Python<'_>, field: &str, message: String) -> PyErr {
    to_python(py, &Error::query(field, message))
}

fn dict<'a, 'py>(field: &str, item: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    item.cast::<PyDict>()
        .map_err(|_| wrong(item.py(), field, format!("{} is no dict", shown(item))))
}

fn number<'py, T>(field: &str, item: &Bound<'py, PyAny>, kind: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    item.extract::<T>()
        .map_err(|_| wrong(item.py(), field, format!("{} is not {kind}", shown(item))))
}

fn optional<'py>(given: &Bound<'py, PyDict>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(given.get_item(key)?.filter(|item| !item.is_none()))
}

fn seconds(field: &str, item: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let seconds: f64 = number(field, item, "a number of seconds")?;
    wait(seconds)
        .ok_or_else(|| wrong(item.py(), field, format!("{seconds} is no duration in seconds")))
}

fn filters(field: &str, items: &Bound<'_, PyAny>, depth: usize) -> PyResult<Vec<Filter>> {
    items.try_iter()?.map(|item| filter(field, &item?, depth)).collect()
}

fn filter(field: &str, item: &Bound<'_, PyAny>, depth: usize) -> PyResult<Filter> {
    let py = item.py();
    if depth > engine::common::MAX_DEPTH {
        return Err(wrong(py, field, "conditions are nested deeper than 64 levels".into()));
    }
    let given = dict(field, item)?;
    let all = |items: &Bound<'_, PyAny>| filters(field, items, depth + 1);
    for (key, item) in given.iter() {
        match key.cast::<PyString>().ok().and_then(|key| key.to_str().ok()) {
            Some("any") => return all(&item).map(Filter::Any),
            Some("all") => return all(&item).map(Filter::All),
            Some("not") => return Ok(Filter::Not(Box::new(filter(field, &item, depth + 1)?))),
            Some("property" | "operator" | "value") => {}
            _ => {
                let message = format!("{} is no field of a condition", shown(&key));
                return Err(wrong(py, field, message));
            }
        }
    }
    let need = |key: &str| {
        given.get_item(key)?.ok_or_else(|| {
            wrong(py, field, format!("a condition needs {key:?}; {} has none", shown(item)))
        })
    };
    let operator = string("operator", &need("operator")?)?;
    let operator = Operator::parse(&operator).map_err(|error| to_python(py, &error))?;
    let operand = match operator {
        Operator::Exists | Operator::NotExists => py.None().into_bound(py),
        _ => need("value")?,
    };
    let lists = matches!(operator, Operator::In | Operator::NotIn | Operator::Between);
    let operand = if lists && operand.cast::<PyList>().is_err() {
        // Tuples and sets are as good as lists here.
        PyList::new(py, operand.try_iter()?.collect::<PyResult<Vec<_>>>()?)?.into_any()
    } else {
        operand
    };
    if operator == Operator::Between && operand.len()? != 2 {
        let message = format!("Between needs [low, high]; {} has another length", shown(&operand));
        return Err(wrong(py, field, message));
    }
    let property = string("property", &need("property")?)?;
    let value = value(&Property(&property), &operand)?;
    Ok(Filter::Test { property, operator, value })
}

/// Microseconds since 1970 UTC.
pub(crate) fn time(field: &str, item: &Bound<'_, PyAny>) -> PyResult<i64> {
    match value(&Property(field), item)? {
        engine::common::Value::Time(at) => Ok(at),
        _ => Err(wrong(item.py(), field, format!("{} is no datetime", shown(item)))),
    }
}

fn expansion(given: &Bound<'_, PyDict>) -> PyResult<Expansion> {
    let py = given.py();
    let direction = match optional(given, "direction")? {
        Some(direction) => string("direction", &direction)?,
        None => "any".into(),
    };
    let direction = Reach::parse("graph_filter.direction", &direction);
    let names = |key: &str| -> PyResult<Option<Vec<String>>> {
        let given = optional(given, key)?;
        given.map(|names| strings(&format!("graph_filter.{key}"), &names)).transpose()
    };
    let hops = |key: &str, default: u32| match optional(given, key)? {
        Some(item) => number(&format!("graph_filter.{key}"), &item, "a number of hops (0 or more)"),
        None => Ok(default),
    };
    let min_hops = hops("min_hops", 1)?;
    let edge_filters = optional(given, "edge_filters")?;
    Ok(Expansion {
        edge_types: names("edge_types")?,
        direction: direction.map_err(|error| to_python(py, &error))?,
        min_hops,
        max_hops: hops("max_hops", min_hops.max(1))?,
        labels: names("labels")?.unwrap_or_default(),
        edge_filters: match edge_filters {
            Some(given) => filters("graph_filter.edge_filters", &given, 0)?,
            None => Vec::new(),
        },
    })
}

fn graph(item: &Bound<'_, PyAny>) -> PyResult<GraphFilter> {
    let given = dict("graph_filter", item)?;
    let py = item.py();
    let start = optional(given, "start")?
        .ok_or_else(|| wrong(py, "graph_filter.start", "it is missing; name a node".into()))?;
    let steps = match optional(given, "steps")? {
        None => vec![expansion(given)?],
        Some(steps) => {
            let steps = steps.try_iter()?;
            steps
                .map(|step| expansion(dict("graph_filter.steps", &step?)?))
                .collect::<PyResult<_>>()?
        }
    };
    let at = |field: &str, key: &str| optional(given, key)?.map(|at| time(field, &at)).transpose();
    Ok(GraphFilter {
        start: strings("graph_filter.start", &start)?,
        steps,
        exclude: match optional(given, "exclude")? {
            Some(exclude) => number("graph_filter.exclude", &exclude, "True or False")?,
            None => false,
        },
        times: AsOf {
            valid_at: at("graph_filter.valid_at", "valid_at")?,
            known_at: at("graph_filter.known_at", "known_at")?,
        },
    })
}

fn rank(item: &Bound<'_, PyAny>) -> PyResult<Rank> {
    let given = dict("rank", item)?;
    let weight = |key: &str, default: f32| match optional(given, key)? {
        Some(item) => number(&format!("rank.{key}"), &item, "a weight"),
        None => Ok(default),
    };
    let default = Rank::default();
    let fusion = match optional(given, "fusion")? {
        Some(fusion) => Fusion::parse(&string("rank.fusion", &fusion)?)
            .map_err(|error| to_python(item.py(), &error))?,
        None => default.fusion,
    };
    Ok(Rank {
        fusion,
        text: weight("text", default.text)?,
        semantic: weight("semantic", default.semantic)?,
        graph: weight("graph", default.graph)?,
        activation: weight("activation", default.activation)?,
        neighbors: optional(given, "neighbors")?
            .map(|item| number("rank.neighbors", &item, "a weight"))
            .transpose()?,
        recency_half_life: optional(given, "recency_half_life")?
            .map(|item| number("rank.recency_half_life", &item, "a number of seconds"))
            .transpose()?,
        mmr: optional(given, "mmr")?
            .map(|item| number("rank.mmr", &item, "a number from 0 to 1"))
            .transpose()?,
    })
}

fn order_by(items: &Bound<'_, PyAny>) -> PyResult<Vec<OrderBy>> {
    let order = |item: Bound<'_, PyAny>| {
        let (property, direction): (String, String) = number("order_by", &item, "a pair of texts")?;
        match direction.as_str() {
            "asc" | "desc" => Ok(OrderBy { property, descending: direction == "desc" }),
            _ => Err(wrong(
                item.py(),
                "order_by",
                format!("{direction:?} is not known; use \"asc\" or \"desc\""),
            )),
        }
    };
    items.try_iter()?.map(|item| order(item?)).collect()
}

fn semantic(leg: &Bound<'_, PyDict>) -> PyResult<SemanticLeg> {
    match (optional(leg, "text")?, optional(leg, "vector")?) {
        (Some(text), None) => string("semantic_query.text", &text).map(SemanticLeg::Text),
        (None, Some(numbers)) => vector(&numbers).map(SemanticLeg::Vector),
        _ => Err(wrong(leg.py(), "semantic_query", "give either \"text\" or \"vector\"".into())),
    }
}

fn textual(leg: &Bound<'_, PyDict>) -> PyResult<Textual> {
    let py = leg.py();
    let asked = match (optional(leg, "text")?, optional(leg, "query")?) {
        (Some(text), None) => Asked::Words(string("text_query.text", &text)?),
        (None, Some(query)) => {
            let query = string("text_query.query", &query)?;
            let parsed = TextExpression::parse(&query);
            Asked::Query(parsed.map_err(|error| to_python(py, &error))?)
        }
        _ => return Err(wrong(py, "text_query", "give either \"text\" or \"query\"".into())),
    };
    let parameter = |key: &str, usual: f32| match optional(leg, key)? {
        Some(item) => number(&format!("text_query.{key}"), &item, "a number"),
        None => Ok(usual),
    };
    let Bm25 { k1, b } = Bm25::default();
    let params = Bm25 { k1: parameter("k1", k1)?, b: parameter("b", b)? };
    Ok(Textual { asked, params })
}

/// Refuses a text that is no query in the syntax.
#[pyfunction]
pub(crate) fn check_text_query(py: Python<'_>, query: &str) -> PyResult<()> {
    TextExpression::parse(query).map(drop).map_err(|error| to_python(py, &error))
}

/// A query from its canonical dict.
pub(crate) fn query(given: &Bound<'_, PyDict>) -> PyResult<Query> {
    let py = given.py();
    let mut out = Query {
        query: ConvergedQuery {
            filters: Vec::new(),
            graph: None,
            semantic: None,
            text: None,
            labels: Vec::new(),
            order_by: Vec::new(),
            limit: 10,
            rank: Rank::default(),
            recall: None,
            explain: false,
        },
        semantic: None,
        threshold: None,
        space: None,
        wait: None,
        timeout: None,
    };
    for (key, item) in given.iter() {
        if item.is_none() {
            continue;
        }
        match string("a field of the query", &key)?.as_str() {
            "structural_filters" => {
                out.query.filters = filters("structural_filters", &item, 0)?;
            }
            "order_by" => out.query.order_by = order_by(&item)?,
            "graph_filter" => out.query.graph = Some(graph(&item)?),
            "semantic_query" => {
                let leg = dict("semantic_query", &item)?;
                out.semantic = Some(semantic(leg)?);
                out.threshold = optional(leg, "threshold")?
                    .map(|item| number("semantic_query.threshold", &item, "a score"))
                    .transpose()?;
                if let Some(recall) = optional(leg, "recall")? {
                    let recall: f32 = number("semantic_query.recall", &recall, "a share")?;
                    // `exact` may have been said before.
                    let said = out.query.recall.unwrap_or(0.0);
                    out.query.recall = Some(recall.max(said));
                }
                out.space = optional(leg, "space")?
                    .map(|item| string("semantic_query.space", &item))
                    .transpose()?;
            }
            "text_query" => {
                let leg = dict("text_query", &item)?;
                out.query.text = Some(textual(leg)?);
            }
            "labels" => out.query.labels = strings("labels", &item)?,
            "limit" => out.query.limit = number("limit", &item, "a whole number")?,
            "rank" => out.query.rank = rank(&item)?,
            "wait" => out.wait = Some(seconds("wait", &item)?),
            "timeout" => out.timeout = Some(seconds("timeout", &item)?),
            "explain" => out.query.explain = number("explain", &item, "True or False")?,
            "exact" => {
                if number("exact", &item, "True or False")? {
                    out.query.recall = Some(1.0);
                }
            }
            other => return Err(wrong(py, other, "it is no field of a query".into())),
        }
    }
    Ok(out)
}

/// Values of a property and how many nodes have each, the most frequent first; nodes without it count
/// as `None`, the last. Values that are one key to Python, as `True` and `1` are, are one group.
pub(crate) fn groups<'py>(
    py: Python<'py>,
    groups: Vec<(Option<engine::common::Value>, u64)>,
) -> PyResult<Bound<'py, PyDict>> {
    let merged = PyDict::new(py);
    for (value, count) in groups {
        let value = match value {
            Some(value) => from_value(py, &value)?,
            None => py.None().into_bound(py),
        };
        let before: u64 = match merged.get_item(&value)? {
            Some(count) => count.extract()?,
            None => 0,
        };
        merged.set_item(value, before + count)?;
    }
    let mut sorted = Vec::with_capacity(merged.len());
    for (value, count) in merged.iter() {
        sorted.push((value.is_none(), Reverse(count.extract::<u64>()?), value));
    }
    sorted.sort_by_key(|(is_none, count, _)| (*is_none, *count));
    let out = PyDict::new(py);
    for (_, Reverse(count), value) in sorted {
        out.set_item(value, count)?;
    }
    Ok(out)
}

/// One result of a query with each leg's raw score and rank.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Hit {
    answer: Arc<engine::Answer>,
    at: usize,
}

type Highlighted = (String, Option<usize>, String, Vec<(usize, usize)>);

impl Hit {
    fn hit(&self) -> &engine::AnsweredHit {
        &self.answer.hits[self.at]
    }
}

#[pymethods]
impl Hit {
    #[getter]
    fn node(&self) -> Node {
        Node { inner: self.hit().node.clone() }
    }

    #[getter]
    fn text(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.answer.text(self.at).map_err(|error| to_python(py, &error))
    }

    /// Each text with words of the query: its property, its place in a list, the text, and where they lie.
    #[getter]
    fn highlights(&self, py: Python<'_>) -> PyResult<Vec<Highlighted>> {
        let found = self.answer.highlights(self.at).map_err(|error| to_python(py, &error))?;
        let told = |it: engine::Highlight| (it.property.to_string(), it.item, it.text, it.spans);
        Ok(found.into_iter().map(told).collect())
    }

    #[getter]
    fn score(&self) -> f32 {
        self.hit().hit.score
    }

    #[getter]
    fn similarity_score(&self) -> Option<f32> {
        self.hit().hit.similarity
    }

    #[getter]
    fn text_score(&self) -> Option<f32> {
        self.hit().hit.text
    }

    #[getter]
    fn graph_distance(&self) -> Option<u32> {
        self.hit().hit.distance
    }

    #[getter]
    fn activation(&self) -> Option<f32> {
        self.hit().hit.activation
    }

    #[getter]
    fn path(&self) -> Option<Path> {
        self.hit().path.clone().map(|inner| Path { inner })
    }

    #[getter]
    fn shares<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        for (name, share) in &self.hit().hit.shares {
            out.set_item(name, share)?;
        }
        Ok(out)
    }

    #[getter]
    fn ranks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        let hit = &self.hit().hit;
        for (leg, rank) in [
            ("semantic", hit.semantic_rank),
            ("text", hit.text_rank),
            ("activation", hit.activation_rank),
        ] {
            if let Some(rank) = rank {
                out.set_item(leg, rank)?;
            }
        }
        Ok(out)
    }
}

/// Where the results of a query go on.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Cursor {
    inner: Released<Arc<engine::Cursor>>,
}

impl Cursor {
    pub(crate) fn engine(&self) -> &engine::Cursor {
        &self.inner
    }
}

/// The results of a query, best first.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Hits {
    answer: Arc<engine::Answer>,
    cursor: Option<Released<Arc<engine::Cursor>>>,
    told: Option<engine::Told>,
    reflex: Option<Released<engine::Reflex>>,
}

impl Hits {
    pub(crate) fn new(mut answer: engine::Answer) -> Self {
        // Not with the answer, which every single result keeps: a cursor holds a snapshot.
        let cursor = answer.cursor.take().map(Released::new);
        Self { answer: Arc::new(answer), cursor, told: None, reflex: None }
    }

    pub(crate) fn reflected(reflected: engine::Reflected) -> Self {
        let engine::Reflected { answer, cursor, told, reflex } = reflected;
        let (cursor, reflex) = (cursor.map(Released::new), reflex.map(Released::new));
        Self { answer, cursor, told, reflex }
    }

    fn at(&self, at: usize) -> Hit {
        Hit { answer: Arc::clone(&self.answer), at }
    }
}

#[pymethods]
impl Hits {
    #[getter]
    fn pending(&self) -> u64 {
        self.answer.pending
    }

    #[getter]
    fn plan<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(plan) = &self.answer.plan else { return Ok(None) };
        let steps = PyList::empty(py);
        for step in plan {
            let row = PyDict::new(py);
            row.set_item("step", step.step)?;
            row.set_item("detail", &step.detail)?;
            row.set_item("access", step.access)?;
            row.set_item("estimate", step.estimate)?;
            row.set_item("rows", step.rows)?;
            row.set_item("micros", step.micros)?;
            steps.append(row)?;
        }
        let out = PyDict::new(py);
        out.set_item("steps", steps)?;
        Ok(Some(out))
    }

    /// Where the results go on; `None` behind the last.
    #[getter]
    fn cursor(&self) -> Option<Cursor> {
        let cursor = self.cursor.as_ref()?;
        Some(Cursor { inner: Released::new(Arc::clone(cursor)) })
    }

    /// `"exact"` or `"near"`, with the question that was answered and the cosine of both.
    #[getter]
    fn told(&self) -> Option<(&'static str, Option<&str>, Option<f32>)> {
        Some(match self.told.as_ref()? {
            engine::Told::Exact => ("exact", None, None),
            engine::Told::Near { question, similarity } => {
                ("near", Some(question.as_str()), Some(*similarity))
            }
        })
    }

    /// How sure the reflex is then; `None` when there is none.
    fn judge(&self, py: Python<'_>, right: bool) -> PyResult<Option<f64>> {
        let Some(reflex) = &self.reflex else { return Ok(None) };
        detached(py, || reflex.judge(right)).map(Some)
    }

    fn __len__(&self) -> usize {
        self.answer.hits.len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<Hit> {
        let len = self.answer.hits.len();
        let at = if index < 0 { index + len as isize } else { index };
        match usize::try_from(at) {
            Ok(at) if at < len => Ok(self.at(at)),
            _ => Err(PyIndexError::new_err(format!("result {index} of {len}"))),
        }
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let hits: Vec<Hit> = (0..self.answer.hits.len()).map(|at| self.at(at)).collect();
        PyList::new(
            py,
            hits.into_iter().map(|hit| Py::new(py, hit)).collect::<PyResult<Vec<_>>>()?,
        )?
        .call_method0("__iter__")
    }
}
