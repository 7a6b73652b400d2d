//! Activity levels: how much of the machine enrichment may take.

use std::time::{Duration, Instant};

use embedded_db_common::ActivityLevel;
use embedded_db_indexing::graph::Artefact;

/// Without calls for so long, `Auto` sinks to SleepMode.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// The level in force when `configured` is set and the last call was at `last_call`.
pub(crate) fn effective(configured: ActivityLevel, last_call: Instant) -> ActivityLevel {
    match configured {
        ActivityLevel::Auto if last_call.elapsed() >= IDLE => ActivityLevel::SleepMode,
        ActivityLevel::Auto => ActivityLevel::Normal,
        set => set,
    }
}

/// Whether a level does work of a kind.
pub(crate) fn runs(level: ActivityLevel, artefact: Artefact) -> bool {
    match level {
        ActivityLevel::HighActivity => {
            matches!(artefact, Artefact::Embedding | Artefact::Entities)
        }
        _ => true,
    }
}

/// Texts in one call at a level, of at most `configured`.
pub(crate) fn batch_size(level: ActivityLevel, configured: usize) -> usize {
    match level {
        ActivityLevel::HighActivity => configured.min(8),
        _ => configured,
    }
}
