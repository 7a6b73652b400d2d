//! Reading what LMDB has committed, by code that trusts no byte of it.
//!
//! LMDB itself follows any page number and offset that it finds, so that a damaged file ends the
//! process, hides rows or shows older ones. Committed states are therefore read here: each page is
//! checked against its [sum](sums) when it is first met, and no offset leads outside. LMDB gives the
//! transaction that keeps the pages of a snapshot from being used again, and it writes; what it will
//! read while it writes is [checked](guard) before.

mod cursor;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod layout;
mod sums;
#[cfg(test)]
mod tests;
mod whole;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod written;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use embedded_db_common::record::Damaged;
use embedded_db_common::{Error, Result};

pub(crate) use self::cursor::Cursor;
use self::file::Map;
pub(crate) use self::file::{PageFile, Use};
pub(crate) use self::guard::{Ahead, CheckWay, Ways};
pub(crate) use self::layout::Meta;
use self::layout::{HEADER, MAX_DEPTH, Page, Tree, Value, big_pages, run_length};
pub(crate) use self::sums::Sums as SumsFile;
use self::sums::{Sums, sum_of};
pub use self::whole::Origin;
pub(crate) use self::whole::{
    DamagedFile, Depth, Found, Glance, RowPlace, check_file, newest_meta,
};
use self::written::written_pages;
use crate::keys::Table;

/// How long a reader waits for the sums of a commit that it sees: it takes the writer microseconds
/// unless it is stopped in between.
fn patience() -> Duration {
    #[cfg(any(test, fuzzing))]
    if crate::fuzzing::nobody_writes() {
        return Duration::ZERO;
    }
    Duration::from_millis(250)
}

/// The pages of a data file that is mapped. The map lives as long as what was read from it.
#[derive(Clone)]
pub(crate) struct Pages {
    map: Arc<Map>,
    page_size: usize,
    /// Of the database.
    path: Arc<Path>,
    /// `None` where nothing can be checked against them.
    sums: Option<Arc<Sums>>,
}

impl Pages {
    /// A meta page as it is now; a writer may be changing it.
    pub(crate) fn meta_bytes(&self, page: usize) -> Option<[u8; Meta::SIZE]> {
        const WORD: usize = size_of::<u64>();
        const { assert!(Meta::SIZE.is_multiple_of(WORD)) };
        let at = page * self.page_size;
        if at + Meta::SIZE > self.map.length() {
            return None;
        }
        let mut bytes = [0; Meta::SIZE];
        for (place, word) in bytes.chunks_exact_mut(WORD).enumerate() {
            // SAFETY: it lies inside the map and is aligned, as pages are. A writer changes it under us:
            // whoever asks compares what he got afterwards.
            #[allow(unsafe_code)]
            let found = unsafe { &*self.map.as_ptr().add(at + place * WORD).cast::<AtomicU64>() };
            word.copy_from_slice(&found.load(Ordering::Relaxed).to_ne_bytes());
        }
        std::sync::atomic::fence(Ordering::Acquire);
        Some(bytes)
    }

    /// The state that a transaction left, unless two later ones have replaced it.
    pub(crate) fn state(&self, transaction: u64) -> Option<Meta> {
        let page = (transaction & 1) as usize;
        let bytes = self.meta_bytes(page)?;
        let meta = Meta::parse(&bytes).filter(|meta| meta.transaction == transaction)?;
        // It was not being written while it was copied.
        (self.meta_bytes(page)? == bytes && meta.page_size == self.page_size).then_some(meta)
    }

    /// A page as it lies there.
    fn raw(&self, number: u64) -> Result<&[u8]> {
        let place = usize::try_from(number).ok().filter(|number| *number >= 2).and_then(|number| {
            let at = number.checked_mul(self.page_size)?;
            Some((at, at.checked_add(self.page_size)?))
        });
        let place = place.filter(|(_, end)| *end <= self.map.length());
        let (at, _) =
            place.ok_or_else(|| self.damaged(number, Damaged("lies outside the file")))?;
        // SAFETY: it lies inside the map, and belongs to a state that does not change.
        #[allow(unsafe_code)]
        Ok(unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(at), self.page_size) })
    }

    fn damaged(&self, number: u64, damaged: Damaged) -> Error {
        Error::Corruption {
            path: self.path.to_path_buf(),
            object: format!("page {number} of data.mdb"),
            detail: damaged.0.into(),
        }
    }
}

/// A committed state.
pub(crate) struct View {
    pages: Pages,
    meta: Meta,
    tables: [OnceLock<Tree>; Table::ALL.len()],
    /// The pages without sums yet, when the writer has ended before it wrote them.
    unsummed: OnceLock<HashSet<u64>>,
}

impl View {
    pub(crate) fn new(pages: Pages, meta: Meta) -> Self {
        Self { pages, meta, tables: Default::default(), unsummed: OnceLock::new() }
    }

    /// A page of the state, checked.
    #[inline]
    fn bytes(&self, number: u64) -> Result<&[u8]> {
        let bytes = self.pages.raw(number)?;
        if number > self.meta.last_page {
            return Err(self.pages.damaged(number, Damaged("lies beyond the last page")));
        }
        match &self.pages.sums {
            Some(sums) if !sums.is_seen(number) => self.compared(sums, number, bytes),
            _ => Ok(bytes),
        }
    }

    /// A page that was not met yet with the sum that it has now.
    #[cold]
    fn compared<'a>(&self, sums: &Sums, number: u64, bytes: &'a [u8]) -> Result<&'a [u8]> {
        if sums.holds(number, bytes)? == Some(true) || self.is_unsummed(sums, number, bytes)? {
            return Ok(bytes);
        }
        Err(self.pages.damaged(number, Damaged("has a checksum mismatch")))
    }

    /// Whether a page that is not as its sum says was written by a commit whose sums are not there yet.
    #[cold]
    fn is_unsummed(&self, sums: &Sums, number: u64, bytes: &[u8]) -> Result<bool> {
        let begun = Instant::now();
        while sums.covered() < self.meta.transaction {
            if let Some(unsummed) = self.unsummed.get() {
                return Ok(unsummed.contains(&number));
            }
            if begun.elapsed() < patience() {
                std::thread::sleep(Duration::from_micros(20));
            } else if let Some(unsummed) = self.find_unsummed(sums)? {
                return Ok(self.unsummed.get_or_init(|| unsummed).contains(&number));
            }
        }
        Ok(sums.holds(number, bytes)? == Some(true))
    }

    /// The pages of the commit whose sums are not there yet; `None` when its writer has written them after
    /// all, however late: it may be this thread that stood still, not the writer.
    fn find_unsummed(&self, sums: &Sums) -> Result<Option<HashSet<u64>>> {
        let before = self.meta.transaction.checked_sub(1);
        let before = before.and_then(|before| self.pages.state(before));
        let before = before.filter(|it| it.transaction == sums.covered());
        let mut found = HashSet::new();
        let walked = before.map_or(Ok(()), |before| {
            written_pages(&self.pages, &before, &self.meta, &mut |page, _| {
                found.insert(page);
                Ok(())
            })
        });
        // From then on the pages of the state before may be used again.
        if sums.covered() >= self.meta.transaction {
            return Ok(None);
        }
        walked.map(|()| Some(found))
    }

    fn page(&self, number: u64, level: u16) -> Result<Page<'_>> {
        let bytes = self.bytes(number)?;
        Page::parse(bytes, number, level).map_err(|damaged| self.pages.damaged(number, damaged))
    }

    /// What a page says, or where the damage is.
    fn told<T>(&self, number: u64, read: embedded_db_common::record::Read<T>) -> Result<T> {
        read.map_err(|damaged| self.pages.damaged(number, damaged))
    }

    /// The value of a row of a page.
    fn value<'t>(&'t self, number: u64, value: Value<'t>) -> Result<&'t [u8]> {
        match value {
            Value::Here(bytes) => Ok(bytes),
            Value::Big { page, length } => self.big(page, length),
            Value::Tree(_) => Err(self.pages.damaged(number, Damaged("has a tree for a value"))),
        }
    }

    /// A value in pages of its own.
    fn big(&self, first: u64, length: usize) -> Result<&[u8]> {
        let count = big_pages(length, self.pages.page_size);
        let run = self.told(first, run_length(self.bytes(first)?, first))?;
        let last = first
            .checked_add(count - 1)
            .filter(|last| count <= run && *last <= self.meta.last_page);
        let last =
            last.ok_or_else(|| self.pages.damaged(first, Damaged("is a run that is cut off")))?;
        for number in first + 1..=last {
            self.bytes(number)?;
        }
        self.pages.raw(last)?;
        // SAFETY: the first and the last of its pages lie in the map, and all that is between them.
        #[allow(unsafe_code)]
        Ok(unsafe {
            let at = first as usize * self.pages.page_size + HEADER;
            std::slice::from_raw_parts(self.pages.map.as_ptr().add(at), length)
        })
    }

    /// The LMDB transaction that left it.
    pub(crate) fn transaction(&self) -> u64 {
        self.meta.transaction
    }

    /// Bytes of the data file that it speaks of.
    pub(crate) fn length(&self) -> u64 {
        self.meta.length()
    }

    /// Both meta pages and their sums, as they are now.
    pub(crate) fn meta_pages(&self) -> Result<([[u8; Meta::SIZE]; 2], [u32; 2])> {
        let meta = |page: usize| {
            let missing = || self.pages.damaged(page as u64, Damaged("is cut off"));
            self.pages.meta_bytes(page).ok_or_else(missing)
        };
        let metas = [meta(0)?, meta(1)?];
        let sums = [sum_of(&metas[0]), sum_of(&metas[1])];
        Ok((metas, sums))
    }

    /// The tree of a table.
    pub(crate) fn tree(&self, table: Table) -> Result<Tree> {
        let known = table.of(&self.tables);
        if let Some(tree) = known.get() {
            return Ok(*tree);
        }
        let name = table.name().as_bytes();
        let missing = || Error::Corruption {
            path: self.pages.path.to_path_buf(),
            object: format!("the table {:?}", table.name()),
            detail: "it is missing".into(),
        };
        let Some((number, page, index)) = self.leaf_of(self.meta.main, name)? else {
            return Err(missing());
        };
        match self.told(number, page.row(index))? {
            (_, Value::Tree(tree)) => Ok(*known.get_or_init(|| tree)),
            _ => Err(missing()),
        }
    }

    /// The leaf and the place in it that has a key.
    fn leaf_of(&self, tree: Tree, key: &[u8]) -> Result<Option<(u64, Page<'_>, usize)>> {
        let (mut number, mut level) = (tree.root, tree.depth);
        while level > 0 {
            let page = self.page(number, level)?;
            let (index, found) = self.told(number, page.search(key))?;
            if level == 1 {
                return Ok(found.then_some((number, page, index)));
            }
            number = self.told(number, page.child(index))?;
            level -= 1;
        }
        Ok(None)
    }

    /// The value under a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>> {
        let find = || {
            let Some((number, page, index)) = self.leaf_of(self.tree(table)?, key)? else {
                return Ok(None);
            };
            let (_, value) = self.told(number, page.row(index))?;
            self.value(number, value).map(Some)
        };
        find().map_err(|error| of_table(table, error))
    }

    /// Calls `visit` with the keys of a table that begin so, in their order; values are not read.
    pub(crate) fn keys(
        &self,
        table: Table,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let mut each = || {
            let mut cursor = Cursor::before(self, self.tree(table)?, prefix)?;
            while let Some(key) = cursor.next_key()?.filter(|key| key.starts_with(prefix)) {
                visit(key);
            }
            Ok(())
        };
        each().map_err(|error| of_table(table, error))
    }

    /// How many rows a table has.
    pub(crate) fn rows(&self, table: Table) -> Result<u64> {
        Ok(self.tree(table)?.rows)
    }
}

/// Damage of a page says in which table it was met.
pub(crate) fn of_table(table: Table, error: Error) -> Error {
    match error {
        Error::Corruption { path, object, detail } => {
            Error::Corruption { path, object: format!("{}, {object}", table.name()), detail }
        }
        other => other,
    }
}
