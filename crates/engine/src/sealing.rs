//! Puts the texts, messages and vectors that were written into files, in a thread that is there while there are enough of them: so
//! that opening the database reads few of them, and a process holds few texts in memory.
//!
//! Nothing depends on it: what is in no file is found as well.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use embedded_db_common::{Error, Lsn, NamespaceId, Result, SpaceId};
use embedded_db_indexing::{MOST_CHANGES, Sealed, Views};
use embedded_db_storage::{Kind, ReadEmbeddings, ReadTxn, Snapshot, Store, ViewKind, views};

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
    /// Changes up to here are counted; 0 before all views were looked at once.
    lsn: u64,
    /// Changes of each view that may be in no file.
    changed: HashMap<View, u64>,
}

/// What has files of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum View {
    /// The texts and sessions of a namespace.
    Texts(NamespaceId),
    /// The vectors of a space in a namespace.
    Vectors(NamespaceId, SpaceId),
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
        let spaces = snapshot.spaces()?;
        let Lsn(lsn) = snapshot.lsn()?;
        drop(snapshot);
        for view in due {
            let (going_on, least) = (|| self.going_on(), self.least);
            let sealed = match view {
                View::Texts(namespace) => {
                    self.views.publish(&self.store, namespace, least, &going_on)?
                }
                View::Vectors(namespace, space) => {
                    let of = spaces.iter().find(|(id, _)| *id == space).map(|(_, record)| record);
                    // One that was made since is looked at the next time.
                    let Some(record) = of else { continue };
                    let of = (space, record);
                    self.views.publish_vectors(&self.store, namespace, of, least, &going_on)?
                }
            };
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            match sealed {
                Sealed::Published => drop(seen.changed.insert(view, 0)),
                Sealed::Enough { left } => drop(seen.changed.insert(view, left)),
                Sealed::Overtaken => {
                    // It is looked at from the beginning, if it is still there.
                    seen.changed.remove(&view);
                    return Ok(Next::AtOnce);
                }
            }
        }
        // Each text and each vector is a change at the least.
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let most = seen.changed.values().copied().max().unwrap_or(0);
        let next = lsn + self.least.saturating_sub(most).max(self.least / 8).max(1);
        drop(seen);
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

    /// The views in which there may be enough to do.
    fn due(&self, snapshot: &Snapshot) -> Result<Vec<View>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = snapshot.generation().number();
        if seen.generation != generation {
            *seen = Seen { generation, ..Seen::default() };
        }
        let Lsn(lsn) = snapshot.lsn()?;
        let first = seen.lsn == 0;
        if !first {
            let (from, counts) = (Lsn(seen.lsn), &mut seen.changed);
            snapshot.changes_after(from, |_, change| {
                let view = change.and_then(|change| match change.kind {
                    Kind::Node => Some(View::Texts(change.namespace)),
                    Kind::Embedding => Some(View::Vectors(change.namespace, change.space)),
                    _ => None,
                });
                if let Some(view) = view {
                    *counts.entry(view).or_default() += 1;
                }
                Ok(true)
            })?;
        }
        seen.lsn = lsn.max(1);
        let mut behind = HashMap::new();
        for (namespace, kind, space, record) in views(snapshot)? {
            let view = match kind {
                ViewKind::Vectors => View::Vectors(namespace, space),
                ViewKind::Text | ViewKind::Sessions => View::Texts(namespace),
            };
            behind.insert(view, lsn.saturating_sub(record.lsn.0));
        }
        let mut all = Vec::new();
        let spaces = snapshot.spaces()?;
        for (_, namespace) in snapshot.namespaces()? {
            all.push(View::Texts(namespace));
            all.extend(spaces.iter().map(|(space, _)| View::Vectors(namespace, *space)));
        }
        // What is gone needs no count.
        seen.changed.retain(|view, _| all.contains(view));
        all.retain(|view| {
            let changed = seen.changed.get(view).copied().unwrap_or(0);
            first
                || changed >= self.least
                || behind.get(view).is_some_and(|behind| *behind >= MOST_CHANGES)
        });
        Ok(all)
    }
}
