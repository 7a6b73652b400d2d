//! Names and their numbers: cached, and as they are stored.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use embedded_db_common::record::Damaged;
use embedded_db_common::{Error, MAX_NAME, Result, Symbol};

use super::Store;
use crate::keys::Table;
use crate::read::{ReadTxn, symbols};

/// Committed names, both ways. Records hold their numbers; what was read from a store can still be
/// named after the store was closed, as far as the names were needed before.
pub struct Symbols {
    maps: RwLock<SymbolMaps>,
    store: Weak<Store>,
    path: PathBuf,
}

#[derive(Default)]
struct SymbolMaps {
    by_name: HashMap<Arc<str>, Symbol>,
    by_number: Vec<Option<Arc<str>>>,
}

impl Symbols {
    pub(super) fn new(store: Weak<Store>, path: PathBuf) -> Self {
        Self { maps: RwLock::default(), store, path }
    }

    /// The name behind a symbol.
    pub fn name_of(&self, symbol: Symbol) -> Result<Arc<str>> {
        match self.name(symbol) {
            Some(name) => Ok(name),
            None => self.store()?.read()?.symbol_name(symbol),
        }
    }

    /// The symbol of a name, if it has one.
    pub fn symbol_of(&self, name: &str) -> Result<Option<Symbol>> {
        match self.number(name) {
            Some(symbol) => Ok(Some(symbol)),
            None => self.store()?.read()?.symbol(name),
        }
    }

    fn store(&self) -> Result<Arc<Store>> {
        self.store.upgrade().ok_or_else(|| Error::DatabaseClosed { path: self.path.clone() })
    }

    pub(crate) fn number(&self, name: &str) -> Option<Symbol> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner).by_name.get(name).copied()
    }

    pub(crate) fn name(&self, symbol: Symbol) -> Option<Arc<str>> {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        maps.by_number.get(symbol.0 as usize)?.clone()
    }

    pub(crate) fn insert(&self, symbol: Symbol, name: &Arc<str>) {
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        let at = symbol.0 as usize;
        if maps.by_number.len() <= at {
            maps.by_number.resize(at + 1, None);
        }
        maps.by_number[at] = Some(Arc::clone(name));
        maps.by_name.insert(Arc::clone(name), symbol);
    }
}

pub(crate) fn symbol_key(name: &str) -> crate::keys::Key {
    crate::keys::Key::new(embedded_db_common::NamespaceId::SYSTEM)
        .u8(symbols::BY_NAME)
        .bytes(name.as_bytes())
}

pub(crate) fn symbol_name_key(symbol: Symbol) -> crate::keys::Key {
    crate::keys::Key::new(embedded_db_common::NamespaceId::SYSTEM)
        .u8(symbols::BY_NUMBER)
        .u32(symbol.0)
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
    let payload = txn.get(Table::Symbols, &key)?;
    let payload = txn.located(Table::Symbols, &key, payload.ok_or(Damaged("is missing")))?;
    let name = std::str::from_utf8(payload).map_err(|_| Damaged("is not UTF-8"));
    Ok(txn.located(Table::Symbols, &key, name)?.into())
}
