//! The edges that are held in memory, of the namespaces and states that were last asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_db_common::{Lsn, NamespaceId, Result};
use embedded_db_storage::{ReadTxn, Snapshot};

use super::{Edges, fits};

/// Edges of states, within a bound of memory. Nothing is locked while edges are read.
#[derive(Debug)]
pub struct HeldEdges {
    /// In bytes.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The one that was used longest ago first.
    pub(super) held: Vec<Held>,
}

#[derive(Debug)]
pub(super) struct Held {
    of: Of,
    lsn: Lsn,
    edges: Arc<Edges>,
}

/// Where slots mean something.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Of {
    generation: u64,
    namespace: NamespaceId,
}

impl HeldEdges {
    /// Holds so many bytes at the most.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// The edges of a namespace exactly as a snapshot has them. `check` fails to end the work.
    pub fn at(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Arc<Edges>> {
        let of = Of { generation: snapshot.generation().number(), namespace };
        let lsn = snapshot.lsn()?;
        let before = self.lock().latest(of, lsn);
        if let Some((from, edges)) = before {
            if from == lsn {
                return Ok(edges);
            }
            let mut edges = (*edges).clone();
            if edges.follow(snapshot, namespace, (from, lsn), check)? {
                fits(edges.edges(), self.limit)?;
                return Ok(self.lock().put(of, lsn, edges, Some(from), self.limit));
            }
        }
        let edges = Edges::read(snapshot, namespace, self.limit, check)?;
        Ok(self.lock().put(of, lsn, edges, None, self.limit))
    }

    /// Forgets those of a namespace that was dropped.
    pub fn forget(&self, namespace: NamespaceId) {
        self.lock().held.retain(|held| held.of.namespace != namespace);
    }

    /// Bytes of memory that are held.
    pub fn memory_bytes(&self) -> usize {
        self.lock().memory_bytes()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The latest state that is held, up to an LSN.
    fn latest(&mut self, of: Of, lsn: Lsn) -> Option<(Lsn, Arc<Edges>)> {
        let all = self.held.iter().enumerate();
        let earlier = all.filter(|(_, held)| held.of == of && held.lsn <= lsn);
        let (at, _) = earlier.max_by_key(|(_, held)| held.lsn)?;
        // It is used now.
        let held = self.held.remove(at);
        let found = (held.lsn, Arc::clone(&held.edges));
        self.held.push(held);
        Some(found)
    }

    /// Holds edges, those of `instead` no longer, and of others as many as there is room for.
    fn put(
        &mut self,
        of: Of,
        lsn: Lsn,
        edges: Edges,
        instead: Option<Lsn>,
        limit: usize,
    ) -> Arc<Edges> {
        let edges = Arc::new(edges);
        // Another generation has taken the place of those before it.
        self.held.retain(|held| {
            let is_same = held.of == of && (held.lsn == lsn || Some(held.lsn) == instead);
            !is_same && held.of.generation >= of.generation
        });
        self.held.push(Held { of, lsn, edges: Arc::clone(&edges) });
        while self.held.len() > 1 && self.memory_bytes() > limit {
            self.held.remove(0);
        }
        edges
    }

    fn memory_bytes(&self) -> usize {
        self.held.iter().map(|held| held.edges.memory_bytes()).sum()
    }
}
