//! The removal of nodes whose time has come, in a thread that is there while a node is going to expire.
//!
//! Nobody sees such a node from its time on; removing it gives its room back, and takes along what was
//! derived from it. That does not wait for the weaver, which may be at a long call, or not be there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use embedded_db_common::{Error, NamespaceId, Result};
use embedded_db_indexing::graph::GraphWriter;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadExpiries, Snapshot, Store};
use embedded_db_weaver::JobCounts;

use crate::worker::{Next, PAUSE, Work, Worker};

/// Nodes that are removed in one write: writers wait no longer than for that.
const STEP: usize = 256;
/// Longest sleep: bounds how late a clock that was set forward is seen.
const SLEEP: Duration = Duration::from_secs(1);

/// Name of the job in figures.
pub(crate) const JOB: &str = "expire";

/// Removes what has expired.
pub(crate) struct ExpiryWork {
    store: Arc<Store>,
    names: Names,
    /// When the thread looks again by itself; never, when there is none.
    planned: AtomicI64,
    /// Nodes that were removed.
    done: AtomicU64,
    /// Steps that the store has refused.
    failed: AtomicU64,
}

/// What a look at the store led to.
enum Turn {
    /// So many nodes were removed.
    Removed(u64),
    /// Nothing before this time, which is so far away.
    Until(i64, Duration),
    /// Nothing is going to expire.
    Never,
}

impl Worker<ExpiryWork> {
    /// Something was written: looks sooner where it has to. Without a thread to do so what expires is
    /// hidden all the same, and the next write tries again.
    pub(crate) fn notify(self: &Arc<Self>) {
        if self.work.is_late() {
            let _later = self.wake();
        }
    }

    /// Removes what was left to expire by those who had the database open before.
    pub(crate) fn resume(self: &Arc<Self>) -> Result<()> {
        let store = &self.work.store;
        if store.read_only() || !store.read()?.has_expiries()? {
            return Ok(());
        }
        self.wake()
    }
}

impl Work for ExpiryWork {
    const NAME: &'static str = "expiry";
    const LONGEST_PAUSE: Duration = PAUSE.saturating_mul(64);

    fn step(&self) -> Result<Next> {
        let turn = self.turn().inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })?;
        Ok(self.plan(&turn))
    }

    /// A disk that is full may stay so.
    fn ends_the_wait(_error: &Error) -> bool {
        true
    }
}

impl ExpiryWork {
    pub(crate) fn new(store: Arc<Store>, names: Names) -> Self {
        let (planned, done, failed) =
            (AtomicI64::new(i64::MAX), AtomicU64::new(0), AtomicU64::new(0));
        Self { store, names, planned, done, failed }
    }

    /// Whether something was written that expires before the thread looks by itself.
    fn is_late(&self) -> bool {
        self.store.next_expiry() < self.planned.load(Ordering::SeqCst)
    }

    /// Looks at the store, and removes some of what has expired.
    fn turn(&self) -> Result<Turn> {
        // What is written from here on is not in the snapshot, or notes its time again.
        self.store.take_next_expiry();
        let snapshot = self.store.read_quietly()?;
        let first = snapshot.first_expiries()?;
        let now = snapshot.instant()?;
        let due: Vec<NamespaceId> =
            first.iter().filter(|(_, at)| *at <= now).map(|(namespace, _)| *namespace).collect();
        // The removal may need a larger map, which a snapshot forbids.
        drop(snapshot);
        if due.is_empty() {
            let Some(next) = first.iter().map(|(_, at)| *at).min() else { return Ok(Turn::Never) };
            let left = u64::try_from(next.saturating_sub(now)).unwrap_or(0);
            return Ok(Turn::Until(next, Duration::from_micros(left)));
        }
        let (mut removed, names) = (0, self.names);
        for namespace in due {
            removed += self.store.write(move |txn| {
                let count = GraphWriter::new(txn, &names, namespace).expire(STEP)?;
                Ok(count as u64)
            })?;
        }
        Ok(Turn::Removed(removed))
    }

    /// Notes what was done, and when the thread looks again.
    fn plan(&self, turn: &Turn) -> Next {
        let (at, next) = match *turn {
            Turn::Removed(count) => {
                self.done.fetch_add(count, Ordering::Relaxed);
                return Next::AtOnce;
            }
            Turn::Until(at, left) => (at, Next::After(left.clamp(Duration::from_millis(1), SLEEP))),
            Turn::Never => (i64::MAX, Next::Nothing),
        };
        self.planned.store(at, Ordering::SeqCst);
        // Who has written since the look has compared with the plan before, and may not have notified.
        if self.is_late() { Next::AtOnce } else { next }
    }

    /// Counts of nodes: those that have expired and are still stored, and what was removed since the
    /// database was opened.
    pub(crate) fn counts(&self, snapshot: &Snapshot) -> Result<JobCounts> {
        let (mut pending, now) = (0, snapshot.instant()?);
        for (namespace, _) in snapshot.first_expiries()? {
            snapshot.expiries(namespace, i64::MIN, |at, _| {
                pending += u64::from(at <= now);
                at <= now
            })?;
        }
        let (done, failed) =
            (self.done.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        Ok(JobCounts { pending, done, failed, ..JobCounts::default() })
    }
}

#[cfg(test)]
mod tests {
    use embedded_db_common::{Draft, Options};
    use embedded_db_indexing::graph::{Expiry, NodeDraft};
    use embedded_db_storage::WriteTxn;

    use super::*;
    use crate::database::Database;

    fn create_node(work: &ExpiryWork, expiry: Expiry) {
        let names = work.names;
        let labels = vec!["Note".to_owned()];
        let draft = NodeDraft { labels, expiry, ..NodeDraft::unlabelled(None, Draft::new()) };
        let create = move |txn: &mut WriteTxn<'_>| {
            GraphWriter::new(txn, &names, NamespaceId::DEFAULT).create_node(&draft).map(drop)
        };
        work.store.write(create).unwrap();
    }

    /// Its writer sees the plan from before, and so wakes nobody.
    #[test]
    fn a_node_that_is_written_between_a_look_and_its_plan_is_looked_for_again() {
        let db = Database::open(":memory:", &Options::default(), None).unwrap();
        let engine = db.engine().unwrap();
        let work = ExpiryWork::new(Arc::clone(&engine.store), engine.names);
        work.planned.store(1, Ordering::SeqCst);

        let turn = work.turn().unwrap();
        assert!(matches!(turn, Turn::Never));
        create_node(&work, Expiry::After(3_600_000_000));
        assert!(!work.is_late(), "the writer would have woken the thread");
        assert_eq!(work.plan(&turn), Next::AtOnce);

        assert!(matches!(work.step().unwrap(), Next::After(_)));
        assert!(!work.is_late());
    }
}
