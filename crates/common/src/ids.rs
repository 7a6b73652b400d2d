//! Identifiers inside the database. Users see strings; these never leave it.

use std::fmt;

macro_rules! small_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "#{}"), self.0)
            }
        }
    };
}

small_id!(
    /// A namespace. `NamespaceId::SYSTEM` owns what spans all of them.
    NamespaceId,
    u32
);
small_id!(
    /// A node or an edge inside its namespace: given once, never reused.
    Slot,
    u32
);
small_id!(
    /// Log sequence number: one per change, contiguous over the whole database.
    Lsn,
    u64
);
small_id!(
    /// An interned name: label, edge type or property key.
    Symbol,
    u32
);
small_id!(
    /// An embedding space: name, model, dimension and metric.
    SpaceId,
    u16
);

impl NamespaceId {
    /// Owner of database-wide rows: changes, symbols, spaces, counters, and what work waits.
    pub const SYSTEM: Self = Self(0);
    /// The namespace used when none is named.
    pub const DEFAULT: Self = Self(1);
}
