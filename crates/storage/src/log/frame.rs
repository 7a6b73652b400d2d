//! Frames: one for each group of writers.
//!
//! A frame has one checksum. Whatever a power cut leaves of it, it is there as a whole or not at all. It is no
//! CRC: rows carry theirs, and of those that are exchanged for older ones of the same length no other CRC of
//! the same kind tells.

use embedded_db_common::record::{Cursor, Read};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Frames begin at multiples of that.
pub(super) const ALIGNMENT: usize = 64;
/// Bytes before the changes, of which the last are the checksum.
const HEADER: usize = 56;

/// A frame that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Frames are counted without a gap.
    pub(crate) number: u64,
    /// The LMDB transaction that it becomes, alone or with others beside it.
    pub(crate) transaction: u64,
    /// The frame up to which the log was on the disk when this was written.
    pub(crate) synced: u64,
    /// The last LSN of the state that it leaves.
    pub(crate) lsn: u64,
    /// What it changes, as [`super::changes::read`] reads it.
    pub(crate) changes: &'a [u8],
}

impl<'a> Frame<'a> {
    /// As it stands in a file with this salt, filled up to a whole number of places.
    pub(super) fn encode(&self, salt: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(room(self.changes.len()));
        for number in [salt, self.number, self.transaction, self.synced, self.lsn] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(self.changes.len() as u64).to_le_bytes());
        let sum = sum_of(&out, self.changes);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(self.changes);
        out.resize(room(self.changes.len()), 0);
        out
    }

    /// The frame at the beginning of some bytes, and how many it takes; `None` if no whole one is there.
    pub(super) fn parse(bytes: &'a [u8], salt: u64) -> Option<(Self, usize)> {
        let header = |cursor: &mut Cursor<'a>| -> Read<[u64; 6]> {
            let mut numbers = [0; 6];
            for number in &mut numbers {
                *number = cursor.u64()?;
            }
            Ok(numbers)
        };
        let [of, number, transaction, synced, lsn, length] =
            header(&mut Cursor::new(bytes)).ok()?;
        if of != salt {
            return None;
        }
        let end = usize::try_from(length).ok()?.checked_add(HEADER)?;
        let (header, changes) = bytes.get(..end)?.split_at_checked(HEADER)?;
        let (numbers, sum) = header.split_last_chunk::<8>()?;
        if sum_of(numbers, changes) != u64::from_le_bytes(*sum) {
            return None;
        }
        Some((Self { number, transaction, synced, lsn, changes }, end.next_multiple_of(ALIGNMENT)))
    }
}

/// Makes the checksum of the frame right with which some bytes begin, if they have all of it.
#[cfg(any(test, fuzzing))]
pub(super) fn seal(bytes: &mut [u8]) -> bool {
    let mut sealed = || {
        let (header, rest) = bytes.split_first_chunk_mut::<HEADER>()?;
        let (numbers, sum) = header.split_last_chunk_mut::<8>()?;
        let length = u64::from_le_bytes(*numbers.get(40..)?.first_chunk()?);
        let changes = rest.get(..usize::try_from(length).ok()?)?;
        *sum = sum_of(numbers, changes).to_le_bytes();
        Some(())
    };
    sealed().is_some()
}

/// Bytes of a frame with so many bytes of changes.
fn room(changes: usize) -> usize {
    HEADER.saturating_add(changes).next_multiple_of(ALIGNMENT)
}

fn sum_of(numbers: &[u8], changes: &[u8]) -> u64 {
    xxh3_64_with_seed(changes, xxh3_64(numbers))
}

#[cfg(test)]
mod tests {
    use embedded_db_common::record;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_is_there_as_a_whole_or_not_at_all(
            changes in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let frame = Frame { number: 8, transaction: 7, synced: 6, lsn: 9, changes: &changes };
            let bytes = frame.encode(42);
            prop_assert_eq!(bytes.len() % ALIGNMENT, 0);
            prop_assert_eq!(Frame::parse(&bytes, 42), Some((frame, bytes.len())));
            prop_assert_eq!(Frame::parse(&bytes, 43), None);
            let length = HEADER + changes.len();
            prop_assert_eq!(Frame::parse(&bytes[..at.index(length)], 42), None);
            let mut other = bytes.clone();
            other[at.index(length)] ^= flip;
            prop_assert_eq!(Frame::parse(&other, 42), None);
        }

        /// Of which some sectors are those of an older one in the same place, each row with its own checksum.
        #[test]
        fn rows_of_an_older_frame_are_seen(
            old in prop::collection::vec(any::<[u8; 100]>(), 30),
            new in prop::collection::vec(any::<[u8; 100]>(), 30),
            taken in any::<u32>(),
        ) {
            let sealed = |row: usize, value: &[u8; 100]| {
                let mut bytes = value.to_vec();
                record::seal(3, &[row as u8], &mut bytes);
                bytes
            };
            let changes = |which: &dyn Fn(usize) -> bool| -> Vec<u8> {
                let row = |row| sealed(row, if which(row) { &old[row] } else { &new[row] });
                (0..30).flat_map(row).collect()
            };
            let (whole, mixed) = (changes(&|_| false), changes(&|row| taken >> row & 1 == 1));
            let frame = Frame { number: 8, transaction: 7, synced: 6, lsn: 9, changes: &whole };
            let mut bytes = frame.encode(42);
            bytes[HEADER..][..mixed.len()].copy_from_slice(&mixed);
            prop_assert_eq!(Frame::parse(&bytes, 42).is_some(), mixed == whole);
        }

        #[test]
        fn nonsense_is_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let salt = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
            prop_assert_eq!(Frame::parse(&bytes, salt), None);
        }
    }
}
