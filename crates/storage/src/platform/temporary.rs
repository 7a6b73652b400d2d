//! Directories that end with their process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_db_common::Result;

use super::forks::{self, fork_generation, unforked};
use super::io_error;

/// The file that the owner of a private directory holds locked.
const ALIVE: &str = "alive";
/// It takes an owner far less to lock it.
const OLD: Duration = Duration::from_secs(600);

/// Whether nothing was made in a directory for so long that its owner must be dead.
fn is_old(directory: &fs::DirEntry) -> bool {
    let modified = directory.metadata().and_then(|told| told.modified());
    let modified = modified.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let now = u64::try_from(embedded_db_common::clock::now()).unwrap_or(0);
    modified.is_some_and(|at| at + OLD < Duration::from_micros(now))
}

/// Removes the directories in `base` whose names begin so and whose owners, who held the file `lock`
/// in them locked, are dead.
pub(crate) fn remove_abandoned(base: &Path, prefix: &str, lock: &str) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let dead = match File::open(entry.path().join(lock)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Its owner is about to lock it, or was killed before that.
            Err(error) => error.kind() == std::io::ErrorKind::NotFound && is_old(&entry),
        };
        if dead {
            // Another process may be at it too; what it took is gone either way.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// A private directory for a database in memory, removed when dropped. Directories left by dead
/// processes are removed on the way.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory {
    path: PathBuf,
    lock: Option<File>,
    owner: u32,
}

impl TemporaryDirectory {
    const PREFIX: &'static str = "embedded-db-memory-";

    pub(crate) fn create() -> Result<Self> {
        let base = Self::base();
        Self::sweep(&base);
        let path = base.join(embedded_db_common::clock::new_id(Self::PREFIX.trim_end_matches('-')));
        fs::create_dir_all(&path).map_err(|e| io_error(&path, "create", &e))?;
        let (lock_path, unlocked) = (path.join(ALIVE), path.join("alive.new"));
        let lock = unforked(|| File::create(&unlocked).inspect(forks::close_in_child));
        let lock = lock.map_err(|e| io_error(&unlocked, "create", &e))?;
        let directory = Self { path, lock: Some(lock), owner: fork_generation() };
        if let Some(lock) = &directory.lock {
            lock.lock().map_err(|e| io_error(&unlocked, "lock", &e))?;
        }
        // Nobody ever sees it unlocked, and takes us for dead.
        fs::rename(&unlocked, &lock_path).map_err(|e| io_error(&lock_path, "rename", &e))?;
        Ok(directory)
    }

    /// Memory-backed where the system has such a place.
    fn base() -> PathBuf {
        let shared = Path::new("/dev/shm");
        if shared.is_dir() && fs::metadata(shared).is_ok_and(|m| !m.permissions().readonly()) {
            shared.to_owned()
        } else {
            std::env::temp_dir()
        }
    }

    fn sweep(base: &Path) {
        remove_abandoned(base, Self::PREFIX.trim_end_matches('-'), ALIVE);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            forks::forget(&lock);
        }
        if self.owner == fork_generation() {
            // At worst the next start sweeps it.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// A directory of a process that is gone, as it was left some time ago.
    fn left(base: &Path, name: &str, file: Option<&str>, age: Duration) -> PathBuf {
        let path =
            base.join(format!("{}_{name}", TemporaryDirectory::PREFIX.trim_end_matches('-')));
        fs::create_dir(&path).unwrap();
        if let Some(file) = file {
            File::create(path.join(file)).unwrap();
        }
        let then = SystemTime::UNIX_EPOCH
            + Duration::from_micros(embedded_db_common::clock::now() as u64)
            - age;
        File::open(&path).unwrap().set_modified(then).unwrap();
        path
    }

    #[test]
    #[cfg(unix)]
    fn what_dead_processes_left_is_removed_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let (now, long_ago) = (Duration::ZERO, OLD + Duration::from_secs(60));
        let gone = [
            left(base.path(), "locked-once", Some(ALIVE), now),
            left(base.path(), "never-locked", None, long_ago),
            left(base.path(), "killed-while-locking", Some("alive.new"), long_ago),
        ];
        let kept = [
            left(base.path(), "about-to-lock", None, now),
            left(base.path(), "alive-for-long", Some(ALIVE), long_ago),
            base.path().join("of-somebody-else"),
        ];
        fs::create_dir(&kept[2]).unwrap();
        let alive = File::open(kept[1].join(ALIVE)).unwrap();
        alive.lock().unwrap();
        TemporaryDirectory::sweep(base.path());
        assert!(gone.iter().all(|path| !path.exists()), "{gone:?}");
        assert!(kept.iter().all(|path| path.exists()), "{kept:?}");
        drop(alive);
        TemporaryDirectory::sweep(base.path());
        assert!(!kept[1].exists());
    }
}
