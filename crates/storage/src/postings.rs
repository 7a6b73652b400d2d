//! Postings: sets of slots, cut into containers of 8,192 slots.

use embedded_db_common::record::{Damaged, Read};
use embedded_db_common::{NamespaceId, Slot};

pub use self::container::{CONTAINER_SLOTS, Container};
pub(crate) use self::container::{Updated, encode, update};
use crate::keys::Key;

mod container;

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
    value_key(namespace, index, value).u32(slot.0 / CONTAINER_SLOTS)
}

/// The value in the key of a container; no index has a longer one.
pub(crate) fn value_in(key: &[u8]) -> Read<&[u8]> {
    // The type, the bytes that are kept, the last of which may be escaped, and one behind them.
    const LONGEST: usize = 1 + TEXT_PREFIX + 2 + 1;
    let value = key.get(8..).and_then(|rest| rest.split_last_chunk::<4>());
    let (value, _) = value.ok_or(Damaged("has a short key"))?;
    if value.len() <= LONGEST { Ok(value) } else { Err(Damaged("has too long a key")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indexes::text_value;

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
}
