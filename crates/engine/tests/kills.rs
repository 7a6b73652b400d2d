//! Killed at any call that writes, syncs, renames or removes, a tool leaves what was there before, and
//! either all of what it makes or nothing that could be taken for it.
//!
//! `strace` kills a child at its first such call, at its second, and so on to the last.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use common::{assert_sound, copy, everything, fast, go_on, hash, quiet};
use embedded_db_common::{Durability, Options};
use embedded_db_engine::{Database, Level};
use tempfile::TempDir;

const PATH: &str = "EMBEDDED_DB_TEST_PATH";
const ROLE: &str = "EMBEDDED_DB_TEST_ROLE";
const SIGKILL: i32 = 9;
/// Writes of the child before it begins.
const EARLIER: usize = 8;

/// Calls that change what is on the disk.
const CALLS: &str = "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,rename,renameat,\
                     renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat";

struct Scratch(TempDir);

impl Scratch {
    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The database of these tests, and what it holds.
fn scratch() -> (Scratch, String) {
    let scratch = Scratch(tempfile::tempdir().unwrap());
    let db = everything(&scratch.at("db"));
    let held = hash(&db);
    db.close();
    // The files of the log are there, which only a durable opening makes.
    let durable = Options { durability: Durability::Durable, ..fast() };
    Database::open(scratch.at("db"), &durable, None).unwrap().close();
    (scratch, held)
}

fn open(path: &Path) -> Database {
    Database::open(path, &fast(), None).unwrap()
}

#[test]
#[ignore = "the child of the tests below"]
fn another_process() {
    let at = |name: &str| Path::new(&std::env::var(PATH).unwrap()).join(name);
    // `strace` counts the calls of each thread: by these, the harness never has as many as this one.
    let mut nowhere = fs::File::create("/dev/null").unwrap();
    (0..EARLIER).for_each(|_| nowhere.write_all(b"x").unwrap());
    match std::env::var(ROLE).unwrap().as_str() {
        "backup" => {
            let durable = Options { durability: Durability::Durable, ..fast() };
            let db = Database::open(at("db"), &durable, None).unwrap();
            db.backup(&at("copy"), &mut quiet).unwrap();
            db.close();
        }
        role @ ("compact" | "scrub") => {
            let durable = Options { durability: Durability::Durable, ..fast() };
            let db = Database::open(at("db"), &durable, None).unwrap();
            match role {
                "compact" => db.compact(&mut quiet).unwrap(),
                _ => db.scrub(&mut quiet).unwrap(),
            };
            db.close();
        }
        "restore" => drop(Database::restore(&at("copy"), &at("again"), &mut quiet).unwrap()),
        "repair" => drop(Database::repair(&at("db"), &at("again"), &mut quiet).unwrap()),
        role => panic!("there is no role {role}"),
    }
}

/// Runs the child under `strace` with some arguments.
fn traced(role: &str, path: &Path, arguments: &[&str]) -> ExitStatus {
    let child = std::env::current_exe().unwrap();
    Command::new("strace")
        .args(["-f", "-qq"])
        .args(arguments)
        .arg(child)
        .args(["another_process", "--exact", "--ignored", "--quiet"])
        .env(ROLE, role)
        .env(PATH, path)
        .output()
        .unwrap()
        .status
}

/// The calls that the child makes from the first on that names its directory, each with its number
/// among those of its name.
fn calls(role: &str, scratch: &Scratch) -> Vec<(String, usize)> {
    let log = scratch.at("log");
    let wanted = format!("trace={CALLS},openat");
    let done = traced(role, scratch.0.path(), &["-e", &wanted, "-o", log.to_str().unwrap()]);
    assert!(done.success(), "{role} works when nobody kills it");
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    fs::remove_file(&log).unwrap();
    let lines = text.lines().filter_map(|line| {
        let (thread, call) = line.split_once(' ')?;
        let (name, _) = call.trim_start().split_once('(')?;
        Some((thread, name, line.contains(scratch.0.path().to_str()?)))
    });
    let lines: Vec<_> = lines.collect();
    let (worker, ..) = lines.iter().find(|(.., ours)| *ours).unwrap();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let (mut out, mut begun) = (Vec::new(), false);
    for (_, name, ours) in lines.iter().filter(|(thread, ..)| thread == worker) {
        let count = counts.entry(name).or_default();
        *count += 1;
        begun |= ours;
        if begun && CALLS.split(',').any(|known| known == *name) {
            out.push(((*name).to_owned(), *count));
        }
    }
    out
}

/// Kills the child at each of its calls; `check` looks at what it left, and `clean` removes it.
fn killed_everywhere(role: &str, scratch: &Scratch, clean: impl Fn(), mut check: impl FnMut(&str)) {
    if Command::new("strace").arg("-V").output().is_err() {
        say(&format!("SKIPPED: {role} is not killed, there is no strace"));
        return;
    }
    let calls = calls(role, scratch);
    clean();
    for (name, at) in &calls {
        let inject = format!("inject={name}:signal=KILL:when={at}");
        let wanted = format!("trace={name}");
        let arguments = ["-o", "/dev/null", "-e", &wanted, "-e", &inject];
        let status = traced(role, scratch.0.path(), &arguments);
        assert_eq!(status.signal(), Some(SIGKILL), "{role} is killed at {name} {at}");
        check(&format!("{name} {at}"));
        clean();
    }
    assert!(calls.len() > 10, "{calls:?}");
    say(&format!("{role}: killed at {} points", calls.len()));
}

/// Past the harness, which would keep it to itself.
fn say(text: &str) {
    let mut out = std::io::stderr();
    writeln!(out, "{text}").unwrap();
}

fn remove(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn a_backup() {
    let (scratch, held) = scratch();
    let (copy, again) = (scratch.at("copy"), scratch.at("again"));
    let (mut whole, mut parts) = (0, 0);
    let clean = || remove(&copy);
    killed_everywhere("backup", &scratch, clean, |point| {
        let db = open(&scratch.at("db"));
        assert_eq!(hash(&db), held, "{point}");
        db.close();
        let restored = Database::restore(&copy, &again, &mut quiet);
        if copy.join("MANIFEST").exists() {
            restored.unwrap();
            let db = open(&again);
            assert_eq!(hash(&db), held, "{point}");
            db.close();
            remove(&again);
            whole += 1;
        } else {
            restored.unwrap_err();
            parts += 1;
        }
        assert!(!again.exists(), "{point}");
    });
    assert!(parts > whole || whole + parts == 0, "{whole} were whole, {parts} were not");
}

#[test]
fn a_restored_database() {
    let (scratch, held) = scratch();
    let db = open(&scratch.at("db"));
    db.backup(&scratch.at("copy"), &mut quiet).unwrap();
    db.close();
    let again = scratch.at("again");
    let (mut whole, mut parts) = (0, 0);
    let clean = || remove(&again);
    killed_everywhere("restore", &scratch, clean, |point| {
        if again.exists() {
            whole += 1;
        } else {
            parts += 1;
            Database::restore(&scratch.at("copy"), &again, &mut quiet).unwrap();
        }
        let db = open(&again);
        assert_eq!(hash(&db), held, "{point}");
        assert_sound(&db);
        db.close();
        let names = fs::read_dir(scratch.0.path()).unwrap().count();
        assert!(names <= 4, "{point}: what was begun is removed by the next one");
    });
    assert!(parts > whole || whole + parts == 0, "{whole} were whole, {parts} were not");
}

#[test]
fn a_repaired_database() {
    let (scratch, held) = scratch();
    let again = scratch.at("again");
    let (mut whole, mut parts) = (0, 0);
    let clean = || remove(&again);
    killed_everywhere("repair", &scratch, clean, |point| {
        if again.exists() {
            whole += 1;
        } else {
            parts += 1;
            Database::repair(&scratch.at("db"), &again, &mut quiet).unwrap();
        }
        let db = open(&again);
        assert_eq!(hash(&db), held, "{point}");
        assert_sound(&db);
        db.close();
        let names = fs::read_dir(scratch.0.path()).unwrap().count();
        assert!(names <= 3, "{point}: what was begun is removed by the next one");
    });
    assert!(parts > whole || whole + parts == 0, "{whole} were whole, {parts} were not");
}

/// The database is what it was at each point, in the old generation or the new one.
fn renewal(role: &str) {
    let (scratch, held) = scratch();
    let (path, kept) = (scratch.at("db"), scratch.at("kept"));
    copy(&path, &kept);
    let (mut old, mut new, mut points) = (0, 0, 0);
    let clean = || {
        remove(&path);
        copy(&kept, &path);
    };
    killed_everywhere(role, &scratch, clean, |point| {
        let before = generations(&path);
        let found = Database::doctor(&path, &go_on).unwrap();
        assert!(found.iter().all(|it| it.level != Level::Error), "{point}: {found:#?}");
        let leftovers = found.iter().find(|it| it.about == "leftovers").unwrap();
        assert_eq!(leftovers.level == Level::Warning, before.len() > 1, "{point}: {leftovers:?}");
        points += 1;
        if points % 8 == 0 {
            // Which of two was in use, nobody says any more.
            let (bare, new) = (scratch.at("bare"), scratch.at("new"));
            copy(&path, &bare);
            fs::remove_file(bare.join("CURRENT")).unwrap();
            Database::repair(&bare, &new, &mut quiet).unwrap();
            let db = open(&new);
            assert_eq!(hash(&db), held, "{point}: without CURRENT");
            db.close();
            remove(&bare);
            remove(&new);
        }
        let reader = Database::open(&path, &Options { read_only: true, ..fast() }, None).unwrap();
        assert_eq!(hash(&reader), held, "{point}: whoever reads");
        reader.close();
        let db = open(&path);
        assert_eq!(hash(&db), held, "{point}");
        let after = generations(&path);
        assert_eq!(after.len(), 1, "{point}: {before:?}, then {after:?}");
        match after[0].as_str() {
            "gen-0000000001" => old += 1,
            "gen-0000000002" => new += 1,
            other => panic!("{point}: {other}"),
        }
        assert_sound(&db);
        // What was begun does not stand in the way.
        db.compact(&mut quiet).unwrap();
        assert_eq!(hash(&db), held, "{point}");
        db.close();
    });
    assert!(old > 5 && new > 3 || old + new == 0, "{old} before, {new} after the switch");
}

#[test]
fn a_compaction() {
    renewal("compact");
}

#[test]
fn a_scrub() {
    renewal("scrub");
}

fn generations(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut out: Vec<String> = names.filter(|name| name.starts_with("gen-")).collect();
    out.sort();
    out
}
