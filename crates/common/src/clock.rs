//! The one door through which the time of day and new identifiers enter.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use uuid::{ContextV7, Timestamp, Uuid};

/// Microseconds since 1970-01-01 UTC.
pub type Micros = i64;

/// By how much tests have set the clock of this process.
static SHIFT: AtomicI64 = AtomicI64::new(0);

/// Sets the clock of this process forward, or back: for tests.
pub fn shift(by: Micros) {
    SHIFT.fetch_add(by, Ordering::SeqCst);
}

/// The wall clock. It may jump; the store never lets its own times go back.
pub fn now() -> Micros {
    wall().saturating_add(SHIFT.load(Ordering::Relaxed))
}

#[allow(clippy::disallowed_methods)]
fn wall() -> Micros {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
        }
    }
}

/// The time of one store: that of the clock, but it never goes back and never stands still. While the
/// clock is behind, having been set back, time goes on at half the pace until the clock has caught up.
#[derive(Debug)]
pub struct StoreTime(Mutex<Base>);

/// A time that was given, and when.
#[derive(Debug)]
struct Base {
    time: Micros,
    given: Instant,
}

impl StoreTime {
    /// Begins with the time of the clock.
    pub fn new() -> Self {
        Self(Mutex::new(Base { time: now(), given: Instant::now() }))
    }

    /// The time, not before `at_least`, nor before any that was given earlier.
    pub fn now(&self, at_least: Micros) -> Micros {
        let mut base = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = Instant::now();
        let passed = tick.saturating_duration_since(base.given).as_micros() / 2;
        let behind = base.time.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        let time = now().max(at_least);
        if time < behind {
            return behind;
        }
        *base = Base { time, given: tick };
        time
    }
}

impl Default for StoreTime {
    fn default() -> Self {
        Self::new()
    }
}

/// A new identifier: `prefix`, `_` and the 32 hex digits of a UUIDv7 (increasing in a thread).
pub fn new_id(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 33);
    id.push_str(prefix);
    id.push('_');
    id.push_str(unique().simple().encode_lower(&mut [0; 32]));
    id
}

/// The identity of a database: the 32 hex digits of a UUIDv7.
pub fn new_identity() -> String {
    unique().simple().to_string()
}

/// The identity of something that ends soon, as a number that is not 0.
pub(crate) fn new_number() -> u128 {
    unique().as_u128()
}

thread_local! {
    // One for each thread: that of the process is under a lock, and a child that was forked while
    // another thread held it would wait for ever.
    static CONTEXT: ContextV7 = const { ContextV7::new() };
}

fn unique() -> Uuid {
    CONTEXT.with(|context| Uuid::new_v7(Timestamp::now(context)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The only test that sets the clock: it is that of the whole process.
    #[test]
    fn the_time_of_a_store_never_goes_back_nor_stands_still() {
        const DAY: Micros = 86_400_000_000;
        let (time, begun) = (StoreTime::new(), now());
        let first = time.now(i64::MIN);
        assert!(first >= begun);
        let ahead = time.now(first + 60_000_000);
        assert!(ahead >= first + 60_000_000, "what a store holds was written before");
        shift(DAY);
        let late = time.now(i64::MIN);
        assert!(late >= begun + DAY);
        shift(-DAY);
        let (mut last, mut moved) = (late, false);
        while !moved {
            let next = time.now(i64::MIN);
            assert!(next >= last, "it went back from {last} to {next}");
            moved = next > late;
            last = next;
        }
        // It goes on as slowly as half the time that passes: the clock catches up.
        let (clock, begun) = (now(), Instant::now());
        let from = time.now(i64::MIN);
        std::thread::sleep(Duration::from_millis(20));
        let gone = time.now(i64::MIN) - from;
        let passed = i64::try_from(begun.elapsed().as_micros()).unwrap();
        assert!(gone >= 9_000 && gone <= passed / 2 + 1, "{gone} of {passed} µs");
        assert!(now() - clock >= 2 * (gone - 1), "the clock comes nearer");
    }
}
