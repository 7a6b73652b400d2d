//! Checking what LMDB will read while it writes.
//!
//! LMDB reads the pages of the state before its transaction, and those that it has written since, which
//! lie in memory. It comes to a page of the state before in these ways, and each is checked first:
//!
//! - by the way from a root to a key, whose value may lie in pages of its own;
//! - when a page has become too empty: to the pages beside it on each level, and from there down to the
//!   lowest leaf, which has their first key;
//! - when it goes on to the next or the previous row;
//! - when a row is put behind all others: by the way to the last one, which then is the way to the key;
//! - at the opening, the commit and the choice of free pages: to the trees of names and of free pages.

use std::cell::Cell;

use embedded_db_common::Result;

use super::layout::{Page, Tree};
use super::written::all_pages;
use super::{Cursor, Meta, Pages, View, of_table};
use crate::keys::Table;

/// What a writer reads whatever it writes: the trees of names and of free pages.
pub(super) fn check_writer(pages: &Pages, meta: &Meta) -> Result<()> {
    let view = View::new(pages.clone(), *meta);
    let free = Meta { main: Tree::EMPTY, ..*meta };
    all_pages(pages, &free, &mut |number, _| view.bytes(number).map(drop))?;
    // A file that was just made has no tables.
    if meta.main == Tree::EMPTY {
        return Ok(());
    }
    for table in Table::ALL {
        view.tree(table)?;
    }
    let mut names = Cursor::before(&view, meta.main, &[])?;
    while names.next_leaf()? {}
    Ok(())
}

impl View {
    /// Checks the way to a key, and its value.
    pub(crate) fn check_way(&self, table: Table, key: &[u8]) -> Result<()> {
        self.get(table, key).map(drop)
    }

    /// Checks that, and what is read when the key is removed.
    pub(crate) fn check_removal(&self, table: Table, key: &[u8]) -> Result<()> {
        self.check_way(table, key)?;
        self.check_beside(table, key).map_err(|error| of_table(table, error))
    }

    fn check_beside(&self, table: Table, key: &[u8]) -> Result<()> {
        let tree = self.tree(table)?;
        let (mut number, mut level) = (tree.root, tree.depth);
        while level > 1 {
            let page = self.page(number, level)?;
            let (index, _) = self.told(number, page.search(key))?;
            for beside in index.saturating_sub(1)..=(index + 1).min(page.len() - 1) {
                self.check_lowest(self.told(number, page.child(beside))?, level - 1)?;
            }
            number = self.told(number, page.child(index))?;
            level -= 1;
        }
        // The leaves beside it may hang below other branches.
        let mut cursor = Cursor::before(self, tree, key)?;
        cursor.next_leaf()?;
        Cursor::before(self, tree, key)?.previous().map(drop)
    }

    fn check_lowest(&self, mut number: u64, mut level: u16) -> Result<()> {
        loop {
            let page = self.page(number, level)?;
            if level == 1 {
                return Ok(());
            }
            number = self.told(number, page.child(0))?;
            level -= 1;
        }
    }

    /// Checks all that is read when the rows from a key up to another are removed.
    pub(crate) fn check_removals(&self, table: Table, from: &[u8], end: &[u8]) -> Result<()> {
        let named = |error| of_table(table, error);
        let mut cursor = Cursor::before(self, self.tree(table)?, from).map_err(named)?;
        while let Some((key, _)) = cursor.next().map_err(named)? {
            self.check_removal(table, key)?;
            if key >= end {
                break;
            }
        }
        self.check_removal(table, end)
    }

    /// Checks the way to the last row.
    pub(crate) fn check_last(&self, table: Table) -> Result<()> {
        let check = || Cursor::at_end(self, self.tree(table)?)?.previous().map(drop);
        check().map_err(|error| of_table(table, error))
    }

    /// Checks the way to the last row whose key is not above `key`.
    pub(crate) fn check_before(&self, table: Table, key: &[u8]) -> Result<()> {
        let check = || Cursor::before(self, self.tree(table)?, key)?.previous().map(drop);
        check().map_err(|error| of_table(table, error))
    }
}

/// Checks the ways to keys, one after the other.
pub(crate) trait CheckWay {
    /// Checks the way to a key, and its value.
    fn check_way(&self, table: Table, key: &[u8]) -> Result<()>;
}

/// The leaves that a writer came to last: the next key is often in the same one.
pub(crate) struct Ways<'v> {
    base: &'v View,
    last: [Cell<Option<Leaf<'v>>>; Table::ALL.len()],
}

/// A leaf the way to which is checked, and the keys to which that way leads.
#[derive(Clone, Copy)]
struct Leaf<'v> {
    number: u64,
    page: Page<'v>,
    /// From the lowest up to another; without end, if there is none.
    from: Option<&'v [u8]>,
    end: Option<&'v [u8]>,
}

impl<'v> Ways<'v> {
    pub(crate) fn of(base: &'v View) -> Self {
        Self { base, last: Default::default() }
    }

    /// The leaf where a key is or would be; `None` if the table is empty.
    fn leaf(&self, table: Table, key: &[u8]) -> Result<Option<Leaf<'v>>> {
        let last = table.of(&self.last);
        if let Some(leaf) = last.get().filter(|leaf| leaf.may_have(key)) {
            return Ok(Some(leaf));
        }
        let (view, tree) = (self.base, self.base.tree(table)?);
        let (mut number, mut level, mut from, mut end) = (tree.root, tree.depth, None, None);
        while level > 0 {
            let page = view.page(number, level)?;
            if level == 1 {
                last.set(Some(Leaf { number, page, from, end }));
                return Ok(last.get());
            }
            let (index, _) = view.told(number, page.search(key))?;
            if index > 0 {
                from = Some(view.told(number, page.key(index))?);
            }
            if index + 1 < page.len() {
                end = Some(view.told(number, page.key(index + 1))?);
            }
            number = view.told(number, page.child(index))?;
            level -= 1;
        }
        Ok(None)
    }
}

impl Ways<'_> {
    /// Checks the way to a key, and its value; whether the key comes behind all rows of the state.
    pub(crate) fn leads_behind_all(&self, table: Table, key: &[u8]) -> Result<bool> {
        let check = || {
            let Some(leaf) = self.leaf(table, key)? else { return Ok(true) };
            let (view, number) = (self.base, leaf.number);
            let (index, found) = view.told(number, leaf.page.search(key))?;
            if found {
                let (_, value) = view.told(number, leaf.page.row(index))?;
                view.value(number, value)?;
            }
            Ok(!found && leaf.end.is_none() && index == leaf.page.len())
        };
        check().map_err(|error| of_table(table, error))
    }
}

impl Leaf<'_> {
    fn may_have(&self, key: &[u8]) -> bool {
        self.from.is_none_or(|from| from <= key) && self.end.is_none_or(|end| key < end)
    }
}

impl CheckWay for Ways<'_> {
    fn check_way(&self, table: Table, key: &[u8]) -> Result<()> {
        self.leads_behind_all(table, key).map(drop)
    }
}

/// Goes one leaf ahead of a cursor of LMDB.
pub(crate) struct Ahead<'t> {
    table: Table,
    cursor: Cursor<'t>,
    /// Rows up to here can be read; all, if there is none.
    end: Option<&'t [u8]>,
}

impl<'t> Ahead<'t> {
    /// For a cursor that begins at a key.
    pub(crate) fn of(view: &'t View, table: Table, key: &[u8]) -> Result<Self> {
        let cursor = || Cursor::before(view, view.tree(table)?, key);
        let cursor = cursor().map_err(|error| of_table(table, error))?;
        let mut ahead = Self { table, cursor, end: None };
        ahead.go_on()?;
        Ok(ahead)
    }

    fn go_on(&mut self) -> Result<()> {
        let mut turn = || {
            let end = self.cursor.last_key_of_leaf()?;
            Ok(if self.cursor.next_leaf()? { end } else { None })
        };
        self.end = turn().map_err(|error| of_table(self.table, error))?;
        Ok(())
    }

    /// The cursor is at this key and may go to the next.
    pub(crate) fn reached(&mut self, key: &[u8]) -> Result<()> {
        while self.end.is_some_and(|end| end <= key) {
            self.go_on()?;
        }
        Ok(())
    }
}
