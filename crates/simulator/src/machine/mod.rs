//! The machine on which a database runs: its files, its clock, its threads, its random numbers.
//!
//! This program defines the functions of the C library by which LMDB and Rust's standard library reach
//! the system (`replaced`). In a process for which a machine was started they go through it: what is
//! done to files below one directory is noted in a [log](crate::log) and may meet a planned fault; the
//! clock, the random numbers and who of the threads goes on come from a seed. Elsewhere they do as ever.

mod calls;
mod files;
mod maps;
mod raw;
mod replaced;
mod threads;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::files::VOLATILE;
use self::files::{Files, Open};
use crate::faults::{Asked, Fault, Faults};
use crate::inodes::Inodes;
use crate::log::{Event, Id, Log};
use crate::names::Names;
use crate::random::Random;

/// How a process ends that was to be killed.
pub(crate) const KILLED: i32 = 77;
/// How one ends that found something wrong.
pub(crate) const WRONG: i32 = 78;

/// The time of day at which every seed begins: microseconds since 1970.
const FIRST_DAY: i64 = 1_800_000_000_000_000;
const HOUR: i64 = 3_600_000_000;
/// The files of a generation that hold what is acknowledged.
const VITAL: [&str; 4] = ["/data.mdb", "/log.0", "/log.1", "/ckpt"];
/// Operations that may be acknowledged while somebody finds out that a synchronisation has failed which
/// they did not need.
const GRACE: u32 = 3;

/// What a machine is when a process of it begins.
pub(crate) struct Setup {
    pub(crate) log: Arc<Log>,
    /// Files below here are those of the machine.
    pub(crate) root: PathBuf,
    /// A file that tells the boot, in place of the system's.
    pub(crate) boot_file: PathBuf,
    /// How often it was started.
    pub(crate) boot: u64,
    pub(crate) process: i32,
    pub(crate) names: Names,
    pub(crate) inodes: Inodes,
    pub(crate) faults: Faults,
    pub(crate) random: Random,
    /// Seconds since the seed began, by the clock that is never set.
    pub(crate) seconds: u64,
    /// By how many hours the time of day was set forward.
    pub(crate) hours: i64,
    /// Nanoseconds that a look at the clock takes.
    pub(crate) pace: u64,
    /// Bytes that are free on the disk, unless it is full.
    pub(crate) room: u64,
}

struct Machine {
    log: Arc<Log>,
    files: Files,
    faults: Faults,
    random: Random,
    inodes: Inodes,
    boot_file: String,
    boot: u64,
    process: i32,
    /// Whether a fault has come to pass that calls can tell of.
    failed: bool,
    /// …and was not for lack of room alone.
    broken: bool,
    /// …and was not that the disk is full, which leaves the room that was kept.
    failed_otherwise: bool,
    vital: Vec<Id>,
    /// How many operations have begun since a file failed to be synced that holds what is acknowledged.
    poisoned: Option<u32>,
    room: u64,
}

static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);
static RUNS: AtomicBool = AtomicBool::new(false);
static SHIFT: AtomicI64 = AtomicI64::new(0);

fn machine() -> MutexGuard<'static, Option<Machine>> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<T>(act: impl FnOnce(&mut Machine) -> T) -> T {
    act(machine().as_mut().expect("a thread that takes part has a machine"))
}

/// Whether the calling thread is one of a machine.
fn is_simulated() -> bool {
    RUNS.load(Ordering::Relaxed) && threads::takes_part()
}

/// Runs `work` in a thread on a machine of its own, and never comes back: the process ends with it.
pub(crate) fn run(setup: Setup, work: impl FnOnce() + Send + 'static) -> ! {
    let Setup { log, root, boot_file, boot, process, names, inodes, faults, room, .. } = setup;
    let mut random = setup.random;
    let turns = Random::of(random.next(), 0);
    let text = |path: PathBuf| path.into_os_string().into_string().expect("we made the path");
    let files = Files::new(text(root), names);
    let boot_file = text(boot_file);
    let (failed, broken, failed_otherwise, vital, poisoned) = Default::default();
    *machine() = Some(Machine {
        log,
        files,
        faults,
        random,
        inodes,
        boot_file,
        boot,
        process,
        failed,
        broken,
        failed_otherwise,
        vital,
        poisoned,
        room,
    });
    set_clock(setup.hours);
    threads::take_turns(turns, (setup.seconds + 1) * 1_000_000_000, setup.pace);
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::force_capture();
        wrong(&format!("panic: {panic}\n{}", own_lines(&trace.to_string())));
    }));
    RUNS.store(true, Ordering::Release);
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        work();
        end();
    });
    drop(thread.map(std::thread::JoinHandle::join));
    raw::end(WRONG)
}

/// Where in our own sources it went wrong.
fn own_lines(trace: &str) -> String {
    let own = trace.lines().filter(|line| line.contains("crates/") && line.contains("  at "));
    own.take(24).collect::<Vec<_>>().join("\n")
}

/// Ends the process as it is.
pub(crate) fn end() -> ! {
    note_maps();
    raw::end(0)
}

/// Ends the process as if it had been killed.
pub(crate) fn die() -> ! {
    raw::end(KILLED)
}

/// Waits until another process has changed the word, or wakes this one.
pub(crate) fn wait_for_other(word: &AtomicU32, expected: u32) {
    raw::wait_while(word, expected, raw::Among::Processes);
}

/// Wakes another process that waits for the word.
pub(crate) fn wake_other(word: &AtomicU32) {
    raw::wake(word, raw::Among::Processes);
}

/// Waits until another process has ended.
pub(crate) fn await_end(process: i32) {
    raw::await_end(process);
}

/// Notes what is not as it must be, and ends the process.
pub(crate) fn wrong(what: &str) -> ! {
    // A thread that fails while it looks at the machine still has it.
    if let Ok(machine) = MACHINE.try_lock()
        && let Some(machine) = &*machine
    {
        machine.log.add(&Event::Wrong(what));
    }
    raw::end(WRONG)
}

/// Notes something.
pub(crate) fn note(event: &Event<'_>) {
    with(|machine| machine.log.add(event));
}

/// An operation begins.
pub(crate) fn begin(operation: u32) {
    with(|machine| {
        machine.note_time();
        machine.log.add(&Event::Begin(operation));
        machine.faults.begin(operation);
        machine.poisoned = machine.poisoned.map(|since| since + 1);
    });
}

/// An operation is acknowledged.
pub(crate) fn done(operation: u32) {
    with(|machine| {
        machine.note_time();
        machine.log.add(&Event::Done(operation));
    });
}

/// Notes what was stored into maps of files since it was last noted.
pub(crate) fn note_maps() {
    with(Machine::note_maps);
}

/// Sets the time of day so many hours behind that at which the seed began.
pub(crate) fn set_clock(hours: i64) {
    SHIFT.store(hours * HOUR, Ordering::Relaxed);
}

/// There is room on the disk again.
pub(crate) fn make_room() {
    with(|machine| machine.faults.make_room());
}

/// Whether a call has failed that was planned to.
pub(crate) fn has_failed() -> bool {
    with(|machine| machine.failed)
}

/// Whether one has in a way that more room does not mend.
pub(crate) fn has_broken() -> bool {
    with(|machine| machine.broken)
}

/// Whether nothing has failed but that the disk was full.
pub(crate) fn was_only_full() -> bool {
    with(|machine| machine.failed && !machine.failed_otherwise)
}

/// A database was opened in this directory below the root: when a file fails to be synced that holds what it
/// acknowledges, it must acknowledge nothing more.
pub(crate) fn opened(directory: &str) {
    with(|machine| {
        machine.poisoned = None;
        machine.vital.clear();
        let Machine { files, vital, .. } = machine;
        files.names.each(&mut |path, named| {
            let of_it = path.strip_prefix(directory).is_some_and(|rest| rest.starts_with("/gen-"));
            if of_it && VITAL.iter().any(|name| path.ends_with(name)) {
                vital.push(named.id);
            }
        });
    });
}

/// Whether nothing more may be acknowledged.
pub(crate) fn must_refuse() -> bool {
    with(|machine| machine.poisoned.is_some_and(|since| since > GRACE))
}

/// Nanoseconds since 1970, as the machine tells it.
fn time_of_day() -> i64 {
    let since = i64::try_from(threads::now()).unwrap_or(i64::MAX);
    (FIRST_DAY + SHIFT.load(Ordering::Relaxed)).saturating_mul(1000).saturating_add(since)
}

impl Machine {
    fn note_time(&self) {
        self.log.add(&Event::Time(threads::time()));
    }

    fn note_maps(&mut self) {
        let full = self.faults.is_full();
        let Self { log, files, .. } = self;
        files.each_stored_page(&mut |file, at, bytes, has_place| {
            if full && !has_place {
                log.add(&Event::Wrong(
                    "it was stored into a map of a file, where the disk has no room",
                ));
                raw::end(WRONG);
            }
            let fate = crate::log::Fate::Kept;
            log.add(&Event::Write { file, at, bytes, synced: false, fate });
        });
    }

    /// The fault of a call. A process that is to be killed before it does not come back. `needed`: whoever
    /// writes does not go on without it, though nothing be missing but room: LMDB without its last page, the
    /// log without a checkpoint, or the end of what it takes back.
    fn meet(&mut self, asked: Asked, needed: bool) -> Option<Fault> {
        let fault = self.faults.meet(asked)?;
        self.log.add(&Event::Fault(fault.name()));
        self.failed |= !matches!(fault, Fault::OfTheDisk(_));
        self.failed_otherwise |= !matches!(fault, Fault::Full { .. });
        self.broken |= self.failed && (!fault.is_for_room() || needed);
        if fault == Fault::Killed(crate::faults::Moment::Before) {
            self.kill();
        }
        Some(fault)
    }

    /// A file was not put onto the disk.
    fn fail_to_sync(&mut self, open: Open) {
        let id = open.id;
        self.files.failed_to_sync(open);
        let failed = Some(self.random.next());
        self.log.add(&Event::Sync { id, failed });
        if self.vital.contains(&id) {
            self.poisoned.get_or_insert(0);
        }
    }

    fn kill(&mut self) -> ! {
        self.note_maps();
        raw::end(KILLED)
    }
}
