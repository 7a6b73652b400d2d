//! Lists of postings, packed: blocks of 128 of which bits alone are stored, and the rest one by one.
//!
//! A list of *n* documents is: for each of its `n / 128` full blocks a header (last document u32, where its
//! bytes begin u32, bits of a document u8, bits of a count u8); the bytes of the blocks, first documents as
//! differences, then counts less one; the rest as varints, the difference twice, plus one where a varint with
//! the count less two follows.

use std::ops::Range;

use bitpacking::{BitPacker, BitPacker4x};
use embedded_db_common::record::{Cursor as Bytes, put_varint};
use embedded_db_storage::Segment;

use crate::text::postings::Ordinal;

/// Postings of a full block.
pub(super) const BLOCK: usize = BitPacker4x::BLOCK_LEN;
const HEADER: usize = 10;

/// Packs lists, one after the other.
pub(super) struct Packer {
    packer: BitPacker4x,
    blocks: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { packer: BitPacker4x::new(), blocks: Vec::new() }
    }

    /// Appends a list, ascending by document; every count is above zero.
    pub(super) fn pack(&mut self, list: &[(Ordinal, u32)], out: &mut Vec<u8>) {
        let (mut before, mut full) = (0, list.chunks_exact(BLOCK));
        let mut packed = [0; 4 * BLOCK];
        self.blocks.clear();
        for block in &mut full {
            let documents: [u32; BLOCK] = std::array::from_fn(|at| block[at].0);
            let counts: [u32; BLOCK] = std::array::from_fn(|at| block[at].1 - 1);
            let last = documents[BLOCK - 1];
            let bits = self.packer.num_bits_sorted(before, &documents);
            let count_bits = self.packer.num_bits(&counts);
            out.extend_from_slice(&last.to_le_bytes());
            out.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
            out.extend_from_slice(&[bits, count_bits]);
            let length = self.packer.compress_sorted(before, &documents, &mut packed, bits);
            self.blocks.extend_from_slice(&packed[..length]);
            let length = self.packer.compress(&counts, &mut packed, count_bits);
            self.blocks.extend_from_slice(&packed[..length]);
            before = last;
        }
        out.extend_from_slice(&self.blocks);
        for &(document, count) in full.remainder() {
            put_varint(out, u64::from(document - before) << 1 | u64::from(count > 1));
            if count > 1 {
                put_varint(out, u64::from(count - 2));
            }
            before = document;
        }
    }
}

/// A packed list.
#[derive(Clone, Copy)]
pub(in crate::text) struct List<'a> {
    headers: &'a [u8],
    /// Full blocks, then the rest.
    data: &'a [u8],
    rest: usize,
    /// No document is as large.
    end: Ordinal,
    /// Is told when the bytes make no sense.
    file: Option<&'a Segment>,
}

impl<'a> List<'a> {
    /// No documents.
    pub(super) const NONE: Self = Self { headers: &[], data: &[], rest: 0, end: 0, file: None };

    /// Of so many documents, all of them before `end`; `None` when the bytes are too few.
    pub(super) fn new(bytes: &'a [u8], documents: usize, end: Ordinal) -> Option<Self> {
        let (full, rest) = (documents / BLOCK, documents % BLOCK);
        let (headers, data) = bytes.split_at_checked(full.checked_mul(HEADER)?)?;
        Some(Self { headers, data, rest, end, file: None })
    }

    /// The same, of a file.
    pub(super) fn of(
        file: &'a Segment,
        range: Range<usize>,
        documents: usize,
        end: Ordinal,
    ) -> Option<Self> {
        Some(Self { file: Some(file), ..Self::new(file.bytes(range), documents, end)? })
    }

    pub(in crate::text) fn cursor(self) -> Cursor<'a> {
        let (documents, counts) = ([0; BLOCK], [0; BLOCK]);
        let (packer, damaged) = (BitPacker4x::new(), false);
        let mut cursor =
            Cursor { list: self, packer, block: 0, documents, counts, filled: 0, at: 0, damaged };
        cursor.load(0);
        cursor
    }

    fn blocks(&self) -> usize {
        self.headers.len() / HEADER
    }

    fn header(&self, block: usize) -> Option<Header> {
        let mut bytes = Bytes::new(self.headers.get(block * HEADER..)?);
        let (last, begin) = (bytes.u32().ok()?, bytes.u32().ok()? as usize);
        let (bits, count_bits) = (bytes.u8().ok()?, bytes.u8().ok()?);
        (bits <= 32 && count_bits <= 32).then_some(Header { last, begin, bits, count_bits })
    }

    /// The last document of a full block; no document where there is none.
    fn last(&self, block: usize) -> Option<Ordinal> {
        let place = self.headers.get(block * HEADER..)?.first_chunk()?;
        Some(u32::from_le_bytes(*place))
    }
}

struct Header {
    last: Ordinal,
    begin: usize,
    bits: u8,
    count_bits: u8,
}

/// A place in a packed list.
pub(in crate::text) struct Cursor<'a> {
    list: List<'a>,
    packer: BitPacker4x,
    /// The block that is loaded; behind the full ones, the rest.
    block: usize,
    documents: [u32; BLOCK],
    counts: [u32; BLOCK],
    filled: usize,
    at: usize,
    damaged: bool,
}

impl Cursor<'_> {
    /// Whether bytes were met that no list has: it ends there.
    #[cfg(test)]
    fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The posting it stands at.
    #[inline]
    pub(in crate::text) fn posting(&self) -> Option<(Ordinal, u32)> {
        (self.at < self.filled).then(|| (self.documents[self.at], self.counts[self.at]))
    }

    /// Goes on to the next one.
    #[inline]
    pub(in crate::text) fn advance(&mut self) {
        self.at += 1;
        if self.at >= self.filled {
            self.load(self.block + 1);
        }
    }

    /// Calls `each` for the postings of documents before `end`, and stands behind them; how many there were.
    #[inline]
    pub(in crate::text) fn walk(&mut self, end: u64, mut each: impl FnMut(Ordinal, u32)) -> usize {
        let mut walked = 0;
        while self.at < self.filled {
            let from = self.at;
            let last = self.documents[self.filled - 1];
            let to = if u64::from(last) < end {
                self.filled
            } else {
                let ahead = &self.documents[from..self.filled];
                from + ahead.partition_point(|&document| u64::from(document) < end)
            };
            for (&document, &count) in self.documents[from..to].iter().zip(&self.counts[from..to]) {
                each(document, count);
            }
            walked += to - from;
            self.at = to;
            if to < self.filled {
                break;
            }
            self.load(self.block + 1);
        }
        walked
    }

    /// Goes on to the first posting that is not before a document; the count, if it is that document's.
    pub(in crate::text) fn seek(&mut self, document: Ordinal) -> Option<u32> {
        if self.at >= self.filled {
            return None;
        }
        if self.documents[self.filled - 1] < document {
            let mut block = self.block + 1;
            // Growing steps, then halves.
            let (mut step, mut low) = (1, block);
            while self.list.last(block).is_some_and(|last| last < document) {
                low = block + 1;
                block += step;
                step *= 2;
            }
            let high = block.min(self.list.blocks());
            let (mut low, mut high) = (low.min(high), high);
            while low < high {
                let middle = (low + high) / 2;
                if self.list.last(middle).is_some_and(|last| last < document) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            self.load(low);
        }
        let ahead = &self.documents[self.at..self.filled];
        self.at += ahead.partition_point(|&found| found < document);
        if self.at >= self.filled {
            // Only behind the rest.
            return None;
        }
        (self.documents[self.at] == document).then(|| self.counts[self.at])
    }

    fn load(&mut self, block: usize) {
        (self.block, self.at, self.filled) = (block, 0, 0);
        if self.damaged {
            return;
        }
        let loaded = if block < self.list.blocks() {
            self.load_full(block)
        } else if block == self.list.blocks() {
            self.load_rest()
        } else {
            Some(0)
        };
        self.damaged = loaded.is_none();
        self.filled = loaded.unwrap_or(0);
        if self.damaged
            && let Some(file) = self.list.file
        {
            file.damage();
        }
    }

    fn before(&self, block: usize) -> Option<Ordinal> {
        block.checked_sub(1).map_or(Some(0), |before| self.list.last(before))
    }

    fn load_full(&mut self, block: usize) -> Option<usize> {
        let (header, before) = (self.list.header(block)?, self.before(block)?);
        let bytes = self.list.data.get(header.begin..)?;
        let length = |bits: u8| usize::from(bits) * BLOCK / 8;
        let (documents, rest) = bytes.split_at_checked(length(header.bits))?;
        let (counts, _) = rest.split_at_checked(length(header.count_bits))?;
        self.packer.decompress_sorted(before, documents, &mut self.documents, header.bits);
        self.packer.decompress(counts, &mut self.counts, header.count_bits);
        self.counts.iter_mut().for_each(|count| *count = count.wrapping_add(1));
        let follows = block == 0 || self.documents[0] > before;
        let is_right = self.documents[BLOCK - 1] == header.last
            && header.last < self.list.end
            && follows
            && self.documents.is_sorted_by(|a, b| a < b)
            && !self.counts.contains(&0);
        is_right.then_some(BLOCK)
    }

    fn load_rest(&mut self) -> Option<usize> {
        let blocks = self.list.blocks();
        let begin = match blocks.checked_sub(1) {
            None => 0,
            Some(last) => {
                let header = self.list.header(last)?;
                let bits = usize::from(header.bits) + usize::from(header.count_bits);
                header.begin.checked_add(bits * BLOCK / 8)?
            }
        };
        let mut document = self.before(blocks)?;
        let mut bytes = Bytes::new(self.list.data.get(begin..)?);
        for at in 0..self.list.rest {
            let packed = bytes.varint().ok()?;
            let step =
                u32::try_from(packed >> 1).ok().filter(|step| *step > 0 || at + blocks == 0)?;
            document = document.checked_add(step).filter(|found| *found < self.list.end)?;
            let more = match packed & 1 {
                0 => 0,
                _ => bytes.varint().ok()?.checked_add(1)?,
            };
            self.documents[at] = document;
            self.counts[at] = u32::try_from(more).ok()?.checked_add(1)?;
        }
        Some(self.list.rest)
    }
}

impl Iterator for Cursor<'_> {
    type Item = (Ordinal, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.posting()?;
        self.advance();
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn a_list() -> impl Strategy<Value = Vec<(u32, u32)>> {
        let gaps = prop_oneof![Just(1u32), 1..20u32, 1..100_000u32];
        let counts = prop_oneof![Just(1u32), 1..5u32, 1..=u32::MAX];
        prop::collection::vec((gaps, counts), 0..700).prop_map(|items| {
            let mut next = 0;
            let place = |(gap, count): (u32, u32)| {
                next += gap;
                (next - 1, count)
            };
            items.into_iter().map(place).collect()
        })
    }

    fn packed(list: &[(u32, u32)]) -> Vec<u8> {
        let (mut out, mut packer) = (Vec::new(), Packer::new());
        // What another list has left must not show.
        packer.pack(&[(1, 1); 1], &mut Vec::new());
        packer.pack(list, &mut out);
        out
    }

    proptest! {
        #[test]
        fn a_list_comes_back(list in a_list()) {
            let bytes = packed(&list);
            let mut cursor = List::new(&bytes, list.len(), Ordinal::MAX).unwrap().cursor();
            prop_assert!((&mut cursor).eq(list.iter().copied()));
            prop_assert!(!cursor.is_damaged());
        }

        #[test]
        fn seeking_and_walking_find_what_is_there(
            list in a_list(),
            mut steps in prop::collection::vec((0..3_000_000u32, any::<bool>()), 1..40),
            dense in any::<bool>(),
        ) {
            let bytes = packed(&list);
            let known: BTreeMap<u32, u32> = list.iter().copied().collect();
            let last = list.last().map_or(0, |(document, _)| *document);
            if dense {
                steps.iter_mut().for_each(|(to, _)| *to %= last + 2);
            }
            steps.sort_unstable();
            let mut cursor = List::new(&bytes, list.len(), Ordinal::MAX).unwrap().cursor();
            let mut at = 0;
            for (to, seek) in steps {
                if seek {
                    prop_assert_eq!(cursor.seek(to), known.get(&to).copied());
                } else {
                    let mut walked = Vec::new();
                    let count = cursor.walk(u64::from(to), |document, n| walked.push((document, n)));
                    let expected: Vec<(u32, u32)> =
                        known.range(at..to.max(at)).map(|(key, value)| (*key, *value)).collect();
                    prop_assert_eq!(&walked, &expected);
                    prop_assert_eq!(count, expected.len());
                }
                at = at.max(to);
                prop_assert_eq!(cursor.posting(), known.range(at..).next().map(|(k, v)| (*k, *v)));
            }
        }

        /// As a list has, but for a number here and there.
        #[test]
        fn no_change_is_a_fault(
            list in a_list(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let (mut bytes, end) = (packed(&list), list.last().map_or(0, |last| last.0 + 1));
            for (at, byte) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            if let Some(read) = List::new(&bytes, list.len(), end) {
                let found: Vec<(Ordinal, u32)> = read.cursor().collect();
                prop_assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{:?}", found);
                prop_assert!(found.iter().all(|(document, count)| *document < end && *count > 0));
            }
        }

        #[test]
        fn no_bytes_are_a_fault(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            documents in 0..400usize,
            end in prop_oneof![Just(Ordinal::MAX), 0..500u32],
            seeks in prop::collection::vec(any::<u32>(), 0..8),
        ) {
            if let Some(list) = List::new(&bytes, documents, end) {
                let found: Vec<(Ordinal, u32)> = list.cursor().collect();
                prop_assert!(found.len() <= documents);
                prop_assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{:?}", found);
                prop_assert!(found.iter().all(|(document, count)| *document < end && *count > 0));
                let mut cursor = list.cursor();
                seeks.into_iter().for_each(|document| {
                    cursor.seek(document);
                });
            }
        }
    }
}
