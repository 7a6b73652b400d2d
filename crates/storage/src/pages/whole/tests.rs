//! What is wrong with a page is told, whatever it is, and a sound file has nothing to tell.

use std::fs;
use std::sync::Arc;

use embedded_db_common::{Durability, NamespaceId, Options};
use proptest::prelude::*;
use roaring::RoaringTreemap;
use tempfile::TempDir;

use super::check::{check_file, free_pages};
use super::*;
use crate::keys::Table;
use crate::read::ReadTxn;
use crate::store::Store;
use crate::tx::WriteTxn;

const NS: NamespaceId = NamespaceId::DEFAULT;
const PAGE: usize = 4096;

fn go_on() -> Result<()> {
    Ok(())
}

/// A data file of branches, leaves, overflow pages and free pages.
struct Scratch {
    directory: TempDir,
    sound: Vec<u8>,
}

impl Scratch {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { durability: Durability::Memory, ..Options::default() };
        let store = Store::open(directory.path(), &options).unwrap();
        store.write(|txn| txn.create_namespace("default")).unwrap();
        for round in 0..4 {
            fill(&store, round);
        }
        drop(store);
        let sound = fs::read(Self::file(&directory)).unwrap();
        Self { directory, sound }
    }

    fn file(directory: &TempDir) -> PathBuf {
        directory.path().join("gen-0000000001/data.mdb")
    }

    /// What is told of other bytes.
    fn told(&self, bytes: &[u8]) -> bool {
        let file = Self::file(&self.directory);
        fs::write(&file, bytes).unwrap();
        check_file(&file, &go_on).is_err()
    }

    fn newest(&self) -> Meta {
        let mut bytes = std::io::Cursor::new(&self.sound);
        newest_meta(&mut bytes).unwrap().unwrap()
    }

    /// Pages in use, and pages that are free.
    fn pages(&self) -> (RoaringTreemap, RoaringTreemap) {
        fs::write(Self::file(&self.directory), &self.sound).unwrap();
        let meta = self.newest();
        let file = UnmappedFile::open(&Self::file(&self.directory), PAGE).unwrap();
        let mut walk = Walk::new(&file, meta.last_page, &go_on);
        let mut trees = Vec::new();
        walk.rows(&meta.main, Order::Bytes, &mut |_, _, row| {
            trees.extend(match row.1 {
                Value::Tree(tree) => Some(tree),
                _ => None,
            });
            Ok(())
        })
        .unwrap();
        assert_eq!(trees.len(), Table::ALL.len());
        for tree in &trees {
            walk.rows(tree, Order::Bytes, &mut |_, _, _| Ok(())).unwrap();
        }
        let free = free_pages(&file, &meta.free, meta.last_page, &mut walk).unwrap();
        assert_eq!(walk.problems, []);
        (walk.seen, free)
    }
}

fn fill(store: &Arc<Store>, round: usize) {
    store
        .write(move |txn| {
            let label = txn.intern("Thing")?;
            for n in 0..200 {
                let id = format!("{round}/{n}");
                let size = if n % 50 == 0 { 20_000 } else { 100 };
                txn.insert_node(NS, &id, &[label], &vec![1; size], false, None)?;
            }
            Ok(())
        })
        .unwrap();
    store
        .write(move |txn| {
            for n in (0..200).step_by(3) {
                let slot = txn.require_node(NS, &format!("{round}/{n}"))?;
                txn.delete_node(NS, slot)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn of_two_meta_pages_the_later_counts_and_of_equals_the_first() {
    let sound = Scratch::new().sound;
    let meta = |transaction: u64, last_page: u64| {
        let mut page = sound[..PAGE].to_vec();
        page[136..144].copy_from_slice(&last_page.to_ne_bytes());
        page[144..152].copy_from_slice(&transaction.to_ne_bytes());
        page
    };
    let last_page = |both: [Vec<u8>; 2]| {
        let found = newest_meta(&mut std::io::Cursor::new(both.concat())).unwrap();
        found.map(|meta| meta.last_page)
    };
    assert_eq!(last_page([meta(8, 50), meta(7, 60)]), Some(50));
    assert_eq!(last_page([meta(8, 50), meta(9, 60)]), Some(60));
    assert_eq!(last_page([meta(0, 50), meta(0, 60)]), Some(50));
    assert_eq!(last_page([meta(8, 50), vec![0; PAGE]]), Some(50));
    assert_eq!(last_page([vec![0; PAGE], meta(8, 50)]), None);
}

#[test]
fn a_sound_file_has_nothing_to_tell_and_every_page_is_accounted_for() {
    let scratch = Scratch::new();
    assert!(!scratch.told(&scratch.sound));
    let (used, free) = scratch.pages();
    assert!(used.len() > 50 && free.len() > 10, "{} and {}", used.len(), free.len());
    assert!(used.is_disjoint(&free));
    let all = RoaringTreemap::from_iter(2..=scratch.newest().last_page);
    assert_eq!(used | free, all, "no page is lost");
}

/// LMDB leaves it the pages that it had.
#[test]
fn a_value_that_has_become_shorter_in_its_transaction_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { durability: Durability::Memory, ..Options::default() };
    let store = Store::open(directory.path(), &options).unwrap();
    let grow_and_shrink = |txn: &mut WriteTxn<'_>| {
        txn.create_namespace("default")?;
        let label = txn.intern("Thing")?;
        let slot = txn.insert_node(NS, "n", &[label], &vec![1; 30_000], false, None)?;
        txn.update_node(NS, slot, &vec![1; 9_000])
    };
    store.write(move |txn| grow_and_shrink(txn)).unwrap();
    let mut problems = Vec::new();
    store.check_pages(&go_on, &mut |problem| problems.push(problem)).unwrap();
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn a_page_in_use_that_says_something_else_of_itself_is_told() {
    let scratch = Scratch::new();
    let (used, _) = scratch.pages();
    for number in &used {
        let at = number as usize * PAGE;
        if scratch.sound[at..at + 8] != number.to_ne_bytes() {
            // A further page of a long value, which has nothing but that.
            continue;
        }
        // Its number, what it is, and where its free space begins.
        for byte in [0, 1, 7, 10, 12] {
            let mut bytes = scratch.sound.clone();
            bytes[at + byte] ^= 1 << (number % 2);
            assert!(scratch.told(&bytes), "page {number}, byte {byte}");
        }
        let mut bytes = scratch.sound.clone();
        bytes[at..at + PAGE].fill(0);
        assert!(scratch.told(&bytes), "page {number} is zeros");
        let other = used.iter().find(|other| *other != number).unwrap() as usize * PAGE;
        let mut bytes = scratch.sound.clone();
        bytes.copy_within(other..other + PAGE, at);
        assert!(scratch.told(&bytes), "page {number} is another");
    }
}

#[test]
fn a_free_page_may_hold_anything() {
    let scratch = Scratch::new();
    let (_, free) = scratch.pages();
    let mut bytes = scratch.sound.clone();
    for number in &free {
        let at = number as usize * PAGE;
        bytes[at..at + PAGE].fill(0xa5);
    }
    assert!(!scratch.told(&bytes));
}

/// A page that is in use and listed as free is the next to be overwritten.
#[test]
fn a_page_in_use_that_is_listed_as_free_is_told() {
    let scratch = Scratch::new();
    let (used, free) = scratch.pages();
    let listed = free.max().unwrap().to_ne_bytes();
    let places: Vec<usize> = (0..scratch.sound.len() - 8)
        .filter(|at| scratch.sound[*at..].starts_with(&listed))
        .filter(|at| used.contains((*at / PAGE) as u64) && !at.is_multiple_of(PAGE))
        .collect();
    assert!(!places.is_empty());
    let mut bytes = scratch.sound.clone();
    for at in places {
        bytes[at..at + 8].copy_from_slice(&used.max().unwrap().to_ne_bytes());
    }
    assert!(scratch.told(&bytes));
}

#[test]
fn a_file_that_is_cut_off_is_told() {
    let scratch = Scratch::new();
    for length in (0..scratch.sound.len()).step_by(1777) {
        assert!(scratch.told(&scratch.sound[..length]), "{length} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Nobody is killed by what stands in a file.
    #[test]
    fn any_bytes_can_be_looked_at(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        whole in any::<bool>(),
    ) {
        thread_local! {
            static SCRATCH: Scratch = Scratch::new();
        }
        SCRATCH.with(|scratch| {
            let mut bytes = scratch.sound.clone();
            for (at, value) in changes {
                // Half of the time the beginnings of pages, where everything hangs together.
                let at = at.index(bytes.len());
                let at = if whole { at } else { at / PAGE * PAGE + at % 64 };
                bytes[at] = value;
            }
            scratch.told(&bytes);
        });
    }
}
