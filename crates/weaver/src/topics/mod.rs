//! Topics of a namespace: what is said is read ([`graph`]), grouped ([`grouping`]), compared with the topics
//! that there are ([`matching`]), and only what differs is written, in steps of a few hundred nodes.
//!
//! What is grouped depends on what is said alone, not on its order nor on what was grouped before; only which
//! topic keeps which id does.

mod graph;
mod grouping;
mod matching;

use std::sync::Arc;

use embedded_db_common::{Error, Lsn, NamespaceId, Result, Slot};
use embedded_db_indexing::graph::{GraphWriter, TopicDraft};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadTxn, Store};

use graph::Graph;
use grouping::Topic;
use matching::Before;

/// Groups of nodes that hang together, found in ties between them with their weights. `interrupted` is asked
/// now and then, and ends it with its error.
pub type Communities =
    fn(usize, &[(u32, u32, f64)], &dyn Fn() -> Result<()>) -> Result<FoundCommunities>;

/// The groups of nodes.
#[derive(Debug, Clone)]
pub struct FoundCommunities {
    /// That of each node, numbered from 0.
    pub of: Vec<u32>,
    /// How much more of the weight lies within groups than by chance.
    pub modularity: f64,
}

/// Nodes that one write puts elsewhere.
const STEP: usize = 256;

/// What the work needs.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Arc<Store>,
    pub(crate) names: Names,
    pub(crate) generation: u64,
    pub(crate) namespace: NamespaceId,
    pub(crate) communities: Communities,
    /// Fails when the work is to end.
    pub(crate) interrupted: &'a dyn Fn() -> Result<()>,
}

impl Work<'_> {
    /// Makes the topics of a namespace anew; how many there are.
    pub(crate) fn run(&self) -> Result<usize> {
        let carrier = self.write(|writer| writer.begin_topics())?;
        let (topics, before, lsn) = {
            let snapshot = self.store.read_quietly()?;
            if snapshot.generation().number() != self.generation {
                return Err(Error::Interrupted);
            }
            let graph = Graph::read(&snapshot, &self.names, self.namespace, self.interrupted)?;
            let before = Before::read(&snapshot, &self.names, self.namespace)?;
            let lsn = snapshot.lsn()?;
            drop(snapshot);
            (grouping::group(&graph, self.communities, self.interrupted)?, before, lsn)
        };
        let kept = before.kept(&topics);
        let mut made: Vec<Option<Slot>> = Vec::with_capacity(topics.len());
        for (topic, kept) in topics.iter().zip(&kept) {
            let slot = self.put(topic, *kept, &before, &made, lsn)?;
            made.push(slot);
        }
        for step in before.left_out(&topics).chunks(STEP) {
            (self.interrupted)()?;
            let members = step.to_vec();
            self.write(move |writer| writer.ungroup(&members))?;
        }
        for topic in before.given_up(&kept) {
            self.write(move |writer| writer.remove_topic(topic))?;
        }
        if let Some(carrier) = carrier {
            self.write(move |writer| writer.end_topics(carrier))?;
        }
        Ok(made.iter().flatten().count())
    }

    /// Brings one topic up to what was found; its parts are there already.
    fn put(
        &self,
        topic: &Topic,
        kept: Option<Slot>,
        before: &Before,
        made: &[Option<Slot>],
        read: Lsn,
    ) -> Result<Option<Slot>> {
        let mut parts: Vec<Slot> = topic.parts.iter().filter_map(|part| made[*part]).collect();
        parts.sort_unstable();
        let draft = TopicDraft { terms: topic.terms.clone(), level: topic.level, parts };
        let moved: Vec<Slot> = topic.members().filter(|at| before.topic_of(*at) != kept).collect();
        let new = if kept.is_none() { topic.members().collect() } else { moved };
        if new.is_empty() && kept.is_some_and(|kept| before.is(kept, &draft)) {
            return Ok(kept);
        }
        let mut slot = kept;
        let mut steps = new.chunks(STEP);
        let mut step = steps.next().unwrap_or_default();
        loop {
            (self.interrupted)()?;
            let (draft, members, known) = (draft.clone(), step.to_vec(), slot);
            slot = self.write(move |writer| {
                let unchanged = writer.unchanged_since(&members, read)?;
                writer.put_topic(known, &draft, &unchanged)
            })?;
            match steps.next() {
                Some(next) => step = next,
                None => return Ok(slot),
            }
        }
    }

    /// One write, unless slots mean something else by now, or nothing.
    fn write<T: Send + 'static>(
        &self,
        write: impl Fn(&mut GraphWriter<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (names, namespace, generation) = (self.names, self.namespace, self.generation);
        self.store.write(move |txn| {
            if txn.generation().number() != generation || !txn.has_namespace(namespace)? {
                return Err(Error::Interrupted);
            }
            write(&mut GraphWriter::new(txn, &names, namespace))
        })
    }
}
