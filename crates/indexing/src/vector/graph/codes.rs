//! Rows as codes, before they are linked.

use std::ops::Range;

use embedded_db_common::Slot;

use super::super::block::RowScale;
use super::super::quantize::quantize_row;
use super::super::{Metric, RowSource};
use super::MAX_ROWS;
use super::bytes::AlignedBytes;
use super::space::CodeSpace;
use super::view::GraphView;
use crate::kernels::MAX_DIM;

/// Rows as int8 codes, with the slot and the part of each.
///
/// Every row has a scale of its own, so that codes do not depend on what other rows there are.
#[derive(Clone)]
pub struct RowCodes {
    pub(super) dim: usize,
    pub(super) metric: Metric,
    pub(super) codes: AlignedBytes,
    /// Each row's scale, and for `Euclidean` the square of its norm.
    pub(super) scales: AlignedBytes,
    pub(super) slots: AlignedBytes,
    pub(super) parts: AlignedBytes,
    row: Vec<u8>,
}

impl RowCodes {
    /// No rows, of `dim` dimensions.
    ///
    /// # Panics
    /// If `dim` is 0 or more than [`MAX_DIM`].
    pub fn new(dim: usize, metric: Metric) -> Self {
        assert!((1..=MAX_DIM).contains(&dim), "1 to {MAX_DIM} dimensions");
        Self {
            dim,
            metric,
            codes: AlignedBytes::default(),
            scales: AlignedBytes::default(),
            slots: AlignedBytes::default(),
            parts: AlignedBytes::default(),
            row: vec![0; dim],
        }
    }

    /// The rows named, as the source has them; those it has not, or that no code can stand for,
    /// are left out.
    ///
    /// # Errors
    /// What the source says.
    pub fn read<R: RowSource>(
        dim: usize,
        metric: Metric,
        rows: &[(Slot, u16)],
        source: &mut R,
    ) -> Result<Self, R::Error> {
        let mut out = Self::new(dim, metric);
        out.read_more(rows, source)?;
        Ok(out)
    }

    /// Adds the rows named.
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
        let mut codes = std::mem::take(&mut self.row);
        let scale = quantize_row(self.metric, vector, &mut codes);
        let is_sane = self.adopt(slot, part, &codes, scale);
        self.row = codes;
        is_sane
    }

    /// Adds a row by the codes that were made of it. `false`: they say nothing of it.
    pub(in super::super) fn adopt(
        &mut self,
        slot: Slot,
        part: u16,
        codes: &[u8],
        scale: RowScale,
    ) -> bool {
        if scale.error.is_infinite() {
            return false;
        }
        assert!(self.len() < MAX_ROWS, "at most {MAX_ROWS} rows");
        self.scales.extend(&scale.scale.to_le_bytes());
        if self.metric == Metric::Euclidean {
            self.scales.extend(&(scale.norm * scale.norm).to_le_bytes());
        }
        self.codes.extend(codes);
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

    /// Adds rows of a graph, as they are.
    pub(super) fn append(&mut self, view: &GraphView<'_>, rows: Range<u32>) {
        let of = |width: usize| rows.start as usize * width..rows.end as usize * width;
        self.codes.extend(&view.space.codes[of(self.dim)]);
        self.scales.extend(&view.space.scales.as_bytes()[of(scale_bytes(self.metric))]);
        self.slots.extend(&view.slot_bytes()[of(4)]);
        self.parts.extend(&view.part_bytes()[of(2)]);
    }

    /// Adds all rows of others.
    pub(super) fn append_all(&mut self, other: &Self) {
        assert!(self.len() + other.len() <= MAX_ROWS, "at most {MAX_ROWS} rows");
        self.codes.extend(other.codes.as_slice());
        self.scales.extend(other.scales.as_slice());
        self.slots.extend(other.slots.as_slice());
        self.parts.extend(other.parts.as_slice());
    }

    pub(super) fn space(&self) -> CodeSpace<'_> {
        CodeSpace::new(self.metric, self.dim, self.codes.as_slice(), self.scales.as_slice())
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
        Metric::Cosine | Metric::Dot => 4,
        Metric::Euclidean => 8,
    }
}
