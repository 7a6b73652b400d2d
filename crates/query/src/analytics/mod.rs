//! Algorithms over whole graphs.
//!
//! [`read`] takes the graph out of a snapshot once, into rows of numbers ([`Csr`]); every algorithm is
//! a function of those alone. Nodes are numbered in the order in which they were made, which also
//! decides between equals, so that a result depends on the graph alone.

mod cores;
mod csr;
mod distances;
mod ids;
mod leiden;
mod pagerank;
mod partition;
mod propagation;
mod random;
mod read;
#[cfg(test)]
mod tests;
mod triangles;

pub use cores::cores;
pub use csr::Csr;
pub(crate) use distances::Cost;
pub use distances::{costs, hops};
pub use ids::Ids;
pub use leiden::{Found as Communities, Leiden, leiden};
pub use pagerank::{PageRank, Ranks, pagerank};
pub use partition::components;
pub use propagation::propagate;
pub(crate) use read::weight;
pub use read::{Scope, Stored, read};
pub use triangles::{clustering, triangles};
