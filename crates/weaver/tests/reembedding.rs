//! While another model's space is filled the one in use stays as it is; it is replaced once nothing that it has
//! is missing there, and by no late or failed work.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use common::{Bench, altered, drain, eager, held};
use embedded_db_common::{Error, Slot, SpaceId};
use embedded_db_indexing::graph::{Artefact, abandon_reembedding, begin_reembedding, is_pending};
use embedded_db_storage::{ReadEmbeddings, ReadSpaces, SpaceRecord};
use embedded_db_testing::FakeModels;
use embedded_db_weaver::Weaver;

/// A bench with messages that are embedded, and a next space, into which the fake models embed.
fn changing(texts: &[&str]) -> (Bench, Vec<Slot>, SpaceId) {
    let bench = Bench::new();
    let slots: Vec<Slot> = texts.iter().map(|text| bench.say(text)).collect();
    let weaver = bench.start(Arc::new(FakeModels::default()), eager());
    drain(&weaver);
    weaver.stop();
    let (names, space) = (bench.names, bench.space);
    let next = bench
        .store
        .write(move |txn| {
            txn.set_model_space(space)?;
            let next = txn.create_space(&SpaceRecord {
                name: "next".into(),
                model: "next".into(),
                provider: "testing".into(),
                precision: "fp32".into(),
                dimension: FakeModels::DIMENSION as u32,
                metric: "cosine".into(),
            })?;
            begin_reembedding(txn, &names, next)?;
            Ok(next)
        })
        .unwrap();
    (bench, slots, next)
}

fn start(bench: &Bench, next: SpaceId, models: Arc<dyn embedded_db_weaver::Models>) -> Arc<Weaver> {
    let space = Some((next, FakeModels::DIMENSION));
    Weaver::start(
        Arc::clone(&bench.store),
        bench.names,
        models,
        common::no_groups,
        common::Alone::over(&bench.store),
        space,
        None,
        eager(),
        false,
    )
    .unwrap()
}

fn in_use(bench: &Bench) -> Option<SpaceId> {
    bench.store.read().unwrap().model_space().unwrap()
}

fn vectors(bench: &Bench, space: SpaceId, slot: Slot) -> Vec<Vec<f32>> {
    let snapshot = bench.store.read().unwrap();
    let parts = snapshot.embeddings_of(common::NS, space, slot).unwrap();
    parts.iter().map(|(_, part)| part.values().collect()).collect()
}

#[test]
fn everything_is_there_before_the_space_is_in_use() {
    let texts = ["Alice", "Bob", "Alice", "Carol"];
    let (bench, slots, next) = changing(&texts);
    let weaver = start(&bench, next, Arc::new(FakeModels::default()));
    drain(&weaver);
    assert_eq!(in_use(&bench), Some(next));
    let snapshot = bench.store.read().unwrap();
    assert_eq!(
        (snapshot.default_space().unwrap(), snapshot.next_space().unwrap()),
        (Some(next), None)
    );
    for (slot, text) in slots.iter().zip(texts) {
        assert_eq!(vectors(&bench, next, *slot), [FakeModels::vector(text)]);
        assert_eq!(bench.vectors(*slot), [FakeModels::vector(text)], "the old one is kept");
    }
    for artefact in Artefact::ALL {
        for slot in &slots {
            assert!(!is_pending(&snapshot, common::NS, artefact, *slot).unwrap());
        }
    }
}

#[test]
fn what_is_given_up_holds_it_back_only_if_it_was_embedded() {
    let (bench, slots, next) = changing(&["Alice", "poison"]);
    let poisoned = || {
        altered(|base, texts| {
            if texts.iter().any(|text| text.vectors && text.text.contains("poison")) {
                return Err(Error::EnrichmentFailed { message: "poison".into() });
            }
            embedded_db_weaver::Models::enrich(base, texts)
        })
    };
    let weaver = start(&bench, next, poisoned());
    drain(&weaver);
    assert_eq!(in_use(&bench), Some(bench.space));
    assert_eq!(bench.failed_work(), [(slots[1], Artefact::Reembedding as u8, 3)]);
    let late = bench.say("poison, too");
    drain(&weaver);
    bench.edit(slots[1], "Bob");
    drain(&weaver);
    assert_eq!(in_use(&bench), Some(next), "the new text was never embedded");
    assert_eq!(bench.failed_work(), [(late, Artefact::Embedding as u8, 3)]);
    assert_eq!(vectors(&bench, next, slots[1]), [FakeModels::vector("Bob")]);
}

#[test]
fn a_result_that_comes_after_the_change_was_given_up_is_dropped() {
    let (bench, slots, next) = changing(&["Alice"]);
    let (models, calls, go) = held(common::Function::Enrich);
    let weaver = start(&bench, next, models);
    calls.recv().unwrap();
    bench.store.write(abandon_reembedding).unwrap();
    go.send(()).unwrap();
    drop(go);
    drain(&weaver);
    assert_eq!(in_use(&bench), Some(bench.space));
    assert_eq!(vectors(&bench, next, slots[0]), Vec::<Vec<f32>>::new());
}
