//! What must hold of any published file: asked by the fuzzers, and of their corpora by the tests.

mod files;
mod index;
mod sessions;
mod texts;
mod vectors;

use arbitrary::Unstructured;

use files::Image;
pub use index::index;

/// No file has a slot as large.
const NODE_SLOTS: u32 = 400;

/// Changes one of two files of texts, sessions or vectors, and reads and merges them in every way.
///
/// # Panics
///
/// When there is an answer that is wrong though no damage was told, as long as a row says what was written.
pub fn segments(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let given = &mut Unstructured::new(rest);
    match kind {
        128.. => vectors::read_changed(given),
        kind if kind % 2 == 0 => texts::read_changed(given),
        _ => sessions::read_changed(given),
    }
}

/// Two files, of which one was changed and its bytes read; whether the row of it says so, too.
fn changed(images: &[Image; 2], given: &mut Unstructured<'_>) -> ([Image; 2], bool) {
    let mut changed = images.clone();
    let at = usize::from(given.arbitrary::<bool>().unwrap_or_default());
    let is_sealed = changed[at].change(given);
    if let Some(segment) = files::open(&changed[at]) {
        files::read(&segment, (!is_sealed).then_some(&images[at]));
    }
    (changed, is_sealed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn segments_of_the_corpus() {
        embedded_db_testing::corpus("segments", super::segments);
    }

    #[test]
    fn saved_indexes_of_the_corpus() {
        embedded_db_testing::corpus("index", super::index);
    }
}
