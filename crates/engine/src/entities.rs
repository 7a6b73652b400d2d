//! What users decide about entities.

use std::sync::Arc;

use embedded_db_common::Result;

use crate::database::Database;
use crate::objects::Node;
use crate::writes::written;

impl Database {
    /// Makes the names of another entity names of this one, for good; returns it.
    pub fn merge_entities(&self, id: &str, other: &str) -> Result<Node> {
        let (id, other) = (id.to_owned(), other.to_owned());
        let (store, namespace) = (Arc::clone(&self.engine()?.store), self.namespace_id());
        self.write(move |writer| {
            let (entity, other) = (writer.require_node(&id)?, writer.require_node(&other)?);
            writer.merge_entities(entity, other)?;
            written(writer, &store, namespace, entity)
        })
    }

    /// Takes a name from an entity, for good; returns the entity that has it now.
    pub fn split_entity(&self, id: &str, name: &str) -> Result<Node> {
        let (id, name) = (id.to_owned(), name.to_owned());
        let (store, namespace) = (Arc::clone(&self.engine()?.store), self.namespace_id());
        self.write(move |writer| {
            let entity = writer.require_node(&id)?;
            let other = writer.split_entity(entity, &name)?;
            written(writer, &store, namespace, other)
        })
    }
}
