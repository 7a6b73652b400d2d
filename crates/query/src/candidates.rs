//! The nodes that may be returned: labels, indexed properties and graph reach as bitmaps, the rest of
//! the conditions checked on the stored records.

use std::collections::HashMap;
use std::time::Instant;

use embedded_db_common::{NamespaceId, Result, Slot, Value};
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::{labelled, posting};
use embedded_db_storage::{NodeRecord, ReadTxn, TEXT_PREFIX, text_value};
use roaring::RoaringBitmap;

use crate::converged::{ConvergedQuery, Filter, Operator, Step};
use crate::filter::Compiled;
use crate::guard::Guard;
use crate::pattern::reach;

/// Finds the candidates of one query in one state of the store.
pub(crate) struct Candidates<'a, T> {
    pub(crate) txn: &'a T,
    pub(crate) namespace: NamespaceId,
    pub(crate) names: &'a Names,
    pub(crate) query: &'a ConvergedQuery,
    pub(crate) guard: &'a Guard<'a>,
    /// What was done, if the query wants to know.
    pub(crate) steps: Vec<Step>,
    /// Hops of the nodes that the graph leg reached.
    pub(crate) distances: HashMap<Slot, u32>,
}

impl<'a, T: ReadTxn> Candidates<'a, T> {
    pub(crate) fn new(
        txn: &'a T,
        namespace: NamespaceId,
        names: &'a Names,
        query: &'a ConvergedQuery,
        guard: &'a Guard<'a>,
    ) -> Self {
        let (steps, distances) = (Vec::new(), HashMap::new());
        Self { txn, namespace, names, query, guard, steps, distances }
    }

    pub(crate) fn step(&mut self, step: &'static str, detail: String, rows: u64, since: Instant) {
        if self.query.explain {
            let micros = since.elapsed().as_secs_f64() * 1e6;
            self.steps.push(Step { step, detail, rows, micros });
        }
    }

    /// The nodes that pass all filters; `None` when nothing restricts them. Those in `but` are left
    /// out. With `enough`, the first so many of them will do.
    pub(crate) fn find(
        &mut self,
        but: Option<&RoaringBitmap>,
        enough: Option<usize>,
    ) -> Result<Option<RoaringBitmap>> {
        let (mut restricted, residual) = self.restricted()?;
        if let Some(but) = but {
            let all = restricted.map_or_else(|| self.everything(), Ok)?;
            restricted = Some(all - but);
        }
        if residual.is_empty() {
            return Ok(restricted);
        }
        let since = Instant::now();
        let all = restricted.map_or_else(|| self.everything(), Ok)?;
        let enough = enough.unwrap_or(usize::MAX) as u64;
        let (mut kept, mut read) = (RoaringBitmap::new(), 0_u64);
        for slot in &all {
            if kept.len() >= enough {
                break;
            }
            self.guard.tick()?;
            let Some(node) = self.txn.node(self.namespace, Slot(slot))? else { continue };
            read += 1;
            let mut matches = true;
            for filter in &residual {
                matches = matches && filter.matches(&node)?;
            }
            if matches {
                kept.insert(slot);
            }
        }
        let detail = format!("{} conditions read from {read} nodes", residual.len());
        self.step("filter", detail, kept.len(), since);
        Ok(Some(kept))
    }

    /// All nodes that pass, and exist.
    pub(crate) fn existing(&mut self) -> Result<RoaringBitmap> {
        match self.find(None, None)? {
            Some(found) => Ok(found),
            None => {
                let all = self.everything()?;
                self.present(all)
            }
        }
    }

    /// All slots that were ever given; some of their nodes may be gone.
    pub(crate) fn everything(&self) -> Result<RoaringBitmap> {
        let slots = self.txn.namespace_counters(self.namespace)?.node_slots;
        let mut all = RoaringBitmap::new();
        all.insert_range(0..slots);
        Ok(all)
    }

    fn present(&self, slots: RoaringBitmap) -> Result<RoaringBitmap> {
        let mut present = RoaringBitmap::new();
        for slot in slots {
            self.guard.tick()?;
            if self.txn.node_payload(self.namespace, Slot(slot))?.is_some() {
                present.insert(slot);
            }
        }
        Ok(present)
    }

    /// What labels, indexes and the graph say, intersected; and the conditions that must be read from
    /// the nodes.
    fn restricted(&mut self) -> Result<(Option<RoaringBitmap>, Vec<Compiled>)> {
        let mut restricted: Option<RoaringBitmap> = None;
        let mut residual = Vec::new();
        let restrict = |restricted: &mut Option<RoaringBitmap>, slots: RoaringBitmap| {
            *restricted = Some(match restricted.take() {
                Some(so_far) => so_far & slots,
                None => slots,
            });
        };
        if !self.query.labels.is_empty() {
            let since = Instant::now();
            let mut any = RoaringBitmap::new();
            for label in &self.query.labels {
                if let Some(label) = self.txn.symbol(label)? {
                    any |= labelled(self.txn, self.namespace, label)?;
                }
            }
            self.step("labels", self.query.labels.join(", "), any.len(), since);
            restrict(&mut restricted, any);
        }
        for filter in conjunction(&self.query.filters) {
            let since = Instant::now();
            let mut covered = false;
            if let Some(found) = self.indexed(filter)? {
                covered = found.exact;
                self.step("index", found.property.to_owned(), found.slots.len(), since);
                restrict(&mut restricted, found.slots);
            }
            if !covered {
                residual.push(Compiled::new::<NodeRecord<'_>>(filter, self.txn)?);
            }
        }
        if let Some(graph) = &self.query.graph {
            let since = Instant::now();
            let found = reach(self.txn, self.namespace, graph, self.guard)?;
            let reached: RoaringBitmap = found.keys().map(|slot| slot.0).collect();
            let detail = format!("{} steps from {} nodes", graph.steps.len(), graph.start.len());
            self.step("graph", detail, reached.len(), since);
            if graph.exclude {
                let others = match restricted {
                    Some(slots) => slots - reached,
                    None => self.present(self.everything()? - reached)?,
                };
                return Ok((Some(others), residual));
            }
            restrict(&mut restricted, reached);
            self.distances = found;
        }
        Ok((restricted, residual))
    }

    /// The nodes that an index gives for a condition, if there is an index for it.
    fn indexed<'f>(&self, filter: &'f Filter) -> Result<Option<Indexed<'f>>> {
        let Some((property, values)) = index_lookup(filter) else { return Ok(None) };
        let Some(symbol) = self.txn.symbol(property)? else { return Ok(None) };
        let indexes = self.names.indexes();
        let Some(index) = indexes.iter().find(|index| index.property == symbol) else {
            return Ok(None);
        };
        let mut slots = RoaringBitmap::new();
        let mut exact = true;
        for value in values {
            slots |= posting(self.txn, self.namespace, index.index, &text_value(value))?;
            exact &= value.len() < TEXT_PREFIX && !value.contains('\0');
        }
        Ok(Some(Indexed { property, slots, exact }))
    }
}

/// What an index says of a condition.
struct Indexed<'f> {
    property: &'f str,
    slots: RoaringBitmap,
    /// Whether all of these nodes fulfil it; otherwise their records have to be looked at.
    exact: bool,
}

/// The conditions that all must hold.
fn conjunction(filters: &[Filter]) -> Vec<&Filter> {
    let mut out = Vec::new();
    for filter in filters {
        match filter {
            Filter::All(inner) => out.extend(conjunction(inner)),
            other => out.push(other),
        }
    }
    out
}

/// Property and texts of a condition that postings can answer.
fn index_lookup(filter: &Filter) -> Option<(&str, Vec<&str>)> {
    let Filter::Test { property, operator, value } = filter else { return None };
    let texts = match (operator, value) {
        (Operator::Equals, Value::Str(text)) => vec![text.as_str()],
        (Operator::In, Value::List(items)) => items
            .iter()
            .map(|item| if let Value::Str(text) = item { Some(text.as_str()) } else { None })
            .collect::<Option<Vec<_>>>()?,
        _ => return None,
    };
    Some((property, texts))
}
