//! Going through the trees of a data file, whatever they look like: what is wrong is noted and left out.

use std::cmp::Ordering;

use embedded_db_common::Result;
use roaring::RoaringTreemap;

use super::super::layout::MAX_DEPTH;
use super::{NO_PAGE, Page, Tree, UnmappedFile, Value, big_pages, run_length};
use crate::keys::MAX_KEY;

/// Pages between two looks at whether the caller wants the work to end.
const PAGES: u64 = 256;

/// A key with where its value is.
pub(crate) type Row<'p> = (&'p [u8], Value<'p>);

/// The order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By bytes: all tables.
    Bytes,
    /// As integers of the machine: the free pages.
    Integers,
}

impl Order {
    fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Self::Bytes => a.cmp(b),
            Self::Integers => number(a).cmp(&number(b)),
        }
    }

    fn allows(self, key: &[u8]) -> bool {
        let length = 1..=MAX_KEY;
        if self == Self::Bytes { length.contains(&key.len()) } else { key.len() == 8 }
    }
}

fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_ne_bytes)
}

/// A walk through the trees of one state.
pub(crate) struct Walk<'f> {
    file: &'f UnmappedFile,
    /// Pages that belong to the state are not behind this one.
    last_page: u64,
    /// Pages that were met.
    pub(crate) seen: RoaringTreemap,
    interrupted: &'f dyn Fn() -> Result<()>,
    /// What was wrong, with the page.
    pub(crate) problems: Vec<(u64, String)>,
    /// Pages that are not to be read: they are not what they were.
    refused: Option<&'f RoaringTreemap>,
    /// Of who refuses pages, the pages with problems, and of those the ones with keys that do not belong
    /// there.
    pub(super) wrong: RoaringTreemap,
    pub(super) disordered: RoaringTreemap,
    /// Pages of values that have pages of their own.
    pub(super) runs: RoaringTreemap,
}

/// A page that is still to be visited.
struct Ahead {
    page: u64,
    depth: u16,
    /// Keys are not before this one…
    from: Option<Vec<u8>>,
    /// …and before this one.
    before: Option<Vec<u8>>,
}

impl<'f> Walk<'f> {
    pub(crate) fn new(
        file: &'f UnmappedFile,
        last_page: u64,
        interrupted: &'f dyn Fn() -> Result<()>,
    ) -> Self {
        let (seen, problems, wrong, disordered, runs) = Default::default();
        let refused = None;
        Self { file, last_page, seen, interrupted, problems, refused, wrong, disordered, runs }
    }

    /// The same; what lies on or below some pages is left out.
    pub(super) fn refusing(mut self, refused: &'f RoaringTreemap) -> Self {
        self.refused = Some(refused);
        self
    }

    fn problem(&mut self, page: u64, what: impl Into<String>) {
        // Whoever refuses pages wants to know how many are wrong, however much is.
        if self.refused.is_none() {
            self.problems.push((page, what.into()));
        } else {
            self.wrong.insert(page);
        }
    }

    /// Calls `visit` with page, place in it and row of every row of a tree that can be reached, in their
    /// order. Rows that are out of order are visited all the same.
    pub(crate) fn rows(
        &mut self,
        tree: &Tree,
        order: Order,
        visit: &mut dyn FnMut(&mut Self, u64, Row<'_>) -> Result<()>,
    ) -> Result<()> {
        if tree.root == NO_PAGE {
            if tree.rows > 0 && self.refused.is_none() {
                self.problem(NO_PAGE, "a tree with rows has no root");
            }
            return Ok(());
        }
        let mut rows = 0;
        let mut ahead = vec![Ahead { page: tree.root, depth: 1, from: None, before: None }];
        while let Some(next) = ahead.pop() {
            let Some(bytes) = self.bytes(next.page)? else { continue };
            let page = match Page::any(&bytes, next.page) {
                Ok(page) => page,
                Err(wrong) => {
                    self.problem(next.page, wrong.0);
                    continue;
                }
            };
            if usize::from(next.depth) > MAX_DEPTH || page.is_leaf() != (next.depth == tree.depth) {
                self.problem(next.page, "is not at the depth where such a page belongs");
            }
            if !page.is_packed() {
                self.problem(next.page, "has cells that overlap, or room between them");
            }
            if page.is_leaf() {
                rows += self.leaf(&next, &page, order, visit)?;
            } else if self.refused.is_none() || page.is_packed() {
                // Cells that overlap can be as many as anybody likes.
                self.branch(&next, &page, order, &mut ahead);
            }
        }
        if rows != tree.rows && self.refused.is_none() {
            let text = format!("its tree has {rows} rows, not {}", tree.rows);
            self.problem(tree.root, text);
        }
        Ok(())
    }

    /// A branch or leaf that was not met before.
    fn bytes(&mut self, number: u64) -> Result<Option<Vec<u8>>> {
        if self.refused.is_some_and(|refused| refused.contains(number)) {
            self.problem(number, "has a checksum mismatch");
            return Ok(None);
        }
        if !self.meet(number, 1) {
            return Ok(None);
        }
        if self.seen.len().is_multiple_of(PAGES) {
            (self.interrupted)()?;
        }
        let bytes = self.file.read(number, 1)?;
        if bytes.is_none() {
            self.problem(number, "lies behind the end of the file");
        }
        Ok(bytes)
    }

    /// Notes pages; false when they cannot be, or were met before.
    fn meet(&mut self, first: u64, count: u64) -> bool {
        let last = first.saturating_add(count.saturating_sub(1));
        if first < 2 || last > self.last_page {
            self.problem(first, "is named, but no page of the state");
            return false;
        }
        if (first..=last).any(|page| self.seen.contains(page)) {
            self.problem(first, "is used twice");
            return false;
        }
        self.seen.insert_range(first..=last);
        true
    }

    fn branch(&mut self, at: &Ahead, page: &Page<'_>, order: Order, ahead: &mut Vec<Ahead>) {
        if page.len() < 2 {
            self.problem(at.page, "is a branch with fewer than two children");
        }
        let (mut before, mut children) = (at.before.clone(), Vec::new());
        // From the last one, so that the first is on top of the pile.
        for place in (0..page.len()).rev() {
            let (key, child) = match (page.key(place), page.child(place)) {
                (Ok(key), Ok(child)) => (key, child),
                (Err(wrong), _) | (_, Err(wrong)) => {
                    self.problem(at.page, wrong.0);
                    continue;
                }
            };
            let from = if place == 0 { at.from.clone() } else { Some(key.to_vec()) };
            if place > 0 {
                self.ordered(at, key, before.as_deref(), order);
            }
            children.push(Ahead { page: child, depth: at.depth + 1, from: from.clone(), before });
            before = from;
        }
        ahead.extend(children);
    }

    /// Whether a key belongs where it stands.
    fn ordered(&mut self, at: &Ahead, key: &[u8], before: Option<&[u8]>, order: Order) {
        let right = order.allows(key)
            && at.from.as_ref().is_none_or(|from| order.compare(from, key).is_le())
            && before.is_none_or(|before| order.compare(key, before).is_lt());
        if !right {
            self.disordered.insert(at.page);
            self.problem(at.page, "has a key that does not belong there");
        }
    }

    /// Visits the rows of a leaf; how many there are.
    fn leaf(
        &mut self,
        at: &Ahead,
        page: &Page<'_>,
        order: Order,
        visit: &mut dyn FnMut(&mut Self, u64, Row<'_>) -> Result<()>,
    ) -> Result<u64> {
        let mut rows = 0;
        for place in 0..page.len() {
            let row = match page.row(place) {
                Ok(row) => row,
                Err(wrong) => {
                    self.problem(at.page, wrong.0);
                    continue;
                }
            };
            rows += 1;
            let next = page.key(place + 1).ok().filter(|_| place + 1 < page.len());
            self.ordered(at, row.0, next.or(at.before.as_deref()), order);
            if let Value::Big { page, length } = row.1
                && !self.overflow(page, length)?
            {
                continue;
            }
            visit(self, at.page, row)?;
        }
        Ok(rows)
    }

    /// Whether the overflow pages of a value are there. There are more than it needs when it has become
    /// shorter in the transaction that made them.
    fn overflow(&mut self, first: u64, length: usize) -> Result<bool> {
        let needed = big_pages(length, self.file.page_size);
        let ends_behind = |count: u64| first.saturating_add(count) > self.file.pages();
        // Before they are noted: a length that is wrong asks for no time.
        if first < self.file.pages() && ends_behind(needed) {
            self.problem(first, "holds a value that ends behind the end of the file");
            return Ok(false);
        }
        let Some(bytes) = self.file.read(first, 1)? else {
            self.problem(first, "lies behind the end of the file");
            return Ok(false);
        };
        let told = run_length(&bytes, first).ok();
        let Some(count) = told.filter(|count| *count >= needed && !ends_behind(*count)) else {
            self.problem(first, "is no overflow page of its value");
            return Ok(false);
        };
        if !self.meet(first, count) {
            return Ok(false);
        }
        self.runs.insert_range(first..first + count);
        Ok(true)
    }
}
