//! Intuition: answers to questions that were asked before, found in tens of nanoseconds.
//!
//! * [`Intuition`] holds reflexes: a key, its answer, and how sure that answer is. What is less sure than
//!   [`Config::min_confidence`] is kept and not given.
//! * Readers take no lock and wait for nobody. Writers take turns.
//! * It is bounded. When it is full, the least useful reflex leaves: that with the least sum of what it
//!   was used for and when ([`usefulness`]).
//! * What an answer does when it is dropped, it does outside of every lock: it may call the engine.

mod config;
mod intuition;
mod readers;
mod table;
mod usefulness;

pub use config::{Config, MAX_CAPACITY};
pub use intuition::{Feedback, Intuition, Stats};
