//! Reading, the same over a snapshot and inside a write transaction.

mod embeddings;
mod expiries;
mod postings;
mod work;

use std::sync::Arc;

use embedded_db_common::record::{self, Damaged, Read};
use embedded_db_common::{Error, Lsn, MAX_NAME, NamespaceId, Result, Slot, SpaceId, Symbol};

use crate::adjacency::{self, Neighbor};
use crate::hidden::Hidden;
use crate::keys::{self, Direction, Key, Kind, Table};
use crate::records::{ChangeRecord, DatabaseCounters, EdgeRecord, NamespaceCounters, NodeRecord};
use crate::rows::{Rows, after_prefix};
use crate::store::{Generation, Store, stored_name};

pub use embeddings::ReadEmbeddings;
pub use expiries::ReadExpiries;
pub use postings::ReadPostings;
pub use work::ReadWork;

/// A consistent state of the store that can be read.
pub trait ReadTxn {
    /// The store.
    fn store(&self) -> &Store;
    /// The generation in which its slots mean something.
    fn generation(&self) -> &Generation;
    /// The rows of its tables.
    fn rows(&self) -> Rows<'_>;

    /// The nodes of a namespace that are stored and not seen. Objects by id, nodes, neighbours and
    /// walks leave them out; postings, vectors and counters do not.
    fn hidden(&self, _namespace: NamespaceId) -> Option<&Hidden> {
        None
    }

    /// Number and name of interned names, as this state knows them.
    fn symbol(&self, name: &str) -> Result<Option<Symbol>>;
    /// The name behind a symbol.
    fn symbol_name(&self, symbol: Symbol) -> Result<Arc<str>>;

    /// A value, its checksum checked.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>> {
        let sealed = self.rows().get(table, key)?;
        sealed.map(|sealed| self.opened(table, key, sealed)).transpose()
    }

    /// Checks a sealed value.
    fn opened<'t>(&self, table: Table, key: &[u8], sealed: &'t [u8]) -> Result<&'t [u8]> {
        self.located(table, key, record::open(table as u8, key, sealed))
    }

    /// Says where damage was found.
    fn located<T>(&self, table: Table, key: &[u8], read: Read<T>) -> Result<T> {
        read.map_err(|damaged| self.store().corruption(table, key, damaged))
    }

    /// All rows whose key begins with `prefix`, in key order.
    fn prefix<'t>(
        &'t self,
        table: Table,
        prefix: &[u8],
    ) -> Result<impl Iterator<Item = Result<(&'t [u8], &'t [u8])>> + 't> {
        let rows = self.rows().between(table, prefix, after_prefix(prefix).as_deref())?;
        Ok(rows.map(move |row| self.row(table, row)))
    }

    /// All rows from `start` on whose key begins with `prefix`.
    fn prefix_from<'t>(
        &'t self,
        table: Table,
        prefix: Key,
        start: &[u8],
    ) -> Result<impl Iterator<Item = Result<(&'t [u8], &'t [u8])>> + 't> {
        let rows = self.rows().between(table, start, after_prefix(&prefix).as_deref())?;
        Ok(rows.map(move |row| self.row(table, row)))
    }

    /// Calls `visit` with the rows whose key lies from the first to before the second, in key order
    /// or, `backwards`, the last first, until it returns false.
    fn rows_between(
        &self,
        table: Table,
        (from, end): (&[u8], &[u8]),
        backwards: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<()>
    where
        Self: Sized,
    {
        if from >= end {
            return Ok(());
        }
        let rows = self.rows();
        // Whether there is more to see.
        let mut see = |row| {
            let (key, payload) = self.row(table, row)?;
            visit(key, payload)
        };
        if backwards {
            for row in rows.between_backwards(table, from, Some(end))? {
                if !see(row)? {
                    break;
                }
            }
        } else {
            for row in rows.between(table, from, Some(end))? {
                if !see(row)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Checks one row of an iteration.
    fn row<'t>(
        &self,
        table: Table,
        row: Result<(&'t [u8], &'t [u8])>,
    ) -> Result<(&'t [u8], &'t [u8])> {
        let (key, sealed) = row?;
        Ok((key, self.opened(table, key, sealed)?))
    }

    // ---- database and namespaces

    /// Database-wide counters.
    fn counters(&self) -> Result<DatabaseCounters> {
        let key = keys::counters(NamespaceId::SYSTEM);
        match self.get(Table::Meta, &key)? {
            Some(payload) => self.located(Table::Meta, &key, DatabaseCounters::parse(payload)),
            None => Ok(DatabaseCounters::default()),
        }
    }

    /// LSN of the last change that this state holds.
    fn lsn(&self) -> Result<Lsn> {
        Ok(Lsn(self.counters()?.lsn))
    }

    /// Counters of a namespace.
    fn namespace_counters(&self, namespace: NamespaceId) -> Result<NamespaceCounters> {
        let key = keys::counters(namespace);
        match self.get(Table::Meta, &key)? {
            Some(payload) => self.located(Table::Meta, &key, NamespaceCounters::parse(payload)),
            None => Ok(NamespaceCounters::default()),
        }
    }

    /// The namespace of this name.
    fn namespace(&self, name: &str) -> Result<Option<NamespaceId>> {
        if name.len() > MAX_NAME {
            return Ok(None);
        }
        let key = keys::namespace_number(name);
        let Some(payload) = self.get(Table::Meta, &key)? else { return Ok(None) };
        let id = payload.try_into().map_err(|_| Damaged("has no number"));
        self.located(Table::Meta, &key, id).map(|id| Some(NamespaceId(u32::from_be_bytes(id))))
    }

    /// Whether a namespace exists (still).
    fn has_namespace(&self, namespace: NamespaceId) -> Result<bool> {
        Ok(self.get(Table::Meta, &keys::namespace_name(namespace))?.is_some())
    }

    /// All namespaces, by name.
    fn namespaces(&self) -> Result<Vec<(String, NamespaceId)>> {
        let prefix = keys::namespace_numbers();
        let mut out = Vec::new();
        for row in self.prefix(Table::Meta, &prefix)? {
            let (key, payload) = row?;
            let name = stored_name(key.get(prefix.len()..).unwrap_or_default());
            let name = self.located(Table::Meta, key, name)?.to_owned();
            let id = payload.try_into().map_err(|_| Damaged("has no number"));
            out.push((name, NamespaceId(u32::from_be_bytes(self.located(Table::Meta, key, id)?))));
        }
        Ok(out)
    }

    // ---- objects

    /// The slot behind a user id, and for an embedding its space and part.
    fn resolve(&self, namespace: NamespaceId, kind: Kind, id: &str) -> Result<Option<Resolved>> {
        if id.len() > MAX_NAME {
            return Ok(None);
        }
        let key = keys::id(namespace, kind, id);
        let Some(payload) = self.get(Table::Ids, &key)? else { return Ok(None) };
        let found = self.located(Table::Ids, &key, Resolved::parse(payload))?;
        let hides = match (self.hidden(namespace), kind) {
            (None, _) => false,
            (Some(_), Kind::Edge) => self.hides_edge(namespace, found.slot)?,
            (Some(hidden), _) => hidden.has(found.slot),
        };
        Ok((!hides).then_some(found))
    }

    /// Calls `visit` with every id of a kind that is stored, in the order of their keys, and where it
    /// leads.
    fn ids(
        &self,
        namespace: NamespaceId,
        kind: Kind,
        mut visit: impl FnMut(&str, Resolved) -> Result<()>,
    ) -> Result<()>
    where
        Self: Sized,
    {
        for row in self.prefix(Table::Ids, &Key::new(namespace))? {
            let (key, payload) = row?;
            let found = keys::kind_and_id(key).ok_or(Damaged("has a short key"));
            let (of, id) = self.located(Table::Ids, key, found)?;
            if of == Some(kind) {
                let id = id.concat();
                let id = self.located(Table::Ids, key, stored_name(&id))?;
                visit(id, self.located(Table::Ids, key, Resolved::parse(payload))?)?;
            }
        }
        Ok(())
    }

    /// Whether an edge is not seen because one of its ends is not.
    fn hides_edge(&self, namespace: NamespaceId, edge: Slot) -> Result<bool> {
        let Some(hidden) = self.hidden(namespace) else { return Ok(false) };
        Ok(self.edge(namespace, edge)?.is_some_and(|edge| hidden.has_end(&edge)))
    }

    /// Whether a node is not seen.
    fn hides_node(&self, namespace: NamespaceId, node: Slot) -> bool {
        self.hidden(namespace).is_some_and(|hidden| hidden.has(node))
    }

    /// The slot of a node.
    fn node_slot(&self, namespace: NamespaceId, id: &str) -> Result<Option<Slot>> {
        Ok(self.resolve(namespace, Kind::Node, id)?.map(|found| found.slot))
    }

    /// The slot of a node that must exist.
    fn require_node(&self, namespace: NamespaceId, id: &str) -> Result<Slot> {
        self.node_slot(namespace, id)?
            .ok_or_else(|| Error::NotFound { kind: "node", id: id.to_owned() })
    }

    /// The payload of a node record.
    fn node_payload(&self, namespace: NamespaceId, slot: Slot) -> Result<Option<&[u8]>> {
        if self.hides_node(namespace, slot) {
            return Ok(None);
        }
        self.get(Table::Nodes, &keys::slot(namespace, slot))
    }

    /// A node.
    fn node(&self, namespace: NamespaceId, slot: Slot) -> Result<Option<NodeRecord<'_>>> {
        let key = keys::slot(namespace, slot);
        let Some(payload) = self.node_payload(namespace, slot)? else { return Ok(None) };
        self.located(Table::Nodes, &key, NodeRecord::parse(payload)).map(Some)
    }

    /// The node in a slot that something stored names: its absence is damage.
    fn stored_node(&self, namespace: NamespaceId, slot: Slot) -> Result<NodeRecord<'_>> {
        let node = self.node(namespace, slot)?.ok_or(Damaged("is missing"));
        self.located(Table::Nodes, &keys::slot(namespace, slot), node)
    }

    /// Calls `visit` with the nodes from a slot on, by slot, until it returns false.
    fn nodes_from(
        &self,
        namespace: NamespaceId,
        first: Slot,
        mut visit: impl FnMut(Slot, &[u8]) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let mut seen =
            |slot, payload: &[u8]| self.hides_node(namespace, slot) || visit(slot, payload);
        self.slots_from(Table::Nodes, namespace, first, &mut seen)
    }

    /// Calls `visit` with the edges from a slot on, by slot, until it returns false.
    fn edges_from(
        &self,
        namespace: NamespaceId,
        first: Slot,
        mut visit: impl FnMut(Slot, &[u8]) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let Some(hidden) = self.hidden(namespace) else {
            return self.slots_from(Table::Edges, namespace, first, &mut visit);
        };
        let mut seen = |slot, payload: &[u8]| {
            // What cannot be read is for `visit` to say.
            EdgeRecord::parse(payload).is_ok_and(|edge| hidden.has_end(&edge))
                || visit(slot, payload)
        };
        self.slots_from(Table::Edges, namespace, first, &mut seen)
    }

    /// Rows of a table that is keyed by slot.
    fn slots_from(
        &self,
        table: Table,
        namespace: NamespaceId,
        first: Slot,
        visit: &mut dyn FnMut(Slot, &[u8]) -> bool,
    ) -> Result<()> {
        let start = keys::slot(namespace, first);
        for row in self.prefix_from(table, Key::new(namespace), &start)? {
            let (key, payload) = row?;
            let slot = self.located(table, key, keys::last_u32(key))?;
            if !visit(Slot(slot), payload) {
                break;
            }
        }
        Ok(())
    }

    /// The payload of an edge record.
    fn edge_payload(&self, namespace: NamespaceId, slot: Slot) -> Result<Option<&[u8]>> {
        self.get(Table::Edges, &keys::slot(namespace, slot))
    }

    /// An edge.
    fn edge(&self, namespace: NamespaceId, slot: Slot) -> Result<Option<EdgeRecord<'_>>> {
        let key = keys::slot(namespace, slot);
        let Some(payload) = self.get(Table::Edges, &key)? else { return Ok(None) };
        self.located(Table::Edges, &key, EdgeRecord::parse(payload)).map(Some)
    }

    /// The edge in a slot that something stored names: its absence is damage.
    fn stored_edge(&self, namespace: NamespaceId, slot: Slot) -> Result<EdgeRecord<'_>> {
        let edge = self.edge(namespace, slot)?.ok_or(Damaged("is missing"));
        self.located(Table::Edges, &keys::slot(namespace, slot), edge)
    }

    /// Calls `visit` with the neighbours of one type, or of all, until it returns false. Within a
    /// type they come in the order in which their edges were made.
    fn neighbors(
        &self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Option<Symbol>,
        mut visit: impl FnMut(Symbol, Neighbor) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let prefix = match edge_type {
            Some(edge_type) => keys::adjacency_type(namespace, node, direction, edge_type),
            None => keys::adjacency_node(namespace, node, direction),
        };
        let hidden = self.hidden(namespace);
        for row in self.prefix(Table::Adjacency, &prefix)? {
            let (key, payload) = row?;
            let edge_type = Symbol(self.located(Table::Adjacency, key, keys::u32_at(key, 9))?);
            for neighbor in self.located(Table::Adjacency, key, adjacency::entries(payload))? {
                let Some(neighbor) = Hidden::seen(hidden, (node, direction, edge_type), neighbor)
                else {
                    continue;
                };
                if !visit(edge_type, neighbor) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The neighbours of one type whose edges come after `after`, oldest first.
    fn neighbors_after(
        &self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Symbol,
        after: Option<Slot>,
        mut visit: impl FnMut(Neighbor) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let prefix = keys::adjacency_type(namespace, node, direction, edge_type);
        let start = match after {
            // The chunk that holds `after` may begin before it.
            Some(after) => {
                let at = keys::adjacency(namespace, node, direction, edge_type, after);
                match self.rows().at_or_before(Table::Adjacency, &at)? {
                    Some((key, _)) if key.starts_with(&prefix) => key.to_vec(),
                    _ => prefix.to_vec(),
                }
            }
            None => prefix.to_vec(),
        };
        let hidden = self.hidden(namespace);
        for row in self.prefix_from(Table::Adjacency, prefix, &start)? {
            let (key, payload) = row?;
            for neighbor in self.located(Table::Adjacency, key, adjacency::entries(payload))? {
                let Some(neighbor) = Hidden::seen(hidden, (node, direction, edge_type), neighbor)
                else {
                    continue;
                };
                if after.is_none_or(|after| neighbor.edge > after) && !visit(neighbor) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The neighbours of one type whose edges come before `before`, newest first.
    fn neighbors_before(
        &self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Symbol,
        before: Option<Slot>,
        mut visit: impl FnMut(Neighbor) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let prefix = keys::adjacency_type(namespace, node, direction, edge_type);
        let end = match before {
            // Nothing in a chunk comes before its key.
            Some(before) => {
                Some(keys::adjacency(namespace, node, direction, edge_type, before).to_vec())
            }
            None => after_prefix(&prefix),
        };
        let hidden = self.hidden(namespace);
        let rows = self.rows().between_backwards(Table::Adjacency, &prefix, end.as_deref())?;
        for row in rows {
            let (key, payload) = self.row(Table::Adjacency, row)?;
            let entries = self.located(Table::Adjacency, key, adjacency::entries(payload))?;
            for neighbor in entries.rev() {
                let Some(neighbor) = Hidden::seen(hidden, (node, direction, edge_type), neighbor)
                else {
                    continue;
                };
                if before.is_none_or(|before| neighbor.edge < before) && !visit(neighbor) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The neighbour at the end of the newest edge of a type.
    fn last_neighbor(
        &self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Symbol,
    ) -> Result<Option<Neighbor>>
    where
        Self: Sized,
    {
        let mut last = None;
        self.neighbors_before(namespace, node, direction, edge_type, None, |neighbor| {
            last = Some(neighbor);
            false
        })?;
        Ok(last)
    }

    // ---- changes

    /// The oldest change that is still there.
    fn oldest_change(&self) -> Result<Option<Lsn>>
    where
        Self: Sized,
    {
        let mut oldest = None;
        self.changes_after(Lsn(0), |lsn, _| {
            oldest = Some(lsn);
            Ok(false)
        })?;
        Ok(oldest)
    }

    /// Calls `visit` with every change after `after`, in order, until it returns false. A change of a
    /// kind that only a later version knows is `None`.
    fn changes_after(
        &self,
        after: Lsn,
        mut visit: impl FnMut(Lsn, Option<ChangeRecord<'_>>) -> Result<bool>,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let prefix = Key::new(NamespaceId::SYSTEM);
        // Nothing comes after the last number that there is.
        let Some(first) = after.0.checked_add(1) else { return Ok(()) };
        let start = keys::change(Lsn(first));
        for row in self.prefix_from(Table::Changes, prefix, &start)? {
            let (key, payload) = row?;
            let lsn = key.last_chunk::<8>().ok_or(Damaged("has a short key"));
            let lsn = Lsn(u64::from_be_bytes(*self.located(Table::Changes, key, lsn)?));
            let change = self.located(Table::Changes, key, ChangeRecord::parse(payload))?;
            if !visit(lsn, change)? {
                break;
            }
        }
        Ok(())
    }
}

/// Where a user id leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The object's slot; of an embedding, its node's.
    pub slot: Slot,
    /// Space of an embedding.
    pub space: SpaceId,
    /// Part of an embedding.
    pub part: u16,
}

impl Resolved {
    /// A node or an edge.
    pub(crate) fn of(slot: Slot) -> Self {
        Self { slot, space: SpaceId(0), part: 0 }
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.slot.0.to_be_bytes());
        if self.space != SpaceId(0) {
            out.extend_from_slice(&self.space.0.to_be_bytes());
            out.extend_from_slice(&self.part.to_be_bytes());
        }
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        match *payload {
            [a, b, c, d] => Ok(Self::of(Slot(u32::from_be_bytes([a, b, c, d])))),
            // 0 is no space.
            [_, _, _, _, 0, 0, _, _] => Err(Damaged("names no space")),
            [a, b, c, d, e, f, g, h] => Ok(Self {
                slot: Slot(u32::from_be_bytes([a, b, c, d])),
                space: SpaceId(u16::from_be_bytes([e, f])),
                part: u16::from_be_bytes([g, h]),
            }),
            _ => Err(Damaged("has the wrong length")),
        }
    }
}
