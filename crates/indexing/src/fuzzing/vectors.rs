//! Files of vectors.

use std::convert::Infallible;
use std::sync::LazyLock;

use arbitrary::Unstructured;
use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::files::{self, Image};
use super::{NODE_SLOTS, changed};
use crate::kernels::Kernels;
use crate::vector::file::{Draft, VectorFile};
use crate::vector::{Metric, RowSource, VectorTail};

const AT: Lsn = Lsn(7);
const DIM: usize = 3;
const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::Euclidean];

/// Two files of which the second replaces nodes of the first, and what they answer.
static VECTORS: LazyLock<([Image; 2], Vec<u64>)> = LazyLock::new(|| {
    let write = |slots: std::ops::Range<u32>, is_first| {
        let mut draft = Draft::new(Metric::Cosine, DIM);
        for slot in slots {
            let parts: Vec<[f32; DIM]> =
                (0..slot % 4).map(|part| vector(Slot(slot), part as u16)).collect();
            let parts: Vec<(u16, &[f32])> = (0..).zip(parts.iter().map(|it| &it[..])).collect();
            draft.add(Slot(slot), &parts);
        }
        files::write(|out| draft.write(&[], is_first, out, &|| Ok(())))
    };
    let images = [write(0..60, true), write(50..90, false)];
    let opened = open(&images).expect("both were just written");
    let right = answers(&opened);
    (images, right)
});

fn vector(slot: Slot, part: u16) -> [f32; DIM] {
    let seed = (slot.0 * 31 + u32::from(part) * 7) as f32;
    [seed.sin(), (seed * 1.7).cos(), (seed / 3.0).sin()]
}

/// Vectors that are stored.
struct Stored;

impl RowSource for Stored {
    type Error = Infallible;

    fn row(&mut self, slot: Slot, part: u16, out: &mut [f32]) -> Result<bool, Infallible> {
        out.copy_from_slice(&vector(slot, part));
        Ok(u32::from(part) < slot.0 % 4)
    }
}

fn open(images: &[Image]) -> Option<Vec<VectorFile>> {
    images.iter().map(|image| VectorFile::open(files::open(image)?, DIM, NODE_SLOTS)).collect()
}

/// All that can be asked.
fn answers(files: &[VectorFile]) -> Vec<u64> {
    let mut out = Vec::new();
    let few: RoaringBitmap = [3, 55, 9999].into_iter().collect();
    for metric in METRICS {
        let mut tail = VectorTail::new(DIM, metric, Kernels::detect());
        tail.load(files);
        tail.advance(AT);
        out.push(tail.row_count(AT));
        for (allowed, k) in [(None, 4), (None, 500), (Some(&few), 3)] {
            let query = vector(Slot(k as u32), 9);
            let Ok(hits) = tail.search(&query, AT, allowed, k, &mut Stored, &mut || false);
            for hit in hits.expect("nobody interrupts") {
                out.extend([hit.slot.0, hit.part.into(), hit.score.to_bits()].map(u64::from));
            }
        }
        for slot in (0..90).map(Slot) {
            let Ok(hit) = tail.score(&[1.0, 2.0, 3.0], AT, slot, &mut Stored);
            out.push(hit.map_or(u64::MAX, |hit| hit.score.to_bits().into()));
        }
        (0..90).for_each(|slot| tail.upsert(Slot(slot), AT, &[]));
        tail.prune(AT);
        assert_eq!(tail.row_count(AT), 0);
    }
    out
}

pub(super) fn read_changed(given: &mut Unstructured<'_>) {
    let (images, right) = &*VECTORS;
    let (images, is_sealed) = changed(images, given);
    let Some(opened) = open(&images) else { return };
    let found = answers(&opened);
    assert!(is_sealed || found == *right);
    for from in 0..=images.len() {
        let draft = Draft::new(Metric::Cosine, DIM);
        let merged = &opened[from..];
        let merged = files::write(|out| draft.write(merged, from == 0, out, &|| Ok(())));
        let again = open(&[&images[..from], &[merged]].concat());
        let again = again.expect("what is open can be merged");
        assert!(answers(&again) == found, "merged from {from}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots that no namespace has, parts of a node that do not follow each other, and what is no number.
    #[test]
    fn what_no_file_says_is_damage_with_right_checksums_too() {
        let (images, _) = &*VECTORS;
        for (at, bytes) in [
            (0, NODE_SLOTS.to_le_bytes()),
            (32, [9, 0, 0, 0]),
            (8, f32::NAN.to_le_bytes()),
            (12, (-1.0f32).to_le_bytes()),
            (16, f32::INFINITY.to_le_bytes()),
        ] {
            let changed = [images[0].with(2, at, &bytes), images[1].clone()];
            assert!(open(&changed).is_none(), "byte {at}");
        }
    }
}
