//! What users ask to be written.

use embedded_db_common::Draft;

/// A node to be made.
#[derive(Debug, Clone, Default)]
pub struct NodeDraft {
    /// Its id; made when none is given.
    pub id: Option<String>,
    /// At least one.
    pub labels: Vec<String>,
    /// Its properties.
    pub properties: Draft,
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
