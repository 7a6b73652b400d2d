//! What is derived from the text of a message: its mentions of entities, and the relations between
//! entities that it mentions together.

use embedded_db_common::{Draft, Result, Slot, Value, ValueRef};
use embedded_db_storage::{
    Direction, IndexId, NodeRecord, ReadEmbeddings, ReadTxn, ReadWork, text_value,
};

use super::{Artefact, Changes, EdgeChanges, GraphWriter, NodeDraft, is_pending};
use crate::schema::{ALIASES, END, ENTITY, ENTITY_TYPE, LABEL, MENTION_COUNT, Names, START};

/// The key of an entity that the weaver made in the posting `ENTITY_KEY`; no other node has one.
pub fn entity_key(names: &Names, node: &NodeRecord<'_>) -> Result<Option<Vec<u8>>> {
    if !(node.derived && node.has_label(names.entity)) {
        return Ok(None);
    }
    let label = node.properties.get(names.label)?;
    Ok(label.and_then(|label| label.as_str()).map(|label| text_value(&fold(label))))
}

impl GraphWriter<'_, '_> {
    /// Takes back what was derived from a message: its vectors (unless a user set them), mentions,
    /// and its part in the counts of entities and relations.
    pub fn retract_derived(&mut self, slot: Slot) -> Result<()> {
        let spaces = self.txn.spaces()?;
        for (space, _) in spaces {
            let parts = self.txn.embeddings_of(self.namespace, space, slot)?;
            if parts.first().is_some_and(|(_, embedding)| !embedding.set_by_user) {
                drop(parts);
                self.txn.delete_embeddings(self.namespace, space, slot)?;
            }
        }
        self.retract_mentions(slot)
    }

    /// Takes back the mentions of a message and what they counted for.
    pub fn retract_mentions(&mut self, slot: Slot) -> Result<()> {
        let mentioned = self.mentioned(slot)?;
        if self.is_linked(slot)? {
            self.count_pairs(slot, &pairs(&mentioned), false)?;
        }
        self.done(Artefact::Links, slot)?;
        for (edge, _) in self.derived_mentions(slot)? {
            self.txn.delete_edge(self.namespace, edge)?;
        }
        for entity in mentioned {
            self.count_mention(entity, -1)?;
        }
        Ok(())
    }

    /// Whether the relations between the entities of a message were counted: it neither waits for
    /// that nor has it failed.
    fn is_linked(&self, message: Slot) -> Result<bool> {
        let links = Artefact::Links;
        Ok(!is_pending(self.txn, self.namespace, links, message)?
            && self.txn.work(self.namespace, message, links as u8)?.is_none())
    }

    /// Entities that were found in a message, first mention first, each once.
    pub fn mentioned(&self, slot: Slot) -> Result<Vec<Slot>> {
        let mut out = Vec::new();
        for (_, entity) in self.derived_mentions(slot)? {
            if !out.contains(&entity) {
                out.push(entity);
            }
        }
        Ok(out)
    }

    /// Edge and entity of each mention that was derived from a message. Edges of this type that a
    /// user has made are the user's.
    pub(super) fn derived_mentions(&self, slot: Slot) -> Result<Vec<(Slot, Slot)>> {
        self.look().derived_mentions(slot)
    }

    /// A message is no longer counted in the relations of one of its entities; others may take its
    /// place among those that are paired.
    pub(super) fn leave_pairs(&mut self, message: Slot, entity: Slot) -> Result<()> {
        if !self.is_linked(message)? {
            return Ok(());
        }
        let mut mentioned = self.mentioned(message)?;
        let before = pairs(&mentioned);
        mentioned.retain(|other| *other != entity);
        let after = pairs(&mentioned);
        let without = |all: &[Pair], others: &[Pair]| -> Vec<Pair> {
            all.iter().copied().filter(|pair| !others.contains(pair)).collect()
        };
        self.count_pairs(message, &without(&before, &after), false)?;
        self.count_pairs(message, &without(&after, &before), true)
    }

    /// Adds a mention of an entity, which is made when it is new. `times` is how often the message
    /// names it; `start` and `end` are the characters of the first time.
    pub fn add_mention(
        &mut self,
        message: Slot,
        name: &str,
        entity_type: &str,
        (start, end): (usize, usize),
        times: usize,
    ) -> Result<Slot> {
        let entity = self.ensure_entity(name, entity_type)?;
        let mut properties = Draft::new();
        properties.set(START, &Value::Int(start as i64))?;
        properties.set(END, &Value::Int(end as i64))?;
        let source = self.node(message)?.id.to_owned();
        self.link(
            message,
            entity,
            self.names.mentions,
            "mentions",
            times as f64,
            &[&source],
            &properties,
        )?;
        self.count_mention(entity, 1)?;
        Ok(entity)
    }

    fn ensure_entity(&mut self, name: &str, entity_type: &str) -> Result<Slot> {
        let key = text_value(&fold(name));
        let known = crate::posting(self.txn, self.namespace, IndexId::ENTITY_KEY, &key)?;
        for slot in known {
            if self.purge_expired(Slot(slot))? {
                continue;
            }
            let Some(node) = self.txn.node(self.namespace, Slot(slot))? else { continue };
            if let Some(ValueRef::Str(label)) = node.properties.get(self.names.label)?
                && fold(label) == fold(name)
            {
                return Ok(Slot(slot));
            }
        }
        let mut properties = Draft::new();
        properties.set(LABEL, &Value::Str(name.to_owned()))?;
        properties.set(ENTITY_TYPE, &Value::Str(entity_type.to_owned()))?;
        properties.set(ALIASES, &Value::List(Vec::new()))?;
        properties.set(MENTION_COUNT, &Value::Int(0))?;
        let labels = vec![ENTITY.into()];
        let draft = NodeDraft { labels, properties, ..NodeDraft::default() };
        let (_, slot) = self.make_node(&draft, true)?;
        self.txn.post(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
        Ok(slot)
    }

    pub(super) fn entity_key(&self, node: &NodeRecord<'_>) -> Result<Option<Vec<u8>>> {
        entity_key(self.names, node)
    }

    /// Changes the count of messages that mention an entity. One that nobody mentions any more goes,
    /// unless a user has tied it to something.
    pub(super) fn count_mention(&mut self, entity: Slot, by: i64) -> Result<()> {
        let node = self.node(entity)?;
        let count = match node.properties.get(self.names.mention_count)? {
            // Users may have set it to any number.
            Some(ValueRef::Int(count)) => count.saturating_add(by),
            _ => by.max(0),
        };
        let old = node.properties.as_bytes().to_vec();
        if count <= 0 && !self.look().is_tied(entity, |_, _| false)? {
            return self.remove_node(entity);
        }
        let mut changes = Changes::default();
        let spelling = if by < 0 { self.other_spelling(entity)? } else { None };
        let is_respelt = spelling.is_some();
        if let Some(label) = spelling {
            changes.set.set(LABEL, &Value::Str(label))?;
        }
        changes.set.set(MENTION_COUNT, &Value::Int(count.max(0)))?;
        let properties = self.merge(&old, &changes)?;
        self.txn.touch_node(self.namespace, entity, &properties)?;
        if is_respelt {
            self.post_known(entity, Some(&old), Some(&properties))?;
        }
        self.reindex(entity, Some(&old), Some(&properties))
    }

    /// The name of an entity as its first mention writes it, where that is another spelling of the same:
    /// the message whose spelling it was is gone. A user's spelling stays.
    fn other_spelling(&mut self, entity: Slot) -> Result<Option<String>> {
        let recipes = self.recipes()?;
        let node = self.node(entity)?;
        let is_ours = node.derived && node.version == 1;
        let label = node.properties.get(self.names.label)?.and_then(|label| label.as_str());
        let Some(label) = label.filter(|_| is_ours) else { return Ok(None) };
        let Some((edge, message)) = self.first_mention(entity)? else { return Ok(None) };
        let text = recipes.embedded_text(self.names, &self.node(message)?)?;
        let edge = self.txn.edge(self.namespace, edge)?;
        let (Some(text), Some(edge)) = (text, edge) else { return Ok(None) };
        let at = |name| match edge.properties.get(name) {
            Ok(Some(ValueRef::Int(at))) => usize::try_from(at).unwrap_or(0),
            _ => 0,
        };
        let (start, end) = (at(self.names.start), at(self.names.end));
        let content = text.text.get(text.start..).unwrap_or_default();
        let written: String = content.chars().skip(start).take(end.saturating_sub(start)).collect();
        Ok((written != label && fold(&written) == fold(label)).then_some(written))
    }

    /// The oldest derived mention of an entity, and its message.
    fn first_mention(&self, entity: Slot) -> Result<Option<(Slot, Slot)>> {
        let mut first = Ok(None);
        let (way, of) = (Direction::In, Some(self.names.mentions));
        self.txn.neighbors(self.namespace, entity, way, of, |_, end| {
            let edge = self.txn.edge(self.namespace, end.edge);
            first = edge
                .map(|edge| edge.is_some_and(|edge| edge.derived).then_some((end.edge, end.node)));
            matches!(first, Ok(None))
        })?;
        first
    }

    /// Counts a message in the relations between the entities it mentions.
    pub fn link_mentions(&mut self, message: Slot) -> Result<()> {
        let mentioned = self.mentioned(message)?;
        self.count_pairs(message, &pairs(&mentioned), true)
    }

    /// Counts a message in relations, or takes its count back.
    fn count_pairs(&mut self, message: Slot, pairs: &[Pair], counts: bool) -> Result<()> {
        if pairs.is_empty() {
            return Ok(());
        }
        let message = self.node(message)?.id.to_owned();
        pairs.iter().try_for_each(|pair| self.count_pair(&message, *pair, counts))
    }

    fn count_pair(&mut self, message: &str, pair: Pair, counts: bool) -> Result<()> {
        let (source, target) = pair;
        let Some((edge, mut weight, mut sources)) = self.relation(pair)? else {
            if counts {
                let (of, sources) = (self.names.related_to, [message]);
                self.link(source, target, of, "related_to", 1.0, &sources, &Draft::new())?;
            }
            return Ok(());
        };
        sources.retain(|source| source != message);
        weight += if counts { 1.0 } else { -1.0 };
        if weight <= 0.0 {
            return self.txn.delete_edge(self.namespace, edge);
        }
        if counts {
            sources.push(message.to_owned());
            sources.drain(..sources.len().saturating_sub(MOST_SOURCES));
        }
        let changes = EdgeChanges { weight: Some(weight), ..EdgeChanges::default() };
        self.change_edge(edge, &changes, 0, Some(sources))
    }

    /// The edge that counts in how many messages two entities come together, its weight and sources.
    /// One of the same type that a user has made is the user's.
    fn relation(&self, (source, target): Pair) -> Result<Option<(Slot, f64, Vec<String>)>> {
        let mut between = Vec::new();
        let (way, of) = (Direction::Out, Some(self.names.related_to));
        self.txn.neighbors(self.namespace, source, way, of, |_, end| {
            if end.node == target {
                between.push(end.edge);
            }
            true
        })?;
        for slot in between {
            if let Some(edge) = self.txn.edge(self.namespace, slot)?
                && edge.derived
            {
                let sources = edge.sources().map(str::to_owned).collect();
                return Ok(Some((slot, edge.weight, sources)));
            }
        }
        Ok(None)
    }
}

/// Two entities that a message mentions together, the older one first.
type Pair = (Slot, Slot);

/// The newest messages that a relation names as its sources: a common pair must not grow its record
/// with every message.
const MOST_SOURCES: usize = 32;

/// The pairs among the entities of a message.
fn pairs(entities: &[Slot]) -> Vec<Pair> {
    /// Pairs of more entities than this would drown a graph in one long message.
    const MOST: usize = 16;
    let entities = &entities[..entities.len().min(MOST)];
    let mut out = Vec::new();
    for (at, first) in entities.iter().enumerate() {
        out.extend(
            entities[at + 1..].iter().map(|second| (*first.min(second), *first.max(second))),
        );
    }
    out
}

/// The form of a name in which two spellings are one entity.
pub fn fold(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}
