//! Threads that take turns: one runs at a time, and which one goes on where a thread waits or calls the
//! system, the seed decides. Time passes when it is looked at, and when all threads wait.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{c_int, c_void, pthread_attr_t, pthread_t};

use super::raw;
use crate::random::Random;

/// Most threads at a time.
const MOST: usize = 64;
/// Of a thread that takes no part.
const NONE: usize = usize::MAX;
/// A thread goes on at a call with every chance but one in so many.
const PAUSE: usize = 4;

thread_local! {
    static ME: Cell<usize> = const { Cell::new(NONE) };
}

/// 1 while it is the turn of a thread that waits for it.
static TURN: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];
static TURNS: Mutex<Option<Turns>> = Mutex::new(None);

struct Turns {
    threads: Vec<Thread>,
    random: Random,
    /// Nanoseconds of a clock that is never set.
    now: u64,
    /// What a look at it takes.
    pace: u64,
}

struct Thread {
    waits: Waits,
    timed_out: bool,
    handle: pthread_t,
    /// Nobody will ask for its end.
    detached: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For nothing: it could go on.
    Nothing,
    /// For somebody who wakes it there, at most until then.
    Word(usize, Option<u64>),
    Until(u64),
    /// For the end of another.
    Thread(usize),
    /// It has ended, and somebody may want to know.
    Ended,
    /// Its place can be used again.
    Gone,
}

fn turns() -> MutexGuard<'static, Option<Turns>> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<T>(act: impl FnOnce(&mut Turns) -> T) -> T {
    act(turns().as_mut().expect("a thread that takes part is there when they take turns"))
}

/// Whether the calling thread takes part.
pub(super) fn takes_part() -> bool {
    ME.get() != NONE
}

impl Turns {
    /// Who goes on: one of those who can, or the first whose time comes.
    fn next(&mut self) -> Option<usize> {
        loop {
            let now = self.now;
            let ready = |thread: &Thread| match thread.waits {
                Waits::Nothing => true,
                Waits::Word(_, until) => until.is_some_and(|until| until <= now),
                Waits::Until(until) => until <= now,
                _ => false,
            };
            let count = self.threads.iter().filter(|thread| ready(thread)).count();
            if count > 0 {
                let which = if count == 1 { 0 } else { self.random.below(count) };
                let mut able = (0..self.threads.len()).filter(|place| ready(&self.threads[*place]));
                let next = able.nth(which)?;
                let thread = &mut self.threads[next];
                thread.timed_out = matches!(thread.waits, Waits::Word(..));
                thread.waits = Waits::Nothing;
                return Some(next);
            }
            self.now = self.threads.iter().filter_map(|thread| thread.waits.until()).min()?;
        }
    }

    /// The place of a thread that is not gone.
    fn of(&self, handle: pthread_t) -> Option<usize> {
        let is_it = |thread: &Thread| thread.handle == handle && thread.waits != Waits::Gone;
        self.threads.iter().position(is_it)
    }

    /// A place for a thread that begins.
    fn enter(&mut self) -> Option<usize> {
        let thread = Thread { waits: Waits::Nothing, timed_out: false, handle: 0, detached: false };
        if let Some(place) = self.threads.iter().position(|other| other.waits == Waits::Gone) {
            self.threads[place] = thread;
            return Some(place);
        }
        self.threads.push(thread);
        (self.threads.len() <= MOST).then(|| self.threads.len() - 1)
    }
}

impl Thread {
    fn end(&mut self) {
        self.waits = if self.detached { Waits::Gone } else { Waits::Ended };
    }

    fn detach(&mut self) {
        self.detached = true;
        if self.waits == Waits::Ended {
            self.waits = Waits::Gone;
        }
    }
}

impl Waits {
    fn until(self) -> Option<u64> {
        match self {
            Self::Word(_, until) => until,
            Self::Until(until) => Some(until),
            _ => None,
        }
    }
}

fn give_turn(to: usize) {
    TURN[to].store(1, Ordering::Release);
    raw::wake(&TURN[to], raw::Among::Threads);
}

fn await_turn(me: usize) {
    while TURN[me].swap(0, Ordering::Acquire) == 0 {
        raw::wait_while(&TURN[me], 0, raw::Among::Threads);
    }
}

/// Waits; whether that ended because its time came.
fn wait(waits: Waits) -> bool {
    let me = ME.get();
    let next = with(|turns| {
        turns.threads[me].waits = waits;
        turns.next()
    });
    let Some(next) = next else { super::wrong("every thread waits for another, for ever") };
    if next != me {
        give_turn(next);
        await_turn(me);
    }
    with(|turns| std::mem::take(&mut turns.threads[me].timed_out))
}

/// Another thread may go on here.
pub(super) fn pause() {
    let waits = with(|turns| {
        let others =
            turns.threads.iter().filter(|thread| thread.waits == Waits::Nothing).count() > 1;
        others && turns.random.once_in(PAUSE)
    });
    if waits {
        wait(Waits::Nothing);
    }
}

/// Nanoseconds on a clock that is never set.
pub(super) fn now() -> u64 {
    with(|turns| {
        turns.now += turns.pace;
        turns.now
    })
}

/// The same, without a look at it.
pub(super) fn time() -> u64 {
    with(|turns| turns.now)
}

pub(super) fn sleep_until(until: u64) {
    wait(Waits::Until(until));
}

/// Waits for somebody who wakes it; false when its time came first.
pub(super) fn wait_for(word: usize, until: Option<u64>) -> bool {
    !wait(Waits::Word(word, until))
}

/// Wakes at most so many of those who wait for a word; how many there were.
pub(super) fn wake(word: usize, most: usize) -> usize {
    with(|turns| {
        let mut woken = 0;
        while woken < most {
            let waits = |thread: &Thread| matches!(thread.waits, Waits::Word(at, _) if at == word);
            let count = turns.threads.iter().filter(|thread| waits(thread)).count();
            if count == 0 {
                break;
            }
            let which = if count == 1 { 0 } else { turns.random.below(count) };
            let mut waiting = turns.threads.iter_mut().filter(|thread| waits(thread));
            waiting.nth(which).expect("it was counted").waits = Waits::Nothing;
            woken += 1;
        }
        woken
    })
}

type Start = extern "C" fn(*mut c_void) -> *mut c_void;

struct Beginning {
    start: Start,
    argument: *mut c_void,
    place: usize,
}

extern "C" fn begin(beginning: *mut c_void) -> *mut c_void {
    // SAFETY: it was made for this thread by `create`, which has given it away.
    #[allow(unsafe_code)]
    let Beginning { start, argument, place } = *unsafe { Box::from_raw(beginning.cast()) };
    await_turn(place);
    ME.set(place);
    let result = start(argument);
    ME.set(NONE);
    let next = with(|turns| {
        turns.threads[place].end();
        for thread in &mut turns.threads {
            if thread.waits == Waits::Thread(place) {
                thread.waits = Waits::Nothing;
            }
        }
        turns.next()
    });
    match next {
        Some(next) => give_turn(next),
        None => super::wrong("the last thread that could go on has ended"),
    }
    result
}

type Create =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;
type Detach = unsafe extern "C" fn(pthread_t) -> c_int;
type Join = unsafe extern "C" fn(pthread_t, *mut *mut c_void) -> c_int;

/// A function of the C library that stands behind one of ours.
fn behind(name: &std::ffi::CStr) -> *mut c_void {
    // SAFETY: the name ends with a NUL.
    #[allow(unsafe_code)]
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!found.is_null(), "the C library has no {name:?}");
    found
}

/// Starts a thread, which takes part if the one that starts it does.
pub(super) fn create(
    handle: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: that is its type.
    #[allow(unsafe_code)]
    let real: Create = unsafe { std::mem::transmute(behind(c"pthread_create")) };
    let first = !takes_part() && turns().as_ref().is_some_and(|turns| turns.threads.is_empty());
    if !takes_part() && !first {
        // SAFETY: as the caller has given it.
        #[allow(unsafe_code)]
        return unsafe { real(handle, attributes, start, argument) };
    }
    let Some(place) = with(Turns::enter) else { return libc::EAGAIN };
    let beginning = Box::into_raw(Box::new(Beginning { start, argument, place }));
    // SAFETY: as the caller has given it, with a start of ours that takes the box.
    #[allow(unsafe_code)]
    let (error, made) = unsafe {
        let error = real(handle, attributes, begin, beginning.cast());
        (error, if error == 0 { *handle } else { 0 })
    };
    if error != 0 {
        super::wrong("the system gives no thread");
    }
    with(|turns| turns.threads[place].handle = made);
    if first {
        give_turn(place);
    }
    0
}

/// Waits for the end of a thread.
pub(super) fn join(handle: pthread_t, result: *mut *mut c_void) -> c_int {
    if takes_part()
        && let Some(place) = with(|turns| turns.of(handle))
    {
        if with(|turns| turns.threads[place].waits) != Waits::Ended {
            wait(Waits::Thread(place));
        }
        with(|turns| turns.threads[place].detach());
    }
    // SAFETY: that is its type; the handle is the caller's.
    #[allow(unsafe_code)]
    unsafe {
        let real: Join = std::mem::transmute(behind(c"pthread_join"));
        real(handle, result)
    }
}

/// Nobody will ask for the end of a thread.
pub(super) fn detach(handle: pthread_t) -> c_int {
    if takes_part() {
        with(|turns| {
            if let Some(place) = turns.of(handle) {
                turns.threads[place].detach();
            }
        });
    }
    // SAFETY: that is its type; the handle is the caller's.
    #[allow(unsafe_code)]
    unsafe {
        let real: Detach = std::mem::transmute(behind(c"pthread_detach"));
        real(handle)
    }
}

/// From here on the next thread that is started takes part, and all that it starts.
pub(super) fn take_turns(random: Random, now: u64, pace: u64) {
    *turns() = Some(Turns { threads: Vec::new(), random, now, pace });
}
