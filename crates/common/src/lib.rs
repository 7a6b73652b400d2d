//! Identifiers, values, records, errors and configuration: no I/O.

pub mod calendar;
pub mod chance;
pub mod clock;
mod config;
mod draft;
mod error;
mod fork_gate;
mod hash;
mod ids;
pub mod log;
pub mod metrics;
pub mod names;
mod quota;
pub mod record;
mod token;
pub mod trace;
pub mod value;

pub use config::{
    ActivityLevel, Durability, ModelLimit, ModelLimits, Options, SummarySpan, WeaverOptions,
};
pub use draft::{Draft, check_properties, encode_properties};
pub use error::{Error, Place, Result, shortened};
pub use fork_gate::{ForkGate, Inside};
pub use hash::{ContentHash, Digest, Sha256};
pub use ids::{Lsn, NamespaceId, Slot, SpaceId, Symbol};
pub use quota::{Amounts, NamespaceQuota, Quota, Resource};
pub use token::{AXES, TOKEN_BYTES, TOKEN_VERSION, Token};
pub use value::{Value, ValueRef};

/// Longest identifier, label, edge type or property name, in bytes of UTF-8.
pub const MAX_NAME: usize = 255;
/// Deepest nesting of lists and dicts in a property value.
pub const MAX_DEPTH: usize = 64;
/// Largest encoded property set of one node or edge, in bytes.
pub const MAX_PROPERTIES: usize = 64 << 20;
/// Largest dimension of an embedding.
pub const MAX_DIMENSION: usize = 4096;
/// Largest `limit` of a query.
pub const MAX_LIMIT: usize = 10_000;
