//! What is written while another generation is made, so that it can be brought up to date.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use embedded_db_common::NamespaceId;

use crate::keys::Table;

/// Something that a write has changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Touched {
    /// The rows of a table whose keys begin so and that are packed together, or the one with this key.
    Rows(Table, Box<[u8]>),
    /// A namespace was dropped, with all its rows.
    Namespace(NamespaceId),
}

impl Touched {
    /// Of one row. Where slots are packed, what lies in one row here lies in another elsewhere.
    pub(crate) fn row(table: Table, key: &[u8]) -> Self {
        Self::Rows(table, pack(table, key).into())
    }
}

/// Whether slots are packed together in the rows of a table.
pub(crate) fn is_packed(table: Table) -> bool {
    matches!(table, Table::Adjacency | Table::Postings | Table::Columns)
}

/// What the keys of all rows have in common whose slots are packed together; the whole key where none are.
pub(crate) fn pack(table: Table, key: &[u8]) -> &[u8] {
    let end = match table {
        // Namespace, node, direction and type.
        Table::Adjacency => 13,
        // All but the number of the container, or of the row.
        Table::Postings | Table::Columns => key.len().saturating_sub(4),
        _ => key.len(),
    };
    key.get(..end).unwrap_or(key)
}

/// What was committed since it was last taken, while somebody wants to know.
#[derive(Default)]
pub(crate) struct TouchedRows {
    wanted: AtomicBool,
    rows: Mutex<HashSet<Touched>>,
}

impl TouchedRows {
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// From now on, or no longer. Nobody may be writing.
    pub(crate) fn want(&self, wanted: bool) {
        self.take();
        self.wanted.store(wanted, Ordering::Release);
    }

    pub(crate) fn add(&self, touched: Vec<Touched>) {
        if !touched.is_empty() {
            self.rows.lock().unwrap_or_else(PoisonError::into_inner).extend(touched);
        }
    }

    pub(crate) fn take(&self) -> HashSet<Touched> {
        std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
