//! What a search over stored vectors finds in what time, and what their files take.
//!
//! `cargo run --release -p embedded-db-indexing --example vector_index -- 100000 384`
//!
//! Rows of the mixture of `vector_graph` are stored, sealed and linked as the engine does it, by one thread; then a
//! tenth more comes in pieces. Recall is that of the best ten against a search that misses none. Times are medians of
//! single searches, with a snapshot taken and f32 values read from the store.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints")]

#[path = "common/mixture.rs"]
mod mixture;

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_db_common::{Draft, NamespaceId, Options, Slot};
use embedded_db_indexing::graph::{EmbeddingDraft, GraphWriter, NodeDraft};
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::vector::graph::Effort;
use embedded_db_indexing::vector::{Found, VectorHit, VectorRequest};
use embedded_db_indexing::{Linked, Needs, StoreRows, Views};
use embedded_db_storage::{ReadEmbeddings, Store};
use mixture::{Numbers, mixture};
use roaring::RoaringBitmap;

const K: usize = 10;
const QUERIES: usize = 500;
const ROUNDS: usize = 3;
const NS: NamespaceId = NamespaceId::DEFAULT;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let (rows, dim) = (number(0, 20_000), number(1, 384));
    let vectors = mixture(rows + rows / 10 + QUERIES, dim);
    let (vectors, queries) = vectors.split_at((rows + rows / 10) * dim);
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(directory.path());

    bench.store(&vectors[..rows * dim], dim);
    bench.seal_and_link(rows);
    bench.measure(queries, dim);
    for piece in vectors[rows * dim..].chunks((rows / 40).max(1) * dim) {
        bench.store(piece, dim);
        bench.seal_and_link(piece.len() / dim);
    }
    bench.measure(queries, dim);
    bench.filters(queries, dim);
    bench.many(queries, dim);
    bench.open(&queries[..dim]);
}

struct Bench {
    store: Arc<Store>,
    names: Names,
    views: Arc<Views>,
    needs: Option<Needs>,
    stored: u32,
}

impl Bench {
    fn new(path: &std::path::Path) -> Self {
        let store = Store::open(path, &Options::default()).unwrap();
        let names = store
            .write(|txn| {
                let names = Names::create(txn)?;
                txn.create_namespace("default")?;
                Ok(names)
            })
            .unwrap();
        let views = Views::new(names, "english").unwrap();
        Self { store, names, views, needs: None, stored: 0 }
    }

    fn store(&mut self, vectors: &[f32], dim: usize) {
        for piece in vectors.chunks(2_000 * dim) {
            let (names, first, piece) = (self.names, self.stored, piece.to_vec());
            self.stored += (piece.len() / dim) as u32;
            let write = move |txn: &mut embedded_db_storage::WriteTxn<'_>| {
                let mut writer = GraphWriter::new(txn, &names, NS);
                for (number, vector) in (first..).zip(piece.chunks(dim)) {
                    let node_id = number.to_string();
                    let mut node = NodeDraft::unlabelled(Some(node_id.clone()), Draft::new());
                    node.labels = vec!["Thing".into()];
                    writer.create_node(&node)?;
                    let vector = vector.to_vec();
                    writer.create_embedding(&EmbeddingDraft {
                        id: None,
                        node_id,
                        space: None,
                        vector,
                    })?;
                }
                Ok(())
            };
            self.store.write(write).unwrap();
        }
        let space = self.store.read().unwrap().spaces().unwrap().into_iter().next();
        self.needs = Some(Needs { namespace: NS, text: false, sessions: false, space });
    }

    fn needs(&self) -> &Needs {
        self.needs.as_ref().unwrap()
    }

    fn seal_and_link(&self, rows: usize) {
        let (space, record) = self.needs().space.as_ref().unwrap();
        let of = (*space, record);
        let per_row = |since: Duration| (cpu() - since).as_secs_f64() * 1e6 / rows as f64;
        let since = cpu();
        self.views.publish_vectors(&self.store, NS, of, 1, &|| Ok(())).unwrap();
        let sealed = per_row(since);
        let since = cpu();
        let right = || Ok(self.store.begin_sealing().unwrap());
        let link = || self.views.link_vectors(&self.store, NS, of, &right, &|| Ok(())).unwrap();
        while link() == Linked::Published {}
        let linked = per_row(since);
        let row = self.store.read().unwrap();
        let row = row.view_record(NS, embedded_db_storage::ViewKind::Vectors, *space).unwrap();
        let files: Vec<(u32, u64)> =
            row.unwrap().files.iter().map(|file| (file.rows, file.length >> 20)).collect();
        println!(
            "{rows} rows: CPU µs a row: {sealed:.1} to seal, {linked:.1} to link; files of (rows, MiB) \
             {files:?}"
        );
    }

    fn search(&self, views: &Arc<Views>, query: &[f32], request: &VectorRequest<'_>) -> Found {
        let (pin, attached) = views.begin(&self.store, self.needs()).unwrap();
        let index = attached.vectors.as_ref().unwrap().read().unwrap();
        let space = self.needs().space.as_ref().unwrap().0;
        let mut rows = StoreRows { snapshot: pin.snapshot(), namespace: NS, space };
        index.search(query, pin.lsn(), request, &mut rows, &mut || false).unwrap().unwrap()
    }

    /// Recall, time in µs and what was done by the way.
    fn tried(
        &self,
        queries: &[f32],
        dim: usize,
        request: &VectorRequest<'_>,
    ) -> (f64, f64, String) {
        let exact = VectorRequest { exact: true, ..*request };
        let (mut times, mut right, mut wanted) = (Vec::new(), 0, 0);
        let mut report = String::new();
        let best: Vec<Vec<Slot>> = queries
            .chunks(dim)
            .map(|query| {
                let found = self.search(&self.views, query, &exact);
                found.hits.iter().map(|hit| hit.slot).collect()
            })
            .collect();
        for round in 0..ROUNDS {
            for (query, best) in queries.chunks(dim).zip(&best) {
                let since = Instant::now();
                let found = self.search(&self.views, query, request);
                times.push(since.elapsed());
                if round == 0 {
                    right += found.hits.iter().filter(|hit| best.contains(&hit.slot)).count();
                    wanted += best.len();
                    assert_eq!(found.hits.len(), best.len());
                    report = found.report.to_string();
                }
            }
        }
        (right as f64 / wanted as f64, median(&mut times), report)
    }

    fn line(&self, name: &str, queries: &[f32], dim: usize, request: &VectorRequest<'_>) {
        let (recall, time, report) = self.tried(queries, dim, request);
        println!("{name:>26} {recall:>7.4} {time:>9.1}   {report}");
    }

    fn measure(&self, queries: &[f32], dim: usize) {
        println!("{:>26} {:>7} {:>9}   the last search", "effort", "recall", "µs");
        let efforts =
            [Effort::Pool(20), Effort::Fast, Effort::Usual, Effort::Sure, Effort::Pool(200)];
        for effort in efforts {
            let request = VectorRequest { k: K, effort, ..VectorRequest::default() };
            self.line(&format!("{effort:?}"), queries, dim, &request);
        }
        let request = VectorRequest { k: K, exact: true, ..VectorRequest::default() };
        self.line("exact", &queries[..100 * dim], dim, &request);
    }

    /// Filters that have nothing to do with the query, and such that are with it and against it; each beside a search
    /// of all that it allows.
    fn filters(&self, queries: &[f32], dim: usize) {
        println!("{:>26} {:>7} {:>9}   the last search", "filter", "recall", "µs");
        let both = |name: &str, allowed: &RoaringBitmap, queries: &[f32]| {
            let request =
                VectorRequest { k: K, allowed: Some(allowed), ..VectorRequest::default() };
            self.line(name, queries, dim, &request);
            let exact = VectorRequest { exact: true, ..request };
            self.line("exact", queries, dim, &exact);
        };
        let some = &queries[..200 * dim];
        for per_ten_thousand in [9_000, 5_000, 2_000, 1_000, 500, 200, 50, 5] {
            let mut numbers = Numbers(per_ten_thousand);
            let share = per_ten_thousand as f32 / 10_000.0;
            let allowed = (0..self.stored).filter(|_| numbers.unit() < share).collect();
            both(&format!("{:.2} %", share * 100.0), &allowed, some);
        }
        // By likeness to what is half like the query, as in `vector_graph`; and to the query itself.
        for like in [0.5, 1.0] {
            let (query, other) = (&queries[..dim], &queries[dim..2 * dim]);
            let pairs = query.iter().zip(other);
            let centre: Vec<f32> = pairs.map(|(x, y)| x * like + y * (1.0 - like)).collect();
            let all = VectorRequest { k: self.stored as usize, exact: true, ..Default::default() };
            let order = self.search(&self.views, &centre, &all).hits;
            let of = |hits: &[VectorHit]| -> RoaringBitmap {
                hits.iter().map(|hit| hit.slot.0).collect()
            };
            let half = order.len() / 2;
            let queries = query.repeat(30);
            both(&format!("{like} like: nearest half"), &of(&order[..half]), &queries);
            both(&format!("{like} like: farthest half"), &of(&order[half..]), &queries);
            both(&format!("{like} like: nearest 5 %"), &of(&order[..half / 10]), &queries);
        }
    }

    /// Many results.
    fn many(&self, queries: &[f32], dim: usize) {
        for k in [50, 200, 500, 1_000, 2_000] {
            let request = VectorRequest { k, ..VectorRequest::default() };
            self.line(&format!("the best {k}"), &queries[..50 * dim], dim, &request);
            let exact = VectorRequest { exact: true, ..request };
            self.line("exact", &queries[..50 * dim], dim, &exact);
        }
    }

    fn open(&self, query: &[f32]) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            let views = Views::new(self.names, "english").unwrap();
            let request = VectorRequest { k: K, ..VectorRequest::default() };
            for times in [&mut first, &mut second] {
                let since = Instant::now();
                self.search(&views, query, &request);
                times.push(since.elapsed());
            }
        }
        let snapshot = self.store.read().unwrap();
        let space = self.needs().space.as_ref().unwrap().0;
        let row = snapshot.view_record(NS, embedded_db_storage::ViewKind::Vectors, space).unwrap();
        let mut checks = Vec::new();
        for _ in 0..9 {
            let since = Instant::now();
            for file in &row.as_ref().unwrap().files {
                assert!(snapshot.open_segment(file).unwrap().unwrap().check_all());
            }
            checks.push(since.elapsed());
        }
        println!("checking all blocks of the files {:.0} µs", median(&mut checks));
        let times = [median(&mut first), median(&mut second)];
        println!(
            "opening the files and a first search {:.0} µs, the next {:.0}",
            times[0], times[1]
        );
    }
}

/// Processor time of this thread, where the system tells of it.
fn cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// In microseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
