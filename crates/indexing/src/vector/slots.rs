//! From a slot to the first of its rows, in pages of neighbouring slots.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use embedded_db_common::Slot;

use super::block::RowId;

const PAGE_SLOTS: usize = 256;

/// Hash tables keyed by slots, pages of slots or fingerprints: ours, not an attacker's.
pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<MixHasher>>;

struct Page {
    heads: [RowId; PAGE_SLOTS],
    used: usize,
}

/// The head of every slot's chain of rows.
#[derive(Default)]
pub(super) struct SlotHeads {
    pages: FastMap<u32, Box<Page>>,
}

impl SlotHeads {
    /// The first row of the slot, or `RowId::NONE`.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> RowId {
        let (page, place) = locate(slot);
        self.pages.get(&page).map_or(RowId::NONE, |page| page.heads[place])
    }

    pub(super) fn set(&mut self, slot: Slot, head: RowId) {
        let (number, place) = locate(slot);
        let page = self
            .pages
            .entry(number)
            .or_insert_with(|| Box::new(Page { heads: [RowId::NONE; PAGE_SLOTS], used: 0 }));
        page.used -= usize::from(page.heads[place] != RowId::NONE);
        page.used += usize::from(head != RowId::NONE);
        page.heads[place] = head;
        if page.used == 0 {
            self.pages.remove(&number);
        }
    }

    /// Gives back what emptied pages left.
    pub(super) fn shrink(&mut self) {
        if self.pages.len() * 4 < self.pages.capacity() {
            self.pages.shrink_to_fit();
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.pages.len() * size_of::<Page>()
            + self.pages.capacity() * (size_of::<(u32, Box<Page>)>() + 1)
    }
}

fn locate(slot: Slot) -> (u32, usize) {
    (slot.0 / PAGE_SLOTS as u32, slot.0 as usize % PAGE_SLOTS)
}

/// Spreads small integers over all bits by a multiplication.
#[derive(Default)]
pub(super) struct MixHasher(u64);

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value);
    }
}

/// The high and the low half of a 128-bit product, folded.
#[inline]
pub(super) fn mix(value: u64) -> u64 {
    let product = u128::from(value ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
    (product >> 64) as u64 ^ product as u64
}
