//! What recall a vector graph finds in what time, and what building it takes.
//!
//! `cargo run --release -p embedded-db-indexing --example vector_graph -- 100000 384 measure 2`
//!
//! Rows are of a clustered mixture, compared by the cosine; queries are further draws from it.
//! Recall is that of the best ten, against all rows compared by f32. With `dump` in place of
//! `measure` the rows and then the queries go to the output as f32, for other programs; with
//! `build` the graph is built and that is all. The last argument is the number of threads.

#![allow(clippy::print_stdout, reason = "a program that prints")]

#[path = "common/mixture.rs"]
mod mixture;

use std::convert::Infallible;
use std::io::Write;
use std::time::{Duration, Instant};

use embedded_db_common::Slot;
use embedded_db_indexing::kernels::Kernels;
use embedded_db_indexing::vector::graph::{
    BuildOptions, Effort, Graph, GraphRequest, Profile, RowCodes, Scratch, build,
};
use embedded_db_indexing::vector::{Metric, RowSource};
use mixture::{Numbers, mixture};
use roaring::RoaringBitmap;

const K: usize = 10;
const QUERIES: usize = 500;
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let (rows, dim) = (number(0, 20_000), number(1, 384));
    let what = arguments.get(2).map_or("measure", String::as_str);
    let vectors = mixture(rows + QUERIES, dim);
    let (vectors, queries) = vectors.split_at(rows * dim);
    match what {
        "dump" => dump(&[vectors, queries]),
        "build" => drop(linked(vectors, dim, &options(number(3, 2), Profile::Normal))),
        "measure" => measure(vectors, queries, dim, number(3, 2)),
        _ => panic!("measure, build or dump"),
    }
}

fn dump(arrays: &[&[f32]]) {
    let mut out = std::io::stdout().lock();
    for value in arrays.iter().copied().flatten() {
        out.write_all(&value.to_le_bytes()).expect("the output takes it");
    }
}

fn measure(vectors: &[f32], queries: &[f32], dim: usize, threads: usize) {
    let best = exact(vectors, queries, dim);
    for profile in [Profile::Normal, Profile::Small] {
        let started = Instant::now();
        let graph = linked(vectors, dim, &options(threads, profile));
        println!(
            "{profile:?}: {} rows of {dim}, built by {threads} threads in {:.1} s",
            graph.view().len(),
            started.elapsed().as_secs_f64()
        );
        println!("{:>8} {:>7} {:>9} {:>9} {:>8}", "pool", "recall", "walk µs", "all µs", "visited");
        let pools = [20, 25, 32, 40, 50, 64, 80, 100, 128, 160, 200];
        let mut efforts: Vec<Effort> = pools.into_iter().map(Effort::Pool).collect();
        efforts.extend([Effort::Fast, Effort::Usual, Effort::Sure]);
        for effort in efforts {
            try_out(&graph, vectors, queries, &best, effort);
        }
        if profile == Profile::Normal {
            filters(&graph, vectors, &queries[..100 * dim]);
        }
    }
}

fn options(threads: usize, profile: Profile) -> BuildOptions {
    BuildOptions { threads, seed: 1, profile }
}

fn linked(vectors: &[f32], dim: usize, options: &BuildOptions) -> Graph {
    let ids: Vec<_> = (0..vectors.len() / dim).map(|row| (Slot(row as u32), 0)).collect();
    let Ok(codes) = RowCodes::read(dim, Metric::Cosine, &ids, &mut Memory { vectors, dim });
    build(codes, options, &|| false).expect("not interrupted")
}

/// Filters that have nothing to do with the query, and such that are with it and against it.
fn filters(graph: &Graph, vectors: &[f32], queries: &[f32]) {
    let view = graph.view();
    let dim = view.dim();
    let rows = view.len() as u32;
    println!("{:>24} {:>7} {:>9} {:>8} {:>8}", "filter", "recall", "µs", "visited", "scanned");
    let line = |name: &str, allowed: RoaringBitmap, queries: &[f32]| {
        let request = GraphRequest { k: K, allowed: Some(&allowed), ..GraphRequest::default() };
        let (mut hits, mut count, mut visited, mut scanned) = (0, 0, 0, 0);
        let mut times = Vec::new();
        let mut scratch = Scratch::default();
        let all_best: Vec<_> = queries
            .chunks(dim)
            .map(|query| best_of(vectors, query, |row| allowed.contains(row)))
            .collect();
        for (query, best) in queries.chunks(dim).zip(all_best) {
            let mut memory = Memory { vectors, dim };
            let started = Instant::now();
            let found =
                view.search_exact(query, &request, &mut memory, &mut scratch, &mut || false);
            times.push(started.elapsed());
            let (found, report) = found.expect("whole").expect("not interrupted");
            hits += found.iter().filter(|hit| best.contains(&hit.slot)).count();
            count += best.len();
            visited += report.visited;
            scanned += report.scanned;
        }
        println!(
            "{name:>24} {:>7.4} {:>9.1} {:>8} {:>8}",
            hits as f64 / count as f64,
            median(&mut times),
            visited / times.len(),
            scanned / times.len()
        );
    };
    for per_mille in [900, 500, 200, 100, 50, 20, 10, 1] {
        let mut numbers = Numbers(per_mille);
        let allowed = (0..rows).filter(|_| numbers.unit() * 1000.0 < per_mille as f32).collect();
        line(&format!("{per_mille} in a thousand"), allowed, queries);
    }
    // By likeness to what is half like the queries: the query and a row.
    let (query, row) = (&queries[..dim], &vectors[..dim]);
    let half_like: Vec<f32> = query.iter().zip(row).map(|(x, y)| x + y).collect();
    let order = order_of(vectors, &half_like);
    let (some, half) = (rows as usize / 20, rows as usize / 2);
    let queries = query.repeat(50);
    line("the nearest twentieth", order[..some].iter().copied().collect(), &queries);
    line("the nearest half", order[..half].iter().copied().collect(), &queries);
    line("the farthest half", order[half..].iter().copied().collect(), &queries);
}

fn order_of(vectors: &[f32], query: &[f32]) -> Vec<u32> {
    let mut scores = vec![0.0; vectors.len() / query.len()];
    Kernels::detect().dot_f32_rows(query, vectors, &mut scores);
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
    order
}

fn best_of(vectors: &[f32], query: &[f32], may: impl Fn(u32) -> bool) -> Vec<Slot> {
    let order = order_of(vectors, query);
    order.into_iter().filter(|&row| may(row)).take(K).map(Slot).collect()
}

fn try_out(graph: &Graph, vectors: &[f32], queries: &[f32], best: &[Vec<Slot>], effort: Effort) {
    let view = graph.view();
    let dim = view.dim();
    let mut scratch = Scratch::default();
    let request = GraphRequest { k: K, effort, ..GraphRequest::default() };
    let (mut hits, mut pool, mut visited) = (0, 0, 0);
    let (mut walks, mut alls) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for query in queries.chunks(dim) {
            let started = Instant::now();
            let found = view.search(query, &request, &mut scratch, &mut || false);
            walks.push(started.elapsed());
            assert!(found.is_ok_and(|found| found.is_some()));
        }
        for (query, best) in queries.chunks(dim).zip(best) {
            let mut rows = Memory { vectors, dim };
            let started = Instant::now();
            let found = view.search_exact(query, &request, &mut rows, &mut scratch, &mut || false);
            alls.push(started.elapsed());
            let (found, report) = found.expect("whole").expect("not interrupted");
            if round == 0 {
                hits += found.iter().filter(|hit| best.contains(&hit.slot)).count();
                visited += report.visited;
                pool = report.pool;
            }
        }
    }
    println!(
        "{pool:>8} {:>7.4} {:>9.1} {:>9.1} {:>8}",
        hits as f64 / (K * QUERIES) as f64,
        median(&mut walks),
        median(&mut alls),
        visited / QUERIES
    );
}

/// In microseconds. Single queries are timed, so that what else the machine does matters little.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

struct Memory<'a> {
    vectors: &'a [f32],
    dim: usize,
}

impl RowSource for Memory<'_> {
    type Error = Infallible;

    fn row(&mut self, slot: Slot, _part: u16, out: &mut [f32]) -> Result<bool, Infallible> {
        out.copy_from_slice(&self.vectors[slot.0 as usize * self.dim..][..self.dim]);
        Ok(true)
    }
}

/// The best of all rows, compared one by one.
fn exact(vectors: &[f32], queries: &[f32], dim: usize) -> Vec<Vec<Slot>> {
    queries.chunks(dim).map(|query| best_of(vectors, query, |_| true)).collect()
}
