//! What is derived from the text of a message: its mentions of entities, and the relations between
//! entities that it mentions together.

use std::collections::BTreeSet;

use embedded_db_common::{Draft, Result, Slot};
use embedded_db_storage::{Direction, ReadEmbeddings, ReadTxn, ReadWork};

use super::said::{self, Mention, Said};
use super::{Artefact, EdgeChanges, GraphWriter, is_pending};
use crate::graph::resolution::Unsettled;

impl GraphWriter<'_, '_> {
    /// Takes back what was derived from a message: its vectors (unless a user set them), mentions,
    /// and its part in the counts of entities and relations. Gives the keys of the entities that went with it.
    pub fn retract_derived(&mut self, slot: Slot) -> Result<BTreeSet<String>> {
        let spaces = self.txn.spaces()?;
        for (space, _) in spaces {
            let parts = self.txn.embeddings_of(self.namespace, space, slot)?;
            if parts.first().is_some_and(|(_, embedding)| !embedding.set_by_user) {
                drop(parts);
                self.txn.delete_embeddings(self.namespace, space, slot)?;
            }
        }
        self.leave_topics(slot)?;
        self.retract_proposals(slot)?;
        let linked = self.is_linked(slot)?;
        let gone = self.say(slot, Vec::new(), linked)?;
        self.done(Artefact::Links, slot)?;
        Ok(gone)
    }

    /// Stores what was found in the text of a message, in place of what was found before.
    pub fn put_mentions(&mut self, slot: Slot, said: Vec<Said>) -> Result<()> {
        if self.is_linked(slot)? {
            let pairs = self.pairs_of(slot)?;
            self.count_pairs(slot, &pairs, false)?;
        }
        // Nothing of it counts in relations until that is done.
        self.done(Artefact::Links, slot)?;
        self.mark(Artefact::Links, slot)?;
        self.say(slot, said, false)?;
        self.done(Artefact::Entities, slot)?;
        self.end_awaiting(slot)?;
        if self.mentioned(slot)?.len() < 2 {
            self.done(Artefact::Links, slot)?;
        }
        Ok(())
    }

    /// Whether the relations between the entities of a message were counted: it neither waits for
    /// that nor has it failed.
    pub(super) fn is_linked(&self, message: Slot) -> Result<bool> {
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

    /// The mention at an edge is true no more: `go` ends the edge, and what it counted for goes with it.
    pub(super) fn end_mention(
        &mut self,
        message: Slot,
        edge: Slot,
        unsettled: &mut Unsettled,
        go: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let mentions = self.look().mentions_of(message)?;
        let Some(ended) = mentions.iter().find(|mention| mention.edge == edge).cloned() else {
            return go(self);
        };
        let linked = self.is_linked(message)?;
        let pairs = if linked { self.pairs_of(message)? } else { Vec::new() };
        go(self)?;
        if linked {
            self.recount_pairs(message, &pairs)?;
        }
        if let Some(chat) = self.look().chat_mark(message)? {
            let before = said::values_of(chat, &mentions);
            let left: Vec<Mention> =
                mentions.iter().filter(|mention| mention.edge != edge).cloned().collect();
            let after = said::values_of(chat, &left);
            self.repost(message, &before, &after, unsettled)?;
        }
        let counts = super::resolution::counts(&ended.said, &[]);
        self.count_mention(ended.entity, -1, &counts).map(drop)
    }

    /// Ends all mentions of an entity, and the relations with it.
    pub(super) fn end_mentions_of(&mut self, entity: Slot) -> Result<()> {
        let mut unsettled = Unsettled::default();
        for message in self.targets(entity, Direction::In, self.names.mentions)? {
            let ends = self.derived_mentions(message)?;
            for (edge, _) in ends.into_iter().filter(|(_, of)| *of == entity) {
                let namespace = self.namespace;
                self.end_mention(message, edge, &mut unsettled, |writer| {
                    writer.txn.delete_edge(namespace, edge)
                })?;
            }
        }
        self.settle(unsettled).map(drop)
    }

    /// The pairs among the entities of a message that count in relations.
    pub(super) fn pairs_of(&self, message: Slot) -> Result<Vec<Pair>> {
        Ok(pairs(&self.mentioned(message)?))
    }

    /// The entities of a message are others than those of which these were the pairs: the relations
    /// follow.
    pub(super) fn recount_pairs(&mut self, message: Slot, before: &[Pair]) -> Result<()> {
        let after = self.pairs_of(message)?;
        let without = |all: &[Pair], others: &[Pair]| -> Vec<Pair> {
            all.iter().copied().filter(|pair| !others.contains(pair)).collect()
        };
        self.count_pairs(message, &without(before, &after), false)?;
        self.count_pairs(message, &without(&after, before), true)
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
pub(super) type Pair = (Slot, Slot);

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

/// A name in lower case, with single spaces: by it entities of earlier versions are found.
pub(super) fn fold(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}
