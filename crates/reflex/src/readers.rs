//! Who reads what writers take out: sleepable read-copy-update (SRCU), as in the Linux kernel.
//!
//! A reader counts itself in at one of two phases and counts itself out there again. What a writer takes
//! out may be freed once, *after* it was taken out, each phase was seen with as many out as in: whoever
//! came before has left then, and whoever comes later does not find it. Which phase a reader is in does
//! not matter for that. New readers go to one phase while the other runs empty, so that both come to it
//! in turn however many there are.
//!
//! Nobody waits: a writer looks, and what is not free yet is looked at again with the next write. The
//! counters are those of hits and misses too, so that a lookup counts twice and no more.

use std::cell::Cell;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

/// Threads count in so many places, that they do not wait for one another's cache lines.
const STRIPES: usize = 32;
/// One lookup of so many is timed.
const TIMED: u64 = 256;
/// A lookup that took longer, in nanoseconds, was interrupted.
const INTERRUPTED: u64 = 10_000;

/// What the threads of one stripe counted, by phase. Of two lines: processors fetch pairs of them.
#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    entered: [AtomicU64; 2],
    hits: [AtomicU64; 2],
    misses: [AtomicU64; 2],
    timed: AtomicU64,
    nanoseconds: AtomicU64,
}

/// The readers of one table.
pub(crate) struct Readers {
    stripes: [Stripe; STRIPES],
    /// Where readers enter.
    phase: AtomicUsize,
    /// What reading the clock takes by itself.
    clock: u64,
}

/// What readers have counted.
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Of those that were timed; 0 while none was.
    pub(crate) mean_nanoseconds: f64,
}

/// A reader that is inside.
pub(crate) struct Reading<'r> {
    stripe: &'r Stripe,
    phase: usize,
    number: u64,
    hit: bool,
}

impl Readers {
    pub(crate) fn new() -> Self {
        let once = || nanoseconds(Instant::now());
        let clock = (0..32).map(|_| once()).min().unwrap_or(0);
        Self { stripes: Default::default(), phase: AtomicUsize::new(0), clock }
    }

    /// Runs a lookup, one of [`TIMED`] beside a clock.
    pub(crate) fn lookup<R>(&self, run: impl FnOnce(Reading<'_>) -> R) -> R {
        let stripe = &self.stripes[stripe()];
        let entered = stripe.entered[0].load(Relaxed) + stripe.entered[1].load(Relaxed);
        if !entered.is_multiple_of(TIMED) {
            return run(self.enter(stripe));
        }
        let begun = Instant::now();
        let result = run(self.enter(stripe));
        let taken = nanoseconds(begun);
        if taken <= INTERRUPTED {
            stripe.timed.fetch_add(1, Relaxed);
            stripe.nanoseconds.fetch_add(taken.saturating_sub(self.clock), Relaxed);
        }
        result
    }

    fn enter<'r>(&'r self, stripe: &'r Stripe) -> Reading<'r> {
        let phase = self.phase.load(Relaxed);
        // Before every pointer that is read, in the one order of all such operations.
        let number = stripe.entered[phase].fetch_add(1, SeqCst);
        Reading { stripe, phase, number, hit: false }
    }

    /// Whether whoever has entered at a phase has left it.
    fn all_left(&self, phase: usize) -> bool {
        let sum = |count: &dyn Fn(&Stripe) -> u64| {
            self.stripes.iter().map(count).fold(0, u64::wrapping_add)
        };
        // Who left is counted first: each of them is then among those who entered.
        let left = sum(&|stripe| {
            stripe.hits[phase].load(Acquire).wrapping_add(stripe.misses[phase].load(Acquire))
        });
        left == sum(&|stripe| stripe.entered[phase].load(SeqCst))
    }

    pub(crate) fn counts(&self) -> Counts {
        let sum = |count: &dyn Fn(&Stripe) -> u64| self.stripes.iter().map(count).sum::<u64>();
        let both = |count: &[AtomicU64; 2]| count[0].load(Relaxed) + count[1].load(Relaxed);
        let timed = sum(&|stripe| stripe.timed.load(Relaxed));
        let nanoseconds = sum(&|stripe| stripe.nanoseconds.load(Relaxed));
        Counts {
            hits: sum(&|stripe| both(&stripe.hits)),
            misses: sum(&|stripe| both(&stripe.misses)),
            mean_nanoseconds: if timed == 0 { 0.0 } else { nanoseconds as f64 / timed as f64 },
        }
    }
}

impl Reading<'_> {
    /// How many came before it, of the same stripe and phase.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn hit(&mut self) {
        self.hit = true;
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let left = if self.hit { &self.stripe.hits } else { &self.stripe.misses };
        // After everything that was read.
        left[self.phase].fetch_add(1, Release);
    }
}

/// What was taken out and may still be read.
pub(crate) struct Retired<T> {
    /// Taken out since `waiting` began to wait.
    fresh: Vec<T>,
    waiting: Vec<T>,
    /// Which phases were seen empty since then.
    seen_empty: [bool; 2],
}

impl<T> Retired<T> {
    pub(crate) fn new() -> Self {
        Self { fresh: Vec::new(), waiting: Vec::new(), seen_empty: [false; 2] }
    }

    pub(crate) fn push(&mut self, item: T) {
        self.fresh.push(item);
    }

    /// What no reader can have any more.
    pub(crate) fn free(&mut self, readers: &Readers) -> Vec<T> {
        if self.waiting.is_empty() {
            if self.fresh.is_empty() {
                return Vec::new();
            }
            std::mem::swap(&mut self.waiting, &mut self.fresh);
            self.seen_empty = [false; 2];
        }
        for _ in 0..2 {
            let phase = readers.phase.load(Relaxed);
            let idle = 1 - phase;
            self.seen_empty[idle] = self.seen_empty[idle] || readers.all_left(idle);
            if self.seen_empty == [true; 2] {
                return std::mem::take(&mut self.waiting);
            }
            if !self.seen_empty[idle] {
                break;
            }
            readers.phase.store(idle, Relaxed);
        }
        Vec::new()
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Where this thread counts.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let mine = MINE.get();
    if mine < STRIPES {
        return mine;
    }
    let mine = NEXT.fetch_add(1, Relaxed) % STRIPES;
    MINE.set(mine);
    mine
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(readers: &Readers) -> Reading<'_> {
        readers.enter(&readers.stripes[0])
    }

    #[test]
    fn without_readers_everything_is_free_at_once() {
        let (readers, mut retired) = (Readers::new(), Retired::new());
        for round in 0..5 {
            retired.push(round);
            assert_eq!(retired.free(&readers), [round]);
        }
        assert!(retired.free(&readers).is_empty());
    }

    #[test]
    fn what_a_reader_may_have_stays_until_it_leaves_however_many_come_later() {
        let (readers, mut retired) = (Readers::new(), Retired::new());
        let early = inside(&readers);
        retired.push(1);
        for _ in 0..100 {
            let later = inside(&readers);
            assert!(retired.free(&readers).is_empty());
            drop(later);
        }
        drop(early);
        // There is always somebody inside, and yet both phases run empty in turn.
        let mut always = inside(&readers);
        let mut rounds = 0;
        while retired.free(&readers).is_empty() {
            let next = inside(&readers);
            drop(std::mem::replace(&mut always, next));
            rounds += 1;
            assert!(rounds < 10);
        }
    }

    #[test]
    fn a_reader_that_read_the_phase_long_ago_is_waited_for_too() {
        let (readers, mut retired) = (Readers::new(), Retired::new());
        let stripe = &readers.stripes[3];
        let stale = readers.phase.load(Relaxed);
        retired.push(0);
        assert_eq!(retired.free(&readers), [0]);
        assert_ne!(readers.phase.load(Relaxed), stale, "readers enter elsewhere now");
        stripe.entered[stale].fetch_add(1, SeqCst);
        let reader = Reading { stripe, phase: stale, number: 0, hit: false };
        retired.push(1);
        assert!(retired.free(&readers).is_empty());
        assert!(retired.free(&readers).is_empty());
        drop(reader);
        assert_eq!(retired.free(&readers), [1]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "everything is interrupted there")]
    fn hits_and_misses_are_counted_and_some_lookups_timed() {
        let readers = Readers::new();
        for number in 0..1000 {
            readers.lookup(|mut reading| {
                if number % 4 == 0 {
                    reading.hit()
                }
            });
        }
        let counts = readers.counts();
        assert_eq!((counts.hits, counts.misses), (250, 750));
        assert!(counts.mean_nanoseconds >= 0.0 && counts.mean_nanoseconds <= 10_000.0);
        let timed: u64 = readers.stripes.iter().map(|stripe| stripe.timed.load(Relaxed)).sum();
        assert!((1..=4).contains(&timed), "{timed} of 1000, the first among them");
    }
}
