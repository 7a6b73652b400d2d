//! Files of vectors.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arbitrary::Unstructured;
use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::files::{self, Image};
use super::{NODE_SLOTS, changed};
use crate::kernels::Kernels;
use crate::vector::graph::Effort;
use crate::vector::segment::{Draft, Linking, VectorSegment};
use crate::vector::{Metric, RowSource, VectorIndex, VectorRequest};

const DIM: usize = 5;
const METRIC: Metric = Metric::Cosine;

/// The parts of each node.
type Vectors = BTreeMap<u32, Vec<[f32; DIM]>>;

/// What is stored: rows of other nodes are not found.
struct Stored<'a>(&'a Vectors);

impl RowSource for Stored<'_> {
    type Error = std::convert::Infallible;

    fn row(&mut self, slot: Slot, part: u16, out: &mut [f32]) -> Result<bool, Self::Error> {
        let parts = self.0.get(&slot.0);
        let Some(row) = parts.and_then(|parts| parts.get(usize::from(part))) else {
            return Ok(false);
        };
        out.copy_from_slice(row);
        Ok(true)
    }
}

/// The first file has a graph, the second tells of some of its nodes and of others, what is stored, and what both
/// together answer.
static VECTORS: LazyLock<([Image; 2], Vectors, Vec<u64>)> = LazyLock::new(|| {
    let (early, late) = (vectors(0..60, 0), vectors(40..75, 1));
    let plain = write(&early, &[], true);
    let images =
        [link(&[open_one(&plain).expect("it was just written")]), write(&late, &[], false)];
    let mut stored = early;
    stored.extend(late);
    let opened = open(&images).expect("both were just written");
    let right = answers(&over(&opened), &stored);
    (images, stored, right)
});

/// Some nodes have several vectors, some none.
fn vectors(slots: std::ops::Range<u32>, turn: u32) -> Vectors {
    let number = |slot: u32, part: u32, at: u32| {
        let mixed = (slot * 31 + part * 17 + at * 7 + turn * 13).wrapping_mul(2_654_435_761);
        (mixed >> 16) as f32 / 32_768.0 - 1.0
    };
    let parts = |slot: u32| match slot % 6 {
        0 => 0,
        1 => 3,
        _ => 1,
    };
    let vector = |slot, part| std::array::from_fn(|at| number(slot, part, at as u32));
    let of = |slot| (slot, (0..parts(slot)).map(|part| vector(slot, part)).collect());
    slots.map(of).collect()
}

fn write(vectors: &Vectors, merged: &[Arc<VectorSegment>], is_first: bool) -> Image {
    let mut draft = Draft::new(METRIC, DIM);
    for (slot, parts) in vectors {
        let parts: Vec<(u16, &[f32])> = (0..).zip(parts.iter().map(|part| &part[..])).collect();
        draft.add(Slot(*slot), &parts);
    }
    files::write(|out| draft.write(merged, is_first, out, &|| Ok(())))
}

fn linked(files: &[Arc<VectorSegment>], is_first: bool) -> Option<Image> {
    let linking = Linking { files, metric: METRIC, dim: DIM, first: is_first };
    let rows = linking.link(&|| Ok(())).expect("nobody stops it")?;
    let mut is_whole = true;
    let image = files::write(|out| {
        let written = linking.write(&rows, out, &|| Ok(()))?;
        is_whole = written.is_some();
        Ok(written.unwrap_or_default())
    });
    is_whole.then_some(image)
}

fn link(files: &[Arc<VectorSegment>]) -> Image {
    linked(files, true).expect("they are whole")
}

fn open_one(image: &Image) -> Option<Arc<VectorSegment>> {
    VectorSegment::open(files::open(image)?, DIM, METRIC).map(Arc::new)
}

fn open(images: &[Image]) -> Option<Vec<Arc<VectorSegment>>> {
    images.iter().map(open_one).collect()
}

fn over(files: &[Arc<VectorSegment>]) -> VectorIndex {
    VectorIndex::new(DIM, METRIC, Kernels::detect()).over(files.to_vec(), 0, Lsn(0))
}

/// All that can be asked. The graphs are so small that a walk finds all.
fn answers(index: &VectorIndex, stored: &Vectors) -> Vec<u64> {
    let at = Lsn(0);
    let mut out = vec![index.row_count(at)];
    for slot in (0..NODE_SLOTS).map(Slot) {
        let mut parts = index.parts(slot, at);
        parts.sort_unstable();
        out.extend(parts.into_iter().map(u64::from));
        out.push(index.contains(slot, at).into());
    }
    let some: RoaringBitmap = (0..NODE_SLOTS).step_by(3).collect();
    let queries = [[1.0, 0.0, 0.0, 0.0, 0.0], [0.3, -0.2, 0.9, 0.1, -0.5], [0.0; DIM]];
    for query in queries {
        for (k, exact, allowed) in
            [(5, true, None), (5, false, None), (200, false, None), (7, false, Some(&some))]
        {
            let request = VectorRequest { k, allowed, effort: Effort::Pool(400), exact };
            let rows = &mut Stored(stored);
            let Ok(found) = index.search(&query, at, &request, rows, &mut || false);
            let hits = found.expect("nobody interrupts it").hits;
            assert!(hits.len() <= k);
            out.extend(
                hits.iter().map(|hit| u64::from(hit.slot.0) << 32 | u64::from(hit.score.to_bits())),
            );
        }
    }
    out
}

pub(super) fn read_changed(given: &mut Unstructured<'_>) {
    let (images, stored, right) = &*VECTORS;
    let (images, is_sealed) = changed(images, given);
    let Some(opened) = open(&images) else { return };
    let index = over(&opened);
    let found = answers(&index, stored);
    assert!(is_sealed || index.is_damaged() || found == *right);
    // The first file is not merged without a graph.
    let mut merged = Vec::new();
    if opened[1].linked() == 0 {
        merged.push((1, Some(write(&Vectors::new(), &opened[1..], false))));
    }
    merged.push((1, linked(&opened[1..], false)));
    merged.push((0, linked(&opened, true)));
    for (from, image) in merged {
        let Some(image) = image else { continue };
        if is_sealed || index.is_damaged() {
            continue;
        }
        let again = open(&[&images[..from], &[image]].concat());
        let again = again.expect("what was written from whole files is whole");
        assert!(answers(&over(&again), stored) == *right, "merged from {from}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_whole_answer_the_same_however_they_are_merged() {
        let (images, stored, right) = &*VECTORS;
        let opened = open(images).unwrap();
        assert!(opened[0].linked() > 30);
        assert_eq!(right[0], stored.values().map(Vec::len).sum::<usize>() as u64);
        read_changed(&mut Unstructured::new(&[]));
    }
}
