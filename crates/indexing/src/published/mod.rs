//! Published files of views: opening what a snapshot names, and publishing more.
//!
//! Invariants:
//! * Files hold all changes up to the LSN of their row, and what is read of them is what the records said
//!   then: who opens them goes through the changes since.
//! * Files that were met damaged are not used again by this process; the next publication replaces them.

mod texts;
mod vectors;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot, SpaceId};
use embedded_db_storage::{ChangeRecord, ReadTxn, Segment, SegmentFile, Snapshot, ViewRecord};

use crate::text::{MERGE_SHARE, TextSegment};

/// Texts that are read at once when all are.
const CHUNK: usize = 100_000;
/// Changes after which a row is renewed though few texts are among them: who opens the files goes through all
/// since, and they are not kept for ever.
pub const MOST_CHANGES: u64 = 1 << 16;
/// What the rows of texts and sessions say of a space.
const NO_SPACE: SpaceId = SpaceId(0);

/// What this process knows of published files.
#[derive(Default)]
pub(crate) struct Published {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Whose files they are.
    generation: u64,
    open: HashMap<String, Weak<TextSegment>>,
    distrusted: HashSet<String>,
}

impl Published {
    fn of(&self, snapshot: &Snapshot) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = snapshot.generation().number();
        if known.generation != generation {
            *known = Known { generation, ..Known::default() };
        }
        known
    }

    /// The files of a row; `None` when one is missing or damaged.
    fn open(
        &self,
        snapshot: &Snapshot,
        record: &ViewRecord,
    ) -> Result<Option<Vec<Arc<TextSegment>>>> {
        record.files.iter().map(|file| self.open_one(snapshot, file)).collect()
    }

    fn open_one(
        &self,
        snapshot: &Snapshot,
        file: &SegmentFile,
    ) -> Result<Option<Arc<TextSegment>>> {
        let mut known = self.of(snapshot);
        if known.distrusted.contains(&file.name) {
            return Ok(None);
        }
        if let Some(open) = known.open.get(&file.name).and_then(Weak::upgrade)
            && open.is_whole()
        {
            return Ok(Some(open));
        }
        known.open.retain(|_, segment| segment.strong_count() > 0);
        drop(known);
        let segment = match snapshot.open_segment(file)?.and_then(TextSegment::open) {
            Some(segment) => Arc::new(segment),
            None => {
                self.of(snapshot).distrusted.insert(file.name.clone());
                return Ok(None);
            }
        };
        // If another thread was quicker, both are as good.
        self.of(snapshot).open.insert(file.name.clone(), Arc::downgrade(&segment));
        Ok(Some(segment))
    }

    /// A file that is there and was not met damaged; `None` for others.
    fn trusted(&self, snapshot: &Snapshot, file: &SegmentFile) -> Result<Option<Segment>> {
        if self.of(snapshot).distrusted.contains(&file.name) {
            return Ok(None);
        }
        snapshot.open_segment(file)
    }

    /// Whether all files of a row are there, and none was met damaged.
    fn are_trusted(&self, snapshot: &Snapshot, record: &ViewRecord) -> Result<bool> {
        for file in &record.files {
            if self.trusted(snapshot, file)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// These are damaged.
    pub(crate) fn distrust(&self, names: impl Iterator<Item = String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.distrusted.extend(names);
    }
}

/// What came of a look at what there is to seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Too little for a file: so many texts are in none.
    Enough {
        /// Their number.
        left: u64,
    },
    /// Everything is in files, and readers open them from now on.
    Published,
    /// Slots were numbered anew meanwhile, or the namespace was dropped.
    Overtaken,
}

/// The nodes of a namespace of which `concerns` says that a change is one of them, between two LSNs, each with
/// that of its last change; `None` when the changes no longer reach back.
fn changed(
    snapshot: &Snapshot,
    namespace: NamespaceId,
    after: Lsn,
    to: Lsn,
    concerns: impl Fn(&ChangeRecord<'_>) -> bool,
) -> Result<Option<BTreeMap<Slot, Lsn>>> {
    let (mut nodes, mut reach) = (BTreeMap::new(), after.0);
    snapshot.changes_after(after, |lsn, change| {
        if lsn > to || reach.checked_add(1) != Some(lsn.0) {
            return Ok(false);
        }
        reach = lsn.0;
        if let Some(change) = change
            && change.namespace == namespace
            && concerns(&change)
        {
            nodes.insert(change.slot, lsn);
        }
        Ok(true)
    })?;
    Ok((reach == to.0).then_some(nodes))
}

/// How many of the last files, of so many rows, are written anew with so many rows more.
fn merged_from(rows: &[u64], more: u64) -> usize {
    let mut more = more.max(1);
    let mut from = rows.len();
    while let Some(before) = from.checked_sub(1)
        && rows[before] < more.saturating_mul(MERGE_SHARE)
    {
        more += rows[before];
        from = before;
    }
    from
}

/// The error of a file that turned out to be damaged while it was merged.
fn damaged(snapshot: &Snapshot, what: &str) -> Error {
    Error::Corruption {
        path: snapshot.shared_store().path().to_owned(),
        object: format!("a file of the index of {what}"),
        detail: "it is not what was written; it is made anew of the records".into(),
    }
}
