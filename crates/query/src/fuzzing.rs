//! What must hold of any text: asked by the fuzzers, and of their corpora by the tests.

use embedded_db_common::Slot;
use embedded_db_indexing::sessions::{Message, Sessions};
use embedded_db_indexing::text::{Analyzer, Language, TextExpression, TextMatcher, TextQuery};

use crate::search::fuzzing::{asked, dates_of};

/// Longest term in bytes.
const LONGEST: usize = 64;

/// Takes a text apart, in words, terms, dates, and as a question about who is named. The first eight bytes
/// are the time at which it is asked.
///
/// # Panics
///
/// When what is found lies elsewhere than it says.
pub fn text(bytes: &[u8]) {
    let (now, bytes) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], bytes));
    let (now, text) = (i64::from_le_bytes(*now), String::from_utf8_lossy(bytes));
    for language in [Language::English, Language::None] {
        let analyzer = Analyzer::new(language);
        let words = words(&analyzer, &text);
        terms(&analyzer, &text, words);
        query(&analyzer, &text);
        for (range, near) in dates_of(&analyzer, &text, now) {
            assert!(range.start < range.end && range.end <= words, "{range:?} of {words} words");
            assert!((0.0..=1.3).contains(&near), "{near}");
        }
        let mut sessions = Sessions::new();
        for (slot, sender) in (0..).zip(["Ann", "Ann Lee", "May", "James", "漢字", "Éva O'Neil"])
        {
            let message =
                Message { chat: Some("c"), sender: Some(sender), words: 1, ..Message::default() };
            sessions.upsert(Slot(slot), message);
        }
        let (named, embedded) = asked(&text, &analyzer, sessions.senders(), now);
        assert!(named.iter().all(|sender| *sender < 6) && named.is_sorted(), "{named:?}");
        assert!(embedded.len() <= text.len() && embedded.trim_end() == embedded, "{embedded:?}");
    }
}

/// How many words there are; they follow each other and are whole.
fn words(analyzer: &Analyzer, text: &str) -> usize {
    let (mut count, mut end) = (0, 0);
    analyzer.words(text, &mut |range, folded| {
        assert!(range.start >= end && range.start < range.end, "{range:?} after {end}");
        assert!(text.get(range.clone()).is_some(), "{range:?} cuts a character");
        assert!(!folded.is_empty() && folded.len() <= LONGEST, "{folded:?}");
        (count, end) = (count + 1, range.end);
        let _listed = analyzer.is_stop_word(folded);
    });
    count
}

fn terms(analyzer: &Analyzer, text: &str, words: usize) {
    let mut found = Vec::new();
    analyzer.terms(text, &mut |term, position| {
        assert_eq!(position as usize, found.len(), "words are counted");
        assert!(!term.is_empty() && term.len() <= LONGEST, "{term:?}");
        found.push(term.to_owned());
    });
    assert_eq!(found.len(), words);
    // Again, from what the stemmer remembers.
    analyzer.terms(text, &mut |term, position| assert_eq!(term, found[position as usize]));
    let query = TextQuery::parse(analyzer, text, false);
    assert!(query.terms().all(|term| found.iter().any(|it| it == term)));
    assert_eq!(query.is_empty(), found.is_empty());
    assert_eq!(TextQuery::parse(analyzer, text, true).is_empty(), found.is_empty());
}

/// A query in the syntax, asked of itself: a mistake, or what finds words where they are.
fn query(analyzer: &Analyzer, text: &str) {
    let Ok(expression) = TextExpression::parse(text) else { return };
    let matcher = TextMatcher::new(analyzer, &expression);
    let _found = matcher.matches(&matcher.read(analyzer, [text]));
    let mut end = 0;
    for place in matcher.places(analyzer, text) {
        assert!(place.start >= end && place.start < place.end, "{place:?} after {end}");
        assert!(text.get(place.clone()).is_some(), "{place:?} cuts a character");
        end = place.end;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn texts_of_the_corpus() {
        embedded_db_testing::corpus("text", super::text);
    }
}
