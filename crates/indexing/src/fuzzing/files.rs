//! Published files that are not as they were written.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arbitrary::{Result as Given, Unstructured};
use embedded_db_common::{NamespaceId, Options, Result};
use embedded_db_storage::{Segment, SegmentFile, SegmentWriter, Snapshot, Store, ViewKind};

/// As docs/file-format.md has them: what has a checksum of its own, a section in the directory, the very end.
const BLOCK: usize = 4096;
const ENTRY: usize = 24;
const FOOTER: usize = 28;
const SEGMENTS: &str = "gen-0000000001/segments";

/// A published file: its bytes, and how a row names it.
#[derive(Clone)]
pub(super) struct Image {
    bytes: Vec<u8>,
    file: SegmentFile,
}

thread_local! {
    static STORE: Arc<Store> = empty_store();
}

/// Of one generation; its files may have been made in another.
fn empty_store() -> Arc<Store> {
    let store = Store::open_in_memory(&Options::default()).expect("an empty store");
    fs::create_dir_all(store.path().join(SEGMENTS)).expect("there is room");
    store
}

fn snapshot() -> Snapshot {
    STORE.with(|store| store.read().expect("nobody closes it"))
}

fn path_of(file: &SegmentFile) -> PathBuf {
    STORE.with(|store| store.path().join(SEGMENTS).join(&file.name))
}

/// Makes a file and takes it away again.
pub(super) fn write(write: impl FnOnce(&mut SegmentWriter) -> Result<u32>) -> Image {
    let begun = snapshot().begin_segment(ViewKind::Text, NamespaceId::DEFAULT);
    let mut out = begun.expect("there is room");
    let rows = write(&mut out).expect("there is room");
    let file = out.finish(rows).expect("there is room");
    let path = path_of(&file);
    let bytes = fs::read(&path).expect("it was written");
    fs::remove_file(path).expect("it is there");
    Image { bytes, file }
}

/// Opens bytes as the file of a row.
pub(super) fn open(image: &Image) -> Option<Segment> {
    let path = path_of(&image.file);
    fs::write(&path, &image.bytes).expect("there is room");
    let opened = snapshot().open_segment(&image.file).expect("a file that can be read");
    // What is open stays so.
    fs::remove_file(path).expect("it is there");
    opened
}

impl Image {
    /// Writes into the sections, the directory and the end. Then, if it is so given, all checksums are made
    /// right, and the row says the same; whether it was so. After that the file may be changed once more.
    pub(super) fn change(&mut self, given: &mut Unstructured<'_>) -> bool {
        let is_sealed = given.arbitrary().unwrap_or_default();
        // What it has no bytes for is left as it is.
        let _end = self.change_sections(given);
        if is_sealed {
            self.seal();
        }
        let _end = self.change_once(given);
        is_sealed
    }

    /// The same file with other bytes in a section, and right checksums.
    #[cfg(test)]
    pub(super) fn with(&self, kind: u32, at: usize, bytes: &[u8]) -> Self {
        let mut changed = self.clone();
        let section = open(self).expect("it is as it was written").section(kind);
        assert!(at + bytes.len() <= section.len());
        assert_ne!(&self.bytes[section.start + at..][..bytes.len()], bytes);
        changed.put(section.start + at, bytes);
        changed.seal();
        changed
    }

    fn change_once(&mut self, given: &mut Unstructured<'_>) -> Given<()> {
        let at = usize::from(given.arbitrary::<u16>()?);
        match given.arbitrary::<u8>()? % 4 {
            0 => {
                let sums = self.covered();
                self.put(sums + at % 64 * 4, &given.arbitrary::<[u8; 4]>()?);
            }
            1 => self.put(at, &[given.arbitrary()?]),
            2 => self.bytes.truncate(self.bytes.len().saturating_sub(at)),
            // It is told that it is so short.
            _ => {
                self.bytes.truncate(at);
                self.file.length = self.bytes.len() as u64;
            }
        }
        Ok(())
    }

    fn change_sections(&mut self, given: &mut Unstructured<'_>) -> Given<()> {
        for _ in 0..given.int_in_range(0..=8)? {
            let section = self.section(given.arbitrary::<u8>()?.into());
            let at = usize::from(given.arbitrary::<u16>()?) % section.len().max(1);
            let place = |width: usize| section.start + at / width * width;
            let small = u32::from(given.arbitrary::<u8>()?);
            let end = self.bytes.len();
            match given.arbitrary::<u8>()? % 10 {
                0 => self.put(section.start + at, &[small as u8]),
                1 => self.put(place(4), &small.to_le_bytes()),
                2 => self.put(place(4), &given.arbitrary::<[u8; 4]>()?),
                3 => self.put(place(8), &u64::from(small).to_le_bytes()),
                4 => self.put(place(8), &given.arbitrary::<[u8; 8]>()?),
                5 => self.put(section.start + at, &given.arbitrary::<[u8; 3]>()?),
                // Near the beginning, where numbers tell of all.
                6 => self.put(section.start + at % 32, &given.arbitrary::<[u8; 4]>()?),
                // Where a section lies, and how long it is.
                7 => {
                    let entry = end.saturating_sub(FOOTER + ENTRY * (1 + at % 9));
                    let number = u64::from(given.arbitrary::<u16>()?);
                    self.put(entry + 8 + at % 2 * 8, &number.to_le_bytes());
                }
                8 => self.put(end.saturating_sub(FOOTER) + at % 16, &[small as u8]),
                // Bytes of another place.
                _ => {
                    let from = usize::from(given.arbitrary::<u16>()?);
                    let bytes = self.bytes.get(from..from + small as usize);
                    let bytes = bytes.unwrap_or_default().to_vec();
                    self.put(place(4), &bytes);
                }
            }
        }
        Ok(())
    }

    /// Where a section of the directory lies.
    fn section(&self, number: usize) -> Range<usize> {
        let footer = self.bytes.len().saturating_sub(FOOTER);
        let count = self.number(footer + 4) as usize;
        let number = number % count.clamp(1, 16);
        let entry = footer.saturating_sub(ENTRY * (number + 1));
        let (begin, length) = (self.number(entry + 8) as usize, self.number(entry + 16) as usize);
        begin..begin.saturating_add(length)
    }

    fn covered(&self) -> usize {
        self.number(self.bytes.len().saturating_sub(FOOTER) + 8) as usize
    }

    fn seal(&mut self) {
        let covered = self.covered();
        let blocks = self.bytes.get(..covered).unwrap_or_default().chunks(BLOCK);
        let sums: Vec<u8> = blocks.flat_map(|block| crc32c::crc32c(block).to_le_bytes()).collect();
        self.put(covered, &sums);
        let end = self.bytes.len().saturating_sub(12);
        let sum = self.bytes.get(covered..end).map_or(0, crc32c::crc32c);
        self.put(end, &sum.to_le_bytes());
        self.file.sum = sum;
    }

    fn number(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }
}

/// Asks for all bytes of a file in every way; `right` is what was written, if the row is of that.
pub(super) fn read(segment: &Segment, right: Option<&Image>) {
    for kind in 0..12 {
        let range = segment.section(kind);
        for range in [range.start..range.start, range.start..range.end.min(range.start + 8), range]
        {
            let bytes = segment.bytes(range.clone());
            assert!(bytes.len() == range.len() || (bytes.is_empty() && segment.is_damaged()));
            if let Some(right) = right
                && !bytes.is_empty()
            {
                assert_eq!(right.bytes.get(range), Some(bytes), "section {kind}");
            }
        }
    }
    let length = segment.length();
    assert!(segment.bytes(length..length + 1).is_empty() && segment.is_damaged());
    assert!(!segment.check_all());
}
