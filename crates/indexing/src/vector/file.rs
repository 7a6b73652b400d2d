//! Codes in files: those of the nodes that changed, and the nodes that have no vector any more.

use std::ops::Range;

use embedded_db_common::record::Cursor as Bytes;
use embedded_db_common::{Result, Slot};
use embedded_db_storage::{Segment, SegmentWriter};
use roaring::RoaringBitmap;

use super::block::RowScale;
use super::quantize::{fingerprint, quantize_row};
use super::{Metric, VectorTail};
use crate::published::ascends;

/// The version of what is in the sections, and of the codes.
pub(crate) const VERSION: u32 = 1;

/// What a section holds; numbers are little endian.
mod section {
    /// Version u32, dimensions u32, rows u32, nodes without a vector u32.
    pub(super) const HEADER: u32 = 1;
    /// By slot and part, 32 bytes each: slot u32, part u16, zeros u16, scale f32, error f32, norm f32, zeros
    /// u32, fingerprint u64.
    pub(super) const ROWS: u32 = 2;
    /// The codes of each row, one byte for each dimension.
    pub(super) const CODES: u32 = 3;
    /// Nodes that have no vector any more: slot u32 each, ascending.
    pub(super) const GONE: u32 = 4;
}

const ROW: usize = 32;
/// Bytes of codes that are gathered before they are written.
const MOST_CODES: usize = 64 << 20;

/// Nodes with their vectors on their way into a file.
pub(crate) struct Draft {
    metric: Metric,
    dim: usize,
    rows: Vec<u8>,
    codes: Vec<u8>,
    /// All nodes that it tells of, and those without a vector.
    nodes: RoaringBitmap,
    gone: RoaringBitmap,
}

impl Draft {
    pub(crate) fn new(metric: Metric, dim: usize) -> Self {
        let (rows, codes, nodes, gone) = Default::default();
        Self { metric, dim, rows, codes, nodes, gone }
    }

    /// A node with its parts, each once.
    pub(crate) fn add(&mut self, slot: Slot, parts: &[(u16, &[f32])]) {
        for &(part, vector) in parts {
            let begin = self.codes.len();
            self.codes.resize(begin + self.dim, 0);
            let scale = quantize_row(self.metric, vector, &mut self.codes[begin..]);
            self.rows.extend_from_slice(&row(slot, part, scale, fingerprint(vector)));
        }
        self.nodes.insert(slot.0);
        if parts.is_empty() {
            self.gone.insert(slot.0);
        }
    }

    /// Whether it is so large that the next node belongs into another file.
    pub(crate) fn is_full(&self) -> bool {
        self.codes.len() >= MOST_CODES
    }

    /// Nodes that it tells of.
    pub(crate) fn len(&self) -> u64 {
        self.nodes.len()
    }

    /// Writes this, and what older files say of other nodes, older ones first; how many rows that are. `first`
    /// says that no file is older: what is gone needs not be told.
    pub(crate) fn write(
        &self,
        merged: &[VectorFile],
        first: bool,
        out: &mut SegmentWriter,
        going_on: &dyn Fn() -> Result<()>,
    ) -> Result<u32> {
        let (mut seen, mut gone) = (self.nodes.clone(), self.gone.clone());
        let mut places: Vec<Place<'_>> = Vec::new();
        let codes = self.codes.chunks_exact(self.dim);
        places.extend(
            self.rows.chunks_exact(ROW).zip(codes).map(|(row, codes)| Place { row, codes }),
        );
        for file in merged.iter().rev() {
            let mut own = RoaringBitmap::new();
            for (row, codes) in file.rows() {
                let slot = slot_of(row);
                if !seen.contains(slot) {
                    own.insert(slot);
                    places.push(Place { row, codes });
                }
            }
            for slot in file.gone() {
                if !seen.contains(slot) {
                    own.insert(slot);
                    gone.insert(slot);
                }
            }
            seen |= own;
            going_on()?;
        }
        // Stable: the parts of a node stay in their order.
        places.sort_by_key(|place| slot_of(place.row));
        out.begin_section(section::ROWS)?;
        for place in &places {
            out.write(place.row)?;
        }
        going_on()?;
        out.begin_section(section::CODES)?;
        for (number, place) in places.iter().enumerate() {
            out.write(place.codes)?;
            if number % 4096 == 0 {
                going_on()?;
            }
        }
        out.begin_section(section::GONE)?;
        let gone = if first { RoaringBitmap::new() } else { gone };
        for slot in &gone {
            out.write(&slot.to_le_bytes())?;
        }
        out.begin_section(section::HEADER)?;
        let (rows, gone) = (places.len() as u32, gone.len() as u32);
        for number in [VERSION, self.dim as u32, rows, gone] {
            out.write(&number.to_le_bytes())?;
        }
        Ok(rows)
    }
}

struct Place<'a> {
    row: &'a [u8],
    codes: &'a [u8],
}

fn row(slot: Slot, part: u16, scale: RowScale, fingerprint: u64) -> [u8; ROW] {
    let mut out = [0; ROW];
    out[..4].copy_from_slice(&slot.0.to_le_bytes());
    out[4..6].copy_from_slice(&part.to_le_bytes());
    for (at, number) in [(8, scale.scale), (12, scale.error), (16, scale.norm)] {
        out[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    out[24..].copy_from_slice(&fingerprint.to_le_bytes());
    out
}

fn slot_of(row: &[u8]) -> u32 {
    row.first_chunk().map_or(0, |slot| u32::from_le_bytes(*slot))
}

fn scale_of(row: &[u8]) -> RowScale {
    let number = |at: usize| row.get(at..).and_then(|place| place.first_chunk());
    let float = |at| number(at).map_or(0.0, |place| f32::from_le_bytes(*place));
    RowScale { scale: float(8), error: float(12), norm: float(16) }
}

/// A file of vectors that is open; all of it was checked.
pub(crate) struct VectorFile {
    file: Segment,
    dim: usize,
    rows: Range<usize>,
    codes: Range<usize>,
    gone: Range<usize>,
}

impl VectorFile {
    /// `None` when it is damaged, or of another version or dimension. A namespace has so many slots.
    pub(crate) fn open(file: Segment, dim: usize, node_slots: u32) -> Option<Self> {
        let mut header = Bytes::new(file.bytes(file.section(section::HEADER)));
        let (version, own_dim) = (header.u32().ok()?, header.u32().ok()?);
        let (rows, gone) = (header.u32().ok()? as usize, header.u32().ok()? as usize);
        if version != VERSION || own_dim as usize != dim {
            return None;
        }
        let of = |kind, length: Option<usize>| {
            let range = file.section(kind);
            (Some(range.len()) == length).then_some(range)
        };
        let ranges = (
            of(section::ROWS, ROW.checked_mul(rows))?,
            of(section::CODES, dim.checked_mul(rows))?,
            of(section::GONE, 4usize.checked_mul(gone))?,
        );
        let (rows, codes, gone) = ranges;
        let opened = file.check_all().then_some(Self { file, dim, rows, codes, gone })?;
        opened.makes_sense(node_slots).then_some(opened)
    }

    /// Whether the parts of a node follow each other, and all that is computed with is a number.
    fn makes_sense(&self, node_slots: u32) -> bool {
        let mut slots: Vec<u32> = self.rows().map(|(row, _)| slot_of(row)).collect();
        let is_number = |number: f32| number >= 0.0;
        let are_numbers = |(row, _): (&[u8], &[u8])| {
            let RowScale { scale, error, norm } = scale_of(row);
            is_number(error) && [scale, norm].iter().all(|it| it.is_finite() && is_number(*it))
        };
        slots.dedup();
        ascends(slots.into_iter(), node_slots)
            && ascends(self.gone(), node_slots)
            && self.rows().all(are_numbers)
    }

    fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let codes = self.file.checked_bytes(self.codes.clone()).chunks_exact(self.dim);
        self.file.checked_bytes(self.rows.clone()).chunks_exact(ROW).zip(codes)
    }

    fn gone(&self) -> impl Iterator<Item = u32> {
        self.file.checked_bytes(self.gone.clone()).chunks_exact(4).map(slot_of)
    }
}

impl VectorTail {
    /// Takes in what files say, older ones first, into an empty tail.
    pub(crate) fn load(&mut self, files: &[VectorFile]) {
        let mut seen = RoaringBitmap::new();
        for file in files.iter().rev() {
            let mut own = RoaringBitmap::new();
            for (row, codes) in file.rows() {
                if seen.contains(slot_of(row)) {
                    continue;
                }
                own.insert(slot_of(row));
                self.load_row(row, codes);
            }
            own.extend(file.gone());
            seen |= own;
        }
    }

    fn load_row(&mut self, row: &[u8], codes: &[u8]) {
        let part = row.get(4..).and_then(|place| place.first_chunk());
        let part = part.map_or(0, |place| u16::from_le_bytes(*place));
        let print = row.get(24..).and_then(|place| place.first_chunk());
        let print = print.map_or(0, |place| u64::from_le_bytes(*place));
        self.adopt(Slot(slot_of(row)), part, codes, scale_of(row), print);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use embedded_db_common::{Lsn, NamespaceId, Options};
    use embedded_db_storage::{SegmentFile, Store, ViewKind};
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::Kernels;

    const DIM: usize = 3;

    /// Parts by node.
    type Model = BTreeMap<u32, Vec<Vec<i8>>>;

    struct Files {
        store: Arc<Store>,
        files: Vec<SegmentFile>,
    }

    impl Files {
        fn open(&self) -> Vec<VectorFile> {
            let snapshot = self.store.read().unwrap();
            let found = |file| snapshot.open_segment(file).unwrap().unwrap();
            let open = |file| VectorFile::open(found(file), DIM, 40).unwrap();
            self.files.iter().map(open).collect()
        }

        fn seal(&mut self, draft: &Draft, from: usize) {
            let mut files = self.open();
            let merged = files.split_off(from);
            let snapshot = self.store.read().unwrap();
            let mut out = snapshot.begin_segment(ViewKind::Vectors, NamespaceId::DEFAULT).unwrap();
            let rows = draft.write(&merged, from == 0, &mut out, &|| Ok(())).unwrap();
            self.files.truncate(from);
            self.files.push(out.finish(rows).unwrap());
        }
    }

    fn floats(vector: &[i8]) -> Vec<f32> {
        vector.iter().map(|value| f32::from(*value)).collect()
    }

    struct Rows<'a>(&'a Model);

    impl super::super::RowSource for Rows<'_> {
        type Error = String;

        fn row(&mut self, slot: Slot, part: u16, out: &mut [f32]) -> Result<bool, String> {
            let row = self.0.get(&slot.0).and_then(|parts| parts.get(part as usize));
            let row = row.ok_or_else(|| format!("{slot:?} has no part {part}"))?;
            out.copy_from_slice(&floats(row));
            Ok(true)
        }
    }

    proptest! {
        /// Whatever is sealed in whatever pieces, and merged: a tail of the files is one that was told of
        /// everything.
        #[test]
        fn files_say_what_was_said(
            rounds in prop::collection::vec(
                (
                    prop::collection::vec(
                        (0u32..40, prop::collection::vec(prop::collection::vec(-9i8..9, DIM), 0..3)),
                        0..20,
                    ),
                    0usize..4,
                ),
                1..8,
            ),
            query in prop::collection::vec(-9i8..9, DIM),
        ) {
            let store = Store::open_in_memory(&Options::default()).unwrap();
            let mut files = Files { store, files: Vec::new() };
            let mut model = Model::new();
            for (changes, merged) in rounds {
                let changes: BTreeMap<u32, Vec<Vec<i8>>> = changes.into_iter().collect();
                let mut draft = Draft::new(Metric::Euclidean, DIM);
                for (slot, parts) in &changes {
                    let values: Vec<Vec<f32>> = parts.iter().map(|part| floats(part)).collect();
                    let parts: Vec<(u16, &[f32])> =
                        values.iter().enumerate().map(|(part, row)| (part as u16, &row[..])).collect();
                    draft.add(Slot(*slot), &parts);
                }
                prop_assert_eq!(draft.len(), changes.len() as u64);
                let from = files.files.len().saturating_sub(merged);
                files.seal(&draft, from);
                model.extend(changes);
                model.retain(|_, parts| !parts.is_empty());
            }
            let kernels = Kernels::detect();
            let mut loaded = VectorTail::new(DIM, Metric::Euclidean, kernels);
            loaded.load(&files.open());
            let mut told = VectorTail::new(DIM, Metric::Euclidean, kernels);
            for (slot, parts) in &model {
                let values: Vec<Vec<f32>> = parts.iter().map(|part| floats(part)).collect();
                let parts: Vec<(u16, &[f32])> =
                    values.iter().enumerate().map(|(part, row)| (part as u16, &row[..])).collect();
                told.upsert(Slot(*slot), Lsn(0), &parts);
            }
            prop_assert_eq!(loaded.row_count(Lsn(0)), told.row_count(Lsn(0)));
            let search = |tail: &VectorTail| {
                let (rows, never) = (&mut Rows(&model), &mut || false);
                tail.search(&floats(&query), Lsn(0), None, 15, rows, never).unwrap().unwrap()
            };
            prop_assert_eq!(search(&loaded), search(&told));
            for slot in 0..40 {
                prop_assert_eq!(
                    loaded.contains(Slot(slot), Lsn(0)),
                    model.contains_key(&slot)
                );
            }
        }
    }
}
