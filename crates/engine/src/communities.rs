//! Groups of nodes, as the weaver asks for them.

use embedded_db_common::Result;
use embedded_db_query::Guard;
use embedded_db_query::analytics::{Csr, Leiden, leiden};
use embedded_db_weaver::FoundCommunities;

/// By the Leiden algorithm; the same ties give the same groups.
pub(crate) fn communities(
    nodes: usize,
    ties: &[(u32, u32, f64)],
    interrupted: &dyn Fn() -> Result<()>,
) -> Result<FoundCommunities> {
    let how = Leiden { resolution: 1.0, seed: 0, max_iterations: 10 };
    let found = leiden(&Csr::of_arcs(nodes, ties), how, &Guard::new(None, interrupted))?;
    Ok(FoundCommunities { of: found.communities, modularity: found.modularity })
}
