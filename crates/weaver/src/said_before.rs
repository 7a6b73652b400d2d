//! What was found in texts that come again and again: "ok", "thank you".

use std::collections::HashMap;
use std::mem::take;
use std::sync::{Mutex, PoisonError};

use embedded_db_common::ContentHash;

use crate::models::Mention;

/// Longer texts hardly ever come twice.
const LONGEST: usize = 512;
/// Texts of one generation; there are two of them.
const MOST: usize = 4096;

/// A text whose content begins at a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Saying {
    pub(crate) content: ContentHash,
    pub(crate) start: usize,
}

/// The mentions of short texts seen lately. The entity function is stateless: an equal text has
/// equal mentions. Vectors need no such memory, for the store knows them by their text.
#[derive(Default)]
pub(crate) struct SaidBefore {
    generations: Mutex<Generations>,
}

/// What is not asked for during one generation is forgotten with the next.
#[derive(Default)]
struct Generations {
    young: HashMap<Saying, Vec<Mention>>,
    old: HashMap<Saying, Vec<Mention>>,
}

impl SaidBefore {
    pub(crate) fn mentions(&self, saying: &Saying) -> Option<Vec<Mention>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mentions) = generations.young.get(saying) {
            return Some(mentions.clone());
        }
        let mentions = generations.old.remove(saying)?;
        generations.put(saying.clone(), mentions.clone());
        Some(mentions)
    }

    pub(crate) fn note(&self, saying: Saying, text: &str, mentions: &[Mention]) {
        if text.len() <= LONGEST {
            let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
            generations.put(saying, mentions.to_vec());
        }
    }
}

impl Generations {
    fn put(&mut self, saying: Saying, mentions: Vec<Mention>) {
        if self.young.len() == MOST {
            self.old = take(&mut self.young);
        }
        self.young.insert(saying, mentions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saying(number: usize) -> Saying {
        Saying { content: ContentHash::of(&number.to_string()), start: 0 }
    }

    #[test]
    fn what_is_said_often_is_kept_and_the_rest_forgotten() {
        let said = SaidBefore::default();
        for number in 0..10 * MOST {
            said.note(saying(number), "short", &[]);
            assert!(said.mentions(&saying(0)).is_some(), "after {number}");
        }
        assert!(said.mentions(&saying(1)).is_none());
        let generations = said.generations.lock().unwrap();
        assert!(generations.young.len() <= MOST && generations.old.len() <= MOST);
    }

    #[test]
    fn long_texts_and_other_beginnings_are_not_known() {
        let said = SaidBefore::default();
        said.note(saying(1), &"x".repeat(LONGEST + 1), &[]);
        assert!(said.mentions(&saying(1)).is_none());
        said.note(saying(1), "x", &[]);
        assert!(said.mentions(&saying(1)).is_some());
        assert!(said.mentions(&Saying { start: 1, ..saying(1) }).is_none());
    }
}
