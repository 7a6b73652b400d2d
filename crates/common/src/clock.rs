//! The one door through which the time of day and new identifiers enter.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{ContextV7, Timestamp, Uuid};

/// Microseconds since 1970-01-01 UTC.
pub type Micros = i64;

/// The wall clock. It may jump; the store never lets its own times go back.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Micros {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
        }
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
