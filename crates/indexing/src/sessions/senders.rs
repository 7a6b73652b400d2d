//! Senders by name, and which of them a text names.

use std::collections::HashMap;
use std::ops::Range;

use crate::text::{Analyzer, Language};

/// All senders that were ever seen, by number.
#[derive(Debug, Clone, Default)]
pub struct Senders {
    names: Vec<Name>,
    numbers: HashMap<Box<str>, u32>,
    /// By the first word of the name, folded.
    by_first_word: HashMap<Box<str>, Vec<u32>>,
}

#[derive(Debug, Clone)]
struct Name {
    name: Box<str>,
    /// Folded.
    words: Vec<Box<str>>,
    /// How many of the words are the first name: what stands before white space.
    first: usize,
}

/// A place in a text that names senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSender {
    /// Words of the text: the numbers of the first and the one behind the last.
    pub words: Range<usize>,
    /// Numbers of the senders; several when they share a first name.
    pub senders: Vec<u32>,
}

impl Senders {
    /// The number of a sender.
    pub fn number(&self, sender: &str) -> Option<u32> {
        self.numbers.get(sender).copied()
    }

    /// The name of a sender.
    pub fn name(&self, sender: u32) -> &str {
        &self.names[sender as usize].name
    }

    pub(super) fn add(&mut self, sender: &str) -> u32 {
        let number = self.names.len() as u32;
        // Not by the language of the texts: a name has no possessive and no stem.
        let analyzer = Analyzer::new(Language::None);
        let words = |text: &str| {
            let mut out: Vec<Box<str>> = Vec::new();
            analyzer.words(text, &mut |_, folded| out.push(folded.into()));
            out
        };
        let all = words(sender);
        let first = sender.split_whitespace().map(|part| words(part).len()).find(|&len| len > 0);
        if let Some(word) = all.first() {
            self.by_first_word.entry(word.clone()).or_default().push(number);
        }
        self.names.push(Name { name: sender.into(), words: all, first: first.unwrap_or(0) });
        self.numbers.insert(sender.into(), number);
        number
    }

    /// Where a text, given as folded words, names senders that are `present`: by first name or by
    /// the whole name, the longest counts, from left to right.
    pub fn named_in(
        &self,
        words: &[Box<str>],
        present: impl Fn(u32) -> bool,
        mut skip: impl FnMut(usize) -> bool,
    ) -> Vec<NamedSender> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let found = if skip(at) { None } else { self.named_at(&words[at..], &present) };
            match found {
                Some((length, senders)) => {
                    out.push(NamedSender { words: at..at + length, senders });
                    at += length;
                }
                None => at += 1,
            }
        }
        out
    }

    /// How many words the name at the beginning takes, and whose it is.
    fn named_at(
        &self,
        words: &[Box<str>],
        present: &impl Fn(u32) -> bool,
    ) -> Option<(usize, Vec<u32>)> {
        let mut longest = 0;
        let mut senders = Vec::new();
        for &sender in self.by_first_word.get(words.first()?)? {
            let name = &self.names[sender as usize];
            let length = if words.starts_with(&name.words) {
                name.words.len()
            } else if words.starts_with(&name.words[..name.first]) {
                name.first
            } else {
                continue;
            };
            if length < longest || !present(sender) {
                continue;
            }
            if length > longest {
                longest = length;
                senders.clear();
            }
            senders.push(sender);
        }
        (longest > 0).then_some((longest, senders))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let name = |name: &Name| 3 * name.name.len() + name.words.len() * 24 + size_of::<Name>();
        self.names.iter().map(name).sum::<usize>() + self.by_first_word.len() * 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(senders: &[&str], text: &str) -> Vec<Vec<String>> {
        let mut all = Senders::default();
        for sender in senders {
            all.add(sender);
        }
        let mut words: Vec<Box<str>> = Vec::new();
        Analyzer::new(Language::English).words(text, &mut |_, folded| words.push(folded.into()));
        let found = all.named_in(&words, |_| true, |_| false);
        let names =
            |found: NamedSender| found.senders.iter().map(|s| all.name(*s).to_owned()).collect();
        found.into_iter().map(names).collect()
    }

    #[test]
    fn first_names_and_whole_names_name_senders() {
        let all = ["Ann Lee", "Ann Moe", "José Díaz", "Anne-Marie Roy", "王小明", "😀", "Bo"];
        assert_eq!(named(&all, "what did ANN say"), [["Ann Lee", "Ann Moe"]]);
        assert_eq!(named(&all, "what did Ann Moe's dog do"), [["Ann Moe"]]);
        assert_eq!(named(&all, "jose and anne-marie"), [["José Díaz"], ["Anne-Marie Roy"]]);
        assert_eq!(named(&all, "王小明去哪里"), [["王小明"]]);
        assert!(named(&all, "Anna, Bob, Lee, annex, Anne 😀").is_empty());
    }
}
