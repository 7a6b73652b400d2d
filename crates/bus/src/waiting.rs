//! Whoever waits for messages or for room: threads, and event loops that want to be called.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use embedded_db_common::Result;

use crate::{LOOK, lock};

/// Called once, from whichever thread brings what is waited for, with no lock held.
pub type Waker = Box<dyn FnOnce() + Send>;

/// All that wait for one thing.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Threads and wakers. Who brings something looks at this after it is there; who waits counts himself before he
    /// looks whether it is there: so one of the two sees the other.
    count: AtomicUsize,
    wakers: Mutex<Wakers>,
    brought: Condvar,
}

#[derive(Default)]
struct Wakers {
    next: u64,
    waiting: VecDeque<(u64, Waker)>,
}

/// What a look gave: the thing, or when to look again at the latest.
pub(crate) enum Look<T> {
    Here(T),
    Later(Duration),
}

impl Waiting {
    /// Tells those who wait that so many things are there now.
    pub(crate) fn tell(&self, many: usize) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut called = Vec::new();
        let mut wakers = lock(&self.wakers);
        for _ in 0..many.min(self.count.load(Ordering::SeqCst)) {
            if let Some((_, waker)) = wakers.waiting.pop_front() {
                self.count.fetch_sub(1, Ordering::SeqCst);
                called.push(waker);
            } else {
                self.brought.notify_one();
            }
        }
        drop(wakers);
        called.into_iter().for_each(|waker| waker());
    }

    /// Tells all of them.
    pub(crate) fn tell_all(&self) {
        self.tell(usize::MAX);
        let _none_is_about_to_wait = lock(&self.wakers);
        self.brought.notify_all();
    }

    /// Waits until `look` finds something; `None` when the time is over, for ever without one.
    pub(crate) fn wait<T>(
        &self,
        timeout: Option<Duration>,
        interrupted: &dyn Fn() -> Result<()>,
        mut look: impl FnMut() -> Result<Look<T>>,
    ) -> Result<Option<T>> {
        let begun = Instant::now();
        let _counted = Counted::new(&self.count);
        let mut wakers = lock(&self.wakers);
        loop {
            let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            // Who was woken may be in time no more, but the thing is there: so it looks first.
            let later = match look()? {
                Look::Here(thing) => return Ok(Some(thing)),
                Look::Later(later) => later,
            };
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            let pause = later.min(LOOK).min(left.unwrap_or(LOOK)).max(Duration::from_micros(50));
            let (guard, timed) =
                self.brought.wait_timeout(wakers, pause).unwrap_or_else(PoisonError::into_inner);
            wakers = guard;
            if timed.timed_out() {
                // A signal handler may run anything.
                drop(wakers);
                interrupted()?;
                wakers = lock(&self.wakers);
            }
        }
    }

    /// Has somebody called when there is something. He looks after that, since it may have come before.
    pub(crate) fn call(&self, waker: Waker) -> u64 {
        let mut wakers = lock(&self.wakers);
        self.count.fetch_add(1, Ordering::SeqCst);
        wakers.next += 1;
        let number = wakers.next;
        wakers.waiting.push_back((number, waker));
        number
    }

    /// He does not wait any more; if he was called, another is in his place.
    pub(crate) fn leave(&self, number: u64) {
        let mut wakers = lock(&self.wakers);
        let place = wakers.waiting.iter().position(|(waiting, _)| *waiting == number);
        match place {
            Some(place) => {
                let waker = wakers.waiting.remove(place);
                self.count.fetch_sub(1, Ordering::SeqCst);
                drop(wakers);
                drop(waker);
            }
            None => {
                drop(wakers);
                self.tell(1);
            }
        }
    }
}

struct Counted<'c>(&'c AtomicUsize);

impl<'c> Counted<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
