//! A thread that is there while there is something to do in the background, step by step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use embedded_db_common::log::{self, Level};
use embedded_db_common::{Error, Result};

/// Between two tries when the store has refused a step, at first.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at whether a caller that waits wants to go on.
const LOOK: Duration = Duration::from_millis(20);

/// What a worker does.
pub(crate) trait Work: Send + Sync + 'static {
    /// In the name of the thread.
    const NAME: &'static str;
    /// Between two tries when the store refuses again and again: the pause doubles up to this.
    const LONGEST_PAUSE: Duration;

    /// Does some of it, in a write or two. One that fails is tried again: nothing was lost.
    fn step(&self) -> Result<Next>;

    /// Whether one who waits for the end is told that a step failed so, instead of waiting on.
    fn ends_the_wait(error: &Error) -> bool;
}

/// When the next step is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more to do.
    AtOnce,
    /// There will be something to do.
    After(Duration),
    /// Nothing is left: the thread ends.
    Nothing,
}

/// Takes the steps of a work in a thread of its own.
pub(crate) struct Worker<W> {
    pub(crate) work: W,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stop: bool,
    /// Whether the thread runs.
    running: bool,
    /// It has to look once more, whatever its step finds.
    again: bool,
    /// Whether it found nothing to do the last time.
    idle: bool,
    thread: Option<JoinHandle<()>>,
    /// How many steps were begun.
    begun: u64,
    /// Why the last step failed, if it did.
    refused: Option<Refused>,
}

struct Refused {
    error: Error,
    /// How many have failed in a row.
    in_a_row: u32,
    /// Which step it was.
    step: u64,
}

impl<W> Worker<W> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the thread after the step it is at.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stop = true;
        let thread = state.thread.take();
        drop(state);
        self.changed.notify_all();
        if let Some(thread) = thread {
            // It does not panic.
            drop(thread.join());
        }
    }
}

impl<W: Work> Worker<W> {
    pub(crate) fn new(work: W) -> Arc<Self> {
        let (state, changed) = Default::default();
        Arc::new(Self { work, state, changed })
    }

    /// Has a look at what there is to do, from the thread.
    pub(crate) fn wake(self: &Arc<Self>) -> Result<()> {
        let mut state = self.state();
        (state.again, state.idle) = (true, false);
        if state.running {
            self.changed.notify_all();
        }
        self.run_in_thread(state)
    }

    /// Has the thread look at what there is to do when it next looks by itself.
    pub(crate) fn attend(self: &Arc<Self>) -> Result<()> {
        let mut state = self.state();
        state.again = true;
        self.run_in_thread(state)
    }

    fn run_in_thread(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Result<()> {
        if state.stop || state.running {
            return Ok(());
        }
        let worker = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name(format!("embedded-db-{}", W::NAME))
            .spawn(move || worker.run())
            .map_err(|e| Error::Internal(format!("cannot start a thread for {}: {e}", W::NAME)))?;
        state.running = true;
        // An earlier one has ended.
        state.thread = Some(thread);
        Ok(())
    }

    /// A step that panics has failed, as one has that the store refuses: it is tried again.
    fn step(&self) -> Result<Next> {
        let step = catch_unwind(AssertUnwindSafe(|| self.work.step()));
        step.unwrap_or_else(|_| Err(Error::Internal(format!("a step of {} panicked", W::NAME))))
    }

    fn run(&self) {
        let mut state = self.state();
        while !state.stop {
            state.again = false;
            state.begun += 1;
            let step = state.begun;
            drop(state);
            let next = self.step();
            state = self.state();
            let before = state.refused.take().map_or(0, |refused| refused.in_a_row);
            let pause = match next {
                Ok(Next::AtOnce) => continue,
                Ok(Next::Nothing) if state.again => continue,
                Ok(Next::Nothing) => break,
                Ok(Next::After(left)) => {
                    state.idle = !state.again;
                    left
                }
                Err(error) => {
                    log::log(Level::Warning, "worker", "a step has failed", || {
                        [("worker", W::NAME.into()), ("error", error.code().into())]
                    });
                    // A store that was closed stays so.
                    state.stop |=
                        matches!(error, Error::DatabaseClosed { .. } | Error::ForkedHandle { .. });
                    let in_a_row = before.saturating_add(1);
                    state.refused = Some(Refused { error, in_a_row, step });
                    pause_after(before, W::LONGEST_PAUSE)
                }
            };
            self.changed.notify_all();
            if !state.again && !state.stop {
                let waited = self.changed.wait_timeout(state, pause);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        state.running = false;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until nothing is left to do; false when time ran out. Fails when a step does that begins
    /// meanwhile, in a way that ends the wait.
    pub(crate) fn wait_idle(
        &self,
        deadline: Option<Instant>,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let mut state = self.state();
        // What it slept for may have come since, as the clock may have been set.
        (state.again, state.idle) = (true, false);
        let before = state.begun;
        self.changed.notify_all();
        while state.running && !state.idle && !state.stop {
            if let Some(Refused { error, step, .. }) = &state.refused
                && *step > before
                && W::ends_the_wait(error)
            {
                return Err(error.clone());
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(false);
            }
            drop(self.changed.wait_timeout(state, LOOK));
            interrupted()?;
            state = self.state();
        }
        Ok(true)
    }
}

/// The pause after a failure with so many before it in a row.
fn pause_after(before: u32, longest: Duration) -> Duration {
    PAUSE.saturating_mul(1 << before.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Far more than anything here takes: a test that sleeps it out has failed.
    const LONG: Duration = Duration::from_secs(120);

    /// Goes through what it is given, and then has nothing to do.
    #[derive(Default)]
    struct Script {
        steps: Mutex<VecDeque<Result<Next>>>,
        asked: Mutex<u32>,
        /// The next step does.
        panics: AtomicBool,
    }

    impl Work for Script {
        const NAME: &'static str = "test";
        const LONGEST_PAUSE: Duration = Duration::from_millis(5);

        fn step(&self) -> Result<Next> {
            *self.asked.lock().unwrap() += 1;
            assert!(!self.panics.swap(false, Ordering::SeqCst), "a step that panics");
            self.steps.lock().unwrap().pop_front().unwrap_or(Ok(Next::Nothing))
        }

        fn ends_the_wait(error: &Error) -> bool {
            matches!(error, Error::StorageFull { .. })
        }
    }

    fn worker(steps: impl IntoIterator<Item = Result<Next>>) -> Arc<Worker<Script>> {
        Worker::new(Script { steps: Mutex::new(steps.into_iter().collect()), ..Script::default() })
    }

    fn wait(worker: &Worker<Script>) -> Result<bool> {
        worker.wait_idle(Some(Instant::now() + LONG), &|| Ok(()))
    }

    fn asked(worker: &Worker<Script>) -> u32 {
        *worker.work.asked.lock().unwrap()
    }

    fn full() -> Error {
        Error::StorageFull { path: PathBuf::new(), detail: "no room".into(), is_kept: false }
    }

    #[test]
    fn it_works_until_nothing_is_left_and_again_when_it_is_woken() {
        let worker = worker([Ok(Next::AtOnce), Ok(Next::AtOnce)]);
        assert!(wait(&worker).unwrap());
        assert_eq!(asked(&worker), 0, "nobody has woken it");
        worker.wake().unwrap();
        assert!(wait(&worker).unwrap());
        assert!(worker.work.steps.lock().unwrap().is_empty());
        assert!(!worker.state().running);
        let before = asked(&worker);
        worker.wake().unwrap();
        assert!(wait(&worker).unwrap());
        assert!(asked(&worker) > before);
    }

    #[test]
    fn one_who_waits_is_told_of_an_error_that_lasts_and_not_of_another() {
        let worker = worker([Err(Error::Internal("for once".into())), Ok(Next::AtOnce)]);
        worker.wake().unwrap();
        assert!(wait(&worker).unwrap());
        worker.work.steps.lock().unwrap().extend(std::iter::repeat_n(Err(full()), 10_000));
        worker.wake().unwrap();
        assert!(matches!(wait(&worker), Err(Error::StorageFull { .. })));
        worker.stop();
    }

    #[test]
    fn one_who_waits_is_told_of_no_error_from_before() {
        let worker = worker(std::iter::repeat_n(Err(full()), 10_000));
        worker.wake().unwrap();
        while worker.state().refused.is_none() {
            std::thread::yield_now();
        }
        worker.work.steps.lock().unwrap().clear();
        assert!(wait(&worker).unwrap(), "there is room again");
    }

    #[test]
    fn a_step_that_panics_is_tried_again() {
        let worker = worker([Ok(Next::AtOnce)]);
        worker.work.panics.store(true, Ordering::SeqCst);
        worker.wake().unwrap();
        assert!(wait(&worker).unwrap());
        assert!(worker.work.steps.lock().unwrap().is_empty());
        assert!(!worker.work.panics.load(Ordering::SeqCst), "it has panicked");
    }

    #[test]
    fn it_sleeps_until_it_is_stopped_or_woken() {
        let worker = worker([Ok(Next::After(LONG)), Ok(Next::After(LONG))]);
        worker.wake().unwrap();
        assert!(wait(&worker).unwrap());
        assert!(worker.state().running, "it has ended instead");
        // A look at what may be due by now ends the first sleep.
        assert!(wait(&worker).unwrap());
        worker.stop();
        assert!(!worker.state().running);
        let before = asked(&worker);
        worker.wake().unwrap();
        assert_eq!(asked(&worker), before, "it works though it was stopped");
    }

    #[test]
    fn a_closed_store_ends_it() {
        let closed = || Err(Error::DatabaseClosed { path: PathBuf::new() });
        let worker = worker([closed(), closed()]);
        worker.wake().unwrap();
        assert!(wait(&worker).unwrap());
        worker.stop();
        assert_eq!(asked(&worker), 1);
    }

    #[test]
    fn a_wait_ends_with_its_time_and_when_it_is_interrupted() {
        let worker = worker(std::iter::repeat_n(Err(Error::Internal("no".into())), 10_000));
        worker.wake().unwrap();
        assert!(!worker.wait_idle(Some(Instant::now()), &|| Ok(())).unwrap());
        let interrupted = || Err(Error::Internal("interrupted".into()));
        assert!(worker.wait_idle(None, &interrupted).is_err());
        worker.stop();
    }

    #[test]
    fn the_pause_doubles_up_to_the_longest() {
        let pauses = |longest| [0, 1, 2, 3, u32::MAX].map(|before| pause_after(before, longest));
        assert_eq!(pauses(PAUSE), [PAUSE; 5]);
        assert_eq!(pauses(PAUSE * 6), [1, 2, 4, 6, 6].map(|times| PAUSE * times));
    }
}
