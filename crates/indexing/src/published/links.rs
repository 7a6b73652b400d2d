//! Graphs in files of vectors.
//!
//! Files are sealed quickly, without a graph; those that hold many rows become one with a graph later. That takes
//! long, so it is done from the files alone, with no snapshot and no lock held, and the files that have come
//! meanwhile stay as they are.

use std::sync::{Arc, MutexGuard};

use embedded_db_common::{Error, NamespaceId, Result, SpaceId};
use embedded_db_storage::{
    ReadTxn, SegmentFile, Snapshot, SpaceRecord, Store, ViewKind, ViewRecord,
};

use super::vectors::vector_recipe;
use super::{Published, damaged};
use crate::vector::segment::{Linking, VectorSegment};
use crate::vector::stored::metric;
use crate::views::Views;

/// Rows without a graph, beside one, get one when they are one part in this many of those for which the first graph is
/// made; or of the second graph, which is written anew then.
const LOOSE_SHARE: u64 = 4;
const LOOSE_OF_SECOND: u64 = 32;
/// The second graph has at most one part in this many of the rows of the first. To link the same rows in the first
/// takes no longer, but all of that is written anew.
const SECOND_SHARE: u64 = 8;
/// So many bytes of memory a graph may take while it is made.
const MOST_BYTES: u64 = 1 << 30;
/// Of a row, beside its codes: links twice, those of layers above, and what it is found by.
const ROW_BYTES: u64 = 600;

/// What came of a look at what there is to link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// Too little.
    Enough,
    /// One file with a graph is in the place of several.
    Published,
    /// What was linked is no longer current.
    Overtaken,
}

/// Files that are being linked, until they are let go.
struct Held<'a> {
    published: &'a Published,
    names: Vec<String>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut known = self.published.lock();
        known.linked.retain(|name| !self.names.contains(name));
    }
}

impl Published {
    /// The first of the last files that may be merged with what comes: they are small, and nobody links them.
    pub(super) fn small(&self, files: &[SegmentFile], least: u64) -> usize {
        let known = self.lock();
        let stays =
            |file: &SegmentFile| u64::from(file.rows) >= least || known.linked.contains(&file.name);
        files.iter().rposition(stays).map_or(0, |last| last + 1)
    }

    fn hold(&self, files: &[SegmentFile]) -> Held<'_> {
        let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
        self.lock().linked.extend(names.iter().cloned());
        Held { published: self, names }
    }
}

/// Which of the files become one: those from the answer on. Each is told by its rows, and by how many of these are
/// in a graph.
fn linked_from(files: &[(u64, u64)], dim: u64, least: u64) -> Option<usize> {
    let graphs = files.iter().take_while(|(_, linked)| *linked > 0).count();
    let rows = |files: &[(u64, u64)]| files.iter().map(|(rows, _)| *rows).sum::<u64>();
    let loose = rows(&files[graphs..]);
    let second = if graphs > 1 { rows(&files[graphs - 1..graphs]) } else { 0 };
    let enough = match graphs {
        0 => least,
        _ => (least / LOOSE_SHARE).max(second / LOOSE_OF_SECOND),
    };
    if loose < enough.max(1) {
        return None;
    }
    let most = MOST_BYTES / (dim + ROW_BYTES);
    let (mut from, mut more) = (graphs, loose);
    // There are two graphs at the most, unless one would be too large to be made.
    while let Some(before) = from.checked_sub(1) {
        let (rows, _) = files[before];
        let is_full = rows + more > most;
        let stays = before == 0 && graphs > 0 && more <= rows / SECOND_SHARE;
        if is_full || stays {
            break;
        }
        (from, more) = (before, more + rows);
    }
    Some(from)
}

impl Views {
    /// Makes a graph of files of a space's vectors, if these have enough rows without one. `going_on` is asked before
    /// each row, and ends the work with its error. `right` gives the right to write files. One thread at a time
    /// does this for a store.
    pub fn link_vectors<'s>(
        &self,
        store: &Arc<Store>,
        namespace: NamespaceId,
        (space, of): (SpaceId, &SpaceRecord),
        right: &dyn Fn() -> Result<MutexGuard<'s, ()>>,
        going_on: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Linked> {
        let snapshot = store.read_quietly()?;
        let Some((record, opened)) = self.to_link(&snapshot, namespace, (space, of))? else {
            return Ok(Linked::Enough);
        };
        let sizes: Vec<(u64, u64)> =
            opened.iter().map(|file| (file.rows().into(), file.linked().into())).collect();
        let dim = u64::from(of.dimension);
        let Some(from) = linked_from(&sizes, dim, self.link_after()) else {
            return Ok(Linked::Enough);
        };
        let generation = snapshot.generation().number();
        let files = record.files[from..].to_vec();
        let _held = self.published.hold(&files);
        drop(snapshot);

        let linking = Linking {
            files: &opened[from..],
            metric: metric(of)?,
            dim: of.dimension as usize,
            first: from == 0,
        };
        let rows = linking.link(going_on)?;

        let _right = right()?;
        let snapshot = store.read_quietly()?;
        if snapshot.generation().number() != generation {
            return Ok(Linked::Overtaken);
        }
        let Some(rows) = rows else { return Err(self.met_damage(store, &files)) };
        let current = snapshot.view_record(namespace, ViewKind::Vectors, space)?;
        let is_same = |current: &ViewRecord| {
            current.recipe == record.recipe
                && current.files.len() >= record.files.len()
                && current.files[..record.files.len()] == record.files
        };
        let Some(current) = current.filter(is_same) else { return Ok(Linked::Overtaken) };
        let mut out = snapshot.begin_segment(ViewKind::Vectors, namespace)?;
        // Others may wait until there is none.
        drop(snapshot);
        let Some(count) = linking.write(&rows, &mut out, going_on)? else {
            return Err(self.met_damage(store, &files));
        };
        let mut after = current.clone();
        after.files.splice(from..record.files.len(), [out.finish(count)?]);
        let of = (namespace, ViewKind::Vectors, space);
        let published =
            store.write(move |txn| txn.publish_view(generation, of, Some(&current), &after))?;
        store.remove_unnamed_segments()?;
        Ok(if published { Linked::Published } else { Linked::Overtaken })
    }

    /// What is published of a space, with its files open; `None` when that cannot be used.
    fn to_link(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        (space, of): (SpaceId, &SpaceRecord),
    ) -> Result<Option<(ViewRecord, Vec<Arc<VectorSegment>>)>> {
        let record = snapshot.view_record(namespace, ViewKind::Vectors, space)?;
        let Some(record) = record.filter(|record| record.recipe == vector_recipe(of)) else {
            return Ok(None);
        };
        let opened = self.vector_files(snapshot, &record.files, of)?;
        Ok(opened.map(|opened| (record, opened)))
    }

    fn met_damage(&self, store: &Store, files: &[SegmentFile]) -> Error {
        self.published.distrust(files.iter().map(|file| file.name.clone()));
        damaged(store, "vectors")
    }
}

#[cfg(test)]
mod tests {
    use super::linked_from;

    /// What files come to when rows come in pieces of so many: at most two graphs, and few rows beside them.
    #[test]
    fn there_are_two_graphs_at_the_most() {
        let (least, dim) = (1000, 384);
        let mut files: Vec<(u64, u64)> = Vec::new();
        let mut linked = 0;
        for _ in 0..5_000 {
            files.push((100, 0));
            if let Some(from) = linked_from(&files, dim, least) {
                let rows = files[from..].iter().map(|(rows, _)| rows).sum();
                let kept = files[from].1;
                linked += rows - kept;
                files.truncate(from);
                files.push((rows, rows));
            }
            let graphs = files.iter().filter(|(_, linked)| *linked > 0).count();
            let rows = |graph: bool| -> u64 {
                files
                    .iter()
                    .filter(|(_, linked)| (*linked > 0) == graph)
                    .map(|(rows, _)| *rows)
                    .sum()
            };
            assert!(graphs <= 2, "{files:?}");
            assert!(rows(false) <= least.max(rows(true) / 8 / 32 + 100), "{files:?}");
        }
        assert!(
            linked < 5_000 * 100 * 5 / 2,
            "a row is linked {} times",
            linked as f64 / 500_000.0
        );
    }

    #[test]
    fn a_graph_that_would_be_too_large_is_another() {
        let most = super::MOST_BYTES / (384 + super::ROW_BYTES);
        assert_eq!(linked_from(&[(most, most), (most, 0)], 384, 1000), Some(1));
        let files = [(most, most), (most, most), (5000, 5000), (most / 15, 0)];
        assert_eq!(linked_from(&files, 384, 1000), Some(2));
    }
}
