//! One vector for a node that has several.

use crate::kernels::Kernels;

/// The direction of a whole node: the mean of its vectors, of length 1. `None` without any; the
/// zero vector where they cancel each other out.
pub fn direction<V>(vectors: impl IntoIterator<Item = V>) -> Option<Vec<f32>>
where
    V: IntoIterator<Item = f32>,
{
    let mut vectors = vectors.into_iter();
    let mut sum: Vec<f32> = vectors.next()?.into_iter().collect();
    for vector in vectors {
        for (total, value) in sum.iter_mut().zip(vector) {
            *total += value;
        }
    }
    let length = Kernels::detect().dot_f32(&sum, &sum).sqrt();
    if length > 0.0 {
        sum.iter_mut().for_each(|value| *value /= length);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::direction;

    #[test]
    fn the_mean_of_length_one() {
        assert_eq!(direction(Vec::<Vec<f32>>::new()), None);
        assert_eq!(direction([[3.0, 4.0]]), Some(vec![0.6, 0.8]));
        assert_eq!(direction([[6.0, 0.0], [0.0, 8.0]]), Some(vec![0.6, 0.8]));
        assert_eq!(direction([[1.0, 0.0], [-1.0, 0.0]]), Some(vec![0.0, 0.0]));
    }
}
