//! The score of two f32 vectors. All results are ordered by it.

use super::Metric;
use crate::kernels::Kernels;

/// Squares within these need no care for overflow, underflow or lost bits.
const PLAIN_SQUARES: std::ops::RangeInclusive<f32> = 1e-30..=1e30;

/// A query, ready to be compared with rows.
pub(super) struct ExactQuery<'a> {
    metric: Metric,
    kernels: Kernels,
    vector: &'a [f32],
    /// Its square, for the cosine.
    square: f32,
}

impl<'a> ExactQuery<'a> {
    pub(super) fn new(metric: Metric, kernels: Kernels, vector: &'a [f32]) -> Self {
        Self { metric, kernels, vector, square: kernels.dot_f32(vector, vector) }
    }

    /// How it is compared.
    pub(super) fn metric(&self) -> Metric {
        self.metric
    }

    /// The query.
    pub(super) fn vector(&self) -> &'a [f32] {
        self.vector
    }

    /// The score of `row`. Vectors hold finite numbers only; anything else scores lowest.
    pub(super) fn score(&self, row: &[f32]) -> f32 {
        let score = match self.metric {
            Metric::Cosine => self.cosine(row),
            Metric::Dot => self.product(row),
            Metric::Euclidean => self.negative_distance(row),
        };
        // Without the sum, −0.0 and 0.0 would be equal scores that sort apart.
        if score.is_nan() { f32::NEG_INFINITY } else { score + 0.0 }
    }

    /// The scores of rows that lie one after the other, with `squares` to work in, one for each.
    /// `false`: a row holds what is no finite number.
    pub(super) fn scores(&self, rows: &[f32], squares: &mut [f32], out: &mut [f32]) -> bool {
        match self.metric {
            // The squares cost the inner product nothing: rows are read in the same way for both.
            Metric::Cosine | Metric::Dot => {
                self.kernels.dot_and_square_rows(self.vector, rows, out, squares);
            }
            Metric::Euclidean => self.kernels.squared_euclidean_rows(self.vector, rows, out),
        }
        self.finish(rows, squares, out)
    }

    /// Makes scores of products, or of squared distances, with the squares of rows. `false`: a row
    /// holds what is no finite number.
    pub(super) fn finish(&self, rows: &[f32], squares: &[f32], out: &mut [f32]) -> bool {
        let is_plain = |square: &f32| PLAIN_SQUARES.contains(square);
        match self.metric {
            Metric::Cosine => {
                let length = self.square.sqrt();
                // All of them, without a branch for each.
                let are_plain = squares.iter().fold(true, |all, square| all & is_plain(square));
                if is_plain(&self.square) && are_plain {
                    for (score, square) in out.iter_mut().zip(squares) {
                        *score = (*score / (length * square.sqrt())).clamp(-1.0, 1.0) + 0.0;
                    }
                    return true;
                }
                self.each(rows, out, |row, _| self.cosine(row), |_| false)
            }
            Metric::Dot => {
                let product = |row: &[f32], product: f32| match product.is_finite() {
                    true => product,
                    false => self.product(row),
                };
                self.each(rows, out, product, f32::is_finite)
            }
            Metric::Euclidean => {
                let distance = |row: &[f32], square: f32| match is_plain(&square) {
                    true => -square.sqrt(),
                    false => -wide_distance(self.vector, row),
                };
                self.each(rows, out, distance, |square| is_plain(&square))
            }
        }
    }

    /// Puts a score into the place of each sum. `false`: a row whose sum is not plain has a number
    /// that is not finite.
    fn each(
        &self,
        rows: &[f32],
        out: &mut [f32],
        score: impl Fn(&[f32], f32) -> f32,
        is_plain: impl Fn(f32) -> bool,
    ) -> bool {
        for (sum, row) in out.iter_mut().zip(rows.chunks_exact(self.vector.len())) {
            if !is_plain(*sum) && !row.iter().all(|number| number.is_finite()) {
                return false;
            }
            *sum = score(row, *sum) + 0.0;
        }
        true
    }

    fn cosine(&self, row: &[f32]) -> f32 {
        let square = self.kernels.dot_f32(row, row);
        let plain = PLAIN_SQUARES.contains(&square) && PLAIN_SQUARES.contains(&self.square);
        let cosine = if plain {
            self.kernels.dot_f32(self.vector, row) / (self.square.sqrt() * square.sqrt())
        } else {
            wide_cosine(self.vector, row)
        };
        cosine.clamp(-1.0, 1.0)
    }

    fn product(&self, row: &[f32]) -> f32 {
        let product = self.kernels.dot_f32(self.vector, row);
        if product.is_finite() {
            return product;
        }
        wide_pairs(self.vector, row).map(|(x, y)| x * y).sum::<f64>() as f32
    }

    fn negative_distance(&self, row: &[f32]) -> f32 {
        let square = self.kernels.squared_euclidean(self.vector, row);
        if PLAIN_SQUARES.contains(&square) {
            -square.sqrt()
        } else {
            -wide_distance(self.vector, row)
        }
    }
}

/// Pairs of `f64`, in which no square of an `f32` overflows or vanishes.
fn wide_pairs(a: &[f32], b: &[f32]) -> impl Iterator<Item = (f64, f64)> {
    a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)))
}

fn wide_cosine(a: &[f32], b: &[f32]) -> f32 {
    let (mut dot, mut a_square, mut b_square) = (0.0, 0.0, 0.0);
    for (x, y) in wide_pairs(a, b) {
        dot += x * y;
        a_square += x * x;
        b_square += y * y;
    }
    if a_square == 0.0 || b_square == 0.0 {
        return 0.0;
    }
    (dot / (a_square.sqrt() * b_square.sqrt())) as f32
}

fn wide_distance(a: &[f32], b: &[f32]) -> f32 {
    wide_pairs(a, b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt() as f32
}
