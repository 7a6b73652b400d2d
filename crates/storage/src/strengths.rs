//! How recall has strengthened edges: a table beside the edges, which themselves stay as they are.
//!
//! A row holds what was added to a factor of 1 and when. It is worth half as much each half-life later;
//! nobody has to write for that. An edge that is deleted takes its row along. Rows have no LSN and are
//! in no feed: nothing that a user has stored changes.

use embedded_db_common::record::{Damaged, Read};
use embedded_db_common::{NamespaceId, Result, Slot};

use crate::keys::{self, Key, Table};
use crate::read::ReadTxn;
use crate::tx::WriteTxn;

/// What was added to an edge, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strength {
    /// Over 0.
    pub added: f32,
    /// Microseconds since 1970 UTC.
    pub at: i64,
}

impl Strength {
    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        let (added, at) = payload.split_first_chunk::<4>().ok_or(Damaged("is cut off"))?;
        let at = at.try_into().map_err(|_| Damaged("is no strength and its time"))?;
        let (added, at) = (f32::from_le_bytes(*added), i64::from_le_bytes(at));
        if !(added > 0.0 && added.is_finite()) {
            return Err(Damaged("is no strength over 0"));
        }
        Ok(Self { added, at })
    }

    fn encode(self) -> Vec<u8> {
        [self.added.to_le_bytes().as_slice(), self.at.to_le_bytes().as_slice()].concat()
    }
}

/// What is read of strengths.
pub trait ReadStrengths: ReadTxn + Sized {
    /// That of an edge.
    fn strength(&self, namespace: NamespaceId, edge: Slot) -> Result<Option<Strength>> {
        let key = keys::slot(namespace, edge);
        let Some(payload) = self.get(Table::Strengths, &key)? else { return Ok(None) };
        self.located(Table::Strengths, &key, Strength::parse(payload)).map(Some)
    }

    /// Those of all edges of a namespace that have one, by slot.
    fn strengths(&self, namespace: NamespaceId) -> Result<Vec<(Slot, Strength)>> {
        let mut out = Vec::new();
        for row in self.prefix(Table::Strengths, &Key::new(namespace))? {
            let (key, payload) = row?;
            let edge = self.located(Table::Strengths, key, keys::u32_at(key, 4))?;
            let strength = self.located(Table::Strengths, key, Strength::parse(payload))?;
            out.push((Slot(edge), strength));
        }
        Ok(out)
    }

    /// Whether an edge of a namespace has one.
    fn has_strengths(&self, namespace: NamespaceId) -> Result<bool> {
        if self.rows().count(Table::Strengths)? == 0 {
            return Ok(false);
        }
        Ok(self.prefix(Table::Strengths, &Key::new(namespace))?.next().transpose()?.is_some())
    }
}

impl<T: ReadTxn> ReadStrengths for T {}

impl WriteTxn<'_> {
    /// Sets the strength of an edge, or takes it away. The edge has to be there.
    pub fn set_strength(
        &mut self,
        namespace: NamespaceId,
        edge: Slot,
        strength: Option<Strength>,
    ) -> Result<()> {
        let key = keys::slot(namespace, edge);
        match strength {
            Some(strength) => self.put(Table::Strengths, &key, strength.encode()),
            None => self.delete(Table::Strengths, &key).map(drop),
        }
    }
}
