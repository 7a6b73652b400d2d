//! Nodes.

use embedded_db_common::{Error, NamespaceId, Result, Slot, SpaceId, Symbol, check_properties};

use super::{WriteTxn, counted, slots_used_up};
use crate::keys::{self, Kind, Table};
use crate::postings::IndexId;
use crate::read::{ReadEmbeddings, ReadTxn, Resolved};
use crate::records::{ChangeNames, ChangeOp, ChangeRecord, NodeRecord, NodeTimes};

/// What of a record is written anew.
enum Rewrite<'a> {
    Properties(&'a [u8]),
    Expiry(Option<i64>),
}

impl WriteTxn<'_> {
    /// Stores a new node; its id must be free. `derived` says that the database makes it by itself,
    /// `expires_at` when it is to go.
    pub fn insert_node(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        labels: &[Symbol],
        properties: &[u8],
        derived: bool,
        expires_at: Option<i64>,
    ) -> Result<Slot> {
        let now = self.now();
        let times = NodeTimes { created_at: now, updated_at: now, expires_at };
        self.restore_node(namespace, id, labels, properties, derived, 1, times)
    }

    /// The same for a node that was stored before, with its version and its times.
    #[allow(clippy::too_many_arguments)]
    pub fn restore_node(
        &mut self,
        namespace: NamespaceId,
        id: &str,
        labels: &[Symbol],
        properties: &[u8],
        derived: bool,
        version: u64,
        times: NodeTimes,
    ) -> Result<Slot> {
        check_properties(id, properties.len())?;
        let slot = Slot(self.namespace_state(namespace)?.node_slots);
        self.put_new_id(namespace, Kind::Node, id, Resolved::of(slot))?;
        let next = slot.0.checked_add(1).ok_or_else(slots_used_up)?;
        self.namespace_state(namespace)?.node_slots = next;
        self.count(namespace, |counters| counted(&mut counters.nodes, 1, 0))?;
        self.put_node(namespace, slot, derived, version, times, id, labels, properties, 0)?;
        self.move_expiry(namespace, slot, None, times.expires_at)?;
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
        self.rewrite_node(namespace, slot, true, Rewrite::Properties(properties))
    }

    /// Replaces the properties of a derived node: neither version nor time of a user's change.
    pub fn touch_node(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        properties: &[u8],
    ) -> Result<()> {
        self.rewrite_node(namespace, slot, false, Rewrite::Properties(properties))
    }

    /// Sets when a node expires, or that it does not: a change by a user.
    pub fn set_expiry(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        expires_at: Option<i64>,
    ) -> Result<()> {
        self.rewrite_node(namespace, slot, true, Rewrite::Expiry(expires_at))
    }

    /// The same for a node that was stored before: no change of it.
    pub fn restore_expiry(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        expires_at: Option<i64>,
    ) -> Result<()> {
        self.rewrite_node(namespace, slot, false, Rewrite::Expiry(expires_at))
    }

    /// Writes the record of a node anew. What a user changes has another version and time.
    fn rewrite_node(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        by_user: bool,
        change: Rewrite<'_>,
    ) -> Result<()> {
        let node = self.stored_node(namespace, slot)?;
        let (id, derived) = (node.id.to_owned(), node.derived);
        let labels: Vec<Symbol> = node.labels().collect();
        let (mut version, before) = (node.version, node.times());
        let next = counted(&mut version, u64::from(by_user), 0);
        self.located(Table::Nodes, &keys::slot(namespace, slot), next)?;
        let mut times = before;
        if by_user {
            times.updated_at = self.now();
        }
        let kept;
        let properties = match change {
            Rewrite::Properties(properties) => properties,
            Rewrite::Expiry(expires_at) => {
                times.expires_at = expires_at;
                kept = node.properties.as_bytes().to_vec();
                &kept
            }
        };
        if by_user {
            check_properties(&id, properties.len())?;
        }
        let old = self.record_length(Table::Nodes, &keys::slot(namespace, slot))?;
        self.put_node(namespace, slot, derived, version, times, &id, &labels, properties, old)?;
        self.move_expiry(namespace, slot, before.expires_at, times.expires_at)
    }

    /// Keeps the table of expiries in step with a record.
    fn move_expiry(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        before: Option<i64>,
        after: Option<i64>,
    ) -> Result<()> {
        if before == after {
            return Ok(());
        }
        if let Some(before) = before {
            self.delete(Table::Expiry, &keys::expiry(namespace, before, slot))?;
        }
        if let Some(after) = after {
            self.put(Table::Expiry, &keys::expiry(namespace, after, slot), Vec::new())?;
            self.expires(after);
        }
        Ok(())
    }

    /// Removes a node with its edges, vectors and work. Properties in postings of their own are the
    /// caller's to remove.
    pub fn delete_node(&mut self, namespace: NamespaceId, slot: Slot) -> Result<()> {
        let node = self.stored_node(namespace, slot)?;
        let (id, version) = (node.id.to_owned(), node.version);
        let expires_at = node.expires_at;
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
        self.move_expiry(namespace, slot, expires_at, None)?;
        self.delete_record(namespace, Table::Nodes, &keys::slot(namespace, slot))?;
        self.delete(Table::Ids, &keys::id(namespace, Kind::Node, &id))?;
        self.count(namespace, |counters| counted(&mut counters.nodes, 0, 1))?;
        self.next_lsn()?;
        let (kind, op, space) = (Kind::Node, ChangeOp::Delete, SpaceId(0));
        let (id, names) = (id.as_str(), ChangeNames::Given(&labels));
        self.change(ChangeRecord { namespace, kind, op, slot, space, version, id, names })
    }

    /// Writes a record in the place of one of so many bytes.
    #[allow(clippy::too_many_arguments)]
    fn put_node(
        &mut self,
        namespace: NamespaceId,
        slot: Slot,
        derived: bool,
        version: u64,
        times: NodeTimes,
        id: &str,
        labels: &[Symbol],
        properties: &[u8],
        old: usize,
    ) -> Result<()> {
        let lsn = self.next_lsn()?;
        let mut payload =
            Vec::with_capacity(properties.len().saturating_add(64).saturating_add(id.len()));
        NodeRecord::encode(&mut payload, derived, lsn, version, times, id, labels, properties);
        self.put_record(namespace, Table::Nodes, &keys::slot(namespace, slot), payload, old)?;
        let (kind, op, space) = (Kind::Node, ChangeOp::Put, SpaceId(0));
        let names = ChangeNames::Given(labels);
        self.change(ChangeRecord { namespace, kind, op, slot, space, version, id, names })
    }

    /// An id that must be free leads to an object.
    pub(super) fn put_new_id(
        &mut self,
        namespace: NamespaceId,
        kind: Kind,
        id: &str,
        to: Resolved,
    ) -> Result<()> {
        let mut payload = Vec::with_capacity(16);
        to.encode(&mut payload);
        if self.put_new(Table::Ids, &keys::id(namespace, kind, id), payload)? {
            return Ok(());
        }
        // Unless what is there is damaged.
        self.resolve(namespace, kind, id)?;
        Err(Error::AlreadyExists { kind: kind.name(), id: id.to_owned() })
    }
}
