//! Any damage at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use embedded_db_common::{Error, Result, Value};
use embedded_db_engine::{Database, Item, Origin, Repaired};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::common::{
    copy, everything, fast, go_on, hash, node, quiet, say, seeded, set, text, vector,
};
use crate::content::{Content, Contents, contents};
use crate::damage::{Damage, to_data, to_other_file};
use crate::raw;

/// A database that was closed, what it holds, and all rows that are in its file.
pub(crate) struct Base {
    directory: TempDir,
    pub(crate) held: Contents,
    pub(crate) hash: String,
    pub(crate) rows: std::collections::HashSet<raw::Row>,
}

pub(crate) const DATA: &str = "gen-0000000001/data.mdb";
pub(crate) const SUMS: &str = "gen-0000000001/data.sums";

pub(crate) static BASE: LazyLock<Base> = LazyLock::new(|| Base::new(false));
/// The same with a history that a scrub has forgotten.
pub(crate) static SCRUBBED: LazyLock<Base> = LazyLock::new(|| Base::new(true));

impl Base {
    fn new(scrubbed: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let db = everything(&path);
        let long = "many words ".repeat(3_000);
        db.create_nodes(vec![node("long", "Thing", &[("text", text(&long))])]).unwrap();
        if scrubbed {
            db.scrub(&mut quiet).unwrap();
        }
        // Older versions of what is stored now lie on pages that are free.
        for n in 20..60_i64 {
            let changed = set(&[("size", Value::Int(1_000 + n))]);
            db.update_node(&format!("t{n}"), changed, None).unwrap();
        }
        for n in 60..80 {
            db.delete_node(&format!("t{n}"), None).unwrap();
        }
        say(&db, "chat", "last", "The last one, by Dora");
        db.create_embeddings(vec![vector("v3", "t5", Some("own"), &[5.0, 6.0])]).unwrap();
        let (held, hash) = (contents(&db), hash(&db));
        db.close();
        if scrubbed {
            fs::rename(path.join("gen-0000000002"), path.join("gen-0000000001")).unwrap();
            rename_generation(&path);
        }
        let rows = raw::rows(&fs::read(path.join(DATA)).unwrap());
        Self { directory, held, hash, rows }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    /// Copies it to a place where it may be damaged.
    pub(crate) fn copy(&self, to: &Path) {
        copy(&self.path(), to);
    }
}

/// `CURRENT` names the first generation, whichever it is.
fn rename_generation(path: &Path) {
    let old = fs::read_to_string(path.join("CURRENT")).unwrap();
    let lines = old.split("crc32c").next().unwrap().replace("generation 2", "generation 1");
    let sum = raw::sum(lines.as_bytes());
    fs::write(path.join("CURRENT"), format!("{lines}crc32c {sum:08x}\n")).unwrap();
}

/// Every file below a directory with its bytes.
pub(crate) fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            out.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    out.sort();
    out
}

/// Repairs a database in `home/db` and looks at everything that must be true of the result.
pub(crate) fn repaired(base: &Base, home: &Path) -> Result<(Repaired, Contents)> {
    let (from, to) = (home.join("db"), home.join("new"));
    let before = files(&from);
    let outcome = Database::repair(&from, &to, &mut quiet);
    assert_eq!(files(&from), before, "the damaged one is left as it is");
    let names = fs::read_dir(home).unwrap().count();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            assert_eq!(names, 1, "nothing is left: {error}");
            return Err(error);
        }
    };
    assert_eq!(names, 2);
    // What was copied was there, to the bit.
    let rows = raw::rows(&fs::read(to.join(DATA)).unwrap());
    let copied: Vec<_> = rows.iter().filter(|row| !raw::is_made_anew(row)).collect();
    let known = |row: &&raw::Row| base.rows.contains(*row) || [2, 19].contains(&row.0);
    assert!(copied.iter().all(known), "{:?}", copied.iter().find(|row| !known(row)));
    let db = Database::open(&to, &fast(), None).unwrap();
    assert_eq!(db.verify_deep(&go_on).unwrap().problems, [""; 0]);
    let (found, hashed) = (contents(&db), hash(&db));
    db.close();
    let salvaged = &outcome.salvaged;
    if salvaged.is_complete() {
        assert_eq!(hashed, base.hash, "nothing was lost");
    }
    check(base, &outcome, &found);
    Ok((outcome, found))
}

/// What is in the result was in the original, and what is not is told.
fn check(base: &Base, outcome: &Repaired, found: &Contents) {
    let salvaged = &outcome.salvaged;
    let named = |of: &[embedded_db_engine::ObjectName]| -> BTreeSet<(String, String, String)> {
        of.iter().map(|it| (it.kind.into(), it.namespace.clone(), it.id.clone())).collect()
    };
    let doubtful = named(&salvaged.doubtful);
    let is_sure = |kind: &str, namespace: &str, id: &str| {
        !doubtful.contains(&(kind.into(), namespace.into(), id.into()))
            && !matches!(salvaged.origin, Origin::Older | Origin::Scanned)
    };
    let nothing = Content::default();
    let mut counts = [0_u64; 3];
    for (namespace, content) in found {
        let before = base.held.get(namespace).unwrap_or(&nothing);
        counts[0] += content.nodes.len() as u64;
        counts[1] += content.edges.len() as u64;
        counts[2] += content.embeddings.len() as u64;
        for (id, told) in &content.nodes {
            if is_sure("node", namespace, id) {
                assert_eq!(before.nodes.get(id), Some(told), "{namespace} {id}");
            }
        }
        for (id, versions) in &content.edges {
            if is_sure("edge", namespace, id) {
                let all = &before.edges[id];
                assert!(all.ends_with(versions), "{id}: {versions:?} of {all:?}");
            }
            let (source, target) = &content.ends[id];
            assert!(content.nodes.contains_key(source) && content.nodes.contains_key(target));
        }
        for (id, told) in &content.embeddings {
            if is_sure("embedding", namespace, id) {
                assert_eq!(before.embeddings.get(id), Some(told), "{namespace} {id}");
            }
        }
        for index in &content.indexes {
            let failed = index.replace(" failed", " ready");
            assert!(before.indexes.contains(&failed), "{index}");
        }
        assert!(content.labels.iter().all(|label| before.labels.contains(label)));
    }
    let saved = [Item::Nodes, Item::Edges, Item::Embeddings].map(|item| salvaged.saved[item]);
    assert_eq!(saved, counts, "as many as it says");
    if doubtful.is_empty() {
        let held = base.held.values();
        let all = held.fold([0; 3], |[a, b, c], it| {
            [a + it.nodes.len(), b + it.edges.len(), c + it.embeddings.len()]
        });
        for (at, item) in [Item::Nodes, Item::Edges, Item::Embeddings].into_iter().enumerate() {
            if let Some(lost) = salvaged.lost[item] {
                assert_eq!(saved[at] + lost, all[at] as u64, "{item:?} {salvaged:#?}");
            }
        }
    }
    for lost in &salvaged.lost_objects {
        let (before, now) = (base.held.get(&lost.namespace), found.get(&lost.namespace));
        let has = |content: Option<&Content>| {
            content.is_some_and(|it| match lost.kind {
                "node" => it.nodes.contains_key(&lost.id),
                "edge" => it.edges.contains_key(&lost.id),
                _ => it.embeddings.contains_key(&lost.id),
            })
        };
        if !matches!(salvaged.origin, Origin::Older | Origin::Scanned) && doubtful.is_empty() {
            assert!(lost.namespace.is_empty() || has(before), "{lost:?} was there");
        }
        assert!(!has(now), "{lost:?} is there");
    }
}

pub(crate) fn cases(quick: u32, thorough: u32) -> u32 {
    if std::env::var_os("EMBEDDED_DB_THOROUGH").is_some() { thorough } else { quick }
}

/// Damage to the data, to the sums, and to `CURRENT`.
type Case = (bool, Vec<Damage>, Option<Damage>, Option<Damage>);

fn case() -> impl Strategy<Value = Case> {
    (any::<bool>(), prop::collection::vec(to_data(), 0..6), to_other_file(), to_other_file())
}

#[test]
fn whatever_was_damaged() {
    let seen = std::cell::Cell::new([0; 6]);
    let count = |at: usize| {
        let mut counts = seen.get();
        counts[at] += 1;
        seen.set(counts);
    };
    let mut runner = TestRunner::new(seeded(0x5a1d, cases(12, 2_000)));
    let outcome = runner.run(&case(), |(scrubbed, data, sums, current)| {
        let base: &Base = if scrubbed { &SCRUBBED } else { &BASE };
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("db");
        base.copy(&path);
        data.iter().for_each(|damage| damage.apply(&path.join(DATA)));
        sums.iter().for_each(|damage| damage.apply(&path.join(SUMS)));
        current.iter().for_each(|damage| damage.apply(&path.join("CURRENT")));
        match repaired(base, home.path()) {
            Ok((outcome, _)) => {
                count(outcome.salvaged.origin as usize);
                if outcome.salvaged.is_complete() {
                    count(4);
                }
            }
            Err(Error::Corruption { .. } | Error::FormatTooNew { .. }) => count(5),
            Err(error) => panic!("{error}"),
        }
        Ok(())
    });
    outcome.unwrap();
    let [newest, found, older, scanned, complete, refused] = seen.get();
    let all = newest + found + older + scanned;
    assert!(complete > 2 && all - complete > 2 && refused < all / 4, "{seen:?}");
}
