//! What a seed stands for: lives of processes one after the other, what they do, what goes wrong.

use embedded_db_engine::common::{Durability, shortened};

use crate::faults::{Fault, Moment, Planned};
use crate::life::{How, Plan};
use crate::operation::Operation;
use crate::random::Random;

/// Bytes of an operation that are printed.
const LINE: usize = 400;

/// Everything that happens.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) lives: Vec<Life>,
}

/// One process, and what comes after it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) plan: Plan,
    pub(crate) faults: Vec<Planned>,
    /// Power cuts, of which it is looked what they would have left.
    pub(crate) cuts: Vec<CutAt>,
    pub(crate) then: Then,
    /// Decides all else.
    pub(crate) number: u64,
}

/// A power cut, so many events after an operation has begun, and how the disk was at work then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CutAt {
    pub(crate) operation: u32,
    pub(crate) events: u32,
    pub(crate) number: u64,
}

/// What the next process finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The system goes on.
    Same,
    /// The power was cut at that time, whatever the process did afterwards.
    Cut(CutAt),
    /// The machine was started again, in good order: nobody writes again what the disk did not write.
    Restart,
}

impl Scenario {
    /// That of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, 1);
        let durability = match random.weighted(&[1, 2, 5]) {
            0 => Durability::Memory,
            1 => Durability::Relaxed,
            _ => Durability::Durable,
        };
        // Whose vectors those of messages are is decided once, by who opens the database first.
        let models = !random.once_in(3);
        let count = 1 + random.below(3);
        let (mut lives, mut number) = (Vec::new(), 0);
        for place in 0..count {
            let last = place + 1 == count;
            lives.push(Life::any(&mut random, durability, models, &mut number, last));
        }
        Self { lives }
    }
}

impl Life {
    fn any(
        random: &mut Random,
        durability: Durability,
        models: bool,
        number: &mut u32,
        last: bool,
    ) -> Self {
        let count = if random.once_in(5) { 60 + random.below(100) } else { 8 + random.below(45) };
        let begin = *number + 1;
        let operations: Vec<_> = (0..count)
            .map(|_| {
                *number += 1;
                (*number, Operation::any(random))
            })
            .collect();
        let how = How {
            durability,
            models,
            live: random.once_in(2),
            map_size: random.choose(&[1 << 19, 1 << 20, 1 << 22, 1 << 30]),
            window: random.choose(&[100, 1_000, 10_000]),
            pace: random.choose(&[1_000, 1_000, 50_000, 2_000_000]),
            room: if random.once_in(10) { 20 << 20 } else { 1 << 40 },
        };
        let mut life = Self {
            plan: Plan { operations, how, closes: !random.once_in(4), is_read: random.once_in(3) },
            faults: Vec::new(),
            cuts: Vec::new(),
            then: Then::Same,
            number: random.next(),
        };
        let any_operation = |random: &mut Random| {
            if random.once_in(10) { 0 } else { begin + random.below(count) as u32 }
        };
        let cut = |random: &mut Random| CutAt {
            operation: any_operation(random),
            events: few_or_many(random, 24, 200),
            number: random.next(),
        };
        let planned = |random: &mut Random, fault| Planned {
            operation: any_operation(random),
            skip: few_or_many(random, 10, 60),
            fault,
        };
        match random.weighted(&[6, 4, 4, 3]) {
            // Nothing fails until the power is cut.
            0 => {}
            1 => {
                let moment = [Moment::Before, Moment::After, Moment::Within];
                let fault = Fault::Killed(random.choose(&moment));
                life.faults.push(planned(random, fault));
            }
            2 => {
                for _ in 0..1 + random.below(2) {
                    let fault = Fault::any_of_calls(random);
                    life.faults.push(planned(random, fault));
                }
                // A reader may take a file for cut off that nobody could lengthen.
                life.plan.is_read = false;
            }
            _ if last && durability != Durability::Memory => {
                // Late, so that it is not written over.
                let (fault, late) = (Fault::any_of_the_disk(random), random.below(count.min(12)));
                let operation = begin + (count - 1 - late) as u32;
                life.faults.push(Planned { operation, ..planned(random, fault) });
                (life.plan.closes, life.then) = (random.once_in(2), Then::Restart);
            }
            _ => {}
        }
        if durability != Durability::Memory && life.then == Then::Same {
            for _ in 0..1 + random.below(4) {
                life.cuts.push(cut(random));
            }
            if random.once_in(2) {
                life.then = Then::Cut(cut(random));
            }
        }
        life
    }
}

fn few_or_many(random: &mut Random, few: usize, many: usize) -> u32 {
    let end = if random.once_in(4) { many } else { few };
    random.below(end) as u32
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, Life { plan, faults, cuts, then, number }) in self.lives.iter().enumerate() {
            let end = if plan.closes { "closes it" } else { "is gone" };
            let beside = if plan.is_read { ", another reads" } else { "" };
            writeln!(f, "life {place} of {number}: {:?}{beside}, {end}, then {then:?}", plan.how)?;
            for (number, operation) in &plan.operations {
                writeln!(f, "  {number:>3} {}", shortened(&format!("{operation:?}"), LINE))?;
            }
            faults.iter().try_for_each(|fault| writeln!(f, "  {fault:?}"))?;
            cuts.iter().try_for_each(|cut| writeln!(f, "  {cut:?}"))?;
        }
        Ok(())
    }
}
