//! The f32 values of rows, in memory that growth does not move.

use std::convert::Infallible;

use embedded_db_common::Slot;

use super::super::RowSource;

/// Rows in a piece.
const PIECE_ROWS: usize = 1024;

/// Rows of one dimension, numbered from 0.
#[derive(Clone)]
pub(super) struct Rows {
    dim: usize,
    pieces: Vec<Vec<f32>>,
}

impl Rows {
    pub(super) fn new(dim: usize) -> Self {
        Self { dim, pieces: Vec::new() }
    }

    pub(super) fn push(&mut self, row: &[f32]) {
        let full = PIECE_ROWS * self.dim;
        if self.pieces.last().is_none_or(|last| last.len() == full) {
            // The first piece grows, for a small index.
            let capacity = if self.pieces.is_empty() { 0 } else { full };
            self.pieces.push(Vec::with_capacity(capacity));
        }
        if let Some(last) = self.pieces.last_mut() {
            last.extend_from_slice(row);
        }
    }

    pub(super) fn get(&self, row: u32) -> &[f32] {
        let (piece, place) = (row as usize / PIECE_ROWS, row as usize % PIECE_ROWS);
        &self.pieces[piece][place * self.dim..][..self.dim]
    }

    /// All rows, some that lie one after the other at a time.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[f32]> {
        self.pieces.iter().map(Vec::as_slice)
    }
}

/// What searches read: a row of a slot is always there.
pub(super) struct Reader<'a>(pub(super) &'a Rows);

impl RowSource for Reader<'_> {
    type Error = Infallible;

    fn row(&mut self, slot: Slot, _part: u16, out: &mut [f32]) -> Result<bool, Infallible> {
        out.copy_from_slice(self.0.get(slot.0));
        Ok(true)
    }
}
