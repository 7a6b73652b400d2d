//! Reading what work waits, or has failed.

use embedded_db_common::record::Damaged;
use embedded_db_common::{NamespaceId, Result, Slot};

use crate::keys::{self, Table};
use crate::postings::{self, Container, IndexId};
use crate::read::ReadTxn;
use crate::records::WorkRecord;

/// What is read of the weaver's work.
pub trait ReadWork: ReadTxn + Sized {
    /// Calls `visit` with the containers of nodes for which work of one kind waits, namespace by
    /// namespace, until it returns false.
    fn pending(
        &self,
        artefact: u8,
        mut visit: impl FnMut(NamespaceId, Container<'_>) -> bool,
    ) -> Result<()> {
        let prefix = postings::value_key(NamespaceId::SYSTEM, IndexId::PENDING, &[artefact]);
        for row in self.prefix(Table::Postings, &prefix)? {
            let (key, payload) = row?;
            let namespace = self.located(Table::Postings, key, keys::u32_at(key, 9))?;
            let container = self.located(Table::Postings, key, Container::parse(key, payload))?;
            if !visit(NamespaceId(namespace), container) {
                break;
            }
        }
        Ok(())
    }

    /// What is known of work that has failed.
    fn work(&self, namespace: NamespaceId, slot: Slot, artefact: u8) -> Result<Option<WorkRecord>> {
        let key = keys::slot(namespace, slot).u8(artefact);
        let Some(payload) = self.get(Table::Work, &key)? else { return Ok(None) };
        self.located(Table::Work, &key, WorkRecord::parse(payload)).map(Some)
    }

    /// Calls `visit` with all work that has failed.
    fn scan_work(
        &self,
        mut visit: impl FnMut(NamespaceId, Slot, u8, WorkRecord) -> Result<()>,
    ) -> Result<()> {
        for row in self.rows().between(Table::Work, &[], None)? {
            let (key, payload) = self.row(Table::Work, row)?;
            let parts: Result<[u8; 9], _> = key.try_into();
            let parts = parts.map_err(|_| Damaged("has a key of the wrong length"));
            let [a, b, c, d, e, f, g, h, artefact] = self.located(Table::Work, key, parts)?;
            let namespace = NamespaceId(u32::from_be_bytes([a, b, c, d]));
            let slot = Slot(u32::from_be_bytes([e, f, g, h]));
            let record = self.located(Table::Work, key, WorkRecord::parse(payload))?;
            visit(namespace, slot, artefact, record)?;
        }
        Ok(())
    }
}

impl<T: ReadTxn> ReadWork for T {}
