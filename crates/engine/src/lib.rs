//! The database: assembles store, views, queries and the weaver behind one handle.

mod axes;
mod backup;
mod chats;
mod communities;
mod curiosity;
mod database;
mod doctor;
mod dropping;
mod embedders;
mod ends;
mod engine;
mod entities;
mod expiry;
mod export;
mod feed;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod indexes;
mod linking;
mod logical;
mod objects;
mod observing;
mod operations;
mod pins;
mod queries;
mod quotas;
mod reads;
mod recall;
mod reflexes;
mod repair;
mod restore;
mod sealing;
mod search;
mod sharing;
mod strengths;
mod tokens;
mod transaction;
mod verify;
mod worker;
mod writes;

pub use axes::{ANCHORS, AXES};
pub use chats::{Begin, Messages};
pub use database::{Database, SharedModels};
pub use embedded_db_common as common;
pub use embedded_db_indexing::graph::{
    Artefact, Changes, EdgeChanges, EdgeDraft, EdgeSuccessor, EdgeVersion, EmbeddingDraft, Expiry,
    GivenVector, NodeDraft, RestoredEdge, RestoredEmbedding, RestoredNode,
};
pub use embedded_db_indexing::text::{Bm25, TextExpression};
pub use embedded_db_indexing::vector::{
    Metric, alone as vector_index, arrays as vector_arrays, graph::Effort, graph::Profile as Links,
};
pub use embedded_db_query::analytics;
pub use embedded_db_query::fields::{Parting, Point};
pub use embedded_db_query::recall::{SEEDS, Spreading};
pub use embedded_db_query::search::{Analysis, Manner, Part, Profile, Weights};
pub use embedded_db_query::{
    AsOf, Asked, ConvergedQuery, Expansion, Filter, Fusion, GraphFilter, Guard, Operator, OrderBy,
    Rank, Reach, Step, Textual,
};
pub use embedded_db_storage::{
    Amounts, Backup, Counts, EdgeTimes, Ending, Event, Fact, Finding, Item, Level, ObjectName,
    Origin, Progress, Renewed, Restored, Salvaged, SpaceRecord, fork_generation, panic_text,
    read_black_box, read_file, watch_forks, watch_panics,
};
pub use embedded_db_weaver::{
    ArtefactState, Enriched, Failure, JobCounts, Mention, ModelSpace, Models, Status, TextToEnrich,
    work_for, works_for,
};
pub use feed::{Change, ChangesPage};
pub use indexes::{DeclaredLabel, IndexInfo};
pub use objects::{Edge, Embedding, Node, Path};
pub use observing::{CallCounts, Families, FamilyKind, NANO};
pub use operations::Stats;
pub use queries::{Answer, AnsweredHit, Cursor, Highlight, Query, SemanticLeg};
pub use quotas::QuotaUse;
pub use reads::{Graph, Page, PinnedReads};
pub use recall::{Cue, Recall};
pub use reflexes::{ByReflex, Reflected, Reflex, Told};
pub use repair::Repaired;
pub use search::{Found, Search};
pub use sharing::{Shared, watch_interrupts};
pub use tokens::{Field, NearToken, Placed};
pub use transaction::{Committed, Transaction};
pub use verify::Report;
pub use writes::AddTo;
