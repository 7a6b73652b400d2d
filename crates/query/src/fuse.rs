//! Fusion of legs: min-max scaling, weights, and what adjacent messages lend each other.

/// Scales scores to 0…1 over the scored candidates. A candidate that a leg did not score counts as
/// its lowest. Equal scores scale to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinMax {
    low: f32,
    high: f32,
}

impl MinMax {
    /// Over the scores of the candidates. `floor` is the score of one that does not match at all.
    pub(crate) fn over(scores: impl Iterator<Item = Option<f32>>, floor: Option<f32>) -> Self {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for score in scores {
            if let Some(score) = score.or(floor) {
                low = low.min(score);
                high = high.max(score);
            }
        }
        Self { low, high }
    }

    /// The scaled score. Candidates outside of the range it was taken over are cut to it.
    pub(crate) fn scale(self, score: Option<f32>) -> f32 {
        match score {
            None => 0.0,
            Some(_) if self.high <= self.low => 1.0,
            Some(score) => ((score - self.low) / (self.high - self.low)).clamp(0.0, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_scale_to_the_unit_interval() {
        let scale = MinMax::over([Some(2.0), None, Some(4.0)].into_iter(), Some(0.0));
        assert_eq!(scale.scale(Some(4.0)), 1.0);
        assert_eq!(scale.scale(Some(2.0)), 0.5);
        assert_eq!(scale.scale(None), 0.0);
        assert_eq!(scale.scale(Some(9.0)), 1.0);
    }

    #[test]
    fn equal_scores_are_all_best() {
        let scale = MinMax::over([Some(3.0), Some(3.0)].into_iter(), None);
        assert_eq!(scale.scale(Some(3.0)), 1.0);
        assert_eq!(scale.scale(None), 0.0);
    }
}
