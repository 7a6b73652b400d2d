//! What a question says besides its words: whom and when it names, and what of it is embedded.

use std::ops::Range;

use embedded_db_indexing::sessions::Senders;
use embedded_db_indexing::text::{Analyzer, TextQuery};

use super::dates::{self, When};

/// A word of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Where it lies, in bytes.
    pub(super) range: Range<usize>,
    pub(super) folded: Box<str>,
}

pub(super) fn words(analyzer: &Analyzer, text: &str) -> Vec<Word> {
    let mut out = Vec::new();
    analyzer.words(text, &mut |range, folded| out.push(Word { range, folded: folded.into() }));
    out
}

/// A question, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    /// What is looked for in texts.
    pub(super) terms: TextQuery,
    /// The senders that are named.
    pub(super) senders: Vec<u32>,
    /// The times that are named.
    pub(super) dates: Vec<When>,
    /// The question without the names of senders.
    pub(super) embedded: String,
}

impl Question {
    /// Of the senders only those that are `present` can be named. `now` is what "yesterday" is seen
    /// from.
    pub(super) fn new(
        text: &str,
        analyzer: &Analyzer,
        senders: &Senders,
        present: impl Fn(u32) -> bool,
        now: i64,
    ) -> Self {
        let words = words(analyzer, text);
        let mut dates = dates::named_in(text, &words, now);
        let folded: Vec<Box<str>> = words.iter().map(|word| word.folded.clone()).collect();
        let skip = |at: usize| {
            let in_date = dates.iter().any(|date| date.certain && date.words.contains(&at));
            in_date || is_common(analyzer, text, &words, at)
        };
        let mut named = senders.named_in(&folded, present, skip);
        // A month without day or year that is a sender's name is the name.
        dates.retain(|date| {
            date.certain || !named.iter().any(|name| name.words.contains(&date.words.start))
        });
        let embedded = without(text, &words, named.iter().map(|name| &name.words));
        let mut senders: Vec<u32> =
            named.iter_mut().flat_map(|name| std::mem::take(&mut name.senders)).collect();
        senders.sort_unstable();
        senders.dedup();
        Self {
            terms: TextQuery::parse(analyzer, text, true),
            senders,
            dates: dates.into_iter().map(|date| date.when).collect(),
            embedded,
        }
    }

    /// The sender, if exactly one is named.
    pub(super) fn only_sender(&self) -> Option<u32> {
        if let [sender] = self.senders[..] { Some(sender) } else { None }
    }
}

/// Whether a word that might be a name is more likely one that says little: `will`, `may`, `i`.
/// With a capital, and not at the beginning, it is the name.
fn is_common(analyzer: &Analyzer, text: &str, words: &[Word], at: usize) -> bool {
    let word = &words[at];
    analyzer.is_stop_word(&word.folded)
        && (at == 0 || !text[word.range.clone()].starts_with(char::is_uppercase))
}

/// The text without some words, white space collapsed; the whole of it if no word is left.
fn without<'a>(
    text: &str,
    words: &[Word],
    dropped: impl Iterator<Item = &'a Range<usize>>,
) -> String {
    let mut kept = String::with_capacity(text.len());
    let (mut at, mut left) = (0, words.len());
    for range in dropped {
        let (first, last) = (&words[range.start].range, &words[range.end - 1].range);
        kept.push_str(&text[at..first.start]);
        kept.push(' ');
        // What is left of a possessive that is no part of the word: James'.
        at = last.end
            + if is_possessive(&text[last.end..]) {
                text[last.end..].chars().next().map_or(0, char::len_utf8)
            } else {
                0
            };
        left -= range.len();
    }
    if left == 0 {
        return text.trim().to_owned();
    }
    kept.push_str(&text[at..]);
    let collapsed = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    collapsed.trim_start_matches([',', ';', ':', ' ']).to_owned()
}

fn is_possessive(rest: &str) -> bool {
    let mut letters = rest.chars();
    matches!(letters.next(), Some('\'' | '\u{2019}'))
        && letters.next().is_none_or(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use embedded_db_common::Slot;
    use embedded_db_indexing::sessions::{Message, Sessions};
    use embedded_db_indexing::text::Language;

    use super::*;

    fn asked(senders: &[&str], text: &str) -> (Vec<String>, String, Vec<String>) {
        let mut sessions = Sessions::new();
        for (slot, sender) in (0..).zip(senders) {
            let sender = Some(*sender);
            let message = Message { chat: Some("c"), sender, words: 1, ..Message::default() };
            sessions.upsert(Slot(slot), message);
        }
        let analyzer = Analyzer::new(Language::English);
        let question = Question::new(text, &analyzer, sessions.senders(), |_| true, 0);
        let names = question.senders.iter().map(|s| sessions.senders().name(*s).to_owned());
        let terms = question.terms.terms().map(str::to_owned).collect();
        (names.collect(), question.embedded, terms)
    }

    #[test]
    fn names_are_found_and_not_embedded() {
        let all = ["Caroline", "Melanie Roe", "James", "May", "Will"];
        for (text, names, embedded) in [
            ("When did Caroline go?", vec!["Caroline"], "When did go?"),
            ("What is caroline's job?", vec!["Caroline"], "What is job?"),
            ("What is Caroline’s job?", vec!["Caroline"], "What is job?"),
            ("James' dog", vec!["James"], "dog"),
            ("Melanie and Caroline met", vec!["Caroline", "Melanie Roe"], "and met"),
            ("Did MELANIE ROE sing?", vec!["Melanie Roe"], "Did sing?"),
            ("Caroline, when?", vec!["Caroline"], "when?"),
            ("Caroline?", vec!["Caroline"], "Caroline?"),
            ("Carolines, James Roe-lane", vec!["James"], "Carolines, Roe-lane"),
            ("What may it be, and will it?", vec![], "What may it be, and will it?"),
            ("What did May say to Will?", vec!["May", "Will"], "What did say to ?"),
            ("What was said on 8 May?", vec![], "What was said on 8 May?"),
        ] {
            let (found, vector, _) = asked(&all, text);
            assert_eq!(
                (found, vector.as_str()),
                (names.iter().map(|n| n.to_string()).collect(), embedded),
                "{text}"
            );
        }
    }

    #[test]
    fn a_sender_called_like_a_month_is_no_date() {
        let now = 0;
        let mut sessions = Sessions::new();
        let message =
            Message { chat: Some("c"), sender: Some("June"), words: 1, ..Message::default() };
        sessions.upsert(Slot(0), message);
        let analyzer = Analyzer::new(Language::English);
        let asked = |text| Question::new(text, &analyzer, sessions.senders(), |_| true, now);
        assert!(asked("what did June say").dates.is_empty());
        assert_eq!(asked("what did June say").only_sender(), Some(0));
        assert_eq!(asked("what was on June 5").dates.len(), 1);
        assert_eq!(asked("what was on June 5").only_sender(), None);
    }

    #[test]
    fn terms_leave_out_what_says_little() {
        let (_, _, terms) = asked(&["Ann"], "When did Ann go to the support groups?");
        assert_eq!(terms, ["ann", "go", "support", "group"]);
        let (_, _, terms) = asked(&[], "who are you");
        assert_eq!(terms, ["who", "are", "you"], "a question of nothing else keeps them");
    }
}
