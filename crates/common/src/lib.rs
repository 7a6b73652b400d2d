//! Identifiers, values, records, errors and configuration: no I/O.

mod ids;

pub use ids::{Lsn, NamespaceId, Slot, SpaceId, Symbol};
