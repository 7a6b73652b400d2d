//! Words by their beginning, over terms that are stems.
//!
//! The stem of a word that begins with `perf` nearly always does so too. Two things are otherwise: a suffix
//! that reaches into the beginning is no part of the stem (`performa*` and "performance", whose term is
//! `perform`), and a stem may have another ending than its word (`hop` of "hoping" gets an `e`, the `y` of
//! "happy" becomes an `i`). Terms of which the beginning of the word cannot be told are looked up in the texts.

use crate::text::Analyzer;
use crate::text::stem::{CachedStemmer, is_stemmed};

/// What the stemmer takes off, in one or several steps, or puts something else in place of.
#[rustfmt::skip]
const SUFFIXES: [&str; 62] = [
    "able", "ables", "ably", "ability", "abilities", "al", "ally", "alism", "ality", "alities",
    "alize", "alized", "alizes", "alizing", "alization", "ance", "ances", "ancy", "ancies", "ant",
    "ate", "ated", "ates", "ating", "ation", "ations", "ational", "ator", "ators", "ed", "edly",
    "eedly", "ement", "ence", "ences", "ency", "encies", "ent", "ently", "er", "ible", "ibly",
    "ibility", "icate", "iciti", "icity", "ical", "ically", "ies", "ied", "ing", "ingly", "ion",
    "iveness", "ivity", "ization", "izer", "fulness", "fully", "lessly", "ousness", "ously",
];
/// What may stand behind one of them, or alone.
const INFLECTIONS: [&str; 10] = ["", "s", "es", "ed", "ing", "ings", "ly", "er", "ment", "ness"];
/// What stems may have in place of the end of the word.
const REPLACEMENTS: [&str; 6] = ["e", "i", "y", "l", "le", "ie"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix {
    /// Folded, not stemmed.
    pub(super) beginning: Box<str>,
    /// Terms which do not begin so, though they may be the stems of words that do.
    pub(super) others: Vec<Box<str>>,
    /// Whether words that begin so are stemmed.
    stemmed: bool,
}

impl Prefix {
    pub(super) fn new(analyzer: &Analyzer, beginning: Box<str>) -> Self {
        let stemmed = analyzer.stems() && beginning.bytes().all(is_stemmed);
        let others = if stemmed { others(&beginning) } else { Vec::new() };
        Self { beginning, others, stemmed }
    }

    /// Whether every word with this term begins so.
    pub(super) fn is_sure(&self, term: &str) -> bool {
        let replaced = |ending: &str| {
            term.strip_suffix(ending).is_some_and(|kept| kept.len() < self.beginning.len())
        };
        term.starts_with(&*self.beginning)
            && !(self.stemmed && REPLACEMENTS.iter().any(|ending| replaced(ending)))
    }
}

fn others(beginning: &str) -> Vec<Box<str>> {
    let mut stemmer = CachedStemmer::without_cache();
    let mut word = String::new();
    let mut found: Vec<Box<str>> = Vec::new();
    let ends = SUFFIXES.iter().flat_map(|suffix| (0..suffix.len()).map(|at| &suffix[at..]));
    for end in ends.chain([""]) {
        for inflection in INFLECTIONS {
            word.clear();
            word.extend([beginning, end, inflection]);
            stemmer.with_stem(true, &word, |stem| {
                if !stem.starts_with(beginning) && !found.iter().any(|own| **own == *stem) {
                    found.push(stem.into());
                }
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::Language;

    fn prefix(beginning: &str) -> Prefix {
        Prefix::new(&Analyzer::new(Language::English), beginning.into())
    }

    fn stem(word: &str) -> String {
        CachedStemmer::without_cache().with_stem(true, word, str::to_owned)
    }

    fn is_covered(word: &str, beginning: &str) -> bool {
        let (stem, prefix) = (stem(word), prefix(beginning));
        stem.starts_with(beginning) || prefix.others.iter().any(|other| **other == stem)
    }

    #[test]
    fn no_beginning_of_a_word_misses_it() {
        for word in [
            "performance",
            "performances",
            "nationalizations",
            "generalization",
            "hopefulness",
            "hoping",
            "hopping",
            "happiness",
            "flies",
            "dying",
            "skies",
            "capabilities",
            "adaptability",
            "sensitivity",
            "relational",
            "conditionally",
            "electricity",
            "vietnamization",
            "callousness",
            "hesitancy",
            "digitizer",
            "triplicate",
            "electrical",
            "goodness",
            "adjustment",
            "adoption",
            "homologous",
            "effective",
            "agreed",
            "plastered",
            "motoring",
            "conflated",
            "troubling",
            "sized",
            "fizzed",
            "failing",
            "filing",
            "oceanography",
            "gently",
            "idly",
            "organizations",
        ] {
            for end in 1..=word.len() {
                assert!(is_covered(word, &word[..end]), "{word}: {}*", &word[..end]);
            }
        }
    }

    #[test]
    fn only_others_are_looked_up() {
        assert_eq!(prefix("networ").others, Vec::<Box<str>>::new());
        assert!(prefix("performa").others.contains(&"perform".into()));
        assert!(prefix("perf").is_sure("perform"));
        // "happy"
        assert!(!prefix("happi").is_sure("happi"));
        // "hoping"
        assert!(!prefix("hope").is_sure("hope"));
    }

    proptest! {
        #[test]
        fn suffixes_hide_no_word(
            root in "[a-z]{2,6}",
            at in 0..SUFFIXES.len(),
            inflection in prop::sample::select(&["", "s", "ed", "ing"][..]),
            cut in 1usize..20,
        ) {
            let word = format!("{root}{}{inflection}", SUFFIXES[at]);
            let beginning = &word[..cut.min(word.len())];
            prop_assert!(is_covered(&word, beginning), "{}: {}*", word, beginning);
            let stem = stem(&word);
            if prefix(&word[..1]).is_sure(&stem) {
                prop_assert!(word.starts_with(&stem[..1]));
            }
        }

        #[test]
        fn what_is_sure_needs_no_look(word in "[a-z]{1,4}(y|ly|ing|ed|ies|ability|ational|ation|ization|ivity|ency|er)", cut in 1usize..12) {
            let stem = stem(&word);
            let beginning = &stem[..cut.min(stem.len())];
            if prefix(beginning).is_sure(&stem) {
                prop_assert!(word.starts_with(beginning), "{}* {}, by {}", beginning, word, stem);
            }
        }
    }
}
