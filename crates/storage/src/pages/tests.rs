//! What LMDB wrote is read as it was written, forwards, backwards and by key; every page of a commit
//! has its sum; and whatever bit is flipped, nothing wrong is read.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use embedded_db_common::record::open;
use embedded_db_common::{Error, NamespaceId, Options, Result};
use proptest::prelude::*;

use super::PageFile;
use super::file::Use;
use crate::keys::{Key, Table};
use crate::read::ReadTxn;
use crate::rows::after_prefix;
use crate::store::Store;

const TABLE: Table = Table::Work;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys that share beginnings, values from none to several pages.
fn step() -> impl Strategy<Value = (Vec<u8>, Option<Vec<u8>>)> {
    let key = prop_oneof![
        prop::collection::vec(0u8..4, 1..6),
        (0u16..600).prop_map(|n| n.to_be_bytes().to_vec()),
        (0u8..40).prop_map(|n| vec![n; 200]),
    ];
    let length = prop_oneof![8 => 0usize..80, 2 => 500usize..1500, 1 => 2000usize..20_000];
    let value = (any::<u8>(), length).prop_map(|(byte, length)| vec![byte; length]);
    (key, prop::option::weighted(0.7, value))
}

fn apply(store: &Arc<Store>, steps: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<()> {
    store.write(move |txn| {
        for (key, value) in &steps {
            match value {
                Some(value) => txn.put(TABLE, key, value.clone())?,
                None => drop(txn.delete(TABLE, key)?),
            }
        }
        txn.intern("dirty").map(drop)
    })
}

fn agree(read: &impl ReadTxn, model: &Model, probes: &[Vec<u8>]) -> Result<()> {
    let opened = |(key, sealed): (&[u8], &[u8])| {
        (key.to_vec(), open(TABLE as u8, key, sealed).unwrap().to_vec())
    };
    let wanted = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
    let rows = read.rows();
    let collect = |found: Vec<Result<(&[u8], &[u8])>>| -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        found.into_iter().map(|row| row.map(opened)).collect()
    };
    let all: Vec<_> = model.iter().map(wanted).collect();
    assert_eq!(collect(rows.between(TABLE, &[], None)?.collect())?, all);
    let back: Vec<_> = model.iter().rev().map(wanted).collect();
    assert_eq!(collect(rows.between_backwards(TABLE, &[], None)?.collect())?, back);
    assert_eq!(rows.count(TABLE)?, model.len() as u64);
    for probe in probes {
        assert_eq!(read.get(TABLE, probe)?, model.get(probe).map(Vec::as_slice));
        let before = model.range::<[u8], _>((Bound::Unbounded, Bound::Included(probe.as_slice())));
        assert_eq!(rows.at_or_before(TABLE, probe)?.map(opened), before.last().map(wanted));
        let after = model.range::<[u8], _>((Bound::Included(probe.as_slice()), Bound::Unbounded));
        assert_eq!(rows.at_or_after(TABLE, probe)?.map(opened), after.clone().next().map(wanted));
        let end = after_prefix(probe);
        let inside: Vec<_> =
            after.take_while(|(key, _)| key.starts_with(probe)).map(wanted).collect();
        let forwards = rows.between(TABLE, probe, end.as_deref())?.collect();
        assert_eq!(collect(forwards)?, inside);
        let mut backwards =
            collect(rows.between_backwards(TABLE, probe, end.as_deref())?.collect())?;
        backwards.reverse();
        assert_eq!(backwards, inside);
    }
    Ok(())
}

/// Every page that can be reached from the newest state has its sum.
fn every_page_has_its_sum(store: &Store) -> usize {
    let view = store.generation().page_file.newest().unwrap();
    let mut pages = 0;
    super::written::all_pages(&view.pages, &view.meta, &mut |page, bytes| {
        pages += 1;
        let sums = view.pages.sums.as_ref().expect("a writer has sums");
        assert_eq!(sums.stored(page).unwrap(), Some(super::sums::sum_of(bytes)), "page {page}");
        Ok(())
    })
    .unwrap();
    pages
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(
        commits in prop::collection::vec(prop::collection::vec(step(), 1..120), 1..12),
    ) {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        let mut model = Model::new();
        let mut before: Option<(crate::Snapshot, Model)> = None;
        for steps in commits {
            let probes: Vec<_> = steps.iter().map(|(key, _)| key.clone()).take(40).collect();
            for (key, value) in &steps {
                match value {
                    Some(value) => drop(model.insert(key.clone(), value.clone())),
                    None => drop(model.remove(key)),
                }
            }
            apply(&store, steps).unwrap();
            agree(&store.read().unwrap(), &model, &probes).unwrap();
            prop_assert!(every_page_has_its_sum(&store) > 0);
            let (now, asked) = (model.clone(), probes.clone());
            store.write(move |txn| agree(txn, &now, &asked)).unwrap();
            if let Some((snapshot, then)) = &before {
                agree(snapshot, then, &probes).unwrap();
            }
            before = Some((store.read().unwrap(), model.clone()));
        }
    }
}

/// A database of many pages, closed.
fn filled(directory: &Path) -> Model {
    let store = Store::open(directory, &Options::default()).unwrap();
    let mut model = Model::new();
    for commit in 0..4u32 {
        let steps: Vec<_> = (0..400u32)
            .map(|n| {
                let key = Key::new(NamespaceId(n % 7)).u32(n * 31 % 1009).as_slice().to_vec();
                let length = if n % 50 == 0 { 9000 } else { (n as usize * 13) % 90 };
                (key, (n % 9 != commit).then(|| vec![(n + commit) as u8; length]))
            })
            .collect();
        for (key, value) in &steps {
            match value {
                Some(value) => drop(model.insert(key.clone(), value.clone())),
                None => drop(model.remove(key)),
            }
        }
        apply(&store, steps).unwrap();
    }
    store.close();
    model
}

/// Reads all, or writes and reads all; every answer is right or an error.
fn use_it(directory: &Path, read_only: bool, model: &Model, turn: u32) -> Result<()> {
    let store = Store::open(directory, &Options { read_only, ..Options::default() })?;
    let probes: Vec<_> = model.keys().step_by(29).cloned().collect();
    if read_only {
        return agree(&store.read()?, model, &probes);
    }
    let mut model = model.clone();
    let steps: Vec<_> = model
        .keys()
        .enumerate()
        .filter(|(at, _)| (*at as u32 + turn).is_multiple_of(3))
        .map(|(at, key)| (key.clone(), at.is_multiple_of(2).then(|| vec![at as u8; at * 7 % 60])))
        .collect();
    for (key, value) in &steps {
        match value {
            Some(value) => drop(model.insert(key.clone(), value.clone())),
            None => drop(model.remove(key)),
        }
    }
    apply(&store, steps)?;
    agree(&store.read()?, &model, &probes)
}

/// A bit at a random place of a file, each in a copy of its own.
#[test]
fn a_flipped_bit_is_never_a_wrong_answer() {
    let home = tempfile::tempdir().unwrap();
    let sound = home.path().join("sound");
    let model = filled(&sound);
    let generation = sound.join("gen-0000000001");
    let files: Vec<_> = ["data.mdb", "data.sums"].map(|name| generation.join(name)).into();
    let contents: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let turns = if std::env::var_os("EMBEDDED_DB_THOROUGH").is_some() { 3000u32 } else { 120 };
    let (mut refused, mut right) = (0, 0);
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    for turn in 0..turns {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let which = usize::from(turn % 6 == 5);
        let mut damaged = contents[which].clone();
        // Mostly where pages have what leads to other bytes: their first and last bytes, and metas.
        let pages = damaged.len() as u64 / 4096;
        let at = match turn % 4 {
            0 => random % damaged.len() as u64,
            1 => random % pages * 4096 + (random >> 32) % 64,
            2 => random % pages * 4096 + 4000 + (random >> 32) % 96,
            _ => (random >> 32) % 8192,
        };
        let at = at.min(damaged.len() as u64 - 1) as usize;
        damaged[at] ^= 1 << (random >> 61);
        let copy = home.path().join("copy");
        let directory = copy.join("gen-0000000001");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::copy(sound.join("CURRENT"), copy.join("CURRENT")).unwrap();
        for (file, content) in files.iter().zip(&contents) {
            std::fs::write(directory.join(file.file_name().unwrap()), content).unwrap();
        }
        std::fs::write(directory.join(files[which].file_name().unwrap()), &damaged).unwrap();
        match use_it(&copy, turn % 2 == 0, &model, turn) {
            Ok(()) => right += 1,
            Err(Error::Corruption { .. }) => refused += 1,
            Err(other) => panic!("byte {at} of {:?}: {other}", files[which]),
        }
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(refused > turns / 10 && right > turns / 10, "{refused} refused, {right} right");
}

/// A writer that is killed between a commit and its sums leaves nothing that looks like damage.
#[test]
fn sums_that_lag_behind_are_made_up_for() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let model = filled(&path);
    let sums = path.join("gen-0000000001/data.sums");
    let before = std::fs::read(&sums).unwrap();
    let probes: Vec<_> = model.keys().step_by(13).cloned().collect();
    let mut after = model.clone();
    let steps: Vec<_> =
        model.keys().step_by(5).map(|key| (key.clone(), Some(vec![7; 30]))).collect();
    after.extend(steps.iter().map(|(key, value)| (key.clone(), value.clone().unwrap())));
    let store = Store::open(&path, &Options::default()).unwrap();
    apply(&store, steps).unwrap();
    // As it would lie there: the file as it was before the commit, which was begun; its writer gone.
    drop(store);
    let ended = std::fs::read(&sums).unwrap();
    let mut begun = before.clone();
    let covered = u64::from_le_bytes(*before[16..].first_chunk().unwrap());
    begun[80..88].copy_from_slice(&(covered + 1).to_le_bytes());
    std::fs::write(&sums, &begun).unwrap();
    let reader = Store::open(&path, &Options { read_only: true, ..Options::default() }).unwrap();
    agree(&reader.read().unwrap(), &after, &probes).unwrap();
    // The writer had only stood still, and writes them now: whoever looks for what is without, and was
    // late itself, takes no page for a damaged one.
    let view = reader.generation().page_file.newest().unwrap();
    let lagging = view.pages.sums.as_ref().expect("they can be used");
    assert!(view.find_unsummed(lagging).unwrap().is_some_and(|found| !found.is_empty()));
    let mut file = std::fs::OpenOptions::new().write(true).open(&sums).unwrap();
    std::io::Write::write_all(&mut file, &ended).unwrap();
    assert_eq!(view.find_unsummed(lagging).unwrap(), None);
    drop((view, reader));
    std::fs::write(&sums, &begun).unwrap();
    let store = Store::open(&path, &Options::default()).unwrap();
    agree(&store.read().unwrap(), &after, &probes).unwrap();
    every_page_has_its_sum(&store);
    // Without them, or when they were only begun, they are made anew.
    drop(store);
    let mut begun = before[..4096].to_vec();
    begun[16..].fill(0);
    for left in [None, Some(begun)] {
        match left {
            None => std::fs::remove_file(&sums).unwrap(),
            Some(begun) => std::fs::write(&sums, begun).unwrap(),
        }
        let options = Options { read_only: true, ..Options::default() };
        let reader = Store::open(&path, &options).unwrap();
        agree(&reader.read().unwrap(), &after, &probes).unwrap();
        drop(reader);
        every_page_has_its_sum(&Store::open(&path, &Options::default()).unwrap());
    }
    // Those of a state that is older than one commit are not of this file.
    let store = Store::open(&path, &Options::default()).unwrap();
    apply(&store, vec![(vec![1], None)]).unwrap();
    apply(&store, vec![(vec![2], None)]).unwrap();
    drop(store);
    std::fs::write(&sums, &before).unwrap();
    for how in [Use::Reading, Use::Writing] {
        let opened = PageFile::open(&path, &path.join("gen-0000000001"), how, &Options::default());
        assert!(matches!(opened, Err(Error::Corruption { .. })), "the sums of another state");
    }
}

/// Sums that are lost are only made anew of what is in order.
#[test]
fn what_is_damaged_gets_no_sums() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    filled(&path);
    let generation = path.join("gen-0000000001");
    let content = std::fs::read(generation.join("data.mdb")).unwrap();
    let mut refused = 0;
    for page in 2..content.len() / 4096 {
        let mut damaged = content.clone();
        // The last bytes of a page are in its first row, or of a branch in its last key.
        damaged[page * 4096 + 4090] ^= 1;
        std::fs::write(generation.join("data.mdb"), damaged).unwrap();
        std::fs::remove_file(generation.join("data.sums")).unwrap();
        refused += usize::from(Store::open(&path, &Options::default()).is_err());
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn what_follows_a_prefix() {
    assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(after_prefix(&[1, 255, 255]), Some(vec![2]));
    assert_eq!(after_prefix(&[255]), None);
    assert_eq!(after_prefix(&[]), None);
}
