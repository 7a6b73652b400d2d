//! What users have decided about names: that two are one entity, or that one is no name of another. The
//! weaver does not do the opposite, whatever it finds.
//!
//! A decision is about the keys of names, so that it outlives an entity that goes and comes while texts
//! are changed. It goes with its entity when the last message that mentions this is deleted.

use std::collections::BTreeSet;

use embedded_db_common::{Draft, Error, Result, Slot, Value};
use embedded_db_storage::{Direction, IndexId, NodeRecord, ReadTxn, text_value};

use super::resolution::Unsettled;
use super::said::Said;
use super::{GraphWriter, NodeDraft, names};

/// The label of decisions.
pub const DECISION: &str = "EntityDecision";
const KIND: &str = "decision";
const NAME: &str = "name";
const OF: &str = "entity";
const OF_LABEL: &str = "entity_label";
const OF_TYPE: &str = "entity_type";
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
}

/// A name as it is written, apart from other spellings.
fn exact(name: &str) -> String {
    format!("exact:{name}")
}

fn posted(key: &str) -> Vec<u8> {
    text_value(&format!("decision:{key}"))
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
    }))
}

/// Where a decision is listed; nowhere what is none.
pub(super) fn decision_keys<T: ReadTxn>(txn: &T, node: &NodeRecord<'_>) -> Result<Vec<Vec<u8>>> {
    let Some(decision) = read(txn, node)? else { return Ok(Vec::new()) };
    let mut keys = vec![posted(&decision.name), posted(&decision.entity)];
    keys.dedup();
    Ok(keys)
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
        self.take_back(key, |decision| decision.entity == key)
    }

    fn take_back(&mut self, key: &str, which: impl Fn(&Decision) -> bool) -> Result<()> {
        for (slot, _) in self.decisions(key)?.into_iter().filter(|(_, decision)| which(decision)) {
            self.remove_node(slot)?;
        }
        Ok(())
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

    /// Makes the names of another entity names of this one, for good: its mentions move. It goes, unless
    /// a user has tied it to something.
    pub fn merge_entities(&mut self, entity: Slot, other: Slot) -> Result<()> {
        let (key, of) = (self.require_key(entity)?, self.require_key(other)?);
        if entity == other {
            return Ok(());
        }
        let (label, entity_type) = self.named_as(&self.node(entity)?)?;
        for (of, from) in [(&key, other), (&of, entity)] {
            let (label, _) = self.named_as(&self.node(from)?)?;
            let mut names: Vec<String> =
                self.names_of(self.node(from)?.properties)?.into_keys().collect();
            names.push(label);
            let said = self.keys_said(from)?;
            self.take_back(of, |decision| {
                let about = said.contains(&decision.name)
                    || names.iter().any(|name| exact(name) == decision.name);
                !decision.same && decision.entity == *of && about
            })?;
        }
        self.take_back(&key, |decision| decision.same && decision.name == key)?;
        let of_entity = |same, name: String| Decision {
            same,
            name,
            entity: key.clone(),
            label: label.clone(),
            entity_type: entity_type.clone(),
        };
        if of == key {
            // The messages of both lead to the one that is found.
            let posted = text_value(&of);
            self.txn.unpost(self.namespace, IndexId::ENTITY_KEY, &posted, other)?;
            self.place_all(other)?;
            if self.txn.node_payload(self.namespace, other)?.is_some() {
                self.txn.post(self.namespace, IndexId::ENTITY_KEY, &posted, other)?;
            }
            return Ok(());
        }
        for (slot, decision) in self.decisions(&of)? {
            if decision.entity == of {
                self.remove_node(slot)?;
                if decision.name != key {
                    self.decide(&of_entity(decision.same, decision.name))?;
                }
            }
        }
        self.take_back(&of, |decision| decision.same && decision.name == of)?;
        self.decide(&of_entity(true, of))?;
        self.place_all(other)
    }

    /// Takes a name from an entity, for good: what is mentioned by it is another entity, which is
    /// returned.
    pub fn split_entity(&mut self, entity: Slot, name: &str) -> Result<Slot> {
        let key = self.require_key(entity)?;
        let (label, entity_type) = self.named_as(&self.node(entity)?)?;
        let mut moving: Vec<(Slot, String)> = Vec::new();
        let mut spelled = None;
        for message in self.messages_of(entity)? {
            for mention in self.look().mentions_of(message)? {
                for said in mention.said.iter().filter(|_| mention.entity == entity) {
                    let own = said.key();
                    if own != key && own == names::key(name, &said.entity_type) {
                        moving.push((message, own));
                    } else if own == key && said.name == name && name != label {
                        spelled = Some(message);
                    }
                }
            }
        }
        let of_entity = |name: String| Decision {
            same: false,
            name,
            entity: key.clone(),
            label: label.clone(),
            entity_type: entity_type.clone(),
        };
        if moving.is_empty() {
            let message = spelled.ok_or_else(|| self.no_other_name(entity, name))?;
            moving.push((message, exact(name)));
        }
        let names: BTreeSet<&String> = moving.iter().map(|(_, name)| name).collect();
        for name in names {
            self.take_back(name, |known| known.same && known.name == *name && known.entity == key)?;
            self.decide(&of_entity(name.clone()))?;
        }
        self.place_all(entity)?;
        let (message, own) = &moving[0];
        for mention in self.look().mentions_of(*message)? {
            if mention.said.iter().any(|said| said.key() == *own || exact(&said.name) == *own) {
                return Ok(mention.entity);
            }
        }
        Err(Error::Internal(format!("the name {name:?} leads to no entity")))
    }

    fn no_other_name(&self, entity: Slot, name: &str) -> Error {
        let names = self.node(entity).and_then(|node| self.names_of(node.properties));
        let names: Vec<String> = names.unwrap_or_default().into_keys().collect();
        Error::InvalidInput(format!(
            "{name:?} is no name that can be taken from the entity; it is mentioned as {names:?}, and \
             keeps its label"
        ))
    }

    fn require_key(&self, entity: Slot) -> Result<String> {
        if let Some(key) = self.key_of(entity)? {
            return Ok(key);
        }
        Err(Error::InvalidInput(format!(
            "the node {:?} is no entity that was found in messages; only those have names that can be \
             joined and split",
            self.node(entity)?.id
        )))
    }

    /// The messages in which an entity was found.
    fn messages_of(&self, entity: Slot) -> Result<Vec<Slot>> {
        let mut messages = self.targets(entity, Direction::In, self.names.mentions)?;
        messages.sort_unstable();
        messages.dedup();
        Ok(messages)
    }

    /// The keys of the names by which an entity is mentioned.
    fn keys_said(&self, entity: Slot) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for message in self.messages_of(entity)? {
            for mention in self.look().mentions_of(message)? {
                for said in mention.said.iter().filter(|_| mention.entity == entity) {
                    let key = said.key();
                    if !keys.contains(&key) {
                        keys.push(key);
                    }
                }
            }
        }
        keys.extend(self.key_of(entity)?);
        Ok(keys)
    }

    /// Lets all messages that mention an entity follow what was decided.
    fn place_all(&mut self, entity: Slot) -> Result<()> {
        let mut unsettled = Unsettled::default();
        for message in self.messages_of(entity)? {
            self.place_again(message, &mut unsettled)?;
        }
        self.settle(unsettled).map(drop)
    }
}
