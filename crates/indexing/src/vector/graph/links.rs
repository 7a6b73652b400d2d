//! Links while they are being made, by several threads at once.
//!
//! A list is changed under its lock and read without: a reader may see some links of before and
//! some of after a change, all of which lead to nodes that are there.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bytes::{AlignedBytes, Words};
use super::walk::Layer;

/// Lists share this many locks.
const LOCKS: usize = 1 << 12;

/// Lists of at most so many links each.
pub(super) struct Lists {
    /// Of each list its length, then its links.
    words: Vec<AtomicU32>,
    stride: usize,
    locks: Vec<Mutex<()>>,
}

/// The right to change a list.
pub(super) struct Writer<'a> {
    words: &'a [AtomicU32],
    _lock: MutexGuard<'a, ()>,
}

impl Lists {
    /// The lists there are, and empty ones up to `count`.
    pub(super) fn new(held: Words<'_>, count: usize, links: usize) -> Self {
        let stride = 1 + links;
        let mut words = Vec::with_capacity(count * stride);
        words.extend(held.iter().map(AtomicU32::new));
        words.resize_with(count * stride, AtomicU32::default);
        let locks = std::iter::repeat_with(Mutex::default).take(LOCKS.min(count)).collect();
        Self { words, stride, locks }
    }

    pub(super) fn limit(&self) -> usize {
        self.stride - 1
    }

    #[inline(always)]
    fn list(&self, number: usize) -> &[AtomicU32] {
        &self.words[number * self.stride..][..self.stride]
    }

    #[inline(always)]
    pub(super) fn links(&self, number: usize) -> impl Iterator<Item = u32> {
        links_in(self.list(number))
    }

    pub(super) fn write(&self, number: usize) -> Writer<'_> {
        // Nothing is left half done by a thread that panics: the lock guards words, not promises.
        let lock = self.locks[number % self.locks.len()].lock();
        let _lock = lock.unwrap_or_else(PoisonError::into_inner);
        Writer { words: self.list(number), _lock }
    }

    pub(super) fn into_bytes(self) -> AlignedBytes {
        AlignedBytes::from_words(self.words.into_iter().map(AtomicU32::into_inner))
    }
}

impl Writer<'_> {
    pub(super) fn links(&self) -> impl Iterator<Item = u32> {
        links_in(self.words)
    }

    /// Adds a link. `false`: the list is full.
    pub(super) fn push(&self, link: u32) -> bool {
        let len = self.words[0].load(Ordering::Relaxed) as usize;
        let Some(place) = self.words.get(len + 1) else { return false };
        place.store(link, Ordering::Relaxed);
        self.words[0].store(len as u32 + 1, Ordering::Release);
        true
    }

    /// Puts other links in the place of all.
    pub(super) fn set(&self, links: &[u32]) {
        for (place, &link) in self.words[1..].iter().zip(links) {
            place.store(link, Ordering::Relaxed);
        }
        self.words[0].store(links.len() as u32, Ordering::Release);
    }
}

#[inline(always)]
fn links_in(list: &[AtomicU32]) -> impl Iterator<Item = u32> {
    let len = list[0].load(Ordering::Acquire) as usize;
    list[1..=len].iter().map(|link| link.load(Ordering::Relaxed))
}

/// The base layer of lists.
#[derive(Clone, Copy)]
pub(super) struct BaseLists<'a> {
    pub(super) lists: &'a Lists,
    pub(super) rows: usize,
}

impl Layer for BaseLists<'_> {
    const IS_BASE: bool = true;

    fn len(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn row(&self, node: u32) -> Option<u32> {
        Some(node)
    }

    #[inline(always)]
    fn links(&self, node: u32) -> Option<impl Iterator<Item = u32>> {
        Some(self.lists.links(node as usize))
    }

    fn prefetch(&self, _node: u32) {}
}

/// A layer above.
#[derive(Clone, Copy)]
pub(super) struct UpperLists<'a> {
    pub(super) lists: &'a Lists,
    pub(super) rows: &'a [u32],
    pub(super) starts: &'a [u32],
    pub(super) layer: usize,
}

impl UpperLists<'_> {
    /// The number of the node's list in this layer.
    pub(super) fn number(&self, node: u32) -> Option<usize> {
        let block = self.starts[node as usize] as usize + self.layer - 1;
        (block < self.starts[node as usize + 1] as usize).then_some(block)
    }
}

impl Layer for UpperLists<'_> {
    const IS_BASE: bool = false;

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn row(&self, node: u32) -> Option<u32> {
        Some(self.rows[node as usize])
    }

    fn links(&self, node: u32) -> Option<impl Iterator<Item = u32>> {
        Some(self.lists.links(self.number(node)?))
    }

    fn prefetch(&self, _node: u32) {}
}
