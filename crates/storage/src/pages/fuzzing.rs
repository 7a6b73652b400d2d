//! A small data file, changed where it hurts: whatever stands in it, what reads it ends, reads nothing
//! outside and tells damage.

use std::fs;
use std::hint::black_box;

use arbitrary::{Result as Given, Unstructured};
use embedded_db_common::{Error, Options, Result};

use super::guard::check_writer;
use super::layout::HEADER;
use super::written::{all_pages, written_pages};
use super::{PageFile, Pages, Use, View, check_file};
use crate::keys::Table;
use crate::rows::Rows;

/// A data file of branches, leaves, overflow pages and free pages, and its sums: see `tests::image`.
const DATA: &[u8] = include_bytes!("image/data.mdb");
const SUMS: &[u8] = include_bytes!("image/data.sums");
const PAGE: usize = 4096;
/// The tables that have something, and one that has nothing.
const READ: [Table; 4] = [Table::Meta, Table::Symbols, Table::Work, Table::Nodes];
/// No page has more entries.
const MOST_ENTRIES: usize = PAGE / 2;

/// Changes the pages of the small file and reads it in memory, without sums.
///
/// # Panics
///
/// When a walk does not end, or an error is none of damage.
pub fn pages(input: &[u8]) {
    let mut image = DATA.to_vec();
    // What it has no bytes for is left as it is.
    let _end = change(&mut image, &mut Unstructured::new(input));
    let Some(pages) = Pages::of_bytes(&image) else { return };
    let Some(meta) = pages.newest().filter(|meta| pages.reaches(meta.last_page)) else { return };
    told(check_writer(&pages, &meta));
    let mut seen = 0;
    told(all_pages(&pages, &meta, &mut |_, _| {
        seen += 1;
        assert!(seen <= image.len() / meta.page_size, "pages are met once");
        Ok(())
    }));
    if let Some(before) = meta.transaction.checked_sub(1).and_then(|before| pages.state(before)) {
        told(written_pages(&pages, &before, &meta, &mut |_, _| Ok(())));
    }
    let view = View::new(pages, meta);
    let most = image.len() / meta.page_size * MOST_ENTRIES;
    for table in READ {
        told(view.check_rows(table));
        told(walk(&view, table, most));
    }
}

/// Changes the pages or the sums of the small file and opens it, for reading and for writing.
///
/// # Panics
///
/// As `pages` does, and when a row is not as it was though nothing was told.
pub fn sums(input: &[u8]) {
    let (mut image, mut sums) = (DATA.to_vec(), SUMS.to_vec());
    let mut given = Unstructured::new(input);
    let _end = (|| -> Given<()> {
        if given.arbitrary()? {
            change_sums(&mut sums, &mut given)?;
        }
        change(&mut image, &mut given)
    })();
    let home = tempfile::tempdir_in(crate::fuzzing::memory()).expect("a directory for a while");
    let directory = home.path().join("gen-0000000001");
    let data = directory.join("data.mdb");
    fs::create_dir(&directory).expect("it is new");
    for how in [Use::Reading, Use::Writing] {
        fs::write(&data, &image).expect("there is room");
        fs::write(directory.join("data.sums"), &sums).expect("there is room");
        let opened = crate::fuzzing::alone(|| {
            let opened = PageFile::open(home.path(), &directory, how, &Options::default());
            told(opened.and_then(|file| file.map(|file| file.newest()).transpose())).flatten()
        });
        let Some(view) = opened else { continue };
        let most = image.len() / 256 * MOST_ENTRIES;
        crate::fuzzing::alone(|| READ.map(|table| told(walk(&view, table, most))));
    }
    told(check_file(&data, &|| Ok(())));
}

fn told<T>(read: Result<T>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(Error::Corruption { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Every way to go through a table, at most so many rows at a time.
fn walk(view: &View, table: Table, most: usize) -> Result<()> {
    let rows = Rows::committed(view);
    let mut keys: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 4], vec![0xff; 20]];
    let mut count = 0;
    let mut read = |row: Result<(&[u8], &[u8])>| -> Result<Vec<u8>> {
        let (key, value) = row?;
        black_box(value.iter().fold(0_u8, |sum, byte| sum ^ byte));
        count += 1;
        assert!(count <= 4 * most, "it does not end");
        Ok(key.to_vec())
    };
    for (at, row) in rows.between(table, &[], None)?.enumerate() {
        let key = read(row)?;
        if at.is_power_of_two() {
            keys.push(key);
        }
    }
    told(rows.between_backwards(table, &[], None)?.try_for_each(|row| read(row).map(drop)));
    let mut count = 0;
    told(view.keys(table, &[], &mut |_| {
        count += 1;
        assert!(count <= most, "it does not end");
    }));
    for key in keys {
        told(rows.get(table, &key));
        told(rows.at_or_before(table, &key));
        told(rows.at_or_after(table, &key));
        told(view.check_removal(table, &key));
        told(view.check_before(table, &key));
        told(view.check_last(table));
        let mut ahead = super::Ahead::of(view, table, &key)?;
        told(ahead.reached(&[0xff; 20]));
    }
    let (from, end): (&[u8], &[u8]) = (&[0, 0, 0, 1], &[0, 0, 0, 1, 0, 0, 0, 20]);
    told(rows.between_backwards(table, from, Some(end))?.try_for_each(|row| row.map(drop)));
    told(view.check_removals(table, from, end));
    Ok(())
}

/// Writes a few numbers where pages have what leads elsewhere.
fn change(image: &mut Vec<u8>, given: &mut Unstructured<'_>) -> Given<()> {
    while !given.is_empty() {
        let number = usize::from(given.arbitrary::<u8>()?);
        let start = number.min(image.len() / PAGE) * PAGE;
        match given.arbitrary::<u8>()? % 12 {
            // Its number, flags, and the bounds of its free space.
            0 => write(image, start, &given.arbitrary::<u64>()?.to_ne_bytes()),
            1 => write(
                image,
                start + 10,
                &given.arbitrary::<[u16; 3]>()?.map(u16::to_ne_bytes).concat(),
            ),
            // Where an entry stands.
            2 => {
                let at = start + HEADER + 2 * usize::from(given.arbitrary::<u8>()?);
                write(image, at, &given.arbitrary::<u16>()?.to_ne_bytes());
            }
            // The page below an entry, or the length of its value; flags; length of its key.
            3 => {
                let entry = entry(image, start, given.arbitrary()?);
                write(image, entry, &u32::from(given.arbitrary::<u8>()?).to_ne_bytes());
            }
            4 => {
                let entry = entry(image, start, given.arbitrary()?);
                write(image, entry, &given.arbitrary::<[u8; 8]>()?);
            }
            // What follows its key: the root of a tree, the first page of a long value.
            5 => {
                let entry = entry(image, start, given.arbitrary()?);
                let at = entry + 8 + usize::from(given.arbitrary::<u8>()?);
                write(image, at, &given.arbitrary::<[u8; 8]>()?);
            }
            // Another page in its place, with its own number or the other's.
            6 => {
                let from = usize::from(given.arbitrary::<u8>()?).min(image.len() / PAGE) * PAGE;
                let page = image.get(from..from + PAGE).unwrap_or_default().to_vec();
                write(image, start, &page);
                if given.arbitrary()? {
                    write(image, start, &(number as u64).to_ne_bytes());
                }
            }
            // A branch whose entries all lead to one page.
            7 => {
                let (entries, child) = (given.arbitrary::<u8>()?, given.arbitrary::<u8>()?);
                write(image, start, &branch(number, entries % 32, child));
            }
            // Any byte.
            8 => {
                let at = usize::from(given.arbitrary::<u16>()?) % PAGE;
                write(image, start + at, &[given.arbitrary()?]);
            }
            9 => image.truncate(image.len().saturating_sub(given.arbitrary::<u16>()?.into())),
            // A meta page: sizes, trees, last page, transaction.
            10 => {
                let at = start % (2 * PAGE) + 16 + 4 * usize::from(given.arbitrary::<u8>()? % 34);
                write(image, at, &given.arbitrary::<[u8; 4]>()?);
            }
            _ => {
                let at = start % (2 * PAGE) + 40 + 8 * usize::from(given.arbitrary::<u8>()? % 14);
                write(image, at, &u64::from(given.arbitrary::<u8>()?).to_ne_bytes());
            }
        }
    }
    Ok(())
}

fn write(image: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = image.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Where an entry of a page stands; anywhere if it has not so many.
fn entry(image: &[u8], start: usize, index: u8) -> usize {
    let at = start + HEADER + 2 * usize::from(index);
    let place = image.get(at..at + 2).map_or([0; 2], |bytes| [bytes[0], bytes[1]]);
    start + usize::from(u16::from_ne_bytes(place))
}

/// A branch page whose entries have keys that ascend.
fn branch(number: usize, entries: u8, child: u8) -> Vec<u8> {
    const ENTRY: usize = 10;
    let mut page = vec![0; PAGE];
    let lower = HEADER + 2 * usize::from(entries);
    let upper = PAGE - ENTRY * usize::from(entries);
    write(&mut page, 0, &(number as u64).to_ne_bytes());
    for (at, value) in [(10, 1), (12, lower), (14, upper)] {
        write(&mut page, at, &(value as u16).to_ne_bytes());
    }
    for index in 0..entries {
        let at = upper + ENTRY * usize::from(index);
        write(&mut page, HEADER + 2 * usize::from(index), &(at as u16).to_ne_bytes());
        write(&mut page, at, &u32::from(child).to_ne_bytes());
        write(&mut page, at + 6, &[2, 0, 0, index]);
    }
    page
}

/// Writes into the header of the sums, or a sum.
fn change_sums(sums: &mut Vec<u8>, given: &mut Unstructured<'_>) -> Given<()> {
    for _ in 0..given.int_in_range(1..=4)? {
        let at = usize::from(given.arbitrary::<u16>()?);
        match given.arbitrary::<u8>()? % 4 {
            0 => write(sums, at % 88 / 4 * 4, &given.arbitrary::<[u8; 4]>()?),
            1 => write(sums, at % 88 / 8 * 8, &u64::from(given.arbitrary::<u8>()?).to_le_bytes()),
            2 => write(sums, PAGE + at % 256 * 4, &given.arbitrary::<[u8; 4]>()?),
            _ => sums.truncate(at),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use embedded_db_common::Durability;

    use super::super::Meta;
    use super::*;
    use crate::store::Store;

    /// Makes the small file anew: `cargo test -p embedded-db-storage -- --ignored image`.
    #[test]
    #[ignore = "it writes into the source"]
    fn image() {
        let home = tempfile::tempdir().unwrap();
        let options = Options { durability: Durability::Memory, ..Options::default() };
        let store = Store::open(home.path(), &options).unwrap();
        for round in 0..4_u32 {
            store
                .write(move |txn| {
                    for n in 0..30_u32 {
                        let key =
                            [&(n % 3).to_be_bytes()[..], &(n * 31 % 37).to_be_bytes()].concat();
                        let length = if n == 7 { 5000 } else { 700 };
                        match n % 7 == round {
                            true => drop(txn.delete(Table::Work, &key)?),
                            false => txn.put(Table::Work, &key, vec![round as u8; length])?,
                        }
                    }
                    txn.intern("dirty").map(drop)
                })
                .unwrap();
        }
        store.close();
        drop(store);
        let to = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages/image");
        fs::create_dir_all(&to).unwrap();
        for name in ["data.mdb", "data.sums"] {
            let mut bytes = fs::read(home.path().join("gen-0000000001").join(name)).unwrap();
            if name == "data.sums" {
                // One chunk of sums is enough.
                bytes.truncate(PAGE + (1 << 16));
            }
            fs::write(to.join(name), bytes).unwrap();
        }
    }

    #[test]
    fn the_image_is_sound_and_of_every_kind_of_page() {
        let pages = Pages::of_bytes(DATA).unwrap();
        let meta = pages.newest().unwrap();
        let (mut seen, mut kinds) = (0, std::collections::BTreeSet::new());
        all_pages(&pages, &meta, &mut |number, bytes| {
            seen += 1;
            let place = PAGE + 4 * number as usize;
            assert_eq!(SUMS[place..place + 4], super::super::sum_of(bytes).to_le_bytes());
            let of_its_own = bytes[..8] == number.to_ne_bytes();
            kinds.extend(of_its_own.then_some(bytes[10] & 0x0f));
            Ok(())
        })
        .unwrap();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [1, 2, 4], "branches, leaves, overflow");
        assert!(seen > 10 && seen < DATA.len() / PAGE - 2, "{seen} pages, and free ones");
        let view = View::new(pages, meta);
        for table in Table::ALL {
            view.check_rows(table).unwrap();
            walk(&view, table, DATA.len()).unwrap();
        }
        assert_eq!(view.rows(Table::Work).unwrap(), 26);
    }

    /// The place in the image of what the tree of names has of a table.
    fn tree_of(table: Table) -> usize {
        let name = table.name().as_bytes();
        let root = Pages::of_bytes(DATA).unwrap().newest().unwrap().main.root as usize * PAGE;
        let page = &DATA[root..root + PAGE];
        root + page.windows(name.len()).position(|bytes| bytes == name).unwrap() + name.len()
    }

    /// Branches that all lead to the same branches: each is met once by who looks at pages, but the ways
    /// through them are more than can be counted.
    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes minutes for so many pages")]
    fn pages_that_are_used_again_and_again_come_to_an_end() {
        let mut image = DATA.to_vec();
        let first = image.len() / PAGE;
        for level in 0..31 {
            let number = first + level;
            let child = if level < 30 { number + 1 } else { 20 };
            image.extend(branch(number, 30, child as u8));
        }
        // A leaf with one row, which has no value.
        let mut leaf = branch(20, 1, 0);
        leaf[10] = 2;
        image[20 * PAGE..21 * PAGE].copy_from_slice(&leaf);
        let tree = tree_of(Table::Work);
        image[tree + 6..tree + 8].copy_from_slice(&32_u16.to_ne_bytes());
        image[tree + 40..tree + 48].copy_from_slice(&(first as u64).to_ne_bytes());
        let pages = Pages::of_bytes(&image).unwrap();
        let meta = Meta { last_page: (first + 30) as u64, ..pages.newest().unwrap() };
        let told = all_pages(&pages, &meta, &mut |_, _| Ok(())).unwrap_err();
        assert!(told.to_string().contains("is used twice"), "{told}");
        let view = View::new(pages, meta);
        assert_eq!(view.tree(Table::Work).unwrap().depth, 32);
        let rows = Rows::committed(&view);
        for end in [None, Some(&[0xff; 20][..])] {
            let told =
                |error: Error| assert!(error.to_string().contains("do not belong"), "{error}");
            rows.between(Table::Work, &[], end)
                .unwrap()
                .try_for_each(|row| row.map(drop))
                .map_or_else(told, |()| panic!("all was in order"));
            rows.between_backwards(Table::Work, &[], end)
                .unwrap()
                .try_for_each(|row| row.map(drop))
                .map_or_else(told, |()| panic!("all was in order"));
        }
    }

    /// Whatever a number of a page is multiplied with, nothing outside the file is read.
    #[test]
    fn numbers_of_pages_do_not_overflow() {
        for (page_size, number) in [(4096, (1 << 52) - 1), (65_536, (1 << 48) - 1), (256, u64::MAX)]
        {
            let mut pages = Pages::of_bytes(DATA).unwrap();
            pages.page_size = page_size;
            let told = pages.raw(number).unwrap_err();
            assert!(told.to_string().contains("lies outside the file"), "{told}");
        }
    }
}
