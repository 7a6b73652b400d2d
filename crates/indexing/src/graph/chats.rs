//! Chats and the chain of their messages.

use embedded_db_common::record::Properties;
use embedded_db_common::{Draft, Error, Result, Slot, ValueRef};
use embedded_db_storage::{Direction, Kind, ReadTxn};

use super::{Artefact, GraphWriter, NodeDraft};
use crate::schema::{CHAT, CHAT_ID};

/// A node to which no messages can be added.
pub fn no_chat(id: &str) -> Error {
    Error::InvalidInput(format!("the node {id:?} is no Chat; give the id of a chat, or a new one"))
}

/// The refusal of another `chat_id` for a message that was added to a chat.
pub fn stays_in_chat(message: &str, chat: &str, chat_id: Option<&str>) -> Error {
    let becomes = |id: &str| format!("become {id:?}");
    Error::InvalidInput(format!(
        "the message {message:?} is in the chat {chat:?}; its chat_id cannot {}: delete it and add it \
         to the other chat",
        chat_id.map_or_else(|| "go".to_owned(), becomes)
    ))
}

impl GraphWriter<'_, '_> {
    /// The chat of this id, if there is one.
    pub fn chat(&mut self, chat_id: &str) -> Result<Option<Slot>> {
        let Some(found) = self.resolve(Kind::Node, chat_id)? else { return Ok(None) };
        let slot = found.slot;
        if self.node(slot)?.has_label(self.names.chat) {
            return Ok(Some(slot));
        }
        Err(no_chat(chat_id))
    }

    /// The chat of this id, made when it is new.
    pub fn ensure_chat(&mut self, chat_id: &str) -> Result<Slot> {
        if let Some(slot) = self.chat(chat_id)? {
            return Ok(slot);
        }
        let draft = NodeDraft {
            id: Some(chat_id.to_owned()),
            labels: vec![CHAT.into()],
            ..NodeDraft::default()
        };
        self.make_node(&draft, false).map(|(_, slot)| slot)
    }

    /// Appends a message to a chat. The properties of `draft` are what a message has besides its chat.
    pub fn add_message(&mut self, chat: Slot, chat_id: &str, draft: &NodeDraft) -> Result<Slot> {
        let message = draft.message_of(chat_id, self.txn.now())?;
        let (_, slot) = self.make_node(&message, false)?;
        self.put_last(chat, slot)?;
        Ok(slot)
    }

    /// Puts a message at the end of the chat that it names, which is made when it is new.
    pub(super) fn join_chat(&mut self, slot: Slot, chat_id: &str) -> Result<()> {
        let chat = self.ensure_chat(chat_id).map_err(|error| error.of_property(CHAT_ID))?;
        self.put_last(chat, slot)
    }

    /// Puts a message, which is in no chat, at the end of one.
    fn put_last(&mut self, chat: Slot, slot: Slot) -> Result<()> {
        let contains = self.names.contains;
        let last = self.txn.last_neighbor(self.namespace, chat, Direction::Out, contains)?;
        self.link(chat, slot, contains, "contains", 1.0, &[], &Draft::new())?;
        if let Some(last) = last {
            self.link(last.node, slot, self.names.next, "next", 1.0, &[], &Draft::new())?;
        }
        if self.names.told_text(&self.node(slot)?)?.is_some() {
            self.mark(Artefact::Summary, chat)?;
        }
        Ok(())
    }

    /// A message that was added to a chat is found there by the edges of the chat, which a new
    /// `chat_id` would contradict. One that was made without a `chat_id` belongs where the user says.
    pub(super) fn check_chat(&self, slot: Slot, properties: &[u8]) -> Result<()> {
        let node = self.node(slot)?;
        let before = node.properties.get(self.names.chat_id)?;
        let after = Properties::new(properties).get(self.names.chat_id)?;
        let text = |value: Option<ValueRef<'_>>| value.and_then(|v| v.as_str()).map(str::to_owned);
        let (before, after) = (text(before), text(after));
        if before == after || !node.has_label(self.names.message) {
            return Ok(());
        }
        for end in self.ends(slot, Direction::In, self.names.contains)? {
            if self.txn.edge(self.namespace, end.edge)?.is_some_and(|edge| edge.derived) {
                return Err(stays_in_chat(node.id, self.node(end.node)?.id, after.as_deref()));
            }
        }
        Ok(())
    }

    pub(super) fn delete_message(&mut self, slot: Slot, close_up: bool) -> Result<()> {
        let before = self.look().beside(slot, Direction::In)?;
        let after = self.look().beside(slot, Direction::Out)?;
        // A user's own mentions go with the message: they hold no entity back.
        let derived = self.derived_mentions(slot)?;
        for end in self.ends(slot, Direction::Out, self.names.mentions)? {
            if !derived.contains(&(end.edge, end.node)) {
                self.txn.delete_edge(self.namespace, end.edge)?;
            }
        }
        self.retract_summaries(slot)?;
        for key in self.retract_derived(slot)? {
            self.forget_decisions(&key)?;
        }
        self.end_awaiting(slot)?;
        self.remove_node(slot)?;
        if let (true, Some(before), Some(after)) = (close_up, before, after) {
            self.link(before, after, self.names.next, "next", 1.0, &[], &Draft::new())?;
        }
        Ok(())
    }
}
