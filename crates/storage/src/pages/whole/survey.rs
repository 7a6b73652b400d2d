//! Which pages of a file are of a state, and which may be: those to which its tables lead, and others that
//! look like pages of them.

use embedded_db_common::Result;
use embedded_db_common::record;
use roaring::RoaringTreemap;

use super::super::layout::{Page, Tree, Value};
use super::super::sums::StoredSums;
use super::check::free_pages;
use super::damaged::Depth;
use super::notes::Notes;
use super::state::State;
use super::{Order, UnmappedFile, Walk};
use crate::keys::Table;

/// The leaves that have rows of a table.
#[derive(Default)]
pub(super) struct Leaves {
    pub(super) state: Vec<u64>,
    pub(super) loose: Vec<u64>,
    pub(super) old: Vec<u64>,
    /// Rows that the state has.
    pub(super) rows: Option<u64>,
    /// Before which of the leaves others are missing.
    pub(super) gaps: Vec<usize>,
    /// Nor is any row missing.
    pub(super) whole: bool,
}

/// The pages of a state, by table.
pub(super) struct Survey {
    pub(super) state: State,
    pub(super) tables: [Leaves; Table::ALL.len()],
    /// Pages of the state that are damaged.
    pub(super) damaged: u64,
    /// Its tables are known, or at least which pages are not free.
    pub(super) tells: bool,
    /// Each of its pages is what its sum says.
    pub(super) is_vouched_for: bool,
}

impl Survey {
    pub(super) fn of(
        file: &UnmappedFile,
        notes: &Notes,
        sums: Option<&StoredSums>,
        state: State,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        // The sums of a commit are written after it: those of a later one are not there yet.
        let none = RoaringTreemap::new();
        let covered = sums.map_or(0, StoredSums::covered);
        let are_there = state.transaction.is_none_or(|transaction| transaction <= covered);
        let wrong = if are_there { &notes.wrong } else { &none };
        let mut walk = Walk::new(file, state.last_page, interrupted).refusing(wrong);
        if state.root >= 2 {
            walk.seen.insert(state.root);
        }
        let mut tables = [const { None }; Table::ALL.len()];
        for (table, leaves) in Table::ALL.into_iter().zip(&mut tables) {
            let tree = state.trees.as_ref().map(|trees| table.of(trees));
            *leaves = tree.map(|tree| Leaves::of(&mut walk, tree)).transpose()?;
        }
        let mut tables = tables.map(Option::unwrap_or_default);
        let before = walk.wrong.len();
        let mut free = None;
        if let Some(tree) = state.free {
            let found = free_pages(file, &tree, state.last_page, &mut walk)?;
            free = Some(found).filter(|_| walk.wrong.len() == before && walk.problems.is_empty());
        }
        let vouched = notes.right.contains(state.root);
        for leaves in &mut tables {
            leaves.doubt_rows(file, vouched, !wrong.contains(state.root));
        }
        let damaged = walk.wrong.len() + u64::from(state.trees.is_none());
        let tells = state.trees.is_some() || free.is_some();
        let is_vouched_for = walk.seen.iter().all(|page| notes.right.contains(page));
        let mut survey = Self { state, tables, damaged, tells, is_vouched_for };
        survey.drop_foreign(file, notes)?;
        let others = Others { file, notes, walk: &walk, free, wrong };
        survey.add_others(&others)?;
        if survey.state.trees.is_none() && others.all_but(survey.state) {
            survey.count_rows(file)?;
        }
        Ok(survey)
    }

    /// Nothing but the page that names the tables is missing: they have the rows that were found.
    fn count_rows(&mut self, file: &UnmappedFile) -> Result<()> {
        for leaves in &mut self.tables {
            let mut rows = 0;
            for page in &leaves.state {
                let bytes = file.read(*page, 1)?.unwrap_or_default();
                rows += Page::any(&bytes, *page).map_or(0, |leaf| leaf.len() as u64);
            }
            (leaves.rows, leaves.whole) = (Some(rows), true);
        }
        Ok(())
    }

    /// Whether the changes end with the last LSN. Pages of an earlier state that were used again may lead to
    /// the counters of a later one, and to its last changes too, but not to as many of them as there were.
    pub(super) fn agrees(&self, file: &UnmappedFile) -> Result<bool> {
        let changes = Table::Changes.of(&self.tables);
        let (Some((lsn, _)), Some(&page), true) =
            (self.state.age(), changes.state.last(), changes.whole)
        else {
            return Ok(false);
        };
        let Some(bytes) = file.read(page, 1)? else { return Ok(false) };
        let last = || {
            let leaf = Page::any(&bytes, page).ok()?;
            let Ok((key, Value::Here(sealed))) = leaf.row(leaf.len().checked_sub(1)?) else {
                return None;
            };
            record::open(Table::Changes as u8, key, sealed).ok()?;
            Some(u64::from_be_bytes(*key.last_chunk()?))
        };
        Ok(last() == Some(lsn))
    }

    /// Leaves of another table than they were met in, as far as no sum vouches for them.
    fn drop_foreign(&mut self, file: &UnmappedFile, notes: &Notes) -> Result<()> {
        for (table, leaves) in Table::ALL.into_iter().zip(&mut self.tables) {
            let mut kept = Vec::with_capacity(leaves.state.len());
            for page in std::mem::take(&mut leaves.state) {
                let its = notes.right.contains(page) || {
                    let found = recognise(file, page, Some(table))?;
                    found.is_none_or(|found| found == table)
                };
                if its {
                    kept.push(page);
                } else {
                    leaves.has_gap();
                }
            }
            leaves.state = kept;
        }
        Ok(())
    }

    /// Where pages of a table are missing: other leaves that have rows of it.
    fn add_others(&mut self, others: &Others<'_>) -> Result<()> {
        for leaves in &mut self.tables {
            leaves.loose = leaves.state.extract_if(.., |page| others.is_misplaced(*page)).collect();
            if !leaves.loose.is_empty() {
                leaves.has_gap();
            }
        }
        if self.tables.iter().all(|leaves| leaves.whole) {
            return Ok(());
        }
        let met: RoaringTreemap = self.tables.iter().flat_map(Leaves::met).collect();
        for page in &others.notes.leaves - &met {
            // What is in its place belongs there.
            let used = others.walk.runs.contains(page)
                || others.walk.seen.contains(page) && others.notes.right.contains(page);
            if used {
                continue;
            }
            let Some(table) = recognise(others.file, page, None)? else { continue };
            let leaves = table.of_mut(&mut self.tables);
            if !leaves.whole {
                match others.depth_of(page, self.state.last_page) {
                    Depth::State => leaves.state.push(page),
                    Depth::Loose => leaves.loose.push(page),
                    Depth::Old => leaves.old.push(page),
                }
            }
        }
        Ok(())
    }
}

/// What is known of pages to which no tree leads.
struct Others<'a> {
    file: &'a UnmappedFile,
    notes: &'a Notes,
    walk: &'a Walk<'a>,
    /// Pages that are listed as free, if all of them are known.
    free: Option<RoaringTreemap>,
    wrong: &'a RoaringTreemap,
}

impl Others<'_> {
    /// Whether a page to which a tree leads has keys that do not belong there.
    fn is_misplaced(&self, page: u64) -> bool {
        self.walk.disordered.contains(page) && !self.notes.right.contains(page)
    }

    /// Whether all pages of a state but its root are what their sums say.
    fn all_but(&self, state: State) -> bool {
        self.free.as_ref().is_some_and(|free| {
            let mut pages = 2..=state.last_page;
            pages.all(|it| it == state.root || free.contains(it) || self.notes.right.contains(it))
        })
    }

    fn depth_of(&self, page: u64, last_page: u64) -> Depth {
        match &self.free {
            _ if self.wrong.contains(page) => Depth::Loose,
            _ if page > last_page => Depth::Old,
            Some(free) if free.contains(page) => Depth::Old,
            // It is not free, so something must have led to it.
            Some(_) if !self.walk.seen.contains(page) => Depth::State,
            _ => Depth::Loose,
        }
    }
}

impl Leaves {
    /// Those to which a tree leads.
    fn of(walk: &mut Walk<'_>, tree: &Tree) -> Result<Self> {
        let (mut leaves, mut rows) = (Self::default(), 0);
        let mut known = walk.wrong.len();
        walk.rows(tree, Order::Bytes, &mut |walk, page, _| {
            rows += 1;
            if leaves.state.last() != Some(&page) {
                leaves.note_gap(walk, &mut known);
                leaves.state.push(page);
            }
            Ok(())
        })?;
        leaves.note_gap(walk, &mut known);
        leaves.rows = Some(tree.rows);
        leaves.whole = leaves.gaps.is_empty() && rows == tree.rows;
        Ok(leaves)
    }

    /// Somewhere a page is missing.
    fn has_gap(&mut self) {
        (self.gaps, self.whole) = (vec![0], false);
    }

    fn note_gap(&mut self, walk: &Walk<'_>, known: &mut u64) {
        if walk.wrong.len() > *known {
            self.gaps.push(self.state.len());
            *known = walk.wrong.len();
        }
    }

    /// The number of rows says little when nothing vouches for the page that it stands in.
    fn doubt_rows(&mut self, file: &UnmappedFile, vouched: bool, fits: bool) {
        /// Bytes of a row at the least, with its place in the page.
        const LEAST: u64 = 18;
        let believed = |rows: &u64| {
            self.whole || vouched || fits && !self.gaps.is_empty() && *rows <= file.length() / LEAST
        };
        self.rows = self.rows.filter(believed);
    }

    fn met(&self) -> impl Iterator<Item = u64> {
        self.state.iter().chain(&self.loose).copied()
    }
}

/// The table of which a leaf has rows, by their checksums; `likely` is tried first.
fn recognise(file: &UnmappedFile, number: u64, likely: Option<Table>) -> Result<Option<Table>> {
    let Some(bytes) = file.read(number, 1)? else { return Ok(None) };
    let Ok(leaf) = Page::any(&bytes, number) else { return Ok(None) };
    let mut big = None;
    for entry in 0..leaf.len() {
        match leaf.row(entry) {
            Ok((key, Value::Here(sealed))) => {
                if let Some(table) = table_of(key, sealed, likely) {
                    return Ok(Some(table));
                }
            }
            Ok((key, Value::Big { page, length })) => big = big.or(Some((key, page, length))),
            _ => {}
        }
    }
    let Some((key, page, length)) = big else { return Ok(None) };
    let sealed = file.big(page, length)?;
    Ok(sealed.and_then(|sealed| table_of(key, &sealed, likely)))
}

fn table_of(key: &[u8], sealed: &[u8], likely: Option<Table>) -> Option<Table> {
    let is_of = |table: &Table| record::open(*table as u8, key, sealed).is_ok();
    likely.into_iter().chain(Table::ALL).find(is_of)
}
