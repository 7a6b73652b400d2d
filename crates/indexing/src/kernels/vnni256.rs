//! VNNI on 256-bit registers: 32 codes an instruction. The floats are AVX2's.
//!
//! The same body serves the VEX encoding (`avxvnni`, client processors without AVX-512) and, in
//! tests alone, the EVEX one, so that it also runs on machines that know only the latter.

macro_rules! vnni256 {
    ($features:literal, $dpbusd:ident) => {
        use std::arch::x86_64::*;

        use super::super::avx2::sum_four;
        use super::super::rows::{Rows, dot_rows_in_fours};
        use super::super::{CodeQuery, portable};

        struct Query<'a> {
            chunks: &'a [[i8; 32]],
            /// As in AVX2: the last 32 codes, those that `chunks` covers as zeros.
            window: Option<[i8; 32]>,
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
            let zero = _mm256_setzero_si256();
            sum_four([lanes(query, row), zero, zero, zero], query.bias)[0]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn in_order(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
            if !query.short.is_empty() {
                return rows.map(|row| portable::dot_codes(query.short, row) - query.bias);
            }
            sum_four(rows.map(|row| lanes(query, row)), query.bias)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn lanes(query: &Query<'_>, row: &[u8]) -> __m256i {
            let (q_pairs, q_last) = query.chunks.as_chunks::<2>();
            let (pairs, last) = row.as_chunks::<32>().0.as_chunks::<2>();
            let mut sums = [_mm256_setzero_si256(); 2];
            for (q, r) in q_pairs.iter().zip(pairs) {
                sums[0] = $dpbusd(sums[0], load_row(&r[0]), load_query(&q[0]));
                sums[1] = $dpbusd(sums[1], load_row(&r[1]), load_query(&q[1]));
            }
            for (q, r) in q_last.iter().zip(last) {
                sums[0] = $dpbusd(sums[0], load_row(r), load_query(q));
            }
            if let (Some(window), Some(end)) = (&query.window, row.last_chunk()) {
                sums[1] = $dpbusd(sums[1], load_row(end), load_query(window));
            }
            _mm256_add_epi32(sums[0], sums[1])
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn side_by_side(query: &Query<'_>, rows: [&[u8]; 4]) -> [i32; 4] {
            if !query.short.is_empty() {
                return rows.map(|row| portable::dot_codes(query.short, row) - query.bias);
            }
            let [a, b, c, d] = rows.map(|row| row.as_chunks().0);
            let mut sums = [_mm256_setzero_si256(); 4];
            for ((((q, a), b), c), d) in query.chunks.iter().zip(a).zip(b).zip(c).zip(d) {
                let q = load_query(q);
                sums[0] = $dpbusd(sums[0], load_row(a), q);
                sums[1] = $dpbusd(sums[1], load_row(b), q);
                sums[2] = $dpbusd(sums[2], load_row(c), q);
                sums[3] = $dpbusd(sums[3], load_row(d), q);
            }
            if let Some(window) = &query.window {
                let q = load_query(window);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    if let Some(end) = row.last_chunk() {
                        *sum = $dpbusd(*sum, load_row(end), q);
                    }
                }
            }
            sum_four(sums, query.bias)
        }

        dot_rows_in_fours! {
            #[target_feature(enable = $features)]
        }

        #[inline]
        #[target_feature(enable = $features)]
        #[allow(unsafe_code)]
        fn load_row(chunk: &[u8; 32]) -> __m256i {
            // SAFETY: the chunk is 32 readable bytes; the load needs no alignment.
            unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        #[allow(unsafe_code)]
        fn load_query(chunk: &[i8; 32]) -> __m256i {
            // SAFETY: the chunk is 32 readable bytes; the load needs no alignment.
            unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) }
        }
    };
}

pub(super) mod vex {
    vnni256!("avx2,fma,avxvnni", _mm256_dpbusd_avx_epi32);
}

#[cfg(test)]
pub(super) mod evex {
    vnni256!("avx2,fma,avx512f,avx512vl,avx512vnni", _mm256_dpbusd_epi32);
}
