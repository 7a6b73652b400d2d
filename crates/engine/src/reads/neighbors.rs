//! What lies at the other end of edges, page by page.

use std::collections::HashSet;

use embedded_db_common::{Error, Result, Slot, Symbol};
use embedded_db_query::{AsOf, Reach};
use embedded_db_storage::{Kind, Neighbor, ReadTxn};

use crate::objects::{Edge, Node};
use crate::reads::Reader;

/// Direction, type and slot of an edge at a node.
pub(crate) type EdgePlace = (u8, u32, u32);

/// Part of a long list, and where it goes on.
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass it as `after` to get the next page; `None` at the end.
    pub next: Option<String>,
}

impl Reader<'_> {
    /// Ends of edges in a fixed order: direction, type, age.
    fn adjacent(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(Slot, Slot)>> {
        let node = self.snapshot.require_node(self.namespace, id)?;
        let after = after.map(|after| self.place_after(after)).transpose()?;
        let types = self.types(types)?;
        let mut items = Vec::new();
        let (mut last, mut more, mut failed) = (None, false, None);
        for direction in direction.directions() {
            for edge_type in &types {
                if more || failed.is_some() {
                    break;
                }
                let visit = |edge_type: Symbol, neighbor: Neighbor| {
                    let place = (*direction as u8, edge_type.0, neighbor.edge.0);
                    if after.is_some_and(|after| place <= after) {
                        return true;
                    }
                    match self.counts(neighbor.edge, times) {
                        Ok(true) => {}
                        Ok(false) => return true,
                        Err(error) => {
                            failed = Some(error);
                            return false;
                        }
                    }
                    if items.len() == limit {
                        more = true;
                        return false;
                    }
                    items.push((neighbor.node, neighbor.edge));
                    last = Some(place);
                    true
                };
                let (txn, of) = (self.snapshot, *edge_type);
                times.neighbors(txn, self.namespace, node, *direction, of, visit)?;
            }
        }
        failed.map_or(Ok(()), Err)?;
        let next = match last.filter(|_| more) {
            Some(place) => Some(self.cursor_at(place)?),
            None => None,
        };
        Ok(Page { items, next })
    }

    /// A cursor behind an edge: its place, and its id, for the place is that of one generation.
    pub(crate) fn cursor_at(&self, (direction, edge_type, edge): EdgePlace) -> Result<String> {
        let found = self.snapshot.edge(self.namespace, Slot(edge))?;
        let id = found.ok_or_else(|| self.missing_edge(Slot(edge)))?.id;
        let generation = self.snapshot.generation().number();
        Ok(format!("{direction}.{edge_type}.{edge}.{generation}.{id}"))
    }

    /// The place of a cursor.
    pub(crate) fn place_after(&self, cursor: &str) -> Result<EdgePlace> {
        let mut parts = cursor.splitn(5, '.');
        let parsed = (|| {
            let place = (
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
            );
            Some((place, parts.next()?.parse().ok()?, parts.next()?))
        })();
        let (place, generation, id): (EdgePlace, u64, &str) = parsed.ok_or_else(|| {
            Error::InvalidInput(format!(
                "{cursor:?} is no cursor of this call; pass what it returned"
            ))
        })?;
        if generation == self.snapshot.generation().number() {
            return Ok(place);
        }
        let found = self.snapshot.resolve(self.namespace, Kind::Edge, id)?;
        let found = found.ok_or_else(|| Error::NotFound { kind: "edge", id: id.to_owned() })?;
        Ok((place.0, place.1, found.slot.0))
    }

    /// The types of edges that are asked for, in their order, as far as there are edges of them; one
    /// `None` for all.
    pub(crate) fn types(&self, names: Option<&[String]>) -> Result<Vec<Option<Symbol>>> {
        let Some(names) = names else { return Ok(vec![None]) };
        let mut symbols = Vec::new();
        for name in names {
            symbols.extend(self.snapshot.symbol(name)?);
        }
        symbols.sort_unstable();
        symbols.dedup();
        Ok(symbols.into_iter().map(Some).collect())
    }

    /// Whether an edge among the neighbours counts at a time.
    pub(crate) fn counts(&self, edge: Slot, times: AsOf) -> Result<bool> {
        Ok(times.is_now() || times.edge(self.snapshot, self.namespace, edge)?.is_some())
    }

    pub(crate) fn neighbors(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Node>> {
        let page = self.adjacent(id, types, direction, times, after, limit)?;
        let items = page.items.iter().map(|(node, _)| self.node_at(*node));
        Ok(Page { items: items.collect::<Result<_>>()?, next: page.next })
    }

    pub(crate) fn edges(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Edge>> {
        let page = self.adjacent(id, types, direction, times, after, limit)?;
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        for (_, edge) in page.items {
            // Where a chain closes up over what has expired there is no edge yet. A self loop is both
            // an outgoing and an incoming edge.
            if !self.snapshot.hides_edge(self.namespace, edge)? && seen.insert(edge) {
                items.push(self.edge_at(edge, times)?);
            }
        }
        Ok(Page { items, next: page.next })
    }
}
