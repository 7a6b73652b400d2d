//! The command: which seeds, and what is printed.

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use embedded_db_engine::common::shortened;

use crate::found;
use crate::history::Bench;
use crate::log::{Event, Events};
use crate::scenario::Scenario;
use crate::shrink::shrunk;
use crate::tally::Tally;

const USAGE: &str = "\
--seeds A..B    runs these seeds; of one that fails, what is left of it when everything that does not
                matter is taken away
--find A..B     runs them until one fails
--trace SEED    runs one, and prints everything that happens
--twice A..B    runs each of them twice: the same must happen, byte for byte
--found         runs what once went wrong
--jobs N        in so many processes at a time";

enum Command {
    Seeds(Range<u64>),
    Find(Range<u64>),
    Trace(u64),
    Twice(Range<u64>),
    Found,
}

/// Nobody may be there who reads it.
pub(crate) fn say(line: &str) {
    let _nobody_reads = writeln!(std::io::stdout().lock(), "{line}");
}

/// Large pieces of memory are of their own, and zeros from the begin on: LMDB asks for some that it
/// hardly uses.
fn set_up_memory() {
    // SAFETY: a setting of the C library, before anything is large.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let (command, jobs) = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            say(&format!("{error}\n{USAGE}"));
            return ExitCode::FAILURE;
        }
    };
    set_up_memory();
    let tally = Tally::new();
    let bench = || Bench::new(&tally);
    let share = |seeds: &Range<u64>, which| seeds.clone().filter(move |seed| seed % jobs == which);
    let failed = match command {
        Command::Seeds(seeds) => in_processes(jobs, |which| {
            bench().map(|mut bench| try_seeds(&mut bench, share(&seeds, which), &tally))
        }),
        Command::Find(seeds) => return find(&mut bench(), seeds),
        Command::Twice(seeds) => in_processes(jobs, |which| {
            bench().map(|mut bench| compare(&mut bench, share(&seeds, which), &tally))
        }),
        Command::Trace(seed) => bench().map(|mut bench| trace(&mut bench, seed)),
        Command::Found => bench().map(|mut bench| try_found(&mut bench)),
    };
    say(&tally.to_string());
    match failed {
        Ok(0) => ExitCode::SUCCESS,
        Ok(count) => {
            say(&format!("{count} failed"));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(Command, u64), String> {
    let (mut command, mut jobs) = (None, 1);
    while let Some(name) = arguments.next() {
        if name == "--found" {
            command = Some(Command::Found);
            continue;
        }
        let value =
            arguments.next().ok_or_else(|| format!("{name} is not known, or needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{value:?} is no number"));
        match name.as_str() {
            "--seeds" => command = Some(Command::Seeds(range(&value)?)),
            "--find" => command = Some(Command::Find(range(&value)?)),
            "--twice" => command = Some(Command::Twice(range(&value)?)),
            "--trace" => command = Some(Command::Trace(number()?)),
            "--jobs" => jobs = number()?.max(1),
            _ => return Err(format!("{name:?} is not known")),
        }
    }
    Ok((command.ok_or("what is to be done?")?, jobs))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..");
    let ends = ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.ok_or_else(|| format!("{text:?} is no range of seeds; write 0..100"))
}

/// Runs parts of the work in processes of their own, and adds up what they give.
fn in_processes(jobs: u64, work: impl Fn(u64) -> std::io::Result<u64>) -> std::io::Result<u64> {
    if jobs == 1 {
        return work(0);
    }
    let mut children = Vec::new();
    for which in 0..jobs {
        // SAFETY: this process has one thread.
        #[allow(unsafe_code)]
        match unsafe { libc::fork() } {
            0 => {
                let failed = work(which).unwrap_or(1).min(100);
                std::process::exit(failed as i32);
            }
            -1 => return Err(std::io::Error::last_os_error()),
            child => children.push(child),
        }
    }
    let mut failed = 0;
    for child in children {
        let mut status = 0;
        // SAFETY: the child is ours, the place for its status is there.
        #[allow(unsafe_code)]
        unsafe {
            libc::waitpid(child, &raw mut status, 0);
        }
        failed += if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) as u64 } else { 1 };
    }
    Ok(failed)
}

fn try_seeds(bench: &mut Bench<'_>, seeds: impl Iterator<Item = u64>, tally: &Tally) -> u64 {
    let mut failed = 0;
    for seed in seeds {
        tally.count("seeds");
        let scenario = Scenario::of(seed);
        if let Err(failure) = bench.run(&scenario) {
            failed += 1;
            say(&format!("seed {seed}, {failure}\n"));
            let (scenario, failure) = shrunk(bench, scenario, failure);
            say(&format!("seed {seed}, as little as it takes, {failure}\n{scenario}"));
        }
    }
    failed
}

/// Tells the first seed that fails, in one line.
fn find(bench: &mut std::io::Result<Bench<'_>>, mut seeds: Range<u64>) -> ExitCode {
    let Ok(bench) = bench else { return ExitCode::FAILURE };
    let found = seeds.find_map(|seed| Some((seed, bench.run(&Scenario::of(seed)).err()?)));
    match found {
        None => say("no seed fails"),
        Some((seed, failure)) => {
            let told = failure.to_string().replace('\n', " ");
            say(&format!("seed {seed}, {}", shortened(&told, 200)));
        }
    }
    ExitCode::SUCCESS
}

fn try_found(bench: &mut Bench<'_>) -> u64 {
    let mut failed = 0;
    for (name, scenarios) in found::all() {
        let wrong = scenarios.iter().find_map(|scenario| bench.run(scenario).err());
        failed += u64::from(wrong.is_some());
        let told = wrong.map_or("ok".to_owned(), |failure| failure.to_string());
        say(&format!("{name}: {told}"));
    }
    failed
}

/// Whether the same happens, byte for byte, when a seed is run again.
fn compare(bench: &mut Bench<'_>, seeds: impl Iterator<Item = u64>, tally: &Tally) -> u64 {
    bench.keeps = true;
    let mut failed = 0;
    for seed in seeds {
        tally.count("seeds");
        let scenario = Scenario::of(seed);
        let [first, second] = [(); 2].map(|()| {
            bench.kept.clear();
            let outcome = bench.run(&scenario).map_err(|failure| failure.what);
            (outcome, std::mem::take(&mut bench.kept))
        });
        if first != second {
            failed += 1;
            say(&format!("seed {seed}: another history\n{}", difference(&first.1, &second.1)));
        }
    }
    failed
}

/// The last events that two histories have in common, and the first that they have not.
fn difference(one: &[u8], two: &[u8]) -> String {
    let (mut before, mut one, mut two) = (Vec::new(), Events(one), Events(two));
    let show = |event: Option<Event<'_>>| event.map_or("the end".to_owned(), |it| it.to_string());
    loop {
        match (one.next(), two.next()) {
            (Some(first), Some(second)) if first == second => before.push(first.to_string()),
            (first, second) => {
                let last = before.len().saturating_sub(6);
                let before = before[last..].join("\n");
                let at = match (first, second) {
                    (
                        Some(Event::Write { bytes: one, .. }),
                        Some(Event::Write { bytes: two, .. }),
                    ) => one.iter().zip(two).position(|(one, two)| one != two),
                    _ => None,
                };
                let (first, second) = (show(first), show(second));
                return format!("{before}\n< {first}\n> {second}\nother bytes from {at:?} on");
            }
        }
    }
}

fn trace(bench: &mut Bench<'_>, seed: u64) -> u64 {
    let scenario = Scenario::of(seed);
    say(&scenario.to_string());
    bench.prints = true;
    match bench.run(&scenario) {
        Ok(()) => 0,
        Err(failure) => {
            say(&failure.to_string());
            1
        }
    }
}
