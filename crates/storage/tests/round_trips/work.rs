//! Work that has failed.

use embedded_db_common::Slot;
use embedded_db_storage::{ReadWork, WorkRecord, WorkState};

use crate::common::{NS, Scratch};

#[test]
fn work_records_come_back_until_they_are_forgotten() {
    let mut scratch = Scratch::new();
    let record = WorkRecord { state: WorkState::Dead, attempts: 3, due: -5, error: "nö".into() };
    let stored = record.clone();
    scratch.store().write(move |txn| txn.put_work(NS, Slot(9), 2, &stored)).unwrap();
    scratch.reopen();
    let mut all = Vec::new();
    let snapshot = scratch.store().read().unwrap();
    snapshot
        .scan_work(|namespace, slot, artefact, work| {
            all.push((namespace, slot, artefact, work));
            Ok(())
        })
        .unwrap();
    assert_eq!(all, [(NS, Slot(9), 2, record)]);
    assert!(scratch.store().write(|txn| txn.delete_work(NS, Slot(9), 2)).unwrap());
    assert!(!scratch.store().write(|txn| txn.delete_work(NS, Slot(9), 2)).unwrap());
    assert_eq!(scratch.store().read().unwrap().work(NS, Slot(9), 2).unwrap(), None);
}
