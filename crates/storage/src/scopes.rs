//! Which namespaces the commits of this process have changed, so that what was found in one is known
//! to hold still though others were written.
//!
//! Every row begins with its namespace. Rows of the system's namespace change every namespace, but for
//! those that nothing found depends on: counters, names, the feed of changes; a row of pending work
//! tells its namespace.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use embedded_db_common::NamespaceId;

use crate::keys::{Table, meta};
use crate::postings::IndexId;

/// What a group has written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    namespaces: BTreeSet<NamespaceId>,
    /// The one that was added last: most rows are of the same.
    last: Option<NamespaceId>,
    everything: bool,
}

impl Written {
    pub(crate) fn add(&mut self, table: Table, key: &[u8]) {
        match changed(table, key) {
            Some(Reach::Everything) => self.everything = true,
            Some(Reach::Namespace(namespace)) if self.last != Some(namespace) => {
                self.last = Some(namespace);
                self.namespaces.insert(namespace);
            }
            _ => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Reach {
    Namespace(NamespaceId),
    Everything,
}

/// What a row with this key changes; `None` for nothing that can be found.
fn changed(table: Table, key: &[u8]) -> Option<Reach> {
    let number = |at: usize| {
        let bytes = key.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let namespace = NamespaceId(number(0).unwrap_or_default());
    if namespace != NamespaceId::SYSTEM {
        return Some(Reach::Namespace(namespace));
    }
    match (table, key.get(4)) {
        (Table::Changes | Table::Symbols | Table::Names, _) => None,
        (Table::Meta, Some(&(meta::COUNTERS | meta::NAMESPACE | meta::COMMITTED))) => None,
        // Index, artefact, namespace.
        (Table::Postings, _) if number(4) == Some(IndexId::PENDING.0) && key.len() > 9 => {
            let of = number(9).map(|of| Reach::Namespace(NamespaceId(of)));
            Some(of.unwrap_or(Reach::Everything))
        }
        _ => Some(Reach::Everything),
    }
}

/// The last commits of this process to each namespace of the generation in use.
#[derive(Default)]
pub(crate) struct Scopes {
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    generation: u64,
    everything: usize,
    namespaces: HashMap<NamespaceId, usize>,
}

impl Scopes {
    /// A commit is about to be made. Before it, so that who sees it finds it here; one that fails
    /// after this has changed nothing, and its number is given again.
    pub(crate) fn commits(&self, generation: u64, transaction: usize, written: &Written) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.generation != generation {
            *last = Last { generation, everything: transaction, ..Last::default() };
        }
        if written.everything {
            last.everything = transaction;
        }
        last.namespaces.extend(written.namespaces.iter().map(|of| (*of, transaction)));
    }

    /// Whether no commit has changed a namespace after this one, as far as this process has written.
    pub(crate) fn unchanged(
        &self,
        generation: u64,
        namespace: NamespaceId,
        transaction: usize,
    ) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let of = last.namespaces.get(&namespace).copied().unwrap_or_default();
        last.generation == generation && last.everything.max(of) <= transaction
    }
}

#[cfg(test)]
mod tests {
    use embedded_db_common::{Lsn, Slot};

    use super::*;
    use crate::keys;
    use crate::postings::container_key;

    #[test]
    fn a_row_changes_its_namespace_and_rows_of_the_system_all_of_them() {
        let one = NamespaceId(7);
        let own = Some(Reach::Namespace(one));
        assert_eq!(changed(Table::Nodes, &keys::slot(one, Slot(1))), own);
        let pending = [3, 0, 0, 0, 7];
        let key = container_key(NamespaceId::SYSTEM, IndexId::PENDING, &pending, Slot(5));
        assert_eq!(changed(Table::Postings, &key), own);
        assert_eq!(changed(Table::Changes, &keys::change(Lsn(9))), None);
        assert_eq!(changed(Table::Meta, &keys::counters(NamespaceId::SYSTEM)), None);
        for table in [Table::Meta, Table::Postings, Table::Work, Table::Views] {
            assert_eq!(changed(table, &[0, 0, 0, 0, 200]), Some(Reach::Everything));
        }
    }
}
