//! What once went wrong, one scenario after the other for each.

use embedded_db_engine::common::{Durability, Value};

use crate::faults::{Fault, Moment, Planned};
use crate::life::{How, Plan};
use crate::log::Fate;
use crate::operation::{Change, Operation};
use crate::scenario::{CutAt, Life, Scenario, Then};
use crate::world::{NOTE, Values};

/// Ways in which the disk may be at work at a power cut.
const WAYS: u64 = 12;

/// Promises, each with the scenarios in which it was broken.
pub(crate) fn all() -> Vec<(&'static str, Vec<Scenario>)> {
    vec![
        ("the names of a new database are on the disk", names_of_a_new_database()),
        ("a database whose making was broken off can be made", making_that_is_broken_off()),
        ("a database that is killed while it is made loses nothing later", kills_while_made()),
        ("a making that is begun anew may be broken off, too", making_that_is_begun_anew()),
        ("what is seen after a failed synchronisation stays so", failed_synchronisations()),
        ("a value that has become shorter is sound", vec![shorter_value()]),
        ("a checkpoint that the disk loses takes nothing with it", lost_checkpoints()),
        ("who waits for the background is told of a disk that fails", vec![failing_background()]),
        ("a compaction that the disk does not write is told of", compactions_of_a_lying_disk()),
        ("a commit without a log that the disk does not write is told of", commits_without_a_log()),
        (
            "frames before a checkpoint are on the disk when those after it are",
            checkpoints_that_are_cut(),
        ),
        ("the end of a log is on the disk before pages are used again", ends_that_are_killed()),
        ("frames that were lost with one before them stay so", frames_behind_a_lost_one()),
        ("what is seen after an opening that failed stays so", openings_that_fail()),
        ("an opening that fails loses nothing of the log", openings_that_fail_with_frames()),
        ("what is seen after a write without room stays so", writes_without_room()),
        ("a compaction that a power cut ends has taken place or not", compactions_that_are_cut()),
    ]
}

fn life(operations: Vec<Operation>) -> Life {
    let (durability, models, live, map_size) = (Durability::Durable, false, false, 1 << 20);
    let (window, pace, room) = (10_000, 1_000, 1 << 40);
    Life {
        plan: Plan {
            operations: (1..).zip(operations).collect(),
            how: How { durability, models, live, map_size, window, pace, room },
            closes: false,
            is_read: false,
        },
        faults: Vec::new(),
        cuts: Vec::new(),
        then: Then::Same,
        number: 1,
    }
}

fn scenario(lives: impl Into<Vec<Life>>) -> Scenario {
    Scenario { lives: lives.into() }
}

fn create(id: &str, name: &str, value: Value) -> Change {
    let values = Values::from([(name.to_owned(), value)]);
    Change::CreateNode { id: id.to_owned(), values, expires: false }
}

fn update(id: &str, name: &str, value: Value) -> Change {
    let set = Values::from([(name.to_owned(), value)]);
    Change::UpdateNode { id: id.to_owned(), set, remove: Vec::new() }
}

/// The power is cut when this operation begins, the disk being at work in every way.
fn cuts(operation: u32, events: u32) -> impl Iterator<Item = CutAt> {
    (0..WAYS).map(move |number| CutAt { operation, events, number })
}

fn one_node() -> Operation {
    Operation::Do(create("n1", "p", Value::Int(1)))
}

fn names_of_a_new_database() -> Vec<Scenario> {
    let mut life = life(vec![one_node(), Operation::Rest { milliseconds: 3_000 }]);
    life.cuts.extend(cuts(2, 0));
    vec![scenario([life])]
}

/// By a write that is short, or by a power cut.
fn making_that_is_broken_off() -> Vec<Scenario> {
    let mut cut = life(vec![one_node()]);
    cut.cuts.extend((0..30).step_by(2).flat_map(|events| cuts(0, events)));
    let mut out = vec![scenario([cut])];
    out.extend((0..8).map(|skip| {
        let mut life = life(vec![one_node()]);
        life.faults.push(Planned { operation: 0, skip, fault: Fault::ShortWrite });
        scenario([life])
    }));
    out
}

fn kills_while_made() -> Vec<Scenario> {
    let killed = |skip| {
        let mut killed = life(Vec::new());
        killed.faults.push(Planned { operation: 0, skip, fault: Fault::Killed(Moment::After) });
        let mut next = life(vec![one_node(), Operation::Rest { milliseconds: 3_000 }]);
        next.cuts.extend(cuts(2, 0).take(6));
        scenario([killed, next])
    };
    (0..24).map(killed).collect()
}

/// With another size of the map, which the meta pages tell.
fn making_that_is_begun_anew() -> Vec<Scenario> {
    let killed = |skip| {
        let mut killed = life(Vec::new());
        killed.faults.push(Planned { operation: 0, skip, fault: Fault::Killed(Moment::After) });
        let mut next = life(vec![one_node()]);
        next.plan.how.map_size = 1 << 30;
        next.cuts.extend((4..16).step_by(2).flat_map(|events| cuts(0, events)));
        scenario([killed, next])
    };
    (24..36).step_by(2).map(killed).collect()
}

fn failed_synchronisations() -> Vec<Scenario> {
    let failed = |skip| {
        let second = Operation::Do(update("n1", "p", Value::Int(2)));
        let mut life = life(vec![
            one_node(),
            second,
            Operation::Rest { milliseconds: 3_000 },
            Operation::Rest { milliseconds: 3_000 },
        ]);
        life.faults.push(Planned { operation: 2, skip, fault: Fault::SyncFails });
        life.cuts.extend(cuts(4, 0));
        scenario([life])
    };
    (0..2).map(failed).collect()
}

fn shorter_value() -> Scenario {
    let bytes = |size| Value::Bytes(vec![1; size]);
    let changes = vec![create("n1", "big", bytes(30_000)), update("n1", "big", bytes(9_000))];
    let transaction = Operation::Transaction { changes, commit: true };
    scenario([life(vec![transaction, Operation::Verify])])
}

/// The last one, of a database that was closed: what it held was relaxed, and never synced by itself.
fn lost_checkpoints() -> Vec<Scenario> {
    let lost = |number| {
        let mut life = life(vec![one_node(), Operation::LetGo]);
        life.plan.how.durability = Durability::Relaxed;
        let fault = Fault::OfTheDisk(Fate::Lost);
        life.faults.push(Planned { operation: 2, skip: 0, fault });
        (life.plan.closes, life.then, life.number) = (true, Then::Restart, number);
        scenario([life])
    };
    (0..WAYS).map(lost).collect()
}

fn failing_background() -> Scenario {
    let noted = Operation::Do(create("n1", NOTE, Value::Str("tea".into())));
    let mut life = life(vec![noted, Operation::Declare, Operation::Drain, one_node()]);
    life.faults.push(Planned { operation: 3, skip: 0, fault: Fault::SyncFails });
    scenario([life])
}

/// What the disk does with one write, in every way.
fn fates() -> impl Iterator<Item = Fate> {
    let numbers = 0..WAYS / 2;
    let others = numbers.flat_map(|number| [Fate::Torn(number), Fate::Misdirected(number)]);
    [Fate::Lost].into_iter().chain(others)
}

/// The power is cut before anything else is written.
fn compactions_of_a_lying_disk() -> Vec<Scenario> {
    let lied = |skip, fate| {
        let mut life = life(vec![one_node(), Operation::Compact]);
        life.faults.push(Planned { operation: 2, skip, fault: Fault::OfTheDisk(fate) });
        life.then = Then::Restart;
        scenario([life])
    };
    (0..10).flat_map(|skip| fates().map(move |fate| lied(skip, fate))).collect()
}

/// A disk with too little room for one does not write one page of an update. At its place may be a page of the same
/// kind, with an older row of the same length; what is written later lies on other pages.
fn commits_without_a_log() -> Vec<Scenario> {
    let long = |n: u8| Value::Str(char::from(b'a' + n % 4).to_string().repeat(1_500));
    let lied = |updates: u8, skip| {
        let ids = ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"];
        let made = ids.into_iter().map(|id| Operation::Do(create(id, "p", long(0))));
        let first = (1..=updates).map(|n| Operation::Do(update("n1", "p", long(n))));
        let last = (1..7).map(|n| Operation::Do(update("n8", "p", long(n))));
        let mut life = life(made.chain(first).chain(last).collect());
        life.plan.how.room = 20 << 20;
        let operation = ids.len() as u32 + u32::from(updates);
        life.faults.push(Planned { operation, skip, fault: Fault::OfTheDisk(Fate::Lost) });
        life.then = Then::Restart;
        scenario([life])
    };
    (4..20).flat_map(|updates| (0..6).map(move |skip| lied(updates, skip))).collect()
}

/// The power is cut while a checkpoint is made, behind which others write and sync.
fn checkpoints_that_are_cut() -> Vec<Scenario> {
    let cut = |number| {
        // A checkpoint is due a second after the first commit that it does not have: while one of these is made.
        let updates = (0..10).map(|n| Operation::Do(update("n1", "p", Value::Int(n % 4))));
        let round: Vec<_> =
            [Operation::Rest { milliseconds: 994 }].into_iter().chain(updates).collect();
        let rounds = std::iter::repeat_n(round, 6).flatten();
        let mut life = life([one_node()].into_iter().chain(rounds).collect());
        life.plan.how.durability = Durability::Relaxed;
        (life.plan.how.window, life.plan.how.pace, life.number) = (100, 20_000, number);
        let operations = 2..=life.plan.operations.len() as u32;
        life.cuts.extend(
            operations
                .flat_map(|operation| [4, 8].map(|events| CutAt { operation, events, number: 0 })),
        );
        scenario([life])
    };
    (0..6).map(cut).collect()
}

/// A process is killed while it closes its database. The next one has no room for a log.
fn ends_that_are_killed() -> Vec<Scenario> {
    let killed = |skip| {
        let mut closing = life(vec![one_node(), Operation::LetGo]);
        let fault = Fault::Killed(Moment::Before);
        closing.faults.push(Planned { operation: 2, skip, fault });
        closing.plan.closes = true;
        let mut next = life(Vec::new());
        next.plan.operations = vec![(3, Operation::Do(create("n2", "p", Value::Int(2))))];
        next.plan.how.room = 20 << 20;
        next.cuts.extend((0..10).flat_map(|events| cuts(3, events).take(2)));
        scenario([closing, next])
    };
    (0..8).map(killed).collect()
}

/// A power cut takes a frame and leaves one behind it. The next process writes frames of the same lengths there, and
/// the power is cut again.
fn frames_behind_a_lost_one() -> Vec<Scenario> {
    let updates = |first: u32, values: i64| {
        let update = |n| Operation::Do(update("n1", "p", Value::Int(n % values)));
        (first..).zip((1..8).map(update)).collect()
    };
    let lost = |number| {
        let mut made = life(vec![one_node()]);
        made.plan.closes = true;
        let mut cut = life(Vec::new());
        cut.plan.how.durability = Durability::Relaxed;
        cut.plan.operations = updates(2, 2);
        cut.then = Then::Cut(CutAt { operation: 8, events: 0, number });
        let mut next = life(Vec::new());
        next.plan.operations = updates(9, 4);
        next.cuts.extend((10..16).map(|operation| CutAt { operation, events: 0, number }));
        scenario([made, cut, next])
    };
    (0..2 * WAYS).map(lost).collect()
}

/// A process ends while commits are logged. The next cannot sync what it finds, tries again, and goes on.
fn openings_that_fail() -> Vec<Scenario> {
    let failed = |skip| {
        let left = life(vec![one_node(), Operation::Do(update("n1", "p", Value::Int(2)))]);
        let numbered = [3, 4].map(|number| (number, Operation::Rest { milliseconds: 3_000 }));
        let mut next = life(Vec::new());
        next.plan.operations = numbered.into();
        next.faults.push(Planned { operation: 0, skip, fault: Fault::SyncFails });
        next.cuts.extend(cuts(3, 0));
        scenario([left, next])
    };
    (0..8).map(failed).collect()
}

/// A process is killed before its last commits are in the data file. The next may not write the checkpoint of the
/// state that it finds, and tries again.
fn openings_that_fail_with_frames() -> Vec<Scenario> {
    let failed = |(killed_at, skip): (u32, u32)| {
        let updates = (0..3).map(|n| Operation::Do(update("n1", "p", Value::Int(n))));
        let mut left = life([one_node()].into_iter().chain(updates).collect());
        let killed = Fault::Killed(Moment::After);
        left.faults.push(Planned { operation: 4, skip: killed_at, fault: killed });
        let mut next = life(Vec::new());
        next.plan.operations = vec![(5, Operation::Rest { milliseconds: 3_000 })];
        let full = Fault::CallFails(libc::ENOSPC);
        next.faults.push(Planned { operation: 0, skip, fault: full });
        scenario([left, next])
    };
    (0..4).flat_map(|killed_at| (0..8).map(move |skip| (killed_at, skip))).map(failed).collect()
}

/// A commit that finds no room looks whether it was one of the syncs before that found none, and that fails too.
fn writes_without_room() -> Vec<Scenario> {
    let failed = |skip| {
        let updates = (0..4).map(|n| Operation::Do(update("n1", "p", Value::Int(n))));
        let mut operations: Vec<_> = [one_node()].into_iter().chain(updates).collect();
        operations.extend((0..2).map(|_| Operation::Rest { milliseconds: 3_000 }));
        let mut life = life(operations);
        life.faults = vec![
            Planned { operation: 5, skip, fault: Fault::CallFails(libc::ENOSPC) },
            Planned { operation: 5, skip: 2, fault: Fault::SyncFails },
        ];
        life.cuts.extend(cuts(7, 0));
        scenario([life])
    };
    (0..6).map(failed).collect()
}

/// At any of its calls, and with all kinds of names on the disk.
fn compactions_that_are_cut() -> Vec<Scenario> {
    let cut = |events| {
        let mut life = life(vec![one_node(), Operation::Compact]);
        life.cuts.extend(cuts(2, events));
        scenario([life])
    };
    (30..80).map(cut).collect()
}
