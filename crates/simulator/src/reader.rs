//! Another process that reads, as the process that writes asks it to: one of them runs at a time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicUsize, Ordering};

use embedded_db_engine::common::{Options, Result};
use embedded_db_engine::{Database, PinnedReads};

use crate::life::How;
use crate::machine;
use crate::opening::options;
use crate::operation::Reading;
use crate::reading::{told, told_graph};

/// Most bytes of an answer.
const ROOM: usize = 1 << 20;

/// What both processes see.
struct Shared {
    turn: AtomicU32,
    what: AtomicU32,
    hours: AtomicI64,
    length: AtomicUsize,
    /// The number that the system has given to the reader.
    reader: AtomicI32,
    text: std::cell::UnsafeCell<[u8; ROOM]>,
}

/// Whose turn it is.
const NOBODY: u32 = 0;
const READER: u32 = 1;
const WRITER: u32 = 2;

/// Where a question lies, and then its answer. In memory that forked processes share.
#[derive(Clone, Copy)]
pub(crate) struct Mailbox(&'static Shared);

// SAFETY: the text belongs to the process whose turn it is, and of it to one thread.
#[allow(unsafe_code)]
unsafe impl Send for Mailbox {}

impl Mailbox {
    pub(crate) fn new() -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let (size, access) = (size_of::<Shared>(), libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: new memory, large enough, aligned, of zeros, which all of it may be; never given back.
        #[allow(unsafe_code)]
        let shared = unsafe {
            let place = libc::mmap(std::ptr::null_mut(), size, access, flags, -1, 0);
            assert_ne!(place, libc::MAP_FAILED, "no memory for a mailbox");
            &*place.cast()
        };
        Self(shared)
    }

    /// Nobody has asked.
    pub(crate) fn clear(self) {
        self.0.turn.store(NOBODY, Ordering::Release);
    }

    /// This process answers.
    pub(crate) fn begin(self, reader: i32) {
        self.0.reader.store(reader, Ordering::Release);
    }

    fn give_turn(self, to: u32) {
        self.0.turn.store(to, Ordering::Release);
        machine::wake_other(&self.0.turn);
    }

    fn await_turn(self, me: u32) {
        loop {
            let turn = self.0.turn.load(Ordering::Acquire);
            if turn == me {
                return;
            }
            machine::wait_for_other(&self.0.turn, turn);
        }
    }

    fn put(self, text: &str) {
        assert!(text.len() <= ROOM, "an answer is longer than the room for it");
        // SAFETY: it is our turn.
        #[allow(unsafe_code)]
        unsafe {
            let place: *mut u8 = self.0.text.get().cast();
            place.copy_from_nonoverlapping(text.as_ptr(), text.len());
        }
        self.0.length.store(text.len(), Ordering::Relaxed);
    }

    fn take(self) -> String {
        let length = self.0.length.load(Ordering::Relaxed);
        // SAFETY: it is our turn, and so many bytes were put there.
        #[allow(unsafe_code)]
        let bytes = unsafe { std::slice::from_raw_parts(self.0.text.get().cast::<u8>(), length) };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// What the reader says, by a clock that was set forward so far; of what it holds, that of a
    /// namespace.
    pub(crate) fn ask(self, what: Reading, hours: i64, namespace: &str) -> String {
        self.put(namespace);
        self.0.what.store(what as u32, Ordering::Relaxed);
        self.0.hours.store(hours, Ordering::Relaxed);
        self.give_turn(READER);
        if what == Reading::Die {
            machine::await_end(self.0.reader.load(Ordering::Acquire));
            return String::new();
        }
        self.await_turn(WRITER);
        self.take()
    }

    /// Answers until it is told to die, or killed.
    pub(crate) fn answer(self, root: &Path, how: How) -> ! {
        let mut reader = Reader { root: root.to_owned(), how, db: None, held: None };
        loop {
            self.await_turn(READER);
            let what = Reading::ALL[self.0.what.load(Ordering::Relaxed) as usize];
            machine::set_clock(self.0.hours.load(Ordering::Relaxed));
            let namespace = self.take();
            let mut answer = reader.read(what, &namespace);
            // A snapshot that is held forbids the map to grow.
            if answer.as_ref().is_err_and(|error| error.code() == "StorageFull")
                && reader.held.take().is_some()
            {
                answer = reader.read(what, &namespace);
            }
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => format!("{}: {error}", error.code()),
            };
            self.put(&answer);
            self.give_turn(WRITER);
        }
    }
}

struct Reader {
    root: PathBuf,
    how: How,
    db: Option<Database>,
    held: Option<PinnedReads>,
}

impl Reader {
    fn read(&mut self, what: Reading, namespace: &str) -> Result<String> {
        let db = match &self.db {
            Some(db) => db.clone(),
            None => {
                let options = Options { read_only: true, ..options(self.how) };
                let db = Database::open(self.root.join("db"), &options, None)?;
                self.db.insert(db).clone()
            }
        };
        match what {
            Reading::Look => told(&db),
            Reading::Hold => {
                self.held = Some(db.namespace(namespace)?.snapshot()?);
                Ok(String::new())
            }
            Reading::LookAtHeld => {
                let mut out = String::new();
                if let Some(held) = &self.held {
                    told_graph(held, "held", &mut out)?;
                }
                Ok(out)
            }
            Reading::Die => machine::die(),
        }
    }
}
