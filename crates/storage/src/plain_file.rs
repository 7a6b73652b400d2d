//! Files of their own, outside of any database: read as a whole, and put as a whole into the place of
//! what was there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use embedded_db_common::Result;

use crate::platform::{io_error, sync_name};

/// Writes a file, so that after a crash either the old or the new content is there, and returns when the disk
/// has it.
///
/// # Errors
///
/// `StorageError` and `StorageFull`, as the system says; what was there is still there.
pub fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = beside(path);
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        // The error says why it cannot be removed either.
        _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_name(path)).map_err(|error| io_error(path, "write the file", &error))
}

/// All that a file holds.
///
/// # Errors
///
/// `StorageError`, as the system says.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| io_error(path, "read the file", &error))
}

/// A name that no other writer of this or another process has.
fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{count}.new", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use embedded_db_common::Error;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vectors");
        replace_file(&path, b"first").unwrap();
        replace_file(&path, b"second").unwrap();
        assert_eq!(read_file(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_and_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), b"").unwrap();
        for path in [taken, directory.path().join("no").join("where")] {
            let error = replace_file(&path, b"content").unwrap_err();
            assert!(matches!(&error, Error::StorageError { path: named, .. } if *named == path));
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert!(matches!(read_file(directory.path()), Err(Error::StorageError { .. })));
    }
}
