//! Products of vectors, in the best instructions the processor has.
//!
//! [`Kernels`] is chosen once, by asking the processor, and copied into whatever scans. A batch
//! crosses into its instruction set once: everything inside is compiled for it.
//!
//! **Codes.** A row is stored as `u8 = code + 128` with codes in −128..=127, because VNNI
//! multiplies unsigned by signed bytes. What comes out is the product of the codes themselves:
//! `Σ q·(r − 128) = Σ q·r − 128·Σ q`, and the second term is known with the query. Sums are
//! exact in 32 bits: 4,096 · 255 · 128 < 2³¹. No instruction used saturates.
//!
//! **Floats.** Sums are kept in at least four independent lanes, so results differ between
//! instruction sets in the last bits, but never by more than `dim` roundings.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod rows;
#[cfg(target_arch = "x86_64")]
mod vnni256;

#[cfg(test)]
mod tests;

pub(crate) use rows::prefetch;
use rows::{Contiguous, Indexed, Rows, Scattered};

/// Longest vector the kernels take: the longest there is.
pub const MAX_DIM: usize = embedded_db_common::MAX_DIMENSION;
const _: () = assert!(MAX_DIM * 255 * 128 < 1 << 31, "a sum of products fits 32 bits");

/// What is added to a code to store it in a row.
pub const CODE_OFFSET: i16 = 128;

/// An instruction set with kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512 F, BW and VNNI.
    Avx512Vnni,
    /// AVX2, FMA and AVX-VNNI.
    AvxVnni,
    /// AVX2 and FMA, and the counting of bits that came before them.
    Avx2,
    /// NEON with the dot product instructions.
    NeonDot,
    /// NEON.
    Neon,
    /// Code for any processor.
    Portable,
}

impl Isa {
    /// Every instruction set, the best first.
    const ALL: [Self; 6] =
        [Self::Avx512Vnni, Self::AvxVnni, Self::Avx2, Self::NeonDot, Self::Neon, Self::Portable];

    /// Whether this processor has it.
    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => {
                Self::Neon.is_available() && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
            _ => false,
        }
    }
}

/// The vector products of one instruction set. Cheap to copy; every value is one this
/// processor can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernels {
    isa: Isa,
}

impl Kernels {
    /// The best this processor has.
    pub fn detect() -> Self {
        let isa = Isa::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Isa::Portable);
        Self { isa }
    }

    /// All this processor has, the best first.
    pub fn available() -> impl Iterator<Item = Self> {
        Isa::ALL.into_iter().filter_map(Self::of)
    }

    /// Those of `isa`, or `None` if this processor cannot run them.
    pub fn of(isa: Isa) -> Option<Self> {
        isa.is_available().then_some(Self { isa })
    }

    /// The instruction set in use.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// The product of the query's codes and those of one row.
    ///
    /// # Panics
    /// If the row has not the query's length.
    #[inline]
    pub fn dot(self, query: &CodeQuery, row: &[u8]) -> i32 {
        let mut out = [0];
        self.dot_rows(query, row, &mut out);
        out[0]
    }

    /// The products with `out.len()` rows that lie one after the other.
    ///
    /// # Panics
    /// If `rows` is not exactly that many rows of the query's length.
    #[inline]
    pub fn dot_rows(self, query: &CodeQuery, rows: &[u8], out: &mut [i32]) {
        let dim = query.dim();
        assert_eq!(rows.len(), out.len() * dim, "rows must fill the output");
        self.run(query, &Contiguous { codes: rows, dim }, out);
    }

    /// The products with the rows `indexes` of the contiguous array `rows`, asking the memory
    /// for each a few rows ahead.
    ///
    /// # Panics
    /// If an index is out of range, or `out` has not the length of `indexes`.
    #[inline]
    pub fn dot_indexed(self, query: &CodeQuery, rows: &[u8], indexes: &[u32], out: &mut [i32]) {
        assert_eq!(indexes.len(), out.len(), "one output for an index");
        self.run(query, &Indexed { codes: rows, dim: query.dim(), indexes }, out);
    }

    /// The products with rows lying anywhere, asking the memory for each a few rows ahead.
    ///
    /// # Panics
    /// If a row has not the query's length, or `out` has not the length of `rows`.
    #[inline]
    pub fn dot_scattered(self, query: &CodeQuery, rows: &[&[u8]], out: &mut [i32]) {
        assert_eq!(rows.len(), out.len(), "one output for a row");
        assert!(rows.iter().all(|row| row.len() == query.dim()), "rows of the query's length");
        self.run(query, &Scattered { rows }, out);
    }

    /// The inner product.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    #[allow(unsafe_code)]
    pub fn dot_f32(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::dot_f32(a, b) },
            // SAFETY: as above; AVX-VNNI is taken only together with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::dot_f32(a, b) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot | Isa::Neon => unsafe { neon::dot_f32(a, b) },
            _ => portable::dot_f32(a, b),
        }
    }

    /// The squared Euclidean distance.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    #[allow(unsafe_code)]
    pub fn squared_euclidean(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::squared_euclidean(a, b) },
            // SAFETY: as above; AVX-VNNI is taken only together with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::squared_euclidean(a, b) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot | Isa::Neon => unsafe { neon::squared_euclidean(a, b) },
            _ => portable::squared_euclidean(a, b),
        }
    }

    /// The inner products with `out.len()` rows that lie one after the other.
    ///
    /// # Panics
    /// If the query is empty, or `rows` is not exactly that many rows of its length.
    #[allow(unsafe_code)]
    pub fn dot_f32_rows(self, query: &[f32], rows: &[f32], out: &mut [f32]) {
        assert!(!query.is_empty(), "a vector has at least one dimension");
        assert_eq!(rows.len(), out.len() * query.len(), "rows must fill the output");
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::dot_f32_rows(query, rows, out) },
            // SAFETY: as above; AVX-VNNI is taken only together with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::dot_f32_rows(query, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot | Isa::Neon => unsafe { neon::dot_f32_rows(query, rows, out) },
            _ => portable::dot_f32_rows(query, rows, out),
        }
    }

    /// The inner products with `dots.len()` rows that lie one after the other, and the squares of
    /// these rows, which are read once for both.
    ///
    /// # Panics
    /// If the query is empty, `rows` is not exactly that many rows of its length, or the outputs
    /// differ in length.
    #[allow(unsafe_code)]
    pub fn dot_and_square_rows(
        self,
        query: &[f32],
        rows: &[f32],
        dots: &mut [f32],
        squares: &mut [f32],
    ) {
        assert!(!query.is_empty(), "a vector has at least one dimension");
        assert_eq!(rows.len(), dots.len() * query.len(), "rows must fill the output");
        assert_eq!(dots.len(), squares.len(), "outputs of one length");
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::dot_and_square_rows(query, rows, dots, squares) },
            // SAFETY: as above; AVX-VNNI is taken only together with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe {
                avx2::dot_and_square_rows(query, rows, dots, squares)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot | Isa::Neon => unsafe {
                neon::dot_and_square_rows(query, rows, dots, squares)
            },
            _ => portable::dot_and_square_rows(query, rows, dots, squares),
        }
    }

    /// The inner products of four queries with rows that lie one after the other, each of which is read
    /// once for all four.
    ///
    /// # Panics
    /// If a query is empty, or lengths do not agree.
    #[allow(unsafe_code)]
    pub fn dot_f32_four(self, queries: [&[f32]; 4], rows: &[f32], out: [&mut [f32]; 4]) {
        let dim = queries[0].len();
        assert!(dim > 0, "a vector has at least one dimension");
        assert!(queries.iter().all(|query| query.len() == dim), "queries of one length");
        assert!(out.iter().all(|out| out.len() * dim == rows.len()), "rows must fill the output");
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::dot_f32_four(queries, rows, out) },
            // SAFETY: as above; AVX-VNNI is taken only together with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::dot_f32_four(queries, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot | Isa::Neon => unsafe { neon::dot_f32_four(queries, rows, out) },
            _ => portable::dot_f32_four(queries, rows, out),
        }
    }

    /// In how many bits the query differs from each of `out.len()` rows that lie one after the other.
    ///
    /// # Panics
    /// If the query is empty, or `rows` is not exactly that many rows of its length.
    #[allow(unsafe_code)]
    pub fn differing_bits_rows(self, query: &[u8], rows: &[u8], out: &mut [i32]) {
        assert!(!query.is_empty(), "a vector has at least one dimension");
        assert_eq!(rows.len(), out.len() * query.len(), "rows must fill the output");
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::differing_bits_rows(query, rows, out) },
            // SAFETY: as above; all of them come with AVX2.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::differing_bits_rows(query, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot | Isa::Neon => unsafe { neon::differing_bits_rows(query, rows, out) },
            _ => portable::differing_bits_rows(query, rows, out),
        }
    }

    /// Floats of 16 bits as such of 32, which hold them exactly.
    ///
    /// # Panics
    /// If the lengths differ.
    #[allow(unsafe_code)]
    pub fn widen_halves(self, halves: &[u16], out: &mut [f32]) {
        assert_eq!(halves.len(), out.len(), "as many numbers");
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::widen_halves(halves, out) },
            // SAFETY: as above; all of them come with AVX2.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::widen_halves(halves, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot | Isa::Neon => unsafe { neon::widen_halves(halves, out) },
            _ => portable::widen_halves(halves, out),
        }
    }

    /// The squared Euclidean distances to `out.len()` rows that lie one after the other.
    ///
    /// # Panics
    /// If the query is empty, or `rows` is not exactly that many rows of its length.
    #[allow(unsafe_code)]
    pub fn squared_euclidean_rows(self, query: &[f32], rows: &[f32], out: &mut [f32]) {
        assert!(!query.is_empty(), "a vector has at least one dimension");
        assert_eq!(rows.len(), out.len() * query.len(), "rows must fill the output");
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::squared_euclidean_rows(query, rows, out) },
            // SAFETY: as above; AVX-VNNI is taken only together with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni | Isa::Avx2 => unsafe { avx2::squared_euclidean_rows(query, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot | Isa::Neon => unsafe { neon::squared_euclidean_rows(query, rows, out) },
            _ => portable::squared_euclidean_rows(query, rows, out),
        }
    }

    #[inline]
    #[allow(unsafe_code)]
    fn run<R: Rows>(self, query: &CodeQuery, rows: &R, out: &mut [i32]) {
        match self.isa {
            // SAFETY: a `Kernels` exists only for an instruction set the processor has.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512::dot_rows(query, rows, out) },
            // SAFETY: as above; AVX-VNNI is taken only together with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => unsafe { vnni256::vex::dot_rows(query, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2::dot_rows(query, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot => unsafe { neon::dotprod::dot_rows(query, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => unsafe { neon::base::dot_rows(query, rows, out) },
            _ => portable::dot_rows(query, rows, out),
        }
    }
}

/// A query of int8 codes, with the correction for the offset of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeQuery {
    codes: Vec<i8>,
    /// `128 · Σ codes`.
    bias: i32,
}

impl CodeQuery {
    /// A query of these codes.
    ///
    /// # Panics
    /// If there are none or more than [`MAX_DIM`].
    pub fn new(codes: Vec<i8>) -> Self {
        assert!((1..=MAX_DIM).contains(&codes.len()), "1 to {MAX_DIM} dimensions");
        let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
        Self { codes, bias: sum * i32::from(CODE_OFFSET) }
    }

    /// Makes the query that asks what is like the stored `row`, keeping the memory.
    ///
    /// # Panics
    /// As [`CodeQuery::new`].
    pub fn set_row(&mut self, row: &[u8]) {
        let mut codes = std::mem::take(&mut self.codes);
        codes.clear();
        codes.extend(row.iter().map(|&stored| (stored ^ 128) as i8));
        *self = Self::new(codes);
    }

    /// Number of dimensions.
    pub fn dim(&self) -> usize {
        self.codes.len()
    }

    /// The codes.
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// The last `W` codes, with zeros for those that whole chunks of `W` cover; `None` if the
    /// chunks cover all, or the query is shorter than one.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn window<const W: usize>(&self) -> Option<[i8; W]> {
        let rest = self.codes.len() % W;
        let mut window = *self.codes.last_chunk::<W>()?;
        window[..W - rest].fill(0);
        (rest > 0).then_some(window)
    }
}
