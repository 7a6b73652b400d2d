//! The stored form of nodes, edges, embeddings and the small records around them.
//!
//! Each record begins with its version, so that a later format can be told apart record by record.

use embedded_db_common::record::{Cursor, Damaged, Properties, Read, put_bytes, put_varint};
use embedded_db_common::{
    Amounts, ContentHash, Lsn, MAX_DIMENSION, MAX_NAME, NamespaceId, Slot, SpaceId, Symbol,
};

use crate::keys::Kind;

/// The only version so far, of every kind of record.
const VERSION: u8 = 1;

fn check_version(cursor: &mut Cursor<'_>) -> Read<()> {
    if cursor.u8()? == VERSION { Ok(()) } else { Err(Damaged("has an unknown record version")) }
}

/// The id of an object: keys are made of it again.
fn id<'a>(cursor: &mut Cursor<'a>) -> Read<&'a str> {
    let id = cursor.str()?;
    let length = 1..=MAX_NAME;
    if length.contains(&id.len()) { Ok(id) } else { Err(Damaged("has an id of the wrong length")) }
}

/// Flags of nodes. A reader steps over what it does not use.
mod node_flag {
    /// The database made it by itself.
    pub(super) const DERIVED: u8 = 1;
    /// A time follows at which it expires.
    pub(super) const EXPIRES: u8 = 2;
    /// Ids follow of what it was derived from.
    pub(super) const SOURCES: u8 = 4;
    pub(super) const KNOWN: u8 = DERIVED | EXPIRES | SOURCES;
}

/// A stored node, read where it lies.
#[derive(Debug, Clone, Copy)]
pub struct NodeRecord<'a> {
    /// Whether the database made it by itself.
    pub derived: bool,
    /// Its last change.
    pub lsn: Lsn,
    /// 1 at creation, one more at each change by a user.
    pub version: u64,
    /// Microseconds since 1970 UTC.
    pub created_at: i64,
    /// Microseconds since 1970 UTC.
    pub updated_at: i64,
    /// When it expires, if it does; microseconds since 1970 UTC.
    pub expires_at: Option<i64>,
    /// The user's id.
    pub id: &'a str,
    labels: &'a [u8],
    label_count: usize,
    /// Its properties.
    pub properties: Properties<'a>,
}

/// When a node was made, changed and is to go; microseconds UTC.
#[derive(Debug, Clone, Copy)]
pub struct NodeTimes {
    /// Made.
    pub created_at: i64,
    /// Changed by a user.
    pub updated_at: i64,
    /// To go; `None` when it stays.
    pub expires_at: Option<i64>,
}

impl<'a> NodeRecord<'a> {
    pub(crate) fn times(&self) -> NodeTimes {
        let Self { created_at, updated_at, expires_at, .. } = *self;
        NodeTimes { created_at, updated_at, expires_at }
    }

    /// Reads a payload.
    pub fn parse(payload: &'a [u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        check_version(&mut cursor)?;
        let flags = cursor.u8()?;
        if flags & !node_flag::KNOWN != 0 {
            return Err(Damaged("has an unknown flag"));
        }
        let lsn = Lsn(cursor.u64()?);
        let created_at = cursor.i64()?;
        let updated_at = cursor.i64()?;
        let expires_at = match flags & node_flag::EXPIRES {
            0 => None,
            _ => Some(cursor.i64()?),
        };
        let version = cursor.varint()?;
        let id = id(&mut cursor)?;
        if flags & node_flag::SOURCES != 0 {
            for _ in 0..cursor.count()? {
                cursor.str()?;
            }
        }
        let derived = flags & node_flag::DERIVED != 0;
        let label_count = cursor.count()?;
        let labels = cursor.rest();
        for _ in 0..label_count {
            cursor.symbol()?;
        }
        let properties = Properties::new(cursor.rest());
        Ok(Self {
            derived,
            lsn,
            version,
            created_at,
            updated_at,
            expires_at,
            id,
            labels,
            label_count,
            properties,
        })
    }

    /// Its labels, in the order they were given.
    pub fn labels(&self) -> impl Iterator<Item = Symbol> + use<'a> {
        let mut cursor = Cursor::new(self.labels);
        // `parse` has read them once already.
        (0..self.label_count).filter_map(move |_| cursor.symbol().ok())
    }

    /// Whether it has the label.
    pub fn has_label(&self, label: Symbol) -> bool {
        self.labels().any(|found| found == label)
    }

    /// The payload with these fields.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn encode(
        out: &mut Vec<u8>,
        derived: bool,
        lsn: Lsn,
        version: u64,
        times: NodeTimes,
        id: &str,
        labels: &[Symbol],
        properties: &[u8],
    ) {
        let mut flags = 0;
        if derived {
            flags |= node_flag::DERIVED;
        }
        if times.expires_at.is_some() {
            flags |= node_flag::EXPIRES;
        }
        out.push(VERSION);
        out.push(flags);
        out.extend_from_slice(&lsn.0.to_le_bytes());
        out.extend_from_slice(&times.created_at.to_le_bytes());
        out.extend_from_slice(&times.updated_at.to_le_bytes());
        if let Some(at) = times.expires_at {
            out.extend_from_slice(&at.to_le_bytes());
        }
        put_varint(out, version);
        put_bytes(out, id.as_bytes());
        put_varint(out, labels.len() as u64);
        for label in labels {
            put_varint(out, u64::from(label.0));
        }
        out.extend_from_slice(properties);
    }
}

mod edge_flag {
    pub(super) const VALID_FROM: u8 = 1;
    pub(super) const VALID_TO: u8 = 2;
    pub(super) const RETRACTED: u8 = 4;
    pub(super) const DERIVED: u8 = 8;
    pub(super) const KNOWN: u8 = VALID_FROM | VALID_TO | RETRACTED | DERIVED;
}

/// A stored edge, read where it lies.
#[derive(Debug, Clone, Copy)]
pub struct EdgeRecord<'a> {
    /// Whether the database made it by itself.
    pub derived: bool,
    /// Its last change.
    pub lsn: Lsn,
    /// 1 at creation, one more at each change by a user.
    pub version: u64,
    /// Where it begins.
    pub source: Slot,
    /// Where it ends.
    pub target: Slot,
    /// Its type.
    pub edge_type: Symbol,
    /// The user's weight.
    pub weight: f64,
    /// Bi-temporal fields.
    pub times: EdgeTimes,
    /// The user's id.
    pub id: &'a str,
    sources: &'a [u8],
    source_count: usize,
    /// Its properties.
    pub properties: Properties<'a>,
}

/// When an edge was true in the world, and when the database believed it; microseconds UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EdgeTimes {
    /// True in the world from here on.
    pub valid_from: Option<i64>,
    /// True in the world until here.
    pub valid_to: Option<i64>,
    /// Believed from here on.
    pub recorded_at: i64,
    /// Believed until here.
    pub retracted_at: Option<i64>,
}

impl EdgeTimes {
    /// Whether it is true in the world then; an end that is not known is open.
    pub fn valid_at(&self, at: i64) -> bool {
        self.valid_from.is_none_or(|from| from <= at) && self.valid_to.is_none_or(|to| at < to)
    }

    /// Whether the database held it for true then.
    pub fn believed_at(&self, at: i64) -> bool {
        self.recorded_at <= at && self.retracted_at.is_none_or(|until| at < until)
    }
}

impl<'a> EdgeRecord<'a> {
    /// Reads a payload.
    pub fn parse(payload: &'a [u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        check_version(&mut cursor)?;
        let flags = cursor.u8()?;
        if flags & !edge_flag::KNOWN != 0 {
            return Err(Damaged("has an unknown flag"));
        }
        let derived = flags & edge_flag::DERIVED != 0;
        let lsn = Lsn(cursor.u64()?);
        let source = Slot(cursor.u32()?);
        let target = Slot(cursor.u32()?);
        let weight = cursor.f64()?;
        let recorded_at = cursor.i64()?;
        let mut optional = |flag| if flags & flag == 0 { Ok(None) } else { cursor.i64().map(Some) };
        let valid_from = optional(edge_flag::VALID_FROM)?;
        let valid_to = optional(edge_flag::VALID_TO)?;
        let retracted_at = optional(edge_flag::RETRACTED)?;
        let edge_type = cursor.symbol()?;
        let version = cursor.varint()?;
        let id = id(&mut cursor)?;
        let source_count = cursor.count()?;
        let sources = cursor.rest();
        for _ in 0..source_count {
            cursor.str()?;
        }
        let times = EdgeTimes { valid_from, valid_to, recorded_at, retracted_at };
        let properties = Properties::new(cursor.rest());
        Ok(Self {
            derived,
            lsn,
            version,
            source,
            target,
            edge_type,
            weight,
            times,
            id,
            sources,
            source_count,
            properties,
        })
    }

    /// Ids of what it was derived from.
    pub fn sources(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut cursor = Cursor::new(self.sources);
        // `parse` has read them once already.
        (0..self.source_count).filter_map(move |_| cursor.str().ok())
    }

    /// What it is made of.
    pub(crate) fn fields(&self) -> EdgeFields<'a> {
        EdgeFields {
            derived: self.derived,
            source: self.source,
            target: self.target,
            edge_type: self.edge_type,
            weight: self.weight,
            times: self.times,
            sources: self.sources().collect(),
            properties: self.properties.as_bytes(),
        }
    }

    /// The end that is not `node`; a self loop has the same node at both.
    pub fn other(&self, node: Slot) -> Slot {
        if self.source == node { self.target } else { self.source }
    }
}

/// What an edge is made of.
#[derive(Debug, Clone)]
pub struct EdgeFields<'a> {
    /// Whether the database makes it by itself.
    pub derived: bool,
    /// Where it begins.
    pub source: Slot,
    /// Where it ends.
    pub target: Slot,
    /// Its type.
    pub edge_type: Symbol,
    /// The user's weight.
    pub weight: f64,
    /// Bi-temporal fields.
    pub times: EdgeTimes,
    /// Ids of what it was derived from.
    pub sources: Vec<&'a str>,
    /// Encoded properties.
    pub properties: &'a [u8],
}

impl EdgeFields<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>, lsn: Lsn, version: u64, id: &str) {
        let times = &self.times;
        let optional = [
            (edge_flag::VALID_FROM, times.valid_from),
            (edge_flag::VALID_TO, times.valid_to),
            (edge_flag::RETRACTED, times.retracted_at),
        ];
        out.push(VERSION);
        let times_given: u8 = optional.iter().map(|(flag, time)| time.map_or(0, |_| *flag)).sum();
        out.push(times_given | if self.derived { edge_flag::DERIVED } else { 0 });
        out.extend_from_slice(&lsn.0.to_le_bytes());
        out.extend_from_slice(&self.source.0.to_le_bytes());
        out.extend_from_slice(&self.target.0.to_le_bytes());
        out.extend_from_slice(&self.weight.to_le_bytes());
        out.extend_from_slice(&times.recorded_at.to_le_bytes());
        for time in optional.iter().filter_map(|(_, time)| *time) {
            out.extend_from_slice(&time.to_le_bytes());
        }
        put_varint(out, u64::from(self.edge_type.0));
        put_varint(out, version);
        put_bytes(out, id.as_bytes());
        put_varint(out, self.sources.len() as u64);
        for source in &self.sources {
            put_bytes(out, source.as_bytes());
        }
        out.extend_from_slice(self.properties);
    }
}

const SET_BY_USER: u8 = 1;

/// A stored vector, read where it lies.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingRecord<'a> {
    /// Its last change.
    pub lsn: Lsn,
    /// Whether a user set it: the weaver never overwrites it.
    pub set_by_user: bool,
    /// Microseconds since 1970 UTC.
    pub created_at: i64,
    /// The text it was made of; zero when a user gave the vector.
    pub content: ContentHash,
    /// Its id.
    pub id: &'a str,
    /// Little-endian floats.
    vector: &'a [u8],
}

impl<'a> EmbeddingRecord<'a> {
    /// Reads a payload.
    pub fn parse(payload: &'a [u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        check_version(&mut cursor)?;
        let flags = cursor.u8()?;
        if flags & !SET_BY_USER != 0 {
            return Err(Damaged("has an unknown flag"));
        }
        let lsn = Lsn(cursor.u64()?);
        let created_at = cursor.i64()?;
        let content = ContentHash(cursor.array()?);
        let id = id(&mut cursor)?;
        let vector = cursor.rest();
        if !vector.len().is_multiple_of(4) {
            return Err(Damaged("holds a part of a number"));
        }
        let set_by_user = flags & SET_BY_USER != 0;
        Ok(Self { lsn, set_by_user, created_at, content, id, vector })
    }

    /// Number of dimensions.
    pub fn dimension(&self) -> usize {
        self.vector.len() / 4
    }

    /// The numbers.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        let (chunks, _) = self.vector.as_chunks::<4>();
        chunks.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// Copies the numbers; false when the dimension is another.
    pub fn copy_to(&self, out: &mut [f32]) -> bool {
        if out.len() != self.dimension() {
            return false;
        }
        for (slot, value) in out.iter_mut().zip(self.values()) {
            *slot = value;
        }
        true
    }

    pub(crate) fn encode(
        out: &mut Vec<u8>,
        lsn: Lsn,
        set_by_user: bool,
        created_at: i64,
        content: ContentHash,
        id: &str,
        vector: &[f32],
    ) {
        out.push(VERSION);
        out.push(if set_by_user { SET_BY_USER } else { 0 });
        out.extend_from_slice(&lsn.0.to_le_bytes());
        out.extend_from_slice(&created_at.to_le_bytes());
        out.extend_from_slice(&content.0);
        put_bytes(out, id.as_bytes());
        for value in vector {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// An embedding space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceRecord {
    /// Its name.
    pub name: String,
    /// The model that makes its vectors; empty when a user gives them.
    pub model: String,
    /// What runs the model.
    pub provider: String,
    /// Its arithmetic: `fp32`, `int8`…
    pub precision: String,
    /// Number of dimensions.
    pub dimension: u32,
    /// `cosine`, `dot` or `euclidean`.
    pub metric: String,
}

impl SpaceRecord {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.dimension.to_le_bytes());
        for text in [&self.name, &self.model, &self.provider, &self.precision, &self.metric] {
            put_bytes(out, text.as_bytes());
        }
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        check_version(&mut cursor)?;
        let dimension = cursor.u32()?;
        if !(1..=MAX_DIMENSION).contains(&(dimension as usize)) {
            return Err(Damaged("has a dimension that none can have"));
        }
        let mut text = || cursor.str().map(str::to_owned);
        let [name, model, provider, precision, metric] =
            [text()?, text()?, text()?, text()?, text()?];
        if !["cosine", "dot", "euclidean"].contains(&metric.as_str()) {
            return Err(Damaged("has an unknown metric"));
        }
        Ok(Self { name, model, provider, precision, dimension, metric })
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ChangeOp {
    /// It was made or changed.
    Put = 1,
    /// It was deleted.
    Delete = 2,
}

impl ChangeOp {
    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

/// One row of the change table: no values, only what changed.
#[derive(Debug, Clone, Copy)]
pub struct ChangeRecord<'a> {
    /// Where.
    pub namespace: NamespaceId,
    /// What kind of object.
    pub kind: Kind,
    /// What happened.
    pub op: ChangeOp,
    /// The object's slot; of an embedding, its node's.
    pub slot: Slot,
    /// The space of an embedding.
    pub space: SpaceId,
    /// Version of the object after it.
    pub version: u64,
    /// The user's id.
    pub id: &'a str,
    /// The labels of a node, or the type of an edge.
    pub names: ChangeNames<'a>,
}

/// The names in a change.
#[derive(Debug, Clone, Copy)]
pub enum ChangeNames<'a> {
    /// To be written.
    Given(&'a [Symbol]),
    /// As they lie in a record, and how many there are.
    Stored(&'a [u8], usize),
}

impl<'a> ChangeNames<'a> {
    fn parse(cursor: &mut Cursor<'a>) -> Read<Self> {
        let count = cursor.count()?;
        let stored = cursor.rest();
        let mut names = Cursor::new(stored);
        for _ in 0..count {
            names.symbol()?;
        }
        Ok(Self::Stored(stored, count))
    }

    /// One after another.
    pub fn symbols(self) -> impl Iterator<Item = Symbol> + use<'a> {
        let (given, stored, count) = match self {
            Self::Given(given) => (given, &[][..], 0),
            Self::Stored(stored, count) => (&[][..], stored, count),
        };
        let mut cursor = Cursor::new(stored);
        // `parse` has read them once already.
        let stored = (0..count).filter_map(move |_| cursor.symbol().ok());
        given.iter().copied().chain(stored)
    }
}

impl<'a> ChangeRecord<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.kind as u8, self.op as u8]);
        out.extend_from_slice(&self.namespace.0.to_le_bytes());
        out.extend_from_slice(&self.slot.0.to_le_bytes());
        out.extend_from_slice(&self.space.0.to_le_bytes());
        put_varint(out, self.version);
        put_bytes(out, self.id.as_bytes());
        put_varint(out, self.names.symbols().count() as u64);
        for name in self.names.symbols() {
            put_varint(out, u64::from(name.0));
        }
    }

    /// `None` for kinds and operations of a later version: they do not concern this one.
    pub(crate) fn parse(payload: &'a [u8]) -> Read<Option<Self>> {
        let mut cursor = Cursor::new(payload);
        check_version(&mut cursor)?;
        let kind = Kind::from_byte(cursor.u8()?);
        let op = match cursor.u8()? {
            1 => Some(ChangeOp::Put),
            2 => Some(ChangeOp::Delete),
            _ => None,
        };
        let (Some(kind), Some(op)) = (kind, op) else { return Ok(None) };
        Ok(Some(Self {
            kind,
            op,
            namespace: NamespaceId(cursor.u32()?),
            slot: Slot(cursor.u32()?),
            space: SpaceId(cursor.u16()?),
            version: cursor.varint()?,
            id: id(&mut cursor)?,
            names: ChangeNames::parse(&mut cursor)?,
        }))
    }
}

/// State of work that has failed at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum WorkState {
    /// It will be tried again.
    Retry = 1,
    /// It was given up.
    Dead = 2,
}

/// Work on one artefact of one node that has failed at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkRecord {
    /// Tried again, or given up.
    pub state: WorkState,
    /// Calls so far.
    pub attempts: u32,
    /// When it may be tried again, microseconds UTC.
    pub due: i64,
    /// What the last call said.
    pub error: String,
}

impl WorkRecord {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.state as u8]);
        out.extend_from_slice(&self.attempts.to_le_bytes());
        out.extend_from_slice(&self.due.to_le_bytes());
        put_bytes(out, self.error.as_bytes());
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        check_version(&mut cursor)?;
        let state = match cursor.u8()? {
            1 => WorkState::Retry,
            2 => WorkState::Dead,
            _ => return Err(Damaged("has an unknown state")),
        };
        let attempts = cursor.u32()?;
        let due = cursor.i64()?;
        Ok(Self { state, attempts, due, error: cursor.str()?.to_owned() })
    }
}

/// Database-wide counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatabaseCounters {
    /// LSN of the last change.
    pub lsn: u64,
    /// Time of the last change, microseconds UTC: the store's time never goes back.
    pub time: i64,
    /// Interned names so far.
    pub symbols: u32,
    /// Namespaces made so far.
    pub namespaces: u32,
    /// Spaces made so far.
    pub spaces: u32,
    /// Vectors that a model computed and the weaver stored.
    pub vectors_computed: u64,
    /// Vectors the weaver took over from an equal text.
    pub vectors_reused: u64,
}

impl DatabaseCounters {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.lsn.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.symbols.to_le_bytes());
        out.extend_from_slice(&self.namespaces.to_le_bytes());
        out.extend_from_slice(&self.spaces.to_le_bytes());
        out.extend_from_slice(&self.vectors_computed.to_le_bytes());
        out.extend_from_slice(&self.vectors_reused.to_le_bytes());
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        check_version(&mut cursor)?;
        Ok(Self {
            lsn: cursor.u64()?,
            time: cursor.i64()?,
            symbols: cursor.u32()?,
            namespaces: cursor.u32()?,
            spaces: cursor.u32()?,
            vectors_computed: cursor.u64()?,
            vectors_reused: cursor.u64()?,
        })
    }
}

/// Counters of one namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceCounters {
    /// Node slots given so far.
    pub node_slots: u32,
    /// Edge slots given so far.
    pub edge_slots: u32,
    /// Nodes stored now.
    pub nodes: u64,
    /// Edges stored now.
    pub edges: u64,
    /// Vectors stored now.
    pub embeddings: u64,
    /// Bytes of the payloads of node, edge and embedding records.
    pub bytes: u64,
}

impl NamespaceCounters {
    /// What a quota limits.
    pub fn amounts(&self) -> Amounts {
        let Self { nodes, edges, embeddings, bytes, .. } = *self;
        Amounts { nodes, edges, embeddings, bytes }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.node_slots.to_le_bytes());
        out.extend_from_slice(&self.edge_slots.to_le_bytes());
        out.extend_from_slice(&self.nodes.to_le_bytes());
        out.extend_from_slice(&self.edges.to_le_bytes());
        out.extend_from_slice(&self.embeddings.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
    }

    pub(crate) fn parse(payload: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(payload);
        check_version(&mut cursor)?;
        Ok(Self {
            node_slots: cursor.u32()?,
            edge_slots: cursor.u32()?,
            nodes: cursor.u64()?,
            edges: cursor.u64()?,
            embeddings: cursor.u64()?,
            bytes: cursor.u64()?,
        })
    }
}
