//! A model call takes its time, and the world goes on meanwhile. A result for a text that is no more
//! is dropped; stopping, pausing and crashing between any two steps loses nothing and does nothing
//! twice.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{Bench, Function, NS, drain, eager, held, until};
use embedded_db_common::{NamespaceId, WeaverOptions};
use embedded_db_indexing::graph::{Artefact, NodeDraft};
use embedded_db_storage::{ReadTxn, row_counts};
use embedded_db_testing::FakeModels;
use embedded_db_weaver::ArtefactState;

#[test]
fn an_edit_during_a_call_drops_the_late_result() {
    let bench = Bench::new();
    let (models, calls, go) = held(Function::Enrich);
    let message = bench.say("Alice");
    let weaver = bench.start(models.clone(), eager());
    assert_eq!(calls.recv().unwrap(), ["Alice"]);
    bench.edit(message, "Bob");
    go.send(()).unwrap();
    assert_eq!(calls.recv().unwrap(), ["Bob"], "the new text is worked on");
    // The answer to the old one has come to its end by now.
    bench.assert_bare(message);
    assert_eq!((bench.computed(), bench.all_entities()), (0, 0));
    drop(go);
    drain(&weaver);
    bench.assert_enriched(message, "Bob", &["Bob"]);
    assert_eq!((bench.computed(), bench.all_entities()), (1, 1));
    assert_eq!(bench.failed_work(), []);
    weaver.stop();
}

#[test]
fn an_edit_there_and_back_takes_the_result() {
    let bench = Bench::new();
    let (models, calls, go) = held(Function::Enrich);
    let message = bench.say("Alice");
    let weaver = bench.start(models, eager());
    calls.recv().unwrap();
    bench.edit(message, "Bob");
    bench.edit(message, "Alice");
    drop(go);
    drain(&weaver);
    bench.assert_enriched(message, "Alice", &["Alice"]);
    assert_eq!(bench.computed(), 1);
    weaver.stop();
}

#[test]
fn what_went_during_a_call_gets_nothing() {
    let bench = Bench::new();
    let (models, calls, go) = held(Function::Enrich);
    let gone = bench.say("Alice");
    let kept = bench.say("Bob");
    let weaver = bench.start(models, eager());
    assert_eq!(calls.recv().unwrap(), ["Alice", "Bob"]);
    bench.delete(gone);
    drop(go);
    drain(&weaver);
    bench.assert_enriched(kept, "Bob", &["Bob"]);
    assert_eq!((bench.computed(), bench.all_entities()), (1, 1));
    let counters = bench.store.read().unwrap().namespace_counters(NS).unwrap();
    assert_eq!(counters.embeddings, 1);
    weaver.stop();
}

#[test]
fn a_namespace_dropped_during_a_call_stays_empty() {
    let bench = Bench::new();
    let names = bench.names;
    let other: NamespaceId = bench
        .store
        .write(move |txn| {
            let other = txn.create_namespace("other")?;
            let mut writer = embedded_db_indexing::graph::GraphWriter::new(txn, &names, other);
            let chat = writer.ensure_chat("c")?;
            let mut properties = embedded_db_common::Draft::new();
            properties.set("content", &embedded_db_common::Value::Str("Alice".into()))?;
            writer.add_message(chat, "c", &NodeDraft::unlabelled(None, properties))?;
            Ok(other)
        })
        .unwrap();
    let (models, calls, go) = held(Function::Enrich);
    let weaver = bench.start(models, eager());
    calls.recv().unwrap();
    bench.store.write(|txn| txn.drop_namespace("other")).unwrap();
    drop(go);
    drain(&weaver);
    let snapshot = bench.store.read().unwrap();
    assert_eq!(snapshot.namespace_counters(other).unwrap(), Default::default());
    let rows = row_counts(&snapshot).unwrap();
    for table in ["nodes", "edges", "embeddings", "hashes", "work", "ids"] {
        assert!(rows.contains(&(table, 0)), "{table}: {rows:?}");
    }
    assert_eq!(weaver.status(&snapshot).unwrap().queue_size, 0);
    weaver.stop();
}

#[test]
fn a_vector_that_a_user_sets_during_a_call_is_kept() {
    let bench = Bench::new();
    let (models, calls, go) = held(Function::Enrich);
    let message = bench.say("Alice");
    let weaver = bench.start(models, eager());
    calls.recv().unwrap();
    let own = vec![0.25; FakeModels::DIMENSION];
    let id = bench.store.read().unwrap().node(NS, message).unwrap().unwrap().id.to_owned();
    let vector = own.clone();
    bench.write(move |writer| {
        writer.create_embedding(&embedded_db_indexing::graph::EmbeddingDraft {
            id: None,
            node_id: id.clone(),
            space: None,
            vector: vector.clone(),
        })
    });
    drop(go);
    drain(&weaver);
    assert_eq!(bench.vectors(message), [own]);
    assert_eq!(bench.entities(message), ["Alice"]);
    weaver.stop();
}

#[test]
fn stopping_during_a_call_waits_for_it_and_loses_nothing() {
    let bench = Bench::new();
    let (models, calls, go) = held(Function::Enrich);
    let contents: Vec<String> = (0..10).map(|n| format!("Alice {n}")).collect();
    let messages: Vec<_> = contents.iter().map(|content| bench.say(content)).collect();
    let options = WeaverOptions { batch_size: 4, ..eager() };
    let weaver = bench.start(models.clone(), options.clone());
    assert_eq!(calls.recv().unwrap(), contents[..4]);
    let stopping = thread::spawn({
        let weaver = Arc::clone(&weaver);
        move || weaver.stop()
    });
    // Whether the stop comes before or after the answer, the batch in hand is stored.
    drop(go);
    stopping.join().unwrap();
    assert!(!weaver.wait_idle(Some(Duration::ZERO), &|| Ok(())).unwrap());
    weaver.stop();
    let done = messages.iter().filter(|message| !bench.vectors(**message).is_empty()).count();
    assert!(done >= 4, "the batch that was in hand");
    assert_eq!(bench.computed(), done as u64);

    let weaver = bench.start(models.clone(), options);
    drain(&weaver);
    for (message, content) in messages.iter().zip(&contents) {
        bench.assert_enriched(*message, content, &["Alice"]);
    }
    assert_eq!(bench.computed(), 10, "nothing is embedded twice");
    assert_eq!(models.base.embedded.load(std::sync::atomic::Ordering::Relaxed), 10);
    weaver.stop();
}

#[test]
fn a_paused_weaver_takes_nothing_and_goes_on_where_it_was() {
    let bench = Bench::new();
    let (models, calls, go) = held(Function::Enrich);
    let first = bench.say("Alice");
    let weaver = bench.start(models, eager());
    assert_eq!(calls.recv().unwrap(), ["Alice"]);
    // The batch in hand is finished, the next is not begun.
    weaver.pause();
    let second = bench.say("Bob");
    weaver.notify();
    go.send(()).unwrap();
    until(&weaver, "the end of the batch", || {
        let status = weaver.status(&bench.store.read().unwrap()).unwrap();
        status.active_workers == 0 && !bench.vectors(first).is_empty()
    });
    bench.assert_enriched(first, "Alice", &["Alice"]);
    assert!(!weaver.wait_idle(Some(Duration::from_millis(50)), &|| Ok(())).unwrap());
    assert!(calls.try_recv().is_err(), "nobody was called");
    assert_eq!(bench.state(&weaver, second, Artefact::Embedding), ArtefactState::Pending);
    drop(go);
    weaver.resume();
    drain(&weaver);
    bench.assert_enriched(second, "Bob", &["Bob"]);
    weaver.stop();
}

#[test]
fn a_paused_weaver_can_be_stopped() {
    let bench = Bench::new();
    let message = bench.say("Alice");
    let weaver = bench.start(Arc::new(FakeModels::default()), eager());
    weaver.pause();
    weaver.stop();
    weaver.stop();
    // Whether it was done before the pause is a matter of luck; half done it is not.
    let (vectors, entities) = (bench.vectors(message).len(), bench.entities(message).len());
    assert_eq!(vectors, entities);
}

#[test]
fn a_wait_can_be_interrupted() {
    let bench = Bench::new();
    let (models, calls, go) = held(Function::Enrich);
    bench.say("Alice");
    let weaver = bench.start(models, eager());
    calls.recv().unwrap();
    let error =
        weaver.wait_idle(None, &|| Err(embedded_db_common::Error::Interrupted)).unwrap_err();
    assert!(matches!(error, embedded_db_common::Error::Interrupted));
    drop(go);
    weaver.stop();
}

/// Readers and writers go on while a model is called: no lock and no transaction is held.
#[test]
fn nobody_waits_for_a_model() {
    let bench = Bench::new();
    let (models, calls, go) = held(Function::Enrich);
    bench.say("Alice");
    let weaver = bench.start(models, eager());
    calls.recv().unwrap();
    let messages: Vec<_> = (0..20).map(|n| bench.say(&format!("Bob {n}"))).collect();
    bench.edit(messages[3], "Carol");
    bench.delete(messages[4]);
    let status = weaver.status(&bench.store.read().unwrap()).unwrap();
    assert_eq!(status.active_workers, 1);
    assert!(status.queue_size >= 40);
    drop(go);
    drain(&weaver);
    bench.assert_enriched(messages[3], "Carol", &["Carol"]);
    bench.assert_enriched(messages[19], "Bob 19", &["Bob"]);
    weaver.stop();
}
