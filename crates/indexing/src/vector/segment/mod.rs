//! Files of vectors: codes of the nodes that changed, which nodes these are, and a graph over the codes where
//! there are many.
//!
//! Invariants:
//! * A file replaces what older ones say of the nodes that it tells of.
//! * Its first rows are those of the graph, in the graph's order; the others follow by slot and part. A row that
//!   is dead stays while links lead over it.
//! * Rows, codes and links are checked block by block where they are read; all else when the file is opened.

mod link;
#[cfg(test)]
mod tests;
mod write;

use std::ops::Range;

use embedded_db_common::Slot;
use embedded_db_common::record::Cursor as Bytes;
use embedded_db_storage::Segment;
use roaring::RoaringBitmap;

pub(crate) use self::link::Linking;
pub(crate) use self::write::Draft;
use super::Metric;
use super::block::RowScale;
use super::graph::{Finder, GraphView, Section};

/// The version of what is in the sections, and of the codes.
pub(crate) const VERSION: u32 = 2;

/// What a section holds; numbers are little endian.
mod section {
    /// Version u32, dimensions u32, rows u32, those of them in the graph u32, 1 if a node may have several rows,
    /// else 0, u32.
    pub(super) const HEADER: u32 = 1;
    /// 32 bytes a row: slot u32, part u16, zeros u16, scale f32, error f32, norm f32, zeros u32, fingerprint u64.
    pub(super) const ROWS: u32 = 2;
    /// The codes of each row, one byte for each dimension.
    pub(super) const CODES: u32 = 3;
    /// The nodes that it tells of, those without a vector too: slots as a portable Roaring bitmap.
    pub(super) const NODES: u32 = 4;
    /// The rows of the graph that are dead, as such a bitmap.
    pub(super) const DEAD: u32 = 5;
    /// The first of the graph's own; those of `graph::Section` in their order, but for the codes.
    pub(super) const GRAPH: u32 = 16;
}

const ROW: usize = 32;

/// The kind of the section that a file has for one of a graph.
fn kind_of(wanted: Section) -> u32 {
    match wanted {
        Section::Codes => section::CODES,
        other => {
            let place = Section::ALL.iter().position(|section| *section == other);
            section::GRAPH + place.map_or(0, |place| place as u32)
        }
    }
}

/// What a file says of a row beside its codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowRecord {
    pub(super) slot: Slot,
    pub(super) part: u16,
    pub(super) scale: RowScale,
    pub(super) fingerprint: u64,
}

impl RowRecord {
    fn encode(&self) -> [u8; ROW] {
        let mut out = [0; ROW];
        out[..4].copy_from_slice(&self.slot.0.to_le_bytes());
        out[4..6].copy_from_slice(&self.part.to_le_bytes());
        let RowScale { scale, error, norm } = self.scale;
        for (at, number) in [(8, scale), (12, error), (16, norm)] {
            out[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        out[24..].copy_from_slice(&self.fingerprint.to_le_bytes());
        out
    }

    #[inline]
    pub(super) fn decode(row: &[u8; ROW]) -> Self {
        let [a, b, c, d, e, _, g, h] = *row.as_chunks::<4>().0 else {
            unreachable!("32 bytes are eight words")
        };
        let float = f32::from_le_bytes;
        Self {
            slot: Slot(u32::from_le_bytes(a)),
            part: u16::from_le_bytes([b[0], b[1]]),
            scale: RowScale { scale: float(c), error: float(d), norm: float(e) },
            fingerprint: u64::from(u32::from_le_bytes(g)) | u64::from(u32::from_le_bytes(h)) << 32,
        }
    }
}

/// A file of vectors that is open.
pub(crate) struct VectorSegment {
    file: Segment,
    dim: usize,
    rows: u32,
    linked: u32,
    has_parts: bool,
    records: Range<usize>,
    codes: Range<usize>,
    nodes: RoaringBitmap,
    dead: RoaringBitmap,
}

impl VectorSegment {
    /// `None` when it is damaged, or of another version, dimension or metric.
    pub(crate) fn open(file: Segment, dim: usize, metric: Metric) -> Option<Self> {
        let mut header = Bytes::new(file.bytes(file.section(section::HEADER)));
        let (version, own_dim) = (header.u32().ok()?, header.u32().ok()?);
        if version != VERSION || own_dim as usize != dim {
            return None;
        }
        let (rows, linked, parts) = (header.u32().ok()?, header.u32().ok()?, header.u32().ok()?);
        let of = |kind, width: usize| {
            let range = file.section(kind);
            (Some(range.len()) == width.checked_mul(rows as usize)).then_some(range)
        };
        let (records, codes) = (of(section::ROWS, ROW)?, of(section::CODES, dim)?);
        let bitmap = |kind| {
            let bytes = file.bytes(file.section(kind));
            RoaringBitmap::deserialize_from(bytes).ok()
        };
        let (nodes, dead) = (bitmap(section::NODES)?, bitmap(section::DEAD)?);
        let in_blocks = [Section::Codes, Section::Links];
        for section in Section::ALL.into_iter().filter(|section| !in_blocks.contains(section)) {
            file.bytes(file.section(kind_of(section)));
        }
        let is_within = linked <= rows && dead.max().is_none_or(|last| last < linked);
        if file.is_damaged() || !is_within {
            return None;
        }
        let has_parts = parts != 0;
        let out = Self { file, dim, rows, linked, has_parts, records, codes, nodes, dead };
        let is_right = |graph: GraphView<'_>| {
            (graph.dim(), graph.metric(), graph.len()) == (dim, metric, linked as usize)
        };
        (linked == 0 || out.graph().is_some_and(is_right)).then_some(out)
    }

    pub(crate) fn file(&self) -> &Segment {
        &self.file
    }

    /// Number of rows, with those that are dead.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// How many of them, the first ones, are in the graph.
    pub(crate) fn linked(&self) -> u32 {
        self.linked
    }

    /// The nodes that it tells of.
    pub(crate) fn nodes(&self) -> &RoaringBitmap {
        &self.nodes
    }

    /// Whether a node may have several rows.
    pub(super) fn has_parts(&self) -> bool {
        self.has_parts
    }

    /// The graph, if there is one.
    pub(super) fn graph(&self) -> Option<GraphView<'_>> {
        if self.linked == 0 {
            return None;
        }
        let codes = self.codes.start..self.codes.start + self.linked as usize * self.dim;
        let links = self.file.section(kind_of(Section::Links)).start;
        let graph = GraphView::from_sections(|section| {
            self.file.checked_bytes(match section {
                Section::Codes => codes.clone(),
                other => self.file.section(kind_of(other)),
            })
        });
        Some(graph.ok()?.in_blocks(&self.file, codes.start, links))
    }

    /// What is said of a row; nothing where that is damaged.
    #[inline]
    pub(super) fn record(&self, row: u32) -> Option<RowRecord> {
        self.records(row..row + 1).first().map(RowRecord::decode)
    }

    /// The same of several; none of them where that is damaged.
    #[inline]
    pub(super) fn records(&self, rows: Range<u32>) -> &[[u8; ROW]] {
        self.file.bytes(within(&self.records, &rows, ROW)).as_chunks().0
    }

    /// The codes of rows; none where they are damaged.
    #[inline]
    pub(super) fn codes(&self, rows: Range<u32>) -> &[u8] {
        self.file.bytes(within(&self.codes, &rows, self.dim))
    }

    /// A row's codes, unless they are damaged.
    #[inline]
    pub(super) fn codes_of(&self, row: u32) -> Option<&[u8]> {
        Some(self.codes(row..row + 1)).filter(|codes| codes.len() == self.dim)
    }

    /// The rows that are dead once others tell of some nodes.
    pub(super) fn dead_with(&self, later: &RoaringBitmap) -> RoaringBitmap {
        let mut dead = self.dead.clone();
        let (mut lookup, mut rows) = (Lookup::new(self), Vec::new());
        for slot in &self.nodes & later {
            lookup.find(Slot(slot), &mut rows);
            dead.extend(&rows);
        }
        dead
    }

    /// Bytes of memory held beside the mapped file.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.nodes.serialized_size() + self.dead.serialized_size()
    }

    /// The first row of those in no graph whose slot is at least this one.
    fn first_loose(&self, slot: Slot) -> u32 {
        let (mut low, mut high) = (self.linked, self.rows);
        while low < high {
            let middle = low.midpoint(high);
            match self.record(middle) {
                Some(record) if record.slot < slot => low = middle + 1,
                Some(_) => high = middle,
                None => return self.rows,
            }
        }
        low
    }
}

/// The bytes of rows in a section.
fn within(section: &Range<usize>, rows: &Range<u32>, width: usize) -> Range<usize> {
    section.start + rows.start as usize * width..section.start + rows.end as usize * width
}

/// Finds the rows of rising slots in a file.
pub(super) struct Lookup<'a> {
    segment: &'a VectorSegment,
    graph: Option<GraphView<'a>>,
    finder: Finder,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(segment: &'a VectorSegment) -> Self {
        Self { segment, graph: segment.graph(), finder: Finder::default() }
    }

    /// Puts the rows of the slot, which is greater than those before, in the place of others; by part, the dead
    /// ones too.
    pub(super) fn find(&mut self, slot: Slot, rows: &mut Vec<u32>) {
        rows.clear();
        if let Some(graph) = &self.graph
            && self.finder.find(graph, slot, rows).is_err()
        {
            self.segment.file.damage();
        }
        let loose = self.segment.first_loose(slot)..self.segment.rows;
        let is_its = |row: &u32| self.segment.record(*row).is_some_and(|it| it.slot == slot);
        rows.extend(loose.take_while(is_its));
    }
}
