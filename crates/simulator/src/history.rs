//! A seed's history as it happens: processes are forked, what they did is followed on a disk of our own,
//! and whatever the disk may hold is looked at by a process that opens it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Cut, Disk};
use crate::faults::{Faults, Planned};
use crate::follower::{Ended, Follower, Loose, Side};
use crate::inodes::Inodes;
use crate::life::{self, How, Plan};
use crate::log::{Event, Log};
use crate::logged::Watch;
use crate::machine::{self, KILLED, Setup};
use crate::operation::Operation;
use crate::random::Random;
use crate::reader::Mailbox;
use crate::runner::say;
use crate::scenario::{Life, Scenario, Then};
use crate::tally::Tally;
use crate::world::World;

/// A process that takes so many seconds hangs.
const PATIENCE: u32 = 60;

/// What was not as it must be.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Which life, and what was looked at.
    pub(crate) place: String,
    pub(crate) what: String,
}

impl Failure {
    /// Whether it begins as another.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let begin = |failure: &Self| failure.what.chars().take(12).collect::<String>();
        begin(self) == begin(other)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A place for the files of simulated machines, and the log of their processes.
pub(crate) struct Bench<'t> {
    base: PathBuf,
    log: Arc<Log>,
    /// That of a process that only reads.
    beside: Arc<Log>,
    mailbox: Mailbox,
    /// Of the machine, and of those that were cut off from it.
    inodes: [Inodes; 2],
    tally: &'t Tally,
    /// Whether all that happened is kept, so that two runs can be compared.
    pub(crate) keeps: bool,
    pub(crate) kept: Vec<u8>,
    /// Whether it is printed.
    pub(crate) prints: bool,
}

impl<'t> Bench<'t> {
    pub(crate) fn new(tally: &'t Tally) -> std::io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let base = place.join(format!("embedded-db-simulator-{}", std::process::id()));
        std::fs::create_dir_all(&base)?;
        Ok(Self {
            base,
            log: Arc::new(Log::new()),
            beside: Arc::new(Log::new()),
            mailbox: Mailbox::new(),
            inodes: [Inodes::new(), Inodes::new()],
            tally,
            keeps: false,
            kept: Vec::new(),
            prints: false,
        })
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // At worst something stays in memory until the next start of the machine.
        drop(std::fs::remove_dir_all(&self.base));
    }
}

/// What is known between two processes.
#[derive(Clone)]
struct History {
    disk: Disk,
    inodes: Inodes,
    possible: Vec<World>,
    /// What was possible before, and may be again after a power cut, the oldest first.
    loose: Vec<Loose>,
    boot: u64,
    seconds: u64,
    processes: i32,
}

impl Bench<'_> {
    /// Runs a scenario; `Err` when something is not as it must be.
    pub(crate) fn run(&mut self, scenario: &Scenario) -> Result<(), Failure> {
        let root = self.base.join("disk");
        let mut history = History {
            disk: Disk::default(),
            inodes: self.inodes[0],
            possible: vec![World::default()],
            loose: Vec::new(),
            boot: 1,
            seconds: 0,
            processes: 1000,
        };
        history.put(&root)?;
        for (place, life) in scenario.lives.iter().enumerate() {
            self.live(&mut history, life, &root).map_err(|failure| Failure {
                place: format!("life {place}{}", failure.place),
                ..failure
            })?;
        }
        Ok(())
    }

    fn live(&mut self, history: &mut History, life: &Life, root: &Path) -> Result<(), Failure> {
        let (plan, possible) = (life.plan.clone(), history.possible.clone());
        let (at, faults) = (root.to_owned(), life.faults.clone());
        let mailbox = self.mailbox;
        let (how, is_read) = (life.plan.how, life.plan.is_read);
        let begun = Begun { root, faults, number: life.number, how, is_read };
        let status = self.process(history, begun, move || {
            life::live(at, plan, possible, mailbox);
        });
        self.print("a life", &history.disk);
        self.judge(status)?;
        let mut watch = Watch::new(&history.disk, self.tally);
        let mut follower = Follower::new(
            history.disk.clone(),
            history.possible.clone(),
            history.loose.clone(),
            life,
        );
        let mut sides = Vec::new();
        let mut next = None;
        for event in self.log.events() {
            watch.step(&event);
            if let Some((cut, is_last)) = follower.step(&event, self.tally) {
                watch.cut();
                let side = follower.side(cut);
                if is_last {
                    next = Some(side);
                } else {
                    sides.push(side);
                }
            }
        }
        if self.keeps {
            self.kept.extend_from_slice(self.log.bytes());
        }
        let Ended { disk, mut possible, loose, without_last } = follower.end();
        if life.then == Then::Restart && !life.plan.closes {
            possible.extend(without_last);
        }
        if let Some(difference) = disk.difference(root) {
            return Err(failure(format!("the simulation misses something: {difference}")));
        }
        self.tally.count("lives");
        let after = History { disk, possible, loose, ..*history };
        for (place, side) in sides.into_iter().enumerate() {
            let at = self.base.join("side");
            let at_side = format!(", cut {place}");
            self.look(&at, side, history, how, life.number ^ place as u64)
                .map_err(|failure| Failure { place: at_side, ..failure })?;
        }
        *history = after;
        match (life.then, next) {
            (Then::Cut(_), Some(side)) => {
                (history.disk, history.possible) = (side.disk, side.possible);
                history.loose.clear();
                history.boot += 1;
                history.put(root)?;
            }
            (Then::Restart, _) => {
                self.tally.count("restarts after a fault of the disk");
                // What was closed is on the disk; of what is in use the system writes the rest.
                let closed = life.plan.closes;
                let cut =
                    if closed { Cut::any(Random::of(life.number, 3)) } else { Cut::nothing() };
                history.disk = history.disk.after(cut);
                history.boot += 1;
                history.put(root)?;
                self.look_at_damage(history, root, how, life.number)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Opens what a power cut has left, does something, and closes it.
    fn look(
        &self,
        root: &Path,
        side: Side,
        history: &mut History,
        how: How,
        number: u64,
    ) -> Result<(), Failure> {
        let mut random = Random::of(number, 4);
        let how = How { live: random.once_in(2), models: how.models && random.once_in(3), ..how };
        let numbers = (1_000_000..).map(|number| (number, Operation::any(&mut random)));
        let mut operations: Vec<_> = numbers.take(3).collect();
        operations.push((1_000_003, Operation::Copies));
        operations.push((1_000_004, Operation::Drain));
        let plan = Plan { operations, how, closes: true, is_read: false };
        let (at, possible) = (root.to_owned(), side.possible);
        let (disk, loose, inodes) = (side.disk, Vec::new(), self.inodes[1]);
        let mut there = History { disk, inodes, loose, possible: possible.clone(), ..*history };
        there.boot += 1;
        there.put(root)?;
        let mailbox = self.mailbox;
        let status = self.process(&mut there, Begun::quiet(root, number, how), move || {
            life::live(at, plan, possible, mailbox);
        });
        (history.processes, history.seconds) = (there.processes, there.seconds);
        let mut watch = Watch::new(&there.disk, self.tally);
        self.log.events().for_each(|event| watch.step(&event));
        self.print("a look at what a power cut left", &there.disk);
        self.judge(status)
    }

    /// Reads what a disk has made of what it was told: right, or told to be damaged.
    fn look_at_damage(
        &self,
        history: &mut History,
        root: &Path,
        how: How,
        number: u64,
    ) -> Result<(), Failure> {
        let (at, possible) = (root.to_owned(), history.possible.clone());
        let status = self.process(history, Begun::quiet(root, number, how), move || {
            crate::damage::look(&at, how, &possible);
        });
        self.print("a look at what the disk made of it", &history.disk);
        self.judge(status)?;
        let told = self.log.events().any(|event| event == Event::Note(crate::damage::TOLD));
        if told {
            self.tally.count("of which told");
        }
        Ok(())
    }

    /// Forks a process of the machine, and waits for its end; with `reads`, another one beside it.
    fn process(
        &self,
        history: &mut History,
        begun: Begun<'_>,
        work: impl FnOnce() + Send + 'static,
    ) -> libc::c_int {
        let Begun { root, faults, number, how, is_read } = begun;
        self.log.clear();
        self.beside.clear();
        self.mailbox.clear();
        history.processes += 2;
        history.seconds += 60;
        let boot_file = self.base.join("boot");
        let boot = format!("{:08x}-0000-4000-8000-000000000000\n", history.boot);
        if let Err(error) = std::fs::write(&boot_file, boot) {
            self.log.add(&Event::Wrong(&format!("the boot cannot be told: {error}")));
        }
        let setup = |log: &Arc<Log>, which| Setup {
            log: Arc::clone(log),
            root: root.to_owned(),
            boot_file: boot_file.clone(),
            boot: history.boot,
            process: history.processes + which,
            names: history.disk.names.clone(),
            inodes: history.inodes,
            faults: Faults::default(),
            random: Random::of(number, 5 + which as u64),
            seconds: history.seconds,
            hours: history.possible.iter().map(|world| world.hours).max().unwrap_or(0),
            pace: how.pace,
            room: how.room,
        };
        let mailbox = self.mailbox;
        let reader = is_read.then(|| {
            let at = root.to_owned();
            // It changes no file: whatever it does is as it is.
            let setup = Setup { root: PathBuf::from("/nowhere"), ..setup(&self.beside, 1) };
            fork(setup, move || mailbox.answer(&at, how))
        });
        if let Some(reader) = reader {
            mailbox.begin(reader);
        }
        let writer = fork(Setup { faults: Faults::new(faults), ..setup(&self.log, 0) }, work);
        let status = wait(writer);
        if let Some(reader) = reader {
            // SAFETY: the child is ours, and was not waited for.
            #[allow(unsafe_code)]
            unsafe {
                libc::kill(reader, libc::SIGKILL);
            }
            wait(reader);
        }
        status
    }

    /// What has happened, with the names that files had when it began.
    fn print(&self, what: &str, disk: &Disk) {
        if !self.prints {
            return;
        }
        say(&format!("{what}:"));
        disk.names.each(&mut |path, named| say(&format!("    {} is {path}", named.id)));
        self.log.events().for_each(|event| say(&format!("    {event}")));
    }

    fn judge(&self, status: libc::c_int) -> Result<(), Failure> {
        let wrong = self.beside.events().chain(self.log.events()).find_map(|event| match event {
            Event::Wrong(what) => Some(what.to_owned()),
            _ => None,
        });
        if let Some(what) = wrong {
            return Err(failure(what));
        }
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            return Err(failure(format!("the process died by the signal {signal}")));
        }
        match libc::WEXITSTATUS(status) {
            0 | KILLED => Ok(()),
            other => Err(failure(format!("the process ended with {other}"))),
        }
    }
}

/// A process that begins.
struct Begun<'r> {
    root: &'r Path,
    faults: Vec<Planned>,
    /// Decides what nothing else does.
    number: u64,
    how: How,
    /// Whether another reads beside it.
    is_read: bool,
}

impl<'r> Begun<'r> {
    /// One that nothing disturbs.
    fn quiet(root: &'r Path, number: u64, how: How) -> Self {
        Self { root, faults: Vec::new(), number, how, is_read: false }
    }
}

/// Forks a process of a machine.
fn fork(setup: Setup, work: impl FnOnce() + Send + 'static) -> libc::pid_t {
    // SAFETY: this process has one thread.
    #[allow(unsafe_code)]
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the set of processors is there; no other memory is involved.
        #[allow(unsafe_code)]
        unsafe {
            libc::alarm(PATIENCE);
            // Its threads take turns: on one processor they hand over the quickest.
            let mut one = std::mem::zeroed();
            libc::CPU_SET(usize::try_from(libc::sched_getcpu()).unwrap_or(0), &mut one);
            libc::sched_setaffinity(0, size_of_val(&one), &raw const one);
        }
        machine::run(setup, work);
    }
    child
}

/// Waits for the end of a process; how it ended.
fn wait(child: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    // SAFETY: the child is ours, the place for its status is there.
    #[allow(unsafe_code)]
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "a child that was forked can be waited for");
    status
}

fn failure(what: String) -> Failure {
    Failure { place: String::new(), what }
}

impl History {
    fn put(&self, root: &Path) -> Result<(), Failure> {
        let failed = |error| failure(format!("the files cannot be put into {root:?}: {error}"));
        self.disk.put(root, self.inodes).map_err(failed)
    }
}
