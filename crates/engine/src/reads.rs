//! Reads of one instant.

use std::sync::Arc;

use embedded_db_common::{Error, NamespaceId, Result, Slot, SpaceId, Symbol, Value};
use embedded_db_indexing::graph::{Artefact, pending};
use embedded_db_indexing::vector::direction;
use embedded_db_indexing::{Pin, labelled};
use embedded_db_query::graph::{self, Follow};
use embedded_db_query::{AsOf, Guard, Reach};
use embedded_db_storage::{
    EdgeRecord, Kind, Neighbor, ReadHistory, ReadTxn, Snapshot, SpaceRecord, Visible,
};
use roaring::RoaringBitmap;

use crate::database::{Database, Engine};
use crate::indexes::DeclaredLabel;
use crate::objects::{Edge, Embedding, Node, Path};
use crate::pins::{HeldPin, Holder};
use crate::queries::Query;

/// Part of a long list, and where it goes on.
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass it as `after` to get the next page; `None` at the end.
    pub next: Option<String>,
}

/// Reads over one snapshot.
pub(crate) struct Reader<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) namespace: NamespaceId,
}

impl Reader<'_> {
    fn at(&self, slot: Slot) -> Result<Option<Node>> {
        let payload = self.snapshot.node_payload(self.namespace, slot)?;
        let (store, txn) = (&self.engine.store, self.snapshot);
        Ok(payload.map(|payload| Node::stored(store, txn, self.namespace, slot, payload)))
    }

    /// A node that an index or edge has named.
    pub(crate) fn node_at(&self, slot: Slot) -> Result<Node> {
        self.at(slot)?.ok_or_else(|| Error::Corruption {
            path: self.engine.store.path().to_owned(),
            object: format!("the node in {slot:?}"),
            detail: "it is missing but something refers to it".into(),
        })
    }

    pub(crate) fn node(&self, id: &str) -> Result<Option<Node>> {
        match self.snapshot.node_slot(self.namespace, id)? {
            Some(slot) => self.node_at(slot).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn edge(&self, id: &str, times: AsOf) -> Result<Option<Edge>> {
        match self.snapshot.resolve(self.namespace, Kind::Edge, id)? {
            Some(found) => {
                if self.snapshot.edge_payload(self.namespace, found.slot)?.is_none() {
                    return Err(self.missing_edge(found.slot));
                }
                Edge::read(&self.engine.store, self.snapshot, self.namespace, found.slot, times)
            }
            None => Ok(None),
        }
    }

    /// An edge that neighbours have named, as it was held for true.
    fn edge_at(&self, slot: Slot, times: AsOf) -> Result<Edge> {
        let edge = Edge::read(&self.engine.store, self.snapshot, self.namespace, slot, times)?;
        edge.ok_or_else(|| self.missing_edge(slot))
    }

    fn missing_edge(&self, slot: Slot) -> Error {
        Error::Corruption {
            path: self.engine.store.path().to_owned(),
            object: format!("the edge in {slot:?}"),
            detail: "it is missing but something refers to it".into(),
        }
    }

    /// The versions of an edge, oldest first.
    pub(crate) fn edge_history(&self, id: &str) -> Result<Vec<Edge>> {
        let found = self.snapshot.resolve(self.namespace, Kind::Edge, id)?;
        let slot = found.ok_or_else(|| Error::NotFound { kind: "edge", id: id.to_owned() })?.slot;
        let versions = self.snapshot.edge_versions(self.namespace, slot)?;
        let (store, txn) = (&self.engine.store, self.snapshot);
        let edges = versions.iter().map(|at| Edge::stored(store, txn, self.namespace, slot, at));
        edges.collect()
    }

    /// Ids of all edges at a node, with those that were retracted.
    pub(crate) fn edge_ids_ever(&self, id: &str) -> Result<Vec<String>> {
        let node = self.snapshot.require_node(self.namespace, id)?;
        let mut slots = Vec::new();
        for direction in Reach::Any.directions() {
            self.snapshot.neighbors_ever(self.namespace, node, *direction, None, |_, end| {
                slots.push(end.edge);
                true
            })?;
        }
        let id_of = |slot| match self.snapshot.edge(self.namespace, slot)? {
            Some(edge) => Ok(edge.id.to_owned()),
            None => Err(self.missing_edge(slot)),
        };
        slots.into_iter().map(id_of).collect()
    }

    /// All edges, with those that were retracted, in the order in which they were made, after one of
    /// them.
    pub(crate) fn edges_ever(&self, after: Option<&str>, limit: usize) -> Result<Vec<Edge>> {
        let first = match after {
            None => Slot(0),
            Some(id) => {
                let found = self.snapshot.resolve(self.namespace, Kind::Edge, id)?;
                let missing = || Error::NotFound { kind: "edge", id: id.to_owned() };
                Slot(found.ok_or_else(missing)?.slot.0.saturating_add(1))
            }
        };
        let mut payloads = Vec::new();
        self.snapshot.edges_from(self.namespace, first, |slot, payload| {
            payloads.push((slot, payload.to_vec()));
            payloads.len() < limit
        })?;
        let (store, txn) = (&self.engine.store, self.snapshot);
        let edges = payloads.iter();
        edges.map(|(slot, at)| Edge::stored(store, txn, self.namespace, *slot, at)).collect()
    }

    /// What of each node waits for the weaver, or has failed.
    pub(crate) fn due(&self, ids: &[String]) -> Result<Vec<Vec<Artefact>>> {
        let mut waiting = Vec::new();
        for artefact in Artefact::ALL {
            waiting.push((artefact, pending(self.snapshot, self.namespace, artefact)?));
        }
        let due = |id: &String| -> Result<Vec<Artefact>> {
            let slot = self.snapshot.require_node(self.namespace, id)?;
            let mut out = Vec::new();
            for (artefact, waiting) in &waiting {
                let work = *artefact as u8;
                if waiting.contains(slot.0)
                    || self.snapshot.work(self.namespace, slot, work)?.is_some()
                {
                    out.push(*artefact);
                }
            }
            Ok(out)
        };
        ids.iter().map(due).collect()
    }

    pub(crate) fn count(&self, label: Option<&str>) -> Result<u64> {
        match label {
            None => live_nodes(self.snapshot, self.namespace),
            Some(label) => match self.snapshot.symbol(label)? {
                Some(label) => Ok(labelled(self.snapshot, self.namespace, label)?.len()),
                None => Ok(0),
            },
        }
    }

    pub(crate) fn count_edges(&self, edge_type: Option<&str>) -> Result<u64> {
        let Some(edge_type) = edge_type else {
            return live_edges(self.snapshot, self.namespace);
        };
        let Some(symbol) = self.snapshot.symbol(edge_type)? else { return Ok(0) };
        let (mut count, mut damaged) = (0, None);
        self.snapshot.edges_from(self.namespace, Slot(0), |_, payload| {
            match EdgeRecord::parse(payload) {
                Ok(edge) => {
                    let counts = edge.edge_type == symbol && edge.times.retracted_at.is_none();
                    count += u64::from(counts);
                }
                Err(error) => damaged = Some(error),
            }
            damaged.is_none()
        })?;
        damaged.map_or(Ok(count), |error| Err(error.into()))
    }

    /// Nodes in the order in which they were made.
    pub(crate) fn nodes(
        &self,
        label: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Node>> {
        let first = match after {
            Some(id) => self.snapshot.require_node(self.namespace, id)?.0 + 1,
            None => 0,
        };
        let mut out = Vec::new();
        if let Some(label) = label {
            let Some(label) = self.snapshot.symbol(label)? else { return Ok(out) };
            let mut slots = labelled(self.snapshot, self.namespace, label)?;
            slots.remove_range(0..first);
            for slot in slots.iter().take(limit) {
                out.push(self.node_at(Slot(slot))?);
            }
            return Ok(out);
        }
        self.snapshot.nodes_from(self.namespace, Slot(first), |slot, payload| {
            let (store, txn) = (&self.engine.store, self.snapshot);
            out.push(Node::stored(store, txn, self.namespace, slot, payload));
            out.len() < limit
        })?;
        Ok(out)
    }

    /// Ends of edges in a fixed order: direction, type, age.
    fn adjacent(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(Slot, Slot)>> {
        let node = self.snapshot.require_node(self.namespace, id)?;
        let after = after.map(|after| self.place_after(after)).transpose()?;
        let types = match types {
            Some(names) => {
                let mut symbols = Vec::new();
                for name in names {
                    symbols.extend(self.snapshot.symbol(name)?);
                }
                symbols.sort_unstable();
                symbols.dedup();
                symbols.into_iter().map(Some).collect()
            }
            None => vec![None],
        };
        let mut items = Vec::new();
        let (mut last, mut more, mut failed) = (None, false, None);
        for direction in direction.directions() {
            for edge_type in &types {
                if more || failed.is_some() {
                    break;
                }
                let visit = |edge_type: Symbol, neighbor: Neighbor| {
                    let place = (*direction as u8, edge_type.0, neighbor.edge.0);
                    if after.is_some_and(|after| place <= after) {
                        return true;
                    }
                    match self.counts(neighbor.edge, times) {
                        Ok(true) => {}
                        Ok(false) => return true,
                        Err(error) => {
                            failed = Some(error);
                            return false;
                        }
                    }
                    if items.len() == limit {
                        more = true;
                        return false;
                    }
                    items.push((neighbor.node, neighbor.edge));
                    last = Some(place);
                    true
                };
                let (txn, of) = (self.snapshot, *edge_type);
                times.neighbors(txn, self.namespace, node, *direction, of, visit)?;
            }
        }
        failed.map_or(Ok(()), Err)?;
        let next = match last.filter(|_| more) {
            Some(place) => Some(self.cursor_at(place)?),
            None => None,
        };
        Ok(Page { items, next })
    }

    /// A cursor behind an edge: its place, and its id, for the place is that of one generation.
    fn cursor_at(&self, (direction, edge_type, edge): EdgePlace) -> Result<String> {
        let found = self.snapshot.edge(self.namespace, Slot(edge))?;
        let id = found.ok_or_else(|| self.missing_edge(Slot(edge)))?.id;
        let generation = self.snapshot.generation().number();
        Ok(format!("{direction}.{edge_type}.{edge}.{generation}.{id}"))
    }

    /// The place of a cursor.
    fn place_after(&self, cursor: &str) -> Result<EdgePlace> {
        let mut parts = cursor.splitn(5, '.');
        let parsed = (|| {
            let place = (
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
            );
            Some((place, parts.next()?.parse().ok()?, parts.next()?))
        })();
        let (place, generation, id): (EdgePlace, u64, &str) = parsed.ok_or_else(|| {
            Error::InvalidInput(format!(
                "{cursor:?} is no cursor of this call; pass what it returned"
            ))
        })?;
        if generation == self.snapshot.generation().number() {
            return Ok(place);
        }
        let found = self.snapshot.resolve(self.namespace, Kind::Edge, id)?;
        let found = found.ok_or_else(|| Error::NotFound { kind: "edge", id: id.to_owned() })?;
        Ok((place.0, place.1, found.slot.0))
    }

    /// Ids of the nodes that chains lead to over what has expired: there are no edges to them yet.
    pub(crate) fn bridged(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
    ) -> Result<Vec<String>> {
        let Some(hidden) = self.snapshot.hidden(self.namespace) else { return Ok(Vec::new()) };
        let chain = self.snapshot.symbol_name(hidden.chain)?;
        if types.is_some_and(|types| types.iter().all(|name| **name != *chain)) {
            return Ok(Vec::new());
        }
        let node = self.snapshot.require_node(self.namespace, id)?;
        let ends =
            direction.directions().iter().filter_map(|way| hidden.bridges.get(&(node, *way)));
        ends.map(|end| self.node_at(*end)?.id()).collect()
    }

    /// Whether an edge among the neighbours counts at a time.
    fn counts(&self, edge: Slot, times: AsOf) -> Result<bool> {
        Ok(times.is_now() || times.edge(self.snapshot, self.namespace, edge)?.is_some())
    }

    pub(crate) fn neighbors(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Node>> {
        let page = self.adjacent(id, types, direction, times, after, limit)?;
        let items = page.items.iter().map(|(node, _)| self.node_at(*node));
        Ok(Page { items: items.collect::<Result<_>>()?, next: page.next })
    }

    pub(crate) fn edges(
        &self,
        id: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Edge>> {
        let page = self.adjacent(id, types, direction, times, after, limit)?;
        let mut seen = std::collections::HashSet::new();
        let mut items = Vec::new();
        for (_, edge) in page.items {
            // Where a chain closes up over what has expired there is no edge yet. A self loop is both
            // an outgoing and an incoming edge.
            if !self.snapshot.hides_edge(self.namespace, edge)? && seen.insert(edge) {
                items.push(self.edge_at(edge, times)?);
            }
        }
        Ok(Page { items, next: page.next })
    }

    // ---- embeddings

    /// The space of this name; the models' or the stored default one when none is named.
    pub(crate) fn space(&self, name: Option<&str>) -> Result<Option<(SpaceId, SpaceRecord)>> {
        let spaces = self.snapshot.spaces()?;
        match name {
            Some(name) => {
                let found = spaces.into_iter().find(|(_, space)| space.name == name);
                found
                    .map(Some)
                    .ok_or_else(|| Error::NotFound { kind: "space", id: name.to_owned() })
            }
            None => {
                let default = self.snapshot.default_space()?;
                Ok(spaces.into_iter().find(|(id, _)| Some(*id) == default))
            }
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

    // ---- walks

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn traverse(
        &self,
        start: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        max_depth: u32,
        depth_first: bool,
        limit: usize,
        max_visited: usize,
        guard: &Guard<'_>,
    ) -> Result<Vec<(Node, u32)>> {
        let start = self.snapshot.require_node(self.namespace, start)?;
        let follow = Follow::new(self.snapshot, types, direction, times, max_visited)?;
        let (snapshot, namespace) = (self.snapshot, self.namespace);
        let walked = graph::traverse(
            snapshot,
            namespace,
            start,
            &follow,
            max_depth,
            depth_first,
            limit,
            guard,
        )?;
        walked.into_iter().map(|(slot, depth)| Ok((self.node_at(slot)?, depth))).collect()
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn shortest_path(
        &self,
        start: &str,
        end: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        max_hops: Option<u32>,
        max_visited: usize,
        guard: &Guard<'_>,
    ) -> Result<Option<Path>> {
        let start = self.snapshot.require_node(self.namespace, start)?;
        let end = self.snapshot.require_node(self.namespace, end)?;
        let follow = Follow::new(self.snapshot, types, direction, times, max_visited)?;
        let (snapshot, namespace) = (self.snapshot, self.namespace);
        let found =
            graph::shortest_path(snapshot, namespace, start, end, &follow, max_hops, guard)?;
        let Some(found) = found else { return Ok(None) };
        let nodes = found.nodes.iter().map(|slot| self.node_at(*slot));
        let edges = found.edges.iter().map(|slot| self.edge_at(*slot, times));
        let cost = found.edges.len() as f64;
        Ok(Some(Path {
            nodes: nodes.collect::<Result<_>>()?,
            edges: edges.collect::<Result<_>>()?,
            cost,
        }))
    }
}

/// Number of the nodes of a namespace that are seen.
pub(crate) fn live_nodes(txn: &impl ReadTxn, namespace: NamespaceId) -> Result<u64> {
    let stored = txn.namespace_counters(namespace)?.nodes;
    let hidden = txn.hidden(namespace).map_or(0, |hidden| hidden.nodes.len());
    Ok(stored.saturating_sub(hidden))
}

/// Number of the edges of a namespace that were not retracted, and are seen.
pub(crate) fn live_edges(txn: &impl ReadTxn, namespace: NamespaceId) -> Result<u64> {
    let stored = txn.namespace_counters(namespace)?.edges;
    let live = stored.saturating_sub(txn.retracted_edges(namespace)?);
    let Some(hidden) = txn.hidden(namespace) else { return Ok(live) };
    let (all, mut unseen) = (Visible::all(txn), RoaringBitmap::new());
    for node in &hidden.nodes {
        for direction in Reach::Any.directions() {
            all.neighbors(namespace, Slot(node), *direction, None, |_, end| {
                unseen.insert(end.edge.0);
                true
            })?;
        }
    }
    Ok(live.saturating_sub(unseen.len()))
}

/// Direction, type and slot of an edge at a node.
type EdgePlace = (u8, u32, u32);

/// Forwards reads to a [`Reader`] over a snapshot that `$reader` makes.
macro_rules! forward_reads {
    ($type:ty, $reader:ident) => {
        impl $type {
            /// A node; `None` when there is none of this id.
            pub fn get_node(&self, id: &str) -> Result<Option<Node>> {
                self.$reader(|reader| reader.node(id))
            }

            /// Nodes in the order of the ids.
            pub fn get_many(&self, ids: &[String]) -> Result<Vec<Option<Node>>> {
                self.$reader(|reader| ids.iter().map(|id| reader.node(id)).collect())
            }

            /// Whether a node of this id exists.
            pub fn exists(&self, id: &str) -> Result<bool> {
                self.$reader(|reader| {
                    Ok(reader.snapshot.node_slot(reader.namespace, id)?.is_some())
                })
            }

            /// An edge; `None` when there is none of this id, or none at that time.
            pub fn get_edge(&self, id: &str, times: AsOf) -> Result<Option<Edge>> {
                self.$reader(|reader| reader.edge(id, times))
            }

            /// The versions of an edge, oldest first; the last is the newest, retracted or not.
            pub fn edge_history(&self, id: &str) -> Result<Vec<Edge>> {
                self.$reader(|reader| reader.edge_history(id))
            }

            /// All edges in the order in which they were made, retracted ones too, after one of them.
            pub fn edges_ever(&self, after: Option<&str>, limit: usize) -> Result<Vec<Edge>> {
                self.$reader(|reader| reader.edges_ever(after, limit))
            }

            /// What of each node waits for the weaver, or has failed.
            pub fn due(&self, ids: &[String]) -> Result<Vec<Vec<Artefact>>> {
                self.$reader(|reader| reader.due(ids))
            }

            /// The labels that were declared.
            pub fn declared_labels(&self) -> Result<Vec<DeclaredLabel>> {
                self.$reader(|reader| reader.declared_labels())
            }

            /// Number of nodes, of a label or all.
            pub fn count(&self, label: Option<&str>) -> Result<u64> {
                self.$reader(|reader| reader.count(label))
            }

            /// Number of edges, of a type or all.
            pub fn count_edges(&self, edge_type: Option<&str>) -> Result<u64> {
                self.$reader(|reader| reader.count_edges(edge_type))
            }

            /// Nodes in the order in which they were made, after one of them.
            pub fn nodes(
                &self,
                label: Option<&str>,
                after: Option<&str>,
                limit: usize,
            ) -> Result<Vec<Node>> {
                self.$reader(|reader| reader.nodes(label, after, limit))
            }

            /// Nodes at the other end of edges; a node comes once for each edge.
            pub fn neighbors(
                &self,
                id: &str,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                after: Option<&str>,
                limit: usize,
            ) -> Result<Page<Node>> {
                self.$reader(|reader| reader.neighbors(id, types, direction, times, after, limit))
            }

            /// Edges of a node.
            pub fn edges(
                &self,
                id: &str,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                after: Option<&str>,
                limit: usize,
            ) -> Result<Page<Edge>> {
                self.$reader(|reader| reader.edges(id, types, direction, times, after, limit))
            }

            /// An embedding by its id.
            pub fn get_embedding(&self, id: &str) -> Result<Option<Embedding>> {
                self.$reader(|reader| reader.embedding(id))
            }

            /// The vector of a whole node.
            pub fn embedding_of(&self, id: &str, space: Option<&str>) -> Result<Option<Embedding>> {
                self.$reader(|reader| reader.embedding_of(id, space))
            }

            /// The vectors of the parts of a node.
            pub fn embeddings(&self, id: &str, space: Option<&str>) -> Result<Vec<Embedding>> {
                self.$reader(|reader| reader.embeddings(id, space))
            }

            /// Nodes in the order of a walk, each once, with their depth.
            #[allow(clippy::too_many_arguments)]
            pub fn traverse(
                &self,
                start: &str,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                max_depth: u32,
                depth_first: bool,
                limit: usize,
                max_visited: usize,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<Vec<(Node, u32)>> {
                let guard = Guard::new(None, interrupted);
                self.$reader(|reader| {
                    reader.traverse(
                        start,
                        types,
                        direction,
                        times,
                        max_depth,
                        depth_first,
                        limit,
                        max_visited,
                        &guard,
                    )
                })
            }

            /// How many nodes a query without ranking legs matches, whatever its limit.
            pub fn count_matching(
                &self,
                query: &Query,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<u64> {
                let guard = Guard::new(query.timeout, interrupted);
                self.$reader(|reader| reader.count_matching(query, &guard))
            }

            /// How many of the nodes that a query without ranking legs matches have each value of a
            /// property, the most frequent first, and last those without it.
            pub fn group_count(
                &self,
                query: &Query,
                property: &str,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<Vec<(Option<Value>, u64)>> {
                let guard = Guard::new(query.timeout, interrupted);
                self.$reader(|reader| reader.group_count(query, property, &guard))
            }

            /// A path with the fewest hops; `None` when there is none.
            #[allow(clippy::too_many_arguments)]
            pub fn shortest_path(
                &self,
                start: &str,
                end: &str,
                types: Option<&[String]>,
                direction: Reach,
                times: AsOf,
                max_hops: Option<u32>,
                max_visited: usize,
                interrupted: &dyn Fn() -> Result<()>,
            ) -> Result<Option<Path>> {
                let guard = Guard::new(None, interrupted);
                self.$reader(|reader| {
                    reader.shortest_path(
                        start,
                        end,
                        types,
                        direction,
                        times,
                        max_hops,
                        max_visited,
                        &guard,
                    )
                })
            }
        }
    };
}

impl Database {
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let engine = self.engine()?;
        let snapshot = self.latest(&engine)?;
        read(&Reader { engine: &engine, snapshot: &snapshot, namespace: self.namespace_id() })
    }

    /// The newest state, as reads of this namespace see it.
    pub(crate) fn latest(&self, engine: &Engine) -> Result<Snapshot> {
        let read = || engine.views.read(&engine.store, self.namespace_id());
        let snapshot = read().or_else(|error| {
            // The table of readers may be full of snapshots that are too old to be read.
            if engine.pins.end_expired(&engine.store) { read() } else { Err(error) }
        })?;
        self.check_namespace(&snapshot)?;
        Ok(snapshot)
    }

    /// A handle may outlive its namespace.
    pub(crate) fn check_namespace(&self, txn: &impl ReadTxn) -> Result<()> {
        let namespace = self.namespace_id();
        if namespace == NamespaceId::DEFAULT || txn.has_namespace(namespace)? {
            return Ok(());
        }
        Err(Error::NotFound { kind: "namespace", id: self.namespace_name().to_owned() })
    }

    /// Many reads of one instant.
    pub fn snapshot(&self) -> Result<PinnedReads> {
        let engine = self.engine()?;
        engine.pins.end_expired(&engine.store);
        let pin = engine.views.pin(&engine.store, self.namespace_id())?;
        self.hold(&engine, pin, Holder::User)
    }

    /// Keeps a pin until it is dropped or the database is closed.
    pub(crate) fn hold(&self, engine: &Engine, pin: Pin, holder: Holder) -> Result<PinnedReads> {
        let lsn = pin.lsn().0;
        let generation = pin.snapshot().generation().number();
        let pin = engine.pins.hold(pin, holder)?;
        if engine.store.closed() {
            // Closed in the meantime, when it was not among those that end.
            pin.end();
            engine.store.usable()?;
        }
        Ok(PinnedReads { database: self.clone(), lsn, generation, pin })
    }
}

/// Reads of one instant, held until it is dropped or the database is closed.
pub struct PinnedReads {
    database: Database,
    lsn: u64,
    generation: u64,
    pin: Arc<HeldPin>,
}

impl PinnedReads {
    /// The LSN of the instant.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// The generation in which its slots mean something.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Reads with the pin itself, if it is not too old.
    pub(crate) fn pinned<T>(
        &self,
        read: impl FnOnce(&Arc<Engine>, &Pin) -> Result<T>,
    ) -> Result<T> {
        let engine = self.database.engine()?;
        self.pin.read(&engine.store, |pin| read(&engine, pin))
    }

    pub(crate) fn reader<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let namespace = self.database.namespace_id();
        self.pinned(|engine, pin| read(&Reader { engine, snapshot: pin.snapshot(), namespace }))
    }
}

forward_reads!(Database, read);
forward_reads!(PinnedReads, reader);
