use std::path::Path;

use proptest::prelude::*;

use super::*;

fn write(directory: &Path, sections: &[(u32, Vec<u8>)]) -> SegmentFile {
    let mut writer = SegmentWriter::create(directory, "text-1").unwrap();
    for (kind, bytes) in sections {
        writer.begin_section(*kind).unwrap();
        for piece in bytes.chunks(1000) {
            writer.write(piece).unwrap();
        }
        assert_eq!(writer.position(), bytes.len() as u64);
    }
    writer.finish(sections.len() as u32).unwrap()
}

fn open(directory: &Path, file: &SegmentFile) -> Option<Segment> {
    Segment::open(&directory.join(&file.name), file).unwrap()
}

fn some_sections() -> Vec<(u32, Vec<u8>)> {
    let bytes = |length: u32, step: u32| (0..length).map(|i| ((i * step) >> 3) as u8).collect();
    vec![(3, bytes(9_000, 5)), (1, Vec::new()), (7, bytes(4_096, 11)), (2, bytes(1, 1))]
}

#[test]
fn what_was_written_is_read() {
    let place = tempfile::tempdir().unwrap();
    let sections = some_sections();
    let file = write(place.path(), &sections);
    let segment = open(place.path(), &file).unwrap();
    for (kind, bytes) in &sections {
        let range = segment.section(*kind);
        assert_eq!(range.start % ALIGN, 0);
        assert_eq!(segment.bytes(range), bytes);
    }
    assert!(segment.section(99).is_empty());
    assert!(segment.is_whole() && segment.check_all() && !segment.is_damaged());
    assert_eq!(segment.length() as u64, file.length);
}

#[test]
fn names_are_never_given_twice_and_what_is_not_finished_goes() {
    let place = tempfile::tempdir().unwrap();
    let first = write(place.path(), &some_sections());
    let second = write(place.path(), &some_sections());
    assert_ne!(first.name, second.name);
    let unfinished = SegmentWriter::create(place.path(), "text-1").unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3);
    drop(unfinished);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
    assert!(SegmentFile::is_name(&first.name));
}

/// Any one byte: of the sections, of the checksums, of the end.
#[test]
fn a_byte_that_is_changed_is_never_read() {
    let place = tempfile::tempdir().unwrap();
    let sections = some_sections();
    let file = write(place.path(), &sections);
    let path = place.path().join(&file.name);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(7).chain(whole.len() - 200..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let Some(segment) = open(place.path(), &file) else {
            refused += 1;
            continue;
        };
        for (kind, bytes) in &sections {
            let read = segment.bytes(segment.section(*kind));
            assert!(read == bytes || (read.is_empty() && segment.is_damaged()), "{at}");
        }
        assert!(!segment.check_all(), "{at}");
        assert!(segment.is_damaged());
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_file_of_another_length_is_not_opened() {
    let place = tempfile::tempdir().unwrap();
    let file = write(place.path(), &some_sections());
    let path = place.path().join(&file.name);
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 27, 28, 64, 4096, whole.len() - 1, whole.len() + 1] {
        let mut bytes = whole.clone();
        bytes.resize(length, 0);
        fs::write(&path, &bytes).unwrap();
        assert!(open(place.path(), &file).is_none(), "{length}");
        // Nor when the row agrees with the length.
        let told = SegmentFile { length: length as u64, ..file.clone() };
        assert!(open(place.path(), &told).is_none(), "{length}");
    }
    fs::remove_file(&path).unwrap();
    assert!(open(place.path(), &file).is_none());
}

#[test]
fn a_file_that_is_cut_off_while_it_is_open_is_told() {
    let place = tempfile::tempdir().unwrap();
    let file = write(place.path(), &some_sections());
    let segment = open(place.path(), &file).unwrap();
    let path = place.path().join(&file.name);
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(5000).unwrap();
    assert!(!segment.is_whole());
}

proptest! {
    #[test]
    fn a_record_comes_back(
        lsn: u64,
        recipe in "[a-z0-9/ :,é]{0,40}",
        files in prop::collection::vec(("[a-z0-9][a-z0-9.-]{0,30}", any::<(u64, u32, u32)>()), 0..6),
    ) {
        let file = |(name, (length, sum, rows))| SegmentFile { name, length, sum, rows };
        let files = files.into_iter().map(file).collect();
        let record = ViewRecord { lsn: embedded_db_common::Lsn(lsn), recipe, files };
        prop_assert_eq!(ViewRecord::parse(&record.encode()).unwrap(), record);
    }

    #[test]
    fn no_bytes_of_a_record_are_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut known = vec![1];
        known.extend_from_slice(&bytes);
        for bytes in [bytes, known] {
            if let Ok(record) = ViewRecord::parse(&bytes) {
                prop_assert_eq!(record.encode(), bytes);
            }
        }
    }
}
