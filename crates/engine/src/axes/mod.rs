//! The eight axes of tokens in the space of a model, and where vectors lie on them.
//!
//! An axis leads from the mean of all anchors to the mean of its own. Both are means of vectors of
//! length 1 that the model of the space makes; so is a coordinate: the cosine of a vector with its axis,
//! from -1 to 1.

mod anchors;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use embedded_db_common::{Error, Result, SpaceId};
use embedded_db_indexing::kernels::Kernels;
use embedded_db_storage::SpaceRecord;

use crate::engine::Engine;
use crate::queries::check_answer;

pub use anchors::ANCHORS;

/// How many axes there are.
pub const AXES: usize = 8;

/// Where something lies on each axis.
pub(crate) type Coordinates = [f32; AXES];

/// The axes of one space.
pub(crate) struct Axes([Vec<f32>; AXES]);

/// The axes of all spaces that were asked for.
#[derive(Default)]
pub(crate) struct HeldAxes(Mutex<HashMap<SpaceId, Arc<Axes>>>);

impl Axes {
    fn of(anchors: &[Vec<Vec<f32>>]) -> Self {
        let dimension = anchors.iter().flatten().map(Vec::len).next().unwrap_or_default();
        let means: Vec<_> = anchors.iter().map(|own| mean(own, dimension)).collect();
        let middle = mean(&means, dimension);
        Self(std::array::from_fn(|axis| {
            let away = |(own, all): (&f32, &f32)| own - all;
            unit(means[axis].iter().zip(&middle).map(away).collect())
        }))
    }

    /// Where a vector lies.
    pub(crate) fn coordinates(&self, vector: &[f32]) -> Coordinates {
        let kernels = Kernels::detect();
        let length = kernels.dot_f32(vector, vector).sqrt().max(f32::MIN_POSITIVE);
        std::array::from_fn(|axis| kernels.dot_f32(vector, &self.0[axis]) / length)
    }
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= length.max(f32::MIN_POSITIVE));
    vector
}

fn mean(vectors: &[Vec<f32>], dimension: usize) -> Vec<f32> {
    let mut sum = vec![0.0; dimension];
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    sum.iter_mut().for_each(|value| *value /= vectors.len().max(1) as f32);
    sum
}

impl Engine {
    /// The axes of a space, which its model makes when they are first asked for.
    pub(crate) fn axes(&self, space: Option<&(SpaceId, SpaceRecord)>) -> Result<Arc<Axes>> {
        let Some((id, record)) = space else {
            return Err(Error::InvalidInput(
                "nothing is embedded yet, so that there are no axes; add texts first".into(),
            ));
        };
        let HeldAxes(held) = &self.reflexes.axes;
        let known = held.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let models = self.embedders.of(Some(record))?;
        let mut anchors = Vec::with_capacity(AXES);
        for words in ANCHORS {
            let mut own = Vec::new();
            for word in words {
                let vector = models.embed(&[(*word).to_owned()])?;
                check_answer(&vector, Some(record))?;
                own.push(unit(vector));
            }
            anchors.push(own);
        }
        let made = Arc::new(Axes::of(&anchors));
        // Made twice by two threads at once, it is the same.
        held.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, Arc::clone(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_an_anchor_lies_on_its_side_of_its_axis() {
        let anchor = |axis: usize| (0..AXES).map(|at| f32::from(at == axis)).collect::<Vec<_>>();
        let axes = Axes::of(&(0..AXES).map(|axis| vec![anchor(axis)]).collect::<Vec<_>>());
        let at = axes.coordinates(&anchor(3));
        assert!(
            at[3] > 0.9 && at.iter().enumerate().all(|(axis, value)| axis == 3 || *value < 0.0)
        );
        assert_eq!(axes.coordinates(&[0.0; AXES]), [0.0; AXES]);
    }
}
