//! Keeps long work interruptible and within its time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use embedded_db_common::{Error, Result};

/// Work between two looks at the clock and the signals.
const TICKS: u32 = 256;

/// When work has to be done, and how long that was given.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    given: Duration,
}

impl Deadline {
    /// So long from now; `None` when there is no such moment.
    pub fn after(given: Duration) -> Option<Self> {
        Instant::now().checked_add(given).map(|at| Self { at, given })
    }
}

/// Asked now and then whether to go on.
pub struct Guard<'a> {
    interrupted: &'a dyn Fn() -> Result<()>,
    deadline: Option<Deadline>,
    ticks: Cell<u32>,
}

impl<'a> Guard<'a> {
    /// `interrupted` fails when the caller wants the work to end.
    pub fn new(timeout: Option<Duration>, interrupted: &'a dyn Fn() -> Result<()>) -> Self {
        Self::until(timeout.and_then(Deadline::after), interrupted)
    }

    /// The same for work in several steps, which end together.
    pub fn until(deadline: Option<Deadline>, interrupted: &'a dyn Fn() -> Result<()>) -> Self {
        Self { interrupted, deadline, ticks: Cell::new(0) }
    }

    /// Never ends the work.
    pub fn none() -> Guard<'static> {
        Guard::new(None, &|| Ok(()))
    }

    /// One unit of work was done.
    pub fn tick(&self) -> Result<()> {
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if ticks.is_multiple_of(TICKS) { self.check() } else { Ok(()) }
    }

    /// Runs a search that asks from time to time whether to stop, and then finds nothing.
    pub(crate) fn watch<T>(
        &self,
        search: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<Option<T>>,
    ) -> Result<T> {
        self.check()?;
        let mut stopped = None;
        let found = search(&mut || {
            stopped = self.check().err();
            stopped.is_some()
        })?;
        found.ok_or_else(|| stopped.unwrap_or(Error::Interrupted))
    }

    /// Looks at once.
    pub fn check(&self) -> Result<()> {
        if let Some(Deadline { at, given }) = self.deadline
            && Instant::now() > at
        {
            return Err(Error::Timeout { what: "the query".into(), seconds: given.as_secs_f64() });
        }
        (self.interrupted)()
    }
}
