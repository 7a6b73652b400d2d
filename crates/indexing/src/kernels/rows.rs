//! Where the rows of a batch lie, and the loop every instruction set runs over them.

/// Rows ahead of the one being multiplied that a scattered batch asks the memory for.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const PREFETCH_ROWS: usize = 8;

/// A batch of equally long code rows.
pub(super) trait Rows {
    /// Whether the rows are best read from the first byte to the last. Memory streams at full
    /// speed then; four rows read side by side take one and a half times as long, and several
    /// times where others want the memory too. In the cache the four are faster.
    const IN_ORDER: bool = false;

    /// The codes of row `index` of the batch.
    fn row(&self, index: usize) -> &[u8];

    /// Called before rows `index .. index + 4` are multiplied.
    fn prefetch_after(&self, _index: usize) {}
}

/// Rows one after the other.
pub(super) struct Contiguous<'a> {
    pub(super) codes: &'a [u8],
    pub(super) dim: usize,
}

impl Rows for Contiguous<'_> {
    const IN_ORDER: bool = true;

    #[inline(always)]
    fn row(&self, index: usize) -> &[u8] {
        &self.codes[index * self.dim..(index + 1) * self.dim]
    }
}

/// Rows picked by index out of a contiguous array.
pub(super) struct Indexed<'a> {
    pub(super) codes: &'a [u8],
    pub(super) dim: usize,
    pub(super) indexes: &'a [u32],
}

impl Rows for Indexed<'_> {
    #[inline(always)]
    fn row(&self, index: usize) -> &[u8] {
        let start = self.indexes[index] as usize * self.dim;
        &self.codes[start..start + self.dim]
    }

    #[inline(always)]
    fn prefetch_after(&self, index: usize) {
        prefetch_four(self, index, self.indexes.len());
    }
}

/// Rows lying anywhere.
pub(super) struct Scattered<'a> {
    pub(super) rows: &'a [&'a [u8]],
}

impl Rows for Scattered<'_> {
    #[inline(always)]
    fn row(&self, index: usize) -> &[u8] {
        self.rows[index]
    }

    #[inline(always)]
    fn prefetch_after(&self, index: usize) {
        prefetch_four(self, index, self.rows.len());
    }
}

/// Asks for the four rows `PREFETCH_ROWS` further on, and at the start for those in between.
#[inline(always)]
fn prefetch_four(rows: &impl Rows, index: usize, len: usize) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let first = if index == 0 { 0 } else { index + PREFETCH_ROWS };
        for ahead in first..(index + PREFETCH_ROWS + 4).min(len) {
            prefetch(rows.row(ahead));
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = (rows, index, len);
}

/// Asks the memory for every line of `row`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn prefetch(row: &[u8]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in row.chunks(64) {
        // SAFETY: a prefetch reads nothing a program can see and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// Asks the memory for every line of `row`.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn prefetch(row: &[u8]) {
    for line in row.chunks(64) {
        // SAFETY: a prefetch reads nothing a program can see and cannot fault.
        unsafe {
            std::arch::asm!(
                "prfm pldl1keep, [{line}]",
                line = in(reg) line.as_ptr(),
                options(nostack, preserves_flags, readonly)
            );
        }
    }
}

/// There is nothing to ask with.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(always)]
pub(crate) fn prefetch(_row: &[u8]) {}

/// Defines `dot_rows` over the `one`, `in_order` and `side_by_side` in scope. Four rows share the
/// adding up of lanes, and side by side each load of the query.
macro_rules! dot_rows_in_fours {
    ($(#[$feature:meta])*) => {
        $(#[$feature])*
        pub(in crate::kernels) fn dot_rows<R: Rows>(query: &CodeQuery, rows: &R, out: &mut [i32]) {
            let (quads, rest) = out.as_chunks_mut::<4>();
            let done = quads.len() * 4;
            let query = Query::new(query);
            for (quad, index) in quads.iter_mut().zip((0..).step_by(4)) {
                rows.prefetch_after(index);
                let four = [
                    rows.row(index),
                    rows.row(index + 1),
                    rows.row(index + 2),
                    rows.row(index + 3),
                ];
                *quad = if R::IN_ORDER {
                    in_order(&query, four)
                } else {
                    side_by_side(&query, four)
                };
            }
            for (offset, dot) in rest.iter_mut().enumerate() {
                *dot = one(&query, rows.row(done + offset));
            }
        }
    };
}
pub(super) use dot_rows_in_fours;

/// Defines the batch forms of `dot_f32` and `squared_euclidean` over the functions in scope.
macro_rules! float_rows {
    ($(#[$feature:meta])*) => {
        $(#[$feature])*
        pub(super) fn dot_f32_rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
            for (score, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
                *score = dot_f32(query, row);
            }
        }

        $(#[$feature])*
        pub(super) fn squared_euclidean_rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
            for (score, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
                *score = squared_euclidean(query, row);
            }
        }
    };
}
pub(super) use float_rows;

/// Defines products with a square, and of four queries, row by row over the functions in scope.
macro_rules! fused_rows {
    ($(#[$feature:meta])*) => {
        $(#[$feature])*
        pub(super) fn dot_and_square_rows(
            query: &[f32], rows: &[f32], dots: &mut [f32], squares: &mut [f32],
        ) {
            let out = dots.iter_mut().zip(squares);
            for ((dot, square), row) in out.zip(rows.chunks_exact(query.len())) {
                (*dot, *square) = dot_and_square(query, row);
            }
        }

        $(#[$feature])*
        pub(super) fn dot_f32_four(queries: [&[f32]; 4], rows: &[f32], out: [&mut [f32]; 4]) {
            let [a, b, c, d] = out;
            let out = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
            for (((a, b), (c, d)), row) in out.zip(rows.chunks_exact(queries[0].len())) {
                [*a, *b, *c, *d] = [
                    dot_f32(queries[0], row),
                    dot_f32(queries[1], row),
                    dot_f32(queries[2], row),
                    dot_f32(queries[3], row),
                ];
            }
        }
    };
}
pub(super) use fused_rows;

/// Defines `differing_bits_rows` and `widen_halves`: plain code, which the compiler turns into the
/// instructions of the set.
macro_rules! plain_code {
    ($(#[$feature:meta])*) => {
        $(#[$feature])*
        pub(super) fn differing_bits_rows(query: &[u8], rows: &[u8], out: &mut [i32]) {
            let (words, rest) = query.as_chunks::<8>();
            for (out, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
                let (row_words, row_rest) = row.as_chunks::<8>();
                let mut bits = 0;
                for (a, b) in words.iter().zip(row_words) {
                    bits += (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)).count_ones();
                }
                for (a, b) in rest.iter().zip(row_rest) {
                    bits += (a ^ b).count_ones();
                }
                *out = bits as i32;
            }
        }

        $(#[$feature])*
        pub(super) fn widen_halves(halves: &[u16], out: &mut [f32]) {
            for (out, &half) in out.iter_mut().zip(halves) {
                let (sign, rest) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7FFF));
                // The exponent is 112 too small, also where it is that of the smallest numbers.
                let finite = f32::from_bits(rest << 13) * f32::from_bits((112 + 127) << 23);
                let special = (0xFF << 23) | (rest << 13);
                let bits = if rest < 0x7C00 { finite.to_bits() } else { special };
                *out = f32::from_bits(sign | bits);
            }
        }
    };
}
pub(super) use plain_code;
