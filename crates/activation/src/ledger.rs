//! Who fired in the last bursts.

use std::collections::VecDeque;

/// Lists of neurons in order, one for each of the last bursts, the newest at the end.
pub(crate) struct Ledger {
    lists: VecDeque<Vec<u32>>,
    window: usize,
}

impl Ledger {
    pub(crate) fn new(window: usize) -> Self {
        Self { lists: VecDeque::new(), window }
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// An empty list for the next burst, whose memory is that of the one which it will drop.
    pub(crate) fn take_list(&mut self) -> Vec<u32> {
        let full = self.lists.len() == self.window;
        let mut list = full.then(|| self.lists.pop_front()).flatten().unwrap_or_default();
        list.clear();
        list
    }

    pub(crate) fn archive(&mut self, fired: Vec<u32>) {
        self.lists.push_back(fired);
    }

    /// Who fired so many bursts before the newest one that is archived.
    pub(crate) fn back(&self, bursts: usize) -> &[u32] {
        let at = self.lists.len().checked_sub(bursts + 1);
        at.and_then(|at| self.lists.get(at)).map_or(&[], Vec::as_slice)
    }

    /// The bursts in which a neuron fired, the oldest first; the newest archived one is `newest`.
    pub(crate) fn history(&self, neuron: u32, newest: u64) -> Vec<u64> {
        let kept = self.lists.len() as u64;
        let fired = |list: &Vec<u32>| list.binary_search(&neuron).is_ok();
        (0..kept)
            .zip(&self.lists)
            .filter(|(_, list)| fired(list))
            .map(|(at, _)| newest + 1 + at - kept)
            .collect()
    }

    pub(crate) fn lists(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.lists.iter().map(Vec::as_slice)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lists.iter().map(|list| list.capacity() * 4).sum()
    }
}
