//! Summaries of chats. One says which messages it covers, from the first to the last: what is added
//! behind them leaves it true, and the work is due; what changes among them takes it back.

use embedded_db_common::{Draft, Result, Slot, Value};
use embedded_db_storage::Direction;

use super::{Artefact, Changes, GraphWriter, NodeDraft};
use crate::schema::{CHAT_ID, FIRST_MESSAGE, LAST_MESSAGE, SUMMARY, TEXT};

impl GraphWriter<'_, '_> {
    /// Stores the summary of a chat in place of an earlier one.
    pub fn put_summary(
        &mut self,
        chat: Slot,
        text: &str,
        first_message: &str,
        last_message: &str,
    ) -> Result<Slot> {
        let chat_id = self.node(chat)?.id.to_owned();
        let mut properties = Draft::new();
        for (name, value) in [
            (CHAT_ID, chat_id.as_str()),
            (TEXT, text),
            (FIRST_MESSAGE, first_message),
            (LAST_MESSAGE, last_message),
        ] {
            properties.set(name, &Value::Str(value.to_owned()))?;
        }
        if let Some(summary) = self.made_summaries(chat)?.first() {
            self.update_node(*summary, &Changes { set: properties, remove: Vec::new() })?;
            return Ok(*summary);
        }
        let labels = vec![SUMMARY.into()];
        let draft = NodeDraft { labels, properties, ..NodeDraft::default() };
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
        self.look().made_summaries(chat)
    }

    /// The summaries of the chats that contain a message are due, if they may tell it.
    pub fn mark_summary(&mut self, message: Slot) -> Result<()> {
        if self.names.told_text(&self.node(message)?)?.is_none() {
            return Ok(());
        }
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
            if self.look().covers(summary, chat, edge)? {
                self.remove_node(summary)?;
            }
        }
        self.txn.delete_work(self.namespace, chat, Artefact::Summary as u8)?;
        self.mark(Artefact::Summary, chat)
    }
}
