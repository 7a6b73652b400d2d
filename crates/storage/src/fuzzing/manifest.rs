//! The small files of text: what is read from one is written as it stands, but for lines that a reader
//! does not know.

use std::path::Path;

use embedded_db_common::Error;

use crate::backup::Manifest;
use crate::format::{Current, with_sum};

/// Reads a text as the `MANIFEST` of a backup and as a `CURRENT`, as it is and with a right checksum.
///
/// # Panics
///
/// When what was read is not what stands there, or an error is of no kind that a file can cause.
pub fn manifest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // The checksum would keep most changes from being looked at.
    let lines = text.split_once("crc32c ").map_or(&*text, |(lines, _)| lines);
    for text in [&*text, &with_sum(lines.to_owned())] {
        if let Some(manifest) = told(Manifest::parse(Path::new("backup"), text)) {
            let written = manifest.to_text();
            assert_eq!(told(Manifest::parse(Path::new("backup"), &written)), Some(manifest));
            said(&written, text);
        }
        if let Some(current) = told(Current::parse(Path::new("db"), text)) {
            let written = current.to_text();
            assert_eq!(told(Current::parse(Path::new("db"), &written)), Some(current));
            said(&written, text);
        }
    }
}

fn told<T>(read: embedded_db_common::Result<T>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(Error::Corruption { .. } | Error::FormatTooNew { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Every line of `written` but the checksum stands in `text`.
fn said(written: &str, text: &str) {
    for line in written.lines().filter(|line| !line.starts_with("crc32c ")) {
        assert!(text.lines().any(|it| it == line), "{line:?} in {text:?}");
    }
}
