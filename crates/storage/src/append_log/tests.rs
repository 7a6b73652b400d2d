//! A log gives back what was appended, cut at any length, and never what was not.

use std::fs;

use embedded_db_common::Error;
use proptest::prelude::*;

use super::*;

fn log(directory: &Path, records: &[Vec<u8>], synced_after: usize) -> Vec<u8> {
    let (mut log, found) = AppendLog::open(directory).unwrap();
    assert!(found.is_empty());
    for (number, record) in records.iter().enumerate() {
        log.append([&**record]).unwrap();
        if number + 1 == synced_after {
            let syncing = log.syncing();
            syncing.run().unwrap();
            log.synced(syncing.place, true);
        }
    }
    drop(log);
    fs::read(directory.join(FILE)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cut_log_gives_the_first_records(
        records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        share in 0.0..=1.0f64,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let whole = log(directory.path(), &records, 0);
        let length = HEAD as usize + ((whole.len() - HEAD as usize) as f64 * share) as usize;
        fs::write(directory.path().join(FILE), &whole[..length]).unwrap();
        let (mut log, found) = AppendLog::open(directory.path()).unwrap();
        prop_assert_eq!(&found[..], &records[..found.len()]);
        prop_assert!(length < whole.len() || found.len() == records.len());
        log.append([b"more".as_slice()]).unwrap();
        drop(log);
        let (_, again) = AppendLog::open(directory.path()).unwrap();
        prop_assert_eq!(again.len(), found.len() + 1);
    }

    #[test]
    fn a_changed_byte_is_an_error_or_the_end(
        records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 2..8),
        synced in 1usize..8, place in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let synced = synced.min(records.len());
        let mut whole = log(directory.path(), &records, synced);
        let at = place.index(whole.len());
        whole[at] ^= 1 << bit;
        fs::write(directory.path().join(FILE), &whole).unwrap();
        match AppendLog::open(directory.path()) {
            Ok((_, found)) => prop_assert_eq!(&found[..], &records[..found.len()]),
            Err(Error::DamagedFile { .. } | Error::FormatTooNew { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
        // What the disk was known to have when something was appended behind it is never cut off.
        if synced < records.len() && at >= HEAD as usize {
            let before: usize = records[..synced].iter().map(|record| FRAME + record.len()).sum();
            if at < HEAD as usize + before {
                fs::write(directory.path().join(FILE), &whole).unwrap();
                let refused = matches!(AppendLog::open(directory.path()), Err(Error::DamagedFile { .. }));
                prop_assert!(refused);
            }
        }
    }
}

#[test]
fn a_rewritten_log_holds_what_it_was_given_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = AppendLog::open(directory.path()).unwrap();
    let place = log.append([b"one".as_slice(), b"two"]).unwrap();
    assert!(!log.has_synced(place));
    log.rewrite(&mut [b"two".to_vec()].into_iter()).unwrap();
    assert!(log.has_synced(place));
    let next = log.append([b"three".as_slice()]).unwrap();
    assert!(!log.has_synced(next));
    let syncing = log.syncing();
    syncing.run().unwrap();
    log.synced(syncing.place, true);
    assert!(log.has_synced(next));
    drop(log);
    let (_, found) = AppendLog::open(directory.path()).unwrap();
    assert_eq!(found, [b"two".to_vec(), b"three".to_vec()]);
}

#[test]
fn one_process_at_a_time_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let kept = AppendLog::open(directory.path()).unwrap();
    assert!(matches!(AppendLog::open(directory.path()), Err(Error::BusLocked { .. })));
    drop(kept);
    AppendLog::open(directory.path()).unwrap();
}

#[test]
fn what_is_no_log_and_what_is_newer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE), b"something else").unwrap();
    assert!(matches!(AppendLog::open(directory.path()), Err(Error::DamagedFile { .. })));
    let newer = [HEADER.as_slice(), &2u32.to_le_bytes()].concat();
    fs::write(directory.path().join(FILE), newer).unwrap();
    let refused = AppendLog::open(directory.path());
    assert!(matches!(refused, Err(Error::FormatTooNew { found: 2, supported: 1, .. })));
}

#[test]
fn after_a_failed_sync_nothing_is_appended() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = AppendLog::open(directory.path()).unwrap();
    let place = log.append([b"one".as_slice()]).unwrap();
    log.synced(place, false);
    assert!(matches!(log.append([b"two".as_slice()]), Err(Error::StorageError { .. })));
}
