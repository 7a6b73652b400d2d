//! Reading the arrays of a graph, which may be damaged.
//!
//! Opening checks every length and number of the header, at no cost that grows with the graph.
//! Indexes inside the arrays are checked where they are used: the walk asks of each link whether
//! it is below the number of nodes, for 3–5 % of its time.

use embedded_db_common::Slot;
use embedded_db_storage::Segment;

use super::super::Metric;
use super::blocks::Blocks;
use super::bytes::Words;
use super::codes::RowCodes;
use super::header::{GraphDamage, Header};
use super::sections::Section;
use super::space::{CodeSpace, prefetch_words};
use super::walk::Layer;

/// A graph in arrays that lie anywhere.
#[derive(Clone, Copy, Debug)]
pub struct GraphView<'a> {
    pub(super) header: Header,
    pub(super) space: CodeSpace<'a>,
    pub(super) links: Words<'a>,
    pub(super) upper_rows: Words<'a>,
    pub(super) upper_starts: Words<'a>,
    pub(super) upper_links: Words<'a>,
    slots: Words<'a>,
    parts: &'a [[u8; 2]],
    by_slot: Words<'a>,
    /// Those of `links`.
    blocks: Blocks<'a>,
}

impl<'a> GraphView<'a> {
    /// A view of the sections `bytes` gives. They are not read here but for the header, so that
    /// a mapped file is not loaded; what is wrong inside is told by the search that meets it.
    ///
    /// # Errors
    /// A header that cannot be, or a section whose length is not what the header says.
    pub fn from_sections(mut bytes: impl FnMut(Section) -> &'a [u8]) -> Result<Self, GraphDamage> {
        let header = Header::decode(bytes(Section::Header))?;
        for section in Section::ALL {
            if bytes(section).len() as u64 != header.bytes_of(section) {
                return Err(GraphDamage::new(section, "its length"));
            }
        }
        let space = CodeSpace::new(
            header.metric,
            header.dim as usize,
            bytes(Section::Codes),
            bytes(Section::Scales),
        );
        let mut words = |section| Words::new(bytes(section));
        Ok(Self {
            header,
            space,
            links: words(Section::Links),
            upper_rows: words(Section::UpperRows),
            upper_starts: words(Section::UpperStarts),
            upper_links: words(Section::UpperLinks),
            slots: words(Section::Slots),
            by_slot: words(Section::BySlot),
            parts: bytes(Section::Parts).as_chunks().0,
            blocks: Blocks::default(),
        })
    }

    /// The same arrays, of which the codes and the links of the base layer lie in a file whose blocks were not
    /// looked at: they are checked where they are read. `codes` and `links` are where these sections begin.
    #[must_use]
    pub(crate) fn in_blocks(mut self, file: &'a Segment, codes: usize, links: usize) -> Self {
        self.space.blocks = Blocks::of(file, codes);
        self.blocks = Blocks::of(file, links);
        self
    }

    /// Number of rows, with those that are dead.
    pub fn len(&self) -> usize {
        self.header.rows as usize
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of dimensions.
    pub fn dim(&self) -> usize {
        self.header.dim as usize
    }

    /// How vectors are compared.
    pub fn metric(&self) -> Metric {
        self.header.metric
    }

    /// The slot of a row.
    #[inline(always)]
    pub fn slot(&self, row: u32) -> Option<Slot> {
        self.slots.get(row as usize).map(Slot)
    }

    /// The part of a row.
    pub fn part(&self, row: u32) -> Option<u16> {
        self.parts.get(row as usize).map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// The rows of a slot, by part.
    ///
    /// # Errors
    /// Damage in the order of the slots.
    pub fn rows_of(&self, slot: Slot) -> impl Iterator<Item = Result<u32, GraphDamage>> + use<'a> {
        let view = *self;
        let mut place = view.first_place(slot, 0, view.len() / 2);
        std::iter::from_fn(move || match view.placed(place) {
            Ok((row, found)) if found == slot => {
                place += 1;
                Some(Ok(row))
            }
            Ok(_) => None,
            Err(_) if place >= view.len() => None,
            Err(damage) => {
                place = view.len();
                Some(Err(damage))
            }
        })
    }

    /// The row at a place in the order of slots, and its slot.
    #[inline]
    pub(super) fn placed(&self, place: usize) -> Result<(u32, Slot), GraphDamage> {
        let row = self.by_slot.get(place);
        let found = row.and_then(|row| Some((row, self.slot(row)?)));
        found.ok_or(GraphDamage::new(Section::BySlot, "a row that is not there"))
    }

    /// The first place from `from` on whose slot is at least this one. Looks near `guess` first.
    pub(super) fn first_place(&self, slot: Slot, from: usize, guess: usize) -> usize {
        let is_before = |place| self.placed(place).is_ok_and(|(_, found)| found < slot);
        let (mut low, mut high) = (from, self.len());
        let guess = guess.clamp(low, high);
        let mut step = 1;
        if is_before(guess) {
            low = guess + 1;
            while is_before(low + step) {
                low += step + 1;
                step *= 2;
            }
            high = high.min(low + step);
        } else {
            high = guess;
            while high > low && !is_before(high.saturating_sub(step).max(low)) {
                high = high.saturating_sub(step).max(low);
                step *= 2;
            }
            low = low.max((high + 1).saturating_sub(step));
        }
        while low < high {
            let middle = low.midpoint(high);
            if is_before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The lowest and the highest slot.
    pub(super) fn slot_range(&self) -> Result<(Slot, Slot), GraphDamage> {
        let (low, high) = (self.placed(0)?.1, self.placed(self.len().saturating_sub(1))?.1);
        let wrong = GraphDamage::new(Section::BySlot, "their order");
        if low <= high { Ok((low, high)) } else { Err(wrong) }
    }

    /// No rows: rows to be added to it.
    pub fn no_rows(&self) -> RowCodes {
        RowCodes::new(self.dim(), self.metric())
    }

    /// Checks every link, at the cost of reading them all.
    ///
    /// # Errors
    /// The first that leads nowhere, or the first list that is none.
    pub fn check(&self) -> Result<(), GraphDamage> {
        let damage = |section, what| Err(GraphDamage::new(section, what));
        let base = self.base();
        for row in 0..self.header.rows {
            if !base.links(row).is_some_and(|mut links| links.all(|link| link < self.header.rows)) {
                return damage(Section::Links, "a list of links");
            }
        }
        if !self.upper_rows.iter().is_sorted_by(|a, b| a < b)
            || self.upper_rows.iter().any(|row| row >= self.header.rows)
        {
            return damage(Section::UpperRows, "their order");
        }
        let starts = self.upper_starts;
        let ends = [starts.get(0), starts.get(starts.len() - 1)];
        if !starts.iter().is_sorted_by(|a, b| a < b) || ends != [Some(0), Some(self.header.blocks)]
        {
            return damage(Section::UpperStarts, "their order");
        }
        for node in 0..self.header.uppers {
            for layer in (1..).map(|layer| self.upper(layer)).take_while(|layer| layer.has(node)) {
                if !layer.links(node).is_some_and(|mut links| links.all(|link| layer.has(link))) {
                    return damage(Section::UpperLinks, "a list of links");
                }
            }
        }
        let top = self.header.layers as usize - 1;
        if !self.is_empty() && !self.upper(top).has(self.header.entry) {
            return damage(Section::Header, "its entry");
        }
        Ok(())
    }

    pub(super) fn slot_bytes(&self) -> &'a [u8] {
        self.slots.as_bytes()
    }

    pub(super) fn part_bytes(&self) -> &'a [u8] {
        self.parts.as_flattened()
    }

    pub(super) fn base(&self) -> Base<'a> {
        let (links, stride) = (self.links, 1 + self.header.base_links as usize);
        Base { links, stride, rows: self.len(), blocks: self.blocks }
    }

    /// A layer above the base.
    pub(super) fn upper(&self, layer: usize) -> Upper<'a> {
        debug_assert!(layer >= 1);
        Upper {
            links: self.upper_links,
            stride: 1 + self.header.upper_links as usize,
            starts: self.upper_starts,
            rows: self.upper_rows,
            layer,
        }
    }
}

/// A place in the order of slots, from which the rows of rising slots are found one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Finder {
    place: usize,
    last: Option<Slot>,
}

impl Finder {
    /// Puts the rows of the slot, which is greater than those before, in the place of others.
    ///
    /// # Errors
    /// Damage in the order of the slots.
    pub(crate) fn find(
        &mut self,
        view: &GraphView<'_>,
        slot: Slot,
        rows: &mut Vec<u32>,
    ) -> Result<(), GraphDamage> {
        rows.clear();
        // Where most slots have one row, as many places lie between as slots do.
        let guess = match self.last.replace(slot) {
            Some(last) => self.place + slot.0.saturating_sub(last.0 + 1) as usize,
            None => view.len() / 2,
        };
        self.place = view.first_place(slot, self.place, guess);
        while self.place < view.len() {
            let (row, found) = view.placed(self.place)?;
            if found != slot {
                break;
            }
            rows.push(row);
            self.place += 1;
        }
        Ok(())
    }
}

/// Links of the base layer.
#[derive(Clone, Copy)]
pub(super) struct Base<'a> {
    links: Words<'a>,
    stride: usize,
    rows: usize,
    blocks: Blocks<'a>,
}

impl Layer for Base<'_> {
    const IS_BASE: bool = true;

    fn len(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn row(&self, node: u32) -> Option<u32> {
        Some(node)
    }

    #[inline(always)]
    fn links(&self, node: u32) -> Option<impl Iterator<Item = u32>> {
        let bytes = self.stride * 4;
        let begin = node as usize * bytes;
        // A list that is not right is none.
        let is_right = self.blocks.are_right(begin..begin + bytes);
        list(self.links, node as usize, self.stride).filter(|_| is_right)
    }

    #[inline(always)]
    fn prefetch(&self, node: u32) {
        prefetch_words(self.links, node as usize * self.stride, self.stride);
    }
}

/// Links of a layer above.
#[derive(Clone, Copy)]
pub(super) struct Upper<'a> {
    links: Words<'a>,
    stride: usize,
    starts: Words<'a>,
    rows: Words<'a>,
    layer: usize,
}

impl Upper<'_> {
    /// The number of the node's list in this layer.
    fn number(&self, node: u32) -> Option<usize> {
        let start = self.starts.get(node as usize)? as usize;
        let end = self.starts.get(node as usize + 1)? as usize;
        let number = start + self.layer - 1;
        (number < end).then_some(number)
    }

    /// Whether the node is in this layer.
    fn has(&self, node: u32) -> bool {
        self.number(node).is_some()
    }
}

impl Layer for Upper<'_> {
    const IS_BASE: bool = false;

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn row(&self, node: u32) -> Option<u32> {
        self.rows.get(node as usize)
    }

    fn links(&self, node: u32) -> Option<impl Iterator<Item = u32>> {
        list(self.links, self.number(node)?, self.stride)
    }

    fn prefetch(&self, _node: u32) {}
}

/// The list of this number: its length, then so many links.
#[inline(always)]
fn list(links: Words<'_>, number: usize, stride: usize) -> Option<impl Iterator<Item = u32>> {
    let list = links.range(number.checked_mul(stride)?, stride)?;
    let len = list.get(0)? as usize;
    Some(list.range(1, len)?.iter())
}
