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
#[allow(clippy::disallowed_methods)]
pub fn new_id(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 33);
    id.push_str(prefix);
    id.push('_');
    id.push_str(unique().simple().encode_lower(&mut [0; 32]));
    id
}

/// The identity of a database: the 32 hex digits of a UUIDv7.
#[allow(clippy::disallowed_methods)]
pub fn new_identity() -> String {
    unique().simple().to_string()
}
thread_local! {
    // One for each thread: that of the process is under a lock, and a child that was forked while
    // another thread held it would wait for ever.
    static CONTEXT: ContextV7 = const { ContextV7::new() };
}

#[allow(clippy::disallowed_methods)]
fn unique() -> Uuid {
    CONTEXT.with(|context| Uuid::new_v7(Timestamp::now(context)))
}
