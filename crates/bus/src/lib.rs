//! The message bus: channels, groups of consumers, priorities that age, order for each key, redelivery, dead letters,
//! and a log for those who want messages to outlive the process.
//!
//! * A [`Bus`] has [`Subscription`]s: a pattern of channels and the name of a group. Each gets every message of its
//!   channels once; the consumers of a group share them.
//! * Publishing pushes to a lock-free queue for each subscription. What is next is decided under one lock for each
//!   ([`queue`]), which those who take messages hold for as many as they take, and publishers never wait for.
//! * A message was delivered when it is acknowledged. One that is not is delivered again, and at last a dead letter.
//!
//! The invariants are in docs/decisions/0027.

mod bus;
mod journal;
mod message;
mod options;
mod pattern;
mod queue;
mod routes;
mod subscription;
mod waiting;

pub use bus::{Bus, Outcome, Publish};
pub use message::{DeadLetter, Delivery, Message};
pub use options::{Durability, MAX_MESSAGE, MAX_NAME, Options, Overflow, PRIORITIES};
pub use pattern::{check_channel, check_pattern, covers};
pub use subscription::{Counts, Subscription};
pub use waiting::Waker;

/// How often whoever waits looks by himself: for signals, for clocks that were set.
pub const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
