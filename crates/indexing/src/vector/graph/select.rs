//! Which of the nearest nodes to link: those that are not nearer to a chosen one.
//!
//! So links lead in all directions instead of into one crowd. Rows of equal codes are in no
//! direction from each other; a few of them are linked, and the others by what is beside them.

use super::pool::Entry;
use super::space::{CodeSpace, Target};

/// Links to rows with the same codes as the node's own.
const EQUAL_ROWS: usize = 8;

/// Chosen nodes that a candidate is compared with at once; one of them often decides.
const BATCH: usize = 8;

/// What choosing works with, and what was chosen.
#[derive(Default)]
pub(super) struct Selection {
    target: Target,
    pub(super) nodes: Vec<u32>,
    rows: Vec<u32>,
    dots: Vec<i32>,
    keys: Vec<u32>,
}

impl Selection {
    /// Chooses at most `limit` of the candidates, which are in order of their distance from
    /// `own`; none of them is `own` itself. `row_of` gives a node's row.
    pub(super) fn choose(
        &mut self,
        space: &CodeSpace<'_>,
        own: u32,
        candidates: &[Entry],
        limit: usize,
        row_of: impl Fn(u32) -> u32,
    ) {
        self.nodes.clear();
        self.rows.clear();
        let mut equal = 0;
        for candidate in candidates {
            if self.nodes.len() == limit {
                break;
            }
            let row = row_of(candidate.node());
            if space.are_equal(own, row) {
                equal += 1;
                if equal > EQUAL_ROWS {
                    continue;
                }
            } else if self.is_behind_another(space, row, candidate.key()) {
                continue;
            }
            self.nodes.push(candidate.node());
            self.rows.push(row);
        }
    }

    /// Whether a chosen node is nearer to the row than `key` says.
    fn is_behind_another(&mut self, space: &CodeSpace<'_>, row: u32, key: u32) -> bool {
        if self.rows.is_empty() {
            return false;
        }
        space.aim_at_row(&mut self.target, row);
        self.rows.chunks(BATCH).any(|chosen| {
            space.keys(&self.target, chosen, &mut self.dots, &mut self.keys);
            self.keys.iter().any(|&other| other < key)
        })
    }
}

/// What a list that is full works with.
#[derive(Default)]
pub(super) struct FullList {
    target: Target,
    nodes: Vec<u32>,
    rows: Vec<u32>,
    dots: Vec<i32>,
    keys: Vec<u32>,
    entries: Vec<Entry>,
}

impl FullList {
    pub(super) fn fill(&mut self, nodes: impl Iterator<Item = u32>) {
        self.nodes.clear();
        self.nodes.extend(nodes);
    }

    /// Chooses which of the nodes a list keeps.
    pub(super) fn choose(
        &mut self,
        space: &CodeSpace<'_>,
        own: u32,
        limit: usize,
        row_of: impl Fn(u32) -> u32,
        selection: &mut Selection,
    ) {
        self.rows.clear();
        self.rows.extend(self.nodes.iter().map(|&node| row_of(node)));
        space.aim_at_row(&mut self.target, own);
        space.keys(&self.target, &self.rows, &mut self.dots, &mut self.keys);
        self.entries.clear();
        let entries = self.keys.iter().zip(&self.nodes);
        self.entries.extend(entries.map(|(&key, &node)| Entry::new(key, node)));
        self.entries.sort_unstable();
        selection.choose(space, own, &self.entries, limit, row_of);
    }
}
