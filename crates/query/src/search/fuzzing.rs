//! The parts of a search that look at the text of a question alone.

use std::ops::Range;

use embedded_db_indexing::sessions::Senders;
use embedded_db_indexing::text::Analyzer;

use super::dates::named_in;
use super::question::{Question, words};

/// The words of each time that a text names, and how near a session of today lies.
pub(crate) fn dates_of(analyzer: &Analyzer, text: &str, now: i64) -> Vec<(Range<usize>, f32)> {
    let named = named_in(text, &words(analyzer, text), now);
    let shown = named.iter().inspect(|named| assert!(!named.when.to_string().is_empty()));
    shown.map(|named| (named.words.clone(), named.when.closeness((now, now)))).collect()
}

/// The senders that a question names, and what of it is embedded.
pub(crate) fn asked(
    text: &str,
    analyzer: &Analyzer,
    senders: &Senders,
    now: i64,
) -> (Vec<u32>, String) {
    let question = Question::new(text, analyzer, senders, |_| true, now);
    (question.senders, question.embedded)
}
