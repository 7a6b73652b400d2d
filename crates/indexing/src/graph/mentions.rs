//! What is derived from the text of a message: its mentions of entities, and the relations between
//! entities that it mentions together.

use embedded_db_common::{Draft, Result, Slot, ValueRef};
use embedded_db_storage::{Direction, IndexId, NodeRecord, ReadTxn, text_value};

use super::{Artefact, Changes, EdgeChanges, GraphWriter, NodeDraft, is_pending};

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
        let linked =
            !mentioned.is_empty() && !is_pending(self.txn, self.namespace, Artefact::Links, slot)?;
        if linked {
            self.count_pairs(&mentioned, -1.0)?;
        }
        self.unmark(Artefact::Links, slot)?;
        self.txn.delete_work(self.namespace, slot, Artefact::Links as u8)?;
        for (edge, _) in self.derived_mentions(slot)? {
            self.txn.delete_edge(self.namespace, edge)?;
        }
        for entity in mentioned {
            self.count_mention(entity, -1)?;
        }
        Ok(())
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
        let mut derived = Vec::new();
        for end in self.ends(slot, Direction::Out, self.names.mentions)? {
            let edge = self.txn.edge(self.namespace, end.edge)?;
            if edge.is_some_and(|edge| edge.derived)
                && self.is_labelled(end.node, self.names.entity)?
            {
                derived.push((end.edge, end.node));
            }
        }
        Ok(derived)
    }

    /// A message is no longer counted in the relations of one of its entities; others may take its
    /// place among those that are paired.
    pub(super) fn leave_pairs(&mut self, message: Slot, entity: Slot) -> Result<()> {
        if is_pending(self.txn, self.namespace, Artefact::Links, message)? {
            return Ok(());
        }
        let mut mentioned = self.mentioned(message)?;
        if mentioned.contains(&entity) {
            self.count_pairs(&mentioned, -1.0)?;
            mentioned.retain(|other| *other != entity);
            self.count_pairs(&mentioned, 1.0)?;
        }
        Ok(())
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
        use embedded_db_common::Value;
        let entity = self.ensure_entity(name, entity_type)?;
        let mut properties = Draft::new();
        properties.set("start", &Value::Int(start as i64))?;
        properties.set("end", &Value::Int(end as i64))?;
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
        use embedded_db_common::Value;
        let key = text_value(&fold(name));
        let known = crate::posting(self.txn, self.namespace, IndexId::ENTITY_KEY, &key)?;
        for slot in known {
            let Some(node) = self.txn.node(self.namespace, Slot(slot))? else { continue };
            if let Some(ValueRef::Str(label)) = node.properties.get(self.names.label)?
                && fold(label) == fold(name)
            {
                return Ok(Slot(slot));
            }
        }
        let mut properties = Draft::new();
        properties.set("label", &Value::Str(name.to_owned()))?;
        properties.set("entity_type", &Value::Str(entity_type.to_owned()))?;
        properties.set("aliases", &Value::List(Vec::new()))?;
        properties.set("mention_count", &Value::Int(0))?;
        let draft = NodeDraft { id: None, labels: vec!["Entity".into()], properties };
        let (_, slot) = self.make_node(&draft, true)?;
        self.txn.post(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
        Ok(slot)
    }

    /// The posting key of an entity that the weaver made; no other node has one.
    pub(super) fn entity_key(&self, node: &NodeRecord<'_>) -> Result<Option<Vec<u8>>> {
        if !(node.derived && node.has_label(self.names.entity)) {
            return Ok(None);
        }
        let label = node.properties.get(self.names.label)?;
        Ok(label.and_then(|label| label.as_str()).map(|label| text_value(&fold(label))))
    }

    /// Changes the count of messages that mention an entity. One that nobody mentions any more goes,
    /// unless a user has tied it to something.
    pub(super) fn count_mention(&mut self, entity: Slot, by: i64) -> Result<()> {
        use embedded_db_common::Value;
        let node = self.node(entity)?;
        let count = match node.properties.get(self.names.mention_count)? {
            Some(ValueRef::Int(count)) => count + by,
            _ => by.max(0),
        };
        let old = node.properties.as_bytes().to_vec();
        if count <= 0 {
            let mut tied = false;
            for direction in [Direction::Out, Direction::In] {
                self.txn.neighbors(self.namespace, entity, direction, None, |edge_type, _| {
                    // Mentions that the weaver has made were counted: the rest are a user's.
                    tied |= edge_type != self.names.related_to;
                    !tied
                })?;
            }
            if !tied {
                return self.remove_node(entity);
            }
        }
        let mut changes = Changes::default();
        changes.set.set("mention_count", &Value::Int(count.max(0)))?;
        let properties = self.merge(&old, &changes)?;
        self.txn.touch_node(self.namespace, entity, &properties)
    }

    /// Counts a message in the relations between the entities it mentions.
    pub fn link_mentions(&mut self, message: Slot) -> Result<()> {
        let mentioned = self.mentioned(message)?;
        self.count_pairs(&mentioned, 1.0)
    }

    fn count_pairs(&mut self, entities: &[Slot], by: f64) -> Result<()> {
        /// Pairs of more entities than this would drown a graph in one long message.
        const MOST: usize = 16;
        let entities = &entities[..entities.len().min(MOST)];
        for (at, first) in entities.iter().enumerate() {
            for second in &entities[at + 1..] {
                self.count_pair(*first.min(second), *first.max(second), by)?;
            }
        }
        Ok(())
    }

    fn count_pair(&mut self, source: Slot, target: Slot, by: f64) -> Result<()> {
        let related_to = self.names.related_to;
        let mut found = None;
        self.txn.neighbors(
            self.namespace,
            source,
            Direction::Out,
            Some(related_to),
            |_, neighbor| {
                if neighbor.node == target {
                    found = Some(neighbor.edge);
                }
                found.is_none()
            },
        )?;
        let Some(edge) = found else {
            if by > 0.0 {
                self.link(source, target, related_to, "related_to", by, &[], &Draft::new())?;
            }
            return Ok(());
        };
        let weight = self.txn.edge(self.namespace, edge)?.map_or(0.0, |edge| edge.weight) + by;
        if weight <= 0.0 {
            return self.txn.delete_edge(self.namespace, edge);
        }
        let changes = EdgeChanges { weight: Some(weight), ..EdgeChanges::default() };
        self.change_edge(edge, &changes, 0)
    }
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
