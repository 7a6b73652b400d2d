//! Changing the model: which of the two models does what, and when the new one's space is put in the place.

use std::time::Instant;

use embedded_db_common::{Error, Result, Slot};
use embedded_db_indexing::graph::{Artefact, may_switch, reembedding, switch_space};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadEmbeddings, ReadSpaces, Snapshot};

use super::status::Reembedding;
use super::{Weaver, any_pending};
use crate::batch::Batch;
use crate::goal::{Goal, Previous, Target};
use crate::limits::Function;
use crate::models::Models;

/// Texts to embed with what they were asked for, and whether others must wait.
type Picked = (Option<(Batch, Vec<Slot>)>, bool);

impl Weaver {
    /// What the weaver's own vectors are for now.
    pub(super) fn goal(&self, snapshot: &Snapshot) -> Result<Option<Goal>> {
        self.space.map(|space| Goal::of(snapshot, space)).transpose()
    }

    /// The space in use, with its dimension.
    pub(super) fn space_in_use(&self, snapshot: &Snapshot) -> Result<Option<Target>> {
        if self.goal(snapshot)?.is_none_or(|goal| goal.artefact == Artefact::Embedding) {
            return Ok(self.space);
        }
        let Some(space) = snapshot.model_space()? else { return Ok(None) };
        let record = snapshot.space(space)?;
        Ok(record.map(|record| (space, record.dimension as usize)))
    }

    /// Texts that have no vector in the space in use, while others are embedded into the next one: if the model of
    /// that space is at hand.
    pub(super) fn next_as_before(&self, snapshot: &Snapshot, most: usize) -> Result<Picked> {
        let Some(previous) = self.previous.as_ref().filter(|_| self.previous_available()) else {
            return Ok((None, false));
        };
        if snapshot.model_space()? != Some(previous.space.0) {
            return Ok((None, false));
        }
        if previous.models.limits().is_some_and(|limits| limits.holds(Function::Embedding)) {
            return Ok((None, any_pending(snapshot, Artefact::Embedding)?));
        }
        let (picked, waiting) = self.pick(snapshot, Goal::of(snapshot, previous.space)?, most)?;
        Ok((picked.map(|(batch, slots)| (batch.only(Artefact::Embedding), slots)), waiting))
    }

    /// Texts whose vectors are due for what is wanted, and whether others must wait.
    pub(super) fn pick(&self, snapshot: &Snapshot, goal: Goal, most: usize) -> Result<Picked> {
        let (due, waiting) = self.waiting().due(snapshot, goal.artefact, most, false)?;
        let Some((namespace, mut slots)) = due else { return Ok((None, waiting)) };
        if self.is_given_up(snapshot, namespace, &slots)? {
            slots.clear();
        }
        let batch = self.read(snapshot, namespace, &mut slots, Some(goal))?;
        Ok((Some((batch, slots)), waiting))
    }

    /// Embeds texts again.
    pub(super) fn embed_again(&self, batch: &Batch, slots: &[Slot]) -> Result<()> {
        self.enrich(batch, slots)?;
        self.switch().map(drop)
    }

    /// The functions that a batch is for.
    pub(super) fn models_of(&self, batch: &Batch) -> &dyn Models {
        self.previous_of(batch).map_or(&*self.models, |previous| &*previous.models)
    }

    pub(super) fn previous_of(&self, batch: &Batch) -> Option<&Previous> {
        let space = batch.goal?.space;
        let is_own = self.space.is_some_and(|(own, _)| own == space);
        self.previous.as_ref().filter(|previous| !is_own && previous.space.0 == space)
    }

    /// Notes that no model can do a batch; it is not the fault of its texts.
    pub(super) fn is_unavailable_for(&self, batch: &Batch, error: &Error) -> bool {
        if self.previous_of(batch).is_none() {
            let vectors = batch.wants(batch.vectors());
            let function = if vectors { Function::Embedding } else { Function::Entities };
            return self.is_unavailable(error, function);
        }
        let unavailable = matches!(error, Error::ModelUnavailable { .. });
        if unavailable {
            let mut state = self.state();
            state.previous_unavailable = Some(Instant::now());
            state.last_event = format!("failed: {error}");
        }
        unavailable
    }

    /// Puts the next space in the place of the one in use, if it has all that it needs; whether it has.
    pub(super) fn switch(&self) -> Result<bool> {
        // Nearly always there is something left, and a look does not keep writers waiting.
        if !may_switch(&self.store.read_committed()?)? {
            return Ok(false);
        }
        let names = self.names;
        if !self.store.write(move |txn| switch_space(txn, &names))? {
            return Ok(false);
        }
        let snapshot = self.store.read_committed()?;
        self.waiting().read_again(&snapshot, &self.options)?;
        let mut state = self.state();
        state.last_event = "the space of the new model is the one in use".into();
        drop(state);
        self.progress.notify_all();
        Ok(true)
    }
}

/// How far the texts are embedded again, as users see it.
pub fn reembedding_status(snapshot: &Snapshot, names: &Names) -> Result<Option<Reembedding>> {
    let Some(found) = reembedding(snapshot, names)? else { return Ok(None) };
    let name = |space| -> Result<String> {
        Ok(snapshot.space(space)?.map_or_else(String::new, |space| space.name))
    };
    let from = snapshot.model_space()?.map(name).transpose()?;
    let done = found.total.saturating_sub(found.pending).saturating_sub(found.failed);
    Ok(Some(Reembedding {
        space: name(found.space)?,
        from: from.unwrap_or_default(),
        done,
        total: found.total,
        failed: found.failed,
    }))
}
