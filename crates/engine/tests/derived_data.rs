//! What is derived from messages follows them and nothing else: a user's vectors, edges and nodes
//! stay the user's, whatever happens to the messages around them.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{
    MODEL, assert_sound, draft, drain, edge, in_memory, neighbors, node, say, set, text, value,
    vector, without_models,
};
use std::sync::Arc;

use embedded_db_common::{Error, Result, Value};
use embedded_db_engine::{AddTo, AsOf, Changes, Database, EdgeChanges, NodeDraft, Reach};
use embedded_db_testing::FakeModels;
use embedded_db_weaver::{Enriched, ModelSpace, Models, TextToEnrich};

fn entity(db: &Database, name: &str) -> Option<String> {
    let entities = db.nodes(Some("Entity"), None, usize::MAX).unwrap();
    let found = entities.iter().find(|entity| value(entity, "label") == Some(text(name)));
    found.map(|entity| entity.id().unwrap())
}

fn mention_count(db: &Database, name: &str) -> i64 {
    let entity = db.get_node(&entity(db, name).unwrap()).unwrap().unwrap();
    let Some(Value::Int(count)) = value(&entity, "mention_count") else { panic!("no count") };
    count
}

/// Weights of all relations, by the names of both entities.
fn relations(db: &Database) -> Vec<(String, String, f64)> {
    let mut out = Vec::new();
    let name = |id: &str| {
        let node = db.get_node(id).unwrap().unwrap();
        let Some(Value::Str(label)) = value(&node, "label") else { panic!("no label") };
        label
    };
    for entity in db.nodes(Some("Entity"), None, usize::MAX).unwrap() {
        let types = ["RELATED_TO".to_owned()];
        let id = entity.id().unwrap();
        for edge in db
            .edges(&id, Some(&types), Reach::Out, AsOf::default(), None, usize::MAX)
            .unwrap()
            .items
        {
            let (a, b) = (name(edge.source()), name(edge.target()));
            out.push((a.clone().min(b.clone()), a.max(b), edge.weight().unwrap()));
        }
    }
    out.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    out
}

// ---- vectors

#[test]
fn a_vector_in_a_space_of_the_user_does_not_stand_for_the_models() {
    let (db, _) = in_memory();
    db.pause_weaver().unwrap();
    say(&db, "c", "m", "Alice");
    db.create_embeddings(vec![vector("v", "m", Some("mine"), &[1.0, 2.0])]).unwrap();
    db.resume_weaver().unwrap();
    drain(&db);
    let found = db.embedding_of("m", Some(MODEL)).unwrap().map(|found| found.vector);
    assert_eq!(found, Some(FakeModels::vector("Alice")));
    assert_eq!(db.get_embedding("v").unwrap().unwrap().vector, [1.0, 2.0]);
    assert_sound(&db);
}

#[test]
fn a_users_vector_outlives_every_edit_and_costs_no_call() {
    let (db, models) = in_memory();
    db.pause_weaver().unwrap();
    say(&db, "c", "m", "Alice");
    let own = vec![0.5; FakeModels::DIMENSION];
    db.create_embeddings(vec![vector("v", "m", None, &own)]).unwrap();
    db.update_node("m", set(&[("content", text("Bob"))]), None).unwrap();
    db.resume_weaver().unwrap();
    drain(&db);
    assert_eq!(db.embedding_of("m", None).unwrap().unwrap().vector, own);
    assert_eq!(models.embedded.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(db.stats().unwrap().vectors_computed, 0);
    assert_sound(&db);
}

#[test]
fn a_message_whose_vector_was_taken_away_gets_one_again() {
    let (db, _) = in_memory();
    say(&db, "c", "m", "Alice");
    drain(&db);
    let id = db.embedding_of("m", None).unwrap().unwrap().id;
    db.delete_embedding(&id).unwrap();
    assert_sound(&db);
    drain(&db);
    assert_eq!(db.embedding_of("m", None).unwrap().unwrap().vector, FakeModels::vector("Alice"));
    assert_sound(&db);
}

/// A model to which every text is so long that it comes in three parts.
struct Parts(FakeModels);

impl Models for Parts {
    fn space(&self) -> Result<Option<ModelSpace>> {
        self.0.space()
    }

    fn warm_up(&self) -> Result<()> {
        Ok(())
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<f32>> {
        self.0.embed(texts)
    }

    fn enrich(&self, texts: &[TextToEnrich]) -> Result<Enriched> {
        let mut answer = self.0.enrich(texts)?;
        answer.vectors = answer
            .vectors
            .chunks_exact(FakeModels::DIMENSION)
            .flat_map(|row| (0..3).flat_map(|part| row.iter().map(move |v| v + part as f32)))
            .collect();
        answer.owners = answer.owners.iter().flat_map(|owner| [*owner; 3]).collect();
        Ok(answer)
    }

    fn summarize(&self, messages: &[String], vectors: &[f32], dimension: usize) -> Result<String> {
        self.0.summarize(messages, vectors, dimension)
    }
}

/// Vectors of a node in the default space.
fn vectors_of(db: &Database, id: &str) -> Vec<Vec<f32>> {
    db.embeddings(id, None).unwrap().into_iter().map(|part| part.vector).collect()
}

#[test]
fn a_vector_of_the_user_replaces_every_part_of_the_models() {
    let own = vec![0.5; FakeModels::DIMENSION];
    for at in 0..4 {
        let models = Arc::new(Parts(FakeModels::default()));
        let db = Database::open(":memory:", &common::fast(), Some(models)).unwrap();
        say(&db, "c", "m", "Alice");
        drain(&db);
        let parts = db.embeddings("m", None).unwrap();
        assert_eq!(parts.len(), 3);
        let id = match parts.get(at) {
            // One part is overwritten, or a vector is set beside them.
            Some(part) => {
                db.update_embedding(&part.id, own.clone()).unwrap();
                part.id.clone()
            }
            None => db.create_embeddings(vec![vector("v", "m", None, &own)]).unwrap().remove(0),
        };
        for _ in 0..2 {
            assert_eq!(vectors_of(&db, "m"), std::slice::from_ref(&own));
            let whole = db.get_embedding(&id).unwrap().unwrap();
            assert_eq!((whole.part, &whole.vector), (0, &own));
            assert_eq!(db.stats().unwrap().embeddings, 1);
            for part in parts.iter().filter(|part| part.id != id) {
                assert_eq!(db.get_embedding(&part.id).unwrap(), None);
            }
            assert_sound(&db);
            db.retry_failed().unwrap();
            drain(&db);
        }
        // With it gone the model's comes again, all of it.
        db.delete_embedding(&id).unwrap();
        drain(&db);
        assert_eq!(vectors_of(&db, "m").len(), 3);
        assert_sound(&db);
    }
}

#[test]
fn a_text_whose_first_vector_was_overwritten_is_embedded_for_the_next() {
    let (db, _) = in_memory();
    say(&db, "c", "first", "Alice");
    drain(&db);
    let id = db.embedding_of("first", None).unwrap().unwrap().id;
    let own = vec![0.5; FakeModels::DIMENSION];
    db.update_embedding(&id, own.clone()).unwrap();
    say(&db, "c", "second", "Alice");
    drain(&db);
    assert_eq!(db.embedding_of("first", None).unwrap().unwrap().vector, own);
    let second = db.embedding_of("second", None).unwrap().unwrap();
    assert_eq!(second.vector, FakeModels::vector("Alice"));
    assert_sound(&db);
}

#[test]
fn an_equal_text_takes_over_the_vector() {
    let (db, models) = in_memory();
    for n in 0..5 {
        say(&db, "c", &format!("m{n}"), "Alice");
    }
    drain(&db);
    say(&db, "other", "m5", "Alice");
    drain(&db);
    let stats = db.stats().unwrap();
    assert_eq!((stats.vectors_computed, stats.vectors_reused, stats.embeddings), (1, 5, 6));
    assert_eq!(models.embedded.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_text_is_not_embedded_again_while_anyone_has_its_vector() {
    let (db, models) = in_memory();
    for id in ["first", "second", "third"] {
        say(&db, "c", id, "Alice");
        drain(&db);
        if id == "second" {
            db.delete_node("first", None).unwrap();
        }
    }
    assert_eq!(models.embedded.load(std::sync::atomic::Ordering::Relaxed), 1);
    // With the last one the vector goes.
    db.delete_node("second", None).unwrap();
    db.delete_node("third", None).unwrap();
    say(&db, "c", "fourth", "Alice");
    drain(&db);
    assert_eq!(models.embedded.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(db.stats().unwrap().embeddings, 1);
    assert_sound(&db);
}

// ---- entities

#[test]
fn a_users_own_mentions_and_what_they_lead_to_are_left_alone() {
    let (db, _) = in_memory();
    say(&db, "c", "m", "Alice met Bob");
    db.create_nodes(vec![node("ann", "Person", &[("name", text("Ann"))])]).unwrap();
    db.create_edges(vec![edge("mine", "m", "MENTIONS", "ann")]).unwrap();
    drain(&db);
    db.update_node("m", set(&[("content", text("Bob"))]), None).unwrap();
    drain(&db);
    assert!(db.get_edge("mine", AsOf::default()).unwrap().is_some(), "the edge of the user");
    assert_eq!(entity(&db, "Alice"), None);
    db.delete_node("m", None).unwrap();
    drain(&db);
    let ann = db.get_node("ann").unwrap().expect("the node of the user");
    assert_eq!(common::properties(&ann), [("name".to_owned(), text("Ann"))]);
    assert_eq!(db.count(Some("Entity")).unwrap(), 0);
    assert_sound(&db);
}

#[test]
fn a_second_mention_made_by_the_user_is_no_obstacle() {
    let (db, _) = in_memory();
    say(&db, "c", "m", "Alice met Bob");
    drain(&db);
    let alice = entity(&db, "Alice").unwrap();
    db.create_edges(vec![edge("mine", "m", "MENTIONS", &alice)]).unwrap();
    db.update_node("m", set(&[("content", text("Alice met Bob again"))]), None).unwrap();
    drain(&db);
    assert_eq!(mention_count(&db, "Alice"), 1);
    db.delete_node("m", None).unwrap();
    drain(&db);
    assert_eq!(db.count(Some("Entity")).unwrap(), 0);
    assert_sound(&db);
}

#[test]
fn an_entity_that_a_user_has_tied_to_something_stays() {
    let (db, _) = in_memory();
    db.create_nodes(vec![node("ann", "Person", &[])]).unwrap();
    for (id, way) in [("out", Reach::Out), ("in", Reach::In)] {
        say(&db, "c", id, "Alice met Bob");
        drain(&db);
        let alice = entity(&db, "Alice").unwrap();
        let tie = match way {
            Reach::In => edge("tie", "ann", "KNOWS", &alice),
            _ => edge("tie", &alice, "KNOWS", "ann"),
        };
        db.create_edges(vec![tie]).unwrap();
        db.delete_node(id, None).unwrap();
        drain(&db);
        assert_eq!(entity(&db, "Bob"), None, "nobody mentions him");
        assert_eq!(entity(&db, "Alice"), Some(alice.clone()));
        assert_eq!(mention_count(&db, "Alice"), 0);
        assert_eq!(relations(&db), []);
        db.delete_node(&alice, None).unwrap();
    }
    assert_sound(&db);
}

#[test]
fn counts_follow_a_mention_that_a_user_takes_away() {
    let (db, _) = in_memory();
    say(&db, "c", "m1", "Alice met Bob");
    say(&db, "c", "m2", "Alice met Bob");
    drain(&db);
    let types = ["MENTIONS".to_owned()];
    let of_m1 = db.edges("m1", Some(&types), Reach::Out, AsOf::default(), None, 10).unwrap().items;
    let alice = entity(&db, "Alice").unwrap();
    let wrong = of_m1.iter().find(|edge| edge.target() == alice).unwrap();
    db.delete_edge(&wrong.id().unwrap()).unwrap();
    assert_eq!((mention_count(&db, "Alice"), mention_count(&db, "Bob")), (1, 2));
    assert_eq!(relations(&db), [("Alice".into(), "Bob".into(), 1.0)]);
    db.delete_node("m2", None).unwrap();
    assert_eq!(entity(&db, "Alice"), None, "no one mentions her any more");
    assert_eq!(mention_count(&db, "Bob"), 1);
    assert_sound(&db);
}

#[test]
fn an_entity_taken_away_by_a_user_leaves_the_others_right() {
    let (db, _) = in_memory();
    let name = |n: u8| format!("N{}", char::from(b'a' + n));
    // More names than are paired: taking one away moves another in.
    let crowd: Vec<String> = (0..18).map(name).collect();
    say(&db, "c", "crowd", &crowd.join(" "));
    say(&db, "c", "pair", &format!("{} {}", name(0), name(16)));
    drain(&db);
    db.delete_node(&entity(&db, &name(1)).unwrap(), None).unwrap();
    assert_eq!(entity(&db, &name(1)), None);
    db.delete_node("crowd", None).unwrap();
    drain(&db);
    assert_eq!(relations(&db), [(name(0), name(16), 1.0)]);
    assert_eq!((mention_count(&db, &name(0)), mention_count(&db, &name(16))), (1, 1));
    assert_eq!(db.count(Some("Entity")).unwrap(), 2);
    assert_sound(&db);
}

#[test]
fn enrichment_changes_neither_version_nor_time_of_what_users_made() {
    let (db, _) = in_memory();
    db.pause_weaver().unwrap();
    say(&db, "c", "m", "Alice met Bob");
    let read = || {
        ["c", "m"].map(|id| {
            let node = db.get_node(id).unwrap().unwrap();
            (node.version().unwrap(), node.updated_at().unwrap(), common::properties(&node))
        })
    };
    let before = read();
    db.resume_weaver().unwrap();
    drain(&db);
    assert_eq!(read(), before);
    assert_eq!(neighbors(&db, "c", "SUMMARIZES", Reach::In).len(), 1);
}

/// Id, weight and sources of the edges of type RELATED_TO between two entities, oldest first.
fn between(db: &Database, one: &str, other: &str) -> Vec<(String, f64, Vec<String>)> {
    let types = ["RELATED_TO".to_owned()];
    let edges =
        db.edges(one, Some(&types), Reach::Any, AsOf::default(), None, usize::MAX).unwrap().items;
    let ends = |edge: &embedded_db_engine::Edge| edge.source() == other || edge.target() == other;
    let told = |edge: &embedded_db_engine::Edge| {
        (edge.id().unwrap(), edge.weight().unwrap(), edge.sources().unwrap())
    };
    let mut out: Vec<_> = edges.iter().filter(|edge| ends(edge)).map(told).collect();
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

#[test]
fn a_relation_of_the_user_is_not_counted_in() {
    let (db, _) = in_memory();
    say(&db, "c", "alone", "Alice");
    say(&db, "c", "bob", "Bob");
    drain(&db);
    let (alice, bob) = (entity(&db, "Alice").unwrap(), entity(&db, "Bob").unwrap());
    // The user's stand in both directions before the weaver makes its own.
    let mine = ["mine".to_owned(), "mirror".to_owned()];
    let mut drafts = vec![
        edge(&mine[0], &alice, "RELATED_TO", &bob),
        edge(&mine[1], &bob, "RELATED_TO", &alice),
    ];
    drafts.iter_mut().for_each(|draft| {
        draft.weight = 0.5;
        draft.sources = vec!["a book".into()];
    });
    db.create_edges(drafts).unwrap();
    let of_user = |db: &Database| {
        let all = between(db, &alice, &bob);
        let (own, made): (Vec<_>, Vec<_>) = all.into_iter().partition(|(id, ..)| mine.contains(id));
        for (id, weight, sources) in &own {
            assert_eq!((*weight, &sources[..]), (0.5, &["a book".to_owned()][..]), "{id}");
        }
        assert_eq!(own.len(), 2);
        made.into_iter().map(|(_, weight, sources)| (weight, sources)).collect::<Vec<_>>()
    };
    say(&db, "c", "m1", "Alice met Bob");
    say(&db, "c", "m2", "Bob met Alice");
    drain(&db);
    assert_eq!(of_user(&db), [(2.0, vec!["m1".to_owned(), "m2".to_owned()])]);
    db.delete_node("m1", None).unwrap();
    assert_eq!(of_user(&db), [(1.0, vec!["m2".to_owned()])]);
    db.update_node("m2", set(&[("content", text("nobody"))]), None).unwrap();
    assert_eq!(of_user(&db), []);
    drain(&db);
    // A user's relation holds an entity that nobody mentions.
    db.delete_node("alone", None).unwrap();
    db.delete_node("bob", None).unwrap();
    drain(&db);
    assert_eq!((mention_count(&db, "Alice"), mention_count(&db, "Bob")), (0, 0));
    assert_eq!(of_user(&db), []);
    assert_sound(&db);
}

#[test]
fn a_relation_names_the_newest_messages_that_count_in_it() {
    let (db, _) = in_memory();
    let id = |n: usize| format!("m{n:02}");
    let messages = (0..40).map(|n| {
        let said = text(&format!("Alice {n} Bob"));
        NodeDraft::unlabelled(Some(id(n)), draft(&[("content", said)]))
    });
    db.add_messages("c", messages.collect(), AddTo::AnyChat).unwrap();
    drain(&db);
    let (alice, bob) = (entity(&db, "Alice").unwrap(), entity(&db, "Bob").unwrap());
    let told = || {
        let all = between(&db, &alice, &bob);
        assert_eq!(all.len(), 1);
        (all[0].1, all[0].2.clone())
    };
    assert_eq!(told(), (40.0, (8..40).map(id).collect()));
    // One that is named goes from the list, one that is not goes from the count alone.
    db.delete_node(&id(20), None).unwrap();
    db.delete_node(&id(3), None).unwrap();
    assert_eq!(told(), (38.0, (8..40).filter(|n| *n != 20).map(id).collect()));
    for n in (0..40).filter(|n| ![3, 20, 30].contains(n)) {
        db.delete_node(&id(n), None).unwrap();
    }
    assert_eq!(told(), (1.0, vec![id(30)]));
    db.delete_node(&id(30), None).unwrap();
    assert_eq!(db.count_edges(Some("RELATED_TO")).unwrap(), 0);
    assert_sound(&db);
}

// ---- chats

#[test]
fn a_summary_goes_with_the_last_text() {
    let (db, _) = in_memory();
    say(&db, "c", "m1", "Alice");
    say(&db, "c", "m2", "Bob");
    drain(&db);
    for (id, expected) in [("m1", Some("Bob")), ("m2", None)] {
        db.update_node(id, set(&[("content", text(""))]), None).unwrap();
        let status = db.artefact_status("c").unwrap();
        assert_eq!(status, [("summary", embedded_db_engine::ArtefactState::Pending)]);
        drain(&db);
        let found = neighbors(&db, "c", "SUMMARIZES", Reach::In);
        let told =
            found.first().map(|id| value(&db.get_node(id).unwrap().unwrap(), "text").unwrap());
        assert_eq!(told, expected.map(text));
    }
    assert_sound(&db);
}

#[test]
fn a_chat_goes_with_its_messages_however_it_is_tied_to_them() {
    let (db, _) = in_memory();
    say(&db, "c", "m1", "Alice");
    say(&db, "c", "m2", "Alice");
    db.create_edges(vec![
        edge("again", "c", "CONTAINS", "m1"),
        edge("loop", "c", "CONTAINS", "c"),
        edge("back", "m2", "NEXT", "m1"),
    ])
    .unwrap();
    drain(&db);
    db.delete_node("c", None).unwrap();
    drain(&db);
    assert_eq!((db.count(None).unwrap(), db.count_edges(None).unwrap()), (0, 0));
    assert_sound(&db);
}

/// A message that a user has tied to itself stands beside others all the same.
#[test]
fn the_chain_closes_up_over_a_message_that_follows_itself() {
    for message in ["m0", "m1", "m2"] {
        let db = common::without_models();
        for id in ["m0", "m1", "m2"] {
            say(&db, "c", id, "x");
        }
        db.create_edges(vec![edge("loop", message, "NEXT", message)]).unwrap();
        db.delete_node(message, None).unwrap();
        let left: Vec<&str> = ["m0", "m1", "m2"].into_iter().filter(|id| *id != message).collect();
        assert_eq!(neighbors(&db, left[0], "NEXT", Reach::Out), [left[1]]);
        assert_eq!(neighbors(&db, left[1], "NEXT", Reach::Out), [""; 0]);
        assert_sound(&db);
    }
}

#[test]
fn the_chain_closes_up_wherever_a_message_goes() {
    let (db, _) = in_memory();
    let messages = |n: std::ops::Range<u32>| {
        let said = || draft(&[("content", text("x"))]);
        n.map(|n| NodeDraft::unlabelled(Some(format!("m{n}")), said())).collect()
    };
    db.add_messages("c", messages(0..5), AddTo::AnyChat).unwrap();
    let mut left: Vec<String> = (0..5).map(|n| format!("m{n}")).collect();
    for gone in ["m0", "m2", "m4", "m1", "m3"] {
        db.delete_node(gone, None).unwrap();
        left.retain(|id| id != gone);
        assert_eq!(neighbors(&db, "c", "CONTAINS", Reach::Out), left);
        for (at, id) in left.iter().enumerate() {
            let next: Vec<String> = left.get(at + 1).cloned().into_iter().collect();
            assert_eq!(neighbors(&db, id, "NEXT", Reach::Out), next);
        }
    }
    db.add_messages("c", messages(5..7), AddTo::AnyChat).unwrap();
    assert_eq!(neighbors(&db, "m5", "NEXT", Reach::Out), ["m6"]);
    assert_eq!(neighbors(&db, "m5", "NEXT", Reach::In), Vec::<String>::new());
    assert_sound(&db);
}

#[test]
fn a_message_stays_in_the_chat_that_it_was_added_to() {
    let db = without_models();
    say(&db, "c", "m", "Alice");
    say(&db, "other", "o", "Bob");
    let all = |db: &Database| {
        let stats = db.stats().unwrap();
        (db.get_node("m").unwrap().unwrap().version().unwrap(), stats.lsn, stats.tables)
    };
    let before = all(&db);
    let gone = Changes { remove: vec!["chat_id".into()], ..Changes::default() };
    let both = set(&[("content", text("Carol")), ("chat_id", text("other"))]);
    for (changes, words) in [
        (set(&[("chat_id", text("other"))]), "become \"other\""),
        (both, "become \"other\""),
        (gone, "go: delete it and add it"),
    ] {
        let error = db.update_node("m", changes.clone(), None).map(drop).unwrap_err();
        assert!(matches!(&error, Error::InvalidInput(_)), "{error}");
        for word in ["\"m\"", "chat \"c\"", words] {
            assert!(error.to_string().contains(word), "{error} does not say {word}");
        }
        let mut tx = db.transaction().unwrap();
        let within = tx.update_node("m", changes).unwrap_err();
        assert_eq!(within.to_string(), error.to_string());
        tx.commit().unwrap();
    }
    assert_eq!(all(&db), before, "nothing was written");
    // The same again is no change.
    db.update_node("m", set(&[("chat_id", text("c")), ("mood", text("glad"))]), None).unwrap();
    // One that named no chat belongs where the user says.
    db.create_nodes(vec![node("free", "Message", &[])]).unwrap();
    db.create_edges(vec![edge("mine", "c", "CONTAINS", "free")]).unwrap();
    db.update_node("free", set(&[("chat_id", text("other"))]), None).unwrap();
    assert_sound(&db);
}

#[test]
fn a_node_is_given_one_vector_at_a_time() {
    let db = without_models();
    db.create_nodes(vec![node("a", "Thing", &[]), node("b", "Thing", &[])]).unwrap();
    let twice = |space: [Option<&str>; 2]| {
        vec![
            vector("v", "a", space[0], &[1.0]),
            vector("w", "b", space[0], &[1.0]),
            vector("x", "a", space[1], &[2.0]),
        ]
    };
    for space in [None, Some("mine")] {
        let error = db.create_embeddings(twice([space; 2])).unwrap_err();
        let Error::At { place, error: bare } = &error else { panic!("{error} has no place") };
        assert_eq!((place.item, place.field), (Some(2), Some("node_id")));
        assert!(matches!(**bare, Error::InvalidInput(_)), "{error}");
        assert!(error.to_string().contains("\"a\""), "{error}");
    }
    assert_eq!(db.stats().unwrap().embeddings, 0);
    db.create_embeddings(twice([Some("mine"), Some("yours")])).unwrap();
    assert_eq!(db.stats().unwrap().embeddings, 3);
    assert_sound(&db);
}

#[test]
fn a_users_edge_keeps_its_weight_beside_the_weavers() {
    let (db, _) = in_memory();
    say(&db, "c", "m", "Alice met Bob");
    drain(&db);
    let (alice, bob) = (entity(&db, "Alice").unwrap(), entity(&db, "Bob").unwrap());
    db.create_edges(vec![edge("mine", &alice, "LIKES", &bob)]).unwrap();
    let heavy = EdgeChanges { weight: Some(7.5), ..EdgeChanges::default() };
    db.update_edge("mine", heavy, None).unwrap();
    say(&db, "c", "m2", "Alice met Bob");
    drain(&db);
    assert_eq!(db.get_edge("mine", AsOf::default()).unwrap().unwrap().weight().unwrap(), 7.5);
    assert_eq!(relations(&db), [("Alice".into(), "Bob".into(), 2.0)]);
}
