//! Keys of every table. Each begins with its namespace, big endian, so that a namespace lies
//! together and byte order is numeric order.

use embedded_db_common::record::{Damaged, Read};
use embedded_db_common::{ContentHash, Lsn, NamespaceId, Slot, SpaceId, Symbol};

/// The tables of the store. The number takes part in every checksum: it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Table {
    /// Counters, namespaces, spaces.
    Meta = 1,
    /// Interned names → symbols.
    Symbols = 2,
    /// User ids → slots.
    Ids = 3,
    /// Node records.
    Nodes = 4,
    /// Edge records.
    Edges = 5,
    /// Packed neighbours.
    Adjacency = 6,
    /// What edges were before; read for `valid_at` and `known_at`.
    History = 7,
    /// Vectors.
    Embeddings = 8,
    /// Content hash → a node whose vector can be used again.
    Hashes = 9,
    /// Property postings.
    Postings = 10,
    /// Property columns.
    Columns = 11,
    /// Work that failed: retries and dead letters.
    Work = 12,
    /// What changed, by LSN.
    Changes = 13,
    /// The published files of each view.
    Views = 14,
    /// What derived data was derived from, by source.
    Sources = 15,
    /// When nodes expire.
    Expiry = 16,
    /// How recall has strengthened edges.
    Strengths = 17,
    /// The tokens of nodes.
    Tokens = 18,
    /// Symbols → their names, which so stand on two pages.
    Names = 19,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 19] = [
        Self::Meta,
        Self::Symbols,
        Self::Ids,
        Self::Nodes,
        Self::Edges,
        Self::Adjacency,
        Self::History,
        Self::Embeddings,
        Self::Hashes,
        Self::Postings,
        Self::Columns,
        Self::Work,
        Self::Changes,
        Self::Views,
        Self::Sources,
        Self::Expiry,
        Self::Strengths,
        Self::Tokens,
        Self::Names,
    ];

    /// What something has for the table.
    #[expect(clippy::indexing_slicing, reason = "tables are numbered from 1 to their number")]
    pub(crate) fn of<T>(self, all: &[T; Self::ALL.len()]) -> &T {
        &all[(self as usize).saturating_sub(1)]
    }

    /// The same, to change it.
    #[expect(clippy::indexing_slicing, reason = "tables are numbered from 1 to their number")]
    pub(crate) fn of_mut<T>(self, all: &mut [T; Self::ALL.len()]) -> &mut T {
        &mut all[(self as usize).saturating_sub(1)]
    }

    /// Name of the LMDB database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Symbols => "symbols",
            Self::Ids => "ids",
            Self::Nodes => "nodes",
            Self::Edges => "edges",
            Self::Adjacency => "adjacency",
            Self::History => "history",
            Self::Embeddings => "embeddings",
            Self::Hashes => "hashes",
            Self::Postings => "postings",
            Self::Columns => "columns",
            Self::Work => "work",
            Self::Changes => "changes",
            Self::Views => "views",
            Self::Sources => "sources",
            Self::Expiry => "expiry",
            Self::Strengths => "strengths",
            Self::Tokens => "tokens",
            Self::Names => "names",
        }
    }
}

/// What a user id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A node.
    Node = 1,
    /// An edge.
    Edge = 2,
    /// An embedding.
    Embedding = 3,
    /// A namespace; occurs in the change table only.
    Namespace = 4,
}

impl Kind {
    /// As errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Edge => "edge",
            Self::Embedding => "embedding",
            Self::Namespace => "namespace",
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Node, Self::Edge, Self::Embedding, Self::Namespace]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Which end of an edge a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// The node is the source.
    Out = 0,
    /// The node is the target.
    In = 1,
}

impl Direction {
    /// The other end.
    pub fn reversed(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
        }
    }
}

/// Most bytes of a key that LMDB takes.
pub(crate) const MAX_KEY: usize = 511;

/// A key, built on the stack; the longest of ours is an id (260).
#[derive(Clone, Copy)]
pub struct Key {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Key {
    const MAX: usize = 288;

    /// Begins with a namespace.
    #[inline]
    pub fn new(namespace: NamespaceId) -> Self {
        Self { bytes: [0; Self::MAX], len: 0 }.u32(namespace.0)
    }

    /// Appends bytes.
    ///
    /// # Panics
    ///
    /// When they do not fit: who makes a key of what was read has looked at its length.
    #[inline]
    #[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "as it says")]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
        self
    }

    /// Appends a byte.
    #[inline]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    /// Appends two bytes, big endian.
    #[inline]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends four bytes, big endian.
    #[inline]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends eight bytes, big endian.
    #[inline]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// The key.
    #[expect(clippy::indexing_slicing, reason = "so many bytes were written")]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::ops::Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// The number at a place of a key.
#[inline]
pub(crate) fn u32_at(key: &[u8], at: usize) -> Read<u32> {
    let bytes = key.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Damaged("has a short key"))
}

/// The number at the end of a key.
#[inline]
pub(crate) fn last_u32(key: &[u8]) -> Read<u32> {
    u32_at(key, key.len().saturating_sub(4))
}

/// Tags of the rows of the meta table.
pub(crate) mod meta {
    pub(crate) const COUNTERS: u8 = 1;
    pub(crate) const NAMESPACE: u8 = 2;
    pub(crate) const SPACE: u8 = 3;
    pub(crate) const DEFAULT_SPACE: u8 = 4;
    pub(crate) const INDEX: u8 = 5;
    pub(crate) const COMMITTED: u8 = 6;
    pub(crate) const SUCCESSOR: u8 = 7;
    pub(crate) const NEXT_SPACE: u8 = 9;
    pub(crate) const RECIPE: u8 = 10;
    pub(crate) const MODEL_SPACE: u8 = 11;
    pub(crate) const DROPPED_SPACE: u8 = 12;
}

/// `meta`: namespace, 1. Those of the system namespace are of the whole database.
pub(crate) fn counters(namespace: NamespaceId) -> Key {
    Key::new(namespace).u8(meta::COUNTERS)
}

/// `meta`: the system namespace, 2, name of a namespace.
pub(crate) fn namespace_number(name: &str) -> Key {
    namespace_numbers().bytes(name.as_bytes())
}

/// The names of all namespaces.
pub(crate) fn namespace_numbers() -> Key {
    Key::new(NamespaceId::SYSTEM).u8(meta::NAMESPACE)
}

/// `meta`: namespace, 2. The namespace's own row: it goes with the namespace.
pub(crate) fn namespace_name(namespace: NamespaceId) -> Key {
    Key::new(namespace).u8(meta::NAMESPACE)
}

/// `meta`: the system namespace, 3, space.
pub(crate) fn space(space: SpaceId) -> Key {
    spaces().u16(space.0)
}

/// All spaces.
pub(crate) fn spaces() -> Key {
    Key::new(NamespaceId::SYSTEM).u8(meta::SPACE)
}

/// `meta`: the system namespace, 4.
pub(crate) fn default_space() -> Key {
    Key::new(NamespaceId::SYSTEM).u8(meta::DEFAULT_SPACE)
}

/// `meta`: the system namespace, 6, LSN: when that was committed.
pub(crate) fn committed(lsn: Lsn) -> Key {
    all_committed().u64(lsn.0)
}

/// When some changes were committed.
pub(crate) fn all_committed() -> Key {
    Key::new(NamespaceId::SYSTEM).u8(meta::COMMITTED)
}

/// `meta`: the system namespace, 7. The row that names the generation that takes the place of the one it
/// is in.
pub(crate) fn successor() -> Key {
    Key::new(NamespaceId::SYSTEM).u8(meta::SUCCESSOR)
}

/// Bytes of an id by which `ids` is ordered: those at the end. What the database makes by itself ends with as many
/// that tell when it was made, so that the ids of a message, its edges and its vector lie in one page.
const ID_END: usize = 32;

/// `ids`: namespace, the last bytes of the id, kind, the bytes before them.
pub(crate) fn id(namespace: NamespaceId, kind: Kind, id: &str) -> Key {
    let id = id.as_bytes();
    let (begin, end) = id.split_at(id.len().saturating_sub(ID_END));
    Key::new(namespace).bytes(end).u8(kind as u8).bytes(begin)
}

/// The kind in a key of `ids`, and the two parts of the id.
pub(crate) fn kind_and_id(key: &[u8]) -> Option<(Option<Kind>, [&[u8]; 2])> {
    let rest = key.get(4..)?;
    let (end, rest) = rest.split_at_checked(rest.len().checked_sub(1)?.min(ID_END))?;
    let (kind, begin) = rest.split_first()?;
    Some((Kind::from_byte(*kind), [begin, end]))
}

/// `nodes`, `edges`: namespace, slot.
pub(crate) fn slot(namespace: NamespaceId, slot: Slot) -> Key {
    Key::new(namespace).u32(slot.0)
}

/// `adjacency`: namespace, node, direction, edge type, lowest edge slot of the chunk.
pub(crate) fn adjacency(
    namespace: NamespaceId,
    node: Slot,
    direction: Direction,
    edge_type: Symbol,
    first: Slot,
) -> Key {
    adjacency_type(namespace, node, direction, edge_type).u32(first.0)
}

/// All chunks of one type.
pub(crate) fn adjacency_type(
    namespace: NamespaceId,
    node: Slot,
    direction: Direction,
    edge_type: Symbol,
) -> Key {
    adjacency_node(namespace, node, direction).u32(edge_type.0)
}

/// All chunks of a node in one direction.
pub(crate) fn adjacency_node(namespace: NamespaceId, node: Slot, direction: Direction) -> Key {
    Key::new(namespace).u32(node.0).u8(direction as u8)
}

/// `history`, tags of its rows.
mod former {
    /// An edge as it was.
    pub(super) const VERSION: u8 = 1;
    /// An edge that was retracted, at one of its ends.
    pub(super) const NEIGHBOR: u8 = 2;
}

/// `history`: namespace, 1, edge, when that version was recorded (sign bit inverted).
pub(crate) fn version(namespace: NamespaceId, edge: Slot, recorded_at: i64) -> Key {
    versions(namespace, edge).u64(recorded_at.cast_unsigned() ^ (1 << 63))
}

/// All former versions of an edge, oldest first.
pub(crate) fn versions(namespace: NamespaceId, edge: Slot) -> Key {
    Key::new(namespace).u8(former::VERSION).u32(edge.0)
}

/// `history`: namespace, 2, node, direction, edge type, edge.
pub(crate) fn former_neighbor(
    namespace: NamespaceId,
    node: Slot,
    direction: Direction,
    edge_type: Symbol,
    edge: Slot,
) -> Key {
    former_type(namespace, node, direction, edge_type).u32(edge.0)
}

/// All retracted edges of one type at a node.
pub(crate) fn former_type(
    namespace: NamespaceId,
    node: Slot,
    direction: Direction,
    edge_type: Symbol,
) -> Key {
    former_node(namespace, node, direction).u32(edge_type.0)
}

/// All retracted edges at a node in one direction.
pub(crate) fn former_node(namespace: NamespaceId, node: Slot, direction: Direction) -> Key {
    former_neighbors(namespace).u32(node.0).u8(direction as u8)
}

/// All retracted edges of a namespace, once at each end.
pub(crate) fn former_neighbors(namespace: NamespaceId) -> Key {
    Key::new(namespace).u8(former::NEIGHBOR)
}

/// What a key of `history` says, without its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Former {
    /// A version of an edge: the edge, and when it was recorded.
    Version(Slot, i64),
    /// A retracted edge: node, direction, type and edge.
    Neighbor(Slot, u8, Symbol, Slot),
}

impl Former {
    /// Reads a key of `history`.
    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let (tag, rest) = key.get(4..)?.split_first()?;
        match (*tag, rest) {
            (former::VERSION, [edge @ .., a, b, c, d, e, f, g, h]) => {
                let at = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) ^ (1 << 63);
                Some(Self::Version(slot_of(edge)?, at.cast_signed()))
            }
            (former::NEIGHBOR, [a, b, c, d, direction @ (0 | 1), e, f, g, h, edge @ ..]) => {
                let (node, of) = ([*a, *b, *c, *d], [*e, *f, *g, *h]);
                let (node, of) = (u32::from_be_bytes(node), u32::from_be_bytes(of));
                Some(Self::Neighbor(Slot(node), *direction, Symbol(of), slot_of(edge)?))
            }
            _ => None,
        }
    }
}

fn slot_of(bytes: &[u8]) -> Option<Slot> {
    Some(Slot(u32::from_be_bytes(bytes.try_into().ok()?)))
}

/// `embeddings`: namespace, space, node, part.
pub(crate) fn embedding(namespace: NamespaceId, space: SpaceId, node: Slot, part: u16) -> Key {
    embedding_node(namespace, space, node).u16(part)
}

/// All parts of a node.
pub(crate) fn embedding_node(namespace: NamespaceId, space: SpaceId, node: Slot) -> Key {
    Key::new(namespace).u16(space.0).u32(node.0)
}

/// `hashes`: namespace, space, hash of the text, node.
pub(crate) fn hash(
    namespace: NamespaceId,
    space: SpaceId,
    content: ContentHash,
    node: Slot,
) -> Key {
    hashes(namespace, space, content).u32(node.0)
}

/// All nodes of one text.
pub(crate) fn hashes(namespace: NamespaceId, space: SpaceId, content: ContentHash) -> Key {
    Key::new(namespace).u16(space.0).bytes(&content.0)
}

/// `expiry`: namespace, when (sign bit inverted), node.
pub(crate) fn expiry(namespace: NamespaceId, at: i64, node: Slot) -> Key {
    Key::new(namespace).u64(at.cast_unsigned() ^ (1 << 63)).u32(node.0)
}

/// What a key of `expiry` says: the namespace, when, and the node.
pub(crate) fn parse_expiry(key: &[u8]) -> Option<(NamespaceId, i64, Slot)> {
    let (namespace, rest) = key.split_first_chunk::<4>()?;
    let (at, node) = rest.split_first_chunk::<8>()?;
    let at = (u64::from_be_bytes(*at) ^ (1 << 63)).cast_signed();
    Some((NamespaceId(u32::from_be_bytes(*namespace)), at, slot_of(node)?))
}

/// `changes`: the system namespace, LSN.
pub(crate) fn change(lsn: Lsn) -> Key {
    Key::new(NamespaceId::SYSTEM).u64(lsn.0)
}

#[cfg(test)]
mod tests {
    use embedded_db_common::clock;
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 3] = [Kind::Node, Kind::Edge, Kind::Embedding];

    proptest! {
        #[test]
        fn the_key_of_an_id_tells_its_kind_and_the_id(
            id in prop_oneof!["[a-c]{1,70}", "\\PC{1,63}"],
            kind in prop::sample::select(&KINDS),
        ) {
            let key = super::id(NamespaceId(7), kind, &id);
            let (found, parts) = kind_and_id(&key).unwrap();
            prop_assert_eq!((found, parts.concat()), (Some(kind), id.into_bytes()));
        }

        #[test]
        fn no_other_bytes_are_taken_for_the_key_of_an_id(key in prop::collection::vec(any::<u8>(), 0..80)) {
            let Some((Some(kind), parts)) = kind_and_id(&key) else { return Ok(()) };
            if let Ok(id) = String::from_utf8(parts.concat()) {
                let namespace = NamespaceId(u32_at(&key, 0).unwrap());
                prop_assert_eq!(super::id(namespace, kind, &id).to_vec(), key);
            }
        }
    }

    #[test]
    fn ids_that_are_made_one_after_the_other_lie_side_by_side() {
        let made: Vec<Key> = (0..50)
            .zip(["message", "contains", "next", "embedding"].iter().cycle())
            .map(|(n, word)| super::id(NamespaceId(1), KINDS[n % 3], &clock::new_id(word)))
            .collect();
        assert!(made.is_sorted_by(|one, two| one.as_slice() < two.as_slice()));
    }
}
