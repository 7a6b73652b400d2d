//! AVX2 with FMA: codes are widened to 16 bits before they are multiplied, because the 8-bit
//! multiply (`vpmaddubsw`) saturates; a sum of two products of codes always fits 32 bits.

use std::arch::x86_64::*;

use super::CodeQuery;
use super::portable;
use super::rows::{Rows, dot_rows_in_fours, float_rows, fused_rows, plain_code};

struct Query<'a> {
    chunks: &'a [[i8; 16]],
    /// The last 16 codes, those that `chunks` covers as zeros: a row's end is read in one load
    /// which reaches back over what is done. None: nothing is left, or the row is shorter.
    window: Option<[i8; 16]>,
    short: &'a [i8],
    bias: i32,
}

impl<'a> Query<'a> {
    fn new(query: &'a CodeQuery) -> Self {
        let (chunks, tail) = query.codes.as_chunks();
        let short = if chunks.is_empty() { tail } else { &[] };
        Self { chunks, window: query.window(), short, bias: query.bias }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn one(query: &Query<'_>, row: &[u8]) -> i32 {
    if !query.short.is_empty() {
        return portable::dot_codes(query.short, row) - query.bias;
    }
    let zero = _mm256_setzero_si256();
    sum_four([lanes(query, row), zero, zero, zero], query.bias)[0]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn in_order(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
    if !query.short.is_empty() {
        return rows.map(|row| portable::dot_codes(query.short, row) - query.bias);
    }
    sum_four(rows.map(|row| lanes(query, row)), query.bias)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn lanes(query: &Query<'_>, row: &[u8]) -> __m256i {
    let (q_pairs, q_last) = query.chunks.as_chunks::<2>();
    let (pairs, last) = row.as_chunks::<16>().0.as_chunks::<2>();
    let mut sums = [_mm256_setzero_si256(); 2];
    for (q, r) in q_pairs.iter().zip(pairs) {
        sums[0] = add_products(sums[0], widen_row(&r[0]), widen_query(&q[0]));
        sums[1] = add_products(sums[1], widen_row(&r[1]), widen_query(&q[1]));
    }
    for (q, r) in q_last.iter().zip(last) {
        sums[0] = add_products(sums[0], widen_row(r), widen_query(q));
    }
    if let (Some(window), Some(end)) = (&query.window, row.last_chunk()) {
        sums[1] = add_products(sums[1], widen_row(end), widen_query(window));
    }
    _mm256_add_epi32(sums[0], sums[1])
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn side_by_side(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
    if !query.short.is_empty() {
        return rows.map(|row| portable::dot_codes(query.short, row) - query.bias);
    }
    let [a, b, c, d] = rows.map(|row| row.as_chunks().0);
    let mut sums = [_mm256_setzero_si256(); 4];
    for ((((q, a), b), c), d) in query.chunks.iter().zip(a).zip(b).zip(c).zip(d) {
        let q = widen_query(q);
        sums[0] = add_products(sums[0], widen_row(a), q);
        sums[1] = add_products(sums[1], widen_row(b), q);
        sums[2] = add_products(sums[2], widen_row(c), q);
        sums[3] = add_products(sums[3], widen_row(d), q);
    }
    if let Some(window) = &query.window {
        let q = widen_query(window);
        for (sum, row) in sums.iter_mut().zip(rows) {
            if let Some(end) = row.last_chunk() {
                *sum = add_products(*sum, widen_row(end), q);
            }
        }
    }
    sum_four(sums, query.bias)
}

dot_rows_in_fours! {
    #[target_feature(enable = "avx2,fma")]
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_products(sum: __m256i, row: __m256i, query: __m256i) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(row, query))
}

/// The four sums over all lanes, less `bias`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum_four(sums: [__m256i; 4], bias: i32) -> [i32; 4] {
    let [a, b, c, d] = sums;
    let lanes = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let dots = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let dots = _mm_sub_epi32(dots, _mm_set1_epi32(bias));
    [
        _mm_extract_epi32::<0>(dots),
        _mm_extract_epi32::<1>(dots),
        _mm_extract_epi32::<2>(dots),
        _mm_extract_epi32::<3>(dots),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let short = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum();
    fold(a, b, |sum, x, y| _mm256_fmadd_ps(x, y, sum), short)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    let step = |sum, x, y| {
        let difference = _mm256_sub_ps(x, y);
        _mm256_fmadd_ps(difference, difference, sum)
    };
    let short = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
    fold(a, b, step, short)
}

/// The product, and the square of `b`, each of whose numbers is loaded once.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn dot_and_square(a: &[f32], b: &[f32]) -> (f32, f32) {
    let (a_fours, a) = a.as_chunks::<32>();
    let (b_fours, b) = b.as_chunks::<32>();
    let (mut dots, mut squares) = ([_mm256_setzero_ps(); 4], [_mm256_setzero_ps(); 4]);
    for (a, b) in a_fours.iter().zip(b_fours) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for i in 0..4 {
            let numbers = load_floats(&b[i]);
            dots[i] = _mm256_fmadd_ps(load_floats(&a[i]), numbers, dots[i]);
            squares[i] = _mm256_fmadd_ps(numbers, numbers, squares[i]);
        }
    }
    let (a, a_tail) = a.as_chunks::<8>();
    let (b, b_tail) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        let numbers = load_floats(b);
        dots[0] = _mm256_fmadd_ps(load_floats(a), numbers, dots[0]);
        squares[0] = _mm256_fmadd_ps(numbers, numbers, squares[0]);
    }
    let short = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    (sum_lanes(dots) + short(a_tail, b_tail), sum_lanes(squares) + short(b_tail, b_tail))
}

float_rows! {
    #[target_feature(enable = "avx2,fma")]
}

fused_rows! {
    #[target_feature(enable = "avx2,fma")]
}

plain_code! {
    #[target_feature(enable = "avx2,fma,popcnt")]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn fold(
    a: &[f32],
    b: &[f32],
    step: impl Fn(__m256, __m256, __m256) -> __m256,
    short: impl Fn(&[f32], &[f32]) -> f32,
) -> f32 {
    let (a_fours, a) = a.as_chunks::<32>();
    let (b_fours, b) = b.as_chunks::<32>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (a, b) in a_fours.iter().zip(b_fours) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = step(*sum, load_floats(a), load_floats(b));
        }
    }
    let (a, a_tail) = a.as_chunks::<8>();
    let (b, b_tail) = b.as_chunks::<8>();
    for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
        *sum = step(*sum, load_floats(a), load_floats(b));
    }
    sum_lanes(sums) + short(a_tail, b_tail)
}

/// The sums over all lanes of four registers.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn sum_four_floats([a, b, c, d]: [__m256; 4]) -> [f32; 4] {
    let lanes = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    let sums = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    [
        _mm_cvtss_f32(sums),
        _mm_cvtss_f32(_mm_movehdup_ps(sums)),
        _mm_cvtss_f32(_mm_movehl_ps(sums, sums)),
        _mm_cvtss_f32(_mm_permute_ps::<0b11>(sums)),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_lanes([a, b, c, d]: [__m256; 4]) -> f32 {
    let sum = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
    let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    let lane = _mm_add_ss(quarter, _mm_movehdup_ps(quarter));
    _mm_cvtss_f32(lane)
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn widen_row(chunk: &[u8; 16]) -> __m256i {
    // SAFETY: the chunk is 16 readable bytes; the load needs no alignment.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn widen_query(chunk: &[i8; 16]) -> __m256i {
    // SAFETY: the chunk is 16 readable bytes; the load needs no alignment.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn load_floats(chunk: &[f32; 8]) -> __m256 {
    // SAFETY: the chunk is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_ps(chunk.as_ptr()) }
}
