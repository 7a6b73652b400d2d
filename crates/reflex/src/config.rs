//! What rules an [`Intuition`](crate::Intuition), checked once.

use embedded_db_common::{Error, Result};

/// Most reflexes of one engine: their places are made at once, 16 bytes each.
pub const MAX_CAPACITY: usize = 1 << 24;

/// When a reflex is sure enough, and what feedback does to it. All numbers are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// No answer less sure than this is given.
    pub min_confidence: f64,
    /// A confirmed answer goes this share of the way to 1.
    pub reward: f64,
    /// A refused answer loses this share of its confidence.
    pub penalty: f64,
    /// How sure a corrected answer is.
    pub corrected_confidence: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { min_confidence: 0.8, reward: 0.2, penalty: 0.5, corrected_confidence: 1.0 }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<()> {
        share("min_confidence", self.min_confidence)?;
        share("reward", self.reward)?;
        share("penalty", self.penalty)?;
        share("corrected_confidence", self.corrected_confidence)
    }
}

/// Fails for what is no number from 0 to 1.
pub(crate) fn share(name: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::InvalidInput(format!("{name} is {value}; it must be a number from 0 to 1")))
}

pub(crate) fn check_capacity(capacity: usize) -> Result<()> {
    if (1..=MAX_CAPACITY).contains(&capacity) {
        return Ok(());
    }
    Err(Error::InvalidInput(format!(
        "capacity is {capacity}; it must be a whole number from 1 to {MAX_CAPACITY}"
    )))
}
