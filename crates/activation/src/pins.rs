//! Who reads arrays of the engine from outside, so that they do not move meanwhile.

use std::sync::Arc;

/// As long as it lives, the arrays for which it was given stay where they are and as long as they are.
#[derive(Debug)]
pub struct Pin {
    _held: Arc<()>,
}

/// Counts the pins of some arrays.
#[derive(Default)]
pub(crate) struct Pins(Arc<()>);

impl Pins {
    pub(crate) fn pin(&self) -> Pin {
        Pin { _held: Arc::clone(&self.0) }
    }

    pub(crate) fn any(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
