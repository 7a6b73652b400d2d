//! What must hold of any bytes that a file may have: asked by the fuzzers, and of their corpora by the
//! tests.

mod manifest;
mod records;

use std::cell::Cell;
use std::path::{Path, PathBuf};

pub use crate::log::fuzzing::log;
pub use crate::pages::fuzzing::{pages, sums};
pub use manifest::manifest;
pub use records::records;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Whether what does not agree here will not agree later either.
pub(crate) fn nobody_writes() -> bool {
    ALONE.get()
}

/// Where files cost nothing, if there is such a place.
pub(crate) fn memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}

/// Runs something with files to which nobody writes.
pub(crate) fn alone<T>(work: impl FnOnce() -> T) -> T {
    ALONE.set(true);
    let done = work();
    ALONE.set(false);
    done
}

#[cfg(test)]
mod tests {
    use embedded_db_testing::corpus;

    #[test]
    fn records_of_the_corpus() {
        corpus("records", super::records);
    }

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes minutes for each; see pages::fuzzing")]
    fn pages_of_the_corpus() {
        corpus("pages", super::pages);
    }

    #[test]
    fn sums_of_the_corpus() {
        corpus("sums", super::sums);
    }

    #[test]
    fn logs_of_the_corpus() {
        corpus("log", super::log);
    }

    #[test]
    fn manifests_of_the_corpus() {
        corpus("manifest", super::manifest);
    }
}
