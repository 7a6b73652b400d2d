//! Which traces are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::kept::{Kept, Queue};
use super::slow::Bounds;
use super::{Context, Id, Trace};
use crate::metrics::{Counter, nanoseconds};
use crate::{chance, clock};

/// How traces are made, and which are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The part that is kept of traces that are neither of the following, from 0 to 1.
    pub normal: f64,
    /// Of those that failed.
    pub errors: f64,
    /// Of those that took longer than the threshold.
    pub slow: f64,
    /// `None`: what takes longer than 99 of 100 traces of the same name.
    pub slow_threshold: Option<Duration>,
    /// What chance begins with, for tests.
    pub seed: Option<u64>,
    /// Spans that wait to be sent; what is kept beyond is lost, and counted.
    pub queue: usize,
    /// Where they are sent: the address of a collector, such as `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// Headers of what is sent, beside those of HTTP itself.
    pub headers: Vec<(String, String)>,
    /// What the program calls itself.
    pub service: String,
    /// How long a collector may take to answer.
    pub timeout: Duration,
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            normal: 0.01,
            errors: 1.0,
            slow: 0.5,
            slow_threshold: None,
            seed: None,
            queue: 4096,
            endpoint: "http://127.0.0.1:4318".into(),
            headers: Vec::new(),
            service: "embedded-db".into(),
            timeout: Duration::from_secs(5),
        }
    }
}

/// What became of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It was like most, and kept.
    Normal,
    /// It failed, and was kept.
    Error,
    /// It was slow, and was kept.
    Slow,
    /// Its caller wanted it.
    Caller,
    /// It was not kept.
    Dropped,
}

impl Decision {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Normal, Self::Error, Self::Slow, Self::Caller, Self::Dropped];

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Caller => "caller",
            Self::Dropped => "dropped",
        }
    }
}

/// A part as a bound of random numbers: all of them lie below that of 1.
fn bound(part: f64) -> u128 {
    (part.clamp(0.0, 1.0) * 2_f64.powi(64)) as u128
}

/// Makes traces, and decides at the end of each whether it is kept: a caller's wish first; else one that failed,
/// one that was slow and any other has a chance of its own.
pub struct Tracer {
    normal: u128,
    errors: u128,
    slow: u128,
    threshold: Option<u64>,
    bounds: Bounds,
    chance: AtomicU64,
    decisions: [Counter; Decision::ALL.len()],
    queue: Arc<Queue>,
}

impl Tracer {
    /// Which keeps as it is told.
    pub fn new(tracing: &Tracing) -> Arc<Self> {
        let seed = tracing.seed.unwrap_or_else(|| clock::new_number() as u64);
        Arc::new(Self {
            normal: bound(tracing.normal),
            errors: bound(tracing.errors),
            slow: bound(tracing.slow),
            threshold: tracing.slow_threshold.map(nanoseconds),
            bounds: Bounds::new(),
            chance: AtomicU64::new(seed),
            decisions: Default::default(),
            queue: Queue::new(tracing.queue),
        })
    }

    /// What was kept and waits to be sent.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// How often which decision was made.
    pub fn decisions(&self) -> impl Iterator<Item = (Decision, u64)> {
        Decision::ALL.into_iter().zip(self.decisions.iter().map(Counter::get))
    }

    pub(super) fn count(&self, decision: Decision) {
        self.decisions[decision as usize].add_one();
    }

    /// The trace has ended: it is kept, or not. The place is empty then.
    pub(super) fn decide(&self, trace: &mut Trace) {
        let Some(outermost) = trace.spans.first() else { return };
        let nanos = nanoseconds(outermost.ended.saturating_duration_since(outermost.begun));
        let chance = chance::mixed(self.chance.fetch_add(chance::STEP, Relaxed));
        let is_slow = match self.threshold {
            Some(threshold) => nanos > threshold,
            None => self.bounds.is_slow(outermost.name, nanos, chance),
        };
        let (decision, part) = match trace.parent {
            Some(Context { sampled: true, .. }) => (Decision::Caller, u128::MAX),
            Some(_) => (Decision::Dropped, 0),
            None if outermost.failed.is_some() => (Decision::Error, self.errors),
            None if is_slow => (Decision::Slow, self.slow),
            None => (Decision::Normal, self.normal),
        };
        if u128::from(chance) < part {
            self.count(decision);
            self.keep(trace);
        } else {
            self.count(Decision::Dropped);
        }
        trace.spans.clear();
        (trace.id, trace.parent, trace.open, trace.lost) = (None, None, 0, 0);
    }

    #[cold]
    fn keep(&self, trace: &mut Trace) {
        let begun = trace.spans[0].begun;
        let since = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        let Id { trace: id, spans: first } = trace.id();
        self.queue.push(Kept {
            id,
            first,
            caller: trace.parent.map(|parent| parent.span),
            side: trace.side,
            time: clock::now().saturating_sub(since),
            begun,
            spans: std::mem::take(&mut trace.spans),
            lost: trace.lost,
        });
    }
}
