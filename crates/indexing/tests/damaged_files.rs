//! Whatever byte of a published file is another one, no answer is made of it that is wrong: it is noticed
//! before, and the answer is made of the records.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use embedded_db_common::{Draft, NamespaceId, Value};
use embedded_db_indexing::graph::{GraphWriter, NodeDraft};
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::text::{Bm25, TextQuery};
use embedded_db_indexing::{Attached, Needs, Pin, Sealed, Views};
use embedded_db_storage::Store;

const NS: NamespaceId = NamespaceId::DEFAULT;
const MESSAGES: usize = 700;
const QUERIES: [&str; 4] = ["lake", "red fog", "w3 6", "nothing"];

/// Hits with the bits of their scores for each query, and messages by sender.
type Answers = (Vec<Vec<(u32, u32)>>, Vec<u32>);

fn text(n: usize) -> String {
    format!("lake {} red w{} {}", n % 7, n % 50, "fog ".repeat(n % 4))
}

fn fill(store: &Arc<Store>, names: Names) {
    let write = store.write(move |txn| {
        let mut writer = GraphWriter::new(txn, &names, NS);
        let chat = writer.ensure_chat("chat")?;
        for n in 0..MESSAGES {
            let mut properties = Draft::new();
            properties.set("content", &Value::Str(text(n)))?;
            properties.set("sender", &Value::Str(format!("sender {}", n % 3)))?;
            writer.add_message(chat, "chat", &NodeDraft::unlabelled(None, properties))?;
        }
        Ok(())
    });
    write.unwrap();
}

fn answers(pin: &Pin, attached: &Attached) -> Answers {
    let index = attached.text.as_ref().unwrap().read().unwrap();
    let search = |text: &&str| {
        let query = TextQuery::parse(index.analyzer(), text, false);
        let hits = index.search(&query, Bm25::default(), pin.lsn(), None, 1000, &mut || false);
        hits.unwrap().into_iter().map(|hit| (hit.slot.0, hit.score.to_bits())).collect()
    };
    let sessions = attached.sessions.as_ref().unwrap();
    let said = |n| {
        let sender = sessions.senders().number(&format!("sender {n}"));
        sender.map_or(0, |sender| sessions.messages_of(sender))
    };
    (QUERIES.iter().map(search).collect(), (0..3).map(said).collect())
}

/// How an answer came about.
#[derive(Debug, PartialEq)]
enum Way {
    /// Nothing was noticed.
    Files,
    /// The damage was noticed while the answer was made.
    Again,
}

fn ask(store: &Arc<Store>, names: Names) -> (Answers, Way) {
    let views = Views::new(names, "english").unwrap();
    let needs = Needs { namespace: NS, text: true, sessions: true, space: None };
    let (pin, attached) = views.begin(store, &needs).unwrap();
    let answer = answers(&pin, &attached);
    if !attached.is_damaged() {
        return (answer, Way::Files);
    }
    views.distrust(NS, &attached);
    let attached = views.attach(&pin, &needs).unwrap();
    assert!(!attached.is_damaged());
    (answers(&pin, &attached), Way::Again)
}

#[test]
fn no_damage_changes_an_answer() {
    let (store, names) = common::new_store();
    fill(&store, names);
    let (right, _) = ask(&store, names);
    assert_eq!(right.0[0].len(), MESSAGES);
    let views = Views::new(names, "english").unwrap();
    assert_eq!(views.publish(&store, NS, 1, &|| Ok(())).unwrap(), Sealed::Published);
    assert_eq!(ask(&store, names), (right.clone(), Way::Files));
    let directory = store.path().join("gen-0000000001/segments");
    let files: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    let mut noticed = 0;
    for path in files {
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(61) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::remove_file(&path).unwrap();
            fs::write(&path, &bytes).unwrap();
            let (answer, way) = ask(&store, names);
            assert_eq!(answer, right, "byte {at} of {path:?}");
            noticed += usize::from(way == Way::Again);
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, &whole).unwrap();
    }
    assert!(noticed > 0, "postings are checked when they are read");
}

/// Whatever a sealing that ended early has left: the next one removes it, and so does who asks for that.
#[test]
fn what_was_broken_off_leaves_nothing() {
    let (store, names) = common::new_store();
    fill(&store, names);
    let views = Views::new(names, "english").unwrap();
    let directory = store.path().join("gen-0000000001/segments");
    let files = || fs::read_dir(&directory).map_or(0, Iterator::count);
    let mut most = 0;
    for left in 0.. {
        let left = std::cell::Cell::new(left);
        let going_on = || match left.get() {
            0 => Err(embedded_db_common::Error::Interrupted),
            more => {
                left.set(more - 1);
                Ok(())
            }
        };
        let sealed = views.publish(&store, NS, 1, &going_on);
        most = most.max(files());
        store.remove_unnamed_segments().unwrap();
        if sealed.is_ok() {
            break;
        }
        assert_eq!(files(), 0);
    }
    assert_eq!((most, files()), (2, 2), "texts are complete before sessions");
    assert_eq!(ask(&store, names).1, Way::Files);
}
