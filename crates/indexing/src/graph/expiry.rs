//! Nodes that expire. Once its time has come a node is as good as deleted, whether or not it has been
//! removed: who asks a transaction for it by its id removes it and finds nothing.

use embedded_db_common::{Error, Result, Slot};
use embedded_db_storage::{Direction, Kind, ReadExpiries, ReadTxn, Resolved};

use super::{Expiry, GraphWriter, TopicSymbols};

impl GraphWriter<'_, '_> {
    /// Where an id leads. What has expired is removed with what goes with it, and not found.
    pub fn resolve(&mut self, kind: Kind, id: &str) -> Result<Option<Resolved>> {
        let found = self.txn.resolve(self.namespace, kind, id)?;
        let Some(resolved) = found else { return Ok(None) };
        if !self.is_anything_due()? {
            return Ok(found);
        }
        let mut nodes = vec![resolved.slot];
        if kind == Kind::Edge {
            let edge = self.txn.edge(self.namespace, resolved.slot)?;
            nodes = edge.map_or_else(Vec::new, |edge| vec![edge.source, edge.target]);
        }
        for node in nodes {
            self.purge(node)?;
        }
        self.txn.resolve(self.namespace, kind, id)
    }

    /// An id is going to be given: what has it may have expired.
    pub(super) fn expire_id(&mut self, kind: Kind, id: &str) -> Result<()> {
        if self.is_anything_due()? { self.resolve(kind, id).map(drop) } else { Ok(()) }
    }

    /// The slot of a node that must exist.
    pub fn require_node(&mut self, id: &str) -> Result<Slot> {
        let found = self.resolve(Kind::Node, id)?;
        found
            .map(|found| found.slot)
            .ok_or_else(|| Error::NotFound { kind: "node", id: id.to_owned() })
    }

    /// Sets when a node expires.
    pub fn set_expiry(&mut self, slot: Slot, expiry: Expiry) -> Result<()> {
        let expires_at = expiry.at(self.txn.now());
        self.txn.set_expiry(self.namespace, slot, expires_at)
    }

    /// Removes nodes whose time has come, the earliest first, and at most so many beside those that
    /// go with them; how many there were.
    pub fn expire(&mut self, most: usize) -> Result<usize> {
        let (mut due, now) = (Vec::new(), self.txn.now());
        self.txn.expiries(self.namespace, i64::MIN, |at, slot| {
            if at <= now && due.len() < most {
                due.push((at, slot));
            }
            at <= now && due.len() < most
        })?;
        for (at, slot) in &due {
            if !self.purge_expired(*slot)? && self.is_listed(*at, *slot)? {
                return Err(Error::Corruption {
                    path: self.txn.store().path().to_owned(),
                    object: format!("the expiry of {slot:?}"),
                    detail: "no such node expires then".into(),
                });
            }
        }
        Ok(due.len())
    }

    /// Whether a node is listed as expiring at a time. One that went with another is not any more.
    fn is_listed(&self, at: i64, slot: Slot) -> Result<bool> {
        let mut listed = false;
        self.txn.expiries(self.namespace, at, |time, found| {
            listed |= (time, found) == (at, slot);
            time == at && !listed
        })?;
        Ok(listed)
    }

    /// Whether the time of a node has come that is still stored.
    fn is_anything_due(&mut self) -> Result<bool> {
        if let Some(known) = self.is_due {
            return Ok(known);
        }
        let (mut due, now) = (false, self.txn.now());
        self.txn.expiries(self.namespace, i64::MIN, |at, _| {
            due = at <= now;
            false
        })?;
        self.is_due = Some(due);
        Ok(due)
    }

    fn has_expired(&self, slot: Slot) -> Result<bool> {
        let node = self.txn.node(self.namespace, slot)?;
        Ok(node.and_then(|node| node.expires_at).is_some_and(|at| at <= self.txn.now()))
    }

    /// Removes a node whose own time has come; whether it did.
    pub(super) fn purge_expired(&mut self, slot: Slot) -> Result<bool> {
        let expired = self.has_expired(slot)?;
        if expired {
            self.delete_node(slot)?;
        }
        Ok(expired)
    }

    /// Removes what has expired and takes a node along, if there is such; whether the node is gone.
    pub(super) fn purge(&mut self, slot: Slot) -> Result<bool> {
        if !self.is_anything_due()? {
            return Ok(false);
        }
        while let Some(expired) = self.reason(slot)? {
            self.delete_node(expired)?;
            if self.txn.node_payload(self.namespace, slot)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A node that has expired and takes this one along, now or when others have gone too.
    fn reason(&self, slot: Slot) -> Result<Option<Slot>> {
        let Some(node) = self.txn.node(self.namespace, slot)? else { return Ok(None) };
        let names = self.names;
        if self.has_expired(slot)? {
            return Ok(Some(slot));
        }
        if node.has_label(names.message) {
            return self.expired_chat(slot, Direction::In);
        }
        if node.has_label(names.summary) {
            let chat = self.expired_chat(slot, Direction::Out)?;
            return if node.derived && chat.is_none() { self.covered(slot) } else { Ok(chat) };
        }
        if self.is_topic(slot)? {
            return self.expired_topic(slot);
        }
        if !node.has_label(names.entity) {
            return Ok(None);
        }
        let mut reason = None;
        for end in self.ends(slot, Direction::In, names.mentions)? {
            let edge = self.txn.edge(self.namespace, end.edge)?;
            if !edge.is_some_and(|edge| edge.derived) {
                continue;
            }
            let gone = match self.has_expired(end.node)? {
                true => Some(end.node),
                false => self.expired_chat(end.node, Direction::In)?,
            };
            // While a message that stays mentions it, it stays.
            let Some(gone) = gone else { return Ok(None) };
            reason = reason.or(Some(gone));
        }
        Ok(reason)
    }

    /// A node that has expired, of a topic all of whose messages are as good as gone.
    fn expired_topic(&self, topic: Slot) -> Result<Option<Slot>> {
        let Some(symbols) = TopicSymbols::read(self.txn)? else { return Ok(None) };
        let mut reason = None;
        self.look().messages_in(&symbols, topic, |message| {
            reason = match self.has_expired(message)? {
                true => Some(message),
                false => self.expired_chat(message, Direction::In)?,
            };
            Ok(reason.is_some())
        })?;
        Ok(reason)
    }

    /// A chat that has expired, of a message (in) or a summary (out).
    fn expired_chat(&self, slot: Slot, direction: Direction) -> Result<Option<Slot>> {
        let edge_type = match direction {
            Direction::In => self.names.contains,
            Direction::Out => self.names.summarizes,
        };
        for chat in self.targets(slot, direction, edge_type)? {
            if self.is_labelled(chat, self.names.chat)? && self.has_expired(chat)? {
                return Ok(Some(chat));
            }
        }
        Ok(None)
    }

    /// A message that has expired and that a summary covers.
    fn covered(&self, summary: Slot) -> Result<Option<Slot>> {
        for chat in self.targets(summary, Direction::Out, self.names.summarizes)? {
            for end in self.ends(chat, Direction::Out, self.names.contains)? {
                if self.has_expired(end.node)?
                    && self.is_labelled(end.node, self.names.message)?
                    && self.look().covers(summary, chat, end.edge)?
                {
                    return Ok(Some(end.node));
                }
            }
        }
        Ok(None)
    }
}
