//! Ids of many nodes, without an object for each.

use std::sync::OnceLock;

/// Ids by number.
#[derive(Debug, Default)]
pub struct Ids {
    text: String,
    ends: Vec<u64>,
    /// Numbers in the order of the ids, made when an id is first looked for.
    sorted: OnceLock<Vec<u32>>,
}

impl Ids {
    /// Adds the id of the next number.
    pub fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len() as u64);
        self.sorted.take();
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The id of a number.
    pub fn get(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)? as usize;
        let begin = number.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        Some(&self.text[begin..end])
    }

    /// The number of an id.
    pub fn number(&self, id: &str) -> Option<u32> {
        let of = |number: &u32| self.get(*number as usize).expect("numbers are those of ids");
        let sorted = self.sorted.get_or_init(|| {
            let mut numbers: Vec<u32> = (0..self.len() as u32).collect();
            numbers.sort_unstable_by(|one, other| of(one).cmp(of(other)));
            numbers
        });
        let at = sorted.binary_search_by(|number| of(number).cmp(id)).ok()?;
        Some(sorted[at])
    }
}
