//! The background worker that enriches what is stored.
//!
//! Work is a bit in the store, set in the same transaction as the change that made it due and
//! cleared in the one that stores the result, so it survives any crash and is done once. Model
//! functions are called through [`Models`] with neither a lock nor a transaction held.

mod batch;
mod curiosity;
mod goal;
mod levels;
mod limits;
mod models;
mod running;
mod said_before;
mod summary;
mod topics;
mod weaver;

pub use curiosity::{Nearest, Similar};
pub use goal::{Previous, Target};
pub use limits::{Function, LimitStatus, Limited, Limits, Payer};
pub use models::{Enriched, Mention, ModelSpace, Models, TextToEnrich};
pub use topics::{Communities, FoundCommunities};
pub use weaver::{
    ArtefactState, Failure, JobCounts, Reembedding, Status, Wanted, Weaver, artefact_state,
    dead_letters, given_up, reembedding_status, work_for, works_for,
};
