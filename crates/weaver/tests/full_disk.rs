//! A store that is full takes no results. What is too large fails alone, with its reason, and the
//! models are not asked again for what stands beside it; when nothing can be stored, whoever waits is
//! told, nothing is lost, and the work goes on once there is room.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::{Bench, HOUR, NS, altered, drain, eager, until};
use embedded_db_common::{ActivityLevel, Durability, Error, Options, WeaverOptions};
use embedded_db_indexing::graph::Artefact;
use embedded_db_storage::Store;
use embedded_db_testing::FakeModels;
use embedded_db_weaver::{ArtefactState, Models, Weaver};

const ROOM: usize = 4 << 20;

fn small() -> Options {
    Options { map_size_max: ROOM, durability: Durability::Memory, ..Options::default() }
}

#[test]
fn a_result_that_is_too_large_fails_alone() {
    let bench = Bench::over(Store::open_in_memory(&small()).unwrap());
    let models = altered(|base, texts| {
        let mut answer = base.enrich(texts)?;
        // More parts than the store has room for.
        if let Some(at) = texts.iter().position(|text| text.vectors && text.text == "Mallory") {
            answer.owners.extend(vec![at; 40_000]);
            answer.vectors.extend(vec![1.0; 40_000 * FakeModels::DIMENSION]);
        }
        Ok(answer)
    });
    let (before, mallory, after) = (bench.say("Alice"), bench.say("Mallory"), bench.say("Bob"));
    let weaver = bench.start(models.clone(), eager());
    drain(&weaver);
    bench.assert_enriched(before, "Alice", &["Alice"]);
    bench.assert_enriched(after, "Bob", &["Bob"]);
    assert_eq!(bench.vectors(mallory), Vec::<Vec<f32>>::new());
    assert_eq!(bench.entities(mallory), ["Mallory"], "they have room");
    assert_eq!(bench.failed_work(), [(mallory, Artefact::Embedding as u8, 3)]);
    let ArtefactState::Failed(error) = bench.state(&weaver, mallory, Artefact::Embedding) else {
        panic!("it did not fail");
    };
    assert!(error.contains("map_size_max") && error.contains(&ROOM.to_string()), "{error}");
    // All three once, and the one that failed twice more.
    assert_eq!(models.base.embedded.load(Ordering::Relaxed), 5);
    assert_eq!(bench.computed(), 2);
    weaver.stop();
}

/// Nodes until not even the smallest finds room.
fn fill(store: &Arc<Store>) {
    let mut made = 0;
    for size in [100_000, 3_000, 10] {
        loop {
            let id = format!("filler{made}");
            let written = store.write(move |txn| {
                let label = txn.intern("Filler")?;
                txn.insert_node(NS, &id, &[label], &vec![1; size], false, None)
            });
            match written {
                Ok(_) => made += 1,
                Err(Error::StorageFull { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(made > 10);
}

#[test]
fn whoever_waits_on_a_full_store_is_told_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let bench = Bench::over(Store::open(&path, &small()).unwrap());
    let contents: Vec<String> = (0..5).map(|n| format!("Alice {n}")).collect();
    let messages: Vec<_> = contents.iter().map(|content| bench.say(content)).collect();
    fill(&bench.store);
    let models = Arc::new(FakeModels::default());
    let weaver = bench.start(models, eager());
    for timeout in [None, Some(HOUR)] {
        let error = weaver.wait_idle(timeout, &|| Ok(())).unwrap_err();
        assert!(matches!(error, Error::StorageFull { .. }), "{error}");
        assert!(error.to_string().contains("map_size_max"), "{error}");
    }
    assert!(matches!(weaver.refused_since(0, "default"), Err(Error::StorageFull { .. })));
    assert!(weaver.refused_since(weaver.refusals(), "default").is_ok());
    let status = weaver.status(&bench.store.read().unwrap()).unwrap();
    assert!(status.queue_size >= 10 && status.last_event.contains("map_size_max"), "{status:?}");
    assert_eq!(bench.failed_work(), [], "it is not the fault of the texts");
    messages.iter().for_each(|message| bench.assert_bare(*message));
    weaver.stop();
    drop(weaver);

    let Bench { store, names, space } = bench;
    store.close();
    drop(store);
    let store = Store::open(&path, &Options { map_size_max: ROOM * 4, ..small() }).unwrap();
    let bench = Bench { store, names, space };
    let weaver = bench.start(Arc::new(FakeModels::default()), eager());
    drain(&weaver);
    for (message, content) in messages.iter().zip(&contents) {
        bench.assert_enriched(*message, content, &["Alice"]);
    }
    weaver.stop();
}

/// Counting relations needs no model, but room.
#[test]
fn whoever_waits_for_links_on_a_full_store_is_told_too() {
    let bench = Bench::over(Store::open_in_memory(&small()).unwrap());
    let message = bench.say("Alice met Bob");
    let busy = WeaverOptions { activity_level: ActivityLevel::HighActivity, ..eager() };
    let weaver = bench.start(Arc::new(FakeModels::default()), busy);
    let links = |weaver: &Weaver| bench.state(weaver, message, Artefact::Links);
    until(&weaver, "its entities", || bench.entities(message).len() == 2);
    weaver.stop();
    assert_eq!(links(&weaver), ArtefactState::Pending);
    fill(&bench.store);
    let weaver = bench.start(Arc::new(FakeModels::default()), eager());
    let error = weaver.wait_idle(None, &|| Ok(())).unwrap_err();
    assert!(matches!(error, Error::StorageFull { .. }), "{error}");
    assert_eq!((links(&weaver), bench.failed_work()), (ArtefactState::Pending, vec![]));
    weaver.stop();
}
