//! Vectors that users give, and their spaces.

use embedded_db_common::{ContentHash, Error, MAX_DIMENSION, Result, Slot, SpaceId, clock, names};
use embedded_db_storage::{Kind, ReadEmbeddings, ReadSpaces, Resolved, SpaceRecord};

use super::{Artefact, EmbeddingDraft, GivenVector, GraphWriter};

impl GraphWriter<'_, '_> {
    /// The space of this name, or the default one; made when it is new.
    pub fn space(
        &mut self,
        name: Option<&str>,
        dimension: usize,
    ) -> Result<(SpaceId, SpaceRecord)> {
        let spaces = self.txn.live_spaces()?;
        let wanted = match name {
            Some(name) => spaces.iter().find(|(_, space)| space.name == name),
            None => {
                let default = self.txn.default_space()?;
                spaces.iter().find(|(id, _)| Some(*id) == default)
            }
        };
        if let Some(found) = wanted {
            return Ok(found.clone());
        }
        let name = name.unwrap_or("default");
        names::check("the name of a space", name)?;
        let space = SpaceRecord {
            name: name.to_owned(),
            model: String::new(),
            provider: "user".into(),
            precision: "fp32".into(),
            dimension: u32::try_from(dimension).map_err(|_| dimension_error(dimension))?,
            metric: "cosine".into(),
        };
        let id = self.txn.create_space(&space)?;
        if self.txn.default_space()?.is_none() {
            self.txn.set_default_space(id)?;
        }
        Ok((id, space))
    }

    /// Stores a vector that a user gives; returns its id.
    pub fn create_embedding(&mut self, draft: &EmbeddingDraft) -> Result<String> {
        let of = |field| move |error: Error| error.of_field(field);
        check_vector(&draft.vector).map_err(of("vector"))?;
        let node = self.require_node(&draft.node_id).map_err(of("node_id"))?;
        let space = self.space(draft.space.as_deref(), draft.vector.len());
        let (space, record) = space.map_err(of("space"))?;
        check_dimension(&record, draft.vector.len()).map_err(of("vector"))?;
        let id = match &draft.id {
            Some(id) => {
                names::check("an embedding id", id)?;
                if self.vector(id)?.is_some() {
                    return Err(Error::AlreadyExists { kind: "embedding", id: id.clone() });
                }
                id.clone()
            }
            None => clock::new_id("embedding"),
        };
        self.set_vector(space, node, &id, &draft.vector)?;
        Ok(id)
    }

    /// Stores the vector that comes with a node, which has none.
    pub(super) fn embed_new_node(&mut self, node: Slot, given: &GivenVector) -> Result<()> {
        let numbers = &given.numbers;
        let mut store = || {
            check_vector(numbers)?;
            let (space, record) = self.space(given.space.as_deref(), numbers.len())?;
            check_dimension(&record, numbers.len())?;
            self.put_vector(space, node, &clock::new_id("embedding"), numbers)
        };
        store().map_err(|error| error.of_field("embedding"))
    }

    /// Replaces the embedding of a node, of which `id` is a part, by one vector with that id.
    pub fn update_embedding(&mut self, id: &str, vector: &[f32]) -> Result<()> {
        check_vector(vector)?;
        let found = self.vector(id)?;
        let found = found.ok_or_else(|| not_found("embedding", id))?;
        let spaces = self.txn.spaces()?;
        if let Some((_, record)) = spaces.iter().find(|(space, _)| *space == found.space) {
            check_dimension(record, vector.len())?;
        }
        self.set_vector(found.space, found.slot, id, vector)
    }

    /// Where the vector of this id is. One in a space that is dropped is gone for whoever asks.
    fn vector(&mut self, id: &str) -> Result<Option<Resolved>> {
        let Some(found) = self.resolve(Kind::Embedding, id)? else { return Ok(None) };
        if self.txn.is_dropped(found.space)? {
            self.txn.delete_embeddings(self.namespace, found.space, found.slot)?;
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// A user's vector stands for the whole node: no part of an earlier one stays beside it.
    fn set_vector(&mut self, space: SpaceId, node: Slot, id: &str, vector: &[f32]) -> Result<()> {
        self.txn.delete_embeddings(self.namespace, space, node)?;
        self.put_vector(space, node, id, vector)
    }

    fn put_vector(&mut self, space: SpaceId, node: Slot, id: &str, vector: &[f32]) -> Result<()> {
        let content = ContentHash([0; 16]);
        self.txn.put_embedding(self.namespace, space, node, 0, id, true, content, vector)?;
        // One in a space of the user's own does not stand for the model's.
        self.vector_is_set(space, node)?;
        if self.txn.default_space()? != Some(space) {
            return Ok(());
        }
        self.retract_proposals(node)?;
        self.mark(Artefact::Curiosity, node)?;
        self.mark_summary(node).map(drop)
    }

    /// Removes the embedding of a node of which `id` is a part. What has a text to embed gets the
    /// model's again.
    pub fn delete_embedding(&mut self, id: &str) -> Result<()> {
        let found = self.vector(id)?;
        let found = found.ok_or_else(|| not_found("embedding", id))?;
        self.txn.delete_embeddings(self.namespace, found.space, found.slot)?;
        self.vector_is_gone(found.space, found.slot)
    }
}

fn not_found(kind: &'static str, id: &str) -> Error {
    Error::NotFound { kind, id: id.to_owned() }
}

fn dimension_error(dimension: usize) -> Error {
    Error::InvalidInput(format!(
        "the vector has {dimension} dimensions; 1 to {MAX_DIMENSION} are possible"
    ))
}

/// A vector must have a possible dimension and finite numbers.
pub fn check_vector(vector: &[f32]) -> Result<()> {
    if vector.is_empty() || vector.len() > MAX_DIMENSION {
        return Err(dimension_error(vector.len()));
    }
    match vector.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NonFiniteVector { index, value: vector[index] }),
        None => Ok(()),
    }
}

/// A vector must have the dimension of its space.
pub fn check_dimension(space: &SpaceRecord, got: usize) -> Result<()> {
    let expected = space.dimension as usize;
    if expected == got {
        return Ok(());
    }
    Err(Error::DimensionMismatch { expected, got, space: space.name.clone() })
}
