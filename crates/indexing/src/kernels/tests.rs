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
        seed: u64, dim in lengths(), rows in 1usize..4,
    ) {
        let (a, rows) = (floats(seed, dim), floats(!seed, dim * rows));
        for kernels in Kernels::available() {
            let mut dots = vec![0.0; rows.len() / dim];
            let mut distances = dots.clone();
            kernels.dot_f32_rows(&a, &rows, &mut dots);
            kernels.squared_euclidean_rows(&a, &rows, &mut distances);
            for (i, b) in rows.chunks(dim).enumerate() {
                let pairs = || a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
                let dot: f64 = pairs().map(|(x, y)| x * y).sum();
                let size: f64 = pairs().map(|(x, y)| (x * y).abs()).sum();
                let distance: f64 = pairs().map(|(x, y)| (x - y) * (x - y)).sum();
                prop_assert!((f64::from(dots[i]) - dot).abs() <= 1e-4 * size, "{:?}", kernels);
                let error = (f64::from(distances[i]) - distance).abs();
                prop_assert!(error <= 1e-4 * distance, "{:?}", kernels);
                prop_assert_eq!(kernels.dot_f32(&a, b), dots[i]);
                prop_assert_eq!(kernels.squared_euclidean(&a, b), distances[i]);
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
