//! What a repair reads: the generations of a database whose files may be damaged or missing.

use std::fs;
use std::path::{Path, PathBuf};

use embedded_db_common::{Error, Result};

use crate::format::Current;
use crate::platform::{WriterLock, real_path};

/// A database that may be damaged. Nothing is written to it, and nobody else writes to it meanwhile.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Its generations with data, with their numbers: those that may be in use, the likeliest first.
    pub(super) generations: Vec<(u64, PathBuf)>,
    /// What is wrong with the files beside the data.
    pub(super) remarks: Vec<String>,
    _writers: Option<WriterLock>,
}

impl Source {
    pub(super) fn find(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)
            .map_err(|e| Error::InvalidInput(format!("{path:?}: {e}; name a directory")))?;
        check_place(&path)?;
        let writers = WriterLock::share(&path)?;
        let mut remarks = Vec::new();
        let generations = find_generations(&path, &mut remarks)?;
        Ok(Self { path, generations, remarks, _writers: writers })
    }

    /// Refuses a place for the result that lies in the database itself.
    pub(super) fn check_target(&self, target: &Path) -> Result<()> {
        if real_path(target).starts_with(real_path(&self.path)) {
            return Err(Error::InvalidInput(format!(
                "{target:?} lies in the directory of the damaged database, to which nothing is written; \
                 choose one outside of it"
            )));
        }
        Ok(())
    }
}

fn check_place(path: &Path) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::InvalidInput(format!("{path:?} {why}; name the directory of a database")))
    };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => refused("is a file"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => refused("does not exist"),
        Err(error) => Err(crate::platform::io_error(path, "look at it", &error)),
    }
}

fn find_generations(path: &Path, remarks: &mut Vec<String>) -> Result<Vec<(u64, PathBuf)>> {
    let has_data = |directory: &Path| {
        fs::metadata(directory.join("data.mdb")).is_ok_and(|told| told.is_file() && told.len() > 0)
    };
    let all = Current::generations(path)?;
    let (found, without): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, directory)| has_data(directory));
    remarks.extend(without.iter().map(|(number, _)| format!("generation {number} has no data")));
    if found.is_empty() && without.is_empty() {
        // A backup has the same files, and no generations.
        if has_data(path) {
            return Ok(vec![(1, path.to_owned())]);
        }
        return Err(Error::InvalidInput(format!(
            "{path:?} is no database: no generation of data is in it; name the directory of a database"
        )));
    }
    if found.is_empty() {
        return Err(Error::Corruption {
            path: path.to_owned(),
            object: "the data file".into(),
            detail: "it is missing or empty, so that nothing can be saved".into(),
        });
    }
    match Current::read_damaged(path)? {
        Ok(current) => {
            let number = current.generation();
            if let Some(wanted) = found.iter().find(|(known, _)| *known == number) {
                return Ok(vec![wanted.clone()]);
            }
            remarks.push(format!("CURRENT names generation {number}, of which there is no data"));
        }
        Err(why) => remarks.push(format!("CURRENT: {why}")),
    }
    Ok(found)
}
