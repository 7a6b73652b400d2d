//! Which of the topics that are found is which of those that there are: one with most of whose members, by
//! number, it shares. It keeps the id.

use std::collections::{HashMap, HashSet};

use embedded_db_common::{NamespaceId, Result, Slot};
use embedded_db_indexing::graph::{StoredTopic, TOPIC, TopicDraft, stored_topic};
use embedded_db_indexing::labelled;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::ReadTxn;

use super::grouping::Topic;

/// The topics that there are.
#[derive(Default)]
pub(super) struct Before {
    topics: HashMap<Slot, StoredTopic>,
    wider: HashMap<Slot, Slot>,
    of: HashMap<Slot, Slot>,
}

impl Before {
    pub(super) fn read<T: ReadTxn>(txn: &T, names: &Names, namespace: NamespaceId) -> Result<Self> {
        let mut before = Self::default();
        let Some(label) = txn.symbol(TOPIC)? else { return Ok(before) };
        for slot in labelled(txn, namespace, label)? {
            let slot = Slot(slot);
            let Some(topic) = stored_topic(txn, names, namespace, slot)? else { continue };
            before.of.extend(topic.members.iter().map(|member| (*member, slot)));
            before.wider.extend(topic.draft.parts.iter().map(|part| (*part, slot)));
            before.topics.insert(slot, topic);
        }
        Ok(before)
    }

    /// The topic that a node is in.
    pub(super) fn topic_of(&self, member: Slot) -> Option<Slot> {
        self.of.get(&member).copied()
    }

    /// Whether a topic is called so, stands there, and has these parts.
    pub(super) fn is(&self, topic: Slot, draft: &TopicDraft) -> bool {
        self.topics.get(&topic).is_some_and(|stored| stored.draft == *draft)
    }

    /// The topic that a node is in, and the wider ones.
    fn all_of(&self, member: Slot) -> Vec<Slot> {
        let mut out: Vec<Slot> = self.topic_of(member).into_iter().collect();
        while let Some(wider) = out.last().and_then(|last| self.wider.get(last)) {
            if out.contains(wider) {
                break;
            }
            out.push(*wider);
        }
        out
    }

    /// Which topic each of those that were found is, if any: most of its members have stayed together, and of
    /// several that is true of it is the most alike.
    pub(super) fn kept(&self, found: &[Topic]) -> Vec<Option<Slot>> {
        let mut sizes: HashMap<Slot, usize> = HashMap::new();
        for member in self.of.keys() {
            for topic in self.all_of(*member) {
                *sizes.entry(topic).or_default() += 1;
            }
        }
        let mut shared: Vec<HashMap<Slot, usize>> = Vec::with_capacity(found.len());
        let mut counts: Vec<usize> = Vec::with_capacity(found.len());
        for topic in found {
            let (mut own, mut count) = (HashMap::<Slot, usize>::new(), 0);
            for member in topic.members() {
                count += 1;
                for before in self.all_of(member) {
                    *own.entry(before).or_default() += 1;
                }
            }
            for part in &topic.parts {
                count += counts[*part];
                for (before, by) in &shared[*part] {
                    *own.entry(*before).or_default() += by;
                }
            }
            shared.push(own);
            counts.push(count);
        }
        let mut alike: Vec<(f64, usize, Slot)> = Vec::new();
        for (at, shared) in shared.iter().enumerate() {
            for (before, count) in shared {
                let size = sizes.get(before).copied().unwrap_or(0);
                if 2 * count > size {
                    let all = size + counts[at] - count;
                    alike.push((*count as f64 / all as f64, at, *before));
                }
            }
        }
        alike.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let (mut kept, mut taken) = (vec![None; found.len()], HashSet::new());
        for (_, at, before) in alike {
            if kept[at].is_none() && taken.insert(before) {
                kept[at] = Some(before);
            }
        }
        kept
    }

    /// Nodes that were in a topic and are in none of those that were found.
    pub(super) fn left_out(&self, found: &[Topic]) -> Vec<Slot> {
        let now: HashSet<Slot> = found.iter().flat_map(Topic::members).collect();
        let mut out: Vec<Slot> =
            self.of.keys().filter(|member| !now.contains(member)).copied().collect();
        out.sort_unstable();
        out
    }

    /// Topics that none of those that were found is.
    pub(super) fn given_up(&self, kept: &[Option<Slot>]) -> Vec<Slot> {
        let kept: HashSet<Slot> = kept.iter().flatten().copied().collect();
        let mut out: Vec<Slot> =
            self.topics.keys().filter(|topic| !kept.contains(topic)).copied().collect();
        out.sort_unstable();
        out
    }
}
