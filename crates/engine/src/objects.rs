//! What a read hands out: copies of stored records, decoded when asked.

use std::sync::Arc;

use embedded_db_common::record::Properties;
use embedded_db_common::{Draft, Error, NamespaceId, Result, Slot, Symbol, ValueRef};
use embedded_db_indexing::recipes::Recipes;
use embedded_db_indexing::schema::Names;
use embedded_db_query::AsOf;
use embedded_db_storage::{
    Direction, EdgeRecord, EdgeTimes, EmbeddingRecord, NodeRecord, ReadTxn, Store, Symbols,
};

use crate::sharing::wire::{Taken, Wire, put_bytes, take_bytes, wire_struct};

/// Where an object is stored. Slots are given once, and numbered anew in another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) generation: u64,
    pub(crate) slot: Slot,
}

impl Place {
    pub(crate) fn of(txn: &impl ReadTxn, slot: Slot) -> Self {
        Self { generation: txn.generation().number(), slot }
    }
}

/// A node as one snapshot saw it.
#[derive(Clone)]
pub struct Node {
    symbols: Arc<Symbols>,
    namespace: NamespaceId,
    /// Tells it from one that gets its id later; `None` for one that is not committed.
    pub(crate) place: Option<Place>,
    data: NodeData,
}

#[derive(Clone)]
enum NodeData {
    Stored(Box<[u8]>),
    /// As a transaction that has not committed sees it.
    Draft(Box<DraftNode>),
}

#[derive(Debug, Clone)]
pub(crate) struct DraftNode {
    pub(crate) id: String,
    pub(crate) labels: Vec<String>,
    pub(crate) properties: Draft,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) version: u64,
}

impl DraftEdge {
    /// Id of the node at the other end, as seen from one of its ends.
    pub(crate) fn other(&self, direction: Direction) -> &str {
        match direction {
            Direction::Out => &self.target,
            Direction::In => &self.source,
        }
    }
}

/// Calls `visit` with name and value of each property.
fn each_property(
    symbols: &Symbols,
    properties: Properties<'_>,
    visit: &mut dyn FnMut(&str, ValueRef<'_>) -> Result<()>,
) -> Result<()> {
    for entry in properties.iter()? {
        let (symbol, value) = entry?;
        visit(&symbols.name_of(symbol)?, value)?;
    }
    Ok(())
}

impl Node {
    pub(crate) fn stored(
        store: &Arc<Store>,
        txn: &impl ReadTxn,
        namespace: NamespaceId,
        slot: Slot,
        payload: &[u8],
    ) -> Self {
        Self {
            symbols: Arc::clone(store.symbols()),
            namespace,
            place: Some(Place::of(txn, slot)),
            data: NodeData::Stored(payload.into()),
        }
    }

    pub(crate) fn draft(store: &Arc<Store>, namespace: NamespaceId, draft: DraftNode) -> Self {
        Self {
            symbols: Arc::clone(store.symbols()),
            namespace,
            place: None,
            data: NodeData::Draft(Box::new(draft)),
        }
    }

    fn with<T>(
        &self,
        stored: impl FnOnce(NodeRecord<'_>) -> Result<T>,
        draft: impl FnOnce(&DraftNode) -> Result<T>,
    ) -> Result<T> {
        match &self.data {
            NodeData::Stored(payload) => stored(NodeRecord::parse(payload)?),
            NodeData::Draft(node) => draft(node),
        }
    }

    /// Bytes of its record, about.
    pub(crate) fn size(&self) -> usize {
        match &self.data {
            NodeData::Stored(payload) => payload.len(),
            NodeData::Draft(_) => 0,
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> NamespaceId {
        self.namespace
    }

    /// The user's id.
    pub fn id(&self) -> Result<String> {
        self.with(|node| Ok(node.id.to_owned()), |node| Ok(node.id.clone()))
    }

    /// Its labels.
    pub fn labels(&self) -> Result<Vec<Arc<str>>> {
        self.with(
            |node| node.labels().map(|label| self.symbols.name_of(label)).collect(),
            |node| Ok(node.labels.iter().map(|label| label.as_str().into()).collect()),
        )
    }

    /// Microseconds since 1970 UTC.
    pub fn created_at(&self) -> Result<i64> {
        self.with(|node| Ok(node.created_at), |node| Ok(node.created_at))
    }

    /// Microseconds since 1970 UTC.
    pub fn updated_at(&self) -> Result<i64> {
        self.with(|node| Ok(node.updated_at), |node| Ok(node.updated_at))
    }

    /// When it expires, if it does; microseconds since 1970 UTC.
    pub fn expires_at(&self) -> Result<Option<i64>> {
        self.with(|node| Ok(node.expires_at), |node| Ok(node.expires_at))
    }

    /// Whether the database made it by itself.
    pub fn derived(&self) -> Result<bool> {
        self.with(|node| Ok(node.derived), |_| Ok(false))
    }

    /// 1 at creation, one more at each change by a user.
    pub fn version(&self) -> Result<u64> {
        self.with(|node| Ok(node.version), |node| Ok(node.version))
    }

    /// The properties of a stored node whose texts are embedded.
    pub(crate) fn embedded_properties(
        &self,
        recipes: &Recipes,
        names: &Names,
    ) -> Result<Vec<Arc<str>>> {
        let symbols = self.with(
            |node| Ok(recipes.embedded_properties(names, &node)),
            |_| Err(Error::Internal("the node is not stored".into())),
        )?;
        symbols.into_iter().map(|symbol| self.symbols.name_of(symbol)).collect()
    }

    /// Whether it has a label that is not among these.
    pub(crate) fn has_label_beside(&self, labels: &[Symbol]) -> Result<bool> {
        self.with(
            |node| Ok(node.labels().any(|label| !labels.contains(&label))),
            |_| Err(Error::Internal("a result is not stored".into())),
        )
    }

    /// The text by which it is found, by what was declared then; see [`Recipes::found_text`].
    pub(crate) fn found_text(&self, recipes: &Recipes, names: &Names) -> Result<Option<String>> {
        let unstored = |_: &DraftNode| Err(Error::Internal("a result is not stored".into()));
        self.with(|node| recipes.found_text(names, &node), unstored)
    }

    /// Calls `visit` with each text that words of it are found in; see [`Recipes::searchable_pieces`].
    pub(crate) fn searched_texts(
        &self,
        recipes: &Recipes,
        names: &Names,
        mut visit: impl FnMut(Arc<str>, Option<usize>, &str),
    ) -> Result<()> {
        let visit = |node: NodeRecord<'_>| {
            for piece in recipes.searchable_pieces(names, &node)? {
                visit(self.symbols.name_of(piece.property)?, piece.item, piece.text);
            }
            Ok(())
        };
        self.with(visit, |_| Err(Error::Internal("a result is not stored".into())))
    }

    /// Calls `visit` with name and value of each property.
    pub fn each_property(
        &self,
        visit: &mut dyn FnMut(&str, ValueRef<'_>) -> Result<()>,
    ) -> Result<()> {
        match &self.data {
            NodeData::Stored(payload) => {
                each_property(&self.symbols, NodeRecord::parse(payload)?.properties, visit)
            }
            NodeData::Draft(node) => each_drafted(&node.properties, visit),
        }
    }

    /// Calls `visit` with the value of a property, if it is there.
    pub fn property<T>(
        &self,
        name: &str,
        visit: impl FnOnce(ValueRef<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match &self.data {
            NodeData::Stored(payload) => {
                let properties = NodeRecord::parse(payload)?.properties;
                let found = self.symbols.find(name, |symbol| properties.get(symbol))?;
                found.map(visit).transpose()
            }
            NodeData::Draft(node) => {
                node.properties.get(name).map(|bytes| visit(read_value(bytes)?)).transpose()
            }
        }
    }
}

fn each_drafted(
    properties: &Draft,
    visit: &mut dyn FnMut(&str, ValueRef<'_>) -> Result<()>,
) -> Result<()> {
    properties.iter().try_for_each(|(name, bytes)| visit(name, read_value(bytes)?))
}

fn read_value(bytes: &[u8]) -> Result<ValueRef<'_>> {
    Ok(ValueRef::read(&mut embedded_db_common::record::Cursor::new(bytes))?)
}

/// An edge as one snapshot saw it.
#[derive(Clone)]
pub struct Edge {
    symbols: Arc<Symbols>,
    namespace: NamespaceId,
    /// Tells it from one that gets its id later; `None` for one that is not committed.
    pub(crate) place: Option<Place>,
    data: EdgeData,
    source: String,
    target: String,
}

#[derive(Clone)]
enum EdgeData {
    Stored(Box<[u8]>),
    /// As a transaction that has not committed sees it.
    Draft(Box<DraftEdge>),
}

#[derive(Debug, Clone)]
pub(crate) struct DraftEdge {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) edge_type: String,
    pub(crate) weight: f64,
    pub(crate) times: EdgeTimes,
    pub(crate) sources: Vec<String>,
    pub(crate) properties: Draft,
    pub(crate) version: u64,
    /// Whether the database makes it by itself at the commit, under another id.
    pub(crate) derived: bool,
}

impl Edge {
    /// An edge as it was held for true at a time, if it was.
    pub(crate) fn read(
        store: &Arc<Store>,
        txn: &impl ReadTxn,
        namespace: NamespaceId,
        slot: Slot,
        times: AsOf,
    ) -> Result<Option<Self>> {
        let payload = times.edge(txn, namespace, slot)?;
        payload.map(|payload| Self::stored(store, txn, namespace, slot, payload)).transpose()
    }

    /// An edge from the payload of one of its versions.
    pub(crate) fn stored(
        store: &Arc<Store>,
        txn: &impl ReadTxn,
        namespace: NamespaceId,
        slot: Slot,
        payload: &[u8],
    ) -> Result<Self> {
        let edge = EdgeRecord::parse(payload)?;
        let id_of = |slot| {
            let node = txn.node(namespace, slot)?;
            node.map(|node| node.id.to_owned()).ok_or_else(|| Error::Corruption {
                path: store.path().to_owned(),
                object: format!("the edge {:?}", edge.id),
                detail: "a node at its end is missing".into(),
            })
        };
        Ok(Self {
            symbols: Arc::clone(store.symbols()),
            namespace,
            place: Some(Place::of(txn, slot)),
            source: id_of(edge.source)?,
            target: id_of(edge.target)?,
            data: EdgeData::Stored(payload.into()),
        })
    }

    pub(crate) fn draft(store: &Arc<Store>, namespace: NamespaceId, draft: DraftEdge) -> Self {
        let (source, target) = (draft.source.clone(), draft.target.clone());
        let data = EdgeData::Draft(Box::new(draft));
        let symbols = Arc::clone(store.symbols());
        Self { symbols, namespace, place: None, data, source, target }
    }

    fn with<T>(
        &self,
        stored: impl FnOnce(EdgeRecord<'_>) -> Result<T>,
        draft: impl FnOnce(&DraftEdge) -> Result<T>,
    ) -> Result<T> {
        match &self.data {
            EdgeData::Stored(payload) => stored(EdgeRecord::parse(payload)?),
            EdgeData::Draft(edge) => draft(edge),
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> NamespaceId {
        self.namespace
    }

    /// The user's id.
    pub fn id(&self) -> Result<String> {
        self.with(|edge| Ok(edge.id.to_owned()), |edge| Ok(edge.id.clone()))
    }

    /// Id of the node where it begins.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Id of the node where it ends.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Its type.
    pub fn edge_type(&self) -> Result<Arc<str>> {
        self.with(
            |edge| self.symbols.name_of(edge.edge_type),
            |edge| Ok(edge.edge_type.as_str().into()),
        )
    }

    /// The user's weight.
    pub fn weight(&self) -> Result<f64> {
        self.with(|edge| Ok(edge.weight), |edge| Ok(edge.weight))
    }

    /// Bi-temporal fields.
    pub fn times(&self) -> Result<EdgeTimes> {
        self.with(|edge| Ok(edge.times), |edge| Ok(edge.times))
    }

    /// Ids of what it was derived from.
    pub fn sources(&self) -> Result<Vec<String>> {
        self.with(
            |edge| Ok(edge.sources().map(str::to_owned).collect()),
            |edge| Ok(edge.sources.clone()),
        )
    }

    /// Whether the database made it by itself.
    pub fn derived(&self) -> Result<bool> {
        self.with(|edge| Ok(edge.derived), |edge| Ok(edge.derived))
    }

    /// 1 at creation, one more at each change by a user.
    pub fn version(&self) -> Result<u64> {
        self.with(|edge| Ok(edge.version), |edge| Ok(edge.version))
    }

    /// Calls `visit` with name and value of each property.
    pub fn each_property(
        &self,
        visit: &mut dyn FnMut(&str, ValueRef<'_>) -> Result<()>,
    ) -> Result<()> {
        match &self.data {
            EdgeData::Stored(payload) => {
                each_property(&self.symbols, EdgeRecord::parse(payload)?.properties, visit)
            }
            EdgeData::Draft(edge) => each_drafted(&edge.properties, visit),
        }
    }

    /// Calls `visit` with the value of a property, if it is there.
    pub fn property<T>(
        &self,
        name: &str,
        visit: impl FnOnce(ValueRef<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match &self.data {
            EdgeData::Stored(payload) => {
                let properties = EdgeRecord::parse(payload)?.properties;
                let found = self.symbols.find(name, |symbol| properties.get(symbol))?;
                found.map(visit).transpose()
            }
            EdgeData::Draft(edge) => {
                edge.properties.get(name).map(|bytes| visit(read_value(bytes)?)).transpose()
            }
        }
    }
}

wire_struct! {
    Place { generation, slot }
}

impl Wire for Node {
    /// Of one that is stored.
    fn put(&self, out: &mut Vec<u8>) {
        self.namespace.put(out);
        self.place.put(out);
        match &self.data {
            NodeData::Stored(payload) => put_bytes(payload, out),
            NodeData::Draft(_) => put_bytes(&[], out),
        }
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let (namespace, place) = (Wire::take(from)?, Wire::take(from)?);
        let data = NodeData::Stored(take_bytes(from)?.into());
        Ok(Self { symbols: Arc::clone(from.symbols()?), namespace, place, data })
    }
}

impl Wire for Edge {
    /// Of one that is stored.
    fn put(&self, out: &mut Vec<u8>) {
        self.namespace.put(out);
        self.place.put(out);
        match &self.data {
            EdgeData::Stored(payload) => put_bytes(payload, out),
            EdgeData::Draft(_) => put_bytes(&[], out),
        }
        self.source.put(out);
        self.target.put(out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let (namespace, place) = (Wire::take(from)?, Wire::take(from)?);
        let data = EdgeData::Stored(take_bytes(from)?.into());
        let (source, target) = (Wire::take(from)?, Wire::take(from)?);
        let symbols = Arc::clone(from.symbols()?);
        Ok(Self { symbols, namespace, place, data, source, target })
    }
}

/// A stored vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Its id.
    pub id: String,
    /// Id of its node.
    pub node_id: String,
    /// Its numbers.
    pub vector: Vec<f32>,
    /// Name of its space.
    pub space: String,
    /// The model that made it.
    pub model: String,
    /// Which part of a long text it is of.
    pub part: u16,
    /// Whether a user set it: the weaver never overwrites it.
    pub set_by_user: bool,
    /// Microseconds since 1970 UTC.
    pub created_at: i64,
}

impl Embedding {
    pub(crate) fn new(
        record: &EmbeddingRecord<'_>,
        node_id: &str,
        space: &embedded_db_storage::SpaceRecord,
        part: u16,
    ) -> Self {
        Self {
            id: record.id.to_owned(),
            node_id: node_id.to_owned(),
            vector: record.values().collect(),
            space: space.name.clone(),
            model: space.model.clone(),
            part,
            set_by_user: record.set_by_user,
            created_at: record.created_at,
        }
    }
}

/// A path through the graph.
#[derive(Clone)]
pub struct Path {
    /// Start first.
    pub nodes: Vec<Node>,
    /// One fewer than the nodes.
    pub edges: Vec<Edge>,
    /// Hops, or what its edges weigh together.
    pub cost: f64,
}
