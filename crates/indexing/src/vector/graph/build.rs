//! Linking rows.
//!
//! A row's neighbours are searched as a query's are, then linked both ways; a list that is full
//! chooses anew. Threads take rows in turn. A row is linked in the base layer first, so that
//! whoever comes down to it from above finds its links there.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::bytes::{AlignedBytes, Words};
use super::codes::RowCodes;
use super::header::{HEADER_BYTES, Header};
use super::links::{BaseLists, Lists, UpperLists};
use super::pool::Entry;
use super::reach;
use super::sections::Graph;
use super::select::{FullList, Selection};
use super::space::{CodeSpace, Target};
use super::view::GraphView;
use super::walk::{Layer, Scratch};
use crate::hashing::mix;

/// Rows looked at for the links of a new one.
const EF_CONSTRUCTION: usize = 100;
/// Links a new row chooses in each layer, and the most of a node above the base; one node in so
/// many is in the layer above.
const UPPER_LINKS: usize = 32;
/// One row in 32¹⁵ is above it.
const MAX_LEVEL: u32 = 15;

/// How much memory links take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// 64 links a row.
    #[default]
    Normal,
    /// 32 links a row: 128 bytes less each, for searches that take 1.3 times as long.
    Small,
}

impl Profile {
    pub(super) fn links(self) -> usize {
        match self {
            Self::Normal => 64,
            Self::Small => 32,
        }
    }
}

/// How to build a graph. With one thread, equal rows and options give equal graphs.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions {
    /// Threads that link rows, at least one.
    pub threads: usize,
    /// Decides in how many layers each row is.
    pub seed: u64,
    /// How many links rows have.
    pub profile: Profile,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self { threads: 1, seed: 0, profile: Profile::default() }
    }
}

/// A graph of these rows. `None`: `interrupt`, which every thread asks before each row, said to
/// stop.
pub fn build(
    rows: RowCodes,
    options: &BuildOptions,
    interrupt: &(dyn Fn() -> bool + Sync),
) -> Option<Graph> {
    let header = Header {
        metric: rows.metric,
        has_parts: false,
        dim: rows.dim as u32,
        rows: 0,
        base_links: options.profile.links() as u32,
        upper_links: UPPER_LINKS as u32,
        uppers: 0,
        blocks: 0,
        entry: 0,
        layers: 1,
        seed: options.seed,
    };
    extend(&Held::none(header), rows, options.threads, interrupt)
}

/// The links there are already.
pub(super) struct Held<'a> {
    header: Header,
    links: Words<'a>,
    upper_rows: Words<'a>,
    upper_starts: Words<'a>,
    upper_links: Words<'a>,
}

impl<'a> Held<'a> {
    fn none(mut header: Header) -> Self {
        (header.rows, header.entry, header.layers) = (0, 0, 1);
        let none = Words::new(&[]);
        Self { header, links: none, upper_rows: none, upper_starts: none, upper_links: none }
    }

    /// None of the links of the graph, but its seed and its profile.
    pub(super) fn none_of(view: &GraphView<'a>) -> Self {
        Self::none(view.header)
    }

    /// All links of a graph that was checked.
    pub(super) fn of(view: &GraphView<'a>) -> Self {
        Self {
            header: view.header,
            links: view.links,
            upper_rows: view.upper_rows,
            upper_starts: view.upper_starts,
            upper_links: view.upper_links,
        }
    }
}

/// Adds rows to those that are linked. `rows` are all rows, the linked ones first.
pub(super) fn extend(
    held: &Held<'_>,
    rows: RowCodes,
    threads: usize,
    interrupt: &(dyn Fn() -> bool + Sync),
) -> Option<Graph> {
    let mut linker = Linker::new(held, &rows);
    if !linker.link_all(held.header.rows, threads.max(1), interrupt) {
        return None;
    }
    reach::repair(&linker);
    let linked = linker.finish(held.header);
    Some(linked.into_graph(rows))
}

pub(super) struct Linker<'a> {
    pub(super) space: CodeSpace<'a>,
    pub(super) base: Lists,
    upper: Lists,
    pub(super) upper_rows: Vec<u32>,
    starts: Vec<u32>,
    /// Number among the uppers.
    pub(super) entry: AtomicU32,
    raising: Mutex<()>,
}

/// What a thread works with.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) scratch: Scratch,
    pub(super) target: Target,
    selection: Selection,
    candidates: Vec<Entry>,
    /// What was chosen in each layer, from the base up.
    chosen: Vec<Vec<u32>>,
    full: FullList,
}

impl<'a> Linker<'a> {
    fn new(held: &Held<'_>, rows: &'a RowCodes) -> Self {
        let Header { base_links, upper_links, seed, entry, .. } = held.header;
        let mut upper_rows: Vec<u32> = held.upper_rows.iter().collect();
        let mut starts: Vec<u32> = held.upper_starts.iter().collect();
        if starts.is_empty() {
            starts.push(0);
        }
        for row in held.header.rows..rows.len() as u32 {
            // Searches begin in a layer above, so one row at least is there.
            let level = level(seed, row).max(u32::from(row == 0));
            if level > 0 {
                upper_rows.push(row);
                starts.push(starts.last().copied().unwrap_or(0) + level);
            }
        }
        let blocks = starts.last().map_or(0, |&end| end as usize);
        Self {
            space: rows.space(),
            base: Lists::new(held.links, rows.len(), base_links as usize),
            upper: Lists::new(held.upper_links, blocks, upper_links as usize),
            upper_rows,
            starts,
            entry: AtomicU32::new(entry),
            raising: Mutex::new(()),
        }
    }

    /// `false`: interrupted.
    fn link_all(
        &mut self,
        first: u32,
        threads: usize,
        interrupt: &(dyn Fn() -> bool + Sync),
    ) -> bool {
        // The first row of all has nothing to be linked with.
        let next = AtomicUsize::new(first.max(1) as usize);
        let is_stopped = AtomicBool::new(false);
        let linker = &*self;
        let work = || {
            let mut worker = Worker::default();
            loop {
                let row = next.fetch_add(1, Ordering::Relaxed);
                if row >= linker.space.len() || is_stopped.load(Ordering::Relaxed) {
                    break;
                }
                if interrupt() {
                    is_stopped.store(true, Ordering::Relaxed);
                    break;
                }
                linker.link(row as u32, &mut worker);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        !is_stopped.into_inner()
    }

    fn link(&self, row: u32, worker: &mut Worker) {
        let upper = self.upper_rows.binary_search(&row).ok().map(|node| node as u32);
        let level = upper.map_or(0, |node| self.level_of(node));
        let entry = self.entry.load(Ordering::Acquire);
        let top = self.level_of(entry);
        self.space.aim_at_row(&mut worker.target, row);
        worker.chosen.resize_with(level.min(top) + 1, Vec::new);

        let mut node = entry;
        for layer in (1..=top).rev() {
            let ef = if layer > level { 1 } else { EF_CONSTRUCTION };
            let lists = self.layer(layer);
            node = self.search(&lists, node, ef, worker);
            if let Some(own) = upper.filter(|_| layer <= level) {
                self.choose(&lists, own, row, layer, UPPER_LINKS, worker);
            }
        }
        self.search(&self.base(), self.upper_rows[node as usize], EF_CONSTRUCTION, worker);
        self.choose(&self.base(), row, row, 0, UPPER_LINKS, worker);

        self.connect(&self.base(), &self.base, |node| Some(node as usize), row, 0, worker);
        for layer in 1..=level.min(top) {
            let lists = self.layer(layer);
            if let Some(own) = upper {
                self.connect(&lists, &self.upper, |node| lists.number(node), own, layer, worker);
            }
        }
        if let Some(node) = upper.filter(|_| level > top) {
            self.raise_entry(node);
        }
    }

    /// Fills the worker's pool, and gives the nearest node.
    pub(super) fn search<L: Layer>(
        &self,
        layer: &L,
        entry: u32,
        ef: usize,
        worker: &mut Worker,
    ) -> u32 {
        let Worker { scratch, target, .. } = worker;
        let going = scratch.nearest(layer, &self.space, target, &[entry], ef, &mut || false);
        debug_assert_eq!(going, Ok(true), "links lead to nodes that are there");
        scratch.pool.entries().first().map_or(entry, |nearest| nearest.node())
    }

    /// Chooses the links of a node from the worker's pool.
    fn choose<L: Layer>(
        &self,
        layer: &L,
        own: u32,
        own_row: u32,
        number: usize,
        limit: usize,
        worker: &mut Worker,
    ) {
        let Worker { scratch, selection, candidates, chosen, .. } = worker;
        candidates.clear();
        // Another thread may have linked the node, see `connect`.
        let found = scratch.pool.entries().iter().filter(|entry| entry.node() != own);
        candidates.extend(found);
        let row_of = |node| layer.row(node).unwrap_or(node);
        selection.choose(&self.space, own_row, candidates, limit, row_of);
        chosen[number].clone_from(&selection.nodes);
    }

    /// Links a node with those chosen, both ways.
    fn connect<L: Layer>(
        &self,
        layer: &L,
        lists: &Lists,
        number: impl Fn(u32) -> Option<usize>,
        own: u32,
        chosen: usize,
        worker: &mut Worker,
    ) {
        let Worker { chosen: all, full, selection, .. } = worker;
        let chosen = &all[chosen];
        let Some(list) = number(own) else { return };
        let writer = lists.write(list);
        // Whoever met the node in a layer above may have linked it already.
        let met: Vec<u32> = writer.links().filter(|link| !chosen.contains(link)).collect();
        writer.set(chosen);
        for link in met {
            writer.push(link);
        }
        drop(writer);
        for &other in chosen {
            let Some(list) = number(other) else { continue };
            let writer = lists.write(list);
            if writer.links().any(|link| link == own) || writer.push(own) {
                continue;
            }
            let row_of = |node| layer.row(node).unwrap_or(node);
            full.fill(writer.links().chain([own]));
            full.choose(&self.space, row_of(other), lists.limit(), row_of, selection);
            writer.set(&selection.nodes);
        }
    }

    fn raise_entry(&self, node: u32) {
        let _one = self.raising.lock().unwrap_or_else(PoisonError::into_inner);
        if self.level_of(node) > self.level_of(self.entry.load(Ordering::Acquire)) {
            self.entry.store(node, Ordering::Release);
        }
    }

    /// The highest layer of a node above the base.
    pub(super) fn level_of(&self, upper: u32) -> usize {
        let ends = &self.starts[upper as usize..][..2];
        (ends[1] - ends[0]) as usize
    }

    pub(super) fn base(&self) -> BaseLists<'_> {
        BaseLists { lists: &self.base, rows: self.space.len() }
    }

    pub(super) fn layer(&self, layer: usize) -> UpperLists<'_> {
        UpperLists { lists: &self.upper, rows: &self.upper_rows, starts: &self.starts, layer }
    }

    fn finish(self, mut header: Header) -> Linked {
        header.entry = self.entry.load(Ordering::Acquire);
        header.rows = self.space.len() as u32;
        header.uppers = self.upper_rows.len() as u32;
        header.blocks = self.starts.last().copied().unwrap_or(0);
        if header.uppers > 0 {
            header.layers = 1 + self.level_of(header.entry) as u32;
        }
        Linked {
            header,
            links: self.base.into_bytes(),
            upper_links: self.upper.into_bytes(),
            upper_rows: AlignedBytes::from_words(self.upper_rows.into_iter()),
            upper_starts: AlignedBytes::from_words(self.starts.into_iter()),
        }
    }
}

/// All links of a graph.
struct Linked {
    header: Header,
    links: AlignedBytes,
    upper_rows: AlignedBytes,
    upper_starts: AlignedBytes,
    upper_links: AlignedBytes,
}

impl Linked {
    fn into_graph(self, rows: RowCodes) -> Graph {
        let mut header = self.header;
        let slots = Words::new(rows.slots.as_slice());
        let slot = |row: u32| slots.get(row as usize);
        let parts = rows.parts.as_slice().as_chunks::<2>().0;
        let part = |row: u32| u16::from_le_bytes(parts[row as usize]);
        let mut by_slot: Vec<u32> = (0..header.rows).collect();
        by_slot.sort_by_key(|&row| (slot(row), part(row)));
        header.has_parts = by_slot.windows(2).any(|pair| slot(pair[0]) == slot(pair[1]));
        let mut header_bytes = AlignedBytes::with_capacity(HEADER_BYTES);
        header_bytes.extend(&header.encode());
        Graph {
            header_bytes,
            by_slot: AlignedBytes::from_words(by_slot.into_iter()),
            links: self.links,
            upper_rows: self.upper_rows,
            upper_starts: self.upper_starts,
            upper_links: self.upper_links,
            header,
            rows,
        }
    }
}

/// The highest layer of a row.
fn level(seed: u64, row: u32) -> u32 {
    let unit = (mix(mix(u64::from(row)) ^ seed) >> 11) as f64 / (1u64 << 53) as f64;
    ((-(1.0 - unit).ln() / (UPPER_LINKS as f64).ln()) as u32).min(MAX_LEVEL)
}
