//! Locks on files, which end with their process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use embedded_db_common::{Error, Result};

use super::forks::{self, unforked};
use super::{WAIT, io_error, write_error};

/// An advisory lock on a file. The system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// Its process: whoever else drops it, after a fork of any kind, has no right to end it.
    owner: u32,
}

impl Lock {
    /// Takes a shared lock on a file that others hold alone for moments; `None` if there is no such file.
    pub(crate) fn shared(
        path: &Path,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Self>> {
        let lock = match unforked(|| open_to_lock(path).map(Self::guarded)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(path, "open it", &error)),
        };
        if lock.wait(path, File::try_lock_shared, timeout, interrupted)? {
            return Ok(Some(lock));
        }
        Err(io_error(path, "share it with a process that recovers the database", &timed_out()))
    }

    /// Takes a lock on a file that nobody else has any on; `None` if it could not be had in time.
    pub(crate) fn alone(
        path: &Path,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Self>> {
        let lock = unforked(|| open_to_lock(path).map(Self::guarded));
        let lock = lock.map_err(|error| io_error(path, "open it", &error))?;
        Ok(lock.wait(path, File::try_lock, timeout, interrupted)?.then_some(lock))
    }

    /// Whether anybody holds the lock of a file alone.
    fn is_held(path: &Path) -> bool {
        let lock = unforked(|| open_to_lock(path).map(Self::guarded));
        lock.is_ok_and(|lock| matches!(lock.file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Whether the lock could be had in time.
    fn wait(
        &self,
        path: &Path,
        try_lock: impl Fn(&File) -> std::result::Result<(), TryLockError>,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let start = Instant::now();
        loop {
            match try_lock(&self.file) {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) if start.elapsed() < timeout => {
                    interrupted()?;
                    std::thread::sleep(WAIT.min(timeout));
                }
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(e)) => return Err(io_error(path, "lock", &e)),
            }
        }
    }

    fn guarded(file: File) -> Self {
        forks::close_in_child(&file);
        Self { file, owner: std::process::id() }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        forks::forget(&self.file);
        if self.owner == std::process::id() {
            // Closing alone would leave it to every child that is just being started, which has all
            // files open until its program begins. If this fails, closing is what remains.
            drop(self.file.unlock());
        }
    }
}

fn timed_out() -> std::io::Error {
    std::io::ErrorKind::TimedOut.into()
}

/// The right to write: a lock on a file that names its holder.
#[derive(Debug)]
pub(crate) struct WriterLock(Lock);

impl WriterLock {
    /// Its name in a database.
    pub(crate) const FILE: &str = "writer.lock";

    /// Waits for at most `timeout`, and no longer than `interrupted` lets it. Who only looks whether it is held has it
    /// for a moment, which is waited for in any case.
    pub(crate) fn acquire(
        database: &Path,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let path = database.join(Self::FILE);
        let open =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        // A child that is forked during the wait must not share what is locked later.
        let opened = unforked(|| open().map(Lock::guarded));
        let mut lock = opened.map_err(|e| write_error(&path, "open the lock file", &e))?;
        if !lock.wait(&path, File::try_lock, timeout.max(2 * WAIT), interrupted)? {
            return Err(Self(lock).held_by(database));
        }
        let holder = format!("{} {}\n", std::process::id(), host_name());
        let file = &mut lock.file;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(|e| write_error(&path, "write the lock file", &e))?;
        Ok(Self(lock))
    }

    /// In a directory that is new: nobody ever sees it without a holder.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let (path, unlocked) = (directory.join(Self::FILE), directory.join("writer.lock.new"));
        let opened = unforked(|| File::create(&unlocked).map(Lock::guarded));
        let lock = opened.map_err(|e| write_error(&unlocked, "create", &e))?;
        lock.file.lock().map_err(|e| io_error(&unlocked, "lock", &e))?;
        fs::rename(&unlocked, &path).map_err(|e| write_error(&path, "rename", &e))?;
        Ok(Self(lock))
    }

    /// For a reader that cannot register itself, so that a writer would overwrite what it reads: keeps
    /// writers out for as long as it reads. That takes no permission to write.
    pub(crate) fn keep_writers_out(
        database: &Path,
        timeout: Duration,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let path = database.join(Self::FILE);
        let refused = |why: &str| Error::StorageError {
            path: database.to_owned(),
            detail: format!(
                "its directory cannot be written, so this reader cannot register itself in lock.mdb, \
                 and {why}; give write permission to lock.mdb, or read a copy"
            ),
        };
        let opened = unforked(|| open_to_lock(&path).map(Lock::guarded));
        let lock =
            opened.map_err(|e| refused(&format!("cannot keep writers out by writer.lock: {e}")))?;
        if lock.wait(&path, File::try_lock_shared, timeout, interrupted)? {
            return Ok(Self(lock));
        }
        Err(refused("another process writes to it"))
    }

    /// Whether a process holds it that writes.
    pub(crate) fn is_held(database: &Path) -> bool {
        Lock::is_held(&database.join(Self::FILE))
    }

    /// Keeps writers out of a database to which nothing is written, not even that; `None` where nobody has
    /// ever written.
    pub(crate) fn share(database: &Path) -> Result<Option<Self>> {
        let path = database.join(Self::FILE);
        let opened = unforked(|| open_to_lock(&path).map(Lock::guarded));
        let lock = match opened {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path, "open the lock file", &error)),
        };
        if lock.wait(&path, File::try_lock_shared, Duration::ZERO, &|| Ok(()))? {
            return Ok(Some(Self(lock)));
        }
        Err(Self(lock).held_by(database))
    }

    /// Who holds the right to write, with the host, as far as the file says; `None` when nobody does.
    pub(crate) fn holder(database: &Path) -> Result<Option<(u32, String)>> {
        match Self::share(database) {
            Ok(_) => Ok(None),
            Err(Error::DatabaseLocked { pid, host, .. }) => Ok(Some((pid, host))),
            Err(other) => Err(other),
        }
    }

    fn held_by(&mut self, database: &Path) -> Error {
        let mut text = String::new();
        // What the holder wrote is a courtesy to the reader of the error; without it the process
        // id is reported as 0.
        if self.0.file.rewind().and_then(|()| self.0.file.read_to_string(&mut text)).is_err() {
            text.clear();
        }
        let mut words = text.split_whitespace();
        let pid = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let host = words.next().unwrap_or("an unknown host").to_owned();
        Error::DatabaseLocked { path: database.to_owned(), pid, host }
    }
}

/// Whether a process on the host of this name is one of this machine.
pub(crate) fn has_holder(host: &str) -> bool {
    host == host_name()
}

/// What this machine calls itself.
pub fn host_name() -> String {
    #[cfg(unix)]
    {
        let mut buffer = [0u8; 256];
        // SAFETY: the buffer is writable for its whole length; the last byte stays 0.
        #[allow(unsafe_code)]
        let status = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
        let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(0);
        if status == 0 && end > 0 {
            return String::from_utf8_lossy(buffer.split_at(end).0).into_owned();
        }
    }
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".into())
}

/// Opens a file for its lock. Of a pipe that lies in its place, nobody waits for the other end.
fn open_to_lock(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path)
}
