//! What a reader looks for.

use super::analyzer::Analyzer;

/// A bag of distinct terms, made by the analyzer of the texts it is asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextQuery {
    terms: Vec<Box<str>>,
}

impl TextQuery {
    /// The terms of `text`. With `drop_stop_words`, without words that say little, unless it holds
    /// nothing else.
    pub fn parse(analyzer: &Analyzer, text: &str, drop_stop_words: bool) -> Self {
        let mut terms = Vec::new();
        let mut stop_terms = Vec::new();
        analyzer.analyze(text, &mut |word| {
            let is_dropped = drop_stop_words && analyzer.is_stop_word(word.folded);
            let kept = if is_dropped { &mut stop_terms } else { &mut terms };
            kept.push(Box::from(word.term));
        });
        if terms.is_empty() {
            terms = stop_terms;
        }
        Self { terms: distinct(terms) }
    }

    /// Nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The distinct terms, in the order of their first occurrence.
    pub fn terms(&self) -> impl ExactSizeIterator<Item = &str> {
        self.terms.iter().map(|term| &**term)
    }
}

fn distinct(terms: Vec<Box<str>>) -> Vec<Box<str>> {
    let mut seen = std::collections::HashSet::new();
    let is_first: Vec<bool> = terms.iter().map(|term| seen.insert(&**term)).collect();
    terms.into_iter().zip(is_first).filter_map(|(term, first)| first.then_some(term)).collect()
}
