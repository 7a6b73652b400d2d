//! How a stored value is protected and read.
//!
//! Every value in every table ends with a CRC-32C over the table, the key and the value, so that a
//! record which was damaged, or read under the wrong key, is never taken for the right one.

use crate::{Error, Symbol, value::ValueRef};

/// What is wrong with a record, as the end of a sentence that begins with where it was: the storage
/// layer knows that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged(pub &'static str);

/// The outcome of reading stored bytes.
pub type Read<T> = std::result::Result<T, Damaged>;

const SUM: usize = 4;

fn checksum(table: u8, key: &[u8], payload: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if payload.len() <= SHORT && std::arch::is_x86_feature_detected!("sse4.2") {
        let register = !u32::from(table);
        // SAFETY: the processor has the instructions.
        #[allow(unsafe_code)]
        return unsafe { !advanced(advanced(register, key), payload) };
    }
    crc32c::crc32c_append(crc32c::crc32c_append(u32::from(table), key), payload)
}

/// Up to so many bytes one CRC instruction after the other is quicker than the crate, which aligns what it is given
/// and goes on in three places at once.
#[cfg(target_arch = "x86_64")]
const SHORT: usize = 256;

/// The register of a CRC-32C behind some bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn advanced(mut register: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

    let (words, mut rest) = bytes.as_chunks::<8>();
    for word in words {
        register = _mm_crc32_u64(u64::from(register), u64::from_le_bytes(*word)) as u32;
    }
    if let Some((half, after)) = rest.split_first_chunk::<4>() {
        register = _mm_crc32_u32(register, u32::from_le_bytes(*half));
        rest = after;
    }
    for byte in rest {
        register = _mm_crc32_u8(register, *byte);
    }
    register
}

/// Appends the checksum of what `payload` holds.
pub fn seal(table: u8, key: &[u8], payload: &mut Vec<u8>) {
    let sum = checksum(table, key, payload);
    payload.extend_from_slice(&sum.to_le_bytes());
}

/// The payload of a sealed value.
pub fn open<'a>(table: u8, key: &[u8], sealed: &'a [u8]) -> Read<&'a [u8]> {
    let (payload, sum) = sealed.split_last_chunk::<SUM>().ok_or(Damaged("is too short"))?;
    if checksum(table, key, payload) == u32::from_le_bytes(*sum) {
        Ok(payload)
    } else {
        Err(Damaged("has a checksum mismatch"))
    }
}

/// Writes an unsigned integer, seven bits a byte, low bits first.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A cursor over stored bytes; every read checks that they are there.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Damaged("ends early"))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Damaged("ends early"))?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Read<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A little-endian `u16`.
    pub fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A little-endian `u32`.
    pub fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A little-endian `u64`.
    pub fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A little-endian `i64`.
    pub fn i64(&mut self) -> Read<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A little-endian `f64`.
    pub fn f64(&mut self) -> Read<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// An unsigned integer as `put_varint` wrote it.
    pub fn varint(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Damaged("has too long an integer"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                // What says nothing was never written: a number has one form.
                let is_short = byte != 0 || shift == 0;
                return if is_short { Ok(value) } else { Err(Damaged("has too long an integer")) };
            }
        }
        Err(Damaged("has too long an integer"))
    }

    /// A varint that is a length or a count.
    pub fn count(&mut self) -> Read<usize> {
        usize::try_from(self.varint()?).map_err(|_| Damaged("has too large a length"))
    }

    /// Bytes as `put_bytes` wrote them.
    pub fn bytes(&mut self) -> Read<&'a [u8]> {
        let n = self.count()?;
        self.take(n)
    }

    /// A text as `put_bytes` wrote it.
    pub fn str(&mut self) -> Read<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damaged("is not UTF-8"))
    }

    /// How many things follow, each of at least one byte: a damaged number cannot ask for memory.
    pub fn bounded_count(&mut self) -> Read<usize> {
        let count = self.count()?;
        if count > self.rest.len() { Err(Damaged("has too large a count")) } else { Ok(count) }
    }

    /// The bytes that `read` goes over.
    fn raw<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<&'a [u8]> {
        let before = self.rest;
        read(self)?;
        let length = before.len().saturating_sub(self.rest.len());
        before.get(..length).ok_or(Damaged("ends early"))
    }

    /// An interned name.
    pub fn symbol(&mut self) -> Read<Symbol> {
        u32::try_from(self.varint()?).map(Symbol).map_err(|_| Damaged("has too large a symbol"))
    }
}

/// A set of properties: a count, then symbol and value of each, in the order they were given.
#[derive(Debug, Clone, Copy)]
pub struct Properties<'a> {
    bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// Over encoded bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The value of one property.
    pub fn get(&self, symbol: Symbol) -> Read<Option<ValueRef<'a>>> {
        for entry in self.iter()? {
            let (found, value) = entry?;
            if found == symbol {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// All properties with the stored form of their values.
    pub fn iter_raw(&self) -> Read<impl Iterator<Item = Read<(Symbol, &'a [u8])>> + use<'a>> {
        self.items(|cursor| Ok((cursor.symbol()?, cursor.raw(ValueRef::read)?)))
    }

    /// All properties.
    pub fn iter(&self) -> Read<impl Iterator<Item = Read<(Symbol, ValueRef<'a>)>> + use<'a>> {
        self.items(|cursor| Ok((cursor.symbol()?, ValueRef::read(cursor)?)))
    }

    fn items<T, F: FnMut(&mut Cursor<'a>) -> Read<T>>(&self, read: F) -> Read<Items<'a, F>> {
        // No bytes at all are no properties, too.
        Items::new(if self.bytes.is_empty() { &[0] } else { self.bytes }, read)
    }
}

/// So many items as a count says, which fill the rest of the bytes.
pub(crate) struct Items<'a, F> {
    cursor: Cursor<'a>,
    left: usize,
    read: F,
}

impl<'a, F> Items<'a, F> {
    /// In bytes that begin with the count.
    pub(crate) fn new<T>(bytes: &'a [u8], read: F) -> Read<Self>
    where
        F: FnMut(&mut Cursor<'a>) -> Read<T>,
    {
        let mut cursor = Cursor::new(bytes);
        let left = cursor.bounded_count()?;
        if left == 0 && !cursor.rest.is_empty() {
            return Err(BEHIND);
        }
        Ok(Self { cursor, left, read })
    }
}

const BEHIND: Damaged = Damaged("has bytes behind its last item");

impl<'a, T, F: FnMut(&mut Cursor<'a>) -> Read<T>> Iterator for Items<'a, F> {
    type Item = Read<T>;

    fn next(&mut self) -> Option<Read<T>> {
        self.left = self.left.checked_sub(1)?;
        let read = (self.read)(&mut self.cursor);
        if self.left == 0 && read.is_ok() && !self.cursor.rest.is_empty() {
            return Some(Err(BEHIND));
        }
        Some(read)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T, F: FnMut(&mut Cursor<'a>) -> Read<T>> ExactSizeIterator for Items<'a, F> {}

impl From<Damaged> for Error {
    /// For a record whose checksum was right when it was read: a defect wrote it, or somebody who wanted
    /// to. What storage itself finds has its place.
    fn from(damaged: Damaged) -> Self {
        Self::Corruption {
            path: "the open database".into(),
            object: "a record that was read".into(),
            detail: damaged.0.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_is_only_right_under_its_own_table_and_key() {
        let mut sealed = b"value".to_vec();
        seal(3, b"key", &mut sealed);
        assert_eq!(open(3, b"key", &sealed), Ok(&b"value"[..]));
        assert!(open(4, b"key", &sealed).is_err());
        assert!(open(3, b"kez", &sealed).is_err());
        assert!(open(3, b"key", &sealed[1..]).is_err());
        assert!(open(3, b"key", &[]).is_err());
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_seen(payload: Vec<u8>, key: Vec<u8>, at: prop::sample::Index) {
            let mut sealed = payload;
            seal(1, &key, &mut sealed);
            let bit = at.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(1, &key, &sealed).is_err());
        }

        #[test]
        fn sums_of_any_length_are_what_the_format_says(
            table: u8,
            key in prop::collection::vec(any::<u8>(), 0..40),
            payload in prop::collection::vec(any::<u8>(), 0..600),
            begin in 0_usize..9,
        ) {
            let payload = payload.get(begin..).unwrap_or(&[]); // wherever it lies
            let whole = crc32c::crc32c_append(crc32c::crc32c_append(u32::from(table), &key), payload);
            prop_assert_eq!(checksum(table, &key, payload), whole);
        }

        #[test]
        fn varints_round_trip(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(Cursor::new(&out).varint(), Ok(value));
        }

        #[test]
        fn a_number_has_one_form(bytes in prop::collection::vec(prop_oneof![Just(0x80), any::<u8>()], 1..12)) {
            let mut cursor = Cursor::new(&bytes);
            if let Ok(value) = cursor.varint() {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                prop_assert_eq!(&out, &bytes[..bytes.len() - cursor.rest().len()]);
            }
        }
    }

    #[test]
    fn properties_fill_their_bytes() {
        // One property of symbol 5, None.
        let sound = [1, 5, 0];
        let all = |bytes: &[u8]| {
            Properties::new(bytes).iter()?.collect::<Read<Vec<_>>>().map(|it| it.len())
        };
        assert_eq!(all(&sound), Ok(1));
        assert_eq!(all(&[]), Ok(0));
        assert_eq!(all(&[0]), Ok(0));
        assert!(all(&[0, 0]).is_err() && all(&[1, 5, 0, 0]).is_err(), "something is behind them");
        assert!(all(&[2, 5, 0]).is_err() && all(&[0xff, 0x7f, 5, 0]).is_err(), "some are missing");
        let [(symbol, raw)] =
            Properties::new(&sound).iter_raw().unwrap().collect::<Read<Vec<_>>>().unwrap()[..]
        else {
            panic!("it has one")
        };
        assert_eq!((symbol, raw), (Symbol(5), &sound[2..]));
    }
}
