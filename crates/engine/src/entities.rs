//! What users decide about entities.

use embedded_db_common::{Error, Result, Slot};
use embedded_db_indexing::graph::{Artefact, MOST_MOVED, name_uses, pending};
use embedded_db_storage::ReadTxn;

use crate::database::Database;
use crate::objects::Node;
use crate::sharing::forward;

impl Database {
    /// Makes the names of another entity names of this one, for good; returns it. What was decided is stored at
    /// once; the mentions move in steps, after each of which `interrupted` is asked, and which go on in the background
    /// when this ends before.
    pub fn merge_entities(
        &self,
        id: &str,
        other: &str,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Node> {
        forward!(self, MergeEntities { id: id.into(), other: other.into() });
        let (kept, other) = (id.to_owned(), other.to_owned());
        self.write(move |writer| {
            let (entity, other) = (writer.require_node(&kept)?, writer.require_node(&other)?);
            writer.merge_entities(entity, other)
        })?;
        self.resolve(interrupted)?;
        self.entity(id)
    }

    /// Takes a name from an entity, for good, in such steps; returns the entity that has it now.
    pub fn split_entity(
        &self,
        id: &str,
        name: &str,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Node> {
        forward!(self, SplitEntity { id: id.into(), name: name.into() });
        let namespace = self.namespace_id();
        let (generation, uses) = {
            let engine = self.engine()?;
            let snapshot = engine.store.read()?;
            let entity = snapshot.require_node(namespace, id)?;
            let uses = name_uses(&snapshot, &engine.names, namespace, entity, name)?;
            (snapshot.generation().number(), uses)
        };
        let (id, name) = (id.to_owned(), name.to_owned());
        let other = self.write(move |writer| {
            let is_of_now = writer.txn.generation().number() == generation;
            let entity = writer.require_node(&id)?;
            let other = writer.split_entity(entity, &name, is_of_now.then_some(&uses))?;
            Ok(writer.txn.stored_node(namespace, other)?.id.to_owned())
        })?;
        self.resolve(interrupted)?;
        self.entity(&other)
    }

    fn entity(&self, id: &str) -> Result<Node> {
        let gone = || Error::NotFound { kind: "node", id: id.to_owned() };
        self.get_node(id)?.ok_or_else(gone)
    }

    /// Lets the names of messages lead where they now do, until none waits for it.
    fn resolve(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<()> {
        let namespace = self.namespace_id();
        loop {
            let engine = self.engine()?;
            let snapshot = engine.store.read()?;
            let mut waiting = pending(&snapshot, namespace, Artefact::Decisions)?;
            if waiting.is_empty() {
                waiting = pending(&snapshot, namespace, Artefact::Resolution)?;
            }
            let step: Vec<Slot> = waiting.iter().take(MOST_MOVED).map(Slot).collect();
            let generation = snapshot.generation().number();
            drop(snapshot);
            if step.is_empty() {
                return Ok(());
            }
            interrupted()?;
            self.write(move |writer| {
                if writer.txn.generation().number() == generation {
                    writer.follow_names(&step)
                } else {
                    Ok(())
                }
            })?;
        }
    }
}
