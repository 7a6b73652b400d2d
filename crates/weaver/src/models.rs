//! The stateless model functions that the weaver needs.

use embedded_db_common::Result;

use crate::limits::{Function, Limits};

/// What the embedding function makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpace {
    /// The model.
    pub model: String,
    /// What runs it.
    pub provider: String,
    /// Its arithmetic.
    pub precision: String,
    /// Number of dimensions; `None` where only the first vector tells it.
    pub dimension: Option<usize>,
    /// `cosine`, `dot` or `euclidean`.
    pub metric: String,
}

/// A text and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextToEnrich {
    /// The whole text: the sender, and the content.
    pub text: String,
    /// Where the content begins, in characters.
    pub start: usize,
    /// Whether its vectors are wanted.
    pub vectors: bool,
    /// Whether its entities are wanted.
    pub entities: bool,
}

/// A name in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// The name as it is written.
    pub text: String,
    /// Its class: `PERSON`, `GPE`…
    pub label: String,
    /// First character, from the beginning of the content.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
}

/// What the functions found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Enriched {
    /// Vectors row by row, `dimension` numbers each.
    pub vectors: Vec<f32>,
    /// Number of dimensions.
    pub dimension: usize,
    /// For each row the text it belongs to; the rows of a long text follow each other.
    pub owners: Vec<usize>,
    /// For each text its mentions.
    pub mentions: Vec<Vec<Mention>>,
}

/// Model functions: values in, values out. A failing call has no effect.
pub trait Models: Send + Sync {
    /// What the embedding function makes; `None` when there is none. Loads nothing.
    fn space(&self) -> Result<Option<ModelSpace>>;
    /// Loads what the first call would load.
    fn warm_up(&self) -> Result<()>;
    /// One vector a text, row by row. Runs on the thread of whoever asks, and ends with
    /// `Interrupted` when that thread is told to stop.
    fn embed(&self, texts: &[String]) -> Result<Vec<f32>>;
    /// Vectors and mentions in one pass.
    fn enrich(&self, texts: &[TextToEnrich]) -> Result<Enriched>;
    /// A summary of messages, given with a vector each (`dimension` numbers, row by row).
    fn summarize(&self, messages: &[String], vectors: &[f32], dimension: usize) -> Result<String>;
    /// Whether a function is switched off: its work is left as it is, for when it is switched on.
    fn is_off(&self, _function: Function) -> bool {
        false
    }
    /// Begins or ends a time in which calls that go on are left behind soon, and no others begin: whoever they are made
    /// for is being closed.
    fn set_ending(&self, _is_ending: bool) {}
    /// The limits that calls are refused by, when there are any.
    fn limits(&self) -> Option<&Limits> {
        None
    }
}
