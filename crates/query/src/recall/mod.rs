//! Associative recall: activation begins at a few seeds and spreads over the graph; the most active
//! nodes come back, each with the path that lit it.

mod seeds;
mod spread;

use std::time::Instant;

use embedded_db_common::{NamespaceId, Result};
use embedded_db_indexing::edges::Edges;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::Snapshot;

pub use seeds::{MAX_SEEDS, SEEDS, Seeds};
pub use spread::{Activation, Ground, MAX_BURSTS, Spreading, spread};

use crate::candidates::Candidates;
use crate::converged::{ConvergedQuery, Hit, Results};
use crate::guard::Guard;

/// Where something is recalled.
pub struct Place<'a> {
    /// The state that it sees.
    pub snapshot: &'a Snapshot,
    /// The namespace that it sees.
    pub namespace: NamespaceId,
    /// Known names.
    pub names: &'a Names,
    /// The edges of the state.
    pub edges: &'a Edges,
}

/// The most active nodes among those that `within` allows, which has no ranking legs.
pub fn recall(
    place: &Place<'_>,
    seeds: &Seeds,
    how: &Spreading,
    within: &ConvergedQuery,
    guard: &Guard<'_>,
) -> Result<Results> {
    within.validate_restrictions()?;
    let Place { snapshot, namespace, names, edges } = *place;
    let ground = Ground::new(snapshot, namespace, edges, how)?;
    let mut candidates = Candidates::new(snapshot, namespace, names, within, guard);
    let allowed = candidates.find(None, None)?;
    let since = Instant::now();
    let active = spread(&ground, &seeds.weighed(&ground), guard)?;
    let detail = format!("{} bursts over {} edges", how.bursts, edges.edges());
    candidates.step("activation", detail, active.count() as u64, since);
    let best = active.best(allowed.as_ref(), within.limit);
    let hits = (1..).zip(best).map(|(rank, (slot, value))| Hit {
        score: value,
        activation: Some(value),
        activation_rank: Some(rank),
        path: Some(active.path(slot)),
        shares: vec![("activation", value)],
        ..Hit::new(slot, candidates.distances.get(&slot).copied())
    });
    let hits = hits.collect();
    let plan = within.explain.then(|| std::mem::take(&mut candidates.steps));
    Ok(Results { hits, pending: 0, plan, more: false })
}
