//! What users have decided about names: that two are one entity, or that one is no name of another. The
//! weaver does not do the opposite, whatever it finds.
//!
//! A decision is about the keys of names, so that it outlives an entity that goes and comes while texts
//! are changed. It goes with its entity when the last message that mentions this is deleted, or says something
//! else.

use std::collections::BTreeSet;

use embedded_db_common::{Draft, Error, NamespaceId, Result, Slot, Value};
use embedded_db_storage::{Direction, IndexId, NodeRecord, ReadTxn, text_value};

use super::look::Look;
use super::resolution::{MOST_MOVED, Unsettled};
use super::said::Said;
use super::{Artefact, Changes, GraphWriter, NodeDraft, is_pending, names};
use crate::schema::Names;

/// The label of decisions.
pub const DECISION: &str = "EntityDecision";
const KIND: &str = "decision";
const NAME: &str = "name";
const OF: &str = "entity";
const OF_LABEL: &str = "entity_label";
const OF_TYPE: &str = "entity_type";
/// The message whose new text may mention the entity again.
const AWAITS: &str = "awaits";
const SAME: &str = "same";
const APART: &str = "apart";

/// A decision as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    same: bool,
    /// The key of a name, or one exactly as it is written.
    name: String,
    /// The key of the entity that the name is of, or is not of…
    pub(super) entity: String,
    /// …how that is called…
    pub(super) label: String,
    /// …and its class.
    pub(super) entity_type: String,
    /// The message whose new text decides whether it stays: no other mentions the entity.
    awaits: Option<String>,
}

/// A name as it is written, apart from other spellings.
fn exact(name: &str) -> String {
    format!("exact:{name}")
}

fn posted(key: &str) -> Vec<u8> {
    text_value(&format!("decision:{key}"))
}

/// Where the decisions are listed that await a message.
fn awaiting(message: &str) -> Vec<u8> {
    text_value(&format!("awaits:{message}"))
}

fn read<T: ReadTxn>(txn: &T, node: &NodeRecord<'_>) -> Result<Option<Decision>> {
    let Some(label) = txn.symbol(DECISION)? else { return Ok(None) };
    if !(node.derived && node.has_label(label)) {
        return Ok(None);
    }
    let text = |name| -> Result<String> {
        let Some(symbol) = txn.symbol(name)? else { return Ok(String::new()) };
        let value = node.properties.get(symbol)?;
        Ok(value.and_then(|value| value.as_str()).unwrap_or_default().to_owned())
    };
    Ok(Some(Decision {
        same: text(KIND)? == SAME,
        name: text(NAME)?,
        entity: text(OF)?,
        label: text(OF_LABEL)?,
        entity_type: text(OF_TYPE)?,
        awaits: Some(text(AWAITS)?).filter(|message| !message.is_empty()),
    }))
}

/// Where a decision is listed; nowhere what is none.
pub(super) fn decision_keys<T: ReadTxn>(txn: &T, node: &NodeRecord<'_>) -> Result<Vec<Vec<u8>>> {
    let Some(decision) = read(txn, node)? else { return Ok(Vec::new()) };
    let mut keys = vec![posted(&decision.name), posted(&decision.entity)];
    keys.dedup();
    keys.extend(decision.awaits.as_deref().map(awaiting));
    Ok(keys)
}

/// How messages say a name of an entity.
#[derive(Debug, Clone)]
pub struct NameUses {
    /// The keys under which they do, apart from that of the entity.
    keys: BTreeSet<String>,
    /// One that does under such a key, or else one that says this spelling of the entity's own name.
    message: Slot,
}

/// How messages say a name that is to be taken from an entity. Reads all that mention it.
pub fn name_uses<T: ReadTxn>(
    txn: &T,
    names: &Names,
    namespace: NamespaceId,
    entity: Slot,
    name: &str,
) -> Result<NameUses> {
    let look = Look { txn, names, namespace };
    let key = look.require_key(entity)?;
    let (label, _) = look.named_as(&txn.stored_node(namespace, entity)?)?;
    let (mut keys, mut moving, mut spelled) = (BTreeSet::new(), None, None);
    for message in look.messages_of(entity)? {
        for mention in look.mentions_of(message)? {
            for said in mention.said.iter().filter(|_| mention.entity == entity) {
                let own = said.key();
                if own != key && own == names::key(name, &said.entity_type) {
                    keys.insert(own);
                    moving = moving.or(Some(message));
                } else if own == key && said.name == name && name != label {
                    spelled = Some(message);
                }
            }
        }
    }
    match moving.or(spelled) {
        Some(message) => Ok(NameUses { keys, message }),
        None => Err(look.no_other_name(entity, name)),
    }
}

impl<T: ReadTxn> Look<'_, T> {
    fn require_key(&self, entity: Slot) -> Result<String> {
        if let Some(key) = self.key_of(entity)? {
            return Ok(key);
        }
        Err(Error::InvalidInput(format!(
            "the node {:?} is no entity that was found in messages; only those have names that can be \
             joined and split",
            self.txn.stored_node(self.namespace, entity)?.id
        )))
    }

    fn no_other_name(&self, entity: Slot, name: &str) -> Error {
        let node = self.txn.stored_node(self.namespace, entity);
        let names = node.and_then(|node| self.names_of(node.properties));
        let names: Vec<String> = names.unwrap_or_default().into_keys().collect();
        Error::InvalidInput(format!(
            "{name:?} is no name that can be taken from the entity; it is mentioned as {names:?}, and \
             keeps its label"
        ))
    }

    /// The messages in which an entity was found.
    fn messages_of(&self, entity: Slot) -> Result<Vec<Slot>> {
        let mut messages = self.targets(entity, Direction::In, self.names.mentions)?;
        messages.sort_unstable();
        messages.dedup();
        Ok(messages)
    }
}

impl GraphWriter<'_, '_> {
    /// The decisions that are about a key.
    fn decisions(&self, key: &str) -> Result<Vec<(Slot, Decision)>> {
        let mut out = Vec::new();
        let slots = crate::posting(self.txn, self.namespace, IndexId::ENTITY_KEY, &posted(key))?;
        for slot in slots {
            let Some(node) = self.txn.node(self.namespace, Slot(slot))? else { continue };
            let decision = read(self.txn, &node)?;
            let about = |decision: &Decision| decision.name == key || decision.entity == key;
            out.extend(decision.filter(about).map(|decision| (Slot(slot), decision)));
        }
        Ok(out)
    }

    /// The entity that a user has said a key is of.
    pub(super) fn joined_to(&self, key: &str) -> Result<Option<Decision>> {
        let decisions = self.decisions(key)?.into_iter().map(|(_, decision)| decision);
        Ok(decisions.into_iter().find(|decision| decision.same && decision.name == key))
    }

    /// Whether a user has said that a name is not one of an entity.
    pub(super) fn are_apart(&self, said: &Said, entity: Slot) -> Result<bool> {
        let Some(key) = self.key_of(entity)? else { return Ok(false) };
        let decisions = self.decisions(&key)?;
        if decisions.is_empty() {
            return Ok(false);
        }
        let (label, _) = self.named_as(&self.node(entity)?)?;
        let own = said.key();
        Ok(decisions.iter().any(|(_, decision)| {
            let of = !decision.same && decision.entity == key;
            // Among spellings of one key, a decision is about the one that it names.
            let spelled = own == key
                && label != said.name
                && [exact(&said.name), exact(&label)].contains(&decision.name);
            of && (decision.name == own && own != key || spelled)
        }))
    }

    /// Forgets what was decided of an entity that is gone.
    pub(super) fn forget_decisions(&mut self, key: &str) -> Result<()> {
        self.take_back(key, |decision| decision.entity == key).map(drop)
    }

    /// The decisions about entities that went, by their keys, stay until it is known what the new text of a
    /// message says.
    pub(super) fn keep_decisions(&mut self, gone: &BTreeSet<String>, message: Slot) -> Result<()> {
        let id = self.node(message)?.id.to_owned();
        for key in gone {
            for (slot, decision) in self.decisions(key)? {
                if decision.entity == *key {
                    self.await_message(slot, Some(&id))?;
                }
            }
        }
        if is_pending(self.txn, self.namespace, Artefact::Entities, message)? {
            return Ok(());
        }
        self.end_awaiting(message)
    }

    /// It is known what a message says: of the decisions that await it those stay whose entity is there
    /// again, or whose name it says, which leads elsewhere.
    pub(super) fn end_awaiting(&mut self, message: Slot) -> Result<()> {
        let id = self.node(message)?.id.to_owned();
        let value = awaiting(&id);
        let slots = crate::posting(self.txn, self.namespace, IndexId::ENTITY_KEY, &value)?;
        if slots.is_empty() {
            return Ok(());
        }
        let mut said = BTreeSet::new();
        for mention in self.look().mentions_of(message)? {
            said.extend(mention.said.iter().map(Said::key));
        }
        for slot in slots.into_iter().map(Slot) {
            let Some(decision) = read(self.txn, &self.node(slot)?)? else { continue };
            if decision.awaits.as_ref() != Some(&id) {
                continue;
            }
            if self.is_there(&decision.entity)? {
                self.await_message(slot, None)?;
            } else if !said.contains(&decision.entity) {
                self.remove_node(slot)?;
            }
        }
        Ok(())
    }

    /// Whether there is an entity of a key.
    pub(super) fn is_there(&self, key: &str) -> Result<bool> {
        let value = text_value(key);
        for slot in crate::posting(self.txn, self.namespace, IndexId::ENTITY_KEY, &value)? {
            if self.key_of(Slot(slot))?.as_deref() == Some(key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn await_message(&mut self, decision: Slot, message: Option<&str>) -> Result<()> {
        let node = self.node(decision)?;
        let (old, keys) = (node.properties.as_bytes().to_vec(), self.entity_keys(&node)?);
        let mut changes = Changes::default();
        match message {
            Some(message) => changes.set.set(AWAITS, &Value::Str(message.to_owned()))?,
            None => changes.remove.push(AWAITS.into()),
        }
        let properties = self.merge(&old, &changes)?;
        self.txn.touch_node(self.namespace, decision, &properties)?;
        self.post_properties(decision, Some(&old), Some(&properties))?;
        self.move_keys(decision, &keys)
    }

    /// Whether there were such decisions.
    fn take_back(&mut self, key: &str, which: impl Fn(&Decision) -> bool) -> Result<bool> {
        let mut any = false;
        for (slot, _) in self.decisions(key)?.into_iter().filter(|(_, decision)| which(decision)) {
            self.remove_node(slot)?;
            any = true;
        }
        Ok(any)
    }

    fn decide(&mut self, decision: &Decision) -> Result<()> {
        // That a name is one of an entity outweighs that it is none.
        for (slot, known) in self.decisions(&decision.entity)? {
            if (&known.name, &known.entity) == (&decision.name, &decision.entity) {
                if known.same || !decision.same {
                    return Ok(());
                }
                self.remove_node(slot)?;
            }
        }
        let mut properties = Draft::new();
        for (name, value) in [
            (KIND, if decision.same { SAME } else { APART }),
            (NAME, &decision.name),
            (OF, &decision.entity),
            (OF_LABEL, &decision.label),
            (OF_TYPE, &decision.entity_type),
        ] {
            properties.set(name, &Value::Str(value.to_owned()))?;
        }
        let labels = vec![DECISION.into()];
        let draft = NodeDraft { labels, properties, ..NodeDraft::default() };
        let (_, slot) = self.make_node(&draft, true)?;
        self.move_keys(slot, &[])
    }

    /// Makes the names of another entity names of this one, for good: its mentions move, those of the first
    /// messages now, and the others when they are [followed](Self::follow_names). It goes with the last of them, unless
    /// a user has tied it to something.
    pub fn merge_entities(&mut self, entity: Slot, other: Slot) -> Result<()> {
        let (key, of) = (self.look().require_key(entity)?, self.look().require_key(other)?);
        if entity == other {
            return Ok(());
        }
        let (label, entity_type) = self.named_as(&self.node(entity)?)?;
        // Whether other names than before are apart from the entity: its own messages follow, too.
        let mut parted = false;
        for (of, from) in [(&key, other), (&of, entity)] {
            let said = self.keys_said(from)?;
            parted |= self.take_back(of, |decision| {
                !decision.same && decision.entity == *of && said.contains(&decision.name)
            })?;
        }
        self.take_back(&key, |decision| decision.same && decision.name == key)?;
        let of_entity = |same, name: String| Decision {
            same,
            name,
            entity: key.clone(),
            label: label.clone(),
            entity_type: entity_type.clone(),
            awaits: None,
        };
        if of == key {
            // The messages of both lead to the one that is found, at once, for it is not found meanwhile.
            let posted = text_value(&of);
            self.txn.unpost(self.namespace, IndexId::ENTITY_KEY, &posted, other)?;
            let messages = self.look().messages_of(other)?;
            self.place_all(&messages)?;
            if self.txn.node_payload(self.namespace, other)?.is_some() {
                self.txn.post(self.namespace, IndexId::ENTITY_KEY, &posted, other)?;
            }
            let messages = if parted { self.look().messages_of(entity)? } else { Vec::new() };
            return self.place_first(&messages);
        }
        for (slot, decision) in self.decisions(&of)? {
            if decision.entity == of {
                self.remove_node(slot)?;
                if decision.name != key {
                    parted |= !decision.same;
                    self.decide(&of_entity(decision.same, decision.name))?;
                }
            }
        }
        self.take_back(&of, |decision| decision.same && decision.name == of)?;
        self.decide(&of_entity(true, of))?;
        let mut messages = self.look().messages_of(other)?;
        if parted {
            messages.extend(self.look().messages_of(entity)?);
            messages.sort_unstable();
            messages.dedup();
        }
        self.place_first(&messages)
    }

    /// Takes a name from an entity, for good: what is mentioned by it is another entity, which is
    /// returned. The first messages follow now, the others when they are [followed](Self::follow_names). `uses` is what
    /// was found of the name before, while nobody had to wait.
    pub fn split_entity(
        &mut self,
        entity: Slot,
        name: &str,
        uses: Option<&NameUses>,
    ) -> Result<Slot> {
        let key = self.look().require_key(entity)?;
        let (label, entity_type) = self.named_as(&self.node(entity)?)?;
        let uses = match uses {
            Some(uses) if self.target_of(uses, name)? == Some(entity) && name != label => {
                uses.clone()
            }
            _ => name_uses(self.txn, self.names, self.namespace, entity, name)?,
        };
        let mut keys = uses.keys.clone();
        if keys.is_empty() {
            keys.insert(exact(name));
        }
        for name in &keys {
            self.take_back(name, |known| known.same && known.name == *name && known.entity == key)?;
            self.decide(&Decision {
                same: false,
                name: name.clone(),
                entity: key.clone(),
                label: label.clone(),
                entity_type: entity_type.clone(),
                awaits: None,
            })?;
        }
        let mut messages = vec![uses.message];
        let others = self.look().messages_of(entity)?;
        messages.extend(others.into_iter().filter(|message| *message != uses.message));
        self.place_first(&messages)?;
        let found = self.target_of(&uses, name)?;
        found.ok_or_else(|| Error::Internal(format!("the name {name:?} leads to no entity")))
    }

    /// The entity to which a message says a name leads.
    fn target_of(&self, uses: &NameUses, name: &str) -> Result<Option<Slot>> {
        if self.txn.node(self.namespace, uses.message)?.is_none() {
            return Ok(None);
        }
        let says = |said: &Said| {
            if uses.keys.is_empty() { said.name == name } else { uses.keys.contains(&said.key()) }
        };
        let mentions = self.look().mentions_of(uses.message)?;
        Ok(mentions.iter().find(|of| of.said.iter().any(says)).map(|mention| mention.entity))
    }

    /// The keys that the names of an entity may have, and each name as it is written.
    fn keys_said(&self, entity: Slot) -> Result<BTreeSet<String>> {
        let node = self.node(entity)?;
        let (label, _) = self.named_as(&node)?;
        let names = self.names_of(node.properties)?.into_keys().chain([label]);
        let of =
            |name: String| [names::key(&name, names::PERSON), names::key(&name, ""), exact(&name)];
        Ok(names.flat_map(of).collect())
    }

    /// Lets messages follow what was decided.
    fn place_all(&mut self, messages: &[Slot]) -> Result<()> {
        let mut unsettled = Unsettled::default();
        for message in messages {
            self.place_again(*message, &mut unsettled)?;
        }
        self.settle(unsettled).map(drop)
    }

    /// The same for the first of them, and the short names beside them; the others wait for it.
    fn place_first(&mut self, messages: &[Slot]) -> Result<()> {
        for message in messages {
            self.mark(Artefact::Decisions, *message)?;
        }
        self.place_all(&messages[..messages.len().min(MOST_MOVED)])
    }
}
