//! Postings: sets of slots, cut into containers of 8,192 slots.
//!
//! A container is a sorted array of 16-bit offsets while that is smaller than a bitmap of 1 KiB, so
//! that adding a slot rewrites at most 1 KiB and the value stays inside an LMDB leaf page.

use embedded_db_common::record::{Damaged, Read};
use embedded_db_common::{NamespaceId, Slot};

use crate::keys::{self, Key};

/// Slots covered by one container.
pub const CONTAINER_SLOTS: u32 = 1 << SHIFT;
const SHIFT: u32 = 13;
const BITMAP_BYTES: usize = CONTAINER_SLOTS as usize / 8;
const ARRAY_MAX: usize = BITMAP_BYTES / 2;
const ARRAY: u8 = 0;
const BITMAP: u8 = 1;

/// An index of postings; numbers below 256 belong to the database itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexId(pub u32);

impl IndexId {
    /// Nodes by label.
    pub const LABEL: Self = Self(1);
    /// Work that waits, by artefact and namespace; lies in the system namespace.
    pub const PENDING: Self = Self(2);
    /// Nodes by their property `chat_id`.
    pub const CHAT_ID: Self = Self(16);
    /// Nodes by their property `sender`.
    pub const SENDER: Self = Self(17);
    /// Nodes by their property `role`.
    pub const ROLE: Self = Self(18);
    /// Nodes by their property `label`: entities by name.
    pub const ENTITY_LABEL: Self = Self(19);
    /// Nodes by their property `timestamp`: the only one of these with a column.
    pub const TIMESTAMP: Self = Self(20);
    /// Entities by the key of their name, and decisions by the keys that they are about.
    pub const ENTITY_KEY: Self = Self(32);
    /// Messages of a chat by the names that they say.
    pub const NAME_SAID: Self = Self(33);
    /// The first that is made on demand.
    pub const ON_DEMAND: Self = Self(256);
}

/// Longest part of a text that takes part in a posting's key; readers check the whole value.
pub const TEXT_PREFIX: usize = 200;

/// All containers of one value.
pub(crate) fn value_key(namespace: NamespaceId, index: IndexId, value: &[u8]) -> Key {
    Key::new(namespace).u32(index.0).bytes(value)
}

/// The container of a slot.
pub(crate) fn container_key(
    namespace: NamespaceId,
    index: IndexId,
    value: &[u8],
    slot: Slot,
) -> Key {
    value_key(namespace, index, value).u32(slot.0 >> SHIFT)
}

/// The value in the key of a container; no index has a longer one.
pub(crate) fn value_in(key: &[u8]) -> Read<&[u8]> {
    // The type, the bytes that are kept, the last of which may be escaped, and one behind them.
    const LONGEST: usize = 1 + TEXT_PREFIX + 2 + 1;
    let value = key.get(8..).and_then(|rest| rest.split_last_chunk::<4>());
    let (value, _) = value.ok_or(Damaged("has a short key"))?;
    if value.len() <= LONGEST { Ok(value) } else { Err(Damaged("has too long a key")) }
}

/// One container as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    base: u32,
    bitmap: bool,
    data: &'a [u8],
}

impl<'a> Container<'a> {
    pub(crate) fn parse(key: &[u8], payload: &'a [u8]) -> Read<Self> {
        let base = keys::last_u32(key)?
            .checked_mul(CONTAINER_SLOTS)
            .ok_or(Damaged("has a container out of range"))?;
        match payload.split_first() {
            Some((&ARRAY, data)) if is_set(data) => Ok(Self { base, bitmap: false, data }),
            Some((&BITMAP, data)) if data.len() == BITMAP_BYTES => {
                Ok(Self { base, bitmap: true, data })
            }
            _ => Err(Damaged("is no container")),
        }
    }

    /// The first slot the container may hold.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// The bitmap, lowest slot in the lowest bit, if it is stored as one.
    pub fn as_bitmap(&self) -> Option<&'a [u8]> {
        self.bitmap.then_some(self.data)
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        if self.bitmap {
            self.data.iter().map(|byte| byte.count_ones() as usize).sum()
        } else {
            self.data.len() / 2
        }
    }

    /// Whether no slot is there; such a container is never stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slots, ascending.
    pub fn slots(&self) -> impl Iterator<Item = u32> + use<'a> {
        let base = self.base;
        // The base has no bit that an offset has.
        self.offsets().map(move |offset| base | u32::from(offset))
    }

    fn offsets(&self) -> impl Iterator<Item = u16> + use<'a> {
        let Self { bitmap, data, .. } = *self;
        let (pairs, _) = data.as_chunks::<2>();
        let pairs = if bitmap { &[] } else { pairs };
        let bytes = if bitmap { data } else { &[] };
        let array = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
        let bits = (0_u16..).step_by(8).zip(bytes).flat_map(|(first, byte)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| first | bit)
        });
        array.chain(bits)
    }
}

/// Whether bytes are offsets that ascend, none beyond a container.
fn is_set(data: &[u8]) -> bool {
    let (pairs, rest) = data.as_chunks::<2>();
    let offsets = pairs.iter().map(|pair| u32::from(u16::from_le_bytes(*pair)));
    let (mut next, mut ascending) = (0, rest.is_empty());
    for offset in offsets {
        ascending &= offset >= next;
        next = offset.saturating_add(1);
    }
    ascending && next <= CONTAINER_SLOTS
}

/// A container of these offsets, which ascend.
pub(crate) fn encode(offsets: &[u16]) -> Vec<u8> {
    if offsets.len() <= ARRAY_MAX {
        return array(offsets.len(), offsets.iter().copied());
    }
    let mut bitmap = [0; BITMAP_BYTES];
    offsets.iter().for_each(|offset| flip(&mut bitmap, *offset));
    bitmap_of(&bitmap)
}

fn array(count: usize, offsets: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut out = array_with_room(count);
    offsets.for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
    out
}

/// An empty one, with room for so many offsets and the checksum.
fn array_with_room(count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count.saturating_mul(2).saturating_add(5));
    out.push(ARRAY);
    out
}

fn bitmap_of(bits: &[u8; BITMAP_BYTES]) -> Vec<u8> {
    // Room for the checksum, too.
    let mut out = Vec::with_capacity(const { 1 + BITMAP_BYTES + 4 });
    out.push(BITMAP);
    out.extend_from_slice(bits);
    out
}

/// Where an offset has its bit, and the bit.
fn bit(offset: u16) -> (usize, u8) {
    (usize::from(offset / 8) % BITMAP_BYTES, 1 << (offset % 8))
}

#[expect(clippy::indexing_slicing, reason = "`bit` stays inside")]
fn flip(bitmap: &mut [u8; BITMAP_BYTES], offset: u16) {
    let (byte, bit) = bit(offset);
    bitmap[byte] ^= bit;
}

/// What `update` did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Updated {
    Unchanged,
    Container(Vec<u8>),
    Empty,
}

/// The container with `slot` added or removed.
pub(crate) fn update(container: Option<Container<'_>>, slot: Slot, present: bool) -> Updated {
    let offset = (slot.0 % CONTAINER_SLOTS) as u16;
    let Some(container) = container else {
        return if present {
            Updated::Container(array(1, [offset].into_iter()))
        } else {
            Updated::Unchanged
        };
    };
    match <&[u8; BITMAP_BYTES]>::try_from(container.data) {
        Ok(bits) if container.bitmap => update_bitmap(container, bits, offset, present),
        _ => update_array(container, offset, present),
    }
}

fn update_bitmap(
    container: Container<'_>,
    bits: &[u8; BITMAP_BYTES],
    offset: u16,
    present: bool,
) -> Updated {
    let (byte, bit) = bit(offset);
    if bits.get(byte).is_some_and(|byte| byte & bit != 0) == present {
        return Updated::Unchanged;
    }
    let mut bits = *bits;
    flip(&mut bits, offset);
    if present {
        return Updated::Container(bitmap_of(&bits));
    }
    let left = Container { data: &bits, ..container };
    match left.len() {
        0 => Updated::Empty,
        // Half the limit, so that a set at the limit does not change its form at every step.
        count if count <= ARRAY_MAX / 2 => Updated::Container(array(count, left.offsets())),
        _ => Updated::Container(bitmap_of(&bits)),
    }
}

fn update_array(container: Container<'_>, offset: u16, present: bool) -> Updated {
    let (pairs, _) = container.data.as_chunks::<2>();
    let place = pairs.binary_search_by_key(&offset, |pair| u16::from_le_bytes(*pair));
    if place.is_ok() == present {
        return Updated::Unchanged;
    }
    let (Ok(at) | Err(at)) = place;
    let (before, after) = pairs.split_at_checked(at).unwrap_or((pairs, &[]));
    if !present {
        let after = after.split_first().map_or(&[][..], |(_, after)| after);
        if before.is_empty() && after.is_empty() {
            return Updated::Empty;
        }
        return Updated::Container(array_of([before, &[], after]));
    }
    if pairs.len() < ARRAY_MAX {
        return Updated::Container(array_of([before, &[offset.to_le_bytes()], after]));
    }
    let all = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).chain([offset]);
    Updated::Container(encode(&all.collect::<Vec<_>>()))
}

fn array_of(parts: [&[[u8; 2]]; 3]) -> Vec<u8> {
    let mut out = array_with_room(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| out.extend_from_slice(part.as_flattened()));
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::indexes::text_value;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_set_of_a_container_is_refused() {
        let key = 7u32.to_be_bytes();
        let parse =
            |bytes: &[u8]| Container::parse(&key, bytes).map(|it| it.slots().collect::<Vec<_>>());
        let base = 7 * CONTAINER_SLOTS;
        assert_eq!(parse(&[ARRAY, 1, 0, 0xff, 0x1f]), Ok(vec![base + 1, base + 8191]));
        for wrong in
            [&[ARRAY, 1][..], &[ARRAY, 1, 0, 1, 0], &[ARRAY, 2, 0, 1, 0], &[ARRAY, 0, 0x20]]
        {
            assert_eq!(parse(wrong), Err(Damaged("is no container")), "{wrong:?}");
        }
        assert!(Container::parse(&u32::MAX.to_be_bytes(), &[ARRAY]).is_err());
    }

    /// Any version may write a bitmap of few slots.
    #[test]
    fn the_last_slot_of_a_bitmap_leaves_no_container() {
        let mut bitmap = vec![0; 1 + BITMAP_BYTES];
        bitmap[..2].copy_from_slice(&[BITMAP, 1]);
        let container = Container::parse(&[0; 4], &bitmap).unwrap();
        assert_eq!(update(Some(container), Slot(0), false), Updated::Empty);
        assert_eq!(update(Some(container), Slot(1), false), Updated::Unchanged);
    }

    #[test]
    fn no_text_is_a_prefix_of_another() {
        let texts = ["", "a", "ab", "a\0", "a\0b", "\0"];
        for a in texts {
            for b in texts {
                let (x, y) = (text_value(a), text_value(b));
                assert_eq!(a == b, y.starts_with(&x) && x.len() <= y.len() && x == y);
                // What follows a value is a container number, whose first byte is 0.
                let mut longer = x.clone();
                longer.push(0);
                assert!(a == b || !y.starts_with(&longer), "{a:?} {b:?}");
            }
        }
        assert!(text_value(&"x".repeat(1000)).len() <= TEXT_PREFIX + 3);
    }

    /// An interpreter has no time for many.
    const MOST: usize = if cfg!(miri) { 60 } else { 3000 };

    proptest! {
        #[test]
        fn containers_are_sets(ops in prop::collection::vec((0u32..CONTAINER_SLOTS, prop::bool::weighted(0.7)), 0..MOST)) {
            let key = 3u32.to_be_bytes();
            let base = 3 * CONTAINER_SLOTS;
            let mut model = BTreeSet::new();
            let mut stored: Option<Vec<u8>> = None;
            for (offset, present) in ops {
                let slot = Slot(base + offset);
                let changed = if present { model.insert(slot.0) } else { model.remove(&slot.0) };
                let container = stored.as_deref().map(|bytes| Container::parse(&key, bytes).unwrap());
                match update(container, slot, present) {
                    Updated::Unchanged => prop_assert!(!changed),
                    Updated::Container(bytes) => { prop_assert!(changed); stored = Some(bytes); }
                    Updated::Empty => { prop_assert!(changed); stored = None; }
                }
            }
            let found: Vec<u32> = stored.as_deref().map_or(Vec::new(), |bytes| {
                prop_assert_eq_len(bytes);
                Container::parse(&key, bytes).unwrap().slots().collect()
            });
            prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
        }
    }

    fn prop_assert_eq_len(bytes: &[u8]) {
        assert!(bytes.len() <= 1 + BITMAP_BYTES);
    }
}
