//! Queries in a syntax: words, phrases, beginnings of words and misspelt words, joined by operators.
//!
//! [`TextExpression`] is what was written; [`TextMatcher`] is that for the words of one language, which reads
//! texts by itself; [`TextMatches`] is what an index finds of it. The index knows which terms a text holds and
//! how often, not where, and terms are stems: of a phrase, and of the beginning of an inflected word, it tells
//! only which texts may match. These are read, the most promising first, until as many are found as are wanted.

mod evaluate;
mod fuzzy;
mod matcher;
mod prefix;
mod syntax;

pub use self::evaluate::TextMatches;
pub use self::matcher::{TextMatcher, TextReading};
pub use self::syntax::TextExpression;
