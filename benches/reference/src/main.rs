//! How quickly this machine can do what a durable write must do, beside how quickly the database does it.
//!
//! After each write of the database its frame is read from the log, and the rows that it left are put into an LMDB
//! of our own, each once and in their order, with a log of our own in front and commits as seldom as the database's:
//! nothing is looked up, checked, summed or counted, so this is the least that the design can take. *Checked* is that with one lookup for each id and a sum
//! (XXH3) of as many bytes as the commit wrote. In turns with a bare fdatasync of as many bytes.
//!
//!     cargo run --release --manifest-path benches/reference/Cargo.toml --target-dir target/reference -- [ROUNDS [MESSAGES]]

mod bare;
mod log;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use embedded_db_engine::common::{Draft, Durability, Options, Value};
use embedded_db_engine::{AddTo, Database, EmbeddingDraft, GivenVector, NodeDraft};

use crate::bare::{Bare, Parts, Preallocated};
use crate::log::Log;

const DIMENSIONS: usize = 384;
const THREADS: usize = 8;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|it| it.parse().expect("a number"));
    let (rounds, messages) = (numbers.next().unwrap_or(600), numbers.next().unwrap_or(20_000));
    let directory = tempfile::tempdir().expect("a directory");
    let mut bench = Bench::new(directory.path(), messages);
    println!(
        "{:<32}{:>9}{:>9}{:>9}{:>9}  of it: {:>8}{:>8}{:>8}{:>8}{:>8}{:>11}  µs",
        "",
        "sync",
        "bare",
        "checked",
        "database",
        "rows",
        "log",
        "commit",
        "lookups",
        "sums",
        "in memory"
    );
    for in_a_row in [20, 1] {
        println!("{in_a_row} in a row");
        bench.row("message", rounds, in_a_row, add_message);
        bench.row("message, vector, edge", rounds, in_a_row, insert);
        bench.row("node", rounds, in_a_row, |db, at| add_nodes(db, at, 1));
    }
    let of_eight = bench.row("8 nodes in a call", rounds, 1, |db, at| add_nodes(db, at, 8));
    bench.row("1,000 nodes in a call", rounds / 10, 1, |db, at| add_nodes(db, at, 1000));
    bench.threads(of_eight);
}

struct Bench {
    db: Database,
    memory: Database,
    log: Log,
    bare: Bare,
    sync: Preallocated,
    checkpoint: u64,
}

impl Bench {
    fn new(directory: &Path, messages: usize) -> Self {
        let open = |place: &Path, durability| {
            let options = Options { durability, ..Options::default() };
            let db = Database::open(place, &options, None).expect("a database");
            db.create_chat(NodeDraft::unlabelled(Some("c0".into()), Draft::new())).expect("a chat");
            db
        };
        let db = open(&directory.join("durable"), Durability::Durable);
        let memory = open(Path::new(":memory:"), Durability::Memory);
        let log = Log::open(&directory.join("durable/gen-0000000001"));
        let bare = Bare::new(&directory.join("bare"));
        let sync = Preallocated::new(&directory.join("sync"));
        let mut bench = Self { db, memory, log, bare, sync, checkpoint: 0 };
        for at in (0..messages).step_by(200) {
            for db in [&bench.db, &bench.memory] {
                add_messages_with_vectors(db, at, 200);
            }
            bench.follow();
        }
        bench.rest();
        bench
    }

    /// Waits until the disk is as quick as it is at its best: it may have much to write.
    fn rest(&mut self) {
        let mut syncs = || median((0..20).map(|_| self.sync.append(&[7; 2048])).collect());
        let all: Vec<f64> = (0..60)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(100));
                syncs()
            })
            .collect();
        println!("syncs of 2 KB: {:.0} to {:.0} µs", least(&all), most(&all));
    }

    /// Does what the database did since: how long it took, and the lengths of the frames.
    fn follow(&mut self) -> (Parts, Vec<usize>) {
        let frames: Vec<_> = std::iter::from_fn(|| self.log.next()).collect();
        let parts = self.bare.write(&frames);
        let [number, ..] = self.log.checkpoint();
        if std::mem::replace(&mut self.checkpoint, number) != number {
            self.bare.checkpoint();
        }
        (parts, frames.iter().map(|frame| frame.bytes().len()).collect())
    }

    /// Measures so many writes in a row and prints what one took; how long the bare one did.
    fn row(
        &mut self,
        name: &str,
        rounds: usize,
        in_a_row: usize,
        call: impl Fn(&Database, usize),
    ) -> f64 {
        let mut samples: [Vec<Duration>; 10] = Default::default();
        for round in 0..rounds / in_a_row {
            let timed = |db: &Database| {
                let begun = Instant::now();
                (0..in_a_row).for_each(|number| call(db, round * in_a_row + number));
                begun.elapsed()
            };
            let ours = timed(&self.db);
            let (parts, lengths) = self.follow();
            let sync = lengths.iter().map(|bytes| self.sync.append(&vec![7; *bytes])).sum();
            let memory = timed(&self.memory);
            let all = [parts.bare(), parts.checked()];
            let of_it = [parts.rows, parts.sync, parts.commit, parts.lookups, parts.sums];
            let taken = [ours, sync, memory].into_iter().chain(all).chain(of_it);
            let each = taken.map(|taken| taken / in_a_row as u32);
            samples.iter_mut().zip(each).for_each(|(samples, each)| samples.push(each));
        }
        let [ours, sync, memory, bare, checked, of_it @ ..] = samples.map(median);
        let of_it = of_it.map(|part| format!("{part:>8.1}")).concat();
        println!(
            "{name:<32}{sync:>9.1}{bare:>9.1}{checked:>9.1}{ours:>9.1}         {of_it}{memory:>11.1}  beyond the sync: \
             bare {:.1}, checked {:.1}, database {:.1}; 1.3 x the sync + 50 is {:.1}",
            bare - sync,
            checked - sync,
            ours - sync,
            1.3 * sync + 50.0,
        );
        bare
    }

    /// Nodes of eight threads; the bare ones could not be more than eight for each commit.
    fn threads(&mut self, bare: f64) {
        let syncs: Vec<_> = (0..200).map(|_| self.sync.append(&[7; 2048])).collect();
        let (count, begun) = (AtomicU64::new(0), Instant::now());
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (db, count) = (&self.db, &count);
                scope.spawn(move || {
                    while begun.elapsed() < Duration::from_secs(3) {
                        add_nodes(db, thread, 1);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let rate = count.into_inner() as f64 / begun.elapsed().as_secs_f64();
        println!(
            "{THREADS} threads: {rate:.0} nodes a second, bare at most {:.0}; a sync {:.1} µs",
            THREADS as f64 / bare * 1e6,
            median(syncs)
        );
    }
}

fn median(mut samples: Vec<Duration>) -> f64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).map_or(0.0, |it| it.as_secs_f64() * 1e6)
}

fn least(all: &[f64]) -> f64 {
    all.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(all: &[f64]) -> f64 {
    all.iter().copied().fold(0.0, f64::max)
}

fn words(at: usize) -> String {
    (0..14).map(|word| format!("word{} ", (at * 31 + word * 17) % 997)).collect()
}

fn properties(all: &[(&str, Value)]) -> Draft {
    let mut draft = Draft::new();
    for (name, value) in all {
        draft.set(name, value).expect("a property");
    }
    draft
}

fn message(at: usize) -> NodeDraft {
    let text = Value::Str(words(at));
    let all = [("content", text), ("sender", Value::Str("s1".into()))];
    NodeDraft::unlabelled(None, properties(&all))
}

fn add_message(db: &Database, at: usize) {
    db.add_message("c0", message(at), AddTo::ChatThatExists).expect("a message");
}

fn vector(at: usize) -> Vec<f32> {
    (0..DIMENSIONS).map(|place| ((at * 7 + place * 13) % 101) as f32 - 50.5).collect()
}

fn add_messages_with_vectors(db: &Database, at: usize, count: usize) {
    let all = (at..at + count).map(message).collect();
    let nodes = db.add_messages("c0", all, AddTo::ChatThatExists).expect("messages");
    let embedding = |(at, node): (usize, &embedded_db_engine::Node)| EmbeddingDraft {
        id: None,
        node_id: node.id().expect("an id").to_string(),
        space: Some("bench".into()),
        vector: vector(at),
    };
    db.create_embeddings(nodes.iter().enumerate().map(embedding).collect()).expect("vectors");
}

/// A message of a chat, with its vector.
fn insert(db: &Database, at: usize) {
    let space = Some("bench".to_owned());
    let embedding = Some(GivenVector { space, numbers: vector(at) });
    let draft = NodeDraft { embedding, ..message(at) };
    db.add_message("c0", draft, AddTo::ChatThatExists).expect("a message");
}

fn add_nodes(db: &Database, at: usize, count: usize) {
    let draft = |number: usize| NodeDraft {
        labels: vec!["Thing".into()],
        properties: properties(&[("number", Value::Int(number as i64))]),
        ..NodeDraft::default()
    };
    db.create_nodes((at..at + count).map(draft).collect()).expect("nodes");
}
