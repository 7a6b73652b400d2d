//! Postings.

use std::collections::BTreeSet;

use embedded_db_common::Slot;
use embedded_db_storage::{IndexId, ReadPostings};
use proptest::prelude::*;

use crate::common::{NS, Scratch};
use crate::seeded;

proptest! {
    #![proptest_config(seeded(30))]

    /// Around the sizes at which a container changes its form (512 slots) and its end (8,192).
    #[test]
    fn postings_are_sets_of_slots(
        ranges in prop::collection::vec((0u32..20_000, 1u32..900, any::<bool>()), 1..8)
    ) {
        let scratch = Scratch::new();
        let mut model = BTreeSet::new();
        for (start, length, present) in ranges {
            for slot in start..start + length {
                if present { model.insert(slot) } else { model.remove(&slot) };
            }
            scratch.store().write(move |txn| {
                for slot in start..start + length {
                    if present {
                        txn.post(NS, IndexId(300), b"value", Slot(slot))?;
                    } else {
                        txn.unpost(NS, IndexId(300), b"value", Slot(slot))?;
                    }
                }
                Ok(())
            }).unwrap();
        }
        let snapshot = scratch.store().read().unwrap();
        let mut found = Vec::new();
        snapshot.containers(NS, IndexId(300), b"value", |container| {
            assert!(!container.is_empty());
            assert_eq!(container.len(), container.slots().count());
            found.extend(container.slots());
            true
        }).unwrap();
        prop_assert_eq!(found, model.iter().copied().collect::<Vec<_>>());
        for slot in [0, 8_191, 8_192, 19_999] {
            prop_assert_eq!(
                snapshot.posted(NS, IndexId(300), b"value", Slot(slot)).unwrap(),
                model.contains(&slot)
            );
        }
    }
}
