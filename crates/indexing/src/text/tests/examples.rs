//! What a user sees: which words find which texts, from which snapshot.

use roaring::RoaringBitmap;

use super::*;

fn terms(language: Language, text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    Analyzer::new(language).terms(text, &mut |term, position| {
        assert_eq!(position as usize, terms.len());
        terms.push(term.to_owned());
    });
    terms
}

fn query_terms(text: &str, drop_stop_words: bool) -> Vec<String> {
    let query = TextQuery::parse(&Analyzer::new(Language::English), text, drop_stop_words);
    query.terms().map(str::to_owned).collect()
}

#[test]
fn a_text_is_found_the_moment_it_is_put_in() {
    let mut tail = TextIndex::new(Analyzer::new(Language::English));
    assert_eq!(found(&tail, "support", 0), []);
    tail.upsert(Slot(7), Lsn(3), "I went to a support group yesterday");
    assert_eq!(found(&tail, "support", 3), [7]);
    assert_eq!(tail.lsn(), Lsn(3));
    assert_eq!(tail.document_count(Lsn(3)), 1);
}

#[test]
fn spellings_of_a_word_find_each_other() {
    let tail = english(&[
        "We were swimming in Caroline’s lake",
        "She swims well; the naïve café owner doesn't",
        "3 SWIMMERS, 1,000 metres, version 2.5",
    ]);
    assert_eq!(found(&tail, "swim", 3), [0, 1]);
    assert_eq!(found(&tail, "caroline", 3), [0]);
    assert_eq!(found(&tail, "Caroline's lakes", 3), [0]);
    assert_eq!(found(&tail, "Cafe naive", 3), [1]);
    assert_eq!(found(&tail, "swimmer's", 3), [2]);
    assert_eq!(found(&tail, "2.5", 3), [2]);
    assert_eq!(found(&tail, "the", 3), [1]);
}

#[test]
fn no_language_means_no_stemming() {
    assert_eq!(
        terms(Language::None, "The Dogs’ Dog's Ünïcode"),
        ["the", "dogs", "dog's", "unicode"]
    );
    assert_eq!(
        terms(Language::English, "The Dogs’ Dog's Ünïcode"),
        ["the", "dog", "dog", "unicod"]
    );
}

#[test]
fn every_script_is_cut_into_words() {
    assert_eq!(
        terms(Language::English, "東京タワー 👍🏽🎉 한국어"),
        ["東", "京", "タワー", "한국어"]
    );
    assert_eq!(terms(Language::English, "👩‍👩‍👧 … \u{301} \0"), Vec::<String>::new());
    let tail = english(&["東京に行きました 🎉", "🎉🎉🎉", ""]);
    assert_eq!(found(&tail, "京", 3), [0]);
    assert_eq!(found(&tail, "🎉", 3), []);
    assert_eq!(tail.document_count(Lsn(3)), 1);
}

#[test]
fn long_words_are_cut_at_a_character() {
    let long = "漢é".repeat(200);
    for term in terms(Language::English, &format!("{long} {}", "x".repeat(500))) {
        assert!(term.len() <= 64);
    }
}

#[test]
fn analyzers_are_equal_by_language() {
    assert_eq!(Analyzer::new(Language::English), Analyzer::new(Language::English).clone());
    assert_ne!(Analyzer::new(Language::English), Analyzer::new(Language::None));
}

#[test]
fn queries_are_bags_of_terms() {
    assert_eq!(query_terms("When did she go to the lakes' lake?", true), ["go", "lake"]);
    assert_eq!(query_terms("the lake, the lake", false), ["the", "lake"]);
    assert_eq!(query_terms("Who are you? Who?", true), ["who", "are", "you"]);
    assert_eq!(query_terms("what's it", true), ["what", "it"]);
    assert!(TextQuery::parse(&Analyzer::new(Language::English), "?!", true).is_empty());
}

#[test]
fn better_matches_come_first_and_equals_by_slot() {
    let mut tail = TextIndex::new(Analyzer::new(Language::English));
    for (slot, text) in
        [(9, "a cat"), (4, "a dog"), (2, "a cat"), (5, "a cat and a dog"), (1, "a bird")]
    {
        tail.upsert(Slot(slot), Lsn(1), text);
    }
    let order: Vec<u32> = search_all(&tail, "cat dog", 1).into_iter().map(|hit| hit.0).collect();
    assert_eq!(order, [5, 4, 2, 9]);
}

#[test]
fn readers_see_their_own_snapshot() {
    let mut tail = TextIndex::new(Analyzer::new(Language::English));
    tail.upsert(Slot(1), Lsn(10), "red apple");
    tail.upsert(Slot(2), Lsn(20), "red cherry");
    let before = search_all(&tail, "red apple", 20);
    tail.upsert(Slot(1), Lsn(30), "green apple");
    tail.remove(Slot(2), Lsn(40));
    tail.upsert(Slot(3), Lsn(50), "red red red rose");
    tail.advance(Lsn(60));

    assert_eq!(found(&tail, "red", 9), []);
    assert_eq!(found(&tail, "red", 10), [1]);
    assert_eq!(search_all(&tail, "red apple", 20), before);
    assert_eq!(found(&tail, "red", 30), [2]);
    assert_eq!(found(&tail, "red", 40), []);
    assert_eq!(found(&tail, "red", 60), [3]);
    assert_eq!(tail.lsn(), Lsn(60));
    let counts = [0, 10, 20, 30, 40, 50, 60].map(|at| tail.document_count(Lsn(at)));
    assert_eq!(counts, [0, 1, 2, 2, 1, 2, 2]);
}

#[test]
fn a_removed_text_may_come_back() {
    let mut tail = TextIndex::new(Analyzer::new(Language::English));
    tail.upsert(Slot(1), Lsn(1), "lake");
    tail.remove(Slot(1), Lsn(2));
    tail.remove(Slot(1), Lsn(3));
    tail.upsert(Slot(1), Lsn(4), "lake");
    tail.upsert(Slot(1), Lsn(5), "");
    let seen = [0, 1, 2, 3, 4, 5].map(|at| found(&tail, "lake", at).len());
    assert_eq!(seen, [0, 1, 0, 0, 1, 0]);
}

#[test]
fn the_same_words_make_no_new_version() {
    let mut tail = english(&["the lake in summer"]);
    let before = tail.memory_bytes();
    for at in 2..1000 {
        tail.upsert(Slot(0), Lsn(at), "The lake, in SUMMER!");
    }
    assert_eq!(tail.memory_bytes(), before);
    assert_eq!(tail.lsn(), Lsn(999));
}

#[test]
fn pruning_gives_memory_back() {
    let text = |i: u64| format!("number{i} of {} things that nobody else says {}", i % 7, i * 31);
    let mut tail = TextIndex::new(Analyzer::new(Language::English));
    tail.upsert(Slot(0), Lsn(1), "what stays");
    let empty = tail.memory_bytes();
    for i in 1..2000 {
        tail.upsert(Slot(i as u32), Lsn(i + 1), &text(i));
    }
    let full = tail.memory_bytes();
    assert!(full > empty + 200_000);
    for i in 1..2000 {
        tail.remove(Slot(i as u32), Lsn(i + 3000));
    }
    tail.prune(Lsn(3500));
    assert_eq!(found(&tail, "number501", 3500), [501]);
    assert_eq!(found(&tail, "number500", 3500), []);
    tail.prune(Lsn(9000));
    assert!(tail.memory_bytes() < empty + 2000, "{} of {full} stay", tail.memory_bytes());
    assert_eq!(found(&tail, "stays", 9000), [0]);

    for round in 0..100 {
        for i in 1..50 {
            tail.upsert(Slot(i as u32), Lsn(9001 + round), &text(i + round));
        }
        tail.prune(Lsn(9001 + round));
    }
    assert!(tail.memory_bytes() < empty + 30_000, "updates pile up: {}", tail.memory_bytes());
}

#[test]
fn the_end_of_time_is_a_snapshot_like_others() {
    let mut tail = english(&["red lake", "blue lake"]);
    tail.remove(Slot(1), Lsn(3));
    for _ in 0..2 {
        assert_eq!(found(&tail, "lake", u64::MAX), [0]);
        assert_eq!(tail.document_count(Lsn(u64::MAX)), 1);
        tail.prune(Lsn(u64::MAX));
    }
    tail.remove(Slot(0), Lsn(4));
    tail.prune(Lsn(u64::MAX));
    assert_eq!(tail.document_count(Lsn(u64::MAX)), 0);
}

#[test]
fn a_search_can_be_interrupted() {
    let mut tail = TextIndex::new(Analyzer::new(Language::English));
    for i in 0..20_000 {
        tail.upsert(Slot(i), Lsn(1), "the same words again and again");
    }
    let query = TextQuery::parse(tail.analyzer(), "the same words", false);
    let all: RoaringBitmap = (0..20_000).collect();
    let few: RoaringBitmap = (0..500).collect();
    for allowed in [None, Some(&all), Some(&few)] {
        let mut asked = 0;
        let mut search = |stop_at| {
            tail.search(&query, Bm25::default(), Lsn(1), allowed, 100_000, &mut || {
                asked += 1;
                asked == stop_at
            })
        };
        assert_eq!(search(1), None);
        assert!(search(usize::MAX).is_some());
        assert!(asked > 2);
    }
}

#[test]
fn senseless_constants_still_rank() {
    let tail = english(&["red apple", "red", "red red wine and much more of it"]);
    let query = TextQuery::parse(tail.analyzer(), "red wine", false);
    for (k1, b) in
        [(-1.0, 2.0), (f32::NAN, f32::NAN), (f32::INFINITY, -1.0), (0.0, 0.0), (1e30, 1.0)]
    {
        let hits = tail.search(&query, Bm25 { k1, b }, Lsn(3), None, 10, &mut || false).unwrap();
        assert_eq!(hits.len(), 3);
        assert!(hits.iter().all(|hit| hit.score.is_finite() && hit.score > 0.0), "{hits:?}");
    }
}

#[test]
fn readers_share_a_tail() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<TextIndex>();
    is_shared::<Analyzer>();
}
