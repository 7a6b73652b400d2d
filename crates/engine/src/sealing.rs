//! Puts the texts, messages and vectors that were written into files, in a thread that is there while there
//! are enough of them: so that opening the database reads few of them, and a process holds few texts in memory.
//!
//! Nothing depends on it: what is in no file is found as well.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use embedded_db_common::{Error, Lsn, NamespaceId, Result, SpaceId};
use embedded_db_indexing::{MOST_CHANGES, Sealed, Views};
use embedded_db_storage::{
    Kind, ReadSpaces, ReadTxn, Snapshot, SpaceRecord, Store, ViewKind, views,
};

use crate::linking::LinkWork;
use crate::worker::{Next, PAUSE, Work, Worker};

/// Seals what was written.
pub(crate) struct SealWork {
    store: Arc<Store>,
    views: Arc<Views>,
    /// Who makes graphs of what was sealed.
    linker: Arc<Worker<LinkWork>>,
    /// So many texts are worth a file.
    least: u64,
    seen: Mutex<Seen>,
    /// Every view is to be looked at.
    all: AtomicBool,
    ending: AtomicBool,
}

/// What is known of what was written.
#[derive(Default)]
struct Seen {
    /// Slots are those of this generation.
    generation: u64,
    /// Changes up to here are counted.
    lsn: u64,
    /// Changes of each view that may be in no file.
    changed: HashMap<View, u64>,
    /// Views that are looked at however little has changed; they stay until that has succeeded.
    due: HashSet<View>,
    /// Whether what a process has left that was killed was removed.
    tidy: bool,
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
    pub(crate) fn begin(self: &Arc<Self>) {
        let worker: Weak<Self> = Arc::downgrade(self);
        self.work.store.watch_commits(move || {
            if let Some(worker) = worker.upgrade() {
                worker.go_on();
            }
        });
        self.look();
    }

    /// Looks at every view: slots have other numbers, other texts are searched, or files are damaged.
    pub(crate) fn look(self: &Arc<Self>) {
        self.work.all.store(true, Ordering::Release);
        self.go_on();
    }

    /// Removes files that nobody names any more.
    pub(crate) fn tidy(self: &Arc<Self>) {
        self.work.seen().tidy = false;
        self.go_on();
    }

    /// Looks at what was written.
    fn go_on(self: &Arc<Self>) {
        // Without a thread nothing is lost, and the next commit tries again.
        if !self.work.store.read_only() && self.wake().is_err() {
            self.work.store.call_at(0);
        }
    }
}

impl Work for SealWork {
    const NAME: &'static str = "sealing";
    const LONGEST_PAUSE: Duration = PAUSE.saturating_mul(64);

    fn step(&self) -> Result<Next> {
        if !self.seen().tidy {
            self.tidy()?;
            self.seen().tidy = true;
        }
        let snapshot = self.store.read_quietly()?;
        let due = self.due(&snapshot)?;
        let spaces = snapshot.live_spaces()?;
        let Lsn(lsn) = snapshot.lsn()?;
        drop(snapshot);
        let mut failed = None;
        for view in due {
            match self.seal(view, &spaces) {
                Ok(None) => {}
                Ok(Some(left)) => {
                    let mut seen = self.seen();
                    seen.changed.insert(view, left);
                    seen.due.remove(&view);
                }
                // The others need not wait for it.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            // What was finished before it failed is named by nobody.
            self.tidy()?;
            return Err(error);
        }
        let seen = self.seen();
        if !seen.due.is_empty() {
            return Ok(Next::AtOnce);
        }
        // Each text and each vector is a change at the least.
        let most = seen.changed.values().copied().max().unwrap_or(0);
        let next = lsn.saturating_add(self.least.saturating_sub(most).max(self.least / 8).max(1));
        drop(seen);
        self.store.call_at(next);
        // A commit that came before that has called nobody.
        let Lsn(now) = self.store.read_quietly()?.lsn()?;
        let again = now >= next || self.all.load(Ordering::Acquire);
        Ok(if again { Next::AtOnce } else { Next::Nothing })
    }

    fn ends_the_wait(_error: &Error) -> bool {
        true
    }
}

impl SealWork {
    pub(crate) fn new(
        store: Arc<Store>,
        views: Arc<Views>,
        linker: Arc<Worker<LinkWork>>,
        least: u64,
    ) -> Self {
        let (seen, all, ending) = Default::default();
        Self { store, views, linker, least: least.max(1), seen, all, ending }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes files that nobody names.
    fn tidy(&self) -> Result<()> {
        let Some(_sealing) = self.store.begin_sealing() else { return Err(Error::Interrupted) };
        self.store.remove_unnamed_segments()
    }

    /// Seals what there is of a view; how many changes are left. `None` when it must be looked at again.
    fn seal(&self, view: View, spaces: &[(SpaceId, SpaceRecord)]) -> Result<Option<u64>> {
        let (going_on, least) = (|| self.going_on(), self.least);
        let Some(_sealing) = self.store.begin_sealing() else { return Err(Error::Interrupted) };
        let sealed = match view {
            View::Texts(namespace) => {
                self.views.publish(&self.store, namespace, least, &going_on)?
            }
            View::Vectors(namespace, space) => {
                let of = spaces.iter().find(|(id, _)| *id == space).map(|(_, record)| record);
                let Some(record) = of else { return Ok(Some(0)) };
                let of = (space, record);
                let sealed =
                    self.views.publish_vectors(&self.store, namespace, of, least, &going_on)?;
                // Without a thread nothing is lost, and the next file tries again.
                let _woken = self.linker.wake();
                sealed
            }
        };
        Ok(match sealed {
            Sealed::Published => Some(0),
            Sealed::Enough { left } => Some(left),
            Sealed::Overtaken => None,
        })
    }

    /// Breaks off what it is at: a file that is half written comes to nothing.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    fn going_on(&self) -> Result<()> {
        if self.ending.load(Ordering::Acquire) {
            return Err(Error::DatabaseClosed { path: self.store.name().to_owned() });
        }
        if self.store.sealing_is_waited_for() {
            return Err(Error::Interrupted);
        }
        self.store.usable()
    }

    /// The views in which there may be enough to do.
    fn due(&self, snapshot: &Snapshot) -> Result<Vec<View>> {
        let mut seen = self.seen();
        let seen = &mut *seen;
        let generation = snapshot.generation().number();
        let Lsn(lsn) = snapshot.lsn()?;
        let is_new = seen.generation != generation;
        if is_new {
            *seen = Seen { generation, lsn, tidy: seen.tidy, ..Seen::default() };
        }
        let all_of_them = self.all.swap(false, Ordering::AcqRel) || is_new;
        let counts = &mut seen.changed;
        snapshot.changes_after(Lsn(seen.lsn), |_, change| {
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
        seen.lsn = lsn;
        for (namespace, kind, space, record) in views(snapshot)? {
            if lsn.saturating_sub(record.lsn.0) >= MOST_CHANGES {
                seen.due.insert(match kind {
                    ViewKind::Vectors => View::Vectors(namespace, space),
                    ViewKind::Text | ViewKind::Sessions => View::Texts(namespace),
                });
            }
        }
        let (mut there, spaces) = (HashSet::new(), snapshot.live_spaces()?);
        for (_, namespace) in snapshot.namespaces()? {
            there.insert(View::Texts(namespace));
            there.extend(spaces.iter().map(|(space, _)| View::Vectors(namespace, *space)));
        }
        if all_of_them {
            seen.due.extend(&there);
        }
        let enough = seen.changed.iter().filter(|(_, changed)| **changed >= self.least);
        seen.due.extend(enough.map(|(view, _)| *view));
        // What was dropped needs nothing.
        seen.due.retain(|view| there.contains(view));
        seen.changed.retain(|view, _| there.contains(view));
        Ok(seen.due.iter().copied().collect())
    }
}
