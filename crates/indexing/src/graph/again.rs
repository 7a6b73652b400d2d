//! What follows from records that were copied as they are, without what follows from them: their places
//! in indexes, and the work that is due.

use embedded_db_common::record::Properties;
use embedded_db_common::{Result, Slot, SpaceId, Symbol};
use embedded_db_storage::{
    Direction, IndexId, IndexRecord, IndexState, ReadEmbeddings, ReadSpaces, ReadTxn, ReadWork,
};

use super::{Artefact, GraphWriter, duplicates, is_pending};

impl GraphWriter<'_, '_> {
    /// Puts nodes that are in no index yet into all of theirs, and marks work that nobody would do: up to
    /// `most` of them from a slot on. With `lost_work` it is not known what waited, so that is due which
    /// can be done twice. Where it goes on, and how many there were.
    pub fn derive_again(
        &mut self,
        first: Slot,
        most: usize,
        lost_work: bool,
    ) -> Result<(Option<Slot>, usize)> {
        let mut slots = Vec::with_capacity(most);
        self.txn.nodes_from(self.namespace, first, |slot, _| {
            slots.push(slot);
            slots.len() < most
        })?;
        for slot in &slots {
            self.post_again(*slot)?;
            self.mark_again(*slot, lost_work)?;
        }
        let next = slots.last().filter(|_| slots.len() == most).map(|last| Slot(last.0 + 1));
        Ok((next, slots.len()))
    }

    /// Whether values are unique is for [`Self::check_unique`] to say.
    fn post_again(&mut self, slot: Slot) -> Result<()> {
        let node = self.node(slot)?;
        let labels: Vec<Symbol> = node.labels().collect();
        let properties = node.properties.as_bytes().to_vec();
        let found_by = self.entity_keys(&node)?;
        self.post_known(slot, None, Some(&properties))?;
        for key in found_by {
            self.txn.post(self.namespace, IndexId::ENTITY_KEY, &key, slot)?;
        }
        self.post_names(slot)?;
        for index in &*self.kept()? {
            let properties = Properties::new(&properties);
            let cell = index.cell(&labels, properties)?;
            self.txn.put_cell(self.namespace, index.id, slot, cell)?;
            if let Some(key) = index.key(&labels, properties)? {
                self.txn.post(self.namespace, index.id, &key, slot)?;
            }
        }
        Ok(())
    }

    fn mark_again(&mut self, slot: Slot, lost_work: bool) -> Result<()> {
        let recipes = self.recipes()?;
        let node = self.node(slot)?;
        let is_message = self.names.message_text(&node)?.is_some();
        let is_chat = node.has_label(self.names.chat);
        let is_entity = node.derived && node.has_label(self.names.entity);
        let is_embedded = recipes.embedded_text(self.names, &node)?.is_some()
            && !recipes.goes_through(&node, slot);
        if is_embedded {
            let served = [self.txn.model_space()?, self.txn.default_space()?];
            if !self.is_embedded(served, slot)? {
                self.mark_unless_known(Artefact::Embedding, slot)?;
            }
            let next = self.txn.next_space()?;
            if next.is_some() && !self.is_embedded([next, None], slot)? {
                self.mark_unless_known(Artefact::Reembedding, slot)?;
            }
        }
        if lost_work && is_message && self.derived_mentions(slot)?.is_empty() {
            self.mark_unless_known(Artefact::Entities, slot)?;
        }
        if lost_work && (is_entity || self.is_topic(slot)?) {
            self.mark_unless_known(Artefact::Topics, slot)?;
        }
        if lost_work && is_message && !self.derived_mentions(slot)?.is_empty() {
            self.mark_unless_known(Artefact::Resolution, slot)?;
        }
        let contains = self.names.contains;
        if lost_work
            && is_chat
            && self.look().made_summaries(slot)?.is_empty()
            && !self.targets(slot, Direction::Out, contains)?.is_empty()
        {
            self.mark_unless_known(Artefact::Summary, slot)?;
        }
        Ok(())
    }

    /// Whether a node has a vector in one of these spaces.
    fn is_embedded(&self, spaces: [Option<SpaceId>; 2], slot: Slot) -> Result<bool> {
        for space in spaces.into_iter().flatten() {
            if self.txn.embedding(self.namespace, space, slot, 0)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Marks work, unless it waits or has failed.
    fn mark_unless_known(&mut self, artefact: Artefact, slot: Slot) -> Result<()> {
        let known = is_pending(self.txn, self.namespace, artefact, slot)?
            || self.txn.work(self.namespace, slot, artefact as u8)?.is_some();
        if known { Ok(()) } else { self.mark(artefact, slot) }
    }

    /// Gives up the unique indexes whose values are not: nodes may have come back that were deleted.
    pub fn check_unique(&mut self) -> Result<()> {
        for index in &*self.kept()? {
            if !index.record.unique {
                continue;
            }
            let label = self.txn.symbol_name(index.record.label)?;
            let shared = duplicates(self.txn, self.namespace, &label, &index.property, &|| Ok(()))?;
            if let Some(error) = shared {
                let (state, error) = (IndexState::Failed, error.to_string());
                let record = IndexRecord { state, error, ..index.record.clone() };
                self.txn.put_index(self.namespace, index.id, &record)?;
            }
        }
        self.indexes = None;
        Ok(())
    }
}
