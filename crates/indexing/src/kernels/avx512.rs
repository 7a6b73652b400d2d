//! AVX-512 with VNNI: 64 codes or 16 floats an instruction, tails by mask.

use std::arch::x86_64::*;

use super::CodeQuery;
use super::rows::{Rows, dot_rows_in_fours, float_rows, plain_code};

struct Query<'a> {
    chunks: &'a [[i8; 64]],
    tail: &'a [i8],
    bias: i32,
}

impl<'a> Query<'a> {
    fn new(query: &'a CodeQuery) -> Self {
        let (chunks, tail) = query.codes.as_chunks();
        Self { chunks, tail, bias: query.bias }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn one(query: &Query<'_>, row: &[u8]) -> i32 {
    _mm512_reduce_add_epi32(lanes(query, row)) - query.bias
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn in_order(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
    sum_four(rows.map(|row| lanes(query, row)), query.bias)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn lanes(query: &Query<'_>, row: &[u8]) -> __m512i {
    let (chunks, tail) = row.as_chunks::<64>();
    let mut sums = [_mm512_setzero_si512(); 2];
    let (q_pairs, q_last) = query.chunks.as_chunks::<2>();
    let (pairs, last) = chunks.as_chunks::<2>();
    for (q, r) in q_pairs.iter().zip(pairs) {
        sums[0] = _mm512_dpbusd_epi32(sums[0], load_row(&r[0]), load_query(&q[0]));
        sums[1] = _mm512_dpbusd_epi32(sums[1], load_row(&r[1]), load_query(&q[1]));
    }
    for (q, r) in q_last.iter().zip(last) {
        sums[0] = _mm512_dpbusd_epi32(sums[0], load_row(r), load_query(q));
    }
    if !tail.is_empty() {
        sums[1] = _mm512_dpbusd_epi32(sums[1], load_row_tail(tail), load_query_tail(query.tail));
    }
    _mm512_add_epi32(sums[0], sums[1])
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn side_by_side(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
    let [(a, a_tail), (b, b_tail), (c, c_tail), (d, d_tail)] = rows.map(|row| row.as_chunks());
    let mut sums = [_mm512_setzero_si512(); 4];
    for ((((q, a), b), c), d) in query.chunks.iter().zip(a).zip(b).zip(c).zip(d) {
        let q = load_query(q);
        sums[0] = _mm512_dpbusd_epi32(sums[0], load_row(a), q);
        sums[1] = _mm512_dpbusd_epi32(sums[1], load_row(b), q);
        sums[2] = _mm512_dpbusd_epi32(sums[2], load_row(c), q);
        sums[3] = _mm512_dpbusd_epi32(sums[3], load_row(d), q);
    }
    if !query.tail.is_empty() {
        let q = load_query_tail(query.tail);
        sums[0] = _mm512_dpbusd_epi32(sums[0], load_row_tail(a_tail), q);
        sums[1] = _mm512_dpbusd_epi32(sums[1], load_row_tail(b_tail), q);
        sums[2] = _mm512_dpbusd_epi32(sums[2], load_row_tail(c_tail), q);
        sums[3] = _mm512_dpbusd_epi32(sums[3], load_row_tail(d_tail), q);
    }
    sum_four(sums, query.bias)
}

mod any_length {
    use super::*;

    dot_rows_in_fours! {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_rows<R: Rows>(query: &CodeQuery, rows: &R, out: &mut [i32]) {
    let (chunks, rest) = query.codes.as_chunks();
    match chunks.len() {
        // The usual lengths of embeddings that leave registers to work with.
        6 if R::IN_ORDER && rest.is_empty() => held::<6, R>(query, chunks, rows, out),
        8 if R::IN_ORDER && rest.is_empty() => held::<8, R>(query, chunks, rows, out),
        12 if R::IN_ORDER && rest.is_empty() => held::<12, R>(query, chunks, rows, out),
        16 if R::IN_ORDER && rest.is_empty() => held::<16, R>(query, chunks, rows, out),
        _ => any_length::dot_rows(query, rows, out),
    }
}

/// Keeps all `N` chunks of the query in registers: half the loads.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn held<const N: usize, R: Rows>(
    query: &CodeQuery,
    chunks: &[[i8; 64]],
    rows: &R,
    out: &mut [i32],
) {
    let held: [__m512i; N] = std::array::from_fn(|i| load_query(&chunks[i]));
    let lanes = |index| {
        let row: &[[u8; 64]; N] = rows.row(index).as_chunks().0.try_into().expect("N chunks");
        let mut sums = [_mm512_setzero_si512(); 2];
        for i in 0..N {
            sums[i % 2] = _mm512_dpbusd_epi32(sums[i % 2], load_row(&row[i]), held[i]);
        }
        _mm512_add_epi32(sums[0], sums[1])
    };
    let (quads, rest) = out.as_chunks_mut::<4>();
    let done = quads.len() * 4;
    for (quad, index) in quads.iter_mut().zip((0..).step_by(4)) {
        let four = [lanes(index), lanes(index + 1), lanes(index + 2), lanes(index + 3)];
        *quad = sum_four(four, query.bias);
    }
    for (offset, dot) in rest.iter_mut().enumerate() {
        *dot = _mm512_reduce_add_epi32(lanes(done + offset)) - query.bias;
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sum_four(sums: [__m512i; 4], bias: i32) -> [i32; 4] {
    let [a, b, c, d] = sums.map(|sum| {
        _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum))
    });
    super::avx2::sum_four([a, b, c, d], bias)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    fold(a, b, |sum, x, y| _mm512_fmadd_ps(x, y, sum))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    fold(a, b, |sum, x, y| {
        let difference = _mm512_sub_ps(x, y);
        _mm512_fmadd_ps(difference, difference, sum)
    })
}

/// The product, and the square of `b`, each of whose numbers is loaded once.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot_and_square(a: &[f32], b: &[f32]) -> (f32, f32) {
    let (a_pairs, a) = a.as_chunks::<32>();
    let (b_pairs, b) = b.as_chunks::<32>();
    let (mut dots, mut squares) = ([_mm512_setzero_ps(); 2], [_mm512_setzero_ps(); 2]);
    for (a, b) in a_pairs.iter().zip(b_pairs) {
        let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
        for i in 0..2 {
            let numbers = load_floats(&b[i]);
            dots[i] = _mm512_fmadd_ps(load_floats(&a[i]), numbers, dots[i]);
            squares[i] = _mm512_fmadd_ps(numbers, numbers, squares[i]);
        }
    }
    let (a, a_tail) = a.as_chunks::<16>();
    let (b, b_tail) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        let numbers = load_floats(b);
        dots[0] = _mm512_fmadd_ps(load_floats(a), numbers, dots[0]);
        squares[0] = _mm512_fmadd_ps(numbers, numbers, squares[0]);
    }
    if !a_tail.is_empty() {
        let numbers = load_floats_tail(b_tail);
        dots[1] = _mm512_fmadd_ps(load_floats_tail(a_tail), numbers, dots[1]);
        squares[1] = _mm512_fmadd_ps(numbers, numbers, squares[1]);
    }
    let sum = |[a, b]: [__m512; 2]| _mm512_reduce_add_ps(_mm512_add_ps(a, b));
    (sum(dots), sum(squares))
}

float_rows! {
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
}

/// Four rows are read side by side, which shares each load of the query and the adding up of lanes, and the
/// memory is asked for the next four.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_and_square_rows(
    query: &[f32],
    rows: &[f32],
    dots: &mut [f32],
    squares: &mut [f32],
) {
    let dim = query.len();
    let (chunks, tail) = query.as_chunks::<16>();
    let (dot_fours, dots) = dots.as_chunks_mut::<4>();
    let (square_fours, squares) = squares.as_chunks_mut::<4>();
    let fours = rows.chunks_exact(4 * dim);
    for ((dot, square), four) in dot_fours.iter_mut().zip(square_fours).zip(fours.clone()) {
        let four = four_rows(four, dim);
        let [a, b, c, d] = four;
        let chunked = [
            a.as_chunks::<16>().0,
            b.as_chunks::<16>().0,
            c.as_chunks::<16>().0,
            d.as_chunks::<16>().0,
        ];
        let (mut products, mut own) = ([_mm512_setzero_ps(); 4], [_mm512_setzero_ps(); 4]);
        for (index, query) in chunks.iter().enumerate() {
            let query = load_floats(query);
            for i in 0..4 {
                let numbers = &chunked[i][index];
                // Beyond the last row too: a prefetch reads nothing.
                _mm_prefetch::<_MM_HINT_T0>(numbers.as_ptr().wrapping_add(4 * dim).cast());
                let numbers = load_floats(numbers);
                products[i] = _mm512_fmadd_ps(query, numbers, products[i]);
                own[i] = _mm512_fmadd_ps(numbers, numbers, own[i]);
            }
        }
        if !tail.is_empty() {
            let query = load_floats_tail(tail);
            for i in 0..4 {
                let numbers = load_floats_tail(four[i].as_chunks::<16>().1);
                products[i] = _mm512_fmadd_ps(query, numbers, products[i]);
                own[i] = _mm512_fmadd_ps(numbers, numbers, own[i]);
            }
        }
        (*dot, *square) = (sum_four_floats(products), sum_four_floats(own));
    }
    let rest = fours.remainder().chunks_exact(dim);
    for ((dot, square), row) in dots.iter_mut().zip(squares).zip(rest) {
        (*dot, *square) = dot_and_square(query, row);
    }
}

/// Rows that lie one after the other. Closures are not compiled for the instruction set of their function.
#[inline(always)]
fn four_rows(rows: &[f32], dim: usize) -> [&[f32]; 4] {
    let (pair, other) = rows.split_at(2 * dim);
    let ((a, b), (c, d)) = (pair.split_at(dim), other.split_at(dim));
    [a, b, c, d]
}

/// Sixteen products at a time: four rows with four queries.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_f32_four(queries: [&[f32]; 4], rows: &[f32], mut out: [&mut [f32]; 4]) {
    let dim = queries[0].len();
    let fours = rows.chunks_exact(4 * dim);
    let done = fours.len() * 4;
    for (index, four) in fours.clone().enumerate() {
        let four = four_rows(four, dim);
        let [a, b, c, d] = four;
        let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
        let (c, d) = (c.as_chunks::<16>().0, d.as_chunks::<16>().0);
        let mut sums = [[_mm512_setzero_ps(); 4]; 4];
        for (i, (((a, b), c), d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
            let numbers = [load_floats(a), load_floats(b), load_floats(c), load_floats(d)];
            for (sums, query) in sums.iter_mut().zip(queries) {
                let query = load_floats(&query.as_chunks::<16>().0[i]);
                for (sum, numbers) in sums.iter_mut().zip(numbers) {
                    *sum = _mm512_fmadd_ps(query, numbers, *sum);
                }
            }
        }
        if !dim.is_multiple_of(16) {
            let numbers = four.map(|row| load_floats_tail(row.as_chunks::<16>().1));
            for (sums, query) in sums.iter_mut().zip(queries) {
                let query = load_floats_tail(query.as_chunks::<16>().1);
                for (sum, numbers) in sums.iter_mut().zip(numbers) {
                    *sum = _mm512_fmadd_ps(query, numbers, *sum);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            out[index * 4..index * 4 + 4].copy_from_slice(&sum_four_floats(sums));
        }
    }
    for (row, numbers) in fours.remainder().chunks_exact(dim).enumerate() {
        for (query, out) in queries.iter().zip(out.iter_mut()) {
            out[done + row] = dot_f32(query, numbers);
        }
    }
}

/// The sums over all lanes of four registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sum_four_floats(sums: [__m512; 4]) -> [f32; 4] {
    let [a, b, c, d] = sums;
    super::avx2::sum_four_floats([add_halves(a), add_halves(b), add_halves(c), add_halves(d)])
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_halves(sum: __m512) -> __m256 {
    let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sum));
    _mm256_add_ps(_mm512_castps512_ps256(sum), _mm256_castpd_ps(high))
}

plain_code! {
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn fold(a: &[f32], b: &[f32], step: impl Fn(__m512, __m512, __m512) -> __m512) -> f32 {
    let (a_fours, a) = a.as_chunks::<64>();
    let (b_fours, b) = b.as_chunks::<64>();
    let mut sums = [_mm512_setzero_ps(); 4];
    for (a, b) in a_fours.iter().zip(b_fours) {
        let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = step(*sum, load_floats(a), load_floats(b));
        }
    }
    let (a, a_tail) = a.as_chunks::<16>();
    let (b, b_tail) = b.as_chunks::<16>();
    for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
        *sum = step(*sum, load_floats(a), load_floats(b));
    }
    if !a_tail.is_empty() {
        sums[3] = step(sums[3], load_floats_tail(a_tail), load_floats_tail(b_tail));
    }
    let [a, b, c, d] = sums;
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
fn load_row(chunk: &[u8; 64]) -> __m512i {
    // SAFETY: the chunk is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
fn load_query(chunk: &[i8; 64]) -> __m512i {
    // SAFETY: the chunk is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
fn load_row_tail(tail: &[u8]) -> __m512i {
    let mask = first_lanes(tail.len());
    // SAFETY: the mask selects the bytes of `tail` alone; masked lanes are not touched.
    unsafe { _mm512_maskz_loadu_epi8(mask, tail.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
fn load_query_tail(tail: &[i8]) -> __m512i {
    let mask = first_lanes(tail.len());
    // SAFETY: the mask selects the bytes of `tail` alone; masked lanes are not touched.
    unsafe { _mm512_maskz_loadu_epi8(mask, tail.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
fn load_floats(chunk: &[f32; 16]) -> __m512 {
    // SAFETY: the chunk is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_ps(chunk.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
fn load_floats_tail(tail: &[f32]) -> __m512 {
    let mask = first_lanes(tail.len()) as u16;
    // SAFETY: the mask selects the floats of `tail` alone; masked lanes are not touched.
    unsafe { _mm512_maskz_loadu_ps(mask, tail.as_ptr()) }
}

/// A mask of the first `len` lanes; a tail is shorter than a register.
fn first_lanes(len: usize) -> u64 {
    debug_assert!(len < 64);
    (1 << (len & 63)) - 1
}
