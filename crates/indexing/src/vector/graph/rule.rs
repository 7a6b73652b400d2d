//! Whether a filter makes an exact scan of the rows that pass the better way.
//!
//! A walk must see about `VISITS · pool / p` rows until enough have passed, where p is the
//! share that passes near the query. That share is not known: it is taken to be the share of all
//! rows at first, and estimated anew while walking. A scan costs what the allowed rows cost.

/// Rows seen for each row of the pool.
const VISITS: f64 = 22.0;
/// The time of seeing a row in a walk in that of a row in a scan.
const VISIT_COST: f64 = 2.3;
/// So few rows are always scanned.
pub(super) const FEW_ROWS: usize = 2_000;
/// A scan this much cheaper than the walk seems is taken without trying.
const CLEARLY_CHEAPER: f64 = 0.25 * 0.9;

const FIRST_QUESTION: usize = 256;
const QUESTIONS_GROW_BY: f64 = 1.5;
/// A share this much less near the query than in all rows: the filter is against the query.
const AGAINST_QUERY: f64 = 0.5;
/// The pool grows by this much then, for the walk ends too early in such a place.
const AGAINST_QUERY_POOL: usize = 4;

/// What is known before and found out during a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Rows a scan would take.
    rows: f64,
    /// The share of all rows that pass.
    share: f64,
    pub(super) pool: usize,
    next_question: usize,
    is_against_query: bool,
}

/// What the walk does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    /// Go on with this pool.
    Widen(usize),
    Scan,
}

impl Rule {
    /// A rule for a filter by which `rows` rows, `share` of all, pass.
    pub(super) fn new(rows: f64, share: f64, pool: usize) -> Self {
        let next_question = FIRST_QUESTION;
        Self { rows, share, pool, next_question, is_against_query: false }
    }

    fn visits(&self, share: f64) -> f64 {
        VISITS * self.pool as f64 / share.clamp(1e-9, 1.0)
    }

    /// Whether to scan without trying a walk.
    pub(super) fn scans_at_once(&self, few: f64) -> bool {
        if self.share >= 1.0 {
            // Nothing is left out, so the walk is as long as it seems; it sees no row twice.
            let seen = self.rows * (1.0 - (-self.visits(1.0) / self.rows).exp());
            return self.rows <= few.max(seen * VISIT_COST);
        }
        let walk = self.visits(self.share) * VISIT_COST;
        self.rows <= few || self.rows < CLEARLY_CHEAPER * walk
    }

    /// Asked whenever rows have been seen, of which some were near, and some of those passed.
    #[inline]
    pub(super) fn judge(&mut self, visited: usize, near: usize, passed: usize) -> Verdict {
        if visited < self.next_question {
            return Verdict::GoOn;
        }
        self.next_question = (visited as f64 * QUESTIONS_GROW_BY) as usize;
        let share = (passed as f64 + 1.0) / (near as f64 + 2.0);
        let turns = !self.is_against_query && share < AGAINST_QUERY * self.share;
        if turns {
            self.is_against_query = true;
            self.pool *= AGAINST_QUERY_POOL;
        }
        let ahead = (self.visits(share) - visited as f64).max(0.0);
        if ahead * VISIT_COST > self.rows {
            Verdict::Scan
        } else if turns {
            Verdict::Widen(self.pool)
        } else {
            Verdict::GoOn
        }
    }
}
