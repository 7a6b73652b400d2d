//! Published files of views: opening what a snapshot names, and publishing more.
//!
//! `texts`: those of texts and sessions. `vectors`: those of vectors. `links`: graphs in these.
//!
//! Invariants:
//! * Files hold all changes up to the LSN of their row, and what is read of them is what the records said
//!   then: who opens them goes through the changes since.
//! * Files that were met damaged are not used again by this process; the next publication replaces them.

mod links;
mod texts;
mod vectors;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot, SpaceId};
use embedded_db_storage::{
    ChangeRecord, ReadTxn, Segment, SegmentFile, Snapshot, Store, ViewRecord,
};

use crate::changes::each_change;
use crate::text::TextSegment;
use crate::vector::segment::VectorSegment;

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
    texts: Open<TextSegment>,
    vectors: Open<VectorSegment>,
    distrusted: HashSet<String>,
    /// Files of vectors that are being linked: sealing leaves them as they are.
    linked: HashSet<String>,
}

/// Files that somebody has open, by name.
type Open<T> = HashMap<String, Weak<T>>;

/// A file that is shared by those who have it open.
trait Shared: Sized {
    fn of(known: &mut Known) -> &mut Open<Self>;
    fn segment(&self) -> &Segment;
}

impl Shared for TextSegment {
    fn of(known: &mut Known) -> &mut Open<Self> {
        &mut known.texts
    }

    fn segment(&self) -> &Segment {
        self.file()
    }
}

impl Shared for VectorSegment {
    fn of(known: &mut Known) -> &mut Open<Self> {
        &mut known.vectors
    }

    fn segment(&self) -> &Segment {
        self.file()
    }
}

impl Published {
    fn of(&self, snapshot: &Snapshot) -> MutexGuard<'_, Known> {
        let mut known = self.lock();
        let generation = snapshot.generation().number();
        if known.generation != generation {
            *known = Known { generation, ..Known::default() };
        }
        known
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens files; `None` when one is missing or damaged.
    fn open<T: Shared>(
        &self,
        snapshot: &Snapshot,
        files: &[SegmentFile],
        open: impl Fn(Segment) -> Option<T>,
    ) -> Result<Option<Vec<Arc<T>>>> {
        files.iter().map(|file| self.open_one(snapshot, file, &open)).collect()
    }

    fn open_one<T: Shared>(
        &self,
        snapshot: &Snapshot,
        file: &SegmentFile,
        open: impl Fn(Segment) -> Option<T>,
    ) -> Result<Option<Arc<T>>> {
        let mut known = self.of(snapshot);
        if !known.distrusted.contains(&file.name)
            && let Some(open) = T::of(&mut known).get(&file.name).and_then(Weak::upgrade)
            && open.segment().is_whole()
            && !open.segment().is_damaged()
        {
            return Ok(Some(open));
        }
        T::of(&mut known).retain(|_, segment| segment.strong_count() > 0);
        drop(known);
        let opened = self.trusted(snapshot, file)?.and_then(open).map(Arc::new);
        // If another thread was quicker, both are as good.
        let mut known = self.of(snapshot);
        match &opened {
            Some(segment) => {
                T::of(&mut known).insert(file.name.clone(), Arc::downgrade(segment));
            }
            None => {
                known.distrusted.insert(file.name.clone());
            }
        }
        Ok(opened)
    }

    /// A file that is there and was not met damaged; `None` for others.
    fn trusted(&self, snapshot: &Snapshot, file: &SegmentFile) -> Result<Option<Segment>> {
        if self.of(snapshot).distrusted.contains(&file.name) {
            return Ok(None);
        }
        snapshot.open_segment(file)
    }

    /// A row to go on from: of the same recipe, all its files there, and none met damaged.
    fn usable<'r>(
        &self,
        snapshot: &Snapshot,
        row: Option<&'r ViewRecord>,
        recipe: &str,
    ) -> Result<Option<&'r ViewRecord>> {
        let Some(row) = row.filter(|row| row.recipe == recipe) else { return Ok(None) };
        for file in &row.files {
            if self.trusted(snapshot, file)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(row))
    }

    /// These are damaged.
    pub(crate) fn distrust(&self, names: impl Iterator<Item = String>) {
        self.lock().distrusted.extend(names);
    }
}

pub use links::Linked;

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

/// The nodes of a namespace of which `concerns` says that a change after an LSN is one of them, each with the LSN
/// of its last one; `None` when the changes no longer reach back.
fn changed(
    snapshot: &Snapshot,
    namespace: NamespaceId,
    after: Lsn,
    concerns: impl Fn(&ChangeRecord<'_>) -> bool,
) -> Result<Option<BTreeMap<Slot, Lsn>>> {
    let mut nodes = BTreeMap::new();
    let reach = each_change(snapshot, after, |lsn, change| {
        if change.namespace == namespace && concerns(&change) {
            nodes.insert(change.slot, lsn);
        }
    })?;
    Ok((reach == snapshot.lsn()?).then_some(nodes))
}

/// Whether each number is larger than the one before, and none as large as `end`.
pub(crate) fn ascends(mut numbers: impl Iterator<Item = u32>, end: u32) -> bool {
    let mut least = 0;
    numbers.all(|number| {
        let follows = number >= least && number < end;
        least = number.saturating_add(1);
        follows
    })
}

/// The error of a file that turned out to be damaged while it was merged.
fn damaged(store: &Store, what: &str) -> Error {
    Error::Corruption {
        path: store.path().to_owned(),
        object: format!("a file of the index of {what}"),
        detail: "it is not what was written; it is made anew of the records".into(),
    }
}
