//! Transactions: a pinned snapshot, buffered writes, and a check at commit.
//!
//! Nothing is locked while the user's code runs. The version of every object that was read or written
//! is remembered as the snapshot shows it; the commit fails with `Conflict` if any has changed since.
//! Of the chat that a message is added to only that it is there counts: others may add theirs.

mod chats;
mod commit;
mod edges;
mod embeddings;
mod facts;
mod nodes;
mod own;

use std::collections::{BTreeMap, HashSet};

use embedded_db_common::{Error, Result};
use embedded_db_storage::Kind;

use crate::database::Database;
use crate::reads::PinnedReads;
use crate::writes::Seen;
pub(crate) use commit::Commit;
pub use commit::Committed;
use commit::Op;
use own::{Mark, Own};

/// Several writes, all or nothing.
pub struct Transaction {
    database: Database,
    reads: PinnedReads,
    ops: Vec<Op>,
    seen: BTreeMap<(Kind, String), Expected>,
    /// What it has written, for its own reads.
    own: Own,
    /// Chats that were not there and are made by their first message, unless somebody else has made
    /// them by then.
    implied: HashSet<String>,
    /// Where the steps of now began.
    steps: Vec<(Mark, usize)>,
}

/// An object as the snapshot shows it.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// 0 when it has none.
    version: u64,
    /// Which one it is; `None` when nothing has the id.
    object: Option<Seen>,
    /// Whether all that counts is that it is there.
    any_version: bool,
}

impl Database {
    /// Begins a transaction.
    pub fn transaction(&self) -> Result<Transaction> {
        if self.read_only() {
            return Err(Error::ReadOnly { path: self.path().to_owned() });
        }
        Ok(Transaction {
            database: self.clone(),
            reads: self.snapshot()?,
            ops: Vec::new(),
            seen: BTreeMap::new(),
            own: Own::default(),
            implied: HashSet::new(),
            steps: Vec::new(),
        })
    }
}

impl Transaction {
    /// The snapshot it reads; queries see it without the transaction's own writes.
    pub fn reads(&self) -> &PinnedReads {
        &self.reads
    }

    /// Fails when nothing can be done in it any more, as in a forked child.
    pub fn check_usable(&self) -> Result<()> {
        self.reads.reader(|_| Ok(()))
    }

    /// Begins a step: several writes that can be undone together.
    pub fn begin_step(&mut self) {
        self.steps.push((self.own.begin_step(), self.ops.len()));
    }

    /// Ends the step that began last. What it wrote stays, or never was; what it read was read.
    pub fn end_step(&mut self, keep: bool) {
        let Some((mark, ops)) = self.steps.pop() else { return };
        self.own.end_step(mark, keep);
        if !keep {
            self.ops.truncate(ops);
        }
    }

    /// Does something as one step.
    fn step<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.begin_step();
        let done = act(self);
        self.end_step(done.is_ok());
        done
    }

    /// An object was read or written.
    fn see(&mut self, kind: Kind, id: &str, version: u64) -> Result<()> {
        let namespace = self.database.namespace_id();
        let object =
            self.reads.reader(|reader| Seen::find(reader.snapshot, namespace, kind, id))?;
        self.saw(kind, id, Expected { version, object, any_version: false });
        Ok(())
    }

    fn saw(&mut self, kind: Kind, id: &str, seen: Expected) {
        let known = self.seen.entry((kind, id.to_owned())).or_insert(seen);
        known.any_version &= seen.any_version;
    }
}
