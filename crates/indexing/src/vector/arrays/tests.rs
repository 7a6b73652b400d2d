//! What arrays score is what pairs of vectors score in f64, whatever their size; the best are those of
//! all; codes score what their products say.

use proptest::prelude::*;

use super::*;

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::Euclidean];

fn go_on() -> Result<()> {
    Ok(())
}

/// Numbers of usual and of extreme sizes.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => -2.0f32..2.0,
        1 => Just(0.0),
        1 => prop::sample::select(vec![1e-38, -3e-30, 1e-12, 2e15, -1e20, 3e37]),
    ]
}

fn arrays() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>)> {
    (1usize..40, 0usize..11, 0usize..30).prop_flat_map(|(dim, queries, rows)| {
        let vectors = |count| prop::collection::vec(number(), dim * count);
        (Just(dim), vectors(queries), vectors(rows))
    })
}

fn reference(metric: Metric, a: &[f32], b: &[f32]) -> (f64, f64) {
    let pairs = || a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let (dot, size) = (pairs().map(|(x, y)| x * y).sum::<f64>(), norm(a) * norm(b));
    match metric {
        Metric::Cosine => (if size > 0.0 { dot / size } else { 0.0 }, 1.0),
        Metric::Dot => (dot, size),
        Metric::Euclidean => {
            let distance = pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
            (-distance, distance)
        }
    }
}

proptest! {
    #[test]
    fn scores_are_those_of_pairs((dim, queries, rows) in arrays()) {
        for metric in METRICS {
            let count = rows.len() / dim;
            let mut out = vec![f32::NAN; queries.len() / dim * count];
            scores(metric, dim, &queries, &rows, &mut out, &go_on).unwrap().unwrap();
            for (q, query) in queries.chunks(dim).enumerate() {
                for (r, row) in rows.chunks(dim).enumerate() {
                    let (expected, size) = reference(metric, query, row);
                    let found = f64::from(out[q * count + r]);
                    if expected.abs() > f64::from(f32::MAX) {
                        prop_assert!(found.is_infinite() && found * expected > 0.0);
                    } else {
                        let error = (found - expected).abs();
                        prop_assert!(error <= 1e-5 * size + 1e-37, "{metric:?}: {found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_best_are_those_of_all_scores((dim, queries, rows) in arrays(), k in 0usize..35) {
        for metric in METRICS {
            for query in queries.chunks(dim) {
                let mut all = vec![0.0; rows.len() / dim];
                scores(metric, dim, query, &rows, &mut all, &go_on).unwrap().unwrap();
                let found = best(metric, query, &rows, k, &go_on).unwrap().unwrap();
                let mut order: Vec<usize> = (0..all.len()).collect();
                order.sort_by(|&a, &b| all[b].total_cmp(&all[a]).then(a.cmp(&b)));
                order.truncate(k);
                prop_assert_eq!(found.rows, order.iter().map(|&i| i as i64).collect::<Vec<_>>());
                prop_assert_eq!(found.scores, order.iter().map(|&i| all[i]).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn one_bad_number_anywhere_is_seen((dim, mut queries, mut rows) in arrays(), place: prop::sample::Index, in_rows: bool) {
        let array = if in_rows { &mut rows } else { &mut queries };
        prop_assume!(!array.is_empty());
        let place = place.index(array.len());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let array = if in_rows { &mut rows } else { &mut queries };
            array[place] = bad;
            for metric in METRICS {
                let mut out = vec![0.0; queries.len() / dim * (rows.len() / dim)];
                let found = scores(metric, dim, &queries, &rows, &mut out, &go_on).unwrap();
                prop_assert_eq!(found, Err(NotFinite));
                for query in queries.chunks(dim).filter(|query| in_rows || !are_finite(query)) {
                    prop_assert_eq!(best(metric, query, &rows, 3, &go_on).unwrap(), Err(NotFinite));
                }
            }
            let mut out = vec![0.0; rows.len()];
            prop_assert_eq!(normalize(dim, &rows, &mut out).is_some(), in_rows);
        }
    }

    #[test]
    fn what_is_normalised_has_length_one_and_its_direction((dim, _, rows) in arrays()) {
        let mut out = vec![f32::NAN; rows.len()];
        prop_assert_eq!(normalize(dim, &rows, &mut out), None);
        for (row, out) in rows.chunks(dim).zip(out.chunks(dim)) {
            let is_zero = row.iter().all(|&x| x == 0.0);
            let (cosine, _) = reference(Metric::Cosine, row, out);
            let length: f64 = out.iter().map(|&x| f64::from(x).powi(2)).sum();
            prop_assert!(is_zero && length == 0.0 || (length - 1.0).abs() < 1e-5 && cosine > 1.0 - 1e-5);
        }
    }

    #[test]
    fn codes_score_what_they_stand_for(dim in 1usize..70, seed: u64, count in 1usize..20, signs: bool) {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / 1e6 - 8.0
        };
        let kind = if signs { CodeKind::Signs } else { CodeKind::Int8 };
        let width = if signs { dim.div_ceil(8) } else { dim };
        let (mut codes, mut scales, mut norms, mut values) = (vec![], vec![], vec![], vec![]);
        for _ in 0..=count {
            let row: Vec<f32> = (0..dim).map(|_| next()).collect();
            let mut code = vec![0u8; width];
            if signs {
                for (i, &x) in row.iter().enumerate() {
                    code[i / 8] |= u8::from(x > 0.0) << (7 - i % 8);
                }
                scales.push(0.5);
                norms.push(0.5 * (dim as f32).sqrt());
                values.push(row.iter().map(|&x| if x > 0.0 { 0.5 } else { -0.5 }).collect::<Vec<_>>());
            } else {
                let (scale, norm) = quantize(&row, &mut code).unwrap();
                scales.push(scale);
                norms.push(norm);
                values.push(code.iter().map(|&c| (f32::from(c) - 128.0) * scale).collect());
                let near = values.last().unwrap().iter().zip(&row);
                prop_assert!(near.clone().all(|(a, b)| (a - b).abs() <= scale * 0.5001));
            }
            codes.extend(code);
        }
        let all = Codes { codes: &codes, kind, scales: &scales, norms: &norms };
        let query = Codes { codes: &codes[..width], scales: &scales[..1], norms: &norms[..1], ..all };
        let rows = Codes { codes: &codes[width..], scales: &scales[1..], norms: &norms[1..], ..all };
        for metric in METRICS {
            let found = best_of_codes(metric, dim, query, rows, count, &go_on).unwrap();
            prop_assert_eq!(found.rows.len(), count);
            prop_assert!(found.scores.is_sorted_by(|a, b| a >= b));
            for (&row, &score) in found.rows.iter().zip(&found.scores) {
                let (expected, _) = reference(metric, &values[0], &values[row as usize + 1]);
                let (_, size) = reference(Metric::Dot, &values[0], &values[row as usize + 1]);
                let slack = match metric { Metric::Cosine => 1e-5, Metric::Dot => 1e-5 * size, Metric::Euclidean => 3e-3 * size.sqrt() };
                prop_assert!((f64::from(score) - expected).abs() <= slack, "{metric:?} {score} {expected}");
            }
        }
    }
}

/// Several threads find what one finds, and an interrupt ends all of them.
#[test]
fn many_rows_are_searched_in_pieces() {
    let (dim, count) = (64, 90_000);
    let rows: Vec<f32> =
        (0..dim * count).map(|i| ((i * 2_654_435_761) % 1009) as f32 - 500.0).collect();
    let query = &rows[77 * dim..78 * dim];
    let found = best(Metric::Cosine, query, &rows, 10, &go_on).unwrap().unwrap();
    let mut all = vec![0.0; count];
    scores(Metric::Cosine, dim, query, &rows, &mut all, &go_on).unwrap().unwrap();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| all[b].total_cmp(&all[a]).then(a.cmp(&b)));
    assert_eq!(found.rows, order[..10].iter().map(|&row| row as i64).collect::<Vec<_>>());

    let stop = || Err(embedded_db_common::Error::Interrupted);
    assert!(best(Metric::Cosine, query, &rows, 10, &stop).is_err());
}

#[test]
fn halves_are_compared_as_what_they_are() {
    // 1, −2, 0.5 and 65504; NaN.
    let rows = [0x3C00, 0xC000, 0x3800, 0x7BFF];
    let found = best_of_halves(Metric::Dot, &[2.0], &rows, 9, &go_on).unwrap().unwrap();
    assert_eq!((found.rows, found.scores), (vec![3, 0, 2, 1], vec![131_008.0, 2.0, 1.0, -4.0]));
    assert_eq!(best_of_halves(Metric::Dot, &[2.0], &[0x7E00], 1, &go_on).unwrap(), Err(NotFinite));
}

#[test]
fn rows_that_no_code_can_stand_for_are_refused() {
    for row in [[1e20, 0.0], [1e-20, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
        assert_eq!(quantize(&row, &mut [0; 2]), None);
    }
    assert_eq!(quantize(&[0.0, -0.0], &mut [0; 2]), Some((0.0, 0.0)));
}
