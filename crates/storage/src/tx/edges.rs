//! Edges and the neighbours at their ends.

use embedded_db_common::record::Damaged;
use embedded_db_common::{Lsn, NamespaceId, Result, Slot, SpaceId, Symbol, check_properties};

use super::{WriteTxn, counted, slots_used_up};
use crate::adjacency::{self, CHUNK_ENTRIES, Neighbor};
use crate::history::ReadHistory;
use crate::keys::{self, Direction, Kind, Table};
use crate::read::{ReadTxn, Resolved};
use crate::records::{ChangeNames, ChangeOp, ChangeRecord, EdgeFields, EdgeRecord, EdgeTimes};

impl WriteTxn<'_> {
    /// Stores a new edge between two nodes that exist; its id must be free.
    pub fn insert_edge(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        fields: &EdgeFields<'_>,
    ) -> Result<Slot> {
        let slot = self.new_edge(namespace, id, 1, fields)?;
        self.add_ends(namespace, slot, fields)?;
        Ok(slot)
    }

    /// The same for an edge that was stored before, retracted or not, with its version and those that
    /// were before it, oldest first. They must follow each other without a gap.
    pub fn restore_edge(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        version: u64,
        fields: &EdgeFields<'_>,
        earlier: &[(u64, EdgeFields<'_>)],
    ) -> Result<Slot> {
        let slot = self.new_edge(namespace, id, version, fields)?;
        if fields.times.retracted_at.is_some() {
            self.keep_former_ends(namespace, slot, fields)?;
        } else {
            self.add_ends(namespace, slot, fields)?;
        }
        let lsn = Lsn(self.state.counters.lsn);
        for (version, before) in earlier {
            check_properties(id, before.properties.len())?;
            let mut payload = Vec::new();
            before.encode(&mut payload, lsn, *version, id);
            let key = keys::version(namespace, slot, before.times.recorded_at);
            self.put(Table::History, &key, payload)?;
        }
        Ok(slot)
    }

    /// Stores the record and the id of an edge, which nothing leads to yet.
    fn new_edge(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        version: u64,
        fields: &EdgeFields<'_>,
    ) -> Result<Slot> {
        check_properties(id, fields.properties.len())?;
        let slot = Slot(self.namespace_state(namespace)?.edge_slots);
        self.put_new_id(namespace, Kind::Edge, id, Resolved::of(slot))?;
        let next = slot.0.checked_add(1).ok_or_else(slots_used_up)?;
        self.namespace_state(namespace)?.edge_slots = next;
        self.count(namespace, |counters| counted(&mut counters.edges, 1, 0))?;
        self.put_edge(namespace, slot, version, id, fields, 0)?;
        Ok(slot)
    }

    /// Lists an edge at both its ends.
    fn add_ends(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        fields: &EdgeFields<'_>,
    ) -> Result<()> {
        for (node, direction, other) in ends(fields.source, fields.target) {
            let neighbor = Neighbor { node: other, edge: slot };
            self.add_neighbor(namespace, node, direction, fields.edge_type, neighbor)?;
        }
        Ok(())
    }

    /// Notes the ends of an edge that was retracted.
    fn keep_former_ends(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        fields: &EdgeFields<'_>,
    ) -> Result<()> {
        for (node, direction, other) in ends(fields.source, fields.target) {
            let key = keys::former_neighbor(namespace, node, direction, fields.edge_type, slot);
            self.put(Table::History, &key, other.0.to_le_bytes().to_vec())?;
        }
        Ok(())
    }

    /// Replaces what an edge says; its ends and type stay. The version before goes to the history, and
    /// the new one is believed from now on. `version` is the new one.
    pub fn update_edge(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        version: u64,
        id: &str,
        fields: &EdgeFields<'_>,
    ) -> Result<()> {
        check_properties(id, fields.properties.len())?;
        self.keep_version(namespace, slot)?;
        let times = EdgeTimes { recorded_at: self.now(), ..fields.times };
        let fields = EdgeFields { times, ..fields.clone() };
        self.replace_edge(namespace, slot, version, id, &fields)
    }

    /// Replaces what the database counts by itself: neither version, times nor history of an edge.
    pub fn touch_edge(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        id: &str,
        fields: &EdgeFields<'_>,
    ) -> Result<()> {
        check_properties(id, fields.properties.len())?;
        let edge = self.stored_edge(namespace, slot)?;
        let (version, times) = (edge.version, edge.times);
        let fields = EdgeFields { times, ..fields.clone() };
        self.replace_edge(namespace, slot, version, id, &fields)
    }

    /// Ends the belief in an edge: it leaves its neighbours, its record and id stay.
    pub fn retract_edge(&mut self, namespace: NamespaceId, slot: Slot) -> Result<()> {
        let payload = self.edge_payload(namespace, slot)?.map(<[u8]>::to_vec);
        let found = payload.as_deref().ok_or(Damaged("is missing")).and_then(EdgeRecord::parse);
        let edge = self.located(Table::Edges, &keys::slot(namespace, slot), found)?;
        let times = EdgeTimes { retracted_at: Some(self.now()), ..edge.times };
        let fields = EdgeFields { times, ..edge.fields() };
        for (node, direction, _) in ends(edge.source, edge.target) {
            self.remove_neighbor(namespace, node, direction, edge.edge_type, slot)?;
        }
        self.keep_former_ends(namespace, slot, &fields)?;
        self.replace_edge(namespace, slot, edge.version, edge.id, &fields)
    }

    /// Removes an edge with its history.
    pub fn delete_edge(&mut self, namespace: NamespaceId, slot: Slot) -> Result<()> {
        let key = keys::slot(namespace, slot);
        let edge = self.stored_edge(namespace, slot)?;
        let (id, version) = (edge.id.to_owned(), edge.version);
        let (edge_type, retracted) = (edge.edge_type, edge.times.retracted_at.is_some());
        for (node, direction, _) in ends(edge.source, edge.target) {
            if retracted {
                let key = keys::former_neighbor(namespace, node, direction, edge_type, slot);
                self.delete(Table::History, &key)?;
            } else {
                self.remove_neighbor(namespace, node, direction, edge_type, slot)?;
            }
        }
        self.delete_versions(namespace, slot)?;
        self.delete_record(namespace, Table::Edges, &key)?;
        self.set_strength(namespace, slot, None)?;
        self.delete(Table::Ids, &keys::id(namespace, Kind::Edge, &id))?;
        self.count(namespace, |counters| counted(&mut counters.edges, 0, 1))?;
        self.next_lsn()?;
        let (kind, op, space) = (Kind::Edge, ChangeOp::Delete, SpaceId(0));
        let (id, names) = (id.as_str(), ChangeNames::Given(&[edge_type]));
        self.change(ChangeRecord { namespace, kind, op, slot, space, version, id, names })
    }

    /// Slots of all edges of a node, retracted ones too, each once.
    pub fn edges_of(&self, namespace: NamespaceId, node: Slot) -> Result<Vec<Slot>> {
        let mut edges = Vec::new();
        for direction in [Direction::Out, Direction::In] {
            self.neighbors_ever(namespace, node, direction, None, |_, neighbor| {
                edges.push(neighbor.edge);
                true
            })?;
        }
        edges.sort_unstable();
        edges.dedup();
        Ok(edges)
    }

    /// Keeps an edge as it is now, unless it was recorded in this very microsecond.
    fn keep_version(&mut self, namespace: NamespaceId, slot: Slot) -> Result<()> {
        let edge = self.stored_edge(namespace, slot)?;
        let (now, recorded_at) = (self.now(), edge.times.recorded_at);
        if recorded_at >= now {
            return Ok(());
        }
        let times = EdgeTimes { retracted_at: Some(now), ..edge.times };
        let mut payload = Vec::new();
        EdgeFields { times, ..edge.fields() }.encode(&mut payload, edge.lsn, edge.version, edge.id);
        self.put(Table::History, &keys::version(namespace, slot, recorded_at), payload)
    }

    fn delete_versions(&mut self, namespace: NamespaceId, slot: Slot) -> Result<()> {
        let mut keys = Vec::new();
        for row in self.prefix(Table::History, &keys::versions(namespace, slot))? {
            keys.push(row?.0.to_vec());
        }
        for key in keys {
            self.delete(Table::History, &key)?;
        }
        Ok(())
    }

    fn replace_edge(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        version: u64,
        id: &str,
        fields: &EdgeFields<'_>,
    ) -> Result<()> {
        let old = self.record_length(Table::Edges, &keys::slot(namespace, slot))?;
        self.put_edge(namespace, slot, version, id, fields, old)
    }

    /// Writes a record in the place of one of so many bytes.
    fn put_edge(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        version: u64,
        id: &str,
        fields: &EdgeFields<'_>,
        old: usize,
    ) -> Result<()> {
        let lsn = self.next_lsn()?;
        let mut payload =
            Vec::with_capacity(fields.properties.len().saturating_add(96).saturating_add(id.len()));
        fields.encode(&mut payload, lsn, version, id);
        self.put_record(namespace, Table::Edges, &keys::slot(namespace, slot), payload, old)?;
        let (kind, op, space) = (Kind::Edge, ChangeOp::Put, SpaceId(0));
        let names = ChangeNames::Given(&[fields.edge_type]);
        self.change(ChangeRecord { namespace, kind, op, slot, space, version, id, names })
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
        match self.rows().at_or_before(Table::Adjacency, &at)? {
            Some((key, sealed)) if key.starts_with(&prefix) => {
                let payload = self.opened(Table::Adjacency, key, sealed)?;
                let mut content = Vec::with_capacity(payload.len().saturating_add(16));
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
}

/// Node, direction and the node at the other end, seen from each end of an edge.
fn ends(source: Slot, target: Slot) -> [(Slot, Direction, Slot); 2] {
    [(source, Direction::Out, target), (target, Direction::In, source)]
}
