//! What happens when there is no room, nobody listens, or the bus ends.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use embedded_db_bus::{Bus, Options, Overflow, Publish};
use embedded_db_common::Error;

fn bus(capacity: usize, overflow: Overflow) -> Bus {
    Bus::new(None, Options { capacity, overflow, ..Options::default() }).unwrap()
}

fn drafts(bodies: &[&str]) -> Vec<Publish> {
    bodies
        .iter()
        .map(|body| Publish { body: body.as_bytes().into(), ..Publish::default() })
        .collect()
}

fn publish(bus: &Bus, channel: &str, bodies: &[&str]) -> Result<Vec<u64>, Error> {
    bus.publish(channel, Vec::new(), drafts(bodies), Some(Duration::ZERO), &|| Ok(()))
}

fn taken(bus: &Bus, channel: &str, group: &str) -> Vec<String> {
    let subscription = bus.subscribe(channel, group).unwrap();
    let taken = subscription.try_take(100).unwrap();
    subscription.ack(&taken).unwrap();
    taken.iter().map(|one| String::from_utf8(one.message.body.to_vec()).unwrap()).collect()
}

#[test]
fn each_group_gets_every_message_once() {
    let bus = bus(10, Overflow::Error);
    for group in ["one", "two"] {
        bus.subscribe("a.*", group).unwrap();
    }
    publish(&bus, "a.b", &["1", "2"]).unwrap();
    assert_eq!(taken(&bus, "a.*", "one"), ["1", "2"]);
    assert_eq!(taken(&bus, "a.*", "one"), [""; 0]);
    assert_eq!(taken(&bus, "a.*", "two"), ["1", "2"]);
}

#[test]
fn what_nobody_subscribes_to_waits_for_the_first_who_does() {
    let bus = bus(3, Overflow::Error);
    publish(&bus, "a", &["1"]).unwrap();
    publish(&bus, "b", &["2"]).unwrap();
    publish(&bus, "a", &["3"]).unwrap();
    assert!(matches!(publish(&bus, "c", &["4"]), Err(Error::CapacityExceeded { limit: 3, .. })));
    assert_eq!(bus.unclaimed().unwrap(), 3);
    assert_eq!(taken(&bus, "a", "g"), ["1", "3"]);
    assert_eq!(taken(&bus, "a", "late"), [""; 0]);
    assert_eq!(bus.unclaimed().unwrap(), 1);
    publish(&bus, "c", &["4", "5"]).unwrap();
    assert_eq!(taken(&bus, "*", "all"), ["2", "4", "5"]);
}

#[test]
fn no_room_is_waited_for_or_an_error_or_made() {
    let full = bus(2, Overflow::Error);
    let error = publish(&full, "a", &["1", "2", "3"]).unwrap_err();
    assert!(matches!(&error, Error::At { place, .. } if place.item == Some(2)), "{error:?}");
    assert_eq!(taken(&full, "a", "g"), ["1", "2"]);

    let drops = bus(2, Overflow::DropOldest);
    publish(&drops, "a", &["1", "2", "3"]).unwrap();
    publish(&drops, "a", &["4"]).unwrap();
    assert_eq!(taken(&drops, "a", "g"), ["3", "4"]);
    publish(&drops, "a", &["5", "6"]).unwrap();
    let held = drops.subscribe("a", "g").unwrap().try_take(2).unwrap();
    assert_eq!(held.len(), 2);
    assert!(matches!(publish(&drops, "a", &["7"]), Err(Error::CapacityExceeded { .. })));

    let waits = bus(2, Overflow::Block);
    let subscription = waits.subscribe("a", "g").unwrap();
    assert!(matches!(publish(&waits, "a", &["1", "2", "3"]), Err(Error::At { .. })));
    thread::scope(|scope| {
        scope.spawn(|| {
            waits.publish("a", Vec::new(), drafts(&["4", "5"]), None, &|| Ok(())).unwrap()
        });
        let mut got = Vec::new();
        while got.len() < 4 {
            let taken = subscription.take(1, None, &|| Ok(())).unwrap();
            assert!(subscription.counts().unwrap().waiting <= 2);
            subscription.ack(&taken).unwrap();
            got.extend(taken.iter().map(|one| one.message.body.to_vec()));
        }
        assert_eq!(got, [b"1", b"2", b"4", b"5"]);
    });
}

#[test]
fn one_full_subscription_holds_up_all_of_a_message() {
    let bus = bus(1, Overflow::Error);
    bus.subscribe("a", "quick").unwrap();
    bus.subscribe("a", "slow").unwrap();
    publish(&bus, "a", &["1"]).unwrap();
    assert_eq!(taken(&bus, "a", "quick"), ["1"]);
    assert!(publish(&bus, "a", &["2"]).is_err());
    assert_eq!(taken(&bus, "a", "quick"), [""; 0], "it went nowhere");
    assert_eq!(taken(&bus, "a", "slow"), ["1"]);
    publish(&bus, "a", &["3"]).unwrap();
    assert_eq!(taken(&bus, "a", "quick"), ["3"]);
}

#[test]
fn who_waits_is_told_of_the_end() {
    let bus = bus(1, Overflow::Block);
    let subscription = bus.subscribe("a", "g").unwrap();
    let other = bus.subscribe("b", "g").unwrap();
    publish(&bus, "b", &["1"]).unwrap();
    thread::scope(|scope| {
        let consumer = scope.spawn(|| subscription.take(1, None, &|| Ok(())));
        let publisher =
            scope.spawn(|| bus.publish("b", Vec::new(), drafts(&["2"]), None, &|| Ok(())));
        thread::sleep(Duration::from_millis(20));
        bus.close().unwrap();
        assert!(matches!(consumer.join().unwrap(), Err(Error::BusClosed | Error::NotFound { .. })));
        assert!(matches!(publisher.join().unwrap(), Err(Error::BusClosed)));
    });
    assert!(other.try_take(1).is_err());
    assert!(matches!(publish(&bus, "a", &["1"]), Err(Error::BusClosed)));
    bus.close().unwrap();
}

#[test]
fn who_unsubscribes_lets_messages_go() {
    let bus = bus(10, Overflow::Error);
    let subscription = bus.subscribe("a", "g").unwrap();
    publish(&bus, "a", &["1"]).unwrap();
    assert!(bus.unsubscribe("a", "g").unwrap());
    assert!(!bus.unsubscribe("a", "g").unwrap());
    assert!(matches!(subscription.try_take(1), Err(Error::NotFound { .. })));
    publish(&bus, "a", &["2"]).unwrap();
    assert_eq!(taken(&bus, "a", "g"), ["2"]);
}

#[test]
fn wakers_are_called_once_and_another_is_in_the_place_of_one_who_left() {
    let bus = bus(10, Overflow::Error);
    let subscription = bus.subscribe("a", "g").unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let waker = || {
        let called = Arc::clone(&called);
        subscription.call_when_arrived(Box::new(move || _ = called.fetch_add(1, Ordering::SeqCst)))
    };
    let first = waker();
    let _second = waker();
    publish(&bus, "a", &["1"]).unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 1);
    subscription.leave_arrivals(first);
    assert_eq!(called.load(Ordering::SeqCst), 2, "the first was called and left");
    let third = waker();
    subscription.leave_arrivals(third);
    publish(&bus, "a", &["2"]).unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 2, "it left in time");
}

#[test]
fn wrong_input_is_refused() {
    let bus = bus(10, Overflow::Error);
    assert!(matches!(publish(&bus, "a b", &["1"]), Err(Error::InvalidInput(_))));
    assert!(matches!(bus.subscribe("a.**.b", "g"), Err(Error::InvalidInput(_))));
    assert!(matches!(bus.subscribe("a", ""), Err(Error::InvalidInput(_))));
    let large = Publish { body: vec![0; (16 << 20) + 1].into(), ..Publish::default() };
    let refused = bus.publish("a", Vec::new(), vec![large], None, &|| Ok(()));
    assert!(matches!(refused, Err(Error::ValueTooLarge { .. })));
    let urgent = Publish { priority: 10, ..Publish::default() };
    assert!(matches!(
        bus.publish("a", Vec::new(), vec![urgent], None, &|| Ok(())),
        Err(Error::InvalidInput(_))
    ));
    assert!(Bus::new(None, Options { capacity: 0, ..Options::default() }).is_err());
}
