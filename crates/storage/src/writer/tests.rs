//! What is acknowledged before LMDB commits it: who reads it, and what a kill leaves of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use embedded_db_common::{Durability, Error, NamespaceId, Options, Result};

use crate::invariants::check_invariants;
use crate::read::ReadTxn;
use crate::store::Store;

const NS: NamespaceId = NamespaceId::DEFAULT;

fn options(durability: Durability) -> Options {
    Options { durability, ..Options::default() }
}

/// With a map that has room, and with the log begun.
fn begun(path: &Path, durability: Durability) -> Arc<Store> {
    let store = Store::open(path, &options(durability)).unwrap();
    store.generation().resize(1 << 28, store.lost()).unwrap();
    store.write(|txn| txn.create_namespace("default")).unwrap();
    store
}

fn insert(store: &Arc<Store>, id: &str) -> Result<()> {
    let id = id.to_owned();
    store.write(move |txn| {
        let label = txn.intern("Thing")?;
        txn.insert_node(NS, &id, &[label], &[], false, None).map(drop)
    })
}

fn has(store: &Arc<Store>, id: &str) -> bool {
    store.read().unwrap().node_slot(NS, id).unwrap().is_some()
}

/// As many as are certainly owed together: the thread that commits them may have come between.
fn owed(store: &Arc<Store>, name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for n in 0.. {
        let ids: Vec<String> = (0..5).map(|part| format!("{name} {n} {part}")).collect();
        ids.iter().for_each(|id| insert(store, id).unwrap());
        let before = store.generation().page_file.newest().unwrap().transaction();
        all.extend(ids);
        let more = format!("{name} {n} last");
        insert(store, &more).unwrap();
        all.push(more);
        let after = store.generation().page_file.newest().unwrap().transaction();
        if store.owes() && before == after {
            return all;
        }
        assert!(n < 10_000, "something is owed now and then");
    }
    all
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if name != "lock.mdb" {
            fs::write(to.join(name), fs::read(path).unwrap()).unwrap();
        }
    }
}

#[test]
fn who_reads_finds_what_was_acknowledged() {
    for durability in [Durability::Durable, Durability::Relaxed] {
        let home = tempfile::tempdir().unwrap();
        let store = begun(home.path(), durability);
        for id in owed(&store, "node") {
            assert!(has(&store, &id), "{id}");
        }
        assert!(!store.owes());
    }
}

#[test]
fn what_another_thread_was_told_of_is_there() {
    let home = tempfile::tempdir().unwrap();
    let store = begun(home.path(), Durability::Durable);
    let (told, hears) = channel();
    thread::scope(|scope| {
        let writer = &store;
        scope.spawn(move || {
            for n in 0..600 {
                // Readers make commits come at once: every other hundred is told of as a whole.
                insert(writer, &format!("node {n}")).unwrap();
                if n / 100 % 2 == 0 || n % 100 == 99 {
                    told.send(n).unwrap();
                }
            }
        });
        for n in hears {
            assert!(has(&store, &format!("node {n}")), "{n}");
        }
    });
}

#[test]
fn a_kill_leaves_it_in_the_log() {
    let home = tempfile::tempdir().unwrap();
    let store = begun(&home.path().join("db"), Durability::Durable);
    let (mut n, mut all) = (0, Vec::new());
    loop {
        all.extend(owed(&store, &format!("node {n}")));
        drop(fs::remove_dir_all(home.path().join("copy")));
        let transaction = || store.generation().page_file.newest().unwrap().transaction();
        let before = transaction();
        copy(&home.path().join("db"), &home.path().join("copy"));
        // Otherwise it was committed while it was copied.
        if store.owes() && transaction() == before {
            break;
        }
        n += 1;
    }
    store.close();
    // It lies elsewhere, as after a power cut: who reads must wait for who writes.
    let copied = home.path().join("copy");
    let reading = Options { read_only: true, ..options(Durability::Durable) };
    assert!(matches!(Store::open(&copied, &reading), Err(Error::RecoveryNeeded { .. })));
    let again = Store::open(&copied, &options(Durability::Durable)).unwrap();
    let snapshot = again.read().unwrap();
    for id in &all {
        assert!(snapshot.node_slot(NS, id).unwrap().is_some(), "{id}");
    }
    check_invariants(&snapshot, &|| Ok(()), &mut |text| panic!("{text}")).unwrap();
}

#[test]
fn a_job_that_fails_takes_nothing_owed_along() {
    let home = tempfile::tempdir().unwrap();
    let store = begun(home.path(), Durability::Durable);
    let all = owed(&store, "node");
    let failed: Result<()> = store.write(|txn| {
        let label = txn.intern("Other")?;
        txn.insert_node(NS, "gone", &[label], &[], false, None)?;
        Err(Error::InvalidInput("as the user wants it".into()))
    });
    assert!(matches!(failed, Err(Error::InvalidInput(_))));
    insert(&store, "later").unwrap();
    for id in all.iter().map(String::as_str).chain(["later"]) {
        assert!(has(&store, id), "{id}");
    }
    assert!(!has(&store, "gone"));
    let snapshot = store.read().unwrap();
    check_invariants(&snapshot, &|| Ok(()), &mut |text| panic!("{text}")).unwrap();
}

#[test]
fn it_is_committed_when_nobody_writes() {
    let home = tempfile::tempdir().unwrap();
    let store = begun(home.path(), Durability::Durable);
    let (told, hears) = channel();
    store.when_settled(move || told.send(()).expect("it is waited for"));
    owed(&store, "node");
    let begun = Instant::now();
    while store.owes() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is committed");
        thread::sleep(Duration::from_millis(1));
    }
    hears.recv_timeout(Duration::from_secs(60)).expect("who wanted to know is told");
}

#[test]
fn a_thread_finds_its_own_behind_the_backs_of_others() {
    let home = tempfile::tempdir().unwrap();
    let store = begun(home.path(), Durability::Durable);
    let all = owed(&store, "node");
    let snapshot = store.read_committed().unwrap();
    assert!(all.iter().all(|id| snapshot.node_slot(NS, id).unwrap().is_some()));
    // What others have written it need not find, and does not hinder them.
    owed(&store, "other");
    thread::scope(|scope| {
        scope.spawn(|| drop(store.read_committed().unwrap()));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn room_on_the_disk_is_kept_for_it_and_given_back() {
    use std::os::unix::fs::MetadataExt;

    let scratch = tempfile::TempDir::new().unwrap();
    let store = begun(&scratch.path().join("db"), Durability::Durable);
    let path = store.generation().path().to_owned();
    let beyond = || {
        let told = fs::metadata(&path).unwrap();
        (told.blocks() * 512).saturating_sub(told.len())
    };
    owed(&store, "node");
    assert!(beyond() >= 1 << 17, "{} bytes", beyond());
    store.close();
    assert!(beyond() < 1 << 16, "{} bytes", beyond());
}

/// What was owed is committed after two milliseconds, whatever others try.
#[test]
fn who_changes_nothing_does_not_put_off_a_commit() {
    let home = tempfile::tempdir().unwrap();
    let store = begun(home.path(), Durability::Durable);
    owed(&store, "node");
    let before = store.generation().page_file.newest().unwrap().transaction();
    // The thread that commits finds a leader whenever it looks.
    store
        .write(|_| {
            thread::sleep(Duration::from_millis(20));
            Ok(())
        })
        .unwrap();
    let after = store.generation().page_file.newest().unwrap().transaction();
    assert!(!store.owes() || after > before, "it is due since long");
}

/// A writer that has asked before the end of the database does not write after it.
#[test]
fn nobody_writes_behind_the_back_of_who_has_closed() {
    for n in 0..20 {
        let home = tempfile::tempdir().unwrap();
        let store = begun(home.path(), Durability::Durable);
        let (begins, begun) = channel();
        let (goes_on, may_go_on) = channel::<()>();
        let may_go_on = std::sync::Mutex::new(may_go_on);
        thread::scope(|scope| {
            let writer = &store;
            scope.spawn(move || {
                writer.write(move |txn| {
                    begins.send(()).unwrap();
                    may_go_on.lock().unwrap().recv().unwrap();
                    txn.intern("first").map(drop)
                })
            });
            begun.recv().unwrap();
            let late: Vec<_> = (0..3)
                .map(|part| scope.spawn(move || insert(writer, &format!("late {part}"))))
                .collect();
            thread::sleep(Duration::from_millis(5));
            let closing = scope.spawn(|| writer.close());
            thread::sleep(Duration::from_millis(5));
            goes_on.send(()).unwrap();
            closing.join().unwrap();
            let last = store.generation().page_file.newest().unwrap().transaction();
            let written = late.into_iter().map(|it| it.join().unwrap().is_ok());
            let written = written.filter(|it| *it).count();
            let now = store.generation().page_file.newest().unwrap().transaction();
            assert_eq!(
                last, now,
                "try {n}: {written} were written, some of them when it was closed"
            );
        });
    }
}

/// Seen through another mount, or where mounts have no numbers, sums say nothing; what is owed is told all the same.
#[cfg(unix)]
#[test]
fn another_mount_is_told_what_is_owed() {
    use crate::pages::{PageFile, Use};

    let home = tempfile::tempdir().unwrap();
    let store = begun(home.path(), Durability::Durable);
    owed(&store, "node");
    let directory = store.generation().path().parent().unwrap().to_owned();
    let file = fs::OpenOptions::new().write(true).open(directory.join("data.sums")).unwrap();
    // The number of the mount.
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 8], 56).unwrap();
    let reading = Options { read_only: true, ..options(Durability::Durable) };
    let pages = PageFile::open(home.path(), &directory, Use::Reading, &reading).unwrap().unwrap();
    assert!(pages.owed() > 0, "nobody waits for what it does not know of");
    let before = pages.wanted();
    pages.want();
    assert_eq!(store.generation().page_file.wanted(), before + 1);
}

/// The weaver gets what others leave of the processors; who is led by its thread does not.
#[cfg(target_os = "linux")]
#[test]
fn commits_do_not_wait_for_what_others_leave() {
    let home = tempfile::tempdir().unwrap();
    let store = begun(home.path(), Durability::Durable);
    thread::scope(|scope| {
        scope.spawn(|| {
            crate::platform::yield_to_others();
            owed(&store, "node");
        });
    });
    let nice = |stat: &Path| {
        let stat = fs::read_to_string(stat).unwrap_or_default();
        let (name, rest) = stat.rsplit_once(')')?;
        let nice = rest.split_whitespace().nth(16)?.to_owned();
        Some((name.contains("embedded-db-com"), nice))
    };
    let (_, own) = nice(Path::new("/proc/thread-self/stat")).unwrap();
    for entry in fs::read_dir("/proc/self/task").unwrap().flatten() {
        if let Some((true, nice)) = nice(&entry.path().join("stat")) {
            assert_eq!(nice, own);
        }
    }
}

/// A write that takes long goes on in the transaction in which something is owed, and nobody can commit that.
#[test]
fn a_long_job_keeps_nobody_from_reading() {
    let home = tempfile::tempdir().unwrap();
    let store = begun(home.path(), Durability::Durable);
    let mut longest = Duration::ZERO;
    for n in 0..5 {
        let all = owed(&store, &format!("node {n}"));
        let (begins, begun) = channel();
        thread::scope(|scope| {
            let writer = &store;
            scope.spawn(move || {
                let id = format!("long {n}");
                let mut told = Some(begins);
                writer.write(move |txn| {
                    if let Some(told) = told.take() {
                        told.send(()).unwrap();
                    }
                    let label = txn.intern("Thing")?;
                    for part in 0..60 {
                        thread::sleep(Duration::from_millis(5));
                        let id = format!("{id} {part}");
                        txn.insert_node(NS, &id, &[label], &[], false, None)?;
                    }
                    Ok(())
                })
            });
            begun.recv().unwrap();
            let asked = Instant::now();
            assert!(all.iter().all(|id| has(&store, id)));
            longest = longest.max(asked.elapsed());
        });
    }
    assert!(longest < Duration::from_millis(100), "{longest:?}");
}
