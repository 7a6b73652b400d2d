//! Whole graphs, for algorithms.

use std::sync::Arc;

use embedded_db_common::{Error, Result};
use embedded_db_query::analytics::{Csr, Ids, Scope, read};
use embedded_db_query::graph::{Follow, surroundings};
use embedded_db_query::{AsOf, Deadline, Guard, Reach};
use embedded_db_storage::ReadTxn;

use crate::objects::{Edge, Node};
use crate::reads::Reader;

/// A graph as it was at one instant, with nodes by number.
pub struct Graph {
    rows: Csr,
    ids: Arc<Ids>,
    starts: Vec<u32>,
    deadline: Option<Deadline>,
}

impl Graph {
    /// The edges.
    pub fn rows(&self) -> &Csr {
        &self.rows
    }

    /// The ids of the nodes.
    pub fn ids(&self) -> &Arc<Ids> {
        &self.ids
    }

    /// The numbers of the nodes that were asked for when it was read.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// Ends work on it when the time is over that was given when it was read.
    pub fn guard<'a>(&self, interrupted: &'a dyn Fn() -> Result<()>) -> Guard<'a> {
        Guard::until(self.deadline, interrupted)
    }
}

impl Reader<'_> {
    pub(crate) fn graph(
        &self,
        scope: &Scope,
        starts: &[String],
        deadline: Option<Deadline>,
        guard: &Guard<'_>,
    ) -> Result<Graph> {
        let slots = starts.iter().map(|id| self.snapshot.require_node(self.namespace, id));
        let slots = slots.collect::<Result<Vec<_>>>()?;
        let stored = read(self.snapshot, self.namespace, scope, guard)?;
        let number = |(slot, id)| {
            stored.number(slot).ok_or_else(|| {
                let message = "is not in the graph; give it one of the labels, or leave labels out";
                Error::InvalidInput(format!("the node {id:?} {message}"))
            })
        };
        let starts = slots.into_iter().zip(starts).map(number).collect::<Result<_>>()?;
        Ok(Graph { rows: stored.graph, ids: Arc::new(stored.ids), starts, deadline })
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn subgraph(
        &self,
        ids: &[String],
        hops: u32,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        max_visited: usize,
        guard: &Guard<'_>,
    ) -> Result<(Vec<Node>, Vec<Edge>)> {
        let (snapshot, namespace) = (self.snapshot, self.namespace);
        let starts = ids.iter().map(|id| snapshot.require_node(namespace, id));
        let starts = starts.collect::<Result<Vec<_>>>()?;
        let follow = Follow::new(snapshot, types, direction, times, max_visited)?;
        let (nodes, edges) = surroundings(snapshot, namespace, &starts, &follow, hops, guard)?;
        let nodes = nodes.into_iter().map(|slot| self.node_at(slot));
        let edges = edges.into_iter().map(|slot| self.edge_at(slot, times));
        Ok((nodes.collect::<Result<_>>()?, edges.collect::<Result<_>>()?))
    }
}
