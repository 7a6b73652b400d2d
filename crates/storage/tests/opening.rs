//! Who may open what: one writer, named to whoever comes second; readers beside it; nothing that is
//! not ours is touched; what cannot be read by this version stays as it is.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{NS, Scratch, changes, data_file, fast, files, refused};
use embedded_db_common::{Durability, Error, Options, Result};
use embedded_db_storage::{FORMAT, ReadTxn, Store, WriteTxn};
use tempfile::tempdir;

const PATH: &str = "EMBEDDED_DB_TEST_PATH";
const ROLE: &str = "EMBEDDED_DB_TEST_ROLE";

/// This test binary as another process, which answers each line it is sent.
struct Other {
    process: Child,
    say: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

impl Other {
    fn spawn(role: &str, path: &std::path::Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["another_process", "--exact", "--ignored", "--nocapture", "--quiet"])
            .env(ROLE, role)
            .env(PATH, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let say = process.stdin.take();
        let hear = BufReader::new(process.stdout.take().unwrap());
        Self { process, say, hear }
    }

    /// The next line that it says to us; the harness says things of its own.
    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.hear.read_line(&mut line).unwrap(), 0, "the other process is gone");
            if let Some((_, said)) = line.trim_end().split_once("> ") {
                return said.to_owned();
            }
        }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.say.as_mut().unwrap(), "{line}").unwrap();
        self.hear()
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn end(mut self) {
        self.say = None;
        assert!(self.process.wait().unwrap().success());
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\n> {text}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "the other process of the tests below"]
fn another_process() {
    let path = std::env::var(PATH).unwrap();
    let read_only = std::env::var(ROLE).unwrap() == "reader";
    // The reader begins with a map that the writer outgrows.
    let map_size_max = if read_only { 1 << 20 } else { 1 << 40 };
    let options = Options { read_only, map_size_max, ..fast() };
    let store = Store::open(path.as_ref(), &options).unwrap();
    say("open");
    let mut held = Vec::new();
    for line in std::io::stdin().lines() {
        match line.unwrap().split_once(' ').unwrap() {
            ("hold", _) => {
                held.push(store.read().unwrap());
                say("held");
            }
            ("write", id) => {
                common::node(&store, NS, id).unwrap();
                say("done");
            }
            ("has", id) => {
                let snapshot = store.read().unwrap();
                let found = snapshot.node_slot(NS, id).unwrap().is_some();
                say(&format!("{found} of {}", snapshot.namespace_counters(NS).unwrap().nodes));
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_written_is_there_after_opening_anew() {
    let options = Options { durability: Durability::Durable, ..fast() };
    let mut scratch = Scratch::with(options);
    for n in 0..20 {
        common::node(scratch.store(), NS, &format!("n{n}")).unwrap();
        if n % 5 == 0 {
            scratch.reopen();
        }
        let snapshot = scratch.store().read().unwrap();
        assert_eq!(snapshot.namespace_counters(NS).unwrap().nodes, n + 1);
        assert_eq!(changes(&snapshot).len() as u64, n + 1);
    }
}

#[test]
fn an_empty_database_is_small() {
    let scratch = Scratch::new();
    let size = scratch.store().file_size().unwrap();
    assert_eq!(size, fs::metadata(data_file(&scratch.path())).unwrap().len());
    let all: u64 = files(&scratch.path()).values().map(|content| content.len() as u64).sum();
    assert!(all <= 1_000_000, "{all} bytes");
}

#[test]
fn a_second_writer_in_this_process_hears_our_number() {
    let scratch = Scratch::new();
    let error = refused(&scratch.path(), &fast());
    let Error::DatabaseLocked { path, pid, host } = &error else { panic!("{error}") };
    assert_eq!((path, *pid), (&scratch.path(), std::process::id()));
    assert!(!host.is_empty() && host != "an unknown host");
    for remedy in [pid.to_string().as_str(), host, "lock_timeout", "read_only"] {
        assert!(error.to_string().contains(remedy), "{error}");
    }
    common::node(scratch.store(), NS, "the first goes on").unwrap();
}

/// For who waits longer than any test holds what is waited for.
fn patient() -> Options {
    Options { lock_timeout: Duration::from_secs(60), ..fast() }
}

#[test]
fn a_second_writer_waits_for_the_first_to_close() {
    let mut scratch = Scratch::new();
    let path = scratch.path();
    common::node(scratch.store(), NS, "first").unwrap();
    let second = std::thread::spawn(move || {
        let store = Store::open(&path, &patient()).unwrap();
        store.read().unwrap().node_slot(NS, "first").unwrap().is_some()
    });
    scratch.close();
    assert!(second.join().unwrap());
}

#[test]
fn a_writer_in_another_process_is_named_and_its_end_sets_the_path_free() {
    let mut scratch = Scratch::new();
    let path = scratch.path();
    scratch.close();
    let mut other = Other::spawn("writer", &path);
    assert_eq!(other.hear(), "open");
    let error = refused(&path, &fast());
    let holder = other.process.id();
    assert!(matches!(error, Error::DatabaseLocked { pid, .. } if pid == holder), "{error}");

    // Killed in the middle: what it acknowledged is there, and nobody holds the path.
    assert_eq!(other.ask("write by-other"), "done");
    other.kill();
    let store = Store::open(&path, &fast()).unwrap();
    assert!(store.read().unwrap().node_slot(NS, "by-other").unwrap().is_some());
    common::node(&store, NS, "mine").unwrap();
}

#[test]
fn a_reader_in_another_process_sees_each_write_and_follows_the_growth_of_the_map() {
    let scratch = Scratch::new();
    let mut reader = Other::spawn("reader", &scratch.path());
    assert_eq!(reader.hear(), "open");
    assert_eq!(reader.ask("has none"), "false of 0");
    for n in 1..=60 {
        let id = format!("n{n}");
        scratch
            .store()
            .write({
                let id = id.clone();
                move |txn| {
                    let label = txn.intern("Thing")?;
                    txn.insert_node(NS, &id, &[label], &vec![7; 100_000], false, None)
                }
            })
            .unwrap();
        assert_eq!(reader.ask(&format!("has {id}")), format!("true of {n}"));
    }
    assert!(scratch.store().file_size().unwrap() > 1 << 22, "beyond the reader's first map");
    reader.end();
}

/// What a reader sees is not overwritten; one that was killed must not keep it so for ever.
#[test]
fn a_killed_reader_does_not_let_the_file_grow_for_ever() {
    const SIZE: usize = 100_000;
    let scratch = Scratch::new();
    let label = scratch.store().write(|txn| txn.intern("Thing")).unwrap();
    let insert = move |txn: &mut WriteTxn<'_>| {
        txn.insert_node(NS, "n", &[label], &vec![0; SIZE], false, None)
    };
    let slot = scratch.store().write(insert).unwrap();
    let rewrite = |times: usize| {
        let before = scratch.store().file_size().unwrap();
        for n in 0..times {
            let text = vec![n as u8; SIZE];
            scratch.store().write(move |txn| txn.update_node(NS, slot, &text)).unwrap();
        }
        (scratch.store().file_size().unwrap() - before) / SIZE as u64
    };
    let mut reader = Other::spawn("reader", &scratch.path());
    assert_eq!(reader.hear(), "open");
    assert_eq!(reader.ask("hold it"), "held");
    let grown = rewrite(100);
    assert!(grown > 90, "by {grown}: nothing that the reader's snapshot may see was overwritten");
    reader.kill();
    let grown = rewrite(400);
    assert!(grown < 100, "by {grown} of 400 rewrites after the reader was killed");
}

#[test]
fn reading_needs_a_database_and_leaves_its_data_alone() {
    let mut scratch = Scratch::new();
    common::node(scratch.store(), NS, "n").unwrap();
    scratch.close();
    let options = Options { read_only: true, ..fast() };
    let before = files(&scratch.path());
    let store = Store::open(&scratch.path(), &options).unwrap();
    assert!(store.read_only());
    assert!(store.read().unwrap().node_slot(NS, "n").unwrap().is_some());
    let error = common::node(&store, NS, "m").unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
    assert!(error.to_string().contains("without read_only=True"), "{error}");
    drop(store);
    let mut after = files(&scratch.path());
    // Readers register themselves in LMDB's lock file.
    after.retain(|path, content| before.get(path) != Some(content));
    let changed: Vec<_> = after.keys().filter_map(|path| path.file_name()).collect();
    assert!(changed.iter().all(|name| *name == "lock.mdb"), "{changed:?}");

    let missing = scratch.path().join("missing");
    let error = refused(&missing, &options);
    assert!(matches!(error, Error::InvalidInput(_)), "{error}");
    assert!(error.to_string().contains("no CURRENT file"), "{error}");
    assert!(!missing.exists(), "nothing is made");
}

#[test]
fn a_later_format_is_refused_and_left_as_it_is() {
    let mut scratch = Scratch::new();
    common::node(scratch.store(), NS, "n").unwrap();
    scratch.close();
    let current = scratch.path().join("CURRENT");
    let text = fs::read_to_string(&current).unwrap();
    let newer = text.replace(&format!("format {FORMAT}\n"), &format!("format {}\n", FORMAT + 1));
    assert_ne!(newer, text);
    fs::write(&current, newer).unwrap();
    let before = files(&scratch.path());
    for read_only in [false, true] {
        let error = refused(&scratch.path(), &Options { read_only, ..fast() });
        assert!(
            matches!(error, Error::FormatTooNew { found, supported, .. }
                if (found, supported) == (FORMAT + 1, FORMAT)),
            "{error}"
        );
        assert!(error.to_string().contains("install a newer embedded-db"), "{error}");
        assert_eq!(files(&scratch.path()), before);
    }
}

#[test]
fn a_foreign_directory_or_file_is_refused_and_left_as_it_is() {
    let directory = tempdir().unwrap();
    let foreign = directory.path().join("photos");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("holiday.jpg"), b"sun").unwrap();
    // Other stores have a file of this name too.
    let rocks = directory.path().join("rocksdb");
    fs::create_dir(&rocks).unwrap();
    fs::write(rocks.join("CURRENT"), b"MANIFEST-000005\n").unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"text").unwrap();
    let before = files(directory.path());

    let error = refused(&foreign, &fast());
    assert!(matches!(error, Error::InvalidInput(_)), "{error}");
    assert!(error.to_string().contains("holiday.jpg"), "{error}");
    let error = refused(&file, &fast());
    assert!(matches!(error, Error::InvalidInput(_)), "{error}");
    assert!(error.to_string().contains("is a file"), "{error}");
    for read_only in [false, true] {
        let error = refused(&rocks, &Options { read_only, ..fast() });
        assert!(matches!(error, Error::InvalidInput(_)), "{error}");
        assert!(error.to_string().contains("no database of embedded-db"), "{error}");
    }
    assert_eq!(files(directory.path()), before);
}

/// Whatever stands in a foreign `CURRENT`, and whatever it is.
#[test]
fn a_foreign_current_file_is_not_taken_for_damage() {
    let directory = tempdir().unwrap();
    let contents: [&[u8]; 5] = [b"", b"1", b"MANIFEST-000005\n", &[0xff; 300], &[b'x'; 200_000]];
    for content in contents {
        fs::write(directory.path().join("CURRENT"), content).unwrap();
        fs::write(directory.path().join("000012.sst"), b"theirs").unwrap();
        let before = files(directory.path());
        for read_only in [false, true] {
            let error = refused(directory.path(), &Options { read_only, ..fast() });
            assert!(matches!(error, Error::InvalidInput(_)), "{error}");
        }
        assert_eq!(files(directory.path()), before);
    }
    fs::remove_file(directory.path().join("CURRENT")).unwrap();
    fs::create_dir(directory.path().join("CURRENT")).unwrap();
    let error = refused(directory.path(), &fast());
    assert!(matches!(error, Error::InvalidInput(_)), "{error}");
}

/// The same contents beside a generation of ours are damage.
#[test]
fn a_current_file_of_ours_that_was_overwritten_is_damage() {
    let mut scratch = Scratch::new();
    common::node(scratch.store(), NS, "n").unwrap();
    scratch.close();
    let contents: [&[u8]; 4] = [b"", b"MANIFEST-000005\n", &[0; 98], &[0xff; 98]];
    for lock in [true, false] {
        for content in contents {
            fs::write(scratch.path().join("CURRENT"), content).unwrap();
            for read_only in [false, true] {
                let error = refused(&scratch.path(), &Options { read_only, ..fast() });
                assert!(matches!(error, Error::Corruption { .. }), "{error}");
            }
        }
        if lock {
            fs::remove_file(scratch.path().join("writer.lock")).unwrap();
        }
    }
}

/// Each state in which a crash can leave a database before its `CURRENT` is written.
#[test]
fn what_a_crash_left_before_the_first_commit_is_no_obstacle() {
    let directory = tempdir().unwrap();
    for (n, state) in ["lock", "directory", "empty file", "tables"].into_iter().enumerate() {
        let path = directory.path().join(format!("db{n}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("writer.lock"), b"").unwrap();
        fs::write(path.join("CURRENT.new"), b"embedded-db for").unwrap();
        match state {
            "lock" => {}
            "directory" => fs::create_dir(path.join("gen-0000000001")).unwrap(),
            "empty file" => {
                fs::create_dir(path.join("gen-0000000001")).unwrap();
                fs::write(data_file(&path), b"").unwrap();
            }
            _ => {
                drop(Store::open(&path, &fast()).unwrap());
                fs::remove_file(path.join("CURRENT")).unwrap();
            }
        }
        let store = Store::open(&path, &fast()).unwrap_or_else(|e| panic!("{state}: {e}"));
        store.write(|txn| txn.create_namespace("default")).unwrap();
        drop(store);
        let store = Store::open(&path, &fast()).unwrap();
        assert!(store.read().unwrap().has_namespace(NS).unwrap(), "{state}");
    }
}

#[test]
fn data_whose_current_file_is_lost_is_never_taken_for_a_new_database() {
    let mut scratch = Scratch::new();
    common::node(scratch.store(), NS, "n").unwrap();
    scratch.close();
    let current = scratch.path().join("CURRENT");
    let content = fs::read(&current).unwrap();
    fs::remove_file(&current).unwrap();
    let before = fs::read(data_file(&scratch.path())).unwrap();
    let error = refused(&scratch.path(), &fast());
    assert!(matches!(error, Error::Corruption { .. }), "{error}");
    assert!(error.to_string().contains("CURRENT"), "{error}");
    assert_eq!(fs::read(data_file(&scratch.path())).unwrap(), before);
    fs::write(&current, content).unwrap();
    scratch.reopen();
    assert!(scratch.store().read().unwrap().node_slot(NS, "n").unwrap().is_some());
}

#[test]
fn a_full_map_is_an_error_with_its_remedy_and_reads_go_on() {
    let options = Options { map_size_max: 1 << 20, ..fast() };
    let mut scratch = Scratch::with(options);
    let mut stored = 0u64;
    let error = loop {
        let id = format!("n{stored}");
        let write = scratch.store().write(move |txn| {
            let label = txn.intern("Thing")?;
            txn.insert_node(NS, &id, &[label], &[1; 3_000], false, None)
        });
        match write {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "a map of 1 MiB holds no 3 MB");
    };
    let Error::StorageFull { path, detail, .. } = &error else { panic!("{error}") };
    assert_eq!(path, &data_file(&scratch.path()));
    assert!(detail.contains("1048576") && detail.contains("raise it"), "{detail}");
    assert!(stored > 20);
    for reopened in [false, true] {
        if reopened {
            scratch.reopen();
        }
        let snapshot = scratch.store().read().unwrap();
        assert_eq!(snapshot.namespace_counters(NS).unwrap().nodes, stored);
        assert_eq!(snapshot.node_slot(NS, &format!("n{stored}")).unwrap(), None);
        assert_eq!(changes(&snapshot).len() as u64, stored);
    }
}

#[test]
fn short_reads_keep_nobody_from_deleting_in_a_full_map() {
    let scratch = Scratch::with(Options { map_size_max: 1 << 20, ..fast() });
    let store = scratch.store();
    let insert = |n: u64| {
        store.write(move |txn| {
            let label = txn.intern("Thing")?;
            txn.insert_node(NS, &format!("n{n}"), &[label], &[1; 3_000], false, None)
        })
    };
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                let snapshot = store.read().unwrap();
                thread::sleep(Duration::from_millis(20));
                drop(snapshot);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let full = || -> Result<()> {
            for _ in 0..3 {
                let stored = (0..1_000).take_while(|n| insert(*n).is_ok()).count() as u64;
                assert!(stored > 20, "{stored}");
                for n in 0..stored {
                    let slot = store.read()?.node_slot(NS, &format!("n{n}"))?.unwrap();
                    store.write(move |txn| txn.delete_node(NS, slot))?;
                }
            }
            Ok(())
        };
        let done = full();
        ended.store(true, Ordering::Release);
        done.unwrap();
    });
}

#[test]
fn a_larger_map_takes_what_a_smaller_one_refused() {
    let mut scratch = Scratch::with(Options { map_size_max: 1 << 20, ..fast() });
    let path = scratch.path();
    let large = |store: &Arc<Store>| {
        store.write(|txn| {
            let label = txn.intern("Thing")?;
            txn.insert_node(NS, "large", &[label], &vec![1; 2 << 20], false, None)
        })
    };
    let error = large(scratch.store()).unwrap_err();
    assert!(matches!(error, Error::StorageFull { .. }), "{error}");
    scratch.close();
    let store = Store::open(&path, &fast()).unwrap();
    large(&store).unwrap();
    assert!(store.read().unwrap().node_slot(NS, "large").unwrap().is_some());
}

#[test]
fn a_database_in_memory_is_private_and_ends_with_its_handle() {
    let first = Store::open_in_memory(&fast()).unwrap();
    let second = Store::open_in_memory(&fast()).unwrap();
    assert_ne!(first.path(), second.path());
    first.write(|txn| txn.create_namespace("default")).unwrap();
    assert_eq!(second.read().unwrap().namespace("default").unwrap(), None);
    let (path, snapshot) = (first.path().to_owned(), first.read().unwrap());
    drop(first);
    assert!(path.exists(), "a snapshot still reads from it");
    assert!(snapshot.has_namespace(NS).unwrap());
    drop(snapshot);
    assert!(!path.exists());
}

#[test]
fn a_snapshot_of_before_that_keeps_a_path_from_opening_is_named() {
    let mut scratch = Scratch::new();
    common::node(scratch.store(), NS, "n").unwrap();
    let snapshot = scratch.store().read().unwrap();
    scratch.store().close();
    scratch.close();
    // LMDB has one environment a process and path, so the snapshot must end first.
    let error = refused(&scratch.path(), &fast());
    assert!(error.to_string().contains("snapshot"), "{error}");
    assert!(snapshot.node_slot(NS, "n").unwrap().is_some());
    // Who waits gets the path at the snapshot's end.
    let path = scratch.path();
    let opening = std::thread::spawn(move || Store::open(&path, &patient()));
    drop(snapshot);
    let store = opening.join().unwrap().unwrap();
    common::node(&store, NS, "m").unwrap();
}
