//! The order of results that no leg ranks.

use std::cmp::Ordering;
use std::collections::HashMap;

use embedded_db_common::{NamespaceId, Result, Slot, Value};
use embedded_db_storage::{NodeRecord, ReadTxn};
use roaring::RoaringBitmap;

use crate::converged::OrderBy;
use crate::filter::Field;
use crate::guard::Guard;

/// By hops, then by age.
pub(crate) fn by_distance(slots: &RoaringBitmap, distances: &HashMap<Slot, u32>) -> Vec<Slot> {
    let hops = |slot| distances.get(&Slot(slot)).copied().unwrap_or(0);
    let mut keyed: Vec<(u32, Slot)> = slots.iter().map(|slot| (hops(slot), Slot(slot))).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, slot)| slot).collect()
}

/// By properties, then by age. Nodes without a property come behind those that have it, whichever way
/// it is ordered.
pub(crate) fn by_properties<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    slots: &RoaringBitmap,
    order: &[OrderBy],
    wanted: usize,
    guard: &Guard<'_>,
) -> Result<Vec<Slot>> {
    let fields = order.iter().map(|by| Field::new::<NodeRecord<'_>>(&by.property, txn));
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let mut keyed: Vec<(Vec<Option<Value>>, Slot)> = Vec::new();
    for slot in slots {
        guard.tick()?;
        let Some(node) = txn.node(namespace, Slot(slot))? else { continue };
        let key = fields.iter().map(|field| field.value(&node)).collect::<Result<_>>()?;
        keyed.push((key, Slot(slot)));
    }
    let compare = |a: &(Vec<Option<Value>>, Slot), b: &(Vec<Option<Value>>, Slot)| {
        let mut values = a.0.iter().zip(&b.0).zip(order);
        let differs = values.find_map(|((a, b), by)| {
            Some(compare_values(a.as_ref(), b.as_ref(), by.descending))
                .filter(|found| found.is_ne())
        });
        differs.unwrap_or_else(|| a.1.cmp(&b.1))
    };
    if wanted < keyed.len() {
        keyed.select_nth_unstable_by(wanted, compare);
        keyed.truncate(wanted);
    }
    keyed.sort_unstable_by(compare);
    Ok(keyed.into_iter().map(|(_, slot)| slot).collect())
}

fn compare_values(a: Option<&Value>, b: Option<&Value>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.compare(a),
        (Some(a), Some(b)) => a.compare(b),
        // None sorts behind.
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
