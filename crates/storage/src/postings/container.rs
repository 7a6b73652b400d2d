//! A container: a set of offsets below 8,192, as an array of them, as runs of them, or as a bitmap.
//!
//! The shortest form is taken, and none is longer than a bitmap: adding a slot rewrites at most 1 KiB, and the
//! value stays inside an LMDB leaf page. A form is left a step later than it is taken, so that a set at a limit
//! does not change its form at every step.

use embedded_db_common::Slot;
use embedded_db_common::record::{Damaged, Read};
use roaring::RoaringBitmap;

use crate::keys;

/// Slots covered by one container.
pub const CONTAINER_SLOTS: u32 = 1 << 13;
const BITMAP_BYTES: usize = CONTAINER_SLOTS as usize / 8;
const ARRAY_MAX: usize = BITMAP_BYTES / 2;
const ARRAY: u8 = 0;
const BITMAP: u8 = 1;
const RUNS: u8 = 2;

/// One container as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    base: u32,
    form: Form<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    /// Offsets, ascending.
    Array(&'a [[u8; 2]]),
    /// The lowest offset in the lowest bit.
    Bitmap(&'a [u8; BITMAP_BYTES]),
    /// The first and the last of each run, ascending; no two runs touch.
    Runs(&'a [[u8; 4]]),
}

impl<'a> Container<'a> {
    pub(crate) fn parse(key: &[u8], payload: &'a [u8]) -> Read<Self> {
        let base = keys::last_u32(key)?
            .checked_mul(CONTAINER_SLOTS)
            .ok_or(Damaged("has a container out of range"))?;
        let form = Form::parse(payload).ok_or(Damaged("is no container"))?;
        Ok(Self { base, form })
    }

    /// The first slot the container may hold.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        match self.form {
            Form::Array(offsets) => offsets.len(),
            Form::Bitmap(bits) => counts(bits).0,
            Form::Runs(runs) => slots_of(runs),
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
        self.form.offsets().map(move |offset| base | u32::from(offset))
    }

    /// Adds the slots to others.
    pub fn add_to(&self, out: &mut RoaringBitmap) {
        match self.form {
            Form::Array(_) => out.extend(self.slots()),
            Form::Bitmap(bits) => *out |= RoaringBitmap::from_lsb0_bytes(self.base, bits),
            Form::Runs(runs) => {
                for (first, last) in runs.iter().map(ends) {
                    out.insert_range(self.base | u32::from(first)..=self.base | u32::from(last));
                }
            }
        }
    }
}

impl<'a> Form<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let (&form, data) = payload.split_first()?;
        match form {
            ARRAY => {
                let (offsets, rest) = data.as_chunks();
                let ranges = offsets.iter().map(|offset| (offset_of(offset), offset_of(offset)));
                (rest.is_empty() && ascend(ranges, 1)).then_some(Self::Array(offsets))
            }
            BITMAP => data.try_into().ok().map(Self::Bitmap),
            RUNS => {
                let (runs, rest) = data.as_chunks();
                (rest.is_empty() && ascend(runs.iter().map(ends), 2)).then_some(Self::Runs(runs))
            }
            _ => None,
        }
    }

    fn offsets(self) -> impl Iterator<Item = u16> + use<'a> {
        let (array, bits, runs) = match self {
            Form::Array(array) => (array, &[][..], &[][..]),
            Form::Bitmap(bits) => (&[][..], &bits[..], &[][..]),
            Form::Runs(runs) => (&[][..], &[][..], runs),
        };
        let array = array.iter().map(offset_of);
        let bits = (0_u16..).step_by(8).zip(bits).flat_map(|(first, byte)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| first | bit)
        });
        let runs = runs.iter().map(ends).flat_map(|(first, last)| first..=last);
        array.chain(bits).chain(runs)
    }
}

fn offset_of(bytes: &[u8; 2]) -> u16 {
    u16::from_le_bytes(*bytes)
}

fn ends(&[a, b, c, d]: &[u8; 4]) -> (u16, u16) {
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

fn run((first, last): (u16, u16)) -> [u8; 4] {
    let ([a, b], [c, d]) = (first.to_le_bytes(), last.to_le_bytes());
    [a, b, c, d]
}

/// Whether ranges ascend, each so far at least from the one before, none beyond a container.
fn ascend(ranges: impl Iterator<Item = (u16, u16)>, distance: u32) -> bool {
    let (mut next, mut ascending) = (0, true);
    for (first, last) in ranges {
        ascending &= u32::from(first) >= next && last >= first;
        next = u32::from(last).saturating_add(distance);
    }
    ascending && next < CONTAINER_SLOTS.saturating_add(distance)
}

fn slots_of(runs: &[[u8; 4]]) -> usize {
    let slots =
        |(first, last): (u16, u16)| usize::from(last.saturating_sub(first)).saturating_add(1);
    runs.iter().map(ends).map(slots).sum()
}

/// How many offsets a bitmap has, and how many runs of them.
fn counts(bits: &[u8; BITMAP_BYTES]) -> (usize, usize) {
    let words = || bits.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    let before = [0].into_iter().chain(words());
    let begins = words().zip(before).map(|(word, before)| word & !(word << 1 | before >> 63));
    let ones = |words: u64| words.count_ones() as usize;
    (words().map(ones).sum(), begins.map(ones).sum())
}

/// How many runs these offsets make, which ascend.
fn runs_in(offsets: impl Iterator<Item = u16> + Clone) -> usize {
    let next = offsets.clone().skip(1);
    let breaks = offsets.zip(next).filter(|(a, b)| a.saturating_add(1) != *b);
    breaks.count().saturating_add(1)
}

/// The bytes of a form that is no bitmap.
fn array_bytes(offsets: usize) -> usize {
    offsets.saturating_mul(2)
}

fn run_bytes(runs: usize) -> usize {
    runs.saturating_mul(4)
}

/// A container of these offsets, which ascend.
pub(crate) fn encode(offsets: &[u16]) -> Vec<u8> {
    let runs = runs_in(offsets.iter().copied());
    if run_bytes(runs) < array_bytes(offsets.len()).min(BITMAP_BYTES) {
        return runs_of(offsets.iter().copied(), runs);
    }
    array_or_bitmap(offsets.len(), offsets.iter().copied())
}

fn array_or_bitmap(count: usize, offsets: impl Iterator<Item = u16>) -> Vec<u8> {
    if count <= ARRAY_MAX {
        let mut out = with_room(ARRAY, array_bytes(count));
        offsets.for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
        return out;
    }
    let mut bits = [0; BITMAP_BYTES];
    offsets.for_each(|offset| flip(&mut bits, offset));
    bitmap_of(&bits)
}

fn bitmap_of(bits: &[u8; BITMAP_BYTES]) -> Vec<u8> {
    let mut out = with_room(BITMAP, BITMAP_BYTES);
    out.extend_from_slice(bits);
    out
}

fn runs_of(offsets: impl Iterator<Item = u16>, count: usize) -> Vec<u8> {
    let mut out = with_room(RUNS, run_bytes(count));
    let mut open: Option<(u16, u16)> = None;
    for offset in offsets {
        match &mut open {
            Some((_, last)) if last.saturating_add(1) == offset => *last = offset,
            _ => {
                open.replace((offset, offset)).into_iter().for_each(|it| out.extend(run(it)));
            }
        }
    }
    open.into_iter().for_each(|it| out.extend(run(it)));
    out
}

/// The byte of a form, with room for so many bytes and the checksum.
fn with_room(form: u8, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.saturating_add(5));
    out.push(form);
    out
}

fn of_parts<const N: usize>(form: u8, parts: [&[[u8; N]]; 3]) -> Vec<u8> {
    let parts = parts.map(<[_]>::as_flattened);
    let mut out = with_room(form, parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| out.extend_from_slice(part));
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
    match container.map_or(Form::Array(&[]), |container| container.form) {
        Form::Array(offsets) => update_array(offsets, offset, present),
        Form::Bitmap(bits) => update_bitmap(bits, offset, present),
        Form::Runs(runs) => update_runs(runs, offset, present),
    }
}

fn update_bitmap(bits: &[u8; BITMAP_BYTES], offset: u16, present: bool) -> Updated {
    let (byte, bit) = bit(offset);
    if bits.get(byte).is_some_and(|byte| byte & bit != 0) == present {
        return Updated::Unchanged;
    }
    let mut bits = *bits;
    flip(&mut bits, offset);
    let (count, runs) = counts(&bits);
    let offsets = Form::Bitmap(&bits).offsets();
    match array_bytes(count).min(run_bytes(runs)) {
        0 => Updated::Empty,
        // Half the limit.
        bytes if bytes > BITMAP_BYTES / 2 => Updated::Container(bitmap_of(&bits)),
        bytes if bytes < array_bytes(count) => Updated::Container(runs_of(offsets, runs)),
        _ => Updated::Container(array_or_bitmap(count, offsets)),
    }
}

fn update_array(offsets: &[[u8; 2]], offset: u16, present: bool) -> Updated {
    let place = offsets.binary_search_by_key(&offset, offset_of);
    if place.is_ok() == present {
        return Updated::Unchanged;
    }
    let (Ok(at) | Err(at)) = place;
    let (before, after) = offsets.split_at_checked(at).unwrap_or((offsets, &[]));
    let added = [offset.to_le_bytes()];
    let (added, after) = match after.split_first() {
        Some((_, after)) if !present => (&[][..], after),
        _ => (&added[..], after),
    };
    let all = || before.iter().chain(added).chain(after).map(offset_of);
    let (count, runs) = ([before, added, after].iter().map(|it| it.len()).sum(), runs_in(all()));
    if count == 0 {
        Updated::Empty
    } else if run_bytes(runs) < array_bytes(count) {
        Updated::Container(runs_of(all(), runs))
    } else if count > ARRAY_MAX {
        Updated::Container(array_or_bitmap(count, all()))
    } else {
        Updated::Container(of_parts(ARRAY, [before, added, after]))
    }
}

fn update_runs(runs: &[[u8; 4]], offset: u16, present: bool) -> Updated {
    // The first run that does not end before it.
    let at = runs.partition_point(|run| ends(run).1 < offset);
    let (before, after) = runs.split_at_checked(at).unwrap_or((runs, &[]));
    let here = after.first().map(ends).filter(|(first, _)| *first <= offset);
    if here.is_some() == present {
        return Updated::Unchanged;
    }
    let mut pieces = [[0; 4]; 2];
    let (before, pieces, after) = match here {
        Some((first, last)) => {
            let sides = [(first < offset, (first, offset.wrapping_sub(1))), {
                (offset < last, (offset.saturating_add(1), last))
            }];
            let left = sides.into_iter().filter(|(is_left, _)| *is_left).map(|(_, side)| side);
            let filled =
                pieces.iter_mut().zip(left).map(|(piece, side)| *piece = run(side)).count();
            (before, pieces.get(..filled), after.get(1..))
        }
        None => {
            let is_next = |(_, last): &(u16, u16)| last.saturating_add(1) == offset;
            let previous = before.last().map(ends).filter(is_next);
            let is_behind = |(first, _): &(u16, u16)| *first == offset.saturating_add(1);
            let following = after.first().map(ends).filter(is_behind);
            let joined = (
                previous.map_or(offset, |(first, _)| first),
                following.map_or(offset, |(_, last)| last),
            );
            pieces[0] = run(joined);
            let before =
                before.split_last().filter(|_| previous.is_some()).map_or(before, |it| it.1);
            (before, pieces.get(..1), after.get(usize::from(following.is_some())..))
        }
    };
    let parts = [before, pieces.unwrap_or_default(), after.unwrap_or_default()];
    let count = parts.iter().map(|runs| slots_of(runs)).sum();
    let bytes = run_bytes(parts.iter().map(|runs| runs.len()).sum());
    if count == 0 {
        Updated::Empty
    } else if bytes > array_bytes(count).min(BITMAP_BYTES) {
        let offsets = parts.into_iter().flat_map(|runs| Form::Runs(runs).offsets());
        Updated::Container(array_or_bitmap(count, offsets))
    } else {
        Updated::Container(of_parts(RUNS, parts))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_set_of_a_container_is_refused() {
        let key = 7u32.to_be_bytes();
        let parse =
            |bytes: &[u8]| Container::parse(&key, bytes).map(|it| it.slots().collect::<Vec<_>>());
        let base = 7 * CONTAINER_SLOTS;
        assert_eq!(parse(&[ARRAY, 1, 0, 0xff, 0x1f]), Ok(vec![base + 1, base + 8191]));
        assert_eq!(
            parse(&[RUNS, 1, 0, 2, 0, 4, 0, 4, 0]),
            Ok([1, 2, 4].map(|it| base + it).to_vec())
        );
        assert_eq!(parse(&[RUNS, 0xff, 0x1f, 0xff, 0x1f]), Ok(vec![base + 8191]));
        let arrays =
            [&[ARRAY, 1][..], &[ARRAY, 1, 0, 1, 0], &[ARRAY, 2, 0, 1, 0], &[ARRAY, 0, 0x20]];
        // Cut off, backwards, touching, too far.
        let runs = [
            &[RUNS, 1, 0, 2][..],
            &[RUNS, 2, 0, 1, 0],
            &[RUNS, 1, 0, 2, 0, 3, 0, 4, 0],
            &[RUNS, 0, 0, 0, 0x20],
            &[RUNS, 0, 0, 0xff, 0xff],
        ];
        for wrong in arrays.into_iter().chain(runs).chain([&[BITMAP, 1][..], &[3], &[]]) {
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

    /// What is added behind the last, as new nodes are, stays a few bytes; others take what is shortest.
    #[test]
    fn the_shortest_form_is_taken() {
        let form = |offsets: &[u16]| {
            let mut stored: Option<Vec<u8>> = None;
            for offset in offsets {
                let container = stored.as_deref().map(|it| Container::parse(&[0; 4], it).unwrap());
                if let Updated::Container(bytes) = update(container, Slot((*offset).into()), true) {
                    stored = Some(bytes);
                }
            }
            let stored = stored.unwrap();
            assert!(encode(offsets).len() <= stored.len());
            (stored[0], stored.len())
        };
        let all: Vec<u16> = (0..8192).collect();
        assert_eq!(form(&all), (RUNS, 5));
        let other: Vec<u16> = (0..8192).step_by(2).collect();
        assert_eq!(form(&other[..512]), (ARRAY, 1025));
        assert_eq!(form(&other), (BITMAP, 1025));
        let threes: Vec<u16> = (0..8192).filter(|offset| offset % 40 < 3).collect();
        assert_eq!(form(&threes), (RUNS, 1 + 4 * 205));
    }

    /// An interpreter has no time for many.
    const MOST: usize = if cfg!(miri) { 60 } else { 3000 };

    /// Slots one by one, or many in a row.
    fn changes() -> impl Strategy<Value = Vec<(u32, u32, bool)>> {
        let length = prop_oneof![3 => Just(1u32), 1 => 1u32..200];
        let offset = prop_oneof![2 => 0..CONTAINER_SLOTS, 1 => 0u32..300];
        prop::collection::vec((offset, length, prop::bool::weighted(0.7)), 0..MOST)
    }

    proptest! {
        #[test]
        fn containers_are_sets(changes in changes()) {
            let key = 3u32.to_be_bytes();
            let base = 3 * CONTAINER_SLOTS;
            let mut model = BTreeSet::new();
            let mut stored: Option<Vec<u8>> = None;
            let one_by_one = changes.into_iter().flat_map(|(first, length, present)| {
                (first..CONTAINER_SLOTS.min(first + length)).map(move |offset| (offset, present))
            });
            for (offset, present) in one_by_one.take(MOST) {
                let slot = Slot(base + offset);
                let changed = if present { model.insert(slot.0) } else { model.remove(&slot.0) };
                let container = stored.as_deref().map(|bytes| Container::parse(&key, bytes).unwrap());
                match update(container, slot, present) {
                    Updated::Unchanged => prop_assert!(!changed),
                    Updated::Container(bytes) => { prop_assert!(changed); stored = Some(bytes); }
                    Updated::Empty => { prop_assert!(changed); stored = None; }
                }
                prop_assert!(stored.as_ref().is_none_or(|bytes| bytes.len() <= 1 + BITMAP_BYTES));
                let len = stored.as_deref().map_or(0, |it| Container::parse(&key, it).unwrap().len());
                prop_assert_eq!(len, model.len());
            }
            let mut bitmap = RoaringBitmap::new();
            let found: Vec<u32> = stored.as_deref().map_or(Vec::new(), |bytes| {
                let container = Container::parse(&key, bytes).unwrap();
                container.add_to(&mut bitmap);
                container.slots().collect()
            });
            let model: Vec<u32> = model.into_iter().collect();
            prop_assert_eq!(bitmap.iter().collect::<Vec<_>>(), &model[..]);
            prop_assert_eq!(&found, &model);
            let offsets: Vec<u16> = model.iter().map(|slot| (slot - base) as u16).collect();
            let again = encode(&offsets);
            prop_assert!(again.len() <= stored.map_or(5, |bytes| bytes.len()));
            let slots: Vec<u32> = Container::parse(&key, &again).unwrap().slots().collect();
            prop_assert_eq!(slots, model);
        }
    }
}
