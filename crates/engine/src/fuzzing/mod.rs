//! What must hold of any query, and of a database whose rows say anything: asked by the fuzzers, and of
//! their corpora by the tests.

mod queries;
mod rows;
mod world;

pub use queries::queries;
pub use rows::rows;

use embedded_db_common::{Error, Result};

fn go_on() -> Result<()> {
    Ok(())
}

/// What was read or done; `None` when it was refused, by an error that says what was wrong.
///
/// # Panics
///
/// When the error is one that only a mistake of ours can cause.
fn told<T>(done: Result<T>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(error) if matches!(error.bare(), Error::Internal(_)) => panic!("{error}"),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use embedded_db_testing::corpus;

    #[test]
    fn queries_of_the_corpus() {
        corpus("queries", super::queries);
    }

    #[test]
    fn rows_of_the_corpus() {
        corpus("rows", super::rows);
    }
}
