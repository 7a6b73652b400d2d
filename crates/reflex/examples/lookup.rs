//! How long a lookup takes, beside maps under locks: `cargo run --release -p embedded-db-reflex --example
//! lookup`. Keys are texts that were just written, as questions are: in the caches, and not hashed. Each
//! figure is the median of batches of 64 lookups, over all threads, so that a thread which loses its processor for
//! a while counts little; the ways take turns.
#![allow(clippy::print_stdout, missing_docs)]

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, RwLock};
use std::thread;
use std::time::Instant;

use embedded_db_reflex::{Config, Intuition};

const REFLEXES: usize = 50_000;
const THREADS: usize = 8;
const LOOKUPS: usize = 128_000;
const BATCH: usize = 64;
const ROUNDS: usize = 7;

type Answer = Arc<str>;
type Ask<'a> = &'a (dyn Fn(&str) + Sync);

fn key(number: usize) -> String {
    format!("what did Ann say about topic {number:05}?")
}

/// Nanoseconds of each batch, a lookup of it, over threads that each have numbers to ask for.
fn timed(asked: &[Vec<usize>], ask: Ask<'_>) -> Vec<f64> {
    let gate = Barrier::new(asked.len());
    thread::scope(|scope| {
        let threads: Vec<_> = asked
            .iter()
            .map(|numbers| {
                let gate = &gate;
                scope.spawn(move || {
                    gate.wait();
                    let batches = numbers.chunks_exact(BATCH).map(|numbers| {
                        let keys: Vec<String> = numbers.iter().map(|number| key(*number)).collect();
                        let begun = Instant::now();
                        keys.iter().for_each(|key| ask(key));
                        begun.elapsed().as_nanos() as f64 / BATCH as f64
                    });
                    batches.collect::<Vec<f64>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it only asks")).collect()
    })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Numbers for each thread, drawn by `draw` from a random one of 53 bits.
fn numbers(threads: usize, draw: impl Fn(f64) -> usize) -> Vec<Vec<usize>> {
    let hasher = RandomState::new();
    let random = |at: usize| (hasher.hash_one(at) >> 11) as f64 / (1_u64 << 53) as f64;
    (0..threads)
        .map(|thread| (0..LOOKUPS).map(|at| draw(random(thread * LOOKUPS + at))).collect())
        .collect()
}

fn main() {
    let keys: Vec<String> = (0..REFLEXES).map(key).collect();
    let engine = Intuition::new(Config::default(), REFLEXES).expect("in range");
    let mut map: HashMap<String, Answer> = HashMap::new();
    let answers: Vec<Answer> = keys.iter().map(|key| key.to_uppercase().into()).collect();
    // Each in one go, so that neither lies among what the other allocates.
    for (key, answer) in keys.iter().zip(&answers) {
        engine.learn(key, answer.clone(), 0.9).expect("in range");
    }
    map.extend(keys.iter().cloned().zip(answers));
    let (shared, exclusive) = (RwLock::new(map.clone()), Mutex::new(map.clone()));
    let reflex = |key: &str| {
        black_box(engine.lookup(key, |answer| answer.len()));
    };
    let alone = |key: &str| {
        black_box(map.get(key).map(|answer| answer.len()));
    };
    let read = |key: &str| {
        let map = shared.read().expect("nobody panics");
        black_box(map.get(key).map(|answer| answer.len()));
    };
    let locked = |key: &str| {
        let map = exclusive.lock().expect("nobody panics");
        black_box(map.get(key).map(|answer| answer.len()));
    };
    let ways: [(&str, Ask<'_>); 4] = [
        ("reflex", &reflex),
        ("HashMap, never written", &alone),
        ("RwLock<HashMap>", &read),
        ("Mutex<HashMap>", &locked),
    ];
    println!("{REFLEXES} reflexes, ns a lookup, medians\n");
    print!("{:<44}", "");
    ways.iter().for_each(|(name, _)| print!("{name:>24}"));
    println!();
    let any = |random: f64| (random * REFLEXES as f64) as usize;
    let skewed = |random: f64| ((REFLEXES as f64).powf(random) - 1.0) as usize;
    let few = |random: f64| (random * 1000.0) as usize;
    let rows: [(&str, Vec<Vec<usize>>); 6] = [
        ("1 thread, any of all", numbers(1, any)),
        ("8 threads, any of 1,000", numbers(THREADS, few)),
        ("8 threads, any of all", numbers(THREADS, any)),
        ("8 threads, as questions are asked (Zipf)", numbers(THREADS, skewed)),
        ("8 threads, one and the same", numbers(THREADS, |_| 7)),
        ("8 threads, any of all, and one that learns", numbers(THREADS, any)),
    ];
    for (at, (name, asked)) in rows.iter().enumerate() {
        let mut times = vec![Vec::new(); ways.len()];
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            if at == 5 {
                scope.spawn(|| {
                    let mut number = 0;
                    while !ends.load(Ordering::Relaxed) {
                        let key = &keys[number % REFLEXES];
                        engine.learn(key, key.as_str().into(), 0.9).expect("in range");
                        shared
                            .write()
                            .expect("nobody panics")
                            .insert(key.clone(), key.as_str().into());
                        exclusive
                            .lock()
                            .expect("nobody panics")
                            .insert(key.clone(), key.as_str().into());
                        number += 1;
                        thread::sleep(std::time::Duration::from_micros(100));
                    }
                });
            }
            for _ in 0..ROUNDS {
                for ((_, ask), times) in ways.iter().zip(&mut times) {
                    times.extend(timed(asked, ask));
                }
            }
            ends.store(true, Ordering::Relaxed);
        });
        print!("{name:<44}");
        times.into_iter().for_each(|times| print!("{:>24.1}", median(times)));
        println!();
    }
    let full = Intuition::new(Config::default(), REFLEXES).expect("in range");
    let begun = Instant::now();
    keys.iter().for_each(|key| full.learn(key, (), 0.9).expect("in range"));
    let first = begun.elapsed().as_nanos() as f64 / REFLEXES as f64;
    let begun = Instant::now();
    (0..REFLEXES).for_each(|at| full.learn(&format!("new {at}"), (), 0.9).expect("in range"));
    let later = begun.elapsed().as_nanos() as f64 / REFLEXES as f64;
    println!("\nlearn: {first:.0} ns with room, {later:.0} ns where another leaves for it");
    println!("the engine's own mean of lookups: {:.0} ns", engine.stats().avg_fast_path_time_ns);
}
