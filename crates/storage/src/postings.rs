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
    /// Entities by folded name: what makes two mentions one entity.
    pub const ENTITY_KEY: Self = Self(32);
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
            Some((&ARRAY, data)) if data.len().is_multiple_of(2) => {
                Ok(Self { base, bitmap: false, data })
            }
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
        let Self { base, bitmap, data } = *self;
        let (pairs, _) = data.as_chunks::<2>();
        let pairs = if bitmap { &[] } else { pairs };
        let bytes = if bitmap { data } else { &[] };
        let array = pairs.iter().map(move |pair| base + u32::from(u16::from_le_bytes(*pair)));
        let bits = bytes.iter().enumerate().flat_map(move |(at, byte)| {
            (0..8)
                .filter(move |bit| byte >> bit & 1 == 1)
                .map(move |bit| base + at as u32 * 8 + bit)
        });
        array.chain(bits)
    }
}

/// A container of these offsets, which ascend.
pub(crate) fn encode(offsets: &[u16]) -> Vec<u8> {
    if offsets.len() <= ARRAY_MAX {
        let mut out = Vec::with_capacity(1 + offsets.len() * 2 + 4);
        out.push(ARRAY);
        offsets.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
        return out;
    }
    let mut out = vec![0; 1 + BITMAP_BYTES];
    out[0] = BITMAP;
    for offset in offsets {
        out[1 + usize::from(offset / 8)] |= 1 << (offset % 8);
    }
    out
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
        if !present {
            return Updated::Unchanged;
        }
        let mut out = vec![ARRAY];
        out.extend_from_slice(&offset.to_le_bytes());
        return Updated::Container(out);
    };
    if container.bitmap {
        let (byte, bit) = (usize::from(offset / 8), 1u8 << (offset % 8));
        if (container.data[byte] & bit != 0) == present {
            return Updated::Unchanged;
        }
        let mut out = Vec::with_capacity(1 + BITMAP_BYTES + 4);
        out.push(BITMAP);
        out.extend_from_slice(container.data);
        out[1 + byte] ^= bit;
        // Half the limit, so that a set at the limit does not change its form at every step.
        if !present && container.len() - 1 <= ARRAY_MAX / 2 {
            let key = (container.base / CONTAINER_SLOTS).to_be_bytes();
            let smaller = Container { base: container.base, bitmap: true, data: &out[1..] };
            debug_assert_eq!(u32::from_be_bytes(key) * CONTAINER_SLOTS, smaller.base);
            let mut array = vec![ARRAY];
            for slot in smaller.slots() {
                array.extend_from_slice(&((slot % CONTAINER_SLOTS) as u16).to_le_bytes());
            }
            return Updated::Container(array);
        }
        return Updated::Container(out);
    }
    let (pairs, _) = container.data.as_chunks::<2>();
    let place = pairs.binary_search_by_key(&offset, |pair| u16::from_le_bytes(*pair));
    match (place, present) {
        (Ok(_), true) | (Err(_), false) => Updated::Unchanged,
        (Ok(_), false) if pairs.len() == 1 => Updated::Empty,
        (Ok(at), false) => {
            let mut out = Vec::with_capacity(container.data.len() + 3);
            out.push(ARRAY);
            out.extend_from_slice(&container.data[..at * 2]);
            out.extend_from_slice(&container.data[at * 2 + 2..]);
            Updated::Container(out)
        }
        (Err(at), true) if pairs.len() < ARRAY_MAX => {
            let mut out = Vec::with_capacity(container.data.len() + 7);
            out.push(ARRAY);
            out.extend_from_slice(&container.data[..at * 2]);
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&container.data[at * 2..]);
            Updated::Container(out)
        }
        (Err(_), true) => {
            let all = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).chain([offset]);
            Updated::Container(encode(&all.collect::<Vec<_>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::indexes::text_value;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn containers_are_sets(ops in prop::collection::vec((0u32..CONTAINER_SLOTS, prop::bool::weighted(0.7)), 0..3000)) {
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
