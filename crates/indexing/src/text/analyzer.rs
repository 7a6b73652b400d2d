//! Text to terms.

use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use unicode_segmentation::UnicodeSegmentation;

use super::fold::{fold, strip_possessive};
use super::stem::CachedStemmer;
use super::stop_words;

/// What an [`Analyzer`] knows about the language of its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Possessive `'s` removed, Snowball's English stemmer, a stop-word list for queries.
    English,
    /// Folding and lower case only.
    None,
}

/// Cuts text into words and words into terms.
///
/// A word is what Unicode's default word boundaries (UAX #29) make of the text, if it holds a letter
/// or a digit; `example.com` and `3.14` are one word, a Han character is one, punctuation and emoji
/// are none. Its term is the word without compatibility forms, diacritics, case and, in English,
/// possessive and suffixes. Words over 64 bytes are cut at the last whole character before; two that
/// agree so far are then the same term.
pub struct Analyzer {
    language: Language,
    /// A shortcut only: whoever finds it busy stems without it.
    stemmer: Mutex<CachedStemmer>,
}

impl Analyzer {
    /// An analyzer for texts in this language.
    pub fn new(language: Language) -> Self {
        Self { language, stemmer: Mutex::new(CachedStemmer::new()) }
    }

    /// Calls `sink` with each term of the text and the position of its word, counted from 0.
    pub fn terms(&self, text: &str, sink: &mut impl FnMut(&str, u32)) {
        self.analyze(text, &mut |word| sink(word.term, word.position));
    }

    /// Calls `sink` with each word of the text: where it lies, in bytes, possessive included, and its
    /// folded form, not stemmed.
    pub fn words(&self, text: &str, sink: &mut impl FnMut(Range<usize>, &str)) {
        let mut folded = String::new();
        for_each_word(text, &mut |word| {
            let place = place_in(text, word);
            let bare = if self.is_english() { strip_possessive(word) } else { word };
            folded.clear();
            fold(bare, &mut folded);
            if !folded.is_empty() {
                sink(place, &folded);
            }
        });
    }

    /// Whether a folded word says little about what a question is looking for.
    pub fn is_stop_word(&self, folded: &str) -> bool {
        self.is_english() && stop_words::contains(folded)
    }

    /// Whether there is no word in a text that says more.
    pub fn says_little(&self, text: &str) -> bool {
        let mut says_little = true;
        self.words(text, &mut |_, folded| says_little &= self.is_stop_word(folded));
        says_little
    }

    /// Whether terms are stems.
    pub(super) fn stems(&self) -> bool {
        self.is_english()
    }

    fn is_english(&self) -> bool {
        self.language == Language::English
    }

    pub(super) fn analyze(&self, text: &str, sink: &mut impl FnMut(Word<'_>)) {
        let english = self.is_english();
        let mut shared = self.stemmer.try_lock().ok();
        let mut own = None;
        let stemmer = match &mut shared {
            Some(guard) => &mut **guard,
            None => own.insert(CachedStemmer::without_cache()),
        };
        let mut folded = String::new();
        let mut position = 0;
        for_each_word(text, &mut |word| {
            let place = place_in(text, word);
            let word = if english { strip_possessive(word) } else { word };
            folded.clear();
            fold(word, &mut folded);
            if folded.is_empty() {
                return;
            }
            stemmer.with_stem(english, &folded, |term| {
                sink(Word { folded: &folded, term, position, place });
            });
            position += 1;
        });
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.stemmer.lock().unwrap_or_else(PoisonError::into_inner).memory_bytes()
    }
}

impl PartialEq for Analyzer {
    fn eq(&self, other: &Self) -> bool {
        self.language == other.language
    }
}

impl Eq for Analyzer {}

impl Clone for Analyzer {
    fn clone(&self) -> Self {
        Self::new(self.language)
    }
}

impl fmt::Debug for Analyzer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Analyzer").field(&self.language).finish()
    }
}

/// One word on its way to the index.
pub(super) struct Word<'a> {
    /// Folded, possessive removed, not stemmed.
    pub(super) folded: &'a str,
    pub(super) term: &'a str,
    pub(super) position: u32,
    /// Where it lies in the text, in bytes, possessive included.
    pub(super) place: Range<usize>,
}

/// Where a word lies that is a part of the text: the distance of their addresses is where it begins.
fn place_in(text: &str, word: &str) -> Range<usize> {
    let start = word.as_ptr().addr() - text.as_ptr().addr();
    start..start + word.len()
}

/// The words of a text. No word spans white space, so one accent or emoji in a long text leaves the
/// rest of it on the fast path.
fn for_each_word(text: &str, sink: &mut impl FnMut(&str)) {
    for chunk in text.split_ascii_whitespace() {
        match lone_ascii_word(chunk) {
            Some(word) => sink(word),
            // The standard lets a stray mark cling to the white space before it.
            None => chunk.unicode_words().for_each(|word| sink(word.trim_start())),
        }
    }
}

/// The chunk without the punctuation around it, if the rest is one plain word.
fn lone_ascii_word(chunk: &str) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = chunk.as_bytes();
    let start = bytes.iter().position(plain)?;
    let end =
        start + bytes[start..].iter().position(|byte| !plain(byte)).unwrap_or(bytes.len() - start);
    let around = |byte: &u8| byte.is_ascii_punctuation() && *byte != b'_';
    let alone = bytes[..start].iter().all(around) && bytes[end..].iter().all(around);
    alone.then(|| &chunk[start..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shortcuts_find_the_words_of_the_standard(text in "([a-zA-Z0-9_.,:;'’\" \t\né漢あ한👍\u{301}\u{ad}-]|\\PC){0,40}") {
            let mut words = Vec::new();
            for_each_word(&text, &mut |word| words.push(word.to_owned()));
            let expected: Vec<&str> = text.unicode_words().map(str::trim_start).collect();
            prop_assert_eq!(words, expected);
        }
    }
}
