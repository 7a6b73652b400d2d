//! Packed neighbours: per node, direction and edge type, chunks of (neighbour, edge) in the order
//! of the edges' slots.
//!
//! Edge slots only grow, so a new edge always goes to the end of the last chunk. A chunk's key holds
//! a lower bound of its edge slots.

use embedded_db_common::Slot;
use embedded_db_common::record::{Damaged, Read};

const ENTRY: usize = 8;
/// Entries of a full chunk. Each new edge writes the last chunk anew, so that it is short enough to lie in a
/// leaf, not in a page of its own.
pub(crate) const CHUNK_ENTRIES: usize = 120;

/// One end of an edge as seen from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    /// The node at the other end.
    pub node: Slot,
    /// The edge between.
    pub edge: Slot,
}

pub(crate) fn push(chunk: &mut Vec<u8>, neighbor: Neighbor) {
    chunk.extend_from_slice(&neighbor.node.0.to_le_bytes());
    chunk.extend_from_slice(&neighbor.edge.0.to_le_bytes());
}

/// Reads a chunk's payload.
pub(crate) fn entries(
    payload: &[u8],
) -> Read<impl ExactSizeIterator<Item = Neighbor> + DoubleEndedIterator + '_> {
    let (chunks, rest) = payload.as_chunks::<ENTRY>();
    if !rest.is_empty() {
        return Err(Damaged("holds a part of an entry"));
    }
    Ok(chunks.iter().map(|&[a, b, c, d, e, f, g, h]| Neighbor {
        node: Slot(u32::from_le_bytes([a, b, c, d])),
        edge: Slot(u32::from_le_bytes([e, f, g, h])),
    }))
}
