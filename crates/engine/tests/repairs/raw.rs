//! Rows as they lie in a file, read without the database: every one with a right checksum, wherever it is.

use std::collections::HashSet;
use std::sync::LazyLock;

const PAGE: usize = 4096;
/// Nodes, edges, history, vectors, work, changes, names: what is copied and never made anew. With the
/// lengths that their keys can have.
const TABLES: [(u8, std::ops::RangeInclusive<usize>); 7] =
    [(4, 8..=8), (5, 8..=8), (7, 17..=18), (8, 12..=12), (12, 9..=9), (13, 12..=12), (2, 5..=260)];

/// Table, key and sealed value.
pub(crate) type Row = (u8, Vec<u8>, Vec<u8>);

static CRC: LazyLock<[u32; 256]> = LazyLock::new(|| {
    let step = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
    std::array::from_fn(|byte| (0..8).fold(byte as u32, |crc, _| step(crc)))
});

fn crc(begin: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| CRC[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!begin, step)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + N)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn table_of(key: &[u8], sealed: &[u8]) -> Option<u8> {
    let (payload, sum) = sealed.split_last_chunk::<4>()?;
    let sum = u32::from_le_bytes(*sum);
    let mut tables = TABLES.into_iter().filter(|(_, lengths)| lengths.contains(&key.len()));
    tables.find_map(|(table, _)| (crc(crc(u32::from(table), key), payload) == sum).then_some(table))
}

/// All rows of a file.
pub(crate) fn rows(file: &[u8]) -> HashSet<Row> {
    let mut out = HashSet::new();
    for page in file.chunks_exact(PAGE) {
        let leaf = number::<2>(page, 10) == Some(2);
        let end = number::<2>(page, 12).filter(|end| leaf && (16..=PAGE).contains(end));
        for place in (16..end.unwrap_or(16)).step_by(2) {
            let read = || {
                let at = number::<2>(page, place)?;
                let (length, big) = (number::<4>(page, at)?, number::<2>(page, at + 4)?);
                let key_length = number::<2>(page, at + 6)?;
                let key = page.get(at + 8..at + 8 + key_length)?;
                let value = at + 8 + key_length;
                let sealed = if big == 1 {
                    let first = number::<8>(page, value)?.checked_mul(PAGE)?;
                    file.get(first.checked_add(16)?..)?.get(..length)?
                } else {
                    page.get(value..value + length)?
                };
                Some((table_of(key, sealed)?, key.to_vec(), sealed.to_vec()))
            };
            out.extend(read());
        }
    }
    out
}

/// Whether a row follows from others: where an edge that was retracted ends.
pub(crate) fn is_made_anew(row: &Row) -> bool {
    row.0 == 7 && row.1.get(4) == Some(&2)
}

/// The meta page of the last commit, and the root of the table that has the counters.
pub(crate) fn last_state(file: &[u8]) -> (usize, usize) {
    let told = |meta: usize, at: usize| number::<8>(file, meta * PAGE + at).unwrap();
    let (transaction, root) = (144, 128);
    let last = usize::from(told(1, transaction) > told(0, transaction));
    let names = &file[told(last, root) * PAGE..][..PAGE];
    let end = number::<2>(names, 12).unwrap();
    let entry = (16..end).step_by(2).map(|place| number::<2>(names, place).unwrap());
    let is_it =
        |at: &usize| number::<2>(names, at + 6) == Some(4) && names[at + 8..].starts_with(b"meta");
    let at = entry.into_iter().find(is_it).unwrap();
    (last, number::<8>(names, at + 8 + 4 + 40).unwrap())
}

/// The checksum of a text.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    crc(0, bytes)
}
