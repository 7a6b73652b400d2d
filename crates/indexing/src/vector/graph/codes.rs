//! Rows as codes, before they are linked.

use std::ops::Range;

use embedded_db_common::Slot;

use super::super::quantize::{nearest_code, norm_and_largest, quantize_row};
use super::super::{Metric, RowSource};
use super::MAX_ROWS;
use super::bytes::AlignedBytes;
use super::space::CodeSpace;
use super::view::GraphView;
use crate::kernels::{CODE_OFFSET, MAX_DIM};

/// Of the largest number in any row of unit length, what the largest code stands for. The few
/// numbers beyond are clipped, which costs less than coarser codes for all.
const SCALE_OF_LARGEST: f64 = 0.8;
const CODE_MAX: f64 = 127.0;

/// Finds the one scale of all rows that the cosine is compared by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survey {
    largest: f64,
}

impl Survey {
    /// Takes a row into account.
    pub fn add(&mut self, vector: &[f32]) {
        let (norm, largest) = norm_and_largest(vector);
        if norm > 0.0 && norm.is_finite() {
            self.largest = self.largest.max(largest / norm);
        }
    }

    /// What one code stands for.
    pub fn scale(self) -> f32 {
        let scale = (SCALE_OF_LARGEST * self.largest / CODE_MAX) as f32;
        if scale > 0.0 { scale } else { 1.0 }
    }
}

/// Rows as int8 codes, with the slot and the part of each.
///
/// For the cosine all rows have one scale, so that distances are whole numbers; for the other
/// metrics every row has its own, since one long row would ruin the codes of the others.
#[derive(Clone)]
pub struct RowCodes {
    pub(super) dim: usize,
    pub(super) metric: Metric,
    /// Of the cosine.
    pub(super) scale: f32,
    /// Numbers beyond what the largest code stands for.
    pub(super) clipped: u64,
    pub(super) codes: AlignedBytes,
    /// `Dot`: each row's scale. `Euclidean`: each row's scale, and the square of its norm.
    pub(super) scales: AlignedBytes,
    pub(super) slots: AlignedBytes,
    pub(super) parts: AlignedBytes,
    row: Vec<u8>,
}

impl RowCodes {
    /// No rows, of `dim` dimensions. The scale comes from a [`Survey`] of all rows, and is of
    /// no use but for the cosine.
    ///
    /// # Panics
    /// If `dim` is 0 or more than [`MAX_DIM`], or the scale not a positive number.
    pub fn new(dim: usize, metric: Metric, scale: f32) -> Self {
        assert!((1..=MAX_DIM).contains(&dim), "1 to {MAX_DIM} dimensions");
        assert!(scale > 0.0 && scale.is_finite(), "a scale is a positive number");
        Self {
            dim,
            metric,
            scale,
            clipped: 0,
            codes: AlignedBytes::default(),
            scales: AlignedBytes::default(),
            slots: AlignedBytes::default(),
            parts: AlignedBytes::default(),
            row: vec![0; dim],
        }
    }

    /// The rows named, as the source has them; those it has not, or that no code can stand for,
    /// are left out. For the cosine every row is read twice.
    ///
    /// # Errors
    /// What the source says.
    pub fn read<R: RowSource>(
        dim: usize,
        metric: Metric,
        rows: &[(Slot, u16)],
        source: &mut R,
    ) -> Result<Self, R::Error> {
        let mut vector = vec![0.0; dim];
        let mut survey = Survey::default();
        if metric == Metric::Cosine {
            for &(slot, part) in rows {
                if source.row(slot, part, &mut vector)? {
                    survey.add(&vector);
                }
            }
        }
        let mut out = Self::new(dim, metric, survey.scale());
        out.read_more(rows, source)?;
        Ok(out)
    }

    /// Adds the rows named, at the scale there is.
    ///
    /// # Errors
    /// What the source says.
    pub fn read_more<R: RowSource>(
        &mut self,
        rows: &[(Slot, u16)],
        source: &mut R,
    ) -> Result<(), R::Error> {
        let mut vector = vec![0.0; self.dim];
        self.reserve(rows.len());
        for &(slot, part) in rows {
            if source.row(slot, part, &mut vector)? {
                self.push(slot, part, &vector);
            }
        }
        Ok(())
    }

    /// Makes room for so many more rows.
    pub fn reserve(&mut self, rows: usize) {
        self.codes.reserve(rows * self.dim);
        self.scales.reserve(rows * scale_bytes(self.metric));
        self.slots.reserve(rows * 4);
        self.parts.reserve(rows * 2);
    }

    /// Adds a row. `false`: its numbers are so large or small that no code can stand for it, and
    /// it stays in the tail.
    ///
    /// # Panics
    /// If the vector has not `dim` dimensions, or there are [`MAX_ROWS`] rows.
    pub fn push(&mut self, slot: Slot, part: u16, vector: &[f32]) -> bool {
        assert_eq!(vector.len(), self.dim, "a vector of {} dimensions", self.dim);
        if self.metric == Metric::Cosine {
            self.clipped += quantize_unit(vector, self.scale, &mut self.row);
        } else {
            let scale = quantize_row(self.metric, vector, &mut self.row);
            if scale.error.is_infinite() {
                return false;
            }
            self.scales.extend(&scale.scale.to_le_bytes());
            if self.metric == Metric::Euclidean {
                self.scales.extend(&(scale.norm * scale.norm).to_le_bytes());
            }
        }
        assert!(self.len() < MAX_ROWS, "at most {MAX_ROWS} rows");
        self.codes.extend(&self.row);
        self.slots.extend(&slot.0.to_le_bytes());
        self.parts.extend(&part.to_le_bytes());
        true
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.parts.len() / 2
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers that the largest code does not reach, of all rows together.
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Adds rows of a graph at the same scale, as they are.
    pub(super) fn append(&mut self, view: &GraphView<'_>, rows: Range<u32>) {
        let of = |width: usize| rows.start as usize * width..rows.end as usize * width;
        self.codes.extend(&view.space.codes[of(self.dim)]);
        self.scales.extend(&view.space.scales.as_bytes()[of(scale_bytes(self.metric))]);
        self.slots.extend(&view.slot_bytes()[of(4)]);
        self.parts.extend(&view.part_bytes()[of(2)]);
    }

    /// Adds all rows of others at the same scale.
    pub(super) fn append_all(&mut self, other: &Self) {
        assert!(self.len() + other.len() <= MAX_ROWS, "at most {MAX_ROWS} rows");
        self.codes.extend(other.codes.as_slice());
        self.scales.extend(other.scales.as_slice());
        self.slots.extend(other.slots.as_slice());
        self.parts.extend(other.parts.as_slice());
    }

    pub(super) fn space(&self) -> CodeSpace<'_> {
        CodeSpace::new(
            self.metric,
            self.dim,
            self.scale,
            self.codes.as_slice(),
            self.scales.as_slice(),
        )
    }
}

impl std::fmt::Debug for RowCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowCodes")
            .field("dim", &self.dim)
            .field("metric", &self.metric)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Bytes that belong to a row in the section of scales.
pub(super) fn scale_bytes(metric: Metric) -> usize {
    match metric {
        Metric::Cosine => 0,
        Metric::Dot => 4,
        Metric::Euclidean => 8,
    }
}

/// Writes the codes of the row at length 1, and counts the numbers that are clipped.
fn quantize_unit(row: &[f32], scale: f32, codes: &mut [u8]) -> u64 {
    let (norm, _) = norm_and_largest(row);
    if norm == 0.0 {
        codes.fill(CODE_OFFSET as u8);
        return 0;
    }
    let factor = 1.0 / (norm * f64::from(scale));
    let mut clipped = 0;
    for (code, &x) in codes.iter_mut().zip(row) {
        let value = f64::from(x) * factor;
        clipped += u64::from(value.abs() > CODE_MAX + 0.5);
        *code = (nearest_code(value) as u8) ^ 128;
    }
    clipped
}
