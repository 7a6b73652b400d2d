//! Queries in the syntax against the obvious program: keep every text, cut it at its spaces, and look at each
//! word of each text.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;

/// Words whose stems end otherwise than they, are a few edits apart, or are stop words.
const WORDS: [&str; 24] = [
    "perform",
    "performance",
    "Performing",
    "perfect",
    "happy",
    "happiness",
    "hope",
    "hoping",
    "hop",
    "hopping",
    "colour",
    "colors",
    "Color",
    "the",
    "of",
    "to",
    "lake",
    "laek",
    "café",
    "cafe",
    "日",
    "v2",
    "running",
    "national",
];
const SLOTS: u32 = 40;

#[derive(Debug, Clone)]
enum Asked {
    Word(usize),
    Phrase(Vec<usize>),
    Prefix(usize, usize),
    Fuzzy(usize, u8),
    Group(Vec<Asked>, Vec<Asked>, Vec<Asked>),
    And(Vec<Asked>, Vec<Asked>),
    Or(Vec<Asked>),
}

fn term(word: &str) -> String {
    let mut out = String::new();
    Analyzer::new(Language::English).terms(word, &mut |term, _| out = term.to_owned());
    out
}

fn folded(word: &str) -> String {
    word.to_lowercase().replace('é', "e")
}

fn is_stop_word(word: usize) -> bool {
    matches!(WORDS[word], "the" | "of" | "to")
}

/// A beginning of a word, at a character.
fn beginning(word: usize, cut: usize) -> String {
    let length = WORDS[word].chars().count();
    WORDS[word].chars().take(1 + cut % length).collect()
}

/// Optimal string alignment, by the table of the definition.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let mut least = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        least = least.min(table[i - 2][j - 2] + 1);
                    }
                    least
                }
            };
        }
    }
    table[a.len()][b.len()]
}

impl Asked {
    fn written(&self) -> String {
        let all = |asked: &[Asked], before: &str, between: &str| {
            let all: Vec<String> =
                asked.iter().map(|asked| format!("{before}{}", asked.inner())).collect();
            all.join(between)
        };
        match self {
            Asked::Word(word) => WORDS[*word].to_owned(),
            Asked::Phrase(words) => format!("\"{}\"", text_of(words)),
            Asked::Prefix(word, cut) => format!("{}*", beginning(*word, *cut)),
            Asked::Fuzzy(word, edits) => format!("{}~{edits}", WORDS[*word]),
            Asked::Group(must, should, not) => {
                let parts = [all(must, "+", " "), all(should, "", " "), all(not, "-", " ")];
                parts.join(" ")
            }
            Asked::And(must, not) => {
                let not: String = not.iter().map(|it| format!(" AND NOT {}", it.inner())).collect();
                all(must, "", " AND ") + &not
            }
            Asked::Or(any) => all(any, "", " OR "),
        }
    }

    fn inner(&self) -> String {
        match self {
            Asked::Group(..) | Asked::And(..) | Asked::Or(_) => format!("({})", self.written()),
            _ => self.written(),
        }
    }

    fn holds(&self, words: &[usize]) -> bool {
        match self {
            Asked::Word(word) => Asked::Phrase(vec![*word]).holds(words),
            Asked::Phrase(own) => words.windows(own.len()).any(|window| {
                window.iter().zip(own).all(|(a, b)| term(WORDS[*a]) == term(WORDS[*b]))
            }),
            Asked::Prefix(word, cut) => {
                let beginning = folded(&beginning(*word, *cut));
                words.iter().any(|word| folded(WORDS[*word]).starts_with(&beginning))
            }
            Asked::Fuzzy(word, most) => words.iter().any(|other| {
                let term_of = term(WORDS[*other]);
                edits(&term(WORDS[*word]), &term_of) <= usize::from(*most)
                    || edits(&folded(WORDS[*word]), &term_of) <= usize::from(*most)
            }),
            Asked::Group(must, should, not) => {
                let stops =
                    |asked: &Asked| matches!(asked, Asked::Word(word) if is_stop_word(*word));
                let only_stops = must.is_empty() && should.iter().all(stops);
                must.iter().all(|asked| asked.holds(words))
                    && !not.iter().any(|asked| asked.holds(words))
                    && (!must.is_empty()
                        || should
                            .iter()
                            .any(|asked| (only_stops || !stops(asked)) && asked.holds(words)))
            }
            Asked::And(must, not) => {
                must.iter().all(|asked| asked.holds(words))
                    && !not.iter().any(|asked| asked.holds(words))
            }
            Asked::Or(any) => any.iter().any(|asked| asked.holds(words)),
        }
    }
}

fn text_of(words: &[usize]) -> String {
    words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" ")
}

fn asked() -> impl Strategy<Value = Asked> {
    let word = 0..WORDS.len();
    let leaf = prop_oneof![
        4 => word.clone().prop_map(Asked::Word),
        2 => prop::collection::vec(word.clone(), 1..4).prop_map(Asked::Phrase),
        2 => (word.clone(), 0usize..12).prop_map(|(word, cut)| Asked::Prefix(word, cut)),
        2 => (word, 1u8..3).prop_map(|(word, edits)| Asked::Fuzzy(word, edits)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let some = |least| prop::collection::vec(inner.clone(), least..3);
        prop_oneof![
            (some(0), some(1), some(0))
                .prop_map(|(must, should, not)| Asked::Group(must, should, not)),
            (some(2), some(0)).prop_map(|(must, not)| Asked::And(must, not)),
            some(2).prop_map(Asked::Or),
        ]
    })
}

#[derive(Debug, Clone)]
enum Step {
    Put(u32, Vec<usize>),
    Remove(u32),
    Seal,
    Ask(Asked, Option<u32>, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let words = prop::collection::vec(0..WORDS.len(), 0..7);
    prop_oneof![
        8 => (0..SLOTS, words).prop_map(|(slot, words)| Step::Put(slot, words)),
        1 => (0..SLOTS).prop_map(Step::Remove),
        1 => Just(Step::Seal),
        6 => (asked(), prop::option::of(1u32..5), prop_oneof![Just(usize::MAX), 1usize..4])
            .prop_map(|(asked, every, k)| Step::Ask(asked, every, k)),
    ]
}

type Texts = BTreeMap<u32, Vec<usize>>;

fn ask(
    index: &TextIndex,
    query: &str,
    texts: &Texts,
    allowed: Option<&RoaringBitmap>,
    k: usize,
) -> Vec<TextHit> {
    let expression = TextExpression::parse(query).unwrap();
    let matcher = TextMatcher::new(index.analyzer(), &expression);
    let matches = index.matches(&matcher, Bm25::default(), index.lsn(), &mut || false).unwrap();
    let mut read = |slot: Slot| {
        let text = text_of(&texts[&slot.0]);
        Ok::<_, Infallible>(matcher.read(index.analyzer(), [&*text]))
    };
    let hits = matches.best(allowed, k, &mut read).unwrap();
    for hit in &hits {
        assert_eq!(matches.score(hit.slot, read), Ok(Some(hit.score)), "{query}");
    }
    let found: Vec<Slot> = hits.iter().map(|hit| hit.slot).collect();
    if k == usize::MAX && allowed.is_none() {
        for slot in (0..SLOTS).map(Slot).filter(|slot| !found.contains(slot)) {
            assert_eq!(matches.score(slot, read), Ok(None), "{query}");
        }
    }
    hits
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut texts, mut files) = (Texts::new(), Files::new());
    let mut index = TextIndex::new(Analyzer::new(Language::English));
    for (step, lsn) in steps.into_iter().zip(1..) {
        match step {
            Step::Put(slot, words) => {
                index.upsert(Slot(slot), Lsn(lsn), &text_of(&words));
                texts.insert(slot, words);
            }
            Step::Remove(slot) => {
                index.remove(Slot(slot), Lsn(lsn));
                texts.remove(&slot);
            }
            Step::Seal => index = files.seal(&index),
            Step::Ask(asked, every, k) => {
                let allowed: Option<RoaringBitmap> =
                    every.map(|every| (0..SLOTS).step_by(every as usize).collect());
                let query = asked.written();
                let all = ask(&index, &query, &texts, None, usize::MAX);
                let matching = texts.iter().filter(|(_, words)| asked.holds(words));
                let expected: Vec<u32> = matching.map(|(slot, _)| *slot).collect();
                let mut found: Vec<u32> = all.iter().map(|hit| hit.slot.0).collect();
                found.sort_unstable();
                prop_assert_eq!(found, expected, "{}", query);
                prop_assert!(all.is_sorted_by(|a, b| (-a.score, a.slot) < (-b.score, b.slot)));

                let some = ask(&index, &query, &texts, allowed.as_ref(), k);
                let is_allowed =
                    |hit: &&TextHit| allowed.as_ref().is_none_or(|it| it.contains(hit.slot.0));
                let best: Vec<TextHit> = all.iter().filter(is_allowed).take(k).copied().collect();
                prop_assert_eq!(some, best, "{}", query);
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn queries_find_what_the_texts_say(steps in prop::collection::vec(step(), 1..60)) {
        run(steps)?;
    }

    #[test]
    fn words_side_by_side_are_a_bag_of_words(
        texts in prop::collection::vec(prop::collection::vec(0..WORDS.len(), 0..9), 1..80),
        words in prop::collection::vec(0..WORDS.len(), 1..6),
        sealed in any::<bool>(),
    ) {
        let mut index = TextIndex::new(Analyzer::new(Language::English));
        let texts: Texts = (0..).zip(texts).collect();
        for (slot, words) in &texts {
            index.upsert(Slot(*slot), Lsn(1), &text_of(words));
        }
        if sealed {
            index = Files::new().seal(&index);
        }
        let query = text_of(&words);
        let bag = TextQuery::parse(index.analyzer(), &query, true);
        let expected =
            index.search(&bag, Bm25::default(), index.lsn(), None, usize::MAX, &mut || false);
        prop_assert_eq!(ask(&index, &query, &texts, None, usize::MAX), expected.unwrap());
    }
}

fn found(index: &TextIndex, texts: &[&str], query: &str) -> Vec<u32> {
    let expression = TextExpression::parse(query).unwrap();
    let matcher = TextMatcher::new(index.analyzer(), &expression);
    let matches = index.matches(&matcher, Bm25::default(), index.lsn(), &mut || false).unwrap();
    let mut read = |slot: Slot| {
        Ok::<_, Infallible>(matcher.read(index.analyzer(), texts[slot.0 as usize].split('|')))
    };
    let hits = matches.best(None, usize::MAX, &mut read).unwrap();
    let mut slots: Vec<u32> = hits.iter().map(|hit| hit.slot.0).collect();
    slots.sort_unstable();
    slots
}

#[test]
fn operators_mean_what_they_say() {
    let texts = [
        "Rust has low latency and great performance",
        "Rust is low on latency",
        "Java performance, and rust",
        "The colour of the perfect lake",
        "state-of-the-art low-latency networks",
        "low|latency",
    ];
    let index = english(&texts.map(|text| text.replace('|', "\n")).each_ref().map(|text| &**text));
    for (query, expected) in [
        ("rust", &[0, 1, 2][..]),
        ("rust AND performance", &[0, 2]),
        ("rust AND (performance OR \"low latency\") NOT java", &[0]),
        ("+rust performance", &[0, 1, 2]),
        ("\"low latency\"", &[0, 4]),
        ("low-latency", &[0, 4]),
        ("\"state of the art\"", &[4]),
        ("\"of the\"", &[3, 4]),
        ("rust -\"low latency\"", &[1, 2]),
        ("perf*", &[0, 2, 3]),
        ("performanc*", &[0, 2]),
        ("color~1", &[3]),
        ("performence~1", &[0, 2]),
        ("the rust", &[0, 1, 2]),
        ("the OR java", &[2, 3, 4]),
        ("\"and\" networks", &[0, 2, 4]),
        ("nowhere", &[]),
        ("rust AND nowhere", &[]),
        ("rust OR nowhere", &[0, 1, 2]),
    ] {
        assert_eq!(found(&index, &texts, query), expected, "{query}");
    }
}

#[test]
fn what_is_looked_for_lies_where_it_is_said() {
    let analyzer = Analyzer::new(Language::English);
    let places = |query: &str, text: &str| -> Vec<String> {
        let matcher = TextMatcher::new(&analyzer, &TextExpression::parse(query).unwrap());
        matcher.places(&analyzer, text).into_iter().map(|place| text[place].to_owned()).collect()
    };
    assert_eq!(places("rust perf*", "👍 Rust's performance,\r\nrusty"), ["Rust's", "performance"]);
    assert_eq!(places("\"low latency\"", "low, low-latency, latency"), ["low", "latency"]);
    assert_eq!(places("rust -java", "java and rust"), ["rust"]);
    assert_eq!(places("cafe", "un cafe\u{301} noir"), ["cafe\u{301}"]);
}

#[test]
fn a_query_ends_when_it_is_told_to() {
    let index = english(&["lake"; 9000]);
    let expression = TextExpression::parse("lake").unwrap();
    let matcher = TextMatcher::new(index.analyzer(), &expression);
    assert!(index.matches(&matcher, Bm25::default(), index.lsn(), &mut || true).is_none());
}
