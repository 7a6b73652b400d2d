//! Searching a graph: which way to take, and what was found.

use embedded_db_common::Slot;
use roaring::RoaringBitmap;

use super::effort::Effort;
use super::filtered::{Filter, Nearest};
use super::header::GraphDamage;
use super::pool::Entry;
use super::rule::{FEW_ROWS, Rule};
use super::sections::Section;
use super::space::Target;
use super::view::GraphView;
use super::walk::Scratch;

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub struct GraphRequest<'a> {
    /// Nodes wanted.
    pub k: usize,
    /// How surely.
    pub effort: Effort,
    /// The slots that may be found; all without.
    pub allowed: Option<&'a RoaringBitmap>,
    /// The rows that may not. They are walked over.
    pub dead: Option<&'a RoaringBitmap>,
    /// How many rows the allowed slots have, if that is known.
    pub rows: Option<u64>,
    /// So few rows are looked at one by one.
    pub few: usize,
}

impl Default for GraphRequest<'_> {
    fn default() -> Self {
        let (k, effort, allowed, dead, rows) = Default::default();
        Self { k, effort, allowed, dead, rows, few: FEW_ROWS }
    }
}

/// A row that is probably among the best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The row, which is its slot's best by codes.
    pub row: u32,
    /// Its slot.
    pub slot: Slot,
    /// Its part.
    pub part: u16,
    /// About what it scores.
    pub score: f32,
}

/// How a search went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over the graph.
    Walk,
    /// Over the codes of every row that may be found.
    Scan,
    /// Over the graph, until a scan was the better way.
    WalkThenScan,
}

/// What a search did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it went.
    pub way: Way,
    /// Rows its pool held at most.
    pub pool: usize,
    /// Rows seen in the walk over the base layer.
    pub visited: usize,
    /// Rows scanned.
    pub scanned: usize,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The best by codes, of every slot one; more than were wanted, so that the best by f32 are
    /// among them. Fewer only if fewer may be found.
    pub candidates: Vec<Candidate>,
    /// How.
    pub report: Report,
}

/// What a walk came to.
#[derive(Clone, Debug)]
pub struct Walked {
    /// The best by codes, of every slot one; more than were wanted, so that the best by f32 are among them.
    /// `None`: to look at each row that may be found is the better way, or the only one that finds `k`.
    pub candidates: Option<Vec<Candidate>>,
    /// How.
    pub report: Report,
}

impl GraphRequest<'_> {
    /// Candidates whose f32 values are compared. The errors of codes are smaller than what
    /// separates the tenth row from the twentieth.
    pub(super) fn candidates(&self) -> usize {
        self.k + self.k.max(10)
    }
}

impl<'a> GraphView<'a> {
    /// The nodes whose rows are nearest to the query by their codes. `None`: `interrupt`, asked
    /// every few microseconds, said to stop.
    ///
    /// # Errors
    /// Damage that the search met.
    ///
    /// # Panics
    /// If the query has not the graph's dimension.
    pub fn search(
        &self,
        query: &[f32],
        request: &GraphRequest<'_>,
        scratch: &mut Scratch,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Found>, GraphDamage> {
        self.assert_dimension(query);
        let target = self.space.query(query);
        self.search_target(&target, request, scratch, interrupt)
    }

    pub(super) fn assert_dimension(&self, query: &[f32]) {
        assert_eq!(query.len(), self.dim(), "a query of the graph's dimension");
    }

    pub(super) fn search_target(
        &self,
        target: &Target,
        request: &GraphRequest<'_>,
        scratch: &mut Scratch,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Found>, GraphDamage> {
        let Some(walked) = self.walk_target(target, request, scratch, interrupt)? else {
            return Ok(None);
        };
        let mut report = walked.report;
        if let Some(candidates) = walked.candidates {
            return Ok(Some(Found { candidates, report }));
        }
        let filter = Filter::new(self, request)?;
        let scan = filter.scan(target, request.candidates(), &mut report.scanned, interrupt)?;
        let Some(nearest) = scan else { return Ok(None) };
        let candidates = self.candidates(target, &nearest, request)?;
        Ok(Some(Found { candidates, report }))
    }

    /// Searches by a walk alone. `None`: interrupted.
    ///
    /// # Errors
    /// Damage that the walk met.
    ///
    /// # Panics
    /// If the query has not the graph's dimension.
    pub fn walk(
        &self,
        query: &[f32],
        request: &GraphRequest<'_>,
        scratch: &mut Scratch,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Walked>, GraphDamage> {
        self.assert_dimension(query);
        let target = self.space.query(query);
        self.walk_target(&target, request, scratch, interrupt)
    }

    fn walk_target(
        &self,
        target: &Target,
        request: &GraphRequest<'_>,
        scratch: &mut Scratch,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Walked>, GraphDamage> {
        let pool = request.effort.pool(&self.header, request.k).max(request.candidates());
        let mut report = Report { way: Way::Scan, pool, visited: 0, scanned: 0 };
        let filter = Filter::new(self, request)?;
        let may_be_found = filter.rows();
        if request.k == 0 || may_be_found == 0.0 {
            return Ok(Some(Walked { candidates: Some(Vec::new()), report }));
        }
        let mut rule = Rule::new(may_be_found, filter.share(), pool);
        if rule.scans_at_once(request.few as f64) {
            return Ok(Some(Walked { candidates: None, report }));
        }
        report.way = Way::Walk;
        let Some(entries) = self.descend(target, scratch, interrupt)? else { return Ok(None) };
        let nearest = if filter.passes_all() {
            let base = self.base();
            if !scratch.nearest(&base, &self.space, target, &entries, pool, interrupt)? {
                return Ok(None);
            }
            Some(Nearest::of_pool(&scratch.pool))
        } else {
            let walk = filter.walk(target, &entries, &mut rule, scratch, interrupt)?;
            report.pool = rule.pool;
            let Some(nearest) = walk else { return Ok(None) };
            nearest
        };
        report.visited = scratch.walk.visited.len();
        // A walk that does not find enough does not know whether there is more.
        let candidates = match nearest.filter(|nearest| nearest.len() >= request.k) {
            Some(nearest) => Some(self.candidates(target, &nearest, request)?),
            None => {
                report.way = Way::WalkThenScan;
                None
            }
        };
        Ok(Some(Walked { candidates, report }))
    }

    fn candidates(
        &self,
        target: &Target,
        nearest: &Nearest,
        request: &GraphRequest<'_>,
    ) -> Result<Vec<Candidate>, GraphDamage> {
        let best = nearest.entries().iter().take(request.candidates());
        best.map(|&entry| self.candidate(target, entry)).collect()
    }

    pub(super) fn candidate(
        &self,
        target: &Target,
        entry: Entry,
    ) -> Result<Candidate, GraphDamage> {
        let row = entry.node();
        let missing = |section| GraphDamage::new(section, "a row that is not there");
        Ok(Candidate {
            row,
            slot: self.slot(row).ok_or(missing(Section::Slots))?,
            part: self.part(row).ok_or(missing(Section::Parts))?,
            score: self.space.score(target, entry.key()),
        })
    }

    /// Where to begin in the base layer: the row that the layers above lead to, and the one from
    /// which every row can be reached. `None`: interrupted.
    fn descend(
        &self,
        target: &Target,
        scratch: &mut Scratch,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<[u32; 2]>, GraphDamage> {
        let mut node = self.header.entry;
        for layer in (1..self.header.layers as usize).rev() {
            let layer = self.upper(layer);
            if !scratch.nearest(&layer, &self.space, target, &[node], 1, interrupt)? {
                return Ok(None);
            }
            node = scratch.pool.entries().first().map_or(node, |nearest| nearest.node());
        }
        Ok(Some([self.upper_row(node)?, self.upper_row(self.header.entry)?]))
    }

    pub(super) fn upper_row(&self, node: u32) -> Result<u32, GraphDamage> {
        let row = self.upper_rows.get(node as usize).filter(|&row| (row as usize) < self.len());
        row.ok_or(GraphDamage::new(Section::UpperRows, "a row that is not there"))
    }
}
