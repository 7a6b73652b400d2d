//! A query for the words of one language, and what it makes of a text.

use std::ops::Range;

use super::fuzzy::Fuzzy;
use super::prefix::Prefix;
use super::syntax::{Clause, Group, TextExpression};
use crate::text::analyzer::Word;
use crate::text::{Analyzer, TextQuery};

/// What single words are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Term(Box<str>),
    Prefix(Prefix),
    /// By stem, and as it was written where that differs.
    Fuzzy(Vec<Fuzzy>),
}

impl Pattern {
    fn holds(&self, word: &Word<'_>) -> bool {
        match self {
            Self::Term(term) => **term == *word.term,
            Self::Prefix(prefix) => word.folded.starts_with(&*prefix.beginning),
            Self::Fuzzy(ways) => ways.iter().any(|way| way.holds(word.term)),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Feature {
    pub(super) pattern: Pattern,
    /// As a user would write it.
    pub(super) shown: String,
    /// Whether it is looked for, and not only kept away.
    pub(super) wanted: bool,
    /// Whether it is looked for by itself, and not only in a phrase.
    alone: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Phrase {
    /// Features of its words, at least two.
    pub(super) words: Vec<usize>,
    wanted: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Feature(usize),
    Phrase(usize),
    Group {
        must: Vec<Part>,
        should: Vec<Part>,
        not: Vec<Part>,
    },
    /// A clause without a word in this language.
    Nothing,
}

/// A query for the words of one language.
#[derive(Debug, Clone)]
pub struct TextMatcher {
    pub(super) features: Vec<Feature>,
    pub(super) phrases: Vec<Phrase>,
    pub(super) root: Part,
}

/// What a query found in one text.
#[derive(Debug)]
pub struct TextReading {
    /// Of each feature, how many words have it.
    pub(super) counts: Vec<u32>,
    phrases: Vec<bool>,
}

impl TextMatcher {
    /// Of a query in the syntax.
    pub fn new(analyzer: &Analyzer, expression: &TextExpression) -> Self {
        let mut compiler = Compiler { analyzer, features: Vec::new(), phrases: Vec::new() };
        let root = compiler.group(&expression.root, true);
        let Compiler { features, phrases, .. } = compiler;
        Self { features, phrases, root }
    }

    /// Of any of some words.
    pub fn any_of(query: &TextQuery) -> Self {
        let feature = |term: &str| Feature {
            pattern: Pattern::Term(term.into()),
            shown: term.into(),
            wanted: true,
            alone: true,
        };
        let features: Vec<Feature> = query.terms().map(feature).collect();
        let should = (0..features.len()).map(Part::Feature).collect();
        let root = Part::Group { must: Vec::new(), should, not: Vec::new() };
        Self { features, phrases: Vec::new(), root }
    }

    /// Reads a text that comes in pieces, over whose ends no phrase goes.
    pub fn read<'a>(
        &self,
        analyzer: &Analyzer,
        pieces: impl IntoIterator<Item = &'a str>,
    ) -> TextReading {
        let mut reading = TextReading {
            counts: vec![0; self.features.len()],
            phrases: vec![false; self.phrases.len()],
        };
        for piece in pieces {
            let words = self.words(analyzer, piece);
            for feature in words.iter().flat_map(|word| &word.features) {
                reading.counts[*feature] += 1;
            }
            for (at, phrase) in self.phrases.iter().enumerate() {
                let found = reading.phrases[at] || phrase.places(&words).next().is_some();
                reading.phrases[at] = found;
            }
        }
        reading
    }

    /// Where what is looked for lies in a piece of a text that matches: bytes of the text, ascending and apart.
    pub fn places(&self, analyzer: &Analyzer, piece: &str) -> Vec<Range<usize>> {
        let words = self.words(analyzer, piece);
        let mut marked: Vec<bool> = words
            .iter()
            .map(|word| word.features.iter().any(|feature| self.features[*feature].alone))
            .collect();
        for phrase in self.phrases.iter().filter(|phrase| phrase.wanted) {
            for at in phrase.places(&words) {
                marked[at..at + phrase.words.len()].fill(true);
            }
        }
        let found = words.into_iter().zip(marked).filter(|(_, marked)| *marked);
        found.map(|(word, _)| word.place).collect()
    }

    /// Whether a text matches.
    pub fn matches(&self, reading: &TextReading) -> bool {
        holds(&self.root, reading)
    }

    fn words(&self, analyzer: &Analyzer, piece: &str) -> Vec<Found> {
        let mut words = Vec::new();
        analyzer.analyze(piece, &mut |word| {
            let features = self.features.iter().enumerate();
            let features = features.filter(|(_, feature)| feature.pattern.holds(&word));
            let features = features.map(|(at, _)| at).collect();
            words.push(Found { place: word.place.clone(), features });
        });
        words
    }
}

fn holds(part: &Part, reading: &TextReading) -> bool {
    match part {
        Part::Feature(at) => reading.counts[*at] > 0,
        Part::Phrase(at) => reading.phrases[*at],
        Part::Group { must, should, not } => {
            let any = |parts: &[Part]| parts.iter().any(|part| holds(part, reading));
            must.iter().all(|part| holds(part, reading))
                && !any(not)
                && (!must.is_empty() || any(should))
        }
        Part::Nothing => false,
    }
}

/// One word of a text.
struct Found {
    place: Range<usize>,
    features: Vec<usize>,
}

impl Phrase {
    /// Where it begins in some words.
    fn places<'a>(&'a self, words: &'a [Found]) -> impl Iterator<Item = usize> + 'a {
        let is_here = |window: &[Found]| {
            window.iter().zip(&self.words).all(|(word, own)| word.features.contains(own))
        };
        let windows = words.windows(self.words.len()).enumerate();
        windows.filter(move |(_, window)| is_here(window)).map(|(at, _)| at)
    }
}

struct Compiler<'a> {
    analyzer: &'a Analyzer,
    features: Vec<Feature>,
    phrases: Vec<Phrase>,
}

impl Compiler<'_> {
    fn group(&mut self, group: &Group, wanted: bool) -> Part {
        let stops = |clause: &Clause| match clause {
            Clause::Word(word) => self.stops(word),
            _ => false,
        };
        // A stop word that no operator asks for says nothing, unless nothing else is said.
        let telling = group.should.iter().any(|clause| !stops(clause));
        let passed: Vec<bool> = group
            .should
            .iter()
            .map(|clause| {
                !group.alternatives && stops(clause) && (telling || !group.must.is_empty())
            })
            .collect();
        let should = group.should.iter().zip(passed).filter(|(_, passed)| !passed);
        let should = should.map(|(clause, _)| self.clause(clause, wanted)).collect();
        let must = group.must.iter().map(|clause| self.clause(clause, wanted)).collect();
        let not = group.not.iter().map(|clause| self.clause(clause, false)).collect();
        Part::Group { must, should, not }
    }

    fn stops(&self, word: &str) -> bool {
        let (mut words, mut stops) = (0, 0);
        self.analyzer.words(word, &mut |_, folded| {
            words += 1;
            stops += usize::from(self.analyzer.is_stop_word(folded));
        });
        words == 1 && stops == 1
    }

    fn clause(&mut self, clause: &Clause, wanted: bool) -> Part {
        match clause {
            Clause::Word(text) | Clause::Phrase(text) => self.words(text, wanted),
            Clause::Prefix(text) => {
                let Some(folded) = self.folded(text) else { return Part::Nothing };
                let shown = format!("{folded}*");
                let prefix = Prefix::new(self.analyzer, folded);
                Part::Feature(self.feature(Pattern::Prefix(prefix), shown, wanted, wanted))
            }
            Clause::Fuzzy(text, edits) => {
                let Some(folded) = self.folded(text) else { return Part::Nothing };
                let mut ways = vec![Fuzzy::new(&folded, *edits)];
                self.analyzer.terms(text, &mut |term, _| {
                    let stem = Fuzzy::new(term, *edits);
                    if !ways.contains(&stem) {
                        ways.push(stem);
                    }
                });
                let shown = format!("{folded}~{edits}");
                Part::Feature(self.feature(Pattern::Fuzzy(ways), shown, wanted, wanted))
            }
            Clause::Group(group) => self.group(group, wanted),
        }
    }

    fn folded(&self, text: &str) -> Option<Box<str>> {
        let mut found = None;
        self.analyzer.words(text, &mut |_, folded| {
            found.get_or_insert_with(|| folded.into());
        });
        found
    }

    fn words(&mut self, text: &str, wanted: bool) -> Part {
        let mut terms: Vec<Box<str>> = Vec::new();
        self.analyzer.terms(text, &mut |term, _| terms.push(term.into()));
        let alone = wanted && terms.len() == 1;
        let mut words = Vec::with_capacity(terms.len());
        for term in terms {
            let shown = String::from(&*term);
            words.push(self.feature(Pattern::Term(term), shown, wanted, alone));
        }
        match words[..] {
            [] => Part::Nothing,
            [word] => Part::Feature(word),
            _ => {
                let known = self.phrases.iter().position(|phrase| phrase.words == words);
                let at = known.unwrap_or_else(|| {
                    self.phrases.push(Phrase { words, wanted: false });
                    self.phrases.len() - 1
                });
                self.phrases[at].wanted |= wanted;
                Part::Phrase(at)
            }
        }
    }

    fn feature(&mut self, pattern: Pattern, shown: String, wanted: bool, alone: bool) -> usize {
        let known = self.features.iter().position(|own| own.pattern == pattern);
        let at = known.unwrap_or_else(|| {
            self.features.push(Feature { pattern, shown, wanted: false, alone: false });
            self.features.len() - 1
        });
        self.features[at].wanted |= wanted;
        self.features[at].alone |= alone;
        at
    }
}
