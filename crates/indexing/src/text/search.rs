//! The best documents of a query.
//!
//! Documents are visited in windows of consecutive ordinals. Within one, each term adds to an array
//! of scores which fits the first-level cache. Once `k` documents are found, the least of them is the
//! bar (MaxScore): terms whose bounds together stay below it cannot bring in a document on their own,
//! so their lists are no longer walked, only looked up for documents that other terms brought in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use embedded_db_common::Slot;
use roaring::RoaringBitmap;

use super::postings::Ordinal;
use super::scorer::{QueryTerm, TextScorer};

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
const SLACK: f32 = 1.0 + 1e-5;

pub(super) fn search(
    scorer: &TextScorer<'_>,
    allowed: Option<&RoaringBitmap>,
    k: usize,
    interrupt: &mut dyn FnMut() -> bool,
) -> Option<Vec<TextHit>> {
    if k == 0 || scorer.terms.is_empty() {
        return Some(Vec::new());
    }
    let postings: usize = scorer.terms.iter().map(|term| term.postings.len()).sum();
    let mut best = Best::new(k);
    let mut budget = Budget { interrupt, left: PATIENCE };
    match allowed {
        Some(few) if few.len().saturating_mul(DIRECT_COST) < postings as u64 => {
            score_each(scorer, few, &mut best, &mut budget)?;
        }
        _ => Walk::new(scorer, allowed).run(&mut best, &mut budget)?,
    }
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

struct Walk<'a> {
    scorer: &'a TextScorer<'a>,
    allowed: Option<&'a RoaringBitmap>,
    lengths: &'a [u32],
    /// In the order of the scorer's terms.
    cursors: Vec<Cursor<'a>>,
    /// `rest[i]`: no document gains more on the terms from `i` on.
    rest: Vec<f32>,
    scores: [f32; WINDOW],
    /// Documents of the window that have a score.
    touched: [u64; WINDOW / 64],
}

impl<'a> Walk<'a> {
    fn new(scorer: &'a TextScorer<'a>, allowed: Option<&'a RoaringBitmap>) -> Self {
        let mut rest = vec![0.0; scorer.terms.len() + 1];
        for (i, term) in scorer.terms.iter().enumerate().rev() {
            rest[i] = rest[i + 1] + term.bound;
        }
        Self {
            scorer,
            allowed,
            lengths: scorer.tail.documents().lengths(),
            cursors: scorer.terms.iter().map(|term| Cursor { term, next: 0 }).collect(),
            rest,
            scores: [0.0; WINDOW],
            touched: [0; WINDOW / 64],
        }
    }

    fn run(mut self, best: &mut Best, budget: &mut Budget<'_>) -> Option<()> {
        loop {
            let bar = best.bar();
            let leading = self.rest.iter().take_while(|&&rest| rest * SLACK >= bar).count();
            let leading = leading.min(self.cursors.len());
            let next = self.cursors[..leading].iter().filter_map(Cursor::document).min();
            let Some(next) = next else { return Some(()) };
            let start = next - next % WINDOW as Ordinal;
            for term in 0..leading {
                budget.spend(self.add_all(term, start))?;
            }
            for term in leading..self.cursors.len() {
                budget.spend(self.add_to_touched(term, start, bar))?;
            }
            self.collect(start, best);
        }
    }

    /// Adds the term's postings in the window; returns how many there were.
    fn add_all(&mut self, term: usize, start: Ordinal) -> usize {
        let cursor = &mut self.cursors[term];
        let documents = self.scorer.tail.documents();
        let (id, weight) = (cursor.term.id, cursor.term.weight);
        let ahead = &cursor.term.postings[cursor.next..];
        let end = u64::from(start) + WINDOW as u64;
        let mut walked = 0;
        for posting in ahead {
            let document = posting.document;
            if u64::from(document) >= end {
                break;
            }
            walked += 1;
            let count = documents.full_count(document, id, posting.count);
            let place = document as usize % WINDOW;
            let length = self.lengths[document as usize];
            self.scores[place] += self.scorer.weighting.score(weight, count, length);
            self.touched[place / 64] |= 1 << (place % 64);
        }
        cursor.next += walked;
        walked
    }

    /// Adds the term to documents that have a score, and forgets those which cannot reach the bar any
    /// more; returns the number of lookups.
    fn add_to_touched(&mut self, term: usize, start: Ordinal, bar: f32) -> usize {
        let cursor = &mut self.cursors[term];
        let documents = self.scorer.tail.documents();
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
                if let Some(stored) = cursor.seek(document) {
                    let count = documents.full_count(document, cursor.term.id, stored);
                    let length = self.lengths[document as usize];
                    self.scores[place] +=
                        self.scorer.weighting.score(cursor.term.weight, count, length);
                }
            }
        }
        lookups
    }

    /// Offers what the window holds and leaves it clean for the next one.
    fn collect(&mut self, start: Ordinal, best: &mut Best) {
        let documents = self.scorer.tail.documents();
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
                let slot = documents.slot(document);
                let is_allowed = || self.allowed.is_none_or(|allowed| allowed.contains(slot.0));
                if !documents.has_ended(document, self.scorer.at) && is_allowed() {
                    best.offer(slot, score);
                }
            }
        }
    }
}

/// A place in a posting list.
struct Cursor<'a> {
    term: &'a QueryTerm<'a>,
    next: usize,
}

impl Cursor<'_> {
    fn document(&self) -> Option<Ordinal> {
        self.term.postings.get(self.next).map(|posting| posting.document)
    }

    /// Moves to the first posting not before `document`, by growing steps; its stored count if it is
    /// that document's.
    fn seek(&mut self, document: Ordinal) -> Option<u8> {
        let ahead = &self.term.postings[self.next..];
        let mut reach = 1;
        while ahead.get(reach - 1).is_some_and(|posting| posting.document < document) {
            reach *= 2;
        }
        let near = &ahead[reach / 2..reach.min(ahead.len())];
        self.next += reach / 2 + near.partition_point(|posting| posting.document < document);
        let found = self.term.postings.get(self.next)?;
        (found.document == document).then_some(found.count)
    }
}

/// The best documents so far.
struct Best {
    k: usize,
    /// Worst on top. Scores are positive, so their bits sort like numbers; slots count downwards.
    heap: BinaryHeap<Reverse<(u32, Reverse<Slot>)>>,
    bar: f32,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new(), bar: 0.0 }
    }

    /// What a document must score at least to get in.
    #[inline]
    fn bar(&self) -> f32 {
        self.bar
    }

    fn offer(&mut self, slot: Slot, score: f32) {
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

    fn into_hits(self) -> Vec<TextHit> {
        let hit = |Reverse((bits, Reverse(slot)))| TextHit { slot, score: f32::from_bits(bits) };
        self.heap.into_sorted_vec().into_iter().map(hit).collect()
    }
}

/// Remembers to look at `interrupt`.
struct Budget<'a> {
    interrupt: &'a mut dyn FnMut() -> bool,
    left: usize,
}

impl Budget<'_> {
    /// `None` if the search is to stop.
    fn spend(&mut self, postings: usize) -> Option<()> {
        if postings < self.left {
            self.left -= postings;
            return Some(());
        }
        self.left = PATIENCE;
        (!(self.interrupt)()).then_some(())
    }
}
