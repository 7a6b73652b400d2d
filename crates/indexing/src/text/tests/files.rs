//! The segments of an index in files, as the views keep them.

use std::sync::Arc;

use embedded_db_common::{NamespaceId, Options};
use embedded_db_storage::{SegmentFile, Snapshot, Store, ViewKind};

use super::*;

/// Files of a store in memory.
pub(super) struct Files {
    store: Arc<Store>,
    pub(super) files: Vec<SegmentFile>,
}

impl Files {
    pub(super) fn new() -> Self {
        let store = Store::open_in_memory(&Options::default()).unwrap();
        Self { store, files: Vec::new() }
    }

    fn snapshot(&self) -> Snapshot {
        self.store.read().unwrap()
    }

    /// Seals what is in no segment, and opens it all again.
    pub(super) fn seal(&mut self, index: &TextIndex) -> TextIndex {
        let from = index.merged_from();
        self.seal_from(index, from)
    }

    /// The same, with the segments from `from` on.
    pub(super) fn seal_from(&mut self, index: &TextIndex, from: usize) -> TextIndex {
        let mut out = self.snapshot().begin_segment(ViewKind::Text, NamespaceId::DEFAULT).unwrap();
        let documents = write_segment(index, from, &mut out, &|| Ok(())).unwrap();
        self.files.truncate(from);
        self.files.push(out.finish(documents).unwrap());
        self.open(index.lsn()).unwrap()
    }

    pub(super) fn open(&self, lsn: Lsn) -> Option<TextIndex> {
        let snapshot = self.snapshot();
        let segment = |file| {
            Some(Arc::new(TextSegment::open(snapshot.open_segment(file).unwrap()?, u32::MAX)?))
        };
        let segments = self.files.iter().map(segment).collect::<Option<Vec<_>>>()?;
        TextIndex::over(Analyzer::new(Language::English), segments, lsn)
    }
}
