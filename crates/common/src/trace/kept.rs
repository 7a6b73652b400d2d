//! Traces that were kept, on their way to whoever sends them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Side, Span};
use crate::chance;
use crate::clock::Micros;

/// A trace that is to be sent.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its id.
    pub id: u128,
    /// What the ids of its spans begin with.
    pub(super) first: u64,
    /// The caller's span that its outermost is a part of.
    pub caller: Option<u64>,
    /// Whose side it is.
    pub side: Side,
    /// When it began: microseconds since 1970-01-01 UTC…
    pub time: Micros,
    /// …and by the clock that its spans go by.
    pub begun: Instant,
    /// What was done; the outermost first.
    pub spans: Vec<Span>,
    /// How many spans there was no room for.
    pub lost: u32,
}

impl Kept {
    /// The id of the span at a place.
    pub fn span_id(&self, place: usize) -> u64 {
        span_id(self.first, place)
    }
}

/// As different as random numbers would be, without a place to keep them.
pub(super) fn span_id(first: u64, place: usize) -> u64 {
    chance::mixed(first.wrapping_add(chance::STEP.wrapping_mul(place as u64 + 1))).max(1)
}

/// How many spans were kept and never arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// The queue was full.
    pub full: u64,
    /// The collector did not take them.
    pub refused: u64,
}

#[derive(Default)]
struct Waiting {
    traces: Vec<Kept>,
    spans: usize,
    ended: bool,
}

/// What waits to be sent. Nobody waits for room in it: what there is no room for is lost, and counted.
pub struct Queue {
    most: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    sent: AtomicU64,
    full: AtomicU64,
    refused: AtomicU64,
}

impl Queue {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            waiting: Mutex::default(),
            changed: Condvar::new(),
            sent: AtomicU64::new(0),
            full: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, trace: Kept) {
        let spans = trace.spans.len();
        let mut waiting = self.lock();
        if waiting.ended || waiting.spans + spans > self.most {
            drop(waiting);
            self.full.fetch_add(spans as u64, Relaxed);
            return;
        }
        waiting.spans += spans;
        waiting.traces.push(trace);
        let is_half_full =
            2 * waiting.spans >= self.most && 2 * (waiting.spans - spans) < self.most;
        drop(waiting);
        // Else it is looked at before long.
        if is_half_full {
            self.changed.notify_all();
        }
    }

    /// What waits, after a while, when half of the room is taken, or at the end; and whether that has come.
    pub fn take(&self, within: Duration) -> (Vec<Kept>, bool) {
        let waiting = self.lock();
        let goes_on = |waiting: &mut Waiting| !waiting.ended && 2 * waiting.spans < self.most;
        let woken = self.changed.wait_timeout_while(waiting, within, goes_on);
        let (mut waiting, _) = woken.unwrap_or_else(PoisonError::into_inner);
        waiting.spans = 0;
        (std::mem::take(&mut waiting.traces), waiting.ended)
    }

    /// Sleeps, unless the end comes; whether it has.
    pub fn pause(&self, time: Duration) -> bool {
        let woken = self.changed.wait_timeout_while(self.lock(), time, |waiting| !waiting.ended);
        woken.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Takes nothing more.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// So many spans have arrived, or did not.
    pub fn told(&self, sent: usize, refused: usize) {
        self.sent.fetch_add(sent as u64, Relaxed);
        self.refused.fetch_add(refused as u64, Relaxed);
    }

    /// How many spans have arrived.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// How many never did.
    pub fn lost(&self) -> Lost {
        Lost { full: self.full.load(Relaxed), refused: self.refused.load(Relaxed) }
    }
}
