//! Entities that the weaver makes: by which keys they are found, how they are called, and how often.

use std::collections::BTreeMap;

use embedded_db_common::record::Properties;
use embedded_db_common::{Draft, Result, Slot, Value, ValueRef};
use embedded_db_storage::{IndexId, NodeRecord, ReadTxn, text_value};

use super::decisions::decision_keys;
use super::look::Look;
use super::mentions::fold;
use super::resolution::Unsettled;
use super::said::{self, NAMES, Rule, Said};
use super::{Artefact, Changes, GraphWriter, NodeDraft, names};
use crate::schema::{ALIASES, ENTITY, ENTITY_TYPE, LABEL, MENTION_COUNT, Names};

/// The keys in the posting `ENTITY_KEY` of an entity that the weaver made, and of a decision about
/// entities; no other node has any.
pub fn entity_keys<T: ReadTxn>(
    txn: &T,
    names: &Names,
    node: &NodeRecord<'_>,
) -> Result<Vec<Vec<u8>>> {
    if !node.derived {
        return Ok(Vec::new());
    }
    if !node.has_label(names.entity) {
        return decision_keys(txn, node);
    }
    let text = |name| -> Result<Option<&str>> {
        Ok(node.properties.get(name)?.and_then(|value| value.as_str()))
    };
    let Some(label) = text(names.label)? else { return Ok(Vec::new()) };
    // One of an earlier version is found as it was then, until it is mentioned again.
    let counted = match txn.symbol(NAMES)? {
        Some(symbol) => node.properties.get(symbol)?.is_some(),
        None => false,
    };
    let key = match counted {
        true => names::key(label, text(names.entity_type)?.unwrap_or_default()),
        false => fold(label),
    };
    Ok(vec![text_value(&key)])
}

impl GraphWriter<'_, '_> {
    pub(super) fn entity_keys(&self, node: &NodeRecord<'_>) -> Result<Vec<Vec<u8>>> {
        entity_keys(self.txn, self.names, node)
    }

    /// A node was found by these keys, and is now by its own.
    pub(super) fn move_keys(&mut self, slot: Slot, before: &[Vec<u8>]) -> Result<()> {
        let after = self.entity_keys(&self.node(slot)?)?;
        for key in before.iter().filter(|key| !after.contains(key)) {
            self.txn.unpost(self.namespace, IndexId::ENTITY_KEY, key, slot)?;
        }
        for key in after.iter().filter(|key| !before.contains(key)) {
            self.txn.post(self.namespace, IndexId::ENTITY_KEY, key, slot)?;
        }
        Ok(())
    }

    /// What a message says was posted for another chat than its own.
    pub(super) fn move_names(&mut self, message: Slot, before: Option<[u8; 8]>) -> Result<()> {
        let after = self.look().chat_mark(message)?;
        if before == after || !self.is_labelled(message, self.names.message)? {
            return Ok(());
        }
        let mentions = self.look().mentions_of(message)?;
        let mut unsettled = Unsettled::default();
        self.ask_short_names((message, before), &mentions, &mut unsettled)?;
        let values = |chat: Option<[u8; 8]>| chat.map(|chat| said::values_of(chat, &mentions));
        let (before, after) = (values(before), values(after));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        self.repost(message, &before, &after, &mut unsettled)?;
        self.place_again(message, &mut unsettled)?;
        self.settle(unsettled).map(drop)
    }

    /// Posts what a message says that has come with its mentions.
    pub(super) fn post_names(&mut self, message: Slot) -> Result<()> {
        if !self.is_labelled(message, self.names.message)? {
            return Ok(());
        }
        for value in said::names_said(self.txn, self.names, self.namespace, message)? {
            self.txn.post(self.namespace, IndexId::NAME_SAID, &value, message)?;
        }
        Ok(())
    }

    /// The key of an entity that the weaver made.
    pub(super) fn key_of(&self, entity: Slot) -> Result<Option<String>> {
        self.look().key_of(entity)
    }

    /// The name of an entity and its class.
    pub(super) fn named_as(&self, node: &NodeRecord<'_>) -> Result<(String, String)> {
        self.look().named_as(node)
    }

    /// The entity to which a name leads by its key, or by what a user has decided; made when it is new.
    pub(super) fn named(&mut self, said: &Said, key: &str) -> Result<(Slot, Rule)> {
        let decided = self.joined_to(key)?;
        let (key, label, entity_type, rule) = match &decided {
            Some(to) => (to.entity.as_str(), &to.label, &to.entity_type, Rule::User),
            None => (key, &said.name, &said.entity_type, Rule::Name),
        };
        for found_by in [key.to_owned(), fold(label)] {
            let value = text_value(&found_by);
            let known = crate::posting(self.txn, self.namespace, IndexId::ENTITY_KEY, &value)?;
            for slot in known {
                if self.purge_expired(Slot(slot))? {
                    continue;
                }
                if self.key_of(Slot(slot))?.as_deref() == Some(key)
                    && !self.are_apart(said, Slot(slot))?
                {
                    return Ok((Slot(slot), rule));
                }
            }
        }
        let mut properties = Draft::new();
        properties.set(LABEL, &Value::Str(label.clone()))?;
        properties.set(ENTITY_TYPE, &Value::Str(entity_type.clone()))?;
        properties.set(ALIASES, &Value::List(Vec::new()))?;
        properties.set(MENTION_COUNT, &Value::Int(0))?;
        properties.set(NAMES, &Value::Map(Vec::new()))?;
        let labels = vec![ENTITY.into()];
        let draft = NodeDraft { labels, properties, ..NodeDraft::default() };
        let (_, slot) = self.make_node(&draft, true)?;
        self.move_keys(slot, &[])?;
        Ok((slot, rule))
    }

    /// Changes the count of messages that mention an entity, and of those that have each of its names.
    /// One that nobody mentions any more goes, unless a user has tied it to something; whether it went.
    pub(super) fn count_mention(
        &mut self,
        entity: Slot,
        by: i64,
        said: &[(String, i64)],
    ) -> Result<bool> {
        let node = self.node(entity)?;
        let count = match node.properties.get(self.names.mention_count)? {
            // Users may have set it to any number.
            Some(ValueRef::Int(count)) => count.saturating_add(by),
            _ => by.max(0),
        };
        let old = node.properties.as_bytes().to_vec();
        let keys = self.entity_keys(&node)?;
        let derived = node.derived;
        let label = self.term_of(entity)?;
        if count <= 0 && !self.look().is_tied(entity, |_, _| false)? {
            self.end_in_topics(entity)?;
            return self.remove_node(entity).map(|()| true);
        }
        if by != 0 {
            self.mark(Artefact::Topics, entity)?;
        }
        let mut changes = Changes::default();
        changes.set.set(MENTION_COUNT, &Value::Int(count.max(0)))?;
        if derived && !said.is_empty() {
            self.rename(entity, said, &mut changes)?;
        }
        let properties = self.merge(&old, &changes)?;
        self.txn.touch_node(self.namespace, entity, &properties)?;
        self.post_properties(entity, Some(&old), Some(&properties))?;
        self.move_keys(entity, &keys)?;
        self.rename_in_topics(entity, label.as_deref())?;
        Ok(false)
    }

    /// The names of an entity as they are now said: the most frequent spelling is its label, unless a
    /// user has changed the entity, and the others are its aliases, beside those that users have added.
    fn rename(&self, entity: Slot, said: &[(String, i64)], changes: &mut Changes) -> Result<()> {
        let node = self.node(entity)?;
        let before = self.names_of(node.properties)?;
        let mut names = before.clone();
        for (name, by) in said {
            *names.entry(name.clone()).or_default() += by;
        }
        names.retain(|_, count| *count > 0);
        let (mut label, entity_type) = self.named_as(&node)?;
        // Users make versions; the weaver makes none.
        if node.version == 1 {
            let key = names::key(&label, &entity_type);
            let own = names.iter().filter(|(name, _)| names::key(name, &entity_type) == key);
            let best = own.max_by(|(a, na), (b, nb)| na.cmp(nb).then_with(|| plainer(a, b)));
            if let Some((best, _)) = best {
                label.clone_from(best);
            }
        }
        let mut aliases: Vec<String> =
            names.keys().filter(|name| **name != label).cloned().collect();
        if let Some(ValueRef::List(list)) = node.properties.get(self.names.aliases)? {
            for alias in list.iter()? {
                if let ValueRef::Str(alias) = alias?
                    && !before.contains_key(alias)
                    && !aliases.iter().any(|known| known == alias)
                {
                    aliases.push(alias.to_owned());
                }
            }
        }
        changes.set.set(LABEL, &Value::Str(label))?;
        changes.set.set(ALIASES, &Value::List(aliases.into_iter().map(Value::Str).collect()))?;
        let counts = names.into_iter().map(|(name, count)| (name, Value::Int(count)));
        changes.set.set(NAMES, &Value::Map(counts.collect()))
    }

    /// In how many messages an entity has each of its names.
    pub(super) fn names_of(&self, properties: Properties<'_>) -> Result<BTreeMap<String, i64>> {
        self.look().names_of(properties)
    }
}

impl<T: ReadTxn> Look<'_, T> {
    /// The key of an entity that the weaver made.
    pub(super) fn key_of(&self, entity: Slot) -> Result<Option<String>> {
        let Some(node) = self.txn.node(self.namespace, entity)? else { return Ok(None) };
        if !(node.derived && node.has_label(self.names.entity)) {
            return Ok(None);
        }
        let (label, entity_type) = self.named_as(&node)?;
        Ok(Some(names::key(&label, &entity_type)))
    }

    /// The name of an entity and its class.
    pub(super) fn named_as(&self, node: &NodeRecord<'_>) -> Result<(String, String)> {
        let text = |name| -> Result<String> {
            let value = node.properties.get(name)?;
            Ok(value.and_then(|value| value.as_str()).unwrap_or_default().to_owned())
        };
        Ok((text(self.names.label)?, text(self.names.entity_type)?))
    }

    /// In how many messages an entity has each of its names.
    pub(super) fn names_of(&self, properties: Properties<'_>) -> Result<BTreeMap<String, i64>> {
        let mut out = BTreeMap::new();
        if let Some(symbol) = self.txn.symbol(NAMES)?
            && let Some(ValueRef::Map(map)) = properties.get(symbol)?
        {
            for entry in map.iter()? {
                if let (name, ValueRef::Int(count)) = entry? {
                    out.insert(name.to_owned(), count);
                }
            }
        }
        Ok(out)
    }
}

/// Of two spellings that are as frequent, the greater is the better label: with a capital, not all
/// capitals, short, and then by its letters.
fn plainer(a: &str, b: &str) -> std::cmp::Ordering {
    let rank = |name: &str| {
        let upper = name.chars().any(char::is_uppercase);
        let lower = name.chars().any(char::is_lowercase);
        (upper, lower, std::cmp::Reverse(name.len()))
    };
    rank(a).cmp(&rank(b)).then_with(|| b.cmp(a))
}
