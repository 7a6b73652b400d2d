//! Whether the pages of one state are what LMDB takes them for: every one used once or free, every key in
//! its order, every value inside its page.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use embedded_db_common::{Error, Result};
use roaring::RoaringTreemap;

use super::{Meta, NO_PAGE, Order, PageFile, Tree, Walk, metas, u64_at};
use crate::keys::Table;
use crate::platform::io_error;
use crate::read::ReadTxn;
use crate::store::{Snapshot, Store};

/// Looks at the newest commit under steady writing.
const TRIES: usize = 1_000;

/// LMDB's flag of the tree of free pages. Others there would change how it opens the file.
const INTEGER_KEYS: u16 = 8;

/// Refuses a file that nobody may map: what LMDB would do with it, nobody can say.
pub(crate) fn check_file(path: &Path, interrupted: &dyn Fn() -> Result<()>) -> Result<()> {
    let damaged = |detail: String| Error::Corruption {
        path: path.to_owned(),
        object: "the data file".into(),
        detail,
    };
    let failed = |e: std::io::Error| io_error(path, "read", &e);
    let mut file = File::open(path).map_err(failed)?;
    let metas = metas(&mut file).map_err(failed)?.into_iter().flatten();
    let newest = metas.max_by_key(|meta| meta.transaction);
    let meta = newest.ok_or_else(|| damaged("it has no meta page".into()))?;
    let file = PageFile::open(path, meta.page_size as usize)?;
    let mut problems = Vec::new();
    check_pages(&file, &meta, interrupted, &mut |problem| problems.push(problem))?;
    match problems.first() {
        None => Ok(()),
        Some(first) => Err(damaged(format!("{first}, and {} more", problems.len() - 1))),
    }
}

impl Store {
    /// Tells `problem` of every page of the newest state that is not in order, and how many pages it has.
    pub fn check_pages(
        self: &Arc<Self>,
        interrupted: &dyn Fn() -> Result<()>,
        problem: &mut dyn FnMut(String),
    ) -> Result<u64> {
        // Holding it keeps its pages from being used again.
        let (snapshot, meta) = self.snapshot_with_meta()?;
        let file = PageFile::open(snapshot.generation().path(), meta.page_size as usize)?;
        check_pages(&file, &meta, interrupted, problem)?;
        Ok(meta.last_page + 1)
    }

    /// The newest state with its meta page, which the next commit but one overwrites.
    fn snapshot_with_meta(self: &Arc<Self>) -> Result<(Snapshot, Meta)> {
        for _ in 0..TRIES {
            let snapshot = self.read()?;
            let path = snapshot.generation().path();
            let look = || -> std::io::Result<_> { metas(&mut File::open(path)?) };
            let failed = |e: std::io::Error| io_error(path, "read", &e);
            let (first, second) = (look().map_err(failed)?, look().map_err(failed)?);
            let state = snapshot.state().transaction as u64;
            let meta = first.into_iter().flatten().find(|meta| meta.transaction == state);
            if let Some(meta) = meta.filter(|_| first == second) {
                return Ok((snapshot, meta));
            }
        }
        Err(Error::StorageError {
            path: self.path().to_owned(),
            detail: "no commit stayed long enough to look at its pages; write less meanwhile"
                .into(),
        })
    }
}

/// Tells `problem` of every page that is not in order.
fn check_pages(
    file: &PageFile,
    meta: &Meta,
    interrupted: &dyn Fn() -> Result<()>,
    problem: &mut dyn FnMut(String),
) -> Result<()> {
    if meta.main.flags != 0 || meta.free.flags != INTEGER_KEYS {
        problem("the newest meta page has flags that it cannot have".into());
    }
    if file.length() < meta.length() {
        problem(format!("it has {} bytes, but speaks of {}", file.length(), meta.length()));
    }
    let mut walk = Walk::new(file, meta.last_page, interrupted);
    let mut tables = Vec::new();
    walk.rows(&meta.main, Order::Bytes, &mut |walk, page, row| {
        let tree = file.value(&row.value)?.as_deref().and_then(Tree::parse);
        match tree.filter(|tree| row.tree && tree.flags == 0) {
            Some(tree) => tables.push((row.key.to_vec(), tree)),
            None => walk.problems.push((page, "names what is no table".into())),
        }
        Ok(())
    })?;
    for table in Table::ALL {
        if !tables.iter().any(|(name, _)| name == table.name().as_bytes()) {
            problem(format!("the table {:?} is missing", table.name()));
        }
    }
    for (_, tree) in &tables {
        walk.rows(tree, Order::Bytes, &mut |walk, page, row| {
            if row.tree {
                walk.problems.push((page, "holds a tree where a value belongs".into()));
            }
            Ok(())
        })?;
    }
    let free = free_pages(file, meta, &mut walk)?;
    let both = (&walk.seen & &free).len();
    if both > 0 {
        problem(format!("{both} pages are in use, but listed as free"));
    }
    for (page, what) in walk.problems {
        problem(match page {
            NO_PAGE => what,
            page => format!("page {page} {what}"),
        });
    }
    Ok(())
}

/// The pages that are listed as free.
pub(crate) fn free_pages(
    file: &PageFile,
    meta: &Meta,
    walk: &mut Walk<'_>,
) -> Result<RoaringTreemap> {
    let mut free = RoaringTreemap::new();
    walk.rows(&meta.free, Order::Integers, &mut |walk, page, row| {
        let Some(list) = file.value(&row.value)? else { return Ok(()) };
        // The first number says how many follow; there may be room behind them.
        let count = u64_at(&list, 0);
        let whole = list.len() >= 8 && count < (list.len() / 8) as u64;
        if !whole || row.tree {
            walk.problems.push((page, "holds a list of free pages that is none".into()));
            return Ok(());
        }
        for at in 1..=count as usize {
            let number = u64_at(&list, at * 8);
            if !(2..=meta.last_page).contains(&number) {
                walk.problems.push((page, format!("lists {number} as a free page")));
            } else if !free.insert(number) {
                walk.problems
                    .push((page, format!("lists the page {number}, which is listed twice")));
            }
        }
        Ok(())
    })?;
    Ok(free)
}
