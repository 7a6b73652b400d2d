//! Which state a file holds: what its meta pages say, and the roots of tables that are found without
//! them.

use embedded_db_common::record::{self, Read};
use embedded_db_common::{NamespaceId, Result};

use super::super::layout::{MAX_DEPTH, Meta, Page, Tree, Value};
use super::super::sums::StoredSums;
use super::UnmappedFile;
use crate::keys::{self, Table};
use crate::records::DatabaseCounters;

/// The trees of the tables, in the order of their numbers.
pub(crate) type Trees = [Tree; Table::ALL.len()];

/// How a state was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By the meta page of the last commit.
    Newest,
    /// By the tables of the last commit, whose meta page is damaged.
    Found,
    /// It is that of an earlier commit, or of the last one: nobody can tell.
    Older,
    /// Not at all: rows are those of all pages that look like pages of tables.
    Scanned,
}

/// A state as far as it is known where it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) origin: Origin,
    /// `None` when the page that names them does not read.
    pub(crate) trees: Option<Trees>,
    /// Of free pages; `None` when nobody knows which are free.
    pub(super) free: Option<Tree>,
    pub(crate) last_page: u64,
    /// The transaction that left it, as its meta page says.
    pub(crate) transaction: Option<u64>,
    /// The page that names the tables.
    pub(super) root: u64,
    /// Counters that tell which of two states is the newer one.
    age: Option<(u64, i64)>,
}

/// What the meta pages of a file are worth.
pub(crate) struct Metas {
    /// States that they show, the newest first.
    pub(crate) states: Vec<State>,
    /// Whether the first of these is the last commit for sure.
    pub(crate) certain: bool,
    /// What is wrong with them.
    pub(crate) remarks: Vec<String>,
}

/// The tables that the root of a state names; `None` for any other page.
pub(super) fn names(bytes: &[u8], number: u64) -> Option<Trees> {
    let page = Page::any(bytes, number).ok().filter(|page| page.is_leaf())?;
    if page.len() != Table::ALL.len() {
        return None;
    }
    let mut trees = [None; Table::ALL.len()];
    for place in 0..page.len() {
        let (name, Value::Tree(tree)) = page.row(place).ok()? else { return None };
        let table = Table::ALL.into_iter().find(|table| table.name().as_bytes() == name)?;
        *table.of_mut(&mut trees) = Some(tree).filter(|tree| tree.flags == 0);
    }
    let mut out = [Tree::EMPTY; Table::ALL.len()];
    for (place, tree) in out.iter_mut().zip(trees) {
        *place = tree?;
    }
    Some(out)
}

/// The size of the pages of a file: what its meta pages say, whichever of them reads.
pub(crate) fn page_size(read: impl Fn(u64) -> Option<[u8; Meta::SIZE]>) -> Option<usize> {
    let of = |at: u64| Some(Meta::parse(&read(at)?)?.page_size);
    of(0).or_else(|| {
        // The second one begins where the first page ends.
        (8..=16).map(|bits| 1_u64 << bits).find_map(|size| of(size).filter(|it| *it as u64 == size))
    })
}

/// The newest transaction of which the meta pages of a file tell, if both read.
pub(super) fn written(file: &UnmappedFile) -> Result<Option<u64>> {
    let mut newest = Some(0);
    for page in 0..2 {
        let bytes = file.read(page, 1)?;
        let head = bytes.as_ref().and_then(|bytes| bytes.first_chunk::<{ Meta::SIZE }>());
        let found = head.and_then(Meta::parse).filter(|it| it.page_size == file.page_size);
        newest = newest.zip(found).map(|(newest, found)| found.transaction.max(newest));
    }
    Ok(newest)
}

impl Metas {
    /// Those of the file, or those that are put back in their place.
    pub(crate) fn read(
        file: &UnmappedFile,
        sums: Option<&StoredSums>,
        put_back: Option<&[[u8; Meta::SIZE]; 2]>,
    ) -> Result<Self> {
        let (mut states, mut remarks) = (Vec::new(), Vec::new());
        let metas = put_back.map_or([None; 2], |[first, second]| [Some(first), Some(second)]);
        for (page, meta) in (0..).zip(metas) {
            let bytes = match meta {
                Some(meta) => Some(meta.to_vec()),
                None => file.read(page, 1)?,
            };
            let Some(bytes) = bytes else {
                remarks.push(format!("the meta page {page} cannot be read"));
                continue;
            };
            let head = bytes.first_chunk::<{ Meta::SIZE }>();
            let found = head.and_then(Meta::parse).filter(|it| it.page_size == file.page_size);
            let Some(found) = found else {
                remarks.push(format!("the meta page {page} is none any more"));
                continue;
            };
            let told = sums.zip(head).map(|(sums, head)| sums.holds_meta(page as usize, head));
            let told = told.filter(|_| put_back.is_none());
            // That of the commit after the one that the sums cover has none yet.
            let is_next = sums.is_some_and(|sums| found.transaction == sums.covered() + 1);
            if told == Some(false) && !is_next {
                remarks.push(format!("the meta page {page} has a checksum mismatch"));
                continue;
            }
            // LMDB begins with one that has no tables.
            if found.main != Tree::EMPTY {
                states.push(State::of(file, &found)?);
            }
        }
        states.sort_by_key(|state| std::cmp::Reverse((state.transaction, state.age)));
        if let [newest, older] = &mut states[..]
            && newest.age.is_some()
            && newest.age < older.age
            && sums.is_none()
        {
            // A number of a transaction that is damaged: what was committed tells more.
            std::mem::swap(newest, older);
            remarks.push("the meta pages are not in the order of their transactions".into());
        }
        let covered = sums.map(StoredSums::covered);
        let newest = states.first().and_then(|state| state.transaction);
        let certain = (remarks.is_empty() || put_back.is_some()) && !states.is_empty()
            || covered.zip(newest).is_some_and(|(covered, newest)| newest >= covered);
        Ok(Self { states, certain, remarks })
    }
}

impl State {
    fn of(file: &UnmappedFile, meta: &Meta) -> Result<Self> {
        let root = meta.main.root;
        let bytes = file.read(root, 1)?;
        let state = Self {
            origin: Origin::Newest,
            trees: bytes.and_then(|bytes| names(&bytes, root)),
            free: Some(meta.free),
            last_page: meta.last_page,
            transaction: Some(meta.transaction),
            root,
            age: None,
        };
        Ok(Self { age: state.counters(file)?, ..state })
    }

    /// By the page that names its tables.
    pub(super) fn found(file: &UnmappedFile, root: u64) -> Result<Option<Self>> {
        let Some(bytes) = file.read(root, 1)? else { return Ok(None) };
        let Some(trees) = names(&bytes, root) else { return Ok(None) };
        let state = Self {
            origin: Origin::Found,
            trees: Some(trees),
            free: None,
            last_page: file.pages().saturating_sub(1),
            transaction: None,
            root,
            age: None,
        };
        Ok(Some(Self { age: state.counters(file)?, ..state }))
    }

    /// Without any table.
    pub(super) fn scanned(file: &UnmappedFile) -> Self {
        Self {
            origin: Origin::Scanned,
            trees: None,
            free: None,
            last_page: file.pages().saturating_sub(1),
            transaction: None,
            root: 0,
            age: None,
        }
    }

    /// The same as the one that a commit left after another state.
    pub(super) fn following(self, before: &Self) -> Self {
        Self { transaction: before.transaction.map(|it| it + 1), ..self }
    }

    /// The same as the one before the last commit.
    pub(super) fn as_older(self) -> Self {
        Self { origin: Origin::Older, ..self }
    }

    /// Whether more was changed in it than in another one, for sure. Commits that change nothing that is
    /// numbered tell nothing: the tables of an earlier state may lead to the counters of the last one.
    pub(super) fn is_after(&self, other: Option<&Self>) -> bool {
        let Some((lsn, _)) = self.age else { return false };
        other.is_none_or(|other| other.age.is_some_and(|(before, _)| lsn > before))
    }

    pub(super) fn age(&self) -> Option<(u64, i64)> {
        self.age
    }

    /// The last LSN and the time of the last commit.
    fn counters(&self, file: &UnmappedFile) -> Result<Option<(u64, i64)>> {
        let Some(trees) = &self.trees else { return Ok(None) };
        let key = keys::counters(NamespaceId::SYSTEM);
        let sealed = row_of(file, *Table::Meta.of(trees), &key)?;
        let read = |sealed: Vec<u8>| -> Read<(u64, i64)> {
            let counters =
                DatabaseCounters::parse(record::open(Table::Meta as u8, &key, &sealed)?)?;
            Ok((counters.lsn, counters.time))
        };
        Ok(sealed.and_then(|sealed| read(sealed).ok()))
    }
}

/// The sealed value under a key, where the way to it reads and it lies in its leaf.
pub(super) fn row_of(file: &UnmappedFile, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut number = tree.root;
    for level in (1..=tree.depth.min(MAX_DEPTH as u16)).rev() {
        let Some(bytes) = file.read(number, 1)? else { return Ok(None) };
        let step = || -> Read<Result<Option<Vec<u8>>, u64>> {
            let page = Page::parse(&bytes, number, level)?;
            let (place, found) = page.search(key)?;
            if level > 1 {
                return Ok(Err(page.child(place)?));
            }
            Ok(Ok(match page.row(place) {
                Ok((_, Value::Here(value))) if found => Some(value.to_vec()),
                _ => None,
            }))
        };
        match step() {
            Ok(Err(child)) => number = child,
            Ok(Ok(found)) => return Ok(found),
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
