//! Waiting for the weaver, and holding it back.

use std::time::{Duration, Instant};

use embedded_db_common::{ActivityLevel, Result};

use super::{State, Weaver};

/// Far more than a look at the store takes where nothing waits.
const ONE_LOOK: Duration = Duration::from_millis(200);

impl Weaver {
    /// Something was written.
    pub fn notify(&self) {
        self.touch();
        self.look();
    }

    /// What was written is committed.
    pub fn look(&self) {
        self.state().notified += 1;
        self.wake.notify_one();
    }

    /// The user has asked something.
    pub fn touch(&self) {
        self.state().activity.call(Instant::now());
    }

    /// Waits until everything that waits now is done or given up; false when time ran out. Where nothing is being
    /// done, one look at the store is waited for in any case: it may be that nothing is left.
    /// `interrupted` is asked now and then. Fails when the store refuses the results: a disk that is
    /// full may stay so.
    pub fn wait_idle(
        &self,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let begun = Instant::now();
        let deadline = timeout.map(|timeout| begun + timeout);
        let (ticket, refusals) = {
            let mut state = self.state();
            state.draining += 1;
            state.asked += 1;
            (state.asked, state.refusals)
        };
        self.waiting().look_for_room();
        self.wake.notify_one();
        let outcome = loop {
            let state = self.state();
            if state.quiet >= ticket || state.stop {
                break Ok(state.quiet >= ticket);
            }
            if let Err(error) = state.refused_since(refusals, None) {
                break Err(error);
            }
            let is_at_rest = !state.working && !state.paused;
            let until = deadline.map(|at| if is_at_rest { at.max(begun + ONE_LOOK) } else { at });
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break Ok(false);
            }
            let slice = left.unwrap_or(Duration::MAX).min(Duration::from_millis(50));
            drop(self.progress.wait_timeout(state, slice));
            if let Err(error) = interrupted() {
                break Err(error);
            }
        };
        self.state().draining -= 1;
        outcome
    }

    /// While this is held somebody waits for all work, which therefore runs whatever the level.
    pub fn wanted(&self) -> Wanted<'_> {
        self.state().draining += 1;
        self.wake.notify_one();
        Wanted(self)
    }

    /// Waits for the next thing to be done.
    pub fn wait_progress(&self, timeout: Duration) {
        let state = self.state();
        if !state.stop {
            drop(self.progress.wait_timeout(state, timeout));
        }
    }

    /// How often the store has refused results.
    pub fn refusals(&self) -> u64 {
        self.state().refusals
    }

    /// Fails with what the store has said, if it refuses results for a namespace since there were so many refusals.
    pub fn refused_since(&self, refusals: u64, namespace: &str) -> Result<()> {
        self.state().refused_since(refusals, Some(namespace))
    }

    /// Sets the level.
    pub fn set_level(&self, level: ActivityLevel) {
        let mut state = self.state();
        state.activity.set(level);
        state.last_event = format!("activity level {}", level.name());
        drop(state);
        self.wake.notify_one();
    }

    /// Stops taking work after the batch in hand.
    pub fn pause(&self) {
        self.state().paused = true;
    }

    /// Goes on.
    pub fn resume(&self) {
        self.state().paused = false;
        self.wake.notify_all();
    }
}

/// Somebody waits.
pub struct Wanted<'a>(&'a Weaver);

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.state().draining -= 1;
    }
}

impl State {
    /// Fails with why the store refuses what is to be written, if it has begun to since there were so many
    /// refusals; with what only the quota of another namespace refuses, if none is named.
    fn refused_since(&self, refusals: u64, namespace: Option<&str>) -> Result<()> {
        if let Some((error, _)) = self.refusal.as_ref().filter(|_| self.refusals > refusals) {
            return Err(error.clone());
        }
        let concerns =
            |of: &Option<String>| namespace.is_none() || of.is_none() || of.as_deref() == namespace;
        let mut quotas = self.quotas.iter();
        match quotas.find(|(of, (last, _))| *last > refusals && concerns(of)) {
            Some((_, (_, error))) => Err(error.clone()),
            None => Ok(()),
        }
    }
}
