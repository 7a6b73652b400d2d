//! Traversals: iterative, bounded, and each node visited once.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use embedded_db_common::{Error, NamespaceId, Result, Slot, Symbol};
use embedded_db_storage::{Direction, EdgeRecord, Neighbor, ReadHistory, ReadTxn};

use crate::converged::{AsOf, Expansion, Reach};
use crate::filter::Compiled;
use crate::guard::Guard;

impl AsOf {
    /// The payload of an edge as it was held for true, if it was, and was true in the world.
    pub fn edge<T: ReadTxn>(
        self,
        txn: &T,
        namespace: NamespaceId,
        edge: Slot,
    ) -> Result<Option<&[u8]>> {
        let payload = match self.known_at {
            Some(at) => txn.edge_payload_at(namespace, edge, at)?,
            None => txn.edge_payload(namespace, edge)?,
        };
        let Some(payload) = payload else { return Ok(None) };
        let times = EdgeRecord::parse(payload)?.times;
        let known = self.known_at.is_some() || times.retracted_at.is_none();
        let valid = self.valid_at.is_none_or(|at| times.valid_at(at));
        Ok((known && valid).then_some(payload))
    }

    /// Calls `visit` with the ends of edges that may count, in the order of [`ReadTxn::neighbors`],
    /// until it returns false. Whether an edge does count is for [`AsOf::edge`] to say.
    pub fn neighbors<T: ReadTxn>(
        self,
        txn: &T,
        namespace: NamespaceId,
        node: Slot,
        direction: Direction,
        edge_type: Option<Symbol>,
        visit: impl FnMut(Symbol, Neighbor) -> bool,
    ) -> Result<()> {
        match self.known_at {
            Some(_) => txn.neighbors_ever(namespace, node, direction, edge_type, visit),
            None => txn.neighbors(namespace, node, direction, edge_type, visit),
        }
    }

    /// Whether every edge among the neighbours counts.
    pub fn is_now(self) -> bool {
        self == Self::default()
    }
}

/// Edges to follow.
#[derive(Debug, Clone)]
pub struct Follow {
    /// Types; `None` follows all. Types that no edge has are left out.
    pub types: Option<Vec<Symbol>>,
    /// Which way.
    pub direction: Reach,
    /// Most nodes to visit.
    pub max_visited: usize,
    /// Which edges count, by time.
    pub times: AsOf,
    filters: Vec<Compiled>,
    /// Whether the edges themselves are wanted: where a chain closes up over a node that is not seen,
    /// there is no edge to be seen yet.
    edges_wanted: bool,
}

impl Follow {
    /// Resolves the names of edge types.
    pub fn new(
        txn: &impl ReadTxn,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        max_visited: usize,
    ) -> Result<Self> {
        let types = match types {
            Some(names) => {
                let mut symbols = Vec::with_capacity(names.len());
                for name in names {
                    symbols.extend(txn.symbol(name)?);
                }
                Some(symbols)
            }
            None => None,
        };
        Ok(Self { types, direction, max_visited, times, filters: Vec::new(), edges_wanted: false })
    }

    /// The edges of an expansion.
    pub(crate) fn expansion(
        txn: &impl ReadTxn,
        expansion: &Expansion,
        times: AsOf,
        max_visited: usize,
    ) -> Result<Self> {
        let types = expansion.edge_types.as_deref();
        let filters = &expansion.edge_filters;
        Ok(Self {
            filters: filters
                .iter()
                .map(|filter| Compiled::new::<EdgeRecord<'_>>(filter, txn))
                .collect::<Result<_>>()?,
            ..Self::new(txn, types, expansion.direction, times, max_visited)?
        })
    }

    /// Calls `visit` with each neighbour and its edge.
    pub fn each<T: ReadTxn>(
        &self,
        txn: &T,
        namespace: NamespaceId,
        node: Slot,
        mut visit: impl FnMut(Neighbor),
    ) -> Result<()> {
        let mut failed = None;
        for direction in self.direction.directions() {
            let mut all = |_, neighbor: Neighbor| match self.takes(txn, namespace, neighbor.edge) {
                Ok(true) => {
                    visit(neighbor);
                    true
                }
                Ok(false) => true,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            };
            match &self.types {
                None => self.times.neighbors(txn, namespace, node, *direction, None, &mut all)?,
                Some(types) => {
                    for of in types {
                        let of = Some(*of);
                        self.times.neighbors(txn, namespace, node, *direction, of, &mut all)?;
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether an edge counts. Its record is read only when something is asked of it.
    fn takes<T: ReadTxn>(&self, txn: &T, namespace: NamespaceId, edge: Slot) -> Result<bool> {
        if self.edges_wanted && txn.hides_edge(namespace, edge)? {
            return Ok(false);
        }
        if self.times.is_now() && self.filters.is_empty() {
            return Ok(true);
        }
        let Some(payload) = self.times.edge(txn, namespace, edge)? else { return Ok(false) };
        let edge = EdgeRecord::parse(payload)?;
        for filter in &self.filters {
            if !filter.matches(&edge)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same, over edges that are there themselves.
    pub(crate) fn with_edges(&self) -> Self {
        Self { edges_wanted: true, ..self.clone() }
    }

    fn reversed(&self) -> Self {
        Self { direction: self.direction.reversed(), ..self.clone() }
    }

    pub(crate) fn too_many(&self) -> Error {
        Error::TooManyVisited { limit: self.max_visited }
    }
}

/// Distance in hops of every node at most `max_hops` away, by the shortest way.
pub fn distances<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    starts: &[Slot],
    follow: &Follow,
    max_hops: u32,
    guard: &Guard<'_>,
) -> Result<HashMap<Slot, u32>> {
    let mut found: HashMap<Slot, u32> = starts.iter().map(|slot| (*slot, 0)).collect();
    let mut frontier: Vec<Slot> = found.keys().copied().collect();
    for hops in 1..=max_hops {
        let mut next = Vec::new();
        for node in &frontier {
            guard.tick()?;
            follow.each(txn, namespace, *node, |neighbor| {
                if let Entry::Vacant(entry) = found.entry(neighbor.node) {
                    entry.insert(hops);
                    next.push(neighbor.node);
                }
            })?;
            if found.len() > follow.max_visited {
                return Err(follow.too_many());
            }
        }
        if next.is_empty() {
            break;
        }
        frontier = next;
    }
    Ok(found)
}

/// The nodes at most `max_hops` away, the nearest first and of these the oldest, and the edges from one
/// of them to another.
pub fn surroundings<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    starts: &[Slot],
    follow: &Follow,
    max_hops: u32,
    guard: &Guard<'_>,
) -> Result<(Vec<Slot>, Vec<Slot>)> {
    let found = distances(txn, namespace, starts, follow, max_hops, guard)?;
    if found.len() > follow.max_visited {
        return Err(follow.too_many());
    }
    let mut nodes: Vec<Slot> = found.keys().copied().collect();
    nodes.sort_unstable_by_key(|node| (found[node], *node));
    let onward = Follow { direction: Reach::Out, ..follow.with_edges() };
    let mut edges = Vec::new();
    for node in &nodes {
        guard.tick()?;
        onward.each(txn, namespace, *node, |neighbor| {
            edges.extend(found.contains_key(&neighbor.node).then_some(neighbor.edge));
        })?;
    }
    edges.sort_unstable();
    Ok((nodes, edges))
}

/// Nodes in the order of a breadth- or depth-first walk, each once, with their depth.
#[allow(clippy::too_many_arguments)]
pub fn traverse<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    start: Slot,
    follow: &Follow,
    max_depth: u32,
    depth_first: bool,
    limit: usize,
    guard: &Guard<'_>,
) -> Result<Vec<(Slot, u32)>> {
    let mut out = Vec::new();
    if limit == 0 {
        return Ok(out);
    }
    let mut seen = HashSet::from([start]);
    let mut open = VecDeque::from([(start, 0)]);
    // The least depth at which each node was expanded. Depth first, one may be met again nearer to
    // the start: it is not given twice, but what lies behind it may come into reach.
    let mut expanded: HashMap<Slot, u32> = HashMap::new();
    while let Some((node, depth)) = if depth_first { open.pop_back() } else { open.pop_front() } {
        guard.tick()?;
        match expanded.entry(node) {
            Entry::Occupied(entry) if *entry.get() <= depth => continue,
            Entry::Occupied(mut entry) => {
                entry.insert(depth);
            }
            Entry::Vacant(entry) => {
                entry.insert(depth);
                out.push((node, depth));
            }
        }
        if out.len() >= limit {
            break;
        }
        if depth == max_depth {
            continue;
        }
        let mut next = Vec::new();
        follow.each(txn, namespace, node, |neighbor| {
            let new = if depth_first {
                expanded.get(&neighbor.node).is_none_or(|least| *least > depth + 1)
            } else {
                seen.insert(neighbor.node)
            };
            if new {
                next.push((neighbor.node, depth + 1));
            }
        })?;
        if depth_first {
            // The first neighbour is walked first.
            next.reverse();
        }
        open.extend(next);
        if open.len() + out.len() > follow.max_visited {
            return Err(follow.too_many());
        }
    }
    Ok(out)
}

/// A path: nodes from start to end, and the edges between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathSlots {
    /// Start first.
    pub nodes: Vec<Slot>,
    /// One fewer than the nodes.
    pub edges: Vec<Slot>,
}

/// One half of a search from both ends.
struct Side {
    follow: Follow,
    /// How each node was reached: from where, over which edge.
    parents: HashMap<Slot, Option<Neighbor>>,
    frontier: Vec<Slot>,
    depth: u32,
}

impl Side {
    fn new(start: Slot, follow: Follow) -> Self {
        Self { follow, parents: HashMap::from([(start, None)]), frontier: vec![start], depth: 0 }
    }

    /// One hop further; the first node that the other side knows, if there is one.
    fn advance<T: ReadTxn>(
        &mut self,
        txn: &T,
        namespace: NamespaceId,
        other: &Self,
        guard: &Guard<'_>,
    ) -> Result<Option<Slot>> {
        let mut next = Vec::new();
        let mut meeting = None;
        self.depth += 1;
        for node in std::mem::take(&mut self.frontier) {
            guard.tick()?;
            let parents = &mut self.parents;
            self.follow.each(txn, namespace, node, |neighbor| {
                if meeting.is_none()
                    && let Entry::Vacant(entry) = parents.entry(neighbor.node)
                {
                    entry.insert(Some(Neighbor { node, edge: neighbor.edge }));
                    if other.parents.contains_key(&neighbor.node) {
                        meeting = Some(neighbor.node);
                    }
                    next.push(neighbor.node);
                }
            })?;
            if meeting.is_some() {
                return Ok(meeting);
            }
            if self.parents.len() > self.follow.max_visited {
                return Err(self.follow.too_many());
            }
        }
        self.frontier = next;
        Ok(None)
    }

    /// From `node` back to where this side began.
    fn trace(&self, mut node: Slot) -> (Vec<Slot>, Vec<Slot>) {
        let (mut nodes, mut edges) = (vec![node], Vec::new());
        while let Some(Some(step)) = self.parents.get(&node) {
            edges.push(step.edge);
            node = step.node;
            nodes.push(node);
        }
        (nodes, edges)
    }
}

/// The path with the fewest hops, searched from both ends; `None` when there is none.
///
/// The first meeting is on a shortest path: the sides advance a whole level at a time, so when the
/// one at depth a reaches a node that the other holds at depth b' ≤ b, no path is shorter than
/// a + b, and every node of the other side at less than its full depth b was met before.
pub fn shortest_path<T: ReadTxn>(
    txn: &T,
    namespace: NamespaceId,
    start: Slot,
    end: Slot,
    follow: &Follow,
    max_hops: Option<u32>,
    guard: &Guard<'_>,
) -> Result<Option<PathSlots>> {
    if start == end {
        return Ok(Some(PathSlots { nodes: vec![start], edges: Vec::new() }));
    }
    let limit = max_hops.unwrap_or(u32::MAX);
    let follow = &follow.with_edges();
    let mut forward = Side::new(start, follow.clone());
    let mut backward = Side::new(end, follow.reversed());
    while forward.depth + backward.depth < limit
        && !forward.frontier.is_empty()
        && !backward.frontier.is_empty()
    {
        let meeting = if forward.frontier.len() <= backward.frontier.len() {
            forward.advance(txn, namespace, &backward, guard)?
        } else {
            backward.advance(txn, namespace, &forward, guard)?
        };
        if let Some(meeting) = meeting {
            let (mut nodes, mut edges) = forward.trace(meeting);
            nodes.reverse();
            edges.reverse();
            let (back_nodes, back_edges) = backward.trace(meeting);
            nodes.extend(&back_nodes[1..]);
            edges.extend(back_edges);
            return Ok(Some(PathSlots { nodes, edges }));
        }
    }
    Ok(None)
}
