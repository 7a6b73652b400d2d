//! The text leg: any of some words, or a query in the syntax, whose candidates are read where the index does
//! not tell enough.

use std::cell::Cell;

use embedded_db_common::{Lsn, Result, Slot};
use embedded_db_indexing::recipes::Recipes;
use embedded_db_indexing::text::{
    Bm25, TextIndex, TextMatcher, TextMatches, TextQuery, TextReading, TextScorer,
};
use embedded_db_storage::ReadTxn;
use roaring::RoaringBitmap;

use crate::converged::{Asked, Textual};
use crate::guard::Guard;
use crate::run::Context;

/// Bytes of text that are a unit of work.
const TICK: usize = 1024;

/// The text leg of one query.
pub(crate) enum Lexical<'a> {
    Words { index: &'a TextIndex, query: TextQuery, params: Bm25, scorer: TextScorer<'a>, at: Lsn },
    Query { matches: TextMatches<'a>, texts: Texts<'a> },
}

impl<'a> Lexical<'a> {
    /// Of a query in the syntax, `matcher` is what it was made to.
    pub(crate) fn new(
        context: &'a Context<'a>,
        index: &'a TextIndex,
        text: &Textual,
        matcher: &'a mut Option<TextMatcher>,
        guard: &'a Guard<'a>,
    ) -> Result<Self> {
        let (params, at) = (text.params, context.lsn);
        if let Asked::Words(words) = &text.asked {
            let query = TextQuery::parse(index.analyzer(), words, true);
            let scorer = index.scorer(&query, params, at);
            return Ok(Self::Words { index, query, params, scorer, at });
        }
        let matcher = &*matcher.insert(text.matcher(index.analyzer()));
        let matches = guard.watch(|stop| Ok(index.matches(matcher, params, at, stop)))?;
        let recipes = Recipes::read(context.snapshot, context.namespace)?;
        let texts = Texts { context, recipes, index, matcher, guard, read: Cell::new(0) };
        Ok(Self::Query { matches, texts })
    }

    /// The best `k` of the candidates, and how they were found.
    pub(crate) fn search(
        &self,
        candidates: Option<&RoaringBitmap>,
        k: usize,
        guard: &Guard<'_>,
    ) -> Result<(Vec<(Slot, f32)>, String)> {
        let (found, detail) = match self {
            Self::Words { index, query, params, at, .. } => {
                let search = |stop: &mut dyn FnMut() -> bool| {
                    Ok(index.search(query, *params, *at, candidates, k, stop))
                };
                (guard.watch(search)?, "BM25".into())
            }
            Self::Query { matches, texts } => {
                let found = matches.best(candidates, k, &mut |slot| texts.read(slot))?;
                (found, texts.detail(matches))
            }
        };
        Ok((found.into_iter().map(|hit| (hit.slot, hit.score)).collect(), detail))
    }

    /// The score of a node; `None` if its text does not match.
    pub(crate) fn score(&self, slot: Slot) -> Result<Option<f32>> {
        match self {
            Self::Words { scorer, .. } => Ok(scorer.score(slot)),
            Self::Query { matches, texts } => matches.score(slot, |slot| texts.read(slot)),
        }
    }
}

/// Reads the texts of candidates, as the snapshot has them.
pub(crate) struct Texts<'a> {
    context: &'a Context<'a>,
    recipes: Recipes,
    index: &'a TextIndex,
    matcher: &'a TextMatcher,
    guard: &'a Guard<'a>,
    /// How many were read.
    read: Cell<u64>,
}

impl Texts<'_> {
    fn read(&self, slot: Slot) -> Result<TextReading> {
        self.read.set(self.read.get() + 1);
        let Context { snapshot, namespace, names, .. } = *self.context;
        let node = snapshot.node(namespace, slot)?;
        let pieces = match &node {
            Some(node) => self.recipes.searchable_pieces(names, node)?,
            None => Vec::new(),
        };
        let length: usize = pieces.iter().map(|piece| piece.text.len()).sum();
        (0..=length / TICK).try_for_each(|_| self.guard.tick())?;
        let pieces = pieces.into_iter().map(|piece| piece.text);
        Ok(self.matcher.read(self.index.analyzer(), pieces))
    }

    fn detail(&self, matches: &TextMatches<'_>) -> String {
        let mut detail =
            format!("BM25; {} texts may match, {} read", matches.len(), self.read.get());
        for (written, terms) in matches.opened() {
            detail += &format!("; {written} is {terms} terms of the index");
        }
        detail
    }
}
