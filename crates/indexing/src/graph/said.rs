//! What a message says of an entity: under which names, and why these lead to it. It lies with the
//! `MENTIONS` edge, so that what was joined can be taken apart.

use embedded_db_common::{ContentHash, Draft, NamespaceId, Result, Slot, Value, ValueRef};
use embedded_db_storage::{EdgeRecord, ReadTxn};

use super::look::Look;
use super::names::{self, Long, Reading};
use crate::schema::{END, Names, START};

/// Property of a `MENTIONS` edge: the names that it stands for.
pub(super) const NAMES: &str = "names";

/// A name of an entity in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// As it is written.
    pub name: String,
    /// Its class.
    pub entity_type: String,
    /// The first character of its first place…
    pub start: i64,
    /// …and the one behind it.
    pub end: i64,
    /// How often the message has it.
    pub times: i64,
    /// Why it leads to its entity.
    pub rule: Rule,
}

/// Why a name leads to an entity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rule {
    /// It is the name of the entity, however it is spelled.
    #[default]
    Name,
    /// It is a part of the only name in its chat that has it.
    Part,
    /// It is a handle of the only name in its chat that it can stand for.
    Handle,
    /// It is the initials of the only name in its chat that has them.
    Initials,
    /// A user has said so.
    User,
}

impl Rule {
    const ALL: [Self; 5] = [Self::Name, Self::Part, Self::Handle, Self::Initials, Self::User];

    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Part => "part",
            Self::Handle => "handle",
            Self::Initials => "initials",
            Self::User => "user",
        }
    }
}

impl Said {
    pub(super) fn reading(&self) -> Reading {
        names::read(&self.name, &self.entity_type)
    }

    pub(super) fn key(&self) -> String {
        names::key(&self.name, &self.entity_type)
    }

    fn value(&self) -> Value {
        let text = |text: &str| Value::Str(text.to_owned());
        Value::Map(vec![
            ("name".into(), text(&self.name)),
            ("type".into(), text(&self.entity_type)),
            ("start".into(), Value::Int(self.start)),
            ("end".into(), Value::Int(self.end)),
            ("times".into(), Value::Int(self.times)),
            ("rule".into(), text(self.rule.name())),
        ])
    }

    /// Users may have set anything.
    fn of(value: &ValueRef<'_>) -> Result<Option<Self>> {
        let ValueRef::Map(map) = value else { return Ok(None) };
        let text =
            |name| Ok::<_, embedded_db_common::Error>(map.get(name)?.and_then(|v| v.as_str()));
        let number = |name, otherwise| {
            Ok::<_, embedded_db_common::Error>(match map.get(name)? {
                Some(ValueRef::Int(number)) => number,
                _ => otherwise,
            })
        };
        let (Some(name), Some(entity_type)) = (text("name")?, text("type")?) else {
            return Ok(None);
        };
        let rule = text("rule")?.unwrap_or_default();
        Ok(Some(Self {
            name: name.to_owned(),
            entity_type: entity_type.to_owned(),
            start: number("start", 0)?,
            end: number("end", 0)?,
            times: number("times", 1)?,
            rule: Rule::ALL.into_iter().find(|known| known.name() == rule).unwrap_or_default(),
        }))
    }
}

/// What a message says of one entity.
#[derive(Debug, Clone)]
pub(super) struct Mention {
    pub(super) edge: Slot,
    pub(super) entity: Slot,
    pub(super) said: Vec<Said>,
    /// Whether that is stored: with an edge of an earlier version it is not, and not posted either.
    pub(super) stored: bool,
}

/// The properties of the edge of a mention.
pub(super) fn properties(said: &[Said]) -> Result<Draft> {
    let mut out = Draft::new();
    let first = said.iter().min_by_key(|said| said.start);
    if let Some(first) = first {
        out.set(START, &Value::Int(first.start))?;
        out.set(END, &Value::Int(first.end))?;
    }
    out.set(NAMES, &Value::List(said.iter().map(Said::value).collect()))?;
    Ok(out)
}

/// The weight of the edge of a mention: how often the message names the entity.
pub(super) fn weight(said: &[Said]) -> f64 {
    said.iter().fold(0.0, |sum, said| sum + said.times as f64)
}

impl<T: ReadTxn> Look<'_, T> {
    /// The derived mentions of a message with what they stand for.
    pub(super) fn mentions_of(&self, message: Slot) -> Result<Vec<Mention>> {
        let mut out = Vec::new();
        for (edge, entity) in self.derived_mentions(message)? {
            let Some(record) = self.txn.edge(self.namespace, edge)? else { continue };
            let said = self.said(&record)?;
            let stored = !said.is_empty();
            let said = if stored { said } else { vec![self.unsaid(&record)?] };
            out.push(Mention { edge, entity, said, stored });
        }
        Ok(out)
    }

    /// The names that the edge of a mention stands for; none with one of an earlier version.
    fn said(&self, edge: &EdgeRecord<'_>) -> Result<Vec<Said>> {
        let mut out = Vec::new();
        if let Some(names) = self.txn.symbol(NAMES)?
            && let Some(ValueRef::List(list)) = edge.properties.get(names)?
        {
            for value in list.iter()? {
                out.extend(Said::of(&value?)?);
            }
        }
        Ok(out)
    }

    /// What an edge of an earlier version stands for: the label of its entity.
    fn unsaid(&self, edge: &EdgeRecord<'_>) -> Result<Said> {
        let entity = self.txn.stored_node(self.namespace, edge.target)?;
        let text = |name| -> Result<String> {
            let value = entity.properties.get(name)?;
            Ok(value.and_then(|value| value.as_str()).unwrap_or_default().to_owned())
        };
        let number = |name| -> Result<i64> {
            Ok(match edge.properties.get(name)? {
                Some(ValueRef::Int(number)) => number,
                _ => 0,
            })
        };
        Ok(Said {
            name: text(self.names.label)?,
            entity_type: text(self.names.entity_type)?,
            start: number(self.names.start)?,
            end: number(self.names.end)?,
            times: edge.weight as i64,
            rule: Rule::Name,
        })
    }

    /// What stands for the chat of a message where its names are looked up; a message in none has no
    /// names but its own.
    pub(super) fn chat_mark(&self, message: Slot) -> Result<Option<[u8; 8]>> {
        let Some(node) = self.txn.node(self.namespace, message)? else { return Ok(None) };
        let chat = node.properties.get(self.names.chat_id)?;
        Ok(chat.and_then(|chat| chat.as_str()).map(mark))
    }
}

/// The postings `NAME_SAID` of a message.
pub fn names_said<T: ReadTxn>(
    txn: &T,
    names: &Names,
    namespace: NamespaceId,
    message: Slot,
) -> Result<Vec<Vec<u8>>> {
    let look = Look { txn, names, namespace };
    let Some(chat) = look.chat_mark(message)? else { return Ok(Vec::new()) };
    Ok(values_of(chat, &look.mentions_of(message)?))
}

/// The postings of the mentions of a message.
pub(super) fn values_of(chat: [u8; 8], mentions: &[Mention]) -> Vec<Vec<u8>> {
    let stored = mentions.iter().filter(|mention| mention.stored);
    let said: Vec<Said> = stored.flat_map(|mention| mention.said.clone()).collect();
    values(chat, &said)
}

/// Eight bytes in the place of a text: a deleted name cannot be read in an index.
fn mark(text: &str) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = ContentHash::of(text).0;
    [a, b, c, d, e, f, g, h]
}

/// The posting of the messages of a chat that use a short name.
pub(super) fn short_value(chat: [u8; 8], token: &str) -> Vec<u8> {
    [&chat[..], &[0], &mark(token)].concat()
}

/// What the postings of the long names begin with that a short name may stand for.
pub(super) fn long_prefix(short: &[u8]) -> Vec<u8> {
    let mut out = short.to_vec();
    if let Some(kind) = out.get_mut(8) {
        *kind = 1;
    }
    out
}

/// The short names of a chat that a posting of a long name is of.
pub(super) fn short_of(long: &[u8]) -> Vec<u8> {
    let mut out = long.get(..17).unwrap_or_default().to_vec();
    if let Some(kind) = out.get_mut(8) {
        *kind = 0;
    }
    out
}

/// The kind in the posting of a long name.
pub(super) fn kind_of(long: &[u8]) -> Option<Long> {
    long.get(17).copied().and_then(Long::of)
}

/// The postings of a long name in a chat.
pub(super) fn long_values(chat: [u8; 8], reading: &Reading) -> Vec<Vec<u8>> {
    let key = mark(&reading.key);
    let value = |(kind, token): &(Long, String)| {
        let short = short_value(chat, token);
        [&long_prefix(&short)[..], &[*kind as u8], &key].concat()
    };
    reading.short_forms.iter().map(value).collect()
}

/// All postings of what a message says.
pub(super) fn values(chat: [u8; 8], said: &[Said]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for said in said {
        let reading = said.reading();
        out.extend(long_values(chat, &reading));
        out.extend(reading.stands_for.map(|short| short_value(chat, short.token())));
    }
    out.sort_unstable();
    out.dedup();
    out
}
