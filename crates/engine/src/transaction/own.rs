//! What a transaction has written so far, as its own reads see it.

use std::collections::HashMap;

use embedded_db_query::AsOf;
use embedded_db_storage::Direction;

use crate::objects::{DraftEdge, DraftNode};

/// Values by id that can go back to what they were when a step began.
pub(super) struct Journal<V> {
    values: HashMap<String, V>,
    /// What was in the place of each value that was put since the first step of now began.
    before: Vec<(String, Option<V>)>,
}

impl<V> Default for Journal<V> {
    fn default() -> Self {
        Self { values: HashMap::new(), before: Vec::new() }
    }
}

impl<V> Journal<V> {
    pub(super) fn get(&self, id: &str) -> Option<&V> {
        self.values.get(id)
    }

    fn put(&mut self, id: &str, value: V, in_step: bool) {
        let before = self.values.insert(id.to_owned(), value);
        if in_step {
            self.before.push((id.to_owned(), before));
        }
    }

    fn back_to(&mut self, mark: usize) {
        while self.before.len() > mark
            && let Some((id, before)) = self.before.pop()
        {
            match before {
                Some(value) => self.values.insert(id, value),
                None => self.values.remove(&id),
            };
        }
    }
}

/// An edge that this transaction has written.
pub(super) struct OwnEdge {
    /// Its number among the edges made here; `None` for one that was stored before.
    pub(super) made: Option<usize>,
    /// As it is now; `None` when it is gone.
    pub(super) draft: Option<DraftEdge>,
    /// When it was retracted, if it is gone for that: its id stays taken.
    pub(super) retracted: Option<i64>,
}

/// An edge made here, as one of its ends sees it.
#[derive(Clone, Copy)]
struct OwnEnd {
    direction: Direction,
    /// Its number.
    edge: usize,
}

/// Where a step began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    nodes: usize,
    edges: usize,
    embeddings: usize,
}

/// The writes of a transaction.
#[derive(Default)]
pub(super) struct Own {
    /// Nodes as they have been left; `None` when they were deleted.
    nodes: Journal<Option<DraftNode>>,
    edges: Journal<OwnEdge>,
    /// Whether embeddings exist.
    embeddings: Journal<bool>,
    /// Ids of the edges made here, in order. One that was undone keeps its number, which leads nowhere.
    made: Vec<String>,
    /// The types of the edges made here, by when there was one first.
    types: HashMap<String, usize>,
    /// The edges made here by the nodes at their ends, in order.
    ends: HashMap<String, Vec<OwnEnd>>,
    /// How many steps have begun and not ended.
    steps: usize,
}

impl Own {
    // ---- steps

    pub(super) fn begin_step(&mut self) -> Mark {
        self.steps += 1;
        Mark {
            nodes: self.nodes.before.len(),
            edges: self.edges.before.len(),
            embeddings: self.embeddings.before.len(),
        }
    }

    /// Ends the step that began last; what it wrote stays, or never was.
    pub(super) fn end_step(&mut self, mark: Mark, keep: bool) {
        if !keep {
            self.nodes.back_to(mark.nodes);
            self.edges.back_to(mark.edges);
            self.embeddings.back_to(mark.embeddings);
        }
        self.steps -= 1;
        if self.steps == 0 {
            self.nodes.before.clear();
            self.edges.before.clear();
            self.embeddings.before.clear();
        }
    }

    // ---- nodes

    /// A node that was written here; `Some(None)` when it was deleted.
    pub(super) fn node(&self, id: &str) -> Option<Option<&DraftNode>> {
        self.nodes.get(id).map(Option::as_ref)
    }

    pub(super) fn put_node(&mut self, id: &str, node: Option<DraftNode>) {
        self.nodes.put(id, node, self.steps > 0);
    }

    /// Ids of the nodes that were written here and are there.
    pub(super) fn node_ids(&self) -> impl Iterator<Item = &String> {
        self.nodes.values.iter().filter(|(_, node)| node.is_some()).map(|(id, _)| id)
    }

    // ---- edges

    pub(super) fn edge(&self, id: &str) -> Option<&OwnEdge> {
        self.edges.get(id)
    }

    /// A new edge.
    pub(super) fn make_edge(&mut self, draft: DraftEdge) {
        let number = self.made.len();
        for (node, direction) in [(&draft.source, Direction::Out), (&draft.target, Direction::In)] {
            let ends = self.ends.entry(node.clone()).or_default();
            ends.push(OwnEnd { direction, edge: number });
        }
        let next = self.types.len();
        self.types.entry(draft.edge_type.clone()).or_insert(next);
        let id = draft.id.clone();
        self.made.push(id.clone());
        let edge = OwnEdge { made: Some(number), draft: Some(draft), retracted: None };
        self.edges.put(&id, edge, self.steps > 0);
    }

    /// An edge is another now.
    pub(super) fn change_edge(&mut self, draft: DraftEdge) {
        let (id, made) = (draft.id.clone(), self.number(&draft.id));
        let edge = OwnEdge { made, draft: Some(draft), retracted: None };
        self.edges.put(&id, edge, self.steps > 0);
    }

    /// An edge is gone.
    pub(super) fn end_edge(&mut self, id: &str, retracted: Option<i64>) {
        let edge = OwnEdge { made: self.number(id), draft: None, retracted };
        self.edges.put(id, edge, self.steps > 0);
    }

    fn number(&self, id: &str) -> Option<usize> {
        self.edges.get(id).and_then(|edge| edge.made)
    }

    /// The edges at a node that were made here and are there, oldest first, with their numbers.
    pub(super) fn edges_at(
        &self,
        node: &str,
        direction: Direction,
    ) -> impl DoubleEndedIterator<Item = (usize, &DraftEdge)> {
        let ends = self.ends.get(node).into_iter().flatten();
        ends.filter(move |end| end.direction == direction).filter_map(|end| {
            let edge = self.edges.get(&self.made[end.edge])?;
            // Its id may have been given again, or it was undone.
            let same = edge.made == Some(end.edge);
            Some((end.edge, edge.draft.as_ref().filter(|_| same)?))
        })
    }

    /// The place of a type of edges made here among those that nothing stored has.
    pub(super) fn place_of_type(&self, edge_type: &str) -> usize {
        self.types.get(edge_type).copied().unwrap_or_default()
    }

    /// Ids of the edges at a node that were made here and not deleted.
    pub(super) fn edge_ids_at(&self, node: &str) -> impl Iterator<Item = &String> {
        self.ends.get(node).into_iter().flatten().filter_map(|end| {
            let id = &self.made[end.edge];
            let edge = self.edges.get(id)?;
            let there = edge.draft.is_some() || edge.retracted.is_some();
            (edge.made == Some(end.edge) && there).then_some(id)
        })
    }

    /// Whether an edge that is stored is there, as it was or changed.
    pub(super) fn keeps_edge(&self, id: &str) -> bool {
        self.edges.get(id).is_none_or(|edge| edge.made.is_none() && edge.draft.is_some())
    }

    /// Whether an edge that is stored counts at a time, as this transaction has left it. `counts`: whether
    /// it does as it is stored.
    pub(super) fn counts_edge(&self, id: &str, counts: bool, times: AsOf) -> bool {
        let Some(own) = self.edges.get(id).filter(|edge| edge.made.is_none()) else {
            // Another may have got its id.
            return counts && self.edges.get(id).is_none();
        };
        match (&own.draft, own.retracted) {
            (Some(draft), _) if knows(times, draft.times.recorded_at) => draft_counts(draft, times),
            (None, Some(at)) if knows(times, at) => false,
            (None, None) => false,
            _ => counts,
        }
    }

    // ---- embeddings

    pub(super) fn embedding(&self, id: &str) -> Option<bool> {
        self.embeddings.get(id).copied()
    }

    pub(super) fn put_embedding(&mut self, id: &str, exists: bool) {
        self.embeddings.put(id, exists, self.steps > 0);
    }
}

/// Whether what was written at a time was known at another.
fn knows(times: AsOf, written: i64) -> bool {
    times.known_at.is_none_or(|at| written <= at)
}

/// Whether an edge made or changed here counts at a time, as it is.
pub(super) fn draft_counts(draft: &DraftEdge, times: AsOf) -> bool {
    let valid = times.valid_at.is_none_or(|at| draft.times.valid_at(at));
    valid && knows(times, draft.times.recorded_at)
}
