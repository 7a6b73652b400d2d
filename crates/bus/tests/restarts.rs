//! With a path, what was published and not acknowledged is there again.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use embedded_db_bus::{Bus, Durability, Options, Publish};
use embedded_db_common::Error;
use embedded_db_storage::AppendLog;
use proptest::prelude::*;

fn open(path: &Path) -> Bus {
    let options =
        Options { max_attempts: 2, durability: Durability::Relaxed, ..Options::default() };
    Bus::new(Some(path), options).unwrap()
}

fn publish(bus: &Bus, channel: &str, body: &str) -> u64 {
    let draft =
        Publish { body: body.as_bytes().into(), key: Some("k".into()), ..Publish::default() };
    bus.publish(channel, Vec::new(), vec![draft], None, &|| Ok(())).unwrap()[0]
}

#[derive(Debug, Clone)]
enum Step {
    Subscribe(u8),
    Unsubscribe(u8),
    Publish(u8),
    Take(u8),
    Ack,
    Nack,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3u8).prop_map(Step::Subscribe),
        (0..3u8).prop_map(Step::Unsubscribe),
        (0..2u8).prop_map(Step::Publish),
        (0..2u8).prop_map(Step::Publish),
        (0..3u8).prop_map(Step::Take),
        Just(Step::Ack),
        Just(Step::Nack),
        Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..50)
}

const PATTERNS: [&str; 3] = ["c0", "c1", "*"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The bus with a log, closed and opened at any time, holds what a bus holds that never ends.
    #[test]
    fn a_restart_changes_nothing_but_gives_back_what_was_delivered(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let mut bus = open(directory.path());
        let memory = Bus::new(None, Options { max_attempts: 2, ..Options::default() }).unwrap();
        let mut delivered: Vec<(usize, Vec<_>, Vec<_>)> = Vec::new();
        for step in steps {
            match step {
                Step::Subscribe(at) => {
                    for bus in [&bus, &memory] {
                        bus.subscribe(PATTERNS[usize::from(at)], "g").unwrap();
                    }
                }
                Step::Unsubscribe(at) => {
                    let pattern = PATTERNS[usize::from(at)];
                    prop_assert_eq!(bus.unsubscribe(pattern, "g").unwrap(), memory.unsubscribe(pattern, "g").unwrap());
                    delivered.retain(|(of, ..)| *of != usize::from(at));
                }
                Step::Publish(at) => {
                    let channel = format!("c{at}");
                    prop_assert_eq!(publish(&bus, &channel, "x"), publish(&memory, &channel, "x"));
                }
                Step::Take(at) => {
                    let at = usize::from(at);
                    let [ours, theirs] = [&bus, &memory]
                        .map(|bus| bus.subscribe(PATTERNS[at], "g").unwrap().try_take(2).unwrap());
                    let told = |all: &[embedded_db_bus::Delivery]| -> Vec<_> {
                        all.iter().map(|one| (one.message.id, one.attempts)).collect()
                    };
                    prop_assert_eq!(told(&ours), told(&theirs));
                    if !ours.is_empty() {
                        delivered.push((at, ours, theirs));
                    }
                }
                Step::Ack | Step::Nack => {
                    let Some((at, ours, theirs)) = delivered.pop() else { continue };
                    for (bus, all) in [(&bus, &ours), (&memory, &theirs)] {
                        let subscription = bus.subscribe(PATTERNS[at], "g").unwrap();
                        if matches!(step, Step::Ack) {
                            prop_assert_eq!(subscription.ack(all).unwrap(), all.len());
                        } else {
                            all.iter().for_each(|one| assert!(subscription.nack(one, 0, "no").unwrap()));
                        }
                    }
                }
                Step::Reopen => {
                    drop(bus);
                    bus = open(directory.path());
                    // What was delivered is given back by the restart; here by hand, without a further attempt.
                    for (at, _, theirs) in delivered.drain(..) {
                        let subscription = memory.subscribe(PATTERNS[at], "g").unwrap();
                        for one in theirs {
                            if one.attempts < 2 {
                                subscription.nack(&one, 0, "").unwrap();
                            } else {
                                subscription.nack(&one, 0, "restart").unwrap();
                            }
                        }
                    }
                }
            }
            let told = |bus: &Bus| -> Vec<_> {
                let all = bus.subscriptions().unwrap();
                let told = all.iter().map(|one| {
                    let counts = one.counts().unwrap();
                    let dead: Vec<_> = one.dead_letters().unwrap().iter().map(|one| one.message.id).collect();
                    (one.pattern().to_owned(), counts.waiting, counts.in_flight, dead)
                });
                told.collect()
            };
            prop_assert_eq!(told(&bus), told(&memory));
            prop_assert_eq!(bus.unclaimed().unwrap(), memory.unclaimed().unwrap());
        }
    }

    #[test]
    fn a_log_of_any_bytes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), place in 0..40usize) {
        let directory = tempfile::tempdir().unwrap();
        let bus = open(directory.path());
        bus.subscribe("a", "g").unwrap();
        publish(&bus, "a", "hello");
        drop(bus);
        let path = directory.path().join("messages.log");
        let mut content = fs::read(&path).unwrap();
        let at = place.min(content.len());
        content.splice(at.., bytes);
        fs::write(&path, content).unwrap();
        match Bus::new(Some(directory.path()), Options::default()) {
            Ok(bus) => drop(bus.subscriptions().unwrap()),
            Err(error) => prop_assert!(matches!(error, Error::DamagedFile { .. } | Error::FormatTooNew { .. }), "{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Frames may be whole and say what nobody has written.
    #[test]
    fn records_of_any_bytes_are_read_or_refused(
        records in proptest::collection::vec(
            (1..8u8, proptest::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..40)), 0..6,
        ),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = AppendLog::open(directory.path()).unwrap();
        for (kind, rest) in records {
            let record = [vec![kind], rest].concat();
            log.append([record.as_slice()]).unwrap();
        }
        drop(log);
        match Bus::new(Some(directory.path()), Options::default()) {
            Ok(bus) => {
                let subscription = bus.subscribe("**", "g").unwrap();
                subscription.ack(&subscription.try_take(10).unwrap()).unwrap();
            }
            Err(error) => prop_assert!(matches!(error, Error::DamagedFile { .. }), "{error}"),
        }
    }
}

#[test]
fn a_log_is_written_anew_when_most_of_it_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let bus = open(directory.path());
    let subscription = bus.subscribe("a", "g").unwrap();
    let body = "x".repeat(1 << 18);
    let kept = publish(&bus, "a", "kept");
    let first = subscription.try_take(1).unwrap();
    assert_eq!(first[0].message.id, kept);
    for _ in 0..200 {
        let draft = Publish { body: body.as_bytes().into(), ..Publish::default() };
        bus.publish("a", Vec::new(), vec![draft], None, &|| Ok(())).unwrap();
        let taken = subscription.try_take(10).unwrap();
        subscription.ack(&taken).unwrap();
    }
    drop((first, subscription, bus));
    let length = fs::metadata(directory.path().join("messages.log")).unwrap().len();
    assert!(length < 20 << 20, "{length} of 52 million bytes");
    let bus = open(directory.path());
    let taken = bus.subscribe("a", "g").unwrap().try_take(10).unwrap();
    assert_eq!(
        taken.iter().map(|one| (one.message.id, one.attempts)).collect::<Vec<_>>(),
        [(kept, 2)]
    );
}

#[test]
fn many_publishers_share_syncs_and_all_of_theirs_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let bus = Bus::new(Some(directory.path()), Options::default()).unwrap();
    bus.subscribe("**", "g").unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let bus = &bus;
            scope.spawn(move || (0..50).for_each(|_| _ = publish(bus, &format!("c{number}"), "x")));
        }
    });
    drop(bus);
    let bus = open(directory.path());
    let subscription = bus.subscribe("**", "g").unwrap();
    let mut seen = BTreeMap::new();
    loop {
        let taken = subscription.try_take(100).unwrap();
        if taken.is_empty() {
            break;
        }
        subscription.ack(&taken).unwrap();
        taken.iter().for_each(|one| *seen.entry(one.message.id).or_insert(0) += 1);
    }
    assert_eq!(seen.len(), 400);
    assert!(seen.values().all(|times| *times == 1));
}

#[test]
fn a_directory_has_one_bus() {
    let directory = tempfile::tempdir().unwrap();
    let bus = open(directory.path());
    let refused = Bus::new(Some(directory.path()), Options::default());
    assert!(matches!(refused, Err(Error::BusLocked { .. })));
    bus.close().unwrap();
    open(directory.path());
}
