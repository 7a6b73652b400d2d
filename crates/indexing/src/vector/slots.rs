//! From a slot to the first of its rows, in pages of neighbouring slots.

use embedded_db_common::Slot;

use super::block::RowId;
use crate::hashing::FastMap;

const PAGE_SLOTS: usize = 256;

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
