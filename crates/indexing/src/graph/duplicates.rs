//! The values that keep a property from being unique.

use std::collections::BTreeMap;

use embedded_db_common::{Error, NamespaceId, Result, Slot, Value, ValueRef};
use embedded_db_storage::{IndexId, IndexRecord, IndexState, ReadTxn, index_value};

use super::indexes::shown;
use crate::labelled;
use crate::properties::DeclaredIndex;

/// Most values that are listed, and nodes of each.
const LISTED: usize = 10;

/// A value that several nodes have, with the ids of some of them.
struct Shared {
    value: Value,
    ids: Vec<String>,
}

/// The values that several nodes of a label have, as an error lists them; `None` when there are none.
pub fn duplicates(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    label: &str,
    property: &str,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<Option<Error>> {
    let Some(index) = index_of(txn, label, property)? else { return Ok(None) };
    let mut shared = Vec::new();
    for holders in holders(txn, namespace, &index, interrupted)? {
        add_shared(txn, namespace, holders, &mut shared)?;
    }
    Ok(listed(label, property, &shared))
}

/// The index that there would be; `None` when no node can be in it.
fn index_of(txn: &impl ReadTxn, label: &str, property: &str) -> Result<Option<DeclaredIndex>> {
    let (Some(label), Some(whole)) = (txn.symbol(label)?, txn.symbol(property)?) else {
        return Ok(None);
    };
    let first = match property.split_once('.') {
        Some((first, _)) => txn.symbol(first)?,
        None => None,
    };
    let record = IndexRecord {
        state: IndexState::Building,
        unique: true,
        next: Slot(0),
        label,
        property: whole,
        first,
        error: String::new(),
    };
    Ok(Some(DeclaredIndex { id: IndexId(0), record, property: property.into() }))
}

/// Groups of nodes whose values have the same key bytes, each with its value.
fn holders(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    index: &DeclaredIndex,
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<impl Iterator<Item = Vec<(Slot, Value)>>> {
    let mut holders: BTreeMap<Vec<u8>, Vec<(Slot, Value)>> = BTreeMap::new();
    for slot in labelled(txn, namespace, index.record.label)? {
        interrupted()?;
        let Some(node) = txn.node(namespace, Slot(slot))? else { continue };
        match index.value(node.properties)? {
            None | Some(ValueRef::Null) => {}
            Some(value) => {
                let Some(key) = index_value(&value) else { continue };
                holders.entry(key).or_default().push((Slot(slot), value.to_value()?));
            }
        }
    }
    Ok(holders.into_values().filter(|same| same.len() > 1))
}

/// Adds those of the values that are equal: long texts may have the same key bytes and differ.
fn add_shared(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    mut holders: Vec<(Slot, Value)>,
    shared: &mut Vec<Shared>,
) -> Result<()> {
    while let Some((slot, value)) = holders.pop() {
        let others: Vec<_> = holders.extract_if(.., |(_, other)| other.equals(&value)).collect();
        if others.is_empty() {
            continue;
        }
        let mut ids = Vec::new();
        for slot in others.into_iter().map(|(slot, _)| slot).chain([slot]).take(LISTED) {
            ids.extend(txn.node(namespace, slot)?.map(|node| node.id.to_owned()));
        }
        shared.push(Shared { value, ids });
    }
    Ok(())
}

fn listed(label: &str, property: &str, shared: &[Shared]) -> Option<Error> {
    let id = shared.first()?.ids.first()?.clone();
    let values = shared.iter().take(LISTED).map(|Shared { value, ids }| {
        let ids: Vec<String> = ids.iter().map(|id| format!("{id:?}")).collect();
        format!("{} ({})", shown(value), ids.join(", "))
    });
    let values: Vec<String> = values.collect();
    let more = match shared.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "{label}.{property} cannot be unique: several nodes have {}{more}; change or delete all \
         but one of each",
        values.join(", ")
    );
    Some(Error::Taken { message, id })
}
