//! Edges, those of users and those that the database makes.

use embedded_db_common::{Draft, Result, Slot, Symbol, clock, names};
use embedded_db_storage::{EdgeFields, EdgeTimes, Kind, ReadTxn};

use super::resolution::Unsettled;
use super::said::names_said;
use super::{EdgeChanges, EdgeDraft, EdgeSuccessor, GraphWriter, of_draft};

impl GraphWriter<'_, '_> {
    /// Makes an edge; returns its id.
    pub fn create_edge(&mut self, draft: &EdgeDraft) -> Result<(String, Slot)> {
        draft.check()?;
        let source = self.require_node(&draft.source);
        let source = source.map_err(|error| error.of_field("source"))?;
        let target = self.require_node(&draft.target);
        let target = target.map_err(|error| error.of_field("target"))?;
        let edge_type = self.txn.intern(&draft.edge_type)?;
        let made = || clock::new_id(&names::snake_case(&draft.edge_type));
        let id = draft.id.clone().unwrap_or_else(made);
        self.expire_id(Kind::Edge, &id)?;
        let properties = self.encode(&draft.properties)?;
        let times = EdgeTimes {
            valid_from: draft.valid_from,
            valid_to: draft.valid_to,
            recorded_at: self.txn.now(),
            retracted_at: None,
        };
        let sources = draft.sources.iter().map(String::as_str).collect();
        let fields = EdgeFields {
            derived: false,
            source,
            target,
            edge_type,
            weight: draft.weight,
            times,
            sources,
            properties: &properties,
        };
        let slot = self.txn.insert_edge(self.namespace, &id, &fields);
        let slot = slot.map_err(of_draft)?;
        if edge_type == self.names.contains {
            self.mark_summary(target)?;
        }
        Ok((id, slot))
    }

    /// An edge that the database makes by itself.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn link(
        &mut self,
        source: Slot,
        target: Slot,
        edge_type: Symbol,
        prefix: &str,
        weight: f64,
        sources: &[&str],
        properties: &Draft,
    ) -> Result<Slot> {
        let properties = self.encode(properties)?;
        let times = EdgeTimes { recorded_at: self.txn.now(), ..EdgeTimes::default() };
        let fields = EdgeFields {
            derived: true,
            source,
            target,
            edge_type,
            weight,
            times,
            sources: sources.to_vec(),
            properties: &properties,
        };
        self.txn.insert_edge(self.namespace, &clock::new_id(prefix), &fields)
    }

    /// Changes an edge.
    pub fn update_edge(&mut self, slot: Slot, changes: &EdgeChanges) -> Result<()> {
        let edge = self.txn.stored_edge(self.namespace, slot)?;
        let (message, is_mention) = (edge.source, edge.edge_type == self.names.mentions);
        if !is_mention {
            return self.change_edge(slot, changes, 1, None);
        }
        // Users may change what a mention says.
        let before = names_said(self.txn, self.names, self.namespace, message)?;
        self.change_edge(slot, changes, 1, None)?;
        let after = names_said(self.txn, self.names, self.namespace, message)?;
        let mut unsettled = Unsettled::default();
        self.repost(message, &before, &after, &mut unsettled)?;
        self.settle(unsettled).map(drop)
    }

    /// `step` is what the change adds to the version: nothing, when no user made it, and then it
    /// leaves no history either.
    /// `sources` replace those of the edge.
    pub(super) fn change_edge(
        &mut self,
        slot: Slot,
        changes: &EdgeChanges,
        step: u64,
        sources: Option<Vec<String>>,
    ) -> Result<()> {
        let edge = self.txn.stored_edge(self.namespace, slot)?;
        let (id, version) = (edge.id.to_owned(), edge.version.saturating_add(step));
        let (source, target, edge_type) = (edge.source, edge.target, edge.edge_type);
        let derived = edge.derived;
        let weight = changes.weight.unwrap_or(edge.weight);
        changes.check(&edge.times)?;
        let times = changes.times(&edge.times);
        let sources = sources.unwrap_or_else(|| edge.sources().map(str::to_owned).collect());
        let old = edge.properties.as_bytes().to_vec();
        let properties = self.merge(&old, &changes.properties)?;
        let fields = EdgeFields {
            derived,
            source,
            target,
            edge_type,
            weight,
            times,
            sources: sources.iter().map(String::as_str).collect(),
            properties: &properties,
        };
        if step == 0 {
            return self.txn.touch_edge(self.namespace, slot, &id, &fields);
        }
        self.txn.update_edge(self.namespace, slot, version, &id, &fields)
    }

    /// Makes the edge that is true from the end of another on. That one stays, with this end, unless it
    /// has ended before. Returns the id of the new edge.
    pub fn supersede_edge(&mut self, slot: Slot, successor: &EdgeSuccessor) -> Result<String> {
        let edge = self.txn.stored_edge(self.namespace, slot)?;
        let (times, edge_type) = (edge.times, edge.edge_type);
        let id_of = |slot| -> Result<String> { Ok(self.node(slot)?.id.to_owned()) };
        let (source, target) = (id_of(edge.source)?, id_of(edge.target)?);
        let edge_type = self.txn.symbol_name(edge_type)?.to_string();
        let draft = successor.complete(source, target, edge_type, self.txn.now());
        if let Some(to) = draft.ends(&times)? {
            let changes = EdgeChanges { valid_to: Some(Some(to)), ..EdgeChanges::default() };
            self.update_edge(slot, &changes)?;
        }
        self.create_edge(&draft).map(|(id, _)| id)
    }

    /// Ends the belief in an edge, with what follows from its deletion.
    pub fn retract_edge(&mut self, slot: Slot) -> Result<()> {
        self.leave(slot, |writer| writer.txn.retract_edge(writer.namespace, slot))
    }

    /// Removes an edge with its history.
    pub fn delete_edge(&mut self, slot: Slot) -> Result<()> {
        let edge = self.txn.edge(self.namespace, slot)?;
        if edge.is_some_and(|edge| edge.times.retracted_at.is_some()) {
            return self.txn.delete_edge(self.namespace, slot);
        }
        self.leave(slot, |writer| writer.txn.delete_edge(writer.namespace, slot))
    }

    /// What follows when an edge is true no more. A derived mention goes with what it counted for, and
    /// a message that leaves its chat takes the summary with it.
    fn leave(&mut self, slot: Slot, go: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        let edge = self.txn.edge(self.namespace, slot)?;
        let ends = edge.map(|edge| (edge.edge_type, edge.source, edge.target));
        if let Some((of, chat, _)) = ends
            && of == self.names.contains
        {
            self.retract_summary(chat, slot)?;
        }
        if let Some((of, message, entity)) = ends
            && of == self.names.mentions
            && self.derived_mentions(message)?.contains(&(slot, entity))
        {
            let mut unsettled = Unsettled::default();
            self.end_mention(message, slot, &mut unsettled, go)?;
            return self.settle(unsettled).map(drop);
        }
        go(self)
    }
}
