//! NEON: rows are turned back to signed codes, so no correction is needed.
//!
//! With `dotprod` 16 codes an instruction; without it products of two codes are formed in 16
//! bits, where |−128 · −128| = 16,384 fits, and are added up in 32.

macro_rules! neon_codes {
    ($features:literal, $add_products:ident) => {
        use std::arch::aarch64::*;

        use super::super::rows::{Rows, dot_rows_in_fours};
        use super::super::{CodeQuery, portable};

        struct Query<'a> {
            chunks: &'a [[i8; 16]],
            /// The last 16 codes, those that `chunks` covers as zeros.
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
        #[target_feature(enable = $features)]
        fn one(query: &Query<'_>, row: &[u8]) -> i32 {
            if !query.short.is_empty() {
                return portable::dot_codes(query.short, row) - query.bias;
            }
            let (q_pairs, q_last) = query.chunks.as_chunks::<2>();
            let (pairs, last) = row.as_chunks::<16>().0.as_chunks::<2>();
            let mut sums = [vdupq_n_s32(0); 2];
            for (q, r) in q_pairs.iter().zip(pairs) {
                sums[0] = $add_products(sums[0], load_row(&r[0]), load_query(&q[0]));
                sums[1] = $add_products(sums[1], load_row(&r[1]), load_query(&q[1]));
            }
            for (q, r) in q_last.iter().zip(last) {
                sums[0] = $add_products(sums[0], load_row(r), load_query(q));
            }
            if let (Some(window), Some(end)) = (&query.window, row.last_chunk()) {
                sums[1] = $add_products(sums[1], load_row(end), load_query(window));
            }
            vaddvq_s32(vaddq_s32(sums[0], sums[1]))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn in_order(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
            rows.map(|row| one(query, row))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn side_by_side(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
            if !query.short.is_empty() {
                return rows.map(|row| portable::dot_codes(query.short, row) - query.bias);
            }
            let [a, b, c, d] = rows.map(|row| row.as_chunks().0);
            let mut sums = [vdupq_n_s32(0); 4];
            for ((((q, a), b), c), d) in query.chunks.iter().zip(a).zip(b).zip(c).zip(d) {
                let q = load_query(q);
                sums[0] = $add_products(sums[0], load_row(a), q);
                sums[1] = $add_products(sums[1], load_row(b), q);
                sums[2] = $add_products(sums[2], load_row(c), q);
                sums[3] = $add_products(sums[3], load_row(d), q);
            }
            if let Some(window) = &query.window {
                let q = load_query(window);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    if let Some(end) = row.last_chunk() {
                        *sum = $add_products(*sum, load_row(end), q);
                    }
                }
            }
            sums.map(|sum| vaddvq_s32(sum))
        }

        dot_rows_in_fours! {
            #[target_feature(enable = $features)]
        }

        #[inline]
        #[target_feature(enable = "neon")]
        #[allow(unsafe_code)]
        fn load_row(chunk: &[u8; 16]) -> int8x16_t {
            // SAFETY: the chunk is 16 readable bytes; the load needs no alignment.
            let codes = unsafe { vld1q_u8(chunk.as_ptr()) };
            vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128)))
        }

        #[inline]
        #[target_feature(enable = "neon")]
        #[allow(unsafe_code)]
        fn load_query(chunk: &[i8; 16]) -> int8x16_t {
            // SAFETY: the chunk is 16 readable bytes; the load needs no alignment.
            unsafe { vld1q_s8(chunk.as_ptr()) }
        }
    };
}

pub(super) mod dotprod {
    neon_codes!("neon,dotprod", add_products);

    /// `sdot`, whose intrinsic is not stable yet.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    #[allow(unsafe_code)]
    fn add_products(mut sum: int32x4_t, row: int8x16_t, query: int8x16_t) -> int32x4_t {
        // SAFETY: the instruction works on these registers alone and is one this function's
        // target feature has.
        unsafe {
            std::arch::asm!(
                "sdot {sum:v}.4s, {row:v}.16b, {query:v}.16b",
                sum = inout(vreg) sum,
                row = in(vreg) row,
                query = in(vreg) query,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }
}

pub(super) mod base {
    neon_codes!("neon", add_products);

    #[inline]
    #[target_feature(enable = "neon")]
    fn add_products(sum: int32x4_t, row: int8x16_t, query: int8x16_t) -> int32x4_t {
        let low = vmull_s8(vget_low_s8(row), vget_low_s8(query));
        let high = vmull_high_s8(row, query);
        vpadalq_s16(vpadalq_s16(sum, low), high)
    }
}

use std::arch::aarch64::*;

use super::rows::{float_rows, fused_rows, plain_code};

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let short = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum();
    fold(a, b, |sum, x, y| vfmaq_f32(sum, x, y), short)
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    let step = |sum, x, y| {
        let difference = vsubq_f32(x, y);
        vfmaq_f32(sum, difference, difference)
    };
    let short = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
    fold(a, b, step, short)
}

/// The product, and the square of `b`, each of whose numbers is loaded once.
#[inline]
#[target_feature(enable = "neon")]
fn dot_and_square(a: &[f32], b: &[f32]) -> (f32, f32) {
    let (a_fours, a) = a.as_chunks::<16>();
    let (b_fours, b) = b.as_chunks::<16>();
    let (mut dots, mut squares) = ([vdupq_n_f32(0.0); 4], [vdupq_n_f32(0.0); 4]);
    for (a, b) in a_fours.iter().zip(b_fours) {
        let (a, b) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0);
        for i in 0..4 {
            let numbers = load_floats(&b[i]);
            dots[i] = vfmaq_f32(dots[i], load_floats(&a[i]), numbers);
            squares[i] = vfmaq_f32(squares[i], numbers, numbers);
        }
    }
    let (a, a_tail) = a.as_chunks::<4>();
    let (b, b_tail) = b.as_chunks::<4>();
    for (a, b) in a.iter().zip(b) {
        let numbers = load_floats(b);
        dots[0] = vfmaq_f32(dots[0], load_floats(a), numbers);
        squares[0] = vfmaq_f32(squares[0], numbers, numbers);
    }
    let short = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    (sum_lanes(dots) + short(a_tail, b_tail), sum_lanes(squares) + short(b_tail, b_tail))
}

float_rows! {
    #[target_feature(enable = "neon")]
}

fused_rows! {
    #[target_feature(enable = "neon")]
}

plain_code! {
    #[target_feature(enable = "neon")]
}

#[inline]
#[target_feature(enable = "neon")]
fn fold(
    a: &[f32],
    b: &[f32],
    step: impl Fn(float32x4_t, float32x4_t, float32x4_t) -> float32x4_t,
    short: impl Fn(&[f32], &[f32]) -> f32,
) -> f32 {
    let (a_fours, a) = a.as_chunks::<16>();
    let (b_fours, b) = b.as_chunks::<16>();
    let mut sums = [vdupq_n_f32(0.0); 4];
    for (a, b) in a_fours.iter().zip(b_fours) {
        let (a, b) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0);
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = step(*sum, load_floats(a), load_floats(b));
        }
    }
    let (a, a_tail) = a.as_chunks::<4>();
    let (b, b_tail) = b.as_chunks::<4>();
    for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
        *sum = step(*sum, load_floats(a), load_floats(b));
    }
    sum_lanes(sums) + short(a_tail, b_tail)
}

#[inline]
#[target_feature(enable = "neon")]
fn sum_lanes([a, b, c, d]: [float32x4_t; 4]) -> f32 {
    vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)))
}

#[inline]
#[target_feature(enable = "neon")]
#[allow(unsafe_code)]
fn load_floats(chunk: &[f32; 4]) -> float32x4_t {
    // SAFETY: the chunk is 16 readable bytes; the load needs no alignment.
    unsafe { vld1q_f32(chunk.as_ptr()) }
}
