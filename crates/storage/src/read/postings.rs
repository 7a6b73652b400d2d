//! Reading the postings of an index.

use embedded_db_common::{NamespaceId, Result, Slot};

use crate::keys::Table;
use crate::postings::{self, Container, IndexId};
use crate::read::ReadTxn;

/// What is read of postings.
pub trait ReadPostings: ReadTxn + Sized {
    /// Calls `visit` with every container of a value, until it returns false.
    fn containers(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        visit: impl FnMut(Container<'_>) -> bool,
    ) -> Result<()> {
        self.containers_from(namespace, index, value, Slot(0), visit)
    }

    /// Calls `visit` with the containers of a value from that of a slot on, until it returns false.
    fn containers_from(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        first: Slot,
        mut visit: impl FnMut(Container<'_>) -> bool,
    ) -> Result<()> {
        let prefix = postings::value_key(namespace, index, value);
        let start = postings::container_key(namespace, index, value, first);
        for row in self.prefix_from(Table::Postings, prefix, &start)? {
            let (key, payload) = row?;
            // A longer key belongs to another value that begins alike.
            if key.len() != prefix.len().saturating_add(4) {
                continue;
            }
            if !visit(self.located(Table::Postings, key, Container::parse(key, payload))?) {
                break;
            }
        }
        Ok(())
    }

    /// Calls `visit` with every value of an index and each of its containers, until it returns false.
    fn index_values(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        visit: impl FnMut(&[u8], Container<'_>) -> bool,
    ) -> Result<()> {
        self.values_from(namespace, index, &[], visit)
    }

    /// The same for the values that begin with `prefix`.
    fn values_from(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], Container<'_>) -> bool,
    ) -> Result<()> {
        let prefix = postings::value_key(namespace, index, prefix);
        for row in self.prefix(Table::Postings, &prefix)? {
            let (key, payload) = row?;
            let container = self.located(Table::Postings, key, Container::parse(key, payload))?;
            let value = self.located(Table::Postings, key, postings::value_in(key))?;
            if !visit(value, container) {
                break;
            }
        }
        Ok(())
    }

    /// Whether a slot is in a posting.
    fn posted(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slot: Slot,
    ) -> Result<bool> {
        let key = postings::container_key(namespace, index, value, slot);
        let Some(payload) = self.get(Table::Postings, &key)? else { return Ok(false) };
        let container = self.located(Table::Postings, &key, Container::parse(&key, payload))?;
        Ok(container.slots().any(|found| found == slot.0))
    }
}

impl<T: ReadTxn> ReadPostings for T {}
