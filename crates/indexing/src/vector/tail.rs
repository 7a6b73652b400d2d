//! The tail and what changes it. What reads it is in `search`.

use embedded_db_common::{Lsn, Slot};

use super::Metric;
use super::block::{BLOCK_ROWS, Block, LIVE, Row, RowId};
use super::quantize::{fingerprint, quantize_row};
use super::slots::SlotHeads;
use crate::kernels::{Kernels, MAX_DIM};

/// Rows of the first block; each further one doubles what there is, up to a full block.
const FIRST_BLOCK_ROWS: usize = 16;

/// The vectors of one embedding space in one namespace that no sealed segment covers.
///
/// Changes come in the order of their log sequence numbers. A row is seen by snapshots from the
/// change that brought it up to, and without, the one that replaced or removed it; so one tail
/// serves readers at any snapshot from the last `prune` on.
pub struct VectorTail {
    pub(super) dim: usize,
    pub(super) metric: Metric,
    pub(super) kernels: Kernels,
    /// A row's id holds its block's place here, so emptied places are kept and used again.
    pub(super) blocks: Vec<Option<Box<Block>>>,
    vacant: Vec<usize>,
    /// The block that takes new rows.
    open: Option<usize>,
    /// Chains of rows by slot, ordered by falling `to`: the live rows come first.
    heads: SlotHeads,
    /// Rows held, seen or not.
    pub(super) held: usize,
    /// Whether a node ever had more than one part.
    pub(super) has_parts: bool,
    lsn: Lsn,
    codes: Vec<u8>,
}

impl VectorTail {
    /// An empty tail for vectors of `dim` dimensions.
    ///
    /// # Panics
    /// If `dim` is 0 or more than [`MAX_DIM`].
    pub fn new(dim: usize, metric: Metric, kernels: Kernels) -> Self {
        assert!((1..=MAX_DIM).contains(&dim), "1 to {MAX_DIM} dimensions");
        Self {
            dim,
            metric,
            kernels,
            blocks: Vec::new(),
            vacant: Vec::new(),
            open: None,
            heads: SlotHeads::default(),
            held: 0,
            has_parts: false,
            lsn: Lsn(0),
            codes: vec![0; dim],
        }
    }

    /// Number of dimensions.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How vectors are compared.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Up to where the tail has followed the changes.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Notes that no change up to `to` concerns this tail, but for those it was given.
    pub fn advance(&mut self, to: Lsn) {
        self.lsn = self.lsn.max(to);
    }

    /// Replaces all parts of the node from `at` on; no parts remove it. Each part is its number
    /// and its vector, finite numbers of any size.
    ///
    /// # Panics
    /// If a vector has not the tail's dimension. Changes out of order are caught in debug
    /// builds alone.
    pub fn upsert(&mut self, slot: Slot, at: Lsn, parts: &[(u16, &[f32])]) {
        self.remove(slot, at);
        self.has_parts |= parts.len() > 1;
        let mut codes = std::mem::take(&mut self.codes);
        for &(part, vector) in parts {
            assert_eq!(vector.len(), self.dim, "a vector of the tail's dimension");
            let scale = quantize_row(self.metric, vector, &mut codes);
            let fingerprint = fingerprint(vector);
            let next = self.heads.get(slot);
            let row = Row { from: at, to: LIVE, fingerprint, slot, next, part, dead: false };
            let id = self.place(|block| block.push(row, &codes, scale));
            self.heads.set(slot, id);
        }
        self.codes = codes;
    }

    /// Removes the node from `at` on.
    pub fn remove(&mut self, slot: Slot, at: Lsn) {
        debug_assert!(at >= self.lsn, "changes come in order: {at:?} after {:?}", self.lsn);
        self.lsn = self.lsn.max(at);
        let mut id = self.heads.get(slot);
        while id != RowId::NONE && self.row(id).to == LIVE {
            self.block_mut(id).end(id.offset(), at);
            id = self.row(id).next;
        }
    }

    /// Drops the rows nobody at `oldest` or later can see. At most a quarter of the rows held
    /// afterwards are such; the memory of the others is given back. No reader may come at a
    /// snapshot before `oldest` any more.
    pub fn prune(&mut self, oldest: Lsn) {
        for block in 0..self.blocks.len() {
            self.bury(block, oldest);
        }
        for index in 0..self.blocks.len() {
            if self.blocks[index].as_deref().is_some_and(Block::is_wasteful) {
                self.empty(index);
            }
        }
        while self.blocks.pop_if(|last| last.is_none()).is_some() {}
        self.vacant.retain(|&index| index < self.blocks.len());
        self.blocks.shrink_to(self.blocks.len() * 2);
        self.vacant.shrink_to(self.vacant.len() * 2);
        self.heads.shrink();
    }

    /// Number of rows, counting every part of a node, seen at `at`.
    pub fn row_count(&self, at: Lsn) -> u64 {
        self.blocks.iter().flatten().map(|block| block.visible_rows(at) as u64).sum()
    }

    /// Whether the node has a vector at `at`.
    pub fn contains(&self, slot: Slot, at: Lsn) -> bool {
        self.visible_rows(slot, at).next().is_some()
    }

    /// The parts of the node that have a vector at `at`.
    pub fn parts(&self, slot: Slot, at: Lsn) -> impl Iterator<Item = u16> {
        self.visible_rows(slot, at).map(|id| self.row(id).part)
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.blocks.capacity() * size_of::<Option<Box<Block>>>()
            + self.vacant.capacity() * size_of::<usize>()
            + self.codes.capacity()
            + self.blocks.iter().flatten().map(|block| block.memory_bytes()).sum::<usize>()
            + self.heads.memory_bytes()
    }

    /// The rows of the slot that are seen at `at`.
    pub(super) fn visible_rows(&self, slot: Slot, at: Lsn) -> impl Iterator<Item = RowId> {
        let mut id = self.heads.get(slot);
        std::iter::from_fn(move || {
            while id != RowId::NONE {
                let row = self.row(id);
                if row.to <= at {
                    break;
                }
                let found = id;
                id = row.next;
                if row.from <= at {
                    return Some(found);
                }
            }
            None
        })
    }

    pub(super) fn row(&self, id: RowId) -> &Row {
        self.block(id).row(id.offset())
    }

    pub(super) fn block(&self, id: RowId) -> &Block {
        self.blocks[id.block()].as_deref().expect("a chain leads to rows that are held")
    }

    fn block_mut(&mut self, id: RowId) -> &mut Block {
        self.blocks[id.block()].as_deref_mut().expect("a chain leads to rows that are held")
    }

    /// Finds room for a row, which `push` fills.
    fn place(&mut self, push: impl FnOnce(&mut Block) -> usize) -> RowId {
        let has_room = |index: &usize| !self.blocks[*index].as_deref().is_none_or(Block::is_full);
        let index = match self.open.filter(has_room) {
            Some(index) => index,
            None => self.open_block(),
        };
        let block = self.blocks[index].as_deref_mut().expect("the open block is there");
        let id = RowId::new(index, push(block));
        self.held += 1;
        id
    }

    fn open_block(&mut self) -> usize {
        let capacity = self.held.clamp(FIRST_BLOCK_ROWS, BLOCK_ROWS);
        let block = Some(Box::new(Block::new(self.dim, capacity)));
        let index = self.vacant.pop().unwrap_or(self.blocks.len());
        if index == self.blocks.len() {
            self.blocks.push(block);
        } else {
            self.blocks[index] = block;
        }
        self.open = Some(index);
        index
    }

    /// Takes rows of the block that ended by `oldest` off their chains and marks them dead.
    fn bury(&mut self, block: usize, oldest: Lsn) {
        let Some(block) = self.blocks[block].as_deref() else { return };
        if !block.has_ended_rows() {
            return;
        }
        let ended = |row: &&Row| !row.dead && row.to <= oldest;
        let slots: Vec<Slot> = block.rows().iter().filter(ended).map(|row| row.slot).collect();
        for slot in slots {
            self.cut_chain(slot, oldest);
        }
    }

    /// Ends the slot's chain before the first row that ended by `oldest`, and marks that row
    /// and all behind it dead: none of them ended later.
    fn cut_chain(&mut self, slot: Slot, oldest: Lsn) {
        let mut id = self.heads.get(slot);
        let mut last = RowId::NONE;
        while id != RowId::NONE && self.row(id).to > oldest {
            last = id;
            id = self.row(id).next;
        }
        if id == RowId::NONE {
            return;
        }
        self.link(slot, last, RowId::NONE);
        while id != RowId::NONE {
            self.block_mut(id).bury(id.offset());
            id = self.row(id).next;
        }
    }

    /// Moves the rows that are not dead out of the block and gives up the block.
    fn empty(&mut self, index: usize) {
        if self.open == Some(index) {
            self.open = None;
        }
        let rows = self.blocks[index].as_deref().map_or(0, Block::len);
        for offset in 0..rows {
            let old = RowId::new(index, offset);
            let Row { slot, next, dead, .. } = *self.row(old);
            if !dead {
                let before = self.predecessor(slot, old);
                let new = self.copy_of(old);
                debug_assert_eq!(self.row(new).next, next);
                self.link(slot, before, new);
            }
        }
        self.blocks[index] = None;
        self.vacant.push(index);
        self.held -= rows;
    }

    /// A copy of the row in another block.
    fn copy_of(&mut self, old: RowId) -> RowId {
        // The block stands aside for a moment, so that two can be borrowed; its place is not
        // vacant meanwhile.
        let source = self.blocks[old.block()].take().expect("the block is being emptied");
        let new = self.place(|block| block.adopt(&source, old.offset()));
        self.blocks[old.block()] = Some(source);
        new
    }

    fn predecessor(&self, slot: Slot, of: RowId) -> RowId {
        let mut before = RowId::NONE;
        let mut id = self.heads.get(slot);
        while id != of {
            before = id;
            id = self.row(id).next;
        }
        before
    }

    /// Makes `next` follow `before` in the slot's chain, or lead it if there is none before.
    fn link(&mut self, slot: Slot, before: RowId, next: RowId) {
        if before == RowId::NONE {
            self.heads.set(slot, next);
        } else {
            self.block_mut(before).link(before.offset(), next);
        }
    }
}

impl std::fmt::Debug for VectorTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VectorTail")
            .field("dim", &self.dim)
            .field("metric", &self.metric)
            .field("lsn", &self.lsn)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}
