//! A summary is true of the messages that it covers, or it is not there: it goes in the transaction
//! that changes one of their texts, and a result that was made of the old text is dropped. What is
//! added behind them leaves it, and makes a newer one due.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use common::{Bench, Function, Held, NS, drain, eager, held};
use embedded_db_common::{Draft, Slot, Value};
use embedded_db_indexing::graph::{Artefact, EdgeDraft, NodeDraft, is_pending};
use embedded_db_storage::{Direction, ReadTxn};
use embedded_db_weaver::Weaver;

fn free() -> Arc<Held> {
    held(Function::Summarize).0
}

fn chat(bench: &Bench) -> Slot {
    bench.store.read().unwrap().node_slot(NS, "chat").unwrap().unwrap()
}

/// What is told of the chat, by every summary that there is.
fn told(bench: &Bench) -> Vec<String> {
    let snapshot = bench.store.read().unwrap();
    let mut found = Vec::new();
    let of = Some(bench.names.summarizes);
    snapshot
        .neighbors(NS, chat(bench), Direction::In, of, |_, neighbor| {
            found.push(neighbor.node);
            true
        })
        .unwrap();
    let all = embedded_db_indexing::labelled(&snapshot, NS, bench.names.summary).unwrap();
    assert_eq!(all.len(), found.len() as u64, "no summary is left over");
    let text = |slot| {
        let node = snapshot.node(NS, slot).unwrap().unwrap();
        node.properties.get(bench.names.text).unwrap().unwrap().as_str().unwrap().to_owned()
    };
    found.into_iter().map(text).collect()
}

fn due(bench: &Bench) -> bool {
    is_pending(&bench.store.read().unwrap(), NS, Artefact::Summary, chat(bench)).unwrap()
}

/// A chat of three messages with its summary, and a weaver that was stopped.
fn summarised() -> (Bench, [Slot; 3]) {
    let bench = Bench::new();
    let messages = ["one", "two", "three"].map(|content| bench.say(content));
    let weaver = bench.start(free(), eager());
    drain(&weaver);
    weaver.stop();
    assert_eq!((told(&bench), due(&bench)), (vec!["one | two | three".to_owned()], false));
    (bench, messages)
}

fn summarise_again(bench: &Bench) -> Vec<String> {
    let weaver = bench.start(free(), eager());
    drain(&weaver);
    weaver.stop();
    assert!(!due(bench));
    told(bench)
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn a_changed_text_takes_the_summary_with_it_at_once() {
    for (at, again) in [(0, "new | two | three"), (1, "one | new | three"), (2, "one | two | new")]
    {
        let (bench, messages) = summarised();
        bench.edit(messages[at], "new");
        assert_eq!((told(&bench), due(&bench)), (NOTHING, true));
        assert_eq!(summarise_again(&bench), [again]);
    }
}

#[test]
fn a_change_beside_the_text_leaves_it() {
    let (bench, messages) = summarised();
    let mut changes = embedded_db_indexing::graph::Changes::default();
    changes.set.set("mood", &Value::Str("glad".into())).unwrap();
    bench.write(move |writer| writer.update_node(messages[1], &changes));
    assert_eq!((told(&bench), due(&bench)), (vec!["one | two | three".to_owned()], false));
}

#[test]
fn a_deleted_message_takes_the_summary_with_it_at_once() {
    let (bench, messages) = summarised();
    bench.delete(messages[0]);
    assert_eq!((told(&bench), due(&bench)), (NOTHING, true));
    assert_eq!(summarise_again(&bench), ["two | three"]);
}

#[test]
fn a_message_taken_out_of_its_chat_takes_the_summary_with_it() {
    let (bench, messages) = summarised();
    let contains = bench.names.contains;
    bench.write(move |writer| {
        let edge = writer.txn.last_neighbor(NS, messages[1], Direction::In, contains)?.unwrap();
        writer.delete_edge(edge.edge)
    });
    assert_eq!((told(&bench), due(&bench)), (NOTHING, true));
    assert_eq!(summarise_again(&bench), ["one | three"]);
}

#[test]
fn a_new_message_leaves_the_summary_and_makes_a_newer_one_due() {
    let (bench, _) = summarised();
    let fourth = bench.say("four");
    let earlier = vec!["one | two | three".to_owned()];
    assert_eq!((told(&bench), due(&bench)), (earlier.clone(), true));
    // It is not covered yet: what becomes of it is no matter.
    bench.edit(fourth, "vier");
    assert_eq!(told(&bench), earlier);
    bench.delete(fourth);
    assert_eq!(told(&bench), earlier);
    bench.say("last");
    assert_eq!(summarise_again(&bench), ["one | two | three | last"]);
}

#[test]
fn a_summary_of_the_user_stays_the_users() {
    let (bench, messages) = summarised();
    bench.write(move |writer| {
        let mut properties = Draft::new();
        properties.set("text", &Value::Str("mine".into()))?;
        let (id, labels) = (Some("mine".to_owned()), vec!["Summary".to_owned()]);
        writer.create_node(&NodeDraft { labels, ..NodeDraft::unlabelled(id, properties) })?;
        writer.create_edge(&EdgeDraft {
            id: None,
            source: "mine".into(),
            target: "chat".into(),
            edge_type: "SUMMARIZES".into(),
            properties: Draft::new(),
            weight: 1.0,
            valid_from: None,
            valid_to: None,
            sources: Vec::new(),
        })
    });
    bench.edit(messages[0], "new");
    assert_eq!(told(&bench), ["mine"]);
    assert_eq!(summarise_again(&bench), ["mine", "new | two | three"]);
    messages.iter().for_each(|message| bench.delete(*message));
    assert_eq!(summarise_again(&bench), ["mine"]);
}

/// Does something while the model makes its first summary of two messages; gives what it is called
/// with next, and what is told in between and in the end.
fn meanwhile(act: impl FnOnce(&Bench, [Slot; 2])) -> (Vec<String>, Vec<String>, Vec<String>) {
    let bench = Bench::new();
    let messages = ["one", "two"].map(|content| bench.say(content));
    let (models, calls, go) = held(Function::Summarize);
    let weaver: Arc<Weaver> = bench.start(models, eager());
    let draining = std::thread::spawn({
        let weaver = Arc::clone(&weaver);
        move || drain(&weaver)
    });
    assert_eq!(calls.recv().unwrap(), ["one", "two"]);
    act(&bench, messages);
    go.send(()).unwrap();
    // A second call means that the first has come to its end.
    let again = calls.recv_timeout(common::PATIENCE).unwrap();
    let between = told(&bench);
    drop(go);
    draining.join().unwrap();
    weaver.stop();
    assert!(!due(&bench));
    (again, between, told(&bench))
}

#[test]
fn a_result_of_an_old_text_is_dropped() {
    let (again, between, end) = meanwhile(|bench, [_, second]| bench.edit(second, "zwei"));
    assert_eq!((again, between), (vec!["one".to_owned(), "zwei".to_owned()], NOTHING));
    assert_eq!(end, ["one | zwei"]);
    let (again, between, end) = meanwhile(|bench, [first, _]| bench.delete(first));
    assert_eq!((again, between), (vec!["two".to_owned()], NOTHING));
    assert_eq!(end, ["two"]);
}

#[test]
fn a_message_that_comes_during_a_call_is_told_next() {
    let (again, between, end) = meanwhile(|bench, _| {
        bench.say("three");
    });
    assert_eq!(again, ["one", "two", "three"]);
    assert_eq!(between, ["one | two"], "it is true of what it covers");
    assert_eq!(end, ["one | two | three"]);
}

#[test]
fn a_change_there_and_back_takes_the_result() {
    let (again, between, end) = meanwhile(|bench, [_, second]| {
        bench.edit(second, "zwei");
        bench.edit(second, "two");
    });
    // Its vector went with the edit and comes again, so that it is summarised once more.
    assert_eq!(again, ["one", "two"]);
    assert_eq!((between, end), (vec!["one | two".to_owned()], vec!["one | two".to_owned()]));
}

#[test]
fn a_chat_is_summarised_without_an_embedding_model() {
    let bench = Bench::new();
    let start = || {
        let store = Arc::clone(&bench.store);
        let (groups, nearest) = (common::no_groups, common::Alone::over(&store));
        Weaver::start(store, bench.names, free(), groups, nearest, None, None, eager(), false)
            .unwrap()
    };
    for (content, expected) in [("one", "one"), ("two", "one | two")] {
        bench.say(content);
        let weaver = start();
        drain(&weaver);
        assert_eq!(told(&bench), [expected]);
        weaver.stop();
    }
}

/// What a program tells a model, and what tools give back, is no part of what was said.
#[test]
fn instructions_and_what_tools_give_back_are_not_told() {
    let bench = Bench::new();
    let untold = ["system", "developer", "tool", "function"];
    let silent = untold.map(|role| bench.say_as(role, &format!("said by a {role}")));
    assert!(!due(&bench), "there is nothing to be told");
    bench.say("one");
    bench.say_as("tool", "{\"degrees\": 20}");
    bench.say_as("assistant", "two");
    assert_eq!(summarise_again(&bench), ["one | two"]);
    // What becomes of them is no matter.
    bench.edit(silent[0], "another instruction");
    assert_eq!((told(&bench), due(&bench)), (vec!["one | two".to_owned()], false));
    bench.say_as("system", "be brief");
    assert!(!due(&bench));
}

#[test]
fn a_message_that_becomes_an_instruction_takes_the_summary_with_it() {
    let (bench, messages) = summarised();
    let role = |role: &str| {
        let mut changes = embedded_db_indexing::graph::Changes::default();
        changes.set.set("role", &Value::Str(role.into())).unwrap();
        bench.write(move |writer| writer.update_node(messages[1], &changes));
    };
    role("assistant");
    assert_eq!((told(&bench), due(&bench)), (vec!["one | two | three".to_owned()], false));
    role("system");
    assert_eq!((told(&bench), due(&bench)), (NOTHING, true));
    assert_eq!(summarise_again(&bench), ["one | three"]);
    role("user");
    assert_eq!((told(&bench), due(&bench)), (NOTHING, true));
    assert_eq!(summarise_again(&bench), ["one | two | three"]);
}
