//! Nodes, with the postings of their properties.

use embedded_db_common::record::Properties;
use embedded_db_common::{Draft, Error, Result, Slot, Symbol, clock, encode_properties, names};
use embedded_db_storage::{Cell, IndexId, Kind, NodeTimes, ReadTxn, text_value};

use super::{Artefact, Changes, GraphWriter, NodeDraft, of_draft};

impl GraphWriter<'_, '_> {
    /// Makes a node; returns its id. A message that names a chat is put at its end.
    pub fn create_node(&mut self, draft: &NodeDraft) -> Result<(String, Slot)> {
        let (id, slot, chat) = self.make_user_node(draft)?;
        if let Some(chat) = chat {
            self.join_chat(slot, &chat)?;
        }
        Ok((id, slot))
    }

    /// The same for many; returns their ids. Chats among them may come behind their messages. An error
    /// says with which draft it was.
    pub fn create_nodes(&mut self, drafts: &[NodeDraft]) -> Result<Vec<String>> {
        let (mut ids, mut joining) = (Vec::with_capacity(drafts.len()), Vec::new());
        for (at, draft) in drafts.iter().enumerate() {
            let made = self.make_user_node(draft).map_err(|error| error.of_item(at));
            let (id, slot, chat) = made?;
            ids.push(id);
            joining.extend(chat.map(|chat| (at, slot, chat)));
        }
        for (at, slot, chat) in joining {
            self.join_chat(slot, &chat).map_err(|error| error.of_item(at))?;
        }
        Ok(ids)
    }

    /// Makes a node with nothing beside it; the edges that it has come by themselves.
    pub fn create_bare_node(&mut self, draft: &NodeDraft) -> Result<(String, Slot)> {
        self.make_node(draft, false)
    }

    /// Makes a node, and says which chat it is still to be put into.
    fn make_user_node(&mut self, draft: &NodeDraft) -> Result<(String, Slot, Option<String>)> {
        let chat = draft.chat_id()?;
        let (id, slot) = match &chat {
            Some(chat) => self.make_node(&draft.message_of(chat, self.txn.now())?, false)?,
            None => self.make_node(draft, false)?,
        };
        Ok((id, slot, chat))
    }

    pub(super) fn make_node(&mut self, draft: &NodeDraft, derived: bool) -> Result<(String, Slot)> {
        let now = self.txn.now();
        self.make_node_as(draft, derived, 1, (now, now))
    }

    /// Makes a node of this version and these times.
    pub(super) fn make_node_as(
        &mut self,
        draft: &NodeDraft,
        derived: bool,
        version: u64,
        times: (i64, i64),
    ) -> Result<(String, Slot)> {
        draft.check()?;
        let mut labels = Vec::with_capacity(draft.labels.len());
        for label in &draft.labels {
            let symbol = self.txn.intern(label)?;
            if !labels.contains(&symbol) {
                labels.push(symbol);
            }
        }
        let id = match &draft.id {
            Some(id) => {
                self.expire_id(Kind::Node, id)?;
                id.clone()
            }
            None => clock::new_id(&names::snake_case(&draft.labels[0])),
        };
        let properties = self.encode(&draft.properties)?;
        let (created_at, updated_at) = times;
        let times =
            NodeTimes { created_at, updated_at, expires_at: draft.expiry.at(self.txn.now()) };
        let (namespace, txn) = (self.namespace, &mut *self.txn);
        let slot = txn.restore_node(namespace, &id, &labels, &properties, derived, version, times);
        let slot = slot.map_err(of_draft)?;
        self.post_properties(slot, None, Some(&properties))?;
        if labels.contains(&self.names.message) || self.recipes()?.embeds(&labels) {
            self.text_is_due(slot)?;
        }
        if let Some(given) = &draft.embedding {
            self.embed_new_node(slot, given)?;
        }
        Ok((id, slot))
    }

    /// Changes properties of a node. A message stays in its chat.
    pub fn update_node(&mut self, slot: Slot, changes: &Changes) -> Result<()> {
        let recipes = self.recipes()?;
        let node = self.node(slot)?;
        let old = node.properties.as_bytes().to_vec();
        let text = recipes.embedded_text(self.names, &node)?;
        let told = self.names.told_text(&node)?;
        let time = self.names.told_time(&node)?;
        let chat = self.look().chat_mark(slot)?;
        let found_by = self.entity_keys(&node)?;
        let term = self.term_of(slot)?;
        let properties = self.merge(&old, changes)?;
        self.check_chat(slot, &properties)?;
        self.txn.update_node(self.namespace, slot, &properties)?;
        self.post_properties(slot, Some(&old), Some(&properties))?;
        self.move_keys(slot, &found_by)?;
        self.move_names(slot, chat)?;
        self.rename_in_topics(slot, term.as_deref())?;
        let node = self.node(slot)?;
        let is_another_text = recipes.embedded_text(self.names, &node)? != text;
        let is_told_otherwise = self.names.told_text(&node)? != told;
        let is_of_another_time = self.names.told_time(&node)? != time;
        if is_another_text {
            let gone = self.retract_derived(slot)?;
            self.text_changed(slot)?;
            self.keep_decisions(&gone, slot)?;
        }
        if is_told_otherwise {
            self.retract_summaries(slot)?;
        } else if is_of_another_time {
            self.retract_span_summaries(slot)?;
        }
        Ok(())
    }

    /// Removes a node, its edges and vectors, and what was derived from it. A chat goes with its
    /// messages and summary; the neighbours of a message in its chat close up.
    pub fn delete_node(&mut self, slot: Slot) -> Result<()> {
        let node = self.node(slot)?;
        let (chat, message) = (node.has_label(self.names.chat), node.has_label(self.names.message));
        let entity = node.has_label(self.names.entity);
        if chat {
            let (messages, _) = self.look().owned(slot)?;
            for message in messages {
                // A message may be tied to its chat twice.
                if self.is_labelled(message, self.names.message)? {
                    self.delete_message(message, false)?;
                }
            }
            let (_, summaries) = self.look().owned(slot)?;
            for summary in summaries {
                if self.is_labelled(summary, self.names.summary)? {
                    self.remove_node(summary)?;
                }
            }
        }
        if entity {
            if let Some(key) = self.key_of(slot)? {
                self.forget_decisions(&key)?;
            }
            self.end_mentions_of(slot)?;
            if self.txn.node_payload(self.namespace, slot)?.is_none() {
                return Ok(());
            }
            self.end_in_topics(slot)?;
        }
        if self.is_topic(slot)? {
            return self.delete_topic(slot);
        }
        if message { self.delete_message(slot, true) } else { self.remove_node(slot) }
    }

    /// Removes the node itself with its postings and work.
    pub(super) fn remove_node(&mut self, slot: Slot) -> Result<()> {
        self.give_place_back(slot)?;
        let node = self.node(slot)?;
        let properties = node.properties.as_bytes().to_vec();
        let keys = self.entity_keys(&node)?;
        self.post_properties(slot, Some(&properties), None)?;
        for key in keys {
            self.txn.unpost(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
        }
        for artefact in Artefact::ALL {
            self.done(artefact, slot)?;
        }
        self.txn.delete_node(self.namespace, slot)
    }

    pub(super) fn encode(&mut self, draft: &Draft) -> Result<Vec<u8>> {
        draft.check_names()?;
        let mut properties = Vec::with_capacity(draft.iter().len());
        for (name, value) in draft.iter() {
            properties.push((self.txn.intern(name)?, value));
        }
        Ok(encode_properties(properties.into_iter()))
    }

    pub(super) fn merge(&mut self, old: &[u8], changes: &Changes) -> Result<Vec<u8>> {
        changes.set.check_names()?;
        let mut properties: Vec<(Symbol, &[u8])> = Vec::new();
        for entry in Properties::new(old).iter_raw()? {
            properties.push(entry?);
        }
        for name in &changes.remove {
            if let Some(symbol) = self.txn.symbol(name)? {
                properties.retain(|(known, _)| *known != symbol);
            }
        }
        for (name, value) in changes.set.iter() {
            let symbol = self.txn.intern(name)?;
            match properties.iter_mut().find(|(known, _)| *known == symbol) {
                Some((_, place)) => *place = value,
                None => properties.push((symbol, value)),
            }
        }
        Ok(encode_properties(properties.into_iter()))
    }

    /// A node has another value in an index than before, or none.
    fn move_posting(
        &mut self,
        index: IndexId,
        slot: Slot,
        before: Option<Vec<u8>>,
        after: Option<Vec<u8>>,
    ) -> Result<()> {
        if before == after {
            return Ok(());
        }
        if let Some(before) = before {
            self.txn.unpost(self.namespace, index, &before, slot)?;
        }
        match after {
            Some(after) => self.txn.post(self.namespace, index, &after, slot),
            None => Ok(()),
        }
    }

    /// The properties of a node have changed, from none when it is new, to none when it goes.
    pub(super) fn post_properties(
        &mut self,
        slot: Slot,
        before: Option<&[u8]>,
        after: Option<&[u8]>,
    ) -> Result<()> {
        self.post_known(slot, before, after)?;
        self.reindex(slot, before, after)
    }

    /// The same for the indexes that exist from the start.
    pub(super) fn post_known(
        &mut self,
        slot: Slot,
        before: Option<&[u8]>,
        after: Option<&[u8]>,
    ) -> Result<()> {
        for index in self.names.indexes() {
            let value = |properties: Option<&[u8]>| match properties {
                Some(properties) => {
                    let value = Properties::new(properties).get(index.property)?;
                    Ok(value.and_then(|value| value.as_str()).map(text_value))
                }
                None => Ok::<_, Error>(None),
            };
            self.move_posting(index.index, slot, value(before)?, value(after)?)?;
        }
        let cell = |properties: Option<&[u8]>| match properties {
            Some(properties) => {
                let value = Properties::new(properties).get(self.names.timestamp)?;
                Ok(value.as_ref().and_then(Cell::of))
            }
            None => Ok::<_, Error>(None),
        };
        let time = cell(after)?;
        if cell(before)? != time {
            self.txn.put_cell(self.namespace, IndexId::TIMESTAMP, slot, time)?;
        }
        Ok(())
    }
}
