//! Points that move along their ties, so that what hangs together comes to lie together.
//!
//! In each round every point goes, at most [`STEP`] far, towards the mean of those it is tied to (by how
//! much each tie carries), back towards where it came from, and, where it is crowded, away from the
//! middle of the crowd. A node without a point of its own, such as an entity, lies at the mean of those
//! that are tied to it. All points of a round move at once, so that their order does not matter; after
//! [`ROUNDS`] rounds each lies near where these forces balance.

use std::collections::HashMap;

use embedded_db_common::Slot;
use embedded_db_indexing::edges::{Edges, End};

use super::{AXES, Point, distance};

/// Rounds of moving.
const ROUNDS: usize = 24;
/// Farthest that a point goes in a round.
const STEP: f32 = 0.05;
/// How a point is drawn to what it is tied to…
const TIES: f32 = 0.6;
/// …and to where it came from; together below 1, so that it does not swing.
const ANCHOR: f32 = 0.2;
/// How it is pushed out of a crowd…
const CROWD: f32 = 0.05;
/// …which is more points than this within a cell of this width.
const CROWDED: usize = 32;
const CELL: f32 = 0.05;

/// Ties along which points move.
pub struct Ties<'a> {
    /// The edges of the state.
    pub edges: &'a Edges,
    /// Whether an edge draws its ends to each other.
    pub draws: &'a dyn Fn(&End) -> bool,
}

/// Where points come to lie. `own` are the nodes of the points, in rising order.
pub fn organise<E>(
    own: &[Slot],
    anchors: &[Point],
    ties: &Ties<'_>,
    check: &dyn Fn() -> Result<(), E>,
) -> Result<Vec<Point>, E> {
    let edges = ties.edges;
    let slots = edges.slots().max(own.last().map_or(0, |node| node.0 as usize + 1));
    let mut has_own = vec![false; slots];
    own.iter().for_each(|node| has_own[node.0 as usize] = true);
    let others: Vec<Slot> = (0..slots as u32)
        .map(Slot)
        .filter(|node| !has_own[node.0 as usize] && edges.degree(*node) > 0)
        .collect();
    let mut at = vec![[0.0; AXES]; slots];
    own.iter().zip(anchors).for_each(|(node, anchor)| at[node.0 as usize] = *anchor);
    // What lies nowhere yet draws nobody.
    let mut placed = has_own;
    for _ in 0..ROUNDS {
        check()?;
        let middles: Vec<Option<Point>> =
            others.iter().map(|node| ties.middle(*node, &at, &placed)).collect();
        for (node, middle) in others.iter().zip(middles) {
            if let Some(middle) = middle {
                at[node.0 as usize] = middle;
                placed[node.0 as usize] = true;
            }
        }
        let crowds = Crowds::of(own, &at);
        let mut moved = Vec::with_capacity(own.len());
        for (node, anchor) in own.iter().zip(anchors) {
            let from = at[node.0 as usize];
            let tied = ties.middle(*node, &at, &placed).unwrap_or(from);
            let way: Point = std::array::from_fn(|axis| {
                TIES * (tied[axis] - from[axis]) + ANCHOR * (anchor[axis] - from[axis])
            });
            let mut way = crowds.push(&from, way);
            let far = distance(&way, &[0.0; AXES]).sqrt();
            if far > STEP {
                way.iter_mut().for_each(|value| *value *= STEP / far);
            }
            moved.push(std::array::from_fn(|axis| from[axis] + way[axis]));
        }
        own.iter().zip(moved).for_each(|(node, point)| at[node.0 as usize] = point);
    }
    Ok(own.iter().map(|node| at[node.0 as usize]).collect())
}

impl Ties<'_> {
    /// The mean of what a node is tied to, by how much each tie carries: as in recall, what is rare
    /// ties more.
    fn middle(&self, node: Slot, at: &[Point], placed: &[bool]) -> Option<Point> {
        let (all, own) = (self.edges.connected() as f32, self.edges.degree(node));
        let (mut sum, mut weights) = ([0.0; AXES], 0.0);
        let draws = |end: &End| placed[end.node.0 as usize] && (self.draws)(end);
        for end in self.edges.row(node).filter(draws) {
            let busier = own.max(self.edges.degree(end.node)) as f32;
            let carries = end.weight * (1.0 + all / busier).ln();
            let other = at[end.node.0 as usize];
            sum.iter_mut().zip(other).for_each(|(sum, value)| *sum += carries * value);
            weights += carries;
        }
        (weights > 0.0).then(|| sum.map(|sum: f32| sum / weights))
    }
}

/// Points that lie in the same cell.
struct Crowds(HashMap<[i32; AXES], (Point, usize)>);

impl Crowds {
    fn cell(point: &Point) -> [i32; AXES] {
        point.map(|value| (value / CELL).floor() as i32)
    }

    fn of(own: &[Slot], at: &[Point]) -> Self {
        let mut cells = HashMap::new();
        for node in own {
            let point = at[node.0 as usize];
            let (sum, count) = cells.entry(Self::cell(&point)).or_insert(([0.0; AXES], 0));
            sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += value);
            *count += 1;
        }
        Self(cells)
    }

    /// A way, and away from the middle of the crowd that the point is in.
    fn push(&self, from: &Point, mut way: Point) -> Point {
        if let Some((sum, count)) = self.0.get(&Self::cell(from))
            && *count > CROWDED
        {
            for axis in 0..AXES {
                way[axis] += CROWD * (from[axis] - sum[axis] / *count as f32);
            }
        }
        way
    }
}
