//! Copying what reads, table by table, in the order in which things rest on each other.

use std::collections::{BTreeMap, HashMap, HashSet};

use embedded_db_common::record::{self, Read, seal};
use embedded_db_common::{NamespaceId, Result, Slot, SpaceId, Symbol};
use roaring::{RoaringBitmap, RoaringTreemap};

use super::derived::{Ends, Labelled, Parts};
use super::logged::Logged;
use super::{Amounts, Item, Register, Salvaged, Steps};
use crate::keys::{self, Table};
use crate::new_file::Rows;
use crate::pages::{DamagedFile, Depth, Found, Origin, RowPlace};
use crate::records::{DatabaseCounters, NamespaceCounters};

/// What is in a namespace of the result.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) nodes: RoaringBitmap,
    pub(super) edges: RoaringBitmap,
    pub(super) counters: NamespaceCounters,
}

/// The work of a repair.
pub(super) struct Copy<'a, 's, 'p> {
    pub(super) file: &'a DamagedFile,
    pub(super) logged: &'a Logged,
    pub(super) rows: Rows<'a>,
    steps: Steps<'s, 'p>,
    /// The last key that each table has been given.
    last: HashMap<Table, Vec<u8>>,
    /// Symbols that have names.
    pub(super) names: HashSet<Symbol>,
    pub(super) namespaces: BTreeMap<NamespaceId, String>,
    /// Those that were dropped.
    pub(super) dropped: HashSet<NamespaceId>,
    /// Dimensions of the spaces.
    pub(super) spaces: HashMap<SpaceId, u32>,
    pub(super) kept: HashMap<NamespaceId, Kept>,
    pub(super) counters: DatabaseCounters,
    /// The last LSN of the state, if its counters read.
    pub(super) state_lsn: Option<u64>,
    /// LSNs of the changes that read.
    pub(super) changes: RoaringTreemap,
    pub(super) ends: Ends,
    pub(super) labelled: Labelled,
    pub(super) parts: Parts,
    /// What waits may be more than what was read.
    pub(super) lost_work: bool,
    pub(super) saved: Amounts<u64>,
    pub(super) lost: Amounts<Option<u64>>,
    pub(super) missing: Register,
    pub(super) doubtful: Register,
    pub(super) remarks: Vec<String>,
}

/// What a repair has copied.
pub(super) struct Copied {
    pub(super) lost_work: bool,
    lsn: u64,
    namespaces: BTreeMap<NamespaceId, String>,
    saved: Amounts<u64>,
    lost: Amounts<Option<u64>>,
    missing: Register,
    doubtful: Register,
    remarks: Vec<String>,
}

pub(super) fn namespace_of(key: &[u8]) -> Read<NamespaceId> {
    keys::u32_at(key, 0).map(NamespaceId)
}

impl<'a, 's, 'p> Copy<'a, 's, 'p> {
    pub(super) fn new(
        file: &'a DamagedFile,
        logged: &'a Logged,
        rows: Rows<'a>,
        steps: Steps<'s, 'p>,
    ) -> Self {
        Self {
            file,
            logged,
            rows,
            steps,
            last: HashMap::new(),
            names: HashSet::new(),
            namespaces: BTreeMap::new(),
            dropped: HashSet::new(),
            spaces: HashMap::new(),
            kept: HashMap::new(),
            counters: DatabaseCounters::default(),
            state_lsn: None,
            changes: RoaringTreemap::new(),
            ends: Ends::default(),
            labelled: Labelled::default(),
            parts: Parts::default(),
            lost_work: false,
            saved: Amounts::default(),
            lost: Amounts::default(),
            missing: Register::default(),
            doubtful: Register::default(),
            remarks: Vec::new(),
        }
    }

    /// Everything.
    pub(super) fn all(mut self) -> Result<Copied> {
        self.copy_names()?;
        let meta = self.read_meta()?;
        self.find_changes()?;
        for table in [Table::Nodes, Table::Edges, Table::Embeddings] {
            self.copy_records(table)?;
        }
        self.copy_history()?;
        self.drop_parts()?;
        self.copy_work()?;
        self.put_derived()?;
        self.find_missing()?;
        self.copy_changes()?;
        self.put_meta(meta)?;
        let Self { rows, namespaces, saved, lost, missing, doubtful, remarks, .. } = self;
        let (lost_work, lsn) = (self.lost_work, self.counters.lsn);
        rows.end()?;
        Ok(Copied { lost_work, lsn, namespaces, saved, lost, missing, doubtful, remarks })
    }

    /// Where rows of a table are looked for that never change once they are written.
    pub(super) fn depths(&self, table: Table) -> &'static [Depth] {
        let all = &[Depth::State, Depth::Loose, Depth::Old];
        if self.file.is_whole(table) { &all[..1] } else { all }
    }

    /// Calls `visit` with the rows of a table that read.
    pub(super) fn visit(
        &mut self,
        table: Table,
        depth: Depth,
        visit: &mut dyn FnMut(&mut Self, Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let (file, logged) = (self.file, self.logged);
        file.rows(table, depth, &mut |row| {
            self.steps.row()?;
            // What never changes may be the same there.
            if depth == Depth::State && logged.replaces(table, row.key) {
                return Ok(());
            }
            visit(self, row)
        })?;
        if depth != Depth::State {
            return Ok(());
        }
        for (number, key, sealed) in logged.rows(table) {
            self.steps.row()?;
            let Ok(payload) = record::open(table as u8, key, sealed) else { continue };
            visit(self, Found { key, sealed, payload, at: RowPlace::nowhere(table, number) })?;
        }
        Ok(())
    }

    /// Visits a row that was found before again.
    pub(super) fn again(
        &mut self,
        table: Table,
        at: RowPlace,
        visit: &mut dyn FnMut(&mut Self, Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let (file, logged) = (self.file, self.logged);
        let Some(number) = at.entry_nowhere() else {
            return file.row_at(at, &mut |row| visit(self, row));
        };
        let Some((key, sealed)) = logged.row(number) else { return Ok(()) };
        match record::open(table as u8, key, sealed) {
            Ok(payload) => visit(self, Found { key, sealed, payload, at }),
            Err(_) => Ok(()),
        }
    }

    /// Puts a row into its place, behind all others where that is its place.
    pub(super) fn put(&mut self, table: Table, key: &[u8], sealed: &[u8]) -> Result<()> {
        let last = self.last.entry(table).or_default();
        if last.as_slice() < key {
            last.clear();
            last.extend_from_slice(key);
            return self.rows.append(table, key, sealed);
        }
        self.rows.put(table, key, sealed)
    }

    /// The same with the checksum that the row gets.
    pub(super) fn put_payload(
        &mut self,
        table: Table,
        key: &[u8],
        mut payload: Vec<u8>,
    ) -> Result<()> {
        seal(table as u8, key, &mut payload);
        self.put(table, key, &payload)
    }

    pub(super) fn kept(&mut self, namespace: NamespaceId) -> &mut Kept {
        self.kept.entry(namespace).or_default()
    }

    pub(super) fn has_node(&self, namespace: NamespaceId, slot: Slot) -> bool {
        self.kept.get(&namespace).is_some_and(|kept| kept.nodes.contains(slot.0))
    }

    /// Rows that a table has, if that is known.
    pub(super) fn row_count(&self, table: Table) -> Option<u64> {
        self.file.row_count(table)?.checked_add_signed(self.logged.more(table)?)
    }

    /// Rows of a table that are missing, of so many that were read or saved.
    pub(super) fn missing_rows(&self, table: Table, there: u64) -> Option<u64> {
        self.row_count(table).map(|rows| rows.saturating_sub(there))
    }
}

impl Copied {
    /// Not a single row was saved; one namespace is there in any case.
    pub(super) fn is_nothing(&self) -> bool {
        let least = |item| u64::from(item == Item::Namespaces);
        Item::ALL.into_iter().all(|item| self.saved[item] <= least(item))
    }

    pub(super) fn report(
        self,
        generation: u64,
        file: &DamagedFile,
        logged: &Logged,
        mut remarks: Vec<String>,
    ) -> Salvaged {
        remarks.extend(self.remarks);
        let (pages, damaged_pages) = file.pages();
        let origin = match file.origin() {
            Origin::Newest | Origin::Found if logged.is_cut => Origin::Older,
            origin => origin,
        };
        let mut lost = self.lost;
        // What was in the last state, nobody knows.
        if matches!(origin, Origin::Older | Origin::Scanned) {
            lost = Amounts::default();
        }
        Salvaged {
            generation,
            origin,
            lsn: self.lsn,
            saved: self.saved,
            lost,
            lost_objects: self.missing.named(&self.namespaces),
            doubtful: self.doubtful.named(&self.namespaces),
            pages,
            damaged_pages,
            remarks,
        }
    }
}
