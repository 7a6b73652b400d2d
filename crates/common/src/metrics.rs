//! Counters and histograms that cost next to nothing where they are counted.
//!
//! All of them are atomics without any order among each other: a reader may see a count before the one that
//! was made earlier, and never loses any. What many threads count at once is spread over cache lines.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Cache lines that a count is spread over.
const SHARDS: usize = 16;

/// Upper bounds of the buckets of durations, in nanoseconds: 10 µs to 10 s.
pub const DURATIONS: &[u64] = &[
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Upper bounds of the buckets of how many entries something has.
pub const ENTRIES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

/// A count that many threads raise.
#[derive(Default)]
pub struct Counter([Line; SHARDS]);

impl Counter {
    /// One more; how many this thread's share of it had before.
    pub fn add_one(&self) -> u64 {
        self.0[shard()].0.fetch_add(1, Relaxed)
    }

    /// All of it.
    pub fn get(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Relaxed)).sum()
    }
}

/// The share of this thread.
fn shard() -> usize {
    thread_number() as usize % SHARDS
}

/// The number of this thread, in the order in which threads asked for theirs.
pub fn thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static OWN: Cell<u32> = const { Cell::new(u32::MAX) };
    }
    OWN.with(|own| {
        if own.get() == u32::MAX {
            own.set(NEXT.fetch_add(1, Relaxed));
        }
        own.get()
    })
}

/// How often values lay in which range.
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds: the last is for what is above all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram as it was at some instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds, each of them included in its bucket.
    pub bounds: &'static [u64],
    /// How many values lay at or below each bound, and last how many there are.
    pub cumulative: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Distribution {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }
}

impl Histogram {
    /// Of [`DURATIONS`] or [`ENTRIES`], or of other bounds that ascend.
    pub fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Counts how long something took.
    pub fn took(&self, duration: Duration) {
        self.observe(nanoseconds(duration));
    }

    /// Does something and counts how long it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.took(begun.elapsed());
        done
    }

    /// As it is now.
    pub fn read(&self) -> Distribution {
        let mut count = 0;
        let cumulative = self.buckets.iter().map(|bucket| {
            count += bucket.load(Relaxed);
            count
        });
        let cumulative = cumulative.collect();
        Distribution { bounds: self.bounds, cumulative, sum: self.sum.load(Relaxed) }
    }
}

/// A duration as a number.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_lost_when_threads_count_at_once() {
        let (counter, histogram) = (Counter::default(), Histogram::new(ENTRIES));
        thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    for value in 0..1000 {
                        counter.add_one();
                        histogram.observe(value);
                    }
                });
            }
        });
        assert_eq!(counter.get(), 32_000);
        let read = histogram.read();
        assert_eq!((read.count(), read.sum), (32_000, 32 * 499_500));
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, u64::MAX >> 8] {
            histogram.observe(value);
        }
        assert_eq!(histogram.read().cumulative, [2, 4, 6]);
    }
}
