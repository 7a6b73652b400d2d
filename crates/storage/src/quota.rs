//! Quotas: what a write may leave, checked in its own transaction.
//!
//! What is used is what the transaction counts by itself: the counters of each namespace, which are rows of
//! the store, and their sum. The sum is nowhere on the disk. It is that of a state, told by generation and
//! transaction, and is added up anew for a state that nobody has told; so a crash, another process or a
//! compaction cannot leave a wrong one.
//!
//! A write is refused when it leaves more of something than there was and more than there may be. So what
//! deletes is never refused, and what is gone gives its room back with the same commit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use embedded_db_common::{Amounts, Error, NamespaceId, NamespaceQuota, Quota, Resource, Result};

use crate::pages::View;
use crate::platform;
use crate::read::ReadTxn;
use crate::store::{Generation, Snapshot, Store};
use crate::tx::{GroupState, WriteTxn};

/// Between two looks at what is asked of the system.
const LOOK: Duration = Duration::from_millis(100);

/// A state of the store: its generation and transaction.
type Of = (u64, u64);

/// What a store keeps for its quotas.
pub(crate) struct Quotas {
    totals: Mutex<Option<(Of, Amounts)>>,
    /// Quotas of namespaces by their numbers, which are never given twice.
    named: Mutex<HashMap<NamespaceId, NamespaceQuota>>,
    /// Bytes of memory that views take, as far as that was told.
    memory: AtomicU64,
    /// Bytes that the disk had left when it was asked.
    free: Mutex<Option<(Instant, u64)>>,
    rejections: [AtomicU64; Resource::ALL.len()],
}

impl Default for Quotas {
    fn default() -> Self {
        let (totals, named, free) = Default::default();
        Self { totals, named, memory: AtomicU64::new(0), free, rejections: Default::default() }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the namespaces of a state hold together, as a group changes it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Of the state before the group, once it was asked for.
    base: Option<Amounts>,
}

impl Quotas {
    /// A commit has left this state in the place of the one before.
    pub(crate) fn committed(&self, generation: &Generation, after: &View, state: &GroupState) {
        let of = (generation.number(), after.transaction());
        let now = state.totals.base.map(|base| state.changed(base));
        *locked(&self.totals) = now.map(|now| (of, now));
    }

    /// What the state before the group held.
    fn base(&self, txn: &WriteTxn<'_>, of: Of) -> Result<Amounts> {
        if let Some(base) = txn.state().totals.base {
            return Ok(base);
        }
        if let Some((known, totals)) = *locked(&self.totals)
            && known == of
        {
            return Ok(totals);
        }
        let mut now = Amounts::default();
        for (_, namespace) in txn.namespaces()? {
            now = now.changed(txn.namespace_counters(namespace)?.amounts(), Amounts::default());
        }
        // Without what the group itself has changed.
        let changed = txn.state().changed(Amounts::default());
        Ok(now.changed(Amounts::default(), changed))
    }

    fn free(&self, store: &Store) -> u64 {
        let mut free = locked(&self.free);
        match *free {
            Some((at, bytes)) if at.elapsed() < LOOK => bytes,
            _ => {
                // A system that does not tell has room.
                let bytes = platform::free_space(store.path()).unwrap_or(u64::MAX);
                *free = Some((Instant::now(), bytes));
                bytes
            }
        }
    }
}

impl Store {
    /// Refuses what a job has written if it passes a quota. `earlier` is what the jobs before it left.
    pub(crate) fn within_quota(&self, earlier: &GroupState, txn: &mut WriteTxn<'_>) -> Result<()> {
        let quota = &self.options.quota;
        if *quota == Quota::default() {
            return Ok(());
        }
        let base = self.quotas.base(txn, txn.of())?;
        txn.state_mut().totals.base = Some(base);
        let (was, now) = (earlier.changed(base), txn.state().changed(base));
        if let Some((resource, used, limit)) = quota.whole.passed(was, now) {
            return Err(self.reject(resource, None, used, limit));
        }
        if now.bytes > was.bytes {
            self.has_room(quota)?;
        }
        if quota.each == NamespaceQuota::default() && quota.named.is_empty() {
            return Ok(());
        }
        for (namespace, now, was) in txn.state().namespaces_since(earlier) {
            let passed = self.quota_of(namespace, txn)?.passed(was, now);
            if let Some((resource, used, limit)) = passed {
                let name = self.name_of(namespace, txn)?;
                return Err(self.reject(resource, Some(name), used, limit));
            }
        }
        Ok(())
    }

    fn has_room(&self, quota: &Quota) -> Result<()> {
        let memory = self.quotas.memory.load(Relaxed);
        if let Some(limit) = quota.max_memory.filter(|limit| memory > *limit) {
            return Err(self.reject(Resource::Memory, None, memory, limit));
        }
        if quota.disk_reserve > 0 {
            let free = self.quotas.free(self);
            if free < quota.disk_reserve {
                return Err(self.reject(Resource::Disk, None, free, quota.disk_reserve));
            }
        }
        Ok(())
    }

    fn reject(
        &self,
        resource: Resource,
        namespace: Option<String>,
        used: u64,
        limit: u64,
    ) -> Error {
        if let Some(count) = self.quotas.rejections.get(resource as usize) {
            count.fetch_add(1, Relaxed);
        }
        Error::QuotaExceeded { resource, namespace, used, limit }
    }

    fn quota_of(&self, namespace: NamespaceId, txn: &WriteTxn<'_>) -> Result<NamespaceQuota> {
        let quota = &self.options.quota;
        if quota.named.is_empty() {
            return Ok(quota.each);
        }
        if let Some(known) = locked(&self.quotas.named).get(&namespace) {
            return Ok(*known);
        }
        let name = self.name_of(namespace, txn)?;
        let found = quota.named.get(&name).copied().unwrap_or(quota.each);
        locked(&self.quotas.named).insert(namespace, found);
        Ok(found)
    }

    fn name_of(&self, namespace: NamespaceId, txn: &WriteTxn<'_>) -> Result<String> {
        let all = txn.namespaces()?;
        let found = all.into_iter().find(|(_, id)| *id == namespace);
        Ok(found.map(|(name, _)| name).unwrap_or_default())
    }

    /// Views take so many bytes of memory now.
    pub fn views_take(&self, bytes: u64) {
        self.quotas.memory.store(bytes, Relaxed);
    }

    /// What was refused since the store was opened, for want of what.
    pub fn quota_rejections(&self) -> Vec<(Resource, u64)> {
        let counts = self.quotas.rejections.iter().map(|count| count.load(Relaxed));
        Resource::ALL.into_iter().zip(counts).collect()
    }

    /// The sum that quotas go by, if the newest state's is known: for a verification of it.
    pub fn known_totals(&self, snapshot: &Snapshot) -> Option<Amounts> {
        let of = (snapshot.generation().number(), snapshot.view().transaction());
        locked(&self.quotas.totals).filter(|(known, _)| *known == of).map(|(_, totals)| totals)
    }
}
