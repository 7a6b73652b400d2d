//! Nodes.

use embedded_db_common::record::Damaged;
use embedded_db_common::{Error, NamespaceId, Result, Slot, SpaceId, Symbol};

use super::{WriteTxn, check_properties, slots_used_up};
use crate::keys::{self, Kind, Table};
use crate::postings::IndexId;
use crate::read::{ReadTxn, Resolved};
use crate::records::{ChangeOp, ChangeRecord, NodeRecord};

impl WriteTxn<'_> {
    /// Stores a new node; its id must be free. `derived` says that the database makes it by itself.
    pub fn insert_node(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        labels: &[Symbol],
        properties: &[u8],
        derived: bool,
    ) -> Result<Slot> {
        let now = self.now();
        self.restore_node(namespace, id, labels, properties, derived, 1, (now, now))
    }

    /// The same for a node that was stored before, with its version and its times: made and changed.
    #[allow(clippy::too_many_arguments)]
    pub fn restore_node(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        labels: &[Symbol],
        properties: &[u8],
        derived: bool,
        version: u64,
        times: (i64, i64),
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
        self.put_node(namespace, slot, derived, version, times, id, labels, properties)?;
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

    pub(super) fn put_id(
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
}
