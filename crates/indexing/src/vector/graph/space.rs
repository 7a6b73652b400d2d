//! Distances between codes. They are kept as keys: numbers that sort as the distances do.

use super::super::Metric;
use super::super::quantize::{norm_and_largest, quantize_row};
use super::blocks::Blocks;
use super::bytes::Words;
use super::header::GraphDamage;
use super::sections::Section;
use crate::kernels::{CodeQuery, Kernels};

/// Codes of all rows, and what they stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodeSpace<'a> {
    metric: Metric,
    dim: usize,
    kernels: Kernels,
    pub(super) codes: &'a [u8],
    pub(super) scales: Words<'a>,
    /// Those of the codes.
    pub(super) blocks: Blocks<'a>,
}

/// What rows are compared with: a query, or one of the rows.
///
/// A row's distance is `own + by_square · ‖row‖² + by_product · scale · product`; the first two are
/// nothing but for the Euclidean.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    codes: CodeQuery,
    by_product: f32,
    by_square: f32,
    own: f32,
    /// From a distance to a score.
    score: ScoreOf,
}

#[derive(Clone, Copy, Debug, Default)]
struct ScoreOf {
    factor: f64,
    added: f64,
}

impl<'a> CodeSpace<'a> {
    pub(super) fn new(metric: Metric, dim: usize, codes: &'a [u8], scales: &'a [u8]) -> Self {
        let kernels = Kernels::detect();
        let blocks = Blocks::default();
        Self { metric, dim, kernels, codes, scales: Words::new(scales), blocks }
    }

    pub(super) fn len(&self) -> usize {
        self.codes.len() / self.dim
    }

    #[inline(always)]
    pub(super) fn row(&self, row: u32) -> &'a [u8] {
        let start = row as usize * self.dim;
        &self.codes[start..start + self.dim]
    }

    /// Whether two rows are the same.
    #[inline]
    pub(super) fn are_equal(&self, a: u32, b: u32) -> bool {
        let scale = |row: u32| match self.metric {
            Metric::Cosine | Metric::Dot => self.scales.get(row as usize),
            Metric::Euclidean => self.scales.get(row as usize * 2),
        };
        self.row(a) == self.row(b) && scale(a) == scale(b)
    }

    /// Asks the memory for what a distance of the row takes.
    #[inline(always)]
    pub(super) fn prefetch(&self, row: u32) {
        crate::kernels::prefetch(self.row(row));
        match self.metric {
            Metric::Cosine | Metric::Dot => prefetch_words(self.scales, row as usize, 1),
            Metric::Euclidean => prefetch_words(self.scales, row as usize * 2, 2),
        }
    }

    /// Makes the target a row.
    pub(super) fn aim_at_row(&self, target: &mut Target, row: u32) {
        target.codes.set_row(self.row(row));
        let row = row as usize;
        match self.metric {
            Metric::Cosine | Metric::Dot => {
                target.by_product = -self.scales.float(row);
                (target.by_square, target.own) = (0.0, 0.0);
            }
            Metric::Euclidean => {
                target.by_product = -2.0 * self.scales.float(row * 2);
                (target.by_square, target.own) = (1.0, self.scales.float(row * 2 + 1));
            }
        }
    }

    /// The target a query is. Its distances are divided by its length where that is great, so
    /// that they stay within f32.
    pub(super) fn query(&self, query: &[f32]) -> Target {
        let mut codes = vec![0; self.dim];
        let code = quantize_row(Metric::Cosine, query, &mut codes).scale;
        let (norm, _) = norm_and_largest(query);
        let mut target = Target::default();
        target.codes.set_row(&codes);
        match self.metric {
            Metric::Cosine | Metric::Dot => {
                target.by_product = -code;
                target.score.factor = if self.metric == Metric::Dot { -norm } else { -1.0 };
            }
            Metric::Euclidean => {
                let divisor = norm.max(1.0);
                target.by_product = (-2.0 * f64::from(code) * (norm / divisor)) as f32;
                target.by_square = (1.0 / divisor) as f32;
                target.score = ScoreOf { factor: divisor, added: norm * norm };
            }
        }
        target
    }

    /// The keys of the rows, which may lie in a file.
    ///
    /// # Errors
    /// A row whose codes are not what was written.
    #[inline]
    pub(super) fn keys_checked(
        &self,
        target: &Target,
        rows: &[u32],
        dots: &mut Vec<i32>,
        keys: &mut Vec<u32>,
    ) -> Result<(), GraphDamage> {
        let bytes = |row: u32| row as usize * self.dim..(row as usize + 1) * self.dim;
        if !rows.iter().all(|&row| self.blocks.are_right(bytes(row))) {
            return Err(GraphDamage::new(Section::Codes, "a checksum"));
        }
        self.keys(target, rows, dots, keys);
        Ok(())
    }

    /// The keys of the rows, which are known to be right.
    #[inline]
    pub(super) fn keys(
        &self,
        target: &Target,
        rows: &[u32],
        dots: &mut Vec<i32>,
        keys: &mut Vec<u32>,
    ) {
        dots.clear();
        dots.resize(rows.len(), 0);
        keys.clear();
        self.kernels.dot_indexed(&target.codes, self.codes, rows, dots);
        let pairs = dots.iter().zip(rows);
        match self.metric {
            Metric::Cosine | Metric::Dot => keys.extend(pairs.map(|(&dot, &row)| {
                let factor = target.by_product * self.scales.float(row as usize);
                key_of_distance(factor * dot as f32)
            })),
            Metric::Euclidean => keys.extend(pairs.map(|(&dot, &row)| {
                let factor = target.by_product * self.scales.float(row as usize * 2);
                let square = target.by_square * self.scales.float(row as usize * 2 + 1);
                key_of_distance(target.own + square + factor * dot as f32)
            })),
        }
    }

    /// What the row of this key scores, by its codes.
    pub(super) fn score(&self, target: &Target, key: u32) -> f32 {
        let ScoreOf { factor, added } = target.score;
        match self.metric {
            Metric::Cosine | Metric::Dot => (f64::from(distance_of_key(key)) * factor) as f32,
            Metric::Euclidean => {
                let square = f64::from(distance_of_key(key)) * factor + added;
                -(square.max(0.0).sqrt()) as f32
            }
        }
    }
}

/// Asks the memory for some words.
#[inline(always)]
pub(super) fn prefetch_words(words: Words<'_>, start: usize, len: usize) {
    if let Some(range) = words.range(start, len) {
        crate::kernels::prefetch(range.as_bytes());
    }
}

/// Floats sort as their bits do, but for the sign.
#[inline(always)]
fn key_of_distance(distance: f32) -> u32 {
    let bits = distance.to_bits();
    bits ^ (((bits as i32) >> 31) as u32 | (1 << 31))
}

fn distance_of_key(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key ^ (1 << 31) } else { !key })
}
