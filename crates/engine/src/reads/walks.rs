//! Walks and paths.

use embedded_db_common::Result;
use embedded_db_query::cheapest::cheapest_path;
use embedded_db_query::graph::{self, Follow, PathSlots};
use embedded_db_query::{AsOf, Guard, Reach};
use embedded_db_storage::ReadTxn;

use crate::objects::{Node, Path};
use crate::reads::Reader;

impl Reader<'_> {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn traverse(
        &self,
        start: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        max_depth: u32,
        depth_first: bool,
        limit: usize,
        max_visited: usize,
        guard: &Guard<'_>,
    ) -> Result<Vec<(Node, u32)>> {
        let start = self.snapshot.require_node(self.namespace, start)?;
        let follow = Follow::new(self.snapshot, types, direction, times, max_visited)?;
        let (snapshot, namespace) = (self.snapshot, self.namespace);
        let walked = graph::traverse(
            snapshot,
            namespace,
            start,
            &follow,
            max_depth,
            depth_first,
            limit,
            guard,
        )?;
        walked.into_iter().map(|(slot, depth)| Ok((self.node_at(slot)?, depth))).collect()
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn shortest_path(
        &self,
        start: &str,
        end: &str,
        types: Option<&[String]>,
        direction: Reach,
        times: AsOf,
        max_hops: Option<u32>,
        weighted: bool,
        max_visited: usize,
        guard: &Guard<'_>,
    ) -> Result<Option<Path>> {
        let start = self.snapshot.require_node(self.namespace, start)?;
        let end = self.snapshot.require_node(self.namespace, end)?;
        let follow = Follow::new(self.snapshot, types, direction, times, max_visited)?;
        let (snapshot, namespace) = (self.snapshot, self.namespace);
        let found = if weighted {
            cheapest_path(snapshot, namespace, start, end, &follow, max_hops, guard)?
        } else {
            graph::shortest_path(snapshot, namespace, start, end, &follow, max_hops, guard)?.map(
                |found| {
                    let cost = found.edges.len() as f64;
                    (found, cost)
                },
            )
        };
        found.map(|(found, cost)| self.path_of(&found, cost, times)).transpose()
    }

    /// A path over edges as they are now, by its hops.
    pub(crate) fn path(&self, found: &PathSlots) -> Result<Path> {
        self.path_of(found, found.edges.len() as f64, AsOf::default())
    }

    fn path_of(&self, found: &PathSlots, cost: f64, times: AsOf) -> Result<Path> {
        let nodes = found.nodes.iter().map(|slot| self.node_at(*slot));
        let edges = found.edges.iter().map(|slot| self.edge_at(*slot, times));
        Ok(Path {
            nodes: nodes.collect::<Result<_>>()?,
            edges: edges.collect::<Result<_>>()?,
            cost,
        })
    }
}
