//! Files of texts.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use arbitrary::Unstructured;
use embedded_db_common::{Lsn, Slot};
use roaring::RoaringBitmap;

use super::files::{self, Image};
use super::{NODE_SLOTS, changed};
use crate::text::{
    Analyzer, Bm25, Language, TextExpression, TextIndex, TextMatcher, TextQuery, TextSegment,
    write_segment,
};

const AT: Lsn = Lsn(7);
const QUERIES: [&str; 4] = ["lake", "red fog w3", "w7 nothing", "lake fog red storm"];

const WRITTEN: [&str; 2] = ["w1* AND (rad~1 OR storms) -fog", "+\"red w3\" lak*"];

/// Two files of which the second has ended texts of the first, and what they answer.
static TEXTS: LazyLock<([Image; 2], Vec<u64>)> = LazyLock::new(|| {
    let mut index = TextIndex::new(analyzer());
    (0..300).for_each(|n| index.upsert(Slot(n), AT, &text(n)));
    let first = files::write(|out| write_segment(&index, 0, out, &|| Ok(())));
    let mut index = open(std::slice::from_ref(&first)).expect("it was just written");
    (290..NODE_SLOTS).for_each(|n| index.upsert(Slot(n), AT, &text(n + 3)));
    (20..30).for_each(|n| index.remove(Slot(n), AT));
    let second = files::write(|out| write_segment(&index, 1, out, &|| Ok(())));
    let images = [first, second];
    let index = open(&images).expect("both were just written");
    let right = answers(&index);
    (images, right)
});

fn analyzer() -> Analyzer {
    Analyzer::new(Language::English)
}

fn text(n: u32) -> String {
    let storm = if n.is_multiple_of(40) { "storm" } else { "" };
    format!("lake {} red w{} {}{storm}", n % 7, n % 50, "fog ".repeat(n as usize % 4))
}

fn open(images: &[Image]) -> Option<TextIndex> {
    let open = |image| TextSegment::open(files::open(image)?, NODE_SLOTS).map(Arc::new);
    TextIndex::over(analyzer(), images.iter().map(open).collect::<Option<_>>()?, AT)
}

/// All that can be asked.
fn answers(index: &TextIndex) -> Vec<u64> {
    let (documents, words) = index.collection(AT);
    let mut out = vec![documents, words, index.unsealed(), index.merged_from() as u64];
    let few: RoaringBitmap = [3, 25, 295, 9999].into_iter().collect();
    let many: RoaringBitmap = (0..NODE_SLOTS).step_by(3).collect();
    for text in QUERIES {
        let query = TextQuery::parse(index.analyzer(), text, false);
        for (allowed, k) in [(None, 5), (None, 1000), (Some(&few), 2), (Some(&many), 7)] {
            let hits = index.search(&query, Bm25::default(), AT, allowed, k, &mut || false);
            let hits = hits.expect("nobody interrupts");
            assert!(hits.len() <= k);
            out.extend(
                hits.iter().flat_map(|hit| [hit.slot.0, hit.score.to_bits()]).map(u64::from),
            );
        }
        let scorer = index.scorer(&query, Bm25::default(), AT);
        out.extend(
            (0..NODE_SLOTS).step_by(9).map(|slot| {
                scorer.score(Slot(slot)).map_or(u64::MAX, |score| score.to_bits().into())
            }),
        );
    }
    for query in WRITTEN {
        let expression = TextExpression::parse(query).expect("a query without a mistake");
        let matcher = TextMatcher::new(index.analyzer(), &expression);
        let matches = index.matches(&matcher, Bm25::default(), AT, &mut || false);
        let matches = matches.expect("nobody interrupts");
        let mut read =
            |slot: Slot| Ok::<_, Infallible>(matcher.read(index.analyzer(), [&*text(slot.0)]));
        let Ok(hits) = matches.best(Some(&many), 20, &mut read);
        out.extend(hits.iter().flat_map(|hit| [hit.slot.0, hit.score.to_bits()]).map(u64::from));
    }
    for term in ["lake", "fog", "w3"] {
        let found = index.occurrences(term, AT);
        let mut found: Vec<_> = found.map(|it| [it.slot.0, it.count, it.length]).collect();
        found.sort_unstable();
        out.extend(found.into_iter().flatten().map(u64::from));
    }
    out.extend((0..NODE_SLOTS).map(|slot| index.length(Slot(slot), AT).map_or(0, u64::from)));
    out
}

pub(super) fn read_changed(given: &mut Unstructured<'_>) {
    let (images, right) = &*TEXTS;
    let (images, is_sealed) = changed(images, given);
    let Some(mut index) = open(&images) else { return };
    let found = answers(&index);
    let is_trusted = |index: &TextIndex| !is_sealed && !index.is_damaged();
    if is_trusted(&index) {
        assert_eq!(found, *right);
    }
    merge(&images, &index, &found, is_sealed);
    index.remove(Slot(5), AT);
    (290..300).for_each(|n| index.upsert(Slot(n), AT, &text(n + 3)));
    (0..3).for_each(|n| index.upsert(Slot(n), AT, "another lake"));
    let found = answers(&index);
    if is_trusted(&index) {
        assert_ne!(found, *right);
    }
    merge(&images, &index, &found, is_sealed);
}

/// Writes the files from any on as one, which says the same.
fn merge(images: &[Image; 2], index: &TextIndex, found: &[u64], is_sealed: bool) {
    for from in 0..=images.len() {
        let merged = files::write(|out| write_segment(index, from, out, &|| Ok(())));
        if index.is_damaged() {
            return;
        }
        let images = [&images[..from], &[merged]].concat();
        let again = open(&images);
        if !is_sealed {
            let again = again.expect("it was just written");
            // How many are in no file, and which files are merged, is another thing then.
            assert_eq!(answers(&again)[4..], found[4..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots that do not ascend or that no namespace has, lengths that are not those of all words, a dictionary
    /// that its builder has not made.
    #[test]
    fn what_no_segment_says_is_damage_with_right_checksums_too() {
        let (images, _) = &*TEXTS;
        let last = 4 * 299;
        for (kind, at, bytes) in [
            (2, 0, [1, 0, 0, 0]),
            (2, last, NODE_SLOTS.to_le_bytes()),
            (3, 8, [200, 0, 0, 0]),
            (6, 40, [1, 2, 3, 4]),
        ] {
            let changed = [images[0].with(kind, at, &bytes), images[1].clone()];
            assert!(open(&changed).is_none(), "section {kind}");
        }
        // What ended in the first one: a document that it has not.
        let changed = [images[0].clone(), images[1].with(9, 1, &[0xff, 0x7f])];
        assert!(open(&changed).is_none());
    }
}
