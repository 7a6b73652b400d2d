//! Vectors of one embedding space in one namespace: files of many, and an exact tail in memory.
//!
//! [`VectorIndex`] is both. Its [`VectorTail`] holds int8 codes of what is in no file, with the range of log
//! sequence numbers in which each row is seen; a file holds codes of what was there when it was written. A search
//! scans codes, or walks over the graph of a file that has one, keeps every row whose true score could still be
//! among the best k (see the bound in `quantize`), and reads those rows' f32 values from the store.
//!
//! - `index`: both. `sources`: where a row lies. `search`, `shortlist`: what reads them.
//! - `tail`: what changes the tail. `block`: where its codes lie; append-only, never moved by growth. `slots`: from
//!   a node's slot to its rows.
//! - `segment`: files. `part`: a file, and what has ended in it.
//! - `quantize`: codes of rows and queries, and what their scores can be off by.
//! - `exact`: the score of two f32 vectors, which defines the order.
//! - `stored`: vectors as the store has them.
//! - [`arrays`]: vectors compared in no index. [`alone`]: an index without a store.
//! - [`graph`]: many rows, linked for a search that looks at few of them.

pub mod alone;
pub mod arrays;
mod block;
mod exact;
pub mod graph;
mod index;
mod part;
mod quantize;
mod search;
pub(crate) mod segment;
mod shortlist;
mod slots;
mod sources;
pub(crate) mod stored;
mod tail;
mod whole;

#[cfg(test)]
mod tests;

use embedded_db_common::Slot;

pub use index::VectorIndex;
pub use search::{Found, VectorReport, VectorRequest};
pub use tail::VectorTail;
pub use whole::direction;

/// How two vectors are compared. Scores are such that larger is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The cosine of the angle, in \[−1, 1\]; 0 if either vector is zero.
    Cosine,
    /// The inner product.
    Dot,
    /// The negative Euclidean distance, at most 0.
    Euclidean,
}

/// A node found by a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VectorHit {
    /// The node.
    pub slot: Slot,
    /// Its best part; of equally good ones the first.
    pub part: u16,
    /// The exact score of that part, larger being better.
    pub score: f32,
}

/// Where the f32 rows are: the store, at a snapshot that agrees with the `at` of the search.
pub trait RowSource {
    /// What can go wrong there.
    type Error;

    /// Copies the row into `out`. `false`: there is none, and the search goes on without it; a
    /// source for which that means damage answers with an error instead.
    fn row(&mut self, slot: Slot, part: u16, out: &mut [f32]) -> Result<bool, Self::Error>;
}
