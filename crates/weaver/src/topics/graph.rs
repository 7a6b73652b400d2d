//! Which messages mention which entities.

use std::collections::BTreeMap;

use embedded_db_common::{NamespaceId, Result, Slot};
use embedded_db_indexing::graph::entity_keys;
use embedded_db_indexing::labelled;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{Direction, ReadTxn};

/// An entity that messages mention.
pub(super) struct Entity {
    pub(super) slot: Slot,
    /// Its name as it is written.
    pub(super) label: String,
    /// Messages that mention it.
    pub(super) count: usize,
}

/// What is said, without the order in which it was: entities by the keys of their names, and messages that
/// mention the same entities together.
pub(super) struct Graph {
    pub(super) entities: Vec<Entity>,
    /// Numbers of entities, and the messages that mention these and no others.
    pub(super) sets: Vec<(Vec<u32>, Vec<Slot>)>,
    /// Messages that mention any.
    pub(super) messages: usize,
}

impl Graph {
    /// Mentions that users have made are the users'.
    pub(super) fn read<T: ReadTxn>(
        txn: &T,
        names: &Names,
        namespace: NamespaceId,
        interrupted: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let mut found: Vec<(Vec<u8>, Entity)> = Vec::new();
        for slot in labelled(txn, namespace, names.entity)? {
            let Some(node) = txn.node(namespace, Slot(slot))? else { continue };
            let Some(key) = entity_keys(txn, names, &node)?.pop() else { continue };
            let label = node.properties.get(names.label)?;
            let label = label.and_then(|label| label.as_str()).unwrap_or_default().to_owned();
            found.push((key, Entity { slot: Slot(slot), label, count: 0 }));
        }
        found.sort_by(|a, b| (&a.0, a.1.slot).cmp(&(&b.0, b.1.slot)));
        let mut entities: Vec<Entity> = found.into_iter().map(|(_, entity)| entity).collect();
        let mut mentions: Vec<(Slot, u32)> = Vec::new();
        for (number, entity) in entities.iter_mut().enumerate() {
            interrupted()?;
            let (first, mut edges) = (mentions.len(), Vec::new());
            let (way, of) = (Direction::In, Some(names.mentions));
            txn.neighbors(namespace, entity.slot, way, of, |_, end| {
                edges.push(end);
                true
            })?;
            for end in edges {
                if txn.edge(namespace, end.edge)?.is_some_and(|edge| edge.derived) {
                    mentions.push((end.node, number as u32));
                }
            }
            entity.count = mentions.len() - first;
        }
        mentions.sort_unstable();
        let mut sets: BTreeMap<Vec<u32>, Vec<Slot>> = BTreeMap::new();
        let mut messages = 0;
        for of_message in mentions.chunk_by(|a, b| a.0 == b.0) {
            let mut set: Vec<u32> = of_message.iter().map(|(_, entity)| *entity).collect();
            set.dedup();
            messages += 1;
            sets.entry(set).or_default().extend(of_message.first().map(|(message, _)| *message));
        }
        Ok(Self { entities, sets: sets.into_iter().collect(), messages })
    }
}
