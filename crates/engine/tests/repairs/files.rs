//! What is read, where it may be put, and what becomes of it when the work is broken off.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use embedded_db_common::{Durability, Error, Options};
use embedded_db_engine::{Database, Item, Origin, Repaired};
use tempfile::TempDir;

use crate::common::{assert_sound, copy, drain, fast, hash, node, quiet, say, set, text};
use crate::content::contents;
use crate::damage::Damage;
use crate::random::{BASE, Base, DATA, SCRUBBED, SUMS, cases, repaired};
use crate::raw;

/// A copy of a database that may be damaged.
fn damaged(base: &Base, damage: impl FnOnce(&Path)) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    base.copy(&home.path().join("db"));
    damage(&home.path().join("db"));
    home
}

fn repair(home: &TempDir) -> Result<Repaired, Error> {
    Database::repair(&home.path().join("db"), &home.path().join("new"), &mut quiet)
}

fn names(home: &TempDir) -> Vec<String> {
    let all = fs::read_dir(home.path()).unwrap();
    let mut all: Vec<_> = all.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

#[test]
fn what_is_whole_is_repaired_as_it_is() {
    for base in [&*BASE, &*SCRUBBED] {
        let home = damaged(base, |_| ());
        let (repaired, held) = repaired(base, home.path()).unwrap();
        assert_eq!(held, base.held);
        let salvaged = &repaired.salvaged;
        assert!(salvaged.is_complete(), "{salvaged:#?}");
        assert_eq!(salvaged.origin, Origin::Newest);
        assert_eq!((salvaged.damaged_pages, &salvaged.remarks[..]), (0, &[][..]));
        assert_eq!((salvaged.saved[Item::Namespaces], salvaged.saved[Item::Spaces]), (2, 2));
        assert_eq!((salvaged.saved[Item::Indexes], salvaged.saved[Item::Labels]), (2, 2));
        assert!(salvaged.saved[Item::Versions] > 30 && salvaged.saved[Item::Jobs] > 4);
        assert!(salvaged.saved[Item::Changes] > 60, "the changes go on");
        let identity = |path: &Path| fs::read_to_string(path.join("CURRENT")).unwrap();
        assert_ne!(identity(&home.path().join("db")), identity(&repaired.path));
        let db = Database::open(&repaired.path, &fast(), None).unwrap();
        assert_eq!(db.stats().unwrap().lsn, salvaged.lsn);
        assert_eq!(db.stats().unwrap().file_bytes, repaired.bytes);
        say(&db, "chat", "after", "It goes on");
        drain(&db);
        assert_sound(&db);
        db.close();
    }
}

/// How many vectors the file has of nodes among these rows: a node may have some in every space.
fn vectors_of(base: &Base, rows: &HashSet<raw::Row>) -> u64 {
    let nodes: HashSet<&[u8]> =
        rows.iter().filter(|row| row.0 == 4).map(|row| &row.1[..]).collect();
    // Namespace, space, node, part.
    let owner = |key: &[u8]| [&key[..4], &key[6..10]].concat();
    let vectors = base.rows.iter().filter(|row| row.0 == 8).map(|row| &row.1);
    let of_nodes = vectors.filter(|key| nodes.contains(&owner(key)[..]));
    of_nodes.collect::<HashSet<_>>().len() as u64
}

/// Nothing else is lost with a page, and nothing that was deleted comes back.
#[test]
fn a_lost_page_costs_what_stood_on_it() {
    let (mut complete, mut some) = (0, 0);
    // After a scrub there are no older pages.
    let bases = [&*BASE, &*SCRUBBED];
    let files = bases.map(|base| fs::read(base.path().join(DATA)).unwrap());
    let pages = bases.iter().zip(&files).flat_map(|(base, whole)| {
        whole.chunks_exact(4096).enumerate().map(move |(page, bytes)| (base, page, bytes))
    });
    for (base, page, bytes) in pages {
        // Some, and those with a node that was written last.
        let has = |text: &[u8]| bytes.windows(text.len()).any(|it| it == text);
        if page % cases(29, 1) as usize > 0 && !has(b"The last one, by Dora") {
            continue;
        }
        let home = damaged(base, |path| Damage::Zero(page).apply(&path.join(DATA)));
        let (repaired, _) = repaired(base, home.path()).unwrap();
        let salvaged = repaired.salvaged;
        assert!(salvaged.doubtful.is_empty(), "page {page}: {salvaged:#?}");
        assert!(matches!(salvaged.origin, Origin::Newest | Origin::Found), "page {page}");
        // Values of their own have no rows on their pages.
        let long = bytes[10] == 4 || has(b"many words many word");
        let rows = raw::rows(bytes);
        let of = |table: u8| rows.iter().filter(|row| row.0 == table).count() as u64;
        assert_eq!(salvaged.lost[Item::Names], Some(0), "page {page}: names stand on two pages");
        for (item, table) in [(Item::Nodes, 4), (Item::Embeddings, 8)] {
            let lost = salvaged.lost[item].unwrap();
            let by_nodes = if table == 8 { vectors_of(base, &rows) } else { 0 };
            // A row whose value has pages of its own is on one, too.
            assert!(lost <= of(table) + by_nodes + 1, "page {page}: {lost} {item:?}");
            assert!(lost == 0 || long || of(4) + of(table) > 0, "page {page}: {lost} {item:?}");
        }
        let named = salvaged.lost_objects.iter().filter(|it| it.kind == "node").count() as u64;
        assert_eq!(Some(named), salvaged.lost[Item::Nodes], "by their ids");
        complete += usize::from(salvaged.is_complete());
        some += usize::from(salvaged.lost[Item::Nodes] != Some(0));
    }
    assert!(complete > 3 && some > 0, "{complete} complete, {some} not");
}

/// The page of the last commit's tables is found without what leads to it.
#[test]
fn a_lost_meta_page_costs_nothing_or_the_last_commit() {
    let mut origins = Vec::new();
    for page in 0..2 {
        let home = damaged(&BASE, |path| Damage::Zero(page).apply(&path.join(DATA)));
        let (repaired, _) = repaired(&BASE, home.path()).unwrap();
        assert!(repaired.salvaged.is_complete(), "page {page}: {:#?}", repaired.salvaged);
        origins.push(repaired.salvaged.origin);
    }
    origins.sort_by_key(|origin| *origin as usize);
    assert_eq!(origins, [Origin::Newest, Origin::Found]);
    // Without both, nobody knows whether what is found was the last.
    let home = damaged(&BASE, |path| {
        (0..2).for_each(|page| Damage::Zero(page).apply(&path.join(DATA)));
    });
    let (repaired, held) = repaired(&BASE, home.path()).unwrap();
    assert_eq!(repaired.salvaged.origin, Origin::Older);
    assert_eq!(repaired.salvaged.lost[Item::Nodes], None);
    assert_eq!(held, BASE.held, "all the same it is");
}

/// A state is later than another one only where both tell how far they have come.
#[test]
fn lost_counters_are_not_taken_for_an_earlier_state() {
    let data = fs::read(BASE.path().join(DATA)).unwrap();
    let (last, counters) = raw::last_state(&data);
    let home = damaged(&BASE, |path| {
        for page in [1 - last, counters] {
            Damage::Zero(page).apply(&path.join(DATA));
        }
        Damage::Remove.apply(&path.join(SUMS));
    });
    let (repaired, _) = repaired(&BASE, home.path()).unwrap();
    assert_eq!(repaired.salvaged.origin, Origin::Older);
}

#[test]
fn current_and_the_sums_can_be_done_without() {
    for damage in [Damage::Remove, Damage::Empty, Damage::Other(7), Damage::Cut(30)] {
        for file in ["CURRENT", SUMS] {
            let home = damaged(&BASE, |path| damage.apply(&path.join(file)));
            let (repaired, held) = repaired(&BASE, home.path()).unwrap();
            assert_eq!(held, BASE.held, "{file} {damage:?}");
            assert!(repaired.salvaged.is_complete());
            assert_eq!(repaired.salvaged.remarks.len(), 1, "{:?}", repaired.salvaged.remarks);
        }
    }
}

#[test]
fn the_generation_that_was_in_use_is_read() {
    let first = |path: &Path| path.join("gen-0000000001");
    let other = |path: &Path| path.join("gen-0000000002");
    // Of another that was being written it is not known that it was complete.
    let home = damaged(&BASE, |path| {
        copy(&first(path), &other(path));
        Damage::Cut(40_000).apply(&other(path).join("data.mdb"));
        fs::remove_file(path.join("CURRENT")).unwrap();
    });
    let (repaired_one, held) = repaired(&BASE, home.path()).unwrap();
    assert_eq!((repaired_one.salvaged.generation, held), (1, BASE.held.clone()));
    // One that is named but not there is as if it had not been named.
    let home = damaged(&BASE, |path| {
        fs::rename(first(path), other(path)).unwrap();
        fs::create_dir(first(path)).unwrap();
    });
    let outcome = repair(&home).unwrap();
    assert_eq!(outcome.salvaged.generation, 2);
    assert_eq!(outcome.salvaged.remarks.len(), 2, "{:?}", outcome.salvaged.remarks);
    let db = Database::open(&outcome.path, &fast(), None).unwrap();
    assert_eq!(hash(&db), BASE.hash);
    db.close();
    // One of which nothing reads gives way to the next.
    let home = damaged(&BASE, |path| {
        copy(&first(path), &other(path));
        Damage::Other(3).apply(&first(path).join("data.mdb"));
        fs::remove_file(path.join("CURRENT")).unwrap();
    });
    assert_eq!(repair(&home).unwrap().salvaged.generation, 2);
}

/// As after a power cut: what was acknowledged is in the log, and `data.mdb` may be of any moment.
#[test]
fn what_waits_in_the_log_is_saved() {
    // A checkpoint comes within a second, and after two megabytes: nothing waits then.
    let waiting = (0..30).find_map(|_| {
        let home = damaged(&BASE, |_| ());
        let (from, moved) = (home.path().join("db"), home.path().join("moved"));
        let options = Options { durability: Durability::Durable, ..fast() };
        let db = Database::open(&from, &options, None).unwrap();
        let begun = Instant::now();
        for n in 0..20 {
            db.create_nodes(vec![node(&format!("logged{n}"), "Logged", &[])]).unwrap();
        }
        db.update_node("t5", set(&[("text", text("said anew"))]), None).unwrap();
        db.delete_node("t6", None).unwrap();
        db.drop_namespace("second").unwrap();
        copy(&from, &moved);
        let in_time = begun.elapsed() < Duration::from_millis(900);
        let (held, before) = (contents(&db), hash(&db));
        db.close();
        in_time.then_some((home, moved, held, before))
    });
    let (home, moved, held, before) = waiting.expect("a copy within a second of the first write");
    let new = home.path().join("new");
    let read = |damage: &dyn Fn(&Path)| {
        let copied = home.path().join("copied");
        copy(&moved, &copied);
        damage(&copied);
        let repaired = Database::repair(&copied, &new, &mut quiet).unwrap();
        let db = Database::open(&new, &fast(), None).unwrap();
        let outcome = (repaired.salvaged, contents(&db), hash(&db));
        db.close();
        fs::remove_dir_all(&copied).unwrap();
        fs::remove_dir_all(&new).unwrap();
        outcome
    };
    let (salvaged, found, hashed) = read(&|_| ());
    assert!(salvaged.is_complete(), "{salvaged:#?}");
    assert_eq!((found, hashed), (held.clone(), before.clone()));
    // The meta pages in the file are none that count, but tell how far it went.
    let of_any_moment = |path: &Path| {
        (0..2).for_each(|page| Damage::Zero(page).apply(&path.join(DATA)));
    };
    let (salvaged, _, hashed) = read(&of_any_moment);
    assert_eq!((hashed, salvaged.origin), (before.clone(), Origin::Older), "{salvaged:#?}");
    // Commits behind the last that is left in the log are missed, as far as anything tells of them. Where the data file
    // has them, whole, they are saved, and nobody is told that nothing is missing.
    let log = |path: &Path, damage: Damage| {
        for log in ["log.0", "log.1"] {
            damage.apply(&path.join("gen-0000000001").join(log));
        }
    };
    let emptied = |path: &Path| {
        let file = path.join("gen-0000000001");
        for log in ["log.0", "log.1"].map(|log| file.join(log)) {
            let mut bytes = fs::read(&log).unwrap();
            bytes[4096..].fill(0);
            fs::write(log, bytes).unwrap();
        }
    };
    // A frame that is lost takes those after it along, and that is told.
    let flipped = |path: &Path| {
        for log in ["log.0", "log.1"] {
            let file = path.join("gen-0000000001").join(log);
            let at = fs::read(&file).unwrap().windows(8).position(|it| it == b"logged10");
            at.into_iter().for_each(|at| Damage::Flip(at, 1).apply(&file));
        }
    };
    let losses: [&dyn Fn(&Path); 6] = [
        &|path| log(path, Damage::Remove),
        &|path| log(path, Damage::Empty),
        &|path| log(path, Damage::Cut(70_001)),
        &|path| log(path, Damage::Zero(0)),
        &emptied,
        &flipped,
    ];
    for (number, lose) in losses.into_iter().enumerate() {
        let (salvaged, found, hashed) = read(lose);
        assert_eq!((salvaged.origin, hashed), (Origin::Older, before.clone()), "{salvaged:#?}");
        assert_eq!(found, held, "{number}");
        let (salvaged, found, _) = read(&|path| {
            lose(path);
            of_any_moment(path);
        });
        assert_eq!(salvaged.origin, Origin::Older, "{number} {salvaged:#?}");
        assert!(found["default"].nodes.len() < held["default"].nodes.len(), "{number}");
        assert!(!salvaged.is_complete());
        let lost = |it: &String| it.contains("the log has lost the commit");
        assert!(number < 5 || salvaged.remarks.iter().any(lost), "{salvaged:#?}");
    }
    // What the log has needs no page.
    let whole = fs::read(moved.join(DATA)).unwrap();
    let pages = whole.chunks_exact(4096).enumerate();
    let with_logged = pages.filter(|(_, page)| page.windows(8).any(|it| it == b"logged17"));
    let with_logged: Vec<usize> = with_logged.map(|(number, _)| number).collect();
    assert!(!with_logged.is_empty());
    let (_, found, _) = read(&|path| {
        with_logged.iter().for_each(|page| Damage::Zero(*page).apply(&path.join(DATA)));
    });
    assert_eq!(found["default"].nodes.get("logged17"), held["default"].nodes.get("logged17"));
}

#[test]
fn a_damaged_backup_is_repaired_like_a_database() {
    let home = damaged(&BASE, |_| ());
    let db = Database::open(home.path().join("db"), &fast(), None).unwrap();
    db.backup(&home.path().join("copy"), &mut quiet).unwrap();
    db.close();
    let (copy, new) = (home.path().join("copy"), home.path().join("new"));
    Damage::Flip(20_000, 3).apply(&copy.join("data.mdb"));
    let refused = Database::restore(&copy, &new, &mut quiet).unwrap_err();
    assert!(matches!(refused, Error::Corruption { .. }), "{refused}");
    let outcome = Database::repair(&copy, &new, &mut quiet).unwrap();
    assert_eq!(outcome.salvaged.origin, Origin::Newest);
    let db = Database::open(&new, &fast(), None).unwrap();
    let found = contents(&db);
    assert!(found["default"].nodes.len() > 200 && found["second"].nodes.len() > 200);
    db.close();
}

#[test]
fn where_nothing_reads_nothing_is_made() {
    let nothing = |path: &Path| Damage::Other(5).apply(&path.join(DATA));
    let empty = |path: &Path| Damage::Empty.apply(&path.join(DATA));
    let missing = |path: &Path| Damage::Remove.apply(&path.join(DATA));
    for (what, damage) in
        [("garbage", &nothing as &dyn Fn(&Path)), ("empty", &empty), ("missing", &missing)]
    {
        let home = damaged(&BASE, damage);
        let error = repair(&home).unwrap_err();
        assert!(matches!(error, Error::Corruption { .. }), "{what}: {error}");
        assert_eq!(names(&home), ["db"], "{what}");
    }
    // A later version knows what it has written.
    let home = damaged(&BASE, |path| {
        fs::write(path.join("CURRENT"), "embedded-db format 2\nanything\n").unwrap();
    });
    assert!(matches!(repair(&home), Err(Error::FormatTooNew { found: 2, .. })));
    let home = damaged(&BASE, |path| fs::remove_dir_all(path.join("gen-0000000001")).unwrap());
    assert!(matches!(repair(&home), Err(Error::InvalidInput(_))), "no database at all");
}

#[test]
fn nobody_writes_to_it_meanwhile_and_anybody_may_read() {
    let home = damaged(&BASE, |_| ());
    let path = home.path().join("db");
    let writer = Database::open(&path, &fast(), None).unwrap();
    let error = repair(&home).unwrap_err();
    assert!(matches!(error, Error::DatabaseLocked { .. }), "{error}");
    assert_eq!(names(&home), ["db"]);
    writer.close();
    let reader = Database::open(&path, &Options { read_only: true, ..fast() }, None).unwrap();
    let (mut asked, mut refused) = (0, 0);
    let (from, to) = (home.path().join("copy"), home.path().join("new"));
    copy(&path, &from);
    Database::repair(&from, &to, &mut |_, _| {
        asked += 1;
        refused += usize::from(Database::open(&from, &fast(), None).is_err());
        Ok(())
    })
    .unwrap();
    // It is read before what follows from it is made, and before that is checked.
    assert!(asked > 3 && refused > 2, "{asked} {refused}");
    assert_eq!(hash(&reader), BASE.hash);
    reader.close();
}

#[test]
fn what_is_broken_off_leaves_nothing() {
    let home = damaged(&BASE, |_| ());
    let (from, to) = (home.path().join("db"), home.path().join("new"));
    let mut told = Vec::new();
    Database::repair(&from, &to, &mut |done, total| {
        told.push((done, total));
        Ok(())
    })
    .unwrap();
    assert!(told.is_sorted() && told.len() > 5, "{told:?}");
    assert_eq!(told.last().map(|(done, total)| done == total), Some(true));
    fs::remove_dir_all(&to).unwrap();
    let step = (told.len() / cases(3, 60) as usize).max(1);
    for stop in (0..told.len()).step_by(step) {
        let mut step = 0;
        let broken = Database::repair(&from, &to, &mut |_, _| {
            step += 1;
            if step > stop { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(broken, Err(Error::Interrupted)), "step {stop}");
        assert_eq!(names(&home), ["db"], "step {stop}");
    }
}
