//! What a database sees of itself: how often it is asked for what, how long that takes, what fails.
//!
//! A call is one of few kinds, [`Op`]. All are counted. Kinds that take a microsecond are measured every
//! sixteenth time, for two looks at the clock would be a twentieth of them.

mod families;
mod figures;
mod health;
mod measured;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use embedded_db_common::clock;
use embedded_db_common::metrics::{Counter, DURATIONS, Histogram};
use embedded_db_common::{Error, Result, trace};
use embedded_db_storage::Store;

pub use self::families::{Families, Kind as FamilyKind, NANO};
pub use self::figures::CallCounts;
pub(crate) use self::measured::{Measured, ModelFigures};

/// Of calls that are sampled, one of so many is measured.
const SAMPLED: u64 = 16;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    /// One object, or some, by their ids.
    Get,
    /// What lies beside a node.
    Neighbors,
    /// Objects in their order, and how many there are.
    Scan,
    /// Walks, paths, and what lies around.
    Walk,
    /// Graphs for algorithms.
    Graph,
    /// Converged queries.
    Query,
    /// Questions in plain words.
    Search,
    /// Everything that is written.
    Write,
    /// Backups.
    Backup,
    /// Verifications.
    Verify,
    /// Compactions.
    Compact,
    /// Scrubs.
    Scrub,
}

impl Op {
    pub(crate) const ALL: [Self; 12] = [
        Self::Get,
        Self::Neighbors,
        Self::Scan,
        Self::Walk,
        Self::Graph,
        Self::Query,
        Self::Search,
        Self::Write,
        Self::Backup,
        Self::Verify,
        Self::Compact,
        Self::Scrub,
    ];

    /// Its public name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Neighbors => "neighbors",
            Self::Scan => "scan",
            Self::Walk => "walk",
            Self::Graph => "graph",
            Self::Query => "query",
            Self::Search => "search",
            Self::Write => "write",
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Compact => "compact",
            Self::Scrub => "scrub",
        }
    }

    fn is_sampled(self) -> bool {
        matches!(self, Self::Get | Self::Neighbors | Self::Scan)
    }

    /// Whether it is an event: not what takes a microsecond; what is written is one by its commit.
    fn is_written_down(self) -> bool {
        !self.is_sampled() && self != Self::Write
    }
}

/// What is counted of the calls of one kind.
struct Calls {
    begun: Counter,
    /// In nanoseconds.
    durations: Histogram,
}

/// What is counted while a database is open.
pub(crate) struct Observer {
    store: Arc<Store>,
    counts: bool,
    opened: Instant,
    calls: [Calls; Op::ALL.len()],
    failures: Mutex<BTreeMap<(Op, &'static str), u64>>,
    corruptions: AtomicU64,
    pub(crate) models: ModelFigures,
    /// Microseconds since 1970-01-01 UTC; 0 for never.
    last_backup: AtomicI64,
    /// The same, of verifications that found nothing, and that found something.
    last_verify: [AtomicI64; 2],
}

impl Observer {
    /// Which counts calls, or nothing.
    pub(crate) fn new(store: Arc<Store>, counts: bool) -> Self {
        let calls = |_| Calls { begun: Counter::default(), durations: Histogram::new(DURATIONS) };
        Self {
            store,
            counts,
            opened: Instant::now(),
            calls: std::array::from_fn(calls),
            failures: Mutex::default(),
            corruptions: AtomicU64::new(0),
            models: ModelFigures::default(),
            last_backup: AtomicI64::new(0),
            last_verify: Default::default(),
        }
    }

    /// Does what a call is for, counts it, writes it down, and makes a span of it: all by the same two looks at
    /// the clock.
    pub(crate) fn call<T>(&self, op: Op, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if op.is_sampled() {
            return self.brief(op, work);
        }
        let (tracer, black_box) = (self.store.tracer(), self.store.black_box());
        let black_box = black_box.filter(|_| op.is_written_down());
        if !self.counts && tracer.is_none() && black_box.is_none() {
            return work();
        }
        let begun = Instant::now();
        let calls = self.counts.then(|| &self.calls[op as usize]);
        if let Some(calls) = calls {
            calls.begun.add_one();
        }
        let entry = black_box.map(|black_box| (black_box, black_box.begin(op.name(), begun)));
        let span = tracer.map(|tracer| tracer.begin(op.name(), begun));
        let done = work();
        let ended = Instant::now();
        let error = done.as_ref().err();
        if let Some(span) = span {
            span.end(ended, error.map(Error::code));
        }
        if let Some((black_box, entry)) = entry {
            black_box.end(entry, ended, error);
        }
        if let Some(calls) = calls {
            calls.durations.took(ended - begun);
            if let Some(error) = error {
                self.failed(op, error);
            }
        }
        done
    }

    /// The same for what takes a microsecond: it is no trace of its own unless it fails, and few are measured.
    fn brief<T>(&self, op: Op, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(tracer) = self.store.tracer() else { return self.counted(op, work) };
        if trace::is_open() {
            return tracer.call(op.name(), || self.counted(op, work));
        }
        let done = self.counted(op, work);
        if let Err(error) = &done {
            tracer.failed(op.name(), error.code());
        }
        done
    }

    fn counted<T>(&self, op: Op, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.counts {
            return work();
        }
        let calls = &self.calls[op as usize];
        let before = calls.begun.add_one();
        let done = if before.is_multiple_of(SAMPLED) { calls.durations.time(work) } else { work() };
        if let Err(error) = &done {
            self.failed(op, error);
        }
        done
    }

    #[cold]
    fn failed(&self, op: Op, error: &Error) {
        let code = error.code();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry((op, code)).or_default() += 1;
        drop(failures);
        if code == "Corruption" {
            self.corruptions.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn backed_up(&self) {
        self.last_backup.store(clock::now(), Relaxed);
    }

    pub(crate) fn verified(&self, problems: usize) {
        self.last_verify[usize::from(problems > 0)].store(clock::now(), Relaxed);
        self.corruptions.fetch_add(problems as u64, Relaxed);
    }
}
