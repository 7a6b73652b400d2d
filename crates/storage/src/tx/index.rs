//! Postings, definitions of indexes, work.

use embedded_db_common::{Error, NamespaceId, Result, Slot};

use super::WriteTxn;
use crate::columns::{Cell, Cells, column_key, column_row, row_key};
use crate::indexes::{IndexRecord, definition_key, index_definitions};
use crate::keys::{self, Table};
use crate::postings::{self, Container, IndexId, Updated};
use crate::read::ReadTxn;
use crate::records::WorkRecord;

impl WriteTxn<'_> {
    /// Adds a slot to a posting.
    pub fn post(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slot: Slot,
    ) -> Result<()> {
        self.update_posting(namespace, index, value, slot, true)
    }

    /// Removes a slot from a posting.
    pub fn unpost(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slot: Slot,
    ) -> Result<()> {
        self.update_posting(namespace, index, value, slot, false)
    }

    fn update_posting(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slot: Slot,
        present: bool,
    ) -> Result<()> {
        let key = postings::container_key(namespace, index, value, slot);
        let container = match self.get(Table::Postings, &key)? {
            Some(payload) => {
                Some(self.located(Table::Postings, &key, Container::parse(&key, payload))?)
            }
            None => None,
        };
        match postings::update(container, slot, present) {
            Updated::Unchanged => Ok(()),
            Updated::Container(payload) => self.put(Table::Postings, &key, payload),
            Updated::Empty => self.delete(Table::Postings, &key).map(|_| ()),
        }
    }

    /// Puts what an index has of a slot's value into its column, or takes it out.
    pub fn put_cell(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        slot: Slot,
        cell: Option<Cell>,
    ) -> Result<()> {
        let row = column_row(self, namespace, index, slot)?;
        if row.and_then(|cells| cells.get(slot)) == cell {
            return Ok(());
        }
        let payload = Cells::with(row, slot, cell);
        let key = row_key(namespace, index, slot);
        match payload {
            Some(payload) => self.put(Table::Columns, &key, payload),
            None => self.delete(Table::Columns, &key).map(drop),
        }
    }

    /// Defines an index; returns its number.
    pub fn create_index(
        &mut self,
        namespace: NamespaceId,
        definition: &IndexRecord,
    ) -> Result<IndexId> {
        let index = match index_definitions(self, namespace)?.last() {
            Some((last, _)) => last.0.checked_add(1).map(IndexId).ok_or_else(|| {
                Error::InvalidInput("the namespace has no number left for an index".into())
            })?,
            None => IndexId::ON_DEMAND,
        };
        self.put_index(namespace, index, definition)?;
        Ok(index)
    }

    /// Changes the definition of an index.
    pub fn put_index(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        definition: &IndexRecord,
    ) -> Result<()> {
        self.put(Table::Meta, &definition_key(namespace, index), definition.encode())
    }

    /// Removes up to `most` containers and rows of an index, and its definition with the last of them;
    /// whether nothing is left of it.
    pub fn clear_index(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        most: usize,
    ) -> Result<bool> {
        let mut keys = Vec::new();
        for (table, prefix) in [
            (Table::Postings, postings::value_key(namespace, index, &[])),
            (Table::Columns, column_key(namespace, index)),
        ] {
            for row in self.prefix(table, &prefix)?.take(most.saturating_sub(keys.len())) {
                keys.push((table, row?.0.to_vec()));
            }
        }
        for (table, key) in &keys {
            self.delete(*table, key)?;
        }
        if keys.len() == most {
            return Ok(false);
        }
        self.delete(Table::Meta, &definition_key(namespace, index))?;
        Ok(true)
    }

    /// Records that work on an artefact of a node has failed.
    pub fn put_work(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        artefact: u8,
        work: &WorkRecord,
    ) -> Result<()> {
        let mut payload = Vec::new();
        work.encode(&mut payload);
        self.put(Table::Work, &keys::slot(namespace, slot).u8(artefact), payload)
    }

    /// Forgets earlier failures.
    pub fn delete_work(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        artefact: u8,
    ) -> Result<bool> {
        self.delete(Table::Work, &keys::slot(namespace, slot).u8(artefact))
    }
}
