//! Files of vectors.

use std::sync::Arc;

use embedded_db_common::{NamespaceId, Result, SpaceId};
use embedded_db_storage::{
    ChangeRecord, Kind, ReadEmbeddings, ReadTxn, SegmentFile, Snapshot, SpaceRecord, Store,
    ViewKind, ViewRecord,
};

use super::{MOST_CHANGES, Sealed, changed, damaged};
use crate::changes::by_lsn;
use crate::merging::merged_from;
use crate::vector::segment::{Draft, VERSION, VectorSegment};
use crate::vector::stored::{NodeRows, metric};
use crate::vector::{Metric, VectorIndex};
use crate::views::Views;

impl Views {
    /// The vectors of a space as files and the changes since have them; `None` when there are no files that
    /// can be used.
    pub(crate) fn open_vectors(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        (space, of): (SpaceId, &SpaceRecord),
    ) -> Result<Option<VectorIndex>> {
        let found = snapshot.view_record(namespace, ViewKind::Vectors, space)?;
        let Some(record) = found.filter(|record| record.recipe == vector_recipe(of)) else {
            return Ok(None);
        };
        let dim = of.dimension as usize;
        let Some(files) = self.vector_files(snapshot, &record.files, of)? else {
            return Ok(None);
        };
        let concerns = |change: &ChangeRecord<'_>| is_of_space(change, space);
        let Some(found) = changed(snapshot, namespace, record.lsn, concerns)? else {
            return Ok(None);
        };
        let index = VectorIndex::new(dim, metric(of)?, self.kernels());
        let mut index = index.over(files, self.few_rows(), record.lsn);
        let mut rows = NodeRows::default();
        for (at, slot) in by_lsn(found) {
            rows.read(snapshot, namespace, space, slot)?;
            rows.upsert_into(&mut index, slot, at);
        }
        index.advance(snapshot.lsn()?);
        if index.is_damaged() {
            self.published.distrust(index.file_names());
            return Ok(None);
        }
        Ok(Some(index))
    }

    pub(super) fn vector_files(
        &self,
        snapshot: &Snapshot,
        files: &[SegmentFile],
        of: &SpaceRecord,
    ) -> Result<Option<Vec<Arc<VectorSegment>>>> {
        let (dim, metric) = (of.dimension as usize, metric(of)?);
        self.published.open(snapshot, files, |file| VectorSegment::open(file, dim, metric))
    }

    /// Seals the vectors of a space in a namespace as [`Views::publish`] does texts.
    pub fn publish_vectors(
        &self,
        store: &Arc<Store>,
        namespace: NamespaceId,
        (space, of): (SpaceId, &SpaceRecord),
        least: u64,
        going_on: &dyn Fn() -> Result<()>,
    ) -> Result<Sealed> {
        let snapshot = store.read_quietly()?;
        let before = snapshot.view_record(namespace, ViewKind::Vectors, space)?;
        let lsn = snapshot.lsn()?;
        let usable = self.published.usable(&snapshot, before.as_ref(), &vector_recipe(of))?;
        let concerns = |change: &ChangeRecord<'_>| is_of_space(change, space);
        let found = match usable {
            Some(record) => changed(&snapshot, namespace, record.lsn, concerns)?,
            None => None,
        };
        let (kind, dim) = (metric(of)?, of.dimension as usize);
        let mut files = Vec::new();
        let seal = SealVectors { views: self, snapshot: &snapshot, namespace, of, going_on };
        match (usable, found) {
            (Some(record), Some(found)) => {
                let (left, behind) = (found.len() as u64, lsn.0.saturating_sub(record.lsn.0));
                if left < least && behind < MOST_CHANGES {
                    return Ok(Sealed::Enough { left });
                }
                files.clone_from(&record.files);
                let (mut draft, mut rows) = (Draft::new(kind, dim), NodeRows::default());
                for slot in found.into_keys() {
                    rows.read(&snapshot, namespace, space, slot)?;
                    rows.add_to(&mut draft, slot);
                    if draft.is_full() {
                        seal.add(&draft, &mut files)?;
                        draft = Draft::new(kind, dim);
                    }
                }
                if draft.len() > 0 {
                    seal.add(&draft, &mut files)?;
                }
            }
            _ => {
                let left = snapshot.namespace_counters(namespace)?.embeddings;
                if left < least && before.is_none() {
                    return Ok(Sealed::Enough { left });
                }
                seal.all(kind, space, &mut files)?;
                if files.is_empty() && before.is_none() {
                    return Ok(Sealed::Enough { left: 0 });
                }
            }
        }
        let after = ViewRecord { lsn, recipe: vector_recipe(of), files };
        let generation = snapshot.generation().number();
        drop(snapshot);
        let of = (namespace, ViewKind::Vectors, space);
        let published =
            store.write(move |txn| txn.publish_view(generation, of, before.as_ref(), &after))?;
        store.remove_unnamed_segments()?;
        Ok(if published { Sealed::Published } else { Sealed::Overtaken })
    }
}

fn is_of_space(change: &ChangeRecord<'_>, space: SpaceId) -> bool {
    change.kind == Kind::Embedding && change.space == space
}

pub(super) fn vector_recipe(space: &SpaceRecord) -> String {
    format!("{}/{}/{VERSION}", space.metric, space.dimension)
}

/// Vectors of a space that are sealed, and of which state.
struct SealVectors<'a> {
    views: &'a Views,
    snapshot: &'a Snapshot,
    namespace: NamespaceId,
    of: &'a SpaceRecord,
    going_on: &'a dyn Fn() -> Result<()>,
}

impl SealVectors<'_> {
    /// Writes what has changed into a file, with the small ones that are to be merged with it. Large ones get a
    /// graph, which is not made here.
    fn add(&self, draft: &Draft, files: &mut Vec<SegmentFile>) -> Result<()> {
        let small = self.views.published.small(files, self.views.link_after());
        let rows: Vec<u64> = files[small..].iter().map(|file| file.rows.into()).collect();
        let mut from = small + merged_from(&rows, draft.len());
        let merged = self.views.vector_files(self.snapshot, &files[from..], self.of)?;
        let mut merged = merged.ok_or_else(|| damaged(self.snapshot.shared_store(), "vectors"))?;
        // Few rows are left of a graph that was made anew.
        if let Some(last) = merged.iter().rposition(|file| file.linked() > 0) {
            from += last + 1;
            merged.drain(..=last);
        }
        for file in &merged {
            if !file.file().check_all() {
                return Err(damaged(self.snapshot.shared_store(), "vectors"));
            }
        }
        files.truncate(from);
        self.write(draft, &merged, files)
    }

    fn write(
        &self,
        draft: &Draft,
        merged: &[Arc<VectorSegment>],
        files: &mut Vec<SegmentFile>,
    ) -> Result<()> {
        let mut out = self.snapshot.begin_segment(ViewKind::Vectors, self.namespace)?;
        let rows = draft.write(merged, files.is_empty(), &mut out, self.going_on)?;
        files.push(out.finish(rows)?);
        Ok(())
    }

    /// Writes all vectors of a space anew, piece by piece.
    fn all(&self, metric: Metric, space: SpaceId, files: &mut Vec<SegmentFile>) -> Result<()> {
        let dim = self.of.dimension as usize;
        let mut draft = Draft::new(metric, dim);
        let (mut node, mut rows, mut count) = (None, NodeRows::default(), 0u64);
        self.snapshot.scan_embeddings(self.namespace, space, |slot, part, embedding| {
            if let Some(before) = node.replace(slot).filter(|before| *before != slot) {
                rows.add_to(&mut draft, before);
                if draft.is_full() {
                    let full = std::mem::replace(&mut draft, Draft::new(metric, dim));
                    self.write(&full, &[], files)?;
                }
            }
            rows.push(part, embedding.values());
            count += 1;
            if count.is_multiple_of(256) { (self.going_on)() } else { Ok(()) }
        })?;
        if let Some(last) = node {
            rows.add_to(&mut draft, last);
        }
        if draft.len() > 0 {
            self.write(&draft, &[], files)?;
        }
        Ok(())
    }
}
