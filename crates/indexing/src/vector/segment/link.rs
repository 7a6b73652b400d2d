//! One file with a graph, of several.

use std::sync::Arc;

use embedded_db_common::{Error, Result};
use embedded_db_storage::SegmentWriter;
use roaring::RoaringBitmap;

use super::super::Metric;
use super::super::graph::{BuildOptions, Graph, RowCodes, Section, build, merge};
use super::write::finish;
use super::{RowRecord, VectorSegment, kind_of, section};

/// Rows written between two questions whether to go on.
const ROWS_PER_QUESTION: usize = 4096;

/// Files, older ones first. The graph of the first one is kept.
pub(crate) struct Linking<'a> {
    pub(crate) files: &'a [Arc<VectorSegment>],
    pub(crate) metric: Metric,
    pub(crate) dim: usize,
    /// Whether no file is older.
    pub(crate) first: bool,
}

/// Rows of the files with the graph over them.
pub(crate) struct LinkedRows {
    graph: Graph,
    dead: RoaringBitmap,
    /// The rows of the graph, then the others: each by its file and its number there.
    places: Vec<(u32, u32)>,
    nodes: RoaringBitmap,
}

impl Linking<'_> {
    /// Links all rows, in memory. Who asks for the end by `going_on` gets its error. `None`: a file is damaged.
    pub(crate) fn link(
        &self,
        going_on: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Option<LinkedRows>> {
        let Some(dead) = self.dead(going_on)? else { return Ok(None) };
        let base = self.files.first().filter(|file| file.linked() > 0);
        let (mut linked, mut loose, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
        for (file, (segment, dead)) in (0..).zip(self.files.iter().zip(&dead)) {
            let kept = if file == 0 { segment.linked() } else { 0 };
            for row in (kept..segment.rows()).filter(|row| !dead.contains(*row)) {
                let Some(record) = segment.record(row) else { return Ok(None) };
                fresh.push((record.slot, record.part, file, row));
            }
        }
        fresh.sort_unstable();
        let mut rows = RowCodes::new(self.dim, self.metric);
        rows.reserve(fresh.len());
        for &(slot, part, file, row) in &fresh {
            let segment = &self.files[file as usize];
            let Some((record, codes)) = segment.record(row).zip(segment.codes_of(row)) else {
                return Ok(None);
            };
            let place =
                if rows.adopt(slot, part, codes, record.scale) { &mut linked } else { &mut loose };
            place.push((file, row));
        }
        let stop = || going_on().is_err();
        let stopped = || going_on().err().unwrap_or(Error::Interrupted);
        let (graph, dead, mut places) = match base {
            None => {
                let graph = build(rows, &BuildOptions::default(), &stop).ok_or_else(stopped)?;
                (graph, RoaringBitmap::new(), Vec::new())
            }
            Some(base) => {
                let Some(view) = base.graph() else { return Ok(None) };
                // Its other rows are among the new ones, unless they are dead.
                let mut dead = dead[0].clone();
                dead.remove_range(base.linked()..);
                let Ok(merged) = merge(&view, &dead, &rows, 1, &stop) else { return Ok(None) };
                let merged = merged.ok_or_else(stopped)?;
                let is_kept = |row: &u32| !merged.dead.is_empty() || !dead.contains(*row);
                let old = (0..base.linked()).filter(is_kept).map(|row| (0, row)).collect();
                (merged.graph, merged.dead, old)
            }
        };
        places.append(&mut linked);
        places.append(&mut loose);
        let nodes = self.nodes(&places, &dead);
        Ok(Some(LinkedRows { graph, dead, places, nodes }))
    }

    /// The dead rows of each file; `None` when one is damaged.
    fn dead(
        &self,
        going_on: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Option<Vec<RoaringBitmap>>> {
        let (mut later, mut out) = (RoaringBitmap::new(), Vec::new());
        for file in self.files.iter().rev() {
            going_on()?;
            out.push(file.dead_with(&later));
            later |= file.nodes();
            // All of it is read now, and links are followed where they lead.
            if !file.file().check_all() {
                return Ok(None);
            }
        }
        out.reverse();
        Ok(Some(out))
    }

    fn nodes(&self, places: &[(u32, u32)], dead: &RoaringBitmap) -> RoaringBitmap {
        let told = self.files.iter().fold(RoaringBitmap::new(), |all, file| all | file.nodes());
        if !self.first {
            return told;
        }
        let living = (0..).zip(places).filter(|(row, _)| !dead.contains(*row));
        let slot = |(_, place): (u32, &(u32, u32))| self.record(*place).map(|record| record.slot.0);
        told & living.filter_map(slot).collect::<RoaringBitmap>()
    }

    fn record(&self, (file, row): (u32, u32)) -> Option<RowRecord> {
        self.files.get(file as usize)?.record(row)
    }

    /// Writes the rows with their graph; how many there are. `None`: a file is damaged.
    pub(crate) fn write(
        &self,
        rows: &LinkedRows,
        out: &mut SegmentWriter,
        going_on: &dyn Fn() -> Result<()>,
    ) -> Result<Option<u32>> {
        let LinkedRows { graph, dead, places, nodes } = rows;
        let linked = graph.view().len();
        let mut slots = RoaringBitmap::new();
        let mut several = false;
        out.begin_section(section::ROWS)?;
        for (number, place) in places.iter().enumerate() {
            let Some(record) = self.record(*place) else { return Ok(None) };
            several |= !slots.insert(record.slot.0);
            out.write(&record.encode())?;
            if number.is_multiple_of(ROWS_PER_QUESTION) {
                going_on()?;
            }
        }
        out.begin_section(section::CODES)?;
        out.write(graph.section(Section::Codes))?;
        for &(file, row) in &places[linked..] {
            let Some(codes) = self.files[file as usize].codes_of(row) else { return Ok(None) };
            out.write(codes)?;
        }
        if linked > 0 {
            for section in Section::ALL.into_iter().filter(|section| *section != Section::Codes) {
                going_on()?;
                out.begin_section(kind_of(section))?;
                out.write(graph.section(section))?;
            }
        }
        let header = [self.dim as u32, places.len() as u32, linked as u32, several.into()];
        finish(out, header, nodes, dead)?;
        Ok(Some(places.len() as u32))
    }
}
