//! The directory of a database: what is in it, who writes to it, what was left in it.

use std::fs;
use std::path::{Path, PathBuf};

use embedded_db_common::{Error, Result};

use super::data::Data;
use super::{Fact, Finding};
use crate::format::{Current, FORMAT};
use crate::platform::{WriterLock, has_holder, is_alive};

/// What brings back what reads.
pub(super) const REPAIR: &str = "restore a backup that is whole, or save what reads with `embedded-db \
                                 repair PATH --to NEWDIR`";

/// How directories begin in which a restore or a repair is made.
const BEGUN: [&str; 2] = [".embedded-db-restoring_", ".embedded-db-repairing_"];

/// A database with data.
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) generation: u64,
    /// Of that generation.
    pub(super) directory: PathBuf,
}

impl Place {
    /// `None` when there is nothing that can be looked at.
    pub(super) fn look(path: &Path, findings: &mut Vec<Finding>) -> Result<Option<Self>> {
        let error = |text: String, remedy: &str| Finding::error("database", text, remedy);
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                let remedy = "name the directory of a database";
                findings.push(error("it is a file; a database is a directory".into(), remedy));
                return Ok(None);
            }
            Err(failed) => {
                let remedy = "check the path, and the permission to read it";
                findings.push(error(format!("it cannot be looked at: {failed}"), remedy));
                return Ok(None);
            }
        }
        let generations = match Current::generations(path) {
            Ok(generations) => generations,
            Err(failed) => {
                let remedy = "give permission to read its directory";
                findings.push(error(failed.to_string(), remedy));
                return Ok(None);
            }
        };
        if generations.is_empty() && path.join("data.mdb").exists() {
            findings.push(backup(path));
            return Ok(None);
        }
        let current = match Current::read(path) {
            Ok(current) => current,
            Err(Error::InvalidInput(_)) if generations.is_empty() => {
                let remedy = "name the directory of a database, or open the path to make one";
                findings.push(error("there is no database in it".into(), remedy));
                return Ok(None);
            }
            Err(failed @ Error::FormatTooNew { .. }) => {
                let remedy = "install a newer embedded-db";
                findings.push(error(failed.to_string(), remedy));
                return Ok(None);
            }
            Err(failed) => {
                findings.push(error(said(&failed), REPAIR));
                let likeliest = generations.into_iter().next().map(|(generation, directory)| {
                    Self { path: path.to_owned(), generation, directory }
                });
                return Ok(likeliest.filter(|place| place.data_length() > 0));
            }
        };
        let place = Self {
            path: path.to_owned(),
            generation: current.generation(),
            directory: current.directory(path),
        };
        if place.data_length() == 0 {
            let text = format!(
                "CURRENT names generation {}, whose data.mdb is missing or empty",
                place.generation
            );
            findings.push(error(text, REPAIR));
            return Ok(None);
        }
        let text = format!("a database of format {FORMAT}, generation {}", place.generation);
        let found = Finding::ok("database", text);
        findings.push(
            found
                .with("generation", place.generation)
                .with("identity", current.identity().to_owned()),
        );
        Ok(Some(place))
    }

    /// Bytes of the data file.
    pub(super) fn data_length(&self) -> u64 {
        let told = fs::metadata(self.directory.join("data.mdb"));
        told.ok().filter(fs::Metadata::is_file).map_or(0, |told| told.len())
    }

    /// Who holds the right to write; tells whether anybody does.
    pub(super) fn look_at_lock(&self, findings: &mut Vec<Finding>) -> bool {
        let about = "lock";
        let held = WriterLock::holder(&self.path);
        let found = match &held {
            Ok(None) => Finding::ok(about, "nobody writes").with("held", false),
            Ok(Some((pid, host))) => {
                let here = has_holder(host);
                let alive = if here { is_alive(*pid) } else { None };
                let text = format!("process {pid} on {host} writes");
                let found = if here {
                    Finding::ok(about, text)
                } else {
                    let text = format!("{text}: another machine, or a container of this one");
                    let remedy = "work with one database from one machine, and through a server \
                                  from others";
                    Finding::warning(about, text, remedy)
                };
                let alive = alive.map_or(Fact::Unknown, Fact::Flag);
                found
                    .with("held", true)
                    .with("pid", u64::from(*pid))
                    .with("host", host.clone())
                    .with("alive", alive)
            }
            Err(failed) => Finding::warning(
                about,
                format!("whether somebody writes cannot be told: {}", said(failed)),
                "give permission to read writer.lock, and check that the file system has locks",
            ),
        };
        findings.push(found);
        matches!(held, Ok(Some(_)))
    }

    /// What was begun and not ended.
    pub(super) fn look_for_leftovers(
        &self,
        data: Option<&Data>,
        is_written_to: bool,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let about = "leftovers";
        let mut inside: Vec<String> = Current::generations(&self.path)?
            .into_iter()
            .filter(|(number, _)| *number != self.generation)
            .map(|(number, _)| format!("generation {number} of a compaction"))
            .collect();
        if let Some(successor) = data.and_then(|data| data.successor) {
            inside.push(format!("the notice that generation {successor} takes the place"));
        }
        let beside = self.left_beside();
        let listed = inside.iter().chain(&beside).cloned().collect::<Vec<_>>().join(", ");
        let found = if is_written_to && !inside.is_empty() && beside.is_empty() {
            Finding::ok(about, format!("the writer compacts it, or uses it so: {listed}"))
        } else if !inside.is_empty() {
            let remedy = "open the database once for writing, which removes what lies in it";
            Finding::warning(about, format!("left half done: {listed}"), remedy)
        } else if !beside.is_empty() {
            let remedy = "the next restore or repair beside it removes them";
            Finding::warning(about, format!("left half done: {listed}"), remedy)
        } else {
            Finding::ok(about, "nothing was left half done")
        };
        findings.push(found.with("count", (inside.len() + beside.len()) as u64));
        Ok(())
    }

    /// Restores and repairs beside it that nobody works on.
    fn left_beside(&self) -> Vec<String> {
        let entries = self.path.parent().and_then(|parent| fs::read_dir(parent).ok());
        let is_left = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let is_begun = BEGUN.iter().any(|prefix| name.to_string_lossy().starts_with(prefix));
            is_begun && !WriterLock::is_held(&entry.path())
        };
        let left = entries.into_iter().flatten().flatten().filter(is_left);
        left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// A directory with data and no generation.
fn backup(path: &Path) -> Finding {
    let about = "database";
    if path.join("MANIFEST").exists() {
        let remedy = "make a database of it with `embedded-db restore`";
        return Finding::error(about, "it is a backup, not a database", remedy);
    }
    let remedy = "delete it, and make the backup again";
    Finding::error(about, "it is a backup whose making was broken off", remedy)
}

/// What an error says without what to do.
pub(super) fn said(error: &Error) -> String {
    match error {
        Error::Corruption { object, detail, .. } => format!("{object} is damaged: {detail}"),
        Error::StorageError { detail, .. } => detail.clone(),
        other => other.to_string(),
    }
}
