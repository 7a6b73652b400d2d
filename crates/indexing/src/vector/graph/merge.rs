//! A graph and further rows, as a new graph.

use roaring::RoaringBitmap;

use super::build::{Held, extend};
use super::codes::RowCodes;
use super::header::GraphDamage;
use super::sections::Graph;
use super::view::GraphView;

/// Of all rows so many in a hundred may be dead before the graph is built anew: then a search
/// takes a fifth longer.
const DEAD_PER_CENT: u64 = 30;

/// What came of a merge.
#[derive(Debug)]
pub struct Merged {
    /// All rows.
    pub graph: Graph,
    /// Those of them that are dead: as before, or none where the graph was built anew. Rows keep
    /// their numbers in the first case alone.
    pub dead: RoaringBitmap,
}

/// A copy of the graph with further rows. Where more
/// than 30 % of its rows are dead the copy is without them, and all its links are new. `None`:
/// interrupted.
///
/// The seed and the profile are those of the graph.
///
/// # Errors
/// Damage in the graph: everything that is copied is checked.
///
/// # Panics
/// If the rows are not of the graph's dimension and metric.
pub fn merge(
    view: &GraphView<'_>,
    dead: &RoaringBitmap,
    rows: &RowCodes,
    threads: usize,
    interrupt: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Merged>, GraphDamage> {
    let same = rows.dim == view.dim() && rows.metric == view.metric();
    assert!(same, "rows of the dimension and the metric of the graph");
    let mut all = view.no_rows();
    all.reserve(view.len() + rows.len());
    if dead.len() * 100 > view.len() as u64 * DEAD_PER_CENT {
        let living = (0..view.len() as u32).filter(|&row| !dead.contains(row));
        living.for_each(|row| all.append(view, row..row + 1));
        all.append_all(rows);
        let graph = extend(&Held::none_of(view), all, threads, interrupt);
        return Ok(graph.map(|graph| Merged { graph, dead: RoaringBitmap::new() }));
    }
    view.check()?;
    all.append(view, 0..view.len() as u32);
    all.append_all(rows);
    let graph = extend(&Held::of(view), all, threads, interrupt);
    Ok(graph.map(|graph| Merged { graph, dead: dead.clone() }))
}
