//! Four producers and four consumers: nothing is lost, nothing comes twice, each key keeps its order, and the least
//! urgent message is not forgotten.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use embedded_db_bus::{Bus, Options, Publish};

const THREADS: u64 = 4;
const KEYS: u64 = 1_000;

fn run(each: u64, batch: u64, keyed: bool, capacity: usize) {
    let options = Options { capacity, ageing: 1_000, ..Options::default() };
    let bus = Bus::new(None, options).unwrap();
    let subscription = bus.subscribe("work.*", "all").unwrap();
    let total = usize::try_from(THREADS * each).unwrap();
    let seen: Vec<AtomicUsize> = (0..total).map(|_| AtomicUsize::new(0)).collect();
    let left = AtomicUsize::new(total);
    let last: Mutex<HashMap<Arc<str>, HashMap<u64, u64>>> = Mutex::default();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let bus = &bus;
            scope.spawn(move || {
                let channel = format!("work.{thread}");
                for first in (0..each).step_by(usize::try_from(batch).unwrap()) {
                    let drafts = (first..(first + batch).min(each)).map(|number| {
                        let value = thread * each + number;
                        Publish {
                            key: keyed.then(|| (number % KEYS).to_string().into()),
                            priority: (number % 10) as u8,
                            body: value.to_le_bytes().into(),
                            ..Publish::default()
                        }
                    });
                    bus.publish(&channel, Vec::new(), drafts.collect(), None, &|| Ok(())).unwrap();
                }
            });
            let (subscription, seen, left, last) = (&subscription, &seen, &left, &last);
            scope.spawn(move || {
                while left.load(Ordering::SeqCst) > 0 {
                    let pause = Some(Duration::from_millis(20));
                    let taken = subscription.take(256, pause, &|| Ok(())).unwrap();
                    for one in &taken {
                        let value = u64::from_le_bytes((*one.message.body).try_into().unwrap());
                        seen[usize::try_from(value).unwrap()].fetch_add(1, Ordering::Relaxed);
                        if let Some(key) = &one.message.key {
                            let mut last = last.lock().unwrap();
                            let producers = last.entry(key.clone()).or_default();
                            let before = producers.insert(value / each, value);
                            assert!(
                                before.is_none_or(|before| before < value),
                                "{before:?} {value}"
                            );
                        }
                    }
                    assert_eq!(subscription.ack(&taken).unwrap(), taken.len());
                    left.fetch_sub(taken.len(), Ordering::SeqCst);
                }
            });
        }
    });
    assert!(seen.iter().all(|times| times.load(Ordering::Relaxed) == 1));
    let counts = subscription.counts().unwrap();
    assert_eq!((counts.waiting, counts.in_flight, counts.dead), (0, 0, 0));
    assert_eq!((counts.acked, counts.dropped), (total as u64, 0));
}

#[test]
fn a_million_messages_without_keys() {
    run(250_000, 100, false, 100_000);
}

#[test]
fn a_million_messages_with_a_thousand_keys() {
    run(250_000, 100, true, 100_000);
}

#[test]
fn one_by_one_through_a_small_queue() {
    run(10_000, 1, true, 50);
}

#[test]
fn the_least_urgent_is_overtaken_only_by_those_of_its_time() {
    let bus = Bus::new(None, Options { ageing: 2_000, ..Options::default() }).unwrap();
    let subscription = bus.subscribe("c", "g").unwrap();
    let publish = |priority, body: &[u8]| {
        let draft = Publish { priority, body: body.into(), ..Publish::default() };
        bus.publish("c", Vec::new(), vec![draft], None, &|| Ok(())).unwrap();
    };
    publish(0, b"low");
    let begun = Instant::now();
    let mut overtaken = 0;
    // Urgent ones never end, and there is always one more waiting.
    publish(9, b"high");
    loop {
        publish(9, b"high");
        let taken = subscription.try_take(1).unwrap();
        subscription.ack(&taken).unwrap();
        if *taken[0].message.body == *b"low" {
            break;
        }
        overtaken += 1;
        assert!(begun.elapsed() < Duration::from_secs(30), "overtaken {overtaken} times");
    }
    assert!(begun.elapsed() >= Duration::from_millis(9 * 2 - 1));
}
