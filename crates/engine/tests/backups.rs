//! A backup holds one state whole, whoever writes meanwhile; what was broken off or damaged is never
//! taken for one; and what is restored holds the same, as a database of its own.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{assert_sound, everything, fast, go_on, hash, node, quiet, say, set, text};
use embedded_db_common::{Digest, Error, Options, Result, Value};
use embedded_db_engine::Database;
use tempfile::TempDir;

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Everything beside, in order.
    fn names(&self) -> Vec<String> {
        names(self.0.path())
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut out: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    out.sort();
    out
}

fn open(path: &Path) -> Database {
    Database::open(path, &fast(), None).unwrap()
}

fn restore(backup: &Path, to: &Path) -> Result<()> {
    Database::restore(backup, to, &mut quiet).map(drop)
}

/// A backup of a database with something of every kind.
fn backup(scratch: &Scratch) -> PathBuf {
    let db = everything(&scratch.at("db"));
    db.backup(&scratch.at("copy"), &mut quiet).unwrap();
    db.close();
    scratch.at("copy")
}

#[test]
fn what_is_restored_is_what_was_backed_up() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let before = hash(&db);
    let made = db.backup(&scratch.at("copy"), &mut quiet).unwrap();
    assert_eq!(names(&scratch.at("copy")), ["MANIFEST", "data.mdb"]);
    let stats = db.stats().unwrap();
    assert_eq!((made.lsn, made.counts.namespaces), (stats.lsn, 2));
    assert_eq!(made.bytes, fs::metadata(scratch.at("copy/data.mdb")).unwrap().len());
    // What is written later is not in it.
    db.delete_node("m1", None).unwrap();
    assert_ne!(hash(&db), before);

    let restored = Database::restore(&made.path, &scratch.at("again"), &mut quiet).unwrap();
    assert_eq!((restored.lsn, restored.counts), (made.lsn, made.counts));
    let again = open(&scratch.at("again"));
    assert_eq!(hash(&again), before);
    assert_sound(&again);
    assert_eq!(again.stats().unwrap().lsn, made.lsn);
    assert!(again.get_node("m1").unwrap().is_some());
    // It is written to, and both go their ways.
    say(&again, "chat", "new", "After all that");
    assert_sound(&again);
    assert!(db.get_node("new").unwrap().is_none());
    assert_ne!(current(&scratch.at("again")), current(&scratch.at("db")), "another identity");
    assert_eq!(scratch.names(), ["again", "copy", "db"]);
}

/// The line with the identity.
fn current(database: &Path) -> String {
    let text = fs::read_to_string(database.join("CURRENT")).unwrap();
    text.lines().find(|line| line.starts_with("identity ")).unwrap().to_owned()
}

#[test]
fn the_hash_tells_apart_what_differs_and_nothing_else() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let before = hash(&db);
    assert_eq!(hash(&db), before, "it is the same each time");
    let mut seen = vec![before.clone()];
    let mut differs = |what: &str, change: &dyn Fn()| {
        change();
        let now = hash(&db);
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    differs("a property", &|| drop(db.update_node("t5", set(&[("x", Value::Int(1))]), None)));
    differs("its type", &|| drop(db.update_node("t5", set(&[("x", Value::Float(1.0))]), None)));
    differs("a node", &|| drop(db.create_nodes(vec![node("new", "Thing", &[])])));
    differs("an edge", &|| drop(db.create_edge(common::edge("new", "new", "T", "new"))));
    differs("its history", &|| {
        let weight = embedded_db_engine::EdgeChanges { weight: Some(2.0), ..Default::default() };
        db.update_edge("new", weight, None).unwrap();
    });
    differs("a retraction", &|| db.retract_edge("new").unwrap());
    differs("a vector", &|| db.update_embedding("v1", vec![1.0, 3.0]).unwrap());
    differs("work that is due", &|| drop(say(&db, "chat", "more", "Dave waits, too")));
    differs("an index", &|| drop(db.create_index("Thing", "text", false, &go_on)));
    differs("a declared label", &|| db.declare_label("Extra", vec!["a".into()], vec![]).unwrap());
    differs("a namespace", &|| drop(db.namespace("third").unwrap()));
    differs("what is in another", &|| {
        drop(say(&db.namespace("third").unwrap(), "chat", "m", "x"));
    });
    // The same again under other slots, LSNs and numbers of names.
    let other = Database::open(":memory:", &fast(), None).unwrap();
    for round in 0..2 {
        other.create_nodes(vec![node("a", "Other", &[("later", text("x"))])]).unwrap();
        if round == 0 {
            other.delete_node("a", None).unwrap();
        }
    }
    let node = other.get_node("a").unwrap().unwrap();
    let third = Database::open(":memory:", &fast(), None).unwrap();
    let restored = embedded_db_engine::RestoredNode {
        draft: common::node("a", "Other", &[("later", text("x"))]),
        version: 1,
        created_at: node.created_at().unwrap(),
        updated_at: node.updated_at().unwrap(),
        derived: false,
    };
    third.restore_nodes(vec![restored], false).unwrap();
    assert_eq!(hash(&third), hash(&other));
}

#[test]
fn writers_go_on_and_the_backup_is_one_state_of_theirs() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Two nodes of one write: whoever sees one sees both.
        scope.spawn(|| {
            for n in 0.. {
                let pair = [node(&format!("a{n}"), "A", &[]), node(&format!("b{n}"), "B", &[])];
                db.create_nodes(pair.into()).unwrap();
                if done.load(Ordering::Acquire) {
                    break;
                }
            }
        });
        for round in 0..3 {
            let (copy, again) =
                (scratch.at(&format!("copy{round}")), scratch.at(&format!("{round}")));
            let mut told = Vec::new();
            let made = db.backup(&copy, &mut |done, total| {
                told.push((done, total));
                // Writers have a chance between any two steps.
                thread::yield_now();
                Ok(())
            });
            let made = made.unwrap();
            assert!(
                told.len() > 2 && told.windows(2).all(|pair| pair[0].0 <= pair[1].0),
                "{told:?}"
            );
            assert_eq!(told.last().map(|(done, total)| done == total), Some(true));
            restore(&copy, &again).unwrap();
            let again = open(&again);
            assert_sound(&again);
            assert_eq!(again.stats().unwrap().lsn, made.lsn);
            let count = |label| again.count(Some(label)).unwrap();
            assert_eq!(count("A"), count("B"));
        }
        done.store(true, Ordering::Release);
    });
    let written = db.count(Some("A")).unwrap();
    assert!(open(&scratch.at("0")).count(Some("A")).unwrap() <= written);
    assert!(written > 0, "somebody wrote");
}

#[test]
fn a_backup_that_is_broken_off_leaves_nothing() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    let total = {
        let mut steps = 0;
        db.backup(&scratch.at("whole"), &mut |_, _| {
            steps += 1;
            Ok(())
        })
        .unwrap();
        steps
    };
    fs::create_dir(scratch.at("empty")).unwrap();
    for stop in 0..total {
        for to in ["deep/er/copy", "empty"] {
            let mut step = 0;
            let broken = db.backup(&scratch.at(to), &mut |_, _| {
                step += 1;
                if step > stop { Err(Error::Interrupted) } else { Ok(()) }
            });
            assert!(matches!(broken, Err(Error::Interrupted)));
            assert_eq!(scratch.names(), ["db", "empty", "whole"], "step {stop}");
            assert!(names(&scratch.at("empty")).is_empty());
        }
    }
    // The one that was not broken off is whole.
    restore(&scratch.at("whole"), &scratch.at("again")).unwrap();
}

#[test]
fn a_destination_must_be_new_or_empty_and_elsewhere() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    fs::create_dir(scratch.at("full")).unwrap();
    fs::write(scratch.at("full/mine"), "x").unwrap();
    fs::write(scratch.at("file"), "x").unwrap();
    db.backup(&scratch.at("copy"), &mut quiet).unwrap();
    for (to, why) in [
        ("full", "is not empty"),
        ("file", "is a file"),
        ("copy", "holds a backup"),
        ("db", "lies in the directory of the database"),
        ("db/inside", "lies in the directory of the database"),
        ("db/gen-0000000001", "lies in the directory of the database"),
        ("full/../db/inside", "lies in the directory of the database"),
    ] {
        let error = db.backup(&scratch.at(to), &mut quiet).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{to}: {error}");
        assert!(error.to_string().contains(why), "{to}: {error}");
    }
    assert_eq!(fs::read_to_string(scratch.at("full/mine")).unwrap(), "x");
    for to in ["full", "file", "db"] {
        let error = restore(&scratch.at("copy"), &scratch.at(to)).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{to}: {error}");
    }
    assert_eq!(scratch.names(), ["copy", "db", "file", "full"]);
    fs::create_dir(scratch.at("empty")).unwrap();
    restore(&scratch.at("copy"), &scratch.at("empty")).unwrap();
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere_else() {
    use std::os::unix::fs::symlink;
    let scratch = Scratch::new();
    let copy = backup(&scratch);
    let db = open(&scratch.at("db"));
    symlink(scratch.at("db"), scratch.at("link")).unwrap();
    symlink(scratch.at("nowhere"), scratch.at("dangling")).unwrap();
    for to in ["link/inside", "dangling"] {
        let error = db.backup(&scratch.at(to), &mut quiet).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{to}: {error}");
    }
    // A file of the backup that is a link to another is none.
    fs::rename(copy.join("data.mdb"), scratch.at("elsewhere")).unwrap();
    symlink(scratch.at("elsewhere"), copy.join("data.mdb")).unwrap();
    let error = restore(&copy, &scratch.at("again")).unwrap_err();
    assert!(matches!(error, Error::Corruption { .. }), "{error}");
    assert!(error.to_string().contains("no plain file"), "{error}");
    assert!(!scratch.at("again").exists());
}

/// The manifest of other bytes, by somebody who knows how it is made.
fn forge(copy: &Path) {
    let bytes = fs::read(copy.join("data.mdb")).unwrap();
    let mut digest = Digest::default();
    digest.update(&bytes);
    let old = fs::read_to_string(copy.join("MANIFEST")).unwrap();
    let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
    let file = lines.iter_mut().find(|line| line.starts_with("file ")).unwrap();
    *file = format!("file data.mdb {} sha256 {}", bytes.len(), digest.finish());
    lines.pop();
    let lines = lines.join("\n") + "\n";
    let text = format!("{lines}crc32c {:08x}\n", crc32c(lines.as_bytes()));
    fs::write(copy.join("MANIFEST"), text).unwrap();
}

/// Of its own, so that the format is held by two.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}

#[test]
fn whatever_is_damaged_is_seen_and_leaves_no_database() {
    let scratch = Scratch::new();
    let copy = backup(&scratch);
    let data = fs::read(copy.join("data.mdb")).unwrap();
    let manifest = fs::read(copy.join("MANIFEST")).unwrap();
    let refused = |what: &str| {
        let error = restore(&copy, &scratch.at("again")).unwrap_err();
        assert!(
            matches!(error, Error::Corruption { .. } | Error::InvalidInput(_)),
            "{what}: {error}"
        );
        assert_eq!(scratch.names(), ["copy", "db"], "{what}");
        fs::write(copy.join("data.mdb"), &data).unwrap();
        fs::write(copy.join("MANIFEST"), &manifest).unwrap();
        error
    };
    let mut changed = data.clone();
    changed[data.len() / 2] ^= 1;
    fs::write(copy.join("data.mdb"), &changed).unwrap();
    assert!(refused("a flipped bit").to_string().contains("SHA-256"));
    fs::write(copy.join("data.mdb"), &data[..data.len() - 1]).unwrap();
    assert!(refused("one byte too few").to_string().contains("bytes, not"));
    fs::write(copy.join("data.mdb"), [&data[..], b"x"].concat()).unwrap();
    assert!(refused("one byte too many").to_string().contains("bytes, not"));
    fs::remove_file(copy.join("data.mdb")).unwrap();
    assert!(refused("no data").to_string().contains("is missing"));
    fs::remove_file(copy.join("MANIFEST")).unwrap();
    assert!(refused("no manifest").to_string().contains("broken off"));
    fs::write(copy.join("MANIFEST"), "name = 1\n").unwrap();
    assert!(refused("another's manifest").to_string().contains("is no backup"));
    fs::write(copy.join("MANIFEST"), &manifest[..manifest.len() / 2]).unwrap();
    refused("half a manifest");
}

/// Bytes that somebody chose, with a manifest that fits: nothing that LMDB would stumble over is mapped.
#[test]
fn pages_that_nobody_may_map_are_seen_whatever_the_manifest_says() {
    let scratch = Scratch::new();
    let copy = backup(&scratch);
    let data = fs::read(copy.join("data.mdb")).unwrap();
    let page = 4096;
    let mut refused = 0;
    for number in 0..data.len() / page {
        // Number, flags, bounds, and the first places of cells.
        for at in [0, 3, 10, 11, 12, 13, 14, 15, 16, 17, 20] {
            if (number * 7 + at) % 13 != 0 {
                continue;
            }
            let mut changed = data.clone();
            changed[number * page + at] ^= 0xa5;
            fs::write(copy.join("data.mdb"), &changed).unwrap();
            forge(&copy);
            match restore(&copy, &scratch.at("again")) {
                // What lies inside a value or on a free page does no harm, or is found by its checksum.
                Ok(()) => fs::remove_dir_all(scratch.at("again")).unwrap(),
                Err(Error::Corruption { .. }) => refused += 1,
                Err(other) => panic!("page {number}, byte {at}: {other}"),
            }
            assert_eq!(scratch.names(), ["copy", "db"]);
        }
    }
    assert!(refused > 10, "{refused}");
    for length in [0, 1, 100, page, page + 100, 2 * page, 3 * page, data.len() - page] {
        fs::write(copy.join("data.mdb"), &data[..length]).unwrap();
        forge(&copy);
        let error = restore(&copy, &scratch.at("again")).unwrap_err();
        assert!(matches!(error, Error::Corruption { .. }), "{length} bytes: {error}");
    }
    // Unharmed, it is what it was.
    fs::write(copy.join("data.mdb"), &data).unwrap();
    forge(&copy);
    restore(&copy, &scratch.at("again")).unwrap();
}

#[test]
fn a_damaged_row_is_never_backed_up() {
    let scratch = Scratch::new();
    let db = everything(&scratch.at("db"));
    db.close();
    let file = scratch.at("db/gen-0000000001/data.mdb");
    let mut data = fs::read(&file).unwrap();
    let planted = b"thing 77 of many";
    let places: Vec<usize> =
        (0..data.len() - planted.len()).filter(|at| data[*at..].starts_with(planted)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| data[*at] ^= 1);
    fs::write(&file, &data).unwrap();
    let options = Options { read_only: true, ..fast() };
    // Pages keep bytes of what was there before: it may be one that is read when the file is opened.
    let error = Database::open(scratch.at("db"), &options, None)
        .and_then(|db| db.backup(&scratch.at("copy"), &mut quiet))
        .unwrap_err();
    assert!(matches!(error, Error::Corruption { .. }), "{error}");
    assert_eq!(scratch.names(), ["db"]);
}
