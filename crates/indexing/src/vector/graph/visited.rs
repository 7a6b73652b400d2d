//! Which nodes a walk has seen: a bit each, and a list of those to forget.

#[derive(Clone, Default)]
pub(super) struct Visited {
    words: Vec<u64>,
    seen: Vec<u32>,
}

impl Visited {
    /// Forgets all, and makes room for nodes below `len`.
    pub(super) fn reset(&mut self, len: usize) {
        for &node in &self.seen {
            self.words[node as usize / 64] = 0;
        }
        self.seen.clear();
        if self.words.len() * 64 < len {
            self.words.resize(len.div_ceil(64), 0);
        }
    }

    /// Whether the node is new; it is not any more. A node without room is not new.
    #[inline(always)]
    pub(super) fn insert(&mut self, node: u32) -> bool {
        let Some(word) = self.words.get_mut(node as usize / 64) else { return false };
        let bit = 1 << (node % 64);
        let is_new = *word & bit == 0;
        if is_new {
            *word |= bit;
            self.seen.push(node);
        }
        is_new
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }
}
