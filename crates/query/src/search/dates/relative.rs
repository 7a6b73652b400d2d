//! Times that are counted from today: `yesterday`, `two days ago`, `last week`, `on Friday`.

use embedded_db_common::calendar::{date, days_before};

use super::{DAY, Named, Reader, When, digits};

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Words before a weekday with which it is not the latest one.
const NOT_LATEST: [&str; 9] =
    ["next", "this", "every", "each", "coming", "following", "by", "until", "till"];

/// Numbers that are written out, from one on.
const ONES: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

/// From twenty on.
const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// Days back, and the words that say so. "Two days before yesterday" is none of them.
const SINGLE_DAYS: [(i64, &[&str]); 8] = [
    (0, &["today"]),
    (0, &["tonight"]),
    (0, &["this", "morning"]),
    (0, &["this", "afternoon"]),
    (0, &["this", "evening"]),
    (1, &["yesterday"]),
    (1, &["last", "night"]),
    (2, &["day", "before", "yesterday"]),
];

/// How many, at the least and at the most, and how many words say so.
struct Count {
    fewest: i64,
    most: i64,
    words: usize,
}

impl Reader<'_> {
    /// The time that the words from a place on name, seen from now.
    pub(super) fn relative(&self, at: usize, now: i64) -> Option<Named> {
        let today = now.div_euclid(DAY);
        let (when, length) = self
            .single_day(at, today)
            .or_else(|| self.ago(at, today))
            .or_else(|| self.past(at, today))
            .or_else(|| self.last_weekend(at, today))
            .or_else(|| self.calendar(at, today))
            .or_else(|| self.weekday(at, today))?;
        let words = at..at + length;
        self.is_phrase(words.clone()).then_some(Named { when, words, certain: true })
    }

    fn reads(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, word)| self.word(at + i) == Some(word))
    }

    fn before(&self, at: usize) -> Option<&str> {
        self.word(at.checked_sub(1)?)
    }

    fn single_day(&self, at: usize, today: i64) -> Option<(When, usize)> {
        let (back, words) = SINGLE_DAYS.iter().find(|(_, words)| self.reads(at, words))?;
        let is_counted = *back == 1 && self.before(at) == Some("before");
        (!is_counted).then_some((exactly(today - back), words.len()))
    }

    /// `3 days ago`, `a week ago`, `a few months ago`.
    fn ago(&self, at: usize, today: i64) -> Option<(When, usize)> {
        let Count { fewest, most, words } = self.count(at)?;
        let unit = Unit::of(self.word(at + words)?)?;
        let is_ago = self.word(at + words + 1) == Some("ago");
        is_ago.then_some((unit.ago(fewest, most, today), words + 2))
    }

    /// `the past 3 days`, `the last two weeks`.
    fn past(&self, at: usize, today: i64) -> Option<(When, usize)> {
        if !is_last(self.word(at)?) {
            return None;
        }
        let Count { most, words, .. } = self.count(at + 1)?;
        let unit = Unit::of(self.word(at + 1 + words)?)?;
        Some((unit.last(most, today), words + 2))
    }

    /// The last one that is over, or was before today's.
    fn last_weekend(&self, at: usize, today: i64) -> Option<(When, usize)> {
        let named = is_last(self.word(at)?) && self.word(at + 1) == Some("weekend");
        let saturday = monday_of(today) - 2;
        named.then_some((When::Days { first: saturday, last: saturday + 1 }, 2))
    }

    /// `last week`, `this month`; not `the last week of May`.
    fn calendar(&self, at: usize, today: i64) -> Option<(When, usize)> {
        let word = self.word(at)?;
        let back = i64::from(is_last(word));
        let unit = Unit::of(self.word(at + 1)?)?;
        if !(back == 1 || word == "this") || self.word(at + 2) == Some("of") {
            return None;
        }
        let when = match unit {
            Unit::Day => return None,
            Unit::Week => {
                let monday = monday_of(today) - 7 * back;
                When::Days { first: monday, last: monday + 6 }
            }
            Unit::Month => {
                let (year, month, _) = date(today);
                let (year, month) = month_before(year, month, back);
                When::Month { month, year: Some(year) }
            }
            Unit::Year => Unit::Year.ago(back, back, today),
        };
        Some((when, 2))
    }

    /// `Friday`, `on Friday`: the latest one, today's too; `last Friday`: before today.
    fn weekday(&self, at: usize, today: i64) -> Option<(When, usize)> {
        let is_last = is_last(self.word(at)?);
        let length = 1 + usize::from(is_last);
        let named = self.word(at + length - 1)?;
        let day = WEEKDAYS.iter().position(|day| *day == named)? as i64;
        if self.before(at).is_some_and(|word| NOT_LATEST.contains(&word)) {
            return None;
        }
        let back = (today - monday_of(today) - day).rem_euclid(7);
        let back = if is_last && back == 0 { 7 } else { back };
        Some((exactly(today - back), length))
    }

    /// A number that is not the end of a larger one.
    fn count(&self, at: usize) -> Option<Count> {
        let is_part = |word: &str| {
            let is_number = digits(word) || ONES.contains(&word) || TENS.contains(&word);
            is_number || matches!(word, "half" | "quarter" | "hundred" | "thousand" | "dozen")
        };
        let before = match self.before(at) {
            Some("and") => self.before(at - 1),
            before => before,
        };
        if before.is_some_and(is_part) {
            return None;
        }
        let exactly = |number, words| Some(Count { fewest: number, most: number, words });
        let word = self.word(at)?;
        if let Some(ten) = TENS.iter().position(|ten| *ten == word) {
            let tens = 10 * (ten as i64 + 2);
            let one =
                self.word(at + 1).and_then(|next| ONES[..9].iter().position(|it| *it == next));
            return one.map_or_else(|| exactly(tens, 1), |one| exactly(tens + one as i64 + 1, 2));
        }
        if let Some(one) = ONES.iter().position(|one| *one == word) {
            return exactly(one as i64 + 1, 1);
        }
        if word.len() <= 3 && digits(word) {
            return exactly(word.parse().ok()?, 1);
        }
        let article = usize::from(matches!(word, "a" | "an"));
        match self.word(at + article)? {
            "couple" => {
                let of = usize::from(self.word(at + article + 1) == Some("of"));
                exactly(2, article + 1 + of)
            }
            "few" => Some(Count { fewest: 2, most: 5, words: article + 1 }),
            _ if article == 1 => exactly(1, 1),
            _ => None,
        }
    }
}

fn is_last(word: &str) -> bool {
    matches!(word, "last" | "past" | "previous")
}

/// What times are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    fn of(word: &str) -> Option<Self> {
        Some(match word.strip_suffix('s').unwrap_or(word) {
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// What `fewest` to `most` of them ago means: a week ago is three days more or less, a month or a
    /// year ago is all of that month or year.
    fn ago(self, fewest: i64, most: i64, today: i64) -> When {
        let (year, month, _) = date(today);
        let first_of_month = |back: i64| {
            let (year, month) = month_before(year, month, back);
            days_before(year, month)
        };
        let (first, last) = match self {
            Self::Day => (today - most, today - fewest),
            Self::Week => (today - 7 * most - 3, today - 7 * fewest + 3),
            Self::Month => (first_of_month(most), first_of_month(fewest - 1) - 1),
            Self::Year => (days_before(year - most, 1), days_before(year - fewest + 1, 1) - 1),
        };
        When::Days { first, last }
    }

    /// The last so many of them, today included.
    fn last(self, count: i64, today: i64) -> When {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
            Self::Year => 366,
        };
        When::Days { first: today - count * days, last: today }
    }
}

pub(super) fn exactly(day: i64) -> When {
    When::Days { first: day, last: day }
}

/// The Monday of a day's week. 1970-01-01 was a Thursday.
fn monday_of(day: i64) -> i64 {
    day - (day + 3).rem_euclid(7)
}

fn month_before(year: i64, month: u32, back: i64) -> (i64, u32) {
    let months = year * 12 + i64::from(month) - 1 - back;
    (months.div_euclid(12), months.rem_euclid(12) as u32 + 1)
}
