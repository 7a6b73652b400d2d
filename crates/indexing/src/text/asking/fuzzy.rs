//! Terms that are a few edits away from a word.

use fst::Automaton;

use crate::text::fold::MAX_TERM;

/// Longest row of distances: one for each character, and one for none.
const ROW: usize = MAX_TERM + 1;

/// A word and how many edits away a term may be: a character added, left out or replaced, or two
/// neighbours exchanged (the optimal string alignment distance).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fuzzy {
    word: Vec<char>,
    pub(super) edits: u8,
}

/// What was read of a term.
#[derive(Clone, Copy)]
pub(super) struct Read {
    /// Distances from what was read to each beginning of the word…
    row: [u8; ROW],
    /// …and from what was read but for the last character.
    before: [u8; ROW],
    last: Option<char>,
    /// Bytes of a character that is not whole yet.
    bytes: [u8; 4],
    pending: usize,
    alive: bool,
}

impl Fuzzy {
    /// The word is no longer than a term.
    pub(super) fn new(word: &str, edits: u8) -> Self {
        Self { word: word.chars().take(MAX_TERM).collect(), edits }
    }

    pub(super) fn holds(&self, term: &str) -> bool {
        let mut read = self.start();
        for c in term.chars() {
            self.read(&mut read, c);
            if !read.alive {
                return false;
            }
        }
        self.is_match(&read)
    }

    fn read(&self, read: &mut Read, c: char) {
        let (before, row) = (read.before, read.row);
        let mut next = [u8::MAX; ROW];
        next[0] = row[0].saturating_add(1);
        let mut least = next[0];
        for (at, own) in self.word.iter().enumerate() {
            let replaced = row[at].saturating_add(u8::from(*own != c));
            let mut edits = replaced.min(row[at + 1].min(next[at]).saturating_add(1));
            if let (Some(at), Some(last)) = (at.checked_sub(1), read.last)
                && *own == last
                && self.word[at] == c
            {
                edits = edits.min(before[at].saturating_add(1));
            }
            next[at + 1] = edits;
            least = least.min(edits);
        }
        // Distances do not come down again, and an exchange costs no less than what was read before it.
        read.alive = least <= self.edits;
        (read.before, read.row, read.last) = (row, next, Some(c));
    }
}

impl Automaton for Fuzzy {
    type State = Read;

    fn start(&self) -> Read {
        let row = std::array::from_fn(|at| at as u8);
        Read { row, before: row, last: None, bytes: [0; 4], pending: 0, alive: true }
    }

    fn is_match(&self, read: &Read) -> bool {
        read.alive && read.pending == 0 && read.row[self.word.len()] <= self.edits
    }

    fn can_match(&self, read: &Read) -> bool {
        read.alive
    }

    fn accept(&self, read: &Read, byte: u8) -> Read {
        let mut read = *read;
        if read.pending == read.bytes.len() {
            read.alive = false;
            return read;
        }
        read.bytes[read.pending] = byte;
        read.pending += 1;
        match std::str::from_utf8(&read.bytes[..read.pending]) {
            Ok(whole) => {
                let c = whole.chars().next();
                read.pending = 0;
                match c {
                    Some(c) => self.read(&mut read, c),
                    None => read.alive = false,
                }
            }
            // The rest of the character follows, unless the bytes are no text.
            Err(error) => read.alive = error.error_len().is_none(),
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use fst::{IntoStreamer, Set, Streamer};
    use proptest::prelude::*;

    use super::*;

    /// By the definition, over all ways.
    fn distance(a: &[char], b: &[char]) -> usize {
        let (Some((last_a, rest_a)), Some((last_b, rest_b))) = (a.split_last(), b.split_last())
        else {
            return a.len() + b.len();
        };
        let replaced = distance(rest_a, rest_b) + usize::from(last_a != last_b);
        let mut least = replaced.min(distance(rest_a, b) + 1).min(distance(a, rest_b) + 1);
        if let ([.., a1, a2], [.., b1, b2]) = (a, b)
            && (a1, a2) == (b2, b1)
        {
            least = least.min(distance(&a[..a.len() - 2], &b[..b.len() - 2]) + 1);
        }
        least
    }

    #[test]
    fn usual_mistakes_are_one_edit() {
        for (word, written) in
            [("receive", "recieve"), ("colour", "color"), ("rust", "rusty"), ("lake", "bake")]
        {
            assert!(Fuzzy::new(word, 1).holds(written), "{word} {written}");
            assert!(Fuzzy::new(written, 1).holds(word), "{written} {word}");
        }
        assert!(!Fuzzy::new("lake", 1).holds("like me"));
    }

    proptest! {
        #[test]
        fn edits_are_counted_by_the_definition(word in "[abé漢]{0,6}", term in "[abé漢]{0,6}", edits in 1u8..3) {
            let (a, b): (Vec<char>, Vec<char>) = (word.chars().collect(), term.chars().collect());
            let fuzzy = Fuzzy::new(&word, edits);
            let expected = distance(&a, &b) <= usize::from(edits);
            prop_assert_eq!(fuzzy.holds(&term), expected);
            let set = Set::from_iter([term.as_bytes()]).unwrap();
            let mut stream = set.search(&fuzzy).into_stream();
            prop_assert_eq!(stream.next().is_some(), expected);
        }
    }
}
