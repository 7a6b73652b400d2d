//! Changing the model: all texts are embedded into a space of the new one, which then takes the place of
//! that of the old one, in one step.
//!
//! While that goes on a text waits for two vectors: [`Artefact::Embedding`] is that in the space in use,
//! [`Artefact::Reembedding`] that in the next one. What is given up blocks the switch where the space in use
//! has a vector of it: nothing that is found by meaning is lost with a switch.

use embedded_db_common::{NamespaceId, Result, Slot, SpaceId};
use embedded_db_storage::{
    IndexId, ReadEmbeddings, ReadSpaces, ReadTxn, ReadWork, WorkRecord, WorkState, WriteTxn,
    recipes,
};
use roaring::RoaringBitmap;

use super::work::{Artefact, pending};
use super::{GraphWriter, Names};
use crate::labelled;

/// How far the texts are embedded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reembedding {
    /// The space into which they are.
    pub space: SpaceId,
    /// All nodes that may have a text.
    pub total: u64,
    /// Those that wait.
    pub pending: u64,
    /// Those that were given up.
    pub failed: u64,
}

/// How far the texts are embedded again; `None` when they are not.
pub fn reembedding(txn: &impl ReadTxn, names: &super::Names) -> Result<Option<Reembedding>> {
    let Some(space) = txn.next_space()? else { return Ok(None) };
    let (mut total, mut waiting, mut failed) = (0, 0, 0);
    for (_, namespace) in txn.namespaces()? {
        total += texts(txn, names, namespace)?.len();
        waiting += pending(txn, namespace, Artefact::Reembedding)?.len();
    }
    txn.scan_work(|_, _, artefact, work| {
        let is_dead = work.state == WorkState::Dead;
        failed += u64::from(is_dead && artefact == Artefact::Reembedding as u8);
        Ok(())
    })?;
    Ok(Some(Reembedding { space, total, pending: waiting, failed }))
}

/// The nodes of a namespace that may have a text to embed.
fn texts(txn: &impl ReadTxn, names: &Names, namespace: NamespaceId) -> Result<RoaringBitmap> {
    let mut all = labelled(txn, namespace, names.message)?;
    for (label, recipe) in recipes(txn, namespace)? {
        if !recipe.embed.is_empty() {
            all |= labelled(txn, namespace, label)?;
        }
    }
    Ok(all)
}

/// The first model's space is there: every text waits for a vector in it, whatever vectors of their own users have set.
/// Texts that have one there are done as soon as they are looked at.
pub fn begin_embedding(txn: &mut WriteTxn<'_>, names: &Names) -> Result<()> {
    for (_, namespace) in txn.namespaces()? {
        let slots = texts(txn, names, namespace)?;
        let value = Artefact::Embedding.value(namespace);
        txn.post_all(NamespaceId::SYSTEM, IndexId::PENDING, &value, slots.iter())?;
    }
    Ok(())
}

/// Every text waits for a vector in a space from now on, which then takes the place of the one in use. Texts
/// that have one there are done as soon as they are looked at.
pub fn begin_reembedding(txn: &mut WriteTxn<'_>, names: &Names, space: SpaceId) -> Result<()> {
    abandon_reembedding(txn)?;
    for (_, namespace) in txn.namespaces()? {
        let slots = texts(txn, names, namespace)?;
        let value = Artefact::Reembedding.value(namespace);
        txn.post_all(NamespaceId::SYSTEM, IndexId::PENDING, &value, slots.iter())?;
    }
    txn.set_next_space(Some(space))
}

/// The space in use stays; the next one keeps what it has.
pub fn abandon_reembedding(txn: &mut WriteTxn<'_>) -> Result<()> {
    let artefact = Artefact::Reembedding as u8;
    txn.clear_postings(NamespaceId::SYSTEM, IndexId::PENDING, &[artefact])?;
    for (namespace, slot, _) in failures(txn, Artefact::Reembedding)? {
        txn.delete_work(namespace, slot, artefact)?;
    }
    txn.set_next_space(None)
}

/// Whether the next space has a vector of everything of which the model has made one in the space in use.
pub fn may_switch(txn: &impl ReadTxn) -> Result<bool> {
    let Some(space) = txn.next_space()? else { return Ok(false) };
    let Some(current) = txn.model_space()?.filter(|current| *current != space) else {
        return Ok(true);
    };
    let was_made = |namespace, slot| {
        let parts = txn.embedding(namespace, current, slot, 0)?;
        Ok::<_, embedded_db_common::Error>(parts.is_some_and(|part| !part.set_by_user))
    };
    for (_, namespace) in txn.namespaces()? {
        // What waits for both has none.
        let waiting = pending(txn, namespace, Artefact::Reembedding)?
            - pending(txn, namespace, Artefact::Embedding)?;
        for slot in waiting {
            if was_made(namespace, Slot(slot))? {
                return Ok(false);
            }
        }
    }
    for (namespace, slot, _) in failures(txn, Artefact::Reembedding)? {
        if was_made(namespace, slot)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts the next space in the place of the one in use, if it may be. What still waits for it waits as any
/// text does.
pub fn switch_space(txn: &mut WriteTxn<'_>, names: &Names) -> Result<bool> {
    let Some(space) = txn.next_space()? else { return Ok(false) };
    if !may_switch(txn)? {
        return Ok(false);
    }
    let (old, new) = (Artefact::Embedding, Artefact::Reembedding);
    let mut first = Vec::new();
    for (_, namespace) in txn.namespaces()? {
        let (had_none, lacks) = (pending(txn, namespace, old)?, pending(txn, namespace, new)?);
        first.push((namespace, had_none, lacks));
    }
    for (namespace, slot, _) in failures(txn, old)? {
        if let Some((_, had_none, _)) = first.iter_mut().find(|(of, ..)| *of == namespace) {
            had_none.insert(slot.0);
        }
        txn.delete_work(namespace, slot, old as u8)?;
    }
    for artefact in [old, new] {
        txn.clear_postings(NamespaceId::SYSTEM, IndexId::PENDING, &[artefact as u8])?;
    }
    for (namespace, slot, failure) in failures(txn, new)? {
        if let Some((_, had_none, _)) = first.iter_mut().find(|(of, ..)| *of == namespace) {
            had_none.remove(slot.0);
        }
        txn.delete_work(namespace, slot, new as u8)?;
        txn.put_work(namespace, slot, old as u8, &failure)?;
    }
    for (namespace, had_none, lacks) in first {
        let value = old.value(namespace);
        txn.post_all(NamespaceId::SYSTEM, IndexId::PENDING, &value, lacks.iter())?;
        // A summary is made of what has a vector, and these have their first one now.
        let mut writer = GraphWriter::new(txn, names, namespace);
        for slot in had_none - lacks {
            writer.mark_summary(Slot(slot))?;
        }
    }
    if txn.default_space()? == txn.model_space()? {
        txn.set_default_space(space)?;
    }
    txn.set_model_space(space)?;
    txn.set_next_space(None)?;
    Ok(true)
}

/// What is known of work of a kind that has failed.
fn failures(
    txn: &impl ReadTxn,
    artefact: Artefact,
) -> Result<Vec<(NamespaceId, Slot, WorkRecord)>> {
    let mut out = Vec::new();
    txn.scan_work(|namespace, slot, of, work| {
        if of == artefact as u8 {
            out.push((namespace, slot, work));
        }
        Ok(())
    })?;
    Ok(out)
}

impl GraphWriter<'_, '_> {
    /// Marks or unmarks work on the vectors of a text that is new or another one. Who has set a vector
    /// himself needs none of a model in that space.
    pub(super) fn vectors_are_due(&mut self, slot: Slot, has_text: bool) -> Result<()> {
        let current = self.embedding_space()?;
        self.vector_is_due(Artefact::Embedding, current, slot, has_text)?;
        if let Some(next) = self.txn.next_space()? {
            self.vector_is_due(Artefact::Reembedding, Some(next), slot, has_text)?;
        }
        Ok(())
    }

    /// In which the vectors are that texts wait for. Before the first model has made one it is that of the user's.
    fn embedding_space(&self) -> Result<Option<SpaceId>> {
        match self.txn.model_space()? {
            None => self.txn.default_space(),
            made => Ok(made),
        }
    }

    fn vector_is_due(
        &mut self,
        artefact: Artefact,
        space: Option<SpaceId>,
        slot: Slot,
        has_text: bool,
    ) -> Result<()> {
        let mut is_due = has_text;
        if let Some(space) = space.filter(|_| has_text) {
            let first = self.txn.embedding(self.namespace, space, slot, 0)?;
            is_due = !first.is_some_and(|embedding| embedding.set_by_user);
        }
        if is_due { self.mark(artefact, slot) } else { self.unmark(artefact, slot) }
    }

    /// A vector in a space was set by a user, or as it was before: nobody needs to make it.
    pub(super) fn vector_is_set(&mut self, space: SpaceId, slot: Slot) -> Result<()> {
        if self.embedding_space()? == Some(space) {
            self.done(Artefact::Embedding, slot)?;
        }
        if self.txn.next_space()? == Some(space) {
            self.done(Artefact::Reembedding, slot)?;
        }
        Ok(())
    }

    /// A vector in a space is gone: a model makes one if the node has a text.
    pub(super) fn vector_is_gone(&mut self, space: SpaceId, slot: Slot) -> Result<()> {
        if self.txn.default_space()? == Some(space) {
            self.retract_proposals(slot)?;
        }
        let recipes = self.recipes()?;
        if recipes.embedded_text(self.names, &self.node(slot)?)?.is_none() {
            return Ok(());
        }
        let space = Some(space);
        if self.embedding_space()? == space {
            self.mark(Artefact::Embedding, slot)?;
        }
        if self.txn.next_space()? == space {
            self.mark(Artefact::Reembedding, slot)?;
        }
        Ok(())
    }
}
