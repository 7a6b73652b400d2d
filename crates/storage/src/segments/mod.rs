//! Files that views publish: immutable, mapped, each block checked when it is first read.
//!
//! Invariants:
//! * A file is complete and on the disk before a row of `views` names it, and is never changed afterwards.
//! * The row has the length of the file and the checksum of its end, which has a checksum for each block; so
//!   nothing is read that is not what was written.
//! * A file that is missing, short or damaged is as if the row were not there: views are made of the records
//!   again.

mod read;
mod record;
mod write;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use embedded_db_common::{Error, NamespaceId, Result, SpaceId};

pub use self::read::Segment;
pub use self::record::{SegmentFile, ViewKind, ViewRecord, views};
pub use self::write::SegmentWriter;
use crate::platform::{io_error, write_error};
use crate::read::ReadTxn;
use crate::store::{Snapshot, Store};

/// Bytes that have a checksum of their own.
const BLOCK: usize = 4096;
/// Where sections begin: a multiple of this.
const ALIGN: usize = 64;
/// What a file begins with: these bytes, then zeros up to [`ALIGN`].
const MAGIC: [u8; 8] = *b"edb segm";
/// One section in the directory at the end: kind u32, zeros u32, offset u64, length u64.
const ENTRY: usize = 24;
/// The very end: version u32, sections u32, length u64 of what the blocks cover, CRC-32C u32, the magic.
const FOOTER: usize = 28;
/// The version of the container.
const VERSION: u32 = 1;
/// Sections are few.
const MOST_SECTIONS: usize = 64;

/// The directory of published files.
fn directory(snapshot: &Snapshot) -> Result<PathBuf> {
    let generation = snapshot.generation().path().parent();
    let missing = || Error::Internal("a data file is in no directory".into());
    Ok(generation.ok_or_else(missing)?.join("segments"))
}

impl Store {
    /// Removes the published files that no row names: of views that were replaced, of namespaces that were
    /// dropped, of a crash. Whoever has one open keeps it; who sees an older row does as if it were damaged.
    /// Nobody may be making one meanwhile.
    pub fn remove_unnamed_segments(self: &Arc<Self>) -> Result<()> {
        let newest = self.read()?;
        // After a power cut the rows may be those of before otherwise; rows of a later state may not be on the disk.
        self.sync_log();
        self.writer.healthy(self.path())?;
        newest.remove_unnamed_segments()
    }
}

impl Snapshot {
    /// Begins a file of a view of a namespace, in the generation of this snapshot.
    pub fn begin_segment(&self, view: ViewKind, namespace: NamespaceId) -> Result<SegmentWriter> {
        let directory = directory(self)?;
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(write_error(&directory, "create", &error));
            }
            _ => {}
        }
        SegmentWriter::create(&directory, &format!("{}-{}", view.name(), namespace.0))
    }

    /// The published file of a row that this snapshot sees; `None` when it is missing or not what the row
    /// says.
    pub fn open_segment(&self, file: &SegmentFile) -> Result<Option<Segment>> {
        let path = directory(self)?.join(&file.name);
        Segment::open(&path, file).map_err(|error| io_error(&path, "open it", &error))
    }

    /// Removes the files that no row of this snapshot names. Nobody may be making one meanwhile.
    fn remove_unnamed_segments(&self) -> Result<()> {
        let directory = directory(self)?;
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_error(&directory, "list it", &error)),
        };
        let mut named = HashSet::new();
        for (_, _, _, record) in views(self)? {
            named.extend(record.files.into_iter().map(|file| file.name));
        }
        for entry in entries {
            let entry = entry.map_err(|error| io_error(&directory, "list it", &error))?;
            let name = entry.file_name();
            let kept = name
                .to_str()
                .is_none_or(|name| !SegmentFile::is_name(name) || named.contains(name));
            if !kept {
                // Some systems do not remove a file that somebody has open: then later.
                let _removed = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Reads the published files of all views, and tells of those that are missing or damaged, unless a
    /// newer state does without them, by their names. Nothing is lost with them.
    pub fn check_segments(
        self,
        interrupted: &dyn Fn() -> Result<()>,
        report: &mut dyn FnMut(String),
    ) -> Result<()> {
        let is_right = |file: &SegmentFile| -> Result<bool> {
            Ok(self.open_segment(file)?.is_some_and(|segment| segment.check_all()))
        };
        let mut wrong = Vec::new();
        for (namespace, view, space, record) in views(&self)? {
            for file in record.files {
                interrupted()?;
                if !is_right(&file)? {
                    wrong.push((namespace, view, space, file));
                }
            }
        }
        let newest = self.shared_store().read()?;
        for (namespace, view, space, file) in wrong {
            let record = newest.view_record(namespace, view, space)?;
            if record.is_some_and(|record| record.files.contains(&file)) {
                report(file.name);
            }
        }
        Ok(())
    }

    /// What is published of a view.
    pub fn view_record(
        &self,
        namespace: NamespaceId,
        view: ViewKind,
        space: SpaceId,
    ) -> Result<Option<ViewRecord>> {
        record::view(self, namespace, view, space)
    }
}
