//! Going through the rows of a tree, forwards and backwards.

use std::cmp::Ordering;

use embedded_db_common::record::Damaged;
use embedded_db_common::{Error, Result};

use super::layout::{Page, Tree};
use super::{MAX_DEPTH, View};

/// A place between two rows of a tree.
pub(crate) struct Cursor<'t> {
    view: &'t View,
    /// The pages from the root down, each with the place in it. Of a leaf, the row that comes next;
    /// of a branch, the entry below which that lies.
    path: Vec<(u64, Page<'t>, usize)>,
    tree: Tree,
    /// Leaves without rows that it has come through.
    empty: u64,
}

/// The first and the last key of a leaf.
struct Ends<'t> {
    first: &'t [u8],
    last: &'t [u8],
}

impl<'t> Cursor<'t> {
    /// Before the first row whose key is not below `key`.
    pub(crate) fn before(view: &'t View, tree: Tree, key: &[u8]) -> Result<Self> {
        let mut cursor = Self::outside(view, tree);
        cursor.descend(tree.root, tree.depth, |view, number, page| {
            Ok(view.told(number, page.search(key))?.0)
        })?;
        Ok(cursor)
    }

    fn outside(view: &'t View, tree: Tree) -> Self {
        Self { view, path: Vec::with_capacity(usize::from(tree.depth)), tree, empty: 0 }
    }

    /// After the last row whose key is not above `key`.
    pub(crate) fn behind(view: &'t View, tree: Tree, key: &[u8]) -> Result<Self> {
        let mut cursor = Self::before(view, tree, key)?;
        if let Some((number, page, index)) = cursor.path.last_mut()
            && *index < page.len()
            && view.told(*number, page.key(*index))? == key
        {
            *index += 1;
        }
        Ok(cursor)
    }

    /// After the last row.
    pub(crate) fn at_end(view: &'t View, tree: Tree) -> Result<Self> {
        let mut cursor = Self::outside(view, tree);
        cursor.descend(tree.root, tree.depth, |_, _, page| Ok(page.len()))?;
        Ok(cursor)
    }

    fn descend(
        &mut self,
        mut number: u64,
        mut level: u16,
        choose: impl Fn(&View, u64, &Page<'t>) -> Result<usize>,
    ) -> Result<()> {
        debug_assert!(self.path.len() <= MAX_DEPTH);
        while level > 0 {
            let page = self.view.page(number, level)?;
            let mut index = choose(self.view, number, &page)?;
            if level > 1 {
                index = index.min(page.len() - 1);
            }
            self.path.push((number, page, index));
            level -= 1;
            if level > 0 {
                number = self.view.told(number, page.child(index))?;
            }
        }
        Ok(())
    }

    /// The row after the place, which moves behind it.
    pub(crate) fn next(&mut self) -> Result<Option<(&'t [u8], &'t [u8])>> {
        let Some((number, page, at)) = self.next_place()? else { return Ok(None) };
        let (key, value) = self.view.told(number, page.row(at))?;
        Ok(Some((key, self.view.value(number, value)?)))
    }

    /// Its key alone: the value may lie in pages of its own, which are not read.
    pub(crate) fn next_key(&mut self) -> Result<Option<&'t [u8]>> {
        let Some((number, page, at)) = self.next_place()? else { return Ok(None) };
        self.view.told(number, page.key(at)).map(Some)
    }

    /// The leaf of the row after the place, which moves behind it, and where it stands there.
    fn next_place(&mut self) -> Result<Option<(u64, Page<'t>, usize)>> {
        loop {
            let Some((number, page, index)) = self.path.last_mut() else { return Ok(None) };
            if *index < page.len() {
                *index += 1;
                return Ok(Some((*number, *page, *index - 1)));
            }
            if !self.next_leaf()? {
                return Ok(None);
            }
        }
    }

    /// The row before the place, which moves before it.
    pub(crate) fn previous(&mut self) -> Result<Option<(&'t [u8], &'t [u8])>> {
        loop {
            let Some((number, page, index)) = self.path.last_mut() else { return Ok(None) };
            if *index > 0 {
                *index -= 1;
                let (number, at) = (*number, *index);
                let (key, value) = self.view.told(number, page.row(at))?;
                return Ok(Some((key, self.view.value(number, value)?)));
            }
            if !self.previous_leaf()? {
                return Ok(None);
            }
        }
    }

    /// Moves before the first row of the next leaf; at the last one stays where it is.
    pub(crate) fn next_leaf(&mut self) -> Result<bool> {
        let left = self.ends_of_leaf()?;
        let next = |page: &Page<'t>, index: usize| {
            index.checked_add(1).filter(|index| *index < page.len())
        };
        Ok(self.turn(next, |_| 0)? && self.follows(left, Ordering::Greater)?)
    }

    /// Moves behind the last row of the leaf before; at the first one stays where it is.
    fn previous_leaf(&mut self) -> Result<bool> {
        let left = self.ends_of_leaf()?;
        Ok(self.turn(|_, index| index.checked_sub(1), Page::len)?
            && self.follows(left, Ordering::Less)?)
    }

    /// Whether the keys of the leaf lie on this side of those of the one that was left. Pages that lead
    /// to each other in a circle would be gone through for ever.
    fn follows(&mut self, left: Option<Ends<'t>>, side: Ordering) -> Result<bool> {
        let Some(found) = self.ends_of_leaf()? else {
            // Nothing tells an empty leaf from another; LMDB leaves none.
            self.empty = self.empty.saturating_add(1);
            return if self.empty > self.view.meta.last_page {
                Err(self.out_of_order())
            } else {
                Ok(true)
            };
        };
        let ordered = found.first <= found.last
            && left.is_none_or(|left| match side {
                Ordering::Greater => found.first > left.last,
                _ => found.last < left.first,
            });
        if ordered { Ok(true) } else { Err(self.out_of_order()) }
    }

    fn out_of_order(&self) -> Error {
        let number = self.path.last().map_or(0, |(number, ..)| *number);
        self.view.pages.damaged(number, Damaged("has keys that do not belong there"))
    }

    fn ends_of_leaf(&self) -> Result<Option<Ends<'t>>> {
        let Some((number, page, _)) = self.path.last() else { return Ok(None) };
        let Some(last) = page.len().checked_sub(1) else { return Ok(None) };
        let (first, last) = (page.key(0), page.key(last));
        let (first, last) = (self.view.told(*number, first)?, self.view.told(*number, last)?);
        Ok(Some(Ends { first, last }))
    }

    fn turn(
        &mut self,
        step: impl Fn(&Page<'t>, usize) -> Option<usize>,
        end: impl Fn(&Page<'t>) -> usize,
    ) -> Result<bool> {
        let depth = self.path.len();
        let branches = self.path.iter_mut().enumerate().take(depth.saturating_sub(1));
        let turning = branches.rev().find_map(|(at, (number, page, place))| {
            *place = step(page, *place)?;
            Some((at, *number, *page, *place))
        });
        let Some((at, number, page, place)) = turning else { return Ok(false) };
        let level = self.tree.depth.saturating_sub(at as u16).saturating_sub(1);
        self.path.truncate(at.saturating_add(1));
        let child = self.view.told(number, page.child(place))?;
        self.descend(child, level, |_, _, page| Ok(end(page)))?;
        Ok(true)
    }

    /// The last key of the leaf that the place is in.
    pub(crate) fn last_key_of_leaf(&self) -> Result<Option<&'t [u8]>> {
        Ok(self.ends_of_leaf()?.map(|ends| ends.last))
    }
}
