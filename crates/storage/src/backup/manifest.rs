//! The `MANIFEST` of a backup: what it is a copy of, and which files it consists of.

use std::path::Path;

use embedded_db_common::{Error, Result, Sha256};

use crate::format::{FORMAT, decimal, is_identity, read_start, with_sum, without_sum};
use crate::platform::{io_error, write_atomically};

/// The version of backups that is written, and the newest that is read.
const VERSION: u32 = 1;
const MAGIC: &str = "embedded-db backup ";
/// The one file beside it.
pub(super) const DATA: &str = "data.mdb";

/// How much is in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Namespaces.
    pub namespaces: u64,
    /// Nodes of all of them.
    pub nodes: u64,
    /// Edges of all of them, with those that were retracted.
    pub edges: u64,
    /// Vectors of all of them.
    pub embeddings: u64,
}

/// What a `MANIFEST` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Of the database.
    pub(crate) identity: String,
    /// Of the last change.
    pub(crate) lsn: u64,
    /// When the copy was complete, microseconds UTC.
    pub(crate) written_at: i64,
    pub(crate) counts: Counts,
    /// Length of the data file in bytes.
    pub(crate) length: u64,
    pub(crate) sha256: Sha256,
}

impl Manifest {
    pub(crate) const FILE: &str = "MANIFEST";

    /// Puts it into its place in one step: from then on the directory is a backup.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        write_atomically(&directory.join(Self::FILE), self.to_text().as_bytes())
    }

    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let none = |why: &str| {
            Error::InvalidInput(format!(
                "{directory:?} is no backup: {why}; name a directory that backup has written"
            ))
        };
        let file = directory.join(Self::FILE);
        let text = match read_start(&file) {
            Ok(text) => text,
            Err(error) => match error.kind() {
                std::io::ErrorKind::NotFound if directory.join(DATA).exists() => {
                    return Err(none("it has no MANIFEST, for its making was broken off"));
                }
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                    return Err(none("it has no MANIFEST"));
                }
                std::io::ErrorKind::InvalidInput => {
                    return Err(damaged(directory, "it is no file"));
                }
                _ => return Err(io_error(&file, "read", &error)),
            },
        };
        let text = String::from_utf8_lossy(&text);
        if !text.starts_with("embedded-db ") {
            return Err(none("its MANIFEST is another program's, or damaged"));
        }
        Self::parse(directory, &text)
    }

    pub(crate) fn to_text(&self) -> String {
        let Counts { namespaces, nodes, edges, embeddings } = self.counts;
        with_sum(format!(
            "{MAGIC}{VERSION}\nformat {FORMAT}\nidentity {}\nlsn {}\nwritten {}\nnamespaces \
             {namespaces}\nnodes {nodes}\nedges {edges}\nembeddings {embeddings}\nfile {DATA} {} \
             sha256 {}\n",
            self.identity, self.lsn, self.written_at, self.length, self.sha256
        ))
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let damaged = |detail: &str| damaged(path, detail);
        let first = text.lines().next().unwrap_or_default();
        let version = first.strip_prefix(MAGIC).and_then(decimal).filter(|version| *version > 0);
        let version: u32 = version.ok_or_else(|| damaged("it does not begin with its version"))?;
        let too_new =
            |found, supported| Error::FormatTooNew { path: path.to_owned(), found, supported };
        // Only the first line is promised to mean the same in every version.
        if version > VERSION {
            return Err(too_new(version, VERSION));
        }
        let lines = without_sum(text).map_err(damaged)?;
        let field = |name: &str| {
            let mut found =
                lines.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            match (found.next(), found.next()) {
                (Some(value), None) => Ok(value),
                _ => Err(damaged(&format!("{name} is missing, or said twice"))),
            }
        };
        let number = |name: &str| -> Result<u64> {
            decimal(field(name)?).ok_or_else(|| damaged(&format!("{name} is no number")))
        };
        let format = number("format")?;
        if format == 0 {
            return Err(damaged("format is 0, which no version has"));
        }
        if format > u64::from(FORMAT) {
            return Err(too_new(u32::try_from(format).unwrap_or(u32::MAX), FORMAT));
        }
        let identity = field("identity")?.to_owned();
        if !is_identity(&identity) {
            return Err(damaged("the identity is not 32 hex digits"));
        }
        // No name is taken from it, so none can lead out of the directory.
        let file = field("file")?.strip_prefix(DATA).and_then(|rest| rest.strip_prefix(' '));
        let (length, sha256) = file
            .and_then(|file| file.split_once(" sha256 "))
            .and_then(|(length, sum)| Some((decimal(length)?, Sha256::parse(sum)?)))
            .ok_or_else(|| damaged("it does not list data.mdb with its length and SHA-256"))?;
        Ok(Self {
            identity,
            lsn: number("lsn")?,
            written_at: decimal(field("written")?).ok_or_else(|| damaged("written is no time"))?,
            counts: Counts {
                namespaces: number("namespaces")?,
                nodes: number("nodes")?,
                edges: number("edges")?,
                embeddings: number("embeddings")?,
            },
            length,
            sha256,
        })
    }
}

fn damaged(path: &Path, detail: &str) -> Error {
    Error::Corruption {
        path: path.to_owned(),
        object: Manifest::FILE.into(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            identity: "01a1fd96d85f72e2837865460a6a0037".into(),
            lsn: 12,
            written_at: 1_700_000_000_000_000,
            counts: Counts { namespaces: 1, nodes: 2, edges: 3, embeddings: 4 },
            length: 8192,
            sha256: embedded_db_common::Digest::default().finish(),
        }
    }

    #[test]
    fn it_reads_back_and_every_changed_byte_is_seen() {
        let text = manifest().to_text();
        assert_eq!(Manifest::parse(Path::new("b"), &text).unwrap(), manifest());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(Manifest::parse(Path::new("b"), &changed).is_err(), "byte {at}");
            assert!(Manifest::parse(Path::new("b"), &text[..at]).is_err(), "{at} bytes of it");
        }
    }

    /// Somebody who wants more than we have written can compute a checksum, too.
    #[test]
    fn what_no_backup_says_is_damage_with_a_right_checksum_too() {
        let text = manifest().to_text();
        let lines = without_sum(&text).unwrap();
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(lines.contains(sum));
        for (part, other) in [
            ("data.mdb 8192", "../data.mdb 8192"),
            ("data.mdb 8192", "/etc/passwd 8192"),
            ("data.mdb 8192", "a/data.mdb 8192"),
            ("data.mdb 8192", ".. 8192"),
            ("data.mdb 8192", "..\\data.mdb 8192"),
            ("data.mdb 8192", "data.mdb -1"),
            ("data.mdb 8192", "data.mdb 99999999999999999999"),
            ("data.mdb 8192", "data.mdb"),
            ("data.mdb 8192", "other.mdb 8192"),
            ("sha256 e3", "sha256 E3"),
            ("sha256 e3", "md5 e3"),
            (sum, ""),
            ("nodes 2\n", ""),
            ("nodes 2\n", "nodes 2\nnodes 2\n"),
            ("nodes 2\n", "nodes two\n"),
            ("nodes 2\n", "nodes +2\n"),
            ("nodes 2\n", "nodes 02\n"),
            ("format 1", "format 0"),
            ("identity 01a1", "identity /etc"),
        ] {
            assert!(lines.contains(part), "{part}");
            let changed = with_sum(lines.replace(part, other));
            let error = Manifest::parse(Path::new("b"), &changed).unwrap_err();
            assert!(matches!(error, Error::Corruption { .. }), "{other:?}: {error}");
        }
        for more in ["data.mdb", "../../other"] {
            let twice = with_sum(format!("{lines}file {more} 8192 sha256 {sum}\n"));
            assert!(Manifest::parse(Path::new("b"), &twice).is_err(), "{more}");
        }
    }

    #[test]
    fn what_a_later_version_has_written_is_told_apart_from_damage() {
        let later = "embedded-db backup 2\nanything\n";
        let error = Manifest::parse(Path::new("b"), later).unwrap_err();
        assert!(matches!(error, Error::FormatTooNew { found: 2, supported: 1, .. }), "{error}");
        let text = manifest().to_text();
        let lines = without_sum(&text).unwrap().replace("format 1", "format 9");
        let error = Manifest::parse(Path::new("b"), &with_sum(lines)).unwrap_err();
        assert!(matches!(error, Error::FormatTooNew { found: 9, .. }), "{error}");
    }
}
