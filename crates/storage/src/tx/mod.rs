//! Writing: the primitives from which every change is made. Each keeps its object, ids, neighbours,
//! counters and the change table in step.

mod edges;
mod embeddings;
mod index;
mod names;
mod nodes;
pub(crate) mod retention;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use embedded_db_common::record::{Damaged, Read, seal};
use embedded_db_common::{Amounts, Durability, Error, Lsn, NamespaceId, Result, Symbol};
use heed::{MdbError, PutFlags, RwTxn};

use crate::keys::{self, Key, Table};
use crate::log::Changes;
use crate::pages::{View, Ways};
use crate::quota::Totals;
use crate::read::ReadTxn;
use crate::records::{ChangeRecord, DatabaseCounters, NamespaceCounters};
use crate::rows::Rows;
use crate::scopes::Written;
use crate::store::{Generation, Store, stored_symbol, stored_symbol_name};
use crate::touched::Touched;

/// Counters and names as the jobs of a group have left them so far.
#[derive(Clone)]
pub(crate) struct GroupState {
    counters: DatabaseCounters,
    /// The last change before the group, and when it was committed.
    before: (Lsn, i64),
    /// With what each held before the group.
    namespaces: BTreeMap<NamespaceId, (NamespaceCounters, Amounts)>,
    /// What those held before the group that it has dropped.
    dropped: Amounts,
    pub(crate) totals: Totals,
    new_symbols: Vec<(Symbol, Arc<str>)>,
    now: i64,
    /// The earliest time at which a node is to go that the jobs have written.
    expires: i64,
    pub(crate) written: Written,
    pub(crate) dirty: bool,
}

impl GroupState {
    /// As the last commit left them.
    pub(crate) fn load(store: &Store, base: &View) -> Result<Self> {
        let key = keys::counters(NamespaceId::SYSTEM);
        let counters = match base.get(Table::Meta, &key)? {
            Some(sealed) => embedded_db_common::record::open(Table::Meta as u8, &key, sealed)
                .and_then(DatabaseCounters::parse)
                .map_err(|damaged| store.corruption(Table::Meta, &key, damaged))?,
            None => DatabaseCounters::default(),
        };
        let now = store.time.now(counters.time);
        let (namespaces, new_symbols, dropped, totals, written) = Default::default();
        let expires = i64::MAX;
        let before = (Lsn(counters.lsn), counters.time);
        let dirty = false;
        Ok(Self {
            counters,
            before,
            namespaces,
            dropped,
            totals,
            new_symbols,
            now,
            expires,
            written,
            dirty,
        })
    }

    /// For the group that follows in the same transaction.
    pub(crate) fn followed(&self, store: &Store) -> Self {
        let mut next = self.clone();
        next.before = (Lsn(self.counters.lsn), self.now);
        next.now = store.time.now(self.now);
        next.dirty = false;
        next
    }

    /// The time of the group.
    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// The last LSN that was taken.
    pub(crate) fn lsn(&self) -> u64 {
        self.counters.lsn
    }

    /// The rows in which it is kept.
    pub(crate) fn rows(&mut self) -> Vec<(Key, Vec<u8>)> {
        self.counters.time = self.now;
        const USUAL: usize = 96;
        let mut rows = Vec::with_capacity(self.namespaces.len().saturating_add(1));
        let mut put = |key: Key, payload: Vec<u8>| rows.push((key, payload));
        // One that was dropped may have been looked at: nothing is counted in it, and no row is left of it.
        let counted = |of: &&NamespaceCounters| **of != NamespaceCounters::default();
        let namespaces =
            self.namespaces.iter().map(|(namespace, (counters, _))| (namespace, counters));
        for (namespace, counters) in namespaces.filter(|(_, of)| counted(of)) {
            let mut payload = Vec::with_capacity(USUAL);
            counters.encode(&mut payload);
            put(keys::counters(*namespace), payload);
        }
        let mut payload = Vec::with_capacity(USUAL);
        self.counters.encode(&mut payload);
        put(keys::counters(NamespaceId::SYSTEM), payload);
        rows
    }

    /// A sum over all namespaces before the group, as it is now.
    pub(crate) fn changed(&self, base: Amounts) -> Amounts {
        let base = base.changed(Amounts::default(), self.dropped);
        let held = self.namespaces.values();
        held.fold(base, |sum, (now, before)| sum.changed(now.amounts(), *before))
    }

    /// What namespaces hold now, and held when the group was as it is in `earlier`.
    pub(crate) fn namespaces_since(
        &self,
        earlier: &Self,
    ) -> impl Iterator<Item = (NamespaceId, Amounts, Amounts)> {
        self.namespaces.iter().map(|(namespace, (now, before))| {
            let was = earlier.namespaces.get(namespace);
            (*namespace, now.amounts(), was.map_or(*before, |(was, _)| was.amounts()))
        })
    }

    /// A namespace goes with all that it holds.
    fn drop_namespace(&mut self, namespace: NamespaceId, held: Amounts) {
        let before = self.namespaces.remove(&namespace).map_or(held, |(_, before)| before);
        self.dropped = self.dropped.changed(before, Amounts::default());
    }

    pub(crate) fn publish_symbols(&self, store: &Store, generation: &Generation) {
        for (symbol, name) in &self.new_symbols {
            store.symbols.insert(generation.number(), *symbol, name);
        }
    }

    pub(crate) fn publish_expiry(&self, store: &Store) {
        store.expires(self.expires);
    }
}

/// A write transaction: reads see what it has written.
pub struct WriteTxn<'e> {
    store: &'e Store,
    generation: &'e Generation,
    /// The state before the transaction.
    base: &'e View,
    ways: Ways<'e>,
    txn: RwTxn<'e>,
    state: GroupState,
    map_full: bool,
    hurry: Option<Hurry>,
    late: bool,
    /// What was written, while somebody wants to know.
    touched: Option<Vec<Touched>>,
    /// The same for the log, if there may be one.
    changes: Option<Changes>,
}

/// What keeps a job from going on for long where others may wait for its end.
pub(crate) struct Hurry {
    pub(crate) until: Instant,
    /// How often readers of other processes had told that they wait.
    pub(crate) wants: u64,
}

/// What a job leaves.
pub(crate) struct Kept {
    /// Counters and names.
    pub(crate) state: GroupState,
    pub(crate) touched: Vec<Touched>,
    pub(crate) changes: Option<Changes>,
}

impl<'e> WriteTxn<'e> {
    pub(crate) fn new(
        store: &'e Store,
        generation: &'e Generation,
        base: &'e View,
        txn: RwTxn<'e>,
        state: GroupState,
    ) -> Self {
        let touched = store.writer.touched.is_wanted().then(Vec::new);
        let changes = (store.options.durability != Durability::Memory).then(Changes::new);
        let ways = Ways::of(base);
        let (map_full, hurry, late) = Default::default();
        Self { store, generation, base, ways, txn, state, map_full, hurry, late, touched, changes }
    }

    /// Writes fail from a time on when somebody waits, who is told so by [`WriteTxn::is_late`].
    pub(crate) fn hurry(&mut self, hurry: Option<Hurry>) {
        self.hurry = hurry;
    }

    /// Whether others waited too long for the end of it.
    pub(crate) fn is_late(&self) -> bool {
        self.late
    }

    fn in_time(&mut self) -> Result<()> {
        let waits = |hurry: &Hurry| {
            self.store.writer.has_waiting_reads()
                || self.generation.page_file.wanted() != hurry.wants
        };
        self.late |= self.hurry.as_ref().is_some_and(|it| waits(it) && Instant::now() >= it.until);
        if self.late { Err(Error::Internal("others wait for what is owed".into())) } else { Ok(()) }
    }

    pub(crate) fn state(&self) -> &GroupState {
        &self.state
    }

    pub(crate) fn state_mut(&mut self) -> &mut GroupState {
        &mut self.state
    }

    /// The state before the group: its generation and transaction.
    pub(crate) fn of(&self) -> (u64, u64) {
        (self.generation.number(), self.base.transaction())
    }

    pub(crate) fn map_full(&self) -> bool {
        self.map_full
    }

    /// Ends it for the group to go on.
    pub(crate) fn end(self) -> (RwTxn<'e>, Kept) {
        let touched = self.touched.unwrap_or_default();
        (self.txn, Kept { state: self.state, touched, changes: self.changes })
    }

    fn touch(&mut self, touched: impl FnOnce() -> Touched) {
        if let Some(all) = &mut self.touched {
            all.push(touched());
        }
    }

    /// The time of this write, microseconds UTC; never before that of an earlier one.
    pub fn now(&self) -> i64 {
        self.state.now
    }

    /// What was recorded at another place at `time` comes before all that is written from here on.
    pub fn not_before(&mut self, time: i64) {
        self.state.now = self.state.now.max(time);
    }

    /// A node is to go then.
    fn expires(&mut self, at: i64) {
        self.state.expires = self.state.expires.min(at);
    }

    /// Writes a row anew, with its checksum, as a file may have it that nobody of ours has written: for
    /// tests. The table is told by its place, the row by its own; nothing is done where there is none.
    #[doc(hidden)]
    pub fn replace_row(
        &mut self,
        table: u8,
        nth: usize,
        change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<()> {
        let Some(table) = Table::ALL.get(usize::from(table)).copied() else { return Ok(()) };
        let row = self.prefix(table, &[])?.nth(nth).transpose()?;
        let Some((mut key, mut payload)) = row.map(|(key, row)| (key.to_vec(), row.to_vec()))
        else {
            return Ok(());
        };
        self.delete(table, &key)?;
        change(&mut key, &mut payload);
        if (1..=keys::MAX_KEY).contains(&key.len()) {
            self.put(table, &key, payload)?;
        }
        Ok(())
    }

    fn failed(&mut self, error: heed::Error) -> Error {
        if matches!(error, heed::Error::Mdb(MdbError::MapFull)) {
            self.map_full = true;
        }
        self.generation.lmdb_error(error)
    }

    pub(crate) fn put(&mut self, table: Table, key: &[u8], mut payload: Vec<u8>) -> Result<()> {
        let behind_all = self.ways.leads_behind_all(table, key)?;
        seal(table as u8, key, &mut payload);
        if let Some(changes) = &mut self.changes {
            let before = if Changes::compares(table, &payload) {
                let before = self.generation.table(table).get(&self.txn, key);
                before.map_err(|error| self.generation.lmdb_error(error))?
            } else {
                None
            };
            changes.put(table, key, &payload, before);
        }
        self.store(table, key, &payload, behind_all, PutFlags::empty()).map(drop)
    }

    /// Puts a row where there is none, and says whether there was none. Slots are not packed in it.
    fn put_new(&mut self, table: Table, key: &[u8], mut payload: Vec<u8>) -> Result<bool> {
        let behind_all = self.ways.leads_behind_all(table, key)?;
        seal(table as u8, key, &mut payload);
        let stored = self.store(table, key, &payload, behind_all, PutFlags::NO_OVERWRITE)?;
        if let Some(changes) = self.changes.as_mut().filter(|_| stored) {
            changes.put(table, key, &payload, None);
        }
        Ok(stored)
    }

    /// Gives a sealed row to LMDB; false if it may not replace the one that is there. What comes behind
    /// all others is put into full pages, and its place is not looked for.
    fn store(
        &mut self,
        table: Table,
        key: &[u8],
        sealed: &[u8],
        mut behind_all: bool,
        flags: PutFlags,
    ) -> Result<bool> {
        self.in_time()?;
        let stored = self.generation.table(table);
        loop {
            let how = if behind_all { flags | PutFlags::APPEND } else { flags };
            match stored.put_with_flags(&mut self.txn, how, key, sealed) {
                // This transaction has put one there, or behind it.
                Err(heed::Error::Mdb(MdbError::KeyExist)) if behind_all => behind_all = false,
                Err(heed::Error::Mdb(MdbError::KeyExist)) => return Ok(false),
                put => {
                    self.state.dirty = true;
                    self.state.written.add(table, key);
                    self.touch(|| Touched::row(table, key));
                    return put.map(|()| true).map_err(|error| self.failed(error));
                }
            }
        }
    }

    /// Whether there was something to delete.
    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool> {
        if self.rows().get(table, key)?.is_none() {
            return Ok(false);
        }
        self.in_time()?;
        self.base.check_removal(table, key)?;
        self.state.dirty = true;
        self.state.written.add(table, key);
        self.touch(|| Touched::row(table, key));
        if let Some(changes) = &mut self.changes {
            changes.delete(table, key);
        }
        let deleted = self.generation.table(table).delete(&mut self.txn, key);
        deleted.map_err(|error| self.failed(error))
    }

    /// Removes the rows from a key up to another.
    fn delete_between(&mut self, table: Table, from: &[u8], end: &[u8]) -> Result<()> {
        self.in_time()?;
        self.base.check_removals(table, from, end)?;
        self.state.dirty = true;
        self.state.written.add(table, from);
        if let Some(changes) = &mut self.changes {
            changes.delete_between(table, from, end);
        }
        let range = (Bound::Included(from), Bound::Excluded(end));
        let deleted = self.generation.table(table).delete_range(&mut self.txn, &range);
        deleted.map(drop).map_err(|error| self.failed(error))
    }

    pub(crate) fn namespace_state(
        &mut self,
        namespace: NamespaceId,
    ) -> Result<&mut NamespaceCounters> {
        if !self.state.namespaces.contains_key(&namespace) {
            let counters = self.namespace_counters(namespace)?;
            self.state.namespaces.insert(namespace, (counters, counters.amounts()));
        }
        Ok(&mut self.state.namespaces.entry(namespace).or_default().0)
    }

    /// Records a change at the LSN just taken.
    fn change(&mut self, change: ChangeRecord<'_>) -> Result<()> {
        let mut payload = Vec::with_capacity(change.id.len().saturating_add(64));
        change.encode(&mut payload);
        let key = keys::change(Lsn(self.state.counters.lsn));
        self.put(Table::Changes, &key, payload)
    }

    /// Changes what is counted of a namespace.
    fn count(
        &mut self,
        namespace: NamespaceId,
        change: impl FnOnce(&mut NamespaceCounters) -> Read<()>,
    ) -> Result<()> {
        let changed = change(self.namespace_state(namespace)?);
        self.located(Table::Meta, &keys::counters(namespace), changed)
    }

    /// Stores a record whose bytes count, in the place of one of so many bytes.
    fn put_record(
        &mut self,
        namespace: NamespaceId,
        table: Table,
        key: &[u8],
        payload: Vec<u8>,
        before: usize,
    ) -> Result<()> {
        let (before, after) = (before as u64, payload.len() as u64);
        self.put(table, key, payload)?;
        self.count(namespace, |counters| counted(&mut counters.bytes, after, before))
    }

    /// How many bytes a record has; 0 if there is none.
    fn record_length(&self, table: Table, key: &[u8]) -> Result<usize> {
        Ok(self.get(table, key)?.map_or(0, <[u8]>::len))
    }

    /// Removes a record whose bytes count.
    fn delete_record(&mut self, namespace: NamespaceId, table: Table, key: &[u8]) -> Result<()> {
        let before = self.record_length(table, key)? as u64;
        self.delete(table, key)?;
        self.count(namespace, |counters| counted(&mut counters.bytes, 0, before))
    }

    fn next_lsn(&mut self) -> Result<Lsn> {
        let counted = counted(&mut self.state.counters.lsn, 1, 0);
        self.located(Table::Meta, &keys::counters(NamespaceId::SYSTEM), counted)?;
        Ok(Lsn(self.state.counters.lsn))
    }
}

/// A counter with so many more, and then so many fewer.
fn counted(counter: &mut u64, more: u64, fewer: u64) -> Read<()> {
    let changed = counter.checked_add(more).and_then(|sum| sum.checked_sub(fewer));
    *counter = changed.ok_or(Damaged("has counted something else than there is"))?;
    Ok(())
}

/// The next of the numbers that are given once.
fn given(last: &mut u32, what: &str) -> Result<u32> {
    *last = last.checked_add(1).ok_or_else(|| {
        Error::InvalidInput(format!(
            "the database has given out all its 4,294,967,295 numbers of {what}; export it into a \
             new one"
        ))
    })?;
    Ok(*last)
}

fn slots_used_up() -> Error {
    Error::InvalidInput(
        "the namespace has given out all its 4,294,967,295 slots; use another namespace".into(),
    )
}

impl ReadTxn for WriteTxn<'_> {
    fn store(&self) -> &Store {
        self.store
    }

    fn generation(&self) -> &Generation {
        self.generation
    }

    fn rows(&self) -> Rows<'_> {
        Rows::writing(self.generation, &self.txn, self.base, &self.ways)
    }

    fn symbol(&self, name: &str) -> Result<Option<Symbol>> {
        if let Some(symbol) = self.store.symbols.number(self.generation.number(), name) {
            return Ok(Some(symbol));
        }
        // What this transaction made must not reach the shared cache before the commit.
        stored_symbol(self, name)
    }

    fn symbol_name(&self, symbol: Symbol) -> Result<Arc<str>> {
        match self.store.symbols.name(symbol) {
            Some(name) => Ok(name),
            None => stored_symbol_name(self, symbol),
        }
    }

    fn counters(&self) -> Result<DatabaseCounters> {
        Ok(self.state.counters)
    }

    fn namespace_counters(&self, namespace: NamespaceId) -> Result<NamespaceCounters> {
        if let Some((counters, _)) = self.state.namespaces.get(&namespace) {
            return Ok(*counters);
        }
        let key = keys::counters(namespace);
        match self.get(Table::Meta, &key)? {
            Some(payload) => self.located(Table::Meta, &key, NamespaceCounters::parse(payload)),
            None => Ok(NamespaceCounters::default()),
        }
    }
}
