//! Near questions: those whose texts mean the same to the model.
//!
//! What was asked is kept by the cell of its token, which is on which side of the middle it lies on
//! each axis, and by all of the query but its words. Of a cell, and of those beyond the sides that the
//! question lies close to, the most similar is taken. It has to be as similar as [`LEAST`] and to
//! have the same names, numbers and denials, which models hardly tell apart.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use embedded_db_common::Result;
use embedded_db_indexing::kernels::Kernels;
use embedded_db_reflex::{Config, Intuition};

use crate::axes::Coordinates;
use crate::database::Database;
use crate::engine::Engine;
use crate::queries::{Prepared, Query};

use super::key::Told;
use super::{CAPACITY, Known, Reflected};

/// Least cosine of near questions.
const LEAST: f32 = 0.95;
/// Questions kept of one cell.
const IN_CELL: usize = 32;
/// So close to the middle of an axis the other side is looked at, too…
const CLOSE: f32 = 0.05;
/// …of so many axes at most.
const SIDES: usize = 4;

/// Words at the beginning of a question, which are written large there and are no names.
const OPENINGS: &str = " a an and are at can could did do does for from had has have how i if in is it \
                        on or should tell the to was were what when where which who whom whose why \
                        will with would ";
const DENIALS: &str = " no not never none nobody nothing without ";

pub(super) struct Near {
    cells: Intuition<Arc<Vec<Weak<Known>>>>,
}

impl Near {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { cells: Intuition::new(Config::default(), CAPACITY)? })
    }

    pub(super) fn clear(&self) {
        self.cells.clear();
    }

    fn of(&self, cell: &str) -> Arc<Vec<Weak<Known>>> {
        self.cells.lookup(cell, Arc::clone).unwrap_or_default()
    }
}

impl Database {
    /// The answer to the nearest question, if it still holds.
    pub(super) fn nearly(
        &self,
        engine: &Arc<Engine>,
        query: &Query,
        prepared: &Prepared,
    ) -> Result<Option<Reflected>> {
        let (Some(rest), Some(vector)) =
            (query.key_but_words(self.namespace_id()), prepared.vector())
        else {
            return Ok(None);
        };
        let axes = engine.axes(prepared.space())?;
        let telling = telling(query.question().unwrap_or_default());
        let mut best: Option<(f32, Arc<Known>)> = None;
        for cell in cells(&axes.coordinates(vector)) {
            for known in engine.reflexes.near.of(&cell_key(&rest, cell)).iter() {
                let Some(known) = known.upgrade() else { continue };
                let same_space =
                    known.prepared.space().map(|of| of.0) == prepared.space().map(|of| of.0);
                let similarity = known.prepared.vector().filter(|_| same_space);
                let similarity = similarity.map_or(0.0, |other| cosine(vector, other));
                if similarity >= LEAST
                    && best.as_ref().is_none_or(|(best, _)| similarity > *best)
                    && telling == self::telling(known.question.as_deref().unwrap_or_default())
                {
                    best = Some((similarity, known));
                }
            }
        }
        let Some((similarity, known)) = best else { return Ok(None) };
        // Not one that was judged to be wrong, or that another answer has taken the place of.
        let sure = engine.reflexes.exactly(&known.key);
        let Some(known) = sure.filter(|sure| Arc::ptr_eq(sure, &known)) else { return Ok(None) };
        let question = known.question.clone().unwrap_or_default();
        self.again(engine, &known, query, Told::Near { question, similarity })
    }

    /// Keeps a question for those that are near it.
    pub(super) fn learn_near(
        &self,
        engine: &Engine,
        query: &Query,
        known: &Arc<Known>,
    ) -> Result<()> {
        let (Some(rest), Some(vector)) =
            (query.key_but_words(self.namespace_id()), known.prepared.vector())
        else {
            return Ok(());
        };
        let axes = engine.axes(known.prepared.space())?;
        let near = &engine.reflexes.near;
        let cell = cell_key(&rest, cell_of(&axes.coordinates(vector)));
        let others = near.of(&cell);
        let others = others
            .iter()
            .filter(|other| other.upgrade().is_some_and(|other| other.key != known.key));
        let mut kept: Vec<_> = others.cloned().collect();
        kept.push(Arc::downgrade(known));
        kept.drain(..kept.len().saturating_sub(IN_CELL));
        near.cells.learn(&cell, Arc::new(kept), 1.0)
    }
}

fn cell_key(rest: &str, cell: u8) -> String {
    format!("{cell} {rest}")
}

/// On which side of each axis something lies.
fn cell_of(at: &Coordinates) -> u8 {
    at.iter().enumerate().fold(0, |cell, (axis, value)| cell | u8::from(*value > 0.0) << axis)
}

/// The cell of a point, and those beyond the sides that it lies close to.
fn cells(at: &Coordinates) -> Vec<u8> {
    let mut close: Vec<usize> = (0..at.len()).filter(|axis| at[*axis].abs() < CLOSE).collect();
    close.sort_by(|a, b| at[*a].abs().total_cmp(&at[*b].abs()));
    close.truncate(SIDES);
    let own = cell_of(at);
    let flipped = |choice: u32| {
        let chosen = close.iter().enumerate().filter(|(place, _)| choice >> place & 1 == 1);
        chosen.fold(own, |cell, (_, axis)| cell ^ (1 << axis))
    };
    (0..1 << close.len()).map(flipped).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let kernels = Kernels::detect();
    let dot = |a: &[f32], b: &[f32]| kernels.dot_f32(a, b);
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
}

/// Names, numbers and denials of a question.
fn telling(question: &str) -> BTreeSet<String> {
    let words = question.split(|letter: char| !(letter.is_alphanumeric() || letter == '\''));
    let told = words.filter_map(|word| {
        // "Ann's" is "Ann".
        let word = word.trim_matches('\'');
        let word = word.strip_suffix("'s").unwrap_or(word);
        let small = word.to_lowercase();
        let is = |list: &str| list.contains(&format!(" {small} "));
        let denies = is(DENIALS) || small.ends_with("n't");
        let numbers = word.contains(|letter: char| letter.is_numeric());
        let names = word.starts_with(char::is_uppercase) && !is(OPENINGS);
        match (denies, numbers || names) {
            (true, _) => Some("not".to_owned()),
            (false, true) => Some(small),
            (false, false) => None,
        }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_denials_tell_questions_apart() {
        let same = |one: &str, other: &str| telling(one) == telling(other);
        assert!(same("When did Ann's dog run?", "What day did the dog of Ann run"));
        assert!(!same("When did Ann run?", "When did Bob run?"));
        assert!(!same("Who came in 2021?", "Who came in 2022?"));
        assert!(!same("Who does like it?", "Who doesn't like it?"));
        assert!(same("Who does not like it?", "Who doesn't like it?"));
    }

    #[test]
    fn a_point_near_a_side_is_looked_for_beyond_it() {
        let mut at = [0.5; 8];
        assert_eq!(cells(&at), [0xff]);
        at[1] = -0.01;
        assert_eq!(cells(&at), [0xfd, 0xff]);
        at = [0.01; 8];
        assert_eq!(cells(&at).len(), 1 << SIDES);
    }
}
