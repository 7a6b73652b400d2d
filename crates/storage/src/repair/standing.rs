//! Whether an object that was found somewhere is what was last stored of it, as the changes tell.
//!
//! Each put and each delete takes an LSN and leaves a row with it. So a record with an LSN is the newest
//! of its object if its own row is there, no later one names the object, and none of the later ones is
//! missing.

use std::collections::{HashMap, HashSet};

use embedded_db_common::{MAX_NAME, NamespaceId, Result, Slot};
use roaring::RoaringTreemap;

use super::Item;
use super::copy::Copy;
use crate::keys::{self, Kind, Table};
use crate::pages::{Depth, Found};
use crate::records::{ChangeOp, ChangeRecord};

/// What has an id.
pub(super) type Object = (NamespaceId, Kind, String);

/// What the changes say of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is what was last stored.
    Newest,
    /// Another took its place, or it was deleted.
    Old,
    /// They do not tell.
    Unknown,
}

/// What the changes say of some objects.
#[derive(Default)]
pub(super) struct Standings {
    /// The last change of each.
    last: HashMap<Object, (u64, ChangeOp)>,
    /// The first LSN from which on all changes up to the last one are known.
    complete_from: Option<u64>,
    /// The oldest change.
    oldest: Option<u64>,
}

impl Standings {
    pub(super) fn of(&self, object: &Object, lsn: u64) -> Standing {
        let complete = self.complete_from.is_some_and(|from| from <= lsn);
        match self.last.get(object) {
            Some((last, _)) if *last > lsn => Standing::Old,
            Some((last, ChangeOp::Put)) if *last == lsn && complete => Standing::Newest,
            Some((last, ChangeOp::Delete)) if *last == lsn => Standing::Old,
            // It was written, but never committed.
            Some((last, _)) if *last < lsn && complete => Standing::Old,
            // Of what happened before the oldest change, nothing is told.
            None if complete && self.oldest.is_some_and(|oldest| oldest <= lsn) => Standing::Old,
            _ => Standing::Unknown,
        }
    }
}

/// The LSN and the content of a row of changes.
fn told(row: Found<'_>) -> Option<(u64, Option<ChangeRecord<'_>>)> {
    let lsn = u64::from_be_bytes(*row.key.get(4..)?.first_chunk()?);
    let change = ChangeRecord::parse(row.payload).ok()?;
    let fits = change.is_none_or(|change| change.id.len() <= MAX_NAME);
    (row.key.len() == 12 && fits).then_some((lsn, change))
}

impl Copy<'_, '_, '_> {
    /// Which changes read, and which namespaces they say were dropped.
    pub(super) fn find_changes(&mut self) -> Result<()> {
        let mut found = RoaringTreemap::new();
        self.each_change(&mut |copy, lsn, row| {
            found.insert(lsn);
            if let Some(change) = told(row).and_then(|(_, change)| change)
                && change.kind == Kind::Namespace
                && change.op == ChangeOp::Delete
            {
                copy.dropped.insert(change.namespace);
            }
            Ok(())
        })?;
        if self.state_lsn.is_none() {
            self.counters.lsn = self.counters.lsn.max(found.max().unwrap_or(0));
        }
        self.namespaces.retain(|namespace, _| !self.dropped.contains(namespace));
        self.changes = found;
        Ok(())
    }

    /// Calls `visit` with each change that reads, once, and its LSN.
    fn each_change(
        &mut self,
        visit: &mut dyn FnMut(&mut Self, u64, Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut seen = RoaringTreemap::new();
        for depth in self.depths(Table::Changes) {
            self.visit(Table::Changes, *depth, &mut |copy, row| match told(row) {
                // What was never committed has numbers that were given again, or not yet.
                Some((lsn, _)) if copy.state_lsn.is_some_and(|last| lsn > last) => Ok(()),
                Some((lsn, _)) if seen.insert(lsn) => visit(copy, lsn, row),
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    /// The first LSN from which on all changes up to the last one are known.
    fn complete_from(&self) -> Option<u64> {
        let last = self.state_lsn?;
        let mut first = last + 1;
        let mut known = self.changes.iter().rev().skip_while(|lsn| *lsn > last);
        while known.next() == Some(first - 1) && first > 1 {
            first -= 1;
        }
        // Those that are missing before were removed by a scrub.
        let all_read = self.file.is_whole(Table::Changes)
            && self.row_count(Table::Changes) == Some(self.changes.len())
            && self.changes.min().is_none_or(|least| least >= first);
        Some(if all_read { 0 } else { first })
    }

    /// What the changes say of objects.
    pub(super) fn standings(&mut self, of: &HashSet<Object>) -> Result<Standings> {
        let mut last: HashMap<Object, (u64, ChangeOp)> = HashMap::new();
        self.each_change(&mut |_, lsn, row| {
            let Some((_, Some(change))) = told(row) else { return Ok(()) };
            let object = (change.namespace, change.kind, change.id.to_owned());
            if of.contains(&object) {
                let known = last.entry(object).or_insert((lsn, change.op));
                if known.0 < lsn {
                    *known = (lsn, change.op);
                }
            }
            Ok(())
        })?;
        Ok(Standings { last, complete_from: self.complete_from(), oldest: self.changes.min() })
    }

    /// Copies the changes that follow each other up to the last one.
    pub(super) fn copy_changes(&mut self) -> Result<()> {
        let last = self.counters.lsn;
        let mut first = last + 1;
        let mut known = self.changes.iter().rev();
        while known.next() == Some(first - 1) {
            first -= 1;
        }
        let mut saved = 0;
        self.each_change(&mut |copy, lsn, row| {
            if (first..=last).contains(&lsn) {
                copy.put(Table::Changes, row.key, row.sealed)?;
                saved += 1;
            }
            Ok(())
        })?;
        self.saved[Item::Changes] = saved;
        self.lost[Item::Changes] = self.missing_rows(Table::Changes, saved);
        Ok(())
    }

    /// Objects of which an id or a change tells that they were stored, and that are not in the result.
    pub(super) fn find_missing(&mut self) -> Result<()> {
        let mut ids = Vec::new();
        self.visit(Table::Ids, Depth::State, &mut |copy, row| {
            let Some(object) = object_of_id(row.key) else { return Ok(()) };
            if copy.rows.get(Table::Ids, row.key)?.is_none() {
                ids.push(object);
            }
            Ok(())
        })?;
        if !self.file.is_whole(Table::Ids) {
            ids.extend(self.put_last()?);
        }
        for (namespace, kind, id) in ids {
            if !self.dropped.contains(&namespace) {
                self.missing.note(kind, namespace, &id, "it does not read");
            }
        }
        for (item, kind, table) in [
            (Item::Nodes, Kind::Node, Table::Nodes),
            (Item::Edges, Kind::Edge, Table::Edges),
            (Item::Embeddings, Kind::Embedding, Table::Embeddings),
        ] {
            let lost = self.missing_rows(table, self.saved[item]);
            self.lost[item] = lost.map(|lost| lost.max(self.missing.count(kind)));
        }
        Ok(())
    }

    /// Objects that were put last, as far as all changes since are known, and that are not in the result.
    fn put_last(&mut self) -> Result<Vec<Object>> {
        let from = self.complete_from().unwrap_or(u64::MAX);
        let mut last: HashMap<Object, (u64, ChangeOp)> = HashMap::new();
        self.each_change(&mut |copy, lsn, row| {
            let Some((_, Some(change))) = told(row) else { return Ok(()) };
            let object = (change.namespace, change.kind, change.id.to_owned());
            let key = keys::id(change.namespace, change.kind, change.id);
            if lsn < from || change.kind == Kind::Namespace {
                return Ok(());
            }
            if copy.rows.get(Table::Ids, &key)?.is_none()
                && last.get(&object).is_none_or(|known| known.0 < lsn)
            {
                last.insert(object, (lsn, change.op));
            }
            Ok(())
        })?;
        let put = last.into_iter().filter(|(_, (_, op))| *op == ChangeOp::Put);
        Ok(put.map(|(object, _)| object).collect())
    }
}

/// The object that a key of `ids` names.
fn object_of_id(key: &[u8]) -> Option<Object> {
    let (kind, id) = keys::kind_and_id(key)?;
    let id = String::from_utf8(id.concat()).ok()?;
    let namespace = NamespaceId(keys::u32_at(key, 0).ok()?);
    Some((namespace, kind?, id))
}

/// A slot that is none.
pub(super) const NO_SLOT: Slot = Slot(u32::MAX);
