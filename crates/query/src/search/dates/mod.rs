//! Times that a question names, and how near a session lies to them. Times are UTC.

mod relative;

use std::fmt;
use std::ops::{Range, RangeInclusive};

use embedded_db_common::calendar::{date, days_before};

use super::question::Word;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Dates of one question that count.
const MOST: usize = 16;
/// Days over which closeness to a named day falls to 1/e.
const FADING: f32 = 4.0;
/// Closeness of a session that lies in the month of a named day.
const SAME_MONTH: f32 = 0.3;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Words before a month that show it to be one.
const LEADING: [&str; 14] = [
    "in", "since", "until", "till", "by", "during", "of", "last", "next", "early", "late", "mid",
    "before", "after",
];

/// A time as a question names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// A month, of a year or of any.
    Month { month: u32, year: Option<i64> },
    /// A day, of a year or of any.
    Day { day: u32, month: u32, year: Option<i64> },
    /// Days since 1970, both included.
    Days { first: i64, last: i64 },
}

/// A time and the words that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) when: When,
    pub(super) words: Range<usize>,
    /// Nothing else can be meant: not a person called May.
    pub(super) certain: bool,
}

impl When {
    /// How near a session with messages from `span.0` to `span.1` lies: for a month 0 or 1, for a
    /// date up to 1.3, for days that are counted from today up to 1.
    pub(super) fn closeness(self, span: (i64, i64)) -> f32 {
        let session = span.0.div_euclid(DAY)..=span.1.div_euclid(DAY);
        match self {
            // Who counts days means these: the day after, of whose eve is told, is much less near.
            Self::Days { first, last } => {
                let (until, since) = (distance(&session, last), distance(&session, first));
                let days = if overlap(&session, &(first..=last)) { 0 } else { until.min(since) };
                (-(days as f32)).exp()
            }
            Self::Month { month, year } => f32::from(in_month(&session, month, year)),
            Self::Day { day, month, year } => {
                let same_month = f32::from(in_month(&session, month, year)) * SAME_MONTH;
                let distance = years(&session, year)
                    .filter_map(|year| day_number(year, month, day))
                    .map(|day| distance(&session, day))
                    .min();
                same_month + distance.map_or(0.0, |days| (-(days as f32) / FADING).exp())
            }
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |month: u32| {
            let name = MONTHS[month as usize - 1];
            format!("{}{}", name[..1].to_uppercase(), &name[1..])
        };
        let year = |year: Option<i64>| year.map_or(String::new(), |year| format!(" {year}"));
        match *self {
            Self::Month { month, year: of } => write!(f, "{}{}", name(month), year(of)),
            Self::Day { day, month, year: of } => write!(f, "{day} {}{}", name(month), year(of)),
            Self::Days { first, last } => {
                let iso = |day: i64| {
                    let (year, month, day) = date(day);
                    format!("{year:04}-{month:02}-{day:02}")
                };
                if first == last {
                    let (year, month, day) = date(first);
                    write!(f, "{}", Self::Day { day, month, year: Some(year) })
                } else {
                    write!(f, "{} to {}", iso(first), iso(last))
                }
            }
        }
    }
}

/// The times that a text names. `now` is what "yesterday" is seen from.
pub(super) fn named_in(text: &str, words: &[Word], now: i64) -> Vec<Named> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < words.len() && out.len() < MOST {
        let reader = Reader { text, words };
        let found =
            reader.iso(at).or_else(|| reader.relative(at, now)).or_else(|| reader.month(at));
        match found {
            Some(named) => {
                at = named.words.end.max(at + 1);
                out.push(named);
            }
            None => at += 1,
        }
    }
    out
}

struct Reader<'a> {
    text: &'a str,
    words: &'a [Word],
}

impl Reader<'_> {
    fn word(&self, at: usize) -> Option<&str> {
        self.words.get(at).map(|word| &*word.folded)
    }

    /// What stands between a word and the next.
    fn gap(&self, at: usize) -> &str {
        match (self.words.get(at), self.words.get(at + 1)) {
            (Some(word), Some(next)) => &self.text[word.range.end..next.range.start],
            _ => "",
        }
    }

    /// Whether words stand beside each other with nothing but white space or a hyphen between.
    fn is_phrase(&self, words: Range<usize>) -> bool {
        let is_between = |c: char| c.is_whitespace() || c == '-';
        (words.start..words.end.saturating_sub(1)).all(|at| self.gap(at).chars().all(is_between))
    }

    /// Whether a word and the next belong together in a date.
    fn joined(&self, at: usize) -> bool {
        self.gap(at).chars().all(|c| c.is_whitespace() || matches!(c, ',' | '.' | '-' | '/'))
    }

    /// `2023-05-08`, `2023/05/08`, `2023-05`.
    fn iso(&self, at: usize) -> Option<Named> {
        let year = year(self.word(at)?)?;
        let separator = self.gap(at);
        if separator != "-" && separator != "/" {
            return None;
        }
        let month = two_digits(self.word(at + 1)?).filter(|month| (1..=12).contains(month))?;
        if self.gap(at + 1) == separator
            && let Some(day) = self.word(at + 2).and_then(|word| two_digits(before_time(word)))
            && day_number(year, month, day).is_some()
        {
            let when = When::Day { day, month, year: Some(year) };
            return Some(Named { when, words: at..at + 3, certain: true });
        }
        let when = When::Month { month, year: Some(year) };
        (separator == "-").then_some(Named { when, words: at..at + 2, certain: true })
    }

    /// `8 May 2023`, `the 8th of May`, `May 8th, 2023`, `in May`.
    fn month(&self, at: usize) -> Option<Named> {
        let (month, is_plain) = month(self.word(at)?)?;
        let (mut start, mut end) = (at, at + 1);
        let mut day = None;
        let of = at.checked_sub(1).filter(|&before| self.word(before) == Some("of"));
        if let Some(before) = of.unwrap_or(at).checked_sub(1)
            && let Some(found) = self.word(before).and_then(day_of_month)
            && (before..at).all(|at| self.joined(at))
        {
            (day, start) = (Some(found), before);
        } else if self.joined(at) {
            let next = if self.word(end) == Some("the") { end + 1 } else { end };
            if let Some(found) = self.word(next).and_then(day_of_month) {
                (day, end) = (Some(found), next + 1);
            }
        }
        let next = if day.is_none() && self.word(end) == Some("of") { end + 1 } else { end };
        let year = self.word(next).and_then(year).filter(|_| self.joined(end - 1));
        if year.is_some() {
            end = next + 1;
        }
        let day = day.filter(|&day| day_number(year.unwrap_or(2000), month, day).is_some());
        let certain = day.is_some() || year.is_some();
        if !(certain || is_plain || self.is_meant(at)) {
            return None;
        }
        let when = match day {
            Some(day) => When::Day { day, month, year },
            None => When::Month { month, year },
        };
        Some(Named { when, words: start..end, certain })
    }

    /// Whether a word that is also another word is a month here: after a preposition, or with a
    /// capital inside a sentence.
    fn is_meant(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return false };
        if self.word(before).is_some_and(|word| LEADING.contains(&word)) {
            return true;
        }
        let mut letters = self.text[self.words[at].range.clone()].chars();
        let is_title =
            letters.next().is_some_and(char::is_uppercase) && letters.all(char::is_lowercase);
        // "this May", but "this may help".
        is_title && !self.gap(before).contains(['.', '!', '?', ':', '\n'])
    }
}

/// The month of a word, and whether the word means nothing else.
fn month(word: &str) -> Option<(u32, bool)> {
    let at = MONTHS.iter().position(|month| {
        *month == word
            || (word.len() == 3 && month.starts_with(word))
            || (word == "sept" && *month == "september")
    })?;
    let is_plain = word.len() > 4 && word != "march" || word == "june" || word == "july";
    Some((at as u32 + 1, is_plain))
}

fn year(word: &str) -> Option<i64> {
    let is_year = word.len() == 4 && !word.starts_with('0') && digits(word);
    is_year.then(|| word.parse().ok()).flatten()
}

fn two_digits(word: &str) -> Option<u32> {
    (word.len() == 2 && digits(word)).then(|| word.parse().ok()).flatten()
}

/// `08t10` of `2023-05-08T10:00` without its time.
fn before_time(word: &str) -> &str {
    word.split_once('t').map_or(word, |(day, _)| day)
}

fn day_of_month(word: &str) -> Option<u32> {
    let number = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end));
    let number = number.unwrap_or(word);
    let day = (number.len() <= 2 && digits(number)).then(|| number.parse().ok()).flatten()?;
    (1..=31).contains(&day).then_some(day)
}

fn digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn overlap(a: &RangeInclusive<i64>, b: &RangeInclusive<i64>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

fn distance(session: &RangeInclusive<i64>, day: i64) -> i64 {
    (session.start() - day).max(day - session.end()).max(0)
}

fn in_month(session: &RangeInclusive<i64>, month: u32, year: Option<i64>) -> bool {
    years(session, year).any(|year| {
        let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first = days_before(year, month);
        overlap(session, &(first..=days_before(next_year, next) - 1))
    })
}

/// The year, or those around a session. Of a session over many years the first ones do: it lies in
/// every month of them.
fn years(session: &RangeInclusive<i64>, year: Option<i64>) -> RangeInclusive<i64> {
    match year {
        Some(year) => year..=year,
        None => {
            let (first, last) = (date(*session.start()).0, date(*session.end()).0);
            first - 1..=(last + 1).min(first + 8)
        }
    }
}

fn day_number(year: i64, month: u32, day: u32) -> Option<i64> {
    let number = days_before(year, month) + i64::from(day) - 1;
    (day >= 1 && date(number) == (year, month, day)).then_some(number)
}

#[cfg(test)]
mod tests {
    use embedded_db_indexing::text::{Analyzer, Language};
    use proptest::prelude::*;

    use super::relative::exactly;
    use super::*;

    /// Wednesday, 2024-03-06.
    const NOW: i64 = 19_788 * DAY + 12_345;

    fn dates(text: &str) -> Vec<String> {
        let words = super::super::question::words(&Analyzer::new(Language::English), text);
        named_in(text, &words, NOW).iter().map(|named| named.when.to_string()).collect()
    }

    #[test]
    fn dates_are_read_as_people_write_them() {
        for (text, expected) in [
            ("Who sang on 8 May 2023?", "8 May 2023"),
            ("the 8th of May, 2023", "8 May 2023"),
            ("May 8th, 2023", "8 May 2023"),
            ("On Dec. 31 we", "31 December"),
            ("sept 3", "3 September"),
            ("may the 4th", "4 May"),
            ("in may", "May"),
            ("in MAY", "May"),
            ("What did Ann do last May?", "May"),
            ("the party in June 2022", "June 2022"),
            ("August of 2021", "August 2021"),
            ("on 2023-05-08", "8 May 2023"),
            ("at 2023-05-08T10:00:00Z", "8 May 2023"),
            ("during 2023-05", "May 2023"),
            ("2023/05/08", "8 May 2023"),
            ("february 30 was cold", "February"),
            ("on 29 February", "29 February"),
            ("29 February 2023", "February 2023"),
            ("yesterday", "5 March 2024"),
            ("and today?", "6 March 2024"),
            ("last week", "2024-02-26 to 2024-03-03"),
            ("this week", "2024-03-04 to 2024-03-10"),
            ("last month", "February 2024"),
            ("this year", "2024-01-01 to 2024-12-31"),
            ("last year", "2023-01-01 to 2023-12-31"),
            ("the day before yesterday", "4 March 2024"),
            ("this morning", "6 March 2024"),
            ("last night", "5 March 2024"),
            ("two days ago", "4 March 2024"),
            ("3 days ago", "3 March 2024"),
            ("a few days ago", "2024-03-01 to 2024-03-04"),
            ("a couple of days ago", "4 March 2024"),
            ("a week ago", "2024-02-25 to 2024-03-02"),
            ("one month ago", "2024-02-01 to 2024-02-29"),
            ("three months ago", "2023-12-01 to 2023-12-31"),
            ("2 years ago", "2022-01-01 to 2022-12-31"),
            ("in the last 3 days", "2024-03-03 to 2024-03-06"),
            ("over the past two weeks", "2024-02-21 to 2024-03-06"),
            ("last weekend", "2024-03-02 to 2024-03-03"),
            ("what was on Friday", "1 March 2024"),
            ("last Wednesday", "28 February 2024"),
            ("on Wednesday", "6 March 2024"),
            ("Monday", "4 March 2024"),
            ("twenty-one days ago", "14 February 2024"),
            ("twenty one days ago", "14 February 2024"),
            ("thirty days ago", "5 February 2024"),
            ("the last week of May", "May"),
            ("do you come this May", "May"),
        ] {
            assert_eq!(dates(text), [expected], "{text}");
        }
        assert_eq!(dates("May 3 or 4 June, not july"), ["3 May", "4 June", "July"]);
    }

    #[test]
    fn other_words_are_no_dates() {
        for text in [
            "may I ask",
            "May I ask",
            "What may come? May be.",
            "they march on",
            "it marred the decor",
            "version 2023-13",
            "call 555-05-08",
            "5/8/2023",
            "next Friday",
            "this Friday",
            "by Friday",
            "every Friday",
            "the last day",
            "this may help",
            "a hundred and two days ago",
            "half a year ago",
            "one hundred days ago",
            "two days before yesterday",
            "there are two. Days ago we",
            "the last one. Week after week",
            "12.5 days ago",
            "a few weeks",
            "years ago",
            "maya, augusta",
            "WHAT MAY HAPPEN",
            "",
        ] {
            assert!(dates(text).is_empty(), "{text}: {:?}", dates(text));
        }
    }

    #[test]
    fn a_question_has_a_bounded_number_of_dates() {
        assert_eq!(dates(&"June ".repeat(10_000)).len(), MOST);
    }

    fn span(year: i64, month: u32, day: u32) -> (i64, i64) {
        let noon = day_number(year, month, day).unwrap() * DAY + DAY / 2;
        (noon, noon + 1)
    }

    #[test]
    fn near_days_are_closer() {
        let may = When::Month { month: 5, year: None };
        assert_eq!(may.closeness(span(2023, 5, 31)), 1.0);
        assert_eq!(may.closeness(span(1969, 5, 1)), 1.0);
        assert_eq!(may.closeness(span(2023, 6, 1)), 0.0);
        assert_eq!(When::Month { month: 5, year: Some(2022) }.closeness(span(2023, 5, 9)), 0.0);
        let day = When::Day { day: 1, month: 1, year: None };
        assert_eq!(day.closeness(span(2023, 1, 1)), 1.3);
        let e = (-0.25_f32).exp();
        assert!((day.closeness(span(2023, 1, 2)) - (0.3 + e)).abs() < 1e-6);
        assert!((day.closeness(span(2022, 12, 31)) - e).abs() < 1e-6, "over the turn of a year");
        let yesterday = exactly(day_number(2023, 5, 8).unwrap());
        assert_eq!(yesterday.closeness(span(2023, 5, 8)), 1.0);
        assert!(yesterday.closeness(span(2023, 5, 9)) < 0.4);
        assert!(yesterday.closeness(span(2023, 5, 6)) < 0.2);
        assert_eq!(may.closeness((i64::MIN, i64::MAX)), 1.0);
        assert!(day.closeness((i64::MIN, i64::MAX)) >= 1.0);
    }

    proptest! {
        #[test]
        fn days_have_dates_and_dates_have_days(day in -110_000_000i64..110_000_000) {
            let (year, month, of_month) = date(day);
            prop_assert_eq!(day_number(year, month, of_month), Some(day));
            let (next_year, next_month, next_day) = date(day + 1);
            let follows = (next_year, next_month, next_day) == (year, month, of_month + 1)
                || (next_day == 1 && (next_year * 12 + i64::from(next_month))
                    == year * 12 + i64::from(month) + 1);
            prop_assert!(follows);
        }

        #[test]
        fn any_text_is_read(text in "([a-z0-9 ]|may|june|8th|2023|-|/|of |\\PC){0,60}", now in any::<i64>()) {
            let words = super::super::question::words(&Analyzer::new(Language::English), &text);
            for named in named_in(&text, &words, now) {
                prop_assert!(named.words.start < named.words.end && named.words.end <= words.len());
                let near = named.when.closeness((now.saturating_sub(DAY), now));
                prop_assert!((0.0..=1.3).contains(&near));
            }
        }
    }
}
