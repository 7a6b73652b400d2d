//! Activity levels: how much of the machine enrichment may take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use embedded_db_common::ActivityLevel;
use embedded_db_indexing::graph::Artefact;

/// Without calls for so long, `Auto` sinks to SleepMode.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// So many calls…
const MANY: usize = 8;
/// …within so long raise `Auto` to HighActivity, until there are fewer.
const BUSY: Duration = Duration::from_secs(5);
/// Where calls never cease, `Auto` is at Normal…
const BREATH: Duration = Duration::from_secs(10);
/// …in each such stretch, at its end: other work is late, and not for ever.
const STRETCH: Duration = Duration::from_secs(60);

/// What the application does, by which `Auto` goes.
pub(crate) struct Activity {
    configured: ActivityLevel,
    /// When the newest calls came, at most [`MANY`].
    calls: VecDeque<Instant>,
    last: Instant,
    /// Since when calls come quickly.
    raised: Option<Instant>,
}

impl Activity {
    pub(crate) fn new(configured: ActivityLevel, now: Instant) -> Self {
        Self { configured, calls: VecDeque::with_capacity(MANY), last: now, raised: None }
    }

    pub(crate) fn set(&mut self, configured: ActivityLevel) {
        self.configured = configured;
    }

    /// The user has written or asked something.
    pub(crate) fn call(&mut self, now: Instant) {
        if !self.is_busy(now) {
            self.raised = None;
        }
        if self.calls.len() == MANY {
            self.calls.pop_front();
        }
        self.calls.push_back(now);
        self.last = now;
        if self.is_busy(now) && self.raised.is_none() {
            self.raised = Some(now);
        }
    }

    fn is_busy(&self, now: Instant) -> bool {
        let first = self.calls.front().filter(|_| self.calls.len() == MANY);
        first.is_some_and(|first| now.saturating_duration_since(*first) <= BUSY)
    }

    /// The level in force.
    pub(crate) fn level(&self, now: Instant) -> ActivityLevel {
        if self.configured != ActivityLevel::Auto {
            return self.configured;
        }
        if now.saturating_duration_since(self.last) >= IDLE {
            return ActivityLevel::SleepMode;
        }
        let Some(raised) = self.raised.filter(|_| self.is_busy(now)) else {
            return ActivityLevel::Normal;
        };
        let busy = now.saturating_duration_since(raised).as_millis() % STRETCH.as_millis();
        match busy < (STRETCH - BREATH).as_millis() {
            true => ActivityLevel::HighActivity,
            false => ActivityLevel::Normal,
        }
    }
}

/// Whether a level does work of a kind.
pub(crate) fn runs(level: ActivityLevel, artefact: Artefact) -> bool {
    match level {
        ActivityLevel::HighActivity => {
            matches!(artefact, Artefact::Embedding | Artefact::Entities)
        }
        ActivityLevel::Normal | ActivityLevel::LowActivity | ActivityLevel::Auto => {
            !artefact.is_of_leisure()
        }
        ActivityLevel::SleepMode => true,
    }
}

/// Texts in one call at a level, of at most `configured`.
pub(crate) fn batch_size(level: ActivityLevel, configured: usize) -> usize {
    match level {
        ActivityLevel::HighActivity => configured.min(8),
        _ => configured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use ActivityLevel::{Auto, HighActivity, Normal, SleepMode};

    /// A clock that goes when it is told to.
    struct Clock(Instant);

    impl Clock {
        fn pass(&mut self, time: Duration) -> Instant {
            self.0 += time;
            self.0
        }
    }

    fn started(level: ActivityLevel) -> (Activity, Clock) {
        let now = Instant::now();
        (Activity::new(level, now), Clock(now))
    }

    fn calls(activity: &mut Activity, clock: &mut Clock, count: usize, apart: Duration) {
        for _ in 0..count {
            activity.call(clock.pass(apart));
        }
    }

    #[test]
    fn calls_that_come_quickly_raise_it_and_few_do_not() {
        let (mut activity, mut clock) = started(Auto);
        assert_eq!(activity.level(clock.0), Normal);
        calls(&mut activity, &mut clock, MANY - 1, Duration::from_millis(10));
        assert_eq!(activity.level(clock.0), Normal);
        calls(&mut activity, &mut clock, 1, Duration::from_millis(10));
        assert_eq!(activity.level(clock.0), HighActivity);
        assert_eq!(activity.level(clock.pass(BUSY)), Normal, "it sinks by itself");
        calls(&mut activity, &mut clock, 50, Duration::from_secs(1));
        assert_eq!(activity.level(clock.0), Normal, "one a second is not quick");
    }

    #[test]
    fn half_an_hour_without_calls_sinks_it_to_sleep_and_a_call_wakes_it() {
        let (mut activity, mut clock) = started(Auto);
        calls(&mut activity, &mut clock, MANY, Duration::ZERO);
        assert_eq!(activity.level(clock.pass(IDLE - Duration::from_millis(1))), Normal);
        assert_eq!(activity.level(clock.pass(Duration::from_millis(1))), SleepMode);
        assert_eq!(activity.level(clock.pass(IDLE)), SleepMode);
        activity.call(clock.0);
        assert_eq!(activity.level(clock.0), Normal);
        assert_eq!(activity.level(clock.pass(IDLE)), SleepMode);
    }

    #[test]
    fn opening_counts_as_a_call() {
        let (activity, mut clock) = started(Auto);
        assert_eq!(activity.level(clock.pass(IDLE - Duration::from_millis(1))), Normal);
        assert_eq!(activity.level(clock.pass(Duration::from_millis(1))), SleepMode);
    }

    #[test]
    fn work_breathes_where_calls_never_cease() {
        let (mut activity, mut clock) = started(Auto);
        let apart = Duration::from_millis(100);
        calls(&mut activity, &mut clock, MANY, apart);
        let mut high = 0;
        for _ in 0..6_000 {
            high += u32::from(activity.level(clock.0) == HighActivity);
            calls(&mut activity, &mut clock, 1, apart);
        }
        assert_eq!(high, 5_000, "of each minute ten seconds are Normal");
    }

    #[test]
    fn a_level_that_is_set_stays() {
        for level in [HighActivity, Normal, ActivityLevel::LowActivity, SleepMode] {
            let (mut activity, mut clock) = started(level);
            assert_eq!(activity.level(clock.pass(2 * IDLE)), level);
            calls(&mut activity, &mut clock, 2 * MANY, Duration::ZERO);
            assert_eq!(activity.level(clock.0), level);
            activity.set(Auto);
            assert_eq!(activity.level(clock.0), HighActivity, "it was told of all calls");
        }
    }
}
