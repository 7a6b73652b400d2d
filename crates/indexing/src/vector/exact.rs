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
