//! What is slow, where nobody says how long that is: the longest hundredth of each kind.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// More than there are kinds of traces.
const KINDS: usize = 256;
/// Of so many traces one is slow.
const ONE_OF: u64 = 100;
/// So many that are not slow lower the bound at a time.
const AT_ONCE: u64 = 16;
/// A step up is this part of the bound, and as many steps down as there are traces to a slow one undo it.
const STEP: u64 = 16;

/// The bound of each kind, in nanoseconds. It goes up with each trace above it and down with those below it, so
/// that it comes to rest where one of a hundred is above.
pub(super) struct Bounds(Box<[AtomicU64; KINDS]>);

impl Bounds {
    pub(super) fn new() -> Self {
        Self(Box::new([const { AtomicU64::new(0) }; KINDS]))
    }

    /// Whether it is slow for its kind. The first of a kind is not. Two threads may overwrite each other's step,
    /// which is as if one of the two had not been there.
    pub(super) fn is_slow(&self, kind: &'static str, nanos: u64, chance: u64) -> bool {
        // Names are few, and stay where they are.
        let bound = &self.0[(crate::chance::mixed(kind.as_ptr() as u64) % KINDS as u64) as usize];
        let now = bound.load(Relaxed);
        if now == 0 {
            bound.store(nanos.saturating_mul(4).max(1), Relaxed);
            return false;
        }
        if nanos > now {
            bound.store(now.saturating_add(now / STEP).saturating_add(1), Relaxed);
            return true;
        }
        if chance.is_multiple_of(AT_ONCE) {
            let down = now / STEP * AT_ONCE / (ONE_OF - 1);
            bound.store(now.saturating_sub(down.max(1)).max(1), Relaxed);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance;

    #[test]
    fn the_longest_hundredth_of_each_kind_is_slow() {
        let (bounds, mut state) = (Bounds::new(), 7);
        let mut slow = [0; 2];
        for turn in 0..100_000 {
            for (of, (kind, usual)) in
                [("a query", 10_000), ("a write", 5_000_000)].into_iter().enumerate()
            {
                // Half to one and a half of what is usual.
                let nanos = usual / 2 + chance::next(&mut state) % usual;
                let is_slow = bounds.is_slow(kind, nanos, chance::next(&mut state));
                if turn >= 20_000 && is_slow {
                    slow[of] += 1;
                }
            }
        }
        for slow in slow {
            assert!((400..=1_600).contains(&slow), "{slow} of 80,000");
        }
        assert!(bounds.is_slow("a query", 1_000_000, 1), "a hundred times as long as others");
    }

    #[test]
    fn a_kind_that_has_become_quicker_is_looked_at_anew() {
        let (bounds, mut state) = (Bounds::new(), 9);
        for usual in [1_000_000, 1_000] {
            for _ in 0..30_000 {
                bounds.is_slow("x", usual, chance::next(&mut state));
            }
        }
        assert!(bounds.is_slow("x", 3_000, 1));
    }
}
