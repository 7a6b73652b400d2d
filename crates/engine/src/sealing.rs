//! Puts the texts and messages that were written into files, in a thread that is there while there are enough of them: so
//! that opening the database reads few of them, and a process holds few texts in memory.
//!
//! Nothing depends on it: what is in no file is found as well.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use embedded_db_common::{Error, Lsn, NamespaceId, Result};
use embedded_db_indexing::{MOST_CHANGES, Sealed, Views};
use embedded_db_storage::{Kind, ReadTxn, Snapshot, Store, views};

use crate::worker::{Next, PAUSE, Work, Worker};

/// Seals what was written.
pub(crate) struct SealWork {
    store: Arc<Store>,
    views: Arc<Views>,
    /// So many texts are worth a file.
    least: u64,
    seen: Mutex<Seen>,
    ending: AtomicBool,
}

/// What is known of what was written.
#[derive(Default)]
struct Seen {
    /// Slots are those of this generation.
    generation: u64,
    /// Changes up to here are counted.
    lsn: u64,
    /// Changes of nodes in each namespace that may be in no file; all were looked at once.
    changed: HashMap<NamespaceId, u64>,
}

impl Worker<SealWork> {
    /// From now on it works whenever enough was written.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<()> {
        if self.work.store.read_only() {
            return Ok(());
        }
        let worker: Weak<Self> = Arc::downgrade(self);
        self.work.store.watch_commits(move || {
            if let Some(worker) = worker.upgrade() {
                // Without a thread the next commit that is watched tries again.
                let _later = worker.wake();
            }
        });
        self.wake()
    }

    /// Slots have other numbers now, or other texts are searched.
    pub(crate) fn look(self: &Arc<Self>) -> Result<()> {
        if self.work.store.read_only() { Ok(()) } else { self.wake() }
    }
}

impl Work for SealWork {
    const NAME: &'static str = "sealing";
    const LONGEST_PAUSE: Duration = PAUSE.saturating_mul(64);

    fn step(&self) -> Result<Next> {
        let snapshot = self.store.read()?;
        let due = self.due(&snapshot)?;
        let Lsn(lsn) = snapshot.lsn()?;
        drop(snapshot);
        for namespace in due {
            let sealed =
                self.views.publish(&self.store, namespace, self.least, &|| self.going_on())?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            match sealed {
                Sealed::Published => drop(seen.changed.insert(namespace, 0)),
                Sealed::Enough { left } => drop(seen.changed.insert(namespace, left)),
                Sealed::Overtaken => return Ok(Next::AtOnce),
            }
        }
        // Each text is a change at the least.
        let most = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let most = most.changed.values().copied().max().unwrap_or(0);
        let next = lsn + self.least.saturating_sub(most).max(self.least / 8).max(1);
        self.store.call_at(next);
        // A commit that came before that has called nobody.
        let Lsn(now) = self.store.read()?.lsn()?;
        Ok(if now >= next { Next::AtOnce } else { Next::Nothing })
    }

    fn ends_the_wait(_error: &Error) -> bool {
        true
    }
}

impl SealWork {
    pub(crate) fn new(store: Arc<Store>, views: Arc<Views>, least: u64) -> Self {
        let (seen, ending) = Default::default();
        Self { store, views, least: least.max(1), seen, ending }
    }

    /// Breaks off what it is at: a file that is half written comes to nothing.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    fn going_on(&self) -> Result<()> {
        if self.ending.load(Ordering::Acquire) {
            return Err(Error::DatabaseClosed { path: self.store.name().to_owned() });
        }
        self.store.usable()
    }

    /// The namespaces in which there may be enough to do.
    fn due(&self, snapshot: &Snapshot) -> Result<Vec<NamespaceId>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = snapshot.generation().number();
        if seen.generation != generation {
            *seen = Seen { generation, ..Seen::default() };
        }
        let Lsn(lsn) = snapshot.lsn()?;
        if !seen.changed.is_empty() {
            let (from, counts) = (Lsn(seen.lsn), &mut seen.changed);
            snapshot.changes_after(from, |_, change| {
                if let Some(change) = change.filter(|change| change.kind == Kind::Node) {
                    *counts.entry(change.namespace).or_default() += 1;
                }
                Ok(true)
            })?;
        }
        seen.lsn = lsn;
        let mut behind = HashMap::new();
        for (namespace, _, _, record) in views(snapshot)? {
            behind.insert(namespace, lsn.saturating_sub(record.lsn.0));
        }
        let namespaces = snapshot.namespaces()?.into_iter().map(|(_, namespace)| namespace);
        Ok(namespaces
            .filter(|namespace| {
                let changed = seen.changed.get(namespace).copied();
                changed.is_none_or(|changed| changed >= self.least)
                    || behind.get(namespace).is_some_and(|behind| *behind >= MOST_CHANGES)
            })
            .collect())
    }
}
