//! How many messages a second go through a bus: four threads publish, four consume.
//!
//! `cargo run --release -p embedded-db-bus --example throughput`

#![allow(clippy::print_stdout)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use embedded_db_bus::{Bus, Options, Publish};

const THREADS: usize = 4;
const EACH: usize = 250_000;
const ROUNDS: usize = 7;

fn main() {
    for (name, batch, keys) in [
        ("one by one", 1, 0),
        ("batches of 10", 10, 0),
        ("batches of 100", 100, 0),
        ("batches of 100, 1,000 keys", 100, 1_000),
    ] {
        let mut rates: Vec<f64> = (0..ROUNDS).map(|_| rate(batch, keys)).collect();
        rates.sort_by(f64::total_cmp);
        let (least, middle, most) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
        println!("{name:<28} {middle:>5.2} million a second ({least:.2} to {most:.2})");
    }
}

/// Millions a second, published, delivered and acknowledged.
fn rate(batch: usize, keys: usize) -> f64 {
    let bus = Bus::new(None, Options::default()).expect("these options are right");
    let subscription = bus.subscribe("work", "all").expect("this is a channel");
    let left = AtomicUsize::new(THREADS * EACH);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for first in (0..EACH).step_by(batch) {
                    let drafts = (first..first + batch).map(|number| Publish {
                        key: (keys > 0).then(|| (number % keys).to_string().into()),
                        priority: (number % 10) as u8,
                        body: [7; 64].into(),
                        ..Publish::default()
                    });
                    let published =
                        bus.publish("work", Vec::new(), drafts.collect(), None, &|| Ok(()));
                    published.expect("the bus is open");
                }
            });
            scope.spawn(|| {
                while left.load(Ordering::Relaxed) > 0 {
                    let pause = Some(Duration::from_millis(5));
                    let taken = subscription.take(256, pause, &|| Ok(())).expect("it is open");
                    let acked = subscription.ack(&taken).expect("it is open");
                    left.fetch_sub(acked, Ordering::Relaxed);
                }
            });
        }
    });
    (THREADS * EACH) as f64 / begun.elapsed().as_secs_f64() / 1e6
}
