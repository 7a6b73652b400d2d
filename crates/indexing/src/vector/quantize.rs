//! int8 codes of rows and queries, and the bound on what a score from codes can be off by.
//!
//! A row x becomes codes c in −127..=127 with a scale of its own: x = s·c + e, where ‖e‖ is
//! measured when the row is added. A query q becomes two levels of codes, q = s₁·d₁ + e₁ and
//! e₁ = s₂·d₂ + e₂: the scan multiplies with the first alone, and the rows that remain are
//! looked at again with both. For either level, by Cauchy and Schwarz,
//!
//! ```text
//! |q·x − s·(q − e_q)·c|  =  |q·e_x + e_q·(s·c)|  ≤  ‖q‖·‖e_x‖ + ‖e_q‖·‖s·c‖
//! | ‖q − x‖ − ‖(q − e_q) − s·c‖ |                ≤  ‖e_x‖ + ‖e_q‖
//! ```
//!
//! and on top come the roundings of f32, here and in the exact score: at most `dim` + a few
//! units of 2⁻²⁴ relative to ‖q‖·‖x‖, taken twice. Of 384 dimensions and unit length ‖e‖ is
//! about 0.007, so the bound of a cosine is ± 0.014 in the scan, and ± 0.007 after the second
//! look. It is a bound, not an estimate: no row outside can be among the best. What it costs
//! depends on the data: 13–25 rows read for 10 results where scores spread as usual, and in a
//! crowd of different rows closer to each other than the bound, all of the crowd.
//!
//! For the cosine both sides are scaled to length 1 first. Numbers so large or small that f32
//! products lose their meaning are not estimated: such rows are always read from the store.

use super::Metric;
use super::block::RowScale;
use crate::hashing::mix;
use crate::kernels::{CODE_OFFSET, CodeQuery};

/// Norms whose squares and products are far from the ends of f32.
const SANE_NORMS: std::ops::RangeInclusive<f64> = 1e-15..=1e15;

/// Sums are kept in so many parts, so that they need not wait for each other.
const LANES: usize = 8;

const CODE_MAX: f64 = 127.0;

/// 1.5 · 2⁵²: added to a small number, it leaves the nearest integer in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// Writes the codes of `row`, offset as the kernels want them, and gives what they stand for.
pub(super) fn quantize_row(metric: Metric, row: &[f32], codes: &mut [u8]) -> RowScale {
    let (norm, largest) = norm_and_largest(row);
    let unit = unit_of(metric, norm);
    if norm == 0.0 || !SANE_NORMS.contains(&(norm * unit)) {
        codes.fill(CODE_OFFSET as u8);
        let error = if norm == 0.0 { 0.0 } else { f32::INFINITY };
        return RowScale { scale: 0.0, error, norm: 0.0 };
    }
    let scale = code_scale(largest * unit);
    let factor = unit / scale;
    let mut errors = [0.0; LANES];
    let mut squares = [0.0; LANES];
    for (values, codes) in padded(row).zip(codes.chunks_mut(LANES)) {
        let mut stored = [0; LANES];
        for i in 0..LANES {
            let code = nearest_code(values[i] * factor);
            stored[i] = (code as u8) ^ 128;
            let left = values[i] * unit - scale * f64::from(code);
            errors[i] += left * left;
            squares[i] += f64::from(code) * f64::from(code);
        }
        codes.copy_from_slice(&stored[..codes.len()]);
    }
    RowScale {
        scale: scale as f32,
        error: round_up(errors.iter().sum::<f64>().sqrt()),
        norm: (scale * squares.iter().sum::<f64>().sqrt()) as f32,
    }
}

/// Rows of equal values have equal fingerprints; others differ but for one chance in 2⁶⁴.
pub(super) fn fingerprint(row: &[f32]) -> u64 {
    let word = |pair: &[f32]| pair.iter().fold(0, |word, x| (word << 32) | u64::from(x.to_bits()));
    let (chunks, rest) = row.as_chunks::<8>();
    let mut hashes = [1, 2, 3, 4];
    for chunk in chunks {
        for (hash, pair) in hashes.iter_mut().zip(chunk.as_chunks::<2>().0) {
            *hash = mix(*hash ^ word(pair));
        }
    }
    rest.chunks(2).map(word).chain(hashes).fold(0, |hash, word| mix(hash ^ word))
}

/// How scores follow from products of codes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// Cosine and inner product: the product itself.
    Product,
    /// By way of the square of the distance.
    Distance,
    /// Every score is 0: the query is.
    Zero,
    /// Every row must be read: the query's numbers are out of range.
    Unknown,
}

/// What one level of the query's codes leaves unsaid.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// Factor of the row's error.
    by_error: f32,
    /// `Product`: factor of the row's norm. `Distance`: added as it is.
    by_query: f32,
    /// The square of what the codes so far say the query is.
    square: f32,
}

/// A query as codes, with what is needed to bound every row's score.
#[derive(Debug)]
pub(super) struct QuantizedQuery {
    form: Form,
    codes: [CodeQuery; 2],
    scales: [f32; 2],
    levels: [Level; 2],
    /// Roundings, relative to the whole.
    rounding: f32,
}

impl QuantizedQuery {
    pub(super) fn new(metric: Metric, query: &[f32]) -> Self {
        let (norm, _) = norm_and_largest(query);
        let unit = unit_of(metric, norm);
        let form = match metric {
            Metric::Cosine | Metric::Dot if norm == 0.0 => Form::Zero,
            _ if norm != 0.0 && !SANE_NORMS.contains(&(norm * unit)) => Form::Unknown,
            Metric::Cosine | Metric::Dot => Form::Product,
            Metric::Euclidean => Form::Distance,
        };
        let rounding = (query.len() + 64) as f64 * f64::from(f32::EPSILON);
        let length = norm * unit;
        let mut rest: Vec<f64> = query.iter().map(|&x| f64::from(x) * unit).collect();
        if form == Form::Unknown {
            rest.fill(0.0);
        }
        let mut said = vec![0.0; query.len()];
        let mut level = || {
            let (codes, scale) = take_codes(&mut rest, &mut said);
            let error = norm_of(&rest);
            let by_query = match metric {
                Metric::Euclidean => error,
                Metric::Cosine | Metric::Dot => error + rounding * length,
            };
            let square = norm_of(&said).powi(2) as f32;
            let by_error = round_up(length * (1.0 + 1e-6));
            (codes, scale, Level { by_error, by_query: round_up(by_query), square })
        };
        let (first, first_scale, first_level) = level();
        let (second, second_scale, second_level) = level();
        Self {
            form,
            codes: [first, second],
            scales: [first_scale, second_scale],
            levels: [first_level, second_level],
            rounding: rounding as f32,
        }
    }

    /// The codes of the scan.
    pub(super) fn first(&self) -> &CodeQuery {
        &self.codes[0]
    }

    /// The codes of the second look.
    pub(super) fn second(&self) -> &CodeQuery {
        &self.codes[1]
    }

    /// Whether every score is known to be 0 without looking.
    pub(super) fn scores_nothing(&self) -> bool {
        self.form == Form::Zero
    }

    /// The most each row can score, from its product with the first codes. Never NaN.
    pub(super) fn first_uppers(&self, dots: &[i32], scales: [&[f32]; 3], out: &mut [f32]) {
        let [scales, errors, norms] = scales;
        let rows = dots.iter().zip(scales).zip(errors).zip(norms);
        let level = &self.levels[0];
        match self.form {
            Form::Zero => out.fill(0.0),
            Form::Unknown => out.fill(f32::INFINITY),
            Form::Product => {
                for (out, (((&dot, &scale), &error), &norm)) in out.iter_mut().zip(rows) {
                    let product = dot as f32 * self.scales[0] * scale;
                    *out = product + level.product_slack(error, norm);
                }
            }
            Form::Distance => {
                for (out, (((&dot, &scale), &error), &norm)) in out.iter_mut().zip(rows) {
                    let product = dot as f32 * self.scales[0] * scale;
                    *out = -level.nearest(product, error, norm, self.rounding);
                }
            }
        }
    }

    /// The least and the most a row can score, from its product with the first codes.
    pub(super) fn first_bounds(&self, dot: i32, row: RowScale) -> (f32, f32) {
        self.bounds(&self.levels[0], dot as f32 * self.scales[0] * row.scale, row)
    }

    /// The same from both products: closer together.
    pub(super) fn second_bounds(&self, first: i32, second: i32, row: RowScale) -> (f32, f32) {
        let product = (first as f32 * self.scales[0] + second as f32 * self.scales[1]) * row.scale;
        self.bounds(&self.levels[1], product, row)
    }

    fn bounds(&self, level: &Level, product: f32, row: RowScale) -> (f32, f32) {
        match self.form {
            Form::Zero => (0.0, 0.0),
            Form::Unknown => (f32::NEG_INFINITY, f32::INFINITY),
            Form::Product => {
                let slack = level.product_slack(row.error, row.norm);
                (product - slack, product + slack)
            }
            Form::Distance => (
                -level.farthest(product, row.error, row.norm, self.rounding),
                -level.nearest(product, row.error, row.norm, self.rounding),
            ),
        }
    }
}

impl Level {
    #[inline(always)]
    fn product_slack(&self, error: f32, norm: f32) -> f32 {
        self.by_error * error + self.by_query * norm
    }

    /// The least distance; below zero where nothing is known.
    #[inline(always)]
    fn nearest(&self, product: f32, error: f32, norm: f32, rounding: f32) -> f32 {
        let size = self.square + norm * norm;
        let square = size - 2.0 * product - 16.0 * f32::EPSILON * size;
        let distance = square.max(0.0).sqrt() - error - self.by_query;
        distance - rounding * distance.abs()
    }

    /// The greatest distance.
    #[inline(always)]
    fn farthest(&self, product: f32, error: f32, norm: f32, rounding: f32) -> f32 {
        let size = self.square + norm * norm;
        let square = size - 2.0 * product + 16.0 * f32::EPSILON * size;
        let distance = square.max(0.0).sqrt() + error + self.by_query;
        distance + rounding * distance
    }
}

/// Takes from `rest` what one level of codes can say, and adds that to `said`.
fn take_codes(rest: &mut [f64], said: &mut [f64]) -> (CodeQuery, f32) {
    let scale = code_scale(rest.iter().fold(0.0, |largest, x| greater(largest, x.abs())));
    let factor = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut codes = Vec::with_capacity(rest.len());
    for (rest, said) in rest.iter_mut().zip(said) {
        let code = nearest_code(*rest * factor);
        codes.push(code);
        *rest -= scale * f64::from(code);
        *said += scale * f64::from(code);
    }
    (CodeQuery::new(codes), scale as f32)
}

/// What vectors are multiplied by before anything else.
fn unit_of(metric: Metric, norm: f64) -> f64 {
    if metric == Metric::Cosine && norm > 0.0 { 1.0 / norm } else { 1.0 }
}

/// The value of one code, exactly an f32.
fn code_scale(largest: f64) -> f64 {
    f64::from((largest / CODE_MAX) as f32)
}

/// The code next to `value`, which is in −127..=127 but for its last bits.
#[inline(always)]
pub(super) fn nearest_code(value: f64) -> i8 {
    (value.clamp(-CODE_MAX, CODE_MAX) + ROUNDER).to_bits() as i8
}

pub(super) fn norm_and_largest(vector: &[f32]) -> (f64, f64) {
    let mut squares = [0.0; LANES];
    let mut largest = [0.0; LANES];
    for values in padded(vector) {
        for i in 0..LANES {
            squares[i] += values[i] * values[i];
            largest[i] = greater(largest[i], values[i].abs());
        }
    }
    (squares.iter().sum::<f64>().sqrt(), largest.into_iter().fold(0.0, greater))
}

fn norm_of(vector: &[f64]) -> f64 {
    let (chunks, rest) = vector.as_chunks::<LANES>();
    let mut squares = [0.0; LANES];
    for values in chunks {
        for i in 0..LANES {
            squares[i] += values[i] * values[i];
        }
    }
    let rest: f64 = rest.iter().map(|x| x * x).sum();
    (squares.iter().sum::<f64>() + rest).sqrt()
}

/// The vector in chunks, the last one filled up with zeros.
fn padded(vector: &[f32]) -> impl Iterator<Item = [f64; LANES]> {
    let (chunks, rest) = vector.as_chunks::<LANES>();
    let last = (!rest.is_empty())
        .then(|| std::array::from_fn(|i| rest.get(i).copied().map_or(0.0, f64::from)));
    chunks.iter().map(|chunk| chunk.map(f64::from)).chain(last)
}

/// As `f64::max`, in one instruction; of no use for NaN.
#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// The nearest f32 that is not less.
fn round_up(value: f64) -> f32 {
    (value as f32).next_up()
}
