//! What an index finds of a query, from what it knows: terms and how often a text holds them.
//!
//! Every part of the query gives two sets of documents: those that may match and those that do whatever their
//! text says, so that what is excluded is excluded neither too early nor too late. A score counts every word
//! that is looked for, wherever it stands; that of a document that is still to be read is the highest it can have.

use std::collections::{BTreeSet, BinaryHeap};

use embedded_db_common::{Lsn, Slot};
use fst::Streamer;
use roaring::RoaringBitmap;

use super::matcher::{Part, Pattern, TextMatcher, TextReading};
use crate::text::bm25::{Bm25, Weighting};
use crate::text::index::TextIndex;
use crate::text::postings::{MANY, Ordinal};
use crate::text::search::{Best, Budget, SLACK, TextHit};

/// What an index found of a query.
pub struct TextMatches<'a> {
    index: &'a TextIndex,
    matcher: &'a TextMatcher,
    at: Lsn,
    weighting: Weighting,
    /// Features that are looked for and their weights, in the order in which scores are summed: that of
    /// [`crate::text::TextScorer`].
    weights: Vec<(usize, f32)>,
    /// Whether what was counted may be more than there is.
    counts_are_bounds: bool,
    /// Those that may match, each source by slot.
    sources: Vec<Vec<Match>>,
    opened: Vec<(&'a str, usize)>,
}

#[derive(Clone, Copy)]
struct Match {
    slot: Slot,
    /// No less than the score.
    bound: f32,
    is_sure: bool,
}

/// The documents of one source that hold a feature.
#[derive(Default)]
struct Holders {
    /// Ascending, with how often.
    documents: Vec<(Ordinal, u32)>,
    /// Those that hold it for sure, where it is not all.
    sure: Option<RoaringBitmap>,
}

/// The terms that a pattern stands for.
struct Terms {
    terms: Vec<(Box<str>, bool)>,
    all_sure: bool,
}

impl TextIndex {
    /// What a reader at `at` finds of a query. `interrupt` is asked every few thousand postings; `None` if it
    /// said yes.
    pub fn matches<'a>(
        &'a self,
        matcher: &'a TextMatcher,
        params: Bm25,
        at: Lsn,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Option<TextMatches<'a>> {
        let mut budget = Budget::new(interrupt);
        let totals = self.totals(at);
        let weighting = Weighting::new(params, totals.documents.max(1), totals.words.max(1));
        let sources = self.parts.len() + 1;
        let mut found: Vec<Vec<Holders>> = (0..sources).map(|_| Vec::new()).collect();
        let (mut weights, mut opened, mut counts_are_bounds) = (Vec::new(), Vec::new(), false);
        for (number, feature) in matcher.features.iter().enumerate() {
            let terms = self.terms_of(&feature.pattern, &mut budget)?;
            if !matches!(feature.pattern, Pattern::Term(_)) {
                opened.push((&*feature.shown, terms.terms.len()));
            }
            let (mut holders, mut sure, mut most) = (0, 0, 0);
            for (source, found) in found.iter_mut().enumerate() {
                let (own, largest) = self.holders(source, &terms, at, &mut budget)?;
                holders += own.documents.len() as u64;
                sure += own.sure.as_ref().map_or(0, RoaringBitmap::len);
                most = most.max(largest);
                found.push(own);
            }
            if feature.wanted && holders > 0 {
                counts_are_bounds |= !terms.all_sure;
                // A common term that may be meant does not make rare ones common.
                let weight = weighting.term(if sure > 0 { sure } else { holders });
                weights.push((number, weight, weighting.bound(weight, most)));
            }
        }
        weights.sort_by(|a, b| b.2.total_cmp(&a.2));
        let weights = weights.into_iter().map(|(number, weight, _)| (number, weight)).collect();
        let mut matches = TextMatches {
            index: self,
            matcher,
            at,
            weighting,
            weights,
            counts_are_bounds,
            sources: Vec::with_capacity(sources),
            opened,
        };
        for (source, found) in found.iter().enumerate() {
            let matched = matches.source(source, found, &mut budget)?;
            matches.sources.push(matched);
        }
        Some(matches)
    }

    /// The terms of all sources that a pattern stands for, and whether every word with one has the pattern.
    fn terms_of(&self, pattern: &Pattern, budget: &mut Budget<'_>) -> Option<Terms> {
        let mut terms = BTreeSet::new();
        match pattern {
            Pattern::Term(term) => {
                terms.insert(term.clone());
            }
            Pattern::Prefix(prefix) => {
                let begins = |term: &str| term.starts_with(&*prefix.beginning);
                for part in &self.parts {
                    let mut found = part.segment.dictionary_from(&prefix.beginning);
                    while let Some((term, _)) = found.next() {
                        let term = std::str::from_utf8(term).ok().filter(|term| begins(term));
                        let Some(term) = term else { break };
                        budget.spend(1)?;
                        terms.insert(term.into());
                    }
                }
                self.tail_terms(&mut terms, budget, begins)?;
                terms.extend(prefix.others.iter().cloned());
            }
            Pattern::Fuzzy(ways) => {
                for (part, way) in
                    self.parts.iter().flat_map(|part| ways.iter().map(move |way| (part, way)))
                {
                    let mut found = part.segment.dictionary_like(way);
                    while let Some((term, _)) = found.next() {
                        budget.spend(1)?;
                        terms.extend(std::str::from_utf8(term).ok().map(Box::from));
                    }
                }
                let near = |term: &str| ways.iter().any(|way| way.holds(term));
                self.tail_terms(&mut terms, budget, near)?;
            }
        }
        let known = |term: &str| {
            self.tail.term_table().get(term).is_some()
                || self.parts.iter().any(|part| part.segment.term(term).is_some())
        };
        let is_sure = |term: &str| match pattern {
            Pattern::Prefix(prefix) => prefix.is_sure(term),
            _ => true,
        };
        let terms = terms.into_iter().filter(|term| known(term));
        let terms: Vec<_> =
            terms.map(|term| (is_sure(&term), term)).map(|(sure, term)| (term, sure)).collect();
        let all_sure = terms.iter().all(|(_, sure)| *sure);
        Some(Terms { terms, all_sure })
    }

    fn tail_terms(
        &self,
        terms: &mut BTreeSet<Box<str>>,
        budget: &mut Budget<'_>,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<()> {
        let table = self.tail.term_table();
        for id in 0..table.len() {
            budget.spend(1)?;
            let term = table.term(id as u32);
            if wanted(term) {
                terms.insert(term.into());
            }
        }
        Some(())
    }

    /// The documents of a source (the parts, then the tail) that hold one of some terms, visible at `at`; and
    /// the largest count in its lists.
    fn holders(
        &self,
        source: usize,
        terms: &Terms,
        at: Lsn,
        budget: &mut Budget<'_>,
    ) -> Option<(Holders, u32)> {
        let mut documents: Vec<(Ordinal, u32)> = Vec::new();
        let mut sure = (!terms.all_sure).then(RoaringBitmap::new);
        let mut most = 0;
        for (term, is_sure) in &terms.terms {
            let before = documents.len();
            most = most.max(self.list(source, term, at, &mut documents));
            budget.spend(documents.len() - before)?;
            if let (true, Some(sure)) = (*is_sure, &mut sure) {
                sure.extend(documents[before..].iter().map(|(document, _)| *document));
            }
        }
        if terms.terms.len() > 1 {
            documents.sort_unstable();
            documents.dedup_by(|next, first| {
                let same = next.0 == first.0;
                if same {
                    first.1 = first.1.saturating_add(next.1);
                }
                same
            });
            most = documents.iter().map(|(_, count)| *count).max().unwrap_or(0);
        }
        Some((Holders { documents, sure }, most))
    }

    /// Appends the visible postings of one term in a source; the largest count of its list.
    fn list(&self, source: usize, term: &str, at: Lsn, out: &mut Vec<(Ordinal, u32)>) -> u32 {
        if let Some(part) = self.parts.get(source) {
            let Some(id) = part.segment.term(term) else { return 0 };
            let (list, _, most) = part.segment.list(id);
            out.extend(list.cursor().filter(|(document, _)| !part.has_ended(*document, at)));
            return most;
        }
        let Some((id, list)) = self.tail.postings(term) else { return 0 };
        let documents = self.tail.documents();
        let begun = list.before(documents.begun(at)).iter();
        let visible = begun.filter(|posting| !documents.has_ended(posting.document, at));
        out.extend(visible.map(|posting| {
            let document = posting.document;
            (document, documents.full_count(document, id, posting.count))
        }));
        if list.max_count == MANY { u32::MAX } else { list.max_count.into() }
    }
}

impl TextMatches<'_> {
    /// What each word with `*` or `~` stands for, as it was written and in how many terms.
    pub fn opened(&self) -> &[(&str, usize)] {
        &self.opened
    }

    /// How many documents may match.
    pub fn len(&self) -> usize {
        self.sources.iter().map(Vec::len).sum()
    }

    /// Whether none matches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The best `k` that match and are `allowed`, if that is given; best first, equals by slot. `read` gives
    /// what the query finds in the text of a slot.
    pub fn best<E>(
        &self,
        allowed: Option<&RoaringBitmap>,
        k: usize,
        read: &mut dyn FnMut(Slot) -> Result<TextReading, E>,
    ) -> Result<Vec<TextHit>, E> {
        let mut best = Best::new(k);
        if k == 0 {
            return Ok(Vec::new());
        }
        let all = self.sources.iter().flatten();
        let all = all.filter(|found| allowed.is_none_or(|allowed| allowed.contains(found.slot.0)));
        let (told, untold): (Vec<&Match>, Vec<&Match>) = all.partition(|found| self.is_told(found));
        for found in told {
            best.offer(found.slot, found.bound);
        }
        // Scores are positive, so their bits sort like numbers; of equals the first slot is read first.
        let order = |found: &Match| (found.bound.to_bits(), std::cmp::Reverse(found.slot));
        let mut untold: BinaryHeap<_> = untold.into_iter().map(order).collect();
        while let Some((bits, std::cmp::Reverse(slot))) = untold.pop() {
            if f32::from_bits(bits) * SLACK < best.bar() {
                break;
            }
            if let Some(score) = self.judge(slot, &read(slot)?) {
                best.offer(slot, score);
            }
        }
        Ok(best.into_hits())
    }

    /// The score of one slot; `None` if it does not match.
    pub fn score<E>(
        &self,
        slot: Slot,
        read: impl FnOnce(Slot) -> Result<TextReading, E>,
    ) -> Result<Option<f32>, E> {
        let found = self.sources.iter().find_map(|source| {
            let at = source.binary_search_by_key(&slot, |found| found.slot).ok()?;
            Some(&source[at])
        });
        match found {
            None => Ok(None),
            Some(found) if self.is_told(found) => Ok(Some(found.bound)),
            Some(_) => Ok(self.judge(slot, &read(slot)?)),
        }
    }

    /// Whether nothing is to be read of its text.
    fn is_told(&self, found: &Match) -> bool {
        found.is_sure && !self.counts_are_bounds
    }

    fn judge(&self, slot: Slot, reading: &TextReading) -> Option<f32> {
        if !self.matcher.matches(reading) {
            return None;
        }
        let length = self.index.length(slot, self.at)?;
        let score = self.sum(length, |feature| reading.counts[feature]);
        (score > 0.0).then_some(score)
    }

    fn sum(&self, length: u32, mut count: impl FnMut(usize) -> u32) -> f32 {
        let mut score = 0.0;
        for (feature, weight) in &self.weights {
            let count = count(*feature);
            if count > 0 {
                score += self.weighting.score(*weight, count, length);
            }
        }
        score
    }

    /// The documents of one source that may match, by slot.
    fn source(
        &self,
        source: usize,
        found: &[Holders],
        budget: &mut Budget<'_>,
    ) -> Option<Vec<Match>> {
        let sets: Vec<Sets> = found.iter().map(Holders::sets).collect();
        let Sets { possible, sure } = self.sets(&self.matcher.root, &sets);
        let mut places = vec![0; found.len()];
        let mut matched = Vec::with_capacity(possible.len() as usize);
        let part = self.index.parts.get(source);
        for document in &possible {
            budget.spend(self.weights.len())?;
            let (slot, length) = match part {
                Some(part) => (part.segment.slot(document), part.segment.length(document)),
                None => {
                    let documents = self.index.tail.documents();
                    (documents.slot(document), documents.length(document))
                }
            };
            let bound = self.sum(length, |feature| {
                let (list, place) = (&found[feature].documents, &mut places[feature]);
                *place += list[*place..].iter().take_while(|(other, _)| *other < document).count();
                list.get(*place)
                    .filter(|(other, _)| *other == document)
                    .map_or(0, |(_, count)| *count)
            });
            let is_sure = sure.contains(document);
            matched.push(Match { slot, bound, is_sure });
        }
        if part.is_none() {
            matched.sort_unstable_by_key(|found| found.slot);
        }
        Some(matched)
    }

    fn sets(&self, part: &Part, features: &[Sets]) -> Sets {
        match part {
            Part::Feature(at) => features[*at].clone(),
            Part::Phrase(at) => {
                let words = self.matcher.phrases[*at].words.iter().map(|word| &features[*word]);
                let possible = intersection(words.map(|sets| sets.possible.clone()));
                Sets { possible, sure: RoaringBitmap::new() }
            }
            Part::Group { must, should, not } => {
                let all = |parts: &[Part]| -> Vec<Sets> {
                    parts.iter().map(|part| self.sets(part, features)).collect()
                };
                let (must, should, not) = (all(must), all(should), all(not));
                let of = |by: fn(&Sets) -> &RoaringBitmap, but: fn(&Sets) -> &RoaringBitmap| {
                    let found = if must.is_empty() {
                        should.iter().fold(RoaringBitmap::new(), |all, sets| all | by(sets))
                    } else {
                        intersection(must.iter().map(|sets| by(sets).clone()))
                    };
                    not.iter().fold(found, |found, sets| found - but(sets))
                };
                Sets {
                    possible: of(Sets::possible, Sets::sure),
                    sure: of(Sets::sure, Sets::possible),
                }
            }
            Part::Nothing => Sets::default(),
        }
    }
}

/// Documents that may match, and those that do.
#[derive(Clone, Default)]
struct Sets {
    possible: RoaringBitmap,
    sure: RoaringBitmap,
}

impl Sets {
    fn possible(&self) -> &RoaringBitmap {
        &self.possible
    }

    fn sure(&self) -> &RoaringBitmap {
        &self.sure
    }
}

impl Holders {
    fn sets(&self) -> Sets {
        let possible: RoaringBitmap =
            self.documents.iter().map(|(document, _)| *document).collect();
        let sure = self.sure.clone().unwrap_or_else(|| possible.clone());
        Sets { possible, sure }
    }
}

fn intersection(sets: impl Iterator<Item = RoaringBitmap>) -> RoaringBitmap {
    sets.reduce(|all, set| all & set).unwrap_or_default()
}
