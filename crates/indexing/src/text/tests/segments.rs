//! Sealed segments: when they are merged, and what has ended in them.

use super::*;

fn texts(count: u32) -> TextIndex {
    let mut index = TextIndex::new(Analyzer::new(Language::English));
    for slot in 0..count {
        let text =
            format!("lake {} red w{} {}", slot % 7, slot % 50, "fog ".repeat(slot as usize % 4));
        index.upsert(Slot(slot), Lsn(1), &text);
    }
    index
}

#[test]
fn segments_are_few_and_the_large_ones_stay() {
    let mut files = Files::new();
    let mut index = TextIndex::new(Analyzer::new(Language::English));
    let (mut written, mut most) = (0, 0);
    for round in 0..100 {
        for slot in round * 40..(round + 1) * 40 {
            index.upsert(Slot(slot), Lsn(u64::from(round) + 1), &format!("text {slot}"));
        }
        assert_eq!(index.unsealed(), 40);
        index = files.seal(&index);
        written += files.files.last().unwrap().rows;
        most = most.max(files.files.len());
        assert_eq!(index.unsealed(), 0);
        assert_eq!(index.document_count(index.lsn()), u64::from(round + 1) * 40);
    }
    assert!(most <= 8, "{most} segments");
    assert!(written < 4000 * 5, "{written} documents were written for 4000");
}

/// What ends in a segment that stays is told by later ones, also after these were merged.
#[test]
fn what_has_ended_stays_so_through_merges() {
    let mut files = Files::new();
    let mut index = TextIndex::new(Analyzer::new(Language::English));
    for slot in 0..500 {
        index.upsert(Slot(slot), Lsn(1), "lake wind");
    }
    index = files.seal(&index);
    for (round, lsn) in (0..6).zip(2..) {
        // Of the first segment each time, and of one of those after it.
        index.remove(Slot(round * 10), Lsn(lsn));
        index.upsert(Slot(round * 10 + 1), Lsn(lsn), "red wind");
        index.upsert(Slot(1000 + round), Lsn(lsn), "lake");
        if round > 0 {
            index.remove(Slot(1000 + round - 1), Lsn(lsn));
        }
        let from = if round % 2 == 0 { files.files.len() } else { 1 };
        index = files.seal_from(&index, from);
    }
    assert_eq!(found(&index, "red", 9).len(), 6);
    assert_eq!(found(&index, "wind", 9).len(), 494);
    assert_eq!(found(&index, "lake", 9).len(), 489);
    assert_eq!(index.document_count(Lsn(9)), 495);
    let whole = files.seal_from(&index, 0);
    assert_eq!(search_all(&whole, "lake wind red", 9), search_all(&index, "lake wind red", 9));
    assert_eq!(files.files.len(), 1);
}

#[test]
fn a_text_with_the_words_of_its_segment_is_no_other() {
    let mut files = Files::new();
    let index = files.seal(&texts(100));
    let mut index = index;
    index.upsert(Slot(0), Lsn(5), "Red LAKE 0, w0");
    assert_eq!(index.unsealed(), 0);
    index.upsert(Slot(0), Lsn(6), "red lake 0 w0 w0");
    assert_eq!(index.unsealed(), 2);
}
