//! Summaries of chats: one of all that is in it, and where that is of more than one week (or day), one of
//! each. One says which messages it covers, from the first to the last: what is added behind them leaves it
//! true, and the work is due; what changes among them takes it back.

use embedded_db_common::{Draft, NamespaceId, Result, Slot, Value, ValueRef};
use embedded_db_storage::{Direction, ReadTxn};

use super::{Artefact, Changes, GraphWriter, Look, NodeDraft};
use crate::schema::{CHAT_ID, FIRST_MESSAGE, LAST_MESSAGE, Names, SUMMARY, TEXT};

/// Property of the summary of a span: `day` or `week`. The summary of a whole chat has none of these three.
const SPAN: &str = "span";
/// When the span began.
const BEGINS_AT: &str = "begins_at";
/// How many messages the summary was made of.
const MESSAGE_COUNT: &str = "message_count";

/// What a summary of a span was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanSummary {
    /// The name of the span.
    pub span: String,
    /// When it began.
    pub begins_at: i64,
    /// Id of the first message.
    pub first_message: String,
    /// Id of the last one.
    pub last_message: String,
    /// How many there are.
    pub message_count: i64,
}

/// The summaries of spans that the weaver has made of a chat.
pub fn span_summaries<T: ReadTxn>(
    txn: &T,
    names: &Names,
    namespace: NamespaceId,
    chat: Slot,
) -> Result<Vec<(Slot, SpanSummary)>> {
    let look = Look { txn, names, namespace };
    let Some(span) = txn.symbol(SPAN)? else { return Ok(Vec::new()) };
    let (begins_at, message_count) = (txn.symbol(BEGINS_AT)?, txn.symbol(MESSAGE_COUNT)?);
    let mut out = Vec::new();
    for slot in look.made_summaries(chat)? {
        let node = txn.stored_node(namespace, slot)?;
        let value = |symbol| node.properties.get(symbol);
        let text = |symbol| -> Result<Option<String>> {
            Ok(value(symbol)?.and_then(|value| value.as_str()).map(str::to_owned))
        };
        let Some(span) = text(span)? else { continue };
        let begins_at = match begins_at.map(value).transpose()?.flatten() {
            Some(ValueRef::Time(at)) => at,
            _ => i64::MIN,
        };
        let message_count = match message_count.map(value).transpose()?.flatten() {
            Some(ValueRef::Int(count)) => count,
            _ => 0,
        };
        let first_message = text(names.first_message)?.unwrap_or_default();
        let last_message = text(names.last_message)?.unwrap_or_default();
        let of = SpanSummary { span, begins_at, first_message, last_message, message_count };
        out.push((slot, of));
    }
    Ok(out)
}

impl GraphWriter<'_, '_> {
    /// Stores the summary of a chat in place of an earlier one.
    pub fn put_summary(
        &mut self,
        chat: Slot,
        text: &str,
        first_message: &str,
        last_message: &str,
    ) -> Result<Slot> {
        let known = self.whole_summaries(chat)?.first().copied();
        self.put_summary_of(chat, known, text, [first_message, last_message], Draft::new())
    }

    /// Stores the summary of a span in place of an earlier one.
    pub fn put_span_summary(&mut self, chat: Slot, text: &str, of: &SpanSummary) -> Result<Slot> {
        let mut properties = Draft::new();
        properties.set(SPAN, &Value::Str(of.span.clone()))?;
        properties.set(BEGINS_AT, &Value::Time(of.begins_at))?;
        properties.set(MESSAGE_COUNT, &Value::Int(of.message_count))?;
        let stored = span_summaries(self.txn, self.names, self.namespace, chat)?;
        let same = |(_, known): &&(Slot, SpanSummary)| {
            (&known.span, known.begins_at) == (&of.span, of.begins_at)
        };
        let known = stored.iter().find(same).map(|(slot, _)| *slot);
        let ends = [of.first_message.as_str(), of.last_message.as_str()];
        self.put_summary_of(chat, known, text, ends, properties)
    }

    fn put_summary_of(
        &mut self,
        chat: Slot,
        known: Option<Slot>,
        text: &str,
        [first_message, last_message]: [&str; 2],
        mut properties: Draft,
    ) -> Result<Slot> {
        let chat_id = self.node(chat)?.id.to_owned();
        for (name, value) in [
            (CHAT_ID, chat_id.as_str()),
            (TEXT, text),
            (FIRST_MESSAGE, first_message),
            (LAST_MESSAGE, last_message),
        ] {
            properties.set(name, &Value::Str(value.to_owned()))?;
        }
        if let Some(summary) = known {
            self.update_node(summary, &Changes { set: properties, remove: Vec::new() })?;
            return Ok(summary);
        }
        let labels = vec![SUMMARY.into()];
        let draft = NodeDraft { labels, properties, ..NodeDraft::default() };
        let (_, slot) = self.make_node(&draft, true)?;
        let summarizes = self.names.summarizes;
        self.link(slot, chat, summarizes, "summarizes", 1.0, &[&chat_id], &Draft::new())?;
        Ok(slot)
    }

    /// Removes the summary that the weaver made of all of a chat.
    pub fn remove_summary(&mut self, chat: Slot) -> Result<()> {
        self.whole_summaries(chat)?.into_iter().try_for_each(|summary| self.remove_node(summary))
    }

    /// Removes summaries of spans that are not to be there.
    pub fn keep_span_summaries(
        &mut self,
        chat: Slot,
        wanted: impl Fn(&SpanSummary) -> bool,
    ) -> Result<()> {
        for (slot, of) in span_summaries(self.txn, self.names, self.namespace, chat)? {
            if !wanted(&of) {
                self.remove_node(slot)?;
            }
        }
        Ok(())
    }

    /// The summaries that the weaver has made of all of a chat.
    fn whole_summaries(&self, chat: Slot) -> Result<Vec<Slot>> {
        let spans = span_summaries(self.txn, self.names, self.namespace, chat)?;
        let mut made = self.made_summaries(chat)?;
        made.retain(|slot| !spans.iter().any(|(span, _)| span == slot));
        Ok(made)
    }

    /// A message is of another time than before: so are the spans, and all their summaries are due.
    pub(super) fn retract_span_summaries(&mut self, message: Slot) -> Result<()> {
        for end in self.ends(message, Direction::In, self.names.contains)? {
            if !self.is_labelled(end.node, self.names.chat)? {
                continue;
            }
            for (slot, _) in span_summaries(self.txn, self.names, self.namespace, end.node)? {
                if self.look().covers(slot, end.node, end.edge)? {
                    self.remove_node(slot)?;
                }
            }
            self.mark(Artefact::Summary, end.node)?;
        }
        Ok(())
    }

    /// The summaries of a chat that the weaver has made. Those of users are the users'.
    fn made_summaries(&self, chat: Slot) -> Result<Vec<Slot>> {
        self.look().made_summaries(chat)
    }

    /// The summaries of the chats that contain a message are due, if they may tell it. Those chats.
    pub fn mark_summary(&mut self, message: Slot) -> Result<Vec<Slot>> {
        if self.names.told_text(&self.node(message)?)?.is_none() {
            return Ok(Vec::new());
        }
        let mut chats = self.targets(message, Direction::In, self.names.contains)?;
        for at in (0..chats.len()).rev() {
            if self.is_labelled(chats[at], self.names.chat)? {
                self.mark(Artefact::Summary, chats[at])?;
            } else {
                chats.remove(at);
            }
        }
        Ok(chats)
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
