//! A space that is dropped is gone at once, and what is left of it goes in steps; many slots are posted as one
//! by one.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::collections::BTreeSet;

use common::{NS, Scratch, space};
use embedded_db_common::{ContentHash, NamespaceId, Slot};
use embedded_db_storage::{Dropped, IndexId, ReadEmbeddings, ReadPostings, ReadSpaces, ReadTxn};
use proptest::prelude::*;

const INDEX: IndexId = IndexId(300);

fn posted(scratch: &Scratch) -> Vec<u32> {
    let mut out = Vec::new();
    let snapshot = scratch.store().read().unwrap();
    snapshot
        .containers(NS, INDEX, b"v", |container| {
            out.extend(container.slots());
            true
        })
        .unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn many_slots_are_posted_as_one_by_one(
        steps in prop::collection::vec((prop::collection::btree_set(0u32..40_000, 0..2_000), any::<bool>()), 1..4)
    ) {
        let scratch = Scratch::new();
        let mut model = BTreeSet::new();
        for (slots, at_once) in steps {
            model.extend(&slots);
            scratch.store().write(move |txn| {
                if at_once {
                    return txn.post_all(NS, INDEX, b"v", slots.iter().copied());
                }
                slots.iter().try_for_each(|slot| txn.post(NS, INDEX, b"v", Slot(*slot)))
            }).unwrap();
            prop_assert_eq!(posted(&scratch), model.iter().copied().collect::<Vec<_>>());
        }
        scratch.store().write(|txn| txn.clear_postings(NS, INDEX, b"")).unwrap();
        prop_assert!(posted(&scratch).is_empty());
    }
}

#[test]
fn a_space_goes_in_steps_and_takes_nothing_else_along() {
    let scratch = Scratch::new();
    let (kept, dropped) = scratch
        .store()
        .write(|txn| {
            let other = txn.create_namespace("other")?;
            let (kept, dropped) =
                (txn.create_space(&space("k", 1))?, txn.create_space(&space("d", 1))?);
            for ns in [NS, other] {
                for n in 0..10 {
                    let label = txn.intern("A")?;
                    let slot =
                        txn.insert_node(ns, &format!("n{n}"), &[label], &[0], false, None)?;
                    for (space, name) in [(kept, "k"), (dropped, "d")] {
                        for part in 0..2 {
                            let (id, hash) = (format!("{name}{n}-{part}"), ContentHash([n; 16]));
                            txn.put_embedding(ns, space, slot, part, &id, false, hash, &[0.5])?;
                        }
                        txn.put_text_hash(ns, space, ContentHash([n; 16]), slot)?;
                    }
                }
            }
            Ok((kept, dropped))
        })
        .unwrap();
    let left = || {
        let snapshot = scratch.store().read().unwrap();
        let mut count = [0, 0];
        for (_, ns) in snapshot.namespaces().unwrap() {
            for (at, space) in [kept, dropped].into_iter().enumerate() {
                snapshot
                    .scan_embeddings(ns, space, |_, _, _| {
                        count[at] += 1;
                        Ok(())
                    })
                    .unwrap();
            }
            let problems = &mut Vec::new();
            embedded_db_storage::check_invariants(&snapshot, &|| Ok(()), &mut |problem| {
                problems.push(problem)
            })
            .unwrap();
            assert_eq!(*problems, Vec::<String>::new());
        }
        count
    };
    assert_eq!(left(), [40, 40]);
    scratch.store().write(move |txn| txn.drop_space(dropped)).unwrap();
    let names = |all: Vec<(_, embedded_db_storage::SpaceRecord)>| -> Vec<String> {
        all.into_iter().map(|(_, space)| space.name).collect()
    };
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(names(snapshot.live_spaces().unwrap()), ["k"]);
    assert_eq!(names(snapshot.spaces().unwrap()), ["k", "d"], "its vectors are there");
    assert_eq!(left(), [40, 40]);
    let step = || scratch.store().write(move |txn| txn.clear_space(dropped, 7)).unwrap();
    let mut counts = Vec::new();
    while !step() {
        counts.push(left()[1]);
    }
    assert_eq!(counts, [26, 12]);
    assert_eq!(left(), [40, 0]);
    assert!(step(), "it is done again without harm");
    let snapshot = scratch.store().read().unwrap();
    assert_eq!(names(snapshot.spaces().unwrap()), ["k"]);
    assert_eq!(snapshot.dropped_spaces().unwrap(), [(dropped, Dropped::Cleared)]);
    assert_eq!(snapshot.space(dropped).unwrap().unwrap().name, "d", "changes name it");
    assert!(
        snapshot.embedding_of_text(NamespaceId(1), kept, ContentHash([3; 16])).unwrap().is_some()
    );
}
