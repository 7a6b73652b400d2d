//! A query and its results as plain values.

use embedded_db_common::{Error, MAX_LIMIT, Result, Slot, Value};
use embedded_db_indexing::text::{Analyzer, Bm25, TextExpression, TextMatcher, TextQuery};
use embedded_db_storage::Direction;

use crate::fuse::check_weight;
use crate::graph::PathSlots;

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

/// One way to go on from a set of nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// Types of edges to follow; `None` follows all.
    pub edge_types: Option<Vec<String>>,
    /// Which way.
    pub direction: Reach,
    /// Fewest hops.
    pub min_hops: u32,
    /// Most hops.
    pub max_hops: u32,
    /// Labels of which a node at its end has at least one; none given means any.
    pub labels: Vec<String>,
    /// Conditions that hold for every edge on the way.
    pub edge_filters: Vec<Filter>,
}

/// Nodes that are reached from given ones by a chain of expansions, each from every node that the
/// one before has found.
///
/// An expansion from a node finds the nodes whose shortest way from there has `min_hops` to
/// `max_hops` hops.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphFilter {
    /// Ids of the nodes to start from.
    pub start: Vec<String>,
    /// At least one.
    pub steps: Vec<Expansion>,
    /// Keep the nodes that are not reached instead.
    pub exclude: bool,
    /// Which edges count.
    pub times: AsOf,
}

/// When edges are true, and when the database believed so; microseconds UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsOf {
    /// Only edges that are true in the world then; `None` does not ask.
    pub valid_at: Option<i64>,
    /// Edges as the database held them for true then; `None` takes them as they are now.
    pub known_at: Option<i64>,
}

/// The order of results that no leg ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBy {
    /// Name, or dotted path into dicts; `id`, `created_at` and `updated_at` are the node's own.
    pub property: String,
    /// The greatest first.
    pub descending: bool,
}

/// Similarity to a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Semantic {
    /// The vector to compare with.
    pub vector: Vec<f32>,
    /// Least score that counts.
    pub threshold: Option<f32>,
}

/// What a text says.
#[derive(Debug, Clone, PartialEq)]
pub struct Textual {
    /// What is looked for.
    pub asked: Asked,
    /// How it is scored.
    pub params: Bm25,
}

/// What is looked for in texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Any of some words.
    Words(String),
    /// A query in the syntax.
    Query(TextExpression),
}

impl From<&str> for Textual {
    /// Any of some words, scored as usual.
    fn from(words: &str) -> Self {
        Self { asked: Asked::Words(words.into()), params: Bm25::default() }
    }
}

impl Textual {
    /// The words of a query that is nothing but words.
    pub fn words(&self) -> Option<&str> {
        match &self.asked {
            Asked::Words(words) => Some(words),
            Asked::Query(_) => None,
        }
    }

    /// What finds its words in single texts.
    pub fn matcher(&self, analyzer: &Analyzer) -> TextMatcher {
        match &self.asked {
            Asked::Words(words) => TextMatcher::any_of(&TextQuery::parse(analyzer, words, true)),
            Asked::Query(expression) => TextMatcher::new(analyzer, expression),
        }
    }

    fn validate(&self) -> Result<()> {
        if self.words().is_some_and(|words| words.trim().is_empty()) {
            return Err(Error::query("text_query.text", "it is empty; leave the leg out instead"));
        }
        let Bm25 { k1, b } = self.params;
        for (field, value, most) in [("k1", k1, MAX_K1), ("b", b, 1.0)] {
            if !(0.0..=most).contains(&value) {
                let message = format!("{value} is out of range; give 0 to {most}");
                return Err(Error::query(format!("text_query.{field}"), message));
            }
        }
        Ok(())
    }
}

/// Beyond this, further occurrences of a word count as much as the first.
const MAX_K1: f32 = 1000.0;

/// How the scores of legs become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fusion {
    /// Weighted sum of scores, each scaled to 0…1 over the best candidates.
    #[default]
    Weighted,
    /// Reciprocal rank fusion: the weighted sum of 1 / (60 + rank).
    ///
    /// Cormack, Clarke and Büttcher, SIGIR 2009.
    Reciprocal,
}

impl Fusion {
    /// From its public name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "weighted" => Ok(Self::Weighted),
            "rrf" => Ok(Self::Reciprocal),
            other => Err(Error::query(
                "rank.fusion",
                format!("{other:?} is not known; use \"weighted\" or \"rrf\""),
            )),
        }
    }
}

/// How results are ranked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// How the scores of legs become one.
    pub fusion: Fusion,
    /// Weight of the text leg.
    pub text: f32,
    /// Weight of the semantic leg.
    pub semantic: f32,
    /// Weight of closeness in the graph.
    pub graph: f32,
    /// Weight of the activation that spreads from the best results of the other legs (see
    /// [`crate::recall`]); with 0 none does.
    pub activation: f32,
    /// Share of its score that a message lends each adjacent one; a third of it to the next but one.
    /// `None` is [`NEIGHBORS`] where words and meaning are fused by weight, else nothing.
    pub neighbors: Option<f32>,
    /// Seconds in which a score halves, by `timestamp` or else the time of creation.
    pub recency_half_life: Option<f64>,
    /// Diversity, 0 to 1: how much a result loses by its similarity to those before it.
    ///
    /// Maximal marginal relevance: Carbonell and Goldstein, SIGIR 1998.
    pub mmr: Option<f32>,
}

/// What adjacent messages lend each other unless the query says otherwise.
pub const NEIGHBORS: f32 = 0.3;

impl Default for Rank {
    fn default() -> Self {
        Self {
            fusion: Fusion::Weighted,
            text: 0.5,
            semantic: 0.5,
            graph: 0.0,
            activation: 0.0,
            neighbors: None,
            recency_half_life: None,
            mmr: None,
        }
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
    pub text: Option<Textual>,
    /// Labels of which it has at least one; none given means any.
    pub labels: Vec<String>,
    /// Order of results that no leg ranks; ties, and none given, by age.
    pub order_by: Vec<OrderBy>,
    /// Most results.
    pub limit: usize,
    /// How results are ranked.
    pub rank: Rank,
    /// The share of the nearest vectors that is to be found, over 0 and up to 1, where an index could miss some:
    /// about 0.98 unless given. With 1 none is missed.
    pub recall: Option<f32>,
    /// Whether the plan is wanted.
    pub explain: bool,
}

impl ConvergedQuery {
    /// A query that asks for nothing, or for too much, is refused.
    pub fn validate(&self) -> Result<()> {
        self.validate_restrictions()?;
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
        if let Some(text) = &self.text {
            text.validate()?;
        }
        if !self.order_by.is_empty() && self.ranks() {
            return Err(Error::query(
                "order_by",
                "results are ordered by their score here; leave out semantic_query and text_query, \
                 or order_by",
            ));
        }
        if let Some(recall) = self.recall
            && !(recall > 0.0 && recall <= 1.0)
        {
            return Err(Error::query(
                "semantic_query.recall",
                format!("{recall} is out of range; give a share over 0 and up to 1"),
            ));
        }
        if self.rank.activation > 0.0 && !self.ranks() {
            return Err(Error::query(
                "rank.activation",
                "activation begins at what words or meaning find; give text_query or semantic_query",
            ));
        }
        self.rank.validate()
    }

    /// Refuses what no node can fulfil, and a limit that is none.
    pub(crate) fn validate_restrictions(&self) -> Result<()> {
        if self.limit == 0 || self.limit > MAX_LIMIT {
            return Err(Error::query(
                "limit",
                format!("{} is out of range; it must be 1 to {MAX_LIMIT}", self.limit),
            ));
        }
        if let Some(graph) = &self.graph {
            graph.validate()?;
        }
        self.filters.iter().try_for_each(|filter| filter.validate("structural_filters"))
    }

    /// Whether a leg ranks the results.
    pub fn ranks(&self) -> bool {
        self.text.is_some() || self.semantic.is_some()
    }

    /// Whether one leg's own score is the order.
    pub(crate) fn ranks_by_one_leg(&self) -> bool {
        self.text.is_some() != self.semantic.is_some() && !self.rank.blends()
    }
}

impl GraphFilter {
    fn validate(&self) -> Result<()> {
        if self.start.is_empty() {
            return Err(Error::query("graph_filter.start", "it names no node"));
        }
        for step in &self.steps {
            if step.min_hops > step.max_hops {
                return Err(Error::query(
                    "graph_filter.min_hops",
                    format!(
                        "{} is more than max_hops {}; nothing could match",
                        step.min_hops, step.max_hops
                    ),
                ));
            }
            for filter in &step.edge_filters {
                filter.validate("graph_filter.edge_filters")?;
            }
        }
        Ok(())
    }
}

impl Filter {
    /// A condition that no value can satisfy is a mistake.
    fn validate(&self, field: &str) -> Result<()> {
        let impossible = |property: &str, why: String| {
            Err(Error::query(field, format!("{property:?} {why}; nothing could match")))
        };
        match self {
            Self::All(filters) | Self::Any(filters) => {
                filters.iter().try_for_each(|filter| filter.validate(field))
            }
            Self::Not(filter) => filter.validate(field),
            Self::Test { property, operator: Operator::In, value: Value::List(items) }
                if items.is_empty() =>
            {
                impossible(property, "is looked for in an empty list".into())
            }
            Self::Test { property, operator: Operator::Between, value: Value::List(items) } => {
                match items.as_slice() {
                    [low, high] if low.comparable(high) && low.compare(high).is_le() => Ok(()),
                    _ => impossible(
                        property,
                        "is to lie between bounds that nothing lies between: \
                         they must be of one kind, the lower one first"
                            .into(),
                    ),
                }
            }
            Self::Test { .. } => Ok(()),
        }
    }
}

impl Rank {
    /// Whether a leg's own score is not what counts, even where it is the only one.
    pub(crate) fn blends(&self) -> bool {
        self.fusion != Fusion::Weighted
            || self.graph > 0.0
            || self.activation > 0.0
            || self.neighbors.is_some_and(|share| share > 0.0)
            || self.recency_half_life.is_some()
    }

    fn validate(&self) -> Result<()> {
        let weights = [
            ("rank.text", self.text),
            ("rank.semantic", self.semantic),
            ("rank.graph", self.graph),
            ("rank.activation", self.activation),
            ("rank.neighbors", self.neighbors.unwrap_or(0.0)),
        ];
        for (field, weight) in weights {
            check_weight(field, weight)?;
        }
        if let Some(seconds) = self.recency_half_life
            && !(seconds.is_finite() && seconds > 0.0)
        {
            return Err(Error::query(
                "rank.recency_half_life",
                format!("{seconds} is no half-life; give seconds, more than 0"),
            ));
        }
        if let Some(share) = self.mmr
            && !(0.0..=1.0).contains(&share)
        {
            return Err(Error::query(
                "rank.mmr",
                format!("{share} is out of range; give 0 (no diversity) to 1"),
            ));
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
    /// Share of all activation, where some has spread.
    pub activation: Option<f32>,
    /// Rank by activation, from 1.
    pub activation_rank: Option<u32>,
    /// The path that lit it.
    pub path: Option<PathSlots>,
    /// What each part contributes to the score: they add up to it.
    pub shares: Vec<(&'static str, f32)>,
}

impl Hit {
    /// A node of which no leg has said anything yet.
    pub(crate) fn new(slot: Slot, distance: Option<u32>) -> Self {
        Self {
            slot,
            score: 0.0,
            similarity: None,
            text: None,
            distance,
            semantic_rank: None,
            text_rank: None,
            activation: None,
            activation_rank: None,
            path: None,
            shares: Vec::new(),
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What was done.
    pub step: &'static str,
    /// How.
    pub detail: String,
    /// By which way nodes were found, in steps that find them: `index equality`, `index range`,
    /// `index prefix`, `index order`, `index union`, `index intersection`, `column scan`, `column read`,
    /// `label`, `graph` or `scan`.
    pub access: Option<&'static str>,
    /// Nodes that this way alone gives, counted before any is read; of a scan, those to be read.
    pub estimate: Option<u64>,
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
    /// Whether there are more, behind these.
    pub more: bool,
}
