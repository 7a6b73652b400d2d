//! Searching files and tail.
//!
//! What is scanned is found exactly: codes are compared, every row whose true score could still be among the best
//! k is kept (see the bound in `quantize`), and the f32 values of these are read. Of a file with a graph a walk gives
//! such rows, unless few may be found, the filter is against the query, or none may be missed: then its rows are scanned
//! as others are.

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::ops::Range;

use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::block::{BLOCK_ROWS, Block, RowId, RowScale};
use super::exact::ExactQuery;
use super::graph::{Effort, GraphRequest, Scratch};
use super::part::Part;
use super::quantize::QuantizedQuery;
use super::segment::{Lookup, RowRecord};
use super::shortlist::{Best, Candidate, Rank, Shortlist, is_better_part};
use super::sources::{Place, Sources};
use super::{RowSource, VectorHit, VectorTail};
use crate::hashing::FastMap;
use crate::kernels::Kernels;

/// Codes beyond this many bytes come from memory, not from a cache.
const CACHED_BYTES: usize = 16 << 20;

/// What a row costs: ns, and ns per dimension.
#[derive(Clone, Copy)]
struct Cost(f64, f64);

/// A row in a scan of all, and an allowed slot that is looked up; measured on Zen 4.
const CACHED_COSTS: (Cost, Cost) = (Cost(1.0, 0.012), Cost(15.0, 0.02));
const MEMORY_COSTS: (Cost, Cost) = (Cost(1.0, 0.04), Cost(18.0, 0.035));

/// Rows looked up before they are multiplied together.
const LOOKUP_BATCH: usize = 256;

/// Rows looked at together, for whether any is worth a closer look.
const GLANCE_ROWS: usize = 16;

/// A graph with less than one part in this many of the rows of the largest is searched with less effort.
const SMALL_SHARE: u32 = 4;

/// Rows read between two questions whether to go on.
const READS_PER_QUESTION: usize = 64;

thread_local! {
    /// What walks work with. Whoever searches takes it, and gives it back.
    pub(super) static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// What to search for.
#[derive(Clone, Copy, Debug, Default)]
pub struct VectorRequest<'a> {
    /// Nodes wanted.
    pub k: usize,
    /// The slots that may be found; all without.
    pub allowed: Option<&'a RoaringBitmap>,
    /// How surely the best are found of what graphs are walked for.
    pub effort: Effort,
    /// Whether none of the best may be missed: graphs are not used.
    pub exact: bool,
}

/// What a search did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VectorReport {
    /// Graphs that were walked over.
    pub walks: usize,
    /// Of these, how many did not find enough, or turned out dearer than a scan.
    pub given_up: usize,
    /// Rows seen on walks.
    pub visited: usize,
    /// Rows whose codes were compared beside that.
    pub scanned: usize,
    /// Rows whose f32 values were compared.
    pub read: usize,
}

impl std::fmt::Display for VectorReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { walks, given_up, visited, scanned, read } = self;
        if *walks > 0 {
            let graphs = if *walks == 1 { "graph" } else { "graphs" };
            write!(f, "{walks} {graphs}, {visited} rows seen; ")?;
        }
        if *given_up > 0 {
            write!(f, "{given_up} of these given up; ")?;
        }
        write!(f, "int8 scan, {scanned} rows; f32 rerank, {read} rows")
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Best first.
    pub hits: Vec<VectorHit>,
    /// How.
    pub report: VectorReport,
}

impl VectorTail {
    /// The `k` best nodes at `at`, best first, equal scores by slot; fewer only if fewer
    /// qualify. A node's score is its best part's. `allowed` restricts the slots. `None` means
    /// that `interrupt`, asked every few microseconds, said to stop.
    ///
    /// The scores and their order are those of f32 vectors. How many rows are read depends on
    /// how close the scores lie: every row whose int8 score is within the bound of the k-th
    /// best, usually 1–4 k; rows of equal values are read once.
    ///
    /// # Errors
    /// What `rows` says.
    ///
    /// # Panics
    /// If the query has not the tail's dimension.
    pub fn search<R: RowSource>(
        &self,
        query: &[f32],
        at: Lsn,
        allowed: Option<&RoaringBitmap>,
        k: usize,
        rows: &mut R,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<VectorHit>>, R::Error> {
        let sources = Sources { parts: &[], tail: self };
        let request = VectorRequest { k, allowed, ..VectorRequest::default() };
        let found = search(sources, 0, query, at, &request, rows, interrupt)?;
        Ok(found.map(|found| found.hits))
    }

    /// The exact score of the node's best part at `at`; `None` if it has no vector then.
    ///
    /// # Errors
    /// What `rows` says.
    ///
    /// # Panics
    /// If the query has not the tail's dimension.
    pub fn score<R: RowSource>(
        &self,
        query: &[f32],
        at: Lsn,
        slot: Slot,
        rows: &mut R,
    ) -> Result<Option<VectorHit>, R::Error> {
        assert_eq!(query.len(), self.dim, "a query of the tail's dimension");
        let exact = ExactQuery::new(self.metric, self.kernels, query);
        let parts = self.visible_rows(slot, at).map(|id| self.row(id).part);
        best_part(&exact, self.dim, slot, parts, rows)
    }
}

/// The exact score of the best of a node's parts; `None` if `rows` has none of them.
pub(super) fn best_part<R: RowSource>(
    exact: &ExactQuery<'_>,
    dim: usize,
    slot: Slot,
    parts: impl IntoIterator<Item = u16>,
    rows: &mut R,
) -> Result<Option<VectorHit>, R::Error> {
    let mut vector = vec![0.0; dim];
    let mut best: Option<VectorHit> = None;
    for part in parts {
        if rows.row(slot, part, &mut vector)? {
            let hit = VectorHit { slot, part, score: exact.score(&vector) };
            if best.is_none_or(|best| is_better_part(&hit, &best)) {
                best = Some(hit);
            }
        }
    }
    Ok(best)
}

/// Searches all sources; `few` rows of a graph are looked at one by one.
pub(super) fn search<R: RowSource>(
    sources: Sources<'_>,
    few: usize,
    query: &[f32],
    at: Lsn,
    request: &VectorRequest<'_>,
    rows: &mut R,
    interrupt: &mut dyn FnMut() -> bool,
) -> Result<Option<Found>, R::Error> {
    let VectorTail { dim, metric, kernels, .. } = *sources.tail;
    assert_eq!(query.len(), dim, "a query of the index's dimension");
    let report = VectorReport::default();
    if request.k == 0 || sources.held() == 0 {
        return Ok(Some(Found { hits: Vec::new(), report }));
    }
    let codes = QuantizedQuery::new(metric, query);
    let shortlist = Shortlist::new(request.k, sources.has_parts());
    let mut search =
        Search { sources, few, query, codes: &codes, at, request, kernels, shortlist, report };
    if !search.find(interrupt) {
        return Ok(None);
    }
    search.look_again();
    let exact = ExactQuery::new(metric, kernels, query);
    let exact = (!codes.scores_nothing()).then_some(exact);
    let hits = search.rank(exact.as_ref(), rows, interrupt)?;
    Ok(hits.map(|hits| Found { hits, report: search.report }))
}

struct Search<'a> {
    sources: Sources<'a>,
    few: usize,
    query: &'a [f32],
    codes: &'a QuantizedQuery,
    at: Lsn,
    request: &'a VectorRequest<'a>,
    kernels: Kernels,
    shortlist: Shortlist,
    report: VectorReport,
}

/// What came of a walk.
enum Walk {
    Found,
    /// The rows are to be scanned.
    Scan,
    Interrupted,
}

impl<'a> Search<'a> {
    /// Finds the rows that could be among the best. `false`: interrupted.
    fn find(&mut self, interrupt: &mut dyn FnMut() -> bool) -> bool {
        self.tail(interrupt)
            && (0..self.sources.parts.len()).all(|part| self.part(part as u32, interrupt))
    }

    fn tail(&mut self, interrupt: &mut dyn FnMut() -> bool) -> bool {
        let tail = self.sources.tail;
        match self.request.allowed {
            Some(allowed) if lookup_is_cheaper(allowed.len(), tail.held, tail.dim) => {
                self.look_up_in_tail(allowed, interrupt)
            }
            allowed => self.scan_tail(allowed, interrupt),
        }
    }

    fn part(&mut self, number: u32, interrupt: &mut dyn FnMut() -> bool) -> bool {
        let part = &self.sources.parts[number as usize];
        let segment = part.segment();
        // Of a filter that all nodes of the file pass nothing is asked.
        let allowed = self.request.allowed.map(|allowed| allowed & segment.nodes());
        if allowed.as_ref().is_some_and(RoaringBitmap::is_empty) {
            return true;
        }
        let allowed = allowed.filter(|allowed| allowed.len() < segment.nodes().len());
        let mut from = 0;
        if segment.linked() > 0 && !self.request.exact && !self.codes.scores_nothing() {
            match self.walk(number, part, allowed.as_ref(), interrupt) {
                Walk::Found => from = segment.linked(),
                Walk::Scan => {}
                Walk::Interrupted => return false,
            }
        }
        let rows = from..segment.rows();
        match &allowed {
            Some(allowed) if lookup_is_cheaper(allowed.len(), rows.len(), self.query.len()) => {
                self.look_up_in_file(number, part, allowed, from, interrupt)
            }
            _ => self.scan_file(number, part, rows, allowed.as_ref(), interrupt),
        }
    }

    /// How surely a graph of so many rows is searched. One that is much smaller than another holds few of the best.
    fn effort_for(&self, rows: u32) -> Effort {
        let all = self.sources.parts.iter().map(|part| part.segment().linked());
        let largest = all.max().unwrap_or(0);
        let effort = self.request.effort;
        if rows < largest / SMALL_SHARE { effort.lower() } else { effort }
    }

    /// Adds what a walk over the graph finds.
    fn walk(
        &mut self,
        number: u32,
        part: &Part,
        allowed: Option<&RoaringBitmap>,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Walk {
        let segment = part.segment();
        let Some(graph) = segment.graph() else { return Walk::Scan };
        let dead = part.dead(self.at);
        let per_node = f64::from(segment.rows()) / segment.nodes().len().max(1) as f64;
        // None only if there are none: most of the nodes may be told to have no vector.
        let rows = |allowed: &RoaringBitmap| (allowed.len() as f64 * per_node).ceil() as u64;
        let request = GraphRequest {
            k: self.request.k,
            effort: self.effort_for(segment.linked()),
            allowed,
            dead: Some(&dead),
            rows: allowed.map(rows),
            few: self.few,
        };
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let walked = graph.walk(self.query, &request, &mut scratch, interrupt);
        SCRATCH.set(Some(scratch));
        let walked = match walked {
            Ok(Some(walked)) => walked,
            Ok(None) => return Walk::Interrupted,
            Err(_) => {
                segment.file().damage();
                return Walk::Found;
            }
        };
        if walked.report.visited > 0 {
            self.report.walks += 1;
            self.report.visited += walked.report.visited;
            self.report.given_up += usize::from(walked.candidates.is_none());
        }
        let Some(candidates) = walked.candidates else { return Walk::Scan };
        let mut batch = Batch::default();
        if segment.has_parts() {
            // The best part by codes need not be the best.
            let mut slots: Vec<Slot> = candidates.iter().map(|found| found.slot).collect();
            slots.sort_unstable();
            let (mut lookup, mut rows) = (Lookup::new(segment), Vec::new());
            for slot in slots {
                lookup.find(slot, &mut rows);
                let seen = rows.iter().filter(|row| !dead.contains(**row));
                seen.for_each(|row| self.add_row(number, part, *row, &mut batch));
            }
        } else {
            let rows = candidates.iter().map(|found| found.row);
            rows.for_each(|row| self.add_row(number, part, row, &mut batch));
        }
        self.measure(&mut batch);
        Walk::Found
    }

    /// Goes over all blocks of the tail. `false`: interrupted.
    fn scan_tail(
        &mut self,
        allowed: Option<&RoaringBitmap>,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> bool {
        let mut dots = [0; BLOCK_ROWS];
        for (index, block) in self.sources.tail.blocks.iter().enumerate() {
            let Some(block) = block else { continue };
            if interrupt() {
                return false;
            }
            let Some(allowed) = restriction(block, allowed) else { continue };
            let dots = &mut dots[..block.len()];
            self.kernels.dot_rows(self.codes.first(), block.codes(), dots);
            let at = self.at;
            self.glance(dots, block.scales(), |offset| {
                let row = block.row(offset);
                let passes = || allowed.is_none_or(|allowed| allowed.contains(row.slot.0));
                let place = Place::Tail(RowId::new(index, offset));
                (row.is_visible(at) && passes()).then_some((place, row.slot, row.part))
            });
        }
        true
    }

    /// Goes over rows of a file. `false`: interrupted.
    fn scan_file(
        &mut self,
        number: u32,
        part: &Part,
        rows: Range<u32>,
        allowed: Option<&RoaringBitmap>,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> bool {
        let (mut dots, mut scales) = ([0; BLOCK_ROWS], [[0.0; BLOCK_ROWS]; 3]);
        for begin in rows.clone().step_by(BLOCK_ROWS) {
            if interrupt() {
                return false;
            }
            let rows = begin..rows.end.min(begin + BLOCK_ROWS as u32);
            let (records, codes) =
                (part.segment().records(rows.clone()), part.segment().codes(rows.clone()));
            if records.len() != rows.len() || codes.is_empty() {
                // Damaged: what is found counts for nothing.
                return true;
            }
            for (at, record) in records.iter().enumerate() {
                let RowScale { scale, error, norm } = RowRecord::decode(record).scale;
                (scales[0][at], scales[1][at], scales[2][at]) = (scale, error, norm);
            }
            let dots = &mut dots[..rows.len()];
            self.kernels.dot_rows(self.codes.first(), codes, dots);
            let scales = scales.each_ref().map(|numbers| &numbers[..rows.len()]);
            let at = self.at;
            self.glance(dots, scales, |offset| {
                let (record, row) = (RowRecord::decode(&records[offset]), begin + offset as u32);
                let passes = || allowed.is_none_or(|allowed| allowed.contains(record.slot.0));
                let place = Place::File(number, row);
                (passes() && part.is_visible(row, at)).then_some((place, record.slot, record.part))
            });
        }
        true
    }

    /// Keeps those of the rows that could be among the best. Of such `row` is asked where they are, if they may be
    /// found.
    #[inline(always)]
    fn glance(
        &mut self,
        dots: &[i32],
        scales: [&[f32]; 3],
        row: impl Fn(usize) -> Option<(Place, Slot, u16)>,
    ) {
        let mut uppers = [0.0; BLOCK_ROWS];
        let uppers = &mut uppers[..dots.len()];
        self.report.scanned += dots.len();
        self.codes.first_uppers(dots, scales, uppers);
        for (glance, uppers) in uppers.chunks(GLANCE_ROWS).enumerate() {
            if largest(uppers) < self.shortlist.cut {
                continue;
            }
            for (offset, &upper) in (glance * GLANCE_ROWS..).zip(uppers) {
                if upper < self.shortlist.cut {
                    continue;
                }
                let Some((place, slot, part)) = row(offset) else { continue };
                let dot = dots[offset];
                let [scale, error, norm] = scales.map(|numbers| numbers[offset]);
                let (lower, upper) = self.codes.first_bounds(dot, RowScale { scale, error, norm });
                self.shortlist.add(Candidate { upper, lower, dot, place, slot, part });
            }
        }
    }

    /// Goes over the allowed slots in the tail. `false`: interrupted.
    fn look_up_in_tail(
        &mut self,
        allowed: &RoaringBitmap,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> bool {
        let tail = self.sources.tail;
        let mut batch = Batch::default();
        for slot in allowed.iter().map(Slot) {
            for id in tail.visible_rows(slot, self.at) {
                let (block, row) = (tail.block(id), tail.row(id));
                let (codes, scale) = (block.codes_of(id.offset()), block.scale_of(id.offset()));
                batch.push(Place::Tail(id), slot, row.part, codes, scale);
            }
            if batch.is_full() {
                self.scan(&mut batch);
                if interrupt() {
                    return false;
                }
            }
        }
        self.scan(&mut batch);
        true
    }

    /// Goes over the allowed slots in a file, for rows from `from` on. `false`: interrupted.
    fn look_up_in_file(
        &mut self,
        number: u32,
        part: &'a Part,
        allowed: &RoaringBitmap,
        from: u32,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> bool {
        if from == part.segment().rows() {
            return true;
        }
        let (mut lookup, mut rows) = (Lookup::new(part.segment()), Vec::new());
        let mut batch = Batch::default();
        for slot in allowed.iter().map(Slot) {
            lookup.find(slot, &mut rows);
            let seen = |row: &&u32| **row >= from && part.is_visible(**row, self.at);
            rows.iter().filter(seen).for_each(|row| self.add_row(number, part, *row, &mut batch));
            if batch.is_full() {
                self.scan(&mut batch);
                if interrupt() {
                    return false;
                }
            }
        }
        self.scan(&mut batch);
        true
    }

    fn add_row(&self, number: u32, part: &'a Part, row: u32, batch: &mut Batch<'a>) {
        let (segment, place) = (part.segment(), Place::File(number, row));
        if let Some((record, codes)) = segment.record(row).zip(segment.codes_of(row)) {
            batch.push(place, record.slot, record.part, codes, record.scale);
        }
    }

    /// Measures rows that no walk has led to.
    fn scan(&mut self, batch: &mut Batch<'_>) {
        self.report.scanned += batch.len();
        self.measure(batch);
    }

    /// Keeps those of the batch that could be among the best, and empties it.
    fn measure(&mut self, batch: &mut Batch<'_>) {
        let Batch { rows, codes, dots } = batch;
        dots.clear();
        dots.resize(codes.len(), 0);
        self.kernels.dot_scattered(self.codes.first(), codes, dots);
        for (&(place, slot, part, scale), &dot) in rows.iter().zip(&*dots) {
            let (lower, upper) = self.codes.first_bounds(dot, scale);
            if upper >= self.shortlist.cut {
                self.shortlist.add(Candidate { upper, lower, dot, place, slot, part });
            }
        }
        batch.clear();
    }

    /// Narrows the bounds of the candidates by the second level of the query's codes.
    fn look_again(&mut self) {
        let Self { sources, codes: query, kernels, shortlist, .. } = self;
        shortlist.shrink();
        if shortlist.kept.len() <= shortlist.k || query.scores_nothing() {
            return;
        }
        // One whose codes are damaged is not looked at again: what is found counts for nothing.
        let whole = |candidate: &Candidate| {
            sources.codes(candidate.place).zip(sources.scale(candidate.place))
        };
        let (mut codes, mut dots) = (Vec::new(), Vec::new());
        for candidates in shortlist.kept.chunks_mut(LOOKUP_BATCH) {
            codes.clear();
            codes.extend(candidates.iter().filter_map(|it| whole(it).map(|(codes, _)| codes)));
            if codes.len() != candidates.len() {
                return;
            }
            dots.clear();
            dots.resize(codes.len(), 0);
            kernels.dot_scattered(query.second(), &codes, &mut dots);
            for (candidate, &second) in candidates.iter_mut().zip(&dots) {
                let Some((_, scale)) = whole(candidate) else { continue };
                let (lower, upper) = query.second_bounds(candidate.dot, second, scale);
                candidate.lower = candidate.lower.max(lower);
                candidate.upper = candidate.upper.min(upper);
            }
        }
        shortlist.shrink();
    }

    /// Reads candidates, the most promising first, until no other can be among the best.
    /// Without `exact` every score is 0.
    fn rank<R: RowSource>(
        &mut self,
        exact: Option<&ExactQuery<'_>>,
        rows: &mut R,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<VectorHit>>, R::Error> {
        let mut best = Best::new(self.shortlist.k);
        let mut known = KnownScores::default();
        let mut vector = vec![0.0; self.query.len()];
        let mut promising = BinaryHeap::from(std::mem::take(&mut self.shortlist.kept));
        for turn in 0.. {
            let Some(candidate) = promising.pop() else { break };
            let Candidate { upper, place, slot, part, .. } = candidate;
            if !best.admits(Rank { score: upper, slot }) {
                break;
            }
            if turn % READS_PER_QUESTION == 0 && interrupt() {
                return Ok(None);
            }
            if best.score_of(slot).is_some_and(|score| upper < score) {
                continue;
            }
            let score = match exact {
                None => 0.0,
                Some(exact) => match known.get(self.sources, place) {
                    Some(score) => score,
                    None if rows.row(slot, part, &mut vector)? => {
                        self.report.read += 1;
                        let score = exact.score(&vector);
                        known.set(self.sources, place, score);
                        score
                    }
                    None => continue,
                },
            };
            best.add(VectorHit { slot, part, score });
        }
        Ok(Some(best.into_hits()))
    }
}

/// Whether looking up so many slots is cheaper than going over so many rows.
fn lookup_is_cheaper(slots: u64, rows: usize, dim: usize) -> bool {
    let is_cached = rows * dim <= CACHED_BYTES;
    let (scan, lookup) = if is_cached { CACHED_COSTS } else { MEMORY_COSTS };
    let cost = |Cost(fixed, per_dim)| fixed + per_dim * dim as f64;
    (slots as f64) * cost(lookup) < rows as f64 * cost(scan)
}

/// What of the filter must be asked for rows of this block: `None`, none of them passes;
/// `Some(None)`, all do.
fn restriction<'a>(
    block: &Block,
    allowed: Option<&'a RoaringBitmap>,
) -> Option<Option<&'a RoaringBitmap>> {
    let Some(allowed) = allowed else { return Some(None) };
    let slots = block.slots();
    let span = u64::from(slots.end() - slots.start()) + 1;
    match allowed.range_cardinality(slots) {
        0 => None,
        passing if passing == span => Some(None),
        _ => Some(Some(allowed)),
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(f32::NEG_INFINITY, |largest, &x| if x > largest { x } else { largest })
}

/// Exact scores by fingerprint, so that rows of equal values are read once.
#[derive(Default)]
struct KnownScores {
    scores: FastMap<u64, (Place, f32)>,
}

impl KnownScores {
    fn get(&self, sources: Sources<'_>, place: Place) -> Option<f32> {
        let &(same, score) = self.scores.get(&sources.fingerprint(place)?)?;
        let codes = |place| sources.codes(place);
        (codes(same)? == codes(place)?).then_some(score)
    }

    fn set(&mut self, sources: Sources<'_>, place: Place, score: f32) {
        if let Some(fingerprint) = sources.fingerprint(place) {
            self.scores.insert(fingerprint, (place, score));
        }
    }
}

/// Rows lying anywhere, and their products.
#[derive(Default)]
struct Batch<'a> {
    rows: Vec<(Place, Slot, u16, RowScale)>,
    codes: Vec<&'a [u8]>,
    dots: Vec<i32>,
}

impl<'a> Batch<'a> {
    fn push(&mut self, place: Place, slot: Slot, part: u16, codes: &'a [u8], scale: RowScale) {
        self.rows.push((place, slot, part, scale));
        self.codes.push(codes);
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= LOOKUP_BATCH
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.codes.clear();
    }
}
