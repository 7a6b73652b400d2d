//! Which names are one name, and which name may stand for another: from their letters alone.

use unicode_normalization::UnicodeNormalization;

use super::mentions::fold;

/// Titles that fit one person of any kind…
const TITLES: [(&str, &str); 5] =
    [("dr", "dr"), ("doctor", "dr"), ("prof", "prof"), ("professor", "prof"), ("rev", "rev")];
/// …and those that say more: with a last name they are one of a family.
const FAMILY_TITLES: [(&str, &str); 9] = [
    ("mr", "mr"),
    ("mister", "mr"),
    ("mrs", "mrs"),
    ("ms", "ms"),
    ("miss", "miss"),
    ("sir", "sir"),
    ("lady", "lady"),
    ("lord", "lord"),
    ("madam", "madam"),
];
/// Behind a name, they tell a father from a son.
const SUFFIXES: [&str; 7] = ["jr", "sr", "junior", "senior", "ii", "iii", "iv"];
/// Behind the name of a firm, they tell nothing.
const LEGAL: [&str; 9] =
    ["inc", "incorporated", "ltd", "limited", "llc", "corp", "corporation", "gmbh", "plc"];
/// Words whose initials an acronym leaves out.
const SMALL: [&str; 8] = ["of", "and", "the", "for", "in", "on", "&", "de"];

/// What a name may be evidence of, or wait for, in its chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Long {
    /// A person by first and last name.
    Full = 1,
    /// A title with one name.
    Titled = 2,
    /// The same with a title of a family.
    OfFamily = 3,
    /// An organisation whose initials are another name of it.
    Initials = 4,
}

impl Long {
    pub(super) fn of(number: u8) -> Option<Self> {
        [Self::Full, Self::Titled, Self::OfFamily, Self::Initials]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// How a name is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// Names of one key are one name, wherever they are said.
    pub(super) key: String,
    /// What may stand for it within a chat; empty if nothing may.
    pub(super) short_forms: Vec<(Long, String)>,
    /// What it may stand for within a chat.
    pub(super) stands_for: Option<StandsFor>,
}

/// A name that another one of the same chat may complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StandsFor {
    /// One name of a person, or a handle.
    Part(String),
    /// A title with a last name.
    Titled(String),
    /// A title of a family with a last name: that of no one else.
    OfFamily(String),
    /// Initials.
    Initials(String),
}

impl StandsFor {
    /// By which it is found.
    pub(super) fn token(&self) -> &str {
        match self {
            Self::Part(token)
            | Self::Titled(token)
            | Self::OfFamily(token)
            | Self::Initials(token) => token,
        }
    }
}

/// A class of people.
pub(super) const PERSON: &str = "person";

/// Whether a class is that of people.
pub(super) fn is_person(entity_type: &str) -> bool {
    [PERSON, "per", "people"].iter().any(|name| entity_type.eq_ignore_ascii_case(name))
}

/// Names of one key are one name. People have keys of their own, so that Washington is two.
pub(super) fn key(name: &str, entity_type: &str) -> String {
    read(name, entity_type).key
}

/// Reads a name of a class.
pub(super) fn read(name: &str, entity_type: &str) -> Reading {
    if is_person(entity_type) { read_person(name) } else { read_other(name) }
}

fn read_person(name: &str) -> Reading {
    let mut words = words(name);
    let mut title = None;
    while words.len() > 1
        && let Some(found) = title_of(&words[0])
    {
        title = title.or(Some(found));
        words.remove(0);
    }
    let names = words.iter().rev().skip_while(|word| is_suffix(word)).count();
    let (mut short_forms, mut stands_for) = (Vec::new(), None);
    let mut said = words.join(" ");
    if let ([only], Some((title, of_family))) = (&words[..], title) {
        said = format!("{title} {only}");
        let long = if of_family { Long::OfFamily } else { Long::Titled };
        short_forms.push((long, only.clone()));
        let token = only.clone();
        stands_for =
            Some(if of_family { StandsFor::OfFamily(token) } else { StandsFor::Titled(token) });
    } else if let [only] = &words[..] {
        let handle = if name.trim_start().starts_with('@') { "@" } else { "" };
        stands_for = Some(StandsFor::Part(format!("{handle}{only}")));
    } else if names > 1 {
        for token in [&words[0], &words[names - 1]] {
            short_forms.push((Long::Full, token.clone()));
        }
        short_forms.push((Long::Full, format!("@{}", words.concat())));
        short_forms.dedup();
    }
    Reading { key: keyed("person", name, said), short_forms, stands_for }
}

fn read_other(name: &str) -> Reading {
    let mut words = words(name);
    if words.len() > 1 && words[0] == "the" {
        words.remove(0);
    }
    while words.len() > 1 && words.last().is_some_and(|word| LEGAL.contains(&word.as_str())) {
        words.pop();
    }
    let initials: String = words
        .iter()
        .filter(|word| !SMALL.contains(&word.as_str()))
        .filter_map(|word| word.chars().next())
        .collect();
    let (mut short_forms, mut stands_for) = (Vec::new(), None);
    if initials.chars().count() > 2 {
        short_forms.push((Long::Initials, format!("^{initials}")));
    }
    if let [only] = &words[..]
        && (3..=6).contains(&only.chars().count())
        && only.chars().all(char::is_alphabetic)
        && !name.chars().any(char::is_lowercase)
    {
        stands_for = Some(StandsFor::Initials(format!("^{only}")));
    }
    Reading { key: keyed("thing", name, words.join(" ")), short_forms, stands_for }
}

/// Something must be left of a name.
fn keyed(class: &str, name: &str, said: String) -> String {
    let said = if said.is_empty() { fold(name) } else { said };
    format!("{class}:{said}")
}

fn title_of(word: &str) -> Option<(&'static str, bool)> {
    let find = |titles: &[(&str, &'static str)]| {
        titles.iter().find(|(title, _)| *title == word).map(|(_, short)| *short)
    };
    let found = find(&TITLES).map(|title| (title, false));
    found.or_else(|| find(&FAMILY_TITLES).map(|title| (title, true)))
}

fn is_suffix(word: &str) -> bool {
    SUFFIXES.contains(&word)
}

/// The words of a name in lower case, without possessives and punctuation. Letters that Unicode can write in several
/// ways, like an accent or a wide form, are the same.
fn words(name: &str) -> Vec<String> {
    let name: String = name.trim().nfkc().collect();
    let name = name.trim();
    let handle = name.strip_prefix('@');
    let spaced = handle.map(split_humps);
    let name = spaced.as_deref().unwrap_or(name).replace(['\u{2019}', '\u{2018}', '`'], "'");
    let kept = |c: char| c.is_alphanumeric() || matches!(c, '+' | '#' | '&');
    let name = without_possessive(name.trim_end_matches(|c: char| !kept(c) && c != '\''));
    let is_gap = |c: char| c.is_whitespace() || matches!(c, '_' | '-' | '/' | ',' | '\u{2013}');
    let mut out = Vec::new();
    for word in name.split(is_gap) {
        let word: String = word.chars().filter(|c| *c != '.' && !is_invisible(*c)).collect();
        let word = word.trim_matches(|c| !kept(c));
        if !word.is_empty() {
            out.push(word.chars().flat_map(char::to_lowercase).collect());
        }
    }
    out
}

/// Characters that are not seen: soft hyphens, joiners, marks of direction and of the order of bytes.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn without_possessive(name: &str) -> &str {
    let stripped = name.strip_suffix("'s").or_else(|| name.strip_suffix("'S"));
    stripped.or_else(|| name.strip_suffix('\'')).unwrap_or(name)
}

/// `AnnaSmith` has two words.
fn split_humps(handle: &str) -> String {
    let mut out = String::with_capacity(handle.len() + 2);
    let mut lower = false;
    for c in handle.chars() {
        if lower && c.is_uppercase() {
            out.push(' ');
        }
        lower = c.is_lowercase();
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_name_have_one_key() {
        for (entity_type, names) in [
            ("GPE", &["Paris", "paris", "PARIS", "Paris's", "Paris’s", " Paris, ", "Paris'"][..]),
            ("GPE", &["Paris", "Pa\u{200b}ris", "\u{feff}Paris", "Pa\u{ad}ris\u{200d}"]),
            ("GPE", &["U.S.", "US", "u.s."]),
            ("GPE", &["München", "Mu\u{308}nchen", "\u{ff2d}ünchen"]),
            (
                "PERSON",
                &["Anna Smith", "anna smith", "Dr. Anna Smith", "@anna_smith", "@AnnaSmith"],
            ),
            ("PERSON", &["Dr Smith", "Dr. Smith", "doctor Smith", "Dr. Smith's"]),
            ("PERSON", &["Jean-Luc Picard", "Jean Luc Picard"]),
            ("ORG", &["Apple", "Apple Inc.", "Apple, Inc"]),
            ("ORG", &["Beatles", "the Beatles", "The Beatles'"]),
        ] {
            for name in names {
                assert_eq!(key(name, entity_type), key(names[0], entity_type), "{name}");
            }
        }
    }

    #[test]
    fn names_that_differ_have_keys_of_their_own() {
        for ((one, its), (other, the)) in [
            (("John Smith", "PERSON"), ("John Smith Jr.", "PERSON")),
            (("Dr Smith", "PERSON"), ("Mr Smith", "PERSON")),
            (("Smith", "PERSON"), ("Dr Smith", "PERSON")),
            (("Washington", "PERSON"), ("Washington", "GPE")),
            (("C", "PRODUCT"), ("C++", "PRODUCT")),
            (("C#", "PRODUCT"), ("C++", "PRODUCT")),
            (("Air France", "ORG"), ("France", "GPE")),
            (("!!!", "ORG"), ("???", "ORG")),
        ] {
            assert_ne!(key(one, its), key(other, the), "{one} {other}");
        }
    }

    #[test]
    fn every_name_has_a_key() {
        for name in ["", " ", "'", "'s", ".", "@", "the", "Dr", "Jr", "Inc", "the Inc", "Mr Jr"] {
            for entity_type in ["PERSON", "ORG"] {
                assert!(key(name, entity_type).contains(':'), "{name}");
            }
        }
    }

    #[test]
    fn a_short_name_may_stand_for_a_long_one() {
        let stands = |name, entity_type| {
            let found = read(name, entity_type).stands_for;
            found.map(|found| found.token().to_owned())
        };
        let forms = |name, entity_type| -> Vec<String> {
            read(name, entity_type).short_forms.into_iter().map(|(_, token)| token).collect()
        };
        assert_eq!(forms("Anna Smith", "PERSON"), ["anna", "smith", "@annasmith"]);
        assert_eq!(forms("John Smith Jr.", "PERSON"), ["john", "smith", "@johnsmithjr"]);
        assert_eq!(forms("International Business Machines Corp.", "ORG"), ["^ibm"]);
        assert_eq!(forms("Bank of England", "ORG"), Vec::<String>::new());
        assert_eq!(stands("Smith's", "PERSON").as_deref(), Some("smith"));
        assert_eq!(stands("@annasmith", "PERSON").as_deref(), Some("@annasmith"));
        assert_eq!(stands("I.B.M.", "ORG").as_deref(), Some("^ibm"));
        assert_eq!(stands("Ibm", "ORG"), None);
        assert_eq!(stands("Paris", "GPE"), None);
    }
}
