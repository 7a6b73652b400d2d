//! The store: LMDB tables, grouped writers, snapshots and locks. The only crate that touches files.
//!
//! * [`Store`] opens a directory; [`Store::read`] gives a [`Snapshot`], [`Store::write`] runs a job
//!   in a [`WriteTxn`]. Both are read through [`ReadTxn`], and the traits beside it for one aspect each.
//! * Every value is sealed with a checksum over its table, key and bytes, checked on each read.
//! * Every change of a node, edge or embedding gets an LSN and a row in the change table, in the
//!   same transaction.

// What is read from a file has no length that can be relied on.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod adjacency;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod append_log;
mod backup;
mod blackbox;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod columns;
mod data_file;
mod examine;
mod figures;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hidden;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod history;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod indexes;
mod invariants;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod keys;
mod log;
mod new_file;
mod pages;
mod panics;
mod plain_file;
mod platform;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod postings;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod quota;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod read;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod recipes;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod records;
mod renewal;
mod repair;
mod rows;
mod scopes;
mod segments;
mod side_file;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod spaces;
mod staging;
mod store;
mod strengths;
mod touched;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod tx;
mod writer;

pub use adjacency::Neighbor;
pub use append_log::{AppendLog, Records, Syncing};
pub use backup::{Backup, Counts, Restored, Restoring, of_backup};
pub use blackbox::{BlackBox, Ending, Entry, Event, read_black_box};
pub use columns::{COLUMN_SLOTS, Cell, CellRange, Cells, Place, column_row, column_rows};
pub use examine::{Examined, Fact, Finding, Level, WorkCount, examine};
pub use figures::{Occupied, Written};
pub use format::FORMAT;
pub use hidden::{Hidden, Visible};
pub use history::ReadHistory;
pub use indexes::{
    IndexRecord, IndexState, containers_between, index_definition, index_definitions, index_value,
    index_value_of, is_exact, kind_bounds, prefix_bounds, slots_from, text_bounds, text_value,
};
pub use invariants::check_invariants;
pub use keys::{Direction, Kind};
pub use new_file::Progress;
pub use pages::Origin;
pub use panics::{caught, panics, watch_panics};
pub use plain_file::{read_file, replace_file};
pub use platform::{
    Bell, Door, Line, ProcessFacts, fork_generation, host_name, process_facts, real_path, unforked,
    watch_forks, yield_to_others,
};
pub use postings::{CONTAINER_SLOTS, Container, IndexId, TEXT_PREFIX};
pub use read::{ReadEmbeddings, ReadExpiries, ReadPostings, ReadTxn, ReadWork, Resolved};
pub use recipes::{RecipeRecord, recipes};
pub use records::{
    ChangeNames, ChangeOp, ChangeRecord, DatabaseCounters, EdgeFields, EdgeRecord, EdgeTimes,
    EmbeddingRecord, NamespaceCounters, NodeRecord, NodeTimes, SpaceRecord, WorkRecord, WorkState,
};
pub use renewal::Renewed;
pub use repair::{Amounts, Item, ObjectName, Repairing, Salvaged};
pub use rows::Rows;
pub use segments::{Segment, SegmentFile, SegmentWriter, ViewKind, ViewRecord, views};
pub use side_file::SideFile;
pub use spaces::{Dropped, ReadSpaces};
pub use store::{Generation, IN_MEMORY, Sight, Snapshot, State, Store, Symbols, Taken, row_counts};
pub use strengths::{ReadStrengths, Strength};
pub use tx::WriteTxn;
pub use writer::panic_text;
