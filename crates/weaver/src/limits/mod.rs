//! Limits of model functions: what a minute and a day may take.
//!
//! [`Limited`] stands before every call, whoever makes it, and refuses one that would pass a limit. What a
//! minute has seen is in memory; what a day has cost is on the disk before the call is made, so that no end of
//! the process or of the machine forgets it. A call that fails has counted: its server may charge for it.

mod ledger;
mod limited;
mod window;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use embedded_db_common::clock::{self, Micros};
use embedded_db_common::{Error, ModelLimit, ModelLimits, Result};
use embedded_db_indexing::graph::Artefact;

pub use ledger::Payer;
pub use limited::Limited;

use ledger::{DAY, Ledger};
use window::{Amount, Window};

/// The clock may be set while work waits for the next day.
const LONGEST_LOOK_AWAY: Duration = Duration::from_secs(30);

/// A model function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// It embeds.
    Embedding,
    /// It finds entities.
    Entities,
    /// It summarises.
    Summary,
}

impl Function {
    const ALL: [Self; 3] = [Self::Embedding, Self::Entities, Self::Summary];

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Entities => "entities",
            Self::Summary => "summary",
        }
    }

    /// The function that makes an artefact, if one does.
    pub(crate) fn of(artefact: Artefact) -> Option<Self> {
        match artefact {
            Artefact::Embedding | Artefact::Reembedding => Some(Self::Embedding),
            Artefact::Entities => Some(Self::Entities),
            Artefact::Summary => Some(Self::Summary),
            Artefact::Links
            | Artefact::Topics
            | Artefact::Resolution
            | Artefact::Curiosity
            | Artefact::Decisions => None,
        }
    }
}

/// For whom a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// For work that can wait. It leaves a tenth of what embedding may take to queries.
    Weaver,
    /// For somebody who waits for the answer.
    Query,
}

/// How a function stands to its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitStatus {
    /// Which.
    pub function: Function,
    /// Calls in the last sixty seconds.
    pub calls: u64,
    /// Texts in the last sixty seconds.
    pub texts: u64,
    /// Characters in the last sixty seconds.
    pub characters: u64,
    /// What this day of UTC has cost.
    pub cost_today: f64,
    /// Which limit its work waits for, and until when.
    pub waits: Option<(&'static str, Micros)>,
}

/// The limits of all functions, and what was taken.
pub struct Limits {
    of: [ModelLimit; 3],
    payer: Payer,
    state: Mutex<State>,
}

struct State {
    windows: [Window; 3],
    ledger: Ledger,
    waits: [Option<Wait>; 3],
}

/// Work of the weaver that was refused.
#[derive(Debug, Clone, Copy)]
struct Wait {
    limit: &'static str,
    until: Micros,
    look_again: Instant,
}

/// What was taken, or is wanted, against an option.
struct Measured {
    option: &'static str,
    most: f64,
    used: f64,
    wanted: f64,
}

impl Limits {
    /// The limits of a database in a directory; `None` of one that is open for reading, which cannot keep
    /// what is spent.
    ///
    /// # Errors
    ///
    /// `StorageError` and `StorageFull`, when what was spent cannot be read or kept.
    pub fn open(limits: &ModelLimits, payer: Payer, directory: Option<&Path>) -> Result<Self> {
        let of = [limits.embedding, limits.entities, limits.summary];
        let priced = of.iter().any(|limit| limit.cost_per_1k_characters > 0.0);
        let ledger = match directory.filter(|_| priced) {
            Some(directory) => Ledger::open(directory, payer)?,
            None => Ledger::in_memory(),
        };
        let state = State { windows: Default::default(), ledger, waits: [None; 3] };
        Ok(Self { of, payer, state: Mutex::new(state) })
    }

    /// What is spent is kept in a directory from now on, and counts with what was spent there.
    pub fn keep_in(&self, directory: &Path) -> Result<()> {
        if self.of.iter().any(|limit| limit.cost_per_1k_characters > 0.0) {
            self.state().ledger = Ledger::open(directory, self.payer)?;
        }
        Ok(())
    }

    /// How each function that has limits stands to them.
    pub fn status(&self) -> Vec<LimitStatus> {
        let now = Instant::now();
        let mut state = self.state();
        let today = state.ledger.today(clock::now());
        let limited = Function::ALL.into_iter().filter(|function| self.is_limited(*function));
        limited
            .map(|function| {
                let used = state.windows[function as usize].used(now);
                let wait = state.waits[function as usize].filter(|wait| wait.look_again > now);
                LimitStatus {
                    function,
                    calls: used.calls,
                    texts: used.texts,
                    characters: used.characters,
                    cost_today: today[function as usize],
                    waits: wait.map(|wait| (wait.limit, wait.until)),
                }
            })
            .collect()
    }

    fn is_limited(&self, function: Function) -> bool {
        self.of[function as usize] != ModelLimit::default()
    }

    /// Whether the weaver's work with a function waits for a limit.
    pub(crate) fn holds(&self, function: Function) -> bool {
        let mut state = self.state();
        let wait = &mut state.waits[function as usize];
        *wait = wait.filter(|wait| wait.look_again > Instant::now());
        wait.is_some()
    }

    /// When work that waits is to be looked at again.
    pub(crate) fn look_again(&self) -> Option<Instant> {
        self.state().waits.iter().flatten().map(|wait| wait.look_again).min()
    }

    /// Counts one call of each function before it is made, or none of them.
    fn take(&self, wanted: &[(Function, Amount)], caller: Caller) -> Result<()> {
        let now = Instant::now();
        let mut state = self.state();
        for (function, amount) in wanted {
            self.check(&mut state, *function, *amount, caller, now)?;
        }
        let mut costs = [0.0; 3];
        for (function, amount) in wanted {
            costs[*function as usize] = self.cost(*function, *amount);
        }
        if costs != [0.0; 3] {
            state.ledger.spend(costs, clock::now())?;
        }
        for (function, amount) in wanted {
            if self.is_limited(*function) {
                state.windows[*function as usize].take(now, *amount);
            }
        }
        Ok(())
    }

    fn cost(&self, function: Function, amount: Amount) -> f64 {
        amount.characters as f64 / 1000.0 * self.of[function as usize].cost_per_1k_characters
    }

    /// Whether a call may be made now. What would pass a limit by itself is `InvalidInput`: it never may.
    fn check(
        &self,
        state: &mut State,
        function: Function,
        wanted: Amount,
        caller: Caller,
        now: Instant,
    ) -> Result<()> {
        let limit = &self.of[function as usize];
        let left_to_queries = match (caller, function) {
            (Caller::Weaver, Function::Embedding) => 0.1,
            _ => 0.0,
        };
        let window = &mut state.windows[function as usize];
        let used = window.used(now);
        type Part = fn(&Amount) -> u64;
        let rates: [(_, _, Part); 3] = [
            ("calls_per_minute", limit.calls_per_minute, |amount| amount.calls),
            ("texts_per_minute", limit.texts_per_minute, |amount| amount.texts),
            ("characters_per_minute", limit.characters_per_minute, |amount| amount.characters),
        ];
        for (option, most, part) in rates {
            let Some(most) = most else { continue };
            let allowed = most - (most as f64 * left_to_queries) as u64;
            let (used, wanted) = (part(&used), part(&wanted));
            let measured =
                Measured { option, most: most as f64, used: used as f64, wanted: wanted as f64 };
            if wanted > allowed {
                return Err(measured.never(function));
            }
            if used + wanted > allowed {
                let free = window.has_room_at(now, part, wanted, allowed);
                return Err(state.refuse(function, &measured, free - now, caller, now));
            }
        }
        let (Some(most), cost) = (limit.max_cost_per_day, self.cost(function, wanted)) else {
            return Ok(());
        };
        if !state.ledger.is_kept() {
            return Err(Error::ModelUnavailable {
                message:
                    "a text is embedded within max_cost_per_day by the process that writes, which \
                          counts what is spent; give a vector, or set no max_cost_per_day here"
                        .into(),
            });
        }
        let clock = clock::now();
        let used = state.ledger.today(clock)[function as usize];
        let measured = Measured { option: "max_cost_per_day", most, used, wanted: cost };
        let allowed = most * (1.0 - left_to_queries);
        if cost > allowed {
            return Err(measured.never(function));
        }
        if used + cost > allowed {
            let left = DAY - clock.rem_euclid(DAY);
            let left = Duration::from_micros(left.unsigned_abs());
            return Err(state.refuse(function, &measured, left, caller, now));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The error of a call that may be made after some time; the weaver's work waits so long.
    fn refuse(
        &mut self,
        function: Function,
        measured: &Measured,
        after: Duration,
        caller: Caller,
        now: Instant,
    ) -> Error {
        let until = clock::now().saturating_add(i64::try_from(after.as_micros()).unwrap_or(DAY));
        let Measured { option, most, used, .. } = *measured;
        if caller == Caller::Weaver {
            let look_again = now + after.min(LONGEST_LOOK_AWAY);
            self.waits[function as usize] = Some(Wait { limit: option, until, look_again });
        }
        Error::LimitReached { function: function.name(), limit: option, most, used, until }
    }
}

impl Measured {
    fn never(&self, function: Function) -> Error {
        let (name, Self { option, most, wanted, .. }) = (function.name(), self);
        Error::InvalidInput(format!(
            "one call of the {name} function would take {wanted} of its {option}={most}, more than it may at \
             once; raise the limit, or give it a shorter text"
        ))
    }
}

/// What one call of the weaver's may hold: it is asked text by text.
pub(crate) struct Grant<'a> {
    limits: Option<&'a Limits>,
    taken: [Amount; 3],
    is_full: [bool; 3],
}

impl<'a> Grant<'a> {
    pub(crate) fn new(limits: Option<&'a Limits>) -> Self {
        Self { limits, taken: Default::default(), is_full: [false; 3] }
    }

    /// Whether a text may be in the call; it fails for one that may be in none.
    pub(crate) fn take(&mut self, function: Function, text: &str) -> Result<bool> {
        let Some(limits) = self.limits.filter(|limits| limits.is_limited(function)) else {
            return Ok(true);
        };
        if self.is_full[function as usize] {
            return Ok(false);
        }
        let taken = self.taken[function as usize];
        let wanted = taken.with(text);
        let mut state = limits.state();
        match limits.check(&mut state, function, wanted, Caller::Weaver, Instant::now()) {
            Ok(()) => {
                self.taken[function as usize] = wanted;
                return Ok(true);
            }
            // It waits only when nothing more goes at all.
            Err(_) if taken.texts > 0 => state.waits[function as usize] = None,
            Err(Error::LimitReached { .. }) => {}
            Err(never) => return Err(never),
        }
        self.is_full[function as usize] = true;
        Ok(false)
    }
}
