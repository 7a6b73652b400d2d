//! Facts that take the place of others.

use embedded_db_common::{Draft, Result, Slot, Value, ValueRef};
use embedded_db_storage::{Direction, Kind, ReadTxn};

use super::{Changes, EdgeDraft, GraphWriter};
use crate::schema::{SUPERSEDED_BY, SUPERSEDES};

impl GraphWriter<'_, '_> {
    /// A fact that goes was never told: what it took the place of is current again, or superseded by
    /// what took its own place.
    pub(super) fn give_place_back(&mut self, slot: Slot) -> Result<()> {
        let (of, by) = (self.names.supersedes, self.names.superseded_by);
        let before = self.targets(slot, Direction::Out, of)?;
        if before.is_empty() {
            return Ok(());
        }
        let id = self.node(slot)?.id.to_owned();
        let heir = self.heir(slot)?;
        for old in before {
            let Some(node) = self.txn.node(self.namespace, old)? else { continue };
            // An edge of a user's own says nothing of what is current.
            if old == slot || node.properties.get(by)?.and_then(|it| it.as_str()) != Some(&*id) {
                continue;
            }
            let target = node.id.to_owned();
            let mut changes = Changes::default();
            match heir.as_ref().filter(|(_, heir)| *heir != old) {
                Some((heir, heir_slot)) => {
                    changes.set.set(SUPERSEDED_BY, &Value::Str(heir.clone()))?;
                    if !self.targets(*heir_slot, Direction::Out, of)?.contains(&old) {
                        self.create_edge(&EdgeDraft {
                            id: None,
                            source: heir.clone(),
                            target,
                            edge_type: SUPERSEDES.into(),
                            properties: Draft::new(),
                            weight: 1.0,
                            valid_from: None,
                            valid_to: None,
                            sources: Vec::new(),
                        })?;
                    }
                }
                None => changes.remove.push(SUPERSEDED_BY.into()),
            }
            self.update_node(old, &changes)?;
        }
        Ok(())
    }

    /// Id and slot of the fact that took the place of one, if it is still there.
    fn heir(&self, slot: Slot) -> Result<Option<(String, Slot)>> {
        let node = self.node(slot)?;
        let Some(ValueRef::Str(heir)) = node.properties.get(self.names.superseded_by)? else {
            return Ok(None);
        };
        let found = self.txn.resolve(self.namespace, Kind::Node, heir)?;
        Ok(found.filter(|found| found.slot != slot).map(|found| (heir.to_owned(), found.slot)))
    }
}
