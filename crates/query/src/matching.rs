//! Queries that do not rank, as sets: how many nodes they match, which, and with what values.

use std::cmp::Reverse;

use embedded_db_common::{Error, NamespaceId, Result, Slot, Value};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{NodeRecord, ReadTxn};
use roaring::RoaringBitmap;

use crate::candidates::Candidates;
use crate::converged::ConvergedQuery;
use crate::filter::Field;
use crate::guard::Guard;

/// All nodes that a query without ranking legs matches, whatever its limit and order.
pub fn matching<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    names: &Names,
    query: &ConvergedQuery,
    guard: &Guard<'_>,
) -> Result<RoaringBitmap> {
    query.validate()?;
    if query.ranks() {
        let field = if query.semantic.is_some() { "semantic_query" } else { "text_query" };
        return Err(ranks(field));
    }
    Candidates::new(txn, namespace, names, query, guard).existing()
}

/// For a leg that ranks where a set of nodes is wanted.
pub fn ranks(leg: &str) -> Error {
    Error::query(leg, "it ranks nodes and matches no certain set of them; leave it out here")
}

/// How many of these nodes have each value of a property, the most frequent first, equals by value;
/// nodes without it are counted last, under `None`.
pub fn group_count<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    slots: &RoaringBitmap,
    property: &str,
    guard: &Guard<'_>,
) -> Result<Vec<(Option<Value>, u64)>> {
    let field = Field::new::<NodeRecord<'_>>(property, txn)?;
    let mut values = Vec::new();
    let mut without = 0;
    for slot in slots {
        guard.tick()?;
        let Some(node) = txn.node(namespace, Slot(slot))? else { continue };
        match field.value(&node)? {
            Some(Value::List(_) | Value::Map(_)) => {
                return Err(Error::query(
                    "group_count",
                    format!(
                        "{property:?} of {:?} is a list or dict, which cannot be a group; name a \
                         property of single values",
                        node.id
                    ),
                ));
            }
            Some(value) => values.push(value),
            None => without += 1,
        }
    }
    values.sort_unstable_by(Value::compare);
    let mut groups: Vec<(Option<Value>, u64)> = Vec::new();
    for value in values {
        match groups.last_mut() {
            Some((Some(last), count)) if last.compare(&value).is_eq() => *count += 1,
            _ => groups.push((Some(value), 1)),
        }
    }
    groups.sort_by_key(|(_, count)| Reverse(*count));
    if without > 0 {
        groups.push((None, without));
    }
    Ok(groups)
}
