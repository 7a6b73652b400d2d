//! The nodes that may be returned: labels, indexed properties and graph reach as bitmaps, the rest of
//! the conditions checked on the stored records.

use std::collections::HashMap;
use std::time::Instant;

use embedded_db_common::{NamespaceId, Result, Slot, trace};
use embedded_db_indexing::columns::Top;
use embedded_db_indexing::labelled;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{NodeRecord, ReadTxn};
use roaring::RoaringBitmap;

use crate::access::{Indexes, NotIndexed, is_equality};
use crate::converged::{ConvergedQuery, Filter, OrderBy, Step};
use crate::filter::Compiled;
use crate::guard::Guard;
use crate::order::{Narrow, Narrowed};
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
        if trace::is_open() {
            trace::step(step, since, Instant::now(), Some(rows));
        }
        if self.query.explain {
            let micros = since.elapsed().as_secs_f64() * 1e6;
            let (access, estimate) = (None, None);
            self.steps.push(Step { step, detail, access, estimate, rows, micros });
        }
    }

    /// A step that narrows the candidates: by which way, and to how many by its index alone.
    pub(crate) fn narrowed(
        &mut self,
        step: (&'static str, &'static str),
        detail: String,
        estimate: u64,
        rows: u64,
        since: Instant,
    ) {
        self.step(step.0, detail, rows, since);
        if let (true, Some(last)) = (self.query.explain, self.steps.last_mut()) {
            (last.access, last.estimate) = (Some(step.1), Some(estimate));
        }
    }

    /// The nodes that pass all filters; `None` when nothing restricts them. Those in `but`, and those
    /// that the state does not see, are left out. With `enough`, the first so many of them will do.
    pub(crate) fn find(
        &mut self,
        but: Option<&RoaringBitmap>,
        enough: Option<usize>,
    ) -> Result<Option<RoaringBitmap>> {
        // Those that are left out are counted among the first, too.
        let hidden = self.txn.hidden(self.namespace).map(|hidden| &hidden.nodes);
        let left_out = || but.into_iter().chain(hidden);
        let many = left_out().map(RoaringBitmap::len).sum::<u64>();
        let (mut restricted, residual) =
            self.restricted(enough.map(|enough| enough as u64 + many))?;
        for slots in left_out() {
            let all = restricted.map_or_else(|| self.everything(), Ok)?;
            restricted = Some(all - slots);
        }
        if residual.is_empty() {
            return Ok(restricted);
        }
        let all = restricted.map_or_else(|| self.everything(), Ok)?;
        self.read(&all, &residual, enough).map(Some)
    }

    /// The nodes whose records fulfil conditions; with `enough`, the first so many.
    fn read(
        &mut self,
        all: &RoaringBitmap,
        residual: &[Residual],
        enough: Option<usize>,
    ) -> Result<RoaringBitmap> {
        let since = Instant::now();
        let enough = enough.unwrap_or(usize::MAX) as u64;
        let (mut kept, mut read) = (RoaringBitmap::new(), 0_u64);
        for slot in all {
            if kept.len() >= enough {
                break;
            }
            self.guard.tick()?;
            let Some(node) = self.txn.node(self.namespace, Slot(slot))? else { continue };
            read += 1;
            let mut matches = true;
            for condition in residual {
                matches = matches && condition.compiled.matches(&node)?;
            }
            if matches {
                kept.insert(slot);
            }
        }
        let names: Vec<&str> = residual.iter().map(|condition| &*condition.detail).collect();
        let detail = format!("{}: read from {read} nodes", names.join(", "));
        self.narrowed(("filter", "scan"), detail, all.len(), kept.len(), since);
        Ok(kept)
    }

    /// Those of the nodes `found` that may be among the first `wanted` in an order, if indexes tell.
    pub(crate) fn narrow(
        &self,
        found: &RoaringBitmap,
        by: &[OrderBy],
        wanted: usize,
    ) -> Result<Option<Narrowed>> {
        let [first, others @ ..] = by else { return Ok(None) };
        let indexes = Indexes::new(self.txn, self.namespace, self.names, &self.query.labels)?;
        let Some(indexes) = indexes.whole(&first.property)? else { return Ok(None) };
        let (txn, namespace, guard) = (self.txn, self.namespace, self.guard);
        let narrow = Narrow { txn, namespace, indexes: &indexes, all: found, guard };
        let (descending, by_slot) = (first.descending, others.is_empty());
        narrow.first(Top { wanted, descending, by_slot })
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
    /// the nodes. With `enough`, the first so many will do where there are none.
    fn restricted(
        &mut self,
        enough: Option<u64>,
    ) -> Result<(Option<RoaringBitmap>, Vec<Residual>)> {
        let mut restricted: Option<RoaringBitmap> = None;
        let mut residual = Vec::new();
        if !self.query.labels.is_empty() {
            let since = Instant::now();
            let mut any = RoaringBitmap::new();
            for label in &self.query.labels {
                if let Some(label) = self.txn.symbol(label)? {
                    any |= labelled(self.txn, self.namespace, label)?;
                }
            }
            let (detail, count) = (self.query.labels.join(", "), any.len());
            self.narrowed(("labels", "label"), detail, count, count, since);
            restrict(&mut restricted, any);
        }
        let indexes = Indexes::new(self.txn, self.namespace, self.names, &self.query.labels)?;
        // What names few values narrows the most for the least; of other conditions less is to be read
        // the fewer nodes are left.
        let (mut first, mut later): (Vec<_>, Vec<_>) =
            conjunction(&self.query.filters).into_iter().partition(|filter| is_equality(filter));
        if self.query.graph.as_ref().is_none_or(|graph| graph.exclude) {
            first.append(&mut later);
        }
        let enough = enough.filter(|_| self.query.graph.is_none());
        self.by_index(&indexes, first, enough, (&mut restricted, &mut residual))?;
        if let Some(graph) = &self.query.graph {
            let since = Instant::now();
            let found = reach(self.txn, self.namespace, graph, self.guard)?;
            let reached: RoaringBitmap = found.keys().map(|slot| slot.0).collect();
            let detail = format!("{} steps from {} nodes", graph.steps.len(), graph.start.len());
            self.narrowed(("graph", "graph"), detail, reached.len(), reached.len(), since);
            if graph.exclude {
                restricted = Some(match restricted {
                    Some(slots) => slots - reached,
                    None => self.present(self.everything()? - reached)?,
                });
            } else {
                restrict(&mut restricted, reached);
                self.distances = found;
            }
        }
        self.by_index(&indexes, later, None, (&mut restricted, &mut residual))?;
        Ok((restricted, residual))
    }

    /// Narrows the candidates by conditions, and adds to `residual` what their indexes leave open. With
    /// `enough`, the first so many that fulfil all will do.
    fn by_index(
        &mut self,
        indexes: &Indexes<'_, T>,
        filters: Vec<&Filter>,
        enough: Option<u64>,
        (restricted, residual): (&mut Option<RoaringBitmap>, &mut Vec<Residual>),
    ) -> Result<()> {
        let last = filters.len().saturating_sub(1);
        for (at, filter) in filters.into_iter().enumerate() {
            let since = Instant::now();
            let enough = enough.filter(|_| at == last && residual.is_empty());
            let left = match indexes.find(filter, restricted.as_ref(), enough)? {
                Ok(found) => {
                    let count = found.slots.len();
                    restrict(restricted, found.slots);
                    let rows = restricted.as_ref().map_or(0, RoaringBitmap::len);
                    self.narrowed(("index", found.access), described(filter), count, rows, since);
                    (!found.exact).then_some("checked again")
                }
                Err(NotIndexed::NoIndex) => Some("no index"),
                Err(NotIndexed::TooMuch) => Some("too much of the index"),
            };
            if let Some(why) = left {
                let compiled = Compiled::new::<NodeRecord<'_>>(filter, self.txn)?;
                residual
                    .push(Residual { compiled, detail: format!("{} ({why})", described(filter)) });
            }
        }
        Ok(())
    }
}

fn restrict(restricted: &mut Option<RoaringBitmap>, slots: RoaringBitmap) {
    *restricted = Some(match restricted.take() {
        Some(so_far) => so_far & slots,
        None => slots,
    });
}

/// A condition that is read from the nodes.
struct Residual {
    compiled: Compiled,
    /// Its properties, and why they are read.
    detail: String,
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

/// The properties of a condition.
fn described(filter: &Filter) -> String {
    let all = |filters: &[Filter], word: &str| {
        filters.iter().map(described).collect::<Vec<_>>().join(word)
    };
    match filter {
        Filter::All(filters) => all(filters, " and "),
        Filter::Any(filters) => all(filters, " or "),
        Filter::Not(filter) => format!("not {}", described(filter)),
        Filter::Test { property, .. } => property.clone(),
    }
}
