//! Writing: the primitives from which every change is made. Each keeps its object, ids, neighbours,
//! counters and the change table in step.

use std::collections::HashMap;
use std::sync::Arc;

use embedded_db_common::record::{Damaged, seal};
use embedded_db_common::{
    ContentHash, Error, Lsn, MAX_PROPERTIES, NamespaceId, Result, Slot, SpaceId, Symbol,
};
use heed::{RoTxn, RwTxn};

use crate::adjacency::{self, CHUNK_ENTRIES, Neighbor};
use crate::keys::{self, Direction, Key, Kind, Table};
use crate::postings::{self, Container, IndexId, Updated};
use crate::read::{ReadTxn, Resolved, meta};
use crate::records::{
    ChangeOp, ChangeRecord, DatabaseCounters, EdgeFields, EmbeddingRecord, NamespaceCounters,
    NodeRecord, SpaceRecord, WorkRecord,
};
use crate::store::{
    Store, stored_symbol, stored_symbol_name, symbol_key, symbol_name_key, write_time,
};

/// Counters and names as the jobs of a group have left them so far.
#[derive(Clone)]
pub(crate) struct GroupState {
    counters: DatabaseCounters,
    namespaces: HashMap<NamespaceId, NamespaceCounters>,
    new_symbols: Vec<(Symbol, Arc<str>)>,
    now: i64,
    pub(crate) dirty: bool,
}

impl GroupState {
    pub(crate) fn load(store: &Store, txn: &RoTxn<'_>) -> Result<Self> {
        let key = Key::new(NamespaceId::SYSTEM).u8(meta::COUNTERS);
        let sealed = store.table(Table::Meta).get(txn, &key);
        let counters = match sealed.map_err(|error| store.lmdb_error(error))? {
            Some(sealed) => embedded_db_common::record::open(Table::Meta as u8, &key, sealed)
                .and_then(DatabaseCounters::parse)
                .map_err(|damaged| store.corruption(Table::Meta, &key, damaged))?,
            None => DatabaseCounters::default(),
        };
        let now = write_time(counters.time);
        let (namespaces, new_symbols) = Default::default();
        Ok(Self { counters, namespaces, new_symbols, now, dirty: false })
    }

    pub(crate) fn store(&mut self, store: &Store, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        self.counters.time = self.now;
        let mut put = |key: &Key, mut payload: Vec<u8>| {
            seal(Table::Meta as u8, key, &mut payload);
            store.table(Table::Meta).put(txn, key, &payload)
        };
        for (namespace, counters) in &self.namespaces {
            let mut payload = Vec::new();
            counters.encode(&mut payload);
            put(&Key::new(*namespace).u8(meta::COUNTERS), payload)?;
        }
        let mut payload = Vec::new();
        self.counters.encode(&mut payload);
        put(&Key::new(NamespaceId::SYSTEM).u8(meta::COUNTERS), payload)
    }

    pub(crate) fn publish_symbols(&self, store: &Store) {
        for (symbol, name) in &self.new_symbols {
            store.symbols.insert(*symbol, name);
        }
    }
}

/// A write transaction: reads see what it has written.
pub struct WriteTxn<'e> {
    store: &'e Store,
    txn: RwTxn<'e>,
    state: GroupState,
    map_full: bool,
}

impl<'e> WriteTxn<'e> {
    pub(crate) fn new(store: &'e Store, txn: RwTxn<'e>, state: GroupState) -> Self {
        Self { store, txn, state, map_full: false }
    }

    pub(crate) fn map_full(&self) -> bool {
        self.map_full
    }

    pub(crate) fn keep(self) -> heed::Result<GroupState> {
        self.txn.commit()?;
        Ok(self.state)
    }

    /// The time of this write, microseconds UTC; never before that of an earlier one.
    pub fn now(&self) -> i64 {
        self.state.now
    }

    fn failed(&mut self, error: heed::Error) -> Error {
        if matches!(error, heed::Error::Mdb(heed::MdbError::MapFull)) {
            self.map_full = true;
        }
        self.store.lmdb_error(error)
    }

    pub(crate) fn put(&mut self, table: Table, key: &[u8], mut payload: Vec<u8>) -> Result<()> {
        seal(table as u8, key, &mut payload);
        self.state.dirty = true;
        let put = self.store.table(table).put(&mut self.txn, key, &payload);
        put.map_err(|error| self.failed(error))
    }

    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool> {
        self.state.dirty = true;
        let deleted = self.store.table(table).delete(&mut self.txn, key);
        deleted.map_err(|error| self.failed(error))
    }

    pub(crate) fn namespace_state(
        &mut self,
        namespace: NamespaceId,
    ) -> Result<&mut NamespaceCounters> {
        if !self.state.namespaces.contains_key(&namespace) {
            let counters = self.namespace_counters(namespace)?;
            self.state.namespaces.insert(namespace, counters);
        }
        Ok(self.state.namespaces.entry(namespace).or_default())
    }

    /// Records a change at the LSN just taken. `names` are labels of a node, or the type of an edge.
    fn change(&mut self, change: ChangeRecord<'_>, names: &[Symbol]) -> Result<()> {
        let mut payload = Vec::new();
        change.encode(&mut payload, names);
        let key = keys::change(Lsn(self.state.counters.lsn));
        self.put(Table::Changes, &key, payload)
    }

    /// Stores a record whose bytes count.
    fn put_record(
        &mut self,
        namespace: NamespaceId,
        table: Table,
        key: &[u8],
        payload: Vec<u8>,
    ) -> Result<()> {
        let before = self.get(table, key)?.map_or(0, <[u8]>::len) as u64;
        let after = payload.len() as u64;
        self.put(table, key, payload)?;
        let counters = self.namespace_state(namespace)?;
        counters.bytes = counters.bytes + after - before;
        Ok(())
    }

    /// Removes a record whose bytes count.
    fn delete_record(&mut self, namespace: NamespaceId, table: Table, key: &[u8]) -> Result<()> {
        let before = self.get(table, key)?.map_or(0, <[u8]>::len) as u64;
        self.delete(table, key)?;
        self.namespace_state(namespace)?.bytes -= before;
        Ok(())
    }

    fn next_lsn(&mut self) -> Lsn {
        self.state.counters.lsn += 1;
        Lsn(self.state.counters.lsn)
    }

    // ---- names, namespaces, spaces

    /// The symbol of a name, made when it is new.
    pub fn intern(&mut self, name: &str) -> Result<Symbol> {
        if let Some(symbol) = self.symbol(name)? {
            return Ok(symbol);
        }
        self.state.counters.symbols += 1;
        let symbol = Symbol(self.state.counters.symbols);
        self.put(Table::Symbols, &symbol_key(name), symbol.0.to_be_bytes().to_vec())?;
        self.put(Table::Symbols, &symbol_name_key(symbol), name.as_bytes().to_vec())?;
        self.state.new_symbols.push((symbol, name.into()));
        Ok(symbol)
    }

    /// The namespace of this name, made when it is new.
    pub fn create_namespace(&mut self, name: &str) -> Result<NamespaceId> {
        if let Some(found) = self.namespace(name)? {
            return Ok(found);
        }
        self.state.counters.namespaces += 1;
        let id = NamespaceId(self.state.counters.namespaces);
        let key = Key::new(NamespaceId::SYSTEM).u8(meta::NAMESPACE).bytes(name.as_bytes());
        self.put(Table::Meta, &key, id.0.to_be_bytes().to_vec())?;
        // The namespace's own row: it goes with the namespace.
        self.put(Table::Meta, &Key::new(id).u8(meta::NAMESPACE), name.as_bytes().to_vec())?;
        Ok(id)
    }

    /// Removes a namespace and all that is in it.
    pub fn drop_namespace(&mut self, name: &str) -> Result<bool> {
        let Some(id) = self.namespace(name)? else { return Ok(false) };
        let name_key = Key::new(NamespaceId::SYSTEM).u8(meta::NAMESPACE).bytes(name.as_bytes());
        self.delete(Table::Meta, &name_key)?;
        let (first, end) = (Key::new(id), Key::new(NamespaceId(id.0 + 1)));
        let range = (
            std::ops::Bound::Included(first.as_slice()),
            std::ops::Bound::Excluded(end.as_slice()),
        );
        for table in Table::ALL {
            let removed = self.store.table(table).delete_range(&mut self.txn, &range);
            removed.map_err(|error| self.failed(error))?;
        }
        let mut waiting = Vec::new();
        let prefix = Key::new(NamespaceId::SYSTEM).u32(IndexId::PENDING.0);
        for row in self.prefix(Table::Postings, &prefix)? {
            let (key, _) = row?;
            if key.get(9..13) == Some(&id.0.to_be_bytes()[..]) {
                waiting.push(key.to_vec());
            }
        }
        for key in waiting {
            self.delete(Table::Postings, &key)?;
        }
        self.state.namespaces.remove(&id);
        self.state.dirty = true;
        self.next_lsn();
        let change = ChangeRecord {
            namespace: id,
            kind: Kind::Namespace,
            op: ChangeOp::Delete,
            slot: Slot(u32::MAX),
            space: SpaceId(0),
            version: 1,
            id: name,
        };
        self.change(change, &[])?;
        Ok(true)
    }

    /// A new embedding space.
    pub fn create_space(&mut self, space: &SpaceRecord) -> Result<SpaceId> {
        self.state.counters.spaces += 1;
        let id = u16::try_from(self.state.counters.spaces)
            .map(SpaceId)
            .map_err(|_| Error::InvalidInput("65,535 spaces were made; no more fit".into()))?;
        let mut payload = Vec::new();
        space.encode(&mut payload);
        self.put(Table::Meta, &Key::new(NamespaceId::SYSTEM).u8(meta::SPACE).u16(id.0), payload)?;
        Ok(id)
    }

    /// Makes `space` the one used when none is named.
    pub fn set_default_space(&mut self, space: SpaceId) -> Result<()> {
        let key = Key::new(NamespaceId::SYSTEM).u8(meta::DEFAULT_SPACE);
        self.put(Table::Meta, &key, space.0.to_be_bytes().to_vec())
    }

    // ---- nodes

    /// Stores a new node; its id must be free. `derived` says that the database makes it by itself.
    pub fn insert_node(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        labels: &[Symbol],
        properties: &[u8],
        derived: bool,
    ) -> Result<Slot> {
        check_properties(id, properties)?;
        if self.resolve(namespace, Kind::Node, id)?.is_some() {
            return Err(Error::AlreadyExists { kind: "node", id: id.to_owned() });
        }
        let counters = self.namespace_state(namespace)?;
        let slot = Slot(counters.node_slots);
        counters.node_slots = counters.node_slots.checked_add(1).ok_or_else(slots_used_up)?;
        counters.nodes += 1;
        self.put_id(namespace, Kind::Node, id, Resolved { slot, space: SpaceId(0), part: 0 })?;
        let now = self.now();
        self.put_node(namespace, slot, derived, 1, (now, now), id, labels, properties)?;
        for label in labels {
            self.post(namespace, IndexId::LABEL, &label.0.to_be_bytes(), slot)?;
        }
        Ok(slot)
    }

    /// Replaces the properties of a node. The labels stay.
    pub fn update_node(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        properties: &[u8],
    ) -> Result<()> {
        let node = self.existing_node(namespace, slot)?;
        let (id, version) = (node.id.to_owned(), node.version + 1);
        let times = (node.created_at, self.now());
        let (derived, labels): (bool, Vec<Symbol>) = (node.derived, node.labels().collect());
        check_properties(&id, properties)?;
        self.put_node(namespace, slot, derived, version, times, &id, &labels, properties)
    }

    /// Replaces the properties of a derived node: neither version nor time of a user's change.
    pub fn touch_node(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        properties: &[u8],
    ) -> Result<()> {
        let node = self.existing_node(namespace, slot)?;
        let (id, version) = (node.id.to_owned(), node.version);
        let times = (node.created_at, node.updated_at);
        let (derived, labels): (bool, Vec<Symbol>) = (node.derived, node.labels().collect());
        self.put_node(namespace, slot, derived, version, times, &id, &labels, properties)
    }

    /// Removes a node with its edges, vectors and work. Properties in postings of their own are the
    /// caller's to remove.
    pub fn delete_node(&mut self, namespace: NamespaceId, slot: Slot) -> Result<()> {
        let node = self.existing_node(namespace, slot)?;
        let (id, version) = (node.id.to_owned(), node.version);
        let labels: Vec<Symbol> = node.labels().collect();
        for edge in self.edges_of(namespace, slot)? {
            self.delete_edge(namespace, edge)?;
        }
        let spaces: Vec<SpaceId> = self.spaces()?.into_iter().map(|(space, _)| space).collect();
        for space in spaces {
            self.delete_embeddings(namespace, space, slot)?;
        }
        for label in &labels {
            self.unpost(namespace, IndexId::LABEL, &label.0.to_be_bytes(), slot)?;
        }
        self.delete_record(namespace, Table::Nodes, &keys::slot(namespace, slot))?;
        self.delete(Table::Ids, &keys::id(namespace, Kind::Node, &id))?;
        self.namespace_state(namespace)?.nodes -= 1;
        self.next_lsn();
        let (kind, op, space) = (Kind::Node, ChangeOp::Delete, SpaceId(0));
        self.change(ChangeRecord { namespace, kind, op, slot, space, version, id: &id }, &labels)
    }

    /// Slots of all edges of a node, each once.
    pub fn edges_of(&self, namespace: NamespaceId, node: Slot) -> Result<Vec<Slot>> {
        let mut edges = Vec::new();
        for direction in [Direction::Out, Direction::In] {
            self.neighbors(namespace, node, direction, None, |_, neighbor| {
                edges.push(neighbor.edge);
                true
            })?;
        }
        edges.sort_unstable();
        edges.dedup();
        Ok(edges)
    }

    fn existing_node(&self, namespace: NamespaceId, slot: Slot) -> Result<NodeRecord<'_>> {
        let node = self.node(namespace, slot)?;
        let key = keys::slot(namespace, slot);
        self.located(Table::Nodes, &key, node.ok_or(Damaged("is missing")))
    }

    #[allow(clippy::too_many_arguments)]
    fn put_node(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        derived: bool,
        version: u64,
        (created_at, updated_at): (i64, i64),
        id: &str,
        labels: &[Symbol],
        properties: &[u8],
    ) -> Result<()> {
        let lsn = self.next_lsn();
        let mut payload = Vec::with_capacity(64 + id.len() + properties.len());
        NodeRecord::encode(
            &mut payload,
            derived,
            lsn,
            version,
            created_at,
            updated_at,
            id,
            labels,
            properties,
        );
        self.put_record(namespace, Table::Nodes, &keys::slot(namespace, slot), payload)?;
        let (kind, op, space) = (Kind::Node, ChangeOp::Put, SpaceId(0));
        self.change(ChangeRecord { namespace, kind, op, slot, space, version, id }, labels)
    }

    fn put_id(
        &mut self,
        namespace: NamespaceId,
        kind: Kind,
        id: &str,
        resolved: Resolved,
    ) -> Result<()> {
        let mut payload = Vec::new();
        resolved.encode(&mut payload);
        self.put(Table::Ids, &keys::id(namespace, kind, id), payload)
    }

    // ---- edges

    /// Stores a new edge between two nodes that exist; its id must be free.
    pub fn insert_edge(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        fields: &EdgeFields<'_>,
    ) -> Result<Slot> {
        check_properties(id, fields.properties)?;
        if self.resolve(namespace, Kind::Edge, id)?.is_some() {
            return Err(Error::AlreadyExists { kind: "edge", id: id.to_owned() });
        }
        let counters = self.namespace_state(namespace)?;
        let slot = Slot(counters.edge_slots);
        counters.edge_slots = counters.edge_slots.checked_add(1).ok_or_else(slots_used_up)?;
        counters.edges += 1;
        self.put_id(namespace, Kind::Edge, id, Resolved { slot, space: SpaceId(0), part: 0 })?;
        self.put_edge(namespace, slot, 1, id, fields)?;
        for (node, direction, other) in [
            (fields.source, Direction::Out, fields.target),
            (fields.target, Direction::In, fields.source),
        ] {
            let neighbor = Neighbor { node: other, edge: slot };
            self.add_neighbor(namespace, node, direction, fields.edge_type, neighbor)?;
        }
        Ok(slot)
    }

    /// Replaces what an edge says; its ends and type stay. `version` is the new one.
    pub fn update_edge(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        version: u64,
        id: &str,
        fields: &EdgeFields<'_>,
    ) -> Result<()> {
        check_properties(id, fields.properties)?;
        self.put_edge(namespace, slot, version, id, fields)
    }

    /// Removes an edge.
    pub fn delete_edge(&mut self, namespace: NamespaceId, slot: Slot) -> Result<()> {
        let key = keys::slot(namespace, slot);
        let edge = self.edge(namespace, slot)?.ok_or(Damaged("is missing"));
        let edge = self.located(Table::Edges, &key, edge)?;
        let (id, version) = (edge.id.to_owned(), edge.version);
        let (source, target, edge_type) = (edge.source, edge.target, edge.edge_type);
        self.remove_neighbor(namespace, source, Direction::Out, edge_type, slot)?;
        self.remove_neighbor(namespace, target, Direction::In, edge_type, slot)?;
        self.delete_record(namespace, Table::Edges, &key)?;
        self.delete(Table::Ids, &keys::id(namespace, Kind::Edge, &id))?;
        self.namespace_state(namespace)?.edges -= 1;
        self.next_lsn();
        let (kind, op, space) = (Kind::Edge, ChangeOp::Delete, SpaceId(0));
        let change = ChangeRecord { namespace, kind, op, slot, space, version, id: &id };
        self.change(change, &[edge_type])
    }

    fn put_edge(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        version: u64,
        id: &str,
        fields: &EdgeFields<'_>,
    ) -> Result<()> {
        let lsn = self.next_lsn();
        let mut payload = Vec::with_capacity(96 + id.len() + fields.properties.len());
        fields.encode(&mut payload, lsn, version, id);
        self.put_record(namespace, Table::Edges, &keys::slot(namespace, slot), payload)?;
        let (kind, op, space) = (Kind::Edge, ChangeOp::Put, SpaceId(0));
        let change = ChangeRecord { namespace, kind, op, slot, space, version, id };
        self.change(change, &[fields.edge_type])
    }

    /// The newest chunk whose first edge is at most `edge`: its key and content.
    fn chunk_at(
        &self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Symbol,
        edge: Slot,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let prefix = keys::adjacency_type(namespace, node, direction, edge_type);
        let at = prefix.u32(edge.0);
        let found = self.store.table(Table::Adjacency).get_lower_than_or_equal_to(self.raw(), &at);
        match found.map_err(|error| self.store.lmdb_error(error))? {
            Some((key, sealed)) if key.starts_with(&prefix) => {
                let payload = self.opened(Table::Adjacency, key, sealed)?;
                let mut content = Vec::with_capacity(payload.len() + 16);
                content.extend_from_slice(payload);
                Ok(Some((key.to_vec(), content)))
            }
            _ => Ok(None),
        }
    }

    fn add_neighbor(
        &mut self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Symbol,
        neighbor: Neighbor,
    ) -> Result<()> {
        let last = self.chunk_at(namespace, node, direction, edge_type, neighbor.edge)?;
        let (key, mut content) = match last {
            Some((key, content)) if content.len() < CHUNK_ENTRIES * 8 => (key, content),
            _ => {
                let key = keys::adjacency(namespace, node, direction, edge_type, neighbor.edge);
                (key.to_vec(), Vec::new())
            }
        };
        adjacency::push(&mut content, neighbor);
        self.put(Table::Adjacency, &key, content)
    }

    fn remove_neighbor(
        &mut self,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Symbol,
        edge: Slot,
    ) -> Result<()> {
        let found = self.chunk_at(namespace, node, direction, edge_type, edge)?;
        let at = keys::adjacency(namespace, node, direction, edge_type, edge);
        let (key, content) =
            self.located(Table::Adjacency, &at, found.ok_or(Damaged("is missing")))?;
        let mut kept = Vec::with_capacity(content.len());
        for entry in self.located(Table::Adjacency, &key, adjacency::entries(&content))? {
            if entry.edge != edge {
                adjacency::push(&mut kept, entry);
            }
        }
        if kept.is_empty() {
            self.delete(Table::Adjacency, &key)?;
            return Ok(());
        }
        self.put(Table::Adjacency, &key, kept)
    }

    // ---- embeddings

    /// Stores the vector of one part of a node, in place of an earlier one.
    #[allow(clippy::too_many_arguments)]
    pub fn put_embedding(
        &mut self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
        part: u16,
        id: &str,
        set_by_user: bool,
        content: ContentHash,
        vector: &[f32],
    ) -> Result<()> {
        let owner = self.resolve(namespace, Kind::Embedding, id)?;
        let mine = Resolved { slot: node, space, part };
        if owner.is_some_and(|owner| owner != mine) {
            return Err(Error::AlreadyExists { kind: "embedding", id: id.to_owned() });
        }
        let earlier = self.embedding(namespace, space, node, part)?;
        match earlier.map(|earlier| (earlier.id.to_owned(), earlier.content)) {
            Some((earlier, of)) => {
                if earlier != id {
                    self.delete(Table::Ids, &keys::id(namespace, Kind::Embedding, &earlier))?;
                }
                if of != content {
                    self.delete(Table::Hashes, &hash_key(namespace, space, of, node))?;
                }
            }
            None => self.namespace_state(namespace)?.embeddings += 1,
        }
        self.put_id(namespace, Kind::Embedding, id, mine)?;
        let lsn = self.next_lsn();
        let mut payload = Vec::with_capacity(48 + id.len() + vector.len() * 4);
        let now = self.now();
        EmbeddingRecord::encode(&mut payload, lsn, set_by_user, now, content, id, vector);
        let key = keys::embedding(namespace, space, node, part);
        self.put_record(namespace, Table::Embeddings, &key, payload)?;
        let (kind, op) = (Kind::Embedding, ChangeOp::Put);
        let change = ChangeRecord { namespace, kind, op, slot: node, space, version: 1, id };
        self.change(change, &[])
    }

    /// Removes all parts of a node's embedding; how many there were.
    pub fn delete_embeddings(
        &mut self,
        namespace: NamespaceId,
        space: SpaceId,
        node: Slot,
    ) -> Result<usize> {
        let found: Vec<(u16, String, ContentHash)> = self
            .embeddings_of(namespace, space, node)?
            .into_iter()
            .map(|(part, record)| (part, record.id.to_owned(), record.content))
            .collect();
        for (part, id, content) in &found {
            let key = keys::embedding(namespace, space, node, *part);
            self.delete_record(namespace, Table::Embeddings, &key)?;
            self.delete(Table::Ids, &keys::id(namespace, Kind::Embedding, id))?;
            self.delete(Table::Hashes, &hash_key(namespace, space, *content, node))?;
            self.next_lsn();
            let (kind, op) = (Kind::Embedding, ChangeOp::Delete);
            let change = ChangeRecord { namespace, kind, op, slot: node, space, version: 1, id };
            self.change(change, &[])?;
        }
        self.namespace_state(namespace)?.embeddings -= found.len() as u64;
        Ok(found.len())
    }

    /// Remembers that the node's vectors were made of a text with this hash.
    pub fn put_text_hash(
        &mut self,
        namespace: NamespaceId,
        space: SpaceId,
        content: ContentHash,
        node: Slot,
    ) -> Result<()> {
        let key = hash_key(namespace, space, content, node);
        self.put(Table::Hashes, &key, Vec::new())
    }

    /// Counts vectors that the weaver has stored.
    pub fn count_vectors(&mut self, computed: u64, reused: u64) {
        self.state.counters.vectors_computed += computed;
        self.state.counters.vectors_reused += reused;
        self.state.dirty = true;
    }

    // ---- postings and work

    /// Adds a slot to a posting.
    pub fn post(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slot: Slot,
    ) -> Result<()> {
        self.update_posting(namespace, index, value, slot, true)
    }

    /// Removes a slot from a posting.
    pub fn unpost(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slot: Slot,
    ) -> Result<()> {
        self.update_posting(namespace, index, value, slot, false)
    }

    fn update_posting(
        &mut self,
        namespace: NamespaceId,
        index: IndexId,
        value: &[u8],
        slot: Slot,
        present: bool,
    ) -> Result<()> {
        let key = postings::container_key(namespace, index, value, slot);
        let container = match self.get(Table::Postings, &key)? {
            Some(payload) => {
                Some(self.located(Table::Postings, &key, Container::parse(&key, payload))?)
            }
            None => None,
        };
        match postings::update(container, slot, present) {
            Updated::Unchanged => Ok(()),
            Updated::Container(payload) => self.put(Table::Postings, &key, payload),
            Updated::Empty => self.delete(Table::Postings, &key).map(|_| ()),
        }
    }

    /// Records that work on an artefact of a node has failed.
    pub fn put_work(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        artefact: u8,
        work: &WorkRecord,
    ) -> Result<()> {
        let mut payload = Vec::new();
        work.encode(&mut payload);
        self.put(Table::Work, &keys::slot(namespace, slot).u8(artefact), payload)
    }

    /// Forgets earlier failures.
    pub fn delete_work(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        artefact: u8,
    ) -> Result<bool> {
        self.delete(Table::Work, &keys::slot(namespace, slot).u8(artefact))
    }
}

fn hash_key(namespace: NamespaceId, space: SpaceId, content: ContentHash, node: Slot) -> Key {
    Key::new(namespace).u16(space.0).bytes(&content.0).u32(node.0)
}

fn check_properties(id: &str, properties: &[u8]) -> Result<()> {
    if properties.len() > MAX_PROPERTIES {
        return Err(Error::ValueTooLarge {
            what: format!("the property set of {id:?}"),
            size: properties.len(),
            limit: MAX_PROPERTIES,
        });
    }
    Ok(())
}

fn slots_used_up() -> Error {
    Error::InvalidInput(
        "the namespace has given out all its 4,294,967,295 slots; use another namespace".into(),
    )
}

impl ReadTxn for WriteTxn<'_> {
    fn store(&self) -> &Store {
        self.store
    }

    fn raw(&self) -> &RoTxn<'_> {
        &self.txn
    }

    fn symbol(&self, name: &str) -> Result<Option<Symbol>> {
        if let Some(symbol) = self.store.symbols.number(name) {
            return Ok(Some(symbol));
        }
        // What this transaction made must not reach the shared cache before the commit.
        stored_symbol(self, name)
    }

    fn symbol_name(&self, symbol: Symbol) -> Result<Arc<str>> {
        match self.store.symbols.name(symbol) {
            Some(name) => Ok(name),
            None => stored_symbol_name(self, symbol),
        }
    }

    fn counters(&self) -> Result<DatabaseCounters> {
        Ok(self.state.counters)
    }

    fn namespace_counters(&self, namespace: NamespaceId) -> Result<NamespaceCounters> {
        if let Some(counters) = self.state.namespaces.get(&namespace) {
            return Ok(*counters);
        }
        let key = Key::new(namespace).u8(meta::COUNTERS);
        match self.get(Table::Meta, &key)? {
            Some(payload) => self.located(Table::Meta, &key, NamespaceCounters::parse(payload)),
            None => Ok(NamespaceCounters::default()),
        }
    }
}
