//! What this day has cost, in a file that outlives the process and the machine.
//!
//! Two places are written in turns, each a sector of its own: when the power is cut during a write, the other
//! holds what was spent before a call that was not made. The functions of the model before have two of their own.

use std::path::Path;

use embedded_db_common::Result;
use embedded_db_common::clock::Micros;
use embedded_db_common::record::{Cursor, Damaged};
use embedded_db_storage::SideFile;

/// The file in the directory of the database.
const FILE: &str = "spent";
/// Microseconds of a day.
pub(super) const DAY: Micros = 86_400_000_000;
/// Days by which a clock may be set back that was right before.
const SET_BACK: i64 = 2;
/// Distance of the two places.
const SECTOR: usize = 4096;

/// What each function has cost on one day.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Spent {
    /// How often it was written.
    turn: u64,
    /// The day, counted from 1970-01-01 UTC.
    day: i64,
    costs: [f64; 3],
}

/// Whose costs they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// The models of a database.
    Models,
    /// That of its space in use, while it is changed.
    Previous,
}

impl Payer {
    /// The first of its places.
    fn first(self) -> usize {
        match self {
            Self::Models => 0,
            Self::Previous => 2 * SECTOR,
        }
    }
}

pub(super) struct Ledger {
    file: Option<SideFile>,
    payer: Payer,
    spent: Spent,
}

impl Ledger {
    pub(super) fn in_memory() -> Self {
        Self { file: None, payer: Payer::Models, spent: Spent::default() }
    }

    pub(super) fn open(directory: &Path, payer: Payer) -> Result<Self> {
        let (file, bytes) = SideFile::open(&directory.join(FILE))?;
        file.keep_name()?;
        let first = payer.first();
        let places = [first, first + SECTOR].map(|at| parse(bytes.get(at..).unwrap_or_default()));
        // None is whole in a file whose first write was cut, before any call.
        let newest = places.into_iter().flatten().max_by_key(|spent| spent.turn);
        Ok(Self { file: Some(file), payer, spent: newest.unwrap_or_default() })
    }

    /// Whether what is spent outlives this process.
    pub(super) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// What this day has cost.
    pub(super) fn today(&self, now: Micros) -> [f64; 3] {
        self.on(now).costs
    }

    /// Adds to it, and returns when it is kept. When it cannot be kept nothing was added.
    pub(super) fn spend(&mut self, costs: [f64; 3], now: Micros) -> Result<()> {
        let mut spent = self.on(now);
        spent.turn += 1;
        for (sum, cost) in spent.costs.iter_mut().zip(costs) {
            *sum += cost;
        }
        if let Some(file) = &self.file {
            let at = self.payer.first() as u64 + (spent.turn % 2) * SECTOR as u64;
            file.keep(at, &bytes(&spent))?;
        }
        self.spent = spent;
        Ok(())
    }

    /// A new day begins at nothing. A clock that was set back begins none: what was spent stays, and so does the day,
    /// which would begin anew when the clock is right again; unless it was a wrong one, far ahead.
    fn on(&self, now: Micros) -> Spent {
        let (day, known) = (now.div_euclid(DAY), self.spent.day);
        let costs = if day > known { [0.0; 3] } else { self.spent.costs };
        let day = if (day..=day + SET_BACK).contains(&known) { known } else { day };
        Spent { turn: self.spent.turn, day, costs }
    }
}

fn bytes(spent: &Spent) -> Vec<u8> {
    let mut bytes = spent.turn.to_le_bytes().to_vec();
    bytes.extend(spent.day.to_le_bytes());
    bytes.extend(spent.costs.iter().flat_map(|cost| cost.to_le_bytes()));
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> std::result::Result<Spent, Damaged> {
    let mut cursor = Cursor::new(bytes);
    let turn = cursor.u64()?;
    let day = cursor.i64()?;
    let mut costs = [0.0; 3];
    for cost in &mut costs {
        *cost = cursor.f64()?;
    }
    let length = bytes.len().saturating_sub(cursor.rest().len());
    let sum = crc32c::crc32c(bytes.get(..length).unwrap_or_default());
    let is_whole = cursor.u32()? == sum && costs.iter().all(|cost| *cost >= 0.0);
    if is_whole { Ok(Spent { turn, day, costs }) } else { Err(Damaged("is no sum")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Micros = 20_000 * DAY + DAY / 2;

    #[test]
    fn what_was_spent_is_known_by_the_next_process_until_the_day_ends() {
        let home = tempfile::tempdir().unwrap();
        let open = || Ledger::open(home.path(), Payer::Models).unwrap();
        let mut ledger = open();
        for _ in 0..3 {
            ledger.spend([1.0, 0.0, 0.5], NOON).unwrap();
        }
        drop(ledger);
        let mut ledger = open();
        assert_eq!(ledger.today(NOON), [3.0, 0.0, 1.5]);
        assert_eq!(ledger.today(NOON + DAY), [0.0; 3]);
        assert_eq!(ledger.today(NOON - DAY), [3.0, 0.0, 1.5], "a clock that was set back");
        ledger.spend([1.0, 0.0, 0.0], NOON - DAY).unwrap();
        assert_eq!(open().today(NOON - DAY), [4.0, 0.0, 1.5]);
        assert_eq!(open().today(NOON), [4.0, 0.0, 1.5], "and is right again");
        ledger.spend([1.0, 0.0, 0.0], NOON + DAY).unwrap();
        assert_eq!(open().today(NOON + DAY), [1.0, 0.0, 0.0]);
        // One that was a year ahead does not hold up the work for a year.
        ledger.spend([2.0, 0.0, 0.0], NOON + 365 * DAY).unwrap();
        ledger.spend([1.0, 0.0, 0.0], NOON + DAY).unwrap();
        assert_eq!(open().today(NOON + DAY), [3.0, 0.0, 0.0]);
        assert_eq!(open().today(NOON + 2 * DAY), [0.0; 3]);
    }

    #[test]
    fn the_model_before_pays_for_itself() {
        let home = tempfile::tempdir().unwrap();
        let open = |payer| Ledger::open(home.path(), payer).unwrap();
        let (mut own, mut previous) = (open(Payer::Models), open(Payer::Previous));
        for _ in 0..3 {
            previous.spend([2.0, 0.0, 0.0], NOON).unwrap();
            own.spend([1.0, 0.0, 0.0], NOON).unwrap();
        }
        assert_eq!(open(Payer::Models).today(NOON), [3.0, 0.0, 0.0]);
        assert_eq!(open(Payer::Previous).today(NOON), [6.0, 0.0, 0.0]);
    }

    #[test]
    fn a_write_that_was_cut_leaves_what_was_kept_before() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        let mut ledger = Ledger::open(home.path(), Payer::Models).unwrap();
        for _ in 0..4 {
            ledger.spend([1.0, 0.0, 0.0], NOON).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for at in 0..bytes(&ledger.spent).len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(
                Ledger::open(home.path(), Payer::Models).unwrap().today(NOON),
                [3.0, 0.0, 0.0],
                "{at}"
            );
        }
        for length in (0..SECTOR).step_by(61) {
            std::fs::write(&path, &whole[..length]).unwrap();
            drop(Ledger::open(home.path(), Payer::Models).unwrap());
        }
    }
}
