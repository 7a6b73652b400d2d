//! Snapshots.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use embedded_db_common::{NamespaceId, Result, Symbol};
use heed::{RoTxn, WithoutTls};

use super::{Generation, Store, stored_symbol, stored_symbol_name};
use crate::format::Current;
use crate::hidden::Hidden;
use crate::keys::{self, Table};
use crate::pages::View;
use crate::read::ReadTxn;
use crate::rows::Rows;

/// A consistent state of the store. It pins old pages: keep it short.
pub struct Snapshot {
    /// Keeps the pages of the state from being used again.
    pub(super) txn: Option<RoTxn<'static, WithoutTls>>,
    pub(super) view: Arc<View>,
    pub(super) generation: Arc<Generation>,
    pub(super) store: Arc<Store>,
    pub(super) taken: Instant,
    pub(super) hidden: Option<(NamespaceId, Arc<Hidden>)>,
}

/// A state of a store: which commit it is of which generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct State {
    generation: u64,
    pub(crate) transaction: usize,
}

/// What a snapshot sees: its state, and what is hidden of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    state: State,
    hidden: Option<(NamespaceId, usize)>,
}

/// When a snapshot was taken that is going to be held, and how long the file was.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub(super) at: Instant,
    pub(super) generation: u64,
    pub(super) length: u64,
}

impl Taken {
    /// When it was.
    pub fn at(&self) -> Instant {
        self.at
    }
}

impl Snapshot {
    /// What it costs to hold it is counted from now on.
    pub fn taken(&self) -> Result<Taken> {
        let (generation, length) = (self.generation.number(), self.generation.data_file.length()?);
        Ok(Taken { at: Instant::now(), generation, length })
    }

    /// Fails once the snapshot is older than allowed.
    pub fn check_age(&self) -> Result<()> {
        self.store.check_age(self.taken)
    }

    /// Which state it sees. Every commit makes a new one, also those that have no LSN: of names,
    /// namespaces and indexes.
    pub fn state(&self) -> State {
        State { generation: self.generation.number(), transaction: self.transaction() }
    }

    /// Whether nothing was committed since an earlier state that a read of a namespace sees. What was
    /// committed to others does not count, unless another process has committed it.
    pub fn is_unchanged_since(&self, earlier: State, namespace: NamespaceId) -> bool {
        let own = self.state();
        own == earlier
            || !self.store.read_only()
                && own.generation == earlier.generation
                && own.transaction > earlier.transaction
                && self.store.writer.scopes.unchanged(
                    own.generation,
                    namespace,
                    earlier.transaction,
                )
    }

    fn transaction(&self) -> usize {
        self.txn.as_ref().expect("only drop takes the transaction").id()
    }

    /// The pages that it reads.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Whether another generation has taken the place of its own. Only another process does that unseen,
    /// and says in a commit before that it is going to.
    pub(super) fn is_replaced(&self) -> Result<bool> {
        let (transaction, in_use) = (self.transaction(), &self.generation.in_use);
        if !self.store.read_only() || in_use.load(Ordering::Relaxed) == transaction {
            return Ok(false);
        }
        if self.get(Table::Meta, &keys::successor())?.is_some() {
            let current = Current::read(self.store.path())?;
            return Ok(current.generation() != self.generation.number());
        }
        in_use.store(transaction, Ordering::Relaxed);
        Ok(false)
    }

    /// What it sees. Two snapshots of the same sight give the same answers, as long as one is there.
    pub fn sight(&self) -> Sight {
        let hidden = self.hidden.as_ref();
        let hidden = hidden.map(|(namespace, hidden)| (*namespace, Arc::as_ptr(hidden).addr()));
        Sight { state: self.state(), hidden }
    }

    /// Whether a node of any namespace will expire, or has.
    pub fn has_expiries(&self) -> Result<bool> {
        let (transaction, lasting) = (self.transaction(), &self.generation.lasting);
        if lasting.load(Ordering::Relaxed) == transaction {
            return Ok(false);
        }
        let empty = self.view.rows(Table::Expiry)? == 0;
        if empty {
            lasting.store(transaction, Ordering::Relaxed);
        }
        Ok(!empty)
    }

    /// The time now, for what has expired: not before the state was written.
    pub fn instant(&self) -> Result<i64> {
        // No time is before the last one that was given.
        let (timed, transaction) = (&self.generation.timed, self.transaction());
        if timed.load(Ordering::Acquire) >= transaction {
            return Ok(self.store.time.now(i64::MIN));
        }
        let at = self.store.time.now(self.counters()?.time);
        timed.fetch_max(transaction, Ordering::AcqRel);
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
        self.generation.gate.leave();
    }
}

impl ReadTxn for Snapshot {
    fn store(&self) -> &Store {
        &self.store
    }

    fn generation(&self) -> &Generation {
        &self.generation
    }

    fn rows(&self) -> Rows<'_> {
        Rows::committed(&self.view)
    }

    fn hidden(&self, namespace: NamespaceId) -> Option<&Hidden> {
        let (of, hidden) = self.hidden.as_ref()?;
        (*of == namespace).then_some(hidden)
    }

    fn symbol(&self, name: &str) -> Result<Option<Symbol>> {
        let generation = self.generation.number();
        if let Some(symbol) = self.store.symbols.number(generation, name) {
            return Ok(Some(symbol));
        }
        let found = stored_symbol(self, name)?;
        if let Some(symbol) = found {
            self.store.symbols.insert(generation, symbol, &name.into());
        }
        Ok(found)
    }

    fn symbol_name(&self, symbol: Symbol) -> Result<Arc<str>> {
        if let Some(name) = self.store.symbols.name(symbol) {
            return Ok(name);
        }
        let name = stored_symbol_name(self, symbol)?;
        self.store.symbols.insert(self.generation.number(), symbol, &name);
        Ok(name)
    }
}
