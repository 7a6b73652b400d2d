//! What users ask to be written.

use embedded_db_common::calendar::iso;
use embedded_db_common::record::Cursor;
use embedded_db_common::{Draft, Error, Result, Value, ValueRef, names};
use embedded_db_storage::EdgeTimes;

use crate::schema::{CHAT_ID, MESSAGE, PART, TIMESTAMP};

/// A node to be made.
#[derive(Debug, Clone, Default)]
pub struct NodeDraft {
    /// Its id; made when none is given.
    pub id: Option<String>,
    /// At least one.
    pub labels: Vec<String>,
    /// Its properties.
    pub properties: Draft,
    /// When it expires.
    pub expiry: Expiry,
    /// Its vector, where the user has one.
    pub embedding: Option<GivenVector>,
}

/// A vector that comes with its node.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenVector {
    /// Name of the space; the default one when none is given.
    pub space: Option<String>,
    /// Its numbers.
    pub numbers: Vec<f32>,
}

impl NodeDraft {
    /// A chat or a message, which get their labels from what they are.
    pub fn unlabelled(id: Option<String>, properties: Draft) -> Self {
        Self { id, properties, ..Self::default() }
    }

    /// The chat that it is to be put into: the one that a message names, by a text that is not empty. A
    /// part of a document names its document, and stands where the edges of that say.
    pub fn chat_id(&self) -> Result<Option<String>> {
        let Some(value) = self.properties.get(CHAT_ID) else { return Ok(None) };
        if !self.is_labelled(MESSAGE) || self.is_labelled(PART) {
            return Ok(None);
        }
        let value = ValueRef::read(&mut Cursor::new(value))?;
        Ok(value.as_str().filter(|id| !id.is_empty()).map(str::to_owned))
    }

    fn is_labelled(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label)
    }

    /// The same as a message of a chat, written at `now` unless it says when. Its labels do not count if
    /// that of messages is not among them.
    pub fn message_of(&self, chat_id: &str, now: i64) -> Result<Self> {
        let mut properties = Draft::new();
        properties.set(CHAT_ID, &Value::Str(chat_id.to_owned()))?;
        for (name, value) in self.properties.iter() {
            properties.set_stored(name, value);
        }
        if properties.get(TIMESTAMP).is_none() {
            properties.set(TIMESTAMP, &Value::Time(now))?;
        }
        let is_one = self.is_labelled(MESSAGE);
        let labels = if is_one { self.labels.clone() } else { vec![MESSAGE.into()] };
        let (id, expiry, embedding) = (self.id.clone(), self.expiry, self.embedding.clone());
        Ok(Self { id, labels, properties, expiry, embedding })
    }

    /// Whether its labels and its id can be stored; its properties are not looked at.
    pub fn check(&self) -> Result<()> {
        if self.labels.is_empty() {
            let none = Error::InvalidInput("a node needs at least one label; give labels".into());
            return Err(none.of_field("labels"));
        }
        let mut labels = self.labels.iter();
        let checked = labels.try_for_each(|label| names::check("a label", label));
        checked.map_err(|error| error.of_field("labels"))?;
        let id = self.id.as_ref().map_or(Ok(()), |id| names::check("a node id", id));
        id.map_err(|error| error.of_field("id"))
    }
}

/// When a new node expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// So many microseconds after the write.
    After(i64),
    /// At a time, microseconds UTC.
    At(i64),
}

impl Expiry {
    /// The time, of a write at `now`.
    pub fn at(self, now: i64) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::After(micros) => Some(now.saturating_add(micros)),
            Self::At(at) => Some(at),
        }
    }
}

/// What changes on a node or edge.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Properties that get a value.
    pub set: Draft,
    /// Properties that go.
    pub remove: Vec<String>,
}

/// An edge to be made.
#[derive(Debug, Clone)]
pub struct EdgeDraft {
    /// Its id; made when none is given.
    pub id: Option<String>,
    /// Id of the node where it begins.
    pub source: String,
    /// Id of the node where it ends.
    pub target: String,
    /// Its type.
    pub edge_type: String,
    /// Its properties.
    pub properties: Draft,
    /// Its weight.
    pub weight: f64,
    /// True in the world from here on; microseconds UTC.
    pub valid_from: Option<i64>,
    /// True in the world until here; microseconds UTC.
    pub valid_to: Option<i64>,
    /// Ids of what it was derived from.
    pub sources: Vec<String>,
}

impl EdgeDraft {
    /// Whether what it says by itself can be stored; its ends are not looked at.
    pub fn check(&self) -> Result<()> {
        let of = |field| move |error: Error| error.of_field(field);
        names::check("an edge type", &self.edge_type).map_err(of("type"))?;
        if let Some(id) = &self.id {
            names::check("an edge id", id).map_err(of("id"))?;
        }
        check_weight(self.weight)?;
        check_interval(self.valid_from, self.valid_to)?;
        let mut sources = self.sources.iter();
        let checked = sources.try_for_each(|source| names::check("a source", source));
        checked.map_err(of("sources"))
    }

    /// The end of validity that this edge, which begins where it ends, gives to another one; `None`
    /// when that one has ended by itself.
    pub fn ends(&self, other: &EdgeTimes) -> Result<Option<i64>> {
        let (Some(from), began) = (self.valid_from, other.valid_from) else { return Ok(None) };
        if let Some(began) = began.filter(|began| *began >= from) {
            return Err(Error::InvalidInput(format!(
                "the edge is valid from {} on, and what is to take its place from {} on; that has to \
                 begin later: give it a valid_from, or retract the edge",
                iso(began),
                iso(from)
            )));
        }
        Ok(other.valid_to.is_none_or(|to| to > from).then_some(from))
    }
}

/// An edge that takes the place of another. What it does not name it takes over from that one.
#[derive(Debug, Clone)]
pub struct EdgeSuccessor {
    /// Id of the node where it begins.
    pub source: Option<String>,
    /// Id of the node where it ends.
    pub target: Option<String>,
    /// Its type.
    pub edge_type: Option<String>,
    /// All else; ends and type of this draft do not count.
    pub draft: EdgeDraft,
}

impl EdgeSuccessor {
    /// The edge to be made, with ends and type of the other one where it has none of its own; true
    /// in the world from `now` on, if it does not say since when.
    pub fn complete(
        &self,
        source: String,
        target: String,
        edge_type: String,
        now: i64,
    ) -> EdgeDraft {
        EdgeDraft {
            source: self.source.clone().unwrap_or(source),
            target: self.target.clone().unwrap_or(target),
            edge_type: self.edge_type.clone().unwrap_or(edge_type),
            valid_from: self.draft.valid_from.or(Some(now)),
            ..self.draft.clone()
        }
    }
}

/// What changes on an edge.
#[derive(Debug, Clone, Default)]
pub struct EdgeChanges {
    /// Properties.
    pub properties: Changes,
    /// A new weight.
    pub weight: Option<f64>,
    /// A new beginning of validity; `Some(None)` removes it.
    pub valid_from: Option<Option<i64>>,
    /// A new end of validity; `Some(None)` removes it.
    pub valid_to: Option<Option<i64>>,
}

impl EdgeChanges {
    /// What the times of an edge are after it.
    pub fn times(&self, before: &EdgeTimes) -> EdgeTimes {
        EdgeTimes {
            valid_from: self.valid_from.unwrap_or(before.valid_from),
            valid_to: self.valid_to.unwrap_or(before.valid_to),
            ..*before
        }
    }

    /// Whether an edge with these times can be changed so.
    pub fn check(&self, before: &EdgeTimes) -> Result<()> {
        let times = self.times(before);
        self.weight.map_or(Ok(()), check_weight)?;
        check_interval(times.valid_from, times.valid_to)
    }
}

fn check_weight(weight: f64) -> Result<()> {
    if weight.is_finite() {
        return Ok(());
    }
    let wrong = format!("the weight of an edge is {weight}; it must be finite");
    Err(Error::InvalidInput(wrong).of_field("weight"))
}

fn check_interval(from: Option<i64>, to: Option<i64>) -> Result<()> {
    match (from, to) {
        (Some(from), Some(to)) if from >= to => {
            let wrong = format!(
                "valid_from ({}) is not before valid_to ({}): at no time would the edge be true; \
                 swap them, or leave one out",
                iso(from),
                iso(to)
            );
            Err(Error::InvalidInput(wrong).of_field("valid_to"))
        }
        _ => Ok(()),
    }
}

/// A vector to be stored.
#[derive(Debug, Clone)]
pub struct EmbeddingDraft {
    /// Its id; made when none is given.
    pub id: Option<String>,
    /// Id of its node.
    pub node_id: String,
    /// Name of the space; the default one when none is given.
    pub space: Option<String>,
    /// Its numbers.
    pub vector: Vec<f32>,
}
