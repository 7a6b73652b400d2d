//! The least that a durable write can be: the rows put into LMDB, the frame written to a file that has its
//! place on the disk, one sync, and LMDB's commit without one. Beside it what the promises need at the least: each id
//! is looked up, for it must be free or there, and each page that was written gets a sum.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};

use crate::log::Frame;

const TABLES: usize = 19;
const IDS: u8 = 3;
const PAGE: usize = 4096;
const LENGTH: u64 = 64 << 20;
/// What is written so long is committed together.
const TOGETHER: Duration = Duration::from_millis(2);

/// A file that has its place on the disk.
pub struct Preallocated {
    file: File,
    end: u64,
}

impl Preallocated {
    pub fn new(path: &Path) -> Self {
        let file = OpenOptions::new().create_new(true).write(true).open(path).expect("a new file");
        let zeros = vec![0; 1 << 20];
        for at in (0..LENGTH).step_by(zeros.len()) {
            file.write_all_at(&zeros, at).expect("room on the disk");
        }
        file.sync_all().expect("a disk that syncs");
        Self { file, end: 0 }
    }

    /// Puts some bytes behind the others, on the disk.
    pub fn append(&mut self, bytes: &[u8]) -> Duration {
        let begun = Instant::now();
        if self.end + bytes.len() as u64 > LENGTH {
            self.end = 0;
        }
        self.file.write_all_at(bytes, self.end).expect("room on the disk");
        self.file.sync_data().expect("a disk that syncs");
        self.end += bytes.len() as u64;
        begun.elapsed()
    }
}

/// How long the parts of a write took.
#[derive(Clone, Copy, Default)]
pub struct Parts {
    pub rows: Duration,
    pub sync: Duration,
    pub commit: Duration,
    /// Those of ids, and one of the last id of the write before.
    pub lookups: Duration,
    /// Of as many bytes as the commit wrote, which lie in the caches of the processor.
    pub sums: Duration,
}

impl Parts {
    pub fn bare(self) -> Duration {
        self.rows + self.sync + self.commit
    }

    pub fn checked(self) -> Duration {
        self.bare() + self.lookups + self.sums
    }
}

type Pin = Arc<Mutex<Option<RoTxn<'static, WithoutTls>>>>;

/// LMDB and a log, with nothing between.
pub struct Bare {
    env: Env<WithoutTls>,
    tables: [Database<'static, Bytes, Bytes>; TABLES],
    log: Preallocated,
    /// An id that is there.
    last: Vec<u8>,
    /// Keeps the pages of the last checkpoint from being written to.
    pin: Pin,
    checkpoints: Sender<RoTxn<'static, WithoutTls>>,
}

impl Bare {
    pub fn new(directory: &Path) -> Self {
        std::fs::create_dir(directory).expect("a new directory");
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(1 << 36).max_dbs(TABLES as u32);
        // SAFETY: the file is our own, and nothing that was lost is asked for after a power cut.
        let env = unsafe { options.flags(EnvFlags::NO_SYNC).open(directory) };
        let env = env.expect("an environment");
        let txn = env.write_txn().expect("a transaction");
        let tables = env.create_databases_and_commit(txn, |creator, txn| {
            let name = |number| format!("table {number}");
            let create = |number| creator.create_database(txn, Some(&name(number)));
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(std::array::from_fn(create)))
        });
        let tables: [heed::Result<_>; TABLES] = tables.expect("a commit").unwrap_commit();
        let tables = tables.map(|table| table.expect("a table"));
        let log = Preallocated::new(&directory.join("log"));
        let pin = Pin::default();
        // As the database does it: a thread puts the pages on the disk, then lets go of the state before.
        let (checkpoints, due) = channel();
        let (syncing, pinned) = (env.clone(), Arc::clone(&pin));
        std::thread::spawn(move || {
            for newer in due {
                syncing.force_sync().expect("a disk that syncs");
                *pinned.lock().expect("nobody panics") = Some(newer);
            }
        });
        let bare = Self { env, tables, log, last: vec![0], pin, checkpoints };
        bare.checkpoint();
        bare
    }

    /// Begins a checkpoint of the newest state.
    pub fn checkpoint(&self) {
        let txn = self.env.clone().static_read_txn().expect("a snapshot");
        self.checkpoints.send(txn).expect("the thread is there");
    }

    /// Writes the rows of frames that followed each other, and commits as often as the database does: what is written
    /// within two milliseconds together. The last commit, which nobody waits for, is not among the parts.
    pub fn write(&mut self, frames: &[Frame]) -> Parts {
        let (mut all, mut frames) = (Parts::default(), frames.iter().peekable());
        let env = self.env.clone();
        while frames.peek().is_some() {
            let mut txn = env.write_txn().expect("a transaction");
            let begun = Instant::now();
            while begun.elapsed() < TOGETHER
                && let Some(frame) = frames.next()
            {
                self.put(&mut txn, frame, &mut all);
            }
            let before = written();
            let begun = Instant::now();
            txn.commit().expect("a commit");
            let commit = begun.elapsed();
            let pages = vec![7; (written() - before) / PAGE * PAGE];
            let begun = Instant::now();
            for page in pages.chunks(PAGE) {
                std::hint::black_box(xxhash_rust::xxh3::xxh3_64(page));
            }
            if frames.peek().is_some() {
                all.commit += commit;
                all.sums += begun.elapsed();
            }
        }
        all
    }

    fn put(&mut self, txn: &mut RwTxn<'_>, frame: &Frame, all: &mut Parts) {
        let rows = frame.rows(|table, key| {
            let table = &self.tables[usize::from(table) - 1];
            table.get(txn, key).expect("a row").map(<[u8]>::to_vec)
        });
        let of_ids = rows.keys().filter(|(table, _)| *table == IDS).map(|(_, id)| id);
        let ids: Vec<Vec<u8>> = of_ids.cloned().chain([self.last.clone()]).collect();
        let begun = Instant::now();
        for id in &ids {
            let found = self.tables[usize::from(IDS) - 1].get(txn, id).expect("a look");
            std::hint::black_box(found);
        }
        all.lookups += begun.elapsed();
        if let [.., last, _] = &ids[..] {
            self.last.clone_from(last);
        }
        let begun = Instant::now();
        for ((table, key), value) in &rows {
            let table = &self.tables[usize::from(*table) - 1];
            match value {
                Some(value) => table.put(txn, key, value).expect("a row"),
                None => drop(table.delete(txn, key).expect("a row")),
            }
        }
        all.rows += begun.elapsed();
        all.sync += self.log.append(frame.bytes());
    }
}

/// Bytes that this thread has written.
fn written() -> usize {
    let told = std::fs::read_to_string("/proc/thread-self/io").expect("a Linux");
    let mut lines = told.lines().filter_map(|line| line.strip_prefix("wchar: "));
    lines.next().and_then(|bytes| bytes.parse().ok()).expect("a number of bytes")
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.pin.lock().expect("nobody panics").take();
    }
}
