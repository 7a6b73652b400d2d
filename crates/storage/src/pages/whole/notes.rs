//! What each page of a file tells by itself: of which kind it is, and whether it is what its sum says.

use std::collections::HashMap;

use embedded_db_common::Result;
use roaring::RoaringTreemap;

use super::super::layout::{PageKind, kind_of, run_length};
use super::super::sums::StoredSums;
use super::UnmappedFile;
use super::state::names;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// What was found by going through a file once.
#[derive(Default)]
pub(super) struct Notes {
    /// Pages that look like leaves.
    pub(super) leaves: RoaringTreemap,
    /// Pages that name all tables, as only the root of a state does.
    pub(super) roots: Vec<u64>,
    /// Pages that are what their sums say, and those that are not. Others have no sum.
    pub(super) right: RoaringTreemap,
    pub(super) wrong: RoaringTreemap,
    /// Pages that the disk does not give.
    pub(super) unread: RoaringTreemap,
    /// Where pages lie that were written to the place of another one.
    pub(super) moved: HashMap<u64, u64>,
}

impl Notes {
    /// Goes through a file; `step` is told how many pages were read.
    pub(super) fn take(
        file: &UnmappedFile,
        sums: Option<&StoredSums>,
        step: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Self> {
        let mut notes = Self::default();
        let at_once = (CHUNK / file.page_size).max(1) as u64;
        let (mut number, mut run_end) = (2, 0);
        while number < file.pages() {
            let count = at_once.min(file.pages() - number);
            match file.read(number, count)? {
                Some(bytes) => {
                    for (page, bytes) in (number..).zip(bytes.chunks_exact(file.page_size)) {
                        notes.note(page, bytes, sums, &mut run_end);
                    }
                }
                // One of them cannot be read, and the others can.
                None => {
                    for page in number..number + count {
                        match file.read(page, 1)? {
                            Some(bytes) => notes.note(page, &bytes, sums, &mut run_end),
                            None => _ = notes.unread.insert(page),
                        }
                    }
                }
            }
            number += count;
            step(count)?;
        }
        let (right, leaves) = (&notes.right, &mut notes.leaves);
        notes.moved.retain(|page, _| *page < file.pages() && !right.contains(*page));
        for (page, place) in &notes.moved {
            if leaves.remove(*place) {
                leaves.insert(*page);
            }
        }
        for page in notes.moved.keys() {
            notes.right.insert(*page);
            notes.wrong.remove(*page);
        }
        Ok(notes)
    }

    fn note(&mut self, place: u64, bytes: &[u8], sums: Option<&StoredSums>, run_end: &mut u64) {
        let holds = sums.and_then(|sums| sums.holds(place, bytes));
        match holds {
            Some(true) => _ = self.right.insert(place),
            Some(false) => _ = self.wrong.insert(place),
            None => {}
        }
        // What lies inside a value is no page of its own, whatever it looks like.
        if place < *run_end {
            return;
        }
        let Some((number, kind)) = kind_of(bytes) else { return };
        if number != place {
            let is_its = sums.is_some_and(|sums| sums.holds(number, bytes) == Some(true));
            if number < 2 || !is_its || holds == Some(true) {
                return;
            }
            self.moved.insert(number, place);
        }
        match kind {
            PageKind::Leaf => {
                self.leaves.insert(place);
                if number == place && names(bytes, number).is_some() {
                    self.roots.push(number);
                }
            }
            PageKind::Run if holds == Some(true) => {
                let length = run_length(bytes, number).unwrap_or(1);
                *run_end = place.saturating_add(length);
            }
            PageKind::Branch | PageKind::Run => {}
        }
    }

    /// Whether the sums are those of this file: of damaged sums nearly none is right.
    pub(super) fn sums_are_believed(&self) -> bool {
        self.right.len().saturating_mul(10) > self.wrong.len()
    }
}
