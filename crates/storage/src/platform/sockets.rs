//! A socket in the directory of a database, for processes of one user on one machine.

#[cfg(not(unix))]
pub use self::none::{Bell, Door, Line};
#[cfg(unix)]
pub use self::unix::{Bell, Door, Line};

/// Its name.
#[cfg_attr(not(unix), expect(dead_code, reason = "there are none"))]
const FILE: &str = "writer.socket";
/// Its name before others may find it.
#[cfg_attr(not(unix), expect(dead_code, reason = "there are none"))]
const UNFINISHED: &str = "writer.socket.new";

#[cfg(unix)]
mod unix {
    use std::fs::{self, File, Permissions};
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::Shutdown;
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use embedded_db_common::Result;

    use super::{FILE, UNFINISHED};
    use crate::platform::forks::{self, unforked};
    use crate::platform::{io_error, write_error};

    /// The longest path that every system takes for the address of a socket.
    const LONGEST: usize = 100;
    /// How long the other side may read nothing of what is sent to it.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// A socket to which others connect.
    #[derive(Debug)]
    pub struct Door {
        listener: UnixListener,
        path: PathBuf,
        owner: u32,
    }

    /// A connection.
    #[derive(Debug)]
    pub struct Line(UnixStream);

    /// Wakes who waits at a door.
    #[derive(Debug)]
    pub struct Bell {
        button: UnixStream,
        wire: UnixStream,
    }

    /// A path that is short enough for an address, with what keeps it right.
    fn address(directory: &Path, name: &str) -> io::Result<(PathBuf, Option<File>)> {
        let path = directory.join(name);
        if path.as_os_str().len() <= LONGEST {
            return Ok((path, None));
        }
        if !cfg!(target_os = "linux") {
            let message = format!("a socket's path may have {LONGEST} bytes: choose a shorter one");
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        let held = File::open(directory)?;
        Ok((format!("/proc/self/fd/{}/{name}", held.as_raw_fd()).into(), Some(held)))
    }

    impl Door {
        /// Opens one in a directory, in the place of whatever a process that was killed has left. Whoever does that
        /// has the right to write.
        pub fn open(directory: &Path) -> Result<Self> {
            let (path, unfinished) = (directory.join(FILE), directory.join(UNFINISHED));
            let failed = |error: io::Error| write_error(&path, "open the socket", &error);
            match fs::remove_file(&unfinished) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
            let (address, _held) = address(directory, UNFINISHED).map_err(failed)?;
            let listener = unforked(|| {
                let listener = UnixListener::bind(&address)?;
                forks::close_in_child(&listener);
                io::Result::Ok(listener)
            });
            let door =
                Self { listener: listener.map_err(failed)?, path, owner: std::process::id() };
            // Nobody looks for it under this name.
            fs::set_permissions(&unfinished, Permissions::from_mode(0o600))
                .and_then(|()| door.listener.set_nonblocking(true))
                .and_then(|()| fs::rename(&unfinished, &door.path))
                .map_err(|error| write_error(&door.path, "open the socket", &error))?;
            Ok(door)
        }

        /// Waits for a connection of the same user; `None` when the bell rings.
        pub fn accept(&self, bell: &Bell) -> Result<Option<Line>> {
            loop {
                let failed = |error: io::Error| io_error(&self.path, "wait at the socket", &error);
                let ready = poll([self.listener.as_raw_fd(), bell.wire.as_raw_fd()], None);
                if ready.map_err(failed)?[1] {
                    return Ok(None);
                }
                let accepted = unforked(|| {
                    let (stream, _) = self.listener.accept()?;
                    forks::close_in_child(&stream);
                    io::Result::Ok(Line(stream))
                });
                match accepted {
                    Ok(line) => {
                        if line.is_of_this_user() && line.settle().is_ok() {
                            return Ok(Some(line));
                        }
                    }
                    Err(error) if is_passing(&error) => {}
                    // Too many open files: others close some.
                    Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
        }
    }

    fn is_passing(error: &io::Error) -> bool {
        use ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
        matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
    }

    impl Drop for Door {
        fn drop(&mut self) {
            forks::forget(&self.listener);
            if self.owner == std::process::id() {
                // Who finds one that nobody listens at looks again.
                let _removed = fs::remove_file(&self.path);
            }
        }
    }

    impl Line {
        /// Connects to who listens in a directory; `None` when nobody does. Another user is refused.
        pub fn connect(directory: &Path) -> Result<Option<Self>> {
            let failed =
                |error: io::Error| io_error(&directory.join(FILE), "connect to the socket", &error);
            let (address, _held) = address(directory, FILE).map_err(failed)?;
            let connected = unforked(|| {
                let stream = UnixStream::connect(&address)?;
                forks::close_in_child(&stream);
                io::Result::Ok(Self(stream))
            });
            match connected {
                Ok(line) if line.is_of_this_user() => {
                    line.settle().map_err(failed)?;
                    Ok(Some(line))
                }
                Ok(_) => Err(failed(ErrorKind::PermissionDenied.into())),
                Err(error) if is_nobody(&error) => Ok(None),
                Err(error) => Err(failed(error)),
            }
        }

        #[cfg(any(target_os = "linux", target_os = "android"))]
        fn is_of_this_user(&self) -> bool {
            let mut found = libc::ucred { pid: 0, uid: libc::uid_t::MAX, gid: 0 };
            let mut length = size_of::<libc::ucred>() as libc::socklen_t;
            // SAFETY: both pointers are to variables of the sizes that are told.
            #[allow(unsafe_code)]
            let (status, own) = unsafe {
                let found = (&raw mut found).cast();
                let socket = self.0.as_raw_fd();
                let asked = (libc::SOL_SOCKET, libc::SO_PEERCRED);
                let status = libc::getsockopt(socket, asked.0, asked.1, found, &raw mut length);
                (status, libc::geteuid())
            };
            status == 0 && found.uid == own
        }

        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        fn is_of_this_user(&self) -> bool {
            let (mut user, mut group) = (libc::uid_t::MAX, 0);
            // SAFETY: both pointers are to variables of the right types.
            #[allow(unsafe_code)]
            let (status, own) = unsafe {
                let status = libc::getpeereid(self.0.as_raw_fd(), &raw mut user, &raw mut group);
                (status, libc::geteuid())
            };
            status == 0 && user == own
        }

        /// Whoever does not read what is sent to him is not waited for.
        fn settle(&self) -> io::Result<()> {
            self.0.set_nonblocking(false)?;
            self.0.set_write_timeout(Some(PATIENCE))
        }

        /// Waits until there is something to read, or the other side has gone; false when time runs out.
        pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
            poll([self.0.as_raw_fd()], Some(timeout)).map(|ready| ready[0])
        }

        /// Lets reads of this side find the end.
        pub fn stop_reading(&self) {
            // It may have ended already.
            let _ended = self.0.shutdown(Shutdown::Read);
        }

        /// Ends it.
        pub fn stop(&self) {
            // It may have ended already.
            let _ended = self.0.shutdown(Shutdown::Both);
        }
    }

    fn is_nobody(error: &io::Error) -> bool {
        use ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
        matches!(error.kind(), NotFound | NotADirectory | ConnectionRefused)
            || error.raw_os_error() == Some(libc::EAGAIN)
    }

    impl Read for &Line {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            (&self.0).read(buffer)
        }
    }

    impl Write for &Line {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            (&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Drop for Line {
        fn drop(&mut self) {
            forks::forget(&self.0);
        }
    }

    impl Bell {
        /// A bell for one door.
        pub fn new() -> Result<Self> {
            let made = unforked(|| {
                let (button, wire) = UnixStream::pair()?;
                forks::close_in_child(&button);
                forks::close_in_child(&wire);
                io::Result::Ok(Self { button, wire })
            });
            made.map_err(|error| io_error(Path::new("a socket"), "make it", &error))
        }

        /// Rings for good.
        pub fn ring(&self) {
            // It rings when it ends, too.
            let _rung = self.button.shutdown(Shutdown::Both);
        }
    }

    impl Drop for Bell {
        fn drop(&mut self) {
            forks::forget(&self.button);
            forks::forget(&self.wire);
        }
    }

    /// Which of some descriptors can be read without waiting.
    fn poll<const N: usize>(
        descriptors: [RawFd; N],
        timeout: Option<Duration>,
    ) -> io::Result<[bool; N]> {
        let mut asked = descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        let most = timeout.map_or(-1, |timeout| timeout.as_millis().min(i32::MAX as u128) as i32);
        // SAFETY: the pointer is to so many entries.
        #[allow(unsafe_code)]
        let status = unsafe { libc::poll(asked.as_mut_ptr(), N as libc::nfds_t, most) };
        if status < 0 {
            let error = io::Error::last_os_error();
            // A signal: the caller looks at it.
            return if error.kind() == ErrorKind::Interrupted {
                Ok([false; N])
            } else {
                Err(error)
            };
        }
        Ok(asked.map(|asked| asked.revents != 0))
    }
}

#[cfg(not(unix))]
mod none {
    //! The standard library has none for this system.

    use std::convert::Infallible;
    use std::io::{self, Read, Write};
    use std::path::Path;
    use std::time::Duration;

    use embedded_db_common::{Error, Result};

    fn none<T>() -> Result<T> {
        Err(Error::InvalidInput(
            "shared=True needs Unix sockets, which this system does not have; open with read_only=True beside \
             one writer"
                .into(),
        ))
    }

    /// A socket to which others connect.
    #[derive(Debug)]
    pub struct Door(Infallible);

    /// A connection.
    #[derive(Debug)]
    pub struct Line(Infallible);

    /// Wakes who waits at a door.
    #[derive(Debug)]
    pub struct Bell(Infallible);

    #[allow(missing_docs)]
    impl Door {
        pub fn open(_: &Path) -> Result<Self> {
            none()
        }

        pub fn accept(&self, _: &Bell) -> Result<Option<Line>> {
            match self.0 {}
        }
    }

    #[allow(missing_docs)]
    impl Line {
        pub fn connect(_: &Path) -> Result<Option<Self>> {
            none()
        }

        pub fn wait(&self, _: Duration) -> io::Result<bool> {
            match self.0 {}
        }

        pub fn stop_reading(&self) {
            match self.0 {}
        }

        pub fn stop(&self) {
            match self.0 {}
        }
    }

    #[allow(missing_docs)]
    impl Bell {
        pub fn new() -> Result<Self> {
            none()
        }

        pub fn ring(&self) {
            match self.0 {}
        }
    }

    impl Read for &Line {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            match self.0 {}
        }
    }

    impl Write for &Line {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            match self.0 {}
        }

        fn flush(&mut self) -> io::Result<()> {
            match self.0 {}
        }
    }
}
