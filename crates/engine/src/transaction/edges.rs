//! Edges and neighbours of a transaction.

use std::collections::HashSet;

use embedded_db_common::{Draft, Error, Result, clock, names};
use embedded_db_indexing::graph::{EdgeChanges, EdgeDraft, EdgeSuccessor};
use embedded_db_query::{AsOf, Reach};
use embedded_db_storage::{Direction, EdgeTimes, Kind, ReadTxn};

use super::commit::Op;
use super::nodes::merged;
use super::own::draft_counts;
use super::{Expected, Transaction};
use crate::ends::End;
use crate::objects::{DraftEdge, Edge, Node};
use crate::reads::{EdgePlace, Page};
use crate::writes::Seen;

/// The place of an end among those of a node, in the order of `Database::neighbors`: direction, type,
/// edge.
type Place = (u8, u64, u64);

/// Types and edges that are not stored have places from here on.
const BEHIND: u64 = 1 << 32;

/// What stands at the other end of an edge.
enum Found {
    Stored(End),
    /// Id of the node at the end of an edge made here.
    Own(String),
}

impl Transaction {
    /// An edge with the transaction's own writes.
    pub fn get_edge(&mut self, id: &str) -> Result<Option<Edge>> {
        if let Some(own) = self.own.edge(id) {
            let store = &self.database.engine()?.store;
            let namespace = self.database.namespace_id();
            return Ok(own.draft.clone().map(|draft| Edge::draft(store, namespace, draft)));
        }
        let found = self.reads.get_edge(id, AsOf::default())?;
        let version = found.as_ref().map_or(Ok(0), Edge::version)?;
        self.see(Kind::Edge, id, version)?;
        Ok(found)
    }

    fn require_edge(&mut self, id: &str) -> Result<Edge> {
        self.get_edge(id)?.ok_or_else(|| Error::NotFound { kind: "edge", id: id.to_owned() })
    }

    /// Whether an edge of this id was retracted, here or before, and not deleted.
    fn is_retracted(&mut self, id: &str) -> Result<bool> {
        if let Some(own) = self.own.edge(id) {
            return Ok(own.retracted.is_some());
        }
        if self.get_edge(id)?.is_some() {
            return Ok(false);
        }
        let namespace = self.database.namespace_id();
        let found =
            self.reads.reader(|reader| reader.snapshot.resolve(namespace, Kind::Edge, id))?;
        Ok(found.is_some())
    }

    /// Makes an edge; returns its id.
    pub fn create_edge(&mut self, mut draft: EdgeDraft) -> Result<String> {
        draft.check()?;
        draft.properties.check_names()?;
        self.check_node(&draft.source).map_err(|error| error.of_field("source"))?;
        self.check_node(&draft.target).map_err(|error| error.of_field("target"))?;
        let made = || clock::new_id(&names::snake_case(&draft.edge_type));
        let id = draft.id.clone().unwrap_or_else(made);
        if self.get_edge(&id)?.is_some() || self.is_retracted(&id)? {
            return Err(Error::AlreadyExists { kind: "edge", id }.of_field("id"));
        }
        let size = draft.properties.check_size(&id);
        size.map_err(|error| error.of_field("properties"))?;
        draft.id = Some(id.clone());
        let times = EdgeTimes {
            valid_from: draft.valid_from,
            valid_to: draft.valid_to,
            recorded_at: clock::now(),
            retracted_at: None,
        };
        let edge = DraftEdge {
            id: id.clone(),
            source: draft.source.clone(),
            target: draft.target.clone(),
            edge_type: draft.edge_type.clone(),
            weight: draft.weight,
            times,
            sources: draft.sources.clone(),
            properties: draft.properties.clone(),
            version: 1,
            derived: false,
        };
        self.own.make_edge(edge);
        self.ops.push(Op::CreateEdge(draft));
        Ok(id)
    }

    /// Changes an edge.
    pub fn update_edge(&mut self, id: &str, changes: EdgeChanges) -> Result<()> {
        changes.properties.set.check_names()?;
        let edge = self.require_edge(id)?;
        let mut old = Draft::new();
        edge.each_property(&mut |name, value| old.set(name, &value.to_value()?))?;
        let before = edge.times()?;
        changes.check(&before)?;
        let times = EdgeTimes { recorded_at: clock::now(), ..changes.times(&before) };
        let draft = DraftEdge {
            id: id.to_owned(),
            source: edge.source().to_owned(),
            target: edge.target().to_owned(),
            edge_type: edge.edge_type()?.to_string(),
            weight: changes.weight.unwrap_or(edge.weight()?),
            times,
            sources: edge.sources()?,
            properties: merged(&old, &changes.properties),
            version: edge.version()?.saturating_add(1),
            derived: edge.derived()?,
        };
        draft.properties.check_size(id)?;
        self.own.change_edge(draft);
        self.ops.push(Op::UpdateEdge(id.to_owned(), changes));
        Ok(())
    }

    /// Makes an edge that takes the place of another, which stays and ends where it begins; returns
    /// its id.
    pub fn supersede_edge(&mut self, id: &str, successor: EdgeSuccessor) -> Result<String> {
        let edge = self.require_edge(id)?;
        let (source, target) = (edge.source().to_owned(), edge.target().to_owned());
        let edge_type = edge.edge_type()?.to_string();
        let draft = successor.complete(source, target, edge_type, clock::now());
        let to = draft.ends(&edge.times()?)?;
        // First what may be refused: nothing is buffered then.
        let made = self.create_edge(draft)?;
        if let Some(to) = to {
            let changes = EdgeChanges { valid_to: Some(Some(to)), ..EdgeChanges::default() };
            self.update_edge(id, changes)?;
        }
        Ok(made)
    }

    /// Ends the belief in an edge; its id stays taken.
    pub fn retract_edge(&mut self, id: &str) -> Result<()> {
        self.require_edge(id)?;
        self.own.end_edge(id, Some(clock::now()));
        self.ops.push(Op::RetractEdge(id.to_owned()));
        Ok(())
    }

    /// Removes an edge, retracted or not, with its history.
    pub fn delete_edge(&mut self, id: &str) -> Result<()> {
        if !self.is_retracted(id)? {
            self.require_edge(id)?;
        }
        self.own.end_edge(id, None);
        self.ops.push(Op::DeleteEdge(id.to_owned()));
        Ok(())
    }

    /// Makes an edge that the database makes by itself, for the own reads. Nobody is told its id, and
    /// the one that is stored at the commit has another.
    pub(super) fn link(&mut self, source: &str, target: &str, edge_type: &str) {
        self.own.make_edge(DraftEdge {
            id: clock::new_id(&names::snake_case(edge_type)),
            source: source.to_owned(),
            target: target.to_owned(),
            edge_type: edge_type.to_owned(),
            weight: 1.0,
            times: EdgeTimes { recorded_at: clock::now(), ..EdgeTimes::default() },
            sources: Vec::new(),
            properties: Draft::new(),
            version: 1,
            derived: true,
        });
    }

    /// Nodes at the other end of edges, own writes included, in the order of `Database::neighbors`; a
    /// node comes once for each edge. Those that are given were read.
    pub fn neighbors(
        &mut self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Node>> {
        self.check_node(id)?;
        let after = after.map(|after| self.place_after(after)).transpose()?;
        let mut found = self.stored_ends(id, types, direction, times)?;
        found.extend(self.own_ends(id, types, direction, times)?);
        found.retain(|(place, _)| after.is_none_or(|after| *place > after));
        found.sort_by_key(|(place, _)| *place);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = match found.last().filter(|_| more) {
            Some((place, end)) => Some(self.cursor_at(place, end)?),
            None => None,
        };
        let mut items = Vec::new();
        for (_, end) in found {
            items.extend(match end {
                Found::Stored(end) => self.see_end(end)?,
                Found::Own(there) => self.get_node(&there)?,
            });
        }
        Ok(Page { items, next })
    }

    /// The stored ends of edges at a node that count, and their places.
    fn stored_ends(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
    ) -> Result<Vec<(Place, Found)>> {
        let mut found = Vec::new();
        if !self.reads.exists(id)? {
            return Ok(found);
        }
        for end in self.reads.reader(|reader| reader.ends(id, types, direction, times))? {
            let counts = match &end.edge {
                Some(edge) => self.own.counts_edge(&edge.id, end.counts, times),
                None => end.counts,
            };
            if counts && self.is_there(&end.node.id()?) {
                let (of, edge) = (u64::from(end.edge_type.0), u64::from(end.slot.0));
                found.push(((end.direction as u8, of, edge), Found::Stored(end)));
            }
        }
        Ok(found)
    }

    /// The ends of edges at a node that were made here and count, and their places: behind all that is
    /// stored.
    fn own_ends(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
    ) -> Result<Vec<(Place, Found)>> {
        let mut found = Vec::new();
        for way in direction.directions() {
            for (number, edge) in self.own.edges_at(id, *way) {
                let of = &edge.edge_type;
                if types.is_some_and(|types| !types.contains(of)) || !draft_counts(edge, times) {
                    continue;
                }
                let known = self.reads.reader(|reader| reader.snapshot.symbol(of))?;
                let of = known.map_or_else(
                    || BEHIND + self.own.place_of_type(of) as u64,
                    |symbol| u64::from(symbol.0),
                );
                let place = (*way as u8, of, BEHIND + number as u64);
                found.push((place, Found::Own(edge.other(*way).to_owned())));
            }
        }
        Ok(found)
    }

    /// A cursor behind an end.
    fn cursor_at(&self, place: &Place, end: &Found) -> Result<String> {
        let (way, of, edge) = *place;
        match end {
            Found::Stored(end) => {
                let stored: EdgePlace = (way, end.edge_type.0, end.slot.0);
                self.reads.reader(|reader| reader.cursor_at(stored))
            }
            Found::Own(_) => Ok(format!("{way}.{of}.{edge}")),
        }
    }

    /// The place of a cursor: of this transaction, or of the database for what is stored.
    fn place_after(&self, cursor: &str) -> Result<Place> {
        let own = cursor.split('.').map(str::parse).collect::<Vec<_>>();
        if let [Ok(way), Ok(of), Ok(edge @ BEHIND..)] = own[..]
            && let Ok(way) = u8::try_from(way)
        {
            return Ok((way, of, edge));
        }
        let (way, of, edge) = self.reads.reader(|reader| reader.place_after(cursor))?;
        Ok((way, of.into(), edge.into()))
    }

    /// Ids of the edges of a type between two nodes, own writes included, but for those that the database
    /// makes by itself at the commit. Only they count as read.
    pub fn edges_between(
        &mut self,
        id: &str,
        far: &str,
        edge_type: &str,
        direction: Reach,
    ) -> Result<Vec<String>> {
        if self.peek_node(id)?.is_none() {
            return Err(Error::NotFound { kind: "node", id: id.to_owned() });
        }
        let mut found = Vec::new();
        if self.reads.exists(id)? {
            let (of, times) = ([edge_type.to_owned()], AsOf::default());
            for end in self.reads.reader(|reader| reader.ends(id, Some(&of), direction, times))? {
                if let Some(edge) = end.edge
                    && end.node.id()? == far
                {
                    found.push(edge.id);
                }
            }
        }
        for way in direction.directions() {
            let own = self.own.edges_at(id, *way).map(|(_, edge)| edge);
            let made = own.filter(|edge| edge.edge_type == edge_type && !edge.derived);
            let there = made.filter(|edge| edge.other(*way) == far);
            found.extend(there.map(|edge| edge.id.clone()));
        }
        // A loop has both its ends at one node.
        let mut known = HashSet::new();
        found.retain(|edge| known.insert(edge.clone()));
        let mut out = Vec::new();
        for edge in found {
            if self.get_edge(&edge)?.is_some() {
                out.push(edge);
            }
        }
        Ok(out)
    }

    /// The node at a stored end of an edge that is there, with the transaction's own writes; `None` when
    /// the node is gone.
    pub(super) fn see_end(&mut self, end: End) -> Result<Option<Node>> {
        let id = end.node.id()?;
        if let Some(edge) = end.edge {
            let version = if edge.is_retracted { 0 } else { edge.seen.version() };
            let expected = Expected { version, object: Some(edge.seen), any_version: false };
            self.saw(Kind::Edge, &edge.id, expected);
        }
        if self.own.node(&id).is_some() {
            return self.get_node(&id);
        }
        let (version, object) = (end.node.version()?, Some(Seen::node(&end.node)?));
        self.saw(Kind::Node, &id, Expected { version, object, any_version: false });
        Ok(Some(end.node))
    }

    /// Ids of the nodes at the other end of edges of one type, own writes included, which do not count
    /// as read.
    pub(super) fn peek_neighbors(
        &self,
        id: &str,
        of: &str,
        direction: Direction,
    ) -> Result<Vec<String>> {
        let mut out = Vec::new();
        if self.reads.exists(id)? {
            let way = match direction {
                Direction::Out => Reach::Out,
                Direction::In => Reach::In,
            };
            let (types, times) = ([of.to_owned()], AsOf::default());
            for end in self.reads.reader(|reader| reader.ends(id, Some(&types), way, times))? {
                if end.edge.is_none_or(|edge| self.own.keeps_edge(&edge.id)) {
                    out.push(end.node.id()?);
                }
            }
        }
        let own = self.own.edges_at(id, direction).filter(|(_, edge)| edge.edge_type == of);
        out.extend(own.map(|(_, edge)| edge.other(direction).to_owned()));
        Ok(out)
    }
}
