//! The gate through which every transaction of this process goes, so that the map can be moved.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts the transactions of this process, so that the map is only moved under none.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
    /// Whether the map could not be moved, and is gone.
    has_lost: AtomicBool,
}

#[derive(Default)]
struct GateState {
    inside: usize,
    closed: bool,
}

pub(crate) struct ClosedGate<'a>(&'a Gate);

impl Gate {
    pub(crate) fn enter(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.inside += 1;
    }

    pub(crate) fn leave(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.inside -= 1;
        let wake = state.closed;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Whoever begins a transaction without a map would look where none is.
    pub(super) fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::Acquire)
    }

    pub(super) fn lose(&self) {
        self.has_lost.store(true, Ordering::Release);
    }

    /// Whether somebody waits until all are out.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Whether there was a moment, before this time was over, at which nobody was in.
    pub(super) fn is_empty_within(&self, timeout: Duration) -> bool {
        /// Between two looks.
        const LOOK: Duration = Duration::from_millis(2);
        let deadline = Instant::now() + timeout;
        loop {
            let inside = self.state.lock().unwrap_or_else(PoisonError::into_inner).inside;
            if inside == 0 || Instant::now() >= deadline {
                return inside == 0;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Lets nobody in and waits until all are out; `None` when that takes too long.
    pub(super) fn close(&self, timeout: Duration) -> Option<ClosedGate<'_>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.closed = true;
        let gate = ClosedGate(self);
        while state.inside > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                drop(gate);
                return None;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        Some(gate)
    }
}

impl Drop for ClosedGate<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).closed = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_in_and_waits_for_those_inside() {
        let gate = Gate::default();
        gate.enter();
        assert!(gate.close(Duration::ZERO).is_none(), "somebody is inside");
        gate.enter();
        gate.leave();
        gate.leave();
        let closed = gate.close(Duration::ZERO).expect("nobody is inside");
        let (entered, told) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                gate.enter();
                entered.send(()).unwrap();
                gate.leave();
            });
            assert!(told.try_recv().is_err(), "the gate is closed");
            drop(closed);
            told.recv().unwrap();
        });
        assert!(gate.close(Duration::ZERO).is_some());
    }
}
