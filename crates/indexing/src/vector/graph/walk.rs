//! The walk over one layer: from an entry to the nodes nearest to a target.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::header::GraphDamage;
use super::pool::{Entry, Pool};
use super::sections::Section;
use super::space::{CodeSpace, Target};
use super::visited::Visited;

/// Nodes and their links.
pub(super) trait Layer {
    /// Whether nodes are rows.
    const IS_BASE: bool;

    /// Nodes are below it.
    fn len(&self) -> usize;

    /// The row that a node stands for.
    fn row(&self, node: u32) -> Option<u32>;

    /// The links of a node, which may lead outside; `None` where there is no list.
    fn links(&self, node: u32) -> Option<impl Iterator<Item = u32>>;

    /// Asks the memory for the links of a node.
    fn prefetch(&self, node: u32);
}

/// Nodes expanded between two questions whether to go on.
pub(super) const EXPANSIONS_PER_QUESTION: usize = 16;

/// What a search works with, so that the next needs no new memory. It fits any graph.
#[derive(Clone, Default)]
pub struct Scratch {
    pub(super) pool: Pool,
    pub(super) walk: Walk,
    /// Rows to expand, where the pool does not hold them.
    pub(super) frontier: BinaryHeap<Reverse<Entry>>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// The nodes seen, and those the last expansion led to.
#[derive(Clone, Default)]
pub(super) struct Walk {
    pub(super) visited: Visited,
    pub(super) nodes: Vec<u32>,
    rows: Vec<u32>,
    dots: Vec<i32>,
    pub(super) keys: Vec<u32>,
}

impl Walk {
    /// Forgets all and steps on the entries.
    pub(super) fn start<L: Layer>(
        &mut self,
        layer: &L,
        space: &CodeSpace<'_>,
        target: &Target,
        entries: &[u32],
    ) -> Result<(), GraphDamage> {
        self.visited.reset(layer.len());
        self.nodes.clear();
        for &entry in entries {
            if (entry as usize) < layer.len() && self.visited.insert(entry) {
                self.nodes.push(entry);
            }
        }
        self.measure(layer, space, target)
    }

    /// Steps on all nodes linked from this one that were not seen before.
    #[inline(always)]
    pub(super) fn expand<L: Layer>(
        &mut self,
        layer: &L,
        space: &CodeSpace<'_>,
        target: &Target,
        node: u32,
        next: Option<u32>,
    ) -> Result<(), GraphDamage> {
        let Some(links) = layer.links(node) else { return Err(bad_list::<L>()) };
        self.nodes.clear();
        let len = layer.len();
        let mut is_outside = false;
        for link in links {
            if link as usize >= len {
                is_outside = true;
            } else if self.visited.insert(link) {
                self.nodes.push(link);
                if L::IS_BASE {
                    space.prefetch(link);
                }
            }
        }
        if is_outside {
            return Err(bad_list::<L>());
        }
        if let Some(next) = next {
            layer.prefetch(next);
        }
        self.measure(layer, space, target)
    }

    #[inline(always)]
    fn measure<L: Layer>(
        &mut self,
        layer: &L,
        space: &CodeSpace<'_>,
        target: &Target,
    ) -> Result<(), GraphDamage> {
        if L::IS_BASE {
            return space.keys_checked(target, &self.nodes, &mut self.dots, &mut self.keys);
        }
        self.rows.clear();
        for &node in &self.nodes {
            let row = layer.row(node).filter(|&row| (row as usize) < space.len());
            let missing = GraphDamage::new(Section::UpperRows, "a row that is not there");
            self.rows.push(row.ok_or(missing)?);
        }
        space.keys_checked(target, &self.rows, &mut self.dots, &mut self.keys)
    }

    pub(super) fn found(&self) -> impl Iterator<Item = Entry> {
        self.keys.iter().zip(&self.nodes).map(|(&key, &node)| Entry::new(key, node))
    }
}

impl Scratch {
    /// Fills the pool with the nodes nearest to the target. `false`: interrupted.
    pub(super) fn nearest<L: Layer>(
        &mut self,
        layer: &L,
        space: &CodeSpace<'_>,
        target: &Target,
        entries: &[u32],
        ef: usize,
        interrupt: &mut dyn FnMut() -> bool,
    ) -> Result<bool, GraphDamage> {
        let Self { pool, walk, .. } = self;
        pool.reset(ef);
        walk.start(layer, space, target, entries)?;
        walk.found().for_each(|entry| pool.insert(entry));
        for turn in 1usize.. {
            let Some(entry) = pool.expand() else { break };
            if turn.is_multiple_of(EXPANSIONS_PER_QUESTION) && interrupt() {
                return Ok(false);
            }
            let next = pool.peek().map(Entry::node);
            walk.expand(layer, space, target, entry.node(), next)?;
            walk.found().for_each(|entry| pool.insert(entry));
        }
        Ok(true)
    }
}

#[cold]
fn bad_list<L: Layer>() -> GraphDamage {
    let section = if L::IS_BASE { Section::Links } else { Section::UpperLinks };
    GraphDamage::new(section, "a link to a node that is not there")
}
