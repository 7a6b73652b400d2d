//! Whether the pages of one state are what LMDB takes them for: every one used once or free, every key in
//! its order, every value inside its page.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use embedded_db_common::{Error, Result};
use roaring::RoaringTreemap;

use super::{Meta, NO_PAGE, Order, Tree, UnmappedFile, Value, Walk, newest_meta};
use crate::keys::Table;
use crate::platform::io_error;
use crate::read::ReadTxn;
use crate::store::Store;

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
    let newest = newest_meta(&mut file).map_err(failed)?;
    let meta = newest.ok_or_else(|| damaged("it has no meta page".into()))?;
    let file = UnmappedFile::open(path, meta.page_size)?;
    let mut problems = Vec::new();
    check_pages(&file, &meta, interrupted, &mut |problem| problems.push(problem))?;
    match problems.first() {
        None => Ok(()),
        Some(first) => {
            let more = problems.len().saturating_sub(1);
            Err(damaged(format!("{first}, and {more} more")))
        }
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
        let snapshot = self.read()?;
        let meta = snapshot.view().meta;
        let file = UnmappedFile::open(snapshot.generation().path(), meta.page_size)?;
        check_pages(&file, &meta, interrupted, problem)?;
        Ok(meta.last_page.saturating_add(1))
    }
}

/// Tells `problem` of every page that is not in order.
fn check_pages(
    file: &UnmappedFile,
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
        match row.1 {
            Value::Tree(tree) if tree.flags == 0 => tables.push((row.0.to_vec(), tree)),
            _ => walk.problems.push((page, "names what is no table".into())),
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
            if matches!(row.1, Value::Tree(_)) {
                walk.problems.push((page, "holds a tree where a value belongs".into()));
            }
            Ok(())
        })?;
    }
    let free = free_pages(file, &meta.free, meta.last_page, &mut walk)?;
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
    file: &UnmappedFile,
    tree: &Tree,
    last_page: u64,
    walk: &mut Walk<'_>,
) -> Result<RoaringTreemap> {
    let mut free = RoaringTreemap::new();
    walk.rows(tree, Order::Integers, &mut |walk, page, row| {
        let list = match row.1 {
            Value::Here(bytes) => Some(bytes.to_vec()),
            Value::Big { page, length } => file.big(page, length)?,
            Value::Tree(_) => Some(Vec::new()),
        };
        let Some(list) = list else { return Ok(()) };
        // The first number says how many follow; there may be room behind them.
        let (numbers, _) = list.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_ne_bytes(*number));
        let count = numbers.next().and_then(|count| usize::try_from(count).ok());
        let Some(count) = count.filter(|count| *count <= numbers.len()) else {
            walk.problems.push((page, "holds a list of free pages that is none".into()));
            return Ok(());
        };
        for number in numbers.take(count) {
            if !(2..=last_page).contains(&number) {
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
