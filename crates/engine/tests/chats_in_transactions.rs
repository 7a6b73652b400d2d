//! Chats, messages and facts of a transaction are what the same calls make outside of one: it sees them
//! so before its commit, and everybody after it. Who adds to a chat hinders nobody who does the same.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{
    assert_sound, draft, edge, node, properties, seeded, set, text, value, without_models,
};
use embedded_db_common::{Error, Result, Value};
use embedded_db_engine::{
    AddTo, AsOf, Begin, Changes, Database, EdgeDraft, Node, NodeDraft, Reach, Transaction,
};
use proptest::prelude::*;

const CHATS: [&str; 2] = ["c0", "c1"];
const MESSAGES: [&str; 6] = ["m0", "m1", "m2", "m3", "m4", "m5"];
const FACTS: [&str; 4] = ["f0", "f1", "f2", "f3"];
const EDGES: [&str; 2] = ["e0", "e1"];
const TYPES: [&str; 4] = ["CONTAINS", "NEXT", "SUPERSEDES", "KNOWS"];

fn all_ids() -> impl Iterator<Item = &'static str> {
    CHATS.into_iter().chain(MESSAGES).chain(FACTS)
}

// ---- what is done

#[derive(Debug, Clone)]
enum Act {
    MakeChat(&'static str),
    Say(&'static str, &'static str, AddTo),
    SayMany(&'static str, Vec<&'static str>, AddTo),
    Edit(&'static str, u8),
    Delete(&'static str),
    Remember(&'static str, Option<&'static str>),
    Tie(&'static str, &'static str, &'static str, &'static str),
    Untie(&'static str),
    /// Takes an edge back.
    Retract(&'static str),
    /// The transaction ends, another begins.
    Commit,
}

fn act() -> impl Strategy<Value = Act> {
    let chat = || prop::sample::select(&CHATS[..]);
    let message = || prop::sample::select(&MESSAGES[..]);
    let fact = || prop::sample::select(&FACTS[..]);
    let any = || prop::sample::select(all_ids().collect::<Vec<_>>());
    let to = || prop::sample::select(&[AddTo::AnyChat, AddTo::ChatThatExists][..]);
    let own = || prop::sample::select(&EDGES[..]);
    prop_oneof![
        1 => chat().prop_map(Act::MakeChat),
        6 => (chat(), message(), to()).prop_map(|(chat, id, to)| Act::Say(chat, id, to)),
        2 => (chat(), prop::collection::vec(message(), 0..3), to())
            .prop_map(|(chat, ids, to)| Act::SayMany(chat, ids, to)),
        1 => (message(), 0u8..3).prop_map(|(id, n)| Act::Edit(id, n)),
        3 => any().prop_map(Act::Delete),
        3 => (fact(), prop::option::of(fact())).prop_map(|(id, old)| Act::Remember(id, old)),
        4 => (own(), any(), prop::sample::select(&TYPES[..]), any())
            .prop_map(|(id, source, of, target)| Act::Tie(id, source, of, target)),
        3 => own().prop_map(Act::Untie),
        1 => own().prop_map(Act::Retract),
        2 => Just(Act::Commit),
    ]
}

fn said(id: &str) -> NodeDraft {
    NodeDraft::unlabelled(Some(id.into()), draft(&[("content", text(&format!("says {id}")))]))
}

fn told(id: &str) -> NodeDraft {
    let labels = vec!["Fact".into(), "Message".into()];
    NodeDraft { labels, ..node(id, "Fact", &[("content", text("a fact"))]) }
}

fn tie(id: Option<&str>, source: &str, of: &str, target: &str) -> EdgeDraft {
    EdgeDraft { id: id.map(str::to_owned), ..edge("", source, of, target) }
}

fn edited(n: u8) -> Changes {
    set(&[("content", text(&format!("another {n}")))])
}

fn outside(db: &Database, act: &Act) -> Result<()> {
    match act {
        Act::MakeChat(id) => {
            db.create_chat(NodeDraft::unlabelled(Some((*id).into()), draft(&[]))).map(drop)
        }
        Act::Say(chat, id, to) => db.add_message(chat, said(id), *to).map(drop),
        Act::SayMany(chat, ids, to) => {
            db.add_messages(chat, ids.iter().map(|id| said(id)).collect(), *to).map(drop)
        }
        Act::Edit(id, n) => db.update_node(id, edited(*n), None).map(drop),
        Act::Delete(id) => db.delete_node(id, None),
        Act::Remember(id, old) => {
            db.create_node(told(id))?;
            let Some(old) = old.filter(|old| old != id && is_current(db.get_node(old).unwrap()))
            else {
                return Ok(());
            };
            db.create_edge(tie(None, id, "SUPERSEDES", old))?;
            db.update_node(old, set(&[("superseded_by", text(id))]), None).map(drop)
        }
        Act::Tie(id, source, of, target) => {
            db.create_edge(tie(Some(id), source, of, target)).map(drop)
        }
        Act::Untie(id) => db.delete_edge(id),
        Act::Retract(id) => db.retract_edge(id),
        Act::Commit => Ok(()),
    }
}

fn inside(tx: &mut Transaction, act: &Act) -> Result<()> {
    match act {
        Act::MakeChat(id) => {
            tx.create_chat(NodeDraft::unlabelled(Some((*id).into()), draft(&[]))).map(drop)
        }
        Act::Say(chat, id, to) => tx.add_message(chat, said(id), *to).map(drop),
        Act::SayMany(chat, ids, to) => {
            tx.add_messages(chat, ids.iter().map(|id| said(id)).collect(), *to).map(drop)
        }
        Act::Edit(id, n) => tx.update_node(id, edited(*n)),
        Act::Delete(id) => tx.delete_node(id),
        Act::Remember(id, old) => {
            tx.create_node(told(id))?;
            let Some(old) = old.filter(|old| old != id && is_current(tx.get_node(old).unwrap()))
            else {
                return Ok(());
            };
            tx.create_edge(tie(None, id, "SUPERSEDES", old))?;
            tx.update_node(old, set(&[("superseded_by", text(id))]))
        }
        Act::Tie(id, source, of, target) => {
            tx.create_edge(tie(Some(id), source, of, target)).map(drop)
        }
        Act::Untie(id) => tx.delete_edge(id),
        Act::Retract(id) => tx.retract_edge(id),
        Act::Commit => Ok(()),
    }
}

/// Whether it is a fact whose place no other has taken.
fn is_current(node: Option<Node>) -> bool {
    node.is_some_and(|node| value(&node, "superseded_by").is_none())
}

// ---- what is seen

/// Labels, properties but for times, and version.
fn seen(node: &Node) -> (Vec<String>, Vec<(String, Value)>, u64) {
    let labels = node.labels().unwrap().iter().map(|label| label.to_string()).collect();
    let mut values = properties(node);
    values.retain(|(name, _)| name != "timestamp");
    (labels, values, node.version().unwrap())
}

fn ids(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(|node| node.id().unwrap()).collect()
}

fn message_of(error: &Error) -> String {
    error.to_string()
}

/// Everything that both can be asked, in words.
fn assert_same(db: &Database, tx: &mut Transaction) -> Result<(), TestCaseError> {
    for id in all_ids() {
        let (out, within) = (db.get_node(id).unwrap(), tx.get_node(id).unwrap());
        prop_assert_eq!(out.as_ref().map(seen), within.as_ref().map(seen), "{}", id);
        for way in [Reach::Out, Reach::In, Reach::Any] {
            for of in std::iter::once(None).chain(TYPES.map(Some)) {
                let of = of.map(|of| vec![of.to_owned()]);
                let of = of.as_deref();
                let out = db.neighbors(id, of, way, AsOf::default(), None, 100);
                let out = out.map(|page| ids(&page.items)).map_err(|e| message_of(&e));
                let within = tx.neighbors(id, of, way, AsOf::default(), None, 100);
                let within = within.map(|page| ids(&page.items)).map_err(|e| message_of(&e));
                prop_assert_eq!(out, within, "{} {:?} {:?}", id, of, way);
            }
        }
    }
    for id in EDGES {
        let ends = |edge: embedded_db_engine::Edge| {
            let of = edge.edge_type().unwrap().to_string();
            (edge.source().to_owned(), of, edge.target().to_owned(), edge.version().unwrap())
        };
        let out = db.get_edge(id, AsOf::default()).unwrap().map(ends);
        prop_assert_eq!(out, tx.get_edge(id).unwrap().map(ends), "{}", id);
    }
    for chat in CHATS {
        for after in std::iter::once(None).chain(MESSAGES.map(Some)) {
            for (newest_first, limit) in [(false, 100), (true, 100), (false, 2), (true, 2)] {
                let begin = after.map_or(Begin::AtTheEnd, Begin::Behind);
                let out = db.messages(chat, begin, newest_first, limit);
                let out = out.map(|page| page.items.into_iter().map(|(node, _)| node).collect());
                let out = out.map(|nodes: Vec<_>| ids(&nodes)).map_err(|e| message_of(&e));
                let within = tx.messages(chat, after, newest_first, limit);
                let within = within.map(|nodes| ids(&nodes)).map_err(|e| message_of(&e));
                prop_assert_eq!(out, within, "{} {:?} {} {}", chat, after, newest_first, limit);
            }
        }
    }
    Ok(())
}

/// Every edge, in order: which the database made by itself, and what they lead to.
fn all_edges(db: &Database) -> Vec<(String, String, String, bool, bool)> {
    let edges = db.edges_ever(None, usize::MAX).unwrap();
    let told = |edge: &embedded_db_engine::Edge| {
        let retracted = edge.times().unwrap().retracted_at.is_some();
        let of = edge.edge_type().unwrap().to_string();
        let ends = (edge.source().to_owned(), edge.target().to_owned());
        (ends.0, of, ends.1, edge.derived().unwrap(), retracted)
    };
    edges.iter().map(told).collect()
}

proptest! {
    #![proptest_config(seeded(7, 60))]

    #[test]
    fn a_transaction_does_what_is_done_outside(acts in prop::collection::vec(act(), 1..25)) {
        let (db, other) = (without_models(), without_models());
        let mut tx = other.transaction().unwrap();
        for act in &acts {
            if matches!(act, Act::Commit) {
                tx.commit().unwrap();
                prop_assert_eq!(all_edges(&db), all_edges(&other));
                tx = other.transaction().unwrap();
            }
            // What was refused outside has left nothing, and so it has here.
            let (out, within) = (outside(&db, act), inside(&mut tx, act));
            prop_assert_eq!(
                out.map_err(|e| message_of(&e)), within.map_err(|e| message_of(&e)), "{:?}", act
            );
            assert_same(&db, &mut tx)?;
        }
        tx.commit().unwrap();
        prop_assert_eq!(all_edges(&db), all_edges(&other));
        assert_same(&db, &mut other.transaction().unwrap())?;
        assert_sound(&other);
    }
}

// ---- beside others

fn chain(db: &Database) -> Vec<String> {
    let page = db.messages("c0", Begin::AtTheEnd, false, 100).unwrap();
    let listed = ids(&page.items.into_iter().map(|(node, _)| node).collect::<Vec<_>>());
    for (at, id) in listed.iter().enumerate() {
        let next = common::neighbors(db, id, "NEXT", Reach::Out);
        assert_eq!(next.as_slice(), &listed[at + 1..listed.len().min(at + 2)], "after {id}");
    }
    listed
}

fn conflict(outcome: Result<()>) -> String {
    match outcome.unwrap_err() {
        Error::Conflict { id, .. } => id,
        other => panic!("no conflict: {other}"),
    }
}

fn with_chat() -> Database {
    let db = without_models();
    db.create_chat(NodeDraft::unlabelled(Some("c0".into()), draft(&[]))).unwrap();
    db
}

fn say(tx: &mut Transaction, id: &str) -> Node {
    tx.add_message("c0", said(id), AddTo::AnyChat).unwrap()
}

#[test]
fn who_adds_to_a_chat_hinders_nobody_who_does() {
    let db = with_chat();
    let (mut one, mut two) = (db.transaction().unwrap(), db.transaction().unwrap());
    say(&mut one, "a1");
    say(&mut two, "b1");
    db.add_message("c0", said("x"), AddTo::ChatThatExists).unwrap();
    say(&mut one, "a2");
    say(&mut two, "b2");
    let own = one.messages("c0", None, false, 10).unwrap();
    assert_eq!(ids(&own), ["a1", "a2"], "it sees its own behind what it began with");
    two.commit().unwrap();
    one.commit().unwrap();
    // Behind what is there at the commit, and together.
    assert_eq!(chain(&db), ["x", "b1", "b2", "a1", "a2"]);
    assert_sound(&db);
}

#[test]
fn the_last_message_may_go_while_another_is_added() {
    let db = with_chat();
    db.add_message("c0", said("m0"), AddTo::ChatThatExists).unwrap();
    db.add_message("c0", said("m1"), AddTo::ChatThatExists).unwrap();
    let mut tx = db.transaction().unwrap();
    say(&mut tx, "m2");
    db.delete_node("m1", None).unwrap();
    tx.commit().unwrap();
    assert_eq!(chain(&db), ["m0", "m2"]);
    // Unless it was looked at.
    let mut tx = db.transaction().unwrap();
    tx.get_node("m2").unwrap();
    say(&mut tx, "m3");
    db.delete_node("m2", None).unwrap();
    assert_eq!(conflict(tx.commit()), "m2");
    assert_eq!(chain(&db), ["m0"]);
    assert_sound(&db);
}

#[test]
fn of_the_chat_of_a_new_message_only_that_it_is_there_counts() {
    let db = with_chat();
    let title = || set(&[("title", text("Trip"))]);
    let mut tx = db.transaction().unwrap();
    say(&mut tx, "m0");
    db.update_node("c0", title(), None).unwrap();
    tx.commit().unwrap();
    let mut tx = db.transaction().unwrap();
    say(&mut tx, "m1");
    tx.get_node("c0").unwrap();
    db.update_node("c0", title(), None).unwrap();
    assert_eq!(conflict(tx.commit()), "c0", "it was read");
    assert_eq!(chain(&db), ["m0"]);

    for anew in [false, true] {
        let mut tx = db.transaction().unwrap();
        say(&mut tx, "m2");
        db.delete_node("c0", None).unwrap();
        if anew {
            db.create_chat(NodeDraft::unlabelled(Some("c0".into()), draft(&[]))).unwrap();
        }
        assert_eq!(conflict(tx.commit()), "c0");
        db.create_node(node("m2", "Free", &[])).unwrap();
        db.delete_node("m2", None).unwrap();
        db.add_message("c0", said("again"), AddTo::AnyChat).unwrap();
    }
    assert_sound(&db);
}

#[test]
fn a_chat_that_others_make_meanwhile_is_the_chat() {
    let db = without_models();
    let mut tx = db.transaction().unwrap();
    say(&mut tx, "m0");
    db.add_message("c0", said("first"), AddTo::AnyChat).unwrap();
    tx.commit().unwrap();
    assert_eq!(chain(&db), ["first", "m0"]);

    db.delete_node("c0", None).unwrap();
    let mut tx = db.transaction().unwrap();
    say(&mut tx, "m1");
    assert!(value(&tx.get_node("c0").unwrap().unwrap(), "title").is_none());
    let chat = NodeDraft::unlabelled(Some("c0".into()), draft(&[("title", text("Trip"))]));
    db.create_chat(chat).unwrap();
    assert_eq!(conflict(tx.commit()), "c0", "what it read of its own chat is not so");

    db.delete_node("c0", None).unwrap();
    let mut tx = db.transaction().unwrap();
    let own = NodeDraft::unlabelled(Some("c0".into()), draft(&[]));
    tx.create_chat(own).unwrap();
    say(&mut tx, "m1");
    db.add_message("c0", said("first"), AddTo::AnyChat).unwrap();
    assert_eq!(conflict(tx.commit()), "c0", "it was to be new");
    assert_sound(&db);
}

#[test]
fn a_chat_that_is_not_there_takes_no_message_and_one_that_came_is_a_conflict() {
    let db = without_models();
    let mut tx = db.transaction().unwrap();
    let missing = tx.add_message("c0", said("m0"), AddTo::ChatThatExists).err().unwrap();
    assert!(matches!(&missing, Error::NotFound { kind: "chat", .. }), "{missing}");
    tx.create_node(node("n", "Thing", &[])).unwrap();
    db.create_chat(NodeDraft::unlabelled(Some("c0".into()), draft(&[]))).unwrap();
    assert_eq!(conflict(tx.commit()), "c0", "that it was missing was read");
}

#[test]
fn a_step_that_is_undone_never_was() {
    let db = with_chat();
    db.create_edge(edge("kept", "c0", "T", "c0")).unwrap();
    db.create_node(node("n", "Thing", &[("p", Value::Int(1))])).unwrap();
    let mut tx = db.transaction().unwrap();
    say(&mut tx, "m0");
    tx.create_edge(edge("own", "m0", "T", "c0")).unwrap();
    let before =
        ids(&tx.neighbors("c0", None, Reach::Any, AsOf::default(), None, 100).unwrap().items);
    tx.begin_step();
    say(&mut tx, "m1");
    tx.update_node("n", set(&[("p", Value::Int(2))])).unwrap();
    tx.update_node("m0", set(&[("p", Value::Int(2))])).unwrap();
    tx.begin_step();
    tx.delete_node("m0").unwrap();
    tx.delete_edge("kept").unwrap();
    tx.create_edge(edge("kept", "n", "T", "n")).unwrap();
    tx.create_embedding(common::vector("v", "n", None, &[1.0])).unwrap();
    tx.end_step(true);
    assert!(tx.get_node("m0").unwrap().is_none());
    tx.end_step(false);
    assert_eq!(
        ids(&tx.neighbors("c0", None, Reach::Any, AsOf::default(), None, 100).unwrap().items),
        before
    );
    assert_eq!(value(&tx.get_node("n").unwrap().unwrap(), "p"), Some(Value::Int(1)));
    assert_eq!(tx.get_node("m0").unwrap().unwrap().version().unwrap(), 1);
    assert!(tx.get_edge("own").unwrap().is_some());
    tx.create_embedding(common::vector("v", "n", None, &[2.0])).unwrap();
    say(&mut tx, "m1");
    tx.commit().unwrap();
    assert_eq!(chain(&db), ["m0", "m1"]);
    assert_eq!(db.get_embedding("v").unwrap().unwrap().vector, [2.0]);
    assert_eq!(db.get_edge("kept", AsOf::default()).unwrap().unwrap().source(), "c0");
    assert_sound(&db);
}

/// What a caller holds of a transaction's own writes is told as it was stored.
#[test]
fn what_is_held_comes_back_as_it_was_stored() {
    let db = with_chat();
    db.create_node(node("read", "Thing", &[])).unwrap();
    let mut tx = db.transaction().unwrap();
    let read = tx.get_node("read").unwrap().unwrap();
    let old = tx.create_chat(NodeDraft::unlabelled(Some("c1".into()), draft(&[]))).unwrap();
    tx.update_node("c1", set(&[("title", text("Trip"))])).unwrap();
    let chat = tx.get_node("c1").unwrap().unwrap();
    let message = say(&mut tx, "m0");
    tx.create_edge(edge("e", "c1", "T", "m0")).unwrap();
    let tied = tx.get_edge("e").unwrap().unwrap();
    let held = [read, old, chat, message];
    let committed = tx.commit_held(&held, &[tied]).unwrap();
    let stored = |id: &str| db.get_node(id).unwrap().unwrap().created_at().unwrap();
    let times = |node: &Option<Node>| node.as_ref().map(|node| node.created_at().unwrap());
    let expected = [None, None, Some(stored("c1")), Some(stored("m0"))];
    assert_eq!(committed.nodes.iter().map(times).collect::<Vec<_>>(), expected);
    let recorded = committed.edges[0].as_ref().unwrap().times().unwrap().recorded_at;
    let edge = db.get_edge("e", AsOf::default()).unwrap().unwrap();
    assert_eq!(recorded, edge.times().unwrap().recorded_at);
    // It is the one that is stored, not one that gets its id later.
    let chat = committed.nodes[2].clone().unwrap();
    db.delete_node("c1", None).unwrap();
    db.create_node(node("c1", "Chat", &[])).unwrap();
    db.update_node("c1", set(&[]), None).unwrap();
    let late = db.update_node("c1", set(&[("p", Value::Int(1))]), Some(&chat));
    assert_eq!(conflict(late.map(drop)), "c1");
}
