//! Property values: their types, order and stored form.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::record::{Cursor, Damaged, Items, Read, put_bytes, put_varint};
use crate::{Error, MAX_DEPTH, Result};

/// A property value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double; NaN and the infinities are allowed.
    Float(f64),
    /// Microseconds since 1970 UTC.
    Time(i64),
    /// A text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list of values.
    List(Vec<Value>),
    /// Values by name, in the order they were given.
    Map(Vec<(String, Value)>),
}

/// A stored value, read where it lies.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// Microseconds since 1970 UTC.
    Time(i64),
    /// A text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list.
    List(ListRef<'a>),
    /// Values by name.
    Map(MapRef<'a>),
}

/// A stored list.
#[derive(Debug, Clone, Copy)]
pub struct ListRef<'a> {
    body: &'a [u8],
}

/// A stored dict.
#[derive(Debug, Clone, Copy)]
pub struct MapRef<'a> {
    body: &'a [u8],
}

/// First byte of a stored value.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INT: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const TIME: u8 = 5;
    pub(super) const STR: u8 = 6;
    pub(super) const BYTES: u8 = 7;
    pub(super) const LIST: u8 = 8;
    pub(super) const MAP: u8 = 9;
}

/// Writes values in their stored form.
pub mod write {
    use super::{put_bytes, put_varint, tag};

    /// No value.
    pub fn null(out: &mut Vec<u8>) {
        out.push(tag::NULL);
    }
    /// A truth value.
    pub fn bool(out: &mut Vec<u8>, value: bool) {
        out.push(if value { tag::TRUE } else { tag::FALSE });
    }
    /// An integer, zigzag varint.
    pub fn int(out: &mut Vec<u8>, value: i64) {
        out.push(tag::INT);
        put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
    }
    /// A double, little endian.
    pub fn float(out: &mut Vec<u8>, value: f64) {
        out.push(tag::FLOAT);
        out.extend_from_slice(&value.to_le_bytes());
    }
    /// A time, little endian microseconds.
    pub fn time(out: &mut Vec<u8>, micros: i64) {
        out.push(tag::TIME);
        out.extend_from_slice(&micros.to_le_bytes());
    }
    /// A text.
    pub fn str(out: &mut Vec<u8>, text: &str) {
        out.push(tag::STR);
        put_bytes(out, text.as_bytes());
    }
    /// Bytes.
    pub fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
        out.push(tag::BYTES);
        put_bytes(out, bytes);
    }
    /// A list: `body` holds a count (varint) and the items.
    pub fn list(out: &mut Vec<u8>, body: &[u8]) {
        out.push(tag::LIST);
        put_bytes(out, body);
    }
    /// A dict: `body` holds a count (varint) and name and value of each entry.
    pub fn map(out: &mut Vec<u8>, body: &[u8]) {
        out.push(tag::MAP);
        put_bytes(out, body);
    }
}

impl<'a> ValueRef<'a> {
    /// Reads one value; lists and dicts are skipped over and read when iterated.
    pub fn read(cursor: &mut Cursor<'a>) -> Read<Self> {
        Ok(match cursor.u8()? {
            tag::NULL => Self::Null,
            tag::FALSE => Self::Bool(false),
            tag::TRUE => Self::Bool(true),
            tag::INT => {
                let zigzag = cursor.varint()?;
                let sign = (zigzag & 1).wrapping_neg();
                Self::Int(((zigzag >> 1) ^ sign).cast_signed())
            }
            tag::FLOAT => Self::Float(cursor.f64()?),
            tag::TIME => Self::Time(cursor.i64()?),
            tag::STR => Self::Str(cursor.str()?),
            tag::BYTES => Self::Bytes(cursor.bytes()?),
            tag::LIST => Self::List(ListRef { body: cursor.bytes()? }),
            tag::MAP => Self::Map(MapRef { body: cursor.bytes()? }),
            _ => return Err(Damaged("has an unknown value tag")),
        })
    }

    /// An owned copy.
    pub fn to_value(&self) -> Read<Value> {
        self.to_value_at(0)
    }

    fn to_value_at(self, depth: usize) -> Read<Value> {
        if depth > MAX_DEPTH {
            return Err(Damaged("is nested too deeply"));
        }
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Time(value) => Value::Time(value),
            Self::Str(value) => Value::Str(value.to_owned()),
            Self::Bytes(value) => Value::Bytes(value.to_owned()),
            Self::List(list) => Value::List(
                list.iter()?
                    .map(|item| item?.to_value_at(depth.saturating_add(1)))
                    .collect::<Read<_>>()?,
            ),
            Self::Map(map) => Value::Map(
                map.iter()?
                    .map(|entry| {
                        let (name, value) = entry?;
                        Ok((name.to_owned(), value.to_value_at(depth.saturating_add(1))?))
                    })
                    .collect::<Read<_>>()?,
            ),
        })
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }
}

impl<'a> ListRef<'a> {
    /// The items.
    pub fn iter(&self) -> Read<impl ExactSizeIterator<Item = Read<ValueRef<'a>>> + use<'a>> {
        Items::new(self.body, ValueRef::read)
    }
}

impl<'a> MapRef<'a> {
    /// Names and values.
    pub fn iter(
        &self,
    ) -> Read<impl ExactSizeIterator<Item = Read<(&'a str, ValueRef<'a>)>> + use<'a>> {
        Items::new(self.body, |cursor| Ok((cursor.str()?, ValueRef::read(cursor)?)))
    }

    /// The value under a name.
    pub fn get(&self, wanted: &str) -> Read<Option<ValueRef<'a>>> {
        for entry in self.iter()? {
            let (name, value) = entry?;
            if name == wanted {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl Value {
    /// Appends the stored form.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        self.write_at(out, 0)
    }

    fn write_at(&self, out: &mut Vec<u8>, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::InvalidInput(format!(
                "a property is nested deeper than {MAX_DEPTH} levels; flatten it"
            )));
        }
        match self {
            Self::Null => write::null(out),
            Self::Bool(value) => write::bool(out, *value),
            Self::Int(value) => write::int(out, *value),
            Self::Float(value) => write::float(out, *value),
            Self::Time(value) => write::time(out, *value),
            Self::Str(value) => write::str(out, value),
            Self::Bytes(value) => write::bytes(out, value),
            Self::List(items) => {
                let mut body = Vec::new();
                put_varint(&mut body, items.len() as u64);
                for item in items {
                    item.write_at(&mut body, depth.saturating_add(1))?;
                }
                write::list(out, &body);
            }
            Self::Map(entries) => {
                let mut body = Vec::new();
                put_varint(&mut body, entries.len() as u64);
                for (name, value) in entries {
                    put_bytes(&mut body, name.as_bytes());
                    value.write_at(&mut body, depth.saturating_add(1))?;
                }
                write::map(out, &body);
            }
        }
        Ok(())
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Float(_) => 2,
            Self::Time(_) => 3,
            Self::Str(_) => 4,
            Self::Bytes(_) => 5,
            Self::List(_) => 6,
            Self::Map(_) => 7,
        }
    }

    /// The order over all values: None < bool < number < datetime < text < bytes < list < dict.
    /// Integers and floats compare as numbers, exactly; NaN comes after every other number.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => compare_floats(*a, *b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(*a, *b),
            (Self::Float(a), Self::Int(b)) => compare_int_float(*b, *a).reverse(),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => compare_sequences(a.iter(), b.iter(), Self::compare),
            (Self::Map(a), Self::Map(b)) => {
                compare_sequences(a.iter(), b.iter(), |(an, av), (bn, bv)| {
                    an.cmp(bn).then_with(|| av.compare(bv))
                })
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// Whether both are of kinds that have an order between their values (numbers with numbers,
    /// times with times…): `GreaterThan` and its like hold only then.
    pub fn comparable(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }

    /// Equality of values: 1 equals 1.0, NaN equals nothing.
    pub fn equals(&self, other: &Self) -> bool {
        let nan = |value: &Self| matches!(value, Self::Float(x) if x.is_nan());
        match (self, other) {
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Self::Map(a), Self::Map(b)) => a.len() == b.len() && equal_entries(a, b),
            _ => !nan(self) && !nan(other) && self.compare(other) == Ordering::Equal,
        }
    }
}

/// Whether two dicts of one length hold the same, in whatever order.
fn equal_entries(a: &[(String, Value)], b: &[(String, Value)]) -> bool {
    if a.iter().zip(b).all(|((a, _), (b, _))| a == b) {
        return a.iter().zip(b).all(|((_, a), (_, b))| a.equals(b));
    }
    let b: HashMap<&str, &Value> = b.iter().map(|(name, value)| (name.as_str(), value)).collect();
    a.iter().all(|(name, value)| b.get(name.as_str()).is_some_and(|found| value.equals(found)))
}

fn compare_sequences<T>(
    mut a: impl Iterator<Item = T>,
    mut b: impl Iterator<Item = T>,
    compare: impl Fn(T, T) -> Ordering,
) -> Ordering {
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match compare(x, y) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Exact: no integer is rounded to a float.
fn compare_int_float(a: i64, b: f64) -> Ordering {
    if b.is_nan() || b >= 9_223_372_036_854_775_808.0 {
        return Ordering::Less;
    }
    if b < -9_223_372_036_854_775_808.0 {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    a.cmp(&(whole as i64)).then_with(|| 0.0f64.partial_cmp(&(b - whole)).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As `any::<String>()`, but for the tables of characters, over which Miri takes minutes.
    fn any_text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..32).prop_map(String::from_iter)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            prop::num::f64::ANY.prop_map(Value::Float), // NaN and infinities, too
            (-2i64..=2).prop_map(Value::Int),
            (-4i8..=4).prop_map(|half| Value::Float(f64::from(half) / 2.0)),
            any::<i64>().prop_map(Value::Time),
            any_text().prop_map(Value::Str),
            prop::collection::vec(any::<u8>(), 0..32).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec((any_text(), inner), 0..6).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_round_trip(value in any_value()) {
            let mut out = Vec::new();
            value.write(&mut out).unwrap();
            let mut cursor = Cursor::new(&out);
            let read = ValueRef::read(&mut cursor).unwrap().to_value().unwrap();
            // As texts, for NaN equals nothing and an integer compares equal to a float.
            prop_assert_eq!(format!("{read:?}"), format!("{value:?}"));
            prop_assert!(cursor.rest().is_empty());
        }

        #[test]
        fn damaged_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(value) = ValueRef::read(&mut Cursor::new(&bytes)) {
                let _outcome = value.to_value();
            }
        }

        #[test]
        fn the_order_is_total(a in any_value(), b in any_value(), c in any_value()) {
            prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
            if a.compare(&b) != Ordering::Greater && b.compare(&c) != Ordering::Greater {
                prop_assert_ne!(a.compare(&c), Ordering::Greater);
            }
        }
    }

    #[test]
    fn integers_and_floats_compare_exactly() {
        let big = 9_007_199_254_740_993i64; // 2^53 + 1 has no float
        assert_eq!(Value::Int(big).compare(&Value::Float(big as f64)), Ordering::Greater);
        assert!(Value::Int(1).equals(&Value::Float(1.0)));
        assert_eq!(Value::Int(i64::MAX).compare(&Value::Float(f64::INFINITY)), Ordering::Less);
        assert!(!Value::Float(f64::NAN).equals(&Value::Float(f64::NAN)));
        assert_eq!(Value::Int(-1).compare(&Value::Float(-0.5)), Ordering::Less);
    }

    #[test]
    fn lists_and_dicts_fill_their_bytes() {
        let read = |bytes: &[u8]| ValueRef::read(&mut Cursor::new(bytes))?.to_value();
        let (none, list, map) = (tag::NULL, tag::LIST, tag::MAP);
        assert_eq!(read(&[list, 2, 1, none]), Ok(Value::List(vec![Value::Null])));
        assert_eq!(read(&[map, 3, 1, 0, none]), Ok(Value::Map(vec![(String::new(), Value::Null)])));
        for bytes in [&[list, 3, 1, none, none][..], &[list, 2, 0, none], &[map, 4, 1, 0, none, 0]]
        {
            assert_eq!(read(bytes), Err(Damaged("has bytes behind its last item")), "{bytes:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let mut value = Value::Null;
        for _ in 0..MAX_DEPTH {
            value = Value::List(vec![value]);
        }
        assert!(value.write(&mut Vec::new()).is_ok());
        let error = Value::List(vec![value]).write(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("64 levels"), "{error}");
    }
}
