//! What is written while everything is copied is there afterwards, whichever way it had to go: little of
//! it is copied while writers wait, more of it before, and of too much writers wait for the copy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use embedded_db_common::{ContentHash, Durability, Options, Slot, ValueRef};

use super::*;
use crate::columns::{Cell, column_rows};
use crate::invariants::check_invariants;
use crate::keys::{self, Direction, Kind};
use crate::pages::{PageFile, Use};
use crate::postings::IndexId;
use crate::read::{ReadEmbeddings, ReadPostings};
use crate::records::{EdgeFields, EdgeTimes, SpaceRecord};
use crate::tx::WriteTxn;

const NS: NamespaceId = NamespaceId::DEFAULT;

fn store() -> (tempfile::TempDir, Arc<Store>) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { durability: Durability::Memory, ..Options::default() };
    let store = Store::open(directory.path(), &options).unwrap();
    // The map of the unit tests is small, and cannot grow under the snapshot that is being copied.
    store.generation().resize(1 << 28, store.lost()).unwrap();
    store
        .write(|txn| {
            txn.create_namespace("default")?;
            let text = || "s".to_owned();
            let metric = "dot".into();
            let (name, model, provider, precision) = (text(), text(), text(), text());
            txn.create_space(&SpaceRecord {
                name,
                model,
                provider,
                precision,
                dimension: 1,
                metric,
            })
        })
        .unwrap();
    (directory, store)
}

/// A node with something in every table, tied to the one before.
fn make(txn: &mut WriteTxn<'_>, n: u32) -> Result<()> {
    let label = txn.intern("Thing")?;
    let id = format!("n{n}");
    let slot = txn.insert_node(NS, &id, &[label], &[], false, Some(i64::MAX))?;
    txn.post(NS, IndexId::SENDER, &[4, (n % 5) as u8, 0], slot)?;
    let cell = Cell::of(&ValueRef::Int(i64::from(n)));
    txn.put_cell(NS, IndexId::TIMESTAMP, slot, cell)?;
    let waiting = [&[1], &NS.0.to_be_bytes()[..]].concat();
    txn.post(NamespaceId::SYSTEM, IndexId::PENDING, &waiting, slot)?;
    let hash = ContentHash::of(&id);
    let space = embedded_db_common::SpaceId(1);
    txn.put_embedding(NS, space, slot, 0, &format!("v{n}"), false, hash, &[n as f32])?;
    txn.put_text_hash(NS, space, hash, slot)?;
    let other = txn.node_slot(NS, &format!("n{}", n.saturating_sub(1)))?.unwrap_or(slot);
    let edge_type = txn.intern("T")?;
    let fields = EdgeFields {
        derived: false,
        source: slot,
        target: other,
        edge_type,
        weight: 1.0,
        times: EdgeTimes { recorded_at: txn.now(), ..EdgeTimes::default() },
        sources: Vec::new(),
        properties: &[],
    };
    txn.insert_edge(NS, &format!("e{n}"), &fields)?;
    Ok(())
}

fn remove(txn: &mut WriteTxn<'_>, n: u32) -> Result<()> {
    let Some(slot) = txn.node_slot(NS, &format!("n{n}"))? else { return Ok(()) };
    let mut edges = Vec::new();
    for direction in [Direction::Out, Direction::In] {
        txn.neighbors(NS, slot, direction, None, |_, end| {
            edges.push(end.edge);
            true
        })?;
    }
    edges.sort_unstable();
    edges.dedup();
    edges.into_iter().try_for_each(|edge| txn.delete_edge(NS, edge))?;
    txn.delete_embeddings(NS, embedded_db_common::SpaceId(1), slot)?;
    txn.unpost(NS, IndexId::SENDER, &[4, (n % 5) as u8, 0], slot)?;
    txn.put_cell(NS, IndexId::TIMESTAMP, slot, None)?;
    let waiting = [&[1], &NS.0.to_be_bytes()[..]].concat();
    txn.unpost(NamespaceId::SYSTEM, IndexId::PENDING, &waiting, slot)?;
    txn.delete_node(NS, slot)
}

fn make_all(store: &Arc<Store>, numbers: std::ops::Range<u32>) {
    store.write(move |txn| numbers.clone().try_for_each(|n| make(txn, n))).unwrap();
}

/// All that is there of each node, by names instead of slots.
fn held(store: &Arc<Store>) -> BTreeMap<String, Vec<String>> {
    let snapshot = store.read().unwrap();
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let id_of = |slot| snapshot.node(NS, slot).unwrap().unwrap().id.to_owned();
    let mut all = Vec::new();
    snapshot
        .ids(NS, Kind::Node, |id, found| {
            all.push((id.to_owned(), found.slot));
            Ok(())
        })
        .unwrap();
    for (id, slot) in &all {
        let mut facts = Vec::new();
        for direction in [Direction::Out, Direction::In] {
            snapshot
                .neighbors(NS, *slot, direction, None, |_, end| {
                    let edge = snapshot.edge(NS, end.edge).unwrap().unwrap();
                    facts.push(format!("{direction:?} {} {}", id_of(end.node), edge.id));
                    true
                })
                .unwrap();
        }
        for (_, vector) in
            snapshot.embeddings_of(NS, embedded_db_common::SpaceId(1), *slot).unwrap()
        {
            facts.push(format!("{} {:?}", vector.id, vector.values().collect::<Vec<_>>()));
        }
        out.insert(id.clone(), facts);
    }
    snapshot
        .index_values(NS, IndexId::SENDER, |value, container| {
            for slot in container.slots() {
                out.get_mut(&id_of(Slot(slot))).unwrap().push(format!("sent by {value:?}"));
            }
            true
        })
        .unwrap();
    column_rows(&snapshot, NS, IndexId::TIMESTAMP, false, |cells| {
        for (slot, cell) in cells.iter() {
            out.get_mut(&id_of(slot)).unwrap().push(format!("at {cell:?}"));
        }
        Ok(true)
    })
    .unwrap();
    out
}

fn assert_sound(store: &Arc<Store>) {
    let mut problems = Vec::new();
    store.check_pages(&|| Ok(()), &mut |problem| problems.push(problem)).unwrap();
    let snapshot = store.read().unwrap();
    check_invariants(&snapshot, &|| Ok(()), &mut |problem| problems.push(problem)).unwrap();
    assert_eq!(problems, Vec::<String>::new());
}

/// Writes so much at a time while everything is copied; how often that was possible.
fn renewed(each: u32, scrub: bool) -> u32 {
    let (_directory, store) = store();
    let (_other_directory, reference) = self::store();
    for store in [&store, &reference] {
        make_all(store, 0..400);
        for n in (0..400).step_by(3) {
            store.write(move |txn| remove(txn, n)).unwrap();
        }
    }
    let next = RefCell::new(1000_u32);
    let mut calls = 0;
    let mut beside = |done: u64, total: u64| {
        calls += 1;
        let mut next = next.borrow_mut();
        for store in [&store, &reference] {
            let from = *next;
            store.write(move |txn| (from..from + each).try_for_each(|n| make(txn, n)))?;
            store.write(move |txn| remove(txn, from / 3))?;
            store.write(move |txn| remove(txn, from))?;
        }
        *next += each;
        assert!(done <= total);
        Ok(())
    };
    if scrub {
        store.scrub(HashSet::new(), &mut beside).unwrap();
    } else {
        store.compact(&mut beside).unwrap();
    }
    assert_sound(&store);
    assert_eq!(held(&store), held(&reference));
    assert_eq!(store.read().unwrap().lsn().unwrap(), reference.read().unwrap().lsn().unwrap());
    // Slots lie side by side, but for what was deleted beside.
    let counters = store.read().unwrap().namespace_counters(NS).unwrap();
    let before = reference.read().unwrap().namespace_counters(NS).unwrap();
    assert!(counters.node_slots + 130 <= before.node_slots, "{counters:?} {before:?}");
    assert_eq!(counters.nodes, before.nodes);
    make_all(&store, 9000..9010);
    assert_sound(&store);
    calls
}

#[test]
fn little_that_is_written_beside() {
    for scrub in [false, true] {
        let calls = renewed(1, scrub);
        assert!(calls > 50, "{calls}: nobody had to wait for long");
    }
}

#[test]
fn more_than_is_remembered() {
    let calls = renewed(60, false);
    assert!((1..20).contains(&calls), "{calls}: writers had to wait");
}

#[test]
fn writers_in_other_threads_lose_nothing() {
    let (_directory, store) = store();
    make_all(&store, 0..300);
    let done = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (store, done) = (&store, &done);
                scope.spawn(move || {
                    let mut n = 0;
                    while !done.load(Ordering::Acquire) {
                        let at = 10_000 * (writer + 1) + n;
                        store.write(move |txn| make(txn, at)).unwrap();
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        let compacted: Result<Vec<_>> = (0..5).map(|_| store.compact(&mut |_, _| Ok(()))).collect();
        done.store(true, Ordering::Release);
        compacted.unwrap();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum::<u32>()
    });
    assert_sound(&store);
    assert_eq!(held(&store).len(), 300 + written as usize);
}

/// The files of a generation and what is in use, in another directory: the library opens a path once in a
/// process, and a link to it is another path to it.
fn link(database: &Path, other: &Path, generation: &str) {
    let (from, to) = (database.join(generation), other.join(generation));
    fs::create_dir_all(&to).unwrap();
    for file in ["data.mdb", "data.sums", "lock.mdb"] {
        drop(fs::remove_file(to.join(file)));
        fs::hard_link(from.join(file), to.join(file)).unwrap();
    }
    fs::copy(database.join("CURRENT"), other.join("CURRENT")).unwrap();
}

/// A reader in another process has a store of its own over the same files.
fn reader(database: &Path) -> (PathBuf, Arc<Store>) {
    let other = database.join("other");
    link(database, &other, "gen-0000000001");
    let options = Options { read_only: true, ..Options::default() };
    let store = Store::open(&other, &options).unwrap();
    (other, store)
}

#[test]
fn readers_elsewhere_open_the_new_generation_at_their_next_snapshot() {
    let (directory, store) = store();
    make_all(&store, 0..50);
    let (other, reader) = reader(directory.path());
    let before = reader.read().unwrap();
    let expected = held(&reader);
    store.compact(&mut |_, _| Ok(())).unwrap();
    link(directory.path(), &other, "gen-0000000002");
    make_all(&store, 50..60);
    // What it holds stays what it was; the next one is of the new generation.
    assert!(before.node_slot(NS, "n50").unwrap().is_none());
    let now = reader.read().unwrap();
    assert_eq!(now.generation().number(), 2);
    assert!(now.node_slot(NS, "n50").unwrap().is_some());
    assert_eq!(before.generation().number(), 1);
    drop((before, now));
    let mut now = held(&reader);
    now.retain(|id, _| expected.contains_key(id));
    now.remove("n49");
    let mut expected = expected;
    expected.remove("n49");
    assert_eq!(now, expected);
}

/// A writer that is killed between telling the readers and the switch.
#[test]
fn readers_elsewhere_stay_where_they_are_until_the_switch() {
    let (directory, store) = store();
    make_all(&store, 0..50);
    let (_, reader) = reader(directory.path());
    store.tell_readers(&mut store.hold_writers().unwrap(), 2).unwrap();
    for n in 50..53 {
        let now = reader.read().unwrap();
        assert_eq!(now.generation().number(), 1);
        assert!(now.get(Table::Meta, &keys::successor()).unwrap().is_some());
        assert_eq!(held(&reader).len() as u32, n);
        make_all(&store, n..n + 1);
    }
    store.stay().unwrap();
    let now = reader.read().unwrap();
    assert!(now.get(Table::Meta, &keys::successor()).unwrap().is_none());
    drop(now);
    assert_eq!(held(&reader).len(), 53);
    assert_sound(&store);
}

/// A commit can be seen a moment before it is noted.
#[test]
fn what_is_noted_late_is_copied() {
    let (directory, store) = store();
    make_all(&store, 0..50);
    let place = directory.path().join("new");
    fs::create_dir(&place).unwrap();
    let options = Options { durability: Durability::Memory, ..Options::default() };
    let file = NewFile::create_generation(directory.path(), &place, 0, &options).unwrap();
    let (snapshot, _noting) = store.note_writes().unwrap();
    let (mut copyist, _) =
        store.copy_state(&file, snapshot, Keep::All, &mut |_, _| Ok(())).unwrap();
    let mut rows = file.rows();
    make_all(&store, 50..51);
    let late = store.writer.touched.take();
    store.catch_up(&mut copyist, &mut rows).unwrap();
    store.writer.touched.add(late.into_iter().collect());
    store.catch_up(&mut copyist, &mut rows).unwrap();
    rows.end().unwrap();
    file.finish().unwrap();
    let read = PageFile::open(directory.path(), &place, Use::Reading, &options).unwrap().unwrap();
    let key = keys::id(NS, Kind::Node, "n50");
    assert!(read.newest().unwrap().get(Table::Ids, &key).unwrap().is_some());
}
