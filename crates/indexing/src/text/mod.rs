//! Full text: words, queries and the text index.
//!
//! [`Analyzer`] turns text into terms, [`TextQuery`] is a bag of distinct terms, and [`TextIndex`]
//! holds the documents of one namespace: in sealed segments, which are files, and in an exact tail in memory.
//! A document is the text of one slot during a validity interval `[from, to)` of log sequence numbers, so one
//! index answers readers at any snapshot that has not been pruned, with the statistics of exactly that
//! snapshot.
//!
//! Scores are BM25 in the form of Robertson: a term gives
//! `ln(1 + (n − df + ½) / (df + ½)) · (k1 + 1) · tf / (tf + k1 · (1 − b + b · length / average))`.

mod analyzer;
mod asking;
mod bm25;
mod documents;
mod fold;
mod index;
mod part;
mod postings;
mod query;
mod scorer;
mod search;
mod segment;
mod stem;
mod stop_words;
mod tail;
mod terms;

#[cfg(test)]
mod tests;

pub use analyzer::{Analyzer, Language};
pub use asking::{TextExpression, TextMatcher, TextMatches, TextReading};
pub use bm25::{Bm25, Weighting};
pub use index::{Occurrence, TextIndex};
pub use query::TextQuery;
pub use scorer::TextScorer;
pub use search::TextHit;
pub(crate) use segment::{TextSegment, VERSION as SEGMENT_VERSION, write as write_segment};
