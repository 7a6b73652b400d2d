//! Published files of the text view: opening what a snapshot names, and publishing more.
//!
//! Invariants:
//! * Files hold all changes up to the LSN of their row, and what is read of them is what the records said
//!   then: who opens them goes through the changes since.
//! * Files that were met damaged are not used again by this process; the next publication replaces them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use embedded_db_common::{Lsn, NamespaceId, Result, Slot, SpaceId};
use embedded_db_storage::{
    Kind, ReadTxn, SegmentFile, Snapshot, Store, ViewKind, ViewRecord, Visible,
};

use crate::bitmaps::labelled;
use crate::recipes::Recipes;
use crate::text::{SEGMENT_VERSION, TextIndex, TextSegment, write_segment};
use crate::views::Views;

/// Texts that are read at once when all are.
const CHUNK: u64 = 100_000;
/// Changes after which a row is renewed though few texts are among them: who opens the files goes through all
/// since, and they are not kept for ever.
pub const MOST_CHANGES: u64 = 1 << 16;
/// What the row of a text view says of a space.
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
    fn open(&self, snapshot: &Snapshot, record: &ViewRecord) -> Option<Vec<Arc<TextSegment>>> {
        record.files.iter().map(|file| self.open_one(snapshot, file)).collect()
    }

    fn open_one(&self, snapshot: &Snapshot, file: &SegmentFile) -> Option<Arc<TextSegment>> {
        let mut known = self.of(snapshot);
        if known.distrusted.contains(&file.name) {
            return None;
        }
        if let Some(open) = known.open.get(&file.name).and_then(Weak::upgrade) {
            return Some(open);
        }
        known.open.retain(|_, segment| segment.strong_count() > 0);
        let Some(segment) = snapshot.open_segment(file).and_then(TextSegment::open) else {
            known.distrusted.insert(file.name.clone());
            return None;
        };
        let segment = Arc::new(segment);
        known.open.insert(file.name.clone(), Arc::downgrade(&segment));
        Some(segment)
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

/// What the files depend on beside the records.
fn recipe(language: &str, recipes: &Recipes) -> String {
    use std::fmt::Write;
    let mut out = format!("{language}/{SEGMENT_VERSION}");
    for (label, recipe) in recipes.labels().iter().filter(|(_, recipe)| !recipe.text.is_empty()) {
        let properties: Vec<String> = recipe.text.iter().map(|it| it.0.to_string()).collect();
        // Writing to a String cannot fail.
        let _written = write!(out, " {}:{}", label.0, properties.join(","));
    }
    out
}

/// The nodes of a namespace that have changed between two LSNs, each with that of its last change; `None`
/// when the changes no longer reach back.
fn changed_nodes(
    snapshot: &Snapshot,
    namespace: NamespaceId,
    after: Lsn,
    to: Lsn,
) -> Result<Option<BTreeMap<Slot, Lsn>>> {
    let (mut nodes, mut reach) = (BTreeMap::new(), after.0);
    snapshot.changes_after(after, |lsn, change| {
        if lsn > to || reach.checked_add(1) != Some(lsn.0) {
            return Ok(false);
        }
        reach = lsn.0;
        if let Some(change) = change
            && change.kind == Kind::Node
            && change.namespace == namespace
        {
            nodes.insert(change.slot, lsn);
        }
        Ok(true)
    })?;
    Ok((reach == to.0).then_some(nodes))
}

impl Views {
    /// The texts of a namespace as files and the changes since have them; `None` when there are no files
    /// that can be used.
    pub(crate) fn open_texts(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        recipes: &Recipes,
    ) -> Result<Option<(TextIndex, ViewRecord)>> {
        let Some(record) = snapshot.view_record(namespace, ViewKind::Text, NO_SPACE)? else {
            return Ok(None);
        };
        if record.recipe != recipe(self.language_name(), recipes) {
            return Ok(None);
        }
        let Some(segments) = self.published.open(snapshot, &record) else { return Ok(None) };
        let Some(mut index) = TextIndex::over(self.analyzer(), segments, record.lsn) else {
            self.published.distrust(record.files.into_iter().map(|file| file.name));
            return Ok(None);
        };
        let lsn = snapshot.lsn()?;
        let Some(changed) = changed_nodes(snapshot, namespace, record.lsn, lsn)? else {
            return Ok(None);
        };
        let all = Visible::all(snapshot);
        for (slot, at) in changed {
            match self.text_of(&all, namespace, slot, recipes)? {
                Some(text) => index.upsert(slot, at, &text),
                None => index.remove(slot, at),
            }
        }
        index.advance(lsn);
        if index.is_damaged() {
            self.published.distrust(index.file_names());
            return Ok(None);
        }
        Ok(Some((index, record)))
    }

    fn text_of(
        &self,
        txn: &impl ReadTxn,
        namespace: NamespaceId,
        slot: Slot,
        recipes: &Recipes,
    ) -> Result<Option<String>> {
        match txn.node(namespace, slot)? {
            Some(node) => recipes.searchable_text(self.names(), &node),
            None => Ok(None),
        }
    }

    /// Seals the texts of a namespace that are in no file, if they are `least` or more, if the files have
    /// fallen behind, or if some that should be there cannot be used. `going_on` is asked now and then, and
    /// ends the work with its error. One thread at a time does this for a store.
    pub fn publish_texts(
        &self,
        store: &Arc<Store>,
        namespace: NamespaceId,
        least: u64,
        going_on: &dyn Fn() -> Result<()>,
    ) -> Result<Sealed> {
        let snapshot = store.read()?;
        let recipes = Recipes::read(&snapshot, namespace)?;
        let before = snapshot.view_record(namespace, ViewKind::Text, NO_SPACE)?;
        let lsn = snapshot.lsn()?;
        let mut after = ViewRecord {
            lsn,
            recipe: recipe(self.language_name(), &recipes),
            files: Vec::new(),
        };
        match self.open_texts(&snapshot, namespace, &recipes)? {
            Some((index, record)) => {
                let changes = lsn.0.saturating_sub(record.lsn.0);
                let unsealed = index.unsealed();
                if unsealed < least && changes < MOST_CHANGES {
                    return Ok(Sealed::Enough { left: unsealed });
                }
                after.files = record.files;
                if unsealed > 0 {
                    self.seal(&snapshot, namespace, &index, &mut after.files, going_on)?;
                }
            }
            None => {
                let labels = recipes.text_labels(self.names());
                let mut slots = roaring::RoaringBitmap::new();
                for label in labels {
                    slots |= labelled(&Visible::all(&snapshot), namespace, label)?;
                }
                if slots.len() < least && before.is_none() {
                    return Ok(Sealed::Enough { left: slots.len() });
                }
                let mut slots = slots.into_iter().peekable();
                while slots.peek().is_some() {
                    let mut index = TextIndex::new(self.analyzer());
                    let all = Visible::all(&snapshot);
                    for slot in slots.by_ref().take(CHUNK as usize) {
                        if let Some(text) = self.text_of(&all, namespace, Slot(slot), &recipes)? {
                            index.upsert(Slot(slot), Lsn(0), &text);
                        }
                        if slot % 4096 == 0 {
                            going_on()?;
                        }
                    }
                    let mut file = Vec::new();
                    self.seal(&snapshot, namespace, &index, &mut file, going_on)?;
                    after.files.append(&mut file);
                }
            }
        }
        let generation = snapshot.generation().number();
        drop(snapshot);
        let of = (namespace, ViewKind::Text, NO_SPACE);
        let published = store.write(move |txn| {
            txn.publish_view(generation, of, before.as_ref(), &after)
        })?;
        // If another generation has come, or the namespace has gone, what was written is named by nobody.
        store.read()?.remove_unnamed_segments()?;
        Ok(if published { Sealed::Published } else { Sealed::Overtaken })
    }

    /// Writes what is in no file of an index into one, with those that are to be merged with it.
    fn seal(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        index: &TextIndex,
        files: &mut Vec<SegmentFile>,
        going_on: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let from = index.merged_from();
        let mut out = snapshot.begin_segment(ViewKind::Text, namespace)?;
        let documents = write_segment(index, from, &mut out, going_on)?;
        if index.is_damaged() {
            self.published.distrust(index.file_names());
            return Err(index.damage());
        }
        files.truncate(from);
        files.push(out.finish(documents)?);
        Ok(())
    }
}
