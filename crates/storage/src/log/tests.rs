//! What a power cut and the death of a process leave, and what is made of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded_db_common::{Durability, Error, Lsn, NamespaceId, Options, value};
use proptest::prelude::*;
use tempfile::TempDir;

use super::checkpoint;
use crate::invariants::check_invariants;
use crate::panics::planting::plant;
use crate::read::ReadTxn;
use crate::records::ChangeRecord;
use crate::store::Store;
use crate::tx::retention::LOOK_EVERY;

const NS: NamespaceId = NamespaceId::DEFAULT;
const PAGE: usize = 4096;

/// Of the feed of changes only the newest few are kept.
fn options() -> Options {
    let (lock_timeout, changes_retention_bytes) = Default::default();
    Options { lock_timeout, changes_retention_bytes, ..Options::default() }
}

fn open(path: &Path) -> Arc<Store> {
    Store::open(path, &options()).unwrap()
}

/// What is stored, in plain words: sizes of values by id.
type Model = BTreeMap<String, usize>;

/// One property, whose value takes so many bytes.
fn properties(size: usize) -> Vec<u8> {
    let mut out = vec![1, 1];
    value::write::bytes(&mut out, &vec![1; size]);
    out
}

fn put(store: &Arc<Store>, id: &str, size: usize) {
    let id = id.to_owned();
    store
        .write(move |txn| {
            let label = txn.intern("Thing")?;
            txn.insert_node(NS, &id, &[label], &properties(size), false, None).map(drop)
        })
        .unwrap();
}

fn remove(store: &Arc<Store>, id: &str) {
    let id = id.to_owned();
    store
        .write(move |txn| {
            let slot = txn.node_slot(NS, &id)?.expect("it is stored");
            txn.delete_node(NS, slot)
        })
        .unwrap();
}

fn check(store: &Arc<Store>, model: &Model) {
    let snapshot = store.read().unwrap();
    assert_eq!(snapshot.namespace_counters(NS).unwrap().nodes, model.len() as u64);
    for (id, size) in model {
        let slot = snapshot.node_slot(NS, id).unwrap().unwrap_or_else(|| panic!("{id} is lost"));
        let node = snapshot.node(NS, slot).unwrap().unwrap();
        assert_eq!(node.properties.as_bytes(), properties(*size));
    }
    check_invariants(&snapshot, &|| Ok(()), &mut |text| panic!("{text}")).unwrap();
    let mut numbers = Vec::new();
    let mut number = |lsn: Lsn, _: Option<ChangeRecord<'_>>| {
        numbers.push(lsn.0);
        Ok(true)
    };
    snapshot.changes_after(Lsn(0), &mut number).unwrap();
    let last = snapshot.lsn().unwrap().0;
    let first = numbers.first().copied().unwrap_or(last + 1);
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
    assert!(numbers.len() <= 1 + 2 * LOOK_EVERY as usize || last < 20, "{numbers:?}");
}

fn generation(path: &Path) -> PathBuf {
    path.join("gen-0000000001")
}

/// The files of a database, as they are now.
struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    fn of(path: &Path) -> Self {
        let mut files = BTreeMap::new();
        for directory in [path.to_owned(), generation(path)] {
            for entry in fs::read_dir(&directory).unwrap() {
                let file = entry.unwrap().path();
                let name = file.strip_prefix(path).unwrap().to_owned();
                if file.is_file() && name.file_name().unwrap() != "lock.mdb" {
                    files.insert(name, fs::read(&file).unwrap());
                }
            }
        }
        Self(files)
    }

    /// Of each page of the data file and its sums, that of this or of a later image.
    fn mixed(&self, later: &Self, mut is_new: impl FnMut() -> bool) -> Self {
        let mut out = Self(later.0.clone());
        let checkpoints = generation(Path::new("")).join("ckpt");
        assert_eq!(self.0[&checkpoints], later.0[&checkpoints], "no checkpoint lies between them");
        for name in ["data.mdb", "data.sums"] {
            let name = generation(Path::new("")).join(name);
            let (old, new) = (&self.0[&name], &later.0[&name]);
            let mut mixed = old.clone();
            for begin in (0..new.len()).step_by(PAGE) {
                let end = (begin + PAGE).min(new.len());
                if begin >= old.len() || is_new() {
                    // What is skipped when the file is lengthened are zeros.
                    let keep = begin < old.len() || is_new();
                    mixed.resize(mixed.len().max(end), 0);
                    if keep {
                        mixed[begin..end].copy_from_slice(&new[begin..end]);
                    }
                }
            }
            out.0.insert(name, mixed);
        }
        out
    }

    fn put(&self, path: &Path) {
        fs::create_dir_all(generation(path)).unwrap();
        for (name, bytes) in &self.0 {
            fs::write(path.join(name), bytes).unwrap();
        }
    }

    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.get_mut(&generation(Path::new("")).join(name)).unwrap()
    }
}

/// A database with some rows, in use, and what is in it.
fn begun(path: &Path) -> (Arc<Store>, Model) {
    let store = open(path);
    // The map of a unit test would have to grow, which makes a checkpoint.
    store.generation().resize(1 << 28, store.lost()).unwrap();
    store.write(|txn| txn.create_namespace("default")).unwrap();
    let mut model = Model::new();
    for n in 0..40 {
        let (id, size) = (format!("first {n}"), 10 + n * 37 % 3000);
        put(&store, &id, size);
        model.insert(id, size);
    }
    (store, model)
}

#[test]
fn what_was_logged_is_done_again_after_a_power_cut() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let (store, mut model) = begun(&path);
    // Everything up to here is on the disk.
    store.make_checkpoint();
    let synced = Image::of(&path);
    for n in 0..30 {
        let id = format!("then {n}");
        put(&store, &id, n * 100);
        model.insert(id, n * 100);
        if n % 3 == 0 {
            let gone = format!("first {n}");
            remove(&store, &gone);
            model.remove(&gone);
        }
    }
    let at_last = Image::of(&path);
    let mut random = 88172645463325252u64;
    let mut chance = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random & 1 == 1
    };
    let nothing: &mut dyn FnMut() -> bool = &mut || false;
    synced.mixed(&at_last, nothing).put(&scratch.path().join("nothing"));
    at_last.put(&scratch.path().join("everything"));
    for n in 0..20 {
        synced.mixed(&at_last, &mut chance).put(&scratch.path().join(format!("mixed {n}")));
    }
    drop(store);
    let places = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().path());
    for place in places {
        let readable = Options { read_only: true, ..options() };
        let closed = place == path;
        let refused = Store::open(&place, &readable).err();
        assert_eq!(matches!(refused, Some(Error::RecoveryNeeded { .. })), !closed, "{place:?}");
        let store = open(&place);
        check(&store, &model);
        put(&store, "after that", 5);
        drop(store);
        let store = Store::open(&place, &readable).unwrap();
        let with_that = model.clone().into_iter().chain([("after that".into(), 5)]).collect();
        check(&store, &with_that);
    }
}

/// A state that was, or an error where the data file tells that there was more.
#[test]
fn a_log_that_is_cut_off_anywhere_gives_a_state_that_was() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let (store, mut model) = begun(&path);
    store.make_checkpoint();
    let synced = Image::of(&path);
    let mut states = vec![model.clone()];
    for n in 0..12 {
        let id = format!("then {n}");
        put(&store, &id, n * 10);
        // Some are transactions of their own: a read waits for that.
        if n < 6 {
            drop(store.read().unwrap());
        }
        model.insert(id, n * 10);
        states.push(model.clone());
    }
    let at_last = Image::of(&path);
    drop(store);
    let mut whole = synced.mixed(&at_last, || true);
    let stretch = checkpoint::newest(&generation(&path)).unwrap().unwrap().stretch;
    let name = format!("log.{}", (stretch - 1) & 1);
    let log = whole.file(&name).clone();
    let used = log.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut found, mut told) = (vec![0; states.len()], 0);
    let cuts = (64..used).step_by(97).chain([used + 1]);
    for (cut, is_newest) in cuts.flat_map(|cut| [(cut, false), (cut, true)]) {
        let place = scratch.path().join("cut");
        let mut image = synced.mixed(&at_last, || is_newest);
        image.file(&name)[cut..].fill(0);
        image.put(&place);
        match Store::open(&place, &options()) {
            Ok(store) => {
                let counters = store.read().unwrap().namespace_counters(NS).unwrap();
                let state = counters.nodes as usize - states[0].len();
                assert!(!is_newest || state + 1 == states.len(), "what was lost at {cut} is told");
                check(&store, &states[state]);
                found[state] += 1;
            }
            Err(Error::Corruption { object, .. }) => {
                assert!(is_newest && cut <= used, "{cut}");
                assert_eq!(object, "the log in log.0 and log.1");
                told += 1;
            }
            Err(error) => panic!("{error}"),
        }
        fs::remove_dir_all(&place).unwrap();
    }
    assert!(told > 0 && found.iter().all(|times| *times > 0), "{told}, {found:?}");
}

#[test]
fn sums_that_were_being_made_anew_are_not_put_back() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let (store, model) = begun(&path);
    store.make_checkpoint();
    let mut image = Image::of(&path);
    drop(store);
    // They were lost, and a power cut came while the next writer made them.
    let sums = image.file("data.sums");
    sums[16..].fill(0);
    sums[32] = 1;
    let place = scratch.path().join("begun");
    image.put(&place);
    check(&open(&place), &model);
}

#[test]
fn a_damaged_frame_before_others_is_corruption() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let (store, _) = begun(&path);
    store.make_checkpoint();
    let synced = Image::of(&path);
    (0..5).for_each(|n| put(&store, &format!("then {n}"), 10));
    let mut image = synced.mixed(&Image::of(&path), || false);
    drop(store);
    let stretch = checkpoint::newest(&generation(&path)).unwrap().unwrap().stretch;
    image.file(&format!("log.{}", (stretch - 1) & 1))[100] ^= 1;
    let place = scratch.path().join("damaged");
    image.put(&place);
    let error = Store::open(&place, &options()).err().unwrap();
    assert!(matches!(&error, Error::Corruption { .. }), "{error}");
    assert!(error.to_string().contains("log."), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Checkpoints at any time, pages of any moment: what was acknowledged is there.
    #[test]
    fn any_mixture_of_pages_is_recovered(
        steps in prop::collection::vec((0usize..8, 10usize..6000), 5..60),
        mixture in any::<u64>(),
    ) {
        let scratch = TempDir::new().unwrap();
        let path = scratch.path().join("db");
        let (store, mut model) = begun(&path);
        let mut synced = Image::of(&path);
        let mut has_checkpoint = false;
        for (n, (what, size)) in steps.into_iter().enumerate() {
            match what {
                0 => {
                    store.make_checkpoint();
                    synced = Image::of(&path);
                    has_checkpoint = true;
                }
                1 if !model.is_empty() => {
                    let gone = model.keys().nth(size % model.len()).unwrap().clone();
                    remove(&store, &gone);
                    model.remove(&gone);
                }
                _ => {
                    let id = format!("then {n}");
                    put(&store, &id, size);
                    model.insert(id, size);
                }
            }
        }
        let at_last = Image::of(&path);
        let mut bits = mixture | 1;
        let place = scratch.path().join("mixed");
        synced.mixed(&at_last, || {
            bits = bits.rotate_left(5).wrapping_mul(0x2545_F491_4F6C_DD1D);
            !has_checkpoint || bits >> 63 == 1
        }).put(&place);
        drop(store);
        check(&open(&place), &model);
        check(&open(&path), &model);
    }
}

#[test]
fn what_is_too_large_for_a_frame_is_stored_as_well() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let (store, mut model) = begun(&path);
    store
        .write(|txn| {
            let label = txn.intern("Thing")?;
            for n in 0..600 {
                let id = format!("large {n}");
                txn.insert_node(NS, &id, &[label], &properties(9000), false, None)?;
            }
            Ok(())
        })
        .unwrap();
    model.extend((0..600).map(|n| (format!("large {n}"), 9000)));
    let newest = checkpoint::newest(&generation(&path)).unwrap().unwrap();
    assert!(!newest.in_use, "LMDB has synced it");
    put(&store, "later", 5);
    model.insert("later".into(), 5);
    Image::of(&path).put(&scratch.path().join("copy"));
    drop(store);
    check(&open(&scratch.path().join("copy")), &model);
}

/// A stretch goes on for as long as no checkpoint is made.
#[test]
fn a_log_does_not_grow_for_ever() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let (store, mut model) = begun(&path);
    let stretch = || checkpoint::newest(&generation(&path)).unwrap().unwrap().stretch;
    let before = stretch();
    for n in 0..700 {
        let id = format!("long {n}");
        put(&store, &id, 9000);
        model.insert(id, 9000);
    }
    assert!(stretch() > before, "it was begun anew");
    for which in [0, 1] {
        let length = fs::metadata(generation(&path).join(format!("log.{which}"))).unwrap().len();
        assert!(length <= super::file::MOST_LENGTH, "{length}");
    }
    check(&store, &model);
    Image::of(&path).put(&scratch.path().join("copy"));
    drop(store);
    check(&open(&scratch.path().join("copy")), &model);
}

/// Where none reads, and nothing shows that one was ever written as a whole, nothing was logged.
#[test]
fn a_first_checkpoint_that_was_only_begun_is_none() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let store = open(&path);
    store.write(|txn| txn.create_namespace("default")).unwrap();
    drop(store);
    let mut image = Image::of(&path);
    let first = image.file("ckpt")[..512].to_vec();
    for (length, is_begun) in [(0, true), (320, true), (512, false)] {
        let mut ckpt = vec![0; 8192];
        ckpt[..length].copy_from_slice(&first[..length]);
        *image.file("ckpt") = ckpt;
        // As it was before.
        image.file("data.sums")[104..112].fill(0);
        for stretch in ["log.0", "log.1"] {
            image.file(stretch)[64..].fill(0);
        }
        let place = scratch.path().join(format!("begun {length}"));
        image.put(&place);
        let found = checkpoint::newest(&generation(&place)).unwrap();
        assert_eq!(found.is_none(), is_begun, "{length}");
        drop(open(&place));
        image.file("log.1")[70] = 1;
        let place = scratch.path().join(format!("lost {length}"));
        image.put(&place);
        assert_eq!(checkpoint::newest(&generation(&place)).is_err(), is_begun, "{length}");
    }
}

/// What a refused opening has found is still there for a repair.
#[test]
fn a_file_of_checkpoints_that_is_cut_off_keeps_what_it_has() {
    for length in [0, 300, 512, 4096, 4500, 4608, 8191] {
        let scratch = TempDir::new().unwrap();
        let path = scratch.path().join("db");
        let (store, _) = begun(&path);
        let mut image = Image::of(&path);
        drop(store);
        image.file("ckpt").truncate(length);
        let before = image.file("ckpt").clone();
        let place = scratch.path().join("cut");
        image.put(&place);
        let _told_or_not = Store::open(&place, &Options { read_only: true, ..options() });
        assert_eq!(fs::read(generation(&place).join("ckpt")).unwrap(), before, "{length}");
        if Store::open(&place, &options()).is_err() {
            let after = fs::read(generation(&place).join("ckpt")).unwrap();
            assert_eq!(after[..length], before, "{length}");
            assert!(after[length..].iter().all(|byte| *byte == 0), "{length}");
        }
    }
}

#[test]
fn relaxed_writes_reach_the_disk_by_themselves() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let options = Options { durability: Durability::Relaxed, ..options() };
    let store = Store::open(&path, &options).unwrap();
    store.write(|txn| txn.create_namespace("default")).unwrap();
    put(&store, "one", 5);
    let log = Arc::clone(store.generation().log().unwrap());
    let begun = std::time::Instant::now();
    while log.unsynced() > 0 {
        assert!(begun.elapsed().as_secs() < 60, "nobody syncs it");
        std::thread::yield_now();
    }
    Image::of(&path).put(&scratch.path().join("copy"));
    let model = Model::from([("one".to_owned(), 5)]);
    check(&open(&scratch.path().join("copy")), &model);
}

#[test]
fn a_checkpoint_never_waits_for_who_writes() {
    let scratch = TempDir::new().unwrap();
    let (store, model) = begun(&scratch.path().join("db"));
    let number = || checkpoint::newest(&generation(store.path())).unwrap().unwrap().number;
    let before = number();
    let writing = store.writer.leader.lock().unwrap();
    assert!(!store.make_checkpoint());
    assert_eq!(number(), before);
    drop(writing);
    assert!(store.make_checkpoint());
    assert_eq!(number(), before + 1);
    check(&store, &model);
}

#[test]
fn a_checkpoint_that_the_disk_has_lost_is_told() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("db");
    let (store, mut model) = begun(&path);
    assert!(store.make_checkpoint());
    let before = Image::of(&path).file("ckpt").clone();
    for n in 0..20 {
        let id = format!("first {n}");
        remove(&store, &id);
        model.remove(&id);
    }
    assert!(store.make_checkpoint());
    // In pages that the checkpoint before has needed.
    for n in 0..20 {
        put(&store, &format!("then {n}"), 3000);
        model.insert(format!("then {n}"), 3000);
    }
    let mut image = Image::of(&path);
    image.put(&scratch.path().join("whole"));
    *image.file("ckpt") = before;
    let copy = scratch.path().join("copy");
    image.put(&copy);
    drop(store);
    check(&open(&scratch.path().join("whole")), &model);
    for _ in 0..2 {
        let error = Store::open(&copy, &options()).err().expect("it is told");
        let Error::Corruption { path, detail, .. } = &error else { panic!("{error}") };
        assert!(path.ends_with("ckpt") && detail.contains("the disk has lost it"), "{error}");
    }
}

/// Whoever closes the store waits for the end of a checkpoint, and whoever was acknowledged for the disk.
#[test]
fn a_panic_behind_the_backs_of_writers_ends_writing_and_nothing_else() {
    for place in ["checkpoint", "sync"] {
        let scratch = TempDir::new().unwrap();
        let path = scratch.path().join("db");
        let (store, model) = begun(&path);
        plant(place);
        match place {
            "checkpoint" => assert!(store.make_checkpoint()),
            _ => store.sync_log(),
        }
        check(&store, &model);
        let refused = store.write(|txn| txn.create_namespace("other")).unwrap_err();
        assert!(matches!(refused, Error::StorageError { .. } | Error::Internal(_)), "{refused}");
        store.close();
        drop(store);
        let store = open(&path);
        check(&store, &model);
        put(&store, "more", 7);
    }
}
