//! Columns of indexes: the nodes whose value lies in a range, and those that come first by their value.

use embedded_db_common::{NamespaceId, Result, Slot};
use embedded_db_storage::{
    COLUMN_SLOTS, Cell, CellRange, Cells, IndexId, Place, ReadTxn, column_row, column_rows,
};
use roaring::RoaringBitmap;

/// Which rows of a column are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All, one behind the other.
    All,
    /// Those of these slots, each by itself; one slot of each row.
    Of(Vec<Slot>),
}

/// To read a row by itself costs as much as so many in passing.
const APART: u64 = 2;

/// Rows of a column for each container of postings that is tried before it.
const TRIED: u64 = 4;

impl Rows {
    /// The rows that hold the slots of `within`, or all where that costs less.
    pub fn choose(
        txn: &impl ReadTxn,
        namespace: NamespaceId,
        within: Option<&RoaringBitmap>,
    ) -> Result<Self> {
        let most = txn.namespace_counters(namespace)?.node_slots.div_ceil(COLUMN_SLOTS);
        let most = u64::from(most) / APART;
        let Some(within) = within else { return Ok(Self::All) };
        let mut rows = Vec::new();
        let mut slots = within.iter();
        while let Some(slot) = slots.next() {
            if rows.len() as u64 >= most {
                return Ok(Self::All);
            }
            rows.push(Slot(slot));
            let Some(next) = (slot / COLUMN_SLOTS + 1).checked_mul(COLUMN_SLOTS) else { break };
            slots.advance_to(next);
        }
        Ok(Self::Of(rows))
    }

    /// As a plan calls it.
    pub fn access(&self) -> &'static str {
        match self {
            Self::All => "column scan",
            Self::Of(_) => "column read",
        }
    }

    /// How many containers of postings to try before: reading them in vain costs little beside it.
    pub fn containers(&self, txn: &impl ReadTxn, namespace: NamespaceId) -> Result<u64> {
        let rows = match self {
            Self::All => txn.namespace_counters(namespace)?.node_slots.div_ceil(COLUMN_SLOTS),
            Self::Of(rows) => rows.len() as u32,
        };
        Ok(u64::from(rows) / TRIED)
    }

    fn visit(
        &self,
        (txn, namespace, index): (&impl ReadTxn, NamespaceId, IndexId),
        backwards: bool,
        mut visit: impl FnMut(Cells<'_>) -> Result<bool>,
    ) -> Result<()> {
        let Self::Of(slots) = self else {
            return column_rows(txn, namespace, index, backwards, visit);
        };
        for at in 0..slots.len() {
            let slot = slots[if backwards { slots.len() - 1 - at } else { at }];
            if let Some(cells) = column_row(txn, namespace, index, slot)?
                && !visit(cells)?
            {
                break;
            }
        }
        Ok(())
    }
}

/// The slots in the given rows whose cell lies in a range; with `enough`, at least the first so many of
/// those that are in its set.
pub fn slots_in(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    (rows, range): (&Rows, &CellRange),
    enough: Option<(u64, Option<&RoaringBitmap>)>,
) -> Result<RoaringBitmap> {
    let (mut out, mut block, mut count) = (RoaringBitmap::new(), Block::default(), 0);
    rows.visit((txn, namespace, index), false, |cells| {
        let mask = range.mask(&cells);
        block.add(cells.base(), mask, &mut out);
        let Some((wanted, within)) = enough else { return Ok(true) };
        let counted = within.map_or(u128::MAX, |within| mask_of(within, cells.base()));
        count += u64::from((mask & counted).count_ones());
        Ok(count < wanted)
    })?;
    block.flush(&mut out);
    Ok(out)
}

/// Bits of slots that lie together, on their way into a bitmap.
#[derive(Default)]
struct Block {
    base: u32,
    bytes: Vec<u8>,
}

impl Block {
    /// Slots of one container of a roaring bitmap.
    const SLOTS: u32 = 1 << 16;

    fn add(&mut self, base: u32, mask: u128, out: &mut RoaringBitmap) {
        let start = base - base % Self::SLOTS;
        if self.base != start {
            self.flush(out);
            self.base = start;
        }
        let at = (base % Self::SLOTS / 8) as usize;
        self.bytes.resize(at, 0);
        self.bytes.extend_from_slice(&mask.to_le_bytes());
    }

    fn flush(&mut self, out: &mut RoaringBitmap) {
        if !self.bytes.is_empty() {
            *out |= RoaringBitmap::from_lsb0_bytes(self.base, &self.bytes);
            self.bytes.clear();
        }
    }
}

/// What comes first by the values of a column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct First {
    /// Of the nodes whose cells hold their values: at least those that come first.
    pub held: RoaringBitmap,
    /// All nodes whose values must be read from their records.
    pub others: RoaringBitmap,
}

/// The first `wanted` of the nodes `within` by their values in a column, ordered as asked, with those that
/// equal the last of them; where the slot decides between equals, without.
pub fn first_in(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    (rows, within): (&Rows, &RoaringBitmap),
    top: &Top,
    tick: &dyn Fn() -> Result<()>,
) -> Result<First> {
    let mut first = First::default();
    let mut best = Best {
        top,
        items: Vec::new(),
        room: (2 * top.wanted).max(256),
        bound: None,
        range: CellRange::of_places(Place::START, Place::END),
    };
    // Where values grow with slots, the first come first.
    rows.visit((txn, namespace, index), top.descending, |cells| {
        tick()?;
        let mut mask = best.range.mask(&cells);
        let many = mask.count_ones() > FEW;
        if many {
            mask &= mask_of(within, cells.base());
        }
        while mask != 0 {
            let at =
                if top.descending { 127 - mask.leading_zeros() } else { mask.trailing_zeros() };
            mask &= !(1 << at);
            let slot = Slot(cells.base() + at);
            if let Some(place) = cells.get(slot).and_then(Cell::place) {
                let place = if top.descending { place.reversed() } else { place };
                if best.may_take((place, slot)) && (many || within.contains(slot.0)) {
                    best.take((place, slot));
                }
            }
        }
        first
            .others
            .extend(cells.others().map(|slot| slot.0).filter(|slot| within.contains(*slot)));
        Ok(true)
    })?;
    best.prune();
    first.held = best.items.into_iter().map(|(_, slot)| slot.0).collect();
    Ok(first)
}

/// Slots of a row that are looked for one by one.
const FEW: u32 = 8;

/// The slots of a row that are in a set; the lowest slot is the lowest bit.
fn mask_of(set: &RoaringBitmap, base: u32) -> u128 {
    set.range(base..=base + (COLUMN_SLOTS - 1)).fold(0, |mask, slot| mask | 1 << (slot - base))
}

/// Which nodes come first.
#[derive(Debug, Clone, Copy)]
pub struct Top {
    /// So many of them.
    pub wanted: usize,
    /// Greatest values first.
    pub descending: bool,
    /// Whether the lower slot goes before, where values are equal; else nothing is known of their order.
    pub by_slot: bool,
}

/// The best so far, and at most as many again.
struct Best<'a> {
    top: &'a Top,
    items: Vec<(Place, Slot)>,
    room: usize,
    /// The last that may still come first…
    bound: Option<(Place, Slot)>,
    /// …and with it all that may.
    range: CellRange,
}

impl Best<'_> {
    fn may_take(&self, item: (Place, Slot)) -> bool {
        let within = |bound| if self.top.by_slot { item <= bound } else { item.0 <= bound.0 };
        self.bound.is_none_or(within)
    }

    fn take(&mut self, item: (Place, Slot)) {
        self.items.push(item);
        if self.items.len() >= self.room {
            self.prune();
            // Equals may be more than what is wanted.
            self.room = self.room.max(2 * self.items.len());
        }
    }

    fn prune(&mut self) {
        if self.items.len() <= self.top.wanted || self.top.wanted == 0 {
            return;
        }
        let (_, bound, _) = self.items.select_nth_unstable(self.top.wanted - 1);
        let bound = *bound;
        self.bound = Some(bound);
        self.range = if self.top.descending {
            CellRange::of_places(bound.0.reversed(), Place::END)
        } else {
            CellRange::of_places(Place::START, bound.0.next())
        };
        if self.top.by_slot {
            self.items.truncate(self.top.wanted);
        } else {
            self.items.retain(|item| item.0 <= bound.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use embedded_db_common::Options;
    use embedded_db_common::ValueRef;
    use embedded_db_storage::Store;
    use proptest::prelude::*;

    use super::*;

    const NS: NamespaceId = NamespaceId::DEFAULT;
    const INDEX: IndexId = IndexId(300);

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Against a sort of everything, over rows with gaps between them.
        #[test]
        fn the_first_are_those_of_a_full_sort(
            cells in prop::collection::btree_map(
                prop_oneof![0u32..300, 60_000u32..60_300, 65_500u32..65_600, 200_000u32..200_010],
                prop_oneof![(-3i64..3).prop_map(Some), Just(None)], 0..400),
            outside in prop::collection::btree_set(0u32..300, 0..100),
            wanted in 1usize..30, descending: bool, by_slot: bool,
        ) {
            let store = Store::open_in_memory(&Options::default()).unwrap();
            let stored = cells.clone();
            store.write(move |txn| {
                for (slot, value) in &stored {
                    let value = value.map_or(ValueRef::Bytes(b"x"), ValueRef::Int);
                    txn.put_cell(NS, INDEX, Slot(*slot), Cell::of(&value))?;
                }
                Ok(())
            }).unwrap();
            let snapshot = store.read().unwrap();
            let within: RoaringBitmap =
                cells.keys().copied().filter(|slot| !outside.contains(slot)).collect();
            let each = within.iter().map(Slot).collect();
            let mut sorted: Vec<(i64, u32)> = within.iter()
                .filter_map(|slot| Some((if descending { -cells[&slot]? } else { cells[&slot]? }, slot)))
                .collect();
            sorted.sort_unstable();
            let last = sorted.get(wanted - 1).copied();
            let expected: RoaringBitmap = sorted.iter()
                .filter(|item| last.is_none_or(|last|
                    if by_slot { **item <= last } else { item.0 <= last.0 }))
                .map(|item| item.1)
                .collect();
            let others: RoaringBitmap =
                within.iter().filter(|slot| cells[slot].is_none()).collect();
            let top = Top { wanted, descending, by_slot };
            for rows in [Rows::All, Rows::Of(distinct(each))] {
                let first =
                    first_in(&snapshot, NS, INDEX, (&rows, &within), &top, &|| Ok(())).unwrap();
                prop_assert_eq!(&first, &First { held: expected.clone(), others: others.clone() });
            }
        }
    }

    /// One slot of each row.
    fn distinct(mut slots: Vec<Slot>) -> Vec<Slot> {
        slots.dedup_by_key(|slot| slot.0 / COLUMN_SLOTS);
        slots
    }
}
