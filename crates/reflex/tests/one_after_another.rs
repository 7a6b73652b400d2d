//! Promise: used by one thread, the engine is a map with confidences that never holds more than it may,
//! and out of which the least useful leaves. Random operations are done to it and to a plain model.

use std::collections::BTreeMap;

use embedded_db_common::Error;
use embedded_db_reflex::{Config, Feedback, Intuition, MAX_CAPACITY};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Learn(u8, u32, f64),
    Lookup(u8),
    Judge(u8, Feedback<u32>),
    Forget(u8),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..12_u8;
    let step = prop_oneof![
        4 => (key.clone(), any::<u32>(), 0.0..=1.0).prop_map(|(key, answer, sure)| Step::Learn(key, answer, sure)),
        6 => key.clone().prop_map(Step::Lookup),
        1 => key.clone().prop_map(|key| Step::Judge(key, Feedback::Right)),
        1 => key.clone().prop_map(|key| Step::Judge(key, Feedback::Wrong)),
        1 => (key.clone(), any::<u32>()).prop_map(|(key, answer)| Step::Judge(key, Feedback::Corrected(answer))),
        1 => key.prop_map(Step::Forget),
    ];
    prop::collection::vec(prop_oneof![40 => step, 1 => Just(Step::Clear)], 0..200)
}

/// Some are long, so that both ways to keep a key are taken.
fn name(key: u8) -> String {
    format!("{key}").repeat(if key.is_multiple_of(3) { 90 } else { 1 })
}

/// A reflex of the model.
#[derive(Debug, Clone, Copy)]
struct Known {
    answer: u32,
    confidence: f64,
    level: f64,
    uses: u64,
}

impl Known {
    fn usefulness(&self) -> f64 {
        self.level + self.confidence * (1 + self.uses) as f64
    }
}

/// What the engine promises, in as few words as possible.
#[derive(Default)]
struct Model {
    known: BTreeMap<u8, Known>,
    level: f64,
}

impl Model {
    fn learn(&mut self, key: u8, answer: u32, confidence: f64, capacity: usize) {
        let level = self.level;
        if let Some(known) = self.known.get_mut(&key) {
            (known.answer, known.confidence) = (answer, confidence);
            return;
        }
        if self.known.len() == capacity {
            let useful = |known: &Known| known.usefulness();
            let least = self.known.iter().min_by(|a, b| useful(a.1).total_cmp(&useful(b.1)));
            let (key, known) = least.map(|(key, known)| (*key, *known)).expect("it is full");
            self.level = level.max(known.usefulness());
            self.known.remove(&key);
        }
        self.known.insert(key, Known { answer, confidence, level, uses: 0 });
    }
}

proptest! {
    #[test]
    fn it_is_the_model(steps in steps(), capacity in 1..10_usize, min_confidence in 0.0..=1.0) {
        let config = Config { min_confidence, ..Config::default() };
        let (engine, mut model) = (Intuition::new(config, capacity).unwrap(), Model::default());
        let (mut hits, mut misses) = (0, 0);
        for step in steps {
            match step {
                Step::Learn(key, answer, confidence) => {
                    // Which of two that are as useful leaves, nobody promises.
                    if model.known.len() == capacity && !model.known.contains_key(&key) {
                        let mut useful: Vec<f64> = model.known.values().map(Known::usefulness).collect();
                        useful.sort_by(f64::total_cmp);
                        if useful.windows(2).any(|two| (two[0] - two[1]).abs() < 1e-9) {
                            continue;
                        }
                    }
                    engine.learn(&name(key), answer, confidence).unwrap();
                    model.learn(key, answer, confidence, capacity);
                }
                // Beyond 16 uses some are counted for many.
                Step::Lookup(key) if model.known.get(&key).is_some_and(|known| known.uses == 16) => {}
                Step::Lookup(key) => {
                    let level = model.level;
                    let sure = model.known.get_mut(&key).filter(|it| it.confidence >= min_confidence);
                    let expected = sure.map(|known| {
                        known.uses += 1;
                        known.level = level;
                        known.answer
                    });
                    prop_assert_eq!(engine.lookup(&name(key), |answer| *answer), expected);
                    if expected.is_some() { hits += 1 } else { misses += 1 }
                }
                Step::Judge(key, feedback) => {
                    let judged = engine.feedback(&name(key), feedback);
                    let Some(known) = model.known.get_mut(&key) else {
                        let missing = matches!(judged, Err(Error::NotFound { kind: "reflex", .. }));
                        prop_assert!(missing);
                        continue;
                    };
                    match feedback {
                        Feedback::Right => known.confidence += (1.0 - known.confidence) * config.reward,
                        Feedback::Wrong => known.confidence *= 1.0 - config.penalty,
                        Feedback::Corrected(answer) => {
                            (known.answer, known.confidence) = (answer, config.corrected_confidence);
                        }
                    }
                    prop_assert!((judged.unwrap() - known.confidence).abs() < 1e-12);
                }
                Step::Clear => {
                    engine.clear();
                    model.known.clear();
                }
                Step::Forget(key) => {
                    prop_assert_eq!(engine.forget(&name(key)), model.known.remove(&key).is_some());
                }
            }
            for key in 0..12 {
                let expected = model.known.get(&key).map(|known| known.confidence);
                prop_assert_eq!(engine.confidence(&name(key)), expected, "key {}", key);
            }
            let stats = engine.stats();
            prop_assert_eq!(stats.total_reflexes, model.known.len());
            prop_assert!(stats.total_reflexes <= capacity);
            prop_assert_eq!((stats.hits, stats.misses), (hits, misses));
        }
        let mut answers = Vec::new();
        engine.visit(&mut |answer| answers.push(*answer));
        let mut expected: Vec<u32> = model.known.values().map(|known| known.answer).collect();
        answers.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(answers, expected);
    }
}

#[test]
fn what_is_often_used_stays_and_not_for_ever() {
    let engine = Intuition::new(Config::default(), 10).unwrap();
    engine.learn("often", (), 0.9).unwrap();
    for _ in 0..12 {
        assert!(engine.lookup("often", |()| ()).is_some());
    }
    let mut gone = None;
    for number in 0..1000 {
        engine.learn(&format!("new {number}"), (), 0.9).unwrap();
        assert_eq!(engine.len(), 10.min(number + 2));
        gone = gone.or_else(|| engine.confidence("often").is_none().then_some(number));
    }
    let gone = gone.unwrap();
    assert!((50..500).contains(&gone), "what was used 12 times left after {gone} new ones");
}

#[test]
fn numbers_out_of_range_change_nothing() {
    for capacity in [0, MAX_CAPACITY + 1, usize::MAX] {
        let refused = Intuition::<()>::new(Config::default(), capacity).err().unwrap();
        assert!(refused.to_string().contains(&format!("capacity is {capacity}")), "{refused}");
    }
    let engine = Intuition::new(Config::default(), 3).unwrap();
    engine.learn("key", 1, 0.9).unwrap();
    for wrong in [f64::NAN, -0.1, 1.1, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(engine.learn("key", 2, wrong), Err(Error::InvalidInput(_))));
        assert!(matches!(engine.learn("other", 2, wrong), Err(Error::InvalidInput(_))));
        for config in [
            Config { min_confidence: wrong, ..Config::default() },
            Config { reward: wrong, ..Config::default() },
            Config { penalty: wrong, ..Config::default() },
            Config { corrected_confidence: wrong, ..Config::default() },
        ] {
            assert!(Intuition::<()>::new(config, 1).is_err());
        }
    }
    assert_eq!((engine.len(), engine.lookup("key", |answer| *answer)), (1, Some(1)));
}
