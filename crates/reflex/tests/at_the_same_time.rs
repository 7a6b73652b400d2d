//! Promise: threads may read while others learn, judge and forget. An answer is that of its key, one that
//! was there at some moment of the lookup; nothing is read that was freed, nothing is freed twice, and
//! nothing is kept that nobody can find.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use embedded_db_reflex::{Config, Feedback, Intuition};

/// An interpreter such as Miri takes fewer steps.
const STEPS: usize = if cfg!(miri) { 100 } else { 30_000 };

/// Knows its key, and how many there are; what was freed is no longer itself.
struct Answer {
    key: usize,
    whole: Box<u64>,
    there: Arc<AtomicI64>,
}

const WHOLE: u64 = 0x5eed_5eed_5eed_5eed;

impl Answer {
    fn new(key: usize, there: &Arc<AtomicI64>) -> Self {
        there.fetch_add(1, Ordering::SeqCst);
        Self { key, whole: Box::new(WHOLE), there: there.clone() }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        assert_eq!(std::mem::take(&mut *self.whole), WHOLE, "dropped twice");
        self.there.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Numbers that need no clock.
fn random(seed: usize) -> impl FnMut(usize) -> usize {
    let mut state = seed as u64 * 2 + 1;
    move |below| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}

#[test]
fn readers_and_writers_of_a_few_keys() {
    let there = Arc::new(AtomicI64::new(0));
    // Fewer places than keys, so that every kind of leaving happens all the time.
    let engine = Intuition::new(Config::default(), 8).unwrap();
    let (lookups, found) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let gate = Barrier::new(8);
    thread::scope(|scope| {
        for number in 0..8 {
            let (engine, there, gate, lookups, found) = (&engine, &there, &gate, &lookups, &found);
            scope.spawn(move || {
                let mut random = random(number);
                gate.wait();
                for _ in 0..STEPS {
                    let key = random(32);
                    let name = key.to_string();
                    match if number < 5 { 9 } else { random(8) } {
                        0 if random(64) == 0 => engine.clear(),
                        0 => drop(engine.forget(&name)),
                        1 => drop(engine.feedback(&name, Feedback::Right)),
                        2 => drop(engine.feedback(&name, Feedback::Wrong)),
                        3 => {
                            let answer = Answer::new(key, there);
                            drop(engine.feedback(&name, Feedback::Corrected(answer)));
                        }
                        4..8 => engine.learn(&name, Answer::new(key, there), 0.9).unwrap(),
                        _ => {
                            lookups.fetch_add(1, Ordering::Relaxed);
                            let answer = engine.lookup(&name, |answer| (answer.key, *answer.whole));
                            if let Some(answer) = answer {
                                assert_eq!(answer, (key, WHOLE));
                                found.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    let (stats, found) = (engine.stats(), found.into_inner() as u64);
    assert!(stats.total_reflexes <= 8 && stats.evicted > 0, "{stats:?}");
    assert_eq!((stats.hits, stats.hits + stats.misses), (found, lookups.into_inner() as u64));
    assert!(found > 0);
    // The readers have left: what they kept goes with the next writes.
    engine.forget("nothing");
    engine.forget("nothing");
    assert_eq!(there.load(Ordering::SeqCst), stats.total_reflexes as i64);
    drop(engine);
    assert_eq!(there.load(Ordering::SeqCst), 0);
}

#[test]
fn what_is_never_taken_out_is_always_found_with_its_newest_answer_or_a_newer_one() {
    let engine =
        Intuition::new(Config { min_confidence: 0.0, ..Config::default() }, 1 << 12).unwrap();
    // Few buckets' worth of neighbours come and go beside them.
    for key in 0..64 {
        engine.learn(&format!("stays {key}"), 0_usize, 1.0).unwrap();
    }
    let newest: Vec<AtomicUsize> = (0..64).map(|_| AtomicUsize::new(0)).collect();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = random(99);
            for step in 1..=STEPS {
                let key = random(64);
                engine.learn(&format!("stays {key}"), step, 1.0).unwrap();
                newest[key].store(step, Ordering::SeqCst);
                let other = format!("comes and goes {}", random(2000));
                if random(2) == 0 {
                    engine.learn(&other, step, 1.0).unwrap();
                } else {
                    engine.forget(&other);
                }
            }
            ends.store(true, Ordering::SeqCst);
        });
        for number in 0..3 {
            let (engine, newest, ends) = (&engine, &newest, &ends);
            scope.spawn(move || {
                let mut random = random(number);
                while !ends.load(Ordering::SeqCst) {
                    let key = random(64);
                    let at_least = newest[key].load(Ordering::SeqCst);
                    let answer = engine.lookup(&format!("stays {key}"), |answer| *answer);
                    assert!(answer >= Some(at_least), "{answer:?} is older than {at_least}");
                }
            });
        }
    });
}

#[test]
fn a_reader_holds_up_nobody_and_what_it_reads_stays() {
    let there = Arc::new(AtomicI64::new(0));
    let engine = Intuition::new(Config::default(), 2).unwrap();
    engine.learn("read", Answer::new(7, &there), 0.9).unwrap();
    let (reads, written) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            engine.lookup("read", |answer| {
                reads.wait();
                written.wait();
                assert_eq!((answer.key, *answer.whole), (7, WHOLE));
            })
        });
        reads.wait();
        assert!(engine.forget("read"));
        for number in 0..100 {
            engine.learn(&number.to_string(), Answer::new(number, &there), 0.9).unwrap();
        }
        assert!(engine.lookup("read", |_| ()).is_none());
        written.wait();
    });
    engine.forget("nothing");
    engine.forget("nothing");
    assert_eq!(there.load(Ordering::SeqCst), 2);
}

/// An answer whose end calls the engine that had it, as a Python object may.
struct Talkative(Arc<Intuition<Talkative>>, bool);

impl Drop for Talkative {
    fn drop(&mut self) {
        if self.1 {
            let learned = self.0.learn("last words", Talkative(self.0.clone(), false), 0.9);
            assert!(learned.is_ok());
            assert!(self.0.lookup("last words", |_| ()).is_some());
        }
    }
}

#[test]
fn an_answer_may_call_the_engine_when_it_is_dropped() {
    let engine = Arc::new(Intuition::new(Config::default(), 4).unwrap());
    for number in 0..20 {
        engine.learn(&number.to_string(), Talkative(engine.clone(), true), 0.9).unwrap();
        engine.learn(&number.to_string(), Talkative(engine.clone(), true), 0.9).unwrap();
        let corrected = Talkative(engine.clone(), true);
        engine.feedback(&number.to_string(), Feedback::Corrected(corrected)).unwrap();
        let unknown = Talkative(engine.clone(), true);
        assert!(engine.feedback("unknown", Feedback::Corrected(unknown)).is_err());
        engine.forget(&number.to_string());
    }
    assert!(engine.confidence("last words").is_some());
    assert!(engine.len() <= 4);
    for key in 0..20 {
        engine.forget(&key.to_string());
    }
    engine.forget("last words");
}

#[test]
fn a_panic_in_a_lookup_is_the_lookups_alone() {
    let there = Arc::new(AtomicI64::new(0));
    let engine = Intuition::new(Config::default(), 4).unwrap();
    engine.learn("key", Answer::new(1, &there), 0.9).unwrap();
    let panics = std::panic::AssertUnwindSafe(|| engine.lookup("key", |_| panic!("on purpose")));
    assert!(std::panic::catch_unwind(panics).is_err());
    engine.learn("key", Answer::new(2, &there), 0.9).unwrap();
    assert_eq!(engine.lookup("key", |answer| answer.key), Some(2));
    assert_eq!(there.load(Ordering::SeqCst), 1, "the reader that panicked has left");
}
