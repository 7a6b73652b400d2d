//! The order of results that no leg ranks.

use std::cmp::Ordering;
use std::collections::HashMap;

use embedded_db_common::{NamespaceId, Result, Slot, Value};
use embedded_db_indexing::columns::{First, Rows, Top, first_in};
use embedded_db_indexing::properties::first_texts;
use embedded_db_storage::{IndexId, NodeRecord, ReadTxn};
use roaring::RoaringBitmap;

use crate::access::containers_worth;
use crate::converged::OrderBy;
use crate::filter::Field;
use crate::guard::Guard;

/// By hops, then by age.
pub(crate) fn by_distance<'a>(
    slots: &'a RoaringBitmap,
    distances: &HashMap<Slot, u32>,
) -> Box<dyn Iterator<Item = Slot> + 'a> {
    if distances.is_empty() {
        return Box::new(slots.iter().map(Slot));
    }
    let hops = |slot| distances.get(&Slot(slot)).copied().unwrap_or(0);
    let mut keyed: Vec<(u32, Slot)> = slots.iter().map(|slot| (hops(slot), Slot(slot))).collect();
    keyed.sort_unstable();
    Box::new(keyed.into_iter().map(|(_, slot)| slot))
}

/// Some of the nodes, the first in an order among them.
pub(crate) struct Narrowed {
    pub(crate) slots: RoaringBitmap,
    /// By which way they were found.
    pub(crate) access: &'static str,
}

/// Finds in indexes which nodes may be the first by a property, so that no others need be read.
pub(crate) struct Narrow<'a, T> {
    pub(crate) txn: &'a T,
    pub(crate) namespace: NamespaceId,
    /// They hold all values of the property: each node has one that knows its value.
    pub(crate) indexes: &'a [IndexId],
    pub(crate) all: &'a RoaringBitmap,
    pub(crate) guard: &'a Guard<'a>,
}

impl<T: ReadTxn> Narrow<'_, T> {
    /// `None` when the indexes tell no less than all of them.
    pub(crate) fn first(&self, top: Top) -> Result<Option<Narrowed>> {
        if self.all.len() <= top.wanted as u64 {
            return Ok(None);
        }
        let rows = Rows::choose(self.txn, self.namespace, Some(self.all))?;
        let cells = self.cells(&rows, &top)?;
        let mut access = rows.access();
        // In the order of values: what cells hold, texts, and bytes, lists and dicts.
        let mut out = if top.descending { cells.others.clone() } else { cells.held.clone() };
        if (out.len() as usize) < top.wanted {
            let Some(texts) = self.texts(top.wanted as u64 - out.len(), top.descending)? else {
                return Ok(None);
            };
            if !texts.is_empty() {
                access = "index order";
            }
            out |= texts;
        }
        if (out.len() as usize) < top.wanted {
            out |= if top.descending { cells.held } else { cells.others };
        }
        self.without_value(&mut out, &top)?;
        Ok((out.len() < self.all.len()).then_some(Narrowed { slots: out, access }))
    }

    /// Each index by itself: a node with several labels may be in several.
    fn cells(&self, rows: &Rows, top: &Top) -> Result<First> {
        let mut out = First::default();
        for index in self.indexes {
            let tick = || self.guard.tick();
            let within = (rows, self.all);
            let found = first_in(self.txn, self.namespace, *index, within, top, &tick)?;
            out.held |= found.held;
            out.others |= found.others;
        }
        Ok(out)
    }

    fn texts(&self, wanted: u64, descending: bool) -> Result<Option<RoaringBitmap>> {
        let (mut out, most) = (RoaringBitmap::new(), containers_worth(self.all));
        for index in self.indexes {
            let wanted = (wanted, descending);
            match first_texts(self.txn, self.namespace, *index, self.all, wanted, most)? {
                Some(found) => out |= found,
                None => return Ok(None),
            }
        }
        Ok(Some(out))
    }

    /// Those without a value come last, whichever way it is ordered. `out` holds all others then.
    fn without_value(&self, out: &mut RoaringBitmap, top: &Top) -> Result<()> {
        if out.len() as usize >= top.wanted {
            return Ok(());
        }
        if !top.by_slot {
            *out |= self.all;
            return Ok(());
        }
        for slot in self.all - &*out {
            self.guard.tick()?;
            if self.txn.node_payload(self.namespace, Slot(slot))?.is_some() {
                out.insert(slot);
                if out.len() as usize >= top.wanted {
                    break;
                }
            }
        }
        Ok(())
    }
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
