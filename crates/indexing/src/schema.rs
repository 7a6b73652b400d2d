//! The labels that the database knows, and what of a node goes into which view.

use std::collections::HashSet;

use embedded_db_common::record::Properties;
use embedded_db_common::{Result, Symbol, ValueRef};
use embedded_db_storage::{IndexId, NodeRecord, ReadTxn, WriteTxn};

use crate::sessions::Message;

/// Labels beside that of messages. They are not among the [`Names`]: a file may have been made before
/// the first of its facts or documents.
const FACT: &str = "Fact";
pub(crate) const PART: &str = "Part";

macro_rules! known_names {
    ($($field:ident = $constant:ident: $name:literal),+ $(,)?) => {
        $(
            #[doc = concat!("The name `", $name, "`.")]
            pub const $constant: &str = $name;
        )+

        /// Symbols of the names that the database itself uses.
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs)]
        pub struct Names {
            $(pub $field: Symbol,)+
        }

        impl Names {
            /// Interns them all: the first thing written to a new database.
            pub fn create(txn: &mut WriteTxn<'_>) -> Result<Self> {
                Ok(Self { $($field: txn.intern($constant)?,)+ })
            }

            /// Reads them back.
            pub fn read(txn: &impl ReadTxn) -> Result<Self> {
                // A file of an earlier version may lack a name: nothing has the symbol 0.
                Ok(Self { $($field: txn.symbol($constant)?.unwrap_or(Symbol(0)),)+ })
            }

            /// All of them.
            pub fn symbols(&self) -> HashSet<Symbol> {
                [$(self.$field),+].into_iter().filter(|symbol| symbol.0 != 0).collect()
            }
        }
    };
}

known_names! {
    chat = CHAT: "Chat",
    message = MESSAGE: "Message",
    entity = ENTITY: "Entity",
    summary = SUMMARY: "Summary",
    contains = CONTAINS: "CONTAINS",
    next = NEXT: "NEXT",
    mentions = MENTIONS: "MENTIONS",
    summarizes = SUMMARIZES: "SUMMARIZES",
    related_to = RELATED_TO: "RELATED_TO",
    chat_id = CHAT_ID: "chat_id",
    sender = SENDER: "sender",
    content = CONTENT: "content",
    role = ROLE: "role",
    timestamp = TIMESTAMP: "timestamp",
    title = TITLE: "title",
    topic = TOPIC: "topic",
    label = LABEL: "label",
    entity_type = ENTITY_TYPE: "entity_type",
    aliases = ALIASES: "aliases",
    mention_count = MENTION_COUNT: "mention_count",
    text = TEXT: "text",
    first_message = FIRST_MESSAGE: "first_message",
    last_message = LAST_MESSAGE: "last_message",
    start = START: "start",
    end = END: "end",
    supersedes = SUPERSEDES: "SUPERSEDES",
    superseded_by = SUPERSEDED_BY: "superseded_by",
}

/// A property index that exists from the start: over the text values of a property, whatever the
/// label of the node. That of `timestamp` has a column for its other values.
#[derive(Debug, Clone, Copy)]
pub struct PropertyIndex {
    /// The property.
    pub property: Symbol,
    /// Its postings.
    pub index: IndexId,
}

impl Names {
    /// The property indexes that exist from the start.
    pub fn indexes(&self) -> [PropertyIndex; 5] {
        let index = |property, index| PropertyIndex { property, index };
        [
            index(self.chat_id, IndexId::CHAT_ID),
            index(self.sender, IndexId::SENDER),
            index(self.role, IndexId::ROLE),
            index(self.label, IndexId::ENTITY_LABEL),
            index(self.timestamp, IndexId::TIMESTAMP),
        ]
    }

    /// The labels whose nodes have a searchable text.
    pub fn text_labels(&self) -> [Symbol; 4] {
        [self.message, self.chat, self.entity, self.summary]
    }

    /// The properties that make the searchable text of a node with this label.
    fn text_properties(&self, label: Symbol) -> &'static [fn(&Self) -> Symbol] {
        if label == self.message {
            &[|names| names.sender, |names| names.content]
        } else if label == self.chat {
            &[|names| names.title, |names| names.topic]
        } else if label == self.entity {
            &[|names| names.label, |names| names.aliases]
        } else if label == self.summary {
            &[|names| names.text]
        } else {
            &[]
        }
    }

    /// The properties that make the searchable text of a node.
    pub(crate) fn searched_properties(&self, node: &NodeRecord<'_>) -> Vec<Symbol> {
        let of = |label| self.text_properties(label).iter().map(|property| property(self));
        node.labels().flat_map(of).collect()
    }

    /// The searchable text of a node; `None` when it has none.
    pub fn searchable_text(&self, node: &NodeRecord<'_>) -> Result<Option<String>> {
        self.texts(node, |_| true)
    }

    /// The same without who wrote it.
    pub(crate) fn searched_words(&self, node: &NodeRecord<'_>) -> Result<Option<String>> {
        self.texts(node, |property| property != self.sender)
    }

    /// The texts of those of its searchable properties that are wanted.
    fn texts(
        &self,
        node: &NodeRecord<'_>,
        wanted: impl Fn(Symbol) -> bool,
    ) -> Result<Option<String>> {
        let mut out = String::new();
        for property in self.searched_properties(node).into_iter().filter(|it| wanted(*it)) {
            append_texts(node.properties, property, &mut out)?;
        }
        Ok((!out.is_empty()).then_some(out))
    }

    /// What the view of sessions keeps of a message, but for its number of words; `None` when the
    /// node is none.
    pub fn session_message<'a>(
        &self,
        txn: &impl ReadTxn,
        node: &NodeRecord<'a>,
    ) -> Result<Option<Message<'a>>> {
        let text = |property| -> Result<Option<&'a str>> {
            Ok(node.properties.get(property)?.and_then(|value| value.as_str()))
        };
        if !node.has_label(self.message) {
            return Ok(None);
        }
        let chat = text(self.chat_id)?;
        let time = match node.properties.get(self.timestamp)? {
            Some(ValueRef::Time(micros)) => Some(micros),
            _ => None,
        };
        Ok(Some(Message {
            chat,
            sender: text(self.sender)?,
            time,
            content: text(self.content)?.unwrap_or_default(),
            words: 0,
            superseded: self.is_superseded(txn, node)?,
        }))
    }

    /// Whether a node is a fact whose place another has taken.
    fn is_superseded(&self, txn: &impl ReadTxn, node: &NodeRecord<'_>) -> Result<bool> {
        let by = node.properties.get(self.superseded_by)?;
        if by.and_then(|by| by.as_str()).is_none() {
            return Ok(false);
        }
        let fact = txn.symbol(FACT)?;
        Ok(fact.is_some_and(|fact| node.has_label(fact)))
    }

    /// The text of a message that a summary of its chat may tell.
    pub fn told_text(&self, node: &NodeRecord<'_>) -> Result<Option<MessageText>> {
        let role = node.properties.get(self.role)?.and_then(|role| role.as_str());
        if role.is_some_and(|role| UNTOLD.contains(&role)) {
            return Ok(None);
        }
        self.message_text(node)
    }

    /// When a message was said, if a summary of its chat may tell it.
    pub fn told_time(&self, node: &NodeRecord<'_>) -> Result<Option<i64>> {
        if !node.has_label(self.message) || self.told_text(node)?.is_none() {
            return Ok(None);
        }
        Ok(match node.properties.get(self.timestamp)? {
            Some(ValueRef::Time(micros)) => Some(micros),
            _ => None,
        })
    }

    /// The text of a message that models see.
    pub fn message_text(&self, node: &NodeRecord<'_>) -> Result<Option<MessageText>> {
        if !node.has_label(self.message) {
            return Ok(None);
        }
        let content = node.properties.get(self.content)?.and_then(|value| value.as_str());
        let Some(content) = content.filter(|content| !content.trim().is_empty()) else {
            return Ok(None);
        };
        let sender = node.properties.get(self.sender)?.and_then(|value| value.as_str());
        let mut text = String::new();
        if let Some(sender) = sender.filter(|sender| !sender.is_empty()) {
            text.push_str(sender);
            text.push_str(": ");
        }
        let start = text.len();
        text.push_str(content);
        Ok(Some(MessageText { text, start }))
    }
}

/// Roles of messages that nobody says to anybody: instructions of the program, and what tools give
/// back.
const UNTOLD: [&str; 4] = ["system", "developer", "tool", "function"];

/// What models see of a message: the sender, a colon, and the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText {
    /// The whole.
    pub text: String,
    /// Where the content begins, in bytes.
    pub start: usize,
}

/// Appends the texts of a property, each on a line of its own.
pub(crate) fn append_texts(
    properties: Properties<'_>,
    property: Symbol,
    out: &mut String,
) -> Result<()> {
    each_text(properties, property, |_, text| {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(text);
    })
}

/// Calls `sink` with each text of a property, and its place where the property is a list.
pub(crate) fn each_text<'a>(
    properties: Properties<'a>,
    property: Symbol,
    mut sink: impl FnMut(Option<usize>, &'a str),
) -> Result<()> {
    match properties.get(property)? {
        Some(ValueRef::Str(text)) => sink(None, text),
        Some(ValueRef::List(items)) => {
            for (at, item) in items.iter()?.enumerate() {
                if let ValueRef::Str(text) = item? {
                    sink(Some(at), text);
                }
            }
        }
        _ => {}
    }
    Ok(())
}
