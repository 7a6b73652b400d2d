//! Exact search over the codes of given rows.

use embedded_db_common::Slot;

use super::filtered::{Filter, Nearest};
use super::header::GraphDamage;
use super::pool::Entry;
use super::search::Candidate;
use super::sections::Section;
use super::space::Target;
use super::view::{Finder, GraphView};

/// Rows multiplied together, and between two questions whether to go on.
const BATCH: usize = 256;

impl<'a> GraphView<'a> {
    /// The `count` best of these rows by their codes, of every slot one. `None`: interrupted.
    ///
    /// # Errors
    /// A row that is not there.
    ///
    /// # Panics
    /// If the query has not the graph's dimension.
    pub fn scan(
        &self,
        query: &[f32],
        rows: impl Iterator<Item = u32>,
        count: usize,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Candidate>>, GraphDamage> {
        self.assert_dimension(query);
        let target = self.space.query(query);
        let mut scan = Scan::new(*self, &target, count);
        for row in rows {
            let slot = self.slot(row).ok_or(missing())?;
            if !scan.add(row, slot, interrupt)? {
                return Ok(None);
            }
        }
        let nearest = scan.finish(&mut 0)?;
        let candidates = nearest.entries().iter().map(|&entry| self.candidate(&target, entry));
        candidates.collect::<Result<_, _>>().map(Some)
    }
}

impl Filter<'_> {
    /// The nearest of all rows that may be found. `None`: interrupted.
    pub(super) fn scan(
        &self,
        target: &Target,
        count: usize,
        scanned: &mut usize,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Nearest>, GraphDamage> {
        let mut scan = Scan::new(self.view, target, count);
        let Some(allowed) = self.allowed else {
            for row in 0..self.view.len() as u32 {
                let Some(slot) = self.slot(row) else { continue };
                if !scan.add(row, slot, interrupt)? {
                    return Ok(None);
                }
            }
            return scan.finish(scanned).map(Some);
        };
        let (low, high) = self.slots;
        let (mut finder, mut rows) = (Finder::default(), Vec::new());
        for slot in allowed.range(low.0..=high.0).map(Slot) {
            finder.find(&self.view, slot, &mut rows)?;
            for &row in &rows {
                let is_dead = self.dead.is_some_and(|dead| dead.contains(row));
                if !is_dead && !scan.add(row, slot, interrupt)? {
                    return Ok(None);
                }
            }
        }
        scan.finish(scanned).map(Some)
    }
}

/// A scan under way.
struct Scan<'a> {
    view: GraphView<'a>,
    target: &'a Target,
    nearest: Nearest,
    rows: usize,
    batch: Vec<u32>,
    slots: Vec<Slot>,
    dots: Vec<i32>,
    keys: Vec<u32>,
}

impl<'a> Scan<'a> {
    fn new(view: GraphView<'a>, target: &'a Target, count: usize) -> Self {
        Self {
            view,
            target,
            nearest: Nearest::new(count, view.header.has_parts),
            rows: 0,
            batch: Vec::with_capacity(BATCH),
            slots: Vec::with_capacity(BATCH),
            dots: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// `false`: interrupted.
    #[inline]
    fn add(
        &mut self,
        row: u32,
        slot: Slot,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<bool, GraphDamage> {
        self.batch.push(row);
        self.slots.push(slot);
        if self.batch.len() < BATCH {
            return Ok(true);
        }
        self.measure()?;
        Ok(!interrupt())
    }

    fn measure(&mut self) -> Result<(), GraphDamage> {
        self.view.space.keys_checked(self.target, &self.batch, &mut self.dots, &mut self.keys)?;
        for ((&key, &row), &slot) in self.keys.iter().zip(&self.batch).zip(&self.slots) {
            self.nearest.insert(Entry::new(key, row), slot);
        }
        self.rows += self.batch.len();
        self.batch.clear();
        self.slots.clear();
        Ok(())
    }

    fn finish(mut self, scanned: &mut usize) -> Result<Nearest, GraphDamage> {
        self.measure()?;
        *scanned += self.rows;
        Ok(self.nearest)
    }
}

fn missing() -> GraphDamage {
    GraphDamage::new(Section::Slots, "a row that is not there")
}
