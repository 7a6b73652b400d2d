//! Reading, the same over a snapshot and inside a write transaction.

use std::sync::Arc;

use embedded_db_common::record::{self, Damaged, Read};
use embedded_db_common::{
    ContentHash, Error, Lsn, MAX_NAME, NamespaceId, Result, Slot, SpaceId, Symbol,
};
use heed::RoTxn;

use crate::adjacency::{self, Neighbor};
use crate::hidden::Hidden;
use crate::keys::{self, Direction, Key, Kind, Table};
use crate::postings::{self, Container, IndexId};
use crate::records::{
    ChangeRecord, DatabaseCounters, EdgeRecord, EmbeddingRecord, NamespaceCounters, NodeRecord,
    SpaceRecord, WorkRecord,
};
use crate::store::{Generation, Store};

/// Tags of the rows of the meta table.
pub(crate) mod meta {
    pub(crate) const COUNTERS: u8 = 1;
    pub(crate) const NAMESPACE: u8 = 2;
    pub(crate) const SPACE: u8 = 3;
    pub(crate) const DEFAULT_SPACE: u8 = 4;
    pub(crate) const INDEX: u8 = 5;
    pub(crate) const SUCCESSOR: u8 = 7;
    pub(crate) const RECIPE: u8 = 10;
}

/// Tags of the rows of the symbol table.
pub(crate) mod symbols {
    pub(crate) const BY_NAME: u8 = 0;
    pub(crate) const BY_NUMBER: u8 = 1;
}

/// A consistent state of the store that can be read.
pub trait ReadTxn {
    /// The store.
    fn store(&self) -> &Store;
    /// The generation in which its slots mean something.
    fn generation(&self) -> &Generation;
    /// The LMDB transaction.
    fn raw(&self) -> &RoTxn<'_>;

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
        match self.generation().table(table).get(self.raw(), key) {
            Ok(Some(sealed)) => self.opened(table, key, sealed).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(self.generation().lmdb_error(error)),
        }
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
        let rows = self.generation().table(table).prefix_iter(self.raw(), prefix);
        let rows = rows.map_err(|error| self.generation().lmdb_error(error))?;
        Ok(rows.map(move |row| self.row(table, row)))
    }

    /// All rows from `start` on whose key begins with `prefix`.
    fn prefix_from<'t>(
        &'t self,
        table: Table,
        prefix: Key,
        start: &[u8],
    ) -> Result<impl Iterator<Item = Result<(&'t [u8], &'t [u8])>> + 't> {
        let from = (std::ops::Bound::Included(start), std::ops::Bound::Unbounded);
        let rows = self.generation().table(table).range(self.raw(), &from);
        let rows = rows.map_err(|error| self.generation().lmdb_error(error))?;
        Ok(rows
            .take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
            .map(move |row| self.row(table, row)))
    }

    /// Checks one row of an iteration.
    fn row<'t>(
        &self,
        table: Table,
        row: heed::Result<(&'t [u8], &'t [u8])>,
    ) -> Result<(&'t [u8], &'t [u8])> {
        let (key, sealed) = row.map_err(|error| self.generation().lmdb_error(error))?;
        Ok((key, self.opened(table, key, sealed)?))
    }

    // ---- database and namespaces

    /// Database-wide counters.
    fn counters(&self) -> Result<DatabaseCounters> {
        let key = Key::new(NamespaceId::SYSTEM).u8(meta::COUNTERS);
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
        let key = Key::new(namespace).u8(meta::COUNTERS);
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
        let key = Key::new(NamespaceId::SYSTEM).u8(meta::NAMESPACE).bytes(name.as_bytes());
        let Some(payload) = self.get(Table::Meta, &key)? else { return Ok(None) };
        let id = payload.try_into().map_err(|_| Damaged("has no number"));
        self.located(Table::Meta, &key, id).map(|id| Some(NamespaceId(u32::from_be_bytes(id))))
    }

    /// Whether a namespace exists (still).
    fn has_namespace(&self, namespace: NamespaceId) -> Result<bool> {
        let key = Key::new(namespace).u8(meta::NAMESPACE);
        Ok(self.get(Table::Meta, &key)?.is_some())
    }

    /// All namespaces, by name.
    fn namespaces(&self) -> Result<Vec<(String, NamespaceId)>> {
        let prefix = Key::new(NamespaceId::SYSTEM).u8(meta::NAMESPACE);
        let mut out = Vec::new();
        for row in self.prefix(Table::Meta, &prefix)? {
            let (key, payload) = row?;
            let name = std::str::from_utf8(&key[prefix.len()..]);
            let name = self.located(Table::Meta, key, name.map_err(|_| Damaged("is no name")))?;
            let name = name.to_owned();
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

    /// Calls `visit` with every id of a kind that is stored, in the order of their bytes, and where it
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
        let prefix = keys::id(namespace, kind, "");
        for row in self.prefix(Table::Ids, &prefix)? {
            let (key, payload) = row?;
            let id = std::str::from_utf8(&key[prefix.len()..]).map_err(|_| Damaged("is no id"));
            let id = self.located(Table::Ids, key, id)?;
            visit(id, self.located(Table::Ids, key, Resolved::parse(payload))?)?;
        }
        Ok(())
    }

    /// Whether an edge is not seen because one of its ends is not.
    fn hides_edge(&self, namespace: NamespaceId, edge: Slot) -> Result<bool> {
        let Some(hidden) = self.hidden(namespace) else { return Ok(false) };
        let edge = self.edge(namespace, edge)?;
        Ok(edge.is_some_and(|edge| hidden.has(edge.source) || hidden.has(edge.target)))
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
            let hides = EdgeRecord::parse(payload)
                .is_ok_and(|edge| hidden.has(edge.source) || hidden.has(edge.target));
            hides || visit(slot, payload)
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
            let slot = key.last_chunk::<4>().ok_or(Damaged("has a short key"));
            let slot = Slot(u32::from_be_bytes(*self.located(table, key, slot)?));
            if !visit(slot, payload) {
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
            let edge_type = adjacency_type_of(key).ok_or(Damaged("has a short key"));
            let edge_type = self.located(Table::Adjacency, key, edge_type)?;
            for neighbor in self.located(Table::Adjacency, key, adjacency::entries(payload))? {
                let seen = match hidden {
                    Some(hidden) => hidden.beyond(node, direction, edge_type, neighbor),
                    None => Some(neighbor),
                };
                let Some(neighbor) = seen else { continue };
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
                let found = self.generation().table(Table::Adjacency);
                let found = found.get_lower_than_or_equal_to(self.raw(), &at);
                match found.map_err(|error| self.generation().lmdb_error(error))? {
                    Some((key, _)) if key.starts_with(&prefix) => key.to_vec(),
                    _ => prefix.to_vec(),
                }
            }
            None => prefix.to_vec(),
        };
        for row in self.prefix_from(Table::Adjacency, prefix, &start)? {
            let (key, payload) = row?;
            for neighbor in self.located(Table::Adjacency, key, adjacency::entries(payload))? {
                let seen = match self.hidden(namespace) {
                    Some(hidden) => hidden.beyond(node, direction, edge_type, neighbor),
                    None => Some(neighbor),
                };
                let Some(neighbor) = seen else { continue };
                if after.is_none_or(|after| neighbor.edge > after) && !visit(neighbor) {
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
        if self.hidden(namespace).is_some() {
            let mut last = None;
            self.neighbors(namespace, node, direction, Some(edge_type), |_, neighbor| {
                last = Some(neighbor);
                true
            })?;
            return Ok(last);
        }
        let prefix = keys::adjacency_type(namespace, node, direction, edge_type);
        let end = prefix.u32(u32::MAX);
        let found =
            self.generation().table(Table::Adjacency).get_lower_than_or_equal_to(self.raw(), &end);
        match found.map_err(|error| self.generation().lmdb_error(error))? {
            Some((key, sealed)) if key.starts_with(&prefix) => {
                let payload = self.opened(Table::Adjacency, key, sealed)?;
                Ok(self.located(Table::Adjacency, key, adjacency::entries(payload))?.next_back())
            }
            _ => Ok(None),
        }
    }

    // ---- embeddings

    /// All spaces.
    fn spaces(&self) -> Result<Vec<(SpaceId, SpaceRecord)>> {
        let prefix = Key::new(NamespaceId::SYSTEM).u8(meta::SPACE);
        let mut out = Vec::new();
        for row in self.prefix(Table::Meta, &prefix)? {
            let (key, payload) = row?;
            let id = key.last_chunk::<2>().ok_or(Damaged("has a short key"));
            let id = u16::from_be_bytes(*self.located(Table::Meta, key, id)?);
            out.push((SpaceId(id), self.located(Table::Meta, key, SpaceRecord::parse(payload))?));
        }
        Ok(out)
    }

    /// The space used when none is named.
    fn default_space(&self) -> Result<Option<SpaceId>> {
        let key = Key::new(NamespaceId::SYSTEM).u8(meta::DEFAULT_SPACE);
        let Some(payload) = self.get(Table::Meta, &key)? else { return Ok(None) };
        let id = payload.try_into().map_err(|_| Damaged("has no number"));
        self.located(Table::Meta, &key, id).map(|id| Some(SpaceId(u16::from_be_bytes(id))))
    }

    /// One vector.
    fn embedding(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
        part: u16,
    ) -> Result<Option<EmbeddingRecord<'_>>> {
        let key = keys::embedding(namespace, space, node, part);
        let Some(payload) = self.get(Table::Embeddings, &key)? else { return Ok(None) };
        self.located(Table::Embeddings, &key, EmbeddingRecord::parse(payload)).map(Some)
    }

    /// All parts of a node's embedding.
    fn embeddings_of(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
    ) -> Result<Vec<(u16, EmbeddingRecord<'_>)>> {
        let mut out = Vec::new();
        for row in self.prefix(Table::Embeddings, &keys::embedding_node(namespace, space, node))? {
            let (key, payload) = row?;
            out.push((
                self.located(Table::Embeddings, key, embedding_part(key))?,
                self.located(Table::Embeddings, key, EmbeddingRecord::parse(payload))?,
            ));
        }
        Ok(out)
    }

    /// Calls `visit` with every vector of a space.
    fn scan_embeddings(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        mut visit: impl FnMut(Slot, u16, EmbeddingRecord<'_>) -> Result<()>,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let prefix = Key::new(namespace).u16(space.0);
        for row in self.prefix(Table::Embeddings, &prefix)? {
            let (key, payload) = row?;
            let node = key.get(6..10).and_then(|bytes| bytes.try_into().ok());
            let node =
                self.located(Table::Embeddings, key, node.ok_or(Damaged("has a short key")))?;
            let part = self.located(Table::Embeddings, key, embedding_part(key))?;
            let record = self.located(Table::Embeddings, key, EmbeddingRecord::parse(payload))?;
            visit(Slot(u32::from_be_bytes(node)), part, record)?;
        }
        Ok(())
    }

    /// A node whose vector was computed from a text with this hash.
    fn embedding_of_text(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        content: ContentHash,
    ) -> Result<Option<Slot>> {
        let prefix = Key::new(namespace).u16(space.0).bytes(&content.0);
        match self.prefix(Table::Hashes, &prefix)?.next() {
            Some(row) => {
                let (key, _) = row?;
                let slot = key.last_chunk::<4>().ok_or(Damaged("has a short key"));
                let slot = self.located(Table::Hashes, key, slot)?;
                Ok(Some(Slot(u32::from_be_bytes(*slot))))
            }
            None => Ok(None),
        }
    }

    // ---- postings, work, changes

    /// Calls `visit` with every container of a value.
    fn containers(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        mut visit: impl FnMut(Container<'_>) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let prefix = postings::value_key(namespace, index, value);
        for row in self.prefix(Table::Postings, &prefix)? {
            let (key, payload) = row?;
            // A longer key belongs to another value that begins alike.
            if key.len() != prefix.len() + 4 {
                continue;
            }
            if !visit(self.located(Table::Postings, key, Container::parse(key, payload))?) {
                break;
            }
        }
        Ok(())
    }

    /// Calls `visit` with every value of an index and each of its containers, until it returns false.
    fn index_values(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        mut visit: impl FnMut(&[u8], Container<'_>) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let prefix = postings::value_key(namespace, index, &[]);
        for row in self.prefix(Table::Postings, &prefix)? {
            let (key, payload) = row?;
            let container = self.located(Table::Postings, key, Container::parse(key, payload))?;
            let value = key.get(prefix.len()..key.len() - 4).ok_or(Damaged("has a short key"));
            if !visit(self.located(Table::Postings, key, value)?, container) {
                break;
            }
        }
        Ok(())
    }

    /// Whether a slot is in a posting.
    fn posted(
        &self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slot: Slot,
    ) -> Result<bool> {
        let key = postings::container_key(namespace, index, value, slot);
        let Some(payload) = self.get(Table::Postings, &key)? else { return Ok(false) };
        let container = self.located(Table::Postings, &key, Container::parse(&key, payload))?;
        Ok(container.slots().any(|found| found == slot.0))
    }

    /// Calls `visit` with the containers of nodes for which work of one kind waits, namespace by
    /// namespace, until it returns false.
    fn pending(
        &self,
        artefact: u8,
        mut visit: impl FnMut(NamespaceId, Container<'_>) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let prefix = postings::value_key(NamespaceId::SYSTEM, IndexId::PENDING, &[artefact]);
        for row in self.prefix(Table::Postings, &prefix)? {
            let (key, payload) = row?;
            let namespace = key.get(9..13).and_then(|bytes| bytes.try_into().ok());
            let namespace = namespace.ok_or(Damaged("has a short key"));
            let namespace = self.located(Table::Postings, key, namespace)?;
            let container = self.located(Table::Postings, key, Container::parse(key, payload))?;
            if !visit(NamespaceId(u32::from_be_bytes(namespace)), container) {
                break;
            }
        }
        Ok(())
    }

    /// What is known of work that has failed.
    fn work(&self, namespace: NamespaceId, slot: Slot, artefact: u8) -> Result<Option<WorkRecord>> {
        let key = keys::slot(namespace, slot).u8(artefact);
        let Some(payload) = self.get(Table::Work, &key)? else { return Ok(None) };
        self.located(Table::Work, &key, WorkRecord::parse(payload)).map(Some)
    }

    /// Calls `visit` with all work that has failed.
    fn scan_work(
        &self,
        mut visit: impl FnMut(NamespaceId, Slot, u8, WorkRecord) -> Result<()>,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let rows = self.generation().table(Table::Work).iter(self.raw());
        for row in rows.map_err(|error| self.generation().lmdb_error(error))? {
            let (key, payload) = self.row(Table::Work, row)?;
            let parts: Result<[u8; 9], _> = key.try_into();
            let parts = parts.map_err(|_| Damaged("has a key of the wrong length"));
            let [a, b, c, d, e, f, g, h, artefact] = self.located(Table::Work, key, parts)?;
            let namespace = NamespaceId(u32::from_be_bytes([a, b, c, d]));
            let slot = Slot(u32::from_be_bytes([e, f, g, h]));
            let record = self.located(Table::Work, key, WorkRecord::parse(payload))?;
            visit(namespace, slot, artefact, record)?;
        }
        Ok(())
    }

    // ---- what expires

    /// Calls `visit` with the nodes of a namespace that expire from a time on, in the order of time,
    /// until it returns false.
    fn expiries(
        &self,
        namespace: NamespaceId,
        from: i64,
        mut visit: impl FnMut(i64, Slot) -> bool,
    ) -> Result<()>
    where
        Self: Sized,
    {
        let start = keys::expiry(namespace, from, Slot(0));
        for row in self.prefix_from(Table::Expiry, Key::new(namespace), &start)? {
            let (key, _) = row?;
            let parts = keys::parse_expiry(key).ok_or(Damaged("has a key of the wrong length"));
            let (_, at, node) = self.located(Table::Expiry, key, parts)?;
            if !visit(at, node) {
                break;
            }
        }
        Ok(())
    }

    /// The namespaces that have nodes which expire, each with the earliest time.
    fn first_expiries(&self) -> Result<Vec<(NamespaceId, i64)>> {
        let mut out = Vec::new();
        let mut next = Some(NamespaceId::SYSTEM);
        while let Some(namespace) = next {
            let key = Key::new(namespace);
            let found = self.generation().table(Table::Expiry);
            let found = found.get_greater_than_or_equal_to(self.raw(), &key);
            let Some((key, _)) = found.map_err(|error| self.generation().lmdb_error(error))? else {
                break;
            };
            let parts = keys::parse_expiry(key).ok_or(Damaged("has a key of the wrong length"));
            let (namespace, at, _) = self.located(Table::Expiry, key, parts)?;
            out.push((namespace, at));
            next = namespace.0.checked_add(1).map(NamespaceId);
        }
        Ok(out)
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
        let start = keys::change(Lsn(after.0 + 1));
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

fn adjacency_type_of(key: &[u8]) -> Option<Symbol> {
    let bytes = key.get(9..13)?.try_into().ok()?;
    Some(Symbol(u32::from_be_bytes(bytes)))
}

fn embedding_part(key: &[u8]) -> Read<u16> {
    let bytes = key.last_chunk::<2>().ok_or(Damaged("has a short key"))?;
    Ok(u16::from_be_bytes(*bytes))
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
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.slot.0.to_be_bytes());
        if self.space != SpaceId(0) {
            out.extend_from_slice(&self.space.0.to_be_bytes());
            out.extend_from_slice(&self.part.to_be_bytes());
        }
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        match *payload {
            [a, b, c, d] => Ok(Self {
                slot: Slot(u32::from_be_bytes([a, b, c, d])),
                space: SpaceId(0),
                part: 0,
            }),
            [a, b, c, d, e, f, g, h] => Ok(Self {
                slot: Slot(u32::from_be_bytes([a, b, c, d])),
                space: SpaceId(u16::from_be_bytes([e, f])),
                part: u16::from_be_bytes([g, h]),
            }),
            _ => Err(Damaged("has the wrong length")),
        }
    }
}
