//! Snapshots.

use std::sync::Arc;
use std::time::Instant;

use embedded_db_common::{Result, Symbol};
use heed::{RoTxn, WithoutTls};

use super::{Store, stored_symbol, stored_symbol_name};
use crate::read::ReadTxn;

/// A consistent state of the store. It pins old pages: keep it short.
pub struct Snapshot {
    pub(super) txn: Option<RoTxn<'static, WithoutTls>>,
    pub(super) store: Arc<Store>,
    pub(super) taken: Instant,
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

    fn raw(&self) -> &RoTxn<'_> {
        self.txn.as_ref().expect("only drop takes the transaction")
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
