//! A block of rows: codes in one aligned array, and what belongs to each row beside them.
//!
//! A block is given its memory when it is made and never grows beyond it, so adding a row
//! copies no other. Rows are only appended; a row that is no longer seen stays, marked dead,
//! until `prune` moves the living out of the block.

use embedded_db_common::{Lsn, Slot};

/// Most rows of a block. Ids depend on it.
pub(super) const BLOCK_ROWS: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 10;

const LINE: usize = 64;

/// `to` of a row nothing has replaced yet.
pub(super) const LIVE: Lsn = Lsn(u64::MAX);

/// Where a row is: its block and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowId(u32);

impl RowId {
    /// No row: the end of a chain.
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn new(block: usize, offset: usize) -> Self {
        debug_assert!(offset < BLOCK_ROWS);
        let block = u32::try_from(block).expect("fewer than 2^22 blocks");
        assert!(block < (u32::MAX >> BLOCK_BITS), "a tail holds fewer than 2^32 rows");
        Self((block << BLOCK_BITS) | offset as u32)
    }

    pub(super) fn block(self) -> usize {
        (self.0 >> BLOCK_BITS) as usize
    }

    pub(super) fn offset(self) -> usize {
        self.0 as usize & (BLOCK_ROWS - 1)
    }
}

/// A row, but for its codes and what scoring needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Seen by snapshots in `from .. to`.
    pub(super) from: Lsn,
    pub(super) to: Lsn,
    /// Of the f32 values: rows with equal fingerprints and codes have equal scores.
    pub(super) fingerprint: u64,
    pub(super) slot: Slot,
    /// The next row of the same slot, with the same or a lower `to`.
    pub(super) next: RowId,
    pub(super) part: u16,
    /// Off its chain: ended before what any reader may still ask for.
    pub(super) dead: bool,
}

impl Row {
    #[inline]
    pub(super) fn is_visible(&self, at: Lsn) -> bool {
        self.from <= at && at < self.to
    }
}

/// How codes relate to the row they stand for; see `quantize`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RowScale {
    pub(super) scale: f32,
    /// ‖row − scale · codes‖, rounded up.
    pub(super) error: f32,
    /// ‖scale · codes‖.
    pub(super) norm: f32,
}

pub(super) struct Block {
    /// Codes from `start` on, which is where a cache line begins.
    bytes: Vec<u8>,
    start: usize,
    dim: usize,
    rows: Vec<Row>,
    scales: Vec<f32>,
    errors: Vec<f32>,
    norms: Vec<f32>,
    lowest: Slot,
    highest: Slot,
    /// Latest `from`.
    newest: Lsn,
    /// Rows that are not live.
    ended: usize,
    /// Rows that are dead; they are among the ended.
    dead: usize,
}

impl Block {
    pub(super) fn new(dim: usize, capacity: usize) -> Self {
        debug_assert!((1..=BLOCK_ROWS).contains(&capacity));
        let mut bytes: Vec<u8> = Vec::with_capacity(capacity * dim + LINE - 1);
        let start = bytes.as_ptr().align_offset(LINE).min(LINE - 1);
        bytes.resize(start, 0);
        Self {
            bytes,
            start,
            dim,
            rows: Vec::with_capacity(capacity),
            scales: Vec::with_capacity(capacity),
            errors: Vec::with_capacity(capacity),
            norms: Vec::with_capacity(capacity),
            lowest: Slot(u32::MAX),
            highest: Slot(0),
            newest: Lsn(0),
            ended: 0,
            dead: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() == self.rows.capacity()
    }

    /// Adds a row and gives its place.
    pub(super) fn push(&mut self, row: Row, codes: &[u8], scale: RowScale) -> usize {
        debug_assert!(!self.is_full() && codes.len() == self.dim && row.to == LIVE);
        self.bytes.extend_from_slice(codes);
        self.scales.push(scale.scale);
        self.errors.push(scale.error);
        self.norms.push(scale.norm);
        self.lowest = self.lowest.min(row.slot);
        self.highest = self.highest.max(row.slot);
        self.newest = self.newest.max(row.from);
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Adds a row as it was in another block.
    pub(super) fn adopt(&mut self, other: &Self, offset: usize) -> usize {
        let row = other.rows[offset];
        let codes = other.codes_of(offset);
        let place = self.push(Row { to: LIVE, ..row }, codes, other.scale_of(offset));
        self.end(place, row.to);
        place
    }

    /// Ends the range in which the row is seen.
    pub(super) fn end(&mut self, offset: usize, to: Lsn) {
        let row = &mut self.rows[offset];
        self.ended += usize::from(row.to == LIVE && to != LIVE);
        row.to = to;
    }

    /// Notes that the row, which has ended, is off its chain.
    pub(super) fn bury(&mut self, offset: usize) {
        let row = &mut self.rows[offset];
        debug_assert!(row.to != LIVE && !row.dead);
        row.dead = true;
        self.dead += 1;
    }

    pub(super) fn link(&mut self, offset: usize, next: RowId) {
        self.rows[offset].next = next;
    }

    pub(super) fn row(&self, offset: usize) -> &Row {
        &self.rows[offset]
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The codes of all rows, one after the other.
    pub(super) fn codes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn codes_of(&self, offset: usize) -> &[u8] {
        let start = self.start + offset * self.dim;
        &self.bytes[start..start + self.dim]
    }

    pub(super) fn scale_of(&self, offset: usize) -> RowScale {
        RowScale {
            scale: self.scales[offset],
            error: self.errors[offset],
            norm: self.norms[offset],
        }
    }

    /// Scale, error and norm of all rows.
    pub(super) fn scales(&self) -> [&[f32]; 3] {
        [&self.scales, &self.errors, &self.norms]
    }

    /// The lowest and the highest slot of its rows.
    pub(super) fn slots(&self) -> std::ops::RangeInclusive<u32> {
        self.lowest.0..=self.highest.0
    }

    pub(super) fn visible_rows(&self, at: Lsn) -> usize {
        if self.ended == 0 && self.newest <= at {
            return self.len();
        }
        self.rows.iter().filter(|row| row.is_visible(at)).count()
    }

    /// Whether some rows have ended that may not be dead yet.
    pub(super) fn has_ended_rows(&self) -> bool {
        self.ended > self.dead
    }

    /// Whether enough rows are dead that moving the others out pays.
    pub(super) fn is_wasteful(&self) -> bool {
        self.dead > 0 && self.dead * 4 >= self.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.bytes.capacity()
            + self.rows.capacity() * size_of::<Row>()
            + (self.scales.capacity() + self.errors.capacity() + self.norms.capacity())
                * size_of::<f32>()
    }
}
