//! Embeddings, by node and by id.

use embedded_db_common::{Error, Result, SpaceId};
use embedded_db_indexing::vector::direction;
use embedded_db_storage::{Kind, ReadEmbeddings, ReadSpaces, ReadTxn, SpaceRecord};

use crate::objects::Embedding;
use crate::reads::Reader;

/// A space that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// The one of this name.
    Named(&'a str),
    /// The one that is used when none is named.
    Default,
    /// That of the model in use, in which texts are compared.
    Models,
}

impl Reader<'_> {
    /// The space of this name, or else the default one.
    pub(crate) fn space(&self, name: Option<&str>) -> Result<Option<(SpaceId, SpaceRecord)>> {
        self.wanted(name.map_or(Wanted::Default, Wanted::Named))
    }

    /// Whether a space is still the one that is asked for.
    pub(crate) fn still_wants(
        &self,
        wanted: Option<Wanted<'_>>,
        space: Option<&(SpaceId, SpaceRecord)>,
    ) -> Result<bool> {
        let Some(wanted) = wanted else { return Ok(true) };
        Ok(self.wanted(wanted)?.map(|(space, _)| space) == space.map(|(space, _)| *space))
    }

    pub(crate) fn wanted(&self, wanted: Wanted<'_>) -> Result<Option<(SpaceId, SpaceRecord)>> {
        let spaces = self.snapshot.live_spaces()?;
        let numbered = |space| spaces.iter().find(|(id, _)| Some(*id) == space).cloned();
        match wanted {
            Wanted::Named(name) => {
                let found = spaces.iter().find(|(_, space)| space.name == name);
                found
                    .map(|found| Some(found.clone()))
                    .ok_or_else(|| Error::NotFound { kind: "space", id: name.to_owned() })
            }
            Wanted::Default => Ok(numbered(self.snapshot.default_space()?)),
            Wanted::Models => Ok(numbered(self.snapshot.model_space()?)),
        }
    }

    pub(crate) fn embeddings(&self, id: &str, space: Option<&str>) -> Result<Vec<Embedding>> {
        let node = self.snapshot.require_node(self.namespace, id)?;
        let Some((space, record)) = self.space(space)? else { return Ok(Vec::new()) };
        let parts = self.snapshot.embeddings_of(self.namespace, space, node)?;
        let parts = parts.iter().map(|(part, found)| Embedding::new(found, id, &record, *part));
        Ok(parts.collect())
    }

    /// The vector of the whole node: its only one, or the normalised mean of its parts.
    pub(crate) fn embedding_of(&self, id: &str, space: Option<&str>) -> Result<Option<Embedding>> {
        let mut parts = self.embeddings(id, space)?;
        if parts.len() < 2 {
            return Ok(parts.pop());
        }
        let vectors = parts.iter_mut().map(|part| std::mem::take(&mut part.vector));
        let vector = direction(vectors);
        let whole = parts.swap_remove(0);
        Ok(vector.map(|vector| Embedding { vector, ..whole }))
    }

    pub(crate) fn embedding(&self, id: &str) -> Result<Option<Embedding>> {
        let found = self.snapshot.resolve(self.namespace, Kind::Embedding, id)?;
        let Some(found) = found else { return Ok(None) };
        if self.snapshot.is_dropped(found.space)? {
            return Ok(None);
        }
        let node = self.node_at(found.slot)?.id()?;
        let spaces = self.snapshot.spaces()?;
        let space = spaces.iter().find(|(space, _)| *space == found.space);
        let stored =
            self.snapshot.embedding(self.namespace, found.space, found.slot, found.part)?;
        match (stored, space) {
            (Some(stored), Some((_, space))) => {
                Ok(Some(Embedding::new(&stored, &node, space, found.part)))
            }
            _ => Err(Error::Corruption {
                path: self.engine.store.path().to_owned(),
                object: format!("the embedding {id:?}"),
                detail: "its id is known but its vector is missing".into(),
            }),
        }
    }
}
