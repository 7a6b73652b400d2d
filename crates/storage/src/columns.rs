//! Columns: the values of fixed width of an index by slot, 128 slots a row, so that many are compared in
//! one pass and a few are read without their records.
//!
//! A row says of each slot what type its value has; only numbers, truth values and times stand in it as
//! a whole. Texts are not in it at all: postings have them.

use embedded_db_common::record::{Cursor, Damaged, Read};
use embedded_db_common::{NamespaceId, Result, Slot, ValueRef};

use crate::indexes::{kind, number_order};
use crate::keys::{self, Key, Table};
use crate::postings::IndexId;
use crate::read::ReadTxn;
use crate::rows::after_prefix;

/// Slots of one row.
pub const COLUMN_SLOTS: u32 = 1 << SHIFT;
const SHIFT: u32 = 7;
const VALUE: usize = 8;

/// Types of cells: the tag of the value and one. 0 is no cell.
mod tag {
    pub(super) const NULL: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const INT: u8 = 4;
    pub(super) const FLOAT: u8 = 5;
    pub(super) const TIME: u8 = 6;
    pub(super) const STR: u8 = 7;
    pub(super) const BYTES: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const MAP: u8 = 10;
}

/// What a column has of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    tag: u8,
    bits: u64,
}

impl Cell {
    /// The cell of a value; `None` for a text.
    pub fn of(value: &ValueRef<'_>) -> Option<Self> {
        let (tag, bits) = match *value {
            ValueRef::Null => (tag::NULL, 0),
            ValueRef::Bool(false) => (tag::FALSE, 0),
            ValueRef::Bool(true) => (tag::TRUE, 1),
            ValueRef::Int(value) => (tag::INT, value.cast_unsigned()),
            ValueRef::Float(value) => (tag::FLOAT, value.to_bits()),
            ValueRef::Time(micros) => (tag::TIME, micros.cast_unsigned()),
            ValueRef::Str(_) => return None,
            ValueRef::Bytes(_) => (tag::BYTES, 0),
            ValueRef::List(_) => (tag::LIST, 0),
            ValueRef::Map(_) => (tag::MAP, 0),
        };
        Some(Self { tag, bits })
    }

    /// Its place among all cells that hold their value, in the order of values: equal values have equal
    /// places. `None` when the value must be read from the record.
    pub fn place(self) -> Option<Place> {
        let (kind, rest) = match self.tag {
            tag::NULL => (kind::NULL, 0),
            tag::FALSE | tag::TRUE => (kind::BOOL, u128::from(self.bits) << 112),
            tag::INT => (kind::NUMBER, number(number_order::int(self.bits.cast_signed()))),
            tag::FLOAT => (kind::NUMBER, number(number_order::float(f64::from_bits(self.bits)))),
            tag::TIME => (kind::TIME, u128::from(self.bits ^ SIGN) << 56),
            _ => return None,
        };
        Some(Place(u128::from(kind) << 120 | rest))
    }

    /// As the row has it: nothing beside what the type says.
    fn is_in_form(self) -> bool {
        match self.tag {
            tag::TRUE => self.bits == 1,
            tag::INT | tag::FLOAT | tag::TIME => true,
            tag::STR => false,
            _ => self.bits == 0,
        }
    }
}

const SIGN: u64 = 1 << 63;

fn number((ordered, missing): (u64, u16)) -> u128 {
    u128::from(ordered) << 56 | u128::from(missing) << 40
}

/// A place in the order of all values that are no texts: the key bytes of an index, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u128);

impl Place {
    /// Before every place of a cell.
    pub const START: Self = Self(0);
    /// Behind every place of a cell.
    pub const END: Self = Self(u128::MAX);

    /// Of key bytes, or of a bound between them; those of texts and bytes have no place.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        match *key {
            // The end of all times is where texts begin.
            [kind::STR] | [kind::NULL..kind::STR, ..] => {}
            _ => return None,
        }
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self(u128::from_be_bytes(bytes)))
    }

    /// The place right behind it.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The same order backwards.
    pub fn reversed(self) -> Self {
        Self(!self.0)
    }
}

/// The cells from a place on and before another, found by one comparison each.
#[derive(Debug, Clone, Copy)]
pub struct CellRange {
    bounds: [Bounds; tag::MAP as usize + 1],
    /// Whether NaN is in it.
    nan: bool,
}

/// The cells of one type that lie in a range.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    /// Whether there are any.
    any: bool,
    /// The first, as an unsigned number in the order of its type…
    first: u64,
    /// …and how many more are behind it.
    more: u64,
    /// What is inverted of a negative one to bring it into this order.
    negative: u64,
}

impl CellRange {
    /// The values from `from` to before `end` that compare so; NaN compares with nothing.
    #[expect(clippy::indexing_slicing, reason = "there are bounds for each type")]
    pub fn new(from: Place, end: Place) -> Self {
        let mut bounds = [Bounds::default(); tag::MAP as usize + 1];
        for constant in [ValueRef::Null, ValueRef::Bool(false), ValueRef::Bool(true)] {
            if let Some(cell) = Cell::of(&constant)
                && cell.place().is_some_and(|place| from <= place && place < end)
            {
                let first = cell.bits ^ SIGN;
                bounds[usize::from(cell.tag)] = Bounds { any: true, first, more: 0, negative: 0 };
            }
        }
        for tag in [tag::INT, tag::FLOAT, tag::TIME] {
            let negative = if tag == tag::FLOAT { !SIGN } else { 0 };
            let place = |ordered: u64| {
                // A float below zero was inverted as a whole.
                let bits =
                    if ordered & SIGN == 0 { ordered ^ SIGN ^ negative } else { ordered ^ SIGN };
                Cell { tag, bits }.place().unwrap_or(Place::END)
            };
            // Where NaNs of either sign lie, there is no order.
            let all = match tag {
                tag::FLOAT => {
                    (number_order::float(f64::NEG_INFINITY).0, number_order::float(f64::INFINITY).0)
                }
                _ => (0, u64::MAX),
            };
            let first = first_where(all, |ordered| place(ordered) >= from);
            let behind = first_where(all, |ordered| place(ordered) >= end);
            if first < behind {
                let more = behind.saturating_sub(first).saturating_sub(1);
                let (first, more) = (first as u64, more as u64);
                bounds[usize::from(tag)] = Bounds { any: true, first, more, negative };
            }
        }
        Self { bounds, nan: false }
    }

    /// The places from `from` to before `end`, that of NaN among them.
    pub fn of_places(from: Place, end: Place) -> Self {
        let nan = Cell { tag: tag::FLOAT, bits: f64::NAN.to_bits() }.place();
        let nan = nan.is_some_and(|nan| from <= nan && nan < end);
        Self { nan, ..Self::new(from, end) }
    }

    /// Which slots of a row are in it; the lowest slot is the lowest bit.
    #[expect(clippy::indexing_slicing, reason = "`Cells::parse` lets no other type in")]
    pub fn mask(&self, cells: &Cells<'_>) -> u128 {
        let (mut out, mut at) = (0, 0);
        let uniform = cells.uniform().map(|tag| self.bounds[usize::from(tag)]);
        for (types, values) in cells.types.chunks(64).zip(cells.values.chunks(64)) {
            let mut bits = match uniform {
                Some(bounds) => mask(values, |_| bounds),
                None => mask(values, |at| self.bounds[usize::from(types[at])]),
            };
            if self.nan {
                bits |= nans(types, values);
            }
            out |= u128::from(bits) << at;
            at = u32::saturating_add(at, 64);
        }
        out
    }
}

/// Which of up to 64 values are within their bounds.
fn mask(values: &[[u8; VALUE]], bounds: impl Fn(usize) -> Bounds) -> u64 {
    let mut out = 0;
    for (at, value) in values.iter().enumerate().rev() {
        let Bounds { any, first, more, negative } = bounds(at);
        let bits = u64::from_le_bytes(*value);
        let below = (bits.cast_signed() >> 63).cast_unsigned();
        let ordered = bits ^ SIGN ^ (below & negative);
        out = out << 1 | u64::from(any & (ordered.wrapping_sub(first) <= more));
    }
    out
}

/// Which of up to 64 values are NaN.
fn nans(types: &[u8], values: &[[u8; VALUE]]) -> u64 {
    let mut out = 0;
    for (tag, value) in types.iter().zip(values).rev() {
        let nan = f64::from_bits(u64::from_le_bytes(*value)).is_nan();
        out = out << 1 | u64::from((*tag == tag::FLOAT) & nan);
    }
    out
}

/// The first number of a range for which something holds that then holds for all behind it; one more
/// than the last if for none.
fn first_where((low, high): (u64, u64), holds: impl Fn(u64) -> bool) -> u128 {
    let (mut low, mut high) = (u128::from(low), u128::from(high).saturating_add(1));
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle as u64) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    low
}

/// The slot at a place of a row, of whose places the base has no bit.
fn slot_at(base: u32, at: usize) -> Slot {
    Slot(base | (at as u32 % COLUMN_SLOTS))
}

/// One row: the cells of slots that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a> {
    base: u32,
    types: &'a [u8],
    values: &'a [[u8; VALUE]],
}

impl<'a> Cells<'a> {
    pub(crate) fn parse(key: &[u8], payload: &'a [u8]) -> Read<Self> {
        let base = keys::last_u32(key)?
            .checked_mul(COLUMN_SLOTS)
            .ok_or(Damaged("has a row out of range"))?;
        let mut cursor = Cursor::new(payload);
        let count = usize::from(cursor.u8()?);
        let types = cursor.take(count)?;
        let (values, rest) = cursor.rest().as_chunks::<VALUE>();
        if count > COLUMN_SLOTS as usize || values.len() != count || !rest.is_empty() {
            return Err(Damaged("is no row of a column"));
        }
        // Texts are not in a column.
        if types.iter().any(|tag| (*tag > tag::MAP) | (*tag == tag::STR)) {
            return Err(Damaged("has an unknown type"));
        }
        Ok(Self { base, types, values })
    }

    /// The first slot of the row.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// The type of all its cells, if every slot has one of the same.
    fn uniform(&self) -> Option<u8> {
        let first = *self.types.first()?;
        self.types.iter().all(|tag| *tag == first).then_some(first)
    }

    /// The cell of a slot.
    pub fn get(&self, slot: Slot) -> Option<Cell> {
        let at = slot.0.checked_sub(self.base)? as usize;
        let (tag, value) = (*self.types.get(at)?, self.values.get(at)?);
        (tag != 0).then(|| Cell { tag, bits: u64::from_le_bytes(*value) })
    }

    /// All cells, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, Cell)> + use<'a> {
        let cells = self.types.iter().zip(self.values).enumerate();
        let base = self.base;
        cells.filter(|(_, (tag, _))| **tag != 0).map(move |(at, (tag, value))| {
            (slot_at(base, at), Cell { tag: *tag, bits: u64::from_le_bytes(*value) })
        })
    }

    /// The slots whose values must be read from their records.
    pub fn others(&self) -> impl Iterator<Item = Slot> + use<'a> {
        let types = self.types;
        let any = types.iter().any(|tag| *tag > tag::TIME);
        let (base, types) = (self.base, if any { types } else { &[] });
        let others = types.iter().enumerate().filter(|(_, tag)| **tag > tag::TIME);
        others.map(move |(at, _)| slot_at(base, at))
    }

    /// Whether it ends with a cell, and nothing stands where no value belongs.
    pub(crate) fn is_in_form(&self) -> bool {
        let cells = self.types.iter().zip(self.values);
        let mut cells =
            cells.map(|(tag, value)| Cell { tag: *tag, bits: u64::from_le_bytes(*value) });
        self.types.last().is_some_and(|tag| *tag != 0) && cells.all(Cell::is_in_form)
    }

    /// The row with another cell for a slot; `None` when it has none then.
    pub(crate) fn with(cells: Option<Self>, slot: Slot, cell: Option<Cell>) -> Option<Vec<u8>> {
        let mut row = EmptyRow::default();
        let kept = cells.iter().flat_map(Self::iter).filter(|(it, _)| *it != slot);
        kept.chain(cell.map(|cell| (slot, cell))).for_each(|(slot, cell)| row.put(slot.0, cell));
        (row.count > 0).then(|| row.encode())
    }
}

/// A row on its way into the store.
struct EmptyRow {
    types: [u8; COLUMN_SLOTS as usize],
    values: [[u8; VALUE]; COLUMN_SLOTS as usize],
    count: usize,
}

impl Default for EmptyRow {
    fn default() -> Self {
        const { assert!(COLUMN_SLOTS <= u8::MAX as u32) };
        let (types, values) = ([0; COLUMN_SLOTS as usize], [[0; VALUE]; COLUMN_SLOTS as usize]);
        Self { types, values, count: 0 }
    }
}

impl EmptyRow {
    #[expect(clippy::indexing_slicing, reason = "a remainder is a place of the row")]
    fn put(&mut self, slot: u32, Cell { tag, bits }: Cell) {
        let at = (slot % COLUMN_SLOTS) as usize;
        (self.types[at], self.values[at]) = (tag, bits.to_le_bytes());
        self.count = self.count.max(at.saturating_add(1));
    }

    fn encode(&self) -> Vec<u8> {
        // Room for the checksum, too.
        const ROOM: usize = 1 + COLUMN_SLOTS as usize * (1 + VALUE) + 4;
        let mut out = Vec::with_capacity(ROOM);
        out.push(self.count as u8);
        out.extend(self.types.iter().take(self.count));
        out.extend(self.values.iter().take(self.count).flatten());
        out
    }
}

/// A row of these cells, by their places in it.
pub(crate) fn encode_row(cells: &[(u32, Cell)]) -> Vec<u8> {
    let mut row = EmptyRow::default();
    cells.iter().for_each(|(at, cell)| row.put(*at, *cell));
    row.encode()
}

/// The row of a slot.
pub(crate) fn row_key(namespace: NamespaceId, index: IndexId, slot: Slot) -> Key {
    column_key(namespace, index).u32(slot.0 >> SHIFT)
}

/// All rows of a column.
pub(crate) fn column_key(namespace: NamespaceId, index: IndexId) -> Key {
    Key::new(namespace).u32(index.0)
}

/// The row in which a slot has its cell, if it has one.
pub fn column_row(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    slot: Slot,
) -> Result<Option<Cells<'_>>> {
    let key = row_key(namespace, index, slot);
    let Some(payload) = txn.get(Table::Columns, &key)? else { return Ok(None) };
    txn.located(Table::Columns, &key, Cells::parse(&key, payload)).map(Some)
}

/// Calls `visit` with every row of a column, by slot or, `backwards`, the last first, until it returns
/// false.
pub fn column_rows(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    backwards: bool,
    mut visit: impl FnMut(Cells<'_>) -> Result<bool>,
) -> Result<()> {
    let from = column_key(namespace, index);
    // No namespace has a number behind which nothing comes.
    let Some(end) = after_prefix(&from) else { return Ok(()) };
    txn.rows_between(Table::Columns, (&from, &end), backwards, |key, payload| {
        visit(txn.located(Table::Columns, key, Cells::parse(key, payload))?)
    })
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::collections::BTreeMap;

    use super::*;
    use crate::indexes::{index_value_of, kind_bounds};
    use embedded_db_common::Value;
    use proptest::prelude::*;

    fn cell_of(value: &Value) -> Option<Cell> {
        let mut out = Vec::new();
        value.write(&mut out).unwrap();
        Cell::of(&ValueRef::read(&mut Cursor::new(&out)).unwrap())
    }

    fn fixed() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-3i64..=3).prop_map(Value::Int),
            (0i64..3000).prop_map(|less| Value::Int(i64::MAX - less)),
            (0i64..3000).prop_map(|more| Value::Int(i64::MIN + more)),
            (-3000i64..3000).prop_map(|by| Value::Int((1 << 53) + by)),
            prop::num::f64::ANY.prop_map(Value::Float),
            prop::sample::select(vec![
                f64::NAN,
                -f64::NAN,
                0.0,
                -0.0,
                f64::INFINITY,
                2f64.powi(63)
            ])
            .prop_map(Value::Float),
            (-6i8..=6).prop_map(|half| Value::Float(f64::from(half) / 2.0)),
            (-3000i64..3000).prop_map(|by| Value::Float(((1i64 << 53) + by) as f64)),
            any::<i64>().prop_map(Value::Time),
            (-3i64..=3).prop_map(Value::Time),
        ]
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            8 => fixed(),
            1 => Just(Value::Str("a".into())),
            1 => Just(Value::Bytes(vec![1])),
            1 => Just(Value::List(vec![Value::Int(1)])),
            1 => Just(Value::Map(Vec::new())),
        ]
    }

    /// A row with these cells from its first slot on.
    fn row(cells: &[Option<Cell>]) -> Option<Vec<u8>> {
        let mut stored: Option<Vec<u8>> = None;
        for (at, cell) in cells.iter().enumerate() {
            let before = stored.as_deref().map(|bytes| Cells::parse(&[0; 4], bytes).unwrap());
            stored = Cells::with(before, Slot(at as u32), *cell);
        }
        stored
    }

    /// An interpreter has no time for many.
    const MOST: usize = if cfg!(miri) { 12 } else { 128 };

    proptest! {
        #[test]
        fn cells_have_the_order_of_their_values(a in fixed(), b in fixed()) {
            let place = |value: &Value| cell_of(value).unwrap().place().unwrap();
            prop_assert_eq!(place(&a).cmp(&place(&b)), a.compare(&b), "{:?} {:?}", a, b);
            prop_assert_eq!(Place::of_key(&index_value_of(&a).unwrap()), Some(place(&a)));
            prop_assert_eq!(place(&a).reversed().cmp(&place(&b).reversed()), b.compare(&a));
        }

        #[test]
        fn a_range_holds_what_lies_between_its_bounds(
            cells in prop::collection::vec(any_value(), 1..=MOST), low in fixed(), high in fixed(),
            from_the_start in any::<bool>(), to_the_end in any::<bool>(),
        ) {
            let key = |value: &Value| Place::of_key(&index_value_of(value).unwrap()).unwrap();
            let (from, end) = kind_bounds(&low).unwrap();
            let kind = (Place::of_key(&from).unwrap(), Place::of_key(&end).unwrap());
            let range = CellRange::new(
                if from_the_start { kind.0 } else { key(&low) },
                if to_the_end { kind.1 } else { key(&high) },
            );
            let stored = row(&cells.iter().map(cell_of).collect::<Vec<_>>());
            let Some(stored) = stored else { return Ok(()) };
            let stored = Cells::parse(&[0; 4], &stored).unwrap();
            let mask = range.mask(&stored);
            let places = CellRange::of_places(key(&low), key(&high).next()).mask(&stored);
            let nan = |value: &Value| matches!(value, Value::Float(x) if x.is_nan());
            for (at, value) in cells.iter().enumerate() {
                let fixed = cell_of(value).is_some_and(|cell| cell.place().is_some());
                let above = if from_the_start { value.comparable(&low) || value.compare(&low).is_gt() }
                    else { value.compare(&low).is_ge() };
                let below = if to_the_end { value.comparable(&low) || value.compare(&low).is_lt() }
                    else { value.compare(&high).is_lt() };
                let between = value.compare(&low).is_ge() && value.compare(&high).is_le();
                prop_assert_eq!(places >> at & 1 == 1, fixed && between, "{:?} by place", value);
                let inside = fixed && !nan(value) && above && below;
                prop_assert_eq!(mask >> at & 1 == 1, inside, "{:?} in {:?} {:?}", value, low, high);
            }
        }

        #[test]
        fn rows_are_maps(ops in prop::collection::vec((0u32..128, prop::option::weighted(0.6, any_value())), 0..2 * MOST)) {
            let base = 3 * COLUMN_SLOTS;
            let key = 3u32.to_be_bytes();
            let mut model = BTreeMap::new();
            let mut stored: Option<Vec<u8>> = None;
            for (offset, value) in ops {
                let slot = Slot(base + offset);
                let cell = value.as_ref().and_then(cell_of);
                match cell {
                    Some(cell) => { model.insert(slot, cell); }
                    None => { model.remove(&slot); }
                }
                let before = stored.as_deref().map(|bytes| Cells::parse(&key, bytes).unwrap());
                stored = Cells::with(before, slot, cell);
                prop_assert_eq!(stored.is_none(), model.is_empty());
                if let Some(stored) = &stored {
                    let cells = Cells::parse(&key, stored).unwrap();
                    prop_assert!(cells.is_in_form());
                    prop_assert!(stored.len() <= 1 + 9 * COLUMN_SLOTS as usize);
                    prop_assert_eq!(cells.get(slot), cell);
                }
            }
            let found: BTreeMap<_, _> = stored.as_deref().map_or_else(BTreeMap::new, |bytes| {
                Cells::parse(&key, bytes).unwrap().iter().collect()
            });
            prop_assert_eq!(found, model);
        }

        #[test]
        fn damaged_rows_never_panic(bytes: Vec<u8>) {
            if let Ok(cells) = Cells::parse(&[0; 4], &bytes) {
                let range = CellRange::new(Place(0), Place::END);
                prop_assert!(cells.iter().count() <= 128 && cells.others().count() <= 128);
                let _outcome = (range.mask(&cells), cells.is_in_form());
            }
        }
    }

    #[test]
    fn nan_has_a_place_behind_all_numbers_and_is_in_no_range() {
        let nan = cell_of(&Value::Float(-f64::NAN)).unwrap();
        let most = cell_of(&Value::Float(f64::INFINITY)).unwrap();
        assert_eq!(nan.place().cmp(&most.place()), Ordering::Greater);
        let everything = CellRange::new(Place(0), Place::END);
        let stored = row(&[Some(nan), Some(most)]).unwrap();
        assert_eq!(everything.mask(&Cells::parse(&[0; 4], &stored).unwrap()), 0b10);
    }
}
