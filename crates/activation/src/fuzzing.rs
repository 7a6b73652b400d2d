//! What must hold of any bytes that a saved network may have: asked by the fuzzer, and of its corpus by
//! the test.

use std::path::Path;

use embedded_db_common::Error;

use crate::engine::Engine;
use crate::saved::mended;

/// Loads bytes as they are and with a right head and checksum. What loads is saved as the same bytes, and
/// goes on as its copy does.
///
/// # Panics
///
/// When that is not so, or an error is of no kind that a file can cause.
pub fn bursts(bytes: &[u8]) {
    told(Engine::load(bytes, Path::new("it"), 1));
    let bytes = mended(bytes);
    let Some(mut engine) = told(Engine::load(&bytes, Path::new("it"), 1)) else { return };
    assert!(engine.save().is_ok_and(|saved| saved == bytes), "all of it was read");
    let power: Vec<u32> = (0..engine.neurons().len().min(3) as u32).collect();
    let mut copy = told(Engine::load(&bytes, Path::new("it"), 2)).expect("it was loaded before");
    for _ in 0..3 {
        let fired = engine.burst(&power).expect("they are known").fired;
        assert_eq!(copy.burst(&power).expect("they are known").fired, fired);
        assert!(engine.neurons().potentials.iter().all(|it| it.is_finite()));
    }
    assert!(engine.save().is_ok_and(|saved| copy.save().is_ok_and(|other| other == saved)));
}

fn told(loaded: embedded_db_common::Result<Engine>) -> Option<Engine> {
    match loaded {
        Ok(engine) => Some(engine),
        Err(Error::DamagedFile { .. } | Error::FormatTooNew { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn bursts_of_the_corpus() {
        embedded_db_testing::corpus("bursts", super::bursts);
    }
}
