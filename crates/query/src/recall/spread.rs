//! Spreading: what hangs together with some nodes, by how much, and over which path.
//!
//! A random walk with restart from the seeds, so many steps of it (personalised PageRank: Page, Brin,
//! Motwani, Winograd 1999; Haveliwala, WWW 2002). That such a walk over passages and the entities they
//! mention finds evidence that lies several hops from a question is shown by HippoRAG (Gutiérrez and
//! others, NeurIPS 2024). What is rare ties more: an edge carries `weight · ln(1 + N / d)`, where N is
//! the number of nodes with an edge, and d the number of edges at that of its two nodes which has more.
//!
//! Nothing is random, and sums are taken in the order of the slots: the same graph and seeds give the
//! same activations.

use embedded_db_common::{Error, NamespaceId, Result, Slot, Symbol};
use embedded_db_indexing::edges::{Edges, End};
use embedded_db_storage::ReadTxn;
use roaring::RoaringBitmap;

use crate::converged::Reach;
use crate::graph::PathSlots;
use crate::guard::Guard;

/// The most bursts: further ones change little.
pub const MAX_BURSTS: u32 = 100;
/// In place of a burst: the node is a seed.
const SEED: u32 = u32::MAX;
/// Less activation than this, of 1 in all, is not passed on: so much bounds the work of a burst.
const FAINT: f32 = 1e-6;

/// How activation spreads.
#[derive(Debug, Clone, PartialEq)]
pub struct Spreading {
    /// How many hops it goes.
    pub bursts: u32,
    /// The share that begins at the seeds anew in every burst, 0 to below 1.
    pub restart: f32,
    /// Types of edges that carry it; `None` lets all.
    pub edge_types: Option<Vec<String>>,
    /// Which way along edges.
    pub direction: Reach,
    /// Only over edges that are true in the world then.
    pub valid_at: Option<i64>,
}

impl Default for Spreading {
    fn default() -> Self {
        Self { bursts: 3, restart: 0.2, edge_types: None, direction: Reach::Any, valid_at: None }
    }
}

impl Spreading {
    /// Refuses what makes no sense.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MAX_BURSTS).contains(&self.bursts) {
            let message = format!("{} is out of range; give 1 to {MAX_BURSTS}", self.bursts);
            return Err(Error::query("bursts", message));
        }
        if !(0.0..1.0).contains(&self.restart) {
            let message = format!("{} is no share; give 0 to below 1", self.restart);
            return Err(Error::query("restart", message));
        }
        Ok(())
    }
}

/// What activation runs over: the edges of a state, as a way to spread sees them.
pub struct Ground<'a> {
    edges: &'a Edges,
    /// Nodes that the state does not see.
    hidden: Option<&'a RoaringBitmap>,
    /// The types of [`Spreading::edge_types`] that there are.
    types: Option<Vec<Symbol>>,
    how: &'a Spreading,
}

impl<'a> Ground<'a> {
    /// The edges have to be those of the state.
    pub fn new<T: ReadTxn>(
        txn: &'a T,
        namespace: NamespaceId,
        edges: &'a Edges,
        how: &'a Spreading,
    ) -> Result<Self> {
        how.validate()?;
        let types = how.edge_types.as_ref().map(|names| -> Result<Vec<Symbol>> {
            let mut types = Vec::with_capacity(names.len());
            for name in names {
                types.extend(txn.symbol(name)?);
            }
            Ok(types)
        });
        let hidden = txn.hidden(namespace).map(|hidden| &hidden.nodes);
        Ok(Self { edges, hidden, types: types.transpose()?, how })
    }

    /// How much a node ties by being rare: ln(1 + N / d) with its d of the edges at N nodes.
    pub fn rarity(&self, node: Slot) -> f32 {
        (1.0 + self.edges.connected() as f32 / self.edges.degree(node).max(1) as f32).ln()
    }

    fn hides(&self, node: Slot) -> bool {
        self.hidden.is_some_and(|hidden| hidden.contains(node.0))
    }

    fn carries(&self, end: &End) -> bool {
        let how = self.how;
        let way = match how.direction {
            Reach::Any => true,
            Reach::Out => end.is_outgoing(),
            Reach::In => !end.is_outgoing(),
        };
        let of_type = || self.types.as_ref().is_none_or(|types| types.contains(&end.edge_type()));
        let is_valid = |at| self.edges.times(end).is_none_or(|times| times.valid_at(at));
        way && of_type() && how.valid_at.is_none_or(is_valid) && !self.hides(end.node)
    }
}

/// How active nodes are. All activation together is 1.
#[derive(Debug)]
pub struct Activation {
    /// By slot.
    values: Vec<f32>,
    /// The nodes that are active, by slot.
    active: Vec<Slot>,
    /// By slot: the burst that first lit a node, from 1; 0 for what is dark, [`SEED`] for a seed.
    lit: Vec<u32>,
    /// By slot: from where, and over which edge, most of that came.
    from: Vec<(u32, u32)>,
}

impl Activation {
    /// Of a node.
    pub fn of(&self, node: Slot) -> Option<f32> {
        self.values.get(node.0 as usize).copied().filter(|value| *value > 0.0)
    }

    /// The most active nodes among those allowed, the oldest of equal ones first.
    pub fn best(&self, allowed: Option<&RoaringBitmap>, k: usize) -> Vec<(Slot, f32)> {
        let is_allowed = |node: &Slot| allowed.is_none_or(|allowed| allowed.contains(node.0));
        let active = self.active.iter().filter(|node| is_allowed(node));
        let mut found: Vec<(Slot, f32)> =
            active.filter_map(|node| self.of(*node).map(|value| (*node, value))).collect();
        let order =
            |a: &(Slot, f32), b: &(Slot, f32)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
        if found.len() > k {
            found.select_nth_unstable_by(k, order);
            found.truncate(k);
        }
        found.sort_unstable_by(order);
        found
    }

    /// How many nodes are active.
    pub fn count(&self) -> usize {
        self.active.len()
    }

    /// The path that lit a node: from a seed, over what gave the most when each node was first lit.
    pub fn path(&self, node: Slot) -> PathSlots {
        let (mut nodes, mut edges) = (vec![node], Vec::new());
        let mut at = node.0 as usize;
        // Each node was lit by one that was lit before it.
        while self.lit.get(at).is_some_and(|burst| ![0, SEED].contains(burst)) {
            let (node, edge) = self.from[at];
            nodes.push(Slot(node));
            edges.push(Slot(edge));
            at = node as usize;
        }
        nodes.reverse();
        edges.reverse();
        PathSlots { nodes, edges }
    }
}

/// Spreads activation from seeds, which have weights over 0 and are seen.
pub fn spread(ground: &Ground<'_>, seeds: &[(Slot, f32)], guard: &Guard<'_>) -> Result<Activation> {
    let how = ground.how;
    let highest = seeds.iter().map(|(node, _)| node.0 as usize + 1).max().unwrap_or(0);
    let slots = ground.edges.slots().max(highest);
    let mut spread = Spread {
        ground,
        guard,
        next: vec![0.0; slots],
        reached: Vec::new(),
        gained: vec![0.0; slots],
        burst: 0,
        found: Activation {
            values: vec![0.0; slots],
            active: Vec::new(),
            lit: vec![0; slots],
            from: vec![(0, 0); slots],
        },
        carrying: Vec::new(),
    };
    for (seed, _) in seeds {
        spread.found.lit[seed.0 as usize] = SEED;
    }
    spread.inject(seeds, 1.0);
    spread.turn();
    for burst in 1..=how.bursts {
        spread.burst = burst;
        let lost = spread.pass_on()?;
        spread.inject(seeds, how.restart + (1.0 - how.restart) * lost);
        spread.turn();
    }
    Ok(spread.found)
}

/// Activation while it spreads.
struct Spread<'a> {
    ground: &'a Ground<'a>,
    guard: &'a Guard<'a>,
    /// By slot: the activation after this burst…
    next: Vec<f32>,
    /// …and which nodes have some, in any order.
    reached: Vec<Slot>,
    /// By slot: the most that came at once in the burst that first lit a node.
    gained: Vec<f32>,
    burst: u32,
    found: Activation,
    /// The edges that carry from one node, and how much of its activation each does.
    carrying: Vec<(End, f32)>,
}

impl Spread<'_> {
    /// Shares activation among the seeds.
    fn inject(&mut self, seeds: &[(Slot, f32)], amount: f32) {
        let sum: f32 = seeds.iter().map(|(_, weight)| weight).sum();
        for (node, weight) in seeds {
            if amount > 0.0 {
                self.add(*node, amount * weight / sum);
            }
        }
    }

    fn add(&mut self, node: Slot, amount: f32) {
        let value = &mut self.next[node.0 as usize];
        if *value == 0.0 && amount > 0.0 {
            self.reached.push(node);
        }
        *value += amount;
    }

    /// Every active node gives what it does not keep for the seeds to its neighbours. What finds no edge
    /// is given back.
    fn pass_on(&mut self) -> Result<f32> {
        let mut lost = 0.0;
        let active = std::mem::take(&mut self.found.active);
        for node in &active {
            self.guard.tick()?;
            let has = self.found.values[node.0 as usize];
            let sum = if has < FAINT { 0.0 } else { self.find_carrying(*node) };
            if sum <= 0.0 {
                lost += has;
                continue;
            }
            let carrying = std::mem::take(&mut self.carrying);
            for (end, carries) in &carrying {
                let amount = (1.0 - self.ground.how.restart) * has * carries / sum;
                self.light(*node, end, amount);
                self.add(end.node, amount);
            }
            self.carrying = carrying;
        }
        self.found.active = active;
        Ok(lost)
    }

    /// Notes where the light of a node comes from that was dark.
    fn light(&mut self, from: Slot, end: &End, amount: f32) {
        let at = end.node.0 as usize;
        let lit = self.found.lit[at];
        if lit == 0 || (lit == self.burst && amount > self.gained[at]) {
            self.found.lit[at] = self.burst;
            self.found.from[at] = (from.0, end.edge.0);
            self.gained[at] = amount;
        }
    }

    /// The edges that carry from a node, and what they do together.
    fn find_carrying(&mut self, node: Slot) -> f32 {
        self.carrying.clear();
        let edges = self.ground.edges;
        let (all, own) = (edges.connected() as f32, edges.degree(node));
        let mut sum = 0.0;
        for end in edges.row(node).filter(|end| self.ground.carries(end)) {
            let busier = own.max(edges.degree(end.node)) as f32;
            let carries = edges.carried(&end) * (1.0 + all / busier).ln();
            sum += carries;
            self.carrying.push((end, carries));
        }
        sum
    }

    /// What has arrived is what is there now.
    fn turn(&mut self) {
        for node in &self.found.active {
            self.found.values[node.0 as usize] = 0.0;
        }
        for node in &self.reached {
            let arrived = &mut self.next[node.0 as usize];
            self.found.values[node.0 as usize] = std::mem::take(arrived);
        }
        self.found.active = std::mem::take(&mut self.reached);
        self.found.active.sort_unstable();
    }
}
