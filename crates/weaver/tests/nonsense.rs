//! What a model function returns is checked before it is believed: a wrong shape, a number that is
//! none, a missing row or a place outside of the text is an error of that function, told in its dead
//! letter, and nothing of it is stored.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{Bench, altered, drain, eager};
use embedded_db_indexing::graph::Artefact;
use embedded_db_storage::{ReadTxn, row_counts};
use embedded_db_testing::FakeModels;
use embedded_db_weaver::{ArtefactState, Enriched, Mention, Models};

const TEXT: &str = "Alice met Élodie";

/// Breaks what an answer for `TEXT` says.
type Break = fn(&mut Enriched);

/// Breaks the answer of a model and expects the artefacts to fail with a message that holds these
/// words; nothing at all is stored when both fail.
fn assert_rejected(name: &str, break_it: Break, failing: &[Artefact], words: &[&str]) {
    let bench = Bench::new();
    let before = row_counts(&bench.store.read().unwrap()).unwrap();
    let models = altered(move |base, texts| {
        let mut answer = base.enrich(texts)?;
        break_it(&mut answer);
        Ok(answer)
    });
    let message = bench.say(TEXT);
    let weaver = bench.start(models, eager());
    drain(&weaver);
    for artefact in [Artefact::Embedding, Artefact::Entities] {
        let state = bench.state(&weaver, message, artefact);
        if !failing.contains(&artefact) {
            assert_eq!(state, ArtefactState::Ready, "{name}: {artefact:?}");
            continue;
        }
        let ArtefactState::Failed(error) = state else { panic!("{name}: {artefact:?} {state:?}") };
        for word in words {
            assert!(error.contains(word), "{name}: {error:?} does not say {word:?}");
        }
    }
    if failing.contains(&Artefact::Embedding) {
        assert_eq!(bench.vectors(message), Vec::<Vec<f32>>::new(), "{name}");
        assert_eq!(bench.computed(), 0, "{name}");
    }
    if failing.contains(&Artefact::Entities) {
        assert_eq!((bench.entities(message), bench.all_entities()), (Vec::new(), 0), "{name}");
    }
    if failing.len() == 2 {
        let after = row_counts(&bench.store.read().unwrap()).unwrap();
        for ((table, rows), (_, earlier)) in after.into_iter().zip(before) {
            if ["embeddings", "hashes"].contains(&table) {
                assert_eq!(rows, earlier, "{name}: {table}");
            }
        }
    }
    weaver.stop();
}

#[test]
fn vectors_of_a_wrong_shape_are_rejected() {
    const VECTORS: &[Artefact] = &[Artefact::Embedding];
    let cases: [(&str, Break, &[&str]); 9] = [
        (
            "another dimension",
            |e| {
                e.dimension = 4;
                e.vectors.truncate(4 * e.owners.len());
            },
            &["4 dimensions", "16"],
        ),
        ("no dimension", |e| e.dimension = 0, &["0 dimensions"]),
        ("a number short", |e| e.vectors.truncate(15), &["15 numbers", "1 rows of 16"]),
        ("a number more", |e| e.vectors.push(1.0), &["17 numbers"]),
        (
            "no rows",
            |e| {
                e.vectors.clear();
                e.owners.clear();
            },
            &["no vector for text 0"],
        ),
        ("a row of nobody", |e| e.owners.iter_mut().for_each(|at| *at = 7), &["text 7, of 1"]),
        (
            "NaN",
            |e| e.vectors.iter_mut().skip(3).take(1).for_each(|v| *v = f32::NAN),
            &["NaN", "number 3 of row 0", "finite"],
        ),
        (
            "infinity",
            |e| e.vectors.iter_mut().take(1).for_each(|v| *v = f32::INFINITY),
            &["inf", "number 0 of row 0"],
        ),
        (
            "more owners than rows",
            |e| {
                let owners = e.owners.clone();
                e.owners.extend(owners);
            },
            &["16 numbers", "2 rows"],
        ),
    ];
    for (name, break_it, words) in cases {
        assert_rejected(name, break_it, VECTORS, words);
    }
}

#[test]
fn mentions_that_are_not_in_the_text_are_rejected() {
    const ENTITIES: &[Artefact] = &[Artefact::Entities];
    fn first(answer: &mut Enriched, change: impl Fn(&mut Mention)) {
        answer.mentions.iter_mut().flatten().take(1).for_each(change);
    }
    let cases: [(&str, Break, &[&str]); 11] = [
        (
            "another name than stands there",
            |e| first(e, |m| m.text = "Bob".into()),
            &["\"Bob\"", "0..5", "\"Alice\"", "text[start:end]"],
        ),
        ("a place off by one", |e| first(e, |m| (m.start, m.end) = (1, 6)), &["1..6", "\"lice \""]),
        ("another case", |e| first(e, |m| m.text = "alice".into()), &["\"alice\""]),
        ("no answer", |e| e.mentions.clear(), &["0 of 1 texts"]),
        ("an answer more", |e| e.mentions.push(Vec::new()), &["2 of 1 texts"]),
        ("beyond the end", |e| first(e, |m| m.end = 17), &["Alice", "0..17", "16 characters"]),
        ("backwards", |e| first(e, |m| (m.start, m.end) = (5, 0)), &["Alice", "5..0"]),
        ("empty", |e| first(e, |m| m.end = m.start), &["0..0"]),
        ("no name", |e| first(e, |m| m.text = " ".into()), &["0..5"]),
        ("no class", |e| first(e, |m| m.label.clear()), &["Alice"]),
        ("a name without end", |e| first(e, |m| m.text = "x".repeat(256)), &["0..5"]),
    ];
    for (name, break_it, words) in cases {
        assert_rejected(name, break_it, ENTITIES, words);
    }
}

/// A message has a sender before its content; places count from the content.
#[test]
fn places_count_from_the_content() {
    let bench = Bench::new();
    let message = bench.say(TEXT);
    let mut changes = embedded_db_indexing::graph::Changes::default();
    changes.set.set("sender", &embedded_db_common::Value::Str("Élise".into())).unwrap();
    bench.write(move |writer| writer.update_node(message, &changes));
    let weaver = bench.start(std::sync::Arc::new(FakeModels::default()), eager());
    drain(&weaver);
    assert_eq!(bench.entities(message), ["Alice", "Élodie"]);
    weaver.stop();
}

#[test]
fn mentions_that_nobody_asked_for_are_not_looked_at() {
    let bench = Bench::new();
    let (told, asked) = (bench.say(TEXT), bench.say("Bob"));
    let models = altered(|base, texts| {
        let mut answer = base.enrich(texts)?;
        for (text, mentions) in texts.iter().zip(&mut answer.mentions) {
            if !text.entities {
                let (text, label) = ("Nobody".into(), String::new());
                mentions.push(Mention { text, label, start: 7, end: 3 });
            }
        }
        Ok(answer)
    });
    // One of the batch has its entities already.
    bench.write(move |writer| writer.done(Artefact::Entities, told));
    let weaver = bench.start(models, eager());
    drain(&weaver);
    assert_eq!(bench.vectors(told), [FakeModels::vector(TEXT)]);
    assert_eq!(bench.entities(told), Vec::<String>::new());
    bench.assert_enriched(asked, "Bob", &["Bob"]);
    assert_eq!(bench.failed_work(), []);
    weaver.stop();
}

#[test]
fn an_answer_that_is_wrong_altogether_leaves_nothing() {
    let both = [Artefact::Embedding, Artefact::Entities];
    assert_rejected("nothing", |e| *e = Enriched::default(), &both, &["function"]);
}

/// The places are characters, not bytes: `É` is two bytes long.
#[test]
fn a_mention_up_to_the_last_character_is_right() {
    let bench = Bench::new();
    let message = bench.say(TEXT);
    let weaver = bench.start(std::sync::Arc::new(FakeModels::default()), eager());
    drain(&weaver);
    bench.assert_enriched(message, TEXT, &["Alice", "Élodie"]);
    let snapshot = bench.store.read().unwrap();
    let mut places = Vec::new();
    let mentions = Some(bench.names.mentions);
    let way = embedded_db_storage::Direction::Out;
    let mut edges = Vec::new();
    snapshot
        .neighbors(common::NS, message, way, mentions, |_, neighbor| {
            edges.push(neighbor.edge);
            true
        })
        .unwrap();
    for edge in edges {
        let edge = snapshot.edge(common::NS, edge).unwrap().unwrap();
        let at = |name| match edge.properties.get(name).unwrap().unwrap() {
            embedded_db_common::ValueRef::Int(at) => at,
            other => panic!("{other:?}"),
        };
        places.push((at(bench.names.start), at(bench.names.end)));
    }
    assert_eq!(places, [(0, 5), (10, 16)]);
    weaver.stop();
}

/// One wrong answer in a batch is the fault of its text alone.
#[test]
fn a_text_with_a_wrong_answer_does_not_hold_up_its_batch() {
    let bench = Bench::new();
    let models = altered(|base, texts| {
        let mut answer = base.enrich(texts)?;
        for (row, owner) in answer.owners.iter().enumerate() {
            if texts[*owner].text == "Mallory" {
                answer.vectors[row * FakeModels::DIMENSION] = f32::NAN;
            }
        }
        Ok(answer)
    });
    let before = bench.say("Alice");
    let mallory = bench.say("Mallory");
    let after = bench.say("Bob");
    let weaver = bench.start(models, eager());
    drain(&weaver);
    bench.assert_enriched(before, "Alice", &["Alice"]);
    bench.assert_enriched(after, "Bob", &["Bob"]);
    assert_eq!(bench.vectors(mallory), Vec::<Vec<f32>>::new());
    assert_eq!(bench.entities(mallory), ["Mallory"], "its names are no nonsense");
    assert_eq!(bench.failed_work(), [(mallory, Artefact::Embedding as u8, 3)]);
    weaver.stop();
}

/// A long text comes in parts.
#[test]
fn the_rows_of_a_long_text_are_its_parts_in_order() {
    let bench = Bench::new();
    let models = altered(|base, texts| {
        let mut answer = base.enrich(texts)?;
        let (rows, owners) = (answer.vectors.clone(), answer.owners.clone());
        (answer.vectors, answer.owners) = Default::default();
        for (owner, row) in owners.iter().zip(rows.chunks_exact(FakeModels::DIMENSION)) {
            for part in 0..3 {
                answer.owners.push(*owner);
                answer.vectors.extend(row.iter().map(|value| value + part as f32));
            }
        }
        Ok(answer)
    });
    let messages = [bench.say("Alice"), bench.say("Bob")];
    let weaver = bench.start(models, eager());
    drain(&weaver);
    for (message, content) in messages.iter().zip(["Alice", "Bob"]) {
        let part = |n: f32| FakeModels::vector(content).iter().map(|v| v + n).collect();
        let expected: Vec<Vec<f32>> = vec![part(0.0), part(1.0), part(2.0)];
        assert_eq!(bench.vectors(*message), expected);
    }
    assert_eq!(bench.computed(), 2, "texts, not parts");
    weaver.stop();
}
