//! Terms and their numbers, packed: one string of all terms and an open-addressed table.

use std::hash::{BuildHasher, RandomState};

/// Number of an interned term.
pub(super) type TermId = u32;

pub(super) struct TermTable {
    /// Random per table, so that nobody can prepare terms which collide.
    seed: u64,
    bytes: String,
    /// Where each term ends in `bytes`; it begins where the one before ends.
    ends: Vec<usize>,
    /// Power of two in length, at most three quarters full.
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    /// Part of the hash, so that a lookup touches `bytes` only for a likely match.
    tag: u32,
    id: TermId,
}

const VACANT: Place = Place { tag: 0, id: TermId::MAX };

impl TermTable {
    pub(super) fn new() -> Self {
        Self::with_capacity(0)
    }

    /// With room for this many terms.
    pub(super) fn with_capacity(terms: usize) -> Self {
        let seed = RandomState::new().hash_one(0);
        let places = if terms == 0 { 0 } else { (terms * 4 / 3 + 2).next_power_of_two() };
        let ends = Vec::with_capacity(terms);
        Self { seed, bytes: String::new(), ends, places: vec![VACANT; places] }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, term: &str) -> Option<TermId> {
        if self.places.is_empty() {
            return None;
        }
        self.find(term).ok()
    }

    pub(super) fn intern(&mut self, term: &str) -> TermId {
        if self.len() * 4 >= self.places.len() * 3 {
            self.grow();
        }
        match self.find(term) {
            Ok(id) => id,
            Err((place, tag)) => {
                let id = self.ends.len() as TermId;
                self.bytes.push_str(term);
                self.ends.push(self.bytes.len());
                self.places[place] = Place { tag, id };
                id
            }
        }
    }

    pub(super) fn term(&self, id: TermId) -> &str {
        let id = id as usize;
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[id]]
    }

    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.places.capacity() * size_of::<Place>()
    }

    /// The term's number, or the place and tag it would get.
    fn find(&self, term: &str) -> Result<TermId, (usize, u32)> {
        let (mut place, tag) = self.home(term);
        loop {
            let found = self.places[place];
            if found.id == VACANT.id {
                return Err((place, tag));
            }
            if found.tag == tag && self.term(found.id) == term {
                return Ok(found.id);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
    }

    fn home(&self, term: &str) -> (usize, u32) {
        let hash = hash(self.seed, term.as_bytes());
        (hash as usize & (self.places.len() - 1), (hash >> 32) as u32)
    }

    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(16);
        self.places = vec![VACANT; size];
        for id in 0..self.ends.len() as TermId {
            let (mut place, tag) = self.home(self.term(id));
            while self.places[place].id != VACANT.id {
                place = (place + 1) & (size - 1);
            }
            self.places[place] = Place { tag, id };
        }
    }
}

/// Eight bytes at a time through a folded 128-bit product.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let mut hash = seed ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        hash = fold(hash ^ u64::from_le_bytes(padded), ODD ^ seed.rotate_left(32));
    }
    fold(hash, ODD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_keep_their_numbers() {
        let mut table = TermTable::new();
        assert_eq!(table.get("nothing"), None);
        let words: Vec<String> = (0..5000).map(|i| format!("w{i}")).collect();
        for (id, word) in words.iter().enumerate() {
            assert_eq!(table.intern(word), id as TermId);
        }
        for (id, word) in words.iter().enumerate() {
            assert_eq!(table.intern(word), id as TermId);
            assert_eq!(table.get(word), Some(id as TermId));
            assert_eq!(table.term(id as TermId), word);
        }
        assert_eq!(table.get("w5000"), None);
    }
}
