//! What has few ties of its own is tied to what it is most like, as a proposal.
//!
//! Two nodes are tied when each is among the most similar to the other, their vectors are similar enough and their
//! texts share a telling word: vectors alone tie thanks to thanks and goodbye to goodbye.
//! What is computed depends on a snapshot that nobody holds while it is written; nodes that have changed since
//! are looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot, SpaceId};
use embedded_db_indexing::graph::{GraphWriter, Proposal, has_few_ties};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadEmbeddings, ReadTxn, Store};

/// Nodes that are looked at together.
pub(crate) const STEP: usize = 32;
/// Of so many most similar nodes each has to be one for the other…
const NEAREST: usize = 8;
/// …and so many are proposed at most.
const MOST: usize = 3;

/// Finds similar nodes.
pub trait Nearest: Send + Sync {
    /// For each of some nodes those of the most similar others in a space that share a telling word with it, with
    /// their cosines, best first; none for a node without a vector. `interrupted` is asked now and then, and ends it with its error.
    fn nearest(
        &self,
        namespace: NamespaceId,
        space: SpaceId,
        nodes: &[Slot],
        most: usize,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Similar>;
}

/// What is most like some nodes, in one state.
#[derive(Debug, Clone)]
pub struct Similar {
    /// In which the slots mean something.
    pub generation: u64,
    /// The state.
    pub lsn: Lsn,
    /// For each node.
    pub of: Vec<Vec<(Slot, f32)>>,
}

/// What the work needs.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Arc<Store>,
    pub(crate) names: Names,
    pub(crate) generation: u64,
    pub(crate) namespace: NamespaceId,
    pub(crate) nearest: &'a dyn Nearest,
    pub(crate) threshold: f32,
    /// Fails when the work is to end.
    pub(crate) interrupted: &'a dyn Fn() -> Result<()>,
}

impl Work<'_> {
    /// Looks at some nodes; how many ties were proposed.
    pub(crate) fn run(&self, nodes: &[Slot]) -> Result<usize> {
        let snapshot = self.store.read()?;
        let space = snapshot.default_space()?;
        let mut lonely = Vec::new();
        for node in nodes {
            if has_few_ties(&snapshot, &self.names, self.namespace, *node)? {
                lonely.push(*node);
            }
        }
        let (lsn, found) = (snapshot.lsn()?, BTreeMap::new());
        drop(snapshot);
        // Without a space there is no vector.
        let space = space.unwrap_or(SpaceId(0));
        let (lsn, found) = match lonely.is_empty() {
            true => (lsn, found),
            false => self.find(space, &lonely)?,
        };
        let (names, namespace, generation) = (self.names, self.namespace, self.generation);
        let nodes = nodes.to_vec();
        self.store.write(move |txn| {
            if txn.generation().number() != generation {
                return Err(Error::Interrupted);
            }
            let (mut writer, mut count) = (GraphWriter::new(txn, &names, namespace), 0);
            for node in &nodes {
                let found = found.get(node).map_or(&[][..], Vec::as_slice);
                count += writer.propose(space, *node, found, lsn)?;
            }
            Ok(count)
        })
    }

    /// What is to be proposed of some nodes, and of which state that is true.
    fn find(&self, space: SpaceId, nodes: &[Slot]) -> Result<(Lsn, BTreeMap<Slot, Vec<Proposal>>)> {
        let similar = self.similar(space, nodes)?;
        let is_similar = |(_, cosine): &&(Slot, f32)| *cosine >= self.threshold;
        let mut others: Vec<Slot> =
            similar.of.iter().flatten().filter(is_similar).map(|(other, _)| *other).collect();
        others.sort_unstable();
        others.dedup();
        let back = self.similar(space, &others)?;
        let mut found = BTreeMap::new();
        for (node, of) in nodes.iter().zip(&similar.of) {
            let mut proposals = Vec::new();
            for (other, cosine) in of.iter().filter(is_similar) {
                let at = others.binary_search(other).ok();
                let back = at.and_then(|at| back.of.get(at)).into_iter().flatten();
                if proposals.len() < MOST && back.into_iter().any(|(back, _)| back == node) {
                    let confidence = f64::from(cosine.min(1.0));
                    proposals.push(Proposal { to: *other, confidence });
                }
            }
            found.insert(*node, proposals);
        }
        Ok((similar.lsn, found))
    }

    fn similar(&self, space: SpaceId, nodes: &[Slot]) -> Result<Similar> {
        let nearest = self.nearest;
        let found = nearest.nearest(self.namespace, space, nodes, NEAREST, self.interrupted)?;
        if found.generation == self.generation { Ok(found) } else { Err(Error::Interrupted) }
    }
}
