//! Plain code for any processor, written so that the compiler can vectorise it.

use super::CodeQuery;
use super::rows::{Rows, dot_rows_in_fours, float_rows, fused_rows, plain_code};

const LANES: usize = 16;

struct Query<'a> {
    codes: &'a [i8],
    bias: i32,
}

impl<'a> Query<'a> {
    fn new(query: &'a CodeQuery) -> Self {
        Self { codes: &query.codes, bias: query.bias }
    }
}

fn one(query: &Query<'_>, row: &[u8]) -> i32 {
    dot_codes(query.codes, row) - query.bias
}

fn in_order(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
    rows.map(|row| one(query, row))
}

fn side_by_side(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
    in_order(query, rows)
}

/// The sum of products without the correction for the offset of the row.
pub(super) fn dot_codes(query: &[i8], row: &[u8]) -> i32 {
    query.iter().zip(row).map(|(&q, &r)| i32::from(q) * i32::from(r)).sum()
}

dot_rows_in_fours!();

pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    fold(a, b, |sum, x, y| sum + x * y)
}

pub(super) fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    fold(a, b, |sum, x, y| sum + (x - y) * (x - y))
}

pub(super) fn dot_and_square(a: &[f32], b: &[f32]) -> (f32, f32) {
    (dot_f32(a, b), dot_f32(b, b))
}

float_rows!();
fused_rows!();
plain_code!();

/// Folds pairs into independent lanes, so that the order of the additions is fixed and wide.
#[inline(always)]
fn fold(a: &[f32], b: &[f32], step: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for (lane, (&x, &y)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane = step(*lane, x, y);
        }
    }
    for (lane, (&x, &y)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane = step(*lane, x, y);
    }
    lanes.iter().sum()
}
