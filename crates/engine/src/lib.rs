//! The database: assembles store, views, queries and the weaver behind one handle.

mod backup;
mod chats;
mod database;
mod doctor;
mod dropping;
mod embedders;
mod ends;
mod entities;
mod expiry;
mod feed;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod indexes;
mod linking;
mod logical;
mod objects;
mod operations;
mod pins;
mod queries;
mod reads;
mod repair;
mod restore;
mod sealing;
mod search;
mod transaction;
mod verify;
mod worker;
mod writes;

pub use chats::{Begin, Messages};
pub use database::{Database, SharedModels};
pub use embedded_db_common as common;
pub use embedded_db_indexing::graph::{
    Artefact, Changes, EdgeChanges, EdgeDraft, EdgeSuccessor, EdgeVersion, EmbeddingDraft, Expiry,
    NodeDraft, RestoredEdge, RestoredEmbedding, RestoredNode,
};
pub use embedded_db_indexing::text::{Bm25, TextExpression};
pub use embedded_db_query::analytics;
pub use embedded_db_query::search::{Analysis, Manner, Part, Profile, Weights};
pub use embedded_db_query::{
    AsOf, Asked, ConvergedQuery, Expansion, Filter, Fusion, GraphFilter, Guard, Operator, OrderBy,
    Rank, Reach, Step, Textual,
};
pub use embedded_db_storage::{
    Amounts, Backup, Counts, EdgeTimes, Fact, Finding, Item, Level, ObjectName, Origin, Progress,
    Renewed, Restored, Salvaged, SpaceRecord, panic_text, watch_forks,
};
pub use embedded_db_weaver::{
    ArtefactState, Enriched, Failure, JobCounts, Mention, ModelSpace, Models, Status, TextToEnrich,
};
pub use feed::{Change, ChangesPage};
pub use indexes::{DeclaredLabel, IndexInfo};
pub use objects::{Edge, Embedding, Node, Path};
pub use operations::Stats;
pub use queries::{Answer, AnsweredHit, Cursor, Highlight, Query, SemanticLeg};
pub use reads::{Graph, Page, PinnedReads};
pub use repair::Repaired;
pub use search::{Found, Search};
pub use transaction::{Committed, Transaction};
pub use verify::Report;
pub use writes::AddTo;
