//! Faults that are planned, and when they happen.

use libc::{EDQUOT, EIO, EMFILE, ENOSPC, c_int};

use crate::log::Fate;
use crate::random::Random;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process ends: before the call, after it, or in the middle of a write.
    Killed(Moment),
    /// The call does nothing and fails.
    CallFails(c_int),
    /// Only the beginning is written.
    ShortWrite,
    /// A synchronisation fails: some of what it was for will never be on the disk.
    SyncFails,
    /// The disk does something else with a write than it was told.
    OfTheDisk(Fate),
    /// There is no room for anything new, for so many operations.
    Full { operations: u32 },
}

/// When a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
    Within,
}

/// A fault, at the call of its kind that follows so many others of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) operation: u32,
    pub(crate) skip: u32,
    pub(crate) fault: Fault,
}

/// What a program asks of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Write,
    /// A write that is on the disk when it returns.
    SyncedWrite,
    Sync,
    /// The length of a file, a name, a new file.
    Other,
    Open,
}

impl Fault {
    fn suits(self, asked: Asked) -> bool {
        let writes = matches!(asked, Asked::Write | Asked::SyncedWrite);
        match self {
            Self::Killed(_) => asked != Asked::Open,
            Self::CallFails(EMFILE) => asked == Asked::Open,
            Self::CallFails(ENOSPC | EDQUOT) => writes || asked == Asked::Other,
            Self::CallFails(_) => writes || matches!(asked, Asked::Other | Asked::Open),
            Self::ShortWrite | Self::OfTheDisk(_) => writes,
            Self::SyncFails => matches!(asked, Asked::Sync | Asked::SyncedWrite),
            Self::Full { .. } => writes || asked == Asked::Other,
        }
    }

    /// Whether nothing is missing but room.
    pub(crate) fn is_for_room(self) -> bool {
        matches!(self, Self::Full { .. } | Self::CallFails(ENOSPC | EDQUOT))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Killed(_) => "killed process",
            Self::CallFails(_) => "failing call",
            Self::ShortWrite => "short write",
            Self::SyncFails => "failing sync",
            Self::OfTheDisk(Fate::Lost) => "lost write",
            Self::OfTheDisk(Fate::Torn(_)) => "torn write",
            Self::OfTheDisk(_) => "misdirected write",
            Self::Full { .. } => "full disk",
        }
    }

    /// Of those that a process may live through.
    pub(crate) fn any_of_calls(random: &mut Random) -> Self {
        match random.weighted(&[4, 2, 4, 4]) {
            0 => Self::CallFails(random.choose(&[EIO, ENOSPC, EDQUOT, EMFILE])),
            1 => Self::ShortWrite,
            2 => Self::SyncFails,
            _ => Self::Full { operations: 1 + random.below(6) as u32 },
        }
    }

    /// Of those that show when the machine is started again.
    pub(crate) fn any_of_the_disk(random: &mut Random) -> Self {
        let number = random.next();
        Self::OfTheDisk(match random.below(3) {
            0 => Fate::Lost,
            1 => Fate::Torn(number),
            _ => Fate::Misdirected(number),
        })
    }
}

/// The faults of one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    planned: Vec<Planned>,
    /// How often each was passed over.
    passed: Vec<u32>,
    operation: u32,
    full_until: Option<u32>,
}

impl Faults {
    pub(crate) fn new(planned: Vec<Planned>) -> Self {
        let passed = vec![0; planned.len()];
        Self { planned, passed, operation: 0, full_until: None }
    }

    pub(crate) fn begin(&mut self, operation: u32) {
        self.operation = operation;
        if self.full_until.is_some_and(|until| until <= operation) {
            self.full_until = None;
        }
    }

    /// Whether there is no room now.
    pub(crate) fn is_full(&self) -> bool {
        self.full_until.is_some()
    }

    pub(crate) fn make_room(&mut self) {
        self.full_until = None;
    }

    /// The fault of a call, if it has one.
    pub(crate) fn meet(&mut self, asked: Asked) -> Option<Fault> {
        let due = |(planned, passed): (&Planned, &mut u32)| {
            let suits = planned.operation <= self.operation && planned.fault.suits(asked);
            if !suits {
                return false;
            }
            *passed += 1;
            *passed > planned.skip
        };
        let place = self.planned.iter().zip(&mut self.passed).position(due)?;
        self.passed.remove(place);
        let fault = self.planned.remove(place).fault;
        if let Fault::Full { operations } = fault {
            self.full_until = Some(self.operation + operations);
        }
        Some(fault)
    }
}
