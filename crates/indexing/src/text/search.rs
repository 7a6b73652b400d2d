//! The best documents of a query.
//!
//! Documents are visited in windows of consecutive ordinals. Within one, each term adds to an array
//! of scores which fits the first-level cache. Once `k` documents are found, the least of them is the
//! bar (MaxScore): terms whose bounds together stay below it cannot bring in a document on their own,
//! so their lists are no longer walked, only looked up for documents that other terms brought in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::bm25::Weighting;
use super::documents::Documents;
use super::part::Part;
use super::postings::{Ordinal, Posting};
use super::scorer::{QueryTerm, TextScorer};
use super::segment::Cursor;
use super::terms::TermId;

/// One document found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextHit {
    /// Whose text it is.
    pub slot: Slot,
    /// BM25 over the terms of the query, above zero.
    pub score: f32,
}

/// Documents per window; few in tests, so that small collections have many.
const WINDOW: usize = if cfg!(test) { 64 } else { 2048 };
/// Postings between two looks at `interrupt`.
const PATIENCE: usize = 4096;
/// Scoring a slot directly costs as much as walking this many postings.
const DIRECT_COST: u64 = 32;
/// Sums of rounded numbers may exceed a rounded sum of bounds by a little.
pub(super) const SLACK: f32 = 1.0 + 1e-5;

pub(super) fn search(
    scorer: &TextScorer<'_>,
    allowed: Option<&RoaringBitmap>,
    k: usize,
    interrupt: &mut dyn FnMut() -> bool,
) -> Option<Vec<TextHit>> {
    if k == 0 || scorer.terms.is_empty() {
        return Some(Vec::new());
    }
    let postings: usize = scorer.terms.iter().map(QueryTerm::postings).sum();
    let mut best = Best::new(k);
    let mut budget = Budget::new(interrupt);
    if let Some(few) = allowed
        && few.len().saturating_mul(DIRECT_COST) < postings as u64
    {
        score_each(scorer, few, &mut best, &mut budget)?;
        return Some(best.into_hits());
    }
    let (index, terms) = (scorer.index, &scorer.terms);
    for (at, part) in index.parts.iter().enumerate() {
        let legs = terms.iter().filter_map(|term| {
            let (_, list, _) = term.sealed[at].as_ref()?;
            Some(Leg::of(term, list.cursor()))
        });
        Walk::new(scorer, part, allowed, legs.collect()).run(&mut best, &mut budget)?;
    }
    let documents = index.tail.documents();
    let legs = terms.iter().filter_map(|term| {
        let (id, postings) = term.tail?;
        Some(Leg::of(term, Places { documents, id, postings, next: 0 }))
    });
    Walk::new(scorer, documents, allowed, legs.collect()).run(&mut best, &mut budget)?;
    Some(best.into_hits())
}

/// Scores a few slots one by one.
fn score_each(
    scorer: &TextScorer<'_>,
    slots: &RoaringBitmap,
    best: &mut Best,
    budget: &mut Budget<'_>,
) -> Option<()> {
    for slot in slots {
        budget.spend(DIRECT_COST as usize)?;
        if let Some(score) = scorer.score(Slot(slot)) {
            best.offer(Slot(slot), score);
        }
    }
    Some(())
}

/// Documents that are numbered together.
trait Source {
    fn length(&self, document: Ordinal) -> u32;
    fn slot(&self, document: Ordinal) -> Slot;
    fn has_ended(&self, document: Ordinal, at: Lsn) -> bool;
}

impl Source for Part {
    #[inline]
    fn length(&self, document: Ordinal) -> u32 {
        self.segment.length(document)
    }

    fn slot(&self, document: Ordinal) -> Slot {
        self.segment.slot(document)
    }

    fn has_ended(&self, document: Ordinal, at: Lsn) -> bool {
        Part::has_ended(self, document, at)
    }
}

impl Source for Documents {
    #[inline]
    fn length(&self, document: Ordinal) -> u32 {
        self.lengths()[document as usize]
    }

    fn slot(&self, document: Ordinal) -> Slot {
        Documents::slot(self, document)
    }

    fn has_ended(&self, document: Ordinal, at: Lsn) -> bool {
        Documents::has_ended(self, document, at)
    }
}

/// A place in a list of postings.
trait Postings {
    /// The document it stands at.
    fn document(&self) -> Option<Ordinal>;

    /// Calls `each` with every document before `end` and its count, and stands behind them; how many there
    /// were.
    fn walk(&mut self, end: u64, each: impl FnMut(Ordinal, u32)) -> usize;

    /// Goes on to the first posting not before `document`; its count, if it is that document's.
    fn seek(&mut self, document: Ordinal) -> Option<u32>;
}

impl Postings for Cursor<'_> {
    #[inline]
    fn document(&self) -> Option<Ordinal> {
        self.posting().map(|(document, _)| document)
    }

    #[inline]
    fn walk(&mut self, end: u64, each: impl FnMut(Ordinal, u32)) -> usize {
        Cursor::walk(self, end, each)
    }

    fn seek(&mut self, document: Ordinal) -> Option<u32> {
        Cursor::seek(self, document)
    }
}

/// One term's part of the walk.
struct Leg<C> {
    postings: C,
    weight: f32,
    bound: f32,
}

impl<C> Leg<C> {
    fn of(term: &QueryTerm<'_>, postings: C) -> Self {
        Self { postings, weight: term.weight, bound: term.bound }
    }
}

struct Walk<'a, S, C> {
    source: &'a S,
    weighting: Weighting,
    at: Lsn,
    allowed: Option<&'a RoaringBitmap>,
    /// In the order of the scorer's terms.
    legs: Vec<Leg<C>>,
    /// `rest[i]`: no document gains more on the terms from `i` on.
    rest: Vec<f32>,
    scores: [f32; WINDOW],
    /// Documents of the window that have a score.
    touched: [u64; WINDOW / 64],
}

impl<'a, S: Source, C: Postings> Walk<'a, S, C> {
    fn new(
        scorer: &TextScorer<'_>,
        source: &'a S,
        allowed: Option<&'a RoaringBitmap>,
        legs: Vec<Leg<C>>,
    ) -> Self {
        let mut rest = vec![0.0; legs.len() + 1];
        for (i, leg) in legs.iter().enumerate().rev() {
            rest[i] = rest[i + 1] + leg.bound;
        }
        Self {
            source,
            weighting: scorer.weighting,
            at: scorer.at,
            allowed,
            legs,
            rest,
            scores: [0.0; WINDOW],
            touched: [0; WINDOW / 64],
        }
    }

    fn run(mut self, best: &mut Best, budget: &mut Budget<'_>) -> Option<()> {
        loop {
            let bar = best.bar();
            let leading = self.rest.iter().take_while(|&&rest| rest * SLACK >= bar).count();
            let leading = leading.min(self.legs.len());
            let next = self.legs[..leading].iter().filter_map(|leg| leg.postings.document()).min();
            let Some(next) = next else { return Some(()) };
            let start = next - next % WINDOW as Ordinal;
            for term in 0..leading {
                budget.spend(self.add_all(term, start))?;
            }
            for term in leading..self.legs.len() {
                budget.spend(self.add_to_touched(term, start, bar))?;
            }
            self.collect(start, best);
        }
    }

    /// Adds the term's postings in the window; returns how many there were.
    fn add_all(&mut self, term: usize, start: Ordinal) -> usize {
        let Self { source, weighting, legs, scores, touched, .. } = self;
        let (leg, end) = (&mut legs[term], u64::from(start) + WINDOW as u64);
        let weight = leg.weight;
        leg.postings.walk(end, |document, count| {
            let place = document as usize % WINDOW;
            scores[place] += weighting.score(weight, count, source.length(document));
            touched[place / 64] |= 1 << (place % 64);
        })
    }

    /// Adds the term to documents that have a score, and forgets those which cannot reach the bar any
    /// more; returns the number of lookups.
    fn add_to_touched(&mut self, term: usize, start: Ordinal, bar: f32) -> usize {
        let leg = &mut self.legs[term];
        let mut lookups = 0;
        for block in 0..WINDOW / 64 {
            let mut left = self.touched[block];
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                let place = block * 64 + bit;
                if (self.scores[place] + self.rest[term]) * SLACK < bar {
                    self.scores[place] = 0.0;
                    self.touched[block] &= !(1 << bit);
                    continue;
                }
                lookups += 1;
                let document = start + place as Ordinal;
                if let Some(count) = leg.postings.seek(document) {
                    let length = self.source.length(document);
                    self.scores[place] += self.weighting.score(leg.weight, count, length);
                }
            }
        }
        lookups
    }

    /// Offers what the window holds and leaves it clean for the next one.
    fn collect(&mut self, start: Ordinal, best: &mut Best) {
        for block in 0..WINDOW / 64 {
            let mut left = std::mem::take(&mut self.touched[block]);
            while left != 0 {
                let place = block * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let score = std::mem::take(&mut self.scores[place]);
                if score < best.bar() {
                    continue;
                }
                let document = start + place as Ordinal;
                let slot = self.source.slot(document);
                let is_allowed = || self.allowed.is_none_or(|allowed| allowed.contains(slot.0));
                if !self.source.has_ended(document, self.at) && is_allowed() {
                    best.offer(slot, score);
                }
            }
        }
    }
}

/// A place in a list of the tail.
struct Places<'a> {
    documents: &'a Documents,
    id: TermId,
    postings: &'a [Posting],
    next: usize,
}

impl Postings for Places<'_> {
    fn document(&self) -> Option<Ordinal> {
        self.postings.get(self.next).map(|posting| posting.document)
    }

    #[inline]
    fn walk(&mut self, end: u64, mut each: impl FnMut(Ordinal, u32)) -> usize {
        let mut walked = 0;
        for posting in &self.postings[self.next..] {
            let document = posting.document;
            if u64::from(document) >= end {
                break;
            }
            walked += 1;
            each(document, self.documents.full_count(document, self.id, posting.count));
        }
        self.next += walked;
        walked
    }

    /// By growing steps.
    fn seek(&mut self, document: Ordinal) -> Option<u32> {
        let ahead = &self.postings[self.next..];
        let mut reach = 1;
        while ahead.get(reach - 1).is_some_and(|posting| posting.document < document) {
            reach *= 2;
        }
        let near = &ahead[reach / 2..reach.min(ahead.len())];
        self.next += reach / 2 + near.partition_point(|posting| posting.document < document);
        let found = self.postings.get(self.next)?;
        let is_it = found.document == document;
        is_it.then(|| self.documents.full_count(document, self.id, found.count))
    }
}

/// The best documents so far.
pub(super) struct Best {
    k: usize,
    /// Worst on top. Scores are positive, so their bits sort like numbers; slots count downwards.
    heap: BinaryHeap<Reverse<(u32, Reverse<Slot>)>>,
    bar: f32,
}

impl Best {
    pub(super) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new(), bar: 0.0 }
    }

    /// What a document must score at least to get in.
    #[inline]
    pub(super) fn bar(&self) -> f32 {
        self.bar
    }

    pub(super) fn offer(&mut self, slot: Slot, score: f32) {
        let entry = Reverse((score.to_bits(), Reverse(slot)));
        if self.heap.len() < self.k {
            self.heap.push(entry);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && entry < *worst
        {
            *worst = entry;
        }
        if self.heap.len() == self.k {
            self.bar = self.heap.peek().map_or(0.0, |Reverse((bits, _))| f32::from_bits(*bits));
        }
    }

    pub(super) fn into_hits(self) -> Vec<TextHit> {
        let hit = |Reverse((bits, Reverse(slot)))| TextHit { slot, score: f32::from_bits(bits) };
        self.heap.into_sorted_vec().into_iter().map(hit).collect()
    }
}

/// Remembers to look at `interrupt`.
pub(super) struct Budget<'a> {
    interrupt: &'a mut dyn FnMut() -> bool,
    left: usize,
}

impl<'a> Budget<'a> {
    pub(super) fn new(interrupt: &'a mut dyn FnMut() -> bool) -> Self {
        Self { interrupt, left: PATIENCE }
    }

    /// `None` if the search is to stop.
    pub(super) fn spend(&mut self, postings: usize) -> Option<()> {
        if postings < self.left {
            self.left -= postings;
            return Some(());
        }
        self.left = PATIENCE;
        (!(self.interrupt)()).then_some(())
    }
}
