//! Similar nodes, which the weaver asks for, and what it proposed of them.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use embedded_db_common::{Lsn, NamespaceId, Result, Slot, SpaceId, clock};
use embedded_db_indexing::recipes::Recipes;
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::text::TextIndex;
use embedded_db_indexing::{Attached, Needs, Views};
use embedded_db_query::{Context, ConvergedQuery, Guard, Rank, Semantic, run};
use embedded_db_storage::{EmbeddingRecord, ReadEmbeddings, ReadTxn, Snapshot, Store};
use embedded_db_weaver::{Nearest, Similar};
use roaring::RoaringBitmap;

use crate::database::Database;
use crate::sharing::forward;

/// A word is telling that one in a hundred texts has at most, or so many of a few.
const FEW: usize = 8;
/// Nodes of which one step takes back what was proposed.
const STEP: usize = 1_000;

/// Searches the vectors of a database.
pub(crate) struct Search {
    pub(crate) store: Arc<Store>,
    pub(crate) views: Arc<Views>,
    pub(crate) names: Names,
}

impl Nearest for Search {
    fn nearest(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        nodes: &[Slot],
        most: usize,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Similar> {
        let record = self.store.read()?.space(space)?;
        let space_record = record.map(|record| (space, record));
        let needs = Needs { namespace, text: true, sessions: false, space: space_record };
        let (pin, mut attached) = self.views.begin(&self.store, &needs)?;
        let (snapshot, lsn) = (pin.snapshot(), pin.lsn());
        let recipes = Recipes::read(snapshot, namespace)?;
        let guard = Guard::new(None, interrupted);
        let mut of = Vec::with_capacity(nodes.len());
        for node in nodes {
            let found = loop {
                let state =
                    State { search: self, snapshot, lsn, namespace, space, recipes: &recipes };
                let found = state.similar(&attached, *node, most, &guard);
                if !attached.is_damaged() {
                    break found?;
                }
                self.views.distrust(namespace, &attached);
                attached = self.views.attach(&pin, &needs)?;
            };
            of.push(found);
        }
        Ok(Similar { generation: snapshot.generation().number(), lsn, of })
    }
}

/// What is searched in.
struct State<'a> {
    search: &'a Search,
    snapshot: &'a Snapshot,
    lsn: Lsn,
    namespace: NamespaceId,
    space: SpaceId,
    recipes: &'a Recipes,
}

impl State<'_> {
    /// Those of the nodes that are most similar to one which share a telling word with it, with their cosines.
    fn similar(
        &self,
        attached: &Attached,
        node: Slot,
        most: usize,
        guard: &Guard<'_>,
    ) -> Result<Vec<(Slot, f32)>> {
        let parts = self.snapshot.embeddings_of(self.namespace, self.space, node)?;
        let (Some(vector), Some(text)) = (mean(&parts), &attached.text) else {
            return Ok(Vec::new());
        };
        let query = ConvergedQuery {
            filters: Vec::new(),
            graph: None,
            semantic: Some(Semantic { vector, threshold: None }),
            text: None,
            labels: Vec::new(),
            order_by: Vec::new(),
            // The node itself is one.
            limit: most + 1,
            rank: Rank::default(),
            recall: None,
            explain: false,
        };
        let context = Context {
            snapshot: self.snapshot,
            lsn: self.lsn,
            namespace: self.namespace,
            attached: attached.clone(),
            space: Some(self.space),
            names: &self.search.names,
            edges: None,
            pending: RoaringBitmap::new(),
            now: clock::now(),
        };
        let hits = run(&context, &query, &RoaringBitmap::new(), guard)?.hits;
        let text = text.read().unwrap_or_else(PoisonError::into_inner);
        let few = usize::try_from(text.document_count(self.lsn) / 100).unwrap_or(usize::MAX);
        let few = few.max(FEW);
        let mut telling = self.terms(&text, node)?;
        telling.retain(|term| text.occurrences(term, self.lsn).take(few + 1).count() <= few);
        let mut out = Vec::with_capacity(hits.len());
        for hit in hits {
            if let Some(similarity) = hit.similarity
                && hit.slot != node
                && !telling.is_disjoint(&self.terms(&text, hit.slot)?)
            {
                out.push((hit.slot, similarity));
            }
        }
        Ok(out)
    }

    fn terms(&self, text: &TextIndex, node: Slot) -> Result<BTreeSet<String>> {
        let mut terms = BTreeSet::new();
        let node = self.snapshot.node(self.namespace, node)?;
        let found = match node {
            Some(node) => self.recipes.found_text(&self.search.names, &node)?,
            None => None,
        };
        text.analyzer().terms(&found.unwrap_or_default(), &mut |term, _| {
            terms.insert(term.to_owned());
        });
        Ok(terms)
    }
}

/// The vector of a whole node; `None` if it has none.
fn mean(parts: &[(u16, EmbeddingRecord<'_>)]) -> Option<Vec<f32>> {
    let mut sum: Vec<f32> = parts.first()?.1.values().collect();
    for (_, part) in parts.iter().skip(1) {
        for (all, value) in sum.iter_mut().zip(part.values()) {
            *all += value;
        }
    }
    Some(sum)
}

impl Database {
    /// Takes back all ties that the weaver has proposed in this namespace; how many there were. They are not
    /// proposed again until a node gets another vector.
    pub fn withdraw_proposals(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<u64> {
        forward!(self, WithdrawProposals {});
        let (mut next, mut count) = (Some(Slot(0)), 0);
        while let Some(first) = next {
            interrupted()?;
            let step = self.write(move |writer| writer.withdraw_proposals(first, STEP))?;
            next = step.0;
            count += step.1 as u64;
        }
        Ok(count)
    }
}
