//! Property indexes that are made on demand: what of a node is in one, and which nodes it gives for a
//! condition.

use std::sync::Arc;

use embedded_db_common::record::Properties;
use embedded_db_common::{NamespaceId, Result, Symbol, ValueRef};
use embedded_db_storage::{
    Cell, IndexId, IndexRecord, ReadTxn, containers_between, index_definitions, index_value,
    text_bounds,
};
use roaring::RoaringBitmap;

/// An index over one property of the nodes with one label.
#[derive(Debug, Clone)]
pub struct DeclaredIndex {
    /// Its postings.
    pub id: IndexId,
    /// How it is defined.
    pub record: IndexRecord,
    /// The property, or a dotted path into dicts.
    pub property: Arc<str>,
}

/// The indexes of a namespace that were made on demand, by number.
pub fn declared_indexes(txn: &impl ReadTxn, namespace: NamespaceId) -> Result<Vec<DeclaredIndex>> {
    let definitions = index_definitions(txn, namespace)?;
    let mut out = Vec::with_capacity(definitions.len());
    for (id, record) in definitions {
        let property = txn.symbol_name(record.property)?;
        out.push(DeclaredIndex { id, record, property });
    }
    Ok(out)
}

impl DeclaredIndex {
    /// The value that a node has in it.
    pub fn value<'a>(&self, properties: Properties<'a>) -> Result<Option<ValueRef<'a>>> {
        let rest = self.property.split('.').skip(1);
        value_at(properties, Some(self.record.property), self.record.first, rest)
    }

    /// The key bytes under which a node with these properties is in it, if its labels are right.
    pub fn key(&self, labels: &[Symbol], properties: Properties<'_>) -> Result<Option<Vec<u8>>> {
        if !labels.contains(&self.record.label) {
            return Ok(None);
        }
        Ok(self.value(properties)?.as_ref().and_then(index_value))
    }

    /// What its column has of a node with these properties, if its labels are right.
    pub fn cell(&self, labels: &[Symbol], properties: Properties<'_>) -> Result<Option<Cell>> {
        if !labels.contains(&self.record.label) {
            return Ok(None);
        }
        Ok(self.value(properties)?.as_ref().and_then(Cell::of))
    }
}

/// The value of a property or at a dotted path into dicts, of which `whole` is all as one name, and
/// `first` and `rest` are the parts. A property whose name holds the dots goes before a path.
pub fn value_at<'a, 'n>(
    properties: Properties<'a>,
    whole: Option<Symbol>,
    first: Option<Symbol>,
    rest: impl Iterator<Item = &'n str>,
) -> Result<Option<ValueRef<'a>>> {
    if let Some(whole) = whole
        && let Some(value) = properties.get(whole)?
    {
        return Ok(Some(value));
    }
    let Some(first) = first else { return Ok(None) };
    let Some(mut value) = properties.get(first)? else { return Ok(None) };
    for name in rest {
        let ValueRef::Map(map) = value else { return Ok(None) };
        let Some(inner) = map.get(name)? else { return Ok(None) };
        value = inner;
    }
    Ok(Some(value))
}

/// The slots of all values from the first key bytes to before the second; `None` when more than
/// `most` containers would have to be read.
pub fn posting_between(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    bounds: (&[u8], &[u8]),
    most: u64,
) -> Result<Option<RoaringBitmap>> {
    let mut out = RoaringBitmap::new();
    let mut read = 0;
    containers_between(txn, namespace, index, bounds, false, |_, container| {
        read += 1;
        if read > most {
            return false;
        }
        container.add_to(&mut out);
        true
    })?;
    Ok((read <= most).then_some(out))
}

/// Of the nodes `within` that have a text the first `wanted` in its order, with those whose texts may
/// equal the last of them; all, if there are fewer. `None` when more than `most` containers would have
/// to be read.
pub fn first_texts(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: IndexId,
    within: &RoaringBitmap,
    (wanted, descending): (u64, bool),
    most: u64,
) -> Result<Option<RoaringBitmap>> {
    let (mut out, mut last) = (RoaringBitmap::new(), Vec::new());
    let mut read = 0;
    let (from, end) = text_bounds();
    containers_between(txn, namespace, index, (&from, &end), descending, |value, container| {
        if value != last {
            if out.len() >= wanted {
                return false;
            }
            last = value.to_vec();
        }
        read += 1;
        if read > most {
            return false;
        }
        out.extend(container.slots().filter(|slot| within.contains(*slot)));
        true
    })?;
    Ok((read <= most).then_some(out))
}
