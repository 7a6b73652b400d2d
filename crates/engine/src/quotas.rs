//! Quotas from the handle's point of view: how much of which is used.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use embedded_db_common::{Amounts, NamespaceQuota, Resource, Result};
use embedded_db_storage::{ReadTxn, Snapshot};

use crate::database::Database;
use crate::engine::Engine;

/// Between two looks at what views take.
const LOOK: Duration = Duration::from_millis(100);

/// How much of something that has a quota is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    /// What.
    pub resource: Resource,
    /// How much there is; of the disk, what it has left.
    pub used: u64,
    /// How much there may be; of the disk, what is to stay free. `None` where nothing is limited.
    pub limit: Option<u64>,
    /// Writes that were refused for it since the database was opened.
    pub rejections: u64,
}

impl QuotaUse {
    /// Which part of what may be used is, where that says anything.
    pub fn part(&self) -> Option<f64> {
        let limit = self.limit.filter(|_| self.resource != Resource::Disk)?;
        Some(if limit == 0 { 1.0 } else { self.used as f64 / limit as f64 })
    }
}

/// When views were last asked how much they take.
pub(crate) struct MemoryLook {
    begun: Instant,
    /// Milliseconds after that.
    looked: AtomicU64,
}

impl Default for MemoryLook {
    fn default() -> Self {
        Self { begun: Instant::now(), looked: AtomicU64::new(0) }
    }
}

impl Engine {
    /// Tells the store what views take, some times a second while there is a quota of it. Nobody waits for it.
    pub(crate) fn look_at_memory(&self) {
        let look = &self.memory_look;
        let now = look.begun.elapsed().as_millis() as u64;
        let before = look.looked.load(Relaxed);
        let is_due = now >= before + LOOK.as_millis() as u64 || before == 0;
        if is_due
            && look.looked.compare_exchange(before, now.max(1), Relaxed, Relaxed).is_ok()
            && let Some(bytes) = self.views.memory_bytes_now()
        {
            self.store.views_take(bytes as u64);
        }
    }
}

impl Database {
    /// How much is used of what may have a quota, in the whole database.
    pub fn quota_use(&self) -> Result<Vec<QuotaUse>> {
        let engine = self.engine()?;
        let snapshot = engine.store.read()?;
        let totals = totals(&snapshot)?;
        let quota = &engine.options.quota;
        let mut out = Vec::with_capacity(Resource::ALL.len());
        for (resource, rejections) in engine.store.quota_rejections() {
            let counted = totals.each().into_iter().zip(quota.whole.limits());
            let counted = counted.into_iter().find(|((of, _), _)| *of == resource);
            let (used, limit) = match (counted, resource) {
                (Some(((_, used), limit)), _) => (used, limit),
                (None, Resource::Memory) => (engine.views.memory_bytes() as u64, quota.max_memory),
                (None, _) => {
                    let Some(free) = engine.store.occupied()?.free else { continue };
                    (free, Some(quota.disk_reserve).filter(|reserve| *reserve > 0))
                }
            };
            out.push(QuotaUse { resource, used, limit, rejections });
        }
        Ok(out)
    }

    /// The quota of this namespace.
    pub fn namespace_quota(&self) -> Result<NamespaceQuota> {
        let engine = self.engine()?;
        let quota = &engine.options.quota;
        Ok(quota.named.get(self.namespace_name()).copied().unwrap_or(quota.each))
    }
}

/// What all namespaces hold together.
pub(crate) fn totals(snapshot: &Snapshot) -> Result<Amounts> {
    let mut totals = Amounts::default();
    for (_, namespace) in snapshot.namespaces()? {
        let held = snapshot.namespace_counters(namespace)?.amounts();
        totals = totals.changed(held, Amounts::default());
    }
    Ok(totals)
}
