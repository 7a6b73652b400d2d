//! The rows of the tables: of a committed state, and inside a write transaction.

use embedded_db_common::Result;
use heed::types::Bytes;
use heed::{RoRange, RoRevRange, RoTxn};

use crate::keys::Table;
use crate::pages::{Ahead, CheckWay, Cursor, View, of_table};
use crate::store::Generation;

/// A key and its sealed value.
pub(crate) type Row<'t> = (&'t [u8], &'t [u8]);

/// The rows of a state, as they are stored.
#[derive(Clone, Copy)]
pub struct Rows<'t>(State<'t>);

#[derive(Clone, Copy)]
enum State<'t> {
    /// Read by our own code from pages that are checked.
    Committed(&'t View),
    /// Read by LMDB, which knows what the transaction has written. The state before it tells which
    /// pages LMDB comes to, so that they are checked first.
    Writing {
        generation: &'t Generation,
        txn: &'t RoTxn<'t>,
        base: &'t View,
        ways: &'t dyn CheckWay,
    },
}

use State::{Committed, Writing};

impl<'t> Rows<'t> {
    pub(crate) fn committed(view: &'t View) -> Self {
        Self(Committed(view))
    }

    pub(crate) fn writing(
        generation: &'t Generation,
        txn: &'t RoTxn<'t>,
        base: &'t View,
        ways: &'t dyn CheckWay,
    ) -> Self {
        Self(Writing { generation, txn, base, ways })
    }

    pub(crate) fn get(self, table: Table, key: &[u8]) -> Result<Option<&'t [u8]>> {
        match self.0 {
            Committed(view) => view.get(table, key),
            Writing { generation, txn, ways, .. } => {
                ways.check_way(table, key)?;
                generation.table(table).get(txn, key).map_err(|error| generation.lmdb_error(error))
            }
        }
    }

    /// The rows from `from` on, and before `end` if there is one, in the order of their keys.
    pub(crate) fn between(
        self,
        table: Table,
        from: &[u8],
        end: Option<&[u8]>,
    ) -> Result<Ascending<'t>> {
        Ok(match self.0 {
            Committed(view) => {
                let cursor = || Cursor::before(view, view.tree(table)?, from);
                let cursor = cursor().map_err(|error| of_table(table, error))?;
                Ascending::Committed { table, cursor, end: end.map(Into::into) }
            }
            Writing { generation, txn, base, .. } => {
                let ahead = Ahead::of(base, table, from)?;
                let rows = generation.table(table).range(txn, &range(from, end));
                let rows = rows.map_err(|error| generation.lmdb_error(error))?;
                Ascending::Writing { generation, rows, ahead }
            }
        })
    }

    /// The same rows, the last first.
    pub(crate) fn between_backwards(
        self,
        table: Table,
        from: &[u8],
        end: Option<&[u8]>,
    ) -> Result<Descending<'t>> {
        Ok(match self.0 {
            Committed(view) => {
                let cursor = || match end {
                    Some(end) => Cursor::before(view, view.tree(table)?, end),
                    None => Cursor::at_end(view, view.tree(table)?),
                };
                let cursor = cursor().map_err(|error| of_table(table, error))?;
                Descending::Committed { table, cursor, from: from.into() }
            }
            Writing { generation, txn, base, .. } => {
                // It looks for the end first: the last row before it may be in another leaf.
                match end {
                    Some(end) => base.check_before(table, end)?,
                    None => base.check_last(table)?,
                }
                let rows = generation.table(table).rev_range(txn, &range(from, end));
                let rows = rows.map_err(|error| generation.lmdb_error(error))?;
                Descending::Writing { generation, rows, table, base }
            }
        })
    }

    /// The last row whose key is not above `key`.
    pub(crate) fn at_or_before(self, table: Table, key: &[u8]) -> Result<Option<Row<'t>>> {
        match self.0 {
            Committed(view) => {
                let find = || Cursor::behind(view, view.tree(table)?, key)?.previous();
                find().map_err(|error| of_table(table, error))
            }
            Writing { generation, txn, base, .. } => {
                base.check_before(table, key)?;
                let found = generation.table(table).get_lower_than_or_equal_to(txn, key);
                found.map_err(|error| generation.lmdb_error(error))
            }
        }
    }

    /// The first row whose key is not below `key`.
    pub(crate) fn at_or_after(self, table: Table, key: &[u8]) -> Result<Option<Row<'t>>> {
        self.between(table, key, None)?.next().transpose()
    }

    /// How many rows a table has.
    pub(crate) fn count(self, table: Table) -> Result<u64> {
        match self.0 {
            Committed(view) => view.rows(table),
            Writing { generation, txn, .. } => {
                generation.table(table).len(txn).map_err(|error| generation.lmdb_error(error))
            }
        }
    }
}

fn range<'k>(
    from: &'k [u8],
    end: Option<&'k [u8]>,
) -> (std::ops::Bound<&'k [u8]>, std::ops::Bound<&'k [u8]>) {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    // LMDB knows no empty key.
    let from = if from.is_empty() { Unbounded } else { Included(from) };
    (from, end.map_or(Unbounded, Excluded))
}

/// What follows all keys that begin with `prefix`; `None` if nothing does.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    loop {
        let last = end.pop()?;
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
}

/// Rows in the order of their keys.
#[allow(clippy::large_enum_variant)] // it lives on the stack of who iterates
pub(crate) enum Ascending<'t> {
    Committed { table: Table, cursor: Cursor<'t>, end: Option<Box<[u8]>> },
    Writing { generation: &'t Generation, rows: RoRange<'t, Bytes, Bytes>, ahead: Ahead<'t> },
}

impl<'t> Iterator for Ascending<'t> {
    type Item = Result<Row<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Committed { table, cursor, end } => {
                let row = cursor.next().map_err(|error| of_table(*table, error)).transpose()?;
                let beyond = |key: &[u8]| end.as_deref().is_some_and(|end| key >= end);
                if row.as_ref().is_ok_and(|(key, _)| beyond(key)) { None } else { Some(row) }
            }
            Self::Writing { generation, rows, ahead } => {
                let row = rows.next()?.map_err(|error| generation.lmdb_error(error));
                Some(row.and_then(|row| ahead.reached(row.0).map(|()| row)))
            }
        }
    }
}

/// Rows, the last first.
#[allow(clippy::large_enum_variant)] // it lives on the stack of who iterates
pub(crate) enum Descending<'t> {
    Committed {
        table: Table,
        cursor: Cursor<'t>,
        from: Box<[u8]>,
    },
    Writing {
        generation: &'t Generation,
        rows: RoRevRange<'t, Bytes, Bytes>,
        table: Table,
        base: &'t View,
    },
}

impl<'t> Iterator for Descending<'t> {
    type Item = Result<Row<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Committed { table, cursor, from } => {
                let row = cursor.previous().map_err(|error| of_table(*table, error)).transpose()?;
                if row.as_ref().is_ok_and(|(key, _)| *key < &**from) { None } else { Some(row) }
            }
            Self::Writing { generation, rows, table, base } => {
                let row = rows.next()?.map_err(|error| generation.lmdb_error(error));
                Some(row.and_then(|row| base.check_before(*table, row.0).map(|()| row)))
            }
        }
    }
}
