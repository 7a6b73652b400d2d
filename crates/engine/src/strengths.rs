//! Recall that adapts: edges that were used carry more for a while, beside their weights.
//!
//! An edge that is used comes a share nearer to [`MOST`], and what was added is worth half as much each
//! half-life later. That is reckoned when it is read, so that nothing has to be written for an edge to
//! be forgotten; rows that are worth next to nothing go with a later write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use embedded_db_common::{Error, NamespaceId, Result, Slot};
use embedded_db_indexing::edges::Edges;
use embedded_db_storage::{Kind, ReadStrengths, ReadTxn, Snapshot, Strength};

use crate::database::Database;
use crate::engine::Engine;
use crate::queries::Answer;
use crate::sharing::forward;

/// The most that is added to the factor of 1 by which the weight of an edge is multiplied.
const MOST: f32 = 4.0;
/// So much nearer to it an edge comes when it is used.
const SHARE: f32 = 0.25;
/// What is worth less goes.
const FAINT: f32 = 0.01;
/// Rows that one write takes away.
const STEP: usize = 1_000;

impl Engine {
    /// The edges of a namespace exactly as a snapshot has them, with what strengthens them.
    pub(crate) fn edges_at(
        &self,
        snapshot: &Snapshot,
        namespace: NamespaceId,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Arc<Edges>> {
        let edges = self.edges.at(snapshot, namespace, check)?;
        if !snapshot.has_strengths(namespace)? {
            return Ok(edges);
        }
        let now = snapshot.instant()?;
        let all = snapshot.strengths(namespace)?.into_iter();
        let factors = all.map(|(edge, strength)| (edge, 1.0 + self.worth(strength, now)));
        Ok(Arc::new(edges.strengthened(factors)))
    }

    /// What is left of a strength.
    fn worth(&self, strength: Strength, now: i64) -> f32 {
        let Some(half_life) = self.options.recall_half_life else { return strength.added };
        let since = Duration::from_micros(now.saturating_sub(strength.at).max(0) as u64);
        let halves = since.as_secs_f64() / half_life.as_secs_f64().max(f64::MIN_POSITIVE);
        strength.added * (-halves).exp2() as f32
    }
}

impl Database {
    /// Strengthens edges; how many there were. An id that is given twice counts once.
    pub fn strengthen(&self, edges: &[String]) -> Result<usize> {
        let edges: BTreeSet<String> = edges.iter().cloned().collect();
        self.strengthen_if(edges, true)
    }

    /// Strengthens the edges over which activation came to results.
    pub(crate) fn strengthen_paths(&self, answer: &Answer) -> Result<()> {
        let paths = answer.hits.iter().filter_map(|hit| hit.path.as_ref());
        let edges = paths.flat_map(|path| &path.edges).map(|edge| edge.id());
        let edges = edges.collect::<Result<BTreeSet<String>>>()?;
        if edges.is_empty() {
            return Ok(());
        }
        // One that went meanwhile is not strengthened.
        self.strengthen_if(edges, false).map(drop)
    }

    /// With `required`, all of them have to be there.
    pub(crate) fn strengthen_if(&self, edges: BTreeSet<String>, required: bool) -> Result<usize> {
        self.check_writable()?;
        forward!(self, Strengthen { edges, required });
        let (engine, namespace) = (self.engine()?, self.namespace_id());
        let faint: Vec<Slot> = self.read(|reader| {
            let now = reader.snapshot.instant()?;
            let all = reader.snapshot.strengths(namespace)?.into_iter();
            let faint = all.filter(|(_, strength)| engine.worth(*strength, now) < FAINT);
            Ok(faint.map(|(edge, _)| edge).take(STEP).collect())
        })?;
        self.write(move |writer| {
            let txn = &mut *writer.txn;
            let now = txn.now();
            for edge in &faint {
                let strength = txn.strength(namespace, *edge)?;
                if strength.is_some_and(|strength| engine.worth(strength, now) < FAINT) {
                    txn.set_strength(namespace, *edge, None)?;
                }
            }
            let mut count = 0;
            for id in &edges {
                let Some(found) = txn.resolve(namespace, Kind::Edge, id)? else {
                    if required {
                        return Err(Error::NotFound { kind: "edge", id: id.clone() });
                    }
                    continue;
                };
                let before = txn.strength(namespace, found.slot)?;
                let before = before.map_or(0.0, |strength| engine.worth(strength, now));
                let added = before + (MOST - before) * SHARE;
                txn.set_strength(namespace, found.slot, Some(Strength { added, at: now }))?;
                count += 1;
            }
            Ok(count)
        })
    }

    /// The factor by which the weight of each strengthened edge is multiplied now, by id.
    pub fn strengths(&self) -> Result<Vec<(String, f32)>> {
        let engine = self.engine()?;
        self.read(|reader| {
            let (snapshot, namespace) = (reader.snapshot, reader.namespace);
            let now = snapshot.instant()?;
            let mut out = Vec::new();
            for (edge, strength) in snapshot.strengths(namespace)? {
                let worth = engine.worth(strength, now);
                let hidden = snapshot.hides_edge(namespace, edge)?;
                if let Some(record) = snapshot.edge(namespace, edge)?.filter(|_| !hidden)
                    && worth >= FAINT
                {
                    out.push((record.id.to_owned(), 1.0 + worth));
                }
            }
            Ok(out)
        })
    }

    /// Takes back all that was strengthened, in steps; how many edges had been.
    pub fn forget_strengths(&self, interrupted: &dyn Fn() -> Result<()>) -> Result<usize> {
        self.check_writable()?;
        forward!(self, ForgetStrengths {});
        let namespace = self.namespace_id();
        let mut count = 0;
        loop {
            interrupted()?;
            let some = self.read(|reader| reader.snapshot.strengths(namespace))?;
            if some.is_empty() {
                return Ok(count);
            }
            let some: Vec<Slot> = some.into_iter().map(|(edge, _)| edge).take(STEP).collect();
            count += some.len();
            self.write(move |writer| {
                some.iter().try_for_each(|edge| writer.txn.set_strength(namespace, *edge, None))
            })?;
        }
    }
}
