//! A database in the making, in a hidden directory beside the place that it is for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded_db_common::{Error, Result, clock};

use crate::platform::{
    WriterLock, create_directory, io_error, remove_abandoned, sync_directory, write_error,
};
use crate::store::IN_MEMORY;

/// It goes away unless it is put into its place.
pub(crate) struct Staging {
    directory: PathBuf,
    target: PathBuf,
    /// Shows others that somebody is at work here.
    lock: Option<Arc<WriterLock>>,
}

impl Staging {
    /// Makes the directory, whose name begins so, and removes those that killed processes have left.
    pub(crate) fn begin(target: &Path, prefix: &str) -> Result<Self> {
        let target = std::path::absolute(target)
            .map_err(|e| Error::InvalidInput(format!("{target:?}: {e}; name a directory")))?;
        check_free(&target)?;
        let parent = target.parent().ok_or_else(|| {
            Error::InvalidInput(format!("{target:?} has no name; name a new directory"))
        })?;
        create_directory(parent).map_err(|e| write_error(parent, "create", &e))?;
        remove_abandoned(parent, prefix, WriterLock::FILE);
        // Beside it, so that one rename puts it there.
        let directory = parent.join(clock::new_id(prefix));
        fs::create_dir(&directory).map_err(|e| write_error(&directory, "create", &e))?;
        let mut staging = Self { directory, target, lock: None };
        staging.lock = Some(Arc::new(WriterLock::create(&staging.directory)?));
        Ok(staging)
    }

    /// Where it lies until then.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The right to write there.
    pub(crate) fn lock(&self) -> Option<Arc<WriterLock>> {
        self.lock.clone()
    }

    /// Puts it into its place, in one step; `doing` says in an error what was done meanwhile.
    pub(crate) fn publish(mut self, doing: &str) -> Result<PathBuf> {
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => {
                Error::InvalidInput(format!(
                    "{:?} came into being while {doing}; choose another directory",
                    self.target
                ))
            }
            _ => write_error(&self.target, "put the database there", &e),
        };
        sync_directory(&self.directory).map_err(failed)?;
        fs::rename(&self.directory, &self.target).map_err(failed)?;
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        sync_directory(parent).map_err(|e| io_error(parent, "sync", &e))?;
        self.directory = PathBuf::new();
        Ok(self.target.clone())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.lock.take();
        if self.directory != Path::new("") {
            // At worst the next one removes it.
            drop(fs::remove_dir_all(&self.directory));
        }
    }
}

/// Refuses a path at which anything is but an empty directory.
pub(crate) fn check_free(path: &Path) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::InvalidInput(format!(
            "{path:?} {why}; choose a directory that does not exist, or an empty one"
        )))
    };
    if path.file_name().is_some_and(|name| name == IN_MEMORY) {
        return refused("is the name of databases in memory");
    }
    match fs::read_dir(path).map(|mut entries| entries.next()) {
        // A directory that is renamed cannot take the place of a link.
        Ok(None) if fs::read_link(path).is_ok() => refused("is a link"),
        Ok(None) => Ok(()),
        Ok(_) if path.join("MANIFEST").exists() => refused("holds a backup"),
        Ok(_) => refused("is not empty"),
        Err(_) if fs::symlink_metadata(path).is_err() => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => refused("is a file"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            refused("is a link to nowhere")
        }
        Err(error) => Err(io_error(path, "read the directory", &error)),
    }
}
