//! What changed in the store, for views that follow it.

use std::collections::BTreeMap;

use embedded_db_common::{Lsn, Result};
use embedded_db_storage::{ChangeRecord, ReadTxn, Snapshot};

/// Calls `each` with every change after an LSN; up to where none is missing, which is the snapshot's own LSN
/// unless the changes no longer reach back.
pub(crate) fn each_change(
    snapshot: &Snapshot,
    after: Lsn,
    mut each: impl FnMut(Lsn, ChangeRecord<'_>),
) -> Result<Lsn> {
    let mut reach = after;
    snapshot.changes_after(after, |lsn, change| {
        if reach.0.checked_add(1) != Some(lsn.0) {
            return Ok(false);
        }
        reach = lsn;
        if let Some(change) = change {
            each(lsn, change);
        }
        Ok(true)
    })?;
    Ok(reach)
}

/// In the order in which the changes were made, as the tails want them.
pub(crate) fn by_lsn<K: Ord>(changes: BTreeMap<K, Lsn>) -> Vec<(Lsn, K)> {
    let mut ordered: Vec<_> = changes.into_iter().map(|(key, lsn)| (lsn, key)).collect();
    ordered.sort_unstable();
    ordered
}
