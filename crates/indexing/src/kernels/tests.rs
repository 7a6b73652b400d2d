//! Every instruction set gives what the plain reference gives, at every length.

use proptest::prelude::*;

use super::*;

/// Lengths around every register width and unrolling, and both ends.
fn lengths() -> impl Strategy<Value = usize> {
    const WIDTHS: [usize; 14] = [1, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 768, 1536];
    prop_oneof![
        (prop::sample::select(&WIDTHS[..]), -2isize..=2)
            .prop_map(|(width, by)| { width.saturating_add_signed(by).max(1) }),
        1usize..=300,
        Just(MAX_DIM - 1),
        Just(MAX_DIM),
    ]
}

/// Codes from a seed, a quarter of them extremes.
fn codes(mut seed: u64, len: usize) -> Vec<i8> {
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [code, kind, ..] = seed.to_be_bytes();
        match kind {
            0..32 => i8::MIN,
            32..64 => i8::MAX,
            _ => code as i8,
        }
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn floats(seed: u64, len: usize) -> Vec<f32> {
    codes(seed, len).into_iter().map(|code| f32::from(code) * 0.07 + 0.01).collect()
}

fn query_and_rows() -> impl Strategy<Value = (Vec<i8>, Vec<u8>)> {
    (any::<u64>(), lengths(), 0usize..=11).prop_map(|(seed, dim, rows)| {
        let stored = codes(!seed, dim * rows).into_iter().map(|code| (code as u8) ^ 128);
        (codes(seed, dim), stored.collect())
    })
}

fn reference(query: &[i8], row: &[u8]) -> i32 {
    let product = |(&q, &r): (&i8, &u8)| i64::from(q) * (i64::from(r) - 128);
    i32::try_from(query.iter().zip(row).map(product).sum::<i64>()).expect("fits by construction")
}

proptest! {
    #[test]
    fn code_products_are_exact((codes, rows) in query_and_rows()) {
        let dim = codes.len();
        let expected: Vec<i32> = rows.chunks(dim).map(|row| reference(&codes, row)).collect();
        let query = CodeQuery::new(codes);
        for kernels in Kernels::available() {
            let mut out = vec![0; expected.len()];
            kernels.dot_rows(&query, &rows, &mut out);
            prop_assert_eq!(&out, &expected, "{:?}", kernels);
            if let Some(first) = rows.chunks(dim).next() {
                prop_assert_eq!(kernels.dot(&query, first), expected[0], "{:?}", kernels);
            }
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(out) = vnni256_evex(&query, &rows) {
            prop_assert_eq!(&out, &expected, "256-bit VNNI");
        }
    }

    #[test]
    fn gathered_products_are_exact(
        (codes, rows) in query_and_rows(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let dim = codes.len();
        let count = rows.len() / dim;
        let picks = if count == 0 { Vec::new() } else { picks };
        let indexes: Vec<u32> = picks.iter().map(|pick| pick.index(count) as u32).collect();
        let picked: Vec<&[u8]> =
            indexes.iter().map(|&i| &rows[i as usize * dim..][..dim]).collect();
        let expected: Vec<i32> = picked.iter().map(|row| reference(&codes, row)).collect();
        let query = CodeQuery::new(codes);
        for kernels in Kernels::available() {
            let mut out = vec![0; indexes.len()];
            kernels.dot_indexed(&query, &rows, &indexes, &mut out);
            prop_assert_eq!(&out, &expected, "{:?}", kernels);
            out.fill(0);
            kernels.dot_scattered(&query, &picked, &mut out);
            prop_assert_eq!(&out, &expected, "{:?}", kernels);
        }
    }

    #[test]
    fn float_products_agree(
        seed: u64, dim in lengths(), rows in 1usize..10,
    ) {
        let (a, rows) = (floats(seed, dim), floats(!seed, dim * rows));
        for kernels in Kernels::available() {
            let mut dots = vec![0.0; rows.len() / dim];
            let mut distances = dots.clone();
            kernels.dot_f32_rows(&a, &rows, &mut dots);
            kernels.squared_euclidean_rows(&a, &rows, &mut distances);
            let (mut fused, mut squares) = (dots.clone(), dots.clone());
            kernels.dot_and_square_rows(&a, &rows, &mut fused, &mut squares);
            let others = floats(seed ^ 1, dim * 3);
            let queries = [&a[..], &others[..dim], &others[dim..2 * dim], &others[2 * dim..]];
            let mut four = vec![0.0; 4 * dots.len()];
            let mut parts = four.chunks_exact_mut(dots.len());
            let out = std::array::from_fn(|_| parts.next().expect("four"));
            kernels.dot_f32_four(queries, &rows, out);
            for (query, found) in queries.iter().zip(four.chunks_exact(dots.len())) {
                for (b, found) in rows.chunks(dim).zip(found) {
                    let pairs = query.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y));
                    let (dot, size) = (pairs.clone().sum::<f64>(), pairs.map(f64::abs).sum::<f64>());
                    prop_assert!((f64::from(*found) - dot).abs() <= 1e-4 * size, "{:?}", kernels);
                }
            }
            for (i, b) in rows.chunks(dim).enumerate() {
                let pairs = || a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
                let dot: f64 = pairs().map(|(x, y)| x * y).sum();
                let size: f64 = pairs().map(|(x, y)| (x * y).abs()).sum();
                let distance: f64 = pairs().map(|(x, y)| (x - y) * (x - y)).sum();
                prop_assert!((f64::from(dots[i]) - dot).abs() <= 1e-4 * size, "{:?}", kernels);
                let error = (f64::from(distances[i]) - distance).abs();
                prop_assert!(error <= 1e-4 * distance, "{:?}", kernels);
                prop_assert!((f64::from(fused[i]) - dot).abs() <= 1e-4 * size, "{:?}", kernels);
                let square: f64 = b.iter().map(|&y| f64::from(y) * f64::from(y)).sum();
                let error = (f64::from(squares[i]) - square).abs();
                prop_assert!(error <= 1e-4 * square, "{:?}", kernels);
                prop_assert_eq!(kernels.dot_f32(&a, b), dots[i]);
                prop_assert_eq!(kernels.squared_euclidean(&a, b), distances[i]);
            }
        }
    }
}

proptest! {
    #[test]
    fn bits_are_counted_exactly(query in prop::collection::vec(any::<u8>(), 1..200), seed: u64, rows in 0usize..9) {
        let rows: Vec<u8> = codes(seed, query.len() * rows).into_iter().map(|code| code as u8).collect();
        let differ = |row: &[u8]| -> i32 {
            let bit = |bytes: &[u8], i: usize| bytes[i / 8] >> (i % 8) & 1;
            (0..row.len() * 8).filter(|&i| bit(row, i) != bit(&query, i)).count() as i32
        };
        let expected: Vec<i32> = rows.chunks(query.len()).map(differ).collect();
        for kernels in Kernels::available() {
            let mut out = vec![0; expected.len()];
            kernels.differing_bits_rows(&query, &rows, &mut out);
            prop_assert_eq!(&out, &expected, "{:?}", kernels);
        }
    }
}

/// All there are, by their definition.
#[test]
fn every_half_is_widened_exactly() {
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    for kernels in Kernels::available() {
        let mut out = vec![0.0; halves.len()];
        kernels.widen_halves(&halves, &mut out);
        for (&half, &found) in halves.iter().zip(&out) {
            let (exponent, mantissa) = (i32::from(half >> 10 & 31), f32::from(half & 1023));
            let size = match exponent {
                31 if mantissa == 0.0 => f32::INFINITY,
                31 => f32::NAN,
                0 => mantissa * 2.0f32.powi(-24),
                _ => (1024.0 + mantissa) * 2.0f32.powi(exponent - 25),
            };
            assert_eq!(found.is_nan(), size.is_nan(), "{kernels:?} {half:x}");
            assert!(size.is_nan() || found.abs() == size, "{kernels:?} {half:x} {found}");
            assert_eq!(found.is_sign_negative(), half >> 15 == 1, "{kernels:?} {half:x}");
        }
    }
}

/// What is no number is seen in the square of its row, and a product that is finite has none in it.
#[test]
fn what_is_not_finite_shows_in_every_sum() {
    for dim in [1, 3, 8, 15, 16, 17, 31, 33, 64, 100, 384] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, dim / 2, dim - 1] {
                let mut row = vec![0.5; dim];
                row[place] = bad;
                for kernels in Kernels::available() {
                    let (mut dots, mut squares) = ([0.0], [0.0]);
                    for query in [vec![0.0; dim], vec![1.0; dim]] {
                        kernels.dot_and_square_rows(&query, &row, &mut dots, &mut squares);
                        assert!(!squares[0].is_finite() && !dots[0].is_finite(), "{kernels:?}");
                        assert!(!kernels.dot_f32(&query, &row).is_finite(), "{kernels:?}");
                        assert!(!kernels.squared_euclidean(&query, &row).is_finite());
                    }
                }
            }
        }
    }
}

/// The extremes at full length, where an 8-bit multiply with 16-bit saturation would fail.
#[test]
fn nothing_saturates() {
    for dim in [1, 2, 15, 16, 17, 63, 64, 384, MAX_DIM] {
        for query in [i8::MIN, i8::MAX] {
            for stored in [0u8, 1, 255] {
                let rows = vec![stored; dim * 5];
                let expected = i32::from(query) * (i32::from(stored) - 128) * dim as i32;
                let query = CodeQuery::new(vec![query; dim]);
                for kernels in Kernels::available() {
                    let mut out = [0; 5];
                    kernels.dot_rows(&query, &rows, &mut out);
                    assert_eq!(out, [expected; 5], "{kernels:?} at {dim}");
                }
            }
        }
    }
}

#[test]
fn a_stored_row_asks_for_itself() {
    let row: Vec<u8> = (0..=255).collect();
    let mut query = CodeQuery::default();
    query.set_row(&row);
    let expected: i32 = (-128..=127).map(|code| code * code).sum();
    for kernels in Kernels::available() {
        assert_eq!(kernels.dot(&query, &row), expected);
    }
}

#[test]
fn the_best_is_detected_and_every_one_can_be_forced() {
    assert_eq!(Kernels::available().next(), Some(Kernels::detect()));
    assert!(Kernels::of(Isa::Portable).is_some());
    for kernels in Kernels::available() {
        assert_eq!(Kernels::of(kernels.isa()), Some(kernels));
    }
}

/// The 256-bit VNNI body in the encoding of AVX-512, where the processor has that.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn vnni256_evex(query: &CodeQuery, rows: &[u8]) -> Option<Vec<i32>> {
    if !(is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vnni")) {
        return None;
    }
    let dim = query.dim();
    let mut out = vec![0; rows.len() / dim];
    // SAFETY: the features were just detected; AVX2 and FMA come with AVX-512.
    unsafe { vnni256::evex::dot_rows(query, &Contiguous { codes: rows, dim }, &mut out) };
    Some(out)
}
