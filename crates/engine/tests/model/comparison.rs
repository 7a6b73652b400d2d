//! What is stored and derived, against the model.

use std::collections::{BTreeMap, BTreeSet};

use embedded_db_common::Value;
use embedded_db_engine::{AsOf, Database, Reach};
use embedded_db_testing::FakeModels;

use crate::common::{MODEL, neighbors, properties, text, value};
use crate::world::{ModelNode, World};
use crate::{TYPES, Values};

/// The database counts pairs of the first so many entities of a message.
const PAIRED: usize = 16;

/// Names in a text: folded, how often, and where first (characters); first mention first.
fn mentions(content: &str) -> Vec<(String, usize, (i64, i64))> {
    let mut out: Vec<(String, usize, (i64, i64))> = Vec::new();
    let mut at = 0;
    for word in content.split(' ') {
        let name = word.trim_end_matches('.');
        let length = name.chars().count();
        if name.chars().next().is_some_and(char::is_uppercase) {
            let folded = name.to_lowercase();
            match out.iter_mut().find(|(known, ..)| *known == folded) {
                Some((_, times, _)) => *times += 1,
                None => out.push((folded, 1, (at as i64, (at + length) as i64))),
            }
        }
        at += word.chars().count() + 1;
    }
    out
}

/// The time at which a message was said is the database's.
pub(crate) fn comparable(values: &[(String, Value)]) -> Values {
    let mut out = values.to_vec();
    for (name, value) in &mut out {
        if name == "timestamp" {
            *value = Value::Null;
        }
    }
    out
}

pub(crate) fn compare(db: &Database, world: &World) {
    let mut expected: Vec<(&String, &ModelNode)> = world.nodes.iter().collect();
    expected.sort_by_key(|(_, node)| node.birth);
    // One instant: the weaver may be at work.
    let pinned = db.snapshot().unwrap();
    let stored = pinned.nodes(None, None, usize::MAX).unwrap();
    assert_eq!(pinned.count(None).unwrap(), stored.len() as u64);
    let label = |node: &embedded_db_engine::Node| node.labels().unwrap()[0].to_string();
    let own: Vec<_> = stored
        .iter()
        .filter(|node| !["Entity", "Summary", "Topic"].contains(&label(node).as_str()))
        .collect();
    let ids = |nodes: &[&embedded_db_engine::Node]| -> Vec<String> {
        nodes.iter().map(|node| node.id().unwrap()).collect()
    };
    let expected_ids: Vec<String> = expected.iter().map(|(id, _)| (*id).clone()).collect();
    assert_eq!(ids(&own), expected_ids, "in the order in which they were made");
    for (node, (id, wanted)) in own.iter().zip(&expected) {
        assert_eq!(label(node), wanted.label, "{id}");
        assert_eq!(node.version().unwrap(), wanted.version, "{id}");
        assert_eq!(comparable(&properties(node)), wanted.values, "{id}");
        if wanted.label == "Message" {
            assert!(matches!(value(node, "timestamp"), Some(Value::Time(_))), "{id}");
        }
    }
    // No summary outlives a text that it was made of; the fake model tells the first.
    for summary in stored.iter().filter(|node| label(node) == "Summary") {
        let covered = |name| {
            let Some(Value::Str(id)) = value(summary, name) else { panic!("no {name}") };
            let values = &world.nodes[&id].values;
            values.iter().find(|(name, _)| name == "content").unwrap().1.clone()
        };
        let Value::Str(first) = covered("first_message") else { panic!("no text") };
        assert_eq!(value(summary, "text"), Some(text(first.trim())));
        covered("last_message");
    }
    for label in ["Thing", "Chat", "Message"] {
        let wanted = world.nodes.values().filter(|node| node.label == label).count();
        assert_eq!(db.count(Some(label)).unwrap(), wanted as u64, "{label}");
    }
    compare_edges(db, world);
    for (chat, messages) in &world.chats {
        assert_eq!(&neighbors(db, chat, "CONTAINS", Reach::Out), messages, "{chat}");
        for (at, message) in messages.iter().enumerate() {
            assert_eq!(neighbors(db, message, "CONTAINS", Reach::In), std::slice::from_ref(chat));
            let next: Vec<String> = messages.get(at + 1).cloned().into_iter().collect();
            assert_eq!(neighbors(db, message, "NEXT", Reach::Out), next, "after {message}");
            let before = at.checked_sub(1).map(|at| messages[at].clone());
            let before: Vec<String> = before.into_iter().collect();
            assert_eq!(neighbors(db, message, "NEXT", Reach::In), before, "before {message}");
        }
    }
    for (id, vector) in &world.vectors {
        let found = db.get_embedding(id).unwrap().unwrap();
        assert_eq!((&found.node_id, found.space.as_str()), (&vector.node, vector.space), "{id}");
        assert_eq!(found.vector, vector.values, "{id}");
        let of_node = db.embedding_of(&vector.node, Some(vector.space)).unwrap().unwrap();
        assert_eq!(&of_node.id, id, "the one vector of its node");
    }
}

fn compare_edges(db: &Database, world: &World) {
    for (id, wanted) in &world.edges {
        let edge = db.get_edge(id, AsOf::default()).unwrap().unwrap();
        assert_eq!((edge.source(), edge.target()), (&*wanted.source, &*wanted.target), "{id}");
        assert_eq!(&*edge.edge_type().unwrap(), wanted.edge_type, "{id}");
        assert_eq!(edge.weight().unwrap(), wanted.weight, "{id}");
        assert_eq!(edge.version().unwrap(), wanted.version, "{id}");
        let mut values = Vec::new();
        edge.each_property(&mut |name, value| {
            values.push((name.to_owned(), value.to_value()?));
            Ok(())
        })
        .unwrap();
        assert_eq!(values, wanted.values, "{id}");
    }
    for edge_type in TYPES {
        let of_type = || world.edges.values().filter(|edge| edge.edge_type == edge_type);
        assert_eq!(db.count_edges(Some(edge_type)).unwrap(), of_type().count() as u64);
        for node in world.nodes.keys() {
            let mut out: Vec<_> = of_type().filter(|edge| edge.source == *node).collect();
            out.sort_by_key(|edge| edge.birth);
            let out: Vec<String> = out.iter().map(|edge| edge.target.clone()).collect();
            assert_eq!(neighbors(db, node, edge_type, Reach::Out), out, "{node} {edge_type}");
            let into = of_type().filter(|edge| edge.target == *node).count();
            assert_eq!(neighbors(db, node, edge_type, Reach::In).len(), into);
        }
    }
    let messages: usize = world.chats.values().map(Vec::len).sum();
    let pairs: usize = world.chats.values().map(|chat| chat.len().saturating_sub(1)).sum();
    assert_eq!(db.count_edges(Some("CONTAINS")).unwrap(), messages as u64);
    assert_eq!(db.count_edges(Some("NEXT")).unwrap(), pairs as u64);
}

/// What the weaver makes, once it has nothing left to do.
pub(crate) fn compare_derived(db: &Database, world: &World) {
    let texts = world.texts();
    // Vectors.
    for (id, content) in &texts {
        let of_user = world.vectors.values().find(|v| v.node == *id && v.space == MODEL);
        let expected = of_user.map_or_else(|| FakeModels::vector(content), |v| v.values.clone());
        let found = db.embedding_of(id, Some(MODEL)).unwrap();
        assert_eq!(found.map(|found| found.vector), Some(expected), "the vector of {id}");
    }
    let of_messages: BTreeSet<&str> = texts.iter().map(|(id, _)| *id).collect();
    let of_users = world.vectors.values().filter(|v| v.space == MODEL);
    let others = of_users.filter(|v| !of_messages.contains(v.node.as_str())).count();
    let own_space = world.vectors.values().filter(|v| v.space == "mine").count();
    let all = (texts.len() + others + own_space) as u64;
    assert_eq!(db.stats().unwrap().embeddings, all, "no vector is left over");

    // Entities and mentions.
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    // The messages in which two come together.
    let mut pairs: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (id, content) in &texts {
        let names: Vec<String> = mentions(content).into_iter().map(|(name, ..)| name).collect();
        for name in &names {
            *counts.entry(name.clone()).or_default() += 1;
        }
        let paired = &names[..names.len().min(PAIRED)];
        for (at, first) in paired.iter().enumerate() {
            for second in &paired[at + 1..] {
                let pair = (first.min(second).clone(), first.max(second).clone());
                pairs.entry(pair).or_default().insert((*id).to_owned());
            }
        }
    }
    let entities = db.nodes(Some("Entity"), None, usize::MAX).unwrap();
    let mut name_of: BTreeMap<String, String> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for entity in &entities {
        let Some(Value::Str(label)) = value(entity, "label") else { panic!("no label") };
        let Some(Value::Int(count)) = value(entity, "mention_count") else { panic!("no count") };
        name_of.insert(entity.id().unwrap(), label.to_lowercase());
        assert_eq!(found.insert(label.to_lowercase(), count), None, "{label} is there twice");
    }
    assert_eq!(found, counts, "entities, and how many messages mention each");
    for (id, node) in &world.nodes {
        if node.label != "Message" {
            continue;
        }
        let types = [String::from("MENTIONS")];
        let edges = db
            .edges(id, Some(&types), Reach::Out, AsOf::default(), None, usize::MAX)
            .unwrap()
            .items;
        let place = |edge: &embedded_db_engine::Edge, name| {
            let found = edge.property(name, |value| Ok(value.to_value()?)).unwrap();
            let Some(Value::Int(at)) = found else { panic!("{name} is {found:?}") };
            at
        };
        let told: Vec<_> = edges
            .iter()
            .map(|edge| {
                assert_eq!(edge.sources().unwrap(), std::slice::from_ref(id));
                let times = edge.weight().unwrap() as usize;
                (name_of[edge.target()].clone(), times, (place(edge, "start"), place(edge, "end")))
            })
            .collect();
        let content = texts.iter().find(|(of, _)| of == id).map_or("", |(_, content)| content);
        assert_eq!(told, mentions(content), "mentions of {id}");
    }
    // Relations.
    let mut related = BTreeMap::new();
    for (id, name) in &name_of {
        let types = [String::from("RELATED_TO")];
        let edges = db
            .edges(id, Some(&types), Reach::Out, AsOf::default(), None, usize::MAX)
            .unwrap()
            .items;
        for edge in edges {
            let other = &name_of[edge.target()];
            let pair = (name.min(other).clone(), name.max(other).clone());
            let sources: BTreeSet<String> = edge.sources().unwrap().into_iter().collect();
            assert_eq!(edge.weight().unwrap(), sources.len() as f64, "{name} and {other}");
            let earlier = related.insert(pair, sources);
            assert_eq!(earlier, None, "{name} and {other} are related twice");
        }
    }
    assert_eq!(related, pairs, "in how many messages two entities come together");

    // Summaries.
    let mut summaries = 0;
    for (chat, messages) in &world.chats {
        let told: Vec<&(&str, &str)> =
            messages.iter().filter_map(|m| texts.iter().find(|(id, _)| id == m)).collect();
        let found = neighbors(db, chat, "SUMMARIZES", Reach::In);
        let Some((first, content)) = told.first() else {
            assert_eq!(found, Vec::<String>::new(), "nothing to say of {chat}");
            continue;
        };
        summaries += 1;
        assert_eq!(found.len(), 1, "one summary of {chat}");
        let summary = db.get_node(&found[0]).unwrap().unwrap();
        assert_eq!(value(&summary, "text"), Some(text(content.trim())), "of {chat}");
        assert_eq!(value(&summary, "chat_id"), Some(text(chat)));
        assert_eq!(value(&summary, "first_message"), Some(text(first)));
        assert_eq!(value(&summary, "last_message"), told.last().map(|(last, _)| text(last)));
    }
    assert_eq!(db.count(Some("Summary")).unwrap(), summaries, "no summary is left over");
}
