mod asking;
mod examples;
mod files;
mod model;
mod segments;

use embedded_db_common::{Lsn, Slot};

use self::files::Files;
use super::*;

/// Search without filter, limit or interruption, as plain pairs.
fn search_all(tail: &TextIndex, query: &str, at: u64) -> Vec<(u32, f32)> {
    let query = TextQuery::parse(tail.analyzer(), query, false);
    tail.search(&query, Bm25::default(), Lsn(at), None, usize::MAX, &mut || false)
        .unwrap()
        .into_iter()
        .map(|hit| (hit.slot.0, hit.score))
        .collect()
}

fn found(tail: &TextIndex, query: &str, at: u64) -> Vec<u32> {
    let mut slots: Vec<u32> =
        search_all(tail, query, at).into_iter().map(|(slot, _)| slot).collect();
    slots.sort_unstable();
    slots
}

fn english(texts: &[&str]) -> TextIndex {
    let mut tail = TextIndex::new(Analyzer::new(Language::English));
    for (i, text) in texts.iter().enumerate() {
        tail.upsert(Slot(i as u32), Lsn(i as u64 + 1), text);
    }
    tail
}
