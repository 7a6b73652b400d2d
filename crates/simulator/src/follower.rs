//! What may be there at any moment, as the events of a process tell.

use embedded_db_engine::common::Durability;

use crate::disk::{Cut, Disk};
use crate::life::{How, OPENING};
use crate::log::{Event, Fate, Id};
use crate::operation::Operation;
use crate::random::Random;
use crate::scenario::{CutAt, Life, Then};
use crate::tally::Tally;
use crate::world::World;

/// Looks at the clock for which somebody who has something to do may have to wait for his turn.
const SLACK: u64 = 2_000;

/// What a power cut may bring back.
#[derive(Debug, Clone)]
pub(crate) struct Loose {
    worlds: Vec<World>,
    /// When something later was acknowledged.
    until: u64,
}

/// What there would be after a power cut.
pub(crate) struct Side {
    pub(crate) disk: Disk,
    pub(crate) possible: Vec<World>,
}

/// What a process has left.
pub(crate) struct Ended {
    pub(crate) disk: Disk,
    pub(crate) possible: Vec<World>,
    pub(crate) loose: Vec<Loose>,
    /// What a disk may show beside that, should it not tell the truth of the last write.
    pub(crate) without_last: Vec<World>,
}

/// With what a commit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Frame,
    MetaPage,
}

/// Follows what a process has done, event by event.
pub(crate) struct Follower<'l> {
    disk: Disk,
    possible: Vec<World>,
    life: &'l Life,
    /// The operation that has begun and was not answered.
    begun: Option<u32>,
    since: u32,
    loose: Vec<Loose>,
    now: u64,
    /// What the disk may show that did not write the last frame of a log, or the last meta page of a data
    /// file without one: nothing that was written later tells of it. Another that follows does, and was synced.
    without_last: Option<(Last, Vec<World>)>,
    /// What is loose stays so: nobody has opened it yet, or a synchronisation has failed.
    stays_loose: bool,
    /// Cuts that are still to come, and whether each is the last.
    cuts: Vec<(CutAt, bool)>,
    operation: u32,
}

impl<'l> Follower<'l> {
    pub(crate) fn new(disk: Disk, possible: Vec<World>, loose: Vec<Loose>, life: &'l Life) -> Self {
        let mut cuts: Vec<_> = life.cuts.iter().map(|cut| (*cut, false)).collect();
        if let Then::Cut(cut) = life.then {
            cuts.push((cut, true));
        }
        cuts.sort_by_key(|(cut, _)| std::cmp::Reverse((cut.operation, cut.events)));
        let (begun, since, now) = Default::default();
        let (operation, stays_loose) = (OPENING, true);
        let without_last = None;
        Self {
            disk,
            possible,
            life,
            begun,
            since,
            loose,
            now,
            without_last,
            stays_loose,
            cuts,
            operation,
        }
    }

    /// Goes on by one event; gives a cut that comes after it.
    pub(crate) fn step(&mut self, event: &Event<'_>, tally: &Tally) -> Option<(CutAt, bool)> {
        self.disk.apply(event);
        self.since += 1;
        match *event {
            Event::Begin(number) => {
                (self.begun, self.operation, self.since) = (Some(number), number, 0);
                tally.count("operations");
            }
            Event::Done(number) => {
                if let Some(operation) = self.find(number) {
                    self.loosen(number, operation);
                    for world in &mut self.possible {
                        let _refused = world.operate(number, operation);
                    }
                }
                self.begun = None;
            }
            Event::Refused(_) => self.begun = None,
            Event::Unknown(number) => {
                self.possible = self.outcomes(number);
                self.begun = None;
            }
            Event::Found(which) => {
                self.possible = vec![self.possible.swap_remove(which as usize)];
                self.loose.clear();
                self.stays_loose = false;
            }
            Event::Closed => self.loose.clear(),
            Event::Write { file, at, fate, .. }
                if fate != Fate::Kept || self.without_last.is_some() =>
            {
                let last = self.is_last(file, at);
                let is_relaxed = self.life.plan.how.durability == Durability::Relaxed;
                if fate != Fate::Kept {
                    self.without_last = last.map(|last| (last, self.left_by_a_cut()));
                } else if !is_relaxed {
                    self.without_last.take_if(|(lost, _)| last == Some(*lost));
                }
            }
            Event::Time(now) => {
                self.now = now;
                if !self.stays_loose {
                    let How { window, pace, .. } = self.life.plan.how;
                    let window = window * 1000 + SLACK * pace;
                    self.loose.retain(|loose| loose.until + window >= now);
                }
            }
            Event::Sync { failed: Some(_), .. } => self.stays_loose = true,
            Event::Fault(name) => tally.count(name),
            _ => {}
        }
        let (cut, _) = self.cuts.last()?;
        let due = (self.operation, self.since) >= (cut.operation, cut.events);
        if due { self.cuts.pop() } else { None }
    }

    /// With what a commit ends, if a write is that.
    fn is_last(&self, file: Id, at: u64) -> Option<Last> {
        let mut last = None;
        self.disk.names.each(&mut |path, named| {
            if named.id == file {
                last = match path.rsplit('/').next() {
                    Some("log.0" | "log.1") => Some(Last::Frame),
                    Some("data.mdb") if at < 8192 => Some(Last::MetaPage),
                    _ => None,
                };
            }
        });
        last
    }

    fn find(&self, number: u32) -> Option<&'l Operation> {
        let mut operations = self.life.plan.operations.iter();
        operations.find(|(known, _)| *known == number).map(|(_, operation)| operation)
    }

    fn outcomes(&self, number: u32) -> Vec<World> {
        let Some(operation) = self.find(number) else { return self.possible.clone() };
        let mut out: Vec<World> = Vec::new();
        for world in self.possible.iter().flat_map(|world| world.outcomes(number, operation)) {
            if !out.contains(&world) {
                out.push(world);
            }
        }
        out
    }

    /// With and without what was not answered.
    fn possible_now(&self) -> Vec<World> {
        self.begun.map_or_else(|| self.possible.clone(), |number| self.outcomes(number))
    }

    /// With `relaxed`, what is possible now is loose for a moment once this is acknowledged.
    fn loosen(&mut self, number: u32, operation: &Operation) {
        if let Operation::Wait = operation {
            // Time goes on whatever is lost.
            let loose = self.loose.iter_mut().flat_map(|loose| &mut loose.worlds);
            let shown = self.without_last.iter_mut().flat_map(|(_, worlds)| worlds);
            for world in loose.chain(shown) {
                let _time_passes = world.operate(number, operation);
            }
        } else if self.life.plan.how.durability == Durability::Relaxed {
            let worlds = self.outcomes(number);
            if worlds.len() > 1 {
                self.loose.push(Loose { worlds, until: self.now });
            }
        }
    }

    /// All events have come.
    pub(crate) fn end(self) -> Ended {
        let possible = self.possible_now();
        let Self { disk, loose, without_last, .. } = self;
        let without_last = without_last.map(|(_, worlds)| worlds).unwrap_or_default();
        Ended { disk, possible, loose, without_last }
    }

    /// What was acknowledged survives a power cut, but for what is loose.
    fn left_by_a_cut(&self) -> Vec<World> {
        let mut out = self.possible_now();
        let begun = self.begun.and_then(|number| Some((number, self.find(number)?)));
        for world in self.loose.iter().rev().flat_map(|loose| &loose.worlds) {
            let mut world = world.clone();
            if let Some((number, operation @ Operation::Wait)) = begun {
                let _time_passes = world.operate(number, operation);
            }
            if !out.contains(&world) {
                out.push(world);
            }
        }
        out
    }

    pub(crate) fn side(&self, cut: CutAt) -> Side {
        let disk = self.disk.after(Cut::any(Random::of(cut.number, 6)));
        Side { disk, possible: self.left_by_a_cut() }
    }
}
