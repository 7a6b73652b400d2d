//! The best nodes by their f32 values, of those that a search found by codes.

use super::super::exact::ExactQuery;
use super::super::shortlist::is_better_part;
use super::super::{RowSource, VectorHit};
use super::header::GraphDamage;
use super::search::{Candidate, GraphRequest, Report};
use super::space::Target;
use super::view::GraphView;
use super::walk::Scratch;
use crate::kernels::Kernels;

/// Of a slot with many parts so many are read, the best by codes: codes are too coarse to tell
/// the best from the next.
const PARTS_READ: usize = 3;

/// Rows read between two questions whether to go on.
const READS_PER_QUESTION: usize = 64;

/// Why a search failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchError<E> {
    /// The graph is damaged.
    Damage(GraphDamage),
    /// The source of the rows failed.
    Rows(E),
}

impl<E> From<GraphDamage> for SearchError<E> {
    fn from(damage: GraphDamage) -> Self {
        Self::Damage(damage)
    }
}

/// The best nodes and how they were found; `None`: interrupted.
pub type ExactlyFound = Option<(Vec<VectorHit>, Report)>;

impl GraphView<'_> {
    /// The `k` best nodes, best first, equal scores by slot, with scores of f32 values. `None`:
    /// interrupted.
    ///
    /// # Errors
    /// Damage that the search met, or what `rows` says.
    ///
    /// # Panics
    /// If the query has not the graph's dimension.
    pub fn search_exact<R: RowSource>(
        &self,
        query: &[f32],
        request: &GraphRequest<'_>,
        rows: &mut R,
        scratch: &mut Scratch,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<ExactlyFound, SearchError<R::Error>> {
        self.assert_dimension(query);
        let target = self.space.query(query);
        let Some(found) = self.search_target(&target, request, scratch, interrupt)? else {
            return Ok(None);
        };
        let exact = ExactQuery::new(self.metric(), Kernels::detect(), query);
        let mut vector = vec![0.0; self.dim()];
        let mut hits = Vec::with_capacity(found.candidates.len());
        for (turn, candidate) in found.candidates.iter().enumerate() {
            if turn % READS_PER_QUESTION == 0 && interrupt() {
                return Ok(None);
            }
            let mut best: Option<VectorHit> = None;
            for part in self.best_parts(&target, candidate, request)? {
                let slot = candidate.slot;
                if rows.row(slot, part, &mut vector).map_err(SearchError::Rows)? {
                    let hit = VectorHit { slot, part, score: exact.score(&vector) };
                    if best.is_none_or(|best| is_better_part(&hit, &best)) {
                        best = Some(hit);
                    }
                }
            }
            hits.extend(best);
        }
        hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.slot.cmp(&b.slot)));
        hits.truncate(request.k);
        Ok(Some((hits, found.report)))
    }

    /// The parts of the candidate's slot that may be its best.
    fn best_parts(
        &self,
        target: &Target,
        candidate: &Candidate,
        request: &GraphRequest<'_>,
    ) -> Result<Vec<u16>, GraphDamage> {
        if !self.header.has_parts {
            return Ok(vec![candidate.part]);
        }
        let mut rows = self.rows_of(candidate.slot).collect::<Result<Vec<_>, _>>()?;
        rows.retain(|&row| request.dead.is_none_or(|dead| !dead.contains(row)));
        let (mut dots, mut keys) = (Vec::new(), Vec::new());
        self.space.keys_checked(target, &rows, &mut dots, &mut keys)?;
        let mut best: Vec<_> = keys.into_iter().zip(rows).collect();
        best.sort_unstable();
        best.truncate(PARTS_READ);
        Ok(best.into_iter().filter_map(|(_, row)| self.part(row)).collect())
    }
}
