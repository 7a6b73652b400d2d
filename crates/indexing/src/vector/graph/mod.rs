//! A graph over the int8 codes of many vectors, for those that no tail can scan in time.
//!
//! The graph is a hierarchy of small worlds (Malkov and Yashunin, 2016). Every row is a node of
//! the base layer; one in 32 is also one of the layer above, and so on. A search goes greedily
//! down to the base and keeps a pool of the nearest rows there. Distances are those of codes
//! alone, in building as in searching; the best rows are then compared by their f32 values.
//!
//! A graph is plain arrays, its [`Section`]s, which never change: a [`GraphView`] searches them
//! wherever they lie. What they say may be damaged, so no index in them is used unchecked.
//!
//! - `bytes`, `header`, `sections`: the arrays. `view`, `blocks`: reading them.
//! - `codes`: rows as codes. `space`: distances between them.
//! - `pool`, `visited`, `walk`: the walk over one layer.
//! - `links`, `select`, `build`, `reach`: linking rows. `merge`: adding rows to a graph.
//! - `effort`, `rule`: how long to walk, and when a filter makes a scan the better way.
//! - `search`, `filtered`, `scan`, `rerank`: searching.

mod blocks;
mod build;
mod bytes;
mod codes;
mod effort;
mod filtered;
mod header;
mod links;
mod merge;
mod pool;
mod reach;
mod rerank;
mod rule;
mod scan;
mod search;
mod sections;
mod select;
mod space;
mod view;
mod visited;
mod walk;

#[cfg(test)]
mod tests;

pub use build::{BuildOptions, Profile, build};
pub use codes::RowCodes;
pub use effort::Effort;
pub use header::GraphDamage;
pub use merge::{Merged, merge};
pub use rerank::{ExactlyFound, SearchError};
pub use search::{Candidate, Found, GraphRequest, Report, Walked, Way};
pub use sections::{Graph, Section};
pub(crate) use view::Finder;
pub use view::GraphView;
pub use walk::Scratch;

/// Most rows of a graph: a key of the pool has 31 bits for one.
pub const MAX_ROWS: usize = (1 << 31) - 1;
