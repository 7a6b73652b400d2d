//! A disk that did not write what it said, and a power cut before the database was closed: what is shown is
//! right, or told to be damaged.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{NS, files, node, properties, refused};
use embedded_db_common::{Error, Options, Result, Value};
use embedded_db_storage::{Level, ReadTxn, Store, examine};
use tempfile::TempDir;

const PAGE: usize = 4096;
const NODES: usize = 60;

/// A database with a node for each number, all with this text, that was just compacted.
fn compacted(path: &Path, text: char) -> Arc<Store> {
    let store = Store::open(path, &Options::default()).unwrap();
    store.write(|txn| txn.create_namespace("default")).unwrap();
    for n in 0..NODES {
        store
            .write(move |txn| {
                let label = txn.intern("Thing")?;
                let text = Value::Str(text.to_string().repeat(300));
                let properties = properties(txn, &[("text", text)])?;
                txn.insert_node(NS, &format!("n{n}"), &[label], &properties, false, None)
            })
            .unwrap();
    }
    store.compact(&mut |_, _| Ok(())).unwrap();
    store
}

/// Its files as a power cut leaves them, elsewhere: nobody may take them for those that are in use.
fn cut(store: &Store, to: &Path) -> PathBuf {
    for (path, content) in files(store.path()) {
        let place = to.join(path.strip_prefix(store.path()).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }
    to.join("gen-0000000002/data.mdb")
}

/// How many nodes have the text, which all have that read.
fn read(path: &Path, text: char) -> Result<usize> {
    let store = Store::open(path, &Options::default())?;
    let snapshot = store.read()?;
    for n in 0..NODES {
        let slot = snapshot.node_slot(NS, &format!("n{n}"))?.expect("it is not lost");
        let node = snapshot.node(NS, slot)?.expect("it is not lost");
        assert!(
            node.properties.as_bytes().ends_with(text.to_string().repeat(300).as_bytes()),
            "node {n} has another text: {:?}",
            &node.properties.as_bytes()[..20]
        );
    }
    Ok(NODES)
}

#[test]
fn a_new_generation_whose_last_commit_was_lost_is_damage() {
    let scratch = TempDir::new().unwrap();
    let store = compacted(&scratch.path().join("db"), 'a');
    let copy = scratch.path().join("copy");
    let data = cut(&store, &copy);
    assert_eq!(read(&copy, 'a').unwrap(), NODES);
    fs::remove_dir_all(&copy).unwrap();
    cut(&store, &copy);
    let mut content = fs::read(&data).unwrap();
    let transaction = |content: &[u8], page: usize| {
        u64::from_le_bytes(*content[page * PAGE + 144..].first_chunk().unwrap())
    };
    let newest = usize::from(transaction(&content, 1) > transaction(&content, 0));
    let lost = transaction(&content, newest);
    content[newest * PAGE + 144..][..8].copy_from_slice(&(lost - 2).to_le_bytes());
    fs::write(&data, &content).unwrap();
    for read_only in [true, false] {
        let error = refused(&copy, &Options { read_only, ..Options::default() });
        let Error::Corruption { detail, .. } = &error else { panic!("{error}") };
        assert!(detail.contains(&format!("ckpt tells that {lost}")), "{detail}");
    }
    let found = examine(&copy, &|| Ok(())).unwrap();
    let told = found.findings.iter().find(|finding| finding.about == "log").unwrap();
    assert_eq!(told.level, Level::Error, "{}", told.text);
    assert!(told.text.contains("lost commits"), "{}", told.text);
    assert_eq!(fs::read(&data).unwrap(), content, "it is left as it is");
}

/// Pages that are right by themselves, but of another time or file, are known by their sums.
#[test]
fn no_page_of_another_file_is_taken_for_one_of_a_new_generation() {
    let scratch = TempDir::new().unwrap();
    let [right, wrong] =
        ['a', 'b'].map(|text| compacted(&scratch.path().join(text.to_string()), text));
    let copy = scratch.path().join("copy");
    let others = fs::read(wrong.path().join("gen-0000000002/data.mdb")).unwrap();
    let (mut told, mut page) = (0, 2);
    loop {
        let data = cut(&right, &copy);
        let mut content = fs::read(&data).unwrap();
        let Some(place) = content.get_mut(page * PAGE..(page + 1) * PAGE) else { break };
        place.copy_from_slice(&others[page * PAGE..(page + 1) * PAGE]);
        fs::write(&data, content).unwrap();
        match read(&copy, 'a') {
            Ok(_) => {}
            Err(Error::Corruption { .. }) => told += 1,
            Err(error) => panic!("page {page}: {error}"),
        }
        fs::remove_dir_all(&copy).unwrap();
        page += 1;
    }
    assert!(told > NODES / 12, "{told} of {page} pages were told of");
}

/// What is stored after the switch goes on from a state to which the file is held.
#[test]
fn a_compacted_database_goes_on_after_a_power_cut() {
    let scratch = TempDir::new().unwrap();
    let store = compacted(&scratch.path().join("db"), 'a');
    for n in 0..3 {
        let copy = scratch.path().join(format!("copy {n}"));
        cut(&store, &copy);
        read(&copy, 'a').unwrap();
        let reopened = Store::open(&copy, &Options::default()).unwrap();
        let nodes = reopened.read().unwrap().namespace_counters(NS).unwrap().nodes;
        assert_eq!(nodes, (NODES + n) as u64);
        node(&store, NS, &format!("later {n}")).unwrap();
    }
}
