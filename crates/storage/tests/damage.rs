//! A damaged record is an error that says where the damage is, never a wrong value. Each byte of a
//! value is flipped in the file itself.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;

use common::{NS, Scratch, bare_edge, bare_node, data_file, fast, properties, space};
use embedded_db_common::{ContentHash, Error, Options, Result, Slot, SpaceId, Value};
use embedded_db_storage::{Direction, IndexId, ReadEmbeddings, ReadTxn, Snapshot, Store};

const NODE: &str = "planted in the node, found nowhere else";
const EDGE: &str = "planted in the edge, found nowhere else";
const VECTOR: [f32; 4] = [1234.5678, -8_765.432, 0.00012345, 98765.4];

/// A closed database with the planted values.
fn planted() -> Scratch {
    let mut scratch = Scratch::new();
    scratch
        .store()
        .write(|txn| {
            let label = txn.intern("Thing")?;
            let of_node = properties(txn, &[("text", Value::Str(NODE.into()))])?;
            let node = txn.insert_node(NS, "n", &[label], &of_node, false, None)?;
            let of_edge = properties(txn, &[("text", Value::Str(EDGE.into()))])?;
            let fields = embedded_db_storage::EdgeFields {
                source: node,
                target: node,
                edge_type: label,
                weight: 1.0,
                times: Default::default(),
                sources: Vec::new(),
                derived: false,
                properties: &of_edge,
            };
            txn.insert_edge(NS, "e", &fields)?;
            let space_id = txn.create_space(&space("s", 4))?;
            let hash = ContentHash::of("x");
            txn.put_embedding(NS, space_id, node, 0, "v", false, hash, &VECTOR)
        })
        .unwrap();
    scratch.close();
    scratch
}

/// Every place where the bytes stand.
fn places(content: &[u8], wanted: &[u8]) -> Vec<usize> {
    content
        .windows(wanted.len())
        .enumerate()
        .filter(|(_, w)| *w == wanted)
        .map(|(n, _)| n)
        .collect()
}

/// What `read` says with one byte of the file flipped.
fn flipped<T>(scratch: &Scratch, at: usize, read: impl Fn(&Snapshot) -> Result<T>) -> Result<T> {
    let path = data_file(&scratch.path());
    let sound = fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    damaged[at] ^= 0x20;
    fs::write(&path, damaged).unwrap();
    let store = Store::open(&scratch.path(), &Options { read_only: true, ..fast() }).unwrap();
    let out = read(&store.read().unwrap());
    drop(store);
    fs::write(&path, sound).unwrap();
    out
}

fn assert_corruption(scratch: &Scratch, error: &Error, table: &str) {
    let Error::Corruption { path, object, detail } = error else { panic!("{error}") };
    assert_eq!(path, &scratch.path());
    assert!(object.starts_with(table), "{object}");
    assert!(detail.contains("checksum"), "{detail}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
}

/// Each byte of the planted one, at each place where the file has it: old pages may hold copies, but
/// at least one place is the live record.
fn assert_every_flip_is_seen<T: PartialEq + std::fmt::Debug>(
    table: &str,
    wanted: &[u8],
    read: impl Fn(&Snapshot) -> Result<T>,
) {
    let scratch = planted();
    let content = fs::read(data_file(&scratch.path())).unwrap();
    let places = places(&content, wanted);
    let sound = flipped(&scratch, content.len() - 1, &read).unwrap();
    assert!(!places.is_empty());
    let mut seen = 0;
    for place in places {
        for at in place..place + wanted.len() {
            match flipped(&scratch, at, &read) {
                Ok(value) => assert_eq!(value, sound, "a wrong value was read"),
                Err(error) => {
                    assert_corruption(&scratch, &error, table);
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, wanted.len(), "every byte of the live record");
}

#[test]
fn a_damaged_node_is_never_read() {
    assert_every_flip_is_seen("nodes", NODE.as_bytes(), |snapshot| {
        let node = snapshot.node(NS, Slot(0))?;
        Ok(node.map(|node| node.properties.as_bytes().to_vec()))
    });
}

#[test]
fn a_damaged_edge_is_never_read() {
    assert_every_flip_is_seen("edges", EDGE.as_bytes(), |snapshot| {
        let edge = snapshot.edge(NS, Slot(0))?;
        Ok(edge.map(|edge| edge.properties.as_bytes().to_vec()))
    });
}

#[test]
fn a_damaged_vector_is_never_read() {
    let bytes: Vec<u8> = VECTOR.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_every_flip_is_seen("embeddings", &bytes, |snapshot| {
        let found = snapshot.embedding(NS, SpaceId(1), Slot(0), 0)?;
        Ok(found.map(|found| found.values().collect::<Vec<f32>>()))
    });
    assert_every_flip_is_seen("embeddings", &bytes, |snapshot| {
        let mut all = Vec::new();
        snapshot.scan_embeddings(NS, SpaceId(1), |slot, part, found| {
            all.push((slot, part, found.values().collect::<Vec<f32>>()));
            Ok(())
        })?;
        Ok(all)
    });
}

#[test]
fn damaged_neighbours_are_never_read() {
    let mut scratch = Scratch::new();
    let (hub, first) = scratch
        .store()
        .write(|txn| {
            let hub = bare_node(txn, NS, "hub")?;
            let of = txn.intern("T")?;
            let mut first = None;
            // Slots that make a pattern which nothing else has.
            for n in 0..40 {
                let other = bare_node(txn, NS, &format!("n{n}"))?;
                let edge = bare_edge(txn, NS, &format!("e{n}"), hub, other, of)?;
                first.get_or_insert((other, edge));
            }
            Ok((hub, first))
        })
        .unwrap();
    let (node, edge) = first.unwrap();
    let mut pattern = [node.0.to_le_bytes(), edge.0.to_le_bytes()].concat();
    pattern.extend([node.0 + 1, edge.0 + 1].iter().flat_map(|slot| slot.to_le_bytes()));
    scratch.close();
    let content = fs::read(data_file(&scratch.path())).unwrap();
    let mut seen = 0;
    for place in places(&content, &pattern) {
        for at in place..place + pattern.len() {
            let read = flipped(&scratch, at, |snapshot| {
                let mut count = 0;
                snapshot.neighbors(NS, hub, Direction::Out, None, |_, _| {
                    count += 1;
                    true
                })?;
                Ok(count)
            });
            match read {
                Ok(count) => assert_eq!(count, 40),
                Err(error) => {
                    assert_corruption(&scratch, &error, "adjacency");
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, pattern.len());
}

#[test]
fn a_writer_does_not_build_on_a_damaged_record() {
    let scratch = planted();
    let path = data_file(&scratch.path());
    let mut content = fs::read(&path).unwrap();
    for place in places(&content, NODE.as_bytes()) {
        content[place] ^= 1;
    }
    fs::write(&path, content).unwrap();
    let store = Store::open(&scratch.path(), &fast()).unwrap();
    let before = store.read().unwrap().lsn().unwrap();
    for attempt in 0..3 {
        let error = store
            .write(move |txn| match attempt {
                0 => txn.update_node(NS, Slot(0), &[]),
                1 => txn.delete_node(NS, Slot(0)),
                _ => txn.touch_node(NS, Slot(0), &[]),
            })
            .unwrap_err();
        assert_corruption(&scratch, &error, "nodes");
    }
    assert_eq!(store.read().unwrap().lsn().unwrap(), before, "nothing was half-written");
    store.write(|txn| txn.intern("what lies elsewhere goes on").map(drop)).unwrap();
}

#[test]
fn a_damaged_current_file_is_an_error() {
    let scratch = planted();
    let current = scratch.path().join("CURRENT");
    let sound = fs::read(&current).unwrap();
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs::write(&current, damaged).unwrap();
        let error = common::refused(&scratch.path(), &fast());
        let expected = matches!(error, Error::Corruption { .. } | Error::FormatTooNew { .. });
        assert!(expected, "byte {at}: {error}");
    }
    fs::write(&current, &sound[..sound.len() / 2]).unwrap();
    let error = common::refused(&scratch.path(), &fast());
    assert!(matches!(error, Error::Corruption { .. }), "{error}");
}

const CUT: &str = "EMBEDDED_DB_TEST_CUT";
const READ_ONLY: &str = "EMBEDDED_DB_TEST_READ_ONLY";

/// A meta page that speaks of far more pages than there are.
#[test]
fn a_damaged_meta_page_does_not_lengthen_the_file() {
    let scratch = planted();
    let file = data_file(&scratch.path());
    let sound = fs::read(&file).unwrap();
    for (page, bit) in [(0, 20), (1, 20), (0, 31), (1, 31)] {
        let mut damaged = sound.clone();
        // The last page stands behind two trees.
        damaged[page * 4096 + 136 + bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, &damaged).unwrap();
        let error = common::refused(&scratch.path(), &fast());
        assert!(matches!(error, Error::Corruption { .. }), "{error}");
        assert_eq!(fs::read(&file).unwrap().len(), sound.len(), "nothing was touched");
    }
}

/// Reads everything; says how many nodes were right, or ends with the error.
fn read_all(path: &std::path::Path) -> Result<usize> {
    let read_only = std::env::var_os(READ_ONLY).is_some();
    let store = Store::open(path, &Options { read_only, ..fast() })?;
    let snapshot = store.read()?;
    let mut right = 0;
    for n in 0..200 {
        let Some(slot) = snapshot.node_slot(NS, &format!("n{n}"))? else { continue };
        let Some(node) = snapshot.node(NS, slot)? else { continue };
        assert_eq!(node.properties.as_bytes(), [n as u8; 2_000], "a wrong value was read");
        right += 1;
    }
    Ok(right)
}

#[test]
#[ignore = "the other process of the test below"]
fn whoever_opens_a_cut_file() {
    match read_all(std::env::var(CUT).unwrap().as_ref()) {
        // Everything, or an error: a part would be data lost without a word.
        Ok(right) => assert_eq!(right, 150),
        Err(Error::Corruption { .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

/// Touching a page of the map beyond the end of its file kills a process, so each cut is opened in
/// one of its own.
#[test]
fn a_file_that_was_cut_off_is_damage_and_kills_nobody() {
    let mut scratch = Scratch::new();
    for n in 0..200u8 {
        scratch
            .store()
            .write(move |txn| {
                let label = txn.intern("Thing")?;
                txn.insert_node(NS, &format!("n{n}"), &[label], &[n; 2_000], false, None)
            })
            .unwrap();
    }
    for n in 0..50 {
        let id = format!("n{n}");
        let slot = scratch.store().read().unwrap().node_slot(NS, &id).unwrap().unwrap();
        scratch.store().write(move |txn| txn.delete_node(NS, slot)).unwrap();
    }
    scratch.close();
    let file = data_file(&scratch.path());
    let whole = fs::read(&file).unwrap();
    let cuts = (0..24).map(|n| whole.len() * n / 24 / 512 * 512);
    for cut in cuts.chain([1, 4095, 4096, 8191, 8192, whole.len() - 1]) {
        for read_only in [true, false] {
            fs::write(&file, &whole[..cut]).unwrap();
            let mut opener = std::process::Command::new(std::env::current_exe().unwrap());
            opener.args(["whoever_opens_a_cut_file", "--exact", "--ignored"]);
            opener.env(CUT, scratch.path());
            if read_only {
                opener.env(READ_ONLY, "yes");
            }
            let opener = opener.output().unwrap();
            let said = String::from_utf8_lossy(&opener.stdout);
            assert!(opener.status.success(), "cut at {cut}: {}\n{said}", opener.status);
            let length = fs::metadata(&file).unwrap().len();
            assert!(!read_only || length == cut as u64, "a reader leaves the file alone");
        }
    }
}

#[test]
fn a_reader_names_the_file_that_was_cut_off() {
    let scratch = planted();
    let file = data_file(&scratch.path());
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 4096]).unwrap();
    let error = common::refused(&scratch.path(), &Options { read_only: true, ..fast() });
    let Error::Corruption { path, detail, .. } = &error else { panic!("{error}") };
    assert_eq!(path, &file);
    assert!(detail.contains(&whole.len().to_string()), "{detail}");
}

#[test]
fn a_file_that_is_cut_off_while_it_is_open_is_damage_at_a_later_snapshot() {
    let mut scratch = planted();
    let file = data_file(&scratch.path());
    let whole = fs::read(&file).unwrap();
    for read_only in [true, false] {
        scratch.close();
        let store = Store::open(&scratch.path(), &Options { read_only, ..fast() }).unwrap();
        assert!(store.read().is_ok());
        let cut = fs::OpenOptions::new().write(true).open(&file).unwrap();
        cut.set_len(whole.len() as u64 - 4096).unwrap();
        // The length is looked at every 10 ms.
        std::thread::sleep(std::time::Duration::from_millis(30));
        let error = store.read().err().unwrap();
        assert!(matches!(&error, Error::Corruption { path, .. } if *path == file), "{error}");
        drop(store);
        fs::write(&file, &whole).unwrap();
    }
}

/// What the newest meta page of the file says: the length up to its last page.
fn length_by_meta(content: &[u8]) -> u64 {
    let u64_at = |at: usize| u64::from_ne_bytes(content[at..at + 8].try_into().unwrap());
    let page = u64::from(u32::from_ne_bytes(content[40..44].try_into().unwrap()));
    let newest = [0, page as usize].into_iter().max_by_key(|at| u64_at(at + 144)).unwrap();
    (u64_at(newest + 136) + 1) * page
}

/// Pages that are taken and freed in one transaction are never written; at the end of the file they
/// leave it short.
#[test]
fn after_each_commit_the_file_reaches_to_its_last_page() {
    let scratch = Scratch::new();
    let file = data_file(&scratch.path());
    for round in 0..10 {
        scratch
            .store()
            .write(move |txn| {
                bare_node(txn, NS, &format!("kept{round}"))?;
                let values = || (0..2_000u32).map(u32::to_be_bytes);
                values().try_for_each(|value| txn.post(NS, IndexId::LABEL, &value, Slot(0)))?;
                values().rev().try_for_each(|value| txn.unpost(NS, IndexId::LABEL, &value, Slot(0)))
            })
            .unwrap();
        let content = fs::read(&file).unwrap();
        let needed = length_by_meta(&content);
        assert!(content.len() as u64 >= needed, "{round}: {} of {needed}", content.len());
    }
}
