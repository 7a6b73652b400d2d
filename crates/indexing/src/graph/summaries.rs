//! Summaries of chats. One says which messages it covers, from the first to the last: what is added
//! behind them leaves it true, and the work is due; what changes among them takes it back.

use embedded_db_common::{Draft, Result, Slot, ValueRef};
use embedded_db_storage::{Direction, ReadTxn};

use super::{Artefact, Changes, GraphWriter, NodeDraft};

impl GraphWriter<'_, '_> {
    /// Stores the summary of a chat in place of an earlier one.
    pub fn put_summary(
        &mut self,
        chat: Slot,
        text: &str,
        first_message: &str,
        last_message: &str,
    ) -> Result<Slot> {
        use embedded_db_common::Value;
        let chat_id = self.node(chat)?.id.to_owned();
        let mut properties = Draft::new();
        for (name, value) in [
            ("chat_id", chat_id.as_str()),
            ("text", text),
            ("first_message", first_message),
            ("last_message", last_message),
        ] {
            properties.set(name, &Value::Str(value.to_owned()))?;
        }
        if let Some(summary) = self.made_summaries(chat)?.first() {
            self.update_node(*summary, &Changes { set: properties, remove: Vec::new() })?;
            return Ok(*summary);
        }
        let draft = NodeDraft { id: None, labels: vec!["Summary".into()], properties };
        let (_, slot) = self.make_node(&draft, true)?;
        let summarizes = self.names.summarizes;
        self.link(slot, chat, summarizes, "summarizes", 1.0, &[&chat_id], &Draft::new())?;
        Ok(slot)
    }

    /// Removes the summary that the weaver made of a chat.
    pub fn remove_summary(&mut self, chat: Slot) -> Result<()> {
        self.made_summaries(chat)?.into_iter().try_for_each(|summary| self.remove_node(summary))
    }

    /// The summaries of a chat that the weaver has made. Those of users are the users'.
    fn made_summaries(&self, chat: Slot) -> Result<Vec<Slot>> {
        let mut out = Vec::new();
        for summary in self.targets(chat, Direction::In, self.names.summarizes)? {
            let node = self.txn.node(self.namespace, summary)?;
            if node.is_some_and(|node| node.derived && node.has_label(self.names.summary)) {
                out.push(summary);
            }
        }
        Ok(out)
    }

    /// The summaries of the chats that contain a message are due.
    pub fn mark_summary(&mut self, message: Slot) -> Result<()> {
        for chat in self.targets(message, Direction::In, self.names.contains)? {
            if self.is_labelled(chat, self.names.chat)? {
                self.mark(Artefact::Summary, chat)?;
            }
        }
        Ok(())
    }

    /// A message says something else, or will be gone: summaries that cover it go with its text.
    pub(super) fn retract_summaries(&mut self, message: Slot) -> Result<()> {
        for end in self.ends(message, Direction::In, self.names.contains)? {
            self.retract_summary(end.node, end.edge)?;
        }
        Ok(())
    }

    /// The message at the end of an edge out of a chat says something else, or will be gone from it.
    /// The summary is due as if making it had never failed.
    pub(super) fn retract_summary(&mut self, chat: Slot, edge: Slot) -> Result<()> {
        if !self.is_labelled(chat, self.names.chat)? {
            return Ok(());
        }
        for summary in self.made_summaries(chat)? {
            if self.covers(summary, chat, edge)? {
                self.remove_node(summary)?;
            }
        }
        self.txn.delete_work(self.namespace, chat, Artefact::Summary as u8)?;
        self.mark(Artefact::Summary, chat)
    }

    /// Whether the message at the end of an edge out of a chat is one of those that a summary covers.
    /// Messages come in the order of these edges.
    fn covers(&self, summary: Slot, chat: Slot, edge: Slot) -> Result<bool> {
        let node = self.node(summary)?;
        let edges_to = |name| -> Result<Vec<Slot>> {
            let Some(ValueRef::Str(id)) = node.properties.get(name)? else { return Ok(Vec::new()) };
            let Some(message) = self.txn.node_slot(self.namespace, id)? else {
                return Ok(Vec::new());
            };
            let ends = self.ends(message, Direction::In, self.names.contains)?;
            Ok(ends.into_iter().filter(|end| end.node == chat).map(|end| end.edge).collect())
        };
        let first = edges_to(self.names.first_message)?.into_iter().min();
        let last = edges_to(self.names.last_message)?.into_iter().max();
        // Where one end of it cannot be found it may cover anything.
        Ok(first.is_none_or(|first| first <= edge) && last.is_none_or(|last| edge <= last))
    }
}
