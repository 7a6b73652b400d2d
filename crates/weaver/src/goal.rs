//! Into which space vectors go, and which work that is: another one while the model is being changed.

use std::sync::Arc;

use embedded_db_common::{Result, SpaceId};
use embedded_db_indexing::graph::Artefact;
use embedded_db_storage::{ReadSpaces, ReadTxn};

use crate::models::Models;

/// A space, and how many dimensions it has.
pub type Target = (SpaceId, usize);

/// The model that the texts of the space in use were embedded with, if that is another one than the weaver's.
#[derive(Clone)]
pub struct Previous {
    /// Its functions.
    pub models: Arc<dyn Models>,
    /// Its space.
    pub space: Target,
}

/// What the vectors of a batch are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) space: SpaceId,
    pub(crate) dimension: usize,
    /// [`Artefact::Embedding`] in the space in use, [`Artefact::Reembedding`] in the next one.
    pub(crate) artefact: Artefact,
}

impl Goal {
    /// What vectors in a space are for.
    pub(crate) fn of(txn: &impl ReadTxn, (space, dimension): Target) -> Result<Self> {
        let is_next = txn.next_space()? == Some(space);
        let artefact = if is_next { Artefact::Reembedding } else { Artefact::Embedding };
        Ok(Self { space, dimension, artefact })
    }

    /// Whether that is still what they are for.
    pub(crate) fn holds(self, txn: &impl ReadTxn) -> Result<bool> {
        Ok(Self::of(txn, (self.space, self.dimension))? == self)
    }
}
