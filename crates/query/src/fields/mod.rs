//! Fields: the parts into which points on eight axes fall, and the parts of these.
//!
//! A field is parted in two by 2-means (Lloyd 1982), begun on both sides of its mean along the direction
//! in which it is widest, until its parts would be too small. Nothing is random: the same points in the
//! same order give the same fields.

mod organise;

pub use organise::{Ties, organise};

/// How many axes there are.
pub const AXES: usize = 8;

/// Where a point lies.
pub type Point = [f32; AXES];

/// Most rounds of parting one field.
const ROUNDS: usize = 32;
/// Steps in which the widest direction is found.
const TURNS: usize = 24;

/// How points are parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parting {
    /// Fewest points of a field.
    pub least: usize,
    /// Most fields that lie in each other.
    pub levels: usize,
}

/// Some points, and where they are in the order of fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The field that it is a part of, by its place.
    pub parent: Option<usize>,
    /// How many fields it lies in.
    pub level: usize,
    /// The mean of its points.
    pub centre: Point,
    /// Its points, by their places, those nearest to the centre first.
    pub points: Vec<usize>,
}

/// The fields of some points: all of them, and then always a field before its parts. `check` is asked
/// whether to go on.
pub fn fields<E>(
    points: &[Point],
    how: Parting,
    check: &dyn Fn() -> Result<(), E>,
) -> Result<Vec<Field>, E> {
    let mut found: Vec<Field> = Vec::new();
    let mut open = vec![(None, 0, (0..points.len()).collect::<Vec<_>>())];
    while let Some((parent, level, mut own)) = open.pop() {
        check()?;
        if own.is_empty() {
            continue;
        }
        let centre = mean(points, &own);
        let place = found.len();
        if level + 1 < how.levels && own.len() >= 2 * how.least.max(1) {
            let [one, other] = halves(points, &own, centre);
            if one.len().min(other.len()) >= how.least.max(1) {
                // The larger one comes first.
                let larger_is_one = one.len() >= other.len();
                let (larger, smaller) = if larger_is_one { (one, other) } else { (other, one) };
                open.push((Some(place), level + 1, smaller));
                open.push((Some(place), level + 1, larger));
            }
        }
        let far = |at: &usize| distance(&points[*at], &centre);
        own.sort_by(|a, b| far(a).total_cmp(&far(b)).then(a.cmp(b)));
        found.push(Field { parent, level, centre, points: own });
    }
    Ok(found)
}

/// The square of how far two points are from each other.
pub fn distance(a: &Point, b: &Point) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn mean(points: &[Point], own: &[usize]) -> Point {
    let mut sum = [0.0_f64; AXES];
    for at in own {
        sum.iter_mut().zip(points[*at]).for_each(|(sum, value)| *sum += f64::from(value));
    }
    sum.map(|sum| (sum / own.len().max(1) as f64) as f32)
}

fn halves(points: &[Point], own: &[usize], centre: Point) -> [Vec<usize>; 2] {
    let widest = widest(points, own, centre);
    let mut centres = [-1.0, 1.0].map(|side: f32| {
        let mut at = centre;
        at.iter_mut().zip(widest).for_each(|(value, way)| *value += side * way);
        at
    });
    let mut parts = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let (one, other): (Vec<usize>, Vec<usize>) = own.iter().partition(|at| {
            distance(&points[**at], &centres[0]) <= distance(&points[**at], &centres[1])
        });
        let same = one == parts[0];
        parts = [one, other];
        if same || parts.iter().any(Vec::is_empty) {
            break;
        }
        centres = [mean(points, &parts[0]), mean(points, &parts[1])];
    }
    parts
}

/// The direction in which points are widest, as long as they are wide: the first principal component,
/// by powers of the covariance.
fn widest(points: &[Point], own: &[usize], centre: Point) -> Point {
    let mut covariance = [[0.0_f64; AXES]; AXES];
    for at in own {
        let off: [f64; AXES] =
            std::array::from_fn(|axis| f64::from(points[*at][axis] - centre[axis]));
        for (row, one) in covariance.iter_mut().zip(off) {
            row.iter_mut().zip(off).for_each(|(sum, other)| *sum += one * other);
        }
    }
    // It begins where the spread is greatest, so that it is not across the direction.
    let first = (0..AXES).max_by(|a, b| covariance[*a][*a].total_cmp(&covariance[*b][*b]));
    let mut way = covariance[first.unwrap_or(0)];
    let mut spread = 0.0;
    for _ in 0..TURNS {
        let length = way.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length <= f64::MIN_POSITIVE {
            return [0.0; AXES];
        }
        let unit = way.map(|value| value / length);
        way = std::array::from_fn(|row| {
            covariance[row].iter().zip(unit).map(|(value, along)| value * along).sum()
        });
        spread = way.iter().zip(unit).map(|(value, along)| value * along).sum::<f64>();
    }
    let length = way.iter().map(|value| value * value).sum::<f64>().sqrt();
    let wide = (spread / own.len().max(1) as f64).max(0.0).sqrt();
    way.map(|value| (value / length.max(f64::MIN_POSITIVE) * wide) as f32)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn parted(points: &[Point], least: usize, levels: usize) -> Vec<Field> {
        let never = || Ok::<(), Infallible>(());
        fields(points, Parting { least, levels }, &never).unwrap_or_default()
    }

    fn around(centre: f32, axis: usize, count: usize) -> Vec<Point> {
        let point = |at: usize| {
            let mut point = [0.0; AXES];
            point[axis] = centre + 0.01 * at as f32;
            point[7] = 0.003 * (at * 7 % 5) as f32;
            point
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn clumps_become_fields_and_their_halves_parts_of_these() {
        let mut points = around(-1.0, 0, 10);
        points.extend(around(1.0, 0, 6));
        points.extend(around(1.0, 3, 6));
        let found = parted(&points, 4, 3);
        let sizes: Vec<_> = found.iter().map(|it| (it.parent, it.level, it.points.len())).collect();
        assert_eq!(sizes[0], (None, 0, 22));
        let leaves = |of: &[usize]| {
            let mut of = of.to_vec();
            of.sort_unstable();
            found.iter().any(|it| {
                let mut own = it.points.clone();
                own.sort_unstable();
                own == of
            })
        };
        assert!(leaves(&(0..10).collect::<Vec<_>>()), "{sizes:?}");
        assert!(leaves(&(10..16).collect::<Vec<_>>()), "{sizes:?}");
        assert!(leaves(&(16..22).collect::<Vec<_>>()), "{sizes:?}");
    }

    #[test]
    fn a_field_is_its_parts_and_none_is_too_small() {
        let points: Vec<Point> = (0..200_u32)
            .map(|at| std::array::from_fn(|axis| ((at * 37 + axis as u32 * 11) % 101) as f32))
            .collect();
        let found = parted(&points, 9, 6);
        assert!(found.len() > 10);
        for (place, field) in found.iter().enumerate() {
            assert!(field.points.len() >= 9);
            let parts = found.iter().filter(|part| part.parent == Some(place));
            let mut own: Vec<_> = parts.flat_map(|part| part.points.clone()).collect();
            own.sort_unstable();
            let mut all = field.points.clone();
            all.sort_unstable();
            assert!(own.is_empty() || own == all);
        }
    }

    #[test]
    fn equal_points_are_one_field_and_none_are_none() {
        assert_eq!(parted(&[[0.5; AXES]; 50], 2, 5).len(), 1);
        assert!(parted(&[], 2, 5).is_empty());
    }
}
