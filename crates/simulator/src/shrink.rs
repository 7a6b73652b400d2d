//! What is left of a scenario that fails when everything is taken away that does not matter.

use crate::history::{Bench, Failure};
use crate::scenario::Scenario;

/// Most tries.
const TRIES: usize = 400;

/// The smallest scenario that was found to fail in the same way, and how it does.
pub(crate) fn shrunk(
    bench: &mut Bench<'_>,
    scenario: Scenario,
    failure: Failure,
) -> (Scenario, Failure) {
    let mut shrinking = Shrinking { bench, best: scenario, failure, left: TRIES };
    shrinking.lives();
    shrinking.details();
    shrinking.operations();
    shrinking.details();
    (shrinking.best, shrinking.failure)
}

struct Shrinking<'b, 't> {
    bench: &'b mut Bench<'t>,
    best: Scenario,
    failure: Failure,
    left: usize,
}

impl Shrinking<'_, '_> {
    /// Takes something away, if it fails in the same way without it.
    fn without(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let mut smaller = self.best.clone();
        change(&mut smaller);
        match self.bench.run(&smaller) {
            Err(failure) if failure.is_like(&self.failure) => {
                (self.best, self.failure) = (smaller, failure);
                true
            }
            _ => false,
        }
    }

    fn lives(&mut self) {
        for place in (0..self.best.lives.len()).rev() {
            if self.best.lives.len() > 1 {
                self.without(|scenario| drop(scenario.lives.remove(place)));
            }
        }
    }

    fn details(&mut self) {
        for life in 0..self.best.lives.len() {
            for place in (0..self.best.lives[life].cuts.len()).rev() {
                self.without(|scenario| {
                    scenario.lives[life].cuts.remove(place);
                });
            }
            for place in (0..self.best.lives[life].faults.len()).rev() {
                self.without(|scenario| {
                    scenario.lives[life].faults.remove(place);
                });
            }
        }
    }

    /// Ever smaller pieces of the operations of each life, from the end.
    fn operations(&mut self) {
        for life in 0..self.best.lives.len() {
            let mut piece = self.best.lives[life].plan.operations.len();
            while piece > 0 {
                let mut end = self.best.lives[life].plan.operations.len();
                while end > 0 {
                    let begin = end.saturating_sub(piece);
                    self.without(|scenario| {
                        drop(scenario.lives[life].plan.operations.drain(begin..end));
                    });
                    end = begin;
                }
                piece /= 2;
            }
        }
    }
}
