//! Names, namespaces, spaces.

use embedded_db_common::record::Damaged;
use embedded_db_common::{Error, NamespaceId, Result, Slot, SpaceId, Symbol};

use super::{WriteTxn, given};
use crate::keys::{self, Key, Kind, Table};
use crate::postings::IndexId;
use crate::read::ReadTxn;
use crate::records::{ChangeNames, ChangeOp, ChangeRecord, SpaceRecord};
use crate::rows::after_prefix;
use crate::store::{symbol_key, symbol_name_key};
use crate::touched::Touched;

impl WriteTxn<'_> {
    /// The symbol of a name, made when it is new.
    pub fn intern(&mut self, name: &str) -> Result<Symbol> {
        if let Some(symbol) = self.symbol(name)? {
            return Ok(symbol);
        }
        let symbol = Symbol(given(&mut self.state.counters.symbols, "names")?);
        self.put(Table::Symbols, &symbol_key(name), symbol.0.to_be_bytes().to_vec())?;
        self.put(Table::Names, &symbol_name_key(symbol), name.as_bytes().to_vec())?;
        self.state.new_symbols.push((symbol, name.into()));
        Ok(symbol)
    }

    /// The namespace of this name, made when it is new.
    pub fn create_namespace(&mut self, name: &str) -> Result<NamespaceId> {
        if let Some(found) = self.namespace(name)? {
            return Ok(found);
        }
        let id = NamespaceId(given(&mut self.state.counters.namespaces, "namespaces")?);
        self.put(Table::Meta, &keys::namespace_number(name), id.0.to_be_bytes().to_vec())?;
        self.put(Table::Meta, &keys::namespace_name(id), name.as_bytes().to_vec())?;
        Ok(id)
    }

    /// Removes a namespace and all that is in it.
    pub fn drop_namespace(&mut self, name: &str) -> Result<bool> {
        let Some(id) = self.namespace(name)? else { return Ok(false) };
        let held = self.namespace_counters(id)?.amounts();
        let name_key = keys::namespace_number(name);
        self.delete(Table::Meta, &name_key)?;
        let first = Key::new(id);
        let end = after_prefix(&first).ok_or(Damaged("has a number that none can have"));
        let end = self.located(Table::Meta, &name_key, end)?;
        self.touch(|| Touched::Namespace(id));
        for table in Table::ALL {
            self.delete_between(table, &first, &end)?;
        }
        let mut waiting = Vec::new();
        let prefix = Key::new(NamespaceId::SYSTEM).u32(IndexId::PENDING.0);
        for row in self.prefix(Table::Postings, &prefix)? {
            let (key, _) = row?;
            if key.get(9..13) == Some(&id.0.to_be_bytes()[..]) {
                waiting.push(key.to_vec());
            }
        }
        for key in waiting {
            self.delete(Table::Postings, &key)?;
        }
        self.state.drop_namespace(id, held);
        self.state.dirty = true;
        self.next_lsn()?;
        let change = ChangeRecord {
            namespace: id,
            kind: Kind::Namespace,
            op: ChangeOp::Delete,
            slot: Slot(u32::MAX),
            space: SpaceId(0),
            version: 1,
            id: name,
            names: ChangeNames::Given(&[]),
        };
        self.change(change)?;
        Ok(true)
    }

    /// A new embedding space.
    pub fn create_space(&mut self, space: &SpaceRecord) -> Result<SpaceId> {
        let id = u16::try_from(given(&mut self.state.counters.spaces, "spaces")?)
            .map(SpaceId)
            .map_err(|_| Error::InvalidInput("65,535 spaces were made; no more fit".into()))?;
        let mut payload = Vec::new();
        space.encode(&mut payload);
        self.put(Table::Meta, &keys::space(id), payload)?;
        Ok(id)
    }

    /// Makes `space` the one used when none is named.
    pub fn set_default_space(&mut self, space: SpaceId) -> Result<()> {
        self.put(Table::Meta, &keys::default_space(), space.0.to_be_bytes().to_vec())
    }
}
