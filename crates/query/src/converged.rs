//! A query and its results as plain values.

use embedded_db_common::{Error, MAX_LIMIT, Result, Slot, Value};
use embedded_db_storage::Direction;

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Equals,
    NotEquals,
    GreaterThan,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
    Between,
    In,
    NotIn,
    Contains,
    StartsWith,
    EndsWith,
    Exists,
    NotExists,
}

impl Operator {
    const NAMES: [(&'static str, Self); 14] = [
        ("Equals", Self::Equals),
        ("NotEquals", Self::NotEquals),
        ("GreaterThan", Self::GreaterThan),
        ("GreaterThanOrEqual", Self::GreaterThanOrEqual),
        ("LessThan", Self::LessThan),
        ("LessThanOrEqual", Self::LessThanOrEqual),
        ("Between", Self::Between),
        ("In", Self::In),
        ("NotIn", Self::NotIn),
        ("Contains", Self::Contains),
        ("StartsWith", Self::StartsWith),
        ("EndsWith", Self::EndsWith),
        ("Exists", Self::Exists),
        ("NotExists", Self::NotExists),
    ];

    /// From its public name.
    pub fn parse(name: &str) -> Result<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, operator)| *operator)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
                Error::query(
                    "structural_filters.operator",
                    format!("{name:?} is no operator; use one of {}", known.join(", ")),
                )
            })
    }
}

/// A condition on a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A property compared with a value.
    Test {
        /// Name, or dotted path into dicts; `id`, `created_at` and `updated_at` are the node's own.
        property: String,
        /// How.
        operator: Operator,
        /// With what; a list for `In`, `NotIn` and `Between`.
        value: Value,
    },
}

/// Which way edges are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// From source to target.
    Out,
    /// From target to source.
    In,
    /// Both ways.
    Any,
}

impl Reach {
    /// From its public name.
    pub fn parse(field: &str, name: &str) -> Result<Self> {
        match name {
            "out" => Ok(Self::Out),
            "in" => Ok(Self::In),
            "any" | "both" => Ok(Self::Any),
            other => Err(Error::query(
                field,
                format!("direction {other:?} is not known; use \"out\", \"in\" or \"any\""),
            )),
        }
    }

    /// The directions to look in.
    pub fn directions(self) -> &'static [Direction] {
        match self {
            Self::Out => &[Direction::Out],
            Self::In => &[Direction::In],
            Self::Any => &[Direction::Out, Direction::In],
        }
    }

    /// Seen from the other end.
    pub fn reversed(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
            Self::Any => Self::Any,
        }
    }
}

/// Nodes that are so many hops away from given ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphFilter {
    /// Ids of the nodes to start from.
    pub start: Vec<String>,
    /// Types of edges to follow; `None` follows all.
    pub edge_types: Option<Vec<String>>,
    /// Which way.
    pub direction: Reach,
    /// Fewest hops (of the shortest way).
    pub min_hops: u32,
    /// Most hops.
    pub max_hops: u32,
    /// Keep the nodes that are not reached instead.
    pub exclude: bool,
}

/// Similarity to a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Semantic {
    /// The vector to compare with.
    pub vector: Vec<f32>,
    /// Least score that counts.
    pub threshold: Option<f32>,
}

/// Weights of the legs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// Weight of the text leg.
    pub text: f32,
    /// Weight of the semantic leg.
    pub semantic: f32,
    /// Weight of closeness in the graph.
    pub graph: f32,
    /// Share of its score that a message lends each adjacent one; a third of it to the next but one.
    pub neighbors: f32,
}

impl Default for Rank {
    fn default() -> Self {
        Self { text: 0.5, semantic: 0.5, graph: 0.0, neighbors: 0.3 }
    }
}

/// A query. Legs that are left out do not restrict and do not rank.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvergedQuery {
    /// Conditions that all hold.
    pub filters: Vec<Filter>,
    /// Where the node lies in the graph.
    pub graph: Option<GraphFilter>,
    /// What it resembles.
    pub semantic: Option<Semantic>,
    /// What its text says.
    pub text: Option<String>,
    /// Labels of which it has at least one; none given means any.
    pub labels: Vec<String>,
    /// Most results.
    pub limit: usize,
    /// Weights.
    pub rank: Rank,
    /// Whether the plan is wanted.
    pub explain: bool,
}

impl ConvergedQuery {
    /// A query that asks for nothing, or for too much, is refused.
    pub fn validate(&self) -> Result<()> {
        if self.limit == 0 || self.limit > MAX_LIMIT {
            return Err(Error::query(
                "limit",
                format!("{} is out of range; it must be 1 to {MAX_LIMIT}", self.limit),
            ));
        }
        let empty = self.filters.is_empty()
            && self.graph.is_none()
            && self.semantic.is_none()
            && self.text.is_none()
            && self.labels.is_empty();
        if empty {
            return Err(Error::query(
                "query",
                "it asks for nothing; give at least one of structural_filters, graph_filter, \
                 semantic_query, text_query, labels",
            ));
        }
        if self.text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            return Err(Error::query("text_query.text", "it is empty; leave the leg out instead"));
        }
        if let Some(graph) = &self.graph {
            if graph.start.is_empty() {
                return Err(Error::query("graph_filter.start", "it names no node"));
            }
            if graph.min_hops > graph.max_hops {
                return Err(Error::query(
                    "graph_filter.min_hops",
                    format!(
                        "{} is more than max_hops {}; nothing could match",
                        graph.min_hops, graph.max_hops
                    ),
                ));
            }
        }
        let weights = [
            ("rank.text", self.rank.text),
            ("rank.semantic", self.rank.semantic),
            ("rank.graph", self.rank.graph),
            ("rank.neighbors", self.rank.neighbors),
        ];
        for (field, weight) in weights {
            if !weight.is_finite() || weight < 0.0 {
                return Err(Error::query(
                    field,
                    format!("{weight} is no weight; give a finite number of at least 0"),
                ));
            }
        }
        Ok(())
    }
}

/// One result with what each leg said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The node.
    pub slot: Slot,
    /// What the results are ordered by.
    pub score: f32,
    /// Raw score of the semantic leg.
    pub similarity: Option<f32>,
    /// BM25 score of the text leg.
    pub text: Option<f32>,
    /// Hops from the nearest start.
    pub distance: Option<u32>,
    /// Rank in the semantic leg, from 1.
    pub semantic_rank: Option<u32>,
    /// Rank in the text leg, from 1.
    pub text_rank: Option<u32>,
    /// What every part gives to the score.
    pub shares: Vec<(&'static str, f32)>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What was done.
    pub step: &'static str,
    /// How.
    pub detail: String,
    /// Nodes left after it.
    pub rows: u64,
    /// Time it took.
    pub micros: f64,
}

/// The answer to a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Nodes that pass the filters but have no vector yet, where the query ranks by similarity.
    pub pending: u64,
    /// The plan, if it was asked for.
    pub plan: Option<Vec<Step>>,
}
