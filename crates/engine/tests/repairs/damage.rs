//! What may happen to the files of a database.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

const PAGE: usize = 4096;

/// Damage to one file. Places are taken modulo its length.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Flip(usize, u8),
    Zero(usize),
    Swap(usize, usize),
    /// A page in the place of another one.
    Double(usize, usize),
    Garbage(usize, u64),
    /// The second half of a page is lost.
    Tear(usize, usize),
    Cut(usize),
    /// All of it is something else.
    Other(u64),
    Remove,
    Empty,
}

/// Bytes that mean nothing.
pub(crate) fn garbage(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}

impl Damage {
    /// Damages a file that is there.
    pub(crate) fn apply(&self, file: &Path) {
        let Ok(mut data) = fs::read(file) else { return };
        let (length, pages) = (data.len(), (data.len() / PAGE).max(1));
        let page = |number: usize| {
            let at = number % pages * PAGE;
            at..(at + PAGE).min(length)
        };
        match *self {
            _ if data.is_empty() => {}
            Self::Flip(at, bit) => {
                let at = at % data.len();
                data[at] ^= 1 << (bit % 8);
            }
            Self::Zero(number) => data[page(number)].fill(0),
            Self::Swap(one, other) => {
                let (one, other) = (page(one), page(other));
                if one.len() == other.len() {
                    let kept = data[one.clone()].to_vec();
                    data.copy_within(other.clone(), one.start);
                    data[other].copy_from_slice(&kept);
                }
            }
            Self::Double(from, to) => {
                let (from, to) = (page(from), page(to));
                if from.len() == to.len() {
                    data.copy_within(from, to.start);
                }
            }
            Self::Garbage(number, seed) => {
                let range = page(number);
                let bytes = garbage(seed, range.len());
                data[range].copy_from_slice(&bytes);
            }
            Self::Tear(number, from) => {
                let range = page(number);
                let from = range.start + from % 8 * 512;
                let end = range.end;
                data[from.min(end)..end].fill(0);
            }
            Self::Cut(at) => data.truncate(at % data.len()),
            Self::Other(seed) => data = garbage(seed, data.len()),
            Self::Empty => data.clear(),
            Self::Remove => return fs::remove_file(file).unwrap(),
        }
        fs::write(file, data).unwrap();
    }
}

/// Of a page, or of less.
pub(crate) fn to_data() -> impl Strategy<Value = Damage> {
    let page = 0..1_000_usize;
    prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        // Where pages have what leads to other bytes.
        3 => (page.clone(), 0..64_usize, any::<u8>())
            .prop_map(|(page, at, bit)| Damage::Flip(page * PAGE + at, bit)),
        1 => (0..304_usize, any::<u8>())
            .prop_map(|(at, bit)| Damage::Flip(at / 152 * PAGE + at % 152, bit)),
        4 => page.clone().prop_map(Damage::Zero),
        2 => (0..2_usize).prop_map(Damage::Zero),
        2 => (page.clone(), page.clone()).prop_map(|(one, other)| Damage::Swap(one, other)),
        2 => (page.clone(), page.clone()).prop_map(|(from, to)| Damage::Double(from, to)),
        2 => (page.clone(), any::<u64>()).prop_map(|(page, seed)| Damage::Garbage(page, seed)),
        2 => (page, 0..8_usize).prop_map(|(page, from)| Damage::Tear(page, from)),
        1 => any::<usize>().prop_map(Damage::Cut),
    ]
}

/// Of a file that can be done without.
pub(crate) fn to_other_file() -> impl Strategy<Value = Option<Damage>> {
    let one = prop_oneof![
        3 => (any::<usize>(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        3 => Just(Damage::Remove),
        1 => Just(Damage::Empty),
        1 => any::<usize>().prop_map(Damage::Cut),
        2 => any::<u64>().prop_map(Damage::Other),
        1 => (0..20_usize).prop_map(Damage::Zero),
    ];
    prop::option::weighted(0.5, one)
}
