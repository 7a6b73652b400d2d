//! How many rows a search keeps in its pool: what recall it finds, and for what time.

use super::header::Header;

/// How surely a search finds the best rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    /// About 0.95 of the best ten.
    Fast,
    /// About 0.98 of them.
    #[default]
    Usual,
    /// About 0.99 of them, in a bit less than twice the time of `Fast`.
    Sure,
    /// A pool of so many rows.
    Pool(usize),
}

/// Rows, and results, at which the pools below were measured.
const MEASURED_ROWS: f64 = 100_000.0;
const MEASURED_K: usize = 10;
/// The pool of the lowest effort.
const FEWEST: usize = 20;

impl Effort {
    /// The lowest that is meant to find this share of the best ten; below 1, for that none but a scan finds.
    pub fn for_recall(recall: f32) -> Self {
        if recall <= 0.95 {
            Self::Fast
        } else if recall > 0.98 {
            Self::Sure
        } else {
            Self::Usual
        }
    }

    /// The next one below, for a graph in which few of the best are.
    #[must_use]
    pub fn lower(self) -> Self {
        match self {
            Self::Sure => Self::Usual,
            Self::Usual => Self::Fast,
            Self::Fast => Self::Pool(FEWEST),
            Self::Pool(pool) => Self::Pool((pool / 2).max(FEWEST)),
        }
    }

    /// The size of the pool for the `k` best of a graph.
    pub(super) fn pool(self, header: &Header, k: usize) -> usize {
        // The pool at 64 links, and the power of the number of rows by which it grows.
        let (pool, power) = match self {
            Self::Fast => (33.0, 0.17),
            Self::Usual => (62.0, 0.19),
            Self::Sure => (102.0, 0.20),
            Self::Pool(pool) => return pool,
        };
        // Fewer rows are not always easier: there may be fewer ways between them.
        let growth = (f64::from(header.rows) / MEASURED_ROWS).max(1.0).powf(power);
        let links = if header.base_links < 64 { 1.6 } else { 1.0 };
        (pool * growth * links) as usize + 3 * k.saturating_sub(MEASURED_K)
    }
}
