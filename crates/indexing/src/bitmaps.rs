//! Postings as bitmaps of slots.

use embedded_db_common::{NamespaceId, Result, Symbol};
use embedded_db_storage::{IndexId, ReadPostings, ReadTxn};
use roaring::RoaringBitmap;

/// The slots of one value of an index whose nodes are seen.
pub fn posting(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    value: &[u8],
) -> Result<RoaringBitmap> {
    let mut out = RoaringBitmap::new();
    txn.containers(namespace, index, value, |container| {
        container.add_to(&mut out);
        true
    })?;
    if let Some(hidden) = txn.hidden(namespace) {
        out -= &hidden.nodes;
    }
    Ok(out)
}

/// The nodes that have a label.
pub fn labelled(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    label: Symbol,
) -> Result<RoaringBitmap> {
    posting(txn, namespace, IndexId::LABEL, &label.0.to_be_bytes())
}

/// The nodes that have one of several labels.
pub(crate) fn labelled_any(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    labels: &[Symbol],
) -> Result<RoaringBitmap> {
    let mut slots = RoaringBitmap::new();
    for label in labels {
        slots |= labelled(txn, namespace, *label)?;
    }
    Ok(slots)
}
