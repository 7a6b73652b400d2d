//! Arrays of vectors compared with each other, by the kernels of the indexes and in no index.
//!
//! Rows lie one after the other. Nothing here panics for what numbers they hold: what is not finite
//! is told by [`NotFinite`], and a sum too large or too small for f32 is made again in f64.

use std::ops::Range;
use std::thread::{available_parallelism, scope};

use embedded_db_common::Result;

use super::Metric;
use super::exact::ExactQuery;
use super::quantize::quantize_row;
use crate::kernels::{CODE_OFFSET, CodeQuery, Kernels};

#[cfg(test)]
mod tests;

/// A vector holds NaN or an infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite;

/// What came of a comparison: an error of whoever interrupted it, or numbers that cannot be compared.
pub type Compared<T> = Result<std::result::Result<T, NotFinite>>;

/// Asked every now and then; its error ends what is under way.
pub type Interrupt<'a> = &'a (dyn Fn() -> Result<()> + Sync);

/// Bytes of rows that are compared with all queries while they are in the cache.
const BLOCK_BYTES: usize = 128 << 10;
/// Most rows of a block.
const BLOCK_ROWS: usize = 4096;
/// Bytes of rows for which a further thread is worth its start.
const THREAD_BYTES: usize = 4 << 20;

/// Which rows are best, the best first, of equal scores the first rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Best {
    /// Numbers of rows.
    pub rows: Vec<i64>,
    /// The score of each.
    pub scores: Vec<f32>,
}

/// The scores of all rows for every query, `queries × rows` of them.
///
/// # Errors
/// What `interrupt` says.
///
/// # Panics
/// If `dim` is 0, or the arrays are not of whole vectors that fill the output.
pub fn scores(
    metric: Metric,
    dim: usize,
    queries: &[f32],
    rows: &[f32],
    out: &mut [f32],
    interrupt: Interrupt<'_>,
) -> Compared<()> {
    let count = rows.len() / dim;
    assert_eq!(out.len(), queries.len() / dim * count, "a score for each pair");
    // A row that is compared with nothing must be right all the same.
    if queries.is_empty() || rows.is_empty() {
        let is_finite = [queries, rows].iter().all(|array| are_finite(array));
        return Ok(if is_finite { Ok(()) } else { Err(NotFinite) });
    }
    if !are_finite(queries) {
        return Ok(Err(NotFinite));
    }
    let kernels = Kernels::detect();
    // One query reads all rows but once.
    let block = if queries.len() > dim { block_rows(dim) } else { BLOCK_ROWS };
    let mut squares = vec![0.0; block.min(count)];
    let queries: Vec<_> =
        queries.chunks_exact(dim).map(|query| ExactQuery::new(metric, kernels, query)).collect();
    for (index, some) in rows.chunks(block * dim).enumerate() {
        let (first, len) = (index * block, some.len() / dim);
        let squares = &mut squares[..len];
        let mut outs: Vec<&mut [f32]> =
            out.chunks_exact_mut(count).map(|out| &mut out[first..first + len]).collect();
        if !block_scores(kernels, &queries, some, squares, &mut outs) {
            return Ok(Err(NotFinite));
        }
        interrupt()?;
    }
    Ok(Ok(()))
}

/// The scores of some rows for all queries. `false`: a row holds what is no finite number.
fn block_scores(
    kernels: Kernels,
    queries: &[ExactQuery<'_>],
    rows: &[f32],
    squares: &mut [f32],
    outs: &mut [&mut [f32]],
) -> bool {
    let by_products = queries[0].metric() != Metric::Euclidean;
    let fours = if by_products { queries.len() / 4 * 4 } else { 0 };
    let (four_queries, queries) = queries.split_at(fours);
    let (four_outs, outs) = outs.split_at_mut(fours);
    if let ([first, ..], [out, ..]) = (four_queries, &mut *four_outs) {
        // For the squares, which are the same for all.
        kernels.dot_and_square_rows(first.vector(), rows, out, squares);
    }
    let fours = four_queries.as_chunks::<4>().0.iter().zip(four_outs.as_chunks_mut::<4>().0);
    for (queries, [a, b, c, d]) in fours {
        let vectors = queries.each_ref().map(ExactQuery::vector);
        kernels.dot_f32_four(vectors, rows, [a, b, c, d]);
        let mut outs = queries.iter().zip([a, b, c, d]);
        if !outs.all(|(query, out)| query.finish(rows, squares, out)) {
            return false;
        }
    }
    let mut rest = queries.iter().zip(outs);
    rest.all(|(query, out)| query.scores(rows, squares, out))
}

/// The `k` best rows of one query.
///
/// # Errors
/// What `interrupt` says.
///
/// # Panics
/// If the rows are not of whole vectors of the query's length.
pub fn best(
    metric: Metric,
    query: &[f32],
    rows: &[f32],
    k: usize,
    interrupt: Interrupt<'_>,
) -> Compared<Best> {
    best_of(metric, query, rows, |_, some, _| some, k, interrupt)
}

/// The same of rows of 16-bit floats.
///
/// # Errors
/// What `interrupt` says.
///
/// # Panics
/// If the rows are not of whole vectors of the query's length.
pub fn best_of_halves(
    metric: Metric,
    query: &[f32],
    rows: &[u16],
    k: usize,
    interrupt: Interrupt<'_>,
) -> Compared<Best> {
    best_of(metric, query, rows, widened, k, interrupt)
}

fn widened<'a>(kernels: Kernels, halves: &'a [u16], wide: &'a mut Vec<f32>) -> &'a [f32] {
    wide.resize(halves.len(), 0.0);
    kernels.widen_halves(halves, wide);
    wide
}

/// The `k` best of rows that `floats` gives as f32, some at a time, with memory to put them into.
fn best_of<T: Sync>(
    metric: Metric,
    query: &[f32],
    rows: &[T],
    floats: impl for<'a> Fn(Kernels, &'a [T], &'a mut Vec<f32>) -> &'a [f32] + Sync,
    k: usize,
    interrupt: Interrupt<'_>,
) -> Compared<Best> {
    let dim = query.len();
    assert!(rows.len().is_multiple_of(dim), "rows of the query's length");
    if !are_finite(query) {
        return Ok(Err(NotFinite));
    }
    let kernels = Kernels::detect();
    let exact = ExactQuery::new(metric, kernels, query);
    let (block, k) = (block_rows(dim), k.min(rows.len() / dim));
    let found = in_pieces(rows.len() / dim, dim * size_of::<T>(), |piece| {
        let (mut scores, mut squares) = (vec![0.0; block], vec![0.0; block]);
        let mut wide = Vec::new();
        let mut best = Selection::new(k);
        for first in piece.clone().step_by(block) {
            let len = block.min(piece.end - first);
            let some = floats(kernels, &rows[first * dim..(first + len) * dim], &mut wide);
            if !exact.scores(some, &mut squares[..len], &mut scores[..len]) {
                return Ok(Err(NotFinite));
            }
            best.add(first, &scores[..len]);
            interrupt()?;
        }
        Ok(Ok(best))
    })?;
    let found: std::result::Result<Vec<_>, _> = found.into_iter().collect();
    Ok(found.map(|found| Selection::of_all(k, found)))
}

/// Scales every vector to length 1; zero vectors stay as they are.
///
/// # Panics
/// If `dim` is 0, or the arrays are not of whole vectors and equally long.
pub fn normalize(dim: usize, vectors: &[f32], out: &mut [f32]) -> Option<NotFinite> {
    assert_eq!(vectors.len(), out.len(), "as many vectors");
    for (vector, out) in vectors.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
        // In f64 no square of a finite number overflows or vanishes.
        let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if !square.is_finite() {
            return Some(NotFinite);
        }
        let factor = if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
        for (out, &x) in out.iter_mut().zip(vector) {
            *out = (f64::from(x) * factor) as f32;
        }
    }
    None
}

/// Codes of rows, and what they stand for.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a> {
    /// The codes.
    pub codes: &'a [u8],
    /// What is in them.
    pub kind: CodeKind,
    /// Of every row, what one of its codes is worth.
    pub scales: &'a [f32],
    /// Of every row, how long it is.
    pub norms: &'a [f32],
}

/// What codes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// A byte for a number, 128 more than its code.
    Int8,
    /// A bit for a number: its sign. The bits after the last one are 0.
    Signs,
}

/// A row as int8 codes, 128 added to each: its scale, and its length as the codes have it. `None`:
/// it is so long or short that no code can stand for it; what is not finite is too.
///
/// # Panics
/// If the codes are not as many as the numbers.
pub fn quantize(row: &[f32], codes: &mut [u8]) -> Option<(f32, f32)> {
    assert_eq!(row.len(), codes.len(), "a code for a number");
    if !are_finite(row) {
        return None;
    }
    let scale = quantize_row(Metric::Dot, row, codes);
    scale.error.is_finite().then_some((scale.scale, scale.norm))
}

/// The `k` best rows of codes for a query of codes, by the products of codes.
///
/// # Errors
/// What `interrupt` says.
///
/// # Panics
/// If the arrays are not of one number of rows, or the query is not of one row.
pub fn best_of_codes(
    metric: Metric,
    dim: usize,
    query: Codes<'_>,
    rows: Codes<'_>,
    k: usize,
    interrupt: Interrupt<'_>,
) -> Result<Best> {
    let (width, count) = (query.codes.len(), rows.scales.len());
    assert_eq!(rows.codes.len(), width * count, "rows of the query's length");
    assert_eq!(rows.norms.len(), count, "as many lengths as rows");
    let (kernels, block, k) = (Kernels::detect(), block_rows(width.div_ceil(4)), k.min(count));
    let ints = (rows.kind == CodeKind::Int8).then(|| {
        let codes = query.codes.iter().map(|&code| (i16::from(code) - CODE_OFFSET) as i8);
        CodeQuery::new(codes.collect())
    });
    let (scale, norm) = (query.scales[0], query.norms[0]);
    let found = in_pieces(count, width, |piece| {
        let (mut dots, mut scores) = (vec![0; block], vec![0.0; block]);
        let mut best = Selection::new(k);
        for first in piece.clone().step_by(block) {
            let range = first..(first + block).min(piece.end);
            let len = range.len();
            let codes = &rows.codes[range.start * width..range.end * width];
            match &ints {
                Some(query) => kernels.dot_rows(query, codes, &mut dots[..len]),
                None => {
                    kernels.differing_bits_rows(query.codes, codes, &mut dots[..len]);
                    dots[..len].iter_mut().for_each(|bits| *bits = dim as i32 - 2 * *bits);
                }
            }
            let (scales, norms) = (&rows.scales[range.clone()], &rows.norms[range]);
            let rows = dots.iter().zip(scales.iter().zip(norms));
            for (score, (&dot, (&row_scale, &row_norm))) in scores[..len].iter_mut().zip(rows) {
                *score = code_score(metric, dot, [scale, norm], [row_scale, row_norm]);
            }
            best.add(first, &scores[..len]);
            interrupt()?;
        }
        Ok(best)
    })?;
    Ok(Selection::of_all(k, found))
}

/// The score that follows from a product of codes, and the scales and lengths on both sides.
#[inline(always)]
fn code_score(metric: Metric, dot: i32, query: [f32; 2], row: [f32; 2]) -> f32 {
    let product = f64::from(dot) * (f64::from(query[0]) * f64::from(row[0]));
    let score = match metric {
        Metric::Dot => product,
        Metric::Cosine => {
            let lengths = f64::from(query[1]) * f64::from(row[1]);
            if lengths > 0.0 { (product / lengths).clamp(-1.0, 1.0) } else { 0.0 }
        }
        Metric::Euclidean => {
            let squares = f64::from(query[1]).powi(2) + f64::from(row[1]).powi(2);
            -(squares - 2.0 * product).max(0.0).sqrt()
        }
    };
    score as f32 + 0.0
}

pub(super) fn are_finite(numbers: &[f32]) -> bool {
    numbers.iter().all(|number| number.is_finite())
}

/// Rows of so many floats in a block.
fn block_rows(dim: usize) -> usize {
    (BLOCK_BYTES / 4 / dim.max(1)).clamp(16, BLOCK_ROWS)
}

/// Runs `work` over all rows, in as many threads as that many bytes are worth.
fn in_pieces<T: Send>(
    rows: usize,
    row_bytes: usize,
    work: impl Fn(Range<usize>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let worth = rows * row_bytes / THREAD_BYTES;
    let threads = if worth < 2 { 1 } else { available_parallelism().map_or(1, |n| n.get()) };
    let piece = rows.div_ceil(threads.min(worth.max(1))).max(1);
    let range = |first: usize| first..(first + piece).min(rows);
    scope(|scope| {
        let work = &work;
        let others: Vec<_> = (piece..rows)
            .step_by(piece)
            .map(|first| scope.spawn(move || work(range(first))))
            .collect();
        let own = work(range(0));
        let others = others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(others.collect::<Vec<_>>()).collect()
    })
}

/// The best rows so far, and some more.
struct Selection {
    k: usize,
    held: Vec<(f32, usize)>,
    /// What scores less is not among the best.
    floor: f32,
}

impl Selection {
    fn new(k: usize) -> Self {
        Self { k, held: Vec::new(), floor: f32::NEG_INFINITY }
    }

    /// Adds rows from `first` on.
    fn add(&mut self, first: usize, scores: &[f32]) {
        for (offset, &score) in scores.iter().enumerate() {
            // Of equal scores the first row counts, and that is held already.
            if score > self.floor || self.held.len() < self.k {
                self.held.push((score, first + offset));
                if self.held.len() >= 2 * self.k + 64 {
                    self.cut();
                }
            }
        }
    }

    fn cut(&mut self) {
        if self.held.len() <= self.k {
            return;
        }
        let order = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if let Some(last) = self.k.checked_sub(1) {
            let (_, last, _) = self.held.select_nth_unstable_by(last, order);
            self.floor = last.0;
        }
        self.held.truncate(self.k);
    }

    fn of_all(k: usize, found: Vec<Self>) -> Best {
        let mut held: Vec<_> = found.into_iter().flat_map(|some| some.held).collect();
        held.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        held.truncate(k);
        Best {
            rows: held.iter().map(|&(_, row)| row as i64).collect(),
            scores: held.iter().map(|&(score, _)| score).collect(),
        }
    }
}
