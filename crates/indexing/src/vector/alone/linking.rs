//! Rows on their way from the tail into the graph, while the state goes on without them there.

use std::sync::{Arc, Mutex, PoisonError};

use embedded_db_common::{Error, Result};
use roaring::RoaringBitmap;

use super::super::arrays::Interrupt;
use super::super::graph::{BuildOptions, Graph, GraphDamage, RowCodes, build, merge};
use super::HnswOptions;

/// What is to be linked.
pub(super) struct Linking {
    pub(super) graph: Option<Arc<Graph>>,
    /// Rows of the graph.
    pub(super) dead: RoaringBitmap,
    pub(super) codes: RowCodes,
    /// Slots below this one were linked, or have no codes.
    pub(super) end: u32,
}

/// What came of it.
pub(super) struct Linked {
    pub(super) graph: Graph,
    pub(super) dead: RoaringBitmap,
    pub(super) end: u32,
}

impl Linking {
    pub(super) fn run(self, options: &HnswOptions, interrupt: Interrupt<'_>) -> Result<Linked> {
        let said = Mutex::new(None);
        let stops = || match interrupt() {
            Ok(()) => false,
            Err(error) => {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.get_or_insert(error);
                true
            }
        };
        let made = match &self.graph {
            None => {
                let HnswOptions { threads, profile, .. } = *options;
                let graph = build(self.codes, &BuildOptions { threads, seed: 0, profile }, &stops);
                graph.map(|graph| (graph, RoaringBitmap::new()))
            }
            Some(graph) => {
                let view = graph.view();
                let merged = merge(&view, &self.dead, &self.codes, options.threads, &stops);
                merged.map_err(|damage| broken(&damage))?.map(|it| (it.graph, it.dead))
            }
        };
        let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (graph, dead) = made.ok_or_else(|| said.unwrap_or(Error::Interrupted))?;
        Ok(Linked { graph, dead, end: self.end })
    }
}

/// A graph in memory was checked when it came there.
pub(super) fn broken(damage: &GraphDamage) -> Error {
    Error::Internal(damage.to_string())
}
