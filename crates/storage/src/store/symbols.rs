//! Names and their numbers: cached, and as they are stored.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use embedded_db_common::record::{Damaged, Read};
use embedded_db_common::{Error, MAX_NAME, NamespaceId, Result, Symbol};

use super::Store;
use crate::keys::{Key, Table};
use crate::read::ReadTxn;

/// Committed names, both ways. Records hold their numbers; what was read from a store can still be
/// named after the store was closed, as far as the names were needed before.
pub struct Symbols {
    maps: RwLock<SymbolMaps>,
    store: Weak<Store>,
    path: PathBuf,
}

#[derive(Default)]
struct SymbolMaps {
    /// A name that nothing uses may be missing in the next generation, and get another number there.
    generation: u64,
    by_name: HashMap<Arc<str>, Symbol>,
    /// No number is ever given to another name.
    by_number: Vec<Option<Arc<str>>>,
    /// The same of numbers so high that a file with few names would take much memory.
    by_high_number: HashMap<Symbol, Arc<str>>,
    /// Numbers that names have had, which objects that were read then still hold.
    former: HashMap<Arc<str>, Vec<Symbol>>,
}

impl Symbols {
    pub(super) fn new(store: Weak<Store>, path: PathBuf, generation: u64) -> Self {
        let maps = RwLock::new(SymbolMaps { generation, ..SymbolMaps::default() });
        Self { maps, store, path }
    }

    /// The name behind a symbol.
    pub fn name_of(&self, symbol: Symbol) -> Result<Arc<str>> {
        match self.name(symbol) {
            Some(name) => Ok(name),
            None => self.store()?.read()?.symbol_name(symbol),
        }
    }

    /// What `get` has for one of the numbers that a name has, or has had.
    pub fn find<T>(
        &self,
        name: &str,
        mut get: impl FnMut(Symbol) -> Read<Option<T>>,
    ) -> Result<Option<T>> {
        let (number, former) = {
            let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
            (maps.by_name.get(name).copied(), maps.former.get(name).cloned().unwrap_or_default())
        };
        for symbol in number.into_iter().chain(former) {
            if let Some(found) = get(symbol)? {
                return Ok(Some(found));
            }
        }
        if number.is_some() {
            return Ok(None);
        }
        match self.store()?.read()?.symbol(name)? {
            Some(symbol) => Ok(get(symbol)?),
            None => Ok(None),
        }
    }

    fn store(&self) -> Result<Arc<Store>> {
        self.store.upgrade().ok_or_else(|| Error::DatabaseClosed { path: self.path.clone() })
    }

    /// The number of a name in a generation, if it is known.
    pub(crate) fn number(&self, generation: u64, name: &str) -> Option<Symbol> {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        maps.by_name.get(name).copied().filter(|_| maps.generation == generation)
    }

    pub(crate) fn name(&self, symbol: Symbol) -> Option<Arc<str>> {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        match maps.by_number.get(symbol.0 as usize) {
            Some(name) => name.clone(),
            None => maps.by_high_number.get(&symbol).cloned(),
        }
    }

    pub(crate) fn insert(&self, generation: u64, symbol: Symbol, name: &Arc<str>) {
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        maps.insert_number(symbol, name);
        if maps.generation == generation {
            maps.by_name.insert(Arc::clone(name), symbol);
        }
    }

    /// Numbers are from now on those of another generation, which does not have some of them.
    pub(crate) fn begin_generation(&self, generation: u64, gone: Vec<(Symbol, Arc<str>)>) {
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        maps.generation = generation;
        for (symbol, name) in gone {
            maps.insert_number(symbol, &name);
            maps.by_name.remove(&name);
            let former = maps.former.entry(name).or_default();
            if !former.contains(&symbol) {
                former.push(symbol);
            }
        }
    }
}

impl SymbolMaps {
    fn insert_number(&mut self, symbol: Symbol, name: &Arc<str>) {
        const HIGH: usize = 1 << 16;
        let at = symbol.0 as usize;
        if at < HIGH && self.by_number.len() <= at {
            self.by_number.resize(at.saturating_add(1), None);
        }
        match self.by_number.get_mut(at) {
            Some(place) => *place = Some(Arc::clone(name)),
            None => drop(self.by_high_number.insert(symbol, Arc::clone(name))),
        }
    }
}

pub(crate) fn symbol_key(name: &str) -> Key {
    Key::new(NamespaceId::SYSTEM).bytes(name.as_bytes())
}

pub(crate) fn symbol_name_key(symbol: Symbol) -> Key {
    Key::new(NamespaceId::SYSTEM).u32(symbol.0)
}

pub(crate) fn stored_symbol(txn: &impl ReadTxn, name: &str) -> Result<Option<Symbol>> {
    if name.len() > MAX_NAME {
        return Ok(None);
    }
    let key = symbol_key(name);
    let Some(payload) = txn.get(Table::Symbols, &key)? else { return Ok(None) };
    let number = payload.try_into().map_err(|_| Damaged("has no number"));
    txn.located(Table::Symbols, &key, number).map(|n| Some(Symbol(u32::from_be_bytes(n))))
}

pub(crate) fn stored_symbol_name(txn: &impl ReadTxn, symbol: Symbol) -> Result<Arc<str>> {
    let key = symbol_name_key(symbol);
    let payload = txn.get(Table::Names, &key)?;
    let payload = txn.located(Table::Names, &key, payload.ok_or(Damaged("is missing")))?;
    Ok(txn.located(Table::Names, &key, stored_name(payload))?.into())
}

/// A name as it is stored.
pub(crate) fn stored_name(payload: &[u8]) -> Read<&str> {
    let name = std::str::from_utf8(payload).map_err(|_| Damaged("is not UTF-8"))?;
    let length = 1..=MAX_NAME;
    if length.contains(&name.len()) { Ok(name) } else { Err(Damaged("has the wrong length")) }
}
