//! Reading which nodes expire, and when.

use embedded_db_common::record::Damaged;
use embedded_db_common::{NamespaceId, Result, Slot};

use crate::keys::{self, Key, Table};
use crate::read::ReadTxn;

/// What is read of the times at which nodes expire.
pub trait ReadExpiries: ReadTxn + Sized {
    /// Calls `visit` with the nodes of a namespace that expire from a time on, in the order of time,
    /// until it returns false.
    fn expiries(
        &self,
        namespace: NamespaceId,
        from: i64,
        mut visit: impl FnMut(i64, Slot) -> bool,
    ) -> Result<()> {
        let start = keys::expiry(namespace, from, Slot(0));
        for row in self.prefix_from(Table::Expiry, Key::new(namespace), &start)? {
            let (key, _) = row?;
            let parts = keys::parse_expiry(key).ok_or(Damaged("has a key of the wrong length"));
            let (_, at, node) = self.located(Table::Expiry, key, parts)?;
            if !visit(at, node) {
                break;
            }
        }
        Ok(())
    }

    /// The namespaces that have nodes which expire, each with the earliest time.
    fn first_expiries(&self) -> Result<Vec<(NamespaceId, i64)>> {
        let mut out = Vec::new();
        let mut next = Some(NamespaceId::SYSTEM);
        while let Some(namespace) = next {
            let key = Key::new(namespace);
            let Some((key, _)) = self.rows().at_or_after(Table::Expiry, &key)? else { break };
            let parts = keys::parse_expiry(key).ok_or(Damaged("has a key of the wrong length"));
            let (namespace, at, _) = self.located(Table::Expiry, key, parts)?;
            out.push((namespace, at));
            next = namespace.0.checked_add(1).map(NamespaceId);
        }
        Ok(out)
    }
}

impl<T: ReadTxn> ReadExpiries for T {}
