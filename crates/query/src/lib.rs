//! The converged query: property filters, graph reach, full text and similarity over one snapshot.
//!
//! Structural and graph legs restrict, text and semantic legs rank. [`run`] plans and answers a
//! [`ConvergedQuery`]; [`graph`] holds the traversals that it shares with the public graph calls,
//! [`analytics`] works on whole graphs, and [`search`] answers a question in plain words.

mod access;
pub mod analytics;
mod candidates;
pub mod cheapest;
mod converged;
mod diverse;
pub mod fields;
mod filter;
mod fuse;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod graph;
mod guard;
mod legs;
mod lexical;
mod matching;
mod order;
mod pattern;
pub mod recall;
mod run;
pub mod search;

pub use converged::{
    AsOf, Asked, ConvergedQuery, Expansion, Filter, Fusion, GraphFilter, Hit, NEIGHBORS, Operator,
    OrderBy, Rank, Reach, Results, Semantic, Step, Textual,
};
pub use guard::{Deadline, Guard};
pub use matching::{group_count, matching, ranks};
pub use run::{Context, run};
