//! Snapshots.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use embedded_db_common::{NamespaceId, Result, Symbol};
use heed::{RoTxn, WithoutTls};

use super::{Store, stored_symbol, stored_symbol_name};
use crate::hidden::Hidden;
use crate::keys::Table;
use crate::pages::View;
use crate::read::ReadTxn;
use crate::rows::Rows;

/// A consistent state of the store. It pins old pages: keep it short.
pub struct Snapshot {
    /// Keeps the pages of the state from being used again.
    pub(super) txn: Option<RoTxn<'static, WithoutTls>>,
    pub(super) view: Arc<View>,
    pub(super) store: Arc<Store>,
    pub(super) taken: Instant,
    pub(super) hidden: Option<(NamespaceId, Arc<Hidden>)>,
}

/// What a snapshot sees: its state, and what is hidden of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    state: usize,
    hidden: Option<(NamespaceId, usize)>,
}

impl Snapshot {
    /// Fails once the snapshot is older than allowed.
    pub fn check_age(&self) -> Result<()> {
        self.store.check_age(self.taken)
    }

    /// Which state it sees. Every commit makes a new one, also those that have no LSN: of names,
    /// namespaces and indexes.
    pub fn state(&self) -> usize {
        self.txn.as_ref().expect("only drop takes the transaction").id()
    }

    /// What it sees. Two snapshots of the same sight give the same answers, as long as one is there.
    pub fn sight(&self) -> Sight {
        let hidden = self.hidden.as_ref();
        let hidden = hidden.map(|(namespace, hidden)| (*namespace, Arc::as_ptr(hidden).addr()));
        Sight { state: self.state(), hidden }
    }

    /// Whether a node of any namespace will expire, or has.
    pub fn has_expiries(&self) -> Result<bool> {
        let lasting = &self.store.lasting;
        if lasting.load(Ordering::Relaxed) == self.state() {
            return Ok(false);
        }
        let empty = self.view.rows(Table::Expiry)? == 0;
        if empty {
            lasting.store(self.state(), Ordering::Relaxed);
        }
        Ok(!empty)
    }

    /// The time now, for what has expired: not before the state was written.
    pub fn instant(&self) -> Result<i64> {
        // No time is before the last one that was given.
        let (timed, state) = (&self.store.timed, self.state());
        if timed.load(Ordering::Acquire) >= state {
            return Ok(self.store.time.now(i64::MIN));
        }
        let at = self.store.time.now(self.counters()?.time);
        timed.fetch_max(state, Ordering::AcqRel);
        Ok(at)
    }

    /// From now on reads of a namespace do not see these nodes.
    pub fn hide(&mut self, namespace: NamespaceId, hidden: Arc<Hidden>) {
        self.hidden = Some((namespace, hidden));
    }

    /// The store it was taken of.
    pub fn shared_store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let txn = self.txn.take();
        if self.store.forked() {
            // The reader slot belongs to the parent.
            std::mem::forget(txn);
            return;
        }
        drop(txn);
        self.store.gate.leave();
    }
}

impl ReadTxn for Snapshot {
    fn store(&self) -> &Store {
        &self.store
    }

    fn rows(&self) -> Rows<'_> {
        Rows::committed(&self.view)
    }

    fn hidden(&self, namespace: NamespaceId) -> Option<&Hidden> {
        let (of, hidden) = self.hidden.as_ref()?;
        (*of == namespace).then_some(hidden)
    }

    fn symbol(&self, name: &str) -> Result<Option<Symbol>> {
        if let Some(symbol) = self.store.symbols.number(name) {
            return Ok(Some(symbol));
        }
        let found = stored_symbol(self, name)?;
        if let Some(symbol) = found {
            self.store.symbols.insert(symbol, &name.into());
        }
        Ok(found)
    }

    fn symbol_name(&self, symbol: Symbol) -> Result<Arc<str>> {
        if let Some(name) = self.store.symbols.name(symbol) {
            return Ok(name);
        }
        let name = stored_symbol_name(self, symbol)?;
        self.store.symbols.insert(symbol, &name);
        Ok(name)
    }
}
