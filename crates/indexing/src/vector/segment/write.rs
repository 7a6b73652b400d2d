//! Writing files: what has changed, with what smaller files say.

use std::sync::Arc;

use embedded_db_common::{Result, Slot};
use embedded_db_storage::SegmentWriter;
use roaring::RoaringBitmap;

use super::super::Metric;
use super::super::quantize::{fingerprint, quantize_row};
use super::{RowRecord, VERSION, VectorSegment, section};

/// Bytes of codes that are gathered before they are written.
const MOST_CODES: usize = 64 << 20;
/// Rows written between two questions whether to go on.
const ROWS_PER_QUESTION: usize = 4096;

/// Nodes with their vectors on their way into a file.
pub(crate) struct Draft {
    metric: Metric,
    dim: usize,
    rows: Vec<RowRecord>,
    codes: Vec<u8>,
    /// All nodes that it tells of.
    nodes: RoaringBitmap,
}

impl Draft {
    pub(crate) fn new(metric: Metric, dim: usize) -> Self {
        let (rows, codes, nodes) = Default::default();
        Self { metric, dim, rows, codes, nodes }
    }

    /// A node with its parts, each once.
    pub(crate) fn add(&mut self, slot: Slot, parts: &[(u16, &[f32])]) {
        for &(part, vector) in parts {
            let begin = self.codes.len();
            self.codes.resize(begin + self.dim, 0);
            let scale = quantize_row(self.metric, vector, &mut self.codes[begin..]);
            self.rows.push(RowRecord { slot, part, scale, fingerprint: fingerprint(vector) });
        }
        self.nodes.insert(slot.0);
    }

    /// Whether it is so large that the next node belongs into another file.
    pub(crate) fn is_full(&self) -> bool {
        self.codes.len() >= MOST_CODES
    }

    /// Nodes that it tells of.
    pub(crate) fn len(&self) -> u64 {
        self.nodes.len()
    }

    /// Writes this, and what older files say of other nodes, older ones first; how many rows that are. `first`
    /// says that no file is older: what is gone needs not be told. The files have no graphs.
    pub(crate) fn write(
        &self,
        merged: &[Arc<VectorSegment>],
        first: bool,
        out: &mut SegmentWriter,
        going_on: &dyn Fn() -> Result<()>,
    ) -> Result<u32> {
        let mut nodes = self.nodes.clone();
        let codes = self.codes.chunks_exact(self.dim);
        let own = self.rows.iter().copied().zip(codes);
        let mut places: Vec<(RowRecord, &[u8])> = own.collect();
        for file in merged.iter().rev() {
            debug_assert_eq!(file.linked(), 0);
            for row in 0..file.rows() {
                let Some(place) = file.record(row).zip(file.codes_of(row)) else { continue };
                if !nodes.contains(place.0.slot.0) {
                    places.push(place);
                }
            }
            nodes |= file.nodes();
            going_on()?;
        }
        places.sort_by_key(|(record, _)| (record.slot, record.part));
        if first {
            nodes = places.iter().map(|(record, _)| record.slot.0).collect();
        }
        out.begin_section(section::ROWS)?;
        for (record, _) in &places {
            out.write(&record.encode())?;
        }
        out.begin_section(section::CODES)?;
        for (number, (_, codes)) in places.iter().enumerate() {
            out.write(codes)?;
            if number.is_multiple_of(ROWS_PER_QUESTION) {
                going_on()?;
            }
        }
        let several = places.windows(2).any(|pair| pair[0].0.slot == pair[1].0.slot);
        let rows = places.len() as u32;
        finish(out, [self.dim as u32, rows, 0, several.into()], &nodes, &RoaringBitmap::new())?;
        Ok(rows)
    }
}

/// Writes what is left: the nodes, the dead rows, and the header, without its version.
pub(super) fn finish(
    out: &mut SegmentWriter,
    header: [u32; 4],
    nodes: &RoaringBitmap,
    dead: &RoaringBitmap,
) -> Result<()> {
    for (kind, bitmap) in [(section::NODES, nodes), (section::DEAD, dead)] {
        let mut bytes = Vec::with_capacity(bitmap.serialized_size());
        bitmap.serialize_into(&mut bytes).map_err(|error| {
            embedded_db_common::Error::Internal(format!(
                "a bitmap does not go into memory: {error}"
            ))
        })?;
        out.begin_section(kind)?;
        out.write(&bytes)?;
    }
    out.begin_section(section::HEADER)?;
    for number in [VERSION].into_iter().chain(header) {
        out.write(&number.to_le_bytes())?;
    }
    Ok(())
}
