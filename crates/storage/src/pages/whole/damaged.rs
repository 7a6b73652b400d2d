//! A data file of which any part may be damaged, as rows: those of its last state as far as it reads, and,
//! where pages of a table are missing, what looks like them elsewhere in the file.
//!
//! - A row is one only with a right checksum, which no page can fake.
//! - Pages are of the state when the way from its root leads to them and they are what their sums say; or
//!   when nothing leads to them and they are not listed as free, for every page is one or the other.
//! - Other pages that hold rows of a table may be of any earlier state. Who takes their rows has to know
//!   that nothing newer has taken their place.

use std::path::Path;

use embedded_db_common::record;
use embedded_db_common::{Error, Result};
use roaring::RoaringTreemap;

use super::super::layout::{Meta, Page, Value};
use super::super::sums::{FoundSums, StoredSums};
use super::UnmappedFile;
use super::notes::Notes;
use super::state::{Metas, Origin, State, page_size, row_of, written};
use super::survey::{Leaves, Survey};
use crate::keys::Table;
use crate::log::FoundLog;

/// States found without a meta page that are looked at as a whole.
const MOST_STATES: usize = 8;

/// Where rows are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// On the pages of the state.
    State,
    /// On pages that may be of the state, or of an earlier one.
    Loose,
    /// On pages that were of an earlier state.
    Old,
}

/// A row with a right checksum.
#[derive(Clone, Copy)]
pub(crate) struct Found<'r> {
    pub(crate) key: &'r [u8],
    pub(crate) sealed: &'r [u8],
    pub(crate) payload: &'r [u8],
    /// Where it stands.
    pub(crate) at: RowPlace,
}

/// The place of a row of a table: a page, and an entry of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowPlace {
    table: Table,
    page: u64,
    entry: u32,
}

/// What was found in a data file.
pub(crate) struct DamagedFile {
    file: UnmappedFile,
    survey: Survey,
    /// Its pages were compared with their sums.
    pub(crate) has_sums: bool,
    /// What is wrong with it as a whole.
    pub(crate) remarks: Vec<String>,
}

impl RowPlace {
    /// Of a row that is in no page.
    pub(crate) fn nowhere(table: Table, entry: u32) -> Self {
        Self { table, page: u64::MAX, entry }
    }

    /// Which of the rows that are in no page.
    pub(crate) fn entry_nowhere(self) -> Option<u32> {
        (self.page == u64::MAX).then_some(self.entry)
    }

    pub(crate) fn page(self) -> u64 {
        self.page
    }
}

impl DamagedFile {
    /// Looks at all pages of the data file of a generation. `step` is told how many pages were read.
    /// With a log that is in use, its last checkpoint is a state, too.
    pub(crate) fn open(
        directory: &Path,
        log: Option<&FoundLog>,
        step: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<Self> {
        let file = open_any(&directory.join("data.mdb"))?;
        // What was written behind the checkpoint may be of any moment.
        let put_back = log.filter(|log| log.is_put_back);
        let of_log = put_back.map(|log| (log.transaction(), log.sums()));
        let sums = FoundSums::read(directory, file.page_size, file.pages(), of_log);
        Self::with(file, sums, log, step)
    }

    /// The newest state of a data file that was in use and is a copy, as it is. `None` unless its sums are those of
    /// this very state, and all of its pages what they say: a page of another moment has had another sum since, for
    /// sums are copied with it or later.
    pub(crate) fn open_copied(
        directory: &Path,
        step: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<Option<Self>> {
        let file = open_any(&directory.join("data.mdb"))?;
        let sums = FoundSums::read_copied(directory, file.page_size, file.pages());
        let FoundSums::Usable(usable) = &sums else { return Ok(None) };
        let covered = usable.covered();
        let found = Self::with(file, sums, None, step)?;
        let state = &found.survey.state;
        let is_whole = found.has_sums
            && state.origin == Origin::Newest
            && state.transaction == Some(covered)
            && found.survey.is_vouched_for
            && found.survey.damaged == 0
            && found.survey.tables.iter().all(|leaves| leaves.whole)
            && found.survey.agrees(&found.file)?;
        Ok(Some(found).filter(|_| is_whole))
    }

    fn with(
        mut file: UnmappedFile,
        sums: FoundSums,
        log: Option<&FoundLog>,
        step: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<Self> {
        let put_back = log.filter(|log| log.is_put_back);
        let mut remarks = Vec::new();
        let sums = match sums {
            FoundSums::Usable(sums) => Some(sums),
            FoundSums::Missing => {
                remarks.push("data.sums is missing".into());
                None
            }
            FoundSums::Unusable(why) => {
                remarks.push(format!("data.sums {why}"));
                None
            }
        };
        let total = file.pages();
        let mut notes = Notes::take(&file, sums.as_ref(), &mut |count| step(count, total))?;
        let believed = sums.filter(|_| notes.sums_are_believed());
        if believed.is_none() && !notes.wrong.is_empty() {
            remarks.push("data.sums is not of this data".into());
        }
        if believed.is_none() {
            (notes.right, notes.wrong) = Default::default();
        }
        if !notes.moved.is_empty() {
            remarks.push(format!("{} pages lie in the places of others", notes.moved.len()));
        }
        if !notes.unread.is_empty() {
            remarks.push(format!("{} pages cannot be read from the disk", notes.unread.len()));
        }
        file.moved = std::mem::take(&mut notes.moved);
        let mut metas = Metas::read(&file, believed.as_ref(), put_back.map(FoundLog::metas))?;
        if let Some(log) = log.filter(|_| !metas.certain) {
            remarks.append(&mut metas.remarks);
            metas = Metas::read(&file, believed.as_ref(), Some(log.metas()))?;
        }
        let survey = choose(&file, &notes, believed.as_ref(), metas, step, &mut remarks)?;
        Ok(Self { file, survey, has_sums: believed.is_some(), remarks })
    }

    /// The transaction that left its state, if that is known.
    pub(crate) fn transaction(&self) -> Option<u64> {
        self.survey.state.transaction
    }

    /// The newest transaction of which the meta pages tell, if both read.
    pub(crate) fn written(&self) -> Result<Option<u64>> {
        written(&self.file)
    }

    /// The row under a key, where the way to it reads.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(trees) = &self.survey.state.trees else { return Ok(None) };
        let sealed = row_of(&self.file, *table.of(trees), key)?;
        Ok(sealed.filter(|sealed| record::open(table as u8, key, sealed).is_ok()))
    }

    /// How the state was found.
    pub(crate) fn origin(&self) -> Origin {
        self.survey.state.origin
    }

    /// Pages that the file has, and how many of the state are damaged.
    pub(crate) fn pages(&self) -> (u64, u64) {
        (self.file.pages(), self.survey.damaged)
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.file.length()
    }

    /// Rows that the state has of a table, if that is known.
    pub(crate) fn row_count(&self, table: Table) -> Option<u64> {
        self.leaves(table).rows
    }

    /// Whether all pages of a table read.
    pub(crate) fn is_whole(&self, table: Table) -> bool {
        self.leaves(table).whole
    }

    fn leaves(&self, table: Table) -> &Leaves {
        table.of(&self.survey.tables)
    }

    /// Whether all rows of a table read whose keys are below one.
    pub(crate) fn reads_below(&self, table: Table, end: &[u8]) -> Result<bool> {
        let leaves = self.leaves(table);
        let gap = leaves.gaps.first().copied().unwrap_or(leaves.state.len());
        for &page in leaves.state.iter().take(gap) {
            let bytes = self.file.read(page, 1)?.unwrap_or_default();
            let Ok(leaf) = Page::any(&bytes, page) else { return Ok(false) };
            for entry in 0..leaf.len() {
                let Ok((key, value)) = leaf.row(entry) else { return Ok(false) };
                let sealed = self.value(value)?.unwrap_or_default();
                if record::open(table as u8, key, &sealed).is_err() {
                    return Ok(false);
                }
                if key >= end {
                    return Ok(true);
                }
            }
        }
        Ok(leaves.whole)
    }

    /// Calls `visit` with the rows of a table that have right checksums; on pages of the state in the
    /// order of their keys, as far as its order is known.
    pub(crate) fn rows(
        &self,
        table: Table,
        depth: Depth,
        visit: &mut dyn FnMut(Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let leaves = self.leaves(table);
        let pages = match depth {
            Depth::State => &leaves.state,
            Depth::Loose => &leaves.loose,
            Depth::Old => &leaves.old,
        };
        let mut big = RoaringTreemap::new();
        for &page in pages {
            let Some(bytes) = self.file.read(page, 1)? else { continue };
            let Ok(leaf) = Page::any(&bytes, page) else { continue };
            for entry in 0..leaf.len() {
                let at = RowPlace { table, page, entry: entry as u32 };
                let value = match leaf.row(entry) {
                    // A value that many rows name is read once: there may be as many as anybody likes.
                    Ok((_, Value::Big { page, .. })) if !big.insert(page) => continue,
                    Ok((key, value)) => self.value(value)?.map(|value| (key, value)),
                    Err(_) => None,
                };
                let Some((key, sealed)) = value.filter(|(key, _)| fits(key)) else { continue };
                if let Ok(payload) = record::open(table as u8, key, &sealed) {
                    visit(Found { key, sealed: &sealed, payload, at })?;
                }
            }
        }
        Ok(())
    }

    /// A row that was found before, again.
    pub(crate) fn row_at(
        &self,
        at: RowPlace,
        visit: &mut dyn FnMut(Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(bytes) = self.file.read(at.page, 1)? else { return Ok(()) };
        let Ok(leaf) = Page::any(&bytes, at.page) else { return Ok(()) };
        let Ok((key, value)) = leaf.row(at.entry as usize) else { return Ok(()) };
        let Some(sealed) = self.value(value)? else { return Ok(()) };
        match record::open(at.table as u8, key, &sealed) {
            Ok(payload) => visit(Found { key, sealed: &sealed, payload, at }),
            Err(_) => Ok(()),
        }
    }

    fn value(&self, value: Value<'_>) -> Result<Option<Vec<u8>>> {
        match value {
            Value::Here(bytes) => Ok(Some(bytes.to_vec())),
            Value::Big { page, length } => self.file.big(page, length),
            Value::Tree(_) => Ok(None),
        }
    }
}

/// A file with whatever its meta pages say; without any, with pages of the size that most have.
pub(super) fn open_any(path: &Path) -> Result<UnmappedFile> {
    const USUAL: usize = 4096;
    let mut file = UnmappedFile::open(path, 1)?;
    file.forgiving = true;
    let size = page_size(|at| {
        let mut bytes = [0; Meta::SIZE];
        let there = at.checked_add(Meta::SIZE as u64).is_some_and(|end| end <= file.length);
        (there && file.read_at(at, &mut bytes).ok()?).then_some(bytes)
    });
    file.page_size = size.unwrap_or(USUAL);
    if file.length < 2 * file.page_size as u64 {
        return Err(Error::Corruption {
            path: path.to_owned(),
            object: "the data file".into(),
            detail: format!("it has {} bytes, and nothing of it reads", file.length),
        });
    }
    Ok(file)
}

/// The best state that a file shows.
fn choose(
    file: &UnmappedFile,
    notes: &Notes,
    sums: Option<&StoredSums>,
    metas: Metas,
    step: &mut dyn FnMut(u64, u64) -> Result<()>,
    remarks: &mut Vec<String>,
) -> Result<Survey> {
    let tell = std::cell::RefCell::new(step);
    let interrupted = || tell.borrow_mut()(0, file.pages());
    let look = |state: State| Survey::of(file, notes, sums, state, &interrupted);
    remarks.extend(metas.remarks);
    let mut states = metas.states.into_iter();
    let mut newest = None;
    if metas.certain
        && let Some(state) = states.next()
    {
        let survey = look(state)?;
        if survey.tells {
            return Ok(survey);
        }
        remarks.push("the page that names the tables does not read".into());
        newest = Some(survey);
    }
    let known = states.find(|state| state.trees.is_some());
    let known = known.map(|state| look(state.as_older())).transpose()?;
    if let Some(newest) = newest {
        return Ok(known.unwrap_or(newest));
    }
    let found = found_state(file, notes, known.as_ref().map(|it| &it.state), &look)?;
    match found.or(known) {
        Some(survey) => Ok(survey),
        None => look(State::scanned(file)),
    }
}

/// The newest state that is later than one that is known, by the pages that name tables. Only one commit
/// is later than one with a meta page; without any, it may be of any commit.
fn found_state(
    file: &UnmappedFile,
    notes: &Notes,
    known: Option<&State>,
    look: &dyn Fn(State) -> Result<Survey>,
) -> Result<Option<Survey>> {
    let mut states = Vec::new();
    for &root in &notes.roots {
        let right = !notes.wrong.contains(root);
        states.extend(State::found(file, root)?.filter(|state| right && state.is_after(known)));
    }
    let newest = states.iter().map(State::age).max();
    states.retain(|state| Some(state.age()) == newest);
    for state in states.into_iter().take(MOST_STATES) {
        let survey = look(match known {
            Some(known) => state.following(known),
            None => state.as_older(),
        })?;
        if survey.agrees(file)? {
            return Ok(Some(survey));
        }
    }
    Ok(None)
}

/// Whether the store takes such a key.
fn fits(key: &[u8]) -> bool {
    (1..=511).contains(&key.len())
}
