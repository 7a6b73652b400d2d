//! Indexes made on demand: the key bytes of values of every type, in their order, and how an index is
//! defined and walked.

use embedded_db_common::record::{Cursor, Damaged, Read, put_bytes, put_varint};
use embedded_db_common::{NamespaceId, Result, Slot, Symbol, Value, ValueRef};

use crate::keys::{self, Key, Table, meta};
use crate::postings::{self, Container, IndexId, TEXT_PREFIX};
use crate::read::{ReadPostings, ReadTxn};

/// Types as the first byte of a value, in the order of values. Lists and dicts have none.
pub(crate) mod kind {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const BOOL: u8 = 1;
    pub(crate) const NUMBER: u8 = 2;
    pub(crate) const TIME: u8 = 3;
    pub(crate) const STR: u8 = 4;
    pub(crate) const BYTES: u8 = 5;
}

/// A NaN, whatever its bits: behind all other numbers.
const NAN: u64 = 0x7ff8 << 48;
const SIGN: u64 = 1 << 63;

/// The key bytes of a value; `None` for lists and dicts, which are not indexed.
pub fn index_value(value: &ValueRef<'_>) -> Option<Vec<u8>> {
    Some(match *value {
        ValueRef::Null => vec![kind::NULL],
        ValueRef::Bool(value) => vec![kind::BOOL, u8::from(value)],
        ValueRef::Int(value) => int_value(value),
        ValueRef::Float(value) => float_value(value),
        ValueRef::Time(micros) => time_value(micros),
        ValueRef::Str(text) => escaped_value(kind::STR, text.as_bytes()),
        ValueRef::Bytes(bytes) => escaped_value(kind::BYTES, bytes),
        ValueRef::List(_) | ValueRef::Map(_) => return None,
    })
}

/// The same of a value in memory.
pub fn index_value_of(value: &Value) -> Option<Vec<u8>> {
    index_value(&match value {
        Value::Null => ValueRef::Null,
        Value::Bool(value) => ValueRef::Bool(*value),
        Value::Int(value) => ValueRef::Int(*value),
        Value::Float(value) => ValueRef::Float(*value),
        Value::Time(micros) => ValueRef::Time(*micros),
        Value::Str(text) => ValueRef::Str(text),
        Value::Bytes(bytes) => ValueRef::Bytes(bytes),
        Value::List(_) | Value::Map(_) => return None,
    })
}

/// Whether no value but an equal one has the same key bytes.
pub fn is_exact(value: &Value) -> bool {
    let whole = |bytes: &[u8]| bytes.len() < TEXT_PREFIX && !bytes.contains(&0);
    match value {
        Value::Str(text) => whole(text.as_bytes()),
        Value::Bytes(bytes) => whole(bytes),
        _ => true,
    }
}

/// The key bytes of the values of one type, NaN excepted: from the first to before the second.
pub fn kind_bounds(value: &Value) -> Option<(Vec<u8>, Vec<u8>)> {
    let kind = *index_value_of(value)?.first()?;
    let end =
        if kind == kind::NUMBER { float_value(f64::NAN) } else { vec![kind.saturating_add(1)] };
    Some((vec![kind], end))
}

/// The key bytes of all texts: from the first to before the second.
pub fn text_bounds() -> ([u8; 1], [u8; 1]) {
    ([kind::STR], [kind::BYTES])
}

/// The key bytes of the texts that begin with `prefix`, from the first to before the second; and
/// whether all texts in there do.
pub fn prefix_bounds(prefix: &str) -> (Vec<u8>, Vec<u8>, bool) {
    let mut from = escaped_value(kind::STR, prefix.as_bytes());
    // Without the end mark.
    from.pop();
    let mut end = from.clone();
    // The first byte is no 0xFF.
    while end.last() == Some(&0xff) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    let exact = prefix.len() <= TEXT_PREFIX && !prefix.contains('\0');
    (from, end, exact)
}

/// Numbers in their order: the greatest float not above, its bits ordered, and what is missing to an
/// integer.
pub(crate) mod number_order {
    use super::{NAN, SIGN};

    pub(crate) fn float(value: f64) -> (u64, u16) {
        // −0 is 0.
        let bits = if value.is_nan() { NAN } else { (value + 0.0).to_bits() };
        (if bits & SIGN == 0 { bits ^ SIGN } else { !bits }, 0)
    }

    pub(crate) fn int(value: i64) -> (u64, u16) {
        let mut floor = value as f64;
        if floor as i128 > i128::from(value) {
            floor = floor.next_down();
        }
        // Floats of this size are at most 1,024 apart.
        let missing = i128::from(value).saturating_sub(floor as i128);
        (float(floor).0, missing as u16)
    }
}

fn number_value((ordered, missing): (u64, u16)) -> Vec<u8> {
    let mut out = vec![kind::NUMBER];
    out.extend_from_slice(&ordered.to_be_bytes());
    out.extend_from_slice(&missing.to_be_bytes());
    out
}

fn float_value(value: f64) -> Vec<u8> {
    number_value(number_order::float(value))
}

fn int_value(value: i64) -> Vec<u8> {
    number_value(number_order::int(value))
}

fn time_value(micros: i64) -> Vec<u8> {
    let mut out = vec![kind::TIME];
    out.extend_from_slice(&(micros.cast_unsigned() ^ SIGN).to_be_bytes());
    out
}

/// The key bytes of a text or bytes: the type, then the bytes escaped so that none is a prefix of
/// another, cut to `TEXT_PREFIX` bytes.
pub(crate) fn escaped_value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().min(TEXT_PREFIX).saturating_add(3));
    out.push(kind);
    for byte in bytes.iter().take(TEXT_PREFIX) {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
        if out.len() > 1 + TEXT_PREFIX {
            break;
        }
    }
    out.push(0);
    out
}

/// The key bytes of a text.
pub fn text_value(text: &str) -> Vec<u8> {
    escaped_value(kind::STR, text.as_bytes())
}

/// How far an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum IndexState {
    /// Nodes below the slot that comes next are in it, and those that changed since it was made.
    Building = 1,
    /// All nodes are in it.
    Ready = 2,
    /// Its postings are being removed; nothing keeps them right.
    Dropped = 3,
    /// A unique one over values that are not: it is not kept, and refuses nothing.
    Failed = 4,
}

/// The definition of an index made on demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRecord {
    /// How far it is.
    pub state: IndexState,
    /// Whether two nodes may not have the same value.
    pub unique: bool,
    /// Where building goes on.
    pub next: Slot,
    /// The label of its nodes.
    pub label: Symbol,
    /// The property, or the whole of a dotted path.
    pub property: Symbol,
    /// The first part of a dotted path.
    pub first: Option<Symbol>,
    /// Why it failed.
    pub error: String,
}

impl IndexRecord {
    const VERSION: u8 = 1;
    const UNIQUE: u8 = 1;

    /// Whether changes of nodes are followed in it.
    pub fn is_kept(&self) -> bool {
        matches!(self.state, IndexState::Building | IndexState::Ready)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION, self.state as u8, u8::from(self.unique)];
        out.extend_from_slice(&self.next.0.to_le_bytes());
        put_varint(&mut out, self.label.0.into());
        put_varint(&mut out, self.property.0.into());
        put_varint(&mut out, self.first.map_or(0, |first| first.0).into());
        put_bytes(&mut out, self.error.as_bytes());
        out
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8()? != Self::VERSION {
            return Err(Damaged("has an unknown version"));
        }
        let state = match cursor.u8()? {
            1 => IndexState::Building,
            2 => IndexState::Ready,
            3 => IndexState::Dropped,
            4 => IndexState::Failed,
            _ => return Err(Damaged("has an unknown state")),
        };
        let flags = cursor.u8()?;
        if flags > Self::UNIQUE {
            return Err(Damaged("has an unknown flag"));
        }
        Ok(Self {
            state,
            unique: flags == Self::UNIQUE,
            next: Slot(cursor.u32()?),
            label: cursor.symbol()?,
            property: cursor.symbol()?,
            first: Some(cursor.symbol()?).filter(|first| first.0 != 0),
            error: cursor.str()?.to_owned(),
        })
    }
}

/// The row that defines an index.
pub(crate) fn definition_key(namespace: NamespaceId, index: IndexId) -> Key {
    Key::new(namespace).u8(meta::INDEX).u32(index.0)
}

/// The indexes of a namespace that were made on demand, by number.
pub fn index_definitions(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
) -> Result<Vec<(IndexId, IndexRecord)>> {
    let mut out = Vec::new();
    for row in txn.prefix(Table::Meta, &Key::new(namespace).u8(meta::INDEX))? {
        let (key, payload) = row?;
        let index = IndexId(txn.located(Table::Meta, key, keys::last_u32(key))?);
        out.push((index, txn.located(Table::Meta, key, IndexRecord::parse(payload))?));
    }
    Ok(out)
}

/// The definition of an index.
pub fn index_definition(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
) -> Result<Option<IndexRecord>> {
    let key = definition_key(namespace, index);
    let Some(payload) = txn.get(Table::Meta, &key)? else { return Ok(None) };
    txn.located(Table::Meta, &key, IndexRecord::parse(payload)).map(Some)
}

/// Calls `visit` with the containers of all values from `from` on and before `end`, in the order of
/// the values or, `backwards`, the last first, until it returns false.
pub fn containers_between(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    (from, end): (&[u8], &[u8]),
    backwards: bool,
    mut visit: impl FnMut(&[u8], Container<'_>) -> bool,
) -> Result<()> {
    let (from, end) =
        (postings::value_key(namespace, index, from), postings::value_key(namespace, index, end));
    txn.rows_between(Table::Postings, (&from, &end), backwards, |key, payload| {
        let container = txn.located(Table::Postings, key, Container::parse(key, payload))?;
        let value = txn.located(Table::Postings, key, postings::value_in(key))?;
        Ok(visit(value, container))
    })
}

/// Calls `visit` with the slots of a value from `first` on, ascending, until it returns false.
pub fn slots_from(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    value: &[u8],
    first: Slot,
    mut visit: impl FnMut(Slot) -> bool,
) -> Result<()> {
    txn.containers_from(namespace, index, value, first, |container| {
        container.slots().filter(|slot| *slot >= first.0).all(|slot| visit(Slot(slot)))
    })
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;
    use proptest::prelude::*;

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-3i64..=3).prop_map(Value::Int),
            (0i64..3000).prop_map(|less| Value::Int(i64::MAX - less)),
            (0i64..3000).prop_map(|more| Value::Int(i64::MIN + more)),
            (-3000i64..3000).prop_map(|by| Value::Int((1 << 53) + by)),
            prop::num::f64::ANY.prop_map(Value::Float),
            (-6i8..=6).prop_map(|half| Value::Float(f64::from(half) / 2.0)),
            (0i64..3000).prop_map(|less| Value::Float((i64::MAX - less) as f64)),
            any::<i64>().prop_map(Value::Time),
            "[a\0\u{ff}]{0,4}".prop_map(Value::Str),
            (190usize..205, "[a\0b]{0,6}").prop_map(|(n, end)| Value::Str("x".repeat(n) + &end)),
            prop::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..6)
                .prop_map(Value::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn keys_have_the_order_of_their_values(a in scalar(), b in scalar()) {
            let (x, y) = (index_value_of(&a).unwrap(), index_value_of(&b).unwrap());
            // As they lie in the store, where the number of a container follows.
            let stored = |value: &[u8]| [value, &[0, 0, 0, 7]].concat();
            let order = stored(&x).cmp(&stored(&y));
            if is_exact(&a) || is_exact(&b) {
                prop_assert_eq!(order, a.compare(&b), "{:?} {:?}", a, b);
            } else {
                prop_assert!(order == Ordering::Equal || order == a.compare(&b));
            }
        }

        #[test]
        fn the_bounds_of_a_prefix_hold_what_begins_with_it(
            text in "[a\0\u{ff}]{0,5}", prefix in "[a\0\u{ff}]{0,3}", long in 0usize..210,
        ) {
            let (text, prefix) = ("y".repeat(long) + &text, "y".repeat(long) + &prefix);
            let (from, end, exact) = prefix_bounds(&prefix);
            let key = [text_value(&text), vec![0; 4]].concat();
            let inside = from <= key && key < end;
            prop_assert!(inside || !text.starts_with(&prefix));
            prop_assert!(!exact || inside == text.starts_with(&prefix));
        }

        #[test]
        fn damaged_definitions_never_panic(bytes: Vec<u8>) {
            let _outcome = IndexRecord::parse(&bytes);
        }
    }

    #[test]
    fn the_bounds_of_a_kind_leave_nan_out() {
        let (from, end) = kind_bounds(&Value::Int(1)).unwrap();
        for number in [f64::NEG_INFINITY, -1.0, -0.0, 0.0, f64::INFINITY] {
            assert!(from <= float_value(number) && float_value(number) < end);
        }
        assert!(float_value(-f64::NAN) >= end);
        assert_eq!(float_value(-0.0), int_value(0));
        assert_eq!(int_value(i64::MAX)[9..], 1023u16.to_be_bytes());
    }
}
