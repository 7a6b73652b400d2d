//! What is declared of the nodes with a label: which properties are searched by words, which are
//! embedded.

use embedded_db_common::record::{Cursor, Damaged, Read, put_varint};
use embedded_db_common::{NamespaceId, Result, Slot, Symbol};

use crate::keys::{self, Key, Table, meta};
use crate::read::ReadTxn;
use crate::tx::WriteTxn;

/// What is declared of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeRecord {
    /// Where going through the nodes that were there before goes on; `DONE` behind the last.
    pub next: Slot,
    /// Properties whose texts are searched by words, in the order in which they are read.
    pub text: Vec<Symbol>,
    /// Properties whose texts are embedded, in the order in which they are read.
    pub embed: Vec<Symbol>,
}

impl RecipeRecord {
    const VERSION: u8 = 1;
    /// Behind all slots.
    pub const DONE: Slot = Slot(u32::MAX);

    /// Whether texts are searched by words, or embedded.
    pub fn has_texts(&self) -> bool {
        !self.text.is_empty() || !self.embed.is_empty()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        out.extend_from_slice(&self.next.0.to_le_bytes());
        for properties in [&self.text, &self.embed] {
            put_varint(&mut out, properties.len() as u64);
            properties.iter().for_each(|symbol| put_varint(&mut out, symbol.0.into()));
        }
        out
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8()? != Self::VERSION {
            return Err(Damaged("has an unknown version"));
        }
        let next = Slot(cursor.u32()?);
        let mut properties = || {
            let count = cursor.bounded_count()?;
            (0..count).map(|_| cursor.symbol()).collect::<Read<Vec<_>>>()
        };
        Ok(Self { next, text: properties()?, embed: properties()? })
    }
}

fn key(namespace: NamespaceId, label: Symbol) -> Key {
    Key::new(namespace).u8(meta::RECIPE).u32(label.0)
}

/// What is declared of the labels of a namespace, by symbol.
pub fn recipes(txn: &impl ReadTxn, namespace: NamespaceId) -> Result<Vec<(Symbol, RecipeRecord)>> {
    let mut out = Vec::new();
    for row in txn.prefix(Table::Meta, &Key::new(namespace).u8(meta::RECIPE))? {
        let (key, payload) = row?;
        let label = Symbol(txn.located(Table::Meta, key, keys::last_u32(key))?);
        out.push((label, txn.located(Table::Meta, key, RecipeRecord::parse(payload))?));
    }
    Ok(out)
}

impl WriteTxn<'_> {
    /// Stores what is declared of a label.
    pub fn put_recipe(
        &mut self,
        namespace: NamespaceId,
        label: Symbol,
        recipe: &RecipeRecord,
    ) -> Result<()> {
        self.put(Table::Meta, &key(namespace, label), recipe.encode())
    }
}
