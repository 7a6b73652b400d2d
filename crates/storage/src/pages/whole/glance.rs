//! A look at the last state of a file without a map and without a place in LMDB's table of readers: for a
//! few rows, beside whoever writes. What was read counts only if the state was still there afterwards.

use std::path::Path;

use embedded_db_common::record;
use embedded_db_common::{Error, Result};

use super::super::layout::{Page, Tree, Value};
use super::super::sums::{FoundSums, StoredSums};
use super::check::free_pages;
use super::damaged::open_any;
use super::state::{Metas, State, written};
use super::{UnmappedFile, Walk};
use crate::keys::Table;
use crate::log::FoundLog;

/// What is called with the keys and payloads of rows.
type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'v;

/// The last state of a file.
pub(crate) struct Glance {
    file: UnmappedFile,
    sums: Option<StoredSums>,
    /// Why the sums say nothing, if they do not; an empty text when there are none.
    pub(crate) without_sums: Option<&'static str>,
    state: State,
    /// It is not the last one of the file, and nobody writes to it.
    put_back: bool,
    /// What is wrong with the meta pages.
    pub(crate) remarks: Vec<String>,
}

impl Glance {
    /// With a log whose last checkpoint will be put back, that is the last state.
    pub(crate) fn open(directory: &Path, log: Option<&FoundLog>) -> Result<Self> {
        let path = directory.join("data.mdb");
        let file = open_any(&path)?;
        let of_log = log.map(|log| (log.transaction(), log.sums()));
        let found = FoundSums::read(directory, file.page_size, file.pages(), of_log);
        let (sums, without_sums) = match found {
            FoundSums::Usable(sums) => (Some(sums), None),
            FoundSums::Missing => (None, Some("")),
            FoundSums::Unusable(why) => (None, Some(why)),
        };
        let metas = Metas::read(&file, sums.as_ref(), log.map(FoundLog::metas))?;
        let damaged = |object: &str, detail: String| Error::Corruption {
            path: path.clone(),
            object: object.into(),
            detail,
        };
        let Some(state) = metas.states.into_iter().next() else {
            return Err(damaged("the data file", metas.remarks.join(", ")));
        };
        if let Some((covered, told)) = sums.as_ref().map(StoredSums::covered).zip(state.transaction)
            && !(covered..=covered.saturating_add(1)).contains(&told)
        {
            let detail =
                format!("its meta pages speak of transaction {told}, its sums of {covered}");
            return Err(damaged("the data file", detail));
        }
        let put_back = log.is_some();
        let glance = Self { file, sums, without_sums, state, put_back, remarks: metas.remarks };
        let (length, needed) = (glance.file.length(), glance.used_length());
        if length < needed {
            let detail = format!("it is cut off: it has {length} bytes, and speaks of {needed}");
            return Err(damaged("the data file", detail));
        }
        Ok(glance)
    }

    /// Whether no page that was read can have been used again since.
    pub(crate) fn is_still_there(&self) -> bool {
        if self.put_back {
            return true;
        }
        self.newest()
            .zip(self.state.transaction)
            .is_some_and(|(now, then)| now <= then.saturating_add(1))
    }

    /// The newest transaction that there is by now.
    pub(crate) fn newest(&self) -> Option<u64> {
        let metas = Metas::read(&self.file, None, None).ok()?;
        metas.states.iter().filter_map(|it| it.transaction).max()
    }

    /// The transaction that left it.
    pub(crate) fn transaction(&self) -> u64 {
        self.state.transaction.unwrap_or(0)
    }

    /// The newest transaction of which the meta pages tell, if both read.
    pub(crate) fn written(&self) -> Result<Option<u64>> {
        written(&self.file)
    }

    pub(crate) fn page_size(&self) -> u64 {
        self.file.page_size as u64
    }

    /// Bytes up to the end of the last page.
    pub(crate) fn used_length(&self) -> u64 {
        self.state.last_page.saturating_add(1).saturating_mul(self.page_size())
    }

    pub(crate) fn length(&self) -> u64 {
        self.file.length()
    }

    /// The tree of a table.
    pub(crate) fn tree(&self, table: Table) -> Result<Tree> {
        let root = self.state.root;
        let bytes = self.file.read(root, 1)?;
        let trees = self.state.trees.as_ref().filter(|_| self.holds(root, bytes.as_deref()));
        let trees = trees.ok_or_else(|| self.damaged(root, "does not read"))?;
        let tree = *table.of(trees);
        if tree.depth > 0 {
            self.page(tree.root, tree.depth, |_| Ok(()))?;
        }
        Ok(tree)
    }

    /// How many pages are free.
    pub(crate) fn free_pages(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<u64> {
        let Some(tree) = self.state.free else { return Ok(0) };
        let mut walk = Walk::new(&self.file, self.state.last_page, interrupted);
        let free = free_pages(&self.file, &tree, self.state.last_page, &mut walk)?;
        match walk.problems.first() {
            None => Ok(free.len()),
            Some((page, what)) => Err(self.damaged(*page, what)),
        }
    }

    /// Calls `visit` with the rows from a key on and before another, in their order.
    pub(crate) fn rows(
        &self,
        table: Table,
        (from, end): (&[u8], Option<&[u8]>),
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let tree = self.tree(table)?;
        let mut ahead = vec![(tree.root, tree.depth)];
        let mut read = 0;
        while let Some((number, level)) = ahead.pop() {
            read += 1;
            // A page that leads to itself would lead there for ever.
            if read > self.file.pages() {
                return Err(self.damaged(number, "leads nowhere"));
            }
            if level > 0 {
                self.page(number, level, |page| {
                    if level > 1 {
                        return self.branch(number, page, level, (from, end), &mut ahead);
                    }
                    self.leaf(table, number, page, (from, end), visit)
                })?;
            }
        }
        Ok(())
    }

    fn branch(
        &self,
        number: u64,
        page: &Page<'_>,
        level: u16,
        (from, end): (&[u8], Option<&[u8]>),
        ahead: &mut Vec<(u64, u16)>,
    ) -> Result<()> {
        let told = |damaged: record::Damaged| self.damaged(number, damaged.0);
        let (first, _) = page.search(from).map_err(told)?;
        let mut children = Vec::new();
        for place in first..page.len() {
            let begins = page.key(place).map_err(told)?;
            if place > first && end.is_some_and(|end| begins >= end) {
                break;
            }
            children.push((page.child(place).map_err(told)?, level - 1));
        }
        ahead.extend(children.into_iter().rev());
        Ok(())
    }

    fn leaf(
        &self,
        table: Table,
        number: u64,
        page: &Page<'_>,
        (from, end): (&[u8], Option<&[u8]>),
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        for entry in 0..page.len() {
            let row = page.row(entry).map_err(|damaged| self.damaged(number, damaged.0))?;
            let (key, value) = row;
            if key < from || end.is_some_and(|end| key >= end) {
                continue;
            }
            let sealed = match value {
                Value::Here(bytes) => bytes.to_vec(),
                Value::Big { page, length } => self.file.big(page, length)?.unwrap_or_default(),
                Value::Tree(_) => Vec::new(),
            };
            let payload = record::open(table as u8, key, &sealed);
            visit(key, payload.map_err(|damaged| self.damaged(number, damaged.0))?)?;
        }
        Ok(())
    }

    fn page<T>(
        &self,
        number: u64,
        level: u16,
        read: impl FnOnce(&Page<'_>) -> Result<T>,
    ) -> Result<T> {
        let bytes = self.file.read(number, 1)?;
        let bytes = bytes.filter(|bytes| self.holds(number, Some(bytes)));
        let bytes = bytes.ok_or_else(|| self.damaged(number, "has a checksum mismatch"))?;
        let page = Page::parse(&bytes, number, level);
        read(&page.map_err(|damaged| self.damaged(number, damaged.0))?)
    }

    /// Whether a page is what its sum says, if it has one.
    fn holds(&self, number: u64, bytes: Option<&[u8]>) -> bool {
        let are_there = |sums: &&StoredSums| self.transaction() <= sums.covered();
        let Some(sums) = self.sums.as_ref().filter(are_there) else { return true };
        bytes.is_some_and(|bytes| sums.holds(number, bytes) != Some(false))
    }

    fn damaged(&self, page: u64, what: &str) -> Error {
        Error::Corruption {
            path: self.file.path.clone(),
            object: format!("page {page} of data.mdb"),
            detail: what.into(),
        }
    }
}
