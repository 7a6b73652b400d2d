//! Maximal marginal relevance: results that are like those before them step back.
//!
//! Carbonell and Goldstein, *The use of MMR, diversity-based reranking*, SIGIR 1998. The next result is
//! the one with the greatest `(1 − d) · relevance − d · (greatest cosine to a chosen one)`, relevance
//! being its score scaled to 0…1 over the pool.

use embedded_db_common::Result;
use embedded_db_indexing::StoreRows;
use embedded_db_indexing::vector::direction;
use embedded_db_storage::ReadEmbeddings;

use crate::converged::Hit;
use crate::fuse::MinMax;
use crate::run::Context;

/// The best `wanted` of `pool`, best first. Nodes without a vector resemble nothing.
pub(crate) fn diversify(
    context: &Context<'_>,
    mut pool: Vec<Hit>,
    diversity: f32,
    wanted: usize,
) -> Result<Vec<Hit>> {
    let scale = MinMax::over(pool.iter().map(|hit| Some(hit.score)), None);
    let mut vectors = Vec::with_capacity(pool.len());
    for hit in &pool {
        vectors.push(unit_vector(context, hit)?);
    }
    let mut chosen = Vec::with_capacity(wanted.min(pool.len()));
    let mut nearest = vec![0.0_f32; pool.len()];
    while chosen.len() < wanted && !pool.is_empty() {
        let gain = |at: usize| {
            (1.0 - diversity) * scale.scale(Some(pool[at].score)) - diversity * nearest[at]
        };
        let best = (0..pool.len()).reduce(|a, b| if gain(b) > gain(a) { b } else { a });
        let best = best.expect("the pool is not empty");
        let vector = vectors.remove(best);
        nearest.remove(best);
        chosen.push(pool.remove(best));
        let Some(vector) = vector else { continue };
        for (near, other) in nearest.iter_mut().zip(&vectors) {
            let Some(other) = other else { continue };
            let cosine: f32 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            *near = near.max(cosine);
        }
    }
    Ok(chosen)
}

fn unit_vector(context: &Context<'_>, hit: &Hit) -> Result<Option<Vec<f32>>> {
    let StoreRows { snapshot, namespace, space } = context.rows();
    let parts = snapshot.embeddings_of(namespace, space, hit.slot)?;
    Ok(direction(parts.iter().map(|(_, embedding)| embedding.values())))
}
